//! What a sealed message says in the clear: for whom, and how.

use super::open::read_start;
use super::secret::SecretKey;
use super::session::{Container, recipient_text};
use crate::{Error, ErrorKind};

/// One of those that a message is sealed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFor {
    /// Key id (16 hexadecimal digits) or fingerprint of the subkey; nothing if it is hidden.
    pub key: Option<String>,
    /// Its algorithm in words.
    pub algorithm: String,
}

/// What a sealed message says in the clear. None of it is authentic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Those it is sealed for, in the order of the message.
    pub recipients: Vec<SealedFor>,
    /// How many passphrases open it.
    pub passphrases: usize,
    /// The container in words: `SEIPDv1`, `SEIPDv2`, `SED` or `GnuPG AEAD`.
    pub container: &'static str,
    /// Cipher and mode, where they are in the clear.
    pub cipher: Option<String>,
    chunked: bool,
}

impl Description {
    /// Whether it authenticates piece by piece, so that it can be opened in one pass.
    pub fn is_chunked(&self) -> bool {
        self.chunked
    }
}

/// Describes a message of which at least the beginning is at hand, armored or not.
///
/// Errors: [`crate::ErrorKind::Truncated`] if more of it is needed, and those of
/// [`super::OpenReader::new`] that need no key.
pub fn describe(start: &[u8]) -> Result<Description, Error> {
    let (_, preamble) = read_start(Box::new(start))?;
    let (container, suite) = match preamble.container {
        Container::Sed => ("SED", None),
        Container::V1 => ("SEIPDv1", None),
        Container::V2(suite, _) => ("SEIPDv2", Some(suite)),
        Container::Gnupg(suite, _) => ("GnuPG AEAD", Some(suite)),
    };
    let recipients = preamble.wrapped.iter().map(|packet| {
        let algorithm =
            packet.algorithm().map_or_else(|_| "unknown".to_owned(), |a| format!("{a:?}"));
        SealedFor { key: Some(recipient_text(packet)).filter(|key| !key.is_empty()), algorithm }
    });
    Ok(Description {
        recipients: recipients.collect(),
        passphrases: preamble.passphrases,
        container,
        cipher: suite.map(|suite| suite.name()),
        chunked: preamble.container.is_chunked(),
    })
}

/// What a secret key is to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It opens the message.
    Opens,
    /// The message is sealed for it, and it is locked: see [`SecretKey::unlock`].
    Locked,
    /// The message is not sealed for it, or what it holds for it was changed.
    No,
}

/// Whether `key` opens the message of which at least the beginning is at hand. Errors as [`describe`].
pub fn fit(start: &[u8], key: &SecretKey) -> Result<Fit, Error> {
    let (_, preamble) = read_start(Box::new(start))?;
    match preamble.session_key(std::slice::from_ref(key).into(), false) {
        Ok(_) => Ok(Fit::Opens),
        Err(error) if error.kind() == ErrorKind::NeedsPassphrase && key.is_locked() => {
            Ok(if preamble.wrapped.is_empty() { Fit::No } else { Fit::Locked })
        }
        Err(_) => Ok(Fit::No),
    }
}
