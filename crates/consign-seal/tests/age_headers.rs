//! Headers, armor, recipients and identities from people who mean harm: each is refused with its
//! reason, quickly, and without a panic.

use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use crate::common::{EDGE_LENGTHS, ramp};
use bech32::{ByteIterExt, Fe32, Fe32IterExt};
use consign_seal::age::{
    self, ArmorReader, ArmorWriter, HeaderRead, Identity, MAX_HEADER_BYTES, OpenReader, Recipient,
    Sealer, read_header,
};
use consign_seal::{Error, ErrorKind};

/// The example of the specification, "The X25519 recipient type".
const SPEC_IDENTITY: &str =
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const SPEC_RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const SHARE: &str = "XEl0dJ6y3C7KZkgmgWUicg63EyXJiwBJW8PdYJ/cYBE";
const BODY: &str = "qRS0AMjdjPvZ/WT08U2KL4G+PIooA3hy38SvLpvaC1E";
const MAC: &str = "HK2NmOBN9Dpq0Gw6xMCuhFcQlQLvZ/wQUi/2scLG75s";

/// A header around `stanzas`, with a nonce and a chunk behind it.
fn file(stanzas: &str) -> Vec<u8> {
    let mut bytes = format!("age-encryption.org/v1\n{stanzas}--- {MAC}\n").into_bytes();
    bytes.extend_from_slice(&[0; 64]);
    bytes
}

