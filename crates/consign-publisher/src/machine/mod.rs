//! What to do next about one message, decided without doing it.
//!
//! Feed [`Handling::step`] with what was answered; it gives back what to do. For each object:
//!
//! 1. HEAD the source: it is there, this large, and this very version is what will be copied. With
//!    that the routes say where it goes; what follows is for each of those places.
//! 2. Look for the record of its delivery. With one, there is nothing left to do: an event told
//!    twice costs two requests, also when whoever owns the inbox has taken the object away since.
//! 3. Let S3 copy, on the condition that nothing is there. What is there, or was left by a copy
//!    whose answer was lost, says by a tag which content it is: the same is success, another a
//!    conflict. Of a store that knows no such condition ([`Limits::look_first`]) this is asked before.
//! 4. Compare the checksum that S3 tells of the copy, and leave the record (also on the condition
//!    that none is there). A copy whose answer was lost is compared by whoever reads the record,
//!    which tells the source's checksum: the publisher may read nothing of what it has delivered.
//!
//! Then the message is deleted; what cannot be delivered is put aside first, with its reason. So a
//! crash at any point leaves a message that comes again and is handled from the start, and several
//! publishers with the same message do each other's work at worst.
//!
//! What an inbox's owner must do for exactly-once: take an object away only once its record is there,
//! and has been for two leases. Whoever takes it away earlier may be given it again, because to a
//! publisher that looked before the record came, an empty place means that nothing was delivered.

mod asking;
mod effect;
mod state;
mod upload;
mod uploading;

use std::collections::VecDeque;

pub use effect::{Answer, Effect, Limits, Received, Step};
use state::{Found, Job, Phase, Why};
use upload::{End, Upload};

use consign_cloud::s3::Checksums;

use crate::failure::Failure;
use crate::found::{Delivery, Placed, Seen, There};
use crate::record::{Cause, Permanent, Reason, Source};
use crate::wait::Jitter;

/// The longest a message rests before its next try.
const REST_SECONDS_MAX: u32 = 900;

/// An owner does not empty a place each time between two requests.
const DOUBTS_MAX: u32 = 2;

/// A message being handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handling {
    limits: Limits,
    receive_count: u32,
    lease_until_ms: u64,
    /// Until when the message is ours if the request under way succeeds.
    extending_to_ms: Option<u64>,
    jitter: Jitter,
    /// The first is being worked on.
    jobs: VecDeque<Job>,
    reasons: Vec<Reason>,
    phase: Phase,
    /// Requests of this task, or of the end of the message, that failed.
    failures: u32,
    /// How often S3 has said of this task's place that something is there, and then denied it.
    doubts: u32,
    /// A wait is under way; what the phase asks for is asked after it.
    waiting: bool,
}

impl Handling {
    /// Begins to handle a message: the objects that it tells of, and what in it was refused already.
    /// Without either it is deleted at once.
    pub fn begin(
        limits: Limits,
        received: Received,
        objects: Vec<Source>,
        refused: Vec<Reason>,
    ) -> (Handling, Step) {
        let mut handling = Handling {
            limits,
            receive_count: received.receive_count,
            lease_until_ms: received.lease_until_ms,
            extending_to_ms: None,
            jitter: Jitter::new(received.seed),
            jobs: objects.into_iter().map(Job::Look).collect(),
            reasons: Vec::new(),
            phase: Phase::Deleting,
            failures: 0,
            doubts: 0,
            waiting: false,
        };
        let mut effects = Vec::new();
        for reason in refused {
            handling.set_aside(reason, &mut effects);
        }
        handling.next_job(&mut effects);
        let done = handling.is_done();
        (handling, Step { effects, done })
    }

    /// Takes in an answer. What does not fit to where the handling is belongs to a request that
    /// was given up, and changes nothing.
    pub fn step(mut self, now_ms: u64, answer: Answer) -> (Handling, Step) {
        let mut effects = Vec::new();
        if !self.is_done() {
            match answer {
                Answer::Extended(result) => self.extended(result, &mut effects),
                // Whoever has the message now does the same work.
                _ if now_ms >= self.lease_until_ms => self.leave(&mut effects),
                Answer::Waited => self.waited(&mut effects),
                Answer::Tick => {}
                answer => self.answered(answer, &mut effects),
            }
        }
        self.keep(now_ms, &mut effects);
        let done = self.is_done();
        (self, Step { effects, done })
    }

    /// Gives the message back at once, for others to handle: the publisher is asked to stop.
    pub fn give_back(mut self) -> Step {
        let mut effects = Vec::new();
        if !self.is_done() {
            self.leave(&mut effects);
            effects.push(Effect::Release { seconds: 0 });
        }
        Step { effects, done: true }
    }

