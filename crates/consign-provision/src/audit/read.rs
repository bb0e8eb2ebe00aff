//! Asks the services everything an audit wants to know. Nothing is changed, and no refusal stops
//! it: what cannot be read is a [`Fact::Unknown`] with the service's own words.

use super::facts::{AccountFacts, BucketFacts, Fact, Facts, KeyFacts, LogTarget, PrincipalFacts};
use crate::desired::{Desired, DesiredLane, DesiredParty};
use crate::error::{Error, ErrorKind};
use crate::hands::Hands;
use consign_cloud::iam::Holder;
use consign_cloud::{Cloud, ErrorKind as CloudErrorKind};
use consign_model::{AccountId, LaneName};
use std::collections::BTreeSet;

/// Reads everything about an exchange that `hands` can reach. Dropping it leaves nothing behind.
pub async fn read(desired: &Desired, hands: &Hands) -> Facts {
    let mut facts = Facts::default();
    for lane in desired.lanes.values() {
        let place = Place {
            lane: Some(lane.name.clone()),
            bucket: lane.bucket.to_string(),
            owner: lane.owner.clone(),
        };
        let key = lanes_key(lane, hands).await;
        facts.buckets.push(match hands.in_account(&lane.owner) {
            Some(cloud) => bucket(place, key, cloud).await,
            None => hidden_bucket(place, key),
        });
    }
    let owners: BTreeSet<&AccountId> = desired.lanes.values().map(|lane| &lane.owner).collect();
    for owner in owners {
        if let Some(cloud) = hands.in_account(owner) {
            facts.accounts.push(account(owner, cloud).await);
        }
    }
    for party in desired.parties.values() {
        facts.principals.push(principal(party, hands.in_account(&party.account)).await);
    }
    facts
}

/// Reads everything about one bucket of the account that `cloud` signs for, whoever made it. The
/// key is the one of its default encryption.
///
/// # Errors
/// [`ErrorKind::Service`] when STS does not say whose account that is.
pub async fn read_bucket(name: &str, cloud: &Cloud) -> Result<Facts, Error> {
    let service = |error| {
        Error::new(ErrorKind::Service, "cannot tell whose credentials these are").with_source(error)
    };
    let identity = cloud.sts().caller_identity().await.map_err(service)?;
    let owner = AccountId::parse(&identity.account).map_err(|error| {
        Error::new(ErrorKind::Service, "STS names no account").with_source(error)
    })?;
    let place = Place { lane: None, bucket: name.to_owned(), owner: owner.clone() };
    let mut found = bucket(place, None, cloud).await;
    let encryption = found.encryption.known().and_then(Option::as_ref);
    if let Some(arn) = encryption.and_then(|encryption| encryption.kms_key.clone()) {
        found.key = Some(key(arn, owner.clone(), false, cloud).await);
    }
    let account = account(&owner, cloud).await;
    Ok(Facts { buckets: vec![found], accounts: vec![account], principals: Vec::new() })
}

struct Place {
    lane: Option<LaneName>,
    bucket: String,
    owner: AccountId,
}

/// The key of a lane that has one, in whichever account it is.
async fn lanes_key(lane: &DesiredLane, hands: &Hands) -> Option<KeyFacts> {
    if !lane.has_key() {
        return None;
    }
    let (alias, owner) = (lane.key_alias.clone(), lane.key_owner.clone());
    Some(match hands.in_account(&owner) {
        Some(cloud) => key(alias, owner, true, cloud).await,
        None => hidden_key(alias, owner),
    })
}

