//! `consign seal`: single files, without any exchange. What is sealed for age is here; `openpgp.rs` and
//! `object.rs` are the other formats.

mod object;
mod openpgp;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use consign_model::PartyName;
use consign_seal::age::{
    ArmorWriter, FileKey, PluginRecipient, Recipient, Sealer, parse_recipients,
};

use super::files;
use super::interrupt::{self, Flag, Stoppable};
use super::object_address::ObjectAddress;
use super::passphrase::Passphrases;
use super::plugin;
use super::sealed_stream;
use super::whole_file::WholeFile;
use crate::args::SealArgs;
use crate::error::{CommandError, Kind};
use crate::settings::{Settings, today};
use crate::terminal::{Terminal, bytes};

/// Seals each file for the same recipients.
pub(crate) async fn run(
    args: &SealArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    if args.files.len() > 1 && args.output.is_some() {
        return Err(CommandError::usage("-o names one file, and there are several to seal"));
    }
    let stop = interrupt::flag();
    let sealed = sealed(args, settings, terminal, &stop).await;
    stop.explain(sealed)
}

async fn sealed(
    args: &SealArgs,
    settings: &Settings,
    terminal: &Terminal,
    stop: &Flag,
) -> Result<(), CommandError> {
    let target = args.output.as_deref().unwrap_or(Path::new("-"));
    let mut done = Vec::new();
    let mut stdout_is_free = true;
    if let Some(address) = ObjectAddress::unless_file(target.as_os_str())? {
        done.push(object::seal(args, &address, settings).await?);
    } else {
        object::refuse_idle_flags(args)?;
        let means = Means::find(args, settings)?;
        for file in &args.files {
            let output = output(args, file, means.ending(args.armor))?;
            stdout_is_free &= !output.is_stdout();
            done.push(match &means {
                Means::Age(recipients) => seal(args, file, output, recipients, stop)?,
                Means::OpenPgp(means) => openpgp::seal(args, file, output, means, stop)?,
            });
        }
    }
    let text = |one: &serde_json::Value| {
        let length = bytes(one["bytes"].as_u64().unwrap_or_default());
        format!("sealed {} ({length}) as {}", show(&one["file"]), show(&one["sealed"]))
    };
    let lines: Vec<String> = done.iter().map(text).collect();
    match stdout_is_free {
        true => terminal.result(&done, &lines.join("\n")),
        false => Ok(()),
    }
}

/// For whom, and so in which format.
enum Means {
    Age(Vec<Recipient>),
    OpenPgp(Box<openpgp::Means>),
}

impl Means {
    fn find(args: &SealArgs, settings: &Settings) -> Result<Means, CommandError> {
        match args.pgp.is_empty() {
            true => recipients(args, settings).map(Means::Age),
            false => Ok(Means::OpenPgp(Box::new(openpgp::Means::read(args)?))),
        }
    }

    fn ending(&self, armor: bool) -> &'static str {
        match (self, armor) {
            (Means::Age(_), _) => ".age",
            (Means::OpenPgp(_), false) => ".gpg",
            (Means::OpenPgp(_), true) => ".asc",
        }
    }
}

