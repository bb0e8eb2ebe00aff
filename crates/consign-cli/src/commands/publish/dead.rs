//! `consign publish dead` and `redrive`: what was put aside, looked at, thrown away or tried again.

use std::collections::BTreeSet;
use std::time::Duration;

use consign_model::RepositoryName;
use consign_publisher::DeadLetter;

use super::station::Station;
use super::{queues, reasons, stop_when_asked, unless_stopped};
use crate::args::{PublishDeadArgs, PublishRedriveArgs};
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::{Terminal, table};

/// For what is in hand when it is asked to stop.
const PATIENCE: Duration = Duration::from_secs(25);

/// Lists what was put aside, or throws some of it away.
pub(super) async fn look(
    args: &PublishDeadArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let station = Station::open(&args.post, settings).await?;
    let letters = letters(&station, args.max).await?;
    match args.discard.is_empty() {
        true => show(&letters, terminal),
        false => discard(args, &station, letters, terminal).await,
    }
}

type Letters = Vec<(RepositoryName, DeadLetter)>;

async fn letters(station: &Station, max: usize) -> Result<Letters, CommandError> {
    let mut letters = Vec::new();
    for (name, publisher) in station.names.iter().zip(&station.publishers) {
        let queues = queues(publisher).await?;
        let found = publisher.dead_letters(&queues.dead, max).await?;
        letters.extend(found.into_iter().map(|letter| (name.clone(), letter)));
    }
    Ok(letters)
}

fn show(letters: &Letters, terminal: &Terminal) -> Result<(), CommandError> {
    match letters.is_empty() {
        true => terminal.result(&view(letters), "Nothing was put aside."),
        false => terminal.result(&view(letters), &text(letters)),
    }
}

fn view(letters: &Letters) -> Vec<serde_json::Value> {
    let line = |(name, letter): &(RepositoryName, DeadLetter)| serde_json::json!({"repository": name.as_str(), "message": letter});
    letters.iter().map(line).collect()
}

fn text(letters: &Letters) -> String {
    let rows = letters.iter().flat_map(|(name, letter)| {
        letter.aside.reasons.iter().map(move |reason| {
            vec![
                letter.id.clone(),
                name.to_string(),
                reason.cause.word().to_owned(),
                reasons::object(reason),
                reasons::why(&reason.cause),
            ]
        })
    });
    table(&["ID", "REPOSITORY", "CAUSE", "OBJECT", "WHY"], &rows.collect::<Vec<_>>())
}

async fn discard(
    args: &PublishDeadArgs,
    station: &Station,
    mut letters: Letters,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let ids: BTreeSet<String> = args.discard.iter().cloned().collect();
    letters.retain(|(_, letter)| ids.contains(&letter.id));
    let found: BTreeSet<&String> = letters.iter().map(|(_, letter)| &letter.id).collect();
    if let Some(missing) = ids.iter().find(|id| !found.contains(id)) {
        let message = format!("no message that was put aside has the id {missing:?}");
        return Err(CommandError::new(Kind::NotFound, message).hint("consign publish dead"));
    }
    terminal.say(&text(&letters));
    let question = format!("Throw away for good what these {} messages say?", letters.len());
    if !args.yes && !terminal.confirm(&question, "--yes")? {
        return Err(CommandError::new(Kind::Interrupted, "nothing was changed"));
    }
    let mut discarded = 0;
    for publisher in &station.publishers {
        let queues = queues(publisher).await?;
        discarded += publisher.discard(&queues.dead, &ids, args.max).await?.len();
    }
    if discarded < letters.len() {
        let left = letters.len() - discarded;
        return Err(CommandError::failed(format!("{left} messages are somebody else's just now"))
            .hint("the same command again, when what tries them has ended"));
    }
    let value = serde_json::json!({"discarded": view(&letters)});
    terminal.result(&value, &format!("{discarded} messages are discarded."))
}

/// Tries again what was put aside.
pub(super) async fn redrive(
    args: &PublishRedriveArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let only: BTreeSet<String> = args.only.iter().cloned().collect();
    if args.dry_run {
        let station = Station::open(&args.post, settings).await?;
        let mut letters = letters(&station, args.max).await?;
        letters.retain(|(_, letter)| letter.aside.has_cause_of(&only));
        return show(&letters, terminal);
    }
    let stop = stop_when_asked(PATIENCE);
    let stopped = || CommandError::new(Kind::Interrupted, "stopped before anything was tried");
    let opened = unless_stopped(Station::open(&args.post, settings), &stop).await?;
    let station = opened.ok_or_else(stopped)?;
    station.tell_of_draining(stop.clone());
    let (mut view, mut text, mut kept) = (Vec::new(), Vec::new(), 0);
    for (name, publisher) in station.names.iter().zip(&station.publishers) {
        let queues = unless_stopped(queues(publisher), &stop).await?.ok_or_else(stopped)?;
        let done = publisher.redrive(&queues, &only, args.max, &stop).await?;
        kept += done.kept;
        text.push(format!(
            "{name}: {} tried, {} done, {} deliveries, {} stay, {} passed over",
            done.tried, done.done, done.delivered, done.kept, done.passed_over
        ));
        view.push(serde_json::json!({"repository": name.as_str(), "redriven": done}));
    }
    terminal.result(&view, &text.join("\n"))?;
    match kept {
        0 => Ok(()),
        kept => Err(CommandError::failed(format!("{kept} could not be delivered and stay aside"))
            .hint("consign publish dead says why of each")),
    }
}
