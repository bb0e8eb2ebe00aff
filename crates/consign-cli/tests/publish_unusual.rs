//! `consign publish` where things are not as they usually are: messages of every kind that a queue may hold,
//! repositories without versions, inboxes with a prefix, an end before the beginning, and a queue for dead
//! letters that is full of what nobody can deliver.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use crate::support::both;
use crate::support::post::{INBOX, Post, QUEUE, REPOSITORY, record, until};
use consign_cloud::s3::bucket::CreateBucket;
use consign_cloud::s3::{Encryption, PutObject};

fn as_it_is(text: String) -> String {
    text
}

impl Post {
    /// The queue for dead letters, by the id of each message its first cause.
    fn dead(&self) -> Vec<(String, String)> {
        let told: serde_json::Value =
            serde_json::from_str(&self.publish(&["dead", "--json"])).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let letters = told.as_array().unwrap().iter().map(|it| &it["message"]);
        letters.map(|it| (text(&it["id"]), text(&it["reasons"][0]["cause"]))).collect()
    }

    fn dead_causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = self.dead().into_iter().map(|(_, cause)| cause).collect();
        causes.sort();
        causes
    }

    /// `consign publish` with these arguments, which fails with this code; what it says.
    fn publish_fails(&self, code: i32, arguments: &[&str]) -> String {
        let fixed = ["publish", "--as", "acme", "--profile", "acme"];
        let output = self.deployment.consign(&[&fixed[..], arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", both(&output));
        both(&output)
    }
}

/// Every message that the parser's tests know, on a real queue at once: each is done with, what cannot be
/// read or is not there has its reason, and a real object in the middle arrives.
#[test]
fn a_queue_of_every_kind_of_message_is_emptied() {
    let post = Post::new(as_it_is);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consign-publisher/tests/events");
    let (mut bodies, mut aside) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let (expected, body) = text.split_once("---\n").unwrap();
        // Nothing of what these tell of is there: what is gone, or could not have a place, is put aside too.
        let is_put_aside =
            |line: &str| line.starts_with("malformed") || line.starts_with("created");
        // SQS takes no empty message.
        if !body.trim().is_empty() {
            aside += usize::from(expected.lines().any(is_put_aside));
            bodies.push(body.trim_end_matches('\n').replace("acme-scans", REPOSITORY));
        }
    }
    let middle = bodies.len() / 2;
    post.forge(QUEUE, &bodies[..middle]);
    let keys = post.put_many(["a b+c%/é 日本.txt".to_owned()].into_iter());
    post.forge(QUEUE, &bodies[middle..]);
    let publisher = post.publisher(&[]);
    until("an empty queue", || post.waiting(QUEUE) == 0);
    let log = publisher.stop();
    assert!(!log.contains("\"event\":\"released\""), "{log}");
    let causes: BTreeSet<String> = post.dead_causes().into_iter().collect();
    let expected = ["foreign", "source-gone", "unreadable", "unroutable"].map(str::to_owned);
    assert_eq!(causes, expected.into_iter().collect());
    assert_eq!(post.waiting(&format!("{QUEUE}-dead")), aside as u64);
    post.expect_each_once(&keys);
}

/// A repository that keeps no versions any more, and one that never did.
#[test]
fn a_repository_without_versions_is_delivered_by_its_etags() {
    for never in [false, true] {
        let post = Post::new(as_it_is);
        without_versions(&post, never);
        let keys = post.put_many(["a", "b", "c"].map(str::to_owned).into_iter());
        let mut told = record(REPOSITORY, "b", "", "ObjectCreated:Put");
        let again = |told: &serde_json::Value| serde_json::json!({"Records": [told]}).to_string();
        let without = again(&told);
        told["s3"]["object"]["versionId"] = "null".into();
        post.forge(QUEUE, &[without, again(&told)]);
        let publisher = post.publisher(&[]);
        until("an empty queue", || post.waiting(QUEUE) == 0);
        assert_eq!(publisher.log().matches("\"event\":\"delivered\"").count(), 3);
        let compared = post.publish(&["--backfill"]);
        assert!(compared.contains("3 objects, 3 recorded before, 0 delivered"), "{compared}");
        // Put again, it is another content, which its place has no room for.
        let lab = post.cloud("acme-lab");
        assert_eq!(post.put_with(&lab, "b", b"another", &[]).replace("null", ""), "");
        until("a conflict", || publisher.log().contains("\"cause\":\"conflict\""));
        until("an empty queue", || post.waiting(QUEUE) == 0);
        publisher.stop();
        assert_eq!(post.dead_causes(), ["conflict"]);
        let compared = post.publish_fails(1, &["--backfill"]);
        assert!(compared.contains("3 objects, 2 recorded before, 0 delivered"), "{compared}");
        post.expect_each_once(&keys);
    }
}

