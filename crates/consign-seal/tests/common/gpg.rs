//! GnuPG with a home of its own, for as long as a test takes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use consign_seal::openpgp::{Certificate, SecretKey};

use super::judge;

pub(crate) struct Gpg {
    program: PathBuf,
    home: tempfile::TempDir,
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

pub(crate) fn succeed(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let output = run(command, input);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {words}");
    output.stdout
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

impl Gpg {
    /// An empty home, or nothing (said visibly) where there is no GnuPG.
    pub(crate) fn new() -> Option<Gpg> {
        let program = judge("gpg")?;
        let home = tempfile::Builder::new().prefix("gpg").tempdir().expect("a folder");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let owner_only = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(home.path(), owner_only).expect("permissions");
        }
        Some(Gpg { program, home })
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--homedir").arg(self.home.path());
        command.args(["--batch", "--yes", "--no-tty", "--quiet", "--trust-model", "always"]);
        command.args(["--pinentry-mode", "loopback"]);
        command.args(arguments);
        command
    }

    pub(crate) fn succeed(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        succeed(&mut self.command(arguments), input)
    }

    /// Makes a key from lines as `gpg --full-generate-key --batch` reads them.
    pub(crate) fn generate(&self, name: &str, lines: &str) {
        let script = format!("%no-protection\n{lines}\nName-Real: {name}\n%commit\n");
        self.succeed(&["--full-generate-key"], script.as_bytes());
    }

    pub(crate) fn certificate(&self, name: &str) -> Certificate {
        let text = self.succeed(&["--armor", "--export", name], b"");
        let mut found = Certificate::parse(&text).expect("readable");
        assert_eq!(found.len(), 1, "one key of {name}");
        found.remove(0)
    }

    pub(crate) fn secret(&self, name: &str) -> SecretKey {
        let bytes = self.succeed(&["--export-secret-keys", name], b"");
        SecretKey::parse(&bytes).expect("readable").remove(0)
    }

    pub(crate) fn import(&self, key: &[u8]) {
        self.succeed(&["--import"], key);
    }
}

impl Drop for Gpg {
    /// Its agent would outlive the test.
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        command.arg("--homedir").arg(self.home.path()).args(["--kill", "all"]);
        drop(command.output());
    }
}

/// Kinds of key that people have, as GnuPG makes them.
pub(crate) const KINDS: [(&str, &str); 6] = [
    ("rsa2048", "Key-Type: RSA\nKey-Length: 2048\nSubkey-Type: RSA\nSubkey-Length: 2048"),
    ("rsa4096", "Key-Type: RSA\nKey-Length: 4096\nSubkey-Type: RSA\nSubkey-Length: 4096"),
    ("cv25519", "Key-Type: EDDSA\nKey-Curve: ed25519\nSubkey-Type: ECDH\nSubkey-Curve: cv25519"),
    ("nistp256", "Key-Type: ECDSA\nKey-Curve: nistp256\nSubkey-Type: ECDH\nSubkey-Curve: nistp256"),
    ("nistp384", "Key-Type: ECDSA\nKey-Curve: nistp384\nSubkey-Type: ECDH\nSubkey-Curve: nistp384"),
    ("nistp521", "Key-Type: ECDSA\nKey-Curve: nistp521\nSubkey-Type: ECDH\nSubkey-Curve: nistp521"),
];
