//! Where keys come from: a file, a parameter of Systems Manager, a secret of Secrets Manager, an
//! HTTPS address whose key is pinned by fingerprint.
//!
//! Start with [`KeySource::parse`], then [`KeySource::certificates`] or [`KeySource::secret_keys`]
//! for OpenPGP, [`KeySource::s3s2_key`] or [`KeySource::s3s2_secret_keys`] for s3s2, and for a party at
//! work [`KeySource::add_public`], [`KeySource::add_own`] and [`KeySource::add_signer`].
//! A source may always end in `#FINGERPRINT`: then exactly that key is taken, and everything else
//! there is refused or left aside. An HTTPS address must: TLS says which host answered, not whose
//! key it has (a host can be taken over, and a key exchanged, without anybody noticing).

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consign_cloud::Cloud;
use consign_seal::age::parse_identities;
use consign_seal::openpgp::{self, Certificate, SecretKey};
use consign_seal::s3s2;
use consign_seal::sshsig::SigningKey;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result, io};
use crate::office::Keys;

/// Far above any keyring; what an address gives beyond it is not read.
const BYTES_MAX: usize = 4 << 20;

/// A place that keys are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    place: Place,
    /// The fingerprint of the key to take from there.
    pin: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Parameter(String),
    Secret(String),
    Address(String),
}

impl KeySource {
    /// Reads `PATH`, `ssm:NAME`, `secretsmanager:NAME-OR-ARN` or `https://HOST/PATH`, each perhaps
    /// with `#FINGERPRINT` (40 or 64 hexadecimal digits), which an address must have.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for an address without a fingerprint or without TLS, and for
    /// an empty name.
    pub fn parse(text: &str) -> Result<KeySource> {
        let refused = |why: &str| {
            let shown = text.escape_debug();
            Error::new(ErrorKind::Configuration, format!("keys cannot come from `{shown}`: {why}"))
        };
        let (name, pin) = match text.rsplit_once('#') {
            Some((name, pin)) if is_fingerprint(pin) => (name, Some(pin.to_ascii_uppercase())),
            Some((_, pin)) if text.starts_with("https:") => {
                let why = format!("`{}` is not a fingerprint", pin.escape_debug());
                return Err(refused(&why).hinting(
                    "write the 40 (or 64) hexadecimal digits that `gpg --fingerprint` shows, without \
                     spaces: https://HOST/PATH#FINGERPRINT",
                ));
            }
            _ => (text, None),
        };
        let place = if let Some(name) = name.strip_prefix("ssm:") {
            Place::Parameter(name.to_owned())
        } else if let Some(name) = name.strip_prefix("secretsmanager:") {
            Place::Secret(name.to_owned())
        } else if name.starts_with("https:") {
            if pin.is_none() {
                return Err(refused("anybody who holds that host could exchange the key").hinting(
                    "ask the owner for the fingerprint by another way, and append it: \
                     https://HOST/PATH#FINGERPRINT",
                ));
            }
            Place::Address(name.to_owned())
        } else if name.starts_with("http:") {
            return Err(refused("the way there is not encrypted").hinting("use https://"));
        } else {
            Place::File(PathBuf::from(name))
        };
        let empty = match &place {
            Place::Parameter(name) | Place::Secret(name) | Place::Address(name) => name.is_empty(),
            Place::File(path) => path.as_os_str().is_empty(),
        };
        if empty {
            return Err(refused("it names nothing"));
        }
        Ok(KeySource { place, pin })
    }

    /// Whether this text names a place that is not a file, rightly or not: `ssm:…`,
    /// `secretsmanager:…`, `https:…` (or `http:…`, which is refused).
    #[must_use]
    pub fn is_elsewhere(text: &str) -> bool {
        ["ssm:", "secretsmanager:", "https:", "http:"].iter().any(|kind| text.starts_with(kind))
    }

