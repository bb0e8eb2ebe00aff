//! Names and identifiers: each is its own type, so that a lane cannot stand where a party belongs.

use crate::{Error, ErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Declares a type that holds a checked string.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Reads ", $what, ", or says what is wrong with it.")]
            pub fn parse(text: &str) -> Result<$name, Error> {
                match $check(text) {
                    Ok(()) => Ok($name(text.to_owned())),
                    Err(reason) => Err(Error::new(
                        ErrorKind::BadValue,
                        format!("{} is not {}: {}", shown(text), $what, reason),
                    )),
                }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<$name, Error> {
                $name::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = String::deserialize(deserializer)?;
                $name::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_type;

text_type!(
    /// A party of an exchange: `acme`.
    PartyName, "a party's name", short_name
);
text_type!(
    /// A lane of an exchange: `to-client`.
    LaneName, "a lane's name", short_name
);
text_type!(
    /// A repository of an exchange: `reports`.
    RepositoryName, "a repository's name", short_name
);
text_type!(
    /// An inbox of an exchange: `globex-in`.
    InboxName, "an inbox's name", short_name
);
text_type!(
    /// A route of an exchange: `reports-to-globex`.
    RouteName, "a route's name", short_name
);
text_type!(
    /// An exchange: `acme-globex`.
    ExchangeName, "an exchange's name", short_name
);
text_type!(
    /// An AWS account: twelve digits.
    AccountId, "an AWS account id", account_id
);
text_type!(
    /// An AWS region, or what another S3 service calls its region.
    Region, "a region", region
);
text_type!(
    /// An S3 bucket's name, by the rules for general purpose buckets, without dots: under a name
    /// with dots S3's TLS certificate does not match.
    BucketName, "a bucket's name", bucket_name
);
text_type!(
    /// The id of a public key: what its owner calls it, or `b3:` and 16 hexadecimal digits.
    KeyId, "a key's id", key_id
);

/// A text as it may be shown in a message: short, in quotes, control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let mut out = String::from("`");
    for c in text.chars().take(SHOWN_MAX) {
        if c.is_control() || crate::path::is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        out.push('…');
    }
    out.push('`');
    out
}

fn short_name(text: &str) -> Result<(), &'static str> {
    if text.len() > 32 {
        return Err("it may have 32 characters at most");
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("it begins with a lower-case letter a-z");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("it consists of a-z, 0-9 and hyphens");
    }
    if text.ends_with('-') || text.contains("--") {
        return Err("hyphens stand singly, and not at the end");
    }
    Ok(())
}

fn account_id(text: &str) -> Result<(), &'static str> {
    match text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => Err("it has twelve digits, as in \"111111111111\""),
    }
}

fn region(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > 32 {
        return Err("it has 1 to 32 characters, as in \"eu-west-1\"");
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase())
        || text.ends_with('-')
        || !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Err("it consists of a-z, 0-9 and hyphens, as in \"eu-west-1\"");
    }
    Ok(())
}

fn bucket_name(text: &str) -> Result<(), &'static str> {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !(3..=63).contains(&text.len()) {
        return Err("it has 3 to 63 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("it consists of a-z, 0-9 and hyphens (dots break TLS)");
    }
    if !text.starts_with(edge) || !text.ends_with(edge) {
        return Err("it begins and ends with a letter or a digit");
    }
    if ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| text.starts_with(p))
        || ["-s3alias", "--ol-s3", "--x-s3", "--table-s3"].iter().any(|s| text.ends_with(s))
    {
        return Err("S3 reserves this beginning or ending");
    }
    Ok(())
}

fn key_id(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > 64 {
        return Err("it has 1 to 64 characters");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@+=/".contains(&b);
    match text.bytes().all(plain) {
        true => Ok(()),
        false => Err("it consists of letters, digits and -_.:@+=/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let ok = |text: &str| PartyName::parse(text).is_ok();
        assert!(ok("a") && ok("acme") && ok("to-client") && ok("a1-2") && ok(&"a".repeat(32)));
        for bad in
            ["", "A", "1a", "-a", "a-", "a--b", "a_b", "a.b", "ä", "a b", "a/b", &"a".repeat(33)]
        {
            assert!(!ok(bad), "{bad:?}");
        }
    }

    #[test]
    fn accounts_buckets_and_key_ids_are_checked() {
        assert!(AccountId::parse("111111111111").is_ok());
        for bad in ["", "11111111111", "1111111111111", "11111111111a", "١١١١١١١١١١١١"]
        {
            assert!(AccountId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(BucketName::parse("acme-globex-to-client-111111111111-eu-west-1-an").is_ok());
        for bad in ["", "ab", "Abc", "a.b.c", "-abc", "abc-", "xn--abc", "abc-s3alias", "a/b"] {
            assert!(BucketName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(KeyId::parse("b3:0123456789abcdef").is_ok());
        assert!(KeyId::parse("a b").is_err() && KeyId::parse("").is_err());
        assert!(Region::parse("eu-west-1").is_ok() && Region::parse("EU").is_err());
    }

    #[test]
    fn a_bad_name_is_shown_without_its_control_characters() {
        let error = PartyName::parse("a\u{1b}[31m\u{202e}b").expect_err("is refused");
        assert!(!error.to_string().contains('\u{1b}') && !error.to_string().contains('\u{202e}'));
    }
}
