//! Encryption at rest: what a request asks for, what the bucket's default adds, and where the data
//! key comes from.
//!
//! [`Plan`] is the decision, [`Plan::make_key`] asks KMS (with the caller's authority), the service
//! key or the client's key for a data key, and [`open`] gets that key again for reading. S3 has no
//! unencrypted objects, and neither does this.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::HeaderName;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::ask::{Ask, invalid_argument, invalid_request, object_arn};
use super::response::insert;
use super::store::{Bucket, DataKey, Seal, SseAlgorithm};
use crate::error::ApiError;
use crate::kms;
use crate::vault;

const SSE: &str = "x-amz-server-side-encryption";
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const CONTEXT: &str = "x-amz-server-side-encryption-context";
const CUSTOMER: &str = "x-amz-server-side-encryption-customer";
const COPY_CUSTOMER: &str = "x-amz-copy-source-server-side-encryption-customer";
/// The AWS managed key: what `aws:kms` without a key means.
const MANAGED_KEY: &str = "alias/aws/s3";
/// Boxes of the service key hold data keys of objects.
const PURPOSE: &str = "s3-object";

/// How a new object is to be encrypted.
pub(super) enum Plan {
    /// SSE-S3.
    Service,
    /// SSE-KMS and DSSE-KMS.
    Kms { dual: bool, key: String, bucket_key: bool, context: BTreeMap<String, String> },
    /// SSE-C.
    Customer(CustomerKey),
}

/// A key that the client sends with every request and nobody keeps.
#[derive(Clone)]
pub(super) struct CustomerKey {
    key: Zeroizing<[u8; 32]>,
    md5: String,
}

impl CustomerKey {
    /// From `x-amz-server-side-encryption-customer-*`.
    pub(super) fn of_request(ask: &Ask) -> Result<Option<CustomerKey>, ApiError> {
        CustomerKey::read(ask, CUSTOMER)
    }

    /// From `x-amz-copy-source-server-side-encryption-customer-*`.
    pub(super) fn of_copy_source(ask: &Ask) -> Result<Option<CustomerKey>, ApiError> {
        CustomerKey::read(ask, COPY_CUSTOMER)
    }

    fn read(ask: &Ask, prefix: &str) -> Result<Option<CustomerKey>, ApiError> {
        let get = |suffix: &str| ask.header(&format!("{prefix}-{suffix}"));
        let (algorithm, key, md5) = (get("algorithm"), get("key"), get("key-MD5"));
        if algorithm.is_none() && key.is_none() && md5.is_none() {
            return Ok(None);
        }
        if !ask.call.is_secure() {
            return Err(invalid_request(
                "Requests specifying Server Side Encryption with Customer provided keys must be \
                 made over a secure connection.",
            ));
        }
        let name = format!("{prefix}-algorithm");
        match algorithm {
            Some("AES256") => {}
            other => {
                let message = "Requests specifying Server Side Encryption with Customer provided \
                               keys must provide a valid encryption algorithm.";
                return Err(invalid_argument(message, &name, other.unwrap_or("null")));
            }
        }
        let refuse = |message: &str, suffix: &str| {
            invalid_argument(message, &format!("{prefix}-{suffix}"), "")
        };
        let bytes = Zeroizing::new(BASE64.decode(key.unwrap_or_default()).unwrap_or_default());
        let Ok(bytes) = <[u8; 32]>::try_from(bytes.as_slice()) else {
            return Err(refuse(
                "Requests specifying Server Side Encryption with Customer provided keys must \
                 provide an appropriate secret key.",
                "key",
            ));
        };
        let key = Zeroizing::new(bytes);
        let computed = BASE64.encode(Md5::digest(key.as_slice()));
        if md5 != Some(computed.as_str()) {
            return Err(refuse(
                "The calculated MD5 hash of the key did not match the hash that was provided.",
                "key-MD5",
            ));
        }
        Ok(Some(CustomerKey { key, md5: computed }))
    }
}

