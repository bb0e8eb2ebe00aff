//! A bad line: passes bytes between client and server, and by seed cuts or stops them at any byte,
//! in the request, in the answer's head or in its body, or answers `503 SlowDown` itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How a connection goes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Well, for ever.
    Well,
    /// So many bytes of requests arrive, then it is cut.
    CutUp(u64),
    /// So many bytes of answers arrive, then it is cut.
    CutDown(u64),
    /// So many bytes of answers arrive, then nothing.
    Stall(u64),
    /// The first request is answered by a server that is too busy.
    Busy,
}

pub(crate) struct Line {
    port: u16,
    disturbed: Arc<AtomicU64>,
}

impl Line {
    /// A line to a port of this machine.
    pub(crate) async fn to(server: u16, seed: u64) -> Line {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("address").port();
        let disturbed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&disturbed);
        tokio::spawn(async move {
            let mut random = seed;
            while let Ok((client, _)) = listener.accept().await {
                let fate = draw(&mut random);
                if !matches!(fate, Fate::Well) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                tokio::spawn(connection(client, server, fate));
            }
        });
        Line { port, disturbed }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn disturbed(&self) -> u64 {
        self.disturbed.load(Ordering::Relaxed)
    }
}

fn draw(random: &mut u64) -> Fate {
    let mut next = |bound: u64| {
        *random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) % bound
    };
    // Connections live long: most must end badly for a fault to come now and then.
    match next(8) {
        0 | 1 => Fate::CutUp(next(12 << 20)),
        2 => Fate::CutDown(next(2000)),
        3 => Fate::CutDown(next(12 << 20)),
        4 => Fate::Stall(next(2000)),
        5 | 6 => Fate::Busy,
        _ => Fate::Well,
    }
}

async fn connection(mut client: TcpStream, server: u16, fate: Fate) {
    if matches!(fate, Fate::Busy) {
        busy(&mut client).await;
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let up = match fate {
        Fate::CutUp(bytes) => bytes,
        _ => u64::MAX,
    };
    let (down, stall) = match fate {
        Fate::CutDown(bytes) => (bytes, false),
        Fate::Stall(bytes) => (bytes, true),
        _ => (u64::MAX, false),
    };
    tokio::select! {
        () = pass(client_read, server_write, up, false) => {}
        () = pass(server_read, client_write, down, stall) => {}
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut left: u64,
    stall: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let room = left.min(buffer.len() as u64) as usize;
        match from.read(&mut buffer[..room]).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
                left -= read as u64;
            }
        }
    }
    if stall {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

/// Reads one request with its body and refuses it.
async fn busy(client: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: u64 = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let mut body = client.take(length);
    let _ = tokio::io::copy(&mut body, &mut tokio::io::sink()).await;
    let text = "<Error><Code>SlowDown</Code><Message>slow down</Message></Error>";
    let answer = format!(
        "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = client.write_all(answer.as_bytes()).await;
    let _ = client.shutdown().await;
}
