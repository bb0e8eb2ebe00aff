//! `kill -9` of the sender, the receiver and the local cloud at random moments, with real processes.
//! Whatever dies, the same command goes on, and in the end every consignment is there once, whole
//! and byte for byte what was sent.
//!
//! `CONSIGN_KILLS` says how many kills (20 unless given), `CONSIGN_KILL_SEED` repeats a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::Deployment;
use consign_testkit::payload::Canary;
use consign_testkit::random::Seed;

/// Longer than any single command takes, however busy the machine is.
const STUCK: Duration = Duration::from_secs(120);

/// How often one command may fail without having been killed: while the cloud is away it may use up
/// its retries.
const FAILURES_MAX: usize = 20;

#[test]
fn nothing_is_lost_whoever_is_killed_when() {
    let kills_wanted =
        std::env::var("CONSIGN_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut stand = Stand::new(Seed::from_environment("CONSIGN_KILL_SEED", 20_261_121));
    let mut sent = 0;
    while stand.kills() < kills_wanted {
        sent += 1;
        let tree = stand.make_tree(sent);
        stand.through(Victim::Sender, &["send", &tree, "--lane", "to-client", "--profile", "acme"]);
        stand.through(
            Victim::Receiver,
            &["receive", "--lane", "to-client", "--into", "inbox", "--profile", "globex"],
        );
        stand.expect_delivered(sent);
    }
    stand.expect_nothing_left_behind();
    eprintln!("{sent} consignments, kills: {:?}", stand.killed);
    for victim in [Victim::Sender, Victim::Receiver, Victim::Cloud] {
        assert!(stand.killed.contains_key(&victim), "{victim:?} was never killed");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Sender,
    Receiver,
    Cloud,
}

/// A deployment, and what has been killed in it.
struct Stand {
    deployment: Deployment,
    seed: Seed,
    canary: Canary,
    killed: BTreeMap<Victim, usize>,
    /// How long the command of each kind takes when it is left alone, so that kills fall within.
    usual: BTreeMap<Victim, Duration>,
}

impl Stand {
    fn new(mut seed: Seed) -> Stand {
        let canary = Canary::new(&mut seed);
        let deployment = Deployment::new();
        Stand { deployment, seed, canary, killed: BTreeMap::new(), usual: BTreeMap::new() }
    }

    fn kills(&self) -> usize {
        self.killed.values().sum()
    }

    /// As after a power cut: dead at once, then started again on the same address.
    fn kill_cloud(&mut self) {
        self.deployment.restart_cloud();
        *self.killed.entry(Victim::Cloud).or_default() += 1;
    }

    /// Runs a command until it has said that it is done, killing it or the cloud on the way.
    fn through(&mut self, client: Victim, arguments: &[&str]) {
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let mut running = self
                .deployment
                .consign(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let usual = self.usual.get(&client).copied();
            // The first run of each kind is left alone and timed, then each second one.
            let disturb = usual.is_some() && !self.seed.one_in(2);
            let killed_client = disturb && self.disturb(client, &mut running, usual.unwrap());
            let output = wait(running);
            if killed_client {
                // Whoever has been told does not ask again.
                match output.stdout.is_empty() {
                    true => continue,
                    false => return,
                }
            }
            if output.status.success() {
                self.usual.entry(client).or_insert_with(|| started.elapsed());
                return;
            }
            failures += 1;
            let said = errors(&output);
            assert!(disturb, "consign {arguments:?} failed undisturbed: {said}");
            assert!(failures < FAILURES_MAX, "consign {arguments:?} does not get through: {said}");
            assert!(!said.contains(self.canary.as_str()), "plaintext in an error: {said}");
        }
    }

    /// Kills somebody at a moment within the usual time. True if it was the client.
    fn disturb(&mut self, client: Victim, running: &mut Child, usual: Duration) -> bool {
        let after = Duration::from_micros(self.seed.below(usual.as_micros() as u64));
        // Not luck: any moment will do, and the seed chooses which.
        sleep(after);
        if running.try_wait().unwrap().is_some() {
            return false;
        }
        if self.seed.one_in(3) {
            self.kill_cloud();
            return false;
        }
        running.kill().unwrap();
        *self.killed.entry(client).or_default() += 1;
        true
    }

    /// A tree of its own for each consignment: several parts, several packs, odd names.
    fn make_tree(&mut self, number: usize) -> String {
        let name = format!("tree-{number}");
        let tree = self.deployment.path(&name);
        fs::create_dir_all(tree.join("many")).unwrap();
        let mark = format!("consignment {number}\n");
        let content = |bytes: u64| {
            let mut content = self.canary.content(bytes as usize);
            content.extend_from_slice(mark.as_bytes());
            content
        };
        fs::write(tree.join("large é.bin"), content((20 << 20) + number as u64)).unwrap();
        fs::write(tree.join("middle"), content((3 << 20) + self.seed.below(1 << 20))).unwrap();
        fs::write(tree.join("empty"), b"").unwrap();
        for file in 0..60 {
            let bytes = self.seed.below(400_000);
            fs::write(tree.join(format!("many/{file:03}.dat")), content(bytes)).unwrap();
        }
        name
    }

    /// Every consignment so far is in the inbox once, and is what was sent.
    fn expect_delivered(&self, sent: usize) {
        let mut arrived: Vec<PathBuf> = fs::read_dir(self.deployment.path("inbox"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !hidden(path))
            .collect();
        // Ids sort by time.
        arrived.sort();
        assert_eq!(arrived.len(), sent, "{arrived:?}");
        let newest = arrived.last().unwrap();
        let name = format!("tree-{sent}");
        let named = newest.join(&name);
        let received = if named.is_dir() { named } else { newest.clone() };
        assert!(
            contents(&self.deployment.path(&name)) == contents(&received),
            "{} differs from what was sent",
            received.display()
        );
    }

    /// No partial folder after one more run, nothing to deliver again, and no plaintext where the
    /// cloud or the state is.
    fn expect_nothing_left_behind(&self) {
        for (path, content) in contents(&self.deployment.path("cloud")) {
            assert!(!self.canary.is_in(&content), "plaintext in the cloud: {}", path.display());
        }
        for (path, content) in contents(&self.deployment.path("state")) {
            assert!(!self.canary.is_in(&content), "plaintext in the state: {}", path.display());
        }
        let again =
            ["receive", "--lane", "to-client", "--into", "other", "--profile", "globex", "--json"];
        self.deployment.run(&again);
        let other = self.deployment.path("other");
        let arrived = fs::read_dir(other).map_or(0, Iterator::count);
        assert_eq!(arrived, 0, "something was delivered twice");
        self.deployment.run(&[
            "receive",
            "--lane",
            "to-client",
            "--into",
            "inbox",
            "--profile",
            "globex",
        ]);
        let mut inbox = fs::read_dir(self.deployment.path("inbox")).unwrap();
        let left = inbox.find(|entry| hidden(&entry.as_ref().unwrap().path()));
        assert!(left.is_none(), "{left:?} was left behind");
    }
}

/// The receiver's own workings begin with a dot.
fn hidden(path: &Path) -> bool {
    path.file_name().unwrap().to_string_lossy().starts_with('.')
}

fn kill(process: &mut Child) {
    // An error means that it is gone already.
    let _ = process.kill();
    let _ = process.wait();
}

fn wait(mut running: Child) -> Output {
    let started = Instant::now();
    while running.try_wait().unwrap().is_none() {
        if started.elapsed() > STUCK {
            kill(&mut running);
            panic!("a command hangs");
        }
        sleep(Duration::from_millis(5));
    }
    running.wait_with_output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file below a folder by its relative path.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap().to_path_buf();
                found.insert(relative, fs::read(&path).unwrap());
            }
        }
    }
    found
}
