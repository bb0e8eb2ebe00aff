//! `consign rekey`: moves what lies on a lane under the keys that the exchange file declares.

use std::sync::Arc;

use consign::{Office, RekeyOptions, Rekeyed, by_mode};
use consign_model::{AtRest, Exchange, Lane, LaneName};

use super::closed_lane::{Closable, deployed};
use super::lane_secret;
use crate::args::{Mode, RekeyArgs};
use crate::connect;
use crate::error::{CommandError, Kind};
use crate::office;
use crate::progress::Bar;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes};

/// Looks; or closes the lane, moves, and opens it again.
pub(crate) async fn run(
    args: &RekeyArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let exchange = settings.exchange()?;
    let lane = exchange.require_lane(&LaneName::parse(&args.lane)?)?.clone();
    check_declared(&lane, args.to)?;
    if args.dry_run {
        return look(args, &exchange, &lane, settings, terminal).await;
    }
    let world = deployed(settings, &args.administrators, &exchange).await?;
    let closable = Closable::of(&world, &lane)?;
    let question = format!("Close lane {} to its parties until everything is moved?", lane.name);
    if !args.yes && !terminal.confirm(&question, "--yes")? {
        return Err(CommandError::new(Kind::Interrupted, "nothing was changed"));
    }
    let bar = Arc::new(Bar::new(terminal));
    let office = office_of_owner(settings, &exchange, &lane, closable.owner().clone(), &bar)?;
    office::cancel_on_interrupt(&office);
    let has_key = matches!(lane.at_rest, AtRest::SseKms | AtRest::DsseKms);
    let options = RekeyOptions {
        key: closable.key().filter(|_| has_key),
        remove_old: args.remove_old,
        ..RekeyOptions::default()
    };
    let rekeyed = closable
        .while_closed(&office, terminal, async || {
            Ok(consign::rekey(&office, &lane.name, &options).await?)
        })
        .await;
    bar.finish();
    report(&rekeyed?, &lane, false, terminal)
}

async fn look(
    args: &RekeyArgs,
    exchange: &Exchange,
    lane: &Lane,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let cloud = connect::connect(settings, exchange).await?;
    let bar = Arc::new(Bar::new(terminal));
    let office = office_of_owner(settings, exchange, lane, cloud, &bar)?;
    let told = connect::keys_told(&args.administrators)?;
    let key = told.get(&lane.name).map(|key| key.as_str().to_owned());
    let options = RekeyOptions { key, dry_run: true, ..RekeyOptions::default() };
    let seen = consign::rekey(&office, &lane.name, &options).await;
    bar.finish();
    let seen = seen.map_err(|error| {
        let denied = error.kind() == consign::ErrorKind::Denied;
        let error = CommandError::from(error);
        match denied {
            true => error.hint(format!(
                "on an open lane only its receivers may look: add --profile of one of {}",
                lane.to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            )),
            false => error,
        }
    })?;
    report(&seen, lane, true, terminal)
}

/// The file says how objects lie; the flag says that the person knows what it says.
fn check_declared(lane: &Lane, to: Mode) -> Result<(), CommandError> {
    let to = match to {
        Mode::SseKms => AtRest::SseKms,
        Mode::DsseKms => AtRest::DsseKms,
        Mode::SseS3 => AtRest::SseS3,
        Mode::SseC => AtRest::SseC,
    };
    if lane.at_rest == to {
        return Ok(());
    }
    Err(CommandError::usage(format!(
        "the exchange file declares at_rest = \"{}\" for lane {}, not \"{}\"",
        lane.at_rest.as_str(),
        lane.name,
        to.as_str()
    ))
    .hint(format!(
        "write `at_rest = \"{}\"` in [lane.{}], then `consign apply`, then this again",
        to.as_str(),
        lane.name
    )))
}

/// The owner's administrator at work: no keys but the lanes' secrets.
fn office_of_owner(
    settings: &Settings,
    exchange: &Exchange,
    lane: &Lane,
    cloud: consign_cloud::Cloud,
    bar: &Arc<Bar>,
) -> Result<Office, CommandError> {
    let keys = consign::Keys {
        lane_secrets: lane_secret::read_all(&settings.keys_dir, exchange)?,
        ..consign::Keys::default()
    };
    office::with_keys(settings, exchange.clone(), lane.owner.clone(), cloud, keys, bar.clone())
}

fn report(
    rekeyed: &Rekeyed,
    lane: &Lane,
    dry_run: bool,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let all: u64 = rekeyed.moved.iter().map(|moved| moved.bytes).sum();
    let compared = rekeyed.moved.iter().filter(|moved| moved.checksum_compared).count();
    let view = serde_json::json!({
        "lane": lane.name.to_string(),
        "to": lane.at_rest.as_str(),
        "dry_run": dry_run,
        "moved": rekeyed.moved.iter().map(|moved| serde_json::json!({
            "key": moved.key, "bytes": moved.bytes, "from": moved.from,
            "checksum_compared": moved.checksum_compared,
        })).collect::<Vec<_>>(),
        "right": rekeyed.right,
    });
    let from: Vec<String> = by_mode(&rekeyed.moved)
        .into_iter()
        .map(|(mode, count)| format!("{count} from {mode}"))
        .collect();
    let from = if from.is_empty() { String::new() } else { format!(" ({})", from.join(", ")) };
    let (verb, count, to) = match dry_run {
        true => ("Would move", rekeyed.moved.len(), lane.at_rest.as_str()),
        false => ("Moved", rekeyed.moved.len(), lane.at_rest.as_str()),
    };
    let mut text = format!(
        "{verb} {count} objects{from}, {}, to {to}; {} lie right already.",
        bytes(all),
        rekeyed.right
    );
    if !dry_run && compared < rekeyed.moved.len() {
        text.push_str(&format!(
            " The store keeps no checksum of {} of them: their sizes were compared, and their older \
             versions kept. Verify them.",
            rekeyed.moved.len() - compared
        ));
    }
    terminal.result(&view, &text)
}
