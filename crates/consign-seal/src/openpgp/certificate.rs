//! Certificates: other people's public keys, and what they allow.

use std::fmt;

use pgp::composed::SignedPublicKey;
use pgp::crypto::aead::AeadAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, KeyVersion};

use super::validity::{Component, Purpose, Standing, fingerprint_text, key_id_text};
use super::{armor, keyring};
use crate::{Error, ErrorKind};

/// A public key with its subkeys, names and self-signatures: what RFC 9580 calls a certificate.
///
/// That it could be read says nothing about whether it may be used, and nothing about whose it
/// is: compare [`Certificate::fingerprint`] with what its owner says by another way.
#[derive(Clone, PartialEq)]
pub struct Certificate {
    pub(super) key: SignedPublicKey,
}

impl Certificate {
    /// Reads all certificates of a file: armored or binary, one or a keyring.
    ///
    /// Errors: [`ErrorKind::BadKey`] for what cannot be read and for secret keys,
    /// [`ErrorKind::Armor`] and [`ErrorKind::Truncated`] for damaged text.
    pub fn parse(bytes: &[u8]) -> Result<Vec<Certificate>, Error> {
        let keys = keyring::public_keys(bytes)?;
        Ok(keys.into_iter().map(|key| Certificate { key }).collect())
    }

    /// The fingerprint of the primary key in upper-case hexadecimal: 40 digits of a version 4
    /// key, 64 of a version 6 key.
    pub fn fingerprint(&self) -> String {
        fingerprint_text(&self.key.primary_key.fingerprint())
    }

    /// The names that the certificate carries. Unchecked: anybody can write any name.
    pub fn user_ids(&self) -> Vec<String> {
        let names = self.key.details.users.iter();
        names.map(|user| String::from_utf8_lossy(user.id.id()).into_owned()).collect()
    }

    /// The keys that something may be sealed to at `at` (Unix seconds): every valid one, as a
    /// person may keep a subkey per device.
    ///
    /// Errors when there is none: [`ErrorKind::RevokedKey`], [`ErrorKind::ExpiredKey`],
    /// [`ErrorKind::Weak`], [`ErrorKind::UnsupportedKey`] or [`ErrorKind::BadKey`], with the reason.
    pub fn encryption_keys(&self, at: u64) -> Result<Vec<EncryptionKey<'_>>, Error> {
        let standing = Standing::at(&self.key, at)?;
        let v2 = standing.reads_seipd_v2();
        let keys = standing.keys(Purpose::Encrypt)?;
        Ok(keys.into_iter().map(|component| EncryptionKey { component, v2 }).collect())
    }

    /// Whether something that it signed at `at` counts; the errors are those of
    /// [`Certificate::encryption_keys`].
    pub fn check_signing(&self, at: u64) -> Result<(), Error> {
        Standing::at(&self.key, at)?.keys(Purpose::Sign).map(drop)
    }

    /// The binary form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.key.to_bytes().map_err(|_| Error::internal("writing a certificate"))
    }

    /// The armored form, as `gpg --import` reads it.
    pub fn to_armored(&self) -> Result<String, Error> {
        let text = armor::armored(&self.to_bytes()?, armor::PUBLIC_KEY)?;
        String::from_utf8(text).map_err(|_| Error::internal("writing a certificate"))
    }

    /// The AEAD suites that its owner prefers, if software of his reads containers of version 2.
    /// AES-128 with OCB is understood by all who read these (RFC 9580 §5.2.3.15).
    pub(super) fn suites(
        &self,
        at: u64,
    ) -> Result<Vec<(SymmetricKeyAlgorithm, AeadAlgorithm)>, Error> {
        let standing = Standing::at(&self.key, at)?;
        let stated = standing.preferences().map(|s| s.preferred_aead_algs().to_vec());
        Ok(stated.unwrap_or_default())
    }

    /// Whether its owner's software is known to read AES-256 (RFC 9580 §5.2.3.14).
    pub(super) fn prefers_aes256(&self, at: u64) -> Result<bool, Error> {
        let standing = Standing::at(&self.key, at)?;
        let stated = standing.preferences().map(|s| s.preferred_symmetric_algs());
        Ok(stated.is_some_and(|list| list.contains(&SymmetricKeyAlgorithm::AES256)))
    }

    /// The key that made a signature, if it is of this certificate and could sign at `at`.
    pub(super) fn signing_keys(&self, at: u64) -> Result<Vec<Component<'_>>, Error> {
        Standing::at(&self.key, at)?.keys(Purpose::Sign)
    }

    /// All its keys, usable or not.
    pub(super) fn components(&self) -> impl Iterator<Item = Component<'_>> {
        let subkeys = self.key.public_subkeys.iter().map(|subkey| Component::Subkey(&subkey.key));
        std::iter::once(Component::Primary(&self.key.primary_key)).chain(subkeys)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.user_ids();
        f.debug_tuple("Certificate").field(&self.fingerprint()).field(&names).finish()
    }
}

/// A key of a certificate that something may be sealed to.
#[derive(Clone, Copy, Debug)]
pub struct EncryptionKey<'a> {
    pub(super) component: Component<'a>,
    v2: bool,
}

impl EncryptionKey<'_> {
    /// Its fingerprint in upper-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        fingerprint_text(&self.component.details().fingerprint())
    }

    /// Its key id: 16 hexadecimal digits, as a sealed message may name it.
    pub fn key_id(&self) -> String {
        key_id_text(&self.component.details().legacy_key_id())
    }

    /// Its algorithm in words, such as `RSA` or `X25519`.
    pub fn algorithm(&self) -> String {
        format!("{:?}", self.component.details().algorithm())
    }

    /// Whether its owner's software reads containers of version 2: it says so, or is of the
    /// version that came with them.
    pub fn reads_seipd_v2(&self) -> bool {
        self.v2 || self.component.details().version() == KeyVersion::V6
    }
}

/// The one certificate with this fingerprint (spaces and case do not matter).
///
/// Errors: [`ErrorKind::WrongSigner`] if none has it. A key id of 16 digits or fewer is refused as
/// [`ErrorKind::Usage`]: others can make a key with the same.
pub fn pinned(certificates: Vec<Certificate>, fingerprint: &str) -> Result<Certificate, Error> {
    let wanted: String = fingerprint
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let is_whole = matches!(wanted.len(), 40 | 64) && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_whole {
        let context = format!(
            "`{}` is not the fingerprint of an OpenPGP key: it has 40 or 64 hexadecimal digits",
            fingerprint.escape_debug()
        );
        return Err(Error::new(ErrorKind::Usage, context));
    }
    let found: Vec<String> = certificates.iter().map(Certificate::fingerprint).collect();
    certificates.into_iter().find(|certificate| certificate.fingerprint() == wanted).ok_or_else(
        || {
            let context = format!(
                "no key there has the pinned fingerprint {wanted}; found {}",
                found.join(", ")
            );
            Error::new(ErrorKind::WrongSigner, context)
        },
    )
}
