//! From text to [`Document`], or to a refusal that names the place. Nothing is skipped: a
//! misspelled `Condtion` that is silently ignored is an unconditional Allow.

use std::collections::HashSet;

use crate::condition::{Condition, Operands, Operator};
use crate::error::Refusal;
use crate::glob::Glob;
use crate::json::{self, Kind, Member, Value};
use crate::key::Key;
use crate::nearest::nearest;
use crate::pattern::{self, Pattern};
use crate::policy::{
    Actions, Document, Named, PolicyKind, Principals, Resources, Statement, StatementEffect,
    Version,
};
use crate::principal::{is_account_id, is_service_name};

/// The largest policy of AWS is a tenth of this; beyond it is not worth reading.
const TEXT_BYTES_MAX: usize = 512 * 1024;

pub(crate) fn policy(text: &str, kind: Option<PolicyKind>) -> Result<Document, Refusal> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::new(
            "",
            format!("{} bytes is more than any policy may have", text.len()),
        ));
    }
    let root = json::read(text)?;
    let document = Parser { text, kind, variables: false }.document(&root)?;
    Ok(Document { source: Some(text.into()), ..document })
}

/// A document inside a larger text that was read already.
pub(crate) fn document_within(
    text: &str,
    root: &Value,
    kind: PolicyKind,
) -> Result<Document, Refusal> {
    Parser { text, kind: Some(kind), variables: false }.document(root)
}

struct Parser<'a> {
    text: &'a str,
    kind: Option<PolicyKind>,
    variables: bool,
}

const DOCUMENT_ELEMENTS: [&str; 3] = ["Version", "Id", "Statement"];
const STATEMENT_ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

