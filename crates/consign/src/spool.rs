//! The sealed form of an object in a private file: on its way out, and on its way in.
//!
//! Nothing in it is plain. Going out, it lies in the state folder until it is uploaded. Coming in,
//! it has no name: it is gone with the process, and what was fetched of it is fetched again.

use crate::error::{Error, ErrorKind, Result, io};
use consign_model::Digest;
use consign_transfer::{
    Buffer, Buffers, Crc64, Part, PartLayout, PartSink, PartSource, SinkError, SourceError,
    plain_part_bytes,
};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

fn layout(bytes: u64) -> Result<PartLayout> {
    PartLayout::new(0, plain_part_bytes(bytes), bytes).map_err(|error| {
        Error::new(ErrorKind::Source, "too large to be sent or received").because(error)
    })
}

fn private(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(io(ErrorKind::State, "cannot make", path))
}

/// Makes a private file for the sealed form of an object.
pub(crate) fn create(path: &Path) -> Result<File> {
    private(path)
}

/// A sealed object as the parts of an upload.
pub(crate) struct SpooledFile {
    file: File,
    layout: PartLayout,
    buffers: Buffers,
}

impl SpooledFile {
    pub(crate) fn open(path: &Path, bytes: u64, buffers: &Buffers) -> Result<SpooledFile> {
        let failed = io(ErrorKind::State, "cannot read", path);
        let file = File::open(path).map_err(failed)?;
        Ok(SpooledFile { file, layout: layout(bytes)?, buffers: buffers.clone() })
    }
}

impl PartSource for SpooledFile {
    fn layout(&self) -> PartLayout {
        self.layout
    }

    fn read_part(&self, number: u32) -> std::result::Result<Part, SourceError> {
        let mut bytes = self.buffers.take(self.layout.part_len(number));
        self.file.read_exact_at(&mut bytes, self.layout.range(number).start)?;
        let fingerprint = *blake3::hash(&bytes).as_bytes();
        Ok(Part { crc64nvme: Crc64::of(&bytes), fingerprint, bytes: bytes.into_bytes() })
    }
}

/// A sealed object as the sink of a download: a file without a name.
pub(crate) struct Spool {
    file: File,
    layout: PartLayout,
}

impl Spool {
    /// Makes the file in this folder.
    pub(crate) fn new(folder: &Path, name: &str, bytes: u64) -> Result<Spool> {
        let layout = layout(bytes)?;
        let path = folder.join(format!("{name}.sealed"));
        let file = private(&path)?;
        std::fs::remove_file(&path).map_err(io(ErrorKind::State, "cannot remove", &path))?;
        Ok(Spool { file, layout })
    }

    pub(crate) fn layout(&self) -> PartLayout {
        self.layout
    }

    /// The file, from its start.
    pub(crate) fn file(&self) -> Result<&File> {
        use std::io::Seek;
        (&self.file).rewind().map_err(|error| {
            Error::new(ErrorKind::Destination, "cannot read what was fetched").because(error)
        })?;
        Ok(&self.file)
    }
}

impl PartSink for Spool {
    fn write_part(&self, number: u32, part: Buffer) -> std::result::Result<(), SinkError> {
        Ok(self.file.write_all_at(&part, self.layout.range(number).start)?)
    }

    fn still_there(&self, _: u32) -> std::result::Result<bool, SinkError> {
        Ok(false)
    }
}

/// Reads a file of a known size and digests what it gives.
pub(crate) struct Digesting<R> {
    inner: R,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<R> Digesting<R> {
    pub(crate) fn new(inner: R) -> Digesting<R> {
        Digesting { inner, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// How many bytes there were, and their digest.
    pub(crate) fn finish(self) -> (u64, Digest) {
        (self.bytes, Digest::from(*self.hasher.finalize().as_bytes()))
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(out)?;
        self.hasher.update(out.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Writes at most so many bytes and digests them; more is an error, because the manifest says how
/// many there are.
pub(crate) struct Bounded<W> {
    digesting: Digesting<W>,
    bytes_max: u64,
}

impl<W> Bounded<W> {
    pub(crate) fn new(inner: W, bytes_max: u64) -> Bounded<W> {
        Bounded { digesting: Digesting::new(inner), bytes_max }
    }

    pub(crate) fn finish(self) -> (u64, Digest) {
        self.digesting.finish()
    }

    pub(crate) fn into_inner(self) -> W {
        self.digesting.inner
    }
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let to = &mut self.digesting;
        if to.bytes.saturating_add(bytes.len() as u64) > self.bytes_max {
            let message = "there is more in the object than the manifest says";
            return Err(std::io::Error::other(Error::new(ErrorKind::Content, message)));
        }
        let written = to.inner.write(bytes)?;
        to.hasher.update(bytes.get(..written).unwrap_or_default());
        to.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.digesting.inner.flush()
    }
}
