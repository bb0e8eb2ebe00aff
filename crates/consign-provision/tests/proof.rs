//! The generated documents give exactly what the exchange declares; every mistake in them shows.

use crate::support::{ROLES, desired, hub, lane, party, shapes};
use consign_provision::prove::{Access, Documents, Totals};
use consign_provision::{Desired, Operation, Proof, Subject, prove};
use serde_json::Value;
use std::collections::BTreeSet;

fn planned(desired: &Desired) -> Documents {
    Documents::planned(desired, &desired.planned_keys())
}

fn failures(proof: &Proof) -> String {
    let cells = proof.failures().map(ToString::to_string);
    let lines: Vec<String> = cells.chain(proof.failed_claims().map(ToString::to_string)).collect();
    lines.join("\n")
}

#[test]
fn planned_documents_give_what_is_declared() {
    for (name, text) in shapes() {
        let desired = desired(&text);
        let proof = prove(&desired, &planned(&desired)).expect(name);
        assert!(proof.holds(), "{name}:\n{}\npublic: {:?}", failures(&proof), proof.public);
    }
}

#[test]
fn the_matrix_says_who_may_what() {
    let desired = desired(ROLES);
    let proof = prove(&desired, &planned(&desired)).expect("a proof");
    let check = |lane_name: &str, who: &str, operation: Operation, expected: Access| {
        let subject = Subject::Party { party: party(who) };
        let access = proof.access(&lane(lane_name), &subject, operation);
        assert_eq!(access, Some(expected), "{who}: {operation} on {lane_name}");
    };
    use Access::{Allowed, Denied};
    use Operation as O;
    for (lane, writer, reader) in
        [("to-client", "acme", "globex"), ("from-client", "globex", "acme")]
    {
        for operation in [O::Put, O::PutMultipart, O::PutConsignment, O::PutConsignmentMultipart] {
            check(lane, writer, operation, Allowed);
            check(lane, reader, operation, Denied);
        }
        for operation in [O::Get, O::GetVersion, O::List, O::GetByUrl] {
            check(lane, writer, operation, Denied);
            check(lane, reader, operation, Allowed);
        }
        for operation in [O::Delete, O::DeleteVersion, O::Overwrite, O::PutPlainHttp, O::Rekey] {
            check(lane, writer, operation, Denied);
            check(lane, reader, operation, Denied);
        }
    }
}

#[test]
fn administrators_of_the_owner_are_the_only_ones_who_can_change_it() {
    let desired = desired(ROLES);
    let proof = prove(&desired, &planned(&desired)).expect("a proof");
    for operation in [Operation::Delete, Operation::ChangeBucketPolicy, Operation::ChangeKeyPolicy]
    {
        let able: BTreeSet<String> = proof
            .cells
            .iter()
            .filter(|cell| cell.operation == operation && cell.actual == Access::Allowed)
            .map(|cell| cell.subject.to_string())
            .collect();
        let expected = ["an administrator of 111111111111", "the root user of 111111111111"];
        assert_eq!(able, expected.map(str::to_owned).into(), "{operation}");
    }
}

/// Every deny statement of every document, left out one at a time. Most leave a hole by
/// themselves; the rest are second locks, each named here with what else holds the door.
#[test]
fn every_statement_is_needed_or_a_known_second_lock() {
    let second_locks = [
        // The key's allows name its parties, the bucket policy keeps others out.
        ("key-from-client", "NobodyElseUsesTheKey"),
        ("key-to-client", "NobodyElseUsesTheKey"),
        // The grants of the key name kms:ViaService themselves.
        ("key-from-client", "OnlyThroughS3"),
        ("key-to-client", "OnlyThroughS3"),
        // In the owner's own account either side's allow is enough.
        ("bucket-from-client", "ReaderGets"),
        ("bucket-from-client", "ReaderLists"),
        ("bucket-to-client", "WriterPuts"),
        ("identity-acme", "List"),
        ("identity-acme", "Read"),
        ("identity-acme", "ReadKey"),
        ("identity-acme", "Write"),
        ("identity-acme", "WriteKey"),
    ];
    let desired = desired(ROLES);
    let mut unnoticed = BTreeSet::new();
    for (document, sid, mutant) in without_one_statement(&desired) {
        let proof = prove(&desired, &mutant).expect(&sid);
        if proof.holds() {
            unnoticed.insert((document, sid));
        }
    }
    let expected = second_locks.map(|(document, sid)| (document.to_owned(), sid.to_owned()));
    assert_eq!(unnoticed, expected.into());
}

