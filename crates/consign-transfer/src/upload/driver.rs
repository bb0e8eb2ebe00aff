//! Does what the upload machine decides: reads parts on blocking threads, sends them, keeps the
//! journal. One task set, owned here; the events come back to one loop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use consign_cloud::s3::{
    CompleteMultipart, CompletedPart, Encryption, GetObject, MultipartTarget, UploadPart,
};
use consign_cloud::{Error as CloudError, ErrorKind as CloudKind};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::machine::{Effect, Event, Failure, Listed, Probe, Upload};
use super::{Mode, Target, Uploaded};
use crate::cancel::{Cancel, Cancelled};
use crate::crc::Crc64;
use crate::engine::{Engine, Progress};
use crate::error::{Error, ErrorKind};
use crate::journal::{UploadJournal, write_failed};
use crate::layout::{PART_BYTES_MIN, PUT_BYTES_MAX, PartLayout};
use crate::store::Store;
use crate::{Part, PartSource};

pub(crate) async fn run<S: Store>(
    store: &S,
    engine: &Engine,
    target: &Target,
    source: Arc<dyn PartSource>,
    journal: &mut UploadJournal,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<Uploaded, Error> {
    let layout = source.layout();
    let mode = mode(engine, target, &layout)?;
    begin(journal, target, layout, mode)?;
    let machine = Upload::replay(journal.events());
    let resumed_parts = count(machine.sent().count());
    let mut driver = Driver {
        store,
        engine,
        target,
        multipart: Arc::new(multipart(target)),
        source,
        layout,
        journal,
        progress,
        machine,
        todo: VecDeque::new(),
        tasks: JoinSet::new(),
        hand: HashMap::new(),
        resumed_parts,
    };
    let how = tokio::select! {
        biased;
        how = cancel.cancelled() => Err(how),
        result = driver.drive() => Ok(result),
    };
    match how {
        Ok(Ok(uploaded)) => Ok(uploaded),
        Ok(Err(error)) => {
            // A changed source cannot go on under this key, and nobody can go on without a journal.
            let hopeless = matches!(error.kind(), ErrorKind::SourceChanged | ErrorKind::KeyTaken);
            driver.leave(hopeless).await;
            Err(error)
        }
        Err(how) => {
            driver.leave(how == Cancelled::Abort).await;
            Err(Error::new(ErrorKind::Cancelled, format!("sending {} was stopped", target.key)))
        }
    }
}

/// Aborts the upload that a journal knows, and empties the journal.
pub(crate) async fn abandon<S: Store>(
    store: &S,
    engine: &Engine,
    journal: &mut UploadJournal,
) -> Result<(), Error> {
    let begun = journal.events().first().cloned();
    let machine = Upload::replay(journal.events());
    if let (Some(Event::Begun { bucket, key, .. }), Some(id), None) =
        (begun, machine.upload_id(), machine.done())
    {
        let target = MultipartTarget { bucket, key, ..MultipartTarget::default() };
        let aborted = engine.attempts(store, &crate::Silent, || store.abort(&target, id)).await;
        aborted.result.map_err(|error| cloud(&target.key, error))?;
    }
    journal.clear()
}

fn mode(engine: &Engine, target: &Target, layout: &PartLayout) -> Result<Mode, Error> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::Layout, format!("{}: {why}", target.key)));
    let bytes = layout.object_bytes();
    if target.single_put && bytes > PUT_BYTES_MAX {
        return refuse("a writer that may only encrypt can send 5 GiB at most");
    }
    if target.single_put || bytes <= engine.limits().single_put_bytes_max || layout.parts() == 1 {
        return Ok(Mode::Single);
    }
    if layout.part_bytes() < PART_BYTES_MIN || layout.largest_part_bytes() > PUT_BYTES_MAX {
        return refuse("S3 takes parts from 5 MiB to 5 GiB");
    }
    Ok(Mode::Multipart)
}

