//! Versions of keys: put, find, read, tag, delete.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::announce::{Announcer, Happening};
use super::blob::{BlobId, Staged};
use super::commit::{Garbage, Pinned};
use super::records::{Checksum, Object, SEGMENTS, Segment, VERSIONS, Version, Versioning};
use super::{
    OrStorage, Result, Store, StoreError, StoreErrorKind, from_json, next_sequence, to_json,
};

/// What must hold of the current version for a write to happen, checked in its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match: etag`, without quotes; `*` is any.
    Matches(String),
}

impl Condition {
    /// `NoSuchKey` if a match is asked of nothing, `PreconditionFailed` otherwise.
    pub(crate) fn check(&self, current: Option<&Object>) -> Result<()> {
        let failed = |why: &str| Err(StoreError::new(StoreErrorKind::PreconditionFailed, why));
        match (self, current) {
            (Condition::Always, _) | (Condition::Absent, None) => Ok(()),
            (Condition::Absent, Some(_)) => failed("the key exists"),
            (Condition::Matches(_), None) => Err(no_such_key()),
            (Condition::Matches(etag), Some(object)) if etag == "*" || *etag == object.etag => {
                Ok(())
            }
            (Condition::Matches(_), Some(_)) => failed("the ETag is another"),
        }
    }
}

/// A content ready to become a version: its blobs are synced and named.
#[derive(Debug)]
pub(crate) struct NewObject {
    pub(crate) object: Object,
    pub(crate) segments: Vec<NewSegment>,
    pub(crate) account: String,
    pub(crate) modified_ms: u64,
}

/// A blob of a new content, in order.
#[derive(Debug)]
pub(crate) struct NewSegment {
    pub(crate) blob: NewBlob,
    pub(crate) bytes: u64,
    pub(crate) part: u16,
    pub(crate) checksum: Option<Checksum>,
}

/// Where the blob of a new segment comes from.
#[derive(Debug)]
pub(crate) enum NewBlob {
    /// Just written; removed if the version is refused.
    Staged(Staged),
    /// A part's, kept with the upload if the version is refused.
    Part(BlobId),
}

impl NewBlob {
    pub(super) fn id(&self) -> BlobId {
        match self {
            NewBlob::Staged(staged) => staged.id(),
            NewBlob::Part(blob) => *blob,
        }
    }

    fn keep(self) -> BlobId {
        match self {
            NewBlob::Staged(staged) => staged.keep(),
            NewBlob::Part(blob) => blob,
        }
    }
}

/// A content being read; its blobs stay on disk while it lives.
pub(crate) struct Opened {
    /// With the offset of each within the object.
    pub(crate) segments: Vec<(u64, Segment)>,
    _pinned: Pinned,
}

/// What a DELETE did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// The version removed, or the delete marker made.
    pub(crate) version_id: Option<String>,
    /// Whether that is a delete marker.
    pub(crate) marker: bool,
    /// Whether a version went for good; what was not there is deleted already.
    pub(crate) removed: bool,
}

impl Deleted {
    fn happening(&self) -> Option<Happening<'static>> {
        match self {
            Deleted { removed: true, .. } => Some(Happening::Deleted),
            Deleted { marker: true, .. } => Some(Happening::Marked),
            _ => None,
        }
    }
}

impl Store {
    /// Writes a version, tells whom it concerns, and returns its id (`None`: the bucket has no
    /// versioning). The blobs of a refused content are removed.
    pub(crate) async fn put_version(
        &self,
        bucket: &str,
        key: &[u8],
        new: NewObject,
        condition: Condition,
        announcer: Option<Announcer>,
    ) -> Result<Option<String>> {
        let (bucket, key) = (bucket.to_owned(), key.to_vec());
        let buckets = self.buckets.clone();
        self.committer
            .commit(move |transaction, garbage| {
                let versioning = buckets.get(&bucket)?.versioning;
                let current = current_in(transaction, &bucket, &key)?;
                condition.check(current.as_ref().and_then(|version| version.object.as_ref()))?;
                let told = announcer.map(|announcer| (announcer, new.object.clone()));
                let version_id =
                    insert_object(transaction, garbage, (&bucket, versioning), &key, new)?;
                if let Some((announcer, object)) = told {
                    let (id, created) = (version_id.as_deref(), Happening::Created(&object));
                    announcer.tell(transaction, garbage, &key, id, created)?;
                }
                Ok(version_id)
            })
            .await
    }

