//! Seals files for named recipients, opens them again, and signs what is sealed.
//!
//! Start with [`age::seal_all`] and [`age::open_all`] for something that fits in memory,
//! [`age::SealWriter`] and [`age::OpenReader`] for a stream, and [`age::Sealer`] and
//! [`age::Opener`] when several threads work on pieces of one file at once. Signatures are in
//! [`sshsig`]. What opens with Amazon's S3 Encryption Clients is in [`s3ec`].
//! Everything written here opens with stock tools: `age -d` and
//! `ssh-keygen -Y verify`; everything they write opens here.
//!
//! This crate is synchronous and does no I/O of its own: no network, no files, no threads. It
//! knows nothing of parties, lanes or manifests. The only cryptographic code it calls is
//! aws-lc-rs; what is written here is the formats around it, strictly parsed. Nothing that is not
//! authenticated is ever handed out.
//!
//! Every failure is an [`Error`] whose [`ErrorKind`] says which of the few things a person can
//! act on has happened: truncated, reordered, extended, tampered, sealed for somebody else, or
//! not a sealed file at all.

pub mod age;
mod error;
#[cfg(feature = "openpgp")]
pub mod openpgp;
mod primitives;
pub mod s3ec;
pub mod shared_secret;
pub mod sshsig;

pub use error::{Error, ErrorKind};
