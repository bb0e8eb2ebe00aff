//! KMS: keys, their policies and aliases, and data keys. A `key` argument is a key id, a key ARN,
//! `alias/…` or an alias ARN, unless a method says otherwise.

use std::collections::BTreeMap;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types as sdk;
use zeroize::Zeroizing;

use crate::error::{Call, Error, ErrorKind};

/// Keys of one account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Kms {
    client: aws_sdk_kms::Client,
}

/// A symmetric key to create.
#[derive(Clone, Debug, Default)]
pub struct CreateKey {
    /// Key policy.
    pub policy: String,
    /// For people.
    pub description: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// What KMS tells of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Key id.
    pub id: String,
    /// Key ARN.
    pub arn: String,
    /// Account that owns it.
    pub account: Option<String>,
    /// For people.
    pub description: String,
    /// What it can be used for now.
    pub state: KeyState,
    /// Made and rotated by its account, not by AWS.
    pub customer_managed: bool,
    /// `SYMMETRIC_DEFAULT` and the like.
    pub spec: Option<String>,
    /// Has replicas in other regions, or can have.
    pub multi_region: bool,
}

/// Somebody who may use a key although no policy names him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantEntry {
    /// The grant's id.
    pub id: String,
    /// ARN, account or service.
    pub grantee: String,
    /// `Decrypt`, `GenerateDataKey`, …
    pub operations: Vec<String>,
}

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Yes.
    Enabled,
    /// Not until it is enabled again.
    Disabled,
    /// Not, and soon never again.
    PendingDeletion,
    /// Not for another reason.
    Other,
}

/// A name for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// `alias/…`
    pub name: String,
    /// Alias ARN.
    pub arn: String,
    /// Id of the key it names.
    pub key_id: Option<String>,
}

/// A fresh data key, plain and wrapped.
pub struct DataKey {
    /// 32 bytes to encrypt with and to forget.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The same under the KMS key, to keep.
    pub wrapped: Vec<u8>,
    /// ARN of the KMS key.
    pub key_arn: String,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKey").field("key_arn", &self.key_arn).finish_non_exhaustive()
    }
}

impl Kms {
    pub(crate) fn new(client: aws_sdk_kms::Client) -> Kms {
        Kms { client }
    }

    /// Creates a symmetric encryption key. A lost answer leaves a key that nothing names: tag it,
    /// so that it can be found.
    pub async fn create_key(&self, create: &CreateKey) -> Result<KeyInfo, Error> {
        let call = Call::new("kms:CreateKey", &create.description);
        let tags = tags(&create.tags).map_err(|error| built(&call, error))?;
        let made = self
            .client
            .create_key()
            .policy(&create.policy)
            .description(&create.description)
            .set_tags((!tags.is_empty()).then_some(tags))
            .send()
            .await
            .map_err(|error| call.clone().failed(error))?;
        info(&call, made.key_metadata)
    }

    /// Describes a key; `None` when there is no such key or alias.
    pub async fn describe_key(&self, key: &str) -> Result<Option<KeyInfo>, Error> {
        let call = Call::new("kms:DescribeKey", key);
        match self.client.describe_key().key_id(key).send().await {
            Ok(found) => info(&call, found.key_metadata).map(Some),
            Err(error) => none_if_missing(call.failed(error)),
        }
    }

