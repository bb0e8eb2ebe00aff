//! `consign rewrap`: gives what lies on a lane other readers, or one object another key.

mod object;

use std::sync::Arc;

use consign::{Revised, RewrapOptions, Rewrapped};
use consign_model::{ConsignmentId, LaneName, PartyName};

use super::closed_lane::{Closable, deployed};
use crate::args::RewrapArgs;
use crate::error::{CommandError, Kind, chain};
use crate::office::{self, Side};
use crate::progress::Bar;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape};

/// Looks; or closes the lane, rewraps, and opens it again.
pub(crate) async fn run(
    args: &RewrapArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    if args.object.from_key.is_some() {
        return object::run(args, settings, terminal).await;
    }
    let Some(lane) = args.lane.as_deref() else {
        return Err(match args.what.iter().any(|what| what.starts_with("s3://")) {
            true => CommandError::usage(
                "it is not said which key opens the object now, and which shall",
            )
            .hint("consign rewrap s3://BUCKET/KEY --from-key … --to-key …"),
            false => CommandError::usage("it is not said which lane").hint("--lane LANE"),
        });
    };
    let exchange = settings.exchange()?;
    let (name, party) = office::lane_and_party(&exchange, settings, lane, Side::Sender)?;
    let options = options(args)?;
    let bar = Arc::new(Bar::new(terminal));
    if args.dry_run || args.without_closing {
        let office = office::open(settings, exchange, party, bar.clone()).await?;
        office::cancel_on_interrupt(&office);
        let done = match args.dry_run {
            true => consign::preview_rewrap(&office, &name, &options).await,
            false => consign::rewrap(&office, &name, &options).await,
        };
        bar.finish();
        return report(done?, &name, args.dry_run, terminal);
    }
    let world = deployed(settings, &args.administrators, &exchange).await?;
    let closable = Closable::of(&world, exchange.require_lane(&name)?)?;
    let cloud = closable.owner().clone();
    let office = office::with_cloud(settings, exchange, party, cloud, bar.clone())?;
    // What needs no store is refused before the lane is closed.
    consign::preview_rewrap(&office, &name, &options).await?;
    let question = format!("Close lane {name} to its parties until its readers are changed?");
    if !args.yes && !terminal.confirm(&question, "--yes")? {
        return Err(CommandError::new(Kind::Interrupted, "nothing was changed"));
    }
    office::cancel_on_interrupt(&office);
    let done = closable
        .while_closed(&office, terminal, async || {
            Ok(consign::rewrap(&office, &name, &options).await?)
        })
        .await;
    bar.finish();
    report(done?, &name, false, terminal)
}

fn options(args: &RewrapArgs) -> Result<RewrapOptions, CommandError> {
    let parties = |names: &[String]| -> Result<Vec<PartyName>, CommandError> {
        names.iter().map(|name| Ok(PartyName::parse(name)?)).collect()
    };
    let ids = args.what.iter().map(|id| {
        ConsignmentId::parse(id).map_err(|error| {
            CommandError::from(error)
                .hint("an object is rewrapped with --from-key and --to-key, without --lane")
        })
    });
    Ok(RewrapOptions {
        only: ids.collect::<Result<_, _>>()?,
        add: parties(&args.add)?,
        remove: parties(&args.remove)?,
    })
}

fn report(
    mut done: Rewrapped,
    lane: &LaneName,
    dry_run: bool,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    for notice in &done.notices {
        terminal.say(&format!("note: {}", escape(notice)));
    }
    let view = serde_json::json!({
        "lane": lane.to_string(),
        "dry_run": dry_run,
        "revised": done.revised.iter().map(view).collect::<Vec<_>>(),
        "right": done.right,
        "refused": done.refused.iter().map(|refused| serde_json::json!({
            "id": refused.id.to_string(), "error": chain(&refused.error),
        })).collect::<Vec<_>>(),
        "notices": done.notices,
    });
    terminal.result(&view, &text(&done, dry_run))?;
    if done.refused.is_empty() {
        return Ok(());
    }
    let first = done.refused.remove(0);
    let what = format!("consignment {} has the readers it had", first.id);
    let error = CommandError::from(first.error).within(what);
    Err(done.refused.iter().fold(error, |error, other| {
        error.hint(format!("{} was refused too: {}", other.id, chain(&other.error)))
    }))
}

fn view(revised: &Revised) -> serde_json::Value {
    let names = |parties: &[PartyName]| -> Vec<String> {
        parties.iter().map(ToString::to_string).collect()
    };
    serde_json::json!({
        "id": revised.id.to_string(),
        "revision": revised.revision,
        "added": names(&revised.added),
        "removed": names(&revised.removed),
        "rekeyed": names(&revised.rekeyed),
        "objects": revised.objects,
        "sealed_bytes": revised.sealed_bytes,
        "downloaded_bytes": revised.downloaded_bytes,
        "older_removed": revised.older_removed,
    })
}

fn text(done: &Rewrapped, dry_run: bool) -> String {
    let mut lines: Vec<String> = done.revised.iter().map(|one| line(one, dry_run)).collect();
    let (verb, count) = (if dry_run { "Would rewrap" } else { "Rewrapped" }, done.revised.len());
    lines.push(format!("{verb} {count} consignments; {} have the right readers.", done.right));
    lines.join("\n")
}

fn line(revised: &Revised, dry_run: bool) -> String {
    let named = |sign: &str, parties: &[PartyName]| -> String {
        parties.iter().map(|party| format!(" {sign}{party}")).collect()
    };
    let mut line = format!(
        "{} revision {}:{}{}{} ({} objects, {}",
        revised.id,
        revised.revision,
        named("+", &revised.added),
        named("-", &revised.removed),
        named("~", &revised.rekeyed),
        revised.objects,
        bytes(revised.sealed_bytes),
    );
    if !dry_run {
        line.push_str(&format!(", {} downloaded", bytes(revised.downloaded_bytes)));
    }
    line.push(')');
    line
}
