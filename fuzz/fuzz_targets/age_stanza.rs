//! What a plugin answers: a stanza that is read is one that would have been written.
#![no_main]

use consign_seal::age::Stanza;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((stanza, used))) = Stanza::read(bytes) {
        assert_eq!(stanza.to_text().as_bytes(), &bytes[..used]);
    }
});
