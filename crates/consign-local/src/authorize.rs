//! May they? Builds the real context keys of a request and asks `consign-iam`.
//!
//! Every operation of every service asks here, with [`authorize`] or, where a bucket may be public
//! or a service acts on a caller's behalf, with [`Question`]. A refusal reaches the client in AWS's
//! words; the statement that decided goes to the log.

use crate::call::{AuthType, Call, Service};
use crate::error::ApiError;
use crate::moment;
use crate::policy::{
    Context, Decision, Effect, Layer, Policies, Policy, Principal, Request, evaluate,
};
use crate::state::State;

/// Further context keys of one request: key and value. The same key several times is a multi-valued
/// key.
pub type Facts = Vec<(String, String)>;

/// Decides whether `call` may do `action` (`"s3:GetObject"`) on `resource` (an ARN), which belongs
/// to `resource_account` and carries `resource_policies`.
///
/// Global keys (`aws:…` of principal, transport, address, time, user agent) and, for S3 actions,
/// `s3:authType`, `s3:signatureAge`, `s3:signatureversion`, `s3:TlsVersion`,
/// `s3:x-amz-content-sha256` and `s3:ResourceAccount` are filled in here; `facts` adds what only the
/// service knows. A refusal is `AccessDenied` in AWS's words; which statement decided goes to the
/// log.
pub fn authorize(
    state: &State,
    call: &Call,
    action: &str,
    resource: &str,
    resource_account: &str,
    resource_policies: &[Policy],
    facts: &Facts,
) -> Result<(), ApiError> {
    let question = Question {
        action,
        resource,
        resource_account,
        resource_policies,
        facts,
        restrict_public_buckets: false,
        via_service: false,
    };
    question.authorize(state, call)
}

/// May this call do this action on this resource?
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Such as `s3:GetObject`.
    pub action: &'a str,
    /// An ARN, or `*` for actions without one.
    pub resource: &'a str,
    /// Who owns it; for actions without resource the caller's own.
    pub resource_account: &'a str,
    /// Bucket policy, key policy, queue policy or trust policy.
    pub resource_policies: &'a [Policy],
    /// Further context keys.
    pub facts: &'a Facts,
    /// S3's Block Public Access setting of that name.
    pub restrict_public_buckets: bool,
    /// Whether a service asks on the caller's behalf (`aws:ViaAWSService`).
    pub via_service: bool,
}