    /// The same with a file's path taken from this folder, if it is relative.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> KeySource {
        let place = match self.place {
            Place::File(path) => Place::File(folder.join(path)),
            place => place,
        };
        KeySource { place, ..self }
    }

    /// Whether credentials are needed to read it.
    #[must_use]
    pub fn needs_cloud(&self) -> bool {
        !matches!(self.place, Place::File(_))
    }

    /// The certificates there; the pinned one alone, if one is pinned. `cloud` may be missing for
    /// files.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if there is no key, or none with the pinned fingerprint;
    /// [`ErrorKind::NotFound`], [`ErrorKind::Denied`], [`ErrorKind::Cloud`] from the service.
    pub async fn certificates(&self, cloud: Option<&Cloud>) -> Result<Vec<Certificate>> {
        let bytes = self.read(cloud).await?;
        let found = Certificate::parse(&bytes).map_err(|error| self.not_keys(error))?;
        match &self.pin {
            Some(pin) => {
                let one = openpgp::pinned(found, pin).map_err(|error| self.not_keys(error))?;
                Ok(vec![one])
            }
            None => Ok(found),
        }
    }

    /// The secret keys there; the pinned one alone, if one is pinned. Errors as
    /// [`KeySource::certificates`]. From an HTTPS address none are taken: whoever can read it has
    /// them too.
    pub async fn secret_keys(&self, cloud: Option<&Cloud>) -> Result<Vec<SecretKey>> {
        let bytes = self.read_secret(cloud).await?;
        let mut found = SecretKey::parse(&bytes).map_err(|error| self.not_keys(error))?;
        if let Some(pin) = &self.pin {
            found.retain(|key| key.fingerprint() == *pin);
            if found.is_empty() {
                let context = format!("there is no secret key {pin} in {self}");
                return Err(Error::new(ErrorKind::Configuration, context));
            }
        }
        Ok(found)
    }

    /// The key there, as s3s2 takes it: the first of a file, RSA. Errors as
    /// [`KeySource::certificates`]; `now` is in seconds since 1970.
    pub async fn s3s2_key(&self, cloud: Option<&Cloud>, now: u64) -> Result<s3s2::PublicKey> {
        let bytes = self.read(cloud).await?;
        let key = s3s2::PublicKey::parse(&bytes, now).map_err(|error| self.not_keys(error))?;
        match self.is_pinned(&key.fingerprint()) {
            true => Ok(key),
            false => Err(self.another(&key.fingerprint())),
        }
    }

    /// The private keys there, as s3s2 takes them; the pinned one alone, if one is pinned. Errors as
    /// [`KeySource::secret_keys`].
    pub async fn s3s2_secret_keys(&self, cloud: Option<&Cloud>) -> Result<Vec<s3s2::SecretKey>> {
        let bytes = self.read_secret(cloud).await?;
        let mut found = s3s2::SecretKey::parse(&bytes).map_err(|error| self.not_keys(error))?;
        found.retain(|key| self.is_pinned(&key.fingerprint()));
        match found.is_empty() {
            true => Err(self.another("other private keys")),
            false => Ok(found),
        }
    }

    /// Adds the pinned key there to those of the parties: as a certificate, and for lanes of s3s2, as
    /// far as it can be used so. Errors as [`KeySource::certificates`].
    pub async fn add_public(&self, cloud: Option<&Cloud>, now: u64, keys: &mut Keys) -> Result<()> {
        let bytes = self.read(cloud).await?;
        let of_s3s2 = s3s2::PublicKey::parse(&bytes, now);
        let of_s3s2 = of_s3s2.ok().filter(|key| self.is_pinned(&key.fingerprint()));
        let certificates = Certificate::parse(&bytes).and_then(|found| match &self.pin {
            Some(pin) => Ok(vec![openpgp::pinned(found, pin)?]),
            None => Ok(found),
        });
        match certificates {
            Err(error) if of_s3s2.is_none() => return Err(self.not_keys(error)),
            certificates => keys.openpgp_certificates.extend(certificates.unwrap_or_default()),
        }
        keys.s3s2_public.extend(of_s3s2);
        Ok(())
    }

    /// Adds what is there to a party's own keys to open with: identities of age, or secret keys of
    /// OpenPGP, without a passphrase of their own. Errors as [`KeySource::secret_keys`].
    pub async fn add_own(&self, cloud: Option<&Cloud>, keys: &mut Keys) -> Result<()> {
        let bytes = self.read_secret(cloud).await?;
        // Binary packets have the high bit set in their first byte, which no text has.
        let is_openpgp = bytes.first().is_some_and(|byte| byte & 0x80 != 0)
            || bytes.trim_ascii_start().starts_with(b"-----BEGIN PGP");
        if !is_openpgp {
            let found = parse_identities(&bytes, None).map_err(|error| self.not_keys(error))?;
            keys.identities.extend(found);
            return Ok(());
        }
        let of_s3s2 = s3s2::SecretKey::parse(&bytes).unwrap_or_default();
        let of_s3s2: Vec<_> =
            of_s3s2.into_iter().filter(|key| self.is_pinned(&key.fingerprint())).collect();
        match SecretKey::parse(&bytes) {
            Err(error) if of_s3s2.is_empty() => return Err(self.not_keys(error)),
            found => {
                let found = found.unwrap_or_default().into_iter();
                keys.openpgp_secret.extend(found.filter(|key| self.is_pinned(&key.fingerprint())));
            }
        }
        if !of_s3s2.is_empty() {
            keys.s3s2_secret = Arc::new(of_s3s2);
        }
        match keys.openpgp_secret.is_empty() && keys.s3s2_secret.is_empty() {
            true => Err(self.another("other secret keys")),
            false => Ok(()),
        }
    }

    /// Takes the party's signing key from there: an OpenSSH private key. Errors as
    /// [`KeySource::secret_keys`].
    pub async fn add_signer(&self, cloud: Option<&Cloud>, keys: &mut Keys) -> Result<()> {
        let bytes = self.read_secret(cloud).await?;
        let wrong = || Error::new(ErrorKind::Configuration, format!("no signing key in {self}"));
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
        let signer = SigningKey::from_openssh(text).map_err(|error| wrong().because(error))?;
        keys.signer = Some(signer);
        Ok(())
    }

    /// What is there, as it is: public keys to be parsed by the caller, of which the pinned OpenPGP
    /// certificate alone is given, if one is pinned. Errors as [`KeySource::certificates`].
    pub async fn public_bytes(&self, cloud: Option<&Cloud>) -> Result<Zeroizing<Vec<u8>>> {
        if self.pin.is_none() {
            return self.read(cloud).await;
        }
        let mut text = String::new();
        for certificate in self.certificates(cloud).await? {
            text.push_str(&certificate.to_armored().map_err(|error| self.not_keys(error))?);
        }
        Ok(Zeroizing::new(text.into_bytes()))
    }

    /// What is there, as it is: private keys to be parsed by the caller. Errors as
    /// [`KeySource::secret_keys`].
    pub async fn secret_bytes(&self, cloud: Option<&Cloud>) -> Result<Zeroizing<Vec<u8>>> {
        if self.pin.is_some() {
            self.secret_keys(cloud).await?;
        }
        self.read_secret(cloud).await
    }

    fn is_pinned(&self, fingerprint: &str) -> bool {
        self.pin.as_ref().is_none_or(|pin| pin.eq_ignore_ascii_case(fingerprint))
    }

    fn another(&self, found: &str) -> Error {
        let pin = self.pin.as_deref().unwrap_or_default();
        let context = format!("the key {pin} is not in {self}; there is {found}");
        Error::new(ErrorKind::Configuration, context)
    }

    async fn read_secret(&self, cloud: Option<&Cloud>) -> Result<Zeroizing<Vec<u8>>> {
        if matches!(self.place, Place::Address(_)) {
            let context = format!("a secret key does not belong at an address: {self}");
            return Err(Error::new(ErrorKind::Configuration, context).hinting(
                "keep it in a file of mode 0600, in Systems Manager (ssm:NAME) or in Secrets \
                 Manager (secretsmanager:NAME)",
            ));
        }
        self.read(cloud).await
    }

    async fn read(&self, cloud: Option<&Cloud>) -> Result<Zeroizing<Vec<u8>>> {
        if let Place::File(path) = &self.place {
            return read_file(path).map_err(io(
                ErrorKind::Configuration,
                "cannot read keys from",
                path,
            ));
        }
        let Some(cloud) = cloud else {
            let context = format!("{self} needs a connection, and there is none");
            return Err(Error::new(ErrorKind::Bug, context));
        };
        let elsewhere = cloud.elsewhere();
        let read = match &self.place {
            Place::Parameter(name) => elsewhere.parameter(name).await,
            Place::Secret(name) => elsewhere.secret(name).await,
            Place::Address(url) => elsewhere.document(url, BYTES_MAX).await.map(Zeroizing::new),
            Place::File(_) => Ok(Zeroizing::default()),
        };
        read.map_err(|error| Error::from(error).during(&format!("keys from {self}")))
    }

    fn not_keys(&self, error: consign_seal::Error) -> Error {
        Error::new(ErrorKind::Configuration, format!("keys from {self}")).because(error)
    }
}

