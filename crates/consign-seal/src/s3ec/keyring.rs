//! Data keys, and the ways to wrap them.
//!
//! KMS wraps outside: this crate says what to ask of it ([`kms_context`], [`KeyRequest::Kms`]). Keys
//! that a party holds itself wrap here: [`AesKey`], [`RsaPublicKey`] and [`RsaPrivateKey`]. Where the
//! specification names these keyrings without a page of their own, what Amazon's clients for Java
//! and Ruby do is followed; both bind the algorithm of the content to the wrapped key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    Pkcs1PrivateDecryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use base64::Engine;
use zeroize::Zeroizing;

use super::pairs::Pairs;
use super::suite::Suite;
use super::{KeyRequest, does_not_open};
use crate::primitives::{BASE64_PADDED, random};
use crate::{Error, ErrorKind};

/// The name under which the suite stands in an encryption context.
pub(super) const CONTEXT_SUITE: &str = "aws:x-amz-cek-alg";
/// The other name that callers must not use, from V1.
pub(super) const CONTEXT_V1_KEY: &str = "kms_cmk_id";

const GCM_IV_BYTES: usize = 12;
const GCM_TAG_BYTES: usize = 16;

/// How a data key is wrapped (content-metadata.md, "V2/V3 Shared").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrap {
    /// By KMS, bound to an encryption context: `kms+context`, `12`.
    KmsContext,
    /// By an AES key: `AES/GCM`, `02`.
    AesGcm,
    /// For an RSA key, OAEP with SHA-1 in both places: `RSA-OAEP-SHA1`, `22`. SHA-1 is no weakness
    /// here: OAEP asks nothing of it that collisions would break (RFC 8017 §B.1).
    RsaOaepSha1,
    /// By KMS, bound to a material description: `kms`. Legacy.
    Kms,
    /// By an AES key with RFC 3394: `AESWrap`. Legacy.
    AesKeyWrap,
    /// By an AES key in ECB mode: V1, where nothing names it. Legacy.
    AesEcb,
    /// For an RSA key: `RSA/ECB/OAEPWithSHA-256AndMGF1Padding`. Legacy, and recognised only: Java
    /// takes SHA-256 for the label and SHA-1 for the mask there, which aws-lc-rs does not offer.
    RsaOaepSha256,
    /// For an RSA key with PKCS #1 1.5: V1, where nothing names it. Legacy.
    RsaPkcs1,
}

/// The values of `x-amz-wrap-alg`.
const V2_NAMES: [(&str, Wrap); 6] = [
    ("kms+context", Wrap::KmsContext),
    ("AES/GCM", Wrap::AesGcm),
    ("RSA-OAEP-SHA1", Wrap::RsaOaepSha1),
    ("kms", Wrap::Kms),
    ("AESWrap", Wrap::AesKeyWrap),
    ("RSA/ECB/OAEPWithSHA-256AndMGF1Padding", Wrap::RsaOaepSha256),
];

/// The values of `x-amz-w`. Nothing legacy has one.
const V3_NAMES: [(&str, Wrap); 3] =
    [("12", Wrap::KmsContext), ("02", Wrap::AesGcm), ("22", Wrap::RsaOaepSha1)];

impl Wrap {
    pub(super) fn from_v2_name(name: &str) -> Option<Wrap> {
        V2_NAMES.iter().find(|(known, _)| *known == name).map(|(_, wrap)| *wrap)
    }

    pub(super) fn from_v3_name(name: &str) -> Option<Wrap> {
        V3_NAMES.iter().find(|(known, _)| *known == name).map(|(_, wrap)| *wrap)
    }

    pub(super) fn v2_name(self) -> Option<&'static str> {
        V2_NAMES.iter().find(|(_, wrap)| *wrap == self).map(|(name, _)| *name)
    }

    pub(super) fn v3_name(self) -> Option<&'static str> {
        V3_NAMES.iter().find(|(_, wrap)| *wrap == self).map(|(name, _)| *name)
    }

    /// Whether it is only read, and only behind [`OpenPolicy::legacy_wrapping`](super::OpenPolicy).
    pub fn is_legacy(self) -> bool {
        !matches!(self, Wrap::KmsContext | Wrap::AesGcm | Wrap::RsaOaepSha1)
    }

    /// Whether KMS holds the key.
    pub fn is_kms(self) -> bool {
        matches!(self, Wrap::KmsContext | Wrap::Kms)
    }
}

