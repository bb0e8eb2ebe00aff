//! Keys that somebody pasted: recipients, identities, identity files.
#![no_main]

use consign_seal::age::{Identity, Recipient, parse_identity_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Recipient::parse(text);
    let _ = parse_identity_file(text);
    if let Ok(identity) = Identity::parse(text) {
        let again = Identity::parse(&identity.secret_text()).unwrap();
        assert_eq!(again.secret_text(), identity.secret_text());
    }
});
