//! One thread that commits, many that wait: group commit.
//!
//! A change to the store is a closure over a write transaction. Closures that arrive while a commit
//! is being synced run together in the next transaction, so eight parts that finish at once cost
//! one sync and not eight. What a caller gets back it gets after the sync: that is the
//! acknowledgement, and there is no other.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use redb::{Database, WriteTransaction};
use tokio::sync::oneshot;

use super::blob::{BlobFolder, BlobId};
use super::{StoreError, StoreErrorKind};
use crate::sqs::Bell;

/// Transactions grow no bigger than this many changes, so that nobody waits behind a long queue.
const CHANGES_MAX: usize = 256;

/// What a change leaves to be done once it is durable.
#[derive(Default)]
pub(crate) struct Garbage {
    /// Blobs that nothing refers to any more.
    pub(crate) blobs: Vec<BlobId>,
    /// Whether somebody may wait for what was changed.
    pub(crate) rings: bool,
}

/// A change waiting for its transaction.
trait Change: Send {
    /// Runs the closure. `Err` only for a failure of the database, which spoils the transaction.
    fn run(&mut self, transaction: &WriteTransaction) -> Result<Garbage, StoreError>;
    /// Hands the result to whoever waits.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Waiting<T, F> {
    // INVARIANT: `None` once it has run.
    change: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Change for Waiting<T, F>
where
    T: Send,
    F: FnOnce(&WriteTransaction, &mut Garbage) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> Result<Garbage, StoreError> {
        let mut garbage = Garbage::default();
        let Some(change) = self.change.take() else {
            return Ok(garbage);
        };
        match change(transaction, &mut garbage) {
            Err(error) if error.kind() == StoreErrorKind::Storage => Err(error),
            result => {
                self.result = Some(result);
                Ok(garbage)
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match committed {
            Err(error) => Err(error),
            Ok(()) => self.result.unwrap_or_else(|| Err(StoreError::storage("change never ran"))),
        };
        // Nobody waits any more: the change stands all the same.
        let _ = self.reply.send(result);
    }
}

/// Contents that are being read, so that a delete leaves their blobs until the reader is done.
#[derive(Clone, Default)]
pub(crate) struct Pins {
    state: Arc<Mutex<PinState>>,
}

#[derive(Default)]
struct PinState {
    held: std::collections::HashMap<BlobId, u32>,
    doomed: HashSet<BlobId>,
}

impl Pins {
    fn lock(&self) -> std::sync::MutexGuard<'_, PinState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps `blobs` on disk while the returned value lives.
    pub(crate) fn hold(&self, blobs: Vec<BlobId>, folder: &BlobFolder) -> Pinned {
        let mut state = self.lock();
        for blob in &blobs {
            *state.held.entry(*blob).or_default() += 1;
        }
        Pinned { pins: self.clone(), blobs, folder: folder.clone() }
    }

    /// Removes what nobody reads; the rest goes when its last reader does.
    pub(crate) fn discard(&self, blobs: Vec<BlobId>, folder: &BlobFolder) {
        let mut state = self.lock();
        for blob in blobs {
            if state.held.contains_key(&blob) {
                state.doomed.insert(blob);
            } else {
                // A file that cannot be removed is removed by the sweep at the next start.
                let _ = folder.remove(blob);
            }
        }
    }
}

/// Blobs that stay readable while this lives.
pub(crate) struct Pinned {
    pins: Pins,
    blobs: Vec<BlobId>,
    folder: BlobFolder,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut state = self.pins.lock();
        for blob in self.blobs.drain(..) {
            let left = state.held.get_mut(&blob).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if left == 0 {
                state.held.remove(&blob);
                if state.doomed.remove(&blob) {
                    let _ = self.folder.remove(blob);
                }
            }
        }
    }
}

/// The committing thread. Dropping it finishes what is queued and joins the thread.
pub(crate) struct Committer {
    queue: Mutex<Option<Sender<Box<dyn Change>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(crate) fn start(
        database: Arc<Database>,
        folder: BlobFolder,
        pins: Pins,
        bell: Arc<Bell>,
    ) -> std::io::Result<Committer> {
        let (queue, changes) = channel();
        let thread = std::thread::Builder::new()
            .name("consign-local-commit".into())
            .spawn(move || commit_all(&database, &folder, &pins, &bell, &changes))?;
        Ok(Committer { queue: Mutex::new(Some(queue)), thread: Some(thread) })
    }

    /// Runs `change` in a transaction and returns its result once that is durable. The change must
    /// refuse (return an error) before it writes anything: the transaction is shared. If the
    /// caller is dropped while waiting, the change happens all the same.
    pub(crate) async fn commit<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction, &mut Garbage) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let waiting = Box::new(Waiting { change: Some(change), result: None, reply });
        let sent = match &*self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(queue) => queue.send(waiting).is_ok(),
            None => false,
        };
        if !sent {
            return Err(StoreError::storage("the store is closed"));
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::storage("the store is closed")))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn commit_all(
    database: &Database,
    folder: &BlobFolder,
    pins: &Pins,
    bell: &Bell,
    changes: &Receiver<Box<dyn Change>>,
) {
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        batch.extend(changes.try_iter().take(CHANGES_MAX - 1));
        let (committed, garbage) = match commit_batch(database, folder, &mut batch) {
            Ok(garbage) => (Ok(()), garbage),
            Err(error) => (Err(error), Garbage::default()),
        };
        for change in batch {
            change.answer(committed.clone());
        }
        if garbage.rings {
            bell.ring();
        }
        // Nobody waits for this: what a crash leaves of it is swept at the next start.
        pins.discard(garbage.blobs, folder);
    }
}

fn commit_batch(
    database: &Database,
    folder: &BlobFolder,
    batch: &mut [Box<dyn Change>],
) -> Result<Garbage, StoreError> {
    // The names of all blobs that this batch refers to were given before it was queued.
    folder.sync().map_err(StoreError::storage)?;
    let transaction = database.begin_write().map_err(StoreError::storage)?;
    let mut garbage = Garbage::default();
    for change in batch {
        let mut left = change.run(&transaction)?;
        garbage.blobs.append(&mut left.blobs);
        garbage.rings |= left.rings;
    }
    transaction.commit().map_err(StoreError::storage)?;
    Ok(garbage)
}
