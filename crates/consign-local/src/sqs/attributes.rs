//! What can be set on a queue, and what can be read of one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::records::{Queue, QueueName};
use super::redrive::{AllowPolicy, RedrivePolicy};
use super::shelf::Counts;
use super::wire::fault;
use crate::call::Call;
use crate::error::ApiError;
use crate::policy::{Policy, PolicyKind};
use crate::state::State;

/// Numeric attributes: name, least, most, default. From SQS's API reference of CreateQueue.
const NUMBERS: [(&str, u64, u64, u64); 6] = [
    ("DelaySeconds", 0, 900, 0),
    ("KmsDataKeyReusePeriodSeconds", 60, 86_400, 300),
    ("MaximumMessageSize", 1024, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX),
    ("MessageRetentionPeriod", 60, 1_209_600, 345_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20, 0),
    ("VisibilityTimeout", 0, VISIBILITY_SECONDS_MAX, 30),
];

/// 1 MiB, since August 2025; 256 KiB before.
pub(super) const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Twelve hours.
pub(super) const VISIBILITY_SECONDS_MAX: u64 = 43_200;
const POLICY_BYTES_MAX: usize = 8 << 10;

pub(super) fn default_of(name: &str) -> Option<u64> {
    NUMBERS.iter().find(|(known, ..)| *known == name).map(|(.., default)| *default)
}

/// Checks what a client wants to set on a queue of `account`. Empty texts take a document away.
pub(super) fn check(
    state: &State,
    call: &Call,
    queue: &QueueName,
    wanted: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    for (name, value) in wanted {
        check_one(state, call, queue, name, value)?;
    }
    let set = |name: &str| wanted.get(name).is_some_and(|value| !value.is_empty());
    if set("KmsMasterKeyId") && wanted.get("SqsManagedSseEnabled").is_some_and(|on| on == "true") {
        let why = "You can use one type of server-side encryption (SSE) at one time. You can \
                   either enable KMS SSE or SQS SSE.";
        return Err(fault("InvalidAttributeValue", why));
    }
    Ok(())
}

fn check_one(
    state: &State,
    call: &Call,
    queue: &QueueName,
    name: &str,
    value: &str,
) -> Result<(), ApiError> {
    let refused = |reason: String| {
        let message = format!("Invalid value for the parameter {name}. Reason: {reason}");
        fault("InvalidAttributeValue", message)
    };
    if let Some((_, least, most, _)) = NUMBERS.iter().find(|(known, ..)| *known == name) {
        let fits = value.parse::<u64>().is_ok_and(|number| (*least..=*most).contains(&number));
        let why = || refused(format!("Must be an integer from {least} to {most}."));
        return if fits { Ok(()) } else { Err(why()) };
    }
    match (name, value) {
        ("Policy" | "RedrivePolicy" | "RedriveAllowPolicy" | "KmsMasterKeyId", "") => Ok(()),
        ("SqsManagedSseEnabled", "true" | "false") => Ok(()),
        ("SqsManagedSseEnabled", _) => Err(refused("Must be true or false.".to_owned())),
        ("Policy", text) => check_policy(text).map_err(refused),
        ("RedriveAllowPolicy", text) => AllowPolicy::parse(text).map(drop).map_err(refused),
        ("RedrivePolicy", text) => {
            let policy = RedrivePolicy::parse(text).map_err(refused)?;
            check_dead_letters(state, queue, &policy).map_err(refused)
        }
        ("KmsMasterKeyId", key) => crate::kms::key_arn_for_sqs(state, call, key)
            .map(drop)
            .map_err(|error| fault("KmsNotFound", error.message)),
        (
            "FifoQueue"
            | "ContentBasedDeduplication"
            | "DeduplicationScope"
            | "FifoThroughputLimit",
            _,
        ) => Err(fault("UnsupportedOperation", "This local cloud offers no FIFO queues.")),
        (other, _) => Err(fault("InvalidAttributeName", format!("Unknown Attribute {other}."))),
    }
}

