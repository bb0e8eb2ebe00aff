//! Steps of a plan as commands of the stock AWS CLI, for a shell.
//!
//! Only what an account in which nothing is there yet needs: [`crate::handover()`] plans for that.
//! Each value is a quoted word; the ARN of a key that the script itself creates is a variable.

use crate::desired::{Desired, KeyArn};
use crate::observed::{Encryption, Lifecycle};
use crate::plan::{Action, Plan, Step};
use consign_model::AccountId;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The steps of `plan` in this account, as a script that stops at the first failure.
pub(crate) fn script(plan: &Plan, desired: &Desired, account: &AccountId) -> String {
    let steps: Vec<&Step> = plan.steps.iter().filter(|it| it.account == *account).collect();
    let mut script = format!(
        "#!/bin/sh\n# Exchange {}, account {account}: run this with an administrator's credentials.\n\
         set -eu\n",
        plan.exchange
    );
    let keys = Variables::of(&steps);
    for step in &steps {
        let command = command(&step.action, &keys, desired);
        let _ = write!(script, "\n# {}\n{command}\n", step.words);
    }
    for (lane, variable) in &keys.of_lanes {
        let _ = write!(script, "\necho \"--key {lane}=${variable}\"\n");
    }
    script
}

/// The keys that the script creates: stand-in and shell variable.
struct Variables {
    of_stand_ins: Vec<(KeyArn, String)>,
    of_lanes: Vec<(String, String)>,
}

impl Variables {
    fn of(steps: &[&Step]) -> Variables {
        let (mut of_stand_ins, mut of_lanes) = (Vec::new(), Vec::new());
        for step in steps {
            if let Action::CreateKey { lane, stand_in, .. } = &step.action {
                let variable = format!("KEY_{}", lane.as_str().replace('-', "_"));
                of_stand_ins.push((stand_in.clone(), variable.clone()));
                of_lanes.push((lane.to_string(), variable));
            }
        }
        // The name of one lane may begin with the name of another.
        of_stand_ins.sort_by_key(|(stand_in, _)| std::cmp::Reverse(stand_in.as_str().len()));
        Variables { of_stand_ins, of_lanes }
    }

    /// One word for the shell, with variables where stand-ins are.
    fn word(&self, text: &str) -> String {
        let quoted = format!("'{}'", text.replace('\'', r"'\''"));
        self.of_stand_ins.iter().fold(quoted, |text, (stand_in, variable)| {
            text.replace(stand_in.as_str(), &format!("'\"${variable}\"'"))
        })
    }

    fn variable(&self, stand_in: &KeyArn) -> &str {
        let found = self.of_stand_ins.iter().find(|(known, _)| known == stand_in);
        found.map_or("KEY", |(_, variable)| variable)
    }
}

