//! The state folder: private, locked, and written so that a crash leaves the old or the new.
//!
//! ```text
//! STATE/EXCHANGE/LANE/sent/         what we send: chain.json, outgoing/, delivered/
//! STATE/EXCHANGE/LANE/received/     what we received: arrivals.jsonl
//! STATE/EXCHANGE/LANE/rekey/        copies in parts that are under way: uploads.jsonl
//! STATE/EXCHANGE/LANE/rewrap/       revisions that are under way: ID.jsonl
//! ```
//!
//! Folders are 0700 and files 0600: an interrupted send keeps there what it needs to seal the rest.

use crate::error::{Error, ErrorKind, Result, io};
use consign_model::{ExchangeName, LaneName};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long to wait for a lane that somebody holds: what a run that was dropped has left on other
/// threads ends within moments, another run does not.
const WAIT: Duration = Duration::from_secs(1);

/// A lane's folder, held by one run at a time for as long as this value lives.
///
/// Whoever works on the lane on another thread keeps a share of it, because such work goes on for
/// a moment when the run itself is dropped.
#[derive(Debug)]
pub(crate) struct LaneFolder {
    path: PathBuf,
    // The lock ends with the open file.
    _lock: File,
}

impl LaneFolder {
    /// Opens and locks the folder, as [`LaneFolder::open`] does, and waits a moment if it is held.
    pub(crate) async fn hold(
        state: &Path,
        exchange: &ExchangeName,
        lane: &LaneName,
        direction: &str,
    ) -> Result<Arc<LaneFolder>> {
        let pause = WAIT / 20;
        for _ in 0..20 {
            match LaneFolder::open(state, exchange, lane, direction) {
                Err(error) if error.kind() == ErrorKind::Busy => tokio::time::sleep(pause).await,
                opened => return opened.map(Arc::new),
            }
        }
        LaneFolder::open(state, exchange, lane, direction).map(Arc::new)
    }

    /// Opens and locks the folder for one direction (`sent` or `received`) of a lane.
    pub(crate) fn open(
        state: &Path,
        exchange: &ExchangeName,
        lane: &LaneName,
        direction: &str,
    ) -> Result<LaneFolder> {
        let mut path = state.to_owned();
        private_folder(&path)?;
        for part in [exchange.as_str(), lane.as_str(), direction] {
            path.push(part);
            private_folder(&path)?;
        }
        let lock_path = path.join("lock");
        let lock = open_private(&lock_path, OFlags::RDWR | OFlags::CREATE)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(LaneFolder { path, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = format!("another run of consign is at work on lane `{lane}`");
                Err(Error::new(ErrorKind::Busy, message).hinting("wait until it has ended"))
            }
            Err(error) => Err(io(ErrorKind::State, "cannot lock", &lock_path)(error.into())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where a lane's folder would be; for looking without a lock.
pub(crate) fn lane_path(
    state: &Path,
    exchange: &ExchangeName,
    lane: &LaneName,
    direction: &str,
) -> PathBuf {
    state.join(exchange.as_str()).join(lane.as_str()).join(direction)
}

/// Makes a folder that only we can enter, or checks that an existing one is.
pub(crate) fn private_folder(path: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(io(ErrorKind::State, "cannot make the folder", path))?;
    let metadata =
        std::fs::metadata(path).map_err(io(ErrorKind::State, "cannot read the folder", path))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let message = format!("the folder {} belongs to somebody else", path.display());
        return Err(Error::new(ErrorKind::State, message));
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).map_err(io(
            ErrorKind::State,
            "cannot close to others the folder",
            path,
        ))?;
    }
    Ok(())
}

/// Writes a private file so that after a crash it has its old content or its new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| io(ErrorKind::State, "cannot write", path)(error);
    let new = path.with_extension("new");
    let written = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    written().map_err(failed)?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Writes a value as JSON, as [`write()`] does.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|e| Error::new(ErrorKind::Bug, "cannot write state as JSON").because(e))?;
    write(path, &bytes)
}

/// Reads a file that need not be there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(ErrorKind::State, "cannot read", path)(error)),
    }
}

/// Reads a JSON value that need not be there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|error| damaged(path).because(error))
}

/// Removes a folder with what is in it, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(ErrorKind::State, "cannot remove", path)(error)),
    }
}

pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(io(ErrorKind::State, "cannot sync", path))
}

