//! What should be there: the exchange file turned into buckets, keys, policies and principals.
//!
//! Start with [`Desired::of`]. It is pure: no clock, no network. The one thing it cannot know is
//! the ARN that KMS will give a key, so documents are functions of [`Keys`]; before the key
//! exists a recognisable stand-in takes its place ([`KeyArn::planned`]).

use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::policies::{Grants, bucket, identity, key, limits, queue, trust};
use crate::stage::{self, Stage, holder};
use crate::trust_order;
use consign_model::{
    AccountId, AtRest, BucketName, Each, Exchange, ExchangeName, Lane, LaneName, Party, PartyName,
    Principal, PrincipalKind, Region, Trust, Writer,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The tag that says which exchange owns a bucket, key or user.
pub const TAG_EXCHANGE: &str = "consign:exchange";
/// The tag that says which lane of it.
pub const TAG_LANE: &str = "consign:lane";
/// The condition key of the exchange in the encryption context of a key that seals.
pub(crate) const CONTEXT_EXCHANGE: &str = "kms:EncryptionContext:consign-exchange";
/// The condition key of the lane in it.
pub(crate) const CONTEXT_LANE: &str = "kms:EncryptionContext:consign-lane";
/// How long an overwritten version stays.
pub const NONCURRENT_DAYS: u32 = 7;
/// How long the parts of an upload that nobody finished stay.
pub const UNFINISHED_UPLOAD_DAYS: u32 = 1;
/// KMS's longest waiting time before a key is gone, and with it all it encrypted.
pub const KEY_DELETION_DAYS: u32 = 30;

/// Everything an exchange needs in the cloud.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The exchange's name.
    pub exchange: ExchangeName,
    /// The digest of the exchange file's meaning.
    pub digest: [u8; 32],
    /// Where buckets and keys are.
    pub region: Region,
    /// The lanes by name; repositories and inboxes are lanes too ([`Stage`]).
    pub lanes: BTreeMap<LaneName, DesiredLane>,
    /// The parties by name.
    pub parties: BTreeMap<PartyName, DesiredParty>,
}

/// A party as a lane sees it: who, where, under which ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The party.
    pub party: PartyName,
    /// Its account.
    pub account: AccountId,
    /// Its principal's ARN.
    pub arn: String,
}

/// A bucket, its key and who is on it.
#[derive(Clone, Debug)]
pub struct DesiredLane {
    /// The exchange.
    pub exchange: ExchangeName,
    /// The lane.
    pub name: LaneName,
    /// The hub and the member, if it is one of the lanes of a hub.
    pub each: Option<Each>,
    /// The region of bucket and key.
    pub region: Region,
    /// The account that holds the bucket.
    pub owner: AccountId,
    /// The party whose account that is.
    pub owner_party: PartyName,
    /// The account that holds the key: another only for a repository.
    pub key_owner: AccountId,
    /// The party whose account that is.
    pub key_owner_party: PartyName,
    /// The bucket.
    pub bucket: BucketName,
    /// What every key of the lane begins with; often empty.
    pub prefix: String,
    /// How S3 encrypts.
    pub at_rest: AtRest,
    /// Whether the parties ask KMS themselves for the keys that they seal with (`keyring = "kms"`).
    pub asks_kms: bool,
    /// Whether the writer may upload in parts, for which it needs `kms:Decrypt`.
    pub multipart: bool,
    /// Whether a delivered consignment can be overwritten.
    pub write_once: bool,
    /// Days until an object expires.
    pub expire_days: u32,
    /// The only party that writes.
    pub writer: Holder,
    /// The only parties that read.
    pub readers: Vec<Holder>,
    /// The alias under which the key is found again.
    pub key_alias: String,
    /// What it is for.
    pub stage: Stage,
}

/// A party's principal and the lanes it is on.
#[derive(Clone, Debug)]
pub struct DesiredParty {
    /// The party.
    pub name: PartyName,
    /// Its account.
    pub account: AccountId,
    /// Its user or role.
    pub principal: Principal,
    /// The same as an ARN.
    pub arn: String,
    /// For a role: who may assume it, if `apply` may make it.
    pub trust: Option<Trust>,
    /// Lanes it writes to.
    pub writes: Vec<LaneName>,
    /// Lanes it reads from.
    pub reads: Vec<LaneName>,
}

/// The ARN of a lane's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyArn(String);

const PLANNED: &str = "to-be-created-for-";

