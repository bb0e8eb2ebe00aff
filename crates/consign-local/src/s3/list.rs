//! Listings: ListBuckets, ListObjects (1 and 2), ListObjectVersions, ListMultipartUploads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as TOKEN;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ask::{Ask, invalid_argument, refused};
use super::get::owner_id;
use super::response::{Answer, iso_date, xml};
use super::store::{ListQuery, Listed, Listing, Object, Version};
use super::xml::Document;
use crate::authorize::Facts;
use crate::error::ApiError;

const ENTRIES_MAX: usize = 1000;
/// What stays as it is in `encoding-type=url`.
const KEY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/');

/// How a listing writes keys.
struct Keys {
    encoded: bool,
}

impl Keys {
    fn of_request(ask: &Ask) -> Result<Keys, ApiError> {
        match ask.query("encoding-type") {
            None | Some("") => Ok(Keys { encoded: false }),
            Some("url") => Ok(Keys { encoded: true }),
            Some(other) => Err(invalid_argument(
                "Invalid Encoding Method specified in Request",
                "encoding-type",
                other,
            )),
        }
    }

    fn write(&self, key: &str) -> String {
        match self.encoded {
            true => utf8_percent_encode(key, KEY).to_string(),
            false => key.to_owned(),
        }
    }

    fn write_bytes(&self, key: &[u8]) -> String {
        self.write(&String::from_utf8_lossy(key))
    }
}

/// What every listing of keys asks for.
struct Page {
    keys: Keys,
    query: ListQuery,
}

impl Page {
    fn of_request(ask: &Ask, max: &str) -> Result<Page, ApiError> {
        let query = ListQuery {
            prefix: ask.query("prefix").unwrap_or_default().into(),
            delimiter: ask.query("delimiter").unwrap_or_default().into(),
            after: None,
            after_id: None,
            entries_max: ask.number(max, ENTRIES_MAX, ENTRIES_MAX)?,
        };
        Ok(Page { keys: Keys::of_request(ask)?, query })
    }

    /// Prefix, delimiter and bound, as asked.
    fn echo(&self, ask: &Ask, document: &mut Document, max: &str) {
        document.element("Prefix", self.keys.write(ask.query("prefix").unwrap_or_default()));
        if let Some(delimiter) = ask.query("delimiter").filter(|delimiter| !delimiter.is_empty()) {
            document.element("Delimiter", self.keys.write(delimiter));
        }
        document.element(max, self.query.entries_max);
        if self.keys.encoded {
            document.element("EncodingType", "url");
        }
    }
}

/// What policies can ask of a listing.
fn list_facts(ask: &Ask, max: &str) -> Facts {
    let mut facts = Facts::new();
    for (name, fact) in
        [("prefix", "s3:prefix"), ("delimiter", "s3:delimiter"), (max, "s3:max-keys")]
    {
        facts.extend(ask.query(name).map(|value| (fact.to_owned(), value.to_owned())));
    }
    facts
}

/// Keys in order of their bytes: entries and rolled-up prefixes mixed.
fn name_of<T>(listed: &Listed<T>) -> &[u8] {
    match listed {
        Listed::Entry { key, .. } => key,
        Listed::Prefix(prefix) => prefix,
    }
}

fn last_name<T>(page: &Listing<T>) -> Option<&[u8]> {
    page.entries.last().map(name_of)
}

async fn list_current(ask: &Ask, query: ListQuery) -> Result<Listing<Version>, ApiError> {
    let bucket = ask.bucket()?;
    if query.entries_max == 0 {
        return Ok(Listing::default());
    }
    ask.blocking(move |state| state.store.list_objects(&bucket.name, &query))
        .await?
        .map_err(|error| refused(&error))
}

pub(super) async fn list_objects_v2(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_bucket(&bucket, "s3:ListBucket", &list_facts(ask, "max-keys"))?;
    let mut page = Page::of_request(ask, "max-keys")?;
    let token = ask.query("continuation-token");
    page.query.after = match token {
        Some(token) => Some(TOKEN.decode(token).map_err(|_| {
            let message = "The continuation token provided is incorrect";
            invalid_argument(message, "continuation-token", token)
        })?),
        None => ask.query("start-after").filter(|after| !after.is_empty()).map(Into::into),
    };
    let listing = list_current(ask, page.query.clone()).await?;
    let mut document = Document::new("ListBucketResult");
    document.element("Name", &bucket.name);
    page.echo(ask, &mut document, "MaxKeys");
    document.optional("ContinuationToken", token);
    let start = ask.query("start-after").filter(|after| !after.is_empty());
    document.optional("StartAfter", start.map(|after| page.keys.write(after)));
    document.element("KeyCount", listing.entries.len());
    document.element("IsTruncated", listing.truncated);
    if let Some(last) = last_name(&listing).filter(|_| listing.truncated) {
        document.element("NextContinuationToken", TOKEN.encode(last));
    }
    let owner = ask.query("fetch-owner") == Some("true");
    write_objects(&mut document, &page.keys, &listing, owner);
    Ok(xml(document, "ListBucketResult"))
}

