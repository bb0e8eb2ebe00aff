//! What a queue says about objects: S3's own message, or one that SNS or EventBridge wrapped.
//!
//! Start with [`parse`]. Whoever may send to the queue wrote the text, so nothing in it is believed
//! but its shape: which buckets are ours, and where things go, the caller decides. A message is
//! never an instruction (an SNS subscription is not confirmed, no URL is followed), and no text ends
//! in a panic. Read is which object is meant and what happened to it; size, ETag, order and region
//! are not, in whatever form they come: the object itself is looked at before anything is done.
//!
//! Shapes: Amazon S3 User Guide, "Event message structure" (versions 2.0 to 2.6 differ in what is not
//! read here) and "EventBridge event message structure"; SNS Developer Guide, "Parsing message formats".

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// SQS's own limit; a longer text did not come from a queue. S3's messages have 64 KiB at most.
const BODY_BYTES_MAX: usize = 1 << 20;
/// S3 sends one record in a message; the format allows more.
const RECORDS_MAX: usize = 1000;
/// An event in an SNS message, and room for one that EventBridge put there.
const ENVELOPES_MAX: u32 = 3;
/// S3's limit of a key.
const KEY_BYTES_MAX: usize = 1024;
const VERSION_BYTES_MAX: usize = 1024;

/// What one message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// S3 tried out the queue (`s3:TestEvent`): there is nothing to do.
    Test,
    /// Events, in the order of the message; each can be read or not by itself.
    Events(Vec<Result<ObjectEvent, Malformed>>),
}

/// Something happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEvent {
    /// What.
    pub happening: Happening,
    /// Where; a name as S3 allows it, and not yet one of ours.
    pub bucket: String,
    /// Decoded, never empty, at most 1024 bytes.
    pub key: String,
    /// In a bucket with versioning.
    pub version_id: Option<String>,
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It came, or another version did.
    Created,
    /// It was deleted, or a delete marker was put over it.
    Removed,
    /// Anything else, by its name: tags, restores, replication.
    Other(String),
}

/// Why a message, or a record in one, is none. Quotes nothing of it: the sentence goes to logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    why: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an event of S3: {}", self.why)
    }
}

impl std::error::Error for Malformed {}

fn malformed(why: &'static str) -> Malformed {
    Malformed { why }
}

/// Reads the body of a message.
///
/// # Errors
/// For what is no event of S3 at all. A record that cannot be read does not spoil those beside it.
pub fn parse(body: &str) -> Result<Notice, Malformed> {
    if body.len() > BODY_BYTES_MAX {
        return Err(malformed("it is longer than any message"));
    }
    let mut text = body.to_owned();
    for _ in 0..ENVELOPES_MAX {
        let envelope: Envelope =
            serde_json::from_str(&text).map_err(|_| malformed("it is no such JSON"))?;
        match envelope.open()? {
            Opened::Notice(notice) => return Ok(notice),
            Opened::Inner(inner) => text = inner,
        }
    }
    Err(malformed("it is wrapped too often"))
}

/// The outermost object of all shapes: which of its fields are there tells which it is. A field that
/// is there twice, here or further in, is refused by serde: two readers could take different ones.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Records")]
    records: Option<Vec<Either<Record>>>,
    #[serde(rename = "Event")]
    event: Option<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    source: Option<String>,
    detail: Option<Either<Detail>>,
    // A detail by itself.
    bucket: Option<Either<Named>>,
    object: Option<Either<DetailObject>>,
    reason: Option<String>,
}

/// What can be read, or anything else: a damaged record does not spoil those beside it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either<T> {
    Sound(T),
    Damaged(IgnoredAny),
}

impl<T> Either<T> {
    fn sound(self, why: &'static str) -> Result<T, Malformed> {
        match self {
            Either::Sound(sound) => Ok(sound),
            Either::Damaged(IgnoredAny) => Err(malformed(why)),
        }
    }
}

enum Opened {
    Notice(Notice),
    Inner(String),
}

impl Opened {
    fn one(event: Result<ObjectEvent, Malformed>) -> Opened {
        Opened::Notice(Notice::Events(vec![event]))
    }
}

impl Envelope {
    fn open(self) -> Result<Opened, Malformed> {
        let shapes = [
            self.records.is_some(),
            self.event.is_some(),
            self.kind.is_some(),
            self.detail.is_some(),
            self.object.is_some(),
        ];
        if shapes.iter().filter(|is| **is).count() > 1 {
            return Err(malformed("it has two shapes at once"));
        }
        if let Some(records) = self.records {
            if records.len() > RECORDS_MAX {
                return Err(malformed("it has too many records"));
            }
            let events = records.into_iter().map(of_record).collect();
            return Ok(Opened::Notice(Notice::Events(events)));
        }
        if let Some(event) = self.event {
            return match event.as_str() {
                "s3:TestEvent" => Ok(Opened::Notice(Notice::Test)),
                _ => Err(malformed("it is an event without records")),
            };
        }
        if let Some(kind) = self.kind {
            return match (kind.as_str(), self.message) {
                ("Notification", Some(message)) => Ok(Opened::Inner(message)),
                _ => Err(malformed("SNS says something else than a notification")),
            };
        }
        if let Some(detail) = self.detail {
            return match (self.source.as_deref(), self.detail_type) {
                (Some("aws.s3"), Some(detail_type)) => {
                    let happening = Happening::of_detail_type(&detail_type);
                    Ok(Opened::one(of_detail(happening, detail)))
                }
                _ => Err(malformed("EventBridge tells of another service")),
            };
        }
        match (self.bucket, self.object) {
            (Some(bucket), Some(object)) => {
                let happening = Happening::of_reason(self.reason.as_deref())?;
                Ok(Opened::one(of_parts(happening, bucket, object)))
            }
            _ => Err(malformed("it has no shape that is known")),
        }
    }
}

