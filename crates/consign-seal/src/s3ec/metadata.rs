//! The metadata beside an object: read from object metadata and instruction files, and written.
//!
//! Anybody who can write to the bucket can write this, so it is read with one rule: exactly the keys
//! of exactly one format, each once, each of a value that a client can have written. Anything else
//! is refused before a key is asked for, and with one sentence (see `does_not_open`). Keys that are
//! not of these formats are somebody else's and ignored, in object metadata only.

use std::collections::BTreeMap;

use base64::Engine;

use super::does_not_open;
use super::header::{Content, Header};
use super::keyring::{Wrap, WrappedKey};
use super::pairs::{self, Pairs};
use super::suite::{Format, Suite};
use crate::primitives::BASE64_PADDED;
use crate::{Error, ErrorKind};

// content-metadata.md, "Content Metadata MapKeys".
const ENCRYPTED_DATA_KEY_V1: &str = "x-amz-key";
const ENCRYPTED_DATA_KEY_V2: &str = "x-amz-key-v2";
const MAT_DESC: &str = "x-amz-matdesc";
const CONTENT_IV: &str = "x-amz-iv";
const WRAP_ALGORITHM: &str = "x-amz-wrap-alg";
const CONTENT_CIPHER: &str = "x-amz-cek-alg";
const TAG_LENGTH: &str = "x-amz-tag-len";
const CONTENT_CIPHER_V3: &str = "x-amz-c";
const ENCRYPTED_DATA_KEY_V3: &str = "x-amz-3";
const MAT_DESC_V3: &str = "x-amz-m";
const ENCRYPTION_CONTEXT_V3: &str = "x-amz-t";
const ENCRYPTED_DATA_KEY_ALGORITHM_V3: &str = "x-amz-w";
const KEY_COMMITMENT_V3: &str = "x-amz-d";
const MESSAGE_ID_V3: &str = "x-amz-i";

const KEYS: [&str; 14] = [
    ENCRYPTED_DATA_KEY_V1,
    ENCRYPTED_DATA_KEY_V2,
    MAT_DESC,
    CONTENT_IV,
    WRAP_ALGORITHM,
    CONTENT_CIPHER,
    TAG_LENGTH,
    CONTENT_CIPHER_V3,
    ENCRYPTED_DATA_KEY_V3,
    MAT_DESC_V3,
    ENCRYPTION_CONTEXT_V3,
    ENCRYPTED_DATA_KEY_ALGORITHM_V3,
    KEY_COMMITMENT_V3,
    MESSAGE_ID_V3,
];

/// In V3 the object keeps these also when there is an instruction file, so that whoever changes that
/// file cannot change what the content commits to (metadata-strategy.md, "V3 Instruction Files").
const IN_THE_OBJECT_V3: [&str; 3] = [CONTENT_CIPHER_V3, KEY_COMMITMENT_V3, MESSAGE_ID_V3];

/// Of no use to a reader who authenticates; what some clients add.
const IGNORED: [&str; 2] = ["x-amz-unencrypted-content-length", "x-amz-crypto-instr-file"];

const TAG_BITS: &str = "128";

/// What the key of an instruction file has after the key of its object. Another one is for rewrapped
/// copies beside the first (metadata-strategy.md, "Instruction File").
pub const INSTRUCTION_FILE_SUFFIX: &str = ".instruction";

/// The largest instruction file that is read; those of Amazon's clients have a few hundred bytes.
pub const INSTRUCTION_FILE_BYTES_MAX: usize = 64 * 1024;

/// What S3 takes as metadata of one object, names and values together.
pub const METADATA_BYTES_MAX: usize = 2048;

/// What the metadata of an object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRead {
    /// Everything.
    Header(Header),
    /// Not everything: the rest is in the instruction file, if there is one.
    Pending(Pending),
}

/// An object whose instruction file must be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending(Option<Content>);

