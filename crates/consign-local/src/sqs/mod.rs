//! SQS: standard queues that lose no acknowledged message.
//!
//! [`handle`] takes a request that passed the gate, finds its operation in `X-Amz-Target`, and hands
//! it to [`queues`] (making, describing, governing) or [`messages`] (sending, receiving, deleting).
//! What lies on disk and what one transaction does to it is [`shelf`]. Queues share the database
//! of S3's index, for one reason: an object and the message that announces it are one transaction
//! (see docs/decisions/0010), so no crash can come between them.
//!
//! What SQS has and this cloud has not (FIFO queues, message attributes, the Query protocol) is
//! refused by name, never ignored.

mod attributes;
mod bell;
mod messages;
mod moves;
mod queues;
mod records;
mod redrive;
pub(crate) mod shelf;
mod wire;

use std::sync::Arc;

use http::Response;

pub use bell::Bell;
pub(crate) use queues::Via;
pub use records::Queues;
pub(crate) use records::{Queue, QueueName};
pub(crate) use wire::TARGET;

use crate::call::Verified;
use crate::error::{ApiError, ResponseBody};
use crate::state::State;

/// The longest request: a batch of 1 MiB whose every character JSON writes as six.
pub(crate) const CALL_BYTES_MAX: usize = 8 << 20;

/// Answers one verified request.
pub async fn handle(
    state: Arc<State>,
    verified: Verified,
) -> Result<Response<ResponseBody>, ApiError> {
    let Verified { call, mut body } = verified;
    // The gate read the body whole, within bounds, to check its signature.
    let bytes = body.collect(usize::MAX, || ApiError::internal("unbounded")).await?;
    wire::answer(&state, &call, &bytes).await
}

/// What reads bytes that strangers wrote, for fuzzing: none of it may panic or take long.
#[doc(hidden)]
pub mod fuzzing {
    /// The input of every operation, and the documents and handles inside.
    pub fn request(bytes: &[u8]) {
        super::wire::read_as_any(bytes);
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = super::records::Handle::parse(text);
            let _ = super::records::QueueName::of_arn(text, "eu-west-1");
            let _ = super::records::QueueName::of_url(text);
            let _ = super::redrive::RedrivePolicy::parse(text);
            let _ = super::redrive::AllowPolicy::parse(text);
        }
    }
}
