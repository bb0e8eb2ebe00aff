//! What goes over the wire, and what comes of answers that servers really give: a scripted server
//! records each request and answers the next line of its script.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use consign_cloud::s3::{
    Body, CompleteMultipart, CompletedPart, CopyObject, CustomerKey, Encryption, GetObject,
    MultipartTarget, PutObject, UploadPart,
};
use consign_cloud::{Cloud, Credentials, ErrorKind, Settings, Timeouts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a request.
#[derive(Clone)]
enum Answer {
    /// Status line and headers, then this body.
    Say(&'static str, &'static str),
    /// As `Say`, but the connection ends so many bytes before the body does.
    Cut(&'static str, &'static str, usize),
    /// As `Say`, but so many milliseconds later.
    Late(u64, &'static str, &'static str),
    /// Nothing, for ever.
    Silence,
    /// The connection ends.
    HangUp,
}

#[derive(Clone, Debug)]
struct Recorded {
    head: String,
    body: Vec<u8>,
}

impl Recorded {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

impl Server {
    async fn start(script: Vec<Answer>) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter()));
        let recorded = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&recorded)));
            }
        });
        Server { endpoint, requests }
    }

    fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().expect("lock").clone()
    }

    async fn cloud(&self) -> Cloud {
        let idle = Duration::from_millis(300);
        self.cloud_with(Timeouts { idle, ..Timeouts::default() }).await
    }

    async fn cloud_with(&self, timeouts: Timeouts) -> Cloud {
        let settings = Settings {
            endpoint: Some(self.endpoint.clone()),
            explicit_credentials: Some(Credentials::new("AKID", "secret", None)),
            region: Some("eu-west-1".into()),
            timeouts,
            ..Settings::default()
        };
        Cloud::connect(&settings).await.expect("connect")
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<std::vec::IntoIter<Answer>>>,
    recorded: Arc<Mutex<Vec<Recorded>>>,
) {
    while let Some(request) = read(&mut stream).await {
        recorded.lock().expect("lock").push(request);
        let answer = script.lock().expect("lock").next().unwrap_or(Answer::HangUp);
        let (head, body, missing) = match answer {
            Answer::Say(head, body) => (head, body, 0),
            Answer::Cut(head, body, missing) => (head, body, missing),
            Answer::Late(ms, head, body) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                (head, body, 0)
            }
            Answer::Silence => return tokio::time::sleep(Duration::from_secs(60)).await,
            Answer::HangUp => return,
        };
        let text = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.write_all(&body.as_bytes()[..body.len() - missing]).await;
        if missing > 0 {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Recorded> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let mut request =
        Recorded { head: String::from_utf8(head).expect("a head is text"), body: Vec::new() };
    let length = request.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

fn object() -> GetObject {
    GetObject { bucket: "b".into(), key: "k".into(), ..GetObject::default() }
}

fn put(body: impl Into<Body>) -> PutObject {
    PutObject {
        bucket: "b".into(), key: "a b/ü".into(), body: body.into(), ..PutObject::default()
    }
}

/// A copy, and a part on a slow line, may take longer than a request that moves nothing.
#[tokio::test]
async fn data_may_take_longer_than_a_question() {
    let copied = "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>";
    let part = "<CopyPartResult><ETag>\"e\"</ETag></CopyPartResult>";
    let script = vec![
        Answer::Late(600, "200 OK", copied),
        Answer::Late(600, "200 OK", part),
        Answer::Late(600, "200 OK\r\netag: \"e\"", ""),
    ];
    let server = Server::start(script).await;
    let control = Duration::from_millis(200);
    let cloud = server.cloud_with(Timeouts { control, ..Timeouts::default() }).await;
    let target = MultipartTarget { bucket: "b".into(), key: "k".into(), ..Default::default() };
    let copy = CopyObject { source: object(), target: target.clone(), ..CopyObject::default() };
    cloud.s3().copy_object(&copy).await.expect("copied");
    cloud.s3().upload_part_copy(&object(), 0..9, &target, "u", 1).await.expect("copied");
    cloud.s3().put_object(put(b"123456789".to_vec())).await.expect("put");
}

#[tokio::test]
async fn a_put_is_signed_but_its_payload_only_checksummed() {
    let server = Server::start(vec![Answer::Say("200 OK\r\netag: \"e\"", "")]).await;
    let put = PutObject {
        checksum_crc64nvme: Some("rosUhgp5mIg=".into()),
        if_none_match: true,
        expected_bucket_owner: Some("111111111111".into()),
        ..put(b"123456789".to_vec())
    };
    let done = server.cloud().await.s3().put_object(put).await.expect("put");
    assert_eq!(done.etag.as_deref(), Some("\"e\""));
    let requests = server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert!(request.head.starts_with("PUT /b/a%20b/%C3%BC"), "path style: {}", request.head);
    assert_eq!(request.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
    assert_eq!(request.header("x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
    assert_eq!(request.header("if-none-match"), Some("*"));
    assert_eq!(request.header("x-amz-expected-bucket-owner"), Some("111111111111"));
    assert_eq!(request.header("content-encoding"), None, "not chunked");
    assert_eq!(request.body, b"123456789");
    let signed = request.header("authorization").expect("signed");
    for name in ["x-amz-checksum-crc64nvme", "if-none-match", "x-amz-expected-bucket-owner"] {
        assert!(signed.contains(name), "{name} is signed: {signed}");
    }
}

#[tokio::test]
async fn s3_may_live_elsewhere_than_the_other_services() {
    let server = Server::start(vec![Answer::Say("200 OK\r\netag: \"e\"", "")]).await;
    let settings = Settings {
        endpoint: Some("http://127.0.0.1:9".into()),
        s3_endpoint: Some(server.endpoint.clone()),
        explicit_credentials: Some(Credentials::new("AKID", "secret", None)),
        ..Settings::default()
    };
    let cloud = Cloud::connect(&settings).await.expect("connect");
    cloud.s3().put_object(put(vec![1])).await.expect("put");
    assert!(server.requests()[0].head.starts_with("PUT /b/"), "path style");
}

#[tokio::test]
async fn the_bucket_decides_on_encryption_unless_asked() {
    let ok = Answer::Say("200 OK\r\netag: \"e\"", "");
    let server = Server::start(vec![ok; 5]).await;
    let cloud = server.cloud().await;
    let cases = [
        (None, None, None),
        (Some(Encryption::SseS3), Some("AES256"), None),
        (Some(Encryption::SseKms { key: Some("arn".into()) }), Some("aws:kms"), Some("arn")),
        (Some(Encryption::DsseKms { key: None }), Some("aws:kms:dsse"), None),
        (Some(Encryption::SseC(CustomerKey::new([b'k'; 32]))), None, None),
    ];
    for (encryption, _, _) in cases.clone() {
        let put = PutObject { encryption, ..put(vec![1]) };
        cloud.s3().put_object(put).await.expect("put");
    }
    let requests = server.requests();
    for (request, (asked, algorithm, key)) in requests.iter().zip(&cases) {
        assert_eq!(request.header("x-amz-server-side-encryption"), *algorithm, "{asked:?}");
        let sent = request.header("x-amz-server-side-encryption-aws-kms-key-id");
        assert_eq!(sent, *key, "{asked:?}");
    }
    let customer = "x-amz-server-side-encryption-customer-key-md5";
    assert!(requests[4].header(customer).is_some());
    assert!(requests[3].header(customer).is_none());
}

#[tokio::test]
async fn an_anonymous_cloud_signs_nothing() {
    let denied = Answer::Say(
        "403 Forbidden\r\nx-amz-request-id: R1",
        "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
    );
    let server = Server::start(vec![denied]).await;
    let settings = Settings {
        endpoint: Some(server.endpoint.clone()),
        region: Some("eu-west-1".into()),
        anonymous: true,
        ..Settings::default()
    };
    let cloud = Cloud::connect(&settings).await.expect("connect");
    let error = cloud.s3().put_object(put(vec![1])).await.expect_err("denied");
    assert_eq!(server.requests()[0].header("authorization"), None);
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert_eq!(error.code(), Some("AccessDenied"));
    assert_eq!(error.request_id(), Some("R1"));
    assert_eq!(error.http_status(), Some(403));
}

#[tokio::test]
async fn object_data_is_tried_once_and_the_rest_again() {
    let busy = Answer::Say("503 Slow Down", "<Error><Code>SlowDown</Code></Error>");
    let listing = Answer::Say("200 OK", "<ListBucketResult></ListBucketResult>");
    let server = Server::start(vec![busy.clone(), busy, listing]).await;
    let cloud = server.cloud().await;
    let error = cloud.s3().put_object(put(vec![1])).await.expect_err("busy");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Throttled, true));
    assert_eq!(server.requests().len(), 1);
    let list = consign_cloud::s3::ListRequest { bucket: "b".into(), ..Default::default() };
    cloud.s3().list_objects(&list).await.expect("the second try");
    assert_eq!(server.requests().len(), 3);
}

/// Reads ten bytes of twenty and says what kind of failure that is.
async fn check_get(answer: Answer, expected: ErrorKind) {
    let server = Server::start(vec![answer]).await;
    let cloud = server.cloud().await;
    let mut buffer = [0; 10];
    let before = Instant::now();
    let error = cloud.s3().get_range(&object(), 5..15, &mut buffer).await.expect_err("refused");
    assert_eq!(error.kind(), expected, "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

#[tokio::test]
async fn broken_answers_are_told_apart() {
    let partial = "206 Partial Content\r\ncontent-range: bytes 5-14/20";
    check_get(Answer::Cut(partial, "0123456789", 3), ErrorKind::Network).await;
    check_get(Answer::HangUp, ErrorKind::Network).await;
    check_get(Answer::Silence, ErrorKind::Timeout).await;
    check_get(Answer::Say(partial, "01234"), ErrorKind::Network).await;
    check_get(Answer::Say(partial, "0123456789abc"), ErrorKind::InvalidResponse).await;
    let other = "206 Partial Content\r\ncontent-range: bytes 6-15/20";
    check_get(Answer::Say(other, "0123456789"), ErrorKind::InvalidResponse).await;
    check_get(Answer::Say("200 OK", "01234567890123456789"), ErrorKind::InvalidResponse).await;
    let gone = "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
    check_get(Answer::Say("404 Not Found", gone), ErrorKind::NotFound).await;
    check_get(Answer::Say("412 Precondition Failed", ""), ErrorKind::PreconditionFailed).await;
    check_get(Answer::Say("502 Bad Gateway", "<html>proxy</html>"), ErrorKind::Unavailable).await;
    check_get(Answer::Say("500 Oh", "not xml"), ErrorKind::Unavailable).await;
}

#[tokio::test]
async fn a_put_that_is_not_answered_ends_and_is_unclear() {
    let server = Server::start(vec![Answer::Silence]).await;
    let error = server.cloud().await.s3().put_object(put(vec![7; 3 << 20])).await;
    let error = error.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.is_ambiguous() && error.is_retryable());
}

#[tokio::test]
async fn a_source_that_fails_is_not_the_networks_fault() {
    let server = Server::start(vec![Answer::HangUp]).await;
    let (sender, parts) = tokio::sync::mpsc::channel(2);
    sender.send(Ok(vec![1; 10].into())).await.expect("room");
    sender.send(Err("the disk is gone".into())).await.expect("room");
    let body = Body::Stream { bytes: 20, parts };
    let put = PutObject { checksum_crc64nvme: Some("rosUhgp5mIg=".into()), ..put(body) };
    let error = server.cloud().await.s3().put_object(put).await.expect_err("no source");
    assert_eq!(error.kind(), ErrorKind::Source, "{error:?}");
    let mut chain = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        chain.push_str(&error.to_string());
        next = error.source();
    }
    assert!(chain.contains("the disk is gone"), "{chain}");
}

#[tokio::test]
async fn a_completed_upload_that_failed_inside_200_is_a_failure() {
    let inside = "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code>\
                  <Message>We encountered an internal error.</Message></Error>";
    let begun = "<InitiateMultipartUploadResult><UploadId>u</UploadId>\
                 </InitiateMultipartUploadResult>";
    let server = Server::start(vec![
        Answer::Say("200 OK", begun),
        Answer::Say("200 OK\r\netag: \"p\"", ""),
        Answer::Say("200 OK", inside),
    ])
    .await;
    let cloud = server.cloud().await;
    let target = MultipartTarget { bucket: "b".into(), key: "k".into(), ..Default::default() };
    let id = cloud.s3().create_multipart(&target).await.expect("begun");
    let part = UploadPart {
        number: 1,
        body: vec![1; 9].into(),
        checksum_crc64nvme: Some("rosUhgp5mIg=".into()),
        customer_key: None,
    };
    let etag = cloud.s3().upload_part(&target, &id, part).await.expect("sent");
    let complete = CompleteMultipart {
        parts: vec![CompletedPart { number: 1, etag, checksum_crc64nvme: None }],
        checksum_crc64nvme: Some("rosUhgp5mIg=".into()),
        object_bytes: Some(9),
        if_none_match: true,
    };
    let error = cloud.s3().complete_multipart(&target, &id, complete).await.expect_err("failed");
    assert_eq!(error.code(), Some("InternalError"), "{error:?}");
    assert!(error.is_ambiguous());
    let requests = server.requests();
    assert_eq!(requests[0].header("x-amz-checksum-algorithm"), Some("CRC64NVME"));
    assert_eq!(requests[0].header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(requests[2].header("x-amz-mp-object-size"), Some("9"));
    assert_eq!(requests[2].header("x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
    assert_eq!(requests[2].header("if-none-match"), Some("*"));
}

#[tokio::test]
async fn a_copy_that_failed_inside_200_is_a_failure() {
    let inside = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code>\
                  <Message>Please reduce your request rate.</Message></Error>";
    let server =
        Server::start(vec![Answer::Say("200 OK", inside), Answer::Say("200 OK", inside)]).await;
    let cloud = server.cloud().await;
    let source = GetObject {
        bucket: "a".into(),
        key: "k k".into(),
        version_id: Some("v".into()),
        if_match: Some("\"e\"".into()),
        expected_bucket_owner: Some("111111111111".into()),
        ..GetObject::default()
    };
    let target = MultipartTarget {
        bucket: "b".into(),
        key: "k".into(),
        expected_bucket_owner: Some("222222222222".into()),
        ..MultipartTarget::default()
    };
    let copy =
        CopyObject { source: source.clone(), target, if_none_match: true, keep_metadata: false };
    let error = cloud.s3().copy_object(&copy).await.expect_err("failed");
    assert_eq!((error.code(), error.kind()), (Some("SlowDown"), ErrorKind::Throttled), "{error:?}");
    let target = MultipartTarget { bucket: "b".into(), key: "k".into(), ..Default::default() };
    let part = cloud.s3().upload_part_copy(&source, 0..10, &target, "u", 1).await;
    let error = part.expect_err("failed");
    assert_eq!((error.code(), error.kind()), (Some("SlowDown"), ErrorKind::Throttled), "{error:?}");
    let requests = server.requests();
    for (name, value) in [
        ("x-amz-copy-source", "a/k%20k?versionId=v"),
        ("x-amz-copy-source-if-match", "\"e\""),
        ("x-amz-source-expected-bucket-owner", "111111111111"),
        ("x-amz-expected-bucket-owner", "222222222222"),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-tagging-directive", "REPLACE"),
        ("if-none-match", "*"),
    ] {
        assert_eq!(requests[0].header(name), Some(value), "{name}");
    }
    assert_eq!(requests[1].header("x-amz-copy-source-range"), Some("bytes=0-9"));
    assert_eq!(requests.len(), 2, "tried once each");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_in_words() {
    let folder = std::env::temp_dir();
    let missing =
        Settings { ca_bundle: Some(folder.join("no-such-ca.pem")), ..Settings::default() };
    let error = Cloud::connect(&missing).await.expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("no-such-ca.pem"), "{error}");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let not_pem = Settings { ca_bundle: Some(manifest.into()), ..Settings::default() };
    let error = Cloud::connect(&not_pem).await.expect_err("not a certificate");
    assert!(error.to_string().contains("no certificate"), "{error}");
}
