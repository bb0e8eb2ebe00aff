//! `consign publish` on stores that are not ours and share no line with the local cloud: MiniStack, whose
//! S3 tells its queues what arrives, under policies that it enforces in its own way; SeaweedFS, which
//! tells nobody, has no KMS and is polled; and Ceph, whose copies overwrite and lose their tags besides.
//! What arrives is fetched by rclone, and every record checked by ssh-keygen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::ministack::{MiniStack, ROOT};
use crate::support::post::{Running, until};
use crate::support::{self, succeed};
use consign_testkit::ceph::{self, Ceph};
use consign_testkit::faults::{Faults, Rates};
use consign_testkit::judges;
use consign_testkit::payload;
use consign_testkit::random::Seed;
use consign_testkit::seaweed::{self, Seaweed};
use tokio::runtime::Runtime;

const REPOSITORY: &str = "acme-reports";
const INBOX: &str = "globex-reports-in";
const QUEUE: &str = "consign-acme-globex-reports";

/// One account, because both stores have one. `{route}` is how the key is rewritten.
fn exchange(route: &str) -> String {
    let party = |name: &str| {
        format!("[party.{name}]\naccount = \"000000000000\"\nprincipal = \"user/consign/{name}\"\n")
    };
    let parties: String = ["acme-lab", "acme", "globex"].map(party).concat();
    format!(
        r#"
version = 1
exchange = "acme-globex"
region = "eu-west-1"
{parties}
[repository.reports]
owner = "acme"
generator = "acme-lab"
publisher = "acme"
key = "globex"
bucket = "{REPOSITORY}"
[inbox.reports-in]
owner = "globex"
consumers = ["globex"]
bucket = "{INBOX}"
[route.reports]
from = "reports"
to = ["reports-in"]
key = "{route}"
carry = {{ tags = ["kind"] }}
"#
    )
}

/// A folder of the test's and a store: how every command here finds both.
struct Elsewhere<'a> {
    folder: &'a Path,
    endpoint: String,
    ca: Option<PathBuf>,
}

