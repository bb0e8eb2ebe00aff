//! An exchange as consign provisions it: two parties, one lane, one key; every cell of the access
//! matrix, and every way around the lane's rules.

use crate::support::{ACME, Answer, Ask, Cloud, GLOBEX, REGION, Signer};
use serde_json::{Value, json};

const BUCKET: &str = "lane-bucket";
const WRITER: &str = "arn:aws:iam::222222222222:role/consign/globex";
const READER: &str = "arn:aws:iam::111111111111:user/consign/acme";

struct Exchange {
    cloud: Cloud,
    key: String,
}

/// Globex writes to the lane, acme reads from it; bucket and key are acme's.
async fn exchange() -> Exchange {
    let cloud = Cloud::start().await;
    cloud.make_bucket(BUCKET).await;
    let kms = cloud.signer(cloud.admin(ACME), "kms");
    let made = cloud.kms(&kms, "CreateKey", json!({ "Policy": key_policy().to_string() })).await;
    let key = made.expect_ok().json()["KeyMetadata"]["Arn"].as_str().expect("an ARN").to_owned();
    let encryption = format!(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{key}</KMSMasterKeyID>\
         </ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled>\
         <BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>\
         </Rule></ServerSideEncryptionConfiguration>"
    );
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    for (setting, document) in [
        ("encryption", encryption),
        ("versioning", versioning.to_owned()),
        ("policy", bucket_policy(&key).to_string()),
    ] {
        let ask = cloud.ask("PUT", &format!("/{BUCKET}?{setting}=")).body(document.into_bytes());
        cloud.send(&cloud.s3().sign(ask)).await.expect_ok();
    }
    // Each party's own half: everything, so that only the lane's documents decide.
    let everything = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*" }] });
    let everything = everything.to_string();
    for (account, action, kind, name) in [
        (ACME, "PutUserPolicy", "UserName", "acme"),
        (GLOBEX, "PutRolePolicy", "RoleName", "globex"),
    ] {
        let iam = cloud.signer(cloud.admin(account), "iam");
        let form = [
            ("Action", action),
            ("Version", "2010-05-08"),
            (kind, name),
            ("PolicyName", "half"),
            ("PolicyDocument", &everything),
        ];
        let iam = Signer { region: "us-east-1".to_owned(), ..iam };
        cloud.query(&iam, &form).await.expect_ok();
    }
    Exchange { cloud, key }
}

fn key_policy() -> Value {
    let through_s3 = json!({
        "StringEquals": { "kms:ViaService": format!("s3.{REGION}.amazonaws.com") },
        "StringLike": { "kms:EncryptionContext:aws:s3:arn": [
            format!("arn:aws:s3:::{BUCKET}"), format!("arn:aws:s3:::{BUCKET}/*")] },
    });
    json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "Administration", "Effect": "Allow",
          "Principal": { "AWS": format!("arn:aws:iam::{ACME}:root") },
          "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:Put*", "kms:DisableKey",
                     "kms:EnableKey", "kms:ScheduleKeyDeletion"], "Resource": "*" },
        { "Sid": "WriterMakesDataKeys", "Effect": "Allow", "Principal": { "AWS": WRITER },
          "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "*",
          "Condition": through_s3 },
        { "Sid": "ReaderDecrypts", "Effect": "Allow", "Principal": { "AWS": READER },
          "Action": "kms:Decrypt", "Resource": "*", "Condition": through_s3 },
        { "Sid": "NobodyElse", "Effect": "Deny", "Principal": "*",
          "Action": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:CreateGrant"],
          "Resource": "*",
          "Condition": { "ArnNotEquals": { "aws:PrincipalArn": [WRITER, READER] } } },
    ] })
}

