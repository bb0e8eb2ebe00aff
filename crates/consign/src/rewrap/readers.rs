//! Who is to read a consignment: what its manifest says, what the exchange file says, and what was
//! asked for go in; the new readers come out, or none if they are right.

use super::RewrapOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::letter::Opened;
use crate::office::Office;
use crate::seals::{live_keys, recipient};
use consign_model::{Addressee, Digest, Lane, PartyName};
use consign_seal::age::Recipient;

/// The readers that a consignment is to have.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) addressees: Vec<Addressee>,
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) added: Vec<PartyName>,
    pub(crate) removed: Vec<PartyName>,
    pub(crate) rekeyed: Vec<PartyName>,
}

impl Readers {
    /// Of what the revision of a version is made: an interrupted one goes on if it is still the same.
    pub(crate) fn terms(&self, of: &Opened) -> Digest {
        let mut terms = blake3::Hasher::new();
        terms.update(of.digest.as_bytes());
        for recipient in &self.recipients {
            terms.update(b"\0").update(recipient.to_string().as_bytes());
        }
        Digest::from(*terms.finalize().as_bytes())
    }
}

/// The exchange file is what is reviewed and what policies follow from, so it changes first.
pub(crate) fn check(lane: &Lane, options: &RewrapOptions) -> Result<()> {
    let declared = |party: &&PartyName| lane.sealed_to().any(|one| one == *party);
    let wrong = |message: String, hint: String| {
        Err(Error::new(ErrorKind::Configuration, message).hinting(hint))
    };
    if let Some(party) = options.add.iter().find(|party| !declared(party)) {
        return wrong(
            format!("lane `{}` does not name `{party}` among its receivers", lane.name),
            format!("add `{party}` to `to` of [lane.{}], `consign apply`, then this", lane.name),
        );
    }
    match options.remove.iter().find(declared) {
        None => Ok(()),
        Some(party) => wrong(
            format!(
                "lane `{}` is sealed to `{party}`, who would read what is sent next",
                lane.name
            ),
            format!(
                "remove `{party}` from `to` of [lane.{}], `consign apply`, then this",
                lane.name
            ),
        ),
    }
}

/// The readers that a consignment is to have instead of `current`; none if they are right.
pub(crate) fn decide(
    office: &Office,
    lane: &Lane,
    current: &[Addressee],
    options: &RewrapOptions,
) -> Result<Option<Readers>> {
    let reads = |party: &PartyName| current.iter().any(|addressee| addressee.party == *party);
    let mut parties: Vec<&PartyName> = Vec::new();
    if options.add.is_empty() && options.remove.is_empty() {
        parties.extend(lane.sealed_to());
    } else {
        let kept = current.iter().map(|addressee| &addressee.party);
        parties.extend(kept.filter(|party| !options.remove.contains(party)));
        parties.extend(options.add.iter().filter(|party| !reads(party)));
    }
    let (mut addressees, mut recipients) = (Vec::new(), Vec::new());
    for party in parties {
        let keys = live_keys(office, lane, party);
        if keys.is_empty() {
            let message = format!("the exchange file has no live recipient of `{party}`");
            return Err(Error::new(ErrorKind::Configuration, message)
                .hinting(format!("add one, or remove `{party}` from the readers, too")));
        }
        let key_ids = keys.iter().map(|key| key.id.clone()).collect();
        addressees.push(Addressee { party: party.clone(), key_ids });
        for key in keys {
            recipients.push(recipient(party, key)?);
        }
    }
    let keys_of = |all: &[Addressee], party: &PartyName| {
        let found = all.iter().find(|addressee| addressee.party == *party);
        found.map(|addressee| addressee.key_ids.clone())
    };
    let names = |all: &[Addressee], pick: &dyn Fn(&PartyName) -> bool| -> Vec<PartyName> {
        let names = all.iter().map(|addressee| &addressee.party);
        names.filter(|party| pick(party)).cloned().collect()
    };
    let added = names(&addressees, &|party| !reads(party));
    let removed = names(current, &|party| keys_of(&addressees, party).is_none());
    let rekeyed = names(&addressees, &|party| {
        reads(party) && keys_of(&addressees, party) != keys_of(current, party)
    });
    if added.is_empty() && removed.is_empty() && rekeyed.is_empty() {
        return Ok(None);
    }
    if addressees.is_empty() {
        return Err(Error::new(ErrorKind::Configuration, "nobody would be left to read it"));
    }
    Ok(Some(Readers { addressees, recipients, added, removed, rekeyed }))
}
