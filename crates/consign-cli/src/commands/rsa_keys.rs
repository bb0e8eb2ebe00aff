//! RSA keys in the key folder, for lanes with `keyring = "rsa"`: `KEYS/PARTY.rsa-secret`, in PEM as
//! `openssl genpkey` writes it, mode 0600.

use std::path::Path;

use consign::Keys;
use consign_model::PartyName;
use consign_seal::s3ec::RsaPrivateKey;

use super::{files, keys};
use crate::error::CommandError;

const ENDING: &str = "rsa-secret";
/// A file that is larger holds no RSA key.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Reads the party's key, if it has one.
pub(crate) fn read_into(
    keys_dir: &Path,
    party: &PartyName,
    keys: &mut Keys,
) -> Result<(), CommandError> {
    let path = keys_dir.join(format!("{party}.{ENDING}"));
    if !keys::check_private(&path)? {
        return Ok(());
    }
    let cannot = |e| CommandError::usage(format!("cannot read {}", path.display())).caused_by(e);
    if std::fs::metadata(&path).map_err(cannot)?.len() > FILE_BYTES_MAX {
        return Err(CommandError::usage(format!("{} is too large for a key", path.display())));
    }
    let text = files::read_text(&path).map_err(cannot)?;
    let key = RsaPrivateKey::from_pem(&text)
        .map_err(|error| CommandError::from(error).within(path.display().to_string()))?;
    keys.rsa_private.push(key);
    Ok(())
}
