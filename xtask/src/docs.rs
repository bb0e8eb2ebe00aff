//! Man pages and shell completions, written by the `consign` binary about itself.

use std::fs;
use std::process::Command;

use crate::run::{self, Failure, Outcome, While};

pub(crate) const HELP: &str = "\
Write man pages and shell completions.

Usage: cargo xtask docs [DIR]

Builds consign and asks it to describe itself; DIR is target/docs unless given.

Example:
  cargo xtask docs && man target/docs/consign.1
";

pub(crate) fn command(arguments: &[String]) -> Outcome {
    let into = match arguments {
        [] => run::target().join("docs"),
        [folder] => folder.into(),
        _ => return Err(Failure::new("docs takes one folder")),
    };
    fs::create_dir_all(&into).during(into.display())?;
    run::step(
        "build consign",
        run::cargo().args(["build", "--release", "--package", "consign-cli"]),
    )?;
    let consign = run::target().join("release/consign");
    run::step("man pages", Command::new(&consign).args(["internals", "man"]).arg(&into))?;
    for shell in ["bash", "zsh", "fish"] {
        let script = run::capture(Command::new(&consign).args(["completions", shell]))?;
        let file = into.join(format!("consign.{shell}"));
        fs::write(&file, script).during(file.display())?;
    }
    println!("{}", into.display());
    Ok(())
}
