//! Keys as s3s2 takes them: the first packet of a file, RSA, whatever else the file says.
//!
//! A file of `gpg --export` is taken too. s3s2 would look at its primary key and at nothing else; here
//! what the file says of that key is believed as well: a key that is revoked or has expired is refused.

use std::io::Cursor;

use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{
    ArmorOptions, Deserializable as _, EncryptionCaps, KeyType, SecretKeyParamsBuilder,
    SignedPublicKey,
};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{self, Packet, PacketParser, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails as _, KeyVersion, PublicParams, SecretParams};
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use crate::{Error, ErrorKind};

/// A key file larger than this is none.
const FILE_BYTES_MAX: usize = 1 << 20;
const PACKETS_MAX: usize = 1_000;
/// Below this RSA is within reach of those who try (NIST SP 800-131A).
const RSA_BITS_MIN: u16 = 2048;
/// What `s3s2 genkey` makes.
const RSA_BITS: u32 = 4096;

/// A key to seal for: RSA, of at least 2048 bits.
#[derive(Clone, Debug)]
pub struct PublicKey {
    pub(super) packet: packet::PublicKey,
    bare: bool,
}

impl PublicKey {
    /// Reads a key file, armored or binary: what `s3s2 genkey` writes, or `gpg --export`. It is the
    /// primary key that is sealed for, as s3s2 does it.
    ///
    /// # Errors
    /// [`ErrorKind::BadKey`] for what is no public key, [`ErrorKind::UnsupportedKey`] for any but RSA,
    /// [`ErrorKind::Weak`] for fewer than 2048 bits, [`ErrorKind::ExpiredKey`] and
    /// [`ErrorKind::RevokedKey`] at `now`, in seconds since 1970.
    pub fn parse(file: &[u8], now: u64) -> Result<PublicKey, Error> {
        let bytes = binary(file, BlockType::PublicKey)?;
        let mut packets = packets(&bytes);
        let packet = match packets.next() {
            Some(Ok(Packet::PublicKey(packet))) => packet,
            Some(Ok(Packet::SecretKey(_))) => {
                let text = "this is a private key; sealing takes the receiver's public key";
                return Err(Error::new(ErrorKind::BadKey, text));
            }
            _ => return Err(Error::new(ErrorKind::BadKey, "this is not an OpenPGP public key")),
        };
        check_rsa(&packet)?;
        let bare = packets.next().is_none();
        if !bare {
            check_life(&bytes, now)?;
        }
        Ok(PublicKey { packet, bare })
    }

    /// In hexadecimal; what to compare with the receiver by another way.
    pub fn fingerprint(&self) -> String {
        self.packet.fingerprint().to_string()
    }

    /// Whether the file holds the key and nothing about it: no owner, no expiry, no revocation, and
    /// nothing that another program would take for a key.
    pub fn is_bare(&self) -> bool {
        self.bare
    }
}

/// A private key to open with. Shows only its fingerprint; wiped on drop.
pub struct SecretKey {
    pub(super) packet: AnyPacket,
}

pub(super) enum AnyPacket {
    Primary(packet::SecretKey),
    Subkey(packet::SecretSubkey),
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecretKey").field(&self.fingerprint()).finish()
    }
}

impl SecretKey {
    /// Reads every RSA key of a file, armored or binary: what `s3s2 genkey` writes, or
    /// `gpg --export-secret-keys` of a key without passphrase.
    ///
    /// # Errors
    /// [`ErrorKind::BadKey`] for what is no private key, [`ErrorKind::NeedsPassphrase`] for keys that a
    /// passphrase protects, which s3s2 could not use either, [`ErrorKind::UnsupportedKey`] when there
    /// is no RSA key.
    pub fn parse(file: &[u8]) -> Result<Vec<SecretKey>, Error> {
        let bytes = binary(file, BlockType::PrivateKey)?;
        let mut keys = Vec::new();
        let mut refused = Error::new(ErrorKind::BadKey, "this is not an OpenPGP private key");
        for packet in packets(&bytes) {
            let (key, public, secret) = match packet {
                Ok(Packet::SecretKey(key)) => {
                    let public = key.public_params().clone();
                    let locked = matches!(key.secret_params(), SecretParams::Encrypted(_));
                    (AnyPacket::Primary(key), public, locked)
                }
                Ok(Packet::SecretSubkey(key)) => {
                    let public = key.public_params().clone();
                    let locked = matches!(key.secret_params(), SecretParams::Encrypted(_));
                    (AnyPacket::Subkey(key), public, locked)
                }
                _ => continue,
            };
            if !matches!(public, PublicParams::RSA(_)) {
                refused = only_rsa();
            } else if secret {
                refused = Error::new(
                    ErrorKind::NeedsPassphrase,
                    "a passphrase protects this private key, which s3s2 cannot use; export it without",
                );
            } else {
                keys.push(SecretKey { packet: key });
            }
        }
        if keys.is_empty() { Err(refused) } else { Ok(keys) }
    }

    /// Of the public key, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        match &self.packet {
            AnyPacket::Primary(key) => key.fingerprint().to_string(),
            AnyPacket::Subkey(key) => key.fingerprint().to_string(),
        }
    }
}

/// Two key files, armored.
pub struct KeyPair {
    /// To keep.
    pub private: Zeroizing<String>,
    /// To give away.
    pub public: String,
    /// Of both, in hexadecimal.
    pub fingerprint: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyPair").field(&self.fingerprint).finish()
    }
}

