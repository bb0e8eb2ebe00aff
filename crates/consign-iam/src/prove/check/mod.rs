//! Replays a certificate. It reads the policies' text for itself, matches principals, combines the
//! layers and finds contradictions with code of its own, which is slower and plainer than the
//! prover's. With the prover it shares how a claim is read: its classes of callers, what follows
//! from a class for the condition keys, and the tables of actions.

mod cells;
mod rules;
mod scene;
mod text;
mod values;

use std::collections::HashMap;
use std::fmt;

use crate::evaluate::{
    BUCKET_POLICY_ACTIONS, KMS_ACROSS_ACCOUNTS, RCP_SERVICES, ROLE_TRUST_ACTIONS,
};
use crate::policy::Policy;
use crate::principal::Principal;
use crate::prove::classes::Class;
use crate::prove::domains::only_service;
use crate::prove::{Atom, Certificate, Claim, Expectation, Identity, MODEL, Node, Place};
use rules::{AtomId, Atoms, Library, Rule};
pub(crate) use scene::Scene;
use scene::Scenes;
use values::{Domains, Known};

/// Why a certificate does not show its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

/// Whether the certificate shows the claim. For many claims about the same documents, keep a
/// [`Checker`].
///
/// # Errors
/// As [`Checker::check`].
pub fn check(claim: &Claim<'_>, certificate: &Certificate) -> Result<(), Reason> {
    Checker::default().check(claim, certificate)
}

/// Checks certificates, and keeps what it found out for the next: what a text says, who the callers
/// of a claim are, which atoms contradict each other. Each is kept under everything that it depends
/// on, so no answer differs from that of a new checker.
#[derive(Default)]
pub struct Checker {
    library: Library,
    facts: Option<Facts>,
    scenes: Scenes,
    answers: Answers,
}

/// Atoms beyond which everything is forgotten: those of some dozens of lanes. It bounds the memory.
const ATOMS_MAX: usize = 2_500;

impl Checker {
    /// Whether the certificate shows the claim.
    ///
    /// # Errors
    /// The first place where it does not: a class of callers without a tree, a leaf that does not
    /// follow, a contradiction that is none; and policies whose text was not kept.
    pub fn check(&mut self, claim: &Claim<'_>, certificate: &Certificate) -> Result<(), Reason> {
        if certificate.model != MODEL || certificate.expect != claim.expect {
            return Err(Reason(
                "the certificate is for another model or the opposite claim".to_owned(),
            ));
        }
        if self.library.atoms.len() > ATOMS_MAX {
            *self = Checker::default();
        }
        let scene = self.scene(claim)?;
        if scene.classes.len() != certificate.cases.len() {
            return Err(Reason(format!(
                "there are {} classes of callers and {} cases",
                scene.classes.len(),
                certificate.cases.len()
            )));
        }
        let facts = self.facts.get_or_insert_with(|| Facts::number(&mut self.library.atoms));
        let numbers: Vec<AtomId> =
            certificate.atoms.iter().map(|atom| self.library.atoms.id(atom)).collect();
        let service = only_service(&claim.region.actions);
        let mut replay = Replay {
            claim,
            certificate,
            service: service.as_deref(),
            path: vec![1; self.library.atoms.len()],
            atoms: &self.library.atoms,
            numbers: &numbers,
            facts,
            answers: &mut self.answers,
            known: Vec::new(),
        };
        for (class, rules) in &scene.classes {
            let case = certificate.cases.iter().find(|case| case.caller == class.label);
            let case = case.ok_or_else(|| Reason(format!("{} has no case", class.label)))?;
            replay
                .case(class, rules, &case.tree)
                .map_err(|why| Reason(format!("case of {}: {why}", class.label)))?;
        }
        Ok(())
    }

    /// The classes of a claim's callers, each with what concerns it.
    pub(crate) fn scene(&mut self, claim: &Claim<'_>) -> Result<std::rc::Rc<Scene>, Reason> {
        self.scenes.of(claim, &mut self.library).map_err(Reason)
    }
}

/// Which atoms contradict each other, by what is known of the variable that they are on.
#[derive(Default)]
struct Answers {
    variables: HashMap<Known, u32>,
    found: HashMap<Box<[u32]>, bool>,
}

