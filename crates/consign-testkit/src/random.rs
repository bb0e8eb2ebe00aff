//! Randomness that a failing test can repeat.

/// A small generator (SplitMix64): the same seed gives the same numbers on every machine. Never for
/// keys.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// Starts from a number of the test's choice.
    pub const fn new(seed: u64) -> Seed {
        Seed(seed)
    }

    /// The seed in the environment variable `name`, else `default`; printed, so that a failure can
    /// be repeated.
    pub fn from_environment(name: &str, default: u64) -> Seed {
        let seed = std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
        eprintln!("seed: {name}={seed}");
        Seed(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end.max(1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let take = |seed| -> Vec<u64> {
            let mut seed = Seed::new(seed);
            (0..4).map(|_| seed.next_u64()).collect()
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        // The published first output for seed 0.
        assert_eq!(Seed::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
    }
}
