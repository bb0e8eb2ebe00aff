//! What is there: the value that `observe` brings home and `plan` compares with [`Desired`].
//!
//! Pure data, in the words of the exchange: by lane and party. What could not be looked at for
//! want of credentials is [`Sight::Hidden`], which is not the same as absent.

use crate::desired::{Desired, DesiredLane, KeyArn, Keys, TAG_EXCHANGE, TAG_LANE};
use crate::hands::Hands;
use crate::prove::Documents;
use consign_model::{LaneName, PartyName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Something looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight<T> {
    /// In an account for which there are no credentials.
    #[default]
    Hidden,
    /// Looked for and not there.
    Absent,
    /// There.
    Present(T),
}

impl<T> Sight<T> {
    /// The thing, if it was seen.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Sight::Present(thing) => Some(thing),
            Sight::Hidden | Sight::Absent => None,
        }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Each lane's bucket and key.
    pub lanes: BTreeMap<LaneName, ObservedLane>,
    /// Each party's principal.
    pub parties: BTreeMap<PartyName, Sight<ObservedPrincipal>>,
    /// Each repository's queues.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queues: BTreeMap<LaneName, ObservedQueues>,
    /// Names of keys of this exchange (`alias/consign/EXCHANGE/LANE`) whose lane is not in the file
    /// any more.
    #[serde(default)]
    pub removed: BTreeSet<String>,
}

/// A repository's queues, and whether its bucket announces on them what arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedQueues {
    /// The queue.
    pub queue: Sight<ObservedQueue>,
    /// The queue for what is set aside.
    pub dead_letters: Sight<ObservedQueue>,
    /// Whether the bucket's notifications are as they should be.
    pub announced: bool,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedQueue {
    /// Of its attributes those that an exchange sets; others change by themselves.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A lane's bucket and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedLane {
    /// The lane's bucket.
    pub bucket: Sight<ObservedBucket>,
    /// The key behind the lane's alias, or the one that carries the lane's tags.
    pub key: Sight<ObservedKey>,
}

/// A bucket's configuration, as far as an exchange cares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedBucket {
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its policy.
    pub policy: Option<String>,
    /// Whether all four public access blocks are on.
    pub public_access_blocked: bool,
    /// Whether ACLs are off (`BucketOwnerEnforced`).
    pub owner_enforced: bool,
    /// Its default encryption.
    pub encryption: Option<Encryption>,
    /// Whether versioning is on.
    pub versioned: bool,
    /// Its lifecycle, if it is one of ours.
    pub lifecycle: Option<Lifecycle>,
}

/// Default encryption of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `aws:kms`, `aws:kms:dsse` or `AES256`.
    pub algorithm: String,
    /// The key's ARN.
    pub key: Option<String>,
    /// Whether S3 keeps a bucket-level key.
    pub bucket_key: bool,
    /// Whether requests with customer-provided keys are blocked.
    pub customer_keys_blocked: bool,
}

/// When things go by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Days until an object expires.
    pub expire_days: u32,
    /// Days until an overwritten or deleted version goes.
    pub noncurrent_days: u32,
    /// Days until an unfinished upload is aborted.
    pub unfinished_upload_days: u32,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedKey {
    /// Its ARN.
    pub arn: KeyArn,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its policy.
    pub policy: String,
    /// Whether it rotates yearly.
    pub rotates: bool,
    /// Whether it can be used.
    pub state: KeyState,
    /// Whether the lane's alias points at it.
    pub has_alias: bool,
}

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It can.
    Enabled,
    /// Not until it is enabled again.
    Disabled,
    /// Not unless its deletion is cancelled in time.
    PendingDeletion,
}

/// A user or role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedPrincipal {
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// This exchange's inline policy on it.
    pub policy: Option<String>,
    /// For a role: who may assume it.
    pub trust: Option<String>,
}

impl ObservedLane {
    /// Whether the bucket cannot be made before another account's owner tells the key.
    pub(crate) fn waits_for_its_key(&self, lane: &DesiredLane) -> bool {
        lane.has_foreign_key() && self.key == Sight::Hidden && self.bucket == Sight::Absent
    }
}

impl ObservedKey {
    /// Whether its owner told us of it and we did not see it: no key is without a policy.
    pub fn is_told(&self) -> bool {
        self.policy.is_empty()
    }
}

impl Observed {
    /// The keys that exist.
    pub fn keys(&self) -> Keys {
        let keys = self.lanes.iter().filter_map(|(lane, observed)| {
            observed.key.seen().map(|key| (lane.clone(), key.arn.clone()))
        });
        keys.collect()
    }

