//! `consign s3s2 share`.

use std::path::{Path, PathBuf};

use consign_s3s2::{Batch, Config, Found, Share, Shared, Survey};
use serde_json::json;

use super::{
    configured, connection, key_source, natively, needed, now, parallelism, passed_over, read,
    store,
};
use crate::args::S3s2ShareArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape, files};

const BATCH_FILES: u32 = 100_000;

pub(super) async fn run(
    args: &S3s2ShareArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let config = merged(args, configured(&args.common, settings)?);
    passed_over(terminal, &args.common, &[(args.chunk_size.is_some(), "chunk-size")]);
    let survey = survey(&config)?;
    let source = key_source(
        config.receiver_public_key.clone(),
        config.ssm_public_key.as_ref(),
        "receiver-public-key",
    )?;
    let cloud = connection(&source, &config, settings).await?;
    let key = source.s3s2_key(cloud.as_ref(), now()).await?;
    terminal.say(&format!("Sealing for the key {}", key.fingerprint()));
    if key.is_bare() {
        terminal.say("note: the key file says nothing of its owner and never expires: compare the fingerprint");
    }
    let options = Share {
        organization: needed(config.org.clone(), "org")?,
        prefix: config.prefix.clone().unwrap_or_default(),
        key,
        parallelism: parallelism(&config),
        batch_files: config.batch_size.unwrap_or(BATCH_FILES) as usize,
        trigger: config.lambda_trigger.unwrap_or(true),
        scratch: match &config.scratch_directory {
            Some(folder) => folder.join(".consign-s3s2"),
            None => settings.state_dir.join("s3s2"),
        },
        now: i64::try_from(now()).unwrap_or_default(),
    };
    let store = store(&config, settings).await?;
    let mut away = PutAway { archive: config.archive_directory.as_deref(), failed: None };
    let shared = consign_s3s2::share(&store, &options, &survey, |batch: &Batch| {
        // Metadata files are part of every batch, so they are put away after the last.
        away.files(batch.files.get(survey.metadata.len()..).unwrap_or_default());
    })
    .await?;
    away.files(&survey.metadata);
    if config.delete_on_completion == Some(true) && config.archive_directory.is_none() {
        away.failed = survey.all().try_for_each(deleted).err();
    }
    report(terminal, &shared, &survey)?;
    shared.told()?;
    natively(
        terminal,
        &[
            "consign init --template two-way; consign keys new PARTY; consign apply   (once)",
            &format!("consign send {} --lane LANE", shown(&config)),
            "(with layout = \"s3s2\" in its table for as long as the receiver stays with s3s2)",
        ],
    );
    away.failed.map_or(Ok(()), Err)
}

/// Moves what was shared into the archive, if there is one. After a failure nothing more is moved.
struct PutAway<'a> {
    archive: Option<&'a Path>,
    failed: Option<CommandError>,
}

impl PutAway<'_> {
    fn files(&mut self, files: &[Found]) {
        if let (Some(archive), None) = (self.archive, &self.failed) {
            self.failed = files.iter().try_for_each(|found| archived(found, archive)).err();
        }
    }
}

/// What was typed wins.
fn merged(args: &S3s2ShareArgs, config: Config) -> Config {
    let metadata_files = match args.metadata_files.is_empty() {
        true => config.metadata_files,
        false => args.metadata_files.clone(),
    };
    let listed = args.share_from_list.is_some();
    Config {
        // One of the two; what was typed rules the other out.
        directory: args.directory.clone().or(config.directory.filter(|_| !listed)),
        share_from_list: args
            .share_from_list
            .clone()
            .or(config.share_from_list.filter(|_| args.directory.is_none())),
        prefix: args.prefix.clone().or(config.prefix),
        receiver_public_key: args.receiver_public_key.clone().or(config.receiver_public_key),
        ssm_public_key: args
            .ssm_public_key
            .clone()
            .or(config.ssm_public_key.filter(|_| args.receiver_public_key.is_none())),
        metadata_files,
        batch_size: args.batch_size.or(config.batch_size),
        lambda_trigger: args.lambda_trigger.or(config.lambda_trigger),
        scratch_directory: args.scratch_directory.clone().or(config.scratch_directory),
        archive_directory: args.archive_directory.clone().or(config.archive_directory),
        delete_on_completion: args.delete_on_completion.or(config.delete_on_completion),
        awskey: args.awskey.clone().or(config.awskey),
        ..config
    }
}

fn survey(config: &Config) -> Result<Survey, CommandError> {
    match (&config.directory, &config.share_from_list) {
        (Some(folder), None) => Ok(Survey::of_folder(folder, &config.metadata_files)?),
        (None, Some(list)) => {
            let text = String::from_utf8(read(list, "the list")?.to_vec())
                .map_err(|error| CommandError::usage("the list is not UTF-8").caused_by(error))?;
            let date = crate::settings::today().to_string().replace('-', "");
            Ok(Survey::of_list(&text, &date, &config.metadata_files)?)
        }
        (None, None) => needed(None, "directory"),
        (Some(_), Some(_)) => Err(CommandError::usage(
            "the configuration names both a directory and a list; share one of them",
        )),
    }
}

fn shown(config: &Config) -> String {
    config.directory.as_ref().map_or("PATHS".to_owned(), |path| path.display().to_string())
}

/// Moves a file below its own path, as s3s2 does it. Nothing is replaced.
fn archived(found: &Found, archive: &Path) -> Result<(), CommandError> {
    let below: PathBuf = found
        .source
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .collect();
    let target = archive.join(below);
    let cannot = |error: std::io::Error| {
        let text =
            format!("shared, but cannot move {} to {}", found.source.display(), target.display());
        CommandError::failed(text).caused_by(error)
    };
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder).map_err(cannot)?;
    }
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    let cwd = rustix::fs::CWD;
    rustix::fs::renameat_with(cwd, &found.source, cwd, &target, flags)
        .map_err(|error| cannot(error.into()))
}

fn deleted(found: &Found) -> Result<(), CommandError> {
    std::fs::remove_file(&found.source).map_err(|error| {
        let text = format!("shared, but cannot delete {}", found.source.display());
        CommandError::failed(text).caused_by(error)
    })
}

fn report(terminal: &Terminal, shared: &Shared, survey: &Survey) -> Result<(), CommandError> {
    let skipped: Vec<_> = survey
        .skipped
        .iter()
        .map(|skipped| json!({"path": skipped.path, "reason": skipped.reason}))
        .collect();
    let batches: Vec<_> = shared
        .batches
        .iter()
        .map(|batch| {
            json!({
                "organization": batch.place.organization,
                "folder": batch.place.folder,
                "manifest": batch.manifest,
                "files": batch.files.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(),
                "bytes": batch.bytes,
            })
        })
        .collect();
    let mut lines: Vec<String> = Vec::new();
    for skipped in &survey.skipped {
        let path = skipped.path.display().to_string();
        lines.push(format!("note: not shared, {}: {}", skipped.reason, escape(&path)));
    }
    for batch in &shared.batches {
        let count = files(batch.files.len() as u64);
        lines.push(format!("Shared {count}, {}: {}", bytes(batch.bytes), batch.manifest));
    }
    if shared.resumed {
        lines.push("note: went on where an earlier run had stopped".to_owned());
    }
    let value = json!({"batches": batches, "skipped": skipped, "resumed": shared.resumed});
    terminal.result(&value, &lines.join("\n"))
}
