//! A request body that is verified while it is read.
//!
//! Bytes come out decoded (the framing of `aws-chunked` removed) and in order. They are *authentic
//! only once [`Body::next`] has returned `None`*: a signed payload hash can only be compared at the
//! end. So write to a temporary place, and keep it only after the end came without an error.

use std::time::Duration;

use aws_lc_rs::digest::Context;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::chunked::{ChunkDecoder, Step, incomplete};
use super::form::FileDecoder;
use crate::error::ApiError;

/// A peer that sends nothing for so long has gone away or means harm.
const IDLE: Duration = Duration::from_secs(30);
/// What is still read of a refused upload, so that the client sees the refusal and not a reset.
const DRAIN_BYTES_MAX: u64 = 64 << 20;
/// A client that is still writing does not pause for so long.
const DRAIN_IDLE: Duration = Duration::from_secs(2);

/// The payload of one request.
pub struct Body {
    source: Source,
    pending: Bytes,
    check: Check,
    decoded_bytes: Option<u64>,
    read_bytes: u64,
    trailers: HeaderMap,
    over: bool,
    may_drain: bool,
}

/// How a payload proves itself.
pub enum Check {
    /// Not at all: `UNSIGNED-PAYLOAD`, or a body that was verified already.
    None,
    /// By the SHA-256 in `x-amz-content-sha256`.
    Sha256(Box<Context>, String),
    /// By chunks.
    Chunked(Box<ChunkDecoder>),
    /// As the file of a form, whose policy was checked.
    Form(Box<FileDecoder>),
}

enum Source {
    Whole(Option<Bytes>),
    Incoming(Incoming),
    Spent,
}

