//! Encryption at rest as a lane declares it, seen by other people's software.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Deployment, TO_CLIENT, succeed};

/// A deployment whose lanes have these fields.
fn deployment(fields: &str) -> Deployment {
    Deployment::with(|text| text.replace("\nto = [", &format!("\n{fields}\nto = [")))
}

/// What boto3 says of the encryption of every object, as `globex`, and of one that `acme` puts
/// without saying anything about encryption.
const LOOK: &str = r#"
import boto3, sys
bucket = sys.argv[1]
s3 = {name: boto3.Session(profile_name=name).client("s3") for name in ("acme", "globex")}
put = s3["acme"].put_object(Bucket=bucket, Key="by-hand", Body=b"by hand")
print("put", put["ServerSideEncryption"], put.get("SSEKMSKeyId", "-"))
for entry in s3["globex"].list_objects_v2(Bucket=bucket)["Contents"]:
    head = s3["globex"].head_object(Bucket=bucket, Key=entry["Key"])
    print("head", head["ServerSideEncryption"], head.get("SSEKMSKeyId", "-"))
"#;

#[test]
fn boto3_sees_the_encryption_that_the_lane_declares() {
    let python = consign_testkit::require!("python");
    for (mode, said) in [("dsse-kms", "aws:kms:dsse"), ("sse-kms", "aws:kms"), ("sse-s3", "AES256")]
    {
        let deployment = deployment(&format!("at_rest = \"{mode}\""));
        deployment.file("scans/large.bin", &vec![7; 9 << 20]);
        deployment.file("scans/small.txt", b"small");
        deployment.run(&["send", "scans", "--lane", "to-client", "--profile", "acme"]);
        let told = succeed(deployment.tool(&python).args(["-c", LOOK, TO_CLIENT]));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 6, "{told}");
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[1], said, "{mode}: {told}");
            assert_eq!(words[2].starts_with("arn:aws:kms:"), mode != "sse-s3", "{mode}: {told}");
        }
        let args = ["receive", "--lane", "to-client", "--into", "inbox", "--profile", "globex"];
        deployment.run(&args);
    }
}

/// Puts the private files of a party into a key folder of its own, as on a machine of its own.
fn own_keys(deployment: &Deployment, party: &str) -> String {
    let all = deployment.path("config/consign/keys");
    let own = deployment.path(&format!("keys-of-{party}"));
    std::fs::create_dir(&own).unwrap();
    for ending in ["identity", "signer", "signer.pub"] {
        let name = format!("{party}.{ending}");
        std::fs::copy(all.join(&name), own.join(&name)).unwrap();
    }
    own.to_str().unwrap().to_owned()
}

#[test]
fn two_parties_share_a_lanes_secret_and_stock_tools_fetch_with_it() {
    let (aws, _age, _python) = consign_testkit::require!("aws", "age", "python3");
    let deployment = deployment("at_rest = \"sse-c\"");
    let (acme, globex) = (own_keys(&deployment, "acme"), own_keys(&deployment, "globex"));
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    deployment.file("scans/scan.bin", &large);
    deployment.file("scans/note", b"a note");
    let send = ["send", "scans", "--lane", "to-client", "--profile", "acme", "--keys", &acme];
    let errors = deployment.fail(2, &send);
    assert!(errors.contains("consign keys lane-secret to-client"), "{errors}");

    for lane in ["to-client", "from-client"] {
        let said = deployment.run(&["keys", "lane-secret", lane, "--keys", &acme]);
        assert!(said.contains("Made the secret"), "{said}");
    }
    let secret_file = Path::new(&acme).join("acme-globex.to-client.lane-secret");
    assert_eq!(std::fs::metadata(&secret_file).unwrap().permissions().mode() & 0o777, 0o600);
    // The file for the other party is sealed.
    let secret = std::fs::read_to_string(&secret_file).unwrap();
    let secret = secret.lines().last().unwrap().split(' ').nth(2).unwrap().to_owned();
    let sealed = std::fs::read(deployment.path("to-client.lane-secret.age")).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
    assert!(!String::from_utf8_lossy(&sealed).contains(&secret));

    let sent: serde_json::Value =
        serde_json::from_str(&deployment.run(&[&send[..], &["--json"]].concat())).unwrap();
    let id = sent["id"].as_str().unwrap();
    let receive = ["receive", "--lane", "to-client", "--into", "inbox", "--profile", "globex"];
    let receive = [&receive[..], &["--keys", &globex]].concat();
    let errors = deployment.fail(2, &receive);
    assert!(errors.contains("--import"), "{errors}");
    let import = ["keys", "lane-secret", "to-client", "--keys", &globex, "--import"];
    let wrong = [&import[..], &["from-client.lane-secret.age"]].concat();
    assert!(deployment.fail(3, &wrong).contains("another exchange or lane"));
    let right = [&import[..], &["to-client.lane-secret.age"]].concat();
    assert!(deployment.run(&right).contains("from acme"));
    assert!(deployment.run(&right).contains("here already"));
    deployment.run(&receive);
    let inbox = deployment.path("inbox").join(id).join("scans");
    assert_eq!(std::fs::read(inbox.join("scan.bin")).unwrap(), large);

    // The same with stock tools, as docs/no-lock-in.md shows it.
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/no-lock-in.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("```sh sse-c\n").nth(1).unwrap().split("```").next().unwrap();
    let open = "age -d -i \"$IDENTITY\" -o scan.bin fetched/000001.age";
    std::fs::create_dir(deployment.path("by-hand")).unwrap();
    let path = format!("{}:{}", aws.parent().unwrap().display(), std::env::var("PATH").unwrap());
    succeed(
        deployment
            .tool(Path::new("/bin/bash"))
            .args(["-c", &format!("set -eu\ncd by-hand\n{block}\n{open}")])
            .env("PATH", path)
            .env("AWS_PROFILE", "globex")
            .env("BUCKET", TO_CLIENT)
            .env("ID", id)
            .env("EXCHANGE", "acme-globex")
            .env("LANE", "to-client")
            .env("LANE_SECRET", Path::new(&globex).join("acme-globex.to-client.lane-secret"))
            .env("IDENTITY", Path::new(&globex).join("globex.identity")),
    );
    assert_eq!(std::fs::read(deployment.path("by-hand/scan.bin")).unwrap(), large);

    // What is sent from now on lies under another secret; what lies there is still received.
    let rotated = ["keys", "lane-secret", "to-client", "--keys", &acme, "--rotate"];
    assert!(deployment.run(&rotated).contains("Made the secret"));
    deployment.file("scans/note", b"another note");
    deployment.run(&send);
    deployment.run(&right);
    deployment.run(&receive);
    assert_eq!(std::fs::read_dir(deployment.path("inbox")).unwrap().count(), 2);
    let verify = ["verify", id, "--lane", "to-client", "--profile", "globex", "--keys", &globex];
    deployment.run(&verify);
}

