//! Messages and keys of s3s2: what Go's libraries wrote, what gpg writes, and damage of every kind.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use crate::common::{judge, ramp};
use base64::Engine as _;
use consign_seal::s3s2::{self, Cipher, PublicKey, SecretKey};
use consign_seal::{Error, ErrorKind};

const PRIVATE: &[u8] = include_bytes!("s3s2/go.privkey");
const PUBLIC: &[u8] = include_bytes!("s3s2/go.pubkey");
const SEALED: &[u8] = include_bytes!("s3s2/go.zip.gpg");
const NOW: u64 = 1_800_000_000;

fn open(sealed: &[u8], keys: &[SecretKey]) -> Result<(Vec<u8>, Cipher), Error> {
    let mut spool = Vec::new();
    let opened = s3s2::open(sealed, &mut spool, keys)?;
    assert_eq!(opened.bytes, spool.len() as u64);
    Ok((spool, opened.cipher))
}

fn seal(content: &[u8], key: &PublicKey) -> Vec<u8> {
    let mut sealed = Vec::new();
    s3s2::seal(content, &mut sealed, std::slice::from_ref(key)).unwrap();
    sealed
}

/// The message without its armor.
fn dearmored(sealed: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(sealed).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with(['-', '=']));
    base64::engine::general_purpose::STANDARD.decode(lines.collect::<String>()).unwrap()
}

#[test]
fn what_s3s2_sealed_is_opened_and_is_cast5() {
    let keys = SecretKey::parse(PRIVATE).unwrap();
    let (content, cipher) = open(SEALED, &keys).unwrap();
    assert_eq!(cipher, Cipher::Cast5);
    let mut zip = Vec::new();
    flate2::read::GzDecoder::new(content.as_slice()).read_to_end(&mut zip).unwrap();
    assert!(zip.starts_with(b"PK\x03\x04"));
    assert!(PublicKey::parse(PUBLIC, NOW).unwrap().is_bare());
    assert_eq!(open(&dearmored(SEALED), &keys).unwrap().0, content, "without armor");
}

#[test]
fn what_is_sealed_is_opened_again_at_every_size() {
    let keys = SecretKey::parse(PRIVATE).unwrap();
    let public = PublicKey::parse(PUBLIC, NOW).unwrap();
    for length in [0, 1, 15, 16, 17, 47, 48, 49, 511, 512, 513, 65_536, 65_537, 1_000_003] {
        let content = ramp(length);
        let sealed = seal(&content, &public);
        assert!(sealed.starts_with(b"-----BEGIN Message-----\n\n"));
        let (opened, cipher) = open(&sealed, &keys).unwrap();
        assert_eq!((opened.len(), cipher), (length, Cipher::Aes));
        assert!(opened == content, "{length} bytes");
    }
}

#[test]
fn no_damage_goes_unseen() {
    let keys = SecretKey::parse(PRIVATE).unwrap();
    let good = dearmored(SEALED);
    for position in 0..good.len() {
        let mut flipped = good.clone();
        flipped[position] ^= 1;
        let error = open(&flipped, &keys).unwrap_err();
        let allowed = match position {
            // Which key is meant, and by which algorithm: nobody can tell a flip there from another's.
            0..20 => true,
            _ => matches!(error.kind(), ErrorKind::Tampered | ErrorKind::Header),
        };
        assert!(allowed, "byte {position}: {error:?}");
        open(&good[..position], &keys).unwrap_err();
    }
    let trailing = [good.as_slice(), b"x"].concat();
    open(&trailing, &keys).unwrap_err();
    open(&[good.as_slice(), &good].concat(), &keys).unwrap_err();
}

#[test]
fn refusals_say_what_is_wrong() {
    let kind = |sealed: &[u8], keys: &[SecretKey]| open(sealed, keys).unwrap_err().kind();
    let keys = SecretKey::parse(PRIVATE).unwrap();
    assert_eq!(kind(b"", &keys), ErrorKind::Truncated);
    assert_eq!(kind(b"hello", &keys), ErrorKind::NotSealed);
    assert_eq!(kind(SEALED, &[]), ErrorKind::NotForYou);
    let good = dearmored(SEALED);
    // The session key, then a packet of type 9: encrypted, and nothing detects a change.
    let prefix = 3 + 268;
    let unprotected = [&good[..prefix], &[0xC9, 40], &[7; 40]].concat();
    assert_eq!(kind(&unprotected, &keys), ErrorKind::Weak);
    let many = good[..prefix].repeat(5_000);
    assert_eq!(kind(&many, &keys), ErrorKind::Header);
    // A literal message that nobody encrypted.
    assert_eq!(kind(b"\xCB\x07b\x00\x00\x00\x00\x00x", &keys), ErrorKind::NotSealed);

    let key = |bytes: &[u8]| PublicKey::parse(bytes, NOW).unwrap_err().kind();
    assert_eq!(key(b""), ErrorKind::BadKey);
    assert_eq!(key(PRIVATE), ErrorKind::BadKey);
    assert_eq!(key(&[0x99; 100]), ErrorKind::BadKey);
    assert_eq!(key(&vec![b'A'; 2 << 20]), ErrorKind::BadKey);
    assert_eq!(SecretKey::parse(PUBLIC).unwrap_err().kind(), ErrorKind::BadKey);
    let shown = format!("{:?}", SecretKey::parse(PRIVATE).unwrap());
    assert!(shown.len() < 100 && shown.contains("SecretKey"), "{shown}");
}

