//! Operations on messages.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::attributes::{MESSAGE_BYTES_MAX, VISIBILITY_SECONDS_MAX};
use super::queues::{allow, find, may_use_key, no_such_queue};
use super::records::{Handle, Queue};
use super::shelf::{self, Message, NotInFlight};
use super::wire::{Answer, fault, invalid};
use crate::authorize::Facts;
use crate::call::Call;
use crate::error::ApiError;
use crate::state::State;

const BATCH_MAX: usize = 10;
const WAIT_SECONDS_MAX: u64 = 20;
const DELAY_SECONDS_MAX: u64 = 900;
/// A hidden message is seen again without a ring: whoever waits looks so often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendInput {
    queue_url: String,
    #[serde(flatten)]
    content: Content,
}

/// What is sent, alone or in a batch.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Content {
    message_body: String,
    delay_seconds: Option<u64>,
    message_attributes: Option<Map<String, Value>>,
    message_system_attributes: Option<Map<String, Value>>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<T> {
    queue_url: String,
    entries: Vec<Entry<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<T> {
    id: String,
    #[serde(flatten)]
    what: T,
}

pub(super) type SendEntry = Content;

pub(super) async fn send(state: &State, call: &Call, input: SendInput) -> Answer {
    let queue = find(state, &input.queue_url)?;
    may_send(state, call, &queue)?;
    check(&queue, &input.content)?;
    let message = seal(state, call, &input.content);
    let answer = sent(&message);
    store(state, call, &queue, vec![(message, input.content.delay_seconds)]).await?;
    Ok(answer)
}

pub(super) async fn send_batch(state: &State, call: &Call, input: Batch<SendEntry>) -> Answer {
    let queue = find(state, &input.queue_url)?;
    may_send(state, call, &queue)?;
    check_batch(&input.entries)?;
    let bytes: usize = input.entries.iter().map(|entry| entry.what.message_body.len()).sum();
    if bytes as u64 > MESSAGE_BYTES_MAX {
        let why = format!(
            "Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {bytes} \
             bytes."
        );
        return Err(fault("BatchRequestTooLong", why));
    }
    let (mut successful, mut failed, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for Entry { id, what } in input.entries {
        match check(&queue, &what) {
            Ok(()) => {
                let message = seal(state, call, &what);
                let mut answer = sent(&message);
                answer["Id"] = Value::String(id);
                successful.push(answer);
                messages.push((message, what.delay_seconds));
            }
            Err(error) => failed.push(failure(&id, &error)),
        }
    }
    store(state, call, &queue, messages).await?;
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

fn may_send(state: &State, call: &Call, queue: &Queue) -> Result<(), ApiError> {
    allow(state, call, queue, "SendMessage")?;
    may_use_key(state, call, queue, &["GenerateDataKey", "Decrypt"], &Facts::new())
}

fn check(queue: &Queue, content: &Content) -> Result<(), ApiError> {
    let some = |map: &Option<Map<String, Value>>| map.as_ref().is_some_and(|map| !map.is_empty());
    if some(&content.message_attributes) || some(&content.message_system_attributes) {
        return Err(fault("UnsupportedOperation", "This local cloud keeps no message attributes."));
    }
    if content.message_group_id.is_some() || content.message_deduplication_id.is_some() {
        return Err(fault("UnsupportedOperation", "This local cloud offers no FIFO queues."));
    }
    if let Some(delay) = content.delay_seconds.filter(|delay| *delay > DELAY_SECONDS_MAX) {
        return Err(invalid("DelaySeconds", &delay.to_string(), "Must be from 0 to 900."));
    }
    let (body, most) = (&content.message_body, queue.number_of("MaximumMessageSize"));
    if body.is_empty() {
        let why = "The request must contain the parameter MessageBody.";
        return Err(fault("MissingParameterException", why));
    }
    if body.len() as u64 > most {
        let why = format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
        );
        return Err(fault("InvalidParameterValueException", why));
    }
    // What XML 1.0 can hold, as the reference of SendMessage has it.
    let holds = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    match body.chars().all(holds) {
        true => Ok(()),
        false => {
            let why = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | \
                       #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF";
            Err(fault("InvalidMessageContents", why))
        }
    }
}

fn seal(state: &State, call: &Call, content: &Content) -> Message {
    Message::new(&state.vault, &content.message_body, &call.caller.user_id, call.now_ms)
}

fn sent(message: &Message) -> Value {
    json!({ "MessageId": message.id, "MD5OfMessageBody": message.md5 })
}

async fn store(
    state: &State,
    call: &Call,
    queue: &Arc<Queue>,
    messages: Vec<(Message, Option<u64>)>,
) -> Result<(), ApiError> {
    if messages.is_empty() {
        return Ok(());
    }
    let (queue, now_ms) = (queue.clone(), call.now_ms);
    let storing = state.store.commit(move |transaction, after| {
        after.rings = true;
        for (message, delay) in &messages {
            if !shelf::send(transaction, &queue, message, now_ms, *delay)? {
                return Ok(false);
            }
        }
        Ok(true)
    });
    match storing.await.map_err(ApiError::internal)? {
        true => Ok(()),
        false => Err(no_such_queue()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiveInput {
    queue_url: String,
    max_number_of_messages: Option<u64>,
    visibility_timeout: Option<u64>,
    wait_time_seconds: Option<u64>,
    /// The older name of the next field.
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
}

pub(super) async fn receive(state: &Arc<State>, call: &Call, input: &ReceiveInput) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "ReceiveMessage")?;
    may_use_key(state, call, &queue, &["Decrypt"], &Facts::new())?;
    let max = input.max_number_of_messages.unwrap_or(1);
    if !(1..=BATCH_MAX as u64).contains(&max) {
        let why = "Must be between 1 and 10, if provided.";
        return Err(invalid("MaxNumberOfMessages", &max.to_string(), why));
    }
    let usual = || queue.number_of("ReceiveMessageWaitTimeSeconds");
    let wait = input.wait_time_seconds.unwrap_or_else(usual);
    if wait > WAIT_SECONDS_MAX {
        let why = "Must be >= 0 and <= 20, if provided.";
        return Err(invalid("WaitTimeSeconds", &wait.to_string(), why));
    }
    let hidden = input.visibility_timeout.unwrap_or_else(|| queue.number_of("VisibilityTimeout"));
    check_visibility(hidden)?;
    let until = Instant::now() + Duration::from_secs(wait);
    let max = usize::try_from(max).unwrap_or(BATCH_MAX);
    let received = loop {
        let ring = state.store.bell().next();
        let received = take(state, &queue, max, hidden).await?;
        let left = until.saturating_duration_since(Instant::now());
        if !received.is_empty() || left.is_zero() || state.store.bell().is_closing() {
            break received;
        }
        // A ring or none: look again either way.
        let _ = tokio::time::timeout(left.min(LOOK_AGAIN), ring).await;
    };
    let wanted: HashSet<&str> = input
        .attribute_names
        .iter()
        .chain(&input.message_system_attribute_names)
        .map(String::as_str)
        .collect();
    let shown = received.iter().map(|(handle, message)| show(state, handle, message, &wanted));
    match shown.collect::<Result<Vec<_>, _>>()? {
        none if none.is_empty() => Ok(Value::Null),
        shown => Ok(json!({ "Messages": shown })),
    }
}

/// A look that costs no commit while there is nothing to take.
async fn take(
    state: &Arc<State>,
    queue: &Arc<Queue>,
    max: usize,
    hidden_seconds: u64,
) -> Result<Vec<(Handle, Message)>, ApiError> {
    let (now_ms, number) = (state.clock.now_ms(), queue.number);
    let shared = state.clone();
    let looking = tokio::task::spawn_blocking(move || {
        shared.store.read().and_then(|read| shelf::has_visible(&read, number, now_ms))
    });
    if !looking.await.map_err(ApiError::internal)?.map_err(ApiError::internal)? {
        return Ok(Vec::new());
    }
    let (queue, hidden_ms) = (queue.clone(), now_ms + hidden_seconds * 1000);
    let taking = state
        .store
        .commit(move |transaction, _| shelf::receive(transaction, &queue, now_ms, max, hidden_ms));
    taking.await.map_err(ApiError::internal)
}

fn show(
    state: &State,
    handle: &Handle,
    message: &Message,
    wanted: &HashSet<&str>,
) -> Result<Value, ApiError> {
    let body = message.body(&state.vault);
    let body = body.ok_or_else(|| ApiError::internal("a message does not open"))?;
    let mut attributes = BTreeMap::from([
        ("SenderId", message.sender.clone()),
        ("SentTimestamp", message.sent_ms.to_string()),
        ("ApproximateReceiveCount", message.receives.to_string()),
    ]);
    if let Some(first_ms) = message.first_received_ms {
        attributes.insert("ApproximateFirstReceiveTimestamp", first_ms.to_string());
    }
    if let Some(source) = &message.source {
        attributes.insert("DeadLetterQueueSourceArn", source.clone());
    }
    attributes.retain(|name, _| wanted.contains("All") || wanted.contains(name));
    let mut shown = json!({
        "MessageId": message.id,
        "ReceiptHandle": handle.text(),
        "MD5OfBody": message.md5,
        "Body": body,
    });
    if !attributes.is_empty() {
        shown["Attributes"] = json!(attributes);
    }
    Ok(shown)
}

/// One message by its handle, and for how long to hide it where that is asked.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HandleEntry {
    receipt_handle: String,
    visibility_timeout: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HandleInput {
    queue_url: String,
    #[serde(flatten)]
    entry: HandleEntry,
}

pub(super) async fn delete(state: &State, call: &Call, input: &HandleInput) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "DeleteMessage")?;
    let handle = read_handle(&queue, &input.entry)?;
    let deleting = state.store.commit(move |transaction, _| shelf::delete(transaction, &handle));
    // A handle that is not the latest is answered like one that is.
    deleting.await.map(|_| Value::Null).map_err(ApiError::internal)
}

pub(super) async fn delete_batch(state: &State, call: &Call, input: Batch<HandleEntry>) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "DeleteMessage")?;
    check_batch(&input.entries)?;
    let (handles, ids, failed) = read_handles(&queue, input.entries, |_| Ok(()));
    let deleting = state.store.commit(move |transaction, _| {
        handles.iter().try_for_each(|(handle, ())| shelf::delete(transaction, handle).map(drop))
    });
    deleting.await.map_err(ApiError::internal)?;
    let done: Vec<_> = ids.into_iter().map(|id| json!({ "Id": id })).collect();
    Ok(json!({ "Successful": done, "Failed": failed }))
}

