//! The engine against a real S3 server that is not ours, over a good line and a bad one.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use consign_cloud::S3;
use consign_cloud::s3::GetObject;
use consign_transfer::{
    Cancel, Cancelled, DownloadJournal, Downloaded, Engine, Error, ErrorKind, Limits, Object,
    PartLayout, Progress, Silent, Target, UploadJournal, Uploaded,
};
use support::line::Line;
use support::weed::Weed;
use support::{Check, Ramp, connect};

const MIB: u64 = 1 << 20;

fn limits() -> Limits {
    Limits { in_flight: 4, part_bytes: 5 * MIB, attempts_max: 30, ..Limits::default() }
}

fn target(key: &str) -> Target {
    Target { bucket: "lane".into(), key: key.into(), if_none_match: true, ..Target::default() }
}

/// Parts of the smallest size S3 takes, after an odd prefix.
fn layout(bytes: u64) -> PartLayout {
    PartLayout::new(bytes.min(217), 5 * MIB, bytes).expect("layout")
}

async fn up(
    engine: &Engine,
    s3: &S3,
    target: &Target,
    bytes: u64,
    journal: &mut UploadJournal,
) -> Result<Uploaded, Error> {
    let source = Arc::new(Ramp { layout: layout(bytes), buffers: engine.buffers().clone() });
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    engine.upload(s3, target, source, journal, &progress, &Cancel::new()).await
}

async fn down(
    engine: &Engine,
    s3: &S3,
    key: &str,
    bytes: u64,
    journal: &mut DownloadJournal,
) -> Result<Downloaded, Error> {
    let object = Object {
        bucket: "lane".into(),
        key: key.into(),
        version_id: None,
        layout: layout(bytes),
        expected_bucket_owner: None,
        customer_key: None,
    };
    let sink = Arc::new(Check::new(object.layout));
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let done =
        engine.download(s3, &object, sink.clone(), journal, &progress, &Cancel::new()).await?;
    let seen = sink.seen.lock().expect("lock").len() + done.resumed_parts.len();
    assert_eq!(seen, done.parts as usize);
    Ok(done)
}

