//! Listings: keys, versions and uploads of a bucket in byte order, rolled up by a delimiter.

use super::records::{UPLOADS, Upload, VERSIONS, Version};
use super::{OrStorage, Result, Store, from_json};

/// What to list, and from where.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    pub(crate) prefix: Vec<u8>,
    /// Empty: no roll-up.
    pub(crate) delimiter: Vec<u8>,
    /// List what comes after this key, or after this rolled-up prefix.
    pub(crate) after: Option<Vec<u8>>,
    /// Within the key `after`: list what comes after this version or upload id.
    pub(crate) after_id: Option<String>,
    pub(crate) entries_max: usize,
}

/// One entry of a listing.
#[derive(Clone, Debug)]
pub(crate) enum Listed<T> {
    Entry { key: Vec<u8>, value: T, latest: bool },
    Prefix(Vec<u8>),
}

/// A page.
#[derive(Clone, Debug)]
pub(crate) struct Listing<T> {
    pub(crate) entries: Vec<Listed<T>>,
    pub(crate) truncated: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Listing { entries: Vec::new(), truncated: false }
    }
}

/// Where a listing goes next.
enum Step {
    /// To the next row.
    Next,
    /// To the first row at or after this key.
    Seek(Vec<u8>),
    Done,
}

/// Builds a page from rows in order; knows nothing of the database.
struct Pager<'q, T> {
    query: &'q ListQuery,
    page: Listing<T>,
}

impl<T> Pager<'_, T> {
    /// The lowest key to look at.
    fn start(query: &ListQuery) -> Vec<u8> {
        match &query.after {
            Some(after) if after.as_slice() > query.prefix.as_slice() => after.clone(),
            _ => query.prefix.clone(),
        }
    }

    /// Takes a row that is to be listed.
    fn take(&mut self, key: &[u8], latest: bool, value: T) -> Step {
        let Some(rest) = key.strip_prefix(self.query.prefix.as_slice()) else {
            return Step::Done;
        };
        let delimiter = self.query.delimiter.as_slice();
        let cut = if delimiter.is_empty() {
            None
        } else {
            rest.windows(delimiter.len()).position(|window| window == delimiter)
        };
        let Some(cut) = cut else {
            if self.is_full() {
                return Step::Done;
            }
            self.page.entries.push(Listed::Entry { key: key.to_vec(), value, latest });
            return Step::Next;
        };
        let rolled = key.get(..self.query.prefix.len() + cut + delimiter.len()).unwrap_or(key);
        let beyond = successor(rolled);
        let seen = self.query.after.as_deref() == Some(rolled);
        if !seen {
            if self.is_full() {
                return Step::Done;
            }
            self.page.entries.push(Listed::Prefix(rolled.to_vec()));
        }
        beyond.map_or(Step::Done, Step::Seek)
    }

    fn is_full(&mut self) -> bool {
        let full = self.page.entries.len() >= self.query.entries_max;
        self.page.truncated |= full;
        full
    }
}

/// The lowest key above everything that begins with `prefix`.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut beyond = prefix.get(..=last)?.to_vec();
    *beyond.last_mut()? += 1;
    Some(beyond)
}

impl Store {
    /// The current objects of a bucket; delete markers hide their keys.
    pub(crate) fn list_objects(&self, bucket: &str, query: &ListQuery) -> Result<Listing<Version>> {
        self.list_versions_where(bucket, query, false)
    }

    /// All versions and delete markers, newest first within a key.
    pub(crate) fn list_versions(
        &self,
        bucket: &str,
        query: &ListQuery,
    ) -> Result<Listing<Version>> {
        self.list_versions_where(bucket, query, true)
    }

