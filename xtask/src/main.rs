//! The chores of this repository, in plain Rust: install what the tests judge by, run every
//! check, measure against other tools, write the man pages.
//!
//! Start with `cargo xtask test`: it is what CI runs. Each command lives in a module of its own;
//! `run.rs` holds the one way in which all of them start other programs. Nothing here is needed to
//! build or use consign.

mod bench;
mod docs;
mod fuzz;
mod judges;
mod run;
mod test;
mod tidy;

use std::process::ExitCode;

use run::{Failure, Outcome};

const HELP: &str = "\
The chores of this repository.

Usage: cargo xtask COMMAND [--help]

Commands:
  judges  Install the tools that tests judge by: Debian packages, and target/judges from PyPI
  test    Everything that must hold before a change lands: judges, format, lints, tests
  ci      `test`, then the demo and a minute of every fuzz target
  tidy    Compare the crates with ARCHITECTURE.md; find long files and forbidden dependencies
  bench   Measure consign beside other tools and write docs/benchmarks.md
  fuzz    Run every fuzz target for a while
  docs    Write man pages and shell completions to target/docs

Example:
  cargo xtask test
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Outcome {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    let (help, work): (&str, fn(&[String]) -> Outcome) = match command.as_str() {
        "judges" => (judges::HELP, judges::command),
        "test" => (test::HELP, test::command),
        "ci" => (test::HELP_CI, test::command_ci),
        "tidy" => (tidy::HELP, tidy::command),
        "bench" => (bench::HELP, bench::command),
        "fuzz" => (fuzz::HELP, fuzz::command),
        "docs" => (docs::HELP, docs::command),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            return Ok(());
        }
        other => {
            return Err(Failure::new(format!("no command `{other}`; see `cargo xtask --help`")));
        }
    };
    if rest.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{help}");
        return Ok(());
    }
    work(rest)
}
