//! A good manifest, and what becomes of it when one thing is changed for the worse.

use consign_model::{Limits, Manifest, ObjectName, Seal};
use serde_json::{Value, json};
use std::fmt::Write as _;

fn good() -> Value {
    let digest = "0123456789abcdef".repeat(4);
    let file = |path: &str, size: u64, object: &str| {
        json!({"path": path, "size": size, "mtime": 1_795_229_100, "executable": false,
               "blake3": digest, "object": object})
    };
    let packed = |path: &str, entry: u32| {
        let mut file = file(path, 10, "pack-000001.tar.zst.age");
        file["entry"] = json!(entry);
        file
    };
    let object = |name: &str| {
        json!({"name": name, "sealed_bytes": 300, "blake3": digest,
               "crc64nvme": "AAAAAAAAAAA=", "version_id": "v1"})
    };
    json!({
        "format": "consign-manifest/1",
        "id": "01KAJ6V3YR0000000000000000",
        "exchange": "acme-globex", "lane": "to-client", "sender": "acme",
        "recipients": [{"party": "globex", "key_ids": ["2026-a"]}],
        "created": "2026-11-21T02:45:00Z",
        "chain": "01KAJ6V3YR0000000000000001", "sequence": 2, "previous": digest,
        "files": [
            file("big.bin", 5_000_000, "000001.age"),
            packed("folder/a.txt", 0),
            packed("folder/b.txt", 1),
        ],
        "objects": [object("000001.age"), object("pack-000001.tar.zst.age")],
    })
}

fn parse(value: &Value) -> Result<Manifest, consign_model::Error> {
    Manifest::parse(value.to_string().as_bytes(), &Limits::default())
}

/// Changes one value of the good manifest and checks what is said about it.
fn check(pointer: &str, value: Value, said: &str) {
    let mut manifest = good();
    *manifest.pointer_mut(pointer).expect(pointer) = value;
    refused(&manifest, said);
}

fn refused(manifest: &Value, said: &str) {
    let error = parse(manifest).expect_err(said).to_string();
    assert!(error.contains(said), "{said:?} is not in {error:?}");
    assert!(!error.contains(char::is_control), "{error:?}");
}

#[test]
fn a_good_manifest_reads_as_it_is_written() {
    let manifest = parse(&good()).expect("it is good");
    let bytes = manifest.to_bytes();
    assert_eq!(Manifest::parse(&bytes, &Limits::default()).expect("its own bytes"), manifest);
    assert_eq!(bytes.last(), Some(&b'\n'));
    assert_eq!((manifest.content_bytes(), manifest.sealed_bytes()), (5_000_020, 600));
}

#[test]
fn a_revision_names_what_it_revises() {
    let (one, other) = ("01".repeat(32), "02".repeat(32));
    let revision = |number: u32, previous: &str| {
        let mut manifest = good();
        manifest["revision"] = json!({"number": number, "original": one, "previous": previous,
                                      "made": "2026-11-22T02:45:00Z"});
        manifest
    };
    for good in [revision(1, &one), revision(2, &other)] {
        let manifest = parse(&good).expect("it is good");
        let read = Manifest::parse(&manifest.to_bytes(), &Limits::default());
        assert_eq!(read.expect("its own bytes"), manifest);
    }
    refused(&revision(0, &one), "its revision 0 is not from 1");
    refused(&revision(10_000, &one), "its revision 10000 is not from 1");
    refused(&revision(1, &other), "another manifest than the original");
    let mut unknown = revision(1, &one);
    unknown["revision"]["readers"] = json!([]);
    refused(&unknown, "this is not a manifest");
}

