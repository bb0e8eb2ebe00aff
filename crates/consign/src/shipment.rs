//! Making the objects of a consignment: a few at a time, each sealed and uploaded as it is read.

use crate::error::{Error, ErrorKind, Result, io, join, kind_of};
use crate::layout;
use crate::meter::Meter;
use crate::office::Office;
use crate::outgoing::{Outgoing, Shipped, Spooled};
use crate::pack::{Pack, pack};
use crate::plan::Planned;
use crate::sealed_file::{InMemory, SealedFile};
use crate::seals::{FreshKey, Metadata, Sealing};
use crate::spool::{self, Digesting, SpooledFile};
use crate::survey::Survey;
use consign_model::{Digest, Lane, ManifestObject};
use consign_seal::age::Sealer;
use consign_transfer::{Buffer, PartSource, Target, Uploaded};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Objects in the making at once. Packs are made in memory, some 4 MiB each; the parts of large
/// files share the engine's bound instead.
pub(crate) const OBJECTS_AT_ONCE: usize = 4;

/// What every object of a consignment has in common.
struct Shipment {
    office: Office,
    lane: Lane,
    sealing: Sealing,
    survey: Arc<Survey>,
    outgoing: Arc<Outgoing>,
}

/// What is known of the bytes of an object.
#[derive(Default)]
struct ObjectDigests {
    /// Of all of them, where they were in memory.
    object: Option<Digest>,
    /// Of what precedes the content, in formats where that is in one piece.
    header: Option<Digest>,
}

/// Makes all objects, and says in the order of the plan what became of them. Those whose files are all
/// among the `first` of the survey are complete before any other is begun.
///
/// Dropped or failed, it leaves what `outgoing` remembers; tasks end with this function.
pub(crate) async fn ship_all(
    office: &Office,
    lane: &Lane,
    sealing: &Sealing,
    survey: &Arc<Survey>,
    planned: &[Planned],
    first: &[bool],
    outgoing: &Arc<Outgoing>,
) -> Result<Vec<Shipped>> {
    let shipment = Arc::new(Shipment {
        office: office.clone(),
        lane: lane.clone(),
        sealing: sealing.clone(),
        survey: Arc::clone(survey),
        outgoing: Arc::clone(outgoing),
    });
    let goes_first = |planned: &Planned| {
        planned.files.iter().all(|index| first.get(*index).copied().unwrap_or_default())
    };
    let mut shipped: Vec<Option<Shipped>> = vec![None; planned.len()];
    for now in [true, false] {
        let numbered = planned.iter().cloned().enumerate();
        let mut waiting = numbered.filter(|(_, planned)| goes_first(planned) == now);
        let mut tasks = JoinSet::new();
        loop {
            while tasks.len() < OBJECTS_AT_ONCE
                && let Some((place, planned)) = waiting.next()
            {
                let shipment = Arc::clone(&shipment);
                tasks.spawn(async move { (place, shipment.ship(planned).await) });
            }
            let Some(ended) = tasks.join_next().await else { break };
            let (place, result) = ended.map_err(join)?;
            if let Some(slot) = shipped.get_mut(place) {
                *slot = Some(result?);
            }
        }
    }
    let all: Option<Vec<Shipped>> = shipped.into_iter().collect();
    all.ok_or_else(|| Error::new(ErrorKind::Bug, "an object of the plan was not made"))
}

impl Shipment {
    async fn ship(self: Arc<Self>, planned: Planned) -> Result<Shipped> {
        let files = planned.files.len() as u64;
        let shipped = match self.outgoing.shipped(&planned.name) {
            Some(shipped) => {
                self.office.progress.advance(self.content_bytes(&planned));
                shipped
            }
            None if self.sealing.is_sequential() => self.ship_spooled(&planned).await?,
            None if planned.name.is_pack() => self.ship_pack(&planned).await?,
            None => self.ship_file(&planned).await?,
        };
        self.office.progress.files_done(files);
        Ok(shipped)
    }

    fn content_bytes(&self, planned: &Planned) -> u64 {
        let files = planned.files.iter().filter_map(|index| self.survey.files.get(*index));
        files.map(|file| file.size).sum()
    }

