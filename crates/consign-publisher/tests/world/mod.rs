//! A repository, an inbox, a queue and publishers, all in memory, under a clock of their own.

mod chance;
mod stores;

use std::collections::{BTreeMap, BTreeSet};

use chance::Random;
pub(crate) use chance::{Chance, Kind};
use consign_cloud::s3::Checksums;
use consign_publisher::{
    Answer, Cause, Effect, Failure, Handling, Limits, Permanent, Reason, Received, Source,
    SourceId, Step, Target, Task,
};
use stores::{Inbox, Recorded, Repository, is_of, labels_of};

const LEASE_SECONDS: u32 = 60;
/// Small, so that large objects are cheap.
const LIMITS: Limits = Limits {
    lease_seconds: LEASE_SECONDS,
    attempts_max: 4,
    receives_max: 4,
    single_copy_bytes_max: 100,
    part_bytes_min: 64,
    parts_at_once: 2,
    look_first: false,
};
/// An owner takes an object away no earlier than so long after its record.
const TAKE_AFTER_MS: u64 = 2 * 1000 * LEASE_SECONDS as u64;
/// Larger than [`LIMITS`] copies at once; parts are whole mebibytes.
pub(crate) const LARGE_BYTES: u64 = (5 << 20) + 7;

#[derive(Clone)]
struct Message {
    tasks: Vec<Task>,
    refused: Vec<Reason>,
    visible_ms: u64,
    receipt: u64,
    receives: u32,
}

/// What a publisher has in hand for one message.
struct Work {
    handling: Handling,
    message: u64,
    receipt: u64,
    tasks: Vec<Task>,
    refused: Vec<Reason>,
    effects: Vec<Effect>,
    answers: Vec<(u64, Answer)>,
}

/// Everything.
pub(crate) struct World {
    random: Random,
    now_ms: u64,
    chance: Chance,
    repository: Repository,
    inbox: Inbox,
    queue: BTreeMap<u64, Message>,
    next_id: u64,
    publishers: Vec<Vec<Work>>,
    aside: Vec<(Vec<Task>, Vec<Reason>, Vec<Reason>)>,
    alarms: Vec<Reason>,
    kinds: BTreeMap<SourceId, Kind>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) creations: BTreeMap<(SourceId, String), u32>,
    pub(crate) crashes: u64,
    pub(crate) receives: u64,
    pub(crate) taken: u64,
    pub(crate) unreadable_sent: usize,
    pub(crate) crash_after_effects: Option<u64>,
}

impl World {
    fn empty(seed: u64, chance: Chance, publishers: usize) -> World {
        World {
            random: Random(seed),
            now_ms: 1_000_000,
            chance,
            repository: Repository::default(),
            inbox: Inbox::default(),
            queue: BTreeMap::new(),
            next_id: 1,
            publishers: (0..publishers).map(|_| Vec::new()).collect(),
            aside: Vec::new(),
            alarms: Vec::new(),
            kinds: BTreeMap::new(),
            tasks: Vec::new(),
            creations: BTreeMap::new(),
            crashes: 0,
            receives: 0,
            taken: 0,
            unreadable_sent: 0,
            crash_after_effects: None,
        }
    }

    /// One publisher and one object.
    pub(crate) fn with_one(kind: Kind, chance: Chance) -> World {
        let mut world = World::empty(7, chance, 1);
        let task = world.object(0, kind, "k0");
        world.send(vec![task], Vec::new());
        world
    }

