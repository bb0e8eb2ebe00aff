//! The policy document of a form upload: until when, and which fields with which values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::form::Fields;
use crate::error::ApiError;
use crate::moment;

/// Checks a form against its policy (base 64 of JSON). Gives the shortest and longest file allowed.
pub fn check(
    policy: &str,
    fields: &Fields,
    bucket: &str,
    now_ms: u64,
) -> Result<(u64, u64), ApiError> {
    let text = STANDARD.decode(policy).map_err(|_| invalid("it is not base 64"))?;
    let policy: Value = serde_json::from_slice(&text).map_err(|_| invalid("it is not JSON"))?;
    let expiration = policy["expiration"].as_str().and_then(moment::parse_iso);
    let expiration = expiration.ok_or_else(|| invalid("its expiration is missing or no time"))?;
    if now_ms >= expiration {
        return Err(failed("Policy expired."));
    }
    let conditions =
        policy["conditions"].as_array().ok_or_else(|| invalid("its conditions are missing"))?;
    let mut lengths = (0, u64::MAX);
    let mut covered = Vec::new();
    for condition in conditions {
        match condition {
            Value::Object(pairs) => {
                for (name, value) in pairs {
                    let value = value.as_str().ok_or_else(|| invalid("a value is not text"))?;
                    covered.push(name.to_ascii_lowercase());
                    test("eq", name, value, fields, bucket, condition)?;
                }
            }
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(range), least, most] if range == "content-length-range" => {
                    lengths = (number(least)?.max(lengths.0), number(most)?.min(lengths.1));
                }
                [Value::String(operator), Value::String(name), Value::String(value)] => {
                    let name = name.strip_prefix('$').ok_or_else(|| invalid("a name without $"))?;
                    covered.push(name.to_ascii_lowercase());
                    test(operator, name, value, fields, bucket, condition)?;
                }
                _ => return Err(invalid("a condition has another form")),
            },
            _ => return Err(invalid("a condition has another form")),
        }
    }
    let is_free = |name: &str| {
        ["policy", "x-amz-signature", "file"].contains(&name) || name.starts_with("x-ignore-")
    };
    let extra: Vec<&str> = fields
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !is_free(name) && !covered.iter().any(|covered| covered == name))
        .collect();
    match extra.is_empty() {
        true => Ok(lengths),
        false => Err(failed(&format!("Extra input fields: {}", extra.join(", ")))),
    }
}

fn test(
    operator: &str,
    name: &str,
    wanted: &str,
    fields: &Fields,
    bucket: &str,
    condition: &Value,
) -> Result<(), ApiError> {
    let name = name.to_ascii_lowercase();
    // The bucket is in the URL; a field of that name, if there is one, may not say otherwise.
    let given = match name.as_str() {
        "bucket" => Some(bucket),
        name => fields.get(name),
    };
    let holds = match operator.to_ascii_lowercase().as_str() {
        "eq" => given == Some(wanted),
        "starts-with" => given.unwrap_or_default().starts_with(wanted),
        _ => return Err(invalid("a condition has an unknown operator")),
    };
    match holds {
        true => Ok(()),
        false => Err(failed(&format!("Policy Condition failed: {condition}"))),
    }
}

fn number(value: &Value) -> Result<u64, ApiError> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| invalid("a length is not a number"))
}

fn invalid(why: &str) -> ApiError {
    ApiError::bad_request("InvalidPolicyDocument", format!("Invalid Policy: {why}."))
}

/// The policy is sound and says no.
pub fn failed(why: &str) -> ApiError {
    ApiError::forbidden("AccessDenied", format!("Invalid according to Policy: {why}"))
}
