//! SeaweedFS as a process of its own on free loopback ports; see docs of its `weed server`.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use consign_cloud::s3::bucket::CreateBucket;

pub(crate) const KEY_ID: &str = "TESTKEYID";
pub(crate) const SECRET: &str = "test-secret-of-a-server-that-lives-for-one-test";

pub(crate) struct Weed {
    process: Child,
    port: u16,
    // Dropped after the process is gone.
    folder: tempfile::TempDir,
}

impl Weed {
    /// Starts one, with bucket `lane`; `None` and a visible word where it is not installed.
    pub(crate) async fn start(test: &str) -> Option<Weed> {
        let Some(program) = find("weed") else {
            eprintln!("SKIPPED {test}: weed is missing (cargo xtask judges)");
            return None;
        };
        let folder = tempfile::tempdir().expect("folder");
        let identities = format!(
            r#"{{"identities":[{{"name":"t","credentials":[{{"accessKey":"{KEY_ID}","secretKey":"{SECRET}"}}],
                "actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        let config = folder.path().join("s3.json");
        std::fs::File::create(&config)
            .and_then(|mut file| file.write_all(identities.as_bytes()))
            .expect("config");
        std::fs::create_dir(folder.path().join("data")).expect("data");
        let ports = free_ports();
        let process = command(&program, folder.path(), &ports).spawn().expect("weed starts");
        let weed = Weed { process, port: ports[6], folder };
        weed.wait().await;
        Some(weed)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Until it takes an object: its ports answer before its parts know of each other.
    async fn wait(&self) {
        let cloud = super::connect(&self.endpoint(), 5000).await;
        let create = CreateBucket { bucket: "lane".into(), ..CreateBucket::default() };
        let mut last = String::new();
        for _ in 0..300 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let listening = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
            if listening.is_err() {
                continue;
            }
            let made = cloud.s3().create_bucket(&create).await;
            last = format!("{made:?}");
            let made = made.is_ok_or_exists();
            let put = consign_cloud::s3::PutObject {
                bucket: "lane".into(),
                key: "ready".into(),
                body: vec![1; 10].into(),
                ..Default::default()
            };
            if made {
                match cloud.s3().put_object(put).await {
                    Ok(_) => return,
                    Err(error) => last = format!("{error:?}"),
                }
            }
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        unreachable!("weed was not ready: {last}\n{}", &log[log.len().saturating_sub(2000)..]);
    }
}

trait OrExists {
    fn is_ok_or_exists(&self) -> bool;
}

impl OrExists for Result<(), consign_cloud::Error> {
    fn is_ok_or_exists(&self) -> bool {
        self.as_ref().map_or_else(|e| e.kind() == consign_cloud::ErrorKind::Conflict, |()| true)
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        // It takes ten seconds to leave when asked politely.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(judges)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn free_ports() -> [u16; 8] {
    // Held until all are found, so that they differ.
    let held: Vec<_> =
        (0..8).map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port")).collect();
    let mut ports = [0; 8];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr().expect("address").port();
    }
    ports
}

fn command(program: &Path, folder: &Path, ports: &[u16; 8]) -> Command {
    let log = std::fs::File::create(folder.join("log")).expect("log");
    let names = [
        "master.port",
        "master.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "s3.port",
        "s3.port.grpc",
    ];
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=data", "-s3"])
        .args(["-s3.config=s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0", "-metricsPort=0"])
        .args(["-volume.max=60", "-master.volumeSizeLimitMB=256"])
        .args(names.iter().zip(ports).map(|(name, port)| format!("-{name}={port}")))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log"))
        .stderr(log);
    command
}