    async fn ship_file(self: &Arc<Self>, planned: &Planned) -> Result<Shipped> {
        let (this, name) = (Arc::clone(self), planned.name.clone());
        let index = planned.files.first().copied().unwrap_or(usize::MAX);
        let source = tokio::task::spawn_blocking(move || {
            let found = this.survey.files.get(index);
            let found = found.ok_or_else(|| Error::new(ErrorKind::Bug, "a file was lost"))?;
            let sealer = match &this.sealing {
                Sealing::Age(to) => Some(this.outgoing.seal(&name, None, || Ok(Sealer::new(to)?))?),
                _ => None,
            };
            SealedFile::open(found, sealer, this.office.engine.buffers())
        });
        let source = Arc::new(source.await.map_err(join)??);
        let content = self.content_bytes(planned);
        let parts = Arc::clone(&source) as Arc<dyn PartSource>;
        let name = planned.name.as_str();
        let uploaded =
            upload(&self.office, &self.lane, &self.outgoing, name, Metadata::new(), parts, content)
                .await?;
        source.check_unchanged()?;
        let digest = source.digest(&uploaded.fingerprints).ok_or_else(|| {
            Error::new(ErrorKind::Bug, format!("not every part of {name} is accounted for"))
        })?;
        let header = source.prefix().map(Digest::of);
        let blake3 = ObjectDigests { object: None, header };
        self.remember(planned, uploaded, blake3, vec![digest]).await
    }

    async fn ship_pack(self: &Arc<Self>, planned: &Planned) -> Result<Shipped> {
        let (this, of) = (Arc::clone(self), planned.clone());
        let made = tokio::task::spawn_blocking(move || this.make_pack(&of)).await;
        let (sealed, header, digests) = made.map_err(join)??;
        let blake3 = ObjectDigests { object: Some(Digest::of(&sealed)), header };
        let content = self.content_bytes(planned);
        let source = Arc::new(InMemory::new(sealed.into_bytes())?);
        let name = planned.name.as_str();
        let uploaded = upload(
            &self.office,
            &self.lane,
            &self.outgoing,
            name,
            Metadata::new(),
            source,
            content,
        )
        .await?;
        self.remember(planned, uploaded, blake3, digests).await
    }

    /// Packs and seals in memory; gives the object's bytes, the digest of its header and those of the
    /// files.
    fn make_pack(&self, planned: &Planned) -> Result<(Buffer, Option<Digest>, Vec<Digest>)> {
        let files = planned.files.iter().filter_map(|index| self.survey.files.get(*index));
        let Pack { mut buffer, archive_bytes, digests } =
            pack(files, self.office.engine.buffers())?;
        let (mut length, mut header) = (archive_bytes, None);
        if let Sealing::Age(to) = &self.sealing {
            let content = Digest::of(buffer.get(..archive_bytes).unwrap_or_default());
            let fresh = || Ok(Sealer::new(to)?);
            let seal = self.outgoing.seal(&planned.name, Some(content), fresh)?;
            let too_large = |_| Error::new(ErrorKind::Bug, "a pack does not fit in memory");
            length = usize::try_from(seal.file_bytes(archive_bytes as u64)).map_err(too_large)?;
            let room = buffer.get_mut(..length);
            let room = room.ok_or_else(|| Error::new(ErrorKind::Bug, "a pack without room"))?;
            seal.seal_whole(archive_bytes, room)?;
            header = Some(Digest::of(seal.prefix()));
        }
        buffer.truncate(length);
        Ok((buffer, header, digests))
    }

    /// Seals into a file of ours, once, and uploads that.
    async fn ship_spooled(self: &Arc<Self>, planned: &Planned) -> Result<Shipped> {
        let (this, of) = (Arc::clone(self), planned.clone());
        let key = match self.outgoing.spooled(&planned.name) {
            Some(_) => None,
            None => {
                let (id, name) = (&self.outgoing.order.id, planned.name.as_str());
                self.sealing.fresh_key(&self.office, &self.lane, id, name).await?
            }
        };
        let spooled = tokio::task::spawn_blocking(move || this.spool(&of, key)).await;
        let spooled = spooled.map_err(join)??;
        let path = self.outgoing.spool_path(&planned.name);
        let buffers = self.office.engine.buffers();
        let source = Arc::new(SpooledFile::open(&path, spooled.bytes, buffers)?);
        let first = planned.files.first().and_then(|index| self.survey.files.get(*index));
        let first = first.ok_or_else(|| Error::new(ErrorKind::Bug, "a file was lost"))?;
        let place = layout::name(&self.lane, &planned.name, &first.path);
        let id = &self.outgoing.order.id;
        let target = self.office.target(&self.lane, id, &place, spooled.metadata)?;
        let (name, content) = (planned.name.as_str(), self.content_bytes(planned));
        let uploaded =
            upload_to(&self.office, &self.outgoing, &target, name, source, content).await?;
        self.remember(planned, uploaded, ObjectDigests::default(), spooled.digests).await
    }

