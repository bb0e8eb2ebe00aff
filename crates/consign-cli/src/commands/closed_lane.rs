//! What is done to a lane that is closed to its parties meanwhile, as `rekey` and `rewrap` do it.
//!
//! Whoever closes a lane must be able to open it again as it was declared. So first everything is asked
//! that can refuse (is the exchange deployed as the file says, are these the hands of the lane's owner),
//! and only then is the lane closed.

use consign::{Office, RekeyOptions};
use consign_cloud::Cloud;
use consign_model::{Exchange, Lane};
use consign_provision::desired::DesiredLane;
use consign_provision::{KeyArn, Maintenance};

use super::world::World;
use crate::args::AdministratorArgs;
use crate::connect;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// What is deployed, if it is what the exchange file declares.
pub(super) async fn deployed(
    settings: &Settings,
    administrators: &AdministratorArgs,
    exchange: &Exchange,
) -> Result<World, CommandError> {
    let hands = connect::administrators(settings, administrators, exchange).await?;
    let world = World::with_hands(exchange, hands, connect::keys_told(administrators)?).await?;
    match consign_provision::plan(&world.desired, &world.observed)?.is_empty() {
        true => Ok(world),
        false => Err(CommandError::usage(
            "what is deployed is not what the exchange file declares, or was left closed",
        )
        .hint("consign apply, then this again")),
    }
}

/// A lane, its owner's hands, and its key: what it takes to close it.
pub(super) struct Closable<'w> {
    desired: &'w DesiredLane,
    owner: &'w Cloud,
    key: Option<KeyArn>,
}

impl<'w> Closable<'w> {
    /// # Errors
    /// None of the hands is the owner's.
    pub(super) fn of(world: &'w World, lane: &Lane) -> Result<Closable<'w>, CommandError> {
        let desired = world
            .desired
            .lanes
            .get(&lane.name)
            .ok_or_else(|| CommandError::usage(format!("there is no lane {}", lane.name)))?;
        let owner = world.hands.in_account(&desired.owner).ok_or_else(|| {
            CommandError::usage(format!(
                "lane {} belongs to `{}`, whose administrator has to lend a hand: nobody else may \
                 close it, copy what lies there and remove the old",
                lane.name, lane.owner
            ))
            .hint(format!(
                "name a profile of account {}: --account-profile {}=PROFILE",
                desired.owner, desired.owner
            ))
        })?;
        Ok(Closable { desired, owner, key: world.observed.keys().get(&lane.name).cloned() })
    }

    /// With the credentials of the owner's administrator.
    pub(super) fn owner(&self) -> &Cloud {
        self.owner
    }

    /// The KMS key that is the lane's now, if it has one.
    pub(super) fn key(&self) -> Option<String> {
        self.key.as_ref().map(|key| key.as_str().to_owned())
    }

    /// Closes the lane, does the work, and opens the lane again however that ended; of two errors the
    /// first is told. What lies under older keys of the lane can be read meanwhile, too.
    pub(super) async fn while_closed<T>(
        &self,
        office: &Office,
        terminal: &Terminal,
        work: impl AsyncFnOnce() -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let name = &self.desired.name;
        let mut maintenance =
            Maintenance::begin(self.desired, self.owner, self.key.as_ref()).await?;
        terminal.say(&format!("Lane {name} is closed to its parties."));
        let done = match self.include_older_keys(office, &mut maintenance).await {
            Ok(()) => work().await,
            Err(error) => Err(error),
        };
        let ended = maintenance.end().await;
        if ended.is_ok() {
            terminal.say(&format!("Lane {name} is open again."));
        }
        let done = done?;
        ended?;
        Ok(done)
    }

    async fn include_older_keys(
        &self,
        office: &Office,
        maintenance: &mut Maintenance<'_>,
    ) -> Result<(), CommandError> {
        let looking = RekeyOptions { key: self.key(), dry_run: true, ..RekeyOptions::default() };
        for key in consign::rekey(office, &self.desired.name, &looking).await?.old_keys {
            maintenance.include(&KeyArn::new(key)).await?;
        }
        Ok(())
    }
}
