//! The proof that documents give exactly the access that the exchange file declares.
//!
//! Start with [`prove`]. It evaluates every cell of [`crate::matrix`] (lane × subject ×
//! operation) with the evaluator of `consign-iam`, over the documents that a plan would write
//! ([`Documents::planned`]) or the ones that are deployed ([`Documents::observed`]), and
//! compares the answer with the file. Two theorems:
//!
//! - **L1**: who may read and write data is who the file names. Whoever must *not* is given an
//!   identity policy that allows everything, so the answer rests on bucket and key alone; whoever
//!   *may* gets only the policy that consign writes for him.
//! - **L2**: who could change that (delete, replace a policy) are the administrators of the
//!   lane owner's account, and nobody else.
//!
//! Both are claimed over *all* requests ([`crate::claims`]); the cells, each one representative
//! request, are the same in a form that people can read, and a proof holds if both do.
//!
//! [`cells`](self::cells) evaluates, [`lanes`] takes lane after lane and gathers the answers.
//!
//! What it is not: a proof by AWS. It is exact under [`MODEL`].

mod cells;
mod lanes;

pub use cells::{Access, Cell, subjects};
pub use lanes::{Alike, Totals};

use crate::claims::Decided;
use crate::desired::{Desired, DesiredLane, KeyArn, Keys};
use crate::error::{Error, ErrorKind};
use crate::matrix::{Call, Operation, Subject};
use crate::policies::{Grants, bucket, key, queue};
use consign_iam::{
    Context, Explanation, Policies, Policy, PolicyKind, Principal, Request, explain,
};
use consign_model::{LaneName, PartyName};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the answers are relative to.
pub const MODEL: &str = "evaluation model 1";

/// The documents that decide, wherever they come from.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// Bucket and key policy of each lane.
    pub lanes: BTreeMap<LaneName, LaneDocuments>,
    /// The queues' policies of each repository.
    pub queues: BTreeMap<LaneName, QueueDocuments>,
    /// The inline policies of each party's principal.
    pub identities: BTreeMap<PartyName, Vec<String>>,
    /// What could not be looked at and is taken as planned.
    pub assumed: BTreeSet<String>,
}

/// The documents of a lane; `None` for what is not there.
#[derive(Clone, Debug, Default)]
pub struct LaneDocuments {
    /// The bucket policy.
    pub bucket_policy: Option<String>,
    /// The key, and its policy.
    pub key: Option<(KeyArn, String)>,
}

/// The policies of a repository's queues; `None` for what is not there.
#[derive(Clone, Debug, Default)]
pub struct QueueDocuments {
    /// The queue's.
    pub queue: Option<String>,
    /// That of the queue for what is set aside.
    pub dead_letters: Option<String>,
}

impl Documents {
    /// What `apply` writes.
    pub fn planned(desired: &Desired, keys: &Keys) -> Documents {
        let keys = desired.complete(keys);
        let lanes = desired.lanes.values().map(|lane| {
            let arn = keys.get(&lane.name);
            let policy = || key::policy(lane, Grants::Given).to_json();
            let documents = LaneDocuments {
                bucket_policy: Some(bucket::policy(lane, arn, Grants::Given).to_json()),
                key: arn.map(|arn| (arn.clone(), policy())),
            };
            (lane.name.clone(), documents)
        });
        let identities = desired.parties.values().map(|party| {
            let policy = desired.identity_policy(party, &keys);
            (party.name.clone(), policy.iter().map(|policy| policy.to_json()).collect())
        });
        let queues = desired.queues().map(|(lane, it)| {
            let documents = QueueDocuments {
                queue: Some(queue::policy(it).to_json()),
                dead_letters: Some(queue::dead_letters_policy(it).to_json()),
            };
            (lane.name.clone(), documents)
        });
        Documents {
            lanes: lanes.collect(),
            queues: queues.collect(),
            identities: identities.collect(),
            assumed: BTreeSet::new(),
        }
    }
}