impl Question<'_> {
    /// Decides; a refusal is an error of the calling service.
    pub fn authorize(&self, state: &State, call: &Call) -> Result<(), ApiError> {
        let decision = self.decide(state, call)?;
        match decision.is_allowed() {
            true => Ok(()),
            false => Err(self.refusal(call, &decision)),
        }
    }

    /// Decides.
    pub fn decide(&self, state: &State, call: &Call) -> Result<Decision, ApiError> {
        let caller = &call.caller;
        let request = Request::new(
            caller.principal.clone(),
            self.action,
            self.resource,
            self.resource_account,
            self.context(state, call),
        )
        .map_err(|refusal| ApiError::internal(format!("authorisation: {refusal}")))?;
        let policies = Policies {
            identity: &caller.identity,
            resource: self.resource_policies,
            boundary: caller.boundary.as_deref(),
            session: &caller.session,
            restrict_public_buckets: self.restrict_public_buckets,
            ..Policies::default()
        };
        Ok(evaluate(&request, &policies))
    }

    fn context(&self, state: &State, call: &Call) -> Context {
        let mut context = Context::new();
        let caller = &call.caller;
        let is_s3 = self.action.starts_with("s3:");
        context.insert("aws:SecureTransport", call.is_secure().to_string());
        let is_service = matches!(caller.principal, Principal::Service { .. });
        if !is_service {
            context.insert("aws:SourceIp", call.source_ip.to_string());
        }
        context.insert("aws:CurrentTime", moment::iso(call.now_ms));
        context.insert("aws:EpochTime", (call.now_ms / 1000).to_string());
        context.insert("aws:ViaAWSService", self.via_service.to_string());
        let region = if call.service == Service::Iam { "us-east-1" } else { &state.region };
        context.insert("aws:RequestedRegion", region);
        for (key, header) in [("aws:UserAgent", "user-agent"), ("aws:Referer", "referer")] {
            if let Some(value) = call.header(header) {
                context.insert(key, value);
            }
        }
        if !caller.is_anonymous() {
            context.insert("aws:userid", caller.user_id.clone());
        }
        for (key, value) in caller.tags.iter() {
            context.insert(&format!("aws:PrincipalTag/{key}"), value.clone());
        }
        if let Some(issued_ms) = caller.token_issued_ms {
            context.insert("aws:TokenIssueTime", moment::iso(issued_ms));
            // Present for temporary credentials only; nobody here has a second factor.
            context.insert("aws:MultiFactorAuthPresent", "false");
        }
        if let Some(identity) = &caller.source_identity {
            context.insert("aws:SourceIdentity", identity.clone());
        }
        if is_s3 {
            add_s3_keys(&mut context, call);
        }
        for (index, (key, _)) in self.facts.iter().enumerate() {
            // Keys are the same whatever their case: two spellings are one key with two values, so
            // that neither hides the other.
            let is_same = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(key);
            let seen_before = self.facts.iter().take(index).any(|fact| is_same(&fact));
            if !seen_before {
                let same = self.facts.iter().filter(is_same);
                context.insert_many(key, same.map(|(_, value)| value.clone()));
            }
        }
        context
    }

    fn refusal(&self, call: &Call, decision: &Decision) -> ApiError {
        let caller = &call.caller;
        let reason = format!(
            "{} may not {} on {}: {}",
            caller.arn,
            self.action,
            self.resource,
            decision.explain()
        );
        // S3 tells strangers nothing; within an account it says which kind of policy decided.
        let stranger = caller.account.as_deref() != Some(self.resource_account);
        let message = match call.service {
            Service::S3 if stranger => "Access Denied".to_owned(),
            service => self.sentence(service, &caller.arn, decision),
        };
        let code = match call.service {
            Service::Kms | Service::Sqs => "AccessDeniedException",
            _ => "AccessDenied",
        };
        let error = match call.service {
            Service::Kms => ApiError::bad_request(code, message),
            // By this name the clients of SQS's older protocol know it.
            Service::Sqs => ApiError::forbidden(code, message)
                .header("x-amzn-query-error", "AccessDenied;Sender"),
            _ => ApiError::forbidden(code, message),
        };
        error.because(reason)
    }

    fn sentence(&self, service: Service, caller: &str, decision: &Decision) -> String {
        let Question { action, resource, .. } = self;
        let resource = match service {
            Service::S3 => format!("\"{resource}\""),
            _ => (*resource).to_owned(),
        };
        let layer = match decision.blocked_by() {
            Some(Layer::Identity) | None => "identity-based policy",
            Some(Layer::Resource | Layer::Grant) => "resource-based policy",
            Some(Layer::Boundary) => "permissions boundary",
            Some(Layer::Session) => "session policy",
            Some(Layer::ServiceControl) => "service control policy",
            Some(Layer::ResourceControl) => "resource control policy",
            Some(Layer::Endpoint) => "VPC endpoint policy",
            Some(Layer::BlockPublicAccess) => "public access block",
            Some(Layer::Service) => "cross-account use",
        };
        let why = match decision.effect {
            Effect::ExplicitDeny => format!("with an explicit deny in a {layer}"),
            _ => format!("because no {layer} allows the {action} action"),
        };
        format!(
            "User: {caller} is not authorized to perform: {action} on resource: {resource} {why}"
        )
    }
}

fn add_s3_keys(context: &mut Context, call: &Call) {
    let auth = match call.auth {
        AuthType::Header => Some("REST-HEADER"),
        AuthType::Query => Some("REST-QUERY-STRING"),
        AuthType::Post => Some("POST"),
        AuthType::Anonymous => None,
    };
    if let Some(auth) = auth {
        context.insert("s3:authType", auth);
        context.insert("s3:signatureversion", "AWS4-HMAC-SHA256");
    }
    if let Some(age_ms) = call.signature_age_ms {
        context.insert("s3:signatureAge", age_ms.to_string());
    }
    if let Some(version) = call.tls_version {
        context.insert("s3:TlsVersion", version);
    }
    if let Some(hash) = &call.content_sha256 {
        context.insert("s3:x-amz-content-sha256", hash.clone());
    }
}
