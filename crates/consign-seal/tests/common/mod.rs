//! What the tests of this crate share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

#[cfg(feature = "openpgp")]
pub(crate) mod gpg;

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use consign_seal::age::{
    self, CHUNK_BYTES, HeaderRead, Identity, NONCE_BYTES, Opener, SEALED_CHUNK_BYTES,
};

/// Content lengths around every edge there is: none, one, a tag, a chunk and its neighbours, two.
pub(crate) const EDGE_LENGTHS: [usize; 14] = [
    0,
    1,
    15,
    16,
    17,
    CHUNK_BYTES - 17,
    CHUNK_BYTES - 16,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    SEALED_CHUNK_BYTES,
    2 * CHUNK_BYTES,
    2 * CHUNK_BYTES + 1,
    5 * CHUNK_BYTES + 4321,
];

/// A file or folder of the material that lies beside the workspace, if it is there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    path.exists().then_some(path)
}

/// The program of this name on PATH; says visibly which test goes without it.
pub(crate) fn judge(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&paths).map(|path| path.join(name)).find(|path| path.is_file());
    if found.is_none() {
        let thread = std::thread::current();
        eprintln!("SKIPPED {}: {name} is missing", thread.name().unwrap_or("a test"));
    }
    found
}

pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A ramp with a prime period: a misplaced chunk is visible, because 251 divides no power of two.
pub(crate) fn ramp(length: usize) -> Vec<u8> {
    (0..251u8).cycle().take(length).collect()
}

/// Where the chunks begin, and what opens them.
pub(crate) fn opener(identity: &Identity, sealed: &[u8]) -> (usize, Opener) {
    let Ok(HeaderRead::Done(header, length)) = age::read_header(sealed) else {
        unreachable!("only for what was sealed here")
    };
    let nonce = sealed[length..].first_chunk().expect("a nonce");
    let opener = header.open(std::slice::from_ref(identity), nonce).expect("sealed for it");
    (length + NONCE_BYTES, opener)
}
