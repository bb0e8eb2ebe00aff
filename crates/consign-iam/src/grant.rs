//! Grants of a KMS key: permissions beside the key policy, given to one principal for some
//! operations, perhaps only under some encryption context.

use std::collections::BTreeMap;

use crate::error::Refusal;
use crate::policy::{Closeness, Named};
use crate::principal::Principal;
use crate::request::Request;

/// One grant of the key that a request is about.
#[derive(Clone, Debug)]
pub struct Grant {
    grantee: Named,
    operations: Vec<String>,
    constraint: Constraint,
}

/// What the encryption context of a request must be for a grant to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Constraint {
    /// Anything.
    #[default]
    None,
    /// Exactly these pairs.
    EncryptionContextEquals(BTreeMap<String, String>),
    /// At least these pairs.
    EncryptionContextSubset(BTreeMap<String, String>),
}

/// Operations that carry no encryption context, so that a constraint does not concern them.
pub(crate) const WITHOUT_CONTEXT: [&str; 3] = ["DescribeKey", "GetPublicKey", "RetireGrant"];

impl Grant {
    /// `grantee` is the ARN of a user, role, session or account root, or a service name;
    /// `operations` are KMS operations as in `CreateGrant`: `Decrypt`, `GenerateDataKey`.
    ///
    /// # Errors
    /// What names no principal is refused.
    pub fn new<O: Into<String>>(
        grantee: &str,
        operations: impl IntoIterator<Item = O>,
        constraint: Constraint,
    ) -> Result<Grant, Refusal> {
        let grantee = match Principal::parse(grantee)? {
            Principal::Root { account } => Named::Account(account),
            Principal::Service { name } => Named::Service(name),
            Principal::User { .. }
            | Principal::RoleSession { .. }
            | Principal::FederatedUser { .. } => Named::Arn(grantee.to_owned()),
            Principal::Anonymous | Principal::Federated { .. } => {
                return Err(Refusal::new("grantee", "a grant names one principal"));
            }
        };
        Ok(Grant {
            grantee,
            operations: operations.into_iter().map(Into::into).collect(),
            constraint,
        })
    }

    pub(crate) fn grantee(&self) -> &Named {
        &self.grantee
    }

    pub(crate) fn operations(&self) -> &[String] {
        &self.operations
    }

    pub(crate) fn constraint(&self) -> &Constraint {
        &self.constraint
    }

    pub(crate) fn applies(&self, request: &Request) -> Option<Closeness> {
        let operation = request.action().split_once(':').map_or("", |(_, name)| name);
        if !self.operations.iter().any(|granted| granted.eq_ignore_ascii_case(operation)) {
            return None;
        }
        let without = WITHOUT_CONTEXT.iter().any(|name| name.eq_ignore_ascii_case(operation));
        if !without && !self.constraint.holds(request) {
            return None;
        }
        self.grantee.covers(request)
    }
}

impl Constraint {
    fn holds(&self, request: &Request) -> bool {
        let (wanted, exact) = match self {
            Constraint::None => return true,
            Constraint::EncryptionContextEquals(wanted) => (wanted, true),
            Constraint::EncryptionContextSubset(wanted) => (wanted, false),
        };
        let given = encryption_context(request);
        let holds_all =
            wanted.iter().all(|(key, value)| given.get(key.as_str()) == Some(&value.as_str()));
        holds_all && (!exact || given.len() == wanted.len())
    }
}

/// The pairs of `kms:EncryptionContext:…`. Their names, unlike those of condition keys, are
/// compared exactly.
fn encryption_context(request: &Request) -> BTreeMap<&str, &str> {
    const PREFIX: &str = "kms:EncryptionContext:";
    let pairs = request.context().iter().filter_map(|(key, values)| {
        let (prefix, name) = key.split_at_checked(PREFIX.len())?;
        let [value] = values else { return None };
        prefix.eq_ignore_ascii_case(PREFIX).then_some((name, value.as_str()))
    });
    pairs.collect()
}
