//! OpenPGP keys in the key folder, as GnuPG exports them, armored or binary:
//!
//! ```text
//! KEYS/PARTY.openpgp            certificates of a party, of which the exchange file pins fingerprints
//! KEYS/PARTY.openpgp-secret     our secret keys, mode 0600, without a passphrase of their own
//! ```
//!
//! The same files hold keys for lanes with `layout = "s3s2"`. Those that s3s2 makes are bare: no owner, no
//! signature. They serve on such lanes and nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consign::Keys;
use consign_model::PartyName;
use consign_seal::openpgp::{Certificate, SecretKey};
use consign_seal::s3s2;

use super::{files, keys};
use crate::error::CommandError;

const CERTIFICATES: &str = "openpgp";
const SECRET: &str = "openpgp-secret";
/// A keyring that is larger is no keyring of an exchange.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Whether a party has a secret key in the folder.
pub(crate) fn exist(keys_dir: &Path, party: &PartyName) -> bool {
    secret_path(keys_dir, party).exists()
}

/// Reads the party's secret keys, and the certificates of everybody.
pub(crate) fn read_into(
    keys_dir: &Path,
    party: &PartyName,
    keys: &mut Keys,
) -> Result<(), CommandError> {
    let path = secret_path(keys_dir, party);
    if exist(keys_dir, party) {
        keys::check_private(&path)?;
        let bytes = bytes(&path)?;
        keys.openpgp_secret = match (SecretKey::parse(&bytes), s3s2::SecretKey::parse(&bytes)) {
            (Err(error), Err(_)) => return Err(faulty(&path, error)),
            (secret, of_s3s2) => {
                keys.s3s2_secret = Arc::new(of_s3s2.unwrap_or_default());
                secret.unwrap_or_default()
            }
        };
        if let Some(locked) = keys.openpgp_secret.iter().find(|key| key.is_locked()) {
            return Err(CommandError::usage(format!(
                "the OpenPGP key {} in {} is protected by a passphrase",
                locked.fingerprint(),
                path.display()
            ))
            .hint("take the passphrase off the copy in the key folder, which is readable by you alone"));
        }
    }
    let Ok(entries) = std::fs::read_dir(keys_dir) else { return Ok(()) };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == CERTIFICATES)) {
        add_public(&bytes(path)?, keys).map_err(|error| faulty(path, error))?;
    }
    Ok(())
}

/// Adds the certificates of a keyring, and the key in it that s3s2 would take.
///
/// # Errors
/// When there is neither.
pub(crate) fn add_public(bytes: &[u8], keys: &mut Keys) -> Result<(), consign_seal::Error> {
    let now = crate::office::now_ms() / 1000;
    match (Certificate::parse(bytes), s3s2::PublicKey::parse(bytes, now)) {
        (Err(error), Err(_)) => return Err(error),
        (certificates, of_s3s2) => {
            keys.openpgp_certificates.extend(certificates.unwrap_or_default());
            keys.s3s2_public.extend(of_s3s2.ok());
        }
    }
    Ok(())
}

/// The files of secret keys in the key folder, of every party.
pub(crate) fn secret_files(keys_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(keys_dir).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == SECRET))
        .collect();
    files.sort();
    files
}

/// The secret keys of a file, locked or not.
pub(crate) fn read_secret(path: &Path) -> Result<Vec<SecretKey>, CommandError> {
    SecretKey::parse(&secret_bytes(path)?).map_err(|error| faulty(path, error))
}

/// A file of secret keys that nobody else can read.
pub(crate) fn secret_bytes(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, CommandError> {
    keys::check_private(path)?;
    bytes(path)
}

/// The certificates of a file.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<Certificate>, CommandError> {
    Certificate::parse(&bytes(path)?).map_err(|error| faulty(path, error))
}

fn secret_path(keys_dir: &Path, party: &PartyName) -> PathBuf {
    keys_dir.join(format!("{party}.{SECRET}"))
}

fn bytes(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, CommandError> {
    let fault = |e| CommandError::usage(format!("cannot read {}", path.display())).caused_by(e);
    if std::fs::metadata(path).map_err(fault)?.len() > FILE_BYTES_MAX {
        return Err(CommandError::usage(format!("{} is too large for a keyring", path.display())));
    }
    files::read(path).map_err(fault)
}

fn faulty(path: &Path, error: consign_seal::Error) -> CommandError {
    CommandError::usage(format!("{} holds no OpenPGP keys that can be read", path.display()))
        .caused_by(error)
}
