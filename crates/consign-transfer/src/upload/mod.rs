//! Uploads: the machine decides, the driver does.

pub(crate) mod driver;
pub mod machine;
mod single;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use consign_cloud::s3::Encryption;
use serde::{Deserialize, Serialize};

/// The object to make.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Where.
    pub bucket: String,
    /// Under which key.
    pub key: String,
    /// Refuse to replace an object.
    pub if_none_match: bool,
    /// Account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
    /// MIME type.
    pub content_type: Option<String>,
    /// `x-amz-meta-` headers.
    pub metadata: BTreeMap<String, String>,
    /// Encryption at rest asked for; none leaves it to the bucket.
    pub encryption: Option<Encryption>,
    /// Send any size by one PUT, for writers without `kms:Decrypt`, which S3 wants for parts
    /// under a KMS key. 5 GiB at most.
    pub single_put: bool,
}

/// What has been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Version, where the bucket keeps versions. None also when the answer to the last request was
    /// lost and only later it turned out that the object is there.
    pub version_id: Option<String>,
    /// CRC-64/NVME of the whole object, in S3's form.
    pub crc64nvme: String,
    /// Size.
    pub bytes: u64,
    /// Number of parts the source gave.
    pub parts: u32,
    /// How many of them an earlier run had sent.
    pub resumed_parts: u32,
    /// The fingerprints of all parts in order, those of earlier runs included.
    pub fingerprints: Vec<[u8; 32]>,
}

/// By how many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One PUT.
    Single,
    /// Multipart upload.
    Multipart,
}
