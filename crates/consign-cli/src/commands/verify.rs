//! `consign verify`: fetches and checks every byte of a consignment, and keeps none of it.

use std::sync::Arc;

use consign_model::ConsignmentId;

use super::locate;
use crate::args::ConsignmentArgs;
use crate::error::CommandError;
use crate::office;
use crate::progress::Bar;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape, files};

/// Verifies; an error says what is not as its sender signed it.
pub(crate) async fn run(
    args: &ConsignmentArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let id = ConsignmentId::parse(&args.id)?;
    let bar = Arc::new(Bar::new(terminal));
    let (office, lane) =
        locate::consignment(settings, args.lane.as_deref(), &id, bar.clone()).await?;
    office::cancel_on_interrupt(&office);
    let verified = consign::verify(&office, &lane, &id).await;
    bar.finish();
    let verified = verified?;
    for notice in &verified.notices {
        terminal.say(&format!("note: {}", escape(notice)));
    }
    let view = serde_json::json!({
        "id": verified.id.to_string(),
        "lane": lane.to_string(),
        "sender": verified.sender.to_string(),
        "signer": verified.signer.to_string(),
        "created": verified.created.to_string(),
        "sequence": verified.sequence,
        "files": verified.files,
        "bytes": verified.bytes,
        "notices": verified.notices,
    });
    let text = format!(
        "{} is authentic and whole: {}, {}, signed by {} ({})",
        verified.id,
        files(verified.files),
        bytes(verified.bytes),
        verified.sender,
        verified.signer,
    );
    terminal.result(&view, &text)
}
