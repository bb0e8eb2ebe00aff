//! The folder that deliveries are fetched into.
//!
//! Names come from the publisher, and others may write where a person fetches to. So no link is
//! followed below the folder: each folder on the way is entered through the one before. What is not whole
//! lies in a hidden folder that only we can enter, and that one run holds at a time: of two runs that
//! write one file, the first would give the second's half its final name.

use super::look::Delivery;
use crate::destination::{check_private, descend, enter, in_the_way, rename_new};
use crate::error::{Error, ErrorKind, Result, io};
use consign_model::{DeliveryId, RelativePath};
use consign_transfer::Crc64;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where unfinished files lie, below the folder fetched into.
const PARTIAL: &str = ".consign-inbox.partial";

pub(super) struct Landing {
    into: PathBuf,
    root: OwnedFd,
    /// Locked until it is closed.
    partial: OwnedFd,
}

impl Landing {
    /// Makes the folder where it is not there, and holds it.
    pub(super) fn open(into: &Path) -> Result<Landing> {
        if into.exists() && !into.is_dir() {
            let message = format!("{} is not a folder", into.display());
            return Err(Error::new(ErrorKind::Destination, message)
                .hinting("name the folder to fetch into with --into DIR"));
        }
        let made = std::fs::create_dir_all(into);
        made.map_err(io(ErrorKind::Destination, "cannot make the folder", into))?;
        let into = into.canonicalize().map_err(io(ErrorKind::Destination, "cannot find", into))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&into, flags, Mode::empty())
            .map_err(|error| io(ErrorKind::Destination, "cannot enter", &into)(error.into()))?;
        let partial = hold(&root, &into)?;
        Ok(Landing { into, root, partial })
    }

    /// Where a file is to be.
    pub(super) fn place(&self, path: &RelativePath) -> PathBuf {
        self.into.join(path.as_str())
    }

    /// What the delivery of this key is called below the folder.
    pub(super) fn name(&self, below: &str) -> Result<RelativePath> {
        let refuse = || format!("its key is no path to write to below {}", self.into.display());
        let path = RelativePath::parse(below)
            .map_err(|error| Error::new(ErrorKind::Destination, refuse()).because(error))?;
        let first = path.as_str().split('/').next().unwrap_or_default();
        match first.eq_ignore_ascii_case(PARTIAL) {
            true => Err(Error::new(ErrorKind::Destination, refuse())
                .because(format!("what is not whole yet lies in {PARTIAL}"))),
            false => Ok(path),
        }
    }

    /// Whether the file is there whole. Something else of its name is in the way.
    pub(super) fn holds(&self, path: &Path, delivery: &Delivery) -> Result<bool> {
        let there = match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            there => there.map_err(io(ErrorKind::Destination, "cannot look at", path))?,
        };
        let same = there.is_file()
            && there.len() == delivery.bytes
            && delivery.expected_checksum().is_some()
            && delivery.expected_checksum().and_then(Crc64::parse) == checksum(path)?;
        match same {
            true => Ok(true),
            false => Err(Error::new(
                ErrorKind::Destination,
                format!("something else is in the way at {}", path.display()),
            )
            .hinting("move it away, or fetch into another folder")),
        }
    }

    /// A file without content and without its final name.
    pub(super) fn begin(&self, id: &DeliveryId) -> Result<File> {
        let name = id.to_string();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(0o666);
        self.forget(id);
        rustix::fs::openat(&self.partial, &name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
            .map(File::from)
            .map_err(|error| in_the_way(&self.into.join(PARTIAL).join(&name), error))
    }

    /// Removes what was begun, if it is there.
    pub(super) fn forget(&self, id: &DeliveryId) {
        let _gone = rustix::fs::unlinkat(&self.partial, id.to_string(), AtFlags::empty());
    }

    /// Gives a whole file its final name, over nothing.
    pub(super) fn settle(&self, id: &DeliveryId, path: &RelativePath) -> Result<()> {
        let (folder, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let entered = descend(&self.root, folder, &self.into)?;
        let parent = entered.as_ref().unwrap_or(&self.root);
        rename_new(&self.partial, &id.to_string(), parent, name)
            .and_then(|()| rustix::fs::fsync(parent))
            .map_err(|error| {
                in_the_way(&self.place(path), error)
                    .hinting("move it away, or fetch into another folder")
            })
    }

    pub(super) fn close(self) {
        // What an earlier run has left for a delivery that is refused now stays, and the folder.
        let _kept = rustix::fs::unlinkat(&self.root, PARTIAL, AtFlags::REMOVEDIR);
    }
}

/// Enters the hidden folder and locks it.
fn hold(root: &OwnedFd, into: &Path) -> Result<OwnedFd> {
    let shown = into.join(PARTIAL);
    loop {
        let partial = enter(root, PARTIAL, Mode::from_raw_mode(0o700), into)?;
        check_private(&partial, &shown)?;
        match rustix::fs::flock(&partial, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let message = format!("another run of consign fetches into {}", into.display());
                return Err(Error::new(ErrorKind::Busy, message)
                    .hinting("wait until it has ended, or fetch into another folder"));
            }
            Err(error) => {
                return Err(io(ErrorKind::Destination, "cannot lock", &shown)(error.into()));
            }
        }
        // A run that has just ended has removed it.
        let stat = rustix::fs::fstat(&partial).map_err(|error| in_the_way(&shown, error))?;
        if stat.st_nlink > 0 {
            return Ok(partial);
        }
    }
}

