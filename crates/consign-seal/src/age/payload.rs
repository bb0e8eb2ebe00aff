//! The content: chunks of 64 KiB, sealed and opened in any order by any number of threads.
//!
//! Each chunk is ChaCha20-Poly1305 under the payload key, with a nonce made of the chunk's number
//! and a mark on the last one (age.md, "Payload"). Offsets therefore follow from the number alone:
//! chunk `i` holds plain bytes from `i * CHUNK_BYTES` and lies at `i * SEALED_CHUNK_BYTES` after
//! the nonce.
//!
//! A *run* is a number of consecutive chunks: what one thread does at a time. Two layouts:
//!
//! - in place (`seal_run`, `open_run`): one buffer where every 64 KiB of content is followed by
//!   16 bytes for the tag;
//! - from one buffer to another (`seal_into`, `open_into`): the content is dense. It costs no
//!   more, because the cipher writes elsewhere than it reads; and since the sealed bytes survive
//!   a failure, `open_into` can tell exactly what is wrong with them. Prefer it.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use zeroize::Zeroizing;

use super::diagnose;
use super::file_key::FileKey;
use super::header::write_header;
use super::keys::Recipient;
use super::stanza::Stanza;
use crate::primitives::{chacha20_poly1305, hmac_sha256, hmac_sha256_matches, random};
use crate::{Error, ErrorKind};

/// Plain bytes in a chunk; only the last may have fewer.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that sealing adds to every chunk.
pub const TAG_BYTES: usize = 16;
/// Sealed bytes of a full chunk.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// Bytes of the nonce between the header and the first chunk.
pub const NONCE_BYTES: usize = 16;

/// How many sealed bytes follow the nonce for `plain` bytes of content. No content is one empty
/// chunk, which is one tag.
///
/// Saturates at `u64::MAX`, far above what any store holds.
pub fn sealed_payload_bytes(plain: u64) -> u64 {
    let chunks = plain.div_ceil(CHUNK_BYTES as u64).max(1);
    plain.saturating_add(chunks.saturating_mul(TAG_BYTES as u64))
}

/// How many bytes of content `sealed_payload` bytes after the nonce hold. Fails with
/// [`ErrorKind::Truncated`] for a length that no content seals to.
pub fn plain_bytes(sealed_payload: u64) -> Result<u64, Error> {
    let full = sealed_payload / SEALED_CHUNK_BYTES as u64;
    let rest = sealed_payload % SEALED_CHUNK_BYTES as u64;
    let tag = TAG_BYTES as u64;
    let plain = full * CHUNK_BYTES as u64;
    match rest {
        0 if full > 0 => Ok(plain),
        _ if rest > tag || (rest == tag && full == 0) => Ok(plain + rest - tag),
        _ => Err(ends_within_a_tag(sealed_payload)),
    }
}

/// Seals the content of one file. Holds a key and no position: share it between threads.
///
/// Each chunk number must be sealed with one content only, ever. Sealing two contents under one
/// number gives both away, so whoever resumes with [`Sealer::from_secret_bytes`] must make sure
/// that the content has not changed in between.
pub struct Sealer {
    prefix: Vec<u8>,
    payload_key: Zeroizing<[u8; 32]>,
    aead: LessSafeKey,
}

impl Sealer {
    /// A fresh file key, wrapped for each of `recipients`, and a fresh nonce.
    pub fn new(recipients: &[Recipient]) -> Result<Sealer, Error> {
        Sealer::with_stanzas(&FileKey::generate()?, recipients, &[])
    }

    /// The same with a file key that somebody else, such as a plugin, has wrapped in `stanzas`
    /// already. The file key MUST be fresh (age.md, "File key").
    pub fn with_stanzas(
        file_key: &FileKey,
        recipients: &[Recipient],
        stanzas: &[Stanza],
    ) -> Result<Sealer, Error> {
        // age.md, "Payload": "A new nonce MUST be generated for each file."
        let nonce = random::<NONCE_BYTES>()?;
        let mut prefix = write_header(file_key, recipients, stanzas)?;
        prefix.extend_from_slice(nonce.as_slice());
        Sealer::from_parts(prefix, file_key.payload_key(&nonce)?)
    }

