//! A bad network between a client and a plain-HTTP server: by seed it answers 503, loses requests,
//! loses answers, or waits.
//!
//! Losing an *answer* is the fault that matters most: the server has done the work, the client does
//! not know. Start with [`Faults::between`]; give the client [`Faults::endpoint`] instead of the
//! server's. Signatures survive, because the `Host` header passes unchanged.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::random::Seed;

/// How often each fault comes: once in that many requests; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// 503 `SlowDown` without asking the server.
    pub slow_down: u64,
    /// The connection closes before the server sees the request.
    pub lost_request: u64,
    /// The server does its work, then the connection closes.
    pub lost_answer: u64,
    /// The request waits for `delay` first.
    pub delayed: u64,
    /// How long a delayed request waits.
    pub delay: Duration,
}

/// A running proxy. Dropping it closes its connections.
pub struct Faults {
    address: SocketAddr,
    line: Arc<Line>,
    accepting: JoinHandle<()>,
}

struct Line {
    server: SocketAddr,
    rates: Rates,
    seed: Mutex<Seed>,
    injected: AtomicU64,
    passed: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    SlowDown,
    LostRequest,
    LostAnswer,
    Delayed,
}

impl Faults {
    /// Listens on a free loopback port and forwards to `server`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn between(server: SocketAddr, rates: Rates, seed: Seed) -> io::Result<Faults> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let line = Arc::new(Line {
            server,
            rates,
            seed: Mutex::new(seed),
            injected: AtomicU64::new(0),
            passed: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, line.clone()));
        Ok(Faults { address, line, accepting })
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests were disturbed. A test asserts that it is not zero.
    pub fn injected(&self) -> u64 {
        self.line.injected.load(Ordering::Relaxed)
    }

    /// How many requests came through untouched.
    pub fn passed(&self) -> u64 {
        self.line.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, line: Arc<Line>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let line = line.clone();
        connections.spawn(async move {
            let serve = service_fn(move |request| forward(line.clone(), request));
            // An error of the service closes the connection without an answer: that is a fault.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
    }
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

async fn forward(line: Arc<Line>, request: Request<Incoming>) -> io::Result<Answer> {
    let fault = line.draw();
    match fault {
        Some(Fault::SlowDown) => return Ok(slow_down()),
        Some(Fault::LostRequest) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Delayed) => tokio::time::sleep(line.rates.delay).await,
        Some(Fault::LostAnswer) | None => {}
    }
    let stream = TcpStream::connect(line.server).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Ends with the exchange: a connection serves one request.
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if fault == Some(Fault::LostAnswer) {
        // To the last byte, so that the server has surely done its work.
        let _ = answer.into_body().collect().await;
        driver.abort();
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(answer.map(BodyExt::boxed))
}

impl Line {
    fn draw(&self) -> Option<Fault> {
        let mut seed = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        let rates = [
            (Fault::SlowDown, self.rates.slow_down),
            (Fault::LostRequest, self.rates.lost_request),
            (Fault::LostAnswer, self.rates.lost_answer),
            (Fault::Delayed, self.rates.delayed),
        ];
        let fault = rates.into_iter().find(|(_, once_in)| *once_in > 0 && seed.one_in(*once_in));
        let count = if fault.is_some() { &self.injected } else { &self.passed };
        count.fetch_add(1, Ordering::Relaxed);
        fault.map(|(fault, _)| fault)
    }
}

fn slow_down() -> Answer {
    let text =
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let body = Full::new(Bytes::from_static(text.as_bytes()));
    let mut answer = Response::new(body.map_err(|never| match never {}).boxed());
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::sink::Sink;

    /// One PUT of its own connection; the status, or `None` when no answer came.
    async fn put(endpoint: &str, key: &str) -> Option<StatusCode> {
        let address = endpoint.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::put(format!("/b/{key}")).header("host", address);
        let request = request.body(Full::new(Bytes::from_static(b"content"))).unwrap();
        sender.send_request(request).await.ok().map(|answer| answer.status())
    }

    /// What the client sees and whether the server did the work, with one fault at every request.
    async fn check(rates: Rates, seen: Option<StatusCode>, stored: usize) {
        let sink = Sink::start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let server = sink.endpoint().trim_start_matches("http://").parse().unwrap();
        let faults = Faults::between(server, rates, Seed::new(1)).await.unwrap();
        assert_eq!(put(&faults.endpoint(), "key").await, seen);
        assert_eq!(sink.store().objects().len(), stored);
        assert_eq!(faults.injected() + faults.passed(), 1);
    }

    #[tokio::test]
    async fn each_fault_is_what_its_name_says() {
        let none = Rates::default();
        check(none, Some(StatusCode::OK), 1).await;
        let busy = Some(StatusCode::SERVICE_UNAVAILABLE);
        check(Rates { slow_down: 1, ..none }, busy, 0).await;
        check(Rates { lost_request: 1, ..none }, None, 0).await;
        check(Rates { lost_answer: 1, ..none }, None, 1).await;
        let delay = Duration::from_millis(1);
        check(Rates { delayed: 1, delay, ..none }, Some(StatusCode::OK), 1).await;
    }

    #[tokio::test]
    async fn the_same_seed_disturbs_the_same_requests() {
        let sink = Sink::start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let server: SocketAddr = sink.endpoint().trim_start_matches("http://").parse().unwrap();
        let rates = Rates { slow_down: 3, ..Rates::default() };
        let mut runs = Vec::new();
        for _ in 0..2 {
            let faults = Faults::between(server, rates, Seed::new(42)).await.unwrap();
            let mut run = Vec::new();
            for key in 0..20 {
                run.push(put(&faults.endpoint(), &key.to_string()).await);
            }
            assert!(faults.injected() > 0 && faults.passed() > 0);
            runs.push(run);
        }
        assert_eq!(runs[0], runs[1]);
    }
}
