//! One message, step by step: what is asked, and in what order.

use consign_cloud::s3::Checksums;
use consign_model::Labels;
use consign_publisher::{
    Answer, Cause, Effect, Failure, Handling, Limits, Permanent, Placed, Received, Seen, Source,
    Step, Target, Task, There,
};

const LIMITS: Limits = Limits {
    lease_seconds: 60,
    attempts_max: 3,
    receives_max: 2,
    single_copy_bytes_max: 1 << 20,
    part_bytes_min: 1 << 20,
    parts_at_once: 2,
    look_first: false,
};

fn task() -> Task {
    Task {
        source: Source {
            bucket: "repository".to_owned(),
            owner: "111111111111".to_owned(),
            key: "k".to_owned(),
            version_id: Some("v".to_owned()),
        },
        route: consign_model::RouteName::parse("route").expect("a name"),
        target: Target {
            inbox: consign_model::InboxName::parse("inbox").expect("a name"),
            bucket: "inbox".to_owned(),
            owner: "222222222222".to_owned(),
            key: "from-acme/k".to_owned(),
            kms_key: None,
        },
    }
}

fn checksums(crc32: &str) -> Checksums {
    Checksums::of_whole([("crc32", Some(crc32.to_owned()))])
}

fn there(bytes: u64) -> There {
    There {
        version_id: Some("v".to_owned()),
        etag: "e".to_owned(),
        bytes,
        checksums: checksums("c"),
        content_type: None,
        labels: Labels::default(),
    }
}

fn seen(bytes: u64) -> Seen {
    Seen { content: Some(there(bytes)), tasks: vec![task()], refused: Vec::new() }
}

fn begin(receive_count: u32) -> (Handling, Vec<Effect>) {
    let received = Received { receive_count, lease_until_ms: 60_000, seed: 1 };
    let (handling, step) = Handling::begin(LIMITS, received, vec![task().source], Vec::new());
    (handling, step.effects)
}

/// The effects after each answer, the handling at the end.
fn run(mut handling: Handling, answers: Vec<(u64, Answer)>) -> (Handling, Vec<Effect>, bool) {
    let mut last = Step { effects: Vec::new(), done: false };
    for (now_ms, answer) in answers {
        (handling, last) = handling.step(now_ms, answer);
    }
    (handling, last.effects, last.done)
}

#[test]
fn a_message_without_events_is_deleted_at_once() {
    let received = Received { receive_count: 1, lease_until_ms: 60_000, seed: 1 };
    let (handling, step) = Handling::begin(LIMITS, received, Vec::new(), Vec::new());
    assert_eq!((step.effects, step.done), (vec![Effect::Delete], false));
    assert!(handling.step(1, Answer::Deleted(Ok(()))).1.done);
}

#[test]
fn a_copy_that_is_not_what_was_sent_is_put_aside() {
    let (handling, _) = begin(1);
    let (handling, _, _) = run(handling, vec![(1, Answer::Seen(Ok(seen(5))))]);
    let (handling, _, _) = run(handling, vec![(2, Answer::Record(Ok(false)))]);
    let (_, effects, _) = run(handling, vec![(3, Answer::Copied(Ok((None, checksums("d")))))]);
    let different = |effect: &Effect| matches!(effect, Effect::PutAside(reasons) if reasons[0].cause == Cause::Different);
    assert!(effects.iter().any(different), "{effects:?}");
}

