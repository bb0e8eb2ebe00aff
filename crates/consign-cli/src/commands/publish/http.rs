//! `/metrics` and `/healthz`, over plain HTTP: meant for loopback, where a collector runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::counters::Counters;
use crate::error::CommandError;

const CONNECTIONS_MAX: usize = 16;
/// For the head of a request, and for a connection that is kept open.
const HEAD: Duration = Duration::from_secs(30);

/// Binds the address, so that a wrong one is known before anything is begun.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|error| {
        CommandError::usage(format!("cannot serve metrics on {address}")).caused_by(error)
    })
}

/// Answers until it is dropped: also while the publisher ends.
pub(super) async fn serve(listener: TcpListener, counters: Arc<Counters>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                let Ok((stream, _)) = accepted else { continue };
                let counters = counters.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answer(&request, &counters);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    // A peer that goes away is its own business.
                    let _gone = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEAD)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        }
    }
}

fn answer(request: &Request<Incoming>, counters: &Counters) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, counters.text()),
        "/healthz" => match counters.illness() {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        _ => (StatusCode::NOT_FOUND, "there are /metrics and /healthz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
