//! Ctrl-C and SIGTERM: asks the work to stop where it can go on later.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::error::{CommandError, Kind};

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

    /// What has failed while the program was asked to stop has failed because of that.
    pub(crate) fn explain<T>(&self, done: Result<T, CommandError>) -> Result<T, CommandError> {
        done.map_err(|error| match self.is_raised() {
            true => CommandError::new(Kind::Interrupted, "interrupted"),
            false => error,
        })
    }
}

/// What comes out of a pipe or a terminal, from which nothing may come for hours: reading ends with an
/// error when the flag is raised.
pub(crate) struct Stoppable {
    pieces: Receiver<io::Result<Zeroizing<Vec<u8>>>>,
    piece: Zeroizing<Vec<u8>>,
    read: usize,
    stop: Flag,
}

const PIECE_BYTES: usize = 256 << 10;
/// How long after the flag somebody waits at the most.
const PATIENCE: Duration = Duration::from_millis(100);

impl Stoppable {
    /// Opens and reads in a thread of its own, which ends with the program or with what it reads.
    pub(crate) fn start<R: Read>(
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
        stop: &Flag,
    ) -> Stoppable {
        let (send, pieces) = sync_channel(1);
        std::thread::spawn(move || {
            let mut reader = match open() {
                Ok(reader) => reader,
                Err(error) => {
                    let _gone = send.send(Err(error));
                    return;
                }
            };
            loop {
                let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
                let said = match reader.read(&mut piece) {
                    Ok(0) => return,
                    Ok(length) => {
                        piece.truncate(length);
                        Ok(piece)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = said.is_err();
                if send.send(said).is_err() || failed {
                    return;
                }
            }
        });
        Stoppable { pieces, piece: Zeroizing::default(), read: 0, stop: stop.clone() }
    }
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.is_raised() {
                return Err(io::Error::other("interrupted"));
            }
            let mut left = self.piece.get(self.read..).unwrap_or_default();
            if !left.is_empty() {
                let length = left.read(buffer)?;
                self.read += length;
                return Ok(length);
            }
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => (self.piece, self.read) = (piece?, 0),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
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
