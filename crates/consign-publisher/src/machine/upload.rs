//! A copy in parts, each copied by S3.

use super::Effect;
use crate::found::There;
use crate::record::{Source, SourceId, Target};

/// S3's bound on the number of parts.
const PARTS_MAX: u64 = 10_000;
const MIB: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) id: String,
    part_bytes: u64,
    parts: Vec<Part>,
    /// What is asked once every part is there.
    pub(super) end: End,
}

/// The end of an upload. Parts take long: before the object is made, the record is looked for once
/// more, as somebody may have made it since and its owner taken it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Parts are missing.
    Open,
    /// There may be a record by now.
    LookingForRecord,
    /// There is none; the request that makes the object may be under way.
    Completing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Waiting,
    Asked,
    Copied(String),
}

impl Upload {
    /// Cuts `bytes` bytes into as few parts as the least size allows, and no more than S3 does.
    pub(super) fn new(id: String, bytes: u64, part_bytes_min: u64) -> Upload {
        let least = bytes.div_ceil(PARTS_MAX).next_multiple_of(MIB);
        let part_bytes = least.max(part_bytes_min);
        let count = usize::try_from(bytes.div_ceil(part_bytes)).unwrap_or_default();
        Upload { id, part_bytes, parts: vec![Part::Waiting; count], end: End::Open }
    }

    /// Notes what came of a part, numbered from 1: its ETag, or nothing, and it is asked again.
    pub(super) fn note(&mut self, part: u32, etag: Option<String>) {
        let index = usize::try_from(part).unwrap_or_default().wrapping_sub(1);
        if let Some(slot) = self.parts.get_mut(index) {
            *slot = etag.map_or(Part::Waiting, Part::Copied);
        }
    }

    /// Further parts as far as there is room; when all are there, the end.
    pub(super) fn ask(
        &mut self,
        at_once: u32,
        of: &SourceId,
        content: &There,
        source: &Source,
        target: &Target,
        effects: &mut Vec<Effect>,
    ) {
        let etags: Vec<String> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Copied(etag) => Some(etag.clone()),
                _ => None,
            })
            .collect();
        if etags.len() == self.parts.len() {
            let target = target.clone();
            effects.push(match self.end {
                End::Completing => {
                    let (upload_id, bytes) = (self.id.clone(), content.bytes);
                    Effect::CompleteUpload { upload_id, etags, bytes, target }
                }
                End::Open | End::LookingForRecord => {
                    self.end = End::LookingForRecord;
                    Effect::FindRecord { of: of.clone(), target }
                }
            });
            return;
        }
        let mut asked = self.parts.iter().filter(|part| **part == Part::Asked).count();
        for (index, slot) in self.parts.iter_mut().enumerate() {
            if asked >= usize::try_from(at_once.max(1)).unwrap_or(usize::MAX) {
                break;
            }
            if *slot != Part::Waiting {
                continue;
            }
            *slot = Part::Asked;
            asked += 1;
            let index = index as u64;
            let first = index * self.part_bytes;
            let last = (first + self.part_bytes).min(content.bytes).saturating_sub(1);
            effects.push(Effect::CopyPart {
                upload_id: self.id.clone(),
                part: u32::try_from(index + 1).unwrap_or(u32::MAX),
                range: (first, last),
                source: source.clone(),
                etag: content.etag.clone(),
                target: target.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(bytes: u64, part_bytes_min: u64) -> Vec<(u64, u64)> {
        let mut upload = Upload::new("u".to_owned(), bytes, part_bytes_min);
        let source = Source {
            bucket: "b".to_owned(),
            owner: String::new(),
            key: "k".to_owned(),
            version_id: None,
        };
        let target = Target {
            inbox: consign_model::InboxName::parse("in").expect("a name"),
            bucket: "t".to_owned(),
            owner: String::new(),
            key: "k".to_owned(),
            kms_key: None,
        };
        let content = There { etag: "e".to_owned(), bytes, ..There::default() };
        let mut effects = Vec::new();
        let of = SourceId { bucket: "b".to_owned(), key: "k".to_owned(), version: "e".to_owned() };
        upload.ask(u32::MAX, &of, &content, &source, &target, &mut effects);
        let range = |effect: &Effect| match effect {
            Effect::CopyPart { range, .. } => Some(*range),
            _ => None,
        };
        effects.iter().filter_map(range).collect()
    }

    #[test]
    fn parts_cover_every_byte_once() {
        for (bytes, least, count) in [
            (10 * MIB, 5 * MIB, 2),
            (10 * MIB + 1, 5 * MIB, 3),
            (5 << 30, 512 * MIB, 10),
            // Fifty terabytes: the number of parts is the bound.
            (50_000_000_000_000, 512 * MIB, 9999),
        ] {
            let ranges = ranges(bytes, least);
            assert_eq!(ranges.len(), count, "{bytes}");
            let mut next = 0;
            for (first, last) in ranges {
                assert_eq!(first, next);
                assert!(last - first < 5 << 30, "S3's largest part");
                next = last + 1;
            }
            assert_eq!(next, bytes);
        }
    }
}
