//! Carries out what [`Handling`] decides, against S3 and SQS.
//!
//! A [`Publisher`] serves one repository. [`Publisher::serve`] takes messages from its queue until it is
//! asked to stop; [`Publisher::compare`] lists the repository and delivers what has no record;
//! [`Publisher::redrive`] tries again what was put aside. All of them end in [`Publisher::handle`]: a
//! handling, and a task for each effect under way. No content of an object passes through here.

mod dead;
mod deletions;
mod effects;
mod listing;
mod queue;
mod repository;
mod silence;

use std::sync::Arc;
use std::time::Duration;

use consign_cloud::Cloud;
use consign_cloud::sqs::QueueUrl;
use consign_model::PartyName;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use dead::{DeadLetter, Redriven};
pub use listing::{Comparison, Refused};
pub use queue::Queues;
pub use silence::Expectations;

use self::deletions::Deletions;
use crate::machine::{Answer, Effect, Handling, Limits, Received};
use crate::notice::{Alarm, Notice, Observer};
use crate::record::{Reason, Source, Target};
use crate::routing::{Routing, Told};

/// For giving a message back when the publisher ends.
const GIVE_BACK: Duration = Duration::from_secs(3);

/// Signs records with the publisher's own key.
pub trait Signer: Send + Sync {
    /// An armored SSHSIG signature of these bytes in this namespace.
    ///
    /// # Errors
    /// When the key cannot sign; the record is not written then.
    fn sign(
        &self,
        namespace: &str,
        bytes: &[u8],
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// What a publisher works with.
pub struct Setup {
    /// Which repository, and where its objects go.
    pub routing: Routing,
    /// Who we are.
    pub party: PartyName,
    /// Our connection.
    pub cloud: Cloud,
    /// Our key.
    pub signer: Arc<dyn Signer>,
    /// Who is told what happens.
    pub observer: Arc<dyn Observer>,
    /// Milliseconds since 1970, never going back by much.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Randomness for waits.
    pub dice: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Patience.
    pub limits: Limits,
    /// Messages or objects handled at once.
    pub in_flight_max: usize,
}

/// Delivers what arrives in one repository. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    pub(crate) setup: Arc<Setup>,
}

/// How far a publisher was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    Not,
    /// Begin nothing more, finish what was begun.
    Drain,
    /// Give back what is not finished.
    Abandon,
}

/// Where a message came from, and so what is done with it at the end.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A queue, whose message is deleted and whose reasons go to the other queue.
    Queue { queue: QueueUrl, receipt: String, done: Deletions, dead: QueueUrl, body: String },
    /// A queue that somebody else reads and deletes from; AWS Lambda.
    Elsewhere { dead: QueueUrl, body: String },
    /// The queue for dead letters: what fails again stays there.
    Dead { queue: QueueUrl, receipt: String },
    /// A listing of the repository: reasons are reported. Newer versions have these places.
    Listing { superseded: Vec<Target> },
}

/// What came of a handling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Deliveries made, with their records.
    pub delivered: u64,
    /// Deliveries whose record was there.
    pub already: u64,
    /// Why something was not delivered.
    pub reasons: Vec<Reason>,
    /// The message was dealt with; if not, it comes again.
    pub finished: bool,
}

impl Publisher {
    /// A publisher with all that it needs.
    pub fn new(setup: Setup) -> Publisher {
        Publisher { setup: Arc::new(setup) }
    }

    fn now_ms(&self) -> u64 {
        (self.setup.clock)()
    }

    fn notice(&self, notice: &Notice<'_>) {
        self.setup.observer.notice(notice);
    }

    /// Begins a handling of which no queue tells when it is over.
    fn received_elsewhere(&self) -> Received {
        const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
        let lease_until_ms = self.now_ms() + YEAR_MS;
        Received { receive_count: 1, lease_until_ms, seed: (self.setup.dice)() }
    }

    /// Handles one message, or one object, until there is nothing more to do about it.
    ///
    /// When `stop` says to abandon, the message is given back. A future that is dropped leaves the
    /// message to its lease, after which it comes again; whatever S3 was asked for may still happen.
    pub(crate) async fn handle(
        &self,
        origin: Origin,
        received: Received,
        told: Told,
        stop: watch::Receiver<Stop>,
    ) -> Outcome {
        self.notice(&Notice::Begun);
        let outcome = self.handle_to_the_end(origin, received, told, stop).await;
        self.notice(&Notice::Ended);
        outcome
    }

