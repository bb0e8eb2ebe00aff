//! Keys that somebody pasted: recipients, identities, files of either, SSH keys among them.
#![no_main]

use consign_seal::age::{
    Identity, Recipient, parse_identities, parse_identity_file, parse_recipients,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_identities(bytes, None);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = parse_identity_file(text);
    let _ = parse_recipients(text);
    if let Ok(recipient) = Recipient::parse(text) {
        let again = Recipient::parse(&recipient.to_string()).unwrap();
        assert!(again == recipient);
    }
    if let Ok(identity) = Identity::parse(text) {
        let again = Identity::parse(&identity.secret_text()).unwrap();
        assert_eq!(again.secret_text(), identity.secret_text());
    }
});
