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
//! What it is not: a proof by AWS. It is exact under [`MODEL`].

use crate::claims::{self, Decided};
use crate::desired::{Desired, DesiredLane, KeyArn, Keys};
use crate::error::{Error, ErrorKind};
use crate::matrix::{Call, Operation, Rule, STRANGER, Subject, declared_by, rule_words};
use crate::policies::{Grants, bucket, key, queue};
use consign_iam::{
    Context, Explanation, Policies, Policy, PolicyKind, Principal, Request, evaluate, explain,
};
use consign_model::{AccountId, LaneName, PartyName};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
    /// Every cell.
    pub cells: Vec<Cell>,
    /// What was claimed over all requests.
    pub claims: Vec<Decided>,
    /// Lanes whose bucket policy S3 would classify as public.
    pub public: Vec<LaneName>,
    /// What could not be looked at and was taken as planned.
    pub assumed: BTreeSet<String>,
}

/// One cell: may this subject do this on this lane?
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The lane.
    pub lane: LaneName,
    /// Who asks.
    pub subject: Subject,
    /// What for.
    pub operation: Operation,
    /// What the exchange file declares.
    pub expected: Access,
    /// What the documents give.
    pub actual: Access,
    /// Whether the subject was given an identity policy that allows everything.
    pub all_powerful: bool,
    /// The call that decided: the first that is denied, or the last.
    pub call: Call,
    /// Why, naming the statement.
    pub reason: String,
    /// What the exchange file says about it.
    pub rule: String,
    /// The word of the lane's table that says so (`from`, `to`, `owner`); empty for what holds of
    /// every lane. [`line_of`](crate::exchange_line::line_of) finds its line.
    pub declared_by: &'static str,
}

/// Allowed or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// May.
    Allowed,
    /// May not.
    Denied,
}

impl Cell {
    /// Whether the documents give what the file declares.
    pub fn holds(&self) -> bool {
        self.expected == self.actual
    }

    /// Whether this cell is about who could change the answer rather than about data.
    pub fn is_administration(&self, lane: &DesiredLane) -> bool {
        !matches!(
            self.operation.rule(lane),
            Some(Rule::Writer | Rule::Readers | Rule::Nobody | Rule::Scanner) | None
        )
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { lane, subject, operation, reason, rule, call, .. } = self;
        let can = match self.actual {
            Access::Allowed => "can",
            Access::Denied => "cannot",
        };
        write!(f, "{subject} {can} {operation} on lane `{lane}`: {reason}")?;
        if self.holds() {
            return Ok(());
        }
        write!(
            f,
            "; the exchange file says {rule}. Request: {} on {}",
            call.action, call.resource
        )?;
        for (key, value) in &call.context {
            write!(f, ", {key}={value}")?;
        }
        Ok(())
    }
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

    /// Whether `subject` can do `operation` on `lane`; `None` for a cell that does not exist.
    pub fn access(
        &self,
        lane: &LaneName,
        subject: &Subject,
        operation: Operation,
    ) -> Option<Access> {
        let mut cells = self.cells.iter();
        let cell = cells.find(|cell| {
            cell.lane == *lane && cell.subject == *subject && cell.operation == operation
        });
        cell.map(|cell| cell.actual)
    }

