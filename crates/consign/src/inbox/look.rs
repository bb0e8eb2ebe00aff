//! What lies in an inbox, object by object: records, tags, sizes and checksums brought together.

use super::record::{Record, acknowledgement, record};
use super::{
    VERDICT_CLEAN, VERDICT_INFECTED, VERDICT_TAG, entries, find, for_each, must_be, object,
};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::office::Office;
use consign_cloud::s3::{Entry, Head};
use consign_model::{
    ACKNOWLEDGEMENTS, Acknowledgement, DELIVERIES, DeliveryId, DeliveryRecord, Digest, Inbox,
    InboxName, SOURCE_TAG, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One object of an inbox, or a record that does not count or whose object is gone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// Its key; of a record without an object that it could be trusted to name, the record's.
    pub key: String,
    /// Its version, where it is known.
    pub version: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// When S3 stored it.
    pub stored: Option<Timestamp>,
    /// What has become of it.
    pub standing: Standing,
    /// Why, where the standing does not say it: one sentence.
    pub why: Option<String>,
    /// Which delivery it is, if a record says so.
    pub id: Option<DeliveryId>,
    /// The publisher's record, if it counts.
    pub record: Option<DeliveryRecord>,
    /// Who has acknowledged it and when.
    pub acknowledgement: Option<Acknowledgement>,
    /// CRC-64/NVME, as S3 has it.
    pub(super) checksum: Option<String>,
    pub(super) record_digest: Option<Digest>,
}

/// What has become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// It is there, as its record says.
    Delivered,
    /// The same, and a consumer has said that it was fetched.
    Acknowledged,
    /// It is there, and no record says what it is: the publisher is not done, or it is not the
    /// publisher's.
    Unrecorded,
    /// A record does not count, or the object is not what its record says.
    Refused,
    /// Nobody has found it clean yet.
    Quarantined,
    /// The scanner has found it harmful.
    Infected,
    /// There is a record and no object.
    Gone,
}

/// What a look at the folders of an inbox has brought.
struct Folders {
    records: BTreeMap<String, Vec<Record>>,
    acknowledged: BTreeSet<DeliveryId>,
}

/// Everything that lies in an inbox, in the order of keys; refused records last.
///
/// # Errors
/// What concerns all of it. What concerns one delivery is its [`Standing`].
pub async fn deliveries(office: &Office, inbox: &InboxName) -> Result<Vec<Delivery>> {
    let inbox = find(office, inbox)?;
    let readers: Vec<_> = inbox.consumers.iter().chain(&inbox.quarantine).collect();
    must_be(office, inbox, &readers, "read")?;
    let (mut objects, mut records, mut acknowledged) = (Vec::new(), Vec::new(), BTreeSet::new());
    for entry in entries(office, inbox, &inbox.prefix).await? {
        let below = entry.key.strip_prefix(inbox.prefix.as_str()).unwrap_or_default();
        if below.starts_with(DELIVERIES) {
            records.extend(DeliveryId::of_record_key(&inbox.prefix, &entry.key));
        } else if below.starts_with(ACKNOWLEDGEMENTS) {
            acknowledged.extend(DeliveryId::of_acknowledgement_key(&inbox.prefix, &entry.key));
        } else {
            objects.push(entry);
        }
    }
    let judged = for_each(records, |id| {
        let (office, inbox) = (office.clone(), inbox.clone());
        async move { concerning_one(record(&office, &inbox, id).await).map(|it| (id, it)) }
    });
    let mut folders = Folders { records: BTreeMap::new(), acknowledged };
    let mut refused = Vec::new();
    for (id, judged) in judged.await? {
        match judged {
            Ok(record) => {
                folders.records.entry(record.content.target.key.clone()).or_default().push(record);
            }
            Err(error) => refused.push(refused_record(inbox, id, &error)),
        }
    }
    let folders = Arc::new(folders);
    let here: BTreeSet<String> = objects.iter().map(|entry| entry.key.clone()).collect();
    let mut looked = for_each(objects, |entry| {
        let (office, inbox, folders) = (office.clone(), inbox.clone(), folders.clone());
        async move { look(&office, &inbox, &folders, entry).await }
    })
    .await?;
    looked.extend(gone(office, inbox, &folders, &here).await?);
    looked.sort_by(|a, b| a.key.cmp(&b.key));
    looked.extend(refused);
    Ok(looked)
}

/// An error about one thing is kept beside it; one about all of them ends the look.
fn concerning_one<T>(result: Result<T>) -> Result<std::result::Result<T, Error>> {
    match result {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Denied
                    | ErrorKind::Cancelled
                    | ErrorKind::Configuration
                    | ErrorKind::Bug
            ) =>
        {
            Err(error)
        }
        judged => Ok(judged),
    }
}

fn refused_record(inbox: &Inbox, id: DeliveryId, error: &Error) -> Delivery {
    let delivery = Delivery::new(id.record_key(&inbox.prefix), 0);
    let (id, why) = (Some(id), Some(sentence(error)));
    Delivery { id, why, standing: Standing::Refused, ..delivery }
}