    fn from_parts(prefix: Vec<u8>, payload_key: Zeroizing<[u8; 32]>) -> Result<Sealer, Error> {
        let aead = chacha20_poly1305(&payload_key)?;
        Ok(Sealer { prefix, payload_key, aead })
    }

    /// What goes before chunk 0: the header and the nonce.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Everything needed to go on sealing the same file later. As secret as the file itself.
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(SECRET_MAGIC.len() + 64 + self.prefix.len()));
        bytes.extend_from_slice(SECRET_MAGIC);
        bytes.extend_from_slice(self.payload_key.as_slice());
        bytes.extend_from_slice(&hmac_sha256(self.payload_key.as_slice(), &self.prefix));
        bytes.extend_from_slice(&self.prefix);
        bytes
    }

    /// The reverse of [`Sealer::to_secret_bytes`]. Refuses a state that was cut short or damaged:
    /// what were sealed with it nobody could open.
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Sealer, Error> {
        let damaged = || Error::new(ErrorKind::BadKey, "the saved state of a sealer is damaged");
        let rest = bytes.strip_prefix(SECRET_MAGIC).ok_or_else(damaged)?;
        let (key, rest) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        let (mac, prefix) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        let key = Zeroizing::new(*key);
        if !hmac_sha256_matches(&key, prefix, mac) {
            return Err(damaged());
        }
        Sealer::from_parts(prefix.to_vec(), key)
    }

    /// Seals one chunk in place: `chunk` is the content followed by 16 bytes of room.
    ///
    /// Every chunk but the last holds 64 KiB; the last may hold fewer, and none only if it is
    /// also the first.
    pub fn seal_chunk(&self, index: u64, last: bool, chunk: &mut [u8]) -> Result<(), Error> {
        let plain = check_chunk(index, last, chunk.len())?;
        let (text, tag) = chunk.split_at_mut(plain);
        self.aead
            .seal_in_place_scatter(nonce(index, last), Aad::empty(), text, &[], tag)
            .map_err(|_| Error::internal("sealing"))
    }

    /// Seals a run of chunks in place. `buf` holds the content with 16 bytes of room after every
    /// 64 KiB, and after the shorter rest if there is one; it is sealed and contiguous after.
    ///
    /// Without `run_is_last`, `buf` is a multiple of [`SEALED_CHUNK_BYTES`].
    pub fn seal_run(
        &self,
        first_index: u64,
        run_is_last: bool,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        let run = Run::check(first_index, run_is_last, buf.len())?;
        for (index, chunk) in (first_index..).zip(buf.chunks_mut(SEALED_CHUNK_BYTES)) {
            self.seal_chunk(index, run.is_last_chunk(index), chunk)?;
        }
        Ok(())
    }

    /// How many bytes the whole sealed file of so many bytes of content has.
    pub fn file_bytes(&self, plain: u64) -> u64 {
        sealed_payload_bytes(plain).saturating_add(self.prefix.len() as u64)
    }

    /// Turns content into the whole sealed file within one buffer: the first `plain_bytes` of
    /// `buffer` are the content, the rest is room for header and tags, exactly as much as
    /// [`Sealer::file_bytes`] says.
    ///
    /// If it fails, `buffer` holds neither the one nor the other.
    pub fn seal_whole(&self, plain_bytes: usize, buffer: &mut [u8]) -> Result<(), Error> {
        if self.file_bytes(plain_bytes as u64) != buffer.len() as u64 {
            return Err(Error::usage("the buffer for sealing does not fit the content"));
        }
        let start = self.prefix.len();
        // From the end, so that no chunk is overwritten before it has moved to its place.
        for index in (0..plain_bytes.div_ceil(CHUNK_BYTES)).rev() {
            let from = index * CHUNK_BYTES..plain_bytes.min((index + 1) * CHUNK_BYTES);
            buffer.copy_within(from, start + index * SEALED_CHUNK_BYTES);
        }
        let (prefix, payload) = buffer.split_at_mut(start);
        prefix.copy_from_slice(&self.prefix);
        self.seal_run(0, true, payload)
    }

    /// Seals a run of chunks from one buffer to another: `plain` is the content, dense, and
    /// `sealed` has exactly the room for it and its tags.
    pub fn seal_into(
        &self,
        first_index: u64,
        run_is_last: bool,
        plain: &[u8],
        sealed: &mut [u8],
    ) -> Result<(), Error> {
        let run = Run::check(first_index, run_is_last, sealed.len())?;
        if run.plain_bytes != plain.len() {
            return Err(Error::usage("the buffers for sealing do not fit each other"));
        }
        let mut plain = plain.chunks(CHUNK_BYTES);
        for (index, chunk) in (first_index..).zip(sealed.chunks_mut(SEALED_CHUNK_BYTES)) {
            let text = plain.next().unwrap_or_default();
            let (out, tag) = chunk.split_at_mut(text.len());
            let nonce = nonce(index, run.is_last_chunk(index));
            self.aead
                .seal_out_of_place_scatter(nonce, Aad::empty(), text, out, &[], tag)
                .map_err(|_| Error::internal("sealing"))?;
        }
        Ok(())
    }
}

