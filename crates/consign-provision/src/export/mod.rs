//! The buckets, keys and policies of an exchange as files, for people who create them with tools
//! of their own.
//!
//! Start with [`cloudformation()`], [`terraform()`] or [`policies()`]: each turns a [`Desired`] into
//! [`Files`], for every account or for one. All of it is pure, and the same input gives the same
//! bytes, so the files can be committed and compared. Policy text comes from [`Document`] alone:
//! documents are made with the stand-ins of [`KeyArn::planned`], and a stand-in, which is always a
//! whole string, becomes a reference to the key that the template creates.
//!
//! What it is not: it reads and writes no file and looks at no cloud.
//!
//! [`Document`]: crate::Document

mod cloudformation;
mod policies;
mod terraform;

pub use cloudformation::cloudformation;
pub use policies::policies;
pub use terraform::{Provider, terraform};

use crate::desired::{Desired, DesiredLane, DesiredParty, KeyArn, Keys};
use crate::error::Error;
use crate::keys_told::check_told;
use crate::plan::hex;
use crate::stage::DesiredQueue;
use crate::trust_order::Trust;
use consign_model::{AccountId, LaneName};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Text by relative path.
pub type Files = BTreeMap<String, String>;

/// Which exchange an exported file was made for; `None` for a file that is not one of ours.
pub fn made_for(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    // In a template's metadata, in Terraform's comment (`//`), in an index.
    let places = ["/Metadata/consign/exchange", "/~1~1/consign/exchange", "/consign/exchange"];
    let found = places.iter().find_map(|place| value.pointer(place));
    Some(found?.as_str()?.to_owned())
}

/// The accounts in which an exchange needs anything.
pub fn accounts(desired: &Desired) -> BTreeSet<AccountId> {
    desired.parties.values().map(|party| party.account.clone()).collect()
}

/// What a file says about itself.
#[derive(Serialize)]
struct Marker {
    exchange: String,
    exchange_digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Marker {
    fn new(desired: &Desired, account: Option<&AccountId>, notes: Vec<String>) -> Marker {
        Marker {
            exchange: desired.exchange.to_string(),
            exchange_digest: hex(&desired.digest),
            account: account.cloned(),
            notes,
        }
    }
}

/// What an exchange needs in one account.
struct Part<'a> {
    desired: &'a Desired,
    account: AccountId,
    /// Keys of other accounts that their owners told.
    told: &'a Keys,
    /// The stand-ins of all keys, which become references.
    stand_ins: Keys,
}

