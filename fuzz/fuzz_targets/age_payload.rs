//! A sealed file with any change at all either fails to open or was not changed: no plaintext ever
//! comes out that did not go in. The input says what to seal and what to do to it.
#![no_main]

use std::sync::OnceLock;

use consign_seal::age::{self, Identity};
use libfuzzer_sys::fuzz_target;

/// Kind of change, position, amount, and how long the content is.
type Input = (u8, u32, u32, u32);

fuzz_target!(|input: Input| {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    let identity = IDENTITY.get_or_init(|| Identity::generate().unwrap());
    let (kind, at, amount, bytes) = input;
    // Mostly small: for a whole chunk that does not open, thousands of reasons are tried.
    let (bytes, reach) =
        if bytes % 256 == 255 { (bytes % 200_000, 140_000) } else { (bytes % 1000, 500) };
    let plain: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    let sealed = age::seal_all(&[identity.to_recipient()], &plain).unwrap();
    let mut changed = sealed.clone();
    let at = at as usize % changed.len();
    let amount = amount as usize % reach;
    match kind % 5 {
        0 => changed[at] ^= (amount % 255) as u8 + 1,
        1 => changed.truncate(at),
        2 => changed.extend(std::iter::repeat_n(7, amount + 1)),
        3 => drop(changed.drain(at..(at + amount).min(sealed.len()))),
        _ => {
            // A piece of the file where another belongs.
            let end = (at + amount).min(changed.len());
            let piece = changed[at..end].to_vec();
            changed.splice(0..0, piece);
        }
    }
    let identities = [Identity::parse(&identity.secret_text()).unwrap()];
    if let Ok(opened) = age::open_all(&identities, &changed) {
        assert!(changed == sealed, "a changed file opened");
        assert!(opened == plain);
    }
});
