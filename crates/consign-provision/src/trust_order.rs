//! In what order the parties' roles can be made: AWS refuses a trust policy whose principal does
//! not exist, so whoever is trusted comes first.

use crate::desired::{Desired, DesiredParty};
use crate::error::{Error, ErrorKind};
use std::collections::{BTreeMap, BTreeSet};

/// The parties by what trust policies call them.
pub(crate) struct Trust<'a> {
    by_arn: BTreeMap<&'a str, &'a DesiredParty>,
}

impl<'a> Trust<'a> {
    pub(crate) fn new(desired: &'a Desired) -> Trust<'a> {
        let by_arn = desired.parties.values().map(|party| (party.arn.as_str(), party));
        Trust { by_arn: by_arn.collect() }
    }

    /// The party whose principal may assume `party`'s role, if it is one of the exchange.
    pub(crate) fn trusted_by(&self, party: &DesiredParty) -> Option<&'a DesiredParty> {
        self.by_arn.get(party.trust.as_ref()?.principal_arn.as_str()).copied()
    }
}

/// The parties, each after whom it trusts. Without circles, which [`check`] refuses, all of them.
pub(crate) fn in_order(desired: &Desired) -> Vec<&DesiredParty> {
    let trust = Trust::new(desired);
    let mut ordered: Vec<&DesiredParty> = Vec::new();
    let mut placed = BTreeSet::new();
    for party in desired.parties.values() {
        let trusted = std::iter::successors(Some(party), |it| trust.trusted_by(it));
        let mut before: Vec<&DesiredParty> =
            trusted.take(desired.parties.len()).take_while(|it| placed.insert(&it.name)).collect();
        before.reverse();
        ordered.extend(before);
    }
    ordered
}

/// Roles that trust each other in a circle cannot be made from nothing, in whatever order.
pub(crate) fn check(desired: &Desired) -> Result<(), Error> {
    let trust = Trust::new(desired);
    for party in desired.parties.values() {
        // A party trusts one principal at most: who comes back to itself does so within as many
        // steps as there are parties.
        let trusted = std::iter::successors(trust.trusted_by(party), |it| trust.trusted_by(it));
        if trusted.take(desired.parties.len()).any(|other| other.name == party.name) {
            let message = format!(
                "the role of party `{}` may be assumed by itself, or by roles that it may assume: \
                 none of them can be made first",
                party.name
            );
            return Err(Error::new(ErrorKind::Exchange, message)
                .with_hint(format!("in [party.{}], write trust = \"account\"", party.name)));
        }
    }
    Ok(())
}
