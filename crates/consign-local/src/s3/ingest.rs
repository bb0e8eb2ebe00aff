//! From a request body (or another object) to a sealed, synced blob, with the checksums that were
//! asked for.
//!
//! Bytes are gathered to a megabyte and then hashed, sealed and written on a blocking thread while
//! the next megabyte arrives. No thread waits for a slow client, and what is smaller than that is
//! written by one thread in one go: for small objects the hops would cost more than the work.

use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::task::{JoinHandle, spawn_blocking};

use super::checksum::{Algorithm, Hasher};
use super::store::{BlobFolder, BlobWriter, DataKey, Staged};
use crate::error::ApiError;
use crate::gate::Body;

/// Large enough to make the hop to another thread cheap, small enough to hold two per upload.
pub(super) const GATHER_BYTES: u64 = 1024 * 1024;

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
    writing: Writing,
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
}

enum Writing {
    Planned(Plan),
    Under(JoinHandle<std::io::Result<Worker>>),
}

/// What is to be written; nothing is on the disk yet.
struct Plan {
    folder: BlobFolder,
    key: DataKey,
    md5: bool,
    algorithms: Vec<Algorithm>,
}

/// Whose turn it is, on a blocking thread.
enum Turn {
    First(Plan),
    Next(Worker),
}

impl Turn {
    fn take(self, gathered: &[Bytes]) -> std::io::Result<Worker> {
        let mut worker = match self {
            Turn::First(plan) => Worker {
                writer: BlobWriter::create(&plan.folder, &plan.key)?,
                md5: plan.md5.then(Md5::new),
                hashers: plan.algorithms.into_iter().map(Hasher::new).collect(),
            },
            Turn::Next(worker) => worker,
        };
        worker.take(gathered)?;
        Ok(worker)
    }
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
        algorithms.sort_unstable();
        algorithms.dedup();
        let plan = Plan { folder: folder.clone(), key: key.clone(), md5, algorithms };
        Ingest { writing: Writing::Planned(plan), gathered: Vec::new(), gathered_bytes: 0 }
    }

    pub(super) async fn push(mut self, bytes: Bytes) -> Result<Ingest, ApiError> {
        self.gathered_bytes += bytes.len() as u64;
        self.gathered.push(bytes);
        if self.gathered_bytes < GATHER_BYTES {
            return Ok(self);
        }
        let (turn, gathered) = (self.writing.turn().await?, self.gathered);
        let writing = Writing::Under(spawn_blocking(move || turn.take(&gathered)));
        Ok(Ingest { writing, gathered: Vec::new(), gathered_bytes: 0 })
    }

    pub(super) async fn finish(self) -> Result<Ingested, ApiError> {
        self.finish_with(|| Ok(Vec::new())).await
    }

    /// Writes at the end what `read` gives, which is called where it may block.
    pub(super) async fn finish_with(
        self,
        read: impl FnOnce() -> Result<Vec<Bytes>, ApiError> + Send + 'static,
    ) -> Result<Ingested, ApiError> {
        let (turn, mut gathered) = (self.writing.turn().await?, self.gathered);
        let finished = spawn_blocking(move || {
            gathered.extend(read()?);
            let worker = turn.take(&gathered).map_err(ApiError::internal)?;
            worker.finish().map_err(ApiError::internal)
        });
        finished.await.map_err(ApiError::internal)?
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
            self = self.push(bytes).await?;
        }
        self.finish().await
    }
}

impl Writing {
    async fn turn(self) -> Result<Turn, ApiError> {
        match self {
            Writing::Planned(plan) => Ok(Turn::First(plan)),
            Writing::Under(worker) => {
                let worker = worker.await.map_err(ApiError::internal)?;
                Ok(Turn::Next(worker.map_err(ApiError::internal)?))
            }
        }
    }
}

pub(super) fn too_large(bytes_max: u64) -> ApiError {
    let message = "Your proposed upload exceeds the maximum allowed size";
    ApiError::bad_request("EntityTooLarge", message).with("MaxSizeAllowed", bytes_max.to_string())
}
