//! Reading what is small: listings, manifests, headers.

use crate::at_rest::locate;
use crate::error::{Error, ErrorKind, Result};
use crate::letter::{self, Opened};
use crate::office::{Office, manifest_names};
use crate::seals::{Metadata, Opening};
use consign_cloud::s3::{GetObject, ListRequest};
use consign_model::{ConsignmentId, Lane, Limits, Seal, revised_place, revision_of};
use consign_transfer::Backoff;
use std::collections::{BTreeMap, BTreeSet};

/// A sealed signature is larger than this only if it is none.
const SIGNATURE_BYTES_MAX: usize = 512 << 10;

/// What a seal adds to a manifest, generously.
const SEAL_BYTES_MAX: u64 = 1 << 20;

/// Tries a request until it succeeds, cannot, or the engine's number of tries is used up.
pub(crate) async fn retrying<T, F>(office: &Office, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, consign_cloud::Error>>,
{
    let limits = office.engine.limits();
    let mut backoff = Backoff::new(limits.attempts_max, limits.seed ^ office.now_ms());
    loop {
        // Boxed: the client below is deep, and every caller would carry it in its own future.
        let error = match Box::pin(attempt()).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let wait = error.is_retryable().then(|| backoff.after(error.kind())).flatten();
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(error.into()),
        }
    }
}

/// The ids under a lane's prefix, in order, whether complete or not. Whatever has another name is
/// not ours to judge.
pub(crate) async fn ids(office: &Office, lane: &Lane) -> Result<Vec<ConsignmentId>> {
    let folders = folders(office, lane).await?;
    let mut ids: Vec<_> =
        folders.iter().filter_map(|folder| ConsignmentId::parse(folder).ok()).collect();
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// The folders under a lane's prefix, whoever made them.
pub(crate) async fn folders(office: &Office, lane: &Lane) -> Result<Vec<String>> {
    let mut folders = Vec::new();
    let mut token = None;
    loop {
        let list = ListRequest { delimiter: Some("/".into()), token, ..request(office, lane) };
        let page = retrying(office, || office.cloud.s3().list_objects(&list)).await?;
        let inner = |prefix: &String| {
            Some(prefix.strip_prefix(lane.prefix.as_str())?.strip_suffix('/')?.to_owned())
        };
        folders.extend(page.prefixes.iter().filter_map(inner));
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(folders),
        }
    }
}

/// The objects under a lane's prefix, by folder: name within it and size.
pub(crate) async fn objects(
    office: &Office,
    lane: &Lane,
) -> Result<BTreeMap<String, Vec<(String, u64)>>> {
    let mut objects: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    let mut token = None;
    loop {
        let list = ListRequest { token, ..request(office, lane) };
        let page = retrying(office, || office.cloud.s3().list_objects(&list)).await?;
        for entry in page.entries {
            let inner = entry.key.strip_prefix(lane.prefix.as_str());
            let Some((folder, name)) = inner.and_then(|it| it.split_once('/')) else { continue };
            objects.entry(folder.to_owned()).or_default().push((name.to_owned(), entry.bytes));
        }
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(objects),
        }
    }
}

fn request(office: &Office, lane: &Lane) -> ListRequest {
    ListRequest {
        bucket: lane.bucket.to_string(),
        prefix: lane.prefix.clone(),
        expected_bucket_owner: office.owner_of(lane),
        ..ListRequest::default()
    }
}

/// Fetches, opens and judges a consignment's manifest; none if it has not been written yet.
///
/// Where the original is gone, or is not for us, the newest revision is; where both are there, they
/// say the same of the files.
pub(crate) async fn manifest(
    office: &Office,
    lane: &Lane,
    id: &ConsignmentId,
) -> Result<Option<Opened>> {
    let original = version(office, lane, id, 0).await;
    match &original {
        Ok(Some(_)) => return original,
        Err(error) if error.kind() != ErrorKind::NotForUs => return original,
        _ => {}
    }
    match revision(office, lane, id).await? {
        Some(revised) => Ok(Some(revised)),
        None => original,
    }
}

/// The newest version of a consignment's manifest, as its sender wants it.
pub(crate) async fn newest(
    office: &Office,
    lane: &Lane,
    id: &ConsignmentId,
) -> Result<Option<Opened>> {
    match revision(office, lane, id).await? {
        Some(revised) => Ok(Some(revised)),
        None => version(office, lane, id, 0).await,
    }
}

/// The newest revision that is complete.
async fn revision(office: &Office, lane: &Lane, id: &ConsignmentId) -> Result<Option<Opened>> {
    for number in revisions(office, lane, id).await?.into_iter().rev() {
        if let Some(revised) = version(office, lane, id, number).await? {
            return Ok(Some(revised));
        }
    }
    Ok(None)
}

