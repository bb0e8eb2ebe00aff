//! What a certificate allows at a moment: which of its keys may be used for what, and why not.
//!
//! rPGP checks signatures; what they mean together is decided here (RFC 9580 §5.2.3.10 and
//! §10.1). The newest valid self-signature of each kind speaks, one that is not yet made or has
//! run out does not, and a revocation outweighs all. Self-signatures by way of MD5, SHA-1 or
//! RIPEMD-160 count for nothing: whoever can make a collision could have made them. Revocations
//! by way of these count all the same: the error is then on the safe side.
//!
//! Not decided here: whether the certificate belongs to whom it says. Whoever calls has compared
//! the fingerprint.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, PublicKey, PublicSubkey, RevocationCode, Signature, SignatureType};
use pgp::ser::Serialize;
use pgp::types::{
    EcdhPublicParams, Fingerprint, KeyDetails, KeyId, KeyVersion, PublicParams, SignatureBytes,
    Tag, VerifyingKey,
};

use crate::{Error, ErrorKind};

/// Shorter moduli can be factored by those who want to (NIST SP 800-131A).
const RSA_BITS_MIN: u16 = 2048;

/// A primary key or a subkey.
#[derive(Clone, Copy, Debug)]
pub(super) enum Component<'a> {
    Primary(&'a PublicKey),
    Subkey(&'a PublicSubkey),
}

impl Component<'_> {
    pub(super) fn details(&self) -> &dyn KeyDetails {
        match self {
            Component::Primary(key) => *key,
            Component::Subkey(key) => *key,
        }
    }

    pub(super) fn verify(
        &self,
        hash: HashAlgorithm,
        data: &[u8],
        signature: &SignatureBytes,
    ) -> bool {
        match self {
            Component::Primary(key) => key.verify(hash, data, signature).is_ok(),
            Component::Subkey(key) => key.verify(hash, data, signature).is_ok(),
        }
    }
}

/// A certificate at a moment: its valid self-signatures, the one that speaks first in front.
pub(super) struct Standing<'a> {
    key: &'a SignedPublicKey,
    at: u64,
    speaking: Vec<&'a Signature>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    Encrypt,
    Sign,
}

impl<'a> Standing<'a> {
    /// Refuses a certificate that is revoked, expired, not yet valid, or bound by nothing.
    pub(super) fn at(key: &'a SignedPublicKey, at: u64) -> Result<Standing<'a>, Error> {
        let primary = &key.primary_key;
        if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
            return Err(refuse(key, ErrorKind::UnsupportedKey, "is of a version older than 4"));
        }
        let revoked = key
            .details
            .revocation_signatures
            .iter()
            .filter(|signature| signature.verify_key(primary).is_ok())
            .any(|signature| revokes_at(signature, at));
        if revoked {
            return Err(refuse(key, ErrorKind::RevokedKey, "has been revoked by its owner"));
        }
        let mut seen = Seen::default();
        let mut direct = newest(&key.details.direct_signatures, at, &mut seen, |signature| {
            signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok()
        });
        let mut user = primary_user_signature(key, at, &mut seen);
        // Of a version 6 key the direct key signature speaks (§10.1.1), of an older one that of
        // the primary user id.
        if primary.version() == KeyVersion::V6 {
            std::mem::swap(&mut direct, &mut user);
        }
        let speaking: Vec<&Signature> = user.into_iter().chain(direct).collect();
        let standing = Standing { key, at, speaking };
        if standing.speaking.is_empty() {
            return Err(standing.nothing_binds(&seen));
        }
        if let Some(end) = ended(primary, standing.first(Signature::key_expiration_time), at) {
            let what = format!("expired on {}", date(end));
            return Err(refuse(key, ErrorKind::ExpiredKey, &what));
        }
        Ok(standing)
    }

