//! An archive as somebody with the public key can seal it: one file comes out, whole, or nothing.
#![no_main]

use consign_s3s2::unpack;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut content = Vec::new();
    if let Ok(found) = unpack(bytes, &mut content, 100) {
        assert_eq!(found.bytes, content.len() as u64);
    }
});
