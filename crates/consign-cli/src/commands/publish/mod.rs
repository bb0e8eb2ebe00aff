//! `consign publish`: delivers what arrives in repositories, until it is asked to stop.

mod counters;
mod dead;
mod http;
mod lambda;
mod log;
mod reasons;
mod station;

pub(crate) use lambda::is_bootstrap;

use std::time::Duration;

use consign_publisher::{Comparison, Expectations, Publisher, Queues, Refused, Stop};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::station::Station;
use crate::args::{PublishArgs, PublishCommand, PublishServiceArgs};
use crate::commands::{interrupt, span};
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::Terminal;

/// One of the forms, or one of the other things to do.
pub(crate) async fn run(
    args: &PublishArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    if args.command.is_some() {
        refuse_idle(&args.service)?;
    }
    match &args.command {
        Some(PublishCommand::Dead(args)) => dead::look(args, settings, terminal).await,
        Some(PublishCommand::Redrive(args)) => dead::redrive(args, settings, terminal).await,
        None => deliver(&args.service, settings, terminal).await,
    }
}

/// What is said before `dead` or `redrive` must not pass in silence.
fn refuse_idle(service: &PublishServiceArgs) -> Result<(), CommandError> {
    if let Some(option) = service.out_of_place() {
        return Err(CommandError::usage(format!("{option} is for `consign publish` by itself")));
    }
    match service.post.out_of_place() {
        Some(option) => {
            Err(CommandError::usage(format!("{option} does not reach what follows it"))
                .hint(format!("say it after the word: consign publish redrive {option} …")))
        }
        None => Ok(()),
    }
}

async fn deliver(
    args: &PublishServiceArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    if args.lambda || lambda::is_bootstrap() {
        return lambda::serve(&Station::open(&args.post, settings).await?).await;
    }
    let stop = stop_when_asked(span::duration("--drain", &args.drain)?);
    let Some(station) = unless_stopped(Station::open(&args.post, settings), &stop).await? else {
        log::stopped();
        return Ok(());
    };
    station.tell_of_draining(stop.clone());
    if args.backfill {
        return backfill(args, &station, terminal, stop).await;
    }
    let poll = args.poll.as_deref().map(|text| span::duration("--poll", text)).transpose()?;
    let expected = Expectations {
        delivery_every: optional("--expect-every", args.expect_every.as_deref())?,
        fetched_within: optional("--fetched-within", args.fetched_within.as_deref())?,
    };
    let mut answering = JoinSet::new();
    if let Some(address) = args.metrics {
        let listener = http::listen(address).await?;
        station.log.metrics(&listener);
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
                let Some(queues) = unless_stopped(queues(&publisher), &stop).await? else { break };
                tasks.spawn(async move { publisher.serve(queues, stop).await });
            }
        }
    }
    log::started();
    while tasks.join_next().await.is_some() {}
    log::stopped();
    Ok(())
}

/// The queues of a repository, which its administrator has made.
async fn queues(publisher: &Publisher) -> Result<Queues, CommandError> {
    publisher.queues().await.map_err(|error| {
        let is_absent = error.kind() == consign_cloud::ErrorKind::NotFound;
        let error = CommandError::from(error);
        match is_absent {
            true => error.hint(
                "`consign apply` makes it; or these credentials are of another account than the \
                 repository's: name a profile with --profile",
            ),
            false => error,
        }
    })
}

fn optional(flag: &str, text: Option<&str>) -> Result<Option<Duration>, CommandError> {
    text.map(|text| span::duration(flag, text)).transpose()
}

/// Drains when asked to stop, from now on, and gives back what is left after `patience`.
fn stop_when_asked(patience: Duration) -> watch::Receiver<Stop> {
    let (stop, stopped) = watch::channel(Stop::Not);
    let asked = interrupt::from_now_on();
    tokio::spawn(async move {
        asked.await;
        // An error means that everything has ended already.
        let _ended = stop.send(Stop::Drain);
        tokio::time::sleep(patience).await;
        let _ended = stop.send(Stop::Abandon);
        // Whoever looks must find it said.
        std::future::pending::<()>().await;
    });
    stopped
}

/// What has to be known before anything is begun; none when it is asked to stop meanwhile.
async fn unless_stopped<T, E>(
    work: impl Future<Output = Result<T, E>>,
    stop: &watch::Receiver<Stop>,
) -> Result<Option<T>, E> {
    let mut stop = stop.clone();
    tokio::select! {
        biased;
        Ok(_) = stop.wait_for(|stop| *stop != Stop::Not) => Ok(None),
        done = work => done.map(Some),
    }
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
        left => Err(CommandError::failed(format!("{left} could not be delivered"))
            .hint("mend what the report says of each; the same command tries them again")),
    }
}

fn told(name: &str, it: &Comparison) -> String {
    let mut text = format!(
        "{name}: {} objects, {} recorded before, {} delivered now, {} superseded, {} on no route, {} refused, {} failed",
        it.objects, it.recorded, it.delivered, it.superseded, it.unrouted, it.refused, it.failed
    );
    for reason in &it.reasons {
        text.push_str(&format!("\n  {}: {}", reasons::object(reason), reasons::why(&reason.cause)));
    }
    let untold = (it.refused + it.failed).saturating_sub(it.reasons.len() as u64);
    if untold > 0 {
        text.push_str(&format!("\n  and {untold} more"));
    }
    text
}
