//! `consign handover`: what the other parties have to do in their accounts.

use std::fmt::Write as _;
use std::path::Path;

use consign_provision::{Handover, handover};

use super::world::{World, own_account};
use crate::args::HandoverArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Prints each other account's half, or writes it into a folder.
pub(crate) async fn run(
    args: &HandoverArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let exchange = settings.exchange()?;
    let party = settings.party.as_ref().ok_or_else(|| {
        CommandError::usage("whose half is yours?").hint("consign handover --as PARTY")
    })?;
    let ours = own_account(&exchange, party)?;
    let world = World::look(settings, &args.administrators).await?;
    let halves = handover(&world.desired, &world.observed, &ours)?;
    if let Some(folder) = &args.out {
        write(folder, &halves)?;
    }
    terminal.result(&halves, &text(&halves))
}

fn text(halves: &[Handover]) -> String {
    let mut text = String::new();
    for half in halves {
        let parties: Vec<&str> = half.parties.iter().map(AsRef::as_ref).collect();
        let _ = writeln!(text, "# For {} (account {}):", parties.join(", "), half.account);
        for note in &half.notes {
            let _ = writeln!(text, "# {note}");
        }
        let _ = writeln!(text, "{}", half.script);
    }
    text
}

fn write(folder: &Path, halves: &[Handover]) -> Result<(), CommandError> {
    for half in halves {
        let folder = folder.join(half.account.as_ref());
        let failed = |path: &Path, e| {
            CommandError::usage(format!("cannot write {}", path.display())).caused_by(e)
        };
        std::fs::create_dir_all(&folder).map_err(|e| failed(&folder, e))?;
        let script = ("handover.sh".to_owned(), half.script.clone());
        for (name, content) in half.documents.clone().into_iter().chain([script]) {
            let path = folder.join(name);
            std::fs::write(&path, content).map_err(|e| failed(&path, e))?;
        }
    }
    Ok(())
}
