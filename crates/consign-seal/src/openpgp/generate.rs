//! New keys. The key pairs are rPGP's; what they are bound by is put together here, because the
//! time of every signature must be the caller's: a key whose self-signature is a second newer than
//! the clock that asks is not valid yet.

use pgp::composed::{KeyType, SignedKeyDetails, SignedSecretKey, SignedSecretSubKey};
use pgp::crypto::aead::AeadAlgorithm;
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::errors::Result as PgpResult;
use pgp::packet::{
    Features, KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey,
    SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{
    CompressionAlgorithm, KeyDetails, KeyVersion, PacketHeaderVersion, Password, SecretParams,
    SignedUser, Tag, Timestamp,
};
use rand::rngs::OsRng;

use super::secret::KeyKind;
use crate::Error;

pub(super) fn generate(kind: KeyKind, user_id: &str, at: u64) -> Result<SignedSecretKey, Error> {
    let seconds = u32::try_from(at).map_err(|_| Error::usage("the time is beyond 2106"))?;
    let made = Maker { kind, at: Timestamp::from_secs(seconds) }.key(user_id);
    made.map_err(|_| Error::internal("making an OpenPGP key"))
}

struct Maker {
    kind: KeyKind,
    at: Timestamp,
}

impl Maker {
    fn version(&self) -> KeyVersion {
        match self.kind {
            KeyKind::Curve25519 | KeyKind::Rsa4096 => KeyVersion::V4,
            KeyKind::Curve25519V6 => KeyVersion::V6,
        }
    }

    /// What signs, and what is encrypted to.
    fn types(&self) -> (KeyType, KeyType) {
        match self.kind {
            KeyKind::Curve25519 => {
                (KeyType::Ed25519Legacy, KeyType::ECDH(ECCCurve::Curve25519Legacy))
            }
            KeyKind::Rsa4096 => (KeyType::Rsa(4096), KeyType::Rsa(4096)),
            KeyKind::Curve25519V6 => (KeyType::Ed25519, KeyType::X25519),
        }
    }

    fn key(&self, user_id: &str) -> PgpResult<SignedSecretKey> {
        let (signing, encryption) = self.types();
        let (inner, secret) = self.pair(&signing)?;
        let primary = SecretKey::new(PublicKey::from_inner(inner)?, secret)?;
        let (inner, secret) = self.pair(&encryption)?;
        let subkey = SecretSubkey::new(PublicSubkey::from_inner(inner)?, secret)?;

        let none = Password::empty();
        let mut direct = Vec::new();
        // A version 6 key states flags and preferences in a direct key signature, an older one
        // with its name (RFC 9580 §10.1.1).
        if self.version() == KeyVersion::V6 {
            let config = self.config(&primary, SignatureType::Key, self.statements()?)?;
            direct.push(config.sign_key(&primary, &none, primary.public_key())?);
        }
        let user = UserId::from_str(PacketHeaderVersion::New, user_id)?;
        let mut said = vec![Subpacket::regular(SubpacketData::IsPrimary(true))?];
        if self.version() == KeyVersion::V4 {
            said.extend(self.statements()?);
        }
        let config = self.config(&primary, SignatureType::CertPositive, said)?;
        let public = primary.public_key();
        let certified = config.sign_certification(&primary, public, &none, Tag::UserId, &user)?;

        let mut flags = KeyFlags::default();
        flags.set_encrypt_comms(true);
        flags.set_encrypt_storage(true);
        let said = vec![Subpacket::critical(SubpacketData::KeyFlags(flags))?];
        let config = self.config(&primary, SignatureType::SubkeyBinding, said)?;
        let bound = config.sign_subkey_binding(&primary, public, &none, subkey.public_key())?;

        let users = vec![SignedUser::new(user, vec![certified])];
        let details = SignedKeyDetails::new(Vec::new(), direct, users, Vec::new());
        let subkeys = vec![SignedSecretSubKey::new(subkey, vec![bound])];
        Ok(SignedSecretKey::new(primary, details, Vec::new(), subkeys))
    }

    fn pair(&self, kind: &KeyType) -> PgpResult<(PubKeyInner, SecretParams)> {
        let (public, secret) = kind.generate(OsRng)?;
        let inner = PubKeyInner::new(self.version(), kind.to_alg(), self.at, None, public)?;
        Ok((inner, secret))
    }

    fn config(
        &self,
        primary: &SecretKey,
        kind: SignatureType,
        said: Vec<Subpacket>,
    ) -> PgpResult<SignatureConfig> {
        let mut config = SignatureConfig::from_key(OsRng, primary, kind)?;
        config.hashed_subpackets = vec![
            Subpacket::critical(SubpacketData::SignatureCreationTime(self.at))?,
            Subpacket::regular(SubpacketData::IssuerFingerprint(primary.fingerprint()))?,
        ];
        config.hashed_subpackets.extend(said);
        if self.version() == KeyVersion::V4 {
            let id = SubpacketData::IssuerKeyId(primary.legacy_key_id());
            config.unhashed_subpackets = vec![Subpacket::regular(id)?];
        }
        Ok(config)
    }

    /// What the key may do and what its owner's software reads. Version 4 states containers of
    /// version 1 alone, so that GnuPG opens what is sealed for it.
    fn statements(&self) -> PgpResult<Vec<Subpacket>> {
        use SymmetricKeyAlgorithm::{AES128, AES256};
        let mut flags = KeyFlags::default();
        flags.set_certify(true);
        flags.set_sign(true);
        let mut features = Features::new();
        features.set_seipd_v1(true);
        let hashes = [HashAlgorithm::Sha512, HashAlgorithm::Sha256];
        let mut said = vec![
            Subpacket::critical(SubpacketData::KeyFlags(flags))?,
            Subpacket::regular(SubpacketData::PreferredSymmetricAlgorithms(
                [AES256, AES128].into_iter().collect(),
            ))?,
            Subpacket::regular(SubpacketData::PreferredHashAlgorithms(
                hashes.into_iter().collect(),
            ))?,
            Subpacket::regular(SubpacketData::PreferredCompressionAlgorithms(
                [CompressionAlgorithm::Uncompressed].into_iter().collect(),
            ))?,
        ];
        if self.version() == KeyVersion::V6 {
            features.set_seipd_v2(true);
            let suites = [AES256, AES128]
                .into_iter()
                .flat_map(|aes| [AeadAlgorithm::Gcm, AeadAlgorithm::Ocb].map(|mode| (aes, mode)));
            said.push(Subpacket::regular(SubpacketData::PreferredAeadAlgorithms(
                suites.collect(),
            ))?);
        }
        said.push(Subpacket::regular(SubpacketData::Features(features))?);
        Ok(said)
    }
}
