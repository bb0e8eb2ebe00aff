//! The send and receive suite against all stores. Each world checks its promises when it ends.

use consign_testkit::{World, require, suite};

#[tokio::test]
async fn the_suite_holds_on_the_local_cloud() {
    let world = World::new(1).await.unwrap();
    suite::send_and_receive(&world).await.unwrap();
}

#[tokio::test]
async fn the_suite_holds_on_seaweedfs() {
    let weed = require!("weed");
    let world = World::on_seaweed(2, &weed).await.unwrap();
    suite::send_and_receive(&world).await.unwrap();
}

#[tokio::test]
async fn the_suite_holds_on_ceph() {
    let _programs = require!("ceph-mon", "ceph-osd", "radosgw");
    let world = World::on_ceph(4).await.unwrap();
    suite::send_and_receive(&world).await.unwrap();
}

/// The checks of a world are worth something only if they find what they look for.
#[tokio::test]
async fn a_world_finds_what_must_not_be() {
    let world = World::new(3).await.unwrap();
    world.saw(&format!("error: cannot read {}", world.canary.as_str()));
    std::fs::create_dir_all(world.state("acme")).unwrap();
    std::fs::write(world.state("acme").join("left"), world.canary.content(100)).unwrap();
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(world)));
    let message = *dropped.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("plaintext in state: acme/left"), "{message}");
    assert!(message.contains("plaintext in a log line or error"), "{message}");
}