    /// The current version of `key`, or the one named; delete markers included. A few pages of a tree,
    /// mostly in memory: it is read where it is asked, because another thread would take longer to wake.
    pub(crate) fn find(
        &self,
        bucket: &str,
        key: &[u8],
        version_id: Option<&str>,
    ) -> Result<Version> {
        self.bucket(bucket)?;
        find_in(&self.read()?, bucket, key, version_id)
    }

    /// Opens the plaintext bytes `bytes` of a version that was found; their blobs stay on disk until
    /// the result is dropped. `None` if the version went away or was replaced meanwhile.
    pub(crate) fn open_content(
        &self,
        bucket: &str,
        key: &[u8],
        version: &Version,
        bytes: std::ops::Range<u64>,
    ) -> Result<Option<Opened>> {
        let content = |version: &Version| version.object.as_ref().map(|object| object.content);
        let segments = match &version.object {
            Some(object) => segments_in(&self.read()?, object, bytes)?,
            None => Vec::new(),
        };
        let blobs = segments.iter().map(|(_, segment)| BlobId(segment.blob)).collect();
        let pinned = self.pins.hold(blobs, &self.folder);
        // Only a version that is still there after its blobs were pinned has all of them.
        match find_in(&self.read()?, bucket, key, Some(version.id_text())) {
            Ok(again) if content(&again) == content(version) => {
                Ok(Some(Opened { segments, _pinned: pinned }))
            }
            Err(error) if error.kind() == StoreErrorKind::Storage => Err(error),
            _ => Ok(None),
        }
    }

    /// All segments of an object, for what describes it part by part.
    pub(crate) fn segments(&self, object: &Object) -> Result<Vec<(u64, Segment)>> {
        segments_in(&self.read()?, object, 0..object.bytes)
    }

    /// Changes what is said about a version (its tags), not its content.
    pub(crate) async fn update_version(
        &self,
        bucket: &str,
        key: &[u8],
        version_id: Option<&str>,
        change: impl FnOnce(&mut Object) + Send + 'static,
    ) -> Result<()> {
        let (bucket, key) = (bucket.to_owned(), key.to_vec());
        let version_id = version_id.map(str::to_owned);
        self.committer
            .commit(move |transaction, _| {
                let mut table = transaction.open_table(VERSIONS).or_storage()?;
                let found = row_of(&table, &bucket, &key, version_id.as_deref())?;
                let Some((order, mut version)) = found else {
                    return Err(missing(version_id.as_deref()));
                };
                let Some(object) = &mut version.object else {
                    return Err(no_such_key());
                };
                change(object);
                let row = to_json(&version)?;
                table
                    .insert((bucket.as_str(), key.as_slice(), order), row.as_slice())
                    .or_storage()?;
                Ok(())
            })
            .await
    }

    /// Deletes as S3 does: a named version goes for good; without a name, a versioned bucket gets
    /// a delete marker and another loses its null version. What is not there is already deleted.
    /// All deletions share one commit; each has its own result.
    pub(crate) async fn delete(
        &self,
        bucket: &str,
        deletions: Vec<Deletion>,
        account: &str,
        now_ms: u64,
        announcer: Option<Announcer>,
    ) -> Result<Vec<Result<Deleted>>> {
        let (bucket, account) = (bucket.to_owned(), account.to_owned());
        let buckets = self.buckets.clone();
        self.committer
            .commit(move |transaction, garbage| {
                let versioning = buckets.get(&bucket)?.versioning;
                let mut results = Vec::with_capacity(deletions.len());
                for deletion in deletions {
                    let marker = Version {
                        version_id: version_name(versioning)?,
                        modified_ms: now_ms,
                        object: None,
                        account: account.clone(),
                    };
                    let marker = Some(marker).filter(|_| versioning != Versioning::Never);
                    let key = deletion.key.clone();
                    let done = delete_in(transaction, garbage, &bucket, deletion, marker);
                    if let (Ok(deleted), Some(announcer)) = (&done, &announcer)
                        && let Some(happening) = deleted.happening()
                    {
                        let id = deleted.version_id.as_deref();
                        announcer.tell(transaction, garbage, &key, id, happening)?;
                    }
                    match done {
                        Err(error) if error.kind() == StoreErrorKind::Storage => return Err(error),
                        result => results.push(result),
                    }
                }
                Ok(results)
            })
            .await
    }
}

