//! A good delivery record, its names, and what becomes of it when one thing is changed for the worse.

use consign_model::{DELIVERY_BYTES_MAX, DeliveryId, DeliveryRecord, SourceDigest};
use serde_json::{Value, json};

fn good() -> Value {
    json!({
        "format": "consign-delivery/1",
        "exchange": "acme-globex", "repository": "reports", "inbox": "reports-in",
        "route": "reports", "publisher": "acme", "recorded": "2026-11-21T02:45:00Z",
        "source": {"bucket": "acme-reports", "key": "final/a b.pdf", "version": "v1",
                   "etag": "0a1b", "bytes": 12},
        "target": {"bucket": "globex-inbox", "key": "2026-11-21/a b.pdf", "version": "v7"},
        "crc64nvme": "AAAAAAAAAAA=",
    })
}

fn parse(value: &Value) -> Result<DeliveryRecord, consign_model::Error> {
    DeliveryRecord::parse(value.to_string().as_bytes())
}

/// Changes one value of the good record and checks what is said about it.
fn check(pointer: &str, value: Value, said: &str) {
    let mut record = good();
    *record.pointer_mut(pointer).expect(pointer) = value;
    let error = parse(&record).expect_err(said).to_string();
    assert!(error.contains(said), "{said:?} is not in {error:?}");
    assert!(!error.contains(char::is_control), "{error:?}");
}

#[test]
fn a_good_record_reads_as_it_is_written() {
    let record = parse(&good()).expect("it is good");
    let bytes = record.to_bytes();
    assert_eq!(DeliveryRecord::parse(&bytes).expect("its own bytes"), record);
    assert_eq!(bytes.last(), Some(&b'\n'));
}

/// `printf 'consign-source/1\0%s\0%s\0%s' acme-reports v1 'final/a b.pdf' | b3sum`, and so on: with
/// stock tools.
#[test]
fn names_are_what_b3sum_says() {
    let record = parse(&good()).expect("it is good");
    let source = "827e9436bc05126c0a0697df4d392346803b27f88b188937925fc3f7d59c02ce";
    let id = "ea7008e4e0c5c2c08a8c5ad5235996f9e9a06c4afc7eff3074332120b462e714";
    assert_eq!(record.source_digest(), SourceDigest::parse(source).expect("a digest"));
    assert_eq!(record.id(), DeliveryId::parse(id).expect("a digest"));
    let key = record.id().record_key("in/");
    assert_eq!(key, format!("in/deliveries/{id}.json"));
    assert_eq!(DeliveryId::of_record_key("in/", &key), Some(record.id()));
    let acknowledged = record.id().acknowledgement_key("in/");
    assert_eq!(acknowledged, format!("in/acknowledgements/{id}.json"));
    assert_eq!(DeliveryId::of_acknowledgement_key("in/", &acknowledged), Some(record.id()));
    let signature = record.id().signature_key("in/", b"x");
    assert!(signature.starts_with(&format!("in/deliveries/{id}.")) && signature.ends_with(".sig"));
    for other in [signature.as_str(), &acknowledged, "in/deliveries/x.json", "deliveries/.json"] {
        assert_eq!(DeliveryId::of_record_key("in/", other), None, "{other}");
    }
}

#[test]
fn other_sources_and_places_have_other_names() {
    let digests =
        [("b", "k", "v"), ("b", "v", "k"), ("bk", "", "v"), ("b", "k\0v", ""), ("b", "k", "")]
            .map(|(bucket, key, version)| SourceDigest::of(bucket, key, version));
    for (at, digest) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(digest), "{at}");
    }
    let id = |bucket, key| DeliveryId::of(&digests[0], bucket, key);
    assert_ne!(id("b", "k"), id("b", "l"));
    assert_ne!(id("b", "k"), id("c", "k"));
}

#[test]
fn what_cannot_be_is_refused() {
    check("/format", json!("consign-delivery/2"), "this program reads consign-delivery/1");
    check("/exchange", json!("../x"), "not a delivery record");
    check("/recorded", json!("yesterday"), "not a delivery record");
    check("/source/bucket", json!("a\nb"), "a bucket that is none");
    check("/target/bucket", json!(""), "a bucket that is none");
    check("/source/key", json!(""), "a key that is none");
    check("/target/key", json!("k".repeat(1025)), "a key that is none");
    check("/source/version", json!("v\u{0}"), "a version or ETag that is none");
    check("/source/version", json!(""), "a version or ETag that is none");
    check("/target/version", json!("v v"), "a version or ETag that is none");
    check("/source/etag", json!("\u{1b}[2J"), "a version or ETag that is none");
    check("/source/bytes", json!(-1), "not a delivery record");
    check("/crc64nvme", json!("AAAA"), "a checksum that is none");
    let mut more = good();
    more["target"]["\u{202e}evil"] = json!(1);
    assert!(parse(&more).is_err());
    let twice = good().to_string().replace("\"bytes\":12", "\"bytes\":12,\"bytes\":13");
    assert!(DeliveryRecord::parse(twice.as_bytes()).is_err());
    let long = format!("{}{}", good(), " ".repeat(DELIVERY_BYTES_MAX));
    let error = DeliveryRecord::parse(long.as_bytes()).expect_err("it is too long").to_string();
    assert!(error.contains("at most"), "{error}");
    for bytes in [&b""[..], b"{}", b"[]", b"\xff", b"{\"format\":"] {
        assert!(DeliveryRecord::parse(bytes).is_err(), "{bytes:?}");
    }
}
