//! The claims about one lane, from what the exchange file says of it.

mod inbox;
mod sealing_keys;

use super::{Or, Stated};
use crate::desired::{DesiredLane, Holder, KeyArn};
use crate::error::Error;
use crate::matrix::Rule;
use crate::policies::bucket::PRESIGNED_AGE_MS_MAX;
use crate::prove::{Judge, ParsedLane};
use consign_iam::prove::{Callers, Domain, Expectation, Identity, Set, Values, World};
use consign_iam::{Policy, Principal};
use consign_model::{AccountId, AtRest};
use std::collections::BTreeSet;

/// What the claims about one lane are made of.
pub(super) struct Lane<'a> {
    lane: &'a DesiredLane,
    judge: &'a Judge<'a>,
    documents: &'a ParsedLane<'a>,
    writer: Party<'a>,
    readers: Vec<Party<'a>>,
}

struct Party<'a> {
    holder: &'a Holder,
    principal: Principal,
    identity: &'a [Policy],
}

impl<'a> Party<'a> {
    fn new(holder: &'a Holder, judge: &'a Judge<'_>) -> Result<Party<'a>, Error> {
        let principal = Principal::from_arn(&holder.arn);
        let principal = principal
            .map_err(|refusal| crate::prove::unreadable("a principal of the exchange", refusal))?;
        Ok(Party { holder, principal, identity: judge.identity(&holder.party) })
    }

    fn callers(&self) -> Vec<(String, Callers)> {
        vec![(self.holder.party.to_string(), Callers::One(self.principal.clone()))]
    }
}

/// The bytes of an object.
const GETS: [&str; 3] = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTorrent"];
/// What else there is to know of an object.
const LOOKS: [&str; 4] = [
    "s3:GetObject*",
    "s3:RestoreObject",
    "s3:ListObjectAnnotations",
    "s3:ListObjectVersionAnnotations",
];
const LISTS: [&str; 3] =
    ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"];
const WRITES: [&str; 7] = [
    "s3:PutObjectAcl",
    "s3:PutObjectVersionAcl",
    "s3:PutObjectAnnotation",
    "s3:PutObjectVersionAnnotation",
    "s3:ReplicateObject",
    "s3:ReplicateObjectAnnotation",
    "s3:ReplicateDelete",
];
/// Not for anybody: tags steer what others decide, and another key has other readers.
const CHANGES: [&str; 6] = [
    "s3:PutObjectTagging",
    "s3:PutObjectVersionTagging",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersionTagging",
    "s3:ReplicateTags",
    "s3:UpdateObjectEncryption",
];
const DELETES: [&str; 3] =
    ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"];
/// What the root user of the owner's account can do whatever the bucket policy says, so that nobody
/// locks himself out for good.
const MENDING: [&str; 3] = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"];
const KEY_USES: [&str; 10] = [
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:CreateGrant",
    "kms:ReplicateKey",
];

const TLS: &str = "aws:SecureTransport";
const TLS_VERSION: &str = "s3:TlsVersion";
const SSE: &str = "s3:x-amz-server-side-encryption";
const SSE_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const SSE_CUSTOMER: &str = "s3:x-amz-server-side-encryption-customer-algorithm";
const IF_NONE_MATCH: &str = "s3:if-none-match";
const CREATION: &str = "s3:ObjectCreationOperation";
const AUTH: &str = "s3:authType";
const AGE: &str = "s3:signatureAge";
const SERVICE: &str = "kms:ViaService";
const CONTEXT_ARN: &str = "kms:EncryptionContext:aws:s3:arn";

fn is(value: &str) -> Domain {
    Domain::Present(Values::text(value))
}

fn anything_but(values: &[&str]) -> Values {
    Values::Of(Set::of(["*"]).but(values.iter().copied()))
}

fn numbers(from: Option<&str>, to: Option<&str>) -> Domain {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Domain::Present(Values::Numbers { from: owned(from), to: owned(to) })
}

impl<'a> Lane<'a> {
    pub(super) fn new(lane: &'a DesiredLane, judge: &'a Judge<'a>) -> Result<Lane<'a>, Error> {
        let readers = lane.readers.iter().map(|reader| Party::new(reader, judge));
        Ok(Lane {
            lane,
            judge,
            documents: judge.lane(&lane.name),
            writer: Party::new(&lane.writer, judge)?,
            readers: readers.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn claims(&self) -> Vec<Stated<'a>> {
        let mut claims = self.outsiders();
        claims.extend(self.limits());
        claims.extend(self.circumstances());
        claims.extend(self.purpose());
        if self.lane.has_key() {
            claims.extend(self.key_limits());
            claims.extend(self.key_purpose());
            claims.extend(self.sealing_keys());
        }
        claims.extend(self.stage());
        claims
    }

    /// Whom the file does not name.
    fn outsiders(&self) -> Vec<Stated<'a>> {
        let readers = || self.accounts(&self.lane.reader_arns());
        let writer = || self.accounts(&[&self.lane.writer.arn]);
        let objects = |claim: Stated<'a>| Stated { resource: self.objects(), ..claim };
        let delivered = |claim: Stated<'a>| Stated { resource: self.delivered(), ..claim };
        let bucket = Set::of([self.lane.bucket_arn().as_str()]);
        // What an inbox's publisher may list and look at is claimed apart.
        let lookers = || match self.lane.stage.inbox() {
            Some(_) => self.accounts(&self.lane.party_arns()),
            None => readers(),
        };
        let lists = self.never("nobody but the readers lists", Rule::Readers, lookers(), &LISTS);
        let mut looks =
            self.never("nobody but the readers looks at objects", Rule::Readers, lookers(), &[]);
        looks.actions = Set::of(LOOKS).but(GETS);
        let gets = self.never("nobody but the readers gets", Rule::Readers, readers(), &GETS);
        let puts =
            self.never("nobody but the writer puts", Rule::Writer, writer(), &["s3:PutObject"]);
        vec![
            self.or_key_refuses(delivered(gets), "kms:Decrypt"),
            self.or_key_refuses(delivered(puts), "kms:GenerateDataKey"),
            objects(looks),
            Stated { resource: bucket, ..lists },
            delivered(self.never(
                "nobody but the writer writes in other ways",
                Rule::Writer,
                writer(),
                &WRITES,
            )),
            objects(self.never(
                "nobody changes tags or keys of objects",
                Rule::Nobody,
                self.accounts(&self.taggers()),
                &CHANGES,
            )),
            self.never(
                "strangers, services and the unsigned do nothing at all",
                Rule::Nobody,
                self.outside(),
                &["s3:*"],
            ),
        ]
    }

    /// S3 needs the key for it, so it is enough that the key refuses those whom the bucket does not.
    fn or_key_refuses(&self, claim: Stated<'a>, action: &'static str) -> Stated<'a> {
        let key = self.documents.key_arn.filter(|_| self.lane.has_key()).map(KeyArn::as_str);
        let or = key.map(|key| Or {
            world: World { resource: &self.documents.key, ..World::default() },
            actions: Set::of([action]),
            resource: Set::of([key]),
        });
        Stated { or, ..claim }
    }

    /// What a party cannot do, whatever its account allows; and with what it has been given, nothing
    /// but what it is there for.
    fn limits(&self) -> Vec<Stated<'a>> {
        let mut claims = Vec::new();
        for party in self.parties() {
            let deletes = self.never(
                "a party deletes nothing",
                Rule::AdministratorsNeverParties,
                party.callers(),
                &DELETES,
            );
            claims.push(Stated { resource: self.objects(), ..deletes });
            let own: Vec<&str> = self.calls_of(party);
            let mut claim = self.never(
                "a party has been given nothing else",
                Rule::Administrators,
                party.callers(),
                &["s3:*"],
            );
            claim.actions = Set::of(["s3:*"]).but(own);
            claim.world.identity = Lane::own_or_anything(party, &self.lane.owner);
            claims.push(claim);
        }
        claims
    }

