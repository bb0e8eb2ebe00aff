//! What is to be delivered, what was, and why something was not.

use consign_cloud::s3::Checksums;
use consign_model::{DeliveryId, InboxName, Labels, RouteName, SourceDigest};
use serde::{Deserialize, Serialize};

use crate::failure::Permanent;

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
    /// What a delivered object's tag says.
    pub fn digest(&self) -> SourceDigest {
        SourceDigest::of(&self.bucket, &self.key, &self.version)
    }

    /// Under which name the record of its delivery lies.
    pub fn delivery(&self, target: &Target) -> DeliveryId {
        DeliveryId::of(&self.digest(), &target.bucket, &target.key)
    }
}

/// What HEAD says of a source, and its tags where a route carries some along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct There {
    /// Version id, in a bucket with versioning.
    pub version_id: Option<String>,
    /// Without quotes.
    pub etag: String,
    /// Size.
    pub bytes: u64,
    /// What S3 has of the whole.
    pub checksums: Checksums,
    /// MIME type.
    pub content_type: Option<String>,
    /// All of its metadata, and its tags where some route carries any. Which of them go along is the
    /// route's to say.
    pub labels: Labels,
}

/// What the tags of a target say: its content, and whatever is told with it, is not the
/// publisher's to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Which content it says that it is; none for an object that no publisher put there.
    pub of: Option<SourceDigest>,
    /// Version id, in a bucket with versioning.
    pub version_id: Option<String>,
}

/// What there is to do about an object that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The object; none if it is gone and where it was to go is known all the same.
    pub content: Option<There>,
    /// One for each place that it goes to.
    pub tasks: Vec<Task>,
    /// Why it does not go where a route would have it.
    pub refused: Vec<Cause>,
}

/// A delivery that was made, for the record beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What.
    pub of: SourceId,
    /// By which route.
    pub route: RouteName,
    /// Where to.
    pub target: Target,
    /// Its version there.
    pub target_version_id: Option<String>,
    /// What the source was; none when it was gone before this was known to be made.
    pub content: Option<There>,
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
