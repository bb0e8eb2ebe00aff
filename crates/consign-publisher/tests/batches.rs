//! What Lambda hands over, sound and damaged: no message is lost for another one's damage.

use consign_publisher::batch::{Handed, answer, parse};
use serde_json::{Value, json};

fn record() -> Value {
    json!({
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d", "receiptHandle": "r", "body": "b",
        "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1545082649183"},
        "messageAttributes": {}, "md5OfBody": "m", "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:111111111111:queue", "awsRegion": "eu-west-1",
    })
}

fn batch(records: &[Value]) -> Option<Vec<Handed>> {
    parse(json!({"Records": records}).to_string().as_bytes())
}

/// `queue body count` of each message, `-` for a damaged one.
fn shown(batch: Option<Vec<Handed>>) -> Vec<String> {
    let line = |handed: Handed| match handed.message {
        Some(message) => format!("{} {} {}", message.queue, message.body, message.receive_count),
        None => "-".to_owned(),
    };
    batch.map(|it| it.into_iter().map(line).collect()).unwrap_or_default()
}

#[test]
fn damage_to_one_message_is_its_own() {
    let damages = [
        ("body", json!(5), "-"),
        ("body", json!(null), "-"),
        ("body", json!({"Records": []}), "-"),
        ("eventSourceARN", json!(["x"]), "-"),
        ("eventSourceARN", json!("queue"), "queue b 3"),
        ("eventSourceARN", json!(""), " b 3"),
        ("attributes", json!(null), "queue b 1"),
        ("attributes", json!([1]), "queue b 1"),
        ("attributes", json!({}), "queue b 1"),
        ("attributes", json!({"ApproximateReceiveCount": 5}), "queue b 1"),
        ("attributes", json!({"ApproximateReceiveCount": "0"}), "queue b 1"),
        ("attributes", json!({"ApproximateReceiveCount": "-1"}), "queue b 1"),
        ("attributes", json!({"ApproximateReceiveCount": "99999999999"}), "queue b 1"),
        ("awsRegion", json!({"x": [1]}), "queue b 3"),
    ];
    for (name, value, expected) in damages {
        let mut damaged = record();
        damaged[name] = value;
        let found = shown(batch(&[damaged.clone(), record()]));
        assert_eq!(found, [expected, "queue b 3"], "{damaged}");
    }
    for name in ["body", "eventSourceARN"] {
        let mut damaged = record();
        damaged.as_object_mut().expect("an object").remove(name);
        assert_eq!(shown(batch(&[damaged, record()])), ["-", "queue b 3"], "{name}");
    }
}

#[test]
fn what_names_no_message_is_no_batch() {
    let mut nameless = record();
    nameless["messageId"] = json!(null);
    assert_eq!(batch(&[record(), nameless]), None);
    let deep = "[".repeat(100_000);
    for text in ["", "[]", "{}", "null", "\u{0}", r#"{"Records":{}}"#, r#"{"Records":[1]}"#, &deep]
    {
        assert_eq!(parse(text.as_bytes()), None, "{text:.20}");
    }
    assert_eq!(parse(b"\xff"), None);
    assert_eq!(batch(&[]), Some(Vec::new()));
}

#[test]
fn the_answer_names_what_comes_again() {
    assert_eq!(answer(&[].into()), r#"{"batchItemFailures":[]}"#);
    let expected = r#"{"batchItemFailures":[{"itemIdentifier":"a\"b"}]}"#;
    assert_eq!(answer(&["a\"b".to_owned()].into()), expected);
}
