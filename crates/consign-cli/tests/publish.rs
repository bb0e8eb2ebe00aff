//! `consign publish` as its users run it: publishers in processes of their own, the real policies of both
//! organisations, and a consumer who reads what arrives and checks every record.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use crate::support::post::{INBOX, Post, QUEUE, REPOSITORY, Signal, record, signal, until};
use crate::support::{both, succeed};
use consign_cloud::s3::GetObject;

fn as_it_is(text: String) -> String {
    text
}

/// Three publishers on one queue, each event told again by others in other wrappings, and between them
/// whatever a queue may hold: every object arrives once, and nothing blocks.
#[test]
fn several_publishers_deliver_each_object_once() {
    let post = Post::new(as_it_is);
    let keys = post.put_many((0..40).map(|n| format!("scans/{n:03} é+%.txt")));
    let version = post.put("scans/known", b"scans/known");
    let told = record(REPOSITORY, "scans/known", &version, "ObjectCreated:Put");
    let gone = record(REPOSITORY, "scans/gone", &version, "ObjectCreated:Put");
    let foreign = record("somebody-elses", "k", "v", "ObjectCreated:Put");
    let removed = record(REPOSITORY, "scans/known", &version, "ObjectRemoved:Delete");
    let direct =
        |records: Vec<&serde_json::Value>| serde_json::json!({"Records": records}).to_string();
    let bridged = serde_json::json!({
        "source": "aws.s3", "detail-type": "Object Created",
        "detail": {"bucket": {"name": REPOSITORY},
                   "object": {"key": "scans/known", "version-id": version}},
    });
    let notified = serde_json::json!({"Type": "Notification", "Message": direct(vec![&told])});
    post.forge(
        QUEUE,
        &[
            "not JSON".to_owned(),
            "{}".to_owned(),
            "[".repeat(100_000),
            r#"{"Event":"s3:TestEvent"}"#.to_owned(),
            direct(vec![&removed]),
            direct(vec![&foreign]),
            direct(vec![&gone]),
            direct(vec![&serde_json::json!({"eventSource": 5}), &told, &told]),
            direct(vec![&told]),
            notified.to_string(),
            bridged.to_string(),
        ],
    );
    let arguments = ["--lease-seconds", "6", "--in-flight", "10", "--key", &post.reports_in_key];
    let publishers: Vec<_> = (0..3).map(|_| post.publisher(&arguments)).collect();
    post.expect_records(keys.len() + 1);
    until("an empty queue", || post.waiting(QUEUE) == 0);
    let logs: Vec<String> = publishers.into_iter().map(|it| it.stop()).collect();
    let delivered: usize =
        logs.iter().map(|log| log.matches("\"event\":\"delivered\"").count()).sum();
    assert!(delivered > keys.len(), "{delivered}");
    // Not JSON, an empty object, brackets, a stranger's bucket, what is gone, a damaged record.
    let dead = post.publish(&["dead", "--json"]);
    let dead: serde_json::Value = serde_json::from_str(&dead).unwrap();
    let mut causes: Vec<&str> = dead
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["message"]["reasons"][0]["cause"].as_str().unwrap())
        .collect();
    causes.sort_unstable();
    let expected =
        ["foreign", "source-gone", "unreadable", "unreadable", "unreadable", "unreadable"];
    assert_eq!(causes, expected, "{dead:#}");
    let all: Vec<String> = keys.into_iter().chain(["scans/known".to_owned()]).collect();
    post.expect_each_once(&all);
}

/// Objects above a size are copied in parts by S3; the limit is lowered here.
#[test]
fn a_large_object_is_copied_in_parts() {
    let post = Post::new(as_it_is);
    let content: Vec<u8> = (0..(13 << 20) + 7_u32).map(|at| (at % 251) as u8).collect();
    post.put("large.bin", &content);
    let (whole, part) = ((6 << 20).to_string(), (5 << 20).to_string());
    let publisher = post.publisher(&["--single-copy-bytes-max", &whole, "--part-bytes-min", &part]);
    post.expect_records(1);
    publisher.stop();
    assert!(post.delivered()["large.bin"] == content, "another content");
}

