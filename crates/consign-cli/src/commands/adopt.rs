//! `consign adopt`: takes over a bucket and key that consign did not make.

use std::collections::BTreeSet;

use consign_model::LaneName;

use super::{apply, world::World};
use crate::args::AdoptArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Plans with these lanes' untagged things as ours, then goes on as `apply` does.
pub(crate) async fn run(
    args: &AdoptArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let world = World::look(settings, &args.administrators).await?;
    let lanes = args.lanes.iter().map(|lane| LaneName::parse(lane));
    let lanes = lanes.collect::<Result<BTreeSet<_>, _>>()?;
    if let Some(unknown) = lanes.iter().find(|lane| !world.desired.lanes.contains_key(*lane)) {
        return Err(CommandError::usage(format!("the exchange has no lane `{unknown}`")));
    }
    let plan = consign_provision::plan_adopting(&world.desired, &world.observed, &lanes)?;
    apply::carry_out(&plan, &world, &args.consent, terminal).await
}
