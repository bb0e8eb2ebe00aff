//! Everything an audit reads, as plain data. Each fact is known or says why it is not.

use consign_cloud::elsewhere::{ExternalFinding, MalwarePlan, Trail};
use consign_cloud::iam::AuthorizedIdentity;
use consign_cloud::kms::{GrantEntry, KeyInfo};
use consign_cloud::s3::bucket::{
    BucketEncryption, LifecycleRule, Ownership, PublicAccessBlock, Versioning,
};
use consign_cloud::s3::inspect::{AccessLog, Notification, ObjectLock};
use consign_model::{AccountId, LaneName, PartyName};

/// Something that was asked. What is known to be absent is an empty value of `T`, such as `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<T> {
    /// The answer.
    Is(T),
    /// Not looked at, because.
    Unknown(String),
}

impl<T> Fact<T> {
    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Is(value) => Some(value),
            Fact::Unknown(_) => None,
        }
    }

    /// Why there is none; empty for a known fact.
    pub fn why(&self) -> &str {
        match self {
            Fact::Is(_) => "",
            Fact::Unknown(why) => why,
        }
    }
}

impl<T> From<Result<T, consign_cloud::Error>> for Fact<T> {
    fn from(answer: Result<T, consign_cloud::Error>) -> Fact<T> {
        match answer {
            Ok(value) => Fact::Is(value),
            Err(error) => Fact::Unknown(error.to_string()),
        }
    }
}

/// All facts of an audit.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Buckets with their keys.
    pub buckets: Vec<BucketFacts>,
    /// The accounts that own them.
    pub accounts: Vec<AccountFacts>,
    /// The parties' users and roles.
    pub principals: Vec<PrincipalFacts>,
}

/// What is set on a bucket.
#[derive(Clone, Debug)]
pub struct BucketFacts {
    /// The lane it is for; none for a bucket outside the exchange.
    pub lane: Option<LaneName>,
    /// Its name.
    pub bucket: String,
    /// The account that should own it.
    pub owner: AccountId,
    /// Whether there is such a bucket.
    pub exists: Fact<bool>,
    /// Whether it is that account's.
    pub is_owners: Fact<bool>,
    /// Bucket policy.
    pub policy: Fact<Option<String>>,
    /// S3's opinion whether the policy is public.
    pub policy_public: Fact<Option<bool>>,
    /// Block Public Access of the bucket.
    pub block: Fact<Option<PublicAccessBlock>>,
    /// Object ownership.
    pub ownership: Fact<Option<Ownership>>,
    /// Default encryption.
    pub encryption: Fact<Option<BucketEncryption>>,
    /// Versioning.
    pub versioning: Fact<Versioning>,
    /// Whether deleting a version needs a second factor.
    pub mfa_delete: Fact<bool>,
    /// Lifecycle rules.
    pub lifecycle: Fact<Vec<LifecycleRule>>,
    /// Object Lock.
    pub object_lock: Fact<Option<ObjectLock>>,
    /// Server access log.
    pub log: Fact<Option<AccessLog>>,
    /// The bucket that the log goes to, when there is a log.
    pub log_target: Option<LogTarget>,
    /// Who is told of objects.
    pub notifications: Fact<Vec<Notification>>,
    /// The policy of each queue that is told, by ARN.
    pub queues: Vec<(String, Fact<Option<String>>)>,
    /// Where objects are copied to.
    pub replication: Fact<Vec<String>>,
    /// Where lists of objects are written to.
    pub inventories: Fact<Vec<String>>,
    /// Whether it is a website.
    pub website: Fact<bool>,
    /// Origins of web pages that may use it.
    pub cors: Fact<Vec<String>>,
    /// Access points.
    pub access_points: Fact<Vec<String>>,
    /// Multi-Region access points.
    pub multi_region_access_points: Fact<Vec<String>>,
    /// Locations of S3 Access Grants that cover it.
    pub access_grants: Fact<Vec<String>>,
    /// GuardDuty's plans for it.
    pub malware_plans: Fact<Vec<MalwarePlan>>,
    /// Active findings of Access Analyzer about it.
    pub external_findings: Fact<Vec<ExternalFinding>>,
    /// The key that should encrypt its objects.
    pub key: Option<KeyFacts>,
}

/// The bucket that receives an access log.
#[derive(Clone, Debug)]
pub struct LogTarget {
    /// Its policy.
    pub policy: Fact<Option<String>>,
    /// Its default encryption.
    pub encryption: Fact<Option<BucketEncryption>>,
}

/// A KMS key.
#[derive(Clone, Debug)]
pub struct KeyFacts {
    /// Alias or ARN it was looked for under.
    pub name: String,
    /// The account that should own it.
    pub owner: AccountId,
    /// The exchange declares it, so `consign apply` repairs it.
    pub declared: bool,
    /// What KMS tells of it.
    pub info: Fact<Option<KeyInfo>>,
    /// Names of its policies.
    pub policy_names: Fact<Vec<String>>,
    /// Its default policy.
    pub policy: Fact<String>,
    /// Grants.
    pub grants: Fact<Vec<GrantEntry>>,
    /// Whether it rotates.
    pub rotates: Fact<bool>,
}

impl KeyFacts {
    /// Its ARN, if it is there.
    pub fn arn(&self) -> Option<&str> {
        self.info.known()?.as_ref().map(|info| info.arn.as_str())
    }
}

/// An account that owns buckets or keys.
#[derive(Clone, Debug)]
pub struct AccountFacts {
    /// Which.
    pub account: AccountId,
    /// Block Public Access of the account.
    pub block: Fact<Option<PublicAccessBlock>>,
    /// Trails that record its region.
    pub trails: Fact<Vec<Trail>>,
    /// Analyzers of external access.
    pub analyzers: Fact<Vec<String>>,
    /// Every user and role with its policies.
    pub identities: Fact<Vec<AuthorizedIdentity>>,
}

/// A party's user or role.
#[derive(Clone, Debug)]
pub struct PrincipalFacts {
    /// The party.
    pub party: PartyName,
    /// Its account.
    pub account: AccountId,
    /// The principal.
    pub arn: String,
    /// Who may assume the role; `None` inside for a user, or when it does not exist.
    pub trust: Fact<Option<String>>,
    /// Inline and attached policies.
    pub policies: Fact<Vec<String>>,
}
