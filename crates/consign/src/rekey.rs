//! Moving what lies on a lane under the keys that the lane declares, within S3: no byte of it
//! passes through this machine, and nothing of it is opened.
//!
//! Each object is copied onto itself under another key: version by version, so that what is copied
//! is what was looked at; then size, checksum and encryption of the copy are compared. The version
//! that was there stays until the lane's lifecycle removes it, unless it is told to go. Run again
//! after any interruption, it goes on: what is moved already is not moved again, and a copy in
//! parts that was begun is completed.
//!
//! A lane's parties cannot do this and are not meant to: see `Maintenance` of the provisioning.

use crate::at_rest::find_key;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::office::Office;
use crate::shipment::transfer_error;
use crate::state::{LaneFolder, Lines};
use consign_cloud::s3::{Encryption, GetObject, Head, ListRequest, MultipartTarget};
use consign_model::{AtRest, Lane, LaneName};
use consign_transfer::copy::{COPY_BYTES_MAX, Copying};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How to move.
#[derive(Clone, Debug, Default)]
pub struct RekeyOptions {
    /// The KMS key to move under, where the lane has one.
    pub key: Option<String>,
    /// Only look.
    pub dry_run: bool,
    /// Remove each version that was moved, once its copy's checksum has been compared. Where the
    /// store keeps none, the version stays.
    pub remove_old: bool,
    /// Objects above so many bytes are copied in parts; none is S3's limit.
    pub single_bytes_max: Option<u64>,
}

/// An object that was moved, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its key in the bucket.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// How it lay: `sse-kms`, `sse-c`, …
    pub from: &'static str,
    /// Whether a checksum of the service's showed that the copy is the same; if not, its size did.
    pub checksum_compared: bool,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Rekeyed {
    /// What was moved, or would be.
    pub moved: Vec<Moved>,
    /// How many objects lay right.
    pub right: u64,
    /// The KMS keys that objects lie under which are to be moved.
    pub old_keys: BTreeSet<String>,
}

/// An unfinished copy in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    key: String,
    version_id: Option<String>,
    target: String,
    upload_id: String,
}

/// Moves every object of a lane that does not lie as the lane declares.
///
/// # Errors
/// [`ErrorKind::Denied`] if these credentials may not; [`ErrorKind::Content`] if a copy is not what
/// it was copied of, which is then left beside the older version. What was moved before stays so.
pub async fn rekey(office: &Office, lane: &LaneName, options: &RekeyOptions) -> Result<Rekeyed> {
    let lane = office.exchange.require_lane(lane)?;
    office.check_lane_secret(lane)?;
    let exchange = &office.exchange.name;
    let folder = LaneFolder::hold(&office.state, exchange, &lane.name, "rekey").await?;
    let (lines, begun) = Lines::open::<Begun>(&folder.path().join("uploads.jsonl"))?;
    let mut moving = Moving { office, lane, options, lines, begun, done: Rekeyed::default() };
    for key in keys(office, lane).await? {
        moving.object(key).await?;
    }
    if !options.dry_run {
        let path = folder.path().join("uploads.jsonl");
        std::fs::remove_file(&path).map_err(crate::error::io(
            ErrorKind::State,
            "cannot remove",
            &path,
        ))?;
    }
    Ok(moving.done)
}

/// Every key under the lane's prefix, whatever put it there.
async fn keys(office: &Office, lane: &Lane) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut token = None;
    loop {
        let list = ListRequest {
            bucket: lane.bucket.to_string(),
            prefix: lane.prefix.clone(),
            expected_bucket_owner: office.owner_of(lane),
            token,
            ..ListRequest::default()
        };
        let page = retrying(office, || office.cloud.s3().list_objects(&list)).await?;
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(keys),
        }
    }
}

struct Moving<'a> {
    office: &'a Office,
    lane: &'a Lane,
    options: &'a RekeyOptions,
    lines: Lines,
    begun: Vec<Begun>,
    done: Rekeyed,
}

