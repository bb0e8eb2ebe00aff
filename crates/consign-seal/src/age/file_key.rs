//! The key that opens one file, and that its header wraps for each recipient.

use std::fmt;

use zeroize::Zeroizing;

use crate::Error;
use crate::primitives::{hkdf_sha256, random};

/// 128 random bits (age.md, "File key"). Whoever has it opens the file. Wiped when dropped.
#[derive(Clone)]
pub struct FileKey(Zeroizing<[u8; 16]>);

impl FileKey {
    /// A fresh one. "It MUST NOT be reused across multiple files."
    pub fn generate() -> Result<FileKey, Error> {
        Ok(FileKey(random()?))
    }

    /// One that somebody else unwrapped: a plugin, or hardware behind it.
    pub fn from_bytes(bytes: [u8; 16]) -> FileKey {
        FileKey(Zeroizing::new(bytes))
    }

    pub(super) fn new(bytes: Zeroizing<[u8; 16]>) -> FileKey {
        FileKey(bytes)
    }

    /// The bytes, to hand to a plugin.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// age.md, "Header MAC".
    pub(super) fn mac_key(&self) -> Result<Zeroizing<[u8; 32]>, Error> {
        hkdf_sha256(self.0.as_slice(), &[], b"header")
    }

    /// age.md, "Payload".
    pub(super) fn payload_key(&self, nonce: &[u8; 16]) -> Result<Zeroizing<[u8; 32]>, Error> {
        hkdf_sha256(self.0.as_slice(), nonce, b"payload")
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(…)")
    }
}
