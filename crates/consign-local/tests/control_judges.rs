//! Other people's clients against IAM, STS and KMS, and `kill -9` in the middle of their work.

use std::path::Path;

use crate::support::process::{Process, judges, run};
use crate::support::{ACME, GLOBEX};
use serde_json::Value;

#[test]
fn boto3_is_content() {
    let Some([python]) = judges(["python"]) else { return };
    let work = tempfile::tempdir().expect("a folder");
    let cloud = Process::start(&work.path().join("cloud"));
    let has_boto3 = cloud.tool(&python).args(["-c", "import boto3"]).output();
    if !has_boto3.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED boto3_is_content: boto3 is missing (cargo xtask judges)");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/control_boto3.py");
    assert_eq!(run(cloud.tool(&python).arg(script)).trim(), "content");
}

#[test]
fn the_aws_cli_uses_the_profiles_alone() {
    let Some([aws]) = judges(["aws"]) else { return };
    let work = tempfile::tempdir().expect("a folder");
    let cloud = Process::start(&work.path().join("cloud"));
    // Endpoint, region and certificate come from ROOT/config; nothing else is set.
    let aws = |profile: &str, arguments: &[&str]| {
        let mut command = cloud.tool(&aws);
        command.env_remove("AWS_ENDPOINT_URL").env_remove("AWS_CA_BUNDLE").env_remove("AWS_REGION");
        let text = run(command.args(["--profile", profile, "--output", "json"]).args(arguments));
        serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text))
    };
    let me = aws("globex", &["sts", "get-caller-identity"]);
    assert_eq!(me["Arn"], format!("arn:aws:iam::{GLOBEX}:user/consign/globex"));
    let admin = format!("admin-{ACME}");
    let key = aws(&admin, &["kms", "create-key", "--description", "x"]);
    let key = key["KeyMetadata"]["KeyId"].as_str().expect("a key id").to_owned();
    let sealed = aws(&admin, &["kms", "encrypt", "--key-id", &key, "--plaintext", "c2VjcmV0"]);
    assert!(sealed["CiphertextBlob"].as_str().is_some_and(|blob| blob.len() > 60), "{sealed}");
    aws(&admin, &["s3", "mb", "s3://bucket-a"]);
    let url = aws(&admin, &["s3", "presign", "s3://bucket-a/k"]);
    assert!(url.as_str().is_some_and(|url| url.contains("X-Amz-Signature=")), "{url}");
}

/// Users made one after another, the server killed at some point: what was acknowledged is there,
/// and at most the one under way besides.
#[tokio::test(flavor = "multi_thread")]
async fn what_iam_acknowledged_survives_kill_9() {
    let work = tempfile::tempdir().expect("a folder");
    let root = work.path().join("cloud");
    let mut made: Vec<String> = Vec::new();
    for round in 0..6_u64 {
        let cloud = Process::start(&root);
        let iam = cloud.admin().for_service("iam");
        let listed = iam.query("Action=ListUsers&MaxItems=1000").await.expect("an answer").text();
        for name in &made {
            assert!(listed.contains(&format!("<UserName>{name}</UserName>")), "{name} is lost");
        }
        let count = listed.matches("<UserName>u-").count();
        assert!(count <= made.len() + 1, "{count} users after {} answers", made.len());
        // Whatever was under way counts from here on.
        made = listed
            .split("<UserName>")
            .filter_map(|rest| rest.split_once("</UserName>"))
            .map(|(name, _)| name.to_owned())
            .filter(|name| name.starts_with("u-"))
            .collect();
        let writing = tokio::spawn({
            let iam = iam.clone();
            async move {
                let mut made = Vec::new();
                for number in 0.. {
                    let name = format!("u-{round}-{number}");
                    let answer = iam.query(&format!("Action=CreateUser&UserName={name}")).await;
                    if answer.is_none_or(|answer| answer.status != 200) {
                        break;
                    }
                    made.push(name);
                }
                made
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(40 + 23 * round)).await;
        cloud.kill();
        made.extend(writing.await.expect("the writer"));
    }
    assert!(!made.is_empty(), "nothing was ever acknowledged");
}
