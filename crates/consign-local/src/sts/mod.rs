//! STS: who am I, and temporary credentials for a role or for oneself.
//!
//! A role is assumed if its trust policy says so; within one account that may be left to the
//! caller's own policies, across accounts both must allow. Session policies passed along limit what
//! the credentials can do and never add to it.

pub mod session;

use std::collections::BTreeMap;

use http::Response;

pub use session::Session;

use crate::authorize::{Facts, Question};
use crate::call::Call;
use crate::error::{ApiError, ResponseBody, element};
use crate::gate::signer::session_arn;
use crate::iam::query::{Form, respond};
use crate::iam::records::{Entity, Kind};
use crate::moment;
use crate::policy::{Policy, PolicyKind};
use crate::state::State;

/// The XML namespace of STS's answers.
pub const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

const SESSION_SECONDS_MIN: u64 = 900;
const SESSION_POLICY_CHARS_MAX: usize = 2048;

/// Answers one verified call.
pub fn handle(state: &State, call: &Call, body: &[u8]) -> Result<Response<ResponseBody>, ApiError> {
    let form = Form::read(call, body)?;
    let result = match form.action() {
        "GetCallerIdentity" => caller_identity(call),
        "AssumeRole" => assume_role(state, call, &form)?,
        "GetSessionToken" => session_token(state, call, &form)?,
        other => return Err(crate::iam::query::unknown_action(other)),
    };
    Ok(respond(NAMESPACE, form.action(), Some(&result), &call.request_id))
}

fn caller_identity(call: &Call) -> String {
    let mut xml = String::new();
    element(&mut xml, "Arn", &call.caller.arn);
    element(&mut xml, "UserId", &call.caller.user_id);
    element(&mut xml, "Account", call.caller.account.as_deref().unwrap_or_default());
    xml
}

fn assume_role(state: &State, call: &Call, form: &Form) -> Result<String, ApiError> {
    let role_arn = form.required("RoleArn")?;
    let name = form.required("RoleSessionName")?;
    check_session_name(name)?;
    let role = find_role(state, role_arn).ok_or_else(|| not_allowed(call, role_arn))?;
    let part = role.role.as_ref().ok_or_else(|| ApiError::internal("a role without trust"))?;
    let tags = form.pairs("Tags.member", "Key", "Value");
    let source_identity = form
        .get("SourceIdentity")
        .map(str::to_owned)
        .or_else(|| call.caller.source_identity.clone());
    let trust = Policy::parse_as(PolicyKind::Trust, &part.trust).map_err(|refusal| {
        ApiError::internal(format!("the trust policy of {role_arn}: {refusal}"))
    })?;
    let mut facts = vec![("sts:RoleSessionName".to_owned(), name.to_owned())];
    let mut add = |key: &str, value: &str| facts.push((key.to_owned(), value.to_owned()));
    if let Some(id) = form.get("ExternalId") {
        add("sts:ExternalId", id);
    }
    if let Some(identity) = &source_identity {
        add("sts:SourceIdentity", identity);
    }
    for (key, value) in &tags {
        add(&format!("aws:RequestTag/{key}"), value);
        add("aws:TagKeys", key);
    }
    for (key, value) in &role.tags {
        add(&format!("aws:ResourceTag/{key}"), value);
        add(&format!("iam:ResourceTag/{key}"), value);
    }
    let mut actions = vec!["sts:AssumeRole"];
    actions.extend((!tags.is_empty()).then_some("sts:TagSession"));
    actions.extend(form.get("SourceIdentity").map(|_| "sts:SetSourceIdentity"));
    for action in actions {
        authorize_role(state, call, &role, &trust, action, &facts)?;
    }
    // A session made from a session (chaining) lasts an hour at most.
    let chained = call.caller.token_issued_ms.is_some();
    let longest = if chained { 3600 } else { part.max_session_seconds };
    let seconds = read_duration(form, 3600.min(longest), longest)?;
    let (access_key_id, secret) = Session::fresh_credentials();
    let session = Session {
        access_key_id,
        secret,
        account: role.account.clone(),
        role: Some(role.name.clone()),
        user: None,
        entity_id: role.id.clone(),
        name: name.to_owned(),
        issued_ms: call.now_ms,
        expires_ms: call.now_ms + seconds * 1000,
        policies: session_policies(form)?,
        tags: tags.into_iter().collect(),
        source_identity: source_identity.clone(),
    };
    let mut xml = credentials_xml(state, &session)?;
    xml.push_str("<AssumedRoleUser>");
    element(&mut xml, "AssumedRoleId", &format!("{}:{name}", role.id));
    element(&mut xml, "Arn", &session_arn(&role, name));
    xml.push_str("</AssumedRoleUser>");
    if let Some(identity) = source_identity {
        element(&mut xml, "SourceIdentity", &identity);
    }
    Ok(xml)
}

