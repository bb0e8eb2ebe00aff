//! Recipients (public) and identities (secret) of every kind, and the files that hold them.
//!
//! [`Recipient::parse`] and [`Identity::parse`] tell the kinds apart by how they begin;
//! [`parse_identities`] reads a whole file: age identities a line each, an OpenSSH private key, or
//! either of them sealed with a passphrase.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::file_key::FileKey;
use super::hybrid::{self, HybridIdentity, HybridRecipient};
use super::passphrase::Passphrase;
use super::plugin::{PluginIdentity, PluginRecipient};
use super::ssh::{SshIdentity, SshRecipient};
use super::stanza::Stanza;
use super::x25519::{self, X25519Identity, X25519Recipient};
use super::{open_all, starts_like_age, text};
use crate::openssh::private;
use crate::{Error, ErrorKind};

/// Lines of a recipients file, and bytes of an identity file, beyond which it is something else.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Somebody to seal for.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recipient {
    /// `age1…`
    X25519(X25519Recipient),
    /// `age1pq1…`: ML-KEM-768 and X25519. Never beside recipients that are not post-quantum.
    Hybrid(HybridRecipient),
    /// `ssh-ed25519 AAAA…` or `ssh-rsa AAAA…`
    Ssh(SshRecipient),
    /// Whoever knows these words. Never beside any other recipient.
    Passphrase(Passphrase),
    /// `age1NAME1…`, for the program `age-plugin-NAME`. What holds one is sealed with
    /// [`super::Sealer::with_stanzas`] only.
    Plugin(PluginRecipient),
}

