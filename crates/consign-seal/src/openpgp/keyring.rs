//! From bytes to keys: armored or binary, one or many, in the forms that people pass around.
//!
//! Parsing decides nothing about whether a key may be used: see [`super::validity`].

use pgp::composed::{PublicOrSecret, SignedPublicKey, SignedSecretKey};
use zeroize::Zeroizing;

use super::armor::{self, looks_armored, unarmor_blocks};
use super::packet::{Packets, tag, write_packet};
use crate::{Error, ErrorKind};

/// Far above any keyring that a person keeps, far below what hurts.
const KEYRING_BYTES_MAX: usize = 16 << 20;
const KEY_PACKET_BYTES_MAX: usize = 1 << 20;

pub(super) fn bad_key(context: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::BadKey, format!("this OpenPGP key cannot be read: {context}"))
}

/// The certificates in `bytes`. A secret key among them is an error: it does not belong where
/// public keys are kept.
pub(super) fn public_keys(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, Error> {
    let mut found = Vec::new();
    let label =
        if contains(bytes, armor::PRIVATE_KEY) { armor::PRIVATE_KEY } else { armor::PUBLIC_KEY };
    for key in keys(bytes, label)? {
        match key {
            PublicOrSecret::Public(key) => found.push(key),
            PublicOrSecret::Secret(_) => {
                return Err(bad_key(
                    "it is a secret key where a public one is wanted; export the public half with \
                     `gpg --export --armor` and keep the secret one to yourself",
                ));
            }
        }
    }
    Ok(found)
}

/// The secret keys in `bytes`; public ones are an error.
pub(super) fn secret_keys(bytes: &[u8]) -> Result<Vec<SignedSecretKey>, Error> {
    let mut found = Vec::new();
    let label =
        if contains(bytes, armor::PUBLIC_KEY) { armor::PUBLIC_KEY } else { armor::PRIVATE_KEY };
    for key in keys(bytes, label)? {
        match key {
            PublicOrSecret::Secret(key) => found.push(key),
            PublicOrSecret::Public(_) => {
                return Err(bad_key(
                    "it is a public key where a secret one is wanted (`gpg --export-secret-keys`)",
                ));
            }
        }
    }
    Ok(found)
}

/// Whether armor of this kind begins somewhere, for a sentence that says what was given instead.
fn contains(bytes: &[u8], label: &str) -> bool {
    looks_armored(bytes) && bytes.windows(label.len()).any(|window| window == label.as_bytes())
}

fn keys(bytes: &[u8], label: &'static str) -> Result<Vec<PublicOrSecret>, Error> {
    if bytes.len() > KEYRING_BYTES_MAX {
        return Err(bad_key("it is larger than 16 MiB"));
    }
    let mut found = Vec::new();
    if looks_armored(bytes) {
        for block in unarmor_blocks(bytes, label)? {
            binary_keys(&block, &mut found)?;
        }
    } else {
        binary_keys(bytes, &mut found)?;
    }
    if found.is_empty() {
        return Err(bad_key("there is none in it"));
    }
    Ok(found)
}

/// Appends the keys of a binary keyring. All that it holds must be understood as part of a key:
/// what the parser stops at could be a revocation.
fn binary_keys(bytes: &[u8], found: &mut Vec<PublicOrSecret>) -> Result<(), Error> {
    let mut packets = Packets::new(bytes);
    let mut cleaned = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut wanted = found.len();
    while let Some(kind) = packets.next_tag().map_err(bad_key)? {
        let body = Zeroizing::new(packets.whole_body(KEY_PACKET_BYTES_MAX).map_err(bad_key)?);
        match kind {
            // Notes of a keyring's owner to himself, and filling: no parts of a key.
            tag::TRUST | tag::MARKER | tag::PADDING => continue,
            tag::PUBLIC_KEY | tag::SECRET_KEY => wanted += 1,
            _ => {}
        }
        write_packet(&mut *cleaned, kind, &body).map_err(Error::from_io)?;
    }
    let keys = PublicOrSecret::from_bytes_many(cleaned.as_slice()).map_err(bad_key)?;
    for key in keys {
        found.push(key.map_err(bad_key)?);
    }
    if found.len() != wanted {
        return Err(bad_key("some of what it consists of is not understood"));
    }
    Ok(())
}
