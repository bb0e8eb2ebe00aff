//! Every kind of recipient: sealed for it, opened with its identity, refused to everybody else, and
//! never beside what would weaken it.

use std::io::{Read, Write};
use std::process::Command;

use crate::common::{EDGE_LENGTHS, judge, ramp, succeed};
use consign_seal::ErrorKind;
use consign_seal::age::{
    self, FileKey, HeaderRead, Identity, OpenReader, Passphrase, Recipient, SealWriter, Sealer,
    Stanza,
};
use proptest::prelude::*;
use zeroize::Zeroizing;

fn words(text: &str) -> Identity {
    // Work factor 2^4: what is tested is the format, not the cost.
    let words = Zeroizing::new(text.to_owned());
    Identity::Passphrase(Passphrase::with_work_factor(words, 4).unwrap())
}

/// A key of `ssh-keygen` of this type.
fn ssh(kind: &str) -> Option<Identity> {
    let program = judge("ssh-keygen")?;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let mut command = Command::new(program);
    command.args(["-q", "-t", kind, "-N", "", "-C", "of the test", "-f"]).arg(&path);
    succeed(&mut command, b"");
    let text = std::fs::read_to_string(&path).unwrap();
    Some(age::parse_identity_file(&text).unwrap().remove(0))
}

fn every_kind() -> Vec<Identity> {
    let mut all = vec![
        Identity::generate().unwrap(),
        Identity::generate_post_quantum().unwrap(),
        words("correct horse"),
    ];
    all.extend(ssh("ed25519"));
    all.extend(ssh("rsa"));
    all
}

#[test]
fn every_kind_opens_what_was_sealed_for_it_and_nobody_else_does() {
    let kinds = every_kind();
    for (at, identity) in kinds.iter().enumerate() {
        let recipient = identity.to_recipient();
        for length in EDGE_LENGTHS {
            let plain = ramp(length);
            let sealed = age::seal_all(std::slice::from_ref(&recipient), &plain).unwrap();
            assert!(age::open_all(&kinds, &sealed).unwrap() == plain, "{recipient}: {length}");
            let mut writer = SealWriter::new(Vec::new(), std::slice::from_ref(&recipient)).unwrap();
            writer.write_all(&plain).unwrap();
            let streamed = writer.finish().unwrap();
            let mut reader =
                OpenReader::new(streamed.as_slice(), std::slice::from_ref(identity)).unwrap();
            let mut opened = Vec::new();
            reader.read_to_end(&mut opened).unwrap();
            assert!(opened == plain, "{recipient}: {length}");
        }
        let sealed = age::seal_all(&[recipient], b"x").unwrap();
        for (other_at, other) in kinds.iter().enumerate().filter(|(other, _)| *other != at) {
            let refused = age::open_all(std::slice::from_ref(other), &sealed).unwrap_err();
            let expected = match identity {
                Identity::Passphrase(_) => ErrorKind::NeedsPassphrase,
                _ => ErrorKind::NotForYou,
            };
            assert_eq!(refused.kind(), expected, "{at} with {other_at}");
        }
    }
}

#[test]
fn another_key_of_the_same_kind_is_refused() {
    let pairs = [
        (Identity::generate(), Identity::generate()),
        (Identity::generate_post_quantum(), Identity::generate_post_quantum()),
    ];
    for (ours, theirs) in pairs {
        let sealed = age::seal_all(&[theirs.unwrap().to_recipient()], b"x").unwrap();
        let refused = age::open_all(&[ours.unwrap()], &sealed).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotForYou);
    }
    let sealed = age::seal_all(&[words("right").to_recipient()], b"x").unwrap();
    let refused = age::open_all(&[words("wrong")], &sealed).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WrongPassphrase);
}

#[test]
fn keys_of_every_kind_go_round_as_text() {
    for identity in every_kind() {
        let recipient = identity.to_recipient();
        match &identity {
            Identity::Passphrase(_) => assert_eq!(recipient.to_string(), "a passphrase"),
            Identity::Ssh(_) => {
                let line = format!("{recipient} a comment");
                assert_eq!(Recipient::parse(&line).unwrap(), recipient);
            }
            _ => {
                assert_eq!(Recipient::parse(&recipient.to_string()).unwrap(), recipient);
                let again = Identity::parse(&identity.secret_text()).unwrap();
                assert_eq!(again.to_recipient(), recipient);
            }
        }
        let shown = format!("{identity:?} {recipient:?}");
        assert!(!shown.contains("correct horse") && !shown.contains("AGE-SECRET"), "{shown}");
    }
}

#[test]
fn post_quantum_recipients_stand_with_their_like_only() {
    let hybrid = || Identity::generate_post_quantum().unwrap().to_recipient();
    let classic = Identity::generate().unwrap().to_recipient();
    assert!(Sealer::new(&[hybrid(), hybrid()]).is_ok());
    for mixed in [vec![hybrid(), classic.clone()], vec![classic.clone(), hybrid(), hybrid()]] {
        let error = Sealer::new(&mixed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadKey);
        assert!(error.to_string().contains("post-quantum"), "{error}");
        assert!(error.to_string().contains(&classic.to_string()[..20]), "{error}");
    }
    // Somebody else may have mixed them: it opens.
    let (new, old) = (Identity::generate_post_quantum().unwrap(), Identity::generate().unwrap());
    let file_key = FileKey::generate().unwrap();
    let stanza = stanza_for(&new, &file_key);
    let sealer = Sealer::with_stanzas(&file_key, &[old.to_recipient()], &[stanza]).unwrap();
    let mut sealed = vec![0; sealer.file_bytes(0) as usize];
    sealer.seal_whole(0, &mut sealed).unwrap();
    for identity in [new, old] {
        assert_eq!(age::open_all(&[identity], &sealed).unwrap(), b"");
    }
}