    /// Within the owner's account whoever is allowed everything *is* an administrator, so there it
    /// matters what the party has been given; in another account nothing it is given may help.
    fn own_or_anything(party: &Party<'a>, owner: &AccountId) -> Identity<'a> {
        match party.holder.account == *owner {
            true => Identity::Given(party.identity),
            false => Identity::Anything,
        }
    }

    /// How nobody can, not even who may. Who may not at all is claimed above.
    fn circumstances(&self) -> Vec<Stated<'a>> {
        let everybody = || self.accounts(&[]);
        let nobody = Rule::Nobody;
        let mut http = self.never("nothing over plain HTTP", nobody, everybody(), &["s3:*"]);
        http.actions = Set::of(["s3:*"]).but(MENDING);
        http.context = vec![(TLS, is("false"))];
        let mut tls = self.never("nothing over TLS 1.1 or older", nobody, everybody(), &["s3:*"]);
        tls.actions = Set::of(["s3:*"]).but(MENDING);
        tls.context = vec![(TLS_VERSION, numbers(Some("0"), Some("1.1")))];
        let mut urls =
            self.never("no presigned URL works for long", nobody, everybody(), &["s3:*"]);
        urls.actions = Set::of(["s3:*"]).but(MENDING);
        urls.resource = self.objects();
        let too_old = (PRESIGNED_AGE_MS_MAX + 1).to_string();
        urls.context = vec![(AUTH, is("REST-QUERY-STRING")), (AGE, numbers(Some(&too_old), None))];
        let mut claims = vec![http, tls, urls];
        claims.extend(self.encryption());
        if self.lane.write_once {
            let mut overwrite = self.puts("nothing in a consignment is overwritten");
            overwrite.resource = Set::of([self.lane.write_once_objects().as_str()]);
            overwrite.context = vec![(CREATION, is("true")), (IF_NONE_MATCH, Domain::Absent)];
            claims.push(overwrite);
        }
        claims
    }

