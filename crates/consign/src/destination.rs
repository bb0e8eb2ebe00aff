//! Where a consignment is received: hidden while it is incomplete, then one rename.
//!
//! ```text
//! INTO/.consign-ID.partial/content/…    the files as they arrive
//! INTO/.consign-ID.partial/journal/…    what has arrived of each
//! INTO/ID/                              content, after the rename
//! ```
//!
//! Every folder is opened from its parent without following links, so nothing can be written
//! outside, whatever lies in the way. The partial folder is ours alone (0700), which also keeps
//! strangers from what has not been verified yet.

use crate::error::{Error, ErrorKind, Result};
use crate::unpack::Landing;
use consign_model::{ConsignmentId, Digest, ManifestFile, RelativePath};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Written into the journal when everything is verified: the digest of the manifest.
const VERIFIED: &str = "verified";

/// The folder that consignments are received into.
#[derive(Debug)]
pub(crate) struct Destination {
    path: PathBuf,
    folder: OwnedFd,
}

/// What a destination holds of a consignment.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Nothing, or a part of it.
    Open(Partial),
    /// All of it: an earlier run ended after the rename and before it could write that down.
    Committed,
}

impl Destination {
    /// Opens the folder, making it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Destination> {
        let failed = |error| {
            let message = format!("cannot receive into {}", path.display());
            Error::new(ErrorKind::Destination, message).because(error)
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        Ok(Destination { path: path.to_owned(), folder })
    }

    /// Begins a consignment or goes on with it.
    pub(crate) fn begin(&self, id: &ConsignmentId, manifest: &Digest) -> Result<Standing> {
        let partial = partial_name(id);
        if self.is_taken(id.as_str())? {
            let verified = self.path.join(&partial).join("journal").join(VERIFIED);
            let content = self.path.join(&partial).join("content");
            let ours =
                std::fs::read(verified).is_ok_and(|text| text == manifest.to_string().as_bytes());
            if ours && !content.exists() {
                return Ok(Standing::Committed);
            }
            let message = format!("{} is in the way", self.final_path(id).display());
            return Err(Error::new(ErrorKind::Destination, message)
                .hinting("move it away, or receive into another folder"));
        }
        let folder = enter(&self.folder, &partial, Mode::RWXU, &self.path)?;
        check_private(&folder, &self.path.join(&partial))?;
        let path = self.path.join(&partial);
        // Not 0700: what becomes of the permissions after the rename is for the umask to say.
        let content = enter(&folder, "content", Mode::from_raw_mode(0o777), &path)?;
        enter(&folder, "journal", Mode::RWXU, &path)?;
        Ok(Standing::Open(Partial {
            id: id.clone(),
            path,
            into: self.folder.try_clone().map_err(|e| in_the_way(&self.path, e))?,
            folder,
            content,
        }))
    }

    /// Where the consignment will be.
    pub(crate) fn final_path(&self, id: &ConsignmentId) -> PathBuf {
        self.path.join(id.as_str())
    }

    /// Removes what is left beside a committed consignment.
    pub(crate) fn clean(&self, id: &ConsignmentId) {
        // Best effort: leftovers are hidden, small, and cleaned by the next run that meets them.
        let _ = std::fs::remove_dir_all(self.path.join(partial_name(id)));
    }

    fn is_taken(&self, name: &str) -> Result<bool> {
        match rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(in_the_way(&self.path.join(name), error)),
        }
    }
}

fn partial_name(id: &ConsignmentId) -> String {
    format!(".consign-{id}.partial")
}

/// A consignment that is being received.
#[derive(Debug)]
pub(crate) struct Partial {
    id: ConsignmentId,
    path: PathBuf,
    into: OwnedFd,
    folder: OwnedFd,
    content: OwnedFd,
}

/// The content of a consignment that is being received, for one task to write to.
#[derive(Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
    content: OwnedFd,
    // The folder that was written to last: files come in the order of their paths.
    last: Option<(String, OwnedFd)>,
}

