//! A folder of a person who has no exchange: home and everything in one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{both, consign, succeed};

pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        // Short: GnuPG's sockets lie in it.
        Desk { folder: tempfile::Builder::new().prefix("desk-").tempdir_in("/tmp").unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A file that nobody else reads.
    pub(crate) fn secret(&self, name: &str, content: &[u8]) {
        self.file(name, content);
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// What lies in the folder, to see that nothing is left behind.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn consign(&self, arguments: &[&str]) -> Command {
        let mut command = consign();
        command.args(arguments).current_dir(self.folder.path()).env("HOME", self.folder.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.consign(arguments))
    }

    /// Fails with this exit code; all that it said.
    pub(crate) fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.consign(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "consign {arguments:?}: {}", both(&output));
        both(&output)
    }
}
