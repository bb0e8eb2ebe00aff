//! Which key is meant, and may the caller do this with it?

use std::sync::Arc;

use http::StatusCode;

use super::cipher::EncryptionContext;
use super::fault::Fault;
use super::records::{Key, KeyState};
use crate::authorize::{Facts, Question};
use crate::call::{Call, Service};
use crate::error::ApiError;
use crate::state::State;

/// The key S3 uses when asked for `aws:kms` without a key.
pub(super) const S3_ALIAS: &str = "alias/aws/s3";

/// Who calls KMS: the caller itself, or a service on its behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// The caller.
    Direct,
    /// S3.
    S3,
    /// SQS.
    Sqs,
}

impl Via {
    /// The service's name in `kms:ViaService`.
    fn service(self) -> Option<&'static str> {
        match self {
            Via::Direct => None,
            Via::S3 => Some("s3"),
            Via::Sqs => Some("sqs"),
        }
    }
}

/// A key that was named in a request.
pub(super) struct NamedKey {
    /// The key.
    pub(super) key: Arc<Key>,
    /// The alias it was named by, for `kms:RequestAlias`.
    pub(super) by_alias: Option<String>,
}

/// The account of a caller; KMS has no anonymous callers, but S3 does.
pub(super) fn caller_account(call: &Call) -> Result<&str, Fault> {
    call.caller.account.as_deref().ok_or_else(|| {
        let denied = ApiError::access_denied().because("KMS does not answer unsigned requests");
        Fault::Denied(Box::new(denied))
    })
}

/// The key named by id, ARN, alias name or alias ARN, or the fault that says it does not exist.
pub(super) fn resolve(state: &State, call: &Call, name: &str) -> Result<NamedKey, Fault> {
    let own = caller_account(call)?;
    let (account, rest, arn) = match name.strip_prefix("arn:") {
        None if name.starts_with("alias/") => {
            (own, name, format!("arn:aws:kms:{}:{own}:{name}", state.region))
        }
        None => (own, name, format!("arn:aws:kms:{}:{own}:key/{name}", state.region)),
        Some(_) => {
            let fields: Vec<&str> = name.splitn(6, ':').collect();
            let ["arn", "aws", "kms", region, account, rest] = fields.as_slice() else {
                return Err(Fault::NotFound(format!("Invalid arn {name}")));
            };
            if *region != state.region {
                return Err(Fault::NotFound(format!("Invalid arn {region}")));
            }
            (*account, rest.strip_prefix("key/").unwrap_or(rest), name.to_owned())
        }
    };
    let by_alias = rest.starts_with("alias/").then(|| rest.to_owned());
    let id = match &by_alias {
        Some(alias) => match state.keys.alias(account, alias) {
            Some(alias) => alias.key.clone(),
            None => return Err(Fault::NotFound(format!("Alias {arn} is not found."))),
        },
        None => rest.to_owned(),
    };
    let found = state.keys.find(&id, call.now_ms).filter(|key| key.account == account);
    match found {
        Some(key) => Ok(NamedKey { key, by_alias }),
        None => Err(Fault::NotFound(format!("Key '{arn}' does not exist"))),
    }
}

/// [`resolve`], but what is missing in another account is denied, so that nobody learns which keys
/// others have.
pub(super) fn find_key(state: &State, call: &Call, name: &str) -> Result<NamedKey, Fault> {
    match resolve(state, call, name) {
        Err(Fault::NotFound(_)) if is_foreign(name, caller_account(call)?) => {
            let message = format!(
                "User: {} is not authorized to access this resource: {name} (or the resource does \
                 not exist in this Region)",
                call.caller.arn
            );
            Err(Fault::Denied(Box::new(denied(call.service, message))))
        }
        found => found,
    }
}

fn is_foreign(name: &str, own: &str) -> bool {
    name.starts_with("arn:") && name.split(':').nth(4).is_some_and(|account| account != own)
}

/// 403 or 400, `AccessDenied` or `AccessDeniedException`: as the service has it.
pub(super) fn denied(service: Service, message: String) -> ApiError {
    match service {
        Service::Kms => ApiError::new(StatusCode::BAD_REQUEST, "AccessDeniedException", message),
        _ => ApiError::forbidden("AccessDenied", message),
    }
}

