//! `consign inbox`: what lies in an inbox, for those who fetch, scan or have delivered it.

mod scan;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use consign::Office;
use consign::inbox::{Delivery, FetchOptions, Standing};
use consign_model::{DeliveryId, Exchange, Inbox, InboxName, PartyName};

use crate::args::{InboxAckArgs, InboxCommand, InboxFetchArgs, InboxListArgs, InboxWatchArgs};
use crate::commands::{interrupt, span};
use crate::error::CommandError;
use crate::progress::Bar;
use crate::settings::Settings;
use crate::terminal::{Terminal, escape};
use crate::{connect, office};

/// One of its commands.
pub(crate) async fn run(
    command: &InboxCommand,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    match command {
        InboxCommand::List(args) => list(args, settings, terminal).await,
        InboxCommand::Fetch(args) => fetch(args, settings, terminal).await,
        InboxCommand::Ack(args) => ack(args, settings, terminal).await,
        InboxCommand::Watch(args) => watch(args, settings, terminal).await,
        InboxCommand::Acknowledgements(args) => acknowledgements(args, settings, terminal).await,
        InboxCommand::Scan(args) => scan::run(args, settings, terminal).await,
    }
}

async fn list(
    args: &InboxListArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let place = Place::open(args.inbox.as_deref(), Role::Consumer, settings, terminal).await?;
    let there = consign::inbox::deliveries(&place.office, &place.inbox).await?;
    let views: Vec<_> = there.iter().map(view::delivery).collect();
    terminal.result(&views, &view::table_of(&there))
}

async fn fetch(
    args: &InboxFetchArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let options = FetchOptions { only: ids(&args.ids)?, acknowledge: args.ack };
    let place = Place::open(args.inbox.as_deref(), Role::Consumer, settings, terminal).await?;
    office::cancel_on_interrupt(&place.office);
    let fetched = consign::inbox::fetch(&place.office, &place.inbox, &args.into, &options).await;
    place.bar.finish();
    let mut fetched = fetched?;
    terminal.result(&view::fetched(&fetched), &view::fetched_text(&fetched))?;
    if fetched.refused.is_empty() {
        return Ok(());
    }
    let first = fetched.refused.remove(0);
    let mut error = CommandError::from(first.error).within(format!("`{}` was refused", first.key));
    for other in &fetched.refused {
        let why = crate::error::chain(&other.error);
        error = error.hint(format!("{} was refused too: {why}", other.key));
    }
    Err(error)
}

async fn ack(
    args: &InboxAckArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let only = ids(&args.ids)?;
    let place = Place::open(args.inbox.as_deref(), Role::Consumer, settings, terminal).await?;
    let mut there = consign::inbox::deliveries(&place.office, &place.inbox).await?;
    if let Some(id) = only.iter().find(|id| !there.iter().any(|it| it.id == Some(**id))) {
        let message = format!("inbox {} has no delivery {id}", place.inbox);
        return Err(CommandError::new(crate::error::Kind::NotFound, message)
            .hint(format!("consign inbox list --inbox {}", place.inbox)));
    }
    there.retain(|it| match it.id {
        Some(id) if !args.all => only.contains(&id),
        _ => it.standing == Standing::Delivered,
    });
    let said = consign::inbox::acknowledge(&place.office, &place.inbox, &there).await?;
    let views: Vec<_> = said
        .iter()
        .map(
            |it| serde_json::json!({"id": it.id.to_string(), "key": it.key, "already": it.already}),
        )
        .collect();
    let lines = said.iter().map(|it| {
        let word = if it.already { "Acknowledged before:" } else { "Acknowledged" };
        format!("{word} {} ({})", it.id, escape(&it.key))
    });
    let text: Vec<String> = lines.collect();
    terminal.result(&views, &if text.is_empty() { "Nothing new.".into() } else { text.join("\n") })
}

