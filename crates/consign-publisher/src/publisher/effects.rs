//! Each effect as the requests that it stands for.

use std::collections::BTreeMap;

use bytes::Bytes;
use consign_cloud::s3::{
    Body, Checksums, CompleteMultipart, CompletedPart, CopyObject, Encryption, GetObject, Head,
    ListRequest, MultipartTarget, PutObject,
};
use consign_cloud::{Error, ErrorKind};
use consign_model::{
    DELIVERY_FORMAT, DELIVERY_NAMESPACE, Date, DeliveryRecord, DeliverySource, DeliveryTarget,
    Labels, METADATA_BYTES_MAX, RouteName, SOURCE_TAG, SourceDigest, Timestamp,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Origin, Publisher};
use crate::aside::Aside;
use crate::failure::Failure;
use crate::found::{Delivery, Placed, Seen, There};
use crate::machine::{Answer, Effect};
use crate::notice::Notice;
use crate::record::{Permanent, Reason, Source, SourceId, Target};

/// A longer source is in the record alone, and so is one for which what is carried leaves no room.
const SOURCE_TEXT_MAX: usize = 1500;

/// What stands for itself in the text of a source.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Publisher {
    /// Does what is asked, and says what came of it.
    pub(super) async fn carry_out(&self, origin: &Origin, effect: Effect) -> Answer {
        match effect {
            Effect::Look(source) => {
                let mut seen = self.look(source).await;
                if let (Ok(seen), Origin::Listing { superseded }) = (&mut seen, origin) {
                    seen.tasks.retain(|task| !superseded.contains(&task.target));
                }
                Answer::Seen(seen)
            }
            Effect::HeadSource(source) => {
                let tagged = self.setup.routing.carries_tags();
                let found = self.find(&source, tagged).await;
                Answer::Source(found.map(|(head, tags)| there(head, tags)))
            }
            Effect::FindRecord { of, target } => {
                let found = self.find_record(&of, &target).await;
                if found == Ok(true) {
                    self.notice(&Notice::Already);
                }
                Answer::Record(found)
            }
            Effect::AskTarget(target) => Answer::Target(self.ask_target(&target).await),
            Effect::Copy { source, content, route, of, target } => {
                let placed = self.labelled(&content, &route, &of, &target);
                Answer::Copied(self.copy(&source, &content, placed).await)
            }
            Effect::CreateUpload { of, content, route, target } => {
                let target = self.labelled(&content, &route, &of, &target);
                let begun = self.setup.cloud.s3().create_multipart(&target).await;
                Answer::UploadCreated(self.told("begin an upload", begun))
            }
            Effect::CopyPart { upload_id, part, range, source, etag, target } => {
                let result = self.copy_part(&upload_id, part, range, &source, &etag, &target).await;
                Answer::PartCopied { upload_id, part, result }
            }
            Effect::CompleteUpload { upload_id, etags, bytes, target } => {
                Answer::Copied(self.complete(&upload_id, etags, bytes, &target).await)
            }
            Effect::AbortUpload { upload_id, target } => {
                let target = place(&target);
                let aborted = self.setup.cloud.s3().abort_multipart(&target, &upload_id).await;
                let _left_to_the_lifecycle = self.told("abort an upload", aborted);
                Answer::Tick
            }
            Effect::Record(delivery) => {
                let recorded = self.record(&delivery).await;
                if recorded == Ok(()) {
                    self.notice(&Notice::Delivered(&delivery));
                }
                Answer::Recorded(recorded)
            }
            Effect::PutAside(reasons) => Answer::PutAside(self.put_aside(origin, reasons).await),
            Effect::Delete => Answer::Deleted(self.delete(origin).await),
            Effect::Extend { seconds } => Answer::Extended(self.extend(origin, seconds).await),
            Effect::Release { seconds } => {
                self.notice(&Notice::Released { seconds });
                let _it_comes_anyway = self.extend(origin, seconds).await;
                Answer::Tick
            }
            Effect::Wait { ms } => {
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
                Answer::Waited
            }
            // Told before anything else is begun.
            Effect::Alarm(_) => Answer::Tick,
        }
    }

    /// What a failure means; it is noted unless it is one of the ordinary answers.
    pub(super) fn told<T>(
        &self,
        doing: &'static str,
        result: Result<T, Error>,
    ) -> Result<T, Failure> {
        result.map_err(|error| {
            let failure = Failure::of(&error);
            if !matches!(failure, Failure::Absent | Failure::Taken) {
                self.notice(&Notice::Failed { doing, failure, error: &error });
            }
            failure
        })
    }

    async fn look(&self, mut source: Source) -> Result<Seen, Failure> {
        let routing = &self.setup.routing;
        let tagged = routing.wants_tags() || routing.carries_tags();
        let found = match self.find(&source, tagged).await {
            Ok(found) => Some(found),
            // It may have been delivered long ago; without its day or tags nobody knows to where.
            Err(Failure::Absent) if !routing.wants_day() && !routing.wants_tags() => None,
            Err(failure) => return Err(failure),
        };
        let mut day = Date::from_unix_ms(0);
        let mut content = None;
        if let Some((head, tags)) = found {
            source.version_id.clone_from(&head.version_id);
            let modified = head.modified_ms.and_then(|ms| u64::try_from(ms).ok());
            day = modified.map_or(day, Date::from_unix_ms);
            content = Some(there(head, tags));
        }
        let untagged = BTreeMap::new();
        let tags = content.as_ref().map_or(&untagged, |there| &there.labels.tags);
        let (tasks, refused) = routing.tasks(&source, day, tags);
        if tasks.is_empty() && refused.is_empty() {
            self.notice(&Notice::Unrouted(&source));
        }
        Ok(Seen { content, tasks, refused })
    }

    /// The object, and its tags if they have to be known.
    async fn find(
        &self,
        source: &Source,
        tagged: bool,
    ) -> Result<(Head, BTreeMap<String, String>), Failure> {
        let head = self.head(source).await?;
        if !tagged {
            return Ok((head, BTreeMap::new()));
        }
        let mut object = pinned(source, None);
        object.version_id.clone_from(&head.version_id);
        let read = self.setup.cloud.s3().get_object_tags(&object).await;
        Ok((head, self.told("read tags", read)?.0))
    }

    /// The target of a copy. Of the source's labels those go along that the route names, and nothing
    /// else: a tag or a header of the source may mean something at the target.
    fn labelled(
        &self,
        content: &There,
        route: &RouteName,
        of: &SourceId,
        target: &Target,
    ) -> MultipartTarget {
        let Labels { mut metadata, mut tags } = self.setup.routing.carried(route, &content.labels);
        tags.insert(SOURCE_TAG.to_owned(), of.digest().to_string());
        let carried: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        let room = METADATA_BYTES_MAX.saturating_sub(carried + SOURCE_TAG.len());
        let text = match self.setup.limits.look_first {
            true => Some(of.digest().to_string()),
            false => source_text(of),
        };
        if let Some(text) = text.filter(|text| text.len() <= room) {
            metadata.insert(SOURCE_TAG.to_owned(), text);
        }
        let content_type = content.content_type.clone();
        MultipartTarget { content_type, metadata, tags, ..place(target) }
    }

    /// With its checksum, for which S3 asks KMS. HEAD is refused without a word, whoever refuses. If it
    /// is for the whole repository (a clock that is wrong, credentials that are over), a listing says so
    /// in words; if it is KMS, the object is looked at without its checksum, and the copy is told why.
    async fn head(&self, source: &Source) -> Result<Head, Failure> {
        const LOOK: &str = "look at an object";
        let s3 = self.setup.cloud.s3();
        let object = pinned(source, None);
        let wordless = |error: &Error| {
            matches!(error.kind(), ErrorKind::AccessDenied | ErrorKind::InvalidRequest)
        };
        match s3.head_with_checksum(&object).await {
            Err(error) if wordless(&error) => {}
            answer => return self.told(LOOK, answer),
        }
        let list = ListRequest {
            bucket: source.bucket.clone(),
            prefix: source.key.clone(),
            expected_bucket_owner: Some(source.owner.clone()),
            ..ListRequest::default()
        };
        match s3.list_objects(&list).await {
            // Who may not list learns nothing by it.
            Err(error) if !wordless(&error) => self.told(LOOK, Err(error)),
            _ => match s3.head_with_checksum(&object).await {
                Err(error) if wordless(&error) => self.told(LOOK, s3.head_object(&object).await),
                // What kept it away is over.
                answer => self.told(LOOK, answer),
            },
        }
    }

    /// A listing of exactly one key: the publisher may not read what is there.
    async fn find_record(&self, of: &SourceId, target: &Target) -> Result<bool, Failure> {
        let key = of.delivery(target).record_key(&self.prefix_of(target));
        let list = ListRequest {
            bucket: target.bucket.clone(),
            prefix: key.clone(),
            expected_bucket_owner: Some(target.owner.clone()),
            ..ListRequest::default()
        };
        let listed = self.setup.cloud.s3().list_objects(&list).await;
        let page = self.told("look for a record", listed)?;
        Ok(page.entries.iter().any(|entry| entry.key == key))
    }

    async fn ask_target(&self, target: &Target) -> Result<Placed, Failure> {
        let object = made(target, None);
        let s3 = self.setup.cloud.s3();
        let found = match self.setup.limits.look_first {
            false => s3.get_object_tags(&object).await,
            true => s3.head_object(&object).await.map(|head| (head.metadata, head.version_id)),
        };
        // What it means depends on what went before, so the machine says whether it is noted.
        let (labels, version_id) = found.map_err(|error| Failure::of(&error))?;
        let of = labels.get(SOURCE_TAG).and_then(|text| SourceDigest::parse(text).ok());
        Ok(Placed { of, version_id })
    }

    async fn copy(
        &self,
        source: &Source,
        content: &There,
        target: MultipartTarget,
    ) -> Result<(Option<String>, Checksums), Failure> {
        let copy = CopyObject {
            source: pinned(source, Some(&content.etag)),
            target,
            keep_metadata: false,
            if_none_match: true,
        };
        let done = self.told("copy", self.setup.cloud.s3().copy_object(&copy).await)?;
        Ok((done.version_id, done.checksums))
    }

    async fn copy_part(
        &self,
        upload_id: &str,
        part: u32,
        (first, last): (u64, u64),
        source: &Source,
        etag: &str,
        target: &Target,
    ) -> Result<String, Failure> {
        let source = pinned(source, Some(etag));
        let target = place(target);
        let number = i32::try_from(part).unwrap_or(i32::MAX);
        let s3 = self.setup.cloud.s3();
        let copied =
            s3.upload_part_copy(&source, first..last + 1, &target, upload_id, number).await;
        self.told("copy a part", copied).map(|part| part.etag)
    }

    async fn complete(
        &self,
        upload_id: &str,
        etags: Vec<String>,
        bytes: u64,
        target: &Target,
    ) -> Result<(Option<String>, Checksums), Failure> {
        let part = |(number, etag)| CompletedPart { number, etag, checksum_crc64nvme: None };
        let complete = CompleteMultipart {
            parts: (1..).zip(etags).map(part).collect(),
            object_bytes: Some(bytes),
            if_none_match: true,
            ..CompleteMultipart::default()
        };
        let target = place(target);
        let s3 = self.setup.cloud.s3();
        let done = s3.complete_multipart(&target, upload_id, complete).await;
        let done = self.told("complete an upload", done)?;
        Ok((done.version_id, done.checksums))
    }

    /// Signature first: whoever finds a record finds what signs it.
    async fn record(&self, delivery: &Delivery) -> Result<(), Failure> {
        if self.setup.limits.look_first {
            self.tag(delivery).await?;
        }
        let Some(bytes) = self.record_bytes(delivery) else {
            return Err(Failure::Permanent(Permanent::Refused));
        };
        let signature = match self.setup.signer.sign(DELIVERY_NAMESPACE, &bytes) {
            Ok(signature) => signature,
            Err(_) => return Err(Failure::Permanent(Permanent::Credentials)),
        };
        let prefix = self.prefix_of(&delivery.target);
        let id = delivery.of.delivery(&delivery.target);
        let key = id.signature_key(&prefix, &bytes);
        match self.put(&delivery.target, key, signature.into_bytes(), "text/plain").await {
            Ok(()) | Err(Failure::Taken) => {}
            Err(failure) => return Err(failure),
        }
        self.put(&delivery.target, id.record_key(&prefix), bytes, "application/json").await
    }

    /// A copy was made without its tags. Who has taken it away since finds in the record what it was.
    async fn tag(&self, delivery: &Delivery) -> Result<(), Failure> {
        let Delivery { of, route, target, target_version_id, content } = delivery;
        let content = content.clone().unwrap_or_default();
        let tags = self.labelled(&content, route, of, target).tags;
        let object = made(target, target_version_id.clone());
        let tagged = self.setup.cloud.s3().put_object_tags(&object, &tags).await;
        match self.told("tag a copy", tagged) {
            Err(Failure::Absent) => Ok(()),
            tagged => tagged,
        }
    }

    fn record_bytes(&self, delivery: &Delivery) -> Option<Vec<u8>> {
        let routing = &self.setup.routing;
        let content = delivery.content.as_ref();
        let record = DeliveryRecord {
            format: DELIVERY_FORMAT.to_owned(),
            exchange: routing.exchange().name.clone(),
            repository: routing.repository().name.clone(),
            inbox: delivery.target.inbox.clone(),
            route: delivery.route.clone(),
            publisher: self.setup.party.clone(),
            recorded: Timestamp::from_unix_ms(self.now_ms()),
            source: DeliverySource {
                bucket: delivery.of.bucket.clone(),
                key: delivery.of.key.clone(),
                version: delivery.of.version.clone(),
                etag: content.map(|there| there.etag.clone()),
                bytes: content.map(|there| there.bytes),
            },
            target: DeliveryTarget {
                bucket: delivery.target.bucket.clone(),
                key: delivery.target.key.clone(),
                version: delivery.target_version_id.clone(),
            },
            crc64nvme: content
                .and_then(|there| there.checksums.get("crc64nvme").map(str::to_owned)),
        };
        let bytes = record.to_bytes();
        // Whoever reads it would refuse it: better nobody signs it.
        DeliveryRecord::parse(&bytes).is_ok().then_some(bytes)
    }

    async fn put(
        &self,
        target: &Target,
        key: String,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> Result<(), Failure> {
        let put = PutObject {
            bucket: target.bucket.clone(),
            key,
            body: Body::Bytes(Bytes::from(bytes)),
            if_none_match: true,
            expected_bucket_owner: Some(target.owner.clone()),
            content_type: Some(content_type.to_owned()),
            encryption: encryption(target),
            ..PutObject::default()
        };
        self.told("write a record", self.setup.cloud.s3().put_object(put).await).map(drop)
    }

    async fn put_aside(&self, origin: &Origin, reasons: Vec<Reason>) -> Result<(), Failure> {
        let (dead, body) = match origin {
            Origin::Queue { dead, body, .. } | Origin::Elsewhere { dead, body } => (dead, body),
            Origin::Dead { .. } | Origin::Listing { .. } => {
                self.notice(&Notice::PutAside(&reasons));
                return Ok(());
            }
        };
        let at = Timestamp::from_unix_ms(self.now_ms());
        for text in Aside::new(at, reasons.clone(), Some(body)).to_texts() {
            self.told("put a message aside", self.setup.cloud.sqs().send(dead, &text).await)?;
        }
        self.notice(&Notice::PutAside(&reasons));
        Ok(())
    }

    async fn delete(&self, origin: &Origin) -> Result<(), Failure> {
        match origin {
            Origin::Queue { done, receipt, .. } => done.delete(receipt.clone()).await,
            // Whoever gave it deletes it, knowing what came of it.
            Origin::Elsewhere { .. } | Origin::Dead { .. } | Origin::Listing { .. } => Ok(()),
        }
    }

    async fn extend(&self, origin: &Origin, seconds: u32) -> Result<(), Failure> {
        match origin {
            Origin::Queue { queue, receipt, .. } | Origin::Dead { queue, receipt } => {
                let kept = self.setup.cloud.sqs().extend(queue, receipt, seconds).await;
                self.told("keep a message", kept)
            }
            Origin::Elsewhere { .. } | Origin::Listing { .. } => Ok(()),
        }
    }

    fn prefix_of(&self, target: &Target) -> String {
        let inbox = self.setup.routing.exchange().inbox(&target.inbox);
        inbox.map(|inbox| inbox.prefix.clone()).unwrap_or_default()
    }
}

