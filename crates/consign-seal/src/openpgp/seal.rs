//! Sealing: a session key for every recipient, then the content, signed if asked, in a container.

use std::io::{self, Write};

use pgp::composed::RawSessionKey;
use pgp::crypto::aead::AeadAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{
    OnePassSignature, PublicKeyEncryptedSessionKey, SignatureConfig, SignatureHasher,
    SignatureType, SignatureVersionSpecific, Subpacket, SubpacketData,
};
use pgp::ser::Serialize;
use pgp::types::{Fingerprint, KeyDetails, Password, SigningKey, Timestamp};
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use super::armor::{self, ArmorWriter};
use super::certificate::{Certificate, EncryptionKey};
use super::cipher::Suite;
use super::container::{WriteContainer, WriteV1, WriteV2};
use super::packet::{PacketWriter, tag, write_packet};
use super::secret::SecretKey;
use super::validity::Component;
use crate::{Error, ErrorKind};

/// How to seal.
#[derive(Clone, Copy, Debug)]
pub struct SealOptions<'a> {
    /// Who signs the content, inside the seal. Must be unlocked.
    pub signer: Option<&'a SecretKey>,
    /// Write text instead of bytes: a third longer.
    pub armor: bool,
    /// The file name inside the seal, at most 255 bytes; `""` for none. Receivers may show it.
    pub file_name: &'a str,
    /// The time, in Unix seconds: which keys are valid, and when the signature was made.
    pub at: u64,
}

impl SealOptions<'_> {
    /// No signature, no armor, no file name.
    pub fn at(unix_seconds: u64) -> SealOptions<'static> {
        SealOptions { signer: None, armor: false, file_name: "", at: unix_seconds }
    }
}

/// Chunks of 64 KiB: the tag costs nothing, and a reader need hold little.
const CHUNK_OCTET: u8 = 10;

/// What the container will be.
enum Form {
    V1(SymmetricKeyAlgorithm),
    V2(Suite),
}

impl Form {
    /// Version 2 where all recipients say that they read it, with the best suite that all of them
    /// know; else version 1, which everybody reads.
    ///
    /// AES-256-GCM is an order of magnitude faster here than OCB, so it comes first.
    fn for_all(
        recipients: &[Certificate],
        keys: &[EncryptionKey<'_>],
        at: u64,
    ) -> Result<Form, Error> {
        if !keys.iter().all(EncryptionKey::reads_seipd_v2) {
            for recipient in recipients {
                if !recipient.prefers_aes256(at)? {
                    return Ok(Form::V1(SymmetricKeyAlgorithm::AES128));
                }
            }
            return Ok(Form::V1(SymmetricKeyAlgorithm::AES256));
        }
        let mut known = Vec::new();
        for recipient in recipients {
            known.push(recipient.suites(at)?);
        }
        let best = [
            (SymmetricKeyAlgorithm::AES256, AeadAlgorithm::Gcm),
            (SymmetricKeyAlgorithm::AES256, AeadAlgorithm::Ocb),
            (SymmetricKeyAlgorithm::AES128, AeadAlgorithm::Gcm),
        ];
        let shared = best.into_iter().find(|suite| known.iter().all(|list| list.contains(suite)));
        let (cipher, mode) = shared.unwrap_or((SymmetricKeyAlgorithm::AES128, AeadAlgorithm::Ocb));
        Ok(Form::V2(Suite { cipher, mode, chunk_octet: CHUNK_OCTET }))
    }

    fn cipher(&self) -> SymmetricKeyAlgorithm {
        match self {
            Form::V1(cipher) => *cipher,
            Form::V2(suite) => suite.cipher,
        }
    }
}

/// Seals what is written to it.
///
/// Call [`SealWriter::finish`]: signature and authentication are written only there, and without
/// it readers find the message truncated. A dropped writer leaves that behind, on purpose.
pub struct SealWriter<W: Write> {
    literal: PacketWriter<WriteContainer<PacketWriter<ArmorWriter<W>>>>,
    signing: Option<Signing>,
    /// What a failed write left behind is unknown, so nothing may follow it.
    failed: bool,
}

impl<W: Write> SealWriter<W> {
    /// Writes all that comes before the content to `inner`.
    ///
    /// Errors: those of [`Certificate::encryption_keys`] for a recipient that cannot be sealed for
    /// (nothing is written then), [`ErrorKind::NeedsPassphrase`] for a locked signer,
    /// [`ErrorKind::Usage`] for no recipients or a long file name, [`ErrorKind::Io`].
    pub fn new(
        inner: W,
        recipients: &[Certificate],
        options: &SealOptions<'_>,
    ) -> Result<SealWriter<W>, Error> {
        if recipients.is_empty() {
            return Err(Error::usage("there is nobody to seal for"));
        }
        let name_bytes = u8::try_from(options.file_name.len())
            .map_err(|_| Error::usage("a file name inside OpenPGP has at most 255 bytes"))?;
        let mut keys = Vec::new();
        for recipient in recipients {
            keys.extend(recipient.encryption_keys(options.at)?);
        }
        let signing = options
            .signer
            .map(|signer| Signing::new(signer, recipients, options.at))
            .transpose()?;
        let form = Form::for_all(recipients, &keys, options.at)?;
        let session_key = session_key(form.cipher())?;
        let wrapped = wrap(&keys, &form, &session_key)?;

        let label = options.armor.then_some(armor::MESSAGE);
        let mut armor = ArmorWriter::new(inner, label).map_err(Error::from_io)?;
        armor.write_all(&wrapped).map_err(Error::from_io)?;
        let packet = PacketWriter::new(armor, tag::SEIPD);
        let mut container = match form {
            Form::V1(cipher) => WriteContainer::V1(WriteV1::new(packet, cipher, &session_key)?),
            Form::V2(suite) => WriteContainer::V2(WriteV2::new(packet, suite, &session_key)?),
        };
        if let Some(signing) = &signing {
            write_packet(&mut container, tag::ONE_PASS, &signing.one_pass)
                .map_err(Error::from_io)?;
        }
        let mut literal = PacketWriter::new(container, tag::LITERAL);
        // The time of the file is left out (0): it is nobody's business.
        let start = [&[b'b', name_bytes], options.file_name.as_bytes(), &[0; 4]].concat();
        literal.write_all(&start).map_err(Error::from_io)?;
        Ok(SealWriter { literal, signing, failed: false })
    }

