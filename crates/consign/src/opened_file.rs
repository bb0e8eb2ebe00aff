//! A large file on its way in: opened, hashed and written part by part, in any order.
//!
//! Nothing reaches the disk that has not been authenticated, and the file's digest is computed in
//! the same pass. Parts that an earlier run wrote are read back and hashed, not trusted.

use crate::error::{Error, ErrorKind, Result};
use crate::sealed_file::{RUN_BYTES, sealed_layout};
use crate::tree_hash::TreeHash;
use consign_model::{Digest, ManifestFile, ManifestObject};
use consign_seal::age::{self, CHUNK_BYTES, HeaderRead, Identity, NONCE_BYTES, Opener};
use consign_transfer::{Buffer, Buffers, PartLayout, PartSink, SinkError, plain_part_bytes};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// A file as the sink of an object's parts.
pub(crate) struct OpenedFile {
    size: u64,
    // None to check without keeping anything.
    file: Option<File>,
    opener: Option<Opener>,
    layout: PartLayout,
    plain_part_bytes: u64,
    tree: TreeHash,
    values: Mutex<Vec<Option<[u8; 32]>>>,
    buffers: Buffers,
}

/// How many bytes come before the content of a sealed file: its header and nonce.
pub(crate) fn prefix_bytes(file: &ManifestFile, object: &ManifestObject) -> Result<u64> {
    let prefix = object.sealed_bytes.checked_sub(age::sealed_payload_bytes(file.size));
    let bounds = NONCE_BYTES as u64..=(age::MAX_HEADER_BYTES + NONCE_BYTES) as u64;
    prefix.filter(|prefix| bounds.contains(prefix)).ok_or_else(|| {
        let message = format!(
            "the object {} of {} bytes cannot hold `{}` of {} bytes",
            object.name, object.sealed_bytes, file.path, file.size
        );
        Error::new(ErrorKind::Manifest, message)
    })
}

/// Reads what comes before the content and finds the key that opens it.
pub(crate) fn open_prefix(prefix: &[u8], size: u64, identities: &[Identity]) -> Result<Opener> {
    let HeaderRead::Done(header, header_bytes) = age::read_header(prefix)? else {
        return Err(age::header_ended_early(prefix).into());
    };
    let nonce = prefix.get(header_bytes..).unwrap_or_default();
    let Ok(nonce) = <&[u8; NONCE_BYTES]>::try_from(nonce) else {
        let message = "the sealed content is not as long as the manifest says";
        return Err(Error::new(ErrorKind::Damaged, message));
    };
    Ok(header.open(identities, nonce)?.expecting(size))
}

impl OpenedFile {
    /// A sealed file; `file` is where it goes, if anywhere.
    pub(crate) fn sealed(
        size: u64,
        prefix_bytes: u64,
        opener: Opener,
        file: Option<File>,
        buffers: &Buffers,
    ) -> Result<OpenedFile> {
        let part = plain_part_bytes(size);
        OpenedFile::new(size, sealed_layout(size, part, prefix_bytes), Some(opener), file, buffers)
    }

    /// A file that was sent as it is.
    pub(crate) fn plain(size: u64, file: Option<File>, buffers: &Buffers) -> Result<OpenedFile> {
        let part = plain_part_bytes(size);
        OpenedFile::new(size, PartLayout::new(0, part, size), None, file, buffers)
    }

    fn new(
        size: u64,
        layout: std::result::Result<PartLayout, consign_transfer::Error>,
        opener: Option<Opener>,
        file: Option<File>,
        buffers: &Buffers,
    ) -> Result<OpenedFile> {
        let layout = layout.map_err(|error| {
            let message = format!("a file of {size} bytes cannot be received");
            Error::new(ErrorKind::Manifest, message).because(error)
        })?;
        let plain_part_bytes = plain_part_bytes(size);
        Ok(OpenedFile {
            size,
            file,
            opener,
            layout,
            plain_part_bytes,
            tree: TreeHash::new(plain_part_bytes, size),
            values: Mutex::new(vec![None; layout.parts() as usize]),
            buffers: buffers.clone(),
        })
    }

