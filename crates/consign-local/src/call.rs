//! What is known about a request once the gate has let it through.
//!
//! A [`Verified`] request is only ever made by [`crate::gate`]; holding one means that the signature
//! was checked (or that there was none, and the caller is anonymous). The services take the [`Call`]
//! to decide and the [`Body`](crate::gate::Body) to read.

use std::net::IpAddr;
use std::sync::Arc;

use crate::gate::Body;
use crate::policy::{Policy, Principal};

/// A request that passed the gate: the facts about it, and its body still to be read.
pub struct Verified {
    /// Who asks, for what, when and over which connection.
    pub call: Call,
    /// The payload, decoded and verified while it is read.
    pub body: Body,
}

/// The facts about one request. Cheap to borrow everywhere; the body is kept apart so that it can be
/// read while the call is consulted.
#[derive(Debug)]
pub struct Call {
    /// Who signed.
    pub caller: Caller,
    /// How the signature came.
    pub auth: AuthType,
    /// Milliseconds between signing and arrival; `None` for anonymous requests. Never negative: a
    /// clock that runs ahead counts as zero.
    pub signature_age_ms: Option<u64>,
    /// The `x-amz-content-sha256` header, or `UNSIGNED-PAYLOAD` for presigned requests without one.
    pub content_sha256: Option<String>,
    /// The TLS version (`"1.2"` or `"1.3"`); `None` over plain HTTP.
    pub tls_version: Option<&'static str>,
    /// The peer's address.
    pub source_ip: IpAddr,
    /// Arrival, milliseconds since 1970.
    pub now_ms: u64,
    /// Sixteen upper-case characters, answered as `x-amz-request-id`.
    pub request_id: String,
    /// Set when the request came as a browser's form and was turned into a PUT: how to answer it.
    pub form: Option<FormAnswer>,
    /// The service asked for, from the credential scope.
    pub service: Service,
    /// The path, percent-decoded as the signature was computed: for S3 `/bucket/key`.
    pub path: String,
    /// The query, decoded, in the order sent, without the parameters of a presigned URL's signature.
    pub query: Vec<(String, String)>,
    /// Method, URI (as sent; percent-encoding untouched) and headers.
    pub parts: ::http::request::Parts,
}

impl Call {
    /// Whether the request came over TLS.
    pub fn is_secure(&self) -> bool {
        self.tls_version.is_some()
    }

    /// A header as text; `None` when absent or not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query parameter; the first of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The bucket in the host name, if the request is virtual-hosted: `BUCKET.localhost` or
    /// `BUCKET.s3.ANYTHING`. The path is then the key alone.
    pub fn virtual_bucket(&self) -> Option<&str> {
        let host = self.header("host")?;
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let before = match name.strip_suffix(".localhost") {
            Some(before) => before.strip_suffix(".s3").unwrap_or(before),
            None => name.split_once(".s3.")?.0,
        };
        (before != "s3" && !before.is_empty()).then_some(before)
    }
}

/// How a form upload wants to be answered.
#[derive(Clone, Debug)]
pub struct FormAnswer {
    /// `success_action_status`: 204 (also the default), 201 or 200.
    pub status: ::http::StatusCode,
    /// `success_action_redirect`: answer 303 to there instead.
    pub redirect: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
}

/// How a request was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// `Authorization: AWS4-HMAC-SHA256 …`.
    Header,
    /// `X-Amz-Signature=…` in the query: a presigned URL.
    Query,
    /// A browser form with a signed policy document.
    Post,
    /// No signature at all.
    Anonymous,
}

/// The services behind the one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Object storage.
    S3,
    /// Keys.
    Kms,
    /// Users, roles and their policies.
    Iam,
    /// Temporary credentials.
    Sts,
    /// Queues.
    Sqs,
}

impl Service {
    /// The name in credential scopes: `s3`, `kms`, `iam`, `sts`, `sqs`.
    pub fn name(self) -> &'static str {
        match self {
            Service::S3 => "s3",
            Service::Kms => "kms",
            Service::Iam => "iam",
            Service::Sts => "sts",
            Service::Sqs => "sqs",
        }
    }
}

/// The identity behind a signature, with every policy that comes with it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// For policy evaluation.
    pub principal: Principal,
    /// The caller's account; `None` when anonymous.
    pub account: Option<String>,
    /// `arn:aws:iam::…:user/…`, `arn:aws:sts::…:assumed-role/…/…`, or `anonymous`.
    pub arn: String,
    /// The unique id: `AIDA…` for users, `AROA…:session` for role sessions, `anonymous`.
    pub user_id: String,
    /// The access key that signed; empty when anonymous.
    pub access_key_id: String,
    /// Identity policies: inline policies of the user or role.
    pub identity: Arc<[Policy]>,
    /// Session policies given to AssumeRole.
    pub session: Arc<[Policy]>,
    /// The permissions boundary.
    pub boundary: Option<Arc<Policy>>,
    /// Tags of the user or role (`aws:PrincipalTag/…`).
    pub tags: Arc<[(String, String)]>,
    /// When temporary credentials were issued, milliseconds since 1970 (`aws:TokenIssueTime`).
    pub token_issued_ms: Option<u64>,
    /// `sts:SourceIdentity` of the session, when one was set.
    pub source_identity: Option<String>,
}

impl Caller {
    /// Nobody: a request without a signature.
    pub fn anonymous() -> Caller {
        Caller {
            principal: Principal::Anonymous,
            account: None,
            arn: "anonymous".into(),
            user_id: "anonymous".into(),
            access_key_id: String::new(),
            identity: Arc::from([]),
            session: Arc::from([]),
            boundary: None,
            tags: Arc::from([]),
            token_issued_ms: None,
            source_identity: None,
        }
    }

    /// Whether the request carried no signature.
    pub fn is_anonymous(&self) -> bool {
        self.account.is_none()
    }
}
