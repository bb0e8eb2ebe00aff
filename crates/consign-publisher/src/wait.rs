//! How long to wait before trying again: a random share of a bound that doubles, so that many who
//! failed together do not come back together.

/// Milliseconds.
const FIRST_MS: u64 = 200;
const FIRST_THROTTLED_MS: u64 = 1000;
const BOUND_MS: u64 = 20_000;

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Milliseconds to wait after so many failures in a row, at least a twentieth of the bound.
    pub(crate) fn after(&mut self, failures: u32, throttled: bool) -> u64 {
        let first = if throttled { FIRST_THROTTLED_MS } else { FIRST_MS };
        let bound = first.saturating_mul(1 << failures.min(16)).min(BOUND_MS);
        let least = bound / 20;
        least + self.next() % (bound - least + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut jitter = Jitter::new(1);
        for failures in 0..40 {
            for throttled in [false, true] {
                let wait = jitter.after(failures, throttled);
                assert!((10..=BOUND_MS).contains(&wait), "{failures}: {wait}");
            }
        }
    }
}
