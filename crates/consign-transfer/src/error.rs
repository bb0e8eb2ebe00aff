//! Why a transfer ended.

use std::error::Error as StdError;
use std::fmt;

/// What a [`PartSource`](crate::PartSource) may fail with.
pub type SourceError = Box<dyn StdError + Send + Sync>;
/// What a [`PartSink`](crate::PartSink) may fail with.
pub type SinkError = Box<dyn StdError + Send + Sync>;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The service refused, or all tries failed; [`Error::cloud`] says how.
    Cloud,
    /// The source failed.
    Source,
    /// The plaintext of a part is not what it was when the transfer began. Begin this object anew,
    /// under a fresh key.
    SourceChanged,
    /// The sink failed.
    Sink,
    /// The object is not the one the download began with.
    ObjectChanged,
    /// Somebody else's object lies under the key, and it must not be overwritten.
    KeyTaken,
    /// The journal cannot be read or written, or is about another transfer.
    Journal,
    /// The object cannot be cut or sent so.
    Layout,
    /// It was told to stop.
    Cancelled,
    /// A bug of ours.
    Internal,
}

/// Why a transfer ended.
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Error {
        Error { kind, context: context.into(), source: None }
    }

    pub(crate) fn caused(
        kind: ErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        Error { kind, context: context.into(), source: Some(source.into()) }
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The service's error behind this one.
    pub fn cloud(&self) -> Option<&consign_cloud::Error> {
        self.source.as_deref().and_then(|source| source.downcast_ref())
    }

    /// What the person can do.
    pub fn hint(&self) -> Option<String> {
        match self.kind {
            ErrorKind::Cloud => self.cloud().and_then(consign_cloud::Error::hint),
            ErrorKind::Cancelled => Some("run the same command again to continue".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("context", &self.context)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
