//! GetObject, HeadObject, GetObjectAttributes: finding a version, conditions, ranges.

use std::ops::Range;
use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;

use super::about::existing_facts;
use super::ask::{Ask, invalid_argument, invalid_request, refused};
use super::checksum::Algorithm;
use super::content::Content;
use super::encryption::{self, CustomerKey};
use super::put::describe_checksum;
use super::response::{Answer, empty, http_date, insert, parse_http_date, set, xml};
use super::store::{Bucket, Checksum, Object, StoreError, StoreErrorKind, Version};
use super::xml::Document;
use crate::call::AuthType;
use crate::error::ApiError;

/// How often a read starts over because the object was replaced under its hands.
const RETRIES_MAX: u32 = 8;

/// An object that the caller may read.
pub(super) struct Found {
    pub(super) bucket: Arc<Bucket>,
    pub(super) key: String,
    pub(super) version: Version,
    pub(super) object: Object,
}

pub(super) async fn get_object(ask: &Ask) -> Answer {
    for _ in 0..RETRIES_MAX {
        let found = find_readable(ask, &["s3:GetObject"])?;
        if let Some(response) = answer_get(ask, &found).await? {
            return Ok(response);
        }
    }
    Err(ApiError::internal("the object is replaced faster than it is read"))
}

/// `None` if the object went away before its content was opened.
async fn answer_get(
    ask: &Ask,
    found: &Found,
) -> Result<Option<Response<crate::error::ResponseBody>>, ApiError> {
    let Found { bucket, version, object, .. } = found;
    let customer = CustomerKey::of_request(ask)?;
    encryption::check_customer(&object.seal, customer.as_ref())?;
    check_conditions(ask, version, object)?;
    let (range, part) = requested_range(ask, version, object).await?;
    let wants_checksum =
        ask.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"));
    let head = *ask.method() == Method::HEAD;
    // A HEAD says nothing of the content, unless it asks for a checksum.
    let key = match head && !wants_checksum && customer.is_none() {
        true => None,
        false => Some(encryption::open(ask, &object.seal, customer.as_ref())?),
    };
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    describe_version(headers, bucket, version, object)?;
    override_headers(ask, headers)?;
    encryption::describe(headers, &object.seal, customer.as_ref())?;
    if !object.about.tags.is_empty()
        && ask
            .allow_on_key(bucket, ask.key(), "s3:GetObjectTagging", &facts_of(ask, object))
            .is_ok()
    {
        set(headers, "x-amz-tagging-count", object.about.tags.len())?;
    }
    if wants_checksum {
        let whole = range.is_none().then_some(object.checksum.as_ref()).flatten();
        if let Some(checksum) = part.as_ref().and_then(|part| part.checksum.as_ref()).or(whole) {
            describe_checksum(headers, checksum)?;
        }
    }
    if let (Some(_), Some(parts)) = (&part, object.parts) {
        set(headers, "x-amz-mp-parts-count", parts)?;
    }
    let bytes = range.clone().unwrap_or(0..object.bytes);
    set(headers, "content-length", bytes.end - bytes.start)?;
    if range.is_some() {
        let last = bytes.end.saturating_sub(1);
        set(headers, "content-range", format!("bytes {}-{last}/{}", bytes.start, object.bytes))?;
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if let Some(key) = key.filter(|_| !head && !bytes.is_empty()) {
        let (name, object_key) = (bucket.name.clone(), ask.key().to_owned());
        let (version, wanted) = (version.clone(), bytes.clone());
        let opened = ask
            .blocking(move |state| {
                state.store.open_content(&name, object_key.as_bytes(), &version, wanted)
            })
            .await?
            .map_err(|error| refused(&error))?;
        let Some(opened) = opened else { return Ok(None) };
        let content = Content::open(ask.store().folder(), key, opened, bytes).await?;
        *response.body_mut() = content.map_err(Into::into).boxed_unsync();
    }
    Ok(Some(response))
}

fn facts_of(ask: &Ask, object: &Object) -> crate::authorize::Facts {
    existing_facts(ask, &object.about.tags)
}

/// The version id asked for.
pub(super) fn requested_version(ask: &Ask) -> Result<Option<String>, ApiError> {
    match ask.query("versionId") {
        Some("") => Err(invalid_argument("Version id cannot be the empty string", "versionId", "")),
        other => Ok(other.map(str::to_owned)),
    }
}

/// `s3:GetObject` becomes `s3:GetObjectVersion` when a version is named, and so on.
pub(super) fn versioned_action(action: &str, version_id: Option<&str>) -> String {
    match (version_id, action) {
        (None, action) => action.to_owned(),
        (Some(_), "s3:GetObject") => "s3:GetObjectVersion".to_owned(),
        (Some(_), "s3:GetObjectAttributes") => "s3:GetObjectVersionAttributes".to_owned(),
        (Some(_), "s3:GetObjectTagging") => "s3:GetObjectVersionTagging".to_owned(),
        (Some(_), "s3:PutObjectTagging") => "s3:PutObjectVersionTagging".to_owned(),
        (Some(_), "s3:DeleteObjectTagging") => "s3:DeleteObjectVersionTagging".to_owned(),
        (Some(_), "s3:GetObjectAcl") => "s3:GetObjectVersionAcl".to_owned(),
        (Some(_), "s3:PutObjectAcl") => "s3:PutObjectVersionAcl".to_owned(),
        (Some(_), "s3:DeleteObject") => "s3:DeleteObjectVersion".to_owned(),
        (Some(_), action) => action.to_owned(),
    }
}

/// Finds the object that the request names, if the caller may do all of `actions` on it.
pub(super) fn find_readable(ask: &Ask, actions: &[&str]) -> Result<Found, ApiError> {
    let bucket = ask.bucket()?;
    let version_id = requested_version(ask)?;
    let key = ask.key().to_owned();
    find_object(ask, bucket, &key, version_id.as_deref(), actions, true)
}

/// As [`find_readable`], of any key. What is not there is 404 for those who may list the bucket and
/// 403 for everybody else: whether a key exists is a secret too.
pub(super) fn find_object(
    ask: &Ask,
    bucket: Arc<Bucket>,
    key: &str,
    version_id: Option<&str>,
    actions: &[&str],
    direct: bool,
) -> Result<Found, ApiError> {
    let found = ask.store().find(&bucket.name, key.as_bytes(), version_id);
    let tags = match &found {
        Ok(Version { object: Some(object), .. }) => object.about.tags.as_slice(),
        _ => &[],
    };
    let mut facts = if direct { existing_facts(ask, tags) } else { Vec::new() };
    if !direct {
        facts.extend(
            tags.iter()
                .map(|(name, value)| (format!("s3:ExistingObjectTag/{name}"), value.clone())),
        );
        facts.extend(version_id.map(|id| ("s3:VersionId".to_owned(), id.to_owned())));
    }
    for action in actions {
        ask.allow_on_key(&bucket, key, &versioned_action(action, version_id), &facts)?;
    }
    let hide = |error: ApiError| match version_id {
        None => {
            ask.allow_on_bucket(&bucket, "s3:ListBucket", &Vec::new()).err().map_or(error, |_| {
                ApiError::access_denied().because("no such key, and no s3:ListBucket to know it")
            })
        }
        Some(_) => error,
    };
    let version = found.map_err(|error| hide(missing(&error, key, version_id)))?;
    match version.object.clone() {
        Some(object) => Ok(Found { bucket, key: key.to_owned(), version, object }),
        None => Err(hide(deleted(&version, key, version_id))),
    }
}

fn missing(error: &StoreError, key: &str, version_id: Option<&str>) -> ApiError {
    let mut refusal = refused(error);
    if error.kind() == StoreErrorKind::NoSuchKey {
        refusal = refusal.with("Key", key);
    }
    if let Some(id) = version_id {
        refusal = refusal.with("Key", key).with("VersionId", id);
    }
    refusal
}

/// The answer to a GET that meets a delete marker.
fn deleted(version: &Version, key: &str, version_id: Option<&str>) -> ApiError {
    let error = match version_id {
        None => {
            ApiError::new(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
                .with("Key", key)
        }
        Some(_) => ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        )
        .with("ResourceType", "DeleteMarker")
        .header("last-modified", http_date(version.modified_ms))
        .header("allow", "DELETE"),
    };
    error.header("x-amz-delete-marker", "true").header("x-amz-version-id", version.id_text())
}

/// The conditions of RFC 9110 §13.2.2, in its order: a tag decides before a date does.
fn check_conditions(ask: &Ask, version: &Version, object: &Object) -> Result<(), ApiError> {
    let modified = i64::try_from(version.modified_ms / 1000).unwrap_or(i64::MAX);
    let failed = |name: &str| {
        let message = "At least one of the pre-conditions you specified did not hold";
        let error = ApiError::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message);
        Err(error.with("Condition", name))
    };
    let unmodified = || {
        let error = ApiError::new(StatusCode::NOT_MODIFIED, "NotModified", "Not Modified");
        let error = error
            .header("etag", format!("\"{}\"", object.etag))
            .header("last-modified", http_date(version.modified_ms));
        Err(match &version.version_id {
            Some(id) => error.header("x-amz-version-id", id.clone()),
            None => error,
        })
    };
    let date = |name: &str| ask.header(name).and_then(parse_http_date);
    if let Some(tags) = ask.header("if-match") {
        if !names_etag(tags, &object.etag) {
            return failed("If-Match");
        }
    } else if date("if-unmodified-since").is_some_and(|since| modified > since) {
        return failed("If-Unmodified-Since");
    }
    if let Some(tags) = ask.header("if-none-match") {
        if names_etag(tags, &object.etag) {
            return unmodified();
        }
    } else if date("if-modified-since").is_some_and(|since| modified <= since) {
        return unmodified();
    }
    Ok(())
}

