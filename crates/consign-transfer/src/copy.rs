//! An object made of another within S3: by one request, or above its limit in parts, several at a
//! time. With a [`Graft`] the object gets another beginning, and the rest of it is copied.
//!
//! A copy in parts that was interrupted goes on: the caller remembers the id of the upload
//! ([`Copying::begun`]) and gives it back ([`Copying::upload_id`]); the parts that S3 has are not
//! copied again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use consign_cloud::S3;
use consign_cloud::s3::{
    CompleteMultipart, CompletedPart, CopyObject, Encryption, GetObject, ListedPart,
    MultipartTarget, PutDone, UploadPart,
};
use tokio::task::JoinSet;

use crate::cancel::{Cancel, Cancelled};
use crate::crc::Crc64;
use crate::engine::{Engine, Progress};
use crate::error::{Error, ErrorKind, SinkError};

/// What CopyObject takes at most (S3's limit).
pub const COPY_BYTES_MAX: u64 = 5 << 30;
/// How much a part copies: large, because no byte of it passes through this machine.
const PART_BYTES: u64 = 512 << 20;
/// The least that a part may have, unless it is the last (S3's limit).
pub const PART_BYTES_MIN: u64 = 5 << 20;
const PARTS_MAX: u64 = 10_000;

/// A copy to make.
pub struct Copying<'a> {
    /// Of which object: with its version or entity tag, so that all parts are of one.
    pub source: GetObject,
    /// How many bytes the source has.
    pub source_bytes: u64,
    /// The object to make. A copy by one request takes metadata and content type from the source.
    pub target: MultipartTarget,
    /// Another beginning; the copy is then made in parts.
    pub graft: Option<Graft>,
    /// The checksum that the whole object must have, where it is known.
    pub crc64nvme: Option<String>,
    /// Up to here one request will do: [`COPY_BYTES_MAX`], or less.
    pub single_bytes_max: u64,
    /// The largest part; none is a good size.
    pub part_bytes: Option<u64>,
    /// The upload that an earlier run began for exactly this copy.
    pub upload_id: Option<String>,
    /// Told the id of an upload before its first part.
    pub begun: &'a mut (dyn FnMut(&str) -> Result<(), SinkError> + Send + Sync),
}

/// What takes the place of an object's first bytes.
#[derive(Clone)]
pub struct Graft {
    /// The new beginning: [`PART_BYTES_MIN`] at least, because the rest of the object follows it.
    pub bytes: Bytes,
    /// How many bytes of the source it stands for: fewer than all of them.
    pub replaces: u64,
}

impl Engine {
    /// Copies an object whole.
    ///
    /// # Errors
    /// [`ErrorKind::Cloud`] when S3 refuses; an upload in parts is then left for another run.
    /// [`ErrorKind::Cancelled`] when it was told to stop.
    pub async fn copy(
        &self,
        s3: &S3,
        mut copying: Copying<'_>,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<PutDone, Error> {
        let key = copying.target.key.clone();
        let copied = async {
            let single_bytes_max = copying.single_bytes_max.min(COPY_BYTES_MAX);
            if copying.graft.is_some() || copying.source_bytes > single_bytes_max {
                return self.in_parts(s3, &mut copying, progress).await;
            }
            let copy = CopyObject {
                source: copying.source.clone(),
                target: copying.target.clone(),
                keep_metadata: true,
                if_none_match: false,
            };
            let copied = self.attempts(s3, progress.as_ref(), || s3.copy_object(&copy)).await;
            copied.result.map_err(|error| failed(&copying.target.key, error))
        };
        tokio::select! {
            biased;
            how = cancel.cancelled() => Err(stopped(&key, how)),
            copied = copied => copied,
        }
    }

