//! Many hands on few keys: whatever wins, what is read is whole, and no blob is left over or lost.

use std::collections::{BTreeMap, HashSet};

use md5::{Digest, Md5};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::*;

const BUCKET: &str = "b";
const KEYS: [&[u8]; 3] = [b"x", b"x/y", b"z"];

fn data_key() -> DataKey {
    DataKey::single(Zeroizing::new([3; 32]))
}

fn seal() -> Seal {
    Seal::S3 { wrapped: Vec::new() }
}

async fn store_in(root: &Path, versioning: Versioning) -> Arc<Store> {
    let store = Store::open(root).expect("open").0;
    let bucket = Bucket {
        name: BUCKET.into(),
        account: "111111111111".into(),
        created_ms: 0,
        versioning,
        ownership: None,
        policy: None,
        public_access: None,
        encryption: DefaultEncryption::default(),
        tags: Vec::new(),
        notifications: Vec::new(),
        documents: BTreeMap::new(),
        transition_minimum: None,
        policy_cache: Default::default(),
    };
    store.create_bucket(bucket).await.expect("a bucket");
    Arc::new(store)
}

fn blob(store: &Store, content: &[u8]) -> Staged {
    let mut writer = BlobWriter::create(store.folder(), &data_key()).expect("create");
    writer.write(content).expect("write");
    writer.finish().expect("finish").0
}

/// Every byte is `fill`, so that a mixture shows.
fn new_object(store: &Store, fill: u8, bytes: usize, content: u128) -> NewObject {
    let staged = blob(store, &vec![fill; bytes]);
    let bytes = bytes as u64;
    let object = Object {
        content,
        bytes,
        etag: fill.to_string(),
        seal: seal(),
        checksum: None,
        parts: None,
        about: About::default(),
    };
    let segment = NewSegment { blob: NewBlob::Staged(staged), bytes, part: 1, checksum: None };
    NewObject { object, segments: vec![segment], account: String::new(), modified_ms: 0 }
}

fn read(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    let version = store.find(BUCKET, key, None).ok()?;
    let bytes = version.object.as_ref()?.bytes;
    let opened = store.open_content(BUCKET, key, &version, 0..bytes).expect("the database")?;
    let mut content = Vec::new();
    for (_, segment) in &opened.segments {
        let id = BlobId(segment.blob);
        let reader = BlobReader::open(store.folder(), id, &data_key(), segment.bytes)
            .expect("a pinned blob");
        let mut at = 0;
        while at < segment.bytes {
            let (pieces, next) = reader.read(at, segment.bytes).expect("authentic");
            pieces.iter().for_each(|piece| content.extend_from_slice(piece));
            at = next;
        }
    }
    Some(content)
}

/// Puts, deletes, and reads one key until told that it was enough.
async fn churn(store: Arc<Store>, worker: u8) {
    for round in 0..40u8 {
        let key = KEYS[usize::from(worker.wrapping_add(round)) % KEYS.len()];
        if round % 7 == 6 {
            let deletion =
                Deletion { key: key.into(), version_id: None, condition: Condition::Always };
            store.delete(BUCKET, vec![deletion], "", 0, None).await.expect("delete");
        } else {
            let content = u128::from(worker) << 64 | u128::from(round);
            let new = new_object(&store, worker, usize::from(round) * 3001, content);
            let condition = match round % 3 {
                0 => Condition::Absent,
                1 => Condition::Matches("*".into()),
                _ => Condition::Always,
            };
            let put = store.put_version(BUCKET, key, new, condition, None).await;
            let refused = [StoreErrorKind::PreconditionFailed, StoreErrorKind::NoSuchKey];
            assert!(put.as_ref().err().is_none_or(|error| refused.contains(&error.kind())));
        }
        if let Some(content) = read(&store, key) {
            let first = content.first().copied().unwrap_or(0);
            assert!(content.iter().all(|byte| *byte == first), "a mixture of two writes");
        }
    }
}

