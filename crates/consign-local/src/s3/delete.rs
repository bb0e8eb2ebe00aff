//! DeleteObject and DeleteObjects.

use http::StatusCode;

use super::ask::{Ask, invalid_request, refused};
use super::get::{requested_version, versioned_action};
use super::put::Claims;
use super::response::{Answer, empty, set, xml};
use super::store::{Bucket, Condition, Deleted, Deletion, StoreError};
use super::xml::{Document, Node, malformed};
use crate::error::ApiError;
use crate::gate::Body;

/// S3's own bound: a thousand keys of a kilobyte, with their markup.
const DELETE_BYTES_MAX: usize = 2 * 1024 * 1024;
const KEYS_MAX: usize = 1000;

pub(super) async fn delete_object(ask: &Ask) -> Answer {
    let bucket = ask.bucket()?;
    let version_id = requested_version(ask)?;
    let condition = match ask.header("if-match") {
        None => Condition::Always,
        Some(etag) => Condition::Matches(etag.trim().trim_matches('"').to_owned()),
    };
    let deletion = Deletion { key: ask.key().into(), version_id, condition };
    authorize(ask, &bucket, ask.key(), deletion.version_id.as_deref())?;
    let deleted = delete(ask, &bucket, vec![deletion]).await?;
    let deleted = deleted.into_iter().next().ok_or_else(|| ApiError::internal("no result"))?;
    let deleted = deleted.map_err(|error| refused(&error))?;
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    if let Some(id) = &deleted.version_id {
        set(headers, "x-amz-version-id", id)?;
    }
    if deleted.marker {
        set(headers, "x-amz-delete-marker", "true")?;
    }
    Ok(response)
}

fn authorize(
    ask: &Ask,
    bucket: &Bucket,
    key: &str,
    version_id: Option<&str>,
) -> Result<(), ApiError> {
    let action = versioned_action("s3:DeleteObject", version_id);
    let mut facts = Vec::new();
    facts.extend(version_id.map(|id| ("s3:VersionId".to_owned(), id.to_owned())));
    facts.extend(ask.header("if-match").map(|tag| ("s3:if-match".to_owned(), tag.to_owned())));
    ask.allow_on_key(bucket, key, &action, &facts)
}

async fn delete(
    ask: &Ask,
    bucket: &Bucket,
    deletions: Vec<Deletion>,
) -> Result<Vec<Result<Deleted, StoreError>>, ApiError> {
    let account = ask.call.caller.account.as_deref().unwrap_or(&bucket.account);
    let announcer = super::notify::announcer(ask, bucket, "");
    ask.store()
        .delete(&bucket.name, deletions, account, ask.call.now_ms, announcer)
        .await
        .map_err(|error| refused(&error))
}

pub(super) async fn delete_objects(ask: &Ask, body: &mut Body) -> Answer {
    let bucket = ask.bucket()?;
    let document = body.collect(DELETE_BYTES_MAX, || malformed("too long")).await?;
    check_small_body(ask, &document, body, true)?;
    let root = Node::parse(&document, "Delete")?;
    root.only(&["Object", "Quiet"])?;
    let quiet = root.flag("Quiet")?;
    let count = root.all("Object").count();
    if count == 0 || count > KEYS_MAX {
        return Err(malformed(format!("{count} keys")));
    }
    let mut answer = Document::new("DeleteResult");
    let mut allowed = Vec::new();
    for object in root.all("Object") {
        let deletion = read_deletion(object)?;
        let key = String::from_utf8_lossy(&deletion.key).into_owned();
        match authorize(ask, &bucket, &key, deletion.version_id.as_deref()) {
            Ok(()) => allowed.push(deletion),
            Err(error) => describe_refused(&mut answer, &deletion, &error),
        }
    }
    let results = delete(ask, &bucket, allowed.clone()).await?;
    for (deletion, result) in allowed.iter().zip(results) {
        match result {
            Ok(deleted) if !quiet => describe_deleted(&mut answer, deletion, &deleted),
            Ok(_) => {}
            Err(error) => describe_refused(&mut answer, deletion, &refused(&error)),
        }
    }
    Ok(xml(answer, "DeleteResult"))
}

fn read_deletion(object: &Node) -> Result<Deletion, ApiError> {
    object.only(&["Key", "VersionId", "ETag", "LastModifiedTime", "Size"])?;
    let key = object.text_of("Key").filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| malformed("an object without a key"))?;
    let unmet = ["LastModifiedTime", "Size"].iter().any(|name| object.child(name).is_some());
    if unmet {
        return Err(ApiError::not_implemented("Deleting by size or date"));
    }
    Ok(Deletion {
        key: key.into(),
        version_id: object.text_of("VersionId").filter(|id| !id.is_empty()).map(str::to_owned),
        condition: match object.text_of("ETag") {
            None => Condition::Always,
            Some(etag) => Condition::Matches(etag.trim_matches('"').to_owned()),
        },
    })
}

fn describe_refused(answer: &mut Document, deletion: &Deletion, error: &ApiError) {
    answer.open("Error").element("Key", String::from_utf8_lossy(&deletion.key));
    answer.optional("VersionId", deletion.version_id.as_deref());
    answer.element("Code", &error.code).element("Message", &error.message).close("Error");
}

fn describe_deleted(answer: &mut Document, deletion: &Deletion, deleted: &Deleted) {
    answer.open("Deleted").element("Key", String::from_utf8_lossy(&deletion.key));
    answer.optional("VersionId", deletion.version_id.as_deref());
    if deleted.marker {
        answer.element("DeleteMarker", true);
        answer.optional("DeleteMarkerVersionId", deleted.version_id.as_deref());
    }
    answer.close("Deleted");
}

/// Compares the checksums of a small body that was read whole. Some operations demand one.
pub(super) fn check_small_body(
    ask: &Ask,
    document: &[u8],
    body: &Body,
    required: bool,
) -> Result<(), ApiError> {
    let claims = Claims::of_request(ask)?;
    let unsigned = ask.call.content_sha256.as_deref().is_none_or(is_unsigned);
    if required && claims.is_empty() && unsigned {
        return Err(invalid_request("Missing required header for this request: Content-MD5"));
    }
    claims.check_bytes(document, body.trailers())
}

/// Whether `x-amz-content-sha256` says nothing of the content.
fn is_unsigned(content_sha256: &str) -> bool {
    content_sha256.starts_with("UNSIGNED-PAYLOAD")
}
