//! Signatures and keys that were changed, cut, or made to deceive.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use consign_seal::ErrorKind::{
    BadKey, BadSignature, MalformedSignature, UnsupportedKey, Usage, WrongNamespace, WrongSigner,
};
use consign_seal::sshsig::{self, SigningKey, VerifyingKey};
use consign_seal::{Error, ErrorKind};

const NAMESPACE: &str = "consign-manifest@1";
const MESSAGE: &[u8] = b"the message";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----\n";

fn key() -> SigningKey {
    SigningKey::generate().expect("a key")
}

/// The bytes of a signature, and the text of changed ones.
fn blob_of(text: &str) -> Vec<u8> {
    let inside = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).expect("armor");
    STANDARD.decode(inside.replace('\n', "")).expect("base64")
}

fn armored(blob: &[u8]) -> String {
    format!("{BEGIN}{}\n{END}", STANDARD.encode(blob))
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat()
}

fn kind(result: Result<usize, Error>) -> ErrorKind {
    result.expect_err("refused").kind()
}

#[test]
fn the_form_is_that_of_the_specification() {
    let key = key();
    let text = sshsig::sign(&key, NAMESPACE, MESSAGE).unwrap();
    assert_eq!(text, sshsig::sign(&key, NAMESPACE, MESSAGE).unwrap(), "deterministic");
    assert!(text.lines().all(|line| line.len() <= 76));
    let line = key.verifying_key().line();
    let public = STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
    let expected = [
        &b"SSHSIG\0\0\0\x01"[..],
        &string(&public),
        &string(NAMESPACE.as_bytes()),
        &string(b""),
        &string(b"sha512"),
    ]
    .concat();
    assert!(blob_of(&text).starts_with(&expected));
    assert_eq!(sshsig::sign(&key, "", MESSAGE).unwrap_err().kind(), Usage);
}