impl Elsewhere<'_> {
    fn place(&self, mut command: Command, [id, secret]: [&str; 2]) -> Command {
        command
            .current_dir(self.folder)
            .env("HOME", self.folder)
            .env("XDG_CONFIG_HOME", self.folder.join("config"))
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", id)
            .env("AWS_SECRET_ACCESS_KEY", secret);
        if let Some(ca) = &self.ca {
            command.env("AWS_CA_BUNDLE", ca);
        }
        command
    }

    fn consign(&self, key: [&str; 2], arguments: &[&str]) -> Command {
        let mut command = support::consign();
        command.args(arguments);
        self.place(command, key)
    }

    /// What the AWS CLI says, which must succeed.
    fn aws(&self, key: [&str; 2], arguments: &[&str]) -> String {
        let mut command = judges::command(&judges::find("aws").unwrap());
        // SQS alone does not take its endpoint from the environment.
        command.args(["--endpoint-url", &self.endpoint, "--output", "json"]).args(arguments);
        succeed(&mut self.place(command, key))
    }

    fn json(&self, key: [&str; 2], arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.aws(key, arguments)).unwrap()
    }

    /// A folder of files, each of which holds its own name.
    fn files(&self, folder: &str, names: &[String]) -> PathBuf {
        let folder = self.folder.join(folder);
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    /// The generator puts a folder of files.
    fn generate(&self, key: [&str; 2], folder: &str, names: &[String]) {
        let folder = self.files(folder, names).display().to_string();
        let to = format!("s3://{REPOSITORY}/");
        self.aws(key, &["s3", "cp", "--quiet", "--recursive", &folder, &to]);
    }

    fn publisher(&self, key: [&str; 2], arguments: &[&str]) -> Running {
        let fixed = ["publish", "--as", "acme", "--log-names"];
        let arguments: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
        let number = fs::read_dir(self.folder).unwrap().count();
        let log = self.folder.join(format!("publisher-{number}.log"));
        Running::start(self.consign(key, &arguments), log)
    }

    /// Everything in the inbox, as its consumer fetches it with rclone.
    fn fetched(&self, key: [&str; 2]) -> BTreeMap<String, Vec<u8>> {
        let folder = self.folder.join("fetched");
        let mut rclone = judges::command(&judges::find("rclone").unwrap());
        rclone
            .args(["copy", "--config", "", &format!("inbox:{INBOX}")])
            .arg(&folder)
            // Go takes no server's certificate for its authority's.
            .arg("--no-check-certificate")
            .args(["--retries", "1", "--low-level-retries", "2"])
            .env("RCLONE_CONFIG_INBOX_TYPE", "s3")
            .env("RCLONE_CONFIG_INBOX_PROVIDER", "Other")
            .env("RCLONE_CONFIG_INBOX_ENV_AUTH", "true")
            .env("RCLONE_CONFIG_INBOX_REGION", "eu-west-1")
            .env("RCLONE_CONFIG_INBOX_ENDPOINT", &self.endpoint);
        succeed(&mut self.place(rclone, key));
        let mut fetched = BTreeMap::new();
        let mut open = vec![folder.clone()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
                fetched.insert(name, fs::read(&path).unwrap());
            }
        }
        fs::remove_dir_all(folder).unwrap();
        fetched
    }

    /// What was delivered, by its key there: each place with one record, which acme has signed.
    fn delivered(&self, key: [&str; 2]) -> BTreeMap<String, Vec<u8>> {
        let mut fetched = self.fetched(key);
        let listed = succeed(&mut self.consign(key, &["keys", "list", "--json"]));
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let signers = self.folder.join("signers");
        fs::write(&signers, format!("acme {}\n", listed[0]["signer"].as_str().unwrap())).unwrap();
        let told: Vec<String> =
            fetched.keys().filter(|key| key.starts_with("deliveries/")).cloned().collect();
        let mut delivered = BTreeMap::new();
        for name in told.iter().filter(|name| name.ends_with(".json")) {
            let mut b3sum = Command::new("b3sum");
            let digest = support::succeed_with_input(b3sum.arg("--no-names"), &fetched[name]);
            let stem = name.strip_suffix("json").unwrap();
            let path = self.folder.join("record.sig");
            fs::write(&path, &fetched[&format!("{stem}{}.sig", digest.trim())]).unwrap();
            let mut verify = Command::new("ssh-keygen");
            verify.args(["-Y", "verify", "-I", "acme", "-n", "consign-delivery@1", "-f"]);
            verify.arg(&signers).arg("-s").arg(&path);
            support::succeed_with_input(&mut verify, &fetched[name]);
            let record: serde_json::Value = serde_json::from_slice(&fetched[name]).unwrap();
            let place = record["target"]["key"].as_str().unwrap();
            let content = fetched.remove(place).unwrap();
            assert!(delivered.insert(place.to_owned(), content).is_none(), "{place}: two records");
        }
        fetched.retain(|key, _| !key.starts_with("deliveries/"));
        assert!(fetched.is_empty(), "without a record: {fetched:?}");
        delivered
    }
}

fn each_holds_its_name(delivered: &BTreeMap<String, Vec<u8>>, names: &[String]) {
    let found: BTreeSet<&String> = delivered.keys().collect();
    assert_eq!(found, names.iter().collect(), "delivered, and expected");
    for (name, content) in delivered {
        assert_eq!(content, name.as_bytes());
    }
}

fn event(name: &str, bucket: &str, key: &str, version: &str) -> serde_json::Value {
    serde_json::json!({
        "eventSource": "aws:s3", "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "versionId": version}},
    })
}

fn count(publishers: &[Running], event: &str) -> usize {
    let mark = format!("\"event\":\"{event}\"");
    publishers.iter().map(|it| it.log().matches(&mark).count()).sum()
}

/// Whether a comparison has found so many records. A delivery whose last answer was lost is told of by
/// nobody, but its record is there.
fn found_recorded(publishers: &[Running], records: usize) -> bool {
    let mark = format!("\"recorded\":{records},");
    publishers.iter().any(|it| it.log().contains(&mark))
}

