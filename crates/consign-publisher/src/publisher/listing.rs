//! The repository compared with the records in its inboxes: what has none is delivered.
//!
//! For stores that tell no queue, and for repair after one was lost. An inbox's records are listed first
//! and held as the first half of their digests, in order; then the repository is listed, and each object whose
//! record is not among them is handled like one that has just arrived. Where there are more records
//! than may be held, the digests are gone through in ranges, and the repository is listed once for
//! each: memory is bounded whatever lies there. What a repository tells of is [`Listing`]'s to say.

use std::collections::HashSet;
use std::time::Duration;

use consign_cloud::Error;
use consign_cloud::s3::ListRequest;
use consign_model::{DELIVERIES, DeliveryId, Inbox, InboxName};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::repository::{Listed, Listing};
use super::{Outcome, Publisher, Stop, draining};
use crate::failure::Failure;
use crate::notice::{Alarm, COMPARE, Notice};
use crate::record::{Reason, Source, SourceId, Target, Task};
use crate::routing::Routing;

/// Records held at once: 16 bytes each.
const RECORDS_MAX: usize = 2_000_000;
/// Reasons kept for the report; beyond that they are counted.
const REASONS_MAX: usize = 1000;
/// Objects that cannot be delivered, remembered so that each is told of once.
const REFUSED_MAX: usize = 100_000;

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Objects of the repository; in a bucket with versions, versions.
    pub objects: u64,
    /// Deliveries that had their record.
    pub recorded: u64,
    /// Deliveries made, or found made and now recorded.
    pub delivered: u64,
    /// Older versions that have no record and whose place is a newer one's, so that they are not delivered.
    pub superseded: u64,
    /// Objects that no route takes.
    pub unrouted: u64,
    /// Objects that cannot be delivered; told once in the life of a publisher.
    pub refused: u64,
    /// Objects that could not be delivered this time.
    pub failed: u64,
    /// Why, for the first thousand of those refused.
    pub reasons: Vec<Reason>,
}

/// A range of digests, and those in it that have a record.
struct Recorded {
    from: u128,
    /// Exclusive; none for the last range.
    until: Option<u128>,
    // INVARIANT: in order.
    ids: Vec<u128>,
}

/// Objects that were refused before, so that a publisher that lists again and again tells of each once.
#[derive(Debug, Default)]
pub struct Refused(HashSet<u128>);

impl Publisher {
    /// Lists everything once, and delivers what has no record. Stops between two objects when asked to.
    ///
    /// # Errors
    /// When a listing fails; what was delivered until then is delivered.
    pub async fn compare(
        &self,
        refused: &mut Refused,
        stop: &watch::Receiver<Stop>,
    ) -> Result<Comparison, Error> {
        self.compare_holding(RECORDS_MAX, refused, stop).await
    }

    /// The same with so many records held at once.
    ///
    /// # Errors
    /// As above.
    pub async fn compare_holding(
        &self,
        records_max: usize,
        refused: &mut Refused,
        stop: &watch::Receiver<Stop>,
    ) -> Result<Comparison, Error> {
        let mut comparison = Comparison::default();
        let inboxes: Vec<Inbox> = self.setup.routing.inboxes().into_iter().cloned().collect();
        for (number, inbox) in inboxes.iter().enumerate() {
            let mut from = 0;
            loop {
                let recorded = self.recorded(inbox, from, records_max.max(1)).await?;
                let first = number == 0 && from == 0;
                let mut pass = Pass {
                    publisher: self,
                    inbox: &inbox.name,
                    counts: first,
                    recorded: &recorded,
                    comparison: &mut comparison,
                    refused: &mut *refused,
                    newer: Newer::default(),
                    handled: JoinSet::new(),
                    stop,
                };
                pass.run().await?;
                match recorded.until {
                    Some(until) if *stop.borrow() == Stop::Not => from = until,
                    _ => break,
                }
            }
        }
        self.notice(&Notice::Compared(&comparison));
        Ok(comparison)
    }

