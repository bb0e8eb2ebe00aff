//! The body of a GET: sealed frames opened a megabyte ahead of the client, no further.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::store::{BlobFolder, BlobId, BlobReader, DataKey, Opened};
use crate::error::ApiError;

/// Reads a range of an opened version, piece by piece, on blocking threads.
struct Reader {
    folder: BlobFolder,
    key: DataKey,
    opened: Opened,
    /// The next byte to read, and the one behind the last.
    at: u64,
    end: u64,
    current: Option<(u64, u64, BlobReader)>,
}

impl Reader {
    fn new(
        folder: &BlobFolder,
        key: DataKey,
        opened: Opened,
        range: std::ops::Range<u64>,
    ) -> Reader {
        let (folder, at, end) = (folder.clone(), range.start, range.end);
        Reader { folder, key, opened, at, end, current: None }
    }

    fn read(&mut self) -> std::io::Result<Vec<Bytes>> {
        if self.at >= self.end {
            return Ok(Vec::new());
        }
        let inside = |begin: u64, end: u64| begin <= self.at && self.at < end;
        if !self.current.as_ref().is_some_and(|(begin, end, _)| inside(*begin, *end)) {
            let found = self.opened.segments.iter();
            let mut found = found.filter(|(begin, segment)| inside(*begin, begin + segment.bytes));
            let (begin, segment) =
                found.next().ok_or_else(|| std::io::Error::other("an object has a hole"))?;
            let blob = BlobId(segment.blob);
            let reader = BlobReader::open(&self.folder, blob, &self.key, segment.bytes)?;
            self.current = Some((*begin, begin + segment.bytes, reader));
        }
        let Some((begin, end, reader)) = &self.current else {
            return Ok(Vec::new());
        };
        let (pieces, next) = reader.read(self.at - begin, self.end.min(*end) - begin)?;
        self.at = begin + next;
        Ok(pieces)
    }
}

type Read = (Reader, std::io::Result<Vec<Bytes>>);

fn spawn(mut reader: Reader) -> JoinHandle<Read> {
    spawn_blocking(move || {
        let pieces = reader.read();
        (reader, pieces)
    })
}

/// A range of a stored content at once, for what is small; blocks.
pub(super) fn read_whole(
    folder: &BlobFolder,
    key: DataKey,
    opened: Opened,
    range: std::ops::Range<u64>,
) -> std::io::Result<Vec<Bytes>> {
    let mut reader = Reader::new(folder, key, opened, range);
    let mut pieces = Vec::new();
    while reader.at < reader.end {
        pieces.append(&mut reader.read()?);
    }
    Ok(pieces)
}

/// A range of a stored content. Dropping it lets go of the blobs.
pub(super) struct Content {
    ready: VecDeque<Bytes>,
    ahead: Option<JoinHandle<Read>>,
    left: u64,
}

impl Content {
    /// Opens `range` of a version. The first megabyte is authenticated before this returns, so
    /// that damage there is an error status and not a broken connection.
    pub(super) async fn open(
        folder: &BlobFolder,
        key: DataKey,
        opened: Opened,
        range: std::ops::Range<u64>,
    ) -> Result<Content, ApiError> {
        let left = range.end.saturating_sub(range.start);
        let reader = Reader::new(folder, key, opened, range);
        let mut content = Content { ready: VecDeque::new(), ahead: Some(spawn(reader)), left };
        std::future::poll_fn(|context| content.poll_ahead(context))
            .await
            .map_err(ApiError::internal)?;
        Ok(content)
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        std::future::poll_fn(|context| self.poll_piece(context)).await
    }

    /// Takes in what was read ahead and starts the next read.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Some(ahead) = &mut self.ahead else {
            return Poll::Ready(Ok(()));
        };
        let read = ready!(Pin::new(ahead).poll(context));
        self.ahead = None;
        let (reader, pieces) = read.map_err(std::io::Error::other)?;
        self.ready.extend(pieces?);
        if reader.at < reader.end {
            self.ahead = Some(spawn(reader));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Bytes>>> {
        while self.ready.is_empty() && self.ahead.is_some() {
            if let Err(error) = ready!(self.poll_ahead(context)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
        let piece = self.ready.pop_front();
        self.left = self.left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        Poll::Ready(piece.map(Ok))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.get_mut().poll_piece(context).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
