//! Builds the fuzz targets with the toolchain that builds everything else, and runs each for a while, on
//! its seeds and on what earlier runs found.
//!
//! libFuzzer needs coverage from the compiler, not a sanitizer: our code has no `unsafe`, so what a
//! sanitizer would find is not there to be found, and what is (panics, overflows, broken assertions, hangs,
//! memory without bound) needs none. LLVM's coverage pass is in the stable compiler too, so neither nightly
//! nor cargo-fuzz is needed; `cargo +nightly fuzz run` works on the same targets all the same.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;

use crate::run::{self, Failure, Outcome, While};

pub(crate) const HELP: &str = "\
Run every fuzz target for a while.

Usage: cargo xtask fuzz [--seconds N] [TARGET]...

Builds the targets of fuzz/ into target/fuzz with the coverage pass of the compiler at hand, and runs all
of them, or those named, for N seconds each (60 unless said otherwise), one on each processor, on
fuzz/seeds and fuzz/corpus. What a target finds lies in fuzz/artifacts, what it said in target/fuzz/logs.

Example:
  cargo xtask fuzz --seconds 600 age_file age_keys
";

const SECONDS: u32 = 60;
/// The feature of fuzz/Cargo.toml, and the targets that require it.
const LOCAL: &str = "local";
const OF_LOCAL: [&str; 4] = ["aws_chunked", "s3_document", "sigv4", "sqs_request"];
/// A single input that takes longer is a finding.
const HANG_SECONDS: u32 = 60;
const MEMORY_MIB_MAX: u32 = 2048;
/// What libFuzzer reads: which edges were taken, where they are, and what was compared with what.
const COVERAGE: &str = "-Cpasses=sancov-module \
                        -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";

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
    let all = targets()?;
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        return Err(Failure::new(format!("there is no fuzz target `{unknown}`")));
    }
    run(seconds, if named.is_empty() { all } else { named }, &["--features", LOCAL])
}

/// Every target, for so many seconds each.
pub(crate) fn run_all(seconds: u32) -> Outcome {
    run(seconds, targets()?, &["--features", LOCAL])
}

/// The targets of what partners send, which are all but the local cloud's own.
pub(crate) fn run_formats(seconds: u32) -> Outcome {
    let mut names = targets()?;
    names.retain(|name| !OF_LOCAL.contains(&name.as_str()));
    run(seconds, names, &[])
}

fn run(seconds: u32, chosen: Vec<String>, features: &[&str]) -> Outcome {
    let folder = build(&chosen, features)?;
    let waiting = Mutex::new(VecDeque::from(chosen));
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
    let found = Mutex::new(Vec::new());
    let worker = || {
        while let Some(target) = next() {
            if let Err(failure) = fuzz(&folder, &target, seconds)
                && let Ok(mut found) = found.lock()
            {
                eprintln!("xtask: {failure}");
                found.push(target);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(worker);
        }
    });
    match found.into_inner().unwrap_or_default().as_slice() {
        [] => Ok(()),
        found => Err(Failure::new(format!("fuzzing found something in {}", found.join(", ")))),
    }
}

/// The names of the files in fuzz/fuzz_targets.
fn targets() -> Outcome<Vec<String>> {
    let folder = run::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).during(folder.display())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds the targets; gives the folder of the programs.
fn build(chosen: &[String], features: &[&str]) -> Outcome<PathBuf> {
    // With a target named, flags are not for build scripts and procedural macros.
    let host = run::capture(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::new("rustc does not say what it compiles for"))?;
    let target = run::target().join("fuzz");
    let mut command = run::cargo();
    command.args(["build", "--release", "--locked", "--quiet", "--target", host]);
    command.arg("--manifest-path").arg(run::root().join("fuzz/Cargo.toml"));
    command.arg("--target-dir").arg(&target).env("RUSTFLAGS", COVERAGE);
    command.args(features).args(chosen.iter().flat_map(|name| ["--bin", name]));
    run::step("build the fuzz targets", &mut command)?;
    Ok(target.join(host).join("release"))
}

fn fuzz(folder: &Path, target: &str, seconds: u32) -> Outcome {
    let root = run::root();
    let corpus = root.join("fuzz/corpus").join(target);
    let artifacts = root.join("fuzz/artifacts").join(target);
    let logs = run::target().join("fuzz/logs");
    for folder in [&corpus, &artifacts, &logs] {
        fs::create_dir_all(folder).during(folder.display())?;
    }
    let seeds = root.join("fuzz/seeds").join(target);
    let log = logs.join(format!("{target}.log"));
    let mut command = Command::new(folder.join(target));
    command.current_dir(&root).arg(&corpus).args(seeds.is_dir().then_some(seeds));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={HANG_SECONDS}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg("-print_final_stats=1");
    let status = said_into(&mut command, &log)?;
    let said = String::from_utf8_lossy(&fs::read(&log).during(log.display())?).into_owned();
    if !status.success() {
        let last: Vec<&str> = said.lines().filter(|line| is_telling(line)).take(4).collect();
        let found = last.join("; ");
        return Err(Failure::new(format!(
            "{target} found something ({found}); see {} and {}",
            artifacts.display(),
            log.display()
        )));
    }
    let figure = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("stat::{name}:")));
        line.map_or("?", str::trim).to_owned()
    };
    eprintln!(
        "xtask: fuzz {target}: {} runs, {} a second, {} new inputs",
        figure("number_of_executed_units"),
        figure("average_exec_per_sec"),
        figure("new_units_added")
    );
    Ok(())
}

fn said_into(command: &mut Command, log: &Path) -> Outcome<ExitStatus> {
    let file = File::create(log).during(log.display())?;
    let again = file.try_clone().during(log.display())?;
    command.stdout(file).stderr(again).status().during("a fuzz target does not start")
}

/// Lines of libFuzzer and of a panic that say what happened.
fn is_telling(line: &str) -> bool {
    line.contains("panicked at") || line.contains("ERROR: libFuzzer") || line.starts_with("SUMMARY")
}
