//! Keys of the S3 Encryption Client formats that a party holds itself, and rewrapping. Judged by
//! Python's `cryptography`, with which a script does what Amazon's clients for Java and Ruby do.

use crate::common::{self, s3ec};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::ramp;
use crate::common::s3ec::{
    WRITTEN, anything, assert_does_not_open, header, opener, pairs, policy_for, rsa,
};
use consign_seal::s3ec::{
    AesKey, DataKey, KeyRequest, MetadataRead, Pairs, RsaPrivateKey, RsaPublicKey, Sealer, Suite,
    WrappedKey, read_metadata,
};
use consign_seal::{Error, ErrorKind};

/// Content whose last block is full, so that padding takes a block of its own, and content whose is not.
const LENGTHS: [usize; 5] = [0, 1, 16, 100, 70_000];

/// Python with `cryptography`, from where `cargo xtask judges` puts it.
fn python() -> Option<PathBuf> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin/python");
    let python = if judges.is_file() { judges } else { common::judge("python3")? };
    let has = Command::new(&python).args(["-c", "import cryptography"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let thread = std::thread::current();
    eprintln!("SKIPPED {}: Python's cryptography is missing", thread.name().unwrap_or("a test"));
    None
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(wrapping: &AesKey) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("aes.key", wrapping.to_secret_bytes().as_slice());
        folder.write("rsa.pem", include_bytes!("../testdata/s3ec/rsa-2048.pem"));
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).unwrap()
    }

    fn script(&self, python: &Path, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/s3ec/raw_keyrings.py");
        let output =
            Command::new(python).arg(script).arg(self.0.path()).args(arguments).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {words}");
    }
}

fn open(metadata: &Pairs, sealed: Vec<u8>, aes: &AesKey) -> Result<Vec<u8>, Error> {
    let header = header(metadata)?;
    let policy = anything();
    let admitted = header.admit(&policy)?;
    let key = match admitted.wanted() {
        KeyRequest::Rsa { .. } => rsa().unwrap(&admitted.wanted())?,
        _ => aes.unwrap(&admitted.wanted())?,
    };
    admitted.open(&key)?.open_all(sealed)
}

#[test]
fn we_open_what_the_judge_seals() {
    let Some(python) = python() else { return };
    let wrapping = AesKey::generate().unwrap();
    let folder = Folder::new(&wrapping);
    let kinds = [
        "v1-aes",
        "v1-rsa",
        "v2-cbc-aeswrap",
        "v2-aes",
        "v2-aeswrap",
        "v2-rsa",
        "v3-aes",
        "v3-rsa",
    ];
    for kind in kinds {
        for length in LENGTHS {
            let plain = ramp(length);
            folder.write("plain", &plain);
            folder.script(&python, &["seal", kind]);
            let metadata: Pairs = serde_json::from_slice(&folder.read("metadata")).unwrap();
            let sealed = folder.read("sealed");
            assert!(open(&metadata, sealed, &wrapping).unwrap() == plain, "{kind} {length}");
        }
    }
}

#[test]
fn the_judge_opens_what_we_seal() {
    let Some(python) = python() else { return };
    let wrapping = AesKey::generate().unwrap();
    let folder = Folder::new(&wrapping);
    for suite in WRITTEN {
        for length in LENGTHS {
            let key = DataKey::generate().unwrap();
            let about = pairs(&[("key", "2026-a")]);
            for wrapped in [
                wrapping.wrap(suite, &key, &about).unwrap(),
                rsa().public_key().wrap(suite, &key, &about).unwrap(),
            ] {
                let sealer = Sealer::new(policy_for(suite), &key, wrapped).unwrap();
                let plain = ramp(length);
                folder.write("sealed", &sealer.seal_all(plain.clone()).unwrap());
                let metadata = sealer.header().to_metadata().unwrap();
                folder.write("metadata", &serde_json::to_vec(&metadata).unwrap());
                folder.script(&python, &["open"]);
                assert!(folder.read("plain") == plain, "{suite} {length}");
            }
        }
    }
}

