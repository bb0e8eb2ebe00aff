//! How an object is cut into parts: one prefix (a seal's header) and equal pieces.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// Most parts an upload may have (S3 user guide, "Amazon S3 multipart upload limits").
const PARTS_MAX: u64 = 10_000;
/// Largest object.
const OBJECT_BYTES_MAX: u64 = 50 * (1 << 40);
/// Smallest part, but for the last. The simulated server has no such rule, and many events in few
/// bytes are what its tests want.
pub(crate) const PART_BYTES_MIN: u64 = if cfg!(test) { 1 } else { 5 * (1 << 20) };
/// Largest part and largest single PUT.
pub(crate) const PUT_BYTES_MAX: u64 = 5 * (1 << 30);

/// The cut of an object: part 0 holds `prefix_bytes + part_bytes`, every later one `part_bytes`,
/// the last what remains. An empty object is one empty part.
///
/// The sealed pieces of a plaintext cut at powers of two are equal in length, and only the first
/// carries the header: that is why the prefix is apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLayout {
    // INVARIANT: part_bytes > 0, parts ≤ PARTS_MAX, object_bytes ≤ OBJECT_BYTES_MAX.
    prefix_bytes: u64,
    part_bytes: u64,
    object_bytes: u64,
}

impl PartLayout {
    /// # Errors
    /// [`ErrorKind::Layout`] when the object cannot be cut so: parts of nothing, more than 10,000
    /// parts, an object above S3's limit, a prefix larger than a part.
    pub fn new(prefix_bytes: u64, part_bytes: u64, object_bytes: u64) -> Result<PartLayout, Error> {
        let refuse = |why: &str| {
            Err(Error::new(
                ErrorKind::Layout,
                format!(
                    "an object of {object_bytes} bytes cannot be cut into parts of {part_bytes} \
                     bytes after a prefix of {prefix_bytes}: {why}"
                ),
            ))
        };
        if part_bytes == 0 {
            return refuse("parts must hold something");
        }
        if prefix_bytes > part_bytes {
            return refuse("the prefix is larger than a part");
        }
        if object_bytes > OBJECT_BYTES_MAX {
            return refuse("S3 takes 50 TiB at most");
        }
        let layout = PartLayout { prefix_bytes, part_bytes, object_bytes };
        if layout.count() > PARTS_MAX {
            return refuse("S3 takes 10,000 parts at most");
        }
        Ok(layout)
    }

    /// Size of the whole object.
    pub fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// Bytes before the first piece.
    pub fn prefix_bytes(&self) -> u64 {
        self.prefix_bytes
    }

    /// Size of a piece.
    pub fn part_bytes(&self) -> u64 {
        self.part_bytes
    }

    /// Size of the largest part there is.
    pub fn largest_part_bytes(&self) -> u64 {
        self.object_bytes.min(self.prefix_bytes + self.part_bytes)
    }

    /// Number of parts, at least one.
    pub fn parts(&self) -> u32 {
        // The invariant keeps it far below the limit of the type.
        u32::try_from(self.count()).unwrap_or(u32::MAX)
    }

    fn count(&self) -> u64 {
        let first = self.prefix_bytes + self.part_bytes;
        1 + self.object_bytes.saturating_sub(first).div_ceil(self.part_bytes)
    }

    /// Bytes of part `number` within the object; empty beyond the last part.
    pub fn range(&self, number: u32) -> Range<u64> {
        let end = |number: u64| {
            (self.prefix_bytes + self.part_bytes * (number + 1)).min(self.object_bytes)
        };
        let number = u64::from(number);
        let start = if number == 0 { 0 } else { end(number - 1) };
        start..end(number)
    }

    /// Length of part `number`.
    pub fn part_len(&self, number: u32) -> usize {
        let range = self.range(number);
        // A part fits into memory, or it could not have been asked for.
        usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
    }
}

/// The plaintext behind one part, for a plaintext of this size: 8 MiB, doubled until 10,000 parts
/// hold it. A power of two, so that a tree hash of each part is a subtree of the whole's.
///
/// 8 MiB is where the prototype stopped getting faster, and eight of them in flight stay well
/// below 150 MiB.
pub fn plain_part_bytes(plain_bytes: u64) -> u64 {
    let mut part_bytes: u64 = 8 << 20;
    // A few parts of slack for the seal's overhead (16 bytes in 64 KiB, and a header).
    while plain_bytes.div_ceil(part_bytes) > PARTS_MAX - 10 {
        part_bytes *= 2;
    }
    part_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_tile_the_object(
            prefix in 0_u64..500,
            part in 500_u64..5000,
            object in 0_u64..2_000_000,
        ) {
            let layout = PartLayout::new(prefix, part, object)?;
            let mut at = 0;
            for number in 0..layout.parts() {
                let range = layout.range(number);
                prop_assert_eq!(range.start, at);
                prop_assert!(range.end > range.start || object == 0);
                let length = range.end - range.start;
                let full = part + if number == 0 { prefix } else { 0 };
                if number + 1 < layout.parts() {
                    prop_assert_eq!(length, full);
                }
                prop_assert!(length <= full && length <= layout.largest_part_bytes());
                prop_assert_eq!(layout.part_len(number) as u64, length);
                at = range.end;
            }
            prop_assert_eq!(at, object);
            prop_assert!(layout.range(layout.parts()).is_empty());
        }

        #[test]
        fn ten_thousand_parts_hold_any_plaintext(plain in 0_u64..(45 << 40)) {
            let part = plain_part_bytes(plain);
            prop_assert!(part.is_power_of_two());
            let chunks = plain.div_ceil(65536).max(1);
            let sealed_part = part + part / 65536 * 16;
            prop_assert!(PartLayout::new(1000, sealed_part, 1000 + plain + chunks * 16).is_ok());
        }
    }

    #[test]
    fn impossible_cuts_are_refused() {
        for (prefix, part, object) in
            [(0, 0, 10), (11, 10, 100), (0, 1, 10_001), (0, 1 << 40, (50 << 40) + 1)]
        {
            let error = PartLayout::new(prefix, part, object).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Layout, "{error}");
        }
    }

    #[test]
    fn usual_sizes() {
        assert_eq!(plain_part_bytes(6 << 30), 8 << 20);
        assert_eq!(plain_part_bytes(78 << 30), 8 << 20);
        assert_eq!(plain_part_bytes(100 << 30), 16 << 20);
    }
}
