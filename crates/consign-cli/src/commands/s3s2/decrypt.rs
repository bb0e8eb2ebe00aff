//! `consign s3s2 decrypt`.

use std::sync::Arc;

use consign_s3s2::{Collect, Collected, Wildcards};
use consign_seal::s3s2::Cipher;
use serde_json::json;

use super::{
    configured, connection, key_source, natively, needed, parallelism, passed_over, store,
};
use crate::args::S3s2DecryptArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, files};

pub(super) async fn run(
    args: &S3s2DecryptArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let config = configured(&args.common, settings)?;
    let unneeded = args.my_public_key.is_some() || args.ssm_public_key.is_some();
    passed_over(terminal, &args.common, &[(unneeded, "my-public-key")]);
    // What was typed wins; else s3s2 looks into Systems Manager first.
    let configured = config.ssm_private_key.as_ref().filter(|_| args.my_private_key.is_none());
    let parameter = args.ssm_private_key.as_ref().or(configured);
    let file = args.my_private_key.clone().or_else(|| config.my_private_key.clone());
    if let (Some(file), None) = (&file, parameter) {
        warn_of_readers(file, terminal);
    }
    let source = key_source(file, parameter, "my-private-key")?;
    let wanted = needed(args.file.clone().or_else(|| config.file.clone()), "file")?;
    let cloud = connection(&source, &config, settings).await?;
    let keys = source.s3s2_secret_keys(cloud.as_ref()).await?;
    let filter = args.filter_files.clone().or_else(|| config.filter_files.clone());
    let options = Collect {
        file: wanted,
        organization: config.org.clone(),
        into: needed(args.directory.clone().or_else(|| config.directory.clone()), "directory")?,
        own_folder: None,
        keys: Arc::new(keys),
        filter: Wildcards::parse(&filter.unwrap_or_default()),
        parallelism: parallelism(&config),
        expansion_max: args.expansion_max,
        trigger_required: args.require_trigger,
    };
    let store = store(&config, settings).await?;
    let collected = consign_s3s2::collect(&store, &options).await?;
    report(terminal, &collected)?;
    for note in notes(&collected) {
        terminal.say(&format!("note: {note}"));
    }
    natively(
        terminal,
        &[&format!("consign receive --lane LANE --into {}", options.into.display())],
    );
    Ok(())
}

/// s3s2 writes its private keys with whatever permissions there are, so they are not refused.
fn warn_of_readers(path: &std::path::Path, terminal: &Terminal) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0) {
        let path = path.display();
        terminal.say(&format!("note: others can read the private key: chmod 600 {path}"));
    }
}

fn notes(collected: &Collected) -> Vec<String> {
    let mut notes =
        vec!["a share of s3s2 is not signed: that it opens does not tell who wrote it".to_owned()];
    if collected.trigger == Some(false) {
        notes.push(
            "there is no trigger: unless the sender writes none, he had not finished".to_owned(),
        );
    }
    let old = collected.files.iter().filter(|file| file.cipher == Cipher::Cast5).count();
    if old > 0 {
        notes.push(format!("{} sealed with CAST5, as s3s2 does", files(old as u64)));
    }
    notes
}

fn report(terminal: &Terminal, collected: &Collected) -> Result<(), CommandError> {
    let list: Vec<_> = collected
        .files
        .iter()
        .map(|file| {
            let cipher = match file.cipher {
                Cipher::Aes => "aes",
                Cipher::Cast5 => "cast5",
            };
            let sha256: String = file.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({
                "name": file.name.as_str(), "bytes": file.bytes, "sha256": sha256,
                "hash_compared": file.hash_compared, "cipher": cipher,
            })
        })
        .collect();
    let total: u64 = collected.files.iter().map(|file| file.bytes).sum();
    let mut text = format!(
        "Collected {}, {}, in {}",
        files(collected.files.len() as u64),
        bytes(total),
        collected.folder.display()
    );
    if collected.left_out > 0 {
        text.push_str(&format!("; the filter left out {}", files(collected.left_out as u64)));
    }
    let value = json!({
        "organization": collected.place.as_ref().map(|place| &place.organization),
        "share": collected.place.as_ref().map(|place| &place.folder),
        "folder": collected.folder,
        "files": list,
        "left_out": collected.left_out,
        "trigger": collected.trigger,
        "signed": false,
    });
    terminal.result(&value, &text)
}
