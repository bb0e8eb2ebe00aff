//! An S3 that costs next to nothing: everything in memory, no signature checked, nothing hashed.
//!
//! It exists to measure clients. A real server on the same two cores would be most of what a
//! benchmark sees; this one moves bytes from the socket into reference-counted buffers and back, or
//! drops them on arrival. Start with [`Sink::start`], or run the `s3-sink` binary so that its work
//! shows in no client's CPU time. It speaks plain HTTP on loopback and understands what consign,
//! s5cmd, rclone and the AWS CLI send: objects with ranges, multipart uploads, listings, deletes.
//!
//! It must never be used to judge correctness or security: it accepts anything that is signed, and
//! anything that is not.

mod answer;
mod chunked;
mod service;
mod store;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use store::Store;

/// A running sink. Dropping it closes every connection and forgets every object.
pub struct Sink {
    address: SocketAddr,
    store: Arc<Store>,
    accepting: JoinHandle<()>,
}

impl Sink {
    /// Listens on `listen`; port 0 lets the system choose.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(listen: SocketAddr) -> std::io::Result<Sink> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let store = Arc::new(Store::default());
        let accepting = tokio::spawn(accept(listener, store.clone()));
        Ok(Sink { address, store, accepting })
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was stored, and whether bodies are kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until the process ends.
    pub async fn serve(mut self) {
        // An aborted or panicked task ends serving too; there is nothing else to do then.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns the connections: when this task is aborted, the set drops and they close.
async fn accept(listener: TcpListener, store: Arc<Store>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it a small answer waits for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let store = store.clone();
        connections.spawn(async move {
            let serve = service_fn(move |request| service::handle(store.clone(), request));
            // A client that hangs up is no news here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
    }
}

#[cfg(test)]
mod tests;