    /// Signs, writes what ends the message, and gives the inner writer back, unflushed.
    pub fn finish(self) -> Result<W, Error> {
        if self.failed {
            return Err(Error::usage("an earlier write of the sealed message failed"));
        }
        let mut container = self.literal.finish().map_err(Error::from_io)?;
        if let Some(signing) = self.signing {
            let signature = signing.finish()?;
            write_packet(&mut container, tag::SIGNATURE, &signature).map_err(Error::from_io)?;
        }
        let armor = container.finish()?.finish().map_err(Error::from_io)?;
        armor.finish().map_err(Error::from_io)
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(io::Error::other("an earlier write of the sealed message failed"));
        }
        let taken = self.literal.write(bytes)?;
        if let (Some(signing), Some(taken)) = (&mut self.signing, bytes.get(..taken)) {
            signing.hasher.write_all(taken)?;
        }
        self.failed = false;
        Ok(taken)
    }

    /// Does nothing: pieces are written when they are full, and at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn session_key(cipher: SymmetricKeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut key = Zeroizing::new(vec![0u8; cipher.key_size()]);
    aws_lc_rs::rand::fill(&mut key).map_err(|_| Error::internal("no randomness"))?;
    Ok(key)
}

/// The packets that carry the session key, one for each key.
fn wrap(keys: &[EncryptionKey<'_>], form: &Form, session_key: &[u8]) -> Result<Vec<u8>, Error> {
    let session_key = RawSessionKey::from(session_key);
    let mut packets = Vec::new();
    for key in keys {
        let wrapped = match (form, key.component) {
            (Form::V1(cipher), Component::Primary(key)) => {
                PublicKeyEncryptedSessionKey::from_session_key_v3(OsRng, &session_key, *cipher, key)
            }
            (Form::V1(cipher), Component::Subkey(key)) => {
                PublicKeyEncryptedSessionKey::from_session_key_v3(OsRng, &session_key, *cipher, key)
            }
            (Form::V2(_), Component::Primary(key)) => {
                PublicKeyEncryptedSessionKey::from_session_key_v6(OsRng, &session_key, key)
            }
            (Form::V2(_), Component::Subkey(key)) => {
                PublicKeyEncryptedSessionKey::from_session_key_v6(OsRng, &session_key, key)
            }
        };
        let unusable = |_| {
            let context = format!("nothing can be sealed for the key {}", key.fingerprint());
            Error::new(ErrorKind::BadKey, context)
        };
        let body = wrapped.and_then(|packet| packet.to_bytes()).map_err(unusable)?;
        write_packet(&mut packets, tag::PKESK, &body).map_err(Error::from_io)?;
    }
    Ok(packets)
}

/// A signature in the making.
struct Signing {
    hasher: SignatureHasher,
    one_pass: Vec<u8>,
    signer: SecretKey,
    /// Which of its keys signs: none for the primary.
    subkey: Option<usize>,
}

impl Signing {
    /// Chooses the key and says who it is for: a signature that names its recipients cannot be
    /// passed on under another seal as if made for somebody else (RFC 9580 §5.2.3.36).
    fn new(signer: &SecretKey, recipients: &[Certificate], at: u64) -> Result<Signing, Error> {
        let subkey = signing_part(signer, at)?;
        let created = u32::try_from(at).map_err(|_| Error::usage("the time is beyond 2106"))?;
        let to: Vec<Fingerprint> =
            recipients.iter().map(|recipient| recipient.key.primary_key.fingerprint()).collect();
        let signer = signer.clone();
        let (config, one_pass) = match subkey.and_then(|i| signer.key.secret_subkeys.get(i)) {
            Some(subkey) => prepare(&subkey.key, created, &to),
            None => prepare(&signer.key.primary_key, created, &to),
        }
        .map_err(|_| Error::internal("preparing a signature"))?;
        let hasher = config.into_hasher().map_err(|_| Error::internal("preparing a signature"))?;
        Ok(Signing { hasher, one_pass, signer, subkey })
    }

    /// The signature packet's body.
    fn finish(self) -> Result<Vec<u8>, Error> {
        let none = Password::empty();
        let signature = match self.subkey.and_then(|i| self.signer.key.secret_subkeys.get(i)) {
            Some(subkey) => self.hasher.sign(&subkey.key, &none),
            None => self.hasher.sign(&self.signer.key.primary_key, &none),
        };
        signature
            .and_then(|signature| signature.to_bytes())
            .map_err(|_| Error::internal("signing with an OpenPGP key"))
    }
}

/// Which key of the signer signs: a subkey for it before the primary.
fn signing_part(signer: &SecretKey, at: u64) -> Result<Option<usize>, Error> {
    let certificate = signer.certificate();
    let usable = certificate.signing_keys(at)?;
    let is_usable = |fingerprint: Fingerprint| {
        usable.iter().any(|component| component.details().fingerprint() == fingerprint)
    };
    let subkey = signer.key.secret_subkeys.iter().position(|subkey| {
        is_usable(subkey.key.fingerprint()) && !subkey.key.secret_params().is_encrypted()
    });
    let primary = &signer.key.primary_key;
    if subkey.is_none()
        && (!is_usable(primary.fingerprint()) || primary.secret_params().is_encrypted())
    {
        let context =
            format!("the key {} is locked: its passphrase is needed", signer.fingerprint());
        return Err(Error::new(ErrorKind::NeedsPassphrase, context));
    }
    Ok(subkey)
}

/// What a signature will say, and the packet before the content that announces it.
fn prepare<K: SigningKey>(
    key: &K,
    created: u32,
    to: &[Fingerprint],
) -> pgp::errors::Result<(SignatureConfig, Vec<u8>)> {
    let kind = SignatureType::Binary;
    let mut config = SignatureConfig::from_key(OsRng, key, kind)?;
    let created = SubpacketData::SignatureCreationTime(Timestamp::from_secs(created));
    config.hashed_subpackets.push(Subpacket::critical(created)?);
    let issuer = SubpacketData::IssuerFingerprint(key.fingerprint());
    config.hashed_subpackets.push(Subpacket::regular(issuer)?);
    for recipient in to {
        let recipient = SubpacketData::IntendedRecipientFingerprint(recipient.clone());
        config.hashed_subpackets.push(Subpacket::regular(recipient)?);
    }
    let fingerprint = key.fingerprint();
    let v6 = <[u8; 32]>::try_from(fingerprint.as_bytes());
    let one_pass = match (&config.version_specific, v6) {
        (SignatureVersionSpecific::V6 { salt }, Ok(fingerprint)) => {
            OnePassSignature::v6(kind, config.hash_alg, config.pub_alg, salt.clone(), fingerprint)
        }
        _ => {
            let id = SubpacketData::IssuerKeyId(key.legacy_key_id());
            config.unhashed_subpackets.push(Subpacket::regular(id)?);
            OnePassSignature::v3(kind, config.hash_alg, config.pub_alg, key.legacy_key_id())
        }
    };
    Ok((config, one_pass.to_bytes()?))
}