    /// Until when the message is ours, milliseconds since 1970. An effect must not be begun later:
    /// whoever has the message then may have finished, and a copy would be a second one.
    pub fn lease_until_ms(&self) -> u64 {
        self.lease_until_ms
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Copying was tried as often as it may be; what is left is to see whether it was done.
    fn is_over(&self) -> bool {
        self.receive_count > self.limits.receives_max
    }

    fn answered(&mut self, answer: Answer, effects: &mut Vec<Effect>) {
        match (std::mem::replace(&mut self.phase, Phase::Done), answer) {
            (Phase::Looking, Answer::Seen(result)) => self.seen(result, effects),
            (Phase::LookingAtSource, Answer::Source(result)) => self.source(result, effects),
            (Phase::LookingForRecord(found), Answer::Record(result)) => {
                self.record(found, result, effects);
            }
            (Phase::AskingTarget(found, why), Answer::Target(result)) => {
                self.target(found, why, result, effects);
            }
            (Phase::Copying(found), Answer::Copied(result)) => self.copied(found, result, effects),
            (Phase::Uploading(found, None), Answer::UploadCreated(result)) => {
                self.upload_created(found, result, effects);
            }
            (
                Phase::Uploading(found, Some(upload)),
                Answer::PartCopied { upload_id, part, result },
            ) if upload_id == upload.id => self.part(found, upload, part, result, effects),
            (Phase::Uploading(found, Some(upload)), Answer::Record(result))
                if upload.end == End::LookingForRecord =>
            {
                self.record_of_upload(found, upload, result, effects);
            }
            (Phase::Uploading(found, Some(upload)), Answer::Copied(result))
                if upload.end == End::Completing =>
            {
                if result.is_err() {
                    self.abort(&upload, effects);
                }
                self.copied(found, result, effects);
            }
            (Phase::Recording(delivery), Answer::Recorded(result)) => {
                self.recorded(delivery, result, effects);
            }
            (Phase::PuttingAside, Answer::PutAside(result)) => match result {
                Ok(()) => self.enter(Phase::Deleting, effects),
                Err(failure) => self.end_failed(Phase::PuttingAside, failure, effects),
            },
            (Phase::Deleting, Answer::Deleted(result)) => match result {
                Ok(()) | Err(Failure::Absent) => self.phase = Phase::Done,
                Err(failure) => self.end_failed(Phase::Deleting, failure, effects),
            },
            (phase, _) => self.phase = phase,
        }
    }

    fn seen(&mut self, result: Result<Seen, Failure>, effects: &mut Vec<Effect>) {
        let seen = match result {
            Ok(seen) => seen,
            Err(Failure::Absent) => return self.give_up(Cause::SourceGone, effects),
            Err(failure) => return self.failed(failure, Phase::Looking, effects),
        };
        let Some(Job::Look(source)) = self.jobs.pop_front() else { return };
        for cause in seen.refused {
            let reason = Reason { source: Some(source.clone()), target: None, cause };
            self.set_aside(reason, effects);
        }
        for task in seen.tasks.into_iter().rev() {
            let found = Found::of(&task.source, seen.content.clone());
            self.jobs.push_front(Job::Deliver(task, found.map(Box::new)));
        }
        self.next_job(effects);
    }

    fn source(&mut self, result: Result<There, Failure>, effects: &mut Vec<Effect>) {
        let Some(Job::Deliver(task, _)) = self.jobs.front_mut() else { return };
        let source = &mut task.source;
        let content = match result {
            Ok(there) => {
                source.version_id.clone_from(&there.version_id);
                Some(there)
            }
            // It may be gone because it was delivered long ago.
            Err(Failure::Absent) => None,
            Err(failure) => return self.failed(failure, Phase::LookingAtSource, effects),
        };
        match Found::of(source, content) {
            Some(found) => self.enter(Phase::LookingForRecord(found), effects),
            None => self.give_up(Cause::SourceGone, effects),
        }
    }

    fn record(&mut self, found: Found, result: Result<bool, Failure>, effects: &mut Vec<Effect>) {
        match result {
            Ok(true) => self.finish_job(effects),
            Ok(false) if found.content.is_none() || self.is_over() => {
                self.enter(Phase::AskingTarget(found, Why::Unsure), effects);
            }
            Ok(false) if self.limits.look_first => {
                self.enter(Phase::AskingTarget(found, Why::First), effects);
            }
            Ok(false) => self.copy(found, effects),
            Err(failure) => self.failed(failure, Phase::LookingForRecord(found), effects),
        }
    }

    fn target(
        &mut self,
        found: Found,
        why: Why,
        result: Result<Placed, Failure>,
        effects: &mut Vec<Effect>,
    ) {
        let denied = Failure::Permanent(Permanent::Denied);
        match result {
            Ok(placed) if placed.of == Some(found.of.digest()) => {
                self.arrived(&found, placed.version_id, &Checksums::default(), effects);
            }
            Ok(placed) => self.give_up(Cause::Conflict { there: placed.of }, effects),
            Err(failure) if failure == denied && why == Why::Unsure => {
                self.empty_place(&found, effects);
            }
            Err(Failure::Absent) if why == Why::First => self.copy(found, effects),
            Err(Failure::Absent) => self.empty_place(&found, effects),
            // It may have been taken away a moment after S3 said that it is there. Told again and
            // again, it is the answer.
            Err(failure) if failure == denied && why == Why::Taken && self.doubts < DOUBTS_MAX => {
                self.doubts += 1;
                self.failed(Failure::Passing, Phase::LookingAtSource, effects);
            }
            Err(failure) => self.failed(failure, Phase::AskingTarget(found, why), effects),
        }
    }

    fn empty_place(&mut self, found: &Found, effects: &mut Vec<Effect>) {
        if found.content.is_none() {
            return self.give_up(Cause::SourceGone, effects);
        }
        if self.is_over() {
            return self.give_up(Cause::GivenUp { receives: self.receive_count }, effects);
        }
        // Something kept us from copying, and it was not what is there: perhaps the source has
        // changed.
        self.failed(Failure::Passing, Phase::LookingAtSource, effects);
    }

    fn copy(&mut self, found: Found, effects: &mut Vec<Effect>) {
        let bytes = found.content.as_ref().map_or(0, |content| content.bytes);
        let phase = match bytes > self.limits.single_copy_bytes_max {
            true => Phase::Uploading(found, None),
            false => Phase::Copying(found),
        };
        self.enter(phase, effects);
    }

    fn copied(
        &mut self,
        found: Found,
        result: Result<(Option<String>, Checksums), Failure>,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok((version_id, made)) => self.arrived(&found, version_id, &made, effects),
            // The place is taken: by whom?
            Err(Failure::Taken) => self.enter(Phase::AskingTarget(found, Why::Taken), effects),
            // It may have been carried out.
            Err(failure @ (Failure::Passing | Failure::Throttled | Failure::UploadGone)) => {
                self.failed(failure, Phase::AskingTarget(found, Why::Unsure), effects);
            }
            // The version went away under our hands.
            Err(Failure::Absent) => self.failed(Failure::Passing, Phase::LookingAtSource, effects),
            Err(failure) => self.failed(failure, Phase::LookingAtSource, effects),
        }
    }

