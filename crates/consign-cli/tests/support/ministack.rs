//! MiniStack, an independent emulator that enforces identity, bucket and key policies of its own
//! making, and tells queues what arrives in its buckets.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{consign, succeed};

/// Its administrator's key. No bucket policy binds it.
pub(crate) const ROOT: [&str; 2] = ["test", "test"];

/// A running MiniStack behind TLS, because the policies refuse anything else. Dropping it kills it.
pub(crate) struct MiniStack {
    process: Child,
    pub(crate) endpoint: String,
    pub(crate) folder: tempfile::TempDir,
}

impl MiniStack {
    /// With an exchange file in its folder, and nothing applied.
    pub(crate) fn start(ministack: &Path, openssl: &Path, exchange: &str) -> MiniStack {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("exchange.toml"), exchange).unwrap();
        let subject = "subjectAltName=IP:127.0.0.1";
        let mut certify = Command::new(openssl);
        certify
            .current_dir(folder.path())
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-keyout", "key.pem", "-out", "ca.pem", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", subject])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        succeed(&mut certify);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut process = consign_testkit::judges::command(ministack)
            .current_dir(folder.path())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", address.port().to_string())
            .env("AUTH", "true")
            .env("USE_SSL", "1")
            .env("MINISTACK_SSL_CERT", folder.path().join("ca.pem"))
            .env("MINISTACK_SSL_KEY", folder.path().join("key.pem"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "MiniStack ended");
            assert!(start.elapsed() < Duration::from_secs(60), "MiniStack was not ready in time");
            std::thread::sleep(Duration::from_millis(50));
        }
        MiniStack { process, endpoint: format!("https://{address}"), folder }
    }

    /// Lets a command find this cloud, under a key, and nothing of whoever runs the tests.
    pub(crate) fn place(&self, command: &mut Command, [id, secret]: [&str; 2]) {
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.folder.path())
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_CA_BUNDLE", self.folder.path().join("ca.pem"))
            .env("AWS_ACCESS_KEY_ID", id)
            .env("AWS_SECRET_ACCESS_KEY", secret);
    }

    pub(crate) fn consign(&self, key: [&str; 2], arguments: &[&str]) -> Command {
        let mut command = consign();
        command.args(arguments);
        self.place(&mut command, key);
        command
    }

    pub(crate) fn aws(&self, tool: &Path, key: [&str; 2], arguments: &[&str]) -> Command {
        let mut command = consign_testkit::judges::command(tool);
        command.args(arguments);
        self.place(&mut command, key);
        command
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}
