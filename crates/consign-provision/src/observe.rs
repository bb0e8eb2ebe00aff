//! Looks at what is there. Reads only; an account without credentials stays hidden.
//!
//! A bucket's existence is read from its tags, not by `HeadBucket`: the lane's own policy denies
//! listing, and with it `HeadBucket`, to its owner's administrators.

pub(crate) mod queues;

use crate::desired::{Desired, DesiredLane, DesiredParty, KeyArn};
use crate::error::{Error, ErrorKind};
use crate::hands::Hands;
use crate::observed::{
    Encryption, KeyState, Lifecycle, Observed, ObservedBucket, ObservedKey, ObservedLane,
    ObservedPrincipal, ObservedQueues, Ownership as TagOwnership, Sight, ownership,
};
use consign_cloud::iam::Holder;
use consign_cloud::s3::bucket::{BucketAlgorithm, Ownership, PublicAccessBlock, Versioning};
use consign_cloud::{Cloud, ErrorKind as CloudErrorKind, kms};
use consign_model::AccountId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// The id of the one lifecycle rule that an exchange writes.
pub(crate) const LIFECYCLE_RULE: &str = "consign";

/// Reads everything about `desired` that `hands` can reach. Dropping it leaves nothing behind.
///
/// # Errors
/// [`ErrorKind::NotOurs`] if a bucket's name is taken in another account,
/// [`ErrorKind::Service`] when a service does not answer.
pub async fn observe(desired: &Desired, hands: &Hands) -> Result<Observed, Error> {
    let mut observed = Observed::default();
    let keys = Arc::new(KeysByAccount::default());
    let mut lanes = desired.lanes.values();
    let mut looking = JoinSet::new();
    loop {
        while looking.len() < LANES_AT_ONCE
            && let Some(lane) = lanes.next()
        {
            let (lane, keys) = (lane.clone(), Arc::clone(&keys));
            let owners = hands.in_account(&lane.owner).cloned();
            let key_owners = hands.in_account(&lane.key_owner).cloned();
            looking.spawn(async move {
                let seen = observe_lane(&lane, owners, key_owners, &keys).await?;
                Ok::<_, Error>((lane.name, seen))
            });
        }
        let Some(seen) = looking.join_next().await else { break };
        let seen = seen.map_err(|error| {
            Error::new(ErrorKind::Service, "a task of this program failed").with_source(error)
        })?;
        let (lane, seen) = seen?;
        observed.lanes.insert(lane, seen);
    }
    for (lane, queue) in desired.queues() {
        let seen = match hands.in_account(&queue.account) {
            Some(cloud) => queues::observe(lane, queue, cloud).await?,
            None => ObservedQueues::default(),
        };
        observed.queues.insert(lane.name.clone(), seen);
    }
    let policy_name = desired.identity_policy_name();
    for party in desired.parties.values() {
        let seen = match hands.in_account(&party.account) {
            Some(cloud) => observe_principal(party, &policy_name, cloud).await?,
            None => Sight::Hidden,
        };
        observed.parties.insert(party.name.clone(), seen);
    }
    observed.removed = removed_lanes(desired, hands).await?;
    Ok(observed)
}

/// Keys that the exchange once named and does not any more, in the accounts that own keys of it.
async fn removed_lanes(desired: &Desired, hands: &Hands) -> Result<BTreeSet<String>, Error> {
    let ours = format!("alias/consign/{}/", desired.exchange);
    let keyed = || desired.lanes.values().filter(|lane| lane.has_key());
    let declared: BTreeSet<&str> = keyed().map(|lane| lane.key_alias.as_str()).collect();
    let owners: BTreeSet<&AccountId> = keyed().map(|lane| &lane.key_owner).collect();
    let mut removed = BTreeSet::new();
    for cloud in owners.into_iter().filter_map(|owner| hands.in_account(owner)) {
        let aliases = cloud.kms().list_aliases(None).await;
        let aliases = aliases.map_err(|error| unreadable("the names of keys", error))?;
        let names = aliases.into_iter().map(|alias| alias.name);
        removed.extend(
            names.filter(|name| name.starts_with(&ours) && !declared.contains(name.as_str())),
        );
    }
    Ok(removed)
}

