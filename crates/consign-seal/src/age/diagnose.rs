//! Why a chunk does not authenticate.
//!
//! "Decryption failed" makes people throw away good keys. A chunk that fails under its own number
//! is tried as what it may be instead: not the last one after all (the rest is missing), the last
//! one with something behind it, or the chunk of another number. Only what fits none of these was
//! changed. This runs once, when all is lost anyway: a tenth of a second where the length is known,
//! else up to a second.
//!
//! A cut in the middle of a chunk and a change in it look the same: random bytes that do not
//! authenticate. Where it concerns the last chunk and nobody told us the length, the error says
//! exactly that ([`ErrorKind::TruncatedOrTampered`]).

use aws_lc_rs::aead::LessSafeKey;

use super::payload::{CHUNK_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES, opens};
use crate::{Error, ErrorKind};

/// How far a chunk may have moved and still be recognised: 64 MiB either way, or to or from the
/// beginning. 3,000 attempts, 70 ms.
const REACH: u64 = 1024;

/// Says why `chunk`, intact, does not open as number `index`.
pub(super) fn why(
    aead: &LessSafeKey,
    index: u64,
    last: bool,
    chunk: &[u8],
    length_known: bool,
) -> Error {
    let mut scratch = vec![0u8; CHUNK_BYTES];
    let mut is = |number: u64, last: bool, length: usize| {
        let text = length.saturating_sub(TAG_BYTES);
        match (chunk.get(..length), scratch.get_mut(..text)) {
            (Some(chunk), Some(out)) => opens(aead, number, last, chunk, out),
            _ => false,
        }
    };
    let whole = chunk.len();
    let full = whole == SEALED_CHUNK_BYTES;
    if last && full && is(index, false, whole) {
        let bytes = (index + 1).saturating_mul(SEALED_CHUNK_BYTES as u64);
        let context = format!("the file ends early: more followed after {bytes} sealed bytes");
        return Error::new(ErrorKind::Truncated, context);
    }
    if !last && is(index, true, whole) {
        return trailing(index, whole);
    }
    let near = index.saturating_sub(REACH)..index.saturating_add(REACH);
    let beginning = 0..REACH.min(near.start);
    let mut others = near.chain(beginning).filter(|other| *other != index);
    if let Some(other) =
        others.find(|other| (full && is(*other, false, whole)) || is(*other, true, whole))
    {
        let context = format!(
            "the pieces are out of order: piece {other} stands where piece {index} belongs"
        );
        return Error::new(ErrorKind::Reordered, context);
    }
    // The true last chunk may be shorter than it seems, with something appended. With a known
    // length, the opener has already seen that nothing is.
    let appended = |length: &usize| !length_known && is(index, true, *length);
    if let Some(length) = lengths_from_both_ends(TAG_BYTES, whole).find(appended) {
        return trailing(index, length);
    }
    unknown(index, last, whole.saturating_sub(TAG_BYTES), length_known)
}

/// All lengths in `from..to`. From the end, because what gets appended is mostly short: a line
/// feed, or zeros up to a block; and from the start, because trying a short one costs little.
fn lengths_from_both_ends(from: usize, to: usize) -> impl Iterator<Item = usize> {
    let middle = from + to.saturating_sub(from) / 2;
    let short = (from..middle).map(Some).chain(std::iter::repeat(None));
    (middle..to).rev().zip(short).flat_map(|(long, short)| [Some(long), short]).flatten()
}

/// The same where the sealed bytes are gone, so that only their length can speak.
pub(super) fn unknown(index: u64, last: bool, plain: usize, length_known: bool) -> Error {
    // A file cut on the edge of a chunk ends with one that is whole; any other cut leaves a
    // shorter one.
    if last && !length_known && plain < CHUNK_BYTES {
        return Error::new(
            ErrorKind::TruncatedOrTampered,
            "the file was truncated, or its end was changed: its last piece does not authenticate",
        );
    }
    Error::new(
        ErrorKind::Tampered,
        format!("the file was changed after sealing: piece {index} does not authenticate"),
    )
}

fn trailing(index: u64, length: usize) -> Error {
    let end = index.saturating_mul(SEALED_CHUNK_BYTES as u64).saturating_add(length as u64);
    Error::new(
        ErrorKind::TrailingData,
        format!("something was appended: the sealed content is whole and ends after {end} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::lengths_from_both_ends;

    #[test]
    fn every_length_is_tried_once() {
        for (from, to) in
            [(16, 16), (16, 17), (16, 18), (16, 19), (16, 1000), (16, 65_552), (16, 3)]
        {
            let mut lengths: Vec<usize> = lengths_from_both_ends(from, to).collect();
            lengths.sort_unstable();
            assert_eq!(lengths, (from..to).collect::<Vec<_>>());
        }
    }
}
