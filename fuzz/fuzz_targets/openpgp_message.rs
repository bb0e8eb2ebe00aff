//! Whatever lies in a bucket under the name of an OpenPGP message opens, or ends in an error.
#![no_main]

use std::sync::OnceLock;

use consign_seal::openpgp::{self, OpenOptions, SecretKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static KEYS: OnceLock<Vec<SecretKey>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        SecretKey::parse(include_bytes!("../seeds/openpgp_certificate/secret.asc")).unwrap()
    });
    let mut options = OpenOptions::at(1_800_000_000);
    options.expansion = openpgp::Expansion { free_bytes: 1 << 20, factor: 16 };
    let _ = openpgp::describe(bytes);
    for allow_weak in [false, true] {
        options.allow_weak = allow_weak;
        let signers = [keys[0].certificate()];
        let _ = openpgp::open_all(keys, &[], bytes, &options);
        let _ = openpgp::open_all(keys, &signers, bytes, &options);
    }
});
