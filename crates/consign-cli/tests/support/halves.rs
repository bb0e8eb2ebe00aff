//! `init --template inbox`, and its two halves, each applied by its own administrator.

use std::collections::BTreeMap;

use super::{Deployment, consign, succeed};

const OURS: &str = "111111111111=admin-111111111111";
const THEIRS: &str = "222222222222=admin-222222222222";

/// The template's exchange file.
pub(crate) fn template() -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut init = consign();
    succeed(init.args(["init", "--template", "inbox"]).current_dir(folder.path()));
    std::fs::read_to_string(folder.path().join("exchange.toml")).unwrap()
}

/// Applies acme's principals, globex's half, and the rest of acme's; gives for each lane what globex told
/// of its key, as `--key` takes it.
pub(crate) fn apply(deployment: &Deployment) -> BTreeMap<String, String> {
    let own = |party: &str, profile: &str, more: &[&str]| {
        let arguments = ["apply", "--yes", "--as", party, "--account-profile", profile];
        deployment.run(&[&arguments, more].concat())
    };
    own("acme", OURS, &[]);
    let told = own("globex", THEIRS, &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let told = told["keys_to_tell"].as_object().unwrap();
    let key = |(lane, arn): (&String, &serde_json::Value)| {
        (lane.clone(), format!("{lane}={}", arn.as_str().unwrap()))
    };
    let keys: BTreeMap<String, String> = told.iter().map(key).collect();
    let flags: Vec<&str> = keys.values().flat_map(|key| ["--key", key]).collect();
    own("acme", OURS, &flags);
    keys
}