    /// Ids of all keys of the account and region.
    pub async fn list_keys(&self) -> Result<Vec<String>, Error> {
        let call = Call::new("kms:ListKeys", "");
        let mut ids = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let page = self.client.list_keys().set_marker(marker.clone()).send().await;
            let page = page.map_err(|error| call.clone().failed(error))?;
            ids.extend(page.keys.unwrap_or_default().into_iter().filter_map(|key| key.key_id));
            let next = page.next_marker.filter(|_| page.truncated);
            if next.is_none() || next == marker {
                return Ok(ids);
            }
            marker = next;
        }
    }

    /// The key policy's text. By key id or ARN.
    pub async fn get_key_policy(&self, key: &str) -> Result<String, Error> {
        let call = Call::new("kms:GetKeyPolicy", key);
        let found = self.client.get_key_policy().key_id(key).policy_name("default").send().await;
        let found = found.map_err(|error| call.clone().failed(error))?;
        found
            .policy
            .ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no policy"))
    }

    /// Names of the key's policies. By key id or ARN. `default` is the one that
    /// [`get_key_policy`](Self::get_key_policy) reads; sharing through AWS RAM adds others.
    pub async fn list_key_policies(&self, key: &str) -> Result<Vec<String>, Error> {
        let call = Call::new("kms:ListKeyPolicies", key);
        let mut names = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let request = self.client.list_key_policies().key_id(key);
            let page = request.set_marker(marker.clone()).send().await;
            let page = page.map_err(|error| call.clone().failed(error))?;
            names.extend(page.policy_names.unwrap_or_default());
            let next = page.next_marker.filter(|_| page.truncated);
            if next.is_none() || next == marker {
                return Ok(names);
            }
            marker = next;
        }
    }

    /// Grants on the key. By key id or ARN.
    pub async fn list_grants(&self, key: &str) -> Result<Vec<GrantEntry>, Error> {
        let call = Call::new("kms:ListGrants", key);
        let mut grants = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let request = self.client.list_grants().key_id(key);
            let page = request.set_marker(marker.clone()).send().await;
            let page = page.map_err(|error| call.clone().failed(error))?;
            grants.extend(page.grants.unwrap_or_default().into_iter().map(|grant| {
                let operations = grant.operations.unwrap_or_default();
                GrantEntry {
                    id: grant.grant_id.unwrap_or_default(),
                    grantee: grant.grantee_principal.unwrap_or_default(),
                    operations: operations.iter().map(|it| it.as_str().to_owned()).collect(),
                }
            }));
            let next = page.next_marker.filter(|_| page.truncated);
            if next.is_none() || next == marker {
                return Ok(grants);
            }
            marker = next;
        }
    }

    /// Replaces the key policy. By key id or ARN. KMS refuses one that locks the caller out.
    pub async fn put_key_policy(&self, key: &str, policy: &str) -> Result<(), Error> {
        let call = Call::new("kms:PutKeyPolicy", key);
        let request = self.client.put_key_policy().key_id(key).policy_name("default");
        request.policy(policy).send().await.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Names a key. By key id or ARN.
    pub async fn create_alias(&self, alias: &str, key: &str) -> Result<(), Error> {
        let call = Call::new("kms:CreateAlias", alias);
        let request = self.client.create_alias().alias_name(alias).target_key_id(key);
        request.send().await.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Lets a name stand for another key. By key id or ARN.
    pub async fn update_alias(&self, alias: &str, key: &str) -> Result<(), Error> {
        let call = Call::new("kms:UpdateAlias", alias);
        let request = self.client.update_alias().alias_name(alias).target_key_id(key);
        request.send().await.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Removes a name; the key stays. One that is not there counts as removed.
    pub async fn delete_alias(&self, alias: &str) -> Result<(), Error> {
        let call = Call::new("kms:DeleteAlias", alias);
        match self.client.delete_alias().alias_name(alias).send().await {
            Ok(_) => Ok(()),
            Err(error) => none_if_missing::<()>(call.failed(error)).map(|_| ()),
        }
    }

    /// All names of the account, or those of one key.
    pub async fn list_aliases(&self, key: Option<&str>) -> Result<Vec<Alias>, Error> {
        let call = Call::new("kms:ListAliases", key.unwrap_or_default());
        let mut aliases = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let request = self.client.list_aliases().set_key_id(key.map(str::to_owned));
            let page = request.set_marker(marker.clone()).send().await;
            let page = page.map_err(|error| call.clone().failed(error))?;
            aliases.extend(page.aliases.unwrap_or_default().into_iter().filter_map(|alias| {
                Some(Alias {
                    name: alias.alias_name?,
                    arn: alias.alias_arn.unwrap_or_default(),
                    key_id: alias.target_key_id,
                })
            }));
            let next = page.next_marker.filter(|_| page.truncated);
            if next.is_none() || next == marker {
                return Ok(aliases);
            }
            marker = next;
        }
    }

    /// Has KMS make new key material every year. By key id or ARN.
    pub async fn enable_rotation(&self, key: &str) -> Result<(), Error> {
        let call = Call::new("kms:EnableKeyRotation", key);
        let sent = self.client.enable_key_rotation().key_id(key).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Whether it does. By key id or ARN.
    pub async fn rotation_enabled(&self, key: &str) -> Result<bool, Error> {
        let call = Call::new("kms:GetKeyRotationStatus", key);
        let sent = self.client.get_key_rotation_status().key_id(key).send().await;
        Ok(sent.map_err(|error| call.failed(error))?.key_rotation_enabled)
    }

    /// Tags of a key. By key id or ARN.
    pub async fn key_tags(&self, key: &str) -> Result<BTreeMap<String, String>, Error> {
        let call = Call::new("kms:ListResourceTags", key);
        let mut all = BTreeMap::new();
        let mut marker: Option<String> = None;
        loop {
            let request = self.client.list_resource_tags().key_id(key);
            let page = request.set_marker(marker.clone()).send().await;
            let page = page.map_err(|error| call.clone().failed(error))?;
            let tags = page.tags.unwrap_or_default();
            all.extend(tags.into_iter().map(|tag| (tag.tag_key, tag.tag_value)));
            let next = page.next_marker.filter(|_| page.truncated);
            if next.is_none() || next == marker {
                return Ok(all);
            }
            marker = next;
        }
    }

    /// Adds or replaces tags. By key id or ARN.
    pub async fn tag_key(&self, key: &str, add: &BTreeMap<String, String>) -> Result<(), Error> {
        let call = Call::new("kms:TagResource", key);
        let tags = tags(add).map_err(|error| built(&call, error))?;
        let sent = self.client.tag_resource().key_id(key).set_tags(Some(tags)).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Removes tags. By key id or ARN.
    pub async fn untag_key(&self, key: &str, names: &[String]) -> Result<(), Error> {
        let call = Call::new("kms:UntagResource", key);
        let request = self.client.untag_resource().key_id(key);
        let sent = request.set_tag_keys(Some(names.to_vec())).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Has the key deleted after 7 to 30 days; until then nothing can use it, and
    /// [`cancel_deletion`](Self::cancel_deletion) brings it back. By key id or ARN.
    pub async fn schedule_deletion(&self, key: &str, days: u8) -> Result<(), Error> {
        let call = Call::new("kms:ScheduleKeyDeletion", key);
        let request = self.client.schedule_key_deletion().key_id(key);
        let sent = request.pending_window_in_days(i32::from(days)).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Takes a scheduled deletion back; the key is then disabled. By key id or ARN.
    pub async fn cancel_deletion(&self, key: &str) -> Result<(), Error> {
        let call = Call::new("kms:CancelKeyDeletion", key);
        let sent = self.client.cancel_key_deletion().key_id(key).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Enables a disabled key. By key id or ARN.
    pub async fn enable_key(&self, key: &str) -> Result<(), Error> {
        let call = Call::new("kms:EnableKey", key);
        let sent = self.client.enable_key().key_id(key).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// A fresh 256-bit data key bound to `context`.
    pub async fn generate_data_key(
        &self,
        key: &str,
        context: &BTreeMap<String, String>,
    ) -> Result<DataKey, Error> {
        let call = Call::new("kms:GenerateDataKey", key);
        let made = self
            .client
            .generate_data_key()
            .key_id(key)
            .key_spec(sdk::DataKeySpec::Aes256)
            .set_encryption_context(pairs(context))
            .send()
            .await
            .map_err(|error| call.clone().failed(error))?;
        match (made.plaintext, made.ciphertext_blob, made.key_id) {
            (Some(plain), Some(wrapped), Some(key_arn)) => Ok(DataKey {
                plaintext: Zeroizing::new(plain.into_inner()),
                wrapped: wrapped.into_inner(),
                key_arn,
            }),
            _ => Err(call.error(ErrorKind::InvalidResponse, "the answer has no data key")),
        }
    }

    /// Encrypts up to 4096 bytes under the KMS key itself.
    pub async fn encrypt(
        &self,
        key: &str,
        plaintext: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>, Error> {
        let call = Call::new("kms:Encrypt", key);
        let done = self
            .client
            .encrypt()
            .key_id(key)
            .plaintext(Blob::new(plaintext))
            .set_encryption_context(pairs(context))
            .send()
            .await
            .map_err(|error| call.clone().failed(error))?;
        let sealed = done.ciphertext_blob.map(Blob::into_inner);
        sealed.ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no ciphertext"))
    }

    /// Opens what [`encrypt`](Self::encrypt) or [`generate_data_key`](Self::generate_data_key)
    /// wrapped. Naming the key keeps a foreign ciphertext from choosing it.
    pub async fn decrypt(
        &self,
        key: Option<&str>,
        ciphertext: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::new("kms:Decrypt", key.unwrap_or_default());
        let done = self
            .client
            .decrypt()
            .set_key_id(key.map(str::to_owned))
            .ciphertext_blob(Blob::new(ciphertext))
            .set_encryption_context(pairs(context))
            .send()
            .await
            .map_err(|error| call.clone().failed(error))?;
        let plain = done.plaintext.map(|plain| Zeroizing::new(plain.into_inner()));
        plain.ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no plaintext"))
    }
}

fn none_if_missing<T>(error: Error) -> Result<Option<T>, Error> {
    if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) }
}

fn built(call: &Call, error: aws_sdk_kms::error::BuildError) -> Error {
    call.clone().caused(ErrorKind::InvalidRequest, "not a complete request", error)
}

fn tags(tags: &BTreeMap<String, String>) -> Result<Vec<sdk::Tag>, aws_sdk_kms::error::BuildError> {
    tags.iter()
        .map(|(key, value)| sdk::Tag::builder().tag_key(key).tag_value(value).build())
        .collect()
}

fn pairs(context: &BTreeMap<String, String>) -> Option<std::collections::HashMap<String, String>> {
    (!context.is_empty()).then(|| context.clone().into_iter().collect())
}

fn info(call: &Call, metadata: Option<sdk::KeyMetadata>) -> Result<KeyInfo, Error> {
    let Some(key) = metadata else {
        return Err(call.clone().error(ErrorKind::InvalidResponse, "the answer has no key"));
    };
    Ok(KeyInfo {
        arn: key.arn.unwrap_or_default(),
        account: key.aws_account_id,
        description: key.description.unwrap_or_default(),
        state: match key.key_state {
            Some(sdk::KeyState::Enabled) => KeyState::Enabled,
            None if key.enabled => KeyState::Enabled,
            Some(sdk::KeyState::Disabled) | None => KeyState::Disabled,
            Some(sdk::KeyState::PendingDeletion) => KeyState::PendingDeletion,
            Some(_) => KeyState::Other,
        },
        customer_managed: key.key_manager != Some(sdk::KeyManagerType::Aws),
        spec: key.key_spec.map(|spec| spec.as_str().to_owned()),
        multi_region: key.multi_region == Some(true),
        id: key.key_id,
    })
}
