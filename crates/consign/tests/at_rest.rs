//! How a lane's objects lie in S3: under which keys, by which requests, and who needs what for it.

use crate::common::{LANE, Trip, inbox, receive, receive_as, send, tree};
use consign::{ErrorKind, Office, ReceiveOptions, SendOptions, Sent};
use consign_cloud::s3::{CustomerKey, Encryption, GetObject, Head, ListRequest, PutObject};
use consign_seal::shared_secret::SharedSecret;
use consign_testkit::World;
use std::sync::Arc;
use tokio::sync::Notify;

fn payloads(world: &World) {
    world.payload("tree/large.bin", 25 << 20).expect("a payload");
    world.payload("tree/one-part.bin", (1 << 20) + 1).expect("a payload");
    for n in 0..5 {
        world.payload(&format!("tree/small-{n}"), 10 * 1024 + n).expect("a payload");
    }
}

/// The lanes of the world, with these fields.
async fn world(seed: u64, fields: &str) -> World {
    let fields = fields.to_owned();
    World::with(seed, move |text| text.replace("to = [", &format!("{fields}\nto = [")))
        .await
        .expect("a world")
}

async fn round_trip(world: &World) -> Sent {
    payloads(world);
    let acme = world.office("acme").await.expect("an office");
    let sent = send(world, &acme, &[world.from().join("tree")]).await.expect("is sent");
    let received = receive(world, &ReceiveOptions::default()).await.expect("is received");
    assert!(received.refused.is_empty(), "{:?}", received.refused);
    assert_eq!(received.consignments.len(), 1, "{received:?}");
    let path = inbox(world, "globex").join(sent.id.as_str()).join("tree");
    assert_eq!(tree(&path), tree(&world.from().join("tree")));
    let globex = world.office("globex").await.expect("an office");
    let lane = world.lane(LANE).expect("a lane");
    consign::verify(&globex, &lane, &sent.id).await.expect("verifies");
    consign::show(&globex, &lane, &sent.id).await.expect("shows");
    sent
}

/// The keys of all objects on the lane.
async fn keys(world: &World, globex: &Office) -> Vec<String> {
    let bucket = world.exchange.lanes[&world.lane(LANE).expect("a lane")].bucket.to_string();
    let request = ListRequest { bucket, ..ListRequest::default() };
    let page = globex.cloud.s3().list_objects(&request).await.expect("lists");
    page.entries.into_iter().map(|entry| entry.key).collect()
}

fn object(world: &World, key: &str) -> GetObject {
    let bucket = world.exchange.lanes[&world.lane(LANE).expect("a lane")].bucket.to_string();
    GetObject { bucket, key: key.to_owned(), ..GetObject::default() }
}

async fn head(world: &World, office: &Office, key: &str) -> Head {
    office.cloud.s3().head_object(&object(world, key)).await.expect("is there")
}

