//! What the other parties have to do, for those who do not run `consign`: documents, and the
//! commands of the stock AWS CLI that put them in place.
//!
//! [`handover`] plans the other account's half as if nothing of ours were there yet, and
//! [`crate::shell`] prints each step as a command. It is pure; what it cannot know of the other
//! account (whether a role exists that only its owner may make) it says in words.

use crate::desired::Desired;
use crate::error::Error;
use crate::observed::{
    Observed, ObservedKey, ObservedLane, ObservedPrincipal, ObservedQueues, Sight,
};
use crate::planner::plan;
use crate::shell;
use consign_model::{AccountId, PartyName};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One other account's half.
#[derive(Clone, Debug, Serialize)]
pub struct Handover {
    /// The account.
    pub account: AccountId,
    /// The parties in it.
    pub parties: Vec<PartyName>,
    /// What has to be settled by people first, in words.
    pub notes: Vec<String>,
    /// The documents, by file name.
    pub documents: BTreeMap<String, String>,
    /// A script for `sh` with the AWS CLI and an administrator's credentials of the account. It
    /// prints the key ARNs that we have to be told.
    pub script: String,
}

/// The half of every account but `ours`, in the order of the accounts. `observed` is what we see;
/// from it come the ARNs of our keys.
///
/// # Errors
/// As [`crate::plan()`].
pub fn handover(
    desired: &Desired,
    observed: &Observed,
    ours: &AccountId,
) -> Result<Vec<Handover>, Error> {
    let accounts: BTreeSet<&AccountId> =
        desired.parties.values().map(|party| &party.account).collect();
    let others = accounts.into_iter().filter(|account| *account != ours);
    others.map(|account| half(desired, observed, account)).collect()
}

fn half(desired: &Desired, observed: &Observed, account: &AccountId) -> Result<Handover, Error> {
    let plan = plan(desired, &imagined(desired, observed, account))?;
    let parties = desired.parties.values().filter(|party| party.account == *account);
    let parties: Vec<_> = parties.collect();
    let mut notes = Vec::new();
    for party in parties.iter().filter(|party| !party.can_be_made()) {
        notes.push(format!(
            "{} must exist in account {account} before anything else, with a trust policy for those \
             who may act for `{}`",
            party.principal, party.name
        ));
    }
    let theirs = plan.left.iter().filter(|left| left.account == *account);
    notes.extend(theirs.map(|left| left.words.clone()));
    let names: BTreeSet<String> = parties
        .iter()
        .flat_map(|it| [format!("identity-{}.json", it.name), format!("trust-{}.json", it.name)])
        .chain(desired.lanes.values().filter(|it| it.owner == *account).flat_map(|it| {
            ["bucket", "queue", "dead-letters"].map(|what| format!("{what}-{}.json", it.name))
        }))
        .chain(
            desired
                .lanes
                .values()
                .filter(|it| it.key_owner == *account)
                .map(|it| format!("key-{}.json", it.name)),
        )
        .collect();
    let documents = desired.documents(&observed.keys()).into_iter();
    Ok(Handover {
        account: account.clone(),
        parties: parties.iter().map(|party| party.name.clone()).collect(),
        notes,
        documents: documents
            .filter(|(name, _)| names.contains(name))
            .map(|(name, document)| (name, document.to_pretty_json()))
            .collect(),
        script: shell::script(&plan, desired, account),
    })
}

/// The other account as its owner finds it: nothing of the exchange there, but the principals
/// that only he may make; our lanes out of sight, their keys told.
fn imagined(desired: &Desired, observed: &Observed, account: &AccountId) -> Observed {
    let mut world = Observed::default();
    for lane in desired.lanes.values() {
        let ours = observed.lanes.get(&lane.name).and_then(|seen| seen.key.seen());
        let key = match ours {
            // What is absent to us can be told to nobody yet.
            Some(key) if lane.key_owner != *account => {
                Sight::Present(ObservedKey { policy: String::new(), ..key.clone() })
            }
            _ if lane.key_owner == *account => Sight::Absent,
            _ => Sight::Hidden,
        };
        let bucket = if lane.owner == *account { Sight::Absent } else { Sight::Hidden };
        world.lanes.insert(lane.name.clone(), ObservedLane { bucket, key });
    }
    for (lane, _) in desired.queues().filter(|(lane, _)| lane.owner == *account) {
        let queues =
            ObservedQueues { queue: Sight::Absent, dead_letters: Sight::Absent, announced: false };
        world.queues.insert(lane.name.clone(), queues);
    }
    for party in desired.parties.values().filter(|party| party.account == *account) {
        let seen = match party.can_be_made() {
            true => Sight::Absent,
            false => Sight::Present(ObservedPrincipal::default()),
        };
        world.parties.insert(party.name.clone(), seen);
    }
    world
}
