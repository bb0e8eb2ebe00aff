//! One vocabulary of failure for all formats of this crate.
//!
//! The kind is for code that branches; its word ([`ErrorKind::word`]) for programs that read reports; the
//! text is one sentence for a person; the hint is what to do about it, in the terms of the format at
//! hand. No text here ever contains key material or sealed content. docs/errors.md lists the words and
//! says which format can come to which.

use std::fmt;

/// What went wrong, in the terms a receiver can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not in any sealed format that is known here.
    NotSealed,
    /// Well-formed, but none of the keys at hand is among those it was sealed for.
    NotForYou,
    /// Sealed with a passphrase, and none is at hand.
    NeedsPassphrase,
    /// A passphrase that does not open it.
    WrongPassphrase,
    /// An old form that is not safe any more, opened only where the caller asks for it.
    Weak,
    /// A key that has expired.
    ExpiredKey,
    /// A key whose owner or a designated party has revoked it.
    RevokedKey,
    /// Sealed for another context (exchange, lane, object) than the one it was met in.
    WrongContext,
    /// The end is missing. What there is of it is as it was sealed.
    Truncated,
    /// The last piece does not authenticate: it was cut short or changed, and without knowing
    /// how long the file should be nobody can tell which. See [`crate::age::Opener::expecting`].
    TruncatedOrTampered,
    /// The file is complete, and something follows it that was not sealed.
    TrailingData,
    /// The pieces are authentic but not in their places: swapped, repeated or left out.
    Reordered,
    /// The content is not what was sealed.
    Tampered,
    /// The header breaks the rules of the format.
    Header,
    /// The ASCII armor around the file breaks the rules of the format.
    Armor,
    /// A later version of the format.
    UnsupportedVersion,
    /// A key, recipient or identity that cannot be read, or must not be used.
    BadKey,
    /// A key of a type or protection that this version does not support.
    UnsupportedKey,
    /// A signature that cannot be read.
    MalformedSignature,
    /// A readable signature that is not one over these bytes by this key.
    BadSignature,
    /// A signature by a key that is not among those expected.
    WrongSigner,
    /// A signature made for another purpose (namespace).
    WrongNamespace,
    /// The caller asked for something impossible: a defect in the calling code.
    Usage,
    /// Reading or writing failed underneath; the cause is the source.
    Io,
    /// The cryptographic library failed where it cannot, such as for want of randomness.
    Internal,
}

impl ErrorKind {
    /// The word for it in reports: the same for all formats, and stable. Several kinds may share one,
    /// where they are one thing to whoever acts on it: whether pieces were changed or exchanged, or the
    /// last one perhaps cut short, the content is not what was sealed.
    pub fn word(self) -> &'static str {
        match self {
            ErrorKind::NotSealed => "unknown-format",
            ErrorKind::NotForYou => "not-for-you",
            ErrorKind::NeedsPassphrase => "needs-passphrase",
            ErrorKind::WrongPassphrase => "wrong-passphrase",
            ErrorKind::Weak => "weak-format",
            ErrorKind::ExpiredKey => "expired-key",
            ErrorKind::RevokedKey => "revoked-key",
            ErrorKind::WrongContext => "wrong-context",
            ErrorKind::Truncated => "truncated",
            ErrorKind::TruncatedOrTampered | ErrorKind::Reordered | ErrorKind::Tampered => {
                "tampered"
            }
            ErrorKind::TrailingData => "trailing-bytes",
            ErrorKind::Header | ErrorKind::Armor | ErrorKind::MalformedSignature => "malformed",
            ErrorKind::UnsupportedVersion => "unsupported-version",
            ErrorKind::BadKey => "bad-key",
            ErrorKind::UnsupportedKey => "unsupported-key",
            ErrorKind::BadSignature | ErrorKind::WrongNamespace => "bad-signature",
            ErrorKind::WrongSigner => "wrong-signer",
            ErrorKind::Usage => "usage",
            ErrorKind::Io => "io",
            ErrorKind::Internal => "internal",
        }
    }
}

/// An error of this crate: a kind to branch on, a sentence to read, perhaps a cause.
pub struct Error {
    kind: ErrorKind,
    context: String,
    hint: Option<&'static str>,
    detail: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Error {
        Error { kind, context: context.into(), hint: None, detail: None, source: None }
    }

    pub(crate) fn internal(what: &str) -> Error {
        Error::new(ErrorKind::Internal, format!("the cryptographic library failed: {what}"))
    }

    pub(crate) fn usage(context: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage, context)
    }

    /// Takes an error of [`std::io`] back to what it was: the readers and writers of this crate
    /// carry their own errors inside; any other becomes [`ErrorKind::Io`].
    pub fn from_io(error: std::io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(own) => own,
            Err(other) => Error {
                kind: ErrorKind::Io,
                context: "reading or writing failed".to_owned(),
                hint: None,
                detail: None,
                source: Some(Box::new(other)),
            },
        }
    }

    /// What to do in this format, where the words for all formats do not fit.
    pub(crate) fn hinting(self, hint: &'static str) -> Error {
        Error { hint: Some(hint), ..self }
    }

    pub(crate) fn with_detail(self, detail: impl Into<String>) -> Error {
        Error { detail: Some(detail.into()), ..self }
    }

    /// What exactly failed, for the reader's own log: never for whoever may have made the input, who
    /// would learn from it how far a forgery got.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Which failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What a person can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        self.hint.or_else(|| self.kind.hint()).map(str::to_owned)
    }
}

impl ErrorKind {
    /// What holds for every format.
    fn hint(self) -> Option<&'static str> {
        Some(match self {
            ErrorKind::NotForYou => "open it with a key that belongs to one of its recipients",
            ErrorKind::NeedsPassphrase => {
                "give the passphrase on the terminal, or in a file with --passphrase-file FILE"
            }
            ErrorKind::WrongPassphrase => {
                "ask whoever sealed it; upper and lower case, spaces and accents all count"
            }
            ErrorKind::ExpiredKey => {
                "ask its owner for the renewed key, and compare the fingerprint by another way"
            }
            ErrorKind::RevokedKey => {
                "do not use it any more: ask its owner why, and for the key that replaces it"
            }
            ErrorKind::WrongContext => {
                "it may have been moved here from another place: ask the sender what it was sealed for"
            }
            ErrorKind::Truncated => "fetch the file again: the end of it is missing",
            ErrorKind::TruncatedOrTampered => {
                "compare its size with the sender's: if it is smaller, fetch it again"
            }
            ErrorKind::TrailingData => {
                "fetch the file again; if it is the same, ask the sender what was appended to it"
            }
            ErrorKind::Reordered | ErrorKind::Tampered => {
                "fetch the file again; if it is the same, it was changed where it is stored"
            }
            ErrorKind::Armor => "ask for the binary file: text was changed on its way",
            ErrorKind::UnsupportedVersion => "update consign",
            ErrorKind::WrongSigner => {
                "compare the fingerprint with the sender by another way before trusting a new key"
            }
            _ => return None,
        })
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
            .field("detail", &self.detail)
            .field("source", &self.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        let kind = match error.kind {
            ErrorKind::Truncated => std::io::ErrorKind::UnexpectedEof,
            ErrorKind::Usage => std::io::ErrorKind::InvalidInput,
            _ => std::io::ErrorKind::InvalidData,
        };
        std::io::Error::new(kind, error)
    }
}
