//! Lane after lane, on every core: the cells and claims of each, and what is listed of them.

use super::cells::Sheet;
use super::{Cell, Certificates, Documents, Judge, Listing};
use crate::claims::{self, Decided};
use crate::desired::{Desired, DesiredLane};
use crate::error::Error;
use consign_iam::prove::Prover;
use consign_model::LaneName;
use serde::Serialize;

/// How much was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Lanes.
    pub lanes: usize,
    /// Cells of all of them.
    pub cells: usize,
    /// Claims about all of them.
    pub claims: usize,
}

/// Lanes of which the same is true, apart from names.
#[derive(Clone, Debug, Serialize)]
pub struct Alike {
    /// The one whose cells and claims are listed.
    pub listed: LaneName,
    /// The others, in order.
    pub lanes: Vec<LaneName>,
}

/// The answers about some lanes.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) totals: Totals,
    pub(super) cells: Vec<Cell>,
    pub(super) claims: Vec<Decided>,
    pub(super) alike: Vec<Alike>,
    /// Lanes whose bucket is public.
    pub(super) public: Vec<LaneName>,
    /// What [`Answers::alike`] stands for, in the same order.
    likenesses: Vec<Likeness>,
}

/// The table that declares a lane, who may do what on it, and what is claimed of it.
type Likeness = (Option<String>, Vec<u8>, Vec<&'static str>);

/// Lanes whose documents are held parsed at a time, by each thread.
const LANES_AT_ONCE: usize = 64;

/// Decides everything about every lane. Lanes have nothing to do with each other, so each thread
/// takes a share of them.
pub(super) fn decide(
    desired: &Desired,
    documents: &Documents,
    certificates: Certificates,
    listing: Listing,
) -> Result<Answers, Error> {
    let lanes: Vec<&DesiredLane> = desired.lanes.values().collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = lanes.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let work = |lanes| move || decide_share(desired, documents, lanes, certificates, listing);
        let running: Vec<_> = lanes.chunks(share).map(|lanes| scope.spawn(work(lanes))).collect();
        let mut all = Answers::default();
        for thread in running {
            let share = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            all.join(share);
        }
        all.alike.retain(|alike| !alike.lanes.is_empty());
        Ok(all)
    })
}

fn decide_share(
    desired: &Desired,
    documents: &Documents,
    lanes: &[&DesiredLane],
    certificates: Certificates,
    listing: Listing,
) -> Result<Answers, Error> {
    let mut answers = Answers::default();
    let mut prover = Prover::default();
    for lanes in lanes.chunks(LANES_AT_ONCE) {
        let judge = Judge::of_lanes(desired, documents, lanes)?;
        answers.public.extend(judge.public_buckets());
        for lane in lanes {
            let sheet = judge.sheet(lane)?;
            let claims = claims::decide(lane, &judge, certificates, &mut prover)?;
            answers.take(lane, &sheet, claims, listing);
        }
    }
    Ok(answers)
}

impl Answers {
    fn take(&mut self, lane: &DesiredLane, sheet: &Sheet, claims: Vec<Decided>, listing: Listing) {
        self.totals.lanes += 1;
        self.totals.cells += sheet.len();
        self.totals.claims += claims.len();
        let holds = !sheet.fails() && claims.iter().all(Decided::holds);
        if listing == Listing::AlikeOnce && holds {
            let stated = claims.iter().map(|claim| claim.claim).collect();
            let table = lane.each.as_ref().map(|each| each.lane.to_string());
            let likeness = (table, sheet.likeness(lane), stated);
            let known = self.likenesses.iter().position(|known| *known == likeness);
            if let Some(alike) = known.and_then(|at| self.alike.get_mut(at)) {
                alike.lanes.push(lane.name.clone());
                return;
            }
            self.likenesses.push(likeness);
            self.alike.push(Alike { listed: lane.name.clone(), lanes: Vec::new() });
        }
        self.cells.extend(sheet.cells(lane));
        self.claims.extend(claims);
    }

    /// Takes in the answers about the lanes that follow.
    fn join(&mut self, mut next: Answers) {
        self.public.extend(next.public);
        self.totals.lanes += next.totals.lanes;
        self.totals.cells += next.totals.cells;
        self.totals.claims += next.totals.claims;
        for (alike, likeness) in next.alike.into_iter().zip(next.likenesses) {
            match self.likenesses.iter().position(|known| *known == likeness) {
                Some(at) => {
                    next.cells.retain(|cell| cell.lane != alike.listed);
                    next.claims.retain(|claim| claim.lane != alike.listed);
                    if let Some(known) = self.alike.get_mut(at) {
                        known.lanes.push(alike.listed);
                        known.lanes.extend(alike.lanes);
                    }
                }
                None => {
                    self.likenesses.push(likeness);
                    self.alike.push(alike);
                }
            }
        }
        self.cells.extend(next.cells);
        self.claims.extend(next.claims);
    }
}
