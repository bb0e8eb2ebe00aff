//! Runs the in-memory S3 sink as a process of its own, so that a benchmark can tell its CPU time
//! from the client's. Prints the endpoint, then serves until it is killed.
//!
//! `PUT /-/discard` and `PUT /-/keep` switch whether bodies are kept; `DELETE /-/objects` forgets.

use std::net::{Ipv4Addr, SocketAddr};

use consign_testkit::sink::Sink;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    println!("{}", sink.endpoint());
    sink.serve().await;
    Ok(())
}
