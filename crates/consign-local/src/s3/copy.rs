//! CopyObject and UploadPartCopy: read with the right to read, written with the right to write,
//! decrypted and sealed anew on the way.

use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::about::{check_acl, parse_tag_header, write_facts};
use super::ask::{Ask, expect_owner, invalid_argument, invalid_request, refused};
use super::checksum::Algorithm;
use super::content::{self, Content};
use super::encryption::{self, CustomerKey, Plan};
use super::get::{Found, find_object, names_etag, write_checksum};
use super::ingest::{GATHER_BYTES, Ingest, Ingested};
use super::multipart::{open_upload, part_facts, store_part, upload_algorithm};
use super::put::{PUT_BYTES_MAX, check_early, describe_written, requested_condition, whole_object};
use super::response::{Answer, iso_date, parse_http_date, set, xml};
use super::store::{About, Bucket, DataKey, Object, Opened};
use super::xml::Document;
use crate::error::ApiError;
use crate::state::State;

const SOURCE: &str = "x-amz-copy-source";

/// The object that `x-amz-copy-source` names, if the caller may read it.
fn find_source(ask: &Ask) -> Result<Found, ApiError> {
    let text = ask.header(SOURCE).unwrap_or_default();
    let refuse = || {
        invalid_argument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            SOURCE,
            text,
        )
    };
    let (path, version_id) = match text.split_once("?versionId=") {
        Some((path, id)) => (path, Some(decode(id)?)),
        None => (text, None),
    };
    let path = decode(path)?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    if path.starts_with("arn:") {
        return Err(ApiError::not_implemented("Copying from an access point"));
    }
    let (bucket, key) = path.split_once('/').ok_or_else(refuse)?;
    if bucket.is_empty() || key.is_empty() || version_id.as_deref() == Some("") {
        return Err(refuse());
    }
    let bucket = ask.store().bucket(bucket).map_err(|error| refused(&error))?;
    expect_owner(ask.header("x-amz-source-expected-bucket-owner"), &bucket)?;
    let found = find_object(ask, bucket, key, version_id.as_deref(), &["s3:GetObject"], false);
    let found = found.map_err(|error| match error.code.as_str() {
        // A named delete marker cannot be copied, and is no method problem of the target.
        "MethodNotAllowed" => invalid_request(
            "The source of a copy request may not specifically \
                                               refer to a delete marker by version id.",
        ),
        _ => error,
    })?;
    check_source_conditions(ask, &found)?;
    Ok(found)
}

fn decode(text: &str) -> Result<String, ApiError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| invalid_argument("Invalid copy source encoding", SOURCE, text))
}

fn check_source_conditions(ask: &Ask, found: &Found) -> Result<(), ApiError> {
    let header = |name: &str| ask.header(&format!("{SOURCE}-{name}"));
    let date = |name: &str| header(name).and_then(parse_http_date);
    let modified = i64::try_from(found.version.modified_ms / 1000).unwrap_or(i64::MAX);
    let etag = &found.object.etag;
    let fails = match (header("if-match"), header("if-none-match")) {
        (Some(tags), _) if !names_etag(tags, etag) => true,
        (None, _) if date("if-unmodified-since").is_some_and(|since| modified > since) => true,
        (_, Some(tags)) if names_etag(tags, etag) => true,
        (_, None) => date("if-modified-since").is_some_and(|since| modified <= since),
        _ => false,
    };
    if fails {
        let message = "At least one of the pre-conditions you specified did not hold";
        let status = StatusCode::PRECONDITION_FAILED;
        return Err(ApiError::new(status, "PreconditionFailed", message)
            .with("Condition", "x-amz-copy-source-If-*"));
    }
    Ok(())
}

/// Opens the source, reads `range` of it and seals it under `key`.
async fn transfer(
    ask: &Ask,
    found: &Found,
    range: std::ops::Range<u64>,
    key: &DataKey,
    md5: bool,
    algorithm: Algorithm,
) -> Result<Ingested, ApiError> {
    let customer = CustomerKey::of_copy_source(ask)?;
    encryption::check_customer(&found.object.seal, customer.as_ref())?;
    let source = encryption::open(ask, &found.object.seal, customer.as_ref())?;
    let ingest = Ingest::start(ask.store().folder(), key, md5, vec![algorithm]);
    let open = opening(found, range.clone());
    if range.end - range.start <= GATHER_BYTES {
        let state = ask.state.clone();
        return ingest
            .finish_with(move || {
                let opened = open(&state)?;
                content::read_whole(state.store.folder(), source, opened, range)
                    .map_err(ApiError::internal)
            })
            .await;
    }
    let opened = ask.blocking(open).await??;
    let mut content = Content::open(ask.store().folder(), source, opened, range).await?;
    let mut ingest = ingest;
    while let Some(bytes) = content.next().await {
        ingest = ingest.push(bytes.map_err(ApiError::internal)?).await?;
    }
    ingest.finish().await
}

