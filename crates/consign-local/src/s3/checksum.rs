//! The checksums of S3: which there are, computing them, and joining those of parts.

use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;

/// A checksum algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

pub(crate) const ALL: [Algorithm; 5] =
    [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

impl Algorithm {
    /// By the name in `x-amz-checksum-algorithm`.
    pub(crate) fn parse(name: &str) -> Option<Algorithm> {
        ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    /// The header or trailer that carries a value.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The element in XML.
    pub(crate) fn element(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "ChecksumCRC32",
            Algorithm::Crc32c => "ChecksumCRC32C",
            Algorithm::Crc64Nvme => "ChecksumCRC64NVME",
            Algorithm::Sha1 => "ChecksumSHA1",
            Algorithm::Sha256 => "ChecksumSHA256",
        }
    }

    /// Bytes of a raw value.
    pub(crate) fn value_bytes(self) -> usize {
        match self {
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64Nvme => 8,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        }
    }

    /// Whether checksums of parts can be joined to that of the whole.
    pub(crate) fn is_linear(self) -> bool {
        self.crc().is_some()
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Algorithm::Sha1 | Algorithm::Sha256 => None,
        }
    }

    /// Whether `text` is a value of this algorithm, as to its form.
    pub(crate) fn is_value(self, text: &str) -> bool {
        BASE64.decode(text).is_ok_and(|raw| raw.len() == self.value_bytes())
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Algorithm::parse(name).ok_or(())
    }
}

/// Computes one checksum of a stream.
pub(crate) enum Hasher {
    Crc(Algorithm, Box<crc_fast::Digest>),
    Sha(Algorithm, digest::Context),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Hasher {
        match algorithm.crc() {
            Some(crc) => Hasher::Crc(algorithm, Box::new(crc_fast::Digest::new(crc))),
            None if algorithm == Algorithm::Sha1 => {
                Hasher::Sha(algorithm, digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY))
            }
            None => Hasher::Sha(algorithm, digest::Context::new(&digest::SHA256)),
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Hasher::Crc(algorithm, _) | Hasher::Sha(algorithm, _) => *algorithm,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Crc(_, digest) => digest.update(bytes),
            Hasher::Sha(_, context) => context.update(bytes),
        }
    }

    /// The value in base64.
    pub(crate) fn finish(self) -> String {
        match self {
            Hasher::Crc(algorithm, digest) => encode_crc(algorithm, digest.finalize()),
            Hasher::Sha(_, context) => BASE64.encode(context.finish()),
        }
    }
}

fn encode_crc(algorithm: Algorithm, value: u64) -> String {
    let bytes = value.to_be_bytes();
    BASE64.encode(bytes.get(8 - algorithm.value_bytes()..).unwrap_or(&bytes))
}

fn decode_crc(algorithm: Algorithm, value: &str) -> Option<u64> {
    let raw = BASE64.decode(value).ok().filter(|raw| raw.len() == algorithm.value_bytes())?;
    Some(raw.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The checksum of the whole from those of consecutive parts (value, bytes): `FULL_OBJECT`.
pub(crate) fn combined<'p>(
    algorithm: Algorithm,
    parts: impl Iterator<Item = (&'p str, u64)>,
) -> Option<String> {
    let crc = algorithm.crc()?;
    let mut whole = crc_fast::Digest::new(crc).finalize();
    for (value, bytes) in parts {
        let part = decode_crc(algorithm, value)?;
        whole = crc_fast::checksum_combine(crc, whole, part, bytes);
    }
    Some(encode_crc(algorithm, whole))
}

/// The checksum of the parts' checksums, with `-N` behind it: `COMPOSITE`.
pub(crate) fn composite<'p>(
    algorithm: Algorithm,
    parts: impl Iterator<Item = (&'p str, u64)>,
) -> Option<String> {
    let mut hasher = Hasher::new(algorithm);
    let mut count = 0;
    for (value, _) in parts {
        hasher.update(&BASE64.decode(value).ok()?);
        count += 1;
    }
    Some(format!("{}-{count}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn values_are_those_that_s3_documents() {
        // CRC check values of "123456789" from the CRC catalogue; digests from FIPS 180.
        for (algorithm, value) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            let computed = of(algorithm, b"123456789");
            assert!(algorithm.is_value(&computed));
            assert_eq!(computed, value, "{}", algorithm.name());
        }
    }

    #[test]
    fn parts_join_to_the_whole() {
        let content: Vec<u8> = (0..100_003u32).map(|i| (i % 251) as u8).collect();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            for cuts in [vec![100_003], vec![1, 100_003], vec![40_000, 80_000, 100_003]] {
                let mut begin = 0;
                let mut parts = Vec::new();
                for end in cuts {
                    parts.push((of(algorithm, &content[begin..end]), (end - begin) as u64));
                    begin = end;
                }
                let parts = parts.iter().map(|(value, bytes)| (value.as_str(), *bytes));
                assert_eq!(combined(algorithm, parts), Some(of(algorithm, &content)));
            }
        }
    }
}
