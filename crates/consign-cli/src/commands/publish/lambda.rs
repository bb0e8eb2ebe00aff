//! The publisher as an AWS Lambda function behind an SQS event source.
//!
//! "AWS Lambda Developer Guide", "Using the Lambda runtime API for custom runtimes": ask for the next invocation,
//! answer it, and so on for ever. The answer names the messages that have to come again
//! (`batchItemFailures`), so the event source must have `ReportBatchItemFailures` on; Lambda deletes
//! the others. Which repository a message is of says the queue that it came from, by its name.

use std::collections::BTreeSet;
use std::time::Duration;

use consign_publisher::batch::{self, Handed};
use consign_publisher::{Publisher, Queues};
use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
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
        match batch::parse(&invocation.body) {
            Some(messages) => {
                let again = handle(&posts, messages, invocation.deadline_ms).await;
                let answer = batch::answer(&again).into_bytes();
                runtime.post(&invocation.id, "response", answer).await?;
            }
            None => {
                let body = serde_json::json!({
                    "errorType": "NoSqsEvent", "errorMessage": "this function takes events of SQS",
                });
                runtime.post(&invocation.id, "error", body.to_string().into_bytes()).await?;
            }
        }
    }
}

/// The ids of the messages that have to come again.
async fn handle(
    posts: &[(Publisher, Queues)],
    messages: Vec<Handed>,
    deadline_ms: u64,
) -> BTreeSet<String> {
    let mut handled = JoinSet::new();
    // All of them, until it is known of one that it was dealt with: Lambda deletes the others.
    let mut again: BTreeSet<String> = messages.iter().map(|handed| handed.id.clone()).collect();
    for Handed { id, message } in messages {
        // Damaged, or of a queue that is not ours: it must not be lost.
        let Some(message) = message else { continue };
        let queue_is_its = |queues: &Queues| {
            queues.queue.as_str().rsplit('/').next() == Some(message.queue.as_str())
        };
        let ours = posts.iter().find(|(_, queues)| queue_is_its(queues));
        let Some((publisher, queues)) = ours.cloned() else { continue };
        handled.spawn(async move {
            let until_ms = deadline_ms.saturating_sub(MARGIN_MS);
            let (body, count) = (&message.body, message.receive_count);
            let work = publisher.handle_for(&queues.dead, body, count, until_ms);
            let time = Duration::from_millis(until_ms.saturating_sub(office::now_ms()));
            let outcome = tokio::time::timeout(time, work).await;
            (id, outcome.is_ok_and(|outcome| outcome.finished))
        });
    }
    while let Some(done) = handled.join_next().await {
        if let Ok((id, true)) = done {
            again.remove(&id);
        }
    }
    again
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