async fn watch(
    args: &InboxWatchArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let interval = span::duration("--interval", &args.interval)?;
    let place = Place::open(args.inbox.as_deref(), Role::Consumer, settings, terminal).await?;
    let look = async {
        let mut seen: BTreeSet<DeliveryId> = BTreeSet::new();
        let mut first = true;
        loop {
            match consign::inbox::deliveries(&place.office, &place.inbox).await {
                Ok(there) => {
                    for delivery in there.iter().filter(|it| it.standing == Standing::Delivered) {
                        if delivery.id.is_some_and(|id| seen.insert(id)) {
                            print(delivery, terminal.is_json(), terminal)?;
                        }
                    }
                }
                // What passes is waited for; what is wrong from the start is not.
                Err(error) if first => return Err(CommandError::from(error)),
                Err(error) => terminal.error(&CommandError::from(error)),
            }
            first = false;
            tokio::time::sleep(interval).await;
        }
    };
    tokio::select! {
        () = interrupt::wait() => Ok(()),
        ended = look => ended,
    }
}

fn print(delivery: &Delivery, json: bool, terminal: &Terminal) -> Result<(), CommandError> {
    match json {
        true => terminal.data(&view::delivery(delivery).to_string()),
        false => terminal.data(&view::line(delivery)),
    }
}

async fn acknowledgements(
    args: &InboxListArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let place = Place::open(args.inbox.as_deref(), Role::Publisher, settings, terminal).await?;
    let answers = consign::inbox::acknowledgements(&place.office, &place.inbox).await?;
    let views: Vec<_> = answers.iter().map(view::answer).collect();
    terminal.result(&views, &view::answers_text(&answers))
}

fn ids(texts: &[String]) -> Result<Vec<DeliveryId>, CommandError> {
    texts.iter().map(|text| Ok(DeliveryId::parse(text)?)).collect()
}

/// As whom somebody comes to an inbox.
#[derive(Clone, Copy)]
enum Role {
    Consumer,
    Publisher,
    Scanner,
}

/// An inbox, and us at it.
struct Place {
    office: Office,
    inbox: InboxName,
    bar: Arc<Bar>,
}

impl Place {
    async fn open(
        inbox: Option<&str>,
        role: Role,
        settings: &Settings,
        terminal: &Terminal,
    ) -> Result<Place, CommandError> {
        let exchange = settings.exchange()?;
        let inbox = the_inbox(&exchange, inbox)?;
        if matches!(role, Role::Scanner) && inbox.quarantine.is_none() {
            let message = format!("inbox {} has no quarantine: nobody scans it", inbox.name);
            return Err(CommandError::usage(message).hint(format!(
                "write `quarantine = \"PARTY\"` in [inbox.{}], then consign apply",
                inbox.name
            )));
        }
        let party = match &settings.party {
            Some(party) => party.clone(),
            None => only_party(inbox, role)?,
        };
        let inbox = inbox.name.clone();
        let cloud = connect::connect(settings, &exchange).await?;
        // Who only looks needs none.
        let private = office::signing_keys(settings, &party, &cloud).await?;
        let bar = Arc::new(Bar::new(terminal));
        let office = office::with_keys(settings, exchange, party, cloud, private, bar.clone())?;
        Ok(Place { office, inbox, bar })
    }
}

fn the_inbox<'a>(exchange: &'a Exchange, name: Option<&str>) -> Result<&'a Inbox, CommandError> {
    let names: Vec<&str> = exchange.inboxes.keys().map(AsRef::as_ref).collect();
    let hint = format!("its inboxes are: {}", names.join(", "));
    let found = match (name, names.as_slice()) {
        (Some(name), _) => exchange.inbox(&InboxName::parse(name)?),
        (None, [_]) => exchange.inboxes.values().next(),
        (None, []) => {
            return Err(CommandError::usage("the exchange has no inbox")
                .hint("consign init --template inbox shows one"));
        }
        (None, _) => {
            let message = "the exchange has several inboxes; say which with --inbox NAME";
            return Err(CommandError::usage(message).hint(hint));
        }
    };
    let name = name.unwrap_or_default();
    found.ok_or_else(|| {
        CommandError::usage(format!("the exchange has no inbox `{}`", escape(name))).hint(hint)
    })
}

fn only_party(inbox: &Inbox, role: Role) -> Result<PartyName, CommandError> {
    let party = match (role, inbox.consumers.as_slice()) {
        (Role::Publisher, _) => Some(&inbox.publisher),
        (Role::Scanner, _) => inbox.quarantine.as_ref(),
        (Role::Consumer, [one]) => Some(one),
        (Role::Consumer, _) => None,
    };
    party.cloned().ok_or_else(|| {
        CommandError::usage(format!("it is not said who you are on inbox {}", inbox.name))
            .hint("add --as PARTY")
    })
}
