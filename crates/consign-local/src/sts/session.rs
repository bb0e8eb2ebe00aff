//! A session token is the session itself, sealed under the vault: nothing is stored.
//!
//! It names the role by its unique id, so a role that was deleted and made again does not revive old
//! sessions; the role's policies are read when the token is used, so changing them takes effect at
//! once.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::ApiError;
use crate::iam::records::{new_secret, unique_id};
use crate::vault::Vault;

/// Longer tokens were not made here.
const TOKEN_BYTES_MAX: usize = 32 << 10;

/// Temporary credentials and what they stand for.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// `ASIA…`.
    pub access_key_id: String,
    /// Never shown in debug output: this type has none.
    #[serde(with = "crate::vault::wiped")]
    pub secret: Zeroizing<String>,
    /// The account of the role or user.
    pub account: String,
    /// The role assumed, by name; `None` when a user's own session.
    pub role: Option<String>,
    /// The user whose session it is.
    pub user: Option<String>,
    /// The unique id of the role or user when the session began.
    pub entity_id: String,
    /// `RoleSessionName`.
    pub name: String,
    /// Milliseconds since 1970.
    pub issued_ms: u64,
    /// Milliseconds since 1970.
    pub expires_ms: u64,
    /// Session policies, as given.
    pub policies: Vec<String>,
    /// Session tags.
    pub tags: BTreeMap<String, String>,
    /// `SourceIdentity`.
    pub source_identity: Option<String>,
}

impl Session {
    /// Fresh credentials: a new access key id and secret.
    pub fn fresh_credentials() -> (String, Zeroizing<String>) {
        (unique_id("ASIA", 16), new_secret())
    }

    /// The session as a token.
    pub fn to_token(&self, vault: &Vault) -> Result<String, ApiError> {
        let plain = Zeroizing::new(serde_json::to_vec(self).map_err(ApiError::internal)?);
        Ok(STANDARD.encode(vault.seal("session", self.access_key_id.as_bytes(), &plain)))
    }

    /// The session in a token that was given out with `access_key_id`.
    pub fn from_token(vault: &Vault, access_key_id: &str, token: &str) -> Option<Session> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let sealed = STANDARD.decode(token).ok()?;
        let plain = vault.open("session", access_key_id.as_bytes(), &sealed).ok()?;
        let session: Session = serde_json::from_slice(&plain).ok()?;
        (session.access_key_id == access_key_id).then_some(session)
    }
}