impl Partial {
    /// A shelf of its own for each task: they do not wait for each other.
    pub(crate) fn shelf(&self) -> Result<Shelf> {
        let path = self.path.join("content");
        let content = self.content.try_clone().map_err(|e| in_the_way(&path, e))?;
        Ok(Shelf { path, content, last: None })
    }

    /// The folder for what must be remembered while receiving.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// Makes sure that everything is on disk and gives it its final name.
    pub(crate) fn commit(self, manifest: &Digest) -> Result<()> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot complete {}", self.path.display());
            Error::new(ErrorKind::Destination, message).because(error)
        };
        // One call for all files and folders: a sync of each costs a disk's turn per small file.
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&self.content).map_err(|e| failed(e.into()))?;
        let journal = self.journal();
        crate::state::write(&journal.join(VERIFIED), manifest.to_string().as_bytes())?;
        rename_new(&self.folder, "content", &self.into, self.id.as_str())
            .map_err(|e| failed(e.into()))?;
        rustix::fs::fsync(&self.into).map_err(|e| failed(e.into()))
    }
}

impl Shelf {
    /// Opens a file to be written in any order, as an earlier run left it or empty.
    pub(crate) fn open_file(&mut self, file: &ManifestFile) -> Result<File> {
        let open = self.open_at(file, OFlags::RDWR | OFlags::CREATE)?;
        let stat = rustix::fs::fstat(&open).map_err(|e| in_the_way(&self.shown(&file.path), e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
            let message = format!("{} is in the way", self.shown(&file.path).display());
            return Err(Error::new(ErrorKind::Destination, message));
        }
        if stat.st_size as u64 != file.size {
            open.set_len(file.size).map_err(|e| cannot_write(&self.shown(&file.path), e))?;
        }
        Ok(open)
    }

    /// Gives a complete file its time.
    pub(crate) fn finish_file(&self, file: &ManifestFile, open: &File) -> Result<()> {
        // Times outside what file systems keep are brought inside; they are the sender's word only.
        let seconds = file.mtime.clamp(i64::from(i32::MIN), i64::from(u32::MAX) * 2);
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(open, &times)
            .map_err(|e| cannot_write(&self.shown(&file.path), e.into()))?;
        #[cfg(not(target_os = "linux"))]
        open.sync_all().map_err(|e| cannot_write(&self.shown(&file.path), e))?;
        Ok(())
    }

    /// Opens a file in its folder, making the folders on the way.
    fn open_at(&mut self, file: &ManifestFile, flags: OFlags) -> Result<File> {
        let (parent, name) = match file.path.as_str().rsplit_once('/') {
            Some((parent, name)) => (parent, name),
            None => ("", file.path.as_str()),
        };
        // The umask takes from this what the person has chosen.
        let mode = Mode::from_raw_mode(if file.executable { 0o777 } else { 0o666 });
        let shown = self.shown(&file.path);
        let folder = self.enter_all(parent)?;
        if flags.contains(OFlags::EXCL) {
            match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(in_the_way(&shown, error)),
            }
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = rustix::fs::openat(folder, name, flags, mode);
        open.map(File::from).map_err(|error| in_the_way(&shown, error))
    }

    fn enter_all(&mut self, folder: &str) -> Result<&OwnedFd> {
        if folder.is_empty() {
            return Ok(&self.content);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != folder) {
            let open = descend(&self.content, folder, &self.path)?;
            self.last = open.map(|open| (folder.to_owned(), open));
        }
        Ok(self.last.as_ref().map_or(&self.content, |(_, open)| open))
    }

    fn shown(&self, path: &RelativePath) -> PathBuf {
        self.path.join(path.as_str())
    }
}

impl Landing for Shelf {
    fn land(&mut self, file: &ManifestFile, content: &mut dyn Read) -> Result<()> {
        let mut open = self.open_at(file, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        let mut buffer = [0; 64 << 10];
        loop {
            let read = content.read(&mut buffer).map_err(|error| {
                let message = format!("the pack with `{}` is damaged", file.path);
                Error::new(ErrorKind::Content, message).because(error)
            })?;
            if read == 0 {
                return self.finish_file(file, &open);
            }
            open.write_all(buffer.get(..read).unwrap_or_default())
                .map_err(|e| cannot_write(&self.shown(&file.path), e))?;
        }
    }
}

/// Enters each folder of a relative path, made where it is not there, never through a link; none is
/// where it began.
pub(crate) fn descend(root: &OwnedFd, folder: &str, shown: &Path) -> Result<Option<OwnedFd>> {
    let mut shown = shown.to_path_buf();
    let mut open: Option<OwnedFd> = None;
    for name in folder.split('/').filter(|name| !name.is_empty()) {
        let parent = open.as_ref().unwrap_or(root);
        let next = enter(parent, name, Mode::from_raw_mode(0o777), &shown)?;
        shown.push(name);
        open = Some(next);
    }
    Ok(open)
}

/// Makes a folder if it is not there and opens it, never through a link.
pub(crate) fn enter(parent: &OwnedFd, name: &str, mode: Mode, shown: &Path) -> Result<OwnedFd> {
    let at = |error: Errno| in_the_way(&shown.join(name), error);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        opened => return opened.map_err(at),
    }
    match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EXIST) => {
            rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(at)
        }
        Err(error) => Err(at(error)),
    }
}