/// Makes sure that the journal is about this transfer.
fn begin(
    journal: &mut UploadJournal,
    target: &Target,
    layout: PartLayout,
    mode: Mode,
) -> Result<(), Error> {
    let begun =
        Event::Begun { bucket: target.bucket.clone(), key: target.key.clone(), layout, mode };
    match journal.events().first() {
        None => journal.append(begun),
        Some(first) if *first == begun => Ok(()),
        Some(_) => Err(Error::new(
            ErrorKind::Journal,
            format!("the journal is not about {} as it is now", target.key),
        )),
    }
}

pub(super) fn multipart(target: &Target) -> MultipartTarget {
    MultipartTarget {
        bucket: target.bucket.clone(),
        key: target.key.clone(),
        expected_bucket_owner: target.expected_bucket_owner.clone(),
        content_type: target.content_type.clone(),
        metadata: target.metadata.clone(),
        tags: std::collections::BTreeMap::new(),
        encryption: target.encryption.clone(),
    }
}

pub(super) fn cloud(key: &str, error: CloudError) -> Error {
    Error::caused(ErrorKind::Cloud, format!("sending {key} failed"), error)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What a task brings back.
enum Done {
    Events(Vec<Event>),
    Read(Result<InHand, Error>, u32),
    Failed(Error),
}

/// A part in memory, with its share of the bound.
struct InHand {
    part: Part,
    share: OwnedSemaphorePermit,
}

pub(super) struct Driver<'a, S> {
    pub(super) store: &'a S,
    pub(super) engine: &'a Engine,
    pub(super) target: &'a Target,
    multipart: Arc<MultipartTarget>,
    pub(super) source: Arc<dyn PartSource>,
    pub(super) layout: PartLayout,
    journal: &'a mut UploadJournal,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) machine: Upload,
    todo: VecDeque<Effect>,
    tasks: JoinSet<Done>,
    hand: HashMap<u32, InHand>,
    resumed_parts: u32,
}