/// One key, or one version of it, to delete.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    pub(crate) key: Vec<u8>,
    pub(crate) version_id: Option<String>,
    pub(crate) condition: Condition,
}

/// `marker` is what a deletion without a version leaves in a bucket with versioning.
fn delete_in(
    transaction: &WriteTransaction,
    garbage: &mut Garbage,
    bucket: &str,
    deletion: Deletion,
    marker: Option<Version>,
) -> Result<Deleted> {
    let Deletion { key, version_id, condition } = deletion;
    let current = match &version_id {
        Some(id) => version_in(transaction, bucket, &key, id)?,
        None => current_in(transaction, bucket, &key)?,
    };
    condition.check(current.as_ref().and_then(|version| version.object.as_ref()))?;
    let removed = current.is_some();
    if let Some(id) = version_id {
        let marker = current.is_some_and(|version| version.object.is_none());
        remove_version(transaction, garbage, bucket, &key, &id)?;
        return Ok(Deleted { version_id: Some(id), marker, removed });
    }
    let Some(marker) = marker else {
        remove_version(transaction, garbage, bucket, &key, "null")?;
        return Ok(Deleted { removed, ..Deleted::default() });
    };
    if marker.version_id.is_none() {
        remove_version(transaction, garbage, bucket, &key, "null")?;
    }
    insert_version(transaction, bucket, &key, &marker)?;
    let version_id = Some(marker.id_text().to_owned());
    Ok(Deleted { version_id, marker: true, removed: false })
}

pub(super) fn no_such_key() -> StoreError {
    StoreError::new(StoreErrorKind::NoSuchKey, "there is no such key")
}

fn missing(version_id: Option<&str>) -> StoreError {
    match version_id {
        None => no_such_key(),
        Some(_) => StoreError::new(StoreErrorKind::NoSuchVersion, "there is no such version"),
    }
}

/// A fresh version id, or `None` where the null version is written.
fn version_name(versioning: Versioning) -> Result<Option<String>> {
    match versioning {
        Versioning::Enabled => random_name(24).map(Some),
        Versioning::Never | Versioning::Suspended => Ok(None),
    }
}

/// `bytes` random bytes in URL-safe letters.
pub(super) fn random_name(bytes: usize) -> Result<String> {
    use base64::Engine as _;
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| StoreError::storage("no randomness"))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random).replace('-', "."))
}

/// Makes `new` the current version, replacing the null version where there is no versioning.
pub(super) fn insert_object(
    transaction: &WriteTransaction,
    garbage: &mut Garbage,
    (bucket, versioning): (&str, Versioning),
    key: &[u8],
    new: NewObject,
) -> Result<Option<String>> {
    let version_id = version_name(versioning)?;
    if version_id.is_none() {
        remove_version(transaction, garbage, bucket, key, "null")?;
    }
    let mut table = transaction.open_table(SEGMENTS).or_storage()?;
    let mut end = 0;
    for segment in new.segments {
        if segment.bytes == 0 && end > 0 {
            // An empty last part holds nothing, and would share its row with the part before it.
            garbage.blobs.push(segment.blob.keep());
            continue;
        }
        end += segment.bytes;
        let row = Segment {
            blob: segment.blob.keep().0,
            bytes: segment.bytes,
            part: segment.part,
            checksum: segment.checksum,
        };
        table.insert((new.object.content, end), to_json(&row)?.as_slice()).or_storage()?;
    }
    let version = Version {
        version_id,
        modified_ms: new.modified_ms,
        object: Some(new.object),
        account: new.account,
    };
    insert_version(transaction, bucket, key, &version)?;
    Ok(match versioning {
        Versioning::Never => None,
        Versioning::Enabled | Versioning::Suspended => Some(version.id_text().to_owned()),
    })
}

