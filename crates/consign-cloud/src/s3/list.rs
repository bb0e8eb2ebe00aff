//! Listings, a page at a time: objects, versions, unfinished uploads.

use super::S3;
use crate::error::{Call, Error};

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Where.
    pub bucket: String,
    /// Keys that begin so.
    pub prefix: String,
    /// Fold everything between prefix and this into [`Page::prefixes`].
    pub delimiter: Option<String>,
    /// [`Page::next`] of the page before.
    pub token: Option<String>,
    /// Begin after this key.
    pub start_after: Option<String>,
    /// Account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
}

/// A page of objects.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Objects in key order.
    pub entries: Vec<Entry>,
    /// Folded prefixes, with their delimiter.
    pub prefixes: Vec<String>,
    /// Token of the next page; none on the last.
    pub next: Option<String>,
}

/// A listed object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Key.
    pub key: String,
    /// Size.
    pub bytes: u64,
    /// Entity tag.
    pub etag: Option<String>,
    /// Milliseconds since 1970.
    pub modified_ms: Option<i64>,
}

/// A page of versions and delete markers.
#[derive(Clone, Debug, Default)]
pub struct VersionsPage {
    /// Versions and delete markers.
    pub entries: Vec<VersionEntry>,
    /// Where the next page begins (key, version); none on the last.
    pub next: Option<(String, Option<String>)>,
}

/// A version of an object, or the mark that it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEntry {
    /// Key.
    pub key: String,
    /// Version.
    pub version_id: Option<String>,
    /// True for a delete marker.
    pub delete_marker: bool,
    /// True for the newest.
    pub latest: bool,
    /// Size; 0 for a delete marker.
    pub bytes: u64,
    /// With its quotes; none for a delete marker.
    pub etag: Option<String>,
    /// Milliseconds since 1970.
    pub modified_ms: Option<i64>,
}

/// A page of unfinished uploads.
#[derive(Clone, Debug, Default)]
pub struct UploadsPage {
    /// Uploads.
    pub entries: Vec<UploadEntry>,
    /// Where the next page begins (key, upload id); none on the last.
    pub next: Option<(String, Option<String>)>,
}

/// An upload neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadEntry {
    /// Key it is to become.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// Milliseconds since 1970 of its beginning.
    pub initiated_ms: Option<i64>,
}

fn size(bytes: Option<i64>) -> u64 {
    bytes.and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
}

impl S3 {
    /// One page of at most 1000 objects.
    pub async fn list_objects(&self, list: &ListRequest) -> Result<Page, Error> {
        let call = Call::object("s3:ListBucket", &list.bucket, &list.prefix);
        let page = self
            .control
            .list_objects_v2()
            .bucket(&list.bucket)
            .prefix(&list.prefix)
            .set_delimiter(list.delimiter.clone())
            .set_continuation_token(list.token.clone())
            .set_start_after(list.start_after.clone())
            .set_expected_bucket_owner(list.expected_bucket_owner.clone())
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        let entries = page.contents.unwrap_or_default().into_iter().filter_map(|object| {
            Some(Entry {
                key: object.key?,
                bytes: size(object.size),
                etag: object.e_tag,
                modified_ms: object.last_modified.and_then(|time| time.to_millis().ok()),
            })
        });
        let prefixes = page.common_prefixes.unwrap_or_default();
        Ok(Page {
            entries: entries.collect(),
            prefixes: prefixes.into_iter().filter_map(|prefix| prefix.prefix).collect(),
            next: page.next_continuation_token.filter(|_| page.is_truncated == Some(true)),
        })
    }

    /// One page of versions and delete markers under a prefix; `from` is the `next` of the page
    /// before, `owner` the account that must own the bucket, if that matters.
    pub async fn list_versions(
        &self,
        bucket: &str,
        prefix: &str,
        from: Option<&(String, Option<String>)>,
        owner: Option<&str>,
    ) -> Result<VersionsPage, Error> {
        let call = Call::object("s3:ListBucketVersions", bucket, prefix);
        let page = self
            .control
            .list_object_versions()
            .bucket(bucket)
            .prefix(prefix)
            .set_key_marker(from.map(|(key, _)| key.clone()))
            .set_version_id_marker(from.and_then(|(_, version)| version.clone()))
            .set_expected_bucket_owner(owner.map(str::to_owned))
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        let versions = page.versions.unwrap_or_default().into_iter().filter_map(|version| {
            Some(VersionEntry {
                key: version.key?,
                version_id: version.version_id,
                delete_marker: false,
                latest: version.is_latest == Some(true),
                bytes: size(version.size),
                etag: version.e_tag,
                modified_ms: version.last_modified.and_then(|time| time.to_millis().ok()),
            })
        });
        let markers = page.delete_markers.unwrap_or_default().into_iter().filter_map(|marker| {
            Some(VersionEntry {
                key: marker.key?,
                version_id: marker.version_id,
                delete_marker: true,
                latest: marker.is_latest == Some(true),
                bytes: 0,
                etag: None,
                modified_ms: marker.last_modified.and_then(|time| time.to_millis().ok()),
            })
        });
        let next = page.next_key_marker.filter(|_| page.is_truncated == Some(true));
        Ok(VersionsPage {
            entries: versions.chain(markers).collect(),
            next: next.map(|key| (key, page.next_version_id_marker)),
        })
    }

    /// One page of unfinished uploads under a prefix; `from` is the `next` of the page before.
    pub async fn list_multipart_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        from: Option<&(String, Option<String>)>,
    ) -> Result<UploadsPage, Error> {
        let call = Call::object("s3:ListBucketMultipartUploads", bucket, prefix);
        let page = self
            .control
            .list_multipart_uploads()
            .bucket(bucket)
            .prefix(prefix)
            .set_key_marker(from.map(|(key, _)| key.clone()))
            .set_upload_id_marker(from.and_then(|(_, id)| id.clone()))
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        let entries = page.uploads.unwrap_or_default().into_iter().filter_map(|upload| {
            Some(UploadEntry {
                key: upload.key?,
                upload_id: upload.upload_id?,
                initiated_ms: upload.initiated.and_then(|time| time.to_millis().ok()),
            })
        });
        let next = page.next_key_marker.filter(|_| page.is_truncated == Some(true));
        Ok(UploadsPage {
            entries: entries.collect(),
            next: next.map(|key| (key, page.next_upload_id_marker)),
        })
    }
}
