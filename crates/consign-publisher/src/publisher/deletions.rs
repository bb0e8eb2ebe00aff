//! Messages that are done with, deleted ten in a request.
//!
//! Requests are what a queue costs, in money and in time. A message that is done with waits for others for
//! up to [`LINGER`]; killed meanwhile, it comes again and its objects have records.

use std::sync::Arc;
use std::time::Duration;

use consign_cloud::sqs::QueueUrl;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Publisher;
use crate::failure::Failure;

/// SQS's largest batch.
const BATCH: usize = 10;
/// Little beside what a handling takes; at five hundred messages a second ten come together in it.
const LINGER: Duration = Duration::from_millis(20);
/// Who says that a message is done with waits while so many others do.
const WAITING_MAX: usize = 1000;

/// Where to say that a message is done with. The task behind it ends when all of these are gone.
#[derive(Clone, Debug)]
pub(crate) struct Deletions {
    wanted: mpsc::Sender<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    receipt: String,
    answer: oneshot::Sender<Result<(), Failure>>,
}

impl Deletions {
    /// Begins to delete from this queue.
    pub(super) fn begin(publisher: &Publisher, queue: QueueUrl) -> Deletions {
        let (wanted, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(publisher.clone().delete_in_batches(Arc::new(queue), waiting));
        Deletions { wanted }
    }

    /// Ends when the message is deleted; dropped before the queue is asked, nothing is.
    pub(super) async fn delete(&self, receipt: String) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        // With nobody there any more the message comes again, as after any failure.
        self.wanted.send(Wanted { receipt, answer }).await.map_err(|_| Failure::Passing)?;
        answered.await.unwrap_or(Err(Failure::Passing))
    }
}

impl Publisher {
    async fn delete_in_batches(self, queue: Arc<QueueUrl>, mut waiting: mpsc::Receiver<Wanted>) {
        let mut asked = JoinSet::new();
        while let Some(first) = waiting.recv().await {
            let mut batch = vec![first];
            let gathering = async {
                while batch.len() < BATCH
                    && let Some(next) = waiting.recv().await
                {
                    batch.push(next);
                }
            };
            let _full_or_not = tokio::time::timeout(LINGER, gathering).await;
            batch.retain(|wanted| !wanted.answer.is_closed());
            while asked.try_join_next().is_some() {}
            asked.spawn(self.clone().delete_batch(queue.clone(), batch));
        }
        while asked.join_next().await.is_some() {}
    }

    async fn delete_batch(self, queue: Arc<QueueUrl>, batch: Vec<Wanted>) {
        let receipts: Vec<&str> = batch.iter().map(|wanted| wanted.receipt.as_str()).collect();
        let deleted = self.setup.cloud.sqs().delete_batch(&queue, &receipts).await;
        match self.told("delete messages", deleted) {
            Ok(each) => {
                for (wanted, deleted) in batch.into_iter().zip(each) {
                    let _nobody_waits = wanted.answer.send(self.told("delete a message", deleted));
                }
            }
            Err(failure) => {
                for wanted in batch {
                    let _nobody_waits = wanted.answer.send(Err(failure));
                }
            }
        }
    }
}