/// The answer for every cell.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// What the answers are relative to.
    pub model: &'static str,
    /// The exchange.
    pub exchange: String,
    /// How much was decided, listed or not.
    pub totals: Totals,
    /// The cells, lane by lane, without those of lanes that are [`alike`](Proof::alike). What is not
    /// as declared is always here.
    pub cells: Vec<Cell>,
    /// What was claimed over all requests, of the same lanes.
    pub claims: Vec<Decided>,
    /// Lanes of a large hub of which everything is as declared and the same as of one that is listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alike: Vec<Alike>,
    /// Lanes whose bucket policy S3 would classify as public.
    pub public: Vec<LaneName>,
    /// What could not be looked at and was taken as planned.
    pub assumed: BTreeSet<String>,
}

impl Proof {
    /// Whether every cell is as declared, every claim holds and no bucket is public.
    pub fn holds(&self) -> bool {
        self.public.is_empty()
            && self.failures().next().is_none()
            && self.failed_claims().next().is_none()
    }

    /// The claims that do not hold, or could not be decided.
    pub fn failed_claims(&self) -> impl Iterator<Item = &Decided> {
        self.claims.iter().filter(|claim| !claim.holds())
    }

    /// The cells that are not as declared.
    pub fn failures(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| !cell.holds())
    }

    /// The cells of a lane that is listed; none of another.
    pub fn cells_of(&self, lane: &LaneName) -> &[Cell] {
        let from = self.cells.partition_point(|cell| cell.lane < *lane);
        let of = self.cells.get(from..).unwrap_or_default();
        of.get(..of.partition_point(|cell| cell.lane == *lane)).unwrap_or_default()
    }

    /// The lane that is listed for this one: itself, or one that is [`alike`](Proof::alike).
    pub fn listed_for<'a>(&'a self, lane: &'a LaneName) -> &'a LaneName {
        let alike = self.alike.iter().find(|alike| alike.lanes.binary_search(lane).is_ok());
        alike.map_or(lane, |alike| &alike.listed)
    }

    /// Whether `subject` can do `operation` on `lane`; `None` for a cell that is not listed.
    pub fn access(
        &self,
        lane: &LaneName,
        subject: &Subject,
        operation: Operation,
    ) -> Option<Access> {
        let mut cells = self.cells_of(lane).iter();
        let cell = cells.find(|cell| cell.subject == *subject && cell.operation == operation);
        cell.map(|cell| cell.actual)
    }

    /// The table for people: per listed lane and subject, which of these operations are possible.
    pub fn table(&self, operations: &[Operation]) -> Vec<Row> {
        let of_one =
            |one: &Cell, other: &Cell| one.lane == other.lane && one.subject == other.subject;
        let rows = self.cells.chunk_by(of_one).filter_map(|cells| {
            let first = cells.first()?;
            let access = |operation: &Operation| {
                cells.iter().find(|cell| cell.operation == *operation).map(|cell| cell.actual)
            };
            Some(Row {
                lane: first.lane.clone(),
                subject: first.subject.clone(),
                access: operations.iter().map(access).collect(),
            })
        });
        rows.collect()
    }
}

/// A row of [`Proof::table`].
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The lane.
    pub lane: LaneName,
    /// Who asks.
    pub subject: Subject,
    /// An answer per operation asked for.
    pub access: Vec<Option<Access>>,
}

/// Evaluates every cell and decides every claim; each proof of a claim is checked before it is
/// believed. Of a large hub's lanes that are [`alike`](Proof::alike) one is listed.
///
/// # Errors
/// [`ErrorKind::Document`] if a document is not a policy that AWS would accept.
pub fn prove(desired: &Desired, documents: &Documents) -> Result<Proof, Error> {
    prove_and(desired, documents, Certificates::Dropped)
}

/// What becomes of certificates after they were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Forgotten: those of a thousand lanes are large.
    Dropped,
    /// Kept in [`Decided::certificate`], and the claims in [`Decided::smt2`], to be checked
    /// elsewhere. Every lane is listed.
    Kept,
}

/// As [`prove`], with a say about certificates.
///
/// # Errors
/// As [`prove`].
pub fn prove_and(
    desired: &Desired,
    documents: &Documents,
    certificates: Certificates,
) -> Result<Proof, Error> {
    let listing = match certificates {
        Certificates::Dropped if desired.parties.len() > PARTIES_SHOWN_MAX => Listing::AlikeOnce,
        _ => Listing::Everything,
    };
    let answers = lanes::decide(desired, documents, certificates, listing)?;
    Ok(Proof {
        model: MODEL,
        exchange: desired.exchange.to_string(),
        totals: answers.totals,
        cells: answers.cells,
        claims: answers.claims,
        alike: answers.alike,
        public: answers.public,
        assumed: documents.assumed.clone(),
    })
}

