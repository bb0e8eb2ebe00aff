//! What a sealed thing is, from its first bytes.
//!
//! [`sniff`] looks at a prefix and nothing else, so it works on a file, a pipe and the first range
//! of an object. It recognises and does not judge: that something begins as an age file does not
//! make it one. Objects of the Amazon S3 Encryption Client cannot be told from random bytes; their
//! metadata tells, which the caller has.

use crate::age;

/// Prefix bytes that are enough for [`sniff`]; fewer are all right where there are no more.
pub const SNIFF_BYTES: usize = 2048;

/// A format of sealed things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// age, any version.
    Age {
        /// In text, between `-----BEGIN AGE ENCRYPTED FILE-----` and its end.
        armored: bool,
    },
    /// An OpenPGP message that is encrypted: `gpg`, `sq` and others.
    OpenPgp {
        /// In text, between `-----BEGIN PGP MESSAGE-----` and its end.
        armored: bool,
    },
    /// A file as s3s2 shares it (`.zip.gpg`): an OpenPGP message in an armor that no OpenPGP program
    /// knows. Where it has another armor or none, its name alone tells: it is [`Format::OpenPgp`].
    S3s2,
    /// An object of the Amazon S3 Encryption Client of this version, 1 to 3. Its metadata tells,
    /// not its bytes: see [`sniff_metadata`].
    S3Encryption {
        /// The version of the format.
        version: u8,
    },
    /// None of these.
    Unknown,
}

impl Format {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Format::Age { armored: false } => "age",
            Format::Age { armored: true } => "age, armored",
            Format::OpenPgp { armored: false } => "OpenPGP",
            Format::OpenPgp { armored: true } => "OpenPGP, armored",
            Format::S3s2 => "s3s2 (OpenPGP)",
            Format::S3Encryption { version: 1 } => "Amazon S3 Encryption Client, V1",
            Format::S3Encryption { version: 2 } => "Amazon S3 Encryption Client, V2",
            Format::S3Encryption { .. } => "Amazon S3 Encryption Client, V3",
            Format::Unknown => "unknown",
        }
    }
}

/// The format that `prefix` begins.
pub fn sniff(prefix: &[u8]) -> Format {
    if age::starts_like_age(prefix) {
        return Format::Age { armored: !prefix.starts_with(b"age-encryption.org/") };
    }
    let text = prefix.strip_prefix(b"\xef\xbb\xbf").unwrap_or(prefix).trim_ascii_start();
    if text.starts_with(b"-----BEGIN PGP MESSAGE") {
        return Format::OpenPgp { armored: true };
    }
    if text.starts_with(b"-----BEGIN Message-----") {
        return Format::S3s2;
    }
    if begins_openpgp(prefix) {
        return Format::OpenPgp { armored: false };
    }
    Format::Unknown
}

/// The format that an object's metadata tells (names without `x-amz-meta-`, in lower case), if it
/// tells one. The specification of the S3 Encryption Client names the encrypted data key
/// `x-amz-key` in V1, `x-amz-key-v2` in V2 and `x-amz-3` in V3; where all of that lies in an
/// instruction file beside the object, the content's cipher may stay behind.
pub fn sniff_metadata<'a>(names: impl Iterator<Item = &'a str>) -> Option<Format> {
    let version = names
        .filter_map(|name| match name {
            "x-amz-3" | "x-amz-c" => Some(3),
            "x-amz-key-v2" => Some(2),
            "x-amz-key" => Some(1),
            _ => None,
        })
        .max()?;
    Some(Format::S3Encryption { version })
}

/// RFC 9580 §4.2 and §10.3: an encrypted message begins with a session key packet (1, 3) or with
/// the encrypted data itself (9, 18, 20), perhaps after a marker (10). The first byte alone would
/// take one random file in twenty for OpenPGP, so the version that follows the length must be one
/// that exists.
fn begins_openpgp(bytes: &[u8]) -> bool {
    let Some((&first, rest)) = bytes.split_first() else { return false };
    if first & 0x80 == 0 {
        return false;
    }
    let new_format = first & 0x40 != 0;
    let (tag, length) = match (new_format, rest.first()) {
        (true, Some(0..=191 | 224..=254)) => (first & 0x3f, 1),
        (true, Some(192..=223)) => (first & 0x3f, 2),
        (true, Some(255)) => (first & 0x3f, 5),
        (false, Some(_)) => (first >> 2 & 0x0f, [1, 2, 4, 0][usize::from(first & 3)]),
        (_, None) => return false,
    };
    let version = rest.get(length).copied().unwrap_or_default();
    match tag {
        1 => matches!(version, 2 | 3 | 6),
        3 => matches!(version, 4..=6),
        // Without integrity protection there is no version; its random prefix says nothing.
        9 => !new_format,
        10 => rest.get(length..length + 3) == Some(b"PGP"),
        18 => matches!(version, 1 | 2),
        20 => version == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_tells_the_encryption_client() {
        let told = |names: &[&'static str]| sniff_metadata(names.iter().copied());
        assert_eq!(told(&["x-amz-iv", "x-amz-key"]), Some(Format::S3Encryption { version: 1 }));
        assert_eq!(told(&["x-amz-key-v2"]), Some(Format::S3Encryption { version: 2 }));
        assert_eq!(told(&["x-amz-c", "x-amz-3"]), Some(Format::S3Encryption { version: 3 }));
        assert_eq!(told(&["author"]), None);
    }

    #[test]
    fn each_format_is_known_by_its_beginning() {
        let armored = Format::OpenPgp { armored: true };
        let binary = Format::OpenPgp { armored: false };
        for (bytes, format) in [
            (&b"age-encryption.org/v1\n-> X"[..], Format::Age { armored: false }),
            (b"age-encryption.org/v2\n", Format::Age { armored: false }),
            (b"\n -----BEGIN AGE ENCRYPTED FILE-----\n", Format::Age { armored: true }),
            (b"-----BEGIN PGP MESSAGE-----\n", armored),
            (b"-----BEGIN Message-----\n\n", Format::S3s2),
            (b"\xef\xbb\xbf\r\n-----BEGIN PGP MESSAGE-----\r\n", armored),
            // Session keys for a recipient: old and new packet headers, versions 3 and 6.
            (b"\x85\x01\x0c\x03\x12\x34", binary),
            (b"\x84\x5e\x03\x12\x34", binary),
            (b"\xc1\xc0\x4c\x03\x12", binary),
            (b"\xc1\x5e\x06\x21", binary),
            // For a passphrase, and protected data alone.
            (b"\x8c\x0d\x04\x09\x03", binary),
            (b"\xc3\x0d\x06\x0b", binary),
            (b"\xd2\x5f\x01\xaa", binary),
            (b"\xca\x03PGP", binary),
            // A public key, a signature, a zip, noise, nothing.
            (b"-----BEGIN PGP PUBLIC KEY BLOCK-----", Format::Unknown),
            (b"\x99\x01\x0d\x04", Format::Unknown),
            (b"\xc1\x5e\x07\x21", Format::Unknown),
            (b"PK\x03\x04", Format::Unknown),
            (b"\x00\x00\x00\x00", Format::Unknown),
            (b"\x85", Format::Unknown),
            (b"", Format::Unknown),
        ] {
            assert_eq!(sniff(bytes), format, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
