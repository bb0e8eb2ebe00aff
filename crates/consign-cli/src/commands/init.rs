//! `consign init`: writes a commented exchange file.

use consign_model::{
    ExchangeName, Hub, Region, SecureInbox, TemplateParty, TwoWay, hub_template, inbox_template,
    two_way_template,
};

use crate::args::{InitArgs, Template};
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

const TWO_PARTIES: [&str; 2] = ["acme=111111111111", "globex=222222222222"];
const HUB_PARTIES: [&str; 3] =
    ["lab=111111111111", "clinic-a=222222222222", "clinic-b=333333333333"];
const INBOX_PARTIES: [&str; 3] =
    ["acme-lab=111111111111", "acme=111111111111", "globex=222222222222"];

/// Writes the file that `--exchange` names, unless it exists.
pub(crate) fn run(
    args: &InitArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let text = match args.template {
        Template::TwoWay => two_way_template(&two_way(args, settings)?),
        Template::Hub => hub_template(&hub(args, settings)?),
        Template::Inbox => inbox_template(&inbox(args, settings)?),
    };
    let path = &settings.exchange_file;
    super::files::write_new(path, text.as_bytes(), super::files::PUBLIC).map_err(|e| {
        let is_there = e.kind() == std::io::ErrorKind::AlreadyExists;
        let kind = super::files::fault_of_writing(&e);
        let error =
            CommandError::new(kind, format!("cannot write {}", path.display())).caused_by(e);
        match is_there {
            true => error.hint("name another file with --exchange FILE, or move that one away"),
            false => error,
        }
    })?;
    let next = match args.template {
        Template::TwoWay | Template::Hub => {
            "make each party's keys with `consign keys new PARTY`, then `consign plan`"
        }
        Template::Inbox => "`consign plan`",
    };
    terminal.say(&format!("Wrote {}.\nNext: {next}.", path.display()));
    terminal.result(&serde_json::json!({ "written": path }), &path.display().to_string())
}

fn two_way(args: &InitArgs, settings: &Settings) -> Result<TwoWay, CommandError> {
    let given: Vec<&str> = match args.parties.len() {
        0 => TWO_PARTIES.to_vec(),
        2 => args.parties.iter().map(String::as_str).collect(),
        n => {
            return Err(CommandError::usage(format!(
                "a two-way exchange has two parties, not {n}"
            ))
            .hint("give --party NAME=ACCOUNT twice"));
        }
    };
    let parties = given.iter().map(|text| party(text)).collect::<Result<Vec<_>, _>>()?;
    let [first, second] = <[_; 2]>::try_from(parties)
        .map_err(|_| CommandError::usage("a two-way exchange has two parties"))?;
    let name = args.name.clone().unwrap_or_else(|| format!("{}-{}", first.name, second.name));
    Ok(TwoWay {
        exchange: ExchangeName::parse(&name)?,
        region: region(settings)?,
        parties: [first, second],
    })
}

fn hub(args: &InitArgs, settings: &Settings) -> Result<Hub, CommandError> {
    let given: Vec<&str> = match args.parties.len() {
        0 => HUB_PARTIES.to_vec(),
        1 => {
            return Err(CommandError::usage("a hub has one partner at least")
                .hint("give --party NAME=ACCOUNT for the hub, then for each partner"));
        }
        _ => args.parties.iter().map(String::as_str).collect(),
    };
    let mut parties = given.iter().map(|text| party(text)).collect::<Result<Vec<_>, _>>()?;
    let hub = parties.remove(0);
    let name = args.name.clone().unwrap_or_else(|| hub.name.to_string());
    Ok(Hub {
        exchange: ExchangeName::parse(&name)?,
        region: region(settings)?,
        hub,
        partners: parties,
    })
}

fn inbox(args: &InitArgs, settings: &Settings) -> Result<SecureInbox, CommandError> {
    let given: Vec<&str> = match args.parties.len() {
        0 => INBOX_PARTIES.to_vec(),
        3 => args.parties.iter().map(String::as_str).collect(),
        n => {
            return Err(CommandError::usage(format!("a secure inbox has three parties, not {n}"))
                .hint(
                    "give --party NAME=ACCOUNT for the generator, the publisher and the consumer",
                ));
        }
    };
    let parties = given.iter().map(|text| party(text)).collect::<Result<Vec<_>, _>>()?;
    let [generator, publisher, consumer] = <[_; 3]>::try_from(parties)
        .map_err(|_| CommandError::usage("a secure inbox has three parties"))?;
    let default = || format!("{}-{}", publisher.name, consumer.name);
    let name = args.name.clone().unwrap_or_else(default);
    Ok(SecureInbox {
        exchange: ExchangeName::parse(&name)?,
        region: region(settings)?,
        generator,
        publisher,
        consumer,
    })
}

fn region(settings: &Settings) -> Result<Region, CommandError> {
    Ok(Region::parse(settings.region.as_deref().unwrap_or("eu-west-1"))?)
}

fn party(text: &str) -> Result<TemplateParty, CommandError> {
    let (name, account) = text.split_once('=').ok_or_else(|| {
        CommandError::usage(format!("--party {text} does not say which account"))
            .hint("for example --party acme=111111111111")
    })?;
    Ok(TemplateParty::new(name, account)?)
}
