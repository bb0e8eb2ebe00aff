//! What the store remembers, as it lies in the database: JSON values under ordered keys.

use std::collections::BTreeMap;

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

/// Bucket name → [`Bucket`].
pub(super) const BUCKETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("s3.buckets");
/// (bucket, key, newest first) → [`Version`]. The third part is `u64::MAX - sequence`.
pub(super) const VERSIONS: TableDefinition<'_, (&str, &[u8], u64), &[u8]> =
    TableDefinition::new("s3.versions");
/// (content, offset after the segment) → [`Segment`].
pub(super) const SEGMENTS: TableDefinition<'_, (u128, u64), &[u8]> =
    TableDefinition::new("s3.segments");
/// (bucket, key, upload id) → [`Upload`].
pub(super) const UPLOADS: TableDefinition<'_, (&str, &[u8], &str), &[u8]> =
    TableDefinition::new("s3.uploads");
/// (upload id, part number) → [`Part`].
pub(super) const PARTS: TableDefinition<'_, (&str, u16), &[u8]> = TableDefinition::new("s3.parts");
/// Name → the last number given.
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("s3.counters");

/// A bucket and all its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) created_ms: u64,
    #[serde(default)]
    pub(crate) versioning: Versioning,
    /// `BucketOwnerEnforced`, `BucketOwnerPreferred`, `ObjectWriter`; `None` after a DELETE.
    #[serde(default)]
    pub(crate) ownership: Option<String>,
    /// The policy document, exactly as it was put.
    #[serde(default)]
    pub(crate) policy: Option<String>,
    #[serde(default)]
    pub(crate) public_access: Option<PublicAccessBlock>,
    #[serde(default)]
    pub(crate) encryption: DefaultEncryption,
    #[serde(default)]
    pub(crate) tags: Vec<(String, String)>,
    /// Whom the bucket tells what.
    #[serde(default)]
    pub(crate) notifications: Vec<Notification>,
    /// Configurations kept as the XML that was put: `lifecycle`.
    #[serde(default)]
    pub(crate) documents: BTreeMap<String, String>,
    /// Below which size lifecycle rules leave an object in its storage class, as it was put.
    #[serde(default)]
    pub(crate) transition_minimum: Option<String>,
    /// The policy, parsed by whoever evaluates it: the store neither reads nor keeps it.
    #[serde(skip)]
    pub(crate) policy_cache: crate::s3::ask::PolicyCache,
}

/// A queue that is told of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notification {
    pub(crate) id: String,
    pub(crate) queue_arn: String,
    /// `s3:ObjectCreated:*` and so on; never empty.
    pub(crate) events: Vec<String>,
    /// What keys begin with; empty is any.
    pub(crate) prefix: String,
    /// What keys end with; empty is any.
    pub(crate) suffix: String,
}

/// Whether overwriting keeps the old version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Versioning {
    #[default]
    Never,
    Enabled,
    Suspended,
}

/// The four switches that keep a bucket from the public.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublicAccessBlock {
    pub(crate) block_public_acls: bool,
    pub(crate) ignore_public_acls: bool,
    pub(crate) block_public_policy: bool,
    pub(crate) restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// What every new bucket has.
    pub(crate) fn all() -> PublicAccessBlock {
        PublicAccessBlock {
            block_public_acls: true,
            ignore_public_acls: true,
            block_public_policy: true,
            restrict_public_buckets: true,
        }
    }
}

/// How objects are encrypted that say nothing about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefaultEncryption {
    pub(crate) algorithm: SseAlgorithm,
    /// As it was put: key id, ARN or alias. `None` with KMS means `alias/aws/s3`.
    pub(crate) kms_key: Option<String>,
    pub(crate) bucket_key: bool,
    /// Whether objects with customer-provided keys are refused.
    pub(crate) blocks_customer_keys: bool,
}

impl Default for DefaultEncryption {
    fn default() -> Self {
        DefaultEncryption {
            algorithm: SseAlgorithm::S3,
            kms_key: None,
            bucket_key: false,
            blocks_customer_keys: false,
        }
    }
}

