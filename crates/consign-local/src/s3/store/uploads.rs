//! Multipart uploads: parts arrive in any order and any number of times; completion makes an object
//! of them without touching a byte.

use std::collections::HashSet;

use md5::{Digest, Md5};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::announce::{Announcer, Happening};
use super::blob::{BlobId, Staged};
use super::commit::Garbage;
use super::objects::{
    Condition, NewBlob, NewObject, NewSegment, current_in, insert_object, random_name,
};
use super::records::{Checksum, Object, PARTS, Part, UPLOADS, Upload};
use super::{OrStorage, Result, Store, StoreError, StoreErrorKind, from_json, to_json};
use crate::s3::checksum;

/// Every part but the last has at least this many bytes.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// A part as the client lists it in CompleteMultipartUpload.
#[derive(Clone, Debug)]
pub(crate) struct CompletedPart {
    pub(crate) number: u16,
    /// Without quotes.
    pub(crate) etag: String,
    /// Base64 values that the client gave, with their algorithms.
    pub(crate) checksums: Vec<(String, String)>,
}

/// What makes an object of an upload.
#[derive(Clone, Debug)]
pub(crate) struct Completion {
    pub(crate) parts: Vec<CompletedPart>,
    pub(crate) condition: Condition,
    /// The checksum of the whole, (algorithm, base64), when the client sent it.
    pub(crate) checksum: Option<(String, String)>,
    /// The size of the whole, when the client sent it.
    pub(crate) bytes: Option<u64>,
    pub(crate) now_ms: u64,
}

/// A page of parts.
#[derive(Clone, Debug)]
pub(crate) struct UploadListing {
    pub(crate) upload: Upload,
    pub(crate) parts: Vec<(u16, Part)>,
    pub(crate) truncated: bool,
}

fn no_such_upload() -> StoreError {
    StoreError::new(StoreErrorKind::NoSuchUpload, "there is no such upload")
}

impl Store {
    /// Begins an upload and returns its id. Ids of one key sort by their beginning.
    pub(crate) async fn create_upload(
        &self,
        bucket: &str,
        key: &[u8],
        upload: Upload,
    ) -> Result<String> {
        let id = format!("{:012x}{}", upload.started_ms, random_name(24)?);
        let (bucket, key, name) = (bucket.to_owned(), key.to_vec(), id.clone());
        let buckets = self.buckets.clone();
        self.committer
            .commit(move |transaction, _| {
                buckets.get(&bucket)?;
                let mut table = transaction.open_table(UPLOADS).or_storage()?;
                let at = (bucket.as_str(), key.as_slice(), name.as_str());
                table.insert(at, to_json(&upload)?.as_slice()).or_storage()?;
                Ok(())
            })
            .await?;
        Ok(id)
    }

    /// An upload under way.
    pub(crate) fn upload(&self, bucket: &str, key: &[u8], id: &str) -> Result<Upload> {
        self.bucket(bucket)?;
        upload_in_read(&self.read()?, bucket, key, id)
    }

