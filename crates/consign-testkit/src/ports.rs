//! Where a server of other people's can listen on this machine, and whether it does.
//!
//! Such servers take a port from their command line and do not say which one they got, so it is chosen
//! before they start: [`free_ports`]. Somebody else may take it in between; who starts a server tries again
//! then.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Ports that nobody has at this moment, all different because all are held until the last is found. Not
/// of those that systems hand to connections: it takes seconds until a server listens on the last.
pub(crate) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    let mut tries = AnyPort::new();
    for port in &mut ports {
        let listener = loop {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, tries.next_port())) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                bound => break bound?,
            }
        };
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Ports from 20,000 to 32,767 in no order, another one for every process and every start.
struct AnyPort(std::hash::RandomState, u64);

impl AnyPort {
    fn new() -> AnyPort {
        AnyPort(std::hash::RandomState::new(), 0)
    }

    fn next_port(&mut self) -> u16 {
        self.1 += 1;
        let number = std::hash::BuildHasher::hash_one(&self.0, self.1) % 12_768;
        20_000 + u16::try_from(number).unwrap_or_default()
    }
}

pub(crate) fn at(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Whether a GET is answered with one of the statuses.
pub(crate) async fn answers(address: SocketAddr, path: &str, statuses: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.ok()?;
        let status = std::str::from_utf8(answer.get(9..)?).ok()?.to_owned();
        Some(statuses.split(' ').any(|expected| expected == status))
    };
    timeout(Duration::from_secs(2), ask).await.ok().flatten().unwrap_or(false)
}