impl<S: Store> Driver<'_, S> {
    async fn drive(&mut self) -> Result<Uploaded, Error> {
        // In parts under way plus parts being read: enough that the line never waits for a thread.
        self.happened(Event::Started { window: self.engine.limits().in_flight })?;
        loop {
            while let Some(effect) = self.todo.pop_front() {
                if let Some(uploaded) = self.perform(effect).await? {
                    return Ok(uploaded);
                }
            }
            match self.tasks.join_next().await {
                Some(Ok(Done::Events(events))) => {
                    for event in events {
                        self.happened(event)?;
                    }
                }
                Some(Ok(Done::Read(read, number))) => self.was_read(read?, number)?,
                Some(Ok(Done::Failed(error))) => return Err(error),
                Some(Err(panic)) => {
                    return Err(Error::caused(ErrorKind::Internal, "a task ended badly", panic));
                }
                None => return Err(Error::new(ErrorKind::Internal, "nothing is left to do")),
            }
        }
    }

    /// Keeps an event, if it is news, and queues what follows from it.
    pub(super) fn happened(&mut self, event: Event) -> Result<(), Error> {
        let news = match &event {
            Event::Read { part, fingerprint, .. } => !self.machine.knows(*part, fingerprint),
            other => other.is_kept(),
        };
        // A fingerprint that contradicts the journal must not enter it.
        let kept = event.clone();
        let (machine, effects) = std::mem::take(&mut self.machine).step(event);
        self.machine = machine;
        let refused = effects.iter().any(|effect| matches!(effect, Effect::Fail(_)));
        if news && !refused {
            self.journal.append(kept)?;
        }
        self.todo.extend(effects);
        Ok(())
    }

    fn was_read(&mut self, in_hand: InHand, number: u32) -> Result<(), Error> {
        let Part { crc64nvme, fingerprint, .. } = in_hand.part;
        self.hand.insert(number, in_hand);
        self.happened(Event::Read { part: number, fingerprint, crc64nvme })
    }

    /// Carries out one effect; gives the result when it was the last.
    async fn perform(&mut self, effect: Effect) -> Result<Option<Uploaded>, Error> {
        match effect {
            Effect::Sweep => self.sweep().await,
            Effect::Create => self.create().await?,
            Effect::List => self.list().await?,
            Effect::Read(number) => self.read(number),
            Effect::Send(number) => self.send(number)?,
            Effect::Commit => {
                self.happened(Event::Completing)?;
                self.sync().await?;
            }
            Effect::Complete => self.complete().await?,
            Effect::Probe => self.probe().await?,
            Effect::Conclude(version_id) => self.happened(Event::Completed { version_id })?,
            Effect::GiveUp => self.happened(Event::Lost)?,
            Effect::Forget => {
                self.tasks = JoinSet::new();
                self.hand.clear();
            }
            Effect::Put => self.put().await?,
            Effect::Abort => self.abort().await,
            Effect::Finish => return self.uploaded().map(Some),
            Effect::Fail(failure) => return Err(self.failed(failure)),
        }
        Ok(None)
    }

    async fn create(&mut self) -> Result<(), Error> {
        let begun = self
            .engine
            .attempts(self.store, self.progress.as_ref(), || self.store.create(&self.multipart))
            .await;
        let upload_id = begun.result.map_err(|error| cloud(&self.target.key, error))?;
        self.happened(Event::Created { upload_id })?;
        self.sync().await?;
        if begun.unclear {
            self.sweep().await;
        }
        Ok(())
    }

    /// Aborts uploads to our key that are not ours to continue: of a run that died between S3's
    /// answer and the journal, or whose answer was lost. A writer often may not list uploads;
    /// then the bucket's lifecycle rule is what removes them.
    async fn sweep(&self) {
        let Ok(uploads) = self.store.uploads(&self.multipart).await else { return };
        let keep = self.machine.upload_id();
        for upload in uploads.iter().filter(|id| Some(id.as_str()) != keep) {
            let _ = self
                .engine
                .attempts(self.store, self.progress.as_ref(), || {
                    self.store.abort(&self.multipart, upload)
                })
                .await;
        }
    }

    async fn list(&mut self) -> Result<(), Error> {
        let Some(id) = self.machine.upload_id() else { return Ok(()) };
        let listed = self
            .engine
            .attempts(self.store, self.progress.as_ref(), || self.store.parts(&self.multipart, id))
            .await;
        let listed = match listed.result {
            Ok(listed) => listed,
            Err(error) if error.kind() == CloudKind::NoSuchUpload => {
                return self.happened(Event::Gone);
            }
            // A writer that may not list its parts sends them again.
            Err(error) if error.kind() == CloudKind::AccessDenied => Vec::new(),
            Err(error) => return Err(cloud(&self.target.key, error)),
        };
        let parts = listed.into_iter().filter_map(|part| {
            Some(Listed {
                part: u32::try_from(part.number).ok()?.checked_sub(1)?,
                bytes: part.bytes,
                etag: part.etag,
                crc64nvme: part.checksum_crc64nvme.as_deref().and_then(Crc64::parse),
            })
        });
        self.happened(Event::Listed { parts: parts.collect() })?;
        let sent: Vec<u32> = self.machine.sent().map(|(number, ..)| number).collect();
        self.resumed_parts = count(sent.len());
        let bytes = sent.iter().map(|number| self.layout.part_len(*number) as u64).sum();
        self.progress.moved(bytes);
        Ok(())
    }

    fn read(&mut self, number: u32) {
        let engine = self.engine.clone();
        let source = Arc::clone(&self.source);
        let bytes = self.layout.part_len(number);
        self.tasks.spawn(async move {
            let share = engine.admit(bytes as u64).await;
            let read = read_part(source, number, bytes).await;
            Done::Read(read.map(|part| InHand { part, share }), number)
        });
    }

    fn send(&mut self, number: u32) -> Result<(), Error> {
        let (Some(in_hand), Some(id)) = (self.hand.remove(&number), self.machine.upload_id())
        else {
            return Err(Error::new(ErrorKind::Internal, "a part to send is not in hand"));
        };
        let upload_id = id.to_owned();
        let sync = self.journal.sync_handle()?;
        let engine = self.engine.clone();
        let store = self.store.clone();
        let target = Arc::clone(&self.multipart);
        let progress = Arc::clone(self.progress);
        self.tasks.spawn(async move {
            if let Err(error) = sync_file(sync).await {
                return Done::Failed(error);
            }
            let InHand { part, share } = in_hand;
            let bytes = part.bytes.len() as u64;
            let sent = engine
                .attempts(&store, progress.as_ref(), || {
                    store.send_part(&target, &upload_id, request(&target, number, &part))
                })
                .await;
            drop((part, share));
            match sent.result {
                Ok(etag) => {
                    progress.moved(bytes);
                    Done::Events(vec![Event::Sent { part: number, etag }])
                }
                Err(error) if error.kind() == CloudKind::NoSuchUpload => {
                    Done::Events(vec![Event::Gone])
                }
                Err(error) => Done::Failed(cloud(&target.key, error)),
            }
        });
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), Error> {
        let Some(id) = self.machine.upload_id().map(str::to_owned) else {
            return Err(Error::new(ErrorKind::Internal, "there is no upload to complete"));
        };
        let crc = self.machine.crc64nvme().map(|crc| crc.to_string());
        let parts: Vec<CompletedPart> = self
            .machine
            .sent()
            .map(|(number, etag, crc)| CompletedPart {
                number: part_number(number),
                etag: etag.to_owned(),
                checksum_crc64nvme: crc.map(|crc| crc.to_string()),
            })
            .collect();
        let completed = self
            .engine
            .attempts(self.store, self.progress.as_ref(), || {
                let complete = CompleteMultipart {
                    parts: parts.clone(),
                    checksum_crc64nvme: crc.clone(),
                    object_bytes: Some(self.layout.object_bytes()),
                    if_none_match: self.target.if_none_match,
                };
                self.store.complete(&self.multipart, &id, complete)
            })
            .await;
        if completed.unclear {
            self.happened(Event::Unclear)?;
        }
        match completed.result {
            Ok(done) => {
                self.check_answer(done.checksum_crc64nvme.as_deref())?;
                self.happened(Event::Completed { version_id: done.version_id })
            }
            Err(error) => match (error.kind(), error.code()) {
                (CloudKind::PreconditionFailed, _) => self.happened(Event::Taken),
                (CloudKind::NoSuchUpload, _) => self.happened(Event::Gone),
                (_, Some("InvalidPart")) => self.happened(Event::PartsDiffer),
                _ => Err(cloud(&self.target.key, error)),
            },
        }
    }

    /// S3 refuses a wrong checksum; a server that ignores ours may at least tell its own.
    pub(super) fn check_answer(&self, theirs: Option<&str>) -> Result<(), Error> {
        let ours = self.machine.crc64nvme();
        match theirs.and_then(Crc64::parse) {
            Some(theirs) if ours != Some(theirs) => Err(cloud(
                &self.target.key,
                CloudError::new(
                    CloudKind::ChecksumMismatch,
                    "s3:PutObject",
                    format!("s3://{}/{}", self.target.bucket, self.target.key),
                    "the stored object has another checksum than what was sent",
                ),
            )),
            _ => Ok(()),
        }
    }

    async fn probe(&mut self) -> Result<(), Error> {
        let customer_key = match &self.target.encryption {
            Some(Encryption::SseC(key)) => Some(key.clone()),
            _ => None,
        };
        let object = GetObject {
            bucket: self.target.bucket.clone(),
            key: self.target.key.clone(),
            expected_bucket_owner: self.target.expected_bucket_owner.clone(),
            customer_key,
            ..GetObject::default()
        };
        let head = self
            .engine
            .attempts(self.store, self.progress.as_ref(), || self.store.head(&object))
            .await;
        let probe = match head.result {
            Ok(head) if head.bytes == self.layout.object_bytes() => {
                Probe::There { version_id: head.version_id }
            }
            Ok(_) => Probe::Unknown,
            Err(error) if error.kind() == CloudKind::NotFound => Probe::Absent,
            Err(error) if error.kind() == CloudKind::AccessDenied => Probe::Unknown,
            Err(error) => return Err(cloud(&self.target.key, error)),
        };
        self.happened(Event::Probed(probe))
    }

    /// Best effort: what it leaves, the bucket's lifecycle rule removes after a day.
    async fn abort(&mut self) {
        let Some(id) = self.machine.upload_id() else { return };
        // Parts still under way could arrive after the abort and be kept.
        self.tasks.shutdown().await;
        let _ = self
            .engine
            .attempts(self.store, self.progress.as_ref(), || self.store.abort(&self.multipart, id))
            .await;
    }

    /// Leaves things so that another run can go on, or so that nothing is left.
    async fn leave(&mut self, hopeless: bool) {
        // What has arrived meanwhile need not be sent again.
        while let Some(Ok(Done::Events(events))) = self.tasks.try_join_next() {
            for event in events.into_iter().filter(|event| matches!(event, Event::Sent { .. })) {
                let _ = self.happened(event);
            }
        }
        if hopeless || !self.journal.is_durable() {
            self.abort().await;
            // The caller begins anew; if this fails, the next run aborts the same upload again.
            let _ = self.journal.clear();
        }
    }

    pub(super) async fn sync(&self) -> Result<(), Error> {
        sync_file(self.journal.sync_handle()?).await
    }

    fn uploaded(&self) -> Result<Uploaded, Error> {
        let unfinished = || Error::new(ErrorKind::Internal, "the upload ended with parts unread");
        Ok(Uploaded {
            version_id: self.machine.done().flatten().map(str::to_owned),
            crc64nvme: self.machine.crc64nvme().ok_or_else(unfinished)?.to_string(),
            bytes: self.layout.object_bytes(),
            parts: self.layout.parts(),
            resumed_parts: self.resumed_parts,
            fingerprints: self.machine.fingerprints().ok_or_else(unfinished)?,
        })
    }

    pub(super) fn failed(&self, failure: Failure) -> Error {
        let kind = match failure {
            Failure::SourceChanged(_) => ErrorKind::SourceChanged,
            Failure::KeyTaken => ErrorKind::KeyTaken,
            Failure::Unstable => ErrorKind::Cloud,
            Failure::Confused => ErrorKind::Internal,
        };
        Error::new(kind, format!("{}: {failure}", self.target.key))
    }

    /// The failure that the last event led to, for the one effect that reports its own events.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        let failure = self.todo.iter().find_map(|effect| match effect {
            Effect::Fail(failure) => Some(*failure),
            _ => None,
        })?;
        self.todo.clear();
        Some(self.failed(failure))
    }
}