/// What the saved state of a sealer begins with.
const SECRET_MAGIC: &[u8] = b"consign-sealer/1\n";

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("prefix_bytes", &self.prefix.len()).finish_non_exhaustive()
    }
}

/// Opens the content of one file. Holds a key and no position: share it between threads.
///
/// That each chunk authenticates says that it is the chunk of this number, and that the last one
/// is the last. The caller makes sure that every number from 0 to the last has been opened.
pub struct Opener {
    aead: LessSafeKey,
    expected_plain: Option<u64>,
}

impl Opener {
    pub(super) fn new(aead: LessSafeKey) -> Opener {
        Opener { aead, expected_plain: None }
    }

    /// Tells the opener how long the content should be. With that, a file that was cut short, one
    /// with something appended, and one with a damaged end are told apart without guessing, and
    /// the first two before anything is opened.
    pub fn expecting(mut self, plain_bytes: u64) -> Opener {
        self.expected_plain = Some(plain_bytes);
        self
    }

    /// Opens one chunk in place and returns how many bytes of content now stand at its start. If
    /// it fails, nothing of the chunk is left in the buffer; see [`Opener::open_run`].
    pub fn open_chunk(&self, index: u64, last: bool, chunk: &mut [u8]) -> Result<usize, Error> {
        self.check_length(index, last, chunk.len())?;
        self.open_in_place(index, last, chunk)
    }

    /// Opens a run of chunks in place. The content stays where it was, 64 KiB by 64 KiB with 16
    /// bytes between that mean nothing.
    ///
    /// If it fails, chunks before the failing one are opened, the failing one is wiped (the
    /// cipher does that) and later ones are untouched; nothing of the run should be used. For
    /// the same reason the error cannot always tell a moved or appended piece from a changed one:
    /// [`Opener::open_into`] can.
    pub fn open_run(
        &self,
        first_index: u64,
        run_is_last: bool,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        self.check_length(first_index, run_is_last, buf.len())?;
        let run = Run::check_to_open(first_index, run_is_last, buf.len())?;
        for (index, chunk) in (first_index..).zip(buf.chunks_mut(SEALED_CHUNK_BYTES)) {
            self.open_in_place(index, run.is_last_chunk(index), chunk)?;
        }
        Ok(())
    }