    /// Takes in a part, replacing one of the same number. `part.blob` is taken from `blob`.
    pub(crate) async fn put_part(
        &self,
        bucket: &str,
        key: &[u8],
        id: &str,
        number: u16,
        blob: Staged,
        part: Part,
    ) -> Result<()> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_vec(), id.to_owned());
        self.committer
            .commit(move |transaction, garbage| {
                upload_in(transaction, &bucket, &key, &id)?;
                let mut table = transaction.open_table(PARTS).or_storage()?;
                let row = to_json(&Part { blob: blob.keep().0, ..part })?;
                let old = table.insert((id.as_str(), number), row.as_slice()).or_storage()?;
                if let Some(old) = old {
                    garbage.blobs.push(BlobId(from_json::<Part>(old.value())?.blob));
                }
                Ok(())
            })
            .await
    }

    /// A page of the parts after number `after`.
    pub(crate) fn list_parts(
        &self,
        bucket: &str,
        key: &[u8],
        id: &str,
        after: u16,
        parts_max: usize,
    ) -> Result<UploadListing> {
        self.bucket(bucket)?;
        let transaction = self.read()?;
        let upload = upload_in_read(&transaction, bucket, key, id)?;
        let table = transaction.open_table(PARTS).or_storage()?;
        let rows = (id, after.saturating_add(1))..=(id, u16::MAX);
        let mut parts = Vec::new();
        let mut truncated = false;
        for row in table.range::<(&str, u16)>(rows).or_storage()? {
            if parts.len() == parts_max {
                truncated = true;
                break;
            }
            let (at, row) = row.or_storage()?;
            parts.push((at.value().1, from_json(row.value())?));
        }
        Ok(UploadListing { upload, parts, truncated })
    }

    /// Makes the upload an object: the listed parts in order, all others discarded. Returns the
    /// object and its version id.
    pub(crate) async fn complete_upload(
        &self,
        bucket: &str,
        key: &[u8],
        id: &str,
        completion: Completion,
        announcer: Option<Announcer>,
    ) -> Result<(Object, Option<String>)> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_vec(), id.to_owned());
        let buckets = self.buckets.clone();
        self.committer
            .commit(move |transaction, garbage| {
                let upload = upload_in(transaction, &bucket, &key, &id)?;
                let current = current_in(transaction, &bucket, &key)?;
                let current = current.as_ref().and_then(|version| version.object.as_ref());
                completion.condition.check(current)?;
                let parts = parts_in(transaction, &id)?;
                let new = assemble(upload, &parts, &completion)?;
                let used: HashSet<_> =
                    new.segments.iter().map(|segment| segment.blob.id().0).collect();
                let unused = parts.iter().filter(|(_, part)| !used.contains(&part.blob));
                garbage.blobs.extend(unused.map(|(_, part)| BlobId(part.blob)));
                remove_upload(transaction, &bucket, &key, &id)?;
                let object = new.object.clone();
                let versioning = buckets.get(&bucket)?.versioning;
                let place = (bucket.as_str(), versioning);
                let version_id = insert_object(transaction, garbage, place, &key, new)?;
                if let Some(announcer) = announcer {
                    let (id, created) = (version_id.as_deref(), Happening::Created(&object));
                    announcer.tell(transaction, garbage, &key, id, created)?;
                }
                Ok((object, version_id))
            })
            .await
    }

    /// Gives an upload up, with all its parts.
    pub(crate) async fn abort_upload(&self, bucket: &str, key: &[u8], id: &str) -> Result<()> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_vec(), id.to_owned());
        let buckets = self.buckets.clone();
        self.committer
            .commit(move |transaction, garbage: &mut Garbage| {
                buckets.get(&bucket)?;
                upload_in(transaction, &bucket, &key, &id)?;
                let parts = parts_in(transaction, &id)?;
                garbage.blobs.extend(parts.iter().map(|(_, part)| BlobId(part.blob)));
                remove_upload(transaction, &bucket, &key, &id)
            })
            .await
    }
}

fn upload_in(transaction: &WriteTransaction, bucket: &str, key: &[u8], id: &str) -> Result<Upload> {
    let table = transaction.open_table(UPLOADS).or_storage()?;
    let row = table.get((bucket, key, id)).or_storage()?.ok_or_else(no_such_upload)?;
    from_json(row.value())
}

fn upload_in_read(
    transaction: &ReadTransaction,
    bucket: &str,
    key: &[u8],
    id: &str,
) -> Result<Upload> {
    let table = transaction.open_table(UPLOADS).or_storage()?;
    let row = table.get((bucket, key, id)).or_storage()?.ok_or_else(no_such_upload)?;
    from_json(row.value())
}

fn parts_in(transaction: &WriteTransaction, id: &str) -> Result<Vec<(u16, Part)>> {
    let table = transaction.open_table(PARTS).or_storage()?;
    let mut parts = Vec::new();
    for row in table.range::<(&str, u16)>((id, 0)..=(id, u16::MAX)).or_storage()? {
        let (at, row) = row.or_storage()?;
        parts.push((at.value().1, from_json(row.value())?));
    }
    Ok(parts)
}

fn remove_upload(transaction: &WriteTransaction, bucket: &str, key: &[u8], id: &str) -> Result<()> {
    let mut uploads = transaction.open_table(UPLOADS).or_storage()?;
    uploads.remove((bucket, key, id)).or_storage()?;
    let mut table = transaction.open_table(PARTS).or_storage()?;
    let rows = (id, 0)..=(id, u16::MAX);
    table.retain_in::<(&str, u16), _>(rows, |_, _| false).or_storage()
}

