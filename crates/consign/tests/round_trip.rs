//! What is sent is what is received, and everybody sees what is theirs.

use crate::common::{self, LANE, inbox, receive, send, tree, visible};
use consign::{ErrorKind, ListedAs, ReceiveOptions, SendOptions};
use consign_testkit::World;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn payloads(world: &World) {
    world.payload("tree/large.bin", 21 << 20).expect("a payload");
    world.payload("tree/one-part.bin", (1 << 20) + 1).expect("a payload");
    world.payload("tree/exactly-one-mebibyte", 1 << 20).expect("a payload");
    world.payload("tree/empty", 0).expect("a payload");
    world.payload("tree/with space/日本語 é.txt", 5000).expect("a payload");
    world.payload(&format!("tree/{}", "n".repeat(200)), 70_000).expect("a payload");
    for n in 0..100 {
        world.payload(&format!("tree/small/{n:03}"), 10 * 1024 + n).expect("a payload");
    }
    let script = world.payload("tree/run.sh", 100).expect("a payload");
    std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).expect("executable");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_received() {
    let world = World::new(10).await.expect("a world");
    check_round_trip(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_received_through_seaweedfs() {
    let weed = consign_testkit::require!("weed");
    let world = World::on_seaweed(14, &weed).await.expect("a world");
    check_round_trip(&world).await;
}

async fn check_round_trip(world: &World) {
    payloads(world);
    let acme = world.office("acme").await.expect("an office");
    let sent = send(world, &acme, &[world.from().join("tree")]).await.expect("is sent");
    assert_eq!((sent.sequence, sent.files, sent.resumed), (1, 107, false));

    let received = receive(world, &ReceiveOptions::default()).await.expect("is received");
    assert!(received.refused.is_empty(), "{:?}", received.refused);
    assert!(received.notices.is_empty(), "{:?}", received.notices);
    assert_eq!(received.consignments.len(), 1, "{received:?}");
    let arrived = received.consignments.first().expect("is one");
    assert_eq!((&arrived.id, arrived.files, arrived.bytes), (&sent.id, sent.files, sent.bytes));
    assert_eq!(tree(&arrived.path.join("tree")), tree(&world.from().join("tree")));
    assert_eq!(visible(&inbox(world, "globex")), [sent.id.as_str()]);
    let hidden = std::fs::read_dir(inbox(world, "globex")).expect("a folder").count();
    assert_eq!(hidden, 1, "nothing is left beside it");

    let stat = |path: &std::path::Path| {
        let metadata = std::fs::metadata(path).expect("is there");
        (metadata.mtime(), metadata.mode() & 0o111 != 0)
    };
    for name in ["tree/run.sh", "tree/large.bin"] {
        assert_eq!(stat(&arrived.path.join(name)), stat(&world.from().join(name)), "{name}");
    }

    // What was received is not received again, unless it is asked for.
    let again = receive(world, &ReceiveOptions::default()).await.expect("is received");
    assert!(again.consignments.is_empty() && again.refused.is_empty());
    let office = world.office("globex").await.expect("an office");
    let only = ReceiveOptions { only: Some(sent.id.clone()), ..ReceiveOptions::default() };
    let elsewhere = inbox(world, "elsewhere");
    let again = common::receive_as(world, &office, &elsewhere, &only).await.expect("again");
    assert_eq!(again.consignments.len(), 1, "{again:?}");
    assert_eq!(tree(&elsewhere), tree(&inbox(world, "globex")));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_see_what_is_theirs() {
    let world = World::new(11).await.expect("a world");
    let (acme, globex) = (
        world.office("acme").await.expect("an office"),
        world.office("globex").await.expect("an office"),
    );
    let lane = world.lane(LANE).expect("a lane");
    let first = world.payload("first/a.txt", 100).expect("a payload");
    let second = world.payload("second/b.txt", 200).expect("a payload");
    let one = send(&world, &acme, &[first]).await.expect("is sent");
    let two = send(&world, &acme, &[second]).await.expect("is sent");
    assert_eq!((one.sequence, two.sequence), (1, 2));

    let standing = |listed: Vec<consign::Listed>| -> Vec<_> {
        listed.into_iter().map(|listed| (listed.id, listed.standing, listed.objects)).collect()
    };
    let expected = |standing: ListedAs| {
        let mut expected = vec![(one.id.clone(), standing, 1), (two.id.clone(), standing, 1)];
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        expected
    };
    let listed = consign::list(&acme, Some(&lane)).await.expect("lists");
    assert_eq!(standing(listed), expected(ListedAs::Sent));
    let listed = consign::list(&globex, None).await.expect("lists");
    assert_eq!(standing(listed), expected(ListedAs::Waiting));

    let shown = consign::show(&globex, &lane, &two.id).await.expect("shows");
    assert_eq!(shown.manifest.files.first().map(|file| file.path.as_str()), Some("b.txt"));
    assert!(shown.signer.is_some());
    let ours = consign::show(&acme, &lane, &two.id).await.expect("shows");
    assert_eq!(ours.digest, shown.digest);

    let verified = consign::verify(&globex, &lane, &one.id).await.expect("verifies");
    assert_eq!((verified.files, verified.bytes), (1, 100));
    assert!(visible(&inbox(&world, "globex")).is_empty(), "nothing is kept");

    receive(&world, &ReceiveOptions::default()).await.expect("is received");
    let listed = consign::list(&globex, None).await.expect("lists");
    assert_eq!(standing(listed), expected(ListedAs::Received));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_does_only_its_own_part() {
    let world = World::new(12).await.expect("a world");
    let lane = world.lane(LANE).expect("a lane");
    let file = world.payload("a.txt", 10).expect("a payload");
    let globex = world.office("globex").await.expect("an office");
    let options = SendOptions::default();
    let error = consign::send(&globex, &lane, std::slice::from_ref(&file), &options)
        .await
        .expect_err("not its");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let acme = world.office("acme").await.expect("an office");
    let options = ReceiveOptions::default();
    let into = inbox(&world, "acme");
    let error = consign::receive(&acme, &lane, &into, &options).await.expect_err("not its");
    assert_eq!(error.kind(), ErrorKind::Configuration);

    // Whoever calls himself acme without its credentials is stopped by S3, and leaves nothing.
    let mut impostor = world.office("acme").await.expect("an office");
    impostor.cloud = globex.cloud.clone();
    impostor.state = world.state("impostor");
    let error = send(&world, &impostor, &[file]).await.expect_err("is denied");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    let received = receive(&world, &options).await.expect("is received");
    assert!(received.consignments.is_empty() && received.refused.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_without_a_seal_works_too() {
    let world = World::new(13).await.expect("a world");
    payloads(&world);
    let text = world.from().parent().expect("the world").join("exchange.toml");
    let text = std::fs::read_to_string(text).expect("the exchange file");
    let text = text.replace("to = [", "seal = \"none\"\nto = [");
    let today = consign_model::Date::from_unix_ms(world.clock.now_ms());
    let exchange = consign_model::Exchange::parse(&text, "exchange.toml", today).expect("parses");
    let exchange = std::sync::Arc::new(exchange);
    let mut acme = world.office("acme").await.expect("an office");
    let mut globex = world.office("globex").await.expect("an office");
    (acme.exchange, globex.exchange) = (exchange.clone(), exchange);

    let sent = send(&world, &acme, &[world.from().join("tree")]).await.expect("is sent");
    let into = inbox(&world, "globex");
    let options = ReceiveOptions::default();
    let received = common::receive_as(&world, &globex, &into, &options).await.expect("received");
    assert!(received.refused.is_empty(), "{:?}", received.refused);
    let path = into.join(sent.id.as_str()).join("tree");
    assert_eq!(tree(&path), tree(&world.from().join("tree")));
}
