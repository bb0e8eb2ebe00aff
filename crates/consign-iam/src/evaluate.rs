//! The decision: how the policies around a request and its resource combine.
//!
//! Read from the top: a Deny anywhere settles it. Then every outer fence (RCP and SCP at every
//! level, the VPC endpoint) has to allow. Then somebody has to grant: within one account the
//! resource policy or the caller's own policies, across accounts both. KMS keys and roles trust
//! nobody implicitly, not even their own account.

use crate::compose::{self, Bits, Caller};
use crate::decision::{Decision, Effect, Layer, StatementRef};
use crate::grant::Grant;
use crate::policy::{Closeness, Policy, Principals, StatementEffect};
use crate::principal::Principal;
use crate::request::Request;

/// Every policy that has a say in a request. What is left empty is not there:
/// `Policies { identity: &mine, ..Policies::default() }`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies<'a> {
    /// Policies of the user and its groups, or of the role.
    pub identity: &'a [Policy],
    /// The bucket policy, the key policies, the queue policy, or the role's trust policy.
    pub resource: &'a [Policy],
    /// The permissions boundary of the user or role.
    pub boundary: Option<&'a Policy>,
    /// Policies given when the session was made. Empty: none were given.
    pub session: &'a [Policy],
    /// Service control policies of the caller's organisation: root, each unit, account. Every
    /// level must allow. Empty: no organisation, or its management account.
    pub scps: &'a [Vec<Policy>],
    /// Resource control policies of the resource owner's organisation, level by level. AWS attaches
    /// its full-access policy to each level; it need not be listed.
    pub rcps: &'a [Vec<Policy>],
    /// The policy of the VPC endpoint that the request came through, if it did.
    pub endpoint: &'a [Policy],
    /// Grants of the KMS key that the request is about.
    pub grants: &'a [Grant],
    /// S3's `RestrictPublicBuckets`, of the bucket or its account.
    pub restrict_public_buckets: bool,
}

/// Decides one request.
pub fn evaluate(request: &Request, policies: &Policies<'_>) -> Decision {
    if needs_no_permission(request) {
        return allowed(request, Vec::new());
    }
    let findings = Findings::gather(request, policies);
    let formula = cfg!(debug_assertions).then(|| findings.bits(request, policies));
    let decision = findings.settle(request, policies);
    debug_assert!(formula.is_none_or(|bits| {
        compose::allowed(caller_kind(request), bits) == decision.is_allowed()
    }));
    decision
}

/// What one document says about a request on its own, without accounts, boundaries and the other
/// rules of composition: a Deny that matches, else an Allow that matches, else nothing.
pub fn evaluate_alone(request: &Request, policy: &Policy) -> Decision {
    let layer = match policy.statements().first().map(|statement| &statement.principals) {
        None | Some(Principals::Attached) => Layer::Identity,
        Some(Principals::Named(_) | Principals::AllBut(_)) => Layer::Resource,
    };
    let mut found = Found::default();
    found.read(layer, 0, std::slice::from_ref(policy), request, false);
    if !found.denies.is_empty() {
        denied_by(request, found.denies)
    } else if !found.allows.is_empty() {
        allowed(request, references(&found.allows))
    } else {
        denied_for_want(request, vec![layer])
    }
}

fn allowed(request: &Request, decided_by: Vec<StatementRef>) -> Decision {
    let resource_policy = resource_policy_name(request);
    Decision { effect: Effect::Allow, decided_by, missing: Vec::new(), resource_policy }
}

fn denied_by(request: &Request, decided_by: Vec<StatementRef>) -> Decision {
    let resource_policy = resource_policy_name(request);
    Decision { effect: Effect::ExplicitDeny, decided_by, missing: Vec::new(), resource_policy }
}

fn denied_for_want(request: &Request, missing: Vec<Layer>) -> Decision {
    let resource_policy = resource_policy_name(request);
    Decision { effect: Effect::ImplicitDeny, decided_by: Vec::new(), missing, resource_policy }
}

fn resource_policy_name(request: &Request) -> &'static str {
    match request.service() {
        "s3" => "bucket policy",
        "kms" => "key policy",
        "sts" => "trust policy",
        "sqs" => "queue policy",
        "sns" => "topic policy",
        _ => "resource policy",
    }
}

/// The statements of one layer that apply.
#[derive(Default)]
struct Found {
    denies: Vec<StatementRef>,
    allows: Vec<(Closeness, StatementRef)>,
}

