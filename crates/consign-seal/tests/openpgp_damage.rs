//! What happens to sealed messages on their way: cut, extended, changed, forged. Whatever it is,
//! it is refused with the same words for the same thing, and nothing of it is given away.

#![cfg(feature = "openpgp")]

use crate::common::gpg;
use std::io::{Cursor, Read};
use std::sync::OnceLock;

use crate::common::ramp;
use consign_seal::openpgp::{
    self, Certificate, Expansion, KeyKind, OpenOptions, OpenReader, SealOptions, SecretKey,
};
use consign_seal::{Error, ErrorKind};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;

fn key(kind: KeyKind) -> &'static SecretKey {
    static V4: OnceLock<SecretKey> = OnceLock::new();
    static V6: OnceLock<SecretKey> = OnceLock::new();
    let place = if kind == KeyKind::Curve25519V6 { &V6 } else { &V4 };
    place.get_or_init(|| SecretKey::generate(kind, "globex", NOW - 1000).unwrap())
}

fn signer(kind: KeyKind) -> &'static SecretKey {
    static V4: OnceLock<SecretKey> = OnceLock::new();
    static V6: OnceLock<SecretKey> = OnceLock::new();
    let place = if kind == KeyKind::Curve25519V6 { &V6 } else { &V4 };
    place.get_or_init(|| SecretKey::generate(kind, "acme", NOW - 1000).unwrap())
}

const KINDS: [KeyKind; 2] = [KeyKind::Curve25519, KeyKind::Curve25519V6];

fn seal(kind: KeyKind, plain: &[u8], armor: bool) -> Vec<u8> {
    let options = SealOptions { signer: Some(signer(kind)), armor, file_name: "x", at: NOW };
    openpgp::seal_all(&[key(kind).certificate()], plain, &options).unwrap()
}

/// Opens in one piece and as a stream, which must agree; what the stream gave before it failed
/// must be the beginning of what was sealed.
fn open(kind: KeyKind, sealed: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let keys = std::slice::from_ref(key(kind));
    let signers = [signer(kind).certificate()];
    let options = OpenOptions::at(NOW + 10);
    let whole = openpgp::open_all(keys, &signers, sealed, &options).map(|opened| opened.plain);
    let mut streamed = Vec::new();
    let end = OpenReader::new(keys, &signers, Cursor::new(sealed), &options)
        .and_then(|mut reader| reader.read_to_end(&mut streamed).map_err(Error::from_io));
    assert!(plain.starts_with(&streamed), "the stream gave what was never sealed");
    match (&whole, end) {
        (Ok(whole), Ok(_)) => assert!(*whole == streamed),
        (Err(one), Err(other)) => assert_eq!(one.kind(), other.kind()),
        (one, other) => panic!("{one:?} in one piece, {other:?} as a stream"),
    }
    whole
}

/// What damage may be called. Not all of a message is authenticated: what a recipient's packet
/// says of him, and how packets are framed, is not, and damage there can look like another thing.
const DAMAGE: [ErrorKind; 9] = [
    ErrorKind::Tampered,
    ErrorKind::Truncated,
    ErrorKind::TrailingData,
    ErrorKind::Header,
    ErrorKind::NotForYou,
    ErrorKind::NeedsPassphrase,
    ErrorKind::NotSealed,
    ErrorKind::UnsupportedVersion,
    ErrorKind::Weak,
];

#[test]
fn whatever_the_length_it_comes_back() {
    for kind in KINDS {
        for length in [0, 1, 63, 64, 65_500, 65_529, 65_536, 65_537, 131_072, 300_001] {
            let plain = ramp(length);
            for armor in [false, true] {
                let sealed = seal(kind, &plain, armor);
                assert!(open(kind, &sealed, &plain).unwrap() == plain, "{kind:?} {length}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_found_or_changes_nothing() {
    for kind in KINDS {
        let plain = ramp(100);
        let sealed = seal(kind, &plain, false);
        let mut harmless = 0;
        for place in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[place] ^= 1 << bit;
                match open(kind, &changed, &plain) {
                    // The length in bits of a number whose bytes all come anyway, for example.
                    Ok(opened) => {
                        assert!(opened == plain, "byte {place}, bit {bit}");
                        harmless += 1;
                    }
                    Err(error) => {
                        let kind = error.kind();
                        assert!(DAMAGE.contains(&kind), "byte {place}, bit {bit}: {error:?}");
                    }
                }
            }
        }
        assert!(harmless <= 16, "{kind:?}: {harmless} flipped bits went unseen");
    }
}

#[test]
fn in_the_content_every_flipped_bit_has_one_name() {
    for kind in KINDS {
        let plain = ramp(70_000);
        let sealed = seal(kind, &plain, false);
        // The last piece is framed anew: its length is not content.
        let places = (400..65_000).step_by(1301).chain(sealed.len() - 3000..sealed.len());
        for place in places.step_by(7) {
            let mut changed = sealed.clone();
            changed[place] ^= 0x10;
            let error = open(kind, &changed, &plain).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tampered, "{kind:?} at {place}: {error}");
        }
    }
}

#[test]
fn every_cut_is_a_truncation() {
    for kind in KINDS {
        let plain = ramp(80_000);
        for armor in [false, true] {
            let sealed = seal(kind, &plain, armor);
            for length in
                (0..sealed.len() - 1).step_by(997).chain(sealed.len() - 5..sealed.len() - 1)
            {
                let error = open(kind, &sealed[..length], &plain).unwrap_err();
                let whole_but_unmarked = armor && error.kind() == ErrorKind::Armor;
                assert!(
                    error.kind() == ErrorKind::Truncated || whole_but_unmarked,
                    "{kind:?} {length}: {error:?}"
                );
            }
        }
    }
}

#[test]
fn whatever_follows_is_found() {
    for kind in KINDS {
        let plain = ramp(1000);
        let sealed = seal(kind, &plain, false);
        let again = seal(kind, b"another", false);
        for extra in [b"\n".as_slice(), &[0; 4096], &again, &[0xcb, 1, 0]] {
            let longer = [sealed.as_slice(), extra].concat();
            let error = open(kind, &longer, &plain).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TrailingData, "{kind:?}");
        }
        let armored = [seal(kind, &plain, true).as_slice(), b"and more\n"].concat();
        let error = open(kind, &armored, &plain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TrailingData);
    }
}

