//! What is to be delivered, what was, and why something was not.

use serde::{Deserialize, Serialize};

use crate::failure::Permanent;

/// One object to deliver to one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// From where.
    pub source: Source,
    /// To where.
    pub target: Target,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its bucket.
    pub bucket: String,
    /// The account that must own it.
    pub owner: String,
    /// Its key there.
    pub key: String,
    /// The full ARN of the KMS key that the copy asks for; none leaves it to the bucket.
    pub kms_key: Option<String>,
}

/// A content of the repository, exactly: what a delivered object says that it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceId {
    /// Bucket of the source.
    pub bucket: String,
    /// Key of the source.
    pub key: String,
    /// Its version id, or the ETag with its quotes off where there is none.
    pub version: String,
}

/// What HEAD says of an object at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct There {
    /// At the target: which content it says that it is. None for a source, and for an object that
    /// no publisher put there.
    pub of: Option<SourceId>,
    /// Version id, in a bucket with versioning.
    pub version_id: Option<String>,
    /// Without quotes.
    pub etag: String,
    /// Size.
    pub bytes: u64,
    /// CRC-64/NVME of the whole, where it is known to who asks.
    pub checksum_crc64nvme: Option<String>,
}

/// The record of a delivery, left beside it so that whoever owns the inbox can check what came
/// from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What.
    pub of: SourceId,
    /// Where to.
    pub target: Target,
    /// Its version there.
    pub target_version_id: Option<String>,
    /// Size of both.
    pub bytes: u64,
    /// CRC-64/NVME of both; none where one of them was not to be had, and only sizes were
    /// compared.
    pub checksum_crc64nvme: Option<String>,
}

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What was to be done; none when the message itself cannot be read.
    pub task: Option<Task>,
    /// Why not.
    pub cause: Cause,
}

impl Reason {
    /// A person has to change something before trying again can help.
    pub fn is_alarm(&self) -> bool {
        match self.cause {
            Cause::Permanent { .. } | Cause::Different | Cause::Conflict { .. } => true,
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
    /// The event is of a bucket that is not ours, or of an object that no route takes.
    Foreign,
    /// The object is gone from the repository.
    SourceGone,
    /// Something else is in its place.
    Conflict {
        /// What it says that it is; none for an object that no publisher put there.
        there: Option<SourceId>,
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