#[test]
fn every_flipped_bit_of_a_signature_is_found() {
    let key = key();
    let keys = [key.verifying_key()];
    let blob = blob_of(&sshsig::sign(&key, NAMESPACE, MESSAGE).unwrap());
    for place in 0..blob.len() {
        for bit in 0..8 {
            let mut changed = blob.clone();
            changed[place] ^= 1 << bit;
            let kind = kind(sshsig::verify(&keys, NAMESPACE, MESSAGE, &armored(&changed)));
            let allowed = [MalformedSignature, WrongSigner, WrongNamespace, BadSignature];
            assert!(allowed.contains(&kind), "byte {place}, bit {bit}: {kind:?}");
        }
    }
    for length in 0..blob.len() {
        let cut = armored(&blob[..length]);
        assert_eq!(kind(sshsig::verify(&keys, NAMESPACE, MESSAGE, &cut)), MalformedSignature);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let (ours, other) = (key(), key());
    let keys = [ours.verifying_key()];
    let good = sshsig::sign(&ours, NAMESPACE, MESSAGE).unwrap();
    let check = |what: &str, text: String, expected: ErrorKind| {
        let error = sshsig::verify(&keys, NAMESPACE, MESSAGE, &text).unwrap_err();
        assert_eq!(error.kind(), expected, "{what}: {error}");
    };
    assert_eq!(sshsig::verify(&keys, NAMESPACE, MESSAGE, &good).unwrap(), 0);
    assert_eq!(kind(sshsig::verify(&keys, NAMESPACE, b"", &good)), BadSignature);
    assert_eq!(kind(sshsig::verify(&[], NAMESPACE, MESSAGE, &good)), WrongSigner);
    check("by another", sshsig::sign(&other, NAMESPACE, MESSAGE).unwrap(), WrongSigner);
    let elsewhere = sshsig::sign(&ours, "file", MESSAGE).unwrap();
    check("for another purpose", elsewhere.clone(), WrongNamespace);

    // The namespace of the claim changed to ours: the signature is not over that.
    let passed_off = replace(&blob_of(&elsewhere), b"file", NAMESPACE.as_bytes());
    check("passed off", armored(&passed_off), BadSignature);
    // Our key named, another's signature inside.
    let forged = sshsig::sign(&other, NAMESPACE, MESSAGE).unwrap();
    let mut forged = blob_of(&forged);
    let blob = blob_of(&good);
    forged[..65].copy_from_slice(&blob[..65]);
    check("forged", armored(&forged), BadSignature);

    check("empty", String::new(), MalformedSignature);
    check("no armor", STANDARD.encode(&blob), MalformedSignature);
    check("no end", good.replace(END, ""), MalformedSignature);
    check(
        "begin and content on one line",
        good.replacen(BEGIN, BEGIN.trim_end(), 1),
        MalformedSignature,
    );
    check(
        "content and end on one line",
        good.replacen(&format!("\n{END}"), END, 1),
        MalformedSignature,
    );
    check("text before it", format!("Hello\n{good}"), MalformedSignature);
    check("text after it", format!("{good}Hello\n"), MalformedSignature);
    check("twice", good.repeat(2), MalformedSignature);
    check("bytes after it", armored(&[&blob[..], b"x"].concat()), MalformedSignature);
    check("1 MiB", format!("{BEGIN}{}{END}", "AAAA\n".repeat(200_000)), MalformedSignature);
    check("no padding", good.replace('=', ""), MalformedSignature);
    check(
        "version 2",
        armored(&replace(&blob, b"\0\x01\0\0\0\x33", b"\0\x02\0\0\0\x33")),
        MalformedSignature,
    );
    check("sha1", armored(&replace(&blob, b"sha512", b"sha1")), MalformedSignature);
    check("another hash", armored(&replace(&blob, b"sha512", b"sha256")), BadSignature);
    let mut lengths = blob.clone();
    lengths[10..14].copy_from_slice(&u32::MAX.to_be_bytes());
    check("a length beyond the end", armored(&lengths), MalformedSignature);
    assert_eq!(sshsig::verify(&keys, NAMESPACE, MESSAGE, &good.replace('\n', "\r\n")).unwrap(), 0);
}

/// Replaces the only `from` in a blob; where it is a string, its length as well.
fn replace(blob: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (long_from, long_to) = (string(from), string(to));
    for (from, to) in [(long_from.as_slice(), long_to.as_slice()), (from, to)] {
        if let Some(place) = blob.windows(from.len()).position(|window| window == from) {
            return [&blob[..place], to, &blob[place + from.len()..]].concat();
        }
    }
    unreachable!("nothing to replace")
}

#[test]
fn public_keys_under_which_anyone_could_sign_are_refused() {
    let line = |point: &[u8]| {
        let wire = [string(b"ssh-ed25519"), string(point)].concat();
        format!("ssh-ed25519 {}", STANDARD.encode(wire))
    };
    let hex = |text: &str| -> Vec<u8> {
        (0..64).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_8_negative = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let near_p = |low: &str| format!("{low}{}7f", "ff".repeat(30));
    for y in [
        &"00".repeat(32),
        &format!("01{}", "00".repeat(31)),
        &near_p("ec"),
        &near_p("ed"),
        &near_p("ee"),
        order_8,
        order_8_negative,
    ] {
        let mut point = hex(y);
        for _ in 0..2 {
            let error = VerifyingKey::parse(&line(&point)).unwrap_err();
            assert_eq!(error.kind(), BadKey);
            assert!(error.to_string().contains("low order"), "{error}");
            point[31] ^= 0x80;
        }
    }
    // What such a key would do: the signature of R = identity, S = 0 needs no secret.
    let good = key();
    let mut blob = blob_of(&sshsig::sign(&good, NAMESPACE, MESSAGE).unwrap());
    let end = blob.len();
    blob[end - 64..].fill(0);
    blob[end - 64] = 1;
    blob[33..65].fill(0);
    blob[33] = 1;
    let refused = sshsig::verify(&[good.verifying_key()], NAMESPACE, MESSAGE, &armored(&blob));
    assert_eq!(kind(refused), WrongSigner);
}

#[test]
fn public_keys_are_read_strictly() {
    let key = key().verifying_key();
    let line = key.line();
    assert_eq!(VerifyingKey::parse(&line).unwrap(), key);
    assert_eq!(VerifyingKey::parse(&format!("{line} a comment\n")).unwrap(), key);
    let rsa = line.replacen("ssh-ed25519", "ssh-rsa", 1);
    for (text, expected) in [
        ("", BadKey),
        ("ssh-ed25519", BadKey),
        ("ssh-ed25519 AAAA", BadKey),
        (&line[12..], BadKey),
        (&line[..line.len() - 4], BadKey),
        (&format!("{line}\n{line}"), BadKey),
        (&line.replace("AAAAC3", "AAAAC4"), BadKey),
        (&rsa, UnsupportedKey),
        ("ecdsa-sha2-nistp256 AAAA", UnsupportedKey),
        ("sk-ssh-ed25519@openssh.com AAAA", UnsupportedKey),
        ("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj", BadKey),
    ] {
        assert_eq!(VerifyingKey::parse(text).unwrap_err().kind(), expected, "{text}");
    }
}

#[test]
fn every_flipped_bit_of_a_private_key_file_is_found_or_harmless() {
    let key = key();
    let text = key.to_openssh_private("comment");
    let (begin, end) =
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "-----END OPENSSH PRIVATE KEY-----\n");
    let inside = text.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)).unwrap();
    let blob = STANDARD.decode(inside.replace('\n', "")).unwrap();
    let comment = blob.windows(7).position(|window| window == b"comment").unwrap();
    for place in 0..blob.len() {
        for bit in 0..8 {
            let mut changed = blob.clone();
            changed[place] ^= 1 << bit;
            let changed = format!("{begin}{}\n{end}", STANDARD.encode(&changed));
            match SigningKey::from_openssh(&changed) {
                Ok(read) => {
                    assert_eq!(read.verifying_key(), key.verifying_key());
                    assert!((comment..comment + 7).contains(&place), "byte {place}");
                }
                Err(error) => assert!([BadKey, UnsupportedKey].contains(&error.kind())),
            }
        }
    }
    for length in 0..text.len() - 1 {
        assert_eq!(SigningKey::from_openssh(&text[..length]).unwrap_err().kind(), BadKey);
    }
}

