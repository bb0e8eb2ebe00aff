//! Another key for one object: its instruction file is written anew, the object stays as it is.
//!
//! Whoever has a version of the old instruction file and the old key opens the object still: in a bucket
//! with versions that is until the old version is removed.

use consign_cloud::Cloud;
use consign_cloud::s3::{GetObject, PutDone, PutObject};
use consign_seal::s3ec::{
    CommitmentPolicy, ExpectedContext, INSTRUCTION_FILE_BYTES_MAX, INSTRUCTION_FILE_SUFFIX,
    MetadataRead, OpenPolicy, Pairs, read_metadata,
};

use super::{Keyring, data_key, wrap_data_key};
use crate::error::{Error, ErrorKind, Result};

/// What opens an object, and what is to open it.
pub struct Rewrap<'a> {
    /// What opens it now.
    pub from: &'a Keyring,
    /// What is to.
    pub to: &'a Keyring,
    /// The encryption context or description of the new key; none is the old one's.
    pub context: Option<Pairs>,
    /// Write a second instruction file with this ending, and leave the first.
    pub suffix: Option<String>,
}

/// Wraps the data key of the object at `from` for another key. The content is not read; in V3 it
/// commits to its data key, which is checked.
///
/// # Errors
/// [`ErrorKind::Configuration`] where the key stands in the object's own metadata, which cannot be
/// changed without the object; [`ErrorKind::Damaged`] or [`ErrorKind::NotForUs`] where `from` does not
/// open it. The instruction file is the old one or the new one.
pub async fn rewrap(cloud: &Cloud, from: &GetObject, how: &Rewrap<'_>) -> Result<PutDone> {
    let head = cloud.s3().head_object(from).await?;
    let MetadataRead::Pending(pending) = read_metadata(&head.metadata)? else {
        let text = "the key of this object stands in its own metadata, not in an instruction file";
        return Err(Error::new(ErrorKind::Configuration, text)
            .hinting("seal it again, with an instruction file if its key is to change later"));
    };
    let file = format!("{}{INSTRUCTION_FILE_SUFFIX}", from.key);
    let object = GetObject { key: file, version_id: None, if_match: None, ..from.clone() };
    let old = cloud.s3().get_object_bytes(&object, INSTRUCTION_FILE_BYTES_MAX).await;
    let header = match old {
        Ok((bytes, _)) => pending.with_instruction_file(&bytes)?,
        Err(error) if error.kind() == consign_cloud::ErrorKind::NotFound => {
            return Err(pending.without_instruction_file().into());
        }
        Err(error) => return Err(error.into()),
    };
    // Whoever has the key decides what it is for; what is kept of it, the new file says too.
    let policy = OpenPolicy {
        commitment: CommitmentPolicy::RequireEncryptAllowDecrypt,
        context: ExpectedContext::AsStored,
        ..OpenPolicy::default()
    };
    let key = data_key(cloud, how.from, &header.admit(&policy)?).await?;
    let context = how.context.clone().unwrap_or_else(|| header.context());
    let wrapped = wrap_data_key(cloud, how.to, header.suite(), &key, &context).await?;
    let new = header.rewrap(&key, wrapped)?.to_instruction_file();
    let ending = how.suffix.as_deref().unwrap_or(INSTRUCTION_FILE_SUFFIX);
    let put = PutObject {
        bucket: from.bucket.clone(),
        key: format!("{}{ending}", from.key),
        body: new.into_bytes().into(),
        expected_bucket_owner: from.expected_bucket_owner.clone(),
        content_type: Some("application/json".to_owned()),
        ..PutObject::default()
    };
    Ok(cloud.s3().put_object(put).await?)
}
