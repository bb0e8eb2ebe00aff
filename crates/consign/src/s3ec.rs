//! One object in the formats of Amazon's S3 Encryption Client: put as its clients would, and got
//! whoever of them put it.
//!
//! [`put`] and [`get`] fetch data keys from KMS or wrap them with a key of the party's own
//! ([`Keyring`]), and place the metadata with the object or in an instruction file. What is
//! cryptography is in [`consign_seal::s3ec`]. This is not how consignments travel: nothing here is
//! signed, chained or resumed.

mod rewrap;

use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;

use consign_cloud::s3::{Body, GetObject, PutDone, PutObject};
use consign_cloud::{Cloud, S3};
use consign_seal::s3ec::{
    Admitted, AesKey, CommitmentPolicy, DataKey, Header, INSTRUCTION_FILE_BYTES_MAX,
    INSTRUCTION_FILE_SUFFIX, KeyRequest, MetadataRead, OpenPolicy, Opener, PIECE_BYTES, Pairs,
    Partial, RsaPrivateKey, RsaPublicKey, Sealer, Suite, TAG_BYTES, WrappedKey, kms_context,
    read_metadata, refused_by_kms,
};
use consign_transfer::Backoff;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{Error, ErrorKind, Result};

pub use rewrap::{Rewrap, rewrap};

/// The most that one PUT takes.
const PUT_BYTES_MAX: u64 = 5 << 30;

/// Smaller objects are sent from memory.
const IN_MEMORY_BYTES_MAX: u64 = 8 << 20;

/// How much is asked for at once. A multiple of [`PIECE_BYTES`].
const RANGE_BYTES: u64 = 8 << 20;

/// How many ranges are on their way. With [`RANGE_BYTES`], the bound of the memory.
const RANGES_AT_ONCE: usize = 4;

/// How often a range is tried.
const ATTEMPTS_MAX: u32 = 5;

/// AES-CBC content is opened in memory.
const CBC_BYTES_MAX: usize = 1 << 30;

/// What KMS answers where ciphertext, context and key do not belong together: to whoever can change
/// them in the bucket, no different from any other change.
const NOT_THIS_KEY: [&str; 2] = ["InvalidCiphertextException", "IncorrectKeyException"];

/// What wraps and unwraps data keys.
pub enum Keyring {
    /// A KMS key: ARN, id or alias. The caller needs `kms:GenerateDataKey` to put and `kms:Decrypt`
    /// to get.
    Kms(String),
    /// A wrapping key of the party's own.
    Aes(AesKey),
    /// For the owner of an RSA key: puts only.
    RsaPublic(RsaPublicKey),
    /// The owner: puts and gets.
    RsaPrivate(RsaPrivateKey),
}

/// How to seal.
#[derive(Clone, Debug)]
pub struct SealAs {
    /// The suite; V3 by default.
    pub suite: Suite,
    /// What the policy must allow.
    pub commitment: CommitmentPolicy,
    /// Encryption context with KMS; with other keys a description, which nothing authenticates.
    pub context: Pairs,
    /// Put the metadata into an instruction file, so that the data key can be wrapped anew later.
    pub instruction_file: bool,
}

impl Default for SealAs {
    fn default() -> SealAs {
        SealAs {
            suite: Suite::GcmCommitted,
            commitment: CommitmentPolicy::default(),
            context: Pairs::new(),
            instruction_file: false,
        }
    }
}

/// The encryption context that binds an object to its place in an exchange: a reader who expects it
/// opens neither an object of another lane nor one under another name.
pub fn context_of(exchange: &str, lane: &str, consignment: &str, object: &str) -> Pairs {
    let names = ["exchange", "lane", "consignment", "object"];
    let values = [exchange, lane, consignment, object];
    let pair = |(name, value): (&str, &str)| (format!("consign-{name}"), value.to_owned());
    names.into_iter().zip(values).map(pair).collect()
}

