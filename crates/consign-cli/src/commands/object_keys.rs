//! Keys that wrap the data keys of single objects, as `seal` and `open` take them: a KMS key by its
//! name, an AES key or an RSA key in a file.

use std::path::Path;

use consign::s3ec::Keyring;
use consign_seal::s3ec::{AesKey, Pairs, RsaPrivateKey, RsaPublicKey, Wrap};
use zeroize::Zeroizing;

use super::keys;
use crate::args::ObjectKeyArgs;
use crate::error::CommandError;

/// A key file that is larger is none.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What the flags name, if anything; an RSA key must be the private one.
pub(crate) fn for_opening(args: &ObjectKeyArgs) -> Result<Option<Keyring>, CommandError> {
    keyring(args, |pem| Ok(Keyring::RsaPrivate(RsaPrivateKey::from_pem(pem)?)))
}

/// The same for sealing, where an RSA key may be the public one.
pub(crate) fn for_sealing(args: &ObjectKeyArgs) -> Result<Option<Keyring>, CommandError> {
    keyring(args, |pem| match pem.contains("PRIVATE KEY") {
        true => Ok(Keyring::RsaPrivate(RsaPrivateKey::from_pem(pem)?)),
        false => Ok(Keyring::RsaPublic(RsaPublicKey::from_pem(pem)?)),
    })
}

fn keyring(
    args: &ObjectKeyArgs,
    rsa: impl Fn(&str) -> Result<Keyring, consign_seal::Error>,
) -> Result<Option<Keyring>, CommandError> {
    // clap lets only one of the three through.
    if let Some(key) = &args.kms {
        return Ok(Some(Keyring::Kms(key.clone())));
    }
    if let Some(path) = &args.aes_key {
        let key = AesKey::parse(&read(path, true)?);
        return Ok(Some(Keyring::Aes(key.map_err(|error| faulty(path, error))?)));
    }
    let Some(path) = &args.rsa_key else { return Ok(None) };
    let bytes = read(path, false)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| CommandError::usage(format!("{} is not a PEM file", path.display())))?;
    if text.contains("PRIVATE KEY") {
        keys::check_private(path)?;
    }
    rsa(text).map(Some).map_err(|error| faulty(path, error))
}

/// The pairs of `--context NAME=VALUE`.
pub(crate) fn context(args: &ObjectKeyArgs) -> Result<Pairs, CommandError> {
    let mut pairs = Pairs::new();
    for text in &args.context {
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
    std::fs::read(path).map(Zeroizing::new).map_err(cannot)
}

fn faulty(path: &Path, error: consign_seal::Error) -> CommandError {
    CommandError::from(error).within(path.display().to_string())
}
