//! `consign apply`: plans, proves, asks, applies, and proves what is then deployed.

use std::ops::ControlFlow;

use consign_provision::{Documents, Plan, Proof, prove};

use super::world::World;
use super::{interrupt, plan};
use crate::args::ApplyArgs;
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
    terminal.say(&plan::text(&plan));
    refuse_unless_it_holds(&prove(
        &world.desired,
        &Documents::planned(&world.desired, &world.observed.keys()),
    )?)?;
    if plan.is_empty() {
        return report(&plan, 0, terminal);
    }
    if !args.yes && !terminal.confirm("Apply this?")? {
        return Err(CommandError::new(Kind::Interrupted, "nothing was changed"));
    }
    let steps = run_plan(&plan, &world, terminal).await?;
    let after = consign_provision::observe(&world.desired, &world.hands).await?.told(&world.told);
    refuse_unless_it_holds(&prove(&world.desired, &Documents::observed(&world.desired, &after))?)?;
    report(&plan, steps, terminal)
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

/// An error with the first cells that are not as declared.
pub(crate) fn refuse_unless_it_holds(proof: &Proof) -> Result<(), CommandError> {
    if proof.holds() {
        return Ok(());
    }
    let mut error = CommandError::new(Kind::Integrity, "the proof failed");
    for lane in &proof.public {
        error = error.hint(format!("the bucket of lane `{lane}` is public"));
    }
    for cell in proof.failures().take(5) {
        error = error.hint(cell.to_string());
    }
    Err(error)
}

fn saved(path: &std::path::Path) -> Result<Plan, CommandError> {
    let fault =
        |e: String| CommandError::usage(format!("{} is not a saved plan: {e}", path.display()));
    let text = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| fault(e.to_string()))
}

fn report(plan: &Plan, steps: usize, terminal: &Terminal) -> Result<(), CommandError> {
    let value = serde_json::json!({
        "exchange": plan.exchange, "steps_done": steps, "left": plan.left, "proved": true,
    });
    let text =
        format!("Applied: {steps} steps. {} is as declared, and the proof holds.", plan.exchange);
    terminal.result(&value, &text)
}
