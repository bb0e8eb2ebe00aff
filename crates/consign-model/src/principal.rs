//! The AWS principal a party acts as: a user or a role of its account.

use crate::name::shown;
use crate::{AccountId, Error, ErrorKind, Trust};
use serde::Serialize;
use std::fmt;

/// `user/consign/acme`, `role/acme-transfer`: what a party acts as in its account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Principal {
    kind: PrincipalKind,
    // INVARIANT: begins and ends with `/`.
    path: String,
    name: String,
}

/// Whether a principal is a user or a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// An IAM user, with long-lived access keys.
    User,
    /// An IAM role, with short-lived sessions.
    Role,
}

impl Principal {
    /// Reads `user/…`, `role/…` or a full ARN, which must be of this account.
    pub fn parse(text: &str, account: &AccountId) -> Result<Principal, Error> {
        let bad = |reason: &str| {
            let message = format!("{} is not a principal: {reason}", shown(text));
            Error::new(ErrorKind::BadValue, message)
        };
        let local = match text.strip_prefix("arn:") {
            None => text,
            Some(rest) => {
                let rest = rest.strip_prefix("aws:iam::");
                let rest = rest.ok_or_else(|| bad("an ARN begins with `arn:aws:iam::`"))?;
                let (arn_account, local) =
                    rest.split_once(':').ok_or_else(|| bad("the ARN names no user or role"))?;
                if arn_account != account.as_str() {
                    let reason = format!("it is not of the party's account {account}");
                    return Err(bad(&reason));
                }
                local
            }
        };
        let (kind, rest) = match (local.strip_prefix("user/"), local.strip_prefix("role/")) {
            (Some(rest), _) => (PrincipalKind::User, rest),
            (_, Some(rest)) => (PrincipalKind::Role, rest),
            _ => return Err(bad("it is `user/…`, `role/…` or the ARN of either")),
        };
        let (path, name) = match rest.rsplit_once('/') {
            Some((path, name)) => (format!("/{path}/"), name),
            None => ("/".to_owned(), rest),
        };
        if name.is_empty() || name.len() > 64 || path.len() > 512 {
            return Err(bad("its name has 1 to 64 characters and its path 512 at most"));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        if !name.bytes().all(plain) || !path.bytes().all(|b| plain(b) || b == b'/') {
            return Err(bad("it consists of letters, digits and +=,.@_-"));
        }
        if path.contains("//") {
            return Err(bad("its path has an empty part"));
        }
        Ok(Principal { kind, path, name: name.to_owned() })
    }

    /// `arn:aws:iam::111111111111:user/consign/acme`.
    #[must_use]
    pub fn arn(&self, account: &AccountId) -> String {
        format!("arn:aws:iam::{account}:{self}")
    }

    /// User or role.
    #[must_use]
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The IAM path, beginning and ending with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name without the path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PrincipalKind::User => "user",
            PrincipalKind::Role => "role",
        };
        write!(f, "{kind}{}{}", self.path, self.name)
    }
}

impl Trust {
    /// `account` (whom the administrators of the party's own account choose) or an ARN of a user,
    /// a role or an account's root.
    pub(crate) fn arn(text: &str, account: &AccountId) -> Result<String, Error> {
        if text == "account" {
            return Ok(format!("arn:aws:iam::{account}:root"));
        }
        let bad = || {
            let message = format!(
                "`trust` is {}; it is `account`, or the ARN of a user, a role or an account's root, \
                 as in \"arn:aws:iam::222222222222:role/transfer\"",
                shown(text)
            );
            Error::new(ErrorKind::BadValue, message)
        };
        let local = text.strip_prefix("arn:aws:iam::").ok_or_else(bad)?;
        let (account, local) = local.split_once(':').ok_or_else(bad)?;
        let account = AccountId::parse(account).map_err(|_| bad())?;
        if local != "root" {
            Principal::parse(text, &account).map_err(|_| bad())?;
        }
        Ok(text.to_owned())
    }

    /// By the rules of `sts:ExternalId`.
    pub(crate) fn external_id(text: &str) -> Result<String, Error> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
        if (2..=1224).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(text.to_owned());
        }
        let message = format!(
            "`external_id` is {}; it has 2 to 1224 letters, digits and _+=,.@:/-",
            shown(text)
        );
        Err(Error::new(ErrorKind::BadValue, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_read_in_both_forms() {
        let account = AccountId::parse("111111111111").expect("an account");
        let check = |text: &str, path: &str, name: &str| {
            let p = Principal::parse(text, &account).expect(text);
            assert_eq!((p.path(), p.name()), (path, name), "{text}");
            assert_eq!(Principal::parse(&p.arn(&account), &account).expect("its own ARN"), p);
        };
        check("user/acme", "/", "acme");
        check("user/consign/acme", "/consign/", "acme");
        check("role/a/b/c", "/a/b/", "c");
        check("arn:aws:iam::111111111111:role/acme-transfer", "/", "acme-transfer");
        for bad in [
            "",
            "acme",
            "group/acme",
            "user/",
            "user//acme",
            "user/*",
            "role/a b",
            "arn:aws:iam::222222222222:user/acme",
            "arn:aws:iam::111111111111:root",
            "arn:aws:sts::111111111111:assumed-role/a/b",
            "user/${aws:username}",
        ] {
            assert!(Principal::parse(bad, &account).is_err(), "{bad:?}");
        }
    }
}
