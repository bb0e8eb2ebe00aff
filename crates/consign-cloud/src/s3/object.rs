//! Single objects: put, get (whole or a range), head, delete.

use std::collections::BTreeMap;
use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, Delete, ObjectIdentifier, Tag, Tagging};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::body::Pulse;
use super::checksums::checksums;
use super::encryption::{encrypted, under_key};
use super::{Body, DeleteRefused, GetObject, Head, PutDone, PutObject, RangeRead, S3};
use crate::error::{Call, Error, ErrorKind};

impl S3 {
    /// Puts an object, tried once. On failure the object is absent or whole, never partial.
    ///
    /// # Errors
    /// With [`Error::is_ambiguous`] the object may be there. Dropping the future has the same
    /// meaning.
    pub async fn put_object(&self, put: PutObject) -> Result<PutDone, Error> {
        let call = Call::object("s3:PutObject", &put.bucket, &put.key);
        let pulse = Pulse::default();
        let streamed = matches!(put.body, Body::Stream { .. });
        let bytes = put.body.len();
        let mut request = self
            .data
            .put_object()
            .bucket(put.bucket)
            .key(put.key)
            .content_length(length(bytes))
            .set_if_none_match(put.if_none_match.then(|| "*".to_owned()))
            .set_expected_bucket_owner(put.expected_bucket_owner)
            .set_content_type(put.content_type)
            .set_metadata((!put.metadata.is_empty()).then(|| put.metadata.into_iter().collect()))
            .set_tagging((!put.tags.is_empty()).then(|| tagging(&put.tags)))
            .body(put.body.into_stream(pulse.clone()));
        request = match put.checksum_crc64nvme {
            Some(checksum) => request.checksum_crc64_nvme(checksum),
            None if streamed => request.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme),
            None => request,
        };
        request = encrypted!(request, put.encryption.as_ref());
        let sending = request.customize().disable_payload_signing().send();
        let done = pulse
            .watch(self.timeouts.idle, &call, sending)
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

    /// Reads `range` of an object into `buffer`, tried once. The buffer is full on success and
    /// holds anything on failure.
    ///
    /// # Errors
    /// A body that ends early is [`ErrorKind::Network`]; an answer for other bytes than were asked
    /// for is [`ErrorKind::InvalidResponse`].
    pub async fn get_range(
        &self,
        object: &GetObject,
        range: Range<u64>,
        buffer: &mut [u8],
    ) -> Result<RangeRead, Error> {
        let call = Call::object("s3:GetObject", &object.bucket, &object.key);
        let wanted = range.end.saturating_sub(range.start);
        if wanted == 0 || wanted != buffer.len() as u64 {
            return Err(call.error(ErrorKind::InvalidRequest, "range and buffer differ in length"));
        }
        let request = self
            .get_request(object)
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .send();
        let mut answer = Pulse::default()
            .watch(self.timeouts.idle, &call, request)
            .await?
            .map_err(|error| call.clone().failed(error))?;
        let object_bytes = object_bytes(&answer, &range).ok_or_else(|| {
            call.clone().error(ErrorKind::InvalidResponse, "the answer holds another range")
        })?;
        let read = self.fill(&call, &mut answer, buffer).await?;
        if read != buffer.len() {
            let message = format!("the body ended after {read} of {wanted} bytes");
            return Err(call.error(ErrorKind::Network, message));
        }
        Ok(RangeRead { object_bytes, etag: answer.e_tag, version_id: answer.version_id })
    }

    /// Reads a whole small object, refusing more than `bytes_max` before reading them.
    pub async fn get_object_bytes(
        &self,
        object: &GetObject,
        bytes_max: usize,
    ) -> Result<(Bytes, RangeRead), Error> {
        let call = Call::object("s3:GetObject", &object.bucket, &object.key);
        let mut answer = Pulse::default()
            .watch(self.timeouts.idle, &call, self.get_request(object).send())
            .await?
            .map_err(|error| call.clone().failed(error))?;
        let announced = answer.content_length.and_then(|n| usize::try_from(n).ok());
        let Some(bytes) = announced else {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer has no length"));
        };
        if bytes > bytes_max {
            let message = format!("the object has {bytes} bytes, more than {bytes_max}");
            return Err(call.error(ErrorKind::InvalidResponse, message));
        }
        let mut buffer = vec![0; bytes];
        let read = self.fill(&call, &mut answer, &mut buffer).await?;
        if read != bytes {
            let message = format!("the body ended after {read} of {bytes} bytes");
            return Err(call.error(ErrorKind::Network, message));
        }
        let about = RangeRead {
            object_bytes: bytes as u64,
            etag: answer.e_tag,
            version_id: answer.version_id,
        };
        Ok((buffer.into(), about))
    }

