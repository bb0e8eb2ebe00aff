//! Opening one object: whole, from a file in two passes, or in parts by a driver of its own.

use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::gcm::{BLOCK_BYTES, Gcm, Partial, TAG_BYTES, check_place, end_to_end};
use super::keyring::DataKey;
use super::{cbc, does_not_open};
use crate::{Error, ErrorKind};

/// What streams are read in: large enough that the fixed costs do not show, and the memory of one.
pub const PIECE_BYTES: usize = 1 << 20;

/// Opens the content of one object. Holds a key and no position: share it between threads.
///
/// The one tag is at the end, so no byte is authentic before all are. Three ways from there:
///
/// - [`Opener::open_all`]: in memory;
/// - [`Opener::verify_stream`], then [`Verified::open_range`] or [`Verified::open_stream`]: from something that can be read
///   twice. The second reading must find what the first did, and nothing is released that does not;
/// - for a driver with many connections: [`Opener::hash_part`] or [`Opener::open_part_into_hiding`] on each
///   part, [`Opener::verify`] on all.
pub struct Opener(Content);

enum Content {
    Gcm { gcm: Box<Gcm>, unauthenticated_ranges: bool },
    Cbc { key: Zeroizing<[u8; 32]>, iv: [u8; cbc::IV_BYTES] },
}

impl Opener {
    pub(super) fn gcm(gcm: Gcm, unauthenticated_ranges: bool) -> Opener {
        Opener(Content::Gcm { gcm: Box::new(gcm), unauthenticated_ranges })
    }

    pub(super) fn cbc(key: &DataKey, iv: [u8; cbc::IV_BYTES]) -> Opener {
        Opener(Content::Cbc { key: Zeroizing::new(*key.as_bytes()), iv })
    }

    /// How many bytes of content an object of so many bytes holds; where it is AES-CBC, at most.
    ///
    /// # Errors
    /// [`ErrorKind::Tampered`] for an object shorter than its tag.
    pub fn content_bytes(&self, object_bytes: u64) -> Result<u64, Error> {
        match &self.0 {
            Content::Cbc { .. } => Ok(object_bytes),
            Content::Gcm { .. } => {
                object_bytes.checked_sub(TAG_BYTES as u64).ok_or_else(shorter_than_its_tag)
            }
        }
    }

    /// Opens a whole object in memory. AES-CBC content is opened so only, and is what it is: not
    /// authenticated.
    pub fn open_all(&self, mut sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
        match &self.0 {
            Content::Cbc { key, iv } => cbc::open_all(&DataKey::from_bytes(&key[..])?, iv, sealed),
            Content::Gcm { gcm, .. } => {
                let length =
                    sealed.len().checked_sub(TAG_BYTES).ok_or_else(shorter_than_its_tag)?;
                check_place(0, length).map_err(|_| longer_than_possible())?;
                let opened = gcm.open_whole(&mut sealed).ok_or_else(wrong_tag)?;
                sealed.truncate(opened);
                Ok(sealed)
            }
        }
    }

    /// The hash of a part of the sealed content (the tag is no part of it). `offset` is a multiple of
    /// 16, and so is the length of every part but the last.
    pub fn hash_part(&self, offset: u64, sealed: &[u8]) -> Result<Partial, Error> {
        check_place(offset, sealed.len())?;
        self.authenticated()?.hash_part(offset, sealed)
    }

    /// Opens a part in place before anybody knows whether it is authentic. What is in `buf` after
    /// that may be what an attacker chose: keep it where nobody looks, and show it only after
    /// [`Opener::verify`] has accepted the partials of all parts; else destroy it.
    pub fn open_part_into_hiding(&self, offset: u64, buf: &mut [u8]) -> Result<Partial, Error> {
        check_place(offset, buf.len())?;
        self.authenticated()?.open_part(offset, buf)
    }

