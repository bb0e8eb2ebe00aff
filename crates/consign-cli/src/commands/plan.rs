//! `consign plan`: shows what `apply` would change.

use std::fmt::Write as _;

use consign_provision::Plan;

use super::world::World;
use crate::args::PlanArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Prints the plan; with `--exit-code` a plan that changes something ends with 2.
pub(crate) async fn run(
    args: &PlanArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let world = World::look(settings, &args.administrators).await?;
    let plan = consign_provision::plan(&world.desired, &world.observed)?;
    terminal.result(&plan, &text(&plan))?;
    if args.exit_code && !plan.is_empty() {
        return Err(CommandError::usage("there is something to change").hint("consign apply"));
    }
    Ok(())
}

/// The plan as a person reads it.
pub(crate) fn text(plan: &Plan) -> String {
    let mut text = String::new();
    if plan.is_empty() {
        let _ = writeln!(text, "Nothing to do: {} is as declared.", plan.exchange);
    } else {
        let _ = writeln!(text, "{} steps for {}:", plan.steps.len(), plan.exchange);
        for step in &plan.steps {
            let _ = writeln!(text, "  {step}");
        }
    }
    if !plan.effects.is_empty() {
        let _ = writeln!(text, "Who gains and who loses:");
        for effect in &plan.effects {
            let _ = writeln!(text, "  {effect}");
        }
    }
    if !plan.left.is_empty() {
        let _ = writeln!(text, "Left for others:");
        for left in &plan.left {
            let _ = writeln!(text, "  {} (account {}): {}", left.party, left.account, left.words);
        }
    }
    text
}
