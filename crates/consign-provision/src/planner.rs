//! What has to be done: the difference between [`Desired`] and [`Observed`].
//!
//! [`plan`] is pure. Its order never opens anything early:
//!
//! 1. users and roles that the exchange creates, keys and buckets in their closed state (nobody touches
//!    data), their settings;
//! 2. bucket policies with grants, key policies with grants, identity policies.

use crate::desired::{
    Desired, DesiredLane, DesiredParty, KeyArn, Keys, NONCURRENT_DAYS, UNFINISHED_UPLOAD_DAYS,
};
use crate::document::same_meaning;
use crate::effects::effects;
use crate::error::{Error, ErrorKind};
use crate::observed::{
    Encryption, KeyState, Lifecycle, Observed, ObservedBucket, ObservedKey, ObservedLane,
    Ownership, Sight, ownership,
};
use crate::plan::{Action, Change, Left, PLAN_VERSION, Plan, Purpose, Step, fingerprint, hex};
use crate::policies::{Grants, bucket, key};
use consign_model::{AccountId, AtRest, LaneName, PartyName};
use std::collections::{BTreeMap, BTreeSet};

/// What to do so that `observed` becomes `desired`.
///
/// # Errors
/// [`ErrorKind::NotOurs`] if a bucket, key or alias of a name we need belongs to somebody else.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, Error> {
    plan_adopting(desired, observed, &BTreeSet::new())
}

/// The same, taking over buckets and keys of these lanes that carry no ownership tags. What
/// carries another exchange's tags is refused all the same.
///
/// # Errors
/// As [`plan`].
pub fn plan_adopting(
    desired: &Desired,
    observed: &Observed,
    adopted: &BTreeSet<LaneName>,
) -> Result<Plan, Error> {
    let mut planner = Planner::new(desired, observed);
    planner.adopted = adopted.clone();
    planner.principals();
    for lane in desired.lanes.values() {
        planner.closed_lane(lane)?;
    }
    for lane in desired.lanes.values() {
        planner.grants(lane);
    }
    for party in desired.parties.values() {
        planner.identity(party);
    }
    for lane in desired.lanes.values() {
        planner.dangling(lane);
    }
    planner.removed();
    Ok(planner.finish(Purpose::Apply))
}

pub(crate) struct Planner<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) observed: &'a Observed,
    keys: Keys,
    pub(crate) steps: Vec<Step>,
    kept: Vec<String>,
    left: Vec<Left>,
    pub(crate) alarms: Vec<String>,
    adopted: BTreeSet<LaneName>,
}

static HIDDEN: ObservedLane = ObservedLane { bucket: Sight::Hidden, key: Sight::Hidden };

