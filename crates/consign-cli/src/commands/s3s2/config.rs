//! `consign s3s2 config`.

use std::io::BufRead;

use consign_s3s2::Config;
use serde_json::json;

use super::{CONFIG, natively};
use crate::args::S3s2ConfigArgs;
use crate::commands::files;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

pub(super) fn run(
    args: &S3s2ConfigArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let path = args.file.clone().unwrap_or_else(|| settings.home.join(CONFIG));
    let config = Config {
        bucket: answer(terminal, &args.bucket, "a bucket")?,
        region: answer(terminal, &settings.region, "a region")?,
        org: answer(terminal, &args.org, "an org")?,
        directory: answer(terminal, &args.directory, "a working directory")?.map(Into::into),
        prefix: answer(terminal, &args.prefix, "a file prefix (nothing sensitive)")?,
        receiver_public_key: answer(
            terminal,
            &args.receiver_public_key,
            "a public key to use (file path)",
        )?
        .map(|key| local(&key))
        .transpose()?,
        ..Config::default()
    };
    if config == Config::default() {
        return Err(CommandError::usage("nothing was said that could be written down")
            .hint("consign s3s2 config --bucket BUCKET --org ORG …, or answer the questions"));
    }
    let mut text = config.to_text()?;
    text.push('\n');
    // Whose key is named here is whom files are sealed for: for its owner alone to change.
    files::write_new(&path, text.as_bytes(), files::SECRET).map_err(|error| {
        CommandError::usage(format!("cannot write {}", path.display()))
            .caused_by(error)
            .hint("a file that is there is never replaced; name another one with --file")
    })?;
    let text = format!("Use it with: consign s3s2 share --config {}", path.display());
    terminal.result(&json!({"file": path}), &text)?;
    natively(terminal, &["consign init --template two-way   (exchange.toml takes its place)"]);
    Ok(())
}

/// What the flag says, or a line of standard input. Empty lines and the end of the input set nothing.
fn answer(
    terminal: &Terminal,
    flag: &Option<String>,
    what: &str,
) -> Result<Option<String>, CommandError> {
    if flag.is_some() {
        return Ok(flag.clone());
    }
    terminal.say(&format!("Please specify {what}."));
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CommandError::failed("cannot read the answer").caused_by(error))?;
    Ok(Some(line.trim().to_owned()).filter(|line| !line.is_empty()))
}

/// s3s2 asks for a path or an address, and then opens either as a file.
fn local(key: &str) -> Result<std::path::PathBuf, CommandError> {
    if key.contains("://") {
        return Err(CommandError::usage(
            "the public key must be a file; s3s2 never fetched one either",
        )
        .hint(format!(
            "curl -o receiver.pubkey {key}, and compare its fingerprint with the receiver"
        )));
    }
    Ok(key.into())
}
