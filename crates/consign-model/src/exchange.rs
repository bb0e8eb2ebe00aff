//! The declared relationship of parties: what an `exchange.toml` means once it has been checked.

use crate::{
    AccountId, BucketName, Date, Digest, Error, ExchangeName, Inbox, InboxName, LaneName, Layout,
    PartyName, Principal, PublicKey, Region, Repository, RepositoryName, Route, RouteName,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Parties and the lanes between them. [`Exchange::parse`] is the only way to one.
///
/// INVARIANT: every lane's `from`, `to` and `owner` are parties; `to` is not empty, has no party
/// twice and not the sender; no two lanes share a bucket; no two parties share a principal or a
/// signer; only roles have a trust. Groups are gone: a lane for each member has become lanes.
/// Lanes, repositories and inboxes share neither names nor buckets; every repository and every inbox
/// is on a route, and no two routes lead to one key of an inbox.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Exchange {
    /// What the parties call it.
    pub name: ExchangeName,
    /// Where its buckets and keys are.
    pub region: Region,
    /// The parties by name.
    pub parties: BTreeMap<PartyName, Party>,
    /// The lanes by name.
    pub lanes: BTreeMap<LaneName, Lane>,
    /// Where work products are put for others, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub repositories: BTreeMap<RepositoryName, Repository>,
    /// Where they are delivered, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inboxes: BTreeMap<InboxName, Inbox>,
    /// What of a repository goes to which inbox, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<RouteName, Route>,
}

/// An organisation or person who sends or receives.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Party {
    /// Its name in this exchange.
    pub name: PartyName,
    /// Its AWS account.
    pub account: AccountId,
    /// What it acts as in that account.
    pub principal: Principal,
    /// For a role: who may assume it, if the exchange file says so and `apply` may make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// Public keys that open what is sent to it; may be empty until its keys are made.
    pub recipients: Vec<PublicKey>,
    /// Public keys that check what it signs; may be empty until its keys are made.
    pub signers: Vec<PublicKey>,
}

/// Who may assume a party's role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Trust {
    /// The ARN of a user, a role, or an account's root: whom that account's administrators choose.
    pub principal_arn: String,
    /// What the one who assumes must know: for a service that acts for many customers, so that
    /// none of them can send it to another's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// A one-way path from one party to one or more others.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Lane {
    /// Its name in this exchange.
    pub name: LaneName,
    /// The table this lane was written as, if that stands for a lane per member of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<Each>,
    /// Who sends.
    pub from: PartyName,
    /// Who receives: at least one, in the file's order.
    pub to: Vec<PartyName>,
    /// Whose account holds bucket and key.
    pub owner: PartyName,
    /// The bucket.
    pub bucket: BucketName,
    /// What every key on this lane begins with: empty, or ends with `/`.
    pub prefix: String,
    /// How S3 encrypts what it stores.
    pub at_rest: AtRest,
    /// How the sender encrypts before S3 sees anything.
    pub seal: Seal,
    /// How its consignments lie in the bucket.
    #[serde(skip_serializing_if = "Layout::is_default")]
    pub layout: Layout,
    /// With `seal = "s3ec"`: what wraps the keys of objects.
    #[serde(skip_serializing_if = "Keyring::is_default")]
    pub keyring: Keyring,
    /// Whether it is sealed to the sender, too, so that its readers can be changed later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub seal_to_sender: bool,
    /// How the writer uploads.
    pub writer: Writer,
    /// After how many days what was sent is deleted.
    pub expire_days: u32,
    /// Whether a delivered object can be overwritten by its sender: it cannot, if this is set.
    pub write_once: bool,
    /// Whether what arrives is held back until it has been released.
    pub quarantine: bool,
}

/// One of the lanes between a hub and each member of a group: `results-clinic-a`, written as
/// `[lane.results] each = "partners"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Each {
    /// The name of the table: `results`.
    pub lane: LaneName,
    /// The end that all its lanes share.
    pub hub: PartyName,
    /// The other end of this one.
    pub member: PartyName,
}

/// Encryption by S3 of what it stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtRest {
    /// Under the lane's KMS key.
    SseKms,
    /// Twice, under the lane's KMS key.
    DsseKms,
    /// Under S3's own key.
    SseS3,
    /// Under a key that comes with every request.
    SseC,
}

/// Encryption by the sender for the receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// age v1.
    Age,
    /// OpenPGP.
    Openpgp,
    /// The Amazon S3 Encryption Client's formats.
    S3ec,
    /// Not at all.
    None,
}