fn checksum(path: &Path) -> Result<Option<Crc64>> {
    let failed = |error| io(ErrorKind::Destination, "cannot read", path)(error);
    let mut file = File::open(path).map_err(failed)?;
    let (mut sum, mut buffer) = (Crc64::of(b""), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(Some(sum));
        };
        sum = sum.followed_by(Crc64::of(bytes), read as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).expect("a path")
    }

    fn id() -> DeliveryId {
        DeliveryId::parse(&"a".repeat(64)).expect("an id")
    }

    #[test]
    fn what_is_begun_gets_its_name_below_the_folder_and_nowhere_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let (into, outside) = (folder.path().join("into"), folder.path().join("outside"));
        std::fs::create_dir(&outside).expect("made");
        std::fs::create_dir(&into).expect("made");
        symlink(&outside, into.join("link")).expect("linked");
        let landing = Landing::open(&into).expect("opens");
        std::io::Write::write_all(&mut landing.begin(&id()).expect("begins"), b"x").expect("wrote");
        for hostile in ["link/sub/file", "link/file", "link"] {
            let refused = landing.settle(&id(), &path(hostile)).expect_err(hostile);
            assert!(refused.to_string().contains("in the way"), "{refused}");
        }
        assert_eq!(std::fs::read_dir(&outside).expect("reads").count(), 0);
        landing.settle(&id(), &path("a/b/file")).expect("settles");
        assert_eq!(std::fs::read(into.join("a/b/file")).expect("reads"), b"x");
        landing.close();
        assert!(!into.join(PARTIAL).exists());
    }

    #[test]
    fn the_hidden_folder_is_ours_and_held_by_one_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let landing = Landing::open(folder.path()).expect("opens");
        let second = Landing::open(folder.path()).err().expect("is refused");
        assert_eq!(second.kind(), ErrorKind::Busy);
        for hostile in [PARTIAL, ".Consign-Inbox.Partial/x", ".consign-inbox.partial/a/b"] {
            assert!(landing.name(hostile).is_err(), "{hostile}");
        }
        landing.close();
        let elsewhere = tempfile::tempdir().expect("a folder");
        symlink(elsewhere.path(), folder.path().join(PARTIAL)).expect("linked");
        assert!(Landing::open(folder.path()).is_err(), "a link is not entered");
        std::fs::write(folder.path().join("file"), b"").expect("written");
        let file = Landing::open(&folder.path().join("file")).err().expect("is refused");
        assert!(file.to_string().contains("not a folder"), "{file}");
    }
}
