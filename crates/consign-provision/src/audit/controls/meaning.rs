//! Controls on what policies mean, decided by evaluating them.

use super::{BucketScope, Says, known, repair};
use crate::audit::adversary::{Adversary, Fixed};
use crate::matrix::Operation;
use crate::policies::bucket::PRESIGNED_AGE_MS_MAX;
use crate::prove::Cell;
use consign_iam::{Policy, PolicyKind, Principal};

const PLAIN_HTTP: Fixed<'_> = &[("aws:SecureTransport", Some("false")), ("s3:TlsVersion", None)];
const OLD_TLS: Fixed<'_> = &[("aws:SecureTransport", Some("true")), ("s3:TlsVersion", Some("1.1"))];
const TLS: Fixed<'_> = &[("aws:SecureTransport", Some("true")), ("s3:TlsVersion", Some("1.3"))];

pub(super) fn x02(scope: &BucketScope<'_>) -> Option<Says> {
    let policy = known!(scope.facts.policy).as_deref();
    if scope.facts.policy_public.known() == Some(&Some(true)) {
        return Says::fail("S3 classifies the policy as public", policy_fix(scope));
    }
    let adversary = match bucket_adversary(scope, policy, TLS) {
        Ok(adversary) => adversary,
        Err(why) => return Says::fail(why, policy_fix(scope)),
    };
    let requests = adversary.s3_requests(&scope.facts.bucket);
    match adversary.first_allowed(&adversary.outsiders(), &requests) {
        Some(who) => Says::fail(who, policy_fix(scope)),
        None => {
            Says::pass(format!("{} S3 actions denied to strangers and unsigned", requests.len()))
        }
    }
}

pub(super) fn x04(scope: &BucketScope<'_>) -> Option<Says> {
    let policy = known!(scope.facts.policy).as_deref();
    for (fixed, how) in [(PLAIN_HTTP, "over plain HTTP"), (OLD_TLS, "over TLS 1.1")] {
        match bucket_adversary(scope, policy, fixed) {
            Err(why) => return Says::fail(why, policy_fix(scope)),
            Ok(adversary) => {
                let requests = adversary.s3_requests(&scope.facts.bucket);
                if let Some(who) = adversary.first_allowed(&adversary.everybody(), &requests) {
                    return Says::fail(format!("{who} {how}"), policy_fix(scope));
                }
            }
        }
    }
    Says::pass("every S3 action is denied to everybody over plain HTTP and old TLS")
}

pub(super) fn x06(scope: &BucketScope<'_>) -> Option<Says> {
    use Operation::{
        PutCustomerKey, PutKmsWithoutKeyId, PutOtherAlgorithm, PutOtherEncryption, PutOtherKey,
        Rekey,
    };
    let operations = [
        PutOtherEncryption,
        PutOtherAlgorithm,
        PutOtherKey,
        PutKmsWithoutKeyId,
        PutCustomerKey,
        Rekey,
    ];
    cells(scope, |cell| operations.contains(&cell.operation))
}

pub(super) fn x07(scope: &BucketScope<'_>) -> Option<Says> {
    let lane = scope.lane?;
    cells(scope, |cell| !cell.is_administration(lane))
}

pub(super) fn x08(scope: &BucketScope<'_>) -> Option<Says> {
    let lane = scope.lane?;
    let mut says = cells(scope, |cell| cell.is_administration(lane))?;
    if says.verdict == crate::audit::Verdict::Pass {
        says.fact.push_str(&format!(
            "; which identities of {} are its administrators is not looked at",
            lane.owner
        ));
    }
    Some(says)
}

pub(super) fn x12(scope: &BucketScope<'_>) -> Option<Says> {
    if scope.lane.is_some_and(|lane| !lane.write_once) {
        return Says::accepted("the lane declares write_once = false");
    }
    let overwrites = [Operation::Overwrite, Operation::OverwriteMultipart];
    cells(scope, |cell| overwrites.contains(&cell.operation))
}

pub(super) fn x18(scope: &BucketScope<'_>) -> Option<Says> {
    let told = known!(scope.facts.notifications);
    if told.is_empty() {
        return Says::accepted("none: receivers look for themselves (`consign list`)");
    }
    let arn = format!("arn:aws:s3:::{}", scope.facts.bucket);
    let stop = format!(
        "aws s3api put-bucket-notification-configuration --bucket {} \
         --notification-configuration {{}}",
        scope.facts.bucket
    );
    let mut unseen = Vec::new();
    for told in told {
        let queue = scope.facts.queues.iter().find(|(arn, _)| *arn == told.target);
        let Some((queue, policy)) = queue else {
            unseen.push(format!("{}: its policy is not read", told.target));
            continue;
        };
        match policy.known() {
            None => unseen.push(format!("{queue}: {}", policy.why())),
            Some(policy) => match queue_writers(policy.as_deref(), queue, &arn) {
                Ok(None) => {}
                Ok(Some(who)) => return Says::fail(who, stop),
                Err(why) => return Says::fail(format!("{queue}: {why}"), stop),
            },
        }
    }
    if unseen.is_empty() {
        return Says::pass(format!("{} queues, which only this bucket's events reach", told.len()));
    }
    Says::unseen(unseen.join("; "))
}

pub(super) fn x19(scope: &BucketScope<'_>) -> Option<Says> {
    let says = cells(scope, |cell| cell.operation == Operation::ChangeTags)?;
    if says.verdict != crate::audit::Verdict::Pass {
        return Some(says);
    }
    Says::accepted("nobody can change tags; the lane declares no quarantine")
}