    fn nothing_binds(&self, seen: &Seen) -> Error {
        if seen.weak {
            let what = "is bound by signatures with SHA-1 or MD5 alone, which can be forged; ask its \
                        owner to renew it";
            return refuse(self.key, ErrorKind::Weak, what);
        }
        if seen.ended {
            return refuse(
                self.key,
                ErrorKind::ExpiredKey,
                "has self-signatures that have expired",
            );
        }
        if u64::from(self.key.primary_key.created_at().as_secs()) > self.at {
            let what = "was made in the future, by this machine's clock";
            return refuse(self.key, ErrorKind::BadKey, what);
        }
        refuse(self.key, ErrorKind::BadKey, "has no valid signature of its own")
    }

    /// The first of the speaking signatures that says something has the word.
    fn first<T>(&self, of: impl Fn(&Signature) -> Option<T>) -> Option<T> {
        self.speaking.iter().find_map(|signature| of(signature))
    }

    /// What the certificate says its owner's software reads (§5.2.3.32).
    pub(super) fn reads_seipd_v2(&self) -> bool {
        let features = self.first(|signature| signature.features().cloned());
        features.is_some_and(|features| features.seipd_v2())
    }

    /// The signature that states preferences.
    pub(super) fn preferences(&self) -> Option<&'a Signature> {
        self.speaking.first().copied()
    }

    /// The keys that serve a purpose. If there is none, the error says why the likeliest does not.
    pub(super) fn keys(&self, purpose: Purpose) -> Result<Vec<Component<'a>>, Error> {
        let mut usable = Vec::new();
        let mut reason = None;
        let primary = Component::Primary(&self.key.primary_key);
        let flags = self.first(stated_flags);
        if serves(flags.as_ref(), primary.details(), purpose) {
            match strong_enough(self.key, primary.details()) {
                Ok(()) => usable.push(primary),
                Err(error) => reason = Some(error),
            }
        }
        for subkey in &self.key.public_subkeys {
            match self.subkey(subkey, purpose) {
                Ok(Some(component)) => usable.push(component),
                Ok(None) => {}
                Err(error) => reason = Some(error),
            }
        }
        if !usable.is_empty() {
            return Ok(usable);
        }
        let what = match purpose {
            Purpose::Encrypt => "has no key that may be encrypted to",
            Purpose::Sign => "has no key that may sign",
        };
        Err(reason.unwrap_or_else(|| refuse(self.key, ErrorKind::UnsupportedKey, what)))
    }

    /// A subkey that serves the purpose; nothing if it is for something else.
    fn subkey(
        &self,
        subkey: &'a SignedPublicSubKey,
        purpose: Purpose,
    ) -> Result<Option<Component<'a>>, Error> {
        let primary = &self.key.primary_key;
        let name = fingerprint_text(&subkey.key.fingerprint());
        let component = Component::Subkey(&subkey.key);
        let mut seen = Seen::default();
        let binding = newest(&subkey.signatures, self.at, &mut seen, |signature| {
            signature.typ() == Some(SignatureType::SubkeyBinding)
                && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        });
        let Some(binding) = binding else {
            if !serves(None, component.details(), purpose) || (!seen.weak && !seen.ended) {
                return Ok(None);
            }
            let kind = if seen.weak { ErrorKind::Weak } else { ErrorKind::ExpiredKey };
            let what = format!("binds its subkey {name} by a weak or expired signature alone");
            return Err(refuse(self.key, kind, &what));
        };
        let flags = stated_flags(binding);
        if !serves(flags.as_ref(), component.details(), purpose) {
            return Ok(None);
        }
        let revoked = subkey
            .signatures
            .iter()
            .filter(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation))
            .filter(|signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok())
            .any(|signature| revokes_at(signature, self.at));
        if revoked {
            let what = format!("has revoked its subkey {name}");
            return Err(refuse(self.key, ErrorKind::RevokedKey, &what));
        }
        if let Some(end) = ended(&subkey.key, binding.key_expiration_time(), self.at) {
            let what = format!("has a subkey {name} that expired on {}", date(end));
            return Err(refuse(self.key, ErrorKind::ExpiredKey, &what));
        }
        // A key that signs must itself say that it belongs here (§5.2.1.9): else somebody could
        // adopt another's key and claim what it signed.
        if purpose == Purpose::Sign {
            let agreed = binding.embedded_signature().is_some_and(|back| {
                !is_weak(back) && back.verify_primary_key_binding(&subkey.key, primary).is_ok()
            });
            if !agreed {
                let what =
                    format!("has a signing subkey {name} that does not say it belongs to it");
                return Err(refuse(self.key, ErrorKind::BadKey, &what));
            }
        }
        strong_enough(self.key, component.details())?;
        Ok(Some(component))
    }
}

