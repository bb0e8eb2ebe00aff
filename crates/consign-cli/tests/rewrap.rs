//! Adding and removing readers as an administrator does it, on lanes that are closed meanwhile.

use crate::support::{Deployment, TO_CLIENT, succeed};

const NEWCOMER: &str = "\n[party.initech]\naccount = \"333333333333\"\n\
    principal = \"user/consign/initech\"\nrecipients = []\nsigners = []\n";

/// A deployment in which `initech` is a party, and of what is sent the sender keeps a key.
fn deployment() -> Deployment {
    let deployment = Deployment::with(|text| {
        text.replace("\nto = [", "\nseal_to_sender = true\nto = [") + NEWCOMER
    });
    deployment.run(&["keys", "new", "initech"]);
    deployment
}

/// Declares who receives, and applies it.
fn declare(deployment: &Deployment, before: &str, after: &str) {
    let file = deployment.path("exchange.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(before), "{text}");
    std::fs::write(&file, text.replace(before, after)).unwrap();
    deployment.run(&["apply", "--yes", "--allow-widening"]);
}

fn send(deployment: &Deployment, name: &str, content: &[u8]) -> String {
    deployment.file(&format!("{name}/file.bin"), content);
    let sent =
        deployment.run(&["send", name, "--lane", "to-client", "--profile", "acme", "--json"]);
    let sent: serde_json::Value = serde_json::from_str(&sent).unwrap();
    sent["id"].as_str().unwrap().to_owned()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_administrator_adds_and_removes_readers_of_what_lies_there() {
    let deployment = deployment();
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let id = send(&deployment, "scans", &large);
    let other = send(&deployment, "notes", b"a note");
    let rewrap = ["rewrap", "--lane", "to-client"];
    let with = |more: &[&str]| -> String { deployment.run(&[&rewrap[..], more].concat()) };
    // Nobody is added whom the file does not name.
    let adding = [&rewrap[..], &["--add", "initech", "--yes"]].concat();
    assert!(deployment.fail(2, &adding).contains("add `initech` to `to`"));

    declare(&deployment, "to = [\"globex\"]", "to = [\"globex\", \"initech\"]");
    let receive = |who: &str, into: &str| {
        let args =
            ["receive", "--lane", "to-client", "--into", into, "--profile", who, "--as", who];
        deployment.consign(&args).output().unwrap()
    };
    assert!(!receive("initech", "too-early").status.success());
    let foreseen = json(&with(&["--dry-run", "--json"]));
    assert_eq!(foreseen["revised"].as_array().unwrap().len(), 2, "{foreseen}");
    let said = with(&[&id, "--add", "initech", "--yes"]);
    assert!(said.contains("+initech") && said.contains("Rewrapped 1 consignments"), "{said}");
    let done = json(&with(&["--yes", "--json"]));
    assert_eq!((&done["right"], &done["revised"][0]["id"]), (&1.into(), &other.into()), "{done}");
    assert!(deployment.run(&["plan"]).contains("Nothing to do"));
    assert!(receive("initech", "inbox").status.success());
    let found = std::fs::read(deployment.path("inbox").join(&id).join("scans/file.bin")).unwrap();
    assert!(found == large);

    declare(&deployment, "to = [\"globex\", \"initech\"]", "to = [\"initech\"]");
    let done = json(&with(&["--remove", "globex", "--yes", "--json"]));
    for revised in done["revised"].as_array().unwrap() {
        assert_eq!(revised["removed"], serde_json::json!(["globex"]), "{done}");
        assert_eq!((&revised["revision"], &revised["older_removed"]), (&2.into(), &true.into()));
    }
    let verify = ["verify", &id, "--lane", "to-client", "--profile", "initech", "--as", "initech"];
    deployment.run(&verify);
    let shown = deployment.run(&["show", &id, "--lane", "to-client", "--as", "acme", "--json"]);
    assert_eq!(json(&shown)["manifest"]["revision"]["number"], 2, "{shown}");
    with_stock_tools(&deployment, &id, &large);
}

/// What is written of revisions in docs/no-lock-in.md, by the book.
fn with_stock_tools(deployment: &Deployment, id: &str, large: &[u8]) {
    let (aws, _age) = consign_testkit::require!("aws", "age");
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/no-lock-in.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("```sh revisions\n").nth(1).unwrap().split("```").next().unwrap();
    let path = format!("{}:{}", aws.parent().unwrap().display(), std::env::var("PATH").unwrap());
    succeed(
        deployment
            .tool(std::path::Path::new("/bin/bash"))
            .args([
                "-c",
                &format!("set -eu\n{block}\nage -d -i \"$IDENTITY\" -o opened fetched/000001.age"),
            ])
            .env("PATH", path)
            .env("AWS_PROFILE", "initech")
            .env("BUCKET", TO_CLIENT)
            .env("ID", id)
            .env("IDENTITY", deployment.path("config/consign/keys/initech.identity")),
    );
    assert!(std::fs::read(deployment.path("opened")).unwrap() == large);
}

#[test]
fn what_was_not_sealed_to_its_sender_is_refused_by_name() {
    let deployment = Deployment::with(|text| text + NEWCOMER);
    deployment.run(&["keys", "new", "initech"]);
    let id = send(&deployment, "notes", b"a note");
    declare(&deployment, "to = [\"globex\"]", "to = [\"globex\", \"initech\"]");
    let errors = deployment.fail(2, &["rewrap", "--lane", "to-client", "--yes"]);
    assert!(errors.contains(&id) && errors.contains("seal_to_sender = true"), "{errors}");
    assert!(deployment.run(&["plan"]).contains("Nothing to do"));
    let errors = deployment.fail(2, &["rewrap", "--lane", "to-client", "--as", "globex", "--yes"]);
    assert!(errors.contains("only `acme`, who sends"), "{errors}");
}

#[test]
fn an_object_is_rewrapped_by_its_name() {
    let deployment = Deployment::new();
    let key = deployment.file("old.key", &[7; 32]);
    let missing = ["rewrap", "s3://b/k", "--from-key", "aes:old.key", "--to-key", "rsa:none.pem"];
    assert!(deployment.fail(2, &missing).contains("can be read by others"));
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(deployment.fail(2, &missing).contains("none.pem"));
    let strange = ["rewrap", "s3://b/k", "--from-key", "old.key", "--to-key", "aes:old.key"];
    assert!(deployment.fail(2, &strange).contains("kms:KEY-ARN, aes:FILE or rsa:FILE"));
    let none = ["rewrap", "s3://b/k", "--from-key", "aes:old.key", "--to-key", "aes:old.key"];
    let absent = [&none[..], &["--profile", "acme"]].concat();
    assert!(deployment.consign(&absent).output().unwrap().status.code().unwrap() >= 4);
}
