//! Our client of SQS and of S3's notifications against the local cloud, which shares no wire code
//! with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use consign_cloud::s3::bucket::CreateBucket;
use consign_cloud::s3::{PutObject, QueueNotification};
use consign_cloud::sqs::QueueUrl;
use consign_cloud::{Cloud, Credentials, ErrorKind, Settings};
use consign_local::{Account, Running, ServeOptions, SystemClock};
use consign_publisher::event::{Happening, Notice, parse};
use serde_json::json;
use tempfile::TempDir;

const ACME: &str = "111111111111";
const GLOBEX: &str = "222222222222";
const REGION: &str = "eu-west-1";

async fn serve() -> (Running, TempDir) {
    let root = tempfile::tempdir().expect("a folder");
    let options = ServeOptions {
        root: root.path().join("cloud"),
        listen: "127.0.0.1:0".parse().expect("an address"),
        http: None,
        region: REGION.to_owned(),
        accounts: [ACME, GLOBEX].map(|id| Account { id: id.to_owned() }).into(),
        principals: Vec::new(),
        clock: Arc::new(SystemClock),
        observer: None,
    };
    (consign_local::start(options).await.expect("the local cloud starts"), root)
}

async fn connect(running: &Running, account: &str) -> Cloud {
    let found = running.admin_credentials(account).expect("an administrator");
    let credentials = Credentials::new(found.access_key_id, found.secret_access_key.as_str(), None);
    let settings = Settings {
        endpoint: Some(running.endpoint().to_owned()),
        ca_bundle: Some(running.ca_path()),
        region: Some(REGION.to_owned()),
        explicit_credentials: Some(credentials),
        ..Settings::default()
    };
    Cloud::connect(&settings).await.expect("connect")
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn policy(arn: &str, bucket: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "Service": "s3.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {
            "ArnEquals": { "aws:SourceArn": format!("arn:aws:s3:::{bucket}") },
            "StringEquals": { "aws:SourceAccount": ACME },
        },
    }]})
    .to_string()
}

#[tokio::test]
async fn a_queue_lives_and_dies() {
    let (running, _root) = serve().await;
    let cloud = connect(&running, ACME).await;
    let sqs = cloud.sqs();
    let wanted = texts([("VisibilityTimeout", "60")]);
    let url = sqs.create_queue("inbox", &wanted).await.expect("a queue");
    assert_eq!(sqs.create_queue("inbox", &wanted).await.expect("the same"), url);
    let other = sqs.create_queue("inbox", &texts([("VisibilityTimeout", "61")])).await;
    assert_eq!(other.expect_err("another").kind(), ErrorKind::Conflict);
    assert_eq!(sqs.queue_url("inbox").await.expect("its URL"), url);
    let missing = sqs.queue_url("none").await.expect_err("there is none");
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    let arn = format!("arn:aws:sqs:{REGION}:{ACME}:inbox");
    let text = policy(&arn, "somewhere");
    sqs.set_attributes(&url, &texts([("Policy", &text)])).await.expect("set");
    let found = sqs.attributes(&url).await.expect("attributes");
    assert_eq!((&found["QueueArn"], &found["Policy"]), (&arn, &text));
    assert_eq!(cloud.elsewhere().queue_policy(&arn).await.expect("the audit's way"), Some(text));
    sqs.tag_queue(&url, &texts([("consign", "x")])).await.expect("tagged");
    assert_eq!(sqs.queue_tags(&url).await.expect("tags"), texts([("consign", "x")]));

    let id = sqs.send(&url, "grüße").await.expect("sent");
    let [first] = sqs.receive(&url, 10, 0, 30).await.expect("received").try_into().expect("one");
    assert_eq!((&first.id, first.body.as_str(), first.receive_count), (&id, "grüße", 1));
    assert!(first.sent_ms > 1_700_000_000_000 && !format!("{first:?}").contains("grüße"));
    assert!(sqs.receive(&url, 10, 0, 30).await.expect("hidden").is_empty());
    sqs.extend(&url, &first.receipt, 0).await.expect("given back");
    let [again] = sqs.receive(&url, 1, 20, 30).await.expect("received").try_into().expect("one");
    assert_eq!((&again.id, again.receive_count), (&id, 2));
    let stale = sqs.extend(&url, &first.receipt, 30).await.expect_err("not ours any more");
    assert_eq!(stale.kind(), ErrorKind::InvalidRequest, "{stale}");
    sqs.extend(&url, &again.receipt, 43_200).await.expect("more time");
    sqs.delete(&url, &again.receipt).await.expect("deleted");
    sqs.delete(&url, &again.receipt).await.expect("deleted already");

    sqs.send(&url, "one").await.expect("sent");
    let [one] = sqs.receive(&url, 1, 20, 30).await.expect("received").try_into().expect("one");
    let receipts = [again.receipt.as_str(), "not a receipt", &one.receipt];
    let deleted = sqs.delete_batch(&url, &receipts).await.expect("looked at");
    let kinds = deleted.iter().map(|each| each.as_ref().err().map(|error| error.kind()));
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds, [None, Some(ErrorKind::InvalidRequest), None], "{deleted:?}");
    let stale = sqs.extend(&url, &one.receipt, 0).await.expect_err("deleted");
    assert_eq!(stale.kind(), ErrorKind::InvalidRequest, "{stale}");
    assert!(sqs.delete_batch(&url, &[]).await.expect("nothing asked").is_empty());

    let stranger = connect(&running, GLOBEX).await;
    let denied = stranger.sqs().receive(&url, 1, 0, 30).await.expect_err("a stranger");
    assert_eq!(denied.kind(), ErrorKind::AccessDenied, "{denied}");
    sqs.delete_queue(&url).await.expect("deleted");
    let gone = sqs.send(&url, "x").await.expect_err("gone");
    assert_eq!(gone.kind(), ErrorKind::NotFound, "{gone}");
}

