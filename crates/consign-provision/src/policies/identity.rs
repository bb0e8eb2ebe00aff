//! The identity policy of a party: what its principal may ask of every lane it is on.
//!
//! In one account the bucket and key policies alone would do; across accounts both sides must
//! allow. It is written in both cases, so that a lane can move to another account unchanged.
//! One document with merged statements, because AWS limits all inline policies of a user
//! together to 2,048 characters. Which key goes with which bucket is the key policies' business.

use super::bucket::SCANNER_CALLS;
use super::key::{MAKES, OPENS, writer_calls};
use super::queue::TAKES;
use crate::desired::{CONTEXT_EXCHANGE, CONTEXT_LANE, DesiredLane, KeyArn};
use crate::document::{Document, Statement};
use crate::stage::Stage;

/// A lane and, where it has one, its key.
pub type LaneKey<'a> = (&'a DesiredLane, Option<&'a KeyArn>);

/// The policy for the principal `arn`, which writes to and reads from these lanes; `None` if it does
/// neither.
pub fn policy(arn: &str, writes: &[LaneKey<'_>], reads: &[LaneKey<'_>]) -> Option<Document> {
    let mut statements = Vec::new();
    for (stage, lanes) in by_stage(writes) {
        statements.extend(objects(&format!("{stage}Write"), &lanes, DesiredLane::writer_calls));
        let (multipart, single): (Vec<LaneKey<'_>>, Vec<LaneKey<'_>>) =
            lanes.iter().partition(|(lane, _)| lane.multipart);
        statements.extend(keys(&format!("{stage}WriteKey"), &multipart, writer_calls));
        statements.extend(keys(&format!("{stage}WriteKeySinglePuts"), &single, writer_calls));
    }
    for (stage, lanes) in by_stage(reads) {
        let mut gets = objects(&format!("{stage}Read"), &lanes, DesiredLane::reader_calls);
        let mut lists = vec![listing(&format!("{stage}List"), &lanes)];
        // Whoever reads a repository fills inboxes, and may know a little of those: what it gets there
        // goes into the same statement, for the sake of the limit; under which prefixes it lists, and
        // that it gets one version alone, the buckets' policies say.
        if lanes.iter().any(|(lane, _)| lane.stage.repository().is_some()) {
            let inboxes: Vec<LaneKey<'_>> =
                writes.iter().filter(|(lane, _)| lane.stage.inbox().is_some()).copied().collect();
            let folders: Vec<String> =
                inboxes.iter().map(|(lane, _)| lane.acknowledgements()).collect();
            gets = gets.into_iter().map(|statement| statement.and_on(&folders)).collect();
            lists.extend((!inboxes.is_empty()).then(|| listing("ListRecords", &inboxes)));
        }
        statements.extend(gets);
        statements.extend(lists);
        statements.extend(keys(&format!("{stage}ReadKey"), &lanes, |_| &["kms:Decrypt"]));
    }
    statements.extend(sealing_keys("MakeSealingKeys", writes, MAKES));
    statements.extend(sealing_keys("OpenSealingKeys", reads, OPENS));
    statements.extend(scans(arn, reads));
    statements.extend(acknowledges(arn, reads));
    statements.extend(queues(reads));
    (!statements.is_empty()).then(|| Document::new(statements))
}

/// Lanes of one stage share statements; those of ordinary lanes have names without a stage.
fn by_stage<'a>(lanes: &[LaneKey<'a>]) -> Vec<(&'static str, Vec<LaneKey<'a>>)> {
    let of = |wanted: &str| -> Vec<LaneKey<'a>> {
        lanes.iter().filter(|(lane, _)| lane.stage.word() == wanted).copied().collect()
    };
    let stages = [("", "lane"), ("Repository", "repository"), ("Inbox", "inbox")];
    let stages = stages.map(|(sid, word)| (sid, of(word)));
    stages.into_iter().filter(|(_, lanes)| !lanes.is_empty()).collect()
}