/// MiniStack's own events, two publishers under the policies that `apply` has made, and between the
/// events whatever a queue may hold. What MiniStack does not judge: it ignores `If-None-Match` on
/// `CopyObject`, and asks no KMS.
#[test]
fn what_ministack_tells_its_queue_is_delivered_once() {
    let (ministack, openssl, _, _, _, _) =
        consign_testkit::require!("ministack", "openssl", "aws", "rclone", "ssh-keygen", "b3sum");
    let cloud = MiniStack::start(&ministack, &openssl, &exchange("{key}"));
    let place = Elsewhere {
        folder: cloud.folder.path(),
        endpoint: cloud.endpoint.clone(),
        ca: Some(cloud.folder.path().join("ca.pem")),
    };
    succeed(&mut place.consign(ROOT, &["keys", "new", "acme"]));
    succeed(&mut place.consign(ROOT, &["apply", "--yes"]));
    let keys = ["acme-lab", "acme", "globex"].map(|user| {
        let made = place.json(ROOT, &["iam", "create-access-key", "--user-name", user]);
        ["AccessKeyId", "SecretAccessKey"]
            .map(|name| made["AccessKey"][name].as_str().unwrap().to_owned())
    });
    let [generator, publisher, consumer] = keys.each_ref().map(|[id, it]| [id.as_str(), it]);

    let names: Vec<String> = (0..30).map(|n| format!("scans/{n:02} a+b é%2F ~.txt")).collect();
    place.generate(generator, "first", &names);
    let head = ["s3api", "head-object", "--bucket", REPOSITORY, "--key", &names[0]];
    let version = place.json(publisher, &head)["VersionId"].as_str().unwrap().to_owned();
    let again =
        event("ObjectCreated:Put", REPOSITORY, "scans/00+a%2Bb+%C3%A9%252F+~.txt", &version);
    let hostile = [
        "no JSON at all".to_owned(),
        "[".repeat(50_000),
        r#"{"Records":[{"eventSource":"aws:s3","s3":{}}]}"#.to_owned(),
        serde_json::json!({"Records": [event("ObjectCreated:Put", "stranger", "k", "v")]})
            .to_string(),
        serde_json::json!({"Records": [event("ObjectRemoved:Delete", REPOSITORY, "k", "v")]})
            .to_string(),
        serde_json::json!({"Records": [event("ObjectCreated:Put", REPOSITORY, "gone", "v")]})
            .to_string(),
    ];
    let queue = queue_url(&place);
    forge(&place, &queue, &hostile);
    let publishers: Vec<Running> = (0..2).map(|_| place.publisher(publisher, &[])).collect();
    until("thirty deliveries", || count(&publishers, "delivered") >= names.len());
    // Told again when their records are there: before that, two copies at one moment would be two
    // versions here.
    let twice = serde_json::json!({"Records": [again, again]}).to_string();
    let notified = serde_json::json!({"Type": "Notification", "Message": twice});
    forge(&place, &queue, &[twice.clone(), notified.to_string()]);
    until("five messages aside", || count(&publishers, "put-aside") >= 5);
    let more: Vec<String> = (0..5).map(|n| format!("later/{n}")).collect();
    place.generate(generator, "second", &more);
    let all: Vec<String> = names.into_iter().chain(more).collect();
    until("the later five", || count(&publishers, "delivered") >= all.len());
    until("an empty queue", || waiting(&place, &queue) == 0);
    for running in publishers {
        let log = running.stop();
        assert!(!log.contains("\"event\":\"failed\""), "{log}");
    }
    each_holds_its_name(&place.delivered(consumer), &all);
    let dead =
        succeed(&mut place.consign(publisher, &["publish", "dead", "--as", "acme", "--json"]));
    let dead: serde_json::Value = serde_json::from_str(&dead).unwrap();
    let causes = dead.as_array().unwrap().iter().map(|it| &it["message"]["reasons"][0]["cause"]);
    let mut causes: Vec<&str> = causes.map(|cause| cause.as_str().unwrap()).collect();
    causes.sort_unstable();
    assert_eq!(causes, ["foreign", "source-gone", "unreadable", "unreadable", "unreadable"]);
    // Nobody has put anything twice.
    let versions = ["s3api", "list-object-versions", "--bucket", INBOX];
    let versions = place.json(ROOT, &versions);
    let objects = versions["Versions"].as_array().unwrap();
    let objects =
        objects.iter().filter(|it| !it["Key"].as_str().unwrap().starts_with("deliveries/"));
    assert_eq!(objects.count(), all.len());
}

