//! CRC-64/NVME, the checksum that S3 verifies on arrival and keeps for the whole object. The
//! checksum of a whole follows from those of its parts, so no byte is looked at twice.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use serde::{Deserialize, Serialize};

/// A CRC-64/NVME. `Display` is S3's form: base64 of the eight big-endian bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Crc64(u64);

impl Crc64 {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Crc64 {
        Crc64(crc_fast::checksum(Crc64Nvme, bytes))
    }

    /// Of what was checksummed so far, followed by `next`, which is `next_bytes` long.
    #[must_use]
    pub fn followed_by(self, next: Crc64, next_bytes: u64) -> Crc64 {
        Crc64(crc_fast::checksum_combine(Crc64Nvme, self.0, next.0, next_bytes))
    }

    /// Of what follows a beginning with the checksum `start`, where the whole has this one: the
    /// `rest_bytes` that follow need not be read. The checksum is linear, so what a beginning adds to
    /// the whole is taken off as it was added.
    #[must_use]
    pub fn without(self, start: Crc64, rest_bytes: u64) -> Crc64 {
        Crc64(self.0 ^ crc_fast::checksum_combine(Crc64Nvme, start.0, 0, rest_bytes))
    }

    /// From S3's form.
    pub fn parse(text: &str) -> Option<Crc64> {
        let bytes = STANDARD.decode(text).ok()?;
        Some(Crc64(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.to_be_bytes()))
    }
}

impl From<Crc64> for String {
    fn from(crc: Crc64) -> String {
        crc.to_string()
    }
}

impl TryFrom<String> for Crc64 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Crc64, &'static str> {
        Crc64::parse(&text).ok_or("not a CRC-64 in base64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_catalogue_and_with_the_aws_cli() {
        // "check" value of CRC-64/NVME in the CRC RevEng catalogue.
        assert_eq!(Crc64::of(b"123456789"), Crc64(0xae8b_1486_0a79_9888));
        assert_eq!(Crc64::of(b"123456789").to_string(), "rosUhgp5mIg=");
        assert_eq!(Crc64::parse("rosUhgp5mIg="), Some(Crc64::of(b"123456789")));
        assert_eq!(Crc64::parse("rosUhgp5mI"), None);
    }

    #[test]
    fn parts_combine() {
        let bytes: Vec<u8> = (0..100_003_u32).map(|i| (i % 251) as u8).collect();
        for cut in [0, 1, 4096, 65_537, bytes.len()] {
            let (head, tail) = bytes.split_at(cut);
            let whole = Crc64::of(head).followed_by(Crc64::of(tail), tail.len() as u64);
            assert_eq!(whole, Crc64::of(&bytes), "cut at {cut}");
            let rest = whole.without(Crc64::of(head), tail.len() as u64);
            assert_eq!(rest, Crc64::of(tail), "without the first {cut}");
        }
    }
}
