//! Statements from the text of the policies, as conjunctions of atoms. A text is read once, however
//! many claims are about it.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use crate::grant::{Constraint, WITHOUT_CONTEXT};
use crate::policy::{Named, Policy};
use crate::principal::{Principal, account_of, last_name};
use crate::prove::classes::Class;
use crate::prove::{Atom, Claim, Identity, Place};

/// The number of an atom among [`Atoms`].
pub(super) type AtomId = u32;

/// Every atom that was met, numbered: equal ones have one number.
#[derive(Default)]
pub(super) struct Atoms {
    ids: HashMap<Rc<Atom>, AtomId>,
    atoms: Vec<Rc<Atom>>,
}

impl Atoms {
    pub(super) fn id(&mut self, atom: &Atom) -> AtomId {
        if let Some(id) = self.ids.get(atom) {
            return *id;
        }
        let id = AtomId::try_from(self.atoms.len()).unwrap_or(AtomId::MAX);
        let atom = Rc::new(atom.clone());
        self.ids.insert(Rc::clone(&atom), id);
        self.atoms.push(atom);
        id
    }

    pub(super) fn get(&self, id: AtomId) -> Option<&Atom> {
        self.atoms.get(id as usize).map(Rc::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.atoms.len()
    }

    fn among(&mut self, on: &str, values: Vec<String>) -> AtomId {
        let (on, test) = (on.to_owned(), "Among".to_owned());
        self.id(&Atom { on, test, values, variables: false })
    }

    /// "The action is one of these."
    pub(super) fn action(&mut self, patterns: &[&str]) -> AtomId {
        self.among("action", patterns.iter().map(|pattern| (*pattern).to_owned()).collect())
    }

    /// "The resource is like this."
    pub(super) fn resource(&mut self, pattern: &str) -> AtomId {
        self.among("resource", vec![pattern.to_owned()])
    }
}

/// Atoms and how they must be.
type Literals = Rc<[(AtomId, bool)]>;

/// A statement or grant that concerns the class of callers.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) layer: &'static str,
    pub(super) level: usize,
    policy: usize,
    statement: usize,
    pub(super) deny: bool,
    /// 2: names the caller, 1: its role, 0: its account.
    pub(super) closeness: u8,
    pub(super) literals: Literals,
    /// Where a policy variable in it has no value, it never applies.
    pub(super) void: Option<AtomId>,
}

impl Rule {
    pub(super) fn is_at(&self, place: &Place) -> bool {
        place.layer == self.layer
            && place.level == self.level
            && place.policy == self.policy
            && place.statement == self.statement
    }
}

/// What a text says, whoever asks.
struct Statement {
    deny: bool,
    callers: Callers,
    literals: Literals,
    void: Option<AtomId>,
}

/// Kinds and names, as `AWS` and an ARN.
type Entries = Vec<(String, String)>;

enum Callers {
    Attached,
    Named(Entries),
    AllBut(Entries),
}

/// The texts that were read.
#[derive(Default)]
pub(super) struct Library {
    pub(super) atoms: Atoms,
    // The policy is kept with what was read from it: as long as it lives, no other has its identity.
    documents: HashMap<usize, (Policy, Rc<[Statement]>)>,
}

