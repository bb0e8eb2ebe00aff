//! S3 as it is on the wire: what must be refused and with which words, limits, hostile documents,
//! addressing, and rules that are carried out later.

use crate::support::{self, Cloud, GLOBEX, encode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

async fn with_bucket() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.make_bucket("wire-bucket").await;
    cloud
}

/// One request of the administrator: method, target, headers, body.
struct Row<'a> {
    what: &'a str,
    method: &'a str,
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
    expect: (u16, &'a str),
}

async fn check(cloud: &Cloud, rows: &[Row<'_>]) {
    for row in rows {
        let mut ask = cloud.ask(row.method, row.target).body(row.body);
        for (name, value) in row.headers {
            ask = ask.header(name, value);
        }
        let answer = cloud.send(&cloud.s3().sign(ask)).await;
        answer.expect(row.what, row.expect.0, row.expect.1);
    }
}

fn row<'a>(
    what: &'a str,
    method: &'a str,
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
    expect: (u16, &'a str),
) -> Row<'a> {
    Row { what, method, target, headers, body, expect }
}

#[tokio::test]
async fn what_is_not_offered_is_refused_aloud() {
    let cloud = with_bucket().await;
    cloud.put("/wire-bucket/k", b"x").await;
    let refused = (501, "NotImplemented");
    let lock = "<LegalHold><Status>ON</Status></LegalHold>".as_bytes();
    let cors = "<CORSConfiguration><CORSRule/></CORSConfiguration>".as_bytes();
    let notify = "<NotificationConfiguration><TopicConfiguration/></NotificationConfiguration>";
    check(
        &cloud,
        &[
            row("legal hold", "PUT", "/wire-bucket/k?legal-hold=", &[], lock, refused),
            row("retention", "PUT", "/wire-bucket/k?retention=", &[], b"", refused),
            row("torrent", "GET", "/wire-bucket/k?torrent=", &[], b"", refused),
            row("select", "POST", "/wire-bucket/k?select=&select-type=2", &[], b"", refused),
            row("restore", "POST", "/wire-bucket/k?restore=", &[], b"", refused),
            row("annotation", "PUT", "/wire-bucket/k?annotation=a", &[], b"", refused),
            row("re-encryption", "PUT", "/wire-bucket/k?encryption=", &[], b"", refused),
            row("CORS", "PUT", "/wire-bucket?cors=", &[], cors, refused),
            row("events", "PUT", "/wire-bucket?notification=", &[], notify.as_bytes(), refused),
            row("object lock", "PUT", "/wire-bucket?object-lock=", &[], b"", refused),
            row("a form", "POST", "/wire-bucket", &[], b"", refused),
            row("a method", "PATCH", "/wire-bucket/k", &[], b"", (405, "MethodNotAllowed")),
            row(
                "a lock that nobody would keep",
                "PUT",
                "/wire-bucket/k",
                &[("x-amz-object-lock-mode", "COMPLIANCE")],
                b"",
                (400, "InvalidRequest"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn documents_must_be_what_they_claim() {
    let cloud = with_bucket().await;
    let malformed = (400, "MalformedXML");
    let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\
                <Delete><Object><Key>&b;</Key></Object></Delete>";
    let file = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\
                <Delete><Object><Key>&x;</Key></Object></Delete>";
    let deep = "<Delete>".repeat(100_000);
    let wide = "<Object/>".repeat(300_000);
    let many = format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(1001));
    let misspelt = "<PublicAccessBlockConfiguration><BlockPublicPolicies>true\
                    </BlockPublicPolicies></PublicAccessBlockConfiguration>";
    let truncated = "<VersioningConfiguration><Status>Enabled</Status>";
    for (what, target, body) in [
        ("entities", "/wire-bucket?delete=", bomb),
        ("a file", "/wire-bucket?delete=", file),
        ("depth", "/wire-bucket?delete=", deep.as_str()),
        ("length", "/wire-bucket?delete=", wide.as_str()),
        ("too many keys", "/wire-bucket?delete=", many.as_str()),
        ("no keys", "/wire-bucket?delete=", "<Delete/>"),
        ("another root", "/wire-bucket?delete=", "<Remove><Object/></Remove>"),
        ("no XML", "/wire-bucket?delete=", "{}"),
    ] {
        check(&cloud, &[row(what, "POST", target, &[], body.as_bytes(), malformed)]).await;
    }
    for (what, target, body) in [
        ("a misspelt setting", "/wire-bucket?publicAccessBlock=", misspelt),
        ("a document cut off", "/wire-bucket?versioning=", truncated),
        ("nothing", "/wire-bucket?encryption=", ""),
    ] {
        check(&cloud, &[row(what, "PUT", target, &[], body.as_bytes(), malformed)]).await;
    }
}

#[tokio::test]
async fn limits_are_those_of_s3() {
    let cloud = with_bucket().await;
    let long = format!("/wire-bucket/{}", "k".repeat(1025));
    let wide = format!("/wire-bucket/{}", "%C3%BC".repeat(513));
    let metadata = "m".repeat(2049);
    check(
        &cloud,
        &[
            row("a long key", "PUT", &long, &[], b"", (400, "KeyTooLongError")),
            row("a long key of two-byte letters", "PUT", &wide, &[], b"", (400, "KeyTooLongError")),
            row("no UTF-8", "PUT", "/wire-bucket/%FF", &[], b"", (400, "InvalidURI")),
            row(
                "much metadata",
                "PUT",
                "/wire-bucket/k",
                &[("x-amz-meta-m", &metadata)],
                b"",
                (400, "MetadataTooLarge"),
            ),
            row(
                "a storage class that is none",
                "PUT",
                "/wire-bucket/k",
                &[("x-amz-storage-class", "CHEAP")],
                b"",
                (400, "InvalidStorageClass"),
            ),
            row(
                "an MD5 of another content",
                "PUT",
                "/wire-bucket/k",
                &[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")],
                b"x",
                (400, "BadDigest"),
            ),
            row(
                "an MD5 that is none",
                "PUT",
                "/wire-bucket/k",
                &[("content-md5", "x")],
                b"x",
                (400, "InvalidDigest"),
            ),
            row(
                "two checksums",
                "PUT",
                "/wire-bucket/k",
                &[
                    ("x-amz-checksum-crc32", "AAAAAA=="),
                    ("x-amz-checksum-sha1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
                ],
                b"",
                (400, "InvalidRequest"),
            ),
            row(
                "part 0",
                "PUT",
                "/wire-bucket/k?partNumber=0&uploadId=u",
                &[],
                b"",
                (400, "InvalidArgument"),
            ),
            row(
                "a number that is none",
                "GET",
                "/wire-bucket?max-keys=-1",
                &[],
                b"",
                (400, "InvalidArgument"),
            ),
            row(
                "an encoding that is none",
                "GET",
                "/wire-bucket?encoding-type=b64",
                &[],
                b"",
                (400, "InvalidArgument"),
            ),
            row(
                "no version",
                "GET",
                "/wire-bucket/k?versionId=",
                &[],
                b"",
                (400, "InvalidArgument"),
            ),
            row(
                "nothing was kept of all that",
                "GET",
                "/wire-bucket/k",
                &[],
                b"",
                (404, "NoSuchKey"),
            ),
        ],
    )
    .await;
    // Refused by its length, before a byte of it is sent.
    let ask = cloud.ask("PUT", "/wire-bucket/huge").header("content-length", "5368709121");
    let signer = cloud.s3().payload("UNSIGNED-PAYLOAD").leaving("content-length");
    let answer = cloud.send(&signer.sign(ask)).await;
    assert!(matches!(answer.code().as_str(), "EntityTooLarge"), "{}", answer.text());
}

#[tokio::test]
async fn a_checksum_in_a_trailer_counts() {
    let cloud = with_bucket().await;
    let crc = BASE64.encode(0x9a08_1ab7_u32.to_be_bytes());
    for (what, value, expect) in
        [("a wrong one", crc.as_str(), (400, "BadDigest")), ("none", "", (400, "InvalidRequest"))]
    {
        let mut body = "3\r\nabc\r\n0\r\n".to_owned();
        body.push_str(&format!("x-amz-checksum-crc32:{value}\r\n\r\n"));
        let ask = cloud
            .ask("PUT", "/wire-bucket/k")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .header("x-amz-decoded-content-length", "3")
            .header("content-encoding", "aws-chunked")
            .body(body.into_bytes());
        let signer = cloud.s3().payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        cloud.send(&signer.sign(ask)).await.expect(what, expect.0, expect.1);
        cloud.get("/wire-bucket/k").await.expect("nothing was kept", 404, "NoSuchKey");
    }
}

#[tokio::test]
async fn both_styles_of_addressing_reach_the_same_object() {
    let cloud = with_bucket().await;
    cloud.put("/wire-bucket/a/b", b"content").await;
    let port = cloud.host().split_once(':').expect("a port").1;
    let host = format!("wire-bucket.localhost:{port}");
    let ask = support::Ask::new("GET", "/a/b", &host);
    let answer = cloud.send(&cloud.s3().sign(ask)).await.expect_ok();
    assert_eq!(answer.text(), "content");
    let ask = support::Ask::new("GET", "/?list-type=2", &host);
    let answer = cloud.send(&cloud.s3().sign(ask)).await.expect_ok();
    assert_eq!(answer.xml("Key").as_deref(), Some("a/b"));
}

/// Keys that XML cannot hold come back through `encoding-type=url`, and as references without it.
#[tokio::test]
async fn keys_are_data() {
    let cloud = with_bucket().await;
    let keys = ["\u{1}", "a\u{0}b", "]]>", "<Key>", "\u{fffe}", "%", "+", " ", "é/\u{301}"];
    for key in keys {
        cloud.put(&format!("/wire-bucket/{}", encode(key, false)), key.as_bytes()).await;
    }
    let listed = cloud.get("/wire-bucket?list-type=2&encoding-type=url").await.expect_ok().text();
    for key in keys {
        let encoded = encode(key, false).replace('~', "%7E");
        assert!(listed.contains(&format!("<Key>{encoded}</Key>")), "{key:?} in {listed}");
        let got = cloud.get(&format!("/wire-bucket/{}", encode(key, false))).await.expect_ok();
        assert_eq!(got.body, key.as_bytes());
    }
    let listed = cloud.get("/wire-bucket?list-type=2").await.expect_ok().text();
    assert!(listed.contains("<Key>&#x1;</Key>") && listed.contains("<Key>&lt;Key&gt;</Key>"));
    // As directory entries these would be the folder itself and its parent.
    let names = std::fs::read_dir(cloud.running.root().join("blobs")).expect("a folder");
    let names = names.map(|entry| entry.expect("an entry").file_name().into_string());
    for name in names {
        let name = name.expect("UTF-8");
        let opaque = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(opaque || name == "incoming", "{name}");
    }
}

#[tokio::test]
async fn the_expected_owner_is_checked() {
    let cloud = with_bucket().await;
    cloud.put("/wire-bucket/k", b"x").await;
    let other = [("x-amz-expected-bucket-owner", GLOBEX)];
    let denied = (403, "AccessDenied");
    let copy =
        [("x-amz-copy-source", "/wire-bucket/k"), ("x-amz-source-expected-bucket-owner", GLOBEX)];
    check(
        &cloud,
        &[
            row("get", "GET", "/wire-bucket/k", &other, b"", denied),
            row("put", "PUT", "/wire-bucket/k", &other, b"y", denied),
            row("delete", "DELETE", "/wire-bucket/k", &other, b"", denied),
            row("list", "GET", "/wire-bucket?list-type=2", &other, b"", denied),
            row("policy", "GET", "/wire-bucket?policy=", &other, b"", denied),
            row("upload", "POST", "/wire-bucket/k?uploads=", &other, b"", denied),
            row("copy", "PUT", "/wire-bucket/l", &copy, b"", denied),
        ],
    )
    .await;
    assert_eq!(cloud.get("/wire-bucket/k").await.text(), "x");
}

const DAY_SECONDS: u64 = 24 * 60 * 60;

#[tokio::test]
async fn lifecycle_rules_are_carried_out() {
    let cloud = with_bucket().await;
    let rules = "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><Prefix>in/</Prefix>\
                 </Filter><Expiration><Days>3</Days></Expiration></Rule><Rule><Status>Enabled\
                 </Status><Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>1\
                 </DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>\
                 </LifecycleConfiguration>";
    let ask = cloud.ask("PUT", "/wire-bucket?lifecycle=").body(rules.as_bytes());
    cloud.send(&cloud.s3().sign(ask)).await.expect_ok();
    cloud.put("/wire-bucket/in/old", b"x").await;
    cloud.put("/wire-bucket/kept", b"x").await;
    let upload = cloud.ask("POST", "/wire-bucket/up?uploads=");
    cloud.send(&cloud.s3().sign(upload)).await.expect_ok();

    cloud.clock.advance_seconds(2 * DAY_SECONDS);
    cloud.put("/wire-bucket/in/new", b"x").await;
    swept(&cloud, "/wire-bucket?uploads=", "<UploadId>").await;
    assert_eq!(cloud.get("/wire-bucket/in/old").await.status, 200);

    cloud.clock.advance_seconds(2 * DAY_SECONDS);
    swept(&cloud, "/wire-bucket?list-type=2", "in/old").await;
    let listed = cloud.get("/wire-bucket?list-type=2").await.text();
    assert!(listed.contains("in/new") && listed.contains("kept"), "{listed}");
}

#[tokio::test]
async fn lifecycle_answers_say_below_which_size_nothing_moves() {
    const MINIMUM: &str = "x-amz-transition-default-minimum-object-size";
    let cloud = with_bucket().await;
    let rules = "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter/><Expiration>\
                 <Days>3</Days></Expiration></Rule></LifecycleConfiguration>";
    let target = "/wire-bucket?lifecycle=";
    for (asked, answered) in [
        (None, "all_storage_classes_128K"),
        (Some("varies_by_storage_class"), "varies_by_storage_class"),
        // A put replaces the whole, this too.
        (None, "all_storage_classes_128K"),
    ] {
        let mut ask = cloud.ask("PUT", target).body(rules.as_bytes());
        if let Some(asked) = asked {
            ask = ask.header(MINIMUM, asked);
        }
        let put = cloud.send(&cloud.s3().sign(ask)).await.expect_ok();
        assert_eq!(put.header(MINIMUM), Some(answered));
        assert_eq!(cloud.get(target).await.expect_ok().header(MINIMUM), Some(answered));
    }
    let ask = cloud.ask("PUT", target).body(rules.as_bytes()).header(MINIMUM, "128K");
    let refused = cloud.send(&cloud.s3().sign(ask)).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("InvalidArgument"), "{}", refused.text());
}

/// Asks until the sweep, which runs beside requests, has taken away what holds `text`.
async fn swept(cloud: &Cloud, target: &str, text: &str) {
    let mut asked = 0;
    while cloud.get(target).await.expect_ok().text().contains(text) {
        asked += 1;
        assert!(asked < 500, "{text} is still there");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A reader that has begun gets the object it began with, whatever happens to the key.
#[tokio::test]
async fn a_read_under_way_outlives_its_object() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let cloud = with_bucket().await;
    let content: Vec<u8> = (0..24_000_000u32).map(|i| (i % 251) as u8).collect();
    cloud.put("/wire-bucket/k", &content).await;
    let ask = cloud.s3().sign(cloud.ask("GET", "/wire-bucket/k"));
    let mut stream = cloud.connect().await;
    stream.write_all(&ask.bytes()).await.expect("sent");
    let mut begin = vec![0; 1000];
    stream.read_exact(&mut begin).await.expect("the answer begins");
    cloud.put("/wire-bucket/k", b"replaced").await;
    let ask = cloud.ask("DELETE", "/wire-bucket/k");
    cloud.send(&cloud.s3().sign(ask)).await.expect_ok();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let whole = [begin, rest].concat();
    assert!(whole.ends_with(&content[1000..]), "{} bytes", whole.len());
    drop(stream);
    let blobs = || {
        let files = std::fs::read_dir(cloud.running.root().join("blobs")).expect("a folder");
        files.filter(|file| file.as_ref().is_ok_and(|file| file.path().is_file())).count()
    };
    let mut asked = 0;
    while blobs() > 0 {
        asked += 1;
        assert!(asked < 500, "the blob outlives its last reader");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
