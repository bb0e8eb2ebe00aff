//! A lane with `layout = "s3s2"`: partners who stay with s3s2 on either side of it, judged by a program made
//! of s3s2's own libraries, and `kill -9` on the way.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Deployment, TO_CLIENT, succeed};
use consign_seal::s3s2::PublicKey;
use consign_testkit::random::Seed;
use consign_testkit::{judges, require};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

/// acme sends to globex on a lane of shares; globex has bare keys, as s3s2 makes them.
struct Lane {
    deployment: Deployment,
}

impl Lane {
    fn new(edit: impl Fn(&str) -> String) -> Lane {
        let deployment = Deployment::with(|text| {
            text.replacen("\nto = [\"globex\"]", "\nlayout = \"s3s2\"\nto = [\"globex\"]", 1)
        });
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consign-seal/tests/s3s2");
        let read = |name: &str| std::fs::read(keys.join(name)).unwrap();
        let fingerprint = PublicKey::parse(&read("go.pubkey"), NOW).unwrap().fingerprint();
        let file = deployment.path("exchange.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, globex) = text.split_at(text.find("[party.globex]").unwrap());
        let pinned = format!("recipients = [\"openpgp:{fingerprint}\", ");
        let text = format!("{before}{}", globex.replacen("recipients = [", &pinned, 1));
        std::fs::write(&file, edit(&text)).unwrap();
        let folder = "config/consign/keys";
        deployment.file(&format!("{folder}/globex.openpgp"), &read("go.pubkey"));
        let secret =
            deployment.file(&format!("{folder}/globex.openpgp-secret"), &read("go.privkey"));
        std::fs::set_permissions(secret, PermissionsExt::from_mode(0o600)).unwrap();
        deployment.file("go.pubkey", &read("go.pubkey"));
        deployment.file("go.privkey", &read("go.privkey"));
        Lane { deployment }
    }

    fn send(&self, more: &[&str]) -> Value {
        let send = ["send", "up", "--lane", "to-client", "--profile", "acme", "--json"];
        serde_json::from_str(&self.deployment.run(&[&send[..], more].concat())).unwrap()
    }

    fn receiving<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let receive = ["receive", "--lane", "to-client", "--into", "in", "--profile", "globex"];
        [&receive[..], &["--json"], more].concat()
    }

    fn copy(&self, aws: &Path, profile: &str, from: &str, to: &str) {
        let mut command = self.deployment.tool(aws);
        succeed(command.args(["--profile", profile, "s3", "cp", "--quiet", from, to]));
    }
}

fn payload(length: usize) -> Vec<u8> {
    (0..251u8).cycle().take(length).collect()
}

const FILES: [(&str, usize); 4] =
    [("index.csv", 100), ("none", 0), ("a/some ü.csv", 100_000), ("much", 9 << 20)];

/// acme's table without its signers, as for a sender who has nothing but s3s2.
fn without_signers(text: &str) -> String {
    let (acme, rest) = text.split_at(text.find("[party.globex]").unwrap());
    let line = |line: &str| match line.starts_with("signers") {
        true => "signers = []\n".to_owned(),
        false => format!("{line}\n"),
    };
    acme.lines().map(line).collect::<String>() + rest
}

