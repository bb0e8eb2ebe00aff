//! Files of keys for objects: read as what they are, or refused.
#![no_main]

use consign_seal::s3ec::{AesKey, RsaPrivateKey, RsaPublicKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = AesKey::parse(bytes) {
        assert!(AesKey::parse(key.to_secret_bytes().as_slice()).is_ok());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = RsaPublicKey::from_pem(text);
        let _ = RsaPrivateKey::from_pem(text);
    }
});