    fn get_request(&self, object: &GetObject) -> GetObjectFluentBuilder {
        let mut request = self
            .data
            .get_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version_id.clone())
            .set_if_match(object.if_match.clone())
            .set_expected_bucket_owner(object.expected_bucket_owner.clone());
        request = under_key!(request, object.customer_key.as_ref());
        request
    }

    /// Copies the body into `buffer`; gives the bytes read, at most its length.
    async fn fill(
        &self,
        call: &Call,
        answer: &mut GetObjectOutput,
        buffer: &mut [u8],
    ) -> Result<usize, Error> {
        let mut filled = 0;
        loop {
            let next = Pulse::default()
                .watch(self.timeouts.idle, call, answer.body.next())
                .await?
                .transpose()
                .map_err(|error| {
                    call.clone().caused(ErrorKind::Network, "the body broke off", error)
                })?;
            let Some(chunk) = next else { return Ok(filled) };
            let Some(room) = buffer.get_mut(filled..filled + chunk.len()) else {
                return Err(call
                    .clone()
                    .error(ErrorKind::InvalidResponse, "the body is longer than announced"));
            };
            room.copy_from_slice(&chunk);
            filled += chunk.len();
        }
    }

    /// Size, tags and headers of an object, without its bytes.
    pub async fn head_object(&self, object: &GetObject) -> Result<Head, Error> {
        self.head(object, false).await
    }

    /// The same with the checksum, for which S3 wants the right to decrypt under a KMS key.
    pub async fn head_with_checksum(&self, object: &GetObject) -> Result<Head, Error> {
        self.head(object, true).await
    }

    async fn head(&self, object: &GetObject, checksum: bool) -> Result<Head, Error> {
        let call = Call::object("s3:HeadObject", &object.bucket, &object.key);
        let mut request = self
            .control
            .head_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version_id.clone())
            .set_if_match(object.if_match.clone())
            .set_checksum_mode(checksum.then_some(ChecksumMode::Enabled))
            .set_expected_bucket_owner(object.expected_bucket_owner.clone());
        request = under_key!(request, object.customer_key.as_ref());
        let head = request.send().await.map_err(|error| call.clone().failed(error))?;
        let bytes = head.content_length.and_then(|n| u64::try_from(n).ok());
        Ok(Head {
            bytes: bytes.ok_or_else(|| {
                call.error(ErrorKind::InvalidResponse, "the answer has no length")
            })?,
            etag: head.e_tag,
            version_id: head.version_id,
            modified_ms: head.last_modified.and_then(|time| time.to_millis().ok()),
            content_type: head.content_type,
            metadata: head.metadata.unwrap_or_default().into_iter().collect(),
            encryption: head.server_side_encryption.map(|sse| sse.as_str().to_owned()),
            kms_key: head.ssekms_key_id,
            customer_key_md5: head.sse_customer_key_md5,
            checksums: checksums!(head),
            checksum_crc64nvme: head.checksum_crc64_nvme,
        })
    }

    /// The tags of an object and its version id, without asking for anything of its content. Who may
    /// not list the bucket is denied an object that is not there.
    pub async fn get_object_tags(
        &self,
        object: &GetObject,
    ) -> Result<(BTreeMap<String, String>, Option<String>), Error> {
        let call = Call::object("s3:GetObjectTagging", &object.bucket, &object.key);
        let found = self
            .control
            .get_object_tagging()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version_id.clone())
            .set_expected_bucket_owner(object.expected_bucket_owner.clone())
            .send()
            .await;
        let found = match found {
            // So Ceph (16.2) answers of a copy whose tags it has lost.
            Err(error) if says_nothing(&error) => return Ok((BTreeMap::new(), None)),
            found => found.map_err(|error| call.failed(error))?,
        };
        let tags = found.tag_set.into_iter().map(|tag| (tag.key, tag.value));
        Ok((tags.collect(), found.version_id))
    }

    /// Replaces all tags of an object, or of the version named; tried once.
    ///
    /// # Errors
    /// With [`Error::is_ambiguous`] they may be replaced.
    pub async fn put_object_tags(
        &self,
        object: &GetObject,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let call = Call::object("s3:PutObjectTagging", &object.bucket, &object.key);
        let tags: Result<Vec<_>, _> =
            tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let tagging = tags.and_then(|tags| Tagging::builder().set_tag_set(Some(tags)).build());
        let tagging =
            tagging.map_err(|e| call.clone().caused(ErrorKind::InvalidRequest, "no tags", e))?;
        self.control
            .put_object_tagging()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version_id.clone())
            .set_expected_bucket_owner(object.expected_bucket_owner.clone())
            .tagging(tagging)
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Deletes an object, or with a version that version for good. Deleting what is not there
    /// succeeds.
    pub async fn delete_object(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<(), Error> {
        let call = Call::object("s3:DeleteObject", bucket, key);
        self.control
            .delete_object()
            .bucket(bucket)
            .key(key)
            .set_version_id(version_id.map(str::to_owned))
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Deletes up to 1000 objects (key, version) in one request; gives those that were refused.
    pub async fn delete_objects(
        &self,
        bucket: &str,
        objects: &[(String, Option<String>)],
    ) -> Result<Vec<DeleteRefused>, Error> {
        let call = Call::bucket("s3:DeleteObjects", bucket);
        let built: Result<Vec<_>, _> = objects
            .iter()
            .map(|(key, version)| {
                ObjectIdentifier::builder().key(key).set_version_id(version.clone()).build()
            })
            .collect();
        let delete = built
            .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build())
            .map_err(|error| {
                call.clone().caused(ErrorKind::InvalidRequest, "not a list to delete", error)
            })?;
        let done = self
            .control
            .delete_objects()
            .bucket(bucket)
            .delete(delete)
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        let refused = done.errors.unwrap_or_default().into_iter().map(|error| DeleteRefused {
            key: error.key.unwrap_or_default(),
            version_id: error.version_id,
            code: error.code.unwrap_or_default(),
            message: error.message.unwrap_or_default(),
        });
        Ok(refused.collect())
    }
}

