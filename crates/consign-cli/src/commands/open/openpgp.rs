//! OpenPGP: messages of `gpg`, `sq` and others, for secret keys in files or under a passphrase.
//!
//! That somebody has signed is known when the last byte is. A file waits for that by itself; before a pipe
//! gets anything, everything is read once for the signature and then again, from a private copy.

use std::io::{Seek, sink};

use consign_seal::openpgp::{
    self, Certificate, Description, Fit, OpenOptions, OpenReader, OpenWith, SecretKey,
};
use zeroize::Zeroizing;

use super::source::{SealedSource, beginning, cannot_spool, copy, private_copy};
use super::{output, said};
use crate::args::OpenArgs;
use crate::commands::interrupt::Flag;
use crate::commands::openpgp_keys;
use crate::commands::passphrase::Passphrases;
use crate::error::CommandError;
use crate::office::now_ms;
use crate::settings::Settings;
use crate::terminal::{Terminal, bytes, escape};

/// Recipients come first; this holds thousands.
const START_BYTES: usize = 4 << 20;

pub(super) fn open(
    args: &OpenArgs,
    source: SealedSource,
    settings: &Settings,
    terminal: &Terminal,
    stop: &Flag,
) -> Result<(), CommandError> {
    let name = source.name.clone();
    let mut file = source.into_file(stop)?;
    let start = beginning(&mut file, START_BYTES).map_err(cannot_spool)?;
    let description = openpgp::describe(&start)?;
    let keys = secret_keys(args, settings)?;
    if args.inspect {
        let length = file.metadata().map_err(cannot_spool)?.len();
        return inspect(&name, length, &start, &description, &keys, terminal);
    }
    let signers = signers(args)?;
    let mut output = output(args)?;
    let passphrases = Passphrases::from(args.passphrase_file.as_deref());
    let means = Means::find(keys, &start, &description, &passphrases)?;
    let options = OpenOptions { allow_weak: args.legacy, ..OpenOptions::at(now_ms() / 1000) };
    if !signers.is_empty() && output.is_stdout() {
        file = private_copy(&mut file, stop)?;
        let mut reader = OpenReader::new(means.with(), &signers, &mut file, &options)?;
        copy(&mut reader, &mut sink(), stop, cannot_spool)?;
        drop(reader);
        file.rewind().map_err(cannot_spool)?;
    }
    let mut reader = OpenReader::new(means.with(), &signers, file, &options)?;
    let written = copy(&mut reader, &mut output, stop, |error| {
        CommandError::failed("cannot write the output").caused_by(error)
    })?;
    output.finish()?;
    let signed_by = reader.signed_by().map(str::to_owned);
    match &signed_by {
        Some(signer) => terminal.say(&format!("note: signed by {signer}")),
        None => terminal.say(
            "note: who sealed it was not checked; name his certificate with --signer FILE to do so",
        ),
    }
    let more = serde_json::json!({ "signed_by": signed_by, "signed_at": reader.signed_at() });
    said(&name, args.output.as_deref(), written, &more, terminal)
}

/// What opens one message.
struct Means {
    keys: Vec<SecretKey>,
    passphrase: Option<Zeroizing<String>>,
}

impl Means {
    /// A key that needs no passphrase, else one that does, else the passphrase of the message. With
    /// none of them, opening says for whom the message is.
    fn find(
        mut keys: Vec<SecretKey>,
        start: &[u8],
        description: &Description,
        passphrases: &Passphrases,
    ) -> Result<Means, CommandError> {
        let mut locked = None;
        for (at, key) in keys.iter().enumerate() {
            match openpgp::fit(start, key)? {
                Fit::Opens => return Ok(Means { keys, passphrase: None }),
                Fit::Locked => locked = locked.or(Some(at)),
                Fit::No => {}
            }
        }
        if let Some(key) = locked.and_then(|at| keys.get_mut(at)) {
            let what = format!("the OpenPGP key {}", key.fingerprint());
            key.unlock(&passphrases.existing_text(&what)?)?;
            return Ok(Means { keys, passphrase: None });
        }
        let passphrase = match description.passphrases {
            0 => None,
            _ => Some(passphrases.existing_text("the message")?),
        };
        Ok(Means { keys, passphrase })
    }

    fn with(&self) -> OpenWith<'_> {
        match &self.passphrase {
            Some(words) => OpenWith::passphrase(&self.keys, words),
            None => OpenWith::from(&self.keys),
        }
    }
}

/// The keys of the files that are named, else those in the key folder.
fn secret_keys(args: &OpenArgs, settings: &Settings) -> Result<Vec<SecretKey>, CommandError> {
    let files = match args.identity.as_slice() {
        [] => openpgp_keys::secret_files(&settings.keys_dir),
        named => named.to_vec(),
    };
    let mut keys = Vec::new();
    for file in files {
        keys.extend(openpgp_keys::read_secret(&file)?);
    }
    Ok(keys)
}

fn signers(args: &OpenArgs) -> Result<Vec<Certificate>, CommandError> {
    let mut signers = Vec::new();
    for file in &args.signer {
        signers.extend(openpgp_keys::read_certificates(file)?);
    }
    Ok(signers)
}

fn inspect(
    name: &str,
    length: u64,
    start: &[u8],
    description: &Description,
    keys: &[SecretKey],
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let fits = |wanted: Fit| {
        keys.iter()
            .find(|key| openpgp::fit(start, key).is_ok_and(|fit| fit == wanted))
            .map(SecretKey::fingerprint)
    };
    let (opens_with, locked) = (fits(Fit::Opens), fits(Fit::Locked));
    let mut view = described(name, "OpenPGP", length, description);
    if let Some(view) = view.as_object_mut() {
        view.insert("opens_with".to_owned(), serde_json::json!(opens_with));
        view.insert("opens_with_locked".to_owned(), serde_json::json!(locked));
    }
    let mut text = told(name, "OpenPGP", length, description);
    text.push_str(&match (opens_with, locked) {
        (Some(key), _) => format!("\nopens with {key}"),
        (None, Some(key)) => format!("\nopens with {key}, which needs its passphrase"),
        (None, None) if description.passphrases > 0 => "\nopens with its passphrase".to_owned(),
        (None, None) => "\nno key at hand opens it".to_owned(),
    });
    terminal.result(&view, &text)
}

/// What a message says in the clear, for programs.
pub(super) fn described(
    name: &str,
    format: &str,
    length: u64,
    description: &Description,
) -> serde_json::Value {
    let recipients: Vec<_> = description
        .recipients
        .iter()
        .map(|one| serde_json::json!({ "key": one.key, "algorithm": one.algorithm }))
        .collect();
    serde_json::json!({
        "sealed": name,
        "format": format,
        "sealed_bytes": length,
        "container": description.container,
        "cipher": description.cipher,
        "recipients": recipients,
        "passphrases": description.passphrases,
    })
}

/// The same, for people.
pub(super) fn told(name: &str, format: &str, length: u64, description: &Description) -> String {
    let mut list: Vec<String> = description
        .recipients
        .iter()
        .map(|one| {
            let key = one.key.as_deref().unwrap_or("somebody hidden");
            format!("{key} ({})", one.algorithm)
        })
        .collect();
    if description.passphrases > 0 {
        list.push("a passphrase".to_owned());
    }
    let cipher = description.cipher.as_ref().map(|cipher| format!(", {cipher}"));
    format!(
        "{}: {format}, {}{}, {}\nsealed for {}",
        escape(name),
        description.container,
        cipher.unwrap_or_default(),
        bytes(length),
        escape(&list.join(", "))
    )
}
