//! What a writer says about an object (headers, metadata, tags), and what of it policies ask about.

use std::collections::BTreeMap;

use super::ask::{Ask, invalid_argument, invalid_request};
use super::store::{About, Bucket};
use super::xml::{Node, malformed};
use crate::authorize::Facts;
use crate::error::ApiError;
use crate::kms;

/// Headers kept with an object and returned with it.
const KEPT_HEADERS: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
];
const METADATA: &str = "x-amz-meta-";
/// Names and values together.
const METADATA_BYTES_MAX: usize = 2048;
const TAGS_MAX: usize = 10;
const STORAGE_CLASSES: [&str; 9] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
    "EXPRESS_ONEZONE",
];

impl About {
    /// From the headers of PutObject, CopyObject with REPLACE, CreateMultipartUpload.
    pub(super) fn of_request(ask: &Ask) -> Result<About, ApiError> {
        refuse_locks(ask)?;
        let mut headers = BTreeMap::new();
        for name in KEPT_HEADERS {
            let Some(value) = ask.header(name) else { continue };
            let value = match name {
                "content-encoding" => without_chunking(value),
                _ => value.to_owned(),
            };
            if !value.is_empty() {
                headers.insert(name.to_owned(), value);
            }
        }
        let storage_class = requested_storage_class(ask)?;
        let tags = match ask.header("x-amz-tagging") {
            Some(text) => parse_tag_header(text)?,
            None => Vec::new(),
        };
        Ok(About { headers, metadata: requested_metadata(ask)?, tags, storage_class })
    }
}

/// Object Lock is not offered: a lock that is not kept must not be accepted.
fn refuse_locks(ask: &Ask) -> Result<(), ApiError> {
    let locks = ["x-amz-object-lock-mode", "x-amz-object-lock-legal-hold"];
    if locks.iter().any(|name| ask.header(name).is_some()) {
        return Err(invalid_request("Bucket is missing Object Lock Configuration"));
    }
    Ok(())
}

pub(super) fn requested_storage_class(ask: &Ask) -> Result<Option<String>, ApiError> {
    match ask.header("x-amz-storage-class") {
        None | Some("STANDARD") => Ok(None),
        Some(class) if STORAGE_CLASSES.contains(&class) => Ok(Some(class.to_owned())),
        Some(_) => Err(ApiError::bad_request(
            "InvalidStorageClass",
            "The storage class you specified is not valid",
        )),
    }
}

/// `aws-chunked` is how the body travelled, not what it is.
fn without_chunking(value: &str) -> String {
    let kept =
        value.split(',').map(str::trim).filter(|token| !token.eq_ignore_ascii_case("aws-chunked"));
    kept.collect::<Vec<_>>().join(",")
}

fn requested_metadata(ask: &Ask) -> Result<BTreeMap<String, String>, ApiError> {
    let mut metadata: BTreeMap<String, String> = BTreeMap::new();
    let mut bytes = 0;
    for (name, value) in &ask.call.parts.headers {
        let Some(name) = name.as_str().strip_prefix(METADATA) else { continue };
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| invalid_argument("Metadata values must be UTF-8", METADATA, name))?;
        bytes += name.len() + value.len();
        metadata
            .entry(name.to_owned())
            .and_modify(|earlier| {
                earlier.push(',');
                earlier.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    if bytes > METADATA_BYTES_MAX {
        return Err(ApiError::bad_request(
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
        )
        .with("Size", bytes.to_string())
        .with("MaxSizeAllowed", METADATA_BYTES_MAX.to_string()));
    }
    Ok(metadata)
}

/// `x-amz-tagging`: tags as a query string.
pub(super) fn parse_tag_header(text: &str) -> Result<Vec<(String, String)>, ApiError> {
    let mut tags = Vec::new();
    let decode = |part: &str| {
        percent_encoding::percent_decode_str(&part.replace('+', " "))
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| invalid_tag("The header 'x-amz-tagging' shall be encoded as UTF-8"))
    };
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        tags.push((decode(name)?, decode(value)?));
    }
    check_tags(&tags, TAGS_MAX)?;
    Ok(tags)
}

