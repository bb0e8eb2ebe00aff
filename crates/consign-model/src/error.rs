//! The one error of this crate: a kind to branch on, a sentence to read, a command to run.

use std::fmt;

/// What is wrong with an exchange file, a name, a path or a manifest.
///
/// `Display` gives one sentence which names the place (where there is one), the thing and the
/// remedy; [`Error::hint`] gives a command, where a command is the remedy.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    place: Option<Place>,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a caller may want to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not TOML, or not JSON.
    Syntax,
    /// A format version that this program does not know.
    Version,
    /// A field that no version of the format has.
    UnknownField,
    /// A field that must be there is not.
    MissingField,
    /// A field, name, key or path whose value cannot be.
    BadValue,
    /// A party, lane or object is named that is not declared.
    Unknown,
    /// Two things, each fine alone, that cannot both be.
    Conflict,
    /// Every key of a kind has passed its `not_after`.
    Expired,
    /// Correct, but not enough to send or receive with: keys are missing.
    NotReady,
    /// Correct, but this version of the program cannot do it yet.
    NotSupported,
    /// A path that could be harmful or ambiguous somewhere.
    Path,
    /// A manifest that contradicts itself.
    Manifest,
    /// More than the limits allow.
    Limit,
}

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, place: None, message: message.into(), hint: None, source: None }
    }

    /// Says where, unless a more exact place is known already.
    pub(crate) fn at(mut self, place: Place) -> Error {
        self.place.get_or_insert(place);
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the thing that was being read before the sentence: "party `acme`: …".
    pub(crate) fn inside(mut self, what: &str) -> Error {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What a caller may branch on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where in the file, if the error is about a file.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// A command that remedies it, if one does.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
