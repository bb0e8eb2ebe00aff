//! The theorems about a lane, stated over all requests and not over samples.
//!
//! Start with [`decide`]. Of a lane it states a fixed number of claims (callers are classes:
//! everybody of an account but the parties, every stranger, everybody unsigned, every service) and
//! has `consign_iam::prove` decide each. Where nothing else is said, callers are given identity
//! policies that allow everything, so that no identity policy whatever could break a claim that
//! holds; what parties may do *beyond* data, and that they can do what they are there for, is claimed
//! of the identity policies that they have.
//!
//! What it is not: it says nothing of layers outside the documents (service control policies can
//! only take away what is claimed here as given).

mod lane;

use crate::desired::DesiredLane;
use crate::error::Error;
use crate::matrix::{Rule, declared_by, rule_words};
use crate::prove::{Certificates, Judge};
use consign_iam::prove::{
    Callers, Certificate, Claim, Counterexample, Domain, Expectation, Prover, Region, Set, Verdict,
    World, smt2,
};
use consign_model::{AccountId, LaneName};
use lane::Lane;
use serde::Serialize;
use std::fmt;

/// A claim, decided.
#[derive(Clone, Debug, Serialize)]
pub struct Decided {
    /// The lane.
    pub lane: LaneName,
    /// The claim in words: `nobody but the readers reads`.
    pub claim: &'static str,
    /// About which callers.
    pub callers: String,
    /// Whether it says that none of the requests is allowed, or that all are.
    pub expect: Expectation,
    /// Whether it holds.
    pub outcome: Outcome,
    /// What the exchange file says.
    pub rule: String,
    /// The word of the lane's table that says so.
    pub declared_by: &'static str,
    /// The request that refutes it, as `consign_iam::evaluate` takes it.
    #[serde(skip)]
    pub counterexample: Option<Box<Counterexample>>,
    /// The proof, where it holds and proofs were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// The same claim for a solver, which answers `unsat` if it holds; where certificates are kept.
    #[serde(skip)]
    pub smt2: Option<String>,
}

/// What became of a claim.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds of every request.
    Holds,
    /// It does not hold of this request.
    Fails {
        /// Who asks.
        principal: String,
        /// For what.
        action: String,
        /// On what.
        resource: String,
        /// The condition keys of the request.
        context: Vec<(String, Vec<String>)>,
        /// Why it is decided otherwise, naming the statement.
        reason: String,
    },
    /// It could not be decided, so it is not taken to hold.
    Undecided {
        /// Why.
        why: String,
    },
}

impl Decided {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        matches!(self.outcome, Outcome::Holds)
    }
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decided { lane, claim, callers, rule, .. } = self;
        write!(f, "lane `{lane}`: {claim} ({callers}): ")?;
        match &self.outcome {
            Outcome::Holds => f.write_str("holds"),
            Outcome::Undecided { why } => write!(f, "not decided, so not taken to hold: {why}"),
            Outcome::Fails { principal, action, resource, context, reason } => {
                write!(
                    f,
                    "does not hold, {reason}; the exchange file says {rule}. Request: {principal}: {action} on {resource}"
                )?;
                for (key, values) in context {
                    write!(f, ", {key}={}", values.join(","))?;
                }
                Ok(())
            }
        }
    }
}

/// Decides every claim about a lane. A prover that has seen lanes like it is faster.
pub(crate) fn decide(
    lane: &DesiredLane,
    judge: &Judge<'_>,
    certificates: Certificates,
    prover: &mut Prover,
) -> Result<Vec<Decided>, Error> {
    let mut decided = Vec::new();
    for stated in Lane::new(lane, judge)?.claims() {
        decided.extend(stated.decide(lane, certificates, prover));
    }
    Ok(decided)
}

/// A claim about several classes of callers.
struct Stated<'a> {
    claim: &'static str,
    rule: Rule,
    callers: Vec<(String, Callers)>,
    world: World<'a>,
    actions: Set,
    resource: Set,
    context: Vec<(&'static str, Domain)>,
    expect: Expectation,
    owner: &'a AccountId,
    or: Option<Or<'a>>,
}

/// A second lock that is enough by itself.
struct Or<'a> {
    world: World<'a>,
    actions: Set,
    resource: Set,
}

impl Stated<'_> {
    fn decide(
        self,
        lane: &DesiredLane,
        certificates: Certificates,
        prover: &mut Prover,
    ) -> Vec<Decided> {
        let decided = |(position, (name, callers)): (usize, (String, Callers))| {
            let kind = format!("{} {position}", self.claim);
            let region = Region {
                callers,
                actions: self.actions.clone(),
                resource: self.resource.clone(),
                resource_account: self.owner.to_string(),
                context: self.context.iter().map(|(k, d)| ((*k).to_owned(), d.clone())).collect(),
            };
            let claim = Claim { world: self.world, region, expect: self.expect };
            let mut verdict = prover.prove(&kind, &claim);
            let mut shown = claim;
            if let (Verdict::Fails(_), Some(or)) = (&verdict, &self.or) {
                let (actions, resource) = (or.actions.clone(), or.resource.clone());
                let region = Region { actions, resource, ..shown.region.clone() };
                let second = Claim { world: or.world, region, expect: self.expect };
                let by_second = prover.prove(&format!("{kind} by key"), &second);
                if matches!(by_second, Verdict::Holds(_)) {
                    (verdict, shown) = (by_second, second);
                }
            }
            let kept = certificates == Certificates::Kept;
            let (outcome, certificate, counterexample) = match verdict {
                Verdict::Holds(certificate) => (Outcome::Holds, kept.then_some(certificate), None),
                Verdict::Fails(found) => (fails(&found), None, Some(found)),
                Verdict::Undecided(why) => (Outcome::Undecided { why }, None, None),
            };
            Decided {
                lane: lane.name.clone(),
                claim: self.claim,
                callers: name,
                expect: self.expect,
                outcome,
                rule: rule_words(self.rule, lane),
                declared_by: declared_by(self.rule, lane),
                counterexample,
                certificate,
                smt2: kept.then(|| smt2(&shown)),
            }
        };
        self.callers.into_iter().enumerate().map(decided).collect()
    }
}

fn fails(found: &Counterexample) -> Outcome {
    let request = &found.request;
    let context = request.context().iter();
    Outcome::Fails {
        principal: request.principal().to_string(),
        action: request.action().to_owned(),
        resource: request.resource().to_owned(),
        context: context.map(|(key, values)| (key.to_owned(), values.to_vec())).collect(),
        reason: found.decision.explain(),
    }
}