/// A key that cannot be used is told at once, by the command too; what it kept back is delivered later.
#[test]
fn an_unusable_key_is_an_alarm_and_then_a_redrive() {
    let post = Post::new(as_it_is);
    let theirs = post.cloud("admin-222222222222");
    let key = post.reports_in_key.split_once('=').unwrap().1.to_owned();
    post.put("before.txt", b"before.txt");
    // A key on its way out is of no more use than a disabled one.
    post.block_on(theirs.kms().schedule_deletion(&key, 7)).unwrap();
    let alarms = post.deployment.path("alarms.jsonl");
    let command = format!("cat >> '{0}'; echo >> '{0}'", alarms.display());
    let publisher = post.publisher(&["--alarm-exec", &command]);
    until("an alarm", || {
        std::fs::read_to_string(&alarms).is_ok_and(|it| it.contains("before.txt"))
    });
    until("a dead letter", || post.waiting(&format!("{QUEUE}-dead")) == 1);
    let log = publisher.stop();
    assert!(!log.contains("\"event\":\"released\""), "it was tried again: {log}");
    let alarm = std::fs::read_to_string(&alarms).unwrap();
    let alarm: serde_json::Value = serde_json::from_str(alarm.lines().next().unwrap()).unwrap();
    assert_eq!(alarm["alarm"], "refused", "{alarm}");
    assert_eq!(alarm["cause"], "permanent", "{alarm}");
    assert_eq!(alarm["what"], "key-unusable", "{alarm}");
    // As long as it is so, nothing changes.
    let failed = post
        .deployment
        .consign(&["publish", "redrive", "--as", "acme", "--profile", "acme"])
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", both(&failed));
    assert_eq!(post.waiting(&format!("{QUEUE}-dead")), 1);
    post.block_on(theirs.kms().cancel_deletion(&key)).unwrap();
    post.block_on(theirs.kms().enable_key(&key)).unwrap();
    let dry = post.publish(&["redrive", "--dry-run"]);
    assert!(dry.contains("permanent") && dry.contains("before.txt"), "{dry}");
    let other = post.publish(&["redrive", "--only", "conflict"]);
    assert!(other.contains("0 tried") && other.contains("1 passed over"), "{other}");
    let done = post.publish(&["redrive", "--only", "permanent"]);
    assert!(done.contains("1 tried, 1 done, 1 deliveries"), "{done}");
    assert_eq!(post.waiting(&format!("{QUEUE}-dead")), 0);
    post.expect_each_once(&["before.txt".to_owned()]);
}

/// Without a queue's help: the repository is listed, and what has no record is delivered.
#[test]
fn a_comparison_repairs_what_is_missing() {
    let post = Post::new(as_it_is);
    let keys = post.put_many((0..25).map(|n| format!("r{n:02}")));
    let compare = |arguments: &[&str]| -> serde_json::Value {
        let fixed = ["--backfill", "--json"];
        let arguments: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
        serde_json::from_str(&post.publish(&arguments)).unwrap()
    };
    let counts = |it: &serde_json::Value| {
        let it = &it[0]["comparison"];
        ["objects", "recorded", "delivered", "failed"].map(|name| it[name].as_u64().unwrap())
    };
    assert_eq!(counts(&compare(&[])), [25, 0, 25, 0]);
    // In ranges of three records.
    assert_eq!(counts(&compare(&["--records-max", "3"])), [25, 25, 0, 0]);
    let administrator = post.cloud("admin-222222222222");
    let ids = post.record_ids(&post.cloud("globex"));
    for id in &ids[..7] {
        let key = id.record_key("");
        let deleted = administrator.s3().delete_object(INBOX, &key, None);
        post.block_on(deleted).unwrap();
    }
    post.put_many((25..27).map(|n| format!("r{n:02}")));
    assert_eq!(counts(&compare(&["--records-max", "3"])), [27, 18, 9, 0]);
    let all: Vec<String> = keys.into_iter().chain(["r25".to_owned(), "r26".to_owned()]).collect();
    post.expect_each_once(&all);
    // The queue still tells of all of them: nothing comes of it.
    let publisher = post.publisher(&[]);
    until("an empty queue", || post.waiting(QUEUE) == 0);
    let log = publisher.stop();
    assert!(!log.contains("\"event\":\"delivered\""), "{log}");
    // And a publisher that only lists finds what comes meanwhile.
    let polling = post.publisher(&["--poll", "1s"]);
    post.put("late", b"late");
    post.expect_records(28);
    polling.stop();
}

