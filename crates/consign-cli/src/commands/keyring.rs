//! The identities at hand for opening a single file, and which of them opens it.
//!
//! Those that the person names, else the key folder, and for files sealed to SSH keys the two files
//! that `ssh` itself would try. Keys without protection come first, so that nobody is asked for a
//! passphrase that is not needed; plugins, which may ask for a touch, come last.

use std::path::{Path, PathBuf};

use consign_seal::ErrorKind;
use consign_seal::age::{FileKey, Header, Identity, parse_identities};

use super::files;
use super::passphrase::Passphrases;
use super::plugin;
use crate::error::CommandError;
use crate::settings::Settings;

/// Files of identities, in the order in which they are tried.
pub(crate) struct Keyring {
    files: Vec<PathBuf>,
    passphrases: Passphrases,
}

impl Keyring {
    /// The files that `named` lists, or those where keys are kept.
    pub(crate) fn new(
        named: &[PathBuf],
        header: &Header,
        settings: &Settings,
        passphrases: Passphrases,
    ) -> Keyring {
        let mut files = named.to_vec();
        if files.is_empty() {
            files = in_folder(&settings.keys_dir);
            if header.recipient_types().any(|(name, _)| name.starts_with("ssh-")) {
                let ssh = ["id_ed25519", "id_rsa"].map(|name| settings.ssh_dir.join(name));
                files.extend(ssh.into_iter().filter(|path| path.exists()));
            }
        }
        Keyring { files, passphrases }
    }

    /// The file key, authenticated, and the name of what found it.
    pub(crate) fn find(&self, header: &Header) -> Result<(FileKey, String), CommandError> {
        if header.is_for_passphrase() {
            let words = Identity::Passphrase(self.passphrases.existing("the file")?);
            return Ok((header.file_key(&[words])?, "a passphrase".to_owned()));
        }
        let mut tried = Vec::new();
        let mut protected = Vec::new();
        for path in &self.files {
            match read(path, None)? {
                Some(identities) => {
                    if let Some(found) = opens(header, &identities, path)? {
                        return Ok(found);
                    }
                    tried.extend(identities);
                }
                None => protected.push(path),
            }
        }
        for path in protected {
            let words = self.passphrases.existing(&path.display().to_string())?;
            let identities = read(path, Some(&words))?.unwrap_or_default();
            if let Some(found) = opens(header, &identities, path)? {
                return Ok(found);
            }
            tried.extend(identities);
        }
        for identity in &tried {
            if let Identity::Plugin(identity) = identity
                && let Some(file_key) = plugin::unwrap(identity, header)?
            {
                return Ok((file_key, format!("the plugin {}", identity.name())));
            }
        }
        // The header words the refusal, knowing how many keys were tried.
        let error = match header.file_key(&tried) {
            Ok(file_key) => return Ok((file_key, "a key at hand".to_owned())),
            Err(error) => CommandError::from(error),
        };
        Err(match self.files.is_empty() {
            true => error.hint("name the file of your identity with --identity FILE"),
            false => error,
        })
    }

    /// The same without asking anybody: `None` also where a passphrase would have to be said.
    pub(crate) fn find_quietly(&self, header: &Header) -> Result<Option<String>, CommandError> {
        if header.is_for_passphrase() && !self.passphrases.is_file() {
            return Ok(None);
        }
        for path in &self.files {
            if let Some(identities) = read(path, None)?
                && let Some((_, name)) = opens(header, &identities, path)?
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "identity"))
        .collect();
    files.sort();
    files
}

/// `None` for a file that is protected, if no passphrase is given.
fn read(
    path: &Path,
    passphrase: Option<&consign_seal::age::Passphrase>,
) -> Result<Option<Vec<Identity>>, CommandError> {
    let about = || format!("the identity file {}", path.display());
    let bytes = files::read(path)
        .map_err(|e| CommandError::usage(format!("cannot read {}", about())).caused_by(e))?;
    match parse_identities(&bytes, passphrase) {
        Ok(identities) => Ok(Some(identities)),
        Err(e) if e.kind() == ErrorKind::NeedsPassphrase && passphrase.is_none() => Ok(None),
        Err(e) => Err(CommandError::from(e).within(about())),
    }
}

fn opens(
    header: &Header,
    identities: &[Identity],
    path: &Path,
) -> Result<Option<(FileKey, String)>, CommandError> {
    match header.file_key(identities) {
        Ok(file_key) => Ok(Some((file_key, path.display().to_string()))),
        Err(error) => match error.kind() {
            ErrorKind::NotForYou | ErrorKind::NeedsPassphrase => Ok(None),
            _ => Err(error.into()),
        },
    }
}
