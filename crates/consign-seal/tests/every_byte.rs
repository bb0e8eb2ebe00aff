//! One promise for all formats: whatever byte is changed, wherever it is cut, whatever follows it, a sealed
//! thing either opens as what it was or is refused in the words of docs/errors.md, and nothing is given away
//! that was not sealed. Within the content, at any position, the word is the same.

#![cfg(feature = "openpgp")]

use crate::common::s3ec;
use std::io::{Cursor, Read, Write};
use std::ops::Range;

use crate::common::ramp;
use crate::common::s3ec::{anything, sealer};
use consign_seal::age::{self, Identity, OpenReader, Passphrase, Recipient};
use consign_seal::openpgp::{self, KeyKind, OpenOptions, SealOptions, SecretKey};
use consign_seal::s3ec::{AesKey, Header, MetadataRead, PIECE_BYTES, Pairs, Suite, read_metadata};
use consign_seal::s3s2;
use consign_seal::{Error, ErrorKind};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;

/// What damage may be called.
const WORDS: [&str; 11] = [
    "tampered",
    "truncated",
    "trailing-bytes",
    "malformed",
    "not-for-you",
    "unknown-format",
    "unsupported-version",
    "weak-format",
    "needs-passphrase",
    "wrong-passphrase",
    "wrong-context",
];

/// The ways in which something is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Age,
    AgePostQuantum,
    AgePassphrase,
    AgeArmored,
    OpenPgp1,
    OpenPgp2,
    OpenPgpArmored,
    S3s2,
    S3ec2,
    S3ec3,
}

const FORMS: [Form; 10] = [
    Form::Age,
    Form::AgePostQuantum,
    Form::AgePassphrase,
    Form::AgeArmored,
    Form::OpenPgp1,
    Form::OpenPgp2,
    Form::OpenPgpArmored,
    Form::S3s2,
    Form::S3ec2,
    Form::S3ec3,
];

/// What opens a form. Nothing is moved into the samples, so that one key serves thousands of them.
enum Key {
    Age(Identity),
    OpenPgp(Box<SecretKey>),
    S3s2(Box<s3s2::PublicKey>, Vec<s3s2::SecretKey>),
    S3ec(Suite, AesKey),
}

struct Lock {
    form: Form,
    key: Key,
}

/// Something sealed, and where its content is.
struct Sealed {
    plain: Vec<u8>,
    bytes: Vec<u8>,
    /// Every byte in it is of the content or of what authenticates it.
    content: Range<usize>,
    /// What lies beside an object of the S3 Encryption Client.
    header: Option<Header>,
}

impl Lock {
    fn new(form: Form) -> Lock {
        let openpgp = |kind| {
            let key = SecretKey::generate(kind, "globex", NOW - 9).unwrap();
            Key::OpenPgp(Box::new(key))
        };
        let key = match form {
            Form::Age | Form::AgeArmored => Key::Age(Identity::generate().unwrap()),
            Form::AgePostQuantum => Key::Age(Identity::generate_post_quantum().unwrap()),
            Form::AgePassphrase => {
                let words = "correct horse".to_owned().into();
                Key::Age(Identity::Passphrase(Passphrase::with_work_factor(words, 1).unwrap()))
            }
            Form::OpenPgp1 | Form::OpenPgpArmored => openpgp(KeyKind::Curve25519),
            Form::OpenPgp2 => openpgp(KeyKind::Curve25519V6),
            Form::S3s2 => {
                let public = include_bytes!("s3s2/go.pubkey");
                let public = s3s2::PublicKey::parse(public, NOW).unwrap();
                let secret = s3s2::SecretKey::parse(include_bytes!("s3s2/go.privkey")).unwrap();
                Key::S3s2(Box::new(public), secret)
            }
            Form::S3ec2 => Key::S3ec(Suite::Gcm, AesKey::generate().unwrap()),
            Form::S3ec3 => Key::S3ec(Suite::GcmCommitted, AesKey::generate().unwrap()),
        };
        Lock { form, key }
    }

