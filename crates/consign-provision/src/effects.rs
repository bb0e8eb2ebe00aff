//! Who gains and who loses which operation: the difference of two access matrices, which is what
//! a person wants to know of a policy diff.

use crate::desired::Desired;
use crate::matrix::{Operation, Subject};
use crate::observed::{Observed, Sight};
use crate::prove::{Access, Cell, Documents, prove};
use consign_model::LaneName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What changes for one subject on one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The lane.
    pub lane: LaneName,
    /// For whom.
    pub subject: Subject,
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
    let Ok(after) = prove(desired, &Documents::planned(desired, &observed.keys())) else {
        return Vec::new();
    };
    // Both walk the same cells in the same order.
    let before = prove(desired, &Documents::observed(desired, observed));
    let before = before.map(|proof| proof.cells).unwrap_or_default();
    let mut effects: Vec<Effect> = Vec::new();
    for (number, cell) in after.cells.iter().enumerate() {
        let fresh = is_fresh(observed, cell);
        let was = before.get(number).filter(|_| !fresh).map_or(Access::Denied, |was| was.actual);
        if was == cell.actual || (fresh && is_administrator(cell)) {
            continue;
        }
        let (lane, subject) = (cell.lane.clone(), cell.subject.clone());
        let known = effects.last().is_some_and(|it| it.lane == lane && it.subject == subject);
        if !known {
            effects.push(Effect { lane, subject, gains: Vec::new(), loses: Vec::new() });
        }
        let Some(effect) = effects.last_mut() else { continue };
        match cell.actual {
            Access::Allowed => effect.gains.push(cell.operation),
            Access::Denied => effect.loses.push(cell.operation),
        }
    }
    effects
}

/// Nothing was possible on a bucket that was not there.
fn is_fresh(observed: &Observed, cell: &Cell) -> bool {
    observed.lanes.get(&cell.lane).is_some_and(|lane| lane.bucket == Sight::Absent)
}

/// That an account's administrators can administer a bucket that is about to exist is no news.
fn is_administrator(cell: &Cell) -> bool {
    matches!(cell.subject, Subject::Administrator { .. } | Subject::Root { .. })
}
