//! Whether anybody at all gets through a resource policy, however he shapes his request.
//!
//! [`Adversary::first_allowed`] tries every caller that matters (those the policy names, another
//! principal and the root user of the owner's account, each with an identity policy that allows
//! everything; a stranger; nobody at all), every action that is known, and every kind of resource.
//! What the request carries beside the keys that the question fixes is the adversary's choice, so
//! before anything is evaluated the policy is turned against itself: a Deny that depends on a key
//! of his choice is taken out, because he will choose so that it does not fire, and an Allow loses
//! its conditions on such keys, because he will meet them. What is then denied is denied for every
//! value of those keys. The price is the other direction: an Allow that is limited only by such a
//! key (the address a request comes from) counts as open.

use consign_iam::s3_actions::{self, On};
use consign_iam::{
    Context, Named, Policies, Policy, PolicyKind, Principal, Principals, Request, evaluate,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// An account that is nobody's.
const STRANGER: &str = crate::matrix::STRANGER;

const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

/// Keys whose value follows from who asks for what.
const OF_THE_CALLER: [&str; 8] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principaltype",
    "aws:principalisawsservice",
    "aws:principalservicename",
    "aws:resourceaccount",
    "s3:resourceaccount",
    "kms:calleraccount",
];

/// Circumstances that the question fixes: keys with a value, and keys that are absent (`None`).
pub(super) type Fixed<'a> = &'a [(&'a str, Option<&'a str>)];

/// A resource policy turned against itself.
pub(super) struct Adversary {
    everything: Policy,
    policy: Vec<Policy>,
    account: String,
    context: Context,
    named: Vec<Principal>,
    resources_named: Vec<String>,
}

impl Adversary {
    /// `account` owns the resource; `policy` is its policy, none if it has none.
    ///
    /// # Errors
    /// Says why the policy is none.
    pub(super) fn new(
        kind: PolicyKind,
        policy: Option<&str>,
        account: &str,
        fixed: Fixed<'_>,
    ) -> Result<Adversary, String> {
        let parse = |kind, text: &str| {
            Policy::parse_as(kind, text).map_err(|refusal| format!("not a policy: {refusal}"))
        };
        let mut context = Context::new();
        for (key, value) in fixed {
            if let Some(value) = value {
                context.insert(key, *value);
            }
        }
        let (mut policies, mut named, mut resources_named) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(text) = policy {
            let as_written = parse(kind, text)?;
            named = principals(&as_written);
            resources_named = resources(text);
            if let Some(turned) = turned(text, fixed)? {
                policies.push(parse(kind, &turned)?);
            }
        }
        Ok(Adversary {
            everything: parse(PolicyKind::Identity, EVERYTHING)?,
            policy: policies,
            account: account.to_owned(),
            context,
            named,
            resources_named,
        })
    }

    /// Everybody who might ask: those named, the account's own, strangers, nobody.
    pub(super) fn everybody(&self) -> Vec<Principal> {
        let mut all = self.named.clone();
        let role = |account: &str, name: &str| {
            Principal::role_session(&format!("arn:aws:iam::{account}:role/{name}"), "session")
        };
        all.extend(role(&self.account, "Administrator"));
        all.push(Principal::Root { account: self.account.clone() });
        all.extend(self.outsiders());
        all
    }

    /// A stranger and an unsigned request.
    pub(super) fn outsiders(&self) -> Vec<Principal> {
        let stranger =
            Principal::role_session(&format!("arn:aws:iam::{STRANGER}:role/Stranger"), "session");
        stranger.into_iter().chain([Principal::Anonymous]).collect()
    }

    /// Who gets through with what on what, in words; `None` if nobody does.
    pub(super) fn first_allowed(
        &self,
        callers: &[Principal],
        actions: &[(String, Vec<String>)],
    ) -> Option<String> {
        let identity = std::slice::from_ref(&self.everything);
        for caller in callers {
            let anonymous = *caller == Principal::Anonymous;
            let policies = Policies {
                identity: if anonymous { &[] } else { identity },
                resource: &self.policy,
                ..Policies::default()
            };
            let asked = actions.iter().filter(|(action, _)| !is_rescue(caller, action));
            for (action, resources) in asked {
                for resource in resources {
                    let request = Request::new(
                        caller.clone(),
                        action,
                        resource,
                        &self.account,
                        self.context.clone(),
                    );
                    // What cannot be asked cannot get through.
                    let Ok(request) = request else { continue };
                    if evaluate(&request, &policies).is_allowed() {
                        return Some(format!("{caller} may {action} on {resource}"));
                    }
                }
            }
        }
        None
    }

