//! A later version of a consignment: the same files, sealed for other readers.
//!
//! A revision lies beside the original, in a folder of its own below the consignment's: `r1/`, `r2/`.
//! Each is whole: objects, signature and, written last, its manifest. The manifest differs from the
//! original's in whom it is sealed to and in what its objects measure; id, chain, sequence and files are
//! the same. Start with [`revised_place`]; what may differ is decided by whoever signs.

use crate::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

/// More often than that no consignment is revised.
pub const REVISIONS_MAX: u32 = 9999;

/// What a manifest says of the one it revises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// Which revision this is, from 1.
    pub number: u32,
    /// BLAKE3 of the consignment's first manifest: its place in the sender's chain, whatever
    /// revision a receiver sees.
    pub original: Digest,
    /// BLAKE3 of the manifest that this one revises: for number 1 the original.
    pub previous: Digest,
    /// When it was made, by the sender's clock.
    pub made: Timestamp,
}

impl Revision {
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=REVISIONS_MAX).contains(&self.number) {
            return Err(format!("its revision {} is not from 1 to {REVISIONS_MAX}", self.number));
        }
        match self.number == 1 && self.previous != self.original {
            true => Err("its first revision revises another manifest than the original".to_owned()),
            false => Ok(()),
        }
    }
}

/// Where an object of a revision lies below its consignment's folder: `000001.age` of the original
/// (number 0), `r2/000001.age` of the second revision.
#[must_use]
pub fn revised_place(number: u32, name: &str) -> String {
    match number {
        0 => name.to_owned(),
        number => format!("r{number}/{name}"),
    }
}

/// The reverse of [`revised_place`]: the revision and the name in it. What is in no revision's folder
/// is of the original.
#[must_use]
pub fn revision_of(place: &str) -> (u32, &str) {
    let revised = place.split_once('/').and_then(|(folder, name)| {
        let number = folder.strip_prefix('r')?;
        let number: u32 = number.parse().ok().filter(|_| !number.starts_with(['0', '+']))?;
        (number <= REVISIONS_MAX).then_some((number, name))
    });
    revised.unwrap_or((0, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for number in [0, 1, 9, 10, REVISIONS_MAX] {
            assert_eq!(revision_of(&revised_place(number, "000001.age")), (number, "000001.age"));
        }
        for strange in ["r0/a", "r01/a", "r+1/a", "r/a", "r10000/a", "q1/a", "r99999999999/a"] {
            assert_eq!(revision_of(strange), (0, strange));
        }
    }
}