/// Reads object metadata: names as S3 gives them, without `x-amz-meta-`, in any case of letters.
///
/// An object that was not sealed looks like one whose metadata is all in an instruction file: it is
/// [`MetadataRead::Pending`], and [`Pending::without_instruction_file`] says the rest.
///
/// # Errors
/// [`ErrorKind::Tampered`] for anything but one complete format.
pub fn read_metadata<'a, N, V>(
    metadata: impl IntoIterator<Item = (&'a N, &'a V)>,
) -> Result<MetadataRead, Error>
where
    N: AsRef<str> + ?Sized + 'a,
    V: AsRef<str> + ?Sized + 'a,
{
    let mut fields = Fields::default();
    for (name, value) in metadata {
        fields.add(name.as_ref(), value.as_ref())?;
    }
    for json in [MAT_DESC, MAT_DESC_V3, ENCRYPTION_CONTEXT_V3] {
        if let Some(value) = fields.0.get_mut(json) {
            *value = pairs::undo_double_encoding(value).into_owned();
        }
    }
    if fields.has_a_data_key() {
        return fields.into_header().map(MetadataRead::Header);
    }
    if fields.0.is_empty() {
        return Ok(MetadataRead::Pending(Pending(None)));
    }
    let content = fields.content_v3()?;
    fields.finish()?;
    Ok(MetadataRead::Pending(Pending(Some(content))))
}

impl Pending {
    /// Whether the object itself says that it is sealed: true for V3.
    pub fn is_sealed(&self) -> bool {
        self.0.is_some()
    }

    /// The header, from the instruction file: at most [`INSTRUCTION_FILE_BYTES_MAX`] of JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Tampered`] for anything but the part of one format that belongs there.
    pub fn with_instruction_file(self, file: &[u8]) -> Result<Header, Error> {
        if file.len() > INSTRUCTION_FILE_BYTES_MAX {
            return Err(does_not_open("the instruction file is too large"));
        }
        let text = std::str::from_utf8(file)
            .map_err(|_| does_not_open("the instruction file is not UTF-8"))?;
        let pairs = pairs::parse(text)
            .map_err(|error| does_not_open(format!("the instruction file: {error}")))?;
        let mut fields = Fields::default();
        for (name, value) in &pairs {
            if !fields.add(name, value)? {
                return Err(does_not_open(format!("the instruction file has {}", short(name))));
            }
        }
        match self.0 {
            Some(content) => {
                if let Some(key) = IN_THE_OBJECT_V3.iter().find(|key| fields.0.contains_key(**key))
                {
                    return Err(does_not_open(format!("{key} is in the instruction file")));
                }
                fields.into_header_v3(content)
            }
            None if fields.0.contains_key(ENCRYPTED_DATA_KEY_V3) => {
                Err(does_not_open("the instruction file is V3, and the object's metadata is not"))
            }
            None => fields.into_header(),
        }
    }

    /// What it means that there is no instruction file.
    pub fn without_instruction_file(&self) -> Error {
        match self.0 {
            Some(_) => {
                does_not_open("the object's metadata is V3, and its instruction file is missing")
            }
            None => {
                let text = "the object has no metadata of Amazon's S3 Encryption Client and no \
                            instruction file";
                Error::new(ErrorKind::NotSealed, text)
            }
        }
    }
}

