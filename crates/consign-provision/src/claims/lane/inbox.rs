//! What is claimed of a repository and of an inbox beyond what is claimed of every lane: that the
//! generator gets nothing back, that parties are given nothing outside the exchange, and who sends and
//! who takes on the queue. What only an inbox has is claimed in [`delivered`].

mod delivered;

use super::{Domain, GETS, KEY_USES, LISTS, LOOKS, Lane, Party, TLS, anything_but, is};
use crate::claims::Stated;
use crate::desired::KeyArn;
use crate::matrix::Rule;
use crate::policies::bucket::SCANNER_CALLS;
use crate::policies::queue::TAKES;
use crate::stage::{DesiredQueue, SCAN_CLEAN, Stage};
use consign_iam::prove::{Callers, Expectation, Identity, Set, World};
use consign_iam::{Policy, Principal};
use consign_model::AccountId;
use delivered::EXISTING_TAG;

const S3: &str = "s3.amazonaws.com";
/// Set by a service that calls in its own name; nobody else can.
const SOURCE_ARN: &str = "aws:SourceArn";
const SOURCE_ACCOUNT: &str = "aws:SourceAccount";
const SENDS: [&str; 1] = ["sqs:SendMessage"];
/// What takes messages away, out of sight, or elsewhere.
const TAKING: [&str; 4] = [
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:StartMessageMoveTask",
];

