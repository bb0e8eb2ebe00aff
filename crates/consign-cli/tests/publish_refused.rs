//! Publishers that are refused by the services they need, in AWS's words and on the wire: too many requests, a copy
//! that fails after its 200, a clock that is wrong, a queue that is away, a key that is disabled. Afterwards
//! everything is delivered once, or lies in the queue for dead letters with its reason.

use crate::support::post::{Post, QUEUE, REPOSITORY, Running, Signal, until};
use crate::support::succeed;
use consign_testkit::refusals::{Asked, Refusal, Refusals};

const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
const KMS_THROTTLES: &str = "<Error><Code>KMS.ThrottlingException</Code><Message>You have exceeded the \
     rate at which you may call KMS.</Message></Error>";
const INTERNAL: &str =
    "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>";
const SKEWED: &str = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request \
     time and the current time is too large.</Message></Error>";
const EXPIRED: &str =
    "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
const ARCHIVED: &str = "<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the \
     object's storage class</Message><StorageClass>GLACIER</StorageClass></Error>";
const THROTTLED: &str =
    r#"{"__type":"com.amazon.coral.availability#ThrottlingException","message":"Rate exceeded"}"#;
const OVER_LIMIT: &str =
    r#"{"__type":"com.amazonaws.sqs#OverLimit","message":"Too many messages in flight"}"#;

/// What goes wrong, for a while.
const TROUBLES: [(&str, Refusal); 10] = [
    ("S3 wants fewer requests", refused(Asked::S3, 503, SLOW_DOWN)),
    ("KMS does, and S3 says so", refused(Asked::Copies, 400, KMS_THROTTLES)),
    ("copies fail after their 200", refused(Asked::Copies, 200, INTERNAL)),
    ("copies are made, and said to fail", done(Asked::Copies, 200, INTERNAL)),
    ("everything in S3 is done, and said to fail", done(Asked::S3, 500, INTERNAL)),
    ("the clock is wrong for S3", refused(Asked::S3, 403, SKEWED)),
    ("credentials are over, and others not there yet", refused(Asked::S3, 400, EXPIRED)),
    ("SQS wants fewer requests", refused(Asked::Queues, 400, THROTTLED)),
    ("too many messages are out", refused(Asked::Queues, 403, OVER_LIMIT)),
    ("nobody is there", refused(Asked::Anything, 503, "")),
];

const fn refused(of: Asked, status: u16, body: &'static str) -> Refusal {
    Refusal { of, status, body, done: false }
}

const fn done(of: Asked, status: u16, body: &'static str) -> Refusal {
    Refusal { of, status, body, done: true }
}

/// One publisher through all of it, and no trouble is a person's business.
#[test]
fn what_passes_delays_and_loses_nothing() {
    let post = Post::new(|text| text);
    let server = post.deployment.endpoint().trim_start_matches("https://").parse().unwrap();
    let root = post.deployment.path("cloud");
    let refusals = post.block_on(Refusals::before(server, &root)).unwrap();
    let arguments = ["--lease-seconds", "8", "--in-flight", "20"];
    let publisher = post.publisher_with(&[("AWS_ENDPOINT_URL", &refusals.endpoint())], &arguments);
    let mut keys = post.put_many(["before".to_owned()].into_iter());
    post.expect_records(1);
    for (number, (trouble, refusal)) in TROUBLES.into_iter().enumerate() {
        let before = refusals.refused();
        refusals.begin(refusal);
        keys.extend(post.put_many((0..6).map(|n| format!("{number}/{n}"))));
        until(trouble, || refusals.refused() >= before + 5);
        refusals.end();
        post.expect_records(keys.len());
        eprintln!("{trouble}: {} refused", refusals.refused() - before);
    }
    until("an empty queue", || post.waiting(QUEUE) == 0);
    let log = publisher.stop();
    assert!(!log.contains("\"level\":\"alarm\""), "{log}");
    assert_eq!(post.waiting(&format!("{QUEUE}-dead")), 0);
    post.expect_each_once(&keys);
}