/// The keys of these formats that were found, names in small letters.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    /// False for a name that is not of these formats.
    fn add(&mut self, name: &str, value: &str) -> Result<bool, Error> {
        let name = name.to_ascii_lowercase();
        if IGNORED.contains(&name.as_str()) {
            return Ok(true);
        }
        let Some(key) = KEYS.iter().find(|key| **key == name) else { return Ok(false) };
        if self.0.insert(key, value.to_owned()).is_some() {
            return Err(does_not_open(format!("{key} stands twice")));
        }
        Ok(true)
    }

    fn has_a_data_key(&self) -> bool {
        [ENCRYPTED_DATA_KEY_V1, ENCRYPTED_DATA_KEY_V2, ENCRYPTED_DATA_KEY_V3]
            .iter()
            .any(|key| self.0.contains_key(key))
    }

    /// "Determining S3EC Object Status": one data key decides the format, and what then is left over
    /// is of another one.
    fn into_header(mut self) -> Result<Header, Error> {
        if self.0.contains_key(ENCRYPTED_DATA_KEY_V3) {
            let content = self.content_v3()?;
            return self.into_header_v3(content);
        }
        if self.0.contains_key(ENCRYPTED_DATA_KEY_V2) {
            return self.into_header_v2();
        }
        self.into_header_v1()
    }

    fn into_header_v1(mut self) -> Result<Header, Error> {
        let bytes = self.take_bytes(ENCRYPTED_DATA_KEY_V1)?;
        let pairs = self.take_pairs(MAT_DESC)?;
        let content = Content::Cbc { iv: self.take_exactly(CONTENT_IV)? };
        self.finish()?;
        // Nothing names the wrap. An AES key in ECB mode makes 48 bytes of 32, RSA never so few.
        let wrap = if bytes.len() > 48 { Wrap::RsaPkcs1 } else { Wrap::AesEcb };
        let wrapped = WrappedKey { suite: Suite::Cbc, wrap, bytes, pairs };
        Ok(Header { format: Format::V1, content, wrapped })
    }

    fn into_header_v2(mut self) -> Result<Header, Error> {
        let bytes = self.take_bytes(ENCRYPTED_DATA_KEY_V2)?;
        let pairs = self.take_pairs(MAT_DESC)?;
        let wrap = self.take(WRAP_ALGORITHM)?;
        let wrap = Wrap::from_v2_name(&wrap).ok_or_else(|| unknown(WRAP_ALGORITHM, &wrap))?;
        let cipher = self.take(CONTENT_CIPHER)?;
        let content = if cipher == Suite::Gcm.value() {
            if self.take(TAG_LENGTH)? != TAG_BITS {
                return Err(does_not_open(format!("{TAG_LENGTH} is not {TAG_BITS}")));
            }
            Content::Gcm { iv: self.take_exactly(CONTENT_IV)? }
        } else if cipher == Suite::Cbc.value() {
            Content::Cbc { iv: self.take_exactly(CONTENT_IV)? }
        } else {
            return Err(unknown(CONTENT_CIPHER, &cipher));
        };
        self.finish()?;
        let wrapped = WrappedKey { suite: content.suite(), wrap, bytes, pairs };
        Ok(Header { format: Format::V2, content, wrapped })
    }

    fn content_v3(&mut self) -> Result<Content, Error> {
        let cipher = self.take(CONTENT_CIPHER_V3)?;
        if cipher != Suite::GcmCommitted.value() {
            return Err(unknown(CONTENT_CIPHER_V3, &cipher));
        }
        let message_id = self.take_exactly(MESSAGE_ID_V3)?;
        let commitment = self.take_exactly(KEY_COMMITMENT_V3)?;
        Ok(Content::Committed { message_id, commitment })
    }

    fn into_header_v3(mut self, content: Content) -> Result<Header, Error> {
        let bytes = self.take_bytes(ENCRYPTED_DATA_KEY_V3)?;
        let wrap = self.take(ENCRYPTED_DATA_KEY_ALGORITHM_V3)?;
        let wrap = Wrap::from_v3_name(&wrap)
            .ok_or_else(|| unknown(ENCRYPTED_DATA_KEY_ALGORITHM_V3, &wrap))?;
        let (used, other) = if wrap.is_kms() {
            (ENCRYPTION_CONTEXT_V3, MAT_DESC_V3)
        } else {
            (MAT_DESC_V3, ENCRYPTION_CONTEXT_V3)
        };
        // "V3 Only": where the key is absent, the map is empty.
        let pairs = self.take_pairs_if_any(used)?;
        if !self.take_pairs_if_any(other)?.is_empty() {
            return Err(does_not_open(format!("{other} beside another kind of wrapped key")));
        }
        self.finish()?;
        let wrapped = WrappedKey { suite: content.suite(), wrap, bytes, pairs };
        Ok(Header { format: Format::V3, content, wrapped })
    }

    fn take(&mut self, key: &'static str) -> Result<String, Error> {
        self.0.remove(key).ok_or_else(|| does_not_open(format!("{key} is missing")))
    }

    fn take_bytes(&mut self, key: &'static str) -> Result<Vec<u8>, Error> {
        let value = self.take(key)?;
        let bytes = BASE64_PADDED.decode(&value).unwrap_or_default();
        if bytes.is_empty() {
            return Err(does_not_open(format!("{key} is not base64 of something")));
        }
        Ok(bytes)
    }

    fn take_exactly<const N: usize>(&mut self, key: &'static str) -> Result<[u8; N], Error> {
        let bytes = self.take_bytes(key)?;
        <[u8; N]>::try_from(bytes.as_slice())
            .map_err(|_| does_not_open(format!("{key} has {} bytes instead of {N}", bytes.len())))
    }

    fn take_pairs(&mut self, key: &'static str) -> Result<Pairs, Error> {
        let text = self.take(key)?;
        pairs::parse(&text).map_err(|error| does_not_open(format!("{key}: {error}")))
    }

    fn take_pairs_if_any(&mut self, key: &'static str) -> Result<Pairs, Error> {
        if self.0.contains_key(key) { self.take_pairs(key) } else { Ok(Pairs::new()) }
    }

    fn finish(&self) -> Result<(), Error> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(does_not_open(format!("{key} is of another format than the rest"))),
        }
    }
}

