//! `consign publish`: delivers what arrives in repositories, until it is asked to stop.

mod counters;
mod http;
mod lambda;
mod log;
mod station;
pub(crate) mod time;

pub(crate) use lambda::is_bootstrap;

use std::collections::BTreeSet;
use std::time::Duration;

use consign_publisher::{Comparison, Expectations, Publisher, Refused, Stop};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::station::Station;
use crate::args::{
    PublishArgs, PublishCommand, PublishDeadArgs, PublishRedriveArgs, PublishServiceArgs,
};
use crate::commands::interrupt;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::{Terminal, escape, table};

/// One of the forms, or one of the other things to do.
pub(crate) async fn run(
    args: &PublishArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    if let (Some(_), Some(option)) = (&args.command, args.service.out_of_place()) {
        return Err(CommandError::usage(format!("{option} is for `consign publish` by itself")));
    }
    match &args.command {
        Some(PublishCommand::Dead(args)) => dead(args, settings, terminal).await,
        Some(PublishCommand::Redrive(args)) => redrive(args, settings, terminal).await,
        None => deliver(&args.service, settings, terminal).await,
    }
}

async fn deliver(
    args: &PublishServiceArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let station = Station::open(&args.post, settings).await?;
    if args.lambda || lambda::is_bootstrap() {
        return lambda::serve(&station).await;
    }
    let stop = stop_when_asked(time::duration("--drain", &args.drain)?, &station);
    if args.backfill {
        return backfill(args, &station, terminal, stop).await;
    }
    let poll = args.poll.as_deref().map(|text| time::duration("--poll", text)).transpose()?;
    let expected = Expectations {
        delivery_every: optional("--expect-every", args.expect_every.as_deref())?,
        fetched_within: optional("--fetched-within", args.fetched_within.as_deref())?,
    };
    let mut answering = JoinSet::new();
    if let Some(address) = args.metrics {
        let listener = http::listen(address).await?;
        station.log.started(&listener);
        answering.spawn(http::serve(listener, station.counters.clone()));
    }
    let mut tasks = JoinSet::new();
    for publisher in &station.publishers {
        let (publisher, watching) = (publisher.clone(), publisher.clone());
        let watched = stop.clone();
        tasks.spawn(async move { watching.watch(expected, watched).await });
        let stop = stop.clone();
        match poll {
            Some(interval) => {
                let records_max = args.post.records_max;
                tasks.spawn(async move { publisher.poll(interval, records_max, stop).await });
            }
            None => {
                let queues = publisher.queues().await?;
                tasks.spawn(async move { publisher.serve(queues, stop).await });
            }
        }
    }
    while tasks.join_next().await.is_some() {}
    station.log.stopped();
    Ok(())
}

fn optional(flag: &str, text: Option<&str>) -> Result<Option<Duration>, CommandError> {
    text.map(|text| time::duration(flag, text)).transpose()
}

/// Drains when asked to stop, and gives back what is left after `patience`.
fn stop_when_asked(patience: Duration, station: &Station) -> watch::Receiver<Stop> {
    let (stop, stopped) = watch::channel(Stop::Not);
    let (log, counters) = (station.log.clone(), station.counters.clone());
    tokio::spawn(async move {
        interrupt::wait().await;
        log.draining();
        counters.drains();
        // An error means that everything has ended already.
        let _ended = stop.send(Stop::Drain);
        tokio::time::sleep(patience).await;
        let _ended = stop.send(Stop::Abandon);
        // Whoever looks must find it said.
        std::future::pending::<()>().await;
    });
    stopped
}

async fn compare(
    publisher: &Publisher,
    records_max: Option<usize>,
    refused: &mut Refused,
    stop: &watch::Receiver<Stop>,
) -> Result<Comparison, consign_cloud::Error> {
    match records_max {
        Some(max) => publisher.compare_holding(max, refused, stop).await,
        None => publisher.compare(refused, stop).await,
    }
}

async fn backfill(
    args: &PublishServiceArgs,
    station: &Station,
    terminal: &Terminal,
    stop: watch::Receiver<Stop>,
) -> Result<(), CommandError> {
    let mut reports = Vec::new();
    for (name, publisher) in station.names.iter().zip(&station.publishers) {
        let records_max = args.post.records_max;
        let compared = compare(publisher, records_max, &mut Refused::default(), &stop).await?;
        reports.push((name, compared));
    }
    let view: Vec<_> = reports
        .iter()
        .map(|(name, comparison)| {
            serde_json::json!({"repository": name.as_str(), "comparison": comparison})
        })
        .collect();
    let text: Vec<String> =
        reports.iter().map(|(name, comparison)| told(name.as_str(), comparison)).collect();
    terminal.result(&view, &text.join("\n"))?;
    if *stop.borrow() != Stop::Not {
        return Err(CommandError::new(Kind::Interrupted, "stopped before everything was compared")
            .hint("the same command goes on where the records say"));
    }
    let left: u64 = reports.iter().map(|(_, it)| it.refused + it.failed).sum();
    match left {
        0 => Ok(()),
        left => Err(CommandError::failed(format!("{left} could not be delivered"))),
    }
}

fn told(name: &str, it: &Comparison) -> String {
    format!(
        "{name}: {} objects, {} recorded before, {} delivered now, {} superseded, {} on no route, {} refused, {} failed",
        it.objects, it.recorded, it.delivered, it.superseded, it.unrouted, it.refused, it.failed
    )
}

async fn dead(
    args: &PublishDeadArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let station = Station::open(&args.post, settings).await?;
    show_dead(&station, &BTreeSet::new(), args.max, terminal).await
}

async fn show_dead(
    station: &Station,
    only: &BTreeSet<String>,
    max: usize,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let (mut view, mut rows) = (Vec::new(), Vec::new());
    for (name, publisher) in station.names.iter().zip(&station.publishers) {
        let queues = publisher.queues().await?;
        for letter in publisher.dead_letters(&queues.dead, max).await? {
            if !letter.aside.has_cause_of(only) {
                continue;
            }
            for reason in &letter.aside.reasons {
                let source = reason.source.as_ref().map(|source| source.key.clone());
                rows.push(vec![
                    letter.id.clone(),
                    name.to_string(),
                    reason.cause.word().to_owned(),
                    escape(&source.unwrap_or_default()),
                ]);
            }
            view.push(serde_json::json!({"repository": name.as_str(), "message": letter}));
        }
    }
    match rows.is_empty() {
        true => terminal.result(&view, "Nothing was put aside."),
        false => terminal.result(&view, &table(&["ID", "REPOSITORY", "CAUSE", "OBJECT"], &rows)),
    }
}

async fn redrive(
    args: &PublishRedriveArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let station = Station::open(&args.post, settings).await?;
    let only: BTreeSet<String> = args.only.iter().cloned().collect();
    if args.dry_run {
        return show_dead(&station, &only, args.max, terminal).await;
    }
    let stop = stop_when_asked(Duration::from_secs(25), &station);
    let (mut view, mut text, mut kept) = (Vec::new(), Vec::new(), 0);
    for (name, publisher) in station.names.iter().zip(&station.publishers) {
        let queues = publisher.queues().await?;
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
        kept => Err(CommandError::failed(format!("{kept} messages stay aside"))
            .hint("consign publish dead")),
    }
}
