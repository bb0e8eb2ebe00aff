//! What there is to send: regular files below the given paths, looked at once and pinned.
//!
//! Nothing is followed that is not itself in the tree: symbolic links, devices, sockets and pipes
//! are passed over and reported, because following them would send what nobody named. Every name
//! goes through [`RelativePath`], here as at the receiver. A file is pinned by device, inode, size
//! and time of change, and opened by [`Found::open`] only while it is still that file.

use crate::error::{Error, ErrorKind, Result, io};
use consign_model::{Limits, RelativePath};
use rustix::fs::{Mode, OFlags};
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files to send, sorted by their paths in the consignment.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) files: Vec<Found>,
    pub(crate) skipped: Vec<Skipped>,
}

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: RelativePath,
    pub(crate) source: PathBuf,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) executable: bool,
    pin: Pin,
}

/// What must stay the same while a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pin {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Something below a given path that is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub reason: &'static str,
}

/// Looks at everything below these paths.
///
/// A file goes by its own name, a folder by its own name with everything in it; plain `.`, `..` and
/// `/` have no name, so their content goes without one.
pub(crate) fn survey(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Survey> {
    let mut survey = Survey { files: Vec::new(), skipped: Vec::new() };
    for path in paths {
        survey.walk(path.as_ref())?;
    }
    survey.files.sort_by(|a, b| a.path.cmp(&b.path));
    survey.check()?;
    Ok(survey)
}

impl Survey {
    pub(crate) fn content_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Changes if any file to be sent does: an interrupted send goes on only with the same.
    pub(crate) fn fingerprint(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for file in &self.files {
            let Pin { device, inode, size, changed } = file.pin;
            hasher.update(file.path.as_str().as_bytes());
            hasher.update(&[0, u8::from(file.executable)]);
            for number in [device, inode, size, changed.0 as u64, changed.1 as u64] {
                hasher.update(&number.to_le_bytes());
            }
        }
        hasher.finalize()
    }

    fn walk(&mut self, top: &Path) -> Result<()> {
        // What is named on the command line is meant, so a link there is followed.
        let metadata = std::fs::metadata(top).map_err(io(ErrorKind::Source, "cannot read", top))?;
        let name = top.file_name().map(Path::new);
        if !metadata.is_dir() {
            let name = name.ok_or_else(|| {
                Error::new(ErrorKind::Source, format!("{} has no name", top.display()))
            })?;
            return self.add(top, name, &metadata);
        }
        let base = name.unwrap_or(Path::new(""));
        // With a slash at the end a link to a folder is walked, not passed over.
        for entry in walkdir::WalkDir::new(top.join("")).min_depth(1).follow_links(false) {
            let entry = entry.map_err(|error| {
                let place = error.path().unwrap_or(top).display().to_string();
                Error::new(ErrorKind::Source, format!("cannot read {place}")).because(error)
            })?;
            let metadata = entry.metadata().map_err(|error| {
                let place = entry.path().display();
                Error::new(ErrorKind::Source, format!("cannot read {place}")).because(error)
            })?;
            if metadata.is_dir() {
                // A manifest lists files only, so a folder without any would be lost silently.
                if std::fs::read_dir(entry.path()).is_ok_and(|mut inner| inner.next().is_none()) {
                    let path = entry.path().to_owned();
                    self.skipped.push(Skipped { path, reason: "an empty folder" });
                }
                continue;
            }
            let inner = entry.path().strip_prefix(top).unwrap_or(entry.path());
            self.add(entry.path(), &base.join(inner), &metadata)?;
        }
        Ok(())
    }

    fn add(&mut self, source: &Path, name: &Path, metadata: &Metadata) -> Result<()> {
        if let Some(reason) = not_a_file(metadata) {
            self.skipped.push(Skipped { path: source.to_owned(), reason });
            return Ok(());
        }
        self.files.push(Found {
            path: relative_path(source, name)?,
            source: source.to_owned(),
            size: metadata.len(),
            mtime: metadata.mtime(),
            executable: metadata.mode() & 0o100 != 0,
            pin: Pin::of(metadata),
        });
        match self.files.len() > Limits::default().files {
            true => Err(Error::new(
                ErrorKind::Source,
                "there are more than a million files; send them in several consignments, or as an \
                 archive",
            )),
            false => Ok(()),
        }
    }

    /// Two of the given paths may hold files of one name.
    fn check(&self) -> Result<()> {
        for (a, b) in self.files.iter().zip(self.files.iter().skip(1)) {
            if a.path == b.path {
                return Err(Error::new(
                    ErrorKind::Source,
                    format!(
                        "{} and {} would both be `{}` in the consignment; send them apart",
                        a.source.display(),
                        b.source.display(),
                        a.path
                    ),
                ));
            }
        }
        match self.files.is_empty() {
            true => Err(Error::new(ErrorKind::Source, "there is no file to send")),
            false => Ok(()),
        }
    }
}

impl Found {
    /// Opens the file, if it is still the one that was surveyed, whatever stands in its place.
    pub(crate) fn open(&self) -> Result<File> {
        // Not blocking, so that a pipe in its place does not hold us up before it is found out.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(&self.source, flags, Mode::empty())
            .map_err(|error| io(ErrorKind::Source, "cannot read", &self.source)(error.into()))?;
        let file = File::from(file);
        self.check_unchanged(&file)?;
        Ok(file)
    }

    /// An error if the open file is not, or no longer, as it was surveyed.
    pub(crate) fn check_unchanged(&self, file: &File) -> Result<()> {
        let metadata =
            file.metadata().map_err(io(ErrorKind::Source, "cannot read", &self.source))?;
        match Pin::of(&metadata) == self.pin {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    pub(crate) fn changed(&self) -> Error {
        let message = format!("{} changed while it was sent", self.source.display());
        Error::new(ErrorKind::SourceChanged, message)
            .hinting("run the same command again when nothing writes to the file")
    }
}

impl Pin {
    fn of(metadata: &Metadata) -> Pin {
        Pin {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

fn not_a_file(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_symlink() => Some("a symbolic link"),
        _ if kind.is_fifo() => Some("a named pipe"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

fn relative_path(source: &Path, name: &Path) -> Result<RelativePath> {
    let text = name.to_str().ok_or_else(|| {
        let message = format!("the name of {} is not UTF-8; rename it", source.display());
        Error::new(ErrorKind::Source, message)
    })?;
    RelativePath::parse(text).map_err(|error| {
        let message = format!(
            "{} cannot be sent under its name, which would be unsafe for some receiver; rename it",
            source.display()
        );
        Error::new(ErrorKind::Source, message).because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let top = dir.path().join("top");
        std::fs::create_dir_all(top.join("inner")).expect("folders");
        std::fs::write(top.join("b.txt"), "bb").expect("a file");
        std::fs::write(top.join("inner/a.sh"), "a").expect("a file");
        std::fs::set_permissions(top.join("inner/a.sh"), PermissionsExt::from_mode(0o755))
            .expect("executable");
        dir
    }

    fn names(survey: &Survey) -> Vec<&str> {
        survey.files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn folders_keep_their_name_and_files_theirs() {
        let dir = tree();
        let top = dir.path().join("top");
        let found = survey([&top]).expect("a survey");
        assert_eq!(names(&found), ["top/b.txt", "top/inner/a.sh"]);
        assert_eq!(found.files.iter().map(|f| f.executable).collect::<Vec<_>>(), [false, true]);
        let found =
            survey([top.join("b.txt"), dir.path().join("top/inner/a.sh")]).expect("a survey");
        assert_eq!(names(&found), ["a.sh", "b.txt"]);
        assert_eq!(found.content_bytes(), 3);
        let found = survey([top.join("b.txt")]).expect("a survey");
        assert_eq!(names(&found), ["b.txt"]);
        let link = dir.path().join("link");
        symlink(&top, &link).expect("a link");
        let found = survey([link]).expect("a link that is named is meant");
        assert_eq!(names(&found), ["link/b.txt", "link/inner/a.sh"]);
        for file in &found.files {
            file.open().expect("it is there");
        }
    }

    #[test]
    fn what_is_no_file_is_skipped_and_reported() {
        let dir = tree();
        let top = dir.path().join("top");
        symlink("/etc/passwd", top.join("inner/link")).expect("a link");
        symlink("..", top.join("loop")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(top.join("socket")).expect("a socket");
        std::fs::create_dir(top.join("nothing")).expect("a folder");
        let found = survey([top]).expect("a survey");
        assert_eq!(names(&found), ["top/b.txt", "top/inner/a.sh"]);
        let mut reasons: Vec<_> = found.skipped.iter().map(|s| s.reason).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["a socket", "a symbolic link", "a symbolic link", "an empty folder"]);
    }

    #[test]
    fn unsafe_and_double_names_are_refused() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tree();
        let top = dir.path().join("top");
        let inner = top.join("inner");
        let error = survey([&top, &inner.join("..").join("..").join("top")]).expect_err("twice");
        assert!(error.to_string().contains("send them apart"), "{error}");
        for name in ["a:b", "con", "trailing.", "new\nline"] {
            let path = inner.join(name);
            std::fs::write(&path, "x").expect("a file");
            let error = survey([&top]).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Source, "{name}");
            std::fs::remove_file(path).expect("removed");
        }
        std::fs::write(inner.join(std::ffi::OsStr::from_bytes(b"\xff")), "x").expect("a file");
        let error = survey([top]).expect_err("not UTF-8");
        assert!(error.to_string().contains("UTF-8"), "{error}");
        assert!(survey([dir.path().join("absent")]).is_err());
        std::fs::create_dir(dir.path().join("empty")).expect("a folder");
        assert!(survey([dir.path().join("empty")]).is_err());
    }

    #[test]
    fn a_changed_file_is_not_opened() {
        let dir = tree();
        let path = dir.path().join("top/b.txt");
        let found = survey([&path]).expect("a survey");
        let before = found.fingerprint();
        std::fs::write(&path, "longer").expect("a change");
        assert_eq!(found.files[0].open().expect_err("changed").kind(), ErrorKind::SourceChanged);
        assert_ne!(survey([&path]).expect("a survey").fingerprint(), before);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(found.files[0].open().expect_err("gone").kind(), ErrorKind::Source);
        symlink("/etc/passwd", &path).expect("a link");
        assert!(found.files[0].open().is_err(), "a link that took its place");
    }
}
