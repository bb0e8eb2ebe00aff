//! Inline policies of users and roles.

use super::Ask;
use super::entities::{check_name, malformed, no_such, page};
use super::records::Kind;
use crate::error::{ApiError, element};
use crate::gate::uri::encode;
use crate::policy::{Policy, PolicyKind};

/// AWS's quotas for all inline policies of one principal, whitespace not counted.
const USER_CHARS_MAX: usize = 2048;
const ROLE_CHARS_MAX: usize = 10_240;

pub(super) fn put(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let entity = ask.target(kind)?;
    let name = ask.form.required("PolicyName")?;
    check_name(name)?;
    let text = ask.form.required("PolicyDocument")?;
    Policy::parse_as(PolicyKind::Identity, text).map_err(|refusal| malformed(&refusal))?;
    ask.state.directory.edit(ask.account, kind, &entity.name, |draft| {
        draft.policies.insert(name.to_owned(), text.to_owned());
        let chars: usize = draft.policies.values().map(|text| counted_chars(text)).sum();
        let (quota, max) = match kind {
            Kind::User => ("user", USER_CHARS_MAX),
            Kind::Role => ("role", ROLE_CHARS_MAX),
        };
        if chars <= max {
            return Ok(());
        }
        let message =
            format!("Maximum policy size of {max} bytes exceeded for {quota} {}", draft.name);
        Err(ApiError::new(http::StatusCode::CONFLICT, "LimitExceeded", message))
    })?;
    Ok(None)
}

fn counted_chars(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

pub(super) fn get(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let entity = ask.target(kind)?;
    let name = ask.form.required("PolicyName")?;
    let text = entity.policies.get(name).ok_or_else(|| missing(name))?;
    let mut xml = String::new();
    element(&mut xml, if kind == Kind::User { "UserName" } else { "RoleName" }, &entity.name);
    element(&mut xml, "PolicyName", name);
    element(&mut xml, "PolicyDocument", &encode(text, false));
    Ok(Some(xml))
}

pub(super) fn delete(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let entity = ask.target(kind)?;
    let name = ask.form.required("PolicyName")?;
    ask.state.directory.edit(ask.account, kind, &entity.name, |draft| {
        draft.policies.remove(name).map(drop).ok_or_else(|| missing(name))
    })?;
    Ok(None)
}

pub(super) fn list(ask: &Ask<'_>, kind: Kind) -> Result<Option<String>, ApiError> {
    let entity = ask.target(kind)?;
    let names: Vec<&String> = entity.policies.keys().collect();
    let page = page(ask.form, &names, |name| (*name).clone())?;
    let mut xml = page.head();
    xml.push_str("<PolicyNames>");
    for name in page.items {
        element(&mut xml, "member", name);
    }
    xml.push_str("</PolicyNames>");
    Ok(Some(xml))
}

fn missing(name: &str) -> ApiError {
    no_such(&format!("The policy with name {name} cannot be found."))
}
