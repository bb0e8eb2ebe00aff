//! SQS: queues, and the messages in them.
//!
//! A queue is meant by its [`QueueUrl`]. Messages come at least once and in any order: whoever
//! receives one holds it for as long as its visibility timeout lasts ([`Sqs::extend`] makes that
//! longer), and it is delivered again unless [`Sqs::delete`] says that it is done.
//!
//! Requests are tried once: the caller knows what a second try means
//! ([`Error::is_retryable`]). A future that is dropped ends its request; messages that the service
//! gave out meanwhile come again after their visibility timeout.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::elsewhere::signed::{Question, Sender};
use crate::error::{Call, Error, ErrorKind};

/// Queues of one region. Cheap to clone.
#[derive(Clone)]
pub struct Sqs {
    sender: Sender,
    origin: String,
}

impl fmt::Debug for Sqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqs").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The URL by which SQS knows a queue: `https://HOST/ACCOUNT/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueUrl(String);

impl QueueUrl {
    /// A URL from a configuration; the service judges it.
    pub fn new(url: impl Into<String>) -> QueueUrl {
        QueueUrl(url.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message that was received and is hidden from others for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The same at every receipt.
    pub id: String,
    /// Another at every receipt: what [`Sqs::delete`] and [`Sqs::extend`] take.
    pub receipt: String,
    /// The text.
    pub body: String,
    /// How often it was received, this time included; 0 where the server does not say.
    pub receive_count: u32,
    /// Milliseconds since 1970 when it was sent; 0 where the server does not say.
    pub sent_ms: u64,
}

/// Without the body, which is somebody else's business.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("receive_count", &self.receive_count)
            .field("sent_ms", &self.sent_ms)
            .finish_non_exhaustive()
    }
}

impl Sqs {
    pub(crate) fn new(sender: Sender, endpoint: Option<&str>) -> Sqs {
        let aws = || format!("https://sqs.{}.amazonaws.com", sender.region);
        let origin = endpoint.map_or_else(aws, str::to_owned);
        Sqs { origin: origin.trim_end_matches('/').to_owned(), sender }
    }

    /// Makes a standard queue; one that is there with the same attributes is no mistake.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it is there with others.
    pub async fn create_queue(
        &self,
        name: &str,
        attributes: &BTreeMap<String, String>,
    ) -> Result<QueueUrl, Error> {
        let call = Call::new("sqs:CreateQueue", name);
        let input = json!({ "QueueName": name, "Attributes": attributes });
        let answer = self.ask(call.clone(), "CreateQueue", &input).await?;
        url_of(call, &answer)
    }

    /// The URL of a queue of the caller's account.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none.
    pub async fn queue_url(&self, name: &str) -> Result<QueueUrl, Error> {
        let call = Call::new("sqs:GetQueueUrl", name);
        let answer = self.ask(call.clone(), "GetQueueUrl", &json!({ "QueueName": name })).await?;
        url_of(call, &answer)
    }

    /// All attributes, among them `QueueArn`, `Policy` and `ApproximateNumberOfMessages`.
    pub async fn attributes(&self, queue: &QueueUrl) -> Result<BTreeMap<String, String>, Error> {
        let call = Call::new("sqs:GetQueueAttributes", queue.as_str());
        let input = json!({ "QueueUrl": queue.0, "AttributeNames": ["All"] });
        let answer = self.ask(call, "GetQueueAttributes", &input).await?;
        Ok(texts(&answer["Attributes"]))
    }

    /// Sets attributes; others stay as they are, and an empty text takes a policy away.
    pub async fn set_attributes(
        &self,
        queue: &QueueUrl,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let call = Call::new("sqs:SetQueueAttributes", queue.as_str());
        let input = json!({ "QueueUrl": queue.0, "Attributes": attributes });
        self.ask(call, "SetQueueAttributes", &input).await.map(drop)
    }

    /// Deletes a queue with all its messages.
    pub async fn delete_queue(&self, queue: &QueueUrl) -> Result<(), Error> {
        let call = Call::new("sqs:DeleteQueue", queue.as_str());
        self.ask(call, "DeleteQueue", &json!({ "QueueUrl": queue.0 })).await.map(drop)
    }

    /// Adds tags, replacing those of the same key.
    pub async fn tag_queue(
        &self,
        queue: &QueueUrl,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let call = Call::new("sqs:TagQueue", queue.as_str());
        let input = json!({ "QueueUrl": queue.0, "Tags": tags });
        self.ask(call, "TagQueue", &input).await.map(drop)
    }

    /// The tags of a queue.
    pub async fn queue_tags(&self, queue: &QueueUrl) -> Result<BTreeMap<String, String>, Error> {
        let call = Call::new("sqs:ListQueueTags", queue.as_str());
        let answer = self.ask(call, "ListQueueTags", &json!({ "QueueUrl": queue.0 })).await?;
        Ok(texts(&answer["Tags"]))
    }