impl Parser<'_> {
    fn document(&mut self, root: &Value) -> Result<Document, Refusal> {
        let members = self.object(root, "")?;
        self.only_known(members, &DOCUMENT_ELEMENTS, "")?;
        let version = match find(members, "Version") {
            None => Version::V2008,
            Some(value) => match self.string(value, "Version")? {
                "2012-10-17" => Version::V2012,
                "2008-10-17" => Version::V2008,
                other => {
                    let reason = format!(
                        "unknown version `{other}`; it is 2012-10-17 (or 2008-10-17, without variables)"
                    );
                    return Err(self.refuse(value, "Version", reason));
                }
            },
        };
        self.variables = version == Version::V2012;
        let id = find(members, "Id")
            .map(|value| self.string(value, "Id").map(str::to_owned))
            .transpose()?;
        let statements = find(members, "Statement")
            .ok_or_else(|| self.refuse(root, "", "it has no `Statement`"))
            .and_then(|value| self.statements(value))?;
        let public = crate::public::grants_publicly(&statements);
        Ok(Document { id, version, statements, public, source: None })
    }

    fn statements(&self, value: &Value) -> Result<Vec<Statement>, Refusal> {
        let items: Vec<(String, &Value)> = match &value.kind {
            Kind::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| (format!("Statement[{i}]"), item))
                .collect(),
            _ => vec![("Statement".to_owned(), value)],
        };
        if items.is_empty() {
            return Err(self.refuse(value, "Statement", "a policy has at least one statement"));
        }
        let mut sids = HashSet::new();
        let mut statements = Vec::with_capacity(items.len());
        for (path, item) in items {
            let statement = self.statement(item, &path)?;
            let identity = matches!(statement.principals, Principals::Attached);
            let unique = self.kind.map_or(identity, |kind| kind != PolicyKind::Key);
            let sid = statement.sid.clone().filter(|sid| !sid.is_empty());
            if let Some(sid) = sid.filter(|sid| !sids.insert(sid.clone()) && unique) {
                return Err(self.refuse(
                    item,
                    &format!("{path}.Sid"),
                    format!("two statements are called `{sid}`"),
                ));
            }
            statements.push(statement);
        }
        Ok(statements)
    }

    fn statement(&self, value: &Value, path: &str) -> Result<Statement, Refusal> {
        let members = self.object(value, path)?;
        self.only_known(members, &STATEMENT_ELEMENTS, path)?;
        let effect = find(members, "Effect")
            .ok_or_else(|| self.refuse(value, path, "it has no `Effect`"))?;
        let effect = match self.string(effect, &format!("{path}.Effect"))? {
            "Allow" => StatementEffect::Allow,
            "Deny" => StatementEffect::Deny,
            other => {
                let reason = format!("an effect is `Allow` or `Deny`, not `{other}`");
                return Err(self.refuse(effect, &format!("{path}.Effect"), reason));
            }
        };
        let principals = self.principals(value, members, effect, path)?;
        let sid = self.sid(members, &principals, path)?;
        let resources = self.resources(value, members, &principals, path)?;
        let statement = Statement {
            sid,
            effect,
            actions: self.actions(value, members, path)?,
            resources,
            principals,
            conditions: self.conditions(members, path)?,
        };
        self.fits_kind(&statement, value, path)?;
        Ok(statement)
    }

    /// RCPs take permissions away from everybody; AWS accepts nothing else in them, except its own
    /// full-access document.
    fn fits_kind(&self, statement: &Statement, value: &Value, path: &str) -> Result<(), Refusal> {
        if self.kind != Some(PolicyKind::ResourceControl) {
            return Ok(());
        }
        if !matches!(&statement.principals, Principals::Named(named) if *named == [Named::Everyone])
        {
            return Err(self.refuse(
                value,
                path,
                "a resource control policy has the principal `*`",
            ));
        }
        if statement.actions.negated {
            return Err(self.refuse(value, path, "a resource control policy has no `NotAction`"));
        }
        let everything = statement.actions.sources == ["*"] && statement.conditions.is_empty();
        if statement.effect == StatementEffect::Allow && !everything {
            return Err(self.refuse(value, path, "a resource control policy only denies"));
        }
        Ok(())
    }

    fn sid(
        &self,
        members: &[Member],
        principals: &Principals,
        path: &str,
    ) -> Result<Option<std::sync::Arc<str>>, Refusal> {
        let Some(value) = find(members, "Sid") else { return Ok(None) };
        let path = format!("{path}.Sid");
        let sid = self.string(value, &path)?;
        let identity = matches!(principals, Principals::Attached);
        if identity && !sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let reason = format!("`{sid}`: in an identity policy a Sid is letters and digits");
            return Err(self.refuse(value, &path, reason));
        }
        Ok(Some(sid.into()))
    }

    fn principals(
        &self,
        whole: &Value,
        members: &[Member],
        effect: StatementEffect,
        path: &str,
    ) -> Result<Principals, Refusal> {
        let (named, negated) = match (find(members, "Principal"), find(members, "NotPrincipal")) {
            (Some(_), Some(_)) => {
                return Err(self.refuse(
                    whole,
                    path,
                    "`Principal` and `NotPrincipal` exclude each other",
                ));
            }
            (Some(value), None) => (Some(value), false),
            (None, Some(value)) => (Some(value), true),
            (None, None) => (None, false),
        };
        let attached = matches!(self.kind, Some(PolicyKind::Identity | PolicyKind::ServiceControl));
        let Some(value) = named else {
            return match self.kind {
                None => Ok(Principals::Attached),
                Some(_) if attached => Ok(Principals::Attached),
                Some(_) => Err(self.refuse(whole, path, "it has no `Principal`")),
            };
        };
        let element = if negated { "NotPrincipal" } else { "Principal" };
        let path = format!("{path}.{element}");
        if attached {
            return Err(self.refuse(
                value,
                &path,
                "a policy of this kind applies to whom it is attached and names no principals",
            ));
        }
        let named = self.named(value, &path)?;
        if !negated {
            return Ok(Principals::Named(named));
        }
        if effect == StatementEffect::Allow {
            let reason = "`NotPrincipal` with `Allow` would admit everybody not listed, anonymous callers too";
            return Err(self.refuse(value, &path, reason));
        }
        Ok(Principals::AllBut(named))
    }

    fn named(&self, value: &Value, path: &str) -> Result<Vec<Named>, Refusal> {
        let members = match &value.kind {
            Kind::String(text) if text == "*" => return Ok(vec![Named::Everyone]),
            Kind::String(text) => {
                let reason =
                    format!("a plain `{text}` names nobody; write `\"*\"` or `{{\"AWS\": \"…\"}}`");
                return Err(self.refuse(value, path, reason));
            }
            _ => self.object(value, path)?,
        };
        let mut named = Vec::new();
        for member in members {
            let path = format!("{path}.{}", member.name);
            let read = match member.name.as_str() {
                "AWS" => aws_principal,
                "Service" => service_principal,
                "Federated" => federated_principal,
                "CanonicalUser" => canonical_user,
                other => {
                    let known = nearest(
                        other,
                        ["AWS", "Service", "Federated", "CanonicalUser"].into_iter(),
                    );
                    return Err(self.unknown(member, known, &path));
                }
            };
            for (value, text) in self.strings(&member.value, &path)? {
                named.push(read(text).ok_or_else(|| {
                    self.refuse(value, &path, format!("`{text}` names no principal"))
                })?);
            }
        }
        if named.is_empty() {
            return Err(self.refuse(value, path, "it names nobody"));
        }
        Ok(named)
    }

    fn actions(&self, whole: &Value, members: &[Member], path: &str) -> Result<Actions, Refusal> {
        let (value, negated) = match (find(members, "Action"), find(members, "NotAction")) {
            (Some(_), Some(_)) => {
                return Err(self.refuse(
                    whole,
                    path,
                    "`Action` and `NotAction` exclude each other",
                ));
            }
            (Some(value), None) => (value, false),
            (None, Some(value)) => (value, true),
            (None, None) => return Err(self.refuse(whole, path, "it has no `Action`")),
        };
        let path = format!("{path}.{}", if negated { "NotAction" } else { "Action" });
        let items = self.strings(value, &path)?;
        if items.is_empty() {
            return Err(self.refuse(value, &path, "it lists no action"));
        }
        for (item, text) in &items {
            if !is_action_pattern(text) {
                let reason = format!("`{text}` is not of the form `service:Action`");
                return Err(self.refuse(item, &path, reason));
            }
        }
        Ok(Actions {
            negated,
            patterns: items.iter().map(|(_, text)| Glob::new(&text.to_ascii_lowercase())).collect(),
            sources: items.iter().map(|(_, text)| (*text).to_owned()).collect(),
        })
    }

    fn resources(
        &self,
        whole: &Value,
        members: &[Member],
        principals: &Principals,
        path: &str,
    ) -> Result<Resources, Refusal> {
        let (value, negated) = match (find(members, "Resource"), find(members, "NotResource")) {
            (Some(_), Some(_)) => {
                return Err(self.refuse(
                    whole,
                    path,
                    "`Resource` and `NotResource` exclude each other",
                ));
            }
            (Some(value), None) => (value, false),
            (None, Some(value)) => (value, true),
            (None, None) => {
                let trust = self.kind == Some(PolicyKind::Trust);
                let perhaps_trust =
                    self.kind.is_none() && !matches!(principals, Principals::Attached);
                return match trust || perhaps_trust {
                    true => Ok(Resources::Any),
                    false => Err(self.refuse(whole, path, "it has no `Resource`")),
                };
            }
        };
        let path = format!("{path}.{}", if negated { "NotResource" } else { "Resource" });
        if self.kind == Some(PolicyKind::Trust) {
            return Err(self.refuse(
                value,
                &path,
                "a trust policy is about its own role and names no resource",
            ));
        }
        let items = self.strings(value, &path)?;
        if items.is_empty() {
            return Err(self.refuse(value, &path, "it lists no resource"));
        }
        let mut patterns = Vec::with_capacity(items.len());
        for (item, text) in items {
            if !is_resource_pattern(text) {
                return Err(self.refuse(
                    item,
                    &path,
                    format!("`{text}` is neither an ARN nor `*`"),
                ));
            }
            let pattern = Pattern::parse(text, pattern::Kind::Glob, self.variables);
            patterns.push(pattern.map_err(|reason| self.refuse(item, &path, reason))?);
        }
        Ok(if negated { Resources::AllBut(patterns) } else { Resources::Named(patterns) })
    }

    fn conditions(&self, members: &[Member], path: &str) -> Result<Vec<Condition>, Refusal> {
        let Some(value) = find(members, "Condition") else { return Ok(Vec::new()) };
        let mut conditions = Vec::new();
        let path = format!("{path}.Condition");
        for block in self.object(value, &path)? {
            let path = format!("{path}.{}", block.name);
            let operator = Operator::parse(&block.name)
                .map_err(|reason| Refusal::new(&path, reason).at(self.text, block.offset))?;
            for test in self.object(&block.value, &path)? {
                let path = format!("{path}.{}", test.name);
                if !is_condition_key(&test.name) {
                    let reason = format!("`{}` is not of the form `service:key`", test.name);
                    return Err(Refusal::new(&path, reason).at(self.text, test.offset));
                }
                let values = self.scalars(&test.value, &path)?;
                let operands = Operands::parse(operator.test, &values, self.variables)
                    .map_err(|reason| self.refuse(&test.value, &path, reason))?;
                conditions.push(Condition { operator, key: Key::new(&test.name), operands });
            }
        }
        Ok(conditions)
    }

    /// A string or an array of strings.
    fn strings<'v>(
        &self,
        value: &'v Value,
        path: &str,
    ) -> Result<Vec<(&'v Value, &'v str)>, Refusal> {
        match &value.kind {
            Kind::Array(items) => {
                items.iter().map(|item| Ok((item, self.string(item, path)?))).collect()
            }
            _ => Ok(vec![(value, self.string(value, path)?)]),
        }
    }

    /// A condition's values: strings, and numbers and booleans as the text they were written with.
    fn scalars(&self, value: &Value, path: &str) -> Result<Vec<String>, Refusal> {
        let scalar = |item: &Value| match &item.kind {
            Kind::String(text) | Kind::Number(text) => Ok(text.clone()),
            Kind::Bool(value) => Ok(value.to_string()),
            _ => {
                let reason =
                    format!("expected a string, a number or a boolean, found {}", item.type_name());
                Err(self.refuse(item, path, reason))
            }
        };
        match &value.kind {
            Kind::Array(items) => items.iter().map(scalar).collect(),
            _ => Ok(vec![scalar(value)?]),
        }
    }

    fn string<'v>(&self, value: &'v Value, path: &str) -> Result<&'v str, Refusal> {
        match &value.kind {
            Kind::String(text) => Ok(text),
            _ => Err(self.refuse(
                value,
                path,
                format!("expected a string, found {}", value.type_name()),
            )),
        }
    }

    fn object<'v>(&self, value: &'v Value, path: &str) -> Result<&'v [Member], Refusal> {
        match &value.kind {
            Kind::Object(members) => Ok(members),
            _ => Err(self.refuse(
                value,
                path,
                format!("expected an object, found {}", value.type_name()),
            )),
        }
    }

    fn only_known(
        &self,
        members: &[Member],
        known: &[&'static str],
        path: &str,
    ) -> Result<(), Refusal> {
        match members.iter().find(|member| !known.contains(&member.name.as_str())) {
            None => Ok(()),
            Some(member) => {
                Err(self.unknown(member, nearest(&member.name, known.iter().copied()), path))
            }
        }
    }

    fn unknown(&self, member: &Member, near: Option<&str>, path: &str) -> Refusal {
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Refusal::new(path, format!("unknown element `{}`{hint}", member.name))
            .at(self.text, member.offset)
    }

    fn refuse(&self, value: &Value, path: &str, reason: impl Into<String>) -> Refusal {
        Refusal::new(path, reason).at(self.text, value.offset)
    }
}

