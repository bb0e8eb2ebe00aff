//! Whom a bucket tells what.

use aws_sdk_s3::types as sdk;

use super::S3;
use super::bucket::built;
use crate::error::{Call, Error};

/// A queue that a bucket tells of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueNotification {
    /// Its name within the bucket; empty lets the service choose one.
    pub id: String,
    /// ARN of the queue, in the bucket's region.
    pub queue_arn: String,
    /// Such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What keys begin with; empty is any.
    pub prefix: String,
    /// What keys end with; empty is any.
    pub suffix: String,
}

impl S3 {
    /// The queues that a bucket tells of events. Topics, functions and EventBridge are not shown.
    pub async fn bucket_notifications(
        &self,
        bucket: &str,
        owner: Option<&str>,
    ) -> Result<Vec<QueueNotification>, Error> {
        let call = Call::bucket("s3:GetBucketNotification", bucket);
        let request = self.control.get_bucket_notification_configuration().bucket(bucket);
        let sent = request.set_expected_bucket_owner(owner.map(str::to_owned)).send().await;
        let found = sent.map_err(|error| call.failed(error))?;
        Ok(found.queue_configurations().iter().map(notification).collect())
    }

    /// Replaces a bucket's whole notification configuration by these queues: none turns it off,
    /// and topics, functions and EventBridge are told no more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) when a queue is not there,
    /// or its policy does not let S3 send for this bucket.
    pub async fn put_bucket_notifications(
        &self,
        bucket: &str,
        owner: Option<&str>,
        notifications: &[QueueNotification],
    ) -> Result<(), Error> {
        let call = Call::bucket("s3:PutBucketNotification", bucket);
        let queues: Result<Vec<_>, _> = notifications.iter().map(configuration).collect();
        let queues = queues.map_err(|error| built(&call, error))?;
        let wanted =
            sdk::NotificationConfiguration::builder().set_queue_configurations(Some(queues));
        let request = self.control.put_bucket_notification_configuration().bucket(bucket);
        let request = request.set_expected_bucket_owner(owner.map(str::to_owned));
        let sent = request.notification_configuration(wanted.build()).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }
}

fn notification(found: &sdk::QueueConfiguration) -> QueueNotification {
    let rules = found.filter.as_ref().and_then(|filter| filter.key.as_ref());
    let rules = rules.map(|key| key.filter_rules()).unwrap_or_default();
    let value = |name: &str| {
        let mut named = rules.iter().filter(|rule| {
            rule.name.as_ref().is_some_and(|found| found.as_str().eq_ignore_ascii_case(name))
        });
        named.next().and_then(|rule| rule.value.clone()).unwrap_or_default()
    };
    QueueNotification {
        id: found.id.clone().unwrap_or_default(),
        queue_arn: found.queue_arn.clone(),
        events: found.events.iter().map(|event| event.as_str().to_owned()).collect(),
        prefix: value("prefix"),
        suffix: value("suffix"),
    }
}

fn configuration(
    wanted: &QueueNotification,
) -> Result<sdk::QueueConfiguration, aws_sdk_s3::error::BuildError> {
    let rule = |name: sdk::FilterRuleName, value: &str| {
        (!value.is_empty()).then(|| sdk::FilterRule::builder().name(name).value(value).build())
    };
    let rules = [
        rule(sdk::FilterRuleName::Prefix, &wanted.prefix),
        rule(sdk::FilterRuleName::Suffix, &wanted.suffix),
    ];
    let rules: Vec<_> = rules.into_iter().flatten().collect();
    let filter = (!rules.is_empty()).then(|| {
        let key = sdk::S3KeyFilter::builder().set_filter_rules(Some(rules)).build();
        sdk::NotificationConfigurationFilter::builder().key(key).build()
    });
    let events = wanted.events.iter().map(|event| sdk::Event::from(event.as_str())).collect();
    sdk::QueueConfiguration::builder()
        .set_id(Some(wanted.id.clone()).filter(|id| !id.is_empty()))
        .queue_arn(&wanted.queue_arn)
        .set_events(Some(events))
        .set_filter(filter)
        .build()
}
