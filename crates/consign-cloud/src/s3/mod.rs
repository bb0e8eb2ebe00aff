//! S3: objects, multipart uploads, listings, bucket configuration, presigned URLs.
//!
//! Calls that move object data ([`S3::put_object`], [`S3::upload_part`], [`S3::get_range`],
//! [`S3::copy_object`], [`S3::upload_part_copy`]) are tried once; their payload is not hashed for the signature, its integrity is the explicit and
//! signed `x-amz-checksum-crc64nvme` header, which S3 checks before it answers. All other calls
//! are retried by the SDK on throttling and server faults.

pub(crate) mod body;
pub mod bucket;
mod checksums;
mod copy;
mod encryption;
pub mod inspect;
mod list;
mod multipart;
mod notify;
mod object;
mod presign;
pub(crate) mod said_twice;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

pub use checksums::Checksums;
pub use copy::CopyObject;
pub use encryption::{CustomerKey, Encryption};
pub use list::{Entry, ListRequest, Page, UploadEntry, UploadsPage, VersionEntry, VersionsPage};
pub use multipart::{CompleteMultipart, CompletedPart, ListedPart, MultipartTarget, UploadPart};
pub use notify::QueueNotification;

use crate::settings::Timeouts;

/// Objects and buckets of one S3. Cheap to clone.
#[derive(Clone, Debug)]
pub struct S3 {
    control: aws_sdk_s3::Client,
    data: aws_sdk_s3::Client,
    timeouts: Timeouts,
    region: String,
}

impl S3 {
    pub(crate) fn new(
        control: aws_sdk_s3::Client,
        data: aws_sdk_s3::Client,
        timeouts: Timeouts,
        region: &str,
    ) -> S3 {
        S3 { control, data, timeouts, region: region.to_owned() }
    }
}

/// An object to put, whole.
#[derive(Debug, Default)]
pub struct PutObject {
    /// Where.
    pub bucket: String,
    /// Under which key.
    pub key: String,
    /// What.
    pub body: Body,
    /// CRC-64/NVME of the whole body, base64 of its 8 big-endian bytes. With a streamed body and
    /// none given, S3 gets it as a trailer, computed on the way.
    pub checksum_crc64nvme: Option<String>,
    /// Refuse (412) when the key exists.
    pub if_none_match: bool,
    /// Account that must own the bucket, else 403: no putting into a bucket somebody else made
    /// under a guessed name.
    pub expected_bucket_owner: Option<String>,
    /// MIME type.
    pub content_type: Option<String>,
    /// `x-amz-meta-` headers.
    pub metadata: BTreeMap<String, String>,
    /// Object tags.
    pub tags: BTreeMap<String, String>,
    /// Encryption at rest asked for by this request; none leaves it to the bucket.
    pub encryption: Option<Encryption>,
}

/// The bytes of a request.
pub enum Body {
    /// In memory, sent without a copy.
    Bytes(Bytes),
    /// Produced while it is sent: exactly `bytes` bytes arrive through `parts`.
    Stream {
        /// Length in all.
        bytes: u64,
        /// The pieces in order; an error ends the request with [`ErrorKind::Source`](crate::ErrorKind::Source).
        parts: mpsc::Receiver<Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>,
    },
}

impl Body {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Stream { bytes, .. } => *bytes,
        }
    }

    /// True for a body of no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Body {
    fn default() -> Body {
        Body::Bytes(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Bytes(bytes.into())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

/// What S3 says of an object it has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutDone {
    /// Version, in a bucket with versioning.
    pub version_id: Option<String>,
    /// Entity tag, with its quotes.
    pub etag: Option<String>,
    /// CRC-64/NVME of the whole object as S3 holds it, where the server says.
    pub checksum_crc64nvme: Option<String>,
    /// All that it says, in whatever algorithm.
    pub checksums: Checksums,
    /// `AES256`, `aws:kms` or `aws:kms:dsse`, where the server says.
    pub encryption: Option<String>,
    /// ARN of the KMS key used.
    pub kms_key: Option<String>,
}

/// An object to read, or part of one.
#[derive(Clone, Debug, Default)]
pub struct GetObject {
    /// Where.
    pub bucket: String,
    /// Under which key.
    pub key: String,
    /// Which version; none is the newest.
    pub version_id: Option<String>,
    /// Only if its entity tag is still this (else 412), so that all ranges come from one object.
    pub if_match: Option<String>,
    /// Account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
    /// The SSE-C key it was put with.
    pub customer_key: Option<CustomerKey>,
}

/// What came with a range of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRead {
    /// Size of the whole object.
    pub object_bytes: u64,
    /// Entity tag.
    pub etag: Option<String>,
    /// Version.
    pub version_id: Option<String>,
}

/// What HEAD tells of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Size.
    pub bytes: u64,
    /// Entity tag.
    pub etag: Option<String>,
    /// Version.
    pub version_id: Option<String>,
    /// Milliseconds since 1970 of the last change.
    pub modified_ms: Option<i64>,
    /// MIME type.
    pub content_type: Option<String>,
    /// `x-amz-meta-` headers.
    pub metadata: BTreeMap<String, String>,
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub encryption: Option<String>,
    /// ARN of the KMS key.
    pub kms_key: Option<String>,
    /// [`CustomerKey::md5`] of the SSE-C key that it lies under.
    pub customer_key_md5: Option<String>,
    /// CRC-64/NVME of the whole object, where known.
    pub checksum_crc64nvme: Option<String>,
    /// All that is known, in whatever algorithm.
    pub checksums: Checksums,
}

/// One object of a bulk delete that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRefused {
    /// Its key.
    pub key: String,
    /// Its version, if one was named.
    pub version_id: Option<String>,
    /// S3's code.
    pub code: String,
    /// S3's sentence.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customer_key_headers_match_openssl() {
        // printf 'k%.0s' $(seq 32) | base64; … | openssl md5 -binary | base64
        let (algorithm, key, md5) = CustomerKey::new([b'k'; 32]).headers();
        assert_eq!(algorithm, "AES256");
        assert_eq!(key, "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=");
        assert_eq!(md5, MD5_OF_K32);
        assert_eq!(format!("{:?}", CustomerKey::new([b'k'; 32])), "CustomerKey(****)");
    }

    const MD5_OF_K32: &str = "mT2HRsMGJ5IX5C+0rreZ8Q==";
}
