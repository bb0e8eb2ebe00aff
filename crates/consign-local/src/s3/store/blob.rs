//! Sealed content on disk.
//!
//! A blob is one run of bytes (a whole object, or one part of a multipart upload) under a random
//! name. It is cut into frames of 64 KiB; frame `i` is sealed with AES-256-GCM under the nonce
//! (`i`, is it the last?), so frames can neither be reordered nor dropped and the blob can be
//! neither extended nor truncated unnoticed. The key is derived from the content's data key and
//! the blob's name: each key seals exactly one blob, which is what makes counting nonces safe and
//! what lets the parts of an upload, sealed in any order under one data key, become an object
//! without being rewritten.
//!
//! Plaintext never reaches the disk: [`BlobWriter`] seals in memory and appends sealed frames to a
//! file under `incoming/`, which is synced and renamed into place by [`BlobWriter::finish`].
//! Everything here blocks; callers run it on blocking threads.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use bytes::Bytes;
use zeroize::Zeroizing;

/// Plaintext bytes in every frame but the last.
pub(crate) const FRAME_BYTES: u64 = 64 * 1024;
const FRAME: usize = FRAME_BYTES as usize;
const TAG_BYTES: usize = 16;
/// Frames sealed or opened per system call: 1 MiB keeps the call overhead below a hundredth of
/// the cost of the AEAD, and sixteen transfers below 20 MiB of buffers.
const FRAMES_PER_CALL: u64 = 16;

/// The name of a blob: 128 random bits, never anything a client chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct BlobId(pub(crate) u128);

impl BlobId {
    pub(crate) fn random() -> io::Result<BlobId> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
        Ok(BlobId(u128::from_be_bytes(bytes)))
    }

    pub(crate) fn file_name(self) -> String {
        format!("{:032x}", self.0)
    }

    pub(crate) fn from_file_name(name: &str) -> Option<BlobId> {
        let well_formed = name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
        if !well_formed {
            return None;
        }
        u128::from_str_radix(name, 16).ok().map(BlobId)
    }
}

/// The data key (two for DSSE) under which a content's blobs are sealed.
#[derive(Clone)]
pub(crate) struct DataKey {
    // INVARIANT: one or two layers; the first is applied first when sealing.
    layers: Vec<Zeroizing<[u8; 32]>>,
}

impl DataKey {
    pub(crate) fn single(key: Zeroizing<[u8; 32]>) -> DataKey {
        DataKey { layers: vec![key] }
    }

    /// The two independent layers of dual-layer encryption.
    pub(crate) fn dual(inner: Zeroizing<[u8; 32]>, outer: Zeroizing<[u8; 32]>) -> DataKey {
        DataKey { layers: vec![inner, outer] }
    }

    fn tag_bytes(&self) -> usize {
        TAG_BYTES * self.layers.len()
    }

    /// A short name for `text` that nobody can make without the key: 32 hexadecimal digits.
    pub(crate) fn tag(&self, text: &str) -> String {
        let layer = self.layers.first().map_or(&[0; 32], |layer| &**layer);
        let key = hmac::Key::new(hmac::HMAC_SHA256, layer);
        let tag = hmac::sign(&key, text.as_bytes());
        hex::encode(tag.as_ref().get(..16).unwrap_or_default())
    }

    fn blob_keys(&self, blob: BlobId) -> Vec<LessSafeKey> {
        let salt = blob.0.to_be_bytes();
        let purpose = [b"consign-local/s3/blob/1".as_slice()];
        self.layers
            .iter()
            .map(|layer| {
                let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(layer.as_slice());
                let okm = secret
                    .expand(&purpose, &AES_256_GCM)
                    .expect("32 bytes are within what HKDF-SHA256 can expand");
                LessSafeKey::new(UnboundKey::from(okm))
            })
            .collect()
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({} layers)", self.layers.len())
    }
}

