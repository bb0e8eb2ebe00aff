//! One Terraform root module per account, in Terraform's JSON syntax.
//!
//! Keys, buckets and what guards them cannot be destroyed by it (`prevent_destroy`). The ARN of a key of another
//! account is a variable, and the identity policies that name it have `count = 0` until it is
//! given. Every string of that syntax is a template, so `${` and `%{` of a policy are doubled
//! before references are put in.

use super::{Files, Marker, Part, QueueParts, pretty, queues_of, told};
use crate::desired::{Desired, DesiredLane, DesiredParty, KEY_DELETION_DAYS, Keys};
use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::keys_told::key_arn_prefix;
use crate::observe::LIFECYCLE_RULE;
use crate::planner::{encryption, lifecycle};
use crate::policies::{Grants, bucket, key};
use crate::queues::{EVENTS, notification_id};
use crate::stage::DesiredQueue;
use consign_model::{AccountId, AtRest};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The major version of the AWS provider to write for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// 5: knows neither account-regional bucket names nor S3's own block of SSE-C.
    V5,
    /// 6, from the first minor version that knows both.
    V6,
}

impl Provider {
    fn constraint(self) -> &'static str {
        match self {
            Provider::V5 => "~> 5.100",
            Provider::V6 => ">= 6.37.0, < 7.0.0",
        }
    }
}

const REFRESH: &str = "The bucket policies deny HeadBucket to everybody but a lane's readers, and \
    the AWS provider refreshes buckets with it: once they stand, plan with -refresh=false.";

const UNBLOCKED: &str = "S3's own block of customer-provided keys is not set, because provider 5 \
    does not know it; the bucket policies deny them.";

/// A module per account, `EXCHANGE-ACCOUNT/main.tf.json`, with everything that `apply` makes
/// there. `told` holds the keys of other accounts, where they are known.
///
/// # Errors
/// [`ErrorKind::Exchange`] if `told` names a key that no lane can have, or if `provider` cannot
/// make what a lane asks for.
pub fn terraform(
    desired: &Desired,
    told: &Keys,
    of: Option<&AccountId>,
    provider: Provider,
) -> Result<Files, Error> {
    let parts = Part::all(desired, told, of)?;
    let file = |part: &Part<'_>| {
        Ok((format!("{}/main.tf.json", part.name()), Module::of(part, provider)?.text()))
    };
    parts.iter().map(file).collect()
}

struct Module<'p, 'a> {
    part: &'p Part<'a>,
    provider: Provider,
    variables: BTreeMap<String, Value>,
    /// By type, then by name.
    resources: BTreeMap<&'static str, BTreeMap<String, Value>>,
    outputs: BTreeMap<String, Value>,
}

impl<'p, 'a> Module<'p, 'a> {
    fn of(part: &'p Part<'a>, provider: Provider) -> Result<Module<'p, 'a>, Error> {
        let mut module = Module {
            part,
            provider,
            variables: BTreeMap::new(),
            resources: BTreeMap::new(),
            outputs: BTreeMap::new(),
        };
        for lane in part.foreign_keys().values() {
            module.variable(lane);
        }
        for lane in part.lanes() {
            check_provider(provider, lane)?;
            module.bucket(lane);
        }
        for lane in part.keys() {
            module.key(lane);
        }
        for party in part.parties() {
            module.party(party);
        }
        Ok(module)
    }

    fn text(self) -> String {
        let (desired, account) = (self.part.desired, &self.part.account);
        let mut notes = self.part.notes();
        if self.part.lanes().next().is_some() {
            notes.push(REFRESH.to_owned());
            notes.extend((self.provider == Provider::V5).then(|| UNBLOCKED.to_owned()));
        }
        let mut module = json!({
            "//": { "consign": Marker::new(desired, Some(account), notes) },
            "terraform": {
                "required_version": ">= 1.5",
                "required_providers": { "aws": {
                    "source": "hashicorp/aws",
                    "version": self.provider.constraint(),
                } },
            },
            "provider": { "aws": {
                "region": desired.region,
                "allowed_account_ids": [account],
            } },
            "resource": self.resources,
        });
        for (block, values) in [("variable", self.variables), ("output", self.outputs)] {
            if !values.is_empty() {
                module[block] = json!(values);
            }
        }
        pretty(&module)
    }