fn queue_url(place: &Elsewhere<'_>) -> String {
    let told = place.json(ROOT, &["sqs", "get-queue-url", "--queue-name", QUEUE]);
    told["QueueUrl"].as_str().unwrap().to_owned()
}

fn waiting(place: &Elsewhere<'_>, queue: &str) -> u64 {
    let ask = ["sqs", "get-queue-attributes", "--attribute-names", "All", "--queue-url", queue];
    let told = place.json(ROOT, &ask);
    let number = |name: &str| told["Attributes"][name].as_str().unwrap().parse::<u64>().unwrap();
    number("ApproximateNumberOfMessages") + number("ApproximateNumberOfMessagesNotVisible")
}

/// Sends what S3 would not, which takes a queue without its policy: even MiniStack's root is refused.
fn forge(place: &Elsewhere<'_>, url: &str, bodies: &[String]) {
    let ask = ["sqs", "get-queue-attributes", "--attribute-names", "Policy", "--queue-url", url];
    let policy = place.json(ROOT, &ask)["Attributes"]["Policy"].as_str().unwrap().to_owned();
    let set = |policy: &str| {
        let attributes = serde_json::json!({"Policy": policy}).to_string();
        let set = ["sqs", "set-queue-attributes", "--queue-url", url, "--attributes", &attributes];
        place.aws(ROOT, &set);
    };
    set("");
    let entries = bodies.iter().enumerate();
    let entries: Vec<_> = entries
        .map(|(id, body)| serde_json::json!({"Id": id.to_string(), "MessageBody": body}))
        .collect();
    let file = place.folder.join("forged.json");
    fs::write(&file, serde_json::json!(entries).to_string()).unwrap();
    let entries = format!("file://{}", file.display());
    let sent = ["sqs", "send-message-batch", "--queue-url", url, "--entries", &entries];
    let sent = place.json(ROOT, &sent);
    assert_eq!(sent["Successful"].as_array().unwrap().len(), bodies.len(), "{sent}");
    set(&policy);
}

/// A store of one identity without queues, to which publishers go with `--poll` or `--backfill`.
struct Polled {
    address: SocketAddr,
    key: [&'static str; 2],
    /// What publishers must be told about it.
    options: &'static [&'static str],
}

impl Polled {
    fn seaweedfs(store: &Seaweed) -> Polled {
        let key = [seaweed::ACCESS_KEY_ID, seaweed::SECRET_ACCESS_KEY];
        Polled { address: store.address(), key, options: &[] }
    }

    fn ceph(store: &Ceph) -> Polled {
        let key = [ceph::ACCESS_KEY_ID, ceph::SECRET_ACCESS_KEY];
        Polled { address: store.address(), key, options: &["--look-first"] }
    }

    /// The exchange with its two buckets and the keys of its publisher.
    fn place<'a>(&self, folder: &'a Path, route: &str) -> Elsewhere<'a> {
        fs::write(folder.join("exchange.toml"), exchange(route)).unwrap();
        let place = Elsewhere { folder, endpoint: format!("http://{}", self.address), ca: None };
        succeed(&mut place.consign(self.key, &["keys", "new", "acme"]));
        for bucket in [REPOSITORY, INBOX] {
            place.aws(self.key, &["s3", "mb", &format!("s3://{bucket}")]);
        }
        place
    }

    /// What a comparison has delivered, and of how many objects.
    fn backfill(&self, place: &Elsewhere<'_>) -> (u64, u64) {
        let fixed = ["publish", "--as", "acme", "--backfill", "--json"];
        let in_parts = ["--single-copy-bytes-max", "5242880", "--part-bytes-min", "5242880"];
        let arguments = [&fixed[..], &in_parts, self.options].concat();
        let told = succeed(&mut place.consign(self.key, &arguments));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let number = |name: &str| told[0]["comparison"][name].as_u64().unwrap();
        (number("delivered"), number("objects"))
    }
}

