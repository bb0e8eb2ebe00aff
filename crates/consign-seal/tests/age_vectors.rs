//! The public age test vectors (C2SP/CCTV): one fault a file, each with the failure it must give
//! and the digest of all plaintext that may be released before it.
//!
//! The folder is walked, so a new vector is a new test. What cannot be run is counted and named.

#![allow(clippy::panic, reason = "a vector that cannot be read is a failed test")]

mod common;

use std::io::Read;
use std::path::Path;

use common::{hex_sha256, shared};
use consign_seal::age::{self, ArmorReader, HeaderRead, Identity};
use consign_seal::{Error, ErrorKind};

/// How a vector may end, in the words of its `expect` line.
#[derive(Debug, PartialEq)]
enum Outcome {
    Success,
    NoMatch,
    Hmac,
    Header,
    Armor,
    Payload,
    /// Recognised as sealed with a passphrase, which is not supported.
    Passphrase,
}

struct Vector {
    expect: String,
    payload: Option<String>,
    identities: Vec<String>,
    passphrase: bool,
    armored: bool,
    file: Vec<u8>,
}

impl Vector {
    fn parse(bytes: &[u8]) -> Vector {
        let split = bytes.windows(2).position(|pair| pair == b"\n\n").expect("a header");
        let mut vector = Vector {
            expect: String::new(),
            payload: None,
            identities: Vec::new(),
            passphrase: false,
            armored: false,
            file: bytes[split + 2..].to_vec(),
        };
        for line in std::str::from_utf8(&bytes[..split]).expect("text").lines() {
            let (key, value) = line.split_once(": ").expect("key: value");
            match key {
                "expect" => vector.expect = value.to_owned(),
                "payload" => vector.payload = Some(value.to_owned()),
                "identity" => vector.identities.push(value.to_owned()),
                "passphrase" => vector.passphrase = true,
                "armored" => vector.armored = value == "yes",
                "compressed" => {
                    assert_eq!(value, "zlib");
                    let mut file = Vec::new();
                    flate2::read::ZlibDecoder::new(vector.file.as_slice())
                        .read_to_end(&mut file)
                        .expect("zlib");
                    vector.file = file;
                }
                "file key" | "comment" => {}
                other => panic!("a vector with an unknown field `{other}`"),
            }
        }
        vector
    }

    /// Opens it stage by stage, so that each failure has its place. Returns the released bytes.
    fn run(&self, identities: &[Identity]) -> (Outcome, Vec<u8>, Option<Error>) {
        let mut binary = self.file.clone();
        if self.armored {
            binary.clear();
            if let Err(error) = ArmorReader::new(self.file.as_slice()).read_to_end(&mut binary) {
                return (Outcome::Armor, Vec::new(), Some(Error::from_io(error)));
            }
        }
        let (header, length) = match age::read_header(&binary) {
            Ok(HeaderRead::Done(header, length)) => (header, length),
            Ok(HeaderRead::Need(_)) => {
                return (Outcome::Header, Vec::new(), Some(age::header_ended_early(&binary)));
            }
            Err(error) => return (Outcome::Header, Vec::new(), Some(error)),
        };
        let nonce = binary[length..].first_chunk::<16>().expect("a nonce");
        if let Err(error) = header.open(identities, nonce) {
            let outcome = match error.kind() {
                ErrorKind::NotForYou => Outcome::NoMatch,
                ErrorKind::Tampered => Outcome::Hmac,
                ErrorKind::Header => Outcome::Header,
                ErrorKind::NeedsPassphrase => Outcome::Passphrase,
                other => panic!("{other:?} is no failure of a header"),
            };
            return (outcome, Vec::new(), Some(error));
        }
        let mut released = Vec::new();
        let mut reader = age::OpenReader::new(self.file.as_slice(), identities).expect("opened");
        match reader.read_to_end(&mut released) {
            Ok(_) => (Outcome::Success, released, None),
            Err(error) => (Outcome::Payload, released, Some(Error::from_io(error))),
        }
    }
}

fn check(name: &str, vector: &Vector) -> Result<(), String> {
    let mut identities = Vec::new();
    for text in &vector.identities {
        match Identity::parse(text) {
            Ok(identity) => identities.push(identity),
            Err(error) if error.kind() == ErrorKind::UnsupportedKey => {
                return Err(error.to_string());
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    let (outcome, released, error) = vector.run(&identities);
    let said = error.as_ref().map(ToString::to_string).unwrap_or_default();
    let expected = match vector.expect.as_str() {
        "success" => Outcome::Success,
        "no match" => Outcome::NoMatch,
        "HMAC failure" => Outcome::Hmac,
        "header failure" => Outcome::Header,
        "armor failure" => Outcome::Armor,
        "payload failure" => Outcome::Payload,
        other => panic!("{name}: unknown expectation `{other}`"),
    };
    let needs_passphrase =
        vector.passphrase && matches!(expected, Outcome::Success | Outcome::NoMatch);
    if needs_passphrase && outcome == Outcome::Passphrase {
        assert!(released.is_empty(), "{name}");
        return Err("passphrases are not supported; recognised as one".to_owned());
    }
    assert_eq!(outcome, expected, "{name}: {said}");
    if let Some(digest) = &vector.payload {
        assert_eq!(&hex_sha256(&released), digest, "{name}: {} bytes, {said}", released.len());
    } else {
        assert!(released.is_empty(), "{name}");
    }
    let whole = age::open_all(&identities, &vector.file);
    match expected {
        Outcome::Success => assert_eq!(whole.expect(name), released, "{name}"),
        _ => drop(whole.expect_err(name)),
    }
    Ok(())
}

#[test]
fn every_vector_ends_as_it_says() {
    let Some(folder) = shared("vectors/age") else {
        eprintln!("SKIPPED every_vector_ends_as_it_says: shared/vectors/age is not here");
        return;
    };
    let (mut run, mut skipped) = (0, Vec::new());
    for path in files(&folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let vector = Vector::parse(&std::fs::read(&path).expect(&name));
        match check(&name, &vector) {
            Ok(()) => run += 1,
            Err(reason) => skipped.push(format!("{name} ({reason})")),
        }
    }
    eprintln!("{run} vectors ended as they say");
    for name in &skipped {
        eprintln!("SKIPPED vector {name}");
    }
    assert!(run >= 70, "only {run} vectors were found");
    assert!(skipped.len() <= 10, "{} vectors are skipped", skipped.len());
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of vectors")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file() && path.extension().is_none_or(|end| end != "md"))
        .collect();
    paths.sort();
    paths
}
