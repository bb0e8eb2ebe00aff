//! `consign s3s2 …`: the commands of s3s2 under their names, and what to type instead.

mod config;
mod decrypt;
mod genkey;
mod share;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consign::KeySource;
use consign_cloud::Cloud;
use consign_s3s2::{Config, Store};
use consign_transfer::{Cancel, Cancelled, Engine, Limits, Silent};

use crate::args::{S3s2Command, S3s2Common};
use crate::commands::{files, interrupt, key_sources};
use crate::connect;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

const PARALLELISM: u32 = 10;
/// Where s3s2 looks for its settings.
const CONFIG: &str = ".s3s2.json";

pub(crate) async fn run(
    command: &S3s2Command,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    match command {
        S3s2Command::Share(args) => share::run(args, settings, terminal).await,
        S3s2Command::Decrypt(args) => decrypt::run(args, settings, terminal).await,
        S3s2Command::Genkey(args) => genkey::run(args, terminal),
        S3s2Command::Config(args) => config::run(args, settings, terminal),
    }
}

/// The configuration file, with what was typed in place of what it says.
fn configured(common: &S3s2Common, settings: &Settings) -> Result<Config, CommandError> {
    let at_home = settings.home.join(CONFIG);
    let path = match &common.config {
        Some(path) => Some(path),
        None => at_home.is_file().then_some(&at_home),
    };
    let mut config = match path {
        Some(path) => Config::parse(&read(path, "the configuration file")?)
            .map_err(|error| CommandError::from(error).within(path.display().to_string()))?,
        None => Config::default(),
    };
    config.bucket = common.bucket.clone().or(config.bucket);
    config.org = common.org.clone().or(config.org);
    config.aws_profile = common.aws_profile.clone().or(config.aws_profile);
    config.parallelism = common.parallelism.or(config.parallelism);
    if common.is_gcs.or(config.is_gcs) == Some(true) {
        return Err(CommandError::usage(
            "is-gcs: Google Cloud Storage is reached as any S3 store is",
        )
        .hint("--endpoint https://storage.googleapis.com, with HMAC keys as credentials"));
    }
    Ok(config)
}

/// Flags of s3s2 that mean nothing here are taken, so that jobs go on, and named.
fn passed_over(terminal: &Terminal, common: &S3s2Common, more: &[(bool, &str)]) {
    let common =
        [(common.debug.is_some(), "debug"), (common.disableinfologs.is_some(), "disableinfologs")];
    for (_, flag) in common.iter().chain(more).filter(|(given, _)| *given) {
        terminal.say(&format!("note: --{flag} is passed over"));
    }
}

/// The settings, with what the configuration file of s3s2 says beside them.
fn with_config(config: &Config, settings: &Settings) -> Settings {
    Settings {
        profile: config.aws_profile.clone().or_else(|| settings.profile.clone()),
        region: settings.region.clone().or_else(|| config.region.clone()),
        ..settings.clone()
    }
}

/// The connection that a key's source needs.
async fn connection(
    source: &KeySource,
    config: &Config,
    settings: &Settings,
) -> Result<Option<Cloud>, CommandError> {
    key_sources::connection(source, &with_config(config, settings)).await
}

/// The bucket, with the credentials at hand.
async fn store(config: &Config, settings: &Settings) -> Result<Store, CommandError> {
    let bucket = needed(config.bucket.clone(), "bucket")?;
    let settings = with_config(config, settings);
    let cloud = connect::connect(&settings, None).await?;
    let cancel = Cancel::new();
    let raised = cancel.clone();
    tokio::spawn(async move {
        interrupt::wait().await;
        raised.cancel(Cancelled::Keep);
    });
    Ok(Store {
        s3: cloud.s3().clone(),
        engine: Engine::new(Limits::default()),
        bucket,
        owner: None,
        kms_key: config.awskey.clone(),
        cancel,
        progress: Arc::new(Silent),
    })
}

fn parallelism(config: &Config) -> usize {
    config.parallelism.unwrap_or(PARALLELISM).clamp(1, 1_000) as usize
}

fn needed<T>(value: Option<T>, flag: &str) -> Result<T, CommandError> {
    value.ok_or_else(|| CommandError::usage(format!("--{flag} is missing")))
}

/// Where a key is: in a file, in a parameter, or wherever else a source may name.
fn key_source(
    named: Option<PathBuf>,
    parameter: Option<&String>,
    flag: &str,
) -> Result<KeySource, CommandError> {
    match (named, parameter) {
        (_, Some(name)) => key_sources::resolve(&format!("ssm:{name}")),
        (Some(named), None) => {
            let text = named.to_str().ok_or_else(|| {
                CommandError::usage(format!("--{flag} {} is not UTF-8", named.display()))
            })?;
            key_sources::resolve(text)
        }
        (None, None) => needed(None, flag),
    }
}

fn read(path: &Path, what: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, CommandError> {
    files::read(path).map_err(|error| {
        CommandError::usage(format!("cannot read {what} {}", path.display())).caused_by(error)
    })
}

/// What the same is without s3s2.
fn natively(terminal: &Terminal, lines: &[&str]) {
    terminal.say("natively, signed and chained (docs/s3s2.md):");
    for line in lines {
        terminal.say(&format!("  {line}"));
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
