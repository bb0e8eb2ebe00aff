//! Messages under a passphrase: the samples of RFC 9580 open, with their passphrase and no other, and what a
//! message asks of whoever tries a passphrase is bounded.

#![cfg(feature = "openpgp")]
use consign_seal::ErrorKind;
use consign_seal::openpgp::{self, OpenOptions, OpenWith, Opened};

const AT: u64 = 1_800_000_000;

fn open(message: &[u8], passphrase: &str) -> Result<Opened, ErrorKind> {
    let with = OpenWith::passphrase(&[], passphrase);
    openpgp::open_all(with, &[], message, &OpenOptions::at(AT)).map_err(|error| error.kind())
}

/// Appendices A.9 to A.12: "Hello, world!" under "password".
#[test]
fn the_samples_of_the_rfc_open() {
    let samples: [(&str, &[u8]); 4] = [
        ("EAX", include_bytes!("../testdata/rfc9580/a9-skesk6-eax.asc")),
        ("OCB", include_bytes!("../testdata/rfc9580/a10-skesk6-ocb.asc")),
        ("GCM", include_bytes!("../testdata/rfc9580/a11-skesk6-gcm.asc")),
        ("Argon2", include_bytes!("../testdata/rfc9580/a12-skesk4-argon2.asc")),
    ];
    for (name, message) in samples {
        let described = openpgp::describe(message).unwrap();
        assert_eq!((described.passphrases, described.recipients.len()), (1, 0), "{name}");
        assert_eq!(open(message, "password").unwrap().plain, b"Hello, world!", "{name}");
        let none = openpgp::open_all(&[] as &[_], &[], message, &OpenOptions::at(AT));
        assert_eq!(none.unwrap_err().kind(), ErrorKind::NeedsPassphrase, "{name}");
    }
    for (name, message) in &samples[..3] {
        assert_eq!(open(message, "Password").unwrap_err(), ErrorKind::WrongPassphrase, "{name}");
    }
}

/// A packet of version 4 with this way from the passphrase to the key, and a container behind it.
fn message(s2k: &[u8]) -> Vec<u8> {
    let body = [&[4, 9], s2k].concat();
    let container = [&[0xd2, 60, 1][..], &[7; 59]].concat();
    [&[0xc3, u8::try_from(body.len()).unwrap()], &body[..], &container].concat()
}

#[test]
fn what_a_message_asks_for_is_bounded() {
    let salt = [5; 16];
    let argon2 =
        |passes: u8, memory: u8| message(&[&[4], &salt[..], &[passes, 1, memory]].concat());
    for (what, bytes, kind) in [
        ("4 GiB", argon2(1, 22), ErrorKind::Header),
        ("2 PiB", argon2(1, 51), ErrorKind::Header),
        ("255 passes", argon2(255, 15), ErrorKind::Header),
        ("hashed once", message(&[0, 8]), ErrorKind::Weak),
        ("hashed once with salt", message(&[&[1, 8], &salt[..8]].concat()), ErrorKind::Weak),
        ("MD5", message(&[&[3, 1], &salt[..8], &[96]].concat()), ErrorKind::Weak),
        ("a way that nobody knows", message(&[77, 8]), ErrorKind::UnsupportedVersion),
        (
            "the wrong one",
            message(&[&[3, 8], &salt[..8], &[96]].concat()),
            ErrorKind::WrongPassphrase,
        ),
    ] {
        assert_eq!(open(&bytes, "password").unwrap_err(), kind, "{what}");
    }
    // Each of them is what GnuPG writes; twenty of them nobody does.
    let one = message(&[&[3, 8], &salt[..8], &[255], &[7; 33]].concat());
    let packet = &one[..one.len() - 62];
    let many = [&packet.repeat(20)[..], &one].concat();
    assert_eq!(open(&many, "password").unwrap_err(), ErrorKind::Header);
}
