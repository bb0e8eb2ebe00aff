//! Multipart uploads. Part numbers are S3's own: from 1.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart as SdkPart,
};
use bytes::Bytes;

use super::body::Pulse;
use super::checksums::checksums;
use super::encryption::{encrypted, under_key};
use super::object::{length, tagging};
use super::{Body, CustomerKey, Encryption, PutDone, S3};
use crate::error::{Call, Error, ErrorKind};

/// The object that an upload is to become.
#[derive(Clone, Debug, Default)]
pub struct MultipartTarget {
    /// Where.
    pub bucket: String,
    /// Under which key.
    pub key: String,
    /// Account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
    /// MIME type.
    pub content_type: Option<String>,
    /// `x-amz-meta-` headers.
    pub metadata: BTreeMap<String, String>,
    /// Object tags.
    pub tags: BTreeMap<String, String>,
    /// Encryption at rest asked for; none leaves it to the bucket.
    pub encryption: Option<Encryption>,
}

impl MultipartTarget {
    /// The key that goes with every request of the upload.
    pub(super) fn customer_key(&self) -> Option<&CustomerKey> {
        self.encryption.as_ref().and_then(Encryption::customer_key)
    }
}

/// One part to send.
#[derive(Clone, Debug)]
pub struct UploadPart {
    /// From 1 to 10,000.
    pub number: i32,
    /// What.
    pub body: Bytes,
    /// CRC-64/NVME of the part, base64.
    pub checksum_crc64nvme: Option<String>,
    /// The SSE-C key given at the start.
    pub customer_key: Option<CustomerKey>,
}

/// A part as it must be named at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedPart {
    /// From 1.
    pub number: i32,
    /// As S3 gave it.
    pub etag: String,
    /// CRC-64/NVME of the part, base64, if it was sent with one.
    pub checksum_crc64nvme: Option<String>,
}

/// A part that S3 has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// From 1.
    pub number: i32,
    /// Size.
    pub bytes: u64,
    /// Entity tag.
    pub etag: String,
    /// CRC-64/NVME, where S3 keeps it.
    pub checksum_crc64nvme: Option<String>,
}

/// How to end an upload.
#[derive(Clone, Debug, Default)]
pub struct CompleteMultipart {
    /// All parts, in order.
    pub parts: Vec<CompletedPart>,
    /// CRC-64/NVME of the whole object, base64.
    pub checksum_crc64nvme: Option<String>,
    /// Size of the whole object, which S3 compares.
    pub object_bytes: Option<u64>,
    /// Refuse (412) when the key exists.
    pub if_none_match: bool,
}

