//! What a sender says it sent: every file, every object, and its place in the sender's chain.
//!
//! The manifest is signed as the exact bytes of [`Manifest::to_bytes`]. [`Manifest::parse`] judges
//! a manifest by itself, whoever signed it: names, sizes, references, limits. Whether it is this
//! exchange's and this lane's, and follows the one before, is the receiver's question.

use crate::{
    ChainId, ConsignmentId, Digest, Error, ErrorKind, ExchangeName, KeyId, LaneName, ObjectName,
    PartyName, RelativePath, Revision, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The only format of this version.
pub const FORMAT: &str = "consign-manifest/1";

/// The most content that one pack may hold: a receiver opens a pack in memory.
pub const PACK_CONTENT_BYTES_MAX: u64 = 16 << 20;

/// The most files that one pack may hold.
pub const PACK_ENTRIES_MAX: u32 = 8192;

/// A consignment's table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The consignment.
    pub id: ConsignmentId,
    /// The exchange it was sent in.
    pub exchange: ExchangeName,
    /// The lane it was sent on.
    pub lane: LaneName,
    /// Who sent it.
    pub sender: PartyName,
    /// Whom it was sealed to.
    pub recipients: Vec<Addressee>,
    /// When it was made, by the sender's clock.
    pub created: Timestamp,
    /// The sender's unbroken series on this lane.
    pub chain: ChainId,
    /// The place in that series, from 1.
    pub sequence: u64,
    /// BLAKE3 of the manifest before it in the series; none if `sequence` is 1.
    pub previous: Option<Digest>,
    /// For a later version, sealed for other readers: what it revises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The files, in the order of their paths.
    pub files: Vec<ManifestFile>,
    /// The objects that hold them.
    pub objects: Vec<ManifestObject>,
}

/// A party that a consignment is addressed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addressee {
    /// The party.
    pub party: PartyName,
    /// Which of its keys open the consignment; empty if it is not sealed.
    pub key_ids: Vec<KeyId>,
}

/// A file of a consignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Where it goes.
    pub path: RelativePath,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed, in seconds since 1970.
    pub mtime: i64,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// BLAKE3 of its content.
    pub blake3: Digest,
    /// The object it is in.
    pub object: ObjectName,
    /// Its place in the pack's archive, from 0; none if the object is this file alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u32>,
}

/// An object of a consignment, as it lies in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestObject {
    /// Its name within the consignment.
    pub name: ObjectName,
    /// Its size in the bucket.
    pub sealed_bytes: u64,
    /// BLAKE3 of the object as it lies in the bucket, where the sender computed it.
    pub blake3: Option<Digest>,
    /// BLAKE3 of what precedes the content: header and nonce of an age file. Its sender writes no
    /// other header anew than this one, so that nobody exchanges it for that of another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_blake3: Option<Digest>,
    /// CRC-64/NVME of the object, as S3 writes it: base64 of 8 bytes.
    pub crc64nvme: String,
    /// The version S3 gave it, if the bucket keeps versions and the answer arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// From what the key follows that S3 encrypts it under, on a lane with `at_rest = "sse-c"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_key: Option<CustomerKeyOrigin>,
}

/// From what an SSE-C key follows: never the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerKeyOrigin {
    /// How; [`SSE_C_DERIVATION`] is the only way of this version.
    pub derivation: String,
    /// The id of the lane secret.
    pub secret: String,
}

/// HKDF-SHA256 of the lane secret with this text as salt and
/// `EXCHANGE/LANE/CONSIGNMENT/OBJECT` as info: 32 bytes. None of the names contains a `/`.
pub const SSE_C_DERIVATION: &str = "consign-sse-c/1";

/// How much a receiver is willing to look at.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The manifest itself, in bytes.
    pub manifest_bytes: u64,
    /// Files.
    pub files: usize,
    /// Objects.
    pub objects: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { manifest_bytes: 256 << 20, files: 1_000_000, objects: 100_000 }
    }
}