/// Whether `key` is what an issuer field of a signature names.
pub(super) fn is_named(
    key: &dyn KeyDetails,
    ids: &[&KeyId],
    fingerprints: &[&Fingerprint],
) -> bool {
    if fingerprints.is_empty() {
        return ids.iter().any(|id| **id == key.legacy_key_id());
    }
    fingerprints.iter().any(|fingerprint| **fingerprint == key.fingerprint())
}

/// What was met among signatures that did not count.
#[derive(Default)]
struct Seen {
    weak: bool,
    ended: bool,
}

/// The newest signature that is valid at the moment.
fn newest<'a>(
    signatures: impl IntoIterator<Item = &'a Signature>,
    at: u64,
    seen: &mut Seen,
    verifies: impl Fn(&Signature) -> bool,
) -> Option<&'a Signature> {
    let mut best: Option<(&Signature, u64)> = None;
    for signature in signatures {
        let Some(created) = signature.created().map(|time| u64::from(time.as_secs())) else {
            continue;
        };
        if created > at || best.is_some_and(|(_, newer)| newer > created) || !verifies(signature) {
            continue;
        }
        if is_weak(signature) {
            seen.weak = true;
        } else if signature_ended(signature, at) {
            seen.ended = true;
        } else {
            best = Some((signature, created));
        }
    }
    best.map(|(signature, _)| signature)
}

/// The self-signature of the user id that is marked primary, or else of the newest.
fn primary_user_signature<'a>(
    key: &'a SignedPublicKey,
    at: u64,
    seen: &mut Seen,
) -> Option<&'a Signature> {
    let primary = &key.primary_key;
    let mut best: Option<&Signature> = None;
    for user in &key.details.users {
        let certifies = |signature: &Signature| {
            signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        };
        let binding = newest(&user.signatures, at, seen, |signature| {
            signature.typ() != Some(SignatureType::CertRevocation) && certifies(signature)
        });
        let Some(binding) = binding else { continue };
        let revoked = user.signatures.iter().any(|signature| {
            signature.typ() == Some(SignatureType::CertRevocation)
                && signature.created() >= binding.created()
                && signature.created().is_some_and(|time| u64::from(time.as_secs()) <= at)
                && certifies(signature)
        });
        let better = best.is_none_or(|best| {
            (binding.is_primary(), binding.created()) > (best.is_primary(), best.created())
        });
        if !revoked && better {
            best = Some(binding);
        }
    }
    best
}

pub(super) fn is_weak(signature: &Signature) -> bool {
    let strong = [
        HashAlgorithm::Sha224,
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
        HashAlgorithm::Sha3_256,
        HashAlgorithm::Sha3_512,
    ];
    !signature.hash_alg().is_some_and(|hash| strong.contains(&hash))
}

pub(super) fn signature_ended(signature: &Signature, at: u64) -> bool {
    let seconds = signature.signature_expiration_time().map_or(0, |time| time.as_secs());
    let created = signature.created().map_or(0, |time| time.as_secs());
    seconds != 0 && u64::from(created) + u64::from(seconds) <= at
}

