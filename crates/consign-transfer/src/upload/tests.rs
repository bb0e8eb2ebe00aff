//! Uploads against the simulated server: every seed another order of events and another death.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Target;
use super::driver::run;
use super::machine::{Event, Upload};
use crate::backoff::SplitMix64;
use crate::engine::{Engine, Limits, Progress, Silent};
use crate::error::{Error, ErrorKind};
use crate::journal::UploadJournal;
use crate::sim::{Faults, Sim, Source, ramp};
use crate::{Cancel, Cancelled, Crc64, Uploaded};

/// Parts of kilobytes stand for those of megabytes: as many events, fewer bytes to move.
const KIB: u64 = 1 << 10;

fn engine(seed: u64) -> Engine {
    // Few parts in flight: many orders of events.
    Engine::new(Limits {
        in_flight: 3,
        part_bytes: 5 * KIB,
        single_put_bytes_max: 6 * KIB,
        attempts_max: 12,
        seed,
    })
}

fn target(single_put: bool) -> Target {
    Target {
        bucket: "b".into(),
        key: "k".into(),
        if_none_match: true,
        single_put,
        ..Target::default()
    }
}

async fn once(
    sim: &Sim,
    seed: u64,
    target: &Target,
    source: &Arc<Source>,
    journal: &Path,
) -> Option<Result<Uploaded, Error>> {
    let mut journal = UploadJournal::open(journal).expect("journal");
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let cancel = Cancel::new();
    let engine = engine(seed);
    let source: Arc<Source> = Arc::clone(source);
    tokio::select! {
        biased;
        () = sim.crash() => None,
        result = run(sim, &engine, target, source, &mut journal, &progress, &cancel) => {
            Some(result)
        }
    }
}

/// What a power cut may take: lines whose loss must not matter, because nothing waits for them to
/// be on disk.
fn lose_unsynced_tail(journal: &Path, random: &mut SplitMix64) {
    let text = std::fs::read_to_string(journal).expect("journal");
    let Some(last) = text.lines().last() else { return };
    if last.contains(r#""event":"sent""#) || last.contains(r#""event":"completed""#) {
        let lost = random.next() as usize % (last.len() + 2);
        std::fs::write(journal, &text.as_bytes()[..text.len() - lost]).expect("journal");
    }
}

/// Uploads with a death in each run until it succeeds; checks what is left.
async fn check(seed: u64, faults: Faults, bytes: u64, single_put: bool) -> u64 {
    let sim = Sim::new(seed, faults);
    let mut random = SplitMix64(!seed);
    let folder = tempfile::tempdir().expect("folder");
    let journal = folder.path().join("journal");
    let source = Arc::new(Source::new(bytes, 5 * KIB));
    let target = target(single_put);
    let mut deaths = 0;
    let uploaded = loop {
        assert!(deaths < 60, "seed {seed}: no end in sight");
        // Later runs live longer, so that an end comes.
        sim.crash_in(Some(random.next() % (3 + 2 * deaths)));
        match once(&sim, seed ^ deaths, &target, &source, &journal).await {
            Some(Ok(uploaded)) => break uploaded,
            Some(Err(error)) => panic!("seed {seed}: {error:?}"),
            None => deaths += 1,
        }
        lose_unsynced_tail(&journal, &mut random);
    };
    sim.crash_in(None);
    let state = sim.state();
    let (stored, _) = &state.objects["k"];
    assert!(*stored == source.bytes, "seed {seed}: the object differs");
    assert_eq!(state.objects.len(), 1);
    assert_eq!(uploaded.crc64nvme, Crc64::of(&ramp(bytes)).to_string(), "seed {seed}");
    assert_eq!(uploaded.fingerprints.len(), uploaded.parts as usize);
    assert!(state.received.values().all(|texts| texts.len() == 1), "seed {seed}: two texts");
    drop(state);
    assert_eq!(sim.unfinished(), 0, "seed {seed}: an orphan upload");
    deaths
}

const ROUGH: Faults = Faults {
    throttled: 9,
    lost_request: 7,
    lost_answer: 6,
    forget: 0,
    head_denied: false,
    list_denied: false,
};

#[tokio::test]
async fn a_death_at_any_call_costs_no_byte_and_leaves_no_orphan() {
    let mut deaths = 0;
    for seed in 0..400 {
        deaths += check(seed, ROUGH, 23 * KIB + 11, false).await;
    }
    assert!(deaths > 1000, "{deaths} deaths test little");
}

