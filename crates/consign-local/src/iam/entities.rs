//! Users and roles: making, describing, tagging and deleting them.

use super::Ask;
use super::query::Form;
use super::records::{Entity, Kind, RolePart};
use crate::authorize::Facts;
use crate::error::{ApiError, element};
use crate::gate::uri::encode;
use crate::moment;
use crate::policy::{Policy, PolicyKind};

const TAGS_MAX: usize = 50;
const TRUST_CHARS_MAX: usize = 2048;

pub(super) fn create_user(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let entity = draft(ask, Kind::User)?;
    let entity = ask.state.directory.create(entity)?;
    Ok(Some(wrapped("User", &user_xml(&entity, true))))
}

pub(super) fn create_role(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let mut entity = draft(ask, Kind::Role)?;
    entity.role = Some(RolePart {
        trust: read_trust(ask, ask.form.required("AssumeRolePolicyDocument")?)?,
        description: ask.form.get("Description").unwrap_or_default().to_owned(),
        max_session_seconds: read_max_session(ask.form)?.unwrap_or(3600),
    });
    let entity = ask.state.directory.create(entity)?;
    Ok(Some(wrapped("Role", &role_xml(&entity, true))))
}

fn draft(ask: &Ask<'_>, kind: Kind) -> Result<Entity, ApiError> {
    let name = ask.form.required(if kind == Kind::User { "UserName" } else { "RoleName" })?;
    check_name(name)?;
    let path = ask.form.get("Path").unwrap_or("/");
    check_path(path)?;
    if ask.form.get("PermissionsBoundary").is_some() {
        return Err(ApiError::not_implemented("PermissionsBoundary"));
    }
    let tags = read_tags(ask.form)?;
    let arn = format!("arn:aws:iam::{}:{}{path}{name}", ask.account, kind.word());
    ask.permit_with(&arn, &tag_facts(&tags))?;
    if !tags.is_empty() {
        // IAM asks for both when something is made with tags.
        let action = if kind == Kind::User { "iam:TagUser" } else { "iam:TagRole" };
        ask.permit_to(action, &arn, &tag_facts(&tags))?;
    }
    let mut entity = Entity::new(ask.account, kind, path, name, ask.call.now_ms);
    entity.tags = tags.into_iter().collect();
    Ok(entity)
}

pub(super) fn get_user(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    Ok(Some(wrapped("User", &user_xml(&*ask.target(Kind::User)?, true))))
}

pub(super) fn get_role(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    Ok(Some(wrapped("Role", &role_xml(&*ask.target(Kind::Role)?, true))))
}

pub(super) fn list(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let prefix = ask.form.get("PathPrefix").unwrap_or("/");
    check_path_prefix(prefix)?;
    ask.permit(&format!("arn:aws:iam::{}:{}{prefix}", ask.account, kind.word()))?;
    let mut found = ask.state.directory.list(ask.account, kind);
    found.retain(|entity| entity.path.starts_with(prefix));
    let page = page(ask.form, &found, |entity| entity.name.to_lowercase())?;
    let mut xml = page.head();
    xml.push_str(if kind == Kind::User { "<Users>" } else { "<Roles>" });
    for entity in page.items {
        let one = match kind {
            Kind::User => user_xml(entity, false),
            Kind::Role => role_xml(entity, false),
        };
        xml.push_str(&wrapped("member", &one));
    }
    xml.push_str(if kind == Kind::User { "</Users>" } else { "</Roles>" });
    Ok(Some(xml))
}

pub(super) fn delete(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let entity = ask.target(kind)?;
    ask.state.directory.delete(ask.account, kind, &entity.name)?;
    Ok(None)
}

pub(super) fn update_role(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let role = ask.target(Kind::Role)?;
    let max_session = read_max_session(ask.form)?;
    edit_role(ask, &role, |part| {
        if let Some(description) = ask.form.get("Description") {
            description.clone_into(&mut part.description);
        }
        part.max_session_seconds = max_session.unwrap_or(part.max_session_seconds);
    })?;
    Ok(Some(String::new()))
}