impl KeyArn {
    /// A key that exists.
    pub fn new(arn: impl Into<String>) -> KeyArn {
        KeyArn(arn.into())
    }

    /// The stand-in for a key that `apply` will create. No key id of KMS looks like it.
    pub fn planned(lane: &DesiredLane) -> KeyArn {
        KeyArn(format!("arn:aws:kms:{}:{}:key/{PLANNED}{}", lane.region, lane.key_owner, lane.name))
    }

    /// As long as the key's will be, which a stand-in need not be.
    fn of_full_length(lane: &DesiredLane) -> KeyArn {
        const ID: &str = "00000000-0000-0000-0000-000000000000";
        KeyArn(format!("arn:aws:kms:{}:{}:key/{ID}", lane.region, lane.key_owner))
    }

    /// Whether this is a stand-in.
    pub fn is_planned(&self) -> bool {
        self.0.contains(&format!(":key/{PLANNED}"))
    }

    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of each lane that has one.
pub type Keys = BTreeMap<LaneName, KeyArn>;

impl Desired {
    /// Describes what `exchange` needs, or says why it cannot be had: two lanes on one bucket,
    /// two parties behind one principal, a document beyond AWS's limits.
    pub fn of(exchange: &Exchange) -> Result<Desired, Error> {
        let mut lanes: BTreeMap<LaneName, DesiredLane> = exchange
            .lanes
            .values()
            .map(|lane| Ok((lane.name.clone(), DesiredLane::of(exchange, lane)?)))
            .collect::<Result<_, Error>>()?;
        lanes.extend(stage::lanes(exchange)?.into_iter().map(|lane| (lane.name.clone(), lane)));
        let mut parties: BTreeMap<PartyName, DesiredParty> = exchange
            .parties
            .values()
            .map(|party| (party.name.clone(), DesiredParty::of(party)))
            .collect();
        for lane in lanes.values() {
            if let Some(writer) = parties.get_mut(&lane.writer.party) {
                writer.writes.push(lane.name.clone());
            }
            for reader in &lane.readers {
                if let Some(reader) = parties.get_mut(&reader.party) {
                    reader.reads.push(lane.name.clone());
                }
            }
        }
        let desired = Desired {
            exchange: exchange.name.clone(),
            digest: exchange.digest(),
            region: exchange.region.clone(),
            lanes,
            parties,
        };
        desired.check_distinct()?;
        desired.check_sizes()?;
        trust_order::check(&desired)?;
        Ok(desired)
    }

    /// The stand-ins for all keys.
    pub fn planned_keys(&self) -> Keys {
        self.complete(&Keys::new())
    }

    /// `known` completed by stand-ins for keys that do not exist yet.
    pub fn complete(&self, known: &Keys) -> Keys {
        let lanes = self.lanes.values().filter(|lane| lane.has_key());
        lanes
            .map(|lane| {
                let key = known.get(&lane.name).cloned();
                (lane.name.clone(), key.unwrap_or_else(|| KeyArn::planned(lane)))
            })
            .collect()
    }

    /// The inline policy of a party's principal; `None` for a party that needs none.
    ///
    /// A hub's lanes in its own account are left out: there the bucket and key policies, which
    /// name its principal, grant by themselves. So the hub's policy does not grow with its
    /// partners, and needs no wildcard that could match a bucket of somebody else.
    pub fn identity_policy(&self, party: &DesiredParty, keys: &Keys) -> Option<Document> {
        let with_keys = |names: &[LaneName]| -> Vec<_> {
            let lanes = names.iter().filter_map(|name| self.lanes.get(name));
            let lanes = lanes.filter(|lane| !lane.is_granted_by_its_owner(party));
            lanes.map(|lane| (lane, keys.get(&lane.name))).collect()
        };
        identity::policy(&party.arn, &with_keys(&party.writes), &with_keys(&party.reads))
    }

    /// The name of every inline policy that this exchange writes.
    pub fn identity_policy_name(&self) -> String {
        format!("consign-{}", self.exchange)
    }