impl Happening {
    /// Of S3's own messages. Some stores write `s3:` before the name.
    fn of_event_name(name: &str) -> Happening {
        let name = name.strip_prefix("s3:").unwrap_or(name);
        let family = name.split(':').next().unwrap_or_default();
        // An arrival that is taken for something else would be lost.
        if family.eq_ignore_ascii_case("ObjectCreated") {
            Happening::Created
        } else if family.eq_ignore_ascii_case("ObjectRemoved") {
            Happening::Removed
        } else {
            Happening::Other(other_name(name))
        }
    }

    fn of_detail_type(name: &str) -> Happening {
        match name {
            "Object Created" => Happening::Created,
            "Object Deleted" => Happening::Removed,
            other => Happening::Other(other_name(other)),
        }
    }

    /// A rule with the input path `$.detail` hands on the detail alone. It has a `reason` where an object
    /// came or went; without one nobody knows.
    fn of_reason(reason: Option<&str>) -> Result<Happening, Malformed> {
        match reason {
            Some("PutObject" | "POST Object" | "CopyObject" | "CompleteMultipartUpload") => {
                Ok(Happening::Created)
            }
            Some("DeleteObject" | "Lifecycle Expiration") => Ok(Happening::Removed),
            _ => Err(malformed("it does not say what happened")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_source: String,
    event_name: String,
    s3: RecordS3,
}

#[derive(Deserialize)]
struct RecordS3 {
    bucket: Named,
    object: RecordObject,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordObject {
    key: String,
    version_id: Option<String>,
}

fn of_record(record: Either<Record>) -> Result<ObjectEvent, Malformed> {
    let record = record.sound("a record lacks its parts")?;
    // `aws:s3`, `ceph:s3`, `minio:s3`: the same message from other stores.
    let Some(store) = record.event_source.strip_suffix(":s3") else {
        return Err(malformed("a record is of another service"));
    };
    let RecordObject { key, version_id } = record.s3.object;
    let key = match store {
        // `rgw_pubsub_s3_event::dump` writes the key as it is.
        "ceph" => key,
        // As in forms: percent-encoded, `+` for a space.
        _ => {
            let key = key.replace('+', " ");
            let key = percent_encoding::percent_decode_str(&key).decode_utf8();
            key.map_err(|_| malformed("a key is not UTF-8"))?.into_owned()
        }
    };
    let happening = Happening::of_event_name(&record.event_name);
    checked(ObjectEvent { happening, bucket: record.s3.bucket.name, key, version_id })
}

#[derive(Deserialize)]
struct Detail {
    bucket: Either<Named>,
    object: Either<DetailObject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DetailObject {
    /// As it is: EventBridge does not encode.
    key: String,
    version_id: Option<String>,
}

const DETAIL: &str = "the detail lacks its parts";

fn of_detail(happening: Happening, detail: Either<Detail>) -> Result<ObjectEvent, Malformed> {
    let Detail { bucket, object } = detail.sound(DETAIL)?;
    of_parts(happening, bucket, object)
}

fn of_parts(
    happening: Happening,
    bucket: Either<Named>,
    object: Either<DetailObject>,
) -> Result<ObjectEvent, Malformed> {
    let bucket = bucket.sound(DETAIL)?.name;
    let DetailObject { key, version_id } = object.sound(DETAIL)?;
    checked(ObjectEvent { happening, bucket, key, version_id })
}

/// A stranger's word, short and printable.
fn other_name(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect()
}

/// Names that S3 itself could have given; everything downstream may rely on it.
fn checked(mut event: ObjectEvent) -> Result<ObjectEvent, Malformed> {
    let bucket_byte =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    if !(3..=63).contains(&event.bucket.len()) || !event.bucket.bytes().all(bucket_byte) {
        return Err(malformed("a bucket's name is none"));
    }
    if !(1..=KEY_BYTES_MAX).contains(&event.key.len()) {
        return Err(malformed("a key is empty or too long"));
    }
    // Empty in some stores where there is no versioning.
    event.version_id = event.version_id.filter(|id| !id.is_empty());
    let visible = |id: &String| {
        id.len() <= VERSION_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !event.version_id.as_ref().is_none_or(visible) {
        return Err(malformed("a version id is none"));
    }
    Ok(event)
}
