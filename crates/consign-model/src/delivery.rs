//! The record of a delivery: what a publisher says came from where, beside what it has delivered.
//!
//! Start with [`DeliveryRecord`]. It lies in the inbox as `deliveries/ID.json`, where
//! [`DeliveryId`] follows from source and target, so that a publisher that may list but not read
//! can tell whether one is there. Its signature (SSHSIG over the exact bytes, namespace
//! [`DELIVERY_NAMESPACE`]) lies beside it as `deliveries/ID.DIGEST.sig`, DIGEST being
//! BLAKE3 of those bytes, and is put *first*: whoever finds a record finds what signs it, also where
//! two publishers that wrote at once have left two signatures. The record is put on the condition
//! that none is there, and never changes.
//!
//! The delivered object itself carries the tag [`SOURCE_TAG`] with its [`SourceDigest`]: by that a
//! publisher that may read no content knows its own work again.
//!
//! [`DeliveryRecord::parse`] judges a record by itself. Who signed it, and whether it is of this
//! exchange, this inbox and this object, is the reader's question.

use crate::name::shown;
use crate::{
    Digest, Error, ErrorKind, ExchangeName, InboxName, PartyName, RepositoryName, RouteName,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The only format of this version.
pub const DELIVERY_FORMAT: &str = "consign-delivery/1";

/// The namespace of a record's signature.
pub const DELIVERY_NAMESPACE: &str = "consign-delivery@1";

/// Below an inbox's prefix: where records and their signatures lie.
pub const DELIVERIES: &str = "deliveries/";

/// Below an inbox's prefix: where consumers say what they have fetched.
pub const ACKNOWLEDGEMENTS: &str = "acknowledgements/";

/// The tag of a delivered object whose value is its [`SourceDigest`].
pub const SOURCE_TAG: &str = "consign-source";

/// More than any record has: two keys of 1024 bytes, each byte escaped, and some names.
pub const DELIVERY_BYTES_MAX: usize = 32 << 10;

const KEY_BYTES_MAX: usize = 1024;

/// What was delivered, from where, to where, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryRecord {
    /// [`DELIVERY_FORMAT`].
    pub format: String,
    /// The exchange it was delivered in.
    pub exchange: ExchangeName,
    /// From which repository.
    pub repository: RepositoryName,
    /// Into which inbox.
    pub inbox: InboxName,
    /// By which route.
    pub route: RouteName,
    /// Who delivered it, and has signed this.
    pub publisher: PartyName,
    /// When this was written, by the publisher's clock.
    pub recorded: Timestamp,
    /// What was copied.
    pub source: DeliverySource,
    /// What it has become.
    pub target: DeliveryTarget,
    /// CRC-64/NVME of the source, as S3 writes it: base64 of 8 bytes. Whoever fetches the target
    /// compares it: the publisher, who may not read there, did so only if it heard S3's answer to the
    /// copy. None where S3 has none of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<String>,
}

/// An object of a repository, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliverySource {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version id; in a bucket without versions its ETag, without quotes.
    pub version: String,
    /// Its ETag, without quotes. None where it was gone already when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Its size. None where it was gone already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// An object of an inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryTarget {
    /// Its bucket.
    pub bucket: String,
    /// Its key, the inbox's prefix included.
    pub key: String,
    /// Its version id, in a bucket with versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// BLAKE3 of a source's bucket, version and key: what a delivered object says that it is.
///
/// `printf 'consign-source/1\0%s\0%s\0%s' BUCKET VERSION KEY | b3sum`. Neither a bucket's name nor a
/// version holds NUL, so no two sources write the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceDigest(Digest);

impl SourceDigest {
    /// Of this version of this object.
    #[must_use]
    pub fn of(bucket: &str, key: &str, version: &str) -> SourceDigest {
        let text = ["consign-source/1", bucket, version, key].join("\0");
        SourceDigest(Digest::of(text.as_bytes()))
    }

