//! What was put aside: listed, and tried again.
//!
//! A message in the queue for dead letters is read as if it had come now, and deleted when there is
//! nothing left to do about it, or when a person says so. Nothing is sent back to the first queue, to
//! which S3 alone may send.

use std::collections::{BTreeMap, BTreeSet};

use consign_cloud::Error;
use consign_cloud::sqs::{Message, QueueUrl};
use serde::Serialize;
use tokio::sync::watch;

use super::{Origin, Publisher, Queues, Stop};
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

    /// Takes the messages with these ids out of the queue for good, looking through up to `max`; says
    /// which they were.
    ///
    /// # Errors
    /// When the queue cannot be read, or a message not be deleted; those before it are.
    pub async fn discard(
        &self,
        queue: &QueueUrl,
        ids: &BTreeSet<String>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        let sqs = self.setup.cloud.sqs();
        let mut discarded = Vec::new();
        let mut deleted = Ok(());
        for message in self.every_message(queue, max).await?.into_values() {
            if !ids.contains(&message.id) || deleted.is_err() {
                let _it_comes_anyway = sqs.extend(queue, &message.receipt, 0).await;
                continue;
            }
            deleted = sqs.delete(queue, &message.receipt).await;
            if deleted.is_ok() {
                discarded.push(DeadLetter::of(message));
            }
        }
        deleted.map(|()| discarded)
    }

    /// Tries everything again that lies in the queue now, or of that only what has one of these causes.
    ///
    /// What stays is held until the end, so that it does not come between. Where that takes longer than
    /// a lease it does come; it is held again, and when as many came again in a row as were seen, nothing
    /// new is behind them.
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
        // The receipt by which each message that stays is held.
        let mut held: BTreeMap<String, String> = BTreeMap::new();
        let sqs = self.setup.cloud.sqs();
        let (mut empty, mut again) = (0, 0);
        while empty < EMPTY_ANSWERS
            && again <= seen.len()
            && seen.len() < max
            && *stop.borrow() == Stop::Not
        {
            let lease = self.setup.limits.lease_seconds;
            let lease_until_ms = self.now_ms() + u64::from(lease) * 1000;
            let messages = sqs.receive(&queues.dead, 1, WAIT_SECONDS, lease).await?;
            let Some(message) = messages.into_iter().next() else {
                empty += 1;
                continue;
            };
            empty = 0;
            if !seen.insert(message.id.clone()) {
                again += 1;
                match held.get_mut(&message.id) {
                    Some(receipt) => *receipt = message.receipt,
                    // A queue may give a message once more that is deleted.
                    None => sqs.delete(&queues.dead, &message.receipt).await?,
                }
                continue;
            }
            again = 0;
            let aside = Aside::read(&message.body, message.receive_count);
            let done = match aside.has_cause_of(only) {
                true => {
                    self.try_again(queues, &message, &aside, lease_until_ms, stop, &mut redriven)
                        .await
                }
                false => {
                    redriven.passed_over += 1;
                    false
                }
            };
            match done {
                true => sqs.delete(&queues.dead, &message.receipt).await?,
                false => drop(held.insert(message.id, message.receipt)),
            }
        }
        for receipt in held.values() {
            let _it_comes_anyway = sqs.extend(&queues.dead, receipt, 0).await;
        }
        Ok(redriven)
    }

    /// Whether nothing is left to do about it.
    async fn try_again(
        &self,
        queues: &Queues,
        message: &Message,
        aside: &Aside,
        lease_until_ms: u64,
        stop: &watch::Receiver<Stop>,
        redriven: &mut Redriven,
    ) -> bool {
        let origin = Origin::Dead { queue: queues.dead.clone(), receipt: message.receipt.clone() };
        // It was counted while it lay in the first queue: now it has all its tries again.
        let received = Received { receive_count: 1, lease_until_ms, seed: (self.setup.dice)() };
        let told = aside.told(&self.setup.routing);
        let outcome = self.handle(origin, received, told, stop.clone()).await;
        let done = outcome.finished && outcome.reasons.is_empty();
        redriven.tried += 1;
        redriven.delivered += outcome.delivered;
        *if done { &mut redriven.done } else { &mut redriven.kept } += 1;
        redriven.reasons.extend(outcome.reasons);
        done
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
