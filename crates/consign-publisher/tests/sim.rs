//! The machine in a simulated world, through schedules drawn by seed: publishers that crash after any
//! effect, messages that come twice and in any order, requests and answers that are lost, owners who
//! take their objects away. Afterwards every object was delivered once, or lies aside with its
//! reason.
//!
//! `CONSIGN_SCHEDULES` says how many schedules are run; 10,000 without it.

use crate::world::{Chance, Kind, World};
use consign_publisher::{Cause, Permanent};

/// What must hold of a world in which nothing is left to do.
fn check(world: &World, about: &str) {
    for ((of, target), count) in &world.creations {
        assert_eq!(*count, 1, "{about}: {of:?} was put at {target} {count} times");
    }
    for task in &world.tasks {
        let delivered = world.delivered(task);
        let causes = world.causes(task);
        let kind = world.kind(task);
        let fits = |cause: &Cause| match cause {
            Cause::SourceGone => kind == Kind::Vanishing,
            Cause::Permanent { what } => kind == Kind::Denied && *what == Permanent::Denied,
            Cause::Different => kind == Kind::Spoiled,
            Cause::Conflict { there } => kind == Kind::Rival && there.is_some(),
            Cause::GivenUp { .. } => true,
            Cause::Unreadable { .. } | Cause::Foreign | Cause::Unroutable { .. } => false,
        };
        assert!(causes.iter().all(fits), "{about}: {kind:?} {causes:?}");
        assert!(delivered || !causes.is_empty(), "{about}: {kind:?} {task:?} is nowhere");
        match kind {
            Kind::Denied => assert!(!delivered, "{about}: a denied object was delivered"),
            Kind::Spoiled => {
                assert!(
                    !delivered || !world.vouched_for(task),
                    "{about}: a spoiled one is vouched for"
                );
            }
            // Given up between the copy and its record: it lies aside, and sending it back mends it.
            _ if delivered && !causes.is_empty() => {}
            _ => assert_eq!(delivered, world.has_record(task), "{about}: {kind:?} {task:?}"),
        }
        let wants_alarm = causes.iter().any(|cause| {
            matches!(cause, Cause::Permanent { .. } | Cause::Different | Cause::Conflict { .. })
        });
        assert!(!wants_alarm || world.alarmed(task), "{about}: no alarm of {causes:?}");
    }
    assert_eq!(world.unreadable_sent, world.unreadable_aside(), "{about}: an unreadable message");
    assert!(world.queue_is_empty(), "{about}: a message is left");
}

#[test]
fn every_schedule_ends_in_one_delivery_or_a_reason() {
    let schedules = std::env::var("CONSIGN_SCHEDULES").ok().and_then(|text| text.parse().ok());
    let schedules: u64 = schedules.unwrap_or(10_000);
    let (mut crashes, mut aside, mut deliveries, mut taken) = (0, 0, 0, 0);
    for seed in 0..schedules {
        let mut world = World::drawn(seed);
        world.run_schedule();
        world.settle();
        check(&world, &format!("seed {seed}"));
        crashes += world.crashes;
        taken += world.taken;
        aside += world.aside_count();
        deliveries += world.creations.len();
    }
    println!(
        "{schedules} schedules: {deliveries} deliveries, {aside} aside, {crashes} crashes, {taken} taken"
    );
    assert!(crashes > 0 && aside > 0 && deliveries > 0 && taken > 0, "schedules without incident");
}

/// What was put aside because it was tried too often, or because a policy said no, is delivered when
/// the message is sent back after the fault is mended: nothing that lies aside is half done.
#[test]
fn what_lies_aside_can_be_sent_back() {
    for seed in 0..2000 {
        let mut world = World::drawn(seed);
        world.run_schedule();
        world.settle();
        world.mend();
        world.send_back();
        world.settle();
        for task in &world.tasks {
            if matches!(world.kind(task), Kind::Plain | Kind::Denied | Kind::Large) {
                assert!(world.delivered(task), "seed {seed}: {task:?}");
                assert!(world.has_record(task), "seed {seed}: {task:?}");
            }
        }
        for ((of, target), count) in &world.creations {
            assert_eq!(*count, 1, "seed {seed}: {of:?} at {target}");
        }
    }
}

/// One publisher, one object, no other fault: a crash after the first effect, the second, and so on
/// until a run needs no further crash; for a small and for a large object.
#[test]
fn a_crash_after_each_effect_changes_nothing() {
    for kind in [Kind::Plain, Kind::Large] {
        let mut effects = 0;
        for crash_at in 1.. {
            let mut world = World::with_one(kind, Chance::none());
            world.crash_after_effects = Some(crash_at);
            world.settle();
            check(&world, &format!("{kind:?}, crash after effect {crash_at}"));
            assert_eq!(world.creations.len(), 1, "{kind:?}, crash after effect {crash_at}");
            if world.crashes == 0 {
                break;
            }
            effects = crash_at;
        }
        let least = if kind == Kind::Plain { 5 } else { 9 };
        assert!(effects >= least, "{kind:?}: only {effects} effects were crashed after");
    }
}

/// A store that overwrites: one publisher that looks first still makes each copy once, through crashes,
/// lost requests and lost answers.
#[test]
fn where_copies_overwrite_one_publisher_copies_once() {
    let mut crashes = 0;
    for seed in 0..2000 {
        let odds = |shift: u32| (seed >> shift) % 4 * 5;
        let chance = Chance {
            crash: odds(0),
            lost_request: odds(2),
            lost_answer: odds(4),
            throttled: odds(6),
            ..Chance::none()
        };
        let kind = if seed % 3 == 0 { Kind::Large } else { Kind::Plain };
        let mut world = World::with_one(kind, chance).where_copies_overwrite(seed);
        world.run_schedule();
        world.settle();
        check(&world, &format!("overwriting, seed {seed}"));
        crashes += world.crashes;
    }
    assert!(crashes > 0, "schedules without incident");
}

/// A refusal is told at once, and not after hours of trying.
#[test]
fn a_refusal_is_an_alarm_at_the_first_receive() {
    let mut world = World::with_one(Kind::Denied, Chance::none());
    world.settle();
    check(&world, "denied");
    assert_eq!((world.receives, world.alarm_count()), (1, 1));
}

/// The queue tells once more, much later, what was delivered and taken away: nothing happens.
#[test]
fn an_event_told_again_delivers_nothing_again() {
    let mut world = World::with_one(Kind::Plain, Chance::none());
    world.settle();
    world.take_all();
    world.tell_again();
    world.settle();
    check(&world, "told again");
    assert_eq!(world.creations.len(), 1);
}
