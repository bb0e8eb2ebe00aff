//! The two buckets of the world.

use std::collections::{BTreeMap, BTreeSet};

use consign_publisher::{Failure, Permanent, Source, SourceId, There};

#[derive(Default)]
pub(crate) struct Repository {
    objects: BTreeMap<SourceId, There>,
    checksums: BTreeMap<SourceId, String>,
    pub(crate) denied: BTreeSet<SourceId>,
}

impl Repository {
    pub(crate) fn add(&mut self, number: u64, bytes: u64, denied: bool) -> SourceId {
        let of = SourceId {
            bucket: "repository".to_owned(),
            key: format!("object-{number}"),
            version: format!("version-{number}"),
        };
        let checksum = format!("checksum-{number}");
        let there = There {
            of: None,
            version_id: Some(of.version.clone()),
            etag: format!("etag-{number}"),
            bytes,
            checksum_crc64nvme: Some(checksum.clone()),
        };
        self.objects.insert(of.clone(), there);
        self.checksums.insert(of.clone(), checksum);
        if denied {
            self.denied.insert(of.clone());
        }
        of
    }

    pub(crate) fn remove(&mut self, of: &SourceId) {
        self.objects.remove(of);
    }

    pub(crate) fn checksum(&self, of: &SourceId) -> Option<String> {
        self.checksums.get(of).cloned()
    }

    pub(crate) fn head(&self, source: &Source) -> Result<There, Failure> {
        let of = SourceId {
            bucket: source.bucket.clone(),
            key: source.key.clone(),
            version: source.version_id.clone().expect("a version is pinned"),
        };
        if self.denied.contains(&of) {
            return Err(Failure::Permanent(Permanent::Denied));
        }
        self.objects.get(&of).cloned().ok_or(Failure::Absent)
    }

    /// As a copy reads it: this ETag, or nothing.
    pub(crate) fn get(&self, source: &Source, etag: &str) -> Result<There, Failure> {
        let there = self.head(source)?;
        if there.etag == etag { Ok(there) } else { Err(Failure::Taken) }
    }
}

struct Upload {
    of: SourceId,
    place: String,
    parts: BTreeMap<u32, (String, (u64, u64))>,
}

#[derive(Default)]
pub(crate) struct Inbox {
    objects: BTreeMap<String, There>,
    /// When each was left.
    pub(crate) records: BTreeMap<(SourceId, String), u64>,
    pub(crate) uploads: BTreeMap<String, UploadSlot>,
    /// What arrives changed.
    pub(crate) spoils: BTreeSet<SourceId>,
}

/// An upload under way.
pub(crate) struct UploadSlot(Upload);

impl Inbox {
    pub(crate) fn head(&self, place: &str) -> Result<There, Failure> {
        self.objects.get(place).cloned().ok_or(Failure::Absent)
    }

    /// `If-None-Match: *`: whatever is there stays.
    pub(crate) fn create(
        &mut self,
        of: &SourceId,
        place: &str,
        bytes: u64,
        checksum: Option<String>,
    ) -> Result<(Option<String>, Option<String>), Failure> {
        if self.objects.contains_key(place) {
            return Err(Failure::Taken);
        }
        let spoiled = self.spoils.contains(of);
        let checksum = if spoiled { Some("spoiled".to_owned()) } else { checksum };
        let there = There {
            of: Some(of.clone()),
            version_id: None,
            etag: format!("copy of {}", of.version),
            bytes,
            checksum_crc64nvme: checksum.clone(),
        };
        self.objects.insert(place.to_owned(), there);
        Ok((None, checksum))
    }

    pub(crate) fn begin(&mut self, number: u64, of: SourceId, place: String) -> String {
        let id = format!("upload-{number}");
        self.uploads.insert(id.clone(), UploadSlot(Upload { of, place, parts: BTreeMap::new() }));
        id
    }

    pub(crate) fn part(
        &mut self,
        id: &str,
        part: u32,
        range: (u64, u64),
    ) -> Result<String, Failure> {
        let UploadSlot(upload) = self.uploads.get_mut(id).ok_or(Failure::UploadGone)?;
        // No two uploads have an ETag in common: a part of another one would show.
        let etag = format!("{id}-part-{part}");
        upload.parts.insert(part, (etag.clone(), range));
        Ok(etag)
    }

    /// What the parts make, if all are there, in order and without a gap.
    pub(crate) fn assembled(&self, id: &str, etags: &[String]) -> Result<(SourceId, u64), Failure> {
        let UploadSlot(upload) = self.uploads.get(id).ok_or(Failure::UploadGone)?;
        let mut next = 0;
        for (number, etag) in (1..).zip(etags) {
            let (found, range) = &upload.parts[&number];
            assert_eq!((found, range.0), (etag, next), "{}", upload.place);
            next = range.1 + 1;
        }
        Ok((upload.of.clone(), next))
    }

    /// Takes away what has had a record since before `until_ms`; says how many.
    pub(crate) fn take(&mut self, until_ms: u64) -> u64 {
        let mut taken = 0;
        for ((of, place), since_ms) in &self.records {
            let ours = self.objects.get(place).is_some_and(|there| there.of.as_ref() == Some(of));
            if ours && *since_ms <= until_ms {
                self.objects.remove(place);
                taken += 1;
            }
        }
        taken
    }
}
