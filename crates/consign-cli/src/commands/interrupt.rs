//! Ctrl-C and SIGTERM: asks the work to stop where it can go on later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

/// Returns when the person or the system asks the program to stop.
pub(crate) async fn wait() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _stopped = tokio::signal::ctrl_c().await;
        }
    }
}

/// Raised when the program is asked to stop, for work that looks between its steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A flag that Ctrl-C and SIGTERM raise from now on.
pub(crate) fn flag() -> Flag {
    let flag = Flag::default();
    let raised = flag.clone();
    tokio::spawn(async move {
        wait().await;
        raised.0.store(true, Ordering::Relaxed);
    });
    flag
}
