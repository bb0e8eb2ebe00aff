//! Controls on a bucket's settings, read off as they are.

use super::{BucketScope, Says, known, listed, repair};
use crate::audit::Fact;
use consign_cloud::s3::bucket::{BucketAlgorithm, Ownership, PublicAccessBlock, Versioning};

/// Unfinished uploads older than a week are nobody's any more.
const UNFINISHED_DAYS_MAX: i32 = 7;

pub(super) fn x01(scope: &BucketScope<'_>) -> Option<Says> {
    let block = known!(scope.facts.block);
    if *block == Some(PublicAccessBlock::ALL) {
        return Says::pass("all four blocks are on");
    }
    let fix = "aws s3api put-public-access-block --bucket BUCKET --public-access-block-configuration \
               BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true";
    Says::fail(off(*block), repair(scope, fix))
}

/// Which of the blocks are off.
pub(super) fn off(block: Option<PublicAccessBlock>) -> String {
    let Some(block) = block else { return "no block is set".to_owned() };
    let switches = [
        ("BlockPublicAcls", block.block_public_acls),
        ("IgnorePublicAcls", block.ignore_public_acls),
        ("BlockPublicPolicy", block.block_public_policy),
        ("RestrictPublicBuckets", block.restrict_public_buckets),
    ];
    let off: Vec<&str> = switches.iter().filter(|(_, on)| !on).map(|(name, _)| *name).collect();
    format!("off: {}", off.join(", "))
}

pub(super) fn x03(scope: &BucketScope<'_>) -> Option<Says> {
    let ownership = known!(scope.facts.ownership);
    match ownership {
        Some(Ownership::BucketOwnerEnforced) => Says::pass("BucketOwnerEnforced"),
        other => {
            let fix = "aws s3api put-bucket-ownership-controls --bucket BUCKET \
                       --ownership-controls Rules=[{ObjectOwnership=BucketOwnerEnforced}]";
            let fact = other.map_or("no ownership controls".to_owned(), |it| format!("{it:?}"));
            Says::fail(fact, repair(scope, fix))
        }
    }
}

pub(super) fn x05(scope: &BucketScope<'_>) -> Option<Says> {
    let found = known!(scope.facts.encryption);
    let Some(found) = found else {
        return Says::fail("no default encryption", repair(scope, KMS_DEFAULT));
    };
    let algorithm = match found.algorithm {
        BucketAlgorithm::SseS3 => "AES256",
        BucketAlgorithm::SseKms => "aws:kms",
        BucketAlgorithm::DsseKms => "aws:kms:dsse",
    };
    let key = found.kms_key.as_deref();
    let fact = format!(
        "{algorithm}, {}, bucket key {}",
        key.unwrap_or("no key"),
        if found.bucket_key { "on" } else { "off" }
    );
    let Some(lane) = scope.lane else {
        // Without a declaration: any key of the customer's own will do.
        let own = key.is_some_and(|key| !key.ends_with("alias/aws/s3"));
        return if own { Says::pass(fact) } else { Says::fail(fact, repair(scope, KMS_DEFAULT)) };
    };
    let declared = match &scope.facts.key {
        Some(declared) => match (declared.arn(), &declared.info) {
            (Some(arn), _) => Some(arn),
            (None, Fact::Unknown(why)) => return Says::unseen(why.as_str()),
            (None, Fact::Is(_)) => {
                return Says::fail(
                    format!("{fact}; there is no key {}", declared.name),
                    "consign apply",
                );
            }
        },
        None => None,
    };
    let as_declared = algorithm == lane.sse_algorithm()
        && key == declared
        && (declared.is_none() || found.bucket_key == lane.bucket_key());
    if as_declared {
        return Says::pass(fact);
    }
    let wanted = declared.unwrap_or("no key");
    Says::fail(format!("{fact}; declared: {}, {wanted}", lane.sse_algorithm()), "consign apply")
}

const KMS_DEFAULT: &str = "aws s3api put-bucket-encryption --bucket BUCKET \
    --server-side-encryption-configuration '{\"Rules\":[{\"ApplyServerSideEncryptionByDefault\":\
    {\"SSEAlgorithm\":\"aws:kms\",\"KMSMasterKeyID\":\"KEY_ARN\"},\"BucketKeyEnabled\":true}]}'";

