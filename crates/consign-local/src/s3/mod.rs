//! S3: buckets and objects.
//!
//! [`handle`] takes a request that passed the gate, finds out which operation it is, and hands it
//! to the module of that operation. Each operation does the same four things in the same order:
//! read what is asked ([`ask`], [`about`]), decide whether the caller may (IAM and bucket policies
//! by way of [`ask::Ask::allow_on_key`], KMS by way of [`encryption`]), do it in the [`store`], and
//! describe what was done. The store knows no HTTP and the operations know no disk.
//!
//! What S3 has and this cloud has not is refused with `NotImplemented`, never ignored: an ignored
//! lock or an ignored rule is a promise broken in silence.

mod about;
mod ask;
mod buckets;
mod checksum;
mod content;
mod copy;
mod delete;
mod encryption;
mod get;
mod ingest;
mod lifecycle;
mod list;
mod multipart;
mod notify;
mod put;
mod response;
mod settings;
pub(crate) mod store;
mod tagging;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};

use crate::call::Verified;
use crate::error::{ApiError, ResponseBody};
use crate::gate::Body;
use crate::state::State;
use ask::Ask;
pub use lifecycle::sweep;
use response::Answer;
pub use store::Store;

/// A refused upload that is no longer than this is read to its end, so that a client that is still
/// sending sees the answer instead of a broken connection.
const DRAIN_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// But not for a client that has stopped sending, and waits.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Answers one verified request.
pub async fn handle(
    state: Arc<State>,
    verified: Verified,
) -> Result<Response<ResponseBody>, ApiError> {
    let Verified { call, mut body } = verified;
    lifecycle::sweep_if_due(&state, call.now_ms);
    // Who asks before sending is answered before sending.
    let waits = call.parts.headers.contains_key(http::header::EXPECT);
    let answer = match Ask::parse(state, call) {
        Ok(ask) => answer(&ask, &mut body).await.map_err(|error| about_path(error, &ask)),
        Err(error) => Err(error),
    };
    if answer.is_err() && !waits {
        drain(&mut body).await;
    }
    answer
}

fn about_path(error: ApiError, ask: &Ask) -> ApiError {
    error.about(ask.call.path.as_str())
}

async fn drain(body: &mut Body) {
    if body.decoded_bytes().is_some_and(|bytes| bytes <= DRAIN_BYTES_MAX) {
        let rest = async { while let Some(Ok(_)) = body.next().await {} };
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, rest).await;
    }
}

/// Operations of S3 that are not offered, by the query parameter that asks for them.
const NOT_OFFERED: [&str; 17] = [
    "abac",
    "annotation",
    "annotations",
    "append",
    "legal-hold",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "renameObject",
    "restore",
    "retention",
    "select",
    "session",
    "torrent",
    "updateObjectEncryption",
    "writeOffsetBytes",
];

async fn answer(ask: &Ask, body: &mut Body) -> Answer {
    if let Some(name) = ask.query_names().find(|name| NOT_OFFERED.contains(name)) {
        return Err(ApiError::not_implemented(&format!("The operation ?{name}")));
    }
    match (&ask.bucket, &ask.key) {
        (None, _) if *ask.method() == Method::GET => list::list_buckets(ask).await,
        (None, _) => Err(settings::method_not_allowed()),
        (Some(_), None) => answer_bucket(ask, body).await,
        (Some(_), Some(_)) => answer_object(ask, body).await,
    }
}

async fn answer_bucket(ask: &Ask, body: &mut Body) -> Answer {
    if let Some(setting) = settings::of_request(ask) {
        return settings::handle(ask, setting, body).await;
    }
    let has = |name| ask.has(name);
    match *ask.method() {
        Method::GET if has("location") => buckets::get_bucket_location(ask).await,
        Method::GET if has("uploads") => list::list_multipart_uploads(ask).await,
        Method::GET if has("versions") => list::list_object_versions(ask).await,
        Method::GET if ask.query("list-type") == Some("2") => list::list_objects_v2(ask).await,
        Method::GET => list::list_objects_v1(ask).await,
        Method::HEAD => buckets::head_bucket(ask).await,
        Method::PUT => buckets::create_bucket(ask, body).await,
        Method::DELETE => buckets::delete_bucket(ask).await,
        Method::POST if has("delete") => delete::delete_objects(ask, body).await,
        Method::POST => Err(ApiError::not_implemented("Uploading by a browser's form")),
        _ => Err(settings::method_not_allowed()),
    }
}

async fn answer_object(ask: &Ask, body: &mut Body) -> Answer {
    let has = |name| ask.has(name);
    let copies = ask.header("x-amz-copy-source").is_some();
    match *ask.method() {
        Method::GET if has("tagging") => tagging::get_object_tagging(ask).await,
        Method::PUT if has("tagging") => tagging::put_object_tagging(ask, body).await,
        Method::DELETE if has("tagging") => tagging::delete_object_tagging(ask).await,
        Method::GET if has("acl") => get::get_object_acl(ask).await,
        Method::PUT if has("acl") => put::put_object_acl(ask, body).await,
        Method::GET if has("attributes") => get::get_object_attributes(ask).await,
        Method::GET if has("uploadId") => multipart::list_parts(ask).await,
        Method::PUT if has("uploadId") && copies => copy::upload_part_copy(ask).await,
        Method::PUT if has("uploadId") => multipart::upload_part(ask, body).await,
        Method::POST if has("uploadId") => multipart::complete_multipart_upload(ask, body).await,
        Method::DELETE if has("uploadId") => multipart::abort_multipart_upload(ask).await,
        Method::POST if has("uploads") => multipart::create_multipart_upload(ask).await,
        _ if has("encryption") => Err(ApiError::not_implemented("Changing an object's encryption")),
        Method::GET | Method::HEAD => get::get_object(ask).await,
        Method::PUT if copies => copy::copy_object(ask).await,
        Method::PUT => put::put_object(ask, body).await,
        Method::DELETE => delete::delete_object(ask).await,
        _ => Err(settings::method_not_allowed()),
    }
}

/// What reads bytes that strangers wrote, for fuzzing: none of it may panic or take long.
#[doc(hidden)]
pub mod fuzzing {
    /// A request document of every kind.
    pub fn document(document: &[u8]) {
        for root in ["Delete", "Tagging", "LifecycleConfiguration"] {
            let _ = super::xml::Node::parse(document, root);
        }
        let _ = super::about::parse_tag_document(document, 10);
        super::lifecycle::read(document);
        super::settings::read_as_any(document);
        let _ = super::notify::read(document);
    }

    /// Headers with a grammar of their own.
    pub fn header(text: &str) {
        let _ = super::get::parse_range(text, 1000);
        let _ = super::get::names_etag(text, "etag");
        let _ = super::about::parse_tag_header(text);
        let _ = super::response::parse_http_date(text);
    }
}
