//! Starting, stopping, starting again; and peers that mean harm.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{self, ACME, Answer, Cloud, GLOBEX, REGION, START_MS, options};
use consign_local::{Account, ErrorKind, ServeOptions, SystemClock, start};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let first = Cloud::start().await;
    let root = first.root.clone();
    let iam = first.signer(first.admin(ACME), "iam");
    first.query(&iam, &[("Action", "CreateUser"), ("UserName", "bob")]).await.expect_ok();
    let kms = first.signer(first.admin(ACME), "kms");
    let key = first.kms(&kms, "CreateKey", serde_json::json!({})).await.expect_ok().json();
    let key = key["KeyMetadata"]["KeyId"].clone();
    let encrypt = serde_json::json!({ "KeyId": key, "Plaintext": "c2VjcmV0" });
    let sealed = first.kms(&kms, "Encrypt", encrypt).await.expect_ok().json();
    first.make_bucket("bucket-a").await;
    first.put("/bucket-a/k", b"content").await;
    let session = first.signer(first.profile("globex"), "sts");
    let (ca, credentials) = (
        std::fs::read(first.running.ca_path()).expect("ca.pem"),
        std::fs::read(first.running.credentials_path()).expect("credentials"),
    );
    first.running.shutdown().await;

    let again = Cloud::start_in(root, START_MS + 60_000).await;
    assert_eq!(std::fs::read(again.running.ca_path()).expect("ca.pem"), ca);
    assert_eq!(std::fs::read(again.running.credentials_path()).expect("credentials"), credentials);
    let iam = again.signer(again.admin(ACME), "iam");
    again.query(&iam, &[("Action", "GetUser"), ("UserName", "bob")]).await.expect_ok();
    let kms = again.signer(again.admin(ACME), "kms");
    let decrypt = serde_json::json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let opened = again.kms(&kms, "Decrypt", decrypt).await.expect_ok().json();
    assert_eq!(opened["Plaintext"], "c2VjcmV0");
    assert_eq!(again.get("/bucket-a/k").await.text(), "content");
    // Sessions outlive the process that gave them out.
    let whoami = [("Action", "GetCallerIdentity")];
    again.query(&session, &whoami).await.expect_ok();
}

#[tokio::test]
async fn one_root_has_one_server() {
    let cloud = Cloud::start().await;
    let second = start(options(&cloud.root, cloud.clock.clone())).await;
    let error = second.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(error.hint().is_some());
    // Dropped without ceremony, it lets go by itself.
    let root = cloud.root.clone();
    drop(cloud);
    Cloud::start_in(root, START_MS).await;
}

