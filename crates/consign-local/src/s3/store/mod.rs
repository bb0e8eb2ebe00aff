//! The object store: buckets, versions, uploads and sealed content, on one disk.
//!
//! Start with [`Store::open`]. Metadata is in `ROOT/objects.redb`; content is in `ROOT/blobs`, in
//! sealed blobs under random names. Object keys are only ever database keys, never paths. A change
//! is acknowledged after its blobs are synced and renamed and one database transaction has
//! committed, in that order: after a crash what was acknowledged is there, and what was not is
//! absent. Blobs that nothing refers to are swept at the next start.
//!
//! It knows nothing of HTTP, policies or KMS: data keys come in as values. The messages of SQS lie in
//! the same database ([`Store::commit`]), so that an object and its event are one transaction.

mod announce;
mod blob;
mod commit;
mod listing;
mod objects;
mod records;
mod uploads;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use announce::Announcer;
pub(crate) use blob::{BlobFolder, BlobId, BlobReader, BlobWriter, DataKey, Staged};
pub(crate) use commit::Garbage;
use commit::{Committer, Pins};
pub(crate) use listing::{ListQuery, Listed, Listing};
pub(crate) use objects::{Condition, Deleted, Deletion, NewBlob, NewObject, NewSegment, Opened};
pub(crate) use records::*;
pub(crate) use uploads::{CompletedPart, Completion};

use crate::sqs::{Bell, Queue, Queues, shelf};

/// What the database may keep in memory; its own default is a gigabyte, and the operating system
/// keeps the file's pages anyway.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why the store did not do it.
#[derive(Clone, Debug)]
pub(crate) struct StoreError {
    kind: StoreErrorKind,
    context: String,
}

/// What to tell the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreErrorKind {
    NoSuchBucket,
    BucketExists,
    BucketNotEmpty,
    NoSuchKey,
    NoSuchVersion,
    NoSuchUpload,
    /// The condition of a conditional write does not hold.
    PreconditionFailed,
    /// A part is absent or has another ETag or checksum.
    InvalidPart,
    InvalidPartOrder,
    /// A part other than the last is under 5 MiB.
    EntityTooSmall,
    /// The computed checksum of the whole is another than the client's.
    BadDigest,
    /// The disk or the database failed.
    Storage,
}

impl StoreError {
    fn new(kind: StoreErrorKind, context: impl Into<String>) -> StoreError {
        StoreError { kind, context: context.into() }
    }

    pub(crate) fn storage(cause: impl std::fmt::Display) -> StoreError {
        StoreError::new(StoreErrorKind::Storage, cause.to_string())
    }

    pub(crate) fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for StoreError {}

type Result<T> = std::result::Result<T, StoreError>;

/// Turns every failure of the database into [`StoreErrorKind::Storage`].
pub(crate) trait OrStorage<T> {
    fn or_storage(self) -> Result<T>;
}

impl<T, E: std::fmt::Display> OrStorage<T> for std::result::Result<T, E> {
    fn or_storage(self) -> Result<T> {
        self.map_err(StoreError::storage)
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).or_storage()
}

pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).or_storage()
}

/// The store. Clones of the `Arc`s inside are handed to the threads that need them.
pub struct Store {
    database: Arc<Database>,
    folder: BlobFolder,
    pins: Pins,
    committer: Committer,
    bell: Arc<Bell>,
    buckets: Buckets,
    /// When lifecycle rules were last carried out.
    pub(crate) swept_ms: AtomicU64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// Opens or makes the store under `root`, removes what a crash left behind, and reads the
    /// queues.
    pub fn open(root: &Path) -> std::io::Result<(Store, Queues)> {
        let folder = BlobFolder::open(&root.join("blobs"))?;
        let database = redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(root.join("objects.redb"))
            .map_err(std::io::Error::other)?;
        // The names of the two just made, before anything in them is acknowledged.
        std::fs::File::open(root)?.sync_all()?;
        let database = Arc::new(database);
        let (buckets, queues) = recover(&database, &folder).map_err(std::io::Error::other)?;
        let pins = Pins::default();
        let bell = Arc::new(Bell::default());
        let committer =
            Committer::start(database.clone(), folder.clone(), pins.clone(), bell.clone())?;
        let buckets = Buckets(Arc::new(RwLock::new(buckets)));
        let swept_ms = AtomicU64::new(0);
        let store = Store { database, folder, pins, committer, bell, buckets, swept_ms };
        Ok((store, Queues::new(queues)))
    }