fn nonce(index: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&index.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// Number of frames of a blob of `bytes`: an empty blob is one empty frame.
fn frame_count(bytes: u64) -> u64 {
    bytes.div_ceil(FRAME_BYTES).max(1)
}

/// Where blobs lie: `ROOT/blobs`, and `ROOT/blobs/incoming` for those being written.
#[derive(Clone, Debug)]
pub(crate) struct BlobFolder {
    root: PathBuf,
    incoming: PathBuf,
}

impl BlobFolder {
    /// Makes the folders and removes what an earlier process left half written.
    pub(crate) fn open(root: &Path) -> io::Result<BlobFolder> {
        let incoming = root.join("incoming");
        std::fs::create_dir_all(&incoming)?;
        for entry in std::fs::read_dir(&incoming)? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(BlobFolder { root: root.to_path_buf(), incoming })
    }

    fn path(&self, blob: BlobId) -> PathBuf {
        self.root.join(blob.file_name())
    }

    /// Makes renames durable. One call covers every blob finished before it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }

    pub(crate) fn remove(&self, blob: BlobId) -> io::Result<()> {
        match std::fs::remove_file(self.path(blob)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Every blob on disk, for the sweep at start.
    pub(crate) fn list(&self) -> io::Result<Vec<BlobId>> {
        let mut blobs = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            blobs.extend(entry?.file_name().to_str().and_then(BlobId::from_file_name));
        }
        Ok(blobs)
    }
}

/// Seals a stream into a new blob. Dropped before [`BlobWriter::finish`], it leaves nothing.
pub(crate) struct BlobWriter {
    folder: BlobFolder,
    id: BlobId,
    file: File,
    keys: Vec<LessSafeKey>,
    tag_bytes: usize,
    // INVARIANT: `buffer[..frame_start]` is sealed; the rest is the plaintext of frame `index`,
    // at most FRAME bytes.
    buffer: Vec<u8>,
    frame_start: usize,
    index: u64,
    bytes: u64,
    finished: bool,
}

impl BlobWriter {
    pub(crate) fn create(folder: &BlobFolder, key: &DataKey) -> io::Result<BlobWriter> {
        let id = BlobId::random()?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.incoming.join(id.file_name()))?;
        Ok(BlobWriter {
            folder: folder.clone(),
            id,
            file,
            keys: key.blob_keys(id),
            tag_bytes: key.tag_bytes(),
            buffer: Vec::new(),
            frame_start: 0,
            index: 0,
            bytes: 0,
            finished: false,
        })
    }

    pub(crate) fn write(&mut self, mut plain: &[u8]) -> io::Result<()> {
        self.bytes += plain.len() as u64;
        while !plain.is_empty() {
            let filled = self.buffer.len() - self.frame_start;
            // A full frame waits until more arrives: only then is it known not to be the last.
            if filled == FRAME {
                self.seal_frame(false)?;
                continue;
            }
            let (now, later) = plain.split_at(plain.len().min(FRAME - filled));
            self.buffer.extend_from_slice(now);
            plain = later;
        }
        Ok(())
    }

    /// Seals the last frame, syncs the file and gives it its name. The store makes the name
    /// durable with [`BlobFolder::sync`] before it writes the name anywhere.
    pub(crate) fn finish(mut self) -> io::Result<(Staged, u64)> {
        self.seal_frame(true)?;
        self.file.write_all(&self.buffer)?;
        self.file.sync_data()?;
        std::fs::rename(self.incoming_path(), self.folder.path(self.id))?;
        self.finished = true;
        Ok((Staged { folder: Some(self.folder.clone()), id: self.id }, self.bytes))
    }

    fn seal_frame(&mut self, last: bool) -> io::Result<()> {
        for key in &self.keys {
            let frame = self.buffer.get_mut(self.frame_start..).unwrap_or_default();
            let tag = key
                .seal_in_place_separate_tag(nonce(self.index, last), Aad::empty(), frame)
                .map_err(|_| io::Error::other("a frame could not be sealed"))?;
            self.buffer.extend_from_slice(tag.as_ref());
        }
        self.index += 1;
        if !last && self.index.is_multiple_of(FRAMES_PER_CALL) {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        self.frame_start = self.buffer.len();
        if self.index == 1 && !last {
            let whole = (FRAME + self.tag_bytes) * FRAMES_PER_CALL as usize;
            self.buffer.reserve_exact(whole - self.buffer.len());
        }
        Ok(())
    }

    fn incoming_path(&self) -> PathBuf {
        self.folder.incoming.join(self.id.file_name())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed at the next start.
            let _ = std::fs::remove_file(self.incoming_path());
        }
        zeroize::Zeroize::zeroize(&mut self.buffer);
    }
}

/// A blob that has its name and is not yet referred to. Dropped before it is, it is removed.
#[derive(Debug)]
pub(crate) struct Staged {
    // INVARIANT: `None` once the blob belongs to a row of the database.
    folder: Option<BlobFolder>,
    id: BlobId,
}

impl Staged {
    pub(crate) fn id(&self) -> BlobId {
        self.id
    }

    /// The blob now belongs to a row. If that row's transaction fails, the sweep at the next start
    /// decides: only it knows whether the row is there.
    pub(crate) fn keep(mut self) -> BlobId {
        self.folder = None;
        self.id
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // What cannot be removed now is removed by the sweep at the next start.
            let _ = folder.remove(self.id);
        }
    }
}