fn unknown(key: &str, value: &str) -> Error {
    does_not_open(format!("{key} is {}", short(value)))
}

/// Foreign text for a log line: escaped, and no longer than a line.
fn short(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    format!("{start:?}")
}

impl Header {
    /// All of it, for the object's metadata: names without `x-amz-meta-`, values in ASCII.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where S3 would refuse it as too large: the instruction file takes more.
    pub fn to_metadata(&self) -> Result<Pairs, Error> {
        let metadata = self.to_pairs();
        let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > METADATA_BYTES_MAX {
            return Err(Error::usage(format!(
                "the encryption metadata has {bytes} bytes, and S3 takes {METADATA_BYTES_MAX}: \
                 shorten the encryption context, or use an instruction file"
            )));
        }
        Ok(metadata)
    }

    /// What the object's metadata keeps when the rest is in an instruction file: in V3 what belongs to
    /// the content, else nothing.
    pub fn to_metadata_beside_instruction_file(&self) -> Pairs {
        let mut metadata = self.to_pairs();
        metadata.retain(|key, _| IN_THE_OBJECT_V3.contains(&key.as_str()));
        metadata
    }

    /// The content of the instruction file: JSON and nothing else.
    pub fn to_instruction_file(&self) -> String {
        let mut metadata = self.to_pairs();
        metadata.retain(|key, _| !IN_THE_OBJECT_V3.contains(&key.as_str()));
        pairs::write(&metadata)
    }

    pub(super) fn to_pairs(&self) -> Pairs {
        let mut out = Pairs::new();
        let mut put = |key: &str, value: &str| {
            out.insert(key.to_owned(), value.to_owned());
        };
        let encode = |bytes: &[u8]| BASE64_PADDED.encode(bytes);
        let WrappedKey { wrap, bytes, pairs, .. } = &self.wrapped;
        let (key, pairs_json) = (encode(bytes), pairs::write(pairs));
        match &self.content {
            Content::Committed { message_id, commitment } => {
                put(CONTENT_CIPHER_V3, Suite::GcmCommitted.value());
                put(MESSAGE_ID_V3, &encode(message_id));
                put(KEY_COMMITMENT_V3, &encode(commitment));
                put(ENCRYPTED_DATA_KEY_V3, &key);
                put(ENCRYPTED_DATA_KEY_ALGORITHM_V3, wrap.v3_name().unwrap_or_default());
                put(if wrap.is_kms() { ENCRYPTION_CONTEXT_V3 } else { MAT_DESC_V3 }, &pairs_json);
                return out;
            }
            Content::Gcm { iv } => {
                put(CONTENT_IV, &encode(iv));
                put(TAG_LENGTH, TAG_BITS);
            }
            Content::Cbc { iv } => put(CONTENT_IV, &encode(iv)),
        }
        put(MAT_DESC, &pairs_json);
        if self.format == Format::V1 {
            put(ENCRYPTED_DATA_KEY_V1, &key);
            return out;
        }
        put(ENCRYPTED_DATA_KEY_V2, &key);
        put(WRAP_ALGORITHM, wrap.v2_name().unwrap_or_default());
        put(CONTENT_CIPHER, self.suite().value());
        out
    }
}
