//! What the tests of this crate share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

/// A file or folder of the material that lies beside the workspace, if it is there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    path.exists().then_some(path)
}

pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A ramp with a prime period: a misplaced chunk is visible, because 251 divides no power of two.
pub(crate) fn ramp(length: usize) -> Vec<u8> {
    (0..251u8).cycle().take(length).collect()
}
