//! `consign demo`: the whole exchange on this machine, with everything that must fail. Nothing here
//! is special to the demo: it calls what the commands call, against the local cloud that `consign
//! local serve` runs.

mod page;
mod refusals;
mod stage;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use consign::{ReceiveOptions, SendOptions, Sent};
use consign_model::LaneName;
use consign_provision::{Documents, Keys, Proof, prove};

use self::refusals::Refusal;
use self::stage::Stage;
use super::interrupt;
use super::world::World;
use crate::args::DemoArgs;
use crate::error::{CommandError, Kind};
use crate::progress::Bar;
use crate::terminal::Terminal;

/// What the demo saw, for the page at its end and for `--json`.
struct Outcome {
    folder: PathBuf,
    proof: Proof,
    apply_steps: usize,
    sent: Sent,
    received: PathBuf,
    reply: Sent,
    reply_received: PathBuf,
    refusals: Vec<Refusal>,
    timings: Vec<(&'static str, f64)>,
}

/// Runs the demo; fails if anything of it did not hold.
pub(crate) async fn run(args: &DemoArgs, terminal: &Terminal) -> Result<(), CommandError> {
    let temporary = match &args.dir {
        Some(_) => None,
        None => {
            Some(tempfile::Builder::new().prefix("consign-demo-").tempdir().map_err(folder_fault)?)
        }
    };
    let folder = match (&args.dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => PathBuf::from("consign-demo"),
    };
    let mut clock = Laps::default();
    let stage = Stage::set(&folder, terminal).await?;
    clock.lap("local cloud, keys and exchange file");
    let outcome = play(args, &folder, &stage, clock, terminal).await?;
    let held = outcome.refusals.iter().all(|refusal| refusal.held) && outcome.proof.holds();
    terminal.result(&page::view(&outcome, &stage), &page::text(&outcome, &stage, args.keep))?;
    if !held {
        return Err(CommandError::new(
            Kind::Integrity,
            "something that must not be possible was possible",
        ));
    }
    if args.keep {
        let kept = temporary.map(tempfile::TempDir::keep).unwrap_or(folder);
        terminal.say(&format!(
            "Everything is in {}. The cloud is running; stop it with Ctrl-C.",
            kept.display()
        ));
        interrupt::wait().await;
    }
    stage.strike().await;
    Ok(())
}

async fn play(
    args: &DemoArgs,
    folder: &Path,
    stage: &Stage,
    mut clock: Laps,
    terminal: &Terminal,
) -> Result<Outcome, CommandError> {
    let (to_client, from_client) = (LaneName::parse("to-client")?, LaneName::parse("from-client")?);
    let (apply_steps, proof) = provision(stage).await?;
    clock.lap("buckets, keys and policies: planned, proved, applied, proved again");

    let cargo = match &args.path {
        Some(path) => path.clone(),
        None => made_tree(folder)?,
    };
    clock.lap("something to send");
    let sent = send(stage, "acme", &to_client, &cargo, terminal).await?;
    clock.lap("acme sends");
    let received =
        receive(stage, "globex", &to_client, &folder.join("globex-inbox"), terminal).await?;
    clock.lap("globex receives and verifies");

    let letter = reply(folder)?;
    let reply = send(stage, "globex", &from_client, &letter, terminal).await?;
    let reply_received =
        receive(stage, "acme", &from_client, &folder.join("acme-inbox"), terminal).await?;
    clock.lap("globex replies, acme receives");

    let refusals = refusals::try_all(stage, &to_client, &from_client, &sent).await?;
    clock.lap("everything that must fail");
    Ok(Outcome {
        folder: folder.to_owned(),
        proof,
        apply_steps,
        sent,
        received,
        reply,
        reply_received,
        refusals,
        timings: clock.laps,
    })
}

/// Plans, proves, applies, and proves what is then deployed.
async fn provision(stage: &Stage) -> Result<(usize, Proof), CommandError> {
    let world =
        World::with_hands(&stage.exchange, stage.administrators().await?, Keys::new()).await?;
    let plan = consign_provision::plan(&world.desired, &world.observed)?;
    let planned = Documents::planned(&world.desired, &world.observed.keys());
    super::apply::refuse_unless_it_holds(&prove(&world.desired, &planned)?)?;
    let steps = super::apply::run_plan(&plan, &world, &Terminal::new(false, true)).await?;
    let after = consign_provision::observe(&world.desired, &world.hands).await?;
    let proof = prove(&world.desired, &Documents::observed(&world.desired, &after))?;
    super::apply::refuse_unless_it_holds(&proof)?;
    Ok((steps, proof))
}

async fn send(
    stage: &Stage,
    party: &str,
    lane: &LaneName,
    path: &Path,
    terminal: &Terminal,
) -> Result<Sent, CommandError> {
    let bar = Arc::new(Bar::new(terminal));
    let office = stage.office(party, bar.clone()).await?;
    let sent = consign::send(&office, lane, &[path.to_owned()], &SendOptions::default()).await;
    bar.finish();
    let sent = sent?;
    consign::reported(&office, lane, &sent).await?;
    Ok(sent)
}

async fn receive(
    stage: &Stage,
    party: &str,
    lane: &LaneName,
    into: &Path,
    terminal: &Terminal,
) -> Result<PathBuf, CommandError> {
    let bar = Arc::new(Bar::new(terminal));
    let office = stage.office(party, bar.clone()).await?;
    let received = consign::receive(&office, lane, into, &ReceiveOptions::default()).await;
    bar.finish();
    let mut received = super::receive::unless_refused(received?)?;
    let only = received.consignments.pop().ok_or_else(|| {
        CommandError::new(Kind::Integrity, format!("{party} received nothing on {lane}"))
    })?;
    Ok(only.path)
}

fn made_tree(folder: &Path) -> Result<PathBuf, CommandError> {
    let tree = folder.join("acme-scans");
    tree::make(&tree).map_err(folder_fault)?;
    Ok(tree)
}

fn reply(folder: &Path) -> Result<PathBuf, CommandError> {
    let letter = folder.join("globex-reply.txt");
    std::fs::write(&letter, "All received, thank you.\n").map_err(folder_fault)?;
    Ok(letter)
}

fn folder_fault(error: std::io::Error) -> CommandError {
    CommandError::failed("cannot write into the demo's folder").caused_by(error)
}

/// Seconds per step.
struct Laps {
    since: Instant,
    laps: Vec<(&'static str, f64)>,
}

impl Default for Laps {
    fn default() -> Laps {
        Laps { since: Instant::now(), laps: Vec::new() }
    }
}

impl Laps {
    fn lap(&mut self, what: &'static str) {
        self.laps.push((what, self.since.elapsed().as_secs_f64()));
        self.since = Instant::now();
    }
}