/// Each lane is a dozen small requests; a hub has thousands of lanes. The services' own limits for
/// such requests are some tens a second.
const LANES_AT_ONCE: usize = 8;

async fn observe_lane(
    lane: &DesiredLane,
    owners: Option<Cloud>,
    key_owners: Option<Cloud>,
    keys: &KeysByAccount,
) -> Result<ObservedLane, Error> {
    let bucket = match owners {
        Some(cloud) => observe_bucket(lane, &cloud).await?,
        None => Sight::Hidden,
    };
    let key = match key_owners {
        Some(cloud) if lane.has_key() => observe_key(lane, &cloud, keys).await?,
        Some(_) => Sight::Absent,
        None => Sight::Hidden,
    };
    Ok(ObservedLane { bucket, key })
}

async fn observe_bucket(lane: &DesiredLane, cloud: &Cloud) -> Result<Sight<ObservedBucket>, Error> {
    let (s3, bucket) = (cloud.s3(), lane.bucket.as_ref());
    let tags = match s3.get_bucket_tags(bucket).await {
        Ok(tags) => tags,
        Err(error) if error.kind() == CloudErrorKind::NotFound => return Ok(Sight::Absent),
        Err(error) if error.kind() == CloudErrorKind::AccessDenied => {
            let message =
                format!("bucket {bucket} exists and account {} may not look at it", lane.owner);
            return Err(Error::new(ErrorKind::NotOurs, message)
                .with_hint(
                    "it belongs to somebody else, or these are not administrator credentials",
                )
                .with_source(error));
        }
        Err(error) => return Err(unreadable(&format!("bucket {bucket}"), error)),
    };
    let (policy, block, ownership, encryption, versioning, rules) = tokio::try_join!(
        s3.get_bucket_policy(bucket),
        s3.get_public_access_block(bucket),
        s3.get_ownership(bucket),
        s3.get_encryption(bucket),
        s3.get_versioning(bucket),
        s3.get_lifecycle(bucket),
    )
    .map_err(|error| unreadable(&format!("bucket {bucket}"), error))?;
    let encryption = encryption.map(|found| Encryption {
        algorithm: match found.algorithm {
            BucketAlgorithm::SseS3 => "AES256".to_owned(),
            BucketAlgorithm::SseKms => "aws:kms".to_owned(),
            BucketAlgorithm::DsseKms => "aws:kms:dsse".to_owned(),
        },
        key: found.kms_key,
        bucket_key: found.bucket_key,
        customer_keys_blocked: found.ssec_blocked == Some(true),
    });
    Ok(Sight::Present(ObservedBucket {
        tags,
        policy,
        public_access_blocked: block == Some(PublicAccessBlock::ALL),
        owner_enforced: ownership == Some(Ownership::BucketOwnerEnforced),
        encryption,
        versioned: versioning == Versioning::Enabled,
        lifecycle: rules.iter().find_map(our_lifecycle),
    }))
}

fn our_lifecycle(rule: &consign_cloud::s3::bucket::LifecycleRule) -> Option<Lifecycle> {
    let whole =
        rule.id == LIFECYCLE_RULE && rule.enabled && rule.prefix.is_empty() && !rule.has_more;
    let days = |days: Option<i32>| days.and_then(|days| u32::try_from(days).ok());
    whole.then_some(())?;
    Some(Lifecycle {
        expire_days: days(rule.expire_days)?,
        noncurrent_days: days(rule.noncurrent_days)?,
        unfinished_upload_days: days(rule.abort_multipart_days)?,
    })
}

async fn observe_key(
    lane: &DesiredLane,
    cloud: &Cloud,
    keys: &KeysByAccount,
) -> Result<Sight<ObservedKey>, Error> {
    let kms = cloud.kms();
    let failed = |error| unreadable(&format!("key {}", lane.key_alias), error);
    let by_alias = kms.describe_key(&lane.key_alias).await.map_err(failed)?;
    let has_alias = by_alias.is_some();
    let found = match by_alias {
        Some(key) => Some(key),
        None => keys.nameless(lane, cloud).await.map_err(failed)?,
    };
    let Some(key) = found else { return Ok(Sight::Absent) };
    let state = match key.state {
        kms::KeyState::Enabled => KeyState::Enabled,
        kms::KeyState::PendingDeletion => KeyState::PendingDeletion,
        kms::KeyState::Disabled | kms::KeyState::Other => KeyState::Disabled,
    };
    let (policy, tags) =
        tokio::try_join!(kms.get_key_policy(&key.arn), kms.key_tags(&key.arn)).map_err(failed)?;
    // A key that is going away does not say whether it rotates.
    let rotates = match state {
        KeyState::Enabled => kms.rotation_enabled(&key.arn).await.map_err(failed)?,
        KeyState::Disabled | KeyState::PendingDeletion => false,
    };
    let arn = KeyArn::new(key.arn);
    Ok(Sight::Present(ObservedKey { arn, tags, policy, rotates, state, has_alias }))
}

