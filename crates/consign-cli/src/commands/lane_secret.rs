//! `consign keys lane-secret`: the secret from which the keys of a lane's objects follow.
//!
//! `KEYS/EXCHANGE.LANE.lane-secret`, mode 0600, holds one secret a line, the newest first; lines
//! beginning with `#` are remarks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consign::Keys;
use consign_model::{Date, Exchange, Lane, LaneName, PartyName};
use consign_seal::shared_secret::SharedSecret;
use zeroize::Zeroizing;

use super::{files, keys};
use crate::args::LaneSecretArgs;
use crate::error::CommandError;
use crate::office;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// A sealed secret is a few hundred bytes; what is far larger is something else.
const SEALED_BYTES_MAX: u64 = 1 << 20;

/// Makes, rotates or takes a lane's secret.
pub(crate) fn run(
    args: &LaneSecretArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let exchange = settings.exchange()?;
    let lane = exchange.require_lane(&LaneName::parse(&args.lane)?)?;
    let me = who(lane, settings)?;
    let mut private = keys::read(&settings.keys_dir, &me)?;
    private.lane_secrets = read_all(&settings.keys_dir, &exchange)?;
    match &args.import {
        Some(file) => import(file, &exchange, lane, &me, &private, settings, terminal),
        None => make(args, &exchange, lane, &me, private, settings, terminal),
    }
}

fn make(
    args: &LaneSecretArgs,
    exchange: &Exchange,
    lane: &Lane,
    me: &PartyName,
    mut private: Keys,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let secrets = private.lane_secrets.entry(lane.name.clone()).or_default();
    let made = secrets.is_empty() || args.rotate;
    if made {
        secrets.insert(0, SharedSecret::generate()?);
    }
    let id = secrets.first().map(|secret| secret.id().to_owned()).unwrap_or_default();
    // First all that can fail, then the file that must not be lost.
    let sealed = consign::hand_over(exchange, me, &private, &lane.name, today())?;
    if made {
        let secrets = private.lane_secrets.get(&lane.name).map_or(&[][..], Vec::as_slice);
        write(&settings.keys_dir, exchange, lane, secrets)?;
    }
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{}.lane-secret.age", lane.name)));
    files::replace(&out, &sealed).map_err(|e| {
        CommandError::failed(format!("cannot write {}", out.display())).caused_by(e)
    })?;
    terminal.say(&format!(
        "Give {} to {}: it is sealed to them and signed by {me}.",
        out.display(),
        others(lane, me)
    ));
    let view = serde_json::json!({
        "lane": lane.name.to_string(), "secret": id, "made": made, "file": out.display().to_string(),
    });
    let verb = if made { "Made" } else { "Sealed again" };
    terminal.result(&view, &format!("{verb} the secret {id} of lane {}.", lane.name))
}

fn import(
    file: &Path,
    exchange: &Exchange,
    lane: &Lane,
    me: &PartyName,
    private: &Keys,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let cannot_read =
        |e| CommandError::usage(format!("cannot read {}", file.display())).caused_by(e);
    if std::fs::metadata(file).map_err(cannot_read)?.len() > SEALED_BYTES_MAX {
        return Err(CommandError::usage(format!("{} is too large", file.display())));
    }
    let sealed = files::read(file).map_err(cannot_read)?;
    let (from, secret) = consign::take_over(exchange, me, private, &lane.name, &sealed)?;
    let mut secrets = private.lane_secrets.get(&lane.name).cloned().unwrap_or_default();
    let id = secret.id().to_owned();
    // One that is known already keeps its place: an old file must not make an old secret the newest.
    let new = secrets.iter().all(|known| known.id() != id);
    if new {
        secrets.insert(0, secret);
        write(&settings.keys_dir, exchange, lane, &secrets)?;
    }
    let view = serde_json::json!({
        "lane": lane.name.to_string(), "secret": id, "new": new, "from": from.to_string(),
    });
    let text = match new {
        true => format!("Took the secret {id} of lane {} from {from}.", lane.name),
        false => format!("The secret {id} of lane {} is here already.", lane.name),
    };
    terminal.result(&view, &text)
}

/// The secrets that the key folder holds for the lanes of an exchange.
pub(crate) fn read_all(
    keys_dir: &Path,
    exchange: &Exchange,
) -> Result<BTreeMap<LaneName, Vec<SharedSecret>>, CommandError> {
    let mut all = BTreeMap::new();
    for lane in exchange.lanes.keys() {
        let path = path(keys_dir, exchange, lane);
        let Some(text) = keys::read_secret(&path)? else { continue };
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let secrets = lines.map(SharedSecret::parse).collect::<Result<Vec<_>, _>>();
        let secrets = secrets.map_err(|e| {
            CommandError::usage(format!("{} is damaged", path.display())).caused_by(e)
        })?;
        all.insert(lane.clone(), secrets);
    }
    Ok(all)
}

fn write(
    keys_dir: &Path,
    exchange: &Exchange,
    lane: &Lane,
    secrets: &[SharedSecret],
) -> Result<(), CommandError> {
    let path = path(keys_dir, exchange, &lane.name);
    let mut text = Zeroizing::new(format!(
        "# The keys of lane {} of {} follow from this; the first line is in use.\n",
        lane.name, exchange.name
    ));
    for secret in secrets {
        text.push_str(&secret.to_text());
        text.push('\n');
    }
    files::replace_secret(&path, text.as_bytes())
        .map_err(|e| CommandError::failed(format!("cannot write {}", path.display())).caused_by(e))
}

fn path(keys_dir: &Path, exchange: &Exchange, lane: &LaneName) -> PathBuf {
    // Names of exchanges and lanes have no dots.
    keys_dir.join(format!("{}.{lane}.lane-secret", exchange.name))
}

/// The party that `--as` names, or the only one on the lane whose keys are here.
fn who(lane: &Lane, settings: &Settings) -> Result<PartyName, CommandError> {
    if let Some(party) = &settings.party {
        return Ok(party.clone());
    }
    let on_lane = std::iter::once(&lane.from).chain(&lane.to);
    let mut here = on_lane.filter(|party| keys::exist(&settings.keys_dir, party));
    match (here.next(), here.next()) {
        (Some(party), None) => Ok(party.clone()),
        _ => Err(CommandError::usage(format!("it is not said who you are on lane {}", lane.name))
            .hint("add --as PARTY")),
    }
}

fn others(lane: &Lane, me: &PartyName) -> String {
    let parties = std::iter::once(&lane.from).chain(&lane.to).filter(|party| *party != me);
    parties.map(PartyName::to_string).collect::<Vec<_>>().join(" and ")
}

fn today() -> Date {
    Date::from_unix_ms(office::now_ms())
}
