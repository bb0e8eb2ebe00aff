//! What a share has done so far, so that the same command goes on after any crash.
//!
//! ```text
//! SCRATCH/PLACE/order.json     of what it is made, and when it was begun: its folders are called by that
//! SCRATCH/PLACE/steps.jsonl    what has become of each object: sealed, put
//! SCRATCH/PLACE/NAME.sealed    an object, until it is put; nothing in it is plain but the manifest
//! SCRATCH/PLACE/NAME.jsonl     what is known of its upload
//! ```
//!
//! `PLACE` follows from where is shared, so one share at a time goes there, and a command with other files,
//! keys or options finds what an earlier one left, aborts its uploads and begins anew. An object is sealed
//! once: an interrupted upload goes on with the same sealed bytes, and a request whose answer was lost is
//! known for ours by the journal, not taken for somebody else's object.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use consign_transfer::UploadJournal;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::share::Share;
use crate::store::Store;
use crate::survey::Survey;

/// A share that is being made, held by one run at a time.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    order: Order,
    resumed: bool,
    memory: Mutex<Memory>,
    // The lock ends with the open file.
    _lock: File,
}

/// Of what a share is made. An interrupted one goes on only if this is still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    /// Changes with any file, key or option.
    terms: String,
    /// In seconds since 1970.
    begun: i64,
}

#[derive(Debug)]
struct Memory {
    steps: File,
    standings: BTreeMap<String, Standing>,
}

/// What has become of an object; `bytes` is its content before it was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    Sealed { bytes: u64 },
    Put { bytes: u64 },
}

#[derive(Serialize, Deserialize)]
struct Step {
    object: String,
    standing: Standing,
}

impl Ledger {
    /// Goes on with the share of these files that an earlier run left, or begins one.
    pub(crate) async fn open(store: &Store, options: &Share, survey: &Survey) -> Result<Ledger> {
        let path = options.scratch.join(place(store, options));
        let failed = |error| cannot(&path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let lock = private(&path.join("lock"), true)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = "another run is sharing there already";
                return Err(
                    Error::new(ErrorKind::Configuration, text).hinting("wait until it has ended")
                );
            }
            Err(error) => return Err(failed(error.into())),
        }
        let terms = terms(options, survey)?;
        let order_path = path.join("order.json");
        let earlier: Option<Order> =
            std::fs::read(&order_path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let resumed = earlier.as_ref().is_some_and(|order| order.terms == terms);
        let order = match earlier {
            Some(order) if resumed => order,
            earlier => {
                give_up(store, &path).await?;
                // Never into the folders of what is given up, whose objects stay.
                let after = earlier.map_or(i64::MIN, |order| order.begun.saturating_add(1));
                let order = Order { terms, begun: options.now.max(after) };
                let text = serde_json::to_vec(&order).map_err(bug)?;
                let new = path.join("order.new");
                let written = private(&new, false)?.write_all(&text);
                written.and_then(|()| std::fs::rename(&new, &order_path)).map_err(failed)?;
                order
            }
        };
        let memory = Mutex::new(Memory::open(&path.join("steps.jsonl"))?);
        Ok(Ledger { path, order, resumed, memory, _lock: lock })
    }

    /// When the share was begun, in seconds since 1970.
    pub(crate) fn begun(&self) -> i64 {
        self.order.begun
    }

    /// Whether an earlier run had begun it.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// What has become of an object; nothing yet, if none.
    pub(crate) fn standing(&self, object: &str) -> Option<Standing> {
        self.memory().standings.get(object).copied()
    }

    /// Notes what has become of an object. What is sealed must be on the disk.
    pub(crate) fn note(&self, object: &str, standing: Standing) -> Result<()> {
        let step = Step { object: object.to_owned(), standing };
        let mut line = serde_json::to_vec(&step).map_err(bug)?;
        line.push(b'\n');
        let mut memory = self.memory();
        let written = memory.steps.write_all(&line).and_then(|()| memory.steps.sync_data());
        written.map_err(|error| cannot(&self.path, error))?;
        memory.standings.insert(step.object, standing);
        if matches!(standing, Standing::Put { .. }) {
            // Not needed any more; what is left of it is removed with the folder.
            let _ = std::fs::remove_file(self.sealed_path(object));
            let _ = std::fs::remove_file(self.journal_path(object));
        }
        Ok(())
    }

    /// An empty file for the sealed form of an object.
    pub(crate) fn spool(&self, object: &str) -> Result<File> {
        private(&self.sealed_path(object), false)
    }

