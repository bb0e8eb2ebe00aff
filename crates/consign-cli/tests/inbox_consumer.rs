//! What is delivered into an inbox, scanned, listed, fetched and acknowledged: with the real publisher,
//! the real scanner process and hostile neighbours, and `ssh-keygen` and the AWS CLI as hands.

use std::path::PathBuf;
use std::process::Stdio;

use crate::support::{self, Deployment, both, succeed};
use serde_json::{Value, json};

const REPOSITORY: &str = "acme-globex-reports-111111111111-eu-west-1-an";
const INBOX: &str = "acme-globex-reports-in-222222222222-eu-west-1-an";
/// A digest of nothing that is there.
const NOBODY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

struct Stage {
    deployment: Deployment,
    tool: PathBuf,
}

impl Stage {
    /// The template applied, with keys, and with a quarantine if that is wanted.
    fn new(tool: PathBuf, quarantine: bool) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let mut init = support::consign();
        init.args(["init", "--template", "inbox"]).current_dir(folder.path());
        succeed(&mut init);
        let mut text = std::fs::read_to_string(folder.path().join("exchange.toml")).unwrap();
        if quarantine {
            text = text.replace("# quarantine = \"scanner\"", "quarantine = \"scanner\"");
            text += "[party.scanner]\naccount = \"222222222222\"\nprincipal = \"user/consign/scanner\"\n";
        }
        let deployment = Deployment::serving(&text);
        deployment.run(&["keys", "new", "acme"]);
        deployment.run(&["keys", "new", "globex"]);
        deployment.run(&["apply", "--yes"]);
        Stage { deployment, tool }
    }

    fn run(&self, party: &str, arguments: &[&str]) -> String {
        self.deployment.run(&as_party(party, arguments))
    }

    fn fail(&self, code: i32, party: &str, arguments: &[&str]) -> String {
        self.deployment.fail(code, &as_party(party, arguments))
    }

    fn put(&self, profile: &str, bucket: &str, key: &str, content: &[u8], more: &[&str]) {
        let file = self.deployment.file("to-put", content);
        let mut command = self.deployment.tool(&self.tool);
        let fixed = ["s3api", "put-object", "--bucket", bucket, "--key", key, "--body"];
        command.args(fixed).arg(file).args(["--profile", profile]).args(more);
        succeed(&mut command);
    }

    fn publish(&self) {
        self.run("acme", &["publish", "--backfill"]);
    }

    /// Key and standing of everything that `list` shows.
    fn list(&self) -> Vec<(String, String)> {
        let listed = self.run("globex", &["inbox", "list", "--json"]);
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        listed.iter().map(|it| (text(&it["key"]), text(&it["standing"]))).collect()
    }

    fn standings(&self, expected: &[(&str, &str)]) {
        let found = self.list();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(key, standing)| (key.as_str(), standing.as_str())).collect();
        assert_eq!(found, expected);
    }
}

fn as_party<'a>(party: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let who = ["--as", party, "--profile", party];
    arguments.iter().copied().chain(who).collect()
}

