//! Does what a plan says, one call after the other, and nothing else.
//!
//! [`apply`] first looks again: if what it sees is not what the plan saw, it refuses. It stops at
//! the first failure. What has been done stays done, nothing is opened before everything that
//! guards it is in place, and planning again yields exactly the rest.

mod queues;

use crate::desired::{Desired, KeyArn, Keys};
use crate::error::{Error, ErrorKind};
use crate::hands::Hands;
use crate::observe::{LIFECYCLE_RULE, observe};
use crate::observed::{Encryption, Lifecycle};
use crate::plan::{Action, Left, PLAN_VERSION, Plan, Step, fingerprint, hex};
use consign_cloud::iam::{CreateRole, Holder};
use consign_cloud::kms::CreateKey;
use consign_cloud::s3::bucket::{
    BucketAlgorithm, BucketEncryption, CreateBucket, LifecycleRule, Ownership, PublicAccessBlock,
};
use consign_cloud::{Cloud, ErrorKind as CloudErrorKind};
use std::ops::ControlFlow;
use std::time::Duration;

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Applied {
    /// How many calls were made.
    pub steps: usize,
    /// The keys that were created.
    pub created_keys: Keys,
    /// What is left to others.
    pub left: Vec<Left>,
}

/// Called before each step with its number (from 0); [`ControlFlow::Break`] stops there.
pub type Watch<'a> = &'a mut (dyn FnMut(usize, &Step) -> ControlFlow<()> + Send);

/// How long to wait for a principal that was just created to be known everywhere. IAM is
/// eventually consistent: S3 and KMS refuse policies naming a user they have not heard of yet.
const PRINCIPAL_WAITS_SECONDS: [u64; 6] = [1, 2, 4, 8, 16, 29];

/// Applies `plan`. `told` are the keys of lanes in other parties' accounts that the plan was made
/// with ([`crate::Observed::told`]); empty if there were none. Dropped half way, at most one call
/// is in flight; plan and apply again.
///
/// # Errors
/// [`ErrorKind::Stale`] if the exchange file or the world is not what the plan saw,
/// [`ErrorKind::NoHands`] if a step is in an account without credentials,
/// [`ErrorKind::PrincipalMissing`], [`ErrorKind::HoldsObjects`], [`ErrorKind::Interrupted`] and
/// [`ErrorKind::Service`] from a step, named in the error.
pub async fn apply(
    plan: &Plan,
    desired: &Desired,
    hands: &Hands,
    told: &Keys,
    watch: Watch<'_>,
) -> Result<Applied, Error> {
    check_fresh(plan, desired, hands, told).await?;
    let mut doing = Doing { stand_ins: Vec::new(), created_keys: Keys::new() };
    for (number, step) in plan.steps.iter().enumerate() {
        if watch(number, step).is_break() {
            let message = format!("stopped before step {} of {}", number + 1, plan.steps.len());
            return Err(
                Error::new(ErrorKind::Interrupted, message).with_hint("run it again to go on")
            );
        }
        let cloud = hands.in_account(&step.account).ok_or_else(|| {
            let message = format!("no credentials for account {}: {}", step.account, step.words);
            Error::new(ErrorKind::NoHands, message)
        })?;
        doing.step(step, cloud).await?;
    }
    Ok(Applied {
        steps: plan.steps.len(),
        created_keys: doing.created_keys,
        left: plan.left.clone(),
    })
}

async fn check_fresh(
    plan: &Plan,
    desired: &Desired,
    hands: &Hands,
    told: &Keys,
) -> Result<(), Error> {
    let digest = hex(&desired.digest);
    let stale = |message: &str| {
        Err(Error::new(ErrorKind::Stale, message).with_hint("make a new plan: consign plan"))
    };
    if plan.version != PLAN_VERSION {
        return stale("this plan was written by another version of consign");
    }
    if plan.exchange_digest != digest {
        return stale("the exchange file is not the one this plan was made from");
    }
    let now = observe(desired, hands).await?.told(told);
    if fingerprint(&now) != plan.fingerprint {
        return stale("what is deployed has changed since this plan was made");
    }
    Ok(())
}

/// Stand-ins of the plan and the ARNs that replace them.
struct Doing {
    stand_ins: Vec<(KeyArn, KeyArn)>,
    created_keys: Keys,
}

impl Doing {
    async fn step(&mut self, step: &Step, cloud: &Cloud) -> Result<(), Error> {
        let mut waits = PRINCIPAL_WAITS_SECONDS.iter();
        loop {
            let Err(error) = self.call(&step.action, cloud).await else { return Ok(()) };
            let unknown_principal = is_unknown_principal(&error);
            match waits.next() {
                Some(seconds) if unknown_principal || is_busy(&error) => {
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                }
                _ => return Err(failed(step, error, unknown_principal)),
            }
        }
    }