/// The three modes in which S3 holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SseAlgorithm {
    #[serde(rename = "AES256")]
    S3,
    #[serde(rename = "aws:kms")]
    Kms,
    #[serde(rename = "aws:kms:dsse")]
    KmsDual,
}

impl SseAlgorithm {
    pub(crate) fn parse(text: &str) -> Option<SseAlgorithm> {
        match text {
            "AES256" => Some(SseAlgorithm::S3),
            "aws:kms" => Some(SseAlgorithm::Kms),
            "aws:kms:dsse" => Some(SseAlgorithm::KmsDual),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            SseAlgorithm::S3 => "AES256",
            SseAlgorithm::Kms => "aws:kms",
            SseAlgorithm::KmsDual => "aws:kms:dsse",
        }
    }
}

/// One version of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Version {
    /// `None` is the null version.
    pub(crate) version_id: Option<String>,
    pub(crate) modified_ms: u64,
    /// `None` is a delete marker.
    pub(crate) object: Option<Object>,
    /// The account that wrote it.
    pub(crate) account: String,
}

impl Version {
    pub(crate) fn id_text(&self) -> &str {
        self.version_id.as_deref().unwrap_or("null")
    }
}

/// What is known about a content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    /// The rows of [`SEGMENTS`]; random.
    #[serde(with = "hex_u128")]
    pub(crate) content: u128,
    pub(crate) bytes: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) seal: Seal,
    #[serde(default)]
    pub(crate) checksum: Option<Checksum>,
    /// How many parts a multipart upload had.
    #[serde(default)]
    pub(crate) parts: Option<u16>,
    pub(crate) about: About,
}

/// What the writer said about a content: returned with it, and never interpreted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct About {
    /// `content-type`, `cache-control` and their like, by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// `x-amz-meta-…` without the prefix.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) storage_class: Option<String>,
}

/// How the data key of a content is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Seal {
    /// Under the service's own key.
    S3 {
        #[serde(with = "hex_bytes")]
        wrapped: Vec<u8>,
    },
    /// Under a KMS key.
    Kms {
        #[serde(with = "hex_bytes")]
        wrapped: Vec<u8>,
        key_arn: String,
        context: BTreeMap<String, String>,
        bucket_key: bool,
        /// The first layer's key under the service's own, hex, when there are two layers.
        #[serde(default)]
        inner: Option<String>,
    },
    /// Under a key that only the client has.
    Customer {
        #[serde(with = "hex_bytes")]
        wrapped: Vec<u8>,
    },
}

/// A checksum of a content, as S3 keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    /// `CRC64NVME` and so on.
    pub(crate) algorithm: String,
    /// Base64; a composite has `-N` behind it.
    pub(crate) value: String,
    pub(crate) composite: bool,
}

impl Checksum {
    pub(crate) fn kind(&self) -> &'static str {
        if self.composite { "COMPOSITE" } else { "FULL_OBJECT" }
    }
}

/// A run of a content: the blob that holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Segment {
    #[serde(with = "hex_u128")]
    pub(crate) blob: u128,
    pub(crate) bytes: u64,
    /// The part it came from; 1 when the object came in one piece.
    pub(crate) part: u16,
    #[serde(default)]
    pub(crate) checksum: Option<Checksum>,
}

/// A multipart upload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) started_ms: u64,
    pub(crate) account: String,
    pub(crate) initiator: String,
    pub(crate) seal: Seal,
    pub(crate) about: About,
    /// Computed of every part.
    pub(crate) checksum_algorithm: String,
    pub(crate) composite: bool,
    /// Whether the client named the algorithm; if not, it is our default and not echoed.
    pub(crate) checksum_declared: bool,
}

/// A part of an upload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    #[serde(with = "hex_u128")]
    pub(crate) blob: u128,
    pub(crate) bytes: u64,
    pub(crate) etag: String,
    pub(crate) checksum: Checksum,
    pub(crate) modified_ms: u64,
}

/// JSON has no 128-bit numbers.
mod hex_u128 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

/// Wrapped keys are short: hex is good enough.
mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
