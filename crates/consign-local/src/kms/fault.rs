//! What goes wrong in KMS, said by KMS itself and by S3 on its behalf.

use http::StatusCode;

use crate::call::Service;
use crate::error::ApiError;

/// A failure of a KMS operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such key or alias. The sentence.
    NotFound(String),
    /// The key is turned off. Its ARN.
    Disabled(String),
    /// The key waits for its deletion. Its ARN.
    PendingDeletion(String),
    /// The state forbids this operation. The sentence.
    InvalidState(String),
    /// The blob was not made here, or with another context.
    InvalidCiphertext,
    /// The blob was made by another key than the one named.
    IncorrectKey,
    /// A parameter makes no sense. The sentence.
    Validation(String),
    /// The key policy is not one, or locks its author out. The sentence.
    MalformedPolicy(String),
    /// The alias exists. Its ARN.
    AlreadyExists(String),
    /// Not for this key. The sentence.
    Unsupported(String),
    /// A bug or a damaged file.
    Internal(&'static str),
    /// Decided by policy: already in the words of the calling service.
    Denied(Box<ApiError>),
    /// Anything else that is already worded.
    Worded(Box<ApiError>),
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Fault {
        Fault::Worded(Box::new(error))
    }
}

impl Fault {
    /// The fault in the words of KMS, or of S3 for a call that came through it.
    pub(super) fn into_error(self, service: Service) -> ApiError {
        let (code, message) = match self {
            Fault::Denied(error) | Fault::Worded(error) => return *error,
            Fault::Internal(what) => return ApiError::internal(what),
            Fault::NotFound(message) => ("NotFoundException", message),
            Fault::Disabled(arn) => ("DisabledException", format!("{arn} is disabled.")),
            Fault::PendingDeletion(arn) => {
                ("KMSInvalidStateException", format!("{arn} is pending deletion."))
            }
            Fault::InvalidState(message) => ("KMSInvalidStateException", message),
            Fault::InvalidCiphertext => ("InvalidCiphertextException", String::new()),
            Fault::IncorrectKey => (
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this \
                 operation."
                    .to_owned(),
            ),
            Fault::Validation(message) => ("ValidationException", message),
            Fault::MalformedPolicy(message) => ("MalformedPolicyDocumentException", message),
            Fault::AlreadyExists(arn) => {
                ("AlreadyExistsException", format!("An alias with the name {arn} already exists"))
            }
            Fault::Unsupported(message) => ("UnsupportedOperationException", message),
        };
        // S3 passes KMS's code on with a prefix.
        let code = match service {
            Service::S3 => format!("KMS.{code}"),
            _ => code.to_owned(),
        };
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }
}
