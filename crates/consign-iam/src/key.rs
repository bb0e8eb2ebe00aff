//! Names of condition keys: compared without regard to ASCII case, by hash first, because a
//! decision looks a few dozen of them up and allocates nothing doing so.

use std::fmt;

/// The name of a condition key, such as `aws:PrincipalArn`. AWS compares these without regard to
/// case; the part after `/` in `aws:PrincipalTag/Team` is compared in the same way.
#[derive(Clone)]
pub struct Key {
    hash: u64,
    folded: Box<str>,
    written: Box<str>,
}

impl Key {
    /// Any text is a name; whether a policy may use it is for the parser to say.
    pub fn new(name: &str) -> Key {
        Key {
            hash: hash_folded(name),
            folded: name.to_ascii_lowercase().into(),
            written: name.into(),
        }
    }

    /// The name as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The name in lower case.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    pub(crate) fn is(&self, known: &KnownKey) -> bool {
        self.hash == known.hash && *self.folded == *known.folded
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.hash == other.hash && self.folded == other.folded
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.written)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// A key that this crate answers from the principal, hashed when compiled.
pub(crate) struct KnownKey {
    hash: u64,
    folded: &'static str,
    pub(crate) written: &'static str,
}

impl KnownKey {
    pub(crate) const fn new(written: &'static str, folded: &'static str) -> KnownKey {
        KnownKey { hash: hash_folded(written), folded, written }
    }
}

/// FNV-1a over the ASCII-lower-cased bytes. Equal hashes are confirmed by comparing the text, so
/// a collision costs time and never a wrong answer.
const fn hash_folded(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash ^= bytes[at].to_ascii_lowercase() as u64;
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}
