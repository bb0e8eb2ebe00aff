//! Opening a pack: exactly the files that the manifest lists, in its order, and nothing else.
//!
//! The archive comes from outside, so it is not extracted; it is compared. An entry that is not a
//! regular file of the expected name and size ends it, as does anything after the last one. The
//! manifest bounds how much is decompressed, whatever the archive says.

use crate::error::{Error, ErrorKind, Result};
use crate::pack::archive_bytes_max;
use consign_model::{Digest, ManifestFile, ObjectName};
use std::io::Read;
use tar::EntryType;

/// Windows larger than this are not needed for what we write; zstd would allocate what a stranger
/// asks for.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// Where unpacked files go.
pub(crate) trait Landing {
    /// Takes one file; `content` yields exactly its bytes, or an error.
    fn land(&mut self, file: &ManifestFile, content: &mut dyn Read) -> Result<()>;
}

/// Checks a decrypted pack against the files that should be in it, and lands them one by one.
pub(crate) fn unpack(
    object: &ObjectName,
    archive: &mut dyn Read,
    files: &[&ManifestFile],
    landing: &mut dyn Landing,
) -> Result<()> {
    let bad = |why: &str| Error::new(ErrorKind::Content, format!("the pack {object} {why}"));
    let mut zstd = zstd::Decoder::new(archive).map_err(|e| bad("cannot be read").because(e))?;
    zstd.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|e| bad("cannot be read").because(e))?;
    let largest = archive_bytes_max(files.iter().map(|file| (file.size, &file.path)));
    let mut tar = tar::Archive::new(zstd.take(largest));
    let mut entries = tar.entries().map_err(|e| bad("is not an archive").because(e))?.raw(true);
    for file in files {
        let mut name = None;
        let entry = loop {
            let next = entries.next().ok_or_else(|| bad(&format!("lacks `{}`", file.path)))?;
            let mut entry = next.map_err(|e| bad("is damaged").because(e))?;
            match entry.header().entry_type() {
                // GNU tar's way of writing a name of over 100 bytes: an entry before the entry.
                EntryType::GNULongName if name.is_none() => {
                    name = Some(long_name(&mut entry).map_err(|e| bad("is damaged").because(e))?);
                }
                EntryType::Regular => break entry,
                _ => return Err(bad("holds something that is not a file")),
            }
        };
        let name = name.unwrap_or_else(|| entry.header().path_bytes().into_owned());
        if name != file.path.as_str().as_bytes() {
            return Err(bad(&format!("holds another file where `{}` should be", file.path)));
        }
        if entry.header().entry_size().ok() != Some(file.size) {
            return Err(bad(&format!("holds `{}` in another size", file.path)));
        }
        let mut content = Checked { inner: entry, hasher: blake3::Hasher::new(), bytes: 0 };
        landing.land(file, &mut content)?;
        content.check(file)?;
    }
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(bad("holds more than the manifest lists")),
    }
}

