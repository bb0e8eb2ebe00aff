//! Plans carried out on the local cloud, which enforces what they write, and every party's
//! requests judged by S3's answers.

use crate::support::place::Place;
use crate::support::{ROLES, desired, hub, lane, party, roles_to_make, users_in_one_account};
use consign_cloud::ErrorKind as CloudErrorKind;
use consign_cloud::kms::CreateKey;
use consign_cloud::s3::bucket::CreateBucket;
use consign_cloud::s3::{GetObject, ListRequest, PutObject};
use consign_provision::plan::Action;
use consign_provision::prove::Documents;
use consign_provision::{
    Applied, Desired, Error, ErrorKind, Hands, Keys, Plan, Step, apply, observe, plan,
    plan_destroy, prove,
};
use std::ops::ControlFlow;

async fn planned(desired: &Desired, hands: &Hands) -> Plan {
    let observed = observe(desired, hands).await.expect("an observation");
    plan(desired, &observed).expect("a plan")
}

/// Applies a plan, up to the step of that number.
async fn attempt(
    plan: &Plan,
    desired: &Desired,
    hands: &Hands,
    told: &Keys,
    stop: Option<usize>,
) -> Result<Applied, Error> {
    let mut watch = |number, _: &Step| match stop {
        Some(stop) if number == stop => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    apply(plan, desired, hands, told, &mut watch).await
}

async fn carry_out(plan: &Plan, desired: &Desired, hands: &Hands) {
    let applied = attempt(plan, desired, hands, &Keys::new(), None).await;
    let applied = applied.map_err(|error| chain(&error)).expect("applied");
    assert_eq!(applied.steps, plan.steps.len());
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn put(bucket: &str, key: &str) -> PutObject {
    PutObject {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        body: b"a letter".to_vec().into(),
        ..PutObject::default()
    }
}

fn get(bucket: &str, key: &str) -> GetObject {
    GetObject { bucket: bucket.to_owned(), key: key.to_owned(), ..GetObject::default() }
}

/// The two by two by {put, get, list, delete} matrix, asked of S3 itself.
async fn check_matrix(place: &Place, desired: &Desired) {
    let mut parties = Vec::new();
    for name in desired.parties.keys() {
        parties.push((name.as_ref(), place.party(desired, name.as_ref()).await));
    }
    for lane in desired.lanes.values() {
        let bucket = lane.bucket.as_ref();
        for (name, cloud) in &parties {
            let s3 = cloud.s3();
            let writes = lane.writer.party.as_ref() == *name;
            let reads = lane.readers.iter().any(|reader| reader.party.as_ref() == *name);
            let check = |what: &str, allowed: bool, result: Result<(), consign_cloud::Error>| {
                let what = format!("{name}: {what} on {}", lane.name);
                match result {
                    Ok(()) => assert!(allowed, "{what} was allowed"),
                    Err(error) => {
                        assert!(!allowed, "{what}: {}", chain(&error));
                        assert_eq!(
                            error.kind(),
                            CloudErrorKind::AccessDenied,
                            "{what}: {}",
                            chain(&error)
                        );
                    }
                }
            };
            let consignment = "01JD3V5Y7Q8R9SATBVCWDXEYFZ/000001.age";
            check("put", writes, s3.put_object(put(bucket, "letter")).await.map(drop));
            let once = PutObject { if_none_match: true, ..put(bucket, consignment) };
            let first = s3.put_object(once).await.map(drop);
            check("put into a consignment", writes, first);
            check("overwrite", false, s3.put_object(put(bucket, consignment)).await.map(drop));
            check("delete", false, s3.delete_object(bucket, "letter", None).await.map(drop));
            let list = ListRequest { bucket: bucket.to_owned(), ..ListRequest::default() };
            check("list", reads, s3.list_objects(&list).await.map(drop));
            if !reads {
                let got = s3.get_object_bytes(&get(bucket, "letter"), 100).await;
                check("get", false, got.map(drop));
            }
        }
        let reads = |name: &str| lane.readers.iter().any(|reader| reader.party.as_ref() == name);
        let (_, reader) = parties.iter().find(|(name, _)| reads(name)).expect("the reader");
        let (bytes, _) =
            reader.s3().get_object_bytes(&get(bucket, "letter"), 100).await.expect("the letter");
        assert_eq!(bytes.as_ref(), b"a letter");
    }
}

#[tokio::test]
async fn what_is_applied_is_proved_and_enforced() {
    let users = ROLES.replace("role/", "user/");
    for text in [ROLES.to_owned(), users_in_one_account(), users, roles_to_make(), hub(2)] {
        let place = Place::start().await;
        let desired = desired(&text);
        place.make_roles(&desired).await;
        let hands = place.hands().await;
        let first = planned(&desired, &hands).await;
        assert!(first.left.is_empty(), "{:#?}", first.left);
        carry_out(&first, &desired, &hands).await;

        let observed = observe(&desired, &hands).await.expect("an observation");
        let again = plan(&desired, &observed).expect("a plan");
        assert!(again.is_empty(), "{:#?}", again.steps);
        let proof = prove(&desired, &Documents::observed(&desired, &observed)).expect("a proof");
        let failures: Vec<String> = proof.failures().map(ToString::to_string).collect();
        assert!(proof.holds() && proof.assumed.is_empty(), "{failures:#?}");
        check_matrix(&place, &desired).await;
        place.running.shutdown().await;
    }
}

/// Stopped before every single call, and every plan made before that refused afterwards.
#[tokio::test]
async fn stopping_before_any_call_and_going_on_converges() {
    stop_before_every(1, &users_in_one_account()).await;
    // Planning is pure and stopped everywhere for these in `planning.rs`; here the calls count.
    stop_before_every(4, &roles_to_make()).await;
    stop_before_every(4, &hub(1)).await;
}

async fn stop_before_every(stride: usize, text: &str) {
    let place = Place::start().await;
    let desired = desired(text);
    let hands = place.hands().await;
    let none = Keys::new();
    let steps = planned(&desired, &hands).await.steps.len();
    for stop in (0..steps).step_by(stride) {
        let first = planned(&desired, &hands).await;
        let error =
            attempt(&first, &desired, &hands, &none, Some(stop)).await.expect_err("stopped");
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{}", chain(&error));
        if stop > 0 {
            // Stopped before its first step, unless it notices earlier.
            let error = attempt(&first, &desired, &hands, &none, Some(0)).await.expect_err("stale");
            assert_eq!(error.kind(), ErrorKind::Stale);
        }
        carry_out(&planned(&desired, &hands).await, &desired, &hands).await;
        let rest = planned(&desired, &hands).await;
        assert!(!rest.widens(), "{:#?}", rest.effects);
        assert!(rest.is_empty(), "stopped before {stop}: {:#?}", rest.steps);
        // Down again, stopped half way and taken up again.
        let observed = observe(&desired, &hands).await.expect("an observation");
        let down = plan_destroy(&desired, &observed).expect("a plan");
        let stop = stop % down.steps.len();
        assert!(attempt(&down, &desired, &hands, &none, Some(stop)).await.is_err());
        let observed = observe(&desired, &hands).await.expect("an observation");
        carry_out(&plan_destroy(&desired, &observed).expect("a plan"), &desired, &hands).await;
        let observed = observe(&desired, &hands).await.expect("an observation");
        assert!(plan_destroy(&desired, &observed).expect("a plan").is_empty());
    }
    place.running.shutdown().await;
}

/// The answer to `CreateKey` was lost: the key is there, nothing names it, and it is found again
/// by its tags instead of being created twice.
#[tokio::test]
async fn a_key_without_a_name_is_found_again() {
    let place = Place::start().await;
    let desired = desired(&users_in_one_account());
    let hands = place.hands().await;
    let first = planned(&desired, &hands).await;
    let admin = place.admin("111111111111").await;
    let mut arns = Vec::new();
    for step in &first.steps {
        if let Action::CreateKey { policy, description, tags, .. } = &step.action {
            let (policy, description, tags) = (policy.clone(), description.clone(), tags.clone());
            let key = admin.kms().create_key(&CreateKey { policy, description, tags }).await;
            arns.push(key.expect("a key").arn);
        }
    }
    assert_eq!(arns.len(), 2);
    carry_out(&planned(&desired, &hands).await, &desired, &hands).await;
    assert_eq!(admin.kms().list_keys().await.expect("keys").len(), 2);
    let observed = observe(&desired, &hands).await.expect("an observation");
    assert!(observed.keys().values().all(|key| arns.iter().any(|arn| arn == key.as_str())));
    place.running.shutdown().await;
}

#[tokio::test]
async fn what_is_not_ours_is_refused() {
    let place = Place::start().await;
    let named = "owner = \"acme\"\nbucket = \"a-popular-name\"";
    let desired = desired(&ROLES.replacen("owner = \"acme\"", named, 1));
    let hands = place.hands().await;
    let bucket = "a-popular-name".to_owned();
    let create = CreateBucket { bucket, ..CreateBucket::default() };
    let globex = place.admin("222222222222").await;
    globex.s3().create_bucket(&create).await.expect("somebody else's bucket");
    let error = observe(&desired, &hands).await.expect_err("a bucket of another account");
    assert_eq!(error.kind(), ErrorKind::NotOurs, "{}", chain(&error));
    place.running.shutdown().await;
}

#[tokio::test]
async fn destroying_refuses_while_objects_remain() {
    let place = Place::start().await;
    let desired = desired(&users_in_one_account());
    let hands = place.hands().await;
    carry_out(&planned(&desired, &hands).await, &desired, &hands).await;
    let bucket = desired.lanes[&lane("to-client")].bucket.to_string();
    let (acme, globex) =
        (place.party(&desired, "acme").await, place.party(&desired, "globex").await);
    acme.s3().put_object(put(&bucket, "letter")).await.expect("a letter");

    let observed = observe(&desired, &hands).await.expect("an observation");
    let down = plan_destroy(&desired, &observed).expect("a plan");
    let error =
        attempt(&down, &desired, &hands, &Keys::new(), None).await.expect_err("it holds a letter");
    assert_eq!(error.kind(), ErrorKind::HoldsObjects, "{}", chain(&error));
    assert!(error.to_string().contains(&bucket) && error.hint().is_some());
    let denied = globex.s3().get_object_bytes(&get(&bucket, "letter"), 100).await;
    assert_eq!(denied.expect_err("revoked").kind(), CloudErrorKind::AccessDenied);

    // Taken back, the letter is there as before.
    carry_out(&planned(&desired, &hands).await, &desired, &hands).await;
    globex.s3().get_object_bytes(&get(&bucket, "letter"), 100).await.expect("the letter");
    place.running.shutdown().await;
}

/// AWS, and the local cloud, refuse a policy that names somebody who does not exist; what was made a
/// moment ago is not known everywhere at once. So is a partner who comes a little later.
#[tokio::test]
async fn a_principal_that_is_not_known_yet_is_waited_for() {
    let place = Place::start().await;
    let desired = desired(ROLES);
    let ours = Hands::of(place.admin("111111111111").await).await.expect("hands");
    place.make_role(&desired.parties[&party("acme")]).await;
    let first = planned(&desired, &ours).await;
    let mut applying = std::pin::pin!(carry_out(&first, &desired, &ours));
    let soon = tokio::time::sleep(std::time::Duration::from_millis(1500));
    tokio::select! {
        () = &mut applying => panic!("a policy was accepted that names nobody"),
        () = soon => {}
    }
    place.make_role(&desired.parties[&party("globex")]).await;
    applying.await;
    place.running.shutdown().await;
}

/// What was granted on a lane stays granted when the lane is only taken out of the file.
#[tokio::test]
async fn a_lane_that_left_the_file_raises_the_alarm() {
    let place = Place::start().await;
    let both = users_in_one_account();
    let hands = place.hands().await;
    let whole = desired(&both);
    carry_out(&planned(&whole, &hands).await, &whole, &hands).await;
    assert!(planned(&whole, &hands).await.alarms.is_empty());
    let without = desired(&both[..both.find("[lane.from-client]").expect("a second lane")]);
    let alarms = planned(&without, &hands).await.alarms;
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert!(alarms[0].contains("alias/consign/acme-globex/from-client"), "{alarms:?}");
    place.running.shutdown().await;
}

#[tokio::test]
async fn each_party_applies_its_half_with_its_own_hands() {
    let place = Place::start().await;
    let desired = desired(ROLES);
    place.make_roles(&desired).await;
    let acme = Hands::of(place.admin("111111111111").await).await.expect("hands");
    let globex = Hands::of(place.admin("222222222222").await).await.expect("hands");

    let first = planned(&desired, &acme).await;
    let left: Vec<&str> = first.left.iter().map(|left| left.party.as_ref()).collect();
    assert_eq!(left, ["globex"]);
    carry_out(&first, &desired, &acme).await;

    let keys = observe(&desired, &acme).await.expect("an observation").keys();
    let observed = observe(&desired, &globex).await.expect("an observation").told(&keys);
    let second = plan(&desired, &observed).expect("a plan");
    assert_eq!(second.steps.len(), 1, "{:#?}", second.steps);
    attempt(&second, &desired, &globex, &keys, None).await.expect("globex's half");
    check_matrix(&place, &desired).await;
    place.running.shutdown().await;
}