fn command(action: &Action, keys: &Variables, desired: &Desired) -> String {
    let word = |text: &str| keys.word(text);
    let json = |value: serde_json::Value| keys.word(&value.to_string());
    match action {
        Action::CreateUser { path, name, tags } => format!(
            "aws iam get-user --user-name {name} > /dev/null 2>&1 || \\\n  aws iam create-user --path \
             {path} --user-name {name} --tags {}",
            json(tag_list(tags, "Key", "Value"))
        ),
        Action::CreateRole { path, name, trust, tags } => format!(
            "aws iam get-role --role-name {name} > /dev/null 2>&1 || \\\n  aws iam create-role --path \
             {path} --role-name {name} --tags {} \\\n  --assume-role-policy-document {}",
            json(tag_list(tags, "Key", "Value")),
            word(trust)
        ),
        Action::PutIdentityPolicy { user, principal, name, policy } => {
            let (call, flag) = match user {
                true => ("put-user-policy", "--user-name"),
                false => ("put-role-policy", "--role-name"),
            };
            format!(
                "aws iam {call} {flag} {principal} --policy-name {name} \\\n  --policy-document {}",
                word(policy)
            )
        }
        Action::CreateKey { stand_in, policy, description, tags, .. } => format!(
            "{}=$(aws kms create-key --description {} --tags {} \\\n  --policy {} \\\n  --query \
             KeyMetadata.Arn --output text)",
            keys.variable(stand_in),
            word(description),
            json(tag_list(tags, "TagKey", "TagValue")),
            word(policy)
        ),
        Action::CreateAlias { alias, key } => format!(
            "aws kms create-alias --alias-name {alias} --target-key-id {}",
            word(key.as_str())
        ),
        Action::EnableRotation { key } => {
            format!("aws kms enable-key-rotation --key-id {}", word(key.as_str()))
        }
        Action::PutKeyPolicy { key, policy } => format!(
            "aws kms put-key-policy --key-id {} --policy-name default \\\n  --policy {}",
            word(key.as_str()),
            word(policy)
        ),
        Action::CreateBucket { bucket, account_regional } => {
            let region = desired.region.as_str();
            let mut command = format!(
                "aws s3api create-bucket --bucket {bucket} --object-ownership BucketOwnerEnforced"
            );
            if region != "us-east-1" {
                let _ = write!(
                    command,
                    " \\\n  --create-bucket-configuration LocationConstraint={region}"
                );
            }
            if *account_regional {
                command += " --bucket-namespace account-regional";
            }
            command
        }
        Action::TagBucket { bucket, tags } => format!(
            "aws s3api put-bucket-tagging --bucket {bucket} --tagging {}",
            json(json!({ "TagSet": tag_list(tags, "Key", "Value") }))
        ),
        Action::BlockPublicAccess { bucket } => format!(
            "aws s3api put-public-access-block --bucket {bucket} \
             --public-access-block-configuration \\\n  BlockPublicAcls=true,IgnorePublicAcls=true,\
             BlockPublicPolicy=true,RestrictPublicBuckets=true"
        ),
        Action::EnforceOwner { bucket } => format!(
            "aws s3api put-bucket-ownership-controls --bucket {bucket} \\\n  --ownership-controls {}",
            json(json!({ "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] }))
        ),
        Action::PutEncryption { bucket, encryption } => format!(
            "aws s3api put-bucket-encryption --bucket {bucket} \\\n  \
             --server-side-encryption-configuration {}",
            json(encryption_document(encryption))
        ),
        Action::EnableVersioning { bucket } => format!(
            "aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration \
             Status=Enabled"
        ),
        Action::PutLifecycle { bucket, lifecycle } => format!(
            "aws s3api put-bucket-lifecycle-configuration --bucket {bucket} \\\n  \
             --lifecycle-configuration {}",
            json(lifecycle_document(*lifecycle))
        ),
        Action::PutBucketPolicy { bucket, policy } => {
            format!("aws s3api put-bucket-policy --bucket {bucket} \\\n  --policy {}", word(policy))
        }
        Action::CreateQueue { queue, attributes } => format!(
            "aws sqs create-queue --queue-name {queue} \\\n  --attributes {} > /dev/null",
            json(serde_json::json!(attributes))
        ),
        Action::TagQueue { queue, tags } => format!(
            "aws sqs tag-queue --queue-url \"$(aws sqs get-queue-url --queue-name {queue} \\\n  \
             --query QueueUrl --output text)\" --tags {}",
            json(serde_json::json!(tags))
        ),
        Action::PutNotification { bucket, id, queue_arn } => format!(
            "aws s3api put-bucket-notification-configuration --bucket {bucket} \\\n  \
             --notification-configuration {}",
            json(json!({ "QueueConfigurations": [{
                "Id": id,
                "QueueArn": queue_arn,
                "Events": crate::queues::EVENTS,
            }] }))
        ),
        // Changes and removals of what is there: not in a plan for an account without anything.
        Action::PutTrust { .. }
        | Action::CancelKeyDeletion { .. }
        | Action::EnableKey { .. }
        | Action::TagKey { .. }
        | Action::DeleteIdentityPolicy { .. }
        | Action::SetQueueAttributes { .. }
        | Action::DeleteQueue { .. }
        | Action::RemoveNotification { .. }
        | Action::CheckEmpty { .. }
        | Action::DeleteBucket { .. }
        | Action::DeleteAlias { .. }
        | Action::ScheduleKeyDeletion { .. }
        | Action::DeleteUser { .. }
        | Action::DeleteRole { .. } => "# with `consign apply`".to_owned(),
    }
}

fn tag_list(tags: &BTreeMap<String, String>, key: &str, value: &str) -> serde_json::Value {
    tags.iter().map(|(name, text)| json!({ key: name, value: text })).collect()
}

fn encryption_document(encryption: &Encryption) -> serde_json::Value {
    let mut default = json!({ "SSEAlgorithm": encryption.algorithm });
    if let Some(key) = &encryption.key {
        default["KMSMasterKeyID"] = json!(key);
    }
    let mut rule = json!({
        "ApplyServerSideEncryptionByDefault": default,
        "BucketKeyEnabled": encryption.bucket_key,
    });
    if encryption.customer_keys_blocked {
        rule["BlockedEncryptionTypes"] = json!({ "EncryptionType": ["SSE-C"] });
    }
    json!({ "Rules": [rule] })
}

fn lifecycle_document(lifecycle: Lifecycle) -> serde_json::Value {
    json!({ "Rules": [{
        "ID": crate::observe::LIFECYCLE_RULE,
        "Status": "Enabled",
        "Filter": { "Prefix": "" },
        "Expiration": { "Days": lifecycle.expire_days },
        "NoncurrentVersionExpiration": { "NoncurrentDays": lifecycle.noncurrent_days },
        "AbortIncompleteMultipartUpload": {
            "DaysAfterInitiation": lifecycle.unfinished_upload_days
        },
    }] })
}