    /// Where blobs lie: for writers on blocking threads.
    pub(crate) fn folder(&self) -> &BlobFolder {
        &self.folder
    }

    pub(crate) fn read(&self) -> Result<ReadTransaction> {
        self.database.begin_read().or_storage()
    }

    /// One change of what lies here besides objects; durable when it returns.
    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&WriteTransaction, &mut Garbage) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.committer.commit(change).await
    }

    /// Rings when messages may have come.
    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// A bucket with its settings.
    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<Bucket>> {
        self.buckets.get(name)
    }

    /// All buckets, by name.
    pub(crate) fn buckets(&self) -> Vec<Arc<Bucket>> {
        let mut all: Vec<_> = self.buckets.read().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Makes a bucket; names are unique across accounts.
    pub(crate) async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        let cache = self.buckets.clone();
        self.committer
            .commit(move |transaction, _| {
                let mut table = transaction.open_table(BUCKETS).or_storage()?;
                if table.get(bucket.name.as_str()).or_storage()?.is_some() {
                    let why = format!("bucket {} exists", bucket.name);
                    return Err(StoreError::new(StoreErrorKind::BucketExists, why));
                }
                put_bucket(&mut table, &cache, bucket)
            })
            .await
    }

    /// Changes a bucket's settings, atomically.
    pub(crate) async fn update_bucket(
        &self,
        name: &str,
        change: impl FnOnce(&mut Bucket) + Send + 'static,
    ) -> Result<()> {
        let name = name.to_owned();
        let cache = self.buckets.clone();
        self.committer
            .commit(move |transaction, _| {
                let mut bucket = Bucket::clone(&*cache.get(&name)?);
                change(&mut bucket);
                let mut table = transaction.open_table(BUCKETS).or_storage()?;
                put_bucket(&mut table, &cache, bucket)
            })
            .await
    }

    /// Sets whom a bucket tells what, and tells them so in the same transaction.
    pub(crate) async fn set_notifications(
        &self,
        name: &str,
        notifications: Vec<Notification>,
        tell: impl FnOnce(&WriteTransaction, &mut Garbage) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let name = name.to_owned();
        let cache = self.buckets.clone();
        self.committer
            .commit(move |transaction, after| {
                let mut bucket = Bucket::clone(&*cache.get(&name)?);
                bucket.notifications = notifications;
                tell(transaction, after)?;
                let mut table = transaction.open_table(BUCKETS).or_storage()?;
                put_bucket(&mut table, &cache, bucket)
            })
            .await
    }

    /// Removes a bucket that has no version of any key and no upload under way.
    pub(crate) async fn delete_bucket(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let cache = self.buckets.clone();
        self.committer
            .commit(move |transaction, _| {
                cache.get(&name)?;
                let empty: &[u8] = &[];
                let versions = transaction.open_table(VERSIONS).or_storage()?;
                let start = (name.as_str(), empty, 0);
                let mut rest = versions.range::<(&str, &[u8], u64)>(start..).or_storage()?;
                let occupied = match rest.next() {
                    Some(row) => row.or_storage()?.0.value().0 == name,
                    None => false,
                };
                let uploads = transaction.open_table(UPLOADS).or_storage()?;
                let start = (name.as_str(), empty, "");
                let mut rest = uploads.range::<(&str, &[u8], &str)>(start..).or_storage()?;
                let uploading = match rest.next() {
                    Some(row) => row.or_storage()?.0.value().0 == name,
                    None => false,
                };
                if occupied || uploading {
                    let why = format!("bucket {name} is not empty");
                    return Err(StoreError::new(StoreErrorKind::BucketNotEmpty, why));
                }
                let mut table = transaction.open_table(BUCKETS).or_storage()?;
                table.remove(name.as_str()).or_storage()?;
                cache.write().remove(&name);
                Ok(())
            })
            .await
    }
}

