//! age: opened chunk by chunk, each authentic before it is written.

use std::io::Read;

use consign_seal::age::SealedFile;
use consign_seal::sniff::Format;

use super::source::SealedSource;
use super::{output, said};
use crate::args::OpenArgs;
use crate::commands::interrupt::Flag;
use crate::commands::keyring::Keyring;
use crate::commands::passphrase::Passphrases;
use crate::commands::sealed_stream;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape};

pub(super) fn open(
    args: &OpenArgs,
    source: SealedSource,
    settings: &Settings,
    terminal: &Terminal,
    stop: &Flag,
) -> Result<(), CommandError> {
    let (name, format, length) = (source.name.clone(), source.format, source.bytes);
    let file = SealedFile::read(source.into_reader()?)?;
    let passphrases = Passphrases::from(args.passphrase_file.as_deref());
    let keyring = Keyring::new(&args.identity, file.header(), settings, passphrases);
    if args.inspect {
        return inspect(&name, format, length, &file, &keyring, terminal);
    }
    let mut output = output(args)?;
    let (file_key, _) = keyring.find(file.header())?;
    let (opener, mut sealed) = file.into_parts(&file_key)?;
    let written = sealed_stream::open(&mut sealed, &mut output, &opener, stop)?;
    output.finish()?;
    said(&name, args.output.as_deref(), written, &serde_json::Value::Null, terminal)
}

fn inspect<R: Read>(
    name: &str,
    format: Format,
    length: Option<u64>,
    file: &SealedFile<R>,
    keyring: &Keyring,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let header = file.header();
    let recipients: Vec<_> = header
        .recipient_types()
        .map(|(kind, count)| serde_json::json!({ "type": kind, "count": count }))
        .collect();
    let post_quantum = header.recipient_types().all(|(name, _)| name.starts_with("mlkem768"));
    let opens_with = keyring.find_quietly(header)?;
    let view = serde_json::json!({
        "sealed": name,
        "format": format.name(),
        "armored": format == Format::Age { armored: true },
        "sealed_bytes": length,
        "recipients": recipients,
        "passphrase": header.is_for_passphrase(),
        "post_quantum": post_quantum,
        "opens_with": opens_with,
    });
    let list: Vec<String> =
        header.recipient_types().map(|(kind, count)| format!("{count} × {kind}")).collect();
    let mut text = format!("{}: {}", escape(name), format.name());
    if let Some(length) = length {
        text.push_str(&format!(", {}", bytes(length)));
    }
    text.push_str(&format!("\nsealed for {}", escape(&list.join(", "))));
    if post_quantum {
        text.push_str(" (post-quantum)");
    }
    text.push_str(&match (opens_with, header.is_for_passphrase()) {
        (_, true) => "\nopens with its passphrase".to_owned(),
        (Some(key), _) => format!("\nopens with {key}"),
        (None, _) => "\nno unprotected key at hand opens it".to_owned(),
    });
    terminal.result(&view, &text)
}
