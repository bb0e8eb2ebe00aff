//! The generated documents beside hand-written ones that an independent simulator and an SMT
//! solver have judged: the same answer in every cell but those where we decided otherwise.

use crate::support::{desired, lane, party, shapes};
use consign_provision::prove::{Documents, LaneDocuments};
use consign_provision::{Desired, KeyArn, Keys, Operation, Proof, prove};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

const EXCHANGE: &str = r#"
version = 1
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
[lane.in]
from = "globex"
to = ["acme"]
owner = "acme"
bucket = "xfer-acme-in-111111111111-eu-west-1-an"
"#;

fn folder() -> Option<PathBuf> {
    shared("research/policies")
}

fn shared(folder: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(folder);
    folder.is_dir().then_some(folder)
}

fn keys() -> Keys {
    let arn = |id: &str| KeyArn::new(format!("arn:aws:kms:eu-west-1:111111111111:key/{id}"));
    Keys::from([
        (lane("out"), arn("0a0a0a0a-0000-4000-8000-000000000001")),
        (lane("in"), arn("0b0b0b0b-0000-4000-8000-000000000002")),
    ])
}

fn theirs(folder: &std::path::Path, key_in: &str) -> Documents {
    let read = |name: &str| {
        std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("a document")
    };
    let of = |lane_name: &str, bucket: &str, key: &str| {
        let arn = keys()[&lane(lane_name)].clone();
        let documents =
            LaneDocuments { bucket_policy: Some(read(bucket)), key: Some((arn, read(key))) };
        (lane(lane_name), documents)
    };
    Documents {
        queues: [].into(),
        lanes: [of("out", "bucket-out", "key-out"), of("in", "bucket-in", key_in)].into(),
        identities: [
            (party("acme"), vec![read("identity-ours")]),
            (party("globex"), vec![read("identity-partner")]),
        ]
        .into(),
        assumed: BTreeSet::new(),
    }
}

/// `ours: allowed, theirs: denied` and so on, for every cell that differs.
fn differences(ours: &Proof, theirs: &Proof) -> BTreeSet<String> {
    assert_eq!(ours.cells.len(), theirs.cells.len());
    let cells = ours.cells.iter().zip(&theirs.cells);
    let different = cells.filter(|(ours, theirs)| ours.actual != theirs.actual);
    different
        .map(|(ours, theirs)| {
            let (lane, who, what) = (&ours.lane, &ours.subject, ours.operation);
            format!("{lane}: {who}: {what}: {:?}, theirs {:?}", ours.actual, theirs.actual)
        })
        .collect()
}

fn proofs(desired: &Desired, theirs: &Documents) -> (Proof, Proof) {
    let ours = prove(desired, &Documents::planned(desired, &keys())).expect("a proof");
    assert!(ours.holds());
    (ours, prove(desired, theirs).expect("a proof"))
}

/// Where we decided otherwise, and why.
fn decided_otherwise(multipart_in: bool) -> BTreeSet<String> {
    let mut cells = BTreeSet::new();
    let mut add = |lane: &str, who: &str, operations: &[Operation], ours: &str, theirs: &str| {
        for operation in operations {
            cells.insert(format!("{lane}: {who}: {operation}: {ours}, theirs {theirs}"));
        }
    };
    use Operation as O;
    // Write-once is for consignments; plain puts need no header (decision 3).
    let plain = [O::Put, O::PutWithoutBucketKey, O::PutNamingKey];
    for (lane, writer) in [("out", "acme"), ("in", "globex")] {
        add(lane, writer, &plain, "Allowed", "Denied");
        if lane == "out" || multipart_in {
            add(lane, writer, &[O::PutMultipart], "Allowed", "Denied");
        }
    }
    // Theirs waits for a malware scanner's tag, which this request does not carry.
    let reads = [O::Get, O::GetVersion, O::GetByUrl, O::GetWithoutBucketKey];
    add("in", "acme", &reads, "Allowed", "Denied");
    // Ours denies deletes to the parties even if their own account lets them do everything.
    for lane in ["out", "in"] {
        add(lane, "acme", &[O::Delete, O::DeleteVersion], "Denied", "Allowed");
    }
    cells
}

#[test]
fn the_matrix_is_that_of_the_corrected_policies() {
    let Some(folder) = folder() else {
        eprintln!(
            "SKIPPED the_matrix_is_that_of_the_corrected_policies: no corrected policies here"
        );
        return;
    };
    let desired = desired(EXCHANGE);
    let (ours, theirs) = proofs(&desired, &theirs(&folder, "key-in"));
    assert_eq!(differences(&ours, &theirs), decided_otherwise(true));
}

