//! The search for a proof tree, or for a request that refutes the claim.

use std::collections::{BTreeSet, HashMap};

use crate::compose::{self, Truth};
use crate::context::Context;
use crate::decision::Layer;
use crate::principal::Principal;
use crate::prove::atoms::{ACTION, Fact, Model, RESOURCE, Rule};
use crate::prove::classes::Class;
use crate::prove::domains::is_answered;
use crate::prove::language::Found;
use crate::prove::layers::Layers;
use crate::prove::theory::{Chosen, Test, solve};
use crate::prove::world::Documents;
use crate::prove::{Claim, Counterexample, Expectation, Node, Place, refutes};
use crate::request::Request;

/// The end of a search.
pub(crate) enum Outcome {
    Proved(Node),
    Refuted(Box<Counterexample>),
    Doubtful(String),
}

/// Splits one search may make. The largest lane of the tests needs some hundreds.
const SPLITS_MAX: usize = 20_000;

/// Atoms on one path; what is deeper would need a policy larger than AWS accepts.
const DEPTH_MAX: usize = 1_500;

/// Looks at all requests of one class of callers.
pub(crate) fn search(claim: &Claim<'_>, documents: &Documents<'_>, model: &Model) -> Outcome {
    let mut search = Search {
        claim,
        documents,
        model,
        known: vec![None; model.atoms.len()],
        on_variable: vec![Vec::new(); model.variables.len()],
        solved: HashMap::new(),
        splits: 0,
        doubt: None,
    };
    match search.tree(0) {
        Ok((tree, _)) => match search.doubt {
            Some(why) => Outcome::Doubtful(why),
            None => Outcome::Proved(tree),
        },
        Err(Stop::Refuted(found)) => Outcome::Refuted(found),
        Err(Stop::TooLarge) => Outcome::Doubtful(format!(
            "more than {SPLITS_MAX} cases; a claim about fewer actions or callers may be decided"
        )),
    }
}

enum Stop {
    Refuted(Box<Counterexample>),
    TooLarge,
}

/// A tree, and the atoms without which it would not stand.
type Proof = (Node, BTreeSet<usize>);

/// Atoms, and whether they hold.
type Literals = Vec<(usize, bool)>;

struct Search<'s> {
    claim: &'s Claim<'s>,
    documents: &'s Documents<'s>,
    model: &'s Model,
    known: Vec<Option<bool>>,
    /// The atoms known of each variable, in order.
    on_variable: Vec<Vec<usize>>,
    solved: HashMap<(usize, Literals), Found<Chosen>>,
    splits: usize,
    doubt: Option<String>,
}