async fn first_byte(
    world: &World,
    office: &Office,
    key: &str,
    customer_key: Option<CustomerKey>,
) -> Result<(), consign_cloud::Error> {
    let object = GetObject { customer_key, ..object(world, key) };
    office.cloud.s3().get_range(&object, 0..1, &mut [0]).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_encrypts_as_the_lane_says() {
    for (seed, mode, said) in
        [(60, "sse-kms", "aws:kms"), (61, "dsse-kms", "aws:kms:dsse"), (62, "sse-s3", "AES256")]
    {
        let world = world(seed, &format!("at_rest = \"{mode}\"")).await;
        round_trip(&world).await;
        let globex = world.office("globex").await.expect("an office");
        let keys = keys(&world, &globex).await;
        assert_eq!(keys.len(), 5, "{keys:?}");
        for key in keys {
            let head = head(&world, &globex, &key).await;
            assert_eq!(head.encryption.as_deref(), Some(said), "{mode}: {key}");
            assert_eq!(head.kms_key.is_some(), mode != "sse-s3", "{mode}: {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_without_the_right_to_decrypt_sends_by_single_requests() {
    let world = world(63, "writer = \"encrypt-only\"").await;
    round_trip(&world).await;
    let globex = world.office("globex").await.expect("an office");
    for key in keys(&world, &globex).await {
        let head = head(&world, &globex, &key).await;
        let etag = head.etag.expect("an entity tag");
        assert!(!etag.contains('-'), "{key} was sent in parts: {etag}");
    }
    // What no single request holds is refused by name, before anything is sent or even read.
    let huge = std::fs::File::create(world.from().join("huge.bin")).expect("a file");
    huge.set_len((5 << 30) - (1 << 20)).expect("sparse");
    let acme = world.office("acme").await.expect("an office");
    let lane = world.lane(LANE).expect("a lane");
    let paths = [world.from().join("huge.bin")];
    let preview = consign::preview(&acme, &lane, &paths).await.expect_err("is too large");
    assert_eq!(preview.kind(), ErrorKind::Source);
    let error = send(&world, &acme, &paths).await.expect_err("is too large");
    assert!(error.to_string().contains("`huge.bin`"), "{error}");
    std::fs::remove_file(world.from().join("huge.bin")).expect("is removed");
}

async fn check_customer_keys(world: &World) {
    let sent = round_trip(world).await;
    let globex = world.office("globex").await.expect("an office");
    let lane = world.lane(LANE).expect("a lane");
    let shown = consign::show(&globex, &lane, &sent.id).await.expect("shows").manifest;
    let secret = &globex.keys.lane_secrets[&lane][0];
    for object in &shown.objects {
        let origin = object.customer_key.as_ref().expect("its key follows from the secret");
        assert_eq!(
            (origin.derivation.as_str(), origin.secret.as_str()),
            ("consign-sse-c/1", secret.id())
        );
    }
    let mut all = keys(world, &globex).await;
    all.sort();
    let mut derived = Vec::new();
    for key in &all {
        let error = first_byte(world, &globex, key, None).await.expect_err("needs a key");
        assert_eq!(error.http_status(), Some(400), "{key}: {error:?}");
        let wrong = first_byte(world, &globex, key, Some(CustomerKey::new([7; 32]))).await;
        wrong.expect_err("another key");
        let info = format!("acme-globex/{LANE}/{key}");
        let right = *secret.derive("consign-sse-c/1", &info).expect("a key");
        let right_key = Some(CustomerKey::new(right));
        first_byte(world, &globex, key, right_key).await.expect("its key");
        derived.push(right);
    }
    derived.sort_unstable();
    derived.dedup();
    assert_eq!(derived.len(), all.len(), "no two objects share a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_lie_under_keys_of_the_parties() {
    let world = world(64, "at_rest = \"sse-c\"").await;
    check_customer_keys(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_lie_under_keys_of_the_parties_on_seaweedfs_too() {
    let weed = consign_testkit::require!("weed");
    let world = World::on_seaweed_with(65, &weed, |text| {
        text.replace("to = [", "at_rest = \"sse-c\"\nto = [")
    });
    check_customer_keys(&world.await.expect("a world")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_takes_keys_of_its_parties_only_if_it_says_so() {
    for (seed, fields, allowed) in
        [(66, "", false), (67, "at_rest = \"sse-s3\"", false), (68, "at_rest = \"sse-c\"", true)]
    {
        let world = world(seed, fields).await;
        let acme = world.office("acme").await.expect("an office");
        let lane = world.lane(LANE).expect("a lane");
        let put = PutObject {
            bucket: world.exchange.lanes[&lane].bucket.to_string(),
            key: "by-hand".to_owned(),
            encryption: Some(Encryption::SseC(CustomerKey::new([9; 32]))),
            ..PutObject::default()
        };
        let done = acme.cloud.s3().put_object(put).await;
        assert_eq!(done.is_ok(), allowed, "{fields}: {done:?}");
        let without = PutObject {
            bucket: world.exchange.lanes[&lane].bucket.to_string(),
            key: "by-hand-2".to_owned(),
            ..PutObject::default()
        };
        let done = acme.cloud.s3().put_object(without).await;
        assert_eq!(done.is_ok(), !allowed, "{fields}: {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lacks_the_lanes_secret_is_told_so() {
    let world = world(69, "at_rest = \"sse-c\"").await;
    payloads(&world);
    let lane = world.lane(LANE).expect("a lane");
    let mut acme = world.office("acme").await.expect("an office");
    let right = acme.keys.lane_secrets.clone();
    acme.keys = Arc::new(consign::Keys {
        signer: Some(consign_seal::sshsig::SigningKey::generate().expect("a key")),
        ..consign::Keys::default()
    });
    let options = SendOptions::default();
    let paths = [world.from().join("tree")];
    let error = consign::send(&acme, &lane, &paths, &options).await.expect_err("no secret");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.hint().expect("a hint").contains("consign keys lane-secret to-client"));

    let acme = world.office("acme").await.expect("an office");
    send(&world, &acme, &paths).await.expect("is sent");
    // Another secret opens nothing; the old one still does after a new one was made.
    let other = SharedSecret::generate().expect("a secret");
    let with = |secrets: Vec<SharedSecret>| {
        let world = &world;
        async move {
            let mut globex = world.office("globex").await.expect("an office");
            let keys = Arc::get_mut(&mut globex.keys).expect("ours alone");
            keys.lane_secrets.insert(world.lane(LANE).expect("a lane"), secrets);
            receive_as(world, &globex, &inbox(world, "globex"), &ReceiveOptions::default()).await
        }
    };
    let received = with(vec![other.clone()]).await.expect("looks");
    let [refused] = received.refused.as_slice() else { panic!("opened: {received:?}") };
    assert_eq!(refused.error.kind(), ErrorKind::Denied);
    assert!(refused.error.to_string().contains("none of the lane's keys"), "{received:?}");
    let old = right[&lane][0].clone();
    let received = with(vec![other, old]).await.expect("is received");
    assert_eq!(received.consignments.len(), 1, "{received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_send_under_keys_of_the_parties_goes_on() {
    let world = world(70, "at_rest = \"sse-c\"").await;
    payloads(&world);
    let paths = [world.from().join("tree")];
    for bytes in [12 << 20, 20 << 20] {
        let mut acme = world.office("acme").await.expect("an office");
        let tripped = Arc::new(Notify::new());
        let trip = tripped.clone();
        acme.progress = Trip::after(bytes, move || trip.notify_one());
        tokio::select! {
            sent = send(&world, &acme, &paths) => { sent.expect_err("was stopped"); }
            () = tripped.notified() => {}
        }
    }
    let acme = world.office("acme").await.expect("an office");
    let sent = send(&world, &acme, &paths).await.expect("is sent");
    assert!(sent.resumed, "{sent:?}");
    let received = receive(&world, &ReceiveOptions::default()).await.expect("is received");
    assert_eq!(received.consignments.len(), 1, "{received:?}");
}