    fn open_in_place(&self, index: u64, last: bool, chunk: &mut [u8]) -> Result<usize, Error> {
        let plain = check_chunk_to_open(index, last, chunk.len())?;
        let (text, tag) = chunk.split_at_mut(plain);
        self.aead
            .open_in_place_separate_tag(nonce(index, last), Aad::empty(), tag, text)
            .map_err(|_| diagnose::unknown(index, last, plain, self.expected_plain.is_some()))?;
        Ok(plain)
    }

    /// Opens a run of chunks from one buffer to another and returns how many bytes of content now
    /// stand at the start of `plain`, dense. `plain` has at least the room for them
    /// ([`CHUNK_BYTES`] for each chunk always suffices).
    ///
    /// If it fails, content of chunks before the failing one may stand in `plain`, authentic;
    /// nothing of the failing one does.
    pub fn open_into(
        &self,
        first_index: u64,
        run_is_last: bool,
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<usize, Error> {
        self.check_length(first_index, run_is_last, sealed.len())?;
        if let Some((whole, error)) = fragment_at_the_end(first_index, run_is_last, sealed) {
            // Whether the rest is missing or these few bytes were appended, the chunk before
            // them knows: it opens as one that is not the last, or not.
            self.open_into(first_index, false, whole, plain)?;
            return Err(error);
        }
        let run = Run::check_to_open(first_index, run_is_last, sealed.len())?;
        if plain.len() < run.plain_bytes {
            return Err(Error::usage("the buffer for the content is too small"));
        }
        // The sealed chunks lead: the empty chunk of no content has a tag to check, and no output.
        let mut outputs = plain.chunks_mut(CHUNK_BYTES);
        for (index, chunk) in (first_index..).zip(sealed.chunks(SEALED_CHUNK_BYTES)) {
            let last = run.is_last_chunk(index);
            let length = check_chunk_to_open(index, last, chunk.len())?;
            let out = outputs.next().unwrap_or_default().get_mut(..length).unwrap_or_default();
            if !opens(&self.aead, index, last, chunk, out) {
                let known = self.expected_plain.is_some();
                return Err(diagnose::why(&self.aead, index, last, chunk, known));
            }
        }
        Ok(run.plain_bytes)
    }

    /// Compares the end of a run with the expected length, if one is known.
    fn check_length(&self, first: u64, run_is_last: bool, run_bytes: usize) -> Result<(), Error> {
        let Some(expected) = self.expected_plain else { return Ok(()) };
        let total = sealed_payload_bytes(expected);
        let end = first
            .checked_mul(SEALED_CHUNK_BYTES as u64)
            .and_then(|start| start.checked_add(run_bytes as u64))
            .ok_or_else(|| Error::usage("a chunk number beyond all bounds"))?;
        if end > total || (end == total && !run_is_last) {
            let context = format!("something follows the sealed content, which is {total} bytes");
            return Err(Error::new(ErrorKind::TrailingData, context));
        }
        if run_is_last && end < total {
            let context = format!("the sealed content ends after {end} of {total} bytes");
            return Err(Error::new(ErrorKind::Truncated, context));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("expecting", &self.expected_plain).finish_non_exhaustive()
    }
}

/// age.md, "Payload": 11 bytes of big-endian counter, then 0x01 for the final chunk.
pub(super) fn nonce(index: u64, last: bool) -> Nonce {
    let mut bytes = [0u8; 12];
    bytes[3..11].copy_from_slice(&index.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// Opens `chunk` into `out`, which is as long as its content. Leaves `sealed` as it is.
pub(super) fn opens(
    aead: &LessSafeKey,
    index: u64,
    last: bool,
    chunk: &[u8],
    out: &mut [u8],
) -> bool {
    let Some((text, tag)) = chunk.split_last_chunk::<TAG_BYTES>() else { return false };
    aead.open_separate_gather(nonce(index, last), Aad::empty(), text, tag, out).is_ok()
}

/// Splits off what cannot be a last chunk because it holds a tag at most, if whole chunks stand
/// before it.
fn fragment_at_the_end(first: u64, run_is_last: bool, sealed: &[u8]) -> Option<(&[u8], Error)> {
    let chunks = sealed.chunks_exact(SEALED_CHUNK_BYTES);
    let rest = chunks.remainder().len();
    if !run_is_last || rest == 0 || rest > TAG_BYTES || rest == sealed.len() {
        return None;
    }
    let start = first.saturating_mul(SEALED_CHUNK_BYTES as u64);
    let error = ends_within_a_tag(start.saturating_add(sealed.len() as u64));
    sealed.get(..sealed.len() - rest).map(|whole| (whole, error))
}

/// The geometry of a run.
struct Run {
    last_index: Option<u64>,
    plain_bytes: usize,
}

impl Run {
    /// Refuses, as the caller's mistake, what no sealing gives.
    fn check(first: u64, run_is_last: bool, sealed: usize) -> Result<Run, Error> {
        let chunks = sealed.div_ceil(SEALED_CHUNK_BYTES);
        let last = u64::try_from(chunks)
            .ok()
            .and_then(|chunks| first.checked_add(chunks))
            .ok_or_else(|| Error::usage("a chunk number beyond all bounds"))?
            .saturating_sub(1);
        if !run_is_last && !sealed.is_multiple_of(SEALED_CHUNK_BYTES) {
            return Err(Error::usage("a run that is not the last must consist of whole chunks"));
        }
        if run_is_last {
            let rest = sealed - chunks.saturating_sub(1) * SEALED_CHUNK_BYTES;
            check_chunk(last, true, rest)?;
        }
        let plain_bytes = sealed - chunks * TAG_BYTES;
        Ok(Run { last_index: run_is_last.then_some(last), plain_bytes })
    }

    /// The same, but what does not fit is the file's fault: its end is missing.
    fn check_to_open(first: u64, run_is_last: bool, sealed: usize) -> Result<Run, Error> {
        if run_is_last {
            let chunks = sealed.div_ceil(SEALED_CHUNK_BYTES);
            let before = chunks.saturating_sub(1);
            let last = first.saturating_add(before as u64);
            check_chunk_to_open(last, true, sealed - before * SEALED_CHUNK_BYTES)?;
        }
        Run::check(first, run_is_last, sealed)
    }

    fn is_last_chunk(&self, index: u64) -> bool {
        self.last_index == Some(index)
    }
}

/// The content bytes of a sealed chunk of `sealed` bytes, if it may be that long (age.md,
/// "Payload": only the final chunk may be shorter, and empty only if the whole content is).
fn check_chunk(index: u64, last: bool, sealed: usize) -> Result<usize, Error> {
    let plain = sealed
        .checked_sub(TAG_BYTES)
        .ok_or_else(|| Error::usage("a chunk without room for its tag"))?;
    if plain > CHUNK_BYTES {
        return Err(Error::usage("a chunk of more than 64 KiB"));
    }
    if !last && plain < CHUNK_BYTES {
        return Err(Error::usage("only the last chunk may be shorter than 64 KiB"));
    }
    if last && plain == 0 && index > 0 {
        return Err(Error::usage("only the content of no bytes has an empty chunk"));
    }
    Ok(plain)
}

fn check_chunk_to_open(index: u64, last: bool, sealed: usize) -> Result<usize, Error> {
    if last && (sealed < TAG_BYTES || (sealed == TAG_BYTES && index > 0)) {
        return Err(ends_within_a_tag(
            index.saturating_mul(SEALED_CHUNK_BYTES as u64).saturating_add(sealed as u64),
        ));
    }
    check_chunk(index, last, sealed)
}

fn ends_within_a_tag(sealed: u64) -> Error {
    Error::new(
        ErrorKind::Truncated,
        format!("the sealed content ends after {sealed} bytes, in the middle of a piece"),
    )
}
