//! KMS: keys that never leave, data keys that do.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::call::Call;
use crate::error::ApiError;
use crate::state::State;

/// The keys and aliases of all accounts.
pub struct Keys {}

/// What a ciphertext is bound to: `aws:s3:arn` and whatever the caller adds.
pub type EncryptionContext = BTreeMap<String, String>;

/// A fresh data key, in the clear and wrapped.
pub struct DataKey {
    /// 32 bytes. Never stored.
    pub plaintext: Zeroizing<[u8; 32]>,
    /// The ciphertext blob to keep beside the data; at most 6144 bytes, in practice about 150.
    pub wrapped: Vec<u8>,
    /// The full ARN of the KMS key that wraps it.
    pub key_arn: String,
}

/// S3 asks for a data key on behalf of the caller (`kms:GenerateDataKey` with
/// `kms:ViaService = s3.<region>.amazonaws.com`): key policy and the caller's identity policies both
/// count.
///
/// `key` is a key id, key ARN, alias name (`alias/…`) or alias ARN; ids and alias names are looked
/// up in the caller's account. `alias/aws/s3` is made on first use. Errors are those S3 gives:
/// `AccessDenied`, `KMS.NotFoundException`, `KMS.DisabledException`, `KMS.KMSInvalidStateException`.
pub fn generate_data_key_for_s3(
    state: &State,
    call: &Call,
    key: &str,
    context: &EncryptionContext,
) -> Result<DataKey, ApiError> {
    let _ = (state, call, key, context);
    Err(ApiError::not_implemented("kms"))
}

/// S3 opens a wrapped data key on behalf of the caller (`kms:Decrypt`), under the same rules.
pub fn decrypt_for_s3(
    state: &State,
    call: &Call,
    wrapped: &[u8],
    context: &EncryptionContext,
) -> Result<Zeroizing<[u8; 32]>, ApiError> {
    let _ = (state, call, wrapped, context);
    Err(ApiError::not_implemented("kms"))
}

/// The full ARN of a key given as id, ARN or alias, looked up as in [`generate_data_key_for_s3`],
/// without authorisation: for bucket default encryption and for condition keys. The key need not be
/// usable.
pub fn key_arn(state: &State, call: &Call, key: &str) -> Result<String, ApiError> {
    let _ = (state, call, key);
    Err(ApiError::not_implemented("kms"))
}