async fn bucket(place: Place, key: Option<KeyFacts>, cloud: &Cloud) -> BucketFacts {
    let (s3, name) = (cloud.s3(), place.bucket.as_str());
    let is_owners = s3.is_owned_by(name, place.owner.as_ref()).await;
    let exists = match &is_owners {
        Err(error) if error.kind() == CloudErrorKind::NotFound => Fact::Is(false),
        // Any other answer than "not found" is about a bucket that exists.
        Err(error) if error.http_status().is_none() => Fact::Unknown(error.to_string()),
        _ => Fact::Is(true),
    };
    let log = Fact::from(s3.get_access_log(name).await);
    let log_target = match log.known() {
        Some(Some(log)) => Some(LogTarget {
            policy: s3.get_bucket_policy(&log.bucket).await.into(),
            encryption: s3.get_encryption(&log.bucket).await.into(),
        }),
        _ => None,
    };
    let (elsewhere, owner) = (cloud.elsewhere(), place.owner.as_ref());
    let notifications = Fact::from(s3.get_notifications(name).await);
    let mut queues = Vec::new();
    for told in notifications.known().into_iter().flatten() {
        if told.target.contains(":sqs:") {
            let policy = elsewhere.queue_policy(&told.target).await;
            queues.push((told.target.clone(), policy.into()));
        }
    }
    BucketFacts {
        exists,
        is_owners: is_owners.into(),
        policy: s3.get_bucket_policy(name).await.into(),
        policy_public: s3.bucket_policy_is_public(name).await.into(),
        block: s3.get_public_access_block(name).await.into(),
        ownership: s3.get_ownership(name).await.into(),
        encryption: s3.get_encryption(name).await.into(),
        versioning: s3.get_versioning(name).await.into(),
        mfa_delete: s3.needs_mfa_to_delete(name).await.into(),
        lifecycle: s3.get_lifecycle(name).await.into(),
        object_lock: s3.get_object_lock(name).await.into(),
        log,
        log_target,
        notifications,
        queues,
        replication: s3.get_replication(name).await.into(),
        inventories: s3.get_inventories(name).await.into(),
        website: s3.is_website(name).await.into(),
        cors: s3.get_cors_origins(name).await.into(),
        access_points: elsewhere.access_points(owner, name).await.into(),
        multi_region_access_points: elsewhere.multi_region_access_points(owner, name).await.into(),
        access_grants: elsewhere.access_grants(owner, name).await.into(),
        malware_plans: elsewhere.malware_plans(name).await.into(),
        external_findings: external_findings(name, cloud).await,
        key,
        lane: place.lane,
        bucket: place.bucket,
        owner: place.owner,
    }
}

async fn external_findings(
    bucket: &str,
    cloud: &Cloud,
) -> Fact<Vec<consign_cloud::elsewhere::ExternalFinding>> {
    let analyzers = match cloud.elsewhere().analyzers().await {
        Ok(analyzers) => analyzers,
        Err(error) => return Fact::Unknown(error.to_string()),
    };
    let Some(analyzer) = analyzers.first() else {
        return Fact::Unknown("the account has no active analyzer".to_owned());
    };
    let arn = format!("arn:aws:s3:::{bucket}");
    cloud.elsewhere().external_findings(analyzer, &arn).await.into()
}

async fn key(name: String, owner: AccountId, declared: bool, cloud: &Cloud) -> KeyFacts {
    let kms = cloud.kms();
    let info = Fact::from(kms.describe_key(&name).await);
    let Some(arn) = info.known().and_then(|info| info.as_ref()).map(|info| info.arn.clone()) else {
        let why = || match &info {
            Fact::Is(_) => format!("there is no key {name}"),
            Fact::Unknown(why) => why.clone(),
        };
        return KeyFacts {
            policy_names: Fact::Unknown(why()),
            policy: Fact::Unknown(why()),
            grants: Fact::Unknown(why()),
            rotates: Fact::Unknown(why()),
            name,
            owner,
            declared,
            info,
        };
    };
    KeyFacts {
        policy_names: kms.list_key_policies(&arn).await.into(),
        policy: kms.get_key_policy(&arn).await.into(),
        grants: kms.list_grants(&arn).await.into(),
        rotates: kms.rotation_enabled(&arn).await.into(),
        name,
        owner,
        declared,
        info,
    }
}

