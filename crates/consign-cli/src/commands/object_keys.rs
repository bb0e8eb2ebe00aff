//! Keys that wrap the data keys of single objects, as `seal` and `open` take them: a KMS key by its
//! name, an AES key or an RSA key in a file.

use std::path::Path;

use consign::s3ec::Keyring;
use consign_seal::s3ec::{AesKey, Pairs, RsaPrivateKey, RsaPublicKey, Wrap};
use zeroize::Zeroizing;

use super::{files, keys};
use crate::args::ObjectKeyArgs;
use crate::error::CommandError;

/// A key file that is larger is none.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What the flags name, if anything; an RSA key must be the private one.
pub(crate) fn for_opening(args: &ObjectKeyArgs) -> Result<Option<Keyring>, CommandError> {
    keyring(args, rsa_to_open)
}

/// The same for sealing, where an RSA key may be the public one.
pub(crate) fn for_sealing(args: &ObjectKeyArgs) -> Result<Option<Keyring>, CommandError> {
    keyring(args, rsa_to_seal)
}

fn keyring(
    args: &ObjectKeyArgs,
    rsa: impl Fn(&Path) -> Result<Keyring, CommandError>,
) -> Result<Option<Keyring>, CommandError> {
    // clap lets only one of the three through.
    if let Some(key) = &args.kms {
        return Ok(Some(Keyring::Kms(key.clone())));
    }
    if let Some(path) = &args.aes_key {
        return aes(path).map(Some);
    }
    args.rsa_key.as_deref().map(rsa).transpose()
}

/// The AES key in a file that nobody else can read.
pub(crate) fn aes(path: &Path) -> Result<Keyring, CommandError> {
    let key = AesKey::parse(&read(path, true)?);
    Ok(Keyring::Aes(key.map_err(|error| faulty(path, error))?))
}

/// The RSA private key in a PEM file that nobody else can read.
pub(crate) fn rsa_to_open(path: &Path) -> Result<Keyring, CommandError> {
    let pem = pem(path)?;
    let key = RsaPrivateKey::from_pem(&pem).map_err(|error| faulty(path, error))?;
    Ok(Keyring::RsaPrivate(key))
}

/// The RSA key in a PEM file; the public one is enough.
pub(crate) fn rsa_to_seal(path: &Path) -> Result<Keyring, CommandError> {
    let text = pem(path)?;
    if text.contains("PRIVATE KEY") {
        return rsa_to_open(path);
    }
    let key = RsaPublicKey::from_pem(&text).map_err(|error| faulty(path, error))?;
    Ok(Keyring::RsaPublic(key))
}

fn pem(path: &Path) -> Result<Zeroizing<String>, CommandError> {
    let bytes = read(path, false)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| CommandError::usage(format!("{} is not a PEM file", path.display())))?;
    if text.contains("PRIVATE KEY") {
        keys::check_private(path)?;
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// The pairs of `--context NAME=VALUE`, each name once.
pub(crate) fn context(texts: &[String]) -> Result<Pairs, CommandError> {
    let mut pairs = Pairs::new();
    for text in texts {
        let (name, value) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                CommandError::usage(format!("--context {text} is not NAME=VALUE"))
                    .hint("for example --context purpose=radiology")
            })?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(CommandError::usage(format!("--context says {name} twice")));
        }
    }
    Ok(pairs)
}

/// What wraps so, in words, and the flag that names one.
pub(crate) fn of_wrap(wrap: Wrap) -> (&'static str, &'static str) {
    match wrap {
        Wrap::KmsContext | Wrap::Kms => ("a KMS key", "--kms KEY-ARN"),
        Wrap::AesGcm | Wrap::AesKeyWrap | Wrap::AesEcb => ("an AES key", "--aes-key FILE"),
        Wrap::RsaOaepSha1 | Wrap::RsaOaepSha256 | Wrap::RsaPkcs1 => {
            ("an RSA key", "--rsa-key FILE")
        }
    }
}

fn read(path: &Path, private: bool) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    if private {
        keys::check_private(path)?;
    }
    let cannot = |e| CommandError::usage(format!("cannot read {}", path.display())).caused_by(e);
    if std::fs::metadata(path).map_err(cannot)?.len() > FILE_BYTES_MAX {
        return Err(CommandError::usage(format!("{} is too large for a key", path.display())));
    }
    files::read(path).map_err(cannot)
}

fn faulty(path: &Path, error: consign_seal::Error) -> CommandError {
    CommandError::from(error).within(path.display().to_string())
}