/// A key that its owner disables while the publisher works, at either end: an alarm at once and no second try; when the
/// key is back the same publisher goes on, and a redrive beside it does the rest.
#[test]
fn a_key_that_is_disabled_for_a_while_is_an_alarm_and_no_loss() {
    let tool = consign_testkit::require!("aws");
    let post = Post::new(|text| text);
    let dead = format!("{QUEUE}-dead");
    let kms = |call: &str, key: &str| {
        let mut command = post.deployment.tool(&tool);
        let profile = ["--profile", "admin-222222222222"];
        succeed(command.args(["kms", call, "--key-id", key]).args(profile));
    };
    let theirs = post.reports_in_key.split_once('=').unwrap().1.to_owned();
    let administrator = post.cloud("admin-111111111111");
    let at_rest = post.block_on(administrator.s3().get_encryption(REPOSITORY)).unwrap();
    let source = at_rest.unwrap().kms_key.unwrap();
    assert_ne!(source, theirs);
    let publisher = post.publisher(&[]);
    let mut keys = post.put_many(["0/before".to_owned()].into_iter());
    post.expect_records(1);
    for (number, key) in [theirs, source.clone()].into_iter().enumerate() {
        let alarms = || publisher.log().matches("\"event\":\"alarm\"").count();
        let before = alarms();
        // What is encrypted under a disabled key cannot be put either.
        let waiting = stopped_while(&post, &publisher, || {
            keys.extend(post.put_many((0..5).map(|n| format!("{number}/{n}"))));
            kms("disable-key", &key);
        });
        until("an alarm for each", || alarms() == before + waiting);
        until("dead letters", || post.waiting(&dead) == waiting as u64);
        let log = publisher.log();
        assert_eq!(
            log.matches("\"code\":\"KMS.DisabledException\"").count(),
            before + waiting,
            "{log}"
        );
        assert!(!log.contains("\"event\":\"released\""), "{log}");
        kms("enable-key", &key);
        keys.extend(post.put_many([format!("{number}/after")].into_iter()));
        post.expect_records(keys.len() - waiting);
        let redriven = post.publish(&["redrive", "--only", "permanent"]);
        let expected = format!("{waiting} tried, {waiting} done, {waiting} deliveries");
        assert!(redriven.contains(&expected), "{redriven}");
        post.expect_records(keys.len());
    }
    publisher.stop();
    assert_eq!((post.waiting(QUEUE), post.waiting(&dead)), (0, 0));
    post.expect_each_once(&keys);
}

/// Whoever had it came to nothing, six times. The next one copies nothing any more, and puts it aside; a redrive begins anew.
#[test]
fn what_came_too_often_is_put_aside_and_a_redrive_delivers_it() {
    let post = Post::new(|text| text);
    let publisher = post.publisher(&[]);
    until("an empty queue", || post.waiting(QUEUE) == 0);
    publisher.stop();
    let keys = post.put_many(["often".to_owned()].into_iter());
    let (cloud, queue) = (post.cloud("acme"), post.queue(QUEUE));
    let mut received = 0;
    until("six who have it", || {
        received += post.block_on(cloud.sqs().receive(&queue, 1, 1, 0)).unwrap().len();
        received == 6
    });
    let publisher = post.publisher(&[]);
    until("a dead letter", || post.waiting(&format!("{QUEUE}-dead")) == 1);
    publisher.stop();
    assert_eq!((post.waiting(QUEUE), post.keys(&post.cloud("globex"), "")), (0, Vec::new()));
    let dead = post.publish(&["dead"]);
    assert!(dead.contains("tried 7 times without success"), "{dead}");
    let redriven = post.publish(&["redrive", "--only", "given-up"]);
    assert!(redriven.contains("1 tried, 1 done, 1 deliveries"), "{redriven}");
    post.expect_each_once(&keys);
}

/// It is in the repository and can be looked at, and S3 copies nothing of it until it is restored.
#[test]
fn what_lies_in_an_archive_is_delivered_once_it_is_restored() {
    let post = Post::new(|text| text);
    let server = post.deployment.endpoint().trim_start_matches("https://").parse().unwrap();
    let root = post.deployment.path("cloud");
    let refusals = post.block_on(Refusals::before(server, &root)).unwrap();
    refusals.begin(refused(Asked::Copies, 403, ARCHIVED));
    let publisher = post.publisher_with(&[("AWS_ENDPOINT_URL", &refusals.endpoint())], &[]);
    let keys = post.put_many(["old".to_owned()].into_iter());
    until("a dead letter", || post.waiting(&format!("{QUEUE}-dead")) == 1);
    let log = publisher.stop();
    assert_eq!(log.matches("\"event\":\"alarm\"").count(), 1, "{log}");
    assert!(log.contains("\"what\":\"archived\""), "{log}");
    assert_eq!(refusals.refused(), 1);
    let dead = post.publish(&["dead"]);
    assert!(dead.contains("restore-object"), "{dead}");
    let redriven = post.publish(&["redrive"]);
    assert!(redriven.contains("1 tried, 1 done, 1 deliveries"), "{redriven}");
    post.expect_each_once(&keys);
}

/// Does something while the publisher does nothing; how many messages it finds then.
fn stopped_while(post: &Post, publisher: &Running, work: impl FnOnce()) -> usize {
    publisher.signal(Signal::STOP);
    work();
    let waiting = post.waiting(QUEUE);
    publisher.signal(Signal::CONT);
    usize::try_from(waiting).unwrap()
}
