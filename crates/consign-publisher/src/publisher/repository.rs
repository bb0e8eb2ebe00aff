//! What lies in a repository, page by page, for a comparison.
//!
//! Where versions may be listed, as under the policies that `consign apply` writes, every version of
//! every object, the newest of a key first; one request tells of a thousand. Otherwise, and in a bucket
//! without versions, each object in its newest, which takes a request for each. Both tell the same of a
//! key that was put once.
//!
//! What was deleted, or has expired, lies behind a delete marker and is not told, as it is not listed
//! among objects. Nor is an older version that the repository would not keep if it were the newest: it
//! waits for the lifecycle, and the record of its delivery may have expired before.

use std::collections::{BTreeMap, HashSet};

use consign_cloud::s3::{GetObject, ListRequest, VersionEntry, VersionsPage};
use consign_cloud::{Error, ErrorKind};
use consign_model::Date;
use tokio::task::{JoinError, JoinSet};

use super::Publisher;
use crate::record::Source;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// An object as a listing tells of it, with what the routes ask for.
pub(super) struct Listed {
    pub(super) source: Source,
    /// Where the listing tells it.
    pub(super) etag: Option<String>,
    pub(super) day: Date,
    /// Where a route chooses by them.
    pub(super) tags: BTreeMap<String, String>,
}

/// Goes through a repository once.
pub(super) struct Listing<'a> {
    publisher: &'a Publisher,
    next: Next,
    page: std::vec::IntoIter<Listed>,
}

/// Where the next page begins.
enum Next {
    Versions(Option<VersionsFrom>),
    Objects(Option<String>),
    Over,
}

/// Within the versions of a key, perhaps.
struct VersionsFrom {
    marker: (String, Option<String>),
    /// Whether the newest of this key is a delete marker.
    deleted: bool,
}

