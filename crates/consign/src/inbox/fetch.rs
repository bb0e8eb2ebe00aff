//! Taking what was delivered into a folder.
//!
//! Each object lands under its key below the inbox's prefix, which must be a path that means the same
//! everywhere. It is written into a hidden folder, checked against size and checksum, synced, and
//! renamed over nothing. Stopped anywhere, what has its final name is whole; the rest is fetched anew.

use super::landing::Landing;
use super::look::Delivery;
use super::{Acknowledged, Standing, acknowledge, deliveries, find, owner};
use crate::error::{Error, ErrorKind, Result};
use crate::office::Office;
use crate::progress::Phase;
use consign_model::{DeliveryId, Inbox, InboxName};
use consign_transfer::{
    Buffer, Crc64, DownloadJournal, Object, PartLayout, PartSink, SinkError, plain_part_bytes,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How to fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// Only these, even if they were acknowledged before.
    pub only: Vec<DeliveryId>,
    /// Acknowledge each one when it has its final name.
    pub acknowledge: bool,
}

/// What came of it.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Fetched {
    /// What has its final name now.
    pub files: Vec<FetchedFile>,
    /// What has not, and why.
    pub refused: Vec<NotFetched>,
    /// How many wait for a scanner or for their record.
    pub waiting: usize,
    /// How many have a record and are not there, though nobody has acknowledged them.
    pub gone: usize,
}

/// A delivery that was fetched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchedFile {
    /// Which.
    pub id: DeliveryId,
    /// Its key in the inbox.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether it was there already, whole.
    pub already: bool,
    /// Whether it is acknowledged now.
    pub acknowledged: bool,
}

/// A delivery that was not fetched.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotFetched {
    /// Its key.
    pub key: String,
    /// Why.
    pub error: Error,
}

/// Fetches every delivery that is as its record says and that nobody has acknowledged.
///
/// One that is refused does not keep the others back.
///
/// # Errors
/// What concerns all of them.
pub async fn fetch(
    office: &Office,
    inbox: &InboxName,
    into: &Path,
    options: &FetchOptions,
) -> Result<Fetched> {
    office.progress.begin(Phase::Looking, 0, 0);
    let there = deliveries(office, inbox).await?;
    let inbox = find(office, inbox)?;
    let mut fetched = Fetched::default();
    let is_there = |id: &DeliveryId| there.iter().any(|it| it.id == Some(*id));
    if let Some(missing) = options.only.iter().find(|id| !is_there(id)) {
        let message = format!("inbox `{}` has no delivery {missing}", inbox.name);
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let landing = Landing::open(into)?;
    for delivery in there {
        let named = delivery.id.is_some_and(|id| options.only.contains(&id));
        if !options.only.is_empty() && !named {
            continue;
        }
        match delivery.standing {
            Standing::Acknowledged if !named => continue,
            Standing::Delivered | Standing::Acknowledged => {}
            Standing::Quarantined | Standing::Unrecorded => {
                fetched.waiting += 1;
                continue;
            }
            Standing::Gone if !named => {
                fetched.gone += usize::from(delivery.acknowledgement.is_none());
                continue;
            }
            _ => {
                fetched.refused.push(refused(delivery));
                continue;
            }
        }
        match one(office, inbox, &landing, &delivery, options.acknowledge).await {
            Ok(file) => fetched.files.push(file),
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Denied) => {
                return Err(error);
            }
            Err(error) => fetched.refused.push(NotFetched { key: delivery.key, error }),
        }
    }
    landing.close();
    Ok(fetched)
}

fn refused(delivery: Delivery) -> NotFetched {
    let why = match delivery.standing {
        Standing::Infected => "the scanner has found it harmful",
        Standing::Gone => "it has a record, and is not there",
        _ => "it is not as delivered",
    };
    let error = Error::new(ErrorKind::Content, why);
    let error = match delivery.why {
        Some(why) => error.because(why),
        None => error,
    };
    NotFetched { key: delivery.key, error }
}

