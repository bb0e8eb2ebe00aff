//! Plans are complete, ordered, repeatable and honest about what they leave to others, in a
//! world made of values. Performing them on a real service is another test's business.

use crate::support::{
    ROLES, World, desired, empty_world, exchange, few_shapes, lane, party, shapes, world_with_roles,
};
use consign_provision::desired::{DesiredLane, TAG_EXCHANGE, TAG_LANE};
use consign_provision::observed::{Observed, ObservedLane, ObservedPrincipal, Sight};
use consign_provision::plan::{Action, Change};
use consign_provision::policies::limits;
use consign_provision::prove::{Documents, cells};
use consign_provision::{
    Desired, ErrorKind, KeyArn, Keys, Plan, Subject, plan, plan_destroy, prove,
};
use std::collections::BTreeMap;

fn applied(desired: &Desired) -> Observed {
    let mut world = World::new(desired, world_with_roles(desired));
    for step in plan(desired, &world.observed).expect("a plan").steps {
        world.perform(&step);
    }
    world.observed
}

#[test]
fn what_is_applied_needs_nothing_more_and_is_as_declared() {
    for (name, text) in shapes() {
        let desired = desired(&text);
        let observed = applied(&desired);
        let again = plan(&desired, &observed).expect(name);
        assert!(again.is_empty(), "{name}: {:#?}", again.steps);
        assert!(again.left.is_empty() && again.effects.is_empty(), "{name}: {again:#?}");
        let proof = prove(&desired, &Documents::observed(&desired, &observed)).expect(name);
        assert!(proof.holds(), "{name}: {:?}", proof.failures().next().map(ToString::to_string));
        assert!(proof.assumed.is_empty(), "{name}: {:?}", proof.assumed);
    }
}

/// Stopped before every single step, planned again, stopped again: it converges to the same
/// world, and on no way there can anybody do what he may not do at the end.
#[test]
fn stopping_anywhere_and_going_on_converges_without_opening_anything() {
    for (name, text) in few_shapes() {
        let desired = desired(&text);
        let steps = plan(&desired, &world_with_roles(&desired)).expect(name).steps.len();
        for stop in 0..=steps {
            let mut world = World::new(&desired, world_with_roles(&desired));
            let first = plan(&desired, &world.observed).expect(name);
            for step in first.steps.iter().take(stop) {
                world.perform(step);
            }
            check_never_wider(&desired, &world.observed, name);
            world.restart();
            for step in plan(&desired, &world.observed).expect(name).steps {
                world.perform(&step);
            }
            let rest = plan(&desired, &world.observed).expect(name);
            assert!(rest.is_empty(), "{name}, stopped before {stop}: {:#?}", rest.steps);
        }
    }
}

fn check_never_wider(desired: &Desired, observed: &Observed, name: &str) {
    let cells = cells(desired, &Documents::observed(desired, observed)).expect(name);
    for cell in cells.iter().filter(|cell| !cell.holds()) {
        let untouched =
            observed.lanes[&cell.lane].bucket.seen().is_some_and(|it| it.policy.is_none());
        let absent = observed.lanes[&cell.lane].bucket == Sight::Absent;
        // Before its first policy a bucket is empty, and a closed one refuses what is declared;
        // either way nobody gains.
        let wider = cell.actual == consign_provision::prove::Access::Allowed;
        assert!(!wider || untouched || absent || is_listing_by_owner(cell), "{name}: {cell}");
    }
}

/// A closed lane lets its owner's administrators see that it is empty.
fn is_listing_by_owner(cell: &consign_provision::prove::Cell) -> bool {
    use consign_provision::Operation::{List, ListRecords, ListVersions};
    matches!(cell.operation, List | ListRecords | ListVersions)
        && matches!(cell.subject, Subject::Administrator { .. } | Subject::Root { .. })
}