impl Body {
    /// A body that is already here and needs no verification.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        let decoded_bytes = Some(bytes.len() as u64);
        Body::new(Source::Whole(Some(bytes)), Check::None, decoded_bytes, false)
    }

    /// A body on the wire. `may_drain` is false when the client waits for `100 Continue`: then it
    /// sends nothing unless asked.
    pub fn incoming(
        incoming: Incoming,
        check: Check,
        decoded_bytes: Option<u64>,
        may_drain: bool,
    ) -> Body {
        Body::new(Source::Incoming(incoming), check, decoded_bytes, may_drain)
    }

    fn new(source: Source, check: Check, decoded_bytes: Option<u64>, may_drain: bool) -> Body {
        Body {
            source,
            pending: Bytes::new(),
            check,
            decoded_bytes,
            read_bytes: 0,
            trailers: HeaderMap::new(),
            over: false,
            may_drain,
        }
    }

    /// The length of the payload as declared (`x-amz-decoded-content-length`, else
    /// `Content-Length`); enforced while reading. For the file of a form, whose end is in the form,
    /// at most so much. `None` when the client sent neither.
    pub fn decoded_bytes(&self) -> Option<u64> {
        self.decoded_bytes
    }

    /// The body, if it is already here and nothing was read of it.
    pub fn whole(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Whole(bytes) => bytes.as_ref(),
            _ => None,
        }
    }

    /// The next decoded bytes; `None` at the end, when everything was verified. After an error the
    /// body is spent. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        if self.over {
            return None;
        }
        let next = self.advance().await;
        if !matches!(next, Ok(Some(_))) {
            self.over = true;
        }
        next.transpose()
    }

    /// From here on the body is the file of a form: what was read of it already, and what comes.
    pub(super) fn read_file(&mut self, decoder: FileDecoder, begun: Bytes, at_most: Option<u64>) {
        self.check = Check::Form(Box::new(decoder));
        self.pending = begun;
        self.decoded_bytes = at_most;
    }

    /// Trailing headers (`x-amz-checksum-…`), once [`Body::next`] returned `None`. A trailer that
    /// was not announced in `x-amz-trailer`, is missing, or lacks the signature which its mode
    /// demands has become an error there.
    pub fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// The whole verified body, if it is at most `max_bytes` long; otherwise `too_large`.
    pub async fn collect(
        &mut self,
        max_bytes: usize,
        too_large: impl FnOnce() -> ApiError,
    ) -> Result<Bytes, ApiError> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next().await {
            whole.extend_from_slice(&bytes?);
            if whole.len() > max_bytes {
                return Err(too_large());
            }
        }
        Ok(whole.freeze())
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Check::Chunked(decoder) = &mut self.check {
                match decoder.step(&mut self.pending)? {
                    Step::Data(data) => return Ok(Some(data)),
                    Step::NeedMore | Step::Done => {}
                }
            }
            if let Check::Form(decoder) = &mut self.check
                && let Some(data) = decoder.step(&mut self.pending)?
            {
                return Ok(Some(data));
            }
            let Some(bytes) = self.read().await? else { return self.finish().map(|()| None) };
            self.read_bytes += bytes.len() as u64;
            match &mut self.check {
                Check::Chunked(_) | Check::Form(_) => self.pending = bytes,
                Check::Sha256(hash, _) => {
                    hash.update(&bytes);
                    return Ok(Some(bytes));
                }
                Check::None => return Ok(Some(bytes)),
            }
        }
    }

    /// The next bytes from the wire; empty frames are skipped.
    async fn read(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let incoming = match &mut self.source {
                Source::Whole(bytes) => return Ok(bytes.take().filter(|bytes| !bytes.is_empty())),
                Source::Spent => return Ok(None),
                Source::Incoming(incoming) => incoming,
            };
            let frame = match tokio::time::timeout(IDLE, incoming.frame()).await {
                Err(_) => return Err(timed_out()),
                Ok(None) => {
                    self.source = Source::Spent;
                    return Ok(None);
                }
                Ok(Some(Err(error))) => return Err(incomplete(&error.to_string())),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(bytes) = frame.into_data()
                && !bytes.is_empty()
            {
                return Ok(Some(bytes));
            }
        }
    }

    fn finish(&mut self) -> Result<(), ApiError> {
        match std::mem::replace(&mut self.check, Check::None) {
            Check::None => self.check_length(),
            Check::Sha256(hash, signed) => {
                self.check_length()?;
                let computed = hex::encode(hash.finish());
                if computed == signed { Ok(()) } else { Err(hash_mismatch(&signed, &computed)) }
            }
            Check::Form(decoder) => decoder.finish(),
            Check::Chunked(mut decoder) => {
                if decoder.step(&mut self.pending)? != Step::Done {
                    return Err(incomplete("the last chunk is missing"));
                }
                self.trailers = decoder.into_trailers();
                Ok(())
            }
        }
    }

    fn check_length(&self) -> Result<(), ApiError> {
        match self.decoded_bytes {
            Some(declared) if declared != self.read_bytes => {
                Err(incomplete("the body is shorter than Content-Length"))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Body {
    /// Reads on for a while when a service refused an upload early: a client that is still writing
    /// would otherwise meet a reset connection instead of the answer.
    fn drop(&mut self) {
        let Source::Incoming(mut incoming) = std::mem::replace(&mut self.source, Source::Spent)
        else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.may_drain {
            return;
        }
        runtime.spawn(async move {
            let mut drained = 0;
            while let Ok(Some(Ok(frame))) = tokio::time::timeout(DRAIN_IDLE, incoming.frame()).await
            {
                drained += frame.data_ref().map_or(0, |data| data.len() as u64);
                if drained > DRAIN_BYTES_MAX {
                    break;
                }
            }
        });
    }
}

fn timed_out() -> ApiError {
    ApiError::bad_request(
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout \
         period. Idle connections will be closed.",
    )
}

fn hash_mismatch(signed: &str, computed: &str) -> ApiError {
    ApiError::bad_request(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
    .with("ClientComputedContentSHA256", signed)
    .with("S3ComputedContentSHA256", computed)
}