pub(super) fn update_trust(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let role = ask.target(Kind::Role)?;
    let trust = read_trust(ask, ask.form.required("PolicyDocument")?)?;
    edit_role(ask, &role, |part| part.trust = trust)?;
    Ok(None)
}

fn edit_role(
    ask: &Ask<'_>,
    role: &Entity,
    change: impl FnOnce(&mut RolePart),
) -> Result<(), ApiError> {
    ask.state.directory.edit(ask.account, Kind::Role, &role.name, |draft| {
        draft.role.as_mut().map(change).ok_or_else(|| ApiError::internal("a role without trust"))
    })
}

pub(super) fn tag(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let tags = read_tags(ask.form)?;
    let entity = ask.target_with(kind, tag_facts(&tags))?;
    ask.state.directory.edit(ask.account, kind, &entity.name, |draft| {
        draft.tags.extend(tags);
        match draft.tags.len() > TAGS_MAX {
            true => Err(too_many_tags()),
            false => Ok(()),
        }
    })?;
    Ok(None)
}

pub(super) fn untag(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let keys = ask.form.list("TagKeys.member");
    let facts = keys.iter().map(|key| ("aws:TagKeys".to_owned(), key.clone())).collect();
    let entity = ask.target_with(kind, facts)?;
    ask.state.directory.edit(ask.account, kind, &entity.name, |draft| {
        draft.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })?;
    Ok(None)
}

pub(super) fn list_tags(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let entity = ask.target(kind)?;
    let mut xml = String::from("<IsTruncated>false</IsTruncated>");
    xml.push_str(&tags_xml(&entity));
    Ok(Some(xml))
}

fn user_xml(user: &Entity, with_tags: bool) -> String {
    let mut xml = String::new();
    element(&mut xml, "Path", &user.path);
    element(&mut xml, "UserName", &user.name);
    element(&mut xml, "UserId", &user.id);
    element(&mut xml, "Arn", &user.arn());
    element(&mut xml, "CreateDate", &moment::iso(user.created_ms));
    if with_tags && !user.tags.is_empty() {
        xml.push_str(&tags_xml(user));
    }
    xml
}

fn role_xml(role: &Entity, with_tags: bool) -> String {
    let mut xml = String::new();
    element(&mut xml, "Path", &role.path);
    element(&mut xml, "RoleName", &role.name);
    element(&mut xml, "RoleId", &role.id);
    element(&mut xml, "Arn", &role.arn());
    element(&mut xml, "CreateDate", &moment::iso(role.created_ms));
    if let Some(part) = &role.role {
        element(&mut xml, "AssumeRolePolicyDocument", &encode(&part.trust, false));
        if !part.description.is_empty() {
            element(&mut xml, "Description", &part.description);
        }
        element(&mut xml, "MaxSessionDuration", &part.max_session_seconds.to_string());
    }
    if with_tags && !role.tags.is_empty() {
        xml.push_str(&tags_xml(role));
    }
    xml
}

fn tags_xml(entity: &Entity) -> String {
    let mut xml = String::from("<Tags>");
    for (key, value) in &entity.tags {
        xml.push_str("<member>");
        element(&mut xml, "Key", key);
        element(&mut xml, "Value", value);
        xml.push_str("</member>");
    }
    xml.push_str("</Tags>");
    xml
}

fn wrapped(name: &str, inner: &str) -> String {
    format!("<{name}>{inner}</{name}>")
}

/// A part of a listing.
pub(super) struct Page<'a, T> {
    /// What to show.
    pub(super) items: Vec<&'a T>,
    next: Option<String>,
}

impl<T> Page<'_, T> {
    /// `IsTruncated` and `Marker`.
    pub(super) fn head(&self) -> String {
        let mut xml = String::new();
        element(&mut xml, "IsTruncated", if self.next.is_some() { "true" } else { "false" });
        if let Some(next) = &self.next {
            element(&mut xml, "Marker", next);
        }
        xml
    }
}

