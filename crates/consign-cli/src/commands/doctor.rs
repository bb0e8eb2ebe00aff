//! `consign doctor`: why is this denied?

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use consign_model::PartyName;
use consign_provision::doctor::{Complaint, Diagnosis, Patient, examine};
use consign_provision::{Desired, Hands};

use crate::args::DoctorArgs;
use crate::connect;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Examines the command that failed; fails itself when it found out why.
pub(crate) async fn run(
    args: &DoctorArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    // Without an exchange file the doctor knows less, and still something.
    let exchange = match settings.exchange_file.exists() {
        true => Some(settings.exchange()?),
        false => None,
    };
    let desired = exchange.as_ref().map(Desired::of).transpose()?;
    let complaint = Complaint::of(&args.command, desired.as_ref())?;
    let mut settings = settings.clone();
    if let Some(party) = &complaint.party {
        settings.party = Some(PartyName::parse(party)?);
    }
    settings.profile = complaint.profile.clone().or(settings.profile);
    settings.endpoint = complaint.endpoint.clone().or(settings.endpoint);
    let cloud = connect::connect(&settings, exchange.as_ref()).await?;
    // Administrators' credentials help and are not needed: what they could show stays unseen.
    let hands = match &exchange {
        Some(exchange) => {
            let other = Settings { profile: None, ..settings.clone() };
            connect::administrators(&other, &args.administrators, exchange).await
        }
        None => Ok(Hands::none()),
    };
    let source = match &settings.profile {
        Some(profile) => format!("profile {profile}"),
        None => "the default chain (environment, profile default, SSO, instance)".to_owned(),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let patient = Patient {
        cloud: &cloud,
        source: &source,
        party: settings.party.as_ref().map(AsRef::as_ref),
        hands: &hands.unwrap_or_default(),
        desired: desired.as_ref(),
        now_ms: millis(now),
    };
    let diagnosis = examine(&complaint, &patient).await;
    terminal.result(&diagnosis, &page(&diagnosis))?;
    match diagnosis.cause {
        None => Ok(()),
        Some(cause) => Err(CommandError::new(Kind::Denied, cause.what).hint(cause.remedy)),
    }
}

fn millis(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

fn page(diagnosis: &Diagnosis) -> String {
    let mut page = String::new();
    for seen in &diagnosis.seen {
        let _ = writeln!(page, "ok     {:?}: {}", seen.layer, seen.what);
    }
    if let Some(cause) = &diagnosis.cause {
        let _ = writeln!(page, "CAUSE  {:?} ({}): {}", cause.layer, cause.name, cause.what);
        let _ = writeln!(page, "       {}", cause.remedy);
    }
    page
}
