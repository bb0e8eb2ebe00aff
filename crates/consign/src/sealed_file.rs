//! A large file on its way out: read, hashed, sealed and summed in one pass, part by part, in any
//! order. No byte of it is written anywhere on this side.

use crate::error::Result;
use crate::survey::Found;
use crate::tree_hash::TreeHash;
use bytes::Bytes;
use consign_model::Digest;
use consign_seal::age::{CHUNK_BYTES, Sealer, sealed_payload_bytes};
use consign_transfer::{
    Buffers, Crc64, Part, PartLayout, PartSource, SourceError, plain_part_bytes,
};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How much is read, hashed and sealed at a time: small enough to stay in a core's cache.
pub(crate) const RUN_BYTES: usize = 16 * CHUNK_BYTES;

/// A file as the parts of an object.
pub(crate) struct SealedFile {
    found: Found,
    file: File,
    sealer: Option<Sealer>,
    layout: PartLayout,
    plain_part_bytes: u64,
    tree: TreeHash,
    buffers: Buffers,
}

impl SealedFile {
    /// Opens the file; without a sealer its bytes go out as they are.
    pub(crate) fn open(
        found: &Found,
        sealer: Option<Sealer>,
        buffers: &Buffers,
    ) -> Result<SealedFile> {
        let plain_part_bytes = plain_part_bytes(found.size);
        let layout = layout(found.size, plain_part_bytes, sealer.as_ref().map(Sealer::prefix))?;
        Ok(SealedFile {
            file: found.open()?,
            found: found.clone(),
            sealer,
            layout,
            plain_part_bytes,
            tree: TreeHash::new(plain_part_bytes, found.size),
            buffers: buffers.clone(),
        })
    }

    /// The file's digest, from the fingerprints of its parts.
    pub(crate) fn digest(&self, fingerprints: &[[u8; 32]]) -> Option<Digest> {
        self.tree.digest(fingerprints)
    }

    /// What precedes the content, if the file is sealed.
    pub(crate) fn prefix(&self) -> Option<&[u8]> {
        self.sealer.as_ref().map(Sealer::prefix)
    }

    /// An error if the file has changed since it was surveyed.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        self.found.check_unchanged(&self.file)
    }

    fn make_part(&self, number: u32) -> std::result::Result<Part, SourceError> {
        let start = u64::from(number) * self.plain_part_bytes;
        let end = self.found.size.min(start + self.plain_part_bytes);
        let mut hasher = self.tree.part(u64::from(number));
        let mut crc = Crc64::of(&[]);
        let mut out = self.buffers.take(self.layout.part_len(number));
        let mut rest: &mut [u8] = &mut out;
        if let (0, Some(sealer)) = (number, &self.sealer) {
            let (head, tail) = rest.split_at_mut(sealer.prefix().len());
            head.copy_from_slice(sealer.prefix());
            crc = Crc64::of(head);
            rest = tail;
        }
        let mut scratch = self.buffers.take(if self.sealer.is_some() { RUN_BYTES } else { 0 });
        for at in (start..end).step_by(RUN_BYTES) {
            let plain_bytes = usize::try_from(end - at)?.min(RUN_BYTES);
            let piece = match &self.sealer {
                None => {
                    let (piece, tail) = rest.split_at_mut(plain_bytes);
                    rest = tail;
                    self.read(at, piece)?;
                    hasher.update(piece);
                    piece
                }
                Some(sealer) => {
                    let sealed_bytes = usize::try_from(sealed_payload_bytes(plain_bytes as u64))?;
                    let (piece, tail) = rest.split_at_mut(sealed_bytes);
                    rest = tail;
                    let plain = scratch.get_mut(..plain_bytes).unwrap_or_default();
                    self.read(at, plain)?;
                    hasher.update(plain);
                    let last = at + plain_bytes as u64 == self.found.size;
                    sealer.seal_into(at / CHUNK_BYTES as u64, last, plain, piece)?;
                    piece
                }
            };
            crc = crc.followed_by(Crc64::of(piece), piece.len() as u64);
        }
        self.check_unchanged()?;
        Ok(Part { bytes: out.into_bytes(), crc64nvme: crc, fingerprint: self.tree.value(&hasher) })
    }

    fn read(&self, at: u64, piece: &mut [u8]) -> std::result::Result<(), SourceError> {
        self.file.read_exact_at(piece, at).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.found.changed().into(),
            _ => SourceError::from(error),
        })
    }
}

impl PartSource for SealedFile {
    fn layout(&self) -> PartLayout {
        self.layout
    }

    fn read_part(&self, number: u32) -> std::result::Result<Part, SourceError> {
        self.make_part(number)
    }
}

/// How a file of so many bytes is cut: by powers of two of its content.
fn layout(size: u64, plain_part_bytes: u64, prefix: Option<&[u8]>) -> Result<PartLayout> {
    let layout = match prefix {
        None => PartLayout::new(0, plain_part_bytes, size),
        Some(prefix) => sealed_layout(size, plain_part_bytes, prefix.len() as u64),
    };
    layout.map_err(|error| {
        let message = format!("a file of {size} bytes cannot be sent");
        crate::Error::new(crate::ErrorKind::Source, message).because(error)
    })
}

/// How the sealed form of a file is cut so that every part opens by itself.
pub(crate) fn sealed_layout(
    size: u64,
    plain_part_bytes: u64,
    prefix_bytes: u64,
) -> std::result::Result<PartLayout, consign_transfer::Error> {
    let part_bytes = sealed_payload_bytes(plain_part_bytes);
    let object_bytes = prefix_bytes.saturating_add(sealed_payload_bytes(size));
    PartLayout::new(prefix_bytes, part_bytes, object_bytes)
}

/// Something that is in memory whole, as the parts of an object.
pub(crate) struct InMemory {
    bytes: Bytes,
    layout: PartLayout,
}

impl InMemory {
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Result<InMemory> {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        let layout = PartLayout::new(0, plain_part_bytes(length), length);
        let layout = layout.map_err(|error| {
            crate::Error::new(crate::ErrorKind::Source, "too large to be sent").because(error)
        })?;
        Ok(InMemory { bytes, layout })
    }
}

impl PartSource for InMemory {
    fn layout(&self) -> PartLayout {
        self.layout
    }

    fn read_part(&self, number: u32) -> std::result::Result<Part, SourceError> {
        let range = self.layout.range(number);
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        if range.end > self.bytes.len() {
            return Err("a part beyond the end".into());
        }
        let bytes = self.bytes.slice(range);
        let fingerprint = *blake3::hash(&bytes).as_bytes();
        Ok(Part { crc64nvme: Crc64::of(&bytes), fingerprint, bytes })
    }
}
