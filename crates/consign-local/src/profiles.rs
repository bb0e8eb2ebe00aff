//! The first principals, and the files that let stock clients be them.
//!
//! Each account has an administrator, the user `admin`; further users and roles come from
//! [`ServeOptions`]. All of them are remembered, so a later start with fewer options still writes
//! every profile. A role's profile names the account's administrator as the one who assumes it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::ApiError;
use crate::iam::records::{Entity, Kind, RolePart};
use crate::ledger::{Change, Ledger};
use crate::serve::{PrincipalKind, ServeOptions};
use crate::state::State;
use crate::sts::Session;
use crate::vault::write_private;

const PROFILE: &str = "profile";
const ADMIN: &str = "admin";
const ADMIN_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Administrator","Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const SESSION_MS: u64 = 3600 * 1000;

/// A name in the AWS shared files and the principal behind it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// The profile's name.
    pub name: String,
    /// Twelve digits.
    pub account: String,
    /// User or role.
    pub kind: Kind,
    /// The principal's name, without its path.
    pub principal: String,
}

/// An access key, with its session token where it is temporary. Wiped on drop.
#[derive(Clone)]
pub struct Credentials {
    /// `AKIA…` or `ASIA…`.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: Zeroizing<String>,
    /// For temporary credentials.
    pub session_token: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, ..)", self.access_key_id)
    }
}

/// The profile of an account's administrator.
pub fn admin_profile(account: &str) -> String {
    format!("admin-{account}")
}

/// Makes what `options` ask for and is not there yet; all profiles, administrators first.
pub fn bootstrap(
    state: &State,
    ledger: &Ledger,
    options: &ServeOptions,
) -> Result<Vec<Profile>, Box<dyn std::error::Error + Send + Sync>> {
    let of_principals = options.principals.iter().map(|principal| &principal.account);
    let accounts: std::collections::BTreeSet<&String> =
        options.accounts.iter().map(|account| &account.id).chain(of_principals).collect();
    for account in accounts {
        let profile = Profile {
            name: admin_profile(account),
            account: account.clone(),
            kind: Kind::User,
            principal: ADMIN.to_owned(),
        };
        ensure(state, ledger, &profile, "/", Some(ADMIN_POLICY))?;
    }
    for principal in &options.principals {
        let (path, name) = match principal.name.rsplit_once('/') {
            Some((path, name)) => (format!("/{}/", path.trim_matches('/')), name),
            None => ("/".to_owned(), principal.name.as_str()),
        };
        let kind = match principal.kind {
            PrincipalKind::User => Kind::User,
            PrincipalKind::Role => Kind::Role,
        };
        let profile = Profile {
            name: principal.profile.clone(),
            account: principal.account.clone(),
            kind,
            principal: name.to_owned(),
        };
        ensure(state, ledger, &profile, &path, None)?;
    }
    let mut profiles = ledger.all::<Profile>(PROFILE)?;
    profiles.sort_by_key(|profile| profile.name != admin_profile(&profile.account));
    Ok(profiles)
}

fn ensure(
    state: &State,
    ledger: &Ledger,
    profile: &Profile,
    path: &str,
    policy: Option<&str>,
) -> Result<(), ApiError> {
    let Profile { account, kind, principal, .. } = profile;
    let now_ms = state.clock.now_ms();
    if state.directory.find(account, *kind, principal).is_none() {
        let mut entity = Entity::new(account, *kind, path, principal, now_ms);
        if let Some(policy) = policy {
            entity.policies.insert("administrator".to_owned(), policy.to_owned());
        }
        if *kind == Kind::Role {
            entity.role = Some(RolePart {
                trust: trust_in_account(account),
                description: String::new(),
                max_session_seconds: 3600,
            });
        }
        state.directory.create(entity)?;
    }
    if *kind == Kind::User && state.directory.keys_of(account, principal).is_empty() {
        state.directory.create_key(&state.vault, account, principal, now_ms)?;
    }
    ledger.commit(&[Change::put(PROFILE, &profile.name, profile)?])
}

fn trust_in_account(account: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
            "Action": "sts:AssumeRole",
        }],
    })
    .to_string()
}

/// The credentials of a profile.
pub fn credentials(state: &State, profile: &Profile) -> Result<Credentials, ApiError> {
    let Profile { account, kind, principal, .. } = profile;
    let entity = state.directory.get(account, *kind, principal)?;
    if *kind == Kind::Role {
        return role_credentials(state, &entity);
    }
    let key = state.directory.keys_of(account, principal).into_iter().find(|key| key.active);
    let key = key.ok_or_else(|| ApiError::internal(format!("{principal} has no access key")))?;
    let secret = state
        .vault
        .open("access-key", key.id.as_bytes(), &key.sealed_secret)
        .map_err(ApiError::internal)?;
    let secret = String::from_utf8(secret.to_vec()).map_err(|error| {
        error.into_bytes().zeroize();
        ApiError::internal("an access key's secret is not text")
    })?;
    Ok(Credentials {
        access_key_id: key.id.clone(),
        secret_access_key: Zeroizing::new(secret),
        session_token: None,
    })
}

fn role_credentials(state: &State, role: &Entity) -> Result<Credentials, ApiError> {
    let now_ms = state.clock.now_ms();
    let (access_key_id, secret) = Session::fresh_credentials();
    let session = Session {
        access_key_id: access_key_id.clone(),
        secret: secret.clone(),
        account: role.account.clone(),
        role: Some(role.name.clone()),
        user: None,
        entity_id: role.id.clone(),
        name: "bootstrap".to_owned(),
        issued_ms: now_ms,
        expires_ms: now_ms + SESSION_MS,
        policies: Vec::new(),
        tags: std::collections::BTreeMap::new(),
        source_identity: None,
    };
    let token = Zeroizing::new(session.to_token(&state.vault)?);
    Ok(Credentials { access_key_id, secret_access_key: secret, session_token: Some(token) })
}

/// Writes `ROOT/credentials` and `ROOT/config`.
pub fn write_files(
    state: &State,
    profiles: &[Profile],
    endpoint: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut keys = Zeroizing::new(String::new());
    let mut config = String::new();
    for profile in profiles {
        let name = &profile.name;
        // Without the last setting the AWS CLI still presigns with Signature Version 2.
        write!(
            config,
            "[profile {name}]\nregion = {}\nendpoint_url = {endpoint}\nca_bundle = {}\n\
             s3 =\n    signature_version = s3v4\n",
            state.region,
            state.root.join("ca.pem").display()
        )?;
        match profile.kind {
            Kind::User => {
                // A principal whose keys were all deleted since keeps its profile, without keys.
                if let Ok(found) = credentials(state, profile) {
                    let secret = found.secret_access_key.as_str();
                    let id = &found.access_key_id;
                    write!(
                        keys,
                        "[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n\n"
                    )?;
                }
            }
            Kind::Role => {
                if let Some(role) =
                    state.directory.find(&profile.account, Kind::Role, &profile.principal)
                {
                    let source = admin_profile(&profile.account);
                    writeln!(config, "role_arn = {}\nsource_profile = {source}", role.arn())?;
                }
            }
        }
        config.push('\n');
    }
    write_private(&state.root.join("credentials"), keys.as_bytes())?;
    write_private(&state.root.join("config"), config.as_bytes())?;
    Ok(())
}
