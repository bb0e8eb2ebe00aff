//! The age v1 format: `age-encryption.org/v1`, for X25519 and post-quantum recipients, SSH keys and
//! passphrases, and with the joint that plugins need.
//!
//! ```
//! use consign_seal::age::{self, Identity};
//! # fn main() -> Result<(), consign_seal::Error> {
//! let identity = Identity::generate()?;
//! let sealed = age::seal_all(&[identity.to_recipient()], b"for your eyes")?;
//! assert_eq!(age::open_all(&[identity], &sealed)?, b"for your eyes");
//! # Ok(()) }
//! ```
//!
//! A sealed file is a text header, a 16-byte nonce, and the content in chunks of 64 KiB, each
//! with a 16-byte tag. Chunks depend on nothing but their number and on whether they are the
//! last, so they can be sealed and opened in any order by any number of threads: that is what
//! [`Sealer`] and [`Opener`] are for. They hold a key and no position; the caller brings the
//! threads and the buffers.
//!
//! Section names in comments refer to the specification, c2sp.org/age.
//!
//! Why this is own code and not the `age` crate: docs/decisions/0001-own-age-code.md.

mod armor;
mod diagnose;
mod file_key;
mod header;
mod hybrid;
mod keys;
mod passphrase;
mod payload;
mod plugin;
mod ssh;
mod stanza;
mod stream;
mod text;
mod x25519;

pub use armor::{ArmorReader, ArmorWriter};
pub use file_key::FileKey;
pub use header::{
    Header, HeaderRead, MAX_HEADER_BYTES, header_ended_early, read_header, write_header,
};
pub use hybrid::{HybridIdentity, HybridRecipient};
pub use keys::{Identity, Recipient, parse_identities, parse_identity_file, parse_recipients};
pub use passphrase::Passphrase;
pub use payload::{
    CHUNK_BYTES, NONCE_BYTES, Opener, SEALED_CHUNK_BYTES, Sealer, TAG_BYTES, plain_bytes,
    sealed_payload_bytes,
};
pub use plugin::{PluginIdentity, PluginRecipient};
pub use ssh::{SshIdentity, SshRecipient};
pub use stanza::Stanza;
pub use stream::{OpenReader, SealWriter, SealedBytes, SealedFile};
pub use x25519::{X25519Identity, X25519Recipient};

use crate::{Error, ErrorKind};

/// Seals something that fits in memory. The result is a whole age file.
pub fn seal_all(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let sealer = Sealer::new(recipients)?;
    let length = usize::try_from(sealer.file_bytes(plain.len() as u64))
        .map_err(|_| Error::usage("the content does not fit in memory"))?;
    let mut sealed = Vec::with_capacity(length);
    sealed.extend_from_slice(plain);
    sealed.resize(length, 0);
    sealer.seal_whole(plain.len(), &mut sealed)?;
    Ok(sealed)
}

/// Opens a whole age file, armored or not, that fits in memory. Nothing is returned unless all of
/// it authenticates.
pub fn open_all(identities: &[Identity], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    if armor::looks_armored(sealed) {
        return open_binary(identities, &armor::unarmor(sealed)?);
    }
    open_binary(identities, sealed)
}

/// Whether it begins as an age file does, armored or not.
pub(crate) fn starts_like_age(bytes: &[u8]) -> bool {
    bytes.starts_with(header::MAGIC) || armor::looks_armored(bytes)
}

fn open_binary(identities: &[Identity], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let HeaderRead::Done(header, header_bytes) = read_header(sealed)? else {
        return Err(header_ended_early(sealed));
    };
    let rest = sealed.get(header_bytes..).unwrap_or_default();
    let Some((nonce, payload)) = rest.split_first_chunk::<NONCE_BYTES>() else {
        // The header can still say whether the rest would have been for us.
        header.open(identities, &[0; NONCE_BYTES])?;
        return Err(Error::new(ErrorKind::Truncated, "the file ends right after its header"));
    };
    let opener = header.open(identities, nonce)?;
    let mut plain = vec![0u8; payload.len()];
    let length = opener.open_into(0, true, payload, &mut plain)?;
    plain.truncate(length);
    Ok(plain)
}
