//! The symmetric ciphers under OpenPGP containers: CFB for version 1, AEAD for version 2.
//!
//! aws-lc-rs does AES-CFB, SHA-1 and AES-GCM. OCB and EAX, which it does not have, and the block
//! ciphers of old messages come from rPGP.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, EncryptionContext, StreamingDecryptingKey,
    StreamingEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::{hkdf, iv::FixedLength};
use bytes::BytesMut;
use pgp::crypto::aead::AeadAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use zeroize::Zeroizing;

use super::packet::header;
use crate::{Error, ErrorKind};

pub(super) const TAG_BYTES: usize = 16;
pub(super) const SALT_BYTES: usize = 32;

/// CFB as containers of version 1 use it: no initialisation vector but zeros, because sixteen
/// random bytes come first (RFC 9580 §5.13.1).
fn aes_cfb_key(cipher: SymmetricKeyAlgorithm, key: &[u8]) -> Result<UnboundCipherKey, Error> {
    let algorithm = match cipher {
        SymmetricKeyAlgorithm::AES128 => &AES_128,
        SymmetricKeyAlgorithm::AES192 => &AES_192,
        SymmetricKeyAlgorithm::AES256 => &AES_256,
        _ => return Err(Error::internal("a cipher other than AES")),
    };
    UnboundCipherKey::new(algorithm, key)
        .map_err(|_| Error::new(ErrorKind::Tampered, "the session key has a wrong length"))
}

pub(super) fn cfb_encrypt(
    cipher: SymmetricKeyAlgorithm,
    key: &[u8],
) -> Result<StreamingEncryptingKey, Error> {
    let context = EncryptionContext::Iv128(FixedLength::from([0u8; 16]));
    StreamingEncryptingKey::less_safe_cfb128(aes_cfb_key(cipher, key)?, context)
        .map_err(|_| Error::internal("AES-CFB"))
}

pub(super) fn cfb_decrypt(
    cipher: SymmetricKeyAlgorithm,
    key: &[u8],
) -> Result<StreamingDecryptingKey, Error> {
    let context = DecryptionContext::Iv128(FixedLength::from([0u8; 16]));
    StreamingDecryptingKey::cfb128(aes_cfb_key(cipher, key)?, context)
        .map_err(|_| Error::internal("AES-CFB"))
}

pub(super) fn is_aes(cipher: SymmetricKeyAlgorithm) -> bool {
    use SymmetricKeyAlgorithm::{AES128, AES192, AES256};
    matches!(cipher, AES128 | AES192 | AES256)
}

/// A cipher, an AEAD mode and a chunk size: what a container of version 2 says of itself.
#[derive(Clone, Copy)]
pub(super) struct Suite {
    pub(super) cipher: SymmetricKeyAlgorithm,
    pub(super) mode: AeadAlgorithm,
    /// The chunk size is 2 to the power of this plus 6.
    pub(super) chunk_octet: u8,
}

impl Suite {
    /// Reads what a container says. Chunks above 4 MiB are refused, as RFC 9580 §5.13.2 does:
    /// a chunk must be held in memory before any of it may be given away.
    pub(super) fn parse(cipher: u8, mode: u8, chunk_octet: u8) -> Result<Suite, Error> {
        let cipher = SymmetricKeyAlgorithm::from(cipher);
        let mode = AeadAlgorithm::from(mode);
        if !is_aes(cipher) {
            return Err(unsupported(&format!("the cipher {cipher:?} in an AEAD container")));
        }
        if !matches!(mode, AeadAlgorithm::Gcm | AeadAlgorithm::Ocb | AeadAlgorithm::Eax) {
            return Err(unsupported(&format!("the AEAD mode {mode:?}")));
        }
        if chunk_octet > 16 {
            return Err(header("its chunks are larger than 4 MiB"));
        }
        Ok(Suite { cipher, mode, chunk_octet })
    }

    pub(super) fn chunk_bytes(self) -> usize {
        1usize << (u32::from(self.chunk_octet.min(16)) + 6)
    }

    fn info(self) -> [u8; 5] {
        [0xd2, 2, self.cipher.into(), self.mode.into(), self.chunk_octet]
    }

    pub(super) fn name(self) -> String {
        let mode = match self.mode {
            AeadAlgorithm::Gcm => "GCM",
            AeadAlgorithm::Ocb => "OCB",
            AeadAlgorithm::Eax => "EAX",
            _ => "unknown",
        };
        format!("{:?}-{mode}", self.cipher)
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::UnsupportedVersion, format!("this version cannot open {what}"))
}

/// The chunks of one container: each has a nonce of its own, made of its number (§5.13.2).
pub(super) struct Chunks {
    key: ChunkKey,
    /// Bytes that all nonces share; the number of the chunk follows.
    nonce_start: Vec<u8>,
    aad: Vec<u8>,
    /// GnuPG's form: the number is also in the associated data, and in the nonce by XOR.
    gnupg: bool,
}

enum ChunkKey {
    Gcm(LessSafeKey),
    Other { suite: Suite, key: Zeroizing<Vec<u8>> },
}

struct KeyMaterial(usize);

impl hkdf::KeyType for KeyMaterial {
    fn len(&self) -> usize {
        self.0
    }
}

