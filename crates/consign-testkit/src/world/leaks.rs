//! The search for what must never be written anywhere.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::payload::contains;

/// Lines that somebody could read: what the cloud logged, what a test saw.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(super) fn push(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }
}

/// Bytes to look for, and what they are called in a finding: it must not repeat them.
pub(super) struct Secret {
    what: &'static str,
    bytes: Vec<u8>,
}

impl Secret {
    pub(super) fn new(what: &'static str, text: &str) -> Secret {
        Secret { what, bytes: text.as_bytes().to_vec() }
    }
}

/// Goes through folders and lines and collects what it finds.
pub(super) struct Search {
    secrets: Vec<Secret>,
    findings: Vec<String>,
}

/// How much of a file is held at once.
const BLOCK_BYTES: usize = 1 << 20;

impl Search {
    pub(super) fn new(secrets: Vec<Secret>) -> Search {
        // An empty secret would be everywhere, and its search would prove nothing.
        assert!(secrets.iter().all(|secret| secret.bytes.len() >= 16));
        Search { secrets, findings: Vec::new() }
    }

    pub(super) fn findings(self) -> Vec<String> {
        self.findings
    }

    pub(super) fn log(&mut self, log: &Log) {
        for line in log.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for secret in &self.secrets {
                if contains(line.as_bytes(), &secret.bytes) {
                    self.findings.push(format!("{} in a log line or error", secret.what));
                }
            }
        }
    }

    /// Every file below the folder, names included.
    pub(super) fn folder(&mut self, called: &str, folder: &Path) {
        let mut open = vec![folder.to_path_buf()];
        while let Some(next) = open.pop() {
            let Ok(entries) = fs::read_dir(&next) else { continue };
            for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
                let shown = path.strip_prefix(folder).unwrap_or(&path).to_path_buf();
                for secret in &self.secrets {
                    if contains(shown.as_os_str().as_encoded_bytes(), &secret.bytes) {
                        self.findings.push(format!("{} in a file name in {called}", secret.what));
                    }
                }
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                } else {
                    self.file(called, &path, &shown);
                }
            }
        }
    }

    /// Block by block, with as much overlap as the longest secret needs. A disk's image is mostly holes,
    /// in which nothing begins or goes on.
    fn file(&mut self, called: &str, path: &PathBuf, shown: &Path) {
        let Ok(mut file) = fs::File::open(path) else { return };
        let overlap = self.secrets.iter().map(|secret| secret.bytes.len()).max().unwrap_or(0);
        let (mut held, mut block) = (Vec::new(), vec![0; BLOCK_BYTES]);
        let (mut found, hole) = (vec![false; self.secrets.len()], vec![0; BLOCK_BYTES]);
        while let Ok(read @ 1..) = file.read(&mut block) {
            if block.get(..read) == hole.get(..read) {
                held.clear();
                continue;
            }
            held.extend_from_slice(block.get(..read).unwrap_or_default());
            for (secret, found) in self.secrets.iter().zip(&mut found) {
                *found |= contains(&held, &secret.bytes);
            }
            held.drain(..held.len().saturating_sub(overlap));
        }
        for (secret, _) in self.secrets.iter().zip(found).filter(|(_, found)| *found) {
            self.findings.push(format!("{} in {called}: {}", secret.what, shown.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "a-mark-that-is-long-enough";

    /// What is found in a folder with one file.
    fn check(name: &str, content: &[u8], expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep").join(name), content).unwrap();
        let mut search = Search::new(vec![Secret::new("a mark", MARK)]);
        search.folder("the test", folder.path());
        assert_eq!(search.findings(), expected);
    }

    #[test]
    fn a_mark_is_found_wherever_it_lies() {
        let found = ["a mark in the test: deep/file"];
        check("file", b"nothing here", &[]);
        check("file", MARK.as_bytes(), &found);
        let across: Vec<u8> =
            [vec![b'a'; BLOCK_BYTES - 5], MARK.as_bytes().to_vec(), vec![0; 10]].concat();
        check("file", &across, &found);
        check("file", &[vec![0; BLOCK_BYTES + 7], MARK.as_bytes().to_vec()].concat(), &found);
        check(MARK, b"", &["a mark in a file name in the test"]);
    }

    #[test]
    fn a_mark_in_a_line_is_found_and_not_repeated() {
        let log = Log::default();
        log.push(&format!("error: {MARK}"));
        let mut search = Search::new(vec![Secret::new("a mark", MARK)]);
        search.log(&log);
        assert_eq!(search.findings(), ["a mark in a log line or error"]);
    }
}
