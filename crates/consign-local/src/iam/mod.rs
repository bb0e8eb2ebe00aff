//! IAM: users, roles, access keys and inline policies.
//!
//! IAM is the authority on who exists; [`crate::gate`] asks [`Directory`] at every request, so a
//! change counts from the next one on. Managed policies, groups and boundaries are not offered:
//! their listings answer empty, so that tools which always ask keep working.

pub mod directory;
mod entities;
mod keys;
mod known;
mod policies;
pub mod query;
pub mod records;

pub use directory::Directory;

use http::Response;

use crate::authorize::{Facts, authorize};
use crate::call::Call;
use crate::error::{ApiError, ResponseBody};
use crate::state::State;
use query::{Form, respond};
use records::{Entity, Kind};

/// The XML namespace of IAM's answers.
pub const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// Answers one verified call.
pub fn handle(state: &State, call: &Call, body: &[u8]) -> Result<Response<ResponseBody>, ApiError> {
    let form = Form::read(call, body)?;
    let ask = Ask {
        state,
        call,
        form: &form,
        account: call.caller.account.as_deref().ok_or_else(ApiError::access_denied)?,
    };
    let result = dispatch(&ask, form.action())?;
    Ok(respond(NAMESPACE, form.action(), result.as_deref(), &call.request_id))
}

/// One call of IAM: everything its operations look at. IAM works within the caller's account only.
struct Ask<'a> {
    state: &'a State,
    call: &'a Call,
    form: &'a Form,
    account: &'a str,
}

fn dispatch(ask: &Ask<'_>, action: &str) -> Result<Option<String>, ApiError> {
    match action {
        "CreateUser" => entities::create_user(ask),
        "GetUser" => entities::get_user(ask),
        "ListUsers" => entities::list(ask, Kind::User),
        "DeleteUser" => entities::delete(ask, Kind::User),
        "CreateRole" => entities::create_role(ask),
        "GetRole" => entities::get_role(ask),
        "ListRoles" => entities::list(ask, Kind::Role),
        "UpdateRole" => entities::update_role(ask),
        "UpdateAssumeRolePolicy" => entities::update_trust(ask),
        "DeleteRole" => entities::delete(ask, Kind::Role),
        "TagUser" => entities::tag(ask, Kind::User),
        "TagRole" => entities::tag(ask, Kind::Role),
        "UntagUser" => entities::untag(ask, Kind::User),
        "UntagRole" => entities::untag(ask, Kind::Role),
        "ListUserTags" => entities::list_tags(ask, Kind::User),
        "ListRoleTags" => entities::list_tags(ask, Kind::Role),
        "CreateAccessKey" => keys::create(ask),
        "ListAccessKeys" => keys::list(ask),
        "UpdateAccessKey" => keys::update(ask),
        "DeleteAccessKey" => keys::delete(ask),
        "GetAccessKeyLastUsed" => keys::last_used(ask),
        "PutUserPolicy" => policies::put(ask, Kind::User),
        "GetUserPolicy" => policies::get(ask, Kind::User),
        "DeleteUserPolicy" => policies::delete(ask, Kind::User),
        "ListUserPolicies" => policies::list(ask, Kind::User),
        "PutRolePolicy" => policies::put(ask, Kind::Role),
        "GetRolePolicy" => policies::get(ask, Kind::Role),
        "DeleteRolePolicy" => policies::delete(ask, Kind::Role),
        "ListRolePolicies" => policies::list(ask, Kind::Role),
        "ListAttachedUserPolicies" => ask.empty_list(Kind::User, "AttachedPolicies"),
        "ListAttachedRolePolicies" => ask.empty_list(Kind::Role, "AttachedPolicies"),
        "ListGroupsForUser" => ask.empty_list(Kind::User, "Groups"),
        "ListInstanceProfilesForRole" => ask.empty_list(Kind::Role, "InstanceProfiles"),
        "ListSSHPublicKeys" => ask.empty_list(Kind::User, "SSHPublicKeys"),
        "ListServiceSpecificCredentials" => {
            ask.empty_list(Kind::User, "ServiceSpecificCredentials")
        }
        "ListSigningCertificates" => ask.empty_list(Kind::User, "Certificates"),
        "ListMFADevices" => ask.empty_list(Kind::User, "MFADevices"),
        "ListAccountAliases" => ask.empty_account_list("AccountAliases"),
        "ListGroups" => ask.empty_account_list("Groups"),
        "ListPolicies" => ask.empty_account_list("Policies"),
        "ListOpenIDConnectProviders" => ask.empty_account_list("OpenIDConnectProviderList"),
        "ListSAMLProviders" => ask.empty_account_list("SAMLProviderList"),
        other => Err(query::unknown_action(other)),
    }
}

fn empty(field: &str) -> String {
    format!("<IsTruncated>false</IsTruncated><{field}/>")
}

impl Ask<'_> {
    /// Asks for `iam:ACTION` on a resource.
    fn permit(&self, resource: &str) -> Result<(), ApiError> {
        self.permit_with(resource, &Facts::new())
    }

    /// [`Ask::permit`] with further condition keys.
    fn permit_with(&self, resource: &str, facts: &Facts) -> Result<(), ApiError> {
        self.permit_to(&format!("iam:{}", self.form.action()), resource, facts)
    }

    /// Asks for an action that is not the call's own.
    fn permit_to(&self, action: &str, resource: &str, facts: &Facts) -> Result<(), ApiError> {
        authorize(self.state, self.call, action, resource, self.account, &[], facts)
    }

    /// The user or role that a call names, once the caller may do this to it. What does not exist
    /// is denied or missing, by what the caller may do to its ARN.
    fn target(&self, kind: Kind) -> Result<std::sync::Arc<Entity>, ApiError> {
        self.target_with(kind, Facts::new())
    }

    fn target_with(
        &self,
        kind: Kind,
        mut facts: Facts,
    ) -> Result<std::sync::Arc<Entity>, ApiError> {
        let name = self.name(kind)?;
        match self.state.directory.find(self.account, kind, &name) {
            Some(entity) => {
                for (key, value) in &entity.tags {
                    facts.push((format!("aws:ResourceTag/{key}"), value.clone()));
                    facts.push((format!("iam:ResourceTag/{key}"), value.clone()));
                }
                self.permit_with(&entity.arn(), &facts)?;
                Ok(entity)
            }
            None => {
                let word = kind.word();
                self.permit_with(&format!("arn:aws:iam::{}:{word}/{name}", self.account), &facts)?;
                Err(directory::no_such(kind, &name))
            }
        }
    }

    /// `UserName` or `RoleName`; a user may leave its own out.
    fn name(&self, kind: Kind) -> Result<String, ApiError> {
        let parameter = if kind == Kind::User { "UserName" } else { "RoleName" };
        if kind == Kind::User && self.form.get(parameter).is_none() {
            let own = self.call.caller.principal.user_name();
            return own.map(str::to_owned).ok_or_else(|| {
                let message = "Must specify userName when calling with non-User credentials";
                ApiError::bad_request("ValidationError", message)
            });
        }
        let name = self.form.required(parameter)?;
        entities::check_name(name)?;
        Ok(name.to_owned())
    }

    fn empty_account_list(&self, field: &str) -> Result<Option<String>, ApiError> {
        self.permit("*")?;
        Ok(Some(empty(field)))
    }

    fn empty_list(&self, kind: Kind, field: &str) -> Result<Option<String>, ApiError> {
        self.target(kind)?;
        Ok(Some(empty(field)))
    }
}
