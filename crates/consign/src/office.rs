//! A party at work in an exchange: everything that sending and receiving need from outside.

use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::seals::Metadata;
use consign_cloud::Cloud;
use consign_model::{
    ConsignmentId, Date, Exchange, Keyring, Lane, LaneName, Layout, PartyName, Seal, Timestamp,
    Writer,
};
use consign_seal::age::Identity;
use consign_seal::openpgp::{Certificate, SecretKey};
use consign_seal::s3ec::RsaPrivateKey;
use consign_seal::s3s2;
use consign_seal::shared_secret::SharedSecret;
use consign_seal::sshsig::SigningKey;
use consign_transfer::{Cancel, Engine, Target};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// 128 unpredictable bits, for ids. Keys are made elsewhere, from the system's randomness.
pub type Dice = Arc<dyn Fn() -> u128 + Send + Sync>;

/// A party at work: who it is, in which exchange, with which keys, where it keeps its state.
///
/// Time, randomness, folders and the watcher are given from outside, so that a test decides them.
#[derive(Clone)]
pub struct Office {
    /// The exchange.
    pub exchange: Arc<Exchange>,
    /// The party that is at work.
    pub me: PartyName,
    /// The services, signed in as that party.
    pub cloud: Cloud,
    /// Where interrupted sends, chains and arrivals are remembered.
    pub state: PathBuf,
    /// The party's private keys.
    pub keys: Arc<Keys>,
    /// The time.
    pub clock: Clock,
    /// Randomness for ids.
    pub dice: Dice,
    /// Moves bytes; its limits bound the memory of everything that uses it.
    pub engine: Engine,
    /// Stops what is under way.
    pub cancel: Cancel,
    /// Watches.
    pub progress: Arc<dyn Progress>,
}

/// A party's private keys. Shows none of them.
#[derive(Default)]
pub struct Keys {
    /// What opens consignments to the party; needed to receive.
    pub identities: Vec<Identity>,
    /// What signs its manifests; needed to send.
    pub signer: Option<SigningKey>,
    /// The secrets of lanes with `at_rest = "sse-c"`, the newest first: sending uses that one,
    /// receiving any.
    pub lane_secrets: BTreeMap<LaneName, Vec<SharedSecret>>,
    /// What opens consignments on lanes with `seal = "openpgp"`, unlocked.
    pub openpgp_secret: Vec<SecretKey>,
    /// What opens consignments on lanes with `keyring = "rsa"`.
    pub rsa_private: Vec<RsaPrivateKey>,
    /// The certificates of parties, of which the exchange file pins the fingerprints.
    pub openpgp_certificates: Vec<Certificate>,
    /// What opens consignments on lanes with `layout = "s3s2"`.
    pub s3s2_secret: Arc<Vec<s3s2::SecretKey>>,
    /// The keys of parties on such lanes, of which the exchange file pins the fingerprints.
    pub s3s2_public: Vec<s3s2::PublicKey>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("identities", &self.identities.len())
            .field("signer", &self.signer.is_some())
            .field("lane_secrets", &self.lane_secrets)
            .field("openpgp_secret", &self.openpgp_secret.len())
            .field("rsa_private", &self.rsa_private.len())
            .field("openpgp_certificates", &self.openpgp_certificates.len())
            .field("s3s2_secret", &self.s3s2_secret.len())
            .field("s3s2_public", &self.s3s2_public.len())
            .finish()
    }
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office")
            .field("exchange", &self.exchange.name)
            .field("me", &self.me)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Office {
    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now_ms())
    }

    pub(crate) fn today(&self) -> Date {
        Date::from_unix_ms(self.now_ms())
    }

    /// The lane, if it is ours to send on and ready for it.
    pub(crate) fn lane_to_send(&self, name: &LaneName) -> Result<&Lane> {
        self.exchange.check_ready_to_send(name, self.today())?;
        let lane = self.exchange.require_lane(name)?;
        if lane.from != self.me {
            return Err(self.not_ours(&format!("lane `{name}` is sent on by `{}`", lane.from)));
        }
        self.check_lane_secret(lane).map(|()| lane)
    }

    /// The lane, if it is ours to receive from and ready for it.
    pub(crate) fn lane_to_receive(&self, name: &LaneName) -> Result<&Lane> {
        self.exchange.check_ready_to_receive(name)?;
        let lane = self.exchange.require_lane(name)?;
        if !lane.to.contains(&self.me) {
            let to: Vec<String> = lane.to.iter().map(|party| format!("`{party}`")).collect();
            return Err(self.not_ours(&format!("lane `{name}` leads to {}", to.join(", "))));
        }
        let none = match (lane.seal, lane.layout) {
            (Seal::Age, _) => self.keys.identities.is_empty(),
            (Seal::Openpgp, Layout::S3s2) => self.keys.s3s2_secret.is_empty(),
            (Seal::Openpgp, Layout::Consign) => self.keys.openpgp_secret.is_empty(),
            (Seal::S3ec, _) => lane.keyring == Keyring::Rsa && self.keys.rsa_private.is_empty(),
            (Seal::None, _) => false,
        };
        if none && lane.seal == Seal::S3ec {
            let message = format!("there is no RSA key to open what is sent to `{}`", self.me);
            return Err(Error::new(ErrorKind::Configuration, message).hinting(format!(
                "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out {}.rsa-secret in \
                 the key folder, mode 600",
                self.me
            )));
        }
        if none && lane.seal == Seal::Openpgp {
            let message = format!("there is no OpenPGP key to open what is sent to `{}`", self.me);
            let from = match lane.layout {
                Layout::Consign => "gpg --export-secret-keys KEY",
                Layout::S3s2 => "cat NAME.privkey",
            };
            return Err(Error::new(ErrorKind::Configuration, message).hinting(format!(
                "{from} > {}.openpgp-secret in the key folder, mode 600",
                self.me
            )));
        }
        if none {
            let message = format!("there is no identity to open what is sent to `{}`", self.me);
            return Err(Error::new(ErrorKind::Configuration, message)
                .hinting(format!("consign keys new {}", self.me)));
        }
        self.check_lane_secret(lane).map(|()| lane)
    }

    fn not_ours(&self, whose: &str) -> Error {
        let message = format!("{whose}, and not by or to `{}`, which is at work here", self.me);
        Error::new(ErrorKind::Configuration, message)
    }

    /// The account that must own the lane's bucket: nobody else's bucket of that name will do.
    pub(crate) fn owner_of(&self, lane: &Lane) -> Option<String> {
        self.exchange.party(&lane.owner).map(|owner| owner.account.to_string())
    }

    /// An object to write: never over another.
    pub(crate) fn target(
        &self,
        lane: &Lane,
        id: &ConsignmentId,
        name: &str,
        metadata: Metadata,
    ) -> Result<Target> {
        Ok(Target {
            bucket: lane.bucket.to_string(),
            key: key(lane, id, name),
            if_none_match: true,
            expected_bucket_owner: self.owner_of(lane),
            encryption: self.encryption(lane, id, name)?,
            metadata,
            single_put: lane.writer == Writer::EncryptOnly,
            ..Target::default()
        })
    }
}

/// `{prefix}{id}/{name}`.
pub(crate) fn key(lane: &Lane, id: &ConsignmentId, name: &str) -> String {
    format!("{}{id}/{name}", lane.prefix)
}

/// The manifest's and the signature's names on a lane.
pub(crate) fn manifest_names(lane: &Lane) -> (String, String) {
    let ending = lane.seal.ending();
    (format!("manifest.json{ending}"), format!("manifest.json.sig{ending}"))
}
