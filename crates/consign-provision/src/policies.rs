//! The policies of an exchange: what each lane's bucket and key say, and what each party's
//! principal may ask for.
//!
//! Three documents must agree before a byte moves: the bucket policy ([`bucket`]), the key
//! policy ([`key`]) and the identity policy of whoever calls ([`identity`]). Bucket and key each
//! exclude everybody but the lane's own parties by an explicit deny, so either alone keeps a
//! stranger, or an account's administrator with `Action: *`, from the data. Every document
//! exists in two states, see [`Grants`].
//!
//! Rules that all of them follow:
//!
//! - "Deny only if present and wrong" is `StringNotEquals` *and* `Null: false`. A negated
//!   operator alone, and `…IfExists` in a deny, also fire when the header is missing, and would
//!   refuse `aws s3 cp` without flags.
//! - Exclusion is `ArnNotEquals` on `aws:PrincipalArn`, never `NotPrincipal`: for a role's
//!   session that key is the role's ARN, and for anonymous callers it is absent, which makes
//!   the negated operator true and the deny fire.
//! - The account's root is delegated administration only. No identity policy in the account can
//!   therefore grant `kms:Decrypt`.

pub mod bucket;
pub mod identity;
mod inbox;
pub mod key;
pub mod queue;
pub mod trust;

/// Whether a document lets the lane's parties in.
///
/// A lane is built closed and opened last; destroying closes it first. Closed documents name no
/// principal, so they can be written before the parties' principals exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Nobody touches data, whatever their identity policy says.
    Withheld,
    /// The lane's parties do what the exchange file declares.
    Given,
}

/// `to-client` as `ToClient`, where AWS takes letters and digits alone.
pub(crate) fn letters_and_digits(name: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(capitalised).collect()
}

/// AWS's size limits, in characters without white space. The inline limits are for all inline
/// policies of one user or role together, so splitting a policy in two gains nothing.
pub mod limits {
    /// A bucket policy.
    pub const BUCKET_POLICY_BYTES: usize = 20 * 1024;
    /// A key policy.
    pub const KEY_POLICY_BYTES: usize = 32 * 1024;
    /// All inline policies of a user.
    pub const USER_INLINE_BYTES: usize = 2_048;
    /// All inline policies of a role.
    pub const ROLE_INLINE_BYTES: usize = 10_240;
}