/// A file of keys, which is short.
fn read_file(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX + 1));
    std::fs::File::open(path)?.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > BYTES_MAX {
        true => Err(std::io::Error::other("it is longer than keys are")),
        false => Ok(bytes),
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "{}", path.display())?,
            Place::Parameter(name) => write!(f, "ssm:{name}")?,
            Place::Secret(name) => write!(f, "secretsmanager:{name}")?,
            Place::Address(url) => f.write_str(url)?,
        }
        match &self.pin {
            Some(pin) => write!(f, "#{pin}"),
            None => Ok(()),
        }
    }
}

fn is_fingerprint(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "0123456789abcdef0123456789ABCDEF01234567";

    #[test]
    fn sources_are_read_and_shown() {
        for text in ["acme.asc", "ssm:/keys/acme", "secretsmanager:keys/acme", "/a#b.asc"] {
            assert_eq!(KeySource::parse(text).unwrap().to_string(), text);
            let pinned = KeySource::parse(&format!("{text}#{PIN}")).unwrap();
            assert_eq!(pinned.to_string(), format!("{text}#{}", PIN.to_uppercase()));
        }
        let address = KeySource::parse(&format!("https://keys.example/a.asc#{PIN}")).unwrap();
        assert!(address.needs_cloud());
        assert!(!KeySource::parse("acme.asc").unwrap().needs_cloud());
    }

    #[test]
    fn unpinned_and_unencrypted_addresses_are_refused() {
        for (text, word) in [
            ("https://keys.example/a.asc", "exchange the key"),
            ("https://keys.example/a.asc#1234ABCD", "not a fingerprint"),
            ("https://keys.example/a.asc#", "not a fingerprint"),
            ("http://keys.example/a.asc", "not encrypted"),
            ("ssm:", "names nothing"),
            ("", "names nothing"),
        ] {
            let error = KeySource::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
}