    /// A world by seed: faults, publishers, objects, and messages about them in any number.
    pub(crate) fn drawn(seed: u64) -> World {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
        let mut odds = || match random.below(4) {
            0 => 0,
            1 => 3,
            2 => 8,
            _ => 30,
        };
        let chance = Chance {
            crash: odds() * 2,
            lost_request: odds(),
            lost_answer: odds(),
            throttled: odds(),
            undeleted: odds(),
            pause: odds() * 4,
        };
        let publishers = 1 + random.index(3);
        let mut world = World::empty(random.next(), chance, publishers);
        for number in 0..1 + world.random.below(5) {
            let place = format!("k{number}");
            let kind = match world.random.below(10) {
                0 => Kind::Large,
                1 => Kind::Vanishing,
                2 => Kind::Denied,
                3 => Kind::Spoiled,
                4 => Kind::Rival,
                _ => Kind::Plain,
            };
            let rivals = if kind == Kind::Rival { 2 } else { 1 };
            for rival in 0..rivals {
                let task = world.object(number * 10 + rival, kind, &place);
                if kind == Kind::Plain && world.random.once_in(3) {
                    let mut second = task.clone();
                    second.target.key = format!("second/{place}");
                    world.tasks.push(second);
                }
                for _ in 0..1 + world.random.below(2) {
                    world.send(vec![task.clone()], Vec::new());
                }
            }
        }
        if world.random.once_in(4) {
            let tasks = world.tasks.iter().take(2).cloned().collect();
            world.send(tasks, Vec::new());
        }
        if world.random.once_in(4) {
            let cause = Cause::Unreadable { why: "no event".to_owned() };
            world.send(Vec::new(), vec![Reason::of_message(cause)]);
            world.unreadable_sent = 1;
        }
        world
    }

    fn object(&mut self, number: u64, kind: Kind, place: &str) -> Task {
        let bytes = if kind == Kind::Large { LARGE_BYTES } else { number % 90 };
        let of = self.repository.add(number, bytes, kind == Kind::Denied);
        if kind == Kind::Spoiled {
            self.inbox.spoils.insert(of.clone());
        }
        self.kinds.insert(of.clone(), kind);
        let source = Source {
            bucket: of.bucket.clone(),
            owner: "111111111111".to_owned(),
            key: of.key.clone(),
            version_id: Some(of.version),
        };
        let target = Target {
            inbox: consign_model::InboxName::parse("inbox").expect("a name"),
            bucket: "inbox".to_owned(),
            owner: "222222222222".to_owned(),
            key: place.to_owned(),
            kms_key: None,
        };
        let route = consign_model::RouteName::parse("route").expect("a name");
        let task = Task { source, target, route };
        self.tasks.push(task.clone());
        task
    }

    fn send(&mut self, tasks: Vec<Task>, refused: Vec<Reason>) {
        // Disorder: some are seen later than others.
        let visible_ms = self.now_ms + self.random.below(20_000);
        let message = Message { tasks, refused, visible_ms, receipt: 0, receives: 0 };
        self.next_id += 1;
        self.queue.insert(self.next_id, message);
    }

    /// Faults and crashes for a while.
    pub(crate) fn run_schedule(&mut self) {
        for _ in 0..60 + self.random.below(200) {
            match self.random.below(12) {
                0 => self.now_ms += self.random.below(4000),
                1 if self.random.once_in(self.chance.pause) => {
                    self.now_ms += self.random.below(2000 * u64::from(LEASE_SECONDS));
                }
                2 => self.vanish(),
                3 => self.take(),
                4 => self.tick(),
                5 | 6 => self.receive(),
                _ => drop(self.work()),
            }
        }
    }

