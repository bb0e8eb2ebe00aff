//! A way to a server that can be closed and opened again: the network between two machines, partitioned.
//!
//! It passes bytes and knows no protocol, so TLS goes through. While it is closed, connections that
//! stood are cut in the middle of whatever they carried, and new ones end as soon as they are made. Start
//! with [`Passage::to`]; give the client [`Passage::address`] instead of the server's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

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
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (open, is_open) = watch::channel(true);
        let refused = Arc::new(AtomicU64::new(0));
        let accepting = tokio::spawn(accept(listener, server, is_open, refused.clone()));
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
    server: SocketAddr,
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
                _ = carry(client, server) => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    // As a network would: a small request must not wait for the next one.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What comes back for four bytes, or `None` when the connection ended.
    async fn echo(stream: &mut TcpStream) -> Option<[u8; 4]> {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await.ok()?;
        stream.read_exact(&mut answer).await.ok()?;
        Some(answer)
    }

    #[tokio::test]
    async fn nothing_goes_through_while_it_is_closed() {
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
        let passage = Passage::to(address).await.unwrap();
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