pub(super) async fn list_objects_v1(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_bucket(&bucket, "s3:ListBucket", &list_facts(ask, "max-keys"))?;
    let mut page = Page::of_request(ask, "max-keys")?;
    let marker = ask.query("marker").unwrap_or_default();
    page.query.after = Some(marker).filter(|marker| !marker.is_empty()).map(Into::into);
    let listing = list_current(ask, page.query.clone()).await?;
    let mut document = Document::new("ListBucketResult");
    document.element("Name", &bucket.name);
    page.echo(ask, &mut document, "MaxKeys");
    document.element("Marker", page.keys.write(marker));
    document.element("IsTruncated", listing.truncated);
    // S3 gives a next marker only where rolled-up prefixes hide the last key.
    if let Some(last) = last_name(&listing).filter(|_| listing.truncated)
        && !page.query.delimiter.is_empty()
    {
        document.element("NextMarker", page.keys.write_bytes(last));
    }
    write_objects(&mut document, &page.keys, &listing, true);
    Ok(xml(document, "ListBucketResult"))
}

fn write_objects(document: &mut Document, keys: &Keys, listing: &Listing<Version>, owner: bool) {
    for listed in &listing.entries {
        let Listed::Entry { key, value: version, .. } = listed else { continue };
        let Some(object) = &version.object else { continue };
        document.open("Contents").element("Key", keys.write_bytes(key));
        write_object(document, version, object);
        if owner {
            write_owner(document, &version.account);
        }
        document.element("StorageClass", storage_class(object)).close("Contents");
    }
    write_prefixes(document, keys, listing);
}

fn storage_class(object: &Object) -> &str {
    object.about.storage_class.as_deref().unwrap_or("STANDARD")
}

fn write_object(document: &mut Document, version: &Version, object: &Object) {
    document.element("LastModified", iso_date(version.modified_ms));
    document.element("ETag", format!("\"{}\"", object.etag));
    if let Some(checksum) = &object.checksum {
        document.element("ChecksumAlgorithm", &checksum.algorithm);
        document.element("ChecksumType", checksum.kind());
    }
    document.element("Size", object.bytes);
}

fn write_owner(document: &mut Document, account: &str) {
    document.open("Owner").element("ID", owner_id(account)).close("Owner");
}

fn write_prefixes<T>(document: &mut Document, keys: &Keys, listing: &Listing<T>) {
    for listed in &listing.entries {
        if let Listed::Prefix(prefix) = listed {
            document.open("CommonPrefixes").element("Prefix", keys.write_bytes(prefix));
            document.close("CommonPrefixes");
        }
    }
}

pub(super) async fn list_object_versions(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_bucket(&bucket, "s3:ListBucketVersions", &list_facts(ask, "max-keys"))?;
    let mut page = Page::of_request(ask, "max-keys")?;
    let marker = ask.query("key-marker").unwrap_or_default();
    let id_marker = ask.query("version-id-marker").unwrap_or_default();
    if marker.is_empty() && !id_marker.is_empty() {
        let message = "A version-id marker cannot be specified without a key marker.";
        return Err(invalid_argument(message, "version-id-marker", id_marker));
    }
    page.query.after = Some(marker).filter(|marker| !marker.is_empty()).map(Into::into);
    page.query.after_id = Some(id_marker).filter(|id| !id.is_empty()).map(Into::into);
    let (query, name) = (page.query.clone(), bucket.name.clone());
    let listing = match query.entries_max {
        0 => Listing::default(),
        _ => ask
            .blocking(move |state| state.store.list_versions(&name, &query))
            .await?
            .map_err(|error| refused(&error))?,
    };
    let mut document = Document::new("ListVersionsResult");
    document.element("Name", &bucket.name);
    page.echo(ask, &mut document, "MaxKeys");
    document.element("KeyMarker", page.keys.write(marker)).element("VersionIdMarker", id_marker);
    document.element("IsTruncated", listing.truncated);
    if let Some(last) = listing.entries.last().filter(|_| listing.truncated) {
        document.element("NextKeyMarker", page.keys.write_bytes(name_of(last)));
        if let Listed::Entry { value, .. } = last {
            document.element("NextVersionIdMarker", value.id_text());
        }
    }
    for listed in &listing.entries {
        let Listed::Entry { key, value: version, latest } = listed else { continue };
        let name = if version.object.is_some() { "Version" } else { "DeleteMarker" };
        document.open(name).element("Key", page.keys.write_bytes(key));
        document.element("VersionId", version.id_text()).element("IsLatest", latest);
        match &version.object {
            Some(object) => {
                write_object(&mut document, version, object);
                document.element("StorageClass", storage_class(object));
            }
            None => {
                document.element("LastModified", iso_date(version.modified_ms));
            }
        }
        write_owner(&mut document, &version.account);
        document.close(name);
    }
    write_prefixes(&mut document, &page.keys, &listing);
    Ok(xml(document, "ListVersionsResult"))
}

