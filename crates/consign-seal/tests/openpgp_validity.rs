//! Keys that may not be used are refused with their reason: expired, revoked, weak, not for this.
//! GnuPG makes them. Skips visibly where it is missing.

#![cfg(feature = "openpgp")]

use crate::common::gpg::{Gpg, KINDS, now, run};
use consign_seal::ErrorKind;
use consign_seal::openpgp::{self, Certificate, OpenOptions, SealOptions, SecretKey};

const DAY: u64 = 86_400;

/// Why nothing may be sealed for it at a time; nothing if it may.
fn refused(certificate: &Certificate, at: u64) -> Option<(ErrorKind, String)> {
    let sealed = openpgp::seal_all(std::slice::from_ref(certificate), b"x", &SealOptions::at(at));
    sealed.err().map(|error| (error.kind(), error.to_string()))
}

#[test]
fn keys_expire_and_are_prolonged() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.generate("brief", &format!("{}\nExpire-Date: 2d", KINDS[2].1));
    let certificate = gpg.certificate("brief");
    assert_eq!(refused(&certificate, now()), None);
    let (kind, words) = refused(&certificate, now() + 3 * DAY).unwrap();
    assert_eq!(kind, ErrorKind::ExpiredKey);
    assert!(
        words.contains(&certificate.fingerprint()) && words.contains("expired on 20"),
        "{words}"
    );
    assert!(words.contains("brief"), "{words}");
    assert_eq!(refused(&certificate, now() - DAY).unwrap().0, ErrorKind::BadKey);

    // Both again for a year: what was refused is allowed, by the newer signatures.
    let fingerprint = certificate.fingerprint();
    gpg.succeed(&["--quick-set-expire", &fingerprint, "1y"], b"");
    let primary_only = gpg.certificate("brief");
    let (kind, _) = refused(&primary_only, now() + 3 * DAY).unwrap();
    assert_eq!(kind, ErrorKind::ExpiredKey, "the subkey still expires");
    gpg.succeed(&["--quick-set-expire", &fingerprint, "1y", "*"], b"");
    assert_eq!(refused(&gpg.certificate("brief"), now() + 3 * DAY), None);
}

#[test]
fn what_was_signed_before_a_key_expired_still_counts() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.generate("brief", &format!("{}\nExpire-Date: 2d", KINDS[2].1));
    let key = gpg.secret("brief");
    let signers = [gpg.certificate("brief")];
    let sealed = gpg.succeed(&["--sign", "--encrypt", "--recipient", "brief"], b"signed in time");
    // Opened with an expired key, of an expired signer: both were valid when it was made.
    let later = OpenOptions::at(now() + 30 * DAY);
    let opened = openpgp::open_all(std::slice::from_ref(&key), &signers, &sealed, &later).unwrap();
    assert_eq!(opened.signed_by, Some(signers[0].fingerprint()));
    let late = SealOptions { signer: Some(&key), ..SealOptions::at(now() + 30 * DAY) };
    gpg.generate("other", KINDS[2].1);
    let refused = openpgp::seal_all(&[gpg.certificate("other")], b"x", &late).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ExpiredKey);
    // From the future: a clock is wrong, or somebody lies.
    let early = OpenOptions::at(now() - 2 * DAY);
    let refused = openpgp::open_all(&[key], &signers, &sealed, &early).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BadSignature);
}

/// Imports the revocation that GnuPG keeps for every key it makes.
fn revoke(gpg: &Gpg, fingerprint: &str) {
    let path = gpg.path().join("openpgp-revocs.d").join(format!("{fingerprint}.rev"));
    let text = std::fs::read_to_string(path).unwrap();
    // A colon before the dashes keeps it from being imported by mistake.
    gpg.import(text.replace(":-----BEGIN", "-----BEGIN").as_bytes());
}

#[test]
fn revoked_keys_neither_receive_nor_sign() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.generate("gone", KINDS[0].1);
    gpg.generate("other", KINDS[2].1);
    let key = gpg.secret("gone");
    let sealed =
        gpg.succeed(&["--sign", "--local-user", "gone", "--encrypt", "--recipient", "other"], b"x");
    let before = [gpg.certificate("gone")];
    let keys = [gpg.secret("other")];
    let options = OpenOptions::at(now());
    assert!(openpgp::open_all(&keys, &before, &sealed, &options).is_ok());

    revoke(&gpg, &key.fingerprint());
    let after = [gpg.certificate("gone")];
    let (kind, words) = refused(&after[0], now()).unwrap();
    assert_eq!(kind, ErrorKind::RevokedKey);
    assert!(words.contains("revoked"), "{words}");
    // Without a reason it counts for the past too: nobody knows since when the key was lost.
    let refused = openpgp::open_all(&keys, &after, &sealed, &options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RevokedKey);
    // What was sealed for it still opens.
    let old = openpgp::seal_all(&before, b"old", &SealOptions::at(now())).unwrap();
    assert_eq!(openpgp::open_all(&[key], &[], &old, &options).unwrap().plain, b"old");
}

