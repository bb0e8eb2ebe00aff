//! From an HTTP request to the store and back: which operation it is, by method and query.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED,
};
use hyper::{HeaderMap, Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::answer::{self, Answer, Slices, element};
use super::chunked::Decoder;
use super::store::{Body, Headers, Object, Refusal, Store};

/// What `encoding-type=url` leaves as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Decoded names and values of the query.
struct Query(Vec<(String, String)>);

impl Query {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

pub(super) async fn handle(
    store: Arc<Store>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let path = decoded(request.uri().path().trim_start_matches('/'));
    let query = query(request.uri().query().unwrap_or_default());
    let (bucket, key) = path.split_once('/').unwrap_or((path.as_str(), ""));
    let unasked = request.headers().contains_key("expect")
        && request.headers().get(CONTENT_LENGTH).is_some_and(|bytes| bytes.as_bytes() == b"0");
    let answer = match (bucket, key) {
        // No bucket can have this name: the sink's own switches.
        ("-", switch) => Ok(control(&store, request.method(), switch)),
        ("", _) => Ok(answer::xml(StatusCode::OK, "ListAllMyBucketsResult", "<Buckets/>")),
        (bucket, "") => on_bucket(&store, bucket, &query, request).await,
        (bucket, key) => on_object(&store, (bucket, key), &query, request).await,
    };
    let mut answer = answer.unwrap_or_else(answer::refusal);
    if unasked {
        // An empty body is never asked for with 100 Continue, and botocore misreads the *next* answer
        // on a connection that expected one and got the final answer instead: it waits for a minute.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

fn control(store: &Store, method: &Method, switch: &str) -> Answer {
    match (method, switch) {
        (&Method::PUT, "discard") => store.set_discard(true),
        (&Method::PUT, "keep") => store.set_discard(false),
        (&Method::DELETE, "objects") => store.clear(),
        _ => return answer::refusal(Refusal::NotImplemented),
    }
    answer::empty(StatusCode::OK)
}

async fn on_bucket(
    store: &Store,
    bucket: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    match request.method() {
        &Method::GET if query.has("location") => {
            Ok(answer::xml(StatusCode::OK, "LocationConstraint", ""))
        }
        &Method::GET if query.has("versioning") => {
            Ok(answer::xml(StatusCode::OK, "VersioningConfiguration", ""))
        }
        &Method::GET if query.has("uploads") => {
            let mut inner = String::new();
            for (id, key) in store.uploads(bucket) {
                inner.push_str("<Upload>");
                element(&mut inner, "Key", &key);
                element(&mut inner, "UploadId", &id);
                inner.push_str("</Upload>");
            }
            Ok(answer::xml(StatusCode::OK, "ListMultipartUploadsResult", &inner))
        }
        &Method::GET => Ok(list(store, bucket, query)),
        &Method::POST if query.has("delete") => {
            let text = text(store, request).await;
            for key in between(&text, "<Key>", "</Key>") {
                store.delete(bucket, &unescaped(key));
            }
            Ok(answer::xml(StatusCode::OK, "DeleteResult", ""))
        }
        &Method::HEAD | &Method::PUT => Ok(answer::empty(StatusCode::OK)),
        &Method::DELETE => Ok(answer::empty(StatusCode::NO_CONTENT)),
        _ => Err(Refusal::NotImplemented),
    }
}

async fn on_object(
    store: &Store,
    (bucket, key): (&str, &str),
    query: &Query,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let name = || (bucket.to_owned(), key.to_owned());
    let headers = kept_headers(request.headers());
    let only_new = request.headers().contains_key("if-none-match");
    match (request.method().clone(), query.get("uploadId")) {
        (Method::PUT, Some(id)) => {
            let number = query.get("partNumber").and_then(|number| number.parse().ok());
            let number = number.ok_or(Refusal::InvalidPart)?;
            let etag = store.put_part(id, number, body(store, request).await)?;
            Ok(with_headers(answer::empty(StatusCode::OK), &etag, &headers))
        }
        (Method::PUT, None) if request.headers().contains_key("x-amz-copy-source") => {
            Err(Refusal::NotImplemented)
        }
        (Method::PUT, None) => {
            let body = body(store, request).await;
            let etag = store.put(name(), body, headers.clone(), only_new)?;
            Ok(with_headers(answer::empty(StatusCode::OK), &etag, &headers))
        }
        (Method::POST, Some(id)) => {
            let text = text(store, request).await;
            let numbers = between(&text, "<PartNumber>", "</PartNumber>");
            let numbers: Option<Vec<u32>> = numbers.map(|n| n.trim().parse().ok()).collect();
            let numbers = numbers.ok_or(Refusal::InvalidPart)?;
            let (etag, upload) = store.complete(id, &numbers, headers.clone(), only_new)?;
            Ok(completed(&etag, &upload.bucket, &upload.key, &headers))
        }
        (Method::POST, None) if query.has("uploads") => {
            let id = store.create_upload(bucket.to_owned(), key.to_owned(), headers);
            let mut inner = String::new();
            element(&mut inner, "Bucket", bucket);
            element(&mut inner, "Key", key);
            element(&mut inner, "UploadId", &id);
            Ok(answer::xml(StatusCode::OK, "InitiateMultipartUploadResult", &inner))
        }
        (Method::DELETE, Some(id)) => {
            store.abort(id).map(|()| answer::empty(StatusCode::NO_CONTENT))
        }
        (Method::DELETE, None) => {
            store.delete(bucket, key);
            Ok(answer::empty(StatusCode::NO_CONTENT))
        }
        (Method::GET, Some(id)) => {
            let mut inner = String::from("<IsTruncated>false</IsTruncated>");
            for (number, (body, etag)) in store.upload(id)?.parts {
                inner.push_str("<Part>");
                element(&mut inner, "PartNumber", &number.to_string());
                element(&mut inner, "Size", &body.bytes.to_string());
                element(&mut inner, "ETag", &format!("\"{etag}\""));
                inner.push_str("</Part>");
            }
            Ok(answer::xml(StatusCode::OK, "ListPartsResult", &inner))
        }
        (Method::GET, None) => get(&store.get(bucket, key)?, request.headers()),
        (Method::HEAD, _) => Ok(head(&store.get(bucket, key)?, request.headers())),
        _ => Err(Refusal::NotImplemented),
    }
}

fn completed(etag: &str, bucket: &str, key: &str, headers: &Headers) -> Answer {
    let mut inner = String::new();
    element(&mut inner, "Bucket", bucket);
    element(&mut inner, "Key", key);
    element(&mut inner, "ETag", &format!("\"{etag}\""));
    for (name, value) in headers {
        if name == "x-amz-checksum-crc64nvme" {
            element(&mut inner, "ChecksumCRC64NVME", value);
            element(&mut inner, "ChecksumType", "FULL_OBJECT");
        }
    }
    answer::xml(StatusCode::OK, "CompleteMultipartUploadResult", &inner)
}

fn get(object: &Object, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let total = object.bytes();
    let asked = headers.get("range").and_then(|value| value.to_str().ok());
    let range = match asked {
        Some(asked) => range(asked, total).ok_or(Refusal::InvalidRange)?,
        None => 0..total,
    };
    let pieces = object.slice(range.clone()).ok_or(Refusal::NoSuchKey)?;
    let mut answer = hyper::Response::new(Slices::new(pieces));
    if asked.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let span = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        insert(answer.headers_mut(), "content-range", &span);
    }
    Ok(described(answer, object, headers))
}

fn head(object: &Object, headers: &HeaderMap) -> Answer {
    let mut answer = described(answer::empty(StatusCode::OK), object, headers);
    answer.headers_mut().insert(CONTENT_LENGTH, object.bytes().into());
    answer
}

/// Etag, date, type, metadata; checksums only when asked for, because a client may check them.
fn described(answer: Answer, object: &Object, request: &HeaderMap) -> Answer {
    let checksums = request.contains_key("x-amz-checksum-mode");
    let wanted = |name: &str| checksums || !name.starts_with("x-amz-checksum-");
    let headers = object.headers.iter().filter(|(name, _)| wanted(name)).cloned().collect();
    let mut answer = with_headers(answer, &object.etag, &headers);
    insert(answer.headers_mut(), LAST_MODIFIED.as_str(), &http_date(object.modified));
    insert(answer.headers_mut(), "accept-ranges", "bytes");
    answer
}

/// `bytes=A-B`, `bytes=A-`, `bytes=-N`.
fn range(asked: &str, total: u64) -> Option<std::ops::Range<u64>> {
    let (from, to) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from, to) {
        ("", last) => total.saturating_sub(last.parse().ok()?)..total,
        (from, "") => from.parse().ok()?..total,
        (from, to) => from.parse().ok()?..total.min(to.parse::<u64>().ok()?.checked_add(1)?),
    };
    (range.start < range.end).then_some(range)
}

/// Versions 1 and 2 of the listing differ in how the next page is asked for.
fn list(store: &Store, bucket: &str, query: &Query) -> Answer {
    let prefix = query.get("prefix").unwrap_or_default();
    let delimiter = query.get("delimiter").filter(|delimiter| !delimiter.is_empty());
    let max = query.get("max-keys").and_then(|max| max.parse().ok()).unwrap_or(1000).min(1000);
    let after = ["continuation-token", "start-after", "marker"];
    let after = after.iter().find_map(|name| query.get(name)).unwrap_or_default();
    let url = query.get("encoding-type") == Some("url");
    let shown = |text: &str| -> String {
        if url { utf8_percent_encode(text, PLAIN).to_string() } else { text.to_owned() }
    };
    let (mut inner, mut count, mut next) = (String::new(), 0_usize, None);
    let (mut last, mut group) = (String::new(), None::<String>);
    store.walk(bucket, prefix, after, |key, object| {
        let rest = key.get(prefix.len()..).unwrap_or_default();
        let cut = delimiter.and_then(|d| rest.find(d).map(|at| prefix.len() + at + d.len()));
        let common = cut.and_then(|end| key.get(..end));
        // A page that ended with a group goes on after every key in it.
        let seen = common.is_some_and(|c| group.as_deref() == Some(c) || after.starts_with(c));
        if seen {
            key.clone_into(&mut last);
            return true;
        }
        if count == max {
            next = Some(last.clone());
            return false;
        }
        if let Some(common) = common {
            inner.push_str("<CommonPrefixes>");
            element(&mut inner, "Prefix", &shown(common));
            inner.push_str("</CommonPrefixes>");
            group = Some(common.to_owned());
        } else {
            inner.push_str("<Contents>");
            element(&mut inner, "Key", &shown(key));
            element(&mut inner, "LastModified", &iso_date(object.modified));
            element(&mut inner, "ETag", &format!("\"{}\"", object.etag));
            element(&mut inner, "Size", &object.bytes().to_string());
            inner.push_str("<StorageClass>STANDARD</StorageClass></Contents>");
        }
        count += 1;
        key.clone_into(&mut last);
        true
    });
    element(&mut inner, "Name", bucket);
    element(&mut inner, "Prefix", &shown(prefix));
    element(&mut inner, "KeyCount", &count.to_string());
    element(&mut inner, "MaxKeys", &max.to_string());
    if url {
        element(&mut inner, "EncodingType", "url");
    }
    element(&mut inner, "IsTruncated", if next.is_some() { "true" } else { "false" });
    if let Some(next) = next {
        let name = if query.has("list-type") { "NextContinuationToken" } else { "NextMarker" };
        element(&mut inner, name, &next);
    }
    answer::xml(StatusCode::OK, "ListBucketResult", &inner)
}

/// Reads a body as it comes, keeping or dropping it.
async fn body(store: &Store, request: Request<Incoming>) -> Body {
    let signed_as = request.headers().get("x-amz-content-sha256");
    let streaming = signed_as.is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"));
    let mut decoder = streaming.then(Decoder::default);
    let mut incoming = request.into_body();
    let (mut bytes, mut pieces) = (0_u64, Some(Vec::new()));
    // A body that will be dropped is dropped from its first byte.
    if incoming.size_hint().exact().is_some_and(|size| !store.keeps(size)) {
        pieces = None;
    }
    while let Some(Ok(frame)) = incoming.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let mut keep = |data: Bytes| {
            bytes += data.len() as u64;
            if !store.keeps(bytes) {
                pieces = None;
            }
            if let Some(pieces) = &mut pieces {
                pieces.push(data);
            }
        };
        let framed = match &mut decoder {
            Some(decoder) => decoder.feed(data, &mut keep),
            None => {
                keep(data);
                Ok(())
            }
        };
        if framed.is_err() {
            break;
        }
    }
    Body { bytes, pieces }
}

async fn text(store: &Store, request: Request<Incoming>) -> String {
    let pieces = body(store, request).await.pieces.unwrap_or_default();
    String::from_utf8_lossy(&pieces.concat()).into_owned()
}

fn kept_headers(headers: &HeaderMap) -> Headers {
    let kept = |name: &HeaderName| {
        let name = name.as_str();
        let checksum = name.starts_with("x-amz-checksum-") && name.contains("crc");
        name == CONTENT_TYPE || checksum || name.starts_with("x-amz-meta-")
    };
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let pairs = headers.iter().filter(|(name, _)| kept(name));
    pairs.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn with_headers(mut answer: Answer, etag: &str, headers: &Headers) -> Answer {
    insert(answer.headers_mut(), ETAG.as_str(), &format!("\"{etag}\""));
    for (name, value) in headers {
        insert(answer.headers_mut(), name, value);
    }
    answer
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

fn between<'a>(
    text: &'a str,
    open: &'a str,
    close: &'a str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    text.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
}

fn unescaped(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn query(text: &str) -> Query {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(&value.replace('+', " ")))
    };
    Query(text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap_or(Cow::Borrowed(text)).into_owned()
}

fn http_date(when: SystemTime) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time::OffsetDateTime::from(when).format(FORMAT).unwrap_or_default()
}

fn iso_date(when: SystemTime) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].000Z");
    time::OffsetDateTime::from(when).format(FORMAT).unwrap_or_default()
}
