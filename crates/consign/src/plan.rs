//! Which object each file goes into: large files alone, small ones together.
//!
//! The plan follows from the survey alone, so that a send that is resumed has the same one.

use crate::error::{Error, ErrorKind, Result};
use crate::survey::Survey;
use consign_model::{Lane, Layout, Limits, ObjectName, PACK_ENTRIES_MAX, Seal, Writer};
use consign_seal::age;

/// Larger files get an object of their own. Below, the cost of a request outweighs the bytes.
pub(crate) const SMALL_FILE_BYTES: u64 = 1 << 20;

/// A pack is closed before its content exceeds this. Far less than a receiver must accept: small
/// enough to have several at once in memory on both sides, large enough that requests cost little.
const PACK_FILL_BYTES: u64 = 4 << 20;

/// One object to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) name: ObjectName,
    /// Positions in the survey: one for a file alone.
    pub(crate) files: Vec<usize>,
}

/// Assigns every file of the survey to an object; on a lane of shares each has its own.
pub(crate) fn plan(survey: &Survey, seal: Seal, layout: Layout) -> Result<Vec<Planned>> {
    let alone = layout == Layout::S3s2;
    let mut objects: Vec<Planned> = Vec::new();
    let mut pack: Vec<usize> = Vec::new();
    let (mut files, mut packs, mut pack_bytes) = (0, 0, 0);
    let mut close = |pack: &mut Vec<usize>, objects: &mut Vec<Planned>| {
        if !pack.is_empty() {
            packs += 1;
            let name = ObjectName::pack(packs, seal);
            objects.push(Planned { name, files: std::mem::take(pack) });
        }
    };
    for (index, file) in survey.files.iter().enumerate() {
        if alone || file.size > SMALL_FILE_BYTES {
            files += 1;
            objects.push(Planned { name: ObjectName::file(files, seal), files: vec![index] });
            continue;
        }
        if pack_bytes + file.size > PACK_FILL_BYTES || pack.len() >= PACK_ENTRIES_MAX as usize {
            close(&mut pack, &mut objects);
            pack_bytes = 0;
        }
        pack_bytes += file.size;
        pack.push(index);
    }
    close(&mut pack, &mut objects);
    if objects.len() > Limits::default().objects {
        return Err(Error::new(
            ErrorKind::Source,
            match alone {
                true => "there are more than 100,000 files; send them in several consignments",
                false => {
                    "there are more than 100,000 large files; send them in several consignments"
                }
            },
        ));
    }
    Ok(objects)
}

/// The largest object that one request can make (S3's limit).
const PUT_BYTES_MAX: u64 = 5 << 30;

/// An error that names the first file which a lane without uploads in parts cannot take.
pub(crate) fn check_single_puts(lane: &Lane, survey: &Survey) -> Result<()> {
    if lane.writer == Writer::Multipart {
        return Ok(());
    }
    let object_bytes = |size: u64| match lane.seal {
        Seal::None => size,
        // Armor makes four of three bytes, and a line of each 48.
        _ if lane.layout == Layout::S3s2 => size.saturating_add(size / 2).saturating_add(1 << 20),
        // age adds more than the others to each byte, and its header is as large as any.
        _ => age::sealed_payload_bytes(size).saturating_add(SEAL_HEADER_BYTES_MAX),
    };
    match survey.files.iter().find(|file| object_bytes(file.size) > PUT_BYTES_MAX) {
        None => Ok(()),
        Some(file) => Err(Error::new(
            ErrorKind::Source,
            format!(
                "`{}` has {} bytes, and the writer of lane `{}` sends each object by one request \
                 (writer = \"encrypt-only\"), which holds 5 GiB at most",
                file.path, file.size, lane.name
            ),
        )
        .hinting("split the file, or write `writer = \"multipart\"` and apply")),
    }
}

/// Room for what a seal puts before the content.
const SEAL_HEADER_BYTES_MAX: u64 = (age::MAX_HEADER_BYTES + age::NONCE_BYTES) as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::survey;

    #[test]
    fn small_files_share_an_object_and_large_ones_do_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let make = |name: &str, size: u64| {
            let file = std::fs::File::create(dir.path().join(name)).expect("a file");
            file.set_len(size).expect("its size");
        };
        make("a-large", SMALL_FILE_BYTES + 1);
        make("b-empty", 0);
        for n in 0..9 {
            make(&format!("c{n}"), SMALL_FILE_BYTES);
        }
        make("z-large", 5 << 20);
        let survey = survey([dir.path().join(".")]).expect("a survey");
        let plan = plan(&survey, Seal::Age, Layout::Consign).expect("a plan");
        let shown: Vec<(&str, usize)> =
            plan.iter().map(|object| (object.name.as_str(), object.files.len())).collect();
        assert_eq!(
            shown,
            [
                ("000001.age", 1),
                ("pack-000001.tar.zst.age", 5),
                ("pack-000002.tar.zst.age", 4),
                ("000002.age", 1),
                ("pack-000003.tar.zst.age", 1),
            ]
        );
        let mut all: Vec<usize> = plan.iter().flat_map(|o| o.files.iter().copied()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..survey.files.len()).collect::<Vec<_>>());
    }
}