pub(super) async fn list_multipart_uploads(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    let facts = list_facts(ask, "max-uploads");
    ask.allow_on_bucket(&bucket, "s3:ListBucketMultipartUploads", &facts)?;
    let mut page = Page::of_request(ask, "max-uploads")?;
    let marker = ask.query("key-marker").unwrap_or_default();
    let id_marker = ask.query("upload-id-marker").unwrap_or_default();
    page.query.after = Some(marker).filter(|marker| !marker.is_empty()).map(Into::into);
    page.query.after_id = Some(id_marker).filter(|id| !id.is_empty()).map(Into::into);
    let (query, name) = (page.query.clone(), bucket.name.clone());
    let listing = match query.entries_max {
        0 => Listing::default(),
        _ => ask
            .blocking(move |state| state.store.list_uploads(&name, &query))
            .await?
            .map_err(|error| refused(&error))?,
    };
    let mut document = Document::new("ListMultipartUploadsResult");
    document.element("Bucket", &bucket.name);
    document.element("KeyMarker", page.keys.write(marker)).element("UploadIdMarker", id_marker);
    if let Some(last) = listing.entries.last().filter(|_| listing.truncated) {
        document.element("NextKeyMarker", page.keys.write_bytes(name_of(last)));
        if let Listed::Entry { value: (id, _), .. } = last {
            document.element("NextUploadIdMarker", id);
        }
    }
    page.echo(ask, &mut document, "MaxUploads");
    document.element("IsTruncated", listing.truncated);
    for listed in &listing.entries {
        let Listed::Entry { key, value: (id, upload), .. } = listed else { continue };
        document.open("Upload").element("Key", page.keys.write_bytes(key)).element("UploadId", id);
        document.open("Initiator").element("ID", &upload.initiator).close("Initiator");
        write_owner(&mut document, &upload.account);
        let class = upload.about.storage_class.as_deref().unwrap_or("STANDARD");
        document.element("StorageClass", class);
        document.element("Initiated", iso_date(upload.started_ms));
        if upload.checksum_declared {
            document.element("ChecksumAlgorithm", &upload.checksum_algorithm);
        }
        document.close("Upload");
    }
    write_prefixes(&mut document, &page.keys, &listing);
    Ok(xml(document, "ListMultipartUploadsResult"))
}

/// The buckets of the caller's account.
pub(super) async fn list_buckets(ask: &Ask) -> Answer {
    let Some(account) = ask.call.caller.account.clone() else {
        return Err(ApiError::access_denied().because("an anonymous caller has no buckets"));
    };
    let none = Vec::new();
    crate::authorize::authorize(
        &ask.state,
        &ask.call,
        "s3:ListAllMyBuckets",
        "*",
        &account,
        &[],
        &none,
    )?;
    let prefix = ask.query("prefix").unwrap_or_default();
    let after = match ask.query("continuation-token") {
        None => Vec::new(),
        Some(token) => TOKEN.decode(token).map_err(|_| {
            let message = "The continuation token provided is incorrect";
            invalid_argument(message, "continuation-token", token)
        })?,
    };
    let max = ask.number("max-buckets", 10_000, 10_000)?;
    let all = ask.store().buckets();
    let mut mine = all.iter().filter(|bucket| {
        bucket.account == account
            && bucket.name.starts_with(prefix)
            && bucket.name.as_bytes() > after.as_slice()
    });
    let mut document = Document::new("ListAllMyBucketsResult");
    write_owner(&mut document, &account);
    document.open("Buckets");
    let mut last = None;
    for bucket in mine.by_ref().take(max) {
        document.open("Bucket").element("Name", &bucket.name);
        document.element("CreationDate", iso_date(bucket.created_ms));
        document.element("BucketRegion", &ask.state.region).close("Bucket");
        last = Some(bucket.name.as_str());
    }
    document.close("Buckets");
    if let Some(last) = last.filter(|_| mine.next().is_some()) {
        document.element("ContinuationToken", TOKEN.encode(last));
    }
    document.optional("Prefix", ask.query("prefix"));
    Ok(xml(document, "ListAllMyBucketsResult"))
}
