//! The repository compared with the records in its inboxes: what has none is delivered.
//!
//! For stores that tell no queue, and for repair after one was lost. An inbox's records are listed first
//! and held as the first half of their digests, in order; then the repository is listed, and each object whose
//! record is not among them is handled like one that has just arrived. Where there are more records
//! than may be held, the digests are gone through in ranges, and the repository is listed once for
//! each: memory is bounded whatever lies there.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use consign_cloud::Error;
use consign_cloud::ErrorKind;
use consign_cloud::s3::{GetObject, ListRequest};
use consign_model::{DELIVERIES, Date, DeliveryId, Inbox, InboxName};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::{Outcome, Publisher, Stop, draining};
use crate::failure::Failure;
use crate::notice::{Alarm, COMPARE, Notice};
use crate::record::{Reason, Source, SourceId};

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
    /// Objects that no route takes.
    pub unrouted: u64,
    /// Objects that cannot be delivered; told once in the life of a publisher.
    pub refused: u64,
    /// Objects that could not be delivered this time.
    pub failed: u64,
    /// Why, for the first thousand of those refused.
    pub reasons: Vec<Reason>,
}

/// An object as a listing tells of it.
struct Listed {
    source: Source,
    etag: Option<String>,
    day: Date,
}

impl Listed {
    /// Without one if it is gone since it was listed.
    fn of_version(mut self, version: Option<Option<String>>) -> Listed {
        self.source.version_id = version.flatten();
        self
    }
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

/// Every version of every object; where only listing objects is allowed, or there are no versions, the
/// newest.
struct Listing<'a> {
    publisher: &'a Publisher,
    next: Next,
    page: std::vec::IntoIter<Listed>,
}

/// Where the next page begins.
enum Next {
    Versions(Option<(String, Option<String>)>),
    Objects(Option<String>),
    Over,
}

