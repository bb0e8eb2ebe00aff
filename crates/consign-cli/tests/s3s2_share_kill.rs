//! `kill -9` of `consign s3s2 share` at random moments: at each of them the bucket shows a share that is
//! whole or none, its objects in s3s2's order; and the same command goes on with the same share.
//!
//! `CONSIGN_KILL_SEED` repeats a run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Deployment, TO_CLIENT, succeed};
use consign_testkit::random::Seed;
use consign_testkit::require;
use serde_json::Value;

const KILLS: usize = 12;

fn share(prefix: &str) -> Vec<&str> {
    let share = ["s3s2", "share", "--bucket", TO_CLIENT, "--region", "eu-west-1", "--org", "acme"];
    let rest = ["--aws-profile", "acme", "--receiver-public-key", "go.pubkey", "--json"];
    let more = ["--directory", "up", "--metadata-files", "index.csv", "--batch-size", "3"];
    [&share[..], &rest, &more, &["--prefix", prefix]].concat()
}

fn keys(deployment: &Deployment, aws: &Path) -> BTreeSet<String> {
    let mut command = deployment.tool(aws);
    let list = ["--profile", "globex", "s3api", "list-objects-v2", "--bucket", TO_CLIENT];
    let list = succeed(command.args(list));
    let list: Value = serde_json::from_str(&list).unwrap_or_default();
    let objects = list["Contents"].as_array().cloned().unwrap_or_default();
    objects.iter().map(|object| object["Key"].as_str().unwrap().to_owned()).collect()
}

/// What an interrupted share is remembered by.
fn begun(deployment: &Deployment) -> Option<PathBuf> {
    let ledgers = std::fs::read_dir(deployment.path("state/consign/s3s2")).into_iter();
    let mut folders = ledgers.flatten().flatten().map(|entry| entry.path());
    folders.find(|path| path.join("order.json").exists())
}

/// Waits as long as this holds, and the process lives.
fn while_running(running: &mut Child, holds: impl Fn() -> bool) {
    while holds() && running.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What holds of every batch at every moment.
fn check_order(keys: &BTreeSet<String>, files: usize) {
    let folders: BTreeSet<&str> = keys.iter().map(|key| key.split('/').nth(1).unwrap()).collect();
    for folder in folders {
        let inside: Vec<&String> =
            keys.iter().filter(|key| key.contains(&format!("/{folder}/"))).collect();
        let has = |name: &str| inside.iter().any(|key| key.ends_with(name));
        let sealed = inside.iter().filter(|key| key.ends_with(".zip.gpg")).count();
        assert!(sealed == 0 || has("/index.csv.zip.gpg"), "metadata files first: {inside:?}");
        let last = !folder.ends_with("_0");
        let expected = 1 + if last { files - 3 } else { 3 };
        assert!(!has("s3s2_manifest.json") || sealed == expected, "{inside:?}");
        assert!(!has("._lambda_trigger") || has("s3s2_manifest.json"), "{inside:?}");
    }
}

#[test]
fn killed_at_any_moment_nothing_half_is_to_be_seen_and_it_goes_on() {
    let aws = require!("aws");
    let mut seed = Seed::from_environment("CONSIGN_KILL_SEED", 20_261_123);
    let deployment = Deployment::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consign-seal/tests/s3s2");
    for name in ["go.privkey", "go.pubkey"] {
        deployment.file(name, &std::fs::read(fixtures.join(name)).unwrap());
    }
    let mut random = |bytes: usize| -> Vec<u8> {
        (0..bytes.div_ceil(8)).flat_map(|_| seed.next_u64().to_le_bytes()).take(bytes).collect()
    };
    // One is large enough to be uploaded in parts.
    let files = [("a", 300_000), ("b", 20 << 20), ("sub/c", 0), ("d", 1 << 20), ("e", 50_000)];
    deployment.file("up/index.csv", &random(1000));
    for (name, bytes) in files {
        deployment.file(&format!("up/{name}"), &random(bytes));
    }
    // The first is left alone, and says how long it takes.
    let started = Instant::now();
    deployment.run(&share("alone"));
    let usual = started.elapsed();
    let before = keys(&deployment, &aws);

    let mut killed = 0;
    let told = loop {
        let is_begun = begun(&deployment).is_some();
        let mut command = deployment.consign(&share("killed"));
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        if killed < KILLS {
            if killed == 0 {
                while_running(&mut running, || begun(&deployment).is_none());
            } else {
                // Not luck: any moment will do, and the seed chooses which.
                std::thread::sleep(Duration::from_micros(seed.below(usual.as_micros() as u64)));
            }
            killed += usize::from(running.try_wait().unwrap().is_none());
            let _gone = running.kill();
        }
        let output = running.wait_with_output().unwrap();
        let now: BTreeSet<String> = keys(&deployment, &aws).difference(&before).cloned().collect();
        check_order(&now, files.len());
        // Killed after its last word and before it could note that, it says the same again.
        if output.status.success() {
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(told["resumed"], is_begun, "{told}");
            break told;
        }
    };
    assert!(killed > 0, "it was never killed");
    let now: BTreeSet<String> = keys(&deployment, &aws).difference(&before).cloned().collect();
    let folders: BTreeSet<&str> = now.iter().map(|key| key.split('/').nth(1).unwrap()).collect();
    assert_eq!(folders.len(), 2, "one share, in two batches: {folders:?}");
    for batch in told["batches"].as_array().unwrap() {
        deployment.run(&[
            "s3s2",
            "decrypt",
            "--bucket",
            TO_CLIENT,
            "--region",
            "eu-west-1",
            "--org",
            "acme",
            "--aws-profile",
            "globex",
            "--my-private-key",
            "go.privkey",
            "--require-trigger",
            "--file",
            batch["manifest"].as_str().unwrap(),
            "--directory",
            "in",
        ]);
    }
    for (name, _) in files {
        let found = std::fs::read(deployment.path("in/decrypted").join(name)).unwrap();
        assert!(found == std::fs::read(deployment.path("up").join(name)).unwrap(), "{name}");
    }
    // Told once, it is over: nothing is remembered, and the same command is another share.
    let left = std::fs::read_dir(deployment.path("state/consign/s3s2")).unwrap().count();
    assert_eq!(left, 0);
    // Folders are called by the second.
    std::thread::sleep(Duration::from_secs(1));
    let again: Value = serde_json::from_str(&deployment.run(&share("killed"))).unwrap();
    assert_eq!(again["resumed"], false);
    assert_ne!(again["batches"][0]["folder"], told["batches"][0]["folder"]);
}

#[test]
fn what_was_begun_with_other_files_is_given_up() {
    let aws = require!("aws");
    let deployment = Deployment::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consign-seal/tests/s3s2");
    deployment.file("go.pubkey", &std::fs::read(fixtures.join("go.pubkey")).unwrap());
    for name in ["index.csv", "a", "b", "c"] {
        deployment.file(&format!("up/{name}"), name.as_bytes());
    }
    // As a run leaves it that was killed before anything was uploaded.
    let mut command = deployment.consign(&share("x"));
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while_running(&mut running, || begun(&deployment).is_none());
    let _gone = running.kill();
    running.wait().unwrap();
    deployment.file("up/a", b"changed");
    let shared: Value = serde_json::from_str(&deployment.run(&share("x"))).unwrap();
    assert_eq!(shared["resumed"], false);
    check_order(&keys(&deployment, &aws), 3);
    assert!(begun(&deployment).is_none());
}
