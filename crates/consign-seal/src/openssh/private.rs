//! OpenSSH private key files (`-----BEGIN OPENSSH PRIVATE KEY-----`), protected or not.
//!
//! Sections are those of OpenSSH's `PROTOCOL.key`. Protection is bcrypt-pbkdf and AES-256 in
//! counter mode, which is what `ssh-keygen` has written since 2014; other ciphers are named in the
//! error, with the command that rewrites the file.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::rsa::RsaPrivateKey;
use super::wire::{self, ED25519, RSA, Reader};
use crate::{Error, ErrorKind};

pub(crate) const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
pub(crate) const END: &str = "-----END OPENSSH PRIVATE KEY-----";
pub(crate) const MAGIC: &[u8] = b"openssh-key-v1\0";
/// An RSA key of 8192 bits has 6,400 characters.
const TEXT_MAX: usize = 16 * 1024;
/// §3: padded to the block size of the cipher, which is 8 for none.
const BLOCK_PLAIN: usize = 8;
const BLOCK_AES: usize = 16;
/// `ssh-keygen` asks for 16 to 24 rounds, the careful for some hundred. This many take seconds.
const ROUNDS_MAX: u32 = 2048;

/// The secret half of a key. Wiped when dropped.
pub(crate) enum PrivateKey {
    /// The seed of RFC 8032 and the public key that belongs to it.
    Ed25519 { seed: Zeroizing<[u8; 32]>, public: [u8; 32] },
    /// All that PKCS #1 needs.
    Rsa(RsaPrivateKey),
}

/// Reads a private key file that holds one key. `passphrase` matters only where it is protected;
/// without one such a file is [`ErrorKind::NeedsPassphrase`]. Errors never repeat the text.
pub(crate) fn parse(text: &str, passphrase: Option<&[u8]>) -> Result<PrivateKey, Error> {
    if text.len() > TEXT_MAX {
        return Err(bad_key("the private key file is too long"));
    }
    let blob = wire::unarmor(BEGIN, END, text.trim_ascii())
        .map(Zeroizing::new)
        .ok_or_else(|| bad_key("not an OpenSSH private key file"))?;
    let file = Container::parse(&blob)?;
    let section = file.open(passphrase)?;
    let key = parse_section(&section, file.block(), file.is_protected())?;
    if file.public != key.wire() {
        return Err(bad_key("the private key file contradicts itself: its public key differs"));
    }
    Ok(key)
}

impl PrivateKey {
    /// The public key in its encoding for SSH.
    pub(crate) fn wire(&self) -> Vec<u8> {
        match self {
            PrivateKey::Ed25519 { public, .. } => wire::typed(public),
            PrivateKey::Rsa(key) => key.public().wire(),
        }
    }
}

/// §1: what stands around the keys.
struct Container<'a> {
    cipher: &'a [u8],
    kdf: &'a [u8],
    options: &'a [u8],
    public: &'a [u8],
    section: &'a [u8],
}

impl<'a> Container<'a> {
    fn parse(blob: &'a [u8]) -> Result<Container<'a>, Error> {
        let mut reader = Reader::new(blob);
        if reader.bytes(MAGIC.len()) != Some(MAGIC) {
            return Err(bad_key("not an OpenSSH private key file"));
        }
        let cipher = reader.string().ok_or_else(short)?;
        let kdf = reader.string().ok_or_else(short)?;
        let options = reader.string().ok_or_else(short)?;
        if reader.u32() != Some(1) {
            return Err(bad_key("the private key file does not hold exactly one key"));
        }
        let public = reader.string().ok_or_else(short)?;
        let section = reader.string().ok_or_else(short)?;
        if !reader.is_empty() {
            return Err(bad_key("something follows the private key"));
        }
        Ok(Container { cipher, kdf, options, public, section })
    }

    fn is_protected(&self) -> bool {
        self.cipher != b"none" || self.kdf != b"none" || !self.options.is_empty()
    }

    fn block(&self) -> usize {
        if self.is_protected() { BLOCK_AES } else { BLOCK_PLAIN }
    }

    fn open(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut section = Zeroizing::new(self.section.to_vec());
        if !self.is_protected() {
            return Ok(section);
        }
        if self.cipher != b"aes256-ctr" || self.kdf != b"bcrypt" {
            let context = format!(
                "the private key is protected with {}, which is not supported; `ssh-keygen -p -Z \
                 aes256-ctr -f COPY` rewrites a copy",
                String::from_utf8_lossy(self.cipher).escape_default()
            );
            return Err(Error::new(ErrorKind::UnsupportedKey, context));
        }
        let passphrase = passphrase.filter(|text| !text.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::NeedsPassphrase, "the private key is protected by a passphrase")
        })?;
        let mut options = Reader::new(self.options);
        let salt = options.string().ok_or_else(short)?;
        let rounds = options.u32().ok_or_else(short)?;
        if salt.is_empty() || rounds == 0 || rounds > ROUNDS_MAX || !options.is_empty() {
            return Err(bad_key(
                "the private key file is protected in a way that makes no sense, or would take \
                 minutes to open",
            ));
        }
        // §2: the key and the counter's start come from the same derivation.
        let mut derived = Zeroizing::new([0u8; 48]);
        bcrypt_pbkdf::bcrypt_pbkdf(passphrase, salt, rounds, derived.as_mut_slice())
            .map_err(|_| Error::internal("bcrypt-pbkdf"))?;
        let (key, counter) = derived.split_at(32);
        decrypt(key, counter, &mut section)?;
        Ok(section)
    }
}

