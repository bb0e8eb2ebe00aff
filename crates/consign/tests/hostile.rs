//! A sender whose key is rightly pinned and who means harm, and a bucket whose administrator does:
//! whatever they put there, nothing is written outside, nothing gets a final name, and one error
//! says what it was.

use crate::common::{LANE, inbox, receive, send, visible};
use consign::{ErrorKind, Office, ReceiveOptions};
use consign_cloud::s3::{Body, PutObject};
use consign_model::{ConsignmentId, Digest, Lane, Manifest};
use consign_seal::age::{self, Identity, Recipient};
use consign_seal::sshsig::{self, SigningKey};
use consign_testkit::World;
use consign_transfer::Crc64;
use serde_json::{Value, json};

/// A consignment made by hand, with every freedom to make it wrong.
struct Forged {
    id: ConsignmentId,
    manifest: Value,
    objects: Vec<(String, Vec<u8>)>,
    signer: SigningKey,
    recipients: Vec<Recipient>,
    namespace: &'static str,
    with_signature: bool,
    /// The folder of a revision, with its `/`, or nothing.
    folder: &'static str,
}

const SMALL: &[u8] = b"small content";

impl Forged {
    /// A correct consignment of a large file and a pack of two small ones.
    fn new(world: &World, acme: &Office, number: u64) -> Forged {
        let lane = world.lane(LANE).expect("a lane");
        let lane = acme.exchange.lane(&lane).expect("the lane");
        let globex = acme.exchange.party(&lane.to[0]).expect("the receiver");
        let recipients: Vec<Recipient> = globex
            .recipients
            .iter()
            .map(|key| Recipient::parse(&key.key).expect("a recipient"))
            .collect();
        let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let files = [("dir/one", SMALL), ("dir/two", SMALL)];
        let pack = archive(&files.map(|(name, content)| (name, tar::EntryType::Regular, content)));
        let id = ConsignmentId::from_parts(world.clock.now_ms(), u128::from(number));
        let mut forged = Forged {
            manifest: json!({
                "format": "consign-manifest/1",
                "id": id, "exchange": "acme-globex", "lane": LANE, "sender": "acme",
                "recipients": [{"party": "globex", "key_ids": []}],
                "created": consign_model::Timestamp::from_unix_ms(world.clock.now_ms()),
                "chain": consign_model::ChainId::from_parts(number, 7),
                "sequence": 1, "previous": null,
                "files": [
                    file("large", &large, "000001.age", None),
                    file("dir/one", SMALL, "pack-000001.tar.zst.age", Some(0)),
                    file("dir/two", SMALL, "pack-000001.tar.zst.age", Some(1)),
                ],
                "objects": [],
            }),
            id,
            objects: Vec::new(),
            signer: SigningKey::from_openssh(
                &acme.keys.signer.as_ref().expect("a signer").to_openssh_private(""),
            )
            .expect("a key"),
            recipients,
            namespace: "consign-manifest@1",
            with_signature: true,
            folder: "",
        };
        forged.seal("000001.age", &large);
        forged.seal("pack-000001.tar.zst.age", &pack);
        forged
    }

    /// Seals an object and lists it, instead of an earlier one of its name.
    fn seal(&mut self, name: &str, content: &[u8]) {
        let sealed = age::seal_all(&self.recipients, content).expect("seals");
        self.place(name, sealed);
    }

    fn place(&mut self, name: &str, sealed: Vec<u8>) {
        let listed = json!({
            "name": name, "sealed_bytes": sealed.len(), "blake3": null,
            "crc64nvme": Crc64::of(&sealed).to_string(),
        });
        let objects = self.manifest["objects"].as_array_mut().expect("a list");
        objects.retain(|object| object["name"] != name);
        objects.push(listed);
        self.objects.retain(|(other, _)| other != name);
        self.objects.push((name.to_owned(), sealed));
    }

    fn object(&mut self, name: &str) -> &mut Vec<u8> {
        let object = self.objects.iter_mut().find(|(other, _)| other == name);
        &mut object.expect("is there").1
    }

