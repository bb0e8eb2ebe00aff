//! Many small files in one archive, made in memory: tar, compressed with zstd.
//!
//! The archive is a plain one: `tar xf` restores names, times and executable bits. The same files
//! give the same bytes, so that a send that is resumed can upload the same object again.

use crate::error::{Error, ErrorKind, Result};
use crate::survey::Found;
use consign_model::Digest;
use std::io::{Read, Write};

/// Level 1: twice as fast as level 3 and nearly as small.
const ZSTD_LEVEL: i32 = 1;

/// An archive and the digests of the files in it, in order.
pub(crate) struct Pack {
    pub(crate) archive: Vec<u8>,
    pub(crate) digests: Vec<Digest>,
}

/// Packs these files, each of which must fit in memory and must not change meanwhile.
pub(crate) fn pack<'a>(files: impl Iterator<Item = &'a Found> + Clone) -> Result<Pack> {
    let content: u64 = files.clone().map(|file| file.size).sum();
    let guess = usize::try_from(content / 2).unwrap_or(0) + 4096;
    let zstd = zstd::Encoder::new(Vec::with_capacity(guess), ZSTD_LEVEL).map_err(in_memory)?;
    let mut tar = tar::Builder::new(zstd);
    let mut digests = Vec::new();
    let mut content = Vec::new();
    for file in files {
        read_whole(file, &mut content)?;
        digests.push(Digest::of(&content));
        append(&mut tar, file, &content)?;
    }
    let zstd = tar.into_inner().map_err(in_memory)?;
    let archive = zstd.finish().map_err(in_memory)?;
    Ok(Pack { archive, digests })
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
    use crate::survey::survey;

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
        let first = pack(found.files.iter()).expect("a pack");
        assert_eq!(first.archive, pack(found.files.iter()).expect("a pack").archive);
        assert_eq!(first.digests.len(), 4);

        let archive = dir.path().join("pack.tar");
        let plain = zstd::decode_all(first.archive.as_slice()).expect("zstd");
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
        let error = pack(found.files.iter()).err().expect("is noticed");
        assert_eq!(error.kind(), ErrorKind::SourceChanged);
    }
}
