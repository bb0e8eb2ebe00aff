//! KMS's wire: JSON 1.1, the operation in `X-Amz-Target`.

use http::{HeaderValue, Response, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::fault::Fault;
use super::{aliases, keys, use_key};
use crate::call::{Call, Service};
use crate::error::{ApiError, ResponseBody, full};
use crate::state::State;

/// Answers one verified call.
pub fn handle(state: &State, call: &Call, body: &[u8]) -> Result<Response<ResponseBody>, ApiError> {
    let target = call.header("x-amz-target").unwrap_or_default();
    let operation = target.strip_prefix("TrentService.").unwrap_or_default();
    let answer = dispatch(state, call, operation, body);
    let answer = answer.map_err(|fault| fault.into_error(Service::Kms))?;
    // Operations without a result answer with an empty body.
    let text = if answer.is_null() { String::new() } else { answer.to_string() };
    let mut response = Response::new(full(text));
    let json = HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

fn dispatch(state: &State, call: &Call, operation: &str, body: &[u8]) -> Result<Value, Fault> {
    match operation {
        "Encrypt" => use_key::encrypt_call(state, call, &read(body)?),
        "Decrypt" => use_key::decrypt_call(state, call, &read(body)?),
        "GenerateDataKey" => use_key::generate_data_key(state, call, &read(body)?, true),
        "GenerateDataKeyWithoutPlaintext" => {
            use_key::generate_data_key(state, call, &read(body)?, false)
        }
        "ReEncrypt" => use_key::re_encrypt(state, call, &read(body)?),
        "CreateKey" => keys::create(state, call, read(body)?),
        "DescribeKey" => keys::describe(state, call, &read(body)?),
        "ListKeys" => keys::list(state, call, &read(body)?),
        "GetKeyPolicy" => keys::get_policy(state, call, &read(body)?),
        "PutKeyPolicy" => keys::put_policy(state, call, &read(body)?),
        "ListKeyPolicies" => keys::list_policies(state, call, &read(body)?),
        "EnableKey" => keys::set_enabled(state, call, &read(body)?, true),
        "DisableKey" => keys::set_enabled(state, call, &read(body)?, false),
        "EnableKeyRotation" => keys::set_rotation(state, call, &read(body)?, true),
        "DisableKeyRotation" => keys::set_rotation(state, call, &read(body)?, false),
        "GetKeyRotationStatus" => keys::rotation_status(state, call, &read(body)?),
        "RotateKeyOnDemand" => keys::rotate(state, call, &read(body)?),
        "ScheduleKeyDeletion" => keys::schedule_deletion(state, call, &read(body)?),
        "CancelKeyDeletion" => keys::cancel_deletion(state, call, &read(body)?),
        "UpdateKeyDescription" => keys::update_description(state, call, &read(body)?),
        "TagResource" => keys::tag(state, call, &read(body)?),
        "UntagResource" => keys::untag(state, call, &read(body)?),
        "ListResourceTags" => keys::list_tags(state, call, &read(body)?),
        "ListGrants" => keys::list_grants(state, call, &read(body)?),
        "CreateAlias" => aliases::create(state, call, &read(body)?),
        "UpdateAlias" => aliases::update(state, call, &read(body)?),
        "DeleteAlias" => aliases::delete(state, call, &read(body)?),
        "ListAliases" => aliases::list(state, call, &read(body)?),
        "" => Err(ApiError::bad_request("UnknownOperationException", "").into()),
        other => {
            let message = format!("{other} is not implemented by this local cloud");
            Err(ApiError::bad_request("UnknownOperationException", message).into())
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    // serde_json refuses nesting beyond 128 levels by itself. Its message could quote the input,
    // which may be a plaintext, so it stays here.
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(|error| {
        let why = match error.classify() {
            serde_json::error::Category::Data => "A member is missing or has another type.",
            _ => "The request is not JSON.",
        };
        ApiError::bad_request("SerializationException", why).into()
    })
}

/// Milliseconds as KMS writes times: seconds, with a fraction.
pub(super) fn seconds(ms: u64) -> Value {
    json!(std::time::Duration::from_millis(ms).as_secs_f64())
}

/// `Limit` and `Marker` of the listing operations.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Page {
    limit: Option<usize>,
    marker: Option<String>,
}

impl Page {
    /// The part of `items` (sorted by `name`) that was asked for, as `{field: […], Truncated, …}`.
    pub(super) fn cut<T>(
        &self,
        field: &str,
        items: &[T],
        name: impl Fn(&T) -> String,
        show: impl Fn(&T) -> Value,
    ) -> Value {
        let limit = self.limit.unwrap_or(100).clamp(1, 1000);
        let after = |item: &&T| self.marker.as_ref().is_none_or(|marker| name(item) > *marker);
        let mut rest = items.iter().filter(after);
        let page: Vec<&T> = rest.by_ref().take(limit).collect();
        let truncated = rest.next().is_some();
        let shown: Vec<Value> = page.iter().map(|item| show(item)).collect();
        let mut answer = json!({ field: shown, "Truncated": truncated });
        if let (true, Some(last), Some(fields)) = (truncated, page.last(), answer.as_object_mut()) {
            fields.insert("NextMarker".to_owned(), Value::String(name(last)));
        }
        answer
    }
}
