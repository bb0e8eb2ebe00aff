//! Secret keys: read, unlocked, made and written.

use std::fmt;

use pgp::composed::SignedSecretKey;
use pgp::ser::Serialize;
use pgp::types::Password;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::validity::fingerprint_text;
use super::{armor, generate, keyring};
use crate::{Error, ErrorKind};

/// A secret key with its subkeys. Wiped when dropped; prints its fingerprint and nothing else.
///
/// One that is protected by a passphrase must be unlocked before it opens or signs anything.
#[derive(Clone)]
pub struct SecretKey {
    pub(super) key: SignedSecretKey,
}

/// What kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519 and Curve25519 in the form that every version of GnuPG since 2.1 reads.
    Curve25519,
    /// RSA with 4096 bits, for partners whose tools know nothing newer. Takes seconds to make.
    Rsa4096,
    /// Version 6 of RFC 9580 (2024): Ed25519 and X25519. GnuPG does not read it.
    Curve25519V6,
}

impl SecretKey {
    /// Reads all secret keys of a file: armored or binary, one or a keyring.
    ///
    /// Errors as [`Certificate::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Vec<SecretKey>, Error> {
        let keys = keyring::secret_keys(bytes)?;
        Ok(keys.into_iter().map(|key| SecretKey { key }).collect())
    }

    /// Makes a key for `user_id`, valid from `at` (Unix seconds) and without an end: one key that
    /// signs and certifies, and a subkey that is encrypted to.
    ///
    /// A version 4 key says that it reads containers of version 1 alone, so that GnuPG opens what
    /// is sealed to it; a version 6 key says that it reads version 2, with AES-256-GCM first.
    pub fn generate(kind: KeyKind, user_id: &str, at: u64) -> Result<SecretKey, Error> {
        let key = generate::generate(kind, user_id, at)?;
        Ok(SecretKey { key })
    }

    /// The public half.
    pub fn certificate(&self) -> Certificate {
        Certificate { key: self.key.to_public_key() }
    }

    /// The fingerprint of the primary key: see [`Certificate::fingerprint`].
    pub fn fingerprint(&self) -> String {
        use pgp::types::KeyDetails;
        fingerprint_text(&self.key.primary_key.fingerprint())
    }

    /// Whether any part of it is protected by a passphrase.
    pub fn is_locked(&self) -> bool {
        self.key.primary_key.secret_params().is_encrypted()
            || self
                .key
                .secret_subkeys
                .iter()
                .any(|subkey| subkey.key.secret_params().is_encrypted())
    }

    /// Takes the passphrase off, in memory. Parts without one are left as they are, and so is
    /// everything on failure, which is [`ErrorKind::WrongPassphrase`].
    ///
    /// A primary key whose secret was left elsewhere (`gpg --export-secret-subkeys`) stays locked;
    /// it is enough that one part could be unlocked.
    pub fn unlock(&mut self, passphrase: &str) -> Result<(), Error> {
        let password = Password::from(passphrase);
        let mut key = self.key.clone();
        let mut opened = false;
        if key.primary_key.secret_params().is_encrypted() {
            opened |= key.primary_key.remove_password(&password).is_ok();
        }
        for subkey in &mut key.secret_subkeys {
            if subkey.key.secret_params().is_encrypted() {
                opened |= subkey.key.remove_password(&password).is_ok();
            }
        }
        if !opened && self.is_locked() {
            let context = format!("the passphrase does not unlock the key {}", self.fingerprint());
            return Err(Error::new(ErrorKind::WrongPassphrase, context));
        }
        self.key = key;
        Ok(())
    }

    /// The armored form, as `gpg --import` reads it; protected if a passphrase is given.
    pub fn to_armored(&self, passphrase: Option<&str>) -> Result<Zeroizing<String>, Error> {
        let mut key = self.key.clone();
        if let Some(passphrase) = passphrase {
            let password = Password::from(passphrase);
            let failed =
                |_| Error::usage("a key must be unlocked before it gets another passphrase");
            key.primary_key.set_password(OsRng, &password).map_err(failed)?;
            for subkey in &mut key.secret_subkeys {
                subkey.key.set_password(OsRng, &password).map_err(failed)?;
            }
        }
        let bytes = key.to_bytes().map_err(|_| Error::internal("writing a secret key"))?;
        let text = armor::armored(&Zeroizing::new(bytes), armor::PRIVATE_KEY)?;
        String::from_utf8(text)
            .map(Zeroizing::new)
            .map_err(|_| Error::internal("writing a secret key"))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey").field(&self.fingerprint()).finish()
    }
}
