//! One error for everything that can stop a consignment: a kind to branch on, a sentence, a cause.

use std::fmt;
use std::path::Path;

/// Why a consignment was not sent, received, listed or verified.
///
/// `Display` tells this level only; causes follow through `source()`.
pub struct Error {
    kind: ErrorKind,
    context: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Whose fault it is, and what a caller may want to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Our side of the exchange is not ready or not allowed: exchange file, keys, the wrong party.
    Configuration,
    /// Another run holds the lane's state.
    Busy,
    /// What is to be sent cannot be read, named or sent.
    Source,
    /// A file changed while it was sent.
    SourceChanged,
    /// The state folder cannot be read or written, or contradicts itself.
    State,
    /// The destination cannot be written, or something is in the way there.
    Destination,
    /// The service or the way to it failed; the cause says how.
    Cloud,
    /// The service knows who asked, and refuses.
    Denied,
    /// The caller stopped it; the same call goes on.
    Cancelled,
    /// A consignment that is not there, or not complete.
    NotFound,
    /// None of our identities opens it.
    NotForUs,
    /// Sealed bytes are not what was sealed: cut short, extended, reordered or changed.
    Damaged,
    /// The signature is missing, wrong, or not of a signer who is pinned and live.
    Signature,
    /// A manifest that contradicts itself or is hostile.
    Manifest,
    /// A rightly signed manifest of another exchange, lane, consignment or receiver.
    Misaddressed,
    /// The sender's chain is broken: a consignment was withheld, replayed, reordered or forked.
    Chain,
    /// Content, opened and authentic, is not what the manifest says.
    Content,
    /// A defect of this program.
    Bug,
}

/// This crate's results.
pub type Result<T> = std::result::Result<T, Error>;

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
    pub(crate) fn during(mut self, what: &str) -> Error {
        self.context = format!("{what}: {}", self.context);
        self
    }

    /// What a caller may branch on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What became of something sealed, where that is the cause.
    #[must_use]
    pub fn seal_kind(&self) -> Option<consign_seal::ErrorKind> {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            if let Some(seal) = error.downcast_ref::<consign_seal::Error>() {
                return Some(seal.kind());
            }
            cause = error.source();
        }
        None
    }

    /// What the person can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.context)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Turns an I/O error about a path into ours.
pub(crate) fn io<'a>(
    kind: ErrorKind,
    what: &'a str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |error| Error::new(kind, format!("{what} {}", path.display())).because(error)
}

/// A thread that panicked or was stopped: never the other side's doing.
pub(crate) fn join(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Bug, "a task of this program failed").because(error)
}

impl From<consign_model::Error> for Error {
    fn from(error: consign_model::Error) -> Error {
        let hint = error.hint();
        let error = Error::new(ErrorKind::Configuration, error.to_string());
        match hint {
            Some(hint) => error.hinting(hint),
            None => error,
        }
    }
}

impl From<consign_seal::Error> for Error {
    fn from(error: consign_seal::Error) -> Error {
        use consign_seal::ErrorKind as Seal;
        let kind = match error.kind() {
            Seal::NotForYou | Seal::NeedsPassphrase | Seal::WrongPassphrase => ErrorKind::NotForUs,
            Seal::MalformedSignature
            | Seal::BadSignature
            | Seal::WrongSigner
            | Seal::WrongNamespace => ErrorKind::Signature,
            Seal::BadKey | Seal::UnsupportedKey | Seal::ExpiredKey | Seal::RevokedKey => {
                ErrorKind::Configuration
            }
            Seal::WrongContext => ErrorKind::Misaddressed,
            Seal::Usage | Seal::Internal => ErrorKind::Bug,
            Seal::Io => ErrorKind::State,
            _ => ErrorKind::Damaged,
        };
        let hint = error.hint();
        // As a cause it keeps its kind, for reports, and its detail, for the log.
        let ours = Error::new(kind, error.to_string()).because(error);
        match hint {
            Some(hint) => ours.hinting(hint),
            None => ours,
        }
    }
}

impl From<consign_s3s2::Error> for Error {
    fn from(error: consign_s3s2::Error) -> Error {
        use consign_s3s2::ErrorKind as S3s2;
        let kind = within(&error).unwrap_or(match error.kind() {
            S3s2::Configuration => ErrorKind::Configuration,
            S3s2::Source => ErrorKind::Source,
            S3s2::Destination => ErrorKind::Destination,
            S3s2::Manifest => ErrorKind::Manifest,
            S3s2::Content | S3s2::Expansion => ErrorKind::Content,
            S3s2::NotForUs => ErrorKind::NotForUs,
            S3s2::Damaged => ErrorKind::Damaged,
            S3s2::NotFound => ErrorKind::NotFound,
            S3s2::Cloud => ErrorKind::Cloud,
            S3s2::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Bug,
        });
        let hint = error.hint();
        let ours = Error::new(kind, error.to_string());
        let ours = match std::error::Error::source(&error) {
            Some(_) => ours.because(error),
            None => ours,
        };
        match hint {
            Some(hint) => ours.hinting(hint),
            None => ours,
        }
    }
}

/// The kind of an error of ours, or of the service's answer, that another crate's error carries.
fn within(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(ours) = found.downcast_ref::<Error>() {
            return Some(ours.kind());
        }
        if let Some(cloud) = found.downcast_ref::<consign_cloud::Error>() {
            return Some(kind_of(cloud));
        }
        // An error of I/O tells of its cause's cause, not of the cause.
        let io = found.downcast_ref::<std::io::Error>();
        if let Some(ours) = io.and_then(|io| io.get_ref()?.downcast_ref::<Error>()) {
            return Some(ours.kind());
        }
        cause = found.source();
    }
    None
}

/// Whose fault a failed request is, from here.
pub(crate) fn kind_of(error: &consign_cloud::Error) -> ErrorKind {
    use consign_cloud::ErrorKind as Cloud;
    match error.kind() {
        Cloud::NotFound => ErrorKind::NotFound,
        Cloud::AccessDenied => ErrorKind::Denied,
        Cloud::BadCredentials | Cloud::ExpiredCredentials | Cloud::Configuration => {
            ErrorKind::Configuration
        }
        // An object of another size than was asked for: the request is ours, so it is right.
        Cloud::InvalidResponse => ErrorKind::Damaged,
        _ if error.http_status() == Some(416) => ErrorKind::Damaged,
        _ => ErrorKind::Cloud,
    }
}

impl From<consign_cloud::Error> for Error {
    fn from(error: consign_cloud::Error) -> Error {
        let kind = kind_of(&error);
        let hint = error.hint();
        let error = Error::new(kind, "the service refused or failed").because(error);
        match hint {
            Some(hint) => error.hinting(hint),
            None => error,
        }
    }
}