impl<'a> Listing<'a> {
    fn of(publisher: &'a Publisher) -> Listing<'a> {
        let page = Vec::new().into_iter();
        Listing { publisher, next: Next::Versions(None), page }
    }

    async fn next(&mut self) -> Result<Option<Listed>, Error> {
        loop {
            if let Some(listed) = self.page.next() {
                return Ok(Some(listed));
            }
            let page = match std::mem::replace(&mut self.next, Next::Over) {
                Next::Over => return Ok(None),
                Next::Versions(from) => self.versions(from).await?,
                Next::Objects(token) => self.objects(token).await?,
            };
            self.page = page.into_iter();
        }
    }

    async fn versions(
        &mut self,
        from: Option<(String, Option<String>)>,
    ) -> Result<Vec<Listed>, Error> {
        let routing = &self.publisher.setup.routing;
        let bucket = routing.repository().bucket.as_ref();
        let listed = self.publisher.setup.cloud.s3().list_versions(bucket, "", from.as_ref()).await;
        let page = match listed {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::AccessDenied && from.is_none() => {
                self.next = Next::Objects(None);
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let is_null = |id: &Option<String>| id.as_deref().is_none_or(|id| id == "null");
        if from.is_none() && page.entries.first().is_some_and(|entry| is_null(&entry.version_id)) {
            self.next = Next::Objects(None);
            return Ok(Vec::new());
        }
        self.next = page.next.map_or(Next::Over, |next| Next::Versions(Some(next)));
        let objects = page.entries.into_iter().filter(|entry| !entry.delete_marker);
        let listed = objects.map(|entry| Listed {
            source: routing.source(&entry.key, entry.version_id.as_deref()),
            etag: entry.etag.as_deref().map(unquoted),
            day: day(entry.modified_ms),
        });
        Ok(listed.collect())
    }

    async fn objects(&mut self, token: Option<String>) -> Result<Vec<Listed>, Error> {
        let routing = &self.publisher.setup.routing;
        let list = ListRequest {
            bucket: routing.repository().bucket.to_string(),
            token,
            expected_bucket_owner: Some(routing.account(&routing.repository().owner)),
            ..ListRequest::default()
        };
        let page = self.publisher.setup.cloud.s3().list_objects(&list).await?;
        self.next = page.next.map_or(Next::Over, |next| Next::Objects(Some(next)));
        let listed = page.entries.into_iter().map(|entry| Listed {
            source: routing.source(&entry.key, None),
            etag: entry.etag.as_deref().map(unquoted),
            day: day(entry.modified_ms),
        });
        self.publisher.with_versions(listed.collect()).await
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
                    if let Err(error) = self.take(listed).await {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        while let Some(done) = self.handled.join_next().await {
            self.note(done.ok());
        }
        ended
    }

    async fn take(&mut self, listed: Listed) -> Result<(), Error> {
        let publisher = self.publisher;
        let routing = &publisher.setup.routing;
        self.comparison.objects += u64::from(self.counts);
        let tags = match routing.wants_tags() {
            true => publisher.tags_of(&listed.source).await?,
            false => BTreeMap::new(),
        };
        let (tasks, unroutable) = routing.tasks(&listed.source, listed.day, &tags);
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
        for task in tasks.iter().filter(|task| task.target.inbox == *self.inbox) {
            match self.recorded.has(half(&of.delivery(&task.target))) {
                None => {}
                Some(true) => self.comparison.recorded += 1,
                Some(false) => wanted |= !self.refused.0.contains(&refusal),
            }
        }
        if wanted {
            self.begin(refusal, listed.source).await;
        }
        Ok(())
    }

    async fn begin(&mut self, refusal: u128, source: Source) {
        while self.handled.len() >= self.publisher.setup.in_flight_max.max(1) {
            let done = self.handled.join_next().await;
            self.note(done.and_then(Result::ok));
        }
        let (publisher, stop) = (self.publisher.clone(), self.stop.clone());
        self.handled.spawn(async move { (refusal, publisher.handle_listed(source, stop).await) });
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

impl Publisher {
    async fn tags_of(&self, source: &Source) -> Result<BTreeMap<String, String>, Error> {
        match self.setup.cloud.s3().get_object_tags(&named(source)).await {
            Ok((tags, _)) => Ok(tags),
            // Gone since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    /// A page of objects, in any order, with the version of each: where it goes depends on that in a
    /// route with `{version}` alone, but the name of its record always does. As many are looked at at once
    /// as are handled at once: one after the other, a million would take hours.
    async fn with_versions(&self, page: Vec<Listed>) -> Result<Vec<Listed>, Error> {
        let mut with = Vec::with_capacity(page.len());
        let mut asked = JoinSet::new();
        for listed in page {
            if asked.len() >= self.setup.in_flight_max.max(1) {
                with.extend(looked_at(asked.join_next().await)?);
            }
            let publisher = self.clone();
            asked.spawn(async move {
                let version = publisher.version_of(&listed.source).await;
                version.map(|version| listed.of_version(version))
            });
        }
        while !asked.is_empty() {
            with.extend(looked_at(asked.join_next().await)?);
        }
        Ok(with)
    }

    /// None when it is gone since it was listed.
    async fn version_of(&self, source: &Source) -> Result<Option<Option<String>>, Error> {
        match self.setup.cloud.s3().head_object(&named(source)).await {
            Ok(head) => Ok(Some(head.version_id)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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

/// The end of a task that looked at an object; a task ends otherwise by a panic alone, which goes on.
fn looked_at(
    ended: Option<Result<Result<Listed, Error>, JoinError>>,
) -> Result<Option<Listed>, Error> {
    match ended {
        None => Ok(None),
        Some(Ok(looked_at)) => looked_at.map(Some),
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn half_of_source(of: &SourceId) -> u128 {
    let text = of.digest().to_string();
    u128::from_str_radix(text.get(..32).unwrap_or_default(), 16).unwrap_or_default()
}

fn named(source: &Source) -> GetObject {
    GetObject {
        bucket: source.bucket.clone(),
        key: source.key.clone(),
        version_id: source.version_id.clone(),
        expected_bucket_owner: Some(source.owner.clone()),
        ..GetObject::default()
    }
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn day(modified_ms: Option<i64>) -> Date {
    Date::from_unix_ms(modified_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default())
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