    /// Receives up to `max` (1 to 10) messages and hides them from others for `visibility_seconds`
    /// (0 to 43,200). With nothing there, waits up to `wait_seconds` (0 to 20) for a message;
    /// none is no error.
    pub async fn receive(
        &self,
        queue: &QueueUrl,
        max: u32,
        wait_seconds: u32,
        visibility_seconds: u32,
    ) -> Result<Vec<Message>, Error> {
        let call = Call::new("sqs:ReceiveMessage", queue.as_str());
        let input = json!({
            "QueueUrl": queue.0,
            "MaxNumberOfMessages": max,
            "WaitTimeSeconds": wait_seconds,
            "VisibilityTimeout": visibility_seconds,
            // Servers of the older interface know the first name alone.
            "AttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
            "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
        });
        let mut question = self.question("ReceiveMessage", &input);
        question.patience = Duration::from_secs(wait_seconds.into());
        let answer = self.send_question(call.clone(), &question).await?;
        let messages = match &answer["Messages"] {
            Value::Null => return Ok(Vec::new()),
            Value::Array(messages) => messages.iter().map(message).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        messages.ok_or_else(|| call.error(ErrorKind::InvalidResponse, "a message lacks its parts"))
    }

    /// Deletes a message that was received. One that is gone already is no error.
    pub async fn delete(&self, queue: &QueueUrl, receipt: &str) -> Result<(), Error> {
        let call = Call::new("sqs:DeleteMessage", queue.as_str());
        let input = json!({ "QueueUrl": queue.0, "ReceiptHandle": receipt });
        self.ask(call, "DeleteMessage", &input).await.map(drop)
    }

    /// Deletes up to ten messages that were received; says of each, in their order, whether it is gone.
    ///
    /// # Errors
    /// When none was looked at.
    pub async fn delete_batch(
        &self,
        queue: &QueueUrl,
        receipts: &[&str],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call::new("sqs:DeleteMessageBatch", queue.as_str());
        let entry =
            |(number, receipt)| json!({ "Id": format!("{number}"), "ReceiptHandle": receipt });
        let entries: Vec<Value> = receipts.iter().enumerate().map(entry).collect();
        let input = json!({ "QueueUrl": queue.0, "Entries": entries });
        let answer = self.ask(call.clone(), "DeleteMessageBatch", &input).await?;
        let deleted = |number: usize| batch_answer(&call, &answer, &format!("{number}"));
        Ok((0..receipts.len()).map(deleted).collect())
    }

    /// Hides a message that was received until `seconds` (0 to 43,200) from now: more time to work
    /// on it, or with 0 none.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when it is not ours any more: seen again, or deleted.
    pub async fn extend(&self, queue: &QueueUrl, receipt: &str, seconds: u32) -> Result<(), Error> {
        let call = Call::new("sqs:ChangeMessageVisibility", queue.as_str());
        let input = json!({
            "QueueUrl": queue.0, "ReceiptHandle": receipt, "VisibilityTimeout": seconds,
        });
        self.ask(call, "ChangeMessageVisibility", &input).await.map(drop)
    }

    /// Sends a text of up to 1 MiB; gives the message's id.
    pub async fn send(&self, queue: &QueueUrl, body: &str) -> Result<String, Error> {
        let call = Call::new("sqs:SendMessage", queue.as_str());
        let input = json!({ "QueueUrl": queue.0, "MessageBody": body });
        let answer = self.ask(call.clone(), "SendMessage", &input).await?;
        let id = answer["MessageId"].as_str().map(str::to_owned);
        id.ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no message id"))
    }

    async fn ask(&self, call: Call, operation: &str, input: &Value) -> Result<Value, Error> {
        self.send_question(call, &self.question(operation, input)).await
    }

    /// All go to the region's own endpoint; which queue is meant says the body alone, so that a
    /// URL out of a message or a configuration never decides whom our signature goes to.
    fn question(&self, operation: &str, input: &Value) -> Question {
        Question {
            service: "sqs",
            origin: self.origin.clone(),
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.0".to_owned()),
                ("x-amz-target", format!("AmazonSQS.{operation}")),
            ],
            body: input.to_string(),
            patience: Duration::ZERO,
        }
    }

    async fn send_question(&self, call: Call, question: &Question) -> Result<Value, Error> {
        let answer = self.sender.ask(call.clone(), question).await?;
        // Operations without a result may answer with no body at all.
        if answer.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&answer).map_err(|error| {
            call.caused(ErrorKind::InvalidResponse, "the answer is not JSON", error)
        })
    }
}

fn url_of(call: Call, answer: &Value) -> Result<QueueUrl, Error> {
    let url = answer["QueueUrl"].as_str().map(QueueUrl::new);
    url.ok_or_else(|| call.error(ErrorKind::InvalidResponse, "the answer has no queue URL"))
}

/// What a batch's answer says of one of its entries; one of which it says nothing may be done or not.
fn batch_answer(call: &Call, answer: &Value, id: &str) -> Result<(), Error> {
    let of_it = |list: &str| {
        answer[list].as_array().into_iter().flatten().find(|entry| entry["Id"].as_str() == Some(id))
    };
    if of_it("Successful").is_some() {
        return Ok(());
    }
    let Some(failed) = of_it("Failed") else {
        let why = "the answer leaves an entry out";
        return Err(call.clone().error(ErrorKind::InvalidResponse, why));
    };
    let text = |name: &str| failed[name].as_str().map(str::to_owned);
    let status = if failed["SenderFault"].as_bool() == Some(true) { 400 } else { 500 };
    Err(call.clone().answered(text("Code"), text("Message"), status))
}

fn message(value: &Value) -> Option<Message> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let attribute = |name: &str| value["Attributes"][name].as_str();
    Some(Message {
        id: text("MessageId")?,
        receipt: text("ReceiptHandle")?,
        body: text("Body")?,
        receive_count: attribute("ApproximateReceiveCount")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        sent_ms: attribute("SentTimestamp").and_then(|text| text.parse().ok()).unwrap_or_default(),
    })
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