/// The buckets as the transaction under way sees them: whatever changes a row changes it here, and only the
/// thread that commits does.
#[derive(Clone)]
struct Buckets(Arc<RwLock<HashMap<String, Arc<Bucket>>>>);

impl Buckets {
    fn get(&self, name: &str) -> Result<Arc<Bucket>> {
        self.read().get(name).cloned().ok_or_else(|| {
            StoreError::new(StoreErrorKind::NoSuchBucket, format!("there is no bucket {name}"))
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<Bucket>>> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Arc<Bucket>>> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The cache follows the row at once, in the order of the transactions. It may so show a setting a
/// moment before it is durable, never one that a later transaction replaced. A commit that fails
/// is a failing disk; the next start reads the truth.
fn put_bucket(
    table: &mut redb::Table<'_, &'static str, &'static [u8]>,
    cache: &Buckets,
    bucket: Bucket,
) -> Result<()> {
    table.insert(bucket.name.as_str(), to_json(&bucket)?.as_slice()).or_storage()?;
    cache.write().insert(bucket.name.clone(), Arc::new(bucket));
    Ok(())
}

/// The next number of the one sequence that orders versions.
fn next_sequence(transaction: &WriteTransaction) -> Result<u64> {
    next_number(transaction, "version")
}

/// The next number of a sequence, from 1.
pub(crate) fn next_number(transaction: &WriteTransaction, sequence: &str) -> Result<u64> {
    let mut counters = transaction.open_table(COUNTERS).or_storage()?;
    let next = counters.get(sequence).or_storage()?.map_or(0, |row| row.value()) + 1;
    counters.insert(sequence, next).or_storage()?;
    Ok(next)
}

/// The buckets by name, and the queues.
type Recovered = (HashMap<String, Arc<Bucket>>, Vec<Queue>);

/// Makes the tables, reads buckets and queues, and removes blobs that no row refers to.
fn recover(database: &Database, folder: &BlobFolder) -> Result<Recovered> {
    let transaction = database.begin_write().or_storage()?;
    let mut buckets = HashMap::new();
    let mut referenced = HashSet::new();
    {
        for row in transaction.open_table(BUCKETS).or_storage()?.iter().or_storage()? {
            let bucket: Bucket = from_json(row.or_storage()?.1.value())?;
            buckets.insert(bucket.name.clone(), Arc::new(bucket));
        }
        for row in transaction.open_table(SEGMENTS).or_storage()?.iter().or_storage()? {
            let segment: Segment = from_json(row.or_storage()?.1.value())?;
            referenced.insert(segment.blob);
        }
        for row in transaction.open_table(PARTS).or_storage()?.iter().or_storage()? {
            let part: Part = from_json(row.or_storage()?.1.value())?;
            referenced.insert(part.blob);
        }
        transaction.open_table(VERSIONS).or_storage()?;
        transaction.open_table(UPLOADS).or_storage()?;
        transaction.open_table(COUNTERS).or_storage()?;
    }
    let queues = shelf::recover(&transaction)?;
    transaction.commit().or_storage()?;
    for blob in folder.list().or_storage()? {
        if !referenced.contains(&blob.0) {
            folder.remove(blob).or_storage()?;
        }
    }
    Ok((buckets, queues))
}

#[cfg(test)]
mod tests;