    /// Adds a resource. What belongs to a bucket or key cannot be destroyed: a provider that may
    /// not see a bucket takes it for gone, and would take its guards away to make it again.
    fn add(&mut self, kind: &'static str, name: &str, mut resource: Value) {
        if kind.starts_with("aws_s3_bucket") || kind == "aws_kms_key" {
            resource["lifecycle"] = json!({ "prevent_destroy": true });
        }
        self.resources.entry(kind).or_default().insert(name.to_owned(), resource);
    }

    fn variable(&mut self, lane: &DesiredLane) {
        let name = key_variable(lane);
        let prefix = key_arn_prefix(lane);
        let variable = json!({
            "type": "string",
            "description": format!(
                "ARN of the key of {} {}; null until it is known", lane.stage.word(), lane.name
            ),
            "default": told(self.part.told, lane),
            "validation": {
                "condition": format!(
                    "${{var.{name} == null || can(regex(\"^{prefix}[0-9A-Za-z-]+$\", var.{name}))}}"
                ),
                "error_message": format!("It has the form {prefix}KEY-ID."),
            },
        });
        self.variables.insert(name, variable);
    }

    fn bucket(&mut self, lane: &DesiredLane) {
        let name = snake(lane.name.as_ref());
        // Not made before its key is known, which is another account's.
        let once_known = lane
            .has_foreign_key()
            .then(|| format!("${{var.{} == null ? 0 : 1}}", key_variable(lane)));
        let id = match once_known {
            Some(_) => format!("${{one(aws_s3_bucket.{name}[*].id)}}"),
            None => format!("${{aws_s3_bucket.{name}.id}}"),
        };
        let add = |module: &mut Self, kind, mut resource: Value| {
            if let Some(count) = &once_known {
                resource["count"] = count.as_str().into();
            }
            module.add(kind, &name, resource);
        };
        let mut bucket = json!({
            "bucket": lane.bucket,
            "tags": lane.tags(),
        });
        if lane.account_regional() {
            bucket["bucket_namespace"] = "account-regional".into();
        }
        add(self, "aws_s3_bucket", bucket);
        let block = json!({
            "bucket": id,
            "block_public_acls": true,
            "block_public_policy": true,
            "ignore_public_acls": true,
            "restrict_public_buckets": true,
        });
        add(self, "aws_s3_bucket_public_access_block", block);
        let rule = json!({ "object_ownership": "BucketOwnerEnforced" });
        let ownership = json!({ "bucket": id, "rule": rule });
        add(self, "aws_s3_bucket_ownership_controls", ownership);
        let rule = json!({ "bucket": id, "rule": self.encryption_rule(lane) });
        add(self, "aws_s3_bucket_server_side_encryption_configuration", rule);
        let versioning =
            json!({ "bucket": id, "versioning_configuration": { "status": "Enabled" } });
        add(self, "aws_s3_bucket_versioning", versioning);
        let expiry = json!({
            "bucket": id,
            "rule": lifecycle_rule(lane),
        });
        let expiry = after(expiry, vec![format!("aws_s3_bucket_versioning.{name}")]);
        add(self, "aws_s3_bucket_lifecycle_configuration", expiry);
        let policy = bucket::policy(lane, self.part.stand_ins.get(&lane.name), Grants::Given);
        let policy = json!({ "bucket": id, "policy": self.policy(&policy) });
        let mut before = vec![format!("aws_s3_bucket_public_access_block.{name}")];
        before.extend(self.principals_of(lane));
        add(self, "aws_s3_bucket_policy", after(policy, before));
        if let Some(stage) = lane.stage.repository() {
            self.queues(lane, &stage.queue);
            let told = json!({
                "bucket": id,
                "queue": {
                    "id": notification_id(lane),
                    "queue_arn": stage.queue.arn(),
                    "events": EVENTS,
                },
            });
            // S3 tries the queue when it is told of it.
            let before = vec![format!("aws_sqs_queue_policy.{name}_queue")];
            add(self, "aws_s3_bucket_notification", after(told, before));
        }
    }

