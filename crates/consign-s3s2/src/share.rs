//! Sharing: seals every file and puts it where `s3s2 decrypt` looks for it.
//!
//! The order is s3s2's: metadata files, then all others several at a time, then the manifest, then the
//! trigger. One thing is different: s3s2 writes the manifest anew after every chunk of files; here it is
//! written once, when everything that it names is there, so that a share is complete or has no manifest.
//! Interrupted, the same call goes on where it stopped (`ledger.rs`).

use std::io::Write;
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
use crate::ledger::{Ledger, Standing};
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
    /// Where sealed files wait to be sent, and where it is remembered what was, so that an interrupted
    /// share goes on. Nothing unsealed is written there but names, which the manifest tells anyway.
    pub scratch: PathBuf,
    /// When, in seconds since 1970: part of the folder's name.
    pub now: i64,
}

/// What was shared.
#[derive(Debug)]
pub struct Shared {
    /// Its batches, complete, in order.
    pub batches: Vec<Batch>,
    /// Whether an earlier run had begun it.
    pub resumed: bool,
    ledger: Arc<Ledger>,
}

impl Shared {
    /// Whoever asked for the share knows of it: from now on the same files are another share. Until then the
    /// same call answers with this one.
    ///
    /// # Errors
    /// [`ErrorKind::Destination`] when that cannot be noted.
    pub fn told(&self) -> std::result::Result<(), Error> {
        self.ledger.forget()
    }
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
/// Everything of [`ErrorKind`]. A batch that fails leaves sealed files without a manifest behind, with which
/// the same call goes on; earlier batches stay.
pub async fn share(
    store: &Store,
    options: &Share,
    survey: &Survey,
    mut done: impl FnMut(&Batch),
) -> std::result::Result<Shared, Error> {
    let ledger = Arc::new(Ledger::open(store, options, survey).await?);
    let stamp = moment(ledger.begun())?;
    let mut batches = Vec::new();
    // A share of metadata files alone is one batch too.
    let mut chunks = survey.files.chunks(options.batch_files.max(1)).peekable();
    let alone: [&[Found]; 1] = [&[]];
    let all: Vec<&[Found]> =
        if chunks.peek().is_some() { chunks.collect() } else { alone.to_vec() };
    for (number, files) in all.into_iter().enumerate() {
        let folder = format!("{}_s3s2_{}_{number}", options.prefix, stamp.folder);
        let place = Place::new(&options.organization, &folder)?;
        let loading = Loading { store, options, ledger: &ledger, place: &place, number };
        let batch = loading.batch(&stamp, &survey.metadata, files).await;
        let batch = batch.inspect_err(|error| ledger.forget_if_taken(error))?;
        done(&batch);
        batches.push(batch);
    }
    let resumed = ledger.is_resumed();
    Ok(Shared { batches, resumed, ledger })
}

/// One batch, on its way.
struct Loading<'a> {
    store: &'a Store,
    options: &'a Share,
    ledger: &'a Arc<Ledger>,
    place: &'a Place,
    number: usize,
}

