//! Exchanges to test with, and a world that steps are performed in without any network.

pub(crate) mod mutant;
pub(crate) mod place;

use consign_model::{Date, Exchange, LaneName, PartyName};
use consign_provision::desired::DesiredLane;
use consign_provision::observed::{
    KeyState, Observed, ObservedBucket, ObservedKey, ObservedLane, ObservedPrincipal,
    ObservedQueue, ObservedQueues, Sight,
};
use consign_provision::plan::{Action, Step};
use consign_provision::{Desired, DesiredQueue, KeyArn};
use std::collections::{BTreeMap, BTreeSet};

/// Two accounts, roles, a bucket each way owned by the first: the shape of the research.
pub(crate) const ROLES: &str = r#"
version = 1
exchange = "acme-globex"
region = "eu-west-1"
[party.acme]
account = "111111111111"
principal = "role/xfer/acme-ours"
[party.globex]
account = "222222222222"
principal = "role/acme-transfer"
[lane.to-client]
from = "acme"
to = ["globex"]
owner = "acme"
[lane.from-client]
from = "globex"
to = ["acme"]
owner = "acme"
"#;

/// A generator and a publisher of one organisation, and a consumer of another.
pub(crate) const INBOX: &str = r#"
version = 1
exchange = "acme-globex"
region = "eu-west-1"
[party.acme-lab]
account = "111111111111"
principal = "user/consign/acme-lab"
[party.acme]
account = "111111111111"
principal = "user/consign/acme"
[party.globex]
account = "222222222222"
principal = "user/consign/globex"
[repository.reports]
owner = "acme"
generator = "acme-lab"
publisher = "acme"
key = "globex"
[inbox.reports-in]
owner = "globex"
consumers = ["globex"]
[route.reports]
from = "reports"
to = ["reports-in"]
"#;

/// The same with roles, a quarantine, routes by tags, a second inbox of a third party, and a lane.
pub(crate) fn full_inbox() -> String {
    INBOX
        .replace("principal = \"user/", "trust = \"account\"\nprincipal = \"role/")
        .replace(
            "to = [\"reports-in\"]",
            "to = [\"reports-in\", \"copies\"]\ntags = { kind = \"final\" }",
        )
        .replace("consumers = [\"globex\"]", "consumers = [\"globex\"]\nquarantine = \"scanner\"")
        + r#"
[party.scanner]
account = "222222222222"
principal = "role/consign/scanner"
trust = "account"
[party.initech]
account = "333333333333"
principal = "role/consign/initech"
trust = "account"
[inbox.copies]
owner = "initech"
consumers = ["initech", "globex"]
prefix = "from/acme/"
writer = "encrypt-only"
[lane.letters]
from = "acme"
to = ["globex"]
"#
}

/// The same with roles that `apply` makes: globex's own people act for it, acme's through a broker.
pub(crate) fn roles_to_make() -> String {
    let acme = "principal = \"role/xfer/acme-ours\"";
    let globex = "principal = \"role/acme-transfer\"";
    let broker = "trust = \"arn:aws:iam::222222222222:root\"\nexternal_id = \"acme-4711\"";
    ROLES
        .replace(acme, &format!("{acme}\n{broker}"))
        .replace(globex, &format!("{globex}\ntrust = \"account\""))
}

/// A hub with so many partners, each in an account of its own, and a lane each way.
pub(crate) fn hub(partners: usize) -> String {
    let mut text = "version = 1\nexchange = \"acme\"\nregion = \"eu-west-1\"\n".to_owned()
        + "[party.lab]\naccount = \"111111111111\"\nprincipal = \"user/consign/lab\"\n";
    let mut members = String::new();
    for n in 0..partners {
        text += &format!(
            "[party.p{n}]\naccount = \"{}\"\nprincipal = \"user/consign/p{n}\"\n",
            222_222_222_222_usize + n
        );
        members += &format!("\"p{n}\",");
    }
    text + &format!("[group.partners]\nmembers = [{members}]\n")
        + "[lane.results]\neach = \"partners\"\nfrom = \"lab\"\n"
        + "[lane.orders]\neach = \"partners\"\nto = [\"lab\"]\n"
}

pub(crate) fn exchange(text: &str) -> Exchange {
    let today = Date::parse("2026-11-21").expect("a date");
    Exchange::parse(text, "exchange.toml", today).expect(text)
}

pub(crate) fn desired(text: &str) -> Desired {
    Desired::of(&exchange(text)).expect("an exchange that can be provisioned")
}

