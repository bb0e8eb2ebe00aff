//! IAM, STS and KMS over the wire: what changes when a policy, a key or a role changes.

use crate::support::{ACME, Answer, Cloud, GLOBEX, Signer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use consign_local::Credentials;
use serde_json::{Value, json};

fn credentials(answer: &Answer) -> Credentials {
    let field = |name: &str| answer.xml(name).expect(name);
    Credentials {
        access_key_id: field("AccessKeyId"),
        secret_access_key: field("SecretAccessKey").into(),
        session_token: answer.xml("SessionToken").map(Into::into),
    }
}

fn allow(action: &str, resource: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource }],
    })
    .to_string()
}

fn root_of(account: &str) -> String {
    format!("arn:aws:iam::{account}:root")
}

struct Accounts {
    cloud: Cloud,
}

impl Accounts {
    async fn start() -> Accounts {
        Accounts { cloud: Cloud::start().await }
    }

    fn admin(&self, account: &str, service: &str) -> Signer {
        self.cloud.signer(self.cloud.admin(account), service)
    }

    async fn iam(&self, form: &[(&str, &str)]) -> Answer {
        self.cloud.query(&self.admin(ACME, "iam"), form).await
    }

    /// A new user of the first account with one policy, and its key.
    async fn user(&self, name: &str, policy: &str) -> Credentials {
        self.iam(&[("Action", "CreateUser"), ("UserName", name)]).await.expect_ok();
        self.put_user_policy(name, policy).await;
        let key = self.iam(&[("Action", "CreateAccessKey"), ("UserName", name)]).await;
        credentials(&key.expect_ok())
    }

    async fn put_user_policy(&self, name: &str, policy: &str) {
        let form = [
            ("Action", "PutUserPolicy"),
            ("UserName", name),
            ("PolicyName", "own"),
            ("PolicyDocument", policy),
        ];
        self.iam(&form).await.expect_ok();
    }

    async fn kms(&self, account: &str, operation: &str, input: Value) -> Answer {
        self.cloud.kms(&self.admin(account, "kms"), operation, input).await
    }

    async fn key(&self, policy: Option<String>) -> String {
        let input = policy.map_or(json!({}), |policy| json!({ "Policy": policy }));
        let answer = self.kms(ACME, "CreateKey", input).await.expect_ok();
        answer.json()["KeyMetadata"]["Arn"].as_str().expect("an ARN").to_owned()
    }
}

#[tokio::test]
async fn users_are_their_policies() {
    let accounts = Accounts::start().await;
    let bob = accounts.user("bob", &allow("iam:ListUsers", "*")).await;
    let as_bob = accounts.cloud.signer(bob.clone(), "iam");
    let list = [("Action", "ListUsers")];
    let answer = accounts.cloud.query(&as_bob, &list).await.expect_ok();
    assert!(answer.text().contains("<UserName>bob</UserName>"), "{}", answer.text());
    let create = [("Action", "CreateUser"), ("UserName", "mallory")];
    let answer = accounts.cloud.query(&as_bob, &create).await;
    let answer = answer.expect("not in the policy", 403, "AccessDenied");
    assert!(answer.text().contains("no identity-based policy allows the iam:CreateUser action"));

    accounts.put_user_policy("bob", &allow("sts:GetCallerIdentity", "*")).await;
    let answer = accounts.cloud.query(&as_bob, &list).await;
    answer.expect("the policy was replaced", 403, "AccessDenied");

    let turn = |status| {
        [
            ("Action", "UpdateAccessKey"),
            ("UserName", "bob"),
            ("AccessKeyId", bob.access_key_id.as_str()),
            ("Status", status),
        ]
    };
    let whoami = [("Action", "GetCallerIdentity")];
    let sts = accounts.cloud.signer(bob.clone(), "sts");
    accounts.cloud.query(&sts, &whoami).await.expect_ok();
    accounts.iam(&turn("Inactive")).await.expect_ok();
    let answer = accounts.cloud.query(&sts, &whoami).await;
    answer.expect("an inactive key", 403, "InvalidClientTokenId");
    accounts.iam(&turn("Active")).await.expect_ok();
    accounts.cloud.query(&sts, &whoami).await.expect_ok();

    let delete = [("Action", "DeleteUser"), ("UserName", "bob")];
    accounts.iam(&delete).await.expect("has a key and a policy", 409, "DeleteConflict");
    let key = [
        ("Action", "DeleteAccessKey"),
        ("UserName", "bob"),
        ("AccessKeyId", bob.access_key_id.as_str()),
    ];
    accounts.iam(&key).await.expect_ok();
    let policy = [("Action", "DeleteUserPolicy"), ("UserName", "bob"), ("PolicyName", "own")];
    accounts.iam(&policy).await.expect_ok();
    accounts.iam(&policy).await.expect("gone", 404, "NoSuchEntity");
    accounts.iam(&delete).await.expect_ok();
    accounts.iam(&delete).await.expect("gone", 404, "NoSuchEntity");
}