/// Whether a list of entity tags names this one.
pub(super) fn names_etag(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.trim_matches('"') == etag
    })
}

/// One part of an object that came in parts.
struct PartAsked {
    checksum: Option<Checksum>,
}

/// The bytes asked for by `Range` or `partNumber`; `None` is all of them.
async fn requested_range(
    ask: &Ask,
    version: &Version,
    object: &Object,
) -> Result<(Option<Range<u64>>, Option<PartAsked>), ApiError> {
    if let Some(number) = ask.query("partNumber") {
        if ask.header("range").is_some() {
            return Err(invalid_request(
                "Cannot specify both Range header and partNumber query \
                                        parameter",
            ));
        }
        return part_range(ask, object, number).await;
    }
    let Some(range) = ask.header("range") else {
        return Ok((None, None));
    };
    let current = match ask.header("if-range") {
        None => true,
        Some(tag) if tag.starts_with('"') || tag.starts_with("W/") => names_etag(tag, &object.etag),
        Some(date) => parse_http_date(date).is_some_and(|since| {
            i64::try_from(version.modified_ms / 1000).is_ok_and(|modified| modified <= since)
        }),
    };
    if !current {
        return Ok((None, None));
    }
    match parse_range(range, object.bytes) {
        RangeAsked::Whole => Ok((None, None)),
        RangeAsked::Bytes(bytes) => Ok((Some(bytes), None)),
        RangeAsked::Beyond => Err(ApiError::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The requested range is not satisfiable",
        )
        .with("RangeRequested", range)
        .with("ActualObjectSize", object.bytes.to_string())
        .header("content-range", format!("bytes */{}", object.bytes))),
    }
}