/// The key of one object. Prints nothing, wiped on drop.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// A fresh one. With KMS, take the one that `GenerateDataKey` makes instead.
    pub fn generate() -> Result<DataKey, Error> {
        random::<32>().map(DataKey)
    }

    /// One that KMS made or unwrapped. Anything but 32 bytes is no key of this format: the sentence
    /// is that for a changed object, because a wrapped key may have been swapped for another.
    pub fn from_bytes(bytes: &[u8]) -> Result<DataKey, Error> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            let detail = format!("the data key has {} bytes instead of 32", bytes.len());
            return Err(does_not_open(detail));
        }
        key.copy_from_slice(bytes);
        Ok(DataKey(key))
    }

    /// The key itself, for KMS to wrap anew. Do not keep it.
    pub fn as_secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(****)")
    }
}

/// A data key as it lies beside the object, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    pub(super) suite: Suite,
    pub(super) wrap: Wrap,
    pub(super) bytes: Vec<u8>,
    /// Encryption context with KMS, material description otherwise.
    pub(super) pairs: Pairs,
}

impl WrappedKey {
    /// What KMS answered to `GenerateDataKey` or `Encrypt` under [`kms_context`] of the same `suite`
    /// and `context`.
    pub fn from_kms(
        suite: Suite,
        ciphertext: Vec<u8>,
        context: &Pairs,
    ) -> Result<WrappedKey, Error> {
        let pairs = kms_context(suite, context)?;
        Ok(WrappedKey { suite, wrap: Wrap::KmsContext, bytes: ciphertext, pairs })
    }

    /// How it is wrapped.
    pub fn wrap(&self) -> Wrap {
        self.wrap
    }
}

/// The encryption context to give to KMS: the caller's, and the suite under a reserved name, so that
/// a key for one suite does not open under another.
///
/// # Errors
/// [`ErrorKind::Usage`] where `context` has a reserved name, or for a suite that is only read.
pub fn kms_context(suite: Suite, context: &Pairs) -> Result<Pairs, Error> {
    refuse_reserved(context)?;
    refuse_legacy(suite)?;
    let mut context = context.clone();
    context.insert(CONTEXT_SUITE.to_owned(), suite.value().to_owned());
    Ok(context)
}

pub(super) fn refuse_reserved(context: &Pairs) -> Result<(), Error> {
    for name in [CONTEXT_SUITE, CONTEXT_V1_KEY] {
        if context.contains_key(name) {
            let text = format!("an encryption context must not name `{name}`: it is reserved");
            return Err(Error::usage(text));
        }
    }
    Ok(())
}

pub(super) fn refuse_legacy(suite: Suite) -> Result<(), Error> {
    if suite == Suite::Cbc {
        return Err(Error::usage(format!("{suite} is only read: seal with AES-GCM")));
    }
    Ok(())
}

/// A wrapping key of 256 bits that a party holds itself. Prints nothing, wiped on drop.
pub struct AesKey(Zeroizing<[u8; 32]>);

impl AesKey {
    /// A fresh one.
    pub fn generate() -> Result<AesKey, Error> {
        random::<32>().map(AesKey)
    }

