//! Uploads by a browser's form: what the signed policy allows, and nothing else.

use crate::support::{Answer, Ask, Cloud, Signer, mac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const BOUNDARY: &str = "----boundary7MA4YWxk";

/// A form as a browser sends it, every part open to bending.
struct Form {
    fields: Vec<(String, String)>,
    file: Vec<u8>,
    after: Vec<(String, String)>,
}

impl Form {
    /// A form that keeps its policy, with further fields and conditions.
    fn signed(signer: &Signer, fields: &[(&str, &str)], conditions: &[Value]) -> Form {
        Form::signed_until(signer, fields, conditions, "2026-03-01T13:00:00.000Z")
    }

    fn signed_until(
        signer: &Signer,
        fields: &[(&str, &str)],
        conditions: &[Value],
        expiration: &str,
    ) -> Form {
        let credential = format!("{}/{}", signer.credentials.access_key_id, signer.scope());
        let mut all = vec![
            json!({ "bucket": "bucket-a" }),
            json!({ "x-amz-algorithm": "AWS4-HMAC-SHA256" }),
            json!({ "x-amz-credential": credential }),
            json!({ "x-amz-date": signer.timestamp() }),
        ];
        all.extend(conditions.iter().cloned());
        let policy = json!({ "expiration": expiration, "conditions": all });
        let policy = STANDARD.encode(policy.to_string());
        let signature = hex::encode(mac(&signer.key(), policy.as_bytes()));
        let own = [
            ("policy", policy),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("x-amz-credential", credential),
            ("x-amz-date", signer.timestamp()),
            ("x-amz-signature", signature),
        ];
        let mut list: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        list.extend(own.map(|(name, value)| (name.to_owned(), value)));
        Form { fields: list, file: b"content".to_vec(), after: Vec::new() }
    }

    fn set(mut self, name: &str, value: &str) -> Form {
        self.fields.retain(|(given, _)| given != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Form {
        self.fields.retain(|(given, _)| given != name);
        self
    }

    fn file(mut self, content: &[u8]) -> Form {
        self.file = content.to_vec();
        self
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let part = |body: &mut Vec<u8>, name: &str, value: &str| {
            let head =
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            body.extend(head.bytes());
            body.extend(value.bytes());
            body.extend(b"\r\n");
        };
        for (name, value) in &self.fields {
            part(&mut body, name, value);
        }
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.txt\"\r\n\
             Content-Type: text/plain\r\n\r\n"
        );
        body.extend(head.bytes());
        body.extend(&self.file);
        body.extend(b"\r\n");
        for (name, value) in &self.after {
            part(&mut body, name, value);
        }
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        body
    }

    fn ask(&self, cloud: &Cloud) -> Ask {
        form_ask(cloud, self.body())
    }

    async fn send(&self, cloud: &Cloud) -> Answer {
        cloud.send(&self.ask(cloud)).await
    }
}

fn form_ask(cloud: &Cloud, body: Vec<u8>) -> Ask {
    cloud
        .ask("POST", "/bucket-a")
        .header("content-type", &format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(body)
}

async fn cloud() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.make_bucket("bucket-a").await;
    cloud
}

#[tokio::test]
async fn a_form_puts_what_its_policy_allows() {
    let cloud = cloud().await;
    let signer = cloud.s3();
    let under_in = json!(["starts-with", "$key", "in/"]);
    let form = Form::signed(&signer, &[("key", "in/${filename}")], std::slice::from_ref(&under_in));
    let answer = form.send(&cloud).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{}", answer.text());
    assert_eq!(cloud.get("/bucket-a/in/a%20b.txt").await.text(), "content");

    // Content that looks like the form around it, and what browsers send after the file.
    let tricky = format!("\r\n--{}\r\n--{BOUNDARY}", &BOUNDARY[..BOUNDARY.len() - 1]);
    let tricky = &tricky.as_bytes()[..tricky.len() - BOUNDARY.len()];
    let big: Vec<u8> = (0..300_000).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    for content in [b"".as_slice(), tricky, b"\r\n\r\n", &big] {
        let fields = [("key", "in/x"), ("success_action_status", "201"), ("x-amz-meta-a", "b")];
        let conditions = [
            under_in.clone(),
            json!({ "success_action_status": "201" }),
            json!(["eq", "$x-amz-meta-a", "b"]),
        ];
        let mut form = Form::signed(&signer, &fields, &conditions).file(content);
        form.after.push(("submit".to_owned(), "Upload".to_owned()));
        let answer = form.send(&cloud).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.xml("Key").as_deref(), Some("in/x"));
        let back = cloud.get("/bucket-a/in/x").await;
        assert!(back.body == content, "{} bytes of {}", back.body.len(), content.len());
        assert_eq!(back.header("x-amz-meta-a"), Some("b"));
    }

    let fields = [("key", "in/y"), ("success_action_redirect", "https://localhost/done?x=1")];
    let conditions = [under_in, json!(["starts-with", "$success_action_redirect", ""])];
    let answer = Form::signed(&signer, &fields, &conditions).send(&cloud).await;
    assert_eq!(answer.status, 303);
    let target = answer.header("location").expect("a target");
    assert!(
        target.starts_with("https://localhost/done?x=1&bucket=bucket-a&key=in%2Fy&etag="),
        "{target}"
    );
}

#[tokio::test]
async fn a_form_does_nothing_else() {
    let cloud = cloud().await;
    let signer = cloud.s3();
    let any_key = || json!(["starts-with", "$key", ""]);
    let form = |conditions: &[Value]| Form::signed(&signer, &[("key", "k")], conditions);
    let good = || form(&[any_key()]);
    let range = |least: u64, most: u64| {
        Form::signed(
            &signer,
            &[("key", "k")],
            &[any_key(), json!(["content-length-range", least, most])],
        )
    };
    let denied = (403, "AccessDenied");
    let malformed = (400, "MalformedPOSTRequest");
    let invalid = (400, "InvalidPolicyDocument");
    let resigned = |text: &str| {
        let policy = STANDARD.encode(text);
        let signature = hex::encode(mac(&signer.key(), policy.as_bytes()));
        good().set("policy", &policy).set("x-amz-signature", &signature)
    };
    let mut stranger = cloud.signer(cloud.profile("acme"), "s3");
    stranger.now_ms = signer.now_ms;
    let mut kms = signer.clone();
    kms.service = "kms".to_owned();
    let mut old = signer.clone();
    old.now_ms -= 8 * 24 * 3600 * 1000;
    let cases: Vec<(&str, Form, (u16, &str))> = vec![
        ("another key than the policy's", form(&[json!({ "key": "other" })]), denied),
        ("a key outside its prefix", form(&[json!(["starts-with", "$key", "in/"])]), denied),
        ("a key no condition covers", form(&[]), denied),
        (
            "another bucket in the policy",
            form(&[any_key(), json!({ "bucket": "bucket-b" })]),
            denied,
        ),
        ("a field no condition covers", good().set("x-amz-meta-a", "b"), denied),
        ("an ACL no condition covers", good().set("acl", "public-read"), denied),
        (
            "a condition on a field that is not there",
            form(&[any_key(), json!({ "acl": "private" })]),
            denied,
        ),
        ("too long", range(0, 6), (400, "EntityTooLarge")),
        ("too short", range(8, 100), (400, "EntityTooSmall")),
        (
            "expired",
            Form::signed_until(&signer, &[("key", "k")], &[any_key()], "2026-03-01T12:00:00Z"),
            denied,
        ),
        ("no expiration", resigned(r#"{"conditions":[]}"#), invalid),
        ("no conditions", resigned(r#"{"expiration":"2027-01-01T00:00:00Z"}"#), invalid),
        (
            "an unknown operator",
            resigned(
                r#"{"expiration":"2027-01-01T00:00:00Z","conditions":[["ends-with","$key","k"]]}"#,
            ),
            invalid,
        ),
        ("a policy that is not JSON", resigned("hello"), invalid),
        (
            "another policy than the signed one",
            good().set("policy", &STANDARD.encode("{}")),
            (403, "SignatureDoesNotMatch"),
        ),
        (
            "a wrong signature",
            good().set("x-amz-signature", &"0".repeat(64)),
            (403, "SignatureDoesNotMatch"),
        ),
        ("no signature", good().without("x-amz-signature"), (400, "InvalidArgument")),
        ("no policy", good().without("policy"), denied),
        ("no key", good().without("key"), (400, "InvalidArgument")),
        (
            "a signature for another service",
            Form::signed(&kms, &[("key", "k")], &[any_key()]),
            (400, "AuthorizationHeaderMalformed"),
        ),
        ("a signature of last week", Form::signed(&old, &[("key", "k")], &[any_key()]), denied),
        (
            "a signer who may not write",
            Form::signed(&stranger, &[("key", "k")], &[any_key()]),
            denied,
        ),
        (
            "a copy",
            Form::signed(
                &signer,
                &[("key", "k"), ("x-amz-copy-source", "/bucket-a/secret")],
                &[any_key(), json!(["starts-with", "$x-amz-copy-source", ""])],
            ),
            (400, "InvalidArgument"),
        ),
        (
            "a field twice",
            {
                let mut form = good();
                form.fields.push(("key".into(), "l".into()));
                form
            },
            malformed,
        ),
        (
            "too many fields",
            good().set("x-ignore-a", &"a".repeat(30_000)),
            (400, "MaxPostPreDataLengthExceeded"),
        ),
    ];
    for (what, form, (status, code)) in cases {
        form.send(&cloud).await.expect(what, status, code);
        cloud.get("/bucket-a/k").await.expect(what, 404, "NoSuchKey");
    }
    // Headers of the HTTP request itself are not in the policy.
    for header in ["x-amz-copy-source", "x-amz-acl", "x-amz-server-side-encryption"] {
        let answer = cloud.send(&good().ask(&cloud).header(header, "x")).await;
        answer.expect(header, 403, "AccessDenied");
    }
    let whole = good().body();
    let cut = |at: usize| form_ask(&cloud, whole[..at].to_vec());
    for at in [0, 10, 60, whole.len() / 2, whole.len() - BOUNDARY.len() - 6] {
        cloud.send(&cut(at)).await.expect(&format!("cut at {at}"), 400, "MalformedPOSTRequest");
        cloud.get("/bucket-a/k").await.expect("cut", 404, "NoSuchKey");
    }
    let garbage = form_ask(
        &cloud,
        b"hello, world, this is not a form at all, and longer than a boundary".to_vec(),
    );
    cloud.send(&garbage).await.expect("not a form", 400, "MalformedPOSTRequest");
    let endless = [
        b"--",
        BOUNDARY.as_bytes(),
        b"\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n",
        &vec![b'a'; 200_000],
    ]
    .concat();
    let answer = cloud.send(&form_ask(&cloud, endless)).await;
    answer.expect("an endless field", 400, "MaxPostPreDataLengthExceeded");
    good().send(&cloud).await.expect_ok();
}
