//! `consign plan`: shows what `apply` would change.

use std::fmt::Write as _;

use consign_provision::Plan;

use super::world::World;
use crate::args::PlanArgs;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Prints the plan and saves it where `--out` says; with `--exit-code` a plan that changes something
/// ends with 2, and a failure with 1, whatever it is.
pub(crate) async fn run(
    args: &PlanArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let planned = make(args, settings, terminal).await;
    if !args.exit_code {
        return planned.map(drop);
    }
    match planned.map_err(CommandError::into_failed)?.is_empty() {
        true => Ok(()),
        false => {
            Err(CommandError::new(Kind::Changes, "there is something to change")
                .hint("consign apply"))
        }
    }
}

async fn make(
    args: &PlanArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<Plan, CommandError> {
    let world = World::look(settings, &args.administrators).await?;
    let plan = consign_provision::plan(&world.desired, &world.observed)?;
    if let Some(path) = &args.out {
        let document = serde_json::to_vec_pretty(&plan)
            .map_err(|e| CommandError::internal("cannot write the plan as JSON", e))?;
        std::fs::write(path, document).map_err(|e| {
            CommandError::usage(format!("cannot write {}", path.display())).caused_by(e)
        })?;
        terminal.say(&format!("Saved {}: consign apply --plan {0}", path.display()));
    }
    terminal.result(&plan, &text(&plan))?;
    Ok(plan)
}

/// The plan as a person reads it.
pub(crate) fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for alarm in &plan.alarms {
        let _ = writeln!(text, "ALARM: {alarm}");
    }
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
            let open = if effect.was_open && !effect.gains.is_empty() { "! " } else { "  " };
            let _ = writeln!(text, "{open}{effect}");
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
