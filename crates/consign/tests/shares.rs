//! Lanes laid out as shares of s3s2: what is sent is read by consign and by s3s2 alike, and what s3s2
//! wrote is received as what it is.

use crate::common::{LANE, Trip, inbox, receive_as, send, tree, visible};
use consign::{ErrorKind, ListedAs, Office, ReceiveOptions, SendOptions};
use consign_cloud::s3::{Body, GetObject, ListRequest, PutObject};
use consign_s3s2::{Collect, Share, Store, Survey, Wildcards};
use consign_seal::s3s2::{PublicKey, SecretKey};
use consign_testkit::{World, require};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// Keys that s3s2's own libraries made: one packet each.
const PRIVATE: &[u8] = include_bytes!("../../consign-seal/tests/s3s2/go.privkey");
const PUBLIC: &[u8] = include_bytes!("../../consign-seal/tests/s3s2/go.pubkey");

/// A world whose first lane is laid out so, from acme to globex, who has s3s2's keys.
struct Shares {
    world: World,
}

impl Shares {
    async fn new(seed: u64, fields: &str) -> Shares {
        let world = World::with(seed, |text| edited(&text, fields)).await;
        Shares { world: world.unwrap() }
    }

    async fn office(&self, party: &str) -> Office {
        let mut office = self.world.office(party).await.unwrap();
        let keys = Arc::get_mut(&mut office.keys).unwrap();
        keys.s3s2_public = vec![public()];
        if party == "globex" {
            keys.s3s2_secret = Arc::new(SecretKey::parse(PRIVATE).unwrap());
        }
        office
    }

    fn bucket(&self) -> String {
        self.world.exchange.lanes[&self.world.lane(LANE).unwrap()].bucket.to_string()
    }

    fn payloads(&self) {
        self.world.payload("tree/index.csv", 10_000).unwrap();
        self.world.payload("tree/large.bin", (20 << 20) + 3).unwrap();
        self.world.payload("tree/sub/ä name.txt", (1 << 20) + 1).unwrap();
        self.world.payload("tree/sub/empty", 0).unwrap();
    }

    async fn keys(&self, office: &Office) -> Vec<String> {
        let (bucket, prefix) = (self.bucket(), "ACME/".to_owned());
        let list = ListRequest { bucket, prefix, ..ListRequest::default() };
        let listed = office.cloud.s3().list_objects(&list).await.unwrap();
        listed.entries.into_iter().map(|entry| entry.key).collect()
    }

    fn store(&self, office: &Office) -> Store {
        Store {
            s3: office.cloud.s3().clone(),
            engine: office.engine.clone(),
            bucket: self.bucket(),
            owner: None,
            kms_key: None,
            cancel: consign_transfer::Cancel::new(),
            progress: Arc::new(consign_transfer::Silent),
        }
    }

    /// Shares the tree with the program that is not for lanes, as s3s2 would.
    async fn share(&self, trigger: bool, now: i64) -> String {
        let office = self.office("acme").await;
        let options = Share {
            organization: "acme".to_owned(),
            prefix: "clinical".to_owned(),
            key: public(),
            parallelism: 2,
            batch_files: 100,
            trigger,
            scratch: self.world.state("acme"),
            now,
        };
        let survey = Survey::of_folder(&self.world.from().join("tree"), &[]).unwrap();
        let store = self.store(&office);
        let shared = consign_s3s2::share(&store, &options, &survey, |_| {});
        let shared = shared.await.unwrap();
        shared.told().unwrap();
        shared.batches[0].place.folder.clone()
    }

    async fn put(&self, office: &Office, key: &str, content: Vec<u8>) {
        let put = PutObject {
            bucket: self.bucket(),
            key: key.to_owned(),
            body: Body::from(content),
            ..PutObject::default()
        };
        office.cloud.s3().put_object(put).await.unwrap();
    }
}

fn public() -> PublicKey {
    PublicKey::parse(PUBLIC, 1_800_000_000).unwrap()
}

fn edited(text: &str, fields: &str) -> String {
    let pinned = format!("recipients = [\"openpgp:{}\", ", public().fingerprint());
    text.replace("recipients = [", &pinned).replacen(
        "\nto = [",
        &format!("\nlayout = \"s3s2\"\n{fields}\nto = ["),
        1,
    )
}

/// As acme's exchange file has it where acme stays with s3s2.
fn without_signers(text: &str) -> String {
    let line = |line: &str| match line.starts_with("signers") {
        true => "signers = []".to_owned(),
        false => line.to_owned(),
    };
    let (acme, rest) = text.split_at(text.find("[party.globex]").unwrap());
    let acme: Vec<String> = acme.lines().map(line).collect();
    format!("{}\n{rest}", acme.join("\n"))
}