    async fn put(self, acme: &Office) {
        let lane = acme.exchange.lanes.values().find(|lane| lane.name.as_str() == LANE);
        let lane = lane.expect("the lane");
        let plain = self.manifest.to_string().into_bytes();
        let signature = sshsig::sign(&self.signer, self.namespace, &plain).expect("signs");
        let seal = |bytes: &[u8]| age::seal_all(&self.recipients, bytes).expect("seals");
        let mut objects = self.objects;
        if self.with_signature {
            objects.push(("manifest.json.sig.age".into(), seal(signature.as_bytes())));
        }
        objects.push(("manifest.json.age".into(), seal(&plain)));
        for (name, bytes) in objects {
            put(acme, lane, &format!("{}/{}{name}", self.id, self.folder), bytes).await;
        }
    }
}

async fn put(acme: &Office, lane: &Lane, key: &str, bytes: Vec<u8>) {
    let put = PutObject {
        bucket: lane.bucket.to_string(),
        key: key.to_owned(),
        checksum_crc64nvme: Some(Crc64::of(&bytes).to_string()),
        body: Body::from(bytes),
        if_none_match: true,
        ..PutObject::default()
    };
    acme.cloud.s3().put_object(put).await.expect("is put");
}

fn file(path: &str, content: &[u8], object: &str, entry: Option<u32>) -> Value {
    let mut file = json!({
        "path": path, "size": content.len(), "mtime": 0, "executable": false,
        "blake3": Digest::of(content), "object": object,
    });
    if let Some(entry) = entry {
        file["entry"] = json!(entry);
    }
    file
}

/// Name, kind and content.
type Entry<'a> = (&'a str, tar::EntryType, &'a [u8]);

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if *kind == tar::EntryType::Symlink {
            header.set_link_name("/tmp").expect("a link");
        }
        header.set_cksum();
        tar.append(&header, *content).expect("in memory");
    }
    zstd::encode_all(tar.into_inner().expect("in memory").as_slice(), 1).expect("in memory")
}

/// A world and the cases that are tried in it one after the other, each on a chain of its own.
struct Trial {
    world: World,
    acme: Office,
    number: u64,
}

impl Trial {
    async fn new(seed: u64) -> Trial {
        let world = World::new(seed).await.expect("a world");
        let acme = world.office("acme").await.expect("an office");
        Trial { world, acme, number: 0 }
    }

