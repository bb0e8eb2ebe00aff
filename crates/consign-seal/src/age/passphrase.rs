//! Passphrases for people (age.md, "The scrypt recipient type").
//!
//! A passphrase is recipient and identity in one. scrypt is the crate of that name, since aws-lc-rs
//! has none (docs/decisions/0011).

use std::fmt;

use base64::Engine;
use zeroize::Zeroizing;

use super::file_key::FileKey;
use super::stanza::{Stanza, broken, decode_exactly};
use crate::primitives::{BASE64_RAW, random, unwrap_file_key, wrap_file_key};
use crate::{Error, ErrorKind};

pub(super) const STANZA: &str = "scrypt";
const SALT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
/// What `age` writes: 256 MiB of memory and about a second.
const LOG_N: u8 = 18;
/// Above this a file is refused whoever asks: 2^22 is 4 GiB of memory (age.md: SHOULD apply an
/// upper limit; `age` has the same one).
const LOG_N_MAX: u8 = 22;
/// r = 8 of age.md: 128 * r bytes for each of N.
const BYTES_PER_N: usize = 1024;

/// Words that seal and open. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase {
    // INVARIANT: not empty.
    text: Zeroizing<String>,
    log_n: u8,
}

impl Passphrase {
    /// A passphrase that is not empty, with the work factor that `age` has. Sealing and opening
    /// take about a second and 256 MiB.
    pub fn new(text: Zeroizing<String>) -> Result<Passphrase, Error> {
        Passphrase::with_work_factor(text, LOG_N)
    }

    /// The same with another work factor for sealing: the logarithm of N, 1 to 22. Less than 18 is
    /// for tests, or for words of which one knows that nobody guesses them.
    pub fn with_work_factor(text: Zeroizing<String>, log_n: u8) -> Result<Passphrase, Error> {
        if text.is_empty() {
            return Err(Error::new(ErrorKind::BadKey, "the passphrase is empty"));
        }
        if !(1..=LOG_N_MAX).contains(&log_n) {
            return Err(Error::usage("the work factor of a passphrase is 1 to 22"));
        }
        Ok(Passphrase { text, log_n })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn wrap(&self, file_key: &FileKey) -> Result<Stanza, Error> {
        let salt = random::<16>()?;
        let wrap_key = self.wrap_key(&salt, self.log_n)?;
        let body = wrap_file_key(&wrap_key, file_key.bytes())?;
        let salt = BASE64_RAW.encode(salt.as_slice());
        Stanza::new(STANZA, &[&salt, &self.log_n.to_string()], &body)
    }

    /// `None` where it is another passphrase, or no passphrase at all.
    pub(super) fn unwrap(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        if stanza.name() != STANZA {
            return Ok(None);
        }
        let (salt, log_n, body) = parts(stanza)?;
        let wrap_key = self.wrap_key(&salt, log_n)?;
        Ok(unwrap_file_key(&wrap_key, body)?.map(FileKey::new))
    }

    fn wrap_key(&self, salt: &[u8; 16], log_n: u8) -> Result<Zeroizing<[u8; 32]>, Error> {
        let memory = BYTES_PER_N << log_n;
        // Asked for once before, so that want of memory is an error and not the end of the process.
        if Vec::<u8>::new().try_reserve_exact(memory).is_err() {
            let context = format!("the passphrase takes {} MiB of memory to check", memory >> 20);
            return Err(Error::new(ErrorKind::Internal, context));
        }
        let failed = |_| Error::internal("scrypt");
        let parameters = scrypt::Params::new(log_n, 8, 1)
            .map_err(|_| Error::internal("parameters of scrypt"))?;
        let mut salted = SALT_LABEL.to_vec();
        salted.extend_from_slice(salt);
        let mut key = Zeroizing::new([0u8; 32]);
        scrypt::scrypt(self.text.as_bytes(), &salted, &parameters, key.as_mut_slice())
            .map_err(failed)?;
        Ok(key)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Two arguments, a salt of 16 bytes and a work factor in bounds, a body of 32 bytes; all else is
/// rejected.
pub(super) fn check(stanza: &Stanza) -> Result<(), Error> {
    parts(stanza).map(drop)
}

fn parts(stanza: &Stanza) -> Result<([u8; 16], u8, &[u8; 32]), Error> {
    let [salt, log_n] = stanza.arguments() else {
        return Err(broken("a passphrase has the wrong number of arguments"));
    };
    let salt = decode_exactly(salt)
        .ok_or_else(|| broken("the salt of a passphrase is not 16 canonical bytes"))?;
    let plain = log_n.bytes().all(|byte| byte.is_ascii_digit()) && !log_n.starts_with('0');
    let log_n =
        log_n.parse().ok().filter(|log_n| plain && (1..=LOG_N_MAX).contains(log_n)).ok_or_else(
            || broken("the work factor of a passphrase is not a number from 1 to 22"),
        )?;
    let body = <&[u8; 32]>::try_from(stanza.body())
        .map_err(|_| broken("the body of a passphrase is not 32 bytes"))?;
    Ok((salt, log_n, body))
}
