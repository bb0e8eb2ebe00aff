//! A message under a passphrase: the packets that say how the passphrase becomes a key. What takes long by
//! intention is left out (Argon2, and more than 64 KiB hashed): it would be measured here.
#![no_main]

use consign_seal::openpgp::{self, OpenOptions, OpenWith};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let argon2 = |start: &[u8]| matches!(start[0], 4..=6) && start[1..6].contains(&4);
    // Version, cipher, kind, hash, salt, count; or a length, a mode and another length before the kind.
    let slow = |kind: u8, count: u8| kind == 3 && count > 0x60;
    let v4 = |start: &[u8]| start[0] == 4 && slow(start[2], start[12]);
    let v6 = |start: &[u8]| matches!(start[0], 5 | 6) && slow(start[5], start[15]);
    if bytes.windows(16).any(|start| argon2(start) || v4(start) || v6(start)) {
        return;
    }
    let mut options = OpenOptions::at(1_800_000_000);
    options.expansion = openpgp::Expansion { free_bytes: 1 << 20, factor: 16 };
    options.allow_weak = true;
    let _ = openpgp::open_all(OpenWith::passphrase(&[], "correct horse"), &[], bytes, &options);
});
