//! The bucket policy of a lane.

use super::{Grants, inbox};
use crate::desired::{DesiredLane, KeyArn};
use crate::document::{Document, Statement};
use crate::stage::Stage;
use consign_model::AtRest;

/// A presigned URL older than this is refused, whatever its own expiry says: a URL is a bearer
/// token, and fifteen minutes is enough to start a transfer (the age is checked at its start).
pub const PRESIGNED_AGE_MS_MAX: u32 = 15 * 60 * 1000;

const SSE: &str = "s3:x-amz-server-side-encryption";
const SSE_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const SSE_CUSTOMER: &str = "s3:x-amz-server-side-encryption-customer-algorithm";

/// The policy of `lane`'s bucket, with `key` as the only key for its objects.
pub fn policy(lane: &DesiredLane, key: Option<&KeyArn>, grants: Grants) -> Document {
    let mut statements = transport(lane);
    match grants {
        Grants::Withheld => statements.extend(nobody(lane)),
        Grants::Given => {
            statements.extend(at_rest(lane, key));
            statements.extend(integrity(lane));
            statements.extend(exclusivity(lane));
            statements.extend(allows(lane));
        }
    }
    Document::new(statements)
}

/// The policy of a lane whose owner's administrator moves what lies there: nobody but he touches
/// data, and nobody deletes by it. What he may do his own account has allowed him.
pub fn maintenance(lane: &DesiredLane, administrator: &[String]) -> Document {
    let data = [DATA_READS, LISTS, WRITES, TAG_CHANGES, REKEYING].concat();
    let mut statements = transport(lane);
    statements.push(deletes_by_parties(lane));
    statements.push(
        Statement::deny("DenyDataToAllButTheAdministrator", &data)
            .everybody()
            .on(&[lane.bucket_arn(), lane.every_object()])
            .when("ArnNotLike", "aws:PrincipalArn", administrator),
    );
    Document::new(statements)
}

fn transport(lane: &DesiredLane) -> Vec<Statement> {
    let everything = [lane.bucket_arn(), lane.every_object()];
    vec![
        Statement::deny("DenyInsecureTransport", &["s3:*"]).everybody().on(&everything).when(
            "Bool",
            "aws:SecureTransport",
            &["false"],
        ),
        Statement::deny("DenyOldTls", &["s3:*"]).everybody().on(&everything).when(
            "NumericLessThan",
            "s3:TlsVersion",
            &["1.2"],
        ),
    ]
}

/// The closed lane: no data for anybody. Its owner's administrators may list, so that they can
/// see whether anything is left before they delete the bucket; the parties may not.
fn nobody(lane: &DesiredLane) -> Vec<Statement> {
    let data = [DATA_READS, WRITES, TAG_CHANGES, REKEYING].concat();
    vec![
        deletes_by_parties(lane),
        Statement::deny("DenyDataToEverybody", &data).everybody().on(&[lane.every_object()]),
        Statement::deny("DenyListingToParties", LISTS).everybody().on(&[lane.bucket_arn()]).when(
            "ArnEquals",
            "aws:PrincipalArn",
            &lane.party_arns(),
        ),
    ]
}

/// What a request may say about encryption: nothing (the bucket's default decides) or exactly
/// what the lane declares. `aws:kms` without a key id would mean the account's shared S3 key.
fn at_rest(lane: &DesiredLane, key: Option<&KeyArn>) -> Vec<Statement> {
    let put = |sid: &str| put_denied(lane, sid);
    let customer_keys = put("DenyCustomerProvidedKeys").present(SSE_CUSTOMER);
    let rekeying = Statement::deny("DenyRekeying", REKEYING).everybody().on(&[lane.every_object()]);
    let mut statements = match lane.at_rest {
        AtRest::SseKms | AtRest::DsseKms => {
            let key = key.map(KeyArn::as_str).unwrap_or_default();
            let algorithm = lane.sse_algorithm();
            vec![
                put("DenyOtherSse").when("StringNotEquals", SSE, &[algorithm]).present(SSE),
                put("DenyOtherKey").when("StringNotEquals", SSE_KEY, &[key]).present(SSE_KEY),
                put("DenyKmsHeaderWithoutKeyId").present(SSE).absent(SSE_KEY),
                customer_keys,
            ]
        }
        AtRest::SseS3 => vec![
            put("DenyOtherSse").when("StringNotEquals", SSE, &[lane.sse_algorithm()]).present(SSE),
            customer_keys,
        ],
        // Every call of an upload, its completion too, has to name the customer's key.
        AtRest::SseC => vec![
            put("DenyOtherSse").present(SSE),
            put("DenyWithoutCustomerProvidedKey").absent(SSE_CUSTOMER),
        ],
    };
    statements.push(rekeying);
    statements
}

