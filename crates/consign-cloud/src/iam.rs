//! IAM: users, roles, their inline policies, access keys and tags.
//!
//! What exists already answers [`ErrorKind::Conflict`]; what is not there reads as `None`, and
//! counts as deleted when it is to be deleted, so that every step can be repeated.

mod authorization;

use std::collections::BTreeMap;

pub use authorization::AuthorizedIdentity;

use aws_sdk_iam::types as sdk;
use percent_encoding::percent_decode_str;

use crate::error::{Call, Error, ErrorKind};
use crate::settings::Credentials;

/// Users and roles of one account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Iam {
    client: aws_sdk_iam::Client,
}

/// A user or role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Path with both slashes: `/`, `/consign/`.
    pub path: String,
    /// Name without its path.
    pub name: String,
    /// ARN, with the path.
    pub arn: String,
    /// Unique id: a user deleted and made again has another one.
    pub id: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// For a role: who may assume it.
    pub trust_policy: Option<String>,
    /// ARN of the permissions boundary.
    pub boundary: Option<String>,
}

/// A role to create.
#[derive(Clone, Debug, Default)]
pub struct CreateRole {
    /// Path with both slashes; empty is `/`.
    pub path: String,
    /// Name.
    pub name: String,
    /// Who may assume it.
    pub trust_policy: String,
    /// For people.
    pub description: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// Whose inline policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A user, by name without path.
    User(&'a str),
    /// A role, by name without path.
    Role(&'a str),
}

impl Holder<'_> {
    fn call(self, user: &'static str, role: &'static str) -> Call {
        match self {
            Holder::User(name) => Call::new(user, name),
            Holder::Role(name) => Call::new(role, name),
        }
    }
}

/// An access key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeyEntry {
    /// Public half.
    pub id: String,
    /// In use.
    pub active: bool,
    /// Milliseconds since 1970.
    pub created_ms: Option<i64>,
}

impl Iam {
    pub(crate) fn new(client: aws_sdk_iam::Client) -> Iam {
        Iam { client }
    }

    /// A user by name.
    pub async fn get_user(&self, name: &str) -> Result<Option<Identity>, Error> {
        let call = Call::new("iam:GetUser", name);
        match self.client.get_user().user_name(name).send().await {
            Ok(found) => Ok(found.user.map(user)),
            Err(error) => none_if_missing(call.failed(error)),
        }
    }

    /// Creates a user under a path with both slashes (empty is `/`).
    pub async fn create_user(
        &self,
        path: &str,
        name: &str,
        add: &BTreeMap<String, String>,
    ) -> Result<Identity, Error> {
        let call = Call::new("iam:CreateUser", name);
        let tags = tags(add).map_err(|error| built(&call, error))?;
        let made = self
            .client
            .create_user()
            .user_name(name)
            .set_path((!path.is_empty()).then(|| path.to_owned()))
            .set_tags((!tags.is_empty()).then_some(tags))
            .send()
            .await
            .map_err(|error| call.clone().failed(error))?;
        let made = made.user.map(user);
        made.ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no user"))
    }

    /// Deletes a user who has no policies and no access keys left.
    pub async fn delete_user(&self, name: &str) -> Result<(), Error> {
        let call = Call::new("iam:DeleteUser", name);
        match self.client.delete_user().user_name(name).send().await {
            Ok(_) => Ok(()),
            Err(error) => none_if_missing::<()>(call.failed(error)).map(|_| ()),
        }
    }

    /// A role by name.
    pub async fn get_role(&self, name: &str) -> Result<Option<Identity>, Error> {
        let call = Call::new("iam:GetRole", name);
        match self.client.get_role().role_name(name).send().await {
            Ok(found) => Ok(found.role.map(role)),
            Err(error) => none_if_missing(call.failed(error)),
        }
    }

    /// Creates a role.
    pub async fn create_role(&self, create: &CreateRole) -> Result<Identity, Error> {
        let call = Call::new("iam:CreateRole", &create.name);
        let tags = tags(&create.tags).map_err(|error| built(&call, error))?;
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let made = self
            .client
            .create_role()
            .role_name(&create.name)
            .set_path(some(&create.path))
            .assume_role_policy_document(&create.trust_policy)
            .set_description(some(&create.description))
            .set_tags((!tags.is_empty()).then_some(tags))
            .send()
            .await
            .map_err(|error| call.clone().failed(error))?;
        let made = made.role.map(role);
        made.ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no role"))
    }