    /// Whether the parts, in any order, are the whole content that was sealed. `tag` is the last 16
    /// bytes of the object.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where a part is missing or given twice, [`ErrorKind::Tampered`] where the
    /// tag is another.
    pub fn verify(
        &self,
        parts: impl IntoIterator<Item = Partial>,
        tag: &[u8; TAG_BYTES],
    ) -> Result<Verified<'_>, Error> {
        let gcm = self.authenticated()?;
        let parts = end_to_end(parts)
            .ok_or_else(|| Error::usage("the parts do not lie end to end from the start"))?;
        verify_slices_are_equal(&gcm.tag(&parts)?, tag).map_err(|_| wrong_tag())?;
        Ok(Verified { gcm, parts })
    }

    /// Reads an object of `object_bytes` from the start of `sealed`, hashes it, and compares the
    /// tag. Takes 16 bytes of memory per [`PIECE_BYTES`].
    ///
    /// # Errors
    /// [`ErrorKind::Tampered`] where it is not what was sealed; [`ErrorKind::Truncated`] where `sealed`
    /// has fewer bytes than it should, [`ErrorKind::TrailingData`] where it has more.
    pub fn verify_stream(
        &self,
        sealed: &mut (impl Read + Seek),
        object_bytes: u64,
    ) -> Result<Verified<'_>, Error> {
        let content_bytes = self.content_bytes(object_bytes)?;
        self.authenticated()?;
        sealed.seek(SeekFrom::Start(0)).map_err(Error::from_io)?;
        let mut piece = vec![0; PIECE_BYTES];
        let (mut parts, mut at) = (Vec::new(), 0);
        while at < content_bytes {
            let (filled, _) = piece.split_at_mut(piece_bytes(content_bytes - at));
            fill(sealed, filled)?;
            parts.push(self.hash_part(at, filled).map_err(|_| longer_than_possible())?);
            at += filled.len() as u64;
        }
        let mut tag = [0; TAG_BYTES];
        fill(sealed, &mut tag)?;
        if read_up_to(sealed, &mut [0])? != 0 {
            let text = "the object has more bytes than it should have";
            return Err(Error::new(ErrorKind::TrailingData, text));
        }
        self.verify(parts, &tag)
    }

    /// Opens a range by itself, in place: unauthenticated, so behind
    /// [`OpenPolicy::unauthenticated_ranges`](super::OpenPolicy). `offset` is any; the range must not
    /// reach into the tag, see [`Opener::content_bytes`].
    ///
    /// # Errors
    /// [`ErrorKind::Weak`] without the switch.
    pub fn open_range_unauthenticated(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        let Content::Gcm { gcm, unauthenticated_ranges: true } = &self.0 else {
            let text = "a range by itself cannot be authenticated: fetch the whole object";
            return Err(Error::new(ErrorKind::Weak, text));
        };
        // The key stream comes in blocks (decryption.md, "Ranged Gets").
        let lead = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or(0);
        let start = offset - lead as u64;
        check_place(start, buf.len().saturating_add(lead))?;
        let split = buf.len().min((BLOCK_BYTES - lead) % BLOCK_BYTES);
        let (head, rest) = buf.split_at_mut(split);
        if !head.is_empty() {
            let mut block = Zeroizing::new([0; BLOCK_BYTES]);
            block[lead..lead + split].copy_from_slice(head);
            gcm.apply_key_stream(start, block.as_mut_slice())?;
            head.copy_from_slice(&block[lead..lead + split]);
        }
        if rest.is_empty() {
            return Ok(());
        }
        gcm.apply_key_stream(offset + split as u64, rest)
    }

    fn authenticated(&self) -> Result<&Gcm, Error> {
        match &self.0 {
            Content::Gcm { gcm, .. } => Ok(gcm),
            Content::Cbc { .. } => {
                Err(Error::usage("AES-CBC content opens as a whole only: see `open_all`"))
            }
        }
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener(****)")
    }
}

