//! Lanes that seal in the formats of partners: OpenPGP, and Amazon's S3 Encryption Client.

use crate::common::{LANE, Trip, inbox, receive_as, send, tree, visible};
use consign::{ErrorKind, Office, ReceiveOptions};
use consign_cloud::s3::{Body, GetObject, ListRequest, PutObject};
use consign_seal::openpgp::{KeyKind, SecretKey};
use consign_seal::s3ec::RsaPrivateKey;
use consign_testkit::World;
use std::sync::Arc;
use tokio::sync::Notify;

/// The public half of [`RSA`], as an exchange file has it.
const RSA_PUBLIC: &str = include_str!("../../consign-seal/testdata/s3ec/rsa-2048.pub.base64");
const RSA: &str = include_str!("../../consign-seal/testdata/s3ec/rsa-2048.pem");

/// A world with such lanes, and the keys that its parties open with.
struct Sealed {
    world: World,
    openpgp: Vec<SecretKey>,
    without_secrets: bool,
}

impl Sealed {
    async fn new(seed: u64, fields: &str) -> Sealed {
        let key = |name| SecretKey::generate(KeyKind::Curve25519, name, 1_700_000_000);
        let openpgp: Vec<SecretKey> =
            ["acme", "globex"].map(|name| key(name).expect("a key")).into();
        let mut left = openpgp.iter();
        let mut edited = String::new();
        let fields = fields.to_owned();
        let world = World::with(seed, |text| {
            for line in text.lines() {
                if let Some(rest) = line.strip_prefix("recipients = [") {
                    let fingerprint = left.next().expect("two parties").fingerprint();
                    edited.push_str(&format!(
                        "recipients = [\"openpgp:{fingerprint}\", \"rsa:{RSA_PUBLIC}\", {rest}\n"
                    ));
                } else {
                    edited.push_str(&format!("{line}\n"));
                }
            }
            edited.replace("\nto = [", &format!("\n{fields}\nto = ["))
        });
        Sealed { world: world.await.expect("a world"), openpgp, without_secrets: false }
    }

    async fn office(&self, party: &str) -> Office {
        let mut office = self.world.office(party).await.expect("an office");
        let keys = Arc::get_mut(&mut office.keys).expect("ours alone");
        let ours = usize::from(party == "globex");
        keys.openpgp_secret = vec![self.openpgp[ours].clone()];
        keys.rsa_private = vec![RsaPrivateKey::from_pem(RSA).expect("a key")];
        if self.without_secrets {
            keys.lane_secrets.clear();
        }
        keys.openpgp_certificates = self.openpgp.iter().map(SecretKey::certificate).collect();
        office
    }

    fn payloads(&self) {
        self.world.payload("tree/large.bin", (25 << 20) + 3).expect("a payload");
        self.world.payload("tree/one-part.bin", (1 << 20) + 1).expect("a payload");
        for n in 0..5 {
            self.world.payload(&format!("tree/small-{n}"), 10 * 1024 + n).expect("a payload");
        }
        self.world.payload("tree/empty", 0).expect("a payload");
    }
}

