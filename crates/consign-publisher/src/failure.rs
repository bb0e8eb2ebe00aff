//! What a failed request means for a delivery: wait, look again, or stop.

use consign_cloud::{Error, ErrorKind};

use crate::record::Permanent;

/// Why a request did not do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The service wants fewer requests.
    Throttled,
    /// Anything that may be over the next time; the request may have been carried out.
    Passing,
    /// There is no such object, or not any more.
    Absent,
    /// A condition did not hold: the key is taken.
    Taken,
    /// The multipart upload is gone.
    UploadGone,
    /// Will be so until a person changes something.
    Permanent(Permanent),
}

impl Failure {
    /// What an error of the cloud means. One that is of no known kind is taken for passing: it is
    /// tried again a bounded number of times, and then put aside with its name.
    pub fn of(error: &Error) -> Failure {
        // KMS's codes, as S3 and as SQS pass them on, with status 400.
        let of_key = [
            "KMS.DisabledException",
            "KMS.KMSInvalidStateException",
            "KMS.NotFoundException",
            "KMS.InvalidKeyUsageException",
            "KmsDisabled",
            "KmsInvalidState",
            "KmsNotFound",
            "KmsInvalidKeyUsage",
        ];
        if error.code().is_some_and(|code| of_key.contains(&code)) {
            return Failure::Permanent(Permanent::KeyUnusable);
        }
        if error.code() == Some("InvalidObjectState") {
            return Failure::Permanent(Permanent::Archived);
        }
        if error.is_retryable() {
            return match error.kind() {
                ErrorKind::Throttled => Failure::Throttled,
                _ => Failure::Passing,
            };
        }
        match error.kind() {
            ErrorKind::NotFound => Failure::Absent,
            ErrorKind::PreconditionFailed => Failure::Taken,
            ErrorKind::NoSuchUpload => Failure::UploadGone,
            ErrorKind::AccessDenied => Failure::Permanent(Permanent::Denied),
            ErrorKind::BadCredentials | ErrorKind::Configuration => {
                Failure::Permanent(Permanent::Credentials)
            }
            ErrorKind::InvalidRequest => Failure::Permanent(Permanent::Refused),
            _ => Failure::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_errors_are_kinds_of_failures() {
        for (kind, failure) in [
            (ErrorKind::Throttled, Failure::Throttled),
            (ErrorKind::Timeout, Failure::Passing),
            // Fresh ones are on their way: not a person's business yet.
            (ErrorKind::ExpiredCredentials, Failure::Passing),
            (ErrorKind::ClockSkew, Failure::Passing),
            (ErrorKind::NotFound, Failure::Absent),
            (ErrorKind::PreconditionFailed, Failure::Taken),
            (ErrorKind::AccessDenied, Failure::Permanent(Permanent::Denied)),
        ] {
            let error = Error::new(kind, "s3:CopyObject", "s3://b/k", "no");
            assert_eq!(Failure::of(&error), failure, "{kind:?}");
        }
    }
}
