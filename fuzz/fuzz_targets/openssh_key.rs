//! A private key file that somebody else's tool wrote.
#![no_main]

use consign_seal::sshsig::SigningKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(key) = SigningKey::from_openssh(text) {
        let again = SigningKey::from_openssh(&key.to_openssh_private("comment")).unwrap();
        assert_eq!(again.public_line("x"), key.public_line("x"));
    }
});
