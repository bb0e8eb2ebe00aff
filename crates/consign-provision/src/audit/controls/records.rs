//! Controls on what an account records and checks by itself.

use super::settings::off;
use super::{BucketScope, Says, known};
use crate::audit::AccountFacts;
use consign_cloud::s3::bucket::PublicAccessBlock;

pub(super) fn x01_account(account: &AccountFacts) -> Option<Says> {
    let block = known!(account.block);
    if *block == Some(PublicAccessBlock::ALL) {
        return Says::pass("all four blocks are on");
    }
    let fix = format!(
        "aws s3control put-public-access-block --account-id {} --public-access-block-configuration \
         BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
        account.account
    );
    Says::fail(off(*block), fix)
}

pub(super) fn x15(scope: &BucketScope<'_>) -> Option<Says> {
    let account = scope.accounts.iter().find(|account| account.account == scope.facts.owner);
    let Some(account) = account else {
        return Says::unseen(format!("no credentials for account {}", scope.facts.owner));
    };
    let trails = known!(account.trails);
    let objects = format!("arn:aws:s3:::{}/", scope.facts.bucket);
    let events = || {
        let logging = trails.iter().filter(|trail| trail.logging);
        logging.flat_map(|trail| &trail.objects).filter(|event| objects.starts_with(&event.prefix))
    };
    let (reads, writes) = (events().any(|it| it.reads), events().any(|it| it.writes));
    if reads && writes {
        return Says::pass("reads and writes");
    }
    let fact = match (reads, writes) {
        (true, _) => "writes are not recorded",
        (_, true) => "reads are not recorded",
        _ => "neither reads nor writes are recorded",
    };
    let fix = format!(
        "aws cloudtrail put-event-selectors --trail-name NAME --advanced-event-selectors \
         '[{{\"FieldSelectors\":[{{\"Field\":\"eventCategory\",\"Equals\":[\"Data\"]}},\
         {{\"Field\":\"resources.type\",\"Equals\":[\"AWS::S3::Object\"]}},\
         {{\"Field\":\"resources.ARN\",\"StartsWith\":[\"{objects}\"]}}]}}]'"
    );
    Says::fail(fact, fix)
}

pub(super) fn x16(account: &AccountFacts) -> Option<Says> {
    let trails = known!(account.trails);
    let lacking = |trail: &consign_cloud::elsewhere::Trail| {
        let checks = [
            (trail.logging, "does not record"),
            (trail.multi_region, "one Region only"),
            (trail.validated, "no log file validation"),
            (trail.kms_key.is_some(), "no KMS key"),
        ];
        let lacking = checks.iter().filter(|(holds, _)| !holds).map(|(_, what)| *what);
        lacking.collect::<Vec<&str>>()
    };
    if let Some(good) = trails.iter().find(|trail| lacking(trail).is_empty()) {
        return Says::pass(format!("{}: recording, every Region, validated, under KMS", good.arn));
    }
    let Some(best) = trails.iter().min_by_key(|trail| lacking(trail).len()) else {
        let fix = "aws cloudtrail create-trail --name NAME --s3-bucket-name BUCKET \
                   --is-multi-region-trail --enable-log-file-validation --kms-key-id KEY_ARN";
        return Says::fail("there is no trail", fix);
    };
    let fix = format!(
        "aws cloudtrail update-trail --name {arn} --is-multi-region-trail \
         --enable-log-file-validation --kms-key-id KEY_ARN && aws cloudtrail start-logging --name {arn}",
        arn = best.arn
    );
    Says::fail(format!("{}: {}", best.arn, lacking(best).join(", ")), fix)
}

pub(super) fn x26_account(account: &AccountFacts) -> Option<Says> {
    let analyzers = known!(account.analyzers);
    match analyzers.first() {
        Some(arn) => Says::pass(arn.as_str()),
        None => Says::fail(
            "no active analyzer of external access",
            "aws accessanalyzer create-analyzer --analyzer-name external --type ACCOUNT",
        ),
    }
}

/// A finding is active for the declared partners too, until somebody archives it; one per bucket
/// and partner is what a lane across accounts gives.
pub(super) fn x26_bucket(scope: &BucketScope<'_>) -> Option<Says> {
    let findings = known!(scope.facts.external_findings);
    let partners = scope.lane.map_or(0, |lane| {
        let holders = std::iter::once(&lane.writer).chain(&lane.readers);
        holders.filter(|holder| holder.account != lane.owner).count()
    });
    match findings.as_slice() {
        [] => Says::pass("no active findings"),
        some if some.len() <= partners => Says::accepted(format!(
            "{} active findings for {partners} declared partners; archive them once seen",
            some.len()
        )),
        some => Says::fail(
            format!("{} active findings, {partners} declared partners", some.len()),
            "aws accessanalyzer list-findings-v2 --analyzer-arn ARN",
        ),
    }
}
