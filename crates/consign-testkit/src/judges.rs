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
