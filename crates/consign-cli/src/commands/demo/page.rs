//! The page that the demo ends with.

use std::fmt::Write as _;

use super::Outcome;
use super::stage::Stage;
use crate::commands::{local, prove};
use crate::terminal::{bytes, files, table};

/// Matrix, timings, where things lie, what to try next.
pub(super) fn text(outcome: &Outcome, stage: &Stage, kept: bool) -> String {
    let mut page = String::new();
    let section = |page: &mut String, title: &str| {
        let _ = writeln!(page, "\n{title}\n{}", "─".repeat(title.chars().count()));
    };
    section(&mut page, "Who can do what (proved on what is deployed)");
    page.push_str(&prove::text(&outcome.proof));

    section(&mut page, "What was sent");
    for (who, sent, folder) in [
        ("acme → globex", &outcome.sent, &outcome.received),
        ("globex → acme", &outcome.reply, &outcome.reply_received),
    ] {
        let _ = writeln!(
            page,
            "{who}: {}, {} in {} sealed objects; received and verified in {}",
            files(sent.files),
            bytes(sent.bytes),
            sent.objects,
            folder.display()
        );
    }

    section(&mut page, "What was refused, and S3's answer");
    let rows: Vec<Vec<String>> = outcome
        .refusals
        .iter()
        .map(|refusal| {
            let mark = if refusal.held { "refused" } else { "ALLOWED" };
            vec![mark.to_owned(), refusal.attempt.clone(), refusal.answer.clone()]
        })
        .collect();
    let _ = writeln!(page, "{}", table(&["", "ATTEMPT", "ANSWER"], &rows));

    section(&mut page, "Timings");
    for (what, seconds) in &outcome.timings {
        let _ = writeln!(page, "{seconds:>6.2} s  {what}");
    }
    let total: f64 = outcome.timings.iter().map(|(_, seconds)| seconds).sum();
    let _ = writeln!(page, "{total:>6.2} s  in all");

    section(&mut page, if kept { "Go on by hand" } else { "What to try next" });
    page.push_str(&next(stage, outcome, kept));
    page
}

/// The same for `--json`.
pub(super) fn view(outcome: &Outcome, stage: &Stage) -> serde_json::Value {
    let timings: serde_json::Map<String, serde_json::Value> = outcome
        .timings
        .iter()
        .map(|(what, seconds)| ((*what).to_owned(), (*seconds).into()))
        .collect();
    serde_json::json!({
        "folder": outcome.folder,
        "endpoint": stage.running.endpoint(),
        "proof_holds": outcome.proof.holds(),
        "cells": outcome.proof.totals.cells,
        "apply_steps": outcome.apply_steps,
        "sent": outcome.sent.id.to_string(),
        "received": outcome.received,
        "reply": outcome.reply.id.to_string(),
        "reply_received": outcome.reply_received,
        "refusals": outcome.refusals,
        "seconds": timings,
    })
}

fn next(stage: &Stage, outcome: &Outcome, kept: bool) -> String {
    if !kept {
        return "consign demo --keep     leaves the cloud running, to go on by hand\n\
                consign demo PATH       sends files of yours\n\
                consign init            begins an exchange of your own\n"
            .to_owned();
    }
    let folder = local::quote(&outcome.folder.display().to_string());
    let bucket = outcome
        .proof
        .cells
        .iter()
        .map(|cell| &cell.lane)
        .find(|lane| lane.as_ref() == "to-client")
        .map(|lane| stage.bucket(lane))
        .unwrap_or_default();
    let mut text = String::new();
    for (name, value) in local::environment(&stage.running, stage.exchange.region.as_ref()) {
        let _ = writeln!(text, "export {name}={}", local::quote(&value));
    }
    let _ =
        writeln!(text, "export CONSIGN_EXCHANGE={folder}/exchange.toml CONSIGN_KEYS={folder}/keys");
    let _ = writeln!(text, "aws s3 cp README.md s3://{bucket}/README.md --profile acme");
    let _ = writeln!(text, "aws s3 ls s3://{bucket}/ --profile globex");
    let _ = writeln!(text, "aws s3 rm s3://{bucket}/README.md --profile globex      # denied");
    let _ = writeln!(text, "consign list --lane to-client --profile globex");
    let _ = writeln!(text, "consign show {} --lane to-client --profile globex", outcome.sent.id);
    text
}
