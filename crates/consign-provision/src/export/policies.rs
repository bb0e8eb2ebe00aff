//! The policies as plain documents, one file each, and `index.json`, which says what each is for.

use super::{Files, Marker, pretty};
use crate::desired::{Desired, Keys};
use crate::error::Error;
use crate::keys_told::check_told;
use consign_model::{AccountId, BucketName, LaneName, PartyName};
use serde::Serialize;
use std::collections::BTreeMap;

/// What `index.json` holds.
#[derive(Serialize)]
struct Index {
    consign: Marker,
    documents: BTreeMap<String, Entry>,
}

/// What a document is for, and where it goes.
#[derive(Serialize)]
#[serde(tag = "kind")]
enum Entry {
    #[serde(rename = "bucket-policy")]
    Bucket { account: AccountId, lane: LaneName, bucket: BucketName },
    #[serde(rename = "key-policy")]
    Key { account: AccountId, lane: LaneName, alias: String, key: String },
    #[serde(rename = "identity-policy")]
    Identity { account: AccountId, party: PartyName, principal: String, policy_name: String },
    #[serde(rename = "queue-policy")]
    Queue { account: AccountId, repository: LaneName, queue: String },
    #[serde(rename = "trust-policy")]
    Trust { account: AccountId, party: PartyName, principal: String },
}

impl Entry {
    fn account(&self) -> &AccountId {
        match self {
            Entry::Bucket { account, .. }
            | Entry::Key { account, .. }
            | Entry::Identity { account, .. }
            | Entry::Queue { account, .. }
            | Entry::Trust { account, .. } => account,
        }
    }
}

/// A document per bucket, key and party (`bucket-LANE.json`, `key-LANE.json`,
/// `identity-PARTY.json`, `trust-PARTY.json`, for a repository `queue-NAME.json` and
/// `dead-letters-NAME.json`) and an index. A key that is not among `keys` appears under its stand-in,
/// which says `to-be-created-for-LANE`.
///
/// # Errors
/// [`ErrorKind::Exchange`](crate::ErrorKind::Exchange) if `keys` names a key that no lane can have.
pub fn policies(desired: &Desired, keys: &Keys, of: Option<&AccountId>) -> Result<Files, Error> {
    check_told(desired, keys)?;
    let mut entries = entries(desired, keys);
    entries.retain(|_, entry| of.is_none_or(|account| entry.account() == account));
    let mut files: Files = desired
        .documents(keys)
        .into_iter()
        .filter(|(name, _)| entries.contains_key(name))
        .map(|(name, document)| (name, pretty(&document)))
        .collect();
    entries.retain(|name, _| files.contains_key(name));
    let index = Index { consign: Marker::new(desired, of, Vec::new()), documents: entries };
    files.insert("index.json".to_owned(), pretty(&index));
    Ok(files)
}

fn entries(desired: &Desired, keys: &Keys) -> BTreeMap<String, Entry> {
    let keys = desired.complete(keys);
    let mut entries = BTreeMap::new();
    for lane in desired.lanes.values() {
        let (account, name) = (lane.owner.clone(), lane.name.clone());
        if let Some(key) = keys.get(&name) {
            let (alias, key) = (lane.key_alias.clone(), key.to_string());
            let account = lane.key_owner.clone();
            let entry = Entry::Key { account, lane: name.clone(), alias, key };
            entries.insert(format!("key-{name}.json"), entry);
        }
        let entry = Entry::Bucket { account, lane: name, bucket: lane.bucket.clone() };
        entries.insert(format!("bucket-{}.json", lane.name), entry);
    }
    for (lane, queue) in desired.queues() {
        let both = [("queue", &queue.name), ("dead-letters", &queue.dead_letters)];
        for (what, queue) in both {
            let (account, repository) = (lane.owner.clone(), lane.name.clone());
            let entry = Entry::Queue { account, repository, queue: queue.clone() };
            entries.insert(format!("{what}-{}.json", lane.name), entry);
        }
    }
    for party in desired.parties.values() {
        let (account, name) = (party.account.clone(), party.name.clone());
        let principal = party.principal.to_string();
        if party.trust.is_some() {
            let (account, party, principal) = (account.clone(), name.clone(), principal.clone());
            let entry = Entry::Trust { account, party, principal };
            entries.insert(format!("trust-{name}.json"), entry);
        }
        let policy_name = desired.identity_policy_name();
        let entry = Entry::Identity { account, party: name, principal, policy_name };
        entries.insert(format!("identity-{}.json", party.name), entry);
    }
    entries
}
