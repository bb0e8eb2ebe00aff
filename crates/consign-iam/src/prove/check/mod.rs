//! Replays a certificate. It reads the policies' text for itself, matches principals, combines the
//! layers and finds contradictions with code of its own, which is slower and plainer than the
//! prover's. With the prover it shares how a claim is read: its classes of callers, what follows
//! from a class for the condition keys, and the tables of actions.

mod cells;
mod rules;
mod values;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use crate::evaluate::{
    BUCKET_POLICY_ACTIONS, KMS_ACROSS_ACCOUNTS, RCP_SERVICES, ROLE_TRUST_ACTIONS,
};
use crate::policy::Policy;
use crate::principal::Principal;
use crate::prove::classes::{Class, Names, classes};
use crate::prove::domains::only_service;
use crate::prove::{Atom, Certificate, Claim, Expectation, Identity, MODEL, Node, Place};
use rules::{Reader, Rule};
use values::Domains;

/// Why a certificate does not show its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

/// Whether the certificate shows the claim.
///
/// # Errors
/// The first place where it does not: a class of callers without a tree, a leaf that does not
/// follow, a contradiction that is none; and policies whose text was not kept.
pub fn check(claim: &Claim<'_>, certificate: &Certificate) -> Result<(), Reason> {
    if certificate.model != MODEL || certificate.expect != claim.expect {
        return Err(Reason(
            "the certificate is for another model or the opposite claim".to_owned(),
        ));
    }
    let numbers: HashMap<&Atom, usize> =
        certificate.atoms.iter().enumerate().map(|(number, atom)| (atom, number)).collect();
    let contradictions = RefCell::default();
    let names = Names::gather(claim);
    let classes = classes(&claim.region.callers, &names);
    if classes.len() != certificate.cases.len() {
        return Err(Reason(format!(
            "there are {} classes of callers and {} cases",
            classes.len(),
            certificate.cases.len()
        )));
    }
    for class in &classes {
        let case = certificate.cases.iter().find(|case| case.caller == class.label);
        let case = case.ok_or_else(|| Reason(format!("{} has no case", class.label)))?;
        let service = only_service(&claim.region.actions);
        let domains = Domains { class, region: &claim.region, service: service.as_deref() };
        let rules = Reader { claim, class, domains: &domains }.rules().map_err(Reason)?;
        let numbers = &numbers;
        let contradictions = &contradictions;
        let checker =
            Checker { claim, class, domains, rules, certificate, numbers, contradictions };
        let mut path = HashMap::new();
        checker
            .node(&case.tree, &mut path)
            .map_err(|why| Reason(format!("case of {}: {why}", class.label)))?;
    }
    Ok(())
}

/// Truth as a number: 0 is no, 2 is yes, 1 is not known. "And" is the least, "or" the greatest.
type Truth = u8;

fn opposite(truth: Truth) -> Truth {
    2 - truth
}

fn known(truth: bool) -> Truth {
    if truth { 2 } else { 0 }
}

type Path = HashMap<usize, bool>;

struct Checker<'c> {
    claim: &'c Claim<'c>,
    class: &'c Class,
    domains: Domains<'c>,
    rules: Vec<Rule>,
    certificate: &'c Certificate,
    numbers: &'c HashMap<&'c Atom, usize>,
    /// Whether atoms of action and resource contradict each other, which is so for every class.
    contradictions: &'c RefCell<HashMap<Vec<(usize, bool)>, bool>>,
}

