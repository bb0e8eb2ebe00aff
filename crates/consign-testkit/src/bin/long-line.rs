//! A server from far away: `long-line ADDRESS MILLISECONDS` leads to it by a way that takes so long in each
//! direction. Prints where it is entered, then stays until it is killed.

use std::net::SocketAddr;
use std::time::Duration;

use consign_testkit::passage::Passage;

const USAGE: &str = "usage: long-line ADDRESS MILLISECONDS";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().and_then(|text| text.parse::<SocketAddr>().ok());
    let one_way = arguments.next().and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let (Some(server), Some(one_way)) = (server, one_way) else {
        return Err(std::io::Error::other(USAGE));
    };
    let line = Passage::long(server, one_way).await?;
    println!("{}", line.address());
    std::future::pending().await
}
