//! JSON objects of strings: encryption contexts, material descriptions and instruction files.
//!
//! Read strictly: a name that stands twice is refused, because two readers would take different
//! ones. Written in ASCII, because these go into HTTP headers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use base64::Engine;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::primitives::BASE64_PADDED;

/// Names and values.
pub type Pairs = BTreeMap<String, String>;

struct Strict(Pairs);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut pairs = Pairs::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if pairs.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(Strict(pairs))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// The text must be one JSON object of strings and nothing else; the error is for the log.
pub(super) fn parse(text: &str) -> Result<Pairs, String> {
    serde_json::from_str(text).map(|Strict(pairs)| pairs).map_err(|error| error.to_string())
}

pub(super) fn write(pairs: &Pairs) -> String {
    // A map of strings has no reason to fail.
    let text = serde_json::to_string(pairs).unwrap_or_default();
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            ascii.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing into a string does not fail.
            let _ = write!(ascii, "\\u{unit:04x}");
        }
    }
    ascii
}

/// S3 answers metadata that is not ASCII as encoded words (RFC 2047) of text whose UTF-8 was taken
/// for Latin-1 and encoded again (metadata-strategy.md, "Object Metadata": "double encoding"). Undoes
/// both. What is not encoded so is returned untouched, and so is what cannot be undone.
pub(super) fn undo_double_encoding(value: &str) -> Cow<'_, str> {
    match decode_words(value) {
        Some(text) => Cow::Owned(latin1_to_utf8(&text).unwrap_or(text)),
        None => Cow::Borrowed(value),
    }
}

/// Encoded words and white space between them, and nothing else.
fn decode_words(value: &str) -> Option<String> {
    if !value.starts_with("=?") {
        return None;
    }
    let mut bytes = Vec::new();
    for word in value.split_ascii_whitespace() {
        let mut fields = word.strip_prefix("=?")?.strip_suffix("?=")?.split('?');
        let (charset, encoding, text) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() || !charset.eq_ignore_ascii_case("utf-8") {
            return None;
        }
        match encoding {
            "B" | "b" => bytes.extend(BASE64_PADDED.decode(text).ok()?),
            "Q" | "q" => bytes.extend(decode_quoted(text)?),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

fn decode_quoted(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'_' => b' ',
            b'=' => {
                let (digits, after) = rest.split_first_chunk::<2>()?;
                rest = after;
                let digit = |at: usize| char::from(digits[at]).to_digit(16);
                u8::try_from(digit(0)? * 16 + digit(1)?).ok()?
            }
            other => *other,
        });
    }
    Some(bytes)
}

fn latin1_to_utf8(text: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> =
        text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        assert!(parse(r#"{"a":"1","b":"2"}"#).is_ok());
        for text in [
            r#"{"a":"1","a":"1"}"#,
            r#"{"a":"1","a":"2"}"#,
            r#"{"a":1}"#,
            r#"{"a":null}"#,
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":"1"}{}"#,
            r#"["a"]"#,
            r#""a""#,
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_ascii_and_reads_the_same() {
        let pairs = Pairs::from([("Größe".to_owned(), "№ 7 \u{1f512} \"\\\n".to_owned())]);
        let text = write(&pairs);
        assert!(text.is_ascii(), "{text}");
        assert_eq!(parse(&text).unwrap(), pairs);
    }

    #[test]
    fn the_double_encoding_of_s3_is_undone() {
        // "å" in UTF-8 is c3 a5; taken for Latin-1 and encoded again, c3 83 c2 a5.
        let base64 = "=?UTF-8?B?eyJ0IjogIsODwqUifQ==?=";
        let quoted = "=?UTF-8?Q?{\"t\":_\"=C3=83=C2=A5\"}?=";
        let split = "=?UTF-8?B?eyJ0IjogIsOD?= =?utf-8?b?wqUifQ==?=";
        for value in [base64, quoted, split] {
            assert_eq!(undo_double_encoding(value), "{\"t\": \"å\"}", "{value}");
        }
    }

    #[test]
    fn metadata_without_double_encoding_is_untouched() {
        for value in
            ["{}", "{\"t\": \"å\"}", "{\"t\": \"Ã¥\"}", "=?", "=?UTF-8?X?abc?=", "=?a?B?!?="]
        {
            assert_eq!(undo_double_encoding(value), value);
        }
    }
}