    /// Of the keys that we saw ourselves those that somebody needs who cannot: parties and buckets in
    /// accounts without hands.
    pub fn keys_to_tell(&self, desired: &Desired, hands: &Hands) -> Keys {
        let needed = |lane: &DesiredLane| {
            let mut accounts = lane.holders().map(|it| &it.account).chain([&lane.owner]);
            accounts.any(|account| hands.in_account(account).is_none())
        };
        let lanes = desired.lanes.values().filter(|lane| needed(lane));
        let key = |lane: &DesiredLane| {
            let key = self.lanes.get(&lane.name)?.key.seen().filter(|key| !key.is_told())?;
            Some((lane.name.clone(), key.arn.clone()))
        };
        lanes.filter_map(key).collect()
    }

    /// Completes the sight of lanes in other people's accounts by key ARNs that their owners
    /// told us.
    #[must_use]
    pub fn told(mut self, keys: &Keys) -> Observed {
        for (lane, arn) in keys {
            let lane = self.lanes.entry(lane.clone()).or_default();
            if lane.key == Sight::Hidden {
                lane.key = Sight::Present(ObservedKey {
                    arn: arn.clone(),
                    tags: BTreeMap::new(),
                    policy: String::new(),
                    rotates: true,
                    state: KeyState::Enabled,
                    has_alias: true,
                });
            }
        }
        self
    }
}

impl Documents {
    /// What is deployed. Where we could not look, the planned document stands in, and
    /// [`Documents::assumed`] says so.
    pub fn observed(desired: &Desired, observed: &Observed) -> Documents {
        let mut documents = Documents::planned(desired, &observed.keys());
        let mut assumed = Vec::new();
        for lane in desired.lanes.values() {
            let hidden = ObservedLane::default();
            let seen = observed.lanes.get(&lane.name).unwrap_or(&hidden);
            let slot = documents.lanes.entry(lane.name.clone()).or_default();
            match &seen.bucket {
                _ if seen.waits_for_its_key(lane) => {
                    assumed.push(format!("bucket and queues of {}, not made yet", lane.title()));
                }
                Sight::Hidden => assumed.push(format!("bucket policy of lane {}", lane.name)),
                sight => slot.bucket_policy = sight.seen().and_then(|bucket| bucket.policy.clone()),
            }
            match &seen.key {
                Sight::Present(key) if !key.policy.is_empty() => {
                    slot.key = Some((key.arn.clone(), key.policy.clone()));
                }
                Sight::Absent => slot.key = None,
                _ => assumed.push(format!("key policy of lane {}", lane.name)),
            }
        }
        for (lane, _) in desired.queues() {
            let slot = documents.queues.entry(lane.name.clone()).or_default();
            let seen = observed.queues.get(&lane.name).cloned().unwrap_or_default();
            let policy = |queue: &ObservedQueue| {
                let policy = queue.attributes.get("Policy").filter(|text| !text.is_empty());
                policy.cloned().unwrap_or_else(|| NO_STATEMENTS.to_owned())
            };
            match (&seen.queue, &seen.dead_letters) {
                _ if observed
                    .lanes
                    .get(&lane.name)
                    .is_some_and(|it| it.waits_for_its_key(lane)) => {}
                (Sight::Hidden, _) | (_, Sight::Hidden) => {
                    assumed.push(format!("queue policies of repository {}", lane.name));
                }
                (queue, dead_letters) => {
                    slot.queue = queue.seen().map(policy);
                    slot.dead_letters = dead_letters.seen().map(policy);
                }
            }
        }
        for party in desired.parties.values() {
            match observed.parties.get(&party.name) {
                Some(Sight::Present(principal)) => {
                    let policies = principal.policy.iter().cloned().collect();
                    documents.identities.insert(party.name.clone(), policies);
                }
                Some(Sight::Absent) => {
                    documents.identities.insert(party.name.clone(), Vec::new());
                }
                Some(Sight::Hidden) | None => {
                    assumed.push(format!("identity policy of party {}", party.name));
                }
            }
        }
        documents.assumed.extend(assumed);
        documents
    }
}

/// A queue without a policy, which is not the same as no queue: a policy that says nothing of anybody.
const NO_STATEMENTS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"arn:aws:sqs:::none"}]}"#;

/// Whose a tagged thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Ours: this exchange, this lane.
    Ours,
    /// Not tagged by consign.
    Unmarked,
    /// Another exchange's or lane's.
    Others,
}

pub(crate) fn ownership(
    tags: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Ownership {
    let ours = |key: &str| tags.get(key) == wanted.get(key);
    if !tags.contains_key(TAG_EXCHANGE) && !tags.contains_key(TAG_LANE) {
        Ownership::Unmarked
    } else if ours(TAG_EXCHANGE) && ours(TAG_LANE) {
        Ownership::Ours
    } else {
        Ownership::Others
    }
}
