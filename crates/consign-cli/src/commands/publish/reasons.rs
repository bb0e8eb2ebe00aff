//! Why something was not delivered, for people.

use consign_publisher::{Cause, Permanent, Reason};

use crate::terminal::escape;

/// Of what a reason is, as far as that is known.
pub(super) fn object(reason: &Reason) -> String {
    reason.source.as_ref().map_or_else(|| "-".to_owned(), |source| escape(&source.key))
}

/// A cause as a sentence.
pub(super) fn why(cause: &Cause) -> String {
    match cause {
        Cause::Unreadable { why } | Cause::Unroutable { why } => escape(why),
        Cause::Foreign => "it is of a bucket that is not the repository's".to_owned(),
        Cause::SourceGone => "it is gone from the repository".to_owned(),
        Cause::Conflict { there: Some(_) } => {
            "another object was delivered to its place before".to_owned()
        }
        Cause::Conflict { there: None } => {
            "something that no publisher delivered is in its place".to_owned()
        }
        Cause::Different => "what arrived has another size or checksum".to_owned(),
        Cause::Permanent { what: Permanent::Denied } => {
            "a policy denies it: consign prove --live".to_owned()
        }
        Cause::Permanent { what: Permanent::KeyUnusable } => {
            "a KMS key is disabled, or about to be deleted".to_owned()
        }
        Cause::Permanent { what: Permanent::Archived } => {
            "it lies in an archive: restore it (aws s3api restore-object)".to_owned()
        }
        Cause::Permanent { what: Permanent::Credentials } => {
            "the publisher's credentials do not hold any more".to_owned()
        }
        Cause::Permanent { what: Permanent::Refused } => "S3 refuses the request".to_owned(),
        Cause::GivenUp { receives } => format!("tried {receives} times without success"),
    }
}
