//! Seals files for named recipients, opens them again, and signs what is sealed.
//!
//! Start with [`age::seal_all`] and [`age::open_all`] for something that fits in memory,
//! [`age::SealWriter`] and [`age::OpenReader`] for a stream, and [`age::Sealer`] and
//! [`age::Opener`] when several threads work on pieces of one file at once. Signatures are in
//! [`sshsig`]; OpenPGP messages in [`openpgp`], what opens with Amazon's S3 Encryption Clients in
//! [`s3ec`]; what a sealed thing is, [`sniff`] tells. Everything written here opens with stock tools,
//! and everything they write opens here.
//!
//! This crate is synchronous and does no I/O of its own: no network, no files, no threads. It
//! knows nothing of parties, lanes or manifests. The cryptographic code it calls is aws-lc-rs, and
//! five small crates for what aws-lc-rs lacks (docs/decisions/0011); what is written here is the
//! formats around it, strictly parsed. Nothing that is not authenticated is ever handed out.
//!
//! Every failure is an [`Error`] whose [`ErrorKind`] says which of the few things a person can
//! act on has happened: truncated, reordered, extended, tampered, sealed for somebody else, or
//! not a sealed file at all.

pub mod age;
mod error;
#[cfg(feature = "openpgp")]
pub mod openpgp;
mod openssh;
mod primitives;
pub mod s3ec;
#[cfg(feature = "openpgp")]
pub mod s3s2;
pub mod shared_secret;
pub mod sniff;
pub mod sshsig;

pub use error::{Error, ErrorKind};
