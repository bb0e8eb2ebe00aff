//! A party's public keys, as the exchange file lists them.
//!
//! Only the spelling is judged here, so that a mistyped key is found with its line and column;
//! whether the bytes are a point of the curve is the sealing crate's to say.

use crate::name::shown;
use crate::{Date, Digest, Error, ErrorKind, KeyId};
use serde::Serialize;

/// One public key of a party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublicKey {
    /// For a recipient `age1…` or `age1pq1…`, or `openpgp:` and the fingerprint of a certificate in
    /// upper case, or `rsa:` and a SubjectPublicKeyInfo in base64; for a signer `ssh-ed25519 AAAA…` (without comment).
    pub key: String,
    /// What its owner calls it, or `b3:` and 16 hexadecimal digits of BLAKE3 of the key's text.
    pub id: KeyId,
    /// The last day on which it is used, if it has one.
    pub not_after: Option<Date>,
    /// Where its owner keeps it, for a key whose fingerprint alone stands in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What a recipient begins with that is an OpenPGP certificate.
const OPENPGP: &str = "openpgp:";
/// What a recipient begins with that is an RSA key.
const RSA: &str = "rsa:";
/// A SubjectPublicKeyInfo of an RSA key of 2048 to 8192 bits, in base64.
const RSA_CHARACTERS: std::ops::RangeInclusive<usize> = 390..=1420;

impl PublicKey {
    /// A key that opens what is sent to its owner: an age recipient, X25519 or post-quantum; an
    /// OpenPGP certificate, which is named by its whole fingerprint and lies in the key folder; or an
    /// RSA key, for lanes in the format of Amazon's S3 Encryption Client.
    pub fn recipient(
        text: &str,
        id: Option<KeyId>,
        not_after: Option<Date>,
    ) -> Result<PublicKey, Error> {
        let bad = |reason: &str| bad_key(text, "a recipient", reason);
        if text.starts_with("AGE-SECRET-KEY-") {
            return Err(Error::new(
                ErrorKind::BadValue,
                "this is a secret key; the exchange file takes the public key that begins with \
                 `age1`. Whoever has seen this file can open what is sealed to it: make a new one",
            ));
        }
        if let Some(fingerprint) = text.strip_prefix(OPENPGP) {
            let fingerprint = fingerprint.replace(' ', "").to_ascii_uppercase();
            let whole = matches!(fingerprint.len(), 40 | 64);
            return match whole && fingerprint.bytes().all(|b| b.is_ascii_hexdigit()) {
                true => Ok(PublicKey::new(format!("{OPENPGP}{fingerprint}"), id, not_after)),
                false => Err(bad("after `openpgp:` stands a fingerprint of 40 or 64 digits")),
            };
        }
        if let Some(base64) = text.strip_prefix(RSA) {
            return match is_rsa(base64) {
                true => Ok(PublicKey::new(text.to_owned(), id, not_after)),
                false => Err(bad(
                    "after `rsa:` stands what `openssl pkey -in KEY -pubout -outform DER | base64 -w0` \
                     prints, of a key of 2048 bits or more",
                )),
            };
        }
        if !text.starts_with("age1") {
            return Err(bad("a recipient begins with `age1`, `openpgp:` or `rsa:`"));
        }
        // Bech32 of 32 bytes, or of the 1,216 of ML-KEM-768 and X25519.
        let length = if text.starts_with("age1pq1") { 1959 } else { 62 };
        if text.len() != length {
            let reason = format!("it has {length} characters, this one {}", text.chars().count());
            return Err(bad(&reason));
        }
        if !bech32_checks(text) {
            return Err(bad("its checksum is wrong, so a character is mistyped"));
        }
        Ok(PublicKey::new(text.to_owned(), id, not_after))
    }

