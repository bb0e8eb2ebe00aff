//! `kill -9` under load: what was acknowledged is there, what was not is absent or whole, and the
//! disk never holds plaintext.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::process::{Admin, Process};
use tokio::sync::Notify;

/// In every content, many times.
const MARKER: &[u8] = b"PLAINTEXT-MARKER-7f3a91";
const WORKERS: usize = 6;
const ROUNDS: usize = 20;

/// What a key may hold: the last acknowledged generation, or that of a write that was under way.
#[derive(Clone, Debug, Default)]
struct Known {
    acknowledged: Option<u64>,
    under_way: Option<Option<u64>>,
}

/// The content of a generation: no two are alike, sizes from nothing to several frames.
fn content(key: &str, generation: u64) -> Vec<u8> {
    let sizes = [0, 1, 1000, 65_536, 65_537, 200_001, 1_100_003];
    let size = sizes[usize::try_from(generation % 7).expect("small")];
    let mut bytes = Vec::with_capacity(size + 64);
    while bytes.len() < size {
        bytes.extend_from_slice(format!("{key}/{generation}/").as_bytes());
        bytes.extend_from_slice(MARKER);
    }
    bytes.truncate(size);
    bytes
}

/// Counts acknowledgements, so that the kill comes at a chosen number of them.
struct Counter {
    acknowledged: AtomicUsize,
    target: usize,
    reached: Notify,
}

impl Counter {
    fn count(&self) {
        if self.acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == self.target {
            self.reached.notify_one();
        }
    }
}

/// Writes, overwrites and deletes its own keys until the server is gone.
async fn work(
    admin: Admin,
    worker: usize,
    mut generation: u64,
    mut known: BTreeMap<String, Known>,
    counter: Arc<Counter>,
) -> (u64, BTreeMap<String, Known>) {
    loop {
        generation += 1;
        let key = format!("w{worker}-{}", generation % 5);
        let target = format!("/crash-bucket/{key}");
        let entry = known.entry(key.clone()).or_default();
        let deletes = generation.is_multiple_of(11);
        let next = if deletes { None } else { Some(generation) };
        entry.under_way = Some(next);
        let answer = if deletes {
            admin.send("DELETE", &target, &[]).await
        } else {
            admin.send("PUT", &target, &content(&key, generation)).await
        };
        let Some(answer) = answer else {
            return (generation, known);
        };
        assert!(answer.status < 300, "{}", answer.text());
        *entry = Known { acknowledged: next, under_way: None };
        counter.count();
    }
}

async fn check_keys(admin: &Admin, known: &mut BTreeMap<String, Known>) {
    for (key, entry) in known {
        let answer = admin.send("GET", &format!("/crash-bucket/{key}"), &[]).await;
        let answer = answer.expect("the server answers");
        let candidates = [Some(entry.acknowledged), entry.under_way];
        let found = candidates.into_iter().flatten().find(|candidate| match candidate {
            None => answer.status == 404,
            Some(generation) => answer.status == 200 && answer.body == content(key, *generation),
        });
        let (status, bytes) = (answer.status, answer.body.len());
        assert!(found.is_some(), "{key}: {status} with {bytes} bytes; expected {entry:?}");
        *entry = Known { acknowledged: found.flatten(), under_way: None };
    }
}

/// An upload that lives through the crashes, a part per round.
struct LongUpload {
    id: String,
    /// Part number → ETag, acknowledged.
    parts: BTreeMap<usize, String>,
}

const PART_BYTES: usize = 5 * 1024 * 1024;

fn part(number: usize) -> Vec<u8> {
    let mut bytes = format!("part {number} ").repeat(7).into_bytes();
    bytes.extend(MARKER.iter().cycle().take(PART_BYTES));
    bytes
}

impl LongUpload {
    async fn begin(admin: &Admin) -> LongUpload {
        let answer = admin.send("POST", "/crash-bucket/long?uploads=", &[]).await;
        let id = answer.expect("an answer").expect_ok().xml("UploadId").expect("an id");
        LongUpload { id, parts: BTreeMap::new() }
    }

    /// Sends the part of this round; the kill may come at any moment of it.
    async fn send(&mut self, admin: &Admin, number: usize) {
        let target = format!("/crash-bucket/long?partNumber={number}&uploadId={}", self.id);
        if let Some(answer) = admin.send("PUT", &target, &part(number)).await {
            let etag = answer.expect_ok().header("etag").expect("an ETag").to_owned();
            self.parts.insert(number, etag);
        }
    }