/// Metrics and health, silence that is told of, and an end that finishes what was begun.
#[test]
fn a_publisher_says_how_it_is() {
    let post = Post::new(as_it_is);
    let publisher = post.publisher(&[
        "--metrics",
        "127.0.0.1:0",
        "--expect-every",
        "2s",
        "--fetched-within",
        "2s",
    ]);
    let address = publisher.line("metrics")["address"].as_str().unwrap().to_owned();
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/healthz").starts_with("HTTP/1.1 200"), "{}", get("/healthz"));
    until("a silence", || publisher.log().contains("nothing-delivered"));
    post.put_many((0..5).map(|n| format!("m{n}")));
    post.expect_records(5);
    until("deliveries counted", || {
        get("/metrics").contains("consign_publish_deliveries_total 5\n")
    });
    until("an unfetched delivery", || publisher.log().contains("not-fetched"));
    let metrics = get("/metrics");
    for expected in [
        "# TYPE consign_publish_deliveries_total counter",
        "consign_publish_alarms_total{alarm=\"nothing-delivered\"} ",
        "consign_publish_healthy 1",
        "consign_publish_in_flight 0",
    ] {
        assert!(metrics.contains(expected), "{expected}\n{metrics}");
    }
    assert!(get("/other").starts_with("HTTP/1.1 404"));
    publisher.stop();
}

/// Without `--log-names` no key comes into a log, whatever fails.
#[test]
fn names_stay_out_of_the_log() {
    let post = Post::new(as_it_is);
    post.put("patient-4711.txt", b"x");
    post.forge(
        QUEUE,
        &[serde_json::json!({"Records": [
            record(REPOSITORY, "patient-4712.txt", "v", "ObjectCreated:Put"),
            record(REPOSITORY, "../patient-4713.txt", "v", "ObjectCreated:Put"),
        ]})
        .to_string()],
    );
    let output = post.deployment.path("plain.log");
    let mut child = post
        .deployment
        .consign(&["publish", "--as", "acme", "--profile", "acme"])
        .stderr(std::fs::File::create(&output).unwrap())
        .spawn()
        .unwrap();
    post.expect_records(1);
    until("an empty queue", || post.waiting(QUEUE) == 0);
    child.kill().unwrap();
    child.wait().unwrap();
    let log = std::fs::read_to_string(&output).unwrap();
    assert!(log.contains("\"event\":\"delivered\"") && log.contains("put-aside"), "{log}");
    assert!(!log.contains("patient") && !log.contains(REPOSITORY), "{log}");
}

