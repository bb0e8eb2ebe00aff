//! consign beside the tools that people use today, in one run on one machine, against a server that
//! costs next to nothing.
//!
//! [`jobs`] says what is run, [`measure`] runs it and counts, [`report`] makes the table. Runs of the
//! tools alternate, so that a machine that grows slower does so for all of them. Figures are worth
//! comparing within one table only.

mod jobs;
mod measure;
mod post;
mod publish;
mod report;
mod seals;
mod stage;

use std::path::Path;

use crate::run::{self, Failure, Outcome, While};
use jobs::{Direction, Job};
use measure::Sample;
use stage::Stage;

pub(crate) const HELP: &str = "\
Measure consign beside other tools.

Usage: cargo xtask bench [seals | publish] [--quick] [--runs N] [--only WORD] [--no-write] [--no-build]

Sends and receives 1 GiB and 10,000 files of 10 KiB with consign, s5cmd (no encryption), age piped
through s5cmd, and rclone crypt, all against an in-memory S3 on loopback, with files on tmpfs where
there is one. Prints wall time, CPU time and peak memory of each tool's processes, medians of all
runs, and writes them to docs/benchmarks.md. Do nothing else on the machine meanwhile.

With `seals`: seals and opens one file with consign, age, rage, gpg and sq, as far as they are
installed, and writes gigabytes per second of processor time and peak memory.

With `publish`: delivers 2,000 objects of 10 KiB (500 with --quick) from a repository into an inbox of the
local cloud with consign, a boto3 loop and rclone, and with consign from far away, and writes objects per
second, processor time, also of the cloud, and peak memory.

Options:
  --quick      Three runs of each instead of seven
  --runs N     That many runs
  --only WORD  Only jobs whose title contains WORD; writes nothing
  --no-write   Leave docs/benchmarks.md alone
  --no-build   Measure what is in target/release already

Example:
  cargo xtask bench --quick
";

struct Options {
    seals: bool,
    publish: bool,
    quick: bool,
    runs: usize,
    only: Option<String>,
    write: bool,
    build: bool,
}

/// The measured runs of one tool at one job.
pub(crate) struct Row {
    pub(crate) tool: &'static str,
    pub(crate) samples: Vec<Sample>,
}

pub(crate) fn command(arguments: &[String]) -> Outcome {
    let options = options(arguments)?;
    if options.build {
        run::step(
            "build",
            run::cargo().args(["build", "--quiet", "--release"]).args([
                "--package",
                "consign-cli",
                "--package",
                "consign-testkit",
                "--bins",
            ]),
        )?;
    }
    if options.seals {
        return seals::command(options.runs, options.write);
    }
    if options.publish {
        let objects = if options.quick { 500 } else { 2000 };
        return publish::command(objects, options.runs, options.write);
    }
    let stage = Stage::set_up()?;
    let wanted = |job: &Job| options.only.as_deref().is_none_or(|word| job.title.contains(word));
    let mut tables = Vec::new();
    for job in jobs::all().into_iter().filter(wanted) {
        let rows = run_job(&stage, &job, options.runs)?;
        let table = report::table(job.title, &rows);
        println!("{table}");
        tables.push(table);
    }
    if options.write {
        let file = run::root().join("docs/benchmarks.md");
        report::write(&file, &report::conditions(&stage, options.runs)?, &tables)?;
        eprintln!("xtask: wrote {}", file.display());
    }
    Ok(())
}

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        seals: false,
        publish: false,
        quick: false,
        runs: 7,
        only: None,
        write: true,
        build: true,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "seals" => options.seals = true,
            "publish" => options.publish = true,
            "--quick" => (options.quick, options.runs) = (true, 3),
            "--runs" => {
                let runs = words.next().and_then(|runs| runs.parse().ok()).filter(|runs| *runs > 0);
                options.runs = runs.ok_or_else(|| Failure::new("--runs takes a number"))?;
            }
            "--only" => {
                options.only = words.next().cloned();
                options.write = false;
            }
            "--no-write" => options.write = false,
            "--no-build" => options.build = false,
            other => return Err(Failure::new(format!("bench takes no argument `{other}`"))),
        }
    }
    Ok(options)
}

fn run_job(stage: &Stage, job: &Job, runs: usize) -> Outcome<Vec<Row>> {
    stage.forget_objects()?;
    match job.direction {
        // The server drops what it gets: keeping it would cost more than some clients do.
        Direction::Send => stage.keep_bodies(false)?,
        Direction::Receive => {
            stage.keep_bodies(true)?;
            for tool in &job.tools {
                let sent = stage.script(tool.before, job.input);
                stage.run(sent).during(format_args!("{}: preparing {}", job.title, tool.name))?;
            }
        }
    }
    let mut rows: Vec<Row> =
        job.tools.iter().map(|tool| Row { tool: tool.name, samples: Vec::new() }).collect();
    // Round 0 only warms up: a virtual machine pays for memory when it first touches it.
    for round in 0..=runs {
        for (tool, row) in job.tools.iter().zip(&mut rows) {
            if job.direction == Direction::Send {
                // rclone sends nothing that is there already.
                stage.forget_objects()?;
            }
            let sample = stage
                .run(stage.script(tool.script, job.input))
                .during(format_args!("{}: {}", job.title, tool.name))?;
            if job.direction == Direction::Receive {
                expect(&stage.output(), job.expected())
                    .during(format_args!("{}: {}", job.title, tool.name))?;
            }
            eprintln!("xtask: {} {round}/{runs}: {}: {:.2} s", job.title, tool.name, sample.wall);
            if round > 0 {
                row.samples.push(sample);
            }
        }
    }
    Ok(rows)
}

/// A tool that is fast because it delivers half is not fast.
fn expect(folder: &Path, expected: (u64, u64)) -> Outcome {
    let found = stage::count(folder)?;
    if found == expected {
        return Ok(());
    }
    Err(Failure::new(format!("delivered {found:?} (files, bytes) instead of {expected:?}")))
}