/// Declares another encryption at rest for all lanes, and applies it.
fn declare(deployment: &Deployment, before: &str, after: &str) {
    let file = deployment.path("exchange.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, after) = (format!("at_rest = \"{before}\""), format!("at_rest = \"{after}\""));
    assert!(text.contains(&before));
    std::fs::write(&file, text.replace(&before, &after)).unwrap();
    deployment.run(&["apply", "--yes", "--allow-widening"]);
}

#[test]
fn what_lies_on_a_lane_moves_to_the_encryption_that_is_declared_anew() {
    let deployment = deployment("at_rest = \"sse-kms\"");
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    deployment.file("scans/scan.bin", &large);
    deployment.file("scans/note", b"a note");
    let sent =
        deployment.run(&["send", "scans", "--lane", "to-client", "--profile", "acme", "--json"]);
    let sent: serde_json::Value = serde_json::from_str(&sent).unwrap();
    let id = sent["id"].as_str().unwrap();
    for lane in ["to-client", "from-client"] {
        deployment.run(&["keys", "lane-secret", lane, "--as", "acme"]);
    }
    let rekey = |to: &'static str| ["rekey", "--lane", "to-client", "--to", to];
    // Neither without being declared, nor by a party, nor while another thing is deployed.
    assert!(deployment.fail(2, &rekey("sse-s3")).contains("write `at_rest = \"sse-s3\"`"));
    let as_party = [&rekey("sse-kms")[..], &["--dry-run", "--profile", "acme"]].concat();
    assert!(deployment.fail(4, &as_party).contains("--profile of one of globex"));

    let mut before = "sse-kms";
    for to in ["sse-s3", "dsse-kms", "sse-c", "sse-kms"] {
        declare(&deployment, before, to);
        let look = [&rekey(to)[..], &["--dry-run", "--profile", "globex"]].concat();
        let seen = deployment.run(&look);
        assert!(seen.contains(&format!("Would move 4 objects (4 from {before})")), "{seen}");
        let moved: serde_json::Value = serde_json::from_str(
            &deployment.run(&[&rekey(to)[..], &["--yes", "--json", "--remove-old"]].concat()),
        )
        .unwrap();
        let objects = moved["moved"].as_array().unwrap();
        assert_eq!(objects.len(), 4, "{moved}");
        assert!(objects.iter().all(|object| object["checksum_compared"] == true), "{moved}");
        assert!(deployment.run(&["plan"]).contains("Nothing to do"));
        deployment.run(&["verify", id, "--lane", "to-client", "--profile", "globex"]);
        before = to;
    }
    deployment.run(&["receive", "--lane", "to-client", "--into", "inbox", "--profile", "globex"]);
    let inbox = deployment.path("inbox").join(id).join("scans");
    assert_eq!(std::fs::read(inbox.join("scan.bin")).unwrap(), large);
}