impl Chunks {
    /// A container of version 2: key and nonces come from the session key and the salt.
    pub(super) fn version_2(
        suite: Suite,
        session_key: &[u8],
        salt: &[u8; SALT_BYTES],
    ) -> Result<Chunks, Error> {
        let key_bytes = suite.cipher.key_size();
        if session_key.len() != key_bytes {
            return Err(Error::new(ErrorKind::Tampered, "the session key has a wrong length"));
        }
        let nonce_bytes = suite.mode.nonce_size() - 8;
        let info = suite.info();
        let mut material = Zeroizing::new(vec![0u8; key_bytes + nonce_bytes]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(session_key)
            .expand(&[&info], KeyMaterial(material.len()))
            .and_then(|okm| okm.fill(&mut material))
            .map_err(|_| Error::internal("HKDF"))?;
        let (key, nonce_start) = material.split_at(key_bytes);
        Ok(Chunks {
            key: chunk_key(suite, key)?,
            nonce_start: nonce_start.to_vec(),
            aad: info.to_vec(),
            gnupg: false,
        })
    }

    /// GnuPG's own container (LibrePGP, packet 20): the session key is the key.
    pub(super) fn gnupg(suite: Suite, session_key: &[u8], iv: &[u8]) -> Result<Chunks, Error> {
        if session_key.len() != suite.cipher.key_size() {
            return Err(Error::new(ErrorKind::Tampered, "the session key has a wrong length"));
        }
        let mut aad = suite.info().to_vec();
        if let Some((tag, rest)) = aad.split_first_mut() {
            *tag = 0xd4;
            if let Some(version) = rest.first_mut() {
                *version = 1;
            }
        }
        let key = chunk_key(suite, session_key)?;
        Ok(Chunks { key, nonce_start: iv.to_vec(), aad, gnupg: true })
    }

    fn nonce(&self, index: u64) -> Vec<u8> {
        let mut nonce = self.nonce_start.clone();
        if self.gnupg {
            for (place, byte) in nonce.iter_mut().rev().zip(index.to_be_bytes().iter().rev()) {
                *place ^= byte;
            }
        } else {
            nonce.extend_from_slice(&index.to_be_bytes());
        }
        nonce
    }

    fn associated(&self, index: u64, total: Option<u64>) -> Vec<u8> {
        let mut aad = self.aad.clone();
        if self.gnupg {
            aad.extend_from_slice(&index.to_be_bytes());
        }
        if let Some(total) = total {
            aad.extend_from_slice(&total.to_be_bytes());
        }
        aad
    }

    /// Seals a chunk in place and appends its tag. `total` is the length of all content, for the
    /// last tag, which has no content of its own.
    pub(super) fn seal(
        &self,
        index: u64,
        total: Option<u64>,
        chunk: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let (nonce, aad) = (self.nonce(index), self.associated(index, total));
        match &self.key {
            ChunkKey::Gcm(key) => {
                let nonce = gcm_nonce(&nonce)?;
                key.seal_in_place_append_tag(nonce, Aad::from(aad), chunk)
                    .map_err(|_| Error::internal("AES-GCM"))
            }
            ChunkKey::Other { suite, key } => {
                let mut buffer = BytesMut::from(chunk.as_slice());
                suite
                    .mode
                    .encrypt_in_place(&suite.cipher, key, &nonce, &aad, &mut buffer)
                    .map_err(|_| Error::internal("AEAD"))?;
                chunk.clear();
                chunk.extend_from_slice(&buffer);
                Ok(())
            }
        }
    }

    /// Opens a chunk with its tag in place; `chunk` is then the content. Leaves nothing in it on
    /// failure.
    pub(super) fn open(
        &self,
        index: u64,
        total: Option<u64>,
        chunk: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let (nonce, aad) = (self.nonce(index), self.associated(index, total));
        let opened = match &self.key {
            ChunkKey::Gcm(key) => {
                let nonce = gcm_nonce(&nonce)?;
                key.open_in_place(nonce, Aad::from(aad), chunk).map(|plain| plain.len()).ok()
            }
            ChunkKey::Other { suite, key } => {
                let mut buffer = BytesMut::from(chunk.as_slice());
                let opened =
                    suite.mode.decrypt_in_place(&suite.cipher, key, &nonce, &aad, &mut buffer);
                opened.ok().map(|()| {
                    let length = buffer.len();
                    chunk.clear();
                    chunk.extend_from_slice(&buffer);
                    length
                })
            }
        };
        chunk.truncate(opened.unwrap_or(0));
        opened.map(drop).ok_or_else(tampered)
    }
}

fn gcm_nonce(nonce: &[u8]) -> Result<Nonce, Error> {
    Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::internal("a nonce"))
}

pub(super) fn tampered() -> Error {
    Error::new(ErrorKind::Tampered, "the content is not what was sealed: it does not authenticate")
}

fn chunk_key(suite: Suite, key: &[u8]) -> Result<ChunkKey, Error> {
    let algorithm = match (suite.mode, suite.cipher) {
        (AeadAlgorithm::Gcm, SymmetricKeyAlgorithm::AES128) => &AES_128_GCM,
        (AeadAlgorithm::Gcm, SymmetricKeyAlgorithm::AES192) => &AES_192_GCM,
        (AeadAlgorithm::Gcm, SymmetricKeyAlgorithm::AES256) => &AES_256_GCM,
        _ => return Ok(ChunkKey::Other { suite, key: Zeroizing::new(key.to_vec()) }),
    };
    let key = UnboundKey::new(algorithm, key).map_err(|_| Error::internal("AES-GCM"))?;
    Ok(ChunkKey::Gcm(LessSafeKey::new(key)))
}