impl Library {
    /// What concerns a class of callers, from every layer.
    pub(super) fn rules(
        &mut self,
        claim: &Claim<'_>,
        class: &Class,
        service: Option<&str>,
    ) -> Result<Vec<Rule>, String> {
        let world = &claim.world;
        let given = match world.identity {
            Identity::Given(given) => given,
            Identity::Anything => &[],
        };
        let mut layers: Vec<(&'static str, usize, &[Policy])> = Vec::new();
        layers
            .extend(world.rcps.iter().enumerate().map(|(n, all)| ("resource-control", n, &**all)));
        layers.extend(world.scps.iter().enumerate().map(|(n, all)| ("service-control", n, &**all)));
        layers.push(("endpoint", 0, world.endpoint));
        layers.push(("resource", 0, world.resource));
        layers.push(("identity", 0, given));
        layers.push(("boundary", 0, world.boundary.map_or(&[], std::slice::from_ref)));
        layers.push(("session", 0, world.session));
        let bounded = world.boundary.is_some();
        let mut rules = Vec::new();
        for (layer, level, documents) in layers {
            for (policy, document) in documents.iter().enumerate() {
                let statements = self.read(document)?;
                for (statement, said) in statements.iter().enumerate() {
                    let Some(closeness) = said.callers.closeness(&class.member, bounded) else {
                        continue;
                    };
                    let (deny, void) = (said.deny, said.void);
                    let literals = Rc::clone(&said.literals);
                    rules.push(Rule {
                        layer,
                        level,
                        policy,
                        statement,
                        deny,
                        closeness,
                        literals,
                        void,
                    });
                }
            }
        }
        self.grants(claim, class, service, &mut rules);
        Ok(rules)
    }

    fn read(&mut self, document: &Policy) -> Result<Rc<[Statement]>, String> {
        if let Some((_, statements)) = self.documents.get(&document.identity()) {
            return Ok(Rc::clone(statements));
        }
        let text = document.source().ok_or("the text of a policy was not kept")?;
        let json: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let escapes = json["Version"] == "2012-10-17";
        let statements = items(&json["Statement"]).into_iter();
        let statements = statements.map(|json| self.statement(json, escapes));
        let statements: Rc<[Statement]> = statements.collect::<Result<_, String>>()?;
        let kept = (document.clone(), Rc::clone(&statements));
        self.documents.insert(document.identity(), kept);
        Ok(statements)
    }

    fn statement(&mut self, json: &Value, escapes: bool) -> Result<Statement, String> {
        let mut literals = Vec::new();
        let mut void = None;
        for (element, on, side) in [
            ("Action", "action", true),
            ("NotAction", "action", false),
            ("Resource", "resource", true),
            ("NotResource", "resource", false),
        ] {
            let Some(values) = json.get(element) else { continue };
            let values = texts(values);
            let variables = escapes && on == "resource" && values.iter().any(|v| v.contains("${"));
            let (on, test) = (on.to_owned(), "Among".to_owned());
            let atom = self.atoms.id(&Atom { on, test, values, variables });
            if !side && variables {
                void = Some(atom);
            }
            literals.push((atom, side));
        }
        for (operator, tests) in json["Condition"].as_object().into_iter().flatten() {
            for (key, values) in tests.as_object().ok_or("a condition is not an object")? {
                let values = texts(values);
                let variables = escapes && values.iter().any(|value| value.contains("${"));
                let (on, test) = (key.to_ascii_lowercase(), canonical(operator));
                literals.push((self.atoms.id(&Atom { on, test, values, variables }), true));
            }
        }
        let callers = match (json.get("Principal"), json.get("NotPrincipal")) {
            (Some(named), _) => Callers::Named(entries(named)),
            (None, Some(spared)) => Callers::AllBut(entries(spared)),
            (None, None) => Callers::Attached,
        };
        let deny = json["Effect"] == "Deny";
        Ok(Statement { deny, callers, literals: literals.into(), void })
    }

    fn grants(
        &mut self,
        claim: &Claim<'_>,
        class: &Class,
        service: Option<&str>,
        rules: &mut Vec<Rule>,
    ) {
        if service.is_some_and(|service| service != "kms") {
            return;
        }
        for (index, grant) in claim.world.grants.iter().enumerate() {
            let closeness = match grant.grantee() {
                Named::Account(text) | Named::Arn(text) => names("AWS", text, &class.member),
                Named::Service(text) => names("Service", text, &class.member),
                _ => None,
            };
            let Some(closeness) = closeness else { continue };
            for constrained in [true, false] {
                let bare = |name: &&String| {
                    WITHOUT_CONTEXT.iter().any(|known| known.eq_ignore_ascii_case(name))
                };
                let operations: Vec<String> = grant
                    .operations()
                    .iter()
                    .filter(|name| bare(name) != constrained)
                    .map(|name| format!("kms:{}", name.to_ascii_lowercase()))
                    .collect();
                if operations.is_empty() {
                    continue;
                }
                let mut atom = |on: &str, test: &str, values: Vec<String>| {
                    let (on, test) = (on.to_owned(), test.to_owned());
                    (self.atoms.id(&Atom { on, test, values, variables: false }), true)
                };
                let mut literals = vec![
                    atom("action", "Among", operations),
                    atom("resource", "Among", vec!["*:key/*".to_owned()]),
                ];
                if let (true, Some((wanted, exact))) = (constrained, pairs(grant.constraint())) {
                    for (name, value) in wanted {
                        let on = format!("kms:encryptioncontext:{}", name.to_ascii_lowercase());
                        literals.push(atom(&on, "StringEquals", vec![value.clone()]));
                    }
                    if exact {
                        let names = wanted.keys().cloned().collect();
                        literals.push(atom("kms:encryptioncontext", "NothingBut", names));
                    }
                }
                rules.push(Rule {
                    layer: "grant",
                    level: 0,
                    policy: 0,
                    statement: index,
                    deny: false,
                    closeness,
                    literals: literals.into(),
                    void: None,
                });
            }
        }
    }
}

impl Callers {
    /// How closely the caller is named; nothing where the statement does not concern it.
    fn closeness(&self, caller: &Principal, bounded: bool) -> Option<u8> {
        let spared = match self {
            Callers::Attached => return Some(2),
            Callers::Named(named) => {
                return named.iter().filter_map(|(kind, text)| names(kind, text, caller)).max();
            }
            Callers::AllBut(spared) => spared,
        };
        let spares = |wanted: &dyn Fn(&str, &str) -> bool| {
            spared.iter().any(|(kind, text)| wanted(kind, text))
        };
        let everybody = spares(&|kind, text| kind == "AWS" && text == "*");
        let account = spares(&|kind, text| names(kind, text, caller) == Some(0));
        let exact = spares(&|kind, text| text != "*" && names(kind, text, caller) == Some(2));
        let near = spares(&|kind, text| names(kind, text, caller) == Some(1));
        let exempt = match caller {
            Principal::Anonymous => false,
            Principal::Root { .. } => account,
            Principal::User { .. } => exact && account,
            Principal::RoleSession { .. } => exact && near && account,
            Principal::FederatedUser { user_arn, .. } => {
                exact && account && (near || user_arn.is_none())
            }
            Principal::Service { .. } => {
                exact || spares(&|kind, text| kind == "Service" && text == "*")
            }
            Principal::Federated { .. } => exact,
        };
        ((!exempt && !everybody) || bounded).then_some(2)
    }
}

fn entries(value: &Value) -> Entries {
    match value.as_object() {
        None => vec![("AWS".to_owned(), "*".to_owned())],
        Some(kinds) => kinds
            .iter()
            .flat_map(|(kind, values)| {
                texts(values).into_iter().map(move |text| (kind.clone(), text))
            })
            .collect(),
    }
}

fn pairs(constraint: &Constraint) -> Option<(&std::collections::BTreeMap<String, String>, bool)> {
    match constraint {
        Constraint::None => None,
        Constraint::EncryptionContextEquals(wanted) => Some((wanted, true)),
        Constraint::EncryptionContextSubset(wanted) => Some((wanted, false)),
    }
}

/// How closely an entry of a `Principal` element names the caller.
fn names(kind: &str, text: &str, caller: &Principal) -> Option<u8> {
    let account = caller.account();
    match (kind, caller) {
        ("AWS", _) if text == "*" => Some(2),
        ("AWS", _) if Some(text) == account => Some(0),
        ("AWS", _) if text.ends_with(":root") => (account_of(text) == account).then_some(0),
        ("AWS", Principal::User { arn }) => (text == arn).then_some(2),
        ("AWS", Principal::FederatedUser { arn, user_arn }) => match text == arn {
            true => Some(2),
            false => (user_arn.as_deref() == Some(text)).then_some(1),
        },
        ("AWS", Principal::RoleSession { role_arn, session_arn }) => {
            // A role known without its path is the one of that name in its account.
            let pathless = role_arn.ends_with(&format!(":role/{}", last_name(role_arn)));
            let same_name = text.contains(":role/")
                && last_name(text) == last_name(role_arn)
                && account_of(text) == account;
            match session_arn.as_deref() == Some(text) {
                true => Some(2),
                false => (text == role_arn || (pathless && same_name)).then_some(1),
            }
        }
        ("Service", Principal::Service { name }) => (text == "*" || text == name).then_some(2),
        ("Federated", Principal::Federated { provider }) => (text == provider).then_some(2),
        _ => None,
    }
}

/// The name by which certificates call an operator.
fn canonical(operator: &str) -> String {
    const KNOWN: [&str; 25] = [
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
        "NumericEquals",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
        "DateEquals",
        "DateNotEquals",
        "DateLessThan",
        "DateLessThanEquals",
        "DateGreaterThan",
        "DateGreaterThanEquals",
        "Bool",
        "BinaryEquals",
        "IpAddress",
        "NotIpAddress",
        "ArnLike",
        "ArnNotLike",
        "Null",
    ];
    let folded = operator.to_ascii_lowercase();
    let (prefix, rest) = match folded.split_once(':') {
        Some(("foranyvalue", rest)) => ("ForAnyValue:", rest.to_owned()),
        Some((_, rest)) => ("ForAllValues:", rest.to_owned()),
        None => ("", folded.clone()),
    };
    let (bare, suffix) = match rest.strip_suffix("ifexists") {
        Some(bare) => (bare, "IfExists"),
        None => (rest.as_str(), ""),
    };
    let bare = match bare {
        "arnequals" => "arnlike",
        "arnnotequals" => "arnnotlike",
        other => other,
    };
    let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(bare)).unwrap_or(&bare);
    format!("{prefix}{known}{suffix}")
}

fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    items(value).into_iter().map(text).collect()
}