    /// Replaces a role's trust policy.
    pub async fn put_trust_policy(&self, role: &str, policy: &str) -> Result<(), Error> {
        let call = Call::new("iam:UpdateAssumeRolePolicy", role);
        let request = self.client.update_assume_role_policy().role_name(role);
        let sent = request.policy_document(policy).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Deletes a role that has no policies left.
    pub async fn delete_role(&self, name: &str) -> Result<(), Error> {
        let call = Call::new("iam:DeleteRole", name);
        match self.client.delete_role().role_name(name).send().await {
            Ok(_) => Ok(()),
            Err(error) => none_if_missing::<()>(call.failed(error)).map(|_| ()),
        }
    }

    /// Names of the inline policies.
    pub async fn list_policies(&self, holder: Holder<'_>) -> Result<Vec<String>, Error> {
        let call = holder.call("iam:ListUserPolicies", "iam:ListRolePolicies");
        let mut names = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let (page, next) = match holder {
                Holder::User(name) => {
                    let request = self.client.list_user_policies().user_name(name);
                    let page = request.set_marker(marker.clone()).send().await;
                    let page = page.map_err(|error| call.clone().failed(error))?;
                    (page.policy_names, page.marker.filter(|_| page.is_truncated))
                }
                Holder::Role(name) => {
                    let request = self.client.list_role_policies().role_name(name);
                    let page = request.set_marker(marker.clone()).send().await;
                    let page = page.map_err(|error| call.clone().failed(error))?;
                    (page.policy_names, page.marker.filter(|_| page.is_truncated))
                }
            };
            names.extend(page);
            if next.is_none() || next == marker {
                return Ok(names);
            }
            marker = next;
        }
    }

    /// An inline policy's text.
    pub async fn get_policy(
        &self,
        holder: Holder<'_>,
        policy: &str,
    ) -> Result<Option<String>, Error> {
        let call = holder.call("iam:GetUserPolicy", "iam:GetRolePolicy");
        let found = match holder {
            Holder::User(name) => {
                let request = self.client.get_user_policy().user_name(name).policy_name(policy);
                let found = request.send().await.map_err(|error| call.failed(error));
                found.map(|found| found.policy_document)
            }
            Holder::Role(name) => {
                let request = self.client.get_role_policy().role_name(name).policy_name(policy);
                let found = request.send().await.map_err(|error| call.failed(error));
                found.map(|found| found.policy_document)
            }
        };
        match found {
            Ok(text) => Ok(Some(decoded(&text))),
            Err(error) => none_if_missing(error),
        }
    }

    /// Creates or replaces an inline policy.
    pub async fn put_policy(
        &self,
        holder: Holder<'_>,
        policy: &str,
        document: &str,
    ) -> Result<(), Error> {
        let call = holder.call("iam:PutUserPolicy", "iam:PutRolePolicy");
        match holder {
            Holder::User(name) => {
                let request = self.client.put_user_policy().user_name(name).policy_name(policy);
                let sent = request.policy_document(document).send().await;
                sent.map(|_| ()).map_err(|error| call.failed(error))
            }
            Holder::Role(name) => {
                let request = self.client.put_role_policy().role_name(name).policy_name(policy);
                let sent = request.policy_document(document).send().await;
                sent.map(|_| ()).map_err(|error| call.failed(error))
            }
        }
    }

    /// Removes an inline policy.
    pub async fn delete_policy(&self, holder: Holder<'_>, policy: &str) -> Result<(), Error> {
        let call = holder.call("iam:DeleteUserPolicy", "iam:DeleteRolePolicy");
        let sent = match holder {
            Holder::User(name) => {
                let request = self.client.delete_user_policy().user_name(name);
                let sent = request.policy_name(policy).send().await;
                sent.map(|_| ()).map_err(|error| call.failed(error))
            }
            Holder::Role(name) => {
                let request = self.client.delete_role_policy().role_name(name);
                let sent = request.policy_name(policy).send().await;
                sent.map(|_| ()).map_err(|error| call.failed(error))
            }
        };
        match sent {
            Ok(()) => Ok(()),
            Err(error) => none_if_missing::<()>(error).map(|_| ()),
        }
    }