fn bucket_policy(key: &str) -> Value {
    let bucket = format!("arn:aws:s3:::{BUCKET}");
    let objects = format!("arn:aws:s3:::{BUCKET}/*");
    let sse = "s3:x-amz-server-side-encryption";
    let key_id = "s3:x-amz-server-side-encryption-aws-kms-key-id";
    let deny = |sid: &str, action: Value, condition: Value| {
        json!({ "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": action,
                "Resource": [bucket, objects], "Condition": condition })
    };
    let put = json!("s3:PutObject");
    json!({ "Version": "2012-10-17", "Statement": [
        deny("TlsOnly", json!("s3:*"), json!({ "Bool": { "aws:SecureTransport": "false" } })),
        deny("NewTls", json!("s3:*"), json!({ "NumericLessThan": { "s3:TlsVersion": "1.2" } })),
        deny("OtherSse", put.clone(), json!({
            "StringNotEquals": { sse: "aws:kms" }, "Null": { sse: "false" } })),
        deny("OtherKey", put.clone(), json!({
            "StringNotEquals": { key_id: key }, "Null": { key_id: "false" } })),
        deny("NoKey", put.clone(), json!({ "Null": { sse: "false", key_id: "true" } })),
        deny("NoCustomerKeys", put.clone(), json!({
            "Null": { "s3:x-amz-server-side-encryption-customer-algorithm": "false" } })),
        deny("WriteOnce", put.clone(), json!({
            "Bool": { "s3:ObjectCreationOperation": "true" }, "Null": { "s3:if-none-match": "true" } })),
        deny("ShortLinks", json!("s3:*"), json!({
            "StringEquals": { "s3:authType": "REST-QUERY-STRING" },
            "NumericGreaterThan": { "s3:signatureAge": "900000" } })),
        deny("Readers", json!(["s3:GetObject*", "s3:ListBucket*"]), json!({
            "ArnNotEquals": { "aws:PrincipalArn": READER } })),
        deny("Writers", put, json!({ "ArnNotEquals": { "aws:PrincipalArn": WRITER } })),
        deny("Keepers", json!("s3:DeleteObject*"), json!({
            "ArnNotEquals": { "aws:PrincipalArn": format!("arn:aws:iam::{ACME}:user/admin") } })),
        { "Sid": "WriterPuts", "Effect": "Allow", "Principal": { "AWS": WRITER }, "Resource": objects,
          "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"] },
        { "Sid": "ReaderGets", "Effect": "Allow", "Principal": { "AWS": READER },
          "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": objects },
        { "Sid": "ReaderLists", "Effect": "Allow", "Principal": { "AWS": READER },
          "Action": "s3:ListBucket", "Resource": bucket },
    ] })
}

impl Exchange {
    fn writer(&self) -> Signer {
        self.cloud.signer(self.cloud.profile("globex"), "s3")
    }

    fn reader(&self) -> Signer {
        self.cloud.signer(self.cloud.profile("acme"), "s3")
    }

    fn admins(&self) -> [Signer; 2] {
        [ACME, GLOBEX].map(|account| self.cloud.signer(self.cloud.admin(account), "s3"))
    }

    async fn send(&self, signer: &Signer, ask: Ask) -> Answer {
        self.cloud.send(&signer.sign(ask)).await
    }

    fn put(&self, key: &str, headers: &[(&str, &str)]) -> Ask {
        let mut ask = self.cloud.ask("PUT", &format!("/{BUCKET}/{key}")).body(b"delivered");
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        ask
    }
}

const ONCE: (&str, &str) = ("if-none-match", "*");

#[tokio::test]
async fn the_matrix_is_the_lane() {
    let exchange = exchange().await;
    let get = || exchange.cloud.ask("GET", &format!("/{BUCKET}/k"));
    let list = || exchange.cloud.ask("GET", &format!("/{BUCKET}?list-type=2"));
    let delete = || exchange.cloud.ask("DELETE", &format!("/{BUCKET}/k"));
    let put = || exchange.put("k", &[ONCE]);
    let (writer, reader) = (exchange.writer(), exchange.reader());
    let answer = exchange.send(&writer, put()).await.expect_ok();
    let key = answer.header("x-amz-server-side-encryption-aws-kms-key-id");
    assert_eq!(key, Some(exchange.key.as_str()), "stored under the lane's key without being told");
    assert_eq!(answer.header("x-amz-server-side-encryption"), Some("aws:kms"));
    let got = exchange.send(&reader, get()).await.expect_ok();
    assert_eq!(got.text(), "delivered");
    let listed = exchange.send(&reader, list()).await.expect_ok();
    assert_eq!(listed.xml("Key").as_deref(), Some("k"));
    let [ours, theirs] = exchange.admins();
    let denied = "AccessDenied";
    for (what, who, ask) in [
        ("the writer reads", &writer, get()),
        ("the writer lists", &writer, list()),
        ("the writer deletes", &writer, delete()),
        ("the reader writes", &reader, exchange.put("other", &[ONCE])),
        ("the reader deletes", &reader, delete()),
        ("our administrator reads", &ours, get()),
        ("our administrator writes", &ours, exchange.put("other", &[ONCE])),
        ("their administrator reads", &theirs, get()),
        ("their administrator writes", &theirs, exchange.put("other", &[ONCE])),
        ("their administrator lists", &theirs, list()),
    ] {
        exchange.send(who, ask).await.expect(what, 403, denied);
    }
    let unsigned = exchange.cloud.send(&get()).await;
    unsigned.expect("nobody reads", 403, denied);
    let mut stranger = reader.clone();
    stranger.credentials.access_key_id = "AKIAIOSFODNN7EXAMPLE".to_owned();
    exchange.send(&stranger, get()).await.expect("an unknown key", 403, "InvalidAccessKeyId");
}

