//! The checksums that S3 tells of an object. Which one an object has was chosen by whoever put it; a
//! copy keeps the choice, so two objects can be compared by what both have.

use std::collections::BTreeMap;

/// Checksums of a whole object in base64, each under its algorithm as S3's headers call it: `crc32`,
/// `crc32c`, `crc64nvme`, `sha1`, `sha256`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums(BTreeMap<&'static str, String>);

impl Checksums {
    /// What of this is of the whole object: a checksum of checksums of parts ends in `-` and their
    /// number, and is another where the parts are.
    pub fn of_whole<const N: usize>(told: [(&'static str, Option<String>); N]) -> Checksums {
        let told = told.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Checksums(told.filter(|(_, value)| !value.contains('-')).collect())
    }

    /// By this algorithm, where it is known.
    pub fn get(&self, algorithm: &str) -> Option<&str> {
        self.0.get(algorithm).map(String::as_str)
    }

    /// Whether an algorithm that is known of both says that they are different contents.
    pub fn contradict(&self, other: &Checksums) -> bool {
        self.0.iter().any(|(name, value)| other.0.get(name).is_some_and(|there| there != value))
    }
}

/// Reads the five of an answer of the SDK, whose types have nothing in common but the fields.
macro_rules! checksums {
    ($answer:expr) => {
        crate::s3::Checksums::of_whole([
            ("crc32", $answer.checksum_crc32.clone()),
            ("crc32c", $answer.checksum_crc32_c.clone()),
            ("crc64nvme", $answer.checksum_crc64_nvme.clone()),
            ("sha1", $answer.checksum_sha1.clone()),
            ("sha256", $answer.checksum_sha256.clone()),
        ])
    };
}
pub(super) use checksums;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_know_of_the_whole_decides() {
        let of = |told: [(&'static str, &str); 2]| {
            Checksums::of_whole(told.map(|(name, value)| (name, Some(value.to_owned()))))
        };
        let one = of([("crc32", "AAAAAA=="), ("sha256", "parts=-3")]);
        assert_eq!((one.get("crc32"), one.get("sha256")), (Some("AAAAAA=="), None));
        assert!(!one.contradict(&of([("crc32", "AAAAAA=="), ("sha256", "other=-2")])));
        assert!(one.contradict(&of([("crc32", "AAAAAQ=="), ("crc64nvme", "x")])));
        assert!(!one.contradict(&of([("crc64nvme", "x"), ("sha1", "y")])));
        assert!(!one.contradict(&Checksums::default()));
    }
}
