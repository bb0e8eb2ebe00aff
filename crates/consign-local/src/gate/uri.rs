//! Percent-encoding as SigV4 counts it, in both directions.
//!
//! The signature and the service must read the same request: both use what is decoded here, so that
//! no spelling of a path can be signed as one key and stored as another.

use crate::error::ApiError;

/// The decoded query: names and values in the order sent.
pub type Query = Vec<(String, String)>;

/// Decodes a raw path. `+` is a plus; `%2F` becomes a slash, as S3 has it.
pub fn decode_path(raw: &str) -> Result<String, ApiError> {
    decode(raw, false)
}

/// Decodes a raw query string. `+` is a space; a name without `=` has an empty value.
pub fn decode_query(raw: &str) -> Result<Query, ApiError> {
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, true)?, decode(value, true)?))
        })
        .collect()
}

/// SigV4's canonical query: encoded, sorted by encoded name and value, without `leave_out`.
pub fn canonical_query(query: &Query, leave_out: Option<&str>) -> String {
    let mut pairs: Vec<(String, String)> = query
        .iter()
        .filter(|(name, _)| Some(name.as_str()) != leave_out)
        .map(|(name, value)| (encode(name, false), encode(value, false)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// SigV4's UriEncode: all but `A-Z a-z 0-9 - . _ ~` (and `/`, if asked) as `%XX`.
pub fn encode(text: &str, keep_slash: bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if keep_slash => out.push('/'),
            _ => {
                out.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    out.push(char::from(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0')));
                }
            }
        }
    }
    out
}

fn decode(raw: &str, plus_is_space: bool) -> Result<String, ApiError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_digit).ok_or_else(invalid_uri)?;
                let low = bytes.next().and_then(hex_digit).ok_or_else(invalid_uri)?;
                out.push((high << 4) | low);
            }
            b'+' if plus_is_space => out.push(b' '),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| invalid_uri())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn invalid_uri() -> ApiError {
    ApiError::bad_request("InvalidURI", "Couldn't parse the specified URI.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_has_one_canonical_form() {
        for raw in ["/b/a b~é", "/b/a%20b%7E%C3%A9", "/b/%61%20b~%c3%A9"] {
            let decoded = decode_path(raw).unwrap();
            assert_eq!(encode(&decoded, true), "/b/a%20b~%C3%A9", "{raw}");
        }
        assert_eq!(decode_path("/b/a+b").unwrap(), "/b/a+b");
        for raw in ["/%", "/%2", "/%zz", "/%ff", "/%+1"] {
            assert_eq!(decode_path(raw).unwrap_err().code, "InvalidURI", "{raw}");
        }
    }

    #[test]
    fn the_canonical_query_is_sorted_after_encoding() {
        let query = decode_query("b=2&a=%2F&a&&a=1+1&X-Amz-Signature=x&A=0").unwrap();
        let canonical = canonical_query(&query, Some("X-Amz-Signature"));
        assert_eq!(canonical, "A=0&a=&a=%2F&a=1%201&b=2");
    }
}
