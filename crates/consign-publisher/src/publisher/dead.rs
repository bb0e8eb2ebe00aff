//! What was put aside: listed, and tried again.
//!
//! A message in the queue for dead letters is read as if it had come now, and deleted when there is
//! nothing left to do about it. Nothing is sent back to the first queue, to which S3 alone may send.

use std::collections::{BTreeMap, BTreeSet};

use consign_cloud::Error;
use consign_cloud::sqs::{Message, QueueUrl};
use serde::Serialize;
use tokio::sync::watch;

use super::{Origin, Outcome, Publisher, Queues, Stop};
use crate::aside::Aside;
use crate::machine::Received;
use crate::record::Reason;

/// For how long a message is held while all are looked at.
const LOOK_SECONDS: u32 = 60;
/// SQS may answer a short wait with nothing although something is there.
const WAIT_SECONDS: u32 = 1;
const EMPTY_ANSWERS: u32 = 3;

/// A message that was put aside.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    /// SQS's id.
    pub id: String,
    /// What it says.
    #[serde(flatten)]
    pub aside: Aside,
}

/// What came of trying again.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Redriven {
    /// Messages that were tried.
    pub tried: u64,
    /// Messages about which nothing is left to do; they are deleted.
    pub done: u64,
    /// Messages that stay, because something in them still cannot be delivered.
    pub kept: u64,
    /// Messages that have other causes than were asked for.
    pub passed_over: u64,
    /// Deliveries made.
    pub delivered: u64,
    /// Why messages stay.
    pub reasons: Vec<Reason>,
}

impl Publisher {
    /// Lists what lies in the queue, up to `max` messages, and leaves it there.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn dead_letters(
        &self,
        queue: &QueueUrl,
        max: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        let messages = self.every_message(queue, max).await?;
        for message in messages.values() {
            let _it_comes_anyway = self.setup.cloud.sqs().extend(queue, &message.receipt, 0).await;
        }
        Ok(messages.into_values().map(DeadLetter::of).collect())
    }

    /// Tries everything again that lies in the queue now, or of that only what has one of these causes.
    ///
    /// # Errors
    /// When the queue cannot be read; what was delivered until then is delivered, and nothing that is
    /// left to do is lost.
    pub async fn redrive(
        &self,
        queues: &Queues,
        only: &BTreeSet<String>,
        max: usize,
        stop: &watch::Receiver<Stop>,
    ) -> Result<Redriven, Error> {
        let mut redriven = Redriven::default();
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        let sqs = self.setup.cloud.sqs();
        let mut empty = 0;
        while empty < EMPTY_ANSWERS && seen.len() < max && *stop.borrow() == Stop::Not {
            let lease = self.setup.limits.lease_seconds;
            let asked_ms = self.now_ms();
            let messages = sqs.receive(&queues.dead, 1, WAIT_SECONDS, lease).await?;
            let Some(message) = messages.into_iter().next() else {
                empty += 1;
                continue;
            };
            // One that stays comes again when its lease is over; there may be others behind it.
            if !seen.insert(message.id.clone()) {
                kept.push(message.receipt);
                empty += 1;
                continue;
            }
            empty = 0;
            let aside = Aside::read(&message.body, message.receive_count);
            if !aside.has_cause_of(only) {
                redriven.passed_over += 1;
                kept.push(message.receipt);
                continue;
            }
            redriven.tried += 1;
            let lease_until_ms = asked_ms + u64::from(lease) * 1000;
            let outcome = self.tried_again(queues, &message, &aside, lease_until_ms, stop).await;
            redriven.delivered += outcome.delivered;
            if outcome.finished && outcome.reasons.is_empty() {
                sqs.delete(&queues.dead, &message.receipt).await?;
                redriven.done += 1;
            } else {
                redriven.kept += 1;
                redriven.reasons.extend(outcome.reasons);
                kept.push(message.receipt);
            }
        }
        for receipt in kept {
            let _it_comes_anyway = sqs.extend(&queues.dead, &receipt, 0).await;
        }
        Ok(redriven)
    }

    async fn tried_again(
        &self,
        queues: &Queues,
        message: &Message,
        aside: &Aside,
        lease_until_ms: u64,
        stop: &watch::Receiver<Stop>,
    ) -> Outcome {
        let origin = Origin::Dead { queue: queues.dead.clone(), receipt: message.receipt.clone() };
        // It was counted while it lay in the first queue: now it has all its tries again.
        let received = Received { receive_count: 1, lease_until_ms, seed: (self.setup.dice)() };
        let told = aside.told(&self.setup.routing);
        self.handle(origin, received, told, stop.clone()).await
    }

    /// Up to `max` messages, held for [`LOOK_SECONDS`].
    async fn every_message(
        &self,
        queue: &QueueUrl,
        max: usize,
    ) -> Result<BTreeMap<String, Message>, Error> {
        let mut messages = BTreeMap::new();
        let mut empty = 0;
        while messages.len() < max && empty < EMPTY_ANSWERS {
            let sqs = self.setup.cloud.sqs();
            let batch = sqs.receive(queue, 10, WAIT_SECONDS, LOOK_SECONDS).await?;
            let before = messages.len();
            messages.extend(batch.into_iter().map(|message| (message.id.clone(), message)));
            empty = if messages.len() == before { empty + 1 } else { 0 };
        }
        Ok(messages)
    }
}

impl DeadLetter {
    fn of(message: Message) -> DeadLetter {
        let aside = Aside::read(&message.body, message.receive_count);
        DeadLetter { id: message.id, aside }
    }
}
