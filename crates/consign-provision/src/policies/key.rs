//! The key policy of a lane.
//!
//! The writer asks S3 to store, so S3 asks KMS for a data key in the writer's name
//! (`GenerateDataKey`); a multipart upload also needs `Decrypt`, because every part reads the
//! data key back. A lane whose writer must never decrypt declares `writer = "encrypt-only"` and
//! is limited to single PUTs. S3 never calls `Encrypt`.
//!
//! With `keyring = "kms"` the parties call KMS themselves, too, for the keys that they seal with: in an
//! encryption context that names exchange and lane and no bucket. S3 always names a bucket, so what
//! KMS wraps for the one does not open as the other, whatever context a request to S3 asks for.

use super::{Grants, letters_and_digits};
use crate::desired::{CONTEXT_EXCHANGE, CONTEXT_LANE, DesiredLane, Holder};
use crate::document::{Document, Statement};

/// The policy of the key of `lane`.
pub fn policy(lane: &DesiredLane, grants: Grants) -> Document {
    let mut statements = vec![administration(lane)];
    match grants {
        Grants::Withheld => {
            let nobody = Statement::deny("NobodyUsesTheKey", USES).everybody().on(&["*"]);
            statements.push(nobody);
        }
        Grants::Given => {
            statements.push(usable("WriterMakesDataKeys", &lane.writer, writer_calls(lane), lane));
            for reader in &lane.readers {
                let sid = reader_sid(lane, reader);
                statements.push(usable(&sid, reader, &["kms:Decrypt"], lane));
            }
            if lane.asks_kms {
                statements.push(sealing("WriterMakesSealingKeys", &lane.writer, MAKES, lane));
                for reader in &lane.readers {
                    let sid = reader_sid(lane, reader).replace("Decrypts", "OpensSealingKeys");
                    statements.push(sealing(&sid, reader, OPENS, lane));
                }
            }
            statements.push(
                Statement::deny("NobodyElseUsesTheKey", USES).everybody().on(&["*"]).when(
                    "ArnNotEquals",
                    "aws:PrincipalArn",
                    &lane.party_arns(),
                ),
            );
            statements.extend(fences(lane));
        }
    }
    Document::new(statements).with_id(format!("consign-{}-{}", lane.exchange, lane.name))
}

/// The policy of a key while the lane's owner's administrator moves what lies under it: he alone
/// decrypts and makes data keys, through S3 only, for this lane's bucket only.
pub fn maintenance(lane: &DesiredLane, administrator: &[String]) -> Document {
    let calls = ["kms:GenerateDataKey", "kms:Decrypt"];
    let contexts = [lane.bucket_arn(), lane.every_object()];
    let statements = vec![
        administration(lane),
        Statement::allow("AdministratorMovesObjects", &calls)
            .everybody()
            .on(&["*"])
            .when("ArnLike", "aws:PrincipalArn", administrator)
            .when("StringEquals", "kms:CallerAccount", &[lane.owner.as_ref()])
            .when("StringEquals", "kms:ViaService", &[lane.s3_service()])
            .when("StringLike", "kms:EncryptionContext:aws:s3:arn", &contexts),
        Statement::deny("NobodyElseUsesTheKey", USES).everybody().on(&["*"]).when(
            "ArnNotLike",
            "aws:PrincipalArn",
            administrator,
        ),
        Statement::deny("OnlyThroughS3", USES).everybody().on(&["*"]).when(
            "StringNotEquals",
            "kms:ViaService",
            &[lane.s3_service()],
        ),
    ];
    Document::new(statements).with_id(format!("consign-{}-{}", lane.exchange, lane.name))
}

