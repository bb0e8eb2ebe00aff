//! Messages from a queue, and from whoever reads one for us.

use std::sync::Arc;
use std::time::Duration;

use consign_cloud::sqs::{Message, QueueUrl};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::deletions::Deletions;
use super::{Origin, Outcome, Publisher, Stop, draining};
use crate::event;
use crate::failure::Failure;
use crate::machine::Received;
use crate::notice::{Alarm, Notice, RECEIVE};

/// SQS's longest wait, and its largest batch.
const WAIT_SECONDS: u32 = 20;
pub(super) const BATCH: usize = 10;
/// Requests for messages under way at once: one alone is answered with ten at most.
const RECEIVERS: usize = 4;
/// Between two tries to read a queue that cannot be read.
const REST_MS_MAX: u64 = 20_000;

/// The queue of a repository, and the one for what cannot be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queues {
    /// What arrives.
    pub queue: QueueUrl,
    /// What is put aside.
    pub dead: QueueUrl,
}

impl Publisher {
    /// The queues that `apply` made for this repository.
    ///
    /// # Errors
    /// When one is not there, or may not be asked for.
    pub async fn queues(&self) -> Result<Queues, consign_cloud::Error> {
        let routing = &self.setup.routing;
        let name = format!("consign-{}-{}", routing.exchange().name, routing.repository().name);
        let sqs = self.setup.cloud.sqs();
        let queue = sqs.queue_url(&name).await?;
        Ok(Queues { queue, dead: sqs.queue_url(&format!("{name}-dead")).await? })
    }

    /// Takes messages and handles them until it is asked to stop; then finishes what it has begun, or
    /// gives it back. At most [`Setup::in_flight_max`](super::Setup) messages are out at once.
    pub async fn serve(&self, queues: Queues, stop: watch::Receiver<Stop>) {
        let room = Arc::new(Semaphore::new(self.setup.in_flight_max.max(1)));
        let done = Deletions::begin(self, queues.queue.clone());
        let mut receivers = JoinSet::new();
        for number in 0..RECEIVERS {
            let (publisher, queues, done) = (self.clone(), queues.clone(), done.clone());
            let (room, stop) = (room.clone(), stop.clone());
            // What keeps one from the queue keeps all: one of them tells.
            let tells = number == 0;
            receivers.spawn(async move {
                publisher.receive_until_stopped(queues, done, room, tells, stop).await;
            });
        }
        while receivers.join_next().await.is_some() {}
    }

    async fn receive_until_stopped(
        &self,
        queues: Queues,
        done: Deletions,
        room: Arc<Semaphore>,
        tells: bool,
        mut stop: watch::Receiver<Stop>,
    ) {
        let mut handled = JoinSet::new();
        let mut failures = 0;
        loop {
            while handled.try_join_next().is_some() {}
            let asked = async {
                let permits = permits(&room).await;
                let tells = tells && failures == 0;
                (self.receive(&queues, permits.len(), tells).await, permits)
            };
            let (received, permits) = tokio::select! {
                biased;
                () = draining(&mut stop) => break,
                received = asked => received,
            };
            let Some((messages, lease_until_ms)) = received else {
                failures += 1;
                let rest = REST_MS_MAX.min(500 << failures.min(8));
                tokio::select! {
                    () = draining(&mut stop) => break,
                    () = tokio::time::sleep(Duration::from_millis(rest)) => continue,
                }
            };
            failures = 0;
            for (message, permit) in messages.into_iter().zip(permits) {
                let (publisher, stop) = (self.clone(), stop.clone());
                let (queues, done) = (queues.clone(), done.clone());
                handled.spawn(async move {
                    let _room = permit;
                    publisher.handle_message(&queues, done, message, lease_until_ms, stop).await
                });
            }
        }
        while handled.join_next().await.is_some() {}
    }

    /// Messages, and until when they are ours.
    async fn receive(
        &self,
        queues: &Queues,
        room: usize,
        tells: bool,
    ) -> Option<(Vec<Message>, u64)> {
        let lease = self.setup.limits.lease_seconds;
        let batch = u32::try_from(room.min(BATCH)).unwrap_or(1);
        let sqs = self.setup.cloud.sqs();
        let received = sqs.receive(&queues.queue, batch, WAIT_SECONDS, lease).await;
        // The lease began when the queue answered, at the latest when it was asked and a wait ago:
        // counted from the answer it would be ours for longer than it is by what the answer took.
        let answered_ms = self.now_ms();
        match received {
            Ok(messages) => {
                self.notice(&Notice::Received { messages: messages.len() });
                let margin_ms = u64::from(lease) * 1000 / 10;
                Some((messages, answered_ms + u64::from(lease) * 1000 - margin_ms))
            }
            Err(error) => {
                let failure = Failure::of(&error);
                self.notice(&Notice::Failed { doing: RECEIVE, failure, error: &error });
                if tells && matches!(failure, Failure::Permanent(_) | Failure::Absent) {
                    let alarm = Alarm::NoSource { why: error.to_string() };
                    self.setup.observer.alarm(&alarm).await;
                }
                None
            }
        }
    }

    async fn handle_message(
        &self,
        queues: &Queues,
        done: Deletions,
        message: Message,
        lease_until_ms: u64,
        stop: watch::Receiver<Stop>,
    ) -> Outcome {
        let told = self.setup.routing.told(event::parse(&message.body));
        let received = Received {
            receive_count: message.receive_count.max(1),
            lease_until_ms,
            seed: (self.setup.dice)(),
        };
        let origin = Origin::Queue {
            queue: queues.queue.clone(),
            receipt: message.receipt,
            done,
            dead: queues.dead.clone(),
            body: message.body,
        };
        self.handle(origin, received, told, stop).await
    }

    /// Handles a message that somebody else received and will delete, as AWS Lambda does; until
    /// `deadline_ms`. Unless the outcome is finished, it has to come again.
    pub async fn handle_for(
        &self,
        dead: &QueueUrl,
        body: &str,
        receive_count: u32,
        deadline_ms: u64,
    ) -> Outcome {
        let told = self.setup.routing.told(event::parse(body));
        let seed = (self.setup.dice)();
        let received = Received { receive_count, lease_until_ms: deadline_ms, seed };
        let origin = Origin::Elsewhere { dead: dead.clone(), body: body.to_owned() };
        let (_keep, stop) = watch::channel(Stop::Not);
        self.handle(origin, received, told, stop).await
    }
}

/// Room for at least one message, and for as many as come at once if there is.
async fn permits(room: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let mut permits: Vec<_> = room.clone().acquire_owned().await.into_iter().collect();
    while permits.len() < BATCH {
        let Ok(permit) = room.clone().try_acquire_owned() else { break };
        permits.push(permit);
    }
    permits
}
