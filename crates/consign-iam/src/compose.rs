//! The rule by which layers combine, as one formula over bits.
//!
//! [`crate::evaluate`] decides a request statement by statement, because it has to say which
//! statements settled it; the prover needs the same rule over bits that may not be known yet. It
//! stands here once for any kind of truth. In builds with debug assertions every evaluation is
//! compared with it.

/// Something that can be false, true, and perhaps not known.
// The names differ from those of `Option`, whose own methods would be called instead.
pub(crate) trait Truth: Clone {
    fn known(truth: bool) -> Self;
    fn both(self, other: Self) -> Self;
    fn either(self, other: Self) -> Self;
    fn negated(self) -> Self;
}

impl Truth for bool {
    fn known(truth: bool) -> bool {
        truth
    }

    fn both(self, other: bool) -> bool {
        self && other
    }

    fn either(self, other: bool) -> bool {
        self || other
    }

    fn negated(self) -> bool {
        !self
    }
}

/// `None` is not known.
impl Truth for Option<bool> {
    fn known(truth: bool) -> Self {
        Some(truth)
    }

    fn both(self, other: Self) -> Self {
        match (self, other) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    fn either(self, other: Self) -> Self {
        self.negated().both(other.negated()).negated()
    }

    fn negated(self) -> Self {
        self.map(|known| !known)
    }
}

/// What kind of caller it is, as far as the rule cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A service, or somebody known to an identity provider only.
    Outside,
    Anonymous,
    /// The root user: of the owner's account or of another.
    Root {
        same_account: bool,
    },
    /// A user or a session.
    Within {
        same_account: bool,
    },
}

/// What is known of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits<T> {
    /// AWS answers it to whoever can sign.
    pub(crate) free: T,
    /// A Deny that counts has matched.
    pub(crate) denied: T,
    /// Every level of SCPs and RCPs and the endpoint allow.
    pub(crate) fenced_in: T,
    /// `RestrictPublicBuckets` keeps other accounts out of this bucket.
    pub(crate) restricted: T,
    /// A KMS key or the trust of a role.
    pub(crate) trusts_nobody: T,
    /// The service offers the action to other accounts.
    pub(crate) offered: T,
    /// The resource policy or a grant allows: the caller itself, its role, its account.
    pub(crate) direct: T,
    pub(crate) role: T,
    pub(crate) account: T,
    pub(crate) identity: T,
    /// The boundary, or there is none; the session policies likewise.
    pub(crate) boundary: T,
    pub(crate) session: T,
}