    async fn call(&mut self, action: &Action, cloud: &Cloud) -> Result<(), CallError> {
        let (s3, kms, iam) = (cloud.s3(), cloud.kms(), cloud.iam());
        match action {
            Action::CreateUser { path, name, tags } => {
                match iam.create_user(path, name, tags).await {
                    Err(error) if error.kind() != CloudErrorKind::Conflict => Err(error)?,
                    _ => {}
                }
            }
            Action::CreateRole { path, name, trust, tags } => {
                let create = CreateRole {
                    path: path.clone(),
                    name: name.clone(),
                    trust_policy: trust.clone(),
                    description: String::new(),
                    tags: tags.clone(),
                };
                match iam.create_role(&create).await {
                    Err(error) if error.kind() != CloudErrorKind::Conflict => Err(error)?,
                    _ => {}
                }
            }
            Action::PutTrust { role, trust } => iam.put_trust_policy(role, trust).await?,
            Action::CreateKey { lane, stand_in, policy, description, tags } => {
                let (policy, description) = (policy.clone(), description.clone());
                let key =
                    kms.create_key(&CreateKey { policy, description, tags: tags.clone() }).await?;
                let arn = KeyArn::new(key.arn);
                self.stand_ins.push((stand_in.clone(), arn.clone()));
                self.created_keys.insert(lane.clone(), arn);
            }
            Action::CreateAlias { alias, key } => {
                kms.create_alias(alias, self.key(key)).await?;
            }
            Action::EnableRotation { key } => kms.enable_rotation(self.key(key)).await?,
            Action::CancelKeyDeletion { key } => kms.cancel_deletion(self.key(key)).await?,
            Action::EnableKey { key } => kms.enable_key(self.key(key)).await?,
            Action::PutKeyPolicy { key, policy } => {
                kms.put_key_policy(self.key(key), policy).await?;
            }
            Action::TagKey { key, tags } => kms.tag_key(self.key(key), tags).await?,
            Action::CreateBucket { bucket, account_regional } => {
                let create = CreateBucket {
                    bucket: bucket.clone(),
                    account_regional: *account_regional,
                    owner_enforced: true,
                    object_lock: false,
                };
                match s3.create_bucket(&create).await {
                    Err(error) if error.code() != Some("BucketAlreadyOwnedByYou") => Err(error)?,
                    _ => {}
                }
            }
            Action::TagBucket { bucket, tags } => s3.put_bucket_tags(bucket, tags).await?,
            Action::BlockPublicAccess { bucket } => {
                s3.put_public_access_block(bucket, PublicAccessBlock::ALL).await?;
            }
            Action::EnforceOwner { bucket } => {
                s3.put_ownership(bucket, Ownership::BucketOwnerEnforced).await?;
            }
            Action::PutEncryption { bucket, encryption } => {
                s3.put_encryption(bucket, &self.encryption(encryption)).await?;
            }
            Action::EnableVersioning { bucket } => s3.put_versioning(bucket, true).await?,
            Action::PutLifecycle { bucket, lifecycle } => {
                let mut rules = s3.get_lifecycle(bucket).await?;
                rules.retain(|rule| rule.id != LIFECYCLE_RULE);
                if rules.iter().any(|rule| rule.has_more) {
                    return Err(CallError::ForeignLifecycle(bucket.clone()));
                }
                rules.push(lifecycle_rule(*lifecycle));
                s3.put_lifecycle(bucket, &rules).await?;
            }
            Action::PutBucketPolicy { bucket, policy } => {
                s3.put_bucket_policy(bucket, &self.filled(policy)).await?;
            }
            Action::PutIdentityPolicy { user, principal, name, policy } => {
                iam.put_policy(holder(*user, principal), name, &self.filled(policy)).await?;
            }
            Action::DeleteIdentityPolicy { user, principal, name } => {
                iam.delete_policy(holder(*user, principal), name).await?;
            }
            Action::CreateQueue { .. }
            | Action::TagQueue { .. }
            | Action::SetQueueAttributes { .. }
            | Action::DeleteQueue { .. }
            | Action::PutNotification { .. }
            | Action::RemoveNotification { .. } => queues::call(action, cloud).await?,
            Action::CheckEmpty { bucket } => {
                if !s3.is_empty(bucket).await? {
                    return Err(CallError::HoldsObjects(bucket.clone()));
                }
            }
            Action::DeleteBucket { bucket } => s3.delete_bucket(bucket).await?,
            Action::DeleteAlias { alias } => kms.delete_alias(alias).await?,
            Action::ScheduleKeyDeletion { key, days } => {
                kms.schedule_deletion(self.key(key), *days).await?;
            }
            Action::DeleteUser { name } => {
                for key in iam.list_access_keys(name).await? {
                    iam.delete_access_key(name, &key.id).await?;
                }
                iam.delete_user(name).await?;
            }
            Action::DeleteRole { name } => iam.delete_role(name).await?,
        }
        Ok(())
    }