#[tokio::test]
async fn iam_refuses_what_makes_no_sense() {
    let accounts = Accounts::start().await;
    accounts.user("bob", &allow("s3:*", "*")).await;
    let long = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::{}"}}]}}"#,
        "x".repeat(3000)
    );
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let principal = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}]}"#;
    let put = |document: &str| {
        vec![
            ("Action".to_owned(), "PutUserPolicy".to_owned()),
            ("UserName".to_owned(), "bob".to_owned()),
            ("PolicyName".to_owned(), "p".to_owned()),
            ("PolicyDocument".to_owned(), document.to_owned()),
        ]
    };
    let form = |fields: &[(&str, &str)]| -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let cases = [
        ("no action", form(&[("Version", "2010-05-08")]), 400, "InvalidAction"),
        ("an action that is none", form(&[("Action", "Frobnicate")]), 400, "InvalidAction"),
        ("no name", form(&[("Action", "CreateUser")]), 400, "MissingParameter"),
        (
            "a name with a slash",
            form(&[("Action", "CreateUser"), ("UserName", "a/b")]),
            400,
            "ValidationError",
        ),
        (
            "a name with a tag",
            form(&[("Action", "CreateUser"), ("UserName", "<a>")]),
            400,
            "ValidationError",
        ),
        (
            "a path that does not end",
            form(&[("Action", "CreateUser"), ("UserName", "a"), ("Path", "/x")]),
            400,
            "ValidationError",
        ),
        (
            "a name in other letters",
            form(&[("Action", "CreateUser"), ("UserName", "BOB")]),
            409,
            "EntityAlreadyExists",
        ),
        (
            "a boundary",
            form(&[
                ("Action", "CreateUser"),
                ("UserName", "c"),
                ("PermissionsBoundary", "arn:aws:iam::aws:policy/x"),
            ]),
            501,
            "NotImplemented",
        ),
        ("not JSON", put("hello"), 400, "MalformedPolicyDocument"),
        ("100,000 brackets", put(&deep), 400, "MalformedPolicyDocument"),
        ("a principal in an identity policy", put(principal), 400, "MalformedPolicyDocument"),
        ("longer than the quota", put(&long), 409, "LimitExceeded"),
        (
            "a role without trust",
            form(&[("Action", "CreateRole"), ("RoleName", "r")]),
            400,
            "MissingParameter",
        ),
        (
            "a role with an identity policy for trust",
            form(&[
                ("Action", "CreateRole"),
                ("RoleName", "r"),
                ("AssumeRolePolicyDocument", &allow("sts:AssumeRole", "*")),
            ]),
            400,
            "MalformedPolicyDocument",
        ),
        ("an unknown role", form(&[("Action", "GetRole"), ("RoleName", "r")]), 404, "NoSuchEntity"),
        (
            "another user's key",
            form(&[
                ("Action", "DeleteAccessKey"),
                ("UserName", "bob"),
                ("AccessKeyId", "AKIAIOSFODNN7EXAMPLE"),
            ]),
            404,
            "NoSuchEntity",
        ),
    ];
    for (what, fields, status, code) in cases {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        accounts.iam(&fields).await.expect(what, status, code);
    }
    let two = accounts.iam(&[("Action", "CreateAccessKey"), ("UserName", "bob")]).await;
    two.expect_ok();
    let three = accounts.iam(&[("Action", "CreateAccessKey"), ("UserName", "bob")]).await;
    three.expect("a third key", 409, "LimitExceeded");
    let signer = accounts.admin(ACME, "iam");
    let twice = accounts.cloud.ask("POST", "/").body("Action=ListUsers&Action=DeleteUser");
    let answer = accounts.cloud.send(&signer.sign(twice)).await;
    answer.expect("a field twice", 400, "MalformedInput");
    let huge = accounts.cloud.ask("POST", "/").body(vec![b'a'; 2 << 20]);
    let answer = accounts.cloud.send(&signer.sign(huge)).await;
    answer.expect("two megabytes", 400, "RequestEntityTooLarge");
}

