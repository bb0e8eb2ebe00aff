//! Publishers that lose S3, KMS and their queue in the middle of whatever they do, and find them again.

use crate::support::post::{Post, Running, until};
use consign_testkit::passage::Passage;

/// Shorter than a partition may last, so that messages come to the other publisher meanwhile.
const LEASE_SECONDS: &str = "4";

fn failures(running: &Running) -> usize {
    running.log().matches("\"event\":\"failed\"").count()
}

/// Of two publishers one reaches nobody, then the other, then both: nothing is lost and nothing comes
/// twice. Whoever reaches nobody says so, and goes on.
#[test]
fn what_is_cut_off_is_delivered_once_afterwards() {
    let post = Post::new(|text| text);
    let server = post.deployment.endpoint().trim_start_matches("https://").parse().unwrap();
    let passages = [(); 2].map(|()| post.block_on(Passage::to(server)).unwrap());
    let arguments = ["--lease-seconds", LEASE_SECONDS, "--in-flight", "4"];
    let publishers = passages.each_ref().map(|passage| {
        let endpoint = format!("https://{}", passage.address());
        post.publisher_with(&[("AWS_ENDPOINT_URL", &endpoint)], &arguments)
    });
    publishers.iter().for_each(Running::expect_started);
    let mut keys = Vec::new();
    for (round, cut) in [&passages[..1], &passages[1..], &passages[..]].into_iter().enumerate() {
        let more = |from: usize| (from..from + 20).map(move |n| format!("scans/{round}/{n:02}"));
        keys.extend(post.put_many(more(0)));
        // In the middle of these.
        let before = publishers.each_ref().map(failures);
        cut.iter().for_each(Passage::close);
        keys.extend(post.put_many(more(20)));
        until("publishers that say what they cannot reach", || {
            publishers.iter().map(failures).sum::<usize>() > before.iter().sum()
        });
        cut.iter().for_each(Passage::open);
        post.expect_records(keys.len());
    }
    assert!(passages.iter().all(|passage| passage.refused() > 0));
    // What was delivered and whose message could not be deleted any more comes again, and is found done.
    until("an empty queue", || post.waiting("consign-acme-globex-reports") == 0);
    for running in publishers {
        running.stop();
    }
    post.expect_each_once(&keys);
}
