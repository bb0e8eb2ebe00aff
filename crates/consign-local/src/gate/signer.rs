//! From a claim to a caller: whose access key it is, and what comes with them.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::claim::Claim;
use super::refusal::Refusal;
use crate::call::Caller;
use crate::error::ApiError;
use crate::iam::records::{Entity, Kind};
use crate::policy::{Policy, PolicyKind, Principal};
use crate::state::State;
use crate::sts::Session;

/// The owner of an access key, and its secret.
pub struct Signer {
    /// What the signature is checked with.
    pub secret: Zeroizing<String>,
    /// Who it is, if the signature is right.
    pub caller: Caller,
}

/// A refusal of the gate, or a failure of ours.
pub enum Stop {
    /// To be worded for the service.
    Refused(Refusal),
    /// To be answered as it is.
    Failed(ApiError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Stop {
        Stop::Failed(error)
    }
}

impl Signer {
    /// Looks up the access key that `claim` names. Nothing is proved yet.
    pub fn find(
        state: &State,
        access_key_id: &str,
        token: Option<&str>,
        now_ms: u64,
    ) -> Result<Signer, Stop> {
        match token {
            None => by_key(state, access_key_id),
            Some(token) => by_token(state, access_key_id, token, now_ms),
        }
    }

    /// [`Signer::find`] for a claim.
    pub fn of(state: &State, claim: &Claim, now_ms: u64) -> Result<Signer, Stop> {
        Signer::find(state, &claim.access_key_id, claim.token.as_deref(), now_ms)
    }
}

fn by_key(state: &State, id: &str) -> Result<Signer, Stop> {
    let unknown = || Refusal::UnknownKey(id.to_owned());
    let key = state.directory.key(id).filter(|key| key.active).ok_or_else(unknown)?;
    let user = state.directory.find(&key.account, Kind::User, &key.user).ok_or_else(unknown)?;
    let secret = state
        .vault
        .open("access-key", id.as_bytes(), &key.sealed_secret)
        .map_err(ApiError::internal)?;
    let secret = String::from_utf8(secret.to_vec()).map_err(|_| unknown())?;
    let mut caller = Caller::anonymous();
    caller.principal = Principal::User { arn: user.arn() };
    caller.arn = user.arn();
    caller.user_id = user.id.clone();
    describe(&mut caller, &user, id)?;
    Ok(Signer { secret: Zeroizing::new(secret), caller })
}

fn by_token(state: &State, id: &str, token: &str, now_ms: u64) -> Result<Signer, Stop> {
    let session = Session::from_token(&state.vault, id, token).ok_or(Refusal::BadToken)?;
    if now_ms >= session.expires_ms {
        return Err(Refusal::ExpiredToken.into());
    }
    let (kind, name) = match (&session.role, &session.user) {
        (Some(role), _) => (Kind::Role, role),
        (None, Some(user)) => (Kind::User, user),
        (None, None) => return Err(Refusal::BadToken.into()),
    };
    let entity = state
        .directory
        .find(&session.account, kind, name)
        .filter(|entity| entity.id == session.entity_id)
        .ok_or(Refusal::BadToken)?;
    let mut caller = Caller::anonymous();
    match kind {
        Kind::User => {
            caller.principal = Principal::User { arn: entity.arn() };
            caller.arn = entity.arn();
            caller.user_id = entity.id.clone();
        }
        Kind::Role => {
            let session_arn = session_arn(&entity, &session.name);
            caller.principal = Principal::RoleSession {
                role_arn: entity.arn(),
                session_arn: Some(session_arn.clone()),
            };
            caller.arn = session_arn;
            caller.user_id = format!("{}:{}", entity.id, session.name);
        }
    }
    describe(&mut caller, &entity, id)?;
    let policies: Result<Arc<[Policy]>, _> =
        session.policies.iter().map(|text| Policy::parse_as(PolicyKind::Identity, text)).collect();
    caller.session =
        policies.map_err(|refusal| ApiError::internal(format!("a session policy: {refusal}")))?;
    if !session.tags.is_empty() {
        // Session tags win over the role's own of the same key.
        let own = caller.tags.iter().filter(|(key, _)| !session.tags.contains_key(key)).cloned();
        caller.tags = own.chain(session.tags.clone()).collect();
    }
    caller.token_issued_ms = Some(session.issued_ms);
    caller.source_identity = session.source_identity.clone();
    Ok(Signer { secret: session.secret.clone(), caller })
}

fn describe(caller: &mut Caller, entity: &Entity, access_key_id: &str) -> Result<(), ApiError> {
    caller.account = Some(entity.account.clone());
    caller.access_key_id = access_key_id.to_owned();
    caller.identity = entity.parsed_policies()?;
    caller.tags = entity.tags.clone().into_iter().collect();
    Ok(())
}

/// `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`: without the role's path, as in AWS.
pub fn session_arn(role: &Entity, session: &str) -> String {
    format!("arn:aws:sts::{}:assumed-role/{}/{session}", role.account, role.name)
}
