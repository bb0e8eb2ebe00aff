//! Taking the objects of a consignment: a few at a time, opened and checked as they arrive, and
//! put into a partial folder or nowhere.

use crate::at_rest::locate;
use crate::destination::{Partial, cannot_write};
use crate::error::{Error, ErrorKind, Result, join};
use crate::fetch;
use crate::layout;
use crate::meter::Meter;
use crate::office::Office;
use crate::opened_file::{Collected, OpenedFile, open_prefix, prefix_bytes};
use crate::seals::{Opening, is_sequential, open_all, open_stream};
use crate::shipment::{OBJECTS_AT_ONCE, transfer_error};
use crate::spool::{Bounded, Spool};
use crate::state::{LaneFolder, lane_path, private_folder};
use crate::unpack::{Landing, unpack};
use consign_cloud::s3::GetObject;
use consign_model::{
    Digest, Lane, Manifest, ManifestFile, ManifestObject, PACK_CONTENT_BYTES_MAX, Seal,
    revised_place,
};
use consign_seal::age::OpenReader;
use consign_transfer::{DownloadJournal, Downloaded, Object, PartSink};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

/// A pack may not be larger than this in the bucket: what compression and sealing add to the
/// content that is allowed is far less.
const PACK_SEALED_BYTES_MAX: u64 = 2 * PACK_CONTENT_BYTES_MAX + (32 << 20);

/// What every object of a consignment has in common.
struct Unloading {
    office: Office,
    lane: Lane,
    manifest: Arc<Manifest>,
    // None to verify without keeping anything.
    partial: Option<Partial>,
    // Two runs at once could write to one partial folder.
    _held: Option<Arc<LaneFolder>>,
}

/// Fetches, opens and checks every object. With a partial folder, the files are in it afterwards,
/// complete and verified; it is given back for the commit. The lane is held until the last thread
/// that writes there has ended.
///
/// Dropped or failed, it leaves the partial folder, from which the same call goes on.
pub(crate) async fn unload_all(
    office: &Office,
    lane: &Lane,
    manifest: &Arc<Manifest>,
    partial: Option<(Partial, Arc<LaneFolder>)>,
) -> Result<Option<Partial>> {
    let (partial, _held) = partial.unzip();
    let unloading = Arc::new(Unloading {
        office: office.clone(),
        lane: lane.clone(),
        manifest: Arc::clone(manifest),
        partial,
        _held,
    });
    let mut files: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, file) in manifest.files.iter().enumerate() {
        files.entry(file.object.as_str()).or_default().push(index);
    }
    let mut waiting = (0..manifest.objects.len()).map(|object| {
        let name = manifest.objects.get(object).map_or("", |object| object.name.as_str());
        (object, files.get(name).cloned().unwrap_or_default())
    });
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < OBJECTS_AT_ONCE
            && let Some((object, files)) = waiting.next()
        {
            tasks.spawn(Arc::clone(&unloading).unload(object, files));
        }
        let Some(ended) = tasks.join_next().await else { break };
        ended.map_err(join)??;
    }
    drop(tasks);
    let unloading = Arc::into_inner(unloading)
        .ok_or_else(|| Error::new(ErrorKind::Bug, "a task outlived its consignment"))?;
    Ok(unloading.partial)
}

impl Unloading {
    async fn unload(self: Arc<Self>, object: usize, files: Vec<usize>) -> Result<()> {
        let lost = || Error::new(ErrorKind::Bug, "an object of the manifest was lost");
        let object = self.manifest.objects.get(object).ok_or_else(lost)?;
        if object.name.is_pack() {
            self.unload_pack(object, &files).await?;
        } else {
            let file = files.first().and_then(|index| self.manifest.files.get(*index));
            self.unload_file(object, file.ok_or_else(lost)?).await?;
        }
        self.office.progress.files_done(files.len() as u64);
        Ok(())
    }

