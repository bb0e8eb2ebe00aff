//! SQS's wire: JSON 1.0, the operation in `X-Amz-Target`.
//!
//! SQS once spoke the Query protocol, with codes of its own. Clients that know those (botocore,
//! and with it the AWS CLI) read them from the header `x-amzn-query-error`.

use std::sync::Arc;

use http::{HeaderValue, Response, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{messages, moves, queues};
use crate::call::Call;
use crate::error::{ApiError, ResponseBody, full};
use crate::state::State;

/// The prefix of every operation's name in `X-Amz-Target`.
pub(crate) const TARGET: &str = "AmazonSQS.";

pub(super) type Answer = Result<Value, ApiError>;

pub(super) async fn answer(
    state: &Arc<State>,
    call: &Call,
    body: &[u8],
) -> Result<Response<ResponseBody>, ApiError> {
    let target = call.header("x-amz-target").unwrap_or_default();
    let answer = dispatch(state, call, target.strip_prefix(TARGET).unwrap_or_default(), body);
    let answer = answer.await?;
    // Operations without a result answer with an empty object.
    let text = if answer.is_null() { "{}".to_owned() } else { answer.to_string() };
    let mut response = Response::new(full(text));
    let json = HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

async fn dispatch(state: &Arc<State>, call: &Call, operation: &str, body: &[u8]) -> Answer {
    match operation {
        "CreateQueue" => queues::create(state, call, read(body)?).await,
        "GetQueueUrl" => queues::url(state, call, &read(body)?),
        "ListQueues" => queues::list(state, call, &read(body)?),
        "GetQueueAttributes" => queues::get_attributes(state, call, &read(body)?).await,
        "SetQueueAttributes" => queues::set_attributes(state, call, read(body)?).await,
        "DeleteQueue" => queues::delete(state, call, &read(body)?).await,
        "PurgeQueue" => queues::purge(state, call, &read(body)?).await,
        "TagQueue" => queues::tag(state, call, read(body)?).await,
        "UntagQueue" => queues::untag(state, call, read(body)?).await,
        "ListQueueTags" => queues::tags(state, call, &read(body)?),
        "ListDeadLetterSourceQueues" => queues::sources(state, call, &read(body)?),
        "SendMessage" => messages::send(state, call, read(body)?).await,
        "SendMessageBatch" => messages::send_batch(state, call, read(body)?).await,
        "ReceiveMessage" => messages::receive(state, call, &read(body)?).await,
        "DeleteMessage" => messages::delete(state, call, &read(body)?).await,
        "DeleteMessageBatch" => messages::delete_batch(state, call, read(body)?).await,
        "ChangeMessageVisibility" => messages::change(state, call, &read(body)?).await,
        "ChangeMessageVisibilityBatch" => messages::change_batch(state, call, read(body)?).await,
        "StartMessageMoveTask" => moves::start(state, call, &read(body)?).await,
        "" => Err(ApiError::bad_request("UnknownOperationException", "")),
        other => {
            let message = format!("{other} is not implemented by this local cloud");
            Err(fault("UnsupportedOperation", message))
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde_json refuses nesting beyond 128 levels by itself. Its message could quote the input,
    // which may be a message, so it stays here.
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(|error| {
        let why = match error.classify() {
            serde_json::error::Category::Data => "A member is missing or has another type.",
            _ => "The request is not JSON.",
        };
        ApiError::bad_request("SerializationException", why)
    })
}

/// Reads a request as each operation that has one: for fuzzing.
pub(super) fn read_as_any(body: &[u8]) {
    drop(read::<queues::CreateInput>(body));
    drop(read::<queues::AttributesInput>(body));
    drop(read::<queues::TagInput>(body));
    drop(read::<messages::SendInput>(body));
    drop(read::<messages::ReceiveInput>(body));
    drop(read::<messages::Batch<messages::SendEntry>>(body));
    drop(read::<messages::Batch<messages::HandleEntry>>(body));
}

/// An error by its name in SQS's model, with the name it had in the Query protocol.
pub(super) fn fault(code: &'static str, message: impl Into<String>) -> ApiError {
    let query = match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
        "QueueNameExists" => "QueueAlreadyExists",
        "InvalidParameterValueException" => "InvalidParameterValue",
        "MissingParameterException" => "MissingParameter",
        "MessageNotInflight" => "AWS.SimpleQueueService.MessageNotInflight",
        "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "BatchRequestTooLong" => "AWS.SimpleQueueService.BatchRequestTooLong",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
        "InvalidBatchEntryId" => "AWS.SimpleQueueService.InvalidBatchEntryId",
        "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "UnsupportedOperation" => "AWS.SimpleQueueService.UnsupportedOperation",
        // These kept their names.
        other => other,
    };
    ApiError::bad_request(code, message).header("x-amzn-query-error", format!("{query};Sender"))
}

/// A parameter with a value that makes no sense.
pub(super) fn invalid(name: &str, value: &str, reason: &str) -> ApiError {
    let message = format!("Value {value} for parameter {name} is invalid. Reason: {reason}");
    fault("InvalidParameterValueException", message)
}

/// The caller's account. SQS answers no unsigned request.
pub(super) fn caller_account(call: &Call) -> Result<&str, ApiError> {
    call.caller.account.as_deref().ok_or_else(ApiError::access_denied)
}
