//! The cells of the matrix, evaluated: may this subject do this on this lane?
//!
//! The calls of an operation are the same whoever asks, so each is made once and asked by one subject
//! after the other; words are made for those cells alone that are listed.

use super::{Judge, PARTIES_SHOWN_MAX, ParsedLane, caller, policies, request, unreadable};
use crate::desired::{Desired, DesiredLane};
use crate::error::Error;
use crate::matrix::{Call, Operation, Rule, STRANGER, Subject, declared_by, rule_words};
use consign_iam::{Decision, Policy, Principal, Request, evaluate};
use consign_model::{AccountId, LaneName};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

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
            Some(
                Rule::Writer
                    | Rule::Readers
                    | Rule::Nobody
                    | Rule::Scanner
                    | Rule::Consumers
                    | Rule::Parties
            ) | None
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

/// The cells of one lane, decided.
pub(super) struct Sheet {
    pub(super) subjects: Vec<Subject>,
    /// In the order of reports.
    columns: Vec<Column>,
}

/// One operation, asked by every subject in turn.
struct Column {
    operation: Operation,
    rule: Rule,
    calls: Vec<Call>,
    answers: Vec<Answer>,
}

struct Answer {
    expected: Access,
    actual: Access,
    all_powerful: bool,
    /// Which call decided.
    call: usize,
    /// Nothing where there was no key or queue to ask.
    decision: Option<Decision>,
}

impl Sheet {
    /// How many cells there are.
    pub(super) fn len(&self) -> usize {
        self.columns.len() * self.subjects.len()
    }

    /// What makes lanes alike: which operations there are and who may do each.
    pub(super) fn likeness(&self, lane: &DesiredLane) -> Vec<u8> {
        let mut likeness: Vec<u8> = self.subjects.iter().map(|who| kind_of(who, lane)).collect();
        for column in &self.columns {
            likeness.push(column.operation as u8);
            likeness.extend(column.answers.iter().map(|answer| answer.actual as u8));
        }
        likeness
    }

    /// Every cell, subject by subject.
    pub(super) fn cells(&self, lane: &DesiredLane) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(self.len());
        for (at, subject) in self.subjects.iter().enumerate() {
            for column in &self.columns {
                let answer = column.answers.get(at);
                cells.extend(answer.and_then(|answer| column.cell(lane, subject, answer)));
            }
        }
        cells
    }

    /// Whether some cell is not as declared.
    pub(super) fn fails(&self) -> bool {
        let mut answers = self.columns.iter().flat_map(|column| &column.answers);
        answers.any(|answer| answer.expected != answer.actual)
    }
}

impl Column {
    fn cell(&self, lane: &DesiredLane, subject: &Subject, answer: &Answer) -> Option<Cell> {
        let call = self.calls.get(answer.call)?.clone();
        let (of, lacking) = match (call.is_kms(), call.is_sqs()) {
            (true, _) => ("key policy", "the lane has no key"),
            (_, true) => ("queue policy", "the repository has no queue"),
            _ => ("bucket policy", "the lane has no bucket"),
        };
        let reason = answer.decision.as_ref().map_or_else(
            || format!("denied: {lacking}"),
            |decision| decision.explain().replace("resource policy", of),
        );
        Some(Cell {
            lane: lane.name.clone(),
            subject: subject.clone(),
            operation: self.operation,
            expected: answer.expected,
            actual: answer.actual,
            all_powerful: answer.all_powerful,
            call,
            reason,
            rule: rule_words(self.rule, lane),
            declared_by: declared_by(self.rule, lane),
        })
    }
}

/// Who somebody is on a lane, apart from his name.
fn kind_of(subject: &Subject, lane: &DesiredLane) -> u8 {
    let owns = |account: &AccountId| {
        u8::from(*account == lane.owner) | u8::from(*account == lane.key_owner) << 1
    };
    match subject {
        Subject::Party { party } => {
            let reads = lane.readers.iter().any(|reader| reader.party == *party);
            let scans = lane.scanner().is_some_and(|scanner| scanner.party == *party);
            u8::from(lane.writer.party == *party) | u8::from(reads) << 1 | u8::from(scans) << 2
        }
        Subject::Administrator { account } => 8 | owns(account),
        Subject::Root { account } => 12 | owns(account),
        Subject::Stranger => 16,
        Subject::Anonymous => 17,
    }
}

