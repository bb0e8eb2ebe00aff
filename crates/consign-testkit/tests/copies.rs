//! Copies that S3 makes itself, against the local cloud: pinned at both ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use consign_cloud::s3::bucket::CreateBucket;
use consign_cloud::s3::{CompleteMultipart, CopyObject, GetObject, MultipartTarget, PutObject};
use consign_cloud::{Cloud, Credentials, ErrorKind, Settings};
use consign_local::{Account, Running, ServeOptions, SystemClock};
use tempfile::TempDir;

const ACME: &str = "111111111111";
const GLOBEX: &str = "222222222222";
const REGION: &str = "eu-west-1";

async fn cloud() -> (Cloud, Running, TempDir) {
    let root = tempfile::tempdir().expect("a folder");
    let options = ServeOptions {
        root: root.path().join("cloud"),
        listen: "127.0.0.1:0".parse().expect("an address"),
        http: None,
        region: REGION.to_owned(),
        accounts: vec![Account { id: ACME.to_owned() }],
        principals: Vec::new(),
        clock: Arc::new(SystemClock),
        observer: None,
    };
    let running = consign_local::start(options).await.expect("the local cloud starts");
    let found = running.admin_credentials(ACME).expect("an administrator");
    let credentials = Credentials::new(found.access_key_id, found.secret_access_key.as_str(), None);
    let settings = Settings {
        endpoint: Some(running.endpoint().to_owned()),
        ca_bundle: Some(running.ca_path()),
        region: Some(REGION.to_owned()),
        explicit_credentials: Some(credentials),
        ..Settings::default()
    };
    let cloud = Cloud::connect(&settings).await.expect("connect");
    for bucket in ["repository", "inbox"] {
        let create = CreateBucket { bucket: bucket.to_owned(), ..CreateBucket::default() };
        cloud.s3().create_bucket(&create).await.expect("a bucket");
        cloud.s3().put_versioning(bucket, true).await.expect("versioning");
    }
    (cloud, running, root)
}

async fn put(cloud: &Cloud, key: &str, body: Vec<u8>) -> GetObject {
    let put = PutObject {
        bucket: "repository".to_owned(),
        key: key.to_owned(),
        body: body.into(),
        metadata: BTreeMap::from([("of-the-source".to_owned(), "x".to_owned())]),
        tags: BTreeMap::from([("released".to_owned(), "yes".to_owned())]),
        ..PutObject::default()
    };
    let done = cloud.s3().put_object(put).await.expect("put");
    GetObject {
        bucket: "repository".to_owned(),
        key: key.to_owned(),
        version_id: done.version_id,
        if_match: done.etag,
        expected_bucket_owner: Some(ACME.to_owned()),
        ..GetObject::default()
    }
}

fn tags_of_copies() -> BTreeMap<String, String> {
    [("consign-source".to_owned(), "0a b+c=".to_owned())].into()
}

fn stamp() -> BTreeMap<String, String> {
    BTreeMap::from([("consign-source".to_owned(), "v".to_owned())])
}

fn at(key: &str) -> GetObject {
    GetObject { bucket: "inbox".to_owned(), key: key.to_owned(), ..GetObject::default() }
}

#[tokio::test]
async fn a_copy_is_of_this_version_and_overwrites_nothing() {
    let (cloud, _running, _root) = cloud().await;
    let key = "in/a b+é%?versionId=x.dcm";
    let source = put(&cloud, key, b"first".to_vec()).await;
    put(&cloud, key, b"a second version".to_vec()).await;
    let target = MultipartTarget {
        bucket: "inbox".to_owned(),
        key: key.to_owned(),
        expected_bucket_owner: Some(ACME.to_owned()),
        content_type: Some("application/dicom".to_owned()),
        metadata: stamp(),
        tags: tags_of_copies(),
        encryption: None,
    };
    let copy =
        CopyObject { source: source.clone(), target, if_none_match: true, keep_metadata: false };
    let refused = async |change: fn(&mut CopyObject), kind| {
        let mut bent = copy.clone();
        change(&mut bent);
        let found = cloud.s3().copy_object(&bent).await.expect_err("refused");
        assert_eq!(found.kind(), kind, "{found}");
    };
    refused(|c| c.target.expected_bucket_owner = Some(GLOBEX.into()), ErrorKind::AccessDenied)
        .await;
    refused(|c| c.source.expected_bucket_owner = Some(GLOBEX.into()), ErrorKind::AccessDenied)
        .await;
    refused(|c| c.source.if_match = Some("\"0\"".into()), ErrorKind::PreconditionFailed).await;
    refused(|c| c.source.key.push('x'), ErrorKind::NotFound).await;
    let done = cloud.s3().copy_object(&copy).await.expect("copied");
    assert!(done.checksum_crc64nvme.is_some() && done.version_id.is_some(), "{done:?}");
    let head = cloud.s3().head_object(&at(key)).await.expect("there");
    assert_eq!((head.bytes, &head.metadata), (5, &stamp()));
    assert_eq!(head.content_type.as_deref(), Some("application/dicom"));
    assert_eq!(head.version_id, done.version_id);
    let (tags, version_id) = cloud.s3().get_object_tags(&at(key)).await.expect("tags");
    assert_eq!((tags, version_id), (tags_of_copies(), done.version_id));
    refused(|_| {}, ErrorKind::PreconditionFailed).await;
}

#[tokio::test]
async fn a_copy_in_parts_is_the_same_object() {
    let (cloud, _running, _root) = cloud().await;
    let s3 = cloud.s3();
    let body: Vec<u8> = (0..(11 << 20) + 7).map(|at: u32| (at % 251) as u8).collect();
    let source = put(&cloud, "large", body.clone()).await;
    let target = MultipartTarget {
        bucket: "inbox".to_owned(),
        key: "large".to_owned(),
        expected_bucket_owner: Some(ACME.to_owned()),
        metadata: stamp(),
        tags: tags_of_copies(),
        ..MultipartTarget::default()
    };
    let upload = s3.create_multipart(&target).await.expect("an upload");
    let mut parts = Vec::new();
    let bytes = body.len() as u64;
    for (number, first) in (1..).zip((0..bytes).step_by(5 << 20)) {
        let range = first..(first + (5 << 20)).min(bytes);
        let part = s3.upload_part_copy(&source, range, &target, &upload, number).await;
        parts.push(part.expect("a part"));
    }
    let complete = |parts| CompleteMultipart {
        parts,
        if_none_match: true,
        object_bytes: Some(bytes),
        ..CompleteMultipart::default()
    };
    s3.complete_multipart(&target, &upload, complete(parts)).await.expect("complete");
    let head = s3.head_object(&at("large")).await.expect("there");
    let (tags, _) = s3.get_object_tags(&at("large")).await.expect("tags");
    assert_eq!(tags, tags_of_copies());
    assert_eq!((head.bytes, head.metadata), (bytes, stamp()));
    let (whole, _) = s3.get_object_bytes(&at("large"), body.len()).await.expect("read");
    assert!(whole.as_ref() == body.as_slice(), "another content");
    let again = s3.create_multipart(&target).await.expect("an upload");
    let part = s3.upload_part_copy(&source, 0..bytes, &target, &again, 1).await.expect("a part");
    let taken = s3.complete_multipart(&target, &again, complete(vec![part])).await;
    let taken = taken.expect_err("taken");
    assert_eq!(taken.kind(), ErrorKind::PreconditionFailed, "{taken}");
}
