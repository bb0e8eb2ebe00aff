//! Where a share is collected: in a folder of its own, then under final names.
//!
//! ```text
//! INTO/.consign-s3s2-….partial/    sealed files and content, ours alone (0700)
//! INTO/decrypted/NAME              where s3s2 puts its files
//! INTO/.consign-FOLDER.partial/    the same for a share with a folder of its own
//! INTO/FOLDER/NAME
//! ```
//!
//! A file gets its final name when every file of the share is complete. If the folder is not there yet
//! it appears by one rename; else the files are moved into it one by one, and nothing that is there
//! already is replaced. The partial folder goes away with the value, whatever happened.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use consign_model::RelativePath;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::error::{Error, ErrorKind, Result};

/// The folder that `s3s2 decrypt` makes.
const FINAL: &str = "decrypted";
const CONTENT: &str = "content";
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(crate) struct Landing {
    into: PathBuf,
    folder: String,
    partial: TempDir,
    // By what it is and not by its name: whoever removes it and makes another must not have his half
    // share committed.
    opened: OwnedFd,
    content: OwnedFd,
}

impl Landing {
    /// Makes the folder, if it is not there, and the partial folder in it. With a folder of its own for
    /// the share, what an earlier run left of it is removed: the caller sees to it that there is one at a
    /// time.
    pub(crate) fn new(into: &Path, own: Option<&str>) -> Result<Landing> {
        let failed = |error| {
            let text = format!("cannot collect into {}", into.display());
            Error::new(ErrorKind::Destination, text).because(error)
        };
        std::fs::create_dir_all(into).map_err(failed)?;
        let mut name = tempfile::Builder::new();
        let beginning = format!(".consign-{}", own.unwrap_or("s3s2-"));
        name.prefix(&beginning).suffix(".partial");
        if own.is_some() {
            name.rand_bytes(0);
            // An error means that there is none, or shows when the folder is made.
            let _ = std::fs::remove_dir_all(into.join(format!("{beginning}.partial")));
        }
        let partial = name
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(into)
            .map_err(failed)?;
        let opened = rustix::fs::openat(CWD, partial.path(), FOLDER, Mode::empty());
        let opened = opened.map_err(|error| failed(error.into()))?;
        let content = enter(&opened, CONTENT, partial.path())?;
        let folder = own.unwrap_or(FINAL).to_owned();
        Ok(Landing { into: into.to_owned(), folder, partial, opened, content })
    }

    /// A nameless file in the partial folder, to read and write.
    pub(crate) fn spool(&self) -> Result<File> {
        tempfile::tempfile_in(self.partial.path()).map_err(|e| cannot(self.partial.path(), e))
    }

    /// The file that will have this name.
    pub(crate) fn create(&self, name: &RelativePath) -> Result<File> {
        let path = self.partial.path().join(CONTENT).join(name.as_str());
        let (folder, own) = parent(&self.content, name, &path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        // The umask takes from this what the person has chosen.
        let opened = rustix::fs::openat(&folder, &own, flags, Mode::from_raw_mode(0o666));
        opened.map(File::from).map_err(|error| cannot(&path, error.into()))
    }

    /// Gives every file its final name, or says what is in the way. Gives the folder.
    ///
    /// # Errors
    /// Before the first file was moved, when another file has one of the names. In the middle, when the
    /// disk fails: then some files have their names, all of them complete, and a second run moves the rest.
    pub(crate) fn commit(&self, names: &[(RelativePath, [u8; 32])]) -> Result<PathBuf> {
        let name = self.folder.as_str();
        let target = self.into.join(name);
        let failed = |error: Errno| cannot(&target, error.into());
        // One call for everything: a sync of each file costs a disk's turn per small file.
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&self.content).map_err(failed)?;
        let into = rustix::fs::openat(CWD, &self.into, FOLDER, Mode::empty()).map_err(failed)?;
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(&self.opened, CONTENT, &into, name, flags) {
            Ok(()) => {}
            // It is there already, or the file system cannot promise not to replace it.
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                let there = enter(&into, name, &target)?;
                self.merge(&there, &target, names)?;
            }
            Err(error) => return Err(failed(error)),
        }
        rustix::fs::fsync(&into).map_err(failed)?;
        Ok(target)
    }

    fn merge(
        &self,
        there: &OwnedFd,
        target: &Path,
        names: &[(RelativePath, [u8; 32])],
    ) -> Result<()> {
        let mut moves = Vec::new();
        for (name, sha256) in names {
            let path = target.join(name.as_str());
            let (folder, own) = parent(there, name, &path)?;
            match rustix::fs::statat(&folder, own.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => moves.push((name, path)),
                Err(error) => return Err(cannot(&path, error.into())),
                Ok(_) if is_same(&folder, &own, sha256) => {}
                Ok(_) => {
                    let text = format!("another file is in the way: {}", path.display());
                    return Err(Error::new(ErrorKind::Destination, text)
                        .hinting("move it away, or collect into another folder"));
                }
            }
        }
        for (name, path) in moves {
            let (folder, own) = parent(there, name, &path)?;
            rename_new(&self.content, name.as_str(), &folder, &own)
                .map_err(|error| cannot(&path, error.into()))?;
        }
        Ok(())
    }
}

