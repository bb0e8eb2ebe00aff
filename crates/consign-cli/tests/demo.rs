//! `consign demo` on a small tree of the caller's own (the default tree is what CI runs besides).

use crate::support::{consign, succeed};

#[test]
fn the_demo_holds_on_a_tree_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("one"), b"1").unwrap();
    let outcome = succeed(consign().args(["demo", "--json"]).arg(&tree).env("HOME", folder.path()));
    let outcome: serde_json::Value = serde_json::from_str(&outcome).unwrap();
    assert_eq!(outcome["proof_holds"], true);
    let refusals = outcome["refusals"].as_array().unwrap();
    assert!(refusals.len() >= 15, "{refusals:?}");
    for refusal in refusals {
        assert_eq!(refusal["held"], true, "{refusal}");
    }
}

#[test]
fn the_demo_refuses_a_folder_that_holds_something() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), b"1").unwrap();
    let output = consign().args(["demo", "--dir"]).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
