//! A way to tell running transfers to stop, and what they leave.

use std::sync::Arc;

use tokio::sync::watch;

/// What to leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Keep what was achieved: the journal and the upload. The same transfer can go on later. An
    /// upload without a journal on disk is aborted all the same: nobody could continue it.
    Keep,
    /// Leave nothing: abort the upload.
    Abort,
}

/// Tells transfers to stop. Clones tell the same transfers.
#[derive(Clone, Debug)]
pub struct Cancel {
    sender: Arc<watch::Sender<Option<Cancelled>>>,
}

impl Default for Cancel {
    fn default() -> Cancel {
        Cancel::new()
    }
}

impl Cancel {
    /// Not cancelled yet.
    pub fn new() -> Cancel {
        Cancel { sender: Arc::new(watch::Sender::new(None)) }
    }

    /// Stops every transfer that was given this value. The first word counts.
    pub fn cancel(&self, how: Cancelled) {
        self.sender.send_if_modified(|state| {
            let first = state.is_none();
            state.get_or_insert(how);
            first
        });
    }

    /// What was said, if anything.
    pub fn state(&self) -> Option<Cancelled> {
        *self.sender.borrow()
    }

    /// Waits until it is said.
    pub async fn cancelled(&self) -> Cancelled {
        let mut receiver = self.sender.subscribe();
        loop {
            if let Some(how) = *receiver.borrow_and_update() {
                return how;
            }
            if receiver.changed().await.is_err() {
                // Cannot be: we hold a sender. Waiting for ever is what "never cancelled" means.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_word_counts() {
        let cancel = Cancel::new();
        assert_eq!(cancel.state(), None);
        let waiting = tokio::spawn({
            let cancel = cancel.clone();
            async move { cancel.cancelled().await }
        });
        tokio::task::yield_now().await;
        cancel.cancel(Cancelled::Keep);
        cancel.cancel(Cancelled::Abort);
        assert_eq!(waiting.await.expect("joined"), Cancelled::Keep);
        assert_eq!(cancel.cancelled().await, Cancelled::Keep);
    }
}