fn decrypt(key: &[u8], counter: &[u8], section: &mut [u8]) -> Result<(), Error> {
    let failed = |_| Error::internal("AES-256 in counter mode");
    let counter = FixedLength::<16>::try_from(counter).map_err(failed)?;
    UnboundCipherKey::new(&AES_256, key)
        .and_then(DecryptingKey::ctr)
        .and_then(|key| key.decrypt(section, DecryptionContext::Iv128(counter)).map(drop))
        .map_err(failed)
}

/// §3.
fn parse_section(section: &[u8], block: usize, protected: bool) -> Result<PrivateKey, Error> {
    let mut reader = Reader::new(section);
    let (check, again) = (reader.u32().ok_or_else(short)?, reader.u32().ok_or_else(short)?);
    if check != again {
        // §3: two equal numbers show that decryption succeeded.
        return Err(if protected {
            Error::new(ErrorKind::WrongPassphrase, "this is not the passphrase of the private key")
        } else {
            bad_key("the private key file is damaged")
        });
    }
    let key = match reader.string().ok_or_else(short)? {
        name if name == ED25519 => parse_ed25519(&mut reader)?,
        name if name == RSA => PrivateKey::Rsa(parse_rsa(&mut reader)?),
        _ => {
            let context = "only ssh-ed25519 and ssh-rsa keys are supported";
            return Err(Error::new(ErrorKind::UnsupportedKey, context));
        }
    };
    let _comment = reader.string().ok_or_else(short)?;
    let padded = reader.rest().len() < block
        && section.len().is_multiple_of(block)
        && reader.rest().iter().zip(1u8..).all(|(byte, number)| *byte == number);
    if !padded {
        return Err(bad_key("the private key file is damaged: its padding is wrong"));
    }
    Ok(key)
}

/// As the SSH agent protocol has it ("EDDSA keys"): the public key, then seed and public key.
fn parse_ed25519(reader: &mut Reader<'_>) -> Result<PrivateKey, Error> {
    let public = reader.string().ok_or_else(short)?;
    let secret = reader.string().ok_or_else(short)?;
    let contradiction = || bad_key("the private key file contradicts itself");
    let seed = secret
        .split_first_chunk::<32>()
        .filter(|(_, rest)| *rest == public)
        .map(|(seed, _)| Zeroizing::new(*seed))
        .ok_or_else(contradiction)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
        .map_err(|_| Error::internal("Ed25519 key"))?;
    if public != pair.public_key().as_ref() {
        return Err(bad_key("the private key file contradicts itself: its public key differs"));
    }
    let public = <[u8; 32]>::try_from(public).map_err(|_| contradiction())?;
    Ok(PrivateKey::Ed25519 { seed, public })
}

/// As the SSH agent protocol has it ("RSA keys"): n, e, d, 1/q mod p, p, q.
fn parse_rsa(reader: &mut Reader<'_>) -> Result<RsaPrivateKey, Error> {
    let mut number = || reader.mpint().ok_or_else(short);
    let (n, e, d) = (number()?, number()?, number()?);
    let (inverse, p, q) = (number()?, number()?, number()?);
    RsaPrivateKey::from_numbers(n, e, d, p, q, inverse)
}

fn short() -> Error {
    bad_key("the private key file is incomplete")
}

fn bad_key(what: &str) -> Error {
    Error::new(ErrorKind::BadKey, what)
}
