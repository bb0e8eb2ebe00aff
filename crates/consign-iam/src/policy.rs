//! A policy as data: statements of effect, principals, actions, resources and conditions, with
//! everything compiled that can be. [`Policy::parse`] is the only way to one.

use std::sync::Arc;

use serde::Serialize;

use crate::condition::Condition;
use crate::error::Refusal;
use crate::glob::Glob;
use crate::pattern::{Match, Pattern};
use crate::principal::{Principal, account_of, last_name};
use crate::request::Request;

/// A parsed policy document. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Document>);

#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) id: Option<String>,
    pub(crate) version: Version,
    pub(crate) statements: Vec<Statement>,
    pub(crate) public: bool,
    /// The text it was read from, unless that was part of a larger one.
    pub(crate) source: Option<Box<str>>,
}

/// What a document is for; it decides which elements it may and must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Attached to a user, group or role; also permissions boundaries and session policies. Has no
    /// principals.
    Identity,
    /// A bucket, queue or topic policy. Names principals and resources.
    Resource,
    /// The policy of a KMS key. As a resource policy, but repeated Sids are tolerated, as by KMS.
    Key,
    /// Who may assume a role. Names principals and no resources.
    Trust,
    /// A service control policy.
    ServiceControl,
    /// A resource control policy.
    ResourceControl,
    /// The policy of a VPC endpoint.
    Endpoint,
}

/// The version of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `2008-10-17`, also where none is given: `${…}` is plain text.
    V2008,
    /// `2012-10-17`: with policy variables.
    V2012,
}

impl Policy {
    /// Reads a document whose kind is told by its elements: with principals it belongs to a
    /// resource (or a role), without to an identity.
    ///
    /// # Errors
    /// What AWS would not accept is refused, with its place and the reason.
    pub fn parse(text: &str) -> Result<Policy, Refusal> {
        crate::parse::policy(text, None).map(|document| Policy(Arc::new(document)))
    }

    /// Reads a document of a given kind, with the rules of that kind.
    ///
    /// # Errors
    /// What AWS would not accept is refused, with its place and the reason.
    pub fn parse_as(kind: PolicyKind, text: &str) -> Result<Policy, Refusal> {
        crate::parse::policy(text, Some(kind)).map(|document| Policy(Arc::new(document)))
    }

    pub(crate) fn within(
        text: &str,
        root: &crate::json::Value,
        kind: PolicyKind,
    ) -> Result<Policy, Refusal> {
        crate::parse::document_within(text, root, kind).map(|document| Policy(Arc::new(document)))
    }

    /// The text it was read from; none where that was part of a larger text.
    pub fn source(&self) -> Option<&str> {
        self.0.source.as_deref()
    }

    /// The document's `Id`.
    pub fn id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// The version of the language it is written in.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Its statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.0.statements
    }

    /// Tells this document from every other that exists at the same time.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn is_public(&self) -> bool {
        self.0.public
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its name, if it has one.
    pub sid: Option<Arc<str>>,
    /// What follows when it applies.
    pub effect: StatementEffect,
    /// To whom it applies.
    pub principals: Principals,
    /// To which actions.
    pub actions: Actions,
    /// To which resources.
    pub resources: Resources,
    /// When. All must hold.
    pub conditions: Vec<Condition>,
}

/// What a statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum StatementEffect {
    /// It allows.
    Allow,
    /// It denies, whatever else allows.
    Deny,
}

/// The principals of a statement.
#[derive(Clone, Debug)]
pub enum Principals {
    /// An identity policy: whoever it is attached to.
    Attached,
    /// `Principal`
    Named(Vec<Named>),
    /// `NotPrincipal`, which only a Deny may have.
    AllBut(Vec<Named>),
}

/// One entry of a `Principal` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// `*`: everybody, also anonymous callers.
    Everyone,
    /// An account, by its twelve digits or the ARN of its root.
    Account(String),
    /// A user, role, role session or federated user.
    Arn(String),
    /// A service.
    Service(String),
    /// `{"Service": "*"}`
    AnyService,
    /// An identity provider.
    Federated(String),
    /// What no caller of this model equals: an ARN with a wildcard, the unique id of a deleted
    /// user or role, a canonical user id.
    Nobody(String),
}

/// How closely a resource policy names a caller. It decides what else must allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Closeness {
    /// By account: the account's own policies have to allow as well.
    Account,
    /// By the role of a session: a boundary or a session policy still limits it.
    Role,
    /// By user or session, or as one of everybody: enough within one account.
    Direct,
}

/// The actions of a statement.
#[derive(Clone, Debug)]
pub struct Actions {
    /// `NotAction`
    pub negated: bool,
    /// Patterns in lower case.
    pub patterns: Vec<Glob>,
    /// As written.
    pub sources: Vec<String>,
}

/// The resources of a statement.
#[derive(Clone, Debug)]
pub enum Resources {
    /// Without the element, as in trust policies.
    Any,
    /// `Resource`
    Named(Vec<Pattern>),
    /// `NotResource`
    AllBut(Vec<Pattern>),
}