/// The folder of a name, made where it is missing, and the last part.
fn parent(top: &OwnedFd, name: &RelativePath, shown: &Path) -> Result<(OwnedFd, String)> {
    let mut folder = top.try_clone().map_err(|error| cannot(shown, error))?;
    let mut segments: Vec<&str> = name.segments().collect();
    let own = segments.pop().unwrap_or_default();
    for segment in segments {
        folder = enter(&folder, segment, shown)?;
    }
    Ok((folder, own.to_owned()))
}

/// Opens a folder, never through a link, making it if it is not there.
fn enter(folder: &OwnedFd, name: &str, shown: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(folder, name, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::NOENT) => match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => open(),
            Err(error) => Err(error),
        },
        opened => opened,
    };
    opened.map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR => {
            let text = format!(
                "something is in the way (a link is never followed) at {}",
                shown.display()
            );
            Error::new(ErrorKind::Destination, text)
        }
        error => cannot(shown, error.into()),
    })
}

/// Whether a regular file of this content is there: an earlier batch brought the same.
fn is_same(folder: &OwnedFd, name: &str, sha256: &[u8; 32]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else { return false };
    let regular = rustix::fs::fstat(file.as_fd())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    let mut file = File::from(file);
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return regular && context.finish().as_ref() == sha256,
            Ok(read) if regular => context.update(buffer.get(..read).unwrap_or_default()),
            _ => return false,
        }
    }
}

/// Renames without replacing anything.
fn rename_new(from: &OwnedFd, old: &str, folder: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(from, old, folder, name, RenameFlags::NOREPLACE) {
        // Some file systems cannot promise it; a link can.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::linkat(from, old, folder, name, AtFlags::empty())
        }
        renamed => renamed,
    }
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Destination, format!("cannot write {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn land(into: &Path, files: &[(&str, &str)]) -> Result<PathBuf> {
        let landing = Landing::new(into, None)?;
        let names = files.iter().map(|(name, content)| {
            let name = RelativePath::parse(name).unwrap();
            landing.create(&name).unwrap().write_all(content.as_bytes()).unwrap();
            let digest = aws_lc_rs::digest::digest(&SHA256, content.as_bytes());
            (name, digest.as_ref().try_into().unwrap())
        });
        landing.commit(&names.collect::<Vec<_>>())
    }

    fn entries(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn files_appear_beside_those_of_an_earlier_batch() {
        let into = tempfile::tempdir().unwrap();
        let target = land(into.path(), &[("m.csv", "meta"), ("a/1", "one")]).unwrap();
        assert_eq!(land(into.path(), &[("m.csv", "meta"), ("a/2", "two")]).unwrap(), target);
        for (name, content) in [("m.csv", "meta"), ("a/1", "one"), ("a/2", "two")] {
            assert_eq!(std::fs::read_to_string(target.join(name)).unwrap(), content);
        }
        assert_eq!(entries(into.path()), 1, "no partial folder is left");
    }

    #[test]
    fn a_folder_that_somebody_else_began_anew_is_not_committed() {
        let into = tempfile::tempdir().unwrap();
        let name = RelativePath::parse("a").unwrap();
        let first = Landing::new(into.path(), Some("share")).unwrap();
        first.create(&name).unwrap().write_all(b"first").unwrap();
        let second = Landing::new(into.path(), Some("share")).unwrap();
        second.create(&name).unwrap().write_all(b"half").unwrap();
        first.commit(&[(name, [0; 32])]).unwrap_err();
        assert!(!into.path().join("share").exists());
        drop((first, second));
        assert_eq!(entries(into.path()), 0, "no partial folder is left");
    }

    #[test]
    fn nothing_is_replaced_and_no_link_is_followed() {
        let into = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let target = land(into.path(), &[("b/c", "old")]).unwrap();
        symlink(outside.path(), target.join("link")).unwrap();
        symlink(outside.path().join("x"), target.join("dangling")).unwrap();
        for (name, content) in [("b/c", "new"), ("link/x", "x"), ("dangling", "x"), ("b", "x")] {
            let error = land(into.path(), &[("a", "fine"), (name, content)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Destination, "{name}");
            assert!(!target.join("a").exists(), "{name}: nothing was moved before all could be");
        }
        assert_eq!(std::fs::read_to_string(target.join("b/c")).unwrap(), "old");
        assert_eq!(entries(outside.path()), 0);
        assert_eq!(entries(into.path()), 1, "no partial folder is left");
        let linked = tempfile::tempdir().unwrap();
        symlink(outside.path(), linked.path().join("decrypted")).unwrap();
        land(linked.path(), &[("a", "x")]).unwrap_err();
        assert_eq!(entries(outside.path()), 0);
    }
}
