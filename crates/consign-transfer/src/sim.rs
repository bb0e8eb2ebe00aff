//! A simulated server, source and sink for the drivers' tests: by seed it is slow, refuses, loses
//! requests and answers, forgets uploads, and stops the world at any call.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use consign_cloud::s3::{
    Body, CompleteMultipart, GetObject, Head, ListedPart, MultipartTarget, PutDone, PutObject,
    RangeRead, UploadPart,
};
use consign_cloud::{Error, ErrorKind};
use tokio::sync::Notify;

use crate::backoff::SplitMix64;
use crate::store::Store;
use crate::{Buffer, Crc64, Part, PartLayout, PartSink, PartSource, SinkError, SourceError};

/// How badly it behaves: each once in so many calls, 0 never.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) throttled: u64,
    pub(crate) lost_request: u64,
    pub(crate) lost_answer: u64,
    /// All unfinished uploads vanish.
    pub(crate) forget: u64,
    /// HEAD is refused: the writer may not read.
    pub(crate) head_denied: bool,
    /// ListParts is refused.
    pub(crate) list_denied: bool,
}

#[derive(Default)]
struct Uploading {
    key: String,
    parts: BTreeMap<i32, (Bytes, String)>,
}

pub(crate) struct State {
    random: SplitMix64,
    pub(crate) faults: Faults,
    /// Calls until the world stops; none never.
    crash_in: Option<u64>,
    next_id: u64,
    uploads: BTreeMap<String, Uploading>,
    pub(crate) objects: BTreeMap<String, (Bytes, String)>,
    /// Every text ever received for a place in an object, to find two under one nonce.
    pub(crate) received: BTreeMap<(String, i32), BTreeSet<Vec<u8>>>,
    pub(crate) parts_sent: u64,
    pub(crate) ranges_read: u64,
    in_flight: u64,
    /// Most bytes of parts that were under way at once.
    pub(crate) in_flight_max: u64,
    pub(crate) calls: u64,
    /// The clock: how much waiting was asked for.
    pub(crate) waited: Duration,
}

#[derive(Clone)]
pub(crate) struct Sim {
    state: Arc<Mutex<State>>,
    crashed: Arc<Mutex<Arc<Notify>>>,
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "sim:Call", "sim", format!("{kind:?}"))
}

