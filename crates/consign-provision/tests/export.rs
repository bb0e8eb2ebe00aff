//! Exported files say what `apply` writes: every document is read back out of them, references
//! resolved, compared and proven.

use crate::support::{ROLES, desired, lane, roles_to_make, shapes};
use consign_model::AccountId;
use consign_provision::export::{
    Files, Provider, accounts, cloudformation, made_for, policies, terraform,
};
use consign_provision::prove::{Documents, LaneDocuments, QueueDocuments};
use consign_provision::{Desired, ErrorKind, KeyArn, Keys, prove, same_meaning};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every document of the exported files, by the name it has in the folder of `policies`, with the
/// references to keys resolved to their stand-ins.
type ReadBack = BTreeMap<String, String>;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

/// Fails unless `read` holds the documents that `apply` writes, no more and no fewer, and they
/// prove the exchange.
fn check_documents(name: &str, desired: &Desired, read: &ReadBack) {
    let written = desired.documents(&Keys::new());
    assert_eq!(
        read.keys().collect::<Vec<_>>(),
        written.keys().collect::<Vec<_>>(),
        "{name}: the same documents"
    );
    for (file, document) in &written {
        let read = &read[file];
        assert!(same_meaning(read, &document.to_json()), "{name}, {file}: {read}");
    }
    let keys = desired.planned_keys();
    let lanes = desired.lanes.keys().map(|lane| {
        let key =
            keys.get(lane).map(|arn| (arn.clone(), read[&format!("key-{lane}.json")].clone()));
        let bucket_policy = read.get(&format!("bucket-{lane}.json")).cloned();
        (lane.clone(), LaneDocuments { bucket_policy, key })
    });
    let identities = desired.parties.keys().map(|party| {
        let policy = read.get(&format!("identity-{party}.json")).cloned();
        (party.clone(), policy.into_iter().collect())
    });
    let queues = desired.queues().map(|(lane, _)| {
        let text = |what: &str| read.get(&format!("{what}-{}.json", lane.name)).cloned();
        let documents = QueueDocuments { queue: text("queue"), dead_letters: text("dead-letters") };
        (lane.name.clone(), documents)
    });
    let (lanes, identities) = (lanes.collect(), identities.collect());
    let documents =
        Documents { lanes, identities, queues: queues.collect(), ..Documents::default() };
    assert!(prove(desired, &documents).expect(name).holds(), "{name}: the proof holds");
}

/// The lane whose name, in letters and digits, is `id`.
fn lane_of_id<'a>(desired: &'a Desired, id: &str) -> &'a str {
    let plain = |text: &str| text.replace('-', "").to_lowercase();
    let found = desired.lanes.keys().find(|lane| plain(lane.as_ref()) == id.to_lowercase());
    found.expect(id).as_ref()
}

/// The same of a party.
fn party_of_id<'a>(desired: &'a Desired, id: &str) -> &'a str {
    let plain = |text: &str| text.replace('-', "").to_lowercase();
    let found = desired.parties.keys().find(|party| plain(party.as_ref()) == id.to_lowercase());
    found.expect(id).as_ref()
}

/// What `Fn::GetAtt` and `Ref` stand for, everywhere in a value.
fn resolved(desired: &Desired, value: &Value) -> Value {
    let stand_in = |name: &str, end: &str| {
        let id = name.strip_prefix("Lane").and_then(|name| name.strip_suffix(end)).expect(name);
        let lane = &desired.lanes[&lane(lane_of_id(desired, id))];
        Value::from(KeyArn::planned(lane).as_str())
    };
    match value {
        Value::Object(fields) => {
            if let Some(target) = fields.get("Fn::GetAtt") {
                assert_eq!(target[1], "Arn");
                return stand_in(target[0].as_str().expect("a name"), "Key");
            }
            if let Some(name) = fields.get("Ref").and_then(Value::as_str) {
                return stand_in(name, "KeyArn");
            }
            let fields = fields.iter();
            Value::Object(fields.map(|(k, v)| (k.clone(), resolved(desired, v))).collect())
        }
        Value::Array(values) => values.iter().map(|value| resolved(desired, value)).collect(),
        other => other.clone(),
    }
}

