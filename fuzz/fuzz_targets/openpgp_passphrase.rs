//! A message under a passphrase: the packets that say how the passphrase becomes a key. Argon2, whose
//! memory the message chooses up to 2 GiB, is left out: it would be measured here, not the parser.
#![no_main]

use consign_seal::openpgp::{self, OpenOptions, OpenWith};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if bytes.windows(6).any(|start| matches!(start[0], 4..=6) && start[1..].contains(&4)) {
        return;
    }
    let mut options = OpenOptions::at(1_800_000_000);
    options.expansion = openpgp::Expansion { free_bytes: 1 << 20, factor: 16 };
    for allow_weak in [false, true] {
        options.allow_weak = allow_weak;
        let _ = openpgp::open_all(OpenWith::passphrase(&[], "correct horse"), &[], bytes, &options);
    }
});
