//! Content in the S3 Encryption Client formats: every length, every division of the work, every
//! kind of damage.

use crate::common::s3ec;
use std::io::Cursor;

use crate::common::ramp;
use crate::common::s3ec::{WRITTEN, assert_does_not_open, opener, policy_for, sealer};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use consign_seal::ErrorKind;
use consign_seal::s3ec::{
    AesKey, CONTENT_BYTES_MAX, DataKey, Opener, PIECE_BYTES, Pairs, Partial, Sealer, Suite,
    TAG_BYTES, Verified,
};
use proptest::prelude::*;

/// The most that is hashed in one call.
const STRIDE: usize = 512 * 1024;

const EDGES: [usize; 16] = [
    0,
    1,
    15,
    16,
    17,
    31,
    32,
    33,
    255,
    STRIDE - 1,
    STRIDE,
    STRIDE + 1,
    PIECE_BYTES - 1,
    PIECE_BYTES,
    PIECE_BYTES + 1,
    2 * PIECE_BYTES + STRIDE + 7,
];

const fn shared_between_threads<T: Send + Sync>() {}
const _: () = {
    shared_between_threads::<Sealer>();
    shared_between_threads::<Opener>();
    shared_between_threads::<Verified<'_>>();
    shared_between_threads::<AesKey>();
};

/// Cuts a length into parts of so many blocks each.
fn divide(length: usize, blocks: &[usize]) -> Vec<std::ops::Range<usize>> {
    let (mut parts, mut at) = (Vec::new(), 0);
    let mut blocks = blocks.iter().cycle();
    while at < length {
        let end = length.min(at + 16 * blocks.next().unwrap());
        parts.push(at..end);
        at = end;
    }
    parts
}

fn seal_in_parts(sealer: &Sealer, plain: &[u8], parts: &[std::ops::Range<usize>]) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    let partials: Vec<Partial> = parts
        .iter()
        .map(|part| sealer.seal_part(part.start as u64, &mut sealed[part.clone()]).unwrap())
        .collect();
    sealed.extend_from_slice(&sealer.finish(partials).unwrap());
    sealed
}

#[test]
fn every_edge_length_comes_back_by_every_way() {
    let wrapping = AesKey::generate().unwrap();
    for suite in WRITTEN {
        for length in EDGES {
            let (sealer, plain) = (sealer(suite, &wrapping), ramp(length));
            let whole = sealer.seal_all(plain.clone()).unwrap();
            assert_eq!(whole.len() as u64, Sealer::sealed_bytes(length as u64));
            let mut streamed = Vec::new();
            assert_eq!(sealer.seal_stream(&plain[..], &mut streamed).unwrap(), length as u64);
            assert!(streamed == whole, "{suite} {length}");
            let opener = opener(sealer.header(), &wrapping).unwrap();
            assert!(opener.open_all(whole.clone()).unwrap() == plain);
            let mut spool = Cursor::new(whole.clone());
            let verified = opener.verify_stream(&mut spool, whole.len() as u64).unwrap();
            assert_eq!(verified.content_bytes(), length as u64);
            let mut opened = Vec::new();
            verified.open_stream(&mut spool, &mut opened).unwrap();
            assert!(opened == plain, "{suite} {length}");
        }
    }
}

#[test]
fn threads_seal_and_open_parts_of_one_object() {
    let wrapping = AesKey::generate().unwrap();
    let plain = ramp(5 * STRIDE + 12_345);
    for suite in WRITTEN {
        let sealer = sealer(suite, &wrapping);
        let mut sealed = plain.clone();
        let work = |seal: &(dyn Fn(u64, &mut [u8]) -> Partial + Sync), buf: &mut [u8]| {
            std::thread::scope(|scope| {
                let parts: Vec<_> = buf
                    .chunks_mut(STRIDE + 16)
                    .enumerate()
                    .map(|(i, part)| scope.spawn(move || seal((i * (STRIDE + 16)) as u64, part)))
                    .collect();
                parts.into_iter().map(|part| part.join().unwrap()).collect::<Vec<_>>()
            })
        };
        let partials = work(&|at, buf| sealer.seal_part(at, buf).unwrap(), &mut sealed);
        let tag = sealer.finish(partials.into_iter().rev()).unwrap();
        let whole = sealer.seal_all(plain.clone()).unwrap();
        assert!([&sealed[..], &tag].concat() == whole);

        let opener = opener(sealer.header(), &wrapping).unwrap();
        let partials = work(&|at, buf| opener.open_part_into_hiding(at, buf).unwrap(), &mut sealed);
        opener.verify(partials, &tag).unwrap();
        assert!(sealed == plain);
    }
}