impl Loading<'_> {
    async fn batch(&self, stamp: &Stamp, metadata: &[Found], files: &[Found]) -> Result<Batch> {
        let (place, number) = (self.place, self.number);
        let in_the_way =
            !self.ledger.is_resumed() && self.store.has(&place.key(MANIFEST)).await == Some(true);
        if in_the_way {
            // Somebody else's: the next run begins in another folder.
            self.ledger.forget()?;
            let text = format!("there is a share in {} already", place.folder);
            return Err(Error::new(ErrorKind::Configuration, text).hinting("try again in a second"));
        }
        let mut bytes = 0;
        for (group, kind) in [(metadata, "first"), (files, "file")] {
            bytes += self.put_all(kind, group).await?;
        }
        let files: Vec<Found> = metadata.iter().chain(files).cloned().collect();
        let names: Vec<&RelativePath> = files.iter().map(|found| &found.name).collect();
        let text = Manifest::text(place, &stamp.written, &names)?;
        self.put_small(&format!("{number}-manifest"), MANIFEST, &text).await?;
        if self.options.trigger {
            self.put_small(&format!("{number}-trigger"), TRIGGER, &[]).await?;
        }
        let manifest = format!("{}/{MANIFEST}", place.folder);
        Ok(Batch { place: place.clone(), manifest, files, bytes })
    }

    /// Puts a group of files, several at a time; gives their size. When one fails the others are stopped.
    async fn put_all(&self, kind: &str, group: &[Found]) -> Result<u64> {
        let key = Arc::new(self.options.key.clone());
        let mut waiting = group.iter().cloned().enumerate();
        let mut tasks = JoinSet::new();
        let mut bytes = 0;
        loop {
            while tasks.len() < self.options.parallelism.max(1)
                && let Some((index, found)) = waiting.next()
            {
                let parcel = Parcel {
                    store: self.store.clone(),
                    ledger: Arc::clone(self.ledger),
                    key: Arc::clone(&key),
                    object: format!("{}-{kind}-{index}", self.number),
                    at: self.place.file_key(&found.name),
                };
                tasks.spawn(parcel.file(found));
            }
            match tasks.join_next().await {
                Some(Ok(Ok(put))) => bytes += put,
                Some(failed) => return Err(stopped(self.store, tasks, failed).await),
                None => return Ok(bytes),
            }
        }
    }

    async fn put_small(&self, object: &str, name: &str, content: &[u8]) -> Result<()> {
        let standing = self.ledger.standing(object);
        if matches!(standing, Some(Standing::Put { .. })) {
            return Ok(());
        }
        if standing.is_none() {
            let written = self.ledger.spool(object).and_then(|mut file| {
                let written = file.write_all(content).and_then(|()| file.sync_all());
                written.map_err(|error| lost(object).because(error))
            });
            written?;
            self.ledger.note(object, Standing::Sealed { bytes: content.len() as u64 })?;
        }
        let mut journal = self.ledger.journal(object)?;
        let file = self.ledger.sealed(object)?;
        self.store.upload(&self.place.key(name), file, &mut journal).await?;
        self.ledger.note(object, Standing::Put { bytes: content.len() as u64 })
    }
}

/// Stops the others where the same call can go on later, and waits for them.
async fn stopped(
    store: &Store,
    mut tasks: JoinSet<Result<u64>>,
    failed: std::result::Result<Result<u64>, tokio::task::JoinError>,
) -> Error {
    store.cancel.cancel(Cancelled::Keep);
    while tasks.join_next().await.is_some() {}
    match failed {
        Ok(Err(error)) => error,
        Ok(Ok(_)) => Error::new(ErrorKind::Bug, "nothing failed"),
        Err(error) => join(error),
    }
}

/// One file, from the folder to the bucket.
struct Parcel {
    store: Store,
    ledger: Arc<Ledger>,
    key: Arc<PublicKey>,
    /// What the ledger calls it.
    object: String,
    /// Its key in the bucket.
    at: String,
}

impl Parcel {
    async fn file(self, found: Found) -> Result<u64> {
        let bytes = match self.ledger.standing(&self.object) {
            Some(Standing::Put { bytes }) => return Ok(bytes),
            Some(Standing::Sealed { bytes }) => bytes,
            None => self.seal(found).await?,
        };
        let mut journal = self.ledger.journal(&self.object)?;
        let sealed = self.ledger.sealed(&self.object)?;
        self.store.upload(&self.at, sealed, &mut journal).await?;
        self.ledger.note(&self.object, Standing::Put { bytes })?;
        Ok(bytes)
    }

    async fn seal(&self, found: Found) -> Result<u64> {
        let shown = found.source.display().to_string();
        let (ledger, key) = (Arc::clone(&self.ledger), Arc::clone(&self.key));
        let object = self.object.clone();
        let sealing = tokio::task::spawn_blocking(move || {
            let mut source = found.open()?;
            let spool = ledger.spool(&object)?;
            let keys = std::slice::from_ref(key.as_ref());
            let bytes =
                envelope::seal_file(&mut source, &found.name, found.executable, keys, &spool)?;
            spool.sync_all().map_err(|error| lost(&object).because(error))?;
            ledger.note(&object, Standing::Sealed { bytes })?;
            Ok::<_, Error>(bytes)
        });
        let sealed = sealing.await.map_err(join)?;
        sealed.map_err(|error| error.during(format_args!("cannot seal {shown}")))
    }
}

fn lost(object: &str) -> Error {
    Error::new(ErrorKind::Destination, format!("cannot write the sealed object {object}"))
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
