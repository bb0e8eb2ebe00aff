//! Does what the download machine decides: fetches ranges, gives them to the sink on blocking
//! threads, keeps the journal. One task set, owned here; the events come back to one loop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use consign_cloud::s3::GetObject;
use consign_cloud::{Error as CloudError, ErrorKind as CloudKind};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::machine::{Download, Effect, Event};
use super::{Downloaded, Object};
use crate::PartSink;
use crate::buffers::Buffer;
use crate::cancel::{Cancel, Cancelled};
use crate::engine::{Engine, Progress};
use crate::error::{Error, ErrorKind};
use crate::journal::DownloadJournal;
use crate::store::Store;

pub(crate) async fn run<S: Store>(
    store: &S,
    engine: &Engine,
    object: &Object,
    sink: Arc<dyn PartSink>,
    journal: &mut DownloadJournal,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<Downloaded, Error> {
    begin(journal, object)?;
    let machine = Download::replay(journal.events());
    let mut driver = Driver {
        store,
        engine,
        object,
        sink,
        journal,
        progress,
        machine,
        todo: VecDeque::new(),
        tasks: JoinSet::new(),
        hand: HashMap::new(),
        resumed: Vec::new(),
    };
    let how = tokio::select! {
        biased;
        how = cancel.cancelled() => Err(how),
        result = driver.drive() => Ok(result),
    };
    // A part being written must have ended before the caller touches the file again.
    driver.settle().await;
    match how {
        Ok(result) => result,
        Err(how) => {
            if how == Cancelled::Abort {
                driver.journal.clear()?;
            }
            let context = format!("fetching {} was stopped", object.key);
            Err(Error::new(ErrorKind::Cancelled, context))
        }
    }
}

/// Makes sure that the journal is about this transfer.
fn begin(journal: &mut DownloadJournal, object: &Object) -> Result<(), Error> {
    let begun = Event::Begun {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        version_id: object.version_id.clone(),
        layout: object.layout,
    };
    match journal.events().first() {
        None => journal.append(begun),
        Some(first) if *first == begun => Ok(()),
        Some(_) => Err(Error::new(
            ErrorKind::Journal,
            format!("the journal is not about {} as it is now", object.key),
        )),
    }
}

/// A part in memory, with its share of the bound.
struct InHand {
    buffer: Buffer,
    share: OwnedSemaphorePermit,
}

/// What a task brings back.
enum Done {
    Fetched { part: u32, in_hand: InHand, etag: Option<String>, object_bytes: u64 },
    Written { part: u32 },
    Failed(Error),
}

struct Driver<'a, S> {
    store: &'a S,
    engine: &'a Engine,
    object: &'a Object,
    sink: Arc<dyn PartSink>,
    journal: &'a mut DownloadJournal,
    progress: &'a Arc<dyn Progress>,
    machine: Download,
    todo: VecDeque<Effect>,
    tasks: JoinSet<Done>,
    hand: HashMap<u32, InHand>,
    resumed: Vec<u32>,
}

