//! Tags of objects.

use http::StatusCode;

use super::about::{existing_facts, parse_tag_document, tag_facts};
use super::ask::{Ask, refused};
use super::buckets::DOCUMENT_BYTES_MAX;
use super::delete::check_small_body;
use super::get::{Found, find_readable, requested_version, versioned_action};
use super::response::{Answer, empty, set, xml};
use super::store::StoreErrorKind;
use super::xml::{Document, malformed};
use crate::error::ApiError;
use crate::gate::Body;

const TAGS_MAX: usize = 10;

pub(super) async fn get_object_tagging(ask: &Ask) -> Answer {
    let found = find_readable(ask, &["s3:GetObjectTagging"])?;
    let mut response = xml(tag_document(&found.object.about.tags), "Tagging");
    describe(&mut response, &found)?;
    Ok(response)
}

pub(super) fn tag_document(tags: &[(String, String)]) -> Document {
    let mut document = Document::new("Tagging");
    document.open("TagSet");
    for (key, value) in tags {
        document.open("Tag").element("Key", key).element("Value", value).close("Tag");
    }
    document.close("TagSet");
    document
}

pub(super) async fn put_object_tagging(ask: &Ask, body: &mut Body) -> Answer {
    let document = body.collect(DOCUMENT_BYTES_MAX, || malformed("too long")).await?;
    check_small_body(ask, &document, body, false)?;
    let tags = parse_tag_document(&document, TAGS_MAX)?;
    change_tags(ask, "s3:PutObjectTagging", tags, StatusCode::OK).await
}

pub(super) async fn delete_object_tagging(ask: &Ask) -> Answer {
    change_tags(ask, "s3:DeleteObjectTagging", Vec::new(), StatusCode::NO_CONTENT).await
}

async fn change_tags(
    ask: &Ask,
    action: &str,
    tags: Vec<(String, String)>,
    status: StatusCode,
) -> Answer {
    let bucket = ask.bucket()?;
    let version_id = requested_version(ask)?;
    let found = ask.store().find(&bucket.name, ask.key().as_bytes(), version_id.as_deref());
    let object = found.as_ref().ok().and_then(|version| version.object.as_ref());
    let mut facts = existing_facts(ask, object.map_or(&[], |object| &object.about.tags));
    tag_facts(&mut facts, &tags);
    let action = versioned_action(action, version_id.as_deref());
    ask.allow_on_key(&bucket, ask.key(), &action, &facts)?;
    let version = found.map_err(|error| refused(&error))?;
    let id = version.id_text().to_owned();
    ask.store()
        .update_version(&bucket.name, ask.key().as_bytes(), Some(&id), move |object| {
            object.about.tags = tags;
        })
        .await
        .map_err(|error| match error.kind() {
            StoreErrorKind::NoSuchKey if version.object.is_none() => ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            ),
            _ => refused(&error),
        })?;
    let mut response = empty(status);
    if bucket.is_versioned() {
        set(response.headers_mut(), "x-amz-version-id", id)?;
    }
    Ok(response)
}

fn describe(
    response: &mut http::Response<crate::error::ResponseBody>,
    found: &Found,
) -> Result<(), ApiError> {
    match found.bucket.is_versioned() {
        true => set(response.headers_mut(), "x-amz-version-id", found.version.id_text()),
        false => Ok(()),
    }
}