/// A revocation for a compromised key, or for no stated reason, holds for all time; one because
/// the key was replaced or retired holds from when it was made (§5.2.3.31).
fn revokes_at(signature: &Signature, at: u64) -> bool {
    let soft = matches!(
        signature.revocation_reason_code(),
        Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired)
    );
    let created = signature.created().map_or(0, |time| u64::from(time.as_secs()));
    !soft || created <= at
}

/// When a key expired, if it has.
fn ended(key: &impl KeyDetails, lifetime: Option<pgp::types::Duration>, at: u64) -> Option<u64> {
    let seconds = lifetime.map(|lifetime| lifetime.as_secs()).filter(|seconds| *seconds != 0)?;
    let end = u64::from(key.created_at().as_secs()) + u64::from(seconds);
    (end <= at).then_some(end)
}

/// The flags that a signature states, or nothing if it states none.
fn stated_flags(signature: &Signature) -> Option<KeyFlags> {
    let config = signature.config()?;
    config.hashed_subpackets().find_map(|subpacket| match &subpacket.data {
        pgp::packet::SubpacketData::KeyFlags(flags) => Some(flags.clone()),
        _ => None,
    })
}

/// Whether flags allow a purpose. Old keys state none: then what the algorithm can do is allowed.
fn serves(flags: Option<&KeyFlags>, key: &dyn KeyDetails, purpose: Purpose) -> bool {
    match purpose {
        Purpose::Encrypt => {
            key.algorithm().can_encrypt()
                && flags.is_none_or(|flags| flags.encrypt_storage() || flags.encrypt_comms())
        }
        Purpose::Sign => key.algorithm().can_sign() && flags.is_none_or(|flags| flags.sign()),
    }
}

fn strong_enough(of: &SignedPublicKey, key: &dyn KeyDetails) -> Result<(), Error> {
    let name = fingerprint_text(&key.fingerprint());
    let unsupported = |what: &str| {
        let what = format!("has a key {name} of a kind that is not supported ({what})");
        Err(refuse(of, ErrorKind::UnsupportedKey, &what))
    };
    match key.public_params() {
        params @ PublicParams::RSA(_) => {
            // The first field is the modulus as a number with its length in bits (§3.2).
            let bytes = params.to_bytes().unwrap_or_default();
            let bits = bytes.first_chunk().map_or(0, |length| u16::from_be_bytes(*length));
            if bits < RSA_BITS_MIN {
                let what = format!("has an RSA key {name} of {bits} bits, which is too short");
                return Err(refuse(of, ErrorKind::Weak, &what));
            }
            Ok(())
        }
        PublicParams::ECDH(params) => match params {
            EcdhPublicParams::Curve25519Legacy { .. }
            | EcdhPublicParams::P256 { .. }
            | EcdhPublicParams::P384 { .. }
            | EcdhPublicParams::P521 { .. } => Ok(()),
            _ => unsupported("a curve other than Curve25519 and the NIST curves"),
        },
        PublicParams::X25519(_)
        | PublicParams::X448(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::ECDSA(_) => Ok(()),
        PublicParams::DSA(_) | PublicParams::Elgamal(_) => unsupported("DSA or ElGamal"),
        _ => unsupported("an algorithm unknown to this version"),
    }
}

pub(super) fn fingerprint_text(fingerprint: &Fingerprint) -> String {
    fingerprint.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect()
}

pub(super) fn key_id_text(id: &KeyId) -> String {
    id.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

fn refuse(key: &SignedPublicKey, kind: ErrorKind, what: &str) -> Error {
    let fingerprint = fingerprint_text(&key.primary_key.fingerprint());
    let user = key.details.users.first().map(|user| user.id.as_str().unwrap_or("?"));
    let of = user.map_or(String::new(), |user| format!(" of {}", user.escape_debug()));
    Error::new(kind, format!("the OpenPGP key {fingerprint}{of} {what}"))
}

/// A day as YYYY-MM-DD (Hinnant, "days_from_civil", run backwards).
pub(super) fn date(unix_seconds: u64) -> String {
    let days = unix_seconds / 86400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