    pub(crate) fn layout(&self) -> PartLayout {
        self.layout
    }

    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// The digest of what has been written; none if a part is missing.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let values: Option<Vec<[u8; 32]>> = values.iter().copied().collect();
        self.tree.digest(&values?)
    }

    fn set(&self, number: u32, value: [u8; 32]) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = values.get_mut(number as usize) {
            *place = Some(value);
        }
    }

    /// The plain bytes that a part holds.
    fn plain_range(&self, number: u32) -> std::ops::Range<u64> {
        let start = u64::from(number) * self.plain_part_bytes;
        start.min(self.size)..self.size.min(start + self.plain_part_bytes)
    }

    fn take_part(&self, number: u32, bytes: &[u8]) -> std::result::Result<(), SinkError> {
        let range = self.plain_range(number);
        let mut hasher = self.tree.part(u64::from(number));
        let Some(opener) = &self.opener else {
            hasher.update(bytes);
            self.write(range.start, bytes)?;
            self.set(number, self.tree.value(&hasher));
            return Ok(());
        };
        let prefix = if number == 0 { usize::try_from(self.layout.prefix_bytes())? } else { 0 };
        let sealed = bytes.get(prefix..).ok_or("a part shorter than its prefix")?;
        let mut scratch = self.buffers.take(RUN_BYTES);
        let runs = sealed.chunks(age::SEALED_CHUNK_BYTES * (RUN_BYTES / CHUNK_BYTES));
        for (at, run) in (range.start..).step_by(RUN_BYTES).zip(runs) {
            let last = at + RUN_BYTES as u64 >= self.size;
            let opened = opener.open_into(at / CHUNK_BYTES as u64, last, run, &mut scratch)?;
            let plain = scratch.get(..opened).unwrap_or_default();
            hasher.update(plain);
            self.write(at, plain)?;
        }
        self.set(number, self.tree.value(&hasher));
        Ok(())
    }

    fn write(&self, at: u64, plain: &[u8]) -> std::io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.write_all_at(plain, at))
    }
}

impl PartSink for OpenedFile {
    fn write_part(&self, number: u32, part: Buffer) -> std::result::Result<(), SinkError> {
        self.take_part(number, &part)
    }

    fn still_there(&self, number: u32) -> std::result::Result<bool, SinkError> {
        let Some(file) = &self.file else { return Ok(false) };
        let range = self.plain_range(number);
        let mut hasher = self.tree.part(u64::from(number));
        let mut scratch = self.buffers.take(RUN_BYTES);
        for at in range.clone().step_by(RUN_BYTES) {
            let length = usize::try_from(range.end - at)?.min(RUN_BYTES);
            let piece = scratch.get_mut(..length).unwrap_or_default();
            file.read_exact_at(piece, at)?;
            hasher.update(piece);
        }
        self.set(number, self.tree.value(&hasher));
        Ok(true)
    }
}

/// Something small, collected in memory.
pub(crate) struct Collected {
    layout: PartLayout,
    buffers: Buffers,
    bytes: Mutex<Option<Buffer>>,
}

impl Collected {
    pub(crate) fn new(length: u64, buffers: &Buffers) -> Result<Collected> {
        let layout = PartLayout::new(0, plain_part_bytes(length), length).map_err(|error| {
            let message = "an object is too large for memory";
            Error::new(ErrorKind::Manifest, message).because(error)
        })?;
        Ok(Collected { layout, buffers: buffers.clone(), bytes: Mutex::new(None) })
    }

    pub(crate) fn layout(&self) -> PartLayout {
        self.layout
    }

    /// What has been collected; call it when the download is complete.
    pub(crate) fn take(&self) -> Buffer {
        let collected = self.bytes.lock().unwrap_or_else(PoisonError::into_inner).take();
        collected.unwrap_or_else(|| self.buffers.take(0))
    }
}

impl PartSink for Collected {
    fn write_part(&self, number: u32, part: Buffer) -> std::result::Result<(), SinkError> {
        let mut collected = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.layout.parts() == 1 {
            *collected = Some(part);
            return Ok(());
        }
        let length = usize::try_from(self.layout.object_bytes())?;
        let all = collected.get_or_insert_with(|| self.buffers.take(length));
        let start = usize::try_from(self.layout.range(number).start)?;
        let place = all.get_mut(start..start + part.len()).ok_or("a part beyond the end")?;
        place.copy_from_slice(&part);
        Ok(())
    }

    fn still_there(&self, _: u32) -> std::result::Result<bool, SinkError> {
        Ok(false)
    }
}