    async fn unload_file(
        self: &Arc<Self>,
        object: &ManifestObject,
        file: &ManifestFile,
    ) -> Result<()> {
        let taken = match is_sequential(&self.lane) {
            true => self.take_spooled(object, file).await?,
            false => self.take_file(object, file, true).await?,
        };
        if taken == Some(file.blake3) {
            return Ok(());
        }
        // What an earlier run left may have been damaged since; what comes now cannot be.
        let resumed = self.partial.is_some() && !is_sequential(&self.lane);
        if resumed && self.take_file(object, file, false).await? == Some(file.blake3) {
            return Ok(());
        }
        let message = format!("`{}` is not what the sender signed: its digest differs", file.path);
        Err(Error::new(ErrorKind::Content, message))
    }

    /// Downloads and opens a file, and gives the digest of what it then holds.
    async fn take_file(
        &self,
        object: &ManifestObject,
        file: &ManifestFile,
        resume: bool,
    ) -> Result<Option<Digest>> {
        let mut shelf = self.partial.as_ref().map(Partial::shelf).transpose()?;
        let (open, mut journal) = match (&self.partial, &mut shelf) {
            (Some(partial), Some(shelf)) => {
                // Of its own for each revision, whose parts are others.
                let number = self.manifest.revision_number();
                let name = revised_place(number, object.name.as_str()).replace('/', "-");
                let path = partial.journal().join(format!("{name}.jsonl"));
                if !resume {
                    std::fs::remove_file(&path).map_err(|e| cannot_write(&path, e))?;
                }
                let journal = DownloadJournal::open(&path).map_err(|error| {
                    Error::new(ErrorKind::Destination, "cannot remember a download").because(error)
                })?;
                (Some(shelf.open_file(file)?), journal)
            }
            _ => (None, DownloadJournal::in_memory()),
        };
        let sink = Arc::new(self.sink(object, file, open).await?);
        let parts = Arc::clone(&sink) as Arc<dyn PartSink>;
        let place = self.locate(object, file).await?;
        self.download(object, &place, sink.layout(), parts, &mut journal, file.size).await?;
        if let (Some(shelf), Some(open)) = (&shelf, sink.file()) {
            shelf.finish_file(file, open)?;
        }
        Ok(sink.digest())
    }

    /// Downloads an object of a sequential format as it is, into a file without a name, and then
    /// opens it; gives the digest of what was in it.
    async fn take_spooled(
        self: &Arc<Self>,
        object: &ManifestObject,
        file: &ManifestFile,
    ) -> Result<Option<Digest>> {
        let folder = match &self.partial {
            Some(partial) => partial.journal(),
            None => {
                let (office, lane) = (&self.office, &self.lane.name);
                lane_path(&office.state, &office.exchange.name, lane, "received")
            }
        };
        private_folder(&folder)?;
        let spool = Arc::new(Spool::new(&folder, object.name.as_str(), object.sealed_bytes)?);
        let parts = Arc::clone(&spool) as Arc<dyn PartSink>;
        let mut journal = DownloadJournal::in_memory();
        let place = self.locate(object, file).await?;
        self.download(object, &place, spool.layout(), parts, &mut journal, file.size).await?;
        let opening = self.opening(object, &place).await?;
        let (this, object, file) = (Arc::clone(self), object.clone(), file.clone());
        let opened = tokio::task::spawn_blocking(move || {
            this.open_spooled(&object, &file, &spool, &opening)
        });
        opened.await.map_err(join)?
    }

