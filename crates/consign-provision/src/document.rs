//! Policy documents as values: built by small functions, printed in the order people read them
//! (`Sid`, `Effect`, `Principal`, `Action`, `Resource`, `Condition`), compared by meaning.
//!
//! Start with [`Document::to_json`] for what is sent, [`Document::to_pretty_json`] for what is
//! shown, and [`same_meaning`] for whether what is deployed still says the same. Nothing here
//! knows AWS operations or exchanges; [`crate::policies`] does.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// One policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    // INVARIANT: 2012-10-17. Under the older default, policy variables are literals.
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    statement: Vec<Statement>,
}

impl Document {
    pub(crate) fn new(statement: Vec<Statement>) -> Document {
        Document { version: "2012-10-17", id: None, statement }
    }

    pub(crate) fn with_id(mut self, id: impl Into<String>) -> Document {
        self.id = Some(id.into());
        self
    }

    /// The statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statement
    }

    /// The document without white space: what is sent, and what AWS's limits count.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a document holds only strings, lists and maps")
    }

    /// The document for people.
    pub fn to_pretty_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document holds only strings, lists and maps")
    }
}

/// Whether a statement gives or takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// Gives.
    Allow,
    /// Takes, whatever else gives.
    Deny,
}

/// One statement of a [`Document`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    sid: String,
    effect: Effect,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Principals>,
    #[serde(skip_serializing_if = "Strings::is_empty")]
    action: Strings,
    #[serde(skip_serializing_if = "Strings::is_empty")]
    not_action: Strings,
    // A trust policy names no resource: it is attached to it.
    #[serde(skip_serializing_if = "Strings::is_empty")]
    resource: Strings,
    #[serde(skip_serializing_if = "Strings::is_empty")]
    not_resource: Strings,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<String, BTreeMap<String, Strings>>,
}

impl Statement {
    pub(crate) fn allow<S: AsRef<str>>(sid: &str, actions: &[S]) -> Statement {
        Statement::new(sid, Effect::Allow, actions)
    }

    pub(crate) fn deny<S: AsRef<str>>(sid: &str, actions: &[S]) -> Statement {
        Statement::new(sid, Effect::Deny, actions)
    }

    /// Takes everything but these actions, those included that AWS will think of.
    pub(crate) fn deny_all_but<S: AsRef<str>>(sid: &str, actions: &[S]) -> Statement {
        let none: [&str; 0] = [];
        let not_action = Strings::of(actions);
        Statement { not_action, ..Statement::new(sid, Effect::Deny, &none) }
    }

    fn new<S: AsRef<str>>(sid: &str, effect: Effect, actions: &[S]) -> Statement {
        Statement {
            sid: sid.to_owned(),
            effect,
            principal: None,
            action: Strings::of(actions),
            not_action: Strings(Vec::new()),
            resource: Strings(Vec::new()),
            not_resource: Strings(Vec::new()),
            condition: BTreeMap::new(),
        }
    }

    pub(crate) fn everybody(mut self) -> Statement {
        self.principal = Some(Principals::Everybody);
        self
    }

    pub(crate) fn principals<S: AsRef<str>>(mut self, arns: &[S]) -> Statement {
        self.principal = Some(Principals::Aws(Strings::of(arns)));
        self
    }

    pub(crate) fn service(mut self, name: &str) -> Statement {
        self.principal = Some(Principals::Service(name.to_owned()));
        self
    }

    pub(crate) fn on<S: AsRef<str>>(mut self, resources: &[S]) -> Statement {
        self.resource = Strings::of(resources);
        self
    }

    pub(crate) fn and_on(mut self, resources: &[String]) -> Statement {
        self.resource.0.extend_from_slice(resources);
        self
    }

    /// On everything but these, within what the document is attached to.
    pub(crate) fn on_all_but<S: AsRef<str>>(mut self, resources: &[S]) -> Statement {
        self.not_resource = Strings::of(resources);
        self
    }

    pub(crate) fn when<S: AsRef<str>>(mut self, operator: &str, key: &str, values: &[S]) -> Self {
        self.condition
            .entry(operator.to_owned())
            .or_default()
            .insert(key.to_owned(), Strings::of(values));
        self
    }

    /// "Only if the request carries `key` at all": a negated operator alone also fires on a
    /// request without the key, and `…IfExists` makes a deny fire then too.
    pub(crate) fn present(self, key: &str) -> Statement {
        self.when("Null", key, &["false"])
    }

    pub(crate) fn absent(self, key: &str) -> Statement {
        self.when("Null", key, &["true"])
    }

    /// The statement's name, unique within its document.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Whether it gives or takes.
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Principals {
    Everybody,
    Aws(Strings),
    Service(String),
}

impl Serialize for Principals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Principals::Everybody => serializer.serialize_str("*"),
            Principals::Aws(arns) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("AWS", arns)?;
                map.end()
            }
            Principals::Service(name) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("Service", name)?;
                map.end()
            }
        }
    }
}

/// A list that prints as a bare string when it has one member, as AWS prints it back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Strings(Vec<String>);

impl Strings {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of<S: AsRef<str>>(values: &[S]) -> Strings {
        Strings(values.iter().map(|value| value.as_ref().to_owned()).collect())
    }
}

