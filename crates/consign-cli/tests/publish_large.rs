//! One object that no single request can copy: 5 GiB and a byte. S3 copies it in parts, none of it passes
//! through the publisher, and every byte is compared afterwards.

use std::time::{Duration, Instant};

use crate::support::post::{INBOX, Post, QUEUE, REPOSITORY, until};
use consign_cloud::s3::{
    CompleteMultipart, CompletedPart, Encryption, GetObject, MultipartTarget, UploadPart,
};
use consign_testkit::payload;
use hyper::body::Bytes;

const OBJECT: u64 = (5 << 30) + 1;
const PIECE: u64 = 64 << 20;
/// Of the ramp: a piece of the object is a slice of one long ramp, wherever it begins.
const PERIOD: u64 = 251;
const KEY: &str = "scans/large.dcm";

/// For docs/benchmarks.md, with up to 16 GB of temporary files: `TMPDIR=… cargo test --release --workspace publish_large::
/// -- --ignored --nocapture`.
#[test]
#[ignore = "minutes, and gigabytes of disk; run by hand"]
fn more_than_one_request_copies_is_copied_in_parts() {
    let post = Post::new(|text| text);
    let ramp = Bytes::from(payload::ramp(usize::try_from(PIECE + PERIOD).unwrap()));
    put(&post, &ramp);
    let publisher = post.publisher(&[]);
    let begun = Instant::now();
    let mut peak_kib = 0;
    while !publisher.log().contains("\"event\":\"delivered\"") {
        peak_kib = peak_kib.max(publisher.peak_kib());
        assert!(begun.elapsed() < Duration::from_secs(1800), "it is not delivered");
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = begun.elapsed();
    until("an empty queue", || post.waiting(QUEUE) == 0);
    peak_kib = peak_kib.max(publisher.peak_kib());
    publisher.stop();
    println!(
        "{OBJECT} bytes in {:.1} s, publisher's peak {} MiB",
        took.as_secs_f64(),
        peak_kib >> 10
    );
    assert!(peak_kib < 60 << 10, "{peak_kib} KiB");
    compare(&post, &ramp);
}

/// As an administrator who lifts the repository's policy for it: the generator's is made for single
/// requests, which end at 5 GiB.
fn put(post: &Post, ramp: &Bytes) {
    let cloud = post.cloud("admin-111111111111");
    let s3 = cloud.s3();
    let target = MultipartTarget {
        bucket: REPOSITORY.to_owned(),
        key: KEY.to_owned(),
        encryption: Some(Encryption::SseS3),
        ..MultipartTarget::default()
    };
    post.block_on(async {
        let policy = s3.get_bucket_policy(REPOSITORY).await?.unwrap_or_default();
        s3.delete_bucket_policy(REPOSITORY).await?;
        let upload = s3.create_multipart(&target).await?;
        let mut parts = Vec::new();
        for (number, first) in (1..).zip((0..OBJECT).step_by(usize::try_from(PIECE).unwrap())) {
            let body = piece(ramp, first);
            let part = UploadPart { number, body, checksum_crc64nvme: None, customer_key: None };
            let etag = s3.upload_part(&target, &upload, part).await?;
            parts.push(CompletedPart { number, etag, checksum_crc64nvme: None });
        }
        let complete = CompleteMultipart { parts, ..CompleteMultipart::default() };
        s3.complete_multipart(&target, &upload, complete).await?;
        s3.put_bucket_policy(REPOSITORY, &policy).await
    })
    .unwrap();
}

fn piece(ramp: &Bytes, first: u64) -> Bytes {
    let from = usize::try_from(first % PERIOD).unwrap();
    let bytes = usize::try_from(PIECE.min(OBJECT - first)).unwrap();
    ramp.slice(from..from + bytes)
}

/// What is there has the checksum that its source has, and is it.
fn compare(post: &Post, ramp: &Bytes) {
    let at = |bucket: &str| GetObject {
        bucket: bucket.to_owned(),
        key: KEY.to_owned(),
        ..GetObject::default()
    };
    let (ours, theirs) = (post.cloud("acme"), post.cloud("globex"));
    let head = |cloud: &consign_cloud::Cloud, bucket: &str| {
        post.block_on(cloud.s3().head_with_checksum(&at(bucket))).unwrap()
    };
    let (source, target) = (head(&ours, REPOSITORY), head(&theirs, INBOX));
    assert_eq!((source.bytes, target.bytes), (OBJECT, OBJECT));
    println!("checksums: {:?}, {:?}", source.checksums, target.checksums);
    assert!(!source.checksums.contradict(&target.checksums));
    let mut buffer = vec![0; usize::try_from(PIECE).unwrap()];
    for first in (0..OBJECT).step_by(usize::try_from(PIECE).unwrap()) {
        let wanted = piece(ramp, first);
        let buffer = &mut buffer[..wanted.len()];
        let range = first..first + wanted.len() as u64;
        post.block_on(theirs.s3().get_range(&at(INBOX), range, buffer)).unwrap();
        assert!(buffer == &wanted[..], "other bytes from {first} on");
    }
}
