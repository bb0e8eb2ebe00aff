//! A service that refuses, in front of one that does not: what AWS says when it is asked for too much,
//! when something breaks in the middle of a copy, and when a clock is wrong, said to real clients by TLS.
//!
//! Start with [`Refusals::before`]; give the client [`Refusals::endpoint`] instead of the server's.
//! Until [`Refusals::begin`], and after [`Refusals::end`], everything goes through unchanged. Signatures
//! survive, because the `Host` header does.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Which requests are refused, and in which words.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Of which requests.
    pub of: Asked,
    /// HTTP's status; 200 is one, too.
    pub status: u16,
    /// XML or JSON.
    pub body: &'static str,
    /// The server does its work all the same, and nobody hears of it.
    pub done: bool,
}

/// Requests by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Anything of S3.
    S3,
    /// CopyObject.
    Copies,
    /// Anything of SQS.
    Queues,
    /// Anything at all.
    Anything,
}

impl Asked {
    fn is(self, method: &Method, headers: &HeaderMap) -> bool {
        let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok());
        let queue = target.is_some_and(|target| target.starts_with("AmazonSQS."));
        match self {
            Asked::S3 => target.is_none(),
            Asked::Copies => method == Method::PUT && headers.contains_key("x-amz-copy-source"),
            Asked::Queues => queue,
            Asked::Anything => true,
        }
    }
}

/// A running proxy. Dropping it closes its connections.
pub struct Refusals {
    address: SocketAddr,
    line: Arc<Line>,
    accepting: JoinHandle<()>,
}

struct Line {
    server: SocketAddr,
    connector: TlsConnector,
    refusal: Mutex<Option<Refusal>>,
    refused: AtomicU64,
}

impl Refusals {
    /// Listens on a free loopback port, under the certificate authority of a local cloud whose root is
    /// `root`, and forwards to that cloud.
    ///
    /// # Errors
    /// When no port can be bound, or the root has no authority.
    pub async fn before(server: SocketAddr, root: &Path) -> io::Result<Refusals> {
        let acceptor = consign_local::tls::server_config(root).map_err(io::Error::other)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let line = Arc::new(Line {
            server,
            connector: connector(&root.join("ca.pem"))?,
            refusal: Mutex::default(),
            refused: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, acceptor.into(), line.clone()));
        Ok(Refusals { address, line, accepting })
    }

    /// `https://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From now on.
    pub fn begin(&self, refusal: Refusal) {
        *self.line.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    /// No more.
    pub fn end(&self) {
        *self.line.refusal.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How many requests were refused. A test asserts that it grows.
    pub fn refused(&self) -> u64 {
        self.line.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn connector(authority: &Path) -> io::Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, line: Arc<Line>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, line) = (acceptor.clone(), line.clone());
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let serve = service_fn(move |request| answer(line.clone(), request));
            // A client that goes away is its own business.
            let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
    }
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

async fn answer(line: Arc<Line>, request: Request<Incoming>) -> io::Result<Answer> {
    let refusal = *line.refusal.lock().unwrap_or_else(PoisonError::into_inner);
    let refusal = refusal.filter(|it| it.of.is(request.method(), request.headers()));
    let Some(refusal) = refusal else { return line.forward(request).await };
    line.refused.fetch_add(1, Ordering::Relaxed);
    if refusal.done {
        // To the last byte, so that the server has surely done its work.
        let _unheard = line.forward(request).await?.into_body().collect().await;
    }
    let kind = match refusal.body.starts_with('{') {
        true => "application/x-amz-json-1.0",
        false => "application/xml",
    };
    let body = Full::new(Bytes::from_static(refusal.body.as_bytes()));
    Response::builder()
        .status(StatusCode::from_u16(refusal.status).map_err(io::Error::other)?)
        .header(CONTENT_TYPE, kind)
        .body(body.map_err(|never| match never {}).boxed())
        .map_err(io::Error::other)
}

impl Line {
    async fn forward(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let stream = TcpStream::connect(self.server).await?;
        let name = ServerName::IpAddress(self.server.ip().into());
        let stream = self.connector.connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Ends with the exchange: a connection serves one request.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        Ok(answer.map(BodyExt::boxed))
    }
}
