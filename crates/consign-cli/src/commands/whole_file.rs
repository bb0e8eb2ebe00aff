//! Output that has its final name only when it is whole: a temporary file in the same folder,
//! renamed at the end, or standard output.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::files::{fault_of_writing, folder_of};
use crate::error::CommandError;

/// Where the result of a command goes.
pub(crate) enum WholeFile {
    /// A file that has no name of its own yet.
    Pending {
        /// What is written to.
        file: tempfile::NamedTempFile,
        /// Its name in the end.
        path: PathBuf,
        /// Whether it may replace another.
        force: bool,
    },
    /// A pipe, or a terminal if the person says so.
    Stdout(io::Stdout),
}

impl WholeFile {
    /// `-` is standard output. A file that exists is refused before any work is done.
    pub(crate) fn create(path: &Path, force: bool) -> Result<WholeFile, CommandError> {
        if path == Path::new("-") {
            return Ok(WholeFile::Stdout(io::stdout()));
        }
        let there = std::fs::symlink_metadata(path).ok().map(|it| it.file_type());
        match there {
            // Renaming a file over a device would take the device away.
            Some(kind) if !kind.is_file() && !kind.is_symlink() => return Err(no_file(path, kind)),
            Some(_) if !force => return Err(exists(path)),
            _ => {}
        }
        let folder = folder_of(path);
        let file = tempfile::NamedTempFile::new_in(folder).map_err(|e| {
            let kind = fault_of_writing(&e);
            // The name that the file has until it is whole tells nobody anything.
            let cause = match e.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::from(e.kind()),
            };
            CommandError::new(kind, format!("cannot write into the folder {}", folder.display()))
                .caused_by(cause)
        })?;
        Ok(WholeFile::Pending { file, path: path.to_path_buf(), force })
    }

    /// Standard output, unless it is a terminal, which bytes of any kind could drive.
    pub(crate) fn piped() -> Result<WholeFile, CommandError> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(CommandError::usage("standard output is a terminal")
                .hint("name a file with -o FILE; -o - prints here all the same"));
        }
        Ok(WholeFile::Stdout(stdout))
    }

    /// Whether standard output is taken by the content.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, WholeFile::Stdout(_))
    }

    /// Gives the file another name than it was to have, which is known only now.
    pub(crate) fn finish_as(self, name: &Path, may_replace: bool) -> Result<(), CommandError> {
        match self {
            WholeFile::Pending { file, .. } => {
                WholeFile::Pending { file, path: name.to_path_buf(), force: may_replace }.finish()
            }
            stdout => stdout.finish(),
        }
    }

    /// Gives the file its name, once it is on the disk.
    pub(crate) fn finish(self) -> Result<(), CommandError> {
        match self {
            WholeFile::Stdout(mut stdout) => stdout
                .flush()
                .map_err(|e| CommandError::failed("cannot write to standard output").caused_by(e)),
            WholeFile::Pending { file, path, force } => {
                let cannot = |e: io::Error| {
                    CommandError::failed(format!("cannot write {}", path.display())).caused_by(e)
                };
                file.as_file().sync_all().map_err(cannot)?;
                let kept = match force {
                    true => file.persist(&path).map_err(|e| e.error),
                    false => file.persist_noclobber(&path).map_err(|e| e.error),
                };
                match kept {
                    Ok(_) => Ok(()),
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(exists(&path)),
                    Err(e) => Err(cannot(e)),
                }
            }
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            WholeFile::Pending { file, .. } => file.write(bytes),
            WholeFile::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            WholeFile::Pending { file, .. } => file.flush(),
            WholeFile::Stdout(stdout) => stdout.flush(),
        }
    }
}

fn no_file(path: &Path, kind: std::fs::FileType) -> CommandError {
    match kind.is_dir() {
        true => CommandError::usage(format!("{} is a folder", path.display()))
            .hint("name a file in it with -o FILE"),
        false => CommandError::usage(format!("{} is not a regular file", path.display()))
            .hint("-o - writes to standard output, which a shell leads anywhere"),
    }
}

fn exists(path: &Path) -> CommandError {
    CommandError::usage(format!("{} exists already", path.display()))
        .hint("name another with -o FILE, or replace it with --force")
}
