//! Copies that S3 makes itself: no byte of the content passes through here.
//!
//! Both ends are pinned: the version and entity tag of the source, the owners of both buckets, and
//! that nothing is there yet. What the copy says about itself replaces what the source said; a tag
//! of the source is never taken along, because it may mean something to a policy at the target. An
//! answer with status 200 and an error in its body is an error.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{MetadataDirective, ServerSideEncryption as Sse, TaggingDirective};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{CompletedPart, Encryption, MultipartTarget, PutDone, S3};
use crate::error::{Call, Error, ErrorKind};

/// What stays as it is in `x-amz-copy-source`: unreserved characters and the slashes of the path.
const SOURCE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An object to copy from, exactly this one.
#[derive(Clone, Debug, Default)]
pub struct CopySource {
    /// Where.
    pub bucket: String,
    /// Under which key.
    pub key: String,
    /// Which version; none is the newest.
    pub version_id: Option<String>,
    /// Only if its entity tag is still this (else 412).
    pub if_match: Option<String>,
    /// Account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
}

impl CopySource {
    /// The header `x-amz-copy-source`.
    fn header(&self) -> String {
        let mut header = format!("{}/{}", self.bucket, utf8_percent_encode(&self.key, SOURCE));
        if let Some(version_id) = &self.version_id {
            header.push_str("?versionId=");
            header.extend(utf8_percent_encode(version_id, SOURCE));
        }
        header
    }
}

/// A copy to make.
#[derive(Clone, Debug, Default)]
pub struct CopyObject {
    /// From where.
    pub source: CopySource,
    /// To which bucket.
    pub bucket: String,
    /// Under which key.
    pub key: String,
    /// Account that must own the target's bucket.
    pub expected_bucket_owner: Option<String>,
    /// Refuse (412) when the key exists.
    pub if_none_match: bool,
    /// MIME type of the copy.
    pub content_type: Option<String>,
    /// `x-amz-meta-` headers of the copy, instead of the source's.
    pub metadata: BTreeMap<String, String>,
    /// Encryption at rest asked for; none leaves it to the bucket. SSE-C is not offered.
    pub encryption: Option<Encryption>,
}

impl S3 {
    /// Copies an object of up to 5 GiB, as one request.
    ///
    /// # Errors
    /// [`ErrorKind::PreconditionFailed`] when the key exists, or the source is another by now.
    pub async fn copy_object(&self, copy: &CopyObject) -> Result<PutDone, Error> {
        let call = Call::object("s3:CopyObject", &copy.bucket, &copy.key);
        let source = &copy.source;
        let mut request = self
            .data
            .copy_object()
            .copy_source(source.header())
            .set_copy_source_if_match(source.if_match.clone())
            .set_expected_source_bucket_owner(source.expected_bucket_owner.clone())
            .bucket(&copy.bucket)
            .key(&copy.key)
            .set_expected_bucket_owner(copy.expected_bucket_owner.clone())
            .metadata_directive(MetadataDirective::Replace)
            .tagging_directive(TaggingDirective::Replace)
            .set_content_type(copy.content_type.clone())
            .set_metadata(Some(copy.metadata.clone().into_iter().collect()));
        if copy.if_none_match {
            request = request.if_none_match("*");
        }
        request = match copy.encryption.clone() {
            None => request,
            Some(Encryption::SseS3) => request.server_side_encryption(Sse::Aes256),
            Some(Encryption::SseKms { key }) => {
                request.server_side_encryption(Sse::AwsKms).set_ssekms_key_id(key)
            }
            Some(Encryption::DsseKms { key }) => {
                request.server_side_encryption(Sse::AwsKmsDsse).set_ssekms_key_id(key)
            }
            Some(Encryption::SseC(_)) => {
                let why = "a copy under a customer's key is not offered";
                return Err(call.error(ErrorKind::InvalidRequest, why));
            }
        };
        let done = request.send().await.map_err(|error| call.clone().failed(error))?;
        let Some(result) = done.copy_object_result else {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer tells of no copy"));
        };
        Ok(PutDone {
            version_id: done.version_id,
            etag: result.e_tag,
            checksum_crc64nvme: result.checksum_crc64_nvme,
            encryption: done.server_side_encryption.map(|sse| sse.as_str().to_owned()),
            kms_key: done.ssekms_key_id,
        })
    }

    /// Copies a range of an object, its first and last byte named, into a part of an upload.
    pub async fn upload_part_copy(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        number: i32,
        source: &CopySource,
        range: (u64, u64),
    ) -> Result<CompletedPart, Error> {
        let call = Call::object("s3:UploadPartCopy", &target.bucket, &target.key);
        let request = self
            .data
            .upload_part_copy()
            .copy_source(source.header())
            .copy_source_range(format!("bytes={}-{}", range.0, range.1))
            .set_copy_source_if_match(source.if_match.clone())
            .set_expected_source_bucket_owner(source.expected_bucket_owner.clone())
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .part_number(number)
            .set_expected_bucket_owner(target.expected_bucket_owner.clone());
        let done = request.send().await.map_err(|error| call.clone().failed(error))?;
        let result = done.copy_part_result;
        let etag = result.as_ref().and_then(|result| result.e_tag.clone());
        let etag = etag.ok_or_else(|| {
            call.error(ErrorKind::InvalidResponse, "the answer has no entity tag")
        })?;
        let checksum_crc64nvme = result.and_then(|result| result.checksum_crc64_nvme);
        Ok(CompletedPart { number, etag, checksum_crc64nvme })
    }
}

#[cfg(test)]
mod tests {
    use super::CopySource;

    #[test]
    fn sources_are_encoded() {
        let mut source = CopySource {
            bucket: "b".to_owned(),
            key: "a b/é?versionId=x&+%".to_owned(),
            ..CopySource::default()
        };
        assert_eq!(source.header(), "b/a%20b/%C3%A9%3FversionId%3Dx%26%2B%25");
        source.version_id = Some("v.1&x".to_owned());
        assert_eq!(source.header(), "b/a%20b/%C3%A9%3FversionId%3Dx%26%2B%25?versionId=v.1%26x");
    }
}