pub(crate) fn check_private(folder: &impl AsFd, path: &Path) -> Result<()> {
    let stat = rustix::fs::fstat(folder).map_err(|e| in_the_way(path, e))?;
    if stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("{} is in the way: others can write there", path.display());
    Err(Error::new(ErrorKind::Destination, message).hinting("remove it"))
}

/// Renames without replacing anything.
pub(crate) fn rename_new(
    from: &OwnedFd,
    old: &str,
    to: &OwnedFd,
    new: &str,
) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
        // Some file systems cannot promise it. A folder replaces an empty folder at most.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            match rustix::fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => rustix::fs::renameat(from, old, to, new),
                Err(error) => Err(error),
                Ok(_) => Err(Errno::EXIST),
            }
        }
        renamed => renamed,
    }
}

pub(crate) fn in_the_way(path: &Path, error: impl Into<std::io::Error>) -> Error {
    let error: std::io::Error = error.into();
    let errno = error.raw_os_error();
    let link =
        [Errno::LOOP, Errno::NOTDIR, Errno::EXIST].iter().any(|e| errno == Some(e.raw_os_error()));
    let what = match link {
        true => "something is in the way (a link is never followed) at",
        false => "cannot write",
    };
    Error::new(ErrorKind::Destination, format!("{what} {}", path.display())).because(error)
}

