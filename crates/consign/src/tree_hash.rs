//! BLAKE3 of a file whose parts are hashed in any order by any number of threads.
//!
//! BLAKE3 is a tree over chunks of 1 KiB. A part whose size is a power of two is a whole subtree,
//! so its value can be computed from its own bytes and its offset alone; the values are merged to
//! the digest of the file at the end. The BLAKE3 paper, section 2.1, gives the shape of the tree.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root};
use blake3::{Hasher, hazmat};
use consign_model::Digest;

/// The shape of a file's parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TreeHash {
    // INVARIANT: a power of two, at least 1 KiB.
    part_bytes: u64,
    total_bytes: u64,
}

impl TreeHash {
    pub(crate) fn new(part_bytes: u64, total_bytes: u64) -> TreeHash {
        assert!(part_bytes.is_power_of_two() && part_bytes >= 1024, "a part is a whole subtree");
        TreeHash { part_bytes, total_bytes }
    }

    pub(crate) fn parts(&self) -> u64 {
        self.total_bytes.div_ceil(self.part_bytes).max(1)
    }

    /// A hasher for the bytes of one part; finish it with [`TreeHash::value`].
    pub(crate) fn part(&self, number: u64) -> Hasher {
        let mut hasher = Hasher::new();
        if number > 0 {
            hasher.set_input_offset(number * self.part_bytes);
        }
        hasher
    }

    /// What a part contributes: the digest itself if the file has one part only.
    pub(crate) fn value(&self, part: &Hasher) -> ChainingValue {
        match self.parts() {
            1 => *part.finalize().as_bytes(),
            _ => part.finalize_non_root(),
        }
    }

    /// The digest of the file, from the values of its parts in order; none if one is missing.
    pub(crate) fn digest(&self, values: &[ChainingValue]) -> Option<Digest> {
        if values.len() as u64 != self.parts() {
            return None;
        }
        if let [only] = values {
            return Some(Digest::from(*only));
        }
        let (left, right) = self.children(values, self.total_bytes)?;
        Some(Digest::from(*hazmat::merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()))
    }

    fn children(
        &self,
        values: &[ChainingValue],
        bytes: u64,
    ) -> Option<(ChainingValue, ChainingValue)> {
        // The left side is the largest power of two below `bytes`, so a whole number of parts.
        let left_bytes = left_subtree_len(bytes);
        let at = usize::try_from(left_bytes / self.part_bytes).ok()?;
        let (left, right) = values.split_at_checked(at)?;
        Some((self.subtree(left, left_bytes)?, self.subtree(right, bytes - left_bytes)?))
    }

    fn subtree(&self, values: &[ChainingValue], bytes: u64) -> Option<ChainingValue> {
        if let [only] = values {
            return Some(*only);
        }
        let (left, right) = self.children(values, bytes)?;
        Some(merge_subtrees_non_root(&left, &right, Mode::Hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(part_bytes: usize, total: usize) {
        // A prime period, so that no part looks like another.
        let content: Vec<u8> = (0..total).map(|i| (i % 251) as u8).collect();
        let tree = TreeHash::new(part_bytes as u64, total as u64);
        let mut values = vec![[0; 32]; tree.parts() as usize];
        // Backwards, because the order must not matter.
        for number in (0..values.len()).rev() {
            let mut hasher = tree.part(number as u64);
            let start = number * part_bytes;
            hasher.update(&content[start..total.min(start + part_bytes)]);
            values[number] = tree.value(&hasher);
        }
        let digest = tree.digest(&values).expect("all parts are there");
        assert_eq!(digest, Digest::of(&content), "{total} bytes in parts of {part_bytes}");
        if values.len() > 1 {
            assert!(tree.digest(&values[1..]).is_none());
        }
    }

    #[test]
    fn merged_parts_are_the_digest() {
        for total in [0, 1, 1023, 1024, 1025, 2048, 4096, 5000, 8192, 65_537, 1 << 17, 300_001] {
            for part_bytes in [1024, 4096, 65_536] {
                check(part_bytes, total);
            }
        }
    }
}