fn find<'v>(members: &'v [Member], name: &str) -> Option<&'v Value> {
    members.iter().find(|member| member.name == name).map(|member| &member.value)
}

/// `*`, or a service without wildcards, a colon, and a name with or without them; `*:*` is the one
/// exception that AWS makes.
fn is_action_pattern(text: &str) -> bool {
    let Some((service, name)) = text.split_once(':') else { return text == "*" };
    let service_ok =
        !service.is_empty() && service.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let name_ok = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?' | b'-' | b'_' | b'.'));
    name_ok && (service_ok || text == "*:*")
}

/// `*`, or an ARN of six fields, the partition and the service filled; a wildcard may stand for
/// several of them.
fn is_resource_pattern(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", ref named @ ..] = fields.as_slice() else { return false };
    let is_partition = |name: &&str| name.starts_with("aws") || name.contains(['*', '?', '$']);
    named.first().is_none_or(is_partition)
        && named.get(1).is_none_or(|service| !service.is_empty())
        && (named.len() == 5 || text.contains('*'))
        && !text.chars().any(char::is_control)
}

fn is_condition_key(name: &str) -> bool {
    let named =
        name.split_once(':').is_some_and(|(prefix, key)| !prefix.is_empty() && !key.is_empty());
    named && !name.chars().any(|c| c.is_control()) && name.trim() == name
}