    /// An OpenPGP certificate that lies elsewhere, with its fingerprint: `https://HOST/PATH#FINGERPRINT`,
    /// `ssm:NAME#FINGERPRINT`, `secretsmanager:NAME#FINGERPRINT`, or a file `PATH#FINGERPRINT`. Whoever
    /// holds that place can withhold the key, and not exchange it.
    pub fn at_source(
        text: &str,
        id: Option<KeyId>,
        not_after: Option<Date>,
    ) -> Result<PublicKey, Error> {
        let bad = |reason: &str| {
            let message = format!("{} is not a source of a key: {reason}", shown(text));
            Err(Error::new(ErrorKind::BadValue, message))
        };
        let Some((place, fingerprint)) = text.rsplit_once('#') else {
            return bad(
                "it ends in no fingerprint, so whoever holds that place could exchange the key; ask \
                 the owner for the fingerprint by another way, and append #FINGERPRINT",
            );
        };
        let fingerprint = fingerprint.to_ascii_uppercase();
        let whole = matches!(fingerprint.len(), 40 | 64);
        if !whole || !fingerprint.bytes().all(|b| b.is_ascii_hexdigit()) {
            return bad("after `#` stands a fingerprint of 40 or 64 hexadecimal digits");
        }
        if place.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return bad("it has spaces");
        }
        let name = ["ssm:", "secretsmanager:", "https://"];
        let name = name.iter().find_map(|kind| place.strip_prefix(kind)).unwrap_or(place);
        if name.is_empty() {
            return bad("it names nothing");
        }
        if place.starts_with("http:") {
            return bad("the way there is not encrypted; use https://");
        }
        let key = PublicKey::new(format!("{OPENPGP}{fingerprint}"), id, not_after);
        Ok(PublicKey { source: Some(format!("{place}#{fingerprint}")), ..key })
    }

    /// A key that checks what its owner signs: an OpenSSH Ed25519 public key.
    pub fn signer(
        text: &str,
        id: Option<KeyId>,
        not_after: Option<Date>,
    ) -> Result<PublicKey, Error> {
        let bad = |reason: &str| bad_key(text, "a signer", reason);
        if text.contains("PRIVATE KEY") {
            return Err(Error::new(
                ErrorKind::BadValue,
                "this is a private key; the exchange file takes the public line that begins with \
                 `ssh-ed25519`. Whoever has seen this file can sign in its name: make a new one",
            ));
        }
        let mut words = text.split_ascii_whitespace();
        let (kind, blob) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if kind != "ssh-ed25519" {
            return Err(bad("a signer is an OpenSSH line that begins with `ssh-ed25519`"));
        }
        // The blob is: length 11, "ssh-ed25519", length 32, 32 bytes; the first 19 bytes are
        // always these characters, the last of which is shared with the key.
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        if blob.len() != 68
            || !blob.starts_with("AAAAC3NzaC1lZDI1NTE5AAAAI")
            || !blob.bytes().all(base64)
        {
            return Err(bad("after `ssh-ed25519` stand 68 characters that begin with `AAAAC3`"));
        }
        Ok(PublicKey::new(format!("{kind} {blob}"), id, not_after))
    }

    /// The fingerprint, if it is an OpenPGP certificate.
    #[must_use]
    pub fn openpgp_fingerprint(&self) -> Option<&str> {
        self.key.strip_prefix(OPENPGP)
    }

    /// Whether it is an age recipient.
    #[must_use]
    pub fn is_age(&self) -> bool {
        self.key.starts_with("age1")
    }

    /// The SubjectPublicKeyInfo in base64, if it is an RSA key.
    #[must_use]
    pub fn rsa_base64(&self) -> Option<&str> {
        self.key.strip_prefix(RSA)
    }

    /// Whether it may still be used on this day.
    #[must_use]
    pub fn is_live(&self, today: Date) -> bool {
        self.not_after.is_none_or(|last| today <= last)
    }

    fn new(key: String, id: Option<KeyId>, not_after: Option<Date>) -> PublicKey {
        let id = id.unwrap_or_else(|| {
            let digest = Digest::of(key.as_bytes()).to_string();
            let text = format!("b3:{}", digest.get(..16).unwrap_or(&digest));
            KeyId::parse(&text).expect("b3: and hexadecimal digits are an id")
        });
        PublicKey { key, id, not_after, source: None }
    }
}

fn bad_key(text: &str, what: &str, reason: &str) -> Error {
    let start: String = text.chars().take(24).collect();
    Error::new(ErrorKind::BadValue, format!("{} is not {what}: {reason}", shown(&start)))
}