    fn open_spooled(
        &self,
        object: &ManifestObject,
        file: &ManifestFile,
        spool: &Spool,
        opening: &Opening,
    ) -> Result<Option<Digest>> {
        let mut shelf = self.partial.as_ref().map(Partial::shelf).transpose()?;
        let open = shelf.as_mut().map(|shelf| shelf.open_file(file)).transpose()?;
        if let Some(open) = &open {
            // Nothing of an earlier run may show through.
            open.set_len(0).map_err(|error| cannot_write(Path::new(file.path.as_str()), error))?;
        }
        let out: Box<dyn Write> = match &open {
            Some(open) => Box::new(open),
            None => Box::new(std::io::sink()),
        };
        let mut out = Bounded::new(std::io::BufWriter::with_capacity(1 << 20, out), file.size);
        let bytes = object.sealed_bytes;
        open_stream(&self.office, &self.lane, spool.file()?, bytes, file.size, opening, &mut out)
            .and_then(|()| {
                let flushed = out.flush();
                flushed.map_err(|error| cannot_write(Path::new(file.path.as_str()), error))
            })
            .map_err(|error| error.during(&format!("{} cannot be opened", object.name)))?;
        let (_, digest) = out.finish();
        if let (Some(shelf), Some(open)) = (&shelf, &open) {
            shelf.finish_file(file, open)?;
        }
        Ok(Some(digest))
    }

    /// What opening an object takes. Where KMS opens its key, the name is the one that the sender signed.
    async fn opening(&self, object: &ManifestObject, place: &GetObject) -> Result<Opening> {
        let (name, id) = (object.name.as_str(), &self.manifest.id);
        let opening = fetch::opening(&self.office, &self.lane, id, name, place).await;
        opening.map_err(|error| error.during(&format!("{name} cannot be opened")))
    }

    /// Where an object is, with the key that S3 needs for it; `file` is in it, or the first in it.
    async fn locate(&self, object: &ManifestObject, file: &ManifestFile) -> Result<GetObject> {
        let origin = object.customer_key.as_ref();
        let name = layout::name(&self.lane, &object.name, &file.path);
        let name = revised_place(self.manifest.revision_number(), &name);
        locate(&self.office, &self.lane, &self.manifest.id, &name, origin).await
    }

    async fn sink(
        &self,
        object: &ManifestObject,
        file: &ManifestFile,
        open: Option<File>,
    ) -> Result<OpenedFile> {
        let buffers = self.office.engine.buffers();
        if self.lane.seal == Seal::None {
            check_size(object, file.size)?;
            return OpenedFile::plain(file.size, open, buffers);
        }
        let prefix_bytes = prefix_bytes(file, object)?;
        let name = self.locate(object, file).await?;
        let prefix = fetch::head(&self.office, &name, prefix_bytes).await;
        let prefix = prefix.map_err(|error| missing(error, object))?;
        let opener = open_prefix(&prefix, file.size, &self.office.keys.identities)
            .map_err(|error| error.during(&format!("{} cannot be opened", object.name)))?;
        OpenedFile::sealed(file.size, prefix_bytes, opener, open, buffers)
    }

    async fn unload_pack(self: &Arc<Self>, object: &ManifestObject, files: &[usize]) -> Result<()> {
        if object.sealed_bytes > PACK_SEALED_BYTES_MAX {
            let message = format!("the pack {} is too large to be one", object.name);
            return Err(Error::new(ErrorKind::Manifest, message));
        }
        let collected =
            Arc::new(Collected::new(object.sealed_bytes, self.office.engine.buffers())?);
        let parts = Arc::clone(&collected) as Arc<dyn PartSink>;
        let mut journal = DownloadJournal::in_memory();
        let first = files.first().and_then(|index| self.manifest.files.get(*index));
        let first = first.ok_or_else(|| Error::new(ErrorKind::Bug, "a pack without files"))?;
        let place = self.locate(object, first).await?;
        self.download(object, &place, collected.layout(), parts, &mut journal, 0).await?;
        let opening = self.opening(object, &place).await?;
        let (this, object, files) = (Arc::clone(self), object.clone(), files.to_vec());
        let content = tokio::task::spawn_blocking(move || {
            this.open_pack(&object, &files, &collected.take(), &opening)
        });
        let content = content.await.map_err(join)??;
        self.office.progress.advance(content);
        Ok(())
    }

