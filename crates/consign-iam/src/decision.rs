//! The answer: allowed or not, by which statements, or for want of which layer.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// What was decided. `decided_by` names the statements that settled it: every Deny that matched,
/// or the Allows that together granted it. Where nothing denied and something did not allow,
/// `missing` names the layers that would have had to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Allowed, denied by a statement, or denied for want of one.
    pub effect: Effect,
    /// The statements that settled it; empty for an implicit deny and for a root user's rights.
    pub decided_by: Vec<StatementRef>,
    /// The layers that did not allow, outermost first; empty unless the deny is implicit.
    pub missing: Vec<Layer>,
    /// What the resource policy is called here: `bucket policy`, `key policy`, `trust policy`.
    #[serde(skip)]
    pub resource_policy: &'static str,
}

impl Decision {
    /// Whether the request may go ahead.
    pub fn is_allowed(&self) -> bool {
        self.effect == Effect::Allow
    }

    /// The layer that stood in the way: of the first matching Deny, or the first that is missing.
    pub fn blocked_by(&self) -> Option<Layer> {
        match self.effect {
            Effect::Allow => None,
            Effect::ExplicitDeny => self.decided_by.first().map(|statement| statement.layer),
            Effect::ImplicitDeny => self.missing.first().copied(),
        }
    }

    /// One sentence: `denied: statement DenyReadsByOthers of the bucket policy denies it`.
    /// [`explain`](crate::explain) tells more, with every condition.
    pub fn explain(&self) -> String {
        let statements = self.decided_by.iter().map(|statement| self.name(statement));
        let statements = join(statements, "and");
        let verb = if self.decided_by.len() > 1 { "deny" } else { "denies" };
        match self.effect {
            Effect::Allow if self.decided_by.is_empty() => {
                "allowed: no policy is needed for it".to_owned()
            }
            Effect::Allow => format!("allowed by {statements}"),
            Effect::ExplicitDeny => format!("denied: {statements} {verb} it"),
            Effect::ImplicitDeny => {
                let layers = join(self.missing.iter().map(|layer| self.lacking(*layer)), "and");
                format!("denied: {layers}")
            }
        }
    }

    fn name(&self, statement: &StatementRef) -> String {
        match statement.layer {
            Layer::Resource => format!("{} of the {}", statement.name(), self.resource_policy),
            _ => statement.to_string(),
        }
    }

    fn lacking(&self, layer: Layer) -> String {
        match layer {
            Layer::Resource => format!("the {} does not allow it", self.resource_policy),
            layer => layer.lacking().to_owned(),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain())
    }
}

/// Allowed, denied by a statement, or denied because nothing allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The request may go ahead.
    Allow,
    /// A Deny statement matched; nothing can outweigh it.
    ExplicitDeny,
    /// Something that must allow did not.
    ImplicitDeny,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Allow => "allow",
            Effect::ExplicitDeny => "explicit-deny",
            Effect::ImplicitDeny => "implicit-deny",
        })
    }
}

/// Where a policy stands between a request and a resource, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Resource control policies of the organisation that owns the resource.
    ResourceControl,
    /// Service control policies of the caller's organisation.
    ServiceControl,
    /// The policy of the VPC endpoint that the request came through.
    Endpoint,
    /// S3 Block Public Access, `RestrictPublicBuckets`.
    BlockPublicAccess,
    /// Bucket policy, key policy, queue policy, trust policy.
    Resource,
    /// A grant of a KMS key.
    Grant,
    /// Policies attached to the user, its groups or the role.
    Identity,
    /// The service itself, which offers the operation only within one account.
    Service,
    /// The permissions boundary of the user or role.
    Boundary,
    /// Policies passed when the session was made.
    Session,
}

impl Layer {
    fn noun(self) -> &'static str {
        match self {
            Layer::ResourceControl => "resource control policy",
            Layer::ServiceControl => "service control policy",
            Layer::Endpoint => "VPC endpoint policy",
            Layer::BlockPublicAccess => "public access block",
            Layer::Resource => "resource policy",
            Layer::Grant => "KMS grant",
            Layer::Identity => "identity policy",
            Layer::Service => "service",
            Layer::Boundary => "permissions boundary",
            Layer::Session => "session policy",
        }
    }

    fn lacking(self) -> &'static str {
        match self {
            Layer::ResourceControl => "a level of resource control policies does not allow it",
            Layer::ServiceControl => "a level of service control policies does not allow it",
            Layer::Endpoint => "the VPC endpoint policy does not allow it",
            Layer::BlockPublicAccess => {
                "the bucket policy is public and RestrictPublicBuckets keeps other accounts out"
            }
            Layer::Resource => "the resource policy does not allow it",
            Layer::Grant => "no KMS grant allows it",
            Layer::Identity => "no identity policy allows it",
            Layer::Service => "the service does not offer this operation to other accounts",
            Layer::Boundary => "the permissions boundary does not allow it",
            Layer::Session => "no session policy allows it",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun())
    }
}

/// Points at one statement of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatementRef {
    /// The layer the policy is in.
    pub layer: Layer,
    /// The level within the organisation, from the root down; 0 for other layers.
    pub level: usize,
    /// Which policy of that layer (and level), from 0.
    pub policy: usize,
    /// Which statement of that policy, from 0.
    pub statement: usize,
    /// Its `Sid`, where it has one.
    pub sid: Option<Arc<str>>,
}

impl StatementRef {
    /// Its `Sid`, or its number from 1, as in `statement 3`.
    pub fn name(&self) -> String {
        match &self.sid {
            Some(sid) if sid.contains(' ') => format!("statement \"{sid}\""),
            Some(sid) if !sid.is_empty() => format!("statement {sid}"),
            _ if self.layer == Layer::Grant => format!("grant {}", self.statement + 1),
            _ => format!("statement {}", self.statement + 1),
        }
    }
}

impl fmt::Display for StatementRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Layer::Grant => write!(f, "KMS {}", self.name()),
            layer => write!(f, "{} of the {layer}", self.name()),
        }
    }
}

pub(crate) fn join(items: impl Iterator<Item = String>, and: &str) -> String {
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {and} {last}", most.join(", ")),
    }
}