impl Moving<'_> {
    async fn object(&mut self, key: String) -> Result<()> {
        let (mut source, head) = self.look(&key).await?;
        let from = mode(&source, &head);
        if self.lies_right(&source, &head, from) {
            self.done.right += 1;
            return Ok(());
        }
        self.done.old_keys.extend(head.kms_key.clone());
        let mut moved = Moved { key, bytes: head.bytes, from, checksum_compared: false };
        if !self.options.dry_run {
            // What is copied, compared and removed is one version.
            source.version_id = head.version_id.clone();
            source.if_match = head.etag.clone();
            moved.checksum_compared = self.copy(&source, head).await?;
        }
        self.done.moved.push(moved);
        Ok(())
    }

    /// The object with the key that S3 needs for it, and what S3 says of it.
    async fn look(&self, key: &str) -> Result<(GetObject, Head)> {
        let object = GetObject {
            bucket: self.lane.bucket.to_string(),
            key: key.to_owned(),
            expected_bucket_owner: self.office.owner_of(self.lane),
            ..GetObject::default()
        };
        let candidates = self.office.candidates(self.lane, self.place(key), None)?;
        let object = match candidates.as_slice() {
            [None] => object,
            _ => find_key(self.office, object, candidates).await?,
        };
        let s3 = self.office.cloud.s3();
        let head = retrying(self.office, || s3.head_object(&object)).await?;
        Ok((object, head))
    }

    fn place<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(self.lane.prefix.as_str()).unwrap_or(key)
    }

    fn lies_right(&self, source: &GetObject, head: &Head, from: &str) -> bool {
        if from != self.lane.at_rest.as_str() {
            return false;
        }
        let newest = self.office.encryption_at(self.lane, self.place(&source.key));
        match self.lane.at_rest {
            AtRest::SseKms | AtRest::DsseKms => {
                self.options.key.is_none() || head.kms_key == self.options.key
            }
            AtRest::SseS3 => true,
            // Under the newest secret of the lane, not under one before it.
            AtRest::SseC => newest.ok().flatten().is_some_and(|newest| {
                matches!(newest, Encryption::SseC(key) if Some(&key) == source.customer_key.as_ref())
            }),
        }
    }

    fn encryption(&self, key: &str) -> Result<Encryption> {
        let kms = self.options.key.clone();
        if kms.is_none() && matches!(self.lane.at_rest, AtRest::SseKms | AtRest::DsseKms) {
            let message = format!("the KMS key of lane `{}` is not known", self.lane.name);
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        Ok(match self.lane.at_rest {
            AtRest::SseKms => Encryption::SseKms { key: kms },
            AtRest::DsseKms => Encryption::DsseKms { key: kms },
            AtRest::SseS3 => Encryption::SseS3,
            AtRest::SseC => self
                .office
                .encryption_at(self.lane, self.place(key))?
                .ok_or_else(|| Error::new(ErrorKind::Bug, "a lane without its secret"))?,
        })
    }

    /// Copies and compares; gives whether a checksum was compared.
    async fn copy(&mut self, source: &GetObject, head: Head) -> Result<bool> {
        let office = self.office;
        let s3 = office.cloud.s3();
        let known = retrying(office, || s3.head_with_checksum(source)).await?.checksum_crc64nvme;
        let target = MultipartTarget {
            bucket: source.bucket.clone(),
            key: source.key.clone(),
            expected_bucket_owner: source.expected_bucket_owner.clone(),
            content_type: head.content_type.clone(),
            metadata: head.metadata.clone(),
            tags: BTreeMap::new(),
            encryption: Some(self.encryption(&source.key)?),
        };
        let begun = Begun {
            key: source.key.clone(),
            version_id: source.version_id.clone(),
            target: self.target_name(),
            upload_id: String::new(),
        };
        let same = |other: &&Begun| Begun { upload_id: String::new(), ..(*other).clone() } == begun;
        let upload_id = self.begun.iter().rev().find(same).map(|begun| begun.upload_id.clone());
        let lines = &mut self.lines;
        let mut remember = |id: &str| {
            lines
                .append(&Begun { upload_id: id.to_owned(), ..begun.clone() })
                .map_err(consign_transfer::SinkError::from)
        };
        let copying = Copying {
            source: source.clone(),
            source_bytes: head.bytes,
            target: target.clone(),
            graft: None,
            crc64nvme: known.clone(),
            single_bytes_max: self.options.single_bytes_max.unwrap_or(COPY_BYTES_MAX),
            part_bytes: None,
            upload_id,
            begun: &mut remember,
        };
        let silent: Arc<dyn consign_transfer::Progress> = Arc::new(consign_transfer::Silent);
        let copied = Box::pin(office.engine.copy(s3, copying, &silent, &office.cancel)).await;
        let copied = copied
            .map_err(|error| transfer_error(error, format!("{} cannot be moved", source.key)))?;
        let copy = GetObject {
            version_id: copied.version_id,
            if_match: copied.etag,
            customer_key: match target.encryption {
                Some(Encryption::SseC(key)) => Some(key),
                _ => None,
            },
            ..source.clone()
        };
        let compared = self.compare(&copy, &head, known.as_deref()).await?;
        office.progress.advance(head.bytes);
        office.progress.files_done(1);
        // A size alone does not justify destroying what it was copied of.
        let remove = self.options.remove_old && compared;
        let old = source.version_id.as_deref().filter(|_| remove);
        if let Some(old) = old.filter(|old| Some(*old) != copy.version_id.as_deref()) {
            let (bucket, key) = (&source.bucket, &source.key);
            retrying(office, || s3.delete_object(bucket, key, Some(old))).await?;
        }
        Ok(compared)
    }

    async fn compare(&self, copy: &GetObject, old: &Head, known: Option<&str>) -> Result<bool> {
        let s3 = self.office.cloud.s3();
        let new = retrying(self.office, || s3.head_with_checksum(copy)).await?;
        let wrong = |what: &str| {
            let message = format!(
                "the copy of {} has another {what} than what it was copied of; the older version \
                 is still there",
                copy.key
            );
            Err(Error::new(ErrorKind::Content, message))
        };
        if new.bytes != old.bytes {
            return wrong("size");
        }
        if mode(copy, &new) != self.lane.at_rest.as_str() {
            return wrong("encryption at rest");
        }
        match (known, new.checksum_crc64nvme.as_deref()) {
            (Some(old), Some(new)) if old != new => wrong("checksum"),
            (Some(_), Some(_)) => Ok(true),
            _ => Ok(false),
        }
    }

    /// Which copies an unfinished one may be part of.
    fn target_name(&self) -> String {
        let key = self.options.key.as_deref().unwrap_or_default();
        format!("{} {key}", self.lane.at_rest.as_str())
    }
}

/// How an object lies, in the words of the exchange file.
fn mode(object: &GetObject, head: &Head) -> &'static str {
    match (&object.customer_key, head.encryption.as_deref()) {
        (Some(_), _) => "sse-c",
        (None, Some("aws:kms")) => "sse-kms",
        (None, Some("aws:kms:dsse")) => "dsse-kms",
        (None, Some("AES256")) => "sse-s3",
        (None, _) => "plain",
    }
}

/// How many objects lie how: for a report.
#[must_use]
pub fn by_mode(moved: &[Moved]) -> BTreeMap<&'static str, u64> {
    moved.iter().fold(BTreeMap::new(), |mut counts, moved| {
        *counts.entry(moved.from).or_default() += 1;
        counts
    })
}