impl<'a> Listing<'a> {
    pub(super) fn of(publisher: &'a Publisher) -> Listing<'a> {
        let page = Vec::new().into_iter();
        Listing { publisher, next: Next::Versions(None), page }
    }

    /// The next version or object; the versions of a key follow each other, the newest first.
    ///
    /// # Errors
    /// When a page, or what it tells of, cannot be had.
    pub(super) async fn next(&mut self) -> Result<Option<Listed>, Error> {
        loop {
            if let Some(listed) = self.page.next() {
                return Ok(Some(listed));
            }
            let page = match std::mem::replace(&mut self.next, Next::Over) {
                Next::Over => return Ok(None),
                Next::Versions(from) => self.versions(from).await?,
                Next::Objects(token) => self.objects(token).await?,
            };
            self.page = page.into_iter();
        }
    }

    async fn versions(&mut self, from: Option<VersionsFrom>) -> Result<Vec<Listed>, Error> {
        let routing = &self.publisher.setup.routing;
        let bucket = routing.repository().bucket.as_ref();
        let marker = from.as_ref().map(|from| &from.marker);
        let owner = routing.account(&routing.repository().owner);
        let s3 = self.publisher.setup.cloud.s3();
        let page = match s3.list_versions(bucket, "", marker, Some(&owner)).await {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::AccessDenied && from.is_none() => {
                self.next = Next::Objects(None);
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let is_null = |id: &Option<String>| id.as_deref().is_none_or(|id| id == "null");
        if from.is_none() && page.entries.first().is_some_and(|entry| is_null(&entry.version_id)) {
            self.next = Next::Objects(None);
            return Ok(Vec::new());
        }
        let kept_ms = u64::from(routing.repository().expire_days) * DAY_MS;
        let expired_ms = self.publisher.now_ms().saturating_sub(kept_ms);
        let (entries, next) = kept(page, from.as_ref(), expired_ms);
        self.next = next.map_or(Next::Over, |next| Next::Versions(Some(next)));
        let listed = entries.into_iter().map(|entry| Listed {
            source: routing.source(&entry.key, entry.version_id.as_deref()),
            etag: entry.etag.as_deref().map(unquoted),
            day: day(entry.modified_ms),
            tags: BTreeMap::new(),
        });
        self.publisher.looked_at(listed.collect(), false).await
    }

    async fn objects(&mut self, token: Option<String>) -> Result<Vec<Listed>, Error> {
        let routing = &self.publisher.setup.routing;
        let list = ListRequest {
            bucket: routing.repository().bucket.to_string(),
            token,
            expected_bucket_owner: Some(routing.account(&routing.repository().owner)),
            ..ListRequest::default()
        };
        let page = self.publisher.setup.cloud.s3().list_objects(&list).await?;
        self.next = page.next.map_or(Next::Over, |next| Next::Objects(Some(next)));
        let listed = page.entries.into_iter().map(|entry| Listed {
            source: routing.source(&entry.key, None),
            etag: entry.etag.as_deref().map(unquoted),
            day: day(entry.modified_ms),
            tags: BTreeMap::new(),
        });
        self.publisher.looked_at(listed.collect(), true).await
    }
}

/// Of a page of versions those that are there to be delivered, and where the next one begins.
fn kept(
    page: VersionsPage,
    from: Option<&VersionsFrom>,
    expired_ms: u64,
) -> (Vec<VersionEntry>, Option<VersionsFrom>) {
    let markers = page.entries.iter().filter(|entry| entry.delete_marker && entry.latest);
    let mut deleted: HashSet<String> = markers.map(|entry| entry.key.clone()).collect();
    deleted.extend(from.filter(|from| from.deleted).map(|from| from.marker.0.clone()));
    let is_kept = |entry: &VersionEntry| {
        let modified_ms = entry.modified_ms.and_then(|ms| u64::try_from(ms).ok());
        entry.latest || modified_ms.is_none_or(|ms| ms >= expired_ms)
    };
    let next = page.next.map(|marker| {
        let deleted = deleted.contains(&marker.0);
        VersionsFrom { marker, deleted }
    });
    let entries = page.entries.into_iter().filter(|entry| !entry.delete_marker);
    let entries = entries.filter(|entry| !deleted.contains(&entry.key) && is_kept(entry));
    (entries.collect(), next)
}

impl Publisher {
    /// A page in its order, with what the listing did not tell: where objects were listed the version
    /// of each, which the name of its record depends on, and the tags where a route chooses by them. As
    /// many are looked at at once as are handled at once: one after the other, a million would take
    /// hours.
    async fn looked_at(
        &self,
        page: Vec<Listed>,
        asks_versions: bool,
    ) -> Result<Vec<Listed>, Error> {
        let tags = self.setup.routing.wants_tags();
        if !asks_versions && !tags {
            return Ok(page);
        }
        let mut seen = Vec::with_capacity(page.len());
        let mut asked = JoinSet::new();
        for (at, mut listed) in page.into_iter().enumerate() {
            if asked.len() >= self.setup.in_flight_max.max(1) {
                seen.extend(ended(asked.join_next().await)?);
            }
            let publisher = self.clone();
            asked.spawn(async move {
                if asks_versions {
                    listed.source.version_id = publisher.version_of(&listed.source).await?;
                }
                if tags {
                    listed.tags = publisher.tags_of(&listed.source).await?;
                }
                Ok((at, listed))
            });
        }
        while !asked.is_empty() {
            seen.extend(ended(asked.join_next().await)?);
        }
        seen.sort_unstable_by_key(|(at, _)| *at);
        Ok(seen.into_iter().map(|(_, listed)| listed).collect())
    }

    /// None also when it is gone since it was listed.
    async fn version_of(&self, source: &Source) -> Result<Option<String>, Error> {
        match self.setup.cloud.s3().head_object(&named(source)).await {
            Ok(head) => Ok(head.version_id),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tags_of(&self, source: &Source) -> Result<BTreeMap<String, String>, Error> {
        match self.setup.cloud.s3().get_object_tags(&named(source)).await {
            Ok((tags, _)) => Ok(tags),
            // Gone since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }
}

/// The end of a task that looked at an object; a task ends otherwise by a panic alone, which goes on.
fn ended<T>(ended: Option<Result<Result<T, Error>, JoinError>>) -> Result<Option<T>, Error> {
    match ended {
        None => Ok(None),
        Some(Ok(seen)) => seen.map(Some),
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn named(source: &Source) -> GetObject {
    GetObject {
        bucket: source.bucket.clone(),
        key: source.key.clone(),
        version_id: source.version_id.clone(),
        expected_bucket_owner: Some(source.owner.clone()),
        ..GetObject::default()
    }
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn day(modified_ms: Option<i64>) -> Date {
    Date::from_unix_ms(modified_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{VersionsFrom, kept};
    use consign_cloud::s3::{VersionEntry, VersionsPage};

    /// `key/version`, with `*` for the newest and `-` for a delete marker; the version is its time.
    fn page(text: &str, next: Option<&str>) -> VersionsPage {
        let entry = |word: &str| {
            let (key, rest) = word.split_once('/').unwrap();
            let version = rest.trim_end_matches(['*', '-']);
            VersionEntry {
                key: key.to_owned(),
                version_id: Some(version.to_owned()),
                delete_marker: rest.contains('-'),
                latest: rest.contains('*'),
                bytes: 0,
                etag: None,
                modified_ms: version.parse().ok(),
            }
        };
        // As S3's answer is read: markers after versions.
        let mut entries: Vec<VersionEntry> = text.split_whitespace().map(entry).collect();
        entries.sort_by_key(|entry| entry.delete_marker);
        VersionsPage { entries, next: next.map(|key| (key.to_owned(), None)) }
    }

    #[test]
    fn what_is_deleted_or_past_its_time_is_not_told() {
        let cases = [
            ("a/9*", "a/9"),
            ("a/9* a/8 a/7", "a/9 a/8 a/7"),
            // Put again since it was deleted, and deleted.
            ("a/9* a/8- a/7 b/9*", "a/9 a/7 b/9"),
            ("a/9*- a/8 a/7 b/9*", "b/9"),
            // The repository keeps nothing from before 5 but what is the newest.
            ("a/9* a/5 a/4 b/3*", "a/9 a/5 b/3"),
            ("", ""),
        ];
        for (listed, expected) in cases {
            let (entries, next) = kept(page(listed, None), None, 5);
            let words = entries.iter().map(|it| format!("{}/{}", it.key, it.modified_ms.unwrap()));
            assert_eq!(words.collect::<Vec<_>>().join(" "), expected, "{listed}");
            assert!(next.is_none());
        }
    }

    #[test]
    fn a_marker_counts_on_the_pages_that_follow() {
        let (first, next) = kept(page("a/9* b/9*- b/8", Some("b")), None, 0);
        assert_eq!((first.len(), next.as_ref().unwrap().deleted), (1, true));
        let (second, next) = kept(page("b/7 b/6", Some("b")), next.as_ref(), 0);
        assert_eq!((second.len(), next.as_ref().unwrap().deleted), (0, true));
        let (third, next) = kept(page("b/5 c/9* c/8", Some("c")), next.as_ref(), 0);
        assert_eq!((third.len(), next.as_ref().unwrap().deleted), (2, false));
        let from = VersionsFrom { marker: ("c".to_owned(), None), deleted: false };
        assert_eq!(kept(page("c/7 d/9*-", None), Some(&from), 0).0.len(), 1);
    }
}