/// Puts exactly `plain_bytes` of `plain`, sealed, as `to.key`. The metadata and body of `to` are
/// replaced; the rest of it holds for the object and its instruction file alike.
///
/// # Errors
/// [`ErrorKind::Source`] beyond 5 GiB, and where `plain` is shorter or longer than said. The
/// instruction file is put first and may be left behind; the object is there whole or not at all.
pub async fn put(
    cloud: &Cloud,
    to: PutObject,
    plain: impl Read + Send + 'static,
    plain_bytes: u64,
    keyring: &Keyring,
    seal: &SealAs,
) -> Result<PutDone> {
    if Sealer::sealed_bytes(plain_bytes) > PUT_BYTES_MAX {
        let text = "an object of more than 5 GiB cannot be put at once: send it on a lane";
        return Err(Error::new(ErrorKind::Source, text));
    }
    let (key, wrapped) = new_data_key(cloud, keyring, seal).await?;
    let sealer = Sealer::new(seal.commitment, &key, wrapped)?;
    let mut metadata = to.metadata.clone();
    if seal.instruction_file {
        let file = PutObject {
            bucket: to.bucket.clone(),
            key: format!("{}{INSTRUCTION_FILE_SUFFIX}", to.key),
            body: sealer.header().to_instruction_file().into_bytes().into(),
            if_none_match: to.if_none_match,
            expected_bucket_owner: to.expected_bucket_owner.clone(),
            content_type: Some("application/json".to_owned()),
            encryption: to.encryption.clone(),
            ..PutObject::default()
        };
        cloud.s3().put_object(file).await?;
        metadata.extend(sealer.header().to_metadata_beside_instruction_file());
    } else {
        metadata.extend(sealer.header().to_metadata()?);
    }
    let (body, sealing) = sealed_body(sealer, plain, plain_bytes).await?;
    let put = PutObject { metadata, body, checksum_crc64nvme: None, ..to };
    let done = cloud.s3().put_object(put).await;
    if let Some(sealing) = sealing {
        // What stopped the source is the better sentence of the two.
        sealing.await.map_err(|_| Error::new(ErrorKind::Bug, "sealing ended unexpectedly"))??;
    }
    Ok(done?)
}

async fn new_data_key(
    cloud: &Cloud,
    keyring: &Keyring,
    seal: &SealAs,
) -> Result<(DataKey, WrappedKey)> {
    let SealAs { suite, context, .. } = seal;
    if let Keyring::Kms(key) = keyring {
        let made = cloud.kms().generate_data_key(key, &kms_context(*suite, context)?).await?;
        let wrapped = WrappedKey::from_kms(*suite, made.wrapped, context)?;
        return Ok((DataKey::from_bytes(&made.plaintext)?, wrapped));
    }
    let key = DataKey::generate()?;
    let wrapped = wrap_data_key(cloud, keyring, *suite, &key, context).await?;
    Ok((key, wrapped))
}

/// Wraps a data key that is there already.
async fn wrap_data_key(
    cloud: &Cloud,
    keyring: &Keyring,
    suite: Suite,
    key: &DataKey,
    context: &Pairs,
) -> Result<WrappedKey> {
    Ok(match keyring {
        Keyring::Kms(name) => {
            let asked = kms_context(suite, context)?;
            let wrapped = cloud.kms().encrypt(name, key.as_secret_bytes(), &asked).await?;
            WrappedKey::from_kms(suite, wrapped, context)?
        }
        Keyring::Aes(aes) => aes.wrap(suite, key, context)?,
        Keyring::RsaPublic(rsa) => rsa.wrap(suite, key, context)?,
        Keyring::RsaPrivate(rsa) => rsa.public_key().wrap(suite, key, context)?,
    })
}

type Sealing = tokio::task::JoinHandle<Result<()>>;

/// The sealed bytes, from memory or through a thread that seals while they are sent.
async fn sealed_body(
    sealer: Sealer,
    plain: impl Read + Send + 'static,
    plain_bytes: u64,
) -> Result<(Body, Option<Sealing>)> {
    let bytes = Sealer::sealed_bytes(plain_bytes);
    if bytes <= IN_MEMORY_BYTES_MAX {
        let seal = move || {
            let mut sealed = Vec::new();
            seal_into(&sealer, plain, plain_bytes, |piece| {
                sealed.extend_from_slice(&piece);
                true
            })?;
            Ok::<_, Error>(sealed)
        };
        let sealed = tokio::task::spawn_blocking(seal).await;
        let sealed =
            sealed.map_err(|_| Error::new(ErrorKind::Bug, "sealing ended unexpectedly"))??;
        return Ok((sealed.into(), None));
    }
    // Two pieces wait while one is sealed.
    let (pieces, parts) = mpsc::channel(2);
    let sealing = tokio::task::spawn_blocking(move || {
        let sealed = seal_into(&sealer, plain, plain_bytes, |piece| {
            pieces.blocking_send(Ok(piece.into())).is_ok()
        });
        if let Err(error) = &sealed {
            // Ends the request; whether anybody still listens does not matter.
            let _gone = pieces.blocking_send(Err(error.to_string().into()));
        }
        sealed
    });
    Ok((Body::Stream { bytes, parts }, Some(sealing)))
}

