//! STS: who am I, and who may I become.

use crate::error::{Call, Error, ErrorKind};
use crate::settings::Credentials;

/// Identity of the caller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sts {
    client: aws_sdk_sts::Client,
}

/// Who signs the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// Account id.
    pub account: String,
    /// ARN of the user, or of the session of a role.
    pub arn: String,
    /// Unique id.
    pub user_id: String,
}

/// A role to become.
#[derive(Clone, Debug, Default)]
pub struct AssumeRole {
    /// Role ARN.
    pub role_arn: String,
    /// Name that logs show.
    pub session_name: String,
    /// Session policy: the session may do what both this and the role allow.
    pub policy: Option<String>,
    /// Seconds, 900 to 43,200; none is 3600.
    pub duration_seconds: Option<i32>,
    /// What the role's trust policy may ask for.
    pub external_id: Option<String>,
}

/// A role's session.
#[derive(Clone, Debug)]
pub struct Session {
    /// What to sign with.
    pub credentials: Credentials,
    /// ARN of the session.
    pub arn: String,
    /// Milliseconds since 1970 when it ends.
    pub expires_ms: Option<i64>,
}

impl Sts {
    pub(crate) fn new(client: aws_sdk_sts::Client) -> Sts {
        Sts { client }
    }

    /// Who signs the requests. Every valid identity may ask this.
    pub async fn caller_identity(&self) -> Result<CallerIdentity, Error> {
        let call = Call::new("sts:GetCallerIdentity", "");
        let found = self.client.get_caller_identity().send().await;
        let found = found.map_err(|error| call.clone().failed(error))?;
        match (found.account, found.arn, found.user_id) {
            (Some(account), Some(arn), user_id) => {
                Ok(CallerIdentity { account, arn, user_id: user_id.unwrap_or_default() })
            }
            _ => Err(call.error(ErrorKind::InvalidResponse, "the answer has no identity")),
        }
    }

    /// Temporary credentials of a role.
    pub async fn assume_role(&self, assume: &AssumeRole) -> Result<Session, Error> {
        let call = Call::new("sts:AssumeRole", &assume.role_arn);
        let given = self
            .client
            .assume_role()
            .role_arn(&assume.role_arn)
            .role_session_name(&assume.session_name)
            .set_policy(assume.policy.clone())
            .set_duration_seconds(assume.duration_seconds)
            .set_external_id(assume.external_id.clone())
            .send()
            .await
            .map_err(|error| call.clone().failed(error))?;
        let (Some(credentials), Some(user)) = (given.credentials, given.assumed_role_user) else {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer has no credentials"));
        };
        Ok(Session {
            expires_ms: credentials.expiration.to_millis().ok(),
            credentials: Credentials::new(
                credentials.access_key_id,
                credentials.secret_access_key,
                Some(credentials.session_token),
            ),
            arn: user.arn,
        })
    }
}
