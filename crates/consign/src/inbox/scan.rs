//! The scanner's side: what nobody has judged yet, its bytes, and the verdict.
//!
//! A verdict is a tag of one exact version, put after everything of it was read; the tags that were
//! there stay, because the publisher knows its delivery by one of them. Whatever stops a scan stops it
//! before the tag, and without the tag nobody but the scanner reads.

use super::{
    VERDICT_CLEAN, VERDICT_INFECTED, VERDICT_TAG, entries, find, for_each, must_be, object,
};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::office::Office;
use consign_model::{ACKNOWLEDGEMENTS, DELIVERIES, Inbox, InboxName};
use std::ops::Range;

/// An object without a verdict.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unscanned {
    /// Its key.
    pub key: String,
    /// Its version: the one that is read and judged.
    pub version: Option<String>,
    /// Its size.
    pub bytes: u64,
}

/// What a scanner has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be read.
    Clean,
    /// It may not.
    Infected,
}

/// What nobody has judged yet, in the order of keys.
///
/// # Errors
/// [`ErrorKind::Configuration`] where we are not the scanner of this inbox.
pub async fn unscanned(office: &Office, inbox: &InboxName) -> Result<Vec<Unscanned>> {
    let inbox = scanned(office, inbox)?;
    let objects = entries(office, inbox, &inbox.prefix).await?;
    let objects = objects.into_iter().filter(|entry| {
        let below = entry.key.strip_prefix(inbox.prefix.as_str()).unwrap_or_default();
        !below.starts_with(DELIVERIES) && !below.starts_with(ACKNOWLEDGEMENTS)
    });
    let looked = for_each(objects.collect(), |entry| {
        let (office, inbox) = (office.clone(), inbox.clone());
        async move {
            let there = object(&office, &inbox, &entry.key, None);
            let s3 = office.cloud.s3();
            let tags = retrying(&office, || s3.get_object_tags(&there)).await;
            match tags {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
                Ok((tags, _)) if tags.contains_key(VERDICT_TAG) => Ok(None),
                Ok((_, version)) => {
                    Ok(Some(Unscanned { key: entry.key, version, bytes: entry.bytes }))
                }
            }
        }
    });
    Ok(looked.await?.into_iter().flatten().collect())
}

/// Reads a range of the version that is to be judged; the buffer has exactly its length.
///
/// # Errors
/// [`ErrorKind::Content`] if the object has another size than was listed: then nothing of it was judged.
pub async fn read_unscanned(
    office: &Office,
    inbox: &InboxName,
    unscanned: &Unscanned,
    range: Range<u64>,
) -> Result<Vec<u8>> {
    let inbox = scanned(office, inbox)?;
    let there = object(office, inbox, &unscanned.key, unscanned.version.as_deref());
    let too_long = |_| Error::new(ErrorKind::Bug, "a range does not fit in memory");
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(too_long)?;
    let s3 = office.cloud.s3();
    let (bytes, read) = retrying(office, || async {
        let mut bytes = vec![0; length];
        let read = s3.get_range(&there, range.clone(), &mut bytes).await?;
        Ok((bytes, read))
    })
    .await?;
    match read.object_bytes == unscanned.bytes {
        true => Ok(bytes),
        false => Err(Error::new(
            ErrorKind::Content,
            format!("`{}` has another size than was listed", unscanned.key),
        )),
    }
}

/// Tags the version that was judged. Says whether it did: a verdict that is there already stays.
///
/// # Errors
/// [`ErrorKind::Configuration`] where no version can be named, and what the service says; the version then has no verdict, or this one.
pub async fn give_verdict(
    office: &Office,
    inbox: &InboxName,
    unscanned: &Unscanned,
    verdict: Verdict,
) -> Result<bool> {
    let inbox = scanned(office, inbox)?;
    if unscanned.version.is_none() {
        let message = "the bucket keeps no versions, so a verdict could be of other bytes";
        return Err(Error::new(ErrorKind::Configuration, message).hinting("consign plan"));
    }
    let there = object(office, inbox, &unscanned.key, unscanned.version.as_deref());
    let s3 = office.cloud.s3();
    let (mut tags, _) = retrying(office, || s3.get_object_tags(&there)).await?;
    if tags.contains_key(VERDICT_TAG) {
        return Ok(false);
    }
    let word = match verdict {
        Verdict::Clean => VERDICT_CLEAN,
        Verdict::Infected => VERDICT_INFECTED,
    };
    tags.insert(VERDICT_TAG.to_owned(), word.to_owned());
    retrying(office, || s3.put_object_tags(&there, &tags)).await?;
    Ok(true)
}

fn scanned<'a>(office: &'a Office, inbox: &InboxName) -> Result<&'a Inbox> {
    let inbox = find(office, inbox)?;
    let scanner: Vec<_> = inbox.quarantine.iter().collect();
    must_be(office, inbox, &scanner, "scanned")?;
    Ok(inbox)
}