/// Whether the request is allowed.
pub(crate) fn allowed<T: Truth>(caller: Caller, bits: Bits<T>) -> T {
    let any = bits.direct.clone().either(bits.role.clone()).either(bits.account.clone());
    let limits = bits.boundary.both(bits.session);
    let open = bits.restricted.negated();
    let implied = bits.trusts_nobody.negated().either(bits.account);
    let granted = match caller {
        Caller::Outside => any,
        Caller::Anonymous => any.both(open),
        Caller::Root { same_account: true } => bits.direct.either(bits.role).either(implied),
        Caller::Within { same_account: true } => {
            let own = bits.role.either(implied.both(bits.identity));
            bits.direct.either(own.both(limits))
        }
        Caller::Root { same_account: false } => any.both(bits.offered).both(open),
        Caller::Within { same_account: false } => {
            any.both(bits.offered).both(open).both(bits.identity).both(limits)
        }
    };
    let granted = granted.both(bits.fenced_in).both(bits.denied.negated());
    match caller {
        Caller::Anonymous => granted,
        _ => granted.either(bits.free),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Policies, Policy, Principal, Request, evaluate};

    const EVERYTHING: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    const NOTHING: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "none:None", "Resource": "*"}}"#;

    fn naming(effect: &str, principal: &str) -> Policy {
        let text = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}", "Principal": {principal},
                "Action": "*", "Resource": "*"}}}}"#
        );
        Policy::parse(&text).unwrap()
    }

    /// Callers of account 1, how a policy names them directly and (for sessions) by role.
    fn callers() -> Vec<(Principal, Option<&'static str>, Option<&'static str>)> {
        let parse = |text| Principal::parse(text).unwrap();
        vec![
            (Principal::Anonymous, None, None),
            (parse("logs.amazonaws.com"), Some(r#"{"Service": "logs.amazonaws.com"}"#), None),
            (parse("111111111111"), None, None),
            (
                parse("arn:aws:iam::111111111111:user/u"),
                Some(r#"{"AWS": "arn:aws:iam::111111111111:user/u"}"#),
                None,
            ),
            (
                parse("arn:aws:sts::111111111111:assumed-role/r/s"),
                Some(r#"{"AWS": "arn:aws:sts::111111111111:assumed-role/r/s"}"#),
                Some(r#"{"AWS": "arn:aws:iam::111111111111:role/r"}"#),
            ),
        ]
    }

    /// The formula, over bits that are chosen here, beside the evaluator, over policies that make
    /// the bits so.
    #[test]
    fn the_formula_decides_as_the_evaluator_does() {
        let everything = Policy::parse(EVERYTHING).unwrap();
        let nothing = Policy::parse(NOTHING).unwrap();
        let key = "arn:aws:kms:eu-west-1:111111111111:key/k";
        let actions = [
            ("s3:GetObject", "arn:aws:s3:::b/k"),
            ("s3:PutBucketPolicy", "arn:aws:s3:::b"),
            ("kms:Decrypt", key),
            ("kms:PutKeyPolicy", key),
            ("sts:AssumeRole", "arn:aws:iam::111111111111:role/x"),
            ("sts:GetCallerIdentity", "*"),
        ];
        let public = naming("Allow", "\"*\"");
        let (mut compared, mut allowed_count) = (0, 0);
        for (principal, direct, role) in callers() {
            for (action, resource) in actions {
                for owner in ["111111111111", "222222222222"] {
                    let request =
                        Request::new(principal.clone(), action, resource, owner, Context::new());
                    let request = request.unwrap();
                    for bits in 0..512_u32 {
                        let bit = |at: u32| (bits >> at) & 1 == 1;
                        let mut documents = Vec::new();
                        let named = [
                            (bit(0), direct),
                            (bit(1), role),
                            (bit(2), principal.account().map(|_| r#"{"AWS": "111111111111"}"#)),
                        ];
                        let named = named.map(|(wanted, name)| {
                            let name = name.filter(|_| wanted);
                            documents.extend(name.map(|name| naming("Allow", name)));
                            name.is_some()
                        });
                        let restrict = bit(8);
                        if restrict {
                            documents.push(public.clone());
                        }
                        if bit(3) {
                            documents.push(naming("Deny", "\"*\""));
                        }
                        let chosen = |yes| if yes { &everything } else { &nothing };
                        let policies = Policies {
                            resource: &documents,
                            identity: std::slice::from_ref(chosen(bit(4))),
                            boundary: Some(chosen(bit(5))),
                            session: std::slice::from_ref(chosen(bit(6))),
                            endpoint: std::slice::from_ref(chosen(bit(7))),
                            restrict_public_buckets: restrict,
                            ..Policies::default()
                        };
                        let same_account = principal.account() == Some(owner);
                        let caller = match principal {
                            Principal::Anonymous => Caller::Anonymous,
                            Principal::Service { .. } => Caller::Outside,
                            Principal::Root { .. } => Caller::Root { same_account },
                            _ => Caller::Within { same_account },
                        };
                        let policy_of_bucket = action == "s3:PutBucketPolicy";
                        let mends =
                            policy_of_bucket && caller == (Caller::Root { same_account: true });
                        let formula = Bits {
                            free: action == "sts:GetCallerIdentity",
                            denied: bit(3) && !mends,
                            fenced_in: bit(7),
                            restricted: restrict && action.starts_with("s3:"),
                            trusts_nobody: resource == key || action == "sts:AssumeRole",
                            offered: !policy_of_bucket && action != "kms:PutKeyPolicy",
                            direct: named[0] || restrict,
                            role: named[1],
                            account: named[2],
                            identity: bit(4),
                            boundary: bit(5),
                            session: bit(6),
                        };
                        let decided = evaluate(&request, &policies).is_allowed();
                        assert_eq!(allowed(caller, formula), decided, "{formula:?} {request:?}");
                        compared += 1;
                        allowed_count += u32::from(decided);
                    }
                }
            }
        }
        assert_eq!(compared, 5 * 6 * 2 * 512);
        assert!(allowed_count > 1_000, "{allowed_count}");
    }
}