    fn seal(&self, plain: Vec<u8>) -> Sealed {
        let mut header = None;
        let bytes = match &self.key {
            Key::Age(identity) => {
                let recipient = match identity {
                    Identity::Passphrase(words) => Recipient::Passphrase(words.clone()),
                    other => other.to_recipient(),
                };
                let sealed = age::seal_all(&[recipient], &plain).unwrap();
                if self.form == Form::AgeArmored { armored(&sealed) } else { sealed }
            }
            Key::OpenPgp(key) => {
                let armor = self.form == Form::OpenPgpArmored;
                let options = SealOptions { armor, ..SealOptions::at(NOW) };
                openpgp::seal_all(&[key.certificate()], &plain, &options).unwrap()
            }
            Key::S3s2(public, _) => {
                let mut sealed = Vec::new();
                s3s2::seal(plain.as_slice(), &mut sealed, std::slice::from_ref(public)).unwrap();
                sealed
            }
            Key::S3ec(suite, wrapping) => {
                let sealer = sealer(*suite, wrapping);
                header = Some(sealer.header().clone());
                sealer.seal_all(plain.clone()).unwrap()
            }
        };
        // Before the content there are recipients; of OpenPGP its last piece is framed by a length.
        let from = match self.form {
            Form::S3ec2 | Form::S3ec3 => 0,
            Form::OpenPgp1 => bytes.len() - plain.len() - 22,
            Form::OpenPgp2 => bytes.len() - plain.len() - 32,
            _ => bytes.len() - plain.len() - 16,
        };
        // Text has other rules: a byte may turn into one that no text of its kind has.
        let is_text = matches!(self.form, Form::AgeArmored | Form::OpenPgpArmored | Form::S3s2);
        let content = if is_text || plain.len() > 10_000 { 0..0 } else { from..bytes.len() };
        Sealed { plain, bytes, content, header }
    }

    /// Opens what `bytes` may have become, in one piece and as a stream, which must agree; what the
    /// stream has given when it fails must be the beginning of what was sealed, and nothing at all where
    /// the format authenticates at its end.
    fn open(&self, bytes: &[u8], sealed: &Sealed) -> Result<Vec<u8>, ErrorKind> {
        let mut given = Vec::new();
        let (whole, end) = match &self.key {
            Key::Age(identity) => {
                let keys = std::slice::from_ref(identity);
                let whole = age::open_all(keys, bytes);
                let end = OpenReader::new(bytes, keys)
                    .and_then(|mut reader| reader.read_to_end(&mut given).map_err(Error::from_io));
                (whole, end.map(drop))
            }
            Key::OpenPgp(key) => {
                let keys = std::slice::from_ref(&**key);
                let options = OpenOptions::at(NOW + 9);
                let whole = openpgp::open_all(keys, &[], bytes, &options);
                let end = openpgp::OpenReader::new(keys, &[], Cursor::new(bytes), &options)
                    .and_then(|mut reader| reader.read_to_end(&mut given).map_err(Error::from_io));
                (whole.map(|opened| opened.plain), end.map(drop))
            }
            Key::S3s2(_, keys) => {
                // The spool is nobody's until the end.
                let whole = s3s2::open(bytes, &mut given, keys).map(|_| given.clone());
                if whole.is_err() {
                    given.clear();
                }
                let end = whole
                    .as_ref()
                    .map(drop)
                    .map_err(|error| Error::from_io(std::io::Error::other(error.to_string())));
                (whole, end)
            }
            Key::S3ec(_, wrapping) => {
                let header = sealed.header.as_ref().unwrap();
                let opener = s3ec::opener(header, wrapping).unwrap();
                let whole = opener.open_all(bytes.to_vec());
                let mut source = Cursor::new(bytes);
                let end = opener
                    .verify_stream(&mut source, bytes.len() as u64)
                    .and_then(|verified| verified.open_stream(&mut source, &mut given));
                (whole, end)
            }
        };
        assert!(sealed.plain.starts_with(&given), "{:?} gave what was not sealed", self.form);
        let early = matches!(self.form, Form::Age | Form::AgePostQuantum | Form::AgePassphrase)
            || matches!(self.form, Form::AgeArmored | Form::OpenPgp2);
        assert!(end.is_ok() || early || given.is_empty(), "{:?} gave too early", self.form);
        match (whole, end) {
            (Ok(whole), Ok(())) => {
                assert!(whole == given);
                Ok(whole)
            }
            (Err(one), Err(_)) if matches!(self.key, Key::S3s2(..)) => Err(one.kind()),
            (Err(one), Err(other)) => {
                assert_eq!(one.kind(), other.kind(), "{:?}: {one} / {other}", self.form);
                Err(one.kind())
            }
            (one, other) => panic!("{:?}: {one:?} in one piece, {other:?} as a stream", self.form),
        }
    }