fn insert_version(
    transaction: &WriteTransaction,
    bucket: &str,
    key: &[u8],
    version: &Version,
) -> Result<()> {
    let order = u64::MAX - next_sequence(transaction)?;
    let mut table = transaction.open_table(VERSIONS).or_storage()?;
    table.insert((bucket, key, order), to_json(version)?.as_slice()).or_storage()?;
    Ok(())
}

/// Removes one version if it is there; its blobs become garbage.
fn remove_version(
    transaction: &WriteTransaction,
    garbage: &mut Garbage,
    bucket: &str,
    key: &[u8],
    version_id: &str,
) -> Result<()> {
    let mut table = transaction.open_table(VERSIONS).or_storage()?;
    let Some((order, version)) = row_of(&table, bucket, key, Some(version_id))? else {
        return Ok(());
    };
    table.remove((bucket, key, order)).or_storage()?;
    let Some(object) = version.object else {
        return Ok(());
    };
    let mut segments = transaction.open_table(SEGMENTS).or_storage()?;
    let rows = (object.content, 0)..=(object.content, u64::MAX);
    let mut ends = Vec::new();
    for row in segments.range(rows).or_storage()? {
        let (at, row) = row.or_storage()?;
        ends.push(at.value());
        garbage.blobs.push(BlobId(from_json::<Segment>(row.value())?.blob));
    }
    for end in ends {
        segments.remove(end).or_storage()?;
    }
    Ok(())
}

/// The row of the current version (no name) or of the one named.
fn row_of(
    table: &impl ReadableTable<(&'static str, &'static [u8], u64), &'static [u8]>,
    bucket: &str,
    key: &[u8],
    version_id: Option<&str>,
) -> Result<Option<(u64, Version)>> {
    let rows = (bucket, key, 0)..=(bucket, key, u64::MAX);
    for row in table.range::<(&str, &[u8], u64)>(rows).or_storage()? {
        let (at, row) = row.or_storage()?;
        let version: Version = from_json(row.value())?;
        if version_id.is_none_or(|id| id == version.id_text()) {
            return Ok(Some((at.value().2, version)));
        }
    }
    Ok(None)
}

pub(super) fn current_in(
    transaction: &WriteTransaction,
    bucket: &str,
    key: &[u8],
) -> Result<Option<Version>> {
    let table = transaction.open_table(VERSIONS).or_storage()?;
    Ok(row_of(&table, bucket, key, None)?.map(|(_, version)| version))
}

fn version_in(
    transaction: &WriteTransaction,
    bucket: &str,
    key: &[u8],
    version_id: &str,
) -> Result<Option<Version>> {
    let table = transaction.open_table(VERSIONS).or_storage()?;
    Ok(row_of(&table, bucket, key, Some(version_id))?.map(|(_, version)| version))
}

fn find_in(
    transaction: &ReadTransaction,
    bucket: &str,
    key: &[u8],
    version_id: Option<&str>,
) -> Result<Version> {
    let table = transaction.open_table(VERSIONS).or_storage()?;
    let found = row_of(&table, bucket, key, version_id)?;
    found.map(|(_, version)| version).ok_or_else(|| missing(version_id))
}

fn segments_in(
    transaction: &ReadTransaction,
    object: &Object,
    bytes: std::ops::Range<u64>,
) -> Result<Vec<(u64, Segment)>> {
    let table = transaction.open_table(SEGMENTS).or_storage()?;
    let mut segments = Vec::new();
    // A segment is filed under the offset behind it: the first that matters ends after `start`.
    let first = if object.bytes == 0 { 0 } else { bytes.start + 1 };
    for row in table.range((object.content, first)..=(object.content, u64::MAX)).or_storage()? {
        let (at, row) = row.or_storage()?;
        let segment: Segment = from_json(row.value())?;
        let begin = at.value().1 - segment.bytes;
        if begin >= bytes.end && begin > 0 {
            break;
        }
        segments.push((begin, segment));
    }
    Ok(segments)
}