/// Opens the content of the source, which may have gone away since it was found.
fn opening(
    found: &Found,
    range: std::ops::Range<u64>,
) -> impl FnOnce(&State) -> Result<Opened, ApiError> + Send + 'static {
    let (bucket, key) = (found.bucket.name.clone(), found.key.clone());
    let version = found.version.clone();
    move |state| {
        let opened = state.store.open_content(&bucket, key.as_bytes(), &version, range);
        opened.map_err(|error| refused(&error))?.ok_or_else(|| {
            let message = "The source was replaced while it was copied. Please try again.";
            ApiError::new(StatusCode::CONFLICT, "OperationAborted", message)
        })
    }
}

pub(super) async fn copy_object(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    let (about, replaces_tags) = requested_about(ask)?;
    let facts = write_facts(ask, &about.tags, true);
    ask.allow_on_key(&bucket, ask.key(), "s3:PutObject", &facts)?;
    let found = find_source(ask)?;
    let about = merged_about(ask, &bucket, &found, about, replaces_tags)?;
    if check_acl(ask, &bucket)? {
        ask.allow_on_key(&bucket, ask.key(), "s3:PutObjectAcl", &facts)?;
    }
    if found.object.bytes > PUT_BYTES_MAX {
        return Err(invalid_request(
            "The specified copy source is larger than the maximum allowable \
                                    size for a copy source: 5368709120",
        ));
    }
    let condition = requested_condition(ask)?;
    let plan = Plan::of_request(ask, &bucket)?;
    check_self_copy(ask, &found, &bucket)?;
    check_early(ask, &bucket, &condition)?;
    let algorithm = copy_algorithm(ask, &found.object)?;
    let (key, seal) = plan.make_key(ask, &bucket, ask.key())?;
    let md5 = encryption::has_md5_etag(&seal);
    let range = 0..found.object.bytes;
    let ingested = transfer(ask, &found, range, &key, md5, algorithm).await?;
    let new = whole_object(ask, &bucket, ingested, algorithm, &key, seal, about)?;
    let object = new.object.clone();
    let announcer = super::notify::announcer(ask, &bucket, "Copy");
    let version_id = ask
        .store()
        .put_version(&bucket.name, ask.key().as_bytes(), new, condition, announcer)
        .await
        .map_err(|error| refused(&error))?;
    let mut document = Document::new("CopyObjectResult");
    document.element("LastModified", iso_date(ask.call.now_ms));
    document.element("ETag", format!("\"{}\"", object.etag));
    if let Some(checksum) = &object.checksum {
        write_checksum(&mut document, checksum);
        document.element("ChecksumType", checksum.kind());
    }
    let mut response = xml(document, "CopyObjectResult");
    let headers = response.headers_mut();
    describe_written(headers, &object, version_id.as_deref(), &plan)?;
    headers.remove("etag");
    describe_source(headers, &found)?;
    Ok(response)
}

fn describe_source(headers: &mut http::HeaderMap, found: &Found) -> Result<(), ApiError> {
    if found.bucket.is_versioned() {
        set(headers, "x-amz-copy-source-version-id", found.version.id_text())?;
    }
    Ok(())
}

/// What the request says about the copy, and whether it brings its own tags.
fn requested_about(ask: &Ask) -> Result<(About, bool), ApiError> {
    let directive = |name: &str| match ask.header(name) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(invalid_argument("Unknown directive.", name, other)),
    };
    let replaces = directive("x-amz-metadata-directive")?;
    let replaces_tags = directive("x-amz-tagging-directive")?;
    let mut about = About::of_request(ask)?;
    if !replaces {
        about.headers.clear();
        about.metadata.clear();
    }
    about.tags = match ask.header("x-amz-tagging").filter(|_| replaces_tags) {
        Some(text) => parse_tag_header(text)?,
        None => Vec::new(),
    };
    Ok((about, replaces_tags))
}

