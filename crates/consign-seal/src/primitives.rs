//! The few shapes of aws-lc-rs that the formats use, each with the parameters fixed.
//!
//! Secrets: [`Zeroizing`] for what passes through our hands. aws-lc wipes all that it allocates
//! when it frees it (`OPENSSL_free` in crypto/mem.c): the contexts of the AEAD and of X25519.
//! aws-lc-rs wipes the input of HKDF, the shared secret of an agreement and the state of HMAC.
//! None of its key types prints contents.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::{hkdf, hmac, rand};
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::Error;

/// Base64 without padding; decoding refuses padding and stray trailing bits (age.md,
/// "Conventions": decoders MUST reject non-canonical encodings and `=`).
pub(crate) const BASE64_RAW: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Base64 with padding; decoding requires it and refuses stray trailing bits (RFC 4648 §3.5).
pub(crate) const BASE64_PADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(true)
        .with_decode_allow_trailing_bits(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0u8; N]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| Error::internal("no randomness"))?;
    Ok(bytes)
}

/// HKDF-SHA-256 with 32 bytes of output (age.md, "Conventions"; RFC 5869).
pub(crate) fn hkdf_sha256(
    ikm: &[u8],
    salt: &[u8],
    info: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut key = Zeroizing::new([0u8; 32]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
    prk.expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .map_err(|_| Error::internal("HKDF"))?;
    Ok(key)
}

pub(crate) fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let mut out = [0u8; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

/// Compares in constant time.
pub(crate) fn hmac_sha256_matches(key: &[u8; 32], data: &[u8], tag: &[u8; 32]) -> bool {
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), data, tag).is_ok()
}

pub(crate) fn chacha20_poly1305(key: &[u8; 32]) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key)
        .map_err(|_| Error::internal("ChaCha20-Poly1305 key"))?;
    Ok(LessSafeKey::new(key))
}

/// Seals a 16-byte file key under a wrap key that is used once, hence the fixed nonce (age.md,
/// "X25519 recipient stanza": 12 0x00 bytes).
pub(crate) fn wrap_file_key(wrap_key: &[u8; 32], file_key: &[u8; 16]) -> Result<[u8; 32], Error> {
    let mut body = [0u8; 32];
    body[..16].copy_from_slice(file_key);
    let (text, tag) = body.split_at_mut(16);
    chacha20_poly1305(wrap_key)?
        .seal_in_place_scatter(fixed_nonce(), Aad::empty(), text, &[], tag)
        .map_err(|_| Error::internal("sealing the file key"))?;
    Ok(body)
}

/// The reverse; `None` where the body does not authenticate, that is, for another recipient.
pub(crate) fn unwrap_file_key(
    wrap_key: &[u8; 32],
    body: &[u8; 32],
) -> Result<Option<Zeroizing<[u8; 16]>>, Error> {
    let mut file_key = Zeroizing::new([0u8; 16]);
    let (text, tag) = body.split_at(16);
    let opened = chacha20_poly1305(wrap_key)?.open_separate_gather(
        fixed_nonce(),
        Aad::empty(),
        text,
        tag,
        file_key.as_mut_slice(),
    );
    Ok(opened.is_ok().then_some(file_key))
}

fn fixed_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

pub(crate) fn x25519_private(secret: &[u8; 32]) -> Result<PrivateKey, Error> {
    PrivateKey::from_private_key(&X25519, secret).map_err(|_| Error::internal("X25519 key"))
}

pub(crate) fn x25519_public(key: &PrivateKey) -> Result<[u8; 32], Error> {
    let public = key.compute_public_key().map_err(|_| Error::internal("X25519 public key"))?;
    <[u8; 32]>::try_from(public.as_ref()).map_err(|_| Error::internal("X25519 public key length"))
}

/// The shared secret; `None` where it would be all zero, which is how a point of low order shows
/// (RFC 7748 §6.1). aws-lc refuses to derive it.
pub(crate) fn x25519(key: &PrivateKey, peer: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    agreement::agree(key, UnparsedPublicKey::new(&X25519, peer), (), |shared| {
        let mut secret = Zeroizing::new([0u8; 32]);
        if shared.len() != 32 {
            return Err(());
        }
        secret.copy_from_slice(shared);
        Ok(secret)
    })
    .ok()
}
