//! What an inbox's bucket policy says beyond that of other lanes: what its publisher may learn of what
//! it has delivered, who acknowledges, and who says what a scan has found.
//!
//! The publisher knows its own work by the tag that it has given it, and finds records and
//! acknowledgements by listing those two folders. It is kept from everything else by what it may do
//! (`NotAction`), not by what it may not: an action of S3 that is yet to come is denied.

use super::bucket::{LISTS, SCANNER_CALLS, TAG_CHANGES, WRITES};
use crate::desired::DesiredLane;
use crate::document::Statement;
use crate::stage::{SCAN_CLEAN, SCAN_TAG};
use consign_model::SOURCE_TAG;

const SSE: &str = "s3:x-amz-server-side-encryption";

/// What the publisher may call on objects, in circumstances that further statements name.
const PUBLISHER_CALLS: &[&str] = &[
    "s3:PutObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
    "s3:PutObjectTagging",
    "s3:GetObjectTagging",
    "s3:GetObject",
];

/// Who is kept out of what, beside those that are kept out of every lane.
pub(super) fn exclusivity(lane: &DesiredLane) -> Vec<Statement> {
    let mut statements = publisher(lane);
    statements.extend(acknowledgements(lane));
    statements.extend(tags(lane));
    statements.extend(unreleased(lane));
    statements
}

fn publisher(lane: &DesiredLane) -> Vec<Statement> {
    let only = |statement: Statement| {
        statement.everybody().when("ArnEquals", "aws:PrincipalArn", &[&lane.writer.arn])
    };
    let bucket = [lane.bucket_arn()];
    let other_lists: Vec<&str> =
        LISTS.iter().copied().filter(|call| *call != "s3:ListBucket").collect();
    vec![
        only(Statement::deny_all_but("DenyOtherCallsOfPublisher", PUBLISHER_CALLS))
            .on(&[lane.every_object()]),
        only(Statement::deny("DenyContentToPublisher", &["s3:GetObject"]))
            .on_all_but(&[lane.acknowledgements()]),
        only(Statement::deny("DenyOtherListsOfPublisher", &other_lists)).on(&bucket),
        // Also of a request that names no prefix, and so asks for all.
        only(Statement::deny("DenyListingOfDeliveredToPublisher", &["s3:ListBucket"]))
            .on(&bucket)
            .when("StringNotLike", "s3:prefix", &lane.listed_by_publisher()),
    ]
}

/// Consumers put acknowledgements and nothing else. What S3 encrypts by itself takes no key to read.
fn acknowledgements(lane: &DesiredLane) -> Vec<Statement> {
    let deny = |sid: &str, calls: &[&str]| {
        Statement::deny(sid, calls).everybody().on(&[lane.acknowledgements()])
    };
    let other_writes: Vec<&str> =
        WRITES.iter().copied().filter(|call| *call != "s3:PutObject").collect();
    vec![
        deny("DenyAcknowledgementsByOthers", &["s3:PutObject"]).when(
            "ArnNotEquals",
            "aws:PrincipalArn",
            &lane.consumer_arns(),
        ),
        deny("DenyOtherWritesOfAcknowledgements", &other_writes),
        // The bucket's default would be the inbox's key: a request that says nothing is denied too.
        deny("DenyOtherSseOfAcknowledgements", &["s3:PutObject"]).when(
            "StringNotEquals",
            SSE,
            &["AES256"],
        ),
    ]
}

/// The verdict is the scanner's alone. Both keys have the tag's name in their own, of which IAM does not
/// look at the case, so whatever spelling would release an object is denied here.
///
/// The publisher gives tags with what it delivers. A copy that takes over the tags of its source may be
/// authorised without the request's tags being known, so without its own tag it may give none.
fn tags(lane: &DesiredLane) -> Vec<Statement> {
    let objects = [lane.every_object()];
    let scanner: Vec<&str> = lane.scanner().map(|it| it.arn.as_str()).into_iter().collect();
    let taggers: Vec<&str> = scanner.iter().copied().chain([lane.writer.arn.as_str()]).collect();
    let but = |statement: Statement, arns: &[&str]| match arns {
        [] => statement,
        arns => statement.when("ArnNotEquals", "aws:PrincipalArn", arns),
    };
    let deny = |sid: &str, calls: &[&str]| Statement::deny(sid, calls).everybody().on(&objects);
    let other_changes: Vec<&str> =
        TAG_CHANGES.iter().copied().filter(|call| *call != "s3:PutObjectTagging").collect();
    let gives = ["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"];
    vec![
        but(deny("DenyTagChanges", &["s3:PutObjectTagging"]), &taggers),
        but(deny("DenyOtherTagChanges", &other_changes), &scanner),
        but(deny("DenyVerdicts", &gives), &scanner)
            .present(&format!("s3:RequestObjectTag/{SCAN_TAG}")),
        deny("DenyTagsWithoutSource", &["s3:PutObjectTagging"])
            .when("ArnEquals", "aws:PrincipalArn", &[&lane.writer.arn])
            .absent(&format!("s3:RequestObjectTag/{SOURCE_TAG}")),
    ]
}

/// Until the scanner has said that an object is clean, nobody else reads it; an object without the
/// tag has not been looked at, and the negated operator is true of it. S3 knows an object's tags in
/// these two calls alone, so the third way to its bytes is closed altogether. Records and
/// acknowledgements are not scanned: who reads them takes them for hostile anyway.
fn unreleased(lane: &DesiredLane) -> Vec<Statement> {
    let Some(scanner) = lane.scanner() else { return Vec::new() };
    let tag = format!("s3:ExistingObjectTag/{SCAN_TAG}");
    let [records, signatures] = lane.records();
    vec![
        Statement::deny("DenyUnreleased", &["s3:GetObject", "s3:GetObjectVersion"])
            .everybody()
            .on_all_but(&[records, signatures, lane.acknowledgements()])
            .when("StringNotEquals", &tag, &[SCAN_CLEAN])
            .when("ArnNotEquals", "aws:PrincipalArn", &[&scanner.arn]),
        Statement::deny("DenyTorrents", &["s3:GetObjectTorrent"])
            .everybody()
            .on(&[lane.every_object()]),
    ]
}

/// What its parties are there for, beside putting, getting and listing.
pub(super) fn allows(lane: &DesiredLane) -> Vec<Statement> {
    let publisher = [&lane.writer.arn];
    let acknowledgements = [lane.acknowledgements()];
    let mut statements = vec![
        Statement::allow("PublisherLists", &["s3:ListBucket"])
            .principals(&publisher)
            .on(&[lane.bucket_arn()])
            .when("StringLike", "s3:prefix", &lane.listed_by_publisher()),
        Statement::allow("PublisherGetsAcknowledgements", &["s3:GetObject"])
            .principals(&publisher)
            .on(&acknowledgements),
        Statement::allow("ConsumersAcknowledge", &["s3:PutObject"])
            .principals(&lane.consumer_arns())
            .on(&acknowledgements),
    ];
    statements.extend(lane.scanner().map(|scanner| {
        Statement::allow("ScannerTags", SCANNER_CALLS)
            .principals(&[&scanner.arn])
            .on(&[lane.every_lane_object()])
    }));
    statements
}