impl<S: Store> Driver<'_, S> {
    async fn drive(&mut self) -> Result<Downloaded, Error> {
        self.look_back().await?;
        self.happened(Event::Started { window: self.engine.limits().in_flight })?;
        loop {
            while let Some(effect) = self.todo.pop_front() {
                match effect {
                    Effect::Fetch(number) => self.fetch(number),
                    Effect::Pin(etag) => self.happened(Event::Pinned { etag })?,
                    Effect::Write(number) => self.write(number)?,
                    Effect::Finish => return Ok(self.downloaded()),
                    Effect::Changed => return Err(self.changed()),
                }
            }
            match self.tasks.join_next().await {
                Some(Ok(Done::Fetched { part, in_hand, etag, object_bytes })) => {
                    self.hand.insert(part, in_hand);
                    self.happened(Event::Fetched { part, etag, object_bytes })?;
                }
                Some(Ok(Done::Written { part })) => {
                    self.progress.moved(self.object.layout.part_len(part) as u64);
                    self.happened(Event::Written { part })?;
                }
                Some(Ok(Done::Failed(error))) => return Err(error),
                Some(Err(panic)) => {
                    return Err(Error::caused(ErrorKind::Internal, "a task ended badly", panic));
                }
                None => return Err(Error::new(ErrorKind::Internal, "nothing is left to do")),
            }
        }
    }

    fn happened(&mut self, event: Event) -> Result<(), Error> {
        if event.is_kept() {
            self.journal.append(event.clone())?;
        }
        let (machine, effects) = std::mem::take(&mut self.machine).step(event);
        self.machine = machine;
        self.todo.extend(effects);
        Ok(())
    }

    /// Asks the sink whether it still has what the journal says.
    async fn look_back(&mut self) -> Result<(), Error> {
        let sink = Arc::clone(&self.sink);
        let written: Vec<u32> = self.machine.written().collect();
        let asked = tokio::task::spawn_blocking(move || {
            let ask =
                |part: u32| Ok::<_, Error>((part, sink.still_there(part).map_err(sink_failed)?));
            written.into_iter().map(ask).collect::<Result<Vec<_>, _>>()
        });
        let asked = match asked.await {
            Ok(asked) => asked?,
            Err(panic) => {
                return Err(Error::caused(ErrorKind::Internal, "asking the sink failed", panic));
            }
        };
        for (part, there) in asked {
            if there {
                self.resumed.push(part);
                self.progress.moved(self.object.layout.part_len(part) as u64);
            } else {
                self.happened(Event::Missing { part })?;
            }
        }
        Ok(())
    }

    fn fetch(&mut self, number: u32) {
        let engine = self.engine.clone();
        let store = self.store.clone();
        let progress = Arc::clone(self.progress);
        let range = self.object.layout.range(number);
        let len = self.object.layout.part_len(number);
        let object = self.request();
        self.tasks.spawn(async move {
            let share = engine.admit(len as u64).await;
            // Each try has the buffer to itself and gives it back.
            let buffer = tokio::sync::Mutex::new(engine.buffers().take(len));
            let fetched = engine
                .attempts(&store, progress.as_ref(), || async {
                    let mut buffer = buffer.lock().await;
                    store.fetch(&object, range.clone(), &mut buffer).await
                })
                .await;
            let in_hand = InHand { buffer: buffer.into_inner(), share };
            match fetched.result {
                Ok(about) => Done::Fetched {
                    part: number,
                    in_hand,
                    etag: about.etag,
                    object_bytes: about.object_bytes,
                },
                Err(error) => Done::Failed(cloud(&object.key, error)),
            }
        });
    }

    fn request(&self) -> GetObject {
        GetObject {
            bucket: self.object.bucket.clone(),
            key: self.object.key.clone(),
            version_id: self.object.version_id.clone(),
            if_match: self.machine.etag().map(str::to_owned),
            expected_bucket_owner: self.object.expected_bucket_owner.clone(),
            customer_key: self.object.customer_key.clone(),
        }
    }

    fn write(&mut self, number: u32) -> Result<(), Error> {
        let Some(in_hand) = self.hand.remove(&number) else {
            return Err(Error::new(ErrorKind::Internal, "a part to write is not in hand"));
        };
        let sink = Arc::clone(&self.sink);
        self.tasks.spawn_blocking(move || {
            let InHand { buffer, share } = in_hand;
            let written = sink.write_part(number, buffer);
            drop(share);
            match written {
                Ok(()) => Done::Written { part: number },
                Err(error) => Done::Failed(sink_failed(error)),
            }
        });
        Ok(())
    }

    /// Ends requests, waits for writes, and keeps what they achieved.
    async fn settle(&mut self) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Done::Written { part }) = ended {
                let _ = self.happened(Event::Written { part });
            }
        }
    }

    fn changed(&self) -> Error {
        let context =
            format!("{} is another object than the one that was begun with", self.object.key);
        Error::new(ErrorKind::ObjectChanged, context)
    }

    fn downloaded(&self) -> Downloaded {
        Downloaded {
            bytes: self.object.layout.object_bytes(),
            parts: self.object.layout.parts(),
            resumed_parts: self.resumed.clone(),
        }
    }
}

fn cloud(key: &str, error: CloudError) -> Error {
    let kind = match error.kind() {
        CloudKind::PreconditionFailed => ErrorKind::ObjectChanged,
        _ => ErrorKind::Cloud,
    };
    Error::caused(kind, format!("fetching {key} failed"), error)
}

fn sink_failed(error: crate::SinkError) -> Error {
    Error::caused(ErrorKind::Sink, "what was fetched could not be written", error)
}
