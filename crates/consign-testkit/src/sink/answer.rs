//! Responses: a body of shared slices, and the few XML documents that clients read.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Response, StatusCode};

use super::store::Refusal;

/// Bytes that are sent piece by piece without being joined.
#[derive(Default)]
pub(super) struct Slices {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Slices {
    pub(super) fn new(pieces: Vec<Bytes>) -> Slices {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Slices { pieces: pieces.into(), left }
    }
}

impl Body for Slices {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.pieces.pop_front();
        self.left -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

pub(super) type Answer = Response<Slices>;

pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Slices::default());
    *answer.status_mut() = status;
    answer
}

/// A document with its root element: `inner` is well-formed already.
pub(super) fn xml(status: StatusCode, root: &str, inner: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inner}</{root}>"
    );
    let mut answer = Response::new(Slices::new(vec![Bytes::from(text)]));
    *answer.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    answer
}

pub(super) fn refusal(refusal: Refusal) -> Answer {
    let status = match refusal {
        Refusal::NoSuchKey | Refusal::NoSuchUpload => StatusCode::NOT_FOUND,
        Refusal::InvalidPart => StatusCode::BAD_REQUEST,
        Refusal::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Refusal::InvalidRange => StatusCode::RANGE_NOT_SATISFIABLE,
        Refusal::NotImplemented => StatusCode::NOT_IMPLEMENTED,
    };
    // Without a namespace, as S3 writes its errors.
    let text = format!("<Error><Code>{refusal:?}</Code><Message>{refusal:?}</Message></Error>");
    let mut answer = Response::new(Slices::new(vec![Bytes::from(text)]));
    *answer.status_mut() = status;
    answer
}

/// `<name>text</name>`, escaped.
pub(super) fn element(into: &mut String, name: &str, text: &str) {
    let _ = write!(into, "<{name}>");
    for c in text.chars() {
        match c {
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '&' => into.push_str("&amp;"),
            '"' => into.push_str("&quot;"),
            c if c < ' ' => {
                let _ = write!(into, "&#{};", c as u32);
            }
            c => into.push(c),
        }
    }
    let _ = write!(into, "</{name}>");
}
