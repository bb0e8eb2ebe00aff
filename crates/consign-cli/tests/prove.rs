//! `consign prove`: what it writes for others to check.

use crate::support::{both, consign, succeed};
use serde_json::Value;

#[test]
fn certificates_and_claims_for_solvers_are_written() {
    let folder = tempfile::tempdir().unwrap();
    succeed(consign().current_dir(folder.path()).args(["init", "--template", "two-way"]));
    let arguments = ["prove", "--certificate", "proof.json", "--emit", "smt2", "claims", "--all"];
    let page = succeed(consign().current_dir(folder.path()).args(arguments));
    assert!(page.contains("claims over all requests, 0 not proved"), "{page}");
    assert!(page.contains("nobody but the readers gets"), "{page}");
    let text = std::fs::read(folder.path().join("proof.json")).unwrap();
    let claims: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert!(claims.len() > 60, "{}", claims.len());
    for claim in &claims {
        assert_eq!(claim["outcome"]["is"], "holds", "{claim}");
        assert!(!claim["certificate"]["cases"].as_array().unwrap().is_empty(), "{claim}");
    }
    let files = std::fs::read_dir(folder.path().join("claims")).unwrap().count();
    assert_eq!(files, claims.len());
    for entry in std::fs::read_dir(folder.path().join("claims")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.starts_with("; lane ") && text.contains("(check-sat)"), "{text}");
    }
    let mut wrong = consign();
    wrong.current_dir(folder.path()).args(["prove", "--emit", "prolog", "x"]);
    let output = wrong.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", both(&output));
}

#[test]
fn what_is_exported_can_be_judged() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| succeed(consign().current_dir(folder.path()).args(arguments));
    run(&["init", "--template", "two-way"]);
    run(&["export", "policies", "--out", "policies"]);
    let page = run(&["prove", "--documents", "policies", "--exchange", "exchange.toml"]);
    assert!(page.contains("0 not as declared"), "{page}");
    assert!(run(&["prove", "--documents", "policies"]).contains("user/consign/acme can put"));
}