/// What wraps the keys of objects in the formats of Amazon's S3 Encryption Client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keyring {
    /// An AES key that follows from the lane's secret.
    #[default]
    Aes,
    /// The RSA key of the one receiver.
    Rsa,
    /// The lane's KMS key: the sender asks KMS for the key of each object, the receivers have it opened,
    /// each in an encryption context that names the object's place.
    Kms,
}

impl Keyring {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_default(&self) -> bool {
        *self == Keyring::default()
    }
}

/// How a writer uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writer {
    /// In parts; under SSE-KMS this needs `kms:Decrypt`, fenced to the upload itself.
    Multipart,
    /// In single requests of up to 5 GiB, without `kms:Decrypt`.
    EncryptOnly,
}

impl Exchange {
    /// Reads an exchange file.
    ///
    /// `file_name` is what messages call the file; `today` decides which keys have expired. The
    /// error names file, line and column, the thing and the remedy; it is the first in the file's
    /// order of what can be judged at that point.
    pub fn parse(text: &str, file_name: &str, today: Date) -> Result<Exchange, Error> {
        let raw = crate::raw::read(text, file_name)?;
        crate::check::exchange(&raw, file_name, text, today)
    }

    /// The party of this name.
    #[must_use]
    pub fn party(&self, name: &PartyName) -> Option<&Party> {
        self.parties.get(name)
    }

    /// The lane of this name.
    #[must_use]
    pub fn lane(&self, name: &LaneName) -> Option<&Lane> {
        self.lanes.get(name)
    }

    /// BLAKE3 of the canonical form: comments, order and spelling of the file do not count.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let canonical = serde_json::to_vec(self).expect("names and lists always serialise");
        *Digest::of(&canonical).as_bytes()
    }
}

impl Lane {
    /// Whether what is sent can be sealed to this key of a receiver.
    #[must_use]
    pub fn seals_to(&self, key: &PublicKey) -> bool {
        match (self.seal, self.keyring) {
            (Seal::Age, _) => key.is_age(),
            (Seal::Openpgp, _) => key.openpgp_fingerprint().is_some(),
            (Seal::S3ec, Keyring::Rsa) => key.rsa_base64().is_some(),
            (Seal::S3ec, Keyring::Aes | Keyring::Kms) | (Seal::None, _) => false,
        }
    }

    /// Whether its parties ask KMS themselves, and not through S3 alone: for the keys they seal with.
    #[must_use]
    pub fn asks_kms(&self) -> bool {
        self.seal == Seal::S3ec && self.keyring == Keyring::Kms
    }

    /// Whom what is sent is sealed to: the receivers, and the sender where the lane says so.
    pub fn sealed_to(&self) -> impl Iterator<Item = &PartyName> {
        self.to.iter().chain(self.seal_to_sender.then_some(&self.from))
    }
}

impl Party {
    /// The public keys to seal to on this day.
    pub fn live_recipients(&self, today: Date) -> impl Iterator<Item = &PublicKey> {
        self.recipients.iter().filter(move |key| key.is_live(today))
    }

    /// The public keys that may have signed on this day.
    pub fn live_signers(&self, today: Date) -> impl Iterator<Item = &PublicKey> {
        self.signers.iter().filter(move |key| key.is_live(today))
    }

    /// The full ARN of its principal.
    #[must_use]
    pub fn principal_arn(&self) -> String {
        self.principal.arn(&self.account)
    }
}

impl Lane {
    /// `alias/consign/{exchange}/{lane}`: the KMS alias of the lane's key.
    #[must_use]
    pub fn key_alias(&self, exchange: &Exchange) -> String {
        format!("alias/consign/{}/{}", exchange.name, self.name)
    }
}

impl AtRest {
    /// Whether S3 encrypts under a KMS key, which is the lane's own.
    #[must_use]
    pub fn has_key(self) -> bool {
        matches!(self, AtRest::SseKms | AtRest::DsseKms)
    }

    /// As in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AtRest::SseKms => "sse-kms",
            AtRest::DsseKms => "dsse-kms",
            AtRest::SseS3 => "sse-s3",
            AtRest::SseC => "sse-c",
        }
    }
}

impl Seal {
    /// As in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Seal::Age => "age",
            Seal::Openpgp => "openpgp",
            Seal::S3ec => "s3ec",
            Seal::None => "none",
        }
    }
}

impl Seal {
    /// What the names of sealed objects end in.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Seal::Age => ".age",
            Seal::Openpgp => ".gpg",
            Seal::S3ec => ".s3ec",
            Seal::None => "",
        }
    }
}

impl Writer {
    /// As in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Writer::Multipart => "multipart",
            Writer::EncryptOnly => "encrypt-only",
        }
    }
}
