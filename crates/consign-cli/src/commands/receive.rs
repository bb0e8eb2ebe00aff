//! `consign receive`: fetches, opens and verifies what is new on a lane.

use std::sync::Arc;

use consign::{ReceiveOptions, Received};

use crate::args::ReceiveArgs;
use crate::error::{CommandError, chain};
use crate::office::{self, Side};
use crate::progress::Bar;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape, files};

/// Receives everything new; a consignment that is refused does not hide the good ones, but makes the
/// command fail.
pub(crate) async fn run(
    args: &ReceiveArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let exchange = settings.exchange()?;
    let (lane, party) = office::lane_and_party(&exchange, settings, &args.lane, Side::Receiver)?;
    let bar = Arc::new(Bar::new(terminal));
    let office = office::open(settings, exchange, party, bar.clone()).await?;
    office::cancel_on_interrupt(&office);
    let options = ReceiveOptions {
        accept_gap: args.accept_gap,
        accept_unsigned: args.accept_unsigned,
        ..ReceiveOptions::default()
    };
    let received = consign::receive(&office, &lane, &args.into, &options).await;
    bar.finish();
    let received = received?;
    terminal.result(&view(&received), &text(&received))?;
    unless_refused(received).map(drop)
}

fn view(received: &Received) -> serde_json::Value {
    let consignments: Vec<_> = received
        .consignments
        .iter()
        .map(|arrived| {
            serde_json::json!({
                "id": arrived.id.to_string(),
                "sender": arrived.sender.to_string(),
                "signer": arrived.signer.to_string(),
                "created": arrived.created.to_string(),
                "sequence": arrived.sequence,
                "files": arrived.files,
                "bytes": arrived.bytes,
                "path": arrived.path,
            })
        })
        .collect();
    let shares: Vec<_> = received
        .shares
        .iter()
        .map(|share| {
            serde_json::json!({
                "id": share.id.to_string(),
                "share": share.share,
                "sender": share.sender.to_string(),
                "files": share.files,
                "bytes": share.bytes,
                "path": share.path,
                "signed": false,
                "cast5_files": share.old_ciphers,
            })
        })
        .collect();
    let refused: Vec<_> = received
        .refused
        .iter()
        .map(|refused| serde_json::json!({"id": refused.id.to_string(), "error": chain(&refused.error)}))
        .collect();
    serde_json::json!({
        "consignments": consignments, "shares": shares, "refused": refused,
        "notices": received.notices,
    })
}

fn text(received: &Received) -> String {
    let mut lines: Vec<String> =
        received.notices.iter().map(|notice| format!("note: {}", escape(notice))).collect();
    for arrived in &received.consignments {
        lines.push(format!(
            "Received {} from {}: {}, {}, in {}",
            arrived.id,
            arrived.sender,
            files(arrived.files),
            bytes(arrived.bytes),
            arrived.path.display(),
        ));
    }
    for share in &received.shares {
        lines.push(format!(
            "Received {} (share {}, not signed): {}, {}, in {}",
            share.id,
            escape(&share.share),
            files(share.files),
            bytes(share.bytes),
            share.path.display(),
        ));
    }
    if !received.shares.is_empty() {
        lines.push(
            "note: nobody has signed a share of s3s2: that it opens does not tell who wrote it, and \
             nothing shows that one is missing"
                .to_owned(),
        );
    }
    let arrived = received.consignments.len() + received.shares.len();
    if arrived == 0 && received.refused.is_empty() {
        lines.push("Nothing new.".to_owned());
    }
    lines.join("\n")
}

/// What was received, or an error about the first consignment that was refused, with the others as
/// hints.
pub(crate) fn unless_refused(mut received: Received) -> Result<Received, CommandError> {
    if received.refused.is_empty() {
        return Ok(received);
    }
    let first = received.refused.remove(0);
    let mut error =
        CommandError::from(first.error).within(format!("consignment {} was refused", first.id));
    for other in &received.refused {
        error = error.hint(format!("{} was refused too: {}", other.id, chain(&other.error)));
    }
    Err(error)
}