impl Recipient {
    /// Reads `age1…`, `age1pq1…`, `age1NAME1…` or an SSH public key line. Refuses anything else,
    /// with a reason that names what it seems to be.
    pub fn parse(text: &str) -> Result<Recipient, Error> {
        if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
            return SshRecipient::parse(text).map(Recipient::Ssh);
        }
        if text.starts_with("age1pq1") {
            let key = text::decode(hybrid::RECIPIENT_HRP, text)
                .map_err(|why| not_a_recipient(text, why))?;
            return HybridRecipient::from_bytes(&key).map(Recipient::Hybrid);
        }
        match text::decode(x25519::RECIPIENT_HRP, text) {
            Ok(key) => X25519Recipient::from_bytes(*key).map(Recipient::X25519),
            Err(why) => match PluginRecipient::parse(text) {
                Some(plugin) => plugin.map(Recipient::Plugin),
                None => Err(not_a_recipient(text, why)),
            },
        }
    }

    /// Whether what is sealed for it stays sealed when large quantum computers exist.
    pub fn is_post_quantum(&self) -> bool {
        match self {
            Recipient::Hybrid(_) => true,
            // age.md, "The tagged recipient types": the hybrid one, where a plugin has the key.
            Recipient::Plugin(plugin) => plugin.name() == "tagpq",
            Recipient::X25519(_) | Recipient::Ssh(_) | Recipient::Passphrase(_) => false,
        }
    }

    /// The stanza that wraps `file_key` for it.
    pub(super) fn wrap(&self, file_key: &FileKey) -> Result<Stanza, Error> {
        match self {
            Recipient::X25519(recipient) => recipient.wrap(file_key),
            Recipient::Hybrid(recipient) => recipient.wrap(file_key),
            Recipient::Ssh(recipient) => recipient.wrap(file_key),
            Recipient::Passphrase(passphrase) => passphrase.wrap(file_key),
            Recipient::Plugin(plugin) => Err(Error::new(
                ErrorKind::UnsupportedKey,
                format!(
                    "the recipient is one of the plugin {0}; only `consign seal` runs age-plugin-{0}",
                    plugin.name()
                ),
            )),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recipient::X25519(recipient) => recipient.fmt(f),
            Recipient::Hybrid(recipient) => recipient.fmt(f),
            Recipient::Ssh(recipient) => recipient.fmt(f),
            Recipient::Passphrase(_) => f.write_str("a passphrase"),
            Recipient::Plugin(recipient) => recipient.fmt(f),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl FromStr for Recipient {
    type Err = Error;

    fn from_str(text: &str) -> Result<Recipient, Error> {
        Recipient::parse(text)
    }
}

/// What opens what was sealed for its [`Recipient`]. Secret; wiped when dropped.
#[derive(Clone)]
#[non_exhaustive]
pub enum Identity {
    /// `AGE-SECRET-KEY-1…`
    X25519(X25519Identity),
    /// `AGE-SECRET-KEY-PQ-1…`
    Hybrid(HybridIdentity),
    /// An OpenSSH private key.
    Ssh(SshIdentity),
    /// Words.
    Passphrase(Passphrase),
    /// `AGE-PLUGIN-NAME-1…`, for the program `age-plugin-NAME`. It opens nothing here; see
    /// [`super::Header::open_with`].
    Plugin(PluginIdentity),
}

impl Identity {
    /// A new X25519 identity from the randomness of the operating system. Every `age` opens what is
    /// sealed for it.
    pub fn generate() -> Result<Identity, Error> {
        X25519Identity::generate().map(Identity::X25519)
    }

    /// A new post-quantum identity. `age` 1.3 and later opens what is sealed for it.
    pub fn generate_post_quantum() -> Result<Identity, Error> {
        HybridIdentity::generate().map(Identity::Hybrid)
    }

    /// Reads `AGE-SECRET-KEY-1…`, `AGE-SECRET-KEY-PQ-1…` or `AGE-PLUGIN-NAME-1…`. Errors never
    /// repeat the text. Whole files are read by [`parse_identities`].
    pub fn parse(text: &str) -> Result<Identity, Error> {
        if text.starts_with(hybrid::IDENTITY_HRP) {
            let seed = text::decode(hybrid::IDENTITY_HRP, text)
                .map_err(|why| not_an_identity(text, why))?;
            return HybridIdentity::from_seed(seed).map(Identity::Hybrid);
        }
        if let Some(plugin) = PluginIdentity::parse(text) {
            return plugin.map(Identity::Plugin);
        }
        let secret =
            text::decode(x25519::IDENTITY_HRP, text).map_err(|why| not_an_identity(text, why))?;
        X25519Identity::from_secret(secret).map(Identity::X25519)
    }

    /// The public half, to give to those who seal. That of a passphrase is the passphrase.
    pub fn to_recipient(&self) -> Recipient {
        match self {
            Identity::X25519(identity) => Recipient::X25519(identity.recipient()),
            Identity::Hybrid(identity) => Recipient::Hybrid(identity.recipient().clone()),
            Identity::Ssh(identity) => Recipient::Ssh(identity.recipient().clone()),
            Identity::Passphrase(passphrase) => Recipient::Passphrase(passphrase.clone()),
            Identity::Plugin(identity) => Recipient::Plugin(identity.recipient()),
        }
    }

    /// The line of an identity file. SSH keys and passphrases have none: for them it is a comment.
    pub fn secret_text(&self) -> Zeroizing<String> {
        match self {
            Identity::X25519(identity) => identity.secret_text(),
            Identity::Hybrid(identity) => identity.secret_text(),
            Identity::Plugin(identity) => Zeroizing::new(identity.text().to_owned()),
            Identity::Ssh(_) => Zeroizing::new("# an SSH key, in a file of its own".to_owned()),
            Identity::Passphrase(_) => Zeroizing::new("# a passphrase".to_owned()),
        }
    }

    /// The file key, if the stanza is for this identity.
    pub(super) fn unwrap(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        match self {
            Identity::X25519(identity) => identity.unwrap(stanza),
            Identity::Hybrid(identity) => identity.unwrap(stanza),
            Identity::Ssh(identity) => identity.unwrap(stanza),
            Identity::Passphrase(passphrase) => passphrase.unwrap(stanza),
            Identity::Plugin(_) => Ok(None),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(for {})", self.to_recipient())
    }
}

/// Reads an identity file as `age-keygen` and `consign keys new` write it, or an OpenSSH private
/// key file. One that is protected fails with [`ErrorKind::NeedsPassphrase`]: see
/// [`parse_identities`].
pub fn parse_identity_file(text: &str) -> Result<Vec<Identity>, Error> {
    parse_identities(text.as_bytes(), None)
}

/// Reads a file of identities: one a line, blank lines and lines starting with `#` ignored; or one
/// OpenSSH private key; or an age file, armored or not, that holds such lines and is sealed with a
/// passphrase. `passphrase` matters only to a file that is protected; without it, such a file is
/// [`ErrorKind::NeedsPassphrase`]. Refuses a file without any identity.
pub fn parse_identities(
    file: &[u8],
    passphrase: Option<&Passphrase>,
) -> Result<Vec<Identity>, Error> {
    if file.len() > FILE_BYTES_MAX {
        return Err(Error::new(ErrorKind::BadKey, "the identity file is too long to be one"));
    }
    if starts_like_age(file) {
        let Some(passphrase) = passphrase else {
            let context = "the identity file is protected by a passphrase";
            return Err(Error::new(ErrorKind::NeedsPassphrase, context));
        };
        let opened = open_all(&[Identity::Passphrase(passphrase.clone())], file)?;
        return parse_lines(&Zeroizing::new(opened));
    }
    let start = file.trim_ascii_start();
    if start.starts_with(private::BEGIN.as_bytes()) {
        let text = std::str::from_utf8(file)
            .map_err(|_| Error::new(ErrorKind::BadKey, "the private key file is not text"))?;
        let words = passphrase.map(|passphrase| passphrase.text().as_bytes());
        return SshIdentity::parse(text, words).map(|identity| vec![Identity::Ssh(identity)]);
    }
    parse_lines(file)
}

fn parse_lines(file: &[u8]) -> Result<Vec<Identity>, Error> {
    let text = std::str::from_utf8(file)
        .map_err(|_| Error::new(ErrorKind::BadKey, "the identity file is not text"))?;
    let identities = lines(text, "identity file", Identity::parse)?;
    if identities.is_empty() {
        return Err(Error::new(ErrorKind::BadKey, "the identity file contains no identity"));
    }
    Ok(identities)
}

/// Reads a recipients file: a recipient a line, SSH keys among them, blank lines and lines starting
/// with `#` ignored. Refuses a file without any.
pub fn parse_recipients(text: &str) -> Result<Vec<Recipient>, Error> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Error::new(ErrorKind::BadKey, "the recipients file is too long to be one"));
    }
    let recipients = lines(text, "recipients file", Recipient::parse)?;
    if recipients.is_empty() {
        return Err(Error::new(ErrorKind::BadKey, "the recipients file contains no recipient"));
    }
    Ok(recipients)
}

