//! How every command starts another program, and how it fails: with one line.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// One sentence for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(String);

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Failure {
        Failure(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// Adds what was being done to an error that does not say so itself.
pub(crate) trait While<T> {
    fn during(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> While<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}

/// The folder of the workspace's Cargo.toml.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Cargo's target folder. The judges always live under the workspace's own `target`.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs one step in the open: its output goes to the terminal, its time is printed.
pub(crate) fn step(name: &str, command: &mut Command) -> Outcome {
    eprintln!("xtask: {name}");
    let start = Instant::now();
    let status =
        command.status().during(format_args!("{name}: cannot start {}", shown(command)))?;
    if !status.success() {
        return Err(Failure::new(format!("{name} failed ({status}): {}", shown(command))));
    }
    eprintln!("xtask: {name}: ok in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Runs quietly and returns standard output; on failure the sentence ends with the last line that
/// the program wrote to standard error.
pub(crate) fn capture(command: &mut Command) -> Outcome<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .during(format_args!("cannot start {}", shown(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(Failure::new(format!("{} failed ({}): {}", shown(command), output.status, last.trim())))
}

/// The first program of that name on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A judge: from target/judges first, because those versions are pinned, else from PATH.
pub(crate) fn judge(name: &str) -> Option<PathBuf> {
    let pinned = root().join("target/judges/bin").join(name);
    if pinned.is_file() { Some(pinned) } else { on_path(name) }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).take(12).collect();
    format!("`{}`", words.join(" "))
}
