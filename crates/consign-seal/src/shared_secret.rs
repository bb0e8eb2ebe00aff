//! A secret that the parties of a lane share, and the keys that follow from it.
//!
//! It exists for SSE-C, where every request must bring the key that S3 encrypts under: from one
//! secret follows a key for each object, so that no key has to be kept or sent, and the key of one
//! object, handed to somebody for a download with stock tools, gives no other away.
//! [`SharedSecret::derive`] is HKDF-SHA256 (RFC 5869), which `openssl kdf` computes too.

use std::fmt;

use zeroize::Zeroizing;

use crate::primitives::{hkdf_sha256, random};
use crate::{Error, ErrorKind};

/// What its text begins with: a version, so that another derivation gets another word.
const MAGIC: &str = "consign-lane-secret-1";

/// 32 bytes of the system's randomness that several parties hold. Shows nothing but its id, and is
/// wiped when it is dropped.
#[derive(Clone)]
pub struct SharedSecret {
    secret: Zeroizing<[u8; 32]>,
    id: String,
}

impl SharedSecret {
    /// A new secret.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<SharedSecret, Error> {
        SharedSecret::from_secret(random::<32>()?)
    }

    fn from_secret(secret: Zeroizing<[u8; 32]>) -> Result<SharedSecret, Error> {
        // One way, like every derivation: the id tells secrets apart and nothing about them.
        let id = hkdf_sha256(secret.as_slice(), MAGIC.as_bytes(), b"id")?;
        let id = id.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(SharedSecret { secret, id })
    }

    /// Reads [`SharedSecret::to_text`]. The id in it is compared, so that a mistyped secret is
    /// known before anything was stored under it. The error never repeats the text.
    ///
    /// # Errors
    /// [`ErrorKind::BadKey`] for anything else.
    pub fn parse(text: &str) -> Result<SharedSecret, Error> {
        let bad = |why: &str| {
            Error::new(
                ErrorKind::BadKey,
                format!("not a lane secret: {why}; one is `{MAGIC} ID SECRET` on one line"),
            )
        };
        let mut words = text.trim().split(' ');
        let (Some(MAGIC), Some(id), Some(hex), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad("it has another form"));
        };
        let secret = unhex(hex).ok_or_else(|| bad("it is not 64 lower-case hexadecimal digits"))?;
        let secret = SharedSecret::from_secret(secret)?;
        match secret.id == id {
            true => Ok(secret),
            false => Err(bad("a digit is wrong (its id does not match)")),
        }
    }

    /// `consign-lane-secret-1 ID SECRET`, id and secret in hexadecimal: for a private file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MAGIC.len() + 2 + 16 + 64));
        for word in [MAGIC, self.id.as_str()] {
            text.push_str(word);
            text.push(' ');
        }
        for byte in self.secret.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// Tells this secret from others; public, 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key for one purpose: HKDF-SHA256 of the secret with this salt and info.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn derive(&self, salt: &str, info: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
        hkdf_sha256(self.secret.as_slice(), salt.as_bytes(), info.as_bytes())
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecret({})", self.id)
    }
}

fn unhex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digit = |b: &u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut secret = Zeroizing::new([0; 32]);
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 64 {
        return None;
    }
    for (slot, pair) in secret.iter_mut().zip(pairs) {
        let [high, low] = pair else { return None };
        *slot = digit(high)? << 4 | digit(low)?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_as_it_is_written_and_a_damaged_one_not() {
        let secret = SharedSecret::generate().expect("randomness");
        let text = secret.to_text();
        let again = SharedSecret::parse(&format!("{}\n", *text)).expect("its own text");
        assert_eq!(again.id(), secret.id());
        assert_eq!(again.to_text(), text);
        assert!(!format!("{secret:?}").contains(text.split(' ').nth(2).expect("the secret")));
        for place in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[place] = if other[place] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).expect("ASCII");
            let error = SharedSecret::parse(&other).expect_err("one digit is another");
            assert_eq!(error.kind(), ErrorKind::BadKey, "at {place}");
            assert!(!error.to_string().contains(&other[40..]), "{error}");
        }
        for bad in ["", "consign-lane-secret-1", &text[..80], &format!("{} x", *text)] {
            assert!(SharedSecret::parse(bad).is_err());
        }
    }

    #[test]
    fn every_purpose_has_its_own_key() {
        let secret = SharedSecret::generate().expect("randomness");
        let key = |salt, info| secret.derive(salt, info).expect("a key");
        assert_eq!(key("a", "b"), key("a", "b"));
        assert_ne!(key("a", "b"), key("a", "c"));
        assert_ne!(key("a", "b"), key("ab", ""));
    }
}