/// The stanza that wraps `file_key` for the owner of `identity`, taken out of a header.
fn stanza_for(identity: &Identity, file_key: &FileKey) -> Stanza {
    let mut header = age::write_header(file_key, &[identity.to_recipient()], &[]).unwrap();
    header.extend_from_slice(&[0; 16]);
    let Ok(HeaderRead::Done(header, _)) = age::read_header(&header) else { panic!("a header") };
    header.stanzas()[0].clone()
}

#[test]
fn a_passphrase_stands_alone() {
    let key = Identity::generate().unwrap().to_recipient();
    for with in [vec![key], vec![words("two").to_recipient()]] {
        let mut recipients = vec![words("one").to_recipient()];
        recipients.extend(with);
        assert_eq!(Sealer::new(&recipients).unwrap_err().kind(), ErrorKind::BadKey);
    }
    let empty = Passphrase::new(Zeroizing::new(String::new())).unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::BadKey);
}

#[test]
fn hundreds_of_post_quantum_recipients_each_open_it() {
    let last = Identity::generate_post_quantum().unwrap();
    let mut recipients = vec![Identity::generate_post_quantum().unwrap().to_recipient(); 499];
    recipients.push(last.to_recipient());
    let sealed = age::seal_all(&recipients, b"to all").unwrap();
    assert_eq!(age::open_all(&[last], &sealed).unwrap(), b"to all");
}

#[test]
fn a_header_is_wrapped_anew_and_the_body_stays() {
    let (old, new) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let sealed = age::seal_all(&[old.to_recipient()], &ramp(100_000)).unwrap();
    let Ok(HeaderRead::Done(header, length)) = age::read_header(&sealed) else { panic!() };
    let refused = header.rewrapped(std::slice::from_ref(&new), &[new.to_recipient()]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotForYou, "who cannot open it writes no header for it");
    let mut again = header.rewrapped(std::slice::from_ref(&old), &[new.to_recipient()]).unwrap();
    again.extend_from_slice(&sealed[length..]);
    assert!(age::open_all(&[new], &again).unwrap() == ramp(100_000));
    assert_eq!(age::open_all(&[old], &again).unwrap_err().kind(), ErrorKind::NotForYou);
}

#[test]
fn identity_files_may_be_protected() {
    let identity = Identity::generate_post_quantum().unwrap();
    let text = format!("# public key\n{}\n", identity.secret_text().as_str());
    let Identity::Passphrase(passphrase) = words("open sesame") else { panic!() };
    let sealed =
        age::seal_all(&[Recipient::Passphrase(passphrase.clone())], text.as_bytes()).unwrap();
    let mut armored = age::ArmorWriter::new(Vec::new()).unwrap();
    armored.write_all(&sealed).unwrap();
    for file in [sealed.clone(), armored.finish().unwrap()] {
        let read = age::parse_identities(&file, Some(&passphrase)).unwrap();
        assert_eq!(read[0].to_recipient(), identity.to_recipient());
        let error = age::parse_identities(&file, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPassphrase);
        let Identity::Passphrase(wrong) = words("wrong") else { panic!() };
        let error = age::parse_identities(&file, Some(&wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongPassphrase);
    }
}

#[test]
fn keys_of_plugins_are_read_and_name_no_path() {
    let recipient = "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t";
    let parsed = Recipient::parse(recipient).unwrap();
    let Recipient::Plugin(plugin) = &parsed else { panic!("{parsed:?}") };
    assert_eq!((plugin.name(), plugin.text()), ("yubikey", (recipient, false)));
    let error = Sealer::new(std::slice::from_ref(&parsed)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedKey);
    let error = Recipient::parse(&recipient.replace("3t", "3q")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadKey);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// No byte of a file, whoever it is for, can be changed without being refused, and with the
    /// same few kinds of error.
    #[test]
    fn no_flipped_byte_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        for identity in [
            Identity::generate().unwrap(),
            Identity::generate_post_quantum().unwrap(),
            words("words"),
        ] {
            let sealed = age::seal_all(&[identity.to_recipient()], &ramp(300)).unwrap();
            let mut changed = sealed.clone();
            changed[at.index(sealed.len())] ^= 1 << bit;
            let kind = age::open_all(&[identity], &changed).unwrap_err().kind();
            let known = [
                ErrorKind::Tampered,
                ErrorKind::TruncatedOrTampered,
                ErrorKind::Header,
                ErrorKind::NotForYou,
                ErrorKind::WrongPassphrase,
                ErrorKind::NotSealed,
                ErrorKind::UnsupportedVersion,
                ErrorKind::Truncated,
            ];
            prop_assert!(known.contains(&kind), "{kind:?} at {}", at.index(sealed.len()));
        }
    }

    /// Stanzas go round as text, and reading one never goes beyond its end.
    #[test]
    fn stanzas_go_round(
        words in prop::collection::vec("[!-~]{1,80}", 1..5),
        body in prop::collection::vec(any::<u8>(), 0..200),
        rest in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        let stanza = Stanza::new(&words[0], &arguments, &body).unwrap();
        let mut text = stanza.to_text().as_bytes().to_vec();
        let length = text.len();
        for cut in 0..length {
            prop_assert!(Stanza::read(&text[..cut]).unwrap().is_none());
        }
        text.extend_from_slice(&rest);
        let (again, used) = Stanza::read(&text).unwrap().unwrap();
        prop_assert_eq!(used, length);
        prop_assert!(again == stanza);
    }
}
