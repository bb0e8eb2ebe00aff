//! `consign prove --documents`: a folder in, a diagnosis out.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{both, consign};
use serde_json::Value;

const TO: &str = "arn:aws:kms:eu-west-1:111111111111:key/0a0a0a0a-0000-4000-8000-000000000001";
const FROM: &str = "arn:aws:kms:eu-west-1:111111111111:key/0b0b0b0b-0000-4000-8000-000000000002";

fn research() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/research/policies");
    folder.is_dir().then_some(folder)
}

fn prove(folder: &Path, more: &[&str]) -> Output {
    let mut command = consign();
    command.current_dir(folder).args(["prove", "--documents", "."]).args(more);
    command.output().unwrap()
}

fn copy(from: &Path, names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn the_published_recipe_is_diagnosed() {
    let Some(research) = research() else {
        eprintln!("SKIPPED the_published_recipe_is_diagnosed: no published recipe here");
        return;
    };
    let names = ["key-first.json", "key-second.json", "user-client.json"];
    let folder = copy(&research.join("article"), &names);
    let as_published = prove(folder.path(), &[]);
    assert_eq!(as_published.status.code(), Some(3), "{}", both(&as_published));
    for words in [
        &format!("READING 1: key-first.json is the policy of {TO}; key-second.json"),
        &format!("READING 2: key-first.json is the policy of {FROM}"),
        "READING 4",
        "key-first.json was put on the same key before it, and is gone",
        "do not hold in any of the 4 ways to read them",
    ] {
        assert!(both(&as_published).contains(words), "{words}:\n{}", both(&as_published));
    }
    let world = format!(
        "[bucket]\nto-client = '{TO}'\nfrom-client = '{FROM}'\n[whose]\n'key-first.json' = '{TO}'\n"
    );
    std::fs::write(folder.path().join("world.toml"), world).unwrap();
    let second = format!("key-second.json={FROM}");
    let judged = prove(folder.path(), &["--whose", &second]);
    assert_eq!(judged.status.code(), Some(3), "{}", both(&judged));
    let page = both(&judged);
    for words in [
        "together these policies authorise nothing",
        "user-client.json, statement MySid3: user/client may put objects of to-client",
        "the directions of buckets and keys are crossed",
        "key-first.json: nobody, not even the account's root",
        "to-client has no bucket policy",
        "fix: ",
    ] {
        assert!(page.contains(words), "{words} is not said:\n{page}");
    }
    let json = prove(folder.path(), &["--whose", &second, "--json"]);
    let mut documents = serde_json::Deserializer::from_slice(&json.stdout).into_iter::<Value>();
    let report = documents.next().unwrap().unwrap();
    let ids: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"authorises-nothing"), "{ids:?}");
}

#[test]
fn corrected_documents_hold() {
    let Some(research) = research() else {
        eprintln!("SKIPPED corrected_documents_hold: no corrected policies here");
        return;
    };
    let names = [
        "bucket-out.json",
        "key-out.json",
        "bucket-in.json",
        "key-in.json",
        "identity-ours.json",
        "identity-partner.json",
    ];
    let output = prove(copy(&research, &names).path(), &[]);
    assert!(output.status.success(), "{}", both(&output));
}

const EXCHANGE: &str = r#"version = 1
exchange = "xfer"
region = "eu-west-1"
[party.acme]
account = "111111111111"
principal = "role/xfer/acme-ours"
[party.globex]
account = "222222222222"
principal = "role/acme-transfer"
[lane.out]
from = "acme"
to = ["globex"]
owner = "acme"
bucket = "xfer-acme-out-111111111111-eu-west-1-an"
"#;

#[test]
fn an_exchange_file_beside_the_documents_is_what_they_are_judged_by() {
    let Some(research) = research() else {
        eprintln!(
            "SKIPPED an_exchange_file_beside_the_documents_is_what_they_are_judged_by: no corrected policies here"
        );
        return;
    };
    let folder = copy(&research, &["bucket-out.json", "key-out.json"]);
    std::fs::copy(research.join("identity-ours.json"), folder.path().join("identity-acme.json"))
        .unwrap();
    std::fs::copy(
        research.join("identity-partner.json"),
        folder.path().join("identity-globex.json"),
    )
    .unwrap();
    std::fs::write(folder.path().join("exchange.toml"), EXCHANGE).unwrap();
    let key = folder.path().join("key-out.json");
    let text = std::fs::read_to_string(&key).unwrap();
    // The classic: Encrypt where a data key is needed.
    let text = text.replacen("\"kms:GenerateDataKey\"", "\"kms:Encrypt\"", 1);
    std::fs::write(&key, text).unwrap();
    let output = prove(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(3), "{}", both(&output));
    let said = both(&output);
    assert!(
        said.contains("exchange.toml:11: acme cannot put into a consignment on lane `out`"),
        "{said}"
    );
    assert!(said.contains("[lane.out] from = \"acme\""), "{said}");
    assert!(said.contains("Request: kms:GenerateDataKey on arn:aws:kms"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_judged_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let refuses = |words: &str, more: &[&str]| {
        let output = prove(folder.path(), more);
        assert_eq!(output.status.code(), Some(2), "{}", both(&output));
        assert!(both(&output).contains(words), "{words}: {}", both(&output));
    };
    refuses("holds no *.json", &[]);
    std::fs::write(folder.path().join("package.json"), "{\"name\": \"x\"}").unwrap();
    refuses("package.json is no policy document", &[]);
    std::fs::write(folder.path().join("world.toml"), "bukket = 1").unwrap();
    refuses("world.toml is faulty", &[]);
    std::fs::remove_file(folder.path().join("world.toml")).unwrap();
    refuses("is not NAME=ARN", &["--whose", "x"]);
    std::fs::write(folder.path().join("package.json"), [0xff; 10]).unwrap();
    refuses("package.json", &[]);
    std::fs::write(folder.path().join("package.json"), vec![b' '; 2 << 20]).unwrap();
    refuses("too large", &[]);
}