#[tokio::test]
async fn writers_that_may_neither_head_nor_list_arrive_too() {
    for seed in 0..400 {
        let faults = Faults { head_denied: true, list_denied: seed % 2 == 0, ..ROUGH };
        check(seed, faults, 17 * KIB, false).await;
    }
}

#[tokio::test]
async fn uploads_that_vanish_are_begun_again() {
    for seed in 0..400 {
        check(seed, Faults { forget: 25, ..ROUGH }, 17 * KIB, false).await;
    }
}

#[tokio::test]
async fn single_puts_small_streamed_and_empty() {
    for seed in 0..100 {
        for (bytes, single_put) in [(0, false), (5, false), (6 * KIB, false), (18 * KIB, true)] {
            check(seed, ROUGH, bytes, single_put).await;
        }
    }
}

#[tokio::test]
async fn parts_that_arrived_are_not_sent_again() {
    let sim = Sim::new(1, Faults::default());
    let folder = tempfile::tempdir().expect("folder");
    let journal = folder.path().join("journal");
    let source = Arc::new(Source::new(100 * KIB, 5 * KIB));
    // 20 parts; two ticks a call: stops after about half of them.
    sim.crash_in(Some(26));
    assert!(once(&sim, 1, &target(false), &source, &journal).await.is_none());
    let before = sim.state().parts_sent;
    assert!(before > 7, "{before}");
    sim.crash_in(None);
    let uploaded = once(&sim, 1, &target(false), &source, &journal).await;
    let uploaded = uploaded.expect("no crash").expect("uploaded");
    // The last answers were lost with the process; their checksums are in the list all the same.
    assert_eq!(u64::from(uploaded.resumed_parts), before);
    assert_eq!(sim.state().parts_sent, 20);
}

#[tokio::test]
async fn a_changed_source_never_meets_its_old_nonce() {
    let mut noticed = 0;
    for seed in 0..300 {
        let sim = Sim::new(seed, ROUGH);
        let folder = tempfile::tempdir().expect("folder");
        let journal = folder.path().join("journal");
        let source = Arc::new(Source::new(23 * KIB, 5 * KIB));
        sim.crash_in(Some(seed % 17));
        if once(&sim, seed, &target(false), &source, &journal).await.is_some() {
            continue;
        }
        sim.crash_in(None);
        let mut changed = source.bytes.to_vec();
        changed.iter_mut().step_by(4096).for_each(|byte| *byte ^= 0x55);
        let changed = Source { layout: source.layout, bytes: changed.into() };
        let result = once(&sim, !seed, &target(false), &Arc::new(changed), &journal).await;
        let received = sim.state().received.clone();
        assert!(received.values().all(|texts| texts.len() == 1), "seed {seed}: two texts");
        match result.expect("no crash") {
            // Nothing had been read before, or all of it had arrived.
            Ok(_) => continue,
            Err(error) => assert_eq!(error.kind(), ErrorKind::SourceChanged, "seed {seed}"),
        }
        noticed += 1;
        assert_eq!(sim.unfinished(), 0, "seed {seed}: aborted");
        let journal = UploadJournal::open(&journal).expect("journal");
        assert!(journal.events().is_empty(), "seed {seed}: begins anew");
    }
    assert!(noticed > 80, "{noticed}");
}

#[tokio::test]
async fn somebody_elses_object_is_not_taken_for_ours() {
    for single_put in [false, true] {
        let sim = Sim::new(3, Faults::default());
        sim.state().objects.insert("k".into(), ("other".into(), "v0".into()));
        let folder = tempfile::tempdir().expect("folder");
        let source = Arc::new(Source::new(17 * KIB, 5 * KIB));
        let result =
            once(&sim, 3, &target(single_put), &source, &folder.path().join("journal")).await;
        let error = result.expect("no crash").expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::KeyTaken, "{error:?}");
        assert_eq!(sim.unfinished(), 0);
    }
}

