//! What a sealed thing is, from any first bytes: always an answer, and the same from a prefix of
//! the length that is said to be enough.
#![no_main]

use consign_seal::sniff::{SNIFF_BYTES, sniff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let start = bytes.get(..SNIFF_BYTES).unwrap_or(bytes);
    if bytes.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
        assert_eq!(sniff(start), sniff(bytes));
    }
});