impl Search<'_> {
    fn tree(&mut self, depth: usize) -> Result<Proof, Stop> {
        let settled = compose::allowed(self.model.caller, self.layers().bits());
        let expected = self.claim.expect == Expectation::Always;
        match settled {
            Some(allowed) if allowed == expected => Ok(self.leaf(allowed)),
            Some(_) => self.refutation(),
            None => match self.next() {
                Some((atom, first)) => self.split(atom, first, depth),
                None => Ok(self.doubtful("the rules do not settle the decision")),
            },
        }
    }

    fn split(&mut self, atom: usize, first: bool, depth: usize) -> Result<Proof, Stop> {
        self.splits += 1;
        if self.splits > SPLITS_MAX || depth > DEPTH_MAX {
            return Err(Stop::TooLarge);
        }
        let (one, mut reasons) = self.branch(atom, first, depth)?;
        // What was shown without the atom needs no other branch.
        if !reasons.contains(&atom) {
            return Ok((one, reasons));
        }
        let (other, more) = self.branch(atom, !first, depth)?;
        if !more.contains(&atom) {
            return Ok((other, more));
        }
        reasons.extend(more);
        reasons.remove(&atom);
        let (holds, fails) = if first { (one, other) } else { (other, one) };
        let atom = self.number(atom);
        Ok((Node::Split { atom, holds: holds.into(), fails: fails.into() }, reasons))
    }

    fn branch(&mut self, atom: usize, side: bool, depth: usize) -> Result<Proof, Stop> {
        if let Some(known) = self.known.get_mut(atom) {
            *known = Some(side);
        }
        let variable = self.model.atoms.get(atom).and_then(|atom| atom.variable);
        if let Some(atoms) = variable.and_then(|v| self.on_variable.get_mut(v)) {
            atoms.push(atom);
        }
        let proof = match variable {
            Some(variable) if self.solve(variable) == Found::None => Ok(self.impossible(variable)),
            _ => self.tree(depth + 1),
        };
        if let Some(atoms) = variable.and_then(|v| self.on_variable.get_mut(v)) {
            atoms.pop();
        }
        if let Some(known) = self.known.get_mut(atom) {
            *known = None;
        }
        proof
    }

    fn number(&self, atom: usize) -> usize {
        self.model.atoms.get(atom).map_or(0, |atom| atom.number)
    }

    fn value(&self, atom: usize) -> Option<bool> {
        self.known.get(atom).copied().flatten()
    }

    fn literals(&self, variable: usize) -> Literals {
        let atoms = self.on_variable.get(variable).map_or(&[][..], Vec::as_slice);
        let mut literals: Literals =
            atoms.iter().filter_map(|atom| Some((*atom, self.value(*atom)?))).collect();
        literals.sort_unstable();
        literals
    }

    fn solve(&mut self, variable: usize) -> Found<Chosen> {
        self.solve_for(variable, self.literals(variable))
    }

    fn solve_for(&mut self, variable: usize, literals: Literals) -> Found<Chosen> {
        let key = (variable, literals);
        if let Some(found) = self.solved.get(&key) {
            return found.clone();
        }
        let found = self.solve_with(key.0, &key.1, &[]);
        self.solved.insert(key, found.clone());
        found
    }

    fn solve_with(
        &self,
        variable: usize,
        literals: &[(usize, bool)],
        hints: &[String],
    ) -> Found<Chosen> {
        let Some(variable) = self.model.variables.get(variable) else { return Found::Unknown };
        let tests: Vec<(&Test, bool)> = literals
            .iter()
            .filter_map(|(atom, side)| Some((&self.model.atoms.get(*atom)?.test, *side)))
            .collect();
        solve(variable, &tests, hints)
    }

    /// The fewest atoms that contradict each other, as far as trying to leave each out tells.
    fn impossible(&mut self, variable: usize) -> Proof {
        let mut literals = self.literals(variable);
        let mut at = 0;
        while literals.len() <= CORE_MAX && at < literals.len() {
            let mut fewer = literals.clone();
            fewer.remove(at);
            if self.solve_for(variable, fewer.clone()) == Found::None {
                literals = fewer;
            } else {
                at += 1;
            }
        }
        let reasons = literals.iter().map(|(atom, _)| *atom).collect();
        let literals = literals.iter().map(|(atom, side)| (self.number(*atom), *side)).collect();
        (Node::Impossible { literals }, reasons)
    }

    fn layers(&self) -> Layers<'_, impl Fn(usize) -> Option<bool>> {
        Layers { world: &self.claim.world, model: self.model, value: |atom| self.value(atom) }
    }

    fn applies(&self, rule: &Rule) -> Option<bool> {
        self.layers().applies(rule)
    }

    fn counts(&self, rule: &Rule) -> Option<bool> {
        self.layers().counts(rule)
    }

    /// The atom to split on, and the side to try first. Facts come first, since most are settled by
    /// the region; then the Deny that fewest atoms keep open, tried as not firing; then an Allow.
    fn next(&self) -> Option<(usize, bool)> {
        let fact = self.model.facts.all().into_iter().find_map(|fact| match fact {
            Fact::Atom(atom) if self.value(atom).is_none() => Some((atom, false)),
            _ => None,
        });
        if fact.is_some() {
            return fact;
        }
        let open = |deny: bool| {
            let rules = self.model.rules.iter().filter(move |rule| {
                rule.deny == deny
                    && self.applies(rule).is_none()
                    && self.counts(rule) != Some(false)
            });
            rules.min_by_key(|rule| {
                rule.literals.iter().filter(|(a, _)| self.value(*a).is_none()).count()
            })
        };
        let unknown = |rule: &Rule| {
            rule.literals.iter().copied().find(|(atom, _)| self.value(*atom).is_none())
        };
        match open(true) {
            Some(rule) => unknown(rule).map(|(atom, side)| (atom, !side)),
            None => open(false).and_then(unknown),
        }
    }

    /// The decision is as claimed, for these reasons.
    fn leaf(&self, allowed: bool) -> Proof {
        let facts = self.model.facts.all().into_iter().filter_map(|fact| self.known_fact(fact));
        let mut reasons: BTreeSet<usize> = facts.collect();
        let rules = &self.model.rules;
        if !allowed {
            let denial = rules
                .iter()
                .find(|rule| rule.deny && self.applies(rule).both(self.counts(rule)) == Some(true));
            if let Some(rule) = denial {
                let facts = &self.model.facts;
                let concerns = match rule.reference.layer {
                    Layer::ResourceControl => Some(facts.rcp_service),
                    Layer::Resource if self.counts_conditionally() => Some(facts.bucket_policy),
                    _ => None,
                };
                let facts = [Some(facts.caller_identity), concerns].into_iter().flatten();
                reasons = facts.filter_map(|fact| self.known_fact(fact)).collect();
                reasons.extend(rule.literals.iter().map(|(atom, _)| *atom));
                return (Node::Denied(Place::from(&rule.reference)), reasons);
            }
        }
        for rule in rules {
            match (self.applies(rule), rule.deny == allowed) {
                // Denies that do not fire matter to what is allowed, Allows to what is not.
                (Some(false), true) => reasons.extend(self.refusal(rule, &reasons)),
                (Some(true), false) if allowed => {
                    reasons.extend(rule.literals.iter().map(|(atom, _)| *atom));
                }
                _ => {}
            }
        }
        (if allowed { Node::Allowed } else { Node::Lacking }, reasons)
    }

    fn known_fact(&self, fact: Fact) -> Option<usize> {
        match fact {
            Fact::Atom(atom) => self.value(atom).map(|_| atom),
            Fact::Known(_) => None,
        }
    }

    /// The owner's root is not held by a bucket policy from mending it.
    fn counts_conditionally(&self) -> bool {
        self.model.caller == (compose::Caller::Root { same_account: true })
    }

    /// An atom that keeps a rule from applying; one that is a reason already, if there is one.
    fn refusal(&self, rule: &Rule, reasons: &BTreeSet<usize>) -> Option<usize> {
        let against = || {
            rule.literals.iter().filter(|(a, side)| self.value(*a) == Some(!side)).map(|(a, _)| *a)
        };
        against().find(|atom| reasons.contains(atom)).or_else(|| against().next())
    }

    fn doubtful(&mut self, why: &str) -> Proof {
        self.doubt.get_or_insert(why.to_owned());
        let known = self.known.iter().enumerate().filter(|(_, known)| known.is_some());
        (Node::Lacking, known.map(|(atom, _)| atom).collect())
    }

    /// The decision is against the claim: a request shows it, if there is one.
    fn refutation(&mut self) -> Result<Proof, Stop> {
        match self.witness() {
            Some(request) => {
                let told = format!(
                    "the case of {} is not confirmed by evaluating it",
                    request.principal()
                );
                match refutes(self.claim, self.documents, request) {
                    Some(found) => Err(Stop::Refuted(found)),
                    None => Ok(self.doubtful(&told)),
                }
            }
            None => {
                Ok(self.doubtful("no request was found for a case that is not excluded either"))
            }
        }
    }

    fn witness(&mut self) -> Option<Request> {
        let model = self.model;
        let action = match self.solve_named(ACTION, &self.action_hints())? {
            Chosen::One(action) => self.spelled(&action),
            _ => return None,
        };
        let resource = match self.solve_named(RESOURCE, &[])? {
            Chosen::One(resource) => resource,
            _ => return None,
        };
        let caller = self.caller(&model.class)?;
        let mut context = Context::new();
        for (at, variable) in model.variables.iter().enumerate().skip(2) {
            if is_answered(&variable.name) {
                continue;
            }
            match self.solve_named(at, &[])? {
                Chosen::Absent => {}
                Chosen::One(value) => context.insert(&variable.name, value),
                Chosen::Many(values) => context.insert_many(&variable.name, values),
            }
        }
        let account = &self.claim.region.resource_account;
        Request::new(caller, &action, &resource, account, context).ok()
    }

    fn solve_named(&self, variable: usize, hints: &[String]) -> Option<Chosen> {
        match self.solve_with(variable, &self.literals(variable), hints) {
            Found::One(chosen) => Some(chosen),
            Found::None | Found::Unknown => None,
        }
    }

    fn named(&self, key: &str) -> Option<usize> {
        self.model
            .variables
            .iter()
            .skip(2)
            .position(|v| v.name.eq_ignore_ascii_case(key))
            .map(|at| at + 2)
    }

    /// The caller of this class whose ARN, account and name are as the atoms say.
    fn caller(&self, class: &Class) -> Option<Principal> {
        let text = |key: &str, hints: &[String]| match self.solve_named(self.named(key)?, hints)? {
            Chosen::One(value) => Some(value),
            _ => None,
        };
        let arn = class.member.arn();
        let Some(arn) = arn else {
            let name = class.services.as_ref().and_then(|_| text("aws:PrincipalServiceName", &[]));
            return Some(name.map_or_else(|| class.member.clone(), |name| class.with_arn(&name)));
        };
        let mut hints = Vec::new();
        let account = class.member.account().unwrap_or("").to_owned();
        let accounts = ["aws:PrincipalAccount", "kms:CallerAccount"];
        let chosen = accounts.iter().find_map(|key| text(key, std::slice::from_ref(&account)));
        let arn = chosen.map_or(arn.clone(), |chosen| arn.replace(&account, &chosen));
        if let Some(name) = text("aws:username", &[]) {
            hints.extend(arn.rsplit_once('/').map(|(path, _)| format!("{path}/{name}")));
        }
        hints.push(arn);
        text("aws:PrincipalArn", &hints).map(|arn| class.with_arn(&arn))
    }

    fn action_hints(&self) -> Vec<String> {
        let plain = self.model.spellings.iter().filter(|action| !action.contains(['*', '?']));
        plain.map(|action| action.to_ascii_lowercase()).collect()
    }

    fn spelled(&self, folded: &str) -> String {
        let spelling =
            self.model.spellings.iter().find(|action| action.eq_ignore_ascii_case(folded));
        spelling.map_or_else(|| folded.to_owned(), Clone::clone)
    }
}

/// Contradictions of more atoms than this are not made smaller.
const CORE_MAX: usize = 12;
