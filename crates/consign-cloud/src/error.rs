//! What a service answered, kept in the service's own words, with a kind to branch on.

use std::error::Error as StdError;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

/// Whose fault it is and what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The service asks for fewer requests (503 SlowDown, 429, Throttling…).
    Throttled,
    /// The service failed (other 5xx).
    Unavailable,
    /// No connection, or it broke, or the body ended early.
    Network,
    /// Nothing moved for as long as the settings allow.
    Timeout,
    /// Who asked is known and may not do this.
    AccessDenied,
    /// No such object, bucket, key, user, role, policy…
    NotFound,
    /// A condition did not hold (412): for `If-None-Match: *`, the object exists.
    PreconditionFailed,
    /// It exists already, or somebody is changing it (409).
    Conflict,
    /// The multipart upload is not there: completed, aborted or expired.
    NoSuchUpload,
    /// No credentials, unknown ones, or a signature that does not fit.
    BadCredentials,
    /// Temporary credentials or a presigned URL past their time.
    ExpiredCredentials,
    /// This machine's clock is too far from the service's.
    ClockSkew,
    /// Bytes changed on the way.
    ChecksumMismatch,
    /// The service does not understand or accept the request (other 4xx).
    InvalidRequest,
    /// The service's answer makes no sense: not what was asked for, or not this protocol.
    InvalidResponse,
    /// Our own settings: no region, unreadable CA bundle.
    Configuration,
    /// The caller stopped providing the bytes to send.
    Source,
    /// None of the above.
    Other,
}