/// Padding is all that tells CBC of another key from the right one, so a wrong key may now and then
/// "open": never as the content, and never with another error.
#[test]
fn changed_cbc_content_is_one_error_or_other_content() {
    let Some(python) = python() else { return };
    let wrapping = AesKey::generate().unwrap();
    let folder = Folder::new(&wrapping);
    let plain = ramp(33);
    folder.write("plain", &plain);
    folder.script(&python, &["seal", "v2-cbc-aeswrap"]);
    let metadata: Pairs = serde_json::from_slice(&folder.read("metadata")).unwrap();
    let sealed = folder.read("sealed");
    let mut refused = 0;
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 0x20;
        match open(&metadata, changed, &wrapping) {
            Ok(opened) => assert!(opened != plain),
            Err(error) => {
                refused += 1;
                assert_does_not_open::<()>(Err(error), &format!("byte {at}"));
            }
        }
    }
    assert!(refused > 0);
    for cut in (0..sealed.len()).filter(|cut| cut % 16 != 0 || *cut == 0) {
        assert_does_not_open(open(&metadata, sealed[..cut].to_vec(), &wrapping), "cut");
    }
}

#[test]
fn a_wrapped_key_that_changed_anywhere_does_not_unwrap() {
    let (wrapping, key) = (AesKey::generate().unwrap(), DataKey::generate().unwrap());
    for suite in WRITTEN {
        for wrapped in [
            wrapping.wrap(suite, &key, &Pairs::new()).unwrap(),
            rsa().public_key().wrap(suite, &key, &Pairs::new()).unwrap(),
        ] {
            let sealer = Sealer::new(policy_for(suite), &key, wrapped).unwrap();
            let sealed = sealer.seal_all(ramp(10)).unwrap();
            let metadata = sealer.header().to_metadata().unwrap();
            let name = if suite == Suite::Gcm { "x-amz-key-v2" } else { "x-amz-3" };
            let encoded = metadata[name].clone().into_bytes();
            for at in 0..encoded.len() {
                let mut changed = encoded.clone();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let mut metadata = metadata.clone();
                metadata.insert(name.to_owned(), String::from_utf8(changed).unwrap());
                let opened = open(&metadata, sealed.clone(), &wrapping);
                assert_does_not_open(opened, &format!("{suite} {name} character {at}"));
            }
        }
    }
}

#[test]
fn a_key_of_another_kind_says_so() {
    let (wrapping, key) = (AesKey::generate().unwrap(), DataKey::generate().unwrap());
    let suite = Suite::GcmCommitted;
    let policy = anything();
    let by_aes = wrapping.wrap(suite, &key, &Pairs::new()).unwrap();
    let by_rsa = rsa().public_key().wrap(suite, &key, &Pairs::new()).unwrap();
    let by_kms = WrappedKey::from_kms(suite, vec![1; 100], &Pairs::new()).unwrap();
    let request = |wrapped: WrappedKey, ask: &dyn Fn(&KeyRequest<'_>) -> Result<DataKey, Error>| {
        let sealer = Sealer::new(policy_for(suite), &key, wrapped).unwrap();
        let admitted = sealer.header().admit(&policy).unwrap();
        ask(&admitted.wanted()).unwrap_err()
    };
    for error in [
        request(by_rsa, &|wanted| wrapping.unwrap(wanted)),
        request(by_aes.clone(), &|wanted| rsa().unwrap(wanted)),
        request(by_kms.clone(), &|wanted| wrapping.unwrap(wanted)),
        request(by_kms, &|wanted| rsa().unwrap(wanted)),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotForYou);
    }
    let other = AesKey::generate().unwrap();
    let refused = request(by_aes, &|wanted| other.unwrap(wanted));
    assert_does_not_open::<()>(Err(refused), "another AES key");
}

#[test]
fn a_key_wrapped_for_another_suite_is_refused() {
    let (wrapping, key) = (AesKey::generate().unwrap(), DataKey::generate().unwrap());
    let policy = anything();
    for (from, name, to) in [
        (Suite::Gcm, "x-amz-3", Suite::GcmCommitted),
        (Suite::GcmCommitted, "x-amz-key-v2", Suite::Gcm),
    ] {
        for by_rsa in [false, true] {
            let wrap = |suite| match by_rsa {
                true => rsa().public_key().wrap(suite, &key, &Pairs::new()).unwrap(),
                false => wrapping.wrap(suite, &key, &Pairs::new()).unwrap(),
            };
            let foreign = Sealer::new(policy_for(from), &key, wrap(from)).unwrap();
            let foreign = foreign.header().to_metadata().unwrap();
            let own = Sealer::new(policy_for(to), &key, wrap(to)).unwrap();
            let mut metadata = own.header().to_metadata().unwrap();
            let value =
                foreign.iter().find(|(key, _)| key.contains("-3") || key.contains("key-v2"));
            metadata.insert(name.to_owned(), value.unwrap().1.clone());
            let header = header(&metadata).unwrap();
            let wanted = header.admit(&policy).unwrap().wanted();
            let unwrapped = if by_rsa { rsa().unwrap(&wanted) } else { wrapping.unwrap(&wanted) };
            assert_does_not_open(unwrapped, &format!("{from} as {to}"));
        }
    }
}

