//! Events, written in the transaction of what they tell.
//!
//! The shape is that of the S3 event message, version 2.1 (Amazon S3 User Guide, "Event message
//! structure"): keys percent-encoded as in forms, a sequencer that orders the events of one key.

use std::sync::Arc;

use redb::WriteTransaction;
use serde_json::{Value, json};

use super::commit::Garbage;
use super::records::{Notification, Object};
use super::{Result, next_sequence};
use crate::moment;
use crate::sqs::Queue;
use crate::sqs::shelf::{self, Message};
use crate::vault::Vault;

/// Who sends messages for S3, in the attribute `SenderId`.
const SENDER: &str = "AIDAI-S3";
/// The ETag of nothing, which a delete marker has in its event.
const EMPTY_ETAG: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// What events say of the request behind them, and the queues that take them.
#[derive(Clone)]
pub(crate) struct Announcer {
    pub(crate) bucket: String,
    /// The canonical id of the bucket's owner.
    pub(crate) bucket_owner: String,
    pub(crate) region: String,
    /// `AWS:` and the caller's unique id.
    pub(crate) principal: String,
    pub(crate) source_ip: String,
    pub(crate) request_id: String,
    pub(crate) now_ms: u64,
    /// How the request creates objects: `Put`, `Post`, `Copy`, `CompleteMultipartUpload`.
    pub(crate) creation: &'static str,
    /// Configurations whose queue takes what S3 sends.
    pub(crate) open: Vec<(Notification, Arc<Queue>)>,
    pub(crate) vault: Arc<Vault>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening<'a> {
    /// An object came.
    Created(&'a Object),
    /// A version went for good.
    Deleted,
    /// A delete marker came.
    Marked,
}

impl Announcer {
    /// Sends to every queue whose configuration wants it.
    pub(super) fn tell(
        &self,
        transaction: &WriteTransaction,
        after: &mut Garbage,
        key: &[u8],
        version_id: Option<&str>,
        happening: Happening<'_>,
    ) -> Result<()> {
        // As configurations name it, behind `s3:`.
        let name = match happening {
            Happening::Created(_) => format!("ObjectCreated:{}", self.creation),
            Happening::Deleted => "ObjectRemoved:Delete".to_owned(),
            Happening::Marked => "ObjectRemoved:DeleteMarkerCreated".to_owned(),
        };
        let mut sequencer = None;
        for (notification, queue) in &self.open {
            if !wants(notification, &name, key) {
                continue;
            }
            let sequence = match sequencer {
                Some(sequence) => sequence,
                None => *sequencer.insert(next_sequence(transaction)?),
            };
            let object = describe(key, version_id, happening, sequence);
            let event = self.event(&name, &notification.id, &object);
            self.send(transaction, after, queue, &event.to_string())?;
        }
        Ok(())
    }

    /// What S3 sends when a queue is configured.
    pub(crate) fn test(
        &self,
        transaction: &WriteTransaction,
        after: &mut Garbage,
        queue: &Queue,
    ) -> Result<()> {
        let event = json!({
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": moment::iso_millis(self.now_ms),
            "Bucket": self.bucket,
            "RequestId": self.request_id,
            "HostId": self.request_id,
        });
        self.send(transaction, after, queue, &event.to_string())
    }

    fn send(
        &self,
        transaction: &WriteTransaction,
        after: &mut Garbage,
        queue: &Queue,
        body: &str,
    ) -> Result<()> {
        let message = Message::new(&self.vault, body, SENDER, self.now_ms);
        after.rings = true;
        // A queue that is gone takes nothing; S3 tells nobody.
        shelf::send(transaction, queue, &message, self.now_ms, None).map(drop)
    }

    fn event(&self, name: &str, configuration: &str, object: &Value) -> Value {
        json!({ "Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": self.region,
            "eventTime": moment::iso_millis(self.now_ms),
            "eventName": name,
            "userIdentity": { "principalId": self.principal },
            "requestParameters": { "sourceIPAddress": self.source_ip },
            "responseElements": {
                "x-amz-request-id": self.request_id,
                "x-amz-id-2": self.request_id,
            },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": configuration,
                "bucket": {
                    "name": self.bucket,
                    "ownerIdentity": { "principalId": self.bucket_owner },
                    "arn": format!("arn:aws:s3:::{}", self.bucket),
                },
                "object": object,
            },
        }]})
    }
}

fn describe(
    key: &[u8],
    version_id: Option<&str>,
    happening: Happening<'_>,
    sequence: u64,
) -> Value {
    let mut object = json!({ "key": form_encode(key) });
    match happening {
        Happening::Created(content) => {
            object["size"] = json!(content.bytes);
            object["eTag"] = json!(content.etag);
        }
        Happening::Marked => object["eTag"] = json!(EMPTY_ETAG),
        Happening::Deleted => {}
    }
    if let Some(version_id) = version_id {
        object["versionId"] = json!(version_id);
    }
    object["sequencer"] = json!(format!("{sequence:018X}"));
    object
}

fn wants(notification: &Notification, name: &str, key: &[u8]) -> bool {
    let named = |event: &String| {
        let event = event.strip_prefix("s3:").unwrap_or(event);
        match event.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => event == name,
        }
    };
    key.starts_with(notification.prefix.as_bytes())
        && key.ends_with(notification.suffix.as_bytes())
        && notification.events.iter().any(named)
}

/// As `application/x-www-form-urlencoded` has it (a space is `+`), but for slashes, which stay.
fn form_encode(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                text.push(char::from(*byte));
            }
            b' ' => text.push('+'),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_s3_does() {
        assert_eq!(form_encode("a b/é+(1)~%.x".as_bytes()), "a+b/%C3%A9%2B%281%29%7E%25.x");
        assert_eq!(form_encode(b"\xff"), "%FF");
    }

    #[test]
    fn filters_look_at_both_ends_of_the_key() {
        let mut notification = Notification {
            id: "x".into(),
            queue_arn: "q".into(),
            events: vec!["s3:ObjectCreated:*".into()],
            prefix: "in/".into(),
            suffix: ".dcm".into(),
        };
        assert!(wants(&notification, "ObjectCreated:Put", b"in/1.dcm"));
        assert!(!wants(&notification, "ObjectCreated:Put", b"in/1.txt"));
        assert!(!wants(&notification, "ObjectCreated:Put", b"out/1.dcm"));
        assert!(!wants(&notification, "ObjectRemoved:Delete", b"in/1.dcm"));
        notification.events = vec!["s3:ObjectCreated:Copy".into()];
        assert!(!wants(&notification, "ObjectCreated:Put", b"in/1.dcm"));
    }
}
