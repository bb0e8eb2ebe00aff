//! Sealing and opening one message, in memory that does not grow with it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pgp::composed::{
    DecryptionOptions, Edata, Esk, Message, MessageBuilder, PlainSessionKey, TheRing,
};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::PublicKeyEncryptedSessionKey;
use pgp::types::{DecryptionKey as _, EskType, Password, PkeskVersion, Seipdv1ReadMode};
use rand::rngs::OsRng;

use super::armor::{ArmorReader, ArmorWriter};
use super::key::{AnyPacket, PublicKey, SecretKey};
use crate::{Error, ErrorKind};

/// Before the encrypted data there are session keys, one for each recipient, of half a KiB at most.
const PREFIX_BYTES_MAX: u64 = 1 << 20;
/// Compressed data within compressed data within …: two levels are more than anybody writes.
const NESTING_MAX: usize = 2;

/// What a message was sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES, with a key of any length.
    Aes,
    /// What s3s2 itself seals with.
    Cast5,
}

/// What is known of a message that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its cipher.
    pub cipher: Cipher,
    /// What it holds.
    pub bytes: u64,
}

/// Seals everything that `content` gives, for these keys, as `s3s2 decrypt` reads it: AES-256 with a
/// modification detection code, in s3s2's armor. s3s2 itself seals for one key only, and opens what is
/// sealed for its own among others. What was written before an error is of no use.
///
/// # Errors
/// [`ErrorKind::Usage`] without a key, [`ErrorKind::Io`] when reading or writing fails.
pub fn seal(content: impl Read, sealed: impl Write, keys: &[PublicKey]) -> Result<(), Error> {
    if keys.is_empty() {
        return Err(Error::usage("there is no key to seal for"));
    }
    let mut builder =
        MessageBuilder::from_reader("", content).seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    for key in keys {
        builder
            .encrypt_to_key(OsRng, &key.packet)
            .map_err(|_| Error::internal("the session key cannot be encrypted"))?;
    }
    let mut armor = ArmorWriter::new(sealed).map_err(Error::from_io)?;
    builder.to_writer(OsRng, &mut armor).map_err(|error| match error {
        pgp::errors::Error::IO { source, .. } => Error::from_io(source),
        _ => Error::internal("the message cannot be written"),
    })?;
    armor.finish().and_then(|mut sealed| sealed.flush()).map_err(Error::from_io)
}

/// Opens a message into `spool`. What lies in the spool is authentic only when this returns without an
/// error; until then, and after an error, it must be looked at by nobody.
///
/// # Errors
/// [`ErrorKind::NotForYou`] when no key fits; [`ErrorKind::Weak`] for a message without modification
/// detection or under a cipher that s3s2 never used; [`ErrorKind::Truncated`],
/// [`ErrorKind::Tampered`], [`ErrorKind::TrailingData`] and [`ErrorKind::Armor`] for damage;
/// [`ErrorKind::Io`] when reading or writing fails.
pub fn open<'a>(
    sealed: impl BufRead + Send + 'a,
    spool: &mut dyn Write,
    keys: &[SecretKey],
) -> Result<Opened, Error> {
    let watch = Watch::default();
    let source = Source { inner: begin(sealed)?, watch: watch.clone(), taken: 0 };
    let message = Message::from_bytes(BufReader::new(source));
    let message = message.map_err(|_| watch.failure(malformed()))?;
    watch.content.store(true, Ordering::Relaxed);
    let (message, cipher) = decrypt(message, keys, &watch)?;
    let mut message = decompressed(message, &watch)?;
    let bytes = copy(&mut message, spool, &watch)?;
    Ok(Opened { cipher, bytes })
}

/// What a message of which the beginning is at hand says in the clear. Errors as
/// [`openpgp::describe`](crate::openpgp::describe).
pub fn describe(start: &[u8]) -> Result<crate::openpgp::Description, Error> {
    let mut binary = Vec::new();
    // The armor is cut off wherever the beginning ends.
    let _cut = begin(start)?.read_to_end(&mut binary);
    crate::openpgp::describe(&binary)
}

/// With the armor off.
fn begin<'a>(mut sealed: impl BufRead + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, Error> {
    let first = sealed.fill_buf().map_err(Error::from_io)?.first().copied();
    match first {
        None => Err(Error::new(ErrorKind::Truncated, "the sealed message is empty")),
        // The high bit is set in the first byte of every packet, and in no text.
        Some(byte) if byte & 0x80 != 0 => Ok(Box::new(sealed)),
        Some(_) => Ok(Box::new(ArmorReader::new(sealed)?)),
    }
}