async fn account(account: &AccountId, cloud: &Cloud) -> AccountFacts {
    let elsewhere = cloud.elsewhere();
    AccountFacts {
        account: account.clone(),
        block: elsewhere.account_public_access_block(account.as_ref()).await.into(),
        trails: elsewhere.trails().await.into(),
        analyzers: elsewhere.analyzers().await.into(),
        identities: cloud.iam().authorized_identities().await.into(),
    }
}

async fn principal(party: &DesiredParty, cloud: Option<&Cloud>) -> PrincipalFacts {
    let found = |trust, policies| PrincipalFacts {
        party: party.name.clone(),
        account: party.account.clone(),
        arn: party.arn.clone(),
        trust,
        policies,
    };
    let Some(cloud) = cloud else {
        let why = no_credentials(&party.account);
        return found(Fact::Unknown(why.clone()), Fact::Unknown(why));
    };
    let (iam, name) = (cloud.iam(), party.principal.name());
    if party.is_user() {
        return found(Fact::Is(None), policies_of(Holder::User(name), cloud).await);
    }
    let trust = iam.get_role(name).await.map(|role| role.and_then(|role| role.trust_policy));
    found(trust.into(), policies_of(Holder::Role(name), cloud).await)
}

/// Inline and attached policies; a principal that does not exist has none.
pub(crate) async fn policies_of(holder: Holder<'_>, cloud: &Cloud) -> Fact<Vec<String>> {
    let iam = cloud.iam();
    let all = async {
        let mut texts = Vec::new();
        for name in iam.list_policies(holder).await? {
            texts.extend(iam.get_policy(holder, &name).await?);
        }
        for arn in iam.attached_policies(holder).await? {
            texts.push(iam.managed_policy(&arn).await?);
        }
        Ok::<Vec<String>, consign_cloud::Error>(texts)
    };
    match all.await {
        Err(error) if error.kind() == CloudErrorKind::NotFound => Fact::Is(Vec::new()),
        other => other.into(),
    }
}

fn no_credentials(account: &AccountId) -> String {
    format!("no credentials for account {account}")
}

fn hidden_bucket(place: Place, key: Option<KeyFacts>) -> BucketFacts {
    let why = no_credentials(&place.owner);
    BucketFacts {
        exists: Fact::Unknown(why.clone()),
        is_owners: Fact::Unknown(why.clone()),
        policy: Fact::Unknown(why.clone()),
        policy_public: Fact::Unknown(why.clone()),
        block: Fact::Unknown(why.clone()),
        ownership: Fact::Unknown(why.clone()),
        encryption: Fact::Unknown(why.clone()),
        versioning: Fact::Unknown(why.clone()),
        mfa_delete: Fact::Unknown(why.clone()),
        lifecycle: Fact::Unknown(why.clone()),
        object_lock: Fact::Unknown(why.clone()),
        log: Fact::Unknown(why.clone()),
        log_target: None,
        notifications: Fact::Unknown(why.clone()),
        queues: Vec::new(),
        replication: Fact::Unknown(why.clone()),
        inventories: Fact::Unknown(why.clone()),
        website: Fact::Unknown(why.clone()),
        cors: Fact::Unknown(why.clone()),
        access_points: Fact::Unknown(why.clone()),
        multi_region_access_points: Fact::Unknown(why.clone()),
        access_grants: Fact::Unknown(why.clone()),
        malware_plans: Fact::Unknown(why.clone()),
        external_findings: Fact::Unknown(why.clone()),
        key,
        lane: place.lane,
        bucket: place.bucket,
        owner: place.owner,
    }
}

fn hidden_key(name: String, owner: AccountId) -> KeyFacts {
    let why = no_credentials(&owner);
    KeyFacts {
        name,
        owner,
        declared: true,
        info: Fact::Unknown(why.clone()),
        policy_names: Fact::Unknown(why.clone()),
        policy: Fact::Unknown(why.clone()),
        grants: Fact::Unknown(why.clone()),
        rotates: Fact::Unknown(why),
    }
}
