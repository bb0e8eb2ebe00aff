//! Roles that the exchange makes, principals that are gone, things taken over, and what counts as
//! letting somebody new in, in a world made of values.

use crate::support::{
    ROLES, World, desired, empty_world, exchange, hub, lane, party, roles_to_make, world_with_roles,
};
use consign_provision::desired::TAG_EXCHANGE;
use consign_provision::observed::{Observed, Sight};
use consign_provision::plan::{Action, Purpose};
use consign_provision::{Desired, ErrorKind, Plan, plan, plan_adopting, plan_destroy};
use std::collections::BTreeSet;

fn applied(desired: &Desired) -> Observed {
    let mut world = World::new(desired, world_with_roles(desired));
    for step in plan(desired, &world.observed).expect("a plan").steps {
        world.perform(&step);
    }
    world.observed
}

fn words(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.words.as_str()).collect()
}

#[test]
fn roles_are_made_with_the_trust_that_the_file_declares() {
    let desired = desired(&roles_to_make());
    let whole = plan(&desired, &empty_world(&desired)).expect("a plan");
    assert!(whole.left.is_empty(), "{:#?}", whole.left);
    assert!(
        words(&whole)[0].starts_with(
            "create role/xfer/acme-ours for party `acme`, to be assumed by \
             arn:aws:iam::222222222222:root"
        ),
        "{:#?}",
        words(&whole)
    );
    let Action::CreateRole { trust, tags, path, .. } = &whole.steps[0].action else {
        panic!("{:?}", whole.steps[0]);
    };
    assert_eq!(path, "/xfer/");
    assert_eq!(tags[TAG_EXCHANGE], "acme-globex");
    assert_eq!(
        trust,
        concat!(
            r#"{"Version":"2012-10-17","Statement":[{"Sid":"Assume","Effect":"Allow","#,
            r#""Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"sts:AssumeRole","#,
            r#""Condition":{"StringEquals":{"sts:ExternalId":"acme-4711"}}}]}"#
        )
    );
}

/// A role can trust another party's role only once that exists.
#[test]
fn a_role_that_trusts_a_party_comes_after_it() {
    let text = roles_to_make()
        .replace("arn:aws:iam::222222222222:root", "arn:aws:iam::222222222222:role/acme-transfer");
    let desired = desired(&text);
    let whole = plan(&desired, &empty_world(&desired)).expect("a plan");
    let made: Vec<&str> = words(&whole).into_iter().take(2).collect();
    assert!(made[0].starts_with("create role/acme-transfer"), "{made:#?}");
    assert!(made[1].starts_with("create role/xfer/acme-ours"), "{made:#?}");
}

/// ann trusts bob, bob trusts carl: made in the order carl, bob, ann, whatever their names.
#[test]
fn roles_that_trust_each_other_in_a_chain_are_made_from_its_end() {
    let chain = chain_of_trust("arn:aws:iam::111111111111:root");
    let desired = Desired::of(&exchange(&chain)).expect("a chain");
    let whole = plan(&desired, &empty_world(&desired)).expect("a plan");
    let roles = whole.steps.iter().filter_map(|step| match &step.action {
        Action::CreateRole { name, .. } => Some(name.as_str()),
        _ => None,
    });
    assert_eq!(roles.collect::<Vec<_>>(), ["carl", "bob", "ann"]);
}

#[test]
fn roles_that_wait_for_each_other_are_refused() {
    let circle = chain_of_trust("arn:aws:iam::111111111111:role/ann");
    let error = Desired::of(&exchange(&circle)).expect_err("a circle");
    assert_eq!(error.kind(), ErrorKind::Exchange);
    assert!(error.to_string().contains("party `ann`"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("trust = ")), "{error}");
}

fn chain_of_trust(end: &str) -> String {
    let party = |name: &str, trusts: &str| {
        format!(
            "[party.{name}]\naccount = \"111111111111\"\nprincipal = \"role/{name}\"\n\
             trust = \"{trusts}\"\n"
        )
    };
    let role = |name: &str| format!("arn:aws:iam::111111111111:role/{name}");
    let parties = [party("ann", &role("bob")), party("bob", &role("carl")), party("carl", end)];
    format!(
        "version = 1\nexchange = \"chain\"\nregion = \"eu-west-1\"\n{}\
         [lane.letters]\nfrom = \"ann\"\nto = [\"bob\", \"carl\"]\n",
        parties.concat()
    )
}

#[test]
fn a_changed_trust_is_put_right_on_our_own_role_only_and_widens() {
    let desired = desired(&roles_to_make());
    let mut observed = applied(&desired);
    let role =
        |observed: &mut Observed,
         change: &dyn Fn(&mut consign_provision::observed::ObservedPrincipal)| {
            match observed.parties.get_mut(&party("globex")) {
                Some(Sight::Present(seen)) => change(seen),
                _ => panic!("no role"),
            }
        };
    role(&mut observed, &|seen| seen.trust = Some("{}".to_owned()));
    let mended = plan(&desired, &observed).expect("a plan");
    assert_eq!(
        words(&mended),
        ["let arn:aws:iam::222222222222:root assume role/acme-transfer, and nobody else"]
    );
    assert!(mended.widens());
    role(&mut observed, &|seen| seen.tags.clear());
    let theirs = plan(&desired, &observed).expect("a plan");
    assert!(theirs.is_empty(), "{:#?}", words(&theirs));
    assert!(theirs.kept.iter().any(|it| it.contains("trust policy is left")), "{:#?}", theirs.kept);
    let down = plan_destroy(&desired, &observed).expect("a plan");
    let deleted: Vec<&str> =
        words(&down).into_iter().filter(|it| it.starts_with("delete role/")).collect();
    assert_eq!(deleted, ["delete role/xfer/acme-ours"], "only what the exchange made");
}