fn show(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn seal(
    args: &SealArgs,
    file: &Path,
    mut output: WholeFile,
    recipients: &[Recipient],
    stop: &Flag,
) -> Result<serde_json::Value, CommandError> {
    let mut input = input(file, stop)?;
    let sealer = sealer(recipients)?;
    let total = if args.armor {
        let broken = |e| CommandError::failed("cannot write the output").caused_by(e);
        let mut armor = ArmorWriter::new(std::io::BufWriter::new(&mut output)).map_err(broken)?;
        let total = sealed_stream::seal(&mut input, &mut armor, &sealer, stop)?;
        let mut buffered = armor.finish().map_err(broken)?;
        std::io::Write::flush(&mut buffered).map_err(broken)?;
        total
    } else {
        sealed_stream::seal(&mut input, &mut output, &sealer, stop)?
    };
    let path = name_of(&output);
    output.finish()?;
    Ok(serde_json::json!({
        "file": file.display().to_string(),
        "sealed": path,
        "bytes": total,
        "recipients": recipients.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn name_of(output: &WholeFile) -> String {
    match output {
        WholeFile::Pending { path, .. } => path.display().to_string(),
        WholeFile::Stdout(_) => "-".to_owned(),
    }
}

/// What seals one file: a fresh key, wrapped here for the kinds that are known and by their programs
/// for plugins.
fn sealer(recipients: &[Recipient]) -> Result<Sealer, CommandError> {
    let mut own = Vec::new();
    let mut plugins: BTreeMap<&str, Vec<&PluginRecipient>> = BTreeMap::new();
    for recipient in recipients {
        match recipient {
            Recipient::Plugin(plugin) => plugins.entry(plugin.name()).or_default().push(plugin),
            other => own.push(other.clone()),
        }
    }
    let alone =
        own.iter().any(|one| matches!(one, Recipient::Passphrase(_)) || one.is_post_quantum());
    if alone && recipients.iter().any(is_classic_plugin) {
        return Err(CommandError::usage(
            "recipients of plugins cannot stand beside a passphrase or post-quantum recipients",
        ));
    }
    let file_key = FileKey::generate()?;
    let mut stanzas = Vec::new();
    for (name, recipients) in plugins {
        stanzas.extend(plugin::wrap(name, &recipients, &file_key)?);
    }
    Ok(Sealer::with_stanzas(&file_key, &own, &stanzas)?)
}

fn is_classic_plugin(recipient: &Recipient) -> bool {
    matches!(recipient, Recipient::Plugin(_)) && !recipient.is_post_quantum()
}

fn input(file: &Path, stop: &Flag) -> Result<Box<dyn Read>, CommandError> {
    if file == Path::new("-") {
        return Ok(Box::new(Stoppable::start(|| Ok(std::io::stdin()), stop)));
    }
    let cannot = |e: std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Usage,
        };
        CommandError::new(kind, format!("cannot read {}", file.display())).caused_by(e)
    };
    // Before it is opened: a pipe does not open before somebody writes.
    let kind = std::fs::metadata(file).map_err(cannot)?;
    if kind.is_dir() {
        return Err(CommandError::usage(format!("{} is a folder", file.display()))
            .hint("tar c FOLDER | consign seal - -o FOLDER.tar.age"));
    }
    if !kind.is_file() {
        let path = file.to_path_buf();
        return Ok(Box::new(Stoppable::start(move || std::fs::File::open(path), stop)));
    }
    Ok(Box::new(std::fs::File::open(file).map_err(cannot)?))
}

fn output(args: &SealArgs, file: &Path, ending: &str) -> Result<WholeFile, CommandError> {
    match &args.output {
        Some(path) => WholeFile::create(path, args.force),
        None if file == Path::new("-") => WholeFile::piped(),
        None => {
            let mut name = file.as_os_str().to_owned();
            name.push(ending);
            WholeFile::create(&PathBuf::from(name), args.force)
        }
    }
}

/// Everybody who is to open it: keys, parties, files of keys, or a passphrase.
fn recipients(args: &SealArgs, settings: &Settings) -> Result<Vec<Recipient>, CommandError> {
    let mut recipients = Vec::new();
    for text in &args.to {
        match text.starts_with("age1") || text.starts_with("AGE-") || text.contains(' ') {
            true => recipients.push(Recipient::parse(text)?),
            false => recipients.extend(of_party(text, settings)?),
        }
    }
    for path in &args.recipients_file {
        let about = || format!("the recipients file {}", path.display());
        let text = files::read_text(path)
            .map_err(|e| CommandError::usage(format!("cannot read {}", about())).caused_by(e))?;
        let read = parse_recipients(&text).map_err(|e| CommandError::from(e).within(about()))?;
        recipients.extend(read);
    }
    if args.passphrase || args.passphrase_file.is_some() {
        let words =
            Passphrases::from(args.passphrase_file.as_deref()).new_one("the sealed file")?;
        recipients.push(Recipient::Passphrase(words));
    }
    if recipients.is_empty() {
        return Err(CommandError::usage("it is not said who can open it")
            .hint("--to age1…, --to PARTY, --recipients-file FILE, --passphrase or --pgp FILE"));
    }
    Ok(recipients)
}

/// The keys of a party that are still in use.
fn of_party(text: &str, settings: &Settings) -> Result<Vec<Recipient>, CommandError> {
    let name = PartyName::parse(text).map_err(|_| {
        CommandError::usage(format!("--to {text} is neither a recipient nor a party"))
            .hint("a recipient begins with `age1` or `ssh-`")
    })?;
    let exchange = settings.exchange()?;
    let party = exchange.party(&name).ok_or_else(|| {
        let file = settings.exchange_file.display();
        CommandError::usage(format!("{file} declares no party `{name}`"))
    })?;
    let live = party.recipients.iter().filter(|key| key.is_live(today()));
    let recipients: Vec<Recipient> =
        live.map(|key| Recipient::parse(&key.key)).collect::<Result<_, _>>()?;
    match recipients.is_empty() {
        true => Err(CommandError::usage(format!("party {name} has no recipient in use"))),
        false => Ok(recipients),
    }
}
