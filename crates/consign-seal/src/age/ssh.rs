//! SSH keys that people have already, as recipients and identities.
//!
//! Not in age.md: the stanzas are those that `age` has written since its first release (package
//! `agessh`, "These should only be used for compatibility with existing keys"). A stanza names its
//! recipient by four bytes of a hash, so who can read the file is not hidden.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine;
use curve25519_dalek::edwards::CompressedEdwardsY;
use zeroize::Zeroizing;

use super::file_key::FileKey;
use super::stanza::{Stanza, broken, decode_exactly};
use super::x25519::is_of_low_order;
use crate::openssh::private::{self, PrivateKey};
use crate::openssh::rsa::{RsaPrivateKey, RsaPublicKey};
use crate::openssh::wire;
use crate::primitives::{
    BASE64_PADDED, BASE64_RAW, hkdf_sha256, random, unwrap_file_key, wrap_file_key, x25519,
    x25519_private, x25519_public,
};
use crate::{Error, ErrorKind};

const ED25519: &str = "ssh-ed25519";
const RSA: &str = "ssh-rsa";
const ED25519_LABEL: &[u8] = b"age-encryption.org/v1/ssh-ed25519";
const RSA_LABEL: &[u8] = b"age-encryption.org/v1/ssh-rsa";

/// An SSH public key, written as in a `.pub` file: `ssh-ed25519 AAAA…` or `ssh-rsa AAAA…`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SshRecipient(Public);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Public {
    Ed25519 {
        key: [u8; 32],
        // INVARIANT: the same point for X25519, and not one of low order.
        montgomery: [u8; 32],
    },
    Rsa(RsaPublicKey),
}

impl SshRecipient {
    /// Reads a line of a `.pub` file: type, base64 and, ignored, a comment.
    pub(super) fn parse(line: &str) -> Result<SshRecipient, Error> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        if name != ED25519 && name != RSA {
            let context = "of SSH keys, only ssh-ed25519 and ssh-rsa can be sealed for";
            return Err(Error::new(ErrorKind::UnsupportedKey, context));
        }
        let blob = BASE64_PADDED
            .decode(words.next().unwrap_or_default())
            .map_err(|_| bad_key("the SSH public key is not canonical base64"))?;
        if name == RSA {
            return Ok(SshRecipient(Public::Rsa(RsaPublicKey::from_wire(&blob)?)));
        }
        let key = wire::untyped(&blob)
            .and_then(|key| <[u8; 32]>::try_from(key).ok())
            .ok_or_else(|| bad_key("not an Ed25519 public key"))?;
        SshRecipient::ed25519(key)
    }

    fn ed25519(key: [u8; 32]) -> Result<SshRecipient, Error> {
        // The birational map of RFC 7748 §4.1; the crate also sees that it is a point at all.
        let point = CompressedEdwardsY(key)
            .decompress()
            .ok_or_else(|| bad_key("not an Ed25519 public key: it is no point of the curve"))?;
        let montgomery = point.to_montgomery().0;
        if is_of_low_order(&montgomery)? {
            return Err(bad_key(
                "this recipient is a point of low order: anyone could open what is sealed for it",
            ));
        }
        Ok(SshRecipient(Public::Ed25519 { key, montgomery }))
    }

    fn wire(&self) -> Vec<u8> {
        match &self.0 {
            Public::Ed25519 { key, .. } => wire::typed(key),
            Public::Rsa(key) => key.wire(),
        }
    }

    /// The first argument of its stanzas: four bytes of SHA-256 over the encoded key.
    fn tag(&self) -> String {
        BASE64_RAW.encode(digest(&SHA256, &self.wire()).as_ref().get(..4).unwrap_or_default())
    }

    pub(super) fn wrap(&self, file_key: &FileKey) -> Result<Stanza, Error> {
        match &self.0 {
            Public::Ed25519 { montgomery, .. } => {
                let ephemeral = x25519_private(&*random::<32>()?)?;
                let share = x25519_public(&ephemeral)?;
                let shared = x25519(&ephemeral, montgomery)
                    .ok_or_else(|| Error::internal("agreement with a checked recipient"))?;
                let wrap_key = wrap_key(&self.wire(), &shared, &share, montgomery)?;
                let body = wrap_file_key(&wrap_key, file_key.bytes())?;
                Stanza::new(ED25519, &[&self.tag(), &BASE64_RAW.encode(share)], &body)
            }
            Public::Rsa(key) => {
                Stanza::new(RSA, &[&self.tag()], &key.encrypt(file_key.bytes(), RSA_LABEL)?)
            }
        }
    }
}