    fn queues(&mut self, lane: &DesiredLane, queue: &DesiredQueue) {
        for QueueParts { what, name, settings, policy } in queues_of(queue) {
            let lane_name = snake(lane.name.as_ref());
            let (ours, url) = match what {
                "Queue" => (format!("{lane_name}_queue"), "queue"),
                _ => (format!("{lane_name}_dead_letters"), "dead_letters"),
            };
            let url = format!("${{aws_sqs_queue.{lane_name}_{url}.url}}");
            let setting = |name: &str| settings.get(name).cloned().unwrap_or_default();
            let mut made = json!({
                "name": name,
                "sqs_managed_sse_enabled": true,
                "message_retention_seconds": setting("MessageRetentionPeriod"),
                "tags": lane.tags(),
            });
            if what == "Queue" {
                made["visibility_timeout_seconds"] = setting("VisibilityTimeout");
                made["receive_wait_time_seconds"] = setting("ReceiveMessageWaitTimeSeconds");
                made["redrive_policy"] = setting("RedrivePolicy").to_string().into();
                let before = vec![format!("aws_sqs_queue.{lane_name}_dead_letters")];
                made = after(made, before);
            } else {
                made["redrive_allow_policy"] = setting("RedriveAllowPolicy").to_string().into();
            }
            self.add("aws_sqs_queue", &ours, made);
            let guard = json!({ "queue_url": url, "policy": self.policy(&policy) });
            self.add("aws_sqs_queue_policy", &ours, guard);
        }
    }

    fn encryption_rule(&self, lane: &DesiredLane) -> Value {
        let encryption = encryption(lane, self.part.stand_ins.get(&lane.name));
        let mut default = json!({ "sse_algorithm": encryption.algorithm });
        if encryption.key.is_some() {
            let own = lane.key_owner == self.part.account;
            default["kms_master_key_id"] = key_reference(lane, own).into();
        }
        let mut rule = json!({
            "apply_server_side_encryption_by_default": default,
            "bucket_key_enabled": encryption.bucket_key,
        });
        if self.provider == Provider::V6 {
            let blocked = if encryption.customer_keys_blocked { "SSE-C" } else { "NONE" };
            rule["blocked_encryption_types"] = json!([blocked]);
        }
        rule
    }

    fn key(&mut self, lane: &DesiredLane) {
        let name = snake(lane.name.as_ref());
        let key = json!({
            "description": lane.key_description(),
            "policy": self.policy(&key::policy(lane, Grants::Given)),
            "enable_key_rotation": true,
            "deletion_window_in_days": KEY_DELETION_DAYS,
            "tags": lane.tags(),
        });
        self.add("aws_kms_key", &name, after(key, self.principals_of(lane)));
        let target = format!("${{aws_kms_key.{name}.key_id}}");
        let alias = json!({ "name": lane.key_alias, "target_key_id": target });
        self.add("aws_kms_alias", &name, alias);
        let output = json!({
            "description": format!("ARN of the key of {} {}", lane.stage.word(), lane.name),
            "value": key_reference(lane, true),
        });
        self.outputs.insert(key_variable(lane), output);
    }