    async fn in_parts(
        &self,
        s3: &S3,
        copying: &mut Copying<'_>,
        progress: &Arc<dyn Progress>,
    ) -> Result<PutDone, Error> {
        let layout = layout(copying);
        let key = copying.target.key.clone();
        let mut done = BTreeMap::new();
        let upload_id = match copying.upload_id.clone() {
            Some(id) => {
                let listed =
                    self.attempts(s3, progress.as_ref(), || s3.list_parts(&copying.target, &id));
                let listed = listed.await.result.map_err(|error| failed(&key, error))?;
                for part in listed {
                    if layout.get(&part.number).is_some_and(|piece| piece.is(&part)) {
                        let (number, etag) = (part.number, part.etag);
                        let checksum_crc64nvme = part.checksum_crc64nvme;
                        done.insert(number, CompletedPart { number, etag, checksum_crc64nvme });
                    }
                }
                id
            }
            None => begin(self, s3, copying, progress).await?,
        };
        let todo: VecDeque<(i32, Piece)> =
            layout.into_iter().filter(|(number, _)| !done.contains_key(number)).collect();
        self.make_parts(s3, copying, &upload_id, todo, &mut done, progress).await?;
        complete(self, s3, copying, &upload_id, done, progress).await
    }

    async fn make_parts(
        &self,
        s3: &S3,
        copying: &Copying<'_>,
        upload_id: &str,
        mut todo: VecDeque<(i32, Piece)>,
        done: &mut BTreeMap<i32, CompletedPart>,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let shared = Arc::new((copying.source.clone(), copying.target.clone()));
        let mut tasks = JoinSet::new();
        loop {
            // As many requests as a transfer has under way; they cost no memory.
            while tasks.len() < self.limits().in_flight.max(1) as usize
                && let Some((number, piece)) = todo.pop_front()
            {
                let (engine, s3, progress) = (self.clone(), s3.clone(), Arc::clone(progress));
                let (shared, upload_id) = (Arc::clone(&shared), upload_id.to_owned());
                tasks.spawn(async move {
                    let (source, target) = &*shared;
                    let part = engine.attempts(&s3, progress.as_ref(), || {
                        make_part(&s3, source, target, &upload_id, number, &piece)
                    });
                    let part = part.await.result.map_err(|error| failed(&target.key, error))?;
                    progress.moved(piece.bytes());
                    Ok::<_, Error>(part)
                });
            }
            let Some(ended) = tasks.join_next().await else { return Ok(()) };
            let part = ended.map_err(|panic| {
                Error::caused(ErrorKind::Internal, "copying a part ended badly", panic)
            })??;
            done.insert(part.number, part);
        }
    }
}

/// What a part is made of.
#[derive(Clone, Debug)]
enum Piece {
    /// Bytes of the graft.
    Sent(Bytes),
    /// A range of the source.
    Copied(Range<u64>),
}

impl Piece {
    fn bytes(&self) -> u64 {
        match self {
            Piece::Sent(bytes) => bytes.len() as u64,
            Piece::Copied(range) => range.end - range.start,
        }
    }

    /// Whether a part that S3 has is this one. What was sent is compared by its checksum: another run
    /// may have sent another graft.
    fn is(&self, listed: &ListedPart) -> bool {
        listed.bytes == self.bytes()
            && match self {
                Piece::Copied(_) => true,
                Piece::Sent(bytes) => {
                    listed.checksum_crc64nvme == Some(Crc64::of(bytes).to_string())
                }
            }
    }
}

/// The parts by their numbers: the graft, if there is one, then what is copied.
fn layout(copying: &Copying<'_>) -> BTreeMap<i32, Piece> {
    let graft = copying.graft.as_ref();
    let start = graft.map_or(0, |graft| graft.replaces);
    let sent = graft.map(|graft| Piece::Sent(graft.bytes.clone()));
    let copied = ranges(start..copying.source_bytes, copying.part_bytes);
    (1..).zip(sent.into_iter().chain(copied.into_iter().map(Piece::Copied))).collect()
}