/// The longest wait is longer than any answer may otherwise take, and ends when it is dropped.
#[tokio::test]
async fn waiting_ends_with_a_message_or_with_whoever_waits() {
    let (running, _root) = serve().await;
    let cloud = connect(&running, ACME).await;
    let url = cloud.sqs().create_queue("slow", &BTreeMap::new()).await.expect("a queue");
    let dropped =
        tokio::time::timeout(Duration::from_millis(50), cloud.sqs().receive(&url, 1, 20, 30));
    assert!(dropped.await.is_err(), "nothing was there");
    let waiting = tokio::spawn({
        let (cloud, url) = (cloud.clone(), url.clone());
        async move { cloud.sqs().receive(&url, 1, 20, 30).await }
    });
    cloud.sqs().send(&url, "late").await.expect("sent");
    // One of the two waits got it; the one that was dropped hides it for thirty seconds at most.
    let got = match waiting.await.expect("no panic").expect("an answer") {
        none if none.is_empty() => cloud.sqs().receive(&url, 1, 20, 30).await.expect("an answer"),
        some => some,
    };
    assert_eq!(got.first().map(|message| message.body.as_str()), Some("late"));
    running.shutdown().await;
}

#[tokio::test]
async fn a_bucket_tells_its_queue() {
    let (running, _root) = serve().await;
    let cloud = connect(&running, ACME).await;
    let (s3, sqs, bucket) = (cloud.s3(), cloud.sqs(), "told-by-us");
    let create = CreateBucket { bucket: bucket.to_owned(), ..CreateBucket::default() };
    s3.create_bucket(&create).await.expect("a bucket");
    let arn = format!("arn:aws:sqs:{REGION}:{ACME}:told");
    let wanted = [QueueNotification {
        id: "scans".to_owned(),
        queue_arn: arn.clone(),
        events: vec!["s3:ObjectCreated:*".to_owned()],
        prefix: "in/".to_owned(),
        suffix: String::new(),
    }];
    let early = s3.put_bucket_notifications(bucket, Some(ACME), &wanted).await;
    assert_eq!(early.expect_err("no queue yet").kind(), ErrorKind::InvalidRequest);
    let attributes = texts([("Policy", &policy(&arn, bucket))]);
    let url = sqs.create_queue("told", &attributes).await.expect("a queue");
    let foreign = s3.put_bucket_notifications(bucket, Some(GLOBEX), &wanted).await;
    assert_eq!(foreign.expect_err("not theirs").kind(), ErrorKind::AccessDenied);
    s3.put_bucket_notifications(bucket, Some(ACME), &wanted).await.expect("configured");
    assert_eq!(s3.bucket_notifications(bucket, Some(ACME)).await.expect("read"), wanted);
    let put = PutObject {
        bucket: bucket.to_owned(),
        key: "in/a b+é.txt".to_owned(),
        body: b"hello".to_vec().into(),
        ..PutObject::default()
    };
    s3.put_object(put).await.expect("put");
    let bodies = drain(&cloud, &url).await;
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    // What the one writes, the other reads.
    let mut told = Vec::new();
    for body in &bodies {
        match parse(body).expect("an event") {
            Notice::Test => told.push("test".to_owned()),
            Notice::Events(events) => {
                for event in events {
                    let event = event.expect("a whole record");
                    assert_eq!(event.happening, Happening::Created);
                    assert!(body.contains("\"size\":5"), "{body}");
                    told.push(format!("{}/{}", event.bucket, event.key));
                }
            }
        }
    }
    told.sort();
    assert_eq!(told, ["test", "told-by-us/in/a b+é.txt"]);
    s3.put_bucket_notifications(bucket, Some(ACME), &[]).await.expect("turned off");
    assert!(s3.bucket_notifications(bucket, None).await.expect("read").is_empty());
}

async fn drain(cloud: &Cloud, url: &QueueUrl) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let messages = cloud.sqs().receive(url, 10, 0, 600).await.expect("received");
        if messages.is_empty() {
            return bodies;
        }
        for message in messages {
            bodies.push(message.body);
            cloud.sqs().delete(url, &message.receipt).await.expect("deleted");
        }
    }
}
