//! `consign open`: says what a sealed thing is and who can open it, and opens it with whatever key
//! is at hand. Works without any exchange.
//!
//! Here it is decided what the thing is; each format has a file of its own. All of them keep to two
//! rules. A file gets its name when all of it is authentic ([`WholeFile`]). A pipe gets no byte that is
//! not: where a format authenticates at its end, what is sealed is read twice.

mod age;
mod openpgp;
mod s3ec;
mod s3s2;
mod source;

use consign_seal::sniff::Format;

use super::interrupt::{self, Flag};
use super::whole_file::WholeFile;
use crate::args::OpenArgs;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape};
use source::SealedSource;
pub(crate) use source::copy;

/// Opens, or with `--inspect` only looks.
pub(crate) async fn run(
    args: &OpenArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let stop = interrupt::flag();
    let opened = opened(args, settings, terminal, &stop).await;
    stop.explain(opened)
}

async fn opened(
    args: &OpenArgs,
    settings: &Settings,
    terminal: &Terminal,
    stop: &Flag,
) -> Result<(), CommandError> {
    let source = SealedSource::find(&args.what, settings, stop).await?;
    let name = source.name.clone();
    let within = |error: CommandError| explained(error, args).within(escape(&name));
    let format = match source.format {
        // Taken out of its archive only if somebody says so: people seal archives with `gpg` too.
        Format::OpenPgp { .. } if args.into.is_some() => Format::S3s2,
        format => format,
    };
    refuse_idle_flags(args, format)?;
    match format {
        Format::Age { .. } => age::open(args, source, settings, terminal, stop),
        Format::OpenPgp { .. } => openpgp::open(args, source, settings, terminal, stop),
        Format::S3s2 => s3s2::open(args, source, settings, terminal, stop),
        Format::S3Encryption { .. } => s3ec::open(args, source, terminal).await,
        _ => Err(CommandError::from_seal_kind(
            consign_seal::ErrorKind::NotSealed,
            "it is in no sealed format that is known here",
        )
        .hint("known are age, OpenPGP, s3s2 and the Amazon S3 Encryption Client")),
    }
    .map_err(within)
}

/// A demand that the format cannot meet must not pass in silence.
fn refuse_idle_flags(args: &OpenArgs, format: Format) -> Result<(), CommandError> {
    let refuse = |flag: &str, why: &str| {
        Err(CommandError::usage(format!("{flag} {why}; this is {}", format.name())))
    };
    if !args.signer.is_empty() && !matches!(format, Format::OpenPgp { .. }) {
        return refuse("--signer", "is for OpenPGP: nothing else that is opened here is signed");
    }
    if !args.object_keys.context.is_empty() && !matches!(format, Format::S3Encryption { .. }) {
        return refuse("--context", "is for objects of the Amazon S3 Encryption Client");
    }
    let keys = &args.object_keys;
    let named = keys.kms.is_some() || keys.aes_key.is_some() || keys.rsa_key.is_some();
    if (named || args.instruction_suffix.is_some())
        && !matches!(format, Format::S3Encryption { .. })
    {
        return refuse(
            "--kms, --aes-key, --rsa-key and --instruction-suffix",
            "are for objects of the Amazon S3 Encryption Client",
        );
    }
    if args.into.is_some() && format != Format::S3s2 {
        return refuse("--into", "is for files of s3s2, which carry a name; say -o FILE");
    }
    Ok(())
}

/// What can be done about it here.
fn explained(error: CommandError, args: &OpenArgs) -> CommandError {
    match error.seal_kind() {
        Some(consign_seal::ErrorKind::Weak) if !args.legacy && error.hints().is_empty() => error.hint(
            "if you know where it comes from, open it with --legacy; ask for it in a safer form",
        ),
        _ => error,
    }
}

/// Where the content goes.
fn output(args: &OpenArgs) -> Result<WholeFile, CommandError> {
    match &args.output {
        Some(path) => WholeFile::create(path, args.force),
        None => WholeFile::piped(),
    }
}

/// Says what was done, unless standard output is taken.
fn said(
    name: &str,
    file: Option<&std::path::Path>,
    written: u64,
    more: &serde_json::Value,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let Some(path) = file.filter(|path| path.as_os_str() != "-") else { return Ok(()) };
    let mut view = serde_json::json!({
        "sealed": name,
        "file": path.display().to_string(),
        "bytes": written,
    });
    if let (Some(view), Some(more)) = (view.as_object_mut(), more.as_object()) {
        view.extend(more.clone());
    }
    let shown = escape(&path.display().to_string());
    let text = format!("opened {} as {shown} ({})", escape(name), bytes(written));
    terminal.result(&view, &text)
}

/// Ctrl-C or SIGTERM, while a request was under way.
fn interrupted() -> CommandError {
    CommandError::new(Kind::Interrupted, "interrupted")
}
