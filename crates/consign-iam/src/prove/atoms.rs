//! The documents of a claim as rules over atoms, for one class of callers.

use std::collections::HashMap;

use crate::compose::Caller;
use crate::condition::{Condition, Operands, Test as Compared};
use crate::decision::StatementRef;
use crate::evaluate::{
    BUCKET_POLICY_ACTIONS, KMS_ACROSS_ACCOUNTS, RCP_SERVICES, ROLE_TRUST_ACTIONS,
};
use crate::glob::Glob;
use crate::grant::{Constraint, WITHOUT_CONTEXT};
use crate::key::Key;
use crate::pattern::{Kind, Pattern};
use crate::policy::{
    Closeness, Policy, Principals, Resources, Statement, StatementEffect, Version,
};
use crate::principal::Principal;
use crate::prove::classes::Class;
use crate::prove::domains::{
    Derived, derived, is_list, only_service, set_sides, value_sides, written,
};
use crate::prove::language::Language;
use crate::prove::theory::{Good, Test, Variable};
use crate::prove::world::{Documents, Placed};
use crate::prove::{Atom, Claim, Domain, Region, Set};
use crate::request::Request;

/// Every atom of a certificate, numbered.
#[derive(Default)]
pub(crate) struct Book {
    numbers: HashMap<Atom, usize>,
}

impl Book {
    fn number(&mut self, atom: Atom) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(atom).or_insert(next)
    }

    pub(crate) fn atoms(self) -> Vec<Atom> {
        let mut atoms: Vec<(Atom, usize)> = self.numbers.into_iter().collect();
        atoms.sort_by_key(|(_, number)| *number);
        atoms.into_iter().map(|(atom, _)| atom).collect()
    }
}

/// A statement or a grant that concerns this class: it applies when every literal is as it says.
pub(crate) struct Rule {
    pub(crate) reference: StatementRef,
    pub(crate) deny: bool,
    pub(crate) closeness: Closeness,
    pub(crate) literals: Vec<(usize, bool)>,
}

/// Something about the action or resource that the composition asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact {
    Known(bool),
    Atom(usize),
}

/// What the composition asks of the action and the resource.
pub(crate) struct Facts {
    pub(crate) caller_identity: Fact,
    pub(crate) kms: Fact,
    pub(crate) key: Fact,
    pub(crate) kms_offered: Fact,
    pub(crate) role_trust: Fact,
    pub(crate) s3: Fact,
    pub(crate) bucket_policy: Fact,
    pub(crate) rcp_service: Fact,
}

impl Facts {
    pub(crate) fn all(&self) -> [Fact; 8] {
        [
            self.caller_identity,
            self.kms,
            self.key,
            self.kms_offered,
            self.role_trust,
            self.s3,
            self.bucket_policy,
            self.rcp_service,
        ]
    }
}

/// An atom, and the variable that it tests.
pub(crate) struct Local {
    pub(crate) number: usize,
    pub(crate) test: Test,
    pub(crate) variable: Option<usize>,
}

/// What can be allowed to one class of callers.
pub(crate) struct Model {
    pub(crate) class: Class,
    pub(crate) caller: Caller,
    pub(crate) atoms: Vec<Local>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) facts: Facts,
    pub(crate) restricted: bool,
    pub(crate) scp_levels: usize,
    /// Of each level of RCPs, whether something has to allow there.
    pub(crate) rcp_levels: Vec<bool>,
    pub(crate) linked: bool,
    /// Actions as written, by which lower-case ones are shown.
    pub(crate) spellings: Vec<String>,
}

/// Actions that counterexamples name though no policy does.
const SPELLED: [&str; 4] =
    ["s3:PutBucketPolicy", "s3:GetBucketPolicy", "s3:DeleteBucketPolicy", "sts:GetCallerIdentity"];

/// The variables that every model has.
pub(crate) const ACTION: usize = 0;
pub(crate) const RESOURCE: usize = 1;

