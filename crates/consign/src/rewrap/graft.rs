//! One object of a revision: a new header before the old content.
//!
//! Downloaded is the beginning: the header, and as much of the content as S3 wants in a part that
//! others follow (5 MiB). It goes up again under the new header as the first part; the rest S3 copies
//! itself. What is no longer than that is sent whole.
//!
//! Only a header is unwrapped whose digest the sender signed: whoever can write to the bucket could put
//! another's there, sealed to the sender as well, and have its key written down for the new readers.
//!
//! What the object must be is known beforehand: its checksum follows from the one that the sender
//! signed, and from the two headers, without a look at the content. S3 compares it at the end, so that
//! neither a damaged source nor a copy gone wrong gets into a signed manifest.

use super::journal::Journal;
use super::readers::Readers;
use crate::at_rest::locate;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{self, retrying};
use crate::office::{Office, key};
use crate::shipment::transfer_error;
use consign_cloud::s3::{GetObject, MultipartTarget, PutDone};
use consign_model::{Digest, Lane, Manifest, ManifestObject, revised_place};
use consign_seal::age::{self, HeaderRead, MAX_HEADER_BYTES, NONCE_BYTES, Recipient};
use consign_transfer::Crc64;
use consign_transfer::copy::{COPY_BYTES_MAX, Copying, Graft, PART_BYTES_MIN};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Room for a header in the first request: twenty recipients, or two that are post-quantum.
const HEADER_ROOM_BYTES: u64 = 4096;

/// What all objects of a revision have in common.
pub(crate) struct Grafting {
    office: Office,
    lane: Lane,
    /// The version that is revised.
    old: Manifest,
    recipients: Vec<Recipient>,
    journal: Journal,
    downloaded_bytes: AtomicU64,
}

/// The beginning of an object, and how much of it is header.
struct Beginning {
    bytes: Vec<u8>,
    header: age::Header,
    header_bytes: usize,
}

impl Grafting {
    pub(crate) fn new(
        office: &Office,
        lane: &Lane,
        old: Manifest,
        readers: &Readers,
        journal: Journal,
    ) -> Grafting {
        Grafting {
            office: office.clone(),
            lane: lane.clone(),
            old,
            recipients: readers.recipients.clone(),
            journal,
            downloaded_bytes: AtomicU64::new(0),
        }
    }

    /// How many bytes of objects came here.
    pub(crate) fn downloaded_bytes(&self) -> u64 {
        self.downloaded_bytes.load(Ordering::Relaxed)
    }

    /// Makes the object of the revision from the one that is revised.
    pub(crate) async fn object(&self, old: &ManifestObject) -> Result<ManifestObject> {
        if let Some(done) = self.journal.done(&old.name)
            && self.is_there(&done).await?
        {
            self.office.progress.advance(done.sealed_bytes);
            return Ok(done);
        }
        let source = self.source(old).await?;
        let beginning = self.beginning(&source, old).await?;
        let new = self.make(old, source, beginning).await?;
        self.journal.finish(&new)?;
        self.office.progress.advance(new.sealed_bytes);
        self.office.progress.files_done(1);
        Ok(new)
    }

    fn place(&self, name: &str) -> String {
        revised_place(self.old.revision_number() + 1, name)
    }