async fn part_range(
    ask: &Ask,
    object: &Object,
    number: &str,
) -> Result<(Option<Range<u64>>, Option<PartAsked>), ApiError> {
    let wanted = number.parse::<usize>().ok().filter(|number| (1..=10_000).contains(number));
    let Some(wanted) = wanted else {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        return Err(invalid_argument(message, "partNumber", number));
    };
    let (copy, whole) = (object.clone(), object.parts.is_none());
    let segments =
        ask.blocking(move |state| state.store.segments(&copy)).await?.map_err(|e| refused(&e))?;
    match segments.get(wanted - 1) {
        Some((begin, segment)) if segment.bytes > 0 => {
            let checksum = if whole { object.checksum.clone() } else { segment.checksum.clone() };
            Ok((Some(*begin..begin + segment.bytes), Some(PartAsked { checksum })))
        }
        Some(_) => Ok((None, None)),
        None => Err(ApiError::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
        )),
    }
}

/// What a `Range` header asks of a content of some length.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RangeAsked {
    /// Not a range that S3 understands: ignored.
    Whole,
    Bytes(Range<u64>),
    Beyond,
}

pub(super) fn parse_range(text: &str, bytes: u64) -> RangeAsked {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return RangeAsked::Whole;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => RangeAsked::Whole,
        (Ok(first), _) if first >= bytes => {
            match last.is_empty() || last.trim().parse::<u64>().is_ok() {
                true => RangeAsked::Beyond,
                false => RangeAsked::Whole,
            }
        }
        (Ok(first), Ok(last)) => RangeAsked::Bytes(first..last.saturating_add(1).min(bytes)),
        (Ok(first), Err(_)) if last.is_empty() => RangeAsked::Bytes(first..bytes),
        (Err(_), Ok(suffix)) if first.is_empty() => match suffix.min(bytes) {
            0 => RangeAsked::Beyond,
            suffix => RangeAsked::Bytes(bytes - suffix..bytes),
        },
        _ => RangeAsked::Whole,
    }
}

