//! How fast the engine moves bytes that cost nothing to make, to and from a server that keeps
//! nothing: wall time, CPU time and peak memory of the engine alone. The server runs as a second
//! process on the same machine.
//!
//! `cargo run --release -p consign-transfer --example pace -- 6` moves 6 GiB each way.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use consign_cloud::{Cloud, Credentials, Settings};
use consign_transfer::{
    Buffer, Buffers, Cancel, Crc64, DownloadJournal, Engine, Limits, Object, Part, PartLayout,
    PartSink, PartSource, Progress, Silent, SinkError, SourceError, Target, UploadJournal,
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "1".to_owned());
    if argument == "serve" {
        return serve().await;
    }
    let bytes = (argument.parse::<f64>()? * f64::from(1 << 30)) as u64;
    let mut server =
        Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut endpoint = String::new();
    let output = server.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut endpoint)?;
    let moved = run(endpoint.trim(), bytes).await;
    server.kill()?;
    server.wait()?;
    moved
}

async fn run(endpoint: &str, bytes: u64) -> Result<(), Failure> {
    let cloud = Cloud::connect(&Settings {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        explicit_credentials: Some(Credentials::new("id", "secret", None)),
        ..Settings::default()
    })
    .await?;
    let engine = Engine::new(Limits::default());
    let layout = PartLayout::new(0, 8 << 20, bytes)?;
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let target = Target { bucket: "b".into(), key: "k".into(), ..Target::default() };
    let source = Arc::new(Zeros { layout, buffers: engine.buffers().clone() });
    let mut journal = UploadJournal::in_memory();
    let start = (Instant::now(), cpu_seconds());
    engine.upload(cloud.s3(), &target, source, &mut journal, &progress, &Cancel::new()).await?;
    report("up", bytes, start);

    let object = Object {
        bucket: "b".into(),
        key: bytes.to_string(),
        version_id: None,
        layout,
        expected_bucket_owner: None,
        customer_key: None,
    };
    let mut journal = DownloadJournal::in_memory();
    let start = (Instant::now(), cpu_seconds());
    engine
        .download(cloud.s3(), &object, Arc::new(Drop), &mut journal, &progress, &Cancel::new())
        .await?;
    report("down", bytes, start);
    Ok(())
}

fn report(what: &str, bytes: u64, (clock, cpu): (Instant, f64)) {
    let gib = bytes as f64 / f64::from(1 << 30);
    println!(
        "{what:5} {:.2} s/GiB wall, {:.2} s/GiB CPU, peak {} MiB",
        clock.elapsed().as_secs_f64() / gib,
        (cpu_seconds() - cpu) / gib,
        peak_mib()
    );
}

/// User and system time of this process, from Linux; zero elsewhere.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let ticks: f64 = fields.take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse().ok());
    kib.unwrap_or(0_u64) / 1024
}

struct Zeros {
    layout: PartLayout,
    buffers: Buffers,
}

impl PartSource for Zeros {
    fn layout(&self) -> PartLayout {
        self.layout
    }

    fn read_part(&self, number: u32) -> Result<Part, SourceError> {
        let buffer = self.buffers.take(self.layout.part_len(number));
        let crc64nvme = Crc64::of(&buffer);
        Ok(Part { bytes: buffer.into_bytes(), crc64nvme, fingerprint: [0; 32] })
    }
}

struct Drop;

impl PartSink for Drop {
    fn write_part(&self, _: u32, _: Buffer) -> Result<(), SinkError> {
        Ok(())
    }
}

async fn serve() -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    let zeros = Bytes::from(vec![0; 64 << 20]);
    loop {
        let (stream, _) = listener.accept().await?;
        let zeros = zeros.clone();
        let service = service_fn(move |request| answer(request, zeros.clone()));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// Just enough of S3: any upload, and objects of zeros whose key is their size.
async fn answer(
    request: Request<Incoming>,
    zeros: Bytes,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    let query = parts.uri.query().unwrap_or_default();
    let builder = Response::builder().header("etag", "\"e\"");
    let xml = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes()));
    let answer = match parts.method {
        Method::POST if query.contains("uploadId") => builder.body(xml(
            "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>",
        )),
        Method::POST => builder.body(xml(
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        )),
        Method::GET if query.contains("uploads") => {
            builder.body(xml("<ListMultipartUploadsResult></ListMultipartUploadsResult>"))
        }
        Method::GET => {
            let range = parts.headers.get("range").and_then(|range| range.to_str().ok());
            let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
            let (first, last) = range.unwrap_or(("0", "0"));
            let (first, last): (u64, u64) = (first.parse().unwrap_or(0), last.parse().unwrap_or(0));
            let size = parts.uri.path().rsplit('/').next().unwrap_or_default();
            builder
                .status(206)
                .header("content-range", format!("bytes {first}-{last}/{size}"))
                .body(Full::new(zeros.slice(0..(last - first + 1) as usize)))
        }
        _ => builder.body(xml("")),
    };
    Ok(answer.unwrap_or_default())
}
