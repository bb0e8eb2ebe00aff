//! The journal of a transfer: a file of one JSON event a line, only ever appended to. A kill may
//! tear the last line; it is cut off when the file is opened again. Anything else that does not
//! parse is an error, because continuing from half a memory could seal two texts under one nonce.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::download::machine::Event as DownloadEvent;
use crate::error::{Error, ErrorKind};
use crate::upload::machine::Event as UploadEvent;

/// Journal of an upload.
pub type UploadJournal = Journal<UploadEvent>;
/// Journal of a download.
pub type DownloadJournal = Journal<DownloadEvent>;

/// Events on disk, or only in memory.
#[derive(Debug)]
pub struct Journal<E> {
    events: Vec<E>,
    file: Option<File>,
}

impl<E: Serialize + DeserializeOwned + Clone> Journal<E> {
    /// Opens the journal at `path`, or makes one (mode 0600).
    ///
    /// # Errors
    /// [`ErrorKind::Journal`] when it cannot be read, or holds anything that is not an event.
    pub fn open(path: &Path) -> Result<Journal<E>, Error> {
        let failed = |error: std::io::Error| {
            let context = format!("the journal {} cannot be opened", path.display());
            Error::caused(ErrorKind::Journal, context, error)
        };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (events, good_bytes) = parse(&bytes).map_err(|error| error.in_journal(path))?;
        if good_bytes < bytes.len() {
            file.set_len(good_bytes as u64).map_err(failed)?;
            file.seek(SeekFrom::End(0)).map_err(failed)?;
        }
        Ok(Journal { events, file: Some(file) })
    }

    /// A journal that dies with the program: the transfer cannot be continued, and an upload that
    /// fails is aborted.
    pub fn in_memory() -> Journal<E> {
        Journal { events: Vec::new(), file: None }
    }

    /// Events of earlier runs, oldest first, then those of this one.
    pub fn events(&self) -> &[E] {
        &self.events
    }

    /// True when another run could continue from here.
    pub fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    /// Appends an event. It survives the death of the process; [`sync`](Self::sync) makes it
    /// survive that of the machine.
    pub(crate) fn append(&mut self, event: E) -> Result<(), Error> {
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&event)
                .map_err(|error| write_failed(std::io::Error::other(error)))?;
            line.push(b'\n');
            // One write: a line is whole or torn at the end, never interleaved.
            file.write_all(&line).map_err(write_failed)?;
        }
        self.events.push(event);
        Ok(())
    }

    /// Forgets everything: the next run begins anew.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        self.events.clear();
        if let Some(file) = &mut self.file {
            file.set_len(0).map_err(write_failed)?;
        }
        Ok(())
    }

    /// Another handle on the file, to sync it from a thread that may block.
    pub(crate) fn sync_handle(&self) -> Result<Option<File>, Error> {
        self.file.as_ref().map(File::try_clone).transpose().map_err(write_failed)
    }
}

pub(crate) fn write_failed(error: std::io::Error) -> Error {
    Error::caused(ErrorKind::Journal, "the journal cannot be written", error)
}

struct BadLine {
    number: usize,
    error: serde_json::Error,
}

impl BadLine {
    fn in_journal(self, path: &Path) -> Error {
        let context = format!("line {} of the journal {} is damaged", self.number, path.display());
        Error::caused(ErrorKind::Journal, context, self.error)
    }
}

/// The events, and how many bytes they take: what follows is a torn line.
fn parse<E: DeserializeOwned>(bytes: &[u8]) -> Result<(Vec<E>, usize), BadLine> {
    let mut events = Vec::new();
    let mut good_bytes = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(text) = line.strip_suffix(b"\n") else { break };
        match serde_json::from_slice(text) {
            Ok(event) => events.push(event),
            // After a power cut a file system may have the length of a last line but not its
            // bytes: a last line is torn even when it ends.
            Err(_) if good_bytes + line.len() == bytes.len() => break,
            Err(error) => return Err(BadLine { number: index + 1, error }),
        }
        good_bytes += line.len();
    }
    Ok((events, good_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Journal<u32>;

    fn check(content: &str, expected: Result<&[u32], usize>) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("journal");
        std::fs::write(&path, content).expect("write");
        match (Numbers::open(&path), expected) {
            (Ok(mut journal), Ok(events)) => {
                assert_eq!(journal.events(), events, "{content:?}");
                journal.append(99).expect("append");
                drop(journal);
                let again = Numbers::open(&path).expect("open again");
                assert_eq!(again.events(), [events, &[99]].concat(), "{content:?}");
            }
            (Err(error), Err(line)) => {
                assert_eq!(error.kind(), ErrorKind::Journal);
                assert!(error.to_string().contains(&format!("line {line} ")), "{error}");
            }
            (got, _) => panic!("{content:?}: {got:?}"),
        }
    }

    #[test]
    fn torn_last_lines_are_cut_and_others_refused() {
        check("", Ok(&[]));
        check("1\n2\n", Ok(&[1, 2]));
        check("1\n2", Ok(&[1]));
        check("1\n{\"a\":", Ok(&[1]));
        check("1\n\0\0\0\n", Ok(&[1]));
        check("1\nx\n3\n", Err(2));
        check("\n1\n", Err(1));
    }

    #[cfg(unix)]
    #[test]
    fn others_cannot_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("journal");
        drop(Numbers::open(&path).expect("open"));
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