    fn list_versions_where(
        &self,
        bucket: &str,
        query: &ListQuery,
        all: bool,
    ) -> Result<Listing<Version>> {
        self.bucket(bucket)?;
        let transaction = self.read()?;
        let table = transaction.open_table(VERSIONS).or_storage()?;
        let mut pager = Pager { query, page: Listing::default() };
        let mut seek = Some(Pager::<Version>::start(query));
        let mut last_key: Option<Vec<u8>> = None;
        let mut resumed = false;
        while let Some(from) = seek.take() {
            let start = (bucket, from.as_slice(), 0);
            for row in table.range::<(&str, &[u8], u64)>(start..).or_storage()? {
                let (at, row) = row.or_storage()?;
                let (row_bucket, key, _) = at.value();
                if row_bucket != bucket {
                    return Ok(pager.page);
                }
                let latest = last_key.as_deref() != Some(key);
                if latest {
                    last_key = Some(key.to_vec());
                }
                if !latest && !all {
                    continue;
                }
                let version: Version = from_json(row.value())?;
                // Within the key `after`, what comes up to and with `after_id` was listed before;
                // without an id the whole key was.
                if query.after.as_deref() == Some(key) && !resumed {
                    resumed = all && query.after_id.as_deref() == Some(version.id_text());
                    continue;
                }
                if version.object.is_none() && !all {
                    continue;
                }
                match pager.take(key, latest, version) {
                    Step::Next => {}
                    Step::Done => return Ok(pager.page),
                    Step::Seek(beyond) => {
                        seek = Some(beyond);
                        break;
                    }
                }
            }
        }
        Ok(pager.page)
    }