/// One failed request: operation, resource, and what the service said.
pub struct Error {
    // Boxed: results carry this type everywhere, and most results are good.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    resource: String,
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    http_status: Option<u16>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error for a check of the caller's own, or for a stand-in of the cloud in tests.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        resource: impl Into<String>,
        message: impl Into<String>,
    ) -> Error {
        Call::new(operation, resource).error(kind, message)
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The service's own error code, such as `AccessDenied` or `NoSuchKey`. HEAD requests have none.
    pub fn code(&self) -> Option<&str> {
        self.inner.code.as_deref()
    }

    /// The service's own sentence.
    pub fn message(&self) -> Option<&str> {
        self.inner.message.as_deref()
    }

    /// The operation as policies name it, such as `s3:PutObject`.
    pub fn operation(&self) -> &'static str {
        self.inner.operation
    }

    /// What it was about: `s3://bucket/key`, a key ARN, a user name.
    pub fn resource(&self) -> &str {
        &self.inner.resource
    }

    /// The id by which the service finds this request in its logs.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.request_id.as_deref()
    }

    /// HTTP status, when there was an answer.
    pub fn http_status(&self) -> Option<u16> {
        self.inner.http_status
    }

    /// True when the same request may succeed if sent again.
    pub fn is_retryable(&self) -> bool {
        use ErrorKind::{ChecksumMismatch, Network, Throttled, Timeout, Unavailable};
        matches!(self.kind(), Throttled | Unavailable | Network | Timeout | ChecksumMismatch)
            // S3 asks for this one by name: two conditional writes met.
            || self.code() == Some("ConditionalRequestConflict")
    }

    /// True when the request may have been carried out although it failed here: the answer was
    /// lost, or the service said only that something went wrong on its side.
    pub fn is_ambiguous(&self) -> bool {
        use ErrorKind::{InvalidResponse, Network, Timeout, Unavailable};
        matches!(self.kind(), Network | Timeout | Unavailable | InvalidResponse)
    }

    /// What the person can do, as a command where there is one.
    pub fn hint(&self) -> Option<String> {
        let hint = match self.kind() {
            ErrorKind::BadCredentials => {
                "name a profile with --profile, or set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY; `aws sts get-caller-identity` shows who you are"
            }
            ErrorKind::ExpiredCredentials => {
                "the credentials are past their time: sign in again (`aws sso login`) and repeat"
            }
            ErrorKind::ClockSkew => "set this machine's clock (`timedatectl set-ntp true`)",
            ErrorKind::Network => {
                "check that the endpoint answers (--endpoint, AWS_ENDPOINT_URL) and, for a private \
                 certificate authority, that AWS_CA_BUNDLE names its PEM file"
            }
            ErrorKind::AccessDenied => {
                "`aws sts get-caller-identity` shows who you are; `consign prove` shows who may \
                 do what"
            }
            ErrorKind::Configuration if self.message() == Some(NO_REGION) => {
                "set AWS_REGION or pass --region"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    pub(crate) fn configuration(message: impl Into<String>) -> Error {
        Call::new("configuration", "").error(ErrorKind::Configuration, message)
    }

    fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.inner.source = Some(source.into());
        self
    }
}

pub(crate) const NO_REGION: &str = "no region is set";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        f.write_str(inner.operation)?;
        if !inner.resource.is_empty() {
            write!(f, " {}", inner.resource)?;
        }
        match (&inner.code, inner.http_status) {
            (Some(code), Some(status)) => write!(f, ": {code} ({status})")?,
            (Some(code), None) => write!(f, ": {code}")?,
            (None, Some(status)) => write!(f, ": HTTP status {status}")?,
            (None, None) => {}
        }
        if let Some(message) = &inner.message {
            write!(f, ": {message}")?;
        }
        if let Some(id) = &inner.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// The request being made, for the error it may end in.
#[derive(Clone)]
pub(crate) struct Call {
    operation: &'static str,
    resource: String,
}

impl Call {
    pub(crate) fn new(operation: &'static str, resource: impl Into<String>) -> Call {
        Call { operation, resource: resource.into() }
    }

    pub(crate) fn object(operation: &'static str, bucket: &str, key: &str) -> Call {
        Call { operation, resource: format!("s3://{bucket}/{key}") }
    }

    pub(crate) fn bucket(operation: &'static str, bucket: &str) -> Call {
        Call { operation, resource: format!("s3://{bucket}") }
    }

    /// An error of our own making about this request.
    pub(crate) fn error(self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error {
            inner: Box::new(Inner {
                kind,
                operation: self.operation,
                resource: self.resource,
                code: None,
                message: Some(message.into()),
                request_id: None,
                http_status: None,
                source: None,
            }),
        }
    }

    /// An error out of an answer's parts.
    pub(crate) fn answered(
        self,
        code: Option<String>,
        message: Option<String>,
        status: u16,
    ) -> Error {
        let mut made = self.error(kind_of(code.as_deref(), status), "");
        made.inner.message = message;
        made.inner.http_status = Some(status);
        made.inner.code = code;
        made
    }

    pub(crate) fn caused(
        self,
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        self.error(kind, message).with_source(source)
    }

    /// Takes code, sentence and ids out of what the SDK gave.
    pub(crate) fn failed<E>(self, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + RequestId + StdError + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let error = answer.err();
                let code = error.meta().code().map(str::to_owned);
                let mut made = self.error(kind_of(code.as_deref(), status), "");
                made.inner.message = error.meta().message().map(str::to_owned);
                made.inner.request_id = error.request_id().map(str::to_owned);
                made.inner.http_status = Some(status);
                made.inner.code = code;
                made
            }
            SdkError::ResponseError(answer) => {
                // A status, and a body that does not parse: a proxy's page, or a truncated answer.
                let status = answer.raw().status().as_u16();
                let kind = match kind_of(None, status) {
                    ErrorKind::Other => ErrorKind::InvalidResponse,
                    kind => kind,
                };
                let mut made = self
                    .error(kind, "the answer cannot be read")
                    .with_source(SdkError::<E, HttpResponse>::ResponseError(answer));
                made.inner.http_status = Some(status);
                made
            }
            SdkError::TimeoutError(_) => self.error(ErrorKind::Timeout, "no answer in time"),
            other => {
                let timeout = matches!(&other, SdkError::DispatchFailure(f) if f.is_timeout());
                self.not_sent(timeout, other.into())
            }
        }
    }

    fn not_sent(self, timeout: bool, source: Box<dyn StdError + Send + Sync>) -> Error {
        if let Some(credentials) = find::<CredentialsError>(source.as_ref()) {
            let message = match credentials {
                CredentialsError::CredentialsNotLoaded(_) => "no credentials were found",
                _ => "credentials could not be had",
            };
            return self.error(ErrorKind::BadCredentials, message).with_source(source);
        }
        if find::<crate::s3::body::SourceFailed>(source.as_ref()).is_some() {
            return self
                .error(ErrorKind::Source, "the bytes to send could not be read")
                .with_source(source);
        }
        let (kind, message) = if timeout {
            (ErrorKind::Timeout, "no answer in time")
        } else {
            (ErrorKind::Network, "the connection failed")
        };
        self.error(kind, message).with_source(source)
    }
}

