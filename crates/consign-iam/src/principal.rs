//! Who asks. [`Principal`] is the caller of a request; what a policy's `Principal` element says
//! about it is decided in [`crate::policy`].

use std::fmt;

use crate::error::Refusal;

/// The caller of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// An unsigned request.
    Anonymous,
    /// The root user of an account.
    Root {
        /// Twelve digits.
        account: String,
    },
    /// An IAM user.
    User {
        /// `arn:aws:iam::111111111111:user/path/name`
        arn: String,
    },
    /// A session of a role.
    RoleSession {
        /// `arn:aws:iam::111111111111:role/path/name`. A session's own ARN does not tell the
        /// path; without one, a policy's role ARN is compared by account and name, which is
        /// exact because role names are unique within an account.
        role_arn: String,
        /// `arn:aws:sts::111111111111:assumed-role/name/session`, where known.
        session_arn: Option<String>,
    },
    /// A session from `GetFederationToken`.
    FederatedUser {
        /// `arn:aws:sts::111111111111:federated-user/name`
        arn: String,
        /// The IAM user who asked for the session, where known.
        user_arn: Option<String>,
    },
    /// Somebody with a token of an identity provider, not yet in any role: the caller of
    /// `AssumeRoleWithWebIdentity` or `AssumeRoleWithSAML`.
    Federated {
        /// As in a policy: a host name or the ARN of a SAML or OIDC provider.
        provider: String,
    },
    /// An AWS service acting for itself, such as `logging.s3.amazonaws.com`.
    Service {
        /// The name of the service principal.
        name: String,
    },
}

impl Principal {
    /// Reads `*` or `anonymous`, an account id (its root user), an ARN of a root, user, role,
    /// role session or federated user, or the name of a service principal.
    ///
    /// # Errors
    /// What is none of these is refused.
    pub fn parse(text: &str) -> Result<Principal, Refusal> {
        if matches!(text, "*" | "anonymous") {
            return Ok(Principal::Anonymous);
        }
        if is_account_id(text) {
            return Ok(Principal::Root { account: text.to_owned() });
        }
        if text.starts_with("arn:") {
            return Principal::from_arn(text);
        }
        if is_service_name(text) {
            return Ok(Principal::Service { name: text.to_owned() });
        }
        Err(Refusal::new(
            "principal",
            format!("`{text}` is neither an ARN, an account id, a service name nor `*`"),
        ))
    }

    /// Reads the ARN of a root user, user, role, role session or federated user. The ARN of a
    /// role stands for some session of it.
    ///
    /// # Errors
    /// Other ARNs are refused.
    pub fn from_arn(arn: &str) -> Result<Principal, Refusal> {
        let refuse = |why: &str| Err(Refusal::new("principal", format!("`{arn}` {why}")));
        let fields: Vec<&str> = arn.splitn(6, ':').collect();
        let &["arn", partition, service, "", account, name] = fields.as_slice() else {
            return refuse("is not the ARN of a principal");
        };
        if !is_account_id(account) {
            return refuse("does not name an account of twelve digits");
        }
        if name.contains(['*', '?']) {
            return refuse("contains a wildcard; a request has one caller");
        }
        let kind = name.split_once('/').map_or((name, ""), |(kind, rest)| (kind, rest));
        match (service, kind) {
            ("iam", ("root", "")) => Ok(Principal::Root { account: account.to_owned() }),
            ("iam", ("user", rest)) if !rest.is_empty() => {
                Ok(Principal::User { arn: arn.to_owned() })
            }
            ("iam", ("role", rest)) if !rest.is_empty() => {
                Ok(Principal::RoleSession { role_arn: arn.to_owned(), session_arn: None })
            }
            ("iam", ("oidc-provider" | "saml-provider", rest)) if !rest.is_empty() => {
                Ok(Principal::Federated { provider: arn.to_owned() })
            }
            ("sts", ("assumed-role", rest)) => match rest.split_once('/') {
                Some((role, session)) if !role.is_empty() && !session.is_empty() => {
                    Ok(Principal::RoleSession {
                        role_arn: format!("arn:{partition}:iam::{account}:role/{role}"),
                        session_arn: Some(arn.to_owned()),
                    })
                }
                _ => refuse("names no session"),
            },
            ("sts", ("federated-user", rest)) if !rest.is_empty() => {
                Ok(Principal::FederatedUser { arn: arn.to_owned(), user_arn: None })
            }
            _ => refuse("is not the ARN of a user, a role, a session or an account's root"),
        }
    }