impl<'a> Lane<'a> {
    pub(super) fn stage(&self) -> Vec<Stated<'a>> {
        match &self.lane.stage {
            Stage::Direct => Vec::new(),
            Stage::Repository(stage) => {
                let mut claims = self.generator();
                claims.extend(self.other_accounts());
                claims.extend(self.nothing_outside());
                claims.extend(self.queue(&stage.queue));
                claims.extend(self.dead_letters(&stage.queue));
                claims.extend(self.tags());
                claims
            }
            Stage::Inbox(_) => {
                let mut claims = self.other_accounts();
                claims.extend(self.nothing_outside());
                claims.extend(self.publisher());
                claims.extend(self.acknowledging());
                claims.extend(self.verdicts());
                claims.extend(self.quarantine());
                claims.extend(self.tags());
                claims
            }
        }
    }

    /// Whoever may give tags, whichever.
    pub(super) fn taggers(&self) -> Vec<&'a str> {
        let publisher = self.lane.stage.inbox().map(|_| &self.lane.writer);
        let taggers = self.lane.tagger().into_iter().chain(publisher);
        taggers.map(|holder| holder.arn.as_str()).collect()
    }

    /// The circumstances in which consumers get.
    pub(super) fn released(&self) -> Option<(&'static str, Domain)> {
        self.lane.scanner().map(|_| (EXISTING_TAG, is(SCAN_CLEAN)))
    }

    /// What is put into an inbox carries no verdict.
    pub(super) fn unjudged(&self) -> Option<(&'static str, Domain)> {
        self.lane.stage.inbox().map(|_| (delivered::VERDICT, Domain::Absent))
    }

    /// What the parties of an inbox may call beyond what those of every lane may; on what, is claimed
    /// in [`publisher`](Lane::publisher) and [`acknowledging`](Lane::acknowledging).
    pub(super) fn inbox_calls_of(&self, party: &Party<'_>) -> Vec<&'static str> {
        let mut calls = Vec::new();
        if self.lane.scanner().is_some_and(|it| it.party == party.holder.party) {
            calls.extend(SCANNER_CALLS);
        }
        if self.lane.stage.inbox().is_none() {
            return calls;
        }
        if self.is_writer(party) {
            calls.extend(["s3:ListBucket", "s3:GetObject"]);
        }
        if self.lane.consumers().any(|it| it.party == party.holder.party) {
            calls.push("s3:PutObject");
        }
        calls
    }

    /// Whatever its account allows it, the generator gets nothing back of what it has put.
    fn generator(&self) -> Vec<Stated<'a>> {
        let callers = || self.writer.callers();
        let decrypts: Vec<&str> =
            KEY_USES.into_iter().filter(|it| *it != "kms:GenerateDataKey").collect();
        let reads = [&GETS[..], &LOOKS[..]].concat();
        let back = self.never("the generator reads nothing back", Rule::Readers, callers(), &reads);
        vec![
            self.on_key("the generator cannot decrypt", Rule::Writer, callers(), &decrypts),
            Stated { resource: self.objects(), ..back },
            self.never("the generator lists nothing", Rule::Readers, callers(), &LISTS),
        ]
    }

    /// Of the accounts that the bucket, or the key, does not belong to, nobody administers anything
    /// here. What parties may do is left out, because federated sessions of a party's user may too;
    /// that nobody else may is claimed of every lane.
    fn other_accounts(&self) -> Vec<Stated<'a>> {
        let parties = self.lane.party_arns();
        let on_bucket = self.accounts_but(&parties, &self.lane.owner);
        let on_key = self.accounts_but(&parties, &self.lane.key_owner);
        let words = "nobody else of another account does anything";
        let key_words = "nobody else of another account does anything with the key";
        let mut bucket = self.never(words, Rule::Nobody, on_bucket, &[]);
        let own = self.parties().flat_map(|party| self.calls_of(party));
        bucket.actions = Set::of(["s3:*"]).but(own);
        let mut key = self.on_key(key_words, Rule::Nobody, on_key, &[]);
        let own = self.parties().flat_map(|party| self.key_calls_of(party));
        key.actions = Set::of(["kms:*"]).but(own);
        vec![bucket, key]
    }

    /// Everybody of the accounts on the lane but of this one, without these.
    fn accounts_but(&self, except: &[&str], owner: &AccountId) -> Vec<(String, Callers)> {
        let mut accounts = self.accounts(except);
        accounts.retain(|(_, callers)| {
            !matches!(callers, Callers::Account { account, .. } if account == owner.as_ref())
        });
        accounts
    }

    /// With its identity policy alone a party does nothing to anything that is not of its lanes.
    fn nothing_outside(&self) -> Vec<Stated<'a>> {
        let one = |party: &Party<'a>| {
            let own: Vec<String> = self.judge_arns(party);
            let mut claim = self.never(
                "a party has been given nothing outside its lanes",
                Rule::Administrators,
                party.callers(),
                &["*"],
            );
            // Nobody needs a policy to be told who he is.
            claim.actions = claim.actions.but(["sts:GetCallerIdentity"]);
            claim.resource = Set::of(["*"]).but(own.iter().map(String::as_str));
            claim.owner = &party.holder.account;
            claim.world = World { identity: Identity::Given(party.identity), ..World::default() };
            claim
        };
        self.parties().map(one).collect()
    }

    /// The buckets, objects, keys and queues of every lane that a party is on.
    fn judge_arns(&self, party: &Party<'_>) -> Vec<String> {
        let mut arns = Vec::new();
        for (lane, key) in self.judge.lanes_of(&party.holder.party) {
            arns.extend([lane.bucket_arn(), lane.every_object()]);
            arns.extend(key.map(KeyArn::to_string));
            if let Some(stage) = lane.stage.repository() {
                arns.extend([stage.queue.arn(), stage.queue.dead_letters_arn()]);
            }
        }
        arns
    }

    /// A message makes the publisher copy something; one that is gone makes it copy nothing.
    fn queue(&self, queue: &'a DesiredQueue) -> Vec<Stated<'a>> {
        let on = OnQueue { queue, arn: queue.arn(), policies: &self.documents.queue };
        let publisher = [queue.publisher.arn.as_str()];
        let everybody = || {
            let mut callers = self.accounts(&[]);
            callers.extend(self.outside_but_s3());
            callers
        };
        let s3 = || vec![(S3.to_owned(), Callers::One(Principal::Service { name: S3.to_owned() }))];
        let mut sends =
            self.on_queue(&on, "nobody but S3 sends", Rule::Nobody, everybody(), &SENDS);
        sends.context = vec![(SOURCE_ARN, Domain::Absent)];
        let services = vec![("every service but S3".to_owned(), services_but_s3())];
        let others =
            self.on_queue(&on, "no other service sends", Rule::Nobody, services, &["sqs:*"]);
        let for_others = "S3 sends for no other bucket";
        let mut bucket = self.on_queue(&on, for_others, Rule::Nobody, s3(), &["sqs:*"]);
        bucket.context = vec![(SOURCE_ARN, Domain::Perhaps(anything_but(&[&queue.bucket_arn])))];
        let mut account =
            self.on_queue(&on, "S3 sends for no other account", Rule::Nobody, s3(), &["sqs:*"]);
        account.context =
            vec![(SOURCE_ACCOUNT, Domain::Perhaps(anything_but(&[queue.account.as_ref()])))];
        let mut arrives =
            self.on_queue(&on, "S3 announces what arrives", Rule::Readers, s3(), &SENDS);
        arrives.expect = Expectation::Always;
        arrives.context = vec![
            (TLS, is("true")),
            (SOURCE_ARN, is(&queue.bucket_arn)),
            (SOURCE_ACCOUNT, is(queue.account.as_ref())),
        ];
        let mut claims = vec![sends, others, bucket, account, arrives];
        claims.extend(self.taking(&on, &publisher, &[]));
        claims
    }

    fn dead_letters(&self, queue: &'a DesiredQueue) -> Vec<Stated<'a>> {
        let arn = queue.dead_letters_arn();
        let on = OnQueue { queue, arn, policies: &self.documents.dead_letters };
        let publisher = [queue.publisher.arn.as_str()];
        let mut others = self.accounts(&publisher);
        others.extend(self.outside());
        let words = "nobody but the publisher sets aside";
        let sends = self.on_queue(&on, words, Rule::Readers, others, &SENDS);
        let mut claims = vec![sends];
        claims.extend(self.taking(&on, &publisher, &SENDS));
        claims
    }

    /// Who takes messages: the same for both queues. `more` is what the publisher may beyond taking.
    fn taking(
        &self,
        on: &OnQueue<'a>,
        publisher: &[&str],
        more: &[&'static str],
    ) -> Vec<Stated<'a>> {
        let mut claims = Vec::new();
        let mut others = self.accounts(publisher);
        others.extend(self.outside());
        let words = "nobody but the publisher takes messages";
        claims.push(self.on_queue(on, words, Rule::Readers, others, &TAKING));
        let mut everybody = self.accounts(&[]);
        everybody.extend(self.outside());
        let purge = ["sqs:PurgeQueue"];
        claims.push(self.on_queue(on, "nobody purges", Rule::Nobody, everybody, &purge));
        let http = "nothing over plain HTTP";
        let mut http = self.on_queue(on, http, Rule::Nobody, self.accounts(&[]), &["sqs:*"]);
        http.context = vec![(TLS, is("false"))];
        claims.push(http);
        let unnamed = "nobody else of another account does anything with the queue";
        let mut outside = self.outside_but_s3();
        outside.extend(self.accounts_but(publisher, &on.queue.account));
        claims.push(self.on_queue(on, unnamed, Rule::Nobody, outside, &["sqs:*"]));
        let own = [TAKES, more].concat();
        for party in self.readers.iter().filter(|it| publisher.contains(&it.holder.arn.as_str())) {
            let words = "the publisher takes messages";
            let mut takes = self.on_queue(on, words, Rule::Readers, party.callers(), &own);
            takes.expect = Expectation::Always;
            takes.world.identity = Identity::Given(party.identity);
            takes.context = vec![(TLS, is("true"))];
            let words = "the publisher has been given nothing else";
            let rule = Rule::Administrators;
            let mut nothing_else = self.on_queue(on, words, rule, party.callers(), &[]);
            nothing_else.actions = Set::of(["sqs:*"]).but(own.iter().copied());
            nothing_else.world.identity = Identity::Given(party.identity);
            claims.extend([takes, nothing_else]);
        }
        claims
    }

    /// Whoever may tag may still not move an object under another key.
    fn tags(&self) -> Option<Stated<'a>> {
        let tagger = self.lane.tagger()?;
        let party = self.parties().find(|it| it.holder.party == tagger.party)?;
        let words = "whoever tags changes no keys of objects";
        let calls = ["s3:UpdateObjectEncryption"];
        let claim = self.never(words, Rule::Nobody, party.callers(), &calls);
        Some(Stated { resource: self.objects(), ..claim })
    }

    fn outside_but_s3(&self) -> Vec<(String, Callers)> {
        let mut outside = self.outside();
        outside.retain(|(_, callers)| !matches!(callers, Callers::Services { .. }));
        outside
    }

    fn on_queue(
        &self,
        on: &OnQueue<'a>,
        claim: &'static str,
        rule: Rule,
        callers: Vec<(String, Callers)>,
        actions: &[&str],
    ) -> Stated<'a> {
        Stated {
            world: World { resource: on.policies, ..World::default() },
            resource: Set::of([on.arn.as_str()]),
            owner: &on.queue.account,
            ..self.never(claim, rule, callers, actions)
        }
    }
}

/// A queue, and what is known of its policy.
struct OnQueue<'a> {
    queue: &'a DesiredQueue,
    arn: String,
    policies: &'a [Policy],
}

fn services_but_s3() -> Callers {
    Callers::Services { except: vec![S3.to_owned()] }
}