    fn encryption(&self) -> Vec<Stated<'a>> {
        let lane = self.lane;
        let with = |claim, context| Stated { context, ..self.puts(claim) };
        let algorithm = Domain::Present(anything_but(&[lane.sse_algorithm()]));
        let customer = Domain::Present(Values::Any);
        match lane.at_rest {
            AtRest::SseKms | AtRest::DsseKms => {
                let key = self.documents.key_arn.map(KeyArn::as_str).unwrap_or_default();
                let other = Domain::Present(anything_but(&[key]));
                vec![
                    with("no other encryption", vec![(SSE, algorithm)]),
                    with("no other key", vec![(SSE_KEY, other)]),
                    with(
                        "not the account's shared key",
                        vec![(SSE, Domain::Present(Values::Any)), (SSE_KEY, Domain::Absent)],
                    ),
                    with("no customer-provided key", vec![(SSE_CUSTOMER, customer)]),
                ]
            }
            AtRest::SseS3 => vec![
                with("no other encryption", vec![(SSE, algorithm)]),
                with("no customer-provided key", vec![(SSE_CUSTOMER, customer)]),
            ],
            AtRest::SseC => vec![
                with("no other encryption", vec![(SSE, Domain::Present(Values::Any))]),
                with("never without a customer-provided key", vec![(SSE_CUSTOMER, Domain::Absent)]),
            ],
        }
    }