/// Behind a line that loses requests, loses answers and says 503: polled again and again, every object
/// arrives once, and what somebody else has put is not overwritten.
fn polled_over_a_bad_line(runtime: &Runtime, store: &Polled) {
    let folder = tempfile::tempdir().unwrap();
    let place = store.place(folder.path(), "{key}");
    let admin = store.key;
    let names: Vec<String> = (0..25).map(|n| format!("scans/{n:02} a+b é%2F.txt")).collect();
    place.generate(admin, "first", &names);
    place.generate(admin, "taken", &["taken".to_owned()]);
    let theirs = place.files("theirs", &["theirs".to_owned()]).join("theirs");
    let taken = format!("s3://{INBOX}/taken");
    place.aws(admin, &["s3", "cp", "--quiet", &theirs.display().to_string(), &taken]);

    let rates = Rates {
        slow_down: 9,
        lost_request: 11,
        lost_answer: 7,
        delayed: 5,
        delay: Duration::from_millis(20),
    };
    let line = runtime.block_on(Faults::between(store.address, rates, Seed::new(5))).unwrap();
    let bad = Elsewhere { endpoint: line.endpoint(), ..place };
    let arguments = [&["--poll", "1s"], store.options].concat();
    let publishers: Vec<Running> = (0..2).map(|_| bad.publisher(admin, &arguments)).collect();
    until("twenty-five records", || found_recorded(&publishers, names.len()));
    let more: Vec<String> = (0..5).map(|n| format!("later/{n}")).collect();
    let place = Elsewhere { endpoint: format!("http://{}", store.address), ..bad };
    place.generate(admin, "second", &more);
    let all: Vec<String> = names.into_iter().chain(more).collect();
    until("the later five", || found_recorded(&publishers, all.len()));
    until("an alarm of each", || publishers.iter().all(|it| it.log().contains("\"conflict\"")));
    for running in publishers {
        let log = running.stop();
        let conflicts = log.lines().filter(|line| line.contains("\"conflict\""));
        let others: Vec<&str> = conflicts.filter(|line| !line.contains("taken")).collect();
        assert!(others.is_empty(), "only one place was taken: {others:?}");
    }
    assert!(line.injected() > 20, "{} faults", line.injected());
    let left = place.aws(admin, &["s3", "cp", "--quiet", &taken, "-"]);
    assert_eq!(left, "theirs");
    place.aws(admin, &["s3", "rm", "--quiet", &taken]);
    each_holds_its_name(&place.delivered(admin), &all);
    // What was in the way is gone: one comparison repairs it, and the next finds nothing to do.
    for delivered in [1, 0] {
        assert_eq!(store.backfill(&place).0, delivered);
    }
    let all: Vec<String> = all.into_iter().chain(["taken".to_owned()]).collect();
    each_holds_its_name(&place.delivered(admin), &all);
}

