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

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const HOST: &str = "host:examplebucket.s3.amazonaws.com\n";

    /// The examples in the S3 API reference, "Signature calculations".
    #[test]
    fn published_examples_have_their_published_signatures() {
        let sha = |hash: &str| format!("x-amz-content-sha256:{hash}\n");
        let date = "x-amz-date:20130524T000000Z\n";
        let body = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let presigned = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F\
                         20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&\
                         X-Amz-Expires=86400&X-Amz-SignedHeaders=host";
        let plain = "host;x-amz-content-sha256;x-amz-date";
        let cases = [
            (
                ("GET", "/test.txt", ""),
                format!("{HOST}range:bytes=0-9\n{}{date}", sha(EMPTY_SHA256)),
                "host;range;x-amz-content-sha256;x-amz-date",
                EMPTY_SHA256,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                ("PUT", "/test%24file.text", ""),
                format!(
                    "date:Fri, 24 May 2013 00:00:00 GMT\n{HOST}{}{date}\
                     x-amz-storage-class:REDUCED_REDUNDANCY\n",
                    sha(body)
                ),
                "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                body,
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                ("GET", "/", "lifecycle="),
                format!("{HOST}{}{date}", sha(EMPTY_SHA256)),
                plain,
                EMPTY_SHA256,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                ("GET", "/", "max-keys=2&prefix=J"),
                format!("{HOST}{}{date}", sha(EMPTY_SHA256)),
                plain,
                EMPTY_SHA256,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
            (
                ("GET", "/test.txt", presigned),
                HOST.to_owned(),
                "host",
                "UNSIGNED-PAYLOAD",
                "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
            ),
        ];
        let scope = Scope {
            date: "20130524".to_owned(),
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
        };
        let key = SigningKey::derive(SECRET, &scope);
        for ((method, path, query), headers, signed_headers, payload, published) in cases {
            let canonical =
                Canonical { method, path, query, headers: &headers, signed_headers, payload };
            let text = string_to_sign("20130524T000000Z", &scope, &canonical.request());
            assert_eq!(key.sign(&text), published, "{method} {path}?{query}");
            assert!(key.verify(&text, published));
        }
    }

    #[test]
    fn runs_of_spaces_count_once() {
        for (raw, counted) in
            [("", ""), (" a ", "a"), ("a  b\t c", "a b c"), ("\"a  b\"", "\"a b\"")]
        {
            assert_eq!(canonical_value(raw.as_bytes()), counted.as_bytes(), "{raw:?}");
        }
    }
}
