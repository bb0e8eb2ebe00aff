//! The controls of a secure exchange, checked on what is deployed, whoever made it.
//!
//! Start with [`read()`], which asks the services and brings home [`Facts`], and hand these to
//! [`audit`], which is pure: one small function per control ([`controls`]), one [`Finding`] per
//! control and thing. A control about what a policy *means* is decided by proving it
//! ([`adversary`]), never by looking for a pattern in its text.
//!
//! A fact that could not be read gives [`Verdict::NotLookedAt`] and never a pass: an auditor who
//! may not look has not seen that all is well.

mod adversary;
mod controls;
mod facts;
mod read;
mod sarif;

pub use facts::{AccountFacts, BucketFacts, Fact, Facts, KeyFacts, LogTarget, PrincipalFacts};
pub(crate) use read::policies_of;
pub use read::{read, read_bucket};
pub use sarif::sarif;

use crate::desired::{Desired, DesiredLane};
use crate::prove::{Documents, Proof, prove};
use serde::Serialize;

/// What a control found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is not as it should be.
    Fail,
    /// It could not be read.
    NotLookedAt,
    /// It differs from what general advice says, for a reason.
    Accepted,
    /// It is as it should be.
    Pass,
}

impl Verdict {
    /// One word for tables.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Fail => "FAIL",
            Verdict::NotLookedAt => "not looked at",
            Verdict::Accepted => "accepted",
            Verdict::Pass => "pass",
        }
    }
}

/// One control on one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// `X01` to `X26`.
    pub control: &'static str,
    /// What the control asks for.
    pub title: &'static str,
    /// Whether that is so.
    pub verdict: Verdict,
    /// The bucket, key, role or account.
    pub resource: String,
    /// What was read, or why nothing was.
    pub fact: String,
    /// Why it matters.
    pub why: &'static str,
    /// The command that repairs it.
    pub fix: Option<String>,
}

/// What a control says about one thing, before it is put together with the control's words.
pub(crate) struct Says {
    verdict: Verdict,
    fact: String,
    fix: Option<String>,
}

impl Says {
    fn pass(fact: impl Into<String>) -> Option<Says> {
        Some(Says { verdict: Verdict::Pass, fact: fact.into(), fix: None })
    }

    fn accepted(fact: impl Into<String>) -> Option<Says> {
        Some(Says { verdict: Verdict::Accepted, fact: fact.into(), fix: None })
    }

    fn unseen(why: impl Into<String>) -> Option<Says> {
        Some(Says { verdict: Verdict::NotLookedAt, fact: why.into(), fix: None })
    }

    fn fail(fact: impl Into<String>, fix: impl Into<String>) -> Option<Says> {
        Some(Says { verdict: Verdict::Fail, fact: fact.into(), fix: Some(fix.into()) })
    }
}

/// A control: its number, what it asks for, why, and how it is decided. `None` where the control
/// has no meaning for the thing.
pub(crate) struct Control<T: ?Sized> {
    id: &'static str,
    title: &'static str,
    why: &'static str,
    decide: fn(&T) -> Option<Says>,
}

/// What an auditor asks for beyond what every exchange needs.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// The least Object Lock by default; without it none is asked for.
    pub object_lock: Option<LockDemand>,
}

/// The least default retention of a bucket with Object Lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockDemand {
    /// Whether `GOVERNANCE`, which privileged users can lift, is not enough.
    pub compliance: bool,
    /// For how many days at least.
    pub days: u32,
}

/// A bucket with all that the controls on it may ask.
pub(crate) struct BucketScope<'a> {
    demands: &'a Demands,
    desired: Option<&'a Desired>,
    lane: Option<&'a DesiredLane>,
    facts: &'a BucketFacts,
    accounts: &'a [AccountFacts],
    /// `Err` says why there is none: no exchange file, or a document that AWS would not accept.
    proof: &'a Result<Proof, String>,
}

/// A principal of the exchange with its party's account.
pub(crate) struct PrincipalScope<'a> {
    facts: &'a PrincipalFacts,
}

