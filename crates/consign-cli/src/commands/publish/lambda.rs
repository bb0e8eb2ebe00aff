//! The publisher as an AWS Lambda function behind an SQS event source.
//!
//! "AWS Lambda Developer Guide", "Using the Lambda runtime API for custom runtimes": ask for the next invocation,
//! answer it, and so on for ever. The answer names the messages that have to come again
//! (`batchItemFailures`), so the event source must have `ReportBatchItemFailures` on; Lambda deletes
//! the others. Which repository a message is of says the queue that it came from, by its name.

use std::time::Duration;

use consign_publisher::{Publisher, Queues};
use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::station::Station;
use crate::error::CommandError;
use crate::office;

const API: &str = "AWS_LAMBDA_RUNTIME_API";
/// Lambda's own limit on what it sends is 6 MB.
const EVENT_BYTES_MAX: usize = 8 << 20;
/// Kept back from an invocation's time for its answer.
const MARGIN_MS: u64 = 2000;

/// Lambda starts a custom runtime under this name.
pub(crate) fn is_bootstrap() -> bool {
    let name = std::env::args_os().next();
    name.is_some_and(|name| std::path::Path::new(&name).file_name() == Some("bootstrap".as_ref()))
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    body: String,
    #[serde(rename = "eventSourceARN")]
    queue_arn: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    approximate_receive_count: Option<String>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    batch_item_failures: Vec<Again>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Again {
    item_identifier: String,
}

/// Serves invocations until Lambda ends the process.
pub(super) async fn serve(station: &Station) -> Result<(), CommandError> {
    let api = std::env::var(API).map_err(|_| {
        CommandError::usage(format!("{API} is not set: this is no environment of AWS Lambda"))
            .hint("leave out --lambda to serve a queue from here")
    })?;
    let runtime = Runtime { api };
    let mut posts = Vec::new();
    for publisher in &station.publishers {
        posts.push((publisher.clone(), publisher.queues().await?));
    }
    loop {
        let invocation = runtime.next().await?;
        match serde_json::from_slice::<Event>(&invocation.body) {
            Ok(event) => {
                let answer = handle(&posts, event, invocation.deadline_ms).await;
                let body = serde_json::to_vec(&answer)
                    .map_err(|e| CommandError::internal("cannot write the answer", e))?;
                runtime.post(&invocation.id, "response", body).await?;
            }
            Err(_) => {
                let body = serde_json::json!({
                    "errorType": "NoSqsEvent", "errorMessage": "this function takes events of SQS",
                });
                runtime.post(&invocation.id, "error", body.to_string().into_bytes()).await?;
            }
        }
    }
}

async fn handle(posts: &[(Publisher, Queues)], event: Event, deadline_ms: u64) -> Answer {
    let mut handled = JoinSet::new();
    let mut answer = Answer::default();
    for record in event.records {
        let id = record.message_id.clone();
        let name = record.queue_arn.rsplit(':').next().unwrap_or_default();
        let ours = posts.iter().find(|(_, it)| it.queue.as_str().rsplit('/').next() == Some(name));
        let Some((publisher, queues)) = ours.cloned() else {
            // Of a queue that is not ours: it must not be lost.
            answer.batch_item_failures.push(Again { item_identifier: id });
            continue;
        };
        handled.spawn(async move {
            let count = record.attributes.approximate_receive_count;
            let count = count.and_then(|text| text.parse().ok()).unwrap_or(1);
            let until_ms = deadline_ms.saturating_sub(MARGIN_MS);
            let work = publisher.handle_for(&queues.dead, &record.body, count, until_ms);
            let time = Duration::from_millis(until_ms.saturating_sub(office::now_ms()));
            let outcome = tokio::time::timeout(time, work).await;
            (id, outcome.is_ok_and(|outcome| outcome.finished))
        });
    }
    while let Some(done) = handled.join_next().await {
        if let Ok((id, false)) = done {
            answer.batch_item_failures.push(Again { item_identifier: id });
        }
    }
    answer
}

struct Runtime {
    api: String,
}

struct Invocation {
    id: String,
    deadline_ms: u64,
    body: Bytes,
}

impl Runtime {
    /// Waits for as long as nothing is to be done.
    async fn next(&self) -> Result<Invocation, CommandError> {
        let request = self.request("GET", "/2018-06-01/runtime/invocation/next", Vec::new())?;
        let (head, body) = self.send(request).await?;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let id = header("lambda-runtime-aws-request-id").map(str::to_owned);
        let deadline = header("lambda-runtime-deadline-ms").and_then(|text| text.parse().ok());
        match (id, deadline) {
            (Some(id), Some(deadline_ms)) => Ok(Invocation { id, deadline_ms, body }),
            _ => Err(CommandError::failed("the runtime interface names no invocation")),
        }
    }

    async fn post(&self, id: &str, what: &str, body: Vec<u8>) -> Result<(), CommandError> {
        let path = format!("/2018-06-01/runtime/invocation/{id}/{what}");
        self.send(self.request("POST", &path, body)?).await.map(drop)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, CommandError> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, &self.api)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| CommandError::failed("not a request to the runtime").caused_by(e))
    }

    /// Plain HTTP on the machine itself: the interface has no other form.
    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(http::response::Parts, Bytes), CommandError> {
        let unreachable = || format!("cannot reach the runtime interface at {}", self.api);
        let stream = TcpStream::connect(&self.api)
            .await
            .map_err(|e| CommandError::failed(unreachable()).caused_by(e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| CommandError::failed(unreachable()).caused_by(e))?;
        let connection = tokio::spawn(connection);
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| CommandError::failed(unreachable()).caused_by(e))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, EVENT_BYTES_MAX).collect().await.map_err(|_| {
            CommandError::failed("the runtime interface broke off, or sent more than an event")
        })?;
        connection.abort();
        if !head.status.is_success() {
            let status = head.status;
            return Err(CommandError::failed(format!("the runtime interface answered {status}")));
        }
        Ok((head, body.to_bytes()))
    }
}