fn documents_of_cloudformation(desired: &Desired, files: &Files) -> ReadBack {
    let mut read = ReadBack::new();
    for text in files.values() {
        let template = parsed(text);
        for (id, resource) in template["Resources"].as_object().expect("resources") {
            let within = |start: &str, end: &str| {
                id.strip_prefix(start).and_then(|id| id.strip_suffix(end)).map(str::to_owned)
            };
            let properties = &resource["Properties"];
            let (name, document) = match resource["Type"].as_str().expect("a type") {
                "AWS::S3::BucketPolicy" => {
                    let id = within("Lane", "BucketPolicy").expect(id);
                    (format!("bucket-{}", lane_of_id(desired, &id)), &properties["PolicyDocument"])
                }
                "AWS::SQS::QueuePolicy" => {
                    let (start, end) = match id.ends_with("DeadLettersPolicy") {
                        true => ("dead-letters", "DeadLettersPolicy"),
                        false => ("queue", "QueuePolicy"),
                    };
                    let id = within("Lane", end).expect(id);
                    (format!("{start}-{}", lane_of_id(desired, &id)), &properties["PolicyDocument"])
                }
                "AWS::KMS::Key" => {
                    let id = within("Lane", "Key").expect(id);
                    (format!("key-{}", lane_of_id(desired, &id)), &properties["KeyPolicy"])
                }
                "AWS::IAM::UserPolicy" | "AWS::IAM::RolePolicy" => {
                    let id = within("Party", "Policy").expect(id);
                    (
                        format!("identity-{}", party_of_id(desired, &id)),
                        &properties["PolicyDocument"],
                    )
                }
                "AWS::IAM::Role" => {
                    let id = within("Party", "Role").expect(id);
                    (
                        format!("trust-{}", party_of_id(desired, &id)),
                        &properties["AssumeRolePolicyDocument"],
                    )
                }
                _ => continue,
            };
            read.insert(format!("{name}.json"), resolved(desired, document).to_string());
        }
    }
    read
}

fn documents_of_terraform(desired: &Desired, files: &Files) -> ReadBack {
    let mut read = ReadBack::new();
    for text in files.values() {
        let module = parsed(text);
        for (kind, resources) in module["resource"].as_object().expect("resources") {
            let (start, at) = match kind.as_str() {
                "aws_s3_bucket_policy" => ("bucket", "policy"),
                "aws_kms_key" => ("key", "policy"),
                "aws_sqs_queue_policy" => ("queue", "policy"),
                "aws_iam_user_policy" | "aws_iam_role_policy" => ("identity", "policy"),
                "aws_iam_role" => ("trust", "assume_role_policy"),
                _ => continue,
            };
            for (name, resource) in resources.as_object().expect("resources") {
                let policy = resource[at].as_str().expect("a policy").to_owned();
                let document = desired.lanes.values().fold(policy, |text, lane| {
                    let name = lane.name.as_ref().replace('-', "_");
                    let stand_in = KeyArn::planned(lane);
                    text.replace(&format!("${{aws_kms_key.{name}.arn}}"), stand_in.as_str())
                        .replace(&format!("${{var.key_arn_{name}}}"), stand_in.as_str())
                });
                let document = document.replace("$${", "${").replace("%%{", "%{");
                let name = name.replace('_', "-");
                let file = match (start, name.strip_suffix("-dead-letters")) {
                    ("queue", Some(name)) => format!("dead-letters-{name}"),
                    ("queue", None) => format!("queue-{}", name.trim_end_matches("-queue")),
                    _ => format!("{start}-{name}"),
                };
                read.insert(format!("{file}.json"), document);
            }
        }
    }
    read
}

#[test]
fn templates_hold_the_documents_that_apply_writes() {
    for (name, text) in shapes() {
        let desired = desired(&text);
        let files = cloudformation(&desired, &Keys::new(), None).expect(name);
        assert_eq!(files.len(), accounts(&desired).len(), "{name}: a template per account");
        check_documents(name, &desired, &documents_of_cloudformation(&desired, &files));
    }
}

#[test]
fn modules_hold_the_documents_that_apply_writes() {
    for (name, text) in shapes() {
        let desired = desired(&text);
        let files = terraform(&desired, &Keys::new(), None, Provider::V6).expect(name);
        check_documents(name, &desired, &documents_of_terraform(&desired, &files));
    }
}

