//! `consign apply`: plans, proves, asks, applies, and proves what is then deployed.

use std::ops::ControlFlow;

use consign_iam::prove::Expectation;
use consign_provision::claims::Decided;
use consign_provision::prove::{Access, Cell};
use consign_provision::{Documents, Keys, Plan, Proof, prove};

use super::world::World;
use super::{files, interrupt, plan};
use crate::args::{ApplyArgs, ConsentArgs};
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Applies, or refuses with the cell of the matrix that would be wrong.
pub(crate) async fn run(
    args: &ApplyArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let world = World::look(settings, &args.administrators).await?;
    let plan = match &args.plan {
        Some(path) => saved(path)?,
        None => consign_provision::plan(&world.desired, &world.observed)?,
    };
    carry_out(&plan, &world, &args.consent, terminal).await
}

/// Shows the plan, proves it, asks, makes its calls, and proves what is then there.
pub(crate) async fn carry_out(
    plan: &Plan,
    world: &World,
    consent: &ConsentArgs,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    terminal.say(&plan::text(plan));
    refuse_unless_it_holds(&prove(
        &world.desired,
        &Documents::planned(&world.desired, &world.observed.keys()),
    )?)?;
    if plan.is_empty() {
        let told = world.observed.keys_to_tell(&world.desired, &world.hands);
        return report(plan, 0, &told, terminal);
    }
    ask(plan, consent, terminal)?;
    let steps = run_plan(plan, world, terminal).await?;
    let after = consign_provision::observe(&world.desired, &world.hands).await?.told(&world.told);
    let proof = prove(&world.desired, &Documents::observed(&world.desired, &after))?;
    match plan.left.is_empty() {
        true => refuse_unless_it_holds(&proof)?,
        false => refuse_if_wider(&proof)?,
    }
    report(plan, steps, &after.keys_to_tell(&world.desired, &world.hands), terminal)
}

/// `--yes` answers for what the file declares anew. That somebody gains access to a lane that is in
/// use already is asked about all the same: it is what a mistaken, or a forged, change looks like.
fn ask(plan: &Plan, consent: &ConsentArgs, terminal: &Terminal) -> Result<(), CommandError> {
    let (question, flag) = match plan.widens() {
        true => (
            "Somebody gains access to a lane that is open already. Apply this?",
            "--yes --allow-widening",
        ),
        false => ("Apply this?", "--yes"),
    };
    let answered = consent.yes && (consent.allow_widening || !plan.widens());
    if answered || terminal.confirm(question, flag)? {
        return Ok(());
    }
    Err(CommandError::new(Kind::Interrupted, "nothing was changed"))
}

/// Makes the plan's calls; Ctrl-C stops between two of them.
pub(crate) async fn run_plan(
    plan: &Plan,
    world: &World,
    terminal: &Terminal,
) -> Result<usize, CommandError> {
    let stop = interrupt::flag();
    let mut watch = |number: usize, step: &consign_provision::Step| {
        if stop.is_raised() {
            return ControlFlow::Break(());
        }
        terminal.say(&format!("[{}/{}] {step}", number + 1, plan.steps.len()));
        ControlFlow::Continue(())
    };
    let applied =
        consign_provision::apply(plan, &world.desired, &world.hands, &world.told, &mut watch)
            .await?;
    Ok(applied.steps)
}

/// An error with the first cells and claims that are not as declared.
pub(crate) fn refuse_unless_it_holds(proof: &Proof) -> Result<(), CommandError> {
    refuse(proof, proof.failures().collect(), proof.failed_claims().collect())
}

/// The same while somebody else has still to do his half: what is not possible yet is no failure,
/// what is possible and should not be is one.
fn refuse_if_wider(proof: &Proof) -> Result<(), CommandError> {
    let cells = proof.failures().filter(|cell| cell.actual == Access::Allowed);
    let claims = proof.failed_claims().filter(|claim| claim.expect == Expectation::Never);
    refuse(proof, cells.collect(), claims.collect())
}

fn refuse(proof: &Proof, cells: Vec<&Cell>, claims: Vec<&Decided>) -> Result<(), CommandError> {
    if cells.is_empty() && claims.is_empty() && proof.public.is_empty() {
        return Ok(());
    }
    let mut error = CommandError::new(Kind::Integrity, "the proof failed");
    for lane in &proof.public {
        error = error.hint(format!("the bucket of lane `{lane}` is public"));
    }
    for cell in cells.into_iter().take(5) {
        error = error.hint(cell.to_string());
    }
    for claim in claims.into_iter().take(5) {
        error = error.hint(claim.to_string());
    }
    Err(error)
}

fn saved(path: &std::path::Path) -> Result<Plan, CommandError> {
    let fault =
        |e: String| CommandError::usage(format!("{} is not a saved plan: {e}", path.display()));
    let text = files::read(path).map_err(|e| fault(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| fault(e.to_string()))
}

/// `told` are the keys whose ARNs the others need for their half.
fn report(plan: &Plan, steps: usize, told: &Keys, terminal: &Terminal) -> Result<(), CommandError> {
    for (lane, arn) in told {
        terminal.say(&format!("Tell the others: --key {lane}={arn}"));
    }
    let value = serde_json::json!({
        "exchange": plan.exchange, "steps_done": steps, "left": plan.left, "proved": true,
        "complete": plan.left.is_empty(), "keys_to_tell": told,
    });
    let text = match plan.left.is_empty() {
        true => {
            format!(
                "Applied: {steps} steps. {} is as declared, and the proof holds.",
                plan.exchange
            )
        }
        false => format!(
            "Applied: {steps} steps. Nobody can do more than {} declares; {} steps of others remain.",
            plan.exchange,
            plan.left.len()
        ),
    };
    terminal.result(&value, &text)
}
