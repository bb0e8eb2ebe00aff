//! What a queue says about objects: S3's own message, or one that SNS or EventBridge wrapped.
//!
//! Start with [`parse`]. Whoever may send to the queue wrote the text, so nothing in it is believed
//! but its shape: which buckets are ours, and where things go, the caller decides. A message is
//! never an instruction (an SNS subscription is not confirmed, no URL is followed), and no text ends
//! in a panic. Shapes: Amazon S3 User Guide, "Event message structure" and "EventBridge event
//! message structure"; SNS Developer Guide, "HTTP/HTTPS notification JSON format".

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// SQS's own limit; a longer text did not come from a queue.
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
    /// Size, where told.
    pub bytes: Option<u64>,
    /// Without quotes, where told.
    pub etag: Option<String>,
    /// Orders the events of one key, and no others.
    pub sequencer: Option<Sequencer>,
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

/// A hexadecimal number of any length that grows with the events of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequencer(String);

impl Sequencer {
    /// At most 128 hexadecimal digits.
    fn parse(text: &str) -> Option<Sequencer> {
        let sound = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        sound.then(|| Sequencer(text.to_ascii_uppercase()))
    }

    /// Whether this event came after `other`, of the same key. The shorter number has zeros behind
    /// it, as the User Guide says.
    pub fn is_after(&self, other: &Sequencer) -> bool {
        let width = self.0.len().max(other.0.len());
        let padded = |text: &str| format!("{text:0<width$}");
        padded(&self.0) > padded(&other.0)
    }
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
/// is there twice is refused by serde: two readers could take different ones.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Records")]
    records: Option<Vec<Value>>,
    #[serde(rename = "Event")]
    event: Option<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    source: Option<String>,
    detail: Option<Value>,
}

enum Opened {
    Notice(Notice),
    Inner(String),
}

impl Envelope {
    fn open(self) -> Result<Opened, Malformed> {
        let shapes = [
            self.records.is_some(),
            self.event.is_some(),
            self.kind.is_some(),
            self.detail.is_some(),
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
        match (self.kind.as_deref(), self.message) {
            (Some("Notification"), Some(message)) => return Ok(Opened::Inner(message)),
            (Some(_), _) => return Err(malformed("SNS says something else than a notification")),
            (None, _) => {}
        }
        match (self.source.as_deref(), self.detail_type, self.detail) {
            (Some("aws.s3"), Some(detail_type), Some(detail)) => {
                let event = of_detail(&detail_type, detail);
                Ok(Opened::Notice(Notice::Events(vec![event])))
            }
            (_, _, Some(_)) => Err(malformed("EventBridge tells of another service")),
            _ => Err(malformed("it has no shape that is known")),
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
    /// As in forms: percent-encoded, `+` for a space.
    key: String,
    size: Option<u64>,
    e_tag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

fn of_record(record: Value) -> Result<ObjectEvent, Malformed> {
    let lacks = |_| malformed("a record lacks its parts");
    let record: Record = serde_json::from_value(record).map_err(lacks)?;
    // `aws:s3`, `ceph:s3`, `minio:s3`: the same message from other stores.
    if !record.event_source.ends_with(":s3") {
        return Err(malformed("a record is of another service"));
    }
    // Some stores write `s3:` before it.
    let name = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
    let happening = match name.split(':').next() {
        Some("ObjectCreated") => Happening::Created,
        Some("ObjectRemoved") => Happening::Removed,
        _ => Happening::Other(other_name(name)),
    };
    let RecordObject { key, size, e_tag, version_id, sequencer } = record.s3.object;
    let key = key.replace('+', " ");
    let key = percent_encoding::percent_decode_str(&key).decode_utf8();
    let key = key.map_err(|_| malformed("a key is not UTF-8"))?.into_owned();
    checked(ObjectEvent {
        happening,
        bucket: record.s3.bucket.name,
        key,
        version_id,
        bytes: size,
        etag: e_tag,
        sequencer: sequencer.as_deref().and_then(Sequencer::parse),
    })
}

#[derive(Deserialize)]
struct Detail {
    bucket: Named,
    object: DetailObject,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DetailObject {
    /// As it is: EventBridge does not encode.
    key: String,
    size: Option<u64>,
    etag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

fn of_detail(detail_type: &str, detail: Value) -> Result<ObjectEvent, Malformed> {
    let lacks = |_| malformed("the detail lacks its parts");
    let Detail { bucket, object } = serde_json::from_value(detail).map_err(lacks)?;
    checked(ObjectEvent {
        happening: match detail_type {
            "Object Created" => Happening::Created,
            "Object Deleted" => Happening::Removed,
            other => Happening::Other(other_name(other)),
        },
        bucket: bucket.name,
        key: object.key,
        version_id: object.version_id,
        bytes: object.size,
        etag: object.etag,
        sequencer: object.sequencer.as_deref().and_then(Sequencer::parse),
    })
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
    event.etag = event.etag.map(|etag| etag.trim_matches('"').to_owned());
    if !event.etag.as_ref().is_none_or(visible) {
        return Err(malformed("an ETag is none"));
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::Sequencer;

    #[test]
    fn sequencers_order_the_events_of_a_key() {
        let sequencer = |text: &str| Sequencer::parse(text).expect("hexadecimal");
        assert!(sequencer("0055AED6DCD90281E6").is_after(&sequencer("0055AED6DCD90281E5")));
        assert!(sequencer("0055AF").is_after(&sequencer("0055AED6DC")));
        assert!(!sequencer("00").is_after(&sequencer("0000")));
        assert!(sequencer("ab").is_after(&sequencer("AA")));
        for hostile in ["", "xyz", "-1", &"0".repeat(129)] {
            assert_eq!(Sequencer::parse(hostile), None, "{hostile}");
        }
    }
}
