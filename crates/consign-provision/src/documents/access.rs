//! Who can do what: every caller the documents know or ought to keep out, every bucket, and the
//! operations that tell a lane from an open door. S3's side and KMS's side are asked apart, because
//! published policies often open one of them to the one and the other to the other.

use super::{Bucket, Folder, Kind};
use crate::error::Error;
use crate::matrix::{Call, Operation, STRANGER};
use crate::prove::{caller, everything, request};
use consign_iam::{Decision, Policies, Policy, Principal, evaluate};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Somebody who might ask.
#[derive(Clone, Debug, Serialize)]
pub struct Actor {
    /// `user/client`, `an administrator of 111111111111`, `a stranger`, …
    pub name: String,
    /// The ARN, of a user or role that the documents name.
    pub arn: Option<String>,
    #[serde(skip)]
    pub(super) principal: Principal,
    #[serde(skip)]
    pub(super) identity: Vec<Policy>,
}

impl Actor {
    /// Whether the documents name him.
    pub fn is_named(&self) -> bool {
        self.arn.is_some()
    }
}

/// What one caller can do on one bucket.
#[derive(Clone, Debug, Serialize)]
pub struct Reach {
    /// The bucket.
    pub bucket: String,
    /// Who.
    pub who: String,
    /// Every operation, in the order of [`Operation::ALL`], and whether it is possible.
    pub access: BTreeMap<Operation, bool>,
}

impl Reach {
    /// Whether an operation is possible.
    pub fn can(&self, operation: Operation) -> bool {
        self.access.get(&operation).copied().unwrap_or(false)
    }

    /// Whether an object can be put at all, write-once or not.
    pub fn puts(&self) -> bool {
        self.can(Operation::Put) || self.can(Operation::PutConsignment)
    }

    /// Whether an object can be put in parts.
    pub fn puts_in_parts(&self) -> bool {
        self.can(Operation::PutMultipart) || self.can(Operation::PutConsignmentMultipart)
    }
}

/// The answers, and who was asked about.
pub struct Access<'a> {
    folder: &'a Folder,
    pub(super) actors: Vec<Actor>,
    pub(super) rows: Vec<Reach>,
    guards: Vec<Vec<Policy>>,
}

impl<'a> Access<'a> {
    pub(super) fn of(folder: &'a Folder) -> Result<Access<'a>, Error> {
        let guards = folder.files.iter().filter(|file| file.kind == Kind::ResourceControl);
        let guards: Vec<Policy> = guards.flat_map(|file| file.policies()).collect();
        let guards = if guards.is_empty() { Vec::new() } else { vec![guards] };
        let mut access = Access { folder, actors: actors(folder)?, rows: Vec::new(), guards };
        for bucket in &folder.buckets {
            for actor in &access.actors {
                let answers = Operation::ALL.iter().filter_map(|operation| {
                    let allowed = access.allows(actor, bucket, *operation).transpose()?;
                    Some(allowed.map(|allowed| (*operation, allowed)))
                });
                let answers = answers.collect::<Result<_, Error>>()?;
                access.rows.push(Reach {
                    bucket: bucket.name().to_owned(),
                    who: actor.name.clone(),
                    access: answers,
                });
            }
        }
        Ok(access)
    }

    /// Every bucket with every caller.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'a Bucket, &Actor, &Reach)> {
        let pairs = self
            .folder
            .buckets
            .iter()
            .flat_map(|bucket| self.actors.iter().map(move |actor| (bucket, actor)));
        pairs.zip(&self.rows).map(|((bucket, actor), row)| (bucket, actor, row))
    }

    fn allows(
        &self,
        actor: &Actor,
        bucket: &Bucket,
        operation: Operation,
    ) -> Result<Option<bool>, Error> {
        let calls = operation.calls(&bucket.lane, self.key_arn(bucket));
        for call in &calls {
            if !self.decide(actor, bucket, call)?.is_allowed() {
                return Ok(Some(false));
            }
        }
        Ok((!calls.is_empty() && operation.rule(&bucket.lane).is_some()).then_some(true))
    }

