//! Controls on what policies mean, decided by evaluating them.

use super::{BucketScope, Says, administrators, known, repair};
use crate::audit::Fact;
use crate::audit::adversary::{
    Adversary, Asked, Fixed, is, is_not, on, s3_requests, s3_requests_of_root,
};
use crate::matrix::Operation;
use crate::policies::bucket::PRESIGNED_AGE_MS_MAX;
use crate::prove::Cell;
use consign_cloud::elsewhere::MalwarePlan;
use consign_iam::prove::{Callers, Domain, Values};
use consign_iam::{Policy, PolicyKind};

pub(super) fn x02(scope: &BucketScope<'_>) -> Option<Says> {
    let policy = known!(scope.facts.policy).as_deref();
    if scope.facts.policy_public.known() == Some(&Some(true)) {
        return Says::fail("S3 classifies the policy as public", policy_fix(scope));
    }
    let adversary = match bucket_adversary(scope, policy) {
        Ok(adversary) => adversary,
        Err(why) => return Says::fail(why, policy_fix(scope)),
    };
    let requests = s3_requests(&scope.facts.bucket);
    match adversary.gets_through(&adversary.outsiders(), &requests, &Fixed::new()) {
        Ok(Some(who)) => Says::fail(who, policy_fix(scope)),
        Ok(None) => Says::pass("proved: no request of a stranger or without a signature"),
        Err(why) => Says::unseen(why),
    }
}

