//! A signature from a bucket, over a message that the signer never saw: never accepted.
#![no_main]

use consign_seal::sshsig::{self, VerifyingKey};
use libfuzzer_sys::fuzz_target;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBn5B1qu4Y1ZyxuYVd4Zo2eMGAYxkBNZFHoWsX2Q4h1g";

fuzz_target!(|text: &str| {
    let keys: Vec<_> = VerifyingKey::parse(KEY).into_iter().collect();
    assert!(sshsig::verify(&keys, "consign-manifest", b"message", text).is_err());
    let _ = VerifyingKey::parse(text);
});