/// The partner deleted its role and made one of the same name: AWS shows the id of the old one.
#[test]
fn a_principal_that_is_gone_raises_the_alarm_and_its_successor_is_not_let_in_unasked() {
    let desired = desired(ROLES);
    let mut observed = applied(&desired);
    let seen = observed.lanes.get_mut(&lane("to-client")).expect("a lane");
    let (Sight::Present(bucket), Sight::Present(key)) = (&mut seen.bucket, &mut seen.key) else {
        panic!("no bucket");
    };
    let gone = |text: &str| {
        let arn = r#""AWS":"arn:aws:iam::222222222222:role/acme-transfer""#;
        assert!(text.contains(arn), "{text}");
        text.replace(arn, r#""AWS":"AROAEXAMPLEEXAMPLEID""#)
    };
    bucket.policy = bucket.policy.as_deref().map(gone);
    key.policy = gone(&key.policy);
    let plan = plan(&desired, &observed).expect("a plan");
    assert_eq!(plan.alarms.len(), 2, "{:#?}", plan.alarms);
    assert!(
        plan.alarms[0].starts_with(
            "the bucket policy of lane `to-client` names AROAEXAMPLEEXAMPLEID, a user or role that"
        ),
        "{:#?}",
        plan.alarms
    );
    assert!(plan.widens());
}

#[test]
fn adopting_is_explicit_for_a_lane_and_never_takes_from_another_exchange() {
    let desired = desired(ROLES);
    let mut observed = applied(&desired);
    let seen = observed.lanes.get_mut(&lane("to-client")).expect("a lane");
    let (Sight::Present(bucket), Sight::Present(key)) = (&mut seen.bucket, &mut seen.key) else {
        panic!("no bucket");
    };
    bucket.tags.clear();
    bucket.tags.insert("team".to_owned(), "lab".to_owned());
    key.tags.clear();
    let error = plan(&desired, &observed).expect_err("not ours");
    assert_eq!(error.kind(), ErrorKind::NotOurs);
    assert!(error.hint().expect("a hint").contains("consign adopt --lane to-client"));
    let other = BTreeSet::from([lane("from-client")]);
    assert!(plan_adopting(&desired, &observed, &other).is_err(), "another lane's adoption");

    let adopting = BTreeSet::from([lane("to-client")]);
    let adoption = plan_adopting(&desired, &observed, &adopting).expect("a plan");
    assert_eq!(adoption.purpose, Purpose::Apply);
    assert_eq!(adoption.steps.len(), 2, "{:#?}", words(&adoption));
    let mut world = World::new(&desired, observed.clone());
    for step in &adoption.steps {
        world.perform(step);
    }
    assert!(plan(&desired, &world.observed).expect("a plan").is_empty());
    let bucket = world.observed.lanes[&lane("to-client")].bucket.seen().expect("a bucket");
    assert_eq!(bucket.tags["team"], "lab", "other tags stay");

    let Some(Sight::Present(bucket)) =
        observed.lanes.get_mut(&lane("to-client")).map(|it| &mut it.bucket)
    else {
        panic!("no bucket");
    };
    bucket.tags.insert(TAG_EXCHANGE.to_owned(), "another".to_owned());
    let error = plan_adopting(&desired, &observed, &adopting).expect_err("another exchange's");
    assert_eq!(error.kind(), ErrorKind::NotOurs);
}

/// A new partner of a hub gets its own lanes; nothing that exists is touched, so nothing widens.
#[test]
fn a_new_partner_changes_nothing_for_the_others() {
    let before = desired(&hub(2));
    let built = applied(&before);
    let after = desired(&hub(3));
    let mut observed = empty_world(&after);
    observed.lanes.extend(built.lanes);
    observed.parties.extend(built.parties);
    let growth = plan(&after, &observed).expect("a plan");
    assert!(!growth.is_empty() && !growth.widens());
    for step in &growth.steps {
        assert!(step.words.contains("p2"), "{}", step.words);
    }
    for effect in &growth.effects {
        assert!(effect.lane.as_str().ends_with("-p2"), "{effect}");
    }
}

/// What AWS limits does not grow with the partners: the hub has no identity policy at all, and
/// each lane's policies name two principals.
#[test]
fn a_thousand_partners_fit() {
    let before = std::time::Instant::now();
    let desired = desired(&hub(1_000));
    let described = before.elapsed();
    assert_eq!(desired.lanes.len(), 2_000);
    let keys = desired.planned_keys();
    assert!(desired.identity_policy(&desired.parties[&party("lab")], &keys).is_none());
    let largest = desired.parties.values().filter_map(|it| desired.identity_policy(it, &keys));
    let largest = largest.map(|it| it.to_json().len()).max().expect("policies");
    let planned = plan(&desired, &empty_world(&desired)).expect("a plan");
    println!(
        "1,000 partners: described in {described:?}, planned in {:?}, {} steps, largest identity \
         policy {largest} characters",
        before.elapsed(),
        planned.steps.len()
    );
    assert!(largest <= consign_provision::policies::limits::USER_INLINE_BYTES);
    assert_eq!(planned.effects.len(), 4_000, "two parties gain on each lane, and nobody else");
}
