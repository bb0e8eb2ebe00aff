//! One object of Amazon's S3 Encryption Client: its instruction file for another key.

use std::path::Path;

use consign::s3ec::{Keyring, Rewrap, rewrap};
use consign_cloud::Cloud;
use consign_cloud::s3::GetObject;
use consign_seal::s3ec::{AesKey, INSTRUCTION_FILE_SUFFIX, Pairs, RsaPrivateKey, RsaPublicKey};
use zeroize::Zeroizing;

use crate::args::RewrapArgs;
use crate::commands::keys;
use crate::connect;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::{Terminal, escape};

/// Rewraps the object that is named.
pub(super) async fn run(
    args: &RewrapArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let [name] = args.what.as_slice() else {
        return Err(CommandError::usage("one object is rewrapped at a time")
            .hint("consign rewrap s3://BUCKET/KEY --from-key … --to-key …"));
    };
    let from = place(name)?;
    let flags = &args.object;
    let old = keyring(flags.from_key.as_deref().unwrap_or_default(), false)?;
    let new = keyring(flags.to_key.as_deref().unwrap_or_default(), true)?;
    let how = Rewrap {
        from: &old,
        to: &new,
        context: context(&flags.context)?,
        suffix: flags.to_suffix.as_deref().map(suffix).transpose()?,
    };
    if args.dry_run {
        return Err(CommandError::usage(
            "there is nothing to look at before one object is rewrapped",
        )
        .hint("leave out --dry-run; the object itself stays as it is"));
    }
    let cloud = Cloud::connect(&connect::cloud_settings(settings, None)).await?;
    let done = rewrap(&cloud, &from, &how).await?;
    let ending = how.suffix.as_deref().unwrap_or(INSTRUCTION_FILE_SUFFIX);
    let view = serde_json::json!({
        "object": name,
        "instruction_file": format!("{name}{ending}"),
        "version_id": done.version_id,
    });
    let mut text = format!("{} opens with {}", escape(name), flags.to_key.as_deref().unwrap_or(""));
    if how.suffix.is_none() && done.version_id.is_some() {
        text.push_str(
            "; the old instruction file is an older version, which opens with the old key until it \
             is removed",
        );
    }
    terminal.result(&view, &text)
}

fn place(name: &str) -> Result<GetObject, CommandError> {
    let place = name.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let (bucket, key) =
        place.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()).ok_or_else(|| {
            CommandError::usage(format!("{} names no object", escape(name))).hint("s3://BUCKET/KEY")
        })?;
    Ok(GetObject { bucket: bucket.to_owned(), key: key.to_owned(), ..GetObject::default() })
}

/// `kms:KEY`, `aes:FILE` or `rsa:FILE`; a public RSA key only wraps.
fn keyring(text: &str, to_wrap: bool) -> Result<Keyring, CommandError> {
    let (kind, name) = text.split_once(':').unwrap_or_default();
    let path = Path::new(name);
    let faulty = |error: consign_seal::Error| CommandError::from(error).within(name.to_owned());
    match kind {
        "kms" => Ok(Keyring::Kms(name.to_owned())),
        "aes" => {
            let bytes = read(path, true)?;
            let bytes = <&[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
                CommandError::usage(format!("{name} is no AES key: it has not 32 bytes"))
            })?;
            Ok(Keyring::Aes(AesKey::from_bytes(bytes)))
        }
        "rsa" => {
            let bytes = read(path, false)?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| CommandError::usage(format!("{name} is no PEM file")))?;
            if to_wrap && !text.contains("PRIVATE KEY") {
                return Ok(Keyring::RsaPublic(RsaPublicKey::from_pem(text).map_err(faulty)?));
            }
            keys::check_private(path)?;
            Ok(Keyring::RsaPrivate(RsaPrivateKey::from_pem(text).map_err(faulty)?))
        }
        _ => Err(CommandError::usage(format!(
            "{} does not say what kind of key it is",
            escape(text)
        ))
        .hint("kms:KEY-ARN, aes:FILE or rsa:FILE")),
    }
}

fn read(path: &Path, private: bool) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    const KEY_FILE_BYTES_MAX: u64 = 64 << 10;
    if private {
        keys::check_private(path)?;
    }
    let cannot = |e| CommandError::usage(format!("cannot read {}", path.display())).caused_by(e);
    if std::fs::metadata(path).map_err(cannot)?.len() > KEY_FILE_BYTES_MAX {
        return Err(CommandError::usage(format!("{} is too large for a key", path.display())));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(cannot)
}

/// The pairs of `--context`; none if there are none.
fn context(texts: &[String]) -> Result<Option<Pairs>, CommandError> {
    let mut pairs = Pairs::new();
    for text in texts {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or_else(|| {
            CommandError::usage(format!("--context {} is not NAME=VALUE", escape(text)))
        })?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(CommandError::usage(format!("--context says {} twice", escape(name))));
        }
    }
    Ok((!pairs.is_empty()).then_some(pairs))
}

/// An ending with which no object of another name is overwritten by mistake.
fn suffix(text: &str) -> Result<String, CommandError> {
    let good = text.strip_prefix('.').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    match good {
        true => Ok(text.to_owned()),
        false => Err(CommandError::usage("an ending is a dot, then letters, digits and hyphens")
            .hint("--to-suffix .instruction-partner")),
    }
}