#[test]
fn chunks_cannot_be_swapped_repeated_or_left_out() {
    let kind = KeyKind::Curve25519V6;
    let plain = ramp(5 * 65_536);
    let sealed = seal(kind, &plain, false);
    // Pieces of the framing and chunks of the container have one size and one byte between them.
    let piece = |index: usize| 600 + index * 65_537..600 + (index + 1) * 65_537;
    let mut swapped = sealed.clone();
    swapped[piece(0)].copy_from_slice(&sealed[piece(1)]);
    let mut without = sealed.clone();
    without.drain(piece(1));
    let mut twice = sealed.clone();
    twice.splice(600..600, sealed[piece(0)].iter().copied());
    for changed in [swapped, without, twice] {
        let error = open(kind, &changed, &plain).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Tampered | ErrorKind::Truncated), "{error:?}");
    }
}

#[test]
fn other_things_are_told_apart() {
    let keys = std::slice::from_ref(key(KeyKind::Curve25519));
    let options = OpenOptions::at(NOW);
    let kind =
        |bytes: &[u8]| openpgp::open_all(keys, &[], bytes, &options).map(drop).unwrap_err().kind();
    assert_eq!(kind(b""), ErrorKind::Truncated);
    assert_eq!(kind(b"id,name\n1,Meier\n"), ErrorKind::NotSealed);
    assert_eq!(kind(b"age-encryption.org/v1\n-> X25519 "), ErrorKind::NotSealed);
    assert_eq!(kind(b"PK\x03\x04"), ErrorKind::NotSealed);
    let public = key(KeyKind::Curve25519).certificate();
    assert_eq!(kind(&public.to_bytes().unwrap()), ErrorKind::NotSealed);
    assert_eq!(kind(public.to_armored().unwrap().as_bytes()), ErrorKind::NotSealed);
    let stranger = SecretKey::generate(KeyKind::Curve25519, "x", NOW).unwrap();
    let sealed = openpgp::seal_all(&[stranger.certificate()], b"x", &SealOptions::at(NOW)).unwrap();
    assert_eq!(kind(&sealed), ErrorKind::NotForYou);
    assert_eq!(
        openpgp::seal_all(&[], b"x", &SealOptions::at(NOW)).unwrap_err().kind(),
        ErrorKind::Usage
    );
}

#[test]
fn secrets_do_not_print() {
    let key = key(KeyKind::Curve25519);
    assert_eq!(format!("{key:?}"), format!("SecretKey({:?})", key.fingerprint()));
    let sealed = seal(KeyKind::Curve25519, b"MARKER-OF-THE-TEST", false);
    let opened = openpgp::open_all(std::slice::from_ref(key), &[], &sealed, &OpenOptions::at(NOW));
    assert!(!format!("{opened:?}").contains("MARKER"));
}

#[test]
fn content_may_not_grow_out_of_proportion() {
    // Bytes of a literal packet, compressed: what GnuPG makes of a long row of zeros.
    let Some(gpg) = gpg::Gpg::new() else { return };
    let now = gpg::now();
    let key = SecretKey::generate(KeyKind::Curve25519, "globex", now).unwrap();
    gpg.import(key.to_armored(None).unwrap().as_bytes());
    let arguments = ["--encrypt", "--recipient", "globex"];
    for way in ["zip", "zlib", "bzip2"] {
        let arguments = [arguments.as_slice(), &["--compress-algo", way]].concat();
        let sealed = gpg.succeed(&arguments, &vec![0; 16 << 20]);
        let keys = std::slice::from_ref(&key);
        let mut options = OpenOptions::at(now);
        let opened = openpgp::open_all(keys, &[], &sealed, &options).unwrap();
        assert_eq!(opened.plain.len(), 16 << 20, "{way}");
        options.expansion = Expansion { free_bytes: 1 << 20, factor: 16 };
        let error = openpgp::open_all(keys, &[], &sealed, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weak, "{way}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn noise_is_refused_and_never_panics(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let keys = std::slice::from_ref(key(KeyKind::Curve25519));
        let refused = openpgp::open_all(keys, &[], &noise, &OpenOptions::at(NOW));
        prop_assert!(refused.is_err());
        prop_assert!(Certificate::parse(&noise).is_err());
        prop_assert!(SecretKey::parse(&noise).is_err());
    }

    #[test]
    fn several_flipped_bytes_are_found(
        places in prop::collection::vec((0usize..10_000, 1u8..), 1..6),
        v6: bool,
    ) {
        let kind = KINDS[usize::from(v6)];
        let plain = ramp(9000);
        let mut changed = seal(kind, &plain, false);
        let from = changed.len() - 9000;
        for (place, mask) in places {
            let place = from + place % 8900;
            changed[place] ^= mask;
        }
        match open(kind, &changed, &plain) {
            Ok(opened) => prop_assert!(opened == plain),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Tampered),
        }
    }
}
