//! From a request body (or another object) to a sealed, synced blob, with the checksums that were
//! asked for.
//!
//! Bytes are gathered to a megabyte and then hashed, sealed and written on a blocking thread while
//! the next megabyte arrives. No thread waits for a slow client.

use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::task::{JoinHandle, spawn_blocking};

use super::checksum::{Algorithm, Hasher};
use super::store::{BlobFolder, BlobWriter, DataKey, Staged};
use crate::error::ApiError;
use crate::gate::Body;

/// Large enough to make the hop to another thread cheap, small enough to hold two per upload.
const GATHER_BYTES: usize = 1024 * 1024;

/// What came in.
pub(super) struct Ingested {
    pub(super) blob: Staged,
    pub(super) bytes: u64,
    pub(super) md5: Option<[u8; 16]>,
    /// Base64 values.
    pub(super) checksums: Vec<(Algorithm, String)>,
}

impl Ingested {
    pub(super) fn checksum(&self, algorithm: Algorithm) -> Option<&str> {
        self.checksums
            .iter()
            .find(|(found, _)| *found == algorithm)
            .map(|(_, value)| value.as_str())
    }
}

/// Writes one blob. Dropped before it is finished, it leaves nothing.
pub(super) struct Ingest {
    // INVARIANT: `None` only while a method awaits it.
    worker: Option<JoinHandle<std::io::Result<Worker>>>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
}

struct Worker {
    writer: BlobWriter,
    md5: Option<Md5>,
    hashers: Vec<Hasher>,
}

impl Worker {
    fn take(&mut self, gathered: &[Bytes]) -> std::io::Result<()> {
        for bytes in gathered {
            if let Some(md5) = &mut self.md5 {
                md5.update(bytes);
            }
            for hasher in &mut self.hashers {
                hasher.update(bytes);
            }
            self.writer.write(bytes)?;
        }
        Ok(())
    }

    fn finish(self) -> std::io::Result<Ingested> {
        let (blob, bytes) = self.writer.finish()?;
        let md5 = self.md5.map(|md5| md5.finalize().into());
        let checksums =
            self.hashers.into_iter().map(|hasher| (hasher.algorithm(), hasher.finish())).collect();
        Ok(Ingested { blob, bytes, md5, checksums })
    }
}

impl Ingest {
    pub(super) fn start(
        folder: &BlobFolder,
        key: &DataKey,
        md5: bool,
        mut algorithms: Vec<Algorithm>,
    ) -> Ingest {
        let (folder, key) = (folder.clone(), key.clone());
        algorithms.sort_unstable();
        algorithms.dedup();
        let worker = spawn_blocking(move || {
            Ok(Worker {
                writer: BlobWriter::create(&folder, &key)?,
                md5: md5.then(Md5::new),
                hashers: algorithms.into_iter().map(Hasher::new).collect(),
            })
        });
        Ingest { worker: Some(worker), gathered: Vec::new(), gathered_bytes: 0 }
    }

    pub(super) async fn push(&mut self, bytes: Bytes) -> Result<(), ApiError> {
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_bytes >= GATHER_BYTES {
            let mut worker = self.worker().await?;
            let gathered = std::mem::take(&mut self.gathered);
            self.gathered_bytes = 0;
            self.worker = Some(spawn_blocking(move || {
                worker.take(&gathered)?;
                Ok(worker)
            }));
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Ingested, ApiError> {
        let mut worker = self.worker().await?;
        let gathered = std::mem::take(&mut self.gathered);
        let finished = spawn_blocking(move || {
            worker.take(&gathered)?;
            worker.finish()
        });
        finished.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
    }

    async fn worker(&mut self) -> Result<Worker, ApiError> {
        let worker = self.worker.take().ok_or_else(|| ApiError::internal("no worker"))?;
        worker.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
    }

    /// Takes in a whole body; more than `bytes_max` is `EntityTooLarge`.
    pub(super) async fn take_body(
        mut self,
        body: &mut Body,
        bytes_max: u64,
    ) -> Result<Ingested, ApiError> {
        let mut total = 0;
        while let Some(bytes) = body.next().await {
            let bytes = bytes?;
            total += bytes.len() as u64;
            if total > bytes_max {
                return Err(too_large(bytes_max));
            }
            self.push(bytes).await?;
        }
        self.finish().await
    }
}

pub(super) fn too_large(bytes_max: u64) -> ApiError {
    let message = "Your proposed upload exceeds the maximum allowed size";
    ApiError::bad_request("EntityTooLarge", message).with("MaxSizeAllowed", bytes_max.to_string())
}
