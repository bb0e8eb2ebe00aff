//! Other people's clients against SQS and S3's events, and `kill -9` in the middle of their work.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::process::{Admin, Process, judges, run};
use crate::support::{ACME, REGION};
use serde_json::{Value, json};

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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/sqs_boto3.py");
    assert_eq!(run(cloud.tool(&python).arg(script)).trim(), "content");
}

#[test]
fn the_aws_cli_hears_of_an_object() {
    let Some([aws]) = judges(["aws"]) else { return };
    let work = tempfile::tempdir().expect("a folder");
    let cloud = Process::start(&work.path().join("cloud"));
    // Version 1 of the AWS CLI knows a host name of its own for SQS, and takes it rather than what
    // the environment or the profile says; the flag stands above all.
    let fixed = ["--output", "json", "--endpoint-url", cloud.endpoint()];
    let aws = |arguments: &[&str]| {
        let text = run(cloud.tool(&aws).args(fixed).args(arguments));
        serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text))
    };
    let made = aws(&["sqs", "create-queue", "--queue-name", "inbox"]);
    let url = made["QueueUrl"].as_str().expect("a URL").to_owned();
    aws(&["s3", "mb", "s3://heard-bucket"]);
    let attributes = json!({ "Policy": queue_policy("inbox", "heard-bucket") }).to_string();
    let set = ["sqs", "set-queue-attributes", "--queue-url", &url, "--attributes", &attributes];
    aws(&set);
    let configuration = json!({ "QueueConfigurations": [
        { "QueueArn": arn("inbox"), "Events": ["s3:ObjectCreated:*"] },
    ]});
    aws(&[
        "s3api",
        "put-bucket-notification-configuration",
        "--bucket",
        "heard-bucket",
        "--notification-configuration",
        &configuration.to_string(),
    ]);
    let letter = work.path().join("letter.txt");
    std::fs::write(&letter, b"dear globex").expect("a file");
    aws(&["s3", "cp", letter.to_str().expect("UTF-8"), "s3://heard-bucket/letter.txt"]);
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let got = aws(&["sqs", "receive-message", "--queue-url", &url, "--wait-time-seconds", "5"]);
        let message = &got["Messages"][0];
        heard.push(message["Body"].as_str().expect("a body").to_owned());
        let handle = message["ReceiptHandle"].as_str().expect("a handle");
        aws(&["sqs", "delete-message", "--queue-url", &url, "--receipt-handle", handle]);
    }
    let told = heard.iter().filter(|body| body.contains("s3:TestEvent")).count();
    assert_eq!(told, 1, "{heard:?}");
    assert!(heard.iter().any(|body| body.contains("\"key\":\"letter.txt\"")), "{heard:?}");
}

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACME}:{queue}")
}

fn queue_policy(queue: &str, bucket: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "Service": "s3.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": arn(queue),
        "Condition": {
            "ArnEquals": { "aws:SourceArn": format!("arn:aws:s3:::{bucket}") },
            "StringEquals": { "aws:SourceAccount": ACME },
        },
    }]})
    .to_string()
}

async fn sqs(admin: &Admin, operation: &str, input: Value) -> Option<Value> {
    let target = format!("AmazonSQS.{operation}");
    let headers =
        [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
    let answer = admin.send_with("POST", "/", &headers, input.to_string().as_bytes()).await?;
    assert_eq!(answer.status, 200, "{operation}: {}", answer.text());
    serde_json::from_slice(&answer.body).ok()
}

/// Objects put and messages sent, the server killed at some point, again and again: each object
/// that is there has its event, each acknowledged message is there, and no event tells of an
/// object that is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_told_after_kill_9() {
    let work = tempfile::tempdir().expect("a folder");
    let root = work.path().join("cloud");
    let url = format!("http://localhost/{ACME}/told");
    let mut sent = BTreeSet::new();
    for round in 0..5_u64 {
        let cloud = Process::start(&root);
        let (admin, s3) = (cloud.admin().for_service("sqs"), cloud.admin());
        if round == 0 {
            let body = format!(
                "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint>\
                 </CreateBucketConfiguration>"
            );
            s3.send("PUT", "/told-bucket", body.as_bytes()).await.expect("an answer");
            let attributes = json!({ "Policy": queue_policy("told", "told-bucket") });
            let input = json!({ "QueueName": "told", "Attributes": attributes });
            sqs(&admin, "CreateQueue", input).await.expect("an answer");
            let document = format!(
                "<NotificationConfiguration><QueueConfiguration><Queue>{}</Queue>\
                 <Event>s3:ObjectCreated:*</Event></QueueConfiguration>\
                 </NotificationConfiguration>",
                arn("told")
            );
            let put = s3.send("PUT", "/told-bucket?notification=", document.as_bytes()).await;
            put.expect("an answer").expect_ok();
        }
        let putting = tokio::spawn({
            let s3 = s3.clone();
            async move {
                for number in 0.. {
                    let target = format!("/told-bucket/o-{round}-{number}");
                    if s3.send("PUT", &target, b"content").await.is_none() {
                        break;
                    }
                }
            }
        });
        let sending = tokio::spawn({
            let url = url.clone();
            async move {
                let mut sent = Vec::new();
                for number in 0.. {
                    let body = format!("m-{round}-{number}");
                    let input = json!({ "QueueUrl": url, "MessageBody": body });
                    if sqs(&admin, "SendMessage", input).await.is_none() {
                        break;
                    }
                    sent.push(body);
                }
                sent
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(150 + 37 * round)).await;
        cloud.kill();
        putting.await.expect("the one who puts");
        sent.extend(sending.await.expect("the one who sends"));
    }
    let cloud = Process::start(&root);
    let listed = cloud.admin().send("GET", "/told-bucket?list-type=2&max-keys=1000", &[]).await;
    let listed = listed.expect("an answer").text();
    let keys: BTreeSet<String> = listed
        .split("<Key>")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()))
        .collect();
    assert!(!listed.contains("<IsTruncated>true"), "more objects than one page shows");
    let (mut told, mut found) = (BTreeSet::new(), BTreeSet::new());
    let admin = cloud.admin().for_service("sqs");
    loop {
        let input = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 600 });
        let got = sqs(&admin, "ReceiveMessage", input).await.expect("an answer");
        let Some(messages) = got["Messages"].as_array() else { break };
        for message in messages {
            let body = message["Body"].as_str().expect("a body").to_owned();
            match serde_json::from_str::<Value>(&body) {
                Ok(event) if event["Event"] == "s3:TestEvent" => {}
                Ok(event) => {
                    let key = event["Records"][0]["s3"]["object"]["key"].as_str().expect("a key");
                    assert!(told.insert(key.to_owned()), "{key} is told twice");
                }
                Err(_) => assert!(found.insert(body.clone()), "{body} is there twice"),
            }
        }
    }
    assert!(!keys.is_empty() && !sent.is_empty(), "nothing was ever acknowledged");
    assert_eq!(told, keys);
    let lost: Vec<_> = sent.difference(&found).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}