#[test]
fn a_partner_who_stays_with_s3s2_reads_what_is_sent() {
    let aws = require!("aws");
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = judges::s3s2_peer(folder.path()) else { return };
    let lane = Lane::new(str::to_owned);
    for (name, length) in FILES {
        lane.deployment.file(&format!("up/{name}"), &payload(length));
    }
    let sent = lane.send(&["--metadata-files", "index.csv"]);
    let id = sent["id"].as_str().unwrap();
    // What `s3s2 decrypt --org acme --file ID/s3s2_manifest.json` does, with its libraries.
    let at = |name: &str| format!("s3://{TO_CLIENT}/ACME/{id}/{name}");
    lane.copy(&aws, "globex", &at("s3s2_manifest.json"), "manifest");
    let manifest = std::fs::read(lane.deployment.path("manifest")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((&manifest["Organization"], &manifest["Folder"]), (&json!("ACME"), &json!(id)));
    assert_eq!(manifest["Files"][0]["Name"], "up/index.csv");
    assert_eq!(manifest["Files"].as_array().unwrap().len(), FILES.len());
    for file in manifest["Files"].as_array().unwrap() {
        let name = file["Name"].as_str().unwrap();
        lane.copy(&aws, "globex", &at(&format!("{name}.zip.gpg")), "sealed");
        open(&peer, &lane, "go.privkey", &format!("/{name}"));
        let opened = std::fs::read(lane.deployment.path("opened")).unwrap();
        assert!(opened == std::fs::read(lane.deployment.path(name)).unwrap(), "{name}");
    }
    // And who has consign gets all that consign gives.
    let received: Value = serde_json::from_str(&lane.deployment.run(&lane.receiving(&[]))).unwrap();
    assert_eq!(received["consignments"][0]["id"], id);
    assert!(received["consignments"][0]["signer"].is_string(), "{received}");
    lane.deployment.run(&["verify", id, "--lane", "to-client", "--profile", "globex"]);
}

fn open(peer: &Path, lane: &Lane, key: &str, entry: &str) {
    let mut command = Command::new(peer);
    command.current_dir(lane.deployment.path("."));
    let said = succeed(command.args(["open", key, "sealed", "opened"]));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[2]), ("Message", entry));
}

#[test]
fn what_is_sealed_for_two_is_opened_by_either_with_s3s2s_libraries() {
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = judges::s3s2_peer(folder.path()) else { return };
    let lane = Lane::new(str::to_owned);
    lane.deployment.run(&["s3s2", "genkey", "--keydir", ".", "--keyprefix", "own"]);
    let public = |name: &str| {
        let bytes = std::fs::read(lane.deployment.path(name)).unwrap();
        PublicKey::parse(&bytes, NOW).unwrap()
    };
    let keys = [public("go.pubkey"), public("own.pubkey")];
    let name = "a/b.csv".parse().unwrap();
    let sealed = std::fs::File::create(lane.deployment.path("sealed")).unwrap();
    let content = payload(300_000);
    consign_s3s2::seal_file(&mut content.as_slice(), &name, false, &keys, sealed).unwrap();
    for key in ["go.privkey", "own.privkey"] {
        open(&peer, &lane, key, "/a/b.csv");
        assert!(std::fs::read(lane.deployment.path("opened")).unwrap() == content, "{key}");
    }
}

