//! Every check in one command, cheapest first; cargo's own test summary comes last.

use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;

use crate::run::{self, Failure, Outcome, While};
use crate::{fuzz, judges, tidy};

pub(crate) const HELP: &str = "\
Everything that must hold before a change lands.

Usage: cargo xtask test [--no-judges]

Installs the judges, then runs tidy, the formatter's check, clippy with warnings denied and
cargo-deny (built once into target/tools), beside them the fuzz targets of foreign formats for some seconds each, and
then all tests, doc tests included, in the profile `ci` (Cargo.toml). Everything shares one target folder.

Options:
  --no-judges  Install nothing; what misses a tool says SKIPPED and names it

Example:
  cargo xtask test
";

pub(crate) const HELP_CI: &str = "\
`cargo xtask test`, then what takes longer.

Usage: cargo xtask ci

Also runs the demo, and every fuzz target for a minute.

Example:
  cargo xtask ci
";

/// Of each target in `ci`.
const FUZZ_SECONDS: u32 = 60;
/// Of each target in `test`, but the local cloud's: enough to run all seeds and what is near them.
const FUZZ_SECONDS_SHORT: u32 = 5;
/// Pinned: a new release may bring new opinions, and they belong in a commit of their own.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn command(arguments: &[String]) -> Outcome {
    let installs = match arguments {
        [] => true,
        [flag] if flag == "--no-judges" => false,
        _ => return Err(Failure::new("test takes only --no-judges")),
    };
    // In a target folder of its own, beside what waits for the network and what one core compiles.
    let fuzzing = std::thread::spawn(|| fuzz::run_formats(FUZZ_SECONDS_SHORT));
    let held = if installs { install().and_then(|()| checks()) } else { checks() };
    let fuzzed = joined(fuzzing);
    held?;
    fuzzed?;
    tests()
}

fn joined(thread: JoinHandle<Outcome>) -> Outcome {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(crate) fn command_ci(arguments: &[String]) -> Outcome {
    if let Some(extra) = arguments.first() {
        return Err(Failure::new(format!("ci takes no argument `{extra}`")));
    }
    command(&[])?;
    run::step(
        "demo",
        run::cargo().args(["run", "--release", "--package", "consign-cli", "--", "demo"]),
    )?;
    fuzz::run_all(FUZZ_SECONDS)
}

/// The one waits for the network, and the other computes.
fn install() -> Outcome {
    let judges = std::thread::spawn(judges::install);
    let deny = install_deny();
    joined(judges).during("install the judges, or pass --no-judges")?;
    deny
}

fn checks() -> Outcome {
    tidy::command(&[])?;
    run::step("format", run::cargo().args(["fmt", "--all", "--check"]))?;
    run::step(
        "clippy",
        run::cargo()
            .args(["clippy", "--profile", "ci", "--workspace", "--all-targets"])
            .args(["--quiet", "--", "-D", "warnings"]),
    )?;
    licences_and_bans()
}

/// More than there are cores: most tests wait for servers and for other programs.
fn test_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) * 3 / 2
}

/// The last step, so that the run ends with cargo's own closing lines. Output of tests that pass is
/// shown, because a test that skips says so there.
fn tests() -> Outcome {
    run::step(
        "tests",
        run::cargo()
            .args(["test", "--profile", "ci", "--workspace", "--no-fail-fast"])
            .args(["--", "--show-output"])
            .env("RUST_TEST_THREADS", test_threads().to_string()),
    )
}

fn deny_binary() -> Option<PathBuf> {
    let own = run::root().join("target/tools/bin/cargo-deny");
    if own.is_file() { Some(own) } else { run::on_path("cargo-deny") }
}

/// Unoptimised: that takes a minute instead of many, and the check is quick all the same.
fn install_deny() -> Outcome {
    if deny_binary().is_some() {
        return Ok(());
    }
    run::step(
        "install cargo-deny",
        run::cargo()
            .args(["install", "cargo-deny", "--locked", "--debug", "--no-default-features"])
            .args(["--quiet", "--version", CARGO_DENY])
            .arg("--root")
            .arg(run::root().join("target/tools"))
            .arg("--target-dir")
            .arg(run::target().join("tools-build")),
    )
}

/// Advisories are left out: their database is fetched over the network at every run, and a test
/// that turns red because of the day is not a test. `cargo deny check advisories` runs by hand.
fn licences_and_bans() -> Outcome {
    let Some(deny) = deny_binary() else {
        eprintln!("SKIPPED cargo-deny: not installed");
        return Ok(());
    };
    run::step(
        "cargo-deny",
        Command::new(deny)
            .current_dir(run::root())
            .args(["--log-level", "error", "check"])
            .args(["bans", "licenses", "sources"]),
    )
}
