//! A single file of s3s2 (`.zip.gpg`), outside its share: opened, and taken out of its archive.
//!
//! The message authenticates at its end, so it is read as a whole, and the archive in it to its end,
//! before the first byte of the file is given.

use std::path::{Path, PathBuf};

use consign_model::RelativePath;
use consign_seal::s3s2::{self, SecretKey};

use super::source::{SealedSource, beginning, cannot_spool};
use super::{openpgp, output, said};
use crate::args::OpenArgs;
use crate::commands::interrupt::Flag;
use crate::commands::openpgp_keys;
use crate::commands::whole_file::WholeFile;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

const FORMAT: &str = "s3s2 (OpenPGP)";
const START_BYTES: usize = 1 << 20;

pub(super) fn open(
    args: &OpenArgs,
    source: SealedSource,
    settings: &Settings,
    terminal: &Terminal,
    stop: &Flag,
) -> Result<(), CommandError> {
    let name = source.name.clone();
    let mut file = source.into_file(stop)?;
    if args.inspect {
        let start = beginning(&mut file, START_BYTES).map_err(cannot_spool)?;
        let description = s3s2::describe(&start)?;
        let length = file.metadata().map_err(cannot_spool)?.len();
        let view = openpgp::described(&name, FORMAT, length, &description);
        return terminal.result(&view, &openpgp::told(&name, FORMAT, length, &description));
    }
    let keys = secret_keys(args, settings)?;
    let mut output = match &args.into {
        Some(folder) => WholeFile::create(&folder.join("archive"), true)?,
        None => output(args)?,
    };
    let (_, contents) =
        consign_s3s2::open_alone(&file, &keys, consign_s3s2::EXPANSION_MAX, &mut output)?;
    let path = match &args.into {
        Some(folder) => Some(folder.join(last_segment(&contents.entry)?)),
        None => args.output.clone(),
    };
    match path.as_deref().filter(|_| args.into.is_some()) {
        Some(path) => output.finish_as(path, args.force)?,
        None => output.finish()?,
    }
    terminal.say("note: a file of s3s2 is not signed: that it opens does not tell who wrote it");
    let more = serde_json::json!({ "entry": contents.entry, "signed_by": null });
    said(&name, path.as_deref(), contents.bytes, &more, terminal)
}

/// The name in the archive is the sender's, a path on his machine as s3s2 saw it: only what follows the
/// last folder is used, and it must be a name that is safe everywhere.
fn last_segment(entry: &str) -> Result<PathBuf, CommandError> {
    let last = entry.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = RelativePath::parse(last).map_err(|error| {
        CommandError::from(error).hint("name the file yourself with -o FILE instead of --into")
    })?;
    Ok(PathBuf::from(name.as_str()))
}

fn secret_keys(args: &OpenArgs, settings: &Settings) -> Result<Vec<SecretKey>, CommandError> {
    let files = match args.identity.as_slice() {
        [] => openpgp_keys::secret_files(&settings.keys_dir),
        named => named.to_vec(),
    };
    let mut keys = Vec::new();
    for file in &files {
        keys.extend(read(file)?);
    }
    if keys.is_empty() {
        return Err(CommandError::usage("no private key is at hand")
            .hint("name the file of yours with --identity FILE"));
    }
    Ok(keys)
}

fn read(file: &Path) -> Result<Vec<SecretKey>, CommandError> {
    let bytes = openpgp_keys::secret_bytes(file)?;
    SecretKey::parse(&bytes)
        .map_err(|error| CommandError::from(error).within(file.display().to_string()))
}