#[test]
fn five_requests_deliver_an_object() {
    let (handling, effects) = begin(1);
    assert_eq!(effects, [Effect::Look(task().source)]);
    let (handling, effects, _) = run(handling, vec![(1, Answer::Seen(Ok(seen(5))))]);
    assert!(matches!(effects.as_slice(), [Effect::FindRecord { .. }]), "{effects:?}");
    let (handling, effects, _) = run(handling, vec![(2, Answer::Record(Ok(false)))]);
    let [Effect::Copy { of, content, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((of.version.as_str(), content.etag.as_str()), ("v", "e"));
    let made = (Some("v2".to_owned()), checksums("c"));
    let (handling, effects, _) = run(handling, vec![(3, Answer::Copied(Ok(made)))]);
    let [Effect::Record(delivery)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(delivery.content, Some(there(5)));
    assert_eq!(delivery.target_version_id.as_deref(), Some("v2"));
    let (handling, effects, _) = run(handling, vec![(4, Answer::Recorded(Ok(())))]);
    assert_eq!(effects, [Effect::Delete]);
    let (_, effects, done) = run(handling, vec![(5, Answer::Deleted(Ok(())))]);
    assert!(done && effects.is_empty());
}

/// Parts take long. Meanwhile another publisher delivered the same, and the owner took it away: the
/// empty place would take a second one.
#[test]
fn a_large_copy_looks_for_the_record_again_before_it_ends() {
    let (handling, _) = begin(1);
    let part = |part| Answer::PartCopied {
        upload_id: "u".to_owned(),
        part,
        result: Ok(format!("etag {part}")),
    };
    let (handling, effects, _) = run(
        handling,
        vec![
            (1, Answer::Seen(Ok(seen(3 << 20)))),
            (2, Answer::Record(Ok(false))),
            (3, Answer::UploadCreated(Ok("u".to_owned()))),
            (4, part(2)),
            (5, part(1)),
            (6, part(3)),
        ],
    );
    assert!(matches!(effects.as_slice(), [Effect::FindRecord { .. }]), "{effects:?}");
    let (_, effects, _) = run(handling.clone(), vec![(7, Answer::Record(Ok(true)))]);
    assert!(
        matches!(effects.as_slice(), [Effect::AbortUpload { .. }, Effect::Delete]),
        "{effects:?}"
    );
    let (_, effects, _) = run(handling, vec![(7, Answer::Record(Ok(false)))]);
    let [Effect::CompleteUpload { etags, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(etags, &["etag 1", "etag 2", "etag 3"]);
}

/// A line that is cut fails all parts that are on it: that is one failure. And what moves is not given up,
/// however many parts of a thousand have failed.
#[test]
fn parts_that_fail_together_fail_once_and_progress_is_patience() {
    let part = |part, result| Answer::PartCopied { upload_id: "u".to_owned(), part, result };
    let fails = |number| part(number, Err(Failure::Passing));
    let (handling, _) = begin(1);
    let begun = vec![
        (1, Answer::Seen(Ok(seen(3 << 20)))),
        (2, Answer::Record(Ok(false))),
        (3, Answer::UploadCreated(Ok("u".to_owned()))),
    ];
    let (begun, _, _) = run(handling, begun);
    let round = |at: u64| vec![(at, fails(1)), (at + 1, fails(2)), (at + 2, Answer::Waited)];
    let (twice, effects, _) = run(begun, [round(4), round(7)].concat());
    let asked = |effects: &[Effect]| -> Vec<u32> {
        let part = |effect: &Effect| match effect {
            Effect::CopyPart { part, .. } => Some(*part),
            _ => None,
        };
        effects.iter().filter_map(part).collect()
    };
    assert_eq!(asked(&effects), [1, 2]);
    let moved = vec![(10, part(1, Ok("one".to_owned()))), (11, fails(2)), (12, Answer::Waited)];
    let (moved, effects, _) = run(twice.clone(), [moved, vec![(13, fails(2))]].concat());
    assert!(matches!(effects.as_slice(), [Effect::Wait { .. }]), "{effects:?}");
    let (_, effects, _) = run(moved, vec![(14, Answer::Waited)]);
    assert_eq!(asked(&effects), [2]);
    // Without progress the third is the last.
    let (_, effects, done) = run(twice, vec![(10, fails(1))]);
    assert!(done);
    let expected = [Effect::AbortUpload { upload_id: "u".to_owned(), target: task().target }];
    assert_eq!(effects[..1], expected);
    assert!(matches!(effects[1], Effect::Release { .. }), "{effects:?}");
}

/// The upload vanished and another was begun: what comes late of the first is not taken for a part of
/// the second.
#[test]
fn parts_of_an_upload_that_was_given_up_are_ignored() {
    let (handling, _) = begin(1);
    let part =
        |id: &str, part, result| Answer::PartCopied { upload_id: id.to_owned(), part, result };
    let (handling, _, _) = run(
        handling,
        vec![
            (1, Answer::Seen(Ok(seen(2 << 20)))),
            (2, Answer::Record(Ok(false))),
            (3, Answer::UploadCreated(Ok("first".to_owned()))),
            (4, part("first", 1, Err(Failure::UploadGone))),
            (5, Answer::Waited),
            (6, Answer::Source(Ok(there(2 << 20)))),
            (7, Answer::Record(Ok(false))),
            (8, Answer::UploadCreated(Ok("second".to_owned()))),
            (9, part("second", 1, Ok("one".to_owned()))),
        ],
    );
    let late = part("first", 2, Ok("late".to_owned()));
    let (after, effects, _) = run(handling.clone(), vec![(10, late)]);
    assert_eq!((after, effects), (handling, Vec::new()));
}

#[test]
fn the_message_is_kept_while_there_is_work_and_left_when_it_is_lost() {
    let (handling, _) = begin(1);
    let (handling, effects, _) = run(handling, vec![(29_000, Answer::Tick)]);
    assert!(effects.is_empty(), "more than half of the time is left: {effects:?}");
    let (handling, effects, _) = run(handling, vec![(31_000, Answer::Tick)]);
    assert_eq!(effects, [Effect::Extend { seconds: 60 }]);
    let (handling, effects, _) = run(handling, vec![(32_000, Answer::Tick)]);
    assert!(effects.is_empty(), "asked already: {effects:?}");
    let (kept, _, _) = run(handling.clone(), vec![(33_000, Answer::Extended(Ok(())))]);
    assert_eq!(kept.lease_until_ms(), 91_000);
    let refused = Failure::Permanent(Permanent::Refused);
    let (_, effects, done) = run(handling.clone(), vec![(33_000, Answer::Extended(Err(refused)))]);
    assert!(done && effects.is_empty(), "{effects:?}");
    let (_, effects, done) = run(handling, vec![(60_000, Answer::Seen(Ok(seen(5))))]);
    assert!(done && effects.is_empty(), "the time is over: {effects:?}");
}

#[test]
fn what_passes_is_tried_again_then_rests_then_is_put_aside() {
    let failing = |receive_count| {
        let (handling, _) = begin(receive_count);
        let fails = || Answer::Seen(Err(Failure::Throttled));
        run(
            handling,
            vec![
                (1, fails()),
                (2, Answer::Waited),
                (3, fails()),
                (4, Answer::Waited),
                (5, fails()),
            ],
        )
    };
    let (_, effects, done) = failing(1);
    assert!(done && matches!(effects.as_slice(), [Effect::Release { .. }]), "{effects:?}");
    let (_, effects, done) = failing(2);
    let [Effect::PutAside(reasons)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(reasons[0].cause, Cause::GivenUp { receives: 2 });
    assert!(!done && reasons[0].source == Some(task().source));
}

/// A message that ended its publisher each time is not copied again, but what was done is found.
#[test]
fn after_too_many_receives_nothing_is_copied_any_more() {
    let (handling, _) = begin(3);
    let (handling, effects, _) =
        run(handling, vec![(1, Answer::Seen(Ok(seen(5)))), (2, Answer::Record(Ok(false)))]);
    assert_eq!(effects, [Effect::AskTarget(task().target)]);
    let (_, effects, _) =
        run(handling, vec![(3, Answer::Target(Err(Failure::Permanent(Permanent::Denied))))]);
    assert!(matches!(effects.as_slice(), [Effect::PutAside(_)]), "{effects:?}");
}

/// An answer that fits nowhere changes nothing.
#[test]
fn stray_answers_are_ignored() {
    let (handling, _) = begin(1);
    for answer in [
        Answer::Recorded(Ok(())),
        Answer::Deleted(Ok(())),
        Answer::PutAside(Ok(())),
        Answer::Waited,
        Answer::Copied(Ok((None, Checksums::default()))),
        Answer::PartCopied { upload_id: String::new(), part: 0, result: Err(Failure::Absent) },
        Answer::PartCopied { upload_id: String::new(), part: u32::MAX, result: Ok(String::new()) },
    ] {
        let (after, effects, done) = run(handling.clone(), vec![(1, answer.clone())]);
        assert_eq!((after, effects, done), (handling.clone(), Vec::new(), false), "{answer:?}");
    }
}

/// After a refusal because something is there, "denied" means denied, and an object of another source
/// is a conflict.
#[test]
fn a_place_that_is_taken_is_asked_whose_it_is() {
    let (handling, _) = begin(1);
    let (handling, effects, _) = run(
        handling,
        vec![
            (1, Answer::Seen(Ok(seen(5)))),
            (2, Answer::Record(Ok(false))),
            (3, Answer::Copied(Err(Failure::Taken))),
        ],
    );
    assert_eq!(effects, [Effect::AskTarget(task().target)]);
    let of = consign_publisher::SourceId {
        bucket: "repository".to_owned(),
        key: "k".to_owned(),
        version: "v".to_owned(),
    };
    let ours = Placed { of: Some(of.digest()), version_id: Some("v9".to_owned()) };
    let (_, effects, _) = run(handling.clone(), vec![(4, Answer::Target(Ok(ours)))]);
    let [Effect::Record(delivery)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(delivery.target_version_id.as_deref(), Some("v9"));
    let conflict = Answer::Target(Ok(Placed::default()));
    let (_, effects, _) = run(handling.clone(), vec![(4, conflict)]);
    assert!(matches!(effects.as_slice(), [Effect::Alarm(_), Effect::PutAside(_)]), "{effects:?}");
    let denied = || Answer::Target(Err(Failure::Permanent(Permanent::Denied)));
    let again = || {
        vec![
            (5, denied()),
            (5, Answer::Waited),
            (6, Answer::Source(Ok(there(5)))),
            (7, Answer::Record(Ok(false))),
            (8, Answer::Copied(Err(Failure::Taken))),
        ]
    };
    let (handling, _, _) = run(handling, again());
    let (handling, effects, _) = run(handling, again());
    assert_eq!(effects, [Effect::AskTarget(task().target)]);
    let (_, effects, _) = run(handling, vec![(9, denied())]);
    assert!(matches!(effects.as_slice(), [Effect::Alarm(_), Effect::PutAside(_)]), "{effects:?}");
}

/// Asked to stop: the upload ends, and the message is there for others at once.
#[test]
fn a_message_can_be_given_back() {
    let (handling, _) = begin(1);
    let (handling, _, _) = run(
        handling,
        vec![
            (1, Answer::Seen(Ok(seen(2 << 20)))),
            (2, Answer::Record(Ok(false))),
            (3, Answer::UploadCreated(Ok("upload".to_owned()))),
        ],
    );
    let step = handling.give_back();
    let [Effect::AbortUpload { .. }, Effect::Release { seconds: 0 }] = step.effects.as_slice()
    else {
        panic!("{:?}", step.effects)
    };
}

/// A store whose copies overwrite: nothing is copied before the place was seen to be empty.
#[test]
fn where_copies_overwrite_the_place_is_looked_at_first() {
    let limits = Limits { look_first: true, ..LIMITS };
    let received = Received { receive_count: 1, lease_until_ms: 60_000, seed: 1 };
    let begun = Handling::begin(limits, received, vec![task().source], Vec::new()).0;
    let answers = vec![(1, Answer::Seen(Ok(seen(5)))), (2, Answer::Record(Ok(false)))];
    let (handling, effects, _) = run(begun, answers);
    assert_eq!(effects, [Effect::AskTarget(task().target)]);
    let found = |result| run(handling.clone(), vec![(3, Answer::Target(result))]).1;
    let effects = found(Err(Failure::Absent));
    let [Effect::Copy { of, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let placed = |of| Ok(Placed { of, version_id: Some("v2".to_owned()) });
    let effects = found(placed(Some(of.digest())));
    assert!(matches!(effects.as_slice(), [Effect::Record(_)]), "{effects:?}");
    for there in [None, Some(consign_model::SourceDigest::of("b", "k", "another"))] {
        let effects = found(placed(there));
        let conflict = Cause::Conflict { there };
        let put = |it: &Effect| matches!(it, Effect::PutAside(why) if why[0].cause == conflict);
        assert!(effects.iter().any(put), "{effects:?}");
    }
    // Whether the place is empty cannot be known, and is not guessed.
    let effects = found(Err(Failure::Permanent(Permanent::Denied)));
    assert!(effects.iter().any(|it| matches!(it, Effect::PutAside(_))), "{effects:?}");
    // A copy whose answer was lost was made.
    let lost = vec![
        (3, Answer::Target(Err(Failure::Absent))),
        (4, Answer::Copied(Err(Failure::Passing))),
        (5, Answer::Waited),
        (6, Answer::Target(placed(Some(of.digest())))),
    ];
    let (_, effects, _) = run(handling.clone(), lost);
    assert!(matches!(effects.as_slice(), [Effect::Record(_)]), "{effects:?}");
}