#[tokio::test]
async fn a_damaged_root_is_an_error_and_stays_as_it_is() {
    let cloud = Cloud::start().await;
    let (root, clock) = (cloud.root.clone(), cloud.clock.clone());
    let folder = cloud.running.root().to_owned();
    cloud.running.shutdown().await;
    let whole = |name: &str| std::fs::read(folder.join(name)).expect(name);
    for (name, damage) in [
        ("master.key", None),
        ("master.key", Some(b"short".to_vec())),
        ("ca.key", Some(b"not a key".to_vec())),
        ("meta.redb", Some(vec![7; 4096])),
        ("objects.redb", Some(b"not a database".to_vec())),
    ] {
        let good = whole(name);
        match &damage {
            Some(bytes) => std::fs::write(folder.join(name), bytes).expect(name),
            None => std::fs::remove_file(folder.join(name)).expect(name),
        }
        let error = start(options(&root, clock.clone())).await.err().expect(name);
        assert_eq!(error.kind(), ErrorKind::Storage, "{name}: {error}");
        assert!(error.to_string().contains(name) || name == "objects.redb", "{name}: {error}");
        assert_eq!(std::fs::read(folder.join(name)).ok(), damage, "{name} was touched");
        std::fs::write(folder.join(name), good).expect(name);
    }
    Cloud::start_in(root, START_MS).await;
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let good = || options(&root, Arc::new(SystemClock));
    let cases = [
        (
            "a public address",
            ServeOptions { listen: "0.0.0.0:0".parse().expect("an address"), ..good() },
        ),
        ("a public HTTP address", ServeOptions { http: "0.0.0.0:0".parse().ok(), ..good() }),
        ("no region", ServeOptions { region: String::new(), ..good() }),
        ("a region with a line break", ServeOptions { region: "eu\n".into(), ..good() }),
        ("a short account", ServeOptions { accounts: vec![Account { id: "12".into() }], ..good() }),
    ];
    for (what, options) in cases {
        let error = start(options).await.err().expect(what);
        assert_eq!(error.kind(), ErrorKind::Options, "{what}: {error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let listen = taken.local_addr().expect("an address");
    let error = start(ServeOptions { listen, ..good() }).await.err().expect("the port is taken");
    assert_eq!(error.kind(), ErrorKind::Address, "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn secrets_are_their_owners() {
    use std::os::unix::fs::PermissionsExt;
    let cloud = Cloud::start().await;
    let secret = cloud.admin(ACME).secret_access_key;
    let mode = |name: &str| {
        let path = cloud.running.root().join(name);
        std::fs::metadata(path).expect(name).permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    for name in ["ca.key", "master.key", "credentials", "config"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    let debug = format!("{:?}", cloud.admin(ACME));
    assert!(!debug.contains(secret.as_str()), "{debug}");
    for entry in ["meta.redb", "objects.redb", "config", "master.key", "ca.key"] {
        let bytes = std::fs::read(cloud.running.root().join(entry)).expect(entry);
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "a secret access key lies in {entry}");
    }
}

/// The log names callers and reasons, and never what a signature or token is.
#[tokio::test]
async fn the_log_says_why_and_tells_no_secret() {
    let cloud = Cloud::start().await;
    cloud.make_bucket("bucket-a").await;
    let globex = cloud.profile("globex");
    let token = globex.session_token.clone().expect("a token");
    let signer = cloud.signer(globex, "s3");
    let presigned = signer.presign(cloud.ask("GET", "/bucket-a/k"), "60");
    let answer = cloud.send(&presigned).await.expect("a stranger", 403, "AccessDenied");
    assert_eq!(answer.xml("Message").as_deref(), Some("Access Denied"), "nothing for strangers");
    let log = cloud.log.lock().expect("the log");
    let last = log.last().expect("an entry");
    assert_eq!(last.status, 403);
    assert_eq!(Some(last.request_id.as_str()), answer.header("x-amz-request-id"));
    let reason = last.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("s3:GetObject") && reason.contains("policy"), "{reason}");
    let text = format!("{log:?}");
    assert!(!text.contains("X-Amz-Signature") && !text.contains(token.as_str()), "{text}");
}

#[tokio::test]
async fn plain_http_is_plain_http() {
    let cloud = Cloud::start().await;
    cloud.make_bucket("bucket-a").await;
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": ["arn:aws:s3:::bucket-a", "arn:aws:s3:::bucket-a/*"],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }],
    });
    let put = cloud.ask("PUT", "/bucket-a?policy=").body(policy.to_string());
    cloud.send(&cloud.s3().sign(put)).await.expect_ok();
    let host = cloud.running.http_endpoint().expect("HTTP").replace("http://", "");
    let ask = support::Ask::new("GET", "/bucket-a?list-type=2", &host);
    let answer = cloud.send_plain(&cloud.s3().sign(ask)).await;
    answer.expect("over HTTP", 403, "AccessDenied");
    let ask = cloud.ask("GET", "/bucket-a?list-type=2");
    cloud.send(&cloud.s3().sign(ask)).await.expect_ok();
}

#[tokio::test]
async fn names_below_localhost_are_served_over_tls() {
    let cloud = Cloud::start().await;
    cloud.make_bucket("bucket-a").await;
    cloud.put("/bucket-a/k", b"content").await;
    let port = cloud.host().rsplit_once(':').expect("a port").1.to_owned();
    for (name, target) in [("localhost", "/bucket-a/k"), ("bucket-a.localhost", "/k")] {
        let mut ask = support::Ask::new("GET", target, &format!("{name}:{port}"));
        ask = cloud.s3().sign(ask);
        let mut stream = cloud.connect_as(name).await.expect("a certificate for the name");
        stream.write_all(&ask.bytes()).await.expect("written");
        assert_eq!(Answer::read(stream).await.text(), "content", "{name}");
    }
    assert!(cloud.connect_as("example.com").await.is_err(), "not a name of ours");
}

#[tokio::test]
async fn hostile_bytes_get_an_answer_or_a_closed_door() {
    let cloud = Cloud::start().await;
    let host = cloud.host();
    let head = |rest: &str| {
        format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{rest}\r\n").into_bytes()
    };
    let many: String = (0..5000).map(|at| format!("x-{at}: y\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\xff\xfe\r\n\r\n".to_vec()),
        ("a megabyte in one header", head(&format!("x-a: {}\r\n", "a".repeat(1 << 20)))),
        ("5,000 headers", head(&many)),
        (
            "a megabyte of target",
            format!("GET /{} HTTP/1.1\r\nhost: {host}\r\n\r\n", "a".repeat(1 << 20)).into_bytes(),
        ),
        ("a NUL in a header", head("x-amz-meta-a: \0\r\n")),
        ("a length twice", head("content-length: 1\r\ncontent-length: 2\r\n")),
        ("a length beyond 64 bits", head("content-length: 99999999999999999999999\r\n")),
        (
            "length and chunks",
            [head("content-length: 4\r\ntransfer-encoding: chunked\r\n"), b"0\r\n\r\n".to_vec()]
                .concat(),
        ),
        ("an unknown transfer coding", head("transfer-encoding: gzip\r\n")),
        ("bytes that are not text", head("authorization: AWS4-HMAC-SHA256 \u{e9}\r\n")),
        (
            "a method of its own",
            format!("FROB / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").into_bytes(),
        ),
        (
            "OPTIONS *",
            format!("OPTIONS * HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").into_bytes(),
        ),
        (
            "CONNECT",
            format!(
                "CONNECT example.com:443 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
            )
            .into_bytes(),
        ),
    ];
    for (what, bytes) in cases {
        let answer = tokio::time::timeout(Duration::from_secs(20), cloud.send_bytes(&bytes)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: no answer"));
        assert!(answer.status == 0 || answer.status >= 400, "{what}: {answer:?}");
        // The server lives on.
        cloud.send(&cloud.s3().sign(cloud.ask("GET", "/"))).await.expect_ok();
    }
}

/// A refused upload is answered while the client is still sending, and the client gets to read it.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let cloud = Cloud::start().await;
    let stranger = cloud.signer(cloud.profile("globex"), "s3").payload("UNSIGNED-PAYLOAD");
    let ask = cloud.ask("PUT", "/nowhere/k").body(vec![7u8; 8 << 20]);
    let answer = cloud.send(&stranger.sign(ask)).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert!(!answer.code().is_empty());
}

#[tokio::test]
async fn accounts_know_nothing_of_each_other() {
    let cloud = Cloud::start().await;
    cloud.make_bucket("bucket-a").await;
    cloud.put("/bucket-a/k", b"content").await;
    let stranger = cloud.signer(cloud.admin(GLOBEX), "s3");
    for (method, target) in [
        ("GET", "/bucket-a/k"),
        ("PUT", "/bucket-a/k"),
        ("DELETE", "/bucket-a/k"),
        ("GET", "/bucket-a?list-type=2"),
        ("GET", "/bucket-a?policy="),
        ("DELETE", "/bucket-a"),
    ] {
        let answer = cloud.send(&stranger.sign(cloud.ask(method, target))).await;
        assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
    }
    let body = format!(
        "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint>\
         </CreateBucketConfiguration>"
    );
    let take = stranger.sign(cloud.ask("PUT", "/bucket-a").body(body));
    cloud.send(&take).await.expect("names are global", 409, "BucketAlreadyExists");
    let iam = cloud.signer(cloud.admin(GLOBEX), "iam");
    let answer = cloud.query(&iam, &[("Action", "GetUser"), ("UserName", "acme")]).await;
    answer.expect("another account's user", 404, "NoSuchEntity");
    assert_eq!(cloud.get("/bucket-a/k").await.text(), "content");
}
