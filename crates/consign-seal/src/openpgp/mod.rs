//! OpenPGP (RFC 9580): for partners who keep the GnuPG keys they have.
//!
//! ```
//! use consign_seal::openpgp::{self, KeyKind, OpenOptions, SealOptions, SecretKey};
//! # fn main() -> Result<(), consign_seal::Error> {
//! let now = 1_800_000_000; // Unix seconds
//! let acme = SecretKey::generate(KeyKind::Curve25519, "acme", now)?;
//! let globex = SecretKey::generate(KeyKind::Curve25519, "globex", now)?;
//!
//! let options = SealOptions { signer: Some(&acme), ..SealOptions::at(now) };
//! let sealed = openpgp::seal_all(&[globex.certificate()], b"for your eyes", &options)?;
//!
//! let signers = [acme.certificate()];
//! let opened = openpgp::open_all(&[globex], &signers, &sealed, &OpenOptions::at(now))?;
//! assert_eq!(opened.plain, b"for your eyes");
//! assert_eq!(opened.signed_by, Some(acme.fingerprint()));
//! # Ok(()) }
//! ```
//!
//! Start with [`seal_all`] and [`open_all`] for what fits in memory, [`SealWriter`] and
//! [`OpenReader`] for a stream, [`Certificate`] and [`SecretKey`] for keys.
//!
//! Where every recipient's certificate says that it is read, the container is version 2 of RFC
//! 9580 (AEAD, chunk by chunk); else version 1, which every OpenPGP program reads. What is not
//! safe any more is never written, and opened only where [`OpenOptions::allow_weak`] asks for it.
//!
//! Public-key operations, signatures and the parsing of keys are rPGP's (the crate `pgp`). What a
//! certificate allows (`validity.rs`), the framing and the containers are ours, on aws-lc-rs:
//! because there the questions of this crate are decided, namely what is authentic and when.
//! Why: docs/decisions/0012-openpgp.md.

mod armor;
mod certificate;
mod cipher;
mod container;
mod content;
mod describe;
mod generate;
mod keyring;
mod open;
mod packet;
mod passphrase;
mod seal;
mod secret;
mod session;
mod signature;
mod twice;
mod validity;

use std::io::Write;

pub use certificate::{Certificate, EncryptionKey, pinned};
pub use content::Expansion;
pub use describe::{Description, Fit, SealedFor, describe, fit};
pub use open::{OpenOptions, OpenReader, Opened, open_all};
pub use passphrase::OpenWith;
pub use seal::{SealOptions, SealWriter};
pub use secret::{KeyKind, SecretKey};

use crate::Error;

/// Seals something that fits in memory for all `recipients`. The result is a whole message.
/// Errors as [`SealWriter::new`].
pub fn seal_all(
    recipients: &[Certificate],
    plain: &[u8],
    options: &SealOptions<'_>,
) -> Result<Vec<u8>, Error> {
    let mut writer = SealWriter::new(Vec::new(), recipients, options)?;
    writer.write_all(plain).map_err(Error::from_io)?;
    writer.finish()
}