/// Records without an object. What was fetched and then removed is no loss, so it matters whether they
/// were acknowledged.
async fn gone(
    office: &Office,
    inbox: &Inbox,
    folders: &Arc<Folders>,
    here: &BTreeSet<String>,
) -> Result<Vec<Delivery>> {
    let records = folders.records.iter().filter(|(key, _)| !here.contains(*key));
    let records: Vec<Record> = records.flat_map(|(_, records)| records).cloned().collect();
    let gone = for_each(records, |record| {
        let (office, inbox, folders) = (office.clone(), inbox.clone(), folders.clone());
        async move {
            let bytes = record.content.source.bytes.unwrap_or_default();
            let key = record.content.target.key.clone();
            let found = Delivery::new(key, bytes).of(&record, Standing::Gone);
            said_of(&office, &inbox, &folders, &record, found).await
        }
    });
    gone.await
}

/// Adds what a consumer has said of a delivery, if it counts.
async fn said_of(
    office: &Office,
    inbox: &Inbox,
    folders: &Folders,
    record: &Record,
    found: Delivery,
) -> Result<Delivery> {
    if !folders.acknowledged.contains(&record.id) {
        return Ok(found);
    }
    let said = acknowledgement(office, inbox, record.id, Some(record.digest)).await;
    Ok(match concerning_one(said)? {
        Ok(said) => Delivery { acknowledgement: Some(said), ..found },
        Err(error) => {
            let why = format!("its acknowledgement does not count: {}", sentence(&error));
            Delivery { why: Some(why), ..found }
        }
    })
}

async fn look(office: &Office, inbox: &Inbox, folders: &Folders, entry: Entry) -> Result<Delivery> {
    let mut found = Delivery::new(entry.key.clone(), entry.bytes);
    found.stored =
        entry.modified_ms.and_then(|ms| u64::try_from(ms).ok()).map(Timestamp::from_unix_ms);
    let there = object(office, inbox, &entry.key, None);
    let s3 = office.cloud.s3();
    let (tags, version) = match retrying(office, || s3.get_object_tags(&there)).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let why = Some("it was removed during the look".to_owned());
            return Ok(Delivery { standing: Standing::Gone, why, ..found });
        }
        tags => tags?,
    };
    found.version.clone_from(&version);
    let records = folders.records.get(&entry.key).map(Vec::as_slice).unwrap_or_default();
    let source = tags.get(SOURCE_TAG).map(String::as_str);
    let named = |record: &&Record| source == Some(&record.content.source_digest().to_string());
    let record = records.iter().find(named);
    if let Some(record) = record {
        found = found.of(record, Standing::Delivered);
    }
    if inbox.quarantine.as_ref().is_some_and(|scanner| *scanner != office.me) {
        match tags.get(VERDICT_TAG).map(String::as_str) {
            Some(VERDICT_CLEAN) => {}
            Some(VERDICT_INFECTED) => {
                return Ok(Delivery { standing: Standing::Infected, ..found });
            }
            other => {
                let why = other.map(|verdict| format!("the scanner says {}", shown(verdict)));
                return Ok(Delivery { standing: Standing::Quarantined, why, ..found });
            }
        }
    }
    let there = object(office, inbox, &entry.key, version.as_deref());
    let head = match retrying(office, || s3.head_with_checksum(&there)).await {
        // Its verdict was taken away since we have seen it.
        Err(error) if error.kind() == ErrorKind::Denied && inbox.quarantine.is_some() => {
            let why = Some("S3 refuses to show it".to_owned());
            return Ok(Delivery { standing: Standing::Quarantined, why, ..found });
        }
        head => head?,
    };
    found.bytes = head.bytes;
    found.checksum.clone_from(&head.checksum_crc64nvme);
    let Some(record) = record else {
        let other = (!records.is_empty())
            .then(|| "its record is of another source than its tag says".to_owned());
        let standing = if other.is_some() { Standing::Refused } else { Standing::Unrecorded };
        return Ok(Delivery { standing, why: other, ..found });
    };
    if let Some(why) = differs(record, &head) {
        return Ok(Delivery { standing: Standing::Refused, why: Some(why), ..found });
    }
    let mut found = said_of(office, inbox, folders, record, found).await?;
    if found.acknowledgement.is_some() {
        found.standing = Standing::Acknowledged;
    }
    Ok(found)
}

/// What of an object is not as its record says.
fn differs(record: &Record, head: &Head) -> Option<String> {
    let content = &record.content;
    let says = |what: &str| Some(format!("its {what} is not what its record says"));
    if content.target.version.is_some() && content.target.version != head.version_id {
        return says("version");
    }
    if content.source.bytes.is_some_and(|bytes| bytes != head.bytes) {
        return says("size");
    }
    match (&content.crc64nvme, &head.checksum_crc64nvme) {
        (Some(one), Some(other)) if one != other => says("checksum"),
        _ => None,
    }
}

impl Delivery {
    fn new(key: String, bytes: u64) -> Delivery {
        Delivery {
            key,
            version: None,
            bytes,
            stored: None,
            standing: Standing::Unrecorded,
            why: None,
            id: None,
            record: None,
            acknowledgement: None,
            checksum: None,
            record_digest: None,
        }
    }

    fn of(self, record: &Record, standing: Standing) -> Delivery {
        Delivery {
            standing,
            id: Some(record.id),
            record: Some(record.content.clone()),
            record_digest: Some(record.digest),
            ..self
        }
    }

    /// The checksum that its bytes must have: the record's, else what S3 computed when it copied.
    pub(super) fn expected_checksum(&self) -> Option<&str> {
        let recorded = self.record.as_ref().and_then(|record| record.crc64nvme.as_deref());
        recorded.or(self.checksum.as_deref())
    }
}

/// An error with its causes, as one sentence.
pub(super) fn sentence(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn shown(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}