impl Found {
    fn read(
        &mut self,
        layer: Layer,
        level: usize,
        policies: &[Policy],
        request: &Request,
        has_boundary: bool,
    ) {
        for (policy_index, policy) in policies.iter().enumerate() {
            for (index, statement) in policy.statements().iter().enumerate() {
                let Some(closeness) = statement.applies(request, has_boundary) else { continue };
                let sid = statement.sid.clone();
                let reference =
                    StatementRef { layer, level, policy: policy_index, statement: index, sid };
                match statement.effect {
                    StatementEffect::Deny => self.denies.push(reference),
                    StatementEffect::Allow => self.allows.push((closeness, reference)),
                }
            }
        }
    }
}

/// The policies that have a say in this request, outermost first.
pub(crate) fn layers<'p>(
    request: &Request,
    policies: &Policies<'p>,
) -> impl Iterator<Item = (Layer, usize, &'p [Policy])> {
    let levels = |layer, documents: &'p [Vec<Policy>], apply: bool| {
        let documents = if apply { documents } else { &[] };
        documents
            .iter()
            .enumerate()
            .map(move |(level, level_documents)| (layer, level, level_documents.as_slice()))
    };
    let rcps = levels(Layer::ResourceControl, policies.rcps, rcps_apply(request));
    let scps = levels(Layer::ServiceControl, policies.scps, scps_apply(request));
    let inner = [
        (Layer::Endpoint, policies.endpoint),
        (Layer::Resource, policies.resource),
        (Layer::Identity, policies.identity),
        (Layer::Boundary, policies.boundary.map_or(&[], std::slice::from_ref)),
        (Layer::Session, policies.session),
    ];
    let inner = inner.into_iter().filter(|(_, documents)| !documents.is_empty());
    rcps.chain(scps).chain(inner.map(|(layer, documents)| (layer, 0, documents)))
}

pub(crate) fn grant_reference(index: usize) -> StatementRef {
    StatementRef { layer: Layer::Grant, level: 0, policy: 0, statement: index, sid: None }
}

/// Everything that applies, layer by layer.
#[derive(Default)]
struct Findings {
    denies: Vec<StatementRef>,
    outer_missing: Vec<Layer>,
    // The Allows: of resource policies and grants, and of the caller's side.
    resource: Vec<(Closeness, StatementRef)>,
    identity: Vec<(Closeness, StatementRef)>,
    boundary: Vec<(Closeness, StatementRef)>,
    session: Vec<(Closeness, StatementRef)>,
}

impl Findings {
    fn gather(request: &Request, policies: &Policies<'_>) -> Findings {
        let has_boundary = policies.boundary.is_some();
        let mut findings = Findings::default();
        for (layer, level, documents) in layers(request, policies) {
            let mut found = Found::default();
            found.read(layer, level, documents, request, has_boundary);
            let silent = found.allows.is_empty();
            let lacking = match layer {
                Layer::ResourceControl => silent && documents.iter().any(has_allow),
                Layer::ServiceControl | Layer::Endpoint => silent,
                Layer::Boundary => {
                    findings.boundary = found.allows;
                    false
                }
                Layer::Session => {
                    findings.session = found.allows;
                    false
                }
                Layer::Identity => {
                    findings.identity = found.allows;
                    false
                }
                _ => {
                    findings.resource = found.allows;
                    false
                }
            };
            if lacking && findings.outer_missing.last() != Some(&layer) {
                findings.outer_missing.push(layer);
            }
            if layer != Layer::Resource || !may_always_mend_bucket_policy(request) {
                findings.denies.append(&mut found.denies);
            }
        }
        for (index, grant) in policies.grants.iter().enumerate() {
            if let Some(closeness) = grant.applies(request).filter(|_| is_kms_key(request)) {
                findings.resource.push((closeness, grant_reference(index)));
            }
        }
        findings
    }

    fn settle(self, request: &Request, policies: &Policies<'_>) -> Decision {
        if !self.denies.is_empty() {
            return denied_by(request, self.denies);
        }
        let granted = self.granted(request, policies);
        let mut missing = self.outer_missing;
        match granted {
            Ok(grants) if missing.is_empty() => return allowed(request, grants),
            Ok(_) => {}
            Err(lacking) => missing.extend(lacking),
        }
        denied_for_want(request, missing)
    }

