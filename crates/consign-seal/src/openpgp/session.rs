//! What comes before the container: for whom it is sealed, and the session key for one of them.

use std::io::Read;

use pgp::composed::PlainSessionKey;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{PacketHeader, PublicKeyEncryptedSessionKey, SymKeyEncryptedSessionKey};
use pgp::types::{DecryptionKey, EskType, KeyDetails, Password, Tag};
use zeroize::Zeroizing;

use super::cipher::{Suite, is_aes};
use super::packet::{Packets, header, tag};
use super::passphrase::{self, OpenWith};
use super::secret::SecretKey;
use super::validity::{fingerprint_text, key_id_text};
use crate::{Error, ErrorKind};

/// A wrapped session key is at most a few kilobytes (RSA with 16384 bits takes two).
const WRAPPED_BYTES_MAX: usize = 64 << 10;
/// Enough for 10,000 recipients; a message that has more of this is meant to exhaust somebody.
const PREAMBLE_BYTES_MAX: usize = 16 << 20;
/// Each try at a hidden recipient's packet costs an operation with a private key.
const HIDDEN_TRIES_MAX: usize = 256;

/// What a message says before its content.
pub(super) struct Preamble {
    pub(super) wrapped: Vec<PublicKeyEncryptedSessionKey>,
    /// How many packets carry the session key under a passphrase, and those of them that are known here.
    pub(super) passphrases: usize,
    under_passphrase: Vec<SymKeyEncryptedSessionKey>,
    /// Packets of a version unknown here.
    pub(super) unknown: usize,
    pub(super) container: Container,
}

/// Which container follows, and what it says of itself in the clear.
#[derive(Clone, Copy)]
pub(super) enum Container {
    /// No integrity at all (RFC 9580 §5.7, historical).
    Sed,
    /// Authentic at its end, not before.
    V1,
    V2(Suite, [u8; 32]),
    /// GnuPG's own; the nonce fills as much of the array as the mode says.
    Gnupg(Suite, [u8; 16]),
}

impl Container {
    /// Whether it authenticates piece by piece.
    pub(super) fn is_chunked(self) -> bool {
        matches!(self, Container::V2(..) | Container::Gnupg(..))
    }
}

/// Reads up to the content of the container.
pub(super) fn read_preamble(packets: &mut Packets<impl Read>) -> Result<Preamble, Error> {
    let mut preamble = Preamble {
        wrapped: Vec::new(),
        passphrases: 0,
        under_passphrase: Vec::new(),
        unknown: 0,
        container: Container::Sed,
    };
    let mut bytes = 0;
    let mut first = true;
    loop {
        let kind = match packets.next_tag() {
            Err(error) if first && error.kind() == ErrorKind::Header => {
                return Err(not_sealed("this is not an OpenPGP message"));
            }
            other => other?,
        };
        let Some(kind) = kind else {
            return Err(Error::new(ErrorKind::Truncated, "the message ends before its content"));
        };
        first = false;
        match kind {
            tag::PKESK | tag::SKESK => {
                let body = packets.whole_body(WRAPPED_BYTES_MAX)?;
                bytes += body.len();
                if bytes > PREAMBLE_BYTES_MAX {
                    return Err(header("it has too many recipients"));
                }
                if kind == tag::SKESK {
                    preamble.passphrases += 1;
                    preamble.under_passphrase.extend(passphrase::read(&body));
                } else {
                    preamble.add(&body);
                }
            }
            tag::MARKER | tag::PADDING => {}
            tag::SED => return Ok(preamble),
            tag::SEIPD | tag::GNUPG_AEAD => {
                preamble.container = read_container(packets, kind)?;
                return Ok(preamble);
            }
            _ if !preamble.wrapped.is_empty() || preamble.passphrases > 0 => {
                return Err(header("a packet is where none of its kind may be"));
            }
            tag::LITERAL | tag::COMPRESSED | tag::ONE_PASS | tag::SIGNATURE => {
                return Err(not_sealed("this OpenPGP message is not encrypted"));
            }
            tag::PUBLIC_KEY | tag::SECRET_KEY => {
                return Err(not_sealed("this is an OpenPGP key, not a message"));
            }
            _ => return Err(not_sealed("this is not an OpenPGP message")),
        }
    }
}

fn not_sealed(context: &str) -> Error {
    Error::new(ErrorKind::NotSealed, context)
}

