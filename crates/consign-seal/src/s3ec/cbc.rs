//! Content of V1 and of old V2 objects: AES-256-CBC. Read behind two switches, never written.
//!
//! Nothing authenticates it: whoever can write to the bucket can change the plaintext in ways they
//! choose. What can still be refused is a length or a padding that no client wrote, and that is one
//! error for both, so that a reader tells nobody which (CVE-2020-8911, the padding oracle).

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};

use super::does_not_open;
use super::keyring::DataKey;
use crate::Error;

pub(super) const IV_BYTES: usize = 16;

pub(super) fn open_all(
    key: &DataKey,
    iv: &[u8; IV_BYTES],
    mut sealed: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    if sealed.is_empty() || !sealed.len().is_multiple_of(IV_BYTES) {
        return Err(failed());
    }
    let key = UnboundCipherKey::new(&AES_256, key.as_bytes())
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .map_err(|_| Error::internal("AES-CBC key"))?;
    let opened = key
        .decrypt(&mut sealed, DecryptionContext::Iv128((*iv).into()))
        .map_err(|_| failed())?
        .len();
    sealed.truncate(opened);
    Ok(sealed)
}

fn failed() -> Error {
    does_not_open("the content is not AES-CBC under this key")
}