impl Serialize for Strings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => serializer.serialize_str(only),
            many => many.serialize(serializer),
        }
    }
}

/// Whether two documents, given as JSON, say the same. Services hand documents back with lists
/// of one as strings, reordered lists, `"*"` for `{"AWS": "*"}`, an account's root ARN for its
/// number and booleans as strings; none of that is a difference. Anything that does not parse
/// differs from everything.
pub fn same_meaning(one: &str, other: &str) -> bool {
    match (serde_json::from_str::<Value>(one), serde_json::from_str::<Value>(other)) {
        (Ok(one), Ok(other)) => canonical(&one) == canonical(&other),
        _ => false,
    }
}

fn canonical(document: &Value) -> Value {
    let Value::Object(fields) = document else { return document.clone() };
    let mut fields = fields.clone();
    fields.remove("Id");
    let statements = match fields.remove("Statement") {
        Some(Value::Array(statements)) => statements,
        Some(single) => vec![single],
        None => Vec::new(),
    };
    let mut statements: Vec<Value> = statements.iter().map(canonical_statement).collect();
    statements.sort_by_key(Value::to_string);
    fields.insert("Statement".to_owned(), Value::Array(statements));
    Value::Object(fields)
}

fn canonical_statement(statement: &Value) -> Value {
    let Value::Object(fields) = statement else { return statement.clone() };
    let fields = fields.iter().map(|(name, value)| {
        let value = match name.as_str() {
            "Action" | "NotAction" => list(value, |text| text.to_ascii_lowercase()),
            "Resource" | "NotResource" => list(value, str::to_owned),
            "Principal" | "NotPrincipal" => canonical_principal(value),
            "Condition" => canonical_condition(value),
            _ => value.clone(),
        };
        (name.clone(), value)
    });
    Value::Object(fields.collect())
}

fn canonical_principal(principal: &Value) -> Value {
    match principal {
        Value::Object(kinds) if kinds.len() == 1 && kinds.get("AWS") == Some(&Value::from("*")) => {
            Value::from("*")
        }
        Value::Object(kinds) => Value::Object(
            kinds.iter().map(|(kind, names)| (kind.clone(), list(names, canonical_arn))).collect(),
        ),
        other => other.clone(),
    }
}

fn canonical_arn(name: &str) -> String {
    let is_account = name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_account { format!("arn:aws:iam::{name}:root") } else { name.to_owned() }
}

fn canonical_condition(condition: &Value) -> Value {
    let Value::Object(operators) = condition else { return condition.clone() };
    let operators = operators.iter().map(|(operator, keys)| {
        let keys = match keys {
            Value::Object(keys) => Value::Object(
                keys.iter()
                    .map(|(key, values)| (key.to_ascii_lowercase(), list(values, str::to_owned)))
                    .collect(),
            ),
            other => other.clone(),
        };
        (operator.clone(), keys)
    });
    Value::Object(operators.collect())
}

/// A sorted list of strings, from a list or a single value of any scalar kind.
fn list(value: &Value, each: impl Fn(&str) -> String) -> Value {
    let one = |value: &Value| match value {
        Value::String(text) => each(text),
        other => other.to_string(),
    };
    let mut values: Vec<String> = match value {
        Value::Array(values) => values.iter().map(one).collect(),
        single => vec![one(single)],
    };
    values.sort();
    values.dedup();
    Value::from(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(one: &str, other: &str, same: bool) {
        assert_eq!(same_meaning(one, other), same, "{one}\n{other}");
    }

    #[test]
    fn documents_compare_by_meaning() {
        let ours = r#"{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Deny",
            "Principal":"*","Action":["s3:PutObject","s3:GetObject"],"Resource":"x",
            "Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}"#;
        check(ours, ours, true);
        check(ours, &ours.replace(r#""Principal":"*""#, r#""Principal":{"AWS":"*"}"#), true);
        check(ours, &ours.replace(r#""x""#, r#"["x"]"#), true);
        check(ours, &ours.replace(r#""false""#, "false"), true);
        check(ours, &ours.replace("s3:PutObject", "S3:putobject"), true);
        check(ours, &ours.replace("SecureTransport", "securetransport"), true);
        check(
            ours,
            &ours.replace(r#"["s3:PutObject","s3:GetObject"]"#, r#""s3:PutObject""#),
            false,
        );
        check(ours, &ours.replace("Deny", "Allow"), false);
        check(ours, &ours.replace(r#""x""#, r#""X""#), false);
        check(ours, "not json", false);
        check("not json", "not json", false);
        let account = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"111111111111"}}}"#;
        check(account, &account.replace("111111111111", "arn:aws:iam::111111111111:root"), true);
        check(account, &account.replace("111111111111", "AROAEXAMPLE"), false);
    }

    #[test]
    fn a_statement_prints_in_reading_order() {
        let statement = Statement::deny("OnlyTls", &["s3:*"]).everybody().on(&["a", "b"]).when(
            "Bool",
            "aws:SecureTransport",
            &["false"],
        );
        assert_eq!(
            Document::new(vec![statement]).to_json(),
            concat!(
                r#"{"Version":"2012-10-17","Statement":[{"Sid":"OnlyTls","Effect":"Deny","#,
                r#""Principal":"*","Action":"s3:*","Resource":["a","b"],"#,
                r#""Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}"#
            )
        );
    }
}