pub(super) async fn change(state: &State, call: &Call, input: &HandleInput) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "ChangeMessageVisibility")?;
    let handle = read_handle(&queue, &input.entry)?;
    let hidden_ms = call.now_ms + read_visibility(&input.entry)? * 1000;
    let now_ms = call.now_ms;
    let changing = state.store.commit(move |transaction, after| {
        after.rings = true;
        shelf::hide(transaction, &handle, now_ms, hidden_ms)
    });
    changing.await.map_err(ApiError::internal)?.map_err(not_in_flight)?;
    Ok(Value::Null)
}

pub(super) async fn change_batch(state: &State, call: &Call, input: Batch<HandleEntry>) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "ChangeMessageVisibility")?;
    check_batch(&input.entries)?;
    let (handles, ids, mut failed) = read_handles(&queue, input.entries, read_visibility);
    let now_ms = call.now_ms;
    let changing = state.store.commit(move |transaction, after| {
        after.rings = true;
        let hide = |(handle, seconds): &(Handle, u64)| {
            shelf::hide(transaction, handle, now_ms, now_ms + seconds * 1000)
        };
        handles.iter().map(hide).collect::<Result<Vec<_>, _>>()
    });
    let results = changing.await.map_err(ApiError::internal)?;
    let mut done = Vec::new();
    for (id, result) in ids.into_iter().zip(results) {
        match result {
            Ok(()) => done.push(json!({ "Id": id })),
            Err(why) => failed.push(failure(&id, &not_in_flight(why))),
        }
    }
    Ok(json!({ "Successful": done, "Failed": failed }))
}