    /// The sealed form of an object in a file: of an earlier run, or made now with this key.
    fn spool(&self, planned: &Planned, key: Option<FreshKey>) -> Result<Spooled> {
        if let Some(spooled) = self.outgoing.spooled(&planned.name) {
            return Ok(spooled);
        }
        let path = self.outgoing.spool_path(&planned.name);
        let file = spool::create(&path)?;
        let mut sealed = std::io::BufWriter::with_capacity(1 << 20, &file);
        let mut found = planned.files.iter().filter_map(|index| self.survey.files.get(*index));
        let (metadata, digests) = if planned.name.is_pack() {
            let pack = pack(found, self.office.engine.buffers())?;
            let archive = pack.buffer.get(..pack.archive_bytes).unwrap_or_default();
            (self.sealing.seal_stream(key, archive, &mut sealed)?, pack.digests)
        } else {
            let found =
                found.next().ok_or_else(|| Error::new(ErrorKind::Bug, "a file was lost"))?;
            let open = found.open()?;
            let mut plain = Digesting::new(&open);
            let metadata = self.sealing.seal_file(key, found, &mut plain, &mut sealed)?;
            let (bytes, digest) = plain.finish();
            found.check_unchanged(&open)?;
            if bytes != found.size {
                return Err(found.changed());
            }
            (metadata, vec![digest])
        };
        let failed = io(ErrorKind::State, "cannot write", &path);
        let written = std::io::Write::flush(&mut sealed).and_then(|()| file.sync_all());
        let bytes = written.and_then(|()| file.metadata()).map_err(failed)?.len();
        let spooled = Spooled { object: planned.name.clone(), bytes, digests, metadata };
        self.outgoing.spool(spooled.clone())?;
        Ok(spooled)
    }

    async fn remember(
        self: &Arc<Self>,
        planned: &Planned,
        uploaded: Uploaded,
        blake3: ObjectDigests,
        digests: Vec<Digest>,
    ) -> Result<Shipped> {
        let object = ManifestObject {
            name: planned.name.clone(),
            sealed_bytes: uploaded.bytes,
            blake3: blake3.object,
            header_blake3: blake3.header,
            crc64nvme: uploaded.crc64nvme,
            version_id: uploaded.version_id,
            customer_key: self.office.customer_key_origin(&self.lane)?,
        };
        let (this, shipped) = (Arc::clone(self), Shipped { object, digests });
        let remembered = tokio::task::spawn_blocking(move || {
            this.outgoing.ship(shipped.clone()).map(|()| shipped)
        });
        remembered.await.map_err(join)?
    }
}

/// Uploads one object of a consignment; `content` is how many bytes of content it stands for.
pub(crate) async fn upload(
    office: &Office,
    lane: &Lane,
    outgoing: &Outgoing,
    name: &str,
    metadata: Metadata,
    source: Arc<dyn PartSource>,
    content: u64,
) -> Result<Uploaded> {
    let target = office.target(lane, &outgoing.order.id, name, metadata)?;
    upload_to(office, outgoing, &target, name, source, content).await
}

/// The same to a place of its own; `name` is what the upload is remembered by.
async fn upload_to(
    office: &Office,
    outgoing: &Outgoing,
    target: &Target,
    name: &str,
    source: Arc<dyn PartSource>,
    content: u64,
) -> Result<Uploaded> {
    let mut journal = outgoing.journal(name)?;
    let meter = Meter::new(&office.progress, content, source.layout().object_bytes());
    let progress: Arc<dyn consign_transfer::Progress> = meter.clone();
    let s3 = office.cloud.s3();
    // Boxed: the machinery below is deep, and every caller would carry it in its own future.
    let uploading =
        office.engine.upload(s3, target, source, &mut journal, &progress, &office.cancel);
    let uploaded = Box::pin(uploading).await;
    let uploaded =
        uploaded.map_err(|error| transfer_error(error, format!("{name} cannot be sent")))?;
    meter.complete();
    Ok(uploaded)
}

/// Brings our own errors back out of the transfer that carried them.
pub(crate) fn transfer_error(error: consign_transfer::Error, what: String) -> Error {
    use consign_transfer::ErrorKind as Transfer;
    let hint = error.hint();
    let kind = match error.kind() {
        Transfer::Source => ErrorKind::Source,
        Transfer::SourceChanged => ErrorKind::SourceChanged,
        Transfer::Sink => ErrorKind::Destination,
        Transfer::ObjectChanged => ErrorKind::Damaged,
        Transfer::Journal => ErrorKind::State,
        Transfer::Internal => ErrorKind::Bug,
        Transfer::KeyTaken => ErrorKind::State,
        Transfer::Cancelled => ErrorKind::Cancelled,
        _ => error.cloud().map_or(ErrorKind::Cloud, kind_of),
    };
    let kind = inner_kind(&error).unwrap_or(kind);
    let ours = Error::new(kind, what).because(error);
    match hint {
        Some(hint) => ours.hinting(hint),
        None => ours,
    }
}

/// The kind of an error of ours, or of the seal's, that a source or sink ended a transfer with.
fn inner_kind(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours.kind());
        }
        if error.is::<consign_seal::Error>() {
            return Some(ErrorKind::Damaged);
        }
        next = error.source();
    }
    None
}