/// Routes by prefix, suffix and tags, one object to two places, another to none; the day is the object's.
#[test]
fn routes_decide_where_an_object_goes() {
    let post = Post::new(|text| {
        text + "prefix = \"final/\"\ntags = { kind = \"report\" }\nkey = \"new/{date}/{rest}\"\n\n\
                [route.archive]\nfrom = \"reports\"\nto = [\"reports-in\"]\nsuffix = \".pdf\"\n\
                key = \"all/{version}/{name}\"\n"
    });
    let generator = post.cloud("acme-lab");
    let report = [("kind", "report")];
    let first = post.put_with(&generator, "final/a.pdf", b"final/a.pdf", &report);
    let second = post.put_with(&generator, "draft/b.pdf", b"draft/b.pdf", &[]);
    post.put_with(&generator, "final/c.txt", b"final/c.txt", &[]);
    let day = || consign_model::Date::from_unix_ms(now_ms());
    let before = day();
    let publisher = post.publisher(&[]);
    until("an empty queue", || post.waiting(QUEUE) == 0);
    let log = publisher.stop();
    let unrouted: Vec<&str> = log.lines().filter(|it| it.contains("unrouted")).collect();
    assert!(matches!(unrouted.as_slice(), [one] if one.contains("final/c.txt")), "{unrouted:?}");
    let delivered = post.delivered();
    assert_eq!(delivered.len(), 3, "{:?}", delivered.keys());
    assert_eq!(delivered[&format!("all/{first}/a.pdf")], b"final/a.pdf");
    assert_eq!(delivered[&format!("all/{second}/b.pdf")], b"draft/b.pdf");
    // Midnight may pass between the two.
    let keys = [before, day()].map(|day| format!("new/{day}/a.pdf"));
    assert!(keys.iter().any(|key| delivered.contains_key(key)), "{:?}", delivered.keys());
    // A comparison comes to the same, tags and days and all.
    let compared = post.publish(&["--backfill"]);
    assert!(compared.contains("3 objects, 3 recorded before, 0 delivered now"), "{compared}");
}

