//! The identity policy of a party: what its principal may ask of every lane it is on.
//!
//! In one account the bucket and key policies alone would do; across accounts both sides must
//! allow. It is written in both cases, so that a lane can move to another account unchanged.
//! One document with merged statements, because AWS limits all inline policies of a user
//! together to 2,048 characters. Which key goes with which bucket is the key policies' business.

use super::bucket::{READER_CALLS, WRITER_CALLS};
use super::key::writer_calls;
use crate::desired::{DesiredLane, KeyArn};
use crate::document::{Document, Statement};

/// A lane and, where it has one, its key.
pub type LaneKey<'a> = (&'a DesiredLane, Option<&'a KeyArn>);

/// The policy for a principal that writes to and reads from these lanes; `None` if it does
/// neither.
pub fn policy(writes: &[LaneKey<'_>], reads: &[LaneKey<'_>]) -> Option<Document> {
    let mut statements = Vec::new();
    if !writes.is_empty() {
        statements.push(Statement::allow("Write", WRITER_CALLS).on(&objects(writes)));
        let (multipart, single): (Vec<LaneKey<'_>>, Vec<LaneKey<'_>>) =
            writes.iter().partition(|(lane, _)| lane.multipart);
        statements.extend(keys("WriteKey", &multipart, writer_calls));
        statements.extend(keys("WriteKeySinglePuts", &single, writer_calls));
    }
    if !reads.is_empty() {
        let buckets: Vec<String> = reads.iter().map(|(lane, _)| lane.bucket_arn()).collect();
        statements.push(Statement::allow("Read", READER_CALLS).on(&objects(reads)));
        statements.push(Statement::allow("List", &["s3:ListBucket"]).on(&buckets));
        statements.extend(keys("ReadKey", reads, |_| &["kms:Decrypt"]));
    }
    (!statements.is_empty()).then(|| Document::new(statements))
}

fn objects(lanes: &[LaneKey<'_>]) -> Vec<String> {
    lanes.iter().map(|(lane, _)| lane.every_lane_object()).collect()
}

fn keys(
    sid: &str,
    lanes: &[LaneKey<'_>],
    calls: impl Fn(&DesiredLane) -> &'static [&'static str],
) -> Option<Statement> {
    let with_key = || lanes.iter().filter_map(|(lane, key)| key.map(|key| (lane, key)));
    let (first, _) = with_key().next()?;
    let arns: Vec<&str> = with_key().map(|(_, key)| key.as_str()).collect();
    let contexts: Vec<String> =
        with_key().flat_map(|(lane, _)| [lane.bucket_arn(), lane.every_object()]).collect();
    Some(
        Statement::allow(sid, calls(first))
            .on(&arns)
            .when("StringEquals", "kms:ViaService", &[first.s3_service()])
            .when("StringLike", "kms:EncryptionContext:aws:s3:arn", &contexts),
    )
}
