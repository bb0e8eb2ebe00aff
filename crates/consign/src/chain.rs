//! The sender's chain, as a receiver judges it.
//!
//! Every manifest carries its place in an unbroken series and the digest of the one before. A
//! receiver that remembers what it has seen notices a consignment that was withheld, replayed,
//! reordered or replaced by another of the same place, even if the bucket's administrator did it.
//! Deciding is pure: what is known and what comes next go in, a notice or an error comes out.

use crate::error::{Error, ErrorKind, Result};
use consign_model::{ChainId, ConsignmentId, Digest, Manifest, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a receiver remembers of a consignment it has received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrival {
    pub(crate) id: ConsignmentId,
    pub(crate) chain: ChainId,
    pub(crate) sequence: u64,
    pub(crate) digest: Digest,
    pub(crate) previous: Option<Digest>,
    pub(crate) created: Timestamp,
}

impl Arrival {
    /// Of a manifest with this digest. A revision has the place of the manifest it revises, which is
    /// what its sender's next manifest names.
    pub(crate) fn of(manifest: &Manifest, digest: Digest) -> Arrival {
        let digest = manifest.revision.as_ref().map_or(digest, |revision| revision.original);
        Arrival {
            id: manifest.id.clone(),
            chain: manifest.chain.clone(),
            sequence: manifest.sequence,
            digest,
            previous: manifest.previous,
            created: manifest.created,
        }
    }
}

/// Everything received on a lane.
#[derive(Debug, Default)]
pub(crate) struct Known {
    ids: BTreeSet<ConsignmentId>,
    places: BTreeMap<(ChainId, u64), Arrival>,
}

impl Known {
    pub(crate) fn add(&mut self, arrival: Arrival) {
        self.ids.insert(arrival.id.clone());
        self.places.insert((arrival.chain.clone(), arrival.sequence), arrival);
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &ConsignmentId> {
        self.ids.iter()
    }

    pub(crate) fn has(&self, id: &ConsignmentId) -> bool {
        self.ids.contains(id)
    }

    /// Judges the next arrival: nothing to say, something the receiver should know, or an error.
    /// With `accept_gap` a consignment that is missing is a notice.
    pub(crate) fn judge(&self, next: &Arrival, accept_gap: bool) -> Result<Option<String>> {
        let at = |sequence| self.places.get(&(next.chain.clone(), sequence));
        let (id, place) = (&next.id, next.sequence);
        if let Some(other) = at(place).filter(|other| other.digest != next.digest) {
            return Err(broken(format!(
                "{id} claims place {place} of the sender's chain, which {} has: one replaces the \
                 other",
                other.id
            )));
        }
        let before = place.checked_sub(1).and_then(at);
        let follows = before.is_none_or(|before| next.previous == Some(before.digest));
        let leads = place.checked_add(1).and_then(at);
        let led = leads.is_none_or(|after| after.previous == Some(next.digest));
        if !follows || !led {
            return Err(broken(format!(
                "{id} at place {place} does not fit its neighbour in the sender's chain: one of \
                 them is not the one that was sent"
            )));
        }
        if before.is_some() || at(place).is_some() {
            return Ok(None);
        }
        self.without_predecessor(next, accept_gap)
    }

    fn without_predecessor(&self, next: &Arrival, accept_gap: bool) -> Result<Option<String>> {
        let (id, place) = (&next.id, next.sequence);
        let of_chain = (next.chain.clone(), 0)..=(next.chain.clone(), u64::MAX);
        let known: Vec<u64> = self.places.range(of_chain).map(|((_, s), _)| *s).collect();
        let newest = known.iter().rev().find(|known| **known < place);
        match (newest, place) {
            (None, 1) if self.places.is_empty() => Ok(None),
            (None, 1) => Ok(Some(format!(
                "{id} begins a new chain: the sender began anew, on another machine or without its \
                 old state"
            ))),
            (None, _) if known.is_empty() => Ok(Some(format!(
                "{id} is number {place} of its chain, and the first that is received here; what \
                 came before is not vouched for"
            ))),
            (None, _) => Ok(Some(format!("{id} at place {place} of its chain arrived late"))),
            (Some(newest), _) => {
                let (from, to) = (newest + 1, place - 1);
                let missing = if from == to {
                    format!("number {from} of the sender's chain is missing before {id}")
                } else {
                    format!("numbers {from} to {to} of the sender's chain are missing before {id}")
                };
                if accept_gap {
                    return Ok(Some(missing));
                }
                Err(broken(format!("{missing}: withheld, deleted or expired")).hinting(
                    "ask the sender what it sent; to go on without it, receive with --accept-gap",
                ))
            }
        }
    }
}

fn broken(message: String) -> Error {
    Error::new(ErrorKind::Chain, message)
}

/// Where a sender's chain on a lane stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) chain: ChainId,
    /// How many consignments were delivered; the next one has this number plus one.
    pub(crate) sequence: u64,
    /// The digest of the last one's manifest.
    pub(crate) digest: Option<Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: u128) -> ChainId {
        ChainId::from_parts(1, n)
    }

    fn arrival(chain_number: u128, sequence: u64, content: &str) -> Arrival {
        let previous = (sequence > 1).then(|| Digest::of(&[sequence as u8 - 1]));
        let digest = if content.is_empty() {
            Digest::of(&[sequence as u8])
        } else {
            Digest::of(content.as_bytes())
        };
        let unique = chain_number << 64 | u128::from(sequence) << 8 | content.len() as u128;
        Arrival {
            id: ConsignmentId::from_parts(sequence, unique),
            chain: chain(chain_number),
            sequence,
            digest,
            previous,
            created: Timestamp::from_unix_ms(0),
        }
    }

    fn check(
        known: &[u64],
        next: &Arrival,
        accept_gap: bool,
        said: std::result::Result<&str, &str>,
    ) {
        let mut all = Known::default();
        for sequence in known {
            all.add(arrival(1, *sequence, ""));
        }
        let found = all.judge(next, accept_gap);
        let place = format!("after {known:?} came {next:?}");
        match (found, said) {
            (Ok(None), Ok("")) => {}
            (Ok(Some(notice)), Ok(said)) if !said.is_empty() => {
                assert!(notice.contains(said), "{place}: {notice}");
            }
            (Err(error), Err(said)) => {
                assert_eq!(error.kind(), ErrorKind::Chain);
                assert!(error.to_string().contains(said), "{place}: {error}");
            }
            (found, said) => panic!("{place}: {found:?} where {said:?} was expected"),
        }
    }

    #[test]
    fn an_unbroken_chain_needs_no_word() {
        check(&[], &arrival(1, 1, ""), false, Ok(""));
        check(&[1], &arrival(1, 2, ""), false, Ok(""));
        check(&[1, 2, 3], &arrival(1, 4, ""), false, Ok(""));
        check(&[1, 2, 3], &arrival(1, 3, ""), false, Ok(""));
    }

    #[test]
    fn what_the_receiver_should_know_is_a_notice() {
        check(&[], &arrival(1, 5, ""), false, Ok("the first that is received here"));
        check(&[1, 2], &arrival(2, 1, ""), false, Ok("begins a new chain"));
        check(&[1, 2], &arrival(2, 7, ""), false, Ok("the first that is received here"));
        check(&[5, 6], &arrival(1, 3, ""), false, Ok("arrived late"));
        check(&[5, 6], &arrival(1, 4, ""), false, Ok("arrived late"));
    }

    #[test]
    fn withheld_forked_and_replaced_consignments_are_errors() {
        check(&[1], &arrival(1, 3, ""), false, Err("number 2 of the sender's chain is missing"));
        check(&[1], &arrival(1, 9, ""), false, Err("numbers 2 to 8"));
        check(&[1], &arrival(1, 9, ""), true, Ok("numbers 2 to 8"));
        check(&[1, 2], &arrival(1, 2, "fork"), true, Err("one replaces the other"));
        let mut wrong = arrival(1, 3, "");
        wrong.previous = Some(Digest::of(b"something else"));
        check(&[1, 2], &wrong, true, Err("does not fit its neighbour"));
        check(&[5, 6], &arrival(1, 4, "other"), true, Err("does not fit its neighbour"));
    }
}
