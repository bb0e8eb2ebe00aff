//! Unit tests for policies: a case is one JSON object that holds a request, every policy that has a
//! say in it, and perhaps the answer that is expected.
//!
//! ```json
//! {"principal": "arn:aws:iam::111111111111:user/ann", "action": "s3:GetObject",
//!  "resource": "arn:aws:s3:::letters/1", "resource_account": "111111111111",
//!  "context": {"aws:SecureTransport": "true", "aws:TagKeys": ["a", "b"]},
//!  "resource_policies": [{"Statement": …}], "expect": "allow"}
//! ```
//!
//! `principal` is an ARN, an account id (its root user), the name of a service, or `*`. Optional are
//! `principal_tags`, `resource_account` (else the account in the ARN, else the caller's), `context`,
//! `identity_policies`, `resource_policies`, `permission_boundary`, `session_policies`, `scps` and
//! `rcps` (levels of documents), `endpoint_policies`, `kms_grants` (as `ListGrants` gives them),
//! `restrict_public_buckets`, `name` and `expect`. With `policy` instead, that one document is
//! evaluated alone. Documents are objects, or strings that hold JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::context::Context;
use crate::decision::{Decision, Layer, StatementRef};
use crate::error::Refusal;
use crate::evaluate::{Policies, evaluate, evaluate_alone};
use crate::explain::{Explanation, explain};
use crate::grant::{Constraint, Grant};
use crate::json::{self, Kind, Member, Value};
use crate::nearest::nearest;
use crate::policy::{Policy, PolicyKind};
use crate::principal::{Principal, account_of};
use crate::request::Request;

/// The answer to a case.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The case's `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `allow`, `explicit-deny`, `implicit-deny`, or `refused` where a policy or the request is not
    /// acceptable.
    pub decision: String,
    /// The layer that stood in the way.
    pub blocked_by: Option<Layer>,
    /// The statements that decided.
    pub statements: Vec<StatementRef>,
    /// The answer as a sentence; for a refusal its place and reason.
    pub because: String,
    /// Whether the decision is the one expected; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
}

/// Reads a case and decides it. A case that cannot be read is `refused`.
pub fn run(text: &str) -> Outcome {
    let name = peek(text, "name");
    let expected = peek(text, "expect");
    let (decision, answer, because) = match Case::parse(text) {
        Ok(case) => {
            let answer = case.decide();
            (answer.effect.to_string(), Some(answer.clone()), answer.explain())
        }
        Err(refusal) => ("refused".to_owned(), None, refusal.to_string()),
    };
    let held = expected.map(|expected| match expected.as_str() {
        "deny" => decision.ends_with("-deny"),
        expected => decision == expected,
    });
    let blocked_by = answer.as_ref().and_then(Decision::blocked_by);
    let statements = answer.map(|answer| answer.decided_by).unwrap_or_default();
    Outcome { name, decision, blocked_by, statements, because, held }
}

/// A text field, told even of a case that is refused for how it is written.
fn peek(text: &str, field: &str) -> Option<String> {
    let lenient: serde_json::Value = serde_json::from_str(text).ok()?;
    lenient.get(field)?.as_str().map(str::to_owned)
}

/// A case, read: a request and the policies around it.
#[derive(Clone, Debug)]
pub struct Case {
    request: Request,
    alone: Option<Policy>,
    identity: Vec<Policy>,
    resource: Vec<Policy>,
    boundary: Option<Policy>,
    session: Vec<Policy>,
    scps: Vec<Vec<Policy>>,
    rcps: Vec<Vec<Policy>>,
    endpoint: Vec<Policy>,
    grants: Vec<Grant>,
    restrict_public_buckets: bool,
}

const FIELDS: [&str; 18] = [
    "name",
    "expect",
    "principal",
    "principal_tags",
    "action",
    "resource",
    "resource_account",
    "context",
    "policy",
    "identity_policies",
    "resource_policies",
    "permission_boundary",
    "session_policies",
    "scps",
    "rcps",
    "endpoint_policies",
    "kms_grants",
    "restrict_public_buckets",
];

