//! Files that commands write: new ones never replace anything, changed ones are replaced whole, and
//! secrets are readable by their owner alone from the first byte on. And files that people name.

use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Kind;

/// Mode of a file that anybody may read.
pub(crate) const PUBLIC: u32 = 0o644;
/// Mode of a file that holds a secret.
pub(crate) const SECRET: u32 = 0o600;

/// More than any key, certificate, policy or exchange file has: what is larger is something else, or
/// has no end.
pub(crate) const BYTES_MAX: u64 = 64 << 20;

/// All of a file that people or other programs wrote; wiped when dropped, for it may be a key.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    // At once, so that nothing of a key stays behind where it was before the memory grew.
    let length = file.metadata()?.len().min(BYTES_MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(io::Error::other("it is longer than 64 MiB, and cannot be what is meant")),
        false => Ok(bytes),
    }
}

/// The same of a text.
pub(crate) fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = read(path)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")),
    }
}

/// Writes a file that must not exist yet; its name appears when all of it is on the disk.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // As any program makes one: what the umask takes away stays away.
    let mode = std::fs::Permissions::from_mode(mode);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder_of(path))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|e| e.error)?;
    Ok(())
}

/// Whose fault it is that a file cannot be written: a name that will not do, or the disk.
pub(crate) fn fault_of_writing(error: &io::Error) -> Kind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::AlreadyExists
        | Io::NotFound
        | Io::PermissionDenied
        | Io::NotADirectory
        | Io::IsADirectory
        | Io::ReadOnlyFilesystem
        | Io::InvalidFilename => Kind::Usage,
        _ => Kind::Failed,
    }
}

/// The folder that a file is in, or is to be in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Replaces a file by one rename, so that it is always whole. A new file is [`PUBLIC`].
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions(),
        Err(_) => std::fs::Permissions::from_mode(PUBLIC),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path))?;
    file.write_all(content)?;
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Replaces a private file by one rename; readable by its owner alone, whatever it was before.
pub(crate) fn replace_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    // A temporary file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Makes a folder that only its owner can enter, with its parents.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
