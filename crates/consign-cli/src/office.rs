//! A party at work: the exchange, who we are on a lane, our keys, our connection, our memory.

use std::sync::Arc;

use consign::{Keys, Office};
use consign_cloud::Cloud;
use consign_model::{Exchange, Lane, LaneName, PartyName};
use consign_transfer::{Cancel, Cancelled, Engine, Limits};

use crate::commands::{files, interrupt, key_sources, keys, lane_secret, openpgp_keys, rsa_keys};
use crate::connect;
use crate::error::CommandError;
use crate::progress::Bar;
use crate::settings::Settings;

/// On which side of the lane we stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// We send.
    Sender,
    /// We receive.
    Receiver,
    /// We look. Where the keys of both sides lie here, as the receiver.
    Either,
}

/// The lane, and who we are on it: `--as`, or the only party that it can be.
pub(crate) fn lane_and_party(
    exchange: &Exchange,
    settings: &Settings,
    lane: &str,
    side: Side,
) -> Result<(LaneName, PartyName), CommandError> {
    let name = LaneName::parse(lane)?;
    let lane = exchange.lane(&name).ok_or_else(|| {
        let lanes: Vec<&str> = exchange.lanes.keys().map(AsRef::as_ref).collect();
        CommandError::usage(format!("the exchange has no lane `{name}`"))
            .hint(format!("its lanes are: {}", lanes.join(", ")))
    })?;
    let party = match (&settings.party, side) {
        (Some(party), _) => party.clone(),
        (None, Side::Sender) => lane.from.clone(),
        (None, Side::Receiver) => only_receiver(lane)?,
        (None, Side::Either) if keys_tell_sender(lane, settings) => lane.from.clone(),
        (None, Side::Either) => only_receiver(lane)?,
    };
    Ok((name, party))
}

fn keys_tell_sender(lane: &Lane, settings: &Settings) -> bool {
    let here = |party: &PartyName| keys::exist(&settings.keys_dir, party);
    here(&lane.from) && !lane.to.iter().any(here)
}

fn only_receiver(lane: &Lane) -> Result<PartyName, CommandError> {
    match lane.to.as_slice() {
        [party] => Ok(party.clone()),
        _ => Err(CommandError::usage(format!("lane `{}` has several receivers", lane.name))
            .hint("say which one you are with --as PARTY")),
    }
}

/// Opens the office of a party with the credentials at hand.
pub(crate) async fn open(
    settings: &Settings,
    exchange: Exchange,
    party: PartyName,
    progress: Arc<Bar>,
) -> Result<Office, CommandError> {
    let cloud = connect::connect(settings, &exchange).await?;
    let mut private = in_folder(settings, &exchange, &party)?;
    key_sources::add_own(settings, &cloud, &mut private).await?;
    with_keys(settings, exchange, party, cloud, private, progress)
}

/// Opens the office of a party with a connection that is there already.
pub(crate) fn with_cloud(
    settings: &Settings,
    exchange: Exchange,
    party: PartyName,
    cloud: Cloud,
    progress: Arc<Bar>,
) -> Result<Office, CommandError> {
    let private = in_folder(settings, &exchange, &party)?;
    with_keys(settings, exchange, party, cloud, private, progress)
}

/// The party's keys in the key folder; there may be none where the settings say where they are.
fn in_folder(
    settings: &Settings,
    exchange: &Exchange,
    party: &PartyName,
) -> Result<Keys, CommandError> {
    let elsewhere = settings.identity.is_some() || settings.signer.is_some();
    let mut private = match elsewhere && !keys::exist(&settings.keys_dir, party) {
        true => Keys::default(),
        false => keys::read(&settings.keys_dir, party)?,
    };
    private.lane_secrets = lane_secret::read_all(&settings.keys_dir, exchange)?;
    openpgp_keys::read_into(&settings.keys_dir, party, &mut private)?;
    rsa_keys::read_into(&settings.keys_dir, party, &mut private)?;
    Ok(private)
}

/// The keys of who signs and opens nothing; there may be none.
pub(crate) async fn signing_keys(
    settings: &Settings,
    party: &PartyName,
    cloud: &Cloud,
) -> Result<Keys, CommandError> {
    let mut private = match keys::exist(&settings.keys_dir, party) {
        true => keys::read(&settings.keys_dir, party)?,
        false => Keys::default(),
    };
    key_sources::add_signer(settings, cloud, &mut private).await?;
    Ok(private)
}

/// Opens the office of somebody whose keys have been read.
pub(crate) fn with_keys(
    settings: &Settings,
    exchange: Exchange,
    party: PartyName,
    cloud: Cloud,
    private: Keys,
    progress: Arc<Bar>,
) -> Result<Office, CommandError> {
    files::private_dir(&settings.state_dir).map_err(|e| {
        CommandError::failed(format!(
            "cannot make the state folder {}",
            settings.state_dir.display()
        ))
        .caused_by(e)
    })?;
    Ok(Office {
        exchange: Arc::new(exchange),
        me: party,
        cloud,
        state: settings.state_dir.clone(),
        keys: Arc::new(private),
        clock: Arc::new(now_ms),
        dice: Arc::new(random),
        engine: Engine::new(Limits::default()),
        cancel: Cancel::new(),
        progress,
    })
}

/// Ctrl-C and SIGTERM stop the office's transfers where the same command can go on later.
pub(crate) fn cancel_on_interrupt(office: &Office) {
    let cancel = office.cancel.clone();
    tokio::spawn(async move {
        interrupt::wait().await;
        cancel.cancel(Cancelled::Keep);
    });
}

/// The party that `--as` names, or the only one of the exchange whose private keys are here.
pub(crate) fn party(exchange: &Exchange, settings: &Settings) -> Result<PartyName, CommandError> {
    if let Some(party) = &settings.party {
        return Ok(party.clone());
    }
    let mut here = exchange.parties.keys().filter(|party| keys::exist(&settings.keys_dir, party));
    match (here.next(), here.next()) {
        (Some(party), None) => Ok(party.clone()),
        _ => Err(CommandError::usage("it is not said who you are")
            .hint("add --as PARTY, or name a lane with --lane LANE")),
    }
}

/// Milliseconds since 1970 in UTC.
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// 128 bits from the operating system.
fn random() -> u128 {
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    assert_eq!(filled, Ok(bytes.len()), "the operating system gives 16 random bytes at once");
    u128::from_le_bytes(bytes)
}

/// 64 bits of the same, for waits that many should not wait alike.
pub(crate) fn random_u64() -> u64 {
    u64::try_from(random() >> 64).unwrap_or_default()
}