    /// Every known S3 action with the resources of a bucket that it can be asked on: the bucket,
    /// an object, an object of a consignment, and one below each pattern that the policy names.
    pub(super) fn s3_requests(&self, bucket: &str) -> Vec<(String, Vec<String>)> {
        let bucket_arn = format!("arn:aws:s3:::{bucket}");
        let mut objects = vec![
            format!("{bucket_arn}/report.pdf"),
            format!("{bucket_arn}/01JD3V5Y7Q8R9SATBVCWDXEYFZ/000001.age"),
        ];
        let below = format!("{bucket_arn}/");
        for named in &self.resources_named {
            let concrete = named.replace(['*', '?'], "x");
            if concrete.starts_with(&below) && !objects.contains(&concrete) {
                objects.push(concrete);
            }
        }
        let mut actions = BTreeSet::new();
        for need in s3_actions::apis().filter_map(s3_actions::for_api).flatten() {
            match need.on {
                On::Object | On::SourceObject => drop(actions.insert((need.action, true))),
                On::Bucket => drop(actions.insert((need.action, false))),
                On::Account | On::Key | On::SourceKey => {}
            }
        }
        actions
            .into_iter()
            .map(|(action, on_objects)| {
                let resources = if on_objects { objects.clone() } else { vec![bucket_arn.clone()] };
                (action.to_owned(), resources)
            })
            .collect()
    }
}

/// No bucket policy keeps the root user of the owner's account from the policy itself: AWS leaves
/// that way back to whoever has locked himself out.
fn is_rescue(caller: &Principal, action: &str) -> bool {
    let about_the_policy = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"];
    matches!(caller, Principal::Root { .. }) && about_the_policy.contains(&action)
}

/// The policy without what the adversary gets around; `None` if nothing is left.
fn turned(text: &str, fixed: Fixed<'_>) -> Result<Option<String>, String> {
    let mut policy: Value =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let is_fixed = |key: &str| {
        let key = key.to_ascii_lowercase();
        OF_THE_CALLER.contains(&key.as_str())
            || fixed.iter().any(|(known, _)| known.to_ascii_lowercase() == key)
    };
    let mut statements = match policy["Statement"].take() {
        Value::Array(statements) => statements,
        one => vec![one],
    };
    statements.retain_mut(|statement| {
        let denies = statement["Effect"] == "Deny";
        let Some(Value::Object(conditions)) = statement.get_mut("Condition") else { return true };
        let chosen = conditions.values().filter_map(Value::as_object);
        let depends = chosen.flat_map(|keys| keys.keys()).any(|key| !is_fixed(key));
        if denies {
            return !depends;
        }
        for keys in conditions.values_mut().filter_map(Value::as_object_mut) {
            keys.retain(|key, _| is_fixed(key));
        }
        conditions.retain(|_, keys| keys.as_object().is_none_or(|keys| !keys.is_empty()));
        if conditions.is_empty()
            && let Some(statement) = statement.as_object_mut()
        {
            statement.remove("Condition");
        }
        true
    });
    if statements.is_empty() {
        return Ok(None);
    }
    policy["Statement"] = Value::Array(statements);
    Ok(Some(policy.to_string()))
}

/// The callers whom the policy names, and an administrator of each account it names.
fn principals(policy: &Policy) -> Vec<Principal> {
    let mut all: Vec<Principal> = Vec::new();
    for statement in policy.statements() {
        let (Principals::Named(named) | Principals::AllBut(named)) = &statement.principals else {
            continue;
        };
        for named in named {
            let caller = match named {
                Named::Arn(arn) => Principal::from_arn(arn).ok(),
                Named::Account(account) => {
                    let account = account.split(':').nth(4).unwrap_or(account);
                    let arn = format!("arn:aws:iam::{account}:role/Administrator");
                    Principal::role_session(&arn, "session").ok()
                }
                _ => None,
            };
            all.extend(caller.filter(|caller| !all.contains(caller)));
        }
    }
    all
}

/// Every resource that the policy names, as written.
fn resources(text: &str) -> Vec<String> {
    let policy: Value = serde_json::from_str(text).unwrap_or_default();
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        one => vec![one.clone()],
    };
    let mut all = Vec::new();
    for value in statements.iter().flat_map(|s| [&s["Resource"], &s["NotResource"]]) {
        match value {
            Value::String(one) => all.push(one.clone()),
            Value::Array(many) => {
                all.extend(many.iter().filter_map(|one| one.as_str().map(str::to_owned)));
            }
            _ => {}
        }
    }
    all
}