    /// The same as bits, for the formula.
    fn bits(&self, request: &Request, policies: &Policies<'_>) -> Bits<bool> {
        let named = |wanted| self.resource.iter().any(|(closeness, _)| *closeness == wanted);
        Bits {
            free: needs_no_permission(request),
            denied: !self.denies.is_empty(),
            fenced_in: self.outer_missing.is_empty(),
            restricted: is_restricted(request, policies),
            trusts_nobody: trusts_nobody_implicitly(request),
            offered: offered_across_accounts(request),
            direct: named(Closeness::Direct),
            role: named(Closeness::Role),
            account: named(Closeness::Account),
            identity: !self.identity.is_empty(),
            boundary: policies.boundary.is_none() || !self.boundary.is_empty(),
            session: policies.session.is_empty() || !self.session.is_empty(),
        }
    }

    /// The statements that grant the request, or the layers that would have had to.
    fn granted(
        &self,
        request: &Request,
        policies: &Policies<'_>,
    ) -> Result<Vec<StatementRef>, Vec<Layer>> {
        let public = is_restricted(request, policies);
        match request.principal() {
            Principal::Service { .. } | Principal::Federated { .. } => self.by_resource(),
            _ if public && !request.is_same_account() => Err(vec![Layer::BlockPublicAccess]),
            Principal::Anonymous => self.by_resource(),
            Principal::Root { .. }
            | Principal::User { .. }
            | Principal::RoleSession { .. }
            | Principal::FederatedUser { .. } => match request.is_same_account() {
                true => self.within_account(request, policies),
                false => self.across_accounts(request, policies),
            },
        }
    }

    /// Callers without an account have only the resource policy.
    fn by_resource(&self) -> Result<Vec<StatementRef>, Vec<Layer>> {
        match self.resource.is_empty() {
            true => Err(vec![Layer::Resource]),
            false => Ok(references(&self.resource)),
        }
    }

    /// A resource policy that names the caller is enough, and neither boundary nor session policy
    /// takes it away. One that names the caller's role adds to what the role may do. One that names
    /// the account leaves it to the account's own policies.
    fn within_account(
        &self,
        request: &Request,
        policies: &Policies<'_>,
    ) -> Result<Vec<StatementRef>, Vec<Layer>> {
        let direct = self.resource_grants(Closeness::Direct);
        if !direct.is_empty() {
            return Ok(direct);
        }
        let is_root = matches!(request.principal(), Principal::Root { .. });
        let by_role = self.resource_grants(Closeness::Role);
        let by_account = self.resource_grants(Closeness::Account);
        let trusted =
            !trusts_nobody_implicitly(request) || !by_account.is_empty() || !by_role.is_empty();
        let own = is_root || !self.identity.is_empty();
        let mut missing = Vec::new();
        let mut grants = by_role;
        if grants.is_empty() {
            if trusts_nobody_implicitly(request) {
                grants.extend(by_account);
            }
            grants.extend(references(&self.identity));
            if !trusted {
                missing.push(Layer::Resource);
            }
            if !own {
                missing.push(Layer::Identity);
            }
        }
        if !is_root {
            self.limits(policies, &mut grants, &mut missing);
        }
        if missing.is_empty() { Ok(grants) } else { Err(missing) }
    }

    /// Both sides have to allow: the owner by the resource policy, the caller's account by its own.
    fn across_accounts(
        &self,
        request: &Request,
        policies: &Policies<'_>,
    ) -> Result<Vec<StatementRef>, Vec<Layer>> {
        let is_root = matches!(request.principal(), Principal::Root { .. });
        let mut missing = Vec::new();
        let mut grants = references(&self.resource);
        if !offered_across_accounts(request) {
            missing.push(Layer::Service);
        } else if grants.is_empty() {
            missing.push(Layer::Resource);
        }
        if !is_root && self.identity.is_empty() {
            missing.push(Layer::Identity);
        }
        grants.extend(references(&self.identity));
        if !is_root {
            self.limits(policies, &mut grants, &mut missing);
        }
        if missing.is_empty() { Ok(grants) } else { Err(missing) }
    }

    /// Boundary and session policies grant nothing and limit everything else.
    fn limits(
        &self,
        policies: &Policies<'_>,
        grants: &mut Vec<StatementRef>,
        missing: &mut Vec<Layer>,
    ) {
        if policies.boundary.is_some() && self.boundary.is_empty() {
            missing.push(Layer::Boundary);
        }
        if !policies.session.is_empty() && self.session.is_empty() {
            missing.push(Layer::Session);
        }
        grants.extend(references(&self.boundary));
        grants.extend(references(&self.session));
    }

    fn resource_grants(&self, wanted: Closeness) -> Vec<StatementRef> {
        let close = self.resource.iter().filter(|(closeness, _)| *closeness == wanted);
        close.map(|(_, statement)| statement.clone()).collect()
    }
}

