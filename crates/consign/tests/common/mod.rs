//! What the tests of this folder share.

use consign::{Office, Progress, ReceiveOptions, Received, SendOptions, Sent};
use consign_testkit::World;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const LANE: &str = "to-client";

/// Sends as `acme` and notes whatever is said.
pub(crate) async fn send(
    world: &World,
    office: &Office,
    paths: &[PathBuf],
) -> consign::Result<Sent> {
    let lane = world.lane(LANE).expect("a lane");
    let sent = consign::send(office, &lane, paths, &SendOptions::default()).await;
    if let Err(error) = &sent {
        world.saw_error(error);
    }
    sent
}

/// Receives as `globex` and notes whatever is said.
pub(crate) async fn receive(world: &World, options: &ReceiveOptions) -> consign::Result<Received> {
    let office = world.office("globex").await.expect("an office");
    receive_as(world, &office, &inbox(world, "globex"), options).await
}

pub(crate) async fn receive_as(
    world: &World,
    office: &Office,
    into: &Path,
    options: &ReceiveOptions,
) -> consign::Result<Received> {
    let lane = world.lane(LANE).expect("a lane");
    let received = consign::receive(office, &lane, into, options).await;
    match &received {
        Err(error) => world.saw_error(error),
        Ok(received) => {
            for refused in &received.refused {
                world.saw_error(&refused.error);
            }
            for notice in &received.notices {
                world.saw(notice);
            }
        }
    }
    received
}

/// Where a party receives.
pub(crate) fn inbox(world: &World, party: &str) -> PathBuf {
    world.inbox(party)
}

/// Every file below a folder: path and content.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("is below").to_str().expect("UTF-8");
                files.insert(name.to_owned(), std::fs::read(&path).expect("reads"));
            }
        }
    }
    files
}

/// What a person sees in a folder: hidden entries left out.
pub(crate) fn visible(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Calls back once so many bytes of content have gone by.
pub(crate) struct Trip {
    left: AtomicU64,
    then: Box<dyn Fn() + Send + Sync>,
}

impl Trip {
    pub(crate) fn after(bytes: u64, then: impl Fn() + Send + Sync + 'static) -> Arc<Trip> {
        Arc::new(Trip { left: AtomicU64::new(bytes), then: Box::new(then) })
    }
}

impl Progress for Trip {
    fn advance(&self, bytes: u64) {
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(bytes))
        });
        let before = before.unwrap_or(0);
        if before > 0 && before <= bytes {
            (self.then)();
        }
    }
}