    /// One from 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> AesKey {
        AesKey(Zeroizing::new(*bytes))
    }

    /// One from a file: 32 bytes as they are, or as text, in hexadecimal or base64.
    ///
    /// # Errors
    /// [`ErrorKind::BadKey`] for anything else.
    pub fn parse(file: &[u8]) -> Result<AesKey, Error> {
        if let Ok(bytes) = <&[u8; 32]>::try_from(file) {
            return Ok(AesKey::from_bytes(bytes));
        }
        let text = std::str::from_utf8(file).unwrap_or_default().trim();
        let bytes = Zeroizing::new(match text.len() {
            64 => from_hex(text).unwrap_or_default(),
            _ => BASE64_PADDED.decode(text).unwrap_or_default(),
        });
        let bytes = <&[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
            let text = "not an AES key: 32 bytes, or their hexadecimal or base64 text";
            Error::new(ErrorKind::BadKey, text)
        })?;
        Ok(AesKey::from_bytes(bytes))
    }

    /// The bytes, to be stored where secrets are.
    pub fn to_secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// Nonce, sealed key, tag, with the suite as additional data. `description` helps a reader to find
    /// the key; nothing authenticates it.
    pub fn wrap(
        &self,
        suite: Suite,
        key: &DataKey,
        description: &Pairs,
    ) -> Result<WrappedKey, Error> {
        refuse_legacy(suite)?;
        let iv = random::<GCM_IV_BYTES>()?;
        let mut bytes = iv.to_vec();
        let mut sealed = Zeroizing::new(key.as_secret_bytes().to_vec());
        let tag = self
            .gcm()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(*iv),
                Aad::from(suite.value()),
                &mut sealed,
            )
            .map_err(|_| Error::internal("wrapping the data key"))?;
        bytes.extend_from_slice(&sealed);
        bytes.extend_from_slice(tag.as_ref());
        Ok(WrappedKey { suite, wrap: Wrap::AesGcm, bytes, pairs: description.clone() })
    }

    /// The data key.
    ///
    /// # Errors
    /// [`ErrorKind::NotForYou`] for a request that no AES key can serve.
    pub fn unwrap(&self, request: &KeyRequest<'_>) -> Result<DataKey, Error> {
        let KeyRequest::Aes { suite, wrap, wrapped, .. } = *request else {
            return Err(not_for_you("an AES key", request));
        };
        let unwrapped = match wrap {
            Wrap::AesGcm => self.unwrap_gcm(suite, wrapped)?,
            Wrap::AesKeyWrap => self.unwrap_rfc3394(wrapped)?,
            _ => self.unwrap_ecb(wrapped)?,
        };
        DataKey::from_bytes(&unwrapped.ok_or_else(does_not_unwrap)?)
    }

    fn unwrap_gcm(
        &self,
        suite: Suite,
        wrapped: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let Some((iv, sealed)) = wrapped.split_first_chunk::<GCM_IV_BYTES>() else {
            return Ok(None);
        };
        let Some(length) = sealed.len().checked_sub(GCM_TAG_BYTES) else { return Ok(None) };
        let mut key = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*iv);
        let opened = self.gcm()?.open_in_place(nonce, Aad::from(suite.value()), &mut key).is_ok();
        key.truncate(length);
        Ok(opened.then_some(key))
    }

    fn unwrap_rfc3394(&self, wrapped: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let kek = AesKek::new(&key_wrap::AES_256, self.0.as_slice())
            .map_err(|_| Error::internal("AES key wrap"))?;
        let mut key = Zeroizing::new(vec![0; wrapped.len()]);
        let Ok(length) = kek.unwrap(wrapped, &mut key).map(|key| key.len()) else {
            return Ok(None);
        };
        key.truncate(length);
        Ok(Some(key))
    }

    fn unwrap_ecb(&self, wrapped: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let ecb = UnboundCipherKey::new(&cipher::AES_256, self.0.as_slice())
            .and_then(PaddedBlockDecryptingKey::ecb_pkcs7)
            .map_err(|_| Error::internal("AES-ECB key"))?;
        let mut key = Zeroizing::new(wrapped.to_vec());
        if key.is_empty() || !key.len().is_multiple_of(16) {
            return Ok(None);
        }
        let Ok(length) = ecb.decrypt(&mut key, DecryptionContext::None).map(|key| key.len()) else {
            return Ok(None);
        };
        key.truncate(length);
        Ok(Some(key))
    }

    fn gcm(&self) -> Result<LessSafeKey, Error> {
        UnboundKey::new(&AES_256_GCM, self.0.as_slice())
            .map(LessSafeKey::new)
            .map_err(|_| Error::internal("AES-GCM key"))
    }
}

impl std::fmt::Debug for AesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AesKey(****)")
    }
}

/// Wraps for whoever has the private key. RSA of 2048 to 8192 bits.
#[derive(Debug)]
pub struct RsaPublicKey(PublicEncryptingKey);

impl RsaPublicKey {
    /// From a SubjectPublicKeyInfo in DER.
    pub fn from_der(der: &[u8]) -> Result<RsaPublicKey, Error> {
        PublicEncryptingKey::from_der(der).map(RsaPublicKey).map_err(|_| bad_rsa_key("public"))
    }

    /// From PEM, `BEGIN PUBLIC KEY`.
    pub fn from_pem(text: &str) -> Result<RsaPublicKey, Error> {
        RsaPublicKey::from_der(&unpem(text, "PUBLIC KEY").ok_or_else(|| bad_rsa_key("public"))?)
    }

    /// From a SubjectPublicKeyInfo in base64 on one line, as an exchange file has it.
    pub fn from_base64(text: &str) -> Result<RsaPublicKey, Error> {
        let der = BASE64_PADDED.decode(text).map_err(|_| bad_rsa_key("public"))?;
        RsaPublicKey::from_der(&der)
    }

    /// The length of the data key, the key and the suite, sealed with OAEP. `description` helps a
    /// reader to find the key; nothing authenticates it.
    pub fn wrap(
        &self,
        suite: Suite,
        key: &DataKey,
        description: &Pairs,
    ) -> Result<WrappedKey, Error> {
        refuse_legacy(suite)?;
        let sealing =
            OaepPublicEncryptingKey::new(self.0.clone()).map_err(|_| Error::internal("RSA key"))?;
        let mut text = Zeroizing::new(Vec::with_capacity(64));
        text.push(32);
        text.extend_from_slice(key.as_secret_bytes());
        text.extend_from_slice(suite.value().as_bytes());
        let mut bytes = vec![0; sealing.ciphertext_size()];
        sealing
            .encrypt(&OAEP_SHA1_MGF1SHA1, &text, &mut bytes, None)
            .map_err(|_| Error::internal("RSA-OAEP"))?;
        Ok(WrappedKey { suite, wrap: Wrap::RsaOaepSha1, bytes, pairs: description.clone() })
    }
}