impl Judge<'_> {
    /// Decides every cell of a lane.
    pub(super) fn sheet(&self, lane: &DesiredLane) -> Result<Sheet, Error> {
        let subjects = subjects_of(self.desired, lane);
        let principals: Vec<Principal> =
            subjects.iter().map(|subject| self.principal(subject)).collect::<Result<_, _>>()?;
        let mut columns = Vec::new();
        for operation in Operation::ALL {
            let Some(rule) = operation.rule(lane) else { continue };
            let calls = operation.calls(lane, self.lane(&lane.name).key_arn);
            if calls.is_empty() {
                continue;
            }
            let mut asked: Vec<Option<Request>> = calls.iter().map(|_| None).collect();
            let answers = subjects.iter().zip(&principals).map(|(subject, principal)| {
                self.answer(lane, rule, subject, principal, &calls, &mut asked)
            });
            let answers = answers.collect::<Result<_, _>>()?;
            columns.push(Column { operation: *operation, rule, calls, answers });
        }
        Ok(Sheet { subjects, columns })
    }

    /// Asks call after call until one is denied. `asked` holds the requests that were made of them.
    fn answer(
        &self,
        lane: &DesiredLane,
        rule: Rule,
        subject: &Subject,
        principal: &Principal,
        calls: &[Call],
        asked: &mut [Option<Request>],
    ) -> Result<Answer, Error> {
        let (expected, all_powerful) = declared(rule, lane, subject);
        let documents = self.lane(&lane.name);
        let identity = self.tried_with(subject, all_powerful);
        let mut answer =
            Answer { expected, actual: Access::Denied, all_powerful, call: 0, decision: None };
        for (at, (call, asked)) in calls.iter().zip(asked).enumerate() {
            answer.call = at;
            answer.decision = decide(documents, identity, principal, call, asked)?;
            if !answer.decision.as_ref().is_some_and(Decision::is_allowed) {
                return Ok(answer);
            }
        }
        answer.actual = Access::Allowed;
        Ok(answer)
    }

    fn tried_with(&self, subject: &Subject, all_powerful: bool) -> &[Policy] {
        match subject {
            _ if all_powerful => std::slice::from_ref(&self.everything),
            Subject::Party { party } => self.identity(party),
            _ => &[],
        }
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

fn decide(
    documents: &ParsedLane<'_>,
    identity: &[Policy],
    principal: &Principal,
    call: &Call,
    asked: &mut Option<Request>,
) -> Result<Option<Decision>, Error> {
    let no_key = call.is_kms() && documents.key_arn.is_none();
    if no_key || (call.is_sqs() && documents.queue.is_empty()) {
        return Ok(None);
    }
    let request = match asked.take() {
        Some(request) => request.asked_by(principal.clone()),
        None => request(principal.clone(), call)?,
    };
    let decision = evaluate(&request, &policies(identity, documents, call));
    *asked = Some(request);
    Ok(Some(decision))
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
        Rule::Consumers => lane.consumers().any(is_on),
        Rule::Parties => writes || reads,
        Rule::KeyAdministrators => manages_key,
        Rule::Writer => writes,
        Rule::Readers => reads,
        Rule::Nobody => false,
        Rule::Administrators | Rule::AdministratorsNeverParties => administers,
        Rule::WriterAndAdministrators => writes || administers,
    };
    let declared_only = match rule {
        Rule::Writer | Rule::Readers | Rule::Nobody => allowed,
        Rule::Scanner | Rule::Consumers | Rule::Parties => allowed,
        Rule::AdministratorsNeverParties => is_party && !writes && !reads,
        // A party in the owner's account whose identity policy allows everything *is* an
        // administrator; the claim is about what consign gives it.
        Rule::Administrators | Rule::WriterAndAdministrators | Rule::KeyAdministrators => is_party,
    };
    (if allowed { Access::Allowed } else { Access::Denied }, !declared_only)
}