#[test]
fn destroying_revokes_first_and_leaves_nothing() {
    for (name, text) in few_shapes() {
        let desired = desired(&text);
        let built = applied(&desired);
        let whole = plan_destroy(&desired, &built).expect(name);
        check_order(&whole, name);
        for stop in 0..=whole.steps.len() {
            let mut world = World::new(&desired, built.clone());
            for step in whole.steps.iter().take(stop) {
                world.perform(step);
            }
            for step in plan_destroy(&desired, &world.observed).expect(name).steps {
                world.perform(&step);
            }
            let lanes = world.observed.lanes.values();
            let nothing = ObservedLane { bucket: Sight::Absent, key: Sight::Absent };
            assert!(lanes.clone().all(|lane| *lane == nothing), "{name}, stopped before {stop}");
            let rest = plan_destroy(&desired, &world.observed).expect(name);
            assert!(rest.is_empty(), "{name}, stopped before {stop}: {:#?}", rest.steps);
        }
    }
}

fn check_order(plan: &Plan, name: &str) {
    let place = |kind: fn(&Action) -> bool| {
        let all = plan.steps.iter().enumerate().filter(|(_, step)| kind(&step.action));
        let places: Vec<usize> = all.map(|(place, _)| place).collect();
        (places.first().copied().unwrap_or(0), places.last().copied().unwrap_or(0))
    };
    let (_, last_revocation) = place(|action| {
        matches!(
            action,
            Action::DeleteIdentityPolicy { .. }
                | Action::PutBucketPolicy { .. }
                | Action::PutKeyPolicy { .. }
        )
    });
    let (first_check, last_check) = place(|action| matches!(action, Action::CheckEmpty { .. }));
    let (first_deletion, _) = place(|action| {
        matches!(
            action,
            Action::DeleteBucket { .. }
                | Action::ScheduleKeyDeletion { .. }
                | Action::DeleteAlias { .. }
                | Action::DeleteUser { .. }
        )
    });
    assert!(last_revocation < first_check && last_check < first_deletion, "{name}: {plan:#?}");
}

#[test]
fn an_interrupted_destruction_can_be_taken_back() {
    let desired = desired(ROLES);
    let built = applied(&desired);
    let whole = plan_destroy(&desired, &built).expect("a plan");
    for stop in 0..=whole.steps.len() {
        let mut world = World::new(&desired, built.clone());
        for step in whole.steps.iter().take(stop) {
            world.perform(step);
        }
        for step in plan(&desired, &world.observed).expect("a plan").steps {
            world.perform(&step);
        }
        assert!(plan(&desired, &world.observed).expect("a plan").is_empty(), "before step {stop}");
    }
}

#[test]
fn plans_are_values() {
    let desired = desired(ROLES);
    let world = world_with_roles(&desired);
    let one = plan(&desired, &world).expect("a plan");
    assert_eq!(one, plan(&desired, &world).expect("a plan"), "the same twice");
    let saved = serde_json::to_string(&one).expect("JSON");
    assert_eq!(one, serde_json::from_str::<Plan>(&saved).expect("a saved plan"));
    assert_ne!(
        one.fingerprint,
        plan(&desired, &empty_world(&desired)).expect("a plan").fingerprint
    );
}

#[test]
fn a_new_exchange_says_who_gains_what() {
    let desired = desired(ROLES);
    let plan = plan(&desired, &world_with_roles(&desired)).expect("a plan");
    let effects: Vec<String> = plan.effects.iter().map(ToString::to_string).collect();
    let expected = [
        "lane `from-client`: acme gains get, get a version, get without the bucket key, get by a fresh URL, list",
        "lane `from-client`: globex gains put, put in parts, put into a consignment, put into a consignment in parts, put without the bucket key, put naming the lane's key, abort an upload",
        "lane `to-client`: acme gains put, put in parts, put into a consignment, put into a consignment in parts, put without the bucket key, put naming the lane's key, abort an upload",
        "lane `to-client`: globex gains get, get a version, get without the bucket key, get by a fresh URL, list",
    ];
    assert_eq!(effects, expected);
    // To open what is new to those whom the file declares is what applying means.
    assert!(!plan.widens() && plan.alarms.is_empty());
}