fn long_name(entry: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut name = Vec::new();
    entry.take(8192).read_to_end(&mut name)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

/// Hashes what is read through it.
struct Checked<R> {
    inner: R,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<R> Checked<R> {
    fn check(&self, file: &ManifestFile) -> Result<()> {
        let digest = Digest::from(*self.hasher.finalize().as_bytes());
        if self.bytes == file.size && digest == file.blake3 {
            return Ok(());
        }
        let message = format!("`{}` is not what the sender signed: its digest differs", file.path);
        Err(Error::new(ErrorKind::Content, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_model::RelativePath;
    use consign_transfer::Buffers;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Table(BTreeMap<String, Vec<u8>>);

    impl Landing for Table {
        fn land(&mut self, file: &ManifestFile, content: &mut dyn Read) -> Result<()> {
            let mut bytes = Vec::new();
            content
                .read_to_end(&mut bytes)
                .map_err(|e| Error::new(ErrorKind::Content, "damaged").because(e))?;
            self.0.insert(file.path.to_string(), bytes);
            Ok(())
        }
    }

    fn object() -> ObjectName {
        ObjectName::pack(1, consign_model::Seal::Age)
    }

    fn file(path: &str, content: &[u8], entry: u32) -> ManifestFile {
        ManifestFile {
            path: RelativePath::parse(path).expect("a path"),
            size: content.len() as u64,
            mtime: 0,
            executable: false,
            blake3: Digest::of(content),
            object: object(),
            entry: Some(entry),
        }
    }

    type Entry<'a> = (&'a str, EntryType, &'a [u8]);

    fn archive(entries: &[Entry]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // Written past the checks of the library, as an attacker would.
            let field = &mut header.as_old_mut().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.set_link_name("/etc/passwd").expect("a link");
            }
            header.set_cksum();
            tar.append(&header, *content).expect("in memory");
        }
        zstd::encode_all(tar.into_inner().expect("in memory").as_slice(), 1).expect("in memory")
    }

    fn check(entries: &[Entry], said: Option<&str>) {
        let files = [file("a", b"aaa", 0), file("b/c", b"bbb", 1)];
        check_bytes(&archive(entries), &files, said);
    }

    fn check_bytes(archive: &[u8], files: &[ManifestFile], said: Option<&str>) {
        let files: Vec<&ManifestFile> = files.iter().collect();
        let mut table = Table::default();
        let result = unpack(&object(), &mut { archive }, &files, &mut table);
        match (result, said) {
            (Ok(()), None) => assert_eq!(table.0.len(), files.len()),
            (Err(error), Some(said)) => {
                assert!(error.to_string().contains(said), "{said:?} is not in {error:?}");
            }
            (result, said) => panic!("{result:?} where {said:?} was expected"),
        }
    }

    const A: Entry = ("a", EntryType::Regular, b"aaa");
    const C: Entry = ("b/c", EntryType::Regular, b"bbb");

    #[test]
    fn only_what_the_manifest_lists_is_unpacked() {
        check(&[A, C], None);
        check(&[A], Some("lacks `b/c`"));
        check(&[C, A], Some("holds another file where `a` should be"));
        check(&[A, C, ("d", EntryType::Regular, b"ddd")], Some("more than the manifest lists"));
        check(&[("../a", EntryType::Regular, b"aaa"), C], Some("another file"));
        check(&[("/a", EntryType::Regular, b"aaa"), C], Some("another file"));
        check(&[("a", EntryType::Regular, b"aaaa"), C], Some("in another size"));
        check(&[("a", EntryType::Regular, b"aXa"), C], Some("its digest differs"));
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Directory,
            EntryType::Char,
            EntryType::Fifo,
            EntryType::XHeader,
            EntryType::XGlobalHeader,
            EntryType::GNULongLink,
            EntryType::GNUSparse,
            EntryType::Continuous,
        ] {
            check(&[("a", kind, b""), A, C], Some("not a file"));
        }
        let long: Entry = ("././@LongLink", EntryType::GNULongName, b"a\0");
        check(&[long, A, C], None);
        check(&[long, long, A, C], Some("not a file"));
        check(&[("././@LongLink", EntryType::GNULongName, b"../../x\0"), A, C], Some("another"));
    }

    #[test]
    fn damaged_archives_and_bombs_end_in_an_error() {
        let files = [file("a", b"aaa", 0)];
        check_bytes(b"", &files, Some("damaged"));
        check_bytes(b"not zstd at all", &files, Some("damaged"));
        let good = archive(&[A]);
        check_bytes(&good[..good.len() / 2], &files, Some("damaged"));
        // A gigabyte of nothing, in a few kilobytes, where three bytes were declared.
        let zeros = zstd::encode_all(std::io::repeat(0).take(1 << 30), 1).expect("in memory");
        check_bytes(&zeros, &files, Some("lacks"));
        let bomb = vec![0u8; 64 << 20];
        check_bytes(&archive(&[("a", EntryType::Regular, &bomb)]), &files, Some("another size"));
        check_bytes(&archive(&[A, ("a", EntryType::Regular, &bomb)]), &files, Some("more than"));
    }

    #[test]
    fn what_our_packer_makes_is_unpacked() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = format!("{}/{}", "f".repeat(150), "n".repeat(250));
        let path = dir.path().join(&name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, "content").expect("a file");
        std::fs::write(dir.path().join("empty"), "").expect("a file");
        let survey = crate::survey::survey([dir.path().join(".")]).expect("a survey");
        let pack = crate::pack::pack(survey.files.iter(), &Buffers::new(0)).expect("a pack");
        let read = |path: &std::path::Path| std::fs::read(path).expect("reads");
        let listed = survey.files.iter().zip(0..);
        let files: Vec<ManifestFile> =
            listed.map(|(found, n)| file(found.path.as_str(), &read(&found.source), n)).collect();
        check_bytes(&pack.buffer[..pack.archive_bytes], &files, None);
    }
}