impl<'a> Part<'a> {
    /// The part of each account asked for.
    fn all(
        desired: &'a Desired,
        told: &'a Keys,
        of: Option<&AccountId>,
    ) -> Result<Vec<Part<'a>>, Error> {
        check_told(desired, told)?;
        let accounts = of.map_or_else(|| accounts(desired), |one| BTreeSet::from([one.clone()]));
        let part = |account| Part { desired, account, told, stand_ins: desired.planned_keys() };
        Ok(accounts.into_iter().map(part).filter(Part::needs_anything).collect())
    }

    /// Not so for an account whose only role is on no lane and not made here.
    fn needs_anything(&self) -> bool {
        let needed =
            |party: &DesiredParty| party.can_be_made() || self.lanes_of(party).next().is_some();
        self.lanes().next().is_some() || self.keys().next().is_some() || self.parties().any(needed)
    }

    /// The name that the part's file or folder has.
    fn name(&self) -> String {
        format!("{}-{}", self.desired.exchange, self.account)
    }

    /// The lanes whose key is in this account.
    fn keys(&self) -> impl Iterator<Item = &'a DesiredLane> {
        let own = |lane: &&DesiredLane| lane.has_key() && lane.key_owner == self.account;
        self.desired.lanes.values().filter(own)
    }

    /// The lanes whose bucket is in this account.
    fn lanes(&self) -> impl Iterator<Item = &'a DesiredLane> {
        self.desired.lanes.values().filter(|lane| lane.owner == self.account)
    }

    fn parties(&self) -> impl Iterator<Item = &'a DesiredParty> {
        self.desired.parties.values().filter(|party| party.account == self.account)
    }

    /// The users and roles that this part makes, of those whom `lane`'s policies name: AWS refuses
    /// a policy whose principal does not exist.
    fn principals_of(&self, lane: &DesiredLane) -> Vec<&'a DesiredParty> {
        let named = |party: &DesiredParty| {
            lane.writer.party == party.name
                || lane.readers.iter().any(|reader| reader.party == party.name)
        };
        self.parties().filter(|party| party.can_be_made() && named(party)).collect()
    }

    /// Whom this part must make before `party`'s role, whose trust policy names it.
    fn made_before(&self, party: &DesiredParty) -> Option<&'a DesiredParty> {
        Trust::new(self.desired)
            .trusted_by(party)
            .filter(|other| other.account == self.account && other.can_be_made())
    }

    /// The lanes that `party` is on.
    fn lanes_of(&self, party: &DesiredParty) -> impl Iterator<Item = &'a DesiredLane> {
        let names: BTreeSet<LaneName> = party.writes.iter().chain(&party.reads).cloned().collect();
        self.desired.lanes.values().filter(move |lane| names.contains(&lane.name))
    }

    /// Of these, the lanes of this account.
    fn own_lanes_of(&self, party: &DesiredParty) -> impl Iterator<Item = &'a DesiredLane> {
        let account = self.account.clone();
        self.lanes_of(party).filter(move |lane| lane.owner == account)
    }

    /// Of these, the lanes whose key is in another account.
    fn foreign_keys_of(&self, party: &DesiredParty) -> Vec<&'a DesiredLane> {
        let foreign = |lane: &&DesiredLane| lane.has_key() && lane.key_owner != self.account;
        self.lanes_of(party).filter(foreign).collect()
    }

    /// The lanes of other accounts whose keys some policy of this account names.
    fn foreign_keys(&self) -> BTreeMap<&'a LaneName, &'a DesiredLane> {
        let of_parties = self.parties().flat_map(|party| self.foreign_keys_of(party));
        let lanes = of_parties.chain(self.lanes().filter(|lane| lane.has_foreign_key()));
        lanes.map(|lane| (&lane.name, lane)).collect()
    }

    /// `text` with each stand-in, together with its quotes, replaced by what `reference` says of
    /// the lane: whether its key is of this account is the second argument.
    fn with_references(
        &self,
        text: &str,
        reference: impl Fn(&DesiredLane, bool) -> String,
    ) -> String {
        self.stand_ins.iter().fold(text.to_owned(), |text, (lane, stand_in)| {
            let Some(lane) = self.desired.lanes.get(lane) else { return text };
            let reference = reference(lane, lane.key_owner == self.account);
            text.replace(&format!("\"{stand_in}\""), &reference)
        })
    }

    /// What must be there before, because nothing here can make it.
    fn notes(&self) -> Vec<String> {
        let holders = self.lanes().chain(self.keys()).flat_map(DesiredLane::holders);
        let foreign = holders.filter(|holder| holder.account != self.account);
        let own: BTreeSet<&str> = self.parties().map(|party| party.arn.as_str()).collect();
        // An account's root is always there.
        let trusted = self.parties().filter_map(|party| party.trust.as_ref());
        let trusted = trusted
            .map(|trust| trust.principal_arn.as_str())
            .filter(|arn| !arn.ends_with(":root") && !own.contains(arn));
        let named: BTreeSet<&str> =
            foreign.map(|holder| holder.arn.as_str()).chain(trusted).collect();
        let mut notes: Vec<String> = named
            .into_iter()
            .map(|arn| format!("{arn} has to exist before: policies name it."))
            .collect();
        notes.extend(self.parties().filter(|party| !party.can_be_made()).map(|party| {
            let arn = &party.arn;
            format!(
                "{arn} has to exist before: the exchange file does not say who may assume it \
                 (`trust`), so it is not made here."
            )
        }));
        notes.extend(self.foreign_keys().values().map(|lane| {
            format!(
                "The key of {} belongs to party {}, who knows its ARN. What names it is made once it \
                 is given.",
                lane.title(),
                lane.key_owner_party
            )
        }));
        notes
    }
}

/// The attributes of a queue but its policy, numbers as numbers and documents as documents.
fn queue_settings(attributes: BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let settings = attributes.into_iter().filter(|(name, _)| name != "Policy");
    settings
        .map(|(name, text)| {
            let value = serde_json::from_str(&text).unwrap_or_else(|_| text.clone().into());
            (name, value)
        })
        .collect()
}

/// Both queues of a repository: what templates add to its name, the queue's own name, its attributes,
/// and its policy. The one that the other names comes first.
fn queues_of(queue: &DesiredQueue) -> [QueueParts<'_>; 2] {
    [
        QueueParts {
            what: "DeadLetters",
            name: &queue.dead_letters,
            settings: queue_settings(queue.dead_letters_attributes()),
            policy: crate::policies::queue::dead_letters_policy(queue),
        },
        QueueParts {
            what: "Queue",
            name: &queue.name,
            settings: queue_settings(queue.attributes()),
            policy: crate::policies::queue::policy(queue),
        },
    ]
}

struct QueueParts<'a> {
    what: &'static str,
    name: &'a str,
    settings: BTreeMap<String, Value>,
    policy: crate::Document,
}

/// A told key's ARN, if it was told.
fn told<'k>(keys: &'k Keys, lane: &DesiredLane) -> Option<&'k str> {
    keys.get(&lane.name).map(KeyArn::as_str)
}

fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("exports are plain data");
    text.push('\n');
    text
}
