//! Every check in one command, cheapest first; cargo's own test summary comes last.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, Failure, Outcome, While};
use crate::{judges, tidy};

pub(crate) const HELP: &str = "\
Everything that must hold before a change lands.

Usage: cargo xtask test [--no-judges]

Installs the judges, then runs tidy, the formatter's check, clippy with warnings denied,
cargo-deny (built once into target/tools), and all tests in release mode, doc tests included.
Everything shares one target folder.

Options:
  --no-judges  Install nothing; what misses a tool says SKIPPED and names it

Example:
  cargo xtask test
";

pub(crate) const HELP_CI: &str = "\
`cargo xtask test`, then what takes longer.

Usage: cargo xtask ci

Also runs the demo, and every fuzz target for ten seconds where cargo-fuzz and a nightly toolchain
are installed.

Example:
  cargo xtask ci
";

/// Pinned: a new release may bring new opinions, and they belong in a commit of their own.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn command(arguments: &[String]) -> Outcome {
    match arguments {
        [] => {
            judges::install().during("install the judges, or pass --no-judges")?;
            install_deny()?;
        }
        [flag] if flag == "--no-judges" => {}
        _ => return Err(Failure::new("test takes only --no-judges")),
    }
    checks()?;
    tests()
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
    fuzz_smoke()
}

fn checks() -> Outcome {
    tidy::command(&[])?;
    run::step("format", run::cargo().args(["fmt", "--all", "--check"]))?;
    run::step(
        "clippy",
        run::cargo()
            .args(["clippy", "--release", "--workspace", "--all-targets"])
            .args(["--quiet", "--", "-D", "warnings"]),
    )?;
    licences_and_bans()
}

/// The last step, so that the run ends with cargo's own closing lines. Output of tests that pass is
/// shown, because a test that skips says so there.
fn tests() -> Outcome {
    run::step(
        "tests",
        run::cargo().args(["test", "--release", "--workspace", "--", "--show-output"]),
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

/// Ten seconds each: enough to find a target that no longer builds or dies on its own corpus.
fn fuzz_smoke() -> Outcome {
    let fuzz = |arguments: &[&str]| {
        // rustup's proxy picks the toolchain; the variables that an outer cargo sets would undo it.
        let mut command = Command::new("cargo");
        command.current_dir(run::root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        command.args(["+nightly", "fuzz"]).args(arguments);
        command
    };
    let Ok(list) = run::capture(&mut fuzz(&["list"])) else {
        eprintln!("SKIPPED fuzz targets: needs a nightly toolchain and cargo-fuzz");
        return Ok(());
    };
    for target in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let corpus = format!("fuzz/seeds/{target}");
        let mut command = fuzz(&["run", target]);
        command.arg(format!("fuzz/corpus/{target}")).arg(corpus);
        std::fs::create_dir_all(run::root().join("fuzz/corpus").join(target))?;
        command.args(["--", "-max_total_time=10", "-print_final_stats=0", "-verbosity=0"]);
        run::step(&format!("fuzz {target}"), &mut command)?;
    }
    Ok(())
}