/// `<Tagging><TagSet><Tag><Key/><Value/></Tag>…`.
pub(super) fn parse_tag_document(
    document: &[u8],
    tags_max: usize,
) -> Result<Vec<(String, String)>, ApiError> {
    let root = Node::parse(document, "Tagging")?;
    root.only(&["TagSet"])?;
    let set = root.child("TagSet").ok_or_else(|| malformed("no TagSet"))?;
    set.only(&["Tag"])?;
    let mut tags = Vec::new();
    for tag in set.all("Tag") {
        tag.only(&["Key", "Value"])?;
        let key = tag.text_of("Key").ok_or_else(|| malformed("a tag without a key"))?;
        let value = tag.text_of("Value").ok_or_else(|| malformed("a tag without a value"))?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    check_tags(&tags, tags_max)?;
    Ok(tags)
}

fn invalid_tag(message: &str) -> ApiError {
    ApiError::bad_request("InvalidTag", message)
}

fn check_tags(tags: &[(String, String)], tags_max: usize) -> Result<(), ApiError> {
    if tags.len() > tags_max {
        let message = format!("Object tags cannot be greater than {tags_max}");
        return Err(ApiError::bad_request("BadRequest", message));
    }
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    for (index, (key, value)) in tags.iter().enumerate() {
        let lengths = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
        if !lengths || !key.chars().all(allowed) || key.starts_with("aws:") {
            return Err(invalid_tag("The TagKey you have provided is invalid").with("TagKey", key));
        }
        if !value.chars().all(allowed) {
            return Err(
                invalid_tag("The TagValue you have provided is invalid").with("TagValue", value)
            );
        }
        if tags.iter().take(index).any(|(earlier, _)| earlier == key) {
            return Err(
                invalid_tag("Cannot provide multiple Tags with the same key").with("TagKey", key)
            );
        }
    }
    Ok(())
}

/// The condition keys that come straight from headers of requests that write objects.
const HEADER_FACTS: [(&str, &str); 12] = [
    ("x-amz-acl", "s3:x-amz-acl"),
    ("x-amz-grant-full-control", "s3:x-amz-grant-full-control"),
    ("x-amz-grant-read", "s3:x-amz-grant-read"),
    ("x-amz-grant-read-acp", "s3:x-amz-grant-read-acp"),
    ("x-amz-grant-write", "s3:x-amz-grant-write"),
    ("x-amz-grant-write-acp", "s3:x-amz-grant-write-acp"),
    ("x-amz-server-side-encryption", "s3:x-amz-server-side-encryption"),
    (
        "x-amz-server-side-encryption-customer-algorithm",
        "s3:x-amz-server-side-encryption-customer-algorithm",
    ),
    ("x-amz-storage-class", "s3:x-amz-storage-class"),
    ("x-amz-metadata-directive", "s3:x-amz-metadata-directive"),
    ("if-none-match", "s3:if-none-match"),
    ("if-match", "s3:if-match"),
];

/// What policies can ask of a request that writes an object. `creates` is
/// `s3:ObjectCreationOperation`: whether an object comes into being by it.
pub(super) fn write_facts(ask: &Ask, tags: &[(String, String)], creates: bool) -> Facts {
    let mut facts = Facts::new();
    for (header, fact) in HEADER_FACTS {
        if let Some(value) = ask.header(header) {
            facts.push((fact.to_owned(), value.to_owned()));
        }
    }
    if let Some(key) = ask.header("x-amz-server-side-encryption-aws-kms-key-id") {
        // Policies name the key by ARN however the request names it.
        let arn = kms::key_arn(&ask.state, &ask.call, key).unwrap_or_else(|_| key.to_owned());
        facts.push(("s3:x-amz-server-side-encryption-aws-kms-key-id".to_owned(), arn));
    }
    if let Some(source) = ask.header("x-amz-copy-source") {
        facts.push(("s3:x-amz-copy-source".to_owned(), decoded_source(source)));
    }
    facts.push(("s3:ObjectCreationOperation".to_owned(), creates.to_string()));
    tag_facts(&mut facts, tags);
    facts
}

/// `bucket/key` as policies write it: decoded, no leading slash, no version.
fn decoded_source(source: &str) -> String {
    let path = source.split_once("?versionId=").map_or(source, |(path, _)| path);
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    decoded.strip_prefix('/').map(str::to_owned).unwrap_or(decoded)
}

/// Tags that a request brings.
pub(super) fn tag_facts(facts: &mut Facts, tags: &[(String, String)]) {
    for (key, value) in tags {
        facts.push((format!("s3:RequestObjectTag/{key}"), value.clone()));
        facts.push(("s3:RequestObjectTagKeys".to_owned(), key.clone()));
    }
}

/// Tags that the object already has, and the version asked for.
pub(super) fn existing_facts(ask: &Ask, tags: &[(String, String)]) -> Facts {
    let mut facts = Facts::new();
    if let Some(version_id) = ask.query("versionId") {
        facts.push(("s3:VersionId".to_owned(), version_id.to_owned()));
    }
    for (key, value) in tags {
        facts.push((format!("s3:ExistingObjectTag/{key}"), value.clone()));
    }
    facts
}

/// Access control lists are off, or the canned list must be one that gives nobody else anything.
pub(super) fn check_acl(ask: &Ask, bucket: &Bucket) -> Result<bool, ApiError> {
    let grants =
        ask.call.parts.headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-"));
    let canned = ask.header("x-amz-acl");
    if bucket.is_owner_enforced() {
        if grants || !matches!(canned, None | Some("bucket-owner-full-control")) {
            return Err(acl_not_supported());
        }
        return Ok(canned.is_some());
    }
    match canned {
        None if !grants => Ok(false),
        Some("private" | "bucket-owner-full-control") if !grants => Ok(true),
        _ => Err(ApiError::not_implemented("Granting access by ACL")),
    }
}

pub(super) fn acl_not_supported() -> ApiError {
    ApiError::bad_request("AccessControlListNotSupported", "The bucket does not allow ACLs")
}