impl Plan {
    /// What the request's headers say, else the bucket's default.
    pub(super) fn of_request(ask: &Ask, bucket: &Bucket) -> Result<Plan, ApiError> {
        let customer = CustomerKey::of_request(ask)?;
        let algorithm = ask.header(SSE);
        let kms_key = ask.header(KMS_KEY).filter(|key| !key.is_empty());
        if let Some(customer) = customer {
            if algorithm.is_some() || kms_key.is_some() {
                let message = "Server Side Encryption with Customer provided key is incompatible \
                               with the encryption method specified";
                return Err(invalid_argument(message, SSE, algorithm.unwrap_or_default()));
            }
            if bucket.encryption.blocks_customer_keys {
                return Err(ApiError::access_denied()
                    .because("the bucket's BlockedEncryptionTypes names SSE-C"));
            }
            return Ok(Plan::Customer(customer));
        }
        let default = &bucket.encryption;
        let (algorithm, key) = match algorithm {
            Some(name) => {
                let algorithm = SseAlgorithm::parse(name).ok_or_else(|| {
                    invalid_argument("The encryption method specified is not supported", SSE, name)
                })?;
                (algorithm, kms_key.map(str::to_owned))
            }
            None if kms_key.is_some() => {
                let message = "Server Side Encryption with AWS KMS managed key requires HTTP \
                               header x-amz-server-side-encryption : aws:kms";
                return Err(invalid_argument(message, SSE, "null"));
            }
            None => (default.algorithm, default.kms_key.clone()),
        };
        if algorithm == SseAlgorithm::S3 {
            if key.is_some() {
                let message = "Server Side Encryption with AWS KMS managed key requires HTTP \
                               header x-amz-server-side-encryption : aws:kms";
                return Err(invalid_argument(message, SSE, algorithm.name()));
            }
            return Ok(Plan::Service);
        }
        let dual = algorithm == SseAlgorithm::KmsDual;
        let bucket_key = match ask.header(BUCKET_KEY) {
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            Some(other) => return Err(invalid_argument("Invalid value", BUCKET_KEY, other)),
            None => default.bucket_key,
        };
        let key = key.unwrap_or_else(|| MANAGED_KEY.to_owned());
        let context = requested_context(ask)?;
        // Dual-layer encryption has no bucket keys.
        Ok(Plan::Kms { dual, key, bucket_key: bucket_key && !dual, context })
    }

    /// The client's own key, when it has one.
    pub(super) fn customer(&self) -> Option<&CustomerKey> {
        match self {
            Plan::Customer(customer) => Some(customer),
            Plan::Service | Plan::Kms { .. } => None,
        }
    }

    /// A fresh data key for `key` in `bucket`, and how to keep it.
    pub(super) fn make_key(
        &self,
        ask: &Ask,
        bucket: &Bucket,
        key: &str,
    ) -> Result<(DataKey, Seal), ApiError> {
        let vault = &ask.state.vault;
        let fresh = || {
            let mut data_key = Zeroizing::new([0; 32]);
            vault::fill(data_key.as_mut_slice());
            data_key
        };
        match self {
            Plan::Service => {
                let data_key = fresh();
                let wrapped = vault.seal(PURPOSE, &[], data_key.as_slice());
                Ok((DataKey::single(data_key), Seal::S3 { wrapped }))
            }
            Plan::Customer(customer) => {
                let data_key = fresh();
                let wrapped = vault::seal_under(&customer.key, b"", data_key.as_slice());
                Ok((DataKey::single(data_key), Seal::Customer { wrapped }))
            }
            Plan::Kms { dual, key: kms_key, bucket_key, context } => {
                let arn = match bucket_key {
                    true => format!("arn:aws:s3:::{}", bucket.name),
                    false => object_arn(&bucket.name, key),
                };
                let mut context = context.clone();
                // Key policies trust this pair to say which object a key is for.
                if context.get("aws:s3:arn").is_some_and(|given| *given != arn) {
                    let message = "The encryption context may not name another aws:s3:arn";
                    return Err(invalid_argument(message, CONTEXT, ""));
                }
                context.insert("aws:s3:arn".into(), arn);
                let made = kms::generate_data_key_for_s3(&ask.state, &ask.call, kms_key, &context)?;
                let (data_key, inner) = if *dual {
                    let first = fresh();
                    let wrapped = vault.seal(PURPOSE, &[], first.as_slice());
                    (DataKey::dual(first, made.plaintext), Some(hex::encode(wrapped)))
                } else {
                    (DataKey::single(made.plaintext), None)
                };
                let (wrapped, key_arn, bucket_key) = (made.wrapped, made.key_arn, *bucket_key);
                Ok((data_key, Seal::Kms { wrapped, key_arn, context, bucket_key, inner }))
            }
        }
    }
}