/// The object that the listed parts make, or why they make none. Writes nothing.
fn assemble(upload: Upload, parts: &[(u16, Part)], completion: &Completion) -> Result<NewObject> {
    let refuse = |kind, why: String| Err(StoreError::new(kind, why));
    let mut segments = Vec::with_capacity(completion.parts.len());
    let mut md5 = Md5::new();
    let mut total = 0;
    let numbers = completion.parts.iter().map(|part| part.number);
    if !numbers.is_sorted_by(|a, b| a < b) {
        return refuse(StoreErrorKind::InvalidPartOrder, "parts are not ascending".into());
    }
    for (index, wanted) in completion.parts.iter().enumerate() {
        let found = parts.binary_search_by_key(&wanted.number, |(number, _)| *number);
        let part = found.ok().and_then(|at| parts.get(at)).map(|(_, part)| part);
        let Some(part) = part.filter(|part| matches(part, wanted)) else {
            return refuse(StoreErrorKind::InvalidPart, format!("part {}", wanted.number));
        };
        if part.bytes < PART_BYTES_MIN && index + 1 < completion.parts.len() {
            let why = format!("part {} has {} bytes", wanted.number, part.bytes);
            return refuse(StoreErrorKind::EntityTooSmall, why);
        }
        md5.update(hex::decode(&part.etag).unwrap_or_else(|_| part.etag.clone().into_bytes()));
        total += part.bytes;
        segments.push(NewSegment {
            blob: NewBlob::Part(BlobId(part.blob)),
            bytes: part.bytes,
            part: wanted.number,
            checksum: Some(part.checksum.clone()),
        });
    }
    if completion.bytes.is_some_and(|bytes| bytes != total) {
        return refuse(StoreErrorKind::BadDigest, format!("the parts make {total} bytes"));
    }
    let checksum = whole_checksum(&upload, &segments)?;
    check_whole(&checksum, completion)?;
    let mut content = [0; 16];
    aws_lc_rs::rand::fill(&mut content).map_err(|_| StoreError::storage("no randomness"))?;
    let object = Object {
        content: u128::from_be_bytes(content),
        bytes: total,
        etag: format!("{}-{}", hex::encode(md5.finalize()), segments.len()),
        seal: upload.seal,
        checksum: Some(checksum),
        parts: u16::try_from(segments.len()).ok(),
        about: upload.about,
    };
    Ok(NewObject { object, segments, account: upload.account, modified_ms: completion.now_ms })
}

fn matches(part: &Part, wanted: &CompletedPart) -> bool {
    let agrees = |(algorithm, value): &(String, String)| {
        *algorithm != part.checksum.algorithm || *value == part.checksum.value
    };
    part.etag == wanted.etag && wanted.checksums.iter().all(agrees)
}

fn whole_checksum(upload: &Upload, segments: &[NewSegment]) -> Result<Checksum> {
    let parts = segments.iter().filter_map(|segment| {
        segment.checksum.as_ref().map(|checksum| (checksum.value.as_str(), segment.bytes))
    });
    let algorithm = checksum::Algorithm::parse(&upload.checksum_algorithm);
    let algorithm = algorithm.ok_or_else(|| StoreError::storage("unknown checksum algorithm"))?;
    let value = if upload.composite {
        checksum::composite(algorithm, parts)
    } else {
        checksum::combined(algorithm, parts)
    };
    let value = value.ok_or_else(|| StoreError::storage("a part's checksum is damaged"))?;
    Ok(Checksum {
        algorithm: upload.checksum_algorithm.clone(),
        value,
        composite: upload.composite,
    })
}

fn check_whole(computed: &Checksum, completion: &Completion) -> Result<()> {
    let Some((algorithm, value)) = &completion.checksum else {
        return Ok(());
    };
    // A composite may be given with or without its count of parts.
    let bare = computed.value.split_once('-').map_or(computed.value.as_str(), |(bare, _)| bare);
    if *algorithm == computed.algorithm && (*value == computed.value || value == bare) {
        return Ok(());
    }
    let why = format!("{algorithm} of the whole is not {value}");
    Err(StoreError::new(StoreErrorKind::BadDigest, why))
}
