//! Encryption at rest as a request demands it.
//!
//! The builders of the SDK have nothing in common but the names of their methods, so what sets them is
//! macros: of all requests together, so that none forgets a header.

use std::fmt;

use aws_sdk_s3::types::ServerSideEncryption as Mode;
use zeroize::Zeroizing;

/// Encryption at rest that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Keys of S3's own.
    SseS3,
    /// A KMS key; none is the account's default key for S3.
    SseKms {
        /// Key ARN, id or alias.
        key: Option<String>,
    },
    /// A KMS key, applied twice.
    DsseKms {
        /// Key ARN, id or alias.
        key: Option<String>,
    },
    /// A key that comes with every request and that S3 forgets.
    SseC(CustomerKey),
}

/// An SSE-C key. Shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKey(Zeroizing<[u8; 32]>);

impl CustomerKey {
    /// From its 32 bytes.
    pub fn new(key: [u8; 32]) -> CustomerKey {
        CustomerKey(Zeroizing::new(key))
    }

    /// How S3 names the key: base64 of its MD5. Not secret, and no proof of anything.
    pub fn md5(&self) -> String {
        self.headers().2
    }

    /// The three headers: algorithm, key, and MD5 of the key (which S3 demands against typos).
    pub(crate) fn headers(&self) -> (String, String, String) {
        use base64::Engine as _;
        use md5::Digest as _;
        let base64 = base64::engine::general_purpose::STANDARD;
        let digest = md5::Md5::digest(self.0.as_slice());
        ("AES256".to_owned(), base64.encode(self.0.as_slice()), base64.encode(digest))
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey(****)")
    }
}

impl Encryption {
    /// The mode and the KMS key, of what S3 has the key for.
    pub(super) fn by_s3(&self) -> (Option<Mode>, Option<String>) {
        match self {
            Encryption::SseS3 => (Some(Mode::Aes256), None),
            Encryption::SseKms { key } => (Some(Mode::AwsKms), key.clone()),
            Encryption::DsseKms { key } => (Some(Mode::AwsKmsDsse), key.clone()),
            Encryption::SseC(_) => (None, None),
        }
    }

    /// The key that goes with every request of the object.
    pub(super) fn customer_key(&self) -> Option<&CustomerKey> {
        match self {
            Encryption::SseC(key) => Some(key),
            _ => None,
        }
    }
}

/// Has what the request writes encrypted so (`Option<&Encryption>`); none leaves it to the bucket.
macro_rules! encrypted {
    ($request:expr, $encryption:expr) => {{
        let encryption: Option<&crate::s3::Encryption> = $encryption;
        let (mode, kms_key) = encryption.map(crate::s3::Encryption::by_s3).unwrap_or_default();
        let request = $request.set_server_side_encryption(mode).set_ssekms_key_id(kms_key);
        crate::s3::encryption::under_key!(
            request,
            encryption.and_then(crate::s3::Encryption::customer_key)
        )
    }};
}
pub(super) use encrypted;

/// Gives the request the key of the object that it names (`Option<&CustomerKey>`).
macro_rules! under_key {
    ($request:expr, $key:expr) => {{
        let key: Option<&crate::s3::CustomerKey> = $key;
        match key.map(crate::s3::CustomerKey::headers) {
            None => $request,
            Some((algorithm, key, md5)) => $request
                .sse_customer_algorithm(algorithm)
                .sse_customer_key(key)
                .sse_customer_key_md5(md5),
        }
    }};
}
pub(super) use under_key;

/// The same for the object that it copies.
macro_rules! from_under_key {
    ($request:expr, $key:expr) => {{
        let key: Option<&crate::s3::CustomerKey> = $key;
        match key.map(crate::s3::CustomerKey::headers) {
            None => $request,
            Some((algorithm, key, md5)) => $request
                .copy_source_sse_customer_algorithm(algorithm)
                .copy_source_sse_customer_key(key)
                .copy_source_sse_customer_key_md5(md5),
        }
    }};
}
pub(super) use from_under_key;