fn aws_principal(text: &str) -> Option<Named> {
    if text == "*" {
        return Some(Named::Everyone);
    }
    if is_account_id(text) {
        return Some(Named::Account(text.to_owned()));
    }
    let is_unique_id = text.len() >= 16
        && text.starts_with('A')
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if is_unique_id {
        return Some(Named::Nobody(text.to_owned()));
    }
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", _, service, "", account, name] = fields.as_slice() else { return None };
    if text.contains(['*', '?']) {
        return Some(Named::Nobody(text.to_owned()));
    }
    // Origin access identities of CloudFront are users of no account.
    if service == "iam" && account == "cloudfront" {
        return name.starts_with("user/").then(|| Named::Arn(text.to_owned()));
    }
    let well_named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b));
    if !is_account_id(account) || !well_named {
        return None;
    }
    match (service, name.split_once('/')) {
        ("iam", None) => (name == "root").then(|| Named::Account(account.to_owned())),
        ("iam", Some(("user" | "role", name))) | ("sts", Some(("federated-user", name)))
            if !name.is_empty() && !name.ends_with('/') =>
        {
            Some(Named::Arn(text.to_owned()))
        }
        ("sts", Some(("assumed-role", name))) => {
            name.contains('/').then(|| Named::Arn(text.to_owned()))
        }
        _ => None,
    }
}

fn service_principal(text: &str) -> Option<Named> {
    match text {
        "*" => Some(Named::AnyService),
        _ => is_service_name(text).then(|| Named::Service(text.to_owned())),
    }
}

fn federated_principal(text: &str) -> Option<Named> {
    let provider = text.starts_with("arn:") || is_service_name(text);
    (provider && !text.contains(['*', '?'])).then(|| Named::Federated(text.to_owned()))
}

fn canonical_user(text: &str) -> Option<Named> {
    (!text.is_empty()).then(|| Named::Nobody(text.to_owned()))
}