impl Answers {
    fn number(&mut self, known: Known) -> u32 {
        let next = u32::try_from(self.variables.len()).unwrap_or(u32::MAX);
        *self.variables.entry(known).or_insert(next)
    }
}

/// What the composition asks of the action and the resource.
struct Facts {
    caller_identity: AtomId,
    bucket_policy: AtomId,
    trust: AtomId,
    offered_by_kms: AtomId,
    key: AtomId,
    kms: AtomId,
    s3: AtomId,
    rcp: AtomId,
}

impl Facts {
    fn number(atoms: &mut Atoms) -> Facts {
        let rcp: Vec<String> = RCP_SERVICES.iter().map(|service| format!("{service}:*")).collect();
        let rcp: Vec<&str> = rcp.iter().map(String::as_str).collect();
        Facts {
            caller_identity: atoms.action(&["sts:getcalleridentity"]),
            bucket_policy: atoms.action(&BUCKET_POLICY_ACTIONS),
            trust: atoms.action(&ROLE_TRUST_ACTIONS),
            offered_by_kms: atoms.action(&KMS_ACROSS_ACCOUNTS),
            key: atoms.resource("*:key/*"),
            kms: atoms.action(&["kms:*"]),
            s3: atoms.action(&["s3:*"]),
            rcp: atoms.action(&rcp),
        }
    }
}

/// Truth as a number: 0 is no, 2 is yes, 1 is not known. "And" is the least, "or" the greatest.
type Truth = u8;

fn opposite(truth: Truth) -> Truth {
    2 - truth
}

fn known(truth: bool) -> Truth {
    if truth { 2 } else { 0 }
}

/// A certificate being replayed.
struct Replay<'c> {
    claim: &'c Claim<'c>,
    certificate: &'c Certificate,
    /// The one service of the claim's actions, where it is one.
    service: Option<&'c str>,
    /// What is known of each atom at the present node.
    path: Vec<Truth>,
    atoms: &'c Atoms,
    /// Of each atom of the certificate.
    numbers: &'c [AtomId],
    facts: &'c Facts,
    answers: &'c mut Answers,
    /// The variables met, by name, with their numbers among the answers.
    known: Vec<(&'c str, u32)>,
}

impl<'c> Replay<'c> {
    fn case(&mut self, class: &'c Class, rules: &'c [Rule], tree: &Node) -> Result<(), String> {
        let domains = Domains { class, region: &self.claim.region, service: self.service };
        // Keys may follow from the caller.
        self.known.retain(|(on, _)| is_for_all(on));
        let is_void = |rule: &Rule| {
            rule.void.and_then(|id| self.atoms.get(id)).is_some_and(|atom| domains.is_void(atom))
        };
        let rules: Vec<&Rule> = rules.iter().filter(|rule| !is_void(rule)).collect();
        self.node(&Seat { class, domains: &domains, rules: &rules }, tree)
    }

    fn node(&mut self, seat: &Seat<'_>, node: &Node) -> Result<(), String> {
        match node {
            Node::Split { atom, holds, fails } => {
                let number = self.numbers.get(*atom).map(|id| *id as usize);
                let place = |path: &mut Vec<Truth>, truth: Truth| {
                    number.and_then(|id| path.get_mut(id)).map(|at| std::mem::replace(at, truth))
                };
                if place(&mut self.path, 2) != Some(1) {
                    return Err(format!(
                        "it splits on atom {atom}, which is none or already known"
                    ));
                }
                self.node(seat, holds)?;
                place(&mut self.path, 0);
                self.node(seat, fails)?;
                place(&mut self.path, 1);
                Ok(())
            }
            Node::Impossible { literals } => self.impossible(seat, literals),
            Node::Allowed
                if self.claim.expect == Expectation::Always && self.allowed(seat) == 2 =>
            {
                Ok(())
            }
            Node::Lacking if self.claim.expect == Expectation::Never && self.allowed(seat) == 0 => {
                Ok(())
            }
            Node::Denied(place)
                if self.claim.expect == Expectation::Never && self.denied(seat, place) =>
            {
                Ok(())
            }
            leaf => Err(format!("a leaf does not follow: {leaf:?}")),
        }
    }