impl S3 {
    /// Begins an upload; gives its id. Until it is completed or aborted, its parts cost money and
    /// no reader sees them.
    pub async fn create_multipart(&self, target: &MultipartTarget) -> Result<String, Error> {
        let call = Call::object("s3:CreateMultipartUpload", &target.bucket, &target.key);
        let metadata = target.metadata.clone();
        let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect());
        let mut request = self
            .control
            .create_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject)
            .set_content_type(target.content_type.clone())
            .set_metadata(metadata)
            .set_tagging((!target.tags.is_empty()).then(|| tagging(&target.tags)))
            .set_expected_bucket_owner(target.expected_bucket_owner.clone());
        request = encrypted!(request, target.encryption.as_ref());
        let begun = request.send().await.map_err(|error| call.clone().failed(error))?;
        begun
            .upload_id
            .ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no upload id"))
    }

    /// Sends a part, tried once; gives its entity tag. Sending a number again replaces the part.
    pub async fn upload_part(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        part: UploadPart,
    ) -> Result<String, Error> {
        let call = Call::object("s3:UploadPart", &target.bucket, &target.key);
        let pulse = Pulse::default();
        let body = Body::Bytes(part.body);
        let mut request = self
            .data
            .upload_part()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .part_number(part.number)
            .content_length(length(body.len()))
            .set_checksum_crc64_nvme(part.checksum_crc64nvme)
            .set_expected_bucket_owner(target.expected_bucket_owner.clone())
            .body(body.into_stream(pulse.clone()));
        request = under_key!(request, part.customer_key.as_ref());
        let sending = request.customize().disable_payload_signing().send();
        let done = pulse
            .watch(self.timeouts.idle, &call, sending)
            .await?
            .map_err(|error| call.clone().failed(error))?;
        done.e_tag
            .ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no entity tag"))
    }

    /// Makes the object of its parts, tried once: whether a second try may follow an unclear
    /// answer is the caller's to judge.
    pub async fn complete_multipart(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        complete: CompleteMultipart,
    ) -> Result<PutDone, Error> {
        let call = Call::object("s3:CompleteMultipartUpload", &target.bucket, &target.key);
        let parts = complete.parts.into_iter().map(|part| {
            SdkPart::builder()
                .part_number(part.number)
                .e_tag(part.etag)
                .set_checksum_crc64_nvme(part.checksum_crc64nvme)
                .build()
        });
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let full = complete.checksum_crc64nvme.as_ref().map(|_| ChecksumType::FullObject);
        let mut request = self
            .data
            .complete_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .multipart_upload(upload)
            .set_checksum_type(full)
            .set_checksum_crc64_nvme(complete.checksum_crc64nvme)
            .set_mpu_object_size(complete.object_bytes.map(length))
            .set_if_none_match(complete.if_none_match.then(|| "*".to_owned()))
            .set_expected_bucket_owner(target.expected_bucket_owner.clone());
        request = under_key!(request, target.customer_key());
        let done = Pulse::default()
            .watch(self.timeouts.complete, &call, request.send())
            .await?
            .map_err(|error| call.failed(error))?;
        Ok(PutDone {
            version_id: done.version_id,
            etag: done.e_tag,
            checksums: checksums!(done),
            checksum_crc64nvme: done.checksum_crc64_nvme,
            encryption: done.server_side_encryption.map(|sse| sse.as_str().to_owned()),
            kms_key: done.ssekms_key_id,
        })
    }

    /// Throws an upload and its parts away. One that is not there counts as done.
    pub async fn abort_multipart(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
    ) -> Result<(), Error> {
        let call = Call::object("s3:AbortMultipartUpload", &target.bucket, &target.key);
        let done = self
            .control
            .abort_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .set_expected_bucket_owner(target.expected_bucket_owner.clone())
            .send()
            .await;
        match done.map_err(|error| call.failed(error)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NoSuchUpload => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// All parts that S3 has of an upload, in order.
    pub async fn list_parts(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
    ) -> Result<Vec<ListedPart>, Error> {
        let call = Call::object("s3:ListParts", &target.bucket, &target.key);
        let mut parts = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let mut request = self
                .control
                .list_parts()
                .bucket(&target.bucket)
                .key(&target.key)
                .upload_id(upload_id)
                .set_part_number_marker(marker.clone())
                .set_expected_bucket_owner(target.expected_bucket_owner.clone());
            // Checksums of parts under a customer's key are shown to who has that key.
            request = under_key!(request, target.customer_key());
            let page = request.send().await.map_err(|error| call.clone().failed(error))?;
            for part in page.parts.unwrap_or_default() {
                let size = part.size.and_then(|n| u64::try_from(n).ok());
                let (Some(number), Some(bytes), Some(etag)) = (part.part_number, size, part.e_tag)
                else {
                    continue;
                };
                let checksum_crc64nvme = part.checksum_crc64_nvme;
                parts.push(ListedPart { number, bytes, etag, checksum_crc64nvme });
            }
            let next = page.next_part_number_marker.filter(|_| page.is_truncated == Some(true));
            // A marker that does not move would have us ask for ever.
            if next.is_none() || next == marker {
                return Ok(parts);
            }
            marker = next;
        }
    }
}