    /// The table for people: per lane and subject, which of these operations are possible.
    pub fn table(&self, operations: &[Operation]) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for cell in &self.cells {
            let known =
                rows.last().is_some_and(|row| row.lane == cell.lane && row.subject == cell.subject);
            if !known {
                let (lane, subject) = (cell.lane.clone(), cell.subject.clone());
                let access =
                    operations.iter().map(|operation| self.access(&lane, &subject, *operation));
                rows.push(Row { access: access.collect(), lane, subject });
            }
        }
        rows
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

/// The subjects of an exchange: its parties, and in each of their accounts an administrator and
/// the root user, then a stranger and an unsigned request.
pub fn subjects(desired: &Desired) -> Vec<Subject> {
    let parties = desired.parties.keys().map(|party| Subject::Party { party: party.clone() });
    let accounts: BTreeSet<&AccountId> =
        desired.parties.values().map(|party| &party.account).collect();
    let administrators = accounts.into_iter().flat_map(|account| {
        let account = account.clone();
        [Subject::Administrator { account: account.clone() }, Subject::Root { account }]
    });
    parties.chain(administrators).chain([Subject::Stranger, Subject::Anonymous]).collect()
}

/// Beyond so many parties nobody reads the table, and parties × lanes would be too many cells: each
/// lane is shown with those on it. The claims concern everybody.
const PARTIES_SHOWN_MAX: usize = 16;

fn subjects_of(desired: &Desired, lane: &DesiredLane) -> Vec<Subject> {
    if desired.parties.len() <= PARTIES_SHOWN_MAX {
        return subjects(desired);
    }
    let holders = || std::iter::once(&lane.writer).chain(&lane.readers);
    let parties = holders().map(|it| Subject::Party { party: it.party.clone() });
    let accounts: BTreeSet<&AccountId> =
        holders().map(|it| &it.account).chain([&lane.owner]).collect();
    let administrators = accounts.into_iter().flat_map(|account| {
        let account = account.clone();
        [Subject::Administrator { account: account.clone() }, Subject::Root { account }]
    });
    parties.chain(administrators).chain([Subject::Stranger, Subject::Anonymous]).collect()
}

/// Evaluates every cell and decides every claim; each proof of a claim is checked before it is
/// believed.
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
    /// elsewhere.
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
    let judge = Judge::new(desired, documents)?;
    Ok(Proof {
        model: MODEL,
        exchange: desired.exchange.to_string(),
        cells: judge.cells()?,
        claims: claims::decide(desired, &judge, certificates)?,
        public: judge.public_buckets(),
        assumed: documents.assumed.clone(),
    })
}

/// The cells alone: what plans compare, and what is shown.
///
/// # Errors
/// As [`prove`].
pub fn cells(desired: &Desired, documents: &Documents) -> Result<Vec<Cell>, Error> {
    Judge::new(desired, documents)?.cells()
}

/// The documents, parsed once.
pub(crate) struct Judge<'a> {
    desired: &'a Desired,
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

const EVERYTHING: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Everything","Effect":"Allow","Action":"*","Resource":"*"}]}"#;