fn without_versions(post: &Post, never: bool) {
    let cloud = post.cloud("admin-111111111111");
    let s3 = cloud.s3();
    if !never {
        return post.block_on(s3.put_versioning(REPOSITORY, false)).unwrap();
    }
    let create = CreateBucket {
        bucket: REPOSITORY.to_owned(),
        account_regional: true,
        owner_enforced: true,
        ..CreateBucket::default()
    };
    post.block_on(async {
        let policy = s3.get_bucket_policy(REPOSITORY).await?.unwrap_or_default();
        let encryption = s3.get_encryption(REPOSITORY).await?;
        let told = s3.bucket_notifications(REPOSITORY, None).await?;
        s3.delete_bucket(REPOSITORY).await?;
        s3.create_bucket(&create).await?;
        if let Some(encryption) = encryption {
            s3.put_encryption(REPOSITORY, &encryption).await?;
        }
        s3.put_bucket_policy(REPOSITORY, &policy).await?;
        s3.put_bucket_notifications(REPOSITORY, None, &told).await
    })
    .unwrap();
}

/// Where an inbox has a prefix, everything of the exchange is below it: what is delivered, its records, and
/// what is said about them; a neighbour's is not seen.
#[test]
fn an_inbox_with_a_prefix_keeps_everything_below_it() {
    let prefix = "[inbox.reports-in]\nprefix = \"from-acme/\"\n";
    let post = Post::new(|text| {
        text.replace("# prefix = \"\"", "").replace("[inbox.reports-in]\n", prefix)
            + "key = \"new/{key}\"\n"
    });
    post.deployment.run(&["keys", "new", "globex"]);
    let inbox = |party: &str, arguments: &[&str]| {
        let who = ["--as", party, "--profile", party];
        let said = post.deployment.run(&[&["inbox"], arguments, &who[..]].concat());
        serde_json::from_str::<serde_json::Value>(&said).unwrap_or_default()
    };
    let publisher = post.publisher(&["--fetched-within", "1s"]);
    post.put_many(["a/1", "2"].map(str::to_owned).into_iter());
    until("two deliveries", || publisher.log().matches("\"event\":\"delivered\"").count() == 2);
    until("an unfetched delivery", || publisher.log().contains("not-fetched"));
    publisher.stop();
    let consumer = post.cloud("globex");
    let theirs = PutObject {
        bucket: INBOX.to_owned(),
        key: "deliveries/not-ours.json".to_owned(),
        body: b"{}".to_vec().into(),
        encryption: Some(Encryption::SseS3),
        ..PutObject::default()
    };
    let administrator = post.cloud("admin-222222222222");
    let policy = post.block_on(administrator.s3().get_bucket_policy(INBOX)).unwrap().unwrap();
    post.block_on(administrator.s3().delete_bucket_policy(INBOX)).unwrap();
    post.block_on(administrator.s3().put_object(theirs)).unwrap();
    post.block_on(administrator.s3().put_bucket_policy(INBOX, &policy)).unwrap();
    let standings = |party: &str, what: &str| -> Vec<(String, String)> {
        let told = inbox(party, &[what, "--json"]);
        let text = |it: &serde_json::Value| it.as_str().unwrap_or_default().to_owned();
        let all = told.as_array().unwrap().iter();
        all.map(|it| (text(&it["key"]), text(&it["standing"]))).collect()
    };
    let listed = |standing: &str| {
        ["new/2", "new/a/1"].map(|key| (format!("from-acme/{key}"), standing.to_owned())).to_vec()
    };
    assert_eq!(standings("globex", "list"), listed("delivered"));
    inbox("globex", &["fetch", "--into", "arrived"]);
    for (file, content) in [("new/a/1", "a/1"), ("new/2", "2")] {
        let path = post.deployment.path("arrived").join(file);
        assert_eq!(std::fs::read(path).unwrap(), content.as_bytes());
    }
    let ids = inbox("globex", &["list", "--json"]);
    inbox("globex", &["ack", ids[0]["id"].as_str().unwrap()]);
    inbox("globex", &["ack", "--all"]);
    assert_eq!(standings("globex", "list"), listed("acknowledged"));
    let heard: Vec<String> =
        standings("acme", "acknowledgements").into_iter().map(|(_, standing)| standing).collect();
    assert_eq!(heard, ["acknowledged", "acknowledged"]);
    let keys = post.keys(&consumer, "");
    let below = keys.iter().filter(|key| key.starts_with("from-acme/")).count();
    // Two objects; record and acknowledgement of each with its signature; and the neighbour's.
    assert_eq!((below, keys.len()), (10, 11), "{keys:?}");
    assert_eq!(standings("globex", "list").len(), 2);
    // A comparison looks there as well.
    let compared = post.publish(&["--backfill"]);
    assert!(compared.contains("2 objects, 2 recorded before, 0 delivered"), "{compared}");
}