#[test]
fn a_revoked_subkey_is_not_sealed_for_and_its_successor_is() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.generate("owner", KINDS[2].1);
    let fingerprint = gpg.certificate("owner").fingerprint();
    let mut edit = gpg.command(&["--command-fd", "0", "--edit-key", &fingerprint]);
    let output = run(&mut edit, b"key 1\nrevkey\ny\n3\n\ny\nsave\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (kind, words) = refused(&gpg.certificate("owner"), now() + 1).unwrap();
    assert_eq!(kind, ErrorKind::RevokedKey, "{words}");
    assert!(words.contains("subkey"), "{words}");
    let add = ["--passphrase", "", "--quick-add-key", &fingerprint, "cv25519", "encrypt"];
    gpg.succeed(&add, b"");
    let renewed = gpg.certificate("owner");
    assert_eq!(refused(&renewed, now() + 1), None);
    assert_eq!(renewed.encryption_keys(now() + 1).unwrap().len(), 1);
    let sealed = openpgp::seal_all(&[renewed], b"to the new", &SealOptions::at(now() + 1)).unwrap();
    assert_eq!(gpg.succeed(&["--decrypt"], &sealed), b"to the new");
}

#[test]
fn flags_and_strength_decide() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.generate("signs-only", "Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign");
    let certificate = gpg.certificate("signs-only");
    let (kind, words) = refused(&certificate, now()).unwrap();
    assert_eq!(kind, ErrorKind::UnsupportedKey, "{words}");
    assert!(certificate.check_signing(now()).is_ok());

    // RSA can do both; the flags say what it may.
    gpg.generate("rsa-signs", "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign");
    assert_eq!(refused(&gpg.certificate("rsa-signs"), now()).unwrap().0, ErrorKind::UnsupportedKey);
    gpg.generate("rsa-all", "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign encrypt");
    assert_eq!(refused(&gpg.certificate("rsa-all"), now()), None);
    gpg.generate(
        "certifies",
        "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: cert\nSubkey-Type: RSA\nSubkey-Length: 2048\n\
         Subkey-Usage: encrypt",
    );
    let certifies = gpg.certificate("certifies");
    assert_eq!(refused(&certifies, now()), None);
    assert_eq!(certifies.check_signing(now()).unwrap_err().kind(), ErrorKind::UnsupportedKey);

    gpg.generate("short", "Key-Type: RSA\nKey-Length: 1024\nSubkey-Type: RSA\nSubkey-Length: 1024");
    let (kind, words) = refused(&gpg.certificate("short"), now()).unwrap();
    assert_eq!(kind, ErrorKind::Weak, "{words}");
    assert!(words.contains("1024 bits"), "{words}");
    gpg.generate(
        "elgamal",
        "Key-Type: DSA\nKey-Length: 2048\nSubkey-Type: ELG-E\nSubkey-Length: 2048",
    );
    assert_eq!(refused(&gpg.certificate("elgamal"), now()).unwrap().0, ErrorKind::UnsupportedKey);
    gpg.generate(
        "brainpool",
        "Key-Type: ECDSA\nKey-Curve: brainpoolP256r1\nSubkey-Type: ECDH\n\
         Subkey-Curve: brainpoolP256r1",
    );
    let brainpool = Certificate::parse(&gpg.succeed(&["--export", "brainpool"], b""));
    let kind = match brainpool {
        Ok(found) => refused(&found[0], now()).unwrap().0,
        Err(error) => error.kind(),
    };
    assert!(matches!(kind, ErrorKind::UnsupportedKey | ErrorKind::BadKey), "{kind:?}");
}

#[test]
fn a_certificate_bound_by_sha1_alone_is_weak() {
    let Some(gpg) = Gpg::new() else { return };
    let script =
        format!("%no-protection\n{}\nSubkey-Usage: encrypt\nName-Real: old\n%commit\n", KINDS[0].1);
    gpg.succeed(&["--cert-digest-algo", "SHA1", "--full-generate-key"], script.as_bytes());
    let (kind, words) = refused(&gpg.certificate("old"), now()).unwrap();
    assert_eq!(kind, ErrorKind::Weak, "{words}");
    assert!(words.contains("SHA-1"), "{words}");
}

#[test]
fn a_foreign_subkey_cannot_be_adopted_and_changes_show() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.generate("one", KINDS[2].1);
    gpg.generate("two", KINDS[2].1);
    let one = gpg.certificate("one").to_bytes().unwrap();
    let two = gpg.certificate("two").to_bytes().unwrap();
    // The packets of a subkey and its binding are the end of a certificate: swap them.
    let at = |bytes: &[u8]| {
        bytes
            .windows(2)
            .rposition(|window| window == [0xce, 0x38] || window == [0xb8, 0x38])
            .unwrap()
    };
    let mixed = [&one[..at(&one)], &two[at(&two)..]].concat();
    let certificate = Certificate::parse(&mixed).unwrap().remove(0);
    let (kind, _) = refused(&certificate, now()).unwrap();
    assert_eq!(kind, ErrorKind::UnsupportedKey);
    // Whatever bit of it changes, it is not a different usable key under the same fingerprint.
    let fingerprint = gpg.certificate("one").fingerprint();
    let key = gpg.certificate("one").encryption_keys(now()).unwrap()[0].fingerprint();
    for place in 0..one.len() {
        let mut changed = one.clone();
        changed[place] ^= 0x04;
        for certificate in Certificate::parse(&changed).unwrap_or_default() {
            if certificate.fingerprint() != fingerprint {
                continue;
            }
            for usable in certificate.encryption_keys(now()).unwrap_or_default() {
                assert_eq!(usable.fingerprint(), key, "byte {place}");
            }
        }
    }
    assert!(SecretKey::parse(&one).is_err());
}