#[test]
fn values_that_cannot_be_are_refused() {
    check("/format", json!("consign-manifest/2"), "the format `consign-manifest/2`");
    check("/id", json!("../../../etc"), "not a consignment's id");
    check("/created", json!("yesterday"), "not a time");
    check("/sequence", json!(0), "its sequence is 0");
    check("/sequence", json!(-1), "this is not a manifest");
    check("/sequence", json!(1), "it is the first of its chain and names a previous one");
    check("/previous", Value::Null, "names no previous one");
    check("/recipients", json!([]), "no recipient");
    check(
        "/recipients",
        json!([{"party": "b", "key_ids": []}, {"party": "b", "key_ids": []}]),
        "twice",
    );
    check("/files/0/size", json!(-1), "this is not a manifest");
    check("/files/0/size", json!(u64::MAX), "add up to more");
    check("/files/0/blake3", json!("ABC"), "not a digest");
    check("/objects/0/crc64nvme", json!("AAAA"), "checksum of 000001.age");
    check("/objects/0/version_id", json!("a\nb"), "version id of 000001.age");
    check("/sender", json!("acme\u{1b}[2J"), "not a party's name");
}

#[test]
fn paths_that_climb_or_trick_are_refused() {
    for path in [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a\\..\\x",
        "C:\\x",
        "c:x",
        "NUL",
        "a/con.txt",
        "a\0b",
        "a\nb",
        "x\u{202e}gpj.exe",
        "a.",
        "a ",
        "a//b",
        "",
        "a/",
    ] {
        check("/files/1/path", json!(path), "not a path that is safe everywhere");
    }
    check("/files/1/path", json!("x".repeat(10_000)), "10000 bytes");
}

#[test]
fn paths_that_meet_are_refused() {
    check("/files/1/path", json!("folder/b.txt"), "lists the file `folder/b.txt` twice");
    check("/files/1/path", json!("FOLDER/B.TXT"), "where case or Unicode form does not count");
    check("/files/1/path", json!("big.bin/x"), "the folder of `big.bin/x`");
    check("/files/1/path", json!("folder"), "the folder of `folder/b.txt`");
    check("/files/1/path", json!("Folder"), "the folder of `folder/b.txt`");
    let mut manifest = good();
    manifest["files"][0]["path"] = json!("caf\u{e9}");
    manifest["files"][1]["path"] = json!("cafe\u{301}");
    refused(&manifest, "where case or Unicode form does not count");
    // A neighbour in the alphabet does not hide what is inside a file.
    manifest["files"][0]["path"] = json!("a");
    manifest["files"][1]["path"] = json!("a-b");
    manifest["files"][2]["path"] = json!("a/b");
    refused(&manifest, "`a` is a file, and the folder of `a/b`");
}

#[test]
fn objects_and_files_must_fit_together() {
    check("/files/0/object", json!("000002.age"), "which it does not list");
    check("/files/0/object", json!("../x"), "not an object's name");
    check("/objects/0/name", json!("manifest.json.age"), "not an object's name");
    check("/objects/1/name", json!("000001.age"), "lists the object 000001.age twice");
    check("/files/1/object", json!("000001.age"), "which is not a pack");
    check("/files/1/entry", Value::Null, "has no place in the pack");
    check("/files/1/entry", json!(1), "have a gap or meet");
    check("/files/1/entry", json!(5), "have a gap or meet");
    check("/files/1/size", json!(17 << 20), "the content of pack-000001.tar.zst.age");
    let mut manifest = good();
    manifest["files"].as_array_mut().expect("a list").truncate(1);
    refused(&manifest, "pack-000001.tar.zst.age holds no file");
    let mut manifest = good();
    manifest["files"][1] = manifest["files"][0].clone();
    manifest["files"][1]["path"] = json!("other.bin");
    refused(&manifest, "with another file");
}

#[test]
fn what_is_not_a_manifest_is_refused() {
    let mut manifest = good();
    manifest["unknown"] = json!(1);
    refused(&manifest, "unknown field");
    let text = good().to_string();
    let cases = [
        "",
        "null",
        "[]",
        "{}",
        "\u{feff}{}",
        &text[..text.len() - 1],
        &format!("{text}{text}"),
        &"[".repeat(100_000),
        "{\"format\":\"consign-manifest/1\",\"format\":\"consign-manifest/1\"}",
    ];
    for text in cases {
        assert!(Manifest::parse(text.as_bytes(), &Limits::default()).is_err(), "{text:.40}");
    }
    assert!(Manifest::parse(b"\xff\xfe{}", &Limits::default()).is_err());
}

