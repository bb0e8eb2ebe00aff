//! What the gate must refuse, and what it must let through: each row a request made by hand.

use crate::support::{self, ACME, Ask, Cloud, GLOBEX, Signer, encode, sha256};

const NOT_SIGNED: &str = "AccessDenied";

async fn two_buckets() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.make_bucket("bucket-a").await;
    cloud.make_bucket("bucket-b").await;
    cloud.put("/bucket-b/secret", b"the secret").await;
    cloud
}

#[tokio::test]
async fn honest_requests_pass() {
    let cloud = two_buckets().await;
    let signer = cloud.s3();
    let ask = |target: &str| cloud.ask("GET", target);
    let cases = [
        ("a header signature", signer.sign(ask("/bucket-b/secret"))),
        ("a presigned URL", signer.presign(ask("/bucket-b/secret"), "3600")),
        ("a presigned URL for a week", signer.presign(ask("/bucket-b/secret"), "604800")),
        (
            "a signed header with spaces",
            signer.sign(ask("/bucket-b/secret").header("x-amz-meta-a", "  a   b ")),
        ),
        (
            "a header twice",
            signer.sign(
                ask("/bucket-b/secret").header("x-amz-meta-a", "1").header("x-amz-meta-a", "2"),
            ),
        ),
        (
            "an unsigned payload",
            signer.clone().payload("UNSIGNED-PAYLOAD").sign(ask("/bucket-b/secret")),
        ),
        ("a path spelled otherwise", {
            // The signature is over the canonical spelling, whatever was sent.
            let mut ask = signer.sign(ask("/bucket-b/secret"));
            ask.target = "/bucket-b/%73ecret".to_owned();
            ask
        }),
    ];
    for (what, ask) in cases {
        let answer = cloud.send(&ask).await;
        assert_eq!((answer.status, answer.text()), (200, "the secret".to_owned()), "{what}");
    }
}

/// Headers that change the meaning of a request and are not signed: the flaw by which a presigned
/// PUT of one object became a copy of another.
#[tokio::test]
async fn nothing_unsigned_changes_the_meaning() {
    let cloud = two_buckets().await;
    let signer = cloud.s3();
    let put = || cloud.ask("PUT", "/bucket-a/stolen");
    let steal = |ask: Ask| ask.header("x-amz-copy-source", "/bucket-b/secret");
    let cases = [
        ("presigned PUT, x-amz-copy-source added", steal(signer.presign(put(), "300"))),
        ("signed PUT, x-amz-copy-source added", steal(signer.sign(put()))),
        (
            "x-amz-copy-source sent and left out of the signature",
            signer.clone().leaving("x-amz-copy-source").sign(steal(put())),
        ),
        (
            "presigned, an ACL added",
            signer.presign(put(), "300").header("x-amz-acl", "public-read"),
        ),
        (
            "presigned, encryption changed",
            signer.presign(put(), "300").header("x-amz-server-side-encryption", "AES256"),
        ),
        ("signed, a token added", signer.sign(put()).header("x-amz-security-token", "token")),
        ("host not signed", signer.clone().leaving("host").sign(put())),
        (
            "presigned, host not signed",
            signer.clone().leaving("host").presign(put().header("x-amz-meta-a", "b"), "300"),
        ),
        ("x-amz-date not signed", signer.clone().leaving("x-amz-date").sign(put())),
        (
            "x-amz-content-sha256 not signed",
            signer.clone().leaving("x-amz-content-sha256").sign(put()),
        ),
    ];
    for (what, ask) in cases {
        let code = if what.contains("token") { "InvalidToken" } else { NOT_SIGNED };
        let status = if what.contains("token") { 400 } else { 403 };
        cloud.send(&ask).await.expect(what, status, code);
    }
    cloud.get("/bucket-a/stolen").await.expect("nothing was copied", 404, "NoSuchKey");
}