/// The numbers of the revisions that were begun.
async fn revisions(office: &Office, lane: &Lane, id: &ConsignmentId) -> Result<BTreeSet<u32>> {
    let folder = format!("{}{id}/", lane.prefix);
    let (mut numbers, mut token) = (BTreeSet::new(), None);
    loop {
        let list = ListRequest {
            prefix: format!("{folder}r"),
            delimiter: Some("/".into()),
            token,
            ..request(office, lane)
        };
        let page = retrying(office, || office.cloud.s3().list_objects(&list)).await?;
        let within = page.prefixes.iter().filter_map(|prefix| prefix.strip_prefix(&folder));
        numbers.extend(within.map(|place| revision_of(place).0).filter(|number| *number > 0));
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(numbers),
        }
    }
}

/// One version: the original (0) or a revision.
async fn version(
    office: &Office,
    lane: &Lane,
    id: &ConsignmentId,
    revision: u32,
) -> Result<Option<Opened>> {
    let (manifest_name, signature_name) = manifest_names(lane);
    let place_of = |name: &str| revised_place(revision, name);
    let bytes_max = Limits::default().manifest_bytes.saturating_add(SEAL_BYTES_MAX);
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let place = locate(office, lane, id, &place_of(&manifest_name), None).await?;
    let manifest = match whole(office, &place, bytes_max).await {
        // Where a lane has a prefix, a reader may list below it alone, and to him S3 denies what is not
        // there as it denies what is (s3:ListBucket of a HEAD or GET names no prefix).
        Err(error) if error.kind() == ErrorKind::Denied => {
            match is_there(office, lane, &place.key).await? {
                true => return Err(error),
                false => None,
            }
        }
        read => read?,
    };
    let Some(manifest) = manifest else { return Ok(None) };
    let of_manifest = opening(office, lane, id, &manifest_name, &place).await;
    let of_manifest = of_manifest.map_err(|error| error.during("the manifest cannot be opened"))?;
    let place = locate(office, lane, id, &place_of(&signature_name), None).await?;
    let signature = whole(office, &place, SIGNATURE_BYTES_MAX).await?.ok_or_else(|| {
        Error::new(ErrorKind::Signature, "the manifest has no signature beside it")
    })?;
    let of_signature = opening(office, lane, id, &signature_name, &place).await;
    let of_signature =
        of_signature.map_err(|error| error.during("the manifest's signature cannot be opened"))?;
    let (office, lane, id) = (office.clone(), lane.clone(), id.clone());
    // A manifest may have a million entries: too long for a thread that serves others.
    let opened = tokio::task::spawn_blocking(move || {
        letter::open(
            &office,
            &lane,
            (&id, revision),
            (&manifest, &of_manifest),
            (&signature, &of_signature),
        )
    });
    opened.await.map_err(crate::error::join)?.map(Some)
}

/// Whether there is an object of this key, which lies below the lane's prefix.
pub(crate) async fn is_there(office: &Office, lane: &Lane, key: &str) -> Result<bool> {
    let list = ListRequest { prefix: key.to_owned(), ..request(office, lane) };
    let page = retrying(office, || office.cloud.s3().list_objects(&list)).await?;
    // Keys come in order, and nothing that begins with this key is before it.
    Ok(page.entries.first().is_some_and(|entry| entry.key == key))
}

/// What opening takes of what stands beside an object, `name` in a consignment, where the lane's seal
/// puts something there.
pub(crate) async fn opening(
    office: &Office,
    lane: &Lane,
    id: &ConsignmentId,
    name: &str,
    object: &GetObject,
) -> Result<Opening> {
    let metadata = match lane.seal {
        Seal::S3ec => retrying(office, || office.cloud.s3().head_object(object)).await?.metadata,
        _ => Metadata::new(),
    };
    Opening::of(office, lane, id, name, metadata).await
}

async fn whole(
    office: &Office,
    object: &GetObject,
    bytes_max: usize,
) -> Result<Option<bytes::Bytes>> {
    let s3 = office.cloud.s3();
    let read = retrying(office, || s3.get_object_bytes(object, bytes_max)).await;
    match read {
        Ok((bytes, _)) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first bytes of an object.
pub(crate) async fn head(office: &Office, object: &GetObject, length: u64) -> Result<Vec<u8>> {
    range(office, object, 0..length).await
}

/// Some bytes of an object, which must fit in memory.
pub(crate) async fn range(
    office: &Office,
    object: &GetObject,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>> {
    let too_long = |_| Error::new(ErrorKind::Bug, "a range does not fit in memory");
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(too_long)?;
    let s3 = office.cloud.s3();
    retrying(office, || async {
        let mut bytes = vec![0; length];
        s3.get_range(object, range.clone(), &mut bytes).await?;
        Ok(bytes)
    })
    .await
}
