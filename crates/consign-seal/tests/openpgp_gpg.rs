//! GnuPG judges the OpenPGP seal, in both directions. Skips visibly where it is missing.

#![cfg(feature = "openpgp")]

use std::io::{Cursor, Read, Write};

use crate::common::gpg::{Gpg, KINDS, now};
use crate::common::ramp;
use consign_seal::ErrorKind;
use consign_seal::openpgp::{
    self, Certificate, KeyKind, OpenOptions, OpenReader, SealOptions, SealWriter, SecretKey,
};

/// Around the edges of pieces, of held-back bytes and of what is decrypted at once.
const LENGTHS: [usize; 12] =
    [0, 1, 21, 22, 23, 191, 8383, 65_535, 65_536, 65_537, 131_072, 1_000_003];

#[test]
fn gpg_opens_what_we_seal_for_keys_of_every_kind() {
    let Some(gpg) = Gpg::new() else { return };
    for (name, lines) in KINDS {
        gpg.generate(name, lines);
    }
    let everybody: Vec<Certificate> = KINDS.map(|(name, _)| gpg.certificate(name)).into();
    for (place, length) in LENGTHS.into_iter().enumerate() {
        let plain = ramp(length);
        let options =
            SealOptions { armor: place % 2 == 0, file_name: "scan.dcm", ..SealOptions::at(now()) };
        let to = place % everybody.len();
        let sealed = openpgp::seal_all(&everybody[to..=to], &plain, &options).unwrap();
        assert!(gpg.succeed(&["--decrypt"], &sealed) == plain, "{length} bytes to {to}");
        let sealed = openpgp::seal_all(&everybody, &plain, &options).unwrap();
        assert!(gpg.succeed(&["--decrypt"], &sealed) == plain, "{length} bytes to all");
    }
}

#[test]
fn we_open_what_gpg_seals_for_keys_of_every_kind() {
    let Some(gpg) = Gpg::new() else { return };
    for (name, lines) in KINDS {
        gpg.generate(name, lines);
    }
    let keys: Vec<SecretKey> = KINDS.map(|(name, _)| gpg.secret(name)).into();
    let options = OpenOptions::at(now());
    let ways: [&[&str]; 6] = [
        &[],
        &["--armor"],
        &["--compress-algo", "none"],
        &["--compress-algo", "zip"],
        &["--compress-algo", "bzip2"],
        &["--cipher-algo", "TWOFISH", "--armor"],
    ];
    for (place, length) in LENGTHS.into_iter().enumerate() {
        let plain = ramp(length);
        let to = KINDS[place % KINDS.len()].0;
        let mut arguments = vec!["--encrypt", "--recipient", to];
        arguments.extend(ways[place % ways.len()]);
        let sealed = gpg.succeed(&arguments, &plain);
        let opened = openpgp::open_all(&keys, &[], &sealed, &options).unwrap();
        assert!(opened.plain == plain, "{length} bytes to {to}");
        let mut streamed = Vec::new();
        let mut reader = OpenReader::new(&keys, &[], Cursor::new(&sealed), &options).unwrap();
        reader.read_to_end(&mut streamed).unwrap();
        assert!(streamed == plain, "{length} bytes to {to}, streamed");
        streamed.clear();
        let spool = Cursor::new(Vec::new());
        OpenReader::spooled(&keys, &[], sealed.as_slice(), spool, &options)
            .unwrap()
            .read_to_end(&mut streamed)
            .unwrap();
        assert!(streamed == plain, "{length} bytes to {to}, spooled");
    }
}

