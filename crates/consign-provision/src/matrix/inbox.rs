//! What is different about the operations on a repository and on an inbox: who may, and which calls
//! make up those that only they have.

use super::{Call, Calls, IF_NONE_MATCH, Operation, Rule, SSE, SSE_KEY};
use crate::desired::{DesiredLane, KeyArn};
use crate::stage::{DesiredQueue, SCAN_CLEAN, SCAN_TAG, Stage};
use consign_model::SOURCE_TAG;

/// What the exchange file declares where it is not what it declares of every lane: `Some(None)` for an
/// operation that has no meaning there.
pub(super) fn rule(operation: Operation, lane: &DesiredLane) -> Option<Option<Rule>> {
    use Operation as O;
    let repository = lane.stage.repository().is_some();
    let inbox = lane.stage.inbox().is_some();
    let only_if = |there: bool, rule: Rule| Some(there.then_some(rule));
    match operation {
        O::SendToQueue => only_if(repository, Rule::Nobody),
        O::ReceiveFromQueue | O::ListVersions => only_if(repository, Rule::Readers),
        O::Deliver => only_if(inbox, Rule::Writer),
        // Parts need kms:Decrypt.
        O::DeliverInParts if !lane.multipart => only_if(inbox, Rule::Nobody),
        O::DeliverInParts => only_if(inbox, Rule::Writer),
        O::Release if lane.scanner().is_none() => only_if(inbox, Rule::Nobody),
        O::Release => only_if(inbox, Rule::Scanner),
        O::LookAtTags | O::ListRecords | O::GetAcknowledgement => only_if(inbox, Rule::Parties),
        O::GetRecord => only_if(inbox, Rule::Readers),
        O::Acknowledge => only_if(inbox, Rule::Consumers),
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
        Operation::ListVersions => vec![on.s3("s3:ListBucketVersions", "")],
        Operation::Deliver => {
            let arn = on.key.map(KeyArn::as_str).unwrap_or_default();
            let mut calls = on.put(&object, |s3| {
                let s3 = s3.with(IF_NONE_MATCH, "*").with(SSE, on.lane.sse_algorithm());
                s3.with(SSE_KEY, arn).with(&source_tag(), EXAMPLE_DIGEST)
            });
            calls.push(on.s3("s3:PutObjectTagging", &object).with(&source_tag(), EXAMPLE_DIGEST));
            calls
        }
        Operation::Release => {
            let call = on.s3("s3:PutObjectTagging", &object).with(&source_tag(), EXAMPLE_DIGEST);
            vec![call.with(&format!("s3:RequestObjectTag/{SCAN_TAG}"), SCAN_CLEAN)]
        }
        Operation::LookAtTags => vec![on.s3("s3:GetObjectTagging", &object)],
        Operation::ListRecords => {
            vec![on.s3("s3:ListBucket", "").with("s3:prefix", &on.lane.deliveries_prefix())]
        }
        Operation::GetRecord => {
            let record = format!("{}{EXAMPLE_DIGEST}.json", on.lane.deliveries_prefix());
            on.implying("kms:Decrypt", on.s3("s3:GetObject", &record), &record)
        }
        Operation::Acknowledge => {
            let call = on.s3_put(&acknowledgement(on.lane), true);
            vec![call.with(IF_NONE_MATCH, "*").with(SSE, "AES256")]
        }
        Operation::GetAcknowledgement => {
            vec![on.s3("s3:GetObject", &acknowledgement(on.lane))]
        }
        Operation::DeliverInParts => on.put_in_parts(&object, true),
        Operation::GetReleased => {
            on.get(|s3| s3.with(&format!("s3:ExistingObjectTag/{SCAN_TAG}"), SCAN_CLEAN))
        }
        _ => Vec::new(),
    }
}

/// What a BLAKE3 digest looks like.
const EXAMPLE_DIGEST: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

fn source_tag() -> String {
    format!("s3:RequestObjectTag/{SOURCE_TAG}")
}

fn acknowledgement(lane: &DesiredLane) -> String {
    format!("{}{EXAMPLE_DIGEST}.json", lane.acknowledgements_prefix())
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
