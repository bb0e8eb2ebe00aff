//! `consign show`: what is in a consignment, from its signed manifest.

use std::sync::Arc;

use consign::Shown;
use consign_model::ConsignmentId;

use super::locate;
use crate::args::ConsignmentArgs;
use crate::error::CommandError;
use crate::progress::Bar;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape, files, table};

/// Opens the manifest and prints it.
pub(crate) async fn run(
    args: &ConsignmentArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let id = ConsignmentId::parse(&args.id)?;
    let bar = Arc::new(Bar::new(terminal));
    let (office, lane) = locate::consignment(settings, args.lane.as_deref(), &id, bar).await?;
    let shown = consign::show(&office, &lane, &id).await?;
    let view = serde_json::json!({
        "manifest": shown.manifest,
        "digest": shown.digest.to_string(),
        "signer": shown.signer.as_ref().map(ToString::to_string),
    });
    terminal.result(&view, &text(&shown))
}

fn text(shown: &Shown) -> String {
    let manifest = &shown.manifest;
    let signer = shown.signer.as_ref().map_or("our own key".to_owned(), ToString::to_string);
    let rows: Vec<Vec<String>> = manifest
        .files
        .iter()
        .map(|file| vec![bytes(file.size), escape(file.path.as_ref()), file.blake3.to_string()])
        .collect();
    let revision = manifest.revision.as_ref().map_or_else(String::new, |revision| {
        format!(", revision {} of {}", revision.number, revision.made)
    });
    let readers: Vec<&str> =
        manifest.recipients.iter().map(|addressee| addressee.party.as_ref()).collect();
    format!(
        "{} from {} on lane {}, number {}, created {}{revision}\nfor {}\nsigned by {signer}; {}, {}\n\n{}",
        manifest.id,
        manifest.sender,
        manifest.lane,
        manifest.sequence,
        manifest.created,
        readers.join(", "),
        files(manifest.files.len() as u64),
        bytes(manifest.content_bytes()),
        table(&["SIZE", "PATH", "BLAKE3"], &rows),
    )
}
