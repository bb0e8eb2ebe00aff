//! S3's own notion of a public bucket policy, by the rules and examples of its user guide.

use consign_iam::{Policy, is_public};
use serde_json::{Value, json};

#[track_caller]
fn check(expected: bool, principal: &Value, condition: &Value) {
    let mut statement = json!({ "Effect": "Allow", "Principal": principal, "Action": "s3:PutObject", "Resource": "*" });
    if !condition.is_null() {
        statement["Condition"] = condition.clone();
    }
    let text = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    match Policy::parse(&text) {
        Ok(policy) => assert_eq!(is_public(&policy), expected, "{text}"),
        Err(refusal) => unreachable!("{refusal}"),
    }
}

#[test]
fn fixed_principals_are_not_public() {
    for principal in [
        json!({ "AWS": "111111111111" }),
        json!({ "AWS": "arn:aws:iam::111111111111:role/r" }),
        json!({ "Service": "cloudtrail.amazonaws.com" }),
        json!({ "CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be" }),
    ] {
        check(false, &principal, &Value::Null);
    }
    for principal in [
        json!("*"),
        json!({ "AWS": "*" }),
        json!({ "AWS": ["111111111111", "*"] }),
        json!({ "AWS": "arn:aws:iam::111111111111:user/*" }),
        json!({ "Federated": "graph.facebook.com" }),
    ] {
        check(true, &principal, &Value::Null);
    }
}

#[test]
fn conditions_on_fixed_values_make_a_policy_not_public() {
    let everyone = json!("*");
    for condition in [
        json!({ "StringEquals": { "aws:SourceVpc": "vpc-91237329" } }),
        json!({ "StringLike": { "aws:SourceVpce": "vpce-1" } }),
        json!({ "StringEquals": { "AWS:PrincipalOrgID": "o-1" } }),
        json!({ "ArnLike": { "aws:SourceArn": "arn:aws:sns:eu-west-1:111111111111:t" } }),
        json!({ "StringEquals": { "aws:SourceAccount": ["111111111111", "222222222222"] } }),
        json!({ "IpAddress": { "aws:SourceIp": ["192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"] } }),
        json!({ "StringEquals": { "s3:DataAccessPointAccount": "111111111111" } }),
        json!({ "StringLike": { "s3:DataAccessPointArn": "arn:aws:s3:eu-west-1:111111111111:accesspoint/*" } }),
        json!({ "StringEquals": { "aws:SourceVpc": "vpc-1" }, "Bool": { "aws:SecureTransport": "true" } }),
    ] {
        check(false, &everyone, &condition);
    }
}

#[test]
fn other_conditions_leave_it_public() {
    let everyone = json!("*");
    for condition in [
        json!({ "StringLike": { "aws:SourceVpc": "vpc-*" } }),
        json!({ "StringEquals": { "aws:SourceVpc": "${aws:PrincipalTag/vpc}" } }),
        json!({ "StringEqualsIfExists": { "aws:SourceVpc": "vpc-1" } }),
        json!({ "ForAllValues:StringEquals": { "aws:SourceVpc": "vpc-1" } }),
        json!({ "StringNotEquals": { "aws:SourceVpc": "vpc-1" } }),
        json!({ "StringEquals": { "aws:Referer": "https://example.org/" } }),
        json!({ "Bool": { "aws:SecureTransport": "true" } }),
        json!({ "Null": { "aws:SourceVpc": "false" } }),
        json!({ "IpAddress": { "aws:SourceIp": "0.0.0.0/1" } }),
        json!({ "IpAddress": { "aws:SourceIp": ["192.0.2.0/24", "2001::/16"] } }),
        json!({ "NotIpAddress": { "aws:SourceIp": "192.0.2.0/24" } }),
        json!({ "StringLike": { "s3:DataAccessPointArn": "arn:aws:s3:*:*:accesspoint/*" } }),
        json!({ "StringLike": { "aws:userid": "AROAEXAMPLE:*" } }),
    ] {
        check(true, &everyone, &condition);
    }
}

#[test]
fn denies_do_not_count() {
    let text = json!({ "Statement": [
        { "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*" },
        { "Effect": "Allow", "Principal": { "AWS": "111111111111" }, "Action": "s3:*", "Resource": "*" },
    ] });
    assert_eq!(Policy::parse(&text.to_string()).map(|policy| is_public(&policy)), Ok(false));
}
