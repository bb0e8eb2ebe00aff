//! KMS: keys that never leave, data keys that do.
//!
//! Key material lies sealed under the root's master key and is in the clear only while it is used.
//! Every use asks the key policy first, as in AWS: a key trusts nobody, not even its own account,
//! unless its policy says so. S3 calls in through [`generate_data_key_for_s3`] and
//! [`decrypt_for_s3`], which decide as if the caller had called KMS, with `kms:ViaService` set.

mod aliases;
mod api;
mod cipher;
mod fault;
mod keys;
mod permit;
mod records;
mod use_key;

use zeroize::Zeroizing;

pub use api::handle;
pub use cipher::EncryptionContext;
pub(crate) use records::new_uuid;
pub use records::{Alias, Key, KeyState, Keys, Material};

use crate::call::{Call, Service};
use crate::error::ApiError;
use crate::state::State;
use fault::Fault;
use permit::{Via, find_key, resolve};

/// A fresh data key, in the clear and wrapped.
pub struct DataKey {
    /// 32 bytes. Never stored.
    pub plaintext: Zeroizing<[u8; 32]>,
    /// The ciphertext blob to keep beside the data: 79 bytes.
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
    generate(state, call, key, context).map_err(|fault| fault.into_error(Service::S3))
}

fn generate(
    state: &State,
    call: &Call,
    key: &str,
    context: &EncryptionContext,
) -> Result<DataKey, Fault> {
    cipher::check_context(context)?;
    if key == permit::S3_ALIAS {
        permit::ensure_s3_key(state, call)?;
    }
    let key = find_key(state, call, key)?;
    key.authorize(state, call, "GenerateDataKey", Via::S3, Some(context))?;
    key.check_usable()?;
    let mut plaintext = Zeroizing::new([0u8; 32]);
    crate::vault::fill(plaintext.as_mut_slice());
    let wrapped = cipher::encrypt(&state.vault, &key.key, context, plaintext.as_slice())?;
    Ok(DataKey { plaintext, wrapped, key_arn: key.key.arn() })
}

/// S3 opens a wrapped data key on behalf of the caller (`kms:Decrypt`), under the same rules.
pub fn decrypt_for_s3(
    state: &State,
    call: &Call,
    wrapped: &[u8],
    context: &EncryptionContext,
) -> Result<Zeroizing<[u8; 32]>, ApiError> {
    let open = || {
        let plain = use_key::open(state, call, wrapped, None, context, Via::S3)?.1;
        let mut key = Zeroizing::new([0u8; 32]);
        if plain.len() != key.len() {
            return Err(Fault::InvalidCiphertext);
        }
        key.copy_from_slice(&plain);
        Ok(key)
    };
    open().map_err(|fault: Fault| fault.into_error(Service::S3))
}

/// The full ARN of a key given as id, ARN or alias, looked up as in [`generate_data_key_for_s3`],
/// without authorisation: for bucket default encryption and for condition keys. The key need not be
/// usable.
pub fn key_arn(state: &State, call: &Call, key: &str) -> Result<String, ApiError> {
    let found = match key {
        permit::S3_ALIAS => permit::ensure_s3_key(state, call),
        _ => resolve(state, call, key).map(|found| found.key),
    };
    found.map(|key| key.arn()).map_err(|fault| fault.into_error(Service::S3))
}

/// [`key_arn`] for a queue's attribute: the error says that there is no such key.
pub(crate) fn key_arn_for_sqs(state: &State, call: &Call, key: &str) -> Result<String, ApiError> {
    let found = resolve(state, call, key).map(|found| found.key.arn());
    found.map_err(|fault| fault.into_error(Service::Sqs))
}

/// The ARN that an id, alias name or ARN stands for in an account.
pub(crate) fn arn_in_account(state: &State, account: &str, key: &str) -> String {
    match key {
        _ if key.starts_with("arn:") => key.to_owned(),
        _ if key.starts_with("alias/") => format!("arn:aws:kms:{}:{account}:{key}", state.region),
        _ => format!("arn:aws:kms:{}:{account}:key/{key}", state.region),
    }
}

/// Whether SQS may do `operations` with a key on behalf of the caller, and whether the key can be
/// used. Errors have KMS's own codes.
pub(crate) fn use_for_queue(
    state: &State,
    call: &Call,
    key: &str,
    operations: &[&str],
    facts: &crate::authorize::Facts,
) -> Result<(), ApiError> {
    let ask = || {
        let key = find_key(state, call, key)?;
        let mut all = key.facts(state);
        all.extend(facts.iter().cloned());
        for operation in operations {
            key.authorize_with(state, call, operation, Via::Sqs, &all)?;
        }
        key.check_usable()
    };
    ask().map_err(|fault: Fault| fault.into_error(Service::Sqs))
}
