//! What the tests of this crate share.

pub(crate) mod gpg;
pub(crate) mod s3ec;

#[cfg(feature = "openpgp")]
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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

/// A package of `cargo xtask judges` for node, or of the folder that `CONSIGN_NODE_MODULES` names;
/// says visibly which test goes without it.
pub(crate) fn node_package(name: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/node_modules");
    let folder = std::env::var_os("CONSIGN_NODE_MODULES").map_or(ours, PathBuf::from);
    let package = folder.join(name).canonicalize().ok();
    if package.is_none() {
        let thread = std::thread::current();
        eprintln!(
            "SKIPPED {}: the npm package {name} is missing",
            thread.name().unwrap_or("a test")
        );
    }
    package
}

/// A Python that has this module: that of `cargo xtask judges`, or the one on PATH; says visibly which
/// test goes without it.
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin/python");
    let found = [judges, PathBuf::from("python3")].into_iter().find(|python| {
        let check = Command::new(python).args(["-c", &format!("import {module}")]).output();
        check.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        let thread = std::thread::current();
        eprintln!("SKIPPED {}: {module} is missing", thread.name().unwrap_or("a test"));
    }
    found
}

/// Runs a program with `input` on its standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the judge starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A judge that fails early closes the pipe: then its own words matter, not ours.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the judge ends");
    feeder.join().expect("fed");
    output
}

/// The same, and its standard output; what does not succeed fails the test in its own words.
pub(crate) fn succeed(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let output = run(command, input);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {words}");
    output.stdout
}

/// Writes a file that only its owner reads.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let owner_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, owner_only).expect("permissions");
    }
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