/// Opens frames of a blob; only those that a range needs.
pub(crate) struct BlobReader {
    file: File,
    keys: Vec<LessSafeKey>,
    tag_bytes: usize,
    bytes: u64,
}

impl BlobReader {
    /// Opens a blob of `bytes` plaintext. A file of another length is refused at once.
    pub(crate) fn open(
        folder: &BlobFolder,
        id: BlobId,
        key: &DataKey,
        bytes: u64,
    ) -> io::Result<BlobReader> {
        let file = File::open(folder.path(id))?;
        let sealed = bytes + frame_count(bytes) * key.tag_bytes() as u64;
        if file.metadata()?.len() != sealed {
            return Err(damaged(id, "its length changed"));
        }
        Ok(BlobReader { file, keys: key.blob_keys(id), tag_bytes: key.tag_bytes(), bytes })
    }

    /// Opens up to a megabyte that begins at plaintext offset `start`, not going beyond `end`.
    /// Returns the pieces and the offset at which to go on. Nothing is returned that has not been
    /// authenticated.
    pub(crate) fn read(&self, start: u64, end: u64) -> io::Result<(Vec<Bytes>, u64)> {
        let end = end.min(self.bytes);
        let frames = frame_count(self.bytes);
        let first = start / FRAME_BYTES;
        let after = (first + FRAMES_PER_CALL).min(end.div_ceil(FRAME_BYTES)).max(first + 1);
        let stride = FRAME_BYTES + self.tag_bytes as u64;
        let plain_end = (after * FRAME_BYTES).min(self.bytes);
        let sealed_bytes =
            (plain_end - first * FRAME_BYTES) as usize + (after - first) as usize * self.tag_bytes;
        let mut buffer = vec![0; sealed_bytes];
        self.file.read_exact_at(&mut buffer, first * stride)?;
        for (frame, index) in buffer.chunks_mut(stride as usize).zip(first..) {
            self.open_frame(frame, index, index + 1 == frames)?;
        }
        let buffer = Bytes::from(buffer);
        let mut pieces = Vec::with_capacity((after - first) as usize);
        for index in first..after {
            let frame_begin = index * FRAME_BYTES;
            let from = start.max(frame_begin);
            let to = end.min(frame_begin + FRAME_BYTES);
            if from < to {
                let base = ((index - first) * stride) as usize;
                let offset = |at: u64| base + (at - frame_begin) as usize;
                pieces.push(buffer.slice(offset(from)..offset(to)));
            }
        }
        Ok((pieces, plain_end.min(end)))
    }

    fn open_frame(&self, frame: &mut [u8], index: u64, last: bool) -> io::Result<()> {
        let mut length = frame.len();
        for key in self.keys.iter().rev() {
            let sealed = frame.get_mut(..length).unwrap_or_default();
            length = key
                .open_in_place(nonce(index, last), Aad::empty(), sealed)
                .map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("frame {index} of stored content does not authenticate"),
                    )
                })?
                .len();
        }
        Ok(())
    }
}