/// The fields of a grant that are read, and those of `ListGrants` that are not. A misspelled
/// constraint would be none.
const GRANT_FIELDS: [&str; 15] = [
    "GranteePrincipal",
    "grantee_principal",
    "grantee",
    "Operations",
    "operations",
    "Constraints",
    "constraints",
    "KeyId",
    "GrantId",
    "Name",
    "CreationDate",
    "RetiringPrincipal",
    "IssuingAccount",
    "GranteeServicePrincipal",
    "RetiringServicePrincipal",
];

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// A case that is not well-formed, and one whose request or policies are refused. Of unknown
    /// fields those are refused that look like a known one misspelled.
    pub fn parse(text: &str) -> Result<Case, Refusal> {
        let root = json::read(text)?;
        let reader = Reader { text, members: reader_members(text, &root)? };
        reader.check_names()?;
        let request = reader.request()?;
        let resource_kind = match request.service() {
            "kms" => PolicyKind::Key,
            "sts" => PolicyKind::Trust,
            _ => PolicyKind::Resource,
        };
        let boundary = reader.find("permission_boundary");
        Ok(Case {
            alone: reader.find("policy").map(|value| reader.lone_policy(value)).transpose()?,
            identity: reader.policies("identity_policies", PolicyKind::Identity)?,
            resource: reader.policies("resource_policies", resource_kind)?,
            boundary: boundary
                .map(|value| reader.policy(value, "permission_boundary", PolicyKind::Identity))
                .transpose()?,
            session: reader.policies("session_policies", PolicyKind::Identity)?,
            scps: reader.levels("scps", PolicyKind::ServiceControl)?,
            rcps: reader.levels("rcps", PolicyKind::ResourceControl)?,
            endpoint: reader.policies("endpoint_policies", PolicyKind::Endpoint)?,
            grants: reader
                .list("kms_grants")?
                .iter()
                .map(|value| reader.grant(value))
                .collect::<Result<_, _>>()?,
            restrict_public_buckets: reader.flag("restrict_public_buckets")?,
            request,
        })
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The policies around it.
    pub fn policies(&self) -> Policies<'_> {
        Policies {
            identity: &self.identity,
            resource: &self.resource,
            boundary: self.boundary.as_ref(),
            session: &self.session,
            scps: &self.scps,
            rcps: &self.rcps,
            endpoint: &self.endpoint,
            grants: &self.grants,
            restrict_public_buckets: self.restrict_public_buckets,
        }
    }

    /// Decides it.
    pub fn decide(&self) -> Decision {
        match &self.alone {
            Some(policy) => evaluate_alone(&self.request, policy),
            None => evaluate(&self.request, &self.policies()),
        }
    }

    /// Decides it and tells how.
    pub fn explain(&self) -> Explanation {
        explain(&self.request, &self.policies())
    }
}

fn reader_members<'v>(text: &str, root: &'v Value) -> Result<&'v [Member], Refusal> {
    match &root.kind {
        Kind::Object(members) => Ok(members),
        _ => Err(Refusal::new("", format!("a case is an object, not {}", root.type_name()))
            .at(text, root.offset)),
    }
}

struct Reader<'a> {
    text: &'a str,
    members: &'a [Member],
}

impl<'a> Reader<'a> {
    fn check_names(&self) -> Result<(), Refusal> {
        for member in self.members.iter().filter(|member| !FIELDS.contains(&member.name.as_str())) {
            if let Some(near) = nearest(&member.name, FIELDS.into_iter()) {
                let reason = format!("unknown field `{}`; did you mean `{near}`?", member.name);
                return Err(Refusal::new("", reason).at(self.text, member.offset));
            }
        }
        Ok(())
    }