#[test]
fn a_private_key_file_with_the_public_key_of_another_is_refused() {
    // Signing with a seed and a public key that is not its own gives the seed away.
    let (ours, other) = (key(), key());
    let public = |key: &SigningKey| {
        let line = key.verifying_key().line();
        STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap()[19..].to_vec()
    };
    let text = ours.to_openssh_private("");
    let inside: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut blob = STANDARD.decode(inside).unwrap();
    let (from, to) = (public(&ours), public(&other));
    let mut replaced = 0;
    for place in 0..blob.len() - 32 {
        if blob[place..].starts_with(&from) {
            blob[place..place + 32].copy_from_slice(&to);
            replaced += 1;
        }
    }
    assert_eq!(replaced, 3, "outside, inside, and behind the seed");
    let (begin, end) = ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----");
    let text = format!("{begin}\n{}\n{end}\n", STANDARD.encode(blob));
    let error = SigningKey::from_openssh(&text).unwrap_err();
    assert_eq!(error.kind(), BadKey);
    assert!(error.to_string().contains("contradicts itself"), "{error}");
}

#[test]
fn nothing_secret_is_printed() {
    let key = key();
    let shown = format!("{key:?}");
    assert_eq!(shown, format!("SigningKey({})", key.verifying_key().fingerprint()));
    assert_eq!(key.public_line("two\nlines"), format!("{} two lines", key.verifying_key()));
}