    /// Uploads under way, by key and then by start. The entry's value holds the upload id.
    pub(crate) fn list_uploads(
        &self,
        bucket: &str,
        query: &ListQuery,
    ) -> Result<Listing<(String, Upload)>> {
        self.bucket(bucket)?;
        let transaction = self.read()?;
        let table = transaction.open_table(UPLOADS).or_storage()?;
        let mut pager = Pager { query, page: Listing::default() };
        let mut seek = Some(Pager::<(String, Upload)>::start(query));
        while let Some(from) = seek.take() {
            let start = (bucket, from.as_slice(), "");
            for row in table.range::<(&str, &[u8], &str)>(start..).or_storage()? {
                let (at, row) = row.or_storage()?;
                let (row_bucket, key, id) = at.value();
                if row_bucket != bucket {
                    return Ok(pager.page);
                }
                let listed_before = query.after.as_deref() == Some(key)
                    && query.after_id.as_deref().is_none_or(|after| id <= after);
                if listed_before {
                    continue;
                }
                let upload: Upload = from_json(row.value())?;
                match pager.take(key, true, (id.to_owned(), upload)) {
                    Step::Next => {}
                    Step::Done => return Ok(pager.page),
                    Step::Seek(beyond) => {
                        seek = Some(beyond);
                        break;
                    }
                }
            }
        }
        Ok(pager.page)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::s3::store::{
        Bucket, Condition, DefaultEncryption, Deletion, NewObject, Object, Seal, Versioning,
    };

    fn bucket() -> Bucket {
        Bucket {
            name: "b".into(),
            account: "111111111111".into(),
            created_ms: 0,
            versioning: Versioning::Enabled,
            ownership: None,
            policy: None,
            public_access: None,
            encryption: DefaultEncryption::default(),
            tags: Vec::new(),
            notifications: Vec::new(),
            documents: BTreeMap::new(),
            transition_minimum: None,
            policy_cache: Default::default(),
        }
    }

    fn nothing(content: u128) -> NewObject {
        let object = Object {
            content,
            bytes: 0,
            etag: String::new(),
            seal: Seal::S3 { wrapped: Vec::new() },
            checksum: None,
            parts: None,
            about: Default::default(),
        };
        NewObject { object, segments: Vec::new(), account: String::new(), modified_ms: 0 }
    }

    /// A store with these keys, in this order, each put or (`false`) deleted.
    async fn store_of(root: &std::path::Path, writes: &[(Vec<u8>, bool)]) -> Store {
        let store = Store::open(root).expect("open").0;
        store.create_bucket(bucket()).await.expect("a bucket");
        for (index, (key, puts)) in writes.iter().enumerate() {
            if *puts {
                let new = nothing(index as u128);
                store.put_version("b", key, new, Condition::Always, None).await.expect("put");
            } else {
                let key = key.clone();
                let deletion = Deletion { key, version_id: None, condition: Condition::Always };
                let deleted = store.delete("b", vec![deletion], "", 0, None).await.expect("delete");
                assert!(deleted.iter().all(Result::is_ok));
            }
        }
        store
    }

    /// What a listing shows in all, worked out the slow way.
    fn expected(keys: &BTreeSet<Vec<u8>>, prefix: &[u8], delimiter: &[u8]) -> Vec<Vec<u8>> {
        let mut shown = BTreeSet::new();
        for key in keys.iter().filter(|key| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            let cut = (0..rest.len())
                .find(|at| !delimiter.is_empty() && rest[*at..].starts_with(delimiter));
            match cut {
                Some(cut) => shown.insert(key[..prefix.len() + cut + delimiter.len()].to_vec()),
                None => shown.insert(key.clone()),
            };
        }
        shown.into_iter().collect()
    }

    fn name<T>(listed: &Listed<T>) -> Vec<u8> {
        match listed {
            Listed::Entry { key, .. } => key.clone(),
            Listed::Prefix(prefix) => prefix.clone(),
        }
    }

    /// Few letters, so that prefixes, repeats and neighbours abound.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(&[b'a', b'b', b'/', 0x00, 0xff][..]), 1..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn pages_joined_are_the_whole(
            writes in prop::collection::vec((key(), prop::bool::weighted(0.8)), 1..30),
            prefix in prop::collection::vec(prop::sample::select(&[b'a', b'/'][..]), 0..2),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            let root = tempfile::tempdir().expect("a folder");
            let store = runtime.block_on(store_of(root.path(), &writes));
            let mut live = BTreeSet::new();
            let mut versions = 0;
            for (key, puts) in &writes {
                if *puts { live.insert(key.clone()) } else { live.remove(key) };
                versions += usize::from(key.starts_with(&prefix));
            }
            for delimiter in [&b""[..], b"/", b"a", b"/a"] {
                for entries_max in [1, 2, 5, 1000] {
                    let mut query = ListQuery {
                        prefix: prefix.clone(),
                        delimiter: delimiter.into(),
                        entries_max,
                        ..ListQuery::default()
                    };
                    let mut shown = Vec::new();
                    loop {
                        let page = store.list_objects("b", &query).expect("a page");
                        prop_assert!(page.entries.len() <= entries_max);
                        shown.extend(page.entries.iter().map(name));
                        if !page.truncated {
                            break;
                        }
                        prop_assert_eq!(page.entries.len(), entries_max);
                        query.after = page.entries.last().map(name);
                    }
                    prop_assert_eq!(&shown, &expected(&live, &prefix, delimiter));
                }
            }
            for entries_max in [1, 3, 1000] {
                let mut query =
                    ListQuery { prefix: prefix.clone(), entries_max, ..ListQuery::default() };
                let mut seen = BTreeSet::new();
                let mut latest = 0;
                loop {
                    let page = store.list_versions("b", &query).expect("a page");
                    for listed in &page.entries {
                        let Listed::Entry { key, value, latest: is_latest } = listed else {
                            continue;
                        };
                        latest += usize::from(*is_latest);
                        query.after = Some(key.clone());
                        query.after_id = Some(value.id_text().to_owned());
                        prop_assert!(seen.insert((key.clone(), value.id_text().to_owned())));
                    }
                    if !page.truncated {
                        break;
                    }
                }
                let keys: BTreeSet<_> = seen.iter().map(|(key, _)| key).collect();
                prop_assert_eq!((seen.len(), latest), (versions, keys.len()));
            }
        }
    }
}
