//! `consign destroy`: takes the exchange down, access first.

use super::{apply, plan, world::World};
use crate::args::DestroyArgs;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Plans the removal, asks, removes.
pub(crate) async fn run(
    args: &DestroyArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let world = World::look(settings, &args.administrators).await?;
    let plan = consign_provision::plan_destroy(&world.desired, &world.observed)?;
    terminal.say(&plan::text(&plan));
    if !plan.is_empty() {
        if !args.yes && !terminal.confirm("Take all of this down?", "--yes")? {
            return Err(CommandError::new(Kind::Interrupted, "nothing was changed"));
        }
        apply::run_plan(&plan, &world, terminal).await?;
    }
    let value = serde_json::json!({
        "exchange": plan.exchange, "steps_done": plan.steps.len(), "left": plan.left,
    });
    terminal
        .result(&value, &format!("{} is taken down: {} steps.", plan.exchange, plan.steps.len()))
}
