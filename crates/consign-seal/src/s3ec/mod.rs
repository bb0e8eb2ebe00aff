//! The formats of the Amazon S3 Encryption Client: what Amazon's own clients for Java, Python, Go,
//! .NET, Ruby, PHP and C++ read and write.
//!
//! An object is sealed with AES-256 under a data key of its own. The data key is wrapped (by KMS,
//! by an AES key or for an RSA key) and lies, with what else is needed to open, beside the content:
//! in the object's metadata, or in an *instruction file*, a second object of the same name with
//! `.instruction` after it. Three formats exist:
//!
//! | format | content | here |
//! |---|---|---|
//! | V1 | AES-CBC, not authenticated | read behind switches |
//! | V2 | AES-GCM over the whole object (old ones: AES-CBC) | read and written |
//! | V3 | AES-GCM under a derived key, with a commitment to the data key | read and written, the default |
//!
//! To open: [`read_metadata`], [`Header::admit`] under an [`OpenPolicy`], fetch the key that
//! [`Admitted::wanted`] describes (KMS never enters this crate), [`Admitted::open`]. To seal: wrap a
//! [`DataKey`] and make a [`Sealer`].
//!
//! ```
//! use consign_seal::s3ec::{self, *};
//! # fn main() -> Result<(), consign_seal::Error> {
//! let (wrapping, data_key) = (AesKey::generate()?, DataKey::generate()?);
//! let wrapped = wrapping.wrap(Suite::GcmCommitted, &data_key, &Pairs::new())?;
//! let sealer = Sealer::new(CommitmentPolicy::default(), &data_key, wrapped)?;
//! let sealed = sealer.seal_all(b"for your eyes".to_vec())?;
//!
//! let metadata = sealer.header().to_metadata()?;
//! let read = s3ec::read_metadata(&metadata)?;
//! let MetadataRead::Header(header) = read else { unreachable!("it is not in another file") };
//! let policy = OpenPolicy::default();
//! let admitted = header.admit(&policy)?;
//! let opener = admitted.open(&wrapping.unwrap(&admitted.wanted())?)?;
//! assert_eq!(opener.open_all(sealed)?, b"for your eyes");
//! # Ok(()) }
//! ```
//!
//! AES-GCM has one tag for the whole object, up to 64 GiB. [`Sealer::seal_part`] and
//! [`Opener::hash_part`] still work on parts in any order and on any number of threads: see
//! `gcm.rs` for how, and [`Opener`] for what may be released when.
//!
//! Comments name sections of the specification: awslabs/aws-encryption-sdk-specification,
//! `s3-encryption/`. Which sentence of it is held by which test is in docs/s3ec-conformance.md;
//! why AES-GCM is put together here, in docs/decisions/0013-gcm-in-parts.md.

mod cbc;
mod commitment;
mod field;
mod gcm;
mod header;
mod keyring;
mod metadata;
mod opener;
mod pairs;
mod sealer;
mod suite;

pub use gcm::{CONTENT_BYTES_MAX, Partial, TAG_BYTES};
pub use header::{Admitted, Header, KeyRequest};
pub use keyring::{AesKey, DataKey, RsaPrivateKey, RsaPublicKey, Wrap, WrappedKey, kms_context};
pub use metadata::{
    INSTRUCTION_FILE_BYTES_MAX, INSTRUCTION_FILE_SUFFIX, METADATA_BYTES_MAX, MetadataRead, Pending,
    read_metadata,
};
pub use opener::{Opener, PIECE_BYTES, Verified};
pub use pairs::Pairs;
pub use sealer::Sealer;
pub use suite::{CommitmentPolicy, ExpectedContext, Format, OpenPolicy, Suite};

use crate::{Error, ErrorKind};

/// Whatever somebody who can write to the bucket may have done to an object, and a key that is not
/// the right one, is this one error: a reader must not be a means to find out how far a forgery
/// got (CVE-2020-8911 was such a means). What exactly failed goes to the log: [`Error::detail`].
fn does_not_open(detail: impl Into<String>) -> Error {
    const SENTENCE: &str = "the object does not open: it or its encryption metadata was changed, or \
                            it was sealed with another key";
    Error::new(ErrorKind::Tampered, SENTENCE).with_detail(detail)
}