fn read_handle(queue: &Queue, entry: &HandleEntry) -> Result<Handle, ApiError> {
    let handle = Handle::parse(&entry.receipt_handle).filter(|handle| handle.queue == queue.number);
    handle.ok_or_else(|| fault("ReceiptHandleIsInvalid", "The input receipt handle is invalid."))
}

/// Handles with what else each entry asks, the ids of those, and the entries that failed.
type Read<T> = (Vec<(Handle, T)>, Vec<String>, Vec<Value>);

fn read_handles<T>(
    queue: &Queue,
    entries: Vec<Entry<HandleEntry>>,
    ask: impl Fn(&HandleEntry) -> Result<T, ApiError>,
) -> Read<T> {
    let (mut handles, mut ids, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for Entry { id, what } in entries {
        match read_handle(queue, &what).and_then(|handle| Ok((handle, ask(&what)?))) {
            Ok(read) => {
                handles.push(read);
                ids.push(id);
            }
            Err(error) => failed.push(failure(&id, &error)),
        }
    }
    (handles, ids, failed)
}

fn read_visibility(entry: &HandleEntry) -> Result<u64, ApiError> {
    let why = "The request must contain the parameter VisibilityTimeout.";
    let given = entry.visibility_timeout;
    let seconds = given.ok_or_else(|| fault("MissingParameterException", why))?;
    check_visibility(seconds).map(|()| seconds)
}

fn check_visibility(seconds: u64) -> Result<(), ApiError> {
    match seconds <= VISIBILITY_SECONDS_MAX {
        true => Ok(()),
        false => {
            let why = "Must be between 0 and 43200.";
            Err(invalid("VisibilityTimeout", &seconds.to_string(), why))
        }
    }
}

fn not_in_flight(why: NotInFlight) -> ApiError {
    match why {
        NotInFlight::Visible => fault("MessageNotInflight", "The message is not in flight."),
        NotInFlight::Stale => invalid(
            "ReceiptHandle",
            "given",
            "Message does not exist or is not available for visibility timeout change.",
        ),
    }
}

fn check_batch<T>(entries: &[Entry<T>]) -> Result<(), ApiError> {
    if entries.is_empty() {
        return Err(fault("EmptyBatchRequest", "There should be at least one entry."));
    }
    if entries.len() > BATCH_MAX {
        let why = format!(
            "Maximum number of entries per request are 10. You have sent {}.",
            entries.len()
        );
        return Err(fault("TooManyEntriesInBatchRequest", why));
    }
    let mut ids = HashSet::new();
    for entry in entries {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=80).contains(&entry.id.len()) || !entry.id.bytes().all(sound) {
            let why = "A batch entry id can only contain alphanumeric characters, hyphens and \
                       underscores. It can be at most 80 letters long.";
            return Err(fault("InvalidBatchEntryId", why));
        }
        if !ids.insert(entry.id.as_str()) {
            return Err(fault("BatchEntryIdsNotDistinct", format!("Id {} repeated.", entry.id)));
        }
    }
    Ok(())
}

fn failure(id: &str, error: &ApiError) -> Value {
    json!({ "Id": id, "SenderFault": true, "Code": error.code, "Message": error.message })
}