    /// A session of a role, named by the ARN of the role (with its path) and the session's name.
    ///
    /// # Errors
    /// What is not the ARN of a role is refused.
    pub fn role_session(role_arn: &str, session_name: &str) -> Result<Principal, Refusal> {
        let (Ok(Principal::RoleSession { role_arn, session_arn: None }), Some(account)) =
            (Principal::from_arn(role_arn), account_of(role_arn))
        else {
            return Err(Refusal::new(
                "principal",
                format!("`{role_arn}` is not the ARN of a role"),
            ));
        };
        let partition = role_arn.split(':').nth(1).unwrap_or("aws");
        let role = last_name(&role_arn);
        let session = format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session_name}");
        Ok(Principal::RoleSession { role_arn, session_arn: Some(session) })
    }

    /// The account the caller belongs to; none for anonymous, service and federated callers.
    pub fn account(&self) -> Option<&str> {
        match self {
            Principal::Root { account } => Some(account),
            Principal::User { arn } | Principal::FederatedUser { arn, .. } => account_of(arn),
            Principal::RoleSession { role_arn, .. } => account_of(role_arn),
            Principal::Anonymous | Principal::Federated { .. } | Principal::Service { .. } => None,
        }
    }

    /// The value of `aws:PrincipalArn`: of a role session, the ARN of the role. Absent for
    /// anonymous, service and not yet assumed federated callers.
    pub fn arn(&self) -> Option<String> {
        match self {
            Principal::Root { account } => Some(format!("arn:aws:iam::{account}:root")),
            Principal::User { arn } | Principal::FederatedUser { arn, .. } => Some(arn.clone()),
            Principal::RoleSession { role_arn, .. } => Some(role_arn.clone()),
            Principal::Anonymous | Principal::Federated { .. } | Principal::Service { .. } => None,
        }
    }

    /// The name of an IAM user, as in `aws:username`.
    pub fn user_name(&self) -> Option<&str> {
        match self {
            Principal::User { arn } => Some(last_name(arn)),
            _ => None,
        }
    }

    /// The value of `aws:PrincipalType`; services and callers known to a provider only have none.
    pub fn type_name(&self) -> Option<&'static str> {
        match self {
            Principal::Anonymous => Some("Anonymous"),
            Principal::Root { .. } => Some("Account"),
            Principal::User { .. } => Some("User"),
            Principal::RoleSession { .. } => Some("AssumedRole"),
            Principal::FederatedUser { .. } => Some("FederatedUser"),
            Principal::Federated { .. } | Principal::Service { .. } => None,
        }
    }

    /// The value of `aws:userid` where it follows from who the caller is; users and roles have
    /// unique ids that only AWS knows.
    pub fn user_id(&self) -> Option<&str> {
        match self {
            Principal::Anonymous => Some("anonymous"),
            Principal::Root { account } => Some(account),
            _ => None,
        }
    }

    /// Whether this is a session of a service-linked role, which no SCP or RCP limits.
    pub fn is_service_linked(&self) -> bool {
        matches!(self, Principal::RoleSession { role_arn, .. } if role_arn.contains(":role/aws-service-role/"))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Anonymous => f.write_str("an anonymous caller"),
            Principal::Root { account } => write!(f, "the root user of {account}"),
            Principal::User { arn } | Principal::FederatedUser { arn, .. } => f.write_str(arn),
            Principal::RoleSession { role_arn, session_arn } => {
                f.write_str(session_arn.as_deref().unwrap_or(role_arn))
            }
            Principal::Federated { provider } => write!(f, "a caller known to {provider}"),
            Principal::Service { name } => write!(f, "the service {name}"),
        }
    }
}

/// The account field of an ARN, where it is filled.
pub(crate) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// What follows the last `/`.
pub(crate) fn last_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

pub(crate) fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Service principals look like host names: `s3.amazonaws.com`, `logs.eu-west-1.amazonaws.com`.
pub(crate) fn is_service_name(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}
