//! The two small documents that govern dead-letter queues.

use serde_json::Value;

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedrivePolicy {
    pub(crate) target_arn: String,
    /// A message is received so often and no more.
    pub(crate) receives_max: u32,
}

impl RedrivePolicy {
    /// Reads `{"deadLetterTargetArn": …, "maxReceiveCount": 1…1000}`; the count may be a string.
    pub(crate) fn parse(text: &str) -> Result<RedrivePolicy, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let fields = value.as_object().ok_or("it is no object")?;
        let known = ["deadLetterTargetArn", "maxReceiveCount"];
        if let Some(other) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("{other} is not known"));
        }
        let target = fields.get("deadLetterTargetArn").and_then(Value::as_str);
        let target_arn = target.ok_or("deadLetterTargetArn is missing")?.to_owned();
        let count = match fields.get("maxReceiveCount") {
            // What SQS's reference gives as the default.
            None => Some(10),
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_u64(),
        };
        let receives_max = count
            .filter(|count| (1..=1000).contains(count))
            .and_then(|count| u32::try_from(count).ok())
            .ok_or("maxReceiveCount must be an integer from 1 to 1000")?;
        Ok(RedrivePolicy { target_arn, receives_max })
    }
}

/// Which queues may name this one as their dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AllowPolicy {
    All,
    None,
    /// Those with one of these ARNs.
    Queues(Vec<String>),
}

impl AllowPolicy {
    /// Reads `{"redrivePermission": "allowAll" | "denyAll" | "byQueue", "sourceQueueArns": […]}`.
    pub(crate) fn parse(text: &str) -> Result<AllowPolicy, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let arns = value.get("sourceQueueArns").and_then(Value::as_array);
        match (value.get("redrivePermission").and_then(Value::as_str), arns) {
            (Some("allowAll"), None) => Ok(AllowPolicy::All),
            (Some("denyAll"), None) => Ok(AllowPolicy::None),
            (Some("byQueue"), Some(arns)) if (1..=10).contains(&arns.len()) => {
                let arns = arns.iter().map(|arn| arn.as_str().map(str::to_owned));
                arns.collect::<Option<_>>()
                    .map(AllowPolicy::Queues)
                    .ok_or_else(|| "sourceQueueArns must be ARNs".to_owned())
            }
            _ => Err("redrivePermission and sourceQueueArns do not go together".to_owned()),
        }
    }

    pub(crate) fn allows(&self, source_arn: &str) -> bool {
        match self {
            AllowPolicy::All => true,
            AllowPolicy::None => false,
            AllowPolicy::Queues(arns) => arns.iter().any(|arn| arn == source_arn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redrive_policies_are_read_with_suspicion() {
        let read = |text: &str| RedrivePolicy::parse(text).map(|policy| policy.receives_max);
        assert_eq!(read(r#"{"deadLetterTargetArn":"a","maxReceiveCount":3}"#), Ok(3));
        assert_eq!(read(r#"{"deadLetterTargetArn":"a","maxReceiveCount":"3"}"#), Ok(3));
        assert_eq!(read(r#"{"deadLetterTargetArn":"a"}"#), Ok(10));
        for hostile in [
            "",
            "[]",
            "{}",
            r#"{"deadLetterTargetArn":1,"maxReceiveCount":3}"#,
            r#"{"deadLetterTargetArn":"a","maxReceiveCount":0}"#,
            r#"{"deadLetterTargetArn":"a","maxReceiveCount":1001}"#,
            r#"{"deadLetterTargetArn":"a","maxReceiveCount":-1}"#,
            r#"{"deadLetterTargetArn":"a","maxReceiveCount":1e99}"#,
            r#"{"deadLetterTargetArn":"a","maxReceiveCounts":3}"#,
        ] {
            assert!(read(hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn allow_policies_are_read_with_suspicion() {
        let by_queue = r#"{"redrivePermission":"byQueue","sourceQueueArns":["a"]}"#;
        let policy = AllowPolicy::parse(by_queue).expect("parses");
        assert!(policy.allows("a") && !policy.allows("b"));
        for hostile in [
            "",
            "{}",
            r#"{"redrivePermission":"byQueue"}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":[]}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":[1]}"#,
            r#"{"redrivePermission":"denyAll","sourceQueueArns":["a"]}"#,
            r#"{"redrivePermission":"ALLOWALL"}"#,
        ] {
            assert!(AllowPolicy::parse(hostile).is_err(), "{hostile}");
        }
    }
}
