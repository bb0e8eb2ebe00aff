//! A lane closed to its parties while its owner's administrator moves what lies on it.
//!
//! On an open lane nobody can move an object: whoever reads may not write, whoever writes may not
//! read, and nobody overwrites. So for as long as it takes, bucket and keys are given policies that
//! shut everybody out but one administrator, who gets and puts and deletes nothing; then they get
//! back the policies of the exchange file. Closed first, opened last: stopped at any point, the
//! lane is closed, and `consign apply` opens it again.
//!
//! The administrator sees what S3 sees: objects without their encryption at rest, and as their
//! sender sealed them.

use crate::desired::{DesiredLane, KeyArn, TAG_EXCHANGE, TAG_LANE};
use crate::error::{Error, ErrorKind};
use crate::policies::{Grants, bucket, key};
use consign_cloud::s3::ListRequest;
use consign_cloud::{Cloud, ErrorKind as CloudErrorKind};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often it is asked whether the policies have taken effect, which AWS promises for "soon".
const ASKED_MAX: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// A lane that is closed for maintenance. End it with [`Maintenance::end`], whatever happened in it.
pub struct Maintenance<'a> {
    lane: &'a DesiredLane,
    cloud: &'a Cloud,
    /// The key of the lane as declared now.
    current: Option<KeyArn>,
    keys: BTreeSet<KeyArn>,
    administrator: Vec<String>,
}

impl<'a> Maintenance<'a> {
    /// Closes the lane to everybody but the administrator whose credentials `cloud` has.
    ///
    /// # Errors
    /// When the account's services refuse. The lane may then be closed.
    pub async fn begin(
        lane: &'a DesiredLane,
        cloud: &'a Cloud,
        current: Option<&KeyArn>,
    ) -> Result<Maintenance<'a>, Error> {
        let identity = cloud.sts().caller_identity().await;
        let identity =
            identity.map_err(|error| failed("tell whose credentials these are", error))?;
        if identity.account != lane.owner.as_ref() {
            let message = format!(
                "lane `{}` belongs to account {}, and these credentials to account {}",
                lane.name, lane.owner, identity.account
            );
            return Err(Error::new(ErrorKind::NotOurs, message));
        }
        let mut maintenance = Maintenance {
            lane,
            cloud,
            current: current.filter(|_| lane.has_key()).cloned(),
            keys: BTreeSet::new(),
            administrator: principal_patterns(&identity.arn),
        };
        let policy = bucket::maintenance(lane, &maintenance.administrator).to_json();
        let put = cloud.s3().put_bucket_policy(lane.bucket.as_ref(), &policy).await;
        put.map_err(|error| failed("close the bucket", error))?;
        if let Some(key) = maintenance.current.clone() {
            maintenance.include(&key).await?;
        }
        maintenance.wait().await?;
        Ok(maintenance)
    }

    /// Gives the administrator the use of a key that objects of the lane lie under.
    ///
    /// # Errors
    /// When it is no key of this lane: its policy is not ours to change.
    pub async fn include(&mut self, key: &KeyArn) -> Result<(), Error> {
        if self.keys.contains(key) {
            return Ok(());
        }
        let kms = self.cloud.kms();
        let tags = kms.key_tags(key.as_str()).await;
        let tags = tags.map_err(|error| failed("read the tags of a key", error))?;
        let is = |tag: &str, value: &str| tags.get(tag).is_some_and(|found| found == value);
        if !is(TAG_EXCHANGE, self.lane.exchange.as_ref()) || !is(TAG_LANE, self.lane.name.as_ref())
        {
            let message = format!(
                "objects of lane `{}` lie under the key {key}, which is not a key of this lane",
                self.lane.name
            );
            return Err(Error::new(ErrorKind::NotOurs, message).with_hint(
                "allow the administrator kms:Decrypt with it yourself, or move those objects by hand",
            ));
        }
        let policy = key::maintenance(self.lane, &self.administrator).to_json();
        let put = kms.put_key_policy(key.as_str(), &policy).await;
        put.map_err(|error| failed("close a key", error))?;
        self.keys.insert(key.clone());
        Ok(())
    }

    /// Policies take effect at some time after the call.
    async fn wait(&self) -> Result<(), Error> {
        let request = ListRequest {
            bucket: self.lane.bucket.to_string(),
            prefix: self.lane.prefix.clone(),
            ..ListRequest::default()
        };
        for asked in 1.. {
            match self.cloud.s3().list_objects(&request).await {
                Err(error) if error.kind() == CloudErrorKind::AccessDenied && asked < ASKED_MAX => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(failed("list the closed bucket", error)),
                Ok(_) => break,
            }
        }
        Ok(())
    }

    /// Opens the lane again, as the exchange file declares it: the keys first, the bucket last.
    ///
    /// # Errors
    /// When the account's services refuse; the lane stays closed until `consign apply`.
    pub async fn end(self) -> Result<(), Error> {
        let policy = key::policy(self.lane, Grants::Given).to_json();
        for key in &self.keys {
            let put = self.cloud.kms().put_key_policy(key.as_str(), &policy).await;
            put.map_err(|error| failed("open a key again", error))?;
        }
        let policy = bucket::policy(self.lane, self.current.as_ref(), Grants::Given).to_json();
        let put = self.cloud.s3().put_bucket_policy(self.lane.bucket.as_ref(), &policy).await;
        put.map_err(|error| failed("open the bucket again", error))
    }
}

/// What `aws:PrincipalArn` is for whoever has this identity. STS names a role's session without the
/// path of the role, so a role may have any path.
fn principal_patterns(arn: &str) -> Vec<String> {
    let session = arn.strip_prefix("arn:aws:sts::").and_then(|rest| {
        let (account, rest) = rest.split_once(":assumed-role/")?;
        let (role, _session) = rest.rsplit_once('/')?;
        Some((account, role))
    });
    match session {
        Some((account, role)) => vec![
            format!("arn:aws:iam::{account}:role/{role}"),
            format!("arn:aws:iam::{account}:role/*/{role}"),
        ],
        None => vec![arn.to_owned()],
    }
}

fn failed(what: &str, error: consign_cloud::Error) -> Error {
    let hint = error.hint().unwrap_or_else(|| {
        "`consign apply` opens a lane that was left closed; then run this again".to_owned()
    });
    Error::new(ErrorKind::Service, format!("could not {what}")).with_hint(hint).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_role() {
        let cases: [(&str, &[&str]); 3] = [
            ("arn:aws:iam::111111111111:user/ops/ann", &["arn:aws:iam::111111111111:user/ops/ann"]),
            ("arn:aws:iam::111111111111:root", &["arn:aws:iam::111111111111:root"]),
            (
                "arn:aws:sts::111111111111:assumed-role/admin/ann@acme",
                &["arn:aws:iam::111111111111:role/admin", "arn:aws:iam::111111111111:role/*/admin"],
            ),
        ];
        for (arn, patterns) in cases {
            assert_eq!(principal_patterns(arn), patterns);
        }
    }
}