#[tokio::test]
async fn a_bent_request_is_another_request() {
    let cloud = two_buckets().await;
    let signer = cloud.s3();
    let bent = |bend: fn(&mut Ask)| {
        let mut ask =
            signer.sign(cloud.ask("GET", "/bucket-b/secret?x=1").header("x-amz-meta-a", "b"));
        bend(&mut ask);
        ask
    };
    fn set(ask: &mut Ask, name: &str, value: &str) {
        for (given, old) in &mut ask.headers {
            if given == name {
                value.clone_into(old);
            }
        }
    }
    let cases = [
        ("another method", bent(|ask| ask.method = "PUT".into())),
        ("another key", bent(|ask| ask.target = "/bucket-b/other?x=1".into())),
        ("another query", bent(|ask| ask.target = "/bucket-b/secret?x=2".into())),
        ("one parameter more", bent(|ask| ask.target.push_str("&y=1"))),
        ("one parameter twice", bent(|ask| ask.target.push_str("&x=1"))),
        ("another host", bent(|ask| set(ask, "host", "bucket-a.localhost"))),
        ("another header", bent(|ask| set(ask, "x-amz-meta-a", "c"))),
        ("another date", {
            let mut ask = bent(|_| {});
            let later = support::timestamp(signer.now_ms + 1000);
            set(&mut ask, "x-amz-date", &later);
            ask
        }),
        ("another hash", bent(|ask| set(ask, "x-amz-content-sha256", &sha256(b"x")))),
        ("an unsigned payload instead", {
            bent(|ask| set(ask, "x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
        }),
    ];
    for (what, ask) in cases {
        cloud.send(&ask).await.expect(what, 403, "SignatureDoesNotMatch");
    }
    let mut ask = signer.presign(cloud.ask("GET", "/bucket-b/secret"), "300");
    ask.target = ask.target.replace("X-Amz-Expires=300", "X-Amz-Expires=3000");
    let answer = cloud.send(&ask).await.expect("a longer life", 403, "SignatureDoesNotMatch");
    assert!(answer.xml("CanonicalRequest").is_some_and(|text| text.starts_with("GET\n/bucket-b")));
    assert!(answer.xml("StringToSign").is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256\n")));
}

#[tokio::test]
async fn a_claim_must_be_well_formed() {
    let cloud = Cloud::start().await;
    let signer = cloud.s3();
    let good = signer.sign(cloud.ask("GET", "/"));
    let authorization =
        good.headers.iter().find(|(name, _)| name == "authorization").expect("signed").1.clone();
    let with = |text: &str| {
        let mut ask = good.clone();
        ask.headers.retain(|(name, _)| name != "authorization");
        ask.header("authorization", text)
    };
    let malformed = "AuthorizationHeaderMalformed";
    let long = "A".repeat(20_000);
    let replaced = |from: &str, to: &str| authorization.replace(from, to);
    let cases = [
        ("nothing but a word", "AWS4-HMAC-SHA256".to_owned(), 400, "InvalidRequest"),
        ("SigV2", "AWS AKIAIOSFODNN7EXAMPLE:qgk2+6Sv9/oM7G3qLEjTH1a1l1g=".to_owned(), 400, "InvalidRequest"),
        ("SigV4A", replaced("HMAC-SHA256", "ECDSA-P256-SHA256"), 400, "InvalidRequest"),
        ("Basic", "Basic YTpi".to_owned(), 400, "InvalidRequest"),
        ("no credential", replaced("Credential=", "Credentials="), 400, malformed),
        ("no signature", replaced("Signature=", "Signed="), 400, malformed),
        ("a field twice", format!("{authorization}, Signature=aa"), 400, malformed),
        ("no fields", "AWS4-HMAC-SHA256 ,,,".to_owned(), 400, malformed),
        ("a short signature", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260301/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=abcd".to_owned(), 400, malformed),
        ("upper-case header names", replaced("SignedHeaders=host", "SignedHeaders=Host"), 400, malformed),
        ("a header named twice", replaced("SignedHeaders=host", "SignedHeaders=host;host"), 400, malformed),
        ("an empty header name", replaced("SignedHeaders=host", "SignedHeaders=;host"), 400, malformed),
        ("another termination", replaced("aws4_request", "aws5_request"), 400, malformed),
        ("another region", replaced("eu-west-1", "us-west-2"), 400, malformed),
        ("an unknown service", replaced("/s3/", "/sns/"), 400, malformed),
        ("another date", replaced("/20260301/", "/20260302/"), 400, malformed),
        ("a date that is none", replaced("/20260301/", "/2026030a/"), 400, malformed),
        ("20,000 characters", format!("AWS4-HMAC-SHA256 Credential={long}"), 400, malformed),
        ("an unknown key", replaced("Credential=AKIA", "Credential=AKIB"), 403, "InvalidAccessKeyId"),
        ("a wrong signature", replaced("Signature=", "Signature=0").split_at(authorization.len()).0.to_owned(), 403, "SignatureDoesNotMatch"),
    ];
    for (what, text, status, code) in cases {
        cloud.send(&with(&text)).await.expect(what, status, code);
    }
    let twice = good.clone().header("authorization", &authorization);
    cloud.send(&twice).await.expect("two headers", 400, malformed);
    let mut both = signer.presign(cloud.ask("GET", "/"), "60");
    both.headers.push(("authorization".to_owned(), authorization));
    cloud.send(&both).await.expect("header and query", 400, malformed);
    let mut missing = good.clone();
    missing.headers.retain(|(name, _)| name != "x-amz-content-sha256");
    cloud.send(&missing).await.expect("no payload hash", 400, "InvalidRequest");
    let mut wrong_region = signer.clone();
    wrong_region.region = "us-west-2".to_owned();
    let answer = cloud.send(&wrong_region.sign(cloud.ask("GET", "/"))).await;
    assert_eq!(answer.xml("Region").as_deref(), Some("eu-west-1"), "{}", answer.text());
}

#[tokio::test]
async fn presigned_urls_have_rules_of_their_own() {
    let cloud = two_buckets().await;
    let signer = cloud.s3();
    let ask = || cloud.ask("GET", "/bucket-b/secret");
    let parameters = "AuthorizationQueryParametersError";
    for (what, expires) in [
        ("eight days", "691200"),
        ("a second over a week", "604801"),
        ("not a number", "soon"),
        ("negative", "-1"),
        ("overflowing", "99999999999999999999999999"),
        ("empty", ""),
    ] {
        let answer = cloud.send(&signer.presign(ask(), expires)).await;
        answer.expect(what, 400, parameters);
    }
    for parameter in ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"] {
        let mut presigned = signer.presign(ask(), "60");
        let renamed = format!("X-Amz-{parameter}=");
        presigned.target = presigned.target.replace(&renamed, &format!("x-{renamed}"));
        cloud.send(&presigned).await.expect(parameter, 400, parameters);
        let mut twice = signer.presign(ask(), "60");
        twice.target.push_str(&format!("&{renamed}x"));
        cloud.send(&twice).await.expect(parameter, 400, parameters);
    }
    let v2 = ask_with(
        &cloud,
        "/bucket-b/secret?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1&Signature=x",
    );
    cloud.send(&v2).await.expect("SigV2", 400, "InvalidRequest");

    let presigned = signer.presign(ask(), "60");
    cloud.clock.advance_seconds(60);
    cloud.send(&presigned).await.expect_ok();
    cloud.clock.advance_seconds(1);
    let answer = cloud.send(&presigned).await.expect("expired", 403, "AccessDenied");
    assert_eq!(answer.xml("Message").as_deref(), Some("Request has expired"));
    let mut early = cloud.s3();
    early.now_ms += 16 * 60 * 1000;
    let answer = cloud.send(&early.presign(ask(), "60")).await;
    answer.expect("signed in the future", 403, "AccessDenied");
}

fn ask_with(cloud: &Cloud, target: &str) -> Ask {
    cloud.ask("GET", target)
}

/// Parameters that presigning SDKs move from headers into the query count as those headers.
#[tokio::test]
async fn headers_in_the_query_are_headers() {
    let cloud = two_buckets().await;
    let signer = cloud.s3();
    let target = format!("/bucket-a/copy?x-amz-copy-source={}", encode("/bucket-b/secret", true));
    let presigned = signer.presign(cloud.ask("PUT", &target), "60");
    cloud.send(&presigned).await.expect_ok();
    assert_eq!(cloud.get("/bucket-a/copy").await.text(), "the secret");
    let target = "/bucket-a/meta?X-Amz-Meta-Colour=blue";
    cloud.send(&signer.presign(cloud.ask("PUT", target).body("x"), "60")).await.expect_ok();
    let head = cloud.send(&signer.sign(cloud.ask("HEAD", "/bucket-a/meta"))).await;
    assert_eq!(head.header("x-amz-meta-colour"), Some("blue"), "{head:?}");
    // Unsigned requests have no signed query.
    let unsigned = cloud.ask("PUT", "/bucket-a/none?x-amz-acl=public-read").body("x");
    cloud.send(&unsigned).await.expect("unsigned", 403, "AccessDenied");
    let differs = cloud.ask("PUT", target).header("x-amz-meta-colour", "red");
    let answer = cloud.send(&signer.presign(differs, "60")).await;
    answer.expect("said twice, differently", 400, "AuthorizationQueryParametersError");
}

#[tokio::test]
async fn clocks_may_differ_by_a_quarter_of_an_hour() {
    let cloud = two_buckets().await;
    for (seconds, passes) in [(-901, false), (-899, true), (899, true), (901, false)] {
        let mut signer = cloud.s3();
        signer.now_ms = signer.now_ms.saturating_add_signed(seconds * 1000);
        let answer = cloud.send(&signer.sign(cloud.ask("GET", "/bucket-b/secret"))).await;
        match passes {
            true => drop(answer.expect_ok()),
            false => drop(answer.expect("skewed", 403, "RequestTimeTooSkewed")),
        }
    }
}

#[tokio::test]
async fn targets_cannot_be_read_two_ways() {
    let cloud = two_buckets().await;
    let signer = cloud.s3();
    let signed = signer.sign(cloud.ask("GET", "/bucket-b/secret"));
    let mut absolute = signed.clone();
    absolute.target = format!("https://{}/bucket-b/secret", cloud.host());
    cloud.send(&absolute).await.expect("an absolute target", 400, "InvalidRequest");
    let two_hosts = signed.clone().header("host", "elsewhere");
    cloud.send(&two_hosts).await.expect("two hosts", 400, "InvalidRequest");
    let mut no_host = signed;
    no_host.headers.retain(|(name, _)| name != "host");
    cloud.send(&no_host).await.expect("no host", 400, "InvalidRequest");
    for raw in ["/bucket-b/%zz", "/bucket-b/%ff", "/bucket-b/x?a=%"] {
        let answer = cloud.send(&signer.sign(cloud.ask("GET", raw))).await;
        answer.expect(raw, 400, "InvalidURI");
    }
}

/// A key is a name, not a path.
#[tokio::test]
async fn keys_do_not_climb() {
    let cloud = two_buckets().await;
    let signer = cloud.s3();
    for key in ["../bucket-b/secret", "x/../../bucket-b/secret", "./secret", "..", "a//b", "/etc"] {
        for spelled in [key.to_owned(), encode(key, true), key.replace('.', "%2e")] {
            let target = format!("/bucket-a/{spelled}");
            // The signer must sign the canonical spelling.
            let mut ask =
                signer.sign(cloud.ask("GET", &format!("/bucket-a/{}", encode(key, false))));
            ask.target = target.clone();
            let answer = cloud.send(&ask).await;
            answer.expect(&target, 404, "NoSuchKey");
        }
        let path = format!("/bucket-a/{}", encode(key, false));
        cloud.put(&path, key.as_bytes()).await;
        assert_eq!(cloud.get(&path).await.text(), key);
    }
    assert_eq!(cloud.get("/bucket-b/secret").await.text(), "the secret");
}

#[tokio::test]
async fn a_bad_upload_keeps_the_old_object() {
    let cloud = two_buckets().await;
    let signer = cloud.s3();
    let put = |body: &str| cloud.ask("PUT", "/bucket-b/secret").body(body);
    let cases = [
        (
            "a wrong Content-MD5",
            signer.sign(put("other").header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")),
            "BadDigest",
        ),
        (
            "a wrong checksum",
            signer.sign(put("other").header("x-amz-checksum-crc32", "AAAAAA==")),
            "BadDigest",
        ),
        (
            "a body that is not the signed one",
            signer.clone().payload(&sha256(b"the other")).sign(put("another")),
            "XAmzContentSHA256Mismatch",
        ),
    ];
    for (what, ask, code) in cases {
        cloud.send(&ask).await.expect(what, 400, code);
        assert_eq!(cloud.get("/bucket-b/secret").await.text(), "the secret", "{what}");
    }
    let mut short = signer.clone().payload("UNSIGNED-PAYLOAD").sign(put("half of what it says"));
    short.headers.push(("content-length".to_owned(), "100".to_owned()));
    let bytes = short.bytes();
    let mut stream = cloud.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.expect("written");
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.expect("shut down");
    let _ = support::Answer::read(stream).await;
    assert_eq!(cloud.get("/bucket-b/secret").await.text(), "the secret", "a truncated body");
}

#[tokio::test]
async fn a_signature_is_for_one_service() {
    let cloud = two_buckets().await;
    let admin = || cloud.admin(ACME);
    // What is signed for one service is answered by that service, whatever it looks like.
    let sts = cloud.signer(admin(), "sts");
    let answer = cloud.send(&sts.sign(cloud.ask("GET", "/bucket-b/secret"))).await;
    answer.expect("an S3 request signed for STS", 400, "InvalidAction");
    let kms = cloud.signer(admin(), "kms");
    let answer = cloud.send(&kms.sign(cloud.ask("GET", "/bucket-b/secret"))).await;
    answer.expect("an S3 request signed for KMS", 400, "UnknownOperationException");
    let s3 = cloud.s3();
    let form = "Action=ListUsers&Version=2010-05-08";
    let ask = cloud.ask("POST", "/").header("content-type", "application/x-www-form-urlencoded");
    let answer = cloud.send(&s3.sign(ask.body(form))).await;
    assert!(!answer.text().contains("<Users>"), "an IAM call signed for S3: {}", answer.text());
    // Other services' bodies are part of the signature.
    let mut ask =
        kms.sign(cloud.ask("POST", "/").header("x-amz-target", "TrentService.ListKeys").body("{}"));
    ask.body = b"{ }".to_vec();
    cloud.send(&ask).await.expect("another body", 400, "InvalidSignatureException");
    // And their errors have their own words.
    let unsigned =
        cloud.ask("POST", "/").header("x-amz-target", "TrentService.ListKeys").body("{}");
    cloud.send(&unsigned).await.expect("KMS, unsigned", 400, "MissingAuthenticationTokenException");
    let unsigned = cloud
        .ask("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    cloud.send(&unsigned).await.expect("IAM, unsigned", 403, "MissingAuthenticationToken");
    let mut stranger = admin();
    stranger.access_key_id = "AKIAIOSFODNN7EXAMPLE".to_owned();
    let kms = cloud.signer(stranger.clone(), "kms");
    let answer = cloud.kms(&kms, "ListKeys", serde_json::json!({})).await;
    answer.expect("KMS, unknown key", 400, "UnrecognizedClientException");
    let iam = cloud.signer(stranger, "iam");
    let answer = cloud.query(&iam, &[("Action", "ListUsers")]).await;
    answer.expect("IAM, unknown key", 403, "InvalidClientTokenId");
}

#[tokio::test]
async fn session_tokens_are_checked() {
    let cloud = two_buckets().await;
    let globex = cloud.profile("globex");
    let get = |signer: &Signer| signer.sign(cloud.ask("GET", "/bucket-b/secret"));
    let signer = cloud.signer(globex.clone(), "s3");
    cloud.send(&get(&signer)).await.expect("known, not allowed", 403, "AccessDenied");

    let mut no_token = globex.clone();
    no_token.session_token = None;
    let answer = cloud.send(&get(&cloud.signer(no_token, "s3"))).await;
    answer.expect("no token", 403, "InvalidAccessKeyId");

    let mut foreign = globex.clone();
    foreign.access_key_id = cloud.profile("globex").access_key_id;
    let answer = cloud.send(&get(&cloud.signer(foreign, "s3"))).await;
    answer.expect("another session's key id", 400, "InvalidToken");

    let mut tampered = globex.clone();
    let token = tampered.session_token.as_mut().expect("a token");
    let flipped = if token.ends_with("A=") { "B=" } else { "A=" };
    let cut = token.len() - 2;
    token.truncate(cut);
    token.push_str(flipped);
    let answer = cloud.send(&get(&cloud.signer(tampered, "s3"))).await;
    answer.expect("a tampered token", 400, "InvalidToken");

    let mut long_term = cloud.admin(ACME);
    long_term.session_token = globex.session_token.clone();
    let answer = cloud.send(&get(&cloud.signer(long_term, "s3"))).await;
    answer.expect("a token with a user's own key", 400, "InvalidToken");

    // A stolen token without the secret behind it is worth nothing.
    let mut stolen = globex.clone();
    stolen.secret_access_key = cloud.admin(GLOBEX).secret_access_key;
    let answer = cloud.send(&get(&cloud.signer(stolen, "s3"))).await;
    answer.expect("a stolen token", 403, "SignatureDoesNotMatch");

    cloud.clock.advance_seconds(3600);
    let answer = cloud.send(&get(&cloud.signer(globex, "s3"))).await;
    answer.expect("an hour later", 400, "ExpiredToken");
}
