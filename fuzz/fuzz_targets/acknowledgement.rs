//! An acknowledgement as a hostile consumer could sign it: what passes reads as it is written.
#![no_main]

use consign_model::Acknowledgement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(said) = Acknowledgement::parse(bytes) {
        assert_eq!(Acknowledgement::parse(&said.to_bytes()).unwrap(), said);
    }
});