/// Looks for a cause of one type down the chain.
pub(crate) fn find<'a, T: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The kind behind a service's code, else behind the status. The codes are those of the S3 error
/// list, the common errors of the query and JSON services, and the exceptions of KMS and IAM.
fn kind_of(code: Option<&str>, status: u16) -> ErrorKind {
    match code.unwrap_or_default() {
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "ReduceYourRequestRate"
        // Of KMS, passed on by S3 and by SQS with status 400; and more messages out than SQS allows.
        | "KMS.ThrottlingException"
        | "KmsThrottled"
        | "OverLimit" => ErrorKind::Throttled,
        "RequestTimeout" | "RequestTimeoutException" => ErrorKind::Timeout,
        "IncompleteBody" => ErrorKind::Network,
        "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "KMSInternalException"
        | "DependencyTimeoutException"
        | "KMS.KMSInternalException"
        | "KMS.DependencyTimeoutException"
        | "KMS.KeyUnavailableException"
        | "ServiceFailure" => ErrorKind::Unavailable,
        "NoSuchUpload" => ErrorKind::NoSuchUpload,
        "NoSuchKey"
        | "NoSuchBucket"
        | "NoSuchVersion"
        | "NoSuchEntity"
        | "NotFound"
        | "NotFoundException"
        | "ParameterNotFound"
        | "ResourceNotFoundException"
        | "NoSuchBucketPolicy"
        | "NoSuchLifecycleConfiguration"
        | "NoSuchPublicAccessBlockConfiguration"
        | "NoSuchTagSet"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "OwnershipControlsNotFoundError"
        | "ServerSideEncryptionConfigurationNotFoundError" => ErrorKind::NotFound,
        "PreconditionFailed" => ErrorKind::PreconditionFailed,
        "BucketAlreadyExists"
        | "BucketAlreadyOwnedByYou"
        | "BucketNotEmpty"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "EntityAlreadyExists"
        | "EntityTemporarilyUnmodifiable"
        | "ConcurrentModification"
        | "DeleteConflict"
        | "AlreadyExistsException"
        | "QueueNameExists" => ErrorKind::Conflict,
        "AccessDenied"
        | "KmsAccessDenied"
        | "AccessDeniedException"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "Forbidden" => ErrorKind::AccessDenied,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "InvalidToken"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingSecurityHeader"
        | "AuthFailure"
        | "MissingAuthenticationTokenException"
        | "AuthorizationHeaderMalformed"
        | "IncompleteSignatureException" => ErrorKind::BadCredentials,
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            ErrorKind::ExpiredCredentials
        }
        "RequestTimeTooSkewed" => ErrorKind::ClockSkew,
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch" => ErrorKind::ChecksumMismatch,
        _ => match status {
            401 | 403 => ErrorKind::AccessDenied,
            404 => ErrorKind::NotFound,
            408 => ErrorKind::Timeout,
            409 => ErrorKind::Conflict,
            412 => ErrorKind::PreconditionFailed,
            429 => ErrorKind::Throttled,
            400..=499 => ErrorKind::InvalidRequest,
            500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses_have_kinds() {
        let cases = [
            (Some("SlowDown"), 503, ErrorKind::Throttled),
            (Some("ServiceUnavailable"), 503, ErrorKind::Unavailable),
            (None, 502, ErrorKind::Unavailable),
            (Some("KMS.ThrottlingException"), 400, ErrorKind::Throttled),
            (Some("KMS.KMSInternalException"), 400, ErrorKind::Unavailable),
            (Some("OverLimit"), 403, ErrorKind::Throttled),
            (None, 429, ErrorKind::Throttled),
            (Some("NoSuchUpload"), 404, ErrorKind::NoSuchUpload),
            (None, 404, ErrorKind::NotFound),
            (None, 403, ErrorKind::AccessDenied),
            (Some("SignatureDoesNotMatch"), 403, ErrorKind::BadCredentials),
            (Some("RequestTimeTooSkewed"), 403, ErrorKind::ClockSkew),
            (Some("ExpiredToken"), 400, ErrorKind::ExpiredCredentials),
            (Some("PreconditionFailed"), 412, ErrorKind::PreconditionFailed),
            (Some("RequestTimeout"), 400, ErrorKind::Timeout),
            (Some("EntityAlreadyExists"), 409, ErrorKind::Conflict),
            (Some("BadDigest"), 400, ErrorKind::ChecksumMismatch),
            (Some("MalformedPolicy"), 400, ErrorKind::InvalidRequest),
        ];
        for (code, status, kind) in cases {
            assert_eq!(kind_of(code, status), kind, "{code:?} {status}");
        }
    }

    #[test]
    fn display_is_one_readable_line() {
        let mut error = Call::object("s3:PutObject", "b", "k").error(ErrorKind::AccessDenied, "no");
        error.inner.code = Some("AccessDenied".into());
        error.inner.http_status = Some(403);
        error.inner.request_id = Some("ID".into());
        assert_eq!(error.to_string(), "s3:PutObject s3://b/k: AccessDenied (403): no [request ID]");
        assert!(error.hint().is_some_and(|hint| hint.contains("get-caller-identity")));
    }
}