fn describe_version(
    headers: &mut HeaderMap,
    bucket: &Bucket,
    version: &Version,
    object: &Object,
) -> Result<(), ApiError> {
    set(headers, "etag", format!("\"{}\"", object.etag))?;
    set(headers, "last-modified", http_date(version.modified_ms))?;
    set(headers, "accept-ranges", "bytes")?;
    set(headers, "content-type", "binary/octet-stream")?;
    if bucket.is_versioned() || version.version_id.is_some() {
        set(headers, "x-amz-version-id", version.id_text())?;
    }
    for (name, value) in &object.about.headers {
        insert(headers, name.parse().map_err(ApiError::internal)?, value)?;
    }
    for (name, value) in &object.about.metadata {
        let name = format!("x-amz-meta-{name}");
        insert(headers, name.parse().map_err(ApiError::internal)?, value)?;
    }
    if let Some(class) = &object.about.storage_class {
        set(headers, "x-amz-storage-class", class)?;
    }
    Ok(())
}

/// `response-content-type` and its like: only for those who can be named.
fn override_headers(ask: &Ask, headers: &mut HeaderMap) -> Result<(), ApiError> {
    for name in [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    ] {
        let Some(value) = ask.query(&format!("response-{name}")) else { continue };
        if ask.call.auth == AuthType::Anonymous {
            return Err(invalid_request(
                "Request specific response headers cannot be used for anonymous GET requests.",
            ));
        }
        let value = http::HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| invalid_argument("Header value cannot be sent", name, value))?;
        headers.insert(name, value);
    }
    Ok(())
}

pub(super) async fn get_object_attributes(ask: &Ask) -> Answer {
    let found = find_readable(ask, &["s3:GetObject", "s3:GetObjectAttributes"])?;
    let Found { bucket, version, object, .. } = found;
    let customer = CustomerKey::of_request(ask)?;
    encryption::check_customer(&object.seal, customer.as_ref())?;
    encryption::open(ask, &object.seal, customer.as_ref())?;
    let Some(wanted) = ask.header("x-amz-object-attributes") else {
        return Err(invalid_request("The x-amz-object-attributes header is required"));
    };
    let wants = |name: &str| wanted.split(',').any(|found| found.trim() == name);
    let mut document = Document::new("GetObjectAttributesResponse");
    if wants("ETag") {
        document.element("ETag", &object.etag);
    }
    if let Some(checksum) = object.checksum.as_ref().filter(|_| wants("Checksum")) {
        document.open("Checksum");
        write_checksum(&mut document, checksum);
        document.element("ChecksumType", checksum.kind()).close("Checksum");
    }
    if let Some(parts) = object.parts.filter(|_| wants("ObjectParts")) {
        document.open("ObjectParts").element("TotalPartsCount", parts);
        if object.checksum.as_ref().is_some_and(|checksum| checksum.composite) {
            write_parts(ask, &object, &mut document).await?;
        }
        document.close("ObjectParts");
    }
    if wants("StorageClass") {
        document
            .element("StorageClass", object.about.storage_class.as_deref().unwrap_or("STANDARD"));
    }
    if wants("ObjectSize") {
        document.element("ObjectSize", object.bytes);
    }
    let mut response = xml(document, "GetObjectAttributesResponse");
    let headers = response.headers_mut();
    set(headers, "last-modified", http_date(version.modified_ms))?;
    if bucket.is_versioned() {
        set(headers, "x-amz-version-id", version.id_text())?;
    }
    Ok(response)
}

