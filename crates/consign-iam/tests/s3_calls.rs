//! The table of S3 calls against the published list of actions.

use std::collections::BTreeSet;
use std::path::Path;

use consign_iam::s3_actions::{Facts, On, apis, for_api, required};

#[track_caller]
fn check(api: &str, facts: Facts, expected: &[(&str, On)]) {
    let needs: Vec<_> = required(api, facts).unwrap().map(|need| (need.action, need.on)).collect();
    assert_eq!(needs, expected, "{api}");
}

#[test]
fn calls_need_what_the_documentation_says() {
    let plain = Facts::default();
    check("PutObject", plain, &[("s3:PutObject", On::Object), ("kms:GenerateDataKey", On::Key)]);
    check("GetObject", plain, &[("s3:GetObject", On::Object), ("kms:Decrypt", On::Key)]);
    let version = Facts { version: true, ..plain };
    check("GetObject", version, &[("s3:GetObjectVersion", On::Object), ("kms:Decrypt", On::Key)]);
    check("UploadPart", plain, &[("s3:PutObject", On::Object), ("kms:Decrypt", On::Key)]);
    check("CompleteMultipartUpload", plain, &[("s3:PutObject", On::Object)]);
    let forced = Facts { version: true, bypass_governance: true, ..plain };
    check(
        "DeleteObject",
        forced,
        &[("s3:DeleteObjectVersion", On::Object), ("s3:BypassGovernanceRetention", On::Object)],
    );
    let copy = Facts { source_version: true, copies_tags: true, ..plain };
    check(
        "CopyObject",
        copy,
        &[
            ("s3:GetObjectVersion", On::SourceObject),
            ("s3:GetObjectTagging", On::SourceObject),
            ("kms:Decrypt", On::SourceKey),
            ("s3:PutObject", On::Object),
            ("kms:GenerateDataKey", On::Key),
            ("s3:PutObjectTagging", On::Object),
        ],
    );
    check("ListObjectsV2", plain, &[("s3:ListBucket", On::Bucket)]);
    assert!(for_api("Frobnicate").is_none());
}

#[test]
fn every_action_of_the_table_exists() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/service-authorization");
    let mut known = BTreeSet::new();
    for service in ["s3", "kms"] {
        let path = folder.join(format!("{service}.json"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("SKIPPED s3 calls: {} is not there", path.display());
            return;
        };
        let data: serde_json::Value = serde_json::from_str(&text).unwrap();
        let names = data["actions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|action| action["name"].as_str().unwrap());
        known.extend(names.map(|name| format!("{service}:{name}")));
    }
    let needs = apis().flat_map(|api| for_api(api).unwrap());
    let unknown: Vec<_> = needs.filter(|need| !known.contains(need.action)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
