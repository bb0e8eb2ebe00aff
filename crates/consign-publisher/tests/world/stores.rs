//! The two buckets of the world.

use std::collections::{BTreeMap, BTreeSet};

use consign_cloud::s3::Checksums;
use consign_model::{DeliveryId, Labels};
use consign_publisher::{
    Delivery, Failure, Permanent, Placed, Reason, Seen, Source, SourceId, Task, There,
};

use super::{Random, World};

fn checksums(text: &str) -> Checksums {
    Checksums::of_whole([("crc32", Some(text.to_owned()))])
}

#[derive(Default)]
pub(crate) struct Repository {
    objects: BTreeMap<SourceId, There>,
    checksums: BTreeMap<SourceId, Checksums>,
    pub(crate) denied: BTreeSet<SourceId>,
}

impl Repository {
    pub(crate) fn add(&mut self, number: u64, bytes: u64, denied: bool) -> SourceId {
        let of = SourceId {
            bucket: "repository".to_owned(),
            key: format!("object-{number}"),
            version: format!("version-{number}"),
        };
        let checksums = checksums(&number.to_string());
        let there = There {
            version_id: Some(of.version.clone()),
            etag: format!("etag-{number}"),
            bytes,
            checksums: checksums.clone(),
            content_type: None,
            labels: labels_of(&of),
        };
        self.objects.insert(of.clone(), there);
        self.checksums.insert(of.clone(), checksums);
        if denied {
            self.denied.insert(of.clone());
        }
        of
    }

    pub(crate) fn remove(&mut self, of: &SourceId) {
        self.objects.remove(of);
    }

    pub(crate) fn checksums(&self, of: &SourceId) -> Checksums {
        self.checksums.get(of).cloned().unwrap_or_default()
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

    /// What the routes say does not depend on whether the object is there.
    pub(crate) fn look(&self, source: &Source, tasks: &[Task]) -> Result<Seen, Failure> {
        let content = match self.head(source) {
            Ok(there) => Some(there),
            Err(Failure::Absent) => None,
            Err(failure) => return Err(failure),
        };
        let tasks = tasks.iter().filter(|task| task.source == *source).cloned().collect();
        Ok(Seen { content, tasks, refused: Vec::new() })
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
    objects: BTreeMap<String, Copied>,
    pub(crate) records: BTreeMap<DeliveryId, Recorded>,
    pub(crate) uploads: BTreeMap<String, UploadSlot>,
    /// What arrives changed.
    pub(crate) spoils: BTreeSet<SourceId>,
    /// Knows no `If-None-Match`, and lets itself be looked at.
    pub(crate) overwrites: bool,
}

struct Copied {
    of: SourceId,
    checksums: Checksums,
}

pub(crate) struct Recorded {
    pub(crate) delivery: Delivery,
    since_ms: u64,
}

/// An upload under way.
pub(crate) struct UploadSlot(Upload);

impl Inbox {
    /// Who may not list the bucket is denied what is not there.
    pub(crate) fn ask(&self, place: &str) -> Result<Placed, Failure> {
        let denied = Failure::Permanent(Permanent::Denied);
        let empty = if self.overwrites { Failure::Absent } else { denied };
        let there = self.objects.get(place).ok_or(empty)?;
        Ok(Placed { of: Some(there.of.digest()), version_id: None })
    }

    pub(crate) fn record(&mut self, delivery: Delivery, since_ms: u64) -> Result<(), Failure> {
        let id = delivery.of.delivery(&delivery.target);
        match self.records.contains_key(&id) {
            true => Err(Failure::Taken),
            false => {
                self.records.insert(id, Recorded { delivery, since_ms });
                Ok(())
            }
        }
    }

    /// Whether what lies there is what its record says, as whoever fetches it finds out.
    pub(crate) fn fits(&self, recorded: &Recorded) -> bool {
        let said = recorded.delivery.content.as_ref();
        let there = self.objects.get(&recorded.delivery.target.key);
        there.is_some_and(|there| said.is_none_or(|said| said.checksums == there.checksums))
    }

    /// `If-None-Match: *`: whatever is there stays.
    pub(crate) fn create(
        &mut self,
        of: &SourceId,
        place: &str,
        checksums: Checksums,
    ) -> Result<(Option<String>, Checksums), Failure> {
        if self.objects.contains_key(place) && !self.overwrites {
            return Err(Failure::Taken);
        }
        let spoiled = self.spoils.contains(of);
        let checksums = if spoiled { self::checksums("spoiled") } else { checksums };
        let there = Copied { of: of.clone(), checksums: checksums.clone() };
        self.objects.insert(place.to_owned(), there);
        Ok((None, checksums))
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
        for Recorded { delivery, since_ms } in self.records.values() {
            let place = &delivery.target.key;
            let ours = self.objects.get(place).is_some_and(|there| there.of == delivery.of);
            if ours && *since_ms <= until_ms {
                self.objects.remove(place);
                taken += 1;
            }
        }
        taken
    }
}

impl World {
    /// On a store whose copies overwrite, with publishers that look first, by seed.
    pub(crate) fn where_copies_overwrite(mut self, seed: u64) -> World {
        self.random = Random(seed);
        self.inbox.overwrites = true;
        self
    }
}

/// What a copy must be told of the object, however often it was looked at.
pub(crate) fn labels_of(of: &SourceId) -> Labels {
    let labels = BTreeMap::from([("of".to_owned(), of.version.clone())]);
    Labels { metadata: labels.clone(), tags: labels }
}

/// An object that could not even be looked at has no target yet.
pub(crate) fn is_of(reason: &Reason, task: &Task) -> bool {
    let target = reason.target.as_ref().is_none_or(|target| *target == task.target);
    reason.source.as_ref() == Some(&task.source) && target
}