pub(super) fn x11(scope: &BucketScope<'_>) -> Option<Says> {
    let versioning = known!(scope.facts.versioning);
    if *versioning != Versioning::Enabled {
        let fix = "aws s3api put-bucket-versioning --bucket BUCKET \
                   --versioning-configuration Status=Enabled";
        return Says::fail(
            format!("versioning is {versioning:?}").to_lowercase(),
            repair(scope, fix),
        );
    }
    let rules = known!(scope.facts.lifecycle);
    let days = rules.iter().filter(|rule| rule.enabled).filter_map(|rule| rule.noncurrent_days);
    match days.min() {
        Some(days) => Says::pass(format!("enabled, old versions go after {days} days")),
        None => Says::fail("enabled, and old versions stay for ever", repair(scope, EXPIRY)),
    }
}

const EXPIRY: &str = "aws s3api put-bucket-lifecycle-configuration --bucket BUCKET \
    --lifecycle-configuration '{\"Rules\":[{\"ID\":\"expire\",\"Status\":\"Enabled\",\"Filter\":{},\
    \"Expiration\":{\"Days\":30},\"NoncurrentVersionExpiration\":{\"NoncurrentDays\":7},\
    \"AbortIncompleteMultipartUpload\":{\"DaysAfterInitiation\":1}}]}'";

pub(super) fn x13(scope: &BucketScope<'_>) -> Option<Says> {
    let lock = known!(scope.facts.object_lock);
    let fact = match lock {
        None => "off".to_owned(),
        Some(lock) => match (&lock.mode, lock.days) {
            (Some(mode), Some(days)) => format!("{mode} for {days} days"),
            _ => "on, without a default retention".to_owned(),
        },
    };
    let found = lock.as_ref().and_then(|lock| Some((lock.mode.as_deref()?, lock.days?)));
    let Some(demand) = &scope.demands.object_lock else {
        return match found {
            Some(_) => Says::pass(fact),
            None => Says::accepted(format!("{fact}: no lock is asked for, and expiry needs none")),
        };
    };
    let enough = found.is_some_and(|(mode, days)| {
        let strict = mode == "COMPLIANCE" || (mode == "GOVERNANCE" && !demand.compliance);
        strict && u32::try_from(days).is_ok_and(|days| days >= demand.days)
    });
    if enough {
        return Says::pass(fact);
    }
    let mode = if demand.compliance { "COMPLIANCE" } else { "GOVERNANCE" };
    let fix = format!(
        "aws s3api put-object-lock-configuration --bucket {} --object-lock-configuration \
         '{{\"ObjectLockEnabled\":\"Enabled\",\"Rule\":{{\"DefaultRetention\":{{\"Mode\":\"{mode}\",\"Days\":{}}}}}}}'",
        scope.facts.bucket, demand.days
    );
    Says::fail(format!("{fact}; asked for: {mode} for {} days", demand.days), fix)
}