/// The cells alone, of every lane: what plans compare, and what is shown.
///
/// # Errors
/// As [`prove`].
pub fn cells(desired: &Desired, documents: &Documents) -> Result<Vec<Cell>, Error> {
    let judge = Judge::new(desired, documents)?;
    let mut cells = Vec::new();
    for lane in desired.lanes.values() {
        let sheet = judge.sheet(lane)?;
        cells.extend(sheet.cells(lane));
    }
    Ok(cells)
}

/// Beyond so many parties nobody reads the table, and parties × lanes would be too many cells: each
/// lane is shown with those on it, and of lanes that are alike one. The claims concern everybody.
const PARTIES_SHOWN_MAX: usize = 16;

/// Which lanes' answers are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Everything,
    /// Of those that are alike and as declared, one.
    AlikeOnce,
}

/// The documents, parsed once.
pub(crate) struct Judge<'a> {
    desired: &'a Desired,
    documents: &'a Documents,
    lanes: BTreeMap<&'a LaneName, ParsedLane<'a>>,
    identities: BTreeMap<&'a PartyName, Vec<Policy>>,
    everything: Policy,
    nothing: ParsedLane<'a>,
}

#[derive(Default)]
pub(crate) struct ParsedLane<'a> {
    pub(crate) bucket: Vec<Policy>,
    pub(crate) key_arn: Option<&'a KeyArn>,
    pub(crate) key: Vec<Policy>,
    pub(crate) queue: Vec<Policy>,
    pub(crate) dead_letters: Vec<Policy>,
}

impl<'a> ParsedLane<'a> {
    fn of(
        name: &LaneName,
        lane: &'a LaneDocuments,
        queues: Option<&QueueDocuments>,
    ) -> Result<ParsedLane<'a>, Error> {
        let mut parsed = ParsedLane::default();
        if let Some(queues) = queues {
            let what = format!("a queue policy of repository `{name}`");
            let read = |text: &String| parse(&what, PolicyKind::Resource, text);
            parsed.queue = queues.queue.iter().map(read).collect::<Result<_, _>>()?;
            parsed.dead_letters = queues.dead_letters.iter().map(read).collect::<Result<_, _>>()?;
        }
        if let Some(text) = &lane.bucket_policy {
            let what = format!("the bucket policy of lane `{name}`");
            parsed.bucket.push(parse(&what, PolicyKind::Resource, text)?);
        }
        if let Some((arn, text)) = &lane.key {
            parsed.key_arn = Some(arn);
            let what = format!("the key policy of lane `{name}`");
            parsed.key.push(parse(&what, PolicyKind::Key, text)?);
        }
        Ok(parsed)
    }
}

const EVERYTHING: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Everything","Effect":"Allow","Action":"*","Resource":"*"}]}"#;

