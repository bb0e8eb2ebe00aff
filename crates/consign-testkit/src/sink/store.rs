//! Objects and unfinished uploads, as lists of the very buffers they arrived in.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

/// Bodies up to this size are kept even when the sink drops what it gets: manifests, markers.
const ALWAYS_KEPT_BYTES: u64 = 64 * 1024;

/// Everything the sink knows. Shared by all connections behind one short lock, never held while
/// bytes move.
#[derive(Default)]
pub struct Store {
    discard: AtomicBool,
    serial: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By bucket and key.
    objects: BTreeMap<(String, String), Object>,
    /// By upload id.
    uploads: BTreeMap<String, Upload>,
}

/// A body in the pieces it came in.
#[derive(Clone, Default)]
pub(super) struct Body {
    pub(super) bytes: u64,
    /// `None` when the body was dropped on arrival.
    pub(super) pieces: Option<Vec<Bytes>>,
}

/// Headers worth echoing, by lower-case name.
pub(super) type Headers = Vec<(String, String)>;

#[derive(Clone)]
pub(super) struct Object {
    pub(super) parts: Vec<Body>,
    pub(super) etag: String,
    pub(super) headers: Headers,
    pub(super) modified: SystemTime,
}

#[derive(Clone)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) headers: Headers,
    pub(super) parts: BTreeMap<u32, (Body, String)>,
}

/// Why a request cannot be served, in S3's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NoSuchKey,
    NoSuchUpload,
    InvalidPart,
    PreconditionFailed,
    InvalidRange,
    NotImplemented,
}

impl Store {
    /// From now on bodies of more than 64 KiB are counted and dropped (`true`) or kept (`false`).
    pub fn set_discard(&self, discard: bool) {
        self.discard.store(discard, Ordering::Relaxed);
    }

    /// Forgets every object and upload.
    pub fn clear(&self) {
        *self.lock() = Inner::default();
    }

    /// Bucket, key and size of every object.
    pub fn objects(&self) -> Vec<(String, String, u64)> {
        let inner = self.lock();
        let sized = |((bucket, key), object): (&(String, String), &Object)| {
            (bucket.clone(), key.clone(), object.bytes())
        };
        inner.objects.iter().map(sized).collect()
    }

    /// How many multipart uploads were neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    pub(super) fn keeps(&self, bytes_so_far: u64) -> bool {
        bytes_so_far <= ALWAYS_KEPT_BYTES || !self.discard.load(Ordering::Relaxed)
    }

    pub(super) fn put(
        &self,
        (bucket, key): (String, String),
        body: Body,
        headers: Headers,
        only_new: bool,
    ) -> Result<String, Refusal> {
        let etag = self.next("object");
        self.insert((bucket, key), vec![body], headers, &etag, only_new)?;
        Ok(etag)
    }

    fn insert(
        &self,
        name: (String, String),
        parts: Vec<Body>,
        headers: Headers,
        etag: &str,
        only_new: bool,
    ) -> Result<(), Refusal> {
        let object = Object { parts, etag: etag.to_owned(), headers, modified: SystemTime::now() };
        let mut inner = self.lock();
        if only_new && inner.objects.contains_key(&name) {
            return Err(Refusal::PreconditionFailed);
        }
        inner.objects.insert(name, object);
        Ok(())
    }

    pub(super) fn get(&self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        let name = (bucket.to_owned(), key.to_owned());
        self.lock().objects.get(&name).cloned().ok_or(Refusal::NoSuchKey)
    }

    pub(super) fn delete(&self, bucket: &str, key: &str) {
        self.lock().objects.remove(&(bucket.to_owned(), key.to_owned()));
    }

    pub(super) fn create_upload(&self, bucket: String, key: String, headers: Headers) -> String {
        let id = self.next("upload");
        let upload = Upload { bucket, key, headers, parts: BTreeMap::new() };
        self.lock().uploads.insert(id.clone(), upload);
        id
    }

    pub(super) fn put_part(&self, id: &str, number: u32, body: Body) -> Result<String, Refusal> {
        let etag = self.next("part");
        let mut inner = self.lock();
        let upload = inner.uploads.get_mut(id).ok_or(Refusal::NoSuchUpload)?;
        upload.parts.insert(number, (body, etag.clone()));
        Ok(etag)
    }

    /// Makes the named parts one object; `headers` are those of the completing request.
    pub(super) fn complete(
        &self,
        id: &str,
        numbers: &[u32],
        headers: Headers,
        only_new: bool,
    ) -> Result<(String, Upload), Refusal> {
        let upload = self.upload(id)?;
        let part = |number: &u32| upload.parts.get(number).map(|(body, _)| body.clone());
        let parts: Option<Vec<Body>> = numbers.iter().map(part).collect();
        let parts = parts.filter(|parts| !parts.is_empty()).ok_or(Refusal::InvalidPart)?;
        let etag = self.next("object");
        let all = upload.headers.iter().cloned().chain(headers).collect();
        let name = (upload.bucket.clone(), upload.key.clone());
        self.insert(name, parts, all, &etag, only_new)?;
        self.lock().uploads.remove(id);
        Ok((etag, upload))
    }

    pub(super) fn abort(&self, id: &str) -> Result<(), Refusal> {
        self.lock().uploads.remove(id).map(drop).ok_or(Refusal::NoSuchUpload)
    }

    pub(super) fn upload(&self, id: &str) -> Result<Upload, Refusal> {
        self.lock().uploads.get(id).cloned().ok_or(Refusal::NoSuchUpload)
    }

    pub(super) fn uploads(&self, bucket: &str) -> Vec<(String, String)> {
        let inner = self.lock();
        let here = inner.uploads.iter().filter(|(_, upload)| upload.bucket == bucket);
        here.map(|(id, upload)| (id.clone(), upload.key.clone())).collect()
    }

    /// Keys with the prefix that come after `after`, in order, as far as `visit` says `true`.
    pub(super) fn walk(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        mut visit: impl FnMut(&str, &Object) -> bool,
    ) {
        let start = if prefix > after {
            Bound::Included((bucket.to_owned(), prefix.to_owned()))
        } else {
            Bound::Excluded((bucket.to_owned(), after.to_owned()))
        };
        let inner = self.lock();
        for ((in_bucket, key), object) in inner.objects.range((start, Bound::Unbounded)) {
            if in_bucket != bucket || !key.starts_with(prefix) || !visit(key, object) {
                return;
            }
        }
    }

    fn next(&self, kind: &str) -> String {
        // Not 32 hexadecimal digits: no client may take it for an MD5 and compare.
        format!("sink-{kind}-{}", self.serial.fetch_add(1, Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock leaves the maps half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object {
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The pieces under a range, shared and not copied; `None` when the body was dropped.
    pub(super) fn slice(&self, range: Range<u64>) -> Option<Vec<Bytes>> {
        let mut slices = Vec::new();
        let mut at = 0_u64;
        for part in &self.parts {
            if at + part.bytes <= range.start || at >= range.end {
                at += part.bytes;
                continue;
            }
            for piece in part.pieces.as_ref()? {
                let end = at + piece.len() as u64;
                let from = range.start.clamp(at, end) - at;
                let to = range.end.clamp(at, end) - at;
                if from < to {
                    slices.push(piece.slice(from as usize..to as usize));
                }
                at = end;
            }
        }
        Some(slices)
    }
}