/// Reads it whole, in slices from every growing start, and as a stream; all must agree.
fn kind_of(bytes: &[u8]) -> Option<ErrorKind> {
    let start = Instant::now();
    let whole = match read_header(bytes) {
        Ok(HeaderRead::Done(..)) => None,
        Ok(HeaderRead::Need(_)) => Some(age::header_ended_early(bytes).kind()),
        Err(error) => {
            assert!(error.to_string().len() < 200, "{error}");
            Some(error.kind())
        }
    };
    let identity = Identity::parse(SPEC_IDENTITY).expect("an identity");
    let streamed = OpenReader::new(bytes, &[identity]).err().map(|error| error.kind());
    if whole.is_some() {
        assert_eq!(streamed, whole);
    } else {
        assert!(streamed.is_some(), "nobody has the key");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    whole
}

#[test]
fn hostile_headers_are_refused() {
    let x25519 = format!("-> X25519 {SHARE}\n{BODY}\n");
    assert_eq!(kind_of(&file(&x25519)), None, "the fixture itself is well-formed");
    let many_unknown = "-> x\n\n".repeat(30_000);
    let check = |what: &str, bytes: Vec<u8>, kind: Option<ErrorKind>| {
        assert_eq!(kind_of(&bytes), kind, "{what}");
    };
    let header = Some(ErrorKind::Header);

    check("no stanza", file(""), header);
    check("a stanza of 1 MiB", file(&format!("-> x {}\n\n", "y".repeat(1 << 20))), header);
    let long_body = format!("{}\n", "A".repeat(64)).repeat(1 << 14);
    check("a body of 1 MiB", file(&format!("-> x\n{long_body}\n")), header);
    check("12,000 recipients", file(&x25519.repeat(12_000)), header);
    check("30,000 unknown stanzas", file(&many_unknown), None);
    check("as many arguments as fit", file(&format!("-> x{}\n\n", " y".repeat(100_000))), None);
    check("a body line of 1 MiB", file(&format!("-> x\n{}\n", "A".repeat(1 << 20))), header);
    check("a version of 1 MiB", [b"age-encryption.org/v", &[b'1'; 1 << 20][..]].concat(), header);
    check("1 MiB of zeros", vec![0; 1 << 20], Some(ErrorKind::NotSealed));
    check("a CR", file("-> x\r\n\n"), header);
    check("a NUL", file("-> x\0\n\n"), header);
    check("a letter beyond ASCII", file("-> ☂\n\n"), header);
    check("two spaces", file("-> x  y\n\n"), header);
    check("a space at the end", file("-> x \n\n"), header);
    check("a tab", file("-> x\ty\n\n"), header);
    check("no space", file("->x\n\n"), header);
    check("a stray line", file(&format!("{x25519}\n")), header);
    check("padded base64", file("-> x\nAA==\n"), header);
    check("stray bits", file("-> x\nAB\n"), header);
    check("base64 of another alphabet", file("-> x\nA-_A\n"), header);
    check("a passphrase beside a key", file(&format!("{}{x25519}", scrypt("18"))), header);
    check("two passphrases", file(&scrypt("18").repeat(2)), header);
    check("a passphrase", file(&scrypt("18")), None);
    for factor in ["0", "023", "+18", "-1", "0x12", "23", "256", "99999999999999999999", "", "1e1"]
    {
        check(factor, file(&scrypt(factor)), header);
    }
    check("a share too many", file(&format!("-> X25519 {SHARE} {SHARE}\n{BODY}\n")), header);
    check("no share", file(&format!("-> X25519\n{BODY}\n")), header);
    check("a short body", file(&format!("-> X25519 {SHARE}\nAAAA\n")), header);
    let long = format!("-> X25519 {SHARE}\n{}\nAAAA\n", "A".repeat(64));
    check("a long body", file(&long), header);
    let version = |line: &str| [line.as_bytes(), b"\n-> x\n\n"].concat();
    let later = Some(ErrorKind::UnsupportedVersion);
    check("a later version", version("age-encryption.org/v2"), later);
    check("an odd version", version("age-encryption.org/v1.1"), later);
    check("no version", version("age-encryption.org/"), header);
    check("a blank in the version", version("age-encryption.org/v1 "), header);
    check("a capital", version("Age-encryption.org/v1"), Some(ErrorKind::NotSealed));
}

fn scrypt(factor: &str) -> String {
    format!("-> scrypt ajMFur+EJLGaohv/dLRGnw {factor}\n{BODY}\n")
}

#[test]
fn a_passphrase_is_recognised() {
    let error = age::open_all(&[Identity::generate().unwrap()], &file(&scrypt("18"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPassphrase);
    assert!(error.hint().unwrap().contains("--passphrase-file"));
}

#[test]
fn a_header_with_many_low_order_shares_costs_little() {
    // The first one ends it, whatever follows.
    let stanzas = format!("-> X25519 {}\n{BODY}\n", "A".repeat(43)).repeat(2000);
    let start = Instant::now();
    let error = age::open_all(&[Identity::generate().unwrap()], &file(&stanzas)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Header);
    assert!(error.to_string().contains("low order"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_longest_header_is_written_and_read() {
    let identity = Identity::generate().unwrap();
    let mut recipients = vec![Identity::generate().unwrap().to_recipient(); 10_698];
    recipients.push(identity.to_recipient());
    let sealed = age::seal_all(&recipients, b"to all").unwrap();
    assert_eq!(age::open_all(std::slice::from_ref(&identity), &sealed).unwrap(), b"to all");
    recipients.extend_from_within(..100);
    let error = Sealer::new(&recipients).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(Sealer::new(&[]).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_header_is_read_from_any_number_of_pieces() {
    let recipients: Vec<Recipient> =
        (0..20).map(|_| Identity::generate().unwrap().to_recipient()).collect();
    let sealed = age::seal_all(&recipients, b"content").unwrap();
    let Ok(HeaderRead::Done(_, length)) = read_header(&sealed) else { unreachable!() };
    for end in 0..length {
        match read_header(&sealed[..end]) {
            Ok(HeaderRead::Need(more)) => {
                assert!(more >= 1 && end + more <= length, "{end}: {more}");
            }
            other => unreachable!("{end}: {other:?}"),
        }
    }
    for end in length..sealed.len() {
        assert!(matches!(read_header(&sealed[..end]), Ok(HeaderRead::Done(_, n)) if n == length));
    }
    let Ok(HeaderRead::Done(header, _)) = read_header(&sealed) else { unreachable!() };
    assert_eq!(header.recipient_types().collect::<Vec<_>>(), [("X25519", 20)]);
    assert!(length < MAX_HEADER_BYTES);
}

#[test]
fn armor_goes_round_and_every_change_to_it_is_refused() {
    let identity = Identity::generate().unwrap();
    let recipients = [identity.to_recipient()];
    let identities = std::slice::from_ref(&identity);
    for length in EDGE_LENGTHS {
        let plain = ramp(length);
        let mut writer = ArmorWriter::new(Vec::new()).unwrap();
        // In pieces of awkward lengths.
        for piece in age::seal_all(&recipients, &plain).unwrap().chunks(47) {
            writer.write_all(piece).unwrap();
        }
        let armored = writer.finish().unwrap();
        assert!(age::open_all(identities, &armored).unwrap() == plain, "{length}");
        let mut streamed = Vec::new();
        let reader = OpenReader::new(armored.as_slice(), identities);
        reader.unwrap().read_to_end(&mut streamed).unwrap();
        assert!(streamed == plain, "{length}");
    }

    let mut writer = ArmorWriter::new(Vec::new()).unwrap();
    writer.write_all(&age::seal_all(&recipients, b"x").unwrap()).unwrap();
    let armored = String::from_utf8(writer.finish().unwrap()).unwrap();
    let check = |what: &str, text: String, kind: ErrorKind| {
        let error = age::open_all(identities, text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        let streamed = OpenReader::new(text.as_bytes(), identities)
            .and_then(|mut reader| reader.read_to_end(&mut Vec::new()).map_err(Error::from_io));
        assert_eq!(streamed.unwrap_err().kind(), kind, "{what}");
    };
    let lines: Vec<&str> = armored.lines().collect();
    check("no end", lines[..lines.len() - 1].join("\n"), ErrorKind::Truncated);
    check("cut within the end", armored[..armored.len() - 5].to_owned(), ErrorKind::Truncated);
    check("text after it", format!("{armored}-- \nMeier"), ErrorKind::TrailingData);
    check("another after it", armored.repeat(2), ErrorKind::TrailingData);
    check("a line left out", armored.replace(&format!("{}\n", lines[2]), ""), ErrorKind::Header);
    check(
        "wrapped elsewhere",
        armored.replacen(&lines[2][10..], &format!("\n{}", &lines[2][10..]), 1),
        ErrorKind::Armor,
    );
    check(
        "a blank in a line",
        armored.replacen(lines[2], &format!("{} ", lines[2]), 1),
        ErrorKind::Armor,
    );
    check("2 KiB of blank lines", format!("{}{armored}", "\n".repeat(2048)), ErrorKind::NotSealed);
    check("two columns quoted", armored.replace('\n', "\n> "), ErrorKind::Armor);
}

#[test]
fn a_failed_armor_stays_failed() {
    let text = format!(
        "-----BEGIN AGE ENCRYPTED FILE-----\n{}\n!\n{}\n-----END AGE ENCRYPTED FILE-----\n",
        "A".repeat(64),
        "B".repeat(64)
    );
    let mut reader = ArmorReader::new(BufReader::new(text.as_bytes()));
    let mut out = vec![0; 1000];
    assert_eq!(reader.read(&mut out).unwrap(), 48);
    for _ in 0..3 {
        let error = Error::from_io(reader.read(&mut out).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Armor);
    }
}

#[test]
fn keys_are_read_in_their_one_form() {
    let identity = Identity::parse(SPEC_IDENTITY).unwrap();
    assert_eq!(identity.to_recipient().to_string(), SPEC_RECIPIENT);
    assert_eq!(identity.secret_text().as_str(), SPEC_IDENTITY);
    let recipient = Recipient::parse(SPEC_RECIPIENT).unwrap();
    assert_eq!(recipient, identity.to_recipient());

    let bad = ErrorKind::BadKey;
    let other = ErrorKind::UnsupportedKey;
    for (text, kind) in [
        ("", bad),
        ("age1", bad),
        ("age", bad),
        (&SPEC_RECIPIENT.to_ascii_uppercase(), bad),
        (&SPEC_RECIPIENT.replace("age1z", "age1Z"), bad),
        (&SPEC_RECIPIENT.replace("zvky", "zvkz"), bad),
        (&SPEC_RECIPIENT[..SPEC_RECIPIENT.len() - 1], bad),
        (&format!("{SPEC_RECIPIENT} "), bad),
        (&format!("{SPEC_RECIPIENT}q"), bad),
        (&"age1".repeat(1 << 18), bad),
        (SPEC_IDENTITY, bad),
        ("age1pq1qqqqqqqq", bad),
        ("age1tag1qqqqqqqq", bad),
        ("age1../../sh1qqqqqqqq", bad),
        ("ssh-ed25519 AAAA", bad),
        ("ssh-rsa AAAA", bad),
        ("ssh-dss AAAA", other),
    ] {
        let error = Recipient::parse(text).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains("GFPYYS"), "{error}");
    }
    for (text, kind) in [
        (SPEC_RECIPIENT, bad),
        (&SPEC_IDENTITY.to_ascii_lowercase(), bad),
        (&SPEC_IDENTITY.replace("GFPYYS", "GFPYYZ"), bad),
        (&SPEC_IDENTITY[..40], bad),
        ("AGE-SECRET-KEY-PQ-1QQQQ", bad),
        ("AGE-PLUGIN-YUBIKEY-1QQQQ", bad),
        ("AGE-PLUGIN-../SH-1QQQQ", bad),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", other),
        ("-----BEGIN AGE ENCRYPTED FILE-----", other),
    ] {
        let error = Identity::parse(text).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        // What was meant to be secret is not repeated, in whatever form it came.
        assert!(!error.to_string().to_ascii_uppercase().contains("GFPYY"), "{error}");
    }
}

#[test]
fn a_second_spelling_of_a_key_is_refused() {
    // 32 bytes are 51 characters and a bit: four bits of the last one mean nothing and must be
    // zero (BIP 173). The checksum is right all the same.
    for (text, prefix) in [(SPEC_RECIPIENT, "age"), (SPEC_IDENTITY, "AGE-SECRET-KEY-")] {
        let hrp = bech32::Hrp::parse(prefix).unwrap();
        let (_, key) = bech32::decode(text).unwrap();
        let mut letters: Vec<Fe32> = key.iter().copied().bytes_to_fes().collect();
        let last = letters.pop().unwrap().to_u8();
        letters.push(Fe32::try_from(last | 1).unwrap());
        let mut second: String =
            letters.into_iter().with_checksum::<bech32::Bech32>(&hrp).chars().collect();
        if prefix.starts_with('A') {
            second.make_ascii_uppercase();
        }
        assert_eq!(bech32::decode(&second).unwrap().1, key, "the decoder alone takes it");
        let error = match prefix {
            "age" => Recipient::parse(&second).unwrap_err(),
            _ => Identity::parse(&second).unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::BadKey);
        assert!(error.to_string().contains("canonical"), "{error}");
    }
}

#[test]
fn recipients_of_low_order_are_refused() {
    // 0, 1, and p - 1, by their little-endian bytes (RFC 7748 §6.1; the others follow the same way
    // as these, by an agreement that comes out as zero).
    for (low, fill, high) in [(0u8, 0u8, 0u8), (1, 0, 0), (0xec, 0xff, 0x7f)] {
        let mut point = [fill; 32];
        point[0] = low;
        point[31] = high;
        let hrp = bech32::Hrp::parse("age").unwrap();
        let text = bech32::encode::<bech32::Bech32>(hrp, &point).unwrap();
        let error = Recipient::parse(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadKey);
        assert!(error.to_string().contains("low order"), "{error}");
    }
}

#[test]
fn identity_files_are_read_and_their_errors_name_the_line() {
    let (one, two) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let text = format!(
        "# created: 2026-11-21\r\n# public key: {}\r\n{}\r\n\n  {}  ",
        one.to_recipient(),
        one.secret_text().as_str(),
        two.secret_text().as_str()
    );
    let read = age::parse_identity_file(&text).unwrap();
    let recipients: Vec<Recipient> = read.iter().map(Identity::to_recipient).collect();
    assert_eq!(recipients, [one.to_recipient(), two.to_recipient()]);

    let error = age::parse_identity_file("# nothing\n\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadKey);
    let error = age::parse_identity_file(&format!("\n{SPEC_RECIPIENT}\n")).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn nothing_secret_is_printed() {
    let identity = Identity::parse(SPEC_IDENTITY).unwrap();
    let sealer = Sealer::new(&[identity.to_recipient()]).unwrap();
    let Ok(HeaderRead::Done(header, length)) = read_header(sealer.prefix()) else { unreachable!() };
    let nonce = sealer.prefix()[length..].first_chunk().unwrap();
    let opener = header.open(std::slice::from_ref(&identity), nonce).unwrap();
    let saved = sealer.to_secret_bytes();
    let key = &saved[17..49];
    for shown in [
        format!("{identity:?}"),
        format!("{sealer:?}"),
        format!("{opener:?}"),
        format!("{header:?}"),
    ] {
        assert!(!shown.to_ascii_uppercase().contains("SECRET"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", &key[..4])), "{shown}");
        assert!(shown.len() < 120, "{shown}");
    }
}
