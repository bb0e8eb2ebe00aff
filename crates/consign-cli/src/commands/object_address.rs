//! `s3://BUCKET/KEY`, as people type it where a single object is meant.

use std::ffi::OsStr;

use consign_cloud::s3::{GetObject, PutObject};

use crate::error::CommandError;
use crate::terminal::escape;

const SCHEME: &str = "s3://";
/// S3 takes no longer key.
const KEY_BYTES_MAX: usize = 1024;

/// One object, named by its bucket and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectAddress {
    bucket: String,
    /// As it was typed: S3 decodes nothing in it, and neither do we.
    key: String,
}

impl ObjectAddress {
    /// The object that is meant; none where a file is.
    ///
    /// # Errors
    /// It begins as an address of S3 and names no object.
    pub(crate) fn unless_file(text: &OsStr) -> Result<Option<ObjectAddress>, CommandError> {
        if !text.as_encoded_bytes().starts_with(SCHEME.as_bytes()) {
            return Ok(None);
        }
        let text = text.to_str().ok_or_else(|| refused(text, "its key is not UTF-8"))?;
        ObjectAddress::parse(text).map(Some)
    }

    /// The object that is meant.
    ///
    /// # Errors
    /// It is no address, or one of something else.
    pub(crate) fn parse(text: &str) -> Result<ObjectAddress, CommandError> {
        let refuse = |why| refused(OsStr::new(text), why);
        let address = text.strip_prefix(SCHEME).ok_or_else(|| refuse("it is no address of S3"))?;
        if address.starts_with("arn:") {
            return Err(refuse("an access point is named by its alias, as a bucket is"));
        }
        let (bucket, key) = address.split_once('/').unwrap_or((address, ""));
        let of_a_bucket = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(of_a_bucket) {
            return Err(refuse("no bucket is called so"));
        }
        if key.is_empty() {
            return Err(refuse("a key is missing"));
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(refuse("its key is longer than 1024 bytes"));
        }
        Ok(ObjectAddress { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// To read it.
    pub(crate) fn to_get(&self) -> GetObject {
        GetObject { bucket: self.bucket.clone(), key: self.key.clone(), ..GetObject::default() }
    }

    /// To write it.
    pub(crate) fn to_put(&self) -> PutObject {
        PutObject { bucket: self.bucket.clone(), key: self.key.clone(), ..PutObject::default() }
    }
}

impl std::fmt::Display for ObjectAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.key)
    }
}

fn refused(text: &OsStr, why: &str) -> CommandError {
    CommandError::usage(format!("{} names no object: {why}", escape(&text.to_string_lossy())))
        .hint("an object is named s3://BUCKET/KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_one_object_or_the_reason_why_not() {
        let long = format!("s3://bucket/{}", "k".repeat(1025));
        let cases = [
            ("s3://bucket/key", Ok(("bucket", "key"))),
            ("s3://bucket/a/b c/ü", Ok(("bucket", "a/b c/ü"))),
            ("s3://bucket//a", Ok(("bucket", "/a"))),
            ("s3://bucket/a/", Ok(("bucket", "a/"))),
            ("s3://bucket/a?versionId=1#2%2f", Ok(("bucket", "a?versionId=1#2%2f"))),
            ("s3://Old_Bucket.1/key", Ok(("Old_Bucket.1", "key"))),
            ("s3://bucket", Err("a key is missing")),
            ("s3://bucket/", Err("a key is missing")),
            ("s3:///key", Err("no bucket is called so")),
            ("s3://", Err("no bucket is called so")),
            ("s3://b ucket/key", Err("no bucket is called so")),
            ("s3://user:word@bucket/key", Err("no bucket is called so")),
            ("s3://bücket/key", Err("no bucket is called so")),
            ("s3://arn:aws:s3:eu-west-1:111111111111:accesspoint/in/key", Err("by its alias")),
            ("s3:/bucket/key", Err("no address of S3")),
            ("S3://bucket/key", Err("no address of S3")),
            ("bucket/key", Err("no address of S3")),
            ("", Err("no address of S3")),
            (&long, Err("longer than 1024 bytes")),
        ];
        for (text, expected) in cases {
            match (ObjectAddress::parse(text), expected) {
                (Ok(found), Ok((bucket, key))) => {
                    assert_eq!((found.bucket.as_str(), found.key.as_str()), (bucket, key));
                    assert_eq!(found.to_string(), text);
                }
                (Err(error), Err(why)) => {
                    assert!(error.chain().contains(why), "{text}: {}", error.chain());
                }
                (found, expected) => panic!("{text}: {found:?}, and not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_does_not_begin_as_an_address_is_a_file() {
        use std::os::unix::ffi::OsStrExt;
        for name in ["bucket/key", "./s3://bucket/key", "s3:", "-", ""] {
            assert_eq!(ObjectAddress::unless_file(OsStr::new(name)).unwrap(), None, "{name}");
        }
        assert_eq!(ObjectAddress::unless_file(OsStr::from_bytes(b"s3\xff/x")).unwrap(), None);
        let object = ObjectAddress::unless_file(OsStr::new("s3://bucket/key")).unwrap().unwrap();
        assert_eq!((object.bucket.as_str(), object.key.as_str()), ("bucket", "key"));
        let error = ObjectAddress::unless_file(OsStr::from_bytes(b"s3://bucket/\xff")).unwrap_err();
        assert!(error.chain().contains("not UTF-8"), "{}", error.chain());
    }
}