impl Statement {
    /// Whether the statement applies to a request, and if so how closely it names the caller.
    pub(crate) fn applies(&self, request: &Request, has_boundary: bool) -> Option<Closeness> {
        if !self.actions.include(request) {
            return None;
        }
        let closeness = self.principals.include(request, has_boundary)?;
        let holds = self.resources.include(request)
            && self.conditions.iter().all(|condition| condition.holds(request));
        holds.then_some(closeness)
    }
}

impl Actions {
    pub(crate) fn include(&self, request: &Request) -> bool {
        let action = request.action_folded();
        self.patterns.iter().any(|pattern| pattern.matches(action)) != self.negated
    }
}

impl Resources {
    pub(crate) fn include(&self, request: &Request) -> bool {
        let compare = |pattern: &Pattern| pattern.compare(request.resource(), request);
        match self {
            Resources::Any => true,
            Resources::Named(patterns) => patterns.iter().any(|p| compare(p) == Match::Yes),
            // An unresolved variable makes the statement void, not universal.
            Resources::AllBut(patterns) => patterns.iter().all(|p| compare(p) == Match::No),
        }
    }
}

impl Principals {
    pub(crate) fn include(&self, request: &Request, has_boundary: bool) -> Option<Closeness> {
        match self {
            Principals::Attached => Some(Closeness::Direct),
            Principals::Named(named) => named.iter().filter_map(|n| n.covers(request)).max(),
            // IAM User Guide, "Permissions boundaries": a NotPrincipal Deny reaches every
            // principal that has a boundary, listed or not.
            Principals::AllBut(named) if !has_boundary && exempts(named, request.principal()) => {
                None
            }
            Principals::AllBut(_) => Some(Closeness::Direct),
        }
    }
}

impl Named {
    pub(crate) fn covers(&self, request: &Request) -> Option<Closeness> {
        match (self, request.principal()) {
            (Named::Everyone, _) => Some(Closeness::Direct),
            (Named::Account(account), _) if request.principal_account() == Some(account) => {
                Some(Closeness::Account)
            }
            (Named::Arn(named), Principal::User { arn }) => {
                (named == arn).then_some(Closeness::Direct)
            }
            (Named::Arn(named), Principal::RoleSession { role_arn, session_arn }) => {
                if session_arn.as_ref() == Some(named) {
                    Some(Closeness::Direct)
                } else {
                    is_role(named, role_arn).then_some(Closeness::Role)
                }
            }
            (Named::Arn(named), Principal::FederatedUser { arn, user_arn }) => {
                if named == arn {
                    Some(Closeness::Direct)
                } else {
                    (user_arn.as_ref() == Some(named)).then_some(Closeness::Role)
                }
            }
            (Named::Service(named), Principal::Service { name }) => {
                (named == name).then_some(Closeness::Direct)
            }
            (Named::AnyService, Principal::Service { .. }) => Some(Closeness::Direct),
            (Named::Federated(named), Principal::Federated { provider }) => {
                (named == provider).then_some(Closeness::Direct)
            }
            _ => None,
        }
    }
}

/// The ARN of a session does not tell its role's path. Names of roles are unique in an account, so
/// a role known without path is the one of that name.
fn is_role(named: &str, role_arn: &str) -> bool {
    if named == role_arn {
        return true;
    }
    let has_path = role_arn.split_once(":role/").is_some_and(|(_, name)| name.contains('/'));
    !has_path
        && named.contains(":role/")
        && account_of(named) == account_of(role_arn)
        && last_name(named) == last_name(role_arn)
}

/// A caller escapes a NotPrincipal only when every form of it is listed: session, role and
/// account, or user and account.
fn exempts(listed: &[Named], caller: &Principal) -> bool {
    let lists = |wanted: Named| listed.contains(&wanted);
    let lists_account =
        || caller.account().is_some_and(|account| lists(Named::Account(account.to_owned())));
    if listed.contains(&Named::Everyone) {
        return true;
    }
    match caller {
        Principal::Anonymous => false,
        Principal::Root { .. } => lists_account(),
        Principal::User { arn } => lists(Named::Arn(arn.clone())) && lists_account(),
        Principal::RoleSession { role_arn, session_arn } => {
            let role = listed
                .iter()
                .any(|named| matches!(named, Named::Arn(arn) if is_role(arn, role_arn)));
            let session = session_arn.as_ref().is_none_or(|arn| lists(Named::Arn(arn.clone())));
            role && session && lists_account()
        }
        Principal::FederatedUser { arn, user_arn } => {
            let user = user_arn.as_ref().is_none_or(|arn| lists(Named::Arn(arn.clone())));
            lists(Named::Arn(arn.clone())) && user && lists_account()
        }
        Principal::Federated { provider } => lists(Named::Federated(provider.clone())),
        Principal::Service { name } => {
            lists(Named::Service(name.clone())) || lists(Named::AnyService)
        }
    }
}