    /// What the parties are there for, with the identity policies that they have.
    fn purpose(&self) -> Vec<Stated<'a>> {
        let mut context = vec![
            (TLS, is("true")),
            (TLS_VERSION, numbers(Some("1.2"), Some("1.3"))),
            (AUTH, is("REST-HEADER")),
        ];
        let mut gets = self.readers_claim("the readers get");
        gets.actions = Set::of(["s3:GetObject", "s3:GetObjectVersion"]);
        gets.resource = Set::of([self.lane.every_lane_object().as_str()]);
        gets.context = context.clone();
        gets.context.extend(self.released());
        let mut lists = self.readers_claim("the readers list");
        lists.actions = Set::of(self.lane.reader_lists().iter().copied());
        lists.resource = Set::of([self.lane.bucket_arn().as_str()]);
        lists.context = context.clone();
        let under = format!("{}*", self.lane.prefix);
        lists.context.push(("s3:prefix", Domain::Present(Values::Of(Set::of([under.as_str()])))));
        context.extend([
            (CREATION, is("true")),
            (IF_NONE_MATCH, is("*")),
            (SSE, Domain::Absent),
            (SSE_KEY, Domain::Absent),
        ]);
        context.push(match self.lane.at_rest {
            AtRest::SseC => (SSE_CUSTOMER, is("AES256")),
            _ => (SSE_CUSTOMER, Domain::Absent),
        });
        context.extend(self.unjudged());
        let mut puts = self.puts("the writer puts");
        puts.expect = Expectation::Always;
        puts.rule = Rule::Writer;
        puts.world.identity = Identity::Given(self.writer.identity);
        puts.resource = self.but_acknowledgements(&self.lane.every_lane_object());
        puts.context = context;
        let mut claims = self.each_reader(&gets);
        claims.extend(self.each_reader(&lists));
        claims.push(puts);
        claims
    }

    fn key_limits(&self) -> Vec<Stated<'a>> {
        let parties = self.lane.party_arns();
        let mut claims = vec![
            self.on_key(
                "nobody but the parties uses the key",
                Rule::Nobody,
                self.accounts(&parties),
                &KEY_USES,
            ),
            self.on_key(
                "strangers, services and the unsigned do nothing with the key",
                Rule::Nobody,
                self.outside(),
                &["kms:*"],
            ),
        ];
        for party in self.parties() {
            let own = self.key_calls_of(party);
            let mut more = self.on_key(
                "a party does nothing else with the key",
                Rule::Administrators,
                party.callers(),
                &[],
            );
            more.actions = Set::of(["kms:*"]).but(own);
            more.world.identity = Lane::own_or_anything(party, &self.lane.key_owner);
            let mut uses = self.on_key(
                "a party uses the key for nothing else",
                Rule::Nobody,
                party.callers(),
                &[],
            );
            uses.actions = Set::of(KEY_USES).but(self.key_calls_of(party));
            claims.extend([more, uses]);
            claims.extend(self.fences(party));
        }
        claims
    }

    fn key_purpose(&self) -> Vec<Stated<'a>> {
        let contexts = [self.lane.bucket_arn(), self.lane.every_object()];
        let contexts = Set::of(contexts.iter().map(String::as_str));
        let service = self.lane.s3_service();
        let mut claims = Vec::new();
        for party in self.parties() {
            let calls = self.key_calls_of(party);
            let rule = if self.is_writer(party) { Rule::Writer } else { Rule::Readers };
            let mut claim =
                self.on_key("the key works for whom it is meant", rule, party.callers(), &calls);
            claim.expect = Expectation::Always;
            claim.world.identity = Identity::Given(party.identity);
            claim.context = vec![
                (TLS, is("true")),
                (SERVICE, is(&service)),
                (CONTEXT_ARN, Domain::Present(Values::Of(contexts.clone()))),
            ];
            claims.push(claim);
        }
        let administrators = vec![self.account(&self.lane.key_owner, &self.lane.party_arns())];
        let rule = match self.lane.has_foreign_key() {
            true => Rule::KeyAdministrators,
            false => Rule::Administrators,
        };
        let mut manage = self.on_key(
            "the owner's administrators keep the key",
            rule,
            administrators,
            &["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"],
        );
        manage.expect = Expectation::Always;
        claims.push(manage);
        claims
    }

    fn never(
        &self,
        claim: &'static str,
        rule: Rule,
        callers: Vec<(String, Callers)>,
        actions: &[&str],
    ) -> Stated<'a> {
        let (bucket, objects) = (self.lane.bucket_arn(), self.lane.every_object());
        Stated {
            claim,
            rule,
            callers,
            world: World { resource: &self.documents.bucket, ..World::default() },
            actions: Set::of(actions.iter().copied()),
            resource: Set::of([bucket.as_str(), objects.as_str()]),
            context: Vec::new(),
            expect: Expectation::Never,
            owner: &self.lane.owner,
            or: None,
        }
    }

    fn puts(&self, claim: &'static str) -> Stated<'a> {
        let puts = self.never(claim, Rule::Nobody, self.writer.callers(), &["s3:PutObject"]);
        Stated { resource: self.delivered(), ..puts }
    }

    fn readers_claim(&self, claim: &'static str) -> Stated<'a> {
        let claim = self.never(claim, Rule::Readers, Vec::new(), &[]);
        Stated { expect: Expectation::Always, ..claim }
    }

    fn each_reader(&self, claim: &Stated<'a>) -> Vec<Stated<'a>> {
        let of = |reader: &Party<'a>| {
            let world = World { identity: Identity::Given(reader.identity), ..claim.world };
            Stated {
                callers: reader.callers(),
                world,
                actions: claim.actions.clone(),
                resource: claim.resource.clone(),
                context: claim.context.clone(),
                or: None,
                ..*claim
            }
        };
        self.readers.iter().map(of).collect()
    }

    fn on_key(
        &self,
        claim: &'static str,
        rule: Rule,
        callers: Vec<(String, Callers)>,
        actions: &[&str],
    ) -> Stated<'a> {
        let key = self.documents.key_arn.map(KeyArn::as_str).unwrap_or_default();
        Stated {
            world: World { resource: &self.documents.key, ..World::default() },
            resource: Set::of([key]),
            owner: &self.lane.key_owner,
            ..self.never(claim, rule, callers, actions)
        }
    }

    fn objects(&self) -> Set {
        Set::of([self.lane.every_object().as_str()])
    }

    /// The same without what an inbox's consumers write there.
    fn delivered(&self) -> Set {
        self.but_acknowledgements(&self.lane.every_object())
    }

    fn but_acknowledgements(&self, objects: &str) -> Set {
        let acknowledgements = self.lane.stage.inbox().map(|_| self.lane.acknowledgements());
        Set::of([objects]).but(acknowledgements.as_deref())
    }

    fn parties(&self) -> impl Iterator<Item = &Party<'a>> {
        std::iter::once(&self.writer).chain(&self.readers)
    }

    fn is_writer(&self, party: &Party<'_>) -> bool {
        party.holder.party == self.lane.writer.party
    }

    fn is_reader(&self, party: &Party<'_>) -> bool {
        self.lane.readers.iter().any(|reader| reader.party == party.holder.party)
    }

    fn calls_of(&self, party: &Party<'_>) -> Vec<&'static str> {
        let mut calls = Vec::new();
        if self.is_writer(party) {
            calls.extend(self.lane.writer_calls());
        }
        if self.is_reader(party) {
            calls.extend(self.lane.reader_calls());
            calls.extend(self.lane.reader_lists());
        }
        calls.extend(self.inbox_calls_of(party));
        calls
    }

    fn key_calls_of(&self, party: &Party<'_>) -> Vec<&'static str> {
        let writes = self.is_writer(party);
        let decrypts = self.is_reader(party) || (writes && self.lane.multipart);
        let mut calls = Vec::new();
        calls.extend(writes.then_some("kms:GenerateDataKey"));
        calls.extend(decrypts.then_some("kms:Decrypt"));
        calls
    }

    /// Everybody of the accounts on the lane but these, account by account.
    fn accounts(&self, but: &[&str]) -> Vec<(String, Callers)> {
        let accounts: BTreeSet<&AccountId> = [&self.lane.owner, &self.lane.key_owner]
            .into_iter()
            .chain(self.parties().map(|party| &party.holder.account))
            .collect();
        accounts.into_iter().map(|account| self.account(account, but)).collect()
    }

    fn account(&self, account: &AccountId, but: &[&str]) -> (String, Callers) {
        let start = format!("arn:aws:iam::{account}:");
        let except: Vec<String> =
            but.iter().filter(|arn| arn.starts_with(&start)).map(|arn| (*arn).to_owned()).collect();
        let name = match except.as_slice() {
            [] => format!("everybody of {account}"),
            except => format!("everybody of {account} but {}", except.join(", ")),
        };
        (name, Callers::Account { account: account.to_string(), except })
    }

    /// Everybody without an account on the lane.
    fn outside(&self) -> Vec<(String, Callers)> {
        let accounts: BTreeSet<String> = [&self.lane.owner, &self.lane.key_owner]
            .into_iter()
            .chain(self.parties().map(|party| &party.holder.account))
            .map(ToString::to_string)
            .collect();
        vec![
            (
                "every stranger".to_owned(),
                Callers::Strangers { accounts: accounts.into_iter().collect() },
            ),
            ("everybody unsigned".to_owned(), Callers::Anonymous),
            ("every service".to_owned(), Callers::Services { except: Vec::new() }),
        ]
    }
}