/// The source of a copy: this version, and with an ETag this content.
fn pinned(source: &Source, etag: Option<&str>) -> GetObject {
    GetObject {
        bucket: source.bucket.clone(),
        key: source.key.clone(),
        version_id: source.version_id.clone(),
        if_match: etag.map(|etag| format!("\"{etag}\"")),
        expected_bucket_owner: Some(source.owner.clone()),
        customer_key: None,
    }
}

/// What lies where a copy goes.
fn made(target: &Target, version_id: Option<String>) -> GetObject {
    GetObject {
        bucket: target.bucket.clone(),
        key: target.key.clone(),
        version_id,
        expected_bucket_owner: Some(target.owner.clone()),
        ..GetObject::default()
    }
}

/// Where a copy goes, without anything that it says of itself.
fn place(target: &Target) -> MultipartTarget {
    MultipartTarget {
        bucket: target.bucket.clone(),
        key: target.key.clone(),
        expected_bucket_owner: Some(target.owner.clone()),
        encryption: encryption(target),
        ..MultipartTarget::default()
    }
}

fn encryption(target: &Target) -> Option<Encryption> {
    target.kms_key.clone().map(|key| Encryption::SseKms { key: Some(key) })
}

/// `s3://bucket/key?versionId=…`, escaped, for whoever looks at the object.
fn source_text(of: &SourceId) -> Option<String> {
    let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let text =
        format!("s3://{}/{}?versionId={}", of.bucket, escaped(&of.key), escaped(&of.version));
    (text.len() <= SOURCE_TEXT_MAX).then_some(text)
}

fn there(head: Head, tags: BTreeMap<String, String>) -> There {
    There {
        version_id: head.version_id,
        etag: head.etag.as_deref().unwrap_or_default().trim_matches('"').to_owned(),
        bytes: head.bytes,
        checksums: head.checksums,
        content_type: head.content_type,
        labels: Labels { metadata: head.metadata, tags },
    }
}
