//! Many small files in one archive, made in memory: tar, compressed with zstd.
//!
//! The archive is a plain one: `tar xf` restores names, times and executable bits. The same files
//! give the same bytes, so that a send that is resumed can upload the same object again.

use crate::error::{Error, ErrorKind, Result};
use crate::survey::Found;
use consign_model::{Digest, RelativePath};
use consign_seal::age::{MAX_HEADER_BYTES, NONCE_BYTES, sealed_payload_bytes};
use consign_transfer::{Buffer, Buffers};
use std::io::{Cursor, Read, Write};

/// Level 1: twice as fast as level 3 and nearly as small.
const ZSTD_LEVEL: i32 = 1;

/// An archive and the digests of the files in it, in order.
pub(crate) struct Pack {
    /// The archive, and behind it room to seal it in place.
    pub(crate) buffer: Buffer,
    pub(crate) archive_bytes: usize,
    pub(crate) digests: Vec<Digest>,
}

/// Packs these files, each of which must fit in memory and must not change meanwhile.
pub(crate) fn pack<'a>(
    files: impl Iterator<Item = &'a Found> + Clone,
    buffers: &Buffers,
) -> Result<Pack> {
    let entries = files.clone().map(|file| (file.size, &file.path));
    let room = sealed_payload_bytes(packed_bytes_max(entries)) + HEADER_BYTES_MAX;
    let room = usize::try_from(room).map_err(|_| Error::new(ErrorKind::Bug, "a pack too large"))?;
    let mut buffer = buffers.take(room);
    let zstd = zstd::Encoder::new(Cursor::new(&mut *buffer), ZSTD_LEVEL).map_err(in_memory)?;
    let mut tar = tar::Builder::new(zstd);
    let mut digests = Vec::new();
    let mut content = Vec::new();
    for file in files {
        read_whole(file, &mut content)?;
        digests.push(Digest::of(&content));
        append(&mut tar, file, &content)?;
    }
    let zstd = tar.into_inner().map_err(in_memory)?;
    let written = zstd.finish().map_err(in_memory)?.position();
    let archive_bytes =
        usize::try_from(written).map_err(|_| Error::new(ErrorKind::Bug, "a pack too large"))?;
    Ok(Pack { buffer, archive_bytes, digests })
}

/// The longest header that a receiver reads, and the nonce behind it.
const HEADER_BYTES_MAX: u64 = (MAX_HEADER_BYTES + NONCE_BYTES) as u64;

/// The most that an archive of files of such sizes and paths can have: for each a header, its content
/// and padding, and twice a block more for a long name; and room for the blocks at the end, which
/// writers round up.
pub(crate) fn archive_bytes_max<'a>(files: impl Iterator<Item = (u64, &'a RelativePath)>) -> u64 {
    let entry = |(size, path): (u64, &RelativePath)| {
        size.saturating_add(4 * 512).saturating_add(path.as_str().len() as u64)
    };
    files.map(entry).fold(64 << 10, u64::saturating_add)
}

/// The same when compressed: zstd stores what does not compress in blocks of 128 KiB, with 3 bytes
/// for each and some for the frame.
fn packed_bytes_max<'a>(files: impl Iterator<Item = (u64, &'a RelativePath)>) -> u64 {
    let archive = archive_bytes_max(files);
    archive.saturating_add(archive / (32 << 10)).saturating_add(1 << 10)
}

/// Reads a file that must not change meanwhile.
fn read_whole(file: &Found, content: &mut Vec<u8>) -> Result<()> {
    let failed = |error| {
        let message = format!("cannot read {}", file.source.display());
        Error::new(ErrorKind::Source, message).because(error)
    };
    let open = file.open()?;
    content.clear();
    (&open).take(file.size + 1).read_to_end(content).map_err(failed)?;
    if content.len() as u64 != file.size {
        return Err(file.changed());
    }
    file.check_unchanged(&open)
}

fn append<W: Write>(tar: &mut tar::Builder<W>, file: &Found, content: &[u8]) -> Result<()> {
    // Owners are left out: they mean nothing elsewhere and say who sent.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(content.len() as u64);
    header.set_mode(if file.executable { 0o755 } else { 0o644 });
    header.set_mtime(u64::try_from(file.mtime).unwrap_or(0));
    tar.append_data(&mut header, file.path.as_str(), content).map_err(in_memory)
}

fn in_memory(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Bug, "cannot pack small files in memory").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::{Survey, survey};

    fn packed(survey: &Survey, buffers: &Buffers) -> (Vec<u8>, Vec<Digest>) {
        let pack = pack(survey.files.iter(), buffers).expect("a pack");
        (pack.buffer[..pack.archive_bytes].to_vec(), pack.digests)
    }

    /// Many empty files with long names, and content that does not compress: the worst cases.
    #[test]
    fn every_archive_has_room() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut noise = blake3::Hasher::new().finalize_xof();
        for n in 0..300 {
            let mut content = vec![0; if n % 2 == 0 { 0 } else { 20_000 + n }];
            noise.fill(&mut content);
            let name = format!("{}-{n}", "n".repeat(80 + n / 2));
            std::fs::write(dir.path().join(name), content).expect("a file");
        }
        let found = survey([dir.path()]).expect("a survey");
        let (archive, digests) = packed(&found, &Buffers::new(0));
        let room = packed_bytes_max(found.files.iter().map(|file| (file.size, &file.path)));
        assert!(digests.len() == 300 && archive.len() as u64 <= room, "{} {room}", archive.len());
    }

    #[test]
    fn stock_tar_restores_names_times_and_modes() {
        let dir = tempfile::tempdir().expect("a folder");
        let top = dir.path().join("top");
        let long = format!("{}/{}", "folder-".repeat(20), "n".repeat(200));
        for (name, text) in [("empty", ""), ("with space", "x"), ("日本語/é", "yy"), (&long, "zzz")]
        {
            let path = top.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("a file");
        }
        let found = survey([top]).expect("a survey");
        let buffers = Buffers::new(1 << 20);
        let (first, digests) = packed(&found, &buffers);
        assert_eq!(first, packed(&found, &buffers).0);
        assert_eq!(digests.len(), 4);

        let archive = dir.path().join("pack.tar");
        let plain = zstd::decode_all(first.as_slice()).expect("zstd");
        std::fs::write(&archive, plain).expect("a file");
        let out = dir.path().join("out");
        std::fs::create_dir(&out).expect("a folder");
        let status = std::process::Command::new("tar")
            .args(["--extract", "--file"])
            .arg(&archive)
            .current_dir(&out)
            .status();
        let Ok(status) = status else {
            eprintln!("SKIPPED stock_tar_restores_names_times_and_modes: no tar");
            return;
        };
        assert!(status.success());
        for file in &found.files {
            let restored = out.join(file.path.as_str());
            let content = std::fs::read(&restored).expect("is restored");
            assert_eq!(content, std::fs::read(&file.source).expect("the source"));
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_an_error() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        std::fs::write(&path, "before").expect("a file");
        let found = survey([&path]).expect("a survey");
        std::fs::write(&path, "after it grew").expect("a change");
        let error = pack(found.files.iter(), &Buffers::new(0)).err().expect("is noticed");
        assert_eq!(error.kind(), ErrorKind::SourceChanged);
    }
}