fn damaged(id: BlobId, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("stored content {} is damaged: {what}", id.file_name()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i % 251) as u8).collect()
    }

    fn keys() -> [DataKey; 2] {
        let one = DataKey::single(Zeroizing::new([7; 32]));
        let two = DataKey::dual(Zeroizing::new([7; 32]), Zeroizing::new([9; 32]));
        [one, two]
    }

    fn store(folder: &BlobFolder, key: &DataKey, content: &[u8], piece: usize) -> BlobId {
        let mut writer = BlobWriter::create(folder, key).expect("create");
        for chunk in content.chunks(piece) {
            writer.write(chunk).expect("write");
        }
        let (staged, bytes) = writer.finish().expect("finish");
        assert_eq!(bytes, content.len() as u64);
        staged.keep()
    }

    fn read_all(reader: &BlobReader, start: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = start;
        while at < end {
            let (pieces, next) = reader.read(at, end)?;
            pieces.iter().for_each(|piece| out.extend_from_slice(piece));
            assert!(next > at);
            at = next;
        }
        Ok(out)
    }

    #[test]
    fn what_was_written_is_read_in_every_range() {
        let root = tempfile::tempdir().expect("tempdir");
        let folder = BlobFolder::open(root.path()).expect("open");
        let sizes = [0, 1, FRAME - 1, FRAME, FRAME + 1, 16 * FRAME, 16 * FRAME + 1, 3_000_017];
        for key in keys() {
            for size in sizes {
                let content = ramp(size);
                let id = store(&folder, &key, &content, 70_001);
                let total = size as u64;
                let reader = BlobReader::open(&folder, id, &key, total).expect("open");
                for (start, end) in [
                    (0, total),
                    (total / 2, total),
                    (total.saturating_sub(1), total),
                    (total / 3, total / 2),
                    (0, 1.min(total)),
                ] {
                    let read = read_all(&reader, start, end).expect("read");
                    assert!(read == content[start as usize..end as usize], "{size} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn the_plaintext_is_not_on_the_disk_and_damage_is_seen() {
        let root = tempfile::tempdir().expect("tempdir");
        let folder = BlobFolder::open(root.path()).expect("open");
        for key in keys() {
            let content = ramp(200_000);
            let id = store(&folder, &key, &content, 4096);
            let path = folder.path(id);
            let sealed = std::fs::read(&path).expect("read");
            assert!(!sealed.windows(64).any(|window| window == &content[..64]));

            let stride = FRAME + key.tag_bytes();
            let mut swapped = sealed.clone();
            let (first, rest) = swapped.split_at_mut(stride);
            first.swap_with_slice(&mut rest[..stride]);
            let mut flipped = sealed.clone();
            flipped[150_000] ^= 1;
            // A whole frame dropped from the end, with the length in the metadata adjusted too.
            let cut = sealed[..stride * 2].to_vec();
            for (damaged, bytes) in [(swapped, 200_000), (flipped, 200_000), (cut, 2 * FRAME_BYTES)]
            {
                std::fs::write(&path, damaged).expect("write");
                let reader = BlobReader::open(&folder, id, &key, bytes).expect("open");
                let error = read_all(&reader, 0, bytes).expect_err("damage goes unseen");
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            }
            std::fs::write(&path, &sealed[..1000]).expect("write");
            assert!(BlobReader::open(&folder, id, &key, 200_000).is_err());
        }
    }

    #[test]
    fn an_abandoned_writer_leaves_nothing() {
        let root = tempfile::tempdir().expect("tempdir");
        let folder = BlobFolder::open(root.path()).expect("open");
        let [key, _] = keys();
        let mut writer = BlobWriter::create(&folder, &key).expect("create");
        writer.write(&ramp(3_000_000)).expect("write");
        drop(writer);
        assert_eq!(std::fs::read_dir(root.path().join("incoming")).expect("dir").count(), 0);
        assert!(folder.list().expect("list").is_empty());
    }
}
