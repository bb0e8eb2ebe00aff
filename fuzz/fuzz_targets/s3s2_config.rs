//! A configuration file as a partner sends it: what is read is written and read again as the same.
#![no_main]

use consign_s3s2::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = Config::parse(bytes) {
        let again = Config::parse(config.to_text().unwrap().as_bytes()).unwrap();
        assert_eq!(again.to_text().unwrap(), config.to_text().unwrap());
    }
});
