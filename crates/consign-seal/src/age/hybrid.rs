//! Post-quantum recipients, `age1pq1…`, and their identities, `AGE-SECRET-KEY-PQ-1…` (age.md,
//! "The MLKEM768-X25519 (i.e. X-Wing) hybrid post-quantum recipient type").
//!
//! Whoever wants the file key must break ML-KEM-768 and X25519, both. The key encapsulation is
//! MLKEM768-X25519 of draft-ietf-hpke-pq-03 (X-Wing, draft-connolly-cfrg-xwing-kem §5), around it
//! HPKE's base mode (RFC 9180 §6.1). ML-KEM, X25519, SHA3, HKDF and the AEAD are those of
//! aws-lc-rs; it makes no ML-KEM key from a seed, and gives no SHAKE, so those two steps of
//! reading an identity are the crates `ml-kem` and `shake` (docs/decisions/0011).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::digest;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use base64::Engine;
use shake::{ExtendableOutput, Update, XofReader};
use zeroize::Zeroizing;

use super::file_key::FileKey;
use super::stanza::{Stanza, broken, decode_exactly};
use super::text;
use super::x25519::is_of_low_order;
use crate::primitives::{
    BASE64_RAW, chacha20_poly1305, hmac_sha256, random, x25519, x25519_private, x25519_public,
};
use crate::{Error, ErrorKind};

pub(super) const STANZA: &str = "mlkem768x25519";
pub(super) const RECIPIENT_HRP: &str = "age1pq";
pub(super) const IDENTITY_HRP: &str = "AGE-SECRET-KEY-PQ-";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";

const ML_KEM_PUBLIC_BYTES: usize = 1184;
const ML_KEM_CIPHERTEXT_BYTES: usize = 1088;
pub(super) const PUBLIC_BYTES: usize = ML_KEM_PUBLIC_BYTES + 32;
const ENCAPSULATED_BYTES: usize = ML_KEM_CIPHERTEXT_BYTES + 32;
/// X-Wing §5.3: `\./` and `/^\`, a drawing of one.
const X_WING_LABEL: &[u8; 6] = b"\\.//^\\";
/// RFC 9180 §5.1: KEM MLKEM768-X25519 (0x647a), KDF HKDF-SHA256 (1), AEAD ChaCha20-Poly1305 (3).
const SUITE: &[u8; 10] = b"HPKE\x64\x7a\x00\x01\x00\x03";

/// An ML-KEM-768 and an X25519 public key, written `age1pq1…`: 1,959 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HybridRecipient {
    // INVARIANT: the first is an encapsulation key as FIPS 203 §7.2 wants it, the second not a
    // point of low order.
    public: Arc<[u8; PUBLIC_BYTES]>,
}

impl HybridRecipient {
    pub(super) fn from_bytes(public: &[u8; PUBLIC_BYTES]) -> Result<HybridRecipient, Error> {
        let bad = |what| Error::new(ErrorKind::BadKey, what);
        let (ml_kem, x25519) = halves(public);
        // FIPS 203 §7.2, "modulus check".
        if ml_kem::ml_kem_768::EncapsulationKey::new(&(*ml_kem).into()).is_err() {
            return Err(bad("this recipient holds no ML-KEM-768 key"));
        }
        if is_of_low_order(x25519)? {
            return Err(bad("this recipient holds a point of low order, which protects nothing"));
        }
        Ok(HybridRecipient { public: Arc::new(*public) })
    }

    pub(super) fn wrap(&self, file_key: &FileKey) -> Result<Stanza, Error> {
        let failed = |_| Error::internal("ML-KEM-768 encapsulation");
        let (ml_kem, their_x25519) = halves(&self.public);
        let (ciphertext, ml_kem_secret) = EncapsulationKey::new(&ML_KEM_768, ml_kem)
            .map_err(|_| Error::internal("ML-KEM-768 key"))?
            .encapsulate()
            .map_err(failed)?;
        let ephemeral = x25519_private(&*random::<32>()?)?;
        let share = x25519_public(&ephemeral)?;
        let x25519_secret = x25519(&ephemeral, their_x25519)
            .ok_or_else(|| Error::internal("agreement with a checked recipient"))?;
        let shared = combine(ml_kem_secret.as_ref(), &x25519_secret, &share, their_x25519);
        let mut encapsulated = ciphertext.as_ref().to_vec();
        encapsulated.extend_from_slice(&share);
        let mut body = file_key.bytes().to_vec();
        let (key, nonce) = key_schedule(&shared)?;
        chacha20_poly1305(&key)?
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut body)
            .map_err(|_| Error::internal("sealing the file key"))?;
        Stanza::new(STANZA, &[&BASE64_RAW.encode(encapsulated)], &body)
    }
}