/// How nobody uses the key.
fn fences(lane: &DesiredLane) -> Vec<Statement> {
    let deny = |sid: &str| Statement::deny(sid, USES).everybody().on(&["*"]);
    let not_through_s3 =
        |sid: &str| deny(sid).when("StringNotEquals", VIA_SERVICE, &[lane.s3_service()]);
    if !lane.asks_kms {
        return vec![not_through_s3("OnlyThroughS3")];
    }
    // Conditions of one statement must all be met, so "not (this exchange and this lane)" takes two.
    vec![
        not_through_s3("OnlyThroughS3OrForThisExchange").when(
            "StringNotEquals",
            CONTEXT_EXCHANGE,
            &[lane.exchange.as_ref()],
        ),
        not_through_s3("OnlyThroughS3OrForThisLane").when(
            "StringNotEquals",
            CONTEXT_LANE,
            &[lane.name.as_ref()],
        ),
        not_through_s3("ThroughNoOtherService").present(VIA_SERVICE),
        deny("NothingOfS3Directly").absent(VIA_SERVICE).present(CONTEXT_ARN),
    ]
}

/// `holder` may make `calls` itself, through no service, in the lane's own encryption context.
fn sealing(sid: &str, holder: &Holder, calls: &[&str], lane: &DesiredLane) -> Statement {
    Statement::allow(sid, calls)
        .principals(&[&holder.arn])
        .on(&["*"])
        .when("StringEquals", "kms:CallerAccount", &[holder.account.as_ref()])
        .when("StringEquals", CONTEXT_EXCHANGE, &[lane.exchange.as_ref()])
        .when("StringEquals", CONTEXT_LANE, &[lane.name.as_ref()])
        .absent(VIA_SERVICE)
        .absent(CONTEXT_ARN)
}

/// What the writer asks of KMS for the keys that it seals with; identity policies say the same.
pub(super) const MAKES: &[&str] = &["kms:GenerateDataKey"];
/// What a reader asks of KMS for them.
pub(super) const OPENS: &[&str] = &["kms:Decrypt"];
const VIA_SERVICE: &str = "kms:ViaService";
const CONTEXT_ARN: &str = "kms:EncryptionContext:aws:s3:arn";

/// What the writer's requests make S3 ask of KMS; identity policies say the same.
pub(super) fn writer_calls(lane: &DesiredLane) -> &'static [&'static str] {
    if lane.multipart { &["kms:GenerateDataKey", "kms:Decrypt"] } else { &["kms:GenerateDataKey"] }
}

/// Without this statement nobody, the account's root included, could ever change the policy or
/// delete the key again. It grants administration alone.
fn administration(lane: &DesiredLane) -> Statement {
    Statement::allow("AdministrationThroughIam", ADMINISTRATION)
        .principals(&[format!("arn:aws:iam::{}:root", lane.key_owner)])
        .on(&["*"])
}

/// `holder` may make `calls`, through S3 only, for this lane's bucket only. With a bucket key
/// the encryption context is the bucket's ARN, without one it is the object's; a request may
/// choose, so both are named.
fn usable(sid: &str, holder: &Holder, calls: &[&str], lane: &DesiredLane) -> Statement {
    Statement::allow(sid, calls)
        .principals(&[&holder.arn])
        .on(&["*"])
        .when("StringEquals", "kms:ViaService", &[lane.s3_service()])
        .when("StringEquals", "kms:CallerAccount", &[holder.account.as_ref()])
        .when(
            "StringLike",
            "kms:EncryptionContext:aws:s3:arn",
            &[lane.bucket_arn(), lane.every_object()],
        )
}

fn reader_sid(lane: &DesiredLane, reader: &Holder) -> String {
    if lane.readers.len() == 1 {
        return "ReaderDecrypts".to_owned();
    }
    // A Sid is letters and digits; party names are lower case with single hyphens.
    format!("Reader{}Decrypts", letters_and_digits(reader.party.as_ref()))
}

const ADMINISTRATION: &[&str] = &[
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListGrants",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:EnableKey",
    "kms:DisableKey",
    "kms:EnableKeyRotation",
    "kms:RotateKeyOnDemand",
    "kms:UpdateKeyDescription",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:CreateAlias",
    "kms:UpdateAlias",
    "kms:DeleteAlias",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
];

const USES: &[&str] = &[
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:CreateGrant",
    "kms:ReplicateKey",
];