/// Hands on the sealed object piece by piece for as long as `take` returns true.
fn seal_into(
    sealer: &Sealer,
    mut plain: impl Read,
    plain_bytes: u64,
    mut take: impl FnMut(Vec<u8>) -> bool,
) -> Result<()> {
    let (mut parts, mut at) = (Vec::new(), 0u64);
    while at < plain_bytes {
        let wanted = (plain_bytes - at).min(PIECE_BYTES as u64);
        let mut piece = Vec::new();
        (&mut plain).take(wanted).read_to_end(&mut piece).map_err(unreadable)?;
        if piece.len() as u64 != wanted {
            return Err(Error::new(ErrorKind::SourceChanged, "the source is shorter than it was"));
        }
        parts.push(sealer.seal_part(at, &mut piece)?);
        at += wanted;
        if !take(piece) {
            return Ok(());
        }
    }
    if plain.read(&mut [0]).map_err(unreadable)? != 0 {
        return Err(Error::new(ErrorKind::SourceChanged, "the source is longer than it was"));
    }
    take(sealer.finish(parts)?.to_vec());
    Ok(())
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Source, "the source cannot be read").because(error)
}

/// Reads the metadata of an object, and its instruction file if that is where it is. `suffix` is
/// `.instruction` unless somebody chose another when wrapping anew.
///
/// # Errors
/// [`ErrorKind::Damaged`] for an object that is none of these formats.
pub async fn header(cloud: &Cloud, from: &GetObject, suffix: Option<&str>) -> Result<Header> {
    let head = cloud.s3().head_object(from).await?;
    header_of(cloud, from, suffix, &head.metadata).await
}

