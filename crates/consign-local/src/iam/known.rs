//! Whether the principals that a policy names exist. AWS refuses a policy that names a user or role
//! that is not there; accounts, services and sessions it takes as they come.

use super::directory::Directory;
use super::records::Kind;
use crate::policy::{Named, Policy, Principals};

impl Directory {
    /// The first user or role that the policy names and nobody has made.
    pub fn unknown_principal(&self, policy: &Policy) -> Option<String> {
        let named = policy.statements().iter().flat_map(|statement| match &statement.principals {
            Principals::Named(named) | Principals::AllBut(named) => named.as_slice(),
            Principals::Attached => &[],
        });
        let unknown = named.filter_map(|named| match named {
            Named::Arn(arn) if !self.knows(arn) => Some(arn.clone()),
            _ => None,
        });
        unknown.min()
    }

    fn knows(&self, arn: &str) -> bool {
        let fields: Vec<&str> = arn.splitn(6, ':').collect();
        let &[_, _, "iam", _, account, resource] = fields.as_slice() else { return true };
        let Some((kind, path_and_name)) = resource.split_once('/') else { return true };
        let kind = match kind {
            "user" => Kind::User,
            "role" => Kind::Role,
            _ => return true,
        };
        let name = path_and_name.rsplit('/').next().unwrap_or_default();
        self.find(account, kind, name).is_some_and(|entity| entity.arn() == arn)
    }
}