pub(super) fn x20(scope: &BucketScope<'_>) -> Option<Says> {
    let policy = known!(scope.facts.policy).as_deref();
    let age = (PRESIGNED_AGE_MS_MAX + 1).to_string();
    let fixed = [
        ("aws:SecureTransport", Some("true")),
        ("s3:TlsVersion", Some("1.3")),
        ("s3:authType", Some("REST-QUERY-STRING")),
        ("s3:signatureAge", Some(age.as_str())),
        ("s3:signatureversion", Some("AWS4-HMAC-SHA256")),
    ];
    let adversary = match bucket_adversary(scope, policy, &fixed) {
        Ok(adversary) => adversary,
        Err(why) => return Says::fail(why, policy_fix(scope)),
    };
    let objects = adversary.s3_requests(&scope.facts.bucket).into_iter();
    let data = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"];
    let requests: Vec<_> = objects.filter(|(action, _)| data.contains(&action.as_str())).collect();
    let minutes = PRESIGNED_AGE_MS_MAX / 60_000;
    match adversary.first_allowed(&adversary.everybody(), &requests) {
        Some(who) => {
            Says::fail(format!("{who} by a URL older than {minutes} minutes"), policy_fix(scope))
        }
        None => Says::pass(format!("refused {minutes} minutes after signing")),
    }
}

/// Who but this bucket's log delivery may write to the bucket of the log.
pub(super) fn log_writers(
    policy: Option<&str>,
    target: &str,
    scope: &BucketScope<'_>,
) -> Result<Option<String>, String> {
    let logging = Principal::Service { name: "logging.s3.amazonaws.com".to_owned() };
    let foreign: Fixed<'_> = &[
        ("aws:SourceArn", Some("arn:aws:s3:::somebody-elses-bucket")),
        ("aws:SourceAccount", Some(crate::matrix::STRANGER)),
    ];
    let owner = scope.facts.owner.as_ref();
    let adversary = Adversary::new(PolicyKind::Resource, policy, owner, foreign)?;
    let writes = [("s3:PutObject".to_owned(), vec![format!("arn:aws:s3:::{target}/log")])];
    let callers: Vec<Principal> = adversary.outsiders().into_iter().chain([logging]).collect();
    Ok(adversary
        .first_allowed(&callers, &writes)
        .map(|who| format!("{who} for somebody else's bucket")))
}

/// Who but S3 for this bucket may send to the queue, or read from it without being of its account.
fn queue_writers(
    policy: Option<&str>,
    queue: &str,
    bucket_arn: &str,
) -> Result<Option<String>, String> {
    let account = queue.split(':').nth(4).unwrap_or_default();
    let s3 = Principal::Service { name: "s3.amazonaws.com".to_owned() };
    let on = |actions: &[&str]| -> Vec<(String, Vec<String>)> {
        actions.iter().map(|action| ((*action).to_owned(), vec![queue.to_owned()])).collect()
    };
    let outside = Adversary::new(
        PolicyKind::Resource,
        policy,
        account,
        &[("aws:SourceArn", Some(bucket_arn)), ("aws:SourceAccount", Some(account))],
    )?;
    let calls = on(&["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"]);
    if let Some(who) = outside.first_allowed(&outside.outsiders(), &calls) {
        return Ok(Some(who));
    }
    let foreign: Fixed<'_> = &[
        ("aws:SourceArn", Some("arn:aws:s3:::somebody-elses-bucket")),
        ("aws:SourceAccount", Some(crate::matrix::STRANGER)),
    ];
    let deputy = Adversary::new(PolicyKind::Resource, policy, account, foreign)?;
    let who = deputy.first_allowed(&[s3], &on(&["sqs:SendMessage"]));
    Ok(who.map(|who| format!("{who} for somebody else's bucket")))
}

fn bucket_adversary(
    scope: &BucketScope<'_>,
    policy: Option<&str>,
    fixed: Fixed<'_>,
) -> Result<Adversary, String> {
    Adversary::new(PolicyKind::Resource, policy, scope.facts.owner.as_ref(), fixed)
}

/// The verdict on the cells of the lane's matrix that `of` picks.
fn cells(scope: &BucketScope<'_>, of: impl Fn(&Cell) -> bool) -> Option<Says> {
    let Some(lane) = scope.lane else {
        return Says::unseen("no exchange file declares who may do what");
    };
    let proof = match scope.proof {
        Ok(proof) => proof,
        Err(why) => return Says::fail(why.as_str(), "consign apply"),
    };
    let about: Vec<&Cell> =
        proof.cells.iter().filter(|cell| cell.lane == lane.name && of(cell)).collect();
    let failing: Vec<&&Cell> = about.iter().filter(|cell| !cell.holds()).collect();
    if let Some(first) = failing.first() {
        let others = failing.len() - 1;
        let more = if others == 0 { String::new() } else { format!(" (and {others} more)") };
        return Says::fail(format!("{first}{more}"), "consign apply");
    }
    let policy = known!(scope.facts.policy);
    if let Some(key) = &scope.facts.key {
        known!(key.policy);
    }
    if policy.as_deref().is_some_and(|text| Policy::parse(text).is_err()) {
        return Says::fail("the bucket policy is none", "consign apply");
    }
    let assumed = proof.assumed.iter().next();
    let but = assumed.map_or(String::new(), |what| format!("; taken as planned: {what}"));
    Says::pass(format!("{} cells of the matrix as declared{but}", about.len()))
}

fn policy_fix(scope: &BucketScope<'_>) -> String {
    repair(
        scope,
        "consign export policies, then: aws s3api put-bucket-policy --bucket BUCKET \
                   --policy file://bucket.json",
    )
}