async fn uploads(s3: &S3) -> usize {
    s3.list_multipart_uploads("lane", "", None).await.expect("list").entries.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_arrives_and_comes_back() {
    let Some(weed) = Weed::start("every_size_arrives_and_comes_back").await else { return };
    let cloud = connect(&weed.endpoint(), 30_000).await;
    let s3 = cloud.s3();
    let engine = Engine::new(limits());
    for (bytes, single_put) in [
        (0, false),
        (1, false),
        (5 * MIB + 217, false),
        (16 * MIB, false),
        (16 * MIB + 65 * 1024, false),
        (43 * MIB + 13, false),
        (43 * MIB + 13, true),
    ] {
        let key = format!("{bytes}-{single_put}");
        let target = Target { single_put, ..target(&key) };
        let mut journal = UploadJournal::in_memory();
        let sent = up(&engine, s3, &target, bytes, &mut journal).await.expect("sent");
        assert_eq!(sent.bytes, bytes);
        let object = GetObject { bucket: "lane".into(), key: key.clone(), ..Default::default() };
        assert_eq!(s3.head_object(&object).await.expect("head").bytes, bytes);
        let mut journal = DownloadJournal::in_memory();
        down(&engine, s3, &key, bytes, &mut journal).await.expect("fetched");
        // The same key again: somebody else's by now.
        let mut journal = UploadJournal::in_memory();
        let error = up(&engine, s3, &target, bytes, &mut journal).await.expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::KeyTaken, "{key}: {error:?}");
    }
    assert_eq!(uploads(s3).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_costs_retries_and_no_byte() {
    let Some(weed) = Weed::start("a_bad_line_costs_retries_and_no_byte").await else { return };
    let good = connect(&weed.endpoint(), 30_000).await;
    let line = Line::to(weed.port(), 7).await;
    let bad = connect(&line.endpoint(), 700).await;
    let engine = Engine::new(limits());
    let kinds = [(31 * MIB, false), (9 * MIB, false), (24 * MIB, true)];
    // Which requests the line disturbs is up to their order: few may be, by chance.
    for (number, (bytes, single_put)) in kinds.into_iter().cycle().enumerate() {
        if number >= kinds.len() && line.disturbed() > 5 {
            break;
        }
        assert!(number < 30, "{} faults test little", line.disturbed());
        let key = format!("bad-{number}");
        let target = Target { single_put, ..target(&key) };
        let mut journal = UploadJournal::in_memory();
        up(&engine, bad.s3(), &target, bytes, &mut journal).await.expect("sent");
        let mut journal = DownloadJournal::in_memory();
        down(&engine, good.s3(), &key, bytes, &mut journal).await.expect("whole");
        let mut journal = DownloadJournal::in_memory();
        down(&engine, bad.s3(), &key, bytes, &mut journal).await.expect("fetched");
    }
    assert_eq!(uploads(good.s3()).await, 0, "orphans");
}

struct StopAt {
    left: AtomicU64,
    cancel: Cancel,
}

impl Progress for StopAt {
    fn moved(&self, bytes: u64) {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(bytes);
        self.left.store(left, Ordering::Relaxed);
        if left == 0 {
            self.cancel.cancel(Cancelled::Keep);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_upload_goes_on_with_what_the_server_has() {
    let test = "a_stopped_upload_goes_on_with_what_the_server_has";
    let Some(weed) = Weed::start(test).await else { return };
    let cloud = connect(&weed.endpoint(), 30_000).await;
    let engine = Engine::new(limits());
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("journal");
    let bytes = 61 * MIB;
    let cancel = Cancel::new();
    let progress: Arc<dyn Progress> =
        Arc::new(StopAt { left: AtomicU64::new(25 * MIB), cancel: cancel.clone() });
    let mut journal = UploadJournal::open(&path).expect("journal");
    let source = Arc::new(Ramp { layout: layout(bytes), buffers: engine.buffers().clone() });
    let stopped =
        engine.upload(cloud.s3(), &target("k"), source, &mut journal, &progress, &cancel).await;
    assert_eq!(stopped.expect_err("stopped").kind(), ErrorKind::Cancelled);
    drop(journal);
    assert_eq!(uploads(cloud.s3()).await, 1);

    let mut journal = UploadJournal::open(&path).expect("journal");
    let sent = up(&engine, cloud.s3(), &target("k"), bytes, &mut journal).await.expect("sent");
    assert!(sent.resumed_parts >= 4, "{} parts kept", sent.resumed_parts);
    assert_eq!(uploads(cloud.s3()).await, 0);
    let mut journal = DownloadJournal::in_memory();
    down(&engine, cloud.s3(), "k", bytes, &mut journal).await.expect("fetched");

    // And one that is given up.
    let mut journal = UploadJournal::open(&folder.path().join("other")).expect("journal");
    let cancel = Cancel::new();
    let progress: Arc<dyn Progress> =
        Arc::new(StopAt { left: AtomicU64::new(25 * MIB), cancel: cancel.clone() });
    let source = Arc::new(Ramp { layout: layout(bytes), buffers: engine.buffers().clone() });
    let target = target("given-up");
    let stopped =
        engine.upload(cloud.s3(), &target, source, &mut journal, &progress, &cancel).await;
    stopped.expect_err("stopped");
    engine.abandon(cloud.s3(), &mut journal).await.expect("abandoned");
    assert_eq!(uploads(cloud.s3()).await, 0);
    assert!(journal.events().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_an_error_in_words() {
    let cloud = connect("http://127.0.0.1:9", 1000).await;
    let engine = Engine::new(Limits { attempts_max: 2, ..limits() });
    let mut journal = UploadJournal::in_memory();
    let before = std::time::Instant::now();
    let error = up(&engine, cloud.s3(), &target("k"), 100, &mut journal).await;
    let error = error.expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::Cloud);
    let cloud_error = error.cloud().expect("the cloud's error");
    assert_eq!(cloud_error.kind(), consign_cloud::ErrorKind::Network, "{cloud_error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--endpoint")), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(10));
}
