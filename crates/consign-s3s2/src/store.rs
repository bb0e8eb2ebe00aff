//! A bucket, and the few things that are done to it here.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use consign_cloud::S3;
use consign_cloud::s3::{Encryption, GetObject};
use consign_transfer::{
    Backoff, Buffer, Cancel, Crc64, DownloadJournal, Engine, Object, Part, PartLayout, PartSink,
    PartSource, Progress, SinkError, SourceError, Target, UploadJournal, plain_part_bytes,
};

use crate::error::{Error, ErrorKind, Result};

/// Where shares lie, and how to get there. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// With the credentials at hand.
    pub s3: S3,
    /// Moves the files.
    pub engine: Engine,
    /// Its name.
    pub bucket: String,
    /// The account that must own it; none leaves it open.
    pub owner: Option<String>,
    /// The KMS key that puts ask for; none leaves it to the bucket.
    pub kms_key: Option<String>,
    /// Stops everything.
    pub cancel: Cancel,
    /// Hears of every byte.
    pub progress: Arc<dyn Progress>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl Store {
    /// Reads a small object whole; none when it is not there.
    pub(crate) async fn get(&self, key: &str, bytes_max: usize) -> Result<Option<Bytes>> {
        let object = self.object(key);
        let get = || self.s3.get_object_bytes(&object, bytes_max);
        match self.trying(get).await {
            Ok((bytes, _)) => Ok(Some(bytes)),
            Err(error) if error.kind() == consign_cloud::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from(error).during(format_args!("cannot read {key}"))),
        }
    }

    /// Whether an object is there, as far as S3 tells us: who may not list is denied, not told.
    pub(crate) async fn has(&self, key: &str) -> Option<bool> {
        let object = self.object(key);
        match self.trying(|| self.s3.head_object(&object)).await {
            Ok(_) => Some(true),
            Err(error) if error.kind() == consign_cloud::ErrorKind::NotFound => Some(false),
            Err(_) => None,
        }
    }

    /// Uploads a file that is all there; an object of the same key is never replaced.
    pub(crate) async fn upload(
        &self,
        key: &str,
        file: File,
        journal: &mut UploadJournal,
    ) -> Result<()> {
        let failed = |error: Error| error.during(format_args!("cannot write {key}"));
        let bytes = file.metadata().map_err(|error| {
            failed(Error::new(ErrorKind::Source, "the sealed file is lost").because(error))
        })?;
        let layout = layout(bytes.len()).map_err(failed)?;
        let target = Target {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            if_none_match: true,
            encryption: self.encryption(),
            expected_bucket_owner: self.owner.clone(),
            ..Target::default()
        };
        let source = Arc::new(Sealed { file, layout });
        self.engine
            .upload(&self.s3, &target, source, journal, &self.progress, &self.cancel)
            .await
            .map(drop)
            .map_err(|error| failed(error.into()))
    }

    /// Downloads an object into an empty file; gives its size.
    pub(crate) async fn download(&self, key: &str, file: File) -> Result<u64> {
        let failed = |error: Error| error.during(format_args!("cannot read {key}"));
        let object = self.object(key);
        let head = self.trying(|| self.s3.head_object(&object)).await;
        let head = head.map_err(|error| failed(error.into()))?;
        let object = Object {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            version_id: head.version_id,
            layout: layout(head.bytes).map_err(failed)?,
            expected_bucket_owner: self.owner.clone(),
            customer_key: None,
        };
        let sink = Arc::new(Fetched { file, layout: object.layout });
        let mut journal = DownloadJournal::in_memory();
        self.engine
            .download(&self.s3, &object, sink, &mut journal, &self.progress, &self.cancel)
            .await
            .map_err(|error| failed(error.into()))?;
        Ok(head.bytes)
    }

    fn object(&self, key: &str) -> GetObject {
        GetObject {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            expected_bucket_owner: self.owner.clone(),
            ..GetObject::default()
        }
    }

    fn encryption(&self) -> Option<Encryption> {
        self.kms_key.clone().map(|key| Encryption::SseKms { key: Some(key) })
    }

    /// Tries a request until it succeeds, cannot, or the engine's number of tries is used up.
    async fn trying<T, F>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> std::result::Result<T, consign_cloud::Error>
    where
        F: Future<Output = std::result::Result<T, consign_cloud::Error>>,
    {
        let limits = self.engine.limits();
        let mut backoff = Backoff::new(limits.attempts_max, limits.seed);
        loop {
            // Boxed: the client below is deep, and every caller would carry it in its own future.
            let error = match Box::pin(attempt()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match error.is_retryable().then(|| backoff.after(error.kind())).flatten() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }
}

fn layout(bytes: u64) -> Result<PartLayout> {
    PartLayout::new(0, plain_part_bytes(bytes), bytes).map_err(Into::into)
}

/// A sealed file on its way up.
struct Sealed {
    file: File,
    layout: PartLayout,
}

impl PartSource for Sealed {
    fn layout(&self) -> PartLayout {
        self.layout
    }

    fn read_part(&self, number: u32) -> std::result::Result<Part, SourceError> {
        let mut bytes = vec![0; self.layout.part_len(number)];
        self.file.read_exact_at(&mut bytes, self.layout.range(number).start)?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Ok(Part { crc64nvme: Crc64::of(&bytes), bytes: bytes.into(), fingerprint })
    }
}

/// A sealed file on its way down.
struct Fetched {
    file: File,
    layout: PartLayout,
}

impl PartSink for Fetched {
    fn write_part(&self, number: u32, part: Buffer) -> std::result::Result<(), SinkError> {
        self.file.write_all_at(&part, self.layout.range(number).start)?;
        Ok(())
    }
}