fn without_one_statement(desired: &Desired) -> Vec<(String, String, Documents)> {
    let mut mutants = Vec::new();
    let whole = planned(desired);
    for name in desired.lanes.keys() {
        let documents = &whole.lanes[name];
        let bucket = documents.bucket_policy.as_ref().expect("a bucket policy");
        for (sid, text) in mutate(bucket) {
            let mut mutant = whole.clone();
            mutant.lanes.get_mut(name).expect("a lane").bucket_policy = Some(text);
            mutants.push((format!("bucket-{name}"), sid, mutant));
        }
        let (arn, key) = documents.key.as_ref().expect("a key");
        for (sid, text) in mutate(key) {
            let mut mutant = whole.clone();
            mutant.lanes.get_mut(name).expect("a lane").key = Some((arn.clone(), text));
            mutants.push((format!("key-{name}"), sid, mutant));
        }
    }
    for (name, policies) in &whole.identities {
        for (sid, text) in policies.iter().flat_map(|policy| mutate(policy)) {
            let mut mutant = whole.clone();
            mutant.identities.insert(name.clone(), vec![text]);
            mutants.push((format!("identity-{name}"), sid, mutant));
        }
    }
    mutants
}

fn mutate(policy: &str) -> Vec<(String, String)> {
    let whole: Value = serde_json::from_str(policy).expect("JSON");
    let statements = whole["Statement"].as_array().expect("statements");
    let without = |number: usize| {
        let sid = statements[number]["Sid"].as_str().expect("a Sid").to_owned();
        let mut mutant = whole.clone();
        mutant["Statement"].as_array_mut().expect("statements").remove(number);
        (sid, mutant.to_string())
    };
    (0..statements.len()).map(without).collect()
}

/// Mistakes that people make, as replacements in the text of a document.
#[test]
fn published_mistakes_are_found() {
    let arn = "arn:aws:s3:::acme-globex-to-client-111111111111-eu-west-1-an";
    let id = |length: usize| format!("{arn}/0{}/*", "?".repeat(length));
    let sse = "s3:x-amz-server-side-encryption";
    let not_equals = format!("\"StringNotEquals\":{{\"{sse}\"");
    let present = format!("\"Null\":{{\"{sse}\":\"false\"}},");
    let both_contexts = format!("kms:EncryptionContext:aws:s3:arn\":[\"{arn}\",\"{arn}/*\"]");
    let data_key_and_decrypt = "[\"kms:GenerateDataKey\",\"kms:Decrypt\"]";
    let creation = "\"Bool\":{\"s3:ObjectCreationOperation\":\"true\"},";

    check_mistake("negated without Null", &[(&present, "")]);
    let if_exists = not_equals.replace("Equals", "EqualsIfExists");
    check_mistake("IfExists in a deny", &[(&present, ""), (&not_equals, &if_exists)]);
    check_mistake("Encrypt for GenerateDataKey", &[("kms:GenerateDataKey\",", "kms:Encrypt\",")]);
    check_mistake("no Decrypt for parts", &[(data_key_and_decrypt, "\"kms:GenerateDataKey\"")]);
    let other = "kms:EncryptionContext:aws:s3:arn\":\"arn:aws:s3:::other\"";
    check_mistake("the context of another bucket", &[(&both_contexts, other)]);
    let objects = format!("kms:EncryptionContext:aws:s3:arn\":\"{arn}/*\"");
    check_mistake("the context of objects alone", &[(&both_contexts, &objects)]);
    let bucket = format!("kms:EncryptionContext:aws:s3:arn\":\"{arn}\"");
    check_mistake("the context of the bucket alone", &[(&both_contexts, &bucket)]);
    check_mistake(
        "HTTP denied for puts alone",
        &[("\"Action\":\"s3:*\"", "\"Action\":\"s3:PutObject\"")],
    );
    check_mistake("the age of URLs in seconds", &[("900000", "900000000")]);
    check_mistake("any role of that account", &[("role/acme-transfer", "role/*")]);
    check_mistake("every part needs the header", &[(creation, "")]);
    check_mistake("write-once for parts alone", &[(creation, &creation.replace("true", "false"))]);
    check_mistake("write-once on plain keys", &[(&id(25), &format!("{arn}/*"))]);
    check_mistake("write-once on longer ids", &[(&id(25), &id(26))]);
    check_mistake(
        "deletes denied to the writer alone",
        &[(
            "\"ArnEquals\":{\"aws:PrincipalArn\":[\"arn:aws:iam::111111111111:role/xfer/acme-ours\",",
            "\"ArnEquals\":{\"aws:PrincipalArn\":[",
        )],
    );
}

fn check_mistake(what: &str, replacements: &[(&str, &str)]) {
    let desired = desired(ROLES);
    let mut documents = planned(&desired);
    let documents_of = documents.lanes.get_mut(&lane("to-client")).expect("a lane");
    for (from, to) in replacements {
        let mut replaced = false;
        let bucket = documents_of.bucket_policy.iter_mut();
        for text in bucket.chain(documents_of.key.iter_mut().map(|(_, text)| text)) {
            replaced |= text.contains(from);
            *text = text.replace(from, to);
        }
        assert!(replaced, "{what}: nothing to replace in {documents_of:?}");
    }
    let proof = prove(&desired, &documents).expect(what);
    assert!(!proof.holds(), "{what} was not noticed");
}

