//! How long to wait before trying again: full jitter (a random share of an exponentially growing
//! bound), so that many clients which failed together do not come back together. Throttling begins
//! higher, because the server has asked for room.

use std::time::Duration;

use consign_cloud::ErrorKind;

const BASE: Duration = Duration::from_millis(100);
const BASE_THROTTLED: Duration = Duration::from_secs(1);
const BOUND: Duration = Duration::from_secs(20);

/// The waits of one operation. Pure: the randomness comes from the seed.
#[derive(Clone, Debug)]
pub struct Backoff {
    attempts_left: u32,
    failures: u32,
    random: SplitMix64,
}

impl Backoff {
    /// For an operation that may be tried `attempts_max` times.
    pub fn new(attempts_max: u32, seed: u64) -> Backoff {
        Backoff { attempts_left: attempts_max, failures: 0, random: SplitMix64(seed) }
    }

    /// The wait after a failure of this kind; none when the tries are used up.
    pub fn after(&mut self, failure: ErrorKind) -> Option<Duration> {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        if self.attempts_left == 0 {
            return None;
        }
        let base = if failure == ErrorKind::Throttled { BASE_THROTTLED } else { BASE };
        let bound = base.saturating_mul(1 << self.failures.min(16)).min(BOUND);
        self.failures += 1;
        // Below a second the low half would often mean "at once", which is what a server that
        // just failed can least use: keep a twentieth.
        let share = 0.05 + 0.95 * self.random.share();
        Some(bound.mul_f64(share))
    }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014). Eight lines, good
/// enough for waits, and the same on every platform.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(kind: ErrorKind, attempts: u32, seed: u64) -> Vec<Duration> {
        let mut backoff = Backoff::new(attempts, seed);
        std::iter::from_fn(|| backoff.after(kind)).collect()
    }

    #[test]
    fn waits_stay_below_a_growing_bound_and_differ_by_seed() {
        for seed in 0..200 {
            for (kind, base) in [(ErrorKind::Network, 100), (ErrorKind::Throttled, 1000)] {
                let waits = waits(kind, 12, seed);
                assert_eq!(waits.len(), 11, "one wait fewer than tries");
                for (n, wait) in waits.iter().enumerate() {
                    let bound = Duration::from_millis(base << n).min(BOUND);
                    assert!(*wait < bound && *wait >= bound / 21, "{kind:?} {n} {wait:?}");
                }
            }
        }
        assert_ne!(waits(ErrorKind::Network, 5, 1), waits(ErrorKind::Network, 5, 2));
        assert!(waits(ErrorKind::Network, 1, 1).is_empty());
    }
}