/// A queue policy parses and names principals.
fn check_policy(text: &str) -> Result<(), String> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(format!("The policy is longer than {POLICY_BYTES_MAX} bytes."));
    }
    Policy::parse_as(PolicyKind::Resource, text).map_err(|refusal| refusal.to_string())?;
    let parsed: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let statements = match parsed.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(statement) => vec![statement.clone()],
        None => Vec::new(),
    };
    let named = |statement: &Value| {
        statement.get("Principal").is_some() || statement.get("NotPrincipal").is_some()
    };
    match statements.iter().all(named) {
        true => Ok(()),
        false => Err("Missing required field Principal.".to_owned()),
    }
}

/// The dead-letter queue is there, of the same account, another one, and lets itself be used.
fn check_dead_letters(
    state: &State,
    queue: &QueueName,
    policy: &RedrivePolicy,
) -> Result<(), String> {
    let name = QueueName::of_arn(&policy.target_arn, &state.region);
    let target = name.filter(|name| name.account == queue.account && name != queue);
    let target = target.and_then(|name| state.queues.find(&name));
    let target = target.ok_or("Dead letter target does not exist, or is this very queue.")?;
    let source = format!("arn:aws:sqs:{}:{}:{}", state.region, queue.account, queue.name);
    let allowed = match target.attributes.get("RedriveAllowPolicy") {
        Some(text) => AllowPolicy::parse(text)?.allows(&source),
        None => true,
    };
    match allowed {
        true => Ok(()),
        false => Err("The dead letter target's RedriveAllowPolicy does not allow it.".to_owned()),
    }
}

/// Carries out what [`check`] let pass.
pub(super) fn apply(queue: &mut Queue, wanted: BTreeMap<String, String>) {
    // What was parsed of the old policy ends with it.
    queue.policy_cache = Default::default();
    let attributes = &mut queue.attributes;
    for (name, value) in wanted {
        match (name.as_str(), value.as_str()) {
            // One kind of encryption takes the place of the other.
            ("KmsMasterKeyId", key) if !key.is_empty() => {
                attributes.remove("SqsManagedSseEnabled");
            }
            ("SqsManagedSseEnabled", "true") => drop(attributes.remove("KmsMasterKeyId")),
            _ => {}
        }
        match value.is_empty() {
            true => drop(attributes.remove(&name)),
            false => drop(attributes.insert(name, value)),
        }
    }
}

/// Every attribute that reads as set, by name.
pub(super) fn of_queue(queue: &Queue, counts: Counts) -> BTreeMap<String, String> {
    let mut all = queue.attributes.clone();
    let has_key = all.contains_key("KmsMasterKeyId");
    for (name, .., default) in NUMBERS {
        if name != "KmsDataKeyReusePeriodSeconds" || has_key {
            all.entry(name.to_owned()).or_insert_with(|| default.to_string());
        }
    }
    all.entry("SqsManagedSseEnabled".to_owned()).or_insert_with(|| (!has_key).to_string());
    let seconds = |ms: u64| (ms / 1000).to_string();
    for (name, value) in [
        ("QueueArn", queue.arn()),
        ("CreatedTimestamp", seconds(queue.created_ms)),
        ("LastModifiedTimestamp", seconds(queue.modified_ms)),
        ("ApproximateNumberOfMessages", counts.visible.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
        ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
    ] {
        all.insert(name.to_owned(), value);
    }
    all
}

/// Whether a queue could have an attribute that this one has not.
pub(super) fn is_known(name: &str) -> bool {
    const OPTIONAL: [&str; 9] = [
        "ContentBasedDeduplication",
        "DeduplicationScope",
        "FifoQueue",
        "FifoThroughputLimit",
        "KmsDataKeyReusePeriodSeconds",
        "KmsMasterKeyId",
        "Policy",
        "RedriveAllowPolicy",
        "RedrivePolicy",
    ];
    OPTIONAL.contains(&name)
}
