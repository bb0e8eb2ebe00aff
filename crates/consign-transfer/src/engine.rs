//! The engine: limits, buffers and the one bound on memory that all its transfers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use consign_cloud::{Error as CloudError, S3};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::backoff::{Backoff, SplitMix64};
use crate::buffers::Buffers;
use crate::cancel::Cancel;
use crate::download::{Downloaded, Object};
use crate::error::Error;
use crate::journal::{DownloadJournal, UploadJournal};
use crate::store::Store;
use crate::upload::{Target, Uploaded};
use crate::{PartSink, PartSource, download, upload};

/// What an engine may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Parts of `part_bytes` in memory at once, over all transfers.
    pub in_flight: u32,
    /// The usual size of a part. `in_flight × part_bytes` is the bound on memory: larger parts
    /// take several shares of it, smaller ones less.
    pub part_bytes: u64,
    /// Objects up to this size are put by one request.
    pub single_put_bytes_max: u64,
    /// Tries of one request.
    pub attempts_max: u32,
    /// For the jitter of waits.
    pub seed: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            in_flight: 8,
            // A plaintext part of 8 MiB, sealed: 16 bytes more for each 64 KiB.
            part_bytes: (8 << 20) + 2048,
            // 16 MiB of content, and what a seal adds to it.
            single_put_bytes_max: (16 << 20) + (64 << 10),
            // With the waits of `backoff.rs`, about half a minute of a service that is away.
            attempts_max: 10,
            seed: 0,
        }
    }
}

/// Hears how a transfer goes. Called often: must be quick and must not block.
pub trait Progress: Send + Sync + 'static {
    /// So many more bytes of the object are where they belong. An earlier run's are told at once.
    fn moved(&self, bytes: u64);

    /// A request failed and will be tried again after `wait`.
    fn retrying(&self, error: &CloudError, wait: Duration) {
        let _ = (error, wait);
    }
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn moved(&self, _: u64) {}
}

/// Moves objects. Cheap to clone; clones share their limits.
#[derive(Clone, Debug)]
pub struct Engine {
    limits: Limits,
    buffers: Buffers,
    // Counts KiB: a semaphore's permits would not count the bytes of many large parts.
    memory: Arc<Semaphore>,
    memory_kib: u32,
    waits: Arc<AtomicU64>,
}

impl Engine {
    /// An engine that uses no more than `limits`.
    pub fn new(limits: Limits) -> Engine {
        let bytes = limits.part_bytes.saturating_mul(u64::from(limits.in_flight.max(1)));
        let memory_kib = kib(bytes).clamp(1, 1 << 28);
        Engine {
            limits,
            buffers: Buffers::new(usize::try_from(bytes).unwrap_or(usize::MAX)),
            memory: Arc::new(Semaphore::new(memory_kib as usize)),
            memory_kib,
            waits: Arc::new(AtomicU64::new(0)),
        }
    }

    /// What it may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Buffers for [`PartSource::read_part`]: those the engine itself uses.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Uploads one object: by one PUT when it is small or the target says so, else in parts.
    ///
    /// A failed or dropped upload leaves no object. It leaves an upload in parts only when
    /// `journal` is on disk and could continue it; dropping the future with a journal in memory
    /// leaves an orphan, so use `cancel`.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn upload(
        &self,
        s3: &S3,
        target: &Target,
        source: Arc<dyn PartSource>,
        journal: &mut UploadJournal,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<Uploaded, Error> {
        upload::driver::run(s3, self, target, source, journal, progress, cancel).await
    }

    /// Aborts what an interrupted upload left on the server, and empties its journal.
    ///
    /// # Errors
    /// When S3 refuses; the journal is then kept.
    pub async fn abandon(&self, s3: &S3, journal: &mut UploadJournal) -> Result<(), Error> {
        upload::driver::abandon(s3, self, journal).await
    }

    /// Downloads one object by ranges into `sink`. What the sink holds after a failure is its own
    /// matter; parts that the journal names are not fetched again.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn download(
        &self,
        s3: &S3,
        object: &Object,
        sink: Arc<dyn PartSink>,
        journal: &mut DownloadJournal,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<Downloaded, Error> {
        download::driver::run(s3, self, object, sink, journal, progress, cancel).await
    }

    /// Waits until so many bytes may be held. What is larger than the whole bound gets all of it.
    pub(crate) async fn admit(&self, bytes: u64) -> OwnedSemaphorePermit {
        // Even a tiny part costs a connection: at most 4 × in_flight requests at once.
        let least = (self.memory_kib / (4 * self.limits.in_flight.max(1))).max(1);
        let share = kib(bytes).max(least).min(self.memory_kib);
        Arc::clone(&self.memory)
            .acquire_many_owned(share)
            .await
            .expect("the semaphore is never closed")
    }

    /// Tries a request until it succeeds, cannot, or the tries are used up.
    pub(crate) async fn attempts<T, F>(
        &self,
        store: &impl Store,
        progress: &dyn Progress,
        mut attempt: impl FnMut() -> F,
    ) -> Attempted<T>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let number = self.waits.fetch_add(1, Ordering::Relaxed);
        let seed = SplitMix64(self.limits.seed ^ number.rotate_left(32)).next();
        let mut backoff = Backoff::new(self.limits.attempts_max, seed);
        let mut unclear = false;
        loop {
            let error = match attempt().await {
                Ok(value) => return Attempted { result: Ok(value), unclear },
                Err(error) => error,
            };
            let repeat = error.is_retryable().then(|| backoff.after(error.kind())).flatten();
            let Some(wait) = repeat else {
                // The last failure counts too: nobody will look whether it was carried out.
                return Attempted { unclear: unclear || error.is_ambiguous(), result: Err(error) };
            };
            unclear |= error.is_ambiguous();
            progress.retrying(&error, wait);
            store.wait(wait).await;
        }
    }
}

/// How a request ended after all its tries.
pub(crate) struct Attempted<T> {
    pub(crate) result: Result<T, CloudError>,
    /// Some failed try may have been carried out all the same.
    pub(crate) unclear: bool,
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