/// What a route names goes along, by one request and in parts, as far as it is there; what it does not
/// name stays behind, and by the other route everything does.
#[test]
fn what_a_route_names_goes_along() {
    let tool = consign_testkit::require!("aws");
    let post = Post::new(|text| {
        text + "key = \"all/{key}\"\ncarry = { metadata = [\"Patient-Class\", \"ward\"], tags = [\"kind\", \"data class\"] }\n\
                [route.bare]\nfrom = \"reports\"\nto = [\"reports-in\"]\nkey = \"bare/{key}\"\n"
    });
    let aws = |profile: &str, arguments: &[&str]| {
        let mut command = post.deployment.tool(&tool);
        command.arg("s3api").args(arguments).args(["--profile", profile]);
        succeed(&mut command)
    };
    let put = |key: &str, content: &[u8], labels: &[&str]| {
        let file = post.deployment.file("to-put", content);
        let fixed = ["put-object", "--bucket", REPOSITORY, "--key", key, "--content-type"];
        let file = ["text/x-report", "--body", file.to_str().unwrap()];
        aws("acme-lab", &[&fixed[..], &file[..], labels].concat());
    };
    let labels = [
        "--metadata",
        "Patient-Class=in & out,secret=s",
        "--tagging",
        "kind=a%2Bb&data%20class=3&secret=s",
    ];
    let large = vec![b'l'; (7 << 20) + 3];
    put("small", b"small", &labels);
    post.publish(&["--backfill"]);
    put("large", &large, &labels);
    put("plain", b"plain", &[]);
    let (whole, part) = ((6 << 20).to_string(), (5 << 20).to_string());
    let publisher = post.publisher(&["--single-copy-bytes-max", &whole, "--part-bytes-min", &part]);
    post.expect_records(6);
    publisher.stop();
    assert!(post.read(&post.cloud("globex"), "all/large") == large, "another content");
    let read = |profile: &str, call: &str, key: &str| -> serde_json::Value {
        let said = aws(profile, &[call, "--bucket", INBOX, "--key", key]);
        serde_json::from_str(&said).unwrap()
    };
    let class = ("patient-class", "in & out");
    let tags = [("data class", "3"), ("kind", "a+b")];
    for (key, metadata, tags) in [
        ("all/small", &[class][..], &tags[..]),
        ("all/large", &[class], &tags),
        ("all/plain", &[], &[]),
        ("bare/small", &[], &[]),
        ("bare/large", &[], &[]),
    ] {
        let head = read("globex", "head-object", key);
        let mut found: BTreeMap<&str, &str> =
            head["Metadata"].as_object().unwrap().iter().map(|(k, v)| (&**k, text(v))).collect();
        assert!(found.remove("consign-source").unwrap().starts_with("s3://"), "{head:#}");
        assert_eq!(found, metadata.iter().copied().collect(), "{key}");
        let tagging = read("acme", "get-object-tagging", key);
        let set = tagging["TagSet"].as_array().unwrap();
        let mut found: BTreeMap<&str, &str> =
            set.iter().map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect();
        assert_eq!(found.remove("consign-source").unwrap().len(), 64, "{tagging:#}");
        assert_eq!(found, tags.iter().copied().collect(), "{key}");
    }
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

/// A store that does not answer does not keep a publisher from ending, and nothing is lost by it.
#[test]
fn a_publisher_ends_although_nobody_answers() {
    let post = Post::new(as_it_is);
    let keys = post.put_many((0..20).map(|n| format!("d{n:02}")));
    let mut publisher = post.publisher(&["--drain", "1s", "--lease-seconds", "4"]);
    post.expect_records(1);
    signal(post.deployment.cloud_id(), Signal::STOP);
    publisher.terminate();
    let status = publisher.wait();
    signal(post.deployment.cloud_id(), Signal::CONT);
    assert_eq!(status.code(), Some(0), "{}", publisher.log());
    let publisher = post.publisher(&[]);
    post.expect_records(keys.len());
    until("an empty queue", || post.waiting(QUEUE) == 0);
    publisher.stop();
    post.expect_each_once(&keys);
}

/// From the daemon into a quarantine, past a scanner, to a consumer, and back to the publisher as an
/// acknowledgement. As many labels go along as may, and the verdict still finds its place beside them.
#[test]
fn what_is_delivered_into_quarantine_is_scanned_fetched_and_acknowledged() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let post = Post::new(|text| {
        text.replace("# quarantine = \"scanner\"", "quarantine = \"scanner\"")
            + &format!("carry = {{ tags = {names:?} }}\n")
            + "[party.scanner]\naccount = \"222222222222\"\nprincipal = \"user/consign/scanner\"\n"
    });
    let inbox = |party: &str, arguments: &[&str]| {
        let who = ["--as", party, "--profile", party];
        post.deployment.consign(&[&["inbox"], arguments, &who[..]].concat()).output().unwrap()
    };
    let standing = |party: &str, what: &str| {
        let said = inbox(party, &[what, "--json"]);
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        said[0]["standing"].as_str().unwrap().to_owned()
    };
    post.deployment.run(&["keys", "new", "globex"]);
    let publisher = post.publisher(&["--fetched-within", "1s"]);
    let labels: Vec<(&str, &str)> = names.iter().map(|name| (*name, "x")).collect();
    post.put_with(&post.cloud("acme-lab"), "scan", b"scan", &labels);
    post.expect_records(1);
    until("an unfetched delivery", || publisher.log().contains("not-fetched"));
    publisher.stop();
    assert_eq!(standing("globex", "list"), "quarantined");
    assert_eq!(standing("acme", "acknowledgements"), "waiting");
    let early = inbox("globex", &["fetch", "--into", "arrived", "--ack"]);
    assert!(both(&early).contains("1 not ready"), "{}", both(&early));
    assert!(!post.deployment.path("arrived/scan").exists());
    let scanned = inbox("scanner", &["scan", "--scan-exec", "grep -q scan"]);
    assert_eq!(scanned.status.code(), Some(0), "{}", both(&scanned));
    assert_eq!(standing("globex", "list"), "delivered");
    let bucket = INBOX.to_owned();
    let object = GetObject { bucket, key: "scan".to_owned(), ..GetObject::default() };
    let (tags, _) = post.block_on(post.cloud("acme").s3().get_object_tags(&object)).unwrap();
    assert_eq!(tags.len(), names.len() + 2, "{tags:?}");
    let fetched = inbox("globex", &["fetch", "--into", "arrived", "--ack"]);
    assert_eq!(fetched.status.code(), Some(0), "{}", both(&fetched));
    assert_eq!(std::fs::read(post.deployment.path("arrived/scan")).unwrap(), b"scan");
    assert_eq!(standing("acme", "acknowledgements"), "acknowledged");
    // It looks at both folders before it says that nothing comes: then it knows of nothing unfetched.
    let watching = post.publisher(&["--fetched-within", "1s", "--expect-every", "1s"]);
    until("a silence", || watching.log().contains("nothing-delivered"));
    let log = watching.stop();
    assert!(!log.contains("not-fetched"), "{log}");
}

