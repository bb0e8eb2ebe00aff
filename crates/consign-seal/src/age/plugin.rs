//! Recipients and identities that a program understands and this crate does not: `age1NAME1…` and
//! `AGE-PLUGIN-NAME-1…` (age-plugin.md).
//!
//! They are only data here. Who wants to use them starts `age-plugin-NAME`, hands it a
//! [`FileKey`](super::FileKey) or the [`Stanza`](super::Stanza)s of a header, and brings what it
//! answers to [`Sealer::with_stanzas`](super::Sealer::with_stanzas) or
//! [`Header::open_with`](super::Header::open_with).

use std::fmt;

use zeroize::Zeroizing;

use super::text;
use crate::{Error, ErrorKind};

const RECIPIENT_START: &str = "age1";
const IDENTITY_START: &str = "AGE-PLUGIN-";

/// Text for the program `age-plugin-NAME` to seal for: a recipient, or the identity of one.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginRecipient {
    // INVARIANT: ASCII letters, digits and `+-._`, so that it names a program and no path.
    name: String,
    text: Zeroizing<String>,
    is_identity: bool,
}

impl PluginRecipient {
    /// `None` for what is not in the form of one.
    pub(super) fn parse(text: &str) -> Option<Result<PluginRecipient, Error>> {
        let name = text.strip_prefix(RECIPIENT_START)?.rsplit_once('1')?.0;
        if !is_name(name) || name.chars().any(|c| c.is_ascii_uppercase()) {
            return None;
        }
        Some(text::decode_any(text).map_err(|why| not_valid("recipient", name, why)).map(|_| {
            PluginRecipient {
                name: name.to_owned(),
                text: Zeroizing::new(text.to_owned()),
                is_identity: false,
            }
        }))
    }

    /// The program is `age-plugin-` and this.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the program reads, and whether it is an identity (`add-identity`) and not a recipient
    /// (`add-recipient`).
    pub fn text(&self) -> (&str, bool) {
        (&self.text, self.is_identity)
    }
}

impl fmt::Display for PluginRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_identity {
            return write!(f, "an identity of the plugin {}", self.name);
        }
        f.write_str(&self.text)
    }
}

/// Text with which the program `age-plugin-NAME` opens.
#[derive(Clone)]
pub struct PluginIdentity {
    // INVARIANT: as that of a recipient.
    name: String,
    text: Zeroizing<String>,
}

impl PluginIdentity {
    /// `None` for what is not in the form of one.
    pub(super) fn parse(text: &str) -> Option<Result<PluginIdentity, Error>> {
        let name = text.strip_prefix(IDENTITY_START)?.rsplit_once('1')?.0.strip_suffix('-')?;
        if !is_name(name) || name.chars().any(|c| c.is_ascii_lowercase()) {
            return None;
        }
        Some(text::decode_any(text).map_err(|why| not_valid("identity", name, why)).map(|_| {
            PluginIdentity {
                name: name.to_ascii_lowercase(),
                text: Zeroizing::new(text.to_owned()),
            }
        }))
    }

    /// The program is `age-plugin-` and this.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the program reads.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn recipient(&self) -> PluginRecipient {
        PluginRecipient { name: self.name.clone(), text: self.text.clone(), is_identity: true }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

fn not_valid(what: &str, name: &str, why: &str) -> Error {
    Error::new(ErrorKind::BadKey, format!("not a valid {what} of the plugin {name}: {why}"))
}
