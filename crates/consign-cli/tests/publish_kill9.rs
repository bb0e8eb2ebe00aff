//! `kill -9` of publishers and of the local cloud at random moments, while a generator goes on: in the end every
//! object was delivered once, with its record, and nothing is left in the queue.
//!
//! `CONSIGN_KILLS` says how many kills (12 unless given), `CONSIGN_KILL_SEED` repeats a run.

use std::time::Duration;

use crate::support::post::{Post, Running, until};
use consign_testkit::random::Seed;

/// A message that was being handled when its publisher died comes again after this.
const LEASE_SECONDS: &str = "3";

#[test]
fn each_object_arrives_once_whoever_is_killed_when() {
    let kills: u64 =
        std::env::var("CONSIGN_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let mut seed = Seed::from_environment("CONSIGN_KILL_SEED", 20_261_122);
    let mut post = Post::new(|text| text);
    let mut keys = Vec::new();
    let mut publishers: Vec<Running> = (0..2).map(|_| begin(&post)).collect();
    for kill in 0..kills {
        let batch = 3 + seed.below(6);
        keys.extend(post.put_many((0..batch).map(|n| format!("{kill:03}/{n}"))));
        // Not luck: any moment will do, and the seed chooses which.
        std::thread::sleep(Duration::from_millis(seed.below(900)));
        if seed.one_in(4) {
            post.deployment.restart_cloud();
            continue;
        }
        let victim = usize::from(seed.one_in(2));
        let next = begin(&post);
        std::mem::replace(&mut publishers[victim], next).kill();
    }
    post.expect_records(keys.len());
    let cloud = post.cloud("admin-111111111111");
    let queue = post.block_on(cloud.sqs().queue_url("consign-acme-globex-reports")).unwrap();
    until("an empty queue", || {
        let attributes = post.block_on(cloud.sqs().attributes(&queue)).unwrap();
        attributes["ApproximateNumberOfMessages"] == "0"
            && attributes["ApproximateNumberOfMessagesNotVisible"] == "0"
    });
    for publisher in publishers {
        publisher.stop();
    }
    eprintln!("{} objects, {kills} kills", keys.len());
    post.expect_each_once(&keys);
}

fn begin(post: &Post) -> Running {
    post.publisher(&["--lease-seconds", LEASE_SECONDS])
}
