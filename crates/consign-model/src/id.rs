//! The ids of consignments and chains: ULIDs, in the one canonical spelling.

use crate::name::text_type;
use std::fmt;

use crate::{Error, ErrorKind, name::shown};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

text_type!(
    /// A consignment: a ULID of 26 characters, upper-case Crockford base 32. The first ten
    /// characters tell the millisecond, so ids sort by time.
    ConsignmentId, "a consignment's id", canonical_ulid
);
text_type!(
    /// A sender's unbroken series of consignments on one lane: a ULID made when the sender's state
    /// on that lane begins.
    ChainId, "a chain's id", canonical_ulid
);

impl ConsignmentId {
    /// The id of a moment (milliseconds since 1970, the lowest 48 bits count) and 80 random bits.
    #[must_use]
    pub fn from_parts(ms: u64, random: u128) -> ConsignmentId {
        ConsignmentId(ulid_text(ms, random))
    }

    /// When it was made, in milliseconds since 1970, as its maker said.
    #[must_use]
    pub fn timestamp_ms(&self) -> u64 {
        Ulid::from_string(&self.0).map_or(0, |ulid| ulid.timestamp_ms())
    }
}

impl ChainId {
    /// The id of a moment (milliseconds since 1970, the lowest 48 bits count) and 80 random bits.
    #[must_use]
    pub fn from_parts(ms: u64, random: u128) -> ChainId {
        ChainId(ulid_text(ms, random))
    }
}

fn ulid_text(ms: u64, random: u128) -> String {
    Ulid::from_parts(ms & 0xffff_ffff_ffff, random & ((1 << 80) - 1)).to_string()
}

fn canonical_ulid(text: &str) -> Result<(), &'static str> {
    // Decoders accept lower case and look-alikes; two spellings of one id would be two folders.
    match Ulid::from_string(text) {
        Ok(ulid) if ulid.to_string() == text => Ok(()),
        _ => Err("it has 26 characters of 0-9 and A-Z without I, L, O, U"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling_and_sort_by_time() {
        let early = ConsignmentId::from_parts(1_000, u128::MAX);
        let late = ConsignmentId::from_parts(1_001, 0);
        assert!(early < late);
        assert_eq!(late.timestamp_ms(), 1_001);
        assert_eq!(ConsignmentId::parse(late.as_str()).expect("its own text"), late);
        for bad in [
            "",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "01arz3ndektsv4rrffq69g5fav",
            "01ARZ3NDEKTSV4RRFFQ69G5FAI",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "../ARZ3NDEKTSV4RRFFQ69G5FAV",
        ] {
            assert!(ConsignmentId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