#[test]
fn a_data_key_of_another_length_is_refused() {
    for length in [0, 16, 24, 31, 33, 64] {
        assert_does_not_open(DataKey::from_bytes(&vec![1; length]), &format!("{length} bytes"));
    }
}

#[test]
fn cbc_is_never_sealed() {
    let (wrapping, key) = (AesKey::generate().unwrap(), DataKey::generate().unwrap());
    let none = Pairs::new();
    for refused in [
        wrapping.wrap(Suite::Cbc, &key, &none),
        rsa().public_key().wrap(Suite::Cbc, &key, &none),
        WrappedKey::from_kms(Suite::Cbc, vec![1], &none),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[test]
fn an_instruction_file_is_rewrapped_and_the_content_stays() {
    let (old, new) = (AesKey::generate().unwrap(), AesKey::generate().unwrap());
    for suite in WRITTEN {
        let sealer = s3ec::sealer(suite, &old);
        let (plain, beside) = (ramp(1000), sealer.header().to_metadata_beside_instruction_file());
        let sealed = sealer.seal_all(plain.clone()).unwrap();
        let read = |file: &str| match read_metadata(&beside).unwrap() {
            MetadataRead::Pending(pending) => {
                pending.with_instruction_file(file.as_bytes()).unwrap()
            }
            MetadataRead::Header(header) => panic!("{header:?}"),
        };
        let header = read(&sealer.header().to_instruction_file());
        let policy = anything();
        let key = old.unwrap(&header.admit(&policy).unwrap().wanted()).unwrap();

        let rewrapped = header.rewrap(&key, new.wrap(suite, &key, &Pairs::new()).unwrap()).unwrap();
        assert_eq!(rewrapped.to_metadata_beside_instruction_file(), beside);
        let header = read(&rewrapped.to_instruction_file());
        assert!(opener(&header, &new).unwrap().open_all(sealed.clone()).unwrap() == plain);
        assert_does_not_open(opener(&header, &old), "the old key");

        let for_rsa = rsa().public_key().wrap(suite, &key, &Pairs::new()).unwrap();
        let header = read(&header.rewrap(&key, for_rsa).unwrap().to_instruction_file());
        let admitted = header.admit(&policy).unwrap();
        let opened = admitted.open(&rsa().unwrap(&admitted.wanted()).unwrap()).unwrap();
        assert!(opened.open_all(sealed).unwrap() == plain);

        let other = DataKey::generate().unwrap();
        let wrong = header.rewrap(&other, new.wrap(suite, &other, &Pairs::new()).unwrap());
        if suite == Suite::GcmCommitted {
            assert_does_not_open(wrong, "another data key");
        }
        let swapped = if suite == Suite::Gcm { Suite::GcmCommitted } else { Suite::Gcm };
        let refused = header.rewrap(&key, new.wrap(swapped, &key, &Pairs::new()).unwrap());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[test]
fn unreadable_rsa_keys_are_refused() {
    let pem = include_str!("../testdata/s3ec/rsa-2048.pem");
    assert!(RsaPrivateKey::from_pem(pem).is_ok());
    for text in ["", "-----BEGIN PRIVATE KEY-----", &pem.replace("PRIVATE", "PUBLIC"), &pem[..400]]
    {
        assert_eq!(RsaPrivateKey::from_pem(text).unwrap_err().kind(), ErrorKind::BadKey);
        assert_eq!(RsaPublicKey::from_pem(text).unwrap_err().kind(), ErrorKind::BadKey);
    }
}

#[test]
fn keys_print_nothing() {
    let key = DataKey::from_bytes(&[0x41; 32]).unwrap();
    let wrapping = AesKey::from_bytes(&[0x41; 32]);
    let sealer = s3ec::sealer(Suite::Gcm, &wrapping);
    let opener = opener(sealer.header(), &wrapping).unwrap();
    let partial = sealer.seal_part(0, &mut [0; 16]).unwrap();
    let printed = format!("{key:?} {wrapping:?} {opener:?} {partial:?} {:?} {sealer:?}", rsa());
    assert!(!printed.contains("65, 65") && !printed.contains("AAAA"), "{printed}");
    assert!(printed.starts_with("DataKey(****) AesKey(****) Opener(****) Partial(0..16, ****)"));
}