fn damaged(path: &Path) -> Error {
    let message = format!("the state in {} is damaged", path.display());
    Error::new(ErrorKind::State, message).hinting(
        "restore the file from a copy, or move it away to begin anew: nothing that was delivered is \
         lost, but files may be sent once more and receivers are told of a new chain",
    )
}

fn open_private(path: &Path, flags: OFlags) -> Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))
        .map(File::from)
        .map_err(|error| io(ErrorKind::State, "cannot open", path)(error.into()))
}

/// A file of JSON values, one a line, that grows at the end.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens the file and reads what is in it. A last line that was cut short by a crash is
    /// removed: what it would have said did not happen.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> Result<(Lines, Vec<T>)> {
        let file = open_private(path, OFlags::RDWR | OFlags::CREATE | OFlags::APPEND)?;
        let bytes = read(path)?.unwrap_or_default();
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(io(ErrorKind::State, "cannot mend", path))?;
        }
        let values = parse_lines(path, bytes.get(..whole).unwrap_or_default())?;
        Ok((Lines { path: path.to_owned(), file }, values))
    }

    /// Appends a value; when this returns, it survives a crash of the machine.
    pub(crate) fn append(&mut self, value: &impl Serialize) -> Result<()> {
        let line = serde_json::to_vec(value)
            .map_err(|e| Error::new(ErrorKind::Bug, "cannot write state as JSON").because(e))?;
        // It may be a secret.
        let mut line = Zeroizing::new(line);
        line.push(b'\n');
        // One write, so that a crash of this process leaves all of it or nothing.
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(io(ErrorKind::State, "cannot write", &self.path))
    }
}

/// Reads a file of lines without opening it for writing.
pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = read(path)?.unwrap_or_default();
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    parse_lines(path, bytes.get(..whole).unwrap_or_default())
}

fn parse_lines<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Vec<T>> {
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let values = lines.map(|line| serde_json::from_slice(line));
    values.collect::<std::result::Result<_, _>>().map_err(|error| damaged(path).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (ExchangeName, LaneName) {
        ("acme-globex".parse().expect("a name"), "to-client".parse().expect("a name"))
    }

    #[tokio::test]
    async fn a_lane_is_held_by_one_at_a_time_and_is_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let (exchange, lane) = names();
        let state = dir.path().join("state");
        let held = LaneFolder::open(&state, &exchange, &lane, "sent").expect("the first");
        let error = LaneFolder::open(&state, &exchange, &lane, "sent").expect_err("the second");
        assert_eq!(error.kind(), ErrorKind::Busy);
        LaneFolder::open(&state, &exchange, &lane, "received").expect("the other direction");
        assert_eq!(std::fs::metadata(held.path()).expect("is there").mode() & 0o777, 0o700);
        drop(held);
        // Another test may be starting a program at this moment, which has the lock open too until
        // it runs.
        LaneFolder::hold(&state, &exchange, &lane, "sent").await.expect("free again");
    }

    #[test]
    fn lines_survive_and_a_torn_one_is_dropped() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lines");
        let (mut lines, none) = Lines::open::<u32>(&path).expect("new");
        assert!(none.is_empty());
        lines.append(&1).expect("a line");
        lines.append(&2).expect("a line");
        drop(lines);
        assert_eq!(std::fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
        let mut bytes = std::fs::read(&path).expect("the file");
        bytes.extend_from_slice(b"34");
        std::fs::write(&path, bytes).expect("torn");
        assert_eq!(read_lines::<u32>(&path).expect("reads"), [1, 2]);
        let (mut lines, values) = Lines::open::<u32>(&path).expect("again");
        assert_eq!(values, [1, 2]);
        lines.append(&5).expect("a line");
        assert_eq!(read_lines::<u32>(&path).expect("reads"), [1, 2, 5]);
        std::fs::write(&path, "{}\n").expect("damaged");
        assert_eq!(read_lines::<u32>(&path).expect_err("is said").kind(), ErrorKind::State);
    }

    #[test]
    fn files_are_replaced_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("value.json");
        assert_eq!(read_json::<u32>(&path).expect("absent"), None);
        write_json(&path, &7).expect("written");
        write_json(&path, &8).expect("replaced");
        assert_eq!(read_json::<u32>(&path).expect("reads"), Some(8));
        assert_eq!(std::fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
    }
}