async fn check_round_trip(sealed: &Sealed, ending: &str) {
    let world = &sealed.world;
    sealed.payloads();
    let (acme, globex) = (sealed.office("acme").await, sealed.office("globex").await);
    let sent = send(world, &acme, &[world.from().join("tree")]).await.expect("is sent");
    let lane = world.lane(LANE).expect("a lane");
    let bucket = world.exchange.lanes[&lane].bucket.to_string();
    let listed = ListRequest { bucket, ..ListRequest::default() };
    let listed = globex.cloud.s3().list_objects(&listed).await.expect("lists");
    assert_eq!(listed.entries.len(), 5);
    assert!(listed.entries.iter().all(|entry| entry.key.ends_with(ending)), "{listed:?}");
    let list = consign::list(&globex, Some(&lane)).await.expect("lists");
    assert_eq!((list.len(), list[0].objects), (1, 3), "{list:?}");
    consign::show(&globex, &lane, &sent.id).await.expect("shows");
    consign::verify(&globex, &lane, &sent.id).await.expect("verifies");
    let into = inbox(world, "globex");
    let options = ReceiveOptions::default();
    let received = receive_as(world, &globex, &into, &options).await.expect("is received");
    assert!(received.refused.is_empty(), "{:?}", received.refused);
    let path = into.join(sent.id.as_str()).join("tree");
    assert_eq!(tree(&path), tree(&world.from().join("tree")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openpgp_lane_delivers() {
    let sealed = Sealed::new(90, "seal = \"openpgp\"").await;
    check_round_trip(&sealed, ".gpg").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_in_the_format_of_the_s3_encryption_client_delivers() {
    let sealed = Sealed::new(91, "seal = \"s3ec\"").await;
    check_round_trip(&sealed, ".s3ec").await;
    // And where objects lie under keys of the parties as well.
    let sealed = Sealed::new(92, "seal = \"s3ec\"\nat_rest = \"sse-c\"").await;
    check_round_trip(&sealed, ".s3ec").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_to_the_holder_of_an_rsa_key_delivers_and_needs_no_secret() {
    let sealed = Sealed::new(97, "seal = \"s3ec\"\nkeyring = \"rsa\"").await;
    check_round_trip(&sealed, ".s3ec").await;
    let mut without = sealed.office("globex").await;
    let keys = Arc::get_mut(&mut without.keys).expect("ours alone");
    keys.lane_secrets.clear();
    let lane = sealed.world.lane(LANE).expect("a lane");
    let listed = consign::list(&without, Some(&lane)).await.expect("lists");
    consign::verify(&without, &lane, &listed[0].id).await.expect("verifies without a secret");
    let keys = Arc::get_mut(&mut without.keys).expect("ours alone");
    keys.rsa_private.clear();
    let refused = consign::verify(&without, &lane, &listed[0].id).await.expect_err("has no key");
    assert_eq!(refused.kind(), ErrorKind::Configuration);
    assert!(refused.hint().expect("a hint").contains("globex.rsa-secret"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_of_kms_delivers_and_needs_no_secret() {
    let sealed = Sealed::new(98, "seal = \"s3ec\"\nkeyring = \"kms\"").await;
    check_round_trip(&sealed, ".s3ec").await;
    let fields = "seal = \"s3ec\"\nkeyring = \"kms\"\nat_rest = \"dsse-kms\"";
    let mut sealed = Sealed::new(99, &format!("{fields}\nwriter = \"encrypt-only\"")).await;
    sealed.without_secrets = true;
    check_round_trip(&sealed, ".s3ec").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_send_goes_on_with_the_same_sealed_bytes() {
    for (seed, seal) in [(93, "openpgp"), (94, "s3ec"), (89, "s3ec\"\nkeyring = \"kms")] {
        let sealed = Sealed::new(seed, &format!("seal = \"{seal}\"")).await;
        sealed.payloads();
        let world = &sealed.world;
        let paths = [world.from().join("tree")];
        for bytes in [1, 12 << 20, 20 << 20] {
            let mut acme = sealed.office("acme").await;
            let tripped = Arc::new(Notify::new());
            let trip = tripped.clone();
            acme.progress = Trip::after(bytes, move || trip.notify_one());
            tokio::select! {
                sent = send(world, &acme, &paths) => { sent.expect_err("was stopped"); }
                () = tripped.notified() => {}
            }
        }
        let acme = sealed.office("acme").await;
        let sent = send(world, &acme, &paths).await.expect("is sent");
        assert!(sent.resumed, "{seal}: {sent:?}");
        let (globex, into) = (sealed.office("globex").await, inbox(world, "globex"));
        let received = receive_as(world, &globex, &into, &ReceiveOptions::default()).await;
        assert_eq!(received.expect("is received").consignments.len(), 1, "{seal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lacks_the_key_and_whatever_was_changed_is_refused() {
    for (seed, seal) in [(95, "openpgp"), (96, "s3ec")] {
        let fields = format!("seal = \"{seal}\"\nat_rest = \"sse-s3\"");
        let sealed = Sealed::new(seed, &fields).await;
        sealed.payloads();
        let world = &sealed.world;
        let acme = sealed.office("acme").await;
        let sent = send(world, &acme, &[world.from().join("tree")]).await.expect("is sent");

        let mut stranger = sealed.office("globex").await;
        let keys = Arc::get_mut(&mut stranger.keys).expect("ours alone");
        keys.openpgp_secret = vec![sealed.openpgp[0].clone()];
        let other = consign_seal::shared_secret::SharedSecret::generate().expect("a secret");
        keys.lane_secrets.insert(world.lane(LANE).expect("a lane"), vec![other]);
        let into = inbox(world, "globex");
        let options = ReceiveOptions::default();
        let received = receive_as(world, &stranger, &into, &options).await.expect("looks");
        let [refused] = received.refused.as_slice() else { panic!("{seal}: {received:?}") };
        let expected = if seal == "openpgp" { ErrorKind::NotForUs } else { ErrorKind::Damaged };
        assert_eq!(refused.error.kind(), expected, "{seal}: {received:?}");

        // A byte of the large object changes where it lies, its metadata stays.
        let admin = world.administrator("111111111111").await.expect("a connection");
        let lane = world.lane(LANE).expect("a lane");
        let bucket = world.exchange.lanes[&lane].bucket.to_string();
        admin.s3().delete_bucket_policy(&bucket).await.expect("is gone");
        let mut globex = sealed.office("globex").await;
        globex.cloud = admin.clone();
        let manifest = consign::show(&globex, &lane, &sent.id).await.expect("shows").manifest;
        let key = format!("{}/{}", sent.id, manifest.objects[0].name);
        let object = GetObject { bucket: bucket.clone(), key: key.clone(), ..GetObject::default() };
        let metadata = admin.s3().head_object(&object).await.expect("is there").metadata;
        let (bytes, _) = admin.s3().get_object_bytes(&object, 40 << 20).await.expect("reads");
        for place in [bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.to_vec();
            changed[place] ^= 1;
            let put = PutObject {
                bucket: bucket.clone(),
                key: key.clone(),
                body: Body::from(changed),
                metadata: metadata.clone(),
                ..PutObject::default()
            };
            admin.s3().put_object(put).await.expect("is changed");
            let received = receive_as(world, &globex, &into, &options).await.expect("looks");
            let [refused] = received.refused.as_slice() else { panic!("{seal}: {received:?}") };
            assert_eq!(refused.error.kind(), ErrorKind::Damaged, "{seal} at {place}: {received:?}");
        }
        assert!(visible(&into).is_empty(), "{:?}", visible(&into));
    }
}
