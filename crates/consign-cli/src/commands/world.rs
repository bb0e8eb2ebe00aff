//! What `plan`, `apply`, `destroy` and `prove` all begin with: what is wanted, with whose hands, and
//! what is there.

use consign_model::{AccountId, Exchange, PartyName};
use consign_provision::{Desired, Hands, Keys, Observed, check_told, observe};

use crate::args::AdministratorArgs;
use crate::connect;
use crate::error::CommandError;
use crate::settings::Settings;

/// What is wanted and what is there.
pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) hands: Hands,
    pub(crate) told: Keys,
    pub(crate) observed: Observed,
}

impl World {
    /// Reads the exchange file, connects to the accounts at hand and looks.
    pub(crate) async fn look(
        settings: &Settings,
        args: &AdministratorArgs,
    ) -> Result<World, CommandError> {
        let exchange = settings.exchange()?;
        let mut hands = connect::administrators(settings, args, &exchange).await?;
        if let Some(party) = &settings.party {
            hands = hands.only(&own_account(&exchange, party)?);
        }
        World::with_hands(&exchange, hands, connect::keys_told(args)?).await
    }

    /// Looks with the hands given.
    pub(crate) async fn with_hands(
        exchange: &Exchange,
        hands: Hands,
        told: Keys,
    ) -> Result<World, CommandError> {
        let desired = Desired::of(exchange)?;
        check_told(&desired, &told)?;
        let observed = observe(&desired, &hands).await?.told(&told);
        Ok(World { desired, hands, told, observed })
    }
}

/// The account of the party that `--as` names: its half is what we do.
pub(crate) fn own_account(
    exchange: &Exchange,
    party: &PartyName,
) -> Result<AccountId, CommandError> {
    let found = exchange.party(party).map(|party| party.account.clone());
    found.ok_or_else(|| {
        CommandError::usage(format!("--as {party} names no party of exchange {}", exchange.name))
    })
}