#[tokio::test]
async fn there_is_no_way_around_the_rules() {
    let exchange = exchange().await;
    let writer = exchange.writer();
    let kms = ("x-amz-server-side-encryption", "aws:kms");
    let key_id = "x-amz-server-side-encryption-aws-kms-key-id";
    let other = exchange.key.replace("/", "/0");
    let customer = [
        ONCE,
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        (
            "x-amz-server-side-encryption-customer-key",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ),
        ("x-amz-server-side-encryption-customer-key-md5", "cLw4d6xBOVuWZ6xCy6Y/Ig=="),
    ];
    let by_id = exchange.key.rsplit('/').next().expect("an id");
    for (what, headers) in [
        ("SSE-S3", [ONCE, ("x-amz-server-side-encryption", "AES256")].as_slice()),
        (
            "DSSE",
            &[ONCE, ("x-amz-server-side-encryption", "aws:kms:dsse"), (key_id, &exchange.key)],
        ),
        ("another key", &[ONCE, kms, (key_id, &other)]),
        ("a KMS key by default", &[ONCE, kms]),
        ("an own key", &customer),
        ("no condition", &[]),
        // In the writer's account there is no such key.
        ("the key's id alone, in another account", &[ONCE, kms, (key_id, by_id)]),
    ] {
        let answer = exchange.send(&writer, exchange.put("k", headers)).await;
        answer.expect(what, 403, "AccessDenied");
    }
    let named = [ONCE, kms, (key_id, exchange.key.as_str())];
    exchange.send(&writer, exchange.put("k", &named)).await.expect_ok();
    let again = exchange.send(&writer, exchange.put("k", &[ONCE])).await;
    again.expect("a second delivery", 412, "PreconditionFailed");
    let matching = exchange.send(&writer, exchange.put("k", &[("if-match", "*")])).await;
    matching.expect("another condition", 403, "AccessDenied");

    let plain = exchange.cloud.running.http_endpoint().expect("an HTTP endpoint");
    let host = plain.strip_prefix("http://").expect("http");
    let get = Ask::new("GET", &format!("/{BUCKET}/k"), host);
    let answer = exchange.cloud.send_plain(&exchange.reader().sign(get)).await;
    answer.expect("plain HTTP", 403, "AccessDenied");

    let get = exchange.cloud.ask("GET", &format!("/{BUCKET}/k"));
    let link = exchange.reader().presign(get, "3600");
    assert_eq!(exchange.cloud.send(&link).await.expect_ok().text(), "delivered");
    exchange.cloud.clock.advance_seconds(901);
    exchange.cloud.send(&link).await.expect("an old link", 403, "AccessDenied");
}

#[tokio::test]
async fn a_multipart_delivery_obeys_the_same_rules() {
    let exchange = exchange().await;
    let (writer, reader) = (exchange.writer(), exchange.reader());
    let ask = exchange.cloud.ask("POST", &format!("/{BUCKET}/big?uploads="));
    let id = exchange.send(&writer, ask).await.expect_ok().xml("UploadId").expect("an id");
    let target = format!("/{BUCKET}/big?uploadId={id}");
    let part = |number: u32| format!("/{BUCKET}/big?partNumber={number}&uploadId={id}");
    let content = b"p".repeat(5 * 1024 * 1024);
    let ask = exchange.cloud.ask("PUT", &part(1)).body(content.clone());
    let answer = exchange.send(&writer, ask).await.expect_ok();
    let etag = answer.header("etag").expect("an ETag").to_owned();
    let foreign = exchange.cloud.ask("PUT", &part(2)).body(b"x");
    exchange.send(&reader, foreign).await.expect("the reader's part", 403, "AccessDenied");
    let copied =
        exchange.cloud.ask("PUT", &part(2)).header("x-amz-copy-source", &format!("/{BUCKET}/big"));
    exchange.send(&writer, copied).await.expect("a part copied out", 403, "AccessDenied");
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let complete = || exchange.cloud.ask("POST", &target).body(document.clone());
    exchange.send(&writer, complete()).await.expect("no condition", 403, "AccessDenied");
    let once = complete().header("if-none-match", "*");
    exchange.send(&writer, once.clone()).await.expect_ok();
    exchange.send(&writer, once).await.expect("completed twice", 404, "NoSuchUpload");
    let get = exchange.cloud.ask("GET", &format!("/{BUCKET}/big"));
    assert!(exchange.send(&reader, get).await.expect_ok().body == content);
}

#[tokio::test]
async fn a_disabled_key_closes_the_lane() {
    let exchange = exchange().await;
    exchange.send(&exchange.writer(), exchange.put("k", &[ONCE])).await.expect_ok();
    let kms = exchange.cloud.signer(exchange.cloud.admin(ACME), "kms");
    let disabled = exchange.cloud.kms(&kms, "DisableKey", json!({ "KeyId": exchange.key })).await;
    disabled.expect_ok();
    let get = exchange.cloud.ask("GET", &format!("/{BUCKET}/k"));
    let answer = exchange.send(&exchange.reader(), get).await;
    assert_eq!((answer.status, answer.code()), (400, "KMS.DisabledException".to_owned()));
    let put = exchange.put("l", &[ONCE]);
    let answer = exchange.send(&exchange.writer(), put).await;
    assert_eq!((answer.status, answer.code()), (400, "KMS.DisabledException".to_owned()));
}
