//! What AWS Lambda hands over: messages that it took from a queue, as JSON, and the answer that says which
//! of them have to come again.
//!
//! AWS Lambda Developer Guide, "Using Lambda with Amazon SQS" and "Handling errors for an SQS event source"
//! (`ReportBatchItemFailures`). Whoever may invoke the function wrote the text: of a message that is
//! damaged only its id counts, because Lambda deletes whatever is not named in the answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// By which the answer names it.
    pub id: String,
    /// What it says, and from where; none for a message that is damaged: it has to come again.
    pub message: Option<Message>,
}

/// What a message of a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The name of the queue that it came from: the end of its ARN.
    pub queue: String,
    /// To be read by [`event::parse`](crate::event::parse).
    pub body: String,
    /// How often it was received, this time included; at least 1.
    pub receive_count: u32,
}

#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    #[serde(default)]
    body: Word,
    #[serde(rename = "eventSourceARN", default)]
    queue_arn: Word,
    #[serde(default)]
    attributes: Attributes,
}

/// A text, or anything else.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Other(serde::de::IgnoredAny),
    #[default]
    Missing,
}

impl Word {
    fn text(self) -> Option<String> {
        match self {
            Word::Text(text) => Some(text),
            Word::Other(_) | Word::Missing => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Attributes {
    Read {
        #[serde(rename = "ApproximateReceiveCount")]
        receive_count: String,
    },
    Other(serde::de::IgnoredAny),
    #[default]
    Missing,
}

/// Reads a batch. None for what is none, or has a message without an id: nothing can be said of it
/// then, and an error makes Lambda keep all of it.
pub fn parse(bytes: &[u8]) -> Option<Vec<Handed>> {
    let batch: Batch = serde_json::from_slice(bytes).ok()?;
    Some(batch.records.into_iter().map(handed).collect())
}

fn handed(record: Record) -> Handed {
    let count = match record.attributes {
        Attributes::Read { receive_count } => receive_count.parse().unwrap_or(1),
        Attributes::Other(_) | Attributes::Missing => 1,
    };
    let message = record.queue_arn.text().zip(record.body.text()).map(|(arn, body)| {
        let queue = arn.rsplit(':').next().unwrap_or_default().to_owned();
        Message { queue, body, receive_count: count.max(1) }
    });
    Handed { id: record.message_id, message }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    batch_item_failures: Vec<Again<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Again<'a> {
    item_identifier: &'a str,
}

/// The answer to a batch: these come again, the others are deleted.
pub fn answer(again: &BTreeSet<String>) -> String {
    let again = again.iter().map(|id| Again { item_identifier: id });
    let answer = Answer { batch_item_failures: again.collect() };
    serde_json::to_string(&answer).expect("texts always serialise")
}