/// Buckets that keep versions: each version is delivered beside the others, in one request or in parts,
/// none of them twice; the consumer knows each by its record, and what somebody else has put by its
/// having none.
fn every_version_is_delivered(store: &Polled) {
    let folder = tempfile::tempdir().unwrap();
    // Version ids of Ceph may begin or end with a dot, which hides a file or is no name on Windows.
    let place = store.place(folder.path(), "{key}/v{version}.bin");
    let admin = store.key;
    for bucket in [REPOSITORY, INBOX] {
        let keep = ["s3api", "put-bucket-versioning", "--versioning-configuration"];
        place.aws(admin, &[&keep[..], &["Status=Enabled", "--bucket", bucket]].concat());
    }
    let mut expected = BTreeMap::new();
    for content in [b"one".to_vec(), b"two".to_vec(), payload::ramp(11 << 20)] {
        fs::write(place.folder.join("body"), &content).unwrap();
        let put =
            ["s3api", "put-object", "--bucket", REPOSITORY, "--key", "scan", "--body", "body"];
        let put = [&put[..], &["--tagging", "kind=ct&other=x"]].concat();
        let version = place.json(admin, &put)["VersionId"].as_str().unwrap().to_owned();
        expected.insert(format!("scan/v{version}.bin"), content);
    }
    for delivered in [3, 0] {
        assert_eq!(store.backfill(&place), (delivered, 3));
    }
    // Not assert_eq: a difference of eleven megabytes is not worth printing.
    assert!(place.delivered(admin) == expected, "something else was delivered");
    let versions = ["s3api", "list-object-versions", "--bucket", INBOX];
    let versions = place.json(admin, &versions);
    // A copy, a record and its signature each.
    assert_eq!(versions["Versions"].as_array().unwrap().len(), 9, "{versions}");
    let source = format!("{REPOSITORY}/scan");
    let by_hand = ["s3api", "copy-object", "--bucket", INBOX, "--key", "by-hand"];
    let labels = ["--tagging", "a=b", "--tagging-directive", "REPLACE", "--copy-source", &source];
    let replace = ["--metadata-directive", "REPLACE"];
    place.aws(admin, &[&by_hand[..], &labels, &replace].concat());
    let list = ["inbox", "list", "--as", "globex", "--json"];
    let listed = succeed(&mut place.consign(admin, &list));
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let standings: Vec<&str> = listed.iter().map(|it| it["standing"].as_str().unwrap()).collect();
    assert_eq!(standings, ["unrecorded", "delivered", "delivered", "delivered"]);
    let fetch = ["inbox", "fetch", "--as", "globex", "--into", "arrived"];
    succeed(&mut place.consign(admin, &fetch));
    let arrived = place.folder.join("arrived");
    for (key, content) in &expected {
        let tags = ["s3api", "get-object-tagging", "--bucket", INBOX, "--key", key];
        let tags = place.json(admin, &tags);
        let tags: Vec<_> = tags["TagSet"].as_array().unwrap().iter().map(|it| &it["Key"]).collect();
        assert_eq!(tags, ["consign-source", "kind"], "{key}");
        assert!(&fs::read(arrived.join(key)).unwrap() == content, "{key}: another content");
    }
    assert!(!arrived.join("by-hand").exists(), "fetched without a record");
}

#[test]
fn seaweedfs_is_polled_over_a_bad_line() {
    let (weed, _, _, _, _) =
        consign_testkit::require!("weed", "aws", "rclone", "ssh-keygen", "b3sum");
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(Seaweed::start(&weed)).unwrap();
    polled_over_a_bad_line(&runtime, &Polled::seaweedfs(&store));
}

#[test]
fn seaweedfs_delivers_every_version() {
    let (weed, _, _, _, _) =
        consign_testkit::require!("weed", "aws", "rclone", "ssh-keygen", "b3sum");
    let store = Runtime::new().unwrap().block_on(Seaweed::start(&weed)).unwrap();
    every_version_is_delivered(&Polled::seaweedfs(&store));
}

#[test]
fn ceph_is_polled_over_a_bad_line() {
    let _programs = consign_testkit::require!("ceph-mon", "ceph-osd", "radosgw");
    let _judges = consign_testkit::require!("aws", "rclone", "ssh-keygen", "b3sum");
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(Ceph::start()).unwrap();
    polled_over_a_bad_line(&runtime, &Polled::ceph(&store));
}

#[test]
fn ceph_delivers_every_version() {
    let _programs = consign_testkit::require!("ceph-mon", "ceph-osd", "radosgw");
    let _judges = consign_testkit::require!("aws", "rclone", "ssh-keygen", "b3sum");
    let store = Runtime::new().unwrap().block_on(Ceph::start()).unwrap();
    every_version_is_delivered(&Polled::ceph(&store));
}
