//! Ciphertext blobs: what KMS gives out and takes back.
//!
//! ```text
//! 1 byte   format, 1
//! 16 bytes key id (UUID)
//! 2 bytes  generation of the key material, big-endian
//! 12 bytes nonce, then ciphertext and 16 bytes tag (AES-256-GCM)
//! ```
//!
//! The encryption context and the head of the blob are authenticated, not stored: without the same
//! context the blob does not open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::fault::Fault;
use super::records::{Key, Keys};
use crate::vault::{Vault, open_under, seal_under};

/// What a ciphertext is bound to: `aws:s3:arn` and whatever the caller adds.
pub type EncryptionContext = BTreeMap<String, String>;

const CONTEXT_BYTES_MAX: usize = 8192;

/// Refuses contexts that are too long, and those with keys that differ in case only: condition keys
/// do not tell them apart, so one could hide the other from a policy.
pub(super) fn check_context(context: &EncryptionContext) -> Result<(), Fault> {
    let bytes: usize = context.iter().map(|(key, value)| key.len() + value.len()).sum();
    let folded: BTreeSet<String> = context.keys().map(|key| key.to_lowercase()).collect();
    if bytes > CONTEXT_BYTES_MAX || folded.len() != context.len() {
        let why = "The encryption context is too long, or has keys that differ in case only.";
        return Err(Fault::Validation(why.to_owned()));
    }
    Ok(())
}

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 19;

/// A ciphertext blob, its head read.
pub(super) struct Blob<'a> {
    key_id: String,
    generation: usize,
    head: &'a [u8],
    sealed: &'a [u8],
}

/// Encrypts under the newest material of a key.
pub(super) fn encrypt(
    vault: &Vault,
    key: &Key,
    context: &EncryptionContext,
    plain: &[u8],
) -> Result<Vec<u8>, Fault> {
    let generation = key.generation();
    let material = key.material(vault, generation).ok_or(Fault::Internal("key material"))?;
    let mut blob = head(&key.id, generation)?;
    let sealed = seal_under(&material, &associated(&blob, context), plain);
    blob.extend_from_slice(&sealed);
    Ok(blob)
}

impl<'a> Blob<'a> {
    /// Reads the head of a blob.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Blob<'a>, Fault> {
        let (head, sealed) = bytes.split_at_checked(HEAD_BYTES).ok_or(Fault::InvalidCiphertext)?;
        let (Some((FORMAT, id_and_generation)), true) =
            (head.split_first().map(|(f, rest)| (*f, rest)), sealed.len() >= 28)
        else {
            return Err(Fault::InvalidCiphertext);
        };
        let Some((id, generation)) = id_and_generation.split_first_chunk::<16>() else {
            return Err(Fault::InvalidCiphertext);
        };
        let generation: [u8; 2] = generation.try_into().map_err(|_| Fault::InvalidCiphertext)?;
        Ok(Blob {
            key_id: uuid_text(id),
            generation: usize::from(u16::from_be_bytes(generation)),
            head,
            sealed,
        })
    }

    /// The key that made the blob, if it exists.
    pub(super) fn key(&self, keys: &Keys, now_ms: u64) -> Result<Arc<Key>, Fault> {
        keys.find(&self.key_id, now_ms).ok_or(Fault::InvalidCiphertext)
    }

    /// Decrypts.
    pub(super) fn open(
        &self,
        vault: &Vault,
        key: &Key,
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let material = key.material(vault, self.generation).ok_or(Fault::InvalidCiphertext)?;
        open_under(&material, &associated(self.head, context), self.sealed)
            .map_err(|_| Fault::InvalidCiphertext)
    }
}

fn head(key_id: &str, generation: usize) -> Result<Vec<u8>, Fault> {
    let id = hex::decode(key_id.replace('-', "")).map_err(|_| Fault::Internal("a key id"))?;
    let generation = u16::try_from(generation).map_err(|_| Fault::Internal("generations"))?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.push(FORMAT);
    head.extend_from_slice(&id);
    head.extend_from_slice(&generation.to_be_bytes());
    Ok(head)
}

fn uuid_text(id: &[u8; 16]) -> String {
    let hex = hex::encode(id);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Head and context as one unambiguous string: every field is preceded by its length.
fn associated(head: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut out = head.to_vec();
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}