fn decrypt<'a>(
    message: Message<'a>,
    keys: &[SecretKey],
    watch: &Watch,
) -> Result<(Message<'a>, Cipher), Error> {
    let Message::Encrypted { esk, edata, .. } = &message else {
        return Err(Error::new(ErrorKind::NotSealed, "this OpenPGP message is not encrypted"));
    };
    match edata {
        Edata::SymEncryptedProtectedData { .. } => {}
        Edata::SymEncryptedData { .. } => {
            let text = "this message has no modification detection: anybody could have changed it";
            return Err(Error::new(ErrorKind::Weak, text));
        }
        Edata::GnupgAeadData { .. } => {
            let text = "this message is in a format of GnuPG's own; s3s2 cannot have written it";
            return Err(Error::new(ErrorKind::UnsupportedVersion, text));
        }
    }
    let session_key = session_key(esk, keys)?;
    let cipher = match session_key.sym_algorithm() {
        Some(SymmetricKeyAlgorithm::CAST5) => Cipher::Cast5,
        None
        | Some(
            SymmetricKeyAlgorithm::AES128
            | SymmetricKeyAlgorithm::AES192
            | SymmetricKeyAlgorithm::AES256,
        ) => Cipher::Aes,
        Some(_) => {
            let text = "this message is under a cipher that s3s2 never used";
            return Err(Error::new(ErrorKind::Weak, text));
        }
    };
    let ring = TheRing {
        session_keys: vec![session_key],
        // The caller's spool makes streaming safe: nothing is looked at before the end was read.
        decrypt_options: DecryptionOptions::new().set_seipdv1_read_mode(Seipdv1ReadMode::Streaming),
        ..TheRing::default()
    };
    let (message, _) =
        message.decrypt_the_ring(ring, true).map_err(|_| watch.failure(tampered()))?;
    Ok((message, cipher))
}

/// The session key that one of our keys opens.
fn session_key(sealed_keys: &[Esk], keys: &[SecretKey]) -> Result<PlainSessionKey, Error> {
    let mut addressed = false;
    for sealed in sealed_keys {
        let Esk::PublicKeyEncryptedSessionKey(sealed) = sealed else { continue };
        for key in keys {
            match opened(sealed, key) {
                Some(Some(session_key)) => return Ok(session_key),
                // Hidden recipients are tried with every key, so a failure says nothing.
                Some(None) => addressed |= !sealed.id().is_ok_and(pgp::types::KeyId::is_wildcard),
                None => {}
            }
        }
    }
    match addressed {
        true => Err(tampered()),
        false => Err(Error::new(
            ErrorKind::NotForYou,
            "none of these private keys is among those the message was sealed for",
        )
        .hinting("name the private key of the receiver it was shared with")),
    }
}

/// None when the key is not meant.
fn opened(
    sealed: &PublicKeyEncryptedSessionKey,
    key: &SecretKey,
) -> Option<Option<PlainSessionKey>> {
    let kind = match sealed.version() {
        PkeskVersion::V3 => EskType::V3_4,
        PkeskVersion::V6 => EskType::V6,
        PkeskVersion::Other(_) => return None,
    };
    let values = sealed.values().ok()?;
    let password = Password::empty();
    let opened = match &key.packet {
        AnyPacket::Primary(key) if sealed.match_identity(key) => {
            key.decrypt(&password, values, kind)
        }
        AnyPacket::Subkey(key) if sealed.match_identity(key) => {
            key.decrypt(&password, values, kind)
        }
        _ => return None,
    };
    Some(opened.ok().and_then(Result::ok))
}

/// s3s2 does not compress within OpenPGP; other writers of its format may.
fn decompressed<'a>(mut message: Message<'a>, watch: &Watch) -> Result<Message<'a>, Error> {
    for _ in 0..=NESTING_MAX {
        match message {
            Message::Literal { .. } => return Ok(message),
            Message::Compressed { .. } => {
                message = message.decompress().map_err(|_| watch.failure(tampered()))?;
            }
            Message::Signed { .. } => {
                let text = "this message is signed, which s3s2 never does";
                return Err(Error::new(ErrorKind::UnsupportedVersion, text));
            }
            Message::Encrypted { .. } => break,
        }
    }
    Err(Error::new(ErrorKind::Header, "messages within messages are not opened"))
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, watch: &Watch) -> Result<u64, Error> {
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(watch.failure(tampered())),
        };
        to.write_all(buffer.get(..read).unwrap_or_default()).map_err(Error::from_io)?;
        bytes += read as u64;
    }
}

fn tampered() -> Error {
    Error::new(ErrorKind::Tampered, "the sealed message was changed or cut short")
}

fn malformed() -> Error {
    Error::new(ErrorKind::Header, "this is not a well-formed OpenPGP message")
}

/// Remembers what went wrong underneath the OpenPGP library, whose errors do not carry ours.
#[derive(Clone, Default)]
struct Watch {
    failed: Arc<Mutex<Option<Error>>>,
    /// Set when the encrypted content has begun.
    content: Arc<AtomicBool>,
}

impl Watch {
    fn failure(&self, otherwise: Error) -> Error {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.take().unwrap_or(otherwise)
    }
}

struct Source<R> {
    inner: R,
    watch: Watch,
    taken: u64,
}

impl<R> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let error = match self.inner.read(buffer) {
            Ok(read) => {
                self.taken += read as u64;
                if self.taken <= PREFIX_BYTES_MAX || self.watch.content.load(Ordering::Relaxed) {
                    return Ok(read);
                }
                // The library keeps every session key in memory.
                Error::new(ErrorKind::Header, "there are too many recipients before the message")
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => Error::from_io(error),
        };
        let mut failed = self.watch.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = Some(error);
        Err(io::Error::other("the source failed"))
    }
}