#[test]
fn what_is_delivered_is_fetched_once_and_its_publisher_hears_of_it() {
    let stage = Stage::new(consign_testkit::require!("aws"), false);
    let content: Vec<u8> = (0..3_000_017_u32).map(|n| (n % 251) as u8).collect();
    stage.put("acme-lab", REPOSITORY, "a/large.bin", &content, &[]);
    stage.put("acme-lab", REPOSITORY, "empty", b"", &[]);
    stage.publish();
    stage.standings(&[("a/large.bin", "delivered"), ("empty", "delivered")]);

    let mut watch = stage
        .deployment
        .consign(&as_party("globex", &["inbox", "watch", "--interval", "1s", "--json"]));
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let stdout = watch.stdout.take().unwrap();
    let mut lines = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
    let keys: Vec<Value> = (0..2).map(|_| lines.next().unwrap().unwrap()["key"].clone()).collect();
    assert_eq!(keys, ["a/large.bin", "empty"]);

    stage.run("globex", &["inbox", "fetch", "--into", "arrived", "--ack"]);
    assert!(std::fs::read(stage.deployment.path("arrived/a/large.bin")).unwrap() == content);
    assert_eq!(std::fs::read(stage.deployment.path("arrived/empty")).unwrap(), b"");
    assert!(!stage.deployment.path("arrived/.consign-inbox.partial").exists());
    stage.standings(&[("a/large.bin", "acknowledged"), ("empty", "acknowledged")]);
    let nothing = stage.run("globex", &["inbox", "fetch", "--into", "again"]);
    assert!(nothing.contains("Nothing new"), "{nothing}");

    // One more is seen by the watcher, which then ends when it is asked to.
    stage.put("acme-lab", REPOSITORY, "later", b"later", &[]);
    stage.publish();
    assert_eq!(lines.next().unwrap().unwrap()["key"], "later");
    rustix_terminate(&watch);
    assert!(watch.wait().unwrap().success());

    let heard = stage.run("acme", &["inbox", "acknowledgements", "--json"]);
    let heard: Vec<Value> = serde_json::from_str(&heard).unwrap();
    let mut words: Vec<&str> = heard.iter().map(|it| it["standing"].as_str().unwrap()).collect();
    words.sort_unstable();
    assert_eq!(words, ["acknowledged", "acknowledged", "waiting"]);
    let said = heard.iter().find(|it| it["standing"] == "acknowledged").unwrap();
    assert_eq!(said["acknowledgement"]["party"], "globex");

    // By id, twice: the second says that it was said.
    let waiting = heard.iter().find(|it| it["standing"] == "waiting").unwrap();
    let id = waiting["id"].as_str().unwrap();
    stage.run("globex", &["inbox", "ack", id]);
    let again = stage.run("globex", &["inbox", "ack", id]);
    assert!(again.contains("before"), "{again}");
    stage.fail(5, "globex", &["inbox", "ack", NOBODY]);
    removed_by_the_owner(&stage);
    // Something else of its name stays.
    stage.deployment.file("taken/later", b"mine");
    let taken = stage.fail(1, "globex", &["inbox", "fetch", id, "--into", "taken"]);
    assert!(taken.contains("in the way"), "{taken}");
    assert_eq!(std::fs::read(stage.deployment.path("taken/later")).unwrap(), b"mine");
}

/// What is removed after it was acknowledged is no loss; what is removed before is said.
fn removed_by_the_owner(stage: &Stage) {
    stage.put("acme-lab", REPOSITORY, "unseen", b"unseen", &[]);
    stage.publish();
    for key in ["empty", "unseen"] {
        let mut command = stage.deployment.tool(&stage.tool);
        command.args(["s3api", "delete-object", "--bucket", INBOX, "--key", key]);
        succeed(command.args(["--profile", "admin-222222222222"]));
    }
    let acknowledged = [("empty", "gone"), ("unseen", "gone")];
    let found = stage.list();
    assert!(acknowledged.iter().all(|(key, it)| found.contains(&((*key).into(), (*it).into()))));
    let fetched = stage.run("globex", &["inbox", "fetch", "--into", "rest", "--json"]);
    let fetched: Value = serde_json::from_str(&fetched).unwrap();
    assert_eq!(fetched["gone"], 1, "{fetched}");
}

