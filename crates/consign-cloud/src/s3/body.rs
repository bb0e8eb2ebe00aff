//! Bodies that say when they move, and the watch that cuts a request whose bytes stand still.
//!
//! A timeout for a whole part would have to allow for the slowest line and would then let a dead
//! one hang for minutes. So the body is handed to the socket in small frames, each counted, and a
//! request is given up only when no frame was taken and no answer came for the idle time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use super::Body;
use crate::error::{Call, Error, ErrorKind};

/// Small enough to see movement on a slow line, large enough to cost nothing: hyper gathers
/// frames up to about 400 KiB before it writes.
const FRAME_BYTES: usize = 256 * 1024;

/// Counts the frames taken from a body.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Drives `request`, giving up when neither it ends nor the body moves for `idle`.
    pub(crate) async fn watch<F: Future>(
        &self,
        idle: Duration,
        call: &Call,
        request: F,
    ) -> Result<F::Output, Error> {
        let mut request = std::pin::pin!(request);
        loop {
            let before = self.count();
            if let Ok(output) = tokio::time::timeout(idle, request.as_mut()).await {
                return Ok(output);
            }
            if self.count() == before {
                return Err(call.clone().error(
                    ErrorKind::Timeout,
                    format!("nothing moved for {} ms", idle.as_millis()),
                ));
            }
        }
    }
}

/// The source of a streamed body gave up; the cause is its own.
#[derive(Debug)]
pub(crate) struct SourceFailed(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for SourceFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source of the body failed")
    }
}

impl std::error::Error for SourceFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

impl Body {
    pub(crate) fn into_stream(self, pulse: Pulse) -> ByteStream {
        let counted = match self {
            Body::Bytes(bytes) => {
                Counted { left: bytes.len() as u64, current: bytes, next: None, pulse }
            }
            Body::Stream { bytes, parts } => {
                Counted { left: bytes, current: Bytes::new(), next: Some(parts), pulse }
            }
        };
        ByteStream::new(SdkBody::from_body_1_x(counted))
    }
}

/// A body in frames of at most [`FRAME_BYTES`].
struct Counted {
    /// Bytes still to come, of the length that was announced.
    left: u64,
    current: Bytes,
    next: Option<mpsc::Receiver<Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>>,
    pulse: Pulse,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = SourceFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SourceFailed>>> {
        self.pulse.beat();
        while self.current.is_empty() && self.left > 0 {
            let Some(parts) = self.next.as_mut() else { return Poll::Ready(None) };
            match parts.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => self.current = bytes,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(SourceFailed(error))));
                }
                Poll::Ready(None) => return failed("the source ended early"),
            }
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let take = self.current.len().min(FRAME_BYTES);
        if take as u64 > self.left {
            return failed("the source gave more than it announced");
        }
        self.left -= take as u64;
        let frame = self.current.split_to(take);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn failed(message: &str) -> Poll<Option<Result<Frame<Bytes>, SourceFailed>>> {
    Poll::Ready(Some(Err(SourceFailed(message.into()))))
}