/// Users in one account: what `consign init --template two-way` needs least for.
pub(crate) fn users_in_one_account() -> String {
    ROLES.replace("222222222222", "111111111111").replace("role/", "user/")
}

/// The exchanges that every general test runs over.
pub(crate) fn shapes() -> Vec<(&'static str, String)> {
    let with =
        |line: &str| ROLES.replace("owner = \"acme\"\n", &format!("owner = \"acme\"\n{line}\n"));
    let third =
        "[party.initech]\naccount = \"333333333333\"\nprincipal = \"user/consign/initech\"\n";
    let broadcast = "[lane.news]\nfrom = \"acme\"\nto = [\"globex\", \"initech\"]\n";
    vec![
        ("roles, two accounts", ROLES.to_owned()),
        ("users, two accounts", ROLES.replace("role/", "user/")),
        ("roles, one account", ROLES.replace("222222222222", "111111111111")),
        ("users, one account", users_in_one_account()),
        ("lane owned by its reader", ROLES.replacen("owner = \"acme\"", "owner = \"globex\"", 1)),
        ("encrypt-only", with("writer = \"encrypt-only\"")),
        ("not write-once", with("write_once = false")),
        ("under a prefix", with("prefix = \"exchange/\"")),
        ("dsse-kms", with("at_rest = \"dsse-kms\"")),
        ("sse-s3", with("at_rest = \"sse-s3\"")),
        ("sse-c", with("at_rest = \"sse-c\"")),
        ("two readers in three accounts", format!("{ROLES}{third}{broadcast}")),
        ("roles to make", roles_to_make()),
        ("hub", hub(2)),
        ("inbox", INBOX.to_owned()),
        ("inbox with everything", full_inbox()),
    ]
}

/// Three that differ in everything the order of steps depends on, for exhaustive tests.
pub(crate) fn few_shapes() -> Vec<(&'static str, String)> {
    let few = [
        "roles, two accounts",
        "users, one account",
        "two readers in three accounts",
        "roles to make",
        "hub",
        "inbox",
    ];
    shapes().into_iter().filter(|(name, _)| few.contains(name)).collect()
}

pub(crate) fn lane(name: &str) -> LaneName {
    LaneName::parse(name).expect("a lane")
}

pub(crate) fn party(name: &str) -> PartyName {
    PartyName::parse(name).expect("a party")
}

fn no_queues() -> ObservedQueues {
    ObservedQueues { queue: Sight::Absent, dead_letters: Sight::Absent, announced: false }
}

/// A world in which nothing of the exchange exists and every account can be seen.
pub(crate) fn empty_world(desired: &Desired) -> Observed {
    let absent = || ObservedLane { bucket: Sight::Absent, key: Sight::Absent };
    Observed {
        lanes: desired.lanes.keys().map(|name| (name.clone(), absent())).collect(),
        parties: desired.parties.keys().map(|name| (name.clone(), Sight::Absent)).collect(),
        removed: BTreeSet::new(),
        queues: desired.queues().map(|(lane, _)| (lane.name.clone(), no_queues())).collect(),
    }
}

/// The same with every role there that `apply` may not make.
pub(crate) fn world_with_roles(desired: &Desired) -> Observed {
    let mut world = empty_world(desired);
    for party in desired.parties.values().filter(|party| !party.can_be_made()) {
        let present = Sight::Present(ObservedPrincipal::default());
        world.parties.insert(party.name.clone(), present);
    }
    world
}

/// Performs steps on an [`Observed`] as AWS would, refusing what AWS would refuse.
pub(crate) struct World<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) observed: Observed,
    /// Stand-ins live as long as one run of `apply` does.
    stand_ins: BTreeMap<String, String>,
    keys_made: usize,
}