/// Whether it is spelled as such a key: a DER sequence of more than 255 bytes begins with `MII`.
fn is_rsa(base64: &str) -> bool {
    let digits = base64.trim_end_matches('=');
    let character = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    base64.starts_with("MII")
        && RSA_CHARACTERS.contains(&base64.len())
        && base64.len().is_multiple_of(4)
        && base64.len() - digits.len() <= 2
        && digits.bytes().all(character)
}

/// Whether a lower-case bech32 text (BIP 173) ends in its own checksum.
fn bech32_checks(text: &str) -> bool {
    checksum(text) == 1
}

/// The sum of BIP 173 over prefix and letters, 1 for a text that ends in its own checksum, 0 for one
/// that is no such text.
fn checksum(text: &str) -> u32 {
    const CHARSET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some((prefix, data)) = text.rsplit_once('1') else { return 0 };
    let step = |sum: u32, value: u32| {
        let top = sum >> 25;
        let next = ((sum & 0x1ff_ffff) << 5) ^ value;
        (0..).zip(GENERATOR).fold(next, |s, (bit, g)| if top >> bit & 1 == 1 { s ^ g } else { s })
    };
    let mut sum = prefix.bytes().fold(1, |s, b| step(s, u32::from(b >> 5)));
    sum = step(sum, 0);
    sum = prefix.bytes().fold(sum, |s, b| step(s, u32::from(b & 31)));
    for byte in data.bytes() {
        let Some(value) = (0..).zip(CHARSET).find(|(_, c)| **c == byte).map(|(i, _)| i) else {
            return 0;
        };
        sum = step(sum, value);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: &str = "age1wl8m9eq58kuzfw2jrjee6cmyjquc3z2ylx9dhte98crx4mvtv9wqfaqhex";
    const SSH: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOgYOtkh4vG6UN63ouvGHCvIFyuGe0Qhgr4PIC5clKoE";

    #[test]
    fn keys_are_judged_by_their_spelling() {
        let key = PublicKey::recipient(AGE, None, None).expect("a key of age-keygen");
        assert!(key.id.as_str().starts_with("b3:") && key.id.as_str().len() == 19);
        let signer = PublicKey::signer(&format!("{SSH} me@home"), None, None).expect("a signer");
        assert_eq!(signer.key, SSH, "the comment is dropped");

        for bad in [
            "",
            "age1",
            &AGE.replace("wl8", "w18"),
            &AGE.replace("qhex", "qhew"),
            &AGE.to_uppercase(),
            SSH,
        ] {
            assert!(PublicKey::recipient(bad, None, None).is_err(), "{bad:?}");
        }
        for bad in ["", "ssh-ed25519", "ssh-rsa AAAA", AGE, &SSH.replace("KoE", "Ko")] {
            assert!(PublicKey::signer(bad, None, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_post_quantum_recipient_is_judged_by_its_checksum() {
        const LETTERS: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
        let body: String = (0..1946).map(|n| char::from(LETTERS[n * 7 % 32])).collect();
        // One in 32^6 endings is right; the polynomial of BIP 173 finds it letter by letter.
        let mut text = format!("age1pq1{body}qqqqqq");
        let sum = checksum(&text) ^ 1;
        text.truncate(text.len() - 6);
        for at in (0..6).rev() {
            text.push(char::from(LETTERS[(sum >> (5 * at) & 31) as usize]));
        }
        assert!(PublicKey::recipient(&text, None, None).is_ok());
        let other = if &text[100..101] == "q" { "p" } else { "q" };
        let mut mistyped = text.clone();
        mistyped.replace_range(100..101, other);
        assert!(PublicKey::recipient(&mistyped, None, None).is_err());
        assert!(PublicKey::recipient(&text[..1958], None, None).is_err());
    }

    #[test]
    fn a_secret_key_is_not_repeated_in_the_message() {
        let secret = format!("AGE-SECRET-KEY-1{}", "Q".repeat(58));
        let error = PublicKey::recipient(&secret, None, None).expect_err("is refused");
        assert!(!error.to_string().contains("QQQQ"), "{error}");
    }

    #[test]
    fn a_key_lives_until_the_end_of_its_last_day() {
        let day = |text| Date::parse(text).expect("a day");
        let key = PublicKey::recipient(AGE, None, Some(day("2027-12-31"))).expect("a key");
        assert!(key.is_live(day("2027-12-31")) && !key.is_live(day("2028-01-01")));
    }
}