/// Parts are replaced while the upload is completed or aborted.
async fn upload(store: Arc<Store>, worker: u8) {
    let upload = Upload {
        started_ms: 0,
        account: String::new(),
        initiator: String::new(),
        seal: seal(),
        about: About::default(),
        checksum_algorithm: "CRC32".into(),
        composite: true,
        checksum_declared: false,
    };
    let id = store.create_upload(BUCKET, KEYS[0], upload).await.expect("an upload");
    let mut tasks = JoinSet::new();
    for attempt in 0..6u8 {
        let (store, id) = (store.clone(), id.clone());
        tasks.spawn(async move {
            let content = vec![worker; 5_000 + usize::from(attempt)];
            let staged = blob(&store, &content);
            let part = Part {
                blob: 0,
                bytes: content.len() as u64,
                etag: hex::encode(Md5::digest(&content)),
                checksum: Checksum {
                    algorithm: "CRC32".into(),
                    value: "AAAAAA==".into(),
                    composite: false,
                },
                modified_ms: 0,
            };
            let etag = part.etag.clone();
            let put = store.put_part(BUCKET, KEYS[0], &id, 1, staged, part).await;
            let gone = |error: &StoreError| error.kind() == StoreErrorKind::NoSuchUpload;
            assert!(put.as_ref().err().is_none_or(gone));
            let parts = vec![CompletedPart { number: 1, etag, checksums: Vec::new() }];
            let completion = Completion {
                parts,
                condition: Condition::Always,
                checksum: None,
                bytes: None,
                now_ms: 0,
            };
            match attempt {
                5 => drop(store.abort_upload(BUCKET, KEYS[0], &id).await),
                3 | 4 => drop(store.complete_upload(BUCKET, KEYS[0], &id, completion, None).await),
                _ => {}
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a part");
    }
}

fn referenced(store: &Store) -> HashSet<u128> {
    let transaction = store.read().expect("a transaction");
    let mut blobs = HashSet::new();
    let segments = transaction.open_table(SEGMENTS).expect("a table");
    for row in segments.iter().expect("rows") {
        blobs.insert(from_json::<Segment>(row.expect("a row").1.value()).expect("JSON").blob);
    }
    let parts = transaction.open_table(PARTS).expect("a table");
    for row in parts.iter().expect("rows") {
        blobs.insert(from_json::<Part>(row.expect("a row").1.value()).expect("JSON").blob);
    }
    blobs
}

async fn check(versioning: Versioning) {
    let root = tempfile::tempdir().expect("a folder");
    let store = store_in(root.path(), versioning).await;
    let mut tasks = JoinSet::new();
    for worker in 1..7 {
        tasks.spawn(churn(store.clone(), worker));
        tasks.spawn(upload(store.clone(), worker));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a worker");
    }
    let before: Vec<_> = KEYS.map(|key| read(&store, key)).into();
    let (referenced, folder) = (referenced(&store), store.folder().clone());
    // Closing waits for the last blobs to be removed.
    drop(Arc::into_inner(store).expect("the last one"));
    let on_disk: HashSet<_> = folder.list().expect("a listing").iter().map(|blob| blob.0).collect();
    assert_eq!(on_disk, referenced, "{versioning:?}");
    let again = Store::open(root.path()).expect("open again").0;
    assert_eq!(before, KEYS.map(|key| read(&again, key)), "{versioning:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_mixed_lost_or_left_over() {
    for versioning in [Versioning::Never, Versioning::Enabled, Versioning::Suspended] {
        check(versioning).await;
    }
}

#[tokio::test]
async fn a_crash_before_the_commit_leaves_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let store = store_in(root.path(), Versioning::Never).await;
    // As if the process died: named, and referred to by nothing.
    blob(&store, b"orphan").keep();
    std::fs::write(root.path().join("blobs/incoming/half"), b"half").expect("a file");
    assert_eq!(store.folder().list().expect("a listing").len(), 1);
    drop(Arc::into_inner(store).expect("the last one"));
    let again = Store::open(root.path()).expect("open again").0;
    assert!(again.folder().list().expect("a listing").is_empty());
    assert_eq!(std::fs::read_dir(root.path().join("blobs/incoming")).expect("dir").count(), 0);
}
