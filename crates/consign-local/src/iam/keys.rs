//! Access keys of users.

use super::Ask;
use super::entities::{invalid, no_such};
use super::records::{AccessKey, Kind};
use crate::error::{ApiError, element};
use crate::moment;

pub(super) fn create(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let user = ask.target(Kind::User)?;
    let (key, secret) = ask.state.directory.create_key(
        &ask.state.vault,
        ask.account,
        &user.name,
        ask.call.now_ms,
    )?;
    let mut xml = String::from("<AccessKey>");
    xml.push_str(&describe(&key));
    element(&mut xml, "SecretAccessKey", &secret);
    xml.push_str("</AccessKey>");
    Ok(Some(xml))
}

pub(super) fn list(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let user = ask.target(Kind::User)?;
    let mut xml = String::from("<IsTruncated>false</IsTruncated><AccessKeyMetadata>");
    for key in ask.state.directory.keys_of(ask.account, &user.name) {
        xml.push_str(&format!("<member>{}</member>", describe(&key)));
    }
    xml.push_str("</AccessKeyMetadata>");
    Ok(Some(xml))
}

pub(super) fn update(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let key = named(ask)?;
    let active = match ask.form.required("Status")? {
        "Active" => true,
        "Inactive" => false,
        _ => return Err(invalid("Status is Active or Inactive")),
    };
    ask.state.directory.set_key_active(&key, active)?;
    Ok(None)
}

pub(super) fn delete(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let key = named(ask)?;
    ask.state.directory.delete_key(&key.id)?;
    Ok(None)
}

pub(super) fn last_used(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    ask.permit("*")?;
    let id = ask.form.required("AccessKeyId")?;
    let key = ask.state.directory.key(id).filter(|key| key.account == ask.account);
    let key = key.ok_or_else(|| missing(id))?;
    let mut xml = String::new();
    element(&mut xml, "UserName", &key.user);
    xml.push_str(
        "<AccessKeyLastUsed><ServiceName>N/A</ServiceName><Region>N/A</Region></AccessKeyLastUsed>",
    );
    Ok(Some(xml))
}

fn named(ask: &Ask<'_>) -> Result<std::sync::Arc<AccessKey>, ApiError> {
    let user = ask.target(Kind::User)?;
    let id = ask.form.required("AccessKeyId")?;
    let keys = ask.state.directory.keys_of(ask.account, &user.name);
    keys.into_iter().find(|key| key.id == id).ok_or_else(|| missing(id))
}

fn missing(id: &str) -> ApiError {
    no_such(&format!("The Access Key with id {id} cannot be found."))
}

fn describe(key: &AccessKey) -> String {
    let mut xml = String::new();
    element(&mut xml, "UserName", &key.user);
    element(&mut xml, "AccessKeyId", &key.id);
    element(&mut xml, "Status", if key.active { "Active" } else { "Inactive" });
    element(&mut xml, "CreateDate", &moment::iso(key.created_ms));
    xml
}
