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
