//! Keys that somebody sent: read, judged, sealed for, written again.
#![no_main]

use consign_seal::openpgp::{self, Certificate, SealOptions, SecretKey};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_800_000_000;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificates) = Certificate::parse(bytes) {
        for certificate in certificates {
            let _ = (certificate.user_ids(), certificate.check_signing(NOW));
            if certificate.encryption_keys(NOW).is_ok() {
                let _ = openpgp::seal_all(&[certificate], b"x", &SealOptions::at(NOW));
            }
        }
    }
    if let Ok(keys) = SecretKey::parse(bytes) {
        for mut key in keys {
            let _ = key.unlock("x");
            let _ = key.certificate().encryption_keys(NOW);
        }
    }
});