/// `RestrictPublicBuckets` is in force for this request.
fn is_restricted(request: &Request, policies: &Policies<'_>) -> bool {
    policies.restrict_public_buckets
        && request.service() == "s3"
        && policies.resource.iter().any(Policy::is_public)
}

fn caller_kind(request: &Request) -> Caller {
    let same_account = request.is_same_account();
    match request.principal() {
        Principal::Service { .. } | Principal::Federated { .. } => Caller::Outside,
        Principal::Anonymous => Caller::Anonymous,
        Principal::Root { .. } => Caller::Root { same_account },
        Principal::User { .. }
        | Principal::RoleSession { .. }
        | Principal::FederatedUser { .. } => Caller::Within { same_account },
    }
}

fn references(allows: &[(Closeness, StatementRef)]) -> Vec<StatementRef> {
    allows.iter().map(|(_, statement)| statement.clone()).collect()
}

fn has_allow(policy: &Policy) -> bool {
    policy.statements().iter().any(|statement| statement.effect == StatementEffect::Allow)
}

fn acts(request: &Request, actions: &[&str]) -> bool {
    actions.contains(&request.action_folded())
}

/// AWS answers this one to whoever can sign, even against a Deny.
fn needs_no_permission(request: &Request) -> bool {
    acts(request, &["sts:getcalleridentity"]) && *request.principal() != Principal::Anonymous
}

fn is_kms_key(request: &Request) -> bool {
    request.service() == "kms" && request.resource().contains(":key/")
}

pub(crate) const ROLE_TRUST_ACTIONS: [&str; 5] = [
    "sts:assumerole",
    "sts:assumerolewithwebidentity",
    "sts:assumerolewithsaml",
    "sts:tagsession",
    "sts:setsourceidentity",
];

fn is_role_trust(request: &Request) -> bool {
    acts(request, &ROLE_TRUST_ACTIONS)
}

/// Most resources let the policies of their own account decide; a key does only if its key policy
/// says so, and a role only if its trust policy does.
fn trusts_nobody_implicitly(request: &Request) -> bool {
    is_kms_key(request) || is_role_trust(request)
}

/// The owner's root user can repair a bucket policy that locks everybody out.
fn may_always_mend_bucket_policy(request: &Request) -> bool {
    matches!(request.principal(), Principal::Root { .. })
        && request.is_same_account()
        && acts(request, &BUCKET_POLICY_ACTIONS)
}

pub(crate) const BUCKET_POLICY_ACTIONS: [&str; 3] =
    ["s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"];

/// The operations of KMS that the section "Cross-account use" of its permissions reference offers.
pub(crate) const KMS_ACROSS_ACCOUNTS: [&str; 22] = [
    "kms:creategrant",
    "kms:decapsulate",
    "kms:decrypt",
    "kms:derivesharedsecret",
    "kms:describekey",
    "kms:encapsulate",
    "kms:encrypt",
    "kms:generatedatakey",
    "kms:generatedatakeypair",
    "kms:generatedatakeypairwithoutplaintext",
    "kms:generatedatakeywithoutplaintext",
    "kms:generatemac",
    "kms:getkeyrotationstatus",
    "kms:getpublickey",
    "kms:listgrants",
    "kms:reencryptfrom",
    "kms:reencryptto",
    "kms:retiregrant",
    "kms:revokegrant",
    "kms:sign",
    "kms:verify",
    "kms:verifymac",
];

/// KMS lists for every operation whether another account may ever call it ("Cross-account use" in
/// its permissions reference); S3 answers calls for a bucket policy from another account with 405.
fn offered_across_accounts(request: &Request) -> bool {
    match request.service() {
        "kms" => !is_kms_key(request) || acts(request, &KMS_ACROSS_ACCOUNTS),
        "s3" => !acts(request, &BUCKET_POLICY_ACTIONS),
        _ => true,
    }
}

/// SCPs limit users and roles of member accounts; services and service-linked roles are not theirs.
fn scps_apply(request: &Request) -> bool {
    request.principal_account().is_some() && !request.principal().is_service_linked()
}

/// The services whose resources RCPs concern.
pub(crate) const RCP_SERVICES: [&str; 11] = [
    "s3",
    "sts",
    "kms",
    "sqs",
    "secretsmanager",
    "ecr",
    "aoss",
    "cognito-idp",
    "cognito-identity",
    "dynamodb",
    "logs",
];

/// RCPs concern resources of some services only.
fn rcps_apply(request: &Request) -> bool {
    RCP_SERVICES.contains(&request.service()) && !request.principal().is_service_linked()
}