/// The keys of accounts, listed once for all lanes: there is a request for each key.
#[derive(Default)]
struct KeysByAccount {
    usable: Mutex<BTreeMap<AccountId, Arc<[kms::KeyInfo]>>>,
}

impl KeysByAccount {
    /// A key of this lane that has no alias: what remains when the answer to its creation was lost,
    /// or when somebody was stopped before naming it. Only looked for when the alias is not there.
    async fn nameless(
        &self,
        lane: &DesiredLane,
        cloud: &Cloud,
    ) -> Result<Option<kms::KeyInfo>, consign_cloud::Error> {
        // The description first: it comes with the key and spares a call for everybody else's.
        let described = lane.key_description();
        for key in self.of(&lane.key_owner, cloud).await?.iter() {
            if key.description == described
                && ownership(&cloud.kms().key_tags(&key.arn).await?, &lane.tags())
                    == TagOwnership::Ours
            {
                return Ok(Some(key.clone()));
            }
        }
        Ok(None)
    }

    async fn of(
        &self,
        account: &AccountId,
        cloud: &Cloud,
    ) -> Result<Arc<[kms::KeyInfo]>, consign_cloud::Error> {
        // Held while asking, so that the lanes that come meanwhile wait instead of asking too.
        let mut known = self.usable.lock().await;
        if let Some(keys) = known.get(account) {
            return Ok(Arc::clone(keys));
        }
        let mut usable = Vec::new();
        for id in cloud.kms().list_keys().await? {
            let Some(key) = cloud.kms().describe_key(&id).await? else { continue };
            if key.customer_managed
                && matches!(key.state, kms::KeyState::Enabled | kms::KeyState::Disabled)
            {
                usable.push(key);
            }
        }
        let usable: Arc<[kms::KeyInfo]> = usable.into();
        known.insert(account.clone(), Arc::clone(&usable));
        Ok(usable)
    }
}

async fn observe_principal(
    party: &DesiredParty,
    policy_name: &str,
    cloud: &Cloud,
) -> Result<Sight<ObservedPrincipal>, Error> {
    let iam = cloud.iam();
    let failed = |error| unreadable(&party.principal.to_string(), error);
    let name = party.principal.name();
    let found = if party.is_user() {
        iam.get_user(name).await.map_err(failed)?
    } else {
        iam.get_role(name).await.map_err(failed)?
    };
    let Some(found) = found else { return Ok(Sight::Absent) };
    if found.arn != party.arn {
        let message = format!(
            "party `{}` is to be {}, and account {} has {} of that name",
            party.name, party.arn, party.account, found.arn
        );
        return Err(Error::new(ErrorKind::Exchange, message).with_hint(
            "names are unique within an account whatever their path; correct `principal`",
        ));
    }
    let policy = iam.get_policy(holder(party), policy_name).await.map_err(failed)?;
    let (tags, trust) = (found.tags, found.trust_policy);
    Ok(Sight::Present(ObservedPrincipal { tags, policy, trust }))
}

fn holder(party: &DesiredParty) -> Holder<'_> {
    let name = party.principal.name();
    if party.is_user() { Holder::User(name) } else { Holder::Role(name) }
}

fn unreadable(what: &str, error: consign_cloud::Error) -> Error {
    let hint = error.hint();
    let unreadable = Error::new(ErrorKind::Service, format!("cannot look at {what}"));
    let unreadable = match hint {
        Some(hint) => unreadable.with_hint(hint),
        None => unreadable,
    };
    unreadable.with_source(error)
}
