//! Ctrl-C and SIGTERM: asks the work to stop where it can go on later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

/// Returns when the person or the system asks the program to stop.
pub(crate) async fn wait() {
    from_now_on().await;
}

/// The same, for whoever asks between this call and the first time that it is waited for.
pub(crate) fn from_now_on() -> impl Future<Output = ()> {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async move {
        match (terminate, interrupt) {
            (Ok(mut terminate), Ok(mut interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            (Ok(mut one), Err(_)) | (Err(_), Ok(mut one)) => drop(one.recv().await),
            // Then they end the program, as if nobody had asked for them.
            (Err(_), Err(_)) => std::future::pending().await,
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