#[test]
fn drift_is_seen_in_meaning_and_put_right() {
    let desired = desired(ROLES);
    let mut observed = applied(&desired);
    let Some(Sight::Present(bucket)) =
        observed.lanes.get_mut(&lane("to-client")).map(|lane| &mut lane.bucket)
    else {
        panic!("no bucket");
    };
    let policy = bucket.policy.as_mut().expect("a policy");
    // Somebody gave the reader's place to the root user of its account, and switched versions off.
    *policy = policy.replace("role/acme-transfer", "root");
    bucket.versioned = false;
    let plan = plan(&desired, &observed).expect("a plan");
    let words: Vec<&str> = plan.steps.iter().map(|step| step.words.as_str()).collect();
    let bucket = "acme-globex-to-client-111111111111-eu-west-1-an";
    assert_eq!(
        words,
        [
            format!("keep overwritten versions on {bucket}"),
            format!("let acme write and globex read on bucket {bucket}"),
        ]
    );
    assert!(plan.steps.iter().all(|step| step.change == Change::Change));
    let effects: Vec<String> = plan.effects.iter().map(ToString::to_string).collect();
    assert_eq!(
        effects,
        [
            "lane `to-client`: globex gains get, get a version, get without the bucket key, get by a fresh URL, list",
            "lane `to-client`: the root user of 222222222222 loses list",
        ]
    );
    assert!(plan.widens(), "globex gains on a lane that is open");
}

#[test]
fn what_is_not_ours_is_not_touched() {
    let desired = desired(ROLES);
    let built = applied(&desired);
    let check = |what: &str, change: &dyn Fn(&mut ObservedLane)| {
        let mut observed = built.clone();
        change(observed.lanes.get_mut(&lane("to-client")).expect("a lane"));
        for result in [plan(&desired, &observed), plan_destroy(&desired, &observed)] {
            let error = result.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::NotOurs, "{what}: {error}");
            assert!(error.hint().is_some(), "{what}");
        }
    };
    let bucket = |lane: &mut ObservedLane, tags: BTreeMap<String, String>| match &mut lane.bucket {
        Sight::Present(bucket) => bucket.tags = tags,
        _ => panic!("no bucket"),
    };
    let key = |lane: &mut ObservedLane, tags: BTreeMap<String, String>| match &mut lane.key {
        Sight::Present(key) => key.tags = tags,
        _ => panic!("no key"),
    };
    let tags = |exchange: &str, lane: &str| {
        BTreeMap::from([
            (TAG_EXCHANGE.to_owned(), exchange.to_owned()),
            (TAG_LANE.to_owned(), lane.to_owned()),
        ])
    };
    check("a bucket without tags", &|lane| bucket(lane, BTreeMap::new()));
    check("another exchange's bucket", &|lane| bucket(lane, tags("other", "to-client")));
    check("another lane's bucket", &|lane| bucket(lane, tags("acme-globex", "from-client")));
    check("a key without tags", &|lane| key(lane, BTreeMap::new()));
    check("another lane's key", &|lane| key(lane, tags("acme-globex", "from-client")));
}

#[test]
fn each_party_applies_its_half() {
    let desired = desired(ROLES);
    // acme sees its own account only.
    let mut mine = world_with_roles(&desired);
    mine.parties.insert(party("globex"), Sight::Hidden);
    let acme = plan(&desired, &mine).expect("a plan");
    assert!(acme.steps.iter().all(|step| step.account.as_ref() == "111111111111"));
    let left: Vec<(&str, Vec<&String>)> = acme
        .left
        .iter()
        .map(|left| (left.party.as_ref(), left.documents.keys().collect()))
        .collect();
    assert_eq!(left, [("globex", vec![&"identity-globex.json".to_owned()])]);

    // globex sees its own account only, and has been told the keys or not.
    let mut theirs = Observed::default();
    theirs.parties.insert(party("globex"), Sight::Present(ObservedPrincipal::default()));
    let untold = plan(&desired, &theirs).expect("a plan");
    assert!(untold.is_empty(), "{:#?}", untold.steps);
    assert!(untold.left.iter().any(|left| left.words.contains("once the key ARN of lane")));
    let arn = |lane: &str| KeyArn::new(format!("arn:aws:kms:eu-west-1:111111111111:key/{lane}"));
    let keys: Keys = ["to-client", "from-client"].map(|name| (lane(name), arn(name))).into();
    let told = plan(&desired, &theirs.told(&keys)).expect("a plan");
    let [only] = told.steps.as_slice() else { panic!("{:#?}", told.steps) };
    let Action::PutIdentityPolicy { policy, .. } = &only.action else { panic!("{only:?}") };
    assert!(policy.contains("key/to-client") && policy.contains("key/from-client"), "{policy}");
}