fn authorize_role(
    state: &State,
    call: &Call,
    role: &Entity,
    trust: &Policy,
    action: &str,
    facts: &Facts,
) -> Result<(), ApiError> {
    let question = Question {
        action,
        resource: &role.arn(),
        resource_account: &role.account,
        resource_policies: std::slice::from_ref(trust),
        facts,
        restrict_public_buckets: false,
        via_service: false,
    };
    question.authorize(state, call)
}

fn find_role(state: &State, arn: &str) -> Option<std::sync::Arc<Entity>> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", "aws", "iam", "", account, rest] = fields.as_slice() else { return None };
    let name = rest.strip_prefix("role/")?.rsplit('/').next()?;
    state.directory.find(account, Kind::Role, name).filter(|role| role.arn() == arn)
}

/// Also what a role that does not exist gets: STS does not tell which roles others have.
fn not_allowed(call: &Call, role_arn: &str) -> ApiError {
    let caller = &call.caller.arn;
    let message = format!(
        "User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
    );
    ApiError::forbidden("AccessDenied", message).because("there is no such role")
}

/// Temporary credentials of the caller itself, with its own rights.
fn session_token(state: &State, call: &Call, form: &Form) -> Result<String, ApiError> {
    let caller = &call.caller;
    let key = state.directory.key(&caller.access_key_id);
    let (Some(key), None) = (key, caller.token_issued_ms) else {
        let message = "Cannot call GetSessionToken with session credentials";
        return Err(ApiError::forbidden("AccessDenied", message));
    };
    let user = state.directory.get(&key.account, Kind::User, &key.user)?;
    let seconds = read_duration(form, 43_200, 129_600)?;
    let (access_key_id, secret) = Session::fresh_credentials();
    let session = Session {
        access_key_id,
        secret,
        account: user.account.clone(),
        role: None,
        user: Some(user.name.clone()),
        entity_id: user.id.clone(),
        name: String::new(),
        issued_ms: call.now_ms,
        expires_ms: call.now_ms + seconds * 1000,
        policies: Vec::new(),
        tags: BTreeMap::new(),
        source_identity: None,
    };
    credentials_xml(state, &session)
}

fn credentials_xml(state: &State, session: &Session) -> Result<String, ApiError> {
    let mut xml = String::from("<Credentials>");
    element(&mut xml, "AccessKeyId", &session.access_key_id);
    element(&mut xml, "SecretAccessKey", &session.secret);
    element(&mut xml, "SessionToken", &session.to_token(&state.vault)?);
    element(&mut xml, "Expiration", &moment::iso(session.expires_ms));
    xml.push_str("</Credentials>");
    Ok(xml)
}

fn session_policies(form: &Form) -> Result<Vec<String>, ApiError> {
    if !form.list("PolicyArns.member").is_empty() || form.get("PolicyArns.member.1.arn").is_some() {
        return Err(ApiError::not_implemented("PolicyArns"));
    }
    let Some(text) = form.get("Policy") else { return Ok(Vec::new()) };
    if text.chars().count() > SESSION_POLICY_CHARS_MAX {
        let message = "The session policy is longer than 2048 characters.";
        return Err(ApiError::bad_request("PackedPolicyTooLarge", message));
    }
    Policy::parse_as(PolicyKind::Identity, text)
        .map_err(|refusal| ApiError::bad_request("MalformedPolicyDocument", refusal.to_string()))?;
    Ok(vec![text.to_owned()])
}

fn read_duration(form: &Form, otherwise: u64, longest: u64) -> Result<u64, ApiError> {
    let Some(text) = form.get("DurationSeconds") else { return Ok(otherwise) };
    match text.parse::<u64>() {
        Ok(seconds) if (SESSION_SECONDS_MIN..=longest).contains(&seconds) => Ok(seconds),
        _ => Err(ApiError::bad_request(
            "ValidationError",
            format!(
                "The requested DurationSeconds must be between {SESSION_SECONDS_MIN} and {longest}, \
                 the MaxSessionDuration set for this role."
            ),
        )),
    }
}

fn check_session_name(name: &str) -> Result<(), ApiError> {
    let sound = (2..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    match sound {
        true => Ok(()),
        false => Err(ApiError::bad_request(
            "ValidationError",
            "RoleSessionName must be 2 to 64 letters, digits or _+=,.@-",
        )),
    }
}
