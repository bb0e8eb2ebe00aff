//! The least policy that planning, applying, proving and destroying need in one account: for a
//! deployment role, so that nobody needs an administrator's credentials.
//!
//! Start with [`permissions`]. Whoever holds it can change who may read the lanes, because that is
//! what applying is; guard it as you would guard the exchange file.

use crate::desired::{Desired, DesiredLane, DesiredParty};
use crate::document::{Document, Statement};
use consign_model::AccountId;

/// The policy for `account`, with only what `desired` needs there; `None` if it needs nothing.
pub fn permissions(desired: &Desired, account: &AccountId) -> Option<Document> {
    let lanes: Vec<&DesiredLane> =
        desired.lanes.values().filter(|lane| lane.owner == *account).collect();
    let keyed = desired.lanes.values().any(|lane| lane.has_key() && lane.key_owner == *account);
    let mut statements = Vec::new();
    if !lanes.is_empty() {
        statements.push(Statement::allow("Buckets", BUCKETS).on(&buckets(desired, &lanes)));
    }
    if keyed {
        let region = &desired.region;
        let arn = |what: &str| format!("arn:aws:kms:{region}:{account}:{what}");
        let aliases = arn(&format!("alias/consign/{}/*", desired.exchange));
        // A new key has no ARN yet, and one without a name is looked for among all.
        statements.push(Statement::allow("NewKeys", NEW_KEYS).on(&["*"]));
        statements.push(Statement::allow("Keys", KEYS).on(&[arn("key/*")]));
        statements.push(Statement::allow("KeyNames", KEY_NAMES).on(&[arn("key/*"), aliases]));
    }
    let queues = desired.queues().filter(|(lane, _)| lane.owner == *account);
    let queues: Vec<String> =
        queues.flat_map(|(_, queue)| [queue.arn(), queue.dead_letters_arn()]).collect();
    if !queues.is_empty() {
        let announcing = lanes.iter().filter(|lane| lane.stage.repository().is_some());
        let announcing: Vec<String> = announcing.map(|lane| lane.bucket_arn()).collect();
        statements.push(Statement::allow("Queues", QUEUES).on(&queues));
        statements.push(Statement::allow("Announcements", ANNOUNCEMENTS).on(&announcing));
    }
    let principals = |kind: &dyn Fn(&DesiredParty) -> bool| -> Vec<String> {
        let parties = desired.parties.values().filter(|party| party.account == *account);
        parties.filter(|party| kind(party)).flat_map(arns).collect()
    };
    let all = [
        ("Users", USERS, principals(&DesiredParty::is_user)),
        ("Roles", ROLES, principals(&|party| !party.is_user())),
        ("NewRoles", NEW_ROLES, principals(&|party| party.trust.is_some())),
    ];
    for (sid, actions, arns) in all {
        if !arns.is_empty() {
            statements.push(Statement::allow(sid, actions).on(&arns));
        }
    }
    (!statements.is_empty()).then(|| Document::new(statements))
}

/// The principal's ARN, and the one without its path: asked for by name, somebody who does not exist
/// has no path.
fn arns(party: &DesiredParty) -> Vec<String> {
    let (kind, name) = (if party.is_user() { "user" } else { "role" }, party.principal.name());
    let mut arns = vec![party.arn.clone(), format!("arn:aws:iam::{}:{kind}/{name}", party.account)];
    arns.dedup();
    arns
}

/// A hub's buckets follow a pattern; beyond a few they are named by it, so that the policy does not
/// grow with the partners.
fn buckets(desired: &Desired, lanes: &[&DesiredLane]) -> Vec<String> {
    let mut arns: Vec<String> = Vec::new();
    for lane in lanes {
        let arn = match &lane.each {
            Some(each) => format!(
                "arn:aws:s3:::{}-{}-*-{}-{}-an",
                desired.exchange, each.lane, lane.owner, lane.region
            ),
            None => lane.bucket_arn(),
        };
        if !arns.contains(&arn) {
            arns.push(arn);
        }
    }
    arns
}

const BUCKETS: &[&str] = &[
    "s3:CreateBucket",
    "s3:DeleteBucket",
    "s3:GetBucketTagging",
    "s3:PutBucketTagging",
    "s3:GetBucketPolicy",
    "s3:PutBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketOwnershipControls",
    "s3:PutBucketOwnershipControls",
    "s3:GetEncryptionConfiguration",
    "s3:PutEncryptionConfiguration",
    "s3:GetBucketVersioning",
    "s3:PutBucketVersioning",
    "s3:GetLifecycleConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:ListBucketVersions",
];

const QUEUES: &[&str] = &[
    "sqs:CreateQueue",
    "sqs:GetQueueUrl",
    "sqs:GetQueueAttributes",
    "sqs:SetQueueAttributes",
    "sqs:ListQueueTags",
    "sqs:TagQueue",
    "sqs:DeleteQueue",
];

const ANNOUNCEMENTS: &[&str] = &["s3:GetBucketNotification", "s3:PutBucketNotification"];

// A key is tagged as it is made.
const NEW_KEYS: &[&str] = &["kms:CreateKey", "kms:TagResource", "kms:ListKeys", "kms:ListAliases"];

const KEYS: &[&str] = &[
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "kms:PutKeyPolicy",
    "kms:ListResourceTags",
    "kms:GetKeyRotationStatus",
    "kms:EnableKeyRotation",
    "kms:EnableKey",
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
];

const KEY_NAMES: &[&str] = &["kms:CreateAlias", "kms:DeleteAlias"];

const USERS: &[&str] = &[
    "iam:GetUser",
    "iam:CreateUser",
    "iam:TagUser",
    "iam:DeleteUser",
    "iam:GetUserPolicy",
    "iam:PutUserPolicy",
    "iam:DeleteUserPolicy",
    "iam:ListAccessKeys",
    "iam:DeleteAccessKey",
];

const ROLES: &[&str] =
    &["iam:GetRole", "iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"];

const NEW_ROLES: &[&str] =
    &["iam:CreateRole", "iam:TagRole", "iam:UpdateAssumeRolePolicy", "iam:DeleteRole"];
