//! Sending dead letters back.

use serde::Deserialize;
use serde_json::json;

use super::queues::allow;
use super::records::QueueName;
use super::shelf;
use super::wire::{Answer, fault};
use crate::call::Call;
use crate::error::ApiError;
use crate::state::State;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StartInput {
    source_arn: String,
    destination_arn: Option<String>,
}

/// Moves everything at once, in one transaction: when the task is answered it is over, so there is
/// nothing to list or to cancel.
pub(super) async fn start(state: &State, call: &Call, input: &StartInput) -> Answer {
    let find = |arn: &str| {
        let name = QueueName::of_arn(arn, &state.region);
        name.and_then(|name| state.queues.find(&name)).ok_or_else(|| {
            fault("ResourceNotFoundException", "The resource that you specified doesn't exist.")
        })
    };
    let from = find(&input.source_arn)?;
    for operation in ["StartMessageMoveTask", "ReceiveMessage", "DeleteMessage"] {
        allow(state, call, &from, operation)?;
    }
    let is_target = |queue: &super::Queue| {
        queue.redrive().is_some_and(|redrive| redrive.target_arn == input.source_arn)
    };
    let sources = state.queues.of_account(&from.account);
    let sources: Vec<_> = sources.iter().filter(|queue| is_target(queue)).collect();
    if sources.is_empty() {
        let why = "Source queue must be configured as a Dead Letter Queue.";
        return Err(fault("InvalidParameterValueException", why));
    }
    let to = input.destination_arn.as_deref().map(find).transpose()?;
    match &to {
        Some(to) => allow(state, call, to, "SendMessage")?,
        None => sources.iter().try_for_each(|queue| allow(state, call, queue, "SendMessage"))?,
    }
    let (to, now_ms) = (to.map(|queue| queue.id()), call.now_ms);
    let moving = state.store.commit(move |transaction, after| {
        after.rings = true;
        shelf::move_back(transaction, &from, to.as_ref(), now_ms)
    });
    moving.await.map_err(ApiError::internal)?;
    Ok(json!({ "TaskHandle": crate::kms::new_uuid() }))
}
