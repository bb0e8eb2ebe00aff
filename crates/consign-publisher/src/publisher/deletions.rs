//! Messages that are done with, deleted ten in a request.
//!
//! Requests are what a queue costs, in money and in time. A message that is done with waits for others for
//! up to [`LINGER`]; killed meanwhile, it comes again and its objects have records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use consign_cloud::sqs::QueueUrl;
use consign_cloud::{Error, ErrorKind};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Publisher;
use super::queue::BATCH;
use crate::failure::Failure;

/// Little beside what a handling takes; at five hundred messages a second ten come together in it.
const LINGER: Duration = Duration::from_millis(20);
/// Who says that a message is done with waits while so many others do.
const WAITING_MAX: usize = 1000;

/// Where to say that a message is done with. The task behind it ends when all of these are gone.
#[derive(Clone, Debug)]
pub(crate) struct Deletions {
    wanted: mpsc::Sender<Wanted>,
}

/// What is deleted from.
#[derive(Debug)]
struct Shelf {
    queue: QueueUrl,
    takes_batches: AtomicBool,
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
        tokio::spawn(publisher.clone().delete_in_batches(queue, waiting));
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
    async fn delete_in_batches(self, queue: QueueUrl, mut waiting: mpsc::Receiver<Wanted>) {
        let shelf = Arc::new(Shelf { queue, takes_batches: AtomicBool::new(true) });
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
            asked.spawn(self.clone().delete_batch(shelf.clone(), batch));
        }
        while asked.join_next().await.is_some() {}
    }

    async fn delete_batch(self, shelf: Arc<Shelf>, batch: Vec<Wanted>) {
        if !shelf.takes_batches.load(Ordering::Relaxed) {
            return self.delete_singly(&shelf, batch).await;
        }
        let receipts: Vec<&str> = batch.iter().map(|wanted| wanted.receipt.as_str()).collect();
        match self.setup.cloud.sqs().delete_batch(&shelf.queue, &receipts).await {
            Ok(each) => {
                for (wanted, deleted) in batch.into_iter().zip(each) {
                    let _nobody_waits = wanted.answer.send(self.told("delete a message", deleted));
                }
            }
            Err(error) if is_of_batches(&error) => self.delete_singly(&shelf, batch).await,
            Err(error) => {
                let failed: Result<(), Failure> = self.told("delete messages", Err(error));
                for wanted in batch {
                    let _nobody_waits = wanted.answer.send(failed);
                }
            }
        }
    }

    async fn delete_singly(&self, shelf: &Shelf, batch: Vec<Wanted>) {
        for wanted in batch {
            let deleted = self.setup.cloud.sqs().delete(&shelf.queue, &wanted.receipt).await;
            if deleted.is_ok() {
                // So it was for being a batch that the batch was refused.
                shelf.takes_batches.store(false, Ordering::Relaxed);
            }
            let _nobody_waits = wanted.answer.send(self.told("delete a message", deleted));
        }
    }
}

/// With AWS, who may delete a message may delete ten (`DeleteMessageBatch` asks for `sqs:DeleteMessage`).
/// Another service may know no batches, or ask for another permission (MiniStack does).
fn is_of_batches(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::AccessDenied | ErrorKind::InvalidRequest | ErrorKind::Other)
}
