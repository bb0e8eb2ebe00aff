//! Alarms about what does not happen: nothing was delivered, or nobody fetches what was.
//!
//! Both are read from the inbox, where records and acknowledgements lie under the same digests, so that a
//! publisher that was just started knows as much as one that has run for weeks.

use std::time::Duration;

use consign_cloud::Error;
use consign_cloud::s3::{Entry, ListRequest};
use consign_model::{ACKNOWLEDGEMENTS, DELIVERIES, DeliveryId, Inbox};
use tokio::sync::watch;

use super::{Publisher, Stop, draining};
use crate::failure::Failure;
use crate::notice::{Alarm, Notice};

/// What is expected of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    /// Something is delivered at least so often.
    pub delivery_every: Option<Duration>,
    /// What is delivered is acknowledged within this time.
    pub fetched_within: Option<Duration>,
}

/// What an inbox says of its deliveries.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    newest_ms: u64,
    late: u64,
    oldest_late_ms: u64,
}

impl Expectations {
    /// Often enough to notice within a tenth of what is expected, and not all the time.
    fn interval(&self) -> Option<Duration> {
        let shortest = self.delivery_every.into_iter().chain(self.fetched_within).min()?;
        Some((shortest / 10).clamp(Duration::from_secs(1), Duration::from_secs(3600)))
    }
}

impl Publisher {
    /// Looks again and again, until it is asked to stop. Each thing is told of once, and again when it
    /// was over in between.
    pub async fn watch(&self, expected: Expectations, mut stop: watch::Receiver<Stop>) {
        let Some(interval) = expected.interval() else { return };
        let started_ms = self.now_ms();
        let inboxes: Vec<Inbox> = self.setup.routing.inboxes().into_iter().cloned().collect();
        let mut late_told = vec![false; inboxes.len()];
        let mut silence_told = false;
        loop {
            let mut newest_ms = started_ms;
            let mut whole = true;
            for (inbox, told) in inboxes.iter().zip(&mut late_told) {
                match self.standing(inbox, expected.fetched_within).await {
                    Ok(standing) => {
                        newest_ms = newest_ms.max(standing.newest_ms);
                        self.tell_late(inbox, &standing, told).await;
                    }
                    Err(error) => {
                        whole = false;
                        let failure = Failure::of(&error);
                        let doing = "look at what was fetched";
                        self.notice(&Notice::Failed { doing, failure, error: &error });
                    }
                }
            }
            if let (Some(every), true) = (expected.delivery_every, whole) {
                let for_seconds = self.now_ms().saturating_sub(newest_ms) / 1000;
                let silent = for_seconds >= every.as_secs();
                if silent && !silence_told {
                    let expected_seconds = every.as_secs();
                    let alarm = Alarm::NothingDelivered { for_seconds, expected_seconds };
                    self.setup.observer.alarm(&alarm).await;
                }
                silence_told = silent;
            }
            tokio::select! {
                () = draining(&mut stop) => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    async fn tell_late(&self, inbox: &Inbox, standing: &Standing, told: &mut bool) {
        if standing.late > 0 && !*told {
            let alarm = Alarm::NotFetched {
                inbox: inbox.name.clone(),
                deliveries: standing.late,
                oldest_seconds: self.now_ms().saturating_sub(standing.oldest_late_ms) / 1000,
            };
            self.setup.observer.alarm(&alarm).await;
        }
        *told = standing.late > 0;
    }

    /// Both folders side by side: they are in the order of the same digests.
    async fn standing(
        &self,
        inbox: &Inbox,
        fetched_within: Option<Duration>,
    ) -> Result<Standing, Error> {
        let mut standing = Standing::default();
        let mut records = Pages::new(self, inbox, DELIVERIES);
        let mut acknowledged = Pages::new(self, inbox, ACKNOWLEDGEMENTS);
        let late_before_ms =
            fetched_within.map(|within| self.now_ms().saturating_sub(millis(within)));
        let mut next = match fetched_within {
            Some(_) => acknowledged.next().await?,
            None => None,
        };
        while let Some((id, modified_ms)) = records.next().await? {
            standing.newest_ms = standing.newest_ms.max(modified_ms);
            let Some(late_before_ms) = late_before_ms else { continue };
            while next.is_some_and(|(acknowledged, _)| acknowledged < id) {
                next = acknowledged.next().await?;
            }
            let fetched = next.is_some_and(|(acknowledged, _)| acknowledged == id);
            if !fetched && modified_ms < late_before_ms {
                standing.late += 1;
                let oldest = standing.oldest_late_ms;
                let older = oldest == 0 || modified_ms < oldest;
                standing.oldest_late_ms = if older { modified_ms } else { oldest };
            }
        }
        Ok(standing)
    }
}

/// The digests in a folder of an inbox, page by page, with their times.
struct Pages<'a> {
    publisher: &'a Publisher,
    inbox: &'a Inbox,
    list: ListRequest,
    entries: std::vec::IntoIter<Entry>,
    over: bool,
}

impl<'a> Pages<'a> {
    fn new(publisher: &'a Publisher, inbox: &'a Inbox, folder: &str) -> Pages<'a> {
        let list = ListRequest {
            bucket: inbox.bucket.to_string(),
            prefix: format!("{}{folder}", inbox.prefix),
            expected_bucket_owner: Some(publisher.setup.routing.account(&inbox.owner)),
            ..ListRequest::default()
        };
        Pages { publisher, inbox, list, entries: Vec::new().into_iter(), over: false }
    }

    async fn next(&mut self) -> Result<Option<(DeliveryId, u64)>, Error> {
        loop {
            for entry in self.entries.by_ref() {
                let prefix = &self.inbox.prefix;
                let id = DeliveryId::of_record_key(prefix, &entry.key)
                    .or_else(|| DeliveryId::of_acknowledgement_key(prefix, &entry.key));
                if let Some(id) = id {
                    let modified = entry.modified_ms.and_then(|ms| u64::try_from(ms).ok());
                    return Ok(Some((id, modified.unwrap_or_default())));
                }
            }
            if self.over {
                return Ok(None);
            }
            let page = self.publisher.setup.cloud.s3().list_objects(&self.list).await?;
            self.over = page.next.is_none();
            self.list.token = page.next;
            self.entries = page.entries.into_iter();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