#[test]
fn a_role_nobody_may_assume_is_reported_and_not_named() {
    let desired = desired(ROLES);
    let mut world = World::new(&desired, empty_world(&desired));
    let first = plan(&desired, &world.observed).expect("a plan");
    for step in &first.steps {
        // The world panics if a policy names a principal that does not exist.
        world.perform(step);
    }
    let left: Vec<&str> = first.left.iter().map(|left| left.words.as_str()).collect();
    assert_eq!(left.len(), 4, "{left:#?}");
    assert!(left[0].starts_with("create role/xfer/acme-ours in account 111111111111"), "{left:#?}");
    assert!(left[2].starts_with("open lane `from-client`, once role/"), "{left:#?}");
    assert!(plan(&desired, &world.observed).expect("a plan").is_empty());
}

#[test]
fn what_cannot_be_provisioned_is_said_and_not_left_out() {
    let text = ROLES.replacen("owner = \"acme\"", "owner = \"acme\"\nquarantine = true", 1);
    let error = Desired::of(&exchange(&text)).expect_err("no quarantine yet");
    assert_eq!(error.kind(), ErrorKind::Exchange);
    assert!(error.to_string().contains("quarantine"), "{error}");
}

#[test]
fn documents_fit_and_say_so_when_they_do_not() {
    for (name, text) in shapes() {
        let desired = desired(&text);
        for (file, document) in desired.documents(&made(&desired)) {
            let size = document.to_json().len();
            let limit = match file.split('-').next() {
                Some("bucket") => limits::BUCKET_POLICY_BYTES,
                Some("key") => limits::KEY_POLICY_BYTES,
                _ if text.contains("user/") => limits::USER_INLINE_BYTES,
                _ => limits::ROLE_INLINE_BYTES,
            };
            assert!(size <= limit, "{name}: {file} has {size} of {limit}");
        }
    }
    let lanes = |count: usize| {
        let lane = |n| format!("[lane.l{n}]\nfrom = \"acme\"\nto = [\"globex\"]\n");
        ROLES.to_owned() + &(0..count).map(lane).collect::<String>()
    };
    let users = lanes(20).replace("role/", "user/");
    let error = Desired::of(&exchange(&users)).expect_err("too many lanes for a user");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let text = error.to_string();
    assert!(
        text.starts_with("the inline policy of user/xfer/acme-ours (party `acme`) would have "),
        "{text}"
    );
    assert!(text.ends_with("and AWS accepts 2048"), "{text}");
    assert!(error.hint().expect("a hint").contains("role"));
    assert!(Desired::of(&exchange(&lanes(20))).is_ok(), "a role carries more");
}

/// The stand-in for a key may be shorter than its ARN: what is found to fit goes on to fit.
#[test]
fn what_fits_before_its_keys_are_made_fits_with_them() {
    let users = ROLES.replace("role/", "user/").replace("to-client", "l1");
    let mut fitted = 0;
    for lanes in 0..5 {
        let lane = |n| format!("[lane.m{n}]\nfrom = \"acme\"\nto = [\"globex\"]\n");
        let text = users.clone() + &(0..lanes).map(lane).collect::<String>();
        for letters in 3..20 {
            let text = text.replace("acme-globex", &"x".repeat(letters));
            let Ok(desired) = Desired::of(&exchange(&text)) else { break };
            let documents = desired.documents(&made(&desired)).into_iter();
            let identities = documents.filter(|(file, _)| file.starts_with("identity"));
            for (file, document) in identities {
                let size = document.to_json().len();
                assert!(size <= limits::USER_INLINE_BYTES, "{lanes}, {letters}: {file}: {size}");
                fitted += 1;
            }
        }
    }
    assert!((20..250).contains(&fitted), "{fitted}");
}

/// Keys as KMS names them.
fn made(desired: &Desired) -> Keys {
    let lanes = desired.lanes.values().filter(|lane| lane.has_key());
    let arn = |lane: &DesiredLane| {
        let at = format!("arn:aws:kms:{}:{}:key", lane.region, lane.key_owner);
        KeyArn::new(format!("{at}/0a0a0a0a-0000-4000-8000-000000000001"))
    };
    lanes.map(|lane| (lane.name.clone(), arn(lane))).collect()
}