impl Preamble {
    /// A packet that cannot be read is not for us, or is damaged: the others decide.
    fn add(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let header = PacketHeader::new_fixed(Tag::PublicKeyEncryptedSessionKey, length);
        match PublicKeyEncryptedSessionKey::try_from_reader(header, body) {
            Ok(packet) if !matches!(packet, PublicKeyEncryptedSessionKey::Other { .. }) => {
                self.wrapped.push(packet);
            }
            _ => self.unknown += 1,
        }
    }

    /// Unwraps the session key with the first key that fits, else with the passphrase.
    pub(super) fn session_key(
        &self,
        with: OpenWith<'_>,
        allow_weak: bool,
    ) -> Result<SessionKey, Error> {
        match (self.session_key_of(with.keys), with.passphrase) {
            (Ok(found), _) => Ok(found),
            (Err(_), Some(words)) if !self.under_passphrase.is_empty() => {
                passphrase::session_key(&self.under_passphrase, self.container, words, allow_weak)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn session_key_of(&self, keys: &[SecretKey]) -> Result<SessionKey, Error> {
        let kind = match self.container {
            Container::V2(..) => EskType::V6,
            _ => EskType::V3_4,
        };
        let mut search = Search::default();
        for packet in &self.wrapped {
            let is_v6 = matches!(packet, PublicKeyEncryptedSessionKey::V6 { .. });
            if is_v6 != matches!(self.container, Container::V2(..)) {
                continue;
            }
            for key in keys {
                if let Some(found) = search.try_key(packet, kind, &key.key.primary_key, |key| {
                    key.secret_params().is_encrypted()
                }) {
                    return Ok(found);
                }
                for subkey in &key.key.secret_subkeys {
                    if let Some(found) = search.try_key(packet, kind, &subkey.key, |key| {
                        key.secret_params().is_encrypted()
                    }) {
                        return Ok(found);
                    }
                }
            }
        }
        Err(search.failed(self))
    }

    /// For whom it is sealed, in words.
    fn recipients_text(&self) -> String {
        let mut names: Vec<String> = self.wrapped.iter().map(recipient_text).collect();
        let hidden = names.iter().filter(|name| name.is_empty()).count();
        names.retain(|name| !name.is_empty());
        names.truncate(8);
        if hidden > 0 {
            names.push(format!("{hidden} hidden"));
        }
        if self.passphrases > 0 {
            names.push("a passphrase".to_owned());
        }
        names.join(", ")
    }
}

/// Key id or fingerprint that a packet names; empty for a hidden recipient.
pub(super) fn recipient_text(packet: &PublicKeyEncryptedSessionKey) -> String {
    match packet {
        PublicKeyEncryptedSessionKey::V3 { id, .. } if !id.is_wildcard() => key_id_text(id),
        PublicKeyEncryptedSessionKey::V6 { fingerprint: Some(fingerprint), .. } => {
            fingerprint_text(fingerprint)
        }
        _ => String::new(),
    }
}

/// A session key, and the cipher where the packet says it (version 1).
pub(super) struct SessionKey {
    pub(super) cipher: Option<SymmetricKeyAlgorithm>,
    pub(super) key: Zeroizing<Vec<u8>>,
    /// A passphrase gave it: whether it was the right one shows only when something opens.
    pub(super) from_passphrase: bool,
}

impl From<&PlainSessionKey> for SessionKey {
    fn from(session: &PlainSessionKey) -> SessionKey {
        let cipher = session.sym_algorithm();
        let key = match session {
            PlainSessionKey::V3_4 { key, .. }
            | PlainSessionKey::V5 { key }
            | PlainSessionKey::V6 { key } => Zeroizing::new(key.as_ref().to_vec()),
        };
        SessionKey { cipher, key, from_passphrase: false }
    }
}

impl SessionKey {
    /// The cipher of a container that does not name it. 64-bit blocks repeat after gigabytes
    /// (Sweet32), IDEA and CAST5 are of that time: RFC 9580 §9.3 forbids to write them.
    pub(super) fn stated_cipher(&self, allow_weak: bool) -> Result<SymmetricKeyAlgorithm, Error> {
        use SymmetricKeyAlgorithm::{
            Blowfish, CAST5, Camellia128, Camellia192, Camellia256, IDEA, TripleDES, Twofish,
        };
        let cipher = self.cipher.ok_or_else(super::cipher::tampered)?;
        match cipher {
            cipher if is_aes(cipher) => {}
            Twofish | Camellia128 | Camellia192 | Camellia256 => {}
            IDEA | TripleDES | CAST5 | Blowfish if allow_weak => {}
            IDEA | TripleDES | CAST5 | Blowfish => {
                let context = format!("it is sealed with {cipher:?}, which is not safe any more");
                return Err(Error::new(ErrorKind::Weak, context));
            }
            _ => return Err(super::cipher::tampered()),
        }
        if self.key.len() != cipher.key_size() {
            return Err(super::cipher::tampered());
        }
        Ok(cipher)
    }
}

#[derive(Default)]
struct Search {
    hidden_tries: usize,
    /// A packet names a key that is here and locked.
    locked: Option<String>,
    /// A packet names a key that is here, and does not open with it.
    broken: Option<String>,
}

impl Search {
    fn try_key<K: DecryptionKey + KeyDetails>(
        &mut self,
        packet: &PublicKeyEncryptedSessionKey,
        kind: EskType,
        key: &K,
        is_locked: impl Fn(&K) -> bool,
    ) -> Option<SessionKey> {
        let fits = packet.match_identity(key)
            && key.algorithm().can_encrypt()
            && packet.algorithm().is_ok_and(|algorithm| algorithm == key.algorithm());
        if !fits {
            return None;
        }
        let hidden = recipient_text(packet).is_empty();
        let name = fingerprint_text(&key.fingerprint());
        if is_locked(key) {
            self.locked = Some(name);
            return None;
        }
        if hidden {
            self.hidden_tries += 1;
            if self.hidden_tries > HIDDEN_TRIES_MAX {
                return None;
            }
        }
        let opened =
            packet.values().and_then(|values| key.decrypt(&Password::empty(), values, kind));
        match opened {
            Ok(Ok(session)) => Some(SessionKey::from(&session)),
            _ => {
                // Of a hidden recipient this is what every other key gives.
                if !hidden {
                    self.broken = Some(name);
                }
                None
            }
        }
    }

    fn failed(self, preamble: &Preamble) -> Error {
        if let Some(name) = self.locked {
            let context = format!("it is sealed for the key {name}, which is locked");
            return Error::new(ErrorKind::NeedsPassphrase, context);
        }
        if let Some(name) = self.broken {
            let context = format!("it names the key {name}, and what it holds for it was changed");
            return Error::new(ErrorKind::Tampered, context);
        }
        if preamble.wrapped.is_empty() && preamble.passphrases > 0 {
            let context = "it is sealed with a passphrase and for no key";
            return Error::new(ErrorKind::NeedsPassphrase, context);
        }
        let context = format!(
            "none of the keys at hand opens it; it is sealed for {}",
            preamble.recipients_text()
        );
        let error = Error::new(ErrorKind::NotForYou, context);
        error.hinting(
            "open it with the secret key that one of these belongs to: `gpg --list-keys KEY` \
                       tells whose it is, `gpg --export-secret-keys` writes it to a file",
        )
    }
}

/// Reads what a container says of itself before its content.
fn read_container(packets: &mut Packets<impl Read>, kind: u8) -> Result<Container, Error> {
    if !packets.has_end() {
        return Err(header("its content does not say where it ends"));
    }
    let [version] = take(packets)?;
    match (kind, version) {
        (tag::SEIPD, 1) => Ok(Container::V1),
        (tag::SEIPD, 2) => {
            let [cipher, mode, chunk_octet] = take(packets)?;
            let suite = Suite::parse(cipher, mode, chunk_octet)?;
            Ok(Container::V2(suite, take(packets)?))
        }
        (tag::GNUPG_AEAD, 1) => {
            let [cipher, mode, chunk_octet] = take(packets)?;
            let suite = Suite::parse(cipher, mode, chunk_octet)?;
            let mut nonce = [0u8; 16];
            let used = nonce.split_at_mut(suite.mode.nonce_size().min(16)).0;
            packets.read_exact(used).map_err(ended)?;
            Ok(Container::Gnupg(suite, nonce))
        }
        _ => {
            let context = format!("its container is of version {version}, which is not known here");
            Err(Error::new(ErrorKind::UnsupportedVersion, context))
        }
    }
}

fn take<const N: usize>(packets: &mut Packets<impl Read>) -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    packets.read_exact(&mut bytes).map_err(ended)?;
    Ok(bytes)
}

fn ended(error: std::io::Error) -> Error {
    let own = error.get_ref().is_some_and(|inner| inner.is::<Error>());
    if !own && error.kind() == std::io::ErrorKind::UnexpectedEof {
        return Error::new(ErrorKind::Truncated, "the message ends at the start of its container");
    }
    Error::from_io(error)
}
