//! The public age test vectors (C2SP/CCTV): one fault a file, each with the failure it must give
//! and the digest of all plaintext that may be released before it.
//!
//! The folder is walked, so a new vector is a new test; none is left out.

use std::io::Read;
use std::path::Path;

use crate::common::{hex_sha256, judge, node_package, shared};
use consign_seal::age::{self, ArmorReader, HeaderRead, Identity, Passphrase};
use consign_seal::{Error, ErrorKind};
use zeroize::Zeroizing;

/// How a vector may end, in the words of its `expect` line.
#[derive(Debug, PartialEq)]
enum Outcome {
    Success,
    NoMatch,
    Hmac,
    Header,
    Armor,
    Payload,
}

struct Vector {
    expect: String,
    payload: Option<String>,
    identities: Vec<String>,
    passphrases: Vec<String>,
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
            passphrases: Vec::new(),
            armored: false,
            file: bytes[split + 2..].to_vec(),
        };
        for line in std::str::from_utf8(&bytes[..split]).expect("text").lines() {
            let (key, value) = line.split_once(": ").expect("key: value");
            match key {
                "expect" => vector.expect = value.to_owned(),
                "payload" => vector.payload = Some(value.to_owned()),
                "identity" => vector.identities.push(value.to_owned()),
                "passphrase" => vector.passphrases.push(value.to_owned()),
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
        // A file that ends here may still be for somebody else.
        let nonce = binary[length..].first_chunk::<16>().copied();
        if let Err(error) = header.open(identities, &nonce.unwrap_or_default()) {
            let outcome = match error.kind() {
                ErrorKind::NotForYou | ErrorKind::WrongPassphrase => Outcome::NoMatch,
                ErrorKind::Tampered => Outcome::Hmac,
                ErrorKind::Header => Outcome::Header,
                other => panic!("{other:?} is no failure of a header"),
            };
            return (outcome, Vec::new(), Some(error));
        }
        let mut released = Vec::new();
        let mut reader = match age::OpenReader::new(self.file.as_slice(), identities) {
            Ok(reader) => reader,
            Err(error) => {
                assert!(nonce.is_none(), "{error}");
                return (Outcome::Header, released, Some(error));
            }
        };
        match reader.read_to_end(&mut released) {
            Ok(_) => (Outcome::Success, released, None),
            Err(error) => (Outcome::Payload, released, Some(Error::from_io(error))),
        }
    }
}

fn check(name: &str, vector: &Vector) {
    let mut identities: Vec<Identity> = vector
        .identities
        .iter()
        .map(|text| Identity::parse(text).unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect();
    for text in &vector.passphrases {
        let passphrase = Passphrase::new(Zeroizing::new(text.clone())).expect(name);
        identities.push(Identity::Passphrase(passphrase));
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
}

#[test]
fn every_vector_ends_as_it_says() {
    let Some(folder) = shared("vectors/age") else {
        eprintln!("SKIPPED every_vector_ends_as_it_says: shared/vectors/age is not here");
        return;
    };
    let run = check_all(&folder);
    assert!(run >= 97, "only {run} vectors were found");
}

/// The same kit as its authors publish it on npm (`cctv-age`): it has more vectors, most of them
/// post-quantum, and grows.
#[test]
fn every_published_vector_ends_as_it_says() {
    let (Some(node), Some(package)) = (judge("node"), node_package("cctv-age")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let script = "const vectors = require(process.argv[1]); const fs = require('fs'); \
                  for (const name in vectors) fs.writeFileSync(process.argv[2] + '/' + name, vectors[name]);";
    let status = std::process::Command::new(node)
        .args(["-e", script])
        .args([&package, folder.path()])
        .status()
        .expect("node starts");
    assert!(status.success());
    let run = check_all(folder.path());
    assert!(run >= 140, "only {run} vectors were found");
}

fn check_all(folder: &Path) -> usize {
    let paths = files(folder);
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        check(&name, &Vector::parse(&std::fs::read(path).expect(&name)));
    }
    eprintln!("{} vectors ended as they say", paths.len());
    paths.len()
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
