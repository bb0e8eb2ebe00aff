//! One object of Amazon's S3 Encryption Client: its instruction file for another key.

use std::path::Path;

use consign::s3ec::{Keyring, Rewrap, rewrap};
use consign_seal::s3ec::INSTRUCTION_FILE_SUFFIX;

use crate::args::RewrapArgs;
use crate::commands::object_address::ObjectAddress;
use crate::commands::object_keys;
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
    let from = ObjectAddress::parse(name)?.to_get();
    let flags = &args.object;
    let old = keyring(flags.from_key.as_deref().unwrap_or_default(), false)?;
    let new = keyring(flags.to_key.as_deref().unwrap_or_default(), true)?;
    let how = Rewrap {
        from: &old,
        to: &new,
        context: Some(object_keys::context(&flags.context)?).filter(|pairs| !pairs.is_empty()),
        suffix: flags.to_suffix.as_deref().map(suffix).transpose()?,
    };
    if args.dry_run {
        return Err(CommandError::usage(
            "there is nothing to look at before one object is rewrapped",
        )
        .hint("leave out --dry-run; the object itself stays as it is"));
    }
    let cloud = connect::connect(settings, None).await?;
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

/// `kms:KEY`, `aes:FILE` or `rsa:FILE`; a public RSA key only wraps.
fn keyring(text: &str, to_wrap: bool) -> Result<Keyring, CommandError> {
    let (kind, name) = text.split_once(':').unwrap_or_default();
    let path = Path::new(name);
    if name.is_empty() && ["kms", "aes", "rsa"].contains(&kind) {
        return Err(CommandError::usage(format!("{} names no key", escape(text)))
            .hint("kms:KEY-ARN, aes:FILE or rsa:FILE"));
    }
    match kind {
        "kms" => Ok(Keyring::Kms(name.to_owned())),
        "aes" => object_keys::aes(path),
        "rsa" if to_wrap => object_keys::rsa_to_seal(path),
        "rsa" => object_keys::rsa_to_open(path),
        _ => Err(CommandError::usage(format!(
            "{} does not say what kind of key it is",
            escape(text)
        ))
        .hint("kms:KEY-ARN, aes:FILE or rsa:FILE")),
    }
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