fn lines<T>(
    text: &str,
    file: &str,
    parse: impl Fn(&str) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let meant = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    meant
        .map(|(number, line)| {
            parse(line).map_err(|error| {
                Error::new(error.kind(), format!("{file}, line {number}: {error}"))
            })
        })
        .collect()
}

fn not_a_recipient(text: &str, why: &str) -> Error {
    let what = if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        "this is a secret identity, not a recipient: keep it to yourself".to_owned()
    } else if !text.starts_with("age1") {
        "not an age recipient: one begins with `age1`".to_owned()
    } else {
        format!("not a valid age recipient: {why}")
    };
    Error::new(ErrorKind::BadKey, what)
}

fn not_an_identity(text: &str, why: &str) -> Error {
    let (kind, what) = if text.starts_with("-----BEGIN") {
        (ErrorKind::UnsupportedKey, "this is a key of another kind, not an age identity".to_owned())
    } else if text.starts_with("age1") || text.starts_with("ssh-") {
        (ErrorKind::BadKey, "this is a recipient (public), not a secret identity".to_owned())
    } else if !text.starts_with("AGE-SECRET-KEY-") {
        (ErrorKind::BadKey, "not an age identity: one begins with `AGE-SECRET-KEY-1`".to_owned())
    } else {
        (ErrorKind::BadKey, format!("not a valid age identity: {why}"))
    };
    Error::new(kind, what)
}
