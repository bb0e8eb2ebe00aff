//! Adding and removing readers of what lies on a lane: whom it opens for then, how little of it is
//! downloaded, and what is left when it is stopped at any request.

use consign::{
    ErrorKind, Keys, Office, ReceiveOptions, RewrapOptions, Rewrapped, SendOptions, Sent,
};
use consign_cloud::Cloud;
use consign_cloud::s3::{GetObject, ListRequest};
use consign_model::{ConsignmentId, Exchange, PartyName};
use consign_seal::age::Identity;
use consign_seal::sshsig::SigningKey;
use consign_testkit::{World, judges};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LARGE_BYTES: usize = (21 << 20) + 7;

/// A party that comes later, to a lane that lies so at rest.
struct Newcomer {
    identity: String,
    at_rest: &'static str,
}

impl Newcomer {
    fn new() -> Newcomer {
        let identity = Identity::generate().unwrap().secret_text().to_string();
        Newcomer { identity, at_rest: "sse-s3" }
    }

    /// The exchange file with the newcomer in it and whoever is named as receivers; sealed to the
    /// sender.
    fn joins(&self, text: &str, to: &str) -> String {
        let recipient = Identity::parse(&self.identity).unwrap().to_recipient();
        let signer = SigningKey::generate().unwrap().public_line("");
        let text = text
            .replace("to = [\"globex\"]", &format!("seal_to_sender = true\nto = [{to}]"))
            .replace("\nowner", &format!("\nat_rest = \"{}\"\nowner", self.at_rest));
        format!(
            "{text}\n[party.initech]\naccount = \"333333333333\"\n\
             principal = \"user/consign/initech\"\nrecipients = [\"{recipient}\"]\n\
             signers = [\"{}\"]\n",
            signer.trim()
        )
    }
}

/// Lets the administrator do everything: how a lane is closed meanwhile is the command's to test.
async fn open_to_administrator(world: &World) -> Cloud {
    let admin = world.administrator("111111111111").await.unwrap();
    if world.store().local().is_some() {
        admin.s3().delete_bucket_policy(&bucket(world)).await.unwrap();
    }
    admin
}

fn bucket(world: &World) -> String {
    world.exchange.lanes[&world.lane("to-client").unwrap()].bucket.to_string()
}

