//! Damage of every kind ends in its own error, and nothing unauthenticated gets out.

use std::io::Read;

use crate::common::{EDGE_LENGTHS, opener, ramp};
use consign_seal::age::{
    self, CHUNK_BYTES, Identity, OpenReader, SEALED_CHUNK_BYTES, Sealer, TAG_BYTES,
    sealed_payload_bytes,
};
use consign_seal::{Error, ErrorKind};

use ErrorKind::{
    Header, NotForYou, NotSealed, Reordered, Tampered, TrailingData, Truncated,
    TruncatedOrTampered, UnsupportedVersion,
};

/// Something sealed, and where in it the chunks begin.
struct Sealed {
    identity: Identity,
    plain: Vec<u8>,
    bytes: Vec<u8>,
    start: usize,
}

impl Sealed {
    fn of(length: usize) -> Sealed {
        let identity = Identity::generate().unwrap_or_else(|error| unreachable!("{error}"));
        let plain = ramp(length);
        let bytes = age::seal_all(&[identity.to_recipient()], &plain).expect("sealed");
        let (start, _) = opener(&identity, &bytes);
        Sealed { identity, plain, bytes, start }
    }

    fn chunk(&self, index: usize) -> std::ops::Range<usize> {
        let from = self.start + index * SEALED_CHUNK_BYTES;
        from..self.bytes.len().min(from + SEALED_CHUNK_BYTES)
    }

    /// Opens `bytes` in every way there is. All must fail; what a stream lets out before that
    /// must be the true beginning. Returns what they say without and with the length known.
    fn fails(&self, bytes: &[u8]) -> (ErrorKind, ErrorKind) {
        let identities = std::slice::from_ref(&self.identity);
        let all = age::open_all(identities, bytes).expect_err("open_all");
        let (streamed, released) = self.stream(bytes, None);
        let streamed = streamed.expect_err("OpenReader");
        assert_eq!(all.kind(), streamed.kind(), "{all} / {streamed}");
        assert_eq!(all.to_string(), streamed.to_string());
        assert!(self.plain.starts_with(&released));
        let (known, released) = self.stream(bytes, Some(self.plain.len() as u64));
        assert!(self.plain.starts_with(&released));
        (all.kind(), known.expect_err("OpenReader with length").kind())
    }

    fn stream(&self, bytes: &[u8], expecting: Option<u64>) -> (Result<(), Error>, Vec<u8>) {
        let mut released = Vec::new();
        let mut reader = match OpenReader::new(bytes, std::slice::from_ref(&self.identity)) {
            Ok(reader) => reader,
            Err(error) => return (Err(error), released),
        };
        if let Some(length) = expecting {
            reader = reader.expecting(length);
        }
        let result = reader.read_to_end(&mut released).map_err(Error::from_io);
        let Err(error) = result else { return (Ok(()), released) };
        // The failure stays.
        let again = Error::from_io(reader.read(&mut [0; 8]).expect_err("failed before"));
        assert_eq!(again.kind(), error.kind());
        (Err(error), released)
    }
}

#[test]
fn six_kinds_of_damage_are_six_errors() {
    let sealed = Sealed::of(5 * CHUNK_BYTES + 100);
    let check = |what: &str, bytes: Vec<u8>, kind: ErrorKind, known: ErrorKind| {
        assert_eq!(sealed.fails(&bytes), (kind, known), "{what}");
    };
    let whole = || sealed.bytes.clone();
    let edge = sealed.chunk(2).end;

    check("cut on the edge of a chunk", whole()[..edge].to_vec(), Truncated, Truncated);
    check("cut within a chunk", whole()[..edge + 500].to_vec(), TruncatedOrTampered, Truncated);
    check("cut within a tag", whole()[..edge + 16].to_vec(), Truncated, Truncated);
    check("cut by a byte", whole()[..whole().len() - 1].to_vec(), TruncatedOrTampered, Truncated);
    check("cut after the nonce", whole()[..sealed.start].to_vec(), Truncated, Truncated);
    check("cut within the nonce", whole()[..sealed.start - 1].to_vec(), Truncated, Truncated);
    check("cut after the header", whole()[..sealed.start - 16].to_vec(), Truncated, Truncated);
    check("cut within the header", whole()[..100].to_vec(), Truncated, Truncated);
    check("empty", Vec::new(), Truncated, Truncated);

    for extra in [&b"\n"[..], &[0; 4096], &ramp(CHUNK_BYTES), &ramp(3 * CHUNK_BYTES), &whole()] {
        check("extended", [&whole(), extra].concat(), TrailingData, TrailingData);
    }

    let mut swapped = whole();
    let (one, two) = (sealed.chunk(1), sealed.chunk(3));
    swapped[one.clone()].copy_from_slice(&sealed.bytes[two.clone()]);
    swapped[two].copy_from_slice(&sealed.bytes[one.clone()]);
    check("two chunks swapped", swapped, Reordered, Reordered);
    let mut without = whole();
    without.drain(one.clone());
    check("a chunk left out", without, Reordered, Reordered);
    let mut twice = whole();
    twice.splice(one.start..one.start, sealed.bytes[one.clone()].to_vec());
    check("a chunk repeated", twice, Reordered, Reordered);
    let mut moved = whole();
    moved.truncate(sealed.start);
    moved.extend_from_slice(&sealed.bytes[sealed.chunk(5)]);
    check("the last chunk alone", moved, Reordered, Truncated);

    for (place, unknown) in [(0, Tampered), (3, Tampered), (5, TruncatedOrTampered)] {
        let mut changed = whole();
        changed[sealed.chunk(place).start + 50] ^= 1;
        check("a byte changed", changed, unknown, Tampered);
    }

    let other = Sealed::of(10);
    assert_eq!(sealed.fails(&other.bytes), (NotForYou, NotForYou));
    check("something else", b"id,name\n1,Meier\n".to_vec(), NotSealed, NotSealed);
}