#[test]
fn the_matrix_is_that_of_the_corrected_policies_for_an_encrypt_only_writer() {
    let Some(folder) = folder() else {
        eprintln!(
            "SKIPPED the_matrix_is_that_of_the_corrected_policies_for_an_encrypt_only_writer: no corrected policies here"
        );
        return;
    };
    let desired = desired(&format!("{EXCHANGE}writer = \"encrypt-only\"\n"));
    let strict = theirs(&folder, "key-in-strict-encrypt-only");
    let (ours, theirs) = proofs(&desired, &strict);
    assert_eq!(differences(&ours, &theirs), decided_otherwise(false));
}

/// AWS refuses a bucket policy with an action it does not know or that fits none of its
/// resources; a condition key that an action does not have makes a statement silently mean
/// something else.
#[test]
fn every_action_and_condition_key_exists_and_fits() {
    let Some(folder) = shared("data/service-authorization") else {
        eprintln!(
            "SKIPPED every_action_and_condition_key_exists_and_fits: no service authorization data here"
        );
        return;
    };
    let services = ["s3", "kms", "sqs", "sts"].map(|service| {
        let text = std::fs::read_to_string(folder.join(format!("{service}.json")));
        let data: Value = serde_json::from_str(&text.expect("a file")).expect("JSON");
        (service, data)
    });
    for (name, text) in shapes() {
        for (file, document) in desired(&text).documents(&Keys::new()) {
            let document: Value = serde_json::from_str(&document.to_json()).expect("JSON");
            for statement in document["Statement"].as_array().expect("statements") {
                for (service, data) in &services {
                    check_statement(
                        &format!("{name}: {file}: {}", statement["Sid"]),
                        statement,
                        service,
                        data,
                    );
                }
            }
        }
    }
}

fn check_statement(what: &str, statement: &Value, service: &str, data: &Value) {
    // A trust policy is about the role that it belongs to, and names no resource.
    let either = |name: &str| match &statement[name] {
        Value::Null => &statement[format!("Not{name}")],
        named => named,
    };
    let resources = match either("Resource") {
        Value::Null => vec!["arn:aws:iam::111111111111:role/r".to_owned()],
        named => strings(named),
    };
    for action in strings(either("Action")) {
        let Some(pattern) = action.strip_prefix(&format!("{service}:")) else { continue };
        let actions = data["actions"].as_array().expect("actions");
        let matching: Vec<&Value> = match pattern.strip_suffix('*') {
            Some(start) => {
                actions.iter().filter(|it| text(&it["name"]).starts_with(start)).collect()
            }
            None => actions.iter().filter(|it| it["name"] == pattern).collect(),
        };
        assert!(!matching.is_empty(), "{what}: {action} does not exist");
        let fits = |kind: &str| {
            let kinds = |it: &&&Value| strings(&it["resources"]).iter().any(|it| it == kind);
            matching.iter().any(|it| kinds(&it))
        };
        let about = |resource: &str| match service {
            "s3" if resource.contains('/') => fits("object"),
            "s3" => fits("bucket"),
            "sqs" => fits("queue"),
            "sts" => fits("role"),
            _ => fits("key"),
        };
        assert!(
            resources.iter().any(|it| about(it)),
            "{what}: {action} fits none of {resources:?}"
        );
        for key in condition_keys(statement).iter().filter(|key| !key.starts_with("aws:")) {
            let known = |it: &&Value| {
                strings(&it["condition_keys"]).iter().any(|known| same_key(known, key))
            };
            assert!(matching.iter().any(known), "{what}: {action} has no {key}");
        }
    }
}

fn condition_keys(statement: &Value) -> Vec<String> {
    let operators = statement["Condition"].as_object();
    let keys = operators.into_iter().flat_map(|operators| operators.values());
    keys.flat_map(|keys| keys.as_object().expect("keys").keys().cloned()).collect()
}

/// `kms:EncryptionContext:${EncryptionContextKey}` stands for any key of the context, and
/// `s3:ExistingObjectTag/<key>` for any tag.
fn same_key(known: &str, key: &str) -> bool {
    match known.split_once("${").or_else(|| known.split_once('<')) {
        Some((start, _)) => key.starts_with(start),
        None => known == key,
    }
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(|value| text(value).to_owned()).collect(),
        single => vec![text(single).to_owned()],
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
