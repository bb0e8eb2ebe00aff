//! The part of planning that is about a repository's queues and what its bucket says on them.
//!
//! The queue for what is set aside comes first, because the other names it; both come with their
//! policies, so that neither is ever open; and the bucket speaks last, because S3 tries the queue when
//! it is told of it. All of that is done while the bucket is still closed, so that nothing arrives
//! unannounced.

use crate::desired::DesiredLane;
use crate::error::{Error, ErrorKind};
use crate::observed::{ObservedQueue, ObservedQueues, Ownership, Sight, ownership};
use crate::plan::{Action, Change};
use crate::planner::Planner;
use crate::stage::{DesiredQueue, same_attribute};
use std::collections::BTreeMap;

/// What S3 announces: an object that is there, however it came.
pub(crate) const EVENTS: [&str; 1] = ["s3:ObjectCreated:*"];

static HIDDEN: ObservedQueues =
    ObservedQueues { queue: Sight::Hidden, dead_letters: Sight::Hidden, announced: false };

impl<'a> Planner<'a> {
    fn seen_queues(&self, lane: &DesiredLane) -> &'a ObservedQueues {
        self.observed.queues.get(&lane.name).unwrap_or(&HIDDEN)
    }

    /// Queues and notification of `lane`, if it is a repository that we can see.
    pub(crate) fn queues(&mut self, lane: &DesiredLane) -> Result<(), Error> {
        let Some(stage) = lane.stage.repository() else { return Ok(()) };
        let (queue, seen) = (&stage.queue, self.seen_queues(lane));
        let (name, attributes) = (&queue.dead_letters, queue.dead_letters_attributes());
        self.queue(lane, name, &attributes, &seen.dead_letters)?;
        self.queue(lane, &queue.name, &queue.attributes(), &seen.queue)?;
        if seen.announced {
            self.keep(format!("announcements of bucket {}", lane.bucket));
        } else {
            let words = format!("announce on queue {} what arrives in {}", queue.name, lane.bucket);
            let action = Action::PutNotification {
                bucket: lane.bucket.to_string(),
                id: notification_id(lane),
                queue_arn: queue.arn(),
            };
            self.step(&lane.owner, Change::Change, words, action);
        }
        Ok(())
    }

    fn queue(
        &mut self,
        lane: &DesiredLane,
        name: &str,
        wanted: &BTreeMap<String, String>,
        seen: &Sight<ObservedQueue>,
    ) -> Result<(), Error> {
        let before = self.steps.len();
        let queue = || name.to_owned();
        match seen {
            Sight::Hidden => return Ok(()),
            Sight::Absent => {
                let action = Action::CreateQueue { queue: queue(), attributes: wanted.clone() };
                self.step(&lane.owner, Change::Create, format!("create queue {name}"), action);
                self.tag_queue(lane, name);
            }
            Sight::Present(there) => {
                let different = different(wanted, there);
                check_ours(lane, name, there, different.is_empty())?;
                if there.tags.is_empty() {
                    self.tag_queue(lane, name);
                }
                if !different.is_empty() {
                    let names: Vec<&str> = different.keys().map(String::as_str).collect();
                    let words = format!("set {} of queue {name}", names.join(", "));
                    let action =
                        Action::SetQueueAttributes { queue: queue(), attributes: different };
                    self.step(&lane.owner, Change::Change, words, action);
                }
            }
        }
        if self.steps.len() == before {
            self.keep(format!("queue {name}"));
        }
        Ok(())
    }

    fn tag_queue(&mut self, lane: &DesiredLane, name: &str) {
        let action = Action::TagQueue { queue: name.to_owned(), tags: lane.tags() };
        self.step(
            &lane.owner,
            Change::Change,
            format!("set ownership tags on queue {name}"),
            action,
        );
    }

    /// The bucket says nothing more.
    pub(crate) fn silence(&mut self, lane: &DesiredLane) {
        if lane.stage.repository().is_some() && self.seen_queues(lane).announced {
            let bucket = lane.bucket.to_string();
            let words = format!("announce nothing more of {bucket}");
            let action = Action::RemoveNotification { bucket, id: notification_id(lane) };
            self.step(&lane.owner, Change::Remove, words, action);
        }
    }

    /// Queues of this repository that are there and ours; the one that names the other goes first.
    pub(crate) fn delete_queues(&mut self, lane: &DesiredLane) -> Result<(), Error> {
        let Some(stage) = lane.stage.repository() else { return Ok(()) };
        let (queue, seen) = (&stage.queue, self.seen_queues(lane));
        for ((name, wanted), seen) in both(queue).into_iter().zip([&seen.queue, &seen.dead_letters])
        {
            let Some(there) = seen.seen() else { continue };
            check_ours(lane, name, there, different(&wanted, there).is_empty())?;
            let words = format!("delete queue {name} and what is in it");
            let action = Action::DeleteQueue { queue: name.to_owned() };
            self.step(&lane.owner, Change::Remove, words, action);
        }
        Ok(())
    }
}

/// What the notification is called in its bucket.
pub(crate) fn notification_id(lane: &DesiredLane) -> String {
    format!("consign-{}", lane.name)
}

/// The name and the attributes of both queues.
pub(crate) fn both(queue: &DesiredQueue) -> [(&str, BTreeMap<String, String>); 2] {
    [(&queue.name, queue.attributes()), (&queue.dead_letters, queue.dead_letters_attributes())]
}

/// What of the attributes is not as wanted.
fn different(wanted: &BTreeMap<String, String>, there: &ObservedQueue) -> BTreeMap<String, String> {
    let differs = |(name, value): &(&String, &String)| {
        let found = there.attributes.get(*name);
        !found.is_some_and(|found| same_attribute(name, found, value))
    };
    let different = wanted.iter().filter(differs);
    different.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Ours by its tags; or without tags and as wanted, which is what a creation leaves that was
/// interrupted before it could tag.
fn check_ours(
    lane: &DesiredLane,
    name: &str,
    there: &ObservedQueue,
    as_wanted: bool,
) -> Result<(), Error> {
    match ownership(&there.tags, &lane.tags()) {
        Ownership::Ours => return Ok(()),
        Ownership::Unmarked if as_wanted => return Ok(()),
        Ownership::Unmarked | Ownership::Others => {}
    }
    let message = format!("queue {name} exists and does not belong to {}", lane.title());
    Err(Error::new(ErrorKind::NotOurs, message)
        .with_hint("delete that queue, or rename the exchange or the repository"))
}
