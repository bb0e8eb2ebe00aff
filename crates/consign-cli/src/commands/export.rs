//! `consign export`: the exchange for other people's tools, as files.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use consign_model::AccountId;
use consign_provision::export::{self, Files, Provider};
use consign_provision::{Desired, Documents, Keys, prove};

use super::apply::refuse_unless_it_holds;
use super::files;
use super::world::World;
use crate::args::{ExportArgs, ExportCommand};
use crate::connect;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Makes the files, proves what they say, then prints them or writes them below `--out`.
pub(crate) async fn run(
    what: &ExportCommand,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let args = match what {
        ExportCommand::Cloudformation(args) | ExportCommand::Policies(args) => args,
        ExportCommand::Terraform(args) => &args.export,
    };
    let (desired, keys) = wanted(args, settings).await?;
    let account = account(&desired, settings)?;
    let of = account.as_ref();
    let made = match what {
        ExportCommand::Cloudformation(_) => export::cloudformation(&desired, &keys, of)?,
        ExportCommand::Policies(_) => export::policies(&desired, &keys, of)?,
        ExportCommand::Terraform(args) => {
            let provider = if args.provider == 5 { Provider::V5 } else { Provider::V6 };
            export::terraform(&desired, &keys, of, provider)?
        }
    };
    refuse_unless_it_holds(&prove(&desired, &Documents::planned(&desired, &keys))?)?;
    match &args.out {
        Some(folder) => {
            let folder = Folder { path: folder, exchange: desired.exchange.to_string() };
            folder.write(&made, args.force, terminal)
        }
        None => print(&made, terminal),
    }
}

/// What is wanted, and the keys that are known.
async fn wanted(args: &ExportArgs, settings: &Settings) -> Result<(Desired, Keys), CommandError> {
    if args.live {
        let world = World::look(settings, &args.administrators).await?;
        return Ok((world.desired, world.observed.keys()));
    }
    let desired = Desired::of(&settings.exchange()?)?;
    Ok((desired, connect::keys_told(&args.administrators)?))
}

/// The account of the party at hand; `None` for all.
fn account(desired: &Desired, settings: &Settings) -> Result<Option<AccountId>, CommandError> {
    let Some(name) = &settings.party else { return Ok(None) };
    let party = desired.parties.get(name).ok_or_else(|| {
        let names: Vec<String> = desired.parties.keys().map(ToString::to_string).collect();
        CommandError::usage(format!("the exchange {} has no party `{name}`", desired.exchange))
            .hint(format!("--as one of: {}", names.join(", ")))
    })?;
    Ok(Some(party.account.clone()))
}

fn print(made: &Files, terminal: &Terminal) -> Result<(), CommandError> {
    let mut texts = made.values();
    match (texts.next(), texts.next()) {
        (Some(text), None) => terminal.data(text.trim_end()),
        (None, _) => Err(CommandError::usage("nothing of the exchange is in that account")
            .hint("leave out --as to export every account")),
        _ => Err(CommandError::usage(format!("this is {} files", made.len())).hint(
            "say where to write them with --out DIR; a template or module of one account, chosen \
             with --as PARTY, is also printed",
        )),
    }
}

/// The folder to write into, and whose files may be replaced there.
struct Folder<'a> {
    path: &'a Path,
    exchange: String,
}

impl Folder<'_> {
    /// Writes what is new or different, each file by one rename, but nothing at all if one of them
    /// is somebody else's.
    fn write(&self, made: &Files, force: bool, terminal: &Terminal) -> Result<(), CommandError> {
        let before = self.listed_before();
        let mut different = Vec::new();
        for (name, text) in made {
            let path = self.path.join(name);
            match self.read(&path)? {
                Some(there) if there == text.as_bytes() => continue,
                Some(there) if !force && !before.contains(name) && !self.is_ours(&there) => {
                    return Err(foreign(&path, &self.exchange));
                }
                _ => different.push((path, text)),
            }
        }
        // The index first: it is what says that the others are ours, if this is cut short.
        different.sort_by_key(|(path, _)| !path.ends_with(INDEX));
        for (path, text) in &different {
            write(path, text)?;
        }
        if made.contains_key(INDEX) {
            for left in before.iter().filter(|name| !made.contains_key(*name)) {
                let path = self.path.join(left);
                if path.exists() {
                    terminal.say(&format!("No longer part of it, remove it: {}", path.display()));
                }
            }
        }
        let all: Vec<PathBuf> = made.keys().map(|name| self.path.join(name)).collect();
        let lines: Vec<String> = all.iter().map(|path| path.display().to_string()).collect();
        terminal.say(&format!("{} of {} files changed.", different.len(), made.len()));
        let written: Vec<&PathBuf> = different.iter().map(|(path, _)| path).collect();
        let value = serde_json::json!({ "files": all, "written": written });
        terminal.result(&value, &lines.join("\n"))
    }

    /// What is at `path`, if anything is.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, CommandError> {
        match std::fs::read(path) {
            Ok(there) => Ok(Some(there)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(CommandError::usage(format!("cannot write {}", path.display()))
                .caused_by(e)
                .hint("name another folder with --out DIR")),
        }
    }

    /// Documents of an earlier export of this exchange: a policy has no place to say whose it is,
    /// so the index says it.
    fn listed_before(&self) -> BTreeSet<String> {
        let Ok(text) = std::fs::read(self.path.join(INDEX)) else { return BTreeSet::new() };
        if !self.is_ours(&text) {
            return BTreeSet::new();
        }
        let index: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let documents = index["documents"].as_object();
        documents.into_iter().flat_map(|documents| documents.keys().cloned()).collect()
    }

    fn is_ours(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        export::made_for(&text).as_deref() == Some(self.exchange.as_str())
    }
}

const INDEX: &str = "index.json";

fn foreign(path: &Path, exchange: &str) -> CommandError {
    let path = path.display();
    CommandError::usage(format!("{path} was not exported from the exchange {exchange}"))
        .hint("name another folder with --out DIR, or overwrite it with --force")
}

fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| files::replace(path, text.as_bytes()))
        .map_err(|e| CommandError::failed(format!("cannot write {}", path.display())).caused_by(e))
}