/// AWS Lambda's runtime interface, as its developer guide describes it, on loopback.
#[test]
fn a_function_answers_for_each_message() {
    let post = Post::new(as_it_is);
    // As Lambda starts it: by its name, without a word.
    let bootstrap = post.deployment.path("bootstrap");
    std::fs::copy(env!("CARGO_BIN_EXE_consign"), &bootstrap).unwrap();
    let mut named = post.deployment.tool(&bootstrap);
    named.env("CONSIGN_AS", "acme").env("AWS_PROFILE", "acme");
    answers_for_each_message(&post, named, 1);
    let told = ["publish", "--as", "acme", "--profile", "acme", "--lambda"];
    answers_for_each_message(&post, post.deployment.consign(&told), 2);
}

fn answers_for_each_message(post: &Post, mut command: Command, dead: u64) {
    let key = format!("scan-{dead}");
    let version = post.put(&key, b"scan");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = listener.local_addr().unwrap().to_string();
    let mut function = command.env("AWS_LAMBDA_RUNTIME_API", &api).spawn().unwrap();
    let message = |id: &str, queue: &str, body: &str| {
        serde_json::json!({
            "messageId": id, "receiptHandle": "r", "body": body,
            "attributes": {"ApproximateReceiveCount": "1"},
            "eventSource": "aws:sqs", "eventSourceARN": format!("arn:aws:sqs:eu-west-1:1:{queue}"),
        })
    };
    let arrived = record(REPOSITORY, &key, &version, "ObjectCreated:Put");
    let arrived = serde_json::json!({"Records": [arrived]}).to_string();
    let event = serde_json::json!({"Records": [
        message("good", QUEUE, &arrived),
        message("bad", QUEUE, "no event"),
        message("other", "another-queue", &arrived),
    ]});
    invoke(&listener, "i-1", &event.to_string());
    let (path, answer) = answered(&listener);
    assert_eq!(path, "/2018-06-01/runtime/invocation/i-1/response");
    let again: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let expected = serde_json::json!({"batchItemFailures": [{"itemIdentifier": "other"}]});
    assert_eq!(again, expected);
    assert_eq!(post.waiting(&format!("{QUEUE}-dead")), dead);
    assert_eq!(post.delivered()[&key], b"scan");
    invoke(&listener, "i-2", "[]");
    let (path, _) = answered(&listener);
    assert_eq!(path, "/2018-06-01/runtime/invocation/i-2/error");
    function.kill().unwrap();
    function.wait().unwrap();
}

/// Answers the function's question for what is next.
fn invoke(listener: &TcpListener, id: &str, event: &str) {
    let (mut stream, _) = listener.accept().unwrap();
    let head = head(&mut stream);
    assert!(head.starts_with("GET /2018-06-01/runtime/invocation/next "), "{head}");
    let deadline = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let deadline_ms = deadline.as_millis() + 60_000;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {id}\r\n\
         Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\nContent-Length: {}\r\n\r\n{event}",
        event.len()
    )
    .unwrap();
}

/// Takes the function's answer: path and body.
fn answered(listener: &TcpListener) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let head = head(&mut stream);
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
    });
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    write!(stream, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), String::from_utf8(body).unwrap())
}

fn head(stream: &mut std::net::TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