#[tokio::test]
async fn cancelling_keeps_or_aborts_as_told() {
    for (how, durable, left) in
        [(Cancelled::Keep, true, 1), (Cancelled::Abort, true, 0), (Cancelled::Keep, false, 0)]
    {
        let sim = Sim::new(4, Faults::default());
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("journal");
        let mut journal = match durable {
            true => UploadJournal::open(&path).expect("journal"),
            false => UploadJournal::in_memory(),
        };
        let cancel = Cancel::new();
        let progress: Arc<dyn Progress> =
            Arc::new(CancelAt { bytes: AtomicU64::new(20 * KIB), cancel: cancel.clone(), how });
        let source = Arc::new(Source::new(100 * KIB, 5 * KIB));
        let engine = engine(4);
        let result =
            run(&sim, &engine, &target(false), source, &mut journal, &progress, &cancel).await;
        assert_eq!(result.expect_err("cancelled").kind(), ErrorKind::Cancelled);
        assert_eq!(sim.unfinished(), left, "{how:?} durable {durable}");
        if left == 1 {
            assert!(Upload::replay(journal.events()).sent().count() >= 4);
        } else {
            assert!(journal.events().is_empty());
        }
    }
}

struct CancelAt {
    bytes: AtomicU64,
    cancel: Cancel,
    how: Cancelled,
}

impl Progress for CancelAt {
    fn moved(&self, bytes: u64) {
        let left = self.bytes.load(Ordering::Relaxed).saturating_sub(bytes);
        self.bytes.store(left, Ordering::Relaxed);
        if left == 0 {
            self.cancel.cancel(self.how);
        }
    }
}

#[tokio::test]
async fn many_uploads_share_one_bound() {
    let sim = Sim::new(5, Faults::default());
    let engine = engine(5);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..6 {
        let (sim, engine) = (sim.clone(), engine.clone());
        tasks.spawn(async move {
            let target = Target { key: format!("k{number}"), ..target(number == 5) };
            let source = Arc::new(Source::new(31 * KIB, 5 * KIB));
            let progress: Arc<dyn Progress> = Arc::new(Silent);
            let mut journal = UploadJournal::in_memory();
            let cancel = Cancel::new();
            run(&sim, &engine, &target, source, &mut journal, &progress, &cancel).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("joined").expect("uploaded");
    }
    let state = sim.state();
    assert_eq!(state.objects.len(), 6);
    assert!(state.in_flight_max <= 15 * KIB + 7, "{} bytes under way", state.in_flight_max);
}

/// Tries of one PUT at a server that always fails so, and how long it was waited for.
async fn at_a_server_that(faults: Faults) -> (u64, std::time::Duration, Error) {
    let sim = Sim::new(6, faults);
    let folder = tempfile::tempdir().expect("folder");
    let source = Arc::new(Source::new(1, 5 * KIB));
    let result = once(&sim, 6, &target(false), &source, &folder.path().join("journal")).await;
    let state = sim.state();
    (state.calls, state.waited, result.expect("no crash").expect_err("always fails"))
}

#[tokio::test]
async fn tries_end_and_a_busy_server_is_given_more_time() {
    let down = Faults { lost_request: 1, ..Faults::default() };
    let (calls, waited, error) = at_a_server_that(down).await;
    assert_eq!((calls, error.kind()), (12, ErrorKind::Cloud));
    assert_eq!(error.cloud().expect("the cloud's").kind(), consign_cloud::ErrorKind::Network);
    let busy = Faults { throttled: 1, ..Faults::default() };
    let (calls, waited_busy, _) = at_a_server_that(busy).await;
    assert_eq!(calls, 12);
    assert!(waited_busy > waited * 3 / 2, "{waited_busy:?} against {waited:?}");
}

#[test]
fn replaying_an_event_twice_changes_nothing() {
    let layout = crate::PartLayout::new(0, 10, 30).expect("layout");
    let read =
        |part| Event::Read { part, fingerprint: [part as u8; 32], crc64nvme: Crc64::of(&[]) };
    let sent = |part| Event::Sent { part, etag: part.to_string() };
    let events = [
        Event::Begun { bucket: "b".into(), key: "k".into(), layout, mode: super::Mode::Multipart },
        Event::Created { upload_id: "u".into() },
        read(1),
        read(0),
        sent(1),
        read(2),
        sent(0),
        sent(2),
        Event::Completing,
        Event::Completed { version_id: Some("v".into()) },
    ];
    for length in 1..=events.len() {
        let prefix = &events[..length];
        let doubled = prefix.iter().enumerate().flat_map(|(index, event)| {
            // The beginning and a restart are the two that are not facts but turns.
            std::iter::repeat_n(event, if index == 0 { 1 } else { 2 })
        });
        assert_eq!(Upload::replay(prefix), Upload::replay(doubled), "{length} events");
    }
}