/// An object whose tag is right, remembered by the hashes of its parts: whatever is opened with it is
/// compared with them first, so that a file which changed after it was verified releases nothing.
pub struct Verified<'a> {
    gcm: &'a Gcm,
    /// INVARIANT: end to end from 0, none empty, whole blocks but the last.
    parts: Vec<Partial>,
}

impl Verified<'_> {
    /// How many bytes of content there are.
    pub fn content_bytes(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.offset + part.bytes)
    }

    /// Opens one of the parts in place: the same division as was verified. On an error `buf` is
    /// still sealed.
    ///
    /// # Errors
    /// [`ErrorKind::Tampered`] where these are not the bytes that were verified.
    pub fn open_part(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        let known = self.parts.iter().find(|part| part.offset == offset);
        let known = known.filter(|part| part.bytes == buf.len() as u64);
        let known = known.ok_or_else(|| Error::usage("no part of this place was verified"))?;
        self.open_known(known, buf)
    }

    /// Writes the content of `range`, read again from `sealed`, which begins with the object.
    ///
    /// # Errors
    /// As [`Verified::open_part`]; what was written before the error is authentic.
    pub fn open_range(
        &self,
        sealed: &mut (impl Read + Seek),
        range: Range<u64>,
        mut out: impl Write,
    ) -> Result<(), Error> {
        if range.start > range.end || range.end > self.content_bytes() {
            return Err(Error::usage("the range is not within the content"));
        }
        let mut piece = Zeroizing::new(Vec::new());
        for part in &self.parts {
            let (start, end) = (part.offset, part.offset + part.bytes);
            if end <= range.start || start >= range.end {
                continue;
            }
            sealed.seek(SeekFrom::Start(start)).map_err(Error::from_io)?;
            piece.resize(place(part.bytes)?, 0);
            fill(sealed, &mut piece)?;
            self.open_known(part, &mut piece)?;
            let from = place(range.start.max(start) - start)?;
            let to = place(range.end.min(end) - start)?;
            out.write_all(piece.get(from..to).unwrap_or_default()).map_err(Error::from_io)?;
        }
        Ok(())
    }

    /// Writes the whole content.
    ///
    /// # Errors
    /// As [`Verified::open_range`].
    pub fn open_stream(
        &self,
        sealed: &mut (impl Read + Seek),
        out: impl Write,
    ) -> Result<(), Error> {
        self.open_range(sealed, 0..self.content_bytes(), out)
    }

    fn open_known(&self, known: &Partial, buf: &mut [u8]) -> Result<(), Error> {
        let now = self.gcm.hash_part(known.offset, buf)?;
        verify_slices_are_equal(&now.hash.to_be_bytes(), &known.hash.to_be_bytes())
            .map_err(|_| does_not_open("the object changed after it was verified"))?;
        self.gcm.apply_key_stream(known.offset, buf)
    }
}

impl std::fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verified({} bytes)", self.content_bytes())
    }
}

fn piece_bytes(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
}

fn place(bytes: u64) -> Result<usize, Error> {
    usize::try_from(bytes).map_err(|_| Error::usage("a part does not fit in memory"))
}

/// Fills as much of `buf` as there is.
pub(super) fn read_up_to(source: &mut impl Read, buf: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < buf.len() {
        match source.read(buf.split_at_mut(filled).1) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_io(error)),
        }
    }
    Ok(filled)
}

fn fill(source: &mut impl Read, buf: &mut [u8]) -> Result<(), Error> {
    if read_up_to(source, buf)? < buf.len() {
        let text = "the object has fewer bytes than it should have";
        return Err(Error::new(ErrorKind::Truncated, text));
    }
    Ok(())
}

fn wrong_tag() -> Error {
    does_not_open("the tag is not that of the content under this key")
}

fn shorter_than_its_tag() -> Error {
    does_not_open("the object is shorter than its tag")
}

fn longer_than_possible() -> Error {
    does_not_open("the object is longer than this format allows")
}
