//! Every user and role of an account with all its policies, in one pass.

use std::collections::BTreeMap;

use aws_sdk_iam::types as sdk;

use super::{Iam, decoded};
use crate::error::{Call, Error, ErrorKind};

/// A user or role, and everything that says what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizedIdentity {
    /// Its ARN, with the path.
    pub arn: String,
    /// Its own policies, inline and attached, and for a user those of its groups.
    pub policies: Vec<String>,
    /// The policy that is its permissions boundary.
    pub boundary: Option<String>,
}

/// What the pages hold together.
#[derive(Default)]
struct Account {
    users: Vec<sdk::UserDetail>,
    roles: Vec<sdk::RoleDetail>,
    /// Policies of each group, by name.
    groups: BTreeMap<String, Vec<String>>,
    /// Documents of managed policies, by ARN.
    managed: BTreeMap<String, String>,
}

impl Iam {
    /// Every user and role of the account with its policies.
    ///
    /// # Errors
    /// As of any call; [`ErrorKind::InvalidResponse`] if a policy is attached whose document the
    /// answer does not hold: with a document missing, nobody could say who may do what.
    pub async fn authorized_identities(&self) -> Result<Vec<AuthorizedIdentity>, Error> {
        let call = Call::new("iam:GetAccountAuthorizationDetails", "");
        let mut account = Account::default();
        let mut marker: Option<String> = None;
        let mut groups = Vec::new();
        loop {
            let ask = self.client.get_account_authorization_details().set_marker(marker.take());
            let page = ask.send().await.map_err(|error| call.clone().failed(error))?;
            account.users.extend(page.user_detail_list.unwrap_or_default());
            account.roles.extend(page.role_detail_list.unwrap_or_default());
            groups.extend(page.group_detail_list.unwrap_or_default());
            for policy in page.policies.unwrap_or_default() {
                let versions = policy.policy_version_list.unwrap_or_default();
                let default = versions.into_iter().find(|version| version.is_default_version);
                let document = default.and_then(|version| version.document);
                if let (Some(arn), Some(document)) = (policy.arn, document) {
                    account.managed.insert(arn, decoded(&document));
                }
            }
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                break;
            }
        }
        let missing = |arn: String| {
            let message = format!("the policy {arn} is attached, and its document was not given");
            call.clone().error(ErrorKind::InvalidResponse, message)
        };
        for group in groups {
            let attached = group.attached_managed_policies;
            let policies = account.documents(group.group_policy_list, attached);
            account.groups.insert(group.group_name.unwrap_or_default(), policies.map_err(missing)?);
        }
        account.identities().map_err(missing)
    }
}

impl Account {
    /// Inline and attached documents; `Err` names the policy whose document is not there.
    fn documents(
        &self,
        inline: Option<Vec<sdk::PolicyDetail>>,
        attached: Option<Vec<sdk::AttachedPolicy>>,
    ) -> Result<Vec<String>, String> {
        let inline = inline.into_iter().flatten().filter_map(|policy| policy.policy_document);
        let mut documents: Vec<String> = inline.map(|document| decoded(&document)).collect();
        for policy in attached.into_iter().flatten() {
            documents.push(self.document(policy.policy_arn.unwrap_or_default())?);
        }
        Ok(documents)
    }

    fn document(&self, arn: String) -> Result<String, String> {
        self.managed.get(&arn).cloned().ok_or(arn)
    }

    fn boundary(
        &self,
        of: Option<sdk::AttachedPermissionsBoundary>,
    ) -> Result<Option<String>, String> {
        let arn = of.and_then(|boundary| boundary.permissions_boundary_arn);
        arn.map(|arn| self.document(arn)).transpose()
    }

    fn identities(mut self) -> Result<Vec<AuthorizedIdentity>, String> {
        let mut identities = Vec::new();
        for user in std::mem::take(&mut self.users) {
            let mut policies =
                self.documents(user.user_policy_list, user.attached_managed_policies)?;
            for group in user.group_list.unwrap_or_default() {
                policies.extend(self.groups.get(&group).cloned().unwrap_or_default());
            }
            let boundary = self.boundary(user.permissions_boundary)?;
            identities.push(AuthorizedIdentity {
                arn: user.arn.unwrap_or_default(),
                policies,
                boundary,
            });
        }
        for role in std::mem::take(&mut self.roles) {
            let policies = self.documents(role.role_policy_list, role.attached_managed_policies)?;
            let boundary = self.boundary(role.permissions_boundary)?;
            let arn = role.arn.unwrap_or_default();
            identities.push(AuthorizedIdentity { arn, policies, boundary });
        }
        Ok(identities)
    }
}
