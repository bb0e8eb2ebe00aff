//! A document as it is written: statement by statement, in its own words. What it *means* is asked
//! of `consign-iam`; this is for telling documents apart and for pointing at a statement.

use serde_json::Value;

/// One statement of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    pub(super) index: usize,
    value: &'a Value,
}

/// The statements of a document; a single one may stand without a list.
pub(super) fn statements(document: &Value) -> Vec<Written<'_>> {
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    statements.iter().enumerate().map(|(index, value)| Written { index, value }).collect()
}

impl<'a> Written<'a> {
    /// `statement WriterPuts`, or `statement 3`.
    pub(super) fn name(self) -> String {
        match self.sid() {
            Some(sid) if sid.contains(' ') => format!("statement {} \"{sid}\"", self.index + 1),
            Some(sid) if !sid.is_empty() => format!("statement {sid}"),
            _ => format!("statement {}", self.index + 1),
        }
    }

    pub(super) fn sid(self) -> Option<&'a str> {
        self.value.get("Sid").and_then(Value::as_str)
    }

    pub(super) fn allows(self) -> bool {
        self.value.get("Effect").and_then(Value::as_str) == Some("Allow")
    }

    pub(super) fn actions(self) -> Vec<&'a str> {
        strings(self.value.get("Action").or_else(|| self.value.get("NotAction")))
    }

    /// Whether an action is written out, case aside; wildcards do not count.
    pub(super) fn names_action(self, action: &str) -> bool {
        let actions = strings(self.value.get("Action"));
        actions.iter().any(|written| written.eq_ignore_ascii_case(action))
    }

    pub(super) fn resources(self) -> Vec<&'a str> {
        strings(self.value.get("Resource").or_else(|| self.value.get("NotResource")))
    }

    pub(super) fn has_resource(self) -> bool {
        self.value.get("Resource").is_some() || self.value.get("NotResource").is_some()
    }

    pub(super) fn has_principal(self) -> bool {
        self.value.get("Principal").is_some() || self.has_not_principal()
    }

    pub(super) fn has_not_principal(self) -> bool {
        self.value.get("NotPrincipal").is_some()
    }

    /// Whom it names: ARNs, account ids, services, `*`.
    pub(super) fn principals(self) -> Vec<&'a str> {
        match self.value.get("Principal").or_else(|| self.value.get("NotPrincipal")) {
            Some(Value::Object(kinds)) => {
                kinds.values().flat_map(|names| strings(Some(names))).collect()
            }
            other => strings(other),
        }
    }

    /// Operator, key and values of each condition.
    pub(super) fn conditions(self) -> Vec<(&'a str, &'a str, Vec<&'a str>)> {
        let operators = self.value.get("Condition").and_then(Value::as_object);
        let keys = operators
            .into_iter()
            .flatten()
            .filter_map(|(operator, keys)| keys.as_object().map(|keys| (operator.as_str(), keys)));
        keys.flat_map(|(operator, keys)| {
            keys.iter().map(move |(key, values)| (operator, key.as_str(), strings(Some(values))))
        })
        .collect()
    }

    /// Whether the statement concerns only requests without `key` (`"Null": {key: "true"}`).
    pub(super) fn requires_absent(self, key: &str) -> bool {
        self.null(key) == Some("true")
    }

    /// Whether the statement concerns only requests with `key`.
    pub(super) fn requires_present(self, key: &str) -> bool {
        self.null(key) == Some("false")
    }

    fn null(self, key: &str) -> Option<&'a str> {
        let mut conditions = self.conditions().into_iter();
        let found = conditions.find(|(operator, written, _)| {
            operator.eq_ignore_ascii_case("Null") && written.eq_ignore_ascii_case(key)
        });
        found.and_then(|(_, _, values)| values.first().copied())
    }

    /// The values that a condition compares `key` with.
    pub(super) fn compared_with(self, key: &str) -> Vec<&'a str> {
        let conditions = self.conditions().into_iter();
        let about = conditions.filter(|(_, written, _)| written.eq_ignore_ascii_case(key));
        about.flat_map(|(_, _, values)| values).collect()
    }
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The bucket of an S3 ARN, unless its name holds a wildcard.
pub(super) fn bucket_of(arn: &str) -> Option<&str> {
    let name = arn.strip_prefix("arn:aws:s3:::")?;
    let bucket = name.split('/').next().unwrap_or(name);
    (!bucket.is_empty() && !bucket.contains(['*', '?', '$'])).then_some(bucket)
}

/// Whether a text is the ARN of one KMS key.
pub(super) fn is_key_arn(text: &str) -> bool {
    text.starts_with("arn:aws:kms:") && text.contains(":key/") && !text.contains(['*', '?'])
}

/// The account in an ARN, or the account itself.
pub(super) fn account_of(text: &str) -> Option<&str> {
    let account = text.split(':').nth(4).unwrap_or(text);
    is_account(account).then_some(account)
}

/// Whether a text is an account's twelve digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The last name of an ARN's path: `client` of `arn:aws:iam::111111111111:user/x/client`.
pub(super) fn last_name(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or(arn)
}
