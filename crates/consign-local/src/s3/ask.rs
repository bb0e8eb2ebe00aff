//! What a request asks for: bucket, key and query, taken apart; and whether the caller may.

use std::sync::{Arc, OnceLock};

use http::Method;

use super::store::{Bucket, Store, StoreError, StoreErrorKind, Versioning};
use crate::authorize::{Facts, Question};
use crate::call::Call;
use crate::error::ApiError;
use crate::policy::{Policy, is_public};
use crate::state::State;

/// Longest key, in bytes of UTF-8.
const KEY_BYTES_MAX: usize = 1024;

/// A request to S3, taken apart.
pub(super) struct Ask {
    pub(super) state: Arc<State>,
    pub(super) call: Call,
    /// `None` asks for the service itself.
    pub(super) bucket: Option<String>,
    /// `None` asks for the bucket itself. Never a path: any Unicode up to 1024 bytes.
    pub(super) key: Option<String>,
}

impl Ask {
    pub(super) fn parse(state: Arc<State>, call: Call) -> Result<Ask, ApiError> {
        // Decoded once, by the gate: what was signed is what is done.
        let path = call.path.strip_prefix('/').unwrap_or(&call.path);
        let (bucket, key) = match call.virtual_bucket() {
            Some(bucket) => (bucket, path),
            None => path.split_once('/').unwrap_or((path, "")),
        };
        let bucket = Some(bucket.to_owned()).filter(|bucket| !bucket.is_empty());
        let key = Some(key.to_owned()).filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
            return Err(ApiError::bad_request("KeyTooLongError", "Your key is too long")
                .with("MaxSizeAllowed", KEY_BYTES_MAX.to_string()));
        }
        Ok(Ask { state, call, bucket, key })
    }

    pub(super) fn method(&self) -> &Method {
        &self.call.parts.method
    }

    pub(super) fn store(&self) -> &Store {
        &self.state.store
    }

    /// The value of a query parameter; empty for one without.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.call.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.query(name).is_some()
    }

    pub(super) fn query_names(&self) -> impl Iterator<Item = &str> {
        self.call.query.iter().map(|(name, _)| name.as_str())
    }

    /// A number in the query, or `default`; `InvalidArgument` for anything else or above `max`.
    pub(super) fn number(&self, name: &str, default: usize, max: usize) -> Result<usize, ApiError> {
        match self.query(name) {
            None | Some("") => Ok(default),
            Some(text) => match text.parse::<i64>() {
                Ok(number) if number >= 0 => Ok(usize::try_from(number).unwrap_or(max).min(max)),
                _ => Err(invalid_argument(
                    &format!("Argument {name} must be an integer between 0 and 2147483647"),
                    name,
                    text,
                )),
            },
        }
    }

    /// A header as text; also of bytes above ASCII, which are taken as UTF-8.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let value = self.call.parts.headers.get(name)?;
        std::str::from_utf8(value.as_bytes()).ok()
    }

    /// The key, of an operation that has one.
    pub(super) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    /// The bucket asked for, if it exists and belongs to whom the caller expects.
    pub(super) fn bucket(&self) -> Result<Arc<Bucket>, ApiError> {
        let name = self.bucket.as_deref().unwrap_or_default();
        let bucket = self.store().bucket(name).map_err(|error| refused(&error))?;
        expect_owner(self.header("x-amz-expected-bucket-owner"), &bucket)?;
        Ok(bucket)
    }

    /// Whether the caller may do `action` on the bucket.
    pub(super) fn allow_on_bucket(
        &self,
        bucket: &Bucket,
        action: &str,
        facts: &Facts,
    ) -> Result<(), ApiError> {
        self.allow(bucket, action, &format!("arn:aws:s3:::{}", bucket.name), facts)
    }

    /// Whether the caller may do `action` on a key.
    pub(super) fn allow_on_key(
        &self,
        bucket: &Bucket,
        key: &str,
        action: &str,
        facts: &Facts,
    ) -> Result<(), ApiError> {
        self.allow(bucket, action, &object_arn(&bucket.name, key), facts)
    }

    fn allow(
        &self,
        bucket: &Bucket,
        action: &str,
        resource: &str,
        facts: &Facts,
    ) -> Result<(), ApiError> {
        let parsed = bucket.parsed_policy();
        let Some(policies) = &parsed.policies else {
            return Err(ApiError::access_denied().because("the stored bucket policy is damaged"));
        };
        let question = Question {
            action,
            resource,
            resource_account: &bucket.account,
            resource_policies: policies,
            facts,
            restrict_public_buckets: bucket
                .public_access
                .is_some_and(|block| block.restrict_public_buckets),
            via_service: false,
        };
        question.authorize(&self.state, &self.call)
    }

    /// Runs what blocks (the database) off the threads that serve connections.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let state = self.state.clone();
        tokio::task::spawn_blocking(move || work(&state)).await.map_err(ApiError::internal)
    }
}