/// Reads a part where blocking is allowed, and checks its length: a source that gives other bytes
/// than it announced would shift every byte behind them.
pub(super) async fn read_part(
    source: Arc<dyn PartSource>,
    number: u32,
    bytes: usize,
) -> Result<Part, Error> {
    let read = tokio::task::spawn_blocking(move || source.read_part(number)).await;
    let failed = |error| Error::caused(ErrorKind::Source, format!("part {number}"), error);
    let part = match read {
        Ok(part) => part.map_err(failed)?,
        Err(panic) => {
            return Err(Error::caused(ErrorKind::Internal, "reading a part ended badly", panic));
        }
    };
    if part.bytes.len() != bytes {
        let why = format!("it has {} bytes instead of {bytes}", part.bytes.len());
        return Err(failed(why.into()));
    }
    Ok(part)
}

fn request(target: &MultipartTarget, number: u32, part: &Part) -> UploadPart {
    let customer_key = match &target.encryption {
        Some(Encryption::SseC(key)) => Some(key.clone()),
        _ => None,
    };
    UploadPart {
        number: part_number(number),
        body: part.bytes.clone(),
        checksum_crc64nvme: Some(part.crc64nvme.to_string()),
        customer_key,
    }
}

/// S3 counts from 1.
fn part_number(number: u32) -> i32 {
    i32::try_from(number).map_or(i32::MAX, |number| number.saturating_add(1))
}

async fn sync_file(file: Option<std::fs::File>) -> Result<(), Error> {
    let Some(file) = file else { return Ok(()) };
    match tokio::task::spawn_blocking(move || file.sync_data()).await {
        Ok(done) => done.map_err(write_failed),
        Err(panic) => Err(Error::caused(ErrorKind::Internal, "syncing ended badly", panic)),
    }
}
