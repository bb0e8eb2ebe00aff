//! Sequoia judges the OpenPGP seal: `sq` of Debian for what everybody has, pysequoia (Sequoia 2)
//! for version 6 keys and version 2 containers. Skips visibly where they are missing.

#![cfg(feature = "openpgp")]

use std::path::PathBuf;
use std::process::Command;

use crate::common::gpg::{now, run, succeed};
use crate::common::{judge, python_with, ramp};
use consign_seal::openpgp::{self, Certificate, KeyKind, OpenOptions, SealOptions, SecretKey};

const LENGTHS: [usize; 8] = [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_003, 20 << 20];

struct Sequoia {
    python: PathBuf,
    folder: tempfile::TempDir,
}

impl Sequoia {
    fn new() -> Option<Sequoia> {
        Some(Sequoia { python: python_with("pysequoia")?, folder: tempfile::tempdir().unwrap() })
    }

    fn call(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/openpgp/sequoia.py");
        succeed(Command::new(&self.python).arg(script).args(arguments), input)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn sequoia_2_and_we_open_each_others_messages_of_every_kind() {
    let Some(sequoia) = Sequoia::new() else { return };
    let kinds = [
        ("RFC9580", "Cv25519", "SEIPDv2"),
        ("RFC9580", "P384", "SEIPDv2"),
        ("RFC9580", "RSA3k", "SEIPDv2"),
        ("RFC9580", "Cv448", "SEIPDv2"),
        // Version 4 keys that say that they read version 2.
        ("RFC4880", "Cv25519", "SEIPDv2"),
        ("RFC4880", "P256", "SEIPDv2"),
    ];
    for (place, (profile, suite, container)) in kinds.into_iter().enumerate() {
        let secret = sequoia.call(&["generate", profile, suite], b"");
        let theirs = sequoia.file("theirs", &secret);
        let key = SecretKey::parse(&secret).unwrap().remove(0);
        let exported = sequoia.call(&["certificate", &theirs], b"");
        let certificate = Certificate::parse(&exported).unwrap().remove(0);
        assert_eq!(certificate.fingerprint(), key.fingerprint());
        let at = now() + 1;
        let length = LENGTHS[place];
        let plain = ramp(length);

        let options = SealOptions { signer: Some(&key), ..SealOptions::at(at) };
        let sealed =
            openpgp::seal_all(std::slice::from_ref(&certificate), &plain, &options).unwrap();
        let described = openpgp::describe(&sealed).unwrap();
        assert_eq!(described.container, container, "{profile} {suite}");
        let public = sequoia.file("public", &exported);
        let opened = sequoia.call(&["decrypt", &theirs, &public], &sealed);
        assert!(opened == plain, "{profile} {suite} {length}");

        let sealed = sequoia.call(&["encrypt", &public, &theirs], &plain);
        let described = openpgp::describe(&sealed).unwrap();
        assert_eq!(described.container, container, "{profile} {suite}");
        let signers = [certificate];
        let opened = openpgp::open_all(&[key], &signers, &sealed, &OpenOptions::at(at)).unwrap();
        assert!(opened.plain == plain, "{profile} {suite} {length}");
        assert_eq!(opened.signed_by, Some(signers[0].fingerprint()));
    }
}

#[test]
fn sequoia_2_reads_every_kind_of_key_made_here() {
    let Some(sequoia) = Sequoia::new() else { return };
    for kind in [KeyKind::Curve25519, KeyKind::Curve25519V6, KeyKind::Rsa4096] {
        let key = SecretKey::generate(kind, "consign", now()).unwrap();
        let ours = sequoia.file("ours", key.to_armored(None).unwrap().as_bytes());
        let armored = key.certificate().to_armored().unwrap();
        let public = sequoia.file("public", armored.as_bytes());
        for length in LENGTHS {
            let plain = ramp(length);
            let options = SealOptions { signer: Some(&key), ..SealOptions::at(now()) };
            let sealed = openpgp::seal_all(&[key.certificate()], &plain, &options).unwrap();
            assert!(sequoia.call(&["decrypt", &ours, &public], &sealed) == plain, "{kind:?}");
            let sealed = sequoia.call(&["encrypt", &public, &ours], &plain);
            let signers = [key.certificate()];
            let options = OpenOptions::at(now() + 1);
            let keys = std::slice::from_ref(&key);
            let opened = openpgp::open_all(keys, &signers, &sealed, &options).unwrap();
            assert!(opened.plain == plain, "{kind:?} {length}");
        }
    }
}

#[test]
fn the_container_is_the_best_that_all_recipients_read() {
    let v4 = SecretKey::generate(KeyKind::Curve25519, "v4", now()).unwrap();
    let v6 = SecretKey::generate(KeyKind::Curve25519V6, "v6", now()).unwrap();
    let (old, new) = (v4.certificate(), v6.certificate());
    for (recipients, container, cipher) in [
        (vec![new.clone()], "SEIPDv2", Some("AES256-GCM")),
        (vec![old.clone()], "SEIPDv1", None),
        (vec![old, new], "SEIPDv1", None),
    ] {
        let sealed = openpgp::seal_all(&recipients, b"x", &SealOptions::at(now())).unwrap();
        let described = openpgp::describe(&sealed).unwrap();
        assert_eq!((described.container, described.cipher.as_deref()), (container, cipher));
        assert_eq!(described.recipients.len(), recipients.len());
        for key in [&v4, &v6] {
            let keys = std::slice::from_ref(key);
            let opened = openpgp::open_all(keys, &[], &sealed, &OpenOptions::at(now()));
            let is_for = recipients.iter().any(|c| c.fingerprint() == key.fingerprint());
            assert_eq!(opened.is_ok(), is_for);
        }
    }
}

#[test]
fn sq_and_we_open_each_others_messages() {
    let Some(sq) = judge("sq") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for suite in ["cv25519", "rsa3k"] {
        let (secret, public) = (path("secret"), path("public"));
        let arguments = ["--force", "key", "generate", "--cipher-suite", suite, "--userid", "sq"];
        succeed(Command::new(&sq).args(arguments).args(["--export", &secret]), b"");
        let arguments = ["--force", "key", "extract-cert", "--output", &public, &secret];
        succeed(Command::new(&sq).args(arguments), b"");
        let key = SecretKey::parse(&std::fs::read(&secret).unwrap()).unwrap().remove(0);
        let recipients = Certificate::parse(&std::fs::read(&public).unwrap()).unwrap();
        for length in LENGTHS {
            let plain = ramp(length);
            let at = now() + 1;
            let options = SealOptions { signer: Some(&key), armor: true, ..SealOptions::at(now()) };
            let sealed = openpgp::seal_all(&recipients, &plain, &options).unwrap();
            let arguments = ["decrypt", "--recipient-key", &secret, "--signer-cert", &public];
            assert!(succeed(Command::new(&sq).args(arguments), &sealed) == plain, "{length}");
            let arguments =
                ["encrypt", "--recipient-cert", &public, "--signer-key", &secret, "--binary"];
            let sealed = succeed(Command::new(&sq).args(arguments), &plain);
            let keys = std::slice::from_ref(&key);
            let opened = openpgp::open_all(keys, &recipients, &sealed, &OpenOptions::at(at));
            assert!(opened.unwrap().plain == plain, "{suite} {length}");
        }
        let mut damaged =
            openpgp::seal_all(&recipients, &ramp(1000), &SealOptions::at(now())).unwrap();
        let place = damaged.len() - 200;
        damaged[place] ^= 1;
        let arguments = ["decrypt", "--recipient-key", &secret];
        assert!(!run(Command::new(&sq).args(arguments), &damaged).status.success());
    }
}
