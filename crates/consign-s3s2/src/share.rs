//! Sharing: seals every file and puts it where `s3s2 decrypt` looks for it.
//!
//! The order is s3s2's: metadata files, then all others several at a time, then the manifest, then the
//! trigger. One thing is different: s3s2 writes the manifest anew after every chunk of files; here it is
//! written once, when everything that it names is there, so that a share is complete or has no manifest.

use std::path::PathBuf;
use std::sync::Arc;

use consign_model::RelativePath;
use consign_seal::s3s2::PublicKey;
use consign_transfer::Cancelled;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tokio::task::JoinSet;

use crate::envelope;
use crate::error::{Error, ErrorKind, Result, join};
use crate::manifest::Manifest;
use crate::names::{MANIFEST, Place, TRIGGER};
use crate::store::Store;
use crate::survey::{Found, Survey};

/// How files are shared.
#[derive(Clone, Debug)]
pub struct Share {
    /// Who shares; in capitals it is the first part of every key.
    pub organization: String,
    /// What the folder's name begins with. Not secret.
    pub prefix: String,
    /// The receiver's key.
    pub key: PublicKey,
    /// Files in hand at once.
    pub parallelism: usize,
    /// Files in one folder, metadata files apart.
    pub batch_files: usize,
    /// Whether each batch ends with the trigger.
    pub trigger: bool,
    /// Where sealed files wait to be sent. Nothing unsealed is written there.
    pub scratch: PathBuf,
    /// When, in seconds since 1970: part of the folder's name.
    pub now: i64,
}

/// What was shared.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its batches, complete, in order.
    pub batches: Vec<Batch>,
}

/// A folder of a share.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Where.
    pub place: Place,
    /// What `s3s2 decrypt --file` wants, without the organisation.
    pub manifest: String,
    /// Files, metadata files included.
    pub files: Vec<Found>,
    /// Of the files, before they were sealed.
    pub bytes: u64,
}

/// Shares the files of a survey. Calls `done` for every batch that is complete, so that its files may be
/// put away.
///
/// # Errors
/// Everything of [`ErrorKind`]. A batch that fails leaves sealed files without a manifest behind; earlier
/// batches stay.
pub async fn share(
    store: &Store,
    options: &Share,
    survey: &Survey,
    mut done: impl FnMut(&Batch),
) -> std::result::Result<Shared, Error> {
    let stamp = moment(options.now)?;
    let mut batches = Vec::new();
    // A share of metadata files alone is one batch too.
    let mut chunks = survey.files.chunks(options.batch_files.max(1)).peekable();
    let alone: [&[Found]; 1] = [&[]];
    let all: Vec<&[Found]> =
        if chunks.peek().is_some() { chunks.collect() } else { alone.to_vec() };
    for (number, files) in all.into_iter().enumerate() {
        let folder = format!("{}_s3s2_{}_{number}", options.prefix, stamp.folder);
        let place = Place::new(&options.organization, &folder)?;
        let batch = one_batch(store, options, &stamp, place, &survey.metadata, files).await?;
        done(&batch);
        batches.push(batch);
    }
    Ok(Shared { batches })
}

async fn one_batch(
    store: &Store,
    options: &Share,
    stamp: &Stamp,
    place: Place,
    metadata: &[Found],
    files: &[Found],
) -> Result<Batch> {
    if store.has(&place.key(MANIFEST)).await == Some(true) {
        let text = format!("there is a share in {} already", place.folder);
        return Err(Error::new(ErrorKind::Configuration, text).hinting("try again in a second"));
    }
    let mut bytes = 0;
    for group in [metadata, files] {
        bytes += put_all(store, options, &place, group).await?;
    }
    let files: Vec<Found> = metadata.iter().chain(files).cloned().collect();
    let names: Vec<&RelativePath> = files.iter().map(|found| &found.name).collect();
    let text = Manifest::text(&place, &stamp.written, &names)?;
    store.put(&place.key(MANIFEST), text).await?;
    if options.trigger {
        store.put(&place.key(TRIGGER), Vec::new()).await?;
    }
    let manifest = format!("{}/{MANIFEST}", place.folder);
    Ok(Batch { place, manifest, files, bytes })
}

/// Puts a group of files, several at a time; gives their size. When one fails the others are stopped.
async fn put_all(store: &Store, options: &Share, place: &Place, group: &[Found]) -> Result<u64> {
    let options = Arc::new(options.clone());
    let mut waiting = group.iter().cloned();
    let mut tasks = JoinSet::new();
    let mut bytes = 0;
    loop {
        while tasks.len() < options.parallelism.max(1)
            && let Some(found) = waiting.next()
        {
            tasks.spawn(put_one(store.clone(), Arc::clone(&options), place.clone(), found));
        }
        match tasks.join_next().await {
            Some(Ok(Ok(put))) => bytes += put,
            Some(failed) => return Err(stopped(store, tasks, failed).await),
            None => return Ok(bytes),
        }
    }
}

/// Stops the others and waits for them: an upload in parts that is merely dropped stays in the bucket.
async fn stopped(
    store: &Store,
    mut tasks: JoinSet<Result<u64>>,
    failed: std::result::Result<Result<u64>, tokio::task::JoinError>,
) -> Error {
    store.cancel.cancel(Cancelled::Abort);
    while tasks.join_next().await.is_some() {}
    match failed {
        Ok(Err(error)) => error,
        Ok(Ok(_)) => Error::new(ErrorKind::Bug, "nothing failed"),
        Err(error) => join(error),
    }
}

async fn put_one(store: Store, options: Arc<Share>, place: Place, found: Found) -> Result<u64> {
    let key = place.file_key(&found.name);
    let shown = found.source.display().to_string();
    let sealing = tokio::task::spawn_blocking(move || {
        let mut source = found.open()?;
        let spool = tempfile::tempfile_in(&options.scratch).map_err(|error| {
            let text = format!("cannot write into {}", options.scratch.display());
            Error::new(ErrorKind::Destination, text).because(error)
        })?;
        let keys = std::slice::from_ref(&options.key);
        let bytes = envelope::seal_file(&mut source, &found.name, found.executable, keys, &spool)?;
        Ok::<_, Error>((spool, bytes))
    });
    let (spool, bytes) = sealing
        .await
        .map_err(join)?
        .map_err(|error| error.during(format_args!("cannot seal {shown}")))?;
    store.upload(&key, spool).await?;
    Ok(bytes)
}

/// A moment, as the folder's name and the manifest write it.
struct Stamp {
    folder: String,
    written: String,
}

fn moment(now: i64) -> Result<Stamp> {
    let format = format_description!("[year][month][day][hour][minute][second]");
    let moment = OffsetDateTime::from_unix_timestamp(now).ok();
    let text = moment.and_then(|moment| {
        Some(Stamp { folder: moment.format(format).ok()?, written: moment.format(&Rfc3339).ok()? })
    });
    text.ok_or_else(|| Error::new(ErrorKind::Configuration, "the clock of this machine is wrong"))
}
