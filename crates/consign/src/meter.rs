//! Turns the bytes of an object into bytes of content, for whoever watches.

use crate::progress::Progress;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts one object. What is told in the end is exactly its content, whatever sealing added and
/// compression took away.
pub(crate) struct Meter {
    progress: Arc<dyn Progress>,
    content: u64,
    object: u64,
    moved: AtomicU64,
    told: AtomicU64,
}

impl Meter {
    pub(crate) fn new(progress: &Arc<dyn Progress>, content: u64, object: u64) -> Arc<Meter> {
        Arc::new(Meter {
            progress: Arc::clone(progress),
            content,
            object: object.max(1),
            moved: AtomicU64::new(0),
            told: AtomicU64::new(0),
        })
    }

    /// The object is complete.
    pub(crate) fn complete(&self) {
        self.tell(self.content);
    }

    fn tell(&self, content: u64) {
        let before = self.told.fetch_max(content, Ordering::Relaxed);
        if content > before {
            self.progress.advance(content - before);
        }
    }
}

impl consign_transfer::Progress for Meter {
    fn moved(&self, bytes: u64) {
        let moved = self.moved.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let share = u128::from(moved.min(self.object)) * u128::from(self.content);
        let content = share / u128::from(self.object);
        self.tell(u64::try_from(content).unwrap_or(self.content));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_transfer::Progress as _;

    #[derive(Default)]
    struct Sum(AtomicU64);

    impl Progress for Sum {
        fn advance(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_sum_is_the_content() {
        for (content, object, steps) in [
            (1000, 1100, vec![500, 600]),
            (1000, 10, vec![5, 5, 5]),
            (0, 0, vec![]),
            (7, 0, vec![1]),
        ] {
            let sum = Arc::new(Sum::default());
            let progress: Arc<dyn Progress> = sum.clone();
            let meter = Meter::new(&progress, content, object);
            for step in steps {
                meter.moved(step);
                assert!(sum.0.load(Ordering::Relaxed) <= content);
            }
            meter.complete();
            assert_eq!(sum.0.load(Ordering::Relaxed), content);
        }
    }
}
