//! Why the gate refuses, and how each service says so.
//!
//! The same finding has different codes: a bad signature is `SignatureDoesNotMatch` (403) from S3,
//! `InvalidSignatureException` (400) from KMS. Clients branch on them (an expired token is renewed,
//! a skewed clock corrected), so they are exact.

use crate::call::{AuthType, Service};
use crate::error::ApiError;

/// What the gate found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Credentials are there, in a form nobody can read. The sentence says what.
    Malformed(String),
    /// The scope names another region: theirs, ours.
    WrongRegion(String, String),
    /// Signature Version 2, SigV4A or something else.
    Unsupported,
    /// No signature where one is needed.
    Missing,
    /// The access key is unknown or inactive.
    UnknownKey(String),
    /// The session token is missing, unknown or of another key.
    BadToken,
    /// The session is over.
    ExpiredToken,
    /// Signed too far from now: request time, server time.
    Skewed(String, String),
    /// A presigned URL whose time is over: its expiry in seconds, when that was, and now.
    Expired(String, String, String),
    /// A presigned URL signed in the future.
    NotYetValid,
    /// Headers that must be signed and are not, comma-separated.
    HeadersNotSigned(String),
    /// The signature is of something else.
    Mismatch(Box<Mismatch>),
}

/// The evidence S3 returns with a signature that does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Who claims to sign.
    pub access_key_id: String,
    /// What should have been signed.
    pub string_to_sign: String,
    /// What came.
    pub provided: String,
    /// What the string to sign was made from.
    pub canonical_request: String,
}

impl Refusal {
    /// The error in the words of `service`.
    pub fn as_error(&self, service: Service, auth: AuthType) -> ApiError {
        match service {
            Service::S3 => self.as_s3(auth),
            Service::Kms | Service::Sqs => self.as_plain(true),
            Service::Iam | Service::Sts => self.as_plain(false),
        }
    }

    fn as_s3(&self, auth: AuthType) -> ApiError {
        let malformed = |what: &str| match auth {
            AuthType::Query => ApiError::bad_request("AuthorizationQueryParametersError", what),
            _ => ApiError::bad_request(
                "AuthorizationHeaderMalformed",
                format!("The authorization header is malformed; {what}"),
            ),
        };
        match self {
            Refusal::Malformed(what) => malformed(what),
            Refusal::WrongRegion(theirs, ours) => {
                let what = format!("the region '{theirs}' is wrong; expecting '{ours}'");
                let what = match auth {
                    AuthType::Query => {
                        format!("Error parsing the X-Amz-Credential parameter; {what}")
                    }
                    _ => what,
                };
                malformed(&what).with("Region", ours)
            }
            Refusal::Unsupported => ApiError::bad_request(
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use \
                 AWS4-HMAC-SHA256.",
            ),
            Refusal::Missing => ApiError::access_denied().because("the request is not signed"),
            Refusal::UnknownKey(id) => ApiError::forbidden(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )
            .with("AWSAccessKeyId", id),
            Refusal::BadToken => ApiError::bad_request(
                "InvalidToken",
                "The provided token is malformed or otherwise invalid.",
            ),
            Refusal::ExpiredToken => {
                ApiError::bad_request("ExpiredToken", "The provided token has expired.")
            }
            Refusal::Skewed(theirs, ours) => ApiError::forbidden(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )
            .with("RequestTime", theirs)
            .with("ServerTime", ours)
            .with("MaxAllowedSkewMilliseconds", "900000"),
            Refusal::Expired(expires, expired, now) => {
                ApiError::forbidden("AccessDenied", "Request has expired")
                    .with("X-Amz-Expires", expires)
                    .with("Expires", expired)
                    .with("ServerTime", now)
            }
            Refusal::NotYetValid => ApiError::forbidden("AccessDenied", "Request is not yet valid"),
            Refusal::HeadersNotSigned(names) => ApiError::forbidden(
                "AccessDenied",
                "There were headers present in the request which were not signed",
            )
            .with("HeadersNotSigned", names),
            Refusal::Mismatch(evidence) => evidence.as_s3(),
        }
    }

    /// JSON services (`…Exception`, always 400) and Query services (403) share their sentences.
    fn as_plain(&self, json: bool) -> ApiError {
        let answer = |status: u16, code: &str, message: &str| {
            let code = if json { format!("{code}Exception") } else { code.to_owned() };
            match status {
                403 if !json => ApiError::forbidden(code, message),
                _ => ApiError::bad_request(code, message),
            }
        };
        match self {
            Refusal::Malformed(what) => answer(400, "IncompleteSignature", what),
            Refusal::Unsupported => {
                answer(400, "IncompleteSignature", "Only AWS4-HMAC-SHA256 is supported.")
            }
            Refusal::WrongRegion(..) => {
                let code = if json { "InvalidSignature" } else { "SignatureDoesNotMatch" };
                answer(403, code, "Credential should be scoped to a valid region.")
            }
            Refusal::Missing => {
                answer(403, "MissingAuthenticationToken", "Missing Authentication Token")
            }
            Refusal::UnknownKey(_) | Refusal::BadToken => {
                let code = if json { "UnrecognizedClient" } else { "InvalidClientTokenId" };
                answer(403, code, "The security token included in the request is invalid.")
            }
            Refusal::ExpiredToken => {
                answer(403, "ExpiredToken", "The security token included in the request is expired")
            }
            Refusal::Skewed(theirs, ours) => {
                let code = if json { "InvalidSignature" } else { "SignatureDoesNotMatch" };
                let message = format!("Signature expired or not yet current: {theirs}, now {ours}");
                answer(403, code, &message)
            }
            Refusal::Expired(..) | Refusal::NotYetValid => {
                let code = if json { "InvalidSignature" } else { "SignatureDoesNotMatch" };
                answer(403, code, "Signature expired")
            }
            Refusal::HeadersNotSigned(names) => {
                let code = if json { "InvalidSignature" } else { "SignatureDoesNotMatch" };
                let message =
                    format!("'{names}' must be a 'SignedHeader' in the AWS Authorization.");
                answer(403, code, &message)
            }
            Refusal::Mismatch(_) => {
                let code = if json { "InvalidSignature" } else { "SignatureDoesNotMatch" };
                answer(
                    403,
                    code,
                    "The request signature we calculated does not match the signature you \
                     provided. Check your AWS Secret Access Key and signing method. Consult the \
                     service documentation for details.",
                )
            }
        }
    }
}

impl Mismatch {
    fn as_s3(&self) -> ApiError {
        let bytes: Vec<String> =
            self.string_to_sign.bytes().map(|byte| format!("{byte:02x}")).collect();
        ApiError::forbidden(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check \
             your key and signing method.",
        )
        .with("AWSAccessKeyId", &self.access_key_id)
        .with("StringToSign", &self.string_to_sign)
        .with("SignatureProvided", &self.provided)
        .with("StringToSignBytes", bytes.join(" "))
        .with("CanonicalRequest", &self.canonical_request)
    }
}
