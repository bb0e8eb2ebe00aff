//! `consign keys`: makes a party's private keys, in the formats of age and OpenSSH, and writes their
//! public parts into the exchange file.

use std::path::{Path, PathBuf};

use consign::Keys;
use consign_model::{Exchange, LaneName, PartyName, PublicKey};
use consign_seal::{age, sshsig};
use toml_edit::{Array, DocumentMut};

use super::{files, openpgp_keys};
use crate::args::KeysNewArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::{Terminal, escape, table};

/// Ending of the age identity file that opens what is sent to the party.
const IDENTITY: &str = "identity";
/// Ending of the OpenSSH private key that signs what the party sends.
const SIGNER: &str = "signer";

/// What kind of key opens what is sent to a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// X25519, which every `age` knows.
    Classic,
    /// ML-KEM-768 and X25519.
    PostQuantum,
}

/// The public parts, as the exchange file holds them.
#[derive(serde::Serialize)]
pub(crate) struct PublicKeys {
    pub(crate) party: String,
    pub(crate) recipient: String,
    pub(crate) signer: String,
}

/// Makes the keys of one party.
pub(crate) fn new(
    args: &KeysNewArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let party = match (&args.whose, &settings.party) {
        (Some(name), _) => PartyName::parse(name)?,
        (None, Some(party)) => party.clone(),
        (None, None) => {
            return Err(CommandError::usage("it is not said whose keys to make")
                .hint("consign keys new PARTY"));
        }
    };
    let kind = match (args.post_quantum, args.classic) {
        (true, _) => Kind::PostQuantum,
        (_, true) => Kind::Classic,
        _ => fitting(settings, &party, terminal)?,
    };
    let public = if !args.print && settings.exchange_file.exists() {
        let public = make_and_add(settings, &party, kind)?;
        terminal.say(&format!("Added the public keys to {}.", settings.exchange_file.display()));
        public
    } else {
        make(&settings.keys_dir, &party, kind)?
    };
    terminal.say(&format!(
        "The private keys are in {}; keep a copy where you keep your most important secrets: \
         what is sealed to {party} cannot be opened without them.",
        settings.keys_dir.display()
    ));
    terminal.result(
        &public,
        &format!("recipients = [\"{}\"]\nsigners = [\"{}\"]", public.recipient, public.signer),
    )
}

/// Lists the public parts of the keys in the key folder.
pub(crate) fn list(settings: &Settings, terminal: &Terminal) -> Result<(), CommandError> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(&settings.keys_dir) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    for path in entries {
        if path.extension().is_some_and(|ending| ending == IDENTITY)
            && let Some(party) = path.file_stem().and_then(|stem| stem.to_str())
        {
            found.push(public_keys(&settings.keys_dir, &PartyName::parse(party)?)?);
        }
    }
    found.sort_by(|a, b| a.party.cmp(&b.party));
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|keys| vec![keys.party.clone(), keys.recipient.clone(), keys.signer.clone()])
        .collect();
    terminal.result(&found, &table(&["PARTY", "RECIPIENT", "SIGNER"], &rows))
}

/// Post-quantum, unless somebody could not use it (docs/decisions/0011): another receiver of a lane
/// has a key that is not, beside which it cannot stand; or the `age` of this machine, which is to
/// open everything without us, is older than those keys.
fn fitting(
    settings: &Settings,
    party: &PartyName,
    terminal: &Terminal,
) -> Result<Kind, CommandError> {
    let exchange = settings.exchange_file.exists().then(|| settings.exchange()).transpose()?;
    let classic = exchange.as_ref().and_then(|exchange| classic_receiver(exchange, party));
    let reason = match (classic, old_age()) {
        (Some((lane, other)), _) => {
            format!("lane {lane} also goes to {other}, whose key is not post-quantum")
        }
        (None, Some(version)) => {
            format!("the age on this machine is {version}; post-quantum keys need 1.3")
        }
        (None, None) => return Ok(Kind::PostQuantum),
    };
    terminal.say(&format!(
        "Making an X25519 key: {}. `--post-quantum` makes the other kind.",
        escape(&reason)
    ));
    Ok(Kind::Classic)
}