    /// Opens it, and it must be what was sealed or an error in the vocabulary, which is returned.
    fn word(&self, what: &str, bytes: &[u8], sealed: &Sealed) -> Option<&'static str> {
        match self.open(bytes, sealed) {
            Ok(opened) => {
                assert!(opened == sealed.plain, "{:?}, {what}: another content", self.form);
                None
            }
            Err(kind) => {
                let word = kind.word();
                assert!(WORDS.contains(&word), "{:?}, {what}: {kind:?}", self.form);
                Some(word)
            }
        }
    }

    /// RSA with 4096 bits takes a while: not at every byte.
    fn step(&self) -> usize {
        if self.form == Form::S3s2 { 41 } else { 1 }
    }
}

fn armored(sealed: &[u8]) -> Vec<u8> {
    let mut writer = age::ArmorWriter::new(Vec::new()).unwrap();
    writer.write_all(sealed).unwrap();
    writer.finish().unwrap()
}

#[test]
fn at_every_position_a_changed_byte_changes_nothing_or_is_refused() {
    for form in FORMS {
        let lock = Lock::new(form);
        let sealed = lock.seal(ramp(100));
        assert_eq!(lock.word("unchanged", &sealed.bytes, &sealed), None);
        for at in (0..sealed.bytes.len()).step_by(lock.step()) {
            for mask in [0x01, 0x20, 0x80] {
                let mut changed = sealed.bytes.clone();
                changed[at] ^= mask;
                let word = lock.word(&format!("byte {at} ^ {mask:#x}"), &changed, &sealed);
                if sealed.content.contains(&at) {
                    assert_eq!(word, Some("tampered"), "{form:?} at {at}");
                }
            }
        }
    }
}

#[test]
fn at_every_length_a_cut_is_refused() {
    for form in FORMS {
        let lock = Lock::new(form);
        let sealed = lock.seal(ramp(100));
        for length in (0..sealed.bytes.len()).step_by(lock.step()) {
            let word = lock.word(&format!("cut at {length}"), &sealed.bytes[..length], &sealed);
            // The last end of line of an armor is not needed.
            let armor = matches!(form, Form::AgeArmored | Form::OpenPgpArmored | Form::S3s2);
            assert!(
                word.is_some() || armor && length + 1 == sealed.bytes.len(),
                "{form:?} {length}"
            );
            let expected: &[&str] = match form {
                // Short of its tag or not: there is one word for objects, by intention.
                Form::S3ec2 | Form::S3ec3 => &["tampered"],
                // Without its length nobody can tell a cut in the last chunk from a change.
                Form::Age | Form::AgePostQuantum | Form::AgePassphrase => {
                    &["truncated", "tampered", "unknown-format"]
                }
                Form::OpenPgp1 | Form::OpenPgp2 => &["truncated"],
                _ => &["truncated", "tampered", "malformed", "unknown-format"],
            };
            let fits = word.is_none_or(|word| expected.contains(&word));
            assert!(fits, "{form:?} cut at {length}: {word:?}");
        }
    }
}

