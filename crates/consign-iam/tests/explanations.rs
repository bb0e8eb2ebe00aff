//! What a person reads.

use consign_iam::case::Case;

#[test]
fn an_explanation_is_a_sentence_and_a_tree() {
    let case = Case::parse(
        r#"{"principal": "arn:aws:sts::222222222222:assumed-role/reader/s", "action": "s3:GetObject",
            "resource": "arn:aws:s3:::letters/1", "resource_account": "111111111111",
            "context": {"aws:SecureTransport": "false"},
            "identity_policies": [{"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}],
            "resource_policies": [{"Statement": [
                {"Sid": "Reader", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::letters/*",
                 "Principal": {"AWS": "arn:aws:iam::222222222222:role/reader"}},
                {"Sid": "Writer", "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::letters/*",
                 "Principal": {"AWS": "arn:aws:iam::111111111111:role/writer"}},
                {"Sid": "TlsOnly", "Effect": "Deny", "Action": "s3:*", "Resource": "*", "Principal": "*",
                 "Condition": {"Bool": {"aws:SecureTransport": false}}}]}]}"#,
    );
    let explanation = case.unwrap().explain();
    let expected = "\
arn:aws:sts::222222222222:assumed-role/reader/s may not s3:GetObject on arn:aws:s3:::letters/1: \
statement TlsOnly of the bucket policy denies it, because aws:SecureTransport is \"false\" (Bool \"false\")
bucket policy
├─ Allow statement Reader applies
│    ✓ Principal arn:aws:iam::222222222222:role/reader
│    ✓ Action s3:GetObject
│    ✓ Resource arn:aws:s3:::letters/*
├─ Deny statement TlsOnly applies
│    ✓ Principal *
│    ✓ Action s3:*
│    ✓ Resource *
│    ✓ aws:SecureTransport is \"false\" (Bool \"false\")
└─ 1 statement is about other actions
identity policy
└─ Allow statement 1 applies
     ✓ Action s3:Get*
     ✓ Resource *
";
    assert_eq!(explanation.to_string(), expected);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["decision"]["effect"], "explicit-deny");
    assert_eq!(json["layers"][0]["statements"][2]["sid"], "TlsOnly");
    assert_eq!(json["layers"][0]["statements"][1]["checks"][1]["holds"], false);
}

#[test]
fn an_implicit_deny_names_what_is_missing() {
    let case = r#"{"principal": "arn:aws:iam::222222222222:user/bob", "action": "kms:Decrypt",
        "resource": "arn:aws:kms:eu-west-1:111111111111:key/1"}"#;
    let decision = Case::parse(case).unwrap().decide();
    assert_eq!(
        decision.explain(),
        "denied: the key policy does not allow it and no identity policy allows it"
    );
}
