//! The master key of one root folder, and what is sealed under it.
//!
//! `ROOT/master.key` (32 random bytes, mode 0600) is the only key at rest in the clear. KMS key
//! material, session tokens and the data keys of SSE-S3 objects are AES-256-GCM boxes under keys
//! derived from it, one per purpose, so that a box of one purpose never opens as another.

use std::io::Write;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// Seals and opens under the master key.
pub struct Vault {
    root: Prk,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// The box was not sealed here, for this purpose, with this associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSealedHere;

impl std::fmt::Display for NotSealedHere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not sealed under this master key for this purpose and context")
    }
}

impl std::error::Error for NotSealedHere {}

impl Vault {
    /// A vault over 32 bytes of master key.
    pub fn new(master: &[u8; 32]) -> Vault {
        Vault { root: Salt::new(HKDF_SHA256, b"consign-local master 1").extract(master) }
    }

    /// Reads `path`, or makes it: random, mode 0600, synced before use.
    pub fn open_or_create(path: &Path) -> std::io::Result<Vault> {
        let mut master = Zeroizing::new([0u8; 32]);
        match std::fs::read(path).map(Zeroizing::new) {
            Ok(bytes) => {
                let Ok(bytes) = <&[u8; 32]>::try_from(bytes.as_slice()) else {
                    let why = format!("{} is not 32 bytes long", path.display());
                    return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
                };
                master.copy_from_slice(bytes);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fill(master.as_mut_slice());
                write_private(path, master.as_slice())?;
            }
            Err(error) => return Err(error),
        }
        Ok(Vault::new(&master))
    }

    /// Seals `plain`: nonce, ciphertext, tag. `purpose` names the kind of box (`"kms-key"`), `aad`
    /// binds it to its place.
    pub fn seal(&self, purpose: &str, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        seal_under(&self.key(purpose), aad, plain)
    }

    /// Opens what [`Vault::seal`] made with the same purpose and associated data.
    pub fn open(
        &self,
        purpose: &str,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        open_under(&self.key(purpose), aad, sealed)
    }

    fn key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0u8; 32]);
        self.root
            .expand(&[purpose.as_bytes()], HKDF_SHA256)
            .and_then(|okm| okm.fill(key.as_mut_slice()))
            .expect("HKDF-SHA256 gives 32 bytes");
        key
    }
}

/// AES-256-GCM under `key` with a random nonce: nonce, ciphertext, tag.
pub fn seal_under(key: &[u8; 32], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0u8; NONCE_LEN];
    fill(&mut nonce);
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + 16);
    sealed.extend_from_slice(&nonce);
    let mut body = plain.to_vec();
    aead(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .expect("AES-GCM seals anything that fits in memory");
    sealed.append(&mut body);
    sealed
}

/// Opens what [`seal_under`] made.
pub fn open_under(
    key: &[u8; 32],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(NotSealedHere)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotSealedHere)?;
    let mut body = Zeroizing::new(body.to_vec());
    let plain_bytes = aead(key)
        .open_in_place(nonce, Aad::from(aad), body.as_mut_slice())
        .map_err(|_| NotSealedHere)?
        .len();
    body.truncate(plain_bytes);
    Ok(body)
}

/// Fills `bytes` from the operating system's generator.
pub fn fill(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the operating system gives random bytes");
}

/// Writes a file that only its owner may read, synced, by rename: whole or absent.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Serde for boxes: base 64 text.
pub mod as_base64 {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes bytes as base 64.
    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base 64.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// Serde for text that is wiped on drop.
pub mod wiped {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    /// Writes the text.
    pub fn serialize<S: Serializer>(text: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    /// Reads text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}

fn aead(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_opens_only_with_its_key_purpose_and_context() {
        let vault = Vault::new(&[7; 32]);
        let sealed = vault.seal("kms-key", b"key-1", b"material");
        assert_eq!(vault.open("kms-key", b"key-1", &sealed).unwrap().as_slice(), b"material");
        assert!(vault.open("session", b"key-1", &sealed).is_err());
        assert!(vault.open("kms-key", b"key-2", &sealed).is_err());
        assert!(Vault::new(&[8; 32]).open("kms-key", b"key-1", &sealed).is_err());
        assert!(vault.open("kms-key", b"key-1", &sealed[..11]).is_err());
        assert!(vault.open("kms-key", b"key-1", &[]).is_err());
    }
}
