//! Removing what a revision replaces: every version of every object that is not of the newest revision,
//! so that nobody finds in the bucket what was sealed to somebody who is no reader any more.
//!
//! Nothing is removed before each object of the revision has been compared with what is signed.
//! Manifests go first: a version that is going is not taken for a whole one.

use crate::at_rest::locate;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::retrying;
use crate::office::{Office, key, manifest_names};
use consign_cloud::s3::VersionEntry;
use consign_model::{Lane, Manifest, revised_place, revision_of};
use std::collections::BTreeSet;

/// As many as S3 deletes by one request.
const DELETED_AT_ONCE: usize = 1000;

/// Removes the versions before this one. False if the store keeps no checksum of some object of it:
/// then nothing is removed, because a size alone does not justify destroying what it was made of.
///
/// # Errors
/// [`ErrorKind::Content`] if an object is not as signed, [`ErrorKind::Denied`] if the store does not
/// delete; what is left is removed when the same call is made again.
pub(crate) async fn remove(office: &Office, lane: &Lane, newest: &Manifest) -> Result<bool> {
    let old = older(office, lane, newest).await?;
    if old.is_empty() {
        return Ok(true);
    }
    if !is_whole(office, lane, newest).await? {
        return Ok(false);
    }
    let (manifest_name, _) = manifest_names(lane);
    let (manifests, objects): (Vec<_>, Vec<_>) =
        old.into_iter().partition(|entry| entry.key.ends_with(&format!("/{manifest_name}")));
    for entries in manifests.chunks(DELETED_AT_ONCE).chain(objects.chunks(DELETED_AT_ONCE)) {
        let entries: Vec<_> =
            entries.iter().map(|entry| (entry.key.clone(), entry.version_id.clone())).collect();
        let (s3, bucket) = (office.cloud.s3(), lane.bucket.as_ref());
        let refused = retrying(office, || s3.delete_objects(bucket, &entries)).await?;
        if let Some(refused) = refused.first() {
            let message = format!(
                "{} has its new readers, but the version before it cannot be removed: S3 says {} \
                 of {}",
                newest.id, refused.code, refused.key
            );
            let kind = match refused.code.as_str() {
                "AccessDenied" => ErrorKind::Denied,
                _ => ErrorKind::Cloud,
            };
            return Err(Error::new(kind, message).hinting(
                "allow s3:DeleteObject and s3:DeleteObjectVersion to whoever runs this, then run it \
                 again",
            ));
        }
    }
    Ok(true)
}

/// Every version of what a consignment's versions consist of, but for the newest revision's own.
async fn older(office: &Office, lane: &Lane, newest: &Manifest) -> Result<Vec<VersionEntry>> {
    let folder = key(lane, &newest.id, "");
    let (manifest_name, signature_name) = manifest_names(lane);
    let mut names: BTreeSet<&str> = BTreeSet::from([&*manifest_name, &*signature_name]);
    names.extend(newest.objects.iter().map(|object| object.name.as_str()));
    let number = newest.revision_number();
    let (mut old, mut next) = (Vec::new(), None);
    loop {
        let (s3, bucket) = (office.cloud.s3(), lane.bucket.as_ref());
        let page =
            retrying(office, || s3.list_versions(bucket, &folder, next.as_ref(), None)).await?;
        old.extend(page.entries.into_iter().filter(|entry| {
            let place = entry.key.strip_prefix(&folder).unwrap_or_default();
            let (of, name) = revision_of(place);
            // What else lies there is not ours to remove.
            names.contains(name) && !(of == number && entry.latest)
        }));
        match page.next {
            Some(page) => next = Some(page),
            None => return Ok(old),
        }
    }
}

/// Whether every object of a version is as signed, by the store's own checksum; false where it keeps
/// none.
async fn is_whole(office: &Office, lane: &Lane, manifest: &Manifest) -> Result<bool> {
    let mut compared = true;
    for object in &manifest.objects {
        let place = revised_place(manifest.revision_number(), object.name.as_str());
        let at = locate(office, lane, &manifest.id, &place, object.customer_key.as_ref()).await?;
        let s3 = office.cloud.s3();
        let head = retrying(office, || s3.head_with_checksum(&at)).await?;
        let same = head.checksum_crc64nvme.as_ref().map(|found| *found == object.crc64nvme);
        if head.bytes != object.sealed_bytes || same == Some(false) {
            let message = format!("the object {place} is not as it was made");
            return Err(Error::new(ErrorKind::Content, message));
        }
        compared &= same.is_some();
    }
    Ok(compared)
}