#[test]
fn the_folder_of_policies_holds_the_documents_that_apply_writes() {
    for (name, text) in shapes() {
        let desired = desired(&text);
        let mut files = policies(&desired, &Keys::new(), None).expect(name);
        let index = parsed(&files.remove("index.json").expect("an index"));
        let listed = index["documents"].as_object().expect("documents");
        assert_eq!(listed.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>(), "{name}");
        check_documents(name, &desired, &files);
    }
}

#[test]
fn an_account_gets_its_own_half() {
    let desired = desired(ROLES);
    let globex = AccountId::parse("222222222222").expect("an account");
    let files = policies(&desired, &Keys::new(), Some(&globex)).expect("files");
    assert_eq!(files.keys().collect::<Vec<_>>(), ["identity-globex.json", "index.json"]);

    let files = cloudformation(&desired, &Keys::new(), Some(&globex)).expect("files");
    let template = parsed(&files["acme-globex-222222222222.json"]);
    let resources = template["Resources"].as_object().expect("resources");
    assert_eq!(resources.keys().collect::<Vec<_>>(), ["PartyGlobexPolicy"]);
    // Nothing to fill in yet: the policy waits for the keys' ARNs, which acme's stack puts out.
    assert_eq!(template["Parameters"]["LaneToClientKeyArn"]["Default"], "");
    assert_eq!(resources["PartyGlobexPolicy"]["Condition"], "PartyGlobexKeysKnown");
    let waits = template["Conditions"]["PartyGlobexKeysKnown"].to_string();
    for parameter in ["LaneToClientKeyArn", "LaneFromClientKeyArn"] {
        assert!(waits.contains(parameter), "{waits}");
        let acme = AccountId::parse("111111111111").expect("an account");
        let files = cloudformation(&desired, &Keys::new(), Some(&acme)).expect("files");
        let owner = parsed(&files["acme-globex-111111111111.json"]);
        assert!(owner["Outputs"][parameter].is_object(), "{parameter}");
    }
}

