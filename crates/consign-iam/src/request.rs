//! One request to be decided: who, what, on what, under which circumstances.

use crate::context::Context;
use crate::error::Refusal;
use crate::key::{Key, KnownKey};
use crate::principal::{Principal, is_account_id};

const PRINCIPAL_ARN: KnownKey = KnownKey::new("aws:PrincipalArn", "aws:principalarn");
const PRINCIPAL_ACCOUNT: KnownKey = KnownKey::new("aws:PrincipalAccount", "aws:principalaccount");
const PRINCIPAL_TYPE: KnownKey = KnownKey::new("aws:PrincipalType", "aws:principaltype");
const PRINCIPAL_IS_SERVICE: KnownKey =
    KnownKey::new("aws:PrincipalIsAWSService", "aws:principalisawsservice");
const PRINCIPAL_SERVICE: KnownKey =
    KnownKey::new("aws:PrincipalServiceName", "aws:principalservicename");
const USER_NAME: KnownKey = KnownKey::new("aws:username", "aws:username");
const USER_ID: KnownKey = KnownKey::new("aws:userid", "aws:userid");
const RESOURCE_ACCOUNT: KnownKey = KnownKey::new("aws:ResourceAccount", "aws:resourceaccount");
const S3_RESOURCE_ACCOUNT: KnownKey = KnownKey::new("s3:ResourceAccount", "s3:resourceaccount");
const CALLER_ACCOUNT: KnownKey = KnownKey::new("kms:CallerAccount", "kms:calleraccount");

const ANSWERED: [&KnownKey; 10] = [
    &PRINCIPAL_ARN,
    &PRINCIPAL_ACCOUNT,
    &PRINCIPAL_TYPE,
    &PRINCIPAL_IS_SERVICE,
    &PRINCIPAL_SERVICE,
    &USER_NAME,
    &USER_ID,
    &RESOURCE_ACCOUNT,
    &S3_RESOURCE_ACCOUNT,
    &CALLER_ACCOUNT,
];

/// A request, ready to be decided any number of times.
#[derive(Clone, Debug)]
pub struct Request {
    principal: Principal,
    // Read off once, because every statement asks for them.
    principal_arn: Option<String>,
    principal_account: Option<String>,
    service_bytes: usize,
    action: String,
    // INVARIANT: `action` in ASCII lower case; patterns are folded when they are parsed.
    action_folded: String,
    resource: String,
    resource_account: String,
    context: Context,
}

impl Request {
    /// `action` is an IAM action such as `s3:GetObject` (see [`crate::s3_actions`] for the
    /// actions behind an S3 call), `resource` an ARN, or `*` for actions that have none, and
    /// `resource_account` the account that owns it: for S3 the bucket's owner, whom the ARN does
    /// not name; for an action without resource the caller's own.
    ///
    /// # Errors
    /// An action without service, a malformed account, and access point ARNs, whose two policies
    /// this crate does not combine: better no answer than a wrong one.
    pub fn new(
        principal: Principal,
        action: &str,
        resource: &str,
        resource_account: &str,
        context: Context,
    ) -> Result<Request, Refusal> {
        let service = action
            .split_once(':')
            .map_or("", |(service, name)| if name.is_empty() { "" } else { service });
        if service.is_empty() || action.contains(['*', '?']) {
            return Err(Refusal::new(
                "action",
                format!("`{action}` is not of the form `service:Action`"),
            ));
        }
        if !is_account_id(resource_account) {
            let reason = format!("`{resource_account}` is not an account of twelve digits");
            return Err(Refusal::new("resource_account", reason));
        }
        if is_access_point(resource) {
            let reason = format!(
                "`{resource}` is an access point; its policies are not modelled, ask for the bucket"
            );
            return Err(Refusal::new("resource", reason));
        }
        Ok(Request {
            principal_arn: principal.arn(),
            principal_account: principal.account().map(str::to_owned),
            service_bytes: service.len(),
            principal,
            action: action.to_owned(),
            action_folded: action.to_ascii_lowercase(),
            resource: resource.to_owned(),
            resource_account: resource_account.to_owned(),
            context,
        })
    }

    /// The same request by somebody else.
    #[must_use]
    pub fn asked_by(self, principal: Principal) -> Request {
        Request {
            principal_arn: principal.arn(),
            principal_account: principal.account().map(str::to_owned),
            principal,
            ..self
        }
    }

    /// Who asks.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The account of who asks, if he has one.
    pub fn principal_account(&self) -> Option<&str> {
        self.principal_account.as_deref()
    }

    /// The action as given.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The service of the action in lower case: `s3` of `s3:GetObject`.
    pub fn service(&self) -> &str {
        self.action_folded.get(..self.service_bytes).unwrap_or("")
    }

    /// The ARN of the resource.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The account that owns the resource.
    pub fn resource_account(&self) -> &str {
        &self.resource_account
    }

    /// The condition keys that were given.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether caller and resource belong to one account.
    pub fn is_same_account(&self) -> bool {
        self.principal_account() == Some(&self.resource_account)
    }

    /// The value of a condition key: as given in the context, or as it follows from principal
    /// and resource.
    pub fn values(&self, key: &Key) -> Found<'_> {
        match self.context.find(key) {
            Some([one]) => Found::One(one),
            Some(many) => Found::Many(many),
            None => self.answer(key).map_or(Found::Absent, Found::One),
        }
    }

    /// Every key that has a value here, for explanations.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let given = self.context.iter().map(|(name, _)| Key::new(name));
        let answered = ANSWERED.iter().map(|known| Key::new(known.written));
        given.chain(answered).filter(|key| !matches!(self.values(key), Found::Absent))
    }

    pub(crate) fn action_folded(&self) -> &str {
        &self.action_folded
    }

    fn answer(&self, key: &Key) -> Option<&str> {
        if key.is(&PRINCIPAL_ARN) {
            self.principal_arn.as_deref()
        } else if key.is(&PRINCIPAL_ACCOUNT) {
            self.principal_account()
        } else if key.is(&PRINCIPAL_TYPE) {
            self.principal.type_name()
        } else if key.is(&PRINCIPAL_IS_SERVICE) {
            match self.principal {
                Principal::Anonymous | Principal::Federated { .. } => None,
                Principal::Service { .. } => Some("true"),
                _ => Some("false"),
            }
        } else if key.is(&PRINCIPAL_SERVICE) {
            match &self.principal {
                Principal::Service { name } => Some(name),
                _ => None,
            }
        } else if key.is(&USER_NAME) {
            self.principal.user_name()
        } else if key.is(&USER_ID) {
            self.principal.user_id()
        } else if key.is(&RESOURCE_ACCOUNT) {
            Some(&self.resource_account)
        } else if key.is(&S3_RESOURCE_ACCOUNT) {
            (self.service() == "s3").then_some(self.resource_account.as_str())
        } else if key.is(&CALLER_ACCOUNT) {
            if self.service() == "kms" { self.principal_account() } else { None }
        } else {
            None
        }
    }
}

/// The values a request has for a condition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The request does not carry the key.
    Absent,
    /// One value.
    One(&'a str),
    /// Several values; only `ForAnyValue` and `ForAllValues` read them.
    Many(&'a [String]),
}

fn is_access_point(resource: &str) -> bool {
    let mut fields = resource.splitn(6, ':').skip(2);
    let service = fields.next().unwrap_or("");
    let name = fields.nth(2).unwrap_or("");
    matches!(service, "s3" | "s3-object-lambda" | "s3-outposts" | "s3express")
        && (name.starts_with("accesspoint/") || name.contains("/accesspoint/"))
}