    /// Compares again and again, with `interval` between, until it is asked to stop.
    pub async fn poll(
        &self,
        interval: Duration,
        records_max: Option<usize>,
        mut stop: watch::Receiver<Stop>,
    ) {
        let mut refused = Refused::default();
        let mut told = false;
        while *stop.borrow() == Stop::Not {
            let max = records_max.unwrap_or(RECORDS_MAX);
            match self.compare_holding(max, &mut refused, &stop).await {
                Ok(_) => told = false,
                Err(error) => {
                    let failure = Failure::of(&error);
                    self.notice(&Notice::Failed { doing: COMPARE, failure, error: &error });
                    let lasting = matches!(failure, Failure::Permanent(_) | Failure::Absent);
                    if lasting && !told {
                        told = true;
                        let alarm = Alarm::NoSource { why: error.to_string() };
                        self.setup.observer.alarm(&alarm).await;
                    }
                }
            }
            tokio::select! {
                () = draining(&mut stop) => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    /// The records of an inbox from a digest on, at most so many.
    async fn recorded(&self, inbox: &Inbox, from: u128, max: usize) -> Result<Recorded, Error> {
        let folder = format!("{}{DELIVERIES}", inbox.prefix);
        let mut recorded = Recorded { from, until: None, ids: Vec::new() };
        let mut list = ListRequest {
            bucket: inbox.bucket.to_string(),
            prefix: folder.clone(),
            // Everything that begins with these digits comes after them.
            start_after: (from > 0).then(|| format!("{folder}{from:032x}")),
            expected_bucket_owner: Some(self.setup.routing.account(&inbox.owner)),
            ..ListRequest::default()
        };
        loop {
            let page = self.setup.cloud.s3().list_objects(&list).await?;
            for entry in &page.entries {
                let Some(id) = DeliveryId::of_record_key(&inbox.prefix, &entry.key) else {
                    continue;
                };
                let id = half(&id);
                if recorded.ids.len() >= max && recorded.ids.last() != Some(&id) {
                    recorded.until = Some(id);
                    return Ok(recorded);
                }
                recorded.ids.push(id);
            }
            match page.next {
                Some(next) => list.token = Some(next),
                None => return Ok(recorded),
            }
        }
    }
}

/// The repository once, for one inbox and one range of digests.
struct Pass<'a> {
    publisher: &'a Publisher,
    inbox: &'a InboxName,
    /// Whether objects are counted: in the first pass alone.
    counts: bool,
    recorded: &'a Recorded,
    comparison: &'a mut Comparison,
    refused: &'a mut Refused,
    newer: Newer,
    handled: JoinSet<(u128, Outcome)>,
    stop: &'a watch::Receiver<Stop>,
}

impl Pass<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut listing = Listing::of(self.publisher);
        let ended = loop {
            if *self.stop.borrow() != Stop::Not {
                break Ok(());
            }
            match listing.next().await {
                Ok(None) => break Ok(()),
                Ok(Some(listed)) => {
                    self.take(listed).await;
                }
                Err(error) => break Err(error),
            }
        };
        while let Some(done) = self.handled.join_next().await {
            self.note(done.ok());
        }
        ended
    }

    async fn take(&mut self, listed: Listed) {
        let routing = &self.publisher.setup.routing;
        self.comparison.objects += u64::from(self.counts);
        let (tasks, unroutable) = routing.tasks(&listed.source, listed.day, &listed.tags);
        if self.counts && tasks.is_empty() && unroutable.is_empty() {
            self.comparison.unrouted += 1;
        }
        let version = listed.source.lasting_version().map(str::to_owned);
        let of = SourceId {
            bucket: listed.source.bucket.clone(),
            key: listed.source.key.clone(),
            version: version.or(listed.etag).unwrap_or_default(),
        };
        // What no route can bring anywhere has no digest of its own to be in a range.
        let refusal = half_of_source(&of);
        let mut wanted =
            self.counts && !unroutable.is_empty() && !self.refused.0.contains(&refusal);
        let superseded = self.newer.than(&listed.source.key, &tasks, routing);
        for task in tasks.iter().filter(|task| task.target.inbox == *self.inbox) {
            match self.recorded.has(half(&of.delivery(&task.target))) {
                None => {}
                Some(true) => self.comparison.recorded += 1,
                Some(false) if superseded.contains(&task.target) => {
                    self.comparison.superseded += 1;
                }
                Some(false) => wanted |= !self.refused.0.contains(&refusal),
            }
        }
        if wanted {
            self.begin(refusal, listed.source, superseded).await;
        }
    }

