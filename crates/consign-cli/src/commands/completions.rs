//! `consign completions`: completions for a shell.

use clap::CommandFactory;

use crate::args::{Arguments, CompletionsArgs};
use crate::error::CommandError;

/// Prints the completions on standard output.
pub(crate) fn run(args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "consign", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)
        .map_err(|e| CommandError::failed("cannot write to standard output").caused_by(e))
}