#[test]
fn what_a_partner_shares_with_s3s2_is_received_once() {
    let aws = require!("aws");
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = judges::s3s2_peer(folder.path()) else { return };
    // As s3s2 writes it: every file by the writer's plain puts, then manifest, then trigger.
    let share = |lane: &Lane| {
        let to =
            |name: &str| format!("s3://{TO_CLIENT}/ACME/clinical_s3s2_20260131120000_0/{name}");
        for (name, length) in FILES {
            lane.deployment.file("plain", &payload(length));
            let mut command = Command::new(&peer);
            let entry = format!("/{name}");
            let seal = ["seal", "go.pubkey", "plain", "sealed", &entry];
            succeed(command.current_dir(lane.deployment.path(".")).args(seal));
            lane.copy(&aws, "acme", "sealed", &to(&format!("{name}.zip.gpg")));
        }
        let files: Vec<Value> = FILES.iter().map(|(name, _)| json!({"Name": name})).collect();
        let manifest = json!({
            "Name": "s3s2_manifest.json", "Timestamp": "2026-01-31T12:00:00.1+01:00",
            "Organization": "acme", "Username": "A. Person", "User": "person", "SudoUser": "",
            "Folder": "clinical_s3s2_20260131120000_0", "Files": files,
        });
        lane.deployment.file("manifest", &serde_json::to_vec_pretty(&manifest).unwrap());
        // s3s2 writes it anew after each chunk: on the lane this must be allowed.
        lane.copy(&aws, "acme", "manifest", &to("s3s2_manifest.json"));
        lane.copy(&aws, "acme", "manifest", &to("s3s2_manifest.json"));
        lane.deployment.file("nothing", b"");
        lane.copy(&aws, "acme", "nothing", &to("._lambda_trigger"));
    };
    let lane = Lane::new(without_signers);
    share(&lane);
    let listed = lane.deployment.run(&["list", "--lane", "to-client", "--profile", "globex"]);
    assert!(listed.contains("not signed: clinical_s3s2_20260131120000_0"), "{listed}");
    let received: Value = serde_json::from_str(&lane.deployment.run(&lane.receiving(&[]))).unwrap();
    let share_of = &received["shares"][0];
    assert_eq!((&share_of["signed"], &share_of["cast5_files"]), (&json!(false), &json!(4)));
    let into = PathBuf::from(share_of["path"].as_str().unwrap());
    for (name, length) in FILES {
        let found = std::fs::read(lane.deployment.path(".").join(&into).join(name)).unwrap();
        assert!(found == payload(length), "{name}");
    }
    let again: Value = serde_json::from_str(&lane.deployment.run(&lane.receiving(&[]))).unwrap();
    assert!(again["shares"].as_array().unwrap().is_empty(), "{again}");

    // Where acme could sign, it is refused, and taken only when that is said.
    let lane = Lane::new(str::to_owned);
    share(&lane);
    let refused = lane.deployment.fail(3, &lane.receiving(&[]));
    assert!(refused.contains("not signed") && refused.contains("--accept-unsigned"), "{refused}");
    assert_eq!(std::fs::read_dir(lane.deployment.path("in")).unwrap().count(), 0);
    lane.deployment.run(&lane.receiving(&["--accept-unsigned"]));
}

#[test]
fn killed_at_any_moment_it_goes_on() {
    let mut seed = Seed::from_environment("CONSIGN_KILL_SEED", 20_261_122);
    let lane = Lane::new(str::to_owned);
    for (name, length) in FILES {
        lane.deployment.file(&format!("up/{name}"), &payload(length));
    }
    let send = ["send", "up", "--lane", "to-client", "--profile", "acme", "--json"];
    // The first is left alone, and says how long it takes.
    let started = Instant::now();
    lane.send(&[]);
    let usual = started.elapsed();
    lane.deployment.run(&lane.receiving(&[]));
    let order =
        lane.deployment.path("state/consign/acme-globex/to-client/sent/outgoing/order.json");
    let mut killed = 0;
    let told = loop {
        let mut running = lane
            .deployment
            .consign(&send)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if killed < 12 {
            // The first when it has begun; then, and it is not luck, at any moment that the seed chooses.
            while killed == 0 && !order.exists() && running.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let longest = if killed == 0 { 1 } else { usual.as_micros() as u64 };
            std::thread::sleep(Duration::from_micros(seed.below(longest)));
            killed += usize::from(running.try_wait().unwrap().is_none());
            let _gone = running.kill();
        }
        let said = running.wait_with_output().unwrap().stdout;
        // Nothing half is refused: it is not to be seen, or it is whole.
        lane.deployment.run(&lane.receiving(&[]));
        if !said.is_empty() {
            break serde_json::from_slice::<Value>(&said).unwrap();
        }
    };
    let into = lane.deployment.path("in").join(told["id"].as_str().unwrap());
    for (name, length) in FILES {
        assert!(std::fs::read(into.join("up").join(name)).unwrap() == payload(length), "{name}");
    }
    assert_eq!(std::fs::read_dir(lane.deployment.path("in")).unwrap().count(), 2);
    assert!(killed > 0, "it was never killed");
}
