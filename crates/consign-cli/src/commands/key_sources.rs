//! Keys that are not in the key folder: fetched when a command needs them, kept no longer than it runs.
//!
//! What may name one is said by `consign::KeySource`: a file, `ssm:NAME`, `secretsmanager:NAME`, or
//! `https://HOST/PATH#FINGERPRINT`. Nothing of a private key is written anywhere: commands that read files
//! get a file that lies in memory alone and has no name ([`Held`]).

use std::io::Write;
use std::path::{Path, PathBuf};

use consign::{KeySource, Keys, Office};
use consign_cloud::Cloud;
use consign_model::{LaneName, Seal};

use crate::connect;
use crate::error::CommandError;
use crate::office::now_ms;
use crate::settings::Settings;

/// What a text names.
pub(crate) fn resolve(text: &str) -> Result<KeySource, CommandError> {
    Ok(KeySource::parse(text)?)
}

/// The connection that a source needs: none for a file.
pub(crate) async fn connection(
    source: &KeySource,
    settings: &Settings,
) -> Result<Option<Cloud>, CommandError> {
    if !source.needs_cloud() {
        return Ok(None);
    }
    Ok(Some(connect::connect(settings, None).await?))
}

/// Adds the party's own keys, of both kinds, from where the settings say that they are.
pub(crate) async fn add_own(
    settings: &Settings,
    cloud: &Cloud,
    keys: &mut Keys,
) -> Result<(), CommandError> {
    if let Some(source) = &settings.identity {
        let fetched = resolve(source)?.add_own(Some(cloud), keys).await;
        fetched.map_err(|error| CommandError::from(error).within("CONSIGN_IDENTITY".to_owned()))?;
    }
    add_signer(settings, cloud, keys).await
}

/// Adds the key alone that signs, for who opens nothing.
pub(crate) async fn add_signer(
    settings: &Settings,
    cloud: &Cloud,
    keys: &mut Keys,
) -> Result<(), CommandError> {
    if let Some(source) = &settings.signer {
        let fetched = resolve(source)?.add_signer(Some(cloud), keys).await;
        fetched.map_err(|error| CommandError::from(error).within("CONSIGN_SIGNER".to_owned()))?;
    }
    Ok(())
}

/// Fetches the keys of a lane's receivers for which the exchange file says where they are.
pub(crate) async fn add_receivers(
    office: &mut Office,
    lane: &LaneName,
    settings: &Settings,
) -> Result<(), CommandError> {
    let Some(lane) = office.exchange.lane(lane).filter(|lane| lane.seal == Seal::Openpgp) else {
        return Ok(());
    };
    let folder = settings.exchange_file.parent().unwrap_or(Path::new(""));
    let today = crate::settings::today();
    let mut sources = Vec::new();
    for party in lane.to.iter().filter_map(|name| office.exchange.party(name)) {
        let live = party.live_recipients(today).filter_map(|key| key.source.as_ref());
        for source in live {
            sources.push((party.name.clone(), resolve(source)?.relative_to(folder)));
        }
    }
    if sources.is_empty() {
        return Ok(());
    }
    let cloud = office.cloud.clone();
    let keys = std::sync::Arc::get_mut(&mut office.keys)
        .ok_or_else(|| CommandError::failed("the keys are in use already"))?;
    for (party, source) in sources {
        let fetched = source.add_public(Some(&cloud), now_ms() / 1000, keys).await;
        fetched.map_err(|error| {
            CommandError::from(error).within(format!("the recipients of {party}"))
        })?;
    }
    Ok(())
}

/// Keys in memory, for as long as this value lives.
pub(crate) struct Held {
    _files: Vec<std::fs::File>,
}

/// Fetches the private keys among these that are named by a source, and puts in its place the path of a
/// file in memory.
pub(crate) async fn private(
    named: &mut [PathBuf],
    settings: &Settings,
) -> Result<Held, CommandError> {
    fetch(named, settings, true).await
}

/// The same for public keys.
pub(crate) async fn public(
    named: &mut [PathBuf],
    settings: &Settings,
) -> Result<Held, CommandError> {
    fetch(named, settings, false).await
}

async fn fetch(
    named: &mut [PathBuf],
    settings: &Settings,
    private: bool,
) -> Result<Held, CommandError> {
    let mut files = Vec::new();
    for name in named {
        let Some(text) = name.to_str().filter(|text| KeySource::is_elsewhere(text)) else {
            continue;
        };
        let source = resolve(text)?;
        let cloud = connection(&source, settings).await?;
        let bytes = match private {
            true => source.secret_bytes(cloud.as_ref()).await?,
            false => source.public_bytes(cloud.as_ref()).await?,
        };
        let (file, path) = in_memory(&bytes).map_err(|error| {
            CommandError::failed(format!("cannot keep what was fetched from {source} in memory"))
                .caused_by(error)
                .hint("fetch it into a file of mode 0600, and name that")
        })?;
        *name = path;
        files.push(file);
    }
    Ok(Held { _files: files })
}

/// A file without a name, in memory, for the owner alone.
#[cfg(target_os = "linux")]
fn in_memory(bytes: &[u8]) -> std::io::Result<(std::fs::File, PathBuf)> {
    use rustix::fs::{MemfdFlags, Mode};
    use std::os::fd::AsRawFd;
    let file = rustix::fs::memfd_create("consign-key", MemfdFlags::CLOEXEC)?;
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok((file, path))
}

#[cfg(not(target_os = "linux"))]
fn in_memory(_bytes: &[u8]) -> std::io::Result<(std::fs::File, PathBuf)> {
    Err(std::io::Error::other("this system has no files in memory"))
}