    async fn check(&self, admin: &Admin) {
        let target = format!("/crash-bucket/long?uploadId={}", self.id);
        let listed = admin.send("GET", &target, &[]).await.expect("an answer").expect_ok().text();
        for (number, etag) in &self.parts {
            let etag = etag.replace('"', "&quot;");
            let row = format!("<PartNumber>{number}</PartNumber>");
            assert!(listed.contains(&row) && listed.contains(&etag), "part {number} is lost");
        }
    }

    async fn complete(&self, admin: &Admin) {
        let mut document = "<CompleteMultipartUpload>".to_owned();
        let mut expected = Vec::new();
        for (number, etag) in &self.parts {
            let entry =
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
            document.push_str(&entry);
            expected.extend(part(*number));
        }
        document.push_str("</CompleteMultipartUpload>");
        let target = format!("/crash-bucket/long?uploadId={}", self.id);
        let answer = admin.send("POST", &target, document.as_bytes()).await.expect("an answer");
        answer.expect_ok();
        let got = admin.send("GET", "/crash-bucket/long", &[]).await.expect("an answer");
        assert!(got.body == expected, "the long upload came back changed");
    }
}

/// Every file under the root, searched; blobs, which never change, once.
fn no_plaintext(folder: &Path, searched: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            no_plaintext(&path, searched);
            continue;
        }
        let is_blob = path.parent().is_some_and(|parent| parent.ends_with("blobs"));
        if is_blob && !searched.insert(path.clone()) {
            continue;
        }
        if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes.windows(MARKER.len()).any(|window| window == MARKER);
            assert!(!found, "plaintext in {}", path.display());
        }
    }
}

fn blobs(root: &Path) -> usize {
    let mut count = 0;
    for folder in [root.join("blobs"), root.join("blobs/incoming")] {
        let files = std::fs::read_dir(folder).expect("a folder");
        count += files.filter(|file| file.as_ref().is_ok_and(|file| file.path().is_file())).count();
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let work_folder = tempfile::tempdir().expect("a folder");
    let root = work_folder.path().join("cloud");
    let mut states: Vec<(u64, BTreeMap<String, Known>)> = vec![Default::default(); WORKERS];
    let mut upload: Option<LongUpload> = None;
    let mut searched = BTreeSet::new();
    for round in 0..ROUNDS {
        let process = Process::start(&root);
        let admin = process.admin();
        if round == 0 {
            admin.send("PUT", "/crash-bucket", &[]).await.expect("an answer").expect_ok();
        }
        for (_, known) in &mut states {
            check_keys(&admin, known).await;
        }
        let mut upload_now = match upload.take() {
            Some(upload) => upload,
            None => LongUpload::begin(&admin).await,
        };
        upload_now.check(&admin).await;
        // 1 to 60 acknowledgements, in an order without a pattern.
        let target = 1 + round * 37 % 60;
        let counter =
            Arc::new(Counter { acknowledged: AtomicUsize::new(0), target, reached: Notify::new() });
        let workers: Vec<_> = std::mem::take(&mut states)
            .into_iter()
            .enumerate()
            .map(|(worker, (generation, known))| {
                tokio::spawn(work(admin.clone(), worker, generation, known, counter.clone()))
            })
            .collect();
        let sending = tokio::spawn(async move {
            upload_now.send(&admin, round + 1).await;
            upload_now
        });
        counter.reached.notified().await;
        process.kill();
        for worker in workers {
            states.push(worker.await.expect("a worker"));
        }
        upload = Some(sending.await.expect("the upload"));
        no_plaintext(&root, &mut searched);
    }
    let process = Process::start(&root);
    let admin = process.admin();
    for (_, known) in &mut states {
        check_keys(&admin, known).await;
    }
    let upload = upload.expect("an upload");
    assert!(!upload.parts.is_empty(), "no part was ever acknowledged: the test tests nothing");
    upload.check(&admin).await;
    upload.complete(&admin).await;
    for key in states.iter().flat_map(|(_, known)| known.keys()).chain([&"long".to_owned()]) {
        let answer = admin.send("DELETE", &format!("/crash-bucket/{key}"), &[]).await;
        answer.expect("an answer").expect_ok();
    }
    process.kill();
    // Whatever crashes left behind is swept at a start.
    let process = Process::start(&root);
    assert_eq!(blobs(&root), 0, "blobs that nothing refers to");
    drop(process);
}