#[test]
fn signatures_count_in_both_directions() {
    let Some(gpg) = Gpg::new() else { return };
    for (name, lines) in KINDS {
        gpg.generate(name, lines);
    }
    let ours = SecretKey::generate(KeyKind::Curve25519, "consign", now()).unwrap();
    gpg.import(ours.to_armored(None).unwrap().as_bytes());
    let text = b"one line\nanother\r\nand a last".to_vec();
    for (name, _) in KINDS {
        for mode in [None, Some("--textmode")] {
            let mut arguments = vec!["--encrypt", "--recipient", "consign", "--local-user", name];
            arguments.push("--sign");
            arguments.extend(mode);
            let sealed = gpg.succeed(&arguments, &text);
            let signers = [gpg.certificate(name)];
            let options = OpenOptions::at(now());
            let keys = std::slice::from_ref(&ours);
            let opened = openpgp::open_all(keys, &signers, &sealed, &options).unwrap();
            assert_eq!(opened.signed_by, Some(signers[0].fingerprint()), "{name}");
            assert!(opened.signed_at.is_some());
            let stranger = SecretKey::generate(KeyKind::Curve25519, "x", now()).unwrap();
            let refused = openpgp::open_all(keys, &[stranger.certificate()], &sealed, &options);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::WrongSigner);
        }
        let signer = gpg.secret(name);
        let options = SealOptions { signer: Some(&signer), ..SealOptions::at(now()) };
        let sealed = openpgp::seal_all(&[gpg.certificate(name)], &text, &options).unwrap();
        let words = gpg.succeed(&["--status-fd", "1", "--output", "-", "--decrypt"], &sealed);
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(words.contains("[GNUPG:] GOODSIG"), "{name}: {words}");
    }
    let unsigned = gpg.succeed(&["--encrypt", "--recipient", "consign"], &text);
    let signers = [gpg.certificate("rsa2048")];
    let refused = openpgp::open_all(&[ours], &signers, &unsigned, &OpenOptions::at(now()));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::WrongSigner);
}

#[test]
fn keys_made_here_work_in_gpg_and_passphrases_both_ways() {
    let Some(gpg) = Gpg::new() else { return };
    for (kind, name) in [(KeyKind::Curve25519, "ours-25519"), (KeyKind::Rsa4096, "ours-rsa")] {
        let key = SecretKey::generate(kind, name, now()).unwrap();
        gpg.import(key.to_armored(Some("correct horse")).unwrap().as_bytes());
        let sealed = gpg.succeed(&["--encrypt", "--recipient", name], b"to consign");
        let options = OpenOptions::at(now());
        let opened = openpgp::open_all(std::slice::from_ref(&key), &[], &sealed, &options);
        assert_eq!(opened.unwrap().plain, b"to consign");
        let sealed =
            openpgp::seal_all(&[key.certificate()], b"to gpg", &SealOptions::at(now())).unwrap();
        let opened = gpg.succeed(&["--passphrase", "correct horse", "--decrypt"], &sealed);
        assert_eq!(opened, b"to gpg");

        let exported = gpg.succeed(
            &["--passphrase", "correct horse", "--armor", "--export-secret-keys", name],
            b"",
        );
        let mut locked = SecretKey::parse(&exported).unwrap().remove(0);
        assert!(locked.is_locked());
        let keys = std::slice::from_ref(&locked);
        let refused = openpgp::open_all(keys, &[], &sealed, &options).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NeedsPassphrase);
        assert_eq!(locked.unlock("battery").unwrap_err().kind(), ErrorKind::WrongPassphrase);
        locked.unlock("correct horse").unwrap();
        assert!(!locked.is_locked());
        let opened = openpgp::open_all(&[locked], &[], &sealed, &options).unwrap();
        assert_eq!(opened.plain, b"to gpg");
    }
}

#[test]
fn hidden_recipients_are_tried_and_strangers_refused() {
    let Some(gpg) = Gpg::new() else { return };
    for (name, lines) in &KINDS[..3] {
        gpg.generate(name, lines);
    }
    let keys: Vec<SecretKey> = KINDS[..3].iter().map(|(name, _)| gpg.secret(name)).collect();
    let arguments = ["--encrypt", "--hidden-recipient", "rsa2048", "--hidden-recipient", "cv25519"];
    let sealed = gpg.succeed(&arguments, b"x");
    for key in &keys {
        let opened =
            openpgp::open_all(std::slice::from_ref(key), &[], &sealed, &OpenOptions::at(now()));
        if key.fingerprint() == keys[1].fingerprint() {
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotForYou);
        } else {
            assert_eq!(opened.unwrap().plain, b"x");
        }
    }
    let described = openpgp::describe(&sealed).unwrap();
    assert_eq!(described.recipients.len(), 2);
    assert!(described.recipients.iter().all(|recipient| recipient.key.is_none()));
    assert_eq!((described.container, described.passphrases), ("SEIPDv1", 0));

    let arguments = ["--symmetric", "--passphrase", "x"];
    let sealed = gpg.succeed(&arguments, b"x");
    let refused = openpgp::open_all(&keys, &[], &sealed, &OpenOptions::at(now())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NeedsPassphrase);
}