async fn header_of(
    cloud: &Cloud,
    from: &GetObject,
    suffix: Option<&str>,
    metadata: &Pairs,
) -> Result<Header> {
    let pending = match read_metadata(metadata)? {
        MetadataRead::Header(header) => return Ok(header),
        MetadataRead::Pending(pending) => pending,
    };
    let file = GetObject {
        key: format!("{}{}", from.key, suffix.unwrap_or(INSTRUCTION_FILE_SUFFIX)),
        version_id: None,
        if_match: None,
        ..from.clone()
    };
    match cloud.s3().get_object_bytes(&file, INSTRUCTION_FILE_BYTES_MAX).await {
        Ok((file, _)) => Ok(pending.with_instruction_file(&file)?),
        Err(error) if error.kind() == consign_cloud::ErrorKind::NotFound => {
            Err(pending.without_instruction_file().into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Gets an object and writes its content to `out`: all of it is authenticated before the first byte
/// is written (AES-CBC, behind its switch, cannot be). `spool` holds the sealed bytes meanwhile: an
/// empty file; what is in it afterwards is of no use and no secret. Returns how many bytes were written.
///
/// # Errors
/// What the `policy` refuses, before any key is asked for; [`ErrorKind::Damaged`] for anything that
/// does not open, whatever the reason.
pub async fn get<S, W>(
    cloud: &Cloud,
    from: &GetObject,
    suffix: Option<&str>,
    keyring: &Keyring,
    policy: &OpenPolicy,
    spool: &mut S,
    out: &mut W,
) -> Result<u64>
where
    S: Read + Write + Seek,
    W: Write,
{
    let head = cloud.s3().head_object(from).await?;
    let header = header_of(cloud, from, suffix, &head.metadata).await?;
    let admitted = header.admit(policy)?;
    let opener = admitted.open(&data_key(cloud, keyring, &admitted).await?)?;
    // Everything from the object that was looked at, even if another is put meanwhile.
    let from = GetObject { if_match: head.etag, version_id: head.version_id, ..from.clone() };
    if header.suite() == Suite::Cbc {
        let (sealed, _) = cloud.s3().get_object_bytes(&from, CBC_BYTES_MAX).await?;
        let plain = opener.open_all(sealed.to_vec())?;
        out.write_all(&plain).map_err(unwritable)?;
        return Ok(plain.len() as u64);
    }
    let (parts, tag) = fetch(cloud, &from, &opener, head.bytes, spool).await?;
    let verified = opener.verify(parts, &tag)?;
    verified.open_stream(spool, out)?;
    Ok(verified.content_bytes())
}

async fn data_key(cloud: &Cloud, keyring: &Keyring, admitted: &Admitted<'_>) -> Result<DataKey> {
    let wanted = admitted.wanted();
    match (keyring, &wanted) {
        (Keyring::Kms(key), KeyRequest::Kms { ciphertext, context }) => {
            match cloud.kms().decrypt(Some(key), ciphertext, context).await {
                Ok(plain) => Ok(DataKey::from_bytes(&plain)?),
                Err(error) => Err(not_this_key(&error).unwrap_or_else(|| error.into())),
            }
        }
        (Keyring::Aes(key), _) => Ok(key.unwrap(&wanted)?),
        (Keyring::RsaPrivate(key), _) => Ok(key.unwrap(&wanted)?),
        (Keyring::Kms(_), _) => {
            let text = "its data key is not wrapped by KMS";
            Err(Error::new(ErrorKind::NotForUs, text))
        }
        (Keyring::RsaPublic(_), _) => {
            let text = "a public key opens nothing: the private one is needed";
            Err(Error::new(ErrorKind::NotForUs, text))
        }
    }
}

/// What KMS says of an object, where that is its answer.
pub(crate) fn not_this_key(error: &consign_cloud::Error) -> Option<Error> {
    let code = error.code().filter(|code| NOT_THIS_KEY.contains(code))?;
    Some(refused_by_kms(code).into())
}

/// The sealed content into `spool`, hashed as it comes, and the tag. Ranges arrive in any order: each
/// has its place in the file, and its hash its place in the sum.
async fn fetch(
    cloud: &Cloud,
    from: &GetObject,
    opener: &Opener,
    object_bytes: u64,
    spool: &mut (impl Write + Seek),
) -> Result<(Vec<Partial>, [u8; TAG_BYTES])> {
    let content_bytes = opener.content_bytes(object_bytes)?;
    let (mut parts, mut next) = (Vec::new(), 0);
    let mut running = JoinSet::new();
    loop {
        while next < content_bytes && running.len() < RANGES_AT_ONCE {
            let end = content_bytes.min(next + RANGE_BYTES);
            running.spawn(read_range(cloud.s3().clone(), from.clone(), next..end));
            next = end;
        }
        let Some(read) = running.join_next().await else { break };
        let (start, range) = read.map_err(|_| Error::new(ErrorKind::Bug, "reading a range"))??;
        for (at, piece) in (start..).step_by(PIECE_BYTES).zip(range.chunks(PIECE_BYTES)) {
            parts.push(opener.hash_part(at, piece)?);
        }
        spool.seek(SeekFrom::Start(start)).map_err(unwritable)?;
        spool.write_all(&range).map_err(unwritable)?;
    }
    let tag = read_range(cloud.s3().clone(), from.clone(), content_bytes..object_bytes).await?.1;
    spool.seek(SeekFrom::Start(content_bytes)).map_err(unwritable)?;
    spool.write_all(&tag).and_then(|()| spool.flush()).map_err(unwritable)?;
    let tag = <[u8; TAG_BYTES]>::try_from(tag.as_slice())
        .map_err(|_| Error::new(ErrorKind::Bug, "a tag of another length"))?;
    Ok((parts, tag))
}

/// The range and where it begins, tried again where that may help.
async fn read_range(s3: S3, from: GetObject, range: Range<u64>) -> Result<(u64, Vec<u8>)> {
    let bytes = usize::try_from(range.end - range.start)
        .map_err(|_| Error::new(ErrorKind::Bug, "a range that does not fit in memory"))?;
    let mut buffer = vec![0; bytes];
    let mut backoff = Backoff::new(ATTEMPTS_MAX, range.start);
    loop {
        let Err(error) = s3.get_range(&from, range.clone(), &mut buffer).await else {
            return Ok((range.start, buffer));
        };
        let wait = error.is_retryable().then(|| backoff.after(error.kind())).flatten();
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(error.into()),
        }
    }
}

fn unwritable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Destination, "the output cannot be written").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_goes_to_the_object_by_default() {
        let default = SealAs::default();
        assert!(!default.instruction_file);
        assert_eq!(default.suite, Suite::GcmCommitted);
        assert_eq!(default.commitment, CommitmentPolicy::RequireEncryptRequireDecrypt);
    }

    #[test]
    fn the_context_names_the_place_of_an_object() {
        let context = context_of("acme-globex", "to-client", "01J", "000001.s3ec");
        let expected = [
            ("consign-consignment", "01J"),
            ("consign-exchange", "acme-globex"),
            ("consign-lane", "to-client"),
            ("consign-object", "000001.s3ec"),
        ];
        assert!(context.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
    }
}