fn trust(principal: &str, condition: &Value) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "AWS": principal },
            "Action": "sts:AssumeRole",
            "Condition": condition,
        }],
    })
    .to_string()
}

#[tokio::test]
async fn roles_trust_whom_they_name() {
    let accounts = Accounts::start().await;
    let external = json!({ "StringEquals": { "sts:ExternalId": "42" } });
    let role = [
        ("Action", "CreateRole"),
        ("RoleName", "reader"),
        ("Path", "/team/"),
        ("AssumeRolePolicyDocument", &trust(&root_of(GLOBEX), &external)),
    ];
    accounts.iam(&role).await.expect_ok();
    let arn = format!("arn:aws:iam::{ACME}:role/team/reader");
    let put = [
        ("Action", "PutRolePolicy"),
        ("RoleName", "reader"),
        ("PolicyName", "p"),
        ("PolicyDocument", &allow("iam:List*", "*")),
    ];
    accounts.iam(&put).await.expect_ok();
    let assume = |extra: &[(&'static str, &str)]| {
        let mut form = vec![
            ("Action", "AssumeRole".to_owned()),
            ("RoleArn", arn.clone()),
            ("RoleSessionName", "visit".to_owned()),
        ];
        form.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        form
    };
    let ask = async |account: &str, extra: &[(&'static str, &str)]| {
        let form = assume(extra);
        let form: Vec<(&str, &str)> =
            form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        accounts.cloud.query(&accounts.admin(account, "sts"), &form).await
    };
    ask(GLOBEX, &[]).await.expect("without the external id", 403, "AccessDenied");
    ask(GLOBEX, &[("ExternalId", "43")]).await.expect("the wrong one", 403, "AccessDenied");
    ask(ACME, &[("ExternalId", "42")]).await.expect("not trusted", 403, "AccessDenied");
    ask(GLOBEX, &[("ExternalId", "42"), ("DurationSeconds", "60")]).await.expect(
        "too short",
        400,
        "ValidationError",
    );
    ask(GLOBEX, &[("ExternalId", "42"), ("DurationSeconds", "7200")]).await.expect(
        "too long",
        400,
        "ValidationError",
    );
    ask(GLOBEX, &[("ExternalId", "42"), ("Policy", "{}")]).await.expect(
        "a bad session policy",
        400,
        "MalformedPolicyDocument",
    );

    let answer = ask(GLOBEX, &[("ExternalId", "42")]).await.expect_ok();
    let session = accounts.cloud.signer(credentials(&answer), "iam");
    accounts.cloud.query(&session, &[("Action", "ListUsers")]).await.expect_ok();
    let sts = accounts.cloud.signer(credentials(&answer), "sts");
    let me = accounts.cloud.query(&sts, &[("Action", "GetCallerIdentity")]).await.expect_ok();
    assert_eq!(me.xml("Arn"), Some(format!("arn:aws:sts::{ACME}:assumed-role/reader/visit")));
    assert!(me.xml("UserId").is_some_and(|id| id.starts_with("AROA") && id.ends_with(":visit")));

    // A session policy takes away and never gives.
    let narrow = allow("iam:ListRoles", "*");
    let answer = ask(GLOBEX, &[("ExternalId", "42"), ("Policy", &narrow)]).await.expect_ok();
    let narrowed = accounts.cloud.signer(credentials(&answer), "iam");
    accounts.cloud.query(&narrowed, &[("Action", "ListRoles")]).await.expect_ok();
    let answer = accounts.cloud.query(&narrowed, &[("Action", "ListUsers")]).await;
    answer.expect("outside the session policy", 403, "AccessDenied");
    let wide = allow("*", "*");
    let answer = ask(GLOBEX, &[("ExternalId", "42"), ("Policy", &wide)]).await.expect_ok();
    let widened = accounts.cloud.signer(credentials(&answer), "iam");
    let answer =
        accounts.cloud.query(&widened, &[("Action", "CreateUser"), ("UserName", "x")]).await;
    answer.expect("outside the role's policy", 403, "AccessDenied");

    // Policies count when they are used; a role made again is another role.
    let drop_policy = [("Action", "DeleteRolePolicy"), ("RoleName", "reader"), ("PolicyName", "p")];
    accounts.iam(&drop_policy).await.expect_ok();
    let answer = accounts.cloud.query(&session, &[("Action", "ListUsers")]).await;
    answer.expect("the role lost its policy", 403, "AccessDenied");
    accounts.iam(&[("Action", "DeleteRole"), ("RoleName", "reader")]).await.expect_ok();
    let answer = accounts.cloud.query(&session, &[("Action", "ListUsers")]).await;
    answer.expect("the role is gone", 403, "InvalidClientTokenId");
    accounts.iam(&role).await.expect_ok();
    let answer = accounts.cloud.query(&session, &[("Action", "ListUsers")]).await;
    answer.expect("another role of the same name", 403, "InvalidClientTokenId");
}

#[tokio::test]
async fn data_keys_open_only_in_their_context() {
    let accounts = Accounts::start().await;
    let key = accounts.key(None).await;
    let context = json!({ "aws:s3:arn": "arn:aws:s3:::b", "b": "" });
    let input = json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context });
    let answer = accounts.kms(ACME, "GenerateDataKey", input).await.expect_ok().json();
    let blob = answer["CiphertextBlob"].as_str().expect("a blob").to_owned();
    let plain = answer["Plaintext"].as_str().expect("a key").to_owned();
    assert_eq!(STANDARD.decode(&plain).expect("base 64").len(), 32);

    let decrypt = |blob: &str, context: Value| {
        accounts.kms(
            ACME,
            "Decrypt",
            json!({ "CiphertextBlob": blob, "EncryptionContext": context }),
        )
    };
    let opened = decrypt(&blob, context.clone()).await.expect_ok().json();
    assert_eq!(opened["Plaintext"], plain);
    for wrong in [
        json!({}),
        json!({ "aws:s3:arn": "arn:aws:s3:::b" }),
        json!({ "aws:s3:arn": "arn:aws:s3:::c", "b": "" }),
        json!({ "aws:s3:arn": "arn:aws:s3:::bb", "": "" }),
        json!({ "aws:s3:arnarn:aws:s3:::b": "b" }),
    ] {
        let answer = decrypt(&blob, wrong.clone()).await;
        answer.expect(&wrong.to_string(), 400, "InvalidCiphertextException");
    }
    let bytes = STANDARD.decode(&blob).expect("base 64");
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        let answer = decrypt(&STANDARD.encode(&bent), context.clone()).await;
        answer.expect(&format!("byte {at}"), 400, "InvalidCiphertextException");
    }
    for cut in [1, 18, 19, 46, bytes.len() - 1] {
        let answer = decrypt(&STANDARD.encode(&bytes[..cut]), context.clone()).await;
        answer.expect(&format!("cut to {cut}"), 400, "InvalidCiphertextException");
    }
    decrypt("", context.clone()).await.expect("nothing", 400, "ValidationException");
    decrypt("%", context.clone()).await.expect("not base 64", 400, "ValidationException");

    let other = accounts.key(None).await;
    let named = json!({ "CiphertextBlob": blob, "EncryptionContext": context, "KeyId": other });
    let answer = accounts.kms(ACME, "Decrypt", named).await;
    answer.expect("another key", 400, "IncorrectKeyException");

    // A rotated key opens what it sealed before.
    accounts.kms(ACME, "RotateKeyOnDemand", json!({ "KeyId": key })).await.expect_ok();
    decrypt(&blob, context.clone()).await.expect_ok();
    let moved = json!({
        "CiphertextBlob": blob,
        "SourceEncryptionContext": context,
        "DestinationKeyId": other,
    });
    let moved = accounts.kms(ACME, "ReEncrypt", moved).await.expect_ok().json();
    let again = decrypt(moved["CiphertextBlob"].as_str().expect("a blob"), json!({})).await;
    assert_eq!(again.expect_ok().json()["Plaintext"], plain);
}