/// A lane to this party and another one, and that one, if a key of his is not post-quantum.
fn classic_receiver<'a>(
    exchange: &'a Exchange,
    party: &PartyName,
) -> Option<(&'a LaneName, &'a PartyName)> {
    let lanes = exchange.lanes.iter().filter(|(_, lane)| lane.to.contains(party));
    lanes.flat_map(|(name, lane)| lane.to.iter().map(move |to| (name, to))).find(|(_, other)| {
        let keys = exchange.party(other).map(|other| other.recipients.as_slice());
        let is_classic = |key: &PublicKey| !key.key.starts_with("age1pq1");
        *other != party && keys.unwrap_or_default().iter().any(is_classic)
    })
}

/// The version of the `age` on PATH, if there is one and it is not known to be 1.3 or later.
fn old_age() -> Option<String> {
    let output = std::process::Command::new("age").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!knows_post_quantum(&version)).then_some(version)
}

fn knows_post_quantum(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (1, 3),
        _ => false,
    }
}

/// Makes a party's keys and writes their public parts into the exchange file.
pub(crate) fn make_and_add(
    settings: &Settings,
    party: &PartyName,
    kind: Kind,
) -> Result<PublicKeys, CommandError> {
    let mut document = editable(settings, party)?;
    let public = make(&settings.keys_dir, party, kind)?;
    add_public(&mut document, &public)?;
    files::replace(&settings.exchange_file, document.to_string().as_bytes()).map_err(|e| {
        CommandError::failed(format!("cannot change {}", settings.exchange_file.display()))
            .caused_by(e)
    })?;
    Ok(public)
}

/// Makes both private key files of a party; neither may exist. On failure nothing is left behind.
fn make(keys_dir: &Path, party: &PartyName, kind: Kind) -> Result<PublicKeys, CommandError> {
    files::private_dir(keys_dir).map_err(|e| {
        let what = format!("cannot make the key folder {}", keys_dir.display());
        CommandError::new(files::fault_of_writing(&e), what)
            .caused_by(e)
            .hint("name another folder with --keys DIR")
    })?;
    let identity = match kind {
        Kind::Classic => age::Identity::generate()?,
        Kind::PostQuantum => age::Identity::generate_post_quantum()?,
    };
    let signer = sshsig::SigningKey::generate()?;
    let recipient = identity.to_recipient().to_string();
    let signer_line = signer.public_line("");
    let comment = format!("{party} (consign)");
    let identity_text = format!("# public key: {recipient}\n{}\n", &*identity.secret_text());
    let signer_text = signer.to_openssh_private(&comment);
    let identity_path = file(keys_dir, party, IDENTITY);
    let signer_path = file(keys_dir, party, SIGNER);
    write_key(&identity_path, identity_text.as_bytes(), files::SECRET)?;
    let rest = write_key(&signer_path, signer_text.as_bytes(), files::SECRET).and_then(|()| {
        let public_path = file(keys_dir, party, "signer.pub");
        let line = format!("{} {comment}\n", signer_line.trim());
        write_key(&public_path, line.as_bytes(), files::PUBLIC).inspect_err(|_| {
            let _removed = std::fs::remove_file(&signer_path);
        })
    });
    if let Err(error) = rest {
        let _removed = std::fs::remove_file(&identity_path);
        return Err(error);
    }
    Ok(PublicKeys { party: party.to_string(), recipient, signer: signer_line.trim().to_owned() })
}

/// Reads a party's private keys; a missing signing key matters only to `send`.
pub(crate) fn read(keys_dir: &Path, party: &PartyName) -> Result<Keys, CommandError> {
    let path = file(keys_dir, party, IDENTITY);
    let identities = match read_secret(&path)? {
        Some(text) => age::parse_identity_file(&text).map_err(|e| {
            CommandError::usage(format!("{} is not an age identity file", path.display()))
                .caused_by(e)
        })?,
        None => Vec::new(),
    };
    let path = file(keys_dir, party, SIGNER);
    let signer = match read_secret(&path)? {
        Some(text) => Some(sshsig::SigningKey::from_openssh(&text).map_err(|e| {
            CommandError::usage(format!("{} is not an OpenSSH private key", path.display()))
                .caused_by(e)
        })?),
        None => None,
    };
    if identities.is_empty() && signer.is_none() && !openpgp_keys::exist(keys_dir, party) {
        return Err(CommandError::usage(format!(
            "there are no private keys of {party} in {}",
            keys_dir.display()
        ))
        .hint(format!("consign keys new {party}"))
        .hint("or name the folder that holds them with --keys DIR"));
    }
    Ok(Keys { identities, signer, ..Keys::default() })
}

