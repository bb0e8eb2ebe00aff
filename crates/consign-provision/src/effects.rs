//! Who gains and who loses which operation: the difference of two access matrices, which is what
//! a person wants to know of a policy diff.

use crate::desired::{Desired, DesiredLane};
use crate::document::same_meaning;
use crate::matrix::{Operation, Subject};
use crate::observed::{Observed, Sight};
use crate::policies::{Grants, bucket};
use crate::prove::{Access, Cell, Documents, cells};
use consign_model::LaneName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What changes for one subject on one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The lane.
    pub lane: LaneName,
    /// For whom.
    pub subject: Subject,
    /// Whether the lane was open before; `false` for one that is new, or was closed.
    pub was_open: bool,
    /// What becomes possible.
    pub gains: Vec<Operation>,
    /// What is no longer possible.
    pub loses: Vec<Operation>,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |operations: &[Operation]| {
            operations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        write!(f, "lane `{}`: {}", self.lane, self.subject)?;
        match (self.gains.as_slice(), self.loses.as_slice()) {
            (gains, []) => write!(f, " gains {}", list(gains)),
            ([], loses) => write!(f, " loses {}", list(loses)),
            (gains, loses) => write!(f, " gains {}; loses {}", list(gains), list(loses)),
        }
    }
}

/// What applying `desired` changes for everybody. Documents that cannot be read as policies
/// count as granting nothing; the plan replaces them.
pub(crate) fn effects(desired: &Desired, observed: &Observed) -> Vec<Effect> {
    if desired.parties.len() <= EVERY_PARTY_MAX {
        return effects_among(desired, observed);
    }
    let lanes = desired.lanes.values();
    lanes.flat_map(|lane| effects_among(&around(desired, observed, lane), observed)).collect()
}

/// Up to this many parties everybody is tried on every lane.
const EVERY_PARTY_MAX: usize = 20;

/// A lane of a large exchange with those who could have to do with it: the parties on it, and any
/// other that the deployed documents of the lane name. For all others the lane's policies say the
/// same as for a stranger.
fn around(desired: &Desired, observed: &Observed, lane: &DesiredLane) -> Desired {
    let seen = observed.lanes.get(&lane.name);
    let bucket = seen.and_then(|seen| seen.bucket.seen()).and_then(|it| it.policy.as_deref());
    let key = seen.and_then(|seen| seen.key.seen()).map(|it| it.policy.as_str());
    let texts = [bucket.unwrap_or_default(), key.unwrap_or_default()];
    let on_it: BTreeSet<&str> = lane.party_arns().into_iter().collect();
    let parties = desired.parties.iter().filter(|(_, party)| {
        let quoted = format!("\"{}\"", party.arn);
        on_it.contains(party.arn.as_str()) || texts.iter().any(|text| text.contains(&quoted))
    });
    Desired {
        lanes: BTreeMap::from([(lane.name.clone(), lane.clone())]),
        parties: parties.map(|(name, party)| (name.clone(), party.clone())).collect(),
        exchange: desired.exchange.clone(),
        digest: desired.digest,
        region: desired.region.clone(),
    }
}

fn effects_among(desired: &Desired, observed: &Observed) -> Vec<Effect> {
    let Ok(after) = cells(desired, &Documents::planned(desired, &observed.keys())) else {
        return Vec::new();
    };
    // Both walk the same cells in the same order.
    let before = cells(desired, &Documents::observed(desired, observed)).unwrap_or_default();
    let mut effects: Vec<Effect> = Vec::new();
    for (number, cell) in after.iter().enumerate() {
        let fresh = is_fresh(observed, cell);
        let was = before.get(number).filter(|_| !fresh).map_or(Access::Denied, |was| was.actual);
        if was == cell.actual || (fresh && is_administrator(cell)) {
            continue;
        }
        let (lane, subject) = (cell.lane.clone(), cell.subject.clone());
        let known = effects.last().is_some_and(|it| it.lane == lane && it.subject == subject);
        if !known {
            let was_open = was_open(desired, observed, &lane);
            effects.push(Effect { lane, subject, was_open, gains: Vec::new(), loses: Vec::new() });
        }
        let Some(effect) = effects.last_mut() else { continue };
        match cell.actual {
            Access::Allowed => effect.gains.push(cell.operation),
            Access::Denied => effect.loses.push(cell.operation),
        }
    }
    effects
}

/// A lane is open once its bucket's policy is another than the closed one it begins with.
fn was_open(desired: &Desired, observed: &Observed, lane: &LaneName) -> bool {
    let (Some(lane), Some(seen)) = (desired.lanes.get(lane), observed.lanes.get(lane)) else {
        return false;
    };
    let closed = bucket::policy(lane, None, Grants::Withheld).to_json();
    let policy = seen.bucket.seen().and_then(|bucket| bucket.policy.as_deref());
    policy.is_some_and(|policy| !same_meaning(policy, &closed))
}

/// Nothing was possible on a bucket that was not there.
fn is_fresh(observed: &Observed, cell: &Cell) -> bool {
    observed.lanes.get(&cell.lane).is_some_and(|lane| lane.bucket == Sight::Absent)
}

/// That an account's administrators can administer a bucket that is about to exist is no news.
fn is_administrator(cell: &Cell) -> bool {
    matches!(cell.subject, Subject::Administrator { .. } | Subject::Root { .. })
}