#[tokio::test]
async fn a_key_trusts_nobody_but_whom_its_policy_names() {
    let accounts = Accounts::start().await;
    let bob = accounts.user("bob", &allow("kms:*", "*")).await;
    let as_bob = accounts.cloud.signer(bob, "kms");
    let acme_admin = format!("arn:aws:iam::{ACME}:user/admin");
    let statement = |sid: &str, principal: &str, actions: Value, condition: Value| {
        json!({
            "Sid": sid, "Effect": "Allow", "Principal": { "AWS": principal },
            "Action": actions, "Resource": "*", "Condition": condition,
        })
    };
    let admin = statement("Admin", &acme_admin, json!("kms:*"), json!({}));
    let policy = |statements: &[&Value]| {
        json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
    };
    let key = accounts.key(Some(policy(&[&admin]))).await;
    let encrypt =
        json!({ "KeyId": key, "Plaintext": "AAAA", "EncryptionContext": { "lane": "a" } });
    let put = async |statements: &[&Value]| {
        let input = json!({ "KeyId": key, "Policy": policy(statements) });
        accounts.kms(ACME, "PutKeyPolicy", input).await
    };
    let answer = accounts.cloud.kms(&as_bob, "Encrypt", encrypt.clone()).await;
    let answer = answer.expect("kms:* without the key policy", 400, "AccessDeniedException");
    assert!(answer.text().contains("no resource-based policy allows"), "{}", answer.text());

    let delegated = statement("Account", &root_of(ACME), json!("kms:Encrypt"), json!({}));
    put(&[&admin, &delegated]).await.expect_ok();
    accounts.cloud.kms(&as_bob, "Encrypt", encrypt.clone()).await.expect_ok();

    let lane_b = json!({ "StringEquals": { "kms:EncryptionContext:lane": "b" } });
    let conditional = statement("Account", &root_of(ACME), json!("kms:Encrypt"), lane_b);
    put(&[&admin, &conditional]).await.expect_ok();
    let answer = accounts.cloud.kms(&as_bob, "Encrypt", encrypt.clone()).await;
    answer.expect("another lane", 400, "AccessDeniedException");

    let via_s3 = json!({ "StringEquals": { "kms:ViaService": "s3.eu-west-1.amazonaws.com" } });
    let through_s3 = statement("ThroughS3", &root_of(ACME), json!("kms:Encrypt"), via_s3);
    put(&[&admin, &through_s3]).await.expect_ok();
    let answer = accounts.cloud.kms(&as_bob, "Encrypt", encrypt.clone()).await;
    answer.expect("not through S3", 400, "AccessDeniedException");

    // KMS tolerates what other services do not: a Sid twice.
    let twice = statement("Admin", &root_of(ACME), json!("kms:Encrypt"), json!({}));
    put(&[&admin, &twice]).await.expect_ok();
    accounts.cloud.kms(&as_bob, "Encrypt", encrypt.clone()).await.expect_ok();

    // A second spelling of a context key does not hide the first.
    let mut spelled = encrypt.clone();
    spelled["EncryptionContext"]["LANE"] = json!("b");
    let answer = accounts.cloud.kms(&as_bob, "Encrypt", spelled).await;
    answer.expect("two spellings", 400, "ValidationException");

    // Across accounts both sides must allow, and government of the key is never offered.
    let answer = accounts.kms(GLOBEX, "Encrypt", encrypt.clone()).await;
    answer.expect("another account", 400, "AccessDeniedException");
    let partner = statement("Partner", &root_of(GLOBEX), json!("kms:*"), json!({}));
    put(&[&admin, &partner]).await.expect_ok();
    accounts.kms(GLOBEX, "Encrypt", encrypt.clone()).await.expect_ok();
    let answer = accounts.kms(GLOBEX, "DisableKey", json!({ "KeyId": key })).await;
    answer.expect("another account's key", 400, "AccessDeniedException");
    let role = accounts.cloud.signer(accounts.cloud.profile("globex"), "kms");
    let answer = accounts.cloud.kms(&role, "Encrypt", encrypt).await;
    answer.expect("a role without a policy of its own", 400, "AccessDeniedException");

    // Nobody may lock everybody out.
    let answer = put(&[&partner]).await;
    answer.expect("the author locked out", 400, "MalformedPolicyDocumentException");
    let bad = json!({ "KeyId": key, "Policy": "{\"Statement\":[{}]}" });
    let answer = accounts.kms(ACME, "PutKeyPolicy", bad).await;
    answer.expect("not a policy", 400, "MalformedPolicyDocumentException");
    let bypass = json!({
        "KeyId": key, "Policy": policy(&[&partner]), "BypassPolicyLockoutSafetyCheck": true,
    });
    accounts.kms(ACME, "PutKeyPolicy", bypass).await.expect_ok();
    let answer = accounts.kms(ACME, "GetKeyPolicy", json!({ "KeyId": key })).await;
    answer.expect("locked out on request", 400, "AccessDeniedException");
}