impl<'a> Planner<'a> {
    pub(crate) fn new(desired: &'a Desired, observed: &'a Observed) -> Planner<'a> {
        let keys = desired.complete(&observed.keys());
        let (steps, kept, left) = (Vec::new(), Vec::new(), Vec::new());
        let (alarms, adopted) = (Vec::new(), BTreeSet::new());
        Planner { desired, observed, keys, steps, kept, left, alarms, adopted }
    }

    pub(crate) fn finish(self, purpose: Purpose) -> Plan {
        let effects = match purpose {
            Purpose::Apply if self.steps.iter().any(Step::changes_access) => {
                effects(self.desired, self.observed)
            }
            Purpose::Apply | Purpose::Destroy => Vec::new(),
        };
        Plan {
            version: PLAN_VERSION,
            purpose,
            exchange: self.desired.exchange.to_string(),
            exchange_digest: hex(&self.desired.digest),
            fingerprint: fingerprint(self.observed),
            steps: self.steps,
            kept: self.kept,
            left: self.left,
            effects,
            alarms: self.alarms,
        }
    }

    pub(crate) fn seen(&self, lane: &DesiredLane) -> &'a ObservedLane {
        self.observed.lanes.get(&lane.name).unwrap_or(&HIDDEN)
    }

    pub(crate) fn step(
        &mut self,
        account: &AccountId,
        change: Change,
        words: String,
        action: Action,
    ) {
        self.steps.push(Step { account: account.clone(), change, words, action });
    }

    pub(crate) fn keep(&mut self, words: impl Into<String>) {
        self.kept.push(words.into());
    }

    pub(crate) fn leave(
        &mut self,
        party: &PartyName,
        account: &AccountId,
        words: String,
        documents: BTreeMap<String, String>,
    ) {
        let (party, account) = (party.clone(), account.clone());
        self.left.push(Left { party, account, words, documents });
    }

    /// Whether the untagged thing may be taken over.
    fn adopts(&self, lane: &DesiredLane, tags: &BTreeMap<String, String>) -> bool {
        self.adopted.contains(&lane.name) && ownership(tags, &lane.tags()) == Ownership::Unmarked
    }

    fn closed_lane(&mut self, lane: &DesiredLane) -> Result<(), Error> {
        let seen = self.seen(lane);
        if lane.has_key() {
            match &seen.key {
                Sight::Hidden => self.foreign_key(lane),
                Sight::Absent => self.new_key(lane),
                Sight::Present(key) => self.existing_key(lane, key)?,
            }
        }
        match &seen.bucket {
            Sight::Hidden => self.foreign_lane(lane),
            // Its default encryption and its policy name the key.
            _ if self.is_key_untold(lane) => {}
            Sight::Absent => {
                self.new_bucket(lane);
                self.queues(lane)?;
            }
            Sight::Present(bucket) => {
                self.existing_bucket(lane, bucket)?;
                self.queues(lane)?;
            }
        }
        Ok(())
    }

    /// The key is in another account, and its owner has not said which it is.
    fn is_key_untold(&self, lane: &DesiredLane) -> bool {
        lane.has_foreign_key() && self.seen(lane).key == Sight::Hidden
    }

    fn foreign_key(&mut self, lane: &DesiredLane) {
        if self.seen(lane).bucket == Sight::Hidden || !lane.has_foreign_key() {
            return;
        }
        let name = format!("key-{}.json", lane.name);
        let policy = key::policy(lane, Grants::Given).to_pretty_json();
        let words = format!(
            "make the key of {} in account {} and tell its ARN; then apply again with `--key {}=ARN`, \
             which makes bucket and queue",
            lane.title(),
            lane.key_owner,
            lane.name
        );
        let documents = BTreeMap::from([(name, policy)]);
        self.leave(&lane.key_owner_party, &lane.key_owner, words, documents);
    }

    fn foreign_lane(&mut self, lane: &DesiredLane) {
        let all = self.desired.documents(&self.keys);
        let mut names = vec![format!("bucket-{}.json", lane.name)];
        let what = match lane.has_foreign_key() {
            true => {
                let queues = ["queue", "dead-letters"];
                names.extend(queues.map(|queue| format!("{queue}-{}.json", lane.name)));
                "its queues"
            }
            false => {
                names.push(format!("key-{}.json", lane.name));
                "its key"
            }
        };
        let documents = names.into_iter().filter_map(|name| {
            let text = all.get(&name)?.to_pretty_json();
            Some((name, text))
        });
        let words = format!(
            "apply {} in account {}: bucket {} and {what}",
            lane.title(),
            lane.owner,
            lane.bucket
        );
        let documents = documents.collect();
        self.leave(&lane.owner_party, &lane.owner, words, documents);
    }

    fn new_key(&mut self, lane: &DesiredLane) {
        let stand_in = KeyArn::planned(lane);
        let action = Action::CreateKey {
            lane: lane.name.clone(),
            stand_in: stand_in.clone(),
            policy: key::policy(lane, Grants::Withheld).to_json(),
            description: lane.key_description(),
            tags: lane.tags(),
        };
        let words = format!("create a key for {}, closed", lane.title());
        self.step(&lane.key_owner, Change::Create, words, action);
        self.alias(lane, stand_in.clone());
        let words = format!("rotate the key of {} yearly", lane.title());
        self.step(&lane.key_owner, Change::Change, words, Action::EnableRotation { key: stand_in });
    }

    fn alias(&mut self, lane: &DesiredLane, key: KeyArn) {
        let words = format!("name the key {}", lane.key_alias);
        let action = Action::CreateAlias { alias: lane.key_alias.clone(), key };
        self.step(&lane.key_owner, Change::Create, words, action);
    }

    fn existing_key(&mut self, lane: &DesiredLane, key: &ObservedKey) -> Result<(), Error> {
        if key.is_told() {
            return Ok(());
        }
        if self.adopts(lane, &key.tags) {
            let words = format!("adopt the key {}", lane.key_alias);
            let action = Action::TagKey { key: key.arn.clone(), tags: lane.tags() };
            self.step(&lane.key_owner, Change::Change, words, action);
        } else {
            check_ours("key", &lane.key_alias, &key.tags, lane)?;
        }
        if key.state == KeyState::PendingDeletion {
            let words = format!("cancel the deletion of the key of {}", lane.title());
            let action = Action::CancelKeyDeletion { key: key.arn.clone() };
            self.step(&lane.key_owner, Change::Change, words, action);
        }
        if key.state != KeyState::Enabled {
            let words = format!("enable the key of {} again", lane.title());
            let action = Action::EnableKey { key: key.arn.clone() };
            self.step(&lane.key_owner, Change::Change, words, action);
        }
        if !key.has_alias {
            self.alias(lane, key.arn.clone());
        }
        if !key.rotates {
            let words = format!("rotate the key of {} yearly", lane.title());
            let action = Action::EnableRotation { key: key.arn.clone() };
            self.step(&lane.key_owner, Change::Change, words, action);
        }
        if key.state == KeyState::Enabled && key.has_alias && key.rotates {
            self.keep(format!("key {}", lane.key_alias));
        }
        Ok(())
    }

    fn new_bucket(&mut self, lane: &DesiredLane) {
        let name = lane.bucket.to_string();
        let action = Action::CreateBucket {
            account_regional: lane.account_regional(),
            bucket: name.clone(),
        };
        self.step(&lane.owner, Change::Create, format!("create bucket {name}"), action);
        self.settings(lane, &ObservedBucket::default());
    }

    fn existing_bucket(
        &mut self,
        lane: &DesiredLane,
        bucket: &ObservedBucket,
    ) -> Result<(), Error> {
        // A bucket without tags, policy and lifecycle is what a creation leaves that was
        // interrupted before it could tag: it grants nothing, and we own the account it is in.
        let untouched =
            bucket.tags.is_empty() && bucket.policy.is_none() && bucket.lifecycle.is_none();
        if !untouched && !self.adopts(lane, &bucket.tags) {
            check_ours("bucket", lane.bucket.as_ref(), &bucket.tags, lane)?;
        }
        let before = self.steps.len();
        self.settings(lane, bucket);
        if self.steps.len() == before {
            self.keep(format!("bucket {} and its settings", lane.bucket));
        }
        Ok(())
    }

    /// Everything about the bucket but its grants, in an order that is safe to stop anywhere in.
    fn settings(&mut self, lane: &DesiredLane, seen: &ObservedBucket) {
        let bucket = lane.bucket.to_string();
        let encryption = encryption(lane, self.keys.get(&lane.name));
        let mut put = |needed: bool, words: String, action: Action| {
            if needed {
                let words = format!("{words} on {bucket}");
                self.step(&lane.owner, Change::Change, words, action);
            }
        };
        let mut tags = seen.tags.clone();
        tags.extend(lane.tags());
        put(
            tags != seen.tags,
            "set ownership tags".to_owned(),
            Action::TagBucket { bucket: bucket.clone(), tags },
        );
        put(
            !seen.public_access_blocked,
            "block public access".to_owned(),
            Action::BlockPublicAccess { bucket: bucket.clone() },
        );
        put(
            seen.policy.is_none(),
            "deny data to everybody for now".to_owned(),
            Action::PutBucketPolicy {
                bucket: bucket.clone(),
                policy: bucket::policy(lane, None, Grants::Withheld).to_json(),
            },
        );
        put(
            !seen.owner_enforced,
            "switch ACLs off".to_owned(),
            Action::EnforceOwner { bucket: bucket.clone() },
        );
        put(
            seen.encryption.as_ref() != Some(&encryption),
            format!("encrypt with {} by default", encryption.words(lane)),
            Action::PutEncryption { bucket: bucket.clone(), encryption },
        );
        put(
            !seen.versioned,
            "keep overwritten versions".to_owned(),
            Action::EnableVersioning { bucket: bucket.clone() },
        );
        let lifecycle = lifecycle(lane);
        put(
            seen.lifecycle != Some(lifecycle),
            format!("expire objects after {} days", lane.expire_days),
            Action::PutLifecycle { bucket: bucket.clone(), lifecycle },
        );
    }

    fn grants(&mut self, lane: &DesiredLane) {
        let seen = self.seen(lane);
        let bucket_is_ours = seen.bucket != Sight::Hidden && !self.is_key_untold(lane);
        let key_is_ours = match &seen.key {
            Sight::Hidden => false,
            Sight::Absent => lane.has_key(),
            Sight::Present(key) => !key.is_told(),
        };
        if !bucket_is_ours && !key_is_ours {
            return;
        }
        if let Some(missing) = self.missing_role(lane) {
            let words = format!("open {}, once {missing} exists", lane.title());
            let (party, account) = match bucket_is_ours {
                true => (&lane.owner_party, &lane.owner),
                false => (&lane.key_owner_party, &lane.key_owner),
            };
            self.leave(party, account, words, BTreeMap::new());
            return;
        }
        if bucket_is_ours {
            self.bucket_grants(lane);
        }
        if key_is_ours {
            self.key_grants(lane);
        }
    }

    fn bucket_grants(&mut self, lane: &DesiredLane) {
        let policy = bucket::policy(lane, self.keys.get(&lane.name), Grants::Given).to_json();
        let there = self.seen(lane).bucket.seen().and_then(|bucket| bucket.policy.as_deref());
        if there.is_some_and(|there| same_meaning(there, &policy)) {
            self.keep(format!("bucket policy of {}", lane.title()));
        } else {
            let action = Action::PutBucketPolicy { bucket: lane.bucket.to_string(), policy };
            let words = format!("let {} on bucket {}", who(lane), lane.bucket);
            self.step(&lane.owner, Change::Change, words, action);
        }
    }

    fn key_grants(&mut self, lane: &DesiredLane) {
        let Some(key) = self.keys.get(&lane.name).cloned() else { return };
        let policy = key::policy(lane, Grants::Given).to_json();
        let there = self.seen(lane).key.seen().map(|key| key.policy.as_str());
        if there.is_some_and(|there| same_meaning(there, &policy)) {
            self.keep(format!("key policy of {}", lane.title()));
        } else {
            let (who, lane_title) = (who(lane), lane.title());
            let words = format!("let {who} with the key of {lane_title}, through S3 only");
            let action = Action::PutKeyPolicy { key, policy };
            self.step(&lane.key_owner, Change::Change, words, action);
        }
    }

    /// A role of this lane's parties that is known not to exist: no policy may name it yet.
    fn missing_role(&self, lane: &DesiredLane) -> Option<String> {
        let parties = std::iter::once(&lane.writer).chain(&lane.readers);
        let mut parties = parties.filter_map(|holder| self.desired.parties.get(&holder.party));
        let missing = parties.find(|party| {
            !party.can_be_made() && self.observed.parties.get(&party.name) == Some(&Sight::Absent)
        });
        missing.map(|party| format!("{} in {}", party.principal, party.account))
    }

    fn identity(&mut self, party: &DesiredParty) {
        let Some(policy) = self.desired.identity_policy(party, &self.keys) else {
            return self.no_identity(party);
        };
        let sight = self.observed.parties.get(&party.name).unwrap_or(&Sight::Hidden);
        let document =
            || BTreeMap::from([(format!("identity-{}.json", party.name), policy.to_pretty_json())]);
        let name = self.desired.identity_policy_name();
        let lanes = || party.writes.iter().chain(&party.reads);
        let untold: Vec<String> = lanes()
            .filter_map(|lane| self.desired.lanes.get(lane))
            .filter(|lane| lane.has_key() && self.seen(lane).key == Sight::Hidden)
            .map(|lane| lane.name.to_string())
            .collect();
        match sight {
            Sight::Hidden => {
                let words = format!("give {} the inline policy {name}", party.principal);
                self.leave(&party.name, &party.account, words, document());
            }
            Sight::Absent if !party.can_be_made() => {}
            _ if !untold.is_empty() => {
                let words = format!(
                    "give {} the inline policy {name}, once the key ARN of lane {} is known from \
                     its owner",
                    party.principal,
                    untold.join(", ")
                );
                self.leave(&party.name, &party.account, words, document());
            }
            sight => {
                let there = sight.seen().and_then(|principal| principal.policy.as_deref());
                let policy = policy.to_json();
                if there.is_some_and(|there| same_meaning(there, &policy)) {
                    return self.keep(format!("identity policy of party `{}`", party.name));
                }
                let change = if there.is_some() { Change::Change } else { Change::Create };
                let words = format!("give {} the inline policy {name}", party.principal);
                let action = Action::PutIdentityPolicy {
                    user: party.is_user(),
                    principal: party.principal.name().to_owned(),
                    name,
                    policy,
                };
                self.step(&party.account, change, words, action);
            }
        }
    }
}

