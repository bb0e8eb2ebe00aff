//! AWS Signature Version 4: the arithmetic, free of HTTP and of opinions.

use aws_lc_rs::{constant_time, digest, hmac};

/// SHA-256 of nothing, in hexadecimal.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// `DATE/REGION/SERVICE/aws4_request`: what a signing key is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `YYYYMMDD`.
    pub date: String,
    /// Such as `eu-west-1`.
    pub region: String,
    /// Such as `s3`.
    pub service: String,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// A secret key derived for one scope.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Derives the key for `scope` from a secret access key.
    pub fn derive(secret: &str, scope: &Scope) -> SigningKey {
        let start = zeroize::Zeroizing::new(format!("AWS4{secret}"));
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, start.as_bytes());
        for part in [&scope.date, &scope.region, &scope.service, "aws4_request"] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        SigningKey(key)
    }

    /// The signature of a string to sign, in hexadecimal.
    pub fn sign(&self, string_to_sign: &str) -> String {
        hex::encode(hmac::sign(&self.0, string_to_sign.as_bytes()))
    }

    /// Whether `provided` is the signature of `string_to_sign`, in constant time.
    pub fn verify(&self, string_to_sign: &str, provided: &str) -> bool {
        let expected = self.sign(string_to_sign);
        constant_time::verify_slices_are_equal(expected.as_bytes(), provided.as_bytes()).is_ok()
    }
}

/// The parts of a canonical request.
pub struct Canonical<'a> {
    /// The method.
    pub method: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The canonical query.
    pub query: &'a str,
    /// `name:value\n` per signed header.
    pub headers: &'a str,
    /// `a;b;c`.
    pub signed_headers: &'a str,
    /// The hash of the payload, or the word that stands for it.
    pub payload: &'a str,
}

impl Canonical<'_> {
    /// The canonical request.
    pub fn request(&self) -> String {
        let Canonical { method, path, query, headers, signed_headers, payload } = self;
        format!("{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload}")
    }
}

/// The string to sign for a canonical request.
pub fn string_to_sign(timestamp: &str, scope: &Scope, canonical_request: &str) -> String {
    let hash = sha256_hex(canonical_request.as_bytes());
    format!("AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{hash}")
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// A header's value as SigV4 counts it: trimmed, runs of spaces as one.
pub fn canonical_value(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for word in value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out
}
