//! What is there: the value that `observe` brings home and `plan` compares with [`Desired`].
//!
//! Pure data, in the words of the exchange: by lane and party. What could not be looked at for
//! want of credentials is [`Sight::Hidden`], which is not the same as absent.

use crate::desired::{Desired, KeyArn, Keys, TAG_EXCHANGE, TAG_LANE};
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
    /// Names of keys of this exchange (`alias/consign/EXCHANGE/LANE`) whose lane is not in the file
    /// any more.
    #[serde(default)]
    pub removed: BTreeSet<String>,
}

/// A lane's bucket and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedLane {
    /// The bucket of the lane's name.
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

impl Observed {
    /// The keys that exist.
    pub fn keys(&self) -> Keys {
        let keys = self.lanes.iter().filter_map(|(lane, observed)| {
            observed.key.seen().map(|key| (lane.clone(), key.arn.clone()))
        });
        keys.collect()
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