/// gpg in a home of its own.
struct Gpg {
    program: std::path::PathBuf,
    home: tempfile::TempDir,
}

impl Gpg {
    fn new() -> Option<Gpg> {
        let home = tempfile::Builder::new().prefix("gpg-").tempdir().unwrap();
        Some(Gpg { program: judge("gpg")?, home })
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(&self.program);
        command.env("GNUPGHOME", self.home.path()).current_dir(self.home.path());
        command.args(["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback"]);
        let output = command.args(["--passphrase", ""]).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "gpg {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    fn make(&self, user: &str, algorithm: &str, expire: &str) -> Vec<u8> {
        self.run(&["--quick-generate-key", user, algorithm, "default", expire]);
        self.run(&["--export", user])
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.home.path()).join(name)
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut kill = Command::new("gpgconf");
        // Without gpgconf the agent goes when its home is gone.
        let _gone = kill.env("GNUPGHOME", self.home.path()).args(["--kill", "all"]).status();
    }
}

#[test]
fn gpg_takes_generated_keys_and_reads_and_writes_the_messages() {
    let Some(gpg) = Gpg::new() else { return };
    let pair = s3s2::generate("acme").unwrap();
    assert!(!format!("{pair:?}").contains("BEGIN"));
    std::fs::write(gpg.path("private.asc"), pair.private.as_bytes()).unwrap();
    gpg.run(&["--import", "private.asc"]);
    let public = PublicKey::parse(pair.public.as_bytes(), NOW).unwrap();
    assert!(!public.is_bare());
    let content = ramp(100_000);
    std::fs::write(gpg.path("ours.gpg"), dearmored(&seal(&content, &public))).unwrap();
    assert!(gpg.run(&["--decrypt", "ours.gpg"]) == content);

    let keys = SecretKey::parse(pair.private.as_bytes()).unwrap();
    std::fs::write(gpg.path("plain"), &content).unwrap();
    for (armor, compress) in [("--armor", "0"), ("--no-armor", "6")] {
        let trust =
            ["--trust-model", "always", "--recipient", "acme", "--compress-level", compress];
        let arguments = [&trust[..], &[armor, "--output", "theirs", "--encrypt", "plain"]].concat();
        gpg.run(&arguments);
        let sealed = std::fs::read(gpg.path("theirs")).unwrap();
        assert!(open(&sealed, &keys).unwrap().0 == content, "{armor}");
    }
}

#[test]
fn keys_that_must_not_be_used_are_refused() {
    let Some(gpg) = Gpg::new() else { return };
    let good = gpg.make("good", "rsa2048", "0");
    PublicKey::parse(&good, NOW).unwrap();
    let kind = |bytes: &[u8], now| PublicKey::parse(bytes, now).unwrap_err().kind();
    assert_eq!(kind(&gpg.make("small", "rsa1024", "0"), NOW), ErrorKind::Weak);
    assert_eq!(kind(&gpg.make("curve", "ed25519", "0"), NOW), ErrorKind::UnsupportedKey);
    let mortal = gpg.make("mortal", "rsa2048", "1y");
    PublicKey::parse(&mortal, 0).unwrap();
    assert_eq!(kind(&mortal, NOW + (20 << 25)), ErrorKind::ExpiredKey);

    let fingerprint = gpg.run(&["--list-keys", "--with-colons", "good"]);
    let text = String::from_utf8(fingerprint).unwrap();
    let line = text.lines().find(|line| line.starts_with("fpr")).unwrap();
    let fingerprint = line.split(':').nth(9).unwrap();
    let revocation = gpg.path("openpgp-revocs.d").join(format!("{fingerprint}.rev"));
    let text = std::fs::read_to_string(revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    std::fs::write(gpg.path("revocation"), text).unwrap();
    gpg.run(&["--import", "revocation"]);
    assert_eq!(kind(&gpg.run(&["--export", "good"]), NOW), ErrorKind::RevokedKey);
    // A revocation that somebody else made up revokes nothing.
    let mut forged = gpg.run(&["--export", "good"]);
    let in_the_revocation = 3 + 269 + 40;
    forged[in_the_revocation] ^= 1;
    PublicKey::parse(&forged, NOW).unwrap();

    let locked = ["--quick-generate-key", "--passphrase", "secret", "locked", "rsa2048"];
    gpg.run(&[&["--passphrase", "secret"], &locked[..1], &locked[3..]].concat());
    let locked = gpg.run(&["--passphrase", "secret", "--export-secret-keys", "locked"]);
    assert_eq!(SecretKey::parse(&locked).unwrap_err().kind(), ErrorKind::NeedsPassphrase);
}