pub(crate) fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Destination, format!("cannot write {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_model::ObjectName;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn file(path: &str, size: u64) -> ManifestFile {
        ManifestFile {
            path: RelativePath::parse(path).expect("a path"),
            size,
            mtime: 1_000_000_000,
            executable: path.ends_with(".sh"),
            blake3: Digest::of(b""),
            object: ObjectName::file(1, consign_model::Seal::Age),
            entry: None,
        }
    }

    fn id() -> ConsignmentId {
        ConsignmentId::from_parts(1, 1)
    }

    fn digest() -> Digest {
        Digest::of(b"the manifest")
    }

    fn begin(into: &Path) -> Partial {
        let destination = Destination::open(into).expect("a destination");
        match destination.begin(&id(), &digest()).expect("begins") {
            Standing::Open(partial) => partial,
            Standing::Committed => panic!("nothing was committed"),
        }
    }

    #[test]
    fn nothing_has_its_final_name_before_the_commit() {
        let dir = tempfile::tempdir().expect("a folder");
        let into = dir.path().join("inbox");
        let partial = begin(&into);
        let mut shelf = partial.shelf().expect("a shelf");
        shelf.land(&file("a/b/run.sh", 4), &mut &b"echo"[..]).expect("lands");
        shelf.land(&file("a/b/run.sh", 4), &mut &b"exit"[..]).expect("lands again");
        let visible = || -> Vec<_> {
            let entries = std::fs::read_dir(&into).expect("the folder");
            let names =
                entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"));
            names.filter(|name| !name.starts_with('.')).collect()
        };
        assert!(visible().is_empty());
        drop(partial);
        let partial = begin(&into);
        partial.commit(&digest()).expect("commits");
        assert_eq!(visible(), [id().as_str()]);
        let landed = into.join(id().as_str()).join("a/b/run.sh");
        let metadata = std::fs::metadata(&landed).expect("is there");
        assert_eq!(std::fs::read(&landed).expect("reads"), b"exit");
        assert_eq!((metadata.mtime(), metadata.mode() & 0o100), (1_000_000_000, 0o100));

        // The process ended here: the next run sees what was done and tidies up.
        let destination = Destination::open(&into).expect("a destination");
        let standing = destination.begin(&id(), &digest()).expect("is known");
        assert!(matches!(standing, Standing::Committed));
        let other = destination.begin(&id(), &Digest::of(b"another manifest"));
        assert_eq!(other.expect_err("is not the same").kind(), ErrorKind::Destination);
        destination.clean(&id());
        assert_eq!(std::fs::read_dir(&into).expect("the folder").count(), 1);
        destination.begin(&id(), &digest()).expect_err("it is in the way now");
    }

    #[test]
    fn links_in_the_way_are_never_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).expect("a folder");
        let check = |name: &str, plant: &dyn Fn(&Path), path: &str| {
            let into = dir.path().join(name);
            let partial = begin(&into);
            let mut shelf = partial.shelf().expect("a shelf");
            plant(&into.join(format!(".consign-{}.partial", id())));
            let landed = shelf.land(&file(path, 1), &mut &b"x"[..]);
            let opened = shelf.open_file(&file(path, 1));
            let commit = partial.commit(&digest());
            assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 0, "{name}");
            (landed.is_ok(), opened.is_ok(), commit.is_ok())
        };
        let parent = |p: &Path| symlink(&outside, p.join("content/a")).expect("a link");
        assert_eq!(check("parent", &parent, "a/b"), (false, false, true));
        let itself = |p: &Path| symlink(outside.join("b"), p.join("content/b")).expect("a link");
        // A link that stands where the file should be is removed, not followed.
        assert_eq!(check("itself", &itself, "b"), (true, true, true));
        let target = |p: &Path| {
            let target = p.parent().expect("the inbox").join(id().as_str());
            symlink(&outside, target).expect("a link");
        };
        assert_eq!(check("target", &target, "c"), (true, true, false));
        let file_as_folder = |p: &Path| std::fs::write(p.join("content/d"), "x").expect("a file");
        assert_eq!(check("file", &file_as_folder, "d/e"), (false, false, true));
    }

    #[test]
    fn a_planted_partial_folder_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let destination = Destination::open(dir.path()).expect("a destination");
        let name = format!(".consign-{}.partial", id());
        symlink(std::env::temp_dir(), dir.path().join(&name)).expect("a link");
        let error = destination.begin(&id(), &digest()).expect_err("a link");
        assert_eq!(error.kind(), ErrorKind::Destination);
        std::fs::remove_file(dir.path().join(&name)).expect("removed");
        std::fs::create_dir(dir.path().join(&name)).expect("a folder");
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(dir.path().join(&name), open).expect("open to all");
        destination.begin(&id(), &digest()).expect_err("open to all");
    }

    #[test]
    fn a_hard_link_is_not_written_through() {
        let dir = tempfile::tempdir().expect("a folder");
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").expect("a file");
        let partial = begin(&dir.path().join("inbox"));
        let mut shelf = partial.shelf().expect("a shelf");
        std::fs::hard_link(&victim, partial.path.join("content/x")).expect("a link");
        shelf.open_file(&file("x", 3)).expect_err("another name of the victim");
        shelf.land(&file("x", 1), &mut &b"x"[..]).expect("takes the name, not the file");
        assert_eq!(std::fs::read(&victim).expect("reads"), b"precious");
    }
}