#[test]
fn whatever_follows_is_refused() {
    for form in FORMS {
        let lock = Lock::new(form);
        let sealed = lock.seal(ramp(100));
        for extra in [&b"\0"[..], b"x", &[0; 5000], &sealed.bytes.clone()] {
            let longer = [&sealed.bytes, extra].concat();
            let word = lock.word("longer", &longer, &sealed).expect("refused");
            let expected: &[&str] = match form {
                // What follows moves the tag, and with it everything.
                Form::S3ec2 | Form::S3ec3 => &["tampered"],
                // Until a chunk is full, what follows belongs to it.
                Form::Age | Form::AgePostQuantum | Form::AgePassphrase => {
                    &["trailing-bytes", "tampered"]
                }
                Form::AgeArmored | Form::OpenPgpArmored | Form::S3s2 => {
                    &["trailing-bytes", "malformed"]
                }
                _ => &["trailing-bytes"],
            };
            assert!(expected.contains(&word), "{form:?} and {} bytes: {word}", extra.len());
        }
    }
}

/// The sizes at which a format begins another piece of whatever kind, and their neighbours.
#[test]
fn at_every_edge_it_comes_back_and_its_last_bytes_are_authenticated() {
    let small = [0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 190, 191, 192, 193, 447, 448, 449];
    let edges =
        [511, 512, 513, 8383, 8384, 8385, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073];
    let pieces = [PIECE_BYTES - 16, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES];
    for form in FORMS {
        let lock = Lock::new(form);
        let is_object = matches!(form, Form::S3ec2 | Form::S3ec3);
        let pieces = pieces.into_iter().filter(|_| is_object);
        let all = small.into_iter().chain(edges).chain(pieces);
        for length in all.step_by(if form == Form::S3s2 { 4 } else { 1 }) {
            let sealed = lock.seal(ramp(length));
            assert_eq!(lock.word("unchanged", &sealed.bytes, &sealed), None, "{form:?} {length}");
            // age then looks for the reason among thousands of places where the chunk might belong.
            if length > 600 && length % 512 != 0 {
                continue;
            }
            let text = matches!(form, Form::AgeArmored | Form::OpenPgpArmored | Form::S3s2);
            let mut changed = sealed.bytes.clone();
            let last = changed.len() - if text { 60 } else { 1 };
            changed[last] ^= 1;
            assert!(lock.word("last", &changed, &sealed).is_some(), "{form:?} {length}");
        }
    }
}

/// Everything that lies beside an object, byte by byte: in its metadata and in an instruction file.
#[test]
fn what_lies_beside_an_object_is_held_to_the_same() {
    for form in [Form::S3ec2, Form::S3ec3] {
        let lock = Lock::new(form);
        let sealed = lock.seal(ramp(100));
        let header = sealed.header.as_ref().unwrap();
        let lines = |pairs: Pairs| -> String {
            pairs.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
        };
        let object = lines(header.to_metadata().unwrap());
        let beside = lines(header.to_metadata_beside_instruction_file());
        let file = header.to_instruction_file();
        for text in [&object, &beside, &file] {
            for at in 0..text.len() {
                for mask in [0x01, 0x04, 0x20] {
                    let mut changed = text.clone().into_bytes();
                    changed[at] ^= mask;
                    // S3 keeps text alone.
                    let Ok(changed) = String::from_utf8(changed) else { continue };
                    let opened = if text == &object {
                        open_beside(&lock, &changed, None, &sealed)
                    } else if text == &beside {
                        open_beside(&lock, &changed, Some(&file), &sealed)
                    } else {
                        open_beside(&lock, &beside, Some(&changed), &sealed)
                    };
                    match opened {
                        Ok(opened) => assert!(opened == sealed.plain, "{form:?} {at}"),
                        Err(error) => {
                            let word = error.kind().word();
                            let may = ["tampered", "unknown-format", "not-for-you", "weak-format"];
                            assert!(may.contains(&word), "{form:?} {at} {changed}: {error:?}");
                        }
                    }
                }
            }
        }
    }
}

