//! `consign open`: says what a sealed thing is and who can open it, and opens it with whatever key
//! is at hand. Works without any exchange.

use std::io::Read;

use consign_seal::age::SealedFile;
use consign_seal::sniff::Format;

use super::interrupt::{self, Flag};
use super::keyring::Keyring;
use super::passphrase::Passphrases;
use super::sealed_source::SealedSource;
use super::sealed_stream;
use super::whole_file::WholeFile;
use crate::args::OpenArgs;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape};

/// Opens, or with `--inspect` only looks.
pub(crate) async fn run(
    args: &OpenArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let stop = interrupt::flag();
    let source = SealedSource::find(&args.what, settings, &stop).await?;
    match source.format {
        Format::Age { .. } => age(args, source, settings, terminal, &stop),
        _ if args.inspect => inspect_other(&source, terminal),
        _ => Err(not_opened(&source)),
    }
}

fn age(
    args: &OpenArgs,
    source: SealedSource,
    settings: &Settings,
    terminal: &Terminal,
    stop: &Flag,
) -> Result<(), CommandError> {
    let SealedSource { name, format, bytes: length, reader, .. } = source;
    let within = |error: CommandError| error.within(escape(&name));
    let file = SealedFile::read(reader).map_err(|e| within(e.into()))?;
    let passphrases = Passphrases::from(args.passphrase_file.as_deref());
    let keyring = Keyring::new(&args.identity, file.header(), settings, passphrases);
    if args.inspect {
        return inspect(&name, format, length, &file, &keyring, terminal);
    }
    let output = match &args.output {
        Some(path) => WholeFile::create(path, args.force)?,
        None => WholeFile::piped()?,
    };
    let (file_key, _) = keyring.find(file.header()).map_err(within)?;
    let (opener, mut sealed) = file.into_parts(&file_key).map_err(|e| within(e.into()))?;
    write(&mut sealed, output, |sealed, output| {
        sealed_stream::open(sealed, output, &opener, stop).map_err(within)
    })
    .and_then(|written| said(args, &name, written, terminal))
}

/// The final name comes only after the last byte.
fn write<R: Read>(
    sealed: &mut R,
    mut output: WholeFile,
    open: impl FnOnce(&mut R, &mut WholeFile) -> Result<u64, CommandError>,
) -> Result<u64, CommandError> {
    let written = open(sealed, &mut output)?;
    output.finish()?;
    Ok(written)
}

fn said(
    args: &OpenArgs,
    name: &str,
    written: u64,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let Some(path) = args.output.as_ref().filter(|path| path.as_os_str() != "-") else {
        return Ok(());
    };
    let view = serde_json::json!({
        "sealed": name,
        "file": path.display().to_string(),
        "bytes": written,
    });
    let text = format!("opened {} as {} ({})", escape(name), path.display(), bytes(written));
    terminal.result(&view, &text)
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

fn inspect_other(source: &SealedSource, terminal: &Terminal) -> Result<(), CommandError> {
    if source.format == Format::Unknown {
        return Err(not_opened(source));
    }
    let view = serde_json::json!({
        "sealed": source.name,
        "format": source.format.name(),
        "sealed_bytes": source.bytes,
        "metadata": source.metadata.keys().collect::<Vec<_>>(),
    });
    terminal.result(&view, &format!("{}: {}", escape(&source.name), source.format.name()))
}

/// What it is, and what opens it instead.
fn not_opened(source: &SealedSource) -> CommandError {
    let name = escape(&source.name);
    match source.format {
        Format::OpenPgp { .. } => {
            CommandError::usage(format!("{name} is an OpenPGP message, which is not opened yet"))
                .hint("gpg --decrypt FILE")
        }
        Format::S3Encryption { version } => CommandError::usage(format!(
            "{name} is an object of the Amazon S3 Encryption Client (V{version}), which is not \
             opened yet"
        ))
        .hint("open it with that client, and the KMS key that its metadata names"),
        _ => CommandError::new(
            Kind::Integrity,
            format!("{name} is in no sealed format that is known here"),
        )
        .hint("known are age, OpenPGP and the Amazon S3 Encryption Client"),
    }
}