    /// The sealed form of an object, which an earlier run or this one has made.
    pub(crate) fn sealed(&self, object: &str) -> Result<File> {
        let path = self.sealed_path(object);
        File::open(&path).map_err(|error| cannot(&path, error))
    }

    /// What is known of an object's upload.
    pub(crate) fn journal(&self, object: &str) -> Result<UploadJournal> {
        Ok(UploadJournal::open(&self.journal_path(object))?)
    }

    /// The share is complete, and whoever asked for it knows.
    pub(crate) fn forget(&self) -> Result<()> {
        // The order first: without it the rest is nobody's.
        let order = self.path.join("order.json");
        std::fs::remove_file(&order).map_err(|error| cannot(&order, error))?;
        std::fs::remove_dir_all(&self.path).map_err(|error| cannot(&self.path, error))
    }

    /// Somebody else has an object where one of ours belongs: this share can never be completed, so that
    /// the next run begins another.
    pub(crate) fn forget_if_taken(&self, error: &Error) {
        let cause = std::error::Error::source(error);
        let transfer = cause.and_then(|cause| cause.downcast_ref::<consign_transfer::Error>());
        if transfer.is_some_and(|it| it.kind() == consign_transfer::ErrorKind::KeyTaken) {
            // What was wrong is what the person must hear of; leftovers have no order, and are nobody's.
            let _ = self.forget();
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sealed_path(&self, object: &str) -> PathBuf {
        self.path.join(format!("{object}.sealed"))
    }

    fn journal_path(&self, object: &str) -> PathBuf {
        self.path.join(format!("{object}.jsonl"))
    }
}

impl Memory {
    /// Reads the steps; one that a kill has torn was not done.
    fn open(path: &Path) -> Result<Memory> {
        let failed = |error| cannot(path, error);
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed)?,
        };
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut standings = BTreeMap::new();
        for line in text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            let step: Step = serde_json::from_slice(line).map_err(|error| {
                let text = format!("{} is damaged", path.display());
                Error::new(ErrorKind::Destination, text)
                    .because(error)
                    .hinting("remove its folder: the share begins anew")
            })?;
            standings.insert(step.object, step.standing);
        }
        let mut options = OpenOptions::new();
        let steps = options.append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        steps.set_len(whole as u64).map_err(failed)?;
        Ok(Memory { steps, standings })
    }
}

/// Aborts what an earlier share has under way, so that no part of it lingers in the bucket, and forgets it.
async fn give_up(store: &Store, path: &Path) -> Result<()> {
    let failed = |error| cannot(path, error);
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".jsonl") && name != "steps.jsonl" {
            let mut journal = UploadJournal::open(&file)?;
            Box::pin(store.engine.abandon(&store.s3, &mut journal)).await?;
        }
        if name != "lock" {
            std::fs::remove_file(&file).map_err(failed)?;
        }
    }
    Ok(())
}

/// Where is shared.
fn place(store: &Store, options: &Share) -> String {
    let mut hash = Hash::new();
    for part in [&store.bucket, &options.organization, &options.prefix] {
        hash.text(part);
    }
    hash.finish()
}

/// What is shared, and how.
fn terms(options: &Share, survey: &Survey) -> Result<String> {
    let mut hash = Hash::new();
    hash.text(&options.key.fingerprint());
    hash.number(options.batch_files as u64);
    hash.number(options.trigger.into());
    hash.number(survey.metadata.len() as u64);
    for found in survey.all() {
        let stat = found.source.symlink_metadata().map_err(|error| {
            let text = format!("cannot read {}", found.source.display());
            Error::new(ErrorKind::Source, text).because(error)
        })?;
        hash.text(found.name.as_str());
        hash.text(&found.source.to_string_lossy());
        for number in [stat.dev(), stat.ino(), stat.size()] {
            hash.number(number);
        }
        for time in [stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec()] {
            hash.number(time.cast_unsigned());
        }
    }
    Ok(hash.finish())
}

/// A digest of texts and numbers, none of which can run into the next.
struct Hash(Context);

impl Hash {
    fn new() -> Hash {
        Hash(Context::new(&SHA256))
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn finish(self) -> String {
        hex::encode(self.0.finish().as_ref().get(..16).unwrap_or_default())
    }
}

/// A file for us alone; emptied, unless it is to stay as it is.
fn private(path: &Path, as_it_is: bool) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(!as_it_is).mode(0o600);
    options.open(path).map_err(|error| cannot(path, error))
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Destination, format!("cannot write {}", path.display())).because(error)
}

fn bug(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Bug, "a share cannot be remembered").because(error)
}