    /// No more faults: goes on until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        self.chance = Chance::none();
        for round in 0.. {
            assert!(round < 200_000, "the world does not come to rest");
            self.receive();
            if !self.work() {
                let busy = self.publishers.iter().any(|works| !works.is_empty());
                if !busy && self.queue.is_empty() {
                    return;
                }
                self.now_ms += 500;
            }
        }
    }

    fn receive(&mut self) {
        let index = self.random.index(self.publishers.len());
        if self.publishers[index].len() >= 3 {
            return;
        }
        let now_ms = self.now_ms;
        let visible: Vec<u64> = self
            .queue
            .iter()
            .filter(|(_, message)| message.visible_ms <= now_ms)
            .map(|(id, _)| *id)
            .collect();
        if visible.is_empty() {
            return;
        }
        let id = visible[self.random.index(visible.len())];
        let lost = self.random.once_in(self.chance.lost_answer);
        let (receipt, seed) = (self.random.next(), self.random.next());
        let message = self.queue.get_mut(&id).expect("it is visible");
        message.receives += 1;
        message.receipt = receipt;
        message.visible_ms = now_ms + u64::from(LEASE_SECONDS) * 1000;
        self.receives += 1;
        if lost {
            return;
        }
        let (receive_count, lease_until_ms) = (message.receives, message.visible_ms);
        let received = Received { receive_count, lease_until_ms, seed };
        let (tasks, refused) = (message.tasks.clone(), message.refused.clone());
        let mut objects: Vec<Source> = tasks.iter().map(|task| task.source.clone()).collect();
        objects.dedup();
        let limits = Limits { look_first: self.inbox.overwrites, ..LIMITS };
        let (handling, step) = Handling::begin(limits, received, objects, refused.clone());
        let (effects, answers) = (step.effects, Vec::new());
        let work = Work { handling, message: id, receipt, tasks, refused, effects, answers };
        self.publishers[index].push(work);
    }

    fn tick(&mut self) {
        let index = self.random.index(self.publishers.len());
        for at in 0..self.publishers[index].len() {
            self.publishers[index][at].answers.push((self.now_ms, Answer::Tick));
        }
    }

    /// Carries out an effect or hands over an answer, of any publisher; false when there is none.
    fn work(&mut self) -> bool {
        let mut ready = Vec::new();
        for (index, works) in self.publishers.iter().enumerate() {
            for (at, work) in works.iter().enumerate() {
                let due = |(when, _): &(u64, Answer)| *when <= self.now_ms;
                if !work.effects.is_empty() || work.answers.iter().any(due) {
                    ready.push((index, at));
                }
            }
        }
        if ready.is_empty() {
            return false;
        }
        let (index, at) = ready[self.random.index(ready.len())];
        let mut work = self.publishers[index].remove(at);
        let due: Vec<usize> = (0..work.answers.len())
            .filter(|answer| work.answers[*answer].0 <= self.now_ms)
            .collect();
        let answers_first = work.effects.is_empty() || self.random.once_in(2);
        let done = if !due.is_empty() && answers_first {
            let (_, answer) = work.answers.remove(due[self.random.index(due.len())]);
            let (handling, Step { effects, done }) = work.handling.step(self.now_ms, answer);
            work.handling = handling;
            work.effects.extend(effects);
            done
        } else {
            let alarm = work.effects.iter().position(|effect| matches!(effect, Effect::Alarm(_)));
            let next = alarm.unwrap_or_else(|| self.random.index(work.effects.len()));
            let effect = work.effects.remove(next);
            self.carry_out(&mut work, effect);
            if self.crashes_now() {
                // Whatever the publisher had in hand is gone.
                self.publishers[index].clear();
                return true;
            }
            false
        };
        // A message's last effects (aborts, alarms, releases) are carried out all the same.
        if done || (work.effects.is_empty() && work.answers.is_empty()) {
            for effect in std::mem::take(&mut work.effects) {
                self.carry_out(&mut work, effect);
            }
        } else {
            self.publishers[index].push(work);
        }
        true
    }

    fn crashes_now(&mut self) -> bool {
        let planned = match &mut self.crash_after_effects {
            Some(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            None => false,
        };
        if planned {
            self.crash_after_effects = None;
        }
        let crashes = planned || self.random.once_in(self.chance.crash);
        self.crashes += u64::from(crashes);
        crashes
    }

    /// Does in the world what is asked, unless the message is ours no more, or it is lost.
    fn carry_out(&mut self, work: &mut Work, effect: Effect) {
        if self.now_ms >= work.handling.lease_until_ms() {
            let alarm = matches!(effect, Effect::Alarm(_));
            if !alarm {
                work.answers.push((self.now_ms, Answer::Tick));
                return;
            }
        }
        let failure = if self.random.once_in(self.chance.throttled) {
            Some((false, Failure::Throttled))
        } else if self.random.once_in(self.chance.lost_request) {
            Some((false, Failure::Passing))
        } else if self.random.once_in(self.chance.lost_answer) {
            Some((true, Failure::Passing))
        } else {
            None
        };
        let now_ms = self.now_ms;
        let answer = match effect {
            Effect::Wait { ms } => {
                work.answers.push((now_ms + ms, Answer::Waited));
                return;
            }
            Effect::Alarm(reason) => return self.alarms.push(reason),
            Effect::PutAside(reasons) => self.tried(
                failure,
                |world| {
                    world.aside.push((work.tasks.clone(), work.refused.clone(), reasons));
                    Ok(())
                },
                Answer::PutAside,
            ),
            Effect::Delete => self.tried(failure, |world| world.delete(work), Answer::Deleted),
            Effect::Extend { seconds } => {
                self.tried(failure, |world| world.hide(work, seconds), Answer::Extended)
            }
            Effect::Release { seconds } => {
                let _ = self.hide(work, seconds);
                return;
            }
            Effect::Look(source) => self.tried(
                failure,
                |world| world.repository.look(&source, &world.tasks),
                Answer::Seen,
            ),
            Effect::HeadSource(source) => {
                self.tried(failure, |world| world.repository.head(&source), Answer::Source)
            }
            Effect::FindRecord { of, target } => self.tried(
                failure,
                |world| Ok(world.inbox.records.contains_key(&of.delivery(&target))),
                Answer::Record,
            ),
            Effect::AskTarget(target) => {
                self.tried(failure, |world| world.inbox.ask(&target.key), Answer::Target)
            }
            Effect::Copy { source, content, of, target, .. } => self.tried(
                failure,
                |world| {
                    assert!(content.bytes <= LIMITS.single_copy_bytes_max, "too large to copy");
                    assert_eq!(content, world.repository.get(&source, &content.etag)?);
                    world.create(of, &target.key, content.checksums)
                },
                Answer::Copied,
            ),
            Effect::CreateUpload { of, content, target, .. } => self.tried(
                failure,
                |world| {
                    assert_eq!(content.labels, labels_of(&of));
                    world.next_id += 1;
                    Ok(world.inbox.begin(world.next_id, of, target.key))
                },
                Answer::UploadCreated,
            ),
            Effect::CopyPart { upload_id, part, range, source, etag, .. } => {
                let id = upload_id.clone();
                let copy = |world: &mut World| {
                    let there = world.repository.get(&source, &etag)?;
                    assert!(range.1 < there.bytes && range.0 <= range.1, "{range:?}");
                    world.inbox.part(&upload_id, part, range)
                };
                let answer = |result| Answer::PartCopied { upload_id: id.clone(), part, result };
                self.tried(failure, copy, answer)
            }
            Effect::CompleteUpload { upload_id, etags, bytes, target } => self.tried(
                failure,
                |world| {
                    let (of, assembled) = world.inbox.assembled(&upload_id, &etags)?;
                    assert_eq!(assembled, bytes, "parts are missing");
                    let checksums = world.repository.checksums(&of);
                    let made = world.create(of, &target.key, checksums)?;
                    world.inbox.uploads.remove(&upload_id);
                    Ok(made)
                },
                Answer::Copied,
            ),
            Effect::AbortUpload { upload_id, .. } => {
                self.inbox.uploads.remove(&upload_id);
                return;
            }
            Effect::Record(delivery) => {
                self.tried(failure, |world| world.inbox.record(delivery, now_ms), Answer::Recorded)
            }
        };
        work.answers.push((now_ms, answer));
    }

    /// A request that is lost on its way, or whose answer is, or neither.
    fn tried<T>(
        &mut self,
        failure: Option<(bool, Failure)>,
        request: impl FnOnce(&mut World) -> Result<T, Failure>,
        answer: impl FnOnce(Result<T, Failure>) -> Answer,
    ) -> Answer {
        match failure {
            Some((false, failure)) => answer(Err(failure)),
            Some((true, failure)) => {
                let _ = request(self);
                answer(Err(failure))
            }
            None => answer(request(self)),
        }
    }

    fn delete(&mut self, work: &Work) -> Result<(), Failure> {
        let undeleted = self.random.once_in(self.chance.undeleted);
        let held = self.queue.get(&work.message).is_some_and(|m| m.receipt == work.receipt);
        if held && !undeleted {
            self.queue.remove(&work.message);
        }
        Ok(())
    }

    fn hide(&mut self, work: &Work, seconds: u32) -> Result<(), Failure> {
        let message = self.queue.get_mut(&work.message);
        let held = message
            .filter(|message| message.receipt == work.receipt && message.visible_ms > self.now_ms);
        let message = held.ok_or(Failure::Permanent(Permanent::Refused))?;
        message.visible_ms = self.now_ms + u64::from(seconds) * 1000;
        Ok(())
    }

    fn create(
        &mut self,
        of: SourceId,
        place: &str,
        checksums: Checksums,
    ) -> Result<(Option<String>, Checksums), Failure> {
        let made = self.inbox.create(&of, place, checksums)?;
        *self.creations.entry((of, place.to_owned())).or_default() += 1;
        Ok(made)
    }

    fn vanish(&mut self) {
        let vanishing: Vec<SourceId> = self.kinds_of(Kind::Vanishing);
        if !vanishing.is_empty() && self.random.once_in(4) {
            let of = &vanishing[self.random.index(vanishing.len())];
            self.repository.remove(of);
        }
    }

    fn kinds_of(&self, kind: Kind) -> Vec<SourceId> {
        self.kinds.iter().filter(|(_, found)| **found == kind).map(|(of, _)| of.clone()).collect()
    }

    /// An owner takes an object away whose record is old enough.
    fn take(&mut self) {
        if self.random.once_in(2) {
            self.taken += self.inbox.take(self.now_ms.saturating_sub(TAKE_AFTER_MS));
        }
    }

    /// Every object is taken away, in its time.
    pub(crate) fn take_all(&mut self) {
        self.now_ms += TAKE_AFTER_MS;
        self.taken += self.inbox.take(self.now_ms - TAKE_AFTER_MS);
    }

    /// Every message once more.
    pub(crate) fn tell_again(&mut self) {
        for task in self.tasks.clone() {
            self.send(vec![task], Vec::new());
        }
    }

    /// What was denied is allowed.
    pub(crate) fn mend(&mut self) {
        self.repository.denied.clear();
    }

    /// What lies aside comes again; what cannot be read stays.
    pub(crate) fn send_back(&mut self) {
        for (tasks, refused, reasons) in std::mem::take(&mut self.aside) {
            match refused.is_empty() {
                true => self.send(tasks, Vec::new()),
                false => self.aside.push((tasks, refused, reasons)),
            }
        }
    }

    fn of(task: &Task) -> SourceId {
        SourceId {
            bucket: task.source.bucket.clone(),
            key: task.source.key.clone(),
            version: task.source.version_id.clone().expect("all have versions"),
        }
    }

    pub(crate) fn kind(&self, task: &Task) -> Kind {
        self.kinds[&World::of(task)]
    }

    pub(crate) fn delivered(&self, task: &Task) -> bool {
        self.creations.contains_key(&(World::of(task), task.target.key.clone()))
    }

    pub(crate) fn has_record(&self, task: &Task) -> bool {
        self.record(task).is_some()
    }

    fn record(&self, task: &Task) -> Option<&Recorded> {
        self.inbox.records.get(&World::of(task).delivery(&task.target))
    }

    /// Whether whoever reads the record and the object would take one for the other.
    pub(crate) fn vouched_for(&self, task: &Task) -> bool {
        self.record(task).is_some_and(|recorded| self.inbox.fits(recorded))
    }

    pub(crate) fn causes(&self, task: &Task) -> Vec<Cause> {
        let reasons = self.aside.iter().flat_map(|(_, _, reasons)| reasons);
        reasons.filter(|reason| is_of(reason, task)).map(|r| r.cause.clone()).collect()
    }

    pub(crate) fn alarmed(&self, task: &Task) -> bool {
        self.alarms.iter().any(|reason| is_of(reason, task))
    }

    pub(crate) fn alarm_count(&self) -> usize {
        self.alarms.len()
    }

    pub(crate) fn aside_count(&self) -> usize {
        self.aside.len()
    }

    pub(crate) fn unreadable_aside(&self) -> usize {
        let unreadable = |reasons: &[Reason]| {
            reasons.iter().any(|reason| matches!(reason.cause, Cause::Unreadable { .. }))
        };
        let found: BTreeSet<bool> =
            self.aside.iter().map(|(_, _, reasons)| unreadable(reasons)).collect();
        usize::from(found.contains(&true))
    }

    pub(crate) fn queue_is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
