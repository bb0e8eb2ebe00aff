//! The publishers of a party: one for each repository, with one connection, one log and one count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use consign_model::{Exchange, InboxName, PartyName, RepositoryName};
use consign_publisher::{Limits, Publisher, Routing, Setup, Signer, Stop};
use consign_seal::sshsig::{self, SigningKey};
use tokio::sync::watch;

use super::counters::Counters;
use super::log::Log;
use crate::args::PublishPostArgs;
use crate::connect;
use crate::error::CommandError;
use crate::office;
use crate::settings::Settings;

/// What serves.
pub(super) struct Station {
    pub(super) names: Vec<RepositoryName>,
    pub(super) publishers: Vec<Publisher>,
    pub(super) counters: Arc<Counters>,
    pub(super) log: Arc<Log>,
}

impl Station {
    /// Reads exchange and keys, and connects; sends nothing.
    pub(super) async fn open(
        args: &PublishPostArgs,
        settings: &Settings,
    ) -> Result<Station, CommandError> {
        let exchange = Arc::new(settings.exchange()?);
        let party = publishing_party(&exchange, settings)?;
        let names = repositories(&exchange, &party, &args.repositories)?;
        let cloud = connect::connect(settings, exchange.as_ref()).await?;
        let private = office::signing_keys(settings, &party, &cloud).await?;
        let signer = private.signer.ok_or_else(|| {
            let folder = settings.keys_dir.display();
            CommandError::usage(format!("there is no signing key of {party} in {folder}"))
                .hint(format!("consign keys new {party}"))
                .hint("or say where it is: --keys DIR, or CONSIGN_SIGNER=ssm:NAME (docs/keys.md)")
        })?;
        let counters = Arc::new(Counters::default());
        let log = Arc::new(Log::new(args.log_names, args.alarm_exec.clone(), counters.clone()));
        let signer: Arc<dyn Signer> = Arc::new(PartySigner(signer));
        let clock = steady_clock();
        let kms_keys = kms_keys(&exchange, &args.keys_told)?;
        let publishers = names.iter().map(|name| {
            let routing = Routing::new(exchange.clone(), name, kms_keys.clone());
            let routing = routing
                .ok_or_else(|| CommandError::usage(format!("there is no repository `{name}`")))?;
            Ok(Publisher::new(Setup {
                routing,
                party: party.clone(),
                cloud: cloud.clone(),
                signer: signer.clone(),
                observer: log.clone(),
                clock: clock.clone(),
                dice: Arc::new(office::random_u64),
                limits: limits(args),
                in_flight_max: args.in_flight,
            }))
        });
        let publishers = publishers.collect::<Result<_, CommandError>>()?;
        Ok(Station { names, publishers, counters, log })
    }
}

impl Station {
    /// Says so, where it is looked for, when no more messages are taken.
    pub(super) fn tell_of_draining(&self, mut stop: watch::Receiver<Stop>) {
        let (log, counters) = (self.log.clone(), self.counters.clone());
        tokio::spawn(async move {
            if stop.wait_for(|stop| *stop != Stop::Not).await.is_ok() {
                log.draining();
                counters.drains();
            }
        });
    }
}

/// The party's key, for records.
struct PartySigner(SigningKey);

impl Signer for PartySigner {
    fn sign(
        &self,
        namespace: &str,
        bytes: &[u8],
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(sshsig::sign(&self.0, namespace, bytes)?)
    }
}

fn publishing_party(exchange: &Exchange, settings: &Settings) -> Result<PartyName, CommandError> {
    let publishers: BTreeSet<&PartyName> =
        exchange.repositories.values().map(|repository| &repository.publisher).collect();
    let publishers: Vec<&PartyName> = publishers.into_iter().collect();
    if let Some(party) = &settings.party {
        if publishers.contains(&party) {
            return Ok(party.clone());
        }
        let names: Vec<&str> = publishers.iter().map(|name| name.as_str()).collect();
        let error = CommandError::usage(format!(
            "{party} publishes no repository of exchange {}",
            exchange.name
        ));
        return Err(match names.is_empty() {
            true => error.hint("consign init --template inbox"),
            false => error.hint(format!("its publishers are: {}", names.join(", "))),
        });
    }
    match publishers.as_slice() {
        [] => Err(CommandError::usage("the exchange has no repository")
            .hint("consign init --template inbox")),
        [only] => Ok((*only).clone()),
        _ => Err(CommandError::usage("the exchange has several publishers")
            .hint("say which one you are with --as PARTY")),
    }
}

fn repositories(
    exchange: &Exchange,
    party: &PartyName,
    named: &[String],
) -> Result<Vec<RepositoryName>, CommandError> {
    let ours: Vec<RepositoryName> = exchange
        .repositories
        .values()
        .filter(|repository| repository.publisher == *party)
        .map(|repository| repository.name.clone())
        .collect();
    let hint = ours.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    if named.is_empty() {
        return Ok(ours);
    }
    let parsed = named.iter().map(|text| {
        let name = RepositoryName::parse(text)?;
        match ours.contains(&name) {
            true => Ok(name),
            false => Err(CommandError::usage(format!("{party} publishes no repository `{name}`"))
                .hint(format!("its repositories are: {hint}"))),
        }
    });
    parsed.collect()
}

fn kms_keys(
    exchange: &Exchange,
    texts: &[String],
) -> Result<BTreeMap<InboxName, String>, CommandError> {
    let keys = texts.iter().map(|text| {
        let wrong = || {
            CommandError::usage(format!("--key {text} does not say which key"))
                .hint("for example --key reports-in=arn:aws:kms:eu-west-1:222222222222:key/…")
        };
        let (name, arn) = text.split_once('=').ok_or_else(wrong)?;
        let name = InboxName::parse(name)?;
        // A plain id would be looked for in our own account.
        if !arn.starts_with("arn:") {
            return Err(wrong());
        }
        match exchange.inbox(&name) {
            Some(_) => Ok((name, arn.to_owned())),
            None => Err(CommandError::usage(format!("there is no inbox `{name}`"))),
        }
    });
    keys.collect()
}

fn limits(args: &PublishPostArgs) -> Limits {
    let usual = Limits::default();
    Limits {
        lease_seconds: args.lease_seconds.clamp(3, 43_200),
        single_copy_bytes_max: args.single_copy_bytes_max.unwrap_or(usual.single_copy_bytes_max),
        part_bytes_min: args.part_bytes_min.unwrap_or(usual.part_bytes_min),
        look_first: args.look_first,
        ..usual
    }
}

/// The wall clock of the start and the time since: a clock that somebody sets does not make a message
/// ours for longer than it is.
fn steady_clock() -> Arc<dyn Fn() -> u64 + Send + Sync> {
    let (start_ms, start) = (office::now_ms(), Instant::now());
    Arc::new(move || {
        let since = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        start_ms.saturating_add(since)
    })
}