#[test]
fn a_saved_sealer_goes_on_with_the_same_object() {
    let wrapping = AesKey::generate().unwrap();
    let plain = ramp(100_000);
    for suite in WRITTEN {
        let first = sealer(suite, &wrapping);
        let state = first.to_secret_bytes();
        let second = Sealer::from_secret_bytes(&state).unwrap();
        assert_eq!(first.header(), second.header());
        let mut sealed = plain.clone();
        let (head, rest) = sealed.split_at_mut(48_000);
        let head = first.seal_part(0, head).unwrap();
        let head = Partial::from_secret_bytes(&head.to_secret_bytes());
        let rest = second.seal_part(48_000, rest).unwrap();
        sealed.extend_from_slice(&second.finish([head, rest]).unwrap());
        assert!(opener(first.header(), &wrapping).unwrap().open_all(sealed).unwrap() == plain);
        for cut in 0..state.len() {
            assert_eq!(
                Sealer::from_secret_bytes(&state[..cut]).unwrap_err().kind(),
                ErrorKind::BadKey
            );
        }
        for at in 0..state.len() {
            let mut changed = state.to_vec();
            changed[at] ^= 1;
            assert!(Sealer::from_secret_bytes(&changed).is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_flipped_byte_anywhere_is_one_error() {
    let wrapping = AesKey::generate().unwrap();
    for suite in WRITTEN {
        let sealer = sealer(suite, &wrapping);
        let sealed = sealer.seal_all(ramp(100)).unwrap();
        let opener = opener(sealer.header(), &wrapping).unwrap();
        for at in 0..sealed.len() {
            for bit in [1, 0x80] {
                let mut changed = sealed.clone();
                changed[at] ^= bit;
                let mut spool = Cursor::new(changed.clone());
                let streamed = opener.verify_stream(&mut spool, changed.len() as u64);
                assert_does_not_open(streamed, &format!("{suite} byte {at} streamed"));
                assert_does_not_open(opener.open_all(changed), &format!("{suite} byte {at}"));
            }
        }
    }
}

#[test]
fn a_cut_or_extended_object_is_refused() {
    let wrapping = AesKey::generate().unwrap();
    for suite in WRITTEN {
        let sealer = sealer(suite, &wrapping);
        let sealed = sealer.seal_all(ramp(50)).unwrap();
        let opener = opener(sealer.header(), &wrapping).unwrap();
        for cut in 0..sealed.len() {
            assert_does_not_open(opener.open_all(sealed[..cut].to_vec()), &format!("cut at {cut}"));
            let mut short = Cursor::new(&sealed[..cut]);
            let told = opener.verify_stream(&mut short, sealed.len() as u64).unwrap_err();
            assert_eq!(told.kind(), ErrorKind::Truncated);
            let untold = opener.verify_stream(&mut short, cut as u64);
            assert_does_not_open(untold, &format!("cut at {cut}, length too"));
        }
        for more in [1, 15, 16, 17] {
            let longer = [&sealed[..], &vec![0; more]].concat();
            let mut spool = Cursor::new(longer.clone());
            let told = opener.verify_stream(&mut spool, sealed.len() as u64).unwrap_err();
            assert_eq!(told.kind(), ErrorKind::TrailingData);
            assert_does_not_open(opener.open_all(longer), &format!("{more} bytes more"));
        }
    }
}

#[test]
fn swapped_blocks_and_parts_are_refused() {
    let wrapping = AesKey::generate().unwrap();
    let sealer = sealer(Suite::GcmCommitted, &wrapping);
    let sealed = sealer.seal_all(ramp(3 * STRIDE)).unwrap();
    let opener = opener(sealer.header(), &wrapping).unwrap();
    for unit in [16, 1024, STRIDE] {
        let mut swapped = sealed.clone();
        let (left, right) = swapped.split_at_mut(unit);
        left.swap_with_slice(&mut right[..unit]);
        assert_does_not_open(opener.open_all(swapped), &format!("{unit} bytes"));
    }
}

#[test]
fn nothing_is_released_that_changed_after_it_was_verified() {
    let wrapping = AesKey::generate().unwrap();
    let sealer = sealer(Suite::GcmCommitted, &wrapping);
    let plain = ramp(3 * PIECE_BYTES + 100);
    let sealed = sealer.seal_all(plain.clone()).unwrap();
    let opener = opener(sealer.header(), &wrapping).unwrap();
    let mut spool = Cursor::new(sealed.clone());
    let verified = opener.verify_stream(&mut spool, sealed.len() as u64).unwrap();
    for at in [0, PIECE_BYTES, 3 * PIECE_BYTES + 99] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let mut out = Vec::new();
        let result = verified.open_stream(&mut Cursor::new(changed), &mut out);
        assert_does_not_open(result, &format!("byte {at}"));
        assert_eq!(out, plain[..at / PIECE_BYTES * PIECE_BYTES], "whole pieces before it");
    }
    let mut piece = sealed[..PIECE_BYTES].to_vec();
    verified.open_part(0, &mut piece).unwrap();
    assert!(piece == plain[..PIECE_BYTES]);
    assert_does_not_open(verified.open_part(0, &mut piece), "opened twice");
    assert_eq!(verified.open_part(16, &mut piece).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn ranges_are_authenticated_unless_switched() {
    let wrapping = AesKey::generate().unwrap();
    for suite in WRITTEN {
        let sealer = sealer(suite, &wrapping);
        let plain = ramp(2 * PIECE_BYTES + 777);
        let sealed = sealer.seal_all(plain.clone()).unwrap();
        let header = sealer.header();
        let mut policy = s3ec::anything();
        policy.unauthenticated_ranges = false;
        let admitted = header.admit(&policy).unwrap();
        let key = wrapping.unwrap(&admitted.wanted()).unwrap();
        let strict = admitted.open(&key).unwrap();
        let refused = strict.open_range_unauthenticated(0, &mut [0; 16]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Weak);

        policy.unauthenticated_ranges = true;
        let loose = header.admit(&policy).unwrap().open(&key).unwrap();
        let mut spool = Cursor::new(sealed.clone());
        let verified = strict.verify_stream(&mut spool, sealed.len() as u64).unwrap();
        let edges = [0, 1, 15, 16, 17, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 33, plain.len()];
        for start in edges {
            for end in edges.into_iter().filter(|end| *end >= start) {
                let mut range = Vec::new();
                verified.open_range(&mut spool, start as u64..end as u64, &mut range).unwrap();
                assert!(range == plain[start..end], "{start}..{end}");
                let mut range = sealed[start..end].to_vec();
                loose.open_range_unauthenticated(start as u64, &mut range).unwrap();
                assert!(range == plain[start..end], "{start}..{end} unauthenticated");
            }
        }
        let beyond = verified.open_range(&mut spool, 0..plain.len() as u64 + 1, Vec::new());
        assert_eq!(beyond.unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[test]
fn the_longest_content_is_that_of_gcm() {
    let sealer = sealer(Suite::Gcm, &AesKey::generate().unwrap());
    assert_eq!(CONTENT_BYTES_MAX, (1u64 << 36) - 32);
    let last = CONTENT_BYTES_MAX - 16;
    sealer.seal_part(last, &mut [0; 16]).unwrap();
    for (offset, bytes) in [(last, 17), (last + 16, 1), (1 << 36, 16), (u64::MAX - 15, 16), (8, 8)]
    {
        let refused = sealer.seal_part(offset, &mut vec![0; bytes]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "{bytes} at {offset}");
    }
}

/// NIST SP 800-38D §7.1: block n is under the counter n + 2, far into the object too, where nobody
/// compares with a whole one.
#[test]
fn every_place_has_the_key_stream_of_gcm() {
    let key = [0x5a; 32];
    let data_key = DataKey::from_bytes(&key).unwrap();
    let wrapped = AesKey::generate().unwrap().wrap(Suite::Gcm, &data_key, &Pairs::new()).unwrap();
    let sealer = Sealer::new(policy_for(Suite::Gcm), &data_key, wrapped).unwrap();
    let iv = STANDARD.decode(&sealer.header().to_metadata().unwrap()["x-amz-iv"]).unwrap();
    let cipher = UnboundCipherKey::new(&AES_256, &key).and_then(EncryptingKey::ecb).unwrap();
    let giga = 1u64 << 30;
    for offset in [0, 16, STRIDE as u64, 4 * giga - 16, 4 * giga, 33 * giga, CONTENT_BYTES_MAX - 16]
    {
        let mut sealed = [0; 16];
        sealer.seal_part(offset, &mut sealed).unwrap();
        let counter = u32::try_from(offset / 16 + 2).unwrap().to_be_bytes();
        let mut expected = [&iv[..], &counter].concat();
        cipher.encrypt(&mut expected).unwrap();
        assert_eq!(sealed[..], expected[..], "at {offset}");
    }
}

#[test]
fn parts_that_do_not_lie_end_to_end_have_no_tag() {
    let wrapping = AesKey::generate().unwrap();
    let sealer = sealer(Suite::GcmCommitted, &wrapping);
    let part = |at: u64, bytes: usize| sealer.seal_part(at, &mut vec![0; bytes]).unwrap();
    let (first, second) = (part(0, 32), part(32, 16));
    let tag = sealer.finish([second.clone(), first.clone()]).unwrap();
    let cases: [Vec<Partial>; 5] = [
        vec![second.clone()],
        vec![first.clone(), part(48, 16)],
        vec![first.clone(), first.clone(), second.clone()],
        vec![part(0, 31), second.clone()],
        vec![part(0, 48), second.clone()],
    ];
    let opener = opener(sealer.header(), &wrapping).unwrap();
    for (i, parts) in cases.into_iter().enumerate() {
        let refused = sealer.finish(parts.clone()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "case {i}");
        assert_eq!(opener.verify(parts, &tag).unwrap_err().kind(), ErrorKind::Usage);
    }
    let first_alone = opener.verify([first], &tag);
    assert_does_not_open(first_alone, "the last part left out");
}

#[test]
fn every_object_has_a_nonce_of_its_own() {
    let wrapping = AesKey::generate().unwrap();
    for suite in WRITTEN {
        let (one, other) = (sealer(suite, &wrapping), sealer(suite, &wrapping));
        let name = if suite == Suite::Gcm { "x-amz-iv" } else { "x-amz-i" };
        let nonce = |sealer: &Sealer| sealer.header().to_metadata().unwrap()[name].clone();
        assert_ne!(nonce(&one), nonce(&other));
        assert_eq!(nonce(&one).len(), if suite == Suite::Gcm { 16 } else { 40 });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_division_of_the_work_gives_the_same_object(
        length in prop_oneof![0usize..200, 0usize..3 * STRIDE, Just(STRIDE), Just(STRIDE * 2 + 16)],
        sealing in prop::collection::vec(1usize..5000, 1..4),
        opening in prop::collection::vec(1usize..5000, 1..4),
        committed: bool,
        flip in any::<prop::sample::Index>(),
    ) {
        let suite = if committed { Suite::GcmCommitted } else { Suite::Gcm };
        let wrapping = AesKey::generate().unwrap();
        let (sealer, plain) = (sealer(suite, &wrapping), ramp(length));
        let whole = sealer.seal_all(plain.clone()).unwrap();
        let mut order = divide(length, &sealing);
        order.reverse();
        prop_assert!(seal_in_parts(&sealer, &plain, &order) == whole);

        let opener = opener(sealer.header(), &wrapping).unwrap();
        let (content, tag) = whole.split_at(length);
        let tag: [u8; TAG_BYTES] = tag.try_into().unwrap();
        let parts = divide(length, &opening);
        let hash = |content: &[u8]| -> Vec<Partial> {
            parts.iter()
                .map(|part| opener.hash_part(part.start as u64, &content[part.clone()]).unwrap())
                .collect()
        };
        let verified = opener.verify(hash(content), &tag).unwrap();
        let mut opened = content.to_vec();
        for part in &parts {
            verified.open_part(part.start as u64, &mut opened[part.clone()]).unwrap();
        }
        prop_assert!(opened == plain);

        let mut changed = whole.clone();
        let at = flip.index(changed.len());
        changed[at] ^= 0x10;
        let (content, tag) = changed.split_at(length);
        assert_does_not_open(opener.verify(hash(content), tag.try_into().unwrap()), "flipped");
    }
}