impl Manifest {
    /// The canonical bytes: JSON in the order of the fields, without spaces, one newline at the
    /// end. These bytes are signed, and their digest is the next manifest's `previous`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("names and numbers always serialise");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a manifest and judges all that can be judged without knowing the exchange.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Manifest, Error> {
        if bytes.len() as u64 > limits.manifest_bytes {
            return Err(limit("the manifest's bytes", bytes.len() as u64, limits.manifest_bytes));
        }
        check_format(bytes)?;
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|e| not_a_manifest(&e))?;
        manifest.check(limits)?;
        Ok(manifest)
    }

    /// What the files have together.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// What the objects have together in the bucket.
    #[must_use]
    pub fn sealed_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.sealed_bytes).sum()
    }

    /// The digest of these bytes of a manifest: what the next one names as `previous`.
    #[must_use]
    pub fn digest(bytes: &[u8]) -> Digest {
        Digest::of(bytes)
    }

    /// Judges a manifest; a sender does so too, before it signs.
    pub fn check(&self, limits: &Limits) -> Result<(), Error> {
        within("files", self.files.len(), limits.files)?;
        within("objects", self.objects.len(), limits.objects)?;
        self.check_chain()?;
        self.check_recipients()?;
        self.check_sizes()?;
        self.check_paths()?;
        self.check_objects()
    }

    /// Which revision it is; 0 for the original.
    #[must_use]
    pub fn revision_number(&self) -> u32 {
        self.revision.as_ref().map_or(0, |revision| revision.number)
    }

    fn check_chain(&self) -> Result<(), Error> {
        self.revision.as_ref().map_or(Ok(()), |revision| revision.check().map_err(wrong))?;
        match (self.sequence, self.previous) {
            (0, _) => Err(wrong("its sequence is 0; the first is 1")),
            (1, Some(_)) => Err(wrong("it is the first of its chain and names a previous one")),
            (2.., None) => {
                let sequence = self.sequence;
                Err(wrong(format!(
                    "it is number {sequence} of its chain and names no previous one"
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_recipients(&self) -> Result<(), Error> {
        let mut seen: Vec<&PartyName> = Vec::new();
        for addressee in &self.recipients {
            if seen.contains(&&addressee.party) {
                return Err(wrong(format!("it names the recipient `{}` twice", addressee.party)));
            }
            seen.push(&addressee.party);
            // A bound for the list that is searched above.
            within("recipients", seen.len(), 1000)?;
        }
        if seen.is_empty() { Err(wrong("it has no recipient")) } else { Ok(()) }
    }

    fn check_sizes(&self) -> Result<(), Error> {
        let add = |sum: u64, size: u64| sum.checked_add(size);
        let content = self.files.iter().map(|f| f.size).try_fold(0, add);
        let sealed = self.objects.iter().map(|o| o.sealed_bytes).try_fold(0, add);
        match (content, sealed) {
            (Some(_), Some(_)) => Ok(()),
            _ => Err(wrong("its sizes add up to more than any store holds")),
        }
    }

    /// No two files may be one file somewhere, and no file may be another one's folder.
    fn check_paths(&self) -> Result<(), Error> {
        // `/` becomes NUL, which no path contains and which sorts before everything else: so what
        // lies in a folder follows directly upon a file of the folder's name.
        let key = |file| RelativePath::folded(file).replace('/', "\0");
        let mut keys: Vec<(String, &RelativePath)> =
            self.files.iter().map(|file| (key(&file.path), &file.path)).collect();
        keys.sort_unstable();
        for ((a, path_a), (b, path_b)) in keys.iter().zip(keys.iter().skip(1)) {
            if path_a == path_b {
                return Err(wrong(format!("it lists the file `{path_a}` twice")));
            }
            if a == b {
                return Err(wrong(format!(
                    "`{path_a}` and `{path_b}` are one file where case or Unicode form does not count"
                )));
            }
            if b.strip_prefix(a.as_str()).is_some_and(|rest| rest.starts_with('\0')) {
                return Err(wrong(format!("`{path_a}` is a file, and the folder of `{path_b}`")));
            }
        }
        Ok(())
    }

    /// Every file's object exists, every object is used, and as its kind allows.
    fn check_objects(&self) -> Result<(), Error> {
        let mut uses: HashMap<&ObjectName, Use> = HashMap::with_capacity(self.objects.len());
        for object in &self.objects {
            check_object(object)?;
            if uses.insert(&object.name, Use::default()).is_some() {
                return Err(wrong(format!("it lists the object {} twice", object.name)));
            }
        }
        for file in &self.files {
            let Some(used) = uses.get_mut(&file.object) else {
                let (path, object) = (&file.path, &file.object);
                return Err(wrong(format!(
                    "`{path}` is in the object {object}, which it does not list"
                )));
            };
            used.add(file)?;
        }
        for object in &self.objects {
            if let Some(used) = uses.get(&object.name) {
                used.check(&object.name)?;
            }
        }
        Ok(())
    }
}

/// What the files say about one object.
#[derive(Default)]
struct Use {
    content_bytes: u64,
    // In the files' order; an archive must list them from 0 without a gap.
    entries: Vec<u32>,
    alone: u32,
}

impl Use {
    fn add(&mut self, file: &ManifestFile) -> Result<(), Error> {
        let (path, object) = (&file.path, &file.object);
        match (object.is_pack(), file.entry) {
            (true, None) => Err(wrong(format!("`{path}` has no place in the pack {object}"))),
            (false, Some(_)) => {
                Err(wrong(format!("`{path}` has a place in {object}, which is not a pack")))
            }
            (true, Some(entry)) => {
                self.content_bytes = self.content_bytes.saturating_add(file.size);
                self.entries.push(entry);
                within("files in a pack", self.entries.len(), PACK_ENTRIES_MAX as usize)
            }
            (false, None) => {
                self.alone += 1;
                match self.alone {
                    1 => Ok(()),
                    _ => Err(wrong(format!("`{path}` is in {object} with another file"))),
                }
            }
        }
    }

    fn check(&self, object: &ObjectName) -> Result<(), Error> {
        if self.alone == 0 && self.entries.is_empty() {
            return Err(wrong(format!("its object {object} holds no file")));
        }
        if self.content_bytes > PACK_CONTENT_BYTES_MAX {
            let max = PACK_CONTENT_BYTES_MAX;
            let what = format!("the content of {object} in bytes");
            return Err(limit(&what, self.content_bytes, max));
        }
        let mut entries = self.entries.clone();
        entries.sort_unstable();
        match (0..).zip(&entries).all(|(place, entry): (u32, &u32)| place == *entry) {
            true => Ok(()),
            false => Err(wrong(format!("the places in the pack {object} have a gap or meet"))),
        }
    }
}

fn check_customer_key(object: &ManifestObject) -> Result<(), Error> {
    let Some(origin) = &object.customer_key else { return Ok(()) };
    let name = &object.name;
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if origin.derivation != SSE_C_DERIVATION {
        return Err(wrong(format!(
            "the key of its object {name} is derived in a way that this version does not know"
        )));
    }
    match origin.secret.len() == 16 && origin.secret.bytes().all(digit) {
        true => Ok(()),
        false => Err(wrong(format!("its object {name} names a secret that cannot be one"))),
    }
}

fn check_object(object: &ManifestObject) -> Result<(), Error> {
    let name = &object.name;
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    let crc = object.crc64nvme.strip_suffix('=').unwrap_or("");
    if crc.len() != 11 || !crc.bytes().all(base64) {
        return Err(wrong(format!("the checksum of {name} is not base64 of 8 bytes")));
    }
    let version = object.version_id.as_deref().unwrap_or("null");
    if version.is_empty() || version.len() > 1024 || !version.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(wrong(format!("the version id of {name} is not one")));
    }
    check_customer_key(object)
}

/// Looks at the format alone, so that a manifest of a later version is not called malformed.
fn check_format(bytes: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|e| not_a_manifest(&e))?;
    if head.format == FORMAT {
        return Ok(());
    }
    let format = crate::name::shown(&head.format);
    let message = format!("the manifest has the format {format}; this program reads {FORMAT}");
    Err(Error::new(ErrorKind::Version, message))
}

fn not_a_manifest(error: &serde_json::Error) -> Error {
    // The message may quote what a stranger wrote.
    let reason: String =
        error.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Error::new(ErrorKind::Syntax, format!("this is not a manifest: {reason}"))
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Manifest, format!("the manifest contradicts itself: {}", message.into()))
}

fn within(what: &str, count: usize, max: usize) -> Result<(), Error> {
    if count > max { Err(limit(&format!("its {what}"), count as u64, max as u64)) } else { Ok(()) }
}

fn limit(what: &str, count: u64, max: u64) -> Error {
    Error::new(
        ErrorKind::Limit,
        format!("the manifest is too large: {what} are {count}, {max} are allowed"),
    )
}