/// `acme put, globex get`.
fn who(lane: &DesiredLane) -> String {
    let readers: Vec<String> = lane.readers.iter().map(|reader| reader.party.to_string()).collect();
    format!("{} write and {} read", lane.writer.party, readers.join(", "))
}

pub(crate) fn check_ours(
    what: &str,
    name: &str,
    tags: &BTreeMap<String, String>,
    lane: &DesiredLane,
) -> Result<(), Error> {
    let message = match ownership(tags, &lane.tags()) {
        Ownership::Ours => return Ok(()),
        Ownership::Unmarked => format!("{what} {name} exists and was not made by consign"),
        Ownership::Others => format!("{what} {name} belongs to another exchange or lane"),
    };
    Err(Error::new(ErrorKind::NotOurs, message).with_hint(format!(
        "name another bucket for lane `{}`; if this {what} is meant, see what would change with \
         `consign adopt --lane {}`",
        lane.name, lane.name
    )))
}

pub(crate) fn encryption(lane: &DesiredLane, key: Option<&KeyArn>) -> Encryption {
    Encryption {
        algorithm: lane.sse_algorithm().to_owned(),
        key: key.map(|key| key.as_str().to_owned()),
        bucket_key: lane.bucket_key(),
        customer_keys_blocked: lane.at_rest != AtRest::SseC,
    }
}

pub(crate) fn lifecycle(lane: &DesiredLane) -> Lifecycle {
    Lifecycle {
        expire_days: lane.expire_days,
        noncurrent_days: NONCURRENT_DAYS,
        unfinished_upload_days: UNFINISHED_UPLOAD_DAYS,
    }
}

impl Encryption {
    fn words(&self, lane: &DesiredLane) -> String {
        match self.key {
            Some(_) => format!("{} under {}", self.algorithm, lane.key_alias),
            None => self.algorithm.clone(),
        }
    }
}
