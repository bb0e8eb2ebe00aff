//! `consign internals man`: the man pages, made from the same words as `--help`.

use clap::CommandFactory;

use crate::args::{Arguments, ManArgs};
use crate::error::CommandError;

/// Writes `consign.1` and a page for every command into the folder.
pub(crate) fn run(args: &ManArgs) -> Result<(), CommandError> {
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), &args.dir))
        .map_err(|e| {
            CommandError::failed(format!("cannot write the man pages into {}", args.dir.display()))
                .caused_by(e)
        })
}