/// Whether a party has private keys in the folder.
pub(crate) fn exist(keys_dir: &Path, party: &PartyName) -> bool {
    [IDENTITY, SIGNER].iter().any(|ending| file(keys_dir, party, ending).exists())
}

fn public_keys(keys_dir: &Path, party: &PartyName) -> Result<PublicKeys, CommandError> {
    let keys = read(keys_dir, party)?;
    Ok(PublicKeys {
        party: party.to_string(),
        recipient: keys
            .identities
            .first()
            .map(|identity| identity.to_recipient().to_string())
            .unwrap_or_default(),
        signer: keys
            .signer
            .map(|signer| signer.public_line("").trim().to_owned())
            .unwrap_or_default(),
    })
}

fn file(keys_dir: &Path, party: &PartyName, ending: &str) -> PathBuf {
    keys_dir.join(format!("{party}.{ending}"))
}

fn write_key(path: &Path, content: &[u8], mode: u32) -> Result<(), CommandError> {
    files::write_new(path, content, mode).map_err(|e| {
        let exists = e.kind() == std::io::ErrorKind::AlreadyExists;
        let error = CommandError::new(
            files::fault_of_writing(&e),
            format!("cannot write the key {}", path.display()),
        )
        .caused_by(e);
        if exists {
            error.hint("a key is never replaced; name another folder with --keys DIR")
        } else {
            error
        }
    })
}

/// Reads a secret file, refusing one that others can read.
pub(crate) fn read_secret(path: &Path) -> Result<Option<zeroize::Zeroizing<String>>, CommandError> {
    let fault = |e: std::io::Error| {
        CommandError::usage(format!("cannot read the key {}", path.display())).caused_by(e)
    };
    if !check_private(path)? {
        return Ok(None);
    }
    files::read_text(path).map(Some).map_err(fault)
}

/// Whether a secret file is there; one that others can read is refused.
pub(crate) fn check_private(path: &Path) -> Result<bool, CommandError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => {
            let message = format!("cannot read the key {}", path.display());
            return Err(CommandError::usage(message).caused_by(e));
        }
    };
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(true);
    }
    Err(CommandError::usage(format!("the private key {} can be read by others", path.display()))
        .hint(format!("chmod 600 {}", path.display())))
}

/// The exchange file as a document to edit, checked to declare the party.
fn editable(settings: &Settings, party: &PartyName) -> Result<DocumentMut, CommandError> {
    let path = &settings.exchange_file;
    let exchange = settings.exchange()?;
    if exchange.party(party).is_none() {
        return Err(CommandError::usage(format!("{} declares no party `{party}`", path.display()))
            .hint("add it there, or use --print to make keys without an exchange file"));
    }
    let text = files::read_text(path)
        .map_err(|e| CommandError::usage(format!("cannot read {}", path.display())).caused_by(e))?;
    text.parse::<DocumentMut>()
        .map_err(|e| CommandError::usage(format!("{} is faulty", path.display())).caused_by(e))
}

fn add_public(document: &mut DocumentMut, public: &PublicKeys) -> Result<(), CommandError> {
    let shape = || CommandError::usage(format!("[party.{}] is not a table", public.party));
    let party = document
        .get_mut("party")
        .and_then(|parties| parties.get_mut(&public.party))
        .and_then(|party| party.as_table_like_mut())
        .ok_or_else(shape)?;
    for (field, value) in [("recipients", &public.recipient), ("signers", &public.signer)] {
        party
            .entry(field)
            .or_insert(toml_edit::value(Array::new()))
            .as_array_mut()
            .ok_or_else(|| {
                CommandError::usage(format!("`{field}` of party {} is not a list", public.party))
            })?
            .push(value.as_str());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_age_are_compared() {
        for (version, knows) in [
            ("1.1.1", false),
            ("v1.2.1", false),
            ("1.3.0", true),
            ("v1.3.1", true),
            ("v1.10.0-rc.1", true),
            ("2.0", true),
            ("(unknown)", false),
            ("", false),
        ] {
            assert_eq!(knows_post_quantum(version), knows, "{version}");
        }
    }
}
