//! The calls about queues and what a bucket announces on them. Each can be repeated.

use super::CallError;
use crate::observe::queues::notification;
use crate::plan::Action;
use consign_cloud::sqs::QueueUrl;
use consign_cloud::{Cloud, Error, ErrorKind};

pub(super) async fn call(action: &Action, cloud: &Cloud) -> Result<(), CallError> {
    let sqs = cloud.sqs();
    match action {
        Action::CreateQueue { queue, attributes } => {
            sqs.create_queue(queue, attributes).await?;
        }
        Action::TagQueue { queue, tags } => {
            sqs.tag_queue(&sqs.queue_url(queue).await?, tags).await?;
        }
        Action::SetQueueAttributes { queue, attributes } => {
            sqs.set_attributes(&sqs.queue_url(queue).await?, attributes).await?;
        }
        Action::DeleteQueue { queue } => {
            if let Some(url) = found(sqs.queue_url(queue).await)? {
                sqs.delete_queue(&url).await?;
            }
        }
        Action::PutNotification { bucket, id, queue_arn } => {
            announce(bucket, id, Some(queue_arn), cloud).await?;
        }
        Action::RemoveNotification { bucket, id } => announce(bucket, id, None, cloud).await?,
        // `call` of the module above hands on what is about queues.
        _ => {}
    }
    Ok(())
}

/// Puts our announcement among those that are there, or takes it away.
async fn announce(
    bucket: &str,
    id: &str,
    queue_arn: Option<&str>,
    cloud: &Cloud,
) -> Result<(), CallError> {
    let s3 = cloud.s3();
    // The call replaces the whole configuration, of which it can say queues alone.
    if s3.get_notifications(bucket).await?.iter().any(|it| !it.target.contains(":sqs:")) {
        return Err(CallError::ForeignNotifications(bucket.to_owned()));
    }
    let mut all = s3.bucket_notifications(bucket, None).await?;
    all.retain(|it| it.id != id);
    all.extend(queue_arn.map(|arn| notification(id, arn)));
    s3.put_bucket_notifications(bucket, None, &all).await?;
    Ok(())
}

fn found(url: Result<QueueUrl, Error>) -> Result<Option<QueueUrl>, Error> {
    match url {
        Ok(url) => Ok(Some(url)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