impl Checker<'_> {
    fn node(&self, node: &Node, path: &mut Path) -> Result<(), String> {
        match node {
            Node::Split { atom, holds, fails } => {
                if *atom >= self.certificate.atoms.len() || path.contains_key(atom) {
                    return Err(format!(
                        "it splits on atom {atom}, which is none or already known"
                    ));
                }
                for (side, child) in [(true, holds), (false, fails)] {
                    path.insert(*atom, side);
                    self.node(child, path)?;
                }
                path.remove(atom);
                Ok(())
            }
            Node::Impossible { literals } => self.impossible(literals, path),
            Node::Allowed
                if self.claim.expect == Expectation::Always && self.allowed(path) == 2 =>
            {
                Ok(())
            }
            Node::Lacking if self.claim.expect == Expectation::Never && self.allowed(path) == 0 => {
                Ok(())
            }
            Node::Denied(place)
                if self.claim.expect == Expectation::Never && self.denied(place, path) =>
            {
                Ok(())
            }
            leaf => Err(format!("a leaf does not follow: {leaf:?}")),
        }
    }

    fn impossible(&self, literals: &[(usize, bool)], path: &Path) -> Result<(), String> {
        let mut tests = Vec::new();
        for (number, side) in literals {
            if path.get(number) != Some(side) {
                return Err(format!("atom {number} is not known to be so"));
            }
            tests.extend(self.certificate.atoms.get(*number).map(|atom| (atom, *side)));
        }
        let Some((first, _)) = tests.first() else {
            return Err("a contradiction of nothing".to_owned());
        };
        if tests.iter().any(|(atom, _)| atom.on != first.on) {
            return Err("a contradiction of several variables".to_owned());
        }
        match self.contradict(&first.on, literals, &tests) {
            true => Ok(()),
            false => Err(format!("some value of {} is as atoms {literals:?} say", first.on)),
        }
    }

    fn contradict(&self, on: &str, literals: &[(usize, bool)], tests: &[(&Atom, bool)]) -> bool {
        // Keys, and variables in patterns, may follow from the caller.
        let for_all = matches!(on, "action" | "resource");
        if !for_all || tests.iter().any(|(atom, _)| atom.variables) {
            return self.domains.contradict(on, tests);
        }
        if let Some(known) = self.contradictions.borrow().get(literals) {
            return *known;
        }
        let found = self.domains.contradict(on, tests);
        self.contradictions.borrow_mut().insert(literals.to_vec(), found);
        found
    }

    fn denied(&self, place: &Place, path: &Path) -> bool {
        let rule = self.rules.iter().find(|rule| rule.deny && rule.place == *place);
        let free = if self.class.member == Principal::Anonymous { 0 } else { self.free(path) };
        free == 0
            && rule.is_some_and(|rule| self.applies(rule, path).min(self.counts(rule, path)) == 2)
    }

    fn applies(&self, rule: &Rule, path: &Path) -> Truth {
        let literals = rule.literals.iter().map(|(atom, side)| {
            let value = self.numbers.get(atom).and_then(|number| path.get(number));
            value.map_or(1, |value| known(value == side))
        });
        literals.min().unwrap_or(2)
    }

    fn action(&self, services: &[&str], patterns: &[String], path: &Path) -> Truth {
        self.fact("action", services, patterns, path)
    }

    fn fact(&self, on: &str, services: &[&str], patterns: &[String], path: &Path) -> Truth {
        if self.domains.service.is_some_and(|service| !services.contains(&service)) {
            return 0;
        }
        let atom = Atom {
            on: on.to_owned(),
            test: "Among".to_owned(),
            values: patterns.to_vec(),
            variables: false,
        };
        let value = self.numbers.get(&atom).and_then(|number| path.get(number));
        value.map_or(1, |value| known(*value))
    }

    fn of_service(&self, services: &[&str], path: &Path) -> Truth {
        if self.domains.service.is_some_and(|service| services.contains(&service)) {
            return 2;
        }
        let patterns: Vec<String> = services.iter().map(|service| format!("{service}:*")).collect();
        self.action(services, &patterns, path)
    }

    fn free(&self, path: &Path) -> Truth {
        self.action(&["sts"], &["sts:getcalleridentity".to_owned()], path)
    }

    fn bucket_policy(&self, path: &Path) -> Truth {
        self.action(&["s3"], &BUCKET_POLICY_ACTIONS.map(str::to_owned), path)
    }

    fn same_account(&self) -> bool {
        self.class.member.account() == Some(&self.claim.region.resource_account)
    }

    fn counts(&self, rule: &Rule, path: &Path) -> Truth {
        let root = matches!(self.class.member, Principal::Root { .. });
        match rule.place.layer.as_str() {
            "resource-control" => self.rcps_concern(path),
            "service-control" => known(self.scps_concern()),
            "resource" if root && self.same_account() => opposite(self.bucket_policy(path)),
            _ => 2,
        }
    }

    fn scps_concern(&self) -> bool {
        self.class.member.account().is_some() && !self.class.member.is_service_linked()
    }

    fn rcps_concern(&self, path: &Path) -> Truth {
        let linked = self.class.member.is_service_linked();
        if linked { 0 } else { self.of_service(&RCP_SERVICES, path) }
    }

    /// The rule of composition, once more.
    fn allowed(&self, path: &Path) -> Truth {
        let some = |wanted: &dyn Fn(&Rule) -> bool| -> Truth {
            let rules = self.rules.iter().filter(|rule| wanted(rule));
            rules.map(|rule| self.applies(rule, path)).max().unwrap_or(0)
        };
        let by = |layer: &str| some(&|rule| !rule.deny && rule.place.layer == layer);
        let named = |close: u8| {
            some(&|rule| {
                let layer = rule.place.layer.as_str();
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
        let key = self.of_service(&["kms"], path).min(self.fact(
            "resource",
            &["kms"],
            &["*:key/*".to_owned()],
            path,
        ));
        let trust = self.action(&["sts"], &ROLE_TRUST_ACTIONS.map(str::to_owned), path);
        let offered_by_kms = self.action(&["kms"], &KMS_ACROSS_ACCOUNTS.map(str::to_owned), path);
        let s3 = self.of_service(&["s3"], path);
        let withheld = key.min(opposite(offered_by_kms)).max(s3.min(self.bucket_policy(path)));
        let public = world.restrict_public_buckets && world.resource.iter().any(Policy::is_public);
        let open = opposite(s3.min(known(public)));
        let implied = opposite(key.max(trust)).max(account);
        let foreign = any.min(opposite(withheld)).min(open);
        let granted = match (&self.class.member, self.same_account()) {
            (Principal::Service { .. } | Principal::Federated { .. }, _) => any,
            (Principal::Anonymous, _) => any.min(open),
            (Principal::Root { .. }, true) => direct.max(role).max(implied),
            (Principal::Root { .. }, false) => foreign,
            (_, true) => direct.max(role.max(implied.min(identity)).min(limits)),
            (_, false) => foreign.min(identity).min(limits),
        };
        let denies = self.rules.iter().filter(|rule| rule.deny);
        let denied = denies.map(|rule| self.applies(rule, path).min(self.counts(rule, path))).max();
        let free = if self.class.member == Principal::Anonymous { 0 } else { self.free(path) };
        granted.min(self.fenced_in(path)).min(opposite(denied.unwrap_or(0))).max(free)
    }

    fn fenced_in(&self, path: &Path) -> Truth {
        let world = &self.claim.world;
        let allows = |layer: &str, level: usize| -> Option<Truth> {
            let rules = self.rules.iter().filter(|rule| !rule.deny);
            let rules = rules.filter(|rule| rule.place.layer == layer && rule.place.level == level);
            rules.map(|rule| self.applies(rule, path)).max()
        };
        let mut least = 2;
        if self.scps_concern() {
            for level in 0..world.scps.len() {
                least = least.min(allows("service-control", level).unwrap_or(0));
            }
        }
        for level in 0..world.rcps.len() {
            // A level without any Allow has AWS's own beside it.
            let allowed = allows("resource-control", level).unwrap_or(2);
            least = least.min(allowed.max(opposite(self.rcps_concern(path))));
        }
        if !world.endpoint.is_empty() {
            least = least.min(allows("endpoint", 0).unwrap_or(0));
        }
        least
    }
}
