//! Whether anybody at all gets through a resource policy, however he shapes his request.
//!
//! [`Adversary::gets_through`] states claims to the prover of `consign-iam`: of all requests by
//! such callers for such actions, under circumstances of which only the named ones are fixed, none
//! is allowed, whatever the callers' own policies say. What the prover cannot decide is an error
//! here and never a pass.

use consign_iam::prove::{
    Callers, Claim, Domain, Expectation, Region, Set, Values, Verdict, World, check, prove,
};
use consign_iam::s3_actions::{self, On};
use consign_iam::{Named, Policy, PolicyKind, Principal, Principals};
use std::collections::BTreeSet;

/// What the question fixes of the circumstances. Of every other key anything may be true.
pub(super) type Fixed = Vec<(String, Domain)>;

/// A key that has this value.
pub(super) fn is(key: &str, value: &str) -> (String, Domain) {
    (key.to_owned(), Domain::Present(Values::text(value)))
}

/// A key that has another value than these patterns, or none.
pub(super) fn is_not(key: &str, patterns: &[&str]) -> (String, Domain) {
    let others = Set::of(["*"]).but(patterns.iter().copied());
    (key.to_owned(), Domain::Perhaps(Values::Of(others)))
}

/// A resource policy, and the account that owns the resource.
pub(super) struct Adversary {
    policy: Vec<Policy>,
    account: String,
    named_accounts: Vec<String>,
}

/// Actions, and what they are asked on.
pub(super) type Asked = (Vec<String>, Vec<String>);

impl Adversary {
    /// `policy` is none if the resource has none.
    ///
    /// # Errors
    /// Says why the policy is none.
    pub(super) fn new(
        kind: PolicyKind,
        policy: Option<&str>,
        account: &str,
    ) -> Result<Adversary, String> {
        let parse = |text| Policy::parse_as(kind, text);
        let policy = policy.map(parse).transpose();
        let policy = policy.map_err(|refusal| format!("not a policy: {refusal}"))?;
        Ok(Adversary {
            named_accounts: policy.iter().flat_map(accounts).collect(),
            policy: policy.into_iter().collect(),
            account: account.to_owned(),
        })
    }

    /// Everybody: the account's own users and roles, every other account's, and unsigned requests.
    /// The root user is asked for by [`root`](Self::root), because no policy binds it wholly.
    pub(super) fn everybody(&self) -> Vec<Callers> {
        let account = self.account.clone();
        let except = vec![format!("arn:aws:iam::{account}:root")];
        vec![
            Callers::Account { account: account.clone(), except },
            Callers::Strangers { accounts: vec![account] },
            Callers::Anonymous,
        ]
    }

    /// Everybody of accounts that are neither the owner's nor named by the policy, and unsigned
    /// requests.
    pub(super) fn outsiders(&self) -> Vec<Callers> {
        let mut accounts = self.named_accounts.clone();
        accounts.push(self.account.clone());
        vec![Callers::Strangers { accounts }, Callers::Anonymous]
    }

    /// The root user of the owner's account.
    pub(super) fn root(&self) -> Vec<Callers> {
        vec![Callers::One(Principal::Root { account: self.account.clone() })]
    }

    /// Who gets through with what on what, in words; `None` if it is proved that nobody does.
    ///
    /// # Errors
    /// Says why it could not be decided.
    pub(super) fn gets_through(
        &self,
        callers: &[Callers],
        asked: &[Asked],
        fixed: &Fixed,
    ) -> Result<Option<String>, String> {
        for callers in callers {
            for (actions, resources) in asked {
                let region = Region {
                    callers: callers.clone(),
                    actions: Set::of(actions.iter().map(String::as_str)),
                    resource: Set::of(resources.iter().map(String::as_str)),
                    resource_account: self.account.clone(),
                    context: fixed.clone(),
                };
                let world = World { resource: &self.policy, ..World::default() };
                let claim = Claim { world, region, expect: Expectation::Never };
                match prove(&claim) {
                    // The checker shares no code with the prover: a bug of either shows here.
                    Verdict::Holds(certificate) => check(&claim, &certificate)
                        .map_err(|reason| format!("the proof was refused: {reason}"))?,
                    Verdict::Fails(found) => {
                        let request = &found.request;
                        let (who, action) = (request.principal(), request.action());
                        return Ok(Some(format!("{who} may {action} on {}", request.resource())));
                    }
                    Verdict::Undecided(why) => return Err(format!("could not be decided: {why}")),
                }
            }
        }
        Ok(None)
    }
}

/// Every known S3 action on the bucket, and every one on its objects.
pub(super) fn s3_requests(bucket: &str) -> Vec<Asked> {
    let (mut on_bucket, mut on_objects) = (BTreeSet::new(), BTreeSet::new());
    for need in s3_actions::apis().filter_map(s3_actions::for_api).flatten() {
        match need.on {
            On::Object | On::SourceObject => drop(on_objects.insert(need.action.to_owned())),
            On::Bucket => drop(on_bucket.insert(need.action.to_owned())),
            On::Account | On::Key | On::SourceKey => {}
        }
    }
    let arn = format!("arn:aws:s3:::{bucket}");
    let objects = vec![format!("{arn}/*")];
    vec![(on_bucket.into_iter().collect(), vec![arn]), (on_objects.into_iter().collect(), objects)]
}

/// The same without what no bucket policy keeps from the root user of the owner's account: AWS
/// leaves that way back to whoever has locked himself out.
pub(super) fn s3_requests_of_root(bucket: &str) -> Vec<Asked> {
    let rescue = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"];
    let mut all = s3_requests(bucket);
    for (actions, _) in &mut all {
        actions.retain(|action| !rescue.contains(&action.as_str()));
    }
    all
}

/// Actions on one resource.
pub(super) fn on(actions: &[&str], resource: &str) -> Vec<Asked> {
    vec![(actions.iter().map(|it| (*it).to_owned()).collect(), vec![resource.to_owned()])]
}

/// The accounts that the policy names, by number or by the ARN of somebody in them.
fn accounts(policy: &Policy) -> Vec<String> {
    let mut all = Vec::new();
    for statement in policy.statements() {
        let (Principals::Named(named) | Principals::AllBut(named)) = &statement.principals else {
            continue;
        };
        for named in named {
            if let Named::Arn(text) | Named::Account(text) = named {
                all.push(text.split(':').nth(4).unwrap_or(text).to_owned());
            }
        }
    }
    all
}