#[tokio::test]
async fn keys_live_and_die() {
    let accounts = Accounts::start().await;
    let key = accounts.key(None).await;
    let id = json!({ "KeyId": key });
    let encrypt = json!({ "KeyId": key, "Plaintext": "AAAA" });
    let alias = json!({ "AliasName": "alias/consign/x", "TargetKeyId": key });
    accounts.kms(ACME, "CreateAlias", alias.clone()).await.expect_ok();
    accounts.kms(ACME, "CreateAlias", alias).await.expect("twice", 400, "AlreadyExistsException");
    for (what, name, code) in [
        ("reserved", "alias/aws/x", "NotAuthorizedException"),
        ("no prefix", "consign", "ValidationException"),
        ("bad letters", "alias/a b", "ValidationException"),
    ] {
        let input = json!({ "AliasName": name, "TargetKeyId": key });
        accounts.kms(ACME, "CreateAlias", input).await.expect(what, 400, code);
    }
    let by_alias = json!({ "KeyId": "alias/consign/x" });
    let found = accounts.kms(ACME, "DescribeKey", by_alias.clone()).await.expect_ok();
    assert_eq!(found.json()["KeyMetadata"]["Arn"], key);
    let answer = accounts.kms(GLOBEX, "DescribeKey", by_alias.clone()).await;
    answer.expect("aliases are an account's own", 400, "NotFoundException");

    accounts.kms(ACME, "DisableKey", id.clone()).await.expect_ok();
    let answer = accounts.kms(ACME, "Encrypt", encrypt.clone()).await;
    answer.expect("disabled", 400, "DisabledException");
    accounts.kms(ACME, "EnableKey", id.clone()).await.expect_ok();
    accounts.kms(ACME, "Encrypt", encrypt.clone()).await.expect_ok();

    let tags = json!({ "KeyId": key, "Tags": [{ "TagKey": "exchange", "TagValue": "x" }] });
    accounts.kms(ACME, "TagResource", tags).await.expect_ok();
    let listed = accounts.kms(ACME, "ListResourceTags", id.clone()).await.expect_ok().json();
    assert_eq!(listed["Tags"][0]["TagKey"], "exchange");
    let untag = json!({ "KeyId": key, "TagKeys": ["exchange"] });
    accounts.kms(ACME, "UntagResource", untag).await.expect_ok();

    let soon = json!({ "KeyId": key, "PendingWindowInDays": 6 });
    accounts.kms(ACME, "ScheduleKeyDeletion", soon).await.expect(
        "six days",
        400,
        "ValidationException",
    );
    let week = json!({ "KeyId": key, "PendingWindowInDays": 7 });
    accounts.kms(ACME, "ScheduleKeyDeletion", week.clone()).await.expect_ok();
    let answer = accounts.kms(ACME, "Encrypt", encrypt.clone()).await;
    answer.expect("pending", 400, "KMSInvalidStateException");
    accounts.kms(ACME, "CancelKeyDeletion", id.clone()).await.expect_ok();
    let described = accounts.kms(ACME, "DescribeKey", id.clone()).await.expect_ok().json();
    assert_eq!(described["KeyMetadata"]["KeyState"], "Disabled");
    accounts.kms(ACME, "ScheduleKeyDeletion", week).await.expect_ok();
    accounts.cloud.clock.advance_seconds(7 * 24 * 3600);
    accounts.kms(ACME, "DescribeKey", id).await.expect("destroyed", 400, "NotFoundException");
    accounts.kms(ACME, "DescribeKey", by_alias).await.expect("its alias", 400, "NotFoundException");

    for (operation, input, code) in [
        ("Frobnicate", json!({}), "UnknownOperationException"),
        ("DescribeKey", json!({}), "SerializationException"),
        ("DescribeKey", json!({ "KeyId": "nonsense" }), "NotFoundException"),
        ("DescribeKey", json!({ "KeyId": "arn:aws:kms" }), "NotFoundException"),
        ("CreateKey", json!({ "KeySpec": "RSA_2048" }), "UnsupportedOperationException"),
        ("CreateKey", json!({ "MultiRegion": true }), "UnsupportedOperationException"),
    ] {
        accounts.kms(ACME, operation, input).await.expect(operation, 400, code);
    }
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let ask = accounts.cloud.ask("POST", "/").header("x-amz-target", "TrentService.ListKeys");
    let ask = accounts.admin(ACME, "kms").sign(ask.body(deep));
    let answer = accounts.cloud.send(&ask).await;
    answer.expect("100,000 braces", 400, "SerializationException");
}