impl<'a> Judge<'a> {
    /// With every document.
    pub(crate) fn new(desired: &'a Desired, documents: &'a Documents) -> Result<Judge<'a>, Error> {
        Judge::of(desired, documents, documents.lanes.keys(), documents.identities.keys())
    }

    /// With the documents of some lanes and of the parties that are asked about on them: all the
    /// documents of a large hub, parsed, would take hundreds of megabytes.
    fn of_lanes(
        desired: &'a Desired,
        documents: &'a Documents,
        lanes: &[&'a DesiredLane],
    ) -> Result<Judge<'a>, Error> {
        let names = lanes.iter().map(|lane| &lane.name);
        if desired.parties.len() <= PARTIES_SHOWN_MAX {
            return Judge::of(desired, documents, names, documents.identities.keys());
        }
        let holders = lanes.iter().flat_map(|lane| lane.readers.iter().chain([&lane.writer]));
        let parties: BTreeSet<&PartyName> = holders.map(|holder| &holder.party).collect();
        Judge::of(desired, documents, names, parties)
    }

    fn of(
        desired: &'a Desired,
        documents: &'a Documents,
        lanes: impl IntoIterator<Item = &'a LaneName>,
        parties: impl IntoIterator<Item = &'a PartyName>,
    ) -> Result<Judge<'a>, Error> {
        let lanes = lanes.into_iter().filter_map(|name| documents.lanes.get_key_value(name));
        let lanes = lanes.map(|(name, lane)| {
            Ok((name, ParsedLane::of(name, lane, documents.queues.get(name))?))
        });
        let parties = parties.into_iter();
        let parties = parties.filter_map(|name| documents.identities.get_key_value(name));
        let identities = parties.map(|(party, policies)| {
            let what = format!("the identity policy of party `{party}`");
            let policies = policies.iter().map(|text| parse(&what, PolicyKind::Identity, text));
            Ok((party, policies.collect::<Result<_, Error>>()?))
        });
        Ok(Judge {
            desired,
            documents,
            lanes: lanes.collect::<Result<_, Error>>()?,
            identities: identities.collect::<Result<_, Error>>()?,
            everything: everything()?,
            nothing: ParsedLane::default(),
        })
    }

    fn public_buckets(&self) -> Vec<LaneName> {
        let public =
            self.lanes.iter().filter(|(_, lane)| lane.bucket.iter().any(consign_iam::is_public));
        public.map(|(name, _)| (*name).clone()).collect()
    }

    /// The whole reasoning about one call. Without a party the caller's own account is taken to
    /// allow everything.
    pub(crate) fn explain(
        &self,
        lane: &DesiredLane,
        principal: &Principal,
        party: Option<&PartyName>,
        call: &Call,
    ) -> Result<Explanation, Error> {
        let lane = self.lane(&lane.name);
        let identity = match party {
            Some(party) => self.identity(party),
            None => std::slice::from_ref(&self.everything),
        };
        let request = request(principal.clone(), call)?;
        Ok(explain(&request, &policies(identity, lane, call)))
    }

    /// The documents of a lane, or none.
    pub(crate) fn lane(&self, name: &LaneName) -> &ParsedLane<'a> {
        self.lanes.get(name).unwrap_or(&self.nothing)
    }

    /// The lanes that a party is on, and the key of each.
    pub(crate) fn lanes_of(&self, party: &PartyName) -> Vec<(&'a DesiredLane, Option<&'a KeyArn>)> {
        let Some(party) = self.desired.parties.get(party) else { return Vec::new() };
        let names = party.writes.iter().chain(&party.reads);
        let lanes = names.filter_map(|name| self.desired.lanes.get(name));
        let key = |lane: &DesiredLane| Some(&self.documents.lanes.get(&lane.name)?.key.as_ref()?.0);
        lanes.map(|lane| (lane, key(lane))).collect()
    }

    pub(crate) fn identity(&self, party: &PartyName) -> &[Policy] {
        self.identities.get(party).map_or(&[], Vec::as_slice)
    }
}

/// Who acts when a party acts: its user, or a session of its role.
pub(crate) fn caller(arn: &str) -> Result<Principal, Error> {
    let principal = match arn.contains(":role/") {
        true => Principal::role_session(arn, "consign"),
        false => Principal::from_arn(arn),
    };
    principal.map_err(|refusal| unreadable("a principal of the exchange", refusal))
}

pub(crate) fn request(principal: Principal, call: &Call) -> Result<Request, Error> {
    let context: Context = call.context.iter().map(|(key, value)| (key, value)).collect();
    let owner = call.resource_account.as_ref();
    Request::new(principal, &call.action, &call.resource, owner, context)
        .map_err(|refusal| unreadable("a request of the matrix", refusal))
}

fn policies<'p>(identity: &'p [Policy], lane: &'p ParsedLane<'_>, call: &Call) -> Policies<'p> {
    let resource = match (call.is_kms(), call.is_sqs()) {
        (true, _) => &lane.key,
        (_, true) => &lane.queue,
        _ => &lane.bucket,
    };
    Policies { identity, resource, ..Policies::default() }
}

/// What a caller is tried with who must be kept out whatever his own account allows.
pub(crate) fn everything() -> Result<Policy, Error> {
    parse("everything", PolicyKind::Identity, EVERYTHING)
}

fn parse(what: &str, kind: PolicyKind, text: &str) -> Result<Policy, Error> {
    Policy::parse_as(kind, text).map_err(|refusal| unreadable(what, refusal))
}

pub(crate) fn unreadable(what: &str, refusal: consign_iam::Refusal) -> Error {
    Error::new(ErrorKind::Document, format!("{what} is not accepted")).with_source(refusal)
}