    fn party(&mut self, party: &DesiredParty) {
        let (part, name) = (self.part, snake(party.name.as_ref()));
        let mut principal_name = party.principal.name().to_owned();
        if party.can_be_made() {
            principal_name = format!("${{{}.name}}", address(party));
            self.principal(party);
        }
        let Some(document) = part.desired.identity_policy(party, &part.stand_ins) else { return };
        // Last, as `apply` does: the bucket is guarded before anybody is sent to it.
        let guards = part
            .own_lanes_of(party)
            .map(|lane| format!("aws_s3_bucket_policy.{}", snake(lane.name.as_ref())));
        let policy = json!({
            "name": part.desired.identity_policy_name(),
            "policy": self.policy(&document),
        });
        let mut policy = after(policy, guards.collect());
        let foreign = part.foreign_keys_of(party);
        if !foreign.is_empty() {
            let keys: Vec<String> =
                foreign.iter().map(|lane| format!("var.{}", key_variable(lane))).collect();
            let known = format!("alltrue([for arn in [{}] : arn != null])", keys.join(", "));
            policy["count"] = format!("${{{known} ? 1 : 0}}").into();
        }
        if party.is_user() {
            policy["user"] = principal_name.into();
            self.add("aws_iam_user_policy", &name, policy);
        } else {
            policy["role"] = principal_name.into();
            self.add("aws_iam_role_policy", &name, policy);
        }
    }

    /// A party's role, if the exchange file says who may assume it, or its user.
    fn principal(&mut self, party: &DesiredParty) {
        let mut principal = json!({
            "name": party.principal.name(),
            "path": party.principal.path(),
            "tags": self.part.desired.principal_tags(),
        });
        if let Some(trust) = party.trust_policy() {
            principal["assume_role_policy"] = self.policy(&trust).into();
            let before = self.part.made_before(party).map(address);
            principal = after(principal, before.into_iter().collect());
        }
        self.add(principal_type(party), &snake(party.name.as_ref()), principal);
    }

    fn principals_of(&self, lane: &DesiredLane) -> Vec<String> {
        self.part.principals_of(lane).into_iter().map(address).collect()
    }

    /// A document as a template: the JSON text of the policy, with references for keys.
    fn policy(&self, document: &Document) -> String {
        let text = document.to_json().replace("${", "$${").replace("%{", "%%{");
        self.part.with_references(&text, |lane, own| format!("\"{}\"", key_reference(lane, own)))
    }
}

fn after(mut resource: Value, names: Vec<String>) -> Value {
    if !names.is_empty() {
        resource["depends_on"] = names.into();
    }
    resource
}

fn check_provider(provider: Provider, lane: &DesiredLane) -> Result<(), Error> {
    let impossible = match provider {
        Provider::V6 => return Ok(()),
        Provider::V5 if lane.account_regional() => {
            format!("create {}, an account-regional name", lane.bucket)
        }
        // S3 blocks them on every new bucket until somebody says otherwise.
        Provider::V5 if lane.at_rest == AtRest::SseC => {
            "let a new bucket take customer-provided keys".to_owned()
        }
        Provider::V5 => return Ok(()),
    };
    let message =
        format!("lane `{}`: version 5 of the AWS provider cannot {impossible}", lane.name);
    Err(Error::new(ErrorKind::Exchange, message).with_hint("consign export terraform --provider 6"))
}

fn lifecycle_rule(lane: &DesiredLane) -> Value {
    let lifecycle = lifecycle(lane);
    json!({
        "id": LIFECYCLE_RULE,
        "status": "Enabled",
        // Every object: without it the provider asks for a filter.
        "filter": {},
        "expiration": { "days": lifecycle.expire_days },
        "noncurrent_version_expiration": { "noncurrent_days": lifecycle.noncurrent_days },
        "abort_incomplete_multipart_upload": {
            "days_after_initiation": lifecycle.unfinished_upload_days,
        },
    })
}

fn principal_type(party: &DesiredParty) -> &'static str {
    if party.is_user() { "aws_iam_user" } else { "aws_iam_role" }
}

fn address(party: &DesiredParty) -> String {
    format!("{}.{}", principal_type(party), snake(party.name.as_ref()))
}

fn key_reference(lane: &DesiredLane, own: bool) -> String {
    if own {
        format!("${{aws_kms_key.{}.arn}}", snake(lane.name.as_ref()))
    } else {
        format!("${{var.{}}}", key_variable(lane))
    }
}

fn key_variable(lane: &DesiredLane) -> String {
    format!("key_arn_{}", snake(lane.name.as_ref()))
}

/// `to-client` as `to_client`. No two names meet: they hold no underscores.
fn snake(name: &str) -> String {
    name.replace('-', "_")
}