    async fn handle_to_the_end(
        &self,
        origin: Origin,
        received: Received,
        told: Told,
        mut stop: watch::Receiver<Stop>,
    ) -> Outcome {
        if told.ignored > 0 {
            self.notice(&Notice::Ignored { events: told.ignored });
        }
        let origin = Arc::new(origin);
        let limits = self.setup.limits;
        let third = Duration::from_secs(u64::from(limits.lease_seconds / 3).max(1));
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + third, third);
        let mut running = JoinSet::new();
        let mut outcome = Outcome::default();
        let (mut handling, mut step) =
            Handling::begin(limits, received, told.objects, told.refused);
        loop {
            self.begin(step.effects, &handling, &origin, &mut running, &mut outcome).await;
            if step.done {
                return outcome;
            }
            let answer = tokio::select! {
                biased;
                () = abandoned(&mut stop) => {
                    let last = handling.clone().give_back().effects;
                    let told = self.begin(last, &handling, &origin, &mut running, &mut outcome);
                    // A service that does not answer must not keep us: its lease ends by itself.
                    let _in_time = tokio::time::timeout(GIVE_BACK, told).await;
                    return outcome;
                }
                // A task that ended otherwise than by an answer leaves the message to its lease.
                Some(answer) = running.join_next() => answer.unwrap_or(Answer::Tick),
                _ = ticks.tick() => Answer::Tick,
            };
            outcome.note(&answer);
            (handling, step) = handling.step(self.now_ms(), answer);
        }
    }

    /// Alarms first, and before anything else is begun; what nobody waits for is done here, the rest
    /// each in a task of its own.
    async fn begin(
        &self,
        effects: Vec<Effect>,
        handling: &Handling,
        origin: &Arc<Origin>,
        running: &mut JoinSet<Answer>,
        outcome: &mut Outcome,
    ) {
        let (alarms, rest): (Vec<Effect>, Vec<Effect>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Alarm(_)));
        for effect in alarms {
            if let Effect::Alarm(reason) = effect {
                self.setup.observer.alarm(&Alarm::Refused(Box::new(reason))).await;
            }
        }
        for effect in rest {
            // Whoever has the message now may have finished: a copy would be a second one.
            let lost = self.now_ms() >= handling.lease_until_ms();
            match effect {
                Effect::AbortUpload { .. } | Effect::Release { .. } => {
                    let _told = self.carry_out(origin, effect).await;
                }
                _ if lost => {
                    running.spawn(async { Answer::Tick });
                }
                effect => {
                    if let Effect::PutAside(reasons) = &effect {
                        outcome.reasons.clone_from(reasons);
                    }
                    let (publisher, origin) = (self.clone(), origin.clone());
                    running.spawn(async move { publisher.carry_out(&origin, effect).await });
                }
            }
        }
    }

    /// What a listing found, handled; delivered to all of its places but these.
    async fn handle_listed(
        &self,
        source: Source,
        superseded: Vec<Target>,
        stop: watch::Receiver<Stop>,
    ) -> Outcome {
        let told = Told { objects: vec![source], ..Told::default() };
        let origin = Origin::Listing { superseded };
        self.handle(origin, self.received_elsewhere(), told, stop).await
    }
}

impl Outcome {
    fn note(&mut self, answer: &Answer) {
        match answer {
            Answer::Recorded(Ok(())) => self.delivered += 1,
            Answer::Record(Ok(true)) => self.already += 1,
            Answer::Deleted(Ok(())) => self.finished = true,
            _ => {}
        }
    }
}

/// Ends when everything is to be given back; never, if nobody can say so any more.
async fn abandoned(stop: &mut watch::Receiver<Stop>) {
    if stop.wait_for(|stop| *stop == Stop::Abandon).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ends when nothing more is to be begun.
async fn draining(stop: &mut watch::Receiver<Stop>) {
    if stop.wait_for(|stop| *stop >= Stop::Drain).await.is_err() {
        std::future::pending::<()>().await;
    }
}
