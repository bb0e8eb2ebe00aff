//! Test content in which every misplaced byte shows.

use crate::random::Seed;

/// The period of the ramp: prime, so that no part, chunk or block boundary falls in step with it.
const PERIOD: usize = 251;

/// `bytes` of a ramp 0, 1, …, 250, 0, …: two parts that were swapped, repeated or shifted differ
/// from what belongs there.
pub fn ramp(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % PERIOD) as u8).collect()
}

/// Random content of `bytes`: nothing that compresses.
pub fn noise(bytes: usize, seed: &mut Seed) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        noise.extend_from_slice(&seed.next_u64().to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// A marker that occurs nowhere else, put into every payload: where it is found, there is plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary(String);

impl Canary {
    /// A new marker: readable, and long enough never to occur by chance.
    pub fn new(seed: &mut Seed) -> Canary {
        Canary(format!("PLAINTEXT-CANARY-{:016x}{:016x}", seed.next_u64(), seed.next_u64()))
    }

    /// The marker itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Content of exactly `bytes` that carries the marker at its start, its end and every 10,007
    /// bytes between, over a ramp. Content shorter than the marker is its beginning.
    pub fn content(&self, bytes: usize) -> Vec<u8> {
        let mut content = ramp(bytes);
        let mark = self.0.as_bytes();
        let last = bytes.saturating_sub(mark.len());
        for at in (0..last).step_by(10_007).chain([last]) {
            for (to, from) in content.iter_mut().skip(at).zip(mark) {
                *to = *from;
            }
        }
        content
    }

    /// Whether the bytes contain the marker.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        contains(bytes, self.0.as_bytes())
    }
}

/// Whether `wanted` occurs in `text`. Many megabytes are searched, so the first byte is found first.
pub(crate) fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else { return false };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(wanted) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_has_a_prime_period() {
        let ramp = ramp(600);
        assert_eq!(&ramp[249..253], &[249, 250, 0, 1]);
        assert_ne!(&ramp[..256], &ramp[256..512]);
    }

    #[test]
    fn content_has_its_size_and_carries_the_canary_at_both_ends() {
        let canary = Canary::new(&mut Seed::new(1));
        for bytes in [0, 1, 48, 49, 50, 10_007, 30_000] {
            let content = canary.content(bytes);
            assert_eq!(content.len(), bytes);
            let long_enough = bytes >= canary.as_str().len();
            assert_eq!(canary.is_in(&content), long_enough, "{bytes} bytes");
            assert_eq!(content.ends_with(canary.as_str().as_bytes()), long_enough);
        }
    }
}
