//! The one error of this crate: a kind to branch on, a sentence to read, a hint to act on.

use std::error::Error as StdError;
use std::fmt;

/// Whose fault it is, as far as a caller must branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The exchange file asks for something that cannot be provisioned as written.
    Exchange,
    /// A generated document is larger than AWS accepts.
    TooLarge,
    /// Something of that name exists and does not carry our ownership tags.
    NotOurs,
    /// The world changed between the plan and its application.
    Stale,
    /// A bucket still holds objects, so it is not deleted.
    HoldsObjects,
    /// A policy names a principal that does not exist (yet).
    PrincipalMissing,
    /// No credentials were given for the account that would have to act.
    NoHands,
    /// The caller stopped between two steps.
    Interrupted,
    /// The service refused or failed.
    Service,
    /// A document could not be read as a policy.
    Document,
    /// A question about something that the exchange does not have.
    Question,
}

/// What went wrong while describing, planning, proving or applying.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Error {
        Error { kind, context: context.into(), hint: None, source: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.source = Some(Box::new(source));
        self
    }

    /// The kind, to branch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the person can do about it, where we know.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