fn rustix_terminate(child: &std::process::Child) {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn nothing_is_read_before_a_scanner_has_judged_it() {
    let stage = Stage::new(consign_testkit::require!("aws"), true);
    let clean = vec![b'c'; 1 << 20];
    stage.put("acme-lab", REPOSITORY, "clean", &clean, &[]);
    stage.put("acme-lab", REPOSITORY, "harmful", b"something harmful", &[]);
    stage.publish();
    let waiting = [("clean", "quarantined"), ("harmful", "quarantined")];
    stage.standings(&waiting);
    let fetched = stage.run("globex", &["inbox", "fetch", "--into", "early"]);
    assert!(fetched.contains("2 not ready"), "{fetched}");
    // A command that fails, one that is not there, one that says clean without reading, one that is
    // killed: no verdict, and an alarm.
    for (command, alarm) in [
        ("exit 2", "ended with 2"),
        ("no-such-command", "ended with 127"),
        ("exec <&-; exit 0", "has not read everything"),
        ("exit 0", "has not read everything"),
        ("kill -9 $$", "was ended"),
        ("test -s {} && exit 3", "ended with 3"),
    ] {
        let said = stage.fail(1, "scanner", &["inbox", "scan", "--scan-exec", command]);
        assert!(said.contains(alarm), "{command}: {said}");
        stage.standings(&waiting);
    }
    killed_while_scanning(&stage);
    stage.standings(&waiting);
    // Nobody but the scanner scans.
    stage.fail(2, "globex", &["inbox", "scan", "--scan-exec", "exit 0"]);
    let by_pipe = "if grep -q harmful; then exit 1; else exit 0; fi";
    let said = stage.run("scanner", &["inbox", "scan", "--scan-exec", by_pipe]);
    assert!(said.contains("clean  clean") && said.contains("infected  harmful"), "{said}");
    stage.standings(&[("clean", "delivered"), ("harmful", "infected")]);
    let refused = stage.fail(3, "globex", &["inbox", "fetch", "--into", "arrived", "--ack"]);
    assert!(refused.contains("harmful"), "{refused}");
    assert!(std::fs::read(stage.deployment.path("arrived/clean")).unwrap() == clean);
    assert!(!stage.deployment.path("arrived/harmful").exists());
    // By a file, whose name the shell does not read.
    stage.put("acme-lab", REPOSITORY, "by file", b"fine", &[]);
    stage.publish();
    let by_file = "! grep -q harmful {}";
    stage.run("scanner", &["inbox", "scan", "--once", "--scan-exec", by_file]);
    stage.standings(&[
        ("by file", "delivered"),
        ("clean", "acknowledged"),
        ("harmful", "infected"),
    ]);
}

/// A scanner that is killed in the middle has released nothing.
fn killed_while_scanning(stage: &Stage) {
    let begun = stage.deployment.path("begun");
    let command = format!("cat > /dev/null; touch {}; sleep 600", begun.display());
    let arguments = ["inbox", "scan", "--scan-exec", command.as_str()];
    let mut scan = stage.deployment.consign(&as_party("scanner", &arguments)).spawn().unwrap();
    while !begun.exists() {
        assert!(scan.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    scan.kill().unwrap();
    scan.wait().unwrap();
}

/// Whoever can put where records and acknowledgements lie still cannot say anything for others.
#[test]
fn hostile_records_and_acknowledgements_do_not_count() {
    let stage = Stage::new(consign_testkit::require!("aws"), false);
    let keygen = consign_testkit::require!("ssh-keygen");
    stage.put("acme-lab", REPOSITORY, "report", b"a report", &[]);
    stage.publish();
    let listed: Vec<Value> =
        serde_json::from_str(&stage.run("globex", &["inbox", "list", "--json"])).unwrap();
    let good = listed[0]["record"].clone();
    let id = listed[0]["id"].as_str().unwrap();
    let keys = stage.deployment.path("config/consign/keys");
    let sign = |party: &str, namespace: &str, text: &str| {
        let file = stage.deployment.file("to-sign", text.as_bytes());
        let mut command = stage.deployment.tool(&keygen);
        let key = keys.join(format!("{party}.signer"));
        let _old = std::fs::remove_file(stage.deployment.path("to-sign.sig"));
        command.args(["-Y", "sign", "-n", namespace, "-f"]).arg(key).arg(file);
        succeed(&mut command);
        std::fs::read(stage.deployment.path("to-sign.sig")).unwrap()
    };
    let once = ["--if-none-match", "*"];
    let edited = |pointer: &str, value: Value| {
        let mut record = good.clone();
        *record.pointer_mut(pointer).unwrap() = value;
        record.to_string()
    };
    let delivery = "consign-delivery@1";
    let long = format!("{:>40000}", "{}");
    // What lies there, signed by whom for what, and what is said.
    let cases = [
        (edited("/source/key", json!("other")), "globex", delivery, "not signed by `acme`"),
        (edited("/source/key", json!("other")), "acme", "file", "not signed by `acme`"),
        (edited("/exchange", json!("other")), "acme", delivery, "of exchange `other`"),
        (edited("/inbox", json!("other")), "acme", delivery, "another inbox"),
        (edited("/target/key", json!("../../etc")), "acme", delivery, "another delivery"),
        (edited("/target/key", json!("deliveries/x.json")), "acme", delivery, "another delivery"),
        (edited("/publisher", json!("globex")), "acme", delivery, "does not deliver here"),
        ("no json".to_owned(), "acme", delivery, "not a delivery record"),
        (long, "acme", delivery, "more than"),
    ];
    for (at, (text, signer, namespace, _)) in cases.iter().enumerate() {
        let id = format!("{at:064x}");
        let digest = blake3_hex(text.as_bytes());
        let signature = sign(signer, namespace, text);
        let key = format!("deliveries/{id}.{digest}.sig");
        stage.put("acme", INBOX, &key, &signature, &once);
        stage.put("acme", INBOX, &format!("deliveries/{id}.json"), text.as_bytes(), &once);
    }
    stage.put("acme", INBOX, &format!("deliveries/{NOBODY}.json"), b"{}", &once);
    // Not among the records, and not the publisher's own.
    stage.put("acme", INBOX, "unrecorded", b"?", &once);
    let listed: Vec<Value> =
        serde_json::from_str(&stage.run("globex", &["inbox", "list", "--json"])).unwrap();
    let find =
        |key: &str| listed.iter().find(|it| it["key"] == key).unwrap_or_else(|| panic!("{key}"));
    for (at, (.., said)) in cases.iter().enumerate() {
        let found = find(&format!("deliveries/{at:064x}.json"));
        let why = found["why"].as_str().unwrap();
        assert!(found["standing"] == "refused" && why.contains(said), "{said}: {found}");
    }
    let unsigned = find(&format!("deliveries/{NOBODY}.json"));
    assert!(unsigned["why"].as_str().unwrap().contains("no signature"), "{unsigned}");
    assert_eq!(find("unrecorded")["standing"], "unrecorded");
    assert_eq!(find("report")["standing"], "delivered");
    let answers = stage.run("acme", &["inbox", "acknowledgements", "--json"]);
    assert!(!answers.contains("acknowledged"), "{answers}");

    // A consumer's own hands, with another's key, or about something else.
    let acknowledged = |delivery: &str, party: &str| {
        json!({
            "format": "consign-acknowledgement/1", "exchange": "acme-globex",
            "inbox": "reports-in", "delivery": delivery, "record": NOBODY, "party": party,
            "acknowledged": "2026-11-21T03:00:00Z",
        })
        .to_string()
    };
    let namespace = "consign-acknowledgement@1";
    let plain = ["--if-none-match", "*", "--server-side-encryption", "AES256"];
    let zero = "0".repeat(64);
    for (delivery, text, signer, namespace) in [
        (id, acknowledged(id, "globex"), "acme", namespace),
        (NOBODY, acknowledged(NOBODY, "acme"), "acme", namespace),
        (&zero, acknowledged(id, "globex"), "globex", namespace),
        (&"1".repeat(64), acknowledged(&"1".repeat(64), "globex"), "globex", delivery_namespace()),
    ] {
        let digest = blake3_hex(text.as_bytes());
        let key = format!("acknowledgements/{delivery}.{digest}.sig");
        stage.put("globex", INBOX, &key, &sign(signer, namespace, &text), &plain);
        let key = format!("acknowledgements/{delivery}.json");
        stage.put("globex", INBOX, &key, text.as_bytes(), &plain);
    }
    let answers = stage.run("acme", &["inbox", "acknowledgements", "--json"]);
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
    for delivery in [id, NOBODY, &zero, &"1".repeat(64)] {
        let said = answers.iter().find(|it| it["id"] == *delivery).unwrap();
        assert_eq!(said["standing"], "refused", "{said}");
    }
    // What cannot be said any more is an error, not a success.
    let said = stage.fail(3, "globex", &["inbox", "ack", id]);
    assert!(said.contains("does not count"), "{said}");
}

fn delivery_namespace() -> &'static str {
    "consign-delivery@1"
}

fn blake3_hex(bytes: &[u8]) -> String {
    consign_model::Digest::of(bytes).to_string()
}

#[test]
fn who_has_no_part_is_told_so() {
    let stage = Stage::new(consign_testkit::require!("aws"), false);
    let said = stage.fail(2, "acme", &["inbox", "list"]);
    assert!(said.contains("read by `globex`"), "{said}");
    let said = stage.fail(2, "globex", &["inbox", "list", "--inbox", "reports"]);
    assert!(said.contains("reports-in"), "{said}");
    let said = stage.fail(2, "globex", &["inbox", "ack"]);
    assert!(said.contains("<ID>"), "{said}");
    let output = stage.deployment.consign(&["inbox", "fetch", "x", "--as", "globex"]).output();
    assert_eq!(output.as_ref().unwrap().status.code(), Some(2), "{}", both(&output.unwrap()));
}