impl Model {
    pub(crate) fn new(
        claim: &Claim<'_>,
        documents: &Documents<'_>,
        class: &Class,
        book: &mut Book,
    ) -> Model {
        let mut builder = Builder::new(claim, class, book);
        let facts = builder.facts();
        let mut rules = Vec::new();
        let has_boundary = claim.world.boundary.is_some();
        let placed = documents.statements();
        for placed in &placed {
            rules.extend(builder.rule(placed, has_boundary));
        }
        builder.grants(claim, &facts, &mut rules);
        let linked = class.member.is_service_linked();
        let restricted = claim.world.restrict_public_buckets
            && claim.world.resource.iter().any(Policy::is_public);
        let allows = |policy: &Policy| {
            policy.statements().iter().any(|s| s.effect == StatementEffect::Allow)
        };
        Model {
            caller: caller(claim, class),
            scp_levels: if class.member.account().is_some() && !linked {
                claim.world.scps.len()
            } else {
                0
            },
            rcp_levels: match linked {
                true => Vec::new(),
                false => claim.world.rcps.iter().map(|level| level.iter().any(allows)).collect(),
            },
            linked,
            restricted,
            class: class.clone(),
            spellings: builder.spellings,
            atoms: builder.atoms,
            variables: builder.variables,
            rules,
            facts,
        }
    }
}

fn caller(claim: &Claim<'_>, class: &Class) -> Caller {
    let same_account = class.member.account() == Some(&claim.region.resource_account);
    match &class.member {
        Principal::Service { .. } | Principal::Federated { .. } => Caller::Outside,
        Principal::Anonymous => Caller::Anonymous,
        Principal::Root { .. } => Caller::Root { same_account },
        _ => Caller::Within { same_account },
    }
}

struct Builder<'a> {
    region: &'a Region,
    class: &'a Class,
    book: &'a mut Book,
    /// The one service of the region's actions, where it is one.
    service: Option<String>,
    probe: Option<Request>,
    atoms: Vec<Local>,
    known: HashMap<usize, usize>,
    variables: Vec<Variable>,
    spellings: Vec<String>,
}