/// Decides every control on every fact; worst first, then by control.
pub fn audit(desired: Option<&Desired>, facts: &Facts, demands: &Demands) -> Vec<Finding> {
    let proof = match desired {
        None => Err("no exchange file declares who may do what".to_owned()),
        Some(desired) => {
            let documents = facts.documents(desired);
            prove(desired, &documents).map_err(|error| {
                let cause = std::error::Error::source(&error);
                cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
            })
        }
    };
    let mut findings = Vec::new();
    for bucket in &facts.buckets {
        let lane = bucket.lane.as_ref().and_then(|name| desired?.lanes.get(name));
        let accounts = &facts.accounts;
        let scope = BucketScope { demands, desired, lane, facts: bucket, accounts, proof: &proof };
        let controls = match bucket.exists {
            Fact::Is(true) => controls::on_buckets(),
            Fact::Is(false) | Fact::Unknown(_) => controls::on_missing_buckets(),
        };
        run(&controls, &scope, &format!("s3://{}", bucket.bucket), &mut findings);
        if let Some(key) = &bucket.key {
            run(&controls::on_keys(), key, &key.name, &mut findings);
        }
    }
    for account in &facts.accounts {
        let name = format!("account {}", account.account);
        run(&controls::on_accounts(), account, &name, &mut findings);
    }
    for principal in &facts.principals {
        let scope = PrincipalScope { facts: principal };
        run(&controls::on_principals(), &scope, &principal.arn, &mut findings);
    }
    findings.sort_by(|a, b| {
        (a.verdict, a.control, &a.resource).cmp(&(b.verdict, b.control, &b.resource))
    });
    findings
}

fn run<T: ?Sized>(controls: &[Control<T>], thing: &T, resource: &str, findings: &mut Vec<Finding>) {
    findings.extend(controls.iter().filter_map(|control| {
        let says = (control.decide)(thing)?;
        Some(Finding {
            control: control.id,
            title: control.title,
            verdict: says.verdict,
            resource: resource.to_owned(),
            fact: says.fact,
            why: control.why,
            fix: says.fix,
        })
    }));
}

impl Facts {
    /// What is deployed, for the proof. What could not be read stays as planned and is named in
    /// [`Documents::assumed`].
    fn documents(&self, desired: &Desired) -> Documents {
        let keys = self.buckets.iter().filter_map(|bucket| {
            let arn = bucket.key.as_ref()?.arn()?;
            Some((bucket.lane.clone()?, crate::KeyArn::new(arn)))
        });
        let mut documents = Documents::planned(desired, &keys.collect());
        for bucket in &self.buckets {
            let Some(lane) = &bucket.lane else { continue };
            let slot = documents.lanes.entry(lane.clone()).or_default();
            match &bucket.policy {
                Fact::Is(policy) => slot.bucket_policy = policy.clone(),
                Fact::Unknown(_) if bucket.exists == Fact::Is(false) => slot.bucket_policy = None,
                Fact::Unknown(why) => {
                    documents.assumed.insert(format!("bucket policy of lane {lane}: {why}"));
                }
            }
            let Some(key) = &bucket.key else { continue };
            match (key.arn(), &key.policy) {
                (Some(arn), Fact::Is(policy)) => {
                    slot.key = Some((crate::KeyArn::new(arn), policy.clone()));
                }
                (None, _) if key.info == Fact::Is(None) => slot.key = None,
                (_, policy) => {
                    let why = policy.why();
                    documents.assumed.insert(format!("key policy of lane {lane}: {why}"));
                }
            }
        }
        for principal in &self.principals {
            match &principal.policies {
                Fact::Is(policies) => {
                    documents.identities.insert(principal.party.clone(), policies.clone());
                }
                Fact::Unknown(why) => {
                    let party = &principal.party;
                    documents.assumed.insert(format!("identity policies of {party}: {why}"));
                }
            }
        }
        documents
    }
}
