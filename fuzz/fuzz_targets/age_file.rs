//! Whatever lies in a bucket under the name of an age file opens, or ends in an error.
#![no_main]

use consign_seal::age::{self, HeaderRead, Identity};
use libfuzzer_sys::fuzz_target;

const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

/// The example of age.md.
const HYBRID: &str =
    "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR";

fuzz_target!(|bytes: &[u8]| {
    let Ok(identity) = Identity::parse(IDENTITY) else { return };
    let Ok(hybrid) = Identity::parse(HYBRID) else { return };
    if let Ok(HeaderRead::Done(header, used)) = age::read_header(bytes) {
        assert!(used <= bytes.len());
        let nonce = bytes.get(used..used + 16).and_then(|nonce| nonce.try_into().ok());
        if let Some(nonce) = nonce {
            let _ = header.open(&[Identity::parse(IDENTITY).unwrap()], nonce);
        }
    }
    let _ = age::open_all(&[identity, hybrid], bytes);
});