#[test]
fn there_are_limits() {
    let bytes = good().to_string();
    let default = Limits::default();
    let parse = |limits: &Limits| Manifest::parse(bytes.as_bytes(), limits);
    for (limits, said) in [
        (Limits { manifest_bytes: 100, ..default }, "100 are allowed"),
        (Limits { files: 2, ..default }, "its files are 3, 2 are allowed"),
        (Limits { objects: 1, ..default }, "its objects are 2, 1 are allowed"),
    ] {
        let error = parse(&limits).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
    // A pack of more files than one may hold, each of them empty.
    let mut manifest = good();
    let file = manifest["files"][1].clone();
    let mut entry = |n: u32| {
        let mut file = file.clone();
        file["path"] = json!(format!("{n}"));
        file["size"] = json!(0);
        file["entry"] = json!(n);
        file
    };
    let files: Vec<Value> = (0..8193).map(&mut entry).collect();
    manifest["files"] = json!(files);
    manifest["objects"].as_array_mut().expect("a list").remove(0);
    refused(&manifest, "8192 are allowed");
}

#[test]
fn more_than_a_million_files_are_refused() {
    let digest = "0123456789abcdef".repeat(4);
    let manifest = |files: usize| {
        let mut text = good().to_string();
        let (start, end) =
            (text.find("\"files\"").expect("files"), text.find("],\"format\"").expect("the end"));
        text.truncate(start);
        let rest = &good().to_string()[end..];
        text.push_str("\"files\":[");
        for n in 0..files {
            let comma = if n == 0 { "" } else { "," };
            write!(
                text,
                "{comma}{{\"path\":\"{n:07}\",\"size\":1,\"mtime\":0,\"executable\":false,\
                 \"blake3\":\"{digest}\",\"object\":\"{}\",\"entry\":{}}}",
                ObjectName::pack(1 + (n / 8192) as u32, Seal::Age),
                n % 8192
            )
            .expect("a string takes it");
        }
        text.push_str(rest);
        let mut objects = String::from("\"objects\":[");
        for n in 1..=files.div_ceil(8192) {
            let comma = if n == 1 { "" } else { "," };
            let name = ObjectName::pack(n as u32, Seal::Age);
            write!(objects, "{comma}{{\"name\":\"{name}\",\"sealed_bytes\":1,\"blake3\":null,\"crc64nvme\":\"AAAAAAAAAAA=\"}}")
                .expect("a string takes it");
        }
        let start = text.find("\"objects\":[").expect("objects");
        let end = start + text[start..].find(']').expect("their end");
        text.replace_range(start..end, &objects);
        text
    };
    let parsed = Manifest::parse(manifest(100_000).as_bytes(), &Limits::default());
    assert_eq!(parsed.expect("so many are allowed").files.len(), 100_000);
    let error = Manifest::parse(manifest(1_000_001).as_bytes(), &Limits::default());
    let error = error.expect_err("one more is not").to_string();
    assert!(error.contains("1000001, 1000000 are allowed"), "{error}");
}

#[test]
fn the_origin_of_a_customers_key_is_judged() {
    let with = |derivation: &str, secret: &str| {
        let mut manifest = good();
        manifest["objects"][0]["customer_key"] =
            json!({"derivation": derivation, "secret": secret});
        manifest
    };
    let manifest = parse(&with("consign-sse-c/1", "0123456789abcdef")).expect("it is good");
    let bytes = manifest.to_bytes();
    assert_eq!(Manifest::parse(&bytes, &Limits::default()).expect("its own bytes"), manifest);
    refused(&with("consign-sse-c/2", "0123456789abcdef"), "derived in a way");
    for bad in ["", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "../../../../etc/"]
    {
        refused(&with("consign-sse-c/1", bad), "a secret that cannot be one");
    }
}