/// `x-amz-server-side-encryption-context`: base64 of a JSON object of strings.
fn requested_context(ask: &Ask) -> Result<BTreeMap<String, String>, ApiError> {
    let Some(text) = ask.header(CONTEXT) else {
        return Ok(BTreeMap::new());
    };
    let parsed = BASE64.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
    parsed.ok_or_else(|| {
        let message = "The header 'x-amz-server-side-encryption-context' shall be \
                       Base64-encoded UTF-8 string holding JSON which represents a string-string map";
        invalid_argument(message, CONTEXT, text)
    })
}

/// The data key of a stored content, with the caller's authority.
pub(super) fn open(
    ask: &Ask,
    seal: &Seal,
    customer: Option<&CustomerKey>,
) -> Result<DataKey, ApiError> {
    check_customer(seal, customer)?;
    let vault = &ask.state.vault;
    let damaged = |_| ApiError::internal("a wrapped data key does not open");
    let fixed = |plain: Zeroizing<Vec<u8>>| {
        let mut key = Zeroizing::new([0; 32]);
        if plain.len() != key.len() {
            return Err(ApiError::internal("a data key has another length"));
        }
        key.copy_from_slice(&plain);
        Ok(key)
    };
    match (seal, customer) {
        (Seal::S3 { wrapped }, _) => {
            Ok(DataKey::single(fixed(vault.open(PURPOSE, &[], wrapped).map_err(damaged)?)?))
        }
        (Seal::Customer { wrapped }, Some(customer)) => {
            let plain = vault::open_under(&customer.key, b"", wrapped)
                .map_err(|_| ApiError::access_denied().because("another customer key"))?;
            Ok(DataKey::single(fixed(plain)?))
        }
        (Seal::Customer { .. }, None) => Err(ApiError::access_denied()),
        (Seal::Kms { wrapped, context, inner, .. }, _) => {
            let outer = kms::decrypt_for_s3(&ask.state, &ask.call, wrapped, context)?;
            let Some(inner) = inner else {
                return Ok(DataKey::single(outer));
            };
            let inner = hex::decode(inner).map_err(ApiError::internal)?;
            let first = fixed(vault.open(PURPOSE, &[], &inner).map_err(damaged)?)?;
            Ok(DataKey::dual(first, outer))
        }
    }
}

/// Whether the request brings a customer key exactly when the content needs one.
pub(super) fn check_customer(seal: &Seal, customer: Option<&CustomerKey>) -> Result<(), ApiError> {
    match (seal, customer) {
        (Seal::Customer { .. }, None) => Err(invalid_request(
            "The object was stored using a form of Server Side Encryption. The correct parameters \
             must be provided to retrieve the object.",
        )),
        (Seal::S3 { .. } | Seal::Kms { .. }, Some(_)) => {
            Err(invalid_request("The encryption parameters are not applicable to this object."))
        }
        _ => Ok(()),
    }
}

/// Says how a content is encrypted. `customer` is the key of this request.
pub(super) fn describe(
    headers: &mut HeaderMap,
    seal: &Seal,
    customer: Option<&CustomerKey>,
) -> Result<(), ApiError> {
    let mut set =
        |name: &'static str, value: &str| insert(headers, HeaderName::from_static(name), value);
    match seal {
        Seal::S3 { .. } => set(SSE, SseAlgorithm::S3.name()),
        Seal::Kms { key_arn, bucket_key, inner, .. } => {
            let algorithm = if inner.is_some() { SseAlgorithm::KmsDual } else { SseAlgorithm::Kms };
            set(SSE, algorithm.name())?;
            set(KMS_KEY, key_arn)?;
            if *bucket_key { set(BUCKET_KEY, "true") } else { Ok(()) }
        }
        Seal::Customer { .. } => {
            set("x-amz-server-side-encryption-customer-algorithm", "AES256")?;
            match customer {
                Some(customer) => {
                    set("x-amz-server-side-encryption-customer-key-md5", &customer.md5)
                }
                None => Ok(()),
            }
        }
    }
}

/// Whether the ETag of a content so sealed is its MD5.
pub(super) fn has_md5_etag(seal: &Seal) -> bool {
    matches!(seal, Seal::S3 { .. })
}
