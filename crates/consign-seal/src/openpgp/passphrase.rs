//! Messages under a passphrase (`gpg --symmetric`): read, never written; age has passphrases too, and
//! a function that is slow on purpose.
//!
//! The packet (RFC 9580 §5.3) says how the passphrase becomes a key and, mostly, holds the session key
//! under that key. All of its numbers are an attacker's, so they are bounded before anything is computed.

use pgp::composed::PlainSessionKey;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PacketHeader, SymKeyEncryptedSessionKey};
use pgp::types::{StringToKey, Tag};
use zeroize::Zeroizing;

use super::secret::SecretKey;
use super::session::{Container, SessionKey};
use crate::{Error, ErrorKind};

/// What all tries of one message may cost together, counted as [`work`] does: some seconds. GnuPG's own
/// is 62 MiB for each passphrase, the sample of the RFC for Argon2 half of this.
const WORK_MAX: u64 = 512 << 20;
/// Argon2 takes 2 to the power of this KiB: 2 GiB, what RFC 9106 recommends where there is plenty.
const ARGON2_MEMORY_EXPONENT_MAX: u8 = 21;

/// What may open a message: secret keys, perhaps a passphrase. Keys are tried first.
#[derive(Clone, Copy)]
pub struct OpenWith<'k> {
    pub(super) keys: &'k [SecretKey],
    pub(super) passphrase: Option<&'k str>,
}

impl<'k> OpenWith<'k> {
    /// Keys, and a passphrase for messages that are sealed under one.
    pub fn passphrase(keys: &'k [SecretKey], passphrase: &'k str) -> OpenWith<'k> {
        OpenWith { keys, passphrase: Some(passphrase) }
    }
}

impl std::fmt::Debug for OpenWith<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenWith").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl<'k, K: AsRef<[SecretKey]> + ?Sized> From<&'k K> for OpenWith<'k> {
    fn from(keys: &'k K) -> OpenWith<'k> {
        OpenWith { keys: keys.as_ref(), passphrase: None }
    }
}

/// The packet, if it is of a version that is known.
pub(super) fn read(body: &[u8]) -> Option<SymKeyEncryptedSessionKey> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let header = PacketHeader::new_fixed(Tag::SymKeyEncryptedSessionKey, length);
    let packet = SymKeyEncryptedSessionKey::try_from_reader(header, body).ok()?;
    packet.is_supported().then_some(packet)
}

/// The session key that the passphrase opens.
///
/// Errors: [`ErrorKind::WrongPassphrase`], [`ErrorKind::Weak`] where the way from the passphrase to
/// the key stops nobody, [`ErrorKind::UnsupportedVersion`].
pub(super) fn session_key(
    packets: &[SymKeyEncryptedSessionKey],
    container: Container,
    passphrase: &str,
    allow_weak: bool,
) -> Result<SessionKey, Error> {
    let (mut refusal, mut spent) = (None, 0);
    let mut packets: Vec<_> = packets.iter().filter(|packet| fits(packet, container)).collect();
    // A packet without a session key always gives one, right or wrong: it comes last.
    packets.sort_by_key(|packet| packet.encrypted_key().is_none_or(|key| key.is_empty()));
    for packet in packets {
        spent += packet.s2k().map_or(0, work);
        if spent > WORK_MAX {
            let context = "trying its passphrases costs more than any person's message does";
            return Err(Error::new(ErrorKind::Header, context));
        }
        match opened(packet, passphrase, allow_weak) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(wrong))
}

/// What a passphrase that is not the one comes to.
pub(super) fn wrong() -> Error {
    let context = "the message is sealed with a passphrase, and this is not the one";
    Error::new(ErrorKind::WrongPassphrase, context)
}

/// RFC 9580 §10.3.2.1: which versions belong together.
fn fits(packet: &SymKeyEncryptedSessionKey, container: Container) -> bool {
    use SymKeyEncryptedSessionKey::{V4, V5, V6};
    match container {
        Container::V2(..) => matches!(packet, V6 { .. }),
        Container::Gnupg(..) => matches!(packet, V4 { .. } | V5 { .. }),
        Container::V1 | Container::Sed => matches!(packet, V4 { .. }),
    }
}

fn opened(
    packet: &SymKeyEncryptedSessionKey,
    passphrase: &str,
    allow_weak: bool,
) -> Result<Option<SessionKey>, Error> {
    let (Some(s2k), Some(cipher)) = (packet.s2k(), packet.sym_algorithm()) else {
        return Ok(None);
    };
    check(s2k, allow_weak)?;
    if cipher.key_size() == 0 {
        return Err(unsupported("a cipher"));
    }
    let derived = s2k
        .derive_key(passphrase.as_bytes(), cipher.key_size())
        .map_err(|_| unsupported("a hash"))?;
    let SymKeyEncryptedSessionKey::V4 { encrypted_key, .. } = packet else {
        return Ok(packet.decrypt(&derived).ok().map(|session| plain(&session)));
    };
    if encrypted_key.is_empty() {
        let key = Zeroizing::new(derived.as_ref().to_vec());
        return Ok(Some(SessionKey { cipher: Some(cipher), key, from_passphrase: true }));
    }
    Ok(packet.decrypt(&derived).ok().map(|session| plain(&session)))
}

fn plain(session: &PlainSessionKey) -> SessionKey {
    SessionKey { from_passphrase: true, ..SessionKey::from(session) }
}

/// What a try costs: octets that are hashed; of Argon2, which takes a second for 4 GiB, an eighth of the
/// memory that is written.
fn work(s2k: &StringToKey) -> u64 {
    match s2k {
        // RFC 9580 §3.7.1.3.
        StringToKey::IteratedAndSalted { count, .. } => {
            (16 + u64::from(count & 15)) << (u32::from(count >> 4) + 6)
        }
        StringToKey::Argon2 { t, m_enc, .. } => {
            (u64::from(*t) << u32::from(*m_enc).min(40)).saturating_mul(1024 / 8)
        }
        _ => 1,
    }
}

/// How a passphrase may become a key. One hash of it, salted or not, is tried a billion times a second
/// (RFC 9580 §3.7.1: "should not be used"); MD5 is refused with everything else under it.
fn check(s2k: &StringToKey, allow_weak: bool) -> Result<(), Error> {
    let weak = match s2k {
        StringToKey::Simple { .. } | StringToKey::Salted { .. } => true,
        StringToKey::IteratedAndSalted { hash_alg, .. } => *hash_alg == HashAlgorithm::Md5,
        StringToKey::Argon2 { m_enc, .. } => {
            if *m_enc > ARGON2_MEMORY_EXPONENT_MAX {
                let context = "its passphrase takes more than 2 GiB of memory to try";
                return Err(Error::new(ErrorKind::Header, context));
            }
            false
        }
        _ => return Err(unsupported("a way")),
    };
    if weak && !allow_weak {
        let context =
            "its passphrase is hashed once, or with MD5: guessing it costs next to nothing";
        return Err(Error::new(ErrorKind::Weak, context));
    }
    Ok(())
}

fn unsupported(what: &str) -> Error {
    let context = format!("its passphrase becomes a key by {what} unknown here");
    Error::new(ErrorKind::UnsupportedVersion, context)
}
