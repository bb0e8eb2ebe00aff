//! `consign send`: seals, signs and sends.

use std::sync::Arc;
use std::time::Instant;

use consign::{Preview, SendOptions, Sent, Skipped};
use consign_model::LaneName;

use super::key_sources;
use crate::args::SendArgs;
use crate::error::CommandError;
use crate::office::{self, Side};
use crate::progress::Bar;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape, files};

/// Sends, or goes on with the interrupted attempt of the same command.
pub(crate) async fn run(
    args: &SendArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let exchange = settings.exchange()?;
    let (lane, party) = office::lane_and_party(&exchange, settings, &args.lane, Side::Sender)?;
    let bar = Arc::new(Bar::new(terminal));
    let mut office = office::open(settings, exchange, party, bar.clone()).await?;
    office::cancel_on_interrupt(&office);
    if args.abandon {
        let given_up = consign::abandon(&office, &lane).await?.map(|id| id.to_string());
        let text = match &given_up {
            Some(id) => format!("Gave up {id}."),
            None => "There is nothing to give up.".to_owned(),
        };
        return terminal.result(&serde_json::json!({ "abandoned": given_up }), &text);
    }
    if args.dry_run {
        let preview = consign::preview(&office, &lane, &args.paths).await;
        bar.finish();
        return show_preview(&preview?, &lane, terminal);
    }
    key_sources::add_receivers(&mut office, &lane, settings).await?;
    let started = Instant::now();
    let options = SendOptions { metadata_files: args.metadata_files.clone() };
    let sent = consign::send(&office, &lane, &args.paths, &options).await;
    bar.finish();
    let sent = sent?;
    let seconds = started.elapsed().as_secs_f64();
    say_skipped(&sent.skipped, terminal);
    for notice in &sent.notices {
        terminal.say(&format!("note: {}", escape(notice)));
    }
    terminal.result(&view(&sent, &lane, seconds), &text(&sent, &lane, seconds))?;
    Ok(consign::reported(&office, &lane, &sent).await?)
}

fn show_preview(
    preview: &Preview,
    lane: &LaneName,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    say_skipped(&preview.skipped, terminal);
    let view = serde_json::json!({
        "dry_run": true,
        "lane": lane.to_string(),
        "files": preview.files,
        "bytes": preview.bytes,
        "objects": preview.objects,
        "skipped": preview.skipped.iter().map(left_out).collect::<Vec<_>>(),
    });
    let text = format!(
        "Would send {}, {}, on lane {lane}; nothing was sent.",
        files(preview.files),
        bytes(preview.bytes)
    );
    terminal.result(&view, &text)
}

fn say_skipped(skipped: &[Skipped], terminal: &Terminal) {
    for skipped in skipped {
        terminal.say(&format!("left out: {}", escape(&left_out(skipped))));
    }
}

/// A sent consignment as `--json` shows it.
pub(crate) fn view(sent: &Sent, lane: &LaneName, seconds: f64) -> serde_json::Value {
    serde_json::json!({
        "id": sent.id.to_string(),
        "lane": lane.to_string(),
        "sequence": sent.sequence,
        "files": sent.files,
        "bytes": sent.bytes,
        "objects": sent.objects,
        "sealed_bytes": sent.sealed_bytes,
        "resumed": sent.resumed,
        "seconds": seconds,
        "skipped": sent.skipped.iter().map(left_out).collect::<Vec<_>>(),
        "notices": sent.notices,
    })
}

fn left_out(skipped: &Skipped) -> String {
    format!("{} ({})", skipped.path.display(), skipped.reason)
}

fn text(sent: &Sent, lane: &LaneName, seconds: f64) -> String {
    let rate = (sent.bytes as f64 / seconds.max(0.001)) as u64;
    format!(
        "Sent {}: {}, {} in {seconds:.1} s ({}/s), number {} on lane {lane}{}",
        sent.id,
        files(sent.files),
        bytes(sent.bytes),
        bytes(rate),
        sent.sequence,
        if sent.resumed { ", going on where it had stopped" } else { "" },
    )
}
