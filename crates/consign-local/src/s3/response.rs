//! Answers: XML, headers, dates.

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::xml::Document;
use crate::error::{ApiError, ResponseBody, full};

pub(super) type Answer = Result<Response<ResponseBody>, ApiError>;

/// An XML document.
pub(super) fn xml(document: Document, root: &str) -> Response<ResponseBody> {
    let mut response = Response::new(full(document.finish(root)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// A status and nothing else.
pub(super) fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(full(""));
    *response.status_mut() = status;
    response
}

/// Sets a header. Stored values were headers before, so they fit.
pub(super) fn insert(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: &str,
) -> Result<(), ApiError> {
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(ApiError::internal)?;
    headers.insert(name, value);
    Ok(())
}

/// Sets a header whose name is known here.
pub(super) fn set(
    headers: &mut HeaderMap,
    name: &'static str,
    value: impl std::fmt::Display,
) -> Result<(), ApiError> {
    insert(headers, HeaderName::from_static(name), &value.to_string())
}

const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const HTTP: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

fn moment(ms: u64) -> OffsetDateTime {
    let nanos = i128::from(ms) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `2026-11-21T02:56:10.000Z`.
pub(super) fn iso_date(ms: u64) -> String {
    moment(ms).format(ISO).unwrap_or_default()
}

/// `Sat, 21 Nov 2026 02:56:10 GMT`.
pub(super) fn http_date(ms: u64) -> String {
    moment(ms).format(HTTP).unwrap_or_default()
}

/// Seconds since 1970 of an HTTP date; conditions on others are ignored, as RFC 9110 §13 says.
pub(super) fn parse_http_date(text: &str) -> Option<i64> {
    time::PrimitiveDateTime::parse(text, HTTP).ok().map(|at| at.assume_utc().unix_timestamp())
}