/// The copy's own headers, metadata and tags, or the source's. Copied tags must be readable at the
/// source and writable at the target.
fn merged_about(
    ask: &Ask,
    bucket: &Bucket,
    found: &Found,
    requested: About,
    replaces_tags: bool,
) -> Result<About, ApiError> {
    let source = &found.object.about;
    let mut about = requested;
    if ask.header("x-amz-metadata-directive") != Some("REPLACE") {
        about.metadata = source.metadata.clone();
        about.headers = source.headers.clone();
    }
    if !replaces_tags && !source.tags.is_empty() {
        let action = match ask.header(SOURCE).is_some_and(|text| text.contains("?versionId=")) {
            true => "s3:GetObjectVersionTagging",
            false => "s3:GetObjectTagging",
        };
        ask.allow_on_key(&found.bucket, &found.key, action, &Vec::new())?;
        about.tags = source.tags.clone();
    }
    if !about.tags.is_empty() {
        let facts = write_facts(ask, &about.tags, true);
        ask.allow_on_key(bucket, ask.key(), "s3:PutObjectTagging", &facts)?;
    }
    Ok(about)
}

/// A copy of an object onto itself must change something.
fn check_self_copy(ask: &Ask, found: &Found, bucket: &Bucket) -> Result<(), ApiError> {
    let same = found.bucket.name == bucket.name && found.key == ask.key();
    let old = ask.header(SOURCE).is_some_and(|text| text.contains("?versionId="));
    let changes = ask.header("x-amz-metadata-directive") == Some("REPLACE")
        || ask.header("x-amz-storage-class").is_some()
        || ask.header("x-amz-website-redirect-location").is_some()
        || ask
            .call
            .parts
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("x-amz-server-side-encryption"));
    if same && !old && !changes {
        return Err(invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without \
             changing the object's metadata, storage class, website redirect location or \
             encryption attributes.",
        ));
    }
    Ok(())
}

/// The checksum asked for, else the source's, else the default.
fn copy_algorithm(ask: &Ask, source: &Object) -> Result<Algorithm, ApiError> {
    match ask.header("x-amz-checksum-algorithm") {
        Some(name) => Algorithm::parse(name)
            .ok_or_else(|| invalid_request("Checksum algorithm provided is unsupported.")),
        None => {
            let source = source.checksum.as_ref();
            let kept = source.and_then(|checksum| Algorithm::parse(&checksum.algorithm));
            Ok(kept.unwrap_or(Algorithm::Crc64Nvme))
        }
    }
}

pub(super) async fn upload_part_copy(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    ask.allow_on_key(&bucket, ask.key(), "s3:PutObject", &part_facts(ask))?;
    let found = find_source(ask)?;
    let range = source_range(ask, found.object.bytes)?;
    let open = open_upload(ask, &bucket)?;
    let algorithm = upload_algorithm(&open.upload)?;
    let md5 = encryption::has_md5_etag(&open.upload.seal);
    let ingested = transfer(ask, &found, range, &open.key, md5, algorithm).await?;
    let part = store_part(ask, &bucket, &open, ingested).await?;
    let mut document = Document::new("CopyPartResult");
    document.element("LastModified", iso_date(ask.call.now_ms));
    document.element("ETag", format!("\"{}\"", part.etag));
    write_checksum(&mut document, &part.checksum);
    let mut response = xml(document, "CopyPartResult");
    let headers = response.headers_mut();
    describe_source(headers, &found)?;
    encryption::describe(headers, &open.upload.seal, open.customer.as_ref())?;
    Ok(response)
}

/// `x-amz-copy-source-range: bytes=a-b`, both ends within the source.
fn source_range(ask: &Ask, bytes: u64) -> Result<std::ops::Range<u64>, ApiError> {
    let Some(text) = ask.header("x-amz-copy-source-range") else {
        if bytes > PUT_BYTES_MAX {
            return Err(invalid_request(
                "The specified copy source is larger than the maximum \
                                        allowable size for a copy source: 5368709120",
            ));
        }
        return Ok(0..bytes);
    };
    let ends = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let Some((first, last)) = ends.filter(|(first, last): &(u64, u64)| first <= last) else {
        let message = "The x-amz-copy-source-range value must be of the form bytes=first-last \
                       where first and last are the zero-based offsets of the first and last bytes \
                       to copy";
        return Err(invalid_argument(message, "x-amz-copy-source-range", text));
    };
    if last >= bytes || last - first >= PUT_BYTES_MAX {
        let message = format!("Range specified is not valid for source object of size: {bytes}");
        return Err(invalid_argument(&message, "x-amz-copy-source-range", text));
    }
    Ok(first..last + 1)
}