    fn request(&self) -> Result<Request, Refusal> {
        let action = self.text_field("action")?;
        let resource = self.text_field("resource")?;
        let principal = caller(self.text_field("principal")?, action)?;
        let account = match self.find("resource_account") {
            Some(value) => self.string(value, "resource_account")?,
            None => account_of(resource).or(principal.account()).unwrap_or("000000000000"),
        };
        let mut context = Context::new();
        for tag in self.object("principal_tags")? {
            context.insert_many(
                &format!("aws:PrincipalTag/{}", tag.name),
                self.scalars(&tag.value, "principal_tags")?,
            );
        }
        for key in self.object("context")? {
            context.insert_many(&key.name, self.scalars(&key.value, "context")?);
        }
        Request::new(principal.clone(), action, resource, account, context)
    }

    fn lone_policy(&self, value: &Value) -> Result<Policy, Refusal> {
        let names_principals = |statement: &Value| match &statement.kind {
            Kind::Object(members) => {
                members.iter().any(|m| m.name == "Principal" || m.name == "NotPrincipal")
            }
            _ => false,
        };
        let statements = match &value.kind {
            Kind::Object(members) => members.iter().find(|m| m.name == "Statement"),
            _ => None,
        };
        let about_principals = statements.is_some_and(|member| match &member.value.kind {
            Kind::Array(statements) => statements.iter().any(names_principals),
            _ => names_principals(&member.value),
        });
        let kind = if about_principals { PolicyKind::Resource } else { PolicyKind::Identity };
        self.policy(value, "policy", kind)
    }

    fn levels(&self, field: &str, kind: PolicyKind) -> Result<Vec<Vec<Policy>>, Refusal> {
        let level = |(index, value): (usize, &Value)| {
            let path = format!("{field}[{index}]");
            self.items(value, &path)?
                .iter()
                .map(|document| self.policy(document, &path, kind))
                .collect()
        };
        self.list(field)?.iter().enumerate().map(level).collect()
    }

    fn policies(&self, field: &str, kind: PolicyKind) -> Result<Vec<Policy>, Refusal> {
        let documents = self.list(field)?.iter().enumerate();
        documents
            .map(|(index, document)| self.policy(document, &format!("{field}[{index}]"), kind))
            .collect()
    }

    fn policy(&self, value: &Value, path: &str, kind: PolicyKind) -> Result<Policy, Refusal> {
        match &value.kind {
            Kind::String(text) => Policy::parse_as(kind, text),
            _ => Policy::within(self.text, value, kind),
        }
        .map_err(|refusal| refusal.inside(path))
    }

    fn grant(&self, value: &Value) -> Result<Grant, Refusal> {
        let path = "kms_grants";
        let members = match &value.kind {
            Kind::Object(members) => members,
            _ => return Err(self.refuse(value, path, "a grant is an object")),
        };
        for member in members {
            let known = GRANT_FIELDS.contains(&member.name.as_str());
            if let Some(near) = nearest(&member.name, GRANT_FIELDS.into_iter()).filter(|_| !known) {
                let reason = format!("unknown field `{}`; did you mean `{near}`?", member.name);
                return Err(Refusal::new(path, reason).at(self.text, member.offset));
            }
        }
        let find = |names: &[&str]| {
            members.iter().find(|m| names.contains(&m.name.as_str())).map(|member| &member.value)
        };
        let grantee = find(&["GranteePrincipal", "grantee_principal", "grantee"])
            .ok_or_else(|| self.refuse(value, path, "it has no `GranteePrincipal`"))?;
        let operations = find(&["Operations", "operations"])
            .ok_or_else(|| self.refuse(value, path, "it has no `Operations`"))?;
        let constraint = match find(&["Constraints", "constraints"]) {
            None => Constraint::None,
            Some(value) => self.constraint(value)?,
        };
        Grant::new(self.string(grantee, path)?, self.scalars(operations, path)?, constraint)
    }