impl<'a> World<'a> {
    pub(crate) fn new(desired: &'a Desired, observed: Observed) -> World<'a> {
        World { desired, observed, stand_ins: BTreeMap::new(), keys_made: 0 }
    }

    pub(crate) fn restart(&mut self) {
        self.stand_ins.clear();
    }

    fn bucket(&mut self, name: &str) -> &mut ObservedBucket {
        let lane = self.desired.lanes.values().find(|lane| lane.bucket.as_ref() == name);
        let lane = self.observed.lanes.get_mut(&lane.expect("a lane").name).expect("a lane");
        match &mut lane.bucket {
            Sight::Present(bucket) => bucket,
            _ => panic!("bucket {name} does not exist"),
        }
    }

    fn key(&mut self, arn: &KeyArn) -> &mut ObservedKey {
        let arn = self.filled(arn.as_str());
        let mut keys = self.observed.lanes.values_mut().filter_map(|lane| match &mut lane.key {
            Sight::Present(key) => Some(key),
            _ => None,
        });
        keys.find(|key| key.arn.as_str() == arn).unwrap_or_else(|| panic!("no key {arn}"))
    }

    fn repository(&self, is: impl Fn(&DesiredLane, &DesiredQueue) -> bool) -> LaneName {
        let mut all = self.desired.queues();
        all.find(|(lane, queue)| is(lane, queue)).expect("a repository").0.name.clone()
    }

    fn queue(&mut self, name: &str) -> &mut Sight<ObservedQueue> {
        let lane = self.repository(|_, queue| queue.name == name || queue.dead_letters == name);
        let queues = self.observed.queues.get_mut(&lane).expect("queues");
        if name.ends_with("-dead") { &mut queues.dead_letters } else { &mut queues.queue }
    }

    fn present_queue(&mut self, name: &str) -> &mut ObservedQueue {
        match self.queue(name) {
            Sight::Present(queue) => queue,
            _ => panic!("queue {name} does not exist"),
        }
    }

    /// SQS refuses a queue that sets aside into one that does not exist.
    fn check_redrive(&mut self, redrive: &str) {
        let redrive: serde_json::Value = serde_json::from_str(redrive).unwrap_or_default();
        let Some(arn) = redrive["deadLetterTargetArn"].as_str() else { return };
        let name = arn.rsplit(':').next().expect("a name").to_owned();
        self.present_queue(&name);
    }

    fn filled(&self, text: &str) -> String {
        // The name of one lane may begin with the name of another.
        let longest_first = self.stand_ins.iter().rev();
        longest_first.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn principal(&mut self, name: &str) -> &mut Sight<ObservedPrincipal> {
        let mut parties = self.desired.parties.values();
        let party = parties.find(|party| party.principal.name() == name).expect("a party");
        self.observed.parties.get_mut(&party.name).expect("a party")
    }

    fn present(&mut self, name: &str) -> &mut ObservedPrincipal {
        match self.principal(name) {
            Sight::Present(principal) => principal,
            _ => panic!("principal {name} does not exist"),
        }
    }

    /// AWS refuses a policy whose `Principal` names somebody who does not exist.
    fn check_principals(&self, policy: &str) {
        for party in self.desired.parties.values() {
            let named = policy.contains(&format!(r#""AWS":"{}""#, party.arn))
                || policy.contains(&format!(r#""AWS":["{}""#, party.arn));
            if named && self.observed.parties.get(&party.name) == Some(&Sight::Absent) {
                panic!("policy names {}, which does not exist", party.arn);
            }
        }
        assert!(!policy.contains(":key/to-be-created"), "a stand-in was sent: {policy}");
    }

    pub(crate) fn perform(&mut self, step: &Step) {
        match &step.action {
            Action::CreateUser { name, tags, .. } => {
                let made = ObservedPrincipal { tags: tags.clone(), ..Default::default() };
                *self.principal(name) = Sight::Present(made);
            }
            Action::CreateRole { name, trust, tags, .. } => {
                self.check_principals(trust);
                let (tags, trust) = (tags.clone(), Some(trust.clone()));
                let made = ObservedPrincipal { tags, trust, policy: None };
                *self.principal(name) = Sight::Present(made);
            }
            Action::PutTrust { role, trust } => self.present(role).trust = Some(trust.clone()),
            Action::TagKey { key, tags } => self.key(key).tags = tags.clone(),
            Action::CreateKey { lane, stand_in, policy, tags, .. } => {
                self.check_principals(policy);
                self.keys_made += 1;
                let arn =
                    format!("arn:aws:kms:eu-west-1:{}:key/{:08}", step.account, self.keys_made);
                self.stand_ins.insert(stand_in.to_string(), arn.clone());
                let key = ObservedKey {
                    arn: KeyArn::new(arn),
                    tags: tags.clone(),
                    policy: policy.clone(),
                    rotates: false,
                    state: KeyState::Enabled,
                    has_alias: false,
                };
                let lane = self.observed.lanes.get_mut(lane).expect("a lane");
                assert_eq!(lane.key, Sight::Absent, "a second key for one lane");
                lane.key = Sight::Present(key);
            }
            Action::CreateAlias { key, .. } => self.key(key).has_alias = true,
            Action::EnableRotation { key } => self.key(key).rotates = true,
            Action::CancelKeyDeletion { key } => self.key(key).state = KeyState::Disabled,
            Action::EnableKey { key } => self.key(key).state = KeyState::Enabled,
            Action::PutKeyPolicy { key, policy } => {
                self.check_principals(policy);
                self.key(key).policy = policy.clone();
            }
            Action::CreateBucket { bucket, .. } => {
                let mut lanes = self.desired.lanes.values();
                let lane = lanes.find(|lane| lane.bucket.as_ref() == bucket).expect("a lane");
                let lane = self.observed.lanes.get_mut(&lane.name).expect("a lane");
                lane.bucket = Sight::Present(ObservedBucket::default());
            }
            Action::TagBucket { bucket, tags } => self.bucket(bucket).tags = tags.clone(),
            Action::BlockPublicAccess { bucket } => {
                self.bucket(bucket).public_access_blocked = true;
            }
            Action::EnforceOwner { bucket } => self.bucket(bucket).owner_enforced = true,
            Action::PutEncryption { bucket, encryption } => {
                let mut encryption = encryption.clone();
                encryption.key = encryption.key.map(|key| self.filled(&key));
                self.bucket(bucket).encryption = Some(encryption);
            }
            Action::EnableVersioning { bucket } => self.bucket(bucket).versioned = true,
            Action::PutLifecycle { bucket, lifecycle } => {
                self.bucket(bucket).lifecycle = Some(*lifecycle);
            }
            Action::PutBucketPolicy { bucket, policy } => {
                let policy = self.filled(policy);
                self.check_principals(&policy);
                self.bucket(bucket).policy = Some(policy);
            }
            Action::PutIdentityPolicy { principal, policy, .. } => {
                let policy = self.filled(policy);
                assert!(!policy.contains(":key/to-be-created"), "a stand-in was sent: {policy}");
                self.present(principal).policy = Some(policy);
            }
            Action::DeleteIdentityPolicy { principal, .. } => self.present(principal).policy = None,
            Action::CheckEmpty { .. } => {}
            Action::CreateQueue { queue, attributes } => {
                let made = ObservedQueue { attributes: attributes.clone(), tags: BTreeMap::new() };
                let redrive = attributes.get("RedrivePolicy").cloned().unwrap_or_default();
                *self.queue(queue) = Sight::Present(made);
                self.check_redrive(&redrive);
            }
            Action::TagQueue { queue, tags } => self.present_queue(queue).tags.extend(tags.clone()),
            Action::SetQueueAttributes { queue, attributes } => {
                self.present_queue(queue).attributes.extend(attributes.clone());
            }
            Action::DeleteQueue { queue } => *self.queue(queue) = Sight::Absent,
            Action::PutNotification { bucket, queue_arn, .. } => {
                let lane = self.repository(|lane, _| lane.bucket.as_ref() == bucket);
                let queues = self.observed.queues.get_mut(&lane).expect("queues");
                let policy = queues.queue.seen().expect("a queue").attributes["Policy"].as_str();
                assert!(policy.contains("s3.amazonaws.com") && policy.contains(queue_arn.as_str()));
                queues.announced = true;
            }
            Action::RemoveNotification { bucket, .. } => {
                let lane = self.repository(|lane, _| lane.bucket.as_ref() == bucket);
                self.observed.queues.get_mut(&lane).expect("queues").announced = false;
            }
            Action::DeleteBucket { bucket } => {
                let mut lanes = self.desired.lanes.values();
                let lane = lanes.find(|lane| lane.bucket.as_ref() == bucket).expect("a lane");
                self.observed.lanes.get_mut(&lane.name).expect("a lane").bucket = Sight::Absent;
            }
            Action::DeleteAlias { alias } => {
                let mut lanes = self.desired.lanes.values();
                let lane = lanes.find(|lane| lane.key_alias == *alias).expect("a lane");
                // What no alias names and is going away is not found again.
                self.observed.lanes.get_mut(&lane.name).expect("a lane").key = Sight::Absent;
            }
            Action::ScheduleKeyDeletion { key, .. } => {
                let key = self.key(key);
                key.state = KeyState::PendingDeletion;
                key.rotates = false;
            }
            Action::DeleteUser { name } | Action::DeleteRole { name } => {
                *self.principal(name) = Sight::Absent;
            }
        }
    }
}