#[test]
fn roles_are_made_where_the_exchange_file_says_who_assumes_them() {
    let desired = desired(&roles_to_make());
    let (trust, files) = (r#""arn:aws:iam::222222222222:root""#, Keys::new());
    let templates = cloudformation(&desired, &files, None).expect("templates");
    let template = parsed(&templates["acme-globex-111111111111.json"]);
    let role = &template["Resources"]["PartyAcmeRole"];
    assert_eq!(role["Type"], "AWS::IAM::Role");
    assert_eq!(role["Properties"]["RoleName"], "acme-ours");
    assert_eq!(role["Properties"]["Path"], "/xfer/");
    assert_eq!(role["Properties"]["Tags"][0]["Key"], "consign:exchange");
    assert!(role["Properties"]["AssumeRolePolicyDocument"].to_string().contains(trust), "{role}");
    let policy = &template["Resources"]["PartyAcmePolicy"]["Properties"];
    assert_eq!(policy["RoleName"]["Ref"], "PartyAcmeRole");
    for guarded in ["LaneToClientBucketPolicy", "LaneToClientKey"] {
        assert_eq!(template["Resources"][guarded]["DependsOn"][0], "PartyAcmeRole", "{guarded}");
    }
    let notes = template["Metadata"]["consign"]["notes"].to_string();
    assert!(!notes.contains("acme-ours") && !notes.contains(":root"), "{notes}");

    let modules = terraform(&desired, &files, None, Provider::V6).expect("modules");
    let module = parsed(&modules["acme-globex-111111111111/main.tf.json"]);
    let role = &module["resource"]["aws_iam_role"]["acme"];
    assert_eq!((&role["name"], &role["path"]), (&"acme-ours".into(), &"/xfer/".into()));
    assert_eq!(role["tags"]["consign:exchange"], "acme-globex");
    let policy = &module["resource"]["aws_iam_role_policy"]["acme"];
    assert_eq!(policy["role"], "${aws_iam_role.acme.name}");
    for kind in ["aws_s3_bucket_policy", "aws_kms_key"] {
        let before = module["resource"][kind]["to_client"]["depends_on"].to_string();
        assert!(before.contains("aws_iam_role.acme"), "{kind}: {before}");
    }
    let index = policies(&desired, &files, None).expect("policies").remove("index.json");
    let index = parsed(&index.expect("an index"));
    let entry = &index["documents"]["trust-globex.json"];
    assert_eq!(entry["kind"], "trust-policy");
    assert_eq!(entry["principal"], "role/acme-transfer");
}

/// acme trusts globex's principal, and both are in one account; globex trusts whom `globex` says.
fn one_trusts_the_other(globex: &str) -> String {
    let other = "arn:aws:iam::111111111111:role/acme-transfer";
    let role = |role: &str| format!("principal = \"{role}\"");
    let trusting = |it: &str, arn: &str| format!("{}\ntrust = \"{arn}\"", role(it));
    let (acmes, globexs) = ("role/xfer/acme-ours", "role/acme-transfer");
    ROLES
        .replace("222222222222", "111111111111")
        .replace(&role(acmes), &trusting(acmes, other))
        .replace(&role(globexs), &trusting(globexs, globex))
}

#[test]
fn whom_a_role_trusts_is_there_before_it() {
    let desired = desired(&one_trusts_the_other("arn:aws:iam::333333333333:role/broker"));
    let files = cloudformation(&desired, &Keys::new(), None).expect("a template");
    let template = parsed(&files["acme-globex-111111111111.json"]);
    assert_eq!(template["Resources"]["PartyAcmeRole"]["DependsOn"][0], "PartyGlobexRole");
    assert_eq!(template["Resources"]["PartyGlobexRole"]["DependsOn"], Value::Null);
    let notes = template["Metadata"]["consign"]["notes"].to_string();
    assert!(notes.contains("arn:aws:iam::333333333333:role/broker has to exist"), "{notes}");
    let files = terraform(&desired, &Keys::new(), None, Provider::V6).expect("a module");
    let module = parsed(&files["acme-globex-111111111111/main.tf.json"]);
    let roles = &module["resource"]["aws_iam_role"];
    assert_eq!(roles["acme"]["depends_on"][0], "aws_iam_role.globex");
    assert_eq!(roles["globex"]["depends_on"], Value::Null);
}

#[test]
fn a_key_that_its_owner_told_is_filled_in() {
    let desired = desired(ROLES);
    let arn = "arn:aws:kms:eu-west-1:111111111111:key/0a0a0a0a-0000-4000-8000-000000000001";
    let told = Keys::from([(lane("to-client"), KeyArn::new(arn))]);
    let files = cloudformation(&desired, &told, None).expect("files");
    let template = parsed(&files["acme-globex-222222222222.json"]);
    assert_eq!(template["Parameters"]["LaneToClientKeyArn"]["Default"], arn);
    let files = terraform(&desired, &told, None, Provider::V6).expect("files");
    let module = parsed(&files["acme-globex-222222222222/main.tf.json"]);
    assert_eq!(module["variable"]["key_arn_to_client"]["default"], arn);
    assert_eq!(module["variable"]["key_arn_from_client"]["default"], Value::Null);
    let files = policies(&desired, &told, None).expect("files");
    assert!(files["bucket-to-client.json"].contains(arn));
    assert!(files["identity-globex.json"].contains(arn));
}

#[test]
fn a_key_that_cannot_be_the_lanes_is_refused() {
    let good = "arn:aws:kms:eu-west-1:111111111111:key/0a0a";
    let check = |text: &str, name: &str, arn: &str| {
        let desired = desired(text);
        let told = Keys::from([(lane(name), KeyArn::new(arn))]);
        let error = cloudformation(&desired, &told, None).expect_err(arn);
        assert_eq!(error.kind(), ErrorKind::Exchange, "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hint().is_some(), "{error}");
    };
    check(ROLES, "nowhere", good);
    check(&ROLES.replace("owner", "at_rest = \"sse-s3\"\nowner"), "to-client", good);
    check(ROLES, "to-client", "arn:aws:kms:eu-west-1:222222222222:key/0a0a");
    check(ROLES, "to-client", "arn:aws:kms:us-east-1:111111111111:key/0a0a");
    check(ROLES, "to-client", "arn:aws:kms:eu-west-1:111111111111:key/");
    check(ROLES, "to-client", &format!("{good}${{path.module}}"));
    check(ROLES, "to-client", &format!("{good}\",\""));
}

#[test]
fn buckets_have_every_setting_that_apply_makes() {
    for (name, text) in shapes() {
        let desired = desired(&text);
        let files = cloudformation(&desired, &Keys::new(), None).expect(name);
        for lane in desired.lanes.values() {
            let template = parsed(&files[&format!("{}-{}.json", desired.exchange, lane.owner)]);
            let all = template["Resources"].as_object().expect("resources").values();
            let ours =
                |resource: &&Value| resource["Properties"]["BucketName"] == lane.bucket.as_ref();
            let bucket = all.clone().find(ours).expect("the bucket");
            assert_eq!(bucket["DeletionPolicy"], "Retain");
            assert_eq!(bucket["UpdateReplacePolicy"], "Retain");
            let settings = &bucket["Properties"];
            let rule = &settings["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
            let default = &rule["ServerSideEncryptionByDefault"];
            assert_eq!(default["SSEAlgorithm"], lane.sse_algorithm(), "{name}");
            assert_eq!(default["KMSMasterKeyID"].is_object(), lane.has_key(), "{name}");
            assert_eq!(rule["BucketKeyEnabled"], lane.bucket_key(), "{name}");
            let blocked = if name == "sse-c" { "NONE" } else { "SSE-C" };
            assert_eq!(rule["BlockedEncryptionTypes"]["EncryptionType"][0], blocked, "{name}");
            assert_eq!(settings["VersioningConfiguration"]["Status"], "Enabled");
            let block = settings["PublicAccessBlockConfiguration"].as_object().expect("blocks");
            assert_eq!(block.values().filter(|value| **value == true).count(), 4);
            let expiry = &settings["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"];
            assert_eq!(*expiry, lane.expire_days);
            assert_eq!(settings["BucketNamespace"], "account-regional");
        }
    }
}

#[test]
fn provider_5_is_refused_what_it_cannot_make() {
    let named = ROLES
        .replace("[lane.to-client]", "[lane.to-client]\nbucket = \"acme-to-client\"")
        .replace("[lane.from-client]", "[lane.from-client]\nbucket = \"acme-from-client\"");
    let check = |text: &str, at_fault: Option<&str>| {
        let made = terraform(&desired(text), &Keys::new(), None, Provider::V5);
        match (made, at_fault) {
            (Ok(files), None) => {
                let text: String = files.into_values().collect();
                assert!(!text.contains("blocked_encryption_types"), "{text}");
                assert!(!text.contains("bucket_namespace"), "{text}");
            }
            (Err(error), Some(at_fault)) => {
                assert!(error.to_string().contains(at_fault), "{error}");
                assert!(error.hint().is_some());
            }
            (made, _) => panic!("{made:?}"),
        }
    };
    check(&named, None);
    check(ROLES, Some("-an"));
    check(&named.replace("owner =", "at_rest = \"sse-c\"\nowner ="), Some("customer-provided"));
}

#[test]
fn a_template_beyond_the_limits_is_refused_with_a_remedy() {
    let mut text = "version = 1\nexchange = \"big\"\nregion = \"eu-west-1\"\n".to_owned();
    for n in 0..100 {
        for role in ["w", "r"] {
            text += &format!(
                "[party.{role}{n}]\naccount = \"111111111111\"\nprincipal = \"user/{role}{n}\"\n"
            );
        }
        text += &format!("[lane.l{n}]\nfrom = \"w{n}\"\nto = [\"r{n}\"]\n");
    }
    let error = cloudformation(&desired(&text), &Keys::new(), None).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("800 resources"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("split")));
}

#[test]
fn names_that_differ_in_hyphens_alone_are_refused() {
    let text =
        ROLES.replace("[lane.to-client]", "[lane.a-1]").replace("[lane.from-client]", "[lane.a1]");
    let error = cloudformation(&desired(&text), &Keys::new(), None).expect_err("one id twice");
    assert!(error.hint().is_some_and(|hint| hint.contains("rename")), "{error}");
    terraform(&desired(&text), &Keys::new(), None, Provider::V6).expect("two names");
}

#[test]
fn every_file_that_can_say_so_says_whose_it_is() {
    let desired = desired(ROLES);
    let none = Keys::new();
    let mut files = cloudformation(&desired, &none, None).expect("templates");
    files.extend(terraform(&desired, &none, None, Provider::V6).expect("modules"));
    let index = policies(&desired, &none, None).expect("policies").remove("index.json");
    files.extend(index.map(|index| ("index.json".to_owned(), index)));
    assert_eq!(files.len(), 5);
    for (name, text) in files {
        assert_eq!(made_for(&text).as_deref(), Some("acme-globex"), "{name}");
    }
    assert_eq!(made_for("{}"), None);
    assert_eq!(made_for("not json"), None);
}