    fn impossible(&mut self, seat: &Seat<'_>, literals: &[(usize, bool)]) -> Result<(), String> {
        let mut tests: Vec<(&'c Atom, bool)> = Vec::with_capacity(literals.len());
        let mut ids = Vec::with_capacity(literals.len());
        for (number, side) in literals {
            let (Some(atom), Some(id)) =
                (self.certificate.atoms.get(*number), self.numbers.get(*number))
            else {
                return Err(format!("there is no atom {number}"));
            };
            if self.truth(*id) != known(*side) {
                return Err(format!("atom {number} is not known to be so"));
            }
            tests.push((atom, *side));
            ids.push((*id, *side));
        }
        let Some((first, _)) = tests.first() else {
            return Err("a contradiction of nothing".to_owned());
        };
        let on = first.on.as_str();
        if tests.iter().any(|(atom, _)| atom.on != on) {
            return Err("a contradiction of several variables".to_owned());
        }
        match self.contradict(seat, on, &ids, &tests) {
            true => Ok(()),
            false => Err(format!("some value of {on} is as atoms {literals:?} say")),
        }
    }

    fn contradict(
        &mut self,
        seat: &Seat<'_>,
        on: &'c str,
        ids: &[(AtomId, bool)],
        tests: &[(&Atom, bool)],
    ) -> bool {
        // What a policy variable stands for may follow from the caller.
        if tests.iter().any(|(atom, _)| atom.variables) {
            return seat.domains.contradict(&seat.domains.known(on), tests);
        }
        let met = self.known.iter().find(|(name, _)| *name == on).map(|(_, number)| *number);
        let variable = met.unwrap_or_else(|| {
            let number = self.answers.number(seat.domains.known(on));
            self.known.push((on, number));
            number
        });
        let sides = ids.iter().flat_map(|(id, side)| [*id, u32::from(*side)]);
        let question: Box<[u32]> = std::iter::once(variable).chain(sides).collect();
        if let Some(found) = self.answers.found.get(&question) {
            return *found;
        }
        let found = seat.domains.contradict(&seat.domains.known(on), tests);
        self.answers.found.insert(question, found);
        found
    }

    fn truth(&self, id: AtomId) -> Truth {
        self.path.get(id as usize).copied().unwrap_or(1)
    }

    fn denied(&self, seat: &Seat<'_>, place: &Place) -> bool {
        let rule = seat.rules.iter().find(|rule| rule.deny && rule.is_at(place));
        self.free(seat) == 0
            && rule.is_some_and(|rule| self.applies(rule).min(self.counts(seat, rule)) == 2)
    }

    fn applies(&self, rule: &Rule) -> Truth {
        let mut least = 2;
        for (atom, side) in rule.literals.iter() {
            let truth = self.truth(*atom);
            least = least.min(if *side { truth } else { opposite(truth) });
        }
        least
    }

    /// An atom about the action or resource that only actions of some services can meet.
    fn fact(&self, services: &[&str], atom: AtomId) -> Truth {
        match self.service {
            Some(service) if !services.contains(&service) => 0,
            _ => self.truth(atom),
        }
    }

    fn of_service(&self, services: &[&str], atom: AtomId) -> Truth {
        match self.service {
            Some(service) => known(services.contains(&service)),
            None => self.truth(atom),
        }
    }

    fn free(&self, seat: &Seat<'_>) -> Truth {
        match seat.class.member {
            Principal::Anonymous => 0,
            _ => self.fact(&["sts"], self.facts.caller_identity),
        }
    }

    fn bucket_policy(&self) -> Truth {
        self.fact(&["s3"], self.facts.bucket_policy)
    }

    fn same_account(&self, seat: &Seat<'_>) -> bool {
        seat.class.member.account() == Some(&self.claim.region.resource_account)
    }

    fn counts(&self, seat: &Seat<'_>, rule: &Rule) -> Truth {
        let root = matches!(seat.class.member, Principal::Root { .. });
        match rule.layer {
            "resource-control" => self.rcps_concern(seat),
            "service-control" => known(Self::scps_concern(seat)),
            "resource" if root && self.same_account(seat) => opposite(self.bucket_policy()),
            _ => 2,
        }
    }

    fn scps_concern(seat: &Seat<'_>) -> bool {
        seat.class.member.account().is_some() && !seat.class.member.is_service_linked()
    }

    fn rcps_concern(&self, seat: &Seat<'_>) -> Truth {
        let linked = seat.class.member.is_service_linked();
        if linked { 0 } else { self.of_service(&RCP_SERVICES, self.facts.rcp) }
    }

    /// The rule of composition, once more.
    fn allowed(&self, seat: &Seat<'_>) -> Truth {
        let some = |wanted: &dyn Fn(&Rule) -> bool| -> Truth {
            let rules = seat.rules.iter().filter(|rule| wanted(rule));
            rules.map(|rule| self.applies(rule)).max().unwrap_or(0)
        };
        let by = |layer: &str| some(&|rule| !rule.deny && rule.layer == layer);
        let named = |close: u8| {
            some(&|rule| {
                let layer = rule.layer;
                !rule.deny && rule.closeness == close && matches!(layer, "resource" | "grant")
            })
        };
        let world = &self.claim.world;
        let (direct, role, account) = (named(2), named(1), named(0));
        let any = direct.max(role).max(account);
        let identity = match world.identity {
            Identity::Anything => 2,
            Identity::Given(_) => by("identity"),
        };
        let boundary = world.boundary.map_or(2, |_| by("boundary"));
        let session = if world.session.is_empty() { 2 } else { by("session") };
        let limits = boundary.min(session);
        let key = self.of_service(&["kms"], self.facts.kms);
        let key = key.min(self.fact(&["kms"], self.facts.key));
        let trust = self.fact(&["sts"], self.facts.trust);
        let offered_by_kms = self.fact(&["kms"], self.facts.offered_by_kms);
        let s3 = self.of_service(&["s3"], self.facts.s3);
        let withheld = key.min(opposite(offered_by_kms)).max(s3.min(self.bucket_policy()));
        let public = world.restrict_public_buckets && world.resource.iter().any(Policy::is_public);
        let open = opposite(s3.min(known(public)));
        let implied = opposite(key.max(trust)).max(account);
        let foreign = any.min(opposite(withheld)).min(open);
        let granted = match (&seat.class.member, self.same_account(seat)) {
            (Principal::Service { .. } | Principal::Federated { .. }, _) => any,
            (Principal::Anonymous, _) => any.min(open),
            (Principal::Root { .. }, true) => direct.max(role).max(implied),
            (Principal::Root { .. }, false) => foreign,
            (_, true) => direct.max(role.max(implied.min(identity)).min(limits)),
            (_, false) => foreign.min(identity).min(limits),
        };
        let denies = seat.rules.iter().filter(|rule| rule.deny);
        let denied = denies.map(|rule| self.applies(rule).min(self.counts(seat, rule))).max();
        granted.min(self.fenced_in(seat)).min(opposite(denied.unwrap_or(0))).max(self.free(seat))
    }

    fn fenced_in(&self, seat: &Seat<'_>) -> Truth {
        let world = &self.claim.world;
        let allows = |layer: &str, level: usize| -> Option<Truth> {
            let rules = seat.rules.iter().filter(|rule| !rule.deny);
            let rules = rules.filter(|rule| rule.layer == layer && rule.level == level);
            rules.map(|rule| self.applies(rule)).max()
        };
        let mut least = 2;
        if Self::scps_concern(seat) {
            for level in 0..world.scps.len() {
                least = least.min(allows("service-control", level).unwrap_or(0));
            }
        }
        for level in 0..world.rcps.len() {
            // A level without any Allow has AWS's own beside it.
            let allowed = allows("resource-control", level).unwrap_or(2);
            least = least.min(allowed.max(opposite(self.rcps_concern(seat))));
        }
        if !world.endpoint.is_empty() {
            least = least.min(allows("endpoint", 0).unwrap_or(0));
        }
        least
    }
}

/// A class of callers, and what concerns it.
struct Seat<'s> {
    class: &'s Class,
    domains: &'s Domains<'s>,
    rules: &'s [&'s Rule],
}

/// Whether every class of callers has the same variable.
fn is_for_all(on: &str) -> bool {
    matches!(on, "action" | "resource")
}
