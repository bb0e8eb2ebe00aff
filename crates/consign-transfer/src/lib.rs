//! Parallel, resumable bytes to and from S3, in bounded memory.
//!
//! Make one [`Engine`] and give it every object: [`Engine::upload`] takes the parts of an object
//! from a [`PartSource`], [`Engine::download`] gives them to a [`PartSink`], several at a time and
//! in any order. All transfers of one engine share one bound on memory, so a program may start as
//! many as it likes. What a transfer has achieved goes line by line into a journal
//! ([`UploadJournal`], [`DownloadJournal`]); a program killed at any point opens the same journal
//! again and continues.
//!
//! Deciding and doing are apart. [`upload::machine`] and [`download::machine`] are pure:
//! `step(state, event) -> (state, effects)`, no clock, no network. The journal is the list of
//! events that matter, so resuming is replaying them. The drivers beside the machines do what the
//! effects say and report back.
//!
//! What this crate is not: it knows nothing of files, seals or keys. Bytes have an order, a
//! checksum and a fingerprint.

mod backoff;
mod buffers;
mod cancel;
pub mod copy;
mod crc;
pub mod download;
mod engine;
mod error;
mod journal;
mod layout;
#[cfg(test)]
mod sim;
mod store;
pub mod upload;

pub use backoff::Backoff;
pub use buffers::{Buffer, Buffers};
pub use cancel::{Cancel, Cancelled};
pub use crc::Crc64;
pub use download::{Downloaded, Object};
pub use engine::{Engine, Limits, Progress, Silent};
pub use error::{Error, ErrorKind, SinkError, SourceError};
pub use journal::{DownloadJournal, UploadJournal};
pub use layout::{PartLayout, plain_part_bytes};
pub use upload::{Mode, Target, Uploaded};

use bytes::Bytes;

/// One part of an object, ready to send.
#[derive(Clone, Debug)]
pub struct Part {
    /// What is sent. Make it of a [`Buffer`], so that its memory is used again.
    pub bytes: Bytes,
    /// CRC-64/NVME of `bytes`: [`Crc64::of`].
    pub crc64nvme: Crc64,
    /// Digest of the plaintext behind the part. It is written to the journal before the first
    /// byte is sent. A later run that meets another one stops with [`ErrorKind::SourceChanged`],
    /// because the same key and nonce must never seal two different texts.
    pub fingerprint: [u8; 32],
}

/// Where the parts of an object come from. Blocking; called on a thread that may block, for
/// several parts at once and in any order.
pub trait PartSource: Send + Sync + 'static {
    /// How the object is cut. Must not change.
    fn layout(&self) -> PartLayout;

    /// Makes part `number`, counted from 0: exactly the bytes of `layout().range(number)`. May be
    /// asked again for the same part and must then give the same bytes.
    ///
    /// # Errors
    /// Any error ends the transfer with [`ErrorKind::Source`].
    fn read_part(&self, number: u32) -> Result<Part, SourceError>;
}

/// Where the parts of an object go. Blocking, like [`PartSource`].
pub trait PartSink: Send + Sync + 'static {
    /// Takes part `number`, counted from 0, once. The buffer is the sink's: it may be overwritten,
    /// to decrypt in place, and returns to the engine's pool when it is dropped.
    ///
    /// # Errors
    /// Any error ends the transfer with [`ErrorKind::Sink`].
    fn write_part(&self, number: u32, part: Buffer) -> Result<(), SinkError>;

    /// Asked, before anything is fetched, for each part that the journal says an earlier run has
    /// written: is it still there? `false` has it fetched again.
    ///
    /// # Errors
    /// Any error ends the transfer with [`ErrorKind::Sink`].
    fn still_there(&self, number: u32) -> Result<bool, SinkError> {
        let _ = number;
        Ok(true)
    }
}
