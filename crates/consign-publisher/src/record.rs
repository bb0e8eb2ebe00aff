//! What is to be delivered, and why something was not: what lies in queues as JSON.

use consign_model::{DeliveryId, InboxName, RouteName, SourceDigest};
use serde::{Deserialize, Serialize};

/// One object to deliver to one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// From where.
    pub source: Source,
    /// To where.
    pub target: Target,
    /// By which route.
    pub route: RouteName,
}

/// An object of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its bucket.
    pub bucket: String,
    /// The account that must own it.
    pub owner: String,
    /// Its key.
    pub key: String,
    /// Which version; none in a bucket without versioning, where the ETag pins what is copied.
    pub version_id: Option<String>,
}

impl Source {
    /// Which version, where that says which content: the null version, of a bucket that keeps none or
    /// kept none then, is replaced by the next.
    pub fn lasting_version(&self) -> Option<&str> {
        lasting(self.version_id.as_deref())
    }
}

fn lasting(version_id: Option<&str>) -> Option<&str> {
    version_id.filter(|id| *id != "null")
}

/// A place in an inbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Which inbox.
    pub inbox: InboxName,
    /// Its bucket.
    pub bucket: String,
    /// The account that must own it.
    pub owner: String,
    /// Its key there.
    pub key: String,
    /// The full ARN of the KMS key that the copy asks for; none leaves it to the bucket.
    pub kms_key: Option<String>,
}

/// A content of the repository, exactly. A delivered object says by its digest that it is this.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceId {
    /// Bucket of the source.
    pub bucket: String,
    /// Key of the source.
    pub key: String,
    /// Its version id, or the ETag with its quotes off where there is none.
    pub version: String,
}

impl SourceId {
    /// None where neither a version nor an ETag says which content is meant.
    pub(crate) fn of(
        source: &Source,
        version_id: Option<&str>,
        etag: Option<&str>,
    ) -> Option<SourceId> {
        let version = lasting(version_id).or(etag)?.to_owned();
        Some(SourceId { bucket: source.bucket.clone(), key: source.key.clone(), version })
    }

    /// What a delivered object's tag says.
    pub fn digest(&self) -> SourceDigest {
        SourceDigest::of(&self.bucket, &self.key, &self.version)
    }

    /// Under which name the record of its delivery lies.
    pub fn delivery(&self, target: &Target) -> DeliveryId {
        DeliveryId::of(&self.digest(), &target.bucket, &target.key)
    }
}

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Of which object; none when the message itself cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// To where; none when that was not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Why not.
    #[serde(flatten)]
    pub cause: Cause,
}

impl Reason {
    /// About a message as a whole.
    pub fn of_message(cause: Cause) -> Reason {
        Reason { source: None, target: None, cause }
    }

    /// Trying again may help without anybody changing anything.
    pub fn may_pass(&self) -> bool {
        matches!(self.cause, Cause::GivenUp { .. })
    }

    /// A person has to change something before trying again can help.
    pub fn is_alarm(&self) -> bool {
        match self.cause {
            Cause::Permanent { .. }
            | Cause::Different
            | Cause::Conflict { .. }
            | Cause::Unroutable { .. } => true,
            Cause::Unreadable { .. }
            | Cause::Foreign
            | Cause::SourceGone
            | Cause::GivenUp { .. } => false,
        }
    }
}

/// Why something was not delivered, to branch on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// The message is no event.
    Unreadable {
        /// The sentence of the parser.
        why: String,
    },
    /// The event is of a bucket that is not ours.
    Foreign,
    /// A route takes the object, and its key there is one that is never made.
    Unroutable {
        /// The sentence of the route.
        why: String,
    },
    /// The object is gone from the repository.
    SourceGone,
    /// Something else is in its place.
    Conflict {
        /// What it says that it is; none for an object that no publisher put there.
        there: Option<SourceDigest>,
    },
    /// What arrived is not what was sent: size or checksum differ.
    Different,
    /// Policy, key or credentials.
    Permanent {
        /// Which.
        what: Permanent,
    },
    /// Tried as often as the limits allow.
    GivenUp {
        /// How often the message was received.
        receives: u32,
    },
}

/// What only a person can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permanent {
    /// A policy says no.
    Denied,
    /// The KMS key is disabled, on its way out, or gone.
    KeyUnusable,
    /// The object lies in an archive, from which S3 copies nothing before it is restored.
    Archived,
    /// Credentials are missing, wrong or over.
    Credentials,
    /// The request makes no sense to the service.
    Refused,
}

impl Cause {
    /// The word for it, as in the messages that are put aside.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::Unreadable { .. } => "unreadable",
            Cause::Foreign => "foreign",
            Cause::Unroutable { .. } => "unroutable",
            Cause::SourceGone => "source-gone",
            Cause::Conflict { .. } => "conflict",
            Cause::Different => "different",
            Cause::Permanent { .. } => "permanent",
            Cause::GivenUp { .. } => "given-up",
        }
    }
}
