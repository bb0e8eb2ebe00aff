//! One error for everything that can stop a share: a kind to branch on, a sentence, a cause.

use std::fmt;

/// Why nothing was shared or collected. `Display` tells this level only; causes follow.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Options or a configuration file that say something impossible.
    Configuration,
    /// What is to be shared cannot be read or named.
    Source,
    /// The destination cannot be written, or something is in the way there.
    Destination,
    /// A manifest that is malformed, contradicts itself, or is not where it says it is.
    Manifest,
    /// A file that is not what the manifest or its own archive says it is.
    Content,
    /// A sealed file that none of our keys opens.
    NotForUs,
    /// A sealed file that was changed, cut short, or sealed in a way that protects nothing.
    Damaged,
    /// A file grew beyond all measure while it was opened.
    Expansion,
    /// Something the share should hold is not there.
    NotFound,
    /// The service or the way to it failed; the cause says how.
    Cloud,
    /// The caller stopped it.
    Cancelled,
    /// A defect of this program.
    Bug,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Error {
        Error { kind, context: context.into(), hint: None, source: None }
    }

    pub(crate) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn hinting(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// What was being done, before this error's own sentence.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Error {
        self.context = format!("{what}: {}", self.context);
        self
    }

    /// What a caller may branch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the person can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<consign_seal::Error> for Error {
    fn from(error: consign_seal::Error) -> Error {
        use consign_seal::ErrorKind as Seal;
        let kind = match error.kind() {
            Seal::NotForYou | Seal::NeedsPassphrase | Seal::WrongPassphrase => ErrorKind::NotForUs,
            Seal::BadKey | Seal::UnsupportedKey | Seal::ExpiredKey | Seal::RevokedKey => {
                ErrorKind::Configuration
            }
            Seal::Usage | Seal::Internal => ErrorKind::Bug,
            Seal::Io => ErrorKind::Destination,
            _ => ErrorKind::Damaged,
        };
        let ours = Error::new(kind, error.to_string());
        let ours = match kind {
            ErrorKind::NotForUs => {
                ours.hinting("name the private key of the receiver it was shared with")
            }
            ErrorKind::Damaged => ours.hinting("ask the sender to share the file again"),
            _ => ours,
        };
        // As a cause it keeps its kind, for reports.
        ours.because(error)
    }
}

#[cfg(feature = "cloud")]
impl From<consign_transfer::Error> for Error {
    fn from(error: consign_transfer::Error) -> Error {
        use consign_transfer::ErrorKind as Transfer;
        let kind = match error.kind() {
            Transfer::Cancelled => ErrorKind::Cancelled,
            Transfer::Sink => ErrorKind::Destination,
            Transfer::Source | Transfer::SourceChanged => ErrorKind::Source,
            Transfer::Internal => ErrorKind::Bug,
            _ => ErrorKind::Cloud,
        };
        Error::new(kind, "the transfer failed").because(error)
    }
}

#[cfg(feature = "cloud")]
impl From<consign_cloud::Error> for Error {
    fn from(error: consign_cloud::Error) -> Error {
        let kind = match error.kind() {
            consign_cloud::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Cloud,
        };
        let hint = error.hint();
        let ours = Error::new(kind, "the service refused or failed").because(error);
        match hint {
            Some(hint) => ours.hinting(hint),
            None => ours,
        }
    }
}

/// A thread that panicked or was stopped: never the other side's doing.
#[cfg(feature = "cloud")]
pub(crate) fn join(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Bug, "a task of this program failed").because(error)
}
