//! Runs the fuzz targets, each for a while, on its seeds and on what earlier runs found.

use std::fs;
use std::process::Command;

use crate::run::{self, Failure, Outcome, While};

pub(crate) const HELP: &str = "\
Run every fuzz target for a while.

Usage: cargo xtask fuzz [--seconds N] [TARGET]...

Every target of fuzz/, or those named, for N seconds each (60 unless said otherwise) on fuzz/seeds
and fuzz/corpus. Needs a nightly toolchain and cargo-fuzz (`cargo install cargo-fuzz`); without them it
says SKIPPED. What a target finds lies in fuzz/artifacts.

Example:
  cargo xtask fuzz --seconds 600 age_file age_keys
";

const SECONDS: u32 = 60;

pub(crate) fn command(arguments: &[String]) -> Outcome {
    let (mut seconds, mut named) = (SECONDS, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let number = words.next().and_then(|text| text.parse().ok()).filter(|n| *n > 0);
                seconds = number.ok_or_else(|| Failure::new("--seconds takes a number"))?;
            }
            flag if flag.starts_with('-') => {
                return Err(Failure::new(format!("fuzz takes no argument `{flag}`")));
            }
            target => named.push(target.to_owned()),
        }
    }
    run(seconds, &named)
}

/// Every target that is `named`, or all, for so many seconds each.
pub(crate) fn run(seconds: u32, named: &[String]) -> Outcome {
    let Ok(list) = run::capture(&mut cargo_fuzz(&["list"])) else {
        eprintln!("SKIPPED fuzz targets: needs a nightly toolchain and cargo-fuzz");
        return Ok(());
    };
    let targets: Vec<&str> = list.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if let Some(unknown) = named.iter().find(|name| !targets.contains(&name.as_str())) {
        return Err(Failure::new(format!("there is no fuzz target `{unknown}`")));
    }
    for target in targets.iter().filter(|t| named.is_empty() || named.iter().any(|n| n == *t)) {
        let corpus = run::root().join("fuzz/corpus").join(target);
        fs::create_dir_all(&corpus).during(corpus.display())?;
        let mut command = cargo_fuzz(&["run", target]);
        command.arg(&corpus);
        let seeds = run::root().join("fuzz/seeds").join(target);
        command.args(seeds.is_dir().then_some(seeds));
        command.args(["--", "-print_final_stats=0", "-verbosity=0"]);
        command.arg(format!("-max_total_time={seconds}"));
        run::step(&format!("fuzz {target}"), &mut command)?;
    }
    Ok(())
}

/// rustup's proxy picks the toolchain; the variables that an outer cargo sets would undo it.
fn cargo_fuzz(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(run::root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command.args(["+nightly", "fuzz"]).args(arguments);
    command
}