impl<'a> Builder<'a> {
    fn new(claim: &'a Claim<'_>, class: &'a Class, book: &'a mut Book) -> Builder<'a> {
        let region = &claim.region;
        let service = only_service(&region.actions);
        let sides = |set: &Set, add: &dyn Fn(&mut Language, &Glob)| -> Vec<(Good, bool)> {
            let mut inside = Language::default();
            let mut outside = Language::default();
            set.including.iter().for_each(|glob| add(&mut inside, glob));
            set.except.iter().for_each(|glob| add(&mut outside, glob));
            vec![(Good::text(inside), true), (Good::text(outside), false)]
        };
        let mut actions = sides(&region.actions, &|set, glob| set.add_action(glob.elements()));
        let mut named = Language::default();
        named.add_elements(Glob::new("?*:?*").elements());
        actions.push((Good::text(named), true));
        let resources = sides(&region.resource, &|set, glob| set.add_elements(glob.elements()));
        // Only the caller matters to the principals of a statement.
        let probe = Request::new(
            class.member.clone(),
            "any:Any",
            "*",
            &region.resource_account,
            crate::context::Context::new(),
        );
        let mut builder = Builder {
            region,
            class,
            book,
            service,
            probe: probe.ok(),
            atoms: Vec::new(),
            known: HashMap::new(),
            variables: vec![
                Variable::required("action", actions),
                Variable::required("resource", resources),
            ],
            spellings: region
                .actions
                .including
                .iter()
                .map(written)
                .chain(SPELLED.map(str::to_owned))
                .collect(),
        };
        for (key, _) in &region.context {
            builder.variable(&Key::new(key));
        }
        builder.variable(&Key::new("aws:PrincipalArn"));
        builder
    }

    fn facts(&mut self) -> Facts {
        let service = self.service.clone();
        let among = |actions: &[&str]| -> Vec<String> {
            actions.iter().map(|action| (*action).to_owned()).collect()
        };
        let mut ask = |wanted: &[&str], on: &str, values: Vec<String>| match &service {
            Some(known) if !wanted.is_empty() && !wanted.contains(&known.as_str()) => {
                Fact::Known(false)
            }
            _ => Fact::Atom(self.among(on, values)),
        };
        let rcp: Vec<String> = RCP_SERVICES.iter().map(|service| format!("{service}:*")).collect();
        let mut facts = Facts {
            caller_identity: ask(&["sts"], "action", among(&["sts:getcalleridentity"])),
            kms: ask(&["kms"], "action", among(&["kms:*"])),
            key: ask(&["kms"], "resource", among(&["*:key/*"])),
            kms_offered: ask(&["kms"], "action", among(&KMS_ACROSS_ACCOUNTS)),
            role_trust: ask(&["sts"], "action", among(&ROLE_TRUST_ACTIONS)),
            s3: ask(&["s3"], "action", among(&["s3:*"])),
            bucket_policy: ask(&["s3"], "action", among(&BUCKET_POLICY_ACTIONS)),
            rcp_service: ask(&RCP_SERVICES, "action", rcp),
        };
        let known = |wanted: &str, fact: &mut Fact| {
            if service.as_deref() == Some(wanted) {
                *fact = Fact::Known(true);
            }
        };
        known("kms", &mut facts.kms);
        known("s3", &mut facts.s3);
        if service.as_deref().is_some_and(|service| RCP_SERVICES.contains(&service)) {
            facts.rcp_service = Fact::Known(true);
        }
        facts
    }

    fn atom(&mut self, atom: Atom, test: Test, variable: Option<usize>) -> usize {
        let number = self.book.number(atom);
        let atoms = &mut self.atoms;
        *self.known.entry(number).or_insert_with(|| {
            atoms.push(Local { number, test, variable });
            atoms.len() - 1
        })
    }

    /// "The action (or resource) is among these patterns."
    fn among(&mut self, on: &str, values: Vec<String>) -> usize {
        let mut set = Language::default();
        for value in &values {
            match on {
                "action" => set.add_action(Glob::new(value).elements()),
                _ => set.add_elements(Glob::new(value).elements()),
            }
        }
        let variable = if on == "action" { ACTION } else { RESOURCE };
        self.atom(among_atom(on, values), Test::plain(Good::text(set)), Some(variable))
    }

    fn rule(&mut self, placed: &Placed<'_>, has_boundary: bool) -> Option<Rule> {
        let statement = placed.statement;
        let closeness = match (&statement.principals, &self.probe) {
            (Principals::Attached, _) => Closeness::Direct,
            (principals, Some(probe)) => principals.include(probe, has_boundary)?,
            (_, None) => Closeness::Direct,
        };
        let mut literals = vec![(
            self.among("action", statement.actions.sources.clone()),
            !statement.actions.negated,
        )];
        self.spellings.extend(statement.actions.sources.iter().cloned());
        match &statement.resources {
            Resources::Any => {}
            Resources::Named(patterns) => {
                literals.push((self.resources(patterns, false, placed.version)?, true));
            }
            Resources::AllBut(patterns) => {
                literals.push((self.resources(patterns, true, placed.version)?, false));
            }
        }
        for condition in &statement.conditions {
            literals.push((self.condition(condition, placed.version), true));
        }
        let sid = statement.sid.clone();
        let reference = StatementRef {
            layer: placed.layer,
            level: placed.level,
            policy: placed.policy,
            statement: placed.index,
            sid,
        };
        Some(Rule {
            reference,
            deny: statement.effect == StatementEffect::Deny,
            closeness,
            literals,
        })
    }

    /// "The resource is among these", or nothing where an unresolved variable voids the statement.
    fn resources(
        &mut self,
        patterns: &[Pattern],
        negated: bool,
        version: Version,
    ) -> Option<usize> {
        let mut set = Language::default();
        let mut unknown = false;
        for pattern in patterns {
            match pattern.settled(Kind::Glob, |key| self.resolve(key)) {
                Ok(Some(settled)) => set.add_settled(&settled),
                Ok(None) if negated => return None,
                Ok(None) => {}
                Err(()) => unknown = true,
            }
        }
        let atom = resource_atom(patterns, version);
        Some(match unknown {
            true => self.atom(atom, Test::Free, None),
            false => self.atom(atom, Test::plain(Good::text(set)), Some(RESOURCE)),
        })
    }

    fn condition(&mut self, condition: &Condition, version: Version) -> usize {
        let operator = condition.operator;
        let variable = self.variable(&condition.key);
        let atom = condition_atom(condition, version);
        if let Operands::Booleans(values) = &condition.operands
            && operator.test == Compared::Null
        {
            let holds = |absent| values.iter().any(|typed| typed.value == Some(absent));
            let test = Test::Presence { absent: holds(true), present: holds(false) };
            return self.atom(atom, test, Some(variable));
        }
        let Some(good) = self.good(condition) else { return self.atom(atom, Test::Free, None) };
        let test = Test::Value {
            quantifier: operator.quantifier,
            on_absent: operator.holds_for_absent(),
            good,
        };
        self.atom(atom, test, Some(variable))
    }

    /// Which single values meet the condition; nothing where it holds variables that are not known.
    fn good(&self, condition: &Condition) -> Option<Good> {
        let negated = condition.operator.negated;
        let mut set = Language::default();
        let kind = match condition.operator.test {
            Compared::StringLike => Kind::Glob,
            Compared::Arn => Kind::Arn,
            _ => Kind::Text,
        };
        let mut undefined = false;
        match &condition.operands {
            Operands::Patterns(patterns) => {
                for pattern in patterns {
                    let settled = pattern.settled(kind, |key| self.resolve(key)).ok()?;
                    undefined |= settled.is_none() && pattern.has_variables();
                    match (settled, condition.operator.test) {
                        (
                            Some(crate::pattern::Settled::Text(text)),
                            Compared::StringEqualsIgnoreCase,
                        ) => {
                            set.add_folded(&text);
                        }
                        (Some(settled), _) => set.add_settled(&settled),
                        (None, _) => {}
                    }
                }
            }
            Operands::Booleans(values) => {
                for value in values.iter().filter_map(|typed| typed.value) {
                    set.add_folded(if value { "true" } else { "false" });
                }
                return Some(Good::Text { set, negated: false });
            }
            _ => return Some(Good::Typed(condition.clone())),
        }
        // What cannot be compared is neither equal nor different.
        Some(match negated && undefined {
            true => Good::Text { set: Language::default(), negated: false },
            false => Good::Text { set, negated },
        })
    }

    /// A grant allows its grantee its operations, where the encryption context is as it says.
    fn grants(&mut self, claim: &Claim<'_>, facts: &Facts, rules: &mut Vec<Rule>) {
        for (index, grant) in claim.world.grants.iter().enumerate() {
            let Some(probe) = &self.probe else { continue };
            let Some(closeness) = grant.grantee().covers(probe) else { continue };
            let (with, without): (Vec<&String>, Vec<&String>) =
                grant.operations().iter().partition(|operation| {
                    !WITHOUT_CONTEXT.iter().any(|name| name.eq_ignore_ascii_case(operation))
                });
            for (operations, constrained) in [(with, true), (without, false)] {
                if operations.is_empty() {
                    continue;
                }
                let actions =
                    operations.iter().map(|name| format!("kms:{}", name.to_ascii_lowercase()));
                let mut literals = vec![(self.among("action", actions.collect()), true)];
                match facts.key {
                    Fact::Atom(atom) => literals.push((atom, true)),
                    Fact::Known(_) => continue,
                }
                if constrained {
                    self.constraint(grant.constraint(), &mut literals);
                }
                let reference = crate::evaluate::grant_reference(index);
                rules.push(Rule { reference, deny: false, closeness, literals });
            }
        }
    }

    fn constraint(&mut self, constraint: &Constraint, literals: &mut Vec<(usize, bool)>) {
        let (wanted, exact) = match constraint {
            Constraint::None => return,
            Constraint::EncryptionContextEquals(wanted) => (wanted, true),
            Constraint::EncryptionContextSubset(wanted) => (wanted, false),
        };
        for (name, value) in wanted {
            let key = Key::new(&format!("kms:EncryptionContext:{name}"));
            let variable = self.variable(&key);
            let mut set = Language::default();
            set.add_text(value);
            let atom = Atom {
                on: key.folded().to_owned(),
                test: "StringEquals".to_owned(),
                values: vec![value.clone()],
                variables: false,
            };
            literals.push((self.atom(atom, Test::plain(Good::text(set)), Some(variable)), true));
        }
        if exact {
            let atom = Atom {
                on: "kms:encryptioncontext".to_owned(),
                test: "NothingBut".to_owned(),
                values: wanted.keys().cloned().collect(),
                variables: false,
            };
            literals.push((self.atom(atom, Test::Free, None), true));
        }
    }

    /// The number of a key's variable.
    fn variable(&mut self, key: &Key) -> usize {
        let at =
            self.variables.iter().skip(2).position(|v| v.name.eq_ignore_ascii_case(key.as_str()));
        if let Some(at) = at {
            return at + 2;
        }
        self.variables.push(self.domain(key));
        self.variables.len() - 1
    }

    /// What the request may carry for a key: what follows from the caller, within what the region
    /// says.
    fn domain(&self, key: &Key) -> Variable {
        let mut variable = match derived(self.class, self.region, self.service.as_deref(), key) {
            Derived::Absent => Variable::absent(key.as_str()),
            Derived::Of(set) => Variable::required(key.as_str(), set_sides(&set)),
            Derived::Perhaps(set) => {
                Variable { may_lack: true, ..Variable::required(key.as_str(), set_sides(&set)) }
            }
            Derived::Anything => Variable::anything(key.as_str(), is_list(key.folded())),
        };
        let given = self.region.context.iter().filter(|(name, _)| Key::new(name) == *key);
        for (_, domain) in given {
            let values = match domain {
                Domain::Any => continue,
                Domain::Absent => {
                    variable.may_be_one = false;
                    variable.may_be_many = false;
                    continue;
                }
                Domain::Present(values) => {
                    variable.may_lack = false;
                    values
                }
                Domain::Perhaps(values) => values,
            };
            variable.limits.extend(value_sides(values));
        }
        variable
    }

    /// The value of a key that a policy variable names: one value, none for certain, or not known.
    fn resolve(&self, key: &Key) -> Result<Option<String>, ()> {
        let variable = self.domain(key);
        if !variable.may_be_one && !variable.may_be_many {
            return Ok(None);
        }
        if variable.may_lack || variable.may_be_many {
            return Err(());
        }
        variable.only_value().map(Some).ok_or(())
    }
}

fn among_atom(on: &str, values: Vec<String>) -> Atom {
    Atom { on: on.to_owned(), test: "Among".to_owned(), values, variables: false }
}

/// "The action is among those of this statement."
pub(crate) fn action_atom(statement: &Statement) -> Atom {
    among_atom("action", statement.actions.sources.clone())
}

/// "The resource is among these."
pub(crate) fn resource_atom(patterns: &[Pattern], version: Version) -> Atom {
    let sources: Vec<&str> = patterns.iter().map(Pattern::source).collect();
    let variables = holds_variables(&sources, version);
    let values = sources.into_iter().map(str::to_owned).collect();
    Atom { variables, ..among_atom("resource", values) }
}

/// "The condition holds."
pub(crate) fn condition_atom(condition: &Condition, version: Version) -> Atom {
    let sources = condition.operands.sources();
    Atom {
        on: condition.key.folded().to_owned(),
        test: condition.operator.to_string(),
        variables: holds_variables(&sources, version),
        values: sources.into_iter().map(str::to_owned).collect(),
    }
}

/// Whether `${` means anything in these values.
fn holds_variables(sources: &[&str], version: Version) -> bool {
    version == Version::V2012 && sources.iter().any(|source| source.contains("${"))
}