impl<'a> Judge<'a> {
    pub(crate) fn new(desired: &'a Desired, documents: &'a Documents) -> Result<Judge<'a>, Error> {
        let mut lanes = BTreeMap::new();
        for (name, lane) in &documents.lanes {
            let mut parsed = ParsedLane::default();
            if let Some(text) = &lane.bucket_policy {
                let what = format!("the bucket policy of lane `{name}`");
                parsed.bucket.push(parse(&what, PolicyKind::Resource, text)?);
            }
            if let Some((arn, text)) = &lane.key {
                parsed.key_arn = Some(arn);
                let what = format!("the key policy of lane `{name}`");
                parsed.key.push(parse(&what, PolicyKind::Key, text)?);
            }
            if let Some(queues) = documents.queues.get(name) {
                let what = format!("a queue policy of repository `{name}`");
                let read = |text: &String| parse(&what, PolicyKind::Resource, text);
                parsed.queue = queues.queue.iter().map(read).collect::<Result<_, _>>()?;
                parsed.dead_letters =
                    queues.dead_letters.iter().map(read).collect::<Result<_, _>>()?;
            }
            lanes.insert(name, parsed);
        }
        let mut identities = BTreeMap::new();
        for (party, policies) in &documents.identities {
            let what = format!("the identity policy of party `{party}`");
            let policies = policies.iter().map(|text| parse(&what, PolicyKind::Identity, text));
            identities.insert(party, policies.collect::<Result<_, _>>()?);
        }
        Ok(Judge {
            desired,
            lanes,
            identities,
            everything: everything()?,
            nothing: ParsedLane::default(),
        })
    }

    fn cells(&self) -> Result<Vec<Cell>, Error> {
        let mut cells = Vec::new();
        for lane in self.desired.lanes.values() {
            for subject in subjects_of(self.desired, lane) {
                for operation in Operation::ALL {
                    cells.extend(self.cell(lane, &subject, *operation)?);
                }
            }
        }
        Ok(cells)
    }

    fn public_buckets(&self) -> Vec<LaneName> {
        let public =
            self.lanes.iter().filter(|(_, lane)| lane.bucket.iter().any(consign_iam::is_public));
        public.map(|(name, _)| (*name).clone()).collect()
    }

    fn cell(
        &self,
        lane: &DesiredLane,
        subject: &Subject,
        operation: Operation,
    ) -> Result<Option<Cell>, Error> {
        let Some(rule) = operation.rule(lane) else { return Ok(None) };
        let (expected, all_powerful) = declared(rule, lane, subject);
        let parsed = self.lane(&lane.name);
        let mut decided = None;
        for call in operation.calls(lane, parsed.key_arn) {
            let (allowed, reason) = self.decide(parsed, subject, all_powerful, &call)?;
            decided = Some((allowed, reason, call));
            if !allowed {
                break;
            }
        }
        let Some((allowed, reason, call)) = decided else { return Ok(None) };
        Ok(Some(Cell {
            lane: lane.name.clone(),
            subject: subject.clone(),
            operation,
            expected,
            actual: if allowed { Access::Allowed } else { Access::Denied },
            all_powerful,
            call,
            reason,
            rule: rule_words(rule, lane),
            declared_by: declared_by(rule, lane),
        }))
    }

    /// Whether one call is allowed, and why.
    fn decide(
        &self,
        lane: &ParsedLane<'_>,
        subject: &Subject,
        all_powerful: bool,
        call: &Call,
    ) -> Result<(bool, String), Error> {
        if call.is_kms() && lane.key_arn.is_none() {
            return Ok((false, "denied: the lane has no key".to_owned()));
        }
        if call.is_sqs() && lane.queue.is_empty() {
            return Ok((false, "denied: the repository has no queue".to_owned()));
        }
        let request = request(self.principal(subject)?, call)?;
        let party = match subject {
            Subject::Party { party } => Some(party),
            _ => None,
        };
        let identity = match all_powerful {
            true => std::slice::from_ref(&self.everything),
            false => party.map_or(&[][..], |party| self.identity(party)),
        };
        let decision = evaluate(&request, &policies(identity, lane, call));
        let of = match (call.is_kms(), call.is_sqs()) {
            (true, _) => "key policy",
            (_, true) => "queue policy",
            _ => "bucket policy",
        };
        let reason = decision.explain().replace("resource policy", of);
        Ok((decision.is_allowed(), reason))
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
        lanes.map(|lane| (lane, self.lane(&lane.name).key_arn)).collect()
    }

    pub(crate) fn identity(&self, party: &PartyName) -> &[Policy] {
        self.identities.get(party).map_or(&[], Vec::as_slice)
    }

    fn principal(&self, subject: &Subject) -> Result<Principal, Error> {
        let role = |account: &str, role: &str| {
            Principal::role_session(&format!("arn:aws:iam::{account}:role/{role}"), "session")
        };
        let principal = match subject {
            Subject::Party { party } => {
                let arn = self.desired.parties.get(party).map(|party| party.arn.as_str());
                return caller(arn.unwrap_or_default());
            }
            Subject::Administrator { account } => role(account.as_ref(), "Administrator"),
            Subject::Root { account } => Ok(Principal::Root { account: account.to_string() }),
            Subject::Stranger => role(STRANGER, "Stranger"),
            Subject::Anonymous => Ok(Principal::Anonymous),
        };
        principal.map_err(|refusal| unreadable("a principal of the exchange", refusal))
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

/// What the file declares for a subject, and whether the subject is tried with an identity
/// policy that allows everything.
fn declared(rule: Rule, lane: &DesiredLane, subject: &Subject) -> (Access, bool) {
    let is_party = matches!(subject, Subject::Party { .. });
    let is_on = |holder: &crate::desired::Holder| match subject {
        Subject::Party { party } => holder.party == *party,
        _ => false,
    };
    let writes = is_on(&lane.writer);
    let reads = lane.readers.iter().any(is_on);
    let administers = match subject {
        Subject::Administrator { account } | Subject::Root { account } => *account == lane.owner,
        _ => false,
    };
    let scans = lane.scanner().is_some_and(is_on);
    let manages_key = match subject {
        Subject::Administrator { account } | Subject::Root { account } => {
            *account == lane.key_owner
        }
        _ => false,
    };
    let allowed = match rule {
        Rule::Scanner => scans,
        Rule::KeyAdministrators => manages_key,
        Rule::Writer => writes,
        Rule::Readers => reads,
        Rule::Nobody => false,
        Rule::Administrators | Rule::AdministratorsNeverParties => administers,
        Rule::WriterAndAdministrators => writes || administers,
    };
    let declared_only = match rule {
        Rule::Writer | Rule::Readers | Rule::Nobody | Rule::Scanner => allowed,
        Rule::AdministratorsNeverParties => is_party && !writes && !reads,
        // A party in the owner's account whose identity policy allows everything *is* an
        // administrator; the claim is about what consign gives it.
        Rule::Administrators | Rule::WriterAndAdministrators | Rule::KeyAdministrators => is_party,
    };
    (if allowed { Access::Allowed } else { Access::Denied }, !declared_only)
}
