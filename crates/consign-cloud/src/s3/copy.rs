//! Copies that S3 makes itself: no byte of them passes through this machine.
//!
//! Both ends can be pinned: the version and entity tag of the source, the owners of both buckets, and
//! that nothing is there yet. An answer with status 200 and an error in its body is an error.

use std::ops::Range;

use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective, TaggingDirective};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::body::Pulse;
use super::checksums::checksums;
use super::encryption::{encrypted, from_under_key, under_key};
use super::object::tagging;
use super::{CompletedPart, GetObject, MultipartTarget, PutDone, S3};
use crate::error::{Call, Error, ErrorKind};

/// What stands for itself in `x-amz-copy-source`.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A copy to make by one request.
#[derive(Clone, Debug, Default)]
pub struct CopyObject {
    /// Of which object; its range is not looked at.
    pub source: GetObject,
    /// The object to make.
    pub target: MultipartTarget,
    /// Whether metadata, content type and tags come with the source. If not, the target's take their
    /// place: a tag of the source may mean something to a policy at the target.
    pub keep_metadata: bool,
    /// Refuse (412) when the key exists.
    pub if_none_match: bool,
}

impl S3 {
    /// Makes an object (up to 5 GiB) of another; tried once.
    ///
    /// # Errors
    /// [`ErrorKind::PreconditionFailed`] when the key exists, or the source is another by now. With
    /// [`Error::is_ambiguous`] the object may be there.
    pub async fn copy_object(&self, copy: &CopyObject) -> Result<PutDone, Error> {
        let CopyObject { source, target, .. } = copy;
        let call = Call::object("s3:CopyObject", &target.bucket, &target.key);
        let mut request = self
            .data
            .copy_object()
            .bucket(&target.bucket)
            .key(&target.key)
            .copy_source(copy_source(source))
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .set_copy_source_if_match(source.if_match.clone())
            .set_expected_source_bucket_owner(source.expected_bucket_owner.clone())
            .set_expected_bucket_owner(target.expected_bucket_owner.clone());
        if !copy.keep_metadata {
            request = request
                .metadata_directive(MetadataDirective::Replace)
                .tagging_directive(TaggingDirective::Replace)
                .set_tagging((!target.tags.is_empty()).then(|| tagging(&target.tags)))
                .set_content_type(target.content_type.clone())
                .set_metadata(Some(target.metadata.clone().into_iter().collect()));
        }
        if copy.if_none_match {
            request = request.if_none_match("*");
        }
        request = from_under_key!(request, source.customer_key.as_ref());
        request = encrypted!(request, target.encryption.as_ref());
        let done = Pulse::default()
            .watch(self.timeouts.complete, &call, request.send())
            .await?
            .map_err(|error| call.clone().failed(error))?;
        let Some(result) = done.copy_object_result else {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer tells of no copy"));
        };
        Ok(PutDone {
            version_id: done.version_id,
            checksums: checksums!(result),
            etag: result.e_tag,
            checksum_crc64nvme: result.checksum_crc64_nvme,
            encryption: done.server_side_encryption.map(|sse| sse.as_str().to_owned()),
            kms_key: done.ssekms_key_id,
        })
    }

    /// Makes a part of an upload of a range (5 MiB to 5 GiB) of another object; tried once.
    pub async fn upload_part_copy(
        &self,
        source: &GetObject,
        range: Range<u64>,
        target: &MultipartTarget,
        upload_id: &str,
        number: i32,
    ) -> Result<CompletedPart, Error> {
        let call = Call::object("s3:UploadPartCopy", &target.bucket, &target.key);
        if range.is_empty() {
            return Err(call.error(ErrorKind::InvalidRequest, "there is no empty part"));
        }
        let mut request = self
            .data
            .upload_part_copy()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .part_number(number)
            .copy_source(copy_source(source))
            .copy_source_range(format!("bytes={}-{}", range.start, range.end - 1))
            .set_copy_source_if_match(source.if_match.clone())
            .set_expected_source_bucket_owner(source.expected_bucket_owner.clone())
            .set_expected_bucket_owner(target.expected_bucket_owner.clone());
        request = from_under_key!(request, source.customer_key.as_ref());
        request = under_key!(request, target.customer_key());
        // RFC 9110, 8.6: a PUT says how long its content is, also when it has none. Ceph insists (411).
        let request = request.customize().mutate_request(|request| {
            request.headers_mut().insert("content-length", "0");
        });
        let done = Pulse::default()
            .watch(self.timeouts.complete, &call, request.send())
            .await?
            .map_err(|error| call.clone().failed(error))?;
        let result = done.copy_part_result;
        let etag = result.as_ref().and_then(|result| result.e_tag.clone());
        Ok(CompletedPart {
            number,
            etag: etag.ok_or_else(|| {
                call.error(ErrorKind::InvalidResponse, "the answer has no entity tag")
            })?,
            checksum_crc64nvme: result.and_then(|result| result.checksum_crc64_nvme),
        })
    }
}

/// `bucket/key?versionId=…`, escaped.
fn copy_source(source: &GetObject) -> String {
    let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let version = source.version_id.as_deref();
    let version = version.map(|id| format!("?versionId={}", escaped(id))).unwrap_or_default();
    format!("{}/{}{version}", source.bucket, escaped(&source.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_one_header_value() {
        let mut source = GetObject {
            bucket: "b".to_owned(),
            key: "a b/ü?c+d%".to_owned(),
            ..GetObject::default()
        };
        assert_eq!(copy_source(&source), "b/a%20b/%C3%BC%3Fc%2Bd%25");
        source.version_id = Some("v=1".to_owned());
        assert_eq!(copy_source(&source), "b/a%20b/%C3%BC%3Fc%2Bd%25?versionId=v%3D1");
    }
}
