//! Times as the services write them, from and to milliseconds since 1970.

use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// `20130524T000000Z`, the timestamp of signatures.
pub fn amz(ms: u64) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    at(ms).format(form).unwrap_or_default()
}

/// Reads `20130524T000000Z`.
pub fn parse_amz(text: &str) -> Option<u64> {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    to_ms(PrimitiveDateTime::parse(text, form).ok()?.assume_utc())
}

/// `2013-05-24T00:00:00Z`.
pub fn iso(ms: u64) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    at(ms).format(form).unwrap_or_default()
}

/// `2013-05-24T00:00:00.000Z`, as S3 writes times in XML.
pub fn iso_millis(ms: u64) -> String {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at(ms).format(form).unwrap_or_default()
}

/// Reads `2013-05-24T00:00:00Z`, with or without a fraction of a second.
pub fn parse_iso(text: &str) -> Option<u64> {
    to_ms(OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?)
}

/// `Fri, 24 May 2013 00:00:00 GMT`, as in HTTP headers.
pub fn http(ms: u64) -> String {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    at(ms).format(form).unwrap_or_default()
}

/// Reads `Fri, 24 May 2013 00:00:00 GMT`.
pub fn parse_http(text: &str) -> Option<u64> {
    to_ms(OffsetDateTime::parse(text, &Rfc2822).ok()?)
}

fn at(ms: u64) -> OffsetDateTime {
    // Beyond the year 9999 there is nothing to format; the clock is then a test's, and wrong.
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn to_ms(time: OffsetDateTime) -> Option<u64> {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_what_it_writes() {
        let ms = 1_369_353_600_000;
        assert_eq!(amz(ms), "20130524T000000Z");
        assert_eq!(iso(ms), "2013-05-24T00:00:00Z");
        assert_eq!(iso_millis(ms + 7), "2013-05-24T00:00:00.007Z");
        assert_eq!(http(ms), "Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(parse_amz(&amz(ms)), Some(ms));
        assert_eq!(parse_iso(&iso_millis(ms + 7)), Some(ms + 7));
        assert_eq!(parse_http(&http(ms)), Some(ms));
        for hostile in ["", "20130524", "20130524T000000", "99999999T999999Z", "20130524T000000Z "]
        {
            assert_eq!(parse_amz(hostile), None, "{hostile}");
        }
    }
}