    /// Reads the value of a [`SOURCE_TAG`].
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`] for what is none.
    pub fn parse(text: &str) -> Result<SourceDigest, Error> {
        Digest::parse(text).map(SourceDigest)
    }
}

impl fmt::Display for SourceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One source at one target: BLAKE3 of both, and the name of the record.
///
/// `printf 'consign-delivery/1\0%s\0%s\0%s' SOURCE_DIGEST BUCKET KEY | b3sum`, the target's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(Digest);

impl DeliveryId {
    /// Of this source at this place.
    #[must_use]
    pub fn of(source: &SourceDigest, bucket: &str, key: &str) -> DeliveryId {
        let text = ["consign-delivery/1", &source.to_string(), bucket, key].join("\0");
        DeliveryId(Digest::of(text.as_bytes()))
    }

    /// Reads an id as a person or a key of an inbox writes it.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`] for what is none.
    pub fn parse(text: &str) -> Result<DeliveryId, Error> {
        Digest::parse(text).map(DeliveryId)
    }

    /// The key of the record, in an inbox with this prefix.
    #[must_use]
    pub fn record_key(&self, prefix: &str) -> String {
        format!("{prefix}{DELIVERIES}{self}.json")
    }

    /// The key of the signature of a record of exactly these bytes.
    #[must_use]
    pub fn signature_key(&self, prefix: &str, record: &[u8]) -> String {
        format!("{prefix}{DELIVERIES}{self}.{}.sig", Digest::of(record))
    }

    /// The key under which a consumer says that it has fetched this.
    #[must_use]
    pub fn acknowledgement_key(&self, prefix: &str) -> String {
        format!("{prefix}{ACKNOWLEDGEMENTS}{self}.json")
    }

    /// The delivery whose record lies under this key; none for signatures and whatever else
    /// lies there.
    #[must_use]
    pub fn of_record_key(prefix: &str, key: &str) -> Option<DeliveryId> {
        DeliveryId::below(prefix, DELIVERIES, key)
    }

    /// The delivery that is acknowledged under this key.
    #[must_use]
    pub fn of_acknowledgement_key(prefix: &str, key: &str) -> Option<DeliveryId> {
        DeliveryId::below(prefix, ACKNOWLEDGEMENTS, key)
    }

    fn below(prefix: &str, folder: &str, key: &str) -> Option<DeliveryId> {
        let name = key.strip_prefix(prefix)?.strip_prefix(folder)?.strip_suffix(".json")?;
        DeliveryId::parse(name).ok()
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl DeliveryRecord {
    /// The bytes that are signed: JSON in the order of the fields, without spaces, one newline
    /// at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("names and numbers always serialise");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a record of at most [`DELIVERY_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Version`] for a later format, [`ErrorKind::Limit`] for a record that is too
    /// long, [`ErrorKind::Syntax`] and [`ErrorKind::BadValue`] for what is none.
    pub fn parse(bytes: &[u8]) -> Result<DeliveryRecord, Error> {
        if bytes.len() > DELIVERY_BYTES_MAX {
            let message = format!("a delivery record has at most {DELIVERY_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        check_format(bytes)?;
        let record: DeliveryRecord = serde_json::from_slice(bytes).map_err(|e| no_record(&e))?;
        record.check()?;
        Ok(record)
    }

    /// Which version of which object was copied.
    #[must_use]
    pub fn source_digest(&self) -> SourceDigest {
        let DeliverySource { bucket, key, version, .. } = &self.source;
        SourceDigest::of(bucket, key, version)
    }

    /// What the record's own key must be made of.
    #[must_use]
    pub fn id(&self) -> DeliveryId {
        DeliveryId::of(&self.source_digest(), &self.target.bucket, &self.target.key)
    }

    fn check(&self) -> Result<(), Error> {
        for bucket in [&self.source.bucket, &self.target.bucket] {
            let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
            if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(byte) {
                return Err(wrong("bucket"));
            }
        }
        for key in [&self.source.key, &self.target.key] {
            if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
                return Err(wrong("key"));
            }
        }
        let versions = [Some(&self.source.version), self.target.version.as_ref()];
        for text in versions.into_iter().flatten().chain(&self.source.etag) {
            let sound = (1..=KEY_BYTES_MAX).contains(&text.len());
            if !sound || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(wrong("version or ETag"));
            }
        }
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        let is_crc = |text: &String| {
            text.strip_suffix('=').is_some_and(|crc| crc.len() == 11 && crc.bytes().all(base64))
        };
        match self.crc64nvme.as_ref().is_none_or(is_crc) {
            true => Ok(()),
            false => Err(wrong("checksum")),
        }
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::BadValue, format!("the delivery record names a {what} that is none"))
}

/// Looks at the format alone, so that a record of a later version is not called malformed.
fn check_format(bytes: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|e| no_record(&e))?;
    if head.format == DELIVERY_FORMAT {
        return Ok(());
    }
    let format = shown(&head.format);
    let message = format!(
        "the delivery record has the format {format}; this program reads {DELIVERY_FORMAT}"
    );
    Err(Error::new(ErrorKind::Version, message))
}

fn no_record(error: &serde_json::Error) -> Error {
    // The message may quote what a stranger wrote.
    let reason: String =
        error.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Error::new(ErrorKind::Syntax, format!("this is not a delivery record: {reason}"))
}
