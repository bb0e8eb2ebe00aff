//! Downloads against the simulated server.

use std::path::Path;
use std::sync::Arc;

use super::driver::run;
use super::{Downloaded, Object};
use crate::backoff::SplitMix64;
use crate::engine::{Engine, Limits, Progress, Silent};
use crate::error::{Error, ErrorKind};
use crate::journal::DownloadJournal;
use crate::sim::{Faults, Sim, Sink, ramp};
use crate::{Cancel, PartLayout};

fn engine(seed: u64) -> Engine {
    Engine::new(Limits {
        in_flight: 3,
        part_bytes: 1000,
        attempts_max: 12,
        seed,
        ..Limits::default()
    })
}

fn object(layout: PartLayout) -> Object {
    Object {
        bucket: "b".into(),
        key: "k".into(),
        version_id: None,
        layout,
        expected_bucket_owner: None,
        customer_key: None,
    }
}

async fn once(
    sim: &Sim,
    seed: u64,
    object: &Object,
    sink: &Arc<Sink>,
    journal: &Path,
) -> Option<Result<Downloaded, Error>> {
    let mut journal = DownloadJournal::open(journal).expect("journal");
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let cancel = Cancel::new();
    let engine = engine(seed);
    let sink: Arc<Sink> = Arc::clone(sink);
    tokio::select! {
        biased;
        () = sim.crash() => None,
        result = run(sim, &engine, object, sink, &mut journal, &progress, &cancel) => {
            Some(result)
        }
    }
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
async fn a_death_at_any_call_costs_no_byte() {
    let mut deaths = 0;
    for seed in 0..200 {
        let bytes = seed * 97;
        let sim = Sim::new(seed, ROUGH);
        sim.state().objects.insert("k".into(), (ramp(bytes).into(), "v1".into()));
        let layout = PartLayout::new(7, 1000, bytes).expect("layout");
        let sink = Arc::new(Sink::new(layout));
        let folder = tempfile::tempdir().expect("folder");
        let journal = folder.path().join("journal");
        let mut random = SplitMix64(seed);
        let mut runs = 0;
        loop {
            sim.crash_in(Some(random.next() % (2 + 2 * runs)));
            runs += 1;
            match once(&sim, seed, &object(layout), &sink, &journal).await {
                Some(done) => break drop(done.expect("downloaded")),
                None => deaths += 1,
            }
        }
        assert!(*sink.bytes.lock().expect("lock") == ramp(bytes), "seed {seed}");
    }
    assert!(deaths > 100, "{deaths} deaths test little");
}

#[tokio::test]
async fn parts_in_the_journal_are_not_fetched_unless_the_sink_lost_them() {
    let sim = Sim::new(1, Faults::default());
    sim.state().objects.insert("k".into(), (ramp(20_000).into(), "v1".into()));
    let layout = PartLayout::new(0, 1000, 20_000).expect("layout");
    let sink = Arc::new(Sink::new(layout));
    let folder = tempfile::tempdir().expect("folder");
    let journal = folder.path().join("journal");
    sim.crash_in(Some(22));
    assert!(once(&sim, 1, &object(layout), &sink, &journal).await.is_none());
    sim.crash_in(None);
    let kept = DownloadJournal::open(&journal).expect("journal");
    let written: Vec<u32> = super::machine::Download::replay(kept.events()).written().collect();
    assert!(written.len() > 4, "{written:?}");
    let lost = written[2];
    sink.lost.lock().expect("lock").insert(lost);
    let done = once(&sim, 1, &object(layout), &sink, &journal).await;
    let done = done.expect("no crash").expect("downloaded");
    let expected: Vec<u32> = written.iter().copied().filter(|part| *part != lost).collect();
    assert_eq!(done.resumed_parts, expected);
    for (part, times) in sink.writes.lock().expect("lock").iter() {
        let again = *part == lost || (*times == 2 && !written.contains(part));
        assert!(*times == 1 || again, "part {part} written {times} times");
    }
    assert!(*sink.bytes.lock().expect("lock") == ramp(20_000));
}

#[tokio::test]
async fn a_replaced_object_is_noticed() {
    for seed in 0..40 {
        let sim = Sim::new(seed, Faults::default());
        sim.state().objects.insert("k".into(), (ramp(20_000).into(), "v1".into()));
        let layout = PartLayout::new(0, 1000, 20_000).expect("layout");
        let sink = Arc::new(Sink::new(layout));
        let folder = tempfile::tempdir().expect("folder");
        let journal = folder.path().join("journal");
        // Far enough that an entity tag is known.
        sim.crash_in(Some(10 + seed % 20));
        assert!(once(&sim, seed, &object(layout), &sink, &journal).await.is_none());
        sim.crash_in(None);
        sim.state().objects.insert("k".into(), (vec![1; 20_000].into(), "v2".into()));
        let error = once(&sim, seed, &object(layout), &sink, &journal).await;
        let error = error.expect("no crash").expect_err("changed");
        assert_eq!(error.kind(), ErrorKind::ObjectChanged, "seed {seed}: {error:?}");
    }
}

#[tokio::test]
async fn an_object_of_another_size_is_refused() {
    let sim = Sim::new(1, Faults::default());
    sim.state().objects.insert("k".into(), (ramp(2001).into(), "v1".into()));
    let layout = PartLayout::new(0, 1000, 2000).expect("layout");
    let sink = Arc::new(Sink::new(layout));
    let folder = tempfile::tempdir().expect("folder");
    let result = once(&sim, 1, &object(layout), &sink, &folder.path().join("j")).await;
    let error = result.expect("no crash").expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ObjectChanged);
}