    /// What a user or role that this exchange creates carries.
    pub fn principal_tags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(TAG_EXCHANGE.to_owned(), self.exchange.to_string())])
    }

    /// Every document by a file name of its own: what `export policies` writes.
    pub fn documents(&self, keys: &Keys) -> BTreeMap<String, Document> {
        let keys = self.complete(keys);
        let mut documents = BTreeMap::new();
        for lane in self.lanes.values() {
            let key = keys.get(&lane.name);
            documents.insert(
                format!("bucket-{}.json", lane.name),
                bucket::policy(lane, key, Grants::Given),
            );
            if lane.has_key() {
                documents
                    .insert(format!("key-{}.json", lane.name), key::policy(lane, Grants::Given));
            }
        }
        for (lane, queue) in self.queues() {
            let (name, set_aside) = (&lane.name, queue::dead_letters_policy(queue));
            documents.insert(format!("queue-{name}.json"), queue::policy(queue));
            documents.insert(format!("dead-letters-{name}.json"), set_aside);
        }
        for party in self.parties.values() {
            if let Some(document) = self.identity_policy(party, &keys) {
                documents.insert(format!("identity-{}.json", party.name), document);
            }
            if let Some(document) = party.trust_policy() {
                documents.insert(format!("trust-{}.json", party.name), document);
            }
        }
        documents
    }

    fn check_distinct(&self) -> Result<(), Error> {
        let mut buckets = BTreeMap::new();
        for lane in self.lanes.values() {
            if let Some(other) = buckets.insert(&lane.bucket, &lane.name) {
                let name = &lane.name;
                return Err(Error::new(
                    ErrorKind::Exchange,
                    format!("`{other}` and `{name}` share the bucket {}", lane.bucket),
                )
                .with_hint("give each lane a bucket of its own: isolation is by bucket and key"));
            }
        }
        let mut principals = BTreeMap::new();
        for party in self.parties.values() {
            if let Some(other) = principals.insert(&party.arn, &party.name) {
                let name = &party.name;
                return Err(Error::new(
                    ErrorKind::Exchange,
                    format!("parties `{other}` and `{name}` are the same principal {}", party.arn),
                )
                .with_hint("S3 could not tell them apart: give each party its own user or role"));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), Error> {
        let lanes = self.lanes.values().filter(|lane| lane.has_key());
        let keys: Keys =
            lanes.map(|lane| (lane.name.clone(), KeyArn::of_full_length(lane))).collect();
        for lane in self.lanes.values() {
            let policy = bucket::policy(lane, keys.get(&lane.name), Grants::Given);
            let what = format!("the bucket policy of {}", lane.title());
            check_size(&what, &policy, limits::BUCKET_POLICY_BYTES, "name fewer receivers")?;
            let what = format!("the key policy of {}", lane.title());
            let policy = key::policy(lane, Grants::Given);
            check_size(&what, &policy, limits::KEY_POLICY_BYTES, "name fewer receivers")?;
        }
        for party in self.parties.values() {
            let Some(policy) = self.identity_policy(party, &keys) else { continue };
            let what = format!("the inline policy of {} (party `{}`)", party.principal, party.name);
            let (limit, hint) = match party.principal.kind() {
                PrincipalKind::User => (
                    limits::USER_INLINE_BYTES,
                    "let the party act as a role, which may carry 10,240 characters",
                ),
                PrincipalKind::Role => (
                    limits::ROLE_INLINE_BYTES,
                    "spread the lanes over several exchanges, or let this party own its lanes and \
                     write them with `each`",
                ),
            };
            check_size(&what, &policy, limit, hint)?;
        }
        Ok(())
    }
}

fn check_size(what: &str, document: &Document, limit: usize, hint: &str) -> Result<(), Error> {
    let size = document.to_json().len();
    if size <= limit {
        return Ok(());
    }
    let message = format!("{what} would have {size} characters, and AWS accepts {limit}");
    Err(Error::new(ErrorKind::TooLarge, message).with_hint(hint))
}

impl DesiredLane {
    fn of(exchange: &Exchange, lane: &Lane) -> Result<DesiredLane, Error> {
        let holder = |name: &PartyName| holder(exchange, name);
        let owner = holder(&lane.owner)?.account;
        if lane.quarantine {
            let message =
                format!("lane `{}` asks for quarantine, which is not provisioned yet", lane.name);
            return Err(Error::new(ErrorKind::Exchange, message).with_hint(
                "leave `quarantine` out: a lane that only looks guarded would be worse",
            ));
        }
        Ok(DesiredLane {
            exchange: exchange.name.clone(),
            name: lane.name.clone(),
            each: lane.each.clone(),
            region: exchange.region.clone(),
            key_owner: owner.clone(),
            key_owner_party: lane.owner.clone(),
            owner,
            owner_party: lane.owner.clone(),
            bucket: lane.bucket.clone(),
            prefix: lane.prefix.clone(),
            at_rest: lane.at_rest,
            asks_kms: lane.asks_kms(),
            multipart: lane.writer == Writer::Multipart,
            write_once: lane.write_once,
            expire_days: lane.expire_days,
            writer: holder(&lane.from)?,
            readers: lane.to.iter().map(holder).collect::<Result<_, _>>()?,
            key_alias: lane.key_alias(exchange),
            stage: Stage::Direct,
        })
    }

    /// Whether bucket and key grant `party` by themselves what the lane declares: it is the hub of
    /// this lane and owns it.
    pub fn is_granted_by_its_owner(&self, party: &DesiredParty) -> bool {
        let is_hub = self.each.as_ref().is_some_and(|each| each.hub == party.name);
        is_hub && self.owner == party.account
    }

    /// Whether the lane has a KMS key of its own.
    pub fn has_key(&self) -> bool {
        self.at_rest.has_key()
    }

    /// The bucket's default encryption. Customer-provided keys cannot be a default.
    pub fn sse_algorithm(&self) -> &'static str {
        match self.at_rest {
            AtRest::SseKms => "aws:kms",
            AtRest::DsseKms => "aws:kms:dsse",
            AtRest::SseS3 | AtRest::SseC => "AES256",
        }
    }

    /// Whether S3 keeps a bucket-level key, so that it asks KMS less often. DSSE has none.
    pub fn bucket_key(&self) -> bool {
        self.at_rest == AtRest::SseKms
    }

    /// Whether the bucket's name is one that S3 keeps for its owner's account and region, which
    /// the call that creates it has to say.
    pub fn account_regional(&self) -> bool {
        self.bucket.as_ref().ends_with(&format!("-{}-{}-an", self.owner, self.region))
    }

    /// What bucket and key carry.
    pub fn tags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (TAG_EXCHANGE.to_owned(), self.exchange.to_string()),
            (TAG_LANE.to_owned(), self.name.to_string()),
        ])
    }

    /// What the key's description says.
    pub fn key_description(&self) -> String {
        format!("consign: exchange {}, {} {}", self.exchange, self.stage.word(), self.name)
    }

    /// `arn:aws:s3:::bucket`.
    pub fn bucket_arn(&self) -> String {
        format!("arn:aws:s3:::{}", self.bucket)
    }

    /// Everything in the bucket, under the lane's prefix or not.
    pub fn every_object(&self) -> String {
        format!("arn:aws:s3:::{}/*", self.bucket)
    }

    /// Everything under the lane's prefix.
    pub fn every_lane_object(&self) -> String {
        format!("arn:aws:s3:::{}/{}*", self.bucket, self.prefix)
    }

    /// Everything that lies in a consignment: a ULID is 26 characters and begins with 0 until
    /// the year 3084.
    pub fn every_consignment_object(&self) -> String {
        format!("arn:aws:s3:::{}/{}0{}/*", self.bucket, self.prefix, "?".repeat(25))
    }

    /// `s3.eu-west-1.amazonaws.com`, as `kms:ViaService` has it.
    pub fn s3_service(&self) -> String {
        format!("s3.{}.amazonaws.com", self.region)
    }

    /// The readers' ARNs.
    pub fn reader_arns(&self) -> Vec<&str> {
        self.readers.iter().map(|reader| reader.arn.as_str()).collect()
    }

    /// Writer and readers.
    pub fn party_arns(&self) -> Vec<&str> {
        std::iter::once(self.writer.arn.as_str()).chain(self.reader_arns()).collect()
    }
}

impl DesiredParty {
    fn of(party: &Party) -> DesiredParty {
        DesiredParty {
            name: party.name.clone(),
            account: party.account.clone(),
            principal: party.principal.clone(),
            arn: party.principal.arn(&party.account),
            trust: party.trust.clone(),
            writes: Vec::new(),
            reads: Vec::new(),
        }
    }

    /// Whether the principal is a user.
    pub fn is_user(&self) -> bool {
        self.principal.kind() == PrincipalKind::User
    }

    /// Whether `apply` may make the principal: a user, or a role of which the exchange file says
    /// who may assume it.
    pub fn can_be_made(&self) -> bool {
        self.is_user() || self.trust.is_some()
    }

    /// Who may assume the role, if the exchange file says so.
    pub fn trust_policy(&self) -> Option<Document> {
        self.trust.as_ref().map(trust::policy)
    }
}
