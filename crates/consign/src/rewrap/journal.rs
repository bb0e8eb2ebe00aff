//! What a revision that is being made must remember, so that the same call goes on after any crash:
//! the new headers, because a header is never written twice the same; uploads that were begun; objects
//! that are done. None of it is secret.
//!
//! ```text
//! rewrap/ID.jsonl     per consignment, until its revision is committed
//! ```

use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::office::{Office, key};
use crate::state::{LaneFolder, Lines, read_lines};
use consign_cloud::s3::MultipartTarget;
use consign_model::{ConsignmentId, Digest, Lane, ManifestObject, ObjectName, revised_place};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The memory of one revision in the making.
pub(crate) struct Journal {
    memory: Mutex<Memory>,
}

struct Memory {
    lines: Lines,
    headers: BTreeMap<ObjectName, String>,
    uploads: BTreeMap<ObjectName, String>,
    done: BTreeMap<ObjectName, ManifestObject>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// Of what is made: the first line.
    Terms { revision: u32, terms: Digest },
    /// The header of an object: text, by its format.
    Header { object: ObjectName, header: String },
    /// An upload in parts.
    Begun { object: ObjectName, upload_id: String },
    /// An object that is there.
    Done(ManifestObject),
}

impl Journal {
    /// Goes on with the journal of a revision, or begins one: what another revision left, is given up.
    pub(crate) async fn open(
        office: &Office,
        lane: &Lane,
        folder: &LaneFolder,
        id: &ConsignmentId,
        revision: u32,
        terms: &Digest,
    ) -> Result<Journal> {
        let path = path(folder, id);
        let same = |line: &Line| matches!(line, Line::Terms { revision: r, terms: t } if *r == revision && t == terms);
        if !read_lines::<Line>(&path)?.first().is_some_and(same) {
            Journal::forget(office, lane, folder, id).await?;
        }
        let (mut lines, old) = Lines::open::<Line>(&path)?;
        if old.is_empty() {
            lines.append(&Line::Terms { revision, terms: *terms })?;
        }
        let (headers, uploads, done) = Default::default();
        let mut memory = Memory { lines, headers, uploads, done };
        for line in old {
            memory.note(line);
        }
        Ok(Journal { memory: Mutex::new(memory) })
    }

    /// Aborts the uploads that a journal knows, if there is one, and removes it.
    pub(crate) async fn forget(
        office: &Office,
        lane: &Lane,
        folder: &LaneFolder,
        id: &ConsignmentId,
    ) -> Result<()> {
        let path = path(folder, id);
        let (mut number, mut uploads) = (0, BTreeMap::new());
        for line in read_lines::<Line>(&path)? {
            match line {
                Line::Terms { revision, .. } => number = revision,
                Line::Begun { object, upload_id } => {
                    uploads.insert(object, upload_id);
                }
                Line::Done(object) => {
                    uploads.remove(&object.name);
                }
                Line::Header { .. } => {}
            }
        }
        for (object, upload_id) in uploads {
            let target = MultipartTarget {
                bucket: lane.bucket.to_string(),
                key: key(lane, id, &revised_place(number, object.as_str())),
                expected_bucket_owner: office.owner_of(lane),
                ..MultipartTarget::default()
            };
            let s3 = office.cloud.s3();
            retrying(office, || s3.abort_multipart(&target, &upload_id)).await?;
        }
        remove(&path)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, line: Line) -> Result<()> {
        let mut memory = self.memory();
        memory.lines.append(&line)?;
        memory.note(line);
        Ok(())
    }

    /// The header of an object: the one an earlier run wrote, or this one from now on.
    pub(crate) fn header(
        &self,
        object: &ObjectName,
        fresh: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Vec<u8>> {
        if let Some(header) = self.memory().headers.get(object) {
            return Ok(header.clone().into_bytes());
        }
        let header = String::from_utf8(fresh()?)
            .map_err(|error| Error::new(ErrorKind::Bug, "a header is no text").because(error))?;
        self.remember(Line::Header { object: object.clone(), header: header.clone() })?;
        Ok(header.into_bytes())
    }

    /// The upload that an earlier run began.
    pub(crate) fn upload(&self, object: &ObjectName) -> Option<String> {
        self.memory().uploads.get(object).cloned()
    }

    /// Remembers an upload before its first part.
    pub(crate) fn begun(&self, object: &ObjectName, upload_id: &str) -> Result<()> {
        let (object, upload_id) = (object.clone(), upload_id.to_owned());
        self.remember(Line::Begun { object, upload_id })
    }

    /// What is known of an object that an earlier run made.
    pub(crate) fn done(&self, object: &ObjectName) -> Option<ManifestObject> {
        self.memory().done.get(object).cloned()
    }

    /// Remembers that an object is there.
    pub(crate) fn finish(&self, object: &ManifestObject) -> Result<()> {
        self.remember(Line::Done(object.clone()))
    }
}

impl Memory {
    fn note(&mut self, line: Line) {
        match line {
            Line::Terms { .. } => {}
            Line::Header { object, header } => {
                self.headers.insert(object, header);
            }
            Line::Begun { object, upload_id } => {
                self.uploads.insert(object, upload_id);
            }
            Line::Done(object) => {
                self.uploads.remove(&object.name);
                self.done.insert(object.name.clone(), object);
            }
        }
    }
}

fn path(folder: &LaneFolder, id: &ConsignmentId) -> PathBuf {
    folder.path().join(format!("{id}.jsonl"))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(crate::error::io(ErrorKind::State, "cannot remove", path)(error))
        }
        _ => Ok(()),
    }
}
