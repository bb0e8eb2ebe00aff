//! A deployment as a person makes it by hand: an exchange file, keys, a local cloud in a process of
//! its own, everything applied. Dropping it kills the cloud and removes the folder.

pub(crate) mod desk;
pub(crate) mod granted;
pub(crate) mod halves;
pub(crate) mod ministack;
pub(crate) mod post;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Buckets of the two-way template.
pub(crate) const TO_CLIENT: &str = "acme-globex-to-client-111111111111-eu-west-1-an";
/// Buckets of the two-way template.
pub(crate) const FROM_CLIENT: &str = "acme-globex-from-client-111111111111-eu-west-1-an";

/// The `consign` that was built for the tests.
pub(crate) fn consign() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consign"));
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("AWS_") || name.starts_with("CONSIGN_") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) struct Deployment {
    folder: tempfile::TempDir,
    cloud: Child,
    environment: Vec<(String, String)>,
}

impl Deployment {
    /// Everything up to `consign apply`.
    pub(crate) fn new() -> Deployment {
        Deployment::with(|text| text)
    }

    /// The same with an exchange file that `edit` has changed before anything was made.
    pub(crate) fn with(edit: impl FnOnce(String) -> String) -> Deployment {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = Deployment { cloud: serve_later(), folder, environment: Vec::new() };
        deployment.run(&["init", "--template", "two-way"]);
        let file = deployment.path("exchange.toml");
        std::fs::write(&file, edit(std::fs::read_to_string(&file).unwrap())).unwrap();
        deployment.run(&["keys", "new", "acme"]);
        deployment.run(&["keys", "new", "globex"]);
        deployment.start_cloud("127.0.0.1:0");
        deployment.run(&["apply", "--yes"]);
        deployment
    }

    /// An exchange file and a cloud with its accounts, nothing applied.
    pub(crate) fn serving(exchange: &str) -> Deployment {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = Deployment { cloud: serve_later(), folder, environment: Vec::new() };
        deployment.file("exchange.toml", exchange.as_bytes());
        deployment.start_cloud("127.0.0.1:0");
        deployment
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the cloud is, for tools that do not take it from the environment.
    pub(crate) fn endpoint(&self) -> &str {
        let endpoint = self.environment.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL");
        &endpoint.unwrap().1
    }

    /// The process that serves the cloud.
    pub(crate) fn cloud_id(&self) -> u32 {
        self.cloud.id()
    }

    /// A variable of the environment that the cloud has told.
    pub(crate) fn variable(&self, name: &str) -> String {
        self.environment.iter().find(|(known, _)| known == name).unwrap().1.clone()
    }

    /// Writes a file into the folder.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `consign` in this deployment: its folder, keys, state and cloud.
    pub(crate) fn consign(&self, arguments: &[&str]) -> Command {
        let mut command = consign();
        command.args(arguments);
        self.place(&mut command);
        command
    }

    /// Runs `consign`, which must succeed; gives its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.consign(arguments))
    }

    /// Runs `consign`, which must fail with this exit code; gives its standard error.
    pub(crate) fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.consign(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "consign {arguments:?}: {errors}");
        errors
    }

    /// Any tool in this deployment's environment.
    pub(crate) fn tool(&self, tool: &Path) -> Command {
        let mut command = consign_testkit::judges::command(tool);
        self.place(&mut command);
        command
    }

    fn place(&self, command: &mut Command) {
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// Kills the cloud and starts it again on the same root and address.
    pub(crate) fn restart_cloud(&mut self) {
        let address = self.endpoint().trim_start_matches("https://").to_owned();
        self.kill_cloud();
        self.start_cloud(&address);
    }

    fn kill_cloud(&mut self) {
        // An error means that it is gone already.
        let _gone = self.cloud.kill();
        let _reaped = self.cloud.wait();
    }

    fn start_cloud(&mut self, listen: &str) {
        let mut command = self.consign(&[
            "local", "serve", "--root", "cloud", "--listen", listen, "--json", "--quiet",
        ]);
        let mut cloud = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = cloud.stdout.take().unwrap();
        let mut documents =
            serde_json::Deserializer::from_reader(stdout).into_iter::<serde_json::Value>();
        let said = documents.next().expect("the cloud says where it is").unwrap();
        self.cloud = cloud;
        self.environment = said["environment"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.kill_cloud();
    }
}

/// Stands in until the cloud is started.
fn serve_later() -> Child {
    Command::new("true").spawn().unwrap()
}

/// Runs a command that must succeed; gives its standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", both(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command with input that must succeed.
pub(crate) fn succeed_with_input(command: &mut Command, input: &[u8]) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", both(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn both(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
