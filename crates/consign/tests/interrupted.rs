//! Whatever is interrupted goes on, and shows nothing before it is complete.

use crate::common::{LANE, Trip, inbox, receive, receive_as, send, tree, visible};
use consign::{ErrorKind, ReceiveOptions, SendOptions};
use consign_testkit::World;
use consign_transfer::Cancelled;
use std::sync::Arc;
use tokio::sync::Notify;

const CONTENT: u64 = (40 << 20) + 3 * 700_000 + 2 * (5 << 20);

fn payloads(world: &World) {
    world.payload("tree/large.bin", 40 << 20).expect("a payload");
    for n in 0..3 {
        world.payload(&format!("tree/small-{n}"), 700_000).expect("a payload");
    }
    for n in 0..2 {
        world.payload(&format!("tree/medium-{n}"), 5 << 20).expect("a payload");
    }
}

/// Begins to send and is stopped after so many bytes: politely, or by dropping the future.
async fn stopped_send(world: &World, bytes: u64, politely: bool) {
    let mut acme = world.office("acme").await.expect("an office");
    let cancel = acme.cancel.clone();
    let tripped = Arc::new(Notify::new());
    let trip = tripped.clone();
    acme.progress = Trip::after(bytes, move || match politely {
        true => cancel.cancel(Cancelled::Keep),
        false => trip.notify_one(),
    });
    let paths = [world.from().join("tree")];
    tokio::select! {
        sent = send(world, &acme, &paths) => { sent.expect_err("was stopped"); }
        () = tripped.notified() => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_send_goes_on() {
    let world = World::new(20).await.expect("a world");
    payloads(&world);
    // Rudely only when the large file's upload is known to have begun: one that S3 has opened and
    // whose answer never arrived is nobody's, and left to the lane's lifecycle.
    let stops = [
        (1, true),
        (CONTENT / 3, true),
        (CONTENT / 3, false),
        (CONTENT / 2, false),
        (CONTENT - 100, false),
    ];
    for (bytes, politely) in stops {
        stopped_send(&world, bytes, politely).await;
        let received = receive(&world, &ReceiveOptions::default()).await.expect("looks");
        assert!(received.consignments.is_empty() && received.refused.is_empty(), "{received:?}");
    }
    let acme = world.office("acme").await.expect("an office");
    let sent = send(&world, &acme, &[world.from().join("tree")]).await.expect("is sent");
    assert!(sent.resumed && sent.sequence == 1 && sent.bytes == CONTENT, "{sent:?}");
    let received = receive(&world, &ReceiveOptions::default()).await.expect("is received");
    assert!(received.refused.is_empty(), "{received:?}");
    let path = inbox(&world, "globex").join(sent.id.as_str()).join("tree");
    assert_eq!(tree(&path), tree(&world.from().join("tree")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_nobody_was_told_of_is_told_again_and_not_repeated() {
    let world = World::new(23).await.expect("a world");
    payloads(&world);
    let paths = [world.from().join("tree")];
    let acme = world.office("acme").await.expect("an office");
    let first = send(&world, &acme, &paths).await.expect("is sent");
    let again = send(&world, &acme, &paths).await.expect("was sent");
    assert!(!first.resumed && again.resumed && again.id == first.id, "{again:?}");
    let lane = world.lane(LANE).expect("a lane");
    consign::reported(&acme, &lane, &again).await.expect("is noted");
    consign::reported(&acme, &lane, &again).await.expect("is noted twice");
    let new = send(&world, &acme, &paths).await.expect("is sent anew");
    assert!(!new.resumed && new.id != first.id && new.sequence == 2, "{new:?}");
    let received = receive(&world, &ReceiveOptions::default()).await.expect("is received");
    assert_eq!(received.consignments.len(), 2, "{received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_send_of_other_files_begins_anew() {
    let world = World::new(21).await.expect("a world");
    payloads(&world);
    stopped_send(&world, CONTENT / 2, true).await;
    world.payload("tree/small-0", 800_000).expect("a change");
    let acme = world.office("acme").await.expect("an office");
    let sent = send(&world, &acme, &[world.from().join("tree")]).await.expect("is sent");
    assert!(!sent.resumed && sent.sequence == 1, "{sent:?}");
    assert!(sent.notices.iter().any(|notice| notice.contains("gave up")), "{sent:?}");
    let received = receive(&world, &ReceiveOptions::default()).await.expect("is received");
    assert_eq!(received.consignments.len(), 1, "{received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_send_leaves_nothing_to_resume() {
    let world = World::new(22).await.expect("a world");
    payloads(&world);
    stopped_send(&world, CONTENT / 2, true).await;
    let acme = world.office("acme").await.expect("an office");
    let lane = world.lane(LANE).expect("a lane");
    let listed = consign::list(&acme, Some(&lane)).await.expect("lists");
    assert_eq!(listed.len(), 1, "{listed:?}");
    let id = consign::abandon(&acme, &lane).await.expect("is abandoned");
    assert_eq!(id, Some(listed[0].id.clone()));
    assert_eq!(consign::abandon(&acme, &lane).await.expect("nothing"), None);
    // The world checks that no upload in parts is left.
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_receive_goes_on() {
    let world = World::new(23).await.expect("a world");
    payloads(&world);
    let acme = world.office("acme").await.expect("an office");
    let sent = send(&world, &acme, &[world.from().join("tree")]).await.expect("is sent");
    let into = inbox(&world, "globex");
    for (bytes, politely) in
        [(1, true), (CONTENT / 4, false), (CONTENT / 2, true), (CONTENT - 100, false)]
    {
        let mut globex = world.office("globex").await.expect("an office");
        let (tripped, cancel) = (Arc::new(Notify::new()), globex.cancel.clone());
        let trip = tripped.clone();
        globex.progress = Trip::after(bytes, move || match politely {
            true => cancel.cancel(Cancelled::Keep),
            false => trip.notify_one(),
        });
        let options = ReceiveOptions::default();
        tokio::select! {
            received = receive_as(&world, &globex, &into, &options) => {
                received.expect_err("was stopped");
            }
            () = tripped.notified() => {}
        }
        assert!(visible(&into).is_empty(), "after {bytes} bytes");
    }
    let received = receive(&world, &ReceiveOptions::default()).await.expect("is received");
    assert_eq!(received.consignments.len(), 1, "{received:?}");
    assert_eq!(tree(&into.join(sent.id.as_str())), tree_of_sent(&world));
    assert_eq!(std::fs::read_dir(&into).expect("a folder").count(), 1);
}

fn tree_of_sent(world: &World) -> std::collections::BTreeMap<String, Vec<u8>> {
    let files = tree(&world.from().join("tree"));
    files.into_iter().map(|(name, content)| (format!("tree/{name}"), content)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_damaged_on_disk_meanwhile_is_fetched_again() {
    let world = World::new(24).await.expect("a world");
    payloads(&world);
    let acme = world.office("acme").await.expect("an office");
    let sent = send(&world, &acme, &[world.from().join("tree")]).await.expect("is sent");
    let into = inbox(&world, "globex");
    let mut globex = world.office("globex").await.expect("an office");
    let cancel = globex.cancel.clone();
    globex.progress = Trip::after(CONTENT / 2, move || cancel.cancel(Cancelled::Keep));
    let options = ReceiveOptions::default();
    receive_as(&world, &globex, &into, &options).await.expect_err("was stopped");
    let partial = into.join(format!(".consign-{}.partial/content/tree", sent.id));
    for file in std::fs::read_dir(partial).expect("a folder") {
        let path = file.expect("an entry").path();
        let length = std::fs::metadata(&path).expect("is there").len();
        std::fs::write(&path, vec![0x55; length as usize]).expect("is damaged");
    }
    let received = receive(&world, &options).await.expect("is received");
    assert_eq!(received.consignments.len(), 1, "{received:?}");
    assert_eq!(tree(&into.join(sent.id.as_str())), tree_of_sent(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_is_an_error() {
    let world = World::new(25).await.expect("a world");
    payloads(&world);
    let mut acme = world.office("acme").await.expect("an office");
    let large = world.from().join("tree/large.bin");
    acme.progress = Trip::after(1, move || {
        let file = std::fs::OpenOptions::new().append(true).open(&large).expect("opens");
        file.set_len((40 << 20) + 1).expect("grows");
    });
    let error = send(&world, &acme, &[world.from().join("tree")]).await.expect_err("it changed");
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error:?}");
    let received = receive(&world, &ReceiveOptions::default()).await.expect("looks");
    assert!(received.consignments.is_empty() && received.refused.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sends_on_one_lane_do_not_meet() {
    let world = World::new(26).await.expect("a world");
    payloads(&world);
    let (one, two) = ([world.from().join("tree")], [world.from().join("tree/small-0")]);
    let first = world.office("acme").await.expect("an office");
    let second = world.office("acme").await.expect("an office");
    let lane = world.lane(LANE).expect("a lane");
    let options = SendOptions::default();
    let (a, b) = tokio::join!(
        consign::send(&first, &lane, &one, &options),
        consign::send(&second, &lane, &two, &options),
    );
    // The second waits a moment for the first, and gives up if that is not enough.
    let mut sequences = Vec::new();
    for sent in [a, b] {
        match sent {
            Ok(sent) => sequences.push(sent.sequence),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}"),
        }
    }
    sequences.sort_unstable();
    assert!(sequences == [1] || sequences == [1, 2], "{sequences:?}");
    let received = receive(&world, &ReceiveOptions::default()).await.expect("is received");
    assert!(received.refused.is_empty(), "{received:?}");
    assert_eq!(received.consignments.len(), sequences.len());
}
