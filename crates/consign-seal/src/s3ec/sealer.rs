//! Sealing one object, whole or in parts.

use std::io::{Read, Write};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::commitment::{DERIVED_IV, MESSAGE_ID_BYTES, commitment, content_key};
use super::gcm::{Gcm, IV_BYTES, Partial, TAG_BYTES, check_place, end_to_end};
use super::header::{Content, Header};
use super::keyring::{DataKey, WrappedKey, refuse_legacy};
use super::metadata::{MetadataRead, read_metadata};
use super::opener::{PIECE_BYTES, read_up_to};
use super::pairs::{self, Pairs};
use super::suite::{COMMITTED_ID, CommitmentPolicy, Format};
use crate::primitives::random;
use crate::{Error, ErrorKind};

/// Seals the content of one object. Holds a key and no position: share it between threads.
///
/// Each place must be sealed with one content only, ever: sealing two contents at one place gives
/// both away. Whoever goes on with [`Sealer::from_secret_bytes`] must make sure that the content has
/// not changed in between.
pub struct Sealer {
    header: Header,
    content_key: Zeroizing<[u8; 32]>,
    gcm: Gcm,
}

impl Sealer {
    /// Fresh nonce or message id, for the suite that `wrapped` is for.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where `policy` forbids sealing with that suite.
    pub fn new(
        policy: CommitmentPolicy,
        key: &DataKey,
        wrapped: WrappedKey,
    ) -> Result<Sealer, Error> {
        let suite = wrapped.suite;
        refuse_legacy(suite)?;
        if !policy.allows_sealing(suite) {
            return Err(Error::usage(format!("the policy {policy} does not seal with {suite}")));
        }
        let (format, content) = if suite.commits_to_its_key() {
            let message_id = *not_all_zero::<MESSAGE_ID_BYTES>()?;
            let commitment = commitment(key, &message_id)?;
            (Format::V3, Content::Committed { message_id, commitment })
        } else {
            (Format::V2, Content::Gcm { iv: *not_all_zero::<IV_BYTES>()? })
        };
        let content_key = match &content {
            Content::Committed { message_id, .. } => content_key(key, message_id)?,
            _ => Zeroizing::new(*key.as_bytes()),
        };
        Sealer::from_parts(Header { format, content, wrapped }, content_key)
    }

    fn from_parts(header: Header, content_key: Zeroizing<[u8; 32]>) -> Result<Sealer, Error> {
        let gcm = match &header.content {
            Content::Committed { .. } => Gcm::new(&content_key, DERIVED_IV, &COMMITTED_ID)?,
            Content::Gcm { iv } => Gcm::new(&content_key, *iv, &[])?,
            Content::Cbc { .. } => return Err(damaged()),
        };
        Ok(Sealer { header, content_key, gcm })
    }

    /// What goes into the object's metadata or an instruction file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many bytes the object has for so many bytes of content.
    pub fn sealed_bytes(plain: u64) -> u64 {
        plain.saturating_add(TAG_BYTES as u64)
    }

    /// Seals something that fits in memory: content and tag.
    pub fn seal_all(&self, mut plain: Vec<u8>) -> Result<Vec<u8>, Error> {
        check_place(0, plain.len())?;
        self.gcm.seal_whole(&mut plain)?;
        Ok(plain)
    }

    /// Seals a stream; the memory is one piece. Returns how many bytes were read. After an error the
    /// output is of no use.
    pub fn seal_stream(&self, mut plain: impl Read, mut sealed: impl Write) -> Result<u64, Error> {
        let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
        let (mut parts, mut at) = (Vec::new(), 0u64);
        loop {
            let length = read_up_to(&mut plain, &mut piece)?;
            let (filled, _) = piece.split_at_mut(length);
            parts.push(self.seal_part(at, filled)?);
            sealed.write_all(filled).map_err(Error::from_io)?;
            at += length as u64;
            if length < PIECE_BYTES {
                break;
            }
        }
        sealed.write_all(&self.finish(parts)?).map_err(Error::from_io)?;
        Ok(at)
    }

    /// Seals a part in place. `offset` is a multiple of 16, and so is the length of every part but
    /// the last of the object.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for another place, and beyond [`CONTENT_BYTES_MAX`].
    pub fn seal_part(&self, offset: u64, buf: &mut [u8]) -> Result<Partial, Error> {
        check_place(offset, buf.len())?;
        self.gcm.seal_part(offset, buf)
    }

    /// The tag, which goes after the last part, from what sealing each part gave, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where a part is missing, given twice or of half a block in the middle.
    pub fn finish(
        &self,
        parts: impl IntoIterator<Item = Partial>,
    ) -> Result<[u8; TAG_BYTES], Error> {
        let parts = end_to_end(parts)
            .ok_or_else(|| Error::usage("the sealed parts do not lie end to end from the start"))?;
        self.gcm.tag(&parts)
    }

    /// Everything needed to go on sealing the same object later. As secret as the object itself.
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let header = pairs::write(&self.header.to_pairs());
        let mut bytes = Zeroizing::new(SECRET_MAGIC.to_vec());
        bytes.extend_from_slice(self.content_key.as_slice());
        bytes.extend_from_slice(hmac::sign(&self.seal_of_state(), header.as_bytes()).as_ref());
        bytes.extend_from_slice(header.as_bytes());
        bytes
    }

    /// The reverse. Refuses a state that was cut short or damaged: what were sealed with it nobody
    /// could open.
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Sealer, Error> {
        let rest = bytes.strip_prefix(SECRET_MAGIC).ok_or_else(damaged)?;
        let (key, rest) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        let (mac, header) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        let key = Zeroizing::new(*key);
        let state = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
        hmac::verify(&state, header, mac).map_err(|_| damaged())?;
        let header: Pairs = std::str::from_utf8(header)
            .ok()
            .and_then(|header| pairs::parse(header).ok())
            .ok_or_else(damaged)?;
        match read_metadata(&header)? {
            MetadataRead::Header(header) => Sealer::from_parts(header, key),
            MetadataRead::Pending(_) => Err(damaged()),
        }
    }

    fn seal_of_state(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.content_key.as_slice())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("header", &self.header).finish_non_exhaustive()
    }
}

const SECRET_MAGIC: &[u8] = b"consign s3ec sealer 1\n";

/// Bytes of zeros are possible and far less likely than a generator that is broken (encryption.md,
/// "Cipher Initialization").
fn not_all_zero<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let bytes = random::<N>()?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(Error::internal("randomness of nothing but zeros"));
    }
    Ok(bytes)
}

fn damaged() -> Error {
    Error::new(ErrorKind::BadKey, "the saved state of a sealer is damaged")
}
