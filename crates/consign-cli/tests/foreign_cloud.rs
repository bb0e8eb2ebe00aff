//! An exchange applied to a cloud that is not ours and enforces policies: MiniStack, an independent
//! emulator with identity, bucket and key policies of its own making. What we apply must read back
//! as applied there, and its users must be able to do what the file declares and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{both, consign, succeed};

const BUCKET: &str = "acme-to-client";

const EXCHANGE: &str = r#"
version = 1
exchange = "acme-globex"
region = "eu-west-1"
[party.acme]
account = "000000000000"
principal = "user/consign/acme"
[party.globex]
account = "000000000000"
principal = "user/consign/globex"
[lane.to-client]
from = "acme"
to = ["globex"]
bucket = "acme-to-client"
"#;

/// A running MiniStack behind TLS, because the policies refuse anything else. Dropping it kills it.
struct MiniStack {
    process: Child,
    endpoint: String,
    folder: tempfile::TempDir,
}

impl MiniStack {
    fn start(ministack: &Path, openssl: &Path) -> MiniStack {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("exchange.toml"), EXCHANGE).unwrap();
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

    fn place(&self, command: &mut Command, [id, secret]: [&str; 2]) {
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

    fn consign(&self, arguments: &[&str]) -> Command {
        let mut command = consign();
        command.args(arguments);
        self.place(&mut command, ["test", "test"]);
        command
    }

    fn aws(&self, tool: &Path, key: [&str; 2], arguments: &[&str]) -> Command {
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

#[test]
fn ministack_enforces_what_is_applied_as_declared() {
    let tools: (PathBuf, PathBuf, PathBuf) =
        consign_testkit::require!("ministack", "openssl", "aws");
    let (ministack, openssl, aws) = tools;
    let cloud = MiniStack::start(&ministack, &openssl);
    succeed(&mut cloud.consign(&["apply", "--yes"]));
    // Read back in MiniStack's own spelling, there is nothing left to do.
    succeed(&mut cloud.consign(&["plan", "--exit-code"]));

    let key_of = |user: &str| -> Vec<String> {
        let query = "AccessKey.[AccessKeyId,SecretAccessKey]";
        let make = ["iam", "create-access-key", "--user-name", user, "--query", query];
        let mut command = cloud.aws(&aws, ["test", "test"], &make);
        let text = succeed(command.args(["--output", "text"]));
        text.split_whitespace().map(str::to_owned).collect()
    };
    std::fs::write(cloud.folder.path().join("f"), b"across").unwrap();
    let matrix = [("acme", [true, false, false, false]), ("globex", [false, true, true, false])];
    for (party, allowed) in matrix {
        let key = key_of(party);
        let new = format!("{party}-was-here");
        let there = "acme-was-here";
        let object = |call: &'static str, key: &str, rest: &[&str]| -> Vec<String> {
            let words = ["s3api", call, "--bucket", BUCKET, "--key", key];
            words.iter().chain(rest).map(|word| (*word).to_owned()).collect()
        };
        let calls = [
            object("put-object", &new, &["--body", "f"]),
            object("get-object", there, &["got"]),
            ["s3api", "list-objects-v2", "--bucket", BUCKET].map(str::to_owned).to_vec(),
            object("delete-object", there, &[]),
        ];
        for (call, allowed) in calls.iter().zip(allowed) {
            let arguments: Vec<&str> = call.iter().map(String::as_str).collect();
            let output = cloud.aws(&aws, [&key[0], &key[1]], &arguments).output().unwrap();
            let said = both(&output);
            assert_eq!(output.status.success(), allowed, "{party}: {call:?}\n{said}");
            assert!(allowed || said.contains("AccessDenied"), "{party}: {call:?}\n{said}");
        }
    }
    assert_eq!(std::fs::read(cloud.folder.path().join("got")).unwrap(), b"across");
    // Something is there, so access goes and everything else stays.
    let refused = cloud.consign(&["destroy", "--yes"]).output().unwrap();
    assert!(both(&refused).contains("still holds objects"), "{}", both(&refused));
    let key = key_of("globex");
    let get = ["s3api", "get-object", "--bucket", BUCKET, "--key", "acme-was-here", "again"];
    let denied = both(&cloud.aws(&aws, [&key[0], &key[1]], &get).output().unwrap());
    assert!(denied.contains("AccessDenied"), "{denied}");
}