#[test]
fn weak_forms_of_gpg_are_refused_and_opened_behind_the_switch() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.generate(KINDS[0].0, KINDS[0].1);
    let keys = [gpg.secret("rsa2048")];
    let forms: [&[&str]; 5] = [
        &["--cipher-algo", "3DES", "--allow-old-cipher-algos"],
        &["--cipher-algo", "CAST5", "--allow-old-cipher-algos"],
        &["--cipher-algo", "BLOWFISH", "--allow-old-cipher-algos"],
        &["--cipher-algo", "IDEA", "--allow-old-cipher-algos"],
        &["--rfc2440", "--allow-old-cipher-algos"],
    ];
    for form in forms {
        let mut arguments = vec!["--encrypt", "--recipient", "rsa2048"];
        arguments.extend(form.iter().filter(|word| !word.starts_with("--allow")));
        let sealed = gpg.succeed(&arguments, &ramp(100_000));
        let mut options = OpenOptions::at(now());
        let refused = openpgp::open_all(&keys, &[], &sealed, &options);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Weak, "{form:?}");
        options.allow_weak = true;
        let opened = openpgp::open_all(&keys, &[], &sealed, &options).unwrap();
        assert!(opened.plain == ramp(100_000), "{form:?}");
    }
    let arguments = ["--sign", "--encrypt", "--recipient", "rsa2048", "--digest-algo", "SHA1"];
    let sealed = gpg.succeed(&arguments, b"x");
    let signers = [gpg.certificate("rsa2048")];
    let mut options = OpenOptions::at(now());
    let refused = openpgp::open_all(&keys, &signers, &sealed, &options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Weak);
    options.allow_weak = true;
    assert_eq!(openpgp::open_all(&keys, &signers, &sealed, &options).unwrap().plain, b"x");
}

#[test]
fn keyrings_hold_many_and_mixtures_are_refused() {
    let Some(gpg) = Gpg::new() else { return };
    for (name, lines) in &KINDS[..3] {
        gpg.generate(name, lines);
    }
    for arguments in [vec!["--export"], vec!["--export", "--armor"]] {
        let keyring = gpg.succeed(&arguments, b"");
        assert_eq!(Certificate::parse(&keyring).unwrap().len(), 3);
        assert_eq!(SecretKey::parse(&keyring).unwrap_err().kind(), ErrorKind::BadKey);
    }
    let one = gpg.succeed(&["--export", "--armor", "rsa2048"], b"");
    let two = gpg.succeed(&["--export", "--armor", "cv25519"], b"");
    let both = [one.as_slice(), b"\n", &two].concat();
    let found = Certificate::parse(&both).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].user_ids(), ["rsa2048"]);
    let fingerprint = found[1].fingerprint();
    let pinned = openpgp::pinned(found.clone(), &fingerprint.to_lowercase()).unwrap();
    assert_eq!(pinned.fingerprint(), fingerprint);
    let wrong = openpgp::pinned(found.clone(), &"AB".repeat(20)).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::WrongSigner);
    let short = openpgp::pinned(found, &fingerprint[24..]).unwrap_err();
    assert_eq!(short.kind(), ErrorKind::Usage);
    let secret = gpg.succeed(&["--export-secret-keys", "--armor", "rsa2048"], b"");
    let refused = Certificate::parse(&secret).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BadKey);
    assert!(refused.to_string().contains("secret key"), "{refused}");
    assert_eq!(SecretKey::parse(&secret).unwrap().len(), 1);
    let keys = SecretKey::parse(&gpg.succeed(&["--export-secret-keys"], b"")).unwrap();
    assert_eq!(keys.len(), 3);
}

#[test]
fn a_hundred_megabytes_pass_in_both_directions() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.generate(KINDS[2].0, KINDS[2].1);
    let plain = ramp(100 << 20);
    let certificate = gpg.certificate("cv25519");
    let mut writer = SealWriter::new(Vec::new(), &[certificate], &SealOptions::at(now())).unwrap();
    writer.write_all(&plain).unwrap();
    let sealed = writer.finish().unwrap();
    assert!(gpg.succeed(&["--decrypt"], &sealed) == plain);
    let keys = [gpg.secret("cv25519")];
    for way in ["none", "zlib"] {
        let arguments = ["--encrypt", "--recipient", "cv25519", "--compress-algo", way];
        let sealed = gpg.succeed(&arguments, &plain);
        let options = OpenOptions::at(now());
        let mut reader = OpenReader::new(&keys, &[], Cursor::new(&sealed), &options).unwrap();
        let (mut place, mut piece) = (0, vec![0u8; 1 << 20]);
        loop {
            let count = reader.read(&mut piece).unwrap();
            if count == 0 {
                break;
            }
            assert!(piece[..count] == plain[place..place + count], "{way} at {place}");
            place += count;
        }
        assert_eq!(place, plain.len(), "{way}");
    }
}