impl fmt::Display for HybridRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::encode(RECIPIENT_HRP, self.public.as_slice()))
    }
}

/// The seed of both secret keys, written `AGE-SECRET-KEY-PQ-1…`. Wiped when dropped.
#[derive(Clone)]
pub struct HybridIdentity {
    seed: Zeroizing<[u8; 32]>,
    /// The decapsulation key of FIPS 203 §7.1, 2,400 bytes.
    ml_kem: Arc<Zeroizing<Vec<u8>>>,
    x25519: Zeroizing<[u8; 32]>,
    recipient: HybridRecipient,
}

impl HybridIdentity {
    pub(super) fn generate() -> Result<HybridIdentity, Error> {
        HybridIdentity::from_seed(random::<32>()?)
    }

    /// X-Wing §5.2, `expandDecapsulationKey`: SHAKE256 of the seed gives d and z of ML-KEM, then
    /// the secret of X25519.
    pub(super) fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<HybridIdentity, Error> {
        let mut expanded = Zeroizing::new([0u8; 96]);
        let mut hash = shake::Shake256::default();
        hash.update(seed.as_slice());
        hash.finalize_xof().read(expanded.as_mut_slice());
        let mut ml_kem_seed = Zeroizing::new([0u8; 64]);
        let mut x25519_secret = Zeroizing::new([0u8; 32]);
        ml_kem_seed.copy_from_slice(&expanded[..64]);
        x25519_secret.copy_from_slice(&expanded[64..]);
        let (decapsulation, encapsulation) = ml_kem_key(&ml_kem_seed);
        let mut public = [0u8; PUBLIC_BYTES];
        public[..ML_KEM_PUBLIC_BYTES].copy_from_slice(&encapsulation);
        public[ML_KEM_PUBLIC_BYTES..]
            .copy_from_slice(&x25519_public(&x25519_private(&x25519_secret)?)?);
        Ok(HybridIdentity {
            seed,
            ml_kem: Arc::new(decapsulation),
            x25519: x25519_secret,
            recipient: HybridRecipient { public: Arc::new(public) },
        })
    }

    pub(super) fn recipient(&self) -> &HybridRecipient {
        &self.recipient
    }

    pub(super) fn secret_text(&self) -> Zeroizing<String> {
        text::encode_secret(IDENTITY_HRP, self.seed.as_slice())
    }

    /// `None` where the stanza is for somebody else. ML-KEM rejects implicitly: for another key it
    /// gives another secret, and the AEAD refuses.
    pub(super) fn unwrap(&self, stanza: &Stanza) -> Result<Option<FileKey>, Error> {
        if stanza.name() != STANZA {
            return Ok(None);
        }
        let (encapsulated, body) = parts(stanza)?;
        let (ciphertext, share) = encapsulated.split_at(ML_KEM_CIPHERTEXT_BYTES);
        let share = <&[u8; 32]>::try_from(share).map_err(|_| Error::internal("lengths"))?;
        let ml_kem_secret = DecapsulationKey::new(&ML_KEM_768, &self.ml_kem)
            .map_err(|_| Error::internal("ML-KEM-768 key"))?
            .decapsulate(Ciphertext::from(ciphertext))
            .map_err(|_| Error::internal("ML-KEM-768 decapsulation"))?;
        let x25519_secret = x25519(&x25519_private(&self.x25519)?, share)
            .ok_or_else(|| broken("the share of a recipient is a point of low order"))?;
        let (_, our_x25519) = halves(&self.recipient.public);
        let shared = combine(ml_kem_secret.as_ref(), &x25519_secret, share, our_x25519);
        let (key, nonce) = key_schedule(&shared)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let opened = chacha20_poly1305(&key)?.open_in_place(nonce, Aad::empty(), &mut plain);
        let file_key = opened.ok().and_then(|plain| <[u8; 16]>::try_from(&*plain).ok());
        Ok(file_key.map(FileKey::from_bytes))
    }
}

/// Two arguments, an encapsulated key of 1,120 bytes, a body of 32 bytes; all else is rejected.
pub(super) fn check(stanza: &Stanza) -> Result<(), Error> {
    parts(stanza).map(drop)
}