async fn check_round_trip(shares: &Shares) {
    let world = &shares.world;
    shares.payloads();
    let (acme, globex) = (shares.office("acme").await, shares.office("globex").await);
    let lane = world.lane(LANE).unwrap();
    let options = SendOptions { metadata_files: vec!["index.csv".to_owned()] };
    let paths = [world.from().join("tree")];
    let sent = consign::send(&acme, &lane, &paths, &options).await.unwrap();
    let id = &sent.id;
    let keys: BTreeSet<String> = shares.keys(&globex).await.into_iter().collect();
    let names = [
        "tree/index.csv.zip.gpg",
        "tree/large.bin.zip.gpg",
        "tree/sub/ä name.txt.zip.gpg",
        "tree/sub/empty.zip.gpg",
        "manifest.json.gpg",
        "manifest.json.sig.gpg",
        "s3s2_manifest.json",
        "._lambda_trigger",
    ];
    let expected: BTreeSet<String> = names.iter().map(|name| format!("ACME/{id}/{name}")).collect();
    assert_eq!(keys, expected);

    // As s3s2 reads it: by its manifest, metadata files first.
    let manifest = format!("ACME/{id}/s3s2_manifest.json");
    let object = GetObject { bucket: shares.bucket(), key: manifest, ..GetObject::default() };
    let (text, _) = globex.cloud.s3().get_object_bytes(&object, 1 << 20).await.unwrap();
    let parsed = consign_s3s2::Manifest::parse(&text).unwrap();
    assert_eq!((&*parsed.place.organization, &*parsed.place.folder), ("ACME", id.as_str()));
    assert_eq!(parsed.files()[0].name.as_str(), "tree/index.csv");
    let collect = Collect {
        file: format!("{id}/s3s2_manifest.json"),
        organization: Some("acme".to_owned()),
        into: inbox(world, "globex").join("as-s3s2"),
        own_folder: None,
        keys: Arc::new(SecretKey::parse(PRIVATE).unwrap()),
        filter: Wildcards::parse(""),
        parallelism: 2,
        expansion_max: consign_s3s2::EXPANSION_MAX,
        trigger_required: true,
    };
    let collected = consign_s3s2::collect(&shares.store(&globex), &collect).await.unwrap();
    assert_eq!(tree(&collected.folder.join("tree")), tree(&world.from().join("tree")));

    // As consign reads it: signed, chained, each file compared.
    let listed = consign::list(&globex, Some(&lane)).await.unwrap();
    assert_eq!((listed.len(), listed[0].objects, listed[0].standing), (1, 4, ListedAs::Waiting));
    assert!(listed[0].share.is_none());
    consign::show(&globex, &lane, id).await.unwrap();
    consign::verify(&globex, &lane, id).await.unwrap();
    let into = inbox(world, "globex").join("received");
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    assert!(received.refused.is_empty() && received.shares.is_empty(), "{received:?}");
    assert_eq!(tree(&into.join(id.as_str()).join("tree")), tree(&world.from().join("tree")));
    let again = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    assert!(again.consignments.is_empty() && again.shares.is_empty(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_of_shares_is_read_by_both() {
    check_round_trip(&Shares::new(120, "").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_of_shares_works_on_seaweed() {
    let weed = require!("weed");
    let world = World::on_seaweed_with(121, &weed, |text| edited(&text, "")).await.unwrap();
    check_round_trip(&Shares { world }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_stops_nothing_half_is_to_be_seen() {
    let shares = Shares::new(122, "").await;
    shares.payloads();
    let world = &shares.world;
    let lane = world.lane(LANE).unwrap();
    let paths = [world.from().join("tree")];
    let options = SendOptions { metadata_files: vec!["index.csv".to_owned()] };
    let (globex, into) = (shares.office("globex").await, inbox(world, "globex"));
    for bytes in [1, 9_999, 10_001, 1 << 20, 9 << 20, 20 << 20, 21 << 20] {
        let mut acme = shares.office("acme").await;
        let tripped = Arc::new(Notify::new());
        let trip = tripped.clone();
        acme.progress = Trip::after(bytes, move || trip.notify_one());
        tokio::select! {
            _ = consign::send(&acme, &lane, &paths, &options) => {}
            () = tripped.notified() => {}
        }
        let keys = shares.keys(&globex).await;
        let has = |name: &str| keys.iter().any(|key| key.ends_with(name));
        let files = keys.iter().filter(|key| key.ends_with(".zip.gpg")).count();
        assert!(files < 2 || has("index.csv.zip.gpg"), "metadata files first: {keys:?}");
        assert!(!has("manifest.json.gpg") || files == 4, "our manifest after the files: {keys:?}");
        assert!(!has("s3s2_manifest.json") || has("/manifest.json.gpg"), "{keys:?}");
        assert!(
            !has("._lambda_trigger") || has("s3s2_manifest.json"),
            "the trigger last: {keys:?}"
        );
        if !has("/manifest.json.gpg") {
            let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await;
            let received = received.unwrap();
            assert!(received.consignments.is_empty() && received.refused.is_empty());
        }
    }
    let acme = shares.office("acme").await;
    let sent = consign::send(&acme, &lane, &paths, &options).await.unwrap();
    assert!(sent.resumed, "{sent:?}");
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    assert_eq!(received.consignments.len(), 1);
    assert_eq!(tree(&into.join(sent.id.as_str()).join("tree")), tree(&world.from().join("tree")));
    assert!(shares.keys(&globex).await.iter().any(|key| key.ends_with("._lambda_trigger")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_signed_is_refused_where_the_sender_could_sign() {
    let shares = Shares::new(123, "").await;
    shares.payloads();
    let (world, lane) = (&shares.world, shares.world.lane(LANE).unwrap());
    let (acme, globex) = (shares.office("acme").await, shares.office("globex").await);
    let share = shares.share(true, 1_769_860_800).await;
    let sent = send(world, &acme, &[world.from().join("tree")]).await.unwrap();
    let into = inbox(world, "globex");
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    let [refused] = received.refused.as_slice() else { panic!("{received:?}") };
    assert_eq!(refused.error.kind(), ErrorKind::Signature);
    assert_eq!(visible(&into), [sent.id.as_str()], "the signed one is not kept back");

    let listed = consign::list(&globex, Some(&lane)).await.unwrap();
    let one = listed.iter().find(|one| one.share.as_ref() == Some(&share)).unwrap();
    assert_eq!((one.standing, one.objects), (ListedAs::Waiting, 4));
    assert_eq!(one.created.to_string(), "2026-01-31T12:00:00Z");
    let error = consign::verify(&globex, &lane, &one.id).await.unwrap_err();
    assert!(error.to_string().contains("nobody has signed it"), "{error}");
    let error = consign::show(&globex, &lane, &one.id).await.unwrap_err();
    assert!(error.to_string().contains("nobody has signed it"), "{error}");

    let accept = ReceiveOptions { accept_unsigned: true, ..ReceiveOptions::default() };
    let received = receive_as(world, &globex, &into, &accept).await.unwrap();
    let [arrived] = received.shares.as_slice() else { panic!("{received:?}") };
    assert_eq!((&arrived.share, &arrived.id, arrived.files), (&share, &one.id, 4));
    assert_eq!(tree(&arrived.path), tree(&world.from().join("tree")));
    let again = receive_as(world, &globex, &into, &accept).await.unwrap();
    assert!(again.shares.is_empty() && again.refused.is_empty(), "once: {again:?}");
    let listed = consign::list(&globex, Some(&lane)).await.unwrap();
    assert!(listed.iter().all(|one| one.standing == ListedAs::Received), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consignment_without_its_signature_is_no_share() {
    let shares = Shares::new(124, "at_rest = \"sse-s3\"").await;
    shares.payloads();
    let world = &shares.world;
    let acme = shares.office("acme").await;
    let sent = send(world, &acme, &[world.from().join("tree")]).await.unwrap();
    let admin = world.administrator("111111111111").await.unwrap();
    admin.s3().delete_bucket_policy(&shares.bucket()).await.unwrap();
    let mut globex = shares.office("globex").await;
    globex.cloud = admin.clone();
    let into = inbox(world, "globex");

    // Copied into a folder that looks like s3s2's, with a manifest that says so.
    for key in shares.keys(&globex).await {
        let object =
            GetObject { bucket: shares.bucket(), key: key.clone(), ..GetObject::default() };
        let (bytes, _) = admin.s3().get_object_bytes(&object, 64 << 20).await.unwrap();
        let id = sent.id.as_str();
        let bytes = match key.ends_with("s3s2_manifest.json") {
            true => String::from_utf8(bytes.to_vec()).unwrap().replace(id, "copied").into(),
            false => bytes.to_vec(),
        };
        shares.put(&globex, &key.replace(id, "copied"), bytes).await;
    }
    // And the first loses its manifest: it becomes invisible, not a share.
    let key = format!("ACME/{}/manifest.json.gpg", sent.id);
    admin.s3().delete_object(&shares.bucket(), &key, None).await.unwrap();
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    let [refused] = received.refused.as_slice() else { panic!("{received:?}") };
    assert_eq!(refused.error.kind(), ErrorKind::Signature);
    assert!(visible(&into).is_empty(), "{:?}", visible(&into));
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_of_a_sender_without_signers_are_received_as_what_they_are() {
    let world = World::with(125, |text| without_signers(&edited(&text, ""))).await.unwrap();
    let shares = Shares { world };
    shares.payloads();
    let world = &shares.world;
    let globex = shares.office("globex").await;
    let (good, early) =
        (shares.share(true, 1_769_860_800).await, shares.share(false, 1_769_860_801).await);
    let acme = shares.office("acme").await;
    // (folder, its manifest): none of them may be written anywhere.
    let file = |name: &str| format!(r#"{{"Name": "{name}"}}"#);
    let hostile = [
        ("climbs", file("../../../climbed")),
        ("absent", file("not-there")),
        ("twice", format!("{}, {}", file("a"), file("A"))),
    ];
    for (folder, files) in &hostile {
        let text =
            format!(r#"{{"Organization": "acme", "Folder": "{folder}", "Files": [{files}]}}"#);
        shares.put(&acme, &format!("ACME/{folder}/s3s2_manifest.json"), text.into()).await;
        shares.put(&acme, &format!("ACME/{folder}/._lambda_trigger"), Vec::new()).await;
    }
    let moved = r#"{"Organization": "acme", "Folder": "elsewhere", "Files": [{"Name": "x"}]}"#;
    shares.put(&acme, "ACME/moved/s3s2_manifest.json", moved.into()).await;
    shares.put(&acme, "ACME/moved/._lambda_trigger", Vec::new()).await;

    let into = inbox(world, "globex");
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    let [arrived] = received.shares.as_slice() else { panic!("{received:?}") };
    assert_eq!(arrived.share, good);
    assert_eq!(tree(&arrived.path), tree(&world.from().join("tree")));
    assert!(received.notices.iter().any(|notice| notice.contains(&early)), "{received:?}");
    assert_eq!(received.refused.len(), hostile.len() + 1, "{received:?}");
    assert_eq!(visible(&into), [arrived.id.as_str()]);
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1, "nothing hidden is left");

    // Its trigger arrives: now it is complete.
    shares.put(&acme, &format!("ACME/{early}/._lambda_trigger"), Vec::new()).await;
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    assert_eq!(received.shares.len(), 1, "{received:?}");
    assert_eq!(received.shares[0].share, early);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_was_interrupted_is_received_by_the_next_run() {
    let world = World::with(126, |text| without_signers(&edited(&text, ""))).await.unwrap();
    let shares = Shares { world };
    shares.payloads();
    let world = &shares.world;
    shares.share(true, 1_769_860_800).await;
    let (globex, into) = (shares.office("globex").await, inbox(world, "globex"));
    let lane = world.lane(LANE).unwrap();
    let listed = consign::list(&globex, Some(&lane)).await.unwrap();
    let id = listed[0].id.to_string();
    // As a killed run leaves it, and as one that died between the rename and its note.
    let partial = into.join(format!(".consign-{id}.partial/content"));
    std::fs::create_dir_all(&partial).unwrap();
    std::fs::write(partial.join("junk"), "junk").unwrap();
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    assert_eq!(received.shares.len(), 1, "{received:?}");
    let records = world.state("globex").join("acme-globex/to-client/received/shares.jsonl");
    std::fs::remove_file(&records).unwrap();
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    assert_eq!(received.shares.len(), 1, "{received:?}");
    assert_eq!(tree(&into.join(&id)), tree(&world.from().join("tree")));
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1, "nothing hidden is left");
    // As a run leaves it that was killed after its last word.
    std::fs::create_dir_all(into.join(format!(".consign-{id}.partial"))).unwrap();
    receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1, "nothing hidden is left");
    // Something else under its name is never replaced.
    std::fs::remove_file(&records).unwrap();
    std::fs::write(into.join(&id).join("index.csv"), "changed").unwrap();
    let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await.unwrap();
    assert_eq!(received.refused[0].error.kind(), ErrorKind::Destination, "{received:?}");
    assert_eq!(std::fs::read(into.join(&id).join("index.csv")).unwrap(), b"changed");
}
