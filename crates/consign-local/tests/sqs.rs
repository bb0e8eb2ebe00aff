//! SQS as hostile and mistaken clients see it: one row per request, with status and code.

use crate::support::{ACME, Ask, Cloud, GLOBEX, Signer};
use serde_json::{Value, json};

async fn call(cloud: &Cloud, signer: &Signer, operation: &str, body: &[u8]) -> (u16, Value) {
    let answer = cloud.send(&signer.sign(ask(cloud, operation, body))).await;
    let document = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    (answer.status, document)
}

fn ask(cloud: &Cloud, operation: &str, body: &[u8]) -> Ask {
    cloud
        .ask("POST", "/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", &format!("AmazonSQS.{operation}"))
        .body(body.to_vec())
}

fn code(document: &Value) -> &str {
    let code = document["__type"].as_str().unwrap_or_default();
    code.strip_prefix("com.amazonaws.sqs#").unwrap_or(code)
}

async fn with_queue(cloud: &Cloud, attributes: Value) -> (Signer, String) {
    let admin = cloud.signer(cloud.admin(ACME), "sqs");
    let input = json!({ "QueueName": "inbox", "Attributes": attributes }).to_string();
    let (status, made) = call(cloud, &admin, "CreateQueue", input.as_bytes()).await;
    assert_eq!(status, 200, "{made}");
    (admin, made["QueueUrl"].as_str().expect("a URL").to_owned())
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let cloud = Cloud::start().await;
    let (admin, url) = with_queue(&cloud, json!({})).await;
    let with = |more: Value| {
        let mut input = json!({ "QueueUrl": url });
        input.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        input.to_string().into_bytes()
    };
    let at = |url: &str| json!({ "QueueUrl": url, "MessageBody": "x" }).to_string().into_bytes();
    let deep = "[".repeat(100_000).into_bytes();
    let long = json!({ "ReceiptHandle": "A".repeat(100_000) });
    let lacks = "SerializationException";
    let absent = "QueueDoesNotExist";
    let value = "InvalidParameterValueException";
    let foreign = format!("https://evil.example/{GLOBEX}/inbox");
    let host = format!("https://evil.example/{ACME}/inbox");
    for (operation, body, status, expected) in [
        ("SendMessage", b"".to_vec(), 400, lacks),
        ("SendMessage", b"{".to_vec(), 400, lacks),
        ("SendMessage", b"\xff\xfe".to_vec(), 400, lacks),
        ("SendMessage", deep, 400, lacks),
        ("SendMessage", with(json!({ "MessageBody": 1 })), 400, lacks),
        ("SendMessage", with(json!({ "MessageBody": "x", "DelaySeconds": -1 })), 400, lacks),
        ("SendMessage", with(json!({ "MessageBody": "x", "DelaySeconds": 901 })), 400, value),
        ("SendMessage", with(json!({ "MessageBody": "" })), 400, "MissingParameterException"),
        ("SendMessage", with(json!({ "MessageBody": "\u{0}" })), 400, "InvalidMessageContents"),
        ("SendMessage", with(json!({ "MessageBody": "\u{ffff}" })), 400, "InvalidMessageContents"),
        ("SendMessage", at(&foreign), 400, absent),
        ("SendMessage", at("https://evil.example/../../x"), 400, absent),
        ("SendMessage", at(""), 400, absent),
        // Behind which name this cloud was reached says nothing about the queue.
        ("SendMessage", at(&host), 200, ""),
        (
            "SendMessage",
            with(json!({ "MessageBody": "x", "MessageAttributes": { "a": {} } })),
            400,
            "UnsupportedOperation",
        ),
        (
            "SendMessage",
            with(json!({ "MessageBody": "x", "MessageGroupId": "g" })),
            400,
            "UnsupportedOperation",
        ),
        ("DeleteMessage", with(json!({ "ReceiptHandle": "" })), 400, "ReceiptHandleIsInvalid"),
        ("DeleteMessage", with(json!({ "ReceiptHandle": "éé" })), 400, "ReceiptHandleIsInvalid"),
        ("DeleteMessage", with(long), 400, "ReceiptHandleIsInvalid"),
        ("ReceiveMessage", with(json!({ "MaxNumberOfMessages": 0 })), 400, value),
        ("ReceiveMessage", with(json!({ "VisibilityTimeout": 43201 })), 400, value),
        ("ReceiveMessage", with(json!({ "WaitTimeSeconds": u64::MAX })), 400, value),
        ("SendMessageBatch", with(json!({ "Entries": [] })), 400, "EmptyBatchRequest"),
        (
            "SendMessageBatch",
            with(json!({ "Entries": [{ "Id": "a b", "MessageBody": "x" }] })),
            400,
            "InvalidBatchEntryId",
        ),
        ("CreateQueue", br#"{"QueueName":"../x"}"#.to_vec(), 400, value),
        ("CreateQueue", br#"{"QueueName":"x.fifo"}"#.to_vec(), 400, "UnsupportedOperation"),
        ("AddPermission", with(json!({})), 400, "UnsupportedOperation"),
        ("", Vec::new(), 400, "UnknownOperationException"),
    ] {
        let (found, document) = call(&cloud, &admin, operation, &body).await;
        let shown = String::from_utf8_lossy(&body).chars().take(120).collect::<String>();
        assert_eq!((found, code(&document)), (status, expected), "{operation} {shown}");
    }
    let too_long = vec![b' '; 9 << 20];
    let (status, document) = call(&cloud, &admin, "SendMessage", &too_long).await;
    assert_eq!((status, code(&document)), (400, "RequestEntityTooLarge"));
}

#[tokio::test]
async fn the_gate_and_the_policies_stand_before_every_operation() {
    let cloud = Cloud::start().await;
    let (admin, url) = with_queue(&cloud, json!({})).await;
    let input = json!({ "QueueUrl": url, "MessageBody": "x", "ReceiptHandle": "x" }).to_string();
    let unsigned = cloud.send(&ask(&cloud, "SendMessage", input.as_bytes())).await;
    assert_eq!(unsigned.status, 400, "{}", unsigned.text());
    assert!(unsigned.text().contains("MissingAuthenticationToken"), "{}", unsigned.text());
    let mut bent = admin.sign(ask(&cloud, "SendMessage", input.as_bytes()));
    bent.body.push(b' ');
    let bent = cloud.send(&bent).await;
    assert!(bent.text().contains("InvalidSignatureException"), "{}", bent.text());
    // A signature for another service is for that service.
    let for_kms = cloud.signer(cloud.admin(ACME), "kms");
    let (status, document) = call(&cloud, &for_kms, "SendMessage", input.as_bytes()).await;
    assert_eq!((status, code(&document)), (400, "UnknownOperationException"));
    let stranger = cloud.signer(cloud.profile("globex"), "sqs");
    for operation in [
        "SendMessage",
        "ReceiveMessage",
        "DeleteMessage",
        "ChangeMessageVisibility",
        "GetQueueAttributes",
        "ListQueueTags",
        "PurgeQueue",
        "DeleteQueue",
        "ListDeadLetterSourceQueues",
    ] {
        let (status, document) = call(&cloud, &stranger, operation, input.as_bytes()).await;
        let found = (status, code(&document));
        assert_eq!(found, (403, "AccessDeniedException"), "{operation}: {document}");
    }
    let (status, document) = call(&cloud, &stranger, "ListQueues", b"{}").await;
    assert_eq!((status, code(&document)), (403, "AccessDeniedException"), "{document}");
}

#[tokio::test]
async fn messages_end_when_their_time_is_over() {
    let cloud = Cloud::start().await;
    let (admin, url) = with_queue(&cloud, json!({ "MessageRetentionPeriod": "60" })).await;
    let input = json!({ "QueueUrl": url, "MessageBody": "x" }).to_string();
    call(&cloud, &admin, "SendMessage", input.as_bytes()).await;
    cloud.clock.advance_seconds(61);
    let later = cloud.signer(cloud.admin(ACME), "sqs");
    let (status, got) = call(&cloud, &later, "ReceiveMessage", input.as_bytes()).await;
    assert_eq!((status, got), (200, json!({})));
}

#[tokio::test]
async fn bodies_do_not_lie_on_the_disk_in_the_clear() {
    let cloud = Cloud::start().await;
    let (admin, url) = with_queue(&cloud, json!({})).await;
    let marker = "PLAINTEXT-MARKER-of-a-message";
    let input = json!({ "QueueUrl": url, "MessageBody": marker }).to_string();
    let (status, _) = call(&cloud, &admin, "SendMessage", input.as_bytes()).await;
    assert_eq!(status, 200);
    let file = std::fs::read(cloud.running.root().join("objects.redb")).expect("the database");
    let found = file.windows(marker.len()).any(|window| window == marker.as_bytes());
    assert!(!found, "the body is in objects.redb");
}