#[test]
fn a_failed_cell_says_what_breaks_which_line() {
    let desired = desired(ROLES);
    let mut documents = planned(&desired);
    for documents in documents.lanes.values_mut() {
        let policy = documents.bucket_policy.as_mut().expect("a policy");
        *policy = policy.replace(
            "\"Sid\":\"ReaderGets\",\"Effect\":\"Allow\"",
            "\"Sid\":\"ReaderGets\",\"Effect\":\"Deny\"",
        );
    }
    let proof = prove(&desired, &documents).expect("a proof");
    let text = failures(&proof);
    assert!(
        text.contains("globex cannot get on lane `to-client`: denied: statement ReaderGets of the bucket policy denies it; the exchange file says [lane.to-client] to = [\"globex\"]. Request: s3:GetObject on arn:aws:s3:::acme-globex-to-client-"),
        "{text}"
    );
}

#[test]
fn documents_that_are_not_policies_are_an_error_and_not_a_proof() {
    let desired = desired(ROLES);
    let mut documents = planned(&desired);
    documents.lanes.get_mut(&lane("to-client")).expect("a lane").bucket_policy =
        Some("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Maybe\"}]}".to_owned());
    assert!(prove(&desired, &documents).is_err());
}

/// A hub with a lane to and a lane from each of a thousand partners.
#[test]
#[ignore = "long without optimisation: cargo test --release -p consign-provision proof:: -- --ignored"]
fn a_hub_of_a_thousand_partners_is_proved() {
    check_hub(1_000);
}

#[test]
fn claims_grow_with_the_lanes_alone() {
    let (ten, twenty) = (check_hub(10), check_hub(20));
    assert_eq!(ten.claims * 2, twenty.claims);
    assert_eq!(twenty.lanes, 40);
}

/// Proves a hub with so many partners.
fn check_hub(partners: usize) -> Totals {
    let desired = desired(&hub(partners));
    let documents = planned(&desired);
    let start = std::time::Instant::now();
    let proof = prove(&desired, &documents).expect("a proof");
    eprintln!("{:?}, {:?}", proof.totals, start.elapsed());
    assert!(proof.holds(), "{}", failures(&proof));
    proof.totals
}

/// A line on the same policy for a lane, whichever of many lanes it is.
#[test]
fn of_alike_lanes_one_is_listed_and_whatever_fails() {
    let desired = desired(&hub(20));
    let mut documents = planned(&desired);
    let proof = prove(&desired, &documents).expect("a proof");
    assert!(proof.holds(), "{}", failures(&proof));
    let alike: Vec<(String, usize)> =
        proof.alike.iter().map(|it| (it.listed.to_string(), it.lanes.len())).collect();
    assert_eq!(alike, [("orders-p0".to_owned(), 19), ("results-p0".to_owned(), 19)]);
    assert_eq!(proof.totals.cells, proof.cells.len() * 20);
    assert_eq!(proof.totals.claims, proof.claims.len() * 20);
    assert!(proof.cells_of(&lane("orders-p7")).is_empty());
    assert_eq!(*proof.listed_for(&lane("orders-p7")), lane("orders-p0"));
    assert_eq!(*proof.listed_for(&lane("orders-p0")), lane("orders-p0"));

    // A statement that denies plain HTTP is lost on one of the lanes that are not listed.
    let bucket = &mut documents.lanes.get_mut(&lane("orders-p7")).expect("a lane").bucket_policy;
    let text = bucket.as_mut().expect("a policy");
    let changed = text.replace("aws:SecureTransport", "aws:MultiFactorAuthPresent");
    assert_ne!(*text, changed);
    *text = changed;
    let proof = prove(&desired, &documents).expect("a proof");
    assert!(!proof.holds());
    let of = |cell: &consign_provision::prove::Cell| cell.lane.to_string();
    let lanes: BTreeSet<String> = proof.failures().map(of).collect();
    assert_eq!(lanes, BTreeSet::from(["orders-p7".to_owned()]));
    let lanes: BTreeSet<String> =
        proof.failed_claims().map(|claim| claim.lane.to_string()).collect();
    assert_eq!(lanes, BTreeSet::from(["orders-p7".to_owned()]));
    assert_eq!(proof.cells_of(&lane("orders-p7")).len() * 40, proof.totals.cells);
    let listed = proof.alike.iter().map(|it| it.lanes.len() + 1).sum::<usize>();
    assert_eq!(listed + 1, proof.totals.lanes);
}
