//! Recipients (`age1…`, public) and identities (`AGE-SECRET-KEY-1…`, secret).

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use zeroize::{Zeroize, Zeroizing};

use crate::primitives::{random, x25519, x25519_private, x25519_public};
use crate::{Error, ErrorKind};

const RECIPIENT_HRP: &str = "age";
const IDENTITY_HRP: &str = "AGE-SECRET-KEY-";

/// Somebody to seal for: an X25519 public key, written `age1…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recipient {
    // INVARIANT: not a point of low order, so an agreement with it never comes out as zero.
    public: [u8; 32],
}

impl Recipient {
    /// Reads `age1…`. Refuses anything else, with a reason that names what it seems to be.
    pub fn parse(text: &str) -> Result<Recipient, Error> {
        let key = read_bech32(RECIPIENT_HRP, text).map_err(|why| not_a_recipient(text, why))?;
        Recipient::from_bytes(*key)
    }

    fn from_bytes(public: [u8; 32]) -> Result<Recipient, Error> {
        // Every scalar is a multiple of 8 (RFC 7748 §5), so one agreement with any scalar shows
        // a point of low order. What is sealed for one, everybody can open.
        let probe = x25519_private(&[0x40; 32])?;
        if x25519(&probe, &public).is_none() {
            return Err(Error::new(
                ErrorKind::BadKey,
                "this recipient is a point of low order: anyone could open what is sealed for it",
            ));
        }
        Ok(Recipient { public })
    }

    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32, _>(
            f,
            Hrp::parse_unchecked(RECIPIENT_HRP),
            &self.public,
        )
        .map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl FromStr for Recipient {
    type Err = Error;

    fn from_str(text: &str) -> Result<Recipient, Error> {
        Recipient::parse(text)
    }
}

/// A secret key that opens what was sealed for its [`Recipient`]. Wiped when dropped.
#[derive(Clone)]
pub struct Identity {
    secret: Zeroizing<[u8; 32]>,
    recipient: Recipient,
}

impl Identity {
    /// A new identity from the randomness of the operating system (age.md, "The X25519 recipient
    /// type").
    pub fn generate() -> Result<Identity, Error> {
        Identity::from_secret(random::<32>()?)
    }

    /// Reads `AGE-SECRET-KEY-1…`. Errors never repeat the text.
    pub fn parse(text: &str) -> Result<Identity, Error> {
        let secret = read_bech32(IDENTITY_HRP, text).map_err(|why| not_an_identity(text, why))?;
        Identity::from_secret(secret)
    }

    fn from_secret(secret: Zeroizing<[u8; 32]>) -> Result<Identity, Error> {
        let public = x25519_public(&x25519_private(&secret)?)?;
        Ok(Identity { secret, recipient: Recipient { public } })
    }

    /// The public half, to give to those who seal.
    pub fn to_recipient(&self) -> Recipient {
        self.recipient
    }

    /// `AGE-SECRET-KEY-1…`, for an identity file.
    pub fn secret_text(&self) -> Zeroizing<String> {
        Zeroizing::new(
            bech32::encode_upper::<Bech32>(
                Hrp::parse_unchecked(IDENTITY_HRP),
                self.secret.as_slice(),
            )
            .expect("32 bytes are within the length that Bech32 allows"),
        )
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(for {})", self.recipient)
    }
}

/// Reads an identity file as `age-keygen` and `consign keys new` write it: an identity a line,
/// blank lines and lines starting with `#` ignored. Refuses a file without any identity.
pub fn parse_identity_file(text: &str) -> Result<Vec<Identity>, Error> {
    let mut identities = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let identity = Identity::parse(line).map_err(|error| {
            Error::new(error.kind(), format!("identity file, line {}: {error}", number + 1))
        })?;
        identities.push(identity);
    }
    if identities.is_empty() {
        return Err(Error::new(ErrorKind::BadKey, "the identity file contains no identity"));
    }
    Ok(identities)
}

