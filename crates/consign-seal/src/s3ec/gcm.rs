//! AES-256-GCM over one object of up to 64 GiB, in parts, in any order, on any number of threads.
//!
//! GCM is counter mode, which starts anywhere, and one tag over everything: GHASH, a polynomial in
//! the blocks of ciphertext evaluated at a secret point H, masked with one block of key stream.
//! A polynomial can be evaluated in parts: the hash of the whole is the sum of the hashes of the
//! parts, each times H to the number of blocks that follow it.
//!
//! No library at hand offers the two halves for parts, but aws-lc offers each for a whole:
//!
//! - counter mode with a given counter block: GCM counts from 2 in the last four bytes (NIST SP
//!   800-38D §7.1), so the key stream of byte `16 n` starts at counter `n + 2`. No more than
//!   [`CONTENT_BYTES_MAX`] are sealed, so the counter never wraps;
//! - GHASH of a part as the tag over it as *additional data* with no content: that tag is the part's
//!   hash and the mask, and the mask alone is the tag over nothing. These tags never leave this
//!   module, so using one nonce for all of them tells nobody anything.
//!
//! In symbols: for a part C of m bytes, the tag over it as additional data is
//! `(ghash(C) ^ L) * H ^ mask` with L its length in bits, upper half; so `hash(C) = ghash(C) * H`
//! comes without dividing, and the tag of the whole is `hash(everything) ^ L * H ^ mask`.
//! docs/decisions/0013-gcm-in-parts.md has the figures and the alternatives.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, UnboundCipherKey};
use zeroize::Zeroizing;

use super::field::{multiply, power};
use crate::Error;

/// The tag after the content.
pub const TAG_BYTES: usize = 16;

/// The most content one object can hold: 2^39 - 256 bits (NIST SP 800-38D §5.2.1.1).
pub const CONTENT_BYTES_MAX: u64 = (1 << 36) - 32;

/// The counter of the last block, two more than its number, fits in its four bytes.
const _: () = assert!(CONTENT_BYTES_MAX / 16 < u32::MAX as u64);

pub(super) const IV_BYTES: usize = 12;
pub(super) const BLOCK_BYTES: usize = 16;

/// What is hashed in one call. Small enough to be in the second-level cache after counter mode,
/// large enough that a call's fixed cost, some 2 microseconds, does not show.
const STRIDE_BYTES: usize = 512 * 1024;

/// The hash of one part of the sealed content. Secret: with the ciphertext it tells H, and with H
/// anybody can forge. It goes into [`Sealer::finish`](super::Sealer::finish) or
/// [`Opener::verify`](super::Opener::verify), or through [`Partial::to_secret_bytes`] into a journal.
#[derive(Clone)]
pub struct Partial {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) hash: Zeroizing<u128>,
}

impl Partial {
    /// Where the part begins, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it is of no bytes: an object without content has one such part, or none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// For the journal of an upload that may go on later. As secret as the key.
    pub fn to_secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes[..8].copy_from_slice(&self.offset.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.bytes.to_be_bytes());
        bytes[16..].copy_from_slice(&self.hash.to_be_bytes());
        bytes
    }

    /// The reverse. A journal that was damaged shows when the tag does not fit.
    pub fn from_secret_bytes(bytes: &[u8; 32]) -> Partial {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(word)
        };
        let hash = (u128::from(word(16)) << 64) | u128::from(word(24));
        Partial { offset: word(0), bytes: word(8), hash: Zeroizing::new(hash) }
    }
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Partial({}..{}, ****)", self.offset, self.offset.saturating_add(self.bytes))
    }
}

/// One object's key, nonce and additional data.
pub(super) struct Gcm {
    aead: LessSafeKey,
    counter: DecryptingKey,
    iv: [u8; IV_BYTES],
    aad: &'static [u8],
    /// The point at which GHASH is evaluated: the cipher of a zero block.
    h: Zeroizing<u128>,
    /// H to the number of blocks in a stride.
    h_stride: Zeroizing<u128>,
    /// The cipher of the first counter block.
    mask: Zeroizing<u128>,
}