/// The part of `all` (sorted by `name`) that `MaxItems` and `Marker` ask for.
pub(super) fn page<'a, T>(
    form: &Form,
    all: &'a [T],
    name: impl Fn(&T) -> String,
) -> Result<Page<'a, T>, ApiError> {
    let limit = match form.get("MaxItems").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(limit @ 1..=1000)) => limit,
        Some(_) => return Err(invalid("MaxItems must be between 1 and 1000")),
    };
    let marker = form.get("Marker");
    let mut rest =
        all.iter().filter(|item| marker.is_none_or(|marker| name(item).as_str() > marker));
    let items: Vec<&T> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| items.last().map(|last| name(last)));
    Ok(Page { items, next })
}

fn read_tags(form: &Form) -> Result<Vec<(String, String)>, ApiError> {
    let tags = form.pairs("Tags.member", "Key", "Value");
    if tags.len() > TAGS_MAX {
        return Err(too_many_tags());
    }
    let sound = |(key, value): &(String, String)| {
        (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.to_ascii_lowercase().starts_with("aws:")
    };
    match tags.iter().all(sound) {
        true => Ok(tags),
        false => Err(invalid("A tag's key has 1 to 128 characters, its value at most 256.")),
    }
}

fn too_many_tags() -> ApiError {
    let message = "A user or role has at most 50 tags.";
    ApiError::new(http::StatusCode::CONFLICT, "LimitExceeded", message)
}

fn tag_facts(tags: &[(String, String)]) -> Facts {
    let each = |(key, value): &(String, String)| {
        [(format!("aws:RequestTag/{key}"), value.clone()), ("aws:TagKeys".to_owned(), key.clone())]
    };
    tags.iter().flat_map(each).collect()
}

fn read_trust(ask: &Ask<'_>, text: &str) -> Result<String, ApiError> {
    if text.chars().count() > TRUST_CHARS_MAX {
        let message = "Cannot exceed quota for ACLSizePerRole: 2048";
        return Err(ApiError::new(http::StatusCode::CONFLICT, "LimitExceeded", message));
    }
    let policy =
        Policy::parse_as(PolicyKind::Trust, text).map_err(|refusal| malformed(&refusal))?;
    if let Some(arn) = ask.state.directory.unknown_principal(&policy) {
        let message = format!("Invalid principal in policy: \"AWS\":\"{arn}\"");
        return Err(ApiError::bad_request("MalformedPolicyDocument", message));
    }
    Ok(text.to_owned())
}

fn read_max_session(form: &Form) -> Result<Option<u64>, ApiError> {
    match form.get("MaxSessionDuration").map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(seconds @ 3600..=43_200)) => Ok(Some(seconds)),
        Some(_) => Err(invalid("MaxSessionDuration must be between 3600 and 43200")),
    }
}

/// A policy that is refused.
pub(super) fn malformed(refusal: &crate::policy::Refusal) -> ApiError {
    ApiError::bad_request("MalformedPolicyDocument", refusal.to_string())
}

pub(super) fn invalid(message: &str) -> ApiError {
    ApiError::bad_request("ValidationError", message)
}

/// Names of users, roles and policies.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    let sound = (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    match sound {
        true => Ok(()),
        false => Err(invalid("A name has 1 to 128 letters, digits or _+=,.@-")),
    }
}

fn check_path(path: &str) -> Result<(), ApiError> {
    match path.ends_with('/') {
        true => check_path_prefix(path),
        false => Err(invalid("A path begins and ends with /")),
    }
}

fn check_path_prefix(path: &str) -> Result<(), ApiError> {
    let sound = path.starts_with('/')
        && path.len() <= 512
        && !path.contains("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"*?".contains(&byte));
    match sound {
        true => Ok(()),
        false => Err(invalid("A path begins and ends with / and has at most 512 characters")),
    }
}

/// The error for something a user or role does not have.
pub(super) fn no_such(what: &str) -> ApiError {
    ApiError::new(http::StatusCode::NOT_FOUND, "NoSuchEntity", what)
}
