//! A lane whose keys KMS makes and opens, as people meet it: what the plan asks for is proved, exported
//! and audited, the receiver opens, and whoever else is there does not.

use crate::support::{self, Deployment};

fn of_kms(text: &str) -> String {
    let fields = "\nseal = \"s3ec\"\nkeyring = \"kms\"\nto = [\"globex\"]";
    text.replacen("\nto = [\"globex\"]", fields, 1)
}

#[test]
fn a_lane_of_kms_is_applied_proved_and_used() {
    let deployment = Deployment::with(|text| of_kms(&text));
    assert!(deployment.run(&["plan"]).contains("Nothing to do"));
    let proof = deployment.run(&["prove", "--live", "--all"]);
    assert!(proof.contains("0 not as declared") && proof.contains(", 0 not proved"), "{proof}");
    assert!(proof.contains("make a key that seals"), "{proof}");

    assert!(deployment.run(&["audit", "--all"]).contains("0 FAIL"));
    assert!(deployment.run(&["permissions"]).contains("kms:PutKeyPolicy"));

    deployment.file("scans/scan.bin", &vec![7; 3 << 20]);
    deployment.file("scans/note.txt", b"a note");
    deployment.run(&["send", "scans", "--lane", "to-client", "--profile", "acme"]);
    let receive = ["receive", "--lane", "to-client", "--into", "inbox", "--profile"];
    // Globex's keys in acme's hands, or an administrator's: neither S3 nor KMS opens for them.
    for other in ["acme", "admin-111111111111"] {
        let mut with = deployment.consign(&receive);
        let output = with.arg(other).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        assert!(!deployment.path("inbox").join("scans").exists());
    }
    deployment.run(&[&receive[..], &["globex"]].concat());
    let received = std::fs::read_dir(deployment.path("inbox")).unwrap().flatten();
    let received = received.map(|entry| entry.path().join("scans")).find(|path| path.exists());
    let scans = received.unwrap();
    assert!(std::fs::read(scans.join("scan.bin")).unwrap() == vec![7; 3 << 20]);
    assert_eq!(std::fs::read(scans.join("note.txt")).unwrap(), b"a note");
}

#[test]
fn a_direct_call_is_explained_with_its_context() {
    let deployment = Deployment::with(|text| of_kms(&text));
    let key = "arn:aws:kms:eu-west-1:111111111111:key/to-be-created-for-to-client";
    let explain = |lane: &str| {
        let lane = format!("kms:EncryptionContext:consign-lane={lane}");
        let exchange = "kms:EncryptionContext:consign-exchange=acme-globex";
        deployment.run(&[
            "explain",
            "--as",
            "globex",
            "kms:Decrypt",
            key,
            "--with",
            &lane,
            "--with",
            exchange,
        ])
    };
    let page = explain("to-client");
    assert!(page.starts_with(&format!("globex may kms:Decrypt on {key}")), "{page}");
    let page = explain("from-client");
    assert!(page.starts_with(&format!("globex may not kms:Decrypt on {key}")), "{page}");
    assert!(page.contains("OnlyThroughS3OrForThisLane"), "{page}");
}

#[test]
fn its_documents_are_judged_wherever_they_come_from() {
    let deployment = Deployment::with(|text| of_kms(&text));
    deployment.run(&["export", "policies", "--out", "policies"]);
    let page = deployment.run(&["prove", "--documents", "policies", "--exchange", "exchange.toml"]);
    assert!(page.contains("0 not as declared"), "{page}");
    let findings = deployment.run(&["prove", "--documents", "policies"]);
    assert!(findings.contains("user/consign/acme can put"), "{findings}");
    assert!(!findings.contains("directly"), "{findings}");

    let file = deployment.path("policies/key-to-client.json");
    let key = std::fs::read_to_string(&file).unwrap();
    let wider = key.replace(
        "\"kms:EncryptionContext:consign-lane\": \"to-client\"",
        "\"aws:SecureTransport\": \"true\"",
    );
    assert_ne!(key, wider);
    std::fs::write(&file, wider).unwrap();
    let mut prove =
        deployment.consign(&["prove", "--documents", "policies", "--exchange", "exchange.toml"]);
    let output = prove.output().unwrap();
    let said = support::both(&output);
    assert!(!output.status.success() && said.contains("for this lane alone"), "{said}");
}