    /// The ARN behind a stand-in.
    fn key<'a>(&'a self, key: &'a KeyArn) -> &'a str {
        let known = self.stand_ins.iter().find(|(stand_in, _)| stand_in == key);
        known.map_or(key, |(_, arn)| arn).as_str()
    }

    /// A document with its stand-ins replaced. A stand-in is always a whole JSON string.
    fn filled(&self, document: &str) -> String {
        self.stand_ins.iter().fold(document.to_owned(), |text, (stand_in, arn)| {
            text.replace(&format!("\"{stand_in}\""), &format!("\"{arn}\""))
        })
    }

    fn encryption(&self, wanted: &Encryption) -> BucketEncryption {
        let key = wanted.key.as_ref().map(|key| self.key(&KeyArn::new(key)).to_owned());
        BucketEncryption {
            algorithm: match wanted.algorithm.as_str() {
                "aws:kms" => BucketAlgorithm::SseKms,
                "aws:kms:dsse" => BucketAlgorithm::DsseKms,
                _ => BucketAlgorithm::SseS3,
            },
            kms_key: key,
            bucket_key: wanted.bucket_key,
            ssec_blocked: Some(wanted.customer_keys_blocked),
        }
    }
}

fn holder(user: bool, name: &str) -> Holder<'_> {
    if user { Holder::User(name) } else { Holder::Role(name) }
}

fn lifecycle_rule(lifecycle: Lifecycle) -> LifecycleRule {
    let days = |days: u32| Some(i32::try_from(days).unwrap_or(i32::MAX));
    LifecycleRule {
        id: LIFECYCLE_RULE.to_owned(),
        enabled: true,
        expire_days: days(lifecycle.expire_days),
        noncurrent_days: days(lifecycle.noncurrent_days),
        abort_multipart_days: days(lifecycle.unfinished_upload_days),
        ..LifecycleRule::default()
    }
}

enum CallError {
    Cloud(consign_cloud::Error),
    HoldsObjects(String),
    ForeignLifecycle(String),
    ForeignNotifications(String),
}

impl From<consign_cloud::Error> for CallError {
    fn from(error: consign_cloud::Error) -> CallError {
        CallError::Cloud(error)
    }
}

fn is_unknown_principal(error: &CallError) -> bool {
    let CallError::Cloud(error) = error else { return false };
    let malformed = error.code().is_some_and(|code| code.starts_with("MalformedPolicy"));
    malformed && error.message().is_some_and(|text| text.to_lowercase().contains("principal"))
}

/// S3 is still busy with an earlier change of the same bucket; or SQS, which wants a minute between
/// the deletion of a queue and another of its name.
fn is_busy(error: &CallError) -> bool {
    let CallError::Cloud(error) = error else { return false };
    let code = error.code().unwrap_or_default();
    code == "OperationAborted" || code.contains("QueueDeletedRecently")
}

fn failed(step: &Step, error: CallError, unknown_principal: bool) -> Error {
    match error {
        CallError::HoldsObjects(bucket) => Error::new(
            ErrorKind::HoldsObjects,
            format!("bucket {bucket} still holds objects or older versions; nothing was deleted"),
        )
        .with_hint(
            "access is revoked: `consign apply` opens it again; otherwise wait until everything \
             has expired, or delete it, and run destroy again",
        ),
        CallError::ForeignLifecycle(bucket) => Error::new(
            ErrorKind::NotOurs,
            format!("bucket {bucket} has lifecycle rules that would be lost by writing ours"),
        )
        .with_hint("remove those rules, or name another bucket"),
        CallError::ForeignNotifications(bucket) => Error::new(
            ErrorKind::NotOurs,
            format!("bucket {bucket} tells others than queues of its objects, which would be lost"),
        )
        .with_hint("remove those notifications, or name another bucket"),
        CallError::Cloud(error) if unknown_principal => Error::new(
            ErrorKind::PrincipalMissing,
            format!("could not {}: the policy names a principal that does not exist", step.words),
        )
        .with_hint("let the other party create its user or role, then apply again")
        .with_source(error),
        CallError::Cloud(error) if error.code() == Some("BucketNotEmpty") => {
            let message = format!("could not {}: it holds objects", step.words);
            Error::new(ErrorKind::HoldsObjects, message).with_source(error)
        }
        CallError::Cloud(error) => {
            let hint = error.hint();
            let hint =
                hint.unwrap_or_else(|| "run it again: it goes on where it stopped".to_owned());
            let message = format!("could not {} in account {}", step.words, step.account);
            Error::new(ErrorKind::Service, message).with_hint(hint).with_source(error)
        }
    }
}