    /// The content is in its place: is it what was sent?
    fn arrived(
        &mut self,
        found: &Found,
        version_id: Option<String>,
        made: &Checksums,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Job::Deliver(task, _)) = self.jobs.front() else { return };
        if found.content.as_ref().is_some_and(|sent| sent.checksums.contradict(made)) {
            return self.give_up(Cause::Different, effects);
        }
        let delivery = Delivery {
            of: found.of.clone(),
            route: task.route.clone(),
            target: task.target.clone(),
            target_version_id: version_id,
            content: found.content.clone(),
        };
        self.enter(Phase::Recording(delivery), effects);
    }

    fn recorded(
        &mut self,
        delivery: Delivery,
        result: Result<(), Failure>,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            // Who was there first wrote the same.
            Ok(()) | Err(Failure::Taken) => self.finish_job(effects),
            Err(Failure::Absent) => {
                // No bucket to put it into.
                let refused = Failure::Permanent(Permanent::Refused);
                self.failed(refused, Phase::Recording(delivery), effects);
            }
            Err(failure) => self.failed(failure, Phase::Recording(delivery), effects),
        }
    }

    fn waited(&mut self, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.waiting) {
            self.ask(effects);
        }
    }

    fn extended(&mut self, result: Result<(), Failure>, effects: &mut Vec<Effect>) {
        let until_ms = self.extending_to_ms.take();
        match (result, until_ms) {
            (Ok(()), Some(until_ms)) => self.lease_until_ms = until_ms,
            // It may be extended or not: the old time counts until the next try.
            (Err(Failure::Passing | Failure::Throttled), _) | (Ok(()), None) => {}
            (Err(_), _) => self.leave(effects),
        }
    }

    /// The message is somebody else's by now, who does the same work.
    fn leave(&mut self, effects: &mut Vec<Effect>) {
        if let Phase::Uploading(_, Some(upload)) = &self.phase {
            let upload = upload.clone();
            self.abort(&upload, effects);
        }
        self.phase = Phase::Done;
    }

    /// Says that the message is still ours, when half of its time is over.
    fn keep(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let lease_ms = u64::from(self.limits.lease_seconds) * 1000;
        let left_ms = self.lease_until_ms.saturating_sub(now_ms);
        if !self.is_done() && self.extending_to_ms.is_none() && left_ms < lease_ms / 2 {
            self.extending_to_ms = Some(now_ms + lease_ms);
            effects.push(Effect::Extend { seconds: self.limits.lease_seconds });
        }
    }

    /// A request of the present task failed; `again` is where to go on after a wait.
    fn failed(&mut self, failure: Failure, again: Phase, effects: &mut Vec<Effect>) {
        if let Failure::Permanent(what) = failure {
            return self.give_up(Cause::Permanent { what }, effects);
        }
        if self.count_failure() {
            self.phase = again;
            return self.wait(failure, effects);
        }
        match self.receive_count >= self.limits.receives_max {
            true => self.give_up(Cause::GivenUp { receives: self.receive_count }, effects),
            false => self.release(effects),
        }
    }

    /// Putting aside or deleting failed: the message must not be lost, so it comes again.
    fn end_failed(&mut self, again: Phase, failure: Failure, effects: &mut Vec<Effect>) {
        if let Failure::Permanent(what) = failure {
            let cause = Cause::Permanent { what };
            effects.push(Effect::Alarm(Reason::of_message(cause)));
            return self.release(effects);
        }
        self.failures += 1;
        match self.failures < self.limits.attempts_max {
            true => {
                self.phase = again;
                self.wait(failure, effects);
            }
            false => self.release(effects),
        }
    }

    /// Counts a failed request of the present task; whether it may be asked again. Parts that fail while
    /// one of them waits fail together: that is one failure.
    fn count_failure(&mut self) -> bool {
        self.failures = self.failures_with_this();
        self.failures < self.limits.attempts_max
    }

    fn failures_with_this(&self) -> u32 {
        self.failures + u32::from(!self.waiting)
    }

    fn wait(&mut self, failure: Failure, effects: &mut Vec<Effect>) {
        // Of parts that fail together, one waits for all.
        if !std::mem::replace(&mut self.waiting, true) {
            let ms = self.jitter.after(self.failures, failure == Failure::Throttled);
            effects.push(Effect::Wait { ms });
        }
    }

    fn release(&mut self, effects: &mut Vec<Effect>) {
        let doubled = 5_u32.saturating_mul(1 << self.receive_count.min(16));
        effects.push(Effect::Release { seconds: doubled.min(REST_SECONDS_MAX) });
        self.phase = Phase::Done;
    }

    /// The present task cannot be done.
    fn give_up(&mut self, cause: Cause, effects: &mut Vec<Effect>) {
        let (source, target) = match self.jobs.front() {
            Some(job) => (Some(job.source().clone()), job.target().cloned()),
            None => (None, None),
        };
        self.set_aside(Reason { source, target, cause }, effects);
        self.finish_job(effects);
    }

    fn set_aside(&mut self, reason: Reason, effects: &mut Vec<Effect>) {
        if reason.is_alarm() {
            effects.push(Effect::Alarm(reason.clone()));
        }
        self.reasons.push(reason);
    }

    fn finish_job(&mut self, effects: &mut Vec<Effect>) {
        self.jobs.pop_front();
        self.next_job(effects);
    }

    fn next_job(&mut self, effects: &mut Vec<Effect>) {
        self.failures = 0;
        self.doubts = 0;
        let phase = match (self.jobs.front_mut(), self.reasons.is_empty()) {
            (Some(Job::Look(_)), _) => Phase::Looking,
            // What was seen a moment ago need not be looked at again.
            (Some(Job::Deliver(_, found)), _) => match found.take() {
                Some(found) => Phase::LookingForRecord(*found),
                None => Phase::LookingAtSource,
            },
            (None, false) => Phase::PuttingAside,
            (None, true) => Phase::Deleting,
        };
        self.enter(phase, effects);
    }

    fn enter(&mut self, phase: Phase, effects: &mut Vec<Effect>) {
        self.phase = phase;
        // A wait that a part asked for is over when nobody needs it: its end finds another phase.
        self.waiting = false;
        self.ask(effects);
    }

    fn abort(&self, upload: &Upload, effects: &mut Vec<Effect>) {
        if let Some(target) = self.jobs.front().and_then(Job::target) {
            let target = target.clone();
            effects.push(Effect::AbortUpload { upload_id: upload.id.clone(), target });
        }
    }
}
