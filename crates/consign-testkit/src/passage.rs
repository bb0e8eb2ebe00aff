//! A way to a server that can be closed and opened again, and that can be long: the network between two
//! machines, partitioned, or between two places.
//!
//! It passes bytes and knows no protocol, so TLS goes through. While it is closed, connections that
//! stood are cut in the middle of whatever they carried, and new ones end as soon as they are made. Start
//! with [`Passage::to`]; give the client [`Passage::address`] instead of the server's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// What is on its way at once in a long passage, and in how many pieces.
const PIECE_BYTES: usize = 16 << 10;
const PIECES_MAX: usize = 256;

/// A running passage, open at first. Dropping it cuts its connections.
pub struct Passage {
    address: SocketAddr,
    open: watch::Sender<bool>,
    refused: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Passage {
    /// Listens on a free loopback port and leads to `server`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn to(server: SocketAddr) -> io::Result<Passage> {
        Passage::long(server, Duration::ZERO).await
    }

    /// As [`Passage::to`], and what enters it leaves it so much later, in either direction; how much is on
    /// its way changes nothing about that, up to some megabytes.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn long(server: SocketAddr, one_way: Duration) -> io::Result<Passage> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (open, is_open) = watch::channel(true);
        let refused = Arc::new(AtomicU64::new(0));
        let accepting = tokio::spawn(accept(listener, (server, one_way), is_open, refused.clone()));
        Ok(Passage { address, open, refused, accepting })
    }

    /// Where it is entered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection, and lets none through until it is opened again.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Lets new connections through again.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many connections were cut or refused. A test asserts that it is not zero.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    to: (SocketAddr, Duration),
    is_open: watch::Receiver<bool>,
    refused: Arc<AtomicU64>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        let (mut is_open, refused) = (is_open.clone(), refused.clone());
        connections.spawn(async move {
            tokio::select! {
                biased;
                _ = is_open.wait_for(|open| !open) => {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                // Whichever end goes away first takes the other along.
                _ = carry(client, to) => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, (server, one_way): (SocketAddr, Duration)) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    // As a network would: a small request must not wait for the next one.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if one_way.is_zero() {
        return tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop);
    }
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::try_join!(late(from_client, to_server, one_way), late(from_server, to_client, one_way),)
        .map(drop)
}

/// Writes what it reads, each piece so much later.
async fn late(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    one_way: Duration,
) -> io::Result<()> {
    let (entered, mut under_way) = mpsc::channel::<(Instant, Bytes)>(PIECES_MAX);
    let reading = async move {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            if from.read_buf(&mut piece).await? == 0 {
                return Ok(());
            }
            let due = Instant::now() + one_way;
            if entered.send((due, piece.freeze())).await.is_err() {
                return Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = under_way.recv().await {
            tokio::time::sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back for four bytes, or `None` when the connection ended.
    async fn echo(stream: &mut TcpStream) -> Option<[u8; 4]> {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await.ok()?;
        stream.read_exact(&mut answer).await.ok()?;
        Some(answer)
    }

    /// The address of a server that answers with what it gets.
    async fn echoing() -> SocketAddr {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = server.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn what_goes_a_long_way_comes_late_and_whole() {
        let one_way = Duration::from_millis(30);
        let passage = Passage::long(echoing().await, one_way).await.unwrap();
        let mut stream = TcpStream::connect(passage.address()).await.unwrap();
        let begun = Instant::now();
        assert_eq!(echo(&mut stream).await, Some(*b"ping"));
        // Never sooner, however fast the machine is.
        assert!(begun.elapsed() >= 2 * one_way);
        let sent = vec![7; 20 << 20];
        let (mut from, mut to) = stream.split();
        let mut came = Vec::new();
        let writing = async {
            to.write_all(&sent).await?;
            to.shutdown().await
        };
        tokio::try_join!(writing, from.read_to_end(&mut came)).unwrap();
        assert_eq!(came, sent);
    }

    #[tokio::test]
    async fn nothing_goes_through_while_it_is_closed() {
        let passage = Passage::to(echoing().await).await.unwrap();
        let mut stood = TcpStream::connect(passage.address()).await.unwrap();
        assert_eq!(echo(&mut stood).await, Some(*b"ping"));
        passage.close();
        assert_eq!(echo(&mut stood).await, None);
        let mut new = TcpStream::connect(passage.address()).await.unwrap();
        assert_eq!(echo(&mut new).await, None);
        assert_eq!(passage.refused(), 2);
        passage.open();
        let mut again = TcpStream::connect(passage.address()).await.unwrap();
        assert_eq!(echo(&mut again).await, Some(*b"ping"));
    }
}
