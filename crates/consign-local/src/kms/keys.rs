//! The operations that make, describe and govern keys.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Page, seconds};
use super::fault::Fault;
use super::permit::{NamedKey, Via, caller_account, fact, find_key};
use super::records::{Key, KeyState};
use crate::authorize::{Facts, Question, authorize};
use crate::call::Call;
use crate::error::ApiError;
use crate::policy::{Policy, PolicyKind};
use crate::state::State;

const POLICY_BYTES_MAX: usize = 32 << 10;
const TAGS_MAX: usize = 50;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyOnly {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    tag_key: String,
    tag_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    policy: Option<String>,
    #[serde(default)]
    description: String,
    key_usage: Option<String>,
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    origin: Option<String>,
    #[serde(default)]
    multi_region: bool,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    bypass_policy_lockout_safety_check: bool,
}

pub(super) fn create(state: &State, call: &Call, input: CreateInput) -> Result<Value, Fault> {
    let account = caller_account(call)?.to_owned();
    let spec = input.key_spec.or(input.customer_master_key_spec);
    let asked = [
        (spec, "SYMMETRIC_DEFAULT"),
        (input.key_usage, "ENCRYPT_DECRYPT"),
        (input.origin, "AWS_KMS"),
        (input.multi_region.then(|| "multi-Region".to_owned()), ""),
    ];
    for (given, only) in asked {
        if let Some(given) = given.filter(|given| given != only) {
            return Err(Fault::Unsupported(format!("{given} keys are not offered here.")));
        }
    }
    check_tags(&input.tags, 0)?;
    let bypass = input.bypass_policy_lockout_safety_check;
    let mut facts = tag_facts(&input.tags);
    facts.push(fact("kms:KeySpec", "SYMMETRIC_DEFAULT"));
    facts.push(fact("kms:KeyUsage", "ENCRYPT_DECRYPT"));
    facts.push(fact("kms:KeyOrigin", "AWS_KMS"));
    facts.push(fact("kms:MultiRegion", "false"));
    facts.push(fact("kms:BypassPolicyLockoutSafetyCheck", bypass.to_string()));
    let mut actions = vec!["kms:CreateKey"];
    if !input.tags.is_empty() {
        actions.push("kms:TagResource");
    }
    for action in actions {
        authorize(state, call, action, "*", &account, &[], &facts)
            .map_err(|error| Fault::Denied(Box::new(error)))?;
    }
    let policy = input.policy.unwrap_or_else(|| default_policy(&account));
    let mut key = Key::new(&state.vault, &account, &state.region, &policy, call.now_ms);
    check_policy(state, call, &key, &policy, bypass)?;
    key.description = input.description;
    key.tags = input.tags.into_iter().map(|tag| (tag.tag_key, tag.tag_value)).collect();
    let key = state.keys.create(key)?;
    Ok(json!({ "KeyMetadata": metadata(&key) }))
}

/// What AWS gives a key that is created without a policy: the account's own policies decide.
fn default_policy(account: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
    .to_string()
}

/// Refuses what is not a key policy, and one under which the caller could not change it again: such
/// a key is beyond repair.
fn check_policy(
    state: &State,
    call: &Call,
    key: &Key,
    text: &str,
    bypass: bool,
) -> Result<(), Fault> {
    if text.len() > POLICY_BYTES_MAX {
        let message = format!("The policy is longer than {POLICY_BYTES_MAX} bytes.");
        return Err(ApiError::bad_request("LimitExceededException", message).into());
    }
    let policy = Policy::parse_as(PolicyKind::Key, text)
        .map_err(|refusal| Fault::MalformedPolicy(refusal.to_string()))?;
    if state.directory.unknown_principal(&policy).is_some() {
        let why = "Policy contains a statement with one or more invalid principals.";
        return Err(Fault::MalformedPolicy(why.to_owned()));
    }
    if bypass {
        return Ok(());
    }
    let facts = Facts::new();
    let question = Question {
        action: "kms:PutKeyPolicy",
        resource: &key.arn(),
        resource_account: &key.account,
        resource_policies: &[policy],
        facts: &facts,
        restrict_public_buckets: false,
        via_service: false,
    };
    let decision = question.decide(state, call)?;
    match decision.is_allowed() {
        true => Ok(()),
        false => {
            let why =
                "The new key policy will not allow you to update the key policy in the future.";
            Err(Fault::MalformedPolicy(why.to_owned()))
        }
    }
}