fn parts(stanza: &Stanza) -> Result<([u8; ENCAPSULATED_BYTES], &[u8; 32]), Error> {
    let [encapsulated] = stanza.arguments() else {
        return Err(broken("a post-quantum recipient has the wrong number of arguments"));
    };
    let encapsulated = decode_exactly(encapsulated).ok_or_else(|| {
        broken("the encapsulated key of a post-quantum recipient is not 1120 canonical bytes")
    })?;
    let body = <&[u8; 32]>::try_from(stanza.body())
        .map_err(|_| broken("the body of a post-quantum recipient is not 32 bytes"))?;
    Ok((encapsulated, body))
}

fn halves(public: &[u8; PUBLIC_BYTES]) -> (&[u8; ML_KEM_PUBLIC_BYTES], &[u8; 32]) {
    let (ml_kem, x25519) = public.split_at(ML_KEM_PUBLIC_BYTES);
    (
        ml_kem.try_into().expect("1184 bytes are before the split"),
        x25519.try_into().expect("32 bytes are behind the split"),
    )
}

/// FIPS 203 §7.1, `ML-KEM.KeyGen_internal`: the decapsulation key and the encapsulation key.
#[allow(deprecated, reason = "aws-lc takes the expanded key, which FIPS 203 calls dk")]
fn ml_kem_key(seed: &[u8; 64]) -> (Zeroizing<Vec<u8>>, [u8; ML_KEM_PUBLIC_BYTES]) {
    use ml_kem::ExpandedKeyEncoding;
    use ml_kem::KeyExport;
    let key = ml_kem::ml_kem_768::DecapsulationKey::from_seed((*seed).into());
    let mut expanded = key.to_expanded_bytes();
    let decapsulation = Zeroizing::new(expanded.to_vec());
    zeroize::Zeroize::zeroize(expanded.as_mut_slice());
    (decapsulation, key.encapsulation_key().to_bytes().into())
}

/// X-Wing §5.3: SHA3-256 over both secrets, the X25519 share and key, and the label.
fn combine(
    ml_kem_secret: &[u8],
    x25519_secret: &[u8; 32],
    share: &[u8; 32],
    public: &[u8; 32],
) -> Zeroizing<[u8; 32]> {
    let mut hash = digest::Context::new(&digest::SHA3_256);
    for part in [ml_kem_secret, x25519_secret, share, public, X_WING_LABEL] {
        hash.update(part);
    }
    let mut shared = Zeroizing::new([0u8; 32]);
    shared.copy_from_slice(hash.finish().as_ref());
    shared
}

/// RFC 9180 §5.1, `KeySchedule` in base mode: the key and the nonce of the first message, which
/// here is the only one.
fn key_schedule(shared: &[u8; 32]) -> Result<(Zeroizing<[u8; 32]>, Nonce), Error> {
    let mut context = vec![0u8];
    context.extend_from_slice(&*labeled_extract(&[], b"psk_id_hash", &[]));
    context.extend_from_slice(&*labeled_extract(&[], b"info_hash", INFO));
    let secret = labeled_extract(shared, b"secret", &[]);
    let key = labeled_expand(&secret, b"key", &context, 32);
    let nonce = labeled_expand(&secret, b"base_nonce", &context, 12);
    let nonce = nonce.first_chunk::<12>().copied().unwrap_or_default();
    Ok((key, Nonce::assume_unique_for_key(nonce)))
}

/// RFC 9180 §4. HKDF-Extract is HMAC with the salt as its key.
fn labeled_extract(salt: &[u8], label: &[u8], ikm: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut text = Zeroizing::new(Vec::with_capacity(64 + ikm.len()));
    for part in [&b"HPKE-v1"[..], SUITE, label, ikm] {
        text.extend_from_slice(part);
    }
    Zeroizing::new(hmac_sha256(salt, &text))
}

/// RFC 9180 §4, for at most 32 bytes: one block of HKDF-Expand (RFC 5869 §2.3), of which the
/// first `length` are meant.
fn labeled_expand(
    secret: &[u8; 32],
    label: &[u8],
    context: &[u8],
    length: u8,
) -> Zeroizing<[u8; 32]> {
    let mut text = Vec::with_capacity(96 + context.len());
    for part in [&[0, length][..], b"HPKE-v1", SUITE, label, context, &[1]] {
        text.extend_from_slice(part);
    }
    Zeroizing::new(hmac_sha256(secret, &text))
}