pub(super) fn x04(scope: &BucketScope<'_>) -> Option<Says> {
    let policy = known!(scope.facts.policy).as_deref();
    let plain_http =
        vec![is("aws:SecureTransport", "false"), ("s3:TlsVersion".to_owned(), Domain::Absent)];
    let old = Values::Numbers { from: None, to: Some("1.1".to_owned()) };
    let old_tls =
        vec![is("aws:SecureTransport", "true"), ("s3:TlsVersion".to_owned(), Domain::Present(old))];
    for (fixed, how) in [(plain_http, "over plain HTTP"), (old_tls, "over TLS 1.1 or older")] {
        match anybody(scope, policy, &s3_requests(&scope.facts.bucket), &fixed) {
            Ok(None) => {}
            Ok(Some(who)) => return Says::fail(format!("{who} {how}"), policy_fix(scope)),
            Err(why) => return Says::unseen(why),
        }
    }
    Says::pass("proved: no S3 action by anybody over plain HTTP or old TLS")
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
    let who = administrators::sentence(scope);
    let Some(lane) = scope.lane else {
        return match who {
            Ok(who) => Says::accepted(format!("{who}; no exchange file declares who should")),
            Err(why) => Says::unseen(why),
        };
    };
    let mut says = cells(scope, |cell| cell.is_administration(lane))?;
    if says.verdict == crate::audit::Verdict::Pass {
        let who = who.unwrap_or_else(|why| format!("who that is was not looked at: {why}"));
        says.fact.push_str(&format!("; {who}"));
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
    let plans = match &scope.facts.malware_plans {
        Fact::Is(plans) if plans.is_empty() => "GuardDuty scans nothing here".to_owned(),
        Fact::Is(plans) => {
            let plan = |plan: &MalwarePlan| {
                let state = if plan.active { "active" } else { "not active" };
                let tags = if plan.tags { "its verdicts are tags" } else { "it sets no tags" };
                format!("GuardDuty's plan {} is {state}, {tags}", plan.id)
            };
            plans.iter().map(plan).collect::<Vec<_>>().join("; ")
        }
        Fact::Unknown(why) => format!("whether GuardDuty scans was not looked at: {why}"),
    };
    let Some(lane) = scope.lane else {
        return Says::accepted(format!("{plans}; no exchange file declares a quarantine"));
    };
    let of_tags = [Operation::ChangeTags, Operation::Release];
    let says = cells(scope, |cell| of_tags.contains(&cell.operation))?;
    if says.verdict != crate::audit::Verdict::Pass {
        return Some(says);
    }
    if let Some(scanner) = lane.scanner() {
        return Says::pass(format!("only {} releases what arrives; {plans}", scanner.party));
    }
    let nobody = match lane.stage.inbox() {
        Some(_) => "nobody can say that something was scanned",
        None => "nobody can change tags",
    };
    Says::accepted(format!("{nobody}; the lane declares no quarantine; {plans}"))
}

pub(super) fn x20(scope: &BucketScope<'_>) -> Option<Says> {
    let policy = known!(scope.facts.policy).as_deref();
    let older = Values::Numbers { from: Some((PRESIGNED_AGE_MS_MAX + 1).to_string()), to: None };
    let fixed = vec![
        is("s3:authType", "REST-QUERY-STRING"),
        ("s3:signatureAge".to_owned(), Domain::Present(older)),
    ];
    let objects = format!("arn:aws:s3:::{}/*", scope.facts.bucket);
    let data = on(&["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], &objects);
    let minutes = PRESIGNED_AGE_MS_MAX / 60_000;
    match anybody(scope, policy, &data, &fixed) {
        Ok(Some(who)) => {
            Says::fail(format!("{who} by a URL older than {minutes} minutes"), policy_fix(scope))
        }
        Ok(None) => Says::pass(format!("proved: refused {minutes} minutes after signing")),
        Err(why) => Says::unseen(why),
    }
}

/// Who but this bucket's log delivery may write to the bucket of the log.
pub(super) fn log_writers(
    policy: Option<&str>,
    target: &str,
    scope: &BucketScope<'_>,
) -> Result<Option<String>, String> {
    let owner = scope.facts.owner.as_ref();
    let adversary = Adversary::new(PolicyKind::Resource, policy, owner)?;
    let writes = on(&["s3:PutObject"], &format!("arn:aws:s3:::{target}/*"));
    let arn = format!("arn:aws:s3:::{}", scope.facts.bucket);
    deputies(&adversary, &writes, &arn, owner)
}

/// Who but S3 for this bucket may send to the queue, or read from it without being of an account
/// that its policy names.
fn queue_writers(
    policy: Option<&str>,
    queue: &str,
    bucket_arn: &str,
) -> Result<Option<String>, String> {
    let account = queue.split(':').nth(4).unwrap_or_default();
    let adversary = Adversary::new(PolicyKind::Resource, policy, account)?;
    let calls = on(&["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"], queue);
    deputies(&adversary, &calls, bucket_arn, account)
}

/// Strangers, and services that act for somebody else's bucket.
fn deputies(
    adversary: &Adversary,
    calls: &[Asked],
    bucket_arn: &str,
    account: &str,
) -> Result<Option<String>, String> {
    if let Some(who) = adversary.gets_through(&adversary.outsiders(), calls, &Fixed::new())? {
        return Ok(Some(who));
    }
    let foreign =
        vec![is_not("aws:SourceArn", &[bucket_arn]), is_not("aws:SourceAccount", &[account])];
    let services = [Callers::Services { except: Vec::new() }];
    let who = adversary.gets_through(&services, calls, &foreign)?;
    Ok(who.map(|who| format!("{who} for somebody else's bucket")))
}

/// Who gets through the bucket policy, the owner's root user included.
fn anybody(
    scope: &BucketScope<'_>,
    policy: Option<&str>,
    asked: &[Asked],
    fixed: &Fixed,
) -> Result<Option<String>, String> {
    let adversary = match bucket_adversary(scope, policy) {
        Ok(adversary) => adversary,
        // What is no policy guards nothing.
        Err(why) => return Ok(Some(why)),
    };
    if let Some(who) = adversary.gets_through(&adversary.everybody(), asked, fixed)? {
        return Ok(Some(who));
    }
    let whole = asked.iter().any(|(_, resources)| !resources[0].ends_with("/*"));
    let of_root = s3_requests_of_root(&scope.facts.bucket);
    adversary.gets_through(&adversary.root(), if whole { &of_root } else { asked }, fixed)
}

fn bucket_adversary(scope: &BucketScope<'_>, policy: Option<&str>) -> Result<Adversary, String> {
    Adversary::new(PolicyKind::Resource, policy, scope.facts.owner.as_ref())
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
    let cells = proof.cells_of(proof.listed_for(&lane.name));
    let about: Vec<&Cell> = cells.iter().filter(|cell| of(cell)).collect();
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
