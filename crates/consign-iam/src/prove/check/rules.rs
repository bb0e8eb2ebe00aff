//! Statements from the text of the policies, as conjunctions of atoms.

use serde_json::Value;

use super::values::Domains;
use crate::grant::{Constraint, WITHOUT_CONTEXT};
use crate::policy::{Named, Policy};
use crate::principal::{Principal, account_of, last_name};
use crate::prove::classes::Class;
use crate::prove::{Atom, Claim, Identity, Place};

/// A statement or grant that concerns the class of callers.
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) deny: bool,
    /// 2: names the caller, 1: its role, 0: its account.
    pub(super) closeness: u8,
    pub(super) literals: Vec<(Atom, bool)>,
}

pub(super) struct Reader<'r> {
    pub(super) claim: &'r Claim<'r>,
    pub(super) class: &'r Class,
    pub(super) domains: &'r Domains<'r>,
}

impl Reader<'_> {
    pub(super) fn rules(&self) -> Result<Vec<Rule>, String> {
        let world = &self.claim.world;
        let mut rules = Vec::new();
        for (level, documents) in world.rcps.iter().enumerate() {
            self.layer("resource-control", level, documents, &mut rules)?;
        }
        for (level, documents) in world.scps.iter().enumerate() {
            self.layer("service-control", level, documents, &mut rules)?;
        }
        self.layer("endpoint", 0, world.endpoint, &mut rules)?;
        self.layer("resource", 0, world.resource, &mut rules)?;
        if let Identity::Given(given) = world.identity {
            self.layer("identity", 0, given, &mut rules)?;
        }
        self.layer("boundary", 0, world.boundary.map_or(&[], std::slice::from_ref), &mut rules)?;
        self.layer("session", 0, world.session, &mut rules)?;
        self.grants(&mut rules);
        Ok(rules)
    }

    fn layer(
        &self,
        layer: &str,
        level: usize,
        documents: &[Policy],
        rules: &mut Vec<Rule>,
    ) -> Result<(), String> {
        for (policy, document) in documents.iter().enumerate() {
            let text = document.source().ok_or("the text of a policy was not kept")?;
            let json: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
            let escapes = json["Version"] == "2012-10-17";
            for (statement, value) in items(&json["Statement"]).into_iter().enumerate() {
                let place = Place { layer: layer.to_owned(), level, policy, statement };
                rules.extend(self.rule(place, value, escapes)?);
            }
        }
        Ok(())
    }

    fn rule(&self, place: Place, json: &Value, escapes: bool) -> Result<Option<Rule>, String> {
        let deny = json["Effect"] == "Deny";
        let Some(closeness) = self.closeness(json) else { return Ok(None) };
        let mut literals = Vec::new();
        let among = |on: &str, values: &Value, variables: bool| {
            let values = texts(values);
            let variables = variables && values.iter().any(|value| value.contains("${"));
            Atom { on: on.to_owned(), test: "Among".to_owned(), values, variables }
        };
        for (element, on, side) in [
            ("Action", "action", true),
            ("NotAction", "action", false),
            ("Resource", "resource", true),
            ("NotResource", "resource", false),
        ] {
            if let Some(values) = json.get(element) {
                let atom = among(on, values, escapes && on == "resource");
                if !side && self.domains.is_void(&atom) {
                    return Ok(None);
                }
                literals.push((atom, side));
            }
        }
        for (operator, tests) in json["Condition"].as_object().into_iter().flatten() {
            for (key, values) in tests.as_object().ok_or("a condition is not an object")? {
                let values = texts(values);
                let variables = escapes && values.iter().any(|value| value.contains("${"));
                let on = key.to_ascii_lowercase();
                literals.push((Atom { on, test: canonical(operator), values, variables }, true));
            }
        }
        Ok(Some(Rule { place, deny, closeness, literals }))
    }

    fn closeness(&self, json: &Value) -> Option<u8> {
        let caller = &self.class.member;
        let entries = |value: &Value| -> Vec<(String, String)> {
            match value.as_object() {
                None => vec![("AWS".to_owned(), "*".to_owned())],
                Some(kinds) => kinds
                    .iter()
                    .flat_map(|(kind, values)| {
                        texts(values).into_iter().map(move |text| (kind.clone(), text))
                    })
                    .collect(),
            }
        };
        if let Some(named) = json.get("Principal") {
            return entries(named)
                .iter()
                .filter_map(|(kind, text)| names(kind, text, caller))
                .max();
        }
        let Some(spared) = json.get("NotPrincipal") else { return Some(2) };
        let spared = entries(spared);
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
        let bounded = self.claim.world.boundary.is_some();
        ((!exempt && !everybody) || bounded).then_some(2)
    }

    fn grants(&self, rules: &mut Vec<Rule>) {
        for (index, grant) in self.claim.world.grants.iter().enumerate() {
            let closeness = match grant.grantee() {
                Named::Account(text) | Named::Arn(text) => names("AWS", text, &self.class.member),
                Named::Service(text) => names("Service", text, &self.class.member),
                _ => None,
            };
            let Some(closeness) = closeness else { continue };
            if self.domains.service.is_some_and(|service| service != "kms") {
                continue;
            }
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
                let atom = |on: &str, test: &str, values: Vec<String>| {
                    (
                        Atom { on: on.to_owned(), test: test.to_owned(), values, variables: false },
                        true,
                    )
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
                let place =
                    Place { layer: "grant".to_owned(), level: 0, policy: 0, statement: index };
                rules.push(Rule { place, deny: false, closeness, literals });
            }
        }
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