    /// Forges a consignment, receives, and checks that exactly it is refused, in these words.
    async fn check(&mut self, forge: impl FnOnce(&mut Forged), kind: ErrorKind, said: &str) {
        self.number += 1;
        let mut forged = Forged::new(&self.world, &self.acme, self.number);
        forge(&mut forged);
        let id = forged.id.clone();
        forged.put(&self.acme).await;
        let options = ReceiveOptions { only: Some(id.clone()), ..ReceiveOptions::default() };
        let received = receive(&self.world, &options).await.expect("concerns one only");
        assert!(received.consignments.is_empty(), "{said}: was received");
        assert_eq!(received.refused.len(), 1, "{said}: {received:?}");
        let refused = received.refused.first().expect("is one");
        let mut text = format!("{:?}", refused.error);
        text.retain(|c| c != '`');
        assert_eq!((&refused.id, refused.error.kind()), (&id, kind), "{said}: {text}");
        assert!(text.contains(said), "{said:?} is not in {text:?}");
        assert!(visible(&inbox(&self.world, "globex")).is_empty(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_consignment_that_is_correct_is_received() {
    let trial = Trial::new(30).await;
    Forged::new(&trial.world, &trial.acme, 1).put(&trial.acme).await;
    let received = receive(&trial.world, &ReceiveOptions::default()).await.expect("is received");
    assert_eq!(received.consignments.len(), 1, "else the other tests prove nothing: {received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_manifests_are_refused() {
    let mut trial = Trial::new(31).await;
    for path in ["/etc/cron.d/x", "../../x", "a\\..\\x", "CON", "c:x", "a\u{202e}b", "a\0b"] {
        let forge = |forged: &mut Forged| forged.manifest["files"][0]["path"] = json!(path);
        trial.check(forge, ErrorKind::Manifest, "not a path that is safe everywhere").await;
    }
    let long = "x".repeat(10_000);
    let forge = |f: &mut Forged| f.manifest["files"][0]["path"] = json!(long);
    trial.check(forge, ErrorKind::Manifest, "10000 bytes").await;
    let cases: [(&str, Value, &str); 9] = [
        ("/files/0/path", json!("dir/one"), "lists the file dir/one twice"),
        ("/files/0/path", json!("DIR/ONE"), "case or Unicode form"),
        ("/files/0/path", json!("dir"), "the folder of"),
        ("/files/0/object", json!("000002.age"), "does not list"),
        ("/files/0/size", json!(u64::MAX), "add up"),
        ("/files/0/size", json!(5), "cannot hold"),
        ("/objects/0/name", json!("../../x"), "not an object's name"),
        ("/objects/1/sealed_bytes", json!(1_u64 << 40), "too large"),
        ("/format", json!("consign-manifest/9"), "the format consign-manifest/9"),
    ];
    for (pointer, value, said) in cases {
        let forge = |f: &mut Forged| *f.manifest.pointer_mut(pointer).expect(pointer) = value;
        trial.check(forge, ErrorKind::Manifest, said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_for_others_and_by_others_are_refused() {
    let mut trial = Trial::new(32).await;
    for (field, value, said) in [
        ("exchange", json!("other"), "of exchange other"),
        ("lane", json!("from-client"), "of lane from-client"),
        ("sender", json!("globex"), "of sender globex"),
        ("id", json!(ConsignmentId::from_parts(1, 1)), "of consignment"),
        ("recipients", json!([{"party": "other", "key_ids": []}]), "not addressed to globex"),
    ] {
        let forge = |f: &mut Forged| f.manifest[field] = value;
        trial.check(forge, ErrorKind::Misaddressed, said).await;
    }
    let stranger = |f: &mut Forged| f.signer = SigningKey::generate().expect("a key");
    trial.check(stranger, ErrorKind::Signature, "not signed by acme as pinned here").await;
    let globex = trial.world.office("globex").await.expect("an office");
    let receiver = |f: &mut Forged| {
        let own = globex.keys.signer.as_ref().expect("a signer").to_openssh_private("");
        f.signer = SigningKey::from_openssh(&own).expect("a key");
    };
    trial.check(receiver, ErrorKind::Signature, "not signed by acme as pinned here").await;
    let purpose = |f: &mut Forged| f.namespace = "file";
    trial.check(purpose, ErrorKind::Signature, "was made for file").await;
    let unsigned = |f: &mut Forged| f.with_signature = false;
    trial.check(unsigned, ErrorKind::Signature, "no signature beside it").await;
    let elsewhere = |f: &mut Forged| {
        f.recipients = vec![Identity::generate().expect("a key").to_recipient()];
    };
    trial.check(elsewhere, ErrorKind::NotForUs, "cannot be opened").await;
}

/// Says that it is this revision of a manifest with that digest, and lies in this folder.
fn revise(forged: &mut Forged, number: u32, original: Digest, folder: &'static str) {
    forged.manifest["revision"] = json!({
        "number": number, "original": original, "previous": original,
        "made": forged.manifest["created"],
    });
    forged.folder = folder;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_one_of_the_sender_in_its_own_place() {
    let mut trial = Trial::new(39).await;
    let original = Digest::of(b"the original");
    let elsewhere = |f: &mut Forged| revise(f, 1, original, "r2/");
    trial.check(elsewhere, ErrorKind::Misaddressed, "of revision 1, not of 2").await;
    let as_original = |f: &mut Forged| revise(f, 1, original, "");
    trial.check(as_original, ErrorKind::Misaddressed, "of revision 1, not of 0").await;
    let as_revision = |f: &mut Forged| f.folder = "r1/";
    trial.check(as_revision, ErrorKind::Misaddressed, "of revision 0, not of 1").await;
    let globex = trial.world.office("globex").await.expect("an office");
    let by_receiver = |f: &mut Forged| {
        revise(f, 1, original, "r1/");
        let own = globex.keys.signer.as_ref().expect("a signer").to_openssh_private("");
        f.signer = SigningKey::from_openssh(&own).expect("a key");
    };
    trial.check(by_receiver, ErrorKind::Signature, "not signed by acme as pinned here").await;

    // One that is right is received, and takes the place of its original in the chain: another
    // consignment with that place, or with another original, is a fork.
    let mut right = Forged::new(&trial.world, &trial.acme, 77);
    revise(&mut right, 2, original, "r2/");
    let (chain, id) = (right.manifest["chain"].clone(), right.id.clone());
    right.put(&trial.acme).await;
    let only = ReceiveOptions { only: Some(id), ..ReceiveOptions::default() };
    let received = receive(&trial.world, &only).await.expect("is received");
    assert_eq!(received.consignments.len(), 1, "{received:?}");
    std::fs::remove_dir_all(inbox(&trial.world, "globex")).expect("is put away");
    let fork = |f: &mut Forged| {
        revise(f, 1, Digest::of(b"another original"), "r1/");
        f.manifest["chain"] = chain.clone();
    };
    trial.check(fork, ErrorKind::Chain, "one replaces the other").await;
    let next = |f: &mut Forged| {
        f.manifest["chain"] = chain.clone();
        f.manifest["sequence"] = json!(2);
        f.manifest["previous"] = json!(Digest::of(b"another original"));
    };
    trial.check(next, ErrorKind::Chain, "does not fit its neighbour").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_not_what_was_signed_are_refused() {
    let mut trial = Trial::new(33).await;
    let (file_object, pack) = ("000001.age", "pack-000001.tar.zst.age");
    let missing = |f: &mut Forged| f.objects.retain(|(name, _)| name != "000001.age");
    trial.check(missing, ErrorKind::NotFound, "000001.age is missing").await;
    let missing = |f: &mut Forged| f.objects.retain(|(name, _)| !name.starts_with("pack"));
    trial.check(missing, ErrorKind::NotFound, "is missing, which the manifest lists").await;
    let digest = |f: &mut Forged| f.manifest["files"][0]["blake3"] = json!(Digest::of(b"other"));
    trial.check(digest, ErrorKind::Content, "large is not what the sender signed").await;
    let digest = |f: &mut Forged| f.manifest["files"][1]["blake3"] = json!(Digest::of(b"other"));
    trial.check(digest, ErrorKind::Content, "dir/one is not what the sender signed").await;
    let tampered = |f: &mut Forged| f.object(file_object)[1_000_000] ^= 1;
    trial.check(tampered, ErrorKind::Damaged, "000001.age").await;
    let tampered = |f: &mut Forged| *f.object(pack).last_mut().expect("bytes") ^= 1;
    trial.check(tampered, ErrorKind::Damaged, "cannot be opened").await;
    let header = |f: &mut Forged| {
        let object = f.object(file_object);
        let mac = object.windows(5).position(|bytes| bytes == b"\n--- ").expect("a header");
        object[mac + 6] ^= 1;
    };
    trial.check(header, ErrorKind::Damaged, "000001.age cannot be opened").await;
    let swapped = |f: &mut Forged| {
        let other: Vec<u8> = vec![7; 3_000_000];
        let sealed = age::seal_all(&f.recipients, &other).expect("seals");
        *f.object(file_object) = sealed;
    };
    trial.check(swapped, ErrorKind::Content, "large is not what the sender signed").await;
    let reordered = |f: &mut Forged| {
        let object = f.object(file_object);
        let start = object.len() - age::sealed_payload_bytes(3_000_000) as usize;
        let (a, b) = object[start..].split_at_mut(age::SEALED_CHUNK_BYTES);
        a.swap_with_slice(&mut b[..age::SEALED_CHUNK_BYTES]);
    };
    trial.check(reordered, ErrorKind::Damaged, "000001.age").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_packs_are_refused() {
    use tar::EntryType::{Regular, Symlink};
    let mut trial = Trial::new(34).await;
    let pack = "pack-000001.tar.zst.age";
    let one = ("dir/one", Regular, SMALL);
    let two = ("dir/two", Regular, SMALL);
    let bomb = vec![0_u8; 64 << 20];
    let cases: [(&[Entry], &str); 6] = [
        (&[one], "lacks dir/two"),
        (&[one, two, ("more", Regular, SMALL)], "more than the manifest lists"),
        (&[("dir", Symlink, b""), one, two], "not a file"),
        (&[("../../../x", Regular, SMALL), two], "another file"),
        (&[("dir/one", Regular, &bomb), two], "in another size"),
        (&[one, two, ("bomb", Regular, &bomb)], "more than the manifest lists"),
    ];
    for (entries, said) in cases {
        let archive = archive(entries);
        trial.check(|f| f.seal(pack, &archive), ErrorKind::Content, said).await;
    }
    trial.check(|f| f.seal(pack, b"no archive"), ErrorKind::Content, "is damaged").await;
    let zeros = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 1 << 30), 1);
    let zeros = zeros.expect("in memory");
    trial.check(|f| f.seal(pack, &zeros), ErrorKind::Content, "lacks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_consignment_does_not_keep_good_ones_back() {
    let trial = Trial::new(35).await;
    let mut forged = Forged::new(&trial.world, &trial.acme, 1);
    forged.manifest["lane"] = json!("from-client");
    let bad = forged.id.clone();
    forged.put(&trial.acme).await;
    // Whatever else lies in the bucket is not ours to judge.
    let lane = trial.world.lane(LANE).expect("a lane");
    let lane = trial.acme.exchange.lane(&lane).expect("the lane").clone();
    put(&trial.acme, &lane, "a-file-of-somebody", b"x".to_vec()).await;
    put(&trial.acme, &lane, "folder/manifest.json.age", b"x".to_vec()).await;
    let file = trial.world.payload("good.txt", 1000).expect("a payload");
    let sent = send(&trial.world, &trial.acme, &[file]).await.expect("is sent");
    let received = receive(&trial.world, &ReceiveOptions::default()).await.expect("is received");
    let ids: Vec<_> = received.consignments.iter().map(|arrived| &arrived.id).collect();
    assert_eq!(ids, [&sent.id]);
    let refused: Vec<_> = received.refused.iter().map(|refused| &refused.id).collect();
    assert_eq!(refused, [&bad]);
}

#[tokio::test(flavor = "multi_thread")]
async fn withheld_and_forked_consignments_are_noticed() {
    let trial = Trial::new(36).await;
    let (world, acme) = (&trial.world, &trial.acme);
    let mut ids = Vec::new();
    for n in 1..=3 {
        let file = world.payload(&format!("{n}.txt"), 100 * n).expect("a payload");
        ids.push(send(world, acme, &[file]).await.expect("is sent").id);
    }
    let only = |n: usize, accept_gap| ReceiveOptions {
        only: Some(ids[n].clone()),
        accept_gap,
        ..ReceiveOptions::default()
    };
    receive(world, &only(0, false)).await.expect("the first");
    let skipped = receive(world, &only(2, false)).await.expect("the third");
    let [refused] = skipped.refused.as_slice() else { panic!("{skipped:?}") };
    assert_eq!(refused.error.kind(), ErrorKind::Chain);
    assert!(refused.error.to_string().contains("number 2"), "{:?}", refused.error);
    assert_eq!(visible(&inbox(world, "globex")), [ids[0].as_str()]);
    let accepted = receive(world, &only(2, true)).await.expect("the third");
    assert_eq!(accepted.consignments.len(), 1, "{accepted:?}");
    assert!(accepted.notices.iter().any(|n| n.contains("number 2")), "{accepted:?}");
    let late = receive(world, &ReceiveOptions::default()).await.expect("the second");
    assert_eq!(late.consignments.len(), 1, "{late:?}");

    // The same place of the same chain again, with other content: the sender's state was copied,
    // or somebody has the sender's key.
    let lane = world.lane(LANE).expect("a lane");
    let shown = consign::show(acme, &lane, &ids[2]).await.expect("shows");
    let mut forged = Forged::new(world, acme, 99);
    let real: Manifest = shown.manifest;
    forged.manifest["chain"] = json!(real.chain);
    forged.manifest["sequence"] = json!(real.sequence);
    forged.manifest["previous"] = json!(real.previous);
    forged.put(acme).await;
    let forked = receive(world, &ReceiveOptions::default()).await.expect("looks");
    let [refused] = forked.refused.as_slice() else { panic!("{forked:?}") };
    assert_eq!(refused.error.kind(), ErrorKind::Chain, "{:?}", refused.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_in_the_destination_is_never_followed() {
    let trial = Trial::new(37).await;
    let (world, acme) = (&trial.world, &trial.acme);
    let outside = inbox(world, "outside");
    std::fs::create_dir_all(&outside).expect("a folder");
    let into = inbox(world, "globex");
    std::fs::create_dir_all(&into).expect("a folder");
    let file = world.payload("folder/file.txt", 100).expect("a payload");
    let folder = file.parent().expect("a folder").to_owned();
    let sent = send(world, acme, &[folder]).await.expect("is sent");
    for name in [format!(".consign-{}.partial", sent.id), sent.id.to_string()] {
        std::os::unix::fs::symlink(&outside, into.join(&name)).expect("a link");
        let received = receive(world, &ReceiveOptions::default()).await.expect("concerns one");
        let [refused] = received.refused.as_slice() else { panic!("{received:?}") };
        assert_eq!(refused.error.kind(), ErrorKind::Destination, "{:?}", refused.error);
        assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 0);
        std::fs::remove_file(into.join(&name)).expect("is removed");
    }
    let received = receive(world, &ReceiveOptions::default()).await.expect("is received");
    assert_eq!(received.consignments.len(), 1, "{received:?}");
}