    fn constraint(&self, value: &Value) -> Result<Constraint, Refusal> {
        let path = "kms_grants.Constraints";
        let members = match &value.kind {
            Kind::Object(members) => members.as_slice(),
            _ => return Err(self.refuse(value, path, "constraints are an object")),
        };
        let [member] = members else {
            return match members.is_empty() {
                true => Ok(Constraint::None),
                false => Err(self.refuse(value, path, "a grant has one constraint")),
            };
        };
        let Kind::Object(pairs) = &member.value.kind else {
            return Err(self.refuse(&member.value, path, "an encryption context is an object"));
        };
        let mut context = BTreeMap::new();
        for pair in pairs {
            context.insert(pair.name.clone(), self.string(&pair.value, path)?.to_owned());
        }
        match member.name.as_str() {
            "EncryptionContextEquals" | "encryption_context_equals" => {
                Ok(Constraint::EncryptionContextEquals(context))
            }
            "EncryptionContextSubset" | "encryption_context_subset" => {
                Ok(Constraint::EncryptionContextSubset(context))
            }
            other => Err(self.refuse(value, path, &format!("unknown constraint `{other}`"))),
        }
    }

    /// A field that is null counts as absent.
    fn find(&self, field: &str) -> Option<&'a Value> {
        let member = self.members.iter().find(|member| member.name == field)?;
        (member.value.kind != Kind::Null).then_some(&member.value)
    }

    fn list(&self, field: &str) -> Result<&'a [Value], Refusal> {
        self.find(field).map_or(Ok(&[]), |value| self.items(value, field))
    }

    fn items<'v>(&self, value: &'v Value, path: &str) -> Result<&'v [Value], Refusal> {
        match &value.kind {
            Kind::Array(items) => Ok(items),
            _ => Err(self.refuse(
                value,
                path,
                &format!("expected an array, found {}", value.type_name()),
            )),
        }
    }

    /// A misread `"true"` would leave a public bucket open.
    fn flag(&self, field: &str) -> Result<bool, Refusal> {
        match self.find(field) {
            None => Ok(false),
            Some(Value { kind: Kind::Bool(value), .. }) => Ok(*value),
            Some(value) => Err(self.refuse(
                value,
                field,
                &format!("expected true or false, found {}", value.type_name()),
            )),
        }
    }

    fn object(&self, field: &str) -> Result<&'a [Member], Refusal> {
        match self.find(field) {
            None => Ok(&[]),
            Some(Value { kind: Kind::Object(members), .. }) => Ok(members),
            Some(value) => Err(self.refuse(
                value,
                field,
                &format!("expected an object, found {}", value.type_name()),
            )),
        }
    }

    fn text_field(&self, field: &str) -> Result<&'a str, Refusal> {
        let value = self
            .find(field)
            .ok_or_else(|| Refusal::new("", format!("the case has no `{field}`")))?;
        self.string(value, field)
    }

    fn string<'v>(&self, value: &'v Value, path: &str) -> Result<&'v str, Refusal> {
        match &value.kind {
            Kind::String(text) => Ok(text),
            _ => Err(self.refuse(
                value,
                path,
                &format!("expected a string, found {}", value.type_name()),
            )),
        }
    }

    fn scalars(&self, value: &Value, path: &str) -> Result<Vec<String>, Refusal> {
        let scalar = |item: &Value| match &item.kind {
            Kind::String(text) | Kind::Number(text) => Ok(text.clone()),
            Kind::Bool(value) => Ok(value.to_string()),
            _ => {
                Err(self.refuse(item, path, &format!("{} is no value of a key", item.type_name())))
            }
        };
        match &value.kind {
            Kind::Null => Ok(Vec::new()),
            Kind::Array(items) => items.iter().map(scalar).collect(),
            _ => Ok(vec![scalar(value)?]),
        }
    }

    fn refuse(&self, value: &Value, path: &str, reason: &str) -> Refusal {
        Refusal::new(path, reason).at(self.text, value.offset)
    }
}

/// Who presents a web identity or SAML token is known to its provider only.
fn caller(text: &str, action: &str) -> Result<Principal, Refusal> {
    let by_token = ["sts:AssumeRoleWithWebIdentity", "sts:AssumeRoleWithSAML"];
    if by_token.iter().any(|known| known.eq_ignore_ascii_case(action)) && !text.starts_with("arn:")
    {
        return Ok(Principal::Federated { provider: text.to_owned() });
    }
    Principal::parse(text)
}