#[test]
fn extensions_and_cuts_of_every_edge_length_are_told_apart() {
    for length in EDGE_LENGTHS {
        let sealed = Sealed::of(length);
        for extra in [1, 16, 17, 1000] {
            let longer = [sealed.bytes.as_slice(), &vec![0xaa; extra]].concat();
            let (kind, known) = sealed.fails(&longer);
            assert_eq!((kind, known), (TrailingData, TrailingData), "{length} and {extra}");
        }
        for missing in [1, 16, 17, 1000] {
            // In a long last chunk every alternative is tried, which takes a second: once is enough.
            let left = sealed.bytes.len() - sealed.start;
            let slow = left.saturating_sub(missing) % SEALED_CHUNK_BYTES > 10_000;
            if missing > left || (slow && (length, missing) != (CHUNK_BYTES, 1)) {
                continue;
            }
            let shorter = &sealed.bytes[..sealed.bytes.len() - missing];
            let (kind, known) = sealed.fails(shorter);
            assert!(
                matches!(kind, Truncated | TruncatedOrTampered),
                "{length} - {missing}: {kind:?}"
            );
            assert_eq!(known, Truncated, "{length} - {missing}");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_small_file_is_found() {
    let sealed = Sealed::of(100);
    for place in 0..sealed.bytes.len() {
        for bit in 0..8 {
            let mut changed = sealed.bytes.clone();
            changed[place] ^= 1 << bit;
            let (kind, known) = sealed.fails(&changed);
            let allowed: &[ErrorKind] = if place < sealed.start - 16 {
                // In the header: the version, the grammar, the wrapped key or the MAC.
                &[NotSealed, UnsupportedVersion, Header, NotForYou, Tampered, Truncated]
            } else {
                &[TruncatedOrTampered]
            };
            assert!(allowed.contains(&kind), "byte {place}, bit {bit}: {kind:?}");
            if place >= sealed.start - 16 {
                assert_eq!(known, Tampered, "byte {place}, bit {bit}");
            }
        }
    }
}

#[test]
fn every_cut_of_a_small_file_is_found() {
    let sealed = Sealed::of(100);
    for length in 0..sealed.bytes.len() {
        let (kind, known) = sealed.fails(&sealed.bytes[..length]);
        let surely = length < sealed.start + TAG_BYTES;
        assert_eq!(kind, if surely { Truncated } else { TruncatedOrTampered }, "{length}");
        assert_eq!(known, Truncated, "{length}");
    }
}

#[test]
fn in_place_and_from_buffer_to_buffer_agree() {
    for length in EDGE_LENGTHS {
        let sealed = Sealed::of(length);
        let (start, opener) = opener(&sealed.identity, &sealed.bytes);
        let opener = opener.expecting(length as u64);
        let payload = &sealed.bytes[start..];
        let mut plain = vec![0; length];
        assert_eq!(opener.open_into(0, true, payload, &mut plain).unwrap(), length);
        assert!(plain == sealed.plain);

        let mut in_place = payload.to_vec();
        opener.open_run(0, true, &mut in_place).unwrap();
        let dense: Vec<u8> = in_place
            .chunks(SEALED_CHUNK_BYTES)
            .flat_map(|chunk| chunk[..chunk.len() - TAG_BYTES].to_vec())
            .collect();
        assert!(dense == sealed.plain, "{length}");

        // Every tag counts, the one of no content in a buffer of no bytes too.
        for end in (start..sealed.bytes.len()).step_by(SEALED_CHUNK_BYTES) {
            let end = sealed.bytes.len().min(end + SEALED_CHUNK_BYTES) - start;
            let mut changed = payload.to_vec();
            changed[end - 1] ^= 1;
            let error = opener.open_into(0, true, &changed, &mut vec![0; length]).unwrap_err();
            assert_eq!(error.kind(), Tampered, "{length}");
        }

        // A failing chunk leaves nothing of itself, not even what was sealed.
        let mut changed = payload.to_vec();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        let error = opener.open_run(0, true, &mut changed).unwrap_err();
        assert_eq!(error.kind(), Tampered);
        let from = (changed.len() - 1) / SEALED_CHUNK_BYTES * SEALED_CHUNK_BYTES;
        assert!(changed[from..last + 1 - TAG_BYTES].iter().all(|byte| *byte == 0), "{length}");
    }
}

#[test]
fn runs_beyond_what_is_expected_are_refused_before_opening() {
    let sealed = Sealed::of(3 * CHUNK_BYTES);
    let (start, opener) = opener(&sealed.identity, &sealed.bytes);
    let opener = opener.expecting(3 * CHUNK_BYTES as u64);
    let payload = &sealed.bytes[start..];
    let mut out = vec![0; 4 * CHUNK_BYTES];
    let mut kind = |first, last, bytes: &[u8]| {
        opener.open_into(first, last, bytes, &mut out).map_err(|error| error.kind())
    };
    assert_eq!(kind(0, false, &payload[..2 * SEALED_CHUNK_BYTES]), Ok(2 * CHUNK_BYTES));
    assert_eq!(kind(2, true, &payload[2 * SEALED_CHUNK_BYTES..]), Ok(CHUNK_BYTES));
    assert_eq!(kind(0, false, payload), Err(TrailingData));
    assert_eq!(kind(1, true, payload), Err(TrailingData));
    assert_eq!(kind(0, true, &payload[..SEALED_CHUNK_BYTES]), Err(Truncated));
    assert_eq!(kind(u64::MAX / 2, true, payload), Err(ErrorKind::Usage));
    assert_eq!(kind(u64::MAX, true, payload), Err(ErrorKind::Usage));
}

#[test]
fn an_empty_last_chunk_after_others_is_refused() {
    // Sealed with a key that we know, so authentic; the format forbids it all the same (age.md,
    // "Payload": MUST NOT be empty unless the whole payload is).
    let identity = Identity::generate().unwrap();
    let sealer = Sealer::new(&[identity.to_recipient()]).unwrap();
    let mut first = vec![7; SEALED_CHUNK_BYTES];
    sealer.seal_chunk(0, false, &mut first).unwrap();
    assert_eq!(sealer.seal_chunk(1, true, &mut [0; 16]).unwrap_err().kind(), ErrorKind::Usage);
    let bytes = [sealer.prefix(), &first, &[0; 16]].concat();
    let error = age::open_all(&[identity], &bytes).unwrap_err();
    assert_eq!(error.kind(), Truncated);
}

#[test]
fn lengths_and_chunks_convert_both_ways() {
    for (plain, sealed) in [
        (0, 16),
        (1, 17),
        (CHUNK_BYTES, CHUNK_BYTES + 16),
        (CHUNK_BYTES + 1, CHUNK_BYTES + 33),
        (2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 32),
    ] {
        assert_eq!(sealed_payload_bytes(plain as u64), sealed as u64);
        assert_eq!(age::plain_bytes(sealed as u64).unwrap(), plain as u64);
    }
    for impossible in [0, 1, 15, SEALED_CHUNK_BYTES + 1, SEALED_CHUNK_BYTES + 16] {
        let error = age::plain_bytes(impossible as u64).unwrap_err();
        assert_eq!(error.kind(), Truncated, "{impossible}");
    }
    assert_eq!(sealed_payload_bytes(u64::MAX), u64::MAX);
}

#[test]
fn the_worst_damage_is_explained_in_reasonable_time() {
    // Every alternative is tried and none fits: the most work there is.
    let sealed = Sealed::of(2 * CHUNK_BYTES);
    let mut changed = sealed.bytes.clone();
    changed[sealed.start] ^= 1;
    let start = std::time::Instant::now();
    let error = age::open_all(std::slice::from_ref(&sealed.identity), &changed).unwrap_err();
    assert_eq!(error.kind(), Tampered);
    eprintln!("{:?} to find that nothing else explains it", start.elapsed());
}
