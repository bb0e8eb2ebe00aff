//! Who of the owner's own account could change a bucket's policy or its key's.
//!
//! Decided for each user and role over all requests, with its policies, its boundary and the
//! resource's own policy, never by looking for a name like `Admin`.

use crate::audit::{BucketScope, Fact, KeyFacts};
use consign_cloud::iam::AuthorizedIdentity;
use consign_iam::prove::{
    Callers, Claim, Expectation, Identity, Region, Set, Verdict, World, prove,
};
use consign_iam::{Policy, PolicyKind, Principal};

/// Who can do these can give himself everything else.
const ON_BUCKET: [&str; 3] =
    ["s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketPublicAccessBlock"];
const ON_KEY: [&str; 2] = ["kms:PutKeyPolicy", "kms:CreateGrant"];

/// So many are named; of the others only the number.
const NAMED_MAX: usize = 8;

/// One sentence, or why there is none.
pub(super) fn sentence(scope: &BucketScope<'_>) -> Result<String, String> {
    let owner = &scope.facts.owner;
    let account = scope.accounts.iter().find(|account| account.account == *owner);
    let account = account.ok_or_else(|| format!("account {owner} was not read"))?;
    let identities = match &account.identities {
        Fact::Is(identities) => identities,
        Fact::Unknown(why) => return Err(why.clone()),
    };
    let places = places(scope)?;
    let (mut can, mut unclear) = (Vec::new(), Vec::new());
    for identity in identities {
        match administers(identity, &places) {
            Ok(true) => can.push(identity.arn.as_str()),
            Ok(false) => {}
            Err(_) => unclear.push(identity.arn.as_str()),
        }
    }
    let mut said = format!(
        "{} of {} users and roles of {owner} can: {}",
        can.len(),
        identities.len(),
        named(&can)
    );
    if !unclear.is_empty() {
        said.push_str(&format!("; not decided: {}", named(&unclear)));
    }
    Ok(said)
}

fn named(arns: &[&str]) -> String {
    let short = |arn: &&str| arn.rsplit_once(":").map_or(*arn, |(_, name)| name).to_owned();
    let mut names: Vec<String> = arns.iter().take(NAMED_MAX).map(short).collect();
    match arns.len() {
        0 => names.push("nobody but the root user".to_owned()),
        all if all > NAMED_MAX => names.push(format!("{} more", all - NAMED_MAX)),
        _ => {}
    }
    names.join(", ")
}

/// A resource whose policy decides who reads.
struct Place {
    policy: Vec<Policy>,
    actions: &'static [&'static str],
    arn: String,
    account: String,
}

fn places(scope: &BucketScope<'_>) -> Result<Vec<Place>, String> {
    let unread = |policy: &Fact<_>| policy.why().to_owned();
    let policy = &scope.facts.policy;
    let policy = policy.known().ok_or_else(|| unread(policy))?;
    let mut places = vec![Place {
        policy: parsed(PolicyKind::Resource, policy.as_slice())?,
        actions: &ON_BUCKET,
        arn: format!("arn:aws:s3:::{}", scope.facts.bucket),
        account: scope.facts.owner.to_string(),
    }];
    if let Some((key, arn)) = scope.facts.key.as_ref().and_then(|key| Some((key, key.arn()?))) {
        let KeyFacts { policy, owner, .. } = key;
        let policy = policy.known().ok_or_else(|| policy.why().to_owned())?;
        places.push(Place {
            policy: parsed(PolicyKind::Key, std::slice::from_ref(policy))?,
            actions: &ON_KEY,
            arn: arn.to_owned(),
            account: owner.to_string(),
        });
    }
    Ok(places)
}

fn parsed(kind: PolicyKind, texts: &[String]) -> Result<Vec<Policy>, String> {
    let parse = |text: &String| Policy::parse_as(kind, text);
    let policies: Result<Vec<Policy>, _> = texts.iter().map(parse).collect();
    policies.map_err(|refusal| format!("not a policy: {refusal}"))
}

fn administers(identity: &AuthorizedIdentity, places: &[Place]) -> Result<bool, String> {
    let caller = Principal::from_arn(&identity.arn).map_err(|refusal| refusal.to_string())?;
    let policies = parsed(PolicyKind::Identity, &identity.policies)?;
    let boundary = parsed(PolicyKind::Identity, identity.boundary.as_slice())?;
    let mut undecided = None;
    for place in places {
        let claim = Claim {
            world: World {
                identity: Identity::Given(&policies),
                resource: &place.policy,
                boundary: boundary.first(),
                ..World::default()
            },
            region: Region {
                callers: Callers::One(caller.clone()),
                actions: Set::of(place.actions.iter().copied()),
                resource: Set::of([place.arn.as_str()]),
                resource_account: place.account.clone(),
                context: Vec::new(),
            },
            expect: Expectation::Never,
        };
        match prove(&claim) {
            Verdict::Fails(_) => return Ok(true),
            Verdict::Undecided(why) => undecided = Some(why),
            Verdict::Holds(_) => {}
        }
    }
    undecided.map_or(Ok(false), Err)
}