async fn write_parts(ask: &Ask, object: &Object, document: &mut Document) -> Result<(), ApiError> {
    let copy = object.clone();
    let segments =
        ask.blocking(move |state| state.store.segments(&copy)).await?.map_err(|e| refused(&e))?;
    let after = ask.header("x-amz-part-number-marker").and_then(|text| text.parse().ok());
    let after: u16 = after.unwrap_or(0);
    let max = ask.header("x-amz-max-parts").and_then(|text| text.parse().ok());
    let max: usize = max.unwrap_or(1000).min(1000);
    let rest: Vec<_> = segments.iter().filter(|(_, segment)| segment.part > after).collect();
    document.element("PartNumberMarker", after).element("MaxParts", max);
    if let Some((_, last)) = rest.iter().take(max).next_back() {
        document.element("NextPartNumberMarker", last.part);
    }
    document.element("IsTruncated", rest.len() > max);
    for (_, segment) in rest.iter().take(max) {
        document.open("Part").element("PartNumber", segment.part).element("Size", segment.bytes);
        if let Some(checksum) = &segment.checksum {
            write_checksum(document, checksum);
        }
        document.close("Part");
    }
    Ok(())
}

/// `<ChecksumCRC32>…</ChecksumCRC32>`.
pub(super) fn write_checksum(document: &mut Document, checksum: &Checksum) {
    if let Some(algorithm) = Algorithm::parse(&checksum.algorithm) {
        document.element(algorithm.element(), &checksum.value);
    }
}

/// GetObjectAcl: the owner has full control, and nobody else anything.
pub(super) async fn get_object_acl(ask: &Ask) -> Answer {
    let found = find_readable(ask, &["s3:GetObjectAcl"])?;
    Ok(xml(owner_acl(&found.bucket.account), "AccessControlPolicy"))
}

pub(super) fn owner_acl(account: &str) -> Document {
    let mut document = Document::new("AccessControlPolicy");
    document.open("Owner").element("ID", owner_id(account)).close("Owner");
    document.open("AccessControlList").open("Grant").raw(
        "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:type=\"CanonicalUser\">",
    );
    document.element("ID", owner_id(account)).close("Grantee");
    document.element("Permission", "FULL_CONTROL").close("Grant").close("AccessControlList");
    document
}

/// The canonical user id of an account: 64 hexadecimal digits that stand for it.
pub(super) fn owner_id(account: &str) -> String {
    let name = format!("consign-local canonical user {account}");
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, bytes, expected) in [
            ("bytes=0-0", 10, RangeAsked::Bytes(0..1)),
            ("bytes=2-5", 10, RangeAsked::Bytes(2..6)),
            ("bytes=2-", 10, RangeAsked::Bytes(2..10)),
            ("bytes=2-99999999999999999999999", 10, RangeAsked::Whole),
            ("bytes=2-18446744073709551615", 10, RangeAsked::Bytes(2..10)),
            ("bytes=-3", 10, RangeAsked::Bytes(7..10)),
            ("bytes=-30", 10, RangeAsked::Bytes(0..10)),
            ("bytes=-0", 10, RangeAsked::Beyond),
            ("bytes=10-", 10, RangeAsked::Beyond),
            ("bytes=10-11", 10, RangeAsked::Beyond),
            ("bytes=0-", 0, RangeAsked::Beyond),
            ("bytes=-1", 0, RangeAsked::Beyond),
            ("bytes=5-2", 10, RangeAsked::Whole),
            ("bytes=a-b", 10, RangeAsked::Whole),
            ("bytes=0-1,3-4", 10, RangeAsked::Whole),
            ("items=0-1", 10, RangeAsked::Whole),
            ("bytes=-", 10, RangeAsked::Whole),
        ] {
            assert_eq!(parse_range(text, bytes), expected, "{text} of {bytes}");
        }
    }
}
