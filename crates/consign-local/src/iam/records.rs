//! What IAM remembers: users, roles, access keys.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::policy::{Policy, PolicyKind};

/// A user or role of an account, under a path, with inline policies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entity {
    /// Twelve digits.
    pub account: String,
    /// User or role.
    pub kind: Kind,
    /// Without the path.
    pub name: String,
    /// `/` or `/team/`.
    pub path: String,
    /// `AIDA…` or `AROA…`: never used twice, so a recreated name is another identity.
    pub id: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Inline policies: name and document, as given.
    pub policies: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What only roles have.
    pub role: Option<RolePart>,
    #[serde(skip)]
    parsed: OnceLock<Arc<[Policy]>>,
}

/// A user or a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Has access keys.
    User,
    /// Is assumed.
    Role,
}

impl Kind {
    /// `user` or `role`, as in ARNs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Role => "role",
        }
    }
}

/// Who may assume a role, and for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RolePart {
    /// The trust policy, as given.
    pub trust: String,
    /// For people.
    pub description: String,
    /// The longest session.
    pub max_session_seconds: u64,
}

impl Entity {
    /// A new user or role without policies.
    pub fn new(account: &str, kind: Kind, path: &str, name: &str, now_ms: u64) -> Entity {
        let prefix = if kind == Kind::User { "AIDA" } else { "AROA" };
        Entity {
            account: account.to_owned(),
            kind,
            name: name.to_owned(),
            path: path.to_owned(),
            id: unique_id(prefix, 17),
            created_ms: now_ms,
            policies: BTreeMap::new(),
            tags: BTreeMap::new(),
            role: None,
            parsed: OnceLock::new(),
        }
    }

    /// `arn:aws:iam::ACCOUNT:user/PATH/NAME`.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:{}{}{}", self.account, self.kind.word(), self.path, self.name)
    }

    /// The inline policies, parsed once per state of the entity.
    pub fn parsed_policies(&self) -> Result<Arc<[Policy]>, ApiError> {
        if let Some(parsed) = self.parsed.get() {
            return Ok(parsed.clone());
        }
        let parsed: Result<Arc<[Policy]>, _> = self
            .policies
            .values()
            .map(|text| Policy::parse_as(PolicyKind::Identity, text))
            .collect();
        // Documents are checked when they are put; one that no longer parses must not be skipped,
        // since it may hold the Deny.
        let parsed = parsed.map_err(|refusal| {
            ApiError::internal(format!("a stored policy of {}: {refusal}", self.arn()))
        })?;
        Ok(self.parsed.get_or_init(|| parsed).clone())
    }

    /// A copy to change: what was derived from the old state is forgotten.
    pub fn draft(&self) -> Entity {
        Entity { parsed: OnceLock::new(), ..self.clone() }
    }
}

/// A long-term access key of a user. The secret is sealed under the vault.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// The user's account.
    pub account: String,
    /// The user's name.
    pub user: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Inactive keys are remembered and refused.
    pub active: bool,
    /// A vault box, bound to the id.
    #[serde(with = "crate::vault::as_base64")]
    pub sealed_secret: Vec<u8>,
}

/// `AIDA` and the like, followed by random base-32 characters.
pub fn unique_id(prefix: &str, chars: usize) -> String {
    random_text(prefix, chars, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}

/// A secret access key: 40 characters of base 64, 240 bits.
pub fn new_secret() -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(random_text(
        "",
        40,
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    ))
}

/// `chars` random characters of an alphabet whose length is a power of two (so none is favoured).
fn random_text(prefix: &str, chars: usize, alphabet: &[u8]) -> String {
    debug_assert!(alphabet.len().is_power_of_two());
    let mut random = vec![0u8; chars];
    crate::vault::fill(&mut random);
    let mut text = String::with_capacity(prefix.len() + chars);
    text.push_str(prefix);
    for byte in random {
        let at = usize::from(byte) % alphabet.len();
        text.push(char::from(alphabet.get(at).copied().unwrap_or(b'A')));
    }
    text
}