/// Asked to stop before it has reached anybody, it ends as it does later.
#[test]
fn a_publisher_ends_before_it_has_begun() {
    let post = Post::new(as_it_is);
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", silent.local_addr().unwrap());
    let publisher = post.publisher_with(&[("AWS_ENDPOINT_URL", &endpoint)], &[]);
    let _stream = silent.accept().unwrap();
    publisher.stop_now();
}

/// Its signing key is not in the key folder: without a word it does not start, and with one it signs as ever.
#[test]
fn a_publisher_signs_with_the_key_that_it_is_told() {
    let post = Post::new(as_it_is);
    let elsewhere = post.deployment.path("kept/elsewhere");
    std::fs::create_dir(elsewhere.parent().unwrap()).unwrap();
    let in_folder = post.deployment.path("config/consign/keys/acme.signer");
    std::fs::rename(&in_folder, &elsewhere).unwrap();
    let keys = post.put_many(["signed".to_owned()].into_iter());
    let refused = post.publish_fails(2, &["--backfill"]);
    assert!(refused.contains("no signing key of acme") && refused.contains("CONSIGN_SIGNER"));
    let signer = [("CONSIGN_SIGNER", elsewhere.to_str().unwrap())];
    let publisher = post.publisher_with(&signer, &[]);
    post.expect_records(1);
    publisher.stop();
    std::fs::rename(&elsewhere, &in_folder).unwrap();
    post.expect_each_once(&keys);
}

/// More dead letters than can be tried within one lease: each is tried once, however often those that stay
/// come again meanwhile. What can never be delivered is thrown away by its id.
#[test]
fn a_redrive_that_outlasts_its_lease_tries_everything_once() {
    let post = Post::new(as_it_is);
    let dead = format!("{QUEUE}-dead");
    let hopeless: Vec<String> = (0..400).map(|n| format!("no event {n}")).collect();
    let version = post.put("last", b"last");
    let last = record(REPOSITORY, "last", &version, "ObjectCreated:Put");
    post.forge(&dead, &hopeless);
    post.forge(&dead, &[serde_json::json!({"Records": [last]}).to_string()]);
    let told = post.publish_fails(1, &["redrive", "--lease-seconds", "3", "--json"]);
    let told: serde_json::Value =
        serde_json::Deserializer::from_str(&told).into_iter().next().unwrap().unwrap();
    let count = |name: &str| told[0]["redriven"][name].as_u64().unwrap();
    assert_eq!(["tried", "done", "kept", "delivered"].map(count), [401, 1, 400, 1], "{told}");
    assert_eq!(post.delivered()["last"], b"last");
    // Nothing is held any longer.
    let letters = post.dead();
    assert_eq!(letters.len(), hopeless.len());
    let ids: Vec<&str> = letters.iter().map(|(id, _)| id.as_str()).collect();
    let unasked = post.publish_fails(2, &["dead", "--discard", ids[0]]);
    assert!(unasked.contains("--yes"), "{unasked}");
    let unknown = post.publish_fails(5, &["dead", "--discard", ids[0], "--discard", "x", "--yes"]);
    assert!(unknown.contains("has the id \"x\""), "{unknown}");
    assert_eq!(post.waiting(&dead), 400);
    let done = post.publish(&["dead", "--discard", ids[0], "--discard", ids[399], "--yes"]);
    assert!(done.contains("2 messages are discarded"), "{done}");
    let left: Vec<String> = post.dead().into_iter().map(|(id, _)| id).collect();
    assert_eq!(left.len(), 398);
    assert!(!left.contains(&ids[0].to_owned()) && !left.contains(&ids[399].to_owned()));
}
