//! Connections: HTTPS, and plain HTTP on request.
//!
//! One task per connection, in a `JoinSet` that [`Listener::run`] owns. Limits against peers that
//! mean harm or hang: connections at once, handshake and head in time, head size, and (in
//! [`crate::gate::Body`]) silence in the middle of a body. A request goes gate, service, answer;
//! whatever happens, it is answered in its service's own shape and reported to the observer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::call::{Call, FormAnswer, Service, Verified};
use crate::error::{ApiError, ResponseBody, element, full};
use crate::gate::uri::encode;
use crate::gate::{self, Peer};
use crate::iam::records::unique_id;
use crate::moment;
use crate::state::{Served, State};
use crate::{iam, kms, s3, sqs, sts};

/// Enough for every client of one machine; each costs a task and at most one head.
const CONNECTIONS_MAX: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Also the longest a kept-alive connection stays idle.
const HEAD: Duration = Duration::from_secs(60);
/// Room for a session token with session policies, in a header and in a presigned query.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;
/// How long answers under way are waited for when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Hears of every answered request.
pub type Observer = Arc<dyn Fn(&Served) + Send + Sync>;

/// A socket that accepts.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    observer: Option<Observer>,
}

impl Listener {
    /// A listener on a bound socket; over TLS if there is a configuration for it.
    pub fn new(
        socket: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        state: Arc<State>,
        observer: Option<Observer>,
    ) -> Listener {
        Listener { socket, tls: tls.map(TlsAcceptor::from), state, observer }
    }

    /// Serves until `stop` changes, then lets answers under way finish. Dropping the future closes
    /// every connection at once.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let stop_connections = stop.clone();
        let mut connections = JoinSet::new();
        let listener = Arc::new(self);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.socket.accept(), if connections.len() < CONNECTIONS_MAX => {
                    match accepted {
                        Ok((stream, from)) => {
                            let (listener, stop) = (listener.clone(), stop_connections.clone());
                            connections.spawn(serve_connection(listener, stream, from, stop));
                        }
                        // Out of file descriptors, most likely: give closing ones a moment.
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                }
            }
        }
        let finish = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, finish).await;
    }
}