/// Whether a service has succeeded without a word, and said that there is none.
fn says_nothing<E>(error: &SdkError<E, HttpResponse>) -> bool {
    error.raw_response().is_some_and(|answer| {
        answer.status().is_success() && answer.headers().get("content-length") == Some("0")
    })
}

/// Lengths go over the wire as signed numbers; S3's largest object is far below that.
pub(super) fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) fn tagging(tags: &BTreeMap<String, String>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> =
        tags.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Size of the whole object, if the answer is for exactly `range`. A server that ignores ranges
/// and sends everything is accepted only when everything is what was wanted.
fn object_bytes(answer: &GetObjectOutput, range: &Range<u64>) -> Option<u64> {
    let length = answer.content_length.and_then(|n| u64::try_from(n).ok());
    let Some(content_range) = &answer.content_range else {
        return length.filter(|length| range.start == 0 && *length == range.end);
    };
    let (span, total) = content_range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let asked = first.parse() == Ok(range.start) && last.parse() == Ok(range.end - 1);
    total.parse().ok().filter(|_| asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_asked_for_is_accepted() {
        let answer = |range: Option<&str>, length| {
            GetObjectOutput::builder()
                .set_content_range(range.map(str::to_owned))
                .content_length(length)
                .build()
        };
        let cases = [
            (Some("bytes 5-9/20"), 5, Some(20)),
            (Some("bytes 5-8/20"), 4, None),
            (Some("bytes 0-9/20"), 10, None),
            (Some("5-9/20"), 5, None),
            (Some("bytes 5-9/*"), 5, None),
            (None, 10, None),
            (None, 5, None),
        ];
        for (header, length, expected) in cases {
            assert_eq!(object_bytes(&answer(header, length), &(5..10)), expected, "{header:?}");
        }
        assert_eq!(object_bytes(&answer(None, 10), &(0..10)), Some(10));
    }

    #[test]
    fn tags_are_encoded() {
        let tags = [("a b".to_owned(), "c&d=é".to_owned())].into();
        assert_eq!(tagging(&tags), "a%20b=c%26d%3D%C3%A9");
    }
}