/// Makes an RSA key of 4096 bits without passphrase. s3s2 reads its first packet, as it reads its own
/// keys; unlike those it has a user id and a self-signature, so that `gpg` takes it too.
///
/// # Errors
/// [`ErrorKind::Internal`] when the key cannot be made.
pub fn generate(user_id: &str) -> Result<KeyPair, Error> {
    let internal = |_| Error::internal("an RSA key cannot be made");
    let mut parameters = SecretKeyParamsBuilder::default();
    parameters
        .version(KeyVersion::V4)
        .key_type(KeyType::Rsa(RSA_BITS))
        .can_certify(true)
        .can_sign(true)
        .can_encrypt(EncryptionCaps::All)
        .preferred_symmetric_algorithms([SymmetricKeyAlgorithm::AES256].as_slice().into())
        .primary_user_id(user_id.to_owned());
    let parameters = parameters.build().map_err(|_| Error::usage("no key has such parameters"))?;
    let secret = parameters.generate(OsRng).map_err(internal)?;
    let public = secret.to_public_key();
    Ok(KeyPair {
        private: Zeroizing::new(
            secret.to_armored_string(ArmorOptions::default()).map_err(internal)?,
        ),
        public: public.to_armored_string(ArmorOptions::default()).map_err(internal)?,
        fingerprint: public.fingerprint().to_string(),
    })
}

/// Takes the armor off, if there is one.
fn binary(file: &[u8], kind: BlockType) -> Result<Zeroizing<Vec<u8>>, Error> {
    use std::io::Read as _;
    if file.len() > FILE_BYTES_MAX {
        return Err(Error::new(ErrorKind::BadKey, "this is too large for a key"));
    }
    // The high bit is set in the first byte of every packet, and in no text.
    if file.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Ok(Zeroizing::new(file.to_vec()));
    }
    let malformed = || Error::new(ErrorKind::BadKey, "this is not an OpenPGP key");
    let mut dearmor = Dearmor::new(Cursor::new(file));
    dearmor.read_header().map_err(|_| malformed())?;
    match dearmor.typ {
        Some(found) if found == kind => {}
        Some(BlockType::PrivateKey) => {
            let text = "this is a private key; sealing takes the receiver's public key";
            return Err(Error::new(ErrorKind::BadKey, text));
        }
        Some(BlockType::PublicKey) => {
            let text = "this is a public key; opening takes the private key";
            return Err(Error::new(ErrorKind::BadKey, text));
        }
        _ => return Err(malformed()),
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(file.len()));
    dearmor.read_to_end(&mut bytes).map_err(|_| malformed())?;
    Ok(bytes)
}

fn packets(bytes: &[u8]) -> impl Iterator<Item = pgp::errors::Result<Packet>> + '_ {
    PacketParser::new(Cursor::new(bytes)).take(PACKETS_MAX)
}

fn check_rsa(key: &packet::PublicKey) -> Result<(), Error> {
    let PublicParams::RSA(parameters) = key.public_params() else {
        return Err(only_rsa());
    };
    if key.version() != KeyVersion::V4 {
        let text = "this is not a key of version 4, which is all that s3s2 can use";
        return Err(Error::new(ErrorKind::UnsupportedKey, text));
    }
    // The modulus comes first, as a number with its length in bits before it (RFC 9580 section 3.2).
    let bytes = parameters.to_bytes().map_err(|_| Error::internal("a key cannot be written"))?;
    let bits = bytes.first_chunk().map_or(0, |length| u16::from_be_bytes(*length));
    if bits < RSA_BITS_MIN {
        let text = format!(
            "this RSA key has {bits} bits, too few to be safe; {RSA_BITS_MIN} are the least"
        );
        return Err(Error::new(ErrorKind::Weak, text));
    }
    Ok(())
}

fn only_rsa() -> Error {
    Error::new(ErrorKind::UnsupportedKey, "this is not an RSA key, and s3s2 can use no other")
}

/// What a certificate says of its primary key: revoked, expired. Signatures that do not verify say
/// nothing; a certificate in which none verifies is not one.
fn check_life(bytes: &[u8], now: u64) -> Result<(), Error> {
    let malformed = || Error::new(ErrorKind::BadKey, "this OpenPGP certificate is malformed");
    let certificate = SignedPublicKey::from_bytes(Cursor::new(bytes)).map_err(|_| malformed())?;
    let key = &certificate.primary_key;
    let details = &certificate.details;
    let revoked = details.revocation_signatures.iter().any(|signature| {
        signature.typ() == Some(SignatureType::KeyRevocation) && signature.verify_key(key).is_ok()
    });
    if revoked {
        return Err(Error::new(ErrorKind::RevokedKey, "this key was revoked by its owner"));
    }
    let users = details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(move |signature| {
            signature.verify_certification(key, pgp::types::Tag::UserId, &user.id).is_ok()
        })
    });
    let direct = details.direct_signatures.iter().filter(|sig| sig.verify_key(key).is_ok());
    // The newest self-signature is what counts (RFC 9580 section 5.2.3.10).
    let newest = users
        .chain(direct)
        .filter(|signature| signature.typ() != Some(SignatureType::CertRevocation))
        .max_by_key(|signature| signature.created())
        .ok_or_else(malformed)?;
    let life = newest.key_expiration_time().map_or(0, |life| u64::from(life.as_secs()));
    let created = u64::from(key.created_at().as_secs());
    if life > 0 && created + life <= now {
        return Err(Error::new(ErrorKind::ExpiredKey, "this key has expired"));
    }
    Ok(())
}