async fn make_part(
    s3: &S3,
    source: &GetObject,
    target: &MultipartTarget,
    upload_id: &str,
    number: i32,
    piece: &Piece,
) -> Result<CompletedPart, consign_cloud::Error> {
    let bytes = match piece {
        Piece::Copied(range) => {
            return s3.upload_part_copy(source, range.clone(), target, upload_id, number).await;
        }
        Piece::Sent(bytes) => bytes.clone(),
    };
    let checksum_crc64nvme = Some(Crc64::of(&bytes).to_string());
    let part = UploadPart {
        number,
        body: bytes,
        checksum_crc64nvme: checksum_crc64nvme.clone(),
        customer_key: match &target.encryption {
            Some(Encryption::SseC(key)) => Some(key.clone()),
            _ => None,
        },
    };
    let etag = s3.upload_part(target, upload_id, part).await?;
    Ok(CompletedPart { number, etag, checksum_crc64nvme })
}

async fn begin(
    engine: &Engine,
    s3: &S3,
    copying: &mut Copying<'_>,
    progress: &Arc<dyn Progress>,
) -> Result<String, Error> {
    let target = &copying.target;
    let begun = engine.attempts(s3, progress.as_ref(), || s3.create_multipart(target)).await;
    let id = begun.result.map_err(|error| failed(&target.key, error))?;
    (copying.begun)(&id)
        .map_err(|error| Error::caused(ErrorKind::Journal, "a copy cannot be remembered", error))?;
    Ok(id)
}

async fn complete(
    engine: &Engine,
    s3: &S3,
    copying: &Copying<'_>,
    upload_id: &str,
    parts: BTreeMap<i32, CompletedPart>,
    progress: &Arc<dyn Progress>,
) -> Result<PutDone, Error> {
    let complete = || CompleteMultipart {
        parts: parts.values().cloned().collect(),
        checksum_crc64nvme: copying.crc64nvme.clone(),
        object_bytes: Some(object_bytes(copying)),
        if_none_match: false,
    };
    let completing = engine.attempts(s3, progress.as_ref(), || {
        s3.complete_multipart(&copying.target, upload_id, complete())
    });
    completing.await.result.map_err(|error| failed(&copying.target.key, error))
}

fn object_bytes(copying: &Copying<'_>) -> u64 {
    copying.graft.as_ref().map_or(copying.source_bytes, |graft| {
        copying.source_bytes.saturating_sub(graft.replaces) + graft.bytes.len() as u64
    })
}

/// How these bytes are cut: parts as large as told, but no more of them than S3 takes beside a graft,
/// and none that is smaller than S3 takes but the last.
fn ranges(bytes: Range<u64>, part_bytes: Option<u64>) -> Vec<Range<u64>> {
    let least = bytes.end.saturating_sub(bytes.start).div_ceil(PARTS_MAX - 1);
    let part = part_bytes.unwrap_or(PART_BYTES).max(least).max(PART_BYTES_MIN);
    let starts = std::iter::successors(Some(bytes.start), |start: &u64| start.checked_add(part));
    let starts = starts.take_while(|start| *start < bytes.end);
    starts.map(|start| start..bytes.end.min(start + part)).collect()
}

fn failed(key: &str, error: consign_cloud::Error) -> Error {
    let kind = match error.kind() {
        consign_cloud::ErrorKind::PreconditionFailed => ErrorKind::ObjectChanged,
        _ => ErrorKind::Cloud,
    };
    Error::caused(kind, format!("copying {key} failed"), error)
}

fn stopped(key: &str, _: Cancelled) -> Error {
    Error::new(ErrorKind::Cancelled, format!("copying {key} was stopped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_one_part_and_no_part_is_too_small_or_too_many() {
        let mib = 1 << 20;
        for (bytes, part) in
            [(8, None), (12 * mib, Some(5 * mib)), (48 << 40, None), (6 << 30, Some(1))]
        {
            let ranges = ranges(7..bytes, part);
            assert!((ranges.len() as u64) < PARTS_MAX, "{}", ranges.len());
            let mut at = 7;
            for (n, range) in ranges.iter().enumerate() {
                assert_eq!(range.start, at);
                let length = range.end - range.start;
                assert!(length <= COPY_BYTES_MAX && length > 0);
                assert!(length >= PART_BYTES_MIN || n + 1 == ranges.len());
                at = range.end;
            }
            assert_eq!(at, bytes);
        }
        assert!(ranges(0..0, None).is_empty());
    }
}
