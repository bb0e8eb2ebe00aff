//! Other people's software, found where `cargo xtask judges` puts it.
//!
//! A test that needs a tool says so with [`require!`](crate::require): where the tool is missing,
//! the test prints `SKIPPED` with its own name and the tool's, and passes. It never passes silently.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The tool's program: from `target/judges/bin`, whose versions are pinned, else from PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin").join(name);
    if pinned.is_file() {
        return pinned.canonicalize().ok();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A command for the tool with an environment that says nothing about any cloud: no variable of
/// the AWS tools, no configuration file of the person who runs the tests.
///
/// Standard input is closed, so that a tool that would ask a question fails instead of waiting.
pub fn command(tool: &Path) -> Command {
    let mut command = Command::new(tool);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["AWS_", "RCLONE_", "S3_", "BOTO_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

/// The path of each named tool, or return from the test with a visible line.
///
/// ```no_run
/// # fn a_test() {
/// let (age, b3sum) = consign_testkit::require!("age", "b3sum");
/// # let _ = (age, b3sum);
/// # }
/// ```
#[macro_export]
macro_rules! require {
    ($($tool:literal),+ $(,)?) => {
        ($(
            match $crate::judges::find($tool) {
                Some(path) => path,
                None => {
                    let test = ::std::thread::current().name().unwrap_or("test").to_owned();
                    eprintln!("SKIPPED {test}: {} is missing (cargo xtask judges)", $tool);
                    return;
                }
            }
        ),+)
    };
}

/// A program made of the Go libraries that s3s2 is made of, which seals and opens by its rules; built
/// into `folder`. None, and a visible line, without Go or its library (Debian's `golang-go` and
/// `golang-golang-x-crypto-dev`; elsewhere `GOPATH` names the folder that has `src/golang.org/x/crypto`).
pub fn s3s2_peer(folder: &Path) -> Option<PathBuf> {
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let missing = |what: &str| {
        eprintln!("SKIPPED {test}: {what} is missing (cargo xtask judges)");
        None
    };
    let Some(go) = find("go") else { return missing("go") };
    let gopath =
        std::env::var_os("GOPATH").map_or_else(|| "/usr/share/gocode".into(), PathBuf::from);
    if !gopath.join("src/golang.org/x/crypto/openpgp").is_dir() {
        return missing("golang-golang-x-crypto-dev");
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = folder.join("s3s2-peer");
    let built = Command::new(go)
        .args(["build", "-o"])
        .arg(&program)
        .arg(here.join("judges/s3s2_peer.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", gopath)
        .env("GOCACHE", here.join("../../target/go-cache"))
        .env_remove("GOFLAGS")
        .output();
    match built {
        Ok(output) if output.status.success() => Some(program),
        Ok(output) => {
            missing(&format!("a Go that builds: {}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => missing(&format!("a Go that runs: {error}")),
    }
}