/// Bech32 (BIP 173) of exactly 32 bytes under exactly this prefix, in the case of the prefix.
fn read_bech32(hrp: &str, text: &str) -> Result<Zeroizing<[u8; 32]>, &'static str> {
    // 32 bytes are 52 characters, then 6 of checksum. Knowing it spares us hostile megabytes.
    if text.len() != hrp.len() + 1 + 52 + 6 {
        return Err("it is not of the right length");
    }
    if !text.starts_with(hrp) {
        return Err("it does not begin as one");
    }
    let parsed = CheckedHrpstring::new::<Bech32>(text)
        .map_err(|_| "a character is wrong (its checksum does not match)")?;
    if parsed.hrp() != Hrp::parse_unchecked(hrp) {
        return Err("it does not begin as one");
    }
    let mut key = Zeroizing::new([0u8; 32]);
    let mut bytes = parsed.byte_iter();
    for slot in key.iter_mut() {
        *slot = bytes.next().ok_or("it is too short")?;
    }
    if bytes.next().is_some() {
        return Err("it is too long");
    }
    // BIP 173: the padding bits must be zero. The decoder drops them, so compare with what
    // encoding gives; this is the only encoding of the key that we accept.
    let lower = hrp.chars().all(|c| !c.is_ascii_uppercase());
    let mut again = if lower {
        bech32::encode_lower::<Bech32>(Hrp::parse_unchecked(hrp), key.as_slice())
    } else {
        bech32::encode_upper::<Bech32>(Hrp::parse_unchecked(hrp), key.as_slice())
    }
    .map_err(|_| "it is too long")?;
    let canonical = again == text;
    again.zeroize();
    if canonical { Ok(key) } else { Err("it is not written in the canonical way") }
}

fn not_a_recipient(text: &str, why: &str) -> Error {
    let (kind, what) = if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        (
            ErrorKind::BadKey,
            "this is a secret identity, not a recipient: keep it to yourself".into(),
        )
    } else if text.starts_with("age1pq1") {
        (
            ErrorKind::UnsupportedKey,
            "post-quantum recipients (age1pq1…) are not supported yet".into(),
        )
    } else if text.starts_with("age1tag") {
        (ErrorKind::UnsupportedKey, "recipients for hardware keys are not supported yet".into())
    } else if text.starts_with("ssh-") {
        (ErrorKind::UnsupportedKey, "SSH keys as recipients are not supported yet".into())
    } else if !text.starts_with("age1") {
        (ErrorKind::BadKey, "not an age recipient: one begins with `age1`".into())
    } else {
        (ErrorKind::BadKey, format!("not a valid age recipient: {why}"))
    };
    Error::new(kind, what as String)
}

fn not_an_identity(text: &str, why: &str) -> Error {
    let (kind, what) = if text.starts_with("AGE-SECRET-KEY-PQ-1") {
        (ErrorKind::UnsupportedKey, "post-quantum identities are not supported yet".to_owned())
    } else if text.starts_with("AGE-PLUGIN-") {
        (ErrorKind::UnsupportedKey, "identities of plugins are not supported".to_owned())
    } else if text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") {
        (
            ErrorKind::UnsupportedKey,
            "it is protected by a passphrase: `age -d` takes it off".to_owned(),
        )
    } else if text.starts_with("-----BEGIN") {
        (ErrorKind::UnsupportedKey, "this is a key of another kind, not an age identity".to_owned())
    } else if text.starts_with("age1") {
        (ErrorKind::BadKey, "this is a recipient (public), not a secret identity".to_owned())
    } else if !text.starts_with("AGE-SECRET-KEY-1") {
        (ErrorKind::BadKey, "not an age identity: one begins with `AGE-SECRET-KEY-1`".to_owned())
    } else {
        (ErrorKind::BadKey, format!("not a valid age identity: {why}"))
    };
    Error::new(kind, what)
}