    /// Managed policies attached to a user or role (ARNs): they grant beside the inline ones.
    pub async fn attached_policies(&self, holder: Holder<'_>) -> Result<Vec<String>, Error> {
        let call = holder.call("iam:ListAttachedUserPolicies", "iam:ListAttachedRolePolicies");
        let mut arns = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let (page, next) = match holder {
                Holder::User(name) => {
                    let request = self.client.list_attached_user_policies().user_name(name);
                    let page = request.set_marker(marker.clone()).send().await;
                    let page = page.map_err(|error| call.clone().failed(error))?;
                    (page.attached_policies, page.marker.filter(|_| page.is_truncated))
                }
                Holder::Role(name) => {
                    let request = self.client.list_attached_role_policies().role_name(name);
                    let page = request.set_marker(marker.clone()).send().await;
                    let page = page.map_err(|error| call.clone().failed(error))?;
                    (page.attached_policies, page.marker.filter(|_| page.is_truncated))
                }
            };
            arns.extend(
                page.unwrap_or_default().into_iter().filter_map(|policy| policy.policy_arn),
            );
            if next.is_none() || next == marker {
                return Ok(arns);
            }
            marker = next;
        }
    }

    /// The text of a managed policy in its default version, by ARN.
    pub async fn managed_policy(&self, arn: &str) -> Result<String, Error> {
        let call = Call::new("iam:GetPolicy", arn);
        let found = self.client.get_policy().policy_arn(arn).send().await;
        let found = found.map_err(|error| call.clone().failed(error))?;
        let version = found.policy.and_then(|policy| policy.default_version_id);
        let version = version.unwrap_or_else(|| "v1".to_owned());
        let call = Call::new("iam:GetPolicyVersion", arn);
        let request = self.client.get_policy_version().policy_arn(arn).version_id(version);
        let found = request.send().await.map_err(|error| call.clone().failed(error))?;
        let document = found.policy_version.and_then(|version| version.document);
        let document = document.as_deref().map(decoded);
        document.ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no document"))
    }

    /// Makes an access key. Its secret is shown this once.
    pub async fn create_access_key(&self, user: &str) -> Result<Credentials, Error> {
        let call = Call::new("iam:CreateAccessKey", user);
        let made = self.client.create_access_key().user_name(user).send().await;
        let made = made.map_err(|error| call.clone().failed(error))?;
        let Some(key) = made.access_key else {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer has no access key"));
        };
        Ok(Credentials::new(key.access_key_id, key.secret_access_key, None))
    }

    /// A user's access keys.
    pub async fn list_access_keys(&self, user: &str) -> Result<Vec<AccessKeyEntry>, Error> {
        let call = Call::new("iam:ListAccessKeys", user);
        // An account's limit is two keys a user: one page.
        let page = self.client.list_access_keys().user_name(user).send().await;
        let page = page.map_err(|error| call.failed(error))?;
        let keys = page.access_key_metadata.into_iter().filter_map(|key| {
            Some(AccessKeyEntry {
                id: key.access_key_id?,
                active: key.status == Some(sdk::StatusType::Active),
                created_ms: key.create_date.and_then(|time| time.to_millis().ok()),
            })
        });
        Ok(keys.collect())
    }

    /// Deletes an access key.
    pub async fn delete_access_key(&self, user: &str, id: &str) -> Result<(), Error> {
        let call = Call::new("iam:DeleteAccessKey", user);
        let request = self.client.delete_access_key().user_name(user).access_key_id(id);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => none_if_missing::<()>(call.failed(error)).map(|_| ()),
        }
    }

    /// Adds or replaces tags.
    pub async fn tag(
        &self,
        holder: Holder<'_>,
        add: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let call = holder.call("iam:TagUser", "iam:TagRole");
        let tags = tags(add).map_err(|error| built(&call, error))?;
        match holder {
            Holder::User(name) => {
                let request = self.client.tag_user().user_name(name).set_tags(Some(tags));
                request.send().await.map(|_| ()).map_err(|error| call.failed(error))
            }
            Holder::Role(name) => {
                let request = self.client.tag_role().role_name(name).set_tags(Some(tags));
                request.send().await.map(|_| ()).map_err(|error| call.failed(error))
            }
        }
    }

    /// Removes tags.
    pub async fn untag(&self, holder: Holder<'_>, names: &[String]) -> Result<(), Error> {
        let call = holder.call("iam:UntagUser", "iam:UntagRole");
        let names = Some(names.to_vec());
        match holder {
            Holder::User(name) => {
                let request = self.client.untag_user().user_name(name).set_tag_keys(names);
                request.send().await.map(|_| ()).map_err(|error| call.failed(error))
            }
            Holder::Role(name) => {
                let request = self.client.untag_role().role_name(name).set_tag_keys(names);
                request.send().await.map(|_| ()).map_err(|error| call.failed(error))
            }
        }
    }
}

fn none_if_missing<T>(error: Error) -> Result<Option<T>, Error> {
    if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) }
}

fn built(call: &Call, error: aws_sdk_iam::error::BuildError) -> Error {
    call.clone().caused(ErrorKind::InvalidRequest, "not a complete request", error)
}

fn tags(tags: &BTreeMap<String, String>) -> Result<Vec<sdk::Tag>, aws_sdk_iam::error::BuildError> {
    tags.iter().map(|(key, value)| sdk::Tag::builder().key(key).value(value).build()).collect()
}

/// IAM gives policy documents percent-encoded (RFC 3986); other servers give them plain, where the
/// first character is a brace.
fn decoded(document: &str) -> String {
    if document.trim_start().starts_with('{') {
        return document.to_owned();
    }
    percent_decode_str(document).decode_utf8_lossy().into_owned()
}

fn user(user: sdk::User) -> Identity {
    Identity {
        path: user.path,
        name: user.user_name,
        arn: user.arn,
        id: user.user_id,
        tags: user.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect(),
        trust_policy: None,
        boundary: user.permissions_boundary.and_then(|b| b.permissions_boundary_arn),
    }
}

fn role(role: sdk::Role) -> Identity {
    Identity {
        path: role.path,
        name: role.role_name,
        arn: role.arn,
        id: role.role_id,
        tags: role.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect(),
        trust_policy: role.assume_role_policy_document.as_deref().map(decoded),
        boundary: role.permissions_boundary.and_then(|b| b.permissions_boundary_arn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_encoded_or_plain() {
        let plain = r#"{"Resource":"a%2Fb"}"#;
        assert_eq!(decoded(plain), plain);
        assert_eq!(decoded("%7B%22Version%22%3A%22a+b%22%7D"), r#"{"Version":"a+b"}"#);
    }
}