    async fn begin(&mut self, refusal: u128, source: Source, superseded: Vec<Target>) {
        while self.handled.len() >= self.publisher.setup.in_flight_max.max(1) {
            let done = self.handled.join_next().await;
            self.note(done.and_then(Result::ok));
        }
        let (publisher, stop) = (self.publisher.clone(), self.stop.clone());
        self.handled.spawn(async move {
            (refusal, publisher.handle_listed(source, superseded, stop).await)
        });
    }

    fn note(&mut self, done: Option<(u128, Outcome)>) {
        let Some((refusal, outcome)) = done else {
            self.comparison.failed += 1;
            return;
        };
        self.comparison.delivered += outcome.delivered;
        let (passing, lasting): (Vec<Reason>, Vec<Reason>) =
            outcome.reasons.into_iter().partition(Reason::may_pass);
        self.comparison.failed += u64::from(!outcome.finished || !passing.is_empty());
        if !lasting.is_empty() {
            self.comparison.refused += 1;
            if self.refused.0.len() < REFUSED_MAX {
                self.refused.0.insert(refusal);
            }
        }
        let room = REASONS_MAX.saturating_sub(self.comparison.reasons.len());
        self.comparison.reasons.extend(lasting.into_iter().chain(passing).take(room));
    }
}

/// The places in inboxes that the newer versions of a key have, of which no older one is delivered to them:
/// whichever of the two were copied first would stay. Places that name the version are nobody else's,
/// so what is held grows with the days of a key's versions at most.
#[derive(Default)]
struct Newer {
    key: String,
    places: HashSet<Target>,
}

impl Newer {
    /// Which places of this version a newer one of its key has. Versions come newest first.
    fn than(&mut self, key: &str, tasks: &[Task], routing: &Routing) -> Vec<Target> {
        if self.key != key {
            key.clone_into(&mut self.key);
            self.places.clear();
        }
        let is_taken = |task: &&Task| self.places.contains(&task.target);
        let superseded = tasks.iter().filter(is_taken).map(|task| task.target.clone()).collect();
        let shared = tasks.iter().filter(|task| !routing.names_version(&task.route));
        self.places.extend(shared.map(|task| task.target.clone()));
        superseded
    }
}

impl Recorded {
    /// None for a digest of another range.
    fn has(&self, id: u128) -> Option<bool> {
        let inside = id >= self.from && self.until.is_none_or(|until| id < until);
        inside.then(|| self.ids.binary_search(&id).is_ok())
    }
}

/// With 16 of 32 bytes two of a billion deliveries share them once in 10^20 times.
fn half(id: &DeliveryId) -> u128 {
    let bytes = id.as_bytes().first_chunk::<16>().copied().unwrap_or_default();
    u128::from_be_bytes(bytes)
}

fn half_of_source(of: &SourceId) -> u128 {
    let text = of.digest().to_string();
    u128::from_str_radix(text.get(..32).unwrap_or_default(), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Recorded;

    #[test]
    fn a_range_knows_its_own_digests_alone() {
        let recorded = Recorded { from: 10, until: Some(20), ids: vec![10, 15] };
        let cases = [(9, None), (10, Some(true)), (11, Some(false)), (15, Some(true)), (20, None)];
        for (id, expected) in cases {
            assert_eq!(recorded.has(id), expected, "{id}");
        }
    }
}
