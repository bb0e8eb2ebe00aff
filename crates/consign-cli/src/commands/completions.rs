//! `consign completions`: completions for a shell.

use clap::CommandFactory;

use crate::args::{Arguments, CompletionsArgs};
use crate::error::CommandError;
use crate::terminal::Terminal;

/// Prints the completions on standard output.
pub(crate) fn run(args: &CompletionsArgs, terminal: &Terminal) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "consign", &mut script);
    terminal.whole(&script)
}
