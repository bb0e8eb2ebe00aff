//! What is different about the operations on a repository and on an inbox: who may, and which calls
//! make up those that only they have.

use super::{Call, Calls, IF_NONE_MATCH, Operation, Rule, SSE, SSE_KEY};
use crate::desired::{DesiredLane, KeyArn};
use crate::stage::{DesiredQueue, SCAN_CLEAN, SCAN_TAG, Stage};

/// What the exchange file declares where it is not what it declares of every lane: `Some(None)` for an
/// operation that has no meaning there.
pub(super) fn rule(operation: Operation, lane: &DesiredLane) -> Option<Option<Rule>> {
    use Operation as O;
    let repository = lane.stage.repository().is_some();
    let inbox = lane.stage.inbox().is_some();
    let only_if = |there: bool, rule: Rule| Some(there.then_some(rule));
    match operation {
        O::SendToQueue => only_if(repository, Rule::Nobody),
        O::ReceiveFromQueue => only_if(repository, Rule::Readers),
        O::Deliver => only_if(inbox, Rule::Writer),
        // Parts need kms:Decrypt.
        O::DeliverInParts if !lane.multipart => only_if(inbox, Rule::Nobody),
        O::DeliverInParts => only_if(inbox, Rule::Writer),
        O::GetReleased => only_if(lane.scanner().is_some(), Rule::Readers),
        O::Get | O::GetVersion | O::GetWithoutBucketKey | O::GetByUrl => {
            lane.scanner().map(|_| Some(Rule::Scanner))
        }
        // Nothing is put into an inbox that could be there already.
        O::Put | O::PutMultipart | O::PutWithoutBucketKey | O::PutNamingKey if inbox => {
            Some(Some(Rule::Nobody))
        }
        O::AbortUpload if repository => Some(Some(Rule::Administrators)),
        O::ChangeTags => lane.tagger().map(|_| match lane.stage {
            Stage::Repository(_) => Some(Rule::Writer),
            Stage::Direct | Stage::Inbox(_) => Some(Rule::Scanner),
        }),
        O::ChangeKeyPolicy if lane.has_foreign_key() => Some(Some(Rule::KeyAdministrators)),
        _ => None,
    }
}

/// The calls of the operations that only a repository or an inbox has.
pub(super) fn calls(operation: Operation, on: &Calls<'_>) -> Vec<Call> {
    let object = format!("{}report.pdf", on.lane.prefix);
    let queue = on.lane.stage.repository().map(|stage| &stage.queue);
    let on_queue =
        |action: &str| queue.map(|queue| queue_call(queue, action)).into_iter().collect();
    match operation {
        Operation::SendToQueue => on_queue("sqs:SendMessage"),
        Operation::ReceiveFromQueue => on_queue("sqs:ReceiveMessage"),
        Operation::Deliver => {
            let arn = on.key.map(KeyArn::as_str).unwrap_or_default();
            on.put(&object, |s3| {
                s3.with(IF_NONE_MATCH, "*").with(SSE, on.lane.sse_algorithm()).with(SSE_KEY, arn)
            })
        }
        Operation::DeliverInParts => on.put_in_parts(&object, true),
        Operation::GetReleased => {
            on.get(|s3| s3.with(&format!("s3:ExistingObjectTag/{SCAN_TAG}"), SCAN_CLEAN))
        }
        _ => Vec::new(),
    }
}

fn queue_call(queue: &DesiredQueue, action: &str) -> Call {
    let call = Call {
        action: action.to_owned(),
        resource: queue.arn(),
        resource_account: queue.account.clone(),
        context: Vec::new(),
    };
    call.with("aws:SecureTransport", "true")
        .with("aws:ResourceAccount", queue.account.as_ref())
        .with("aws:RequestedRegion", queue.region.as_ref())
}
