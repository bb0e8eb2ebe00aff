//! What is refused, and how it is told. Also documents made to harm.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail loudly and read as data"
)]

use consign_iam::{Policy, PolicyKind, Refusal};
use serde_json::{Value, json};

fn check(kind: Option<PolicyKind>, text: &str, expected: &str) {
    let parsed = match kind {
        Some(kind) => Policy::parse_as(kind, text),
        None => Policy::parse(text),
    };
    match parsed {
        Ok(_) => assert_eq!("accepted", expected, "{text}"),
        Err(refusal) => {
            assert!(refusal.to_string().contains(expected), "{refusal}\nlacks: {expected}");
        }
    }
}

/// A well-formed statement with some elements replaced; `null` takes one away.
fn with(changes: Value) -> String {
    let mut statement = json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" });
    for (element, value) in changes.as_object().unwrap() {
        if value.is_null() {
            statement.as_object_mut().unwrap().remove(element);
        } else {
            statement[element] = value.clone();
        }
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

fn refused(changes: Value, expected: &str) {
    check(None, &with(changes), expected);
}

#[test]
fn a_refusal_names_place_and_reason() {
    let text = "{\n \"Version\": \"2012-10-17\",\n \"Statement\": [\n  {\"Effect\": \"Allow\", \"Action\": \"s3:*\", \"Resource\": \"*\",\n   \"Condtion\": {}}\n ]\n}";
    let refusal: Refusal = Policy::parse(text).unwrap_err();
    assert_eq!(refusal.place(), "Statement[0] (line 5, column 4)");
    assert_eq!(refusal.reason(), "unknown element `Condtion`; did you mean `Condition`?");
    assert_eq!(refusal.path(), "Statement[0]");
}

#[test]
fn elements_are_checked() {
    refused(json!({}), "accepted");
    refused(json!({ "Effect": "allow" }), "`Allow` or `Deny`, not `allow`");
    refused(json!({ "Effect": null }), "no `Effect`");
    refused(json!({ "Action": null }), "no `Action`");
    refused(json!({ "Action": [] }), "lists no action");
    refused(json!({ "Action": 1 }), "expected a string, found a number");
    refused(json!({ "Action": "GetObject" }), "not of the form");
    refused(json!({ "Action": "s*:GetObject" }), "not of the form");
    refused(json!({ "Action": "*:*" }), "accepted");
    refused(json!({ "Action": ["s3:Get Object"] }), "not of the form");
    refused(json!({ "NotAction": "s3:*" }), "exclude each other");
    refused(json!({ "Resource": null }), "no `Resource`");
    refused(json!({ "Resource": [] }), "lists no resource");
    refused(json!({ "Resource": "bucket/*" }), "neither an ARN");
    refused(json!({ "Resource": "arn:aws:s3" }), "neither an ARN");
    for arn in ["arn:::::", "arn:aws::::b", "arn:x:s3:::b/*", "arn:aws:s3:::b\n", "arns:aws:s3:::b"]
    {
        refused(json!({ "Resource": arn }), "neither an ARN");
    }
    for arn in ["arn:aws-cn:s3:::b", "arn:*:s3:::b", "arn:aws:s3:::b/a b", "arn:*", "arn:aws:s3:*"]
    {
        refused(json!({ "Resource": arn }), "accepted");
    }
    refused(json!({ "NotResource": "*" }), "exclude each other");
    refused(json!({ "Resource": "arn:aws:s3:::b/${aws:username" }), "policy variable");
    refused(json!({ "Resource": "arn:aws:s3:::b/${aws:username, x}" }), "policy variable");
    refused(json!({ "Resource": "arn:aws:s3:::b/${}" }), "policy variable");
    refused(json!({ "Sid": "with space" }), "letters and digits");
    refused(json!({ "Sid": 3 }), "expected a string");
}

#[test]
fn principals_are_checked() {
    refused(json!({ "Principal": "arn:aws:iam::111111111111:root" }), "names nobody");
    refused(json!({ "Principal": {} }), "names nobody");
    refused(json!({ "Principal": { "AWS": [] } }), "names nobody");
    refused(json!({ "Principal": { "aws": "*" } }), "did you mean `AWS`?");
    refused(json!({ "Principal": { "AWS": "ann" } }), "names no principal");
    refused(json!({ "Principal": { "AWS": "arn:aws:s3:::bucket" } }), "names no principal");
    refused(json!({ "Principal": { "AWS": "1234" } }), "names no principal");
    refused(json!({ "Principal": { "Service": "s3" } }), "names no principal");
    for arn in [
        "arn:aws:iam::111111111111:group/g",
        "arn:aws:iam::111111111111:user/${aws:username}",
        "arn:aws:iam::111111111111:user/",
        "arn:aws:iam::1111:user/ann",
        "arn:aws:sts::111111111111:assumed-role/r",
        "arn:aws:sts::111111111111:user/ann",
    ] {
        refused(json!({ "Principal": { "AWS": arn } }), "names no principal");
    }
    let identity = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1";
    refused(json!({ "Principal": { "AWS": identity } }), "accepted");
    refused(json!({ "Principal": ["*"] }), "expected an object");
    refused(json!({ "Principal": { "AWS": "AIDAQABCDEFGHIJKLMNOP" } }), "accepted");
    refused(json!({ "Principal": { "CanonicalUser": "0123abcd" } }), "accepted");
    refused(json!({ "NotPrincipal": { "AWS": "111111111111" } }), "everybody not listed");
    refused(
        json!({ "NotPrincipal": "*", "Principal": "*", "Effect": "Deny" }),
        "exclude each other",
    );
    refused(json!({ "NotPrincipal": { "AWS": "111111111111" }, "Effect": "Deny" }), "accepted");
}

#[test]
fn conditions_are_checked() {
    let condition = |operator: &str, key: &str, value: Value| json!({ "Condition": { operator: { key: value } } });
    refused(condition("StringEqual", "aws:x", json!("1")), "did you mean `StringEquals`?");
    refused(condition("ForEveryValue:StringEquals", "aws:x", json!("1")), "unknown prefix");
    refused(condition("NullIfExists", "aws:x", json!("true")), "neither `IfExists`");
    refused(condition("ForAnyValue:Null", "aws:x", json!("true")), "neither `IfExists`");
    refused(condition("Null", "aws:x", json!("maybe")), "true or false");
    refused(condition("Null", "aws:x", json!(true)), "accepted");
    refused(condition("StringEquals", "username", json!("1")), "service:key");
    refused(condition("StringEquals", " aws:x", json!("1")), "service:key");
    refused(condition("StringEquals", "aws:x", json!(null)), "found null");
    refused(condition("StringEquals", "aws:x", json!({ "a": 1 })), "found an object");
    refused(condition("StringEquals", "aws:x", json!([["a"]])), "found an array");
    refused(condition("StringEquals", "aws:x", json!([])), "accepted");
    refused(condition("NumericLessThan", "aws:x", json!(15)), "accepted");
    refused(condition("stringlikeifexists", "aws:x", json!("a")), "accepted");
    refused(json!({ "Condition": [] }), "expected an object");
    refused(json!({ "Condition": { "StringEquals": "x" } }), "expected an object");
}

#[test]
fn each_kind_has_its_own_rules() {
    let identity = with(json!({}));
    let resource = with(json!({ "Principal": { "AWS": "111111111111" } }));
    let trust = with(
        json!({ "Principal": { "AWS": "111111111111" }, "Resource": null, "Action": "sts:AssumeRole" }),
    );
    let guard = with(json!({ "Principal": "*", "Effect": "Deny" }));
    let full = with(json!({ "Principal": "*", "Action": "*" }));
    check(Some(PolicyKind::Identity), &identity, "accepted");
    check(Some(PolicyKind::Identity), &resource, "names no principals");
    check(Some(PolicyKind::ServiceControl), &identity, "accepted");
    check(Some(PolicyKind::Resource), &identity, "no `Principal`");
    check(Some(PolicyKind::Resource), &resource, "accepted");
    check(Some(PolicyKind::Resource), &trust, "no `Resource`");
    check(Some(PolicyKind::Trust), &trust, "accepted");
    check(Some(PolicyKind::Trust), &resource, "names no resource");
    check(Some(PolicyKind::ResourceControl), &guard, "accepted");
    check(Some(PolicyKind::ResourceControl), &full, "accepted");
    check(Some(PolicyKind::ResourceControl), &resource, "principal `*`");
    let twice = |principal: Value| {
        let mut statement =
            json!({ "Sid": "Same", "Effect": "Deny", "Action": "kms:*", "Resource": "*" });
        if !principal.is_null() {
            statement["Principal"] = principal;
        }
        json!({ "Statement": [statement, statement] }).to_string()
    };
    check(None, &twice(json!(null)), "two statements are called `Same`");
    check(Some(PolicyKind::Resource), &twice(json!("*")), "two statements");
    check(Some(PolicyKind::Key), &twice(json!("*")), "accepted");
}

#[test]
fn the_document_itself_is_checked() {
    check(None, "", "the text ends");
    check(None, "[]", "expected an object");
    check(None, "{}", "no `Statement`");
    check(None, r#"{"Statement": []}"#, "at least one statement");
    check(None, r#"{"Statement": [1]}"#, "expected an object");
    check(None, r#"{"version": "2012-10-17", "Statement": []}"#, "did you mean `Version`?");
    check(None, r#"{"Version": "2012-10-18", "Statement": []}"#, "unknown version");
    check(None, r#"{"Version": 2012, "Statement": []}"#, "expected a string");
    check(None, &format!("{} x", with(json!({}))), "after the end");
    check(
        None,
        r#"{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}}"#,
        "`Effect` stands twice",
    );
    check(
        None,
        r#"{"Statement": {"Effect": "Deny", "\u0045ffect": "Allow", "Action": "*", "Resource": "*"}}"#,
        "`Effect` stands twice",
    );
}

#[test]
fn documents_made_to_harm_end_in_one_error() {
    check(None, &"{\"a\":".repeat(1_000_000), "more than any policy");
    check(None, &"[".repeat(100_000), "nested deeper");
    check(None, &format!("{{\"Id\": \"{}\"}}", "a".repeat(600_000)), "more than any policy");
    check(None, "{\"Id\": \"\u{0}\"}", "control character");
    check(None, "{\"Id\": \"\\ud800\"}", "surrogate");
    check(None, "{\"Id\": \"\\uD800\\uD800\"}", "surrogate");
    check(None, "\u{feff}{}", "expected a value");
    let names: String = (0..30_000).map(|i| format!("\"k{i}\":1,")).collect();
    check(None, &format!("{{{names}\"Id\":1}}"), "unknown element `k0`");
    let many: Vec<Value> = (0..5_000).map(|i| json!({ "Sid": format!("S{i}"), "Effect": "Allow", "Action": "s3:*", "Resource": "*" })).collect();
    check(None, &json!({ "Statement": many }).to_string(), "accepted");
}