/// On the buckets of lanes of one stage.
fn listing(sid: &str, lanes: &[LaneKey<'_>]) -> Statement {
    let calls = lanes.first().map(|(lane, _)| lane.reader_lists()).unwrap_or_default();
    let buckets: Vec<String> = lanes.iter().map(|(lane, _)| lane.bucket_arn()).collect();
    Statement::allow(sid, calls).on(&buckets)
}

/// A statement for lanes that allow the same calls, and another for those that also take tags.
fn objects(
    sid: &str,
    lanes: &[LaneKey<'_>],
    calls: impl Fn(&DesiredLane) -> Vec<&'static str>,
) -> Vec<Statement> {
    let tagged = |lane: &DesiredLane| lane.stage.repository().is_some_and(|stage| stage.tagged);
    let (with, without): (Vec<_>, Vec<_>) = lanes.iter().partition(|(lane, _)| tagged(lane));
    let statement = |sid: String, lanes: Vec<&LaneKey<'_>>| {
        let (first, _) = lanes.first()?;
        let arns: Vec<String> = lanes.iter().map(|(lane, _)| lane.every_lane_object()).collect();
        Some(Statement::allow(&sid, &calls(first)).on(&arns))
    };
    let both = [statement(sid.to_owned(), without), statement(format!("{sid}Tagged"), with)];
    both.into_iter().flatten().collect()
}

fn scans(arn: &str, reads: &[LaneKey<'_>]) -> Option<Statement> {
    let scanned = reads.iter().filter(|(lane, _)| lane.scanner().is_some_and(|it| it.arn == arn));
    let arns: Vec<String> = scanned.map(|(lane, _)| lane.every_lane_object()).collect();
    (!arns.is_empty()).then(|| Statement::allow("Scan", SCANNER_CALLS).on(&arns))
}

fn acknowledges(arn: &str, reads: &[LaneKey<'_>]) -> Option<Statement> {
    let inboxes = reads.iter().filter(|(lane, _)| lane.stage.inbox().is_some());
    let consumed = inboxes.filter(|(lane, _)| lane.consumer_arns().contains(&arn));
    let folders: Vec<String> = consumed.map(|(lane, _)| lane.acknowledgements()).collect();
    (!folders.is_empty())
        .then(|| Statement::allow("InboxAcknowledge", &["s3:PutObject"]).on(&folders))
}

/// The publisher takes what is announced, and says of what it sets aside why.
fn queues(reads: &[LaneKey<'_>]) -> Vec<Statement> {
    let queues: Vec<_> = reads
        .iter()
        .filter_map(|(lane, _)| match &lane.stage {
            Stage::Repository(stage) => Some(&stage.queue),
            Stage::Direct | Stage::Inbox(_) => None,
        })
        .collect();
    let arns: Vec<String> =
        queues.iter().flat_map(|it| [it.arn(), it.dead_letters_arn()]).collect();
    let set_aside: Vec<String> = queues.iter().map(|it| it.dead_letters_arn()).collect();
    if arns.is_empty() {
        return Vec::new();
    }
    vec![
        Statement::allow("Take", TAKES).on(&arns),
        Statement::allow("SetAside", &["sqs:SendMessage"]).on(&set_aside),
    ]
}

/// What the party asks of KMS itself, on lanes where it does. Which lane goes with which key, the
/// policies of the keys say.
fn sealing_keys(sid: &str, lanes: &[LaneKey<'_>], calls: &[&str]) -> Option<Statement> {
    let asked = || {
        let asking = lanes.iter().filter(|(lane, _)| lane.asks_kms);
        asking.filter_map(|(lane, key)| key.map(|key| (lane, key)))
    };
    let (first, _) = asked().next()?;
    let arns: Vec<&str> = asked().map(|(_, key)| key.as_str()).collect();
    let names: Vec<&str> = asked().map(|(lane, _)| lane.name.as_ref()).collect();
    let uses = Statement::allow(sid, calls).on(&arns);
    let uses = uses.when("StringEquals", CONTEXT_EXCHANGE, &[first.exchange.as_ref()]);
    Some(uses.when("StringEquals", CONTEXT_LANE, &names).absent("kms:ViaService"))
}

fn keys(
    sid: &str,
    lanes: &[LaneKey<'_>],
    calls: impl Fn(&DesiredLane) -> &'static [&'static str],
) -> Option<Statement> {
    let with_key = || lanes.iter().filter_map(|(lane, key)| key.map(|key| (lane, key)));
    let (first, _) = with_key().next()?;
    let arns: Vec<&str> = with_key().map(|(_, key)| key.as_str()).collect();
    let uses = Statement::allow(sid, calls(first)).on(&arns);
    let in_context = |contexts: Vec<String>| {
        uses.when("StringLike", "kms:EncryptionContext:aws:s3:arn", &contexts)
    };
    // A publisher has much to say within 2,048 characters. That its keys are used through S3 alone, and
    // for no bucket whose name goes on after this one's, is said by their own policies, and proved of
    // them whatever identity policies say.
    Some(match first.stage {
        Stage::Direct => {
            let exactly = with_key().flat_map(|(lane, _)| [lane.bucket_arn(), lane.every_object()]);
            let via = [first.s3_service()];
            in_context(exactly.collect()).when("StringEquals", "kms:ViaService", &via)
        }
        Stage::Repository(_) | Stage::Inbox(_) => {
            in_context(with_key().map(|(lane, _)| format!("{}*", lane.bucket_arn())).collect())
        }
    })
}