/// Unwraps what was wrapped for its public half. Prints nothing.
#[derive(Debug)]
pub struct RsaPrivateKey(PrivateDecryptingKey);

impl RsaPrivateKey {
    /// From PKCS #8 in DER, not encrypted.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<RsaPrivateKey, Error> {
        PrivateDecryptingKey::from_pkcs8(der).map(RsaPrivateKey).map_err(|_| bad_rsa_key("private"))
    }

    /// From PEM, `BEGIN PRIVATE KEY`: what `openssl genpkey` writes.
    pub fn from_pem(text: &str) -> Result<RsaPrivateKey, Error> {
        let der = unpem(text, "PRIVATE KEY").map(Zeroizing::new);
        RsaPrivateKey::from_pkcs8_der(&der.ok_or_else(|| bad_rsa_key("private"))?)
    }

    /// The public half.
    pub fn public_key(&self) -> RsaPublicKey {
        RsaPublicKey(self.0.public_key())
    }

    /// The data key.
    ///
    /// # Errors
    /// [`ErrorKind::NotForYou`] for a request that no RSA key can serve, and
    /// [`ErrorKind::UnsupportedKey`] for [`Wrap::RsaOaepSha256`].
    pub fn unwrap(&self, request: &KeyRequest<'_>) -> Result<DataKey, Error> {
        let KeyRequest::Rsa { suite, wrap, wrapped, .. } = *request else {
            return Err(not_for_you("an RSA key", request));
        };
        match wrap {
            Wrap::RsaOaepSha1 => self.unwrap_oaep(suite, wrapped),
            Wrap::RsaPkcs1 => self.unwrap_pkcs1(wrapped),
            _ => {
                let text = "its data key is wrapped with RSA-OAEP of SHA-256, which is not \
                            supported: rewrap it with the client that wrote it";
                Err(Error::new(ErrorKind::UnsupportedKey, text))
            }
        }
    }

    fn unwrap_oaep(&self, suite: Suite, wrapped: &[u8]) -> Result<DataKey, Error> {
        let opening = OaepPrivateDecryptingKey::new(self.0.clone())
            .map_err(|_| Error::internal("RSA key"))?;
        let mut room = Zeroizing::new(vec![0; opening.min_output_size()]);
        let text: &[u8] = opening
            .decrypt(&OAEP_SHA1_MGF1SHA1, wrapped, &mut room, None)
            .map_err(|_| does_not_unwrap())?;
        let (key, named) = text
            .strip_prefix(&[32])
            .and_then(|rest| rest.split_at_checked(32))
            .ok_or_else(does_not_unwrap)?;
        if named != suite.value().as_bytes() {
            return Err(does_not_open("the data key was wrapped for another suite"));
        }
        DataKey::from_bytes(key)
    }

    fn unwrap_pkcs1(&self, wrapped: &[u8]) -> Result<DataKey, Error> {
        let opening = Pkcs1PrivateDecryptingKey::new(self.0.clone())
            .map_err(|_| Error::internal("RSA key"))?;
        let mut room = Zeroizing::new(vec![0; opening.min_output_size()]);
        let key: &[u8] = opening.decrypt(wrapped, &mut room).map_err(|_| does_not_unwrap())?;
        DataKey::from_bytes(key)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// The contents of a PEM file with one block of this label and nothing after it.
fn unpem(text: &str, label: &str) -> Option<Vec<u8>> {
    let body = text
        .trim()
        .strip_prefix(&format!("-----BEGIN {label}-----"))?
        .strip_suffix(&format!("-----END {label}-----"))?;
    let dense: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|character| !character.is_ascii_whitespace()).collect());
    BASE64_PADDED.decode(dense.as_bytes()).ok()
}

fn bad_rsa_key(half: &str) -> Error {
    let form = if half == "public" { "SubjectPublicKeyInfo" } else { "unencrypted PKCS #8" };
    let text = format!("not a {half} RSA key of 2048 to 8192 bits as {form}");
    Error::new(ErrorKind::BadKey, text)
}

fn not_for_you(at_hand: &str, request: &KeyRequest<'_>) -> Error {
    let wanted = match request {
        KeyRequest::Kms { .. } => "by KMS",
        KeyRequest::Aes { .. } => "by an AES key",
        KeyRequest::Rsa { .. } => "for an RSA key",
    };
    let text = format!("its data key is wrapped {wanted}, and what is at hand is {at_hand}");
    Error::new(ErrorKind::NotForYou, text)
        .hinting("use the KMS key, AES key or RSA key that it was sealed with")
}

fn does_not_unwrap() -> Error {
    does_not_open("the data key does not unwrap")
}