    fn key_arn(&self, bucket: &Bucket) -> Option<&'a crate::KeyArn> {
        bucket.key.and_then(|at| self.folder.keys.get(at)).map(|key| &key.arn)
    }

    /// The calls of an operation on a bucket: those that S3 decides, or those that KMS does.
    pub(super) fn calls(&self, bucket: &Bucket, operation: Operation, kms: bool) -> Vec<Call> {
        let calls = operation.calls(&bucket.lane, self.key_arn(bucket));
        calls.into_iter().filter(|call| call.is_kms() == kms).collect()
    }

    /// The first refusal among the calls that S3 (or KMS) decides; `None` if all are allowed.
    pub(super) fn refusal(
        &self,
        actor: &Actor,
        bucket: &Bucket,
        operation: Operation,
        kms: bool,
    ) -> Result<Option<(Call, Decision)>, Error> {
        for call in self.calls(bucket, operation, kms) {
            let decision = self.decide(actor, bucket, &call)?;
            if !decision.is_allowed() {
                return Ok(Some((call, decision)));
            }
        }
        Ok(None)
    }

    /// One call, decided.
    pub(super) fn decide(
        &self,
        actor: &Actor,
        bucket: &Bucket,
        call: &Call,
    ) -> Result<Decision, Error> {
        let own: Vec<Policy>;
        let resource = if call.is_kms() {
            bucket.key.and_then(|at| self.folder.keys.get(at)).map_or(&[][..], |key| &key.policy)
        } else {
            own = bucket
                .policy
                .and_then(|at| self.folder.files.get(at))
                .map_or_else(Vec::new, |file| file.policies());
            &own
        };
        let policies = Policies {
            identity: &actor.identity,
            resource,
            rcps: &self.guards,
            ..Policies::default()
        };
        Ok(evaluate(&request(actor.principal.clone(), call)?, &policies))
    }

    /// Who can do what, in sentences: one per bucket.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for bucket in &self.folder.buckets {
            let here = |can: &dyn Fn(&Reach) -> bool| {
                let rows = self.each().filter(|(it, actor, row)| {
                    it.name() == bucket.name() && actor.is_named() && can(row)
                });
                let names: Vec<&str> = rows.map(|(_, actor, _)| actor.name.as_str()).collect();
                if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
            };
            words.push(format!(
                "{}: {} can put (in parts: {}), {} can get, {} can list",
                bucket.name(),
                here(&Reach::puts),
                here(&Reach::puts_in_parts),
                here(&|row| row.can(Operation::Get)),
                here(&|row| row.can(Operation::List)),
            ));
        }
        words
    }
}

/// The users and roles of the folder, then an administrator and the root user of each account, a
/// stranger and an unsigned request.
fn actors(folder: &Folder) -> Result<Vec<Actor>, Error> {
    let everything = everything()?;
    let has_identities = folder.files.iter().any(|file| file.kind == Kind::Identity);
    let mut actors = Vec::new();
    let mut accounts: BTreeSet<String> =
        folder.buckets.iter().map(|bucket| bucket.lane.owner.to_string()).collect();
    for (arn, files) in &folder.holders {
        accounts.extend(super::written::account_of(arn).map(str::to_owned));
        let files = files.iter().filter_map(|at| folder.files.get(*at));
        let identity = match has_identities {
            true => files.flat_map(|file| file.policies()).collect(),
            false => vec![everything.clone()],
        };
        let name = arn.splitn(6, ':').last().unwrap_or(arn).to_owned();
        let same_name = |other: &&String| other.ends_with(&format!(":{name}"));
        let unique = folder.holders.keys().filter(same_name).count() == 1;
        let name = if unique { name } else { arn.clone() };
        actors.push(Actor { name, arn: Some(arn.clone()), principal: caller(arn)?, identity });
    }
    let mut powerful = |name: String, principal: Principal| {
        actors.push(Actor { name, arn: None, principal, identity: vec![everything.clone()] });
    };
    for account in &accounts {
        let administrator = caller(&format!("arn:aws:iam::{account}:role/Administrator"))?;
        powerful(format!("an administrator of {account}"), administrator);
        powerful(
            format!("the root user of {account}"),
            Principal::Root { account: account.clone() },
        );
    }
    powerful("a stranger".to_owned(), caller(&format!("arn:aws:iam::{STRANGER}:role/Stranger"))?);
    powerful("anybody, unsigned".to_owned(), Principal::Anonymous);
    Ok(actors)
}
