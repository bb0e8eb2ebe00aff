//! A local cloud in a process of its own: for other people's clients, and for being killed.
//!
//! The process is this test binary again, running [`serve_process`] alone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use consign_local::{
    Account, Bootstrap, Credentials, PrincipalKind, ServeOptions, SystemClock, start,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{ACME, Answer, Ask, GLOBEX, REGION, Signer};

const ROOT: &str = "CONSIGN_LOCAL_TEST_ROOT";

/// The other side of [`Process::start`]; never returns when it is.
#[test]
#[ignore = "the other process of these tests"]
fn serve_process() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let user = |account: &str, name: &str| Bootstrap {
        account: account.to_owned(),
        kind: PrincipalKind::User,
        name: format!("consign/{name}"),
        profile: name.to_owned(),
    };
    let options = ServeOptions {
        root: root.into(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        http: Some("127.0.0.1:0".parse().expect("an address")),
        region: REGION.to_owned(),
        accounts: [ACME, GLOBEX].map(|id| Account { id: id.to_owned() }).into(),
        principals: vec![user(ACME, "acme"), user(GLOBEX, "globex"), user(GLOBEX, "stranger")],
        clock: Arc::new(SystemClock),
        observer: None,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let running = start(options).await.expect("the local cloud starts");
        let mut out = std::io::stdout().lock();
        let lines = [
            ("AWS_ENDPOINT_URL", running.endpoint().to_owned()),
            ("PLAIN_ENDPOINT", running.http_endpoint().unwrap_or_default().to_owned()),
            ("AWS_CA_BUNDLE", running.ca_path().display().to_string()),
            ("AWS_SHARED_CREDENTIALS_FILE", running.credentials_path().display().to_string()),
            ("AWS_CONFIG_FILE", running.config_path().display().to_string()),
        ];
        for (name, value) in lines {
            writeln!(out, "SERVING {name}={value}").expect("stdout");
        }
        writeln!(out, "SERVING READY=1").expect("stdout");
        drop(out);
        std::future::pending::<()>().await;
    });
}

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Kept open: after a minute the test harness of the other process writes again, and ends if
    /// nobody could read it.
    out: Option<BufReader<ChildStdout>>,
    pub(crate) env: BTreeMap<String, String>,
}

impl Process {
    pub(crate) fn start(root: &Path) -> Process {
        let program = std::env::current_exe().expect("the test's own program");
        let child = Command::new(program)
            .args(["--exact", "support::process::serve_process", "--ignored", "--nocapture"])
            .env(ROOT, root)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let mut process = Process { child, out: None, env: BTreeMap::new() };
        let mut out = BufReader::new(process.child.stdout.take().expect("a pipe"));
        for line in out.by_ref().lines() {
            let line = line.expect("a line");
            // The test harness writes before us, and does not end its line.
            let Some((_, setting)) = line.split_once("SERVING ") else { continue };
            let (name, value) = setting.split_once('=').expect("a setting");
            if name == "READY" {
                break;
            }
            process.env.insert(name.to_owned(), value.to_owned());
        }
        assert!(process.env.len() == 5, "the local cloud ended before it served");
        process.out = Some(out);
        process
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.env["AWS_ENDPOINT_URL"]
    }

    /// A tool with this cloud in its environment and nothing of the person's own.
    pub(crate) fn tool(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["AWS_", "RCLONE_", "S3_", "BOTO_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .envs(&self.env)
            .env("AWS_PROFILE", format!("admin-{ACME}"))
            .env("AWS_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_PAGER", "")
            .stdin(Stdio::null());
        command
    }

    /// The long-term credentials of a profile.
    pub(crate) fn credentials(&self, profile: &str) -> Credentials {
        let file = &self.env["AWS_SHARED_CREDENTIALS_FILE"];
        let text = std::fs::read_to_string(file).expect("the credentials file");
        let section = text.split(&format!("[{profile}]")).nth(1).expect("the profile");
        let section = section.split("\n[").next().unwrap_or_default();
        let value = |name: &str| {
            let line = section.lines().find(|line| line.starts_with(name)).expect("a setting");
            line.split_once('=').expect("a setting").1.trim().to_owned()
        };
        Credentials {
            access_key_id: value("aws_access_key_id"),
            secret_access_key: value("aws_secret_access_key").into(),
            session_token: None,
        }
    }

    /// The first account's administrator, now.
    pub(crate) fn admin(&self) -> Admin {
        let endpoint = &self.env["PLAIN_ENDPOINT"];
        let host = endpoint.strip_prefix("http://").expect("http").to_owned();
        let credentials = self.credentials(&format!("admin-{ACME}"));
        Admin { host, credentials, service: "s3" }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Speaks plain HTTP as the administrator, and takes a cut connection for an answer.
#[derive(Clone)]
pub(crate) struct Admin {
    host: String,
    credentials: Credentials,
    service: &'static str,
}

impl Admin {
    /// The same administrator at another service.
    pub(crate) fn for_service(self, service: &'static str) -> Admin {
        Admin { service, ..self }
    }

    /// A Query call.
    pub(crate) async fn query(&self, form: &str) -> Option<Answer> {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send_with("POST", "/", &headers, form.as_bytes()).await
    }

    /// `None` if the server went away before it answered.
    pub(crate) async fn send(&self, method: &str, target: &str, body: &[u8]) -> Option<Answer> {
        self.send_with(method, target, &[], body).await
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = u64::try_from(now.expect("a clock").as_millis()).expect("a time");
        let mut ask = Ask::new(method, target, &self.host).body(body.to_vec());
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let signer = Signer::new(self.credentials.clone(), self.service, now_ms);
        let ask = match self.service {
            "s3" => signer.payload("UNSIGNED-PAYLOAD").sign(ask),
            _ => signer.sign(ask),
        };
        let mut stream = TcpStream::connect(&self.host).await.ok()?;
        let _ = stream.write_all(&ask.bytes()).await;
        let answer = Answer::read(stream).await;
        let length = answer.header("content-length").and_then(|text| text.parse::<usize>().ok());
        let whole = length.is_none_or(|length| answer.body.len() == length || method == "HEAD");
        Some(answer).filter(|answer| answer.status != 0 && whole)
    }
}

/// A judge by name: from `CONSIGN_JUDGES`, from `target/judges/bin`, or from PATH.
pub(crate) fn judge(name: &str) -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![manifest.join("../../target/judges/bin")];
    folders.splice(0..0, std::env::var_os("CONSIGN_JUDGES").map(PathBuf::from));
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// All judges named, or `None` with a visible line.
pub(crate) fn judges<const N: usize>(names: [&str; N]) -> Option<[PathBuf; N]> {
    let found = names.map(judge);
    for (name, path) in names.iter().zip(&found) {
        if path.is_none() {
            let test = std::thread::current().name().unwrap_or("test").to_owned();
            eprintln!("SKIPPED {test}: {name} is missing (cargo xtask judges)");
            return None;
        }
    }
    Some(found.map(|path| path.expect("checked above")))
}

/// Runs a command; its output is the message when it fails.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}\n{errors}");
    text
}
