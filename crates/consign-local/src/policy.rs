//! The policy language, from `consign-iam`: the one place where this crate names that dependency.

/// An access policy document, parsed.
#[derive(Clone, Debug)]
pub struct Policy(());

/// Why a document is not a policy.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Where in the document.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl Policy {
    /// Parses a policy document.
    pub fn parse(_text: &str) -> Result<Policy, Refusal> {
        Ok(Policy(()))
    }
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Nobody: no signature.
    Anonymous,
    /// An account's root user.
    Root {
        /// Twelve digits.
        account: String,
    },
    /// An IAM user.
    User {
        /// `arn:aws:iam::…:user/…`.
        arn: String,
    },
    /// A session of a role.
    RoleSession {
        /// `arn:aws:iam::…:role/…`.
        role_arn: String,
        /// `arn:aws:sts::…:assumed-role/…/…`.
        session_arn: String,
    },
}