impl fmt::Display for SshRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.0 {
            Public::Ed25519 { .. } => ED25519,
            Public::Rsa(_) => RSA,
        };
        write!(f, "{name} {}", BASE64_PADDED.encode(self.wire()))
    }
}

/// An SSH private key that opens what was sealed for its public half. Wiped when dropped.
#[derive(Clone)]
pub struct SshIdentity {
    secret: Secret,
    recipient: SshRecipient,
}

#[derive(Clone)]
enum Secret {
    /// The scalar of RFC 8032 §5.1.5 before it is clamped, which X25519 does.
    Ed25519(Zeroizing<[u8; 32]>),
    Rsa(RsaPrivateKey),
}

impl SshIdentity {
    /// Reads an OpenSSH private key file; see [`private::parse`].
    pub(super) fn parse(text: &str, passphrase: Option<&[u8]>) -> Result<SshIdentity, Error> {
        match private::parse(text, passphrase)? {
            PrivateKey::Ed25519 { seed, public } => {
                let mut scalar = Zeroizing::new([0u8; 32]);
                let hash = digest(&SHA512, seed.as_slice());
                scalar.copy_from_slice(hash.as_ref().get(..32).unwrap_or_default());
                Ok(SshIdentity {
                    secret: Secret::Ed25519(scalar),
                    recipient: SshRecipient::ed25519(public)?,
                })
            }
            PrivateKey::Rsa(key) => Ok(SshIdentity {
                recipient: SshRecipient(Public::Rsa(key.public().clone())),
                secret: Secret::Rsa(key),
            }),
        }
    }

    pub(super) fn recipient(&self) -> &SshRecipient {
        &self.recipient
    }

    /// `None` where the stanza is for somebody else. A stanza that names our key and is malformed
    /// is refused; one that names another's may be anything, as the type is not in age.md.
    pub(super) fn unwrap(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        let ours = stanza.arguments().first().is_some_and(|tag| *tag == self.recipient.tag());
        match (&self.secret, &self.recipient.0) {
            (Secret::Ed25519(secret), Public::Ed25519 { montgomery, .. })
                if ours && stanza.name() == ED25519 =>
            {
                let (share, body) = ed25519_parts(stanza)?;
                let shared = x25519(&x25519_private(secret)?, &share).ok_or_else(|| {
                    broken("the share of an ssh-ed25519 recipient is a point of low order")
                })?;
                let wrap_key = wrap_key(&self.recipient.wire(), &shared, &share, montgomery)?;
                Ok(unwrap_file_key(&wrap_key, body)?.map(FileKey::new))
            }
            (Secret::Rsa(key), _) if ours && stanza.name() == RSA => {
                if stanza.arguments().len() != 1 {
                    return Err(broken("an ssh-rsa recipient has the wrong number of arguments"));
                }
                let plain = key.decrypt(stanza.body(), RSA_LABEL)?;
                // The tag is four bytes, so another key may have the same.
                let file_key = plain.and_then(|plain| <[u8; 16]>::try_from(plain.as_slice()).ok());
                Ok(file_key.map(FileKey::from_bytes))
            }
            _ => Ok(None),
        }
    }
}

fn ed25519_parts(stanza: &Stanza) -> Result<([u8; 32], &[u8; 32]), Error> {
    let [_, share] = stanza.arguments() else {
        return Err(broken("an ssh-ed25519 recipient has the wrong number of arguments"));
    };
    let share = decode_exactly::<32>(share)
        .ok_or_else(|| broken("the share of an ssh-ed25519 recipient is not 32 canonical bytes"))?;
    let body = <&[u8; 32]>::try_from(stanza.body())
        .map_err(|_| broken("the body of an ssh-ed25519 recipient is not 32 bytes"))?;
    Ok((share, body))
}

/// The shared point is multiplied by a scalar derived from the key's encoding, so that the wrap
/// key belongs to the SSH key and not only to its point.
fn wrap_key(
    wire: &[u8],
    shared: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let tweak = hkdf_sha256(&[], wire, ED25519_LABEL)?;
    let tweaked = x25519(&x25519_private(&tweak)?, shared)
        .ok_or_else(|| Error::internal("multiplying the shared point"))?;
    let mut salt = [0u8; 64];
    salt[..32].copy_from_slice(share);
    salt[32..].copy_from_slice(recipient);
    hkdf_sha256(&*tweaked, &salt, ED25519_LABEL)
}

fn bad_key(what: &str) -> Error {
    Error::new(ErrorKind::BadKey, what)
}