/// A party at work with an exchange file that names these receivers.
async fn office(world: &World, cloud: &Cloud, party: &str, to: &str, of: &Newcomer) -> Office {
    let known = if party == "initech" { "globex" } else { party };
    let mut office = world.office(known).await.unwrap();
    let file = world.from().parent().unwrap().join("exchange.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with("to = [") && line.contains("globex"));
    let text = text.replace(line.unwrap(), &format!("to = [{to}]"));
    let today = consign_model::Date::from_unix_ms(world.clock.now_ms());
    office.exchange = Arc::new(Exchange::parse(&text, "exchange.toml", today).unwrap());
    office.cloud = cloud.clone();
    if party == "initech" {
        office.me = PartyName::parse("initech").unwrap();
        office.state = world.state("initech");
        std::fs::create_dir_all(&office.state).unwrap();
        let identities = vec![Identity::parse(&of.identity).unwrap()];
        let lane_secrets = office.keys.lane_secrets.clone();
        office.keys = Arc::new(Keys { identities, lane_secrets, ..Keys::default() });
    }
    office
}

const GLOBEX: &str = "\"globex\"";
const BOTH: &str = "\"globex\", \"initech\"";
const INITECH: &str = "\"initech\"";

async fn send(world: &World, office: &Office, what: &str) -> Sent {
    let lane = world.lane("to-client").unwrap();
    let from = [world.from().join(what)];
    let sent = consign::send(office, &lane, &from, &SendOptions::default()).await.unwrap();
    consign::reported(office, &lane, &sent).await.unwrap();
    sent
}

async fn rewrap(world: &World, office: &Office, options: &RewrapOptions) -> Rewrapped {
    let lane = world.lane("to-client").unwrap();
    let done = consign::rewrap(office, &lane, options).await.unwrap();
    for refused in &done.refused {
        world.saw_error(&refused.error);
    }
    done
}

/// Receives, and compares what came of the consignment with what was sent.
async fn receives(world: &World, office: &Office, id: &ConsignmentId, what: &str) {
    let (lane, into) = (world.lane("to-client").unwrap(), world.inbox(office.me.as_ref()));
    let received = consign::receive(office, &lane, &into, &ReceiveOptions::default()).await;
    let received = received.unwrap();
    assert!(received.refused.is_empty(), "{received:?}");
    let folder = into.join(id.as_str()).join(what);
    for entry in std::fs::read_dir(world.from().join(what)).unwrap() {
        let path = entry.unwrap().path();
        let found = std::fs::read(folder.join(path.file_name().unwrap())).unwrap();
        assert!(found == std::fs::read(&path).unwrap(), "{}", path.display());
    }
}

/// Keys of everything that lies in a consignment's folder, old versions too.
async fn versions(world: &World, cloud: &Cloud, id: &ConsignmentId) -> Vec<(String, bool)> {
    let page =
        cloud.s3().list_versions(&bucket(world), &format!("{id}/"), None, None).await.unwrap();
    let mut found: Vec<_> =
        page.entries.into_iter().map(|entry| (entry.key, entry.latest)).collect();
    found.sort();
    found
}

fn payloads(world: &World) {
    world.payload("tree/large.bin", LARGE_BYTES).unwrap();
    world.payload("tree/medium.bin", 3 << 20).unwrap();
    world.payload("tree/small.txt", 5_000).unwrap();
    world.payload("next/note.txt", 300).unwrap();
}

fn names(parties: &[PartyName]) -> Vec<&str> {
    parties.iter().map(AsRef::as_ref).collect()
}

/// A reader is added, then another removed; each reads what is his, and nothing of the older versions
/// is left.
async fn check_readers(world: &World, initech: &Newcomer) {
    payloads(world);
    let cloud = open_to_administrator(world).await;
    let acme = office(world, &cloud, "acme", GLOBEX, initech).await;
    let sent = send(world, &acme, "tree").await;
    let lane = world.lane("to-client").unwrap();

    // Whoever is added stands in the file first.
    let add = RewrapOptions {
        add: vec![PartyName::parse("initech").unwrap()],
        ..RewrapOptions::default()
    };
    let refused = consign::rewrap(&acme, &lane, &add).await.unwrap_err();
    assert!(refused.hint().unwrap().contains("add `initech` to `to`"), "{refused:?}");

    let acme = office(world, &cloud, "acme", BOTH, initech).await;
    let foreseen = consign::preview_rewrap(&acme, &lane, &add).await.unwrap();
    assert_eq!(names(&foreseen.revised[0].added), ["initech"]);
    let done = rewrap(world, &acme, &add).await;
    assert_eq!(done.revised.len(), 1, "{done:?}");
    let revised = &done.revised[0];
    assert_eq!((names(&revised.added), names(&revised.removed)), (vec!["initech"], vec![]));
    assert!(revised.older_removed && revised.revision == 1, "{revised:?}");
    let again = rewrap(world, &acme, &RewrapOptions::default()).await;
    assert_eq!((again.revised.len(), again.right), (0, 1), "{again:?}");
    let found = versions(world, &cloud, &sent.id).await;
    assert_eq!(found.len(), 5, "{found:?}");
    let first = format!("{}/r1/", sent.id);
    assert!(found.iter().all(|(key, latest)| *latest && key.starts_with(&first)), "{found:?}");
    let reader = office(world, &cloud, "initech", BOTH, initech).await;
    receives(world, &reader, &sent.id, "tree").await;

    // Who received before and after it sees one chain.
    let next = send(world, &acme, "next").await;
    receives(world, &reader, &next.id, "next").await;
    let globex = office(world, &cloud, "globex", BOTH, initech).await;
    receives(world, &globex, &sent.id, "tree").await;

    let remove = RewrapOptions {
        only: vec![sent.id.clone()],
        remove: vec![PartyName::parse("globex").unwrap()],
        ..RewrapOptions::default()
    };
    let refused = consign::rewrap(&acme, &lane, &remove).await.unwrap_err();
    assert!(refused.hint().unwrap().contains("remove `globex` from `to`"), "{refused:?}");
    let acme = office(world, &cloud, "acme", INITECH, initech).await;
    let done = rewrap(world, &acme, &remove).await;
    assert_eq!(names(&done.revised[0].removed), ["globex"]);
    assert_eq!(done.revised[0].revision, 2);
    let found = versions(world, &cloud, &sent.id).await;
    let second = format!("{}/r2/", sent.id);
    assert!(found.iter().all(|(key, latest)| *latest && key.starts_with(&second)), "{found:?}");
    let refused = consign::verify(&globex, &lane, &sent.id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotForUs, "{refused:?}");
    consign::verify(&reader, &lane, &sent.id).await.unwrap();
    let shown = consign::show(&acme, &lane, &sent.id).await.unwrap();
    assert_eq!(shown.manifest.revision_number(), 2);
    // The second one has not been touched: only one was asked for.
    consign::verify(&globex, &lane, &next.id).await.unwrap();
    let listed = consign::list(&reader, Some(&lane)).await.unwrap();
    assert_eq!((listed.len(), listed[0].objects), (2, 3), "{listed:?}");
    if initech.at_rest == "sse-s3" {
        judged(world, &cloud, &sent.id, initech).await;
    }
}

/// Stock `age` opens the large object with the added key, and not with the removed one.
async fn judged(world: &World, cloud: &Cloud, id: &ConsignmentId, initech: &Newcomer) {
    let Some(age) = judges::find("age") else {
        println!("SKIPPED: no age to open what was rewrapped");
        return;
    };
    let object = GetObject {
        bucket: bucket(world),
        key: format!("{id}/r2/000001.age"),
        ..GetObject::default()
    };
    let (sealed, _) = cloud.s3().get_object_bytes(&object, 64 << 20).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sealed"), &sealed).unwrap();
    std::fs::write(folder.path().join("added"), &initech.identity).unwrap();
    let globex = world.office("globex").await.unwrap();
    let removed = globex.keys.identities[0].secret_text();
    std::fs::write(folder.path().join("removed"), removed.as_bytes()).unwrap();
    let open = |key: &str| {
        let mut command = judges::command(&age);
        let args = ["-d", "-i", key, "-o", "opened", "sealed"];
        command.current_dir(folder.path()).args(args).output().unwrap()
    };
    assert!(!open("removed").status.success());
    let opened = open("added");
    assert!(opened.status.success(), "{opened:?}");
    let found = std::fs::read(folder.path().join("opened")).unwrap();
    assert!(found == std::fs::read(world.from().join("tree/large.bin")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_come_and_go_on_the_local_cloud() {
    let initech = Newcomer::new();
    let world = World::with(90, |text| initech.joins(&text, GLOBEX)).await.unwrap();
    check_readers(&world, &initech).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_come_and_go_on_seaweedfs() {
    let weed = consign_testkit::require!("weed");
    let initech = Newcomer::new();
    let edit = |text: String| initech.joins(&text, GLOBEX);
    let world = World::on_seaweed_with(91, &weed, edit).await.unwrap();
    check_readers(&world, &initech).await;
}

/// Ceph (16.2) keeps no checksum that would say that the copied parts are what was signed: the new reader
/// reads, and what the revision was made of stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_comes_on_ceph_and_the_older_version_stays() {
    let _programs = consign_testkit::require!("ceph-mon", "ceph-osd", "radosgw");
    let initech = Newcomer::new();
    let world = World::on_ceph_with(97, |text| initech.joins(&text, GLOBEX)).await.unwrap();
    payloads(&world);
    let cloud = open_to_administrator(&world).await;
    let acme = office(&world, &cloud, "acme", GLOBEX, &initech).await;
    let sent = send(&world, &acme, "tree").await;
    let acme = office(&world, &cloud, "acme", BOTH, &initech).await;
    let done = rewrap(&world, &acme, &RewrapOptions::default()).await;
    let [revised] = done.revised.as_slice() else { panic!("{done:?}") };
    assert!(!revised.older_removed && revised.revision == 1, "{revised:?}");
    for party in ["initech", "globex"] {
        let reader = office(&world, &cloud, party, BOTH, &initech).await;
        receives(&world, &reader, &sent.id, "tree").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_come_and_go_under_keys_of_the_lane() {
    let initech = Newcomer { at_rest: "sse-c", ..Newcomer::new() };
    let world = World::with(96, |text| initech.joins(&text, GLOBEX)).await.unwrap();
    check_readers(&world, &initech).await;
}

/// Stopped when the store has answered 1, 2, 3, … requests: a receiver always finds one whole version,
/// and the same call ends with the new one.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_at_any_request_it_shows_one_whole_version_and_goes_on() {
    let initech = Newcomer::new();
    let world = World::with(92, |text| initech.joins(&text, GLOBEX)).await.unwrap();
    payloads(&world);
    let cloud = open_to_administrator(&world).await;
    let acme = office(&world, &cloud, "acme", GLOBEX, &initech).await;
    let sent = send(&world, &acme, "tree").await;
    let acme = office(&world, &cloud, "acme", INITECH, &initech).await;
    let globex = office(&world, &cloud, "globex", BOTH, &initech).await;
    let reader = office(&world, &cloud, "initech", BOTH, &initech).await;
    let lane = world.lane("to-client").unwrap();
    let mut served = world.store().served().unwrap();
    let (mut stops, mut handed_over) = (0, false);
    loop {
        let last = *served.borrow_and_update() + 1 + stops / 2;
        let options = RewrapOptions::default();
        let stopped = async {
            while *served.borrow_and_update() < last {
                served.changed().await.unwrap();
            }
        };
        let ended = tokio::select! {
            done = consign::rewrap(&acme, &lane, &options) => Some(done.unwrap()),
            () = stopped => None,
        };
        // One of the two reads it at every moment: first the one that is to be removed.
        let (old, new) = (
            consign::verify(&globex, &lane, &sent.id).await,
            consign::verify(&reader, &lane, &sent.id).await,
        );
        assert!(old.is_ok() || new.is_ok(), "after {stops} stops: {old:?} {new:?}");
        assert!(new.is_ok() || !handed_over, "after {stops} stops: {new:?}");
        handed_over |= new.is_ok();
        stops += 1;
        if ended.is_some_and(|done| done.revised.is_empty() && done.right == 1) {
            break;
        }
        assert!(stops < 200, "it makes no way");
    }
    assert!(stops > 10, "it was stopped {stops} times only");
    let refused = consign::verify(&globex, &lane, &sent.id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotForUs, "{refused:?}");
    let found = versions(&world, &cloud, &sent.id).await;
    assert!(found.len() == 5 && found.iter().all(|(_, latest)| *latest), "{found:?}");
    receives(&world, &reader, &sent.id, "tree").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_signed_or_not_ours_stays_as_it_is() {
    let initech = Newcomer::new();
    let world = World::with(93, |text| initech.joins(&text, GLOBEX)).await.unwrap();
    payloads(&world);
    let cloud = open_to_administrator(&world).await;
    let mut acme = office(&world, &cloud, "acme", GLOBEX, &initech).await;
    let (large, small) = (send(&world, &acme, "tree").await, send(&world, &acme, "next").await);
    let lane = world.lane("to-client").unwrap();

    // A byte of the content that is never downloaded, and one of an object that is.
    for (id, name, at) in
        [(&large.id, "000001.age", 20 << 20), (&small.id, "pack-000001.tar.zst.age", 300)]
    {
        let key = format!("{id}/{name}");
        let object = GetObject { bucket: bucket(&world), key, ..GetObject::default() };
        let (bytes, _) = cloud.s3().get_object_bytes(&object, 64 << 20).await.unwrap();
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        let put = consign_cloud::s3::PutObject {
            bucket: object.bucket,
            key: object.key,
            body: changed.into(),
            ..Default::default()
        };
        cloud.s3().put_object(put).await.unwrap();
    }
    let forged = office(&world, &cloud, "acme", BOTH, &initech).await;
    let done = rewrap(&world, &forged, &RewrapOptions::default()).await;
    assert_eq!((done.revised.len(), done.refused.len()), (0, 2), "{done:?}");
    let list = ListRequest { bucket: bucket(&world), ..ListRequest::default() };
    let entries = cloud.s3().list_objects(&list).await.unwrap().entries;
    let manifests = entries.iter().filter(|entry| entry.key.contains("/r1/manifest"));
    assert_eq!(manifests.count(), 0, "{entries:?}");

    // Nobody but the sender signs it, and without a key of his no header is written anew.
    let globex = office(&world, &cloud, "globex", BOTH, &initech).await;
    let refused = consign::rewrap(&globex, &lane, &RewrapOptions::default()).await.unwrap_err();
    assert!(refused.to_string().contains("only `acme`, who sends"), "{refused}");
    let keys = Arc::get_mut(&mut acme.keys).unwrap();
    keys.identities = vec![Identity::generate().unwrap()];
    let done = rewrap(&world, &acme, &RewrapOptions::default()).await;
    let hints: Vec<_> = done.refused.iter().filter_map(|one| one.error.hint()).collect();
    assert!(hints.len() == 2 && hints.iter().all(|hint| hint.contains("seal_to_sender")));
    // What they left is given up when the readers are right again.
    let right = office(&world, &cloud, "acme", GLOBEX, &initech).await;
    let done = rewrap(&world, &right, &RewrapOptions::default()).await;
    assert_eq!((done.revised.len(), done.right), (0, 2), "{done:?}");
}

/// Whoever writes to the bucket puts the header of something else that is sealed to the sender before
/// the content of a consignment that he reads himself: its key is not written down for him.
#[tokio::test(flavor = "multi_thread")]
async fn no_header_but_the_one_that_was_sent_is_unwrapped() {
    let initech = Newcomer::new();
    let world = World::with(97, |text| initech.joins(&text, GLOBEX)).await.unwrap();
    payloads(&world);
    let cloud = open_to_administrator(&world).await;
    let acme = office(&world, &cloud, "acme", GLOBEX, &initech).await;
    let (bait, secret) = (send(&world, &acme, "tree").await, send(&world, &acme, "next").await);
    let get = async |key: String| {
        let object = GetObject { bucket: bucket(&world), key, ..GetObject::default() };
        cloud.s3().get_object_bytes(&object, 64 << 20).await.unwrap().0.to_vec()
    };
    let header = |bytes: &[u8]| match consign_seal::age::read_header(bytes).unwrap() {
        consign_seal::age::HeaderRead::Done(_, header_bytes) => header_bytes,
        other => panic!("{other:?}"),
    };
    let coveted = get(format!("{}/pack-000001.tar.zst.age", secret.id)).await;
    let key = format!("{}/000001.age", bait.id);
    let mut forged = get(key.clone()).await;
    let (new, old) = (header(&coveted), header(&forged));
    assert_eq!(new, old, "as many readers of the same kind: it fits");
    forged[..new].copy_from_slice(&coveted[..new]);
    let put = consign_cloud::s3::PutObject {
        bucket: bucket(&world),
        key,
        body: forged.into(),
        ..Default::default()
    };
    cloud.s3().put_object(put).await.unwrap();
    let acme = office(&world, &cloud, "acme", BOTH, &initech).await;
    let only = vec![bait.id.clone()];
    let done = rewrap(&world, &acme, &RewrapOptions { only, ..RewrapOptions::default() }).await;
    let refused = done.refused[0].error.to_string();
    assert!(refused.contains("the header of 000001.age is not the one that was sent"), "{refused}");
    let journal = world.state("acme").join("acme-globex/to-client/rewrap");
    let left = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name != "lock").count(), 0, "nothing was written down");
}

/// Passes bytes on to the store and counts what comes back.
async fn counting(world: &World) -> (u16, Arc<AtomicU64>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = world.store().endpoint().rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let store = tokio::net::TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let (mut up_from, mut down_to) = client.into_split();
            let (mut down_from, mut up_to) = store.into_split();
            let counted = counted.clone();
            tokio::spawn(async move { tokio::io::copy(&mut up_from, &mut up_to).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(read @ 1..) = down_from.read(&mut bytes).await {
                    counted.fetch_add(read as u64, Ordering::Relaxed);
                    if down_to.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, count)
}

/// Adds a reader of one large file, by way of a counter of bytes.
async fn check_download(seed: u64, bytes: usize) {
    let initech = Newcomer::new();
    let world = World::with(seed, |text| initech.joins(&text, GLOBEX)).await.unwrap();
    world.payload("one/file.bin", bytes).unwrap();
    let cloud = open_to_administrator(&world).await;
    let acme = office(&world, &cloud, "acme", GLOBEX, &initech).await;
    let sent = send(&world, &acme, "one").await;
    let (port, count) = counting(&world).await;
    let mut settings = world.settings("admin-111111111111").unwrap();
    let endpoint = settings.endpoint.unwrap();
    settings.endpoint = Some(format!("{}:{port}", endpoint.rsplit_once(':').unwrap().0));
    let counted = Cloud::connect(&settings).await.unwrap();
    let acme = office(&world, &counted, "acme", BOTH, &initech).await;
    let done = rewrap(&world, &acme, &RewrapOptions::default()).await;
    assert_eq!(done.revised.len(), 1, "{done:?}");
    let count = count.load(Ordering::Relaxed);
    println!("of {} sealed bytes, {count} came down the wire", done.revised[0].sealed_bytes);
    assert!(count < 6 << 20, "{count}");
    assert!((5 << 20..count).contains(&done.revised[0].downloaded_bytes), "{done:?}");
    let reader = office(&world, &cloud, "initech", BOTH, &initech).await;
    receives(&world, &reader, &sent.id, "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn little_of_a_large_object_is_downloaded() {
    check_download(94, 64 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a GiB takes minutes; run it by name for the figure of the documentation"]
async fn little_of_a_gibibyte_is_downloaded() {
    check_download(95, 1 << 30).await;
}
