//! A sealed file and key files as strangers write them.
#![no_main]

use std::sync::LazyLock;

use consign_seal::s3s2::{PublicKey, SecretKey, describe, open};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<Vec<SecretKey>> = LazyLock::new(|| {
    SecretKey::parse(include_bytes!("../../crates/consign-seal/tests/s3s2/go.privkey")).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let _ = PublicKey::parse(bytes, 1_800_000_000);
    let _ = SecretKey::parse(bytes);
    let _ = describe(bytes);
    let _ = open(bytes, &mut std::io::sink(), &KEYS);
});
