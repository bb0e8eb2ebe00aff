//! A request body that is verified while it is read.
//!
//! Bytes come out decoded (chunk framing of `aws-chunked` removed) and in order. They are
//! *authentic only once [`Body::next`] has returned `None`*: a signed payload hash can only be
//! compared at the end. So write to a temporary place, and keep it only after the end came without
//! an error.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::error::ApiError;

/// The payload of one request.
pub struct Body {
    whole: Option<Bytes>,
    trailers: HeaderMap,
    decoded_bytes: Option<u64>,
}

impl Body {
    /// A body that is already here and needs no verification.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        Body {
            decoded_bytes: Some(bytes.len() as u64),
            whole: Some(bytes),
            trailers: HeaderMap::new(),
        }
    }

    /// The length of the payload as declared (`x-amz-decoded-content-length`, else
    /// `Content-Length`); enforced while reading. `None` when the client sent neither.
    pub fn decoded_bytes(&self) -> Option<u64> {
        self.decoded_bytes
    }

    /// The next decoded bytes; `None` at the end, when everything was verified. After an error the
    /// body is spent. Dropping the future loses nothing; dropping the body closes the connection.
    pub async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        self.whole.take().filter(|bytes| !bytes.is_empty()).map(Ok)
    }

    /// Trailing headers (`x-amz-checksum-…`), once [`Body::next`] returned `None`. Those that the
    /// client did not announce in `x-amz-trailer`, and those without the trailer signature which
    /// their mode demands, are refused there.
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
}