fn integrity(lane: &DesiredLane) -> Vec<Statement> {
    let mut statements = Vec::new();
    if lane.write_once {
        // Only the consignment namespace: see docs/decisions/0003-write-once-scope.md. The parts
        // of a multipart upload carry no conditional header; its completion does.
        statements.push(
            Statement::deny("DenyOverwrite", &["s3:PutObject"])
                .everybody()
                .on(&[lane.write_once_objects()])
                .when("Bool", "s3:ObjectCreationOperation", &["true"])
                .absent("s3:if-none-match"),
        );
    }
    statements.push(
        Statement::deny("DenyLongLivedPresignedUrls", &["s3:*"])
            .everybody()
            .on(&[lane.every_object()])
            .when("StringEquals", "s3:authType", &["REST-QUERY-STRING"])
            .when("NumericGreaterThan", "s3:signatureAge", &[PRESIGNED_AGE_MS_MAX.to_string()]),
    );
    statements
}

/// Who is kept out, whatever their own account's policies say.
fn exclusivity(lane: &DesiredLane) -> Vec<Statement> {
    let reads = [DATA_READS, LISTS].concat();
    let is_inbox = lane.stage.inbox().is_some();
    // Of an inbox the publisher learns a little; how little is said apart.
    let readers = if is_inbox { lane.party_arns() } else { lane.reader_arns() };
    let writes = Statement::deny("DenyWritesByOthers", WRITES).everybody();
    let mut statements = vec![
        Statement::deny("DenyReadsByOthers", &reads)
            .everybody()
            .on(&[lane.bucket_arn(), lane.every_object()])
            .when("ArnNotEquals", "aws:PrincipalArn", &readers),
        of_the_writer(lane, writes).when("ArnNotEquals", "aws:PrincipalArn", &[&lane.writer.arn]),
        deletes_by_parties(lane),
    ];
    match &lane.stage {
        Stage::Inbox(_) => statements.extend(inbox::exclusivity(lane)),
        Stage::Direct | Stage::Repository(_) => statements.push(tag_changes(lane)),
    }
    statements
}

/// On all that the lane's writer writes: in an inbox, not on what others acknowledge.
fn of_the_writer(lane: &DesiredLane, statement: Statement) -> Statement {
    match &lane.stage {
        Stage::Inbox(_) => statement.on_all_but(&[lane.acknowledgements()]),
        Stage::Direct | Stage::Repository(_) => statement.on(&[lane.every_object()]),
    }
}

fn tag_changes(lane: &DesiredLane) -> Statement {
    let nobody = Statement::deny("DenyTagChanges", TAG_CHANGES).everybody();
    let nobody = nobody.on(&[lane.every_object()]);
    match lane.tagger() {
        Some(tagger) => nobody.when("ArnNotEquals", "aws:PrincipalArn", &[&tagger.arn]),
        None => nobody,
    }
}

fn deletes_by_parties(lane: &DesiredLane) -> Statement {
    Statement::deny("DenyDeletesByParties", DELETES).everybody().on(&[lane.every_object()]).when(
        "ArnEquals",
        "aws:PrincipalArn",
        &lane.party_arns(),
    )
}

fn allows(lane: &DesiredLane) -> Vec<Statement> {
    let lists = Statement::allow("ReaderLists", lane.reader_lists())
        .principals(&lane.reader_arns())
        .on(&[lane.bucket_arn()]);
    let prefix_pattern = format!("{}*", lane.prefix);
    let mut statements = vec![
        Statement::allow("WriterPuts", &lane.writer_calls())
            .principals(&[&lane.writer.arn])
            .on(&[lane.every_lane_object()]),
        Statement::allow("ReaderGets", &lane.reader_calls())
            .principals(&lane.reader_arns())
            .on(&[lane.every_lane_object()]),
        if lane.prefix.is_empty() {
            lists
        } else {
            lists.when("StringLike", "s3:prefix", &[prefix_pattern])
        },
    ];
    if lane.stage.inbox().is_some() {
        statements.extend(inbox::allows(lane));
    }
    statements
}

fn put_denied(lane: &DesiredLane, sid: &str) -> Statement {
    of_the_writer(lane, Statement::deny(sid, &["s3:PutObject"]).everybody())
}

/// What a scanner may call beyond reading.
pub(crate) const SCANNER_CALLS: &[&str] = &[
    "s3:GetObjectTagging",
    "s3:GetObjectVersionTagging",
    "s3:PutObjectTagging",
    "s3:PutObjectVersionTagging",
];

const DATA_READS: &[&str] = &[
    "s3:GetObject*",
    "s3:RestoreObject",
    "s3:ListObjectAnnotations",
    "s3:ListObjectVersionAnnotations",
];

pub(super) const LISTS: &[&str] =
    &["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"];

pub(super) const WRITES: &[&str] = &[
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectVersionAcl",
    "s3:PutObjectAnnotation",
    "s3:PutObjectVersionAnnotation",
    "s3:ReplicateObject",
    "s3:ReplicateObjectAnnotation",
    "s3:ReplicateDelete",
];

pub(super) const TAG_CHANGES: &[&str] = &[
    "s3:PutObjectTagging",
    "s3:PutObjectVersionTagging",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersionTagging",
    "s3:ReplicateTags",
];

/// Moves an object under another key in place, whose readers may be others.
const REKEYING: &[&str] = &["s3:UpdateObjectEncryption"];

const DELETES: &[&str] = &[
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:DeleteObjectAnnotation",
    "s3:DeleteObjectVersionAnnotation",
    "s3:BypassGovernanceRetention",
];
