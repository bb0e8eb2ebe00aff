//! Looks at a repository's queues and at what its bucket announces.

use super::unreadable;
use crate::desired::DesiredLane;
use crate::error::Error;
use crate::observed::{ObservedQueue, ObservedQueues, Sight};
use crate::queues::{EVENTS, both, notification_id};
use crate::stage::DesiredQueue;
use consign_cloud::s3::QueueNotification;
use consign_cloud::{Cloud, ErrorKind};
use std::collections::BTreeMap;

pub(super) async fn observe(
    lane: &DesiredLane,
    queue: &DesiredQueue,
    cloud: &Cloud,
) -> Result<ObservedQueues, Error> {
    let [(name, wanted), (dead_letters, dead_wanted)] = both(queue);
    Ok(ObservedQueues {
        queue: observe_queue(name, &wanted, cloud).await?,
        dead_letters: observe_queue(dead_letters, &dead_wanted, cloud).await?,
        announced: announced(lane, queue, cloud).await?,
    })
}

async fn observe_queue(
    name: &str,
    wanted: &BTreeMap<String, String>,
    cloud: &Cloud,
) -> Result<Sight<ObservedQueue>, Error> {
    let failed = |error| unreadable(&format!("queue {name}"), error);
    let sqs = cloud.sqs();
    let url = match sqs.queue_url(name).await {
        Ok(url) => url,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Sight::Absent),
        Err(error) => return Err(failed(error)),
    };
    let (mut attributes, tags) =
        tokio::try_join!(sqs.attributes(&url), sqs.queue_tags(&url)).map_err(failed)?;
    // How many messages there are, and when somebody looked last, is no matter of a plan.
    attributes.retain(|name, _| wanted.contains_key(name));
    Ok(Sight::Present(ObservedQueue { attributes, tags }))
}

async fn announced(lane: &DesiredLane, queue: &DesiredQueue, cloud: &Cloud) -> Result<bool, Error> {
    let bucket = lane.bucket.as_ref();
    match cloud.s3().bucket_notifications(bucket, Some(lane.owner.as_ref())).await {
        Ok(found) => Ok(found.contains(&notification(&notification_id(lane), &queue.arn()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unreadable(&format!("what bucket {bucket} announces"), error)),
    }
}

/// What a bucket is told to announce: everything, whatever its name.
pub(crate) fn notification(id: &str, queue_arn: &str) -> QueueNotification {
    QueueNotification {
        id: id.to_owned(),
        queue_arn: queue_arn.to_owned(),
        events: EVENTS.map(str::to_owned).to_vec(),
        prefix: String::new(),
        suffix: String::new(),
    }
}
