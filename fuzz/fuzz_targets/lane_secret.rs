//! A lane's secret as somebody typed or sent it.
#![no_main]

use consign_seal::shared_secret::SharedSecret;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(secret) = SharedSecret::parse(text) {
        assert_eq!(*secret.to_text(), text.trim());
    }
});