pub(super) fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// Refuses a bucket that is another account's than the caller expects: a deleted bucket's name may
/// have been taken by somebody else.
pub(super) fn expect_owner(expected: Option<&str>, bucket: &Bucket) -> Result<(), ApiError> {
    match expected {
        Some(account) if account != bucket.account => {
            Err(ApiError::access_denied().because("the bucket has another owner than expected"))
        }
        _ => Ok(()),
    }
}

/// A bucket policy as the evaluator wants it.
#[derive(Clone, Debug)]
pub(crate) struct ParsedPolicy {
    /// `None` if it does not parse, which the check when it was put should have prevented: what
    /// it denied is unknown, so everything is.
    policies: Option<Vec<Policy>>,
    pub(super) public: bool,
}

/// A policy parsed once per change of its bucket.
#[derive(Debug, Default)]
pub(crate) struct PolicyCache(OnceLock<ParsedPolicy>);

/// Whoever copies a bucket is about to change it: the copy's policy is parsed anew.
impl Clone for PolicyCache {
    fn clone(&self) -> PolicyCache {
        PolicyCache::default()
    }
}

impl Bucket {
    pub(super) fn parsed_policy(&self) -> &ParsedPolicy {
        self.policy_cache.0.get_or_init(|| match &self.policy {
            None => ParsedPolicy { policies: Some(Vec::new()), public: false },
            Some(text) => match Policy::parse(text) {
                Ok(policy) => {
                    let public = is_public(&policy);
                    ParsedPolicy { policies: Some(vec![policy]), public }
                }
                Err(_) => ParsedPolicy { policies: None, public: true },
            },
        })
    }

    pub(super) fn is_versioned(&self) -> bool {
        self.versioning != Versioning::Never
    }

    /// Whether access control lists are off.
    pub(super) fn is_owner_enforced(&self) -> bool {
        self.ownership.as_deref() == Some("BucketOwnerEnforced")
    }
}

pub(super) fn invalid_argument(message: &str, name: &str, value: &str) -> ApiError {
    ApiError::bad_request("InvalidArgument", message)
        .with("ArgumentName", name)
        .with("ArgumentValue", value)
}

pub(super) fn invalid_request(message: &str) -> ApiError {
    ApiError::bad_request("InvalidRequest", message)
}

/// What the store refused, in S3's words.
pub(super) fn refused(error: &StoreError) -> ApiError {
    use http::StatusCode;
    let (status, code, message) = match error.kind() {
        StoreErrorKind::NoSuchBucket => {
            (StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist")
        }
        StoreErrorKind::BucketExists => (
            StatusCode::CONFLICT,
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all \
             users of the system. Please select a different name and try again.",
        ),
        StoreErrorKind::BucketNotEmpty => {
            (StatusCode::CONFLICT, "BucketNotEmpty", "The bucket you tried to delete is not empty")
        }
        StoreErrorKind::NoSuchKey => {
            (StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
        }
        StoreErrorKind::NoSuchVersion => {
            (StatusCode::NOT_FOUND, "NoSuchVersion", "The specified version does not exist.")
        }
        StoreErrorKind::NoSuchUpload => (
            StatusCode::NOT_FOUND,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may \
             have been aborted or completed.",
        ),
        StoreErrorKind::PreconditionFailed => (
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ),
        StoreErrorKind::InvalidPart => (
            StatusCode::BAD_REQUEST,
            "InvalidPart",
            "One or more of the specified parts could not be found. The part may not have been \
             uploaded, or the specified entity tag may not match the part's entity tag.",
        ),
        StoreErrorKind::InvalidPartOrder => (
            StatusCode::BAD_REQUEST,
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ),
        StoreErrorKind::EntityTooSmall => (
            StatusCode::BAD_REQUEST,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        ),
        StoreErrorKind::BadDigest => (
            StatusCode::BAD_REQUEST,
            "BadDigest",
            "The checksum you specified did not match the calculated checksum.",
        ),
        StoreErrorKind::Storage => return ApiError::internal(error),
    };
    ApiError::new(status, code, message).because(error.to_string())
}