/// The account's `aws/s3` key, made on first use.
pub(super) fn ensure_s3_key(state: &State, call: &Call) -> Result<Arc<Key>, Fault> {
    let account = caller_account(call)?;
    let make = || {
        let policy = s3_key_policy(&state.region, account);
        let mut key = Key::new(&state.vault, account, &state.region, &policy, call.now_ms);
        key.description =
            "Default key that protects S3 objects when no other key is defined".to_owned();
        key.by_service = true;
        key
    };
    Ok(state.keys.alias_or_create(account, S3_ALIAS, call.now_ms, make)?)
}

/// AWS's own policy for it: whoever in the account may use S3, through S3.
fn s3_key_policy(region: &str, account: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Id": "auto-s3-2",
        "Statement": [
            {
                "Sid": "Allow access through S3 for all principals in the account that are authorized to use S3",
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                "Resource": "*",
                "Condition": { "StringEquals": {
                    "kms:ViaService": format!("s3.{region}.amazonaws.com"),
                    "kms:CallerAccount": account,
                } },
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
                "Resource": "*",
            },
        ],
    })
    .to_string()
}

impl NamedKey {
    /// Asks key policy and identity policies for `kms:OPERATION`.
    pub(super) fn authorize(
        &self,
        state: &State,
        call: &Call,
        operation: &str,
        via: Via,
        context: Option<&EncryptionContext>,
    ) -> Result<(), Fault> {
        let mut facts = self.facts(state);
        add_context(&mut facts, context);
        self.authorize_with(state, call, operation, via, &facts)
    }

    /// [`NamedKey::authorize`] with condition keys that only the operation knows.
    pub(super) fn authorize_with(
        &self,
        state: &State,
        call: &Call,
        operation: &str,
        via: Via,
        facts: &Facts,
    ) -> Result<(), Fault> {
        let mut facts = facts.clone();
        if let Some(service) = via.service() {
            facts.push(fact("kms:ViaService", format!("{service}.{}.amazonaws.com", state.region)));
        }
        let policies = self.key.parsed_policy()?;
        let question = Question {
            action: &format!("kms:{operation}"),
            resource: &self.key.arn(),
            resource_account: &self.key.account,
            resource_policies: &policies,
            facts: &facts,
            restrict_public_buckets: false,
            via_service: via != Via::Direct,
        };
        question.authorize(state, call).map_err(|error| Fault::Denied(Box::new(error)))
    }

    /// The condition keys that the key itself gives.
    pub(super) fn facts(&self, state: &State) -> Facts {
        let mut facts = vec![
            fact("kms:KeySpec", "SYMMETRIC_DEFAULT"),
            fact("kms:KeyUsage", "ENCRYPT_DECRYPT"),
            fact("kms:KeyOrigin", "AWS_KMS"),
            fact("kms:MultiRegion", "false"),
        ];
        let aliases = state.keys.aliases_of(&self.key);
        facts.extend(aliases.iter().map(|alias| fact("kms:ResourceAliases", &alias.name)));
        facts.extend(self.by_alias.iter().map(|alias| fact("kms:RequestAlias", alias)));
        let tags = self.key.tags.iter();
        facts.extend(tags.map(|(key, value)| fact(&format!("aws:ResourceTag/{key}"), value)));
        facts
    }

    /// Refuses keys that are off or on their way out.
    pub(super) fn check_usable(&self) -> Result<(), Fault> {
        match self.key.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(Fault::Disabled(self.key.arn())),
            KeyState::PendingDeletion(_) => Err(Fault::PendingDeletion(self.key.arn())),
        }
    }
}

/// The condition keys of an encryption context.
pub(super) fn add_context(facts: &mut Facts, context: Option<&EncryptionContext>) {
    let Some(context) = context else { return };
    facts.push(fact("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"));
    for (key, value) in context {
        facts.push(fact(&format!("kms:EncryptionContext:{key}"), value));
        facts.push(fact("kms:EncryptionContextKeys", key));
    }
}

/// One condition key.
pub(super) fn fact(key: &str, value: impl Into<String>) -> (String, String) {
    (key.to_owned(), value.into())
}
