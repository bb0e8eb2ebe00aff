//! What is drawn: kinds of objects, and how often things go wrong.

/// What is peculiar about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Copied in parts.
    Large,
    /// Deleted from the repository at some time.
    Vanishing,
    /// A policy says no.
    Denied,
    /// Arrives changed.
    Spoiled,
    /// Another version has the same place.
    Rival,
}

/// How often things go wrong: once in so many times, 0 never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    pub(crate) crash: u64,
    pub(crate) lost_request: u64,
    pub(crate) lost_answer: u64,
    pub(crate) throttled: u64,
    /// A message that was deleted comes again.
    pub(crate) undeleted: u64,
    /// Everything stands still for longer than a lease.
    pub(crate) pause: u64,
}

impl Chance {
    pub(crate) fn none() -> Chance {
        Chance { crash: 0, lost_request: 0, lost_answer: 0, throttled: 0, undeleted: 0, pause: 0 }
    }
}

/// Steele, Lea, Flood (2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index")
    }

    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }
}
