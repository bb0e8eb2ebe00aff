//! Aliases: names for keys.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Page, seconds};
use super::fault::Fault;
use super::permit::{NamedKey, Via, caller_account, fact, find_key};
use super::records::Alias;
use crate::authorize::{Facts, authorize};
use crate::call::Call;
use crate::error::ApiError;
use crate::state::State;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AliasInput {
    alias_name: String,
    target_key_id: String,
}

pub(super) fn create(state: &State, call: &Call, input: &AliasInput) -> Result<Value, Fault> {
    check_name(&input.alias_name)?;
    let key = target(state, call, &input.target_key_id)?;
    permit(state, call, "CreateAlias", &input.alias_name, &[&key])?;
    let alias = Alias {
        account: caller_account(call)?.to_owned(),
        name: input.alias_name.clone(),
        key: key.key.id.clone(),
        created_ms: call.now_ms,
        updated_ms: call.now_ms,
    };
    match state.keys.create_alias(alias)? {
        true => Ok(Value::Null),
        false => Err(Fault::AlreadyExists(arn(state, call, &input.alias_name)?)),
    }
}

pub(super) fn update(state: &State, call: &Call, input: &AliasInput) -> Result<Value, Fault> {
    check_name(&input.alias_name)?;
    let alias = existing(state, call, &input.alias_name)?;
    let key = target(state, call, &input.target_key_id)?;
    let before = find_key(state, call, &alias.key)?;
    permit(state, call, "UpdateAlias", &input.alias_name, &[&before, &key])?;
    state.keys.put_alias(Alias {
        key: key.key.id.clone(),
        updated_ms: call.now_ms,
        ..alias.as_ref().clone()
    })?;
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NameOnly {
    alias_name: String,
}

pub(super) fn delete(state: &State, call: &Call, input: &NameOnly) -> Result<Value, Fault> {
    check_name(&input.alias_name)?;
    let alias = existing(state, call, &input.alias_name)?;
    let key = find_key(state, call, &alias.key)?;
    permit(state, call, "DeleteAlias", &input.alias_name, &[&key])?;
    state.keys.delete_alias(&alias)?;
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInput {
    key_id: Option<String>,
    #[serde(flatten)]
    page: Page,
}

pub(super) fn list(state: &State, call: &Call, input: &ListInput) -> Result<Value, Fault> {
    let account = caller_account(call)?;
    authorize(state, call, "kms:ListAliases", "*", account, &[], &Facts::new())
        .map_err(|error| Fault::Denied(Box::new(error)))?;
    let mut aliases = state.keys.aliases(account);
    if let Some(key) = &input.key_id {
        let key = find_key(state, call, key)?;
        aliases.retain(|alias| alias.key == key.key.id);
    }
    let show = |alias: &Arc<Alias>| {
        json!({
            "AliasName": alias.name,
            "AliasArn": format!("arn:aws:kms:{}:{}:{}", state.region, alias.account, alias.name),
            "TargetKeyId": alias.key,
            "CreationDate": seconds(alias.created_ms),
            "LastUpdatedDate": seconds(alias.updated_ms),
        })
    };
    Ok(input.page.cut("Aliases", &aliases, |alias| alias.name.clone(), show))
}

fn existing(state: &State, call: &Call, name: &str) -> Result<Arc<Alias>, Fault> {
    let account = caller_account(call)?;
    let arn = arn(state, call, name)?;
    state
        .keys
        .alias(account, name)
        .ok_or_else(|| Fault::NotFound(format!("Alias {arn} is not found.")))
}

/// The key an alias shall name: of the same account, and not by another alias.
fn target(state: &State, call: &Call, name: &str) -> Result<NamedKey, Fault> {
    let key = find_key(state, call, name)?;
    if key.by_alias.is_some() {
        return Err(Fault::Validation("Aliases must refer to keys. Not aliases".to_owned()));
    }
    if key.key.account != caller_account(call)? {
        return Err(Fault::NotFound(format!("Key '{}' does not exist", key.key.arn())));
    }
    Ok(key)
}

/// The alias is the caller's by its identity policies, each key by its key policy.
fn permit(
    state: &State,
    call: &Call,
    operation: &str,
    name: &str,
    keys: &[&NamedKey],
) -> Result<(), Fault> {
    let account = caller_account(call)?;
    let facts = vec![fact("kms:RequestAlias", name)];
    let arn = arn(state, call, name)?;
    authorize(state, call, &format!("kms:{operation}"), &arn, account, &[], &facts)
        .map_err(|error| Fault::Denied(Box::new(error)))?;
    for key in keys {
        key.authorize(state, call, operation, Via::Direct, None)?;
    }
    Ok(())
}

fn arn(state: &State, call: &Call, name: &str) -> Result<String, Fault> {
    Ok(format!("arn:aws:kms:{}:{}:{name}", state.region, caller_account(call)?))
}

fn check_name(name: &str) -> Result<(), Fault> {
    let sound = name.strip_prefix("alias/").is_some_and(|rest| {
        !rest.is_empty()
            && name.len() <= 256
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte))
    });
    if !sound {
        let why = "Alias names start with alias/ and hold letters, digits, '/', '_' and '-'.";
        return Err(Fault::Validation(why.to_owned()));
    }
    if name.starts_with("alias/aws/") {
        let why = "Prefix alias/aws/ is reserved.";
        return Err(ApiError::bad_request("NotAuthorizedException", why).into());
    }
    Ok(())
}
