//! A lane whose keys KMS makes and opens: who may have it do so, and that each key is bound to the place
//! of its object. The local cloud's KMS enforces key policies and encryption contexts.

use crate::common::{LANE, inbox, receive_as, send, tree, visible};
use consign::s3ec::context_of;
use consign::{ErrorKind, Office, ReceiveOptions, Sent};
use consign_cloud::s3::{Body, GetObject, PutObject};
use consign_cloud::{Cloud, ErrorKind as CloudErrorKind};
use consign_seal::s3ec::{KeyRequest, MetadataRead, Pairs, Suite, kms_context, read_metadata};
use consign_testkit::World;
use std::collections::BTreeMap;

const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:alias/consign/acme-globex/to-client";
const OBJECT: &str = "000001.s3ec";

async fn world(seed: u64, fields: &str) -> World {
    let fields = format!("\nseal = \"s3ec\"\nkeyring = \"kms\"\n{fields}\nto = [");
    World::with(seed, |text| text.replace("\nto = [", &fields)).await.expect("a world")
}

async fn sent(world: &World, acme: &Office, name: &str) -> Sent {
    let file = world.payload(name, (9 << 20) + 5).expect("a payload");
    send(world, acme, &[file]).await.expect("is sent")
}

/// An object of a consignment as it lies there, and what stands beside it.
async fn lying(world: &World, globex: &Office, sent: &Sent) -> (Vec<u8>, Pairs) {
    let object = GetObject {
        bucket: world.exchange.lanes[&world.lane(LANE).expect("a lane")].bucket.to_string(),
        key: format!("{}/{OBJECT}", sent.id),
        ..GetObject::default()
    };
    let (bytes, _) = globex.cloud.s3().get_object_bytes(&object, 20 << 20).await.expect("reads");
    let head = globex.cloud.s3().head_object(&object).await.expect("is there");
    (bytes.to_vec(), head.metadata)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_opens_and_nobody_else_does() {
    let world = world(0x4b1, "").await;
    let (acme, globex) = (world.office("acme").await, world.office("globex").await);
    let (acme, globex) = (acme.expect("an office"), globex.expect("an office"));
    let sent = sent(&world, &acme, "scan.bin").await;
    let (_, metadata) = lying(&world, &globex, &sent).await;
    let read = read_metadata(&metadata).expect("is sealed");
    let MetadataRead::Header(header) = read else { panic!("in another file") };
    let of = |lane: &str, id: &str, object: &str| {
        let context = context_of("acme-globex", lane, id, object);
        kms_context(Suite::GcmCommitted, &context).expect("a context")
    };
    let (id, lane) = (sent.id.as_str(), "to-client");
    assert_eq!(header.context(), context_of("acme-globex", lane, id, OBJECT));
    let policy = consign_seal::s3ec::OpenPolicy {
        context: consign_seal::s3ec::ExpectedContext::AsStored,
        ..Default::default()
    };
    let admitted = header.admit(&policy).expect("is admitted");
    let KeyRequest::Kms { ciphertext, context } = admitted.wanted() else { panic!("is of KMS") };
    assert_eq!(*context, of(lane, id, OBJECT));

    let open = |who: &Cloud, context: Pairs| {
        let (who, ciphertext) = (who.clone(), ciphertext.to_vec());
        async move { who.kms().decrypt(Some(KEY), &ciphertext, &context).await.map(|_| ()) }
    };
    let make = |who: &Cloud, context: Pairs| {
        let who = who.clone();
        async move { who.kms().generate_data_key(KEY, &context).await.map(|_| ()) }
    };
    let place = || of(lane, id, OBJECT);
    open(&globex.cloud, place()).await.expect("the receiver opens it");
    make(&acme.cloud, place()).await.expect("the sender makes them");

    let owners = world.administrator("111111111111").await.expect("a connection");
    let partners = world.administrator("222222222222").await.expect("a connection");
    let elsewhere = || of("from-client", id, OBJECT);
    let mut of_s3 = place();
    of_s3.insert(
        "aws:s3:arn".to_owned(),
        world.exchange.lanes[&world.lane(LANE).expect("a lane")].bucket.to_string(),
    );
    let denied = [
        ("the sender opens", open(&acme.cloud, place()).await),
        ("the receiver makes", make(&globex.cloud, place()).await),
        ("the owner's administrator opens", open(&owners, place()).await),
        ("the owner's administrator makes", make(&owners, place()).await),
        ("the partner's administrator opens", open(&partners, place()).await),
        ("the sender makes for another lane", make(&acme.cloud, elsewhere()).await),
        ("the receiver opens another lane's", open(&globex.cloud, elsewhere()).await),
        ("the sender makes without a context", make(&acme.cloud, Pairs::new()).await),
        ("the receiver opens as S3 does", open(&globex.cloud, of_s3).await),
    ];
    for (what, answer) in denied {
        let error = answer.expect_err(what);
        assert_eq!(error.kind(), CloudErrorKind::AccessDenied, "{what}: {error:?}");
    }
    for context in [of(lane, "01JD3V5Y7Q8R9SATBVCWDXEYFZ", OBJECT), of(lane, id, "000002.s3ec")] {
        let error = open(&globex.cloud, context).await.expect_err("is of another place");
        assert_eq!(error.code(), Some("InvalidCiphertextException"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_does_not_open_in_another_consignment() {
    let world = world(0x4b2, "write_once = false").await;
    let (acme, globex) = (world.office("acme").await, world.office("globex").await);
    let (acme, globex) = (acme.expect("an office"), globex.expect("an office"));
    let first = sent(&world, &acme, "first.bin").await;
    let second = sent(&world, &acme, "second.bin").await;
    let (bytes, metadata) = lying(&world, &globex, &first).await;
    let own = lying(&world, &globex, &second).await;

    // Whoever can write there puts the one into the place of the other: as it is; with the context that
    // is expected there; with everything of that place but the wrapped key.
    let mut renamed = metadata.clone();
    let context = metadata["x-amz-t"].replace(first.id.as_str(), second.id.as_str());
    assert_ne!(context, metadata["x-amz-t"]);
    renamed.insert("x-amz-t".to_owned(), context);
    let mut swapped = own.1.clone();
    swapped.insert("x-amz-3".to_owned(), metadata["x-amz-3"].clone());
    let mut bare = own.1.clone();
    bare.remove("x-amz-t");
    let tampered = [
        (metadata, bytes.clone(), ErrorKind::Misaddressed),
        (renamed, bytes, ErrorKind::Damaged),
        (swapped, own.0.clone(), ErrorKind::Damaged),
        (bare, own.0.clone(), ErrorKind::Damaged),
    ];
    let into = inbox(&world, "globex");
    let options = ReceiveOptions { only: Some(second.id.clone()), ..ReceiveOptions::default() };
    let put = async |bytes: Vec<u8>, metadata: Pairs| {
        let put = PutObject {
            bucket: world.exchange.lanes[&world.lane(LANE).expect("a lane")].bucket.to_string(),
            key: format!("{}/{OBJECT}", second.id),
            body: Body::from(bytes),
            metadata,
            ..PutObject::default()
        };
        acme.cloud.s3().put_object(put).await.expect("is put");
    };
    for (metadata, bytes, expected) in tampered {
        put(bytes, metadata).await;
        let received = receive_as(&world, &globex, &into, &options).await.expect("looks");
        let [refused] = received.refused.as_slice() else { panic!("{received:?}") };
        assert_eq!(refused.error.kind(), expected, "{received:?}");
        assert!(visible(&into).is_empty(), "{:?}", visible(&into));
    }
    put(own.0, own.1).await;
    let received = receive_as(&world, &globex, &into, &options).await.expect("is received");
    assert!(received.refused.is_empty(), "{received:?}");
    let files: BTreeMap<String, Vec<u8>> = tree(&into.join(second.id.as_str()));
    assert!(files["second.bin"] == std::fs::read(world.from().join("second.bin")).expect("reads"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kms_refuses_is_said_and_the_same_command_goes_on() {
    let world = world(0x4b3, "").await;
    let acme = world.office("acme").await.expect("an office");
    let file = world.payload("scan.bin", (9 << 20) + 5).expect("a payload");
    let admin = world.administrator("111111111111").await.expect("a connection");
    let policy = admin.kms().get_key_policy(&key_id(&admin).await).await.expect("a policy");
    let without =
        policy.replace("WriterMakesSealingKeys\",\"Effect\":\"Allow", "W\",\"Effect\":\"Deny");
    assert_ne!(without, policy);
    admin.kms().put_key_policy(&key_id(&admin).await, &without).await.expect("is put");
    let refused = send(&world, &acme, std::slice::from_ref(&file)).await.expect_err("has no key");
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused:?}");
    assert!(refused.to_string().contains(KEY), "{refused:?}");
    assert!(refused.hint().expect("a hint").contains("consign plan"), "{refused:?}");
    admin.kms().put_key_policy(&key_id(&admin).await, &policy).await.expect("is put");
    send(&world, &acme, &[file]).await.expect("is sent");

    admin.kms().delete_alias("alias/consign/acme-globex/to-client").await.expect("is gone");
    let globex = world.office("globex").await.expect("an office");
    let into = inbox(&world, "globex");
    let received = receive_as(&world, &globex, &into, &ReceiveOptions::default()).await;
    let received = received.expect("looks");
    let [refused] = received.refused.as_slice() else { panic!("{received:?}") };
    // To another account KMS denies what is not there.
    assert_eq!(refused.error.kind(), ErrorKind::Denied, "{received:?}");
    assert!(refused.error.to_string().contains(KEY), "{received:?}");
    let other = world.payload("other.bin", 1000).expect("a payload");
    let refused = send(&world, &acme, &[other]).await.expect_err("has no key");
    assert_eq!(refused.kind(), ErrorKind::Configuration, "{refused:?}");
}

async fn key_id(admin: &Cloud) -> String {
    let found = admin.kms().describe_key("alias/consign/acme-globex/to-client").await;
    found.expect("an answer").expect("a key").arn
}
