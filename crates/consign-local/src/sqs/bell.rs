//! Wakes those who wait for a message.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// One bell for all queues: whoever waits looks again. On one machine that is cheaper than a bell
/// per queue that must be made, found and taken away.
#[derive(Debug, Default)]
pub struct Bell {
    rings: Notify,
    closing: AtomicBool,
}

impl Bell {
    /// There may be messages.
    pub fn ring(&self) {
        self.rings.notify_waiters();
    }

    /// The next ring after this call, also one before the future is first polled.
    pub fn next(&self) -> Notified<'_> {
        self.rings.notified()
    }

    /// Nobody waits any more: the server stops.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Whether waiting makes no sense any more.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}
