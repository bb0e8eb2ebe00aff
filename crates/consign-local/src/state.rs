//! Everything a service needs at hand: the clock, the vault and the stores.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::vault::Vault;

/// Tells the time. Tests hand in one that they turn by hand.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// The computer's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// One answered request, for whoever wants a log. Holds no query string and no header: those carry
/// signatures and tokens.
#[derive(Clone, Debug)]
pub struct Served {
    /// As answered in `x-amz-request-id`.
    pub request_id: String,
    /// `s3`, `kms`, `iam`, `sts`, `sqs`.
    pub service: &'static str,
    /// The HTTP method.
    pub method: String,
    /// The path of an S3 request, the operation of the other services.
    pub path: String,
    /// Who asked: an ARN, `anonymous`, or empty when the signature was refused.
    pub caller: String,
    /// The answer's status.
    pub status: u16,
    /// The error code, when it was one.
    pub code: Option<String>,
    /// Why it was one: the deciding policy statement, the failed check.
    pub reason: Option<String>,
    /// From the first byte of the request's head to the head of the answer.
    pub micros: u64,
}

/// What all services share.
pub struct State {
    /// The folder that holds everything.
    pub root: PathBuf,
    /// The one region, such as `eu-west-1`.
    pub region: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The master key.
    pub vault: Arc<Vault>,
    /// Users, roles and access keys.
    pub directory: crate::iam::Directory,
    /// KMS keys and aliases.
    pub keys: crate::kms::Keys,
    /// Buckets and objects, and the messages of queues.
    pub store: crate::s3::Store,
    /// Queues; their messages lie in the store.
    pub queues: crate::sqs::Queues,
    /// Held until the last request is done: one process per root.
    pub(crate) _lock: std::fs::File,
}