impl Sim {
    pub(crate) fn new(seed: u64, faults: Faults) -> Sim {
        let state = State {
            random: SplitMix64(seed),
            faults,
            crash_in: None,
            next_id: 0,
            uploads: BTreeMap::new(),
            objects: BTreeMap::new(),
            received: BTreeMap::new(),
            parts_sent: 0,
            ranges_read: 0,
            in_flight: 0,
            in_flight_max: 0,
            calls: 0,
            waited: Duration::ZERO,
        };
        Sim { state: Arc::new(Mutex::new(state)), crashed: Arc::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn crash_in(&self, calls: Option<u64>) {
        // The dead of the last run must not stop this one.
        *self.crashed.lock().expect("lock") = Arc::default();
        self.state().crash_in = calls;
    }

    /// Ends when the world stops.
    pub(crate) async fn crash(&self) {
        let crashed = Arc::clone(&self.crashed.lock().expect("lock"));
        crashed.notified().await;
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.state().uploads.len()
    }

    /// Stops the world for good when its time has come.
    async fn tick(&self) {
        let stop = {
            let mut state = self.state();
            match state.crash_in.as_mut() {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            }
        };
        if stop {
            self.crashed.lock().expect("lock").notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// One call: some time, perhaps a fault, `work` on the server, perhaps another fault.
    async fn call<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        self.tick().await;
        let (turns, fault) = {
            let mut state = self.state();
            state.calls += 1;
            let faults = state.faults;
            let mut one_in = |n: u64| n > 0 && state.random.next().is_multiple_of(n);
            let fault = if one_in(faults.throttled) {
                Some(ErrorKind::Throttled)
            } else if one_in(faults.lost_request) {
                Some(ErrorKind::Network)
            } else {
                None
            };
            (state.random.next() % 16, fault)
        };
        // Others overtake by taking fewer turns.
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if let Some(kind) = fault {
            return Err(error(kind));
        }
        let (done, lost) = {
            let mut state = self.state();
            if state.faults.forget > 0 {
                let n = state.faults.forget;
                if state.random.next().is_multiple_of(n) {
                    state.uploads.clear();
                }
            }
            let done = work(&mut state);
            let n = state.faults.lost_answer;
            (done, n > 0 && state.random.next().is_multiple_of(n))
        };
        self.tick().await;
        if lost { Err(error(ErrorKind::Network)) } else { done }
    }
}

impl State {
    fn store(&mut self, key: &str, bytes: Bytes, if_none_match: bool) -> Result<PutDone, Error> {
        if if_none_match && self.objects.contains_key(key) {
            return Err(error(ErrorKind::PreconditionFailed));
        }
        self.next_id += 1;
        let version = format!("v{}", self.next_id);
        let crc = Crc64::of(&bytes).to_string();
        self.objects.insert(key.to_owned(), (bytes, version.clone()));
        Ok(PutDone {
            version_id: Some(version),
            checksum_crc64nvme: Some(crc),
            ..PutDone::default()
        })
    }

    fn note(&mut self, key: &str, part: i32, bytes: &[u8]) {
        self.received.entry((key.to_owned(), part)).or_default().insert(bytes.to_vec());
    }
}

impl Store for Sim {
    async fn wait(&self, time: Duration) {
        self.state().waited += time;
        tokio::task::yield_now().await;
    }

    async fn put(&self, put: PutObject) -> Result<PutDone, Error> {
        let expected = put.body.len();
        let bytes = match put.body {
            Body::Bytes(bytes) => bytes,
            Body::Stream { mut parts, .. } => {
                let mut whole = Vec::new();
                while let Some(piece) = parts.recv().await {
                    let piece = piece.map_err(|_| error(ErrorKind::Source))?;
                    self.tick().await;
                    whole.extend_from_slice(&piece);
                }
                whole.into()
            }
        };
        self.call(|state| {
            if bytes.len() as u64 != expected {
                return Err(error(ErrorKind::Network));
            }
            state.note(&put.key, 0, &bytes);
            if put.checksum_crc64nvme.is_some_and(|crc| crc != Crc64::of(&bytes).to_string()) {
                return Err(error(ErrorKind::ChecksumMismatch));
            }
            state.store(&put.key, bytes, put.if_none_match)
        })
        .await
    }

    async fn create(&self, target: &MultipartTarget) -> Result<String, Error> {
        self.call(|state| {
            state.next_id += 1;
            let id = format!("u{}", state.next_id);
            let uploading = Uploading { key: target.key.clone(), parts: BTreeMap::new() };
            state.uploads.insert(id.clone(), uploading);
            Ok(id)
        })
        .await
    }

    async fn send_part(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        part: UploadPart,
    ) -> Result<String, Error> {
        {
            let mut state = self.state();
            state.in_flight += part.body.len() as u64;
            state.in_flight_max = state.in_flight_max.max(state.in_flight);
        }
        let bytes = part.body.len() as u64;
        let sent = self
            .call(|state| {
                state.note(&target.key, part.number, &part.body);
                state.parts_sent += 1;
                let crc = Crc64::of(&part.body).to_string();
                if part.checksum_crc64nvme.as_ref() != Some(&crc) {
                    return Err(error(ErrorKind::ChecksumMismatch));
                }
                let Some(upload) = state.uploads.get_mut(upload_id) else {
                    return Err(error(ErrorKind::NoSuchUpload));
                };
                let etag = format!("\"{upload_id}-{}-{crc}\"", part.number);
                upload.parts.insert(part.number, (part.body, etag.clone()));
                Ok(etag)
            })
            .await;
        self.state().in_flight -= bytes;
        sent
    }

    async fn complete(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        complete: CompleteMultipart,
    ) -> Result<PutDone, Error> {
        self.call(|state| {
            let Some(upload) = state.uploads.get(upload_id) else {
                return Err(error(ErrorKind::NoSuchUpload));
            };
            assert_eq!(upload.key, target.key);
            let mut whole = Vec::new();
            for part in &complete.parts {
                let (bytes, etag) = upload.parts.get(&part.number).expect("a part that was sent");
                assert_eq!(*etag, part.etag, "part {}", part.number);
                whole.extend_from_slice(bytes);
            }
            assert_eq!(complete.object_bytes, Some(whole.len() as u64));
            assert_eq!(complete.checksum_crc64nvme, Some(Crc64::of(&whole).to_string()));
            let done = state.store(&target.key, whole.into(), complete.if_none_match)?;
            state.uploads.remove(upload_id);
            Ok(done)
        })
        .await
    }

    async fn abort(&self, _: &MultipartTarget, upload_id: &str) -> Result<(), Error> {
        self.call(|state| {
            state.uploads.remove(upload_id);
            Ok(())
        })
        .await
    }

    async fn parts(&self, _: &MultipartTarget, upload_id: &str) -> Result<Vec<ListedPart>, Error> {
        self.call(|state| {
            if state.faults.list_denied {
                return Err(error(ErrorKind::AccessDenied));
            }
            let Some(upload) = state.uploads.get(upload_id) else {
                return Err(error(ErrorKind::NoSuchUpload));
            };
            let listed = upload.parts.iter().map(|(number, (bytes, etag))| ListedPart {
                number: *number,
                bytes: bytes.len() as u64,
                etag: etag.clone(),
                checksum_crc64nvme: Some(Crc64::of(bytes).to_string()),
            });
            Ok(listed.collect())
        })
        .await
    }

    async fn uploads(&self, target: &MultipartTarget) -> Result<Vec<String>, Error> {
        // Unlike the others never fails: the drivers take a failed sweep for a swept one.
        self.tick().await;
        let state = self.state();
        let ours = state.uploads.iter().filter(|(_, upload)| upload.key == target.key);
        Ok(ours.map(|(id, _)| id.clone()).collect())
    }

    async fn head(&self, object: &GetObject) -> Result<Head, Error> {
        self.call(|state| {
            if state.faults.head_denied {
                return Err(error(ErrorKind::AccessDenied));
            }
            let found = state.objects.get(&object.key);
            let (bytes, version) = found.ok_or_else(|| error(ErrorKind::NotFound))?;
            Ok(Head {
                bytes: bytes.len() as u64,
                version_id: Some(version.clone()),
                ..Head::default()
            })
        })
        .await
    }

    async fn fetch(
        &self,
        object: &GetObject,
        range: Range<u64>,
        buffer: &mut [u8],
    ) -> Result<RangeRead, Error> {
        self.call(|state| {
            let found = state.objects.get(&object.key);
            let (bytes, version) = found.ok_or_else(|| error(ErrorKind::NotFound))?;
            if object.if_match.as_ref().is_some_and(|etag| etag != version) {
                return Err(error(ErrorKind::PreconditionFailed));
            }
            state.ranges_read += 1;
            let range = range.start as usize..range.end as usize;
            let wanted = bytes.get(range).ok_or_else(|| error(ErrorKind::InvalidRequest))?;
            buffer.copy_from_slice(wanted);
            Ok(RangeRead {
                object_bytes: bytes.len() as u64,
                etag: Some(version.clone()),
                version_id: None,
            })
        })
        .await
    }
}

/// A ramp of prime period, so that a misplaced part shows.
pub(crate) fn ramp(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}

/// Gives the parts of some bytes.
pub(crate) struct Source {
    pub(crate) layout: PartLayout,
    pub(crate) bytes: Bytes,
}

impl Source {
    pub(crate) fn new(bytes: u64, part_bytes: u64) -> Source {
        let layout = PartLayout::new(part_bytes.min(7), part_bytes, bytes).expect("layout");
        Source { layout, bytes: ramp(bytes).into() }
    }
}

impl PartSource for Source {
    fn layout(&self) -> PartLayout {
        self.layout
    }

    fn read_part(&self, number: u32) -> Result<Part, SourceError> {
        let range = self.layout.range(number);
        let bytes = self.bytes.slice(range.start as usize..range.end as usize);
        let crc64nvme = Crc64::of(&bytes);
        let mut fingerprint = [0; 32];
        fingerprint[..12].copy_from_slice(crc64nvme.to_string().as_bytes());
        Ok(Part { bytes, crc64nvme, fingerprint })
    }
}

/// Collects parts, each at most once a run.
pub(crate) struct Sink {
    layout: PartLayout,
    pub(crate) bytes: Mutex<Vec<u8>>,
    pub(crate) writes: Mutex<BTreeMap<u32, u32>>,
    pub(crate) lost: Mutex<BTreeSet<u32>>,
}

impl Sink {
    pub(crate) fn new(layout: PartLayout) -> Sink {
        Sink {
            layout,
            bytes: Mutex::new(vec![0; layout.object_bytes() as usize]),
            writes: Mutex::default(),
            lost: Mutex::default(),
        }
    }
}

impl PartSink for Sink {
    fn write_part(&self, number: u32, mut bytes: Buffer) -> Result<(), SinkError> {
        let range = self.layout.range(number);
        let mut all = self.bytes.lock().expect("lock");
        all[range.start as usize..range.end as usize].copy_from_slice(&bytes);
        // Whoever decrypts in place leaves something else behind.
        bytes.fill(0xee);
        *self.writes.lock().expect("lock").entry(number).or_default() += 1;
        Ok(())
    }

    fn still_there(&self, number: u32) -> Result<bool, SinkError> {
        Ok(!self.lost.lock().expect("lock").remove(&number))
    }
}