async fn one(
    office: &Office,
    inbox: &Inbox,
    landing: &Landing,
    delivery: &Delivery,
    acknowledges: bool,
) -> Result<FetchedFile> {
    let id = delivery.id.ok_or_else(|| Error::new(ErrorKind::Bug, "a delivery without an id"))?;
    let below = delivery.key.strip_prefix(inbox.prefix.as_str()).unwrap_or(&delivery.key);
    let name = landing.name(below)?;
    let path = landing.place(&name);
    let already = landing.holds(&path, delivery)?;
    if !already {
        office.progress.begin(Phase::Receiving, 1, delivery.bytes);
        let fetched = download(office, inbox, delivery, landing.begin(&id)?).await;
        fetched.and_then(|()| landing.settle(&id, &name)).inspect_err(|_| landing.forget(&id))?;
    }
    let mut acknowledged = delivery.standing == Standing::Acknowledged;
    if acknowledges && !acknowledged {
        let said: Vec<Acknowledged> =
            acknowledge(office, &inbox.name, std::slice::from_ref(delivery)).await?;
        acknowledged = !said.is_empty();
    }
    let (key, bytes) = (delivery.key.clone(), delivery.bytes);
    Ok(FetchedFile { id, key, path, bytes, already, acknowledged })
}

async fn download(office: &Office, inbox: &Inbox, delivery: &Delivery, file: File) -> Result<()> {
    let bytes = delivery.bytes;
    let layout = PartLayout::new(0, plain_part_bytes(bytes), bytes).map_err(|error| {
        Error::new(ErrorKind::Destination, "too large to be fetched").because(error)
    })?;
    let sink = Arc::new(Sink { file, layout, sums: Mutex::default() });
    let whole = Object {
        bucket: inbox.bucket.to_string(),
        key: delivery.key.clone(),
        version_id: delivery.version.clone(),
        layout,
        expected_bucket_owner: owner(office, inbox),
        customer_key: None,
    };
    let meter = crate::meter::Meter::new(&office.progress, bytes, bytes);
    let progress: Arc<dyn consign_transfer::Progress> = meter.clone();
    let s3 = office.cloud.s3();
    let mut journal = DownloadJournal::in_memory();
    let parts: Arc<dyn PartSink> = sink.clone();
    // Boxed: the machinery below is deep, and every caller would carry it in its own future.
    let loading =
        office.engine.download(s3, &whole, parts, &mut journal, &progress, &office.cancel);
    let done = Box::pin(loading).await;
    done.map_err(|error| {
        crate::shipment::transfer_error(error, format!("{} cannot be fetched", delivery.key))
    })?;
    meter.complete();
    let found = sink.finish()?;
    match delivery.expected_checksum() {
        Some(expected) if Crc64::parse(expected) != Some(found) => Err(Error::new(
            ErrorKind::Content,
            "what was fetched has not the checksum it must have",
        )),
        _ => Ok(()),
    }
}

/// A file that is written part by part, and the checksum of what was written.
struct Sink {
    file: File,
    layout: PartLayout,
    sums: Mutex<BTreeMap<u32, Crc64>>,
}

impl Sink {
    /// Syncs the file and gives the checksum of the whole.
    fn finish(&self) -> Result<Crc64> {
        self.file.sync_all().map_err(|error| {
            Error::new(ErrorKind::Destination, "what was fetched cannot be written to the disk")
                .because(error)
        })?;
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(sums.iter().fold(Crc64::of(b""), |sum, (number, part)| {
            sum.followed_by(*part, self.layout.part_len(*number) as u64)
        }))
    }
}

impl PartSink for Sink {
    fn write_part(&self, number: u32, part: Buffer) -> std::result::Result<(), SinkError> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Crc64::of(&part));
        Ok(self.file.write_all_at(&part, self.layout.range(number).start)?)
    }

    fn still_there(&self, _: u32) -> std::result::Result<bool, SinkError> {
        Ok(false)
    }
}