    /// Whether what an earlier run made is still there.
    async fn is_there(&self, done: &ManifestObject) -> Result<bool> {
        let (place, origin) = (self.place(done.name.as_str()), done.customer_key.as_ref());
        let object = locate(&self.office, &self.lane, &self.old.id, &place, origin).await?;
        let s3 = self.office.cloud.s3();
        match retrying(&self.office, || s3.head_object(&object)).await {
            Ok(head) => {
                let version = done.version_id.is_none() || head.version_id == done.version_id;
                Ok(version && head.bytes == done.sealed_bytes)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The object to revise, pinned: all that is read and copied is of one.
    async fn source(&self, old: &ManifestObject) -> Result<GetObject> {
        let place = revised_place(self.old.revision_number(), old.name.as_str());
        let origin = old.customer_key.as_ref();
        let object = locate(&self.office, &self.lane, &self.old.id, &place, origin).await?;
        let s3 = self.office.cloud.s3();
        let head = retrying(&self.office, || s3.head_object(&object)).await.map_err(|error| {
            let name = &old.name;
            error.during(&format!("the object {name}, which the manifest names, cannot be read"))
        })?;
        if head.bytes != old.sealed_bytes {
            return Err(not_as_signed(old));
        }
        Ok(GetObject { version_id: head.version_id, if_match: head.etag, ..object })
    }

    /// Reads the header and the first part's worth of content, or all there is.
    async fn beginning(&self, source: &GetObject, old: &ManifestObject) -> Result<Beginning> {
        let all = old.sealed_bytes;
        let mut bytes = Vec::new();
        let mut wanted = all.min(PART_BYTES_MIN + HEADER_ROOM_BYTES);
        loop {
            let have = bytes.len() as u64;
            bytes.extend(fetch::range(&self.office, source, have..wanted).await?);
            self.downloaded_bytes.fetch_add(wanted - have, Ordering::Relaxed);
            let needed = match age::read_header(&bytes)? {
                HeaderRead::Done(header, header_bytes) => {
                    let needed = all.min(header_bytes as u64 + PART_BYTES_MIN);
                    if bytes.len() as u64 >= needed {
                        return Ok(Beginning { bytes, header, header_bytes });
                    }
                    needed
                }
                HeaderRead::Need(_) => all.min(MAX_HEADER_BYTES as u64 + PART_BYTES_MIN),
            };
            if needed <= wanted {
                return Err(age::header_ended_early(&bytes).into());
            }
            wanted = needed;
        }
    }

    async fn make(
        &self,
        old: &ManifestObject,
        source: GetObject,
        beginning: Beginning,
    ) -> Result<ManifestObject> {
        check_header(old, &beginning)?;
        let Beginning { bytes, header, header_bytes } = beginning;
        let name = &old.name;
        let new_header = self.journal.header(name, || {
            let identities = &self.office.keys.identities;
            let rewrapped = header.rewrapped(identities, &self.recipients).map_err(Error::from);
            rewrapped.map_err(|error| error.during(&format!("{name} cannot be rewrapped")))
        })?;
        let (old_header, content) = bytes.split_at(header_bytes);
        let content_bytes = old.sealed_bytes - header_bytes as u64;
        let signed = Crc64::parse(&old.crc64nvme).ok_or_else(|| {
            Error::new(ErrorKind::Bug, "a manifest was accepted with a checksum that is none")
        })?;
        let crc = Crc64::of(&new_header)
            .followed_by(signed.without(Crc64::of(old_header), content_bytes), content_bytes);
        let whole = bytes.len() as u64 == old.sealed_bytes;
        let other_bytes = Crc64::of(&bytes) != signed
            || old.blake3.is_some_and(|digest| digest != Digest::of(&bytes));
        if whole && other_bytes {
            return Err(not_as_signed(old));
        }
        let sealed_bytes = new_header.len() as u64 + content_bytes;
        let graft: bytes::Bytes = [&new_header, content].concat().into();
        let replaces = bytes.len() as u64;
        let blake3 = (whole && old.blake3.is_some()).then(|| Digest::of(&graft));
        let header_blake3 = prefix(&graft, new_header.len()).map(Digest::of);
        let crc = crc.to_string();
        let put = match whole {
            true => {
                let (office, lane, id) = (&self.office, &self.lane, &self.old.id);
                super::put(office, lane, id, &self.place(name.as_str()), graft).await?
            }
            false => self.copy(old, source, Graft { bytes: graft, replaces }, &crc).await?,
        };
        if put.checksum_crc64nvme.as_ref().is_some_and(|found| *found != crc) {
            return Err(not_as_signed(old));
        }
        Ok(ManifestObject {
            name: name.clone(),
            sealed_bytes,
            blake3,
            header_blake3,
            crc64nvme: crc,
            version_id: put.version_id,
            customer_key: self.office.customer_key_origin(&self.lane)?,
        })
    }

    async fn copy(
        &self,
        old: &ManifestObject,
        source: GetObject,
        graft: Graft,
        crc: &str,
    ) -> Result<PutDone> {
        let (office, name) = (&self.office, &old.name);
        let place = self.place(name.as_str());
        let target = MultipartTarget {
            bucket: self.lane.bucket.to_string(),
            key: key(&self.lane, &self.old.id, &place),
            expected_bucket_owner: office.owner_of(&self.lane),
            encryption: office.encryption(&self.lane, &self.old.id, &place)?,
            ..MultipartTarget::default()
        };
        let mut upload_id = self.journal.upload(name);
        loop {
            let resumed = upload_id.is_some();
            let mut begun =
                |id: &str| self.journal.begun(name, id).map_err(consign_transfer::SinkError::from);
            let copying = Copying {
                source: source.clone(),
                source_bytes: old.sealed_bytes,
                target: target.clone(),
                graft: Some(graft.clone()),
                crc64nvme: Some(crc.to_owned()),
                single_bytes_max: COPY_BYTES_MAX,
                part_bytes: None,
                upload_id: upload_id.take(),
                begun: &mut begun,
            };
            let silent: Arc<dyn consign_transfer::Progress> = Arc::new(consign_transfer::Silent);
            let copy = office.engine.copy(office.cloud.s3(), copying, &silent, &office.cancel);
            match Box::pin(copy).await {
                Ok(put) => return Ok(put),
                // It was completed and the answer lost, or it expired: once more, from the beginning.
                Err(error) if resumed && is_gone(&error) => {}
                Err(error) if is_another(&error) => return Err(not_as_signed(old).because(error)),
                Err(error) => {
                    return Err(transfer_error(error, format!("{name} cannot be rewrapped")));
                }
            }
        }
    }
}

/// Header and nonce, from the start of an age file.
fn prefix(bytes: &[u8], header_bytes: usize) -> Option<&[u8]> {
    bytes.get(..header_bytes + NONCE_BYTES)
}

fn check_header(old: &ManifestObject, beginning: &Beginning) -> Result<()> {
    let name = &old.name;
    let Some(signed) = old.header_blake3 else {
        let message = format!("the manifest does not say what the header of {name} must be");
        return Err(Error::new(ErrorKind::Manifest, message).hinting("send its files again"));
    };
    match prefix(&beginning.bytes, beginning.header_bytes).map(Digest::of) {
        Some(found) if found == signed => Ok(()),
        _ => {
            let message = format!("the header of {name} is not the one that was sent");
            Err(Error::new(ErrorKind::Content, message))
        }
    }
}

fn is_gone(error: &consign_transfer::Error) -> bool {
    error.cloud().is_some_and(|cloud| cloud.kind() == consign_cloud::ErrorKind::NoSuchUpload)
}

/// S3 put together something else than what the signed checksum leads to.
fn is_another(error: &consign_transfer::Error) -> bool {
    error.cloud().is_some_and(|cloud| cloud.code() == Some("BadDigest"))
}

fn not_as_signed(object: &ManifestObject) -> Error {
    let message = format!(
        "the object {} is not the one that was sent: its size or checksum is not as signed",
        object.name
    );
    Error::new(ErrorKind::Content, message)
}
