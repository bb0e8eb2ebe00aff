//! Many claims that differ in names alone, as those about the lanes of a hub.
//!
//! A [`Prover`] remembers the proofs it found. For the next claim of the same kind it writes the
//! claim's own tests and callers into the trees of an earlier proof, place by place. Whether that is
//! a proof is for the checker to say: it replays the whole of it against the claim in question, and
//! knows nothing of the earlier one. Where it refuses, the claim is searched as if it were the first.

use std::collections::HashMap;

use crate::policy::Resources;
use crate::prove::atoms::{action_atom, condition_atom, resource_atom};
use crate::prove::check::Checker;
use crate::prove::world::{Placed, statements};
use crate::prove::{Atom, Case, Certificate, Claim, MODEL, Set, Verdict, prove};

/// Proves claims and checks each proof. What it remembers grows with the kinds of claims, not with
/// the claims.
#[derive(Default)]
pub struct Prover {
    checker: Checker,
    earlier: HashMap<String, Vec<Pattern>>,
}

/// Proofs kept of one kind: lanes differ in who owns them and in the order of accounts and names.
const PATTERNS_MAX: usize = 16;

impl Prover {
    /// Decides a claim. [`Verdict::Holds`] means that [`check()`](crate::prove::check) accepts the
    /// certificate, too. Claims of the same `kind` are expected to resemble each other; nothing but
    /// the time it takes depends on that.
    pub fn prove(&mut self, kind: &str, claim: &Claim<'_>) -> Verdict {
        if let Some(certificate) = self.as_before(kind, claim) {
            return Verdict::Holds(certificate);
        }
        let certificate = match prove(claim) {
            Verdict::Holds(certificate) => certificate,
            verdict => return verdict,
        };
        if let Err(reason) = self.checker.check(claim, &certificate) {
            let why = format!("its proof was not accepted by the checker: {reason}");
            return Verdict::Undecided(why);
        }
        let earlier = self.earlier.entry(kind.to_owned()).or_default();
        if earlier.len() < PATTERNS_MAX {
            earlier.extend(Pattern::of(claim, &certificate));
        }
        Verdict::Holds(certificate)
    }

    fn as_before(&mut self, kind: &str, claim: &Claim<'_>) -> Option<Certificate> {
        let earlier = self.earlier.get(kind)?;
        let scene = self.checker.scene(claim).ok()?;
        let placed = statements(&claim.world);
        let labels: Vec<&str> = scene.labels().collect();
        let drafts = earlier.iter().filter_map(|one| one.draft(claim, &placed, &labels));
        let checker = &mut self.checker;
        drafts.into_iter().find(|draft| checker.check(claim, draft).is_ok())
    }
}

/// A proof, and where each of its atoms was written.
struct Pattern {
    actions: Set,
    statements: usize,
    certificate: Certificate,
    origins: Vec<Origin>,
}

enum Origin {
    /// The composition asks it, whatever the documents say.
    Fixed,
    Action(usize),
    Resource(usize),
    Condition(usize, usize),
}

impl Pattern {
    /// Nothing for claims with grants, whose atoms are written in no statement.
    fn of(claim: &Claim<'_>, certificate: &Certificate) -> Option<Pattern> {
        if !claim.world.grants.is_empty() {
            return None;
        }
        let placed = statements(&claim.world);
        let mut written = HashMap::new();
        for (at, one) in placed.iter().enumerate() {
            let conditions = 0..one.statement.conditions.len();
            let all = [Origin::Action(at), Origin::Resource(at)]
                .into_iter()
                .chain(conditions.map(|condition| Origin::Condition(at, condition)));
            for origin in all {
                if let Some(atom) = origin.read(&placed) {
                    written.entry(atom).or_insert(origin);
                }
            }
        }
        let origins = certificate.atoms.iter();
        Some(Pattern {
            actions: claim.region.actions.clone(),
            statements: placed.len(),
            certificate: certificate.clone(),
            origins: origins.map(|atom| written.remove(atom).unwrap_or(Origin::Fixed)).collect(),
        })
    }

    /// What would be a proof of another claim if the claim differs in names alone.
    fn draft(
        &self,
        claim: &Claim<'_>,
        placed: &[Placed<'_>],
        labels: &[&str],
    ) -> Option<Certificate> {
        let cases = &self.certificate.cases;
        let fits = self.certificate.expect == claim.expect
            && self.statements == placed.len()
            && cases.len() == labels.len()
            && self.actions == claim.region.actions;
        if !fits {
            return None;
        }
        let atoms = self.origins.iter().zip(&self.certificate.atoms);
        let atoms = atoms.map(|(origin, atom)| match origin {
            Origin::Fixed => Some(atom.clone()),
            origin => origin.read(placed),
        });
        let cases = labels
            .iter()
            .zip(cases)
            .map(|(label, case)| Case { caller: (*label).to_owned(), tree: case.tree.clone() });
        Some(Certificate {
            model: MODEL,
            expect: claim.expect,
            atoms: atoms.collect::<Option<_>>()?,
            cases: cases.collect(),
        })
    }
}

impl Origin {
    fn read(&self, placed: &[Placed<'_>]) -> Option<Atom> {
        match self {
            Origin::Fixed => None,
            Origin::Action(at) => placed.get(*at).map(|one| action_atom(one.statement)),
            Origin::Resource(at) => {
                let one = placed.get(*at)?;
                match &one.statement.resources {
                    Resources::Any => None,
                    Resources::Named(patterns) | Resources::AllBut(patterns) => {
                        Some(resource_atom(patterns, one.version))
                    }
                }
            }
            Origin::Condition(at, condition) => {
                let one = placed.get(*at)?;
                let condition = one.statement.conditions.get(*condition)?;
                Some(condition_atom(condition, one.version))
            }
        }
    }
}