impl Gcm {
    /// `aad` is of at most one block.
    pub(super) fn new(
        key: &[u8; 32],
        iv: [u8; IV_BYTES],
        aad: &'static [u8],
    ) -> Result<Gcm, Error> {
        let aead =
            UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::internal("AES-GCM key"))?;
        let counter = UnboundCipherKey::new(&cipher::AES_256, key)
            .and_then(DecryptingKey::ctr)
            .map_err(|_| Error::internal("AES-CTR key"))?;
        let mut gcm = Gcm {
            aead: LessSafeKey::new(aead),
            counter,
            iv,
            aad,
            h: Zeroizing::new(0),
            h_stride: Zeroizing::new(0),
            mask: Zeroizing::new(0),
        };
        let mut block = Zeroizing::new([0; BLOCK_BYTES]);
        gcm.apply_counter([0; BLOCK_BYTES], block.as_mut_slice())?;
        gcm.h = Zeroizing::new(u128::from_be_bytes(*block));
        gcm.h_stride = Zeroizing::new(power(*gcm.h, (STRIDE_BYTES / BLOCK_BYTES) as u64));
        gcm.mask = gcm.tag_over(&[])?;
        Ok(gcm)
    }

    /// Seals or opens in place: counter mode is its own reverse. `offset` is a multiple of a block,
    /// and `offset + buf.len()` at most [`CONTENT_BYTES_MAX`].
    pub(super) fn apply_key_stream(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        let mut start = [0; BLOCK_BYTES];
        let (iv, count) = start.split_at_mut(IV_BYTES);
        iv.copy_from_slice(&self.iv);
        let first = offset / BLOCK_BYTES as u64 + 2;
        let first = u32::try_from(first).map_err(|_| Error::usage("an offset beyond 64 GiB"))?;
        count.copy_from_slice(&first.to_be_bytes());
        self.apply_counter(start, buf)
    }

    /// Key stream and hash together, a stride at a time, so that what one leaves in the cache the
    /// other finds there.
    pub(super) fn seal_part(&self, offset: u64, buf: &mut [u8]) -> Result<Partial, Error> {
        let mut hash = Zeroizing::new(0);
        for (at, stride) in (offset..).step_by(STRIDE_BYTES).zip(buf.chunks_mut(STRIDE_BYTES)) {
            self.apply_key_stream(at, stride)?;
            self.extend(&mut hash, stride)?;
        }
        Ok(Partial { offset, bytes: buf.len() as u64, hash })
    }

    /// The same for opening, where the hash comes first.
    pub(super) fn open_part(&self, offset: u64, buf: &mut [u8]) -> Result<Partial, Error> {
        let mut hash = Zeroizing::new(0);
        for (at, stride) in (offset..).step_by(STRIDE_BYTES).zip(buf.chunks_mut(STRIDE_BYTES)) {
            self.extend(&mut hash, stride)?;
            self.apply_key_stream(at, stride)?;
        }
        Ok(Partial { offset, bytes: buf.len() as u64, hash })
    }

    pub(super) fn hash_part(&self, offset: u64, sealed: &[u8]) -> Result<Partial, Error> {
        let mut hash = Zeroizing::new(0);
        for stride in sealed.chunks(STRIDE_BYTES) {
            self.extend(&mut hash, stride)?;
        }
        Ok(Partial { offset, bytes: sealed.len() as u64, hash })
    }

    /// The tag of the whole, from the hashes of its parts in their order. The parts must lie end to
    /// end: see [`end_to_end`].
    pub(super) fn tag(&self, parts: &[Partial]) -> Result<[u8; TAG_BYTES], Error> {
        let mut hash = Zeroizing::new(0);
        self.extend(&mut hash, self.aad)?;
        let mut content_bytes = 0;
        for part in parts {
            *hash = multiply(*hash, self.h_after(part.bytes)) ^ *part.hash;
            content_bytes += part.bytes;
        }
        let lengths = (bits(self.aad.len() as u64) << 64) | bits(content_bytes);
        Ok((*hash ^ multiply(lengths, *self.h) ^ *self.mask).to_be_bytes())
    }

    /// Everything at once, which aws-lc does in one pass.
    pub(super) fn seal_whole(&self, buf: &mut Vec<u8>) -> Result<(), Error> {
        self.aead
            .seal_in_place_append_tag(self.nonce(), Aad::from(self.aad), buf)
            .map_err(|_| Error::internal("sealing"))
    }

    /// `None` where it does not authenticate; then `buf` holds nothing of use.
    pub(super) fn open_whole(&self, buf: &mut [u8]) -> Option<usize> {
        let opened = self.aead.open_in_place(self.nonce(), Aad::from(self.aad), buf);
        opened.ok().map(|plain| plain.len())
    }

    /// Lets `sealed` follow what `hash` is of.
    fn extend(&self, hash: &mut Zeroizing<u128>, sealed: &[u8]) -> Result<(), Error> {
        if sealed.is_empty() {
            return Ok(());
        }
        let lengths = bits(sealed.len() as u64) << 64;
        let of_these = *self.tag_over(sealed)? ^ *self.mask ^ multiply(lengths, *self.h);
        **hash = multiply(**hash, self.h_after(sealed.len() as u64)) ^ of_these;
        Ok(())
    }

    fn h_after(&self, bytes: u64) -> u128 {
        if bytes == STRIDE_BYTES as u64 {
            return *self.h_stride;
        }
        power(*self.h, bytes.div_ceil(BLOCK_BYTES as u64))
    }

    fn tag_over(&self, data: &[u8]) -> Result<Zeroizing<u128>, Error> {
        let tag = self
            .aead
            .seal_in_place_separate_tag(self.nonce(), Aad::from(data), &mut [])
            .map_err(|_| Error::internal("GHASH"))?;
        let mut block = Zeroizing::new([0; TAG_BYTES]);
        block.copy_from_slice(tag.as_ref());
        Ok(Zeroizing::new(u128::from_be_bytes(*block)))
    }

    fn apply_counter(&self, start: [u8; BLOCK_BYTES], buf: &mut [u8]) -> Result<(), Error> {
        self.counter
            .decrypt(buf, DecryptionContext::Iv128(start.into()))
            .map(drop)
            .map_err(|_| Error::internal("AES-CTR"))
    }

    fn nonce(&self) -> Nonce {
        Nonce::assume_unique_for_key(self.iv)
    }
}

fn bits(bytes: u64) -> u128 {
    u128::from(bytes) * 8
}

/// Where a part may lie.
pub(super) fn check_place(offset: u64, bytes: usize) -> Result<(), Error> {
    if !offset.is_multiple_of(BLOCK_BYTES as u64) {
        return Err(Error::usage(format!("a part at {offset} does not begin at a block of 16")));
    }
    match offset.checked_add(bytes as u64) {
        Some(end) if end <= CONTENT_BYTES_MAX => Ok(()),
        _ => Err(Error::usage(format!(
            "one object of this format holds at most {CONTENT_BYTES_MAX} bytes: split the file"
        ))),
    }
}

/// Puts parts into their order; `None` unless they lie end to end from 0 and every one but the last
/// is of whole blocks.
pub(super) fn end_to_end(parts: impl IntoIterator<Item = Partial>) -> Option<Vec<Partial>> {
    let mut parts: Vec<Partial> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.sort_by_key(|part| part.offset);
    let mut at = 0u64;
    for part in &parts {
        if part.offset != at || !at.is_multiple_of(BLOCK_BYTES as u64) {
            return None;
        }
        at = at.checked_add(part.bytes).filter(|end| *end <= CONTENT_BYTES_MAX)?;
    }
    Some(parts)
}