    /// Opens a pack and lands its files; gives how many bytes of content there were.
    fn open_pack(
        &self,
        object: &ManifestObject,
        files: &[usize],
        sealed: &[u8],
        opening: &Opening,
    ) -> Result<u64> {
        if object.blake3.is_some_and(|digest| digest != Digest::of(sealed)) {
            let message = format!("the object {} is not the one that was sent", object.name);
            return Err(Error::new(ErrorKind::Content, message));
        }
        let files = files.iter().filter_map(|index| self.manifest.files.get(*index));
        let mut files: Vec<&ManifestFile> = files.collect();
        files.sort_by_key(|file| file.entry);
        // Opened as it is read, so that a pack is in memory once.
        match self.lane.seal {
            Seal::None => self.unpack(object, &mut &*sealed, &files)?,
            Seal::Openpgp | Seal::S3ec => {
                let archive = open_all(&self.office, &self.lane, sealed, opening)
                    .map_err(|error| error.during(&format!("{} cannot be opened", object.name)))?;
                self.unpack(object, &mut archive.as_slice(), &files)?;
            }
            Seal::Age => {
                let cannot_open =
                    |error| Error::from(error).during(&format!("{} cannot be opened", object.name));
                let opening = OpenReader::new(sealed, &self.office.keys.identities);
                let mut archive = opening.map_err(cannot_open)?;
                let unpacked = self.unpack(object, &mut archive, &files);
                // Only at its end does the archive say that it is whole; and where opening it
                // failed on the way, it says so again, and that is the cause.
                let end = std::io::copy(&mut archive, &mut std::io::sink());
                end.map_err(|error| cannot_open(consign_seal::Error::from_io(error)))?;
                unpacked?;
            }
        }
        Ok(files.iter().map(|file| file.size).sum())
    }

    fn unpack(
        &self,
        object: &ManifestObject,
        archive: &mut dyn Read,
        files: &[&ManifestFile],
    ) -> Result<()> {
        match &self.partial {
            Some(partial) => unpack(&object.name, archive, files, &mut partial.shelf()?),
            None => unpack(&object.name, archive, files, &mut Nowhere),
        }
    }

    async fn download(
        &self,
        object: &ManifestObject,
        place: &GetObject,
        layout: consign_transfer::PartLayout,
        sink: Arc<dyn PartSink>,
        journal: &mut DownloadJournal,
        content: u64,
    ) -> Result<Downloaded> {
        let place = place.clone();
        let whole = Object {
            bucket: place.bucket,
            key: place.key,
            version_id: None,
            layout,
            expected_bucket_owner: place.expected_bucket_owner,
            customer_key: place.customer_key,
        };
        let office = &self.office;
        let meter = Meter::new(&office.progress, content, layout.object_bytes());
        let progress: Arc<dyn consign_transfer::Progress> = meter.clone();
        let s3 = office.cloud.s3();
        // Boxed: the machinery below is deep, and every caller would carry it in its own future.
        let loading = office.engine.download(s3, &whole, sink, journal, &progress, &office.cancel);
        let done = Box::pin(loading).await;
        let done = done.map_err(|error| {
            missing(transfer_error(error, format!("{} cannot be received", object.name)), object)
        })?;
        meter.complete();
        Ok(done)
    }
}

fn check_size(object: &ManifestObject, expected: u64) -> Result<()> {
    if object.sealed_bytes == expected {
        return Ok(());
    }
    let message = format!("the object {} has another size than its file", object.name);
    Err(Error::new(ErrorKind::Manifest, message))
}

/// An object that the manifest lists and the bucket does not hold.
fn missing(error: Error, object: &ManifestObject) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            let message =
                format!("the object {} is missing, which the manifest lists", object.name);
            Error::new(ErrorKind::NotFound, message).because(error)
        }
        _ => error,
    }
}

/// Checks a pack without keeping anything.
struct Nowhere;

impl Landing for Nowhere {
    fn land(&mut self, file: &ManifestFile, content: &mut dyn Read) -> Result<()> {
        let read = std::io::copy(content, &mut std::io::sink());
        read.map(|_| ()).map_err(|error| {
            let message = format!("the pack with `{}` is damaged", file.path);
            Error::new(ErrorKind::Content, message).because(error)
        })
    }
}