fn open_beside(
    lock: &Lock,
    metadata: &str,
    file: Option<&str>,
    sealed: &Sealed,
) -> Result<Vec<u8>, Error> {
    let Key::S3ec(_, wrapping) = &lock.key else { unreachable!("objects only") };
    let pairs = metadata.lines().filter_map(|line| line.split_once('='));
    let header = match (read_metadata(pairs)?, file) {
        (MetadataRead::Header(header), _) => header,
        (MetadataRead::Pending(pending), Some(file)) => {
            pending.with_instruction_file(file.as_bytes())?
        }
        (MetadataRead::Pending(pending), None) => return Err(pending.without_instruction_file()),
    };
    let policy = anything();
    let admitted = header.admit(&policy)?;
    admitted.open(&wrapping.unwrap(&admitted.wanted())?)?.open_all(sealed.bytes.clone())
}

/// A source that is another the second time it is read from its start.
struct Changing {
    first: Cursor<Vec<u8>>,
    second: Cursor<Vec<u8>>,
    rewound: bool,
}

impl Read for Changing {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.rewound { self.second.read(out) } else { self.first.read(out) }
    }
}

impl std::io::Seek for Changing {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.rewound |= to == std::io::SeekFrom::Start(0);
        if self.rewound { self.second.seek(to) } else { self.first.seek(to) }
    }
}

#[test]
fn a_message_that_changes_between_two_readings_gives_nothing_else() {
    let key = SecretKey::generate(KeyKind::Curve25519, "globex", NOW - 9).unwrap();
    let seal = |plain: &[u8]| {
        openpgp::seal_all(&[key.certificate()], plain, &SealOptions::at(NOW)).unwrap()
    };
    for length in [100, 1 << 20, (5 << 20) / 2] {
        let plain = ramp(length);
        let good = seal(&plain);
        // Another message for the same key opens by itself; a flipped byte near the end is not seen
        // before the end.
        let mut flipped = good.clone();
        let last = flipped.len() - 40;
        flipped[last] ^= 1;
        let longer = [good.as_slice(), b"more"].concat();
        let cut = good[..good.len() - 1].to_vec();
        for changed in [seal(&ramp(length + 1)), seal(b"x"), flipped, longer, cut, Vec::new()] {
            let source = Changing {
                first: Cursor::new(good.clone()),
                second: Cursor::new(changed),
                rewound: false,
            };
            let mut given = Vec::new();
            let keys = std::slice::from_ref(&key);
            let error = openpgp::OpenReader::new(keys, &[], source, &OpenOptions::at(NOW))
                .and_then(|mut reader| reader.read_to_end(&mut given).map_err(Error::from_io))
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tampered, "{error}");
            assert!(plain.starts_with(&given));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any size near an edge, any byte of the content: the same word everywhere.
    #[test]
    fn in_the_content_of_any_size_there_is_one_word(
        form in prop::sample::select(
            &[Form::Age, Form::OpenPgp1, Form::OpenPgp2, Form::S3ec2, Form::S3ec3][..]
        ),
        chunks in 0usize..3,
        offset in -20i64..20,
        place: prop::sample::Index,
        mask in 1u8..,
    ) {
        // Of age, more is in age_damage.rs: each refusal of a whole chunk looks for its reason.
        let chunks = if form == Form::Age { 0 } else { chunks };
        let length = usize::try_from((chunks * 65_536) as i64 + offset).unwrap_or_default();
        let lock = Lock::new(form);
        let sealed = lock.seal(ramp(length));
        let mut changed = sealed.bytes.clone();
        // The content's last kilobyte is framed once, if at all.
        let tail = length.min(900) + 16;
        let at = changed.len() - 1 - place.index(tail);
        changed[at] ^= mask;
        prop_assert_eq!(lock.word("content", &changed, &sealed), Some("tampered"));
    }
}