pub(super) fn x14(scope: &BucketScope<'_>) -> Option<Says> {
    let rules = known!(scope.facts.lifecycle);
    // A rule for part of the bucket leaves the rest for ever.
    let whole = || {
        let prefix = scope.lane.map_or("", |lane| lane.prefix.as_str());
        rules.iter().filter(move |rule| rule.enabled && prefix.starts_with(&rule.prefix))
    };
    let expires = whole().filter(|rule| !rule.has_more).filter_map(|rule| rule.expire_days).min();
    let aborts = whole().filter_map(|rule| rule.abort_multipart_days).min();
    let days_max = scope.lane.map(|lane| i32::try_from(lane.expire_days).unwrap_or(i32::MAX));
    let expires_in_time = match (expires, days_max) {
        (Some(days), Some(max)) => days <= max,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let days =
        |days: Option<i32>| days.map_or("never".to_owned(), |days| format!("after {days} days"));
    let fact = format!("objects expire {}, unfinished uploads {}", days(expires), days(aborts));
    if expires_in_time && aborts.is_some_and(|days| days <= UNFINISHED_DAYS_MAX) {
        return Says::pass(fact);
    }
    let declared = days_max.map_or(String::new(), |max| format!("; declared: {max} days"));
    Says::fail(format!("{fact}{declared}"), repair(scope, EXPIRY))
}

pub(super) fn x17(scope: &BucketScope<'_>) -> Option<Says> {
    let Some(log) = known!(scope.facts.log) else {
        return Says::accepted("off: data events (X15) record more, and reliably");
    };
    let target = &log.bucket;
    let stop = format!(
        "aws s3api put-bucket-logging --bucket {} --bucket-logging-status {{}}",
        scope.facts.bucket
    );
    let lanes = scope.desired.iter().flat_map(|desired| desired.lanes.values());
    if *target == scope.facts.bucket || lanes.clone().any(|lane| lane.bucket.as_ref() == target) {
        let fact = format!("the log goes to {target}, where the exchange's objects are");
        return Says::fail(fact, stop);
    }
    let Some(facts) = &scope.facts.log_target else {
        return Says::unseen(format!("the log goes to {target}, which was not read"));
    };
    if known!(facts.encryption).as_ref().is_some_and(|it| it.kms_key.is_some()) {
        let fact = format!("the log goes to {target}, whose KMS key S3's log delivery cannot use");
        return Says::fail(fact, stop);
    }
    let policy = known!(facts.policy);
    match super::meaning::log_writers(policy.as_deref(), target, scope) {
        Ok(None) => Says::pass(format!("to {target}, which only this bucket's log may write")),
        Ok(Some(who)) => Says::fail(format!("the log goes to {target}: {who}"), stop),
        Err(why) => Says::unseen(why),
    }
}

pub(super) fn x22(scope: &BucketScope<'_>) -> Option<Says> {
    let facts = scope.facts;
    let (mut open, mut unseen) = (Vec::new(), Vec::new());
    listed(&facts.access_points, "access points", &mut open, &mut unseen);
    let multi_region = &facts.multi_region_access_points;
    listed(multi_region, "multi-Region access points", &mut open, &mut unseen);
    listed(&facts.access_grants, "grants through Access Grants on", &mut open, &mut unseen);
    listed(&facts.replication, "replication to", &mut open, &mut unseen);
    listed(&facts.inventories, "inventory to", &mut open, &mut unseen);
    listed(&facts.cors, "web origins", &mut open, &mut unseen);
    match &facts.website {
        Fact::Is(true) => open.push("a website".to_owned()),
        Fact::Is(false) => {}
        Fact::Unknown(why) => unseen.push(format!("website: {why}")),
    }
    let bucket = &facts.bucket;
    let first = open.first().map(String::as_str).unwrap_or_default();
    let fix = match first.split([' ', ':']).next().unwrap_or_default() {
        "access" => {
            format!("aws s3control delete-access-point --account-id {} --name NAME", facts.owner)
        }
        "multi-Region" => format!(
            "aws s3control delete-multi-region-access-point --account-id {} --region us-west-2 \
             --details Name=NAME",
            facts.owner
        ),
        "grants" => format!(
            "aws s3control list-access-grants --account-id {} --grant-scope 's3://{bucket}/*' \
             (and delete-access-grant for each)",
            facts.owner
        ),
        "replication" => format!("aws s3api delete-bucket-replication --bucket {bucket}"),
        "inventory" => {
            format!("aws s3api delete-bucket-inventory-configuration --bucket {bucket} --id ID")
        }
        "web" => format!("aws s3api delete-bucket-cors --bucket {bucket}"),
        _ => format!("aws s3api delete-bucket-website --bucket {bucket}"),
    };
    match (open.is_empty(), unseen.is_empty()) {
        (false, _) => Says::fail(open.join("; "), fix),
        (true, false) => Says::unseen(format!("none seen, but {}", unseen.join("; "))),
        (true, true) => {
            Says::pass("no access points, grants, replication, inventory, website or web origins")
        }
    }
}

pub(super) fn x23(scope: &BucketScope<'_>) -> Option<Says> {
    if scope.facts.exists == Fact::Is(false) {
        return Says::fail("there is no such bucket", repair(scope, "consign apply"));
    }
    let owner = &scope.facts.owner;
    if *known!(scope.facts.is_owners) {
        return Says::pass(format!("owned by {owner}"));
    }
    Says::fail(
        format!("it is not {owner}'s"),
        "name another bucket in exchange.toml (`bucket = …`) and run: consign apply",
    )
}

pub(super) fn x24(scope: &BucketScope<'_>) -> Option<Says> {
    if *known!(scope.facts.mfa_delete) {
        let fix = format!(
            "aws s3api put-bucket-versioning --bucket {} --versioning-configuration \
             Status=Enabled,MFADelete=Disabled --mfa 'SERIAL CODE'  (as root)",
            scope.facts.bucket
        );
        return Says::fail("a second factor is needed to delete versions", fix);
    }
    Says::accepted("off; FSBP S3.20 and CIS 3.1.2 ask for it")
}

pub(super) fn x25(scope: &BucketScope<'_>) -> Option<Says> {
    let destinations = known!(scope.facts.replication);
    if destinations.is_empty() {
        return Says::accepted("off; FSBP S3.7 asks for it");
    }
    let fix = format!("aws s3api delete-bucket-replication --bucket {}", scope.facts.bucket);
    Says::fail(format!("objects are copied to {}", destinations.join(", ")), fix)
}
