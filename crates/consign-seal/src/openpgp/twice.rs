//! Reading something twice, and being sure that it was the same.
//!
//! A container of version 1 is authentic at its end, so it is read once to see that, and once to give
//! its content away. Whoever can write to the file in between could have the second reading find
//! something else, which nothing authenticates any more. So the first reading leaves a tag of each piece
//! behind, and the second gives no byte of a piece whose tag is another.
//!
//! The tags are GMAC (AES-GCM over additional data alone) under a key that is made for one opening and
//! forgotten: a hash that costs a fortieth of SHA-256, which is enough where nobody sees tag or key.

use std::io::{self, Read};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::{Error, ErrorKind, primitives};

const PIECE_BYTES: usize = 1 << 20;
const TAG_BYTES: usize = 16;
type Tag = [u8; TAG_BYTES];

/// What the first reading found.
pub(super) struct Pieces {
    key: LessSafeKey,
    tags: Vec<Tag>,
}

impl Pieces {
    pub(super) fn new() -> Result<Pieces, Error> {
        let key = UnboundKey::new(&AES_128_GCM, primitives::random::<16>()?.as_slice());
        let key = key.map_err(|_| Error::internal("AES-GCM"))?;
        Ok(Pieces { key: LessSafeKey::new(key), tags: Vec::new() })
    }

    fn tag(&self, index: usize, piece: &[u8]) -> Result<Tag, Error> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&(index as u64).to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(piece), &mut []);
        let tag = tag.map_err(|_| Error::internal("AES-GCM"))?;
        Tag::try_from(tag.as_ref()).map_err(|_| Error::internal("AES-GCM"))
    }
}

/// The first reading: remembers.
pub(super) struct First<'p, R> {
    inner: R,
    pieces: &'p mut Pieces,
    piece: Piece,
}

impl<'p, R: Read> First<'p, R> {
    pub(super) fn new(inner: R, pieces: &'p mut Pieces) -> First<'p, R> {
        First { inner, pieces, piece: Piece::default() }
    }
}

impl<R: Read> Read for First<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_given() && !out.is_empty() {
            self.piece.fill(&mut self.inner)?;
            if !self.piece.bytes.is_empty() {
                let tag = self.pieces.tag(self.pieces.tags.len(), &self.piece.bytes)?;
                self.pieces.tags.push(tag);
            }
        }
        Ok(self.piece.give(out))
    }
}

/// The second reading: gives what the first has found, or fails.
pub(super) struct Second<R> {
    inner: R,
    pieces: Pieces,
    index: usize,
    piece: Piece,
}

impl<R: Read> Second<R> {
    pub(super) fn new(inner: R, pieces: Pieces) -> Second<R> {
        Second { inner, pieces, index: 0, piece: Piece::default() }
    }

    fn next(&mut self) -> Result<(), Error> {
        self.piece.fill(&mut self.inner).map_err(Error::from_io)?;
        let known = self.pieces.tags.get(self.index);
        let same = match (known, self.piece.bytes.as_slice()) {
            (None, []) => true,
            (None, _) | (_, []) => false,
            (Some(known), piece) => {
                verify_slices_are_equal(&self.pieces.tag(self.index, piece)?, known).is_ok()
            }
        };
        self.index += 1;
        if same {
            return Ok(());
        }
        self.piece = Piece::default();
        let context = "the message changed while it was being opened";
        Err(Error::new(ErrorKind::Tampered, context))
    }
}

impl<R: Read> Read for Second<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_given() && !out.is_empty() {
            self.next()?;
        }
        Ok(self.piece.give(out))
    }
}

/// Bytes at hand, of which `given` have been given.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    given: usize,
}

impl Piece {
    fn is_given(&self) -> bool {
        self.given == self.bytes.len()
    }

    fn fill(&mut self, inner: &mut impl Read) -> io::Result<()> {
        self.bytes.clear();
        self.given = 0;
        inner.take(PIECE_BYTES as u64).read_to_end(&mut self.bytes).map(drop)
    }

    fn give(&mut self, out: &mut [u8]) -> usize {
        let ready = self.bytes.get(self.given..).unwrap_or_default();
        let count = ready.len().min(out.len());
        let (now, _) = ready.split_at(count);
        out.split_at_mut(count).0.copy_from_slice(now);
        self.given += count;
        count
    }
}
