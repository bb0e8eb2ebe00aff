//! X25519 recipients, `age1…`, and their identities (age.md, "The X25519 recipient type").

use std::fmt;

use base64::Engine;
use zeroize::Zeroizing;

use super::file_key::FileKey;
use super::stanza::{Stanza, broken, decode_exactly};
use super::text;
use crate::primitives::{
    BASE64_RAW, hkdf_sha256, random, unwrap_file_key, wrap_file_key, x25519, x25519_private,
    x25519_public,
};
use crate::{Error, ErrorKind};

pub(super) const STANZA: &str = "X25519";
pub(super) const RECIPIENT_HRP: &str = "age";
pub(super) const IDENTITY_HRP: &str = "AGE-SECRET-KEY-";
const INFO: &[u8] = b"age-encryption.org/v1/X25519";

/// An X25519 public key, written `age1…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct X25519Recipient {
    // INVARIANT: not a point of low order, so an agreement with it never comes out as zero.
    public: [u8; 32],
}

impl X25519Recipient {
    pub(super) fn from_bytes(public: [u8; 32]) -> Result<X25519Recipient, Error> {
        if is_of_low_order(&public)? {
            return Err(Error::new(
                ErrorKind::BadKey,
                "this recipient is a point of low order: anyone could open what is sealed for it",
            ));
        }
        Ok(X25519Recipient { public })
    }

    pub(super) fn wrap(&self, file_key: &FileKey) -> Result<Stanza, Error> {
        let ephemeral = x25519_private(&*random::<32>()?)?;
        let share = x25519_public(&ephemeral)?;
        let shared = x25519(&ephemeral, &self.public)
            .ok_or_else(|| Error::internal("agreement with a checked recipient"))?;
        let wrap_key = wrap_key(&shared, &share, &self.public)?;
        let body = wrap_file_key(&wrap_key, file_key.bytes())?;
        Stanza::new(STANZA, &[&BASE64_RAW.encode(share)], &body)
    }
}

impl fmt::Display for X25519Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::encode(RECIPIENT_HRP, &self.public))
    }
}

/// An X25519 secret key, written `AGE-SECRET-KEY-1…`. Wiped when dropped.
#[derive(Clone)]
pub struct X25519Identity {
    secret: Zeroizing<[u8; 32]>,
    recipient: X25519Recipient,
}

impl X25519Identity {
    pub(super) fn generate() -> Result<X25519Identity, Error> {
        X25519Identity::from_secret(random::<32>()?)
    }

    pub(super) fn from_secret(secret: Zeroizing<[u8; 32]>) -> Result<X25519Identity, Error> {
        let public = x25519_public(&x25519_private(&secret)?)?;
        Ok(X25519Identity { secret, recipient: X25519Recipient { public } })
    }

    pub(super) fn recipient(&self) -> X25519Recipient {
        self.recipient
    }

    pub(super) fn secret_text(&self) -> Zeroizing<String> {
        text::encode_secret(IDENTITY_HRP, self.secret.as_slice())
    }

    /// `None` where the stanza is for somebody else.
    pub(super) fn unwrap(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        if stanza.name() != STANZA {
            return Ok(None);
        }
        let (share, body) = parts(stanza)?;
        // "MUST abort if the shared secret is zero."
        let shared = x25519(&x25519_private(&self.secret)?, &share)
            .ok_or_else(|| broken("the share of an X25519 recipient is a point of low order"))?;
        let wrap_key = wrap_key(&shared, &share, &self.recipient.public)?;
        Ok(unwrap_file_key(&wrap_key, body)?.map(FileKey::new))
    }
}

/// Two arguments, a share of 32 bytes, a body of 32 bytes, everything canonical; all else MUST be
/// rejected, whoever tries to open it.
pub(super) fn check(stanza: &Stanza) -> Result<(), Error> {
    parts(stanza).map(drop)
}

fn parts(stanza: &Stanza) -> Result<([u8; 32], &[u8; 32]), Error> {
    let [share] = stanza.arguments() else {
        return Err(broken("an X25519 recipient has the wrong number of arguments"));
    };
    let share = decode_exactly::<32>(share)
        .ok_or_else(|| broken("the share of an X25519 recipient is not 32 canonical bytes"))?;
    let body = <&[u8; 32]>::try_from(stanza.body())
        .map_err(|_| broken("the body of an X25519 recipient is not 32 bytes"))?;
    Ok((share, body))
}

/// Every scalar is a multiple of 8 (RFC 7748 §5), so one agreement with any scalar shows a point
/// of low order. What is sealed for one, everybody can open.
pub(super) fn is_of_low_order(public: &[u8; 32]) -> Result<bool, Error> {
    let probe = x25519_private(&[0x40; 32])?;
    Ok(x25519(&probe, public).is_none())
}

fn wrap_key(
    shared: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut salt = [0u8; 64];
    salt[..32].copy_from_slice(share);
    salt[32..].copy_from_slice(recipient);
    hkdf_sha256(shared, &salt, INFO)
}