/// Returns once serving shall end, also when whoever could say so is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve_connection(
    listener: Arc<Listener>,
    stream: TcpStream,
    from: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let peer = Peer { source_ip: from.ip().to_canonical(), tls_version: None };
    let Some(acceptor) = listener.tls.clone() else {
        return serve_stream(listener, stream, peer, stop).await;
    };
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let tls_version = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    let peer = Peer { tls_version: Some(tls_version), ..peer };
    serve_stream(listener, stream, peer, stop).await;
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(
    listener: Arc<Listener>,
    stream: S,
    peer: Peer,
    mut stop: watch::Receiver<bool>,
) {
    let answer_one = service_fn(move |request| {
        let listener = listener.clone();
        async move { Ok::<_, Infallible>(answer(&listener, peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer_one);
    tokio::pin!(connection);
    // Errors here are the peer's going away; there is nobody left to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(
    listener: &Listener,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let started = Instant::now();
    let request_id = unique_id("", 16);
    let mut served = Served {
        request_id: request_id.clone(),
        service: "",
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        caller: String::new(),
        status: 0,
        code: None,
        reason: None,
        micros: 0,
    };
    let head = request.method() == Method::HEAD;
    let expects = request.headers().contains_key(::http::header::EXPECT);
    let empty = request.body().size_hint().exact() == Some(0);
    let state = &listener.state;
    let (service, outcome) = match gate::admit(state, &peer, request_id.clone(), request).await {
        Err(turned) => (turned.service, Err(turned.error)),
        Ok(verified) => {
            served.caller.clone_from(&verified.call.caller.arn);
            served.path = what_is_asked(&verified).unwrap_or(served.path);
            let (service, form) = (verified.call.service, verified.call.form.clone());
            let outcome = dispatch(state.clone(), verified).await;
            (service, outcome.map(|response| answer_form(response, form)))
        }
    };
    let mut response = outcome.unwrap_or_else(|error| {
        served.code = Some(error.code.clone());
        served.reason = error.reason().map(str::to_owned);
        error.respond(service, &request_id, head)
    });
    sign_off(&mut response, service, &request_id, state.clock.now_ms());
    // A client that sent `Expect: 100-continue` and gets its answer without a 100 before it (hyper
    // has none for an empty body) may misread the next answer on this connection: botocore does.
    if expects && (empty || served.code.is_some()) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(::http::header::CONNECTION, close);
    }
    if let Some(observer) = &listener.observer {
        served.service = service.name();
        served.status = response.status().as_u16();
        served.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        observer(&served);
    }
    response
}

/// The answer to a PUT as the form that it came in wants it.
fn answer_form(
    mut response: Response<ResponseBody>,
    form: Option<FormAnswer>,
) -> Response<ResponseBody> {
    let Some(form) = form.filter(|_| response.status().is_success()) else { return response };
    let etag = response.headers().get("etag").and_then(|value| value.to_str().ok());
    let etag = etag.unwrap_or_default().to_owned();
    let path = format!("/{}/{}", form.bucket, encode(&form.key, true));
    *response.status_mut() = form.status;
    if let Some(redirect) = form.redirect {
        let joint = if redirect.contains('?') { '&' } else { '?' };
        let (bucket, key) = (encode(&form.bucket, false), encode(&form.key, false));
        let etag = encode(&etag, false);
        let target = format!("{redirect}{joint}bucket={bucket}&key={key}&etag={etag}");
        if let Ok(target) = HeaderValue::from_str(&target) {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(::http::header::LOCATION, target);
        }
    } else if let Ok(target) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(::http::header::LOCATION, target);
    }
    if response.status() == StatusCode::CREATED {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse>");
        element(&mut xml, "Location", &path);
        element(&mut xml, "Bucket", &form.bucket);
        element(&mut xml, "Key", &form.key);
        element(&mut xml, "ETag", &etag);
        xml.push_str("</PostResponse>");
        let content_type = HeaderValue::from_static("application/xml");
        let headers = response.headers_mut();
        headers.insert(::http::header::CONTENT_TYPE, content_type);
        headers.remove(::http::header::CONTENT_LENGTH);
        *response.body_mut() = full(xml);
    }
    response
}

/// The operation of a call whose path says nothing.
fn what_is_asked(verified: &Verified) -> Option<String> {
    let call = &verified.call;
    match call.service {
        Service::S3 => None,
        Service::Kms => {
            call.header("x-amz-target")?.strip_prefix("TrentService.").map(str::to_owned)
        }
        Service::Sqs => call.header("x-amz-target")?.strip_prefix(sqs::TARGET).map(str::to_owned),
        Service::Iam | Service::Sts => {
            let form = iam::query::Form::read(call, verified.body.whole()?).ok()?;
            Some(form.action().to_owned())
        }
    }
}

async fn dispatch(
    state: Arc<State>,
    verified: Verified,
) -> Result<Response<ResponseBody>, ApiError> {
    match verified.call.service {
        Service::S3 => s3::handle(state, verified).await,
        Service::Kms => in_background(state, verified, kms::handle).await,
        Service::Iam => in_background(state, verified, iam::handle).await,
        Service::Sts => in_background(state, verified, sts::handle).await,
        Service::Sqs => sqs::handle(state, verified).await,
    }
}

type Handle = fn(&State, &Call, &[u8]) -> Result<Response<ResponseBody>, ApiError>;

/// Calls of IAM, STS and KMS may wait for the disk, so they leave the connections' threads.
async fn in_background(
    state: Arc<State>,
    mut verified: Verified,
    handle: Handle,
) -> Result<Response<ResponseBody>, ApiError> {
    // The gate read the body whole to check its signature.
    let bytes = verified.body.collect(usize::MAX, || ApiError::internal("unbounded")).await?;
    tokio::task::spawn_blocking(move || handle(&state, &verified.call, &bytes))
        .await
        .unwrap_or_else(|error| Err(ApiError::internal(error)))
}

fn sign_off(response: &mut Response<ResponseBody>, service: Service, id: &str, now_ms: u64) {
    let headers = response.headers_mut();
    let names: &[&str] = match service {
        Service::S3 => &["x-amz-request-id", "x-amz-id-2"],
        _ => &["x-amzn-requestid"],
    };
    let texts = names.iter().map(|name| (*name, id.to_owned()));
    // hyper would write the computer's date; a test's clock must show here too.
    for (name, text) in texts.chain([("date", moment::http(now_ms))]) {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(
                ::http::HeaderName::from_bytes(name.as_bytes()).unwrap_or(::http::header::DATE),
                value,
            );
        }
    }
    headers.insert(::http::header::SERVER, HeaderValue::from_static("consign-local"));
}