pub(super) fn describe(state: &State, call: &Call, input: &KeyOnly) -> Result<Value, Fault> {
    if input.key_id == super::permit::S3_ALIAS {
        super::permit::ensure_s3_key(state, call)?;
    }
    let key = permitted(state, call, &input.key_id, "DescribeKey")?;
    Ok(json!({ "KeyMetadata": metadata(&key.key) }))
}

fn metadata(key: &Key) -> Value {
    let (name, enabled) = match key.state {
        KeyState::Enabled => ("Enabled", true),
        KeyState::Disabled => ("Disabled", false),
        KeyState::PendingDeletion(_) => ("PendingDeletion", false),
    };
    let mut metadata = json!({
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key.arn(),
        "CreationDate": seconds(key.created_ms),
        "Enabled": enabled,
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": name,
        "Origin": "AWS_KMS",
        "KeyManager": if key.by_service { "AWS" } else { "CUSTOMER" },
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": false,
    });
    if let (KeyState::PendingDeletion(at_ms), Some(fields)) = (key.state, metadata.as_object_mut())
    {
        fields.insert("DeletionDate".to_owned(), seconds(at_ms));
    }
    metadata
}

pub(super) fn list(state: &State, call: &Call, page: &Page) -> Result<Value, Fault> {
    let account = caller_account(call)?;
    authorize(state, call, "kms:ListKeys", "*", account, &[], &Facts::new())
        .map_err(|error| Fault::Denied(Box::new(error)))?;
    let keys = state.keys.list(account, call.now_ms);
    let show = |key: &Arc<Key>| json!({ "KeyId": key.id, "KeyArn": key.arn() });
    Ok(page.cut("Keys", &keys, |key| key.id.clone(), show))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyInput {
    key_id: String,
    policy_name: Option<String>,
    policy: Option<String>,
    #[serde(default)]
    bypass_policy_lockout_safety_check: bool,
}

impl PolicyInput {
    /// A key has one policy, `default`.
    fn check_name(&self) -> Result<(), Fault> {
        match self.policy_name.as_deref() {
            None | Some("default") => Ok(()),
            Some(_) => Err(Fault::NotFound("No such policy exists".to_owned())),
        }
    }
}

pub(super) fn get_policy(state: &State, call: &Call, input: &PolicyInput) -> Result<Value, Fault> {
    let key = permitted(state, call, &input.key_id, "GetKeyPolicy")?;
    input.check_name()?;
    Ok(json!({ "Policy": key.key.policy, "PolicyName": "default" }))
}

pub(super) fn put_policy(state: &State, call: &Call, input: &PolicyInput) -> Result<Value, Fault> {
    let bypass = input.bypass_policy_lockout_safety_check;
    let key = find_key(state, call, &input.key_id)?;
    let mut facts = key.facts(state);
    facts.push(fact("kms:BypassPolicyLockoutSafetyCheck", bypass.to_string()));
    key.authorize_with(state, call, "PutKeyPolicy", Via::Direct, &facts)?;
    input.check_name()?;
    check_own(&key)?;
    let text = input
        .policy
        .as_deref()
        .ok_or_else(|| Fault::Validation("Policy is missing.".to_owned()))?;
    check_policy(state, call, &key.key, text, bypass)?;
    edit(state, &key, |key| text.clone_into(&mut key.policy))
}

pub(super) fn list_policies(state: &State, call: &Call, input: &KeyOnly) -> Result<Value, Fault> {
    permitted(state, call, &input.key_id, "ListKeyPolicies")?;
    Ok(json!({ "PolicyNames": ["default"], "Truncated": false }))
}

pub(super) fn set_enabled(
    state: &State,
    call: &Call,
    input: &KeyOnly,
    enabled: bool,
) -> Result<Value, Fault> {
    let operation = if enabled { "EnableKey" } else { "DisableKey" };
    let key = permitted(state, call, &input.key_id, operation)?;
    check_own(&key)?;
    check_not_pending(&key)?;
    let next = if enabled { KeyState::Enabled } else { KeyState::Disabled };
    edit(state, &key, |key| key.state = next)
}

pub(super) fn set_rotation(
    state: &State,
    call: &Call,
    input: &KeyOnly,
    on: bool,
) -> Result<Value, Fault> {
    let operation = if on { "EnableKeyRotation" } else { "DisableKeyRotation" };
    let key = permitted(state, call, &input.key_id, operation)?;
    check_own(&key)?;
    key.check_usable()?;
    edit(state, &key, |key| key.rotation = on)
}

pub(super) fn rotation_status(state: &State, call: &Call, input: &KeyOnly) -> Result<Value, Fault> {
    let key = permitted(state, call, &input.key_id, "GetKeyRotationStatus")?;
    let mut status = json!({
        "KeyId": key.key.arn(),
        "KeyRotationEnabled": key.key.rotation,
    });
    if let (true, Some(fields)) = (key.key.rotation, status.as_object_mut()) {
        fields.insert("RotationPeriodInDays".to_owned(), json!(365));
    }
    Ok(status)
}

pub(super) fn rotate(state: &State, call: &Call, input: &KeyOnly) -> Result<Value, Fault> {
    let key = permitted(state, call, &input.key_id, "RotateKeyOnDemand")?;
    check_own(&key)?;
    key.check_usable()?;
    // AWS allows 25 rotations on demand in a key's life.
    if key.key.generation() >= 25 {
        let message = "The key was rotated on demand 25 times.";
        return Err(ApiError::bad_request("LimitExceededException", message).into());
    }
    edit(state, &key, |key| key.rotate(&state.vault, call.now_ms))?;
    Ok(json!({ "KeyId": key.key.arn() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeletionInput {
    key_id: String,
    pending_window_in_days: Option<u64>,
}

pub(super) fn schedule_deletion(
    state: &State,
    call: &Call,
    input: &DeletionInput,
) -> Result<Value, Fault> {
    let days = input.pending_window_in_days.unwrap_or(30);
    if !(7..=30).contains(&days) {
        let why = "PendingWindowInDays must be between 7 and 30.";
        return Err(Fault::Validation(why.to_owned()));
    }
    let key = find_key(state, call, &input.key_id)?;
    let mut facts = key.facts(state);
    facts.push(fact("kms:ScheduleKeyDeletionPendingWindowInDays", days.to_string()));
    key.authorize_with(state, call, "ScheduleKeyDeletion", Via::Direct, &facts)?;
    check_own(&key)?;
    check_not_pending(&key)?;
    let at_ms = call.now_ms + days * DAY_MS;
    edit(state, &key, |key| key.state = KeyState::PendingDeletion(at_ms))?;
    Ok(json!({
        "KeyId": key.key.arn(),
        "DeletionDate": seconds(at_ms),
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}

pub(super) fn cancel_deletion(state: &State, call: &Call, input: &KeyOnly) -> Result<Value, Fault> {
    let key = permitted(state, call, &input.key_id, "CancelKeyDeletion")?;
    if !matches!(key.key.state, KeyState::PendingDeletion(_)) {
        return Err(Fault::InvalidState(format!("{} is not pending deletion.", key.key.arn())));
    }
    // As in AWS, the key comes back disabled.
    edit(state, &key, |key| key.state = KeyState::Disabled)?;
    Ok(json!({ "KeyId": key.key.arn() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescriptionInput {
    key_id: String,
    description: String,
}

pub(super) fn update_description(
    state: &State,
    call: &Call,
    input: &DescriptionInput,
) -> Result<Value, Fault> {
    let key = permitted(state, call, &input.key_id, "UpdateKeyDescription")?;
    check_own(&key)?;
    check_not_pending(&key)?;
    edit(state, &key, |key| input.description.clone_into(&mut key.description))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagInput {
    key_id: String,
    tags: Vec<Tag>,
}

pub(super) fn tag(state: &State, call: &Call, input: &TagInput) -> Result<Value, Fault> {
    let key = find_key(state, call, &input.key_id)?;
    let mut facts = key.facts(state);
    facts.extend(tag_facts(&input.tags));
    key.authorize_with(state, call, "TagResource", Via::Direct, &facts)?;
    check_own(&key)?;
    check_not_pending(&key)?;
    let replaced = |tag: &&String| input.tags.iter().any(|new| new.tag_key == **tag);
    check_tags(&input.tags, key.key.tags.keys().filter(|tag| !replaced(tag)).count())?;
    edit(state, &key, |key| {
        for tag in &input.tags {
            key.tags.insert(tag.tag_key.clone(), tag.tag_value.clone());
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagInput {
    key_id: String,
    tag_keys: Vec<String>,
}

pub(super) fn untag(state: &State, call: &Call, input: &UntagInput) -> Result<Value, Fault> {
    let key = find_key(state, call, &input.key_id)?;
    let mut facts = key.facts(state);
    facts.extend(input.tag_keys.iter().map(|tag| fact("aws:TagKeys", tag)));
    key.authorize_with(state, call, "UntagResource", Via::Direct, &facts)?;
    check_own(&key)?;
    check_not_pending(&key)?;
    edit(state, &key, |key| key.tags.retain(|tag, _| !input.tag_keys.contains(tag)))
}

pub(super) fn list_tags(state: &State, call: &Call, input: &KeyOnly) -> Result<Value, Fault> {
    let key = permitted(state, call, &input.key_id, "ListResourceTags")?;
    let tags = key.key.tags.iter();
    let tags: Vec<Value> =
        tags.map(|(key, value)| json!({ "TagKey": key, "TagValue": value })).collect();
    Ok(json!({ "Tags": tags, "Truncated": false }))
}

pub(super) fn list_grants(state: &State, call: &Call, input: &KeyOnly) -> Result<Value, Fault> {
    permitted(state, call, &input.key_id, "ListGrants")?;
    Ok(json!({ "Grants": [], "Truncated": false }))
}

fn permitted(state: &State, call: &Call, name: &str, operation: &str) -> Result<NamedKey, Fault> {
    let key = find_key(state, call, name)?;
    key.authorize(state, call, operation, Via::Direct, None)?;
    Ok(key)
}

fn edit(state: &State, key: &NamedKey, change: impl FnOnce(&mut Key)) -> Result<Value, Fault> {
    state.keys.edit(&key.key.id, |key| {
        change(key);
        Ok(())
    })?;
    Ok(Value::Null)
}

/// Keys made by the service are its own.
fn check_own(key: &NamedKey) -> Result<(), Fault> {
    if !key.key.by_service {
        return Ok(());
    }
    let message = format!("{} is managed by AWS and cannot be changed.", key.key.arn());
    Err(ApiError::new(StatusCode::BAD_REQUEST, "AccessDeniedException", message).into())
}

fn check_not_pending(key: &NamedKey) -> Result<(), Fault> {
    match key.key.state {
        KeyState::PendingDeletion(_) => Err(Fault::PendingDeletion(key.key.arn())),
        _ => Ok(()),
    }
}

fn tag_facts(tags: &[Tag]) -> Facts {
    let each = |tag: &Tag| {
        [
            fact(&format!("aws:RequestTag/{}", tag.tag_key), &tag.tag_value),
            fact("aws:TagKeys", &tag.tag_key),
        ]
    };
    tags.iter().flat_map(each).collect()
}

fn check_tags(tags: &[Tag], already: usize) -> Result<(), Fault> {
    let sound = |tag: &Tag| {
        (1..=128).contains(&tag.tag_key.chars().count())
            && tag.tag_value.chars().count() <= 256
            && !tag.tag_key.to_ascii_lowercase().starts_with("aws:")
    };
    if !tags.iter().all(sound) || already + tags.len() > TAGS_MAX {
        return Err(ApiError::bad_request("TagException", "Invalid tags, or more than 50.").into());
    }
    Ok(())
}
