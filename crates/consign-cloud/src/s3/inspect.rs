//! What else is set on a bucket: the settings that an auditor asks about and nothing here writes.
//! What is not configured reads as `None` or an empty list, as in [`bucket`](super::bucket).

use aws_sdk_s3::types as sdk;

use super::S3;
use crate::error::{Call, Error, ErrorKind};

/// Where S3 writes the access log of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The bucket that receives the log.
    pub bucket: String,
    /// What the log's keys begin with.
    pub prefix: String,
}

/// Whom a bucket tells about its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The ARN of a queue, topic or function; `eventbridge` for the account's event bus.
    pub target: String,
    /// Which events, as S3 names them.
    pub events: Vec<String>,
}

/// Whether objects are locked, and for how long by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// `GOVERNANCE` or `COMPLIANCE`; none without a default retention.
    pub mode: Option<String>,
    /// Days of the default retention (a year counts 365).
    pub days: Option<i32>,
}

fn unless_unset<T>(result: Result<T, Error>, codes: &[&str]) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code().is_some_and(|code| codes.contains(&code)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl S3 {
    /// Whether the bucket is `account`'s. Asked with the expected owner, so that the answer does
    /// not depend on a listing; the lanes' own policies deny that to administrators.
    ///
    /// # Errors
    /// A missing bucket, and one whose settings the caller may not read even without naming an
    /// owner.
    pub async fn is_owned_by(&self, bucket: &str, account: &str) -> Result<bool, Error> {
        let call = Call::bucket("s3:GetBucketVersioning", bucket);
        let request = self.control.get_bucket_versioning().bucket(bucket);
        let sent = request.clone().expected_bucket_owner(account).send().await;
        match sent.map_err(|error| call.clone().failed(error)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AccessDenied => {
                request.send().await.map_err(|error| call.failed(error))?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether deleting a version needs the root user's second factor.
    pub async fn needs_mfa_to_delete(&self, bucket: &str) -> Result<bool, Error> {
        let call = Call::bucket("s3:GetBucketVersioning", bucket);
        let sent = self.control.get_bucket_versioning().bucket(bucket).send().await;
        let status = sent.map_err(|error| call.failed(error))?.mfa_delete;
        Ok(status == Some(sdk::MfaDeleteStatus::Enabled))
    }

    /// Where the bucket's access log goes, if it is on.
    pub async fn get_access_log(&self, bucket: &str) -> Result<Option<AccessLog>, Error> {
        let call = Call::bucket("s3:GetBucketLogging", bucket);
        let sent = self.control.get_bucket_logging().bucket(bucket).send().await;
        let enabled = sent.map_err(|error| call.failed(error))?.logging_enabled;
        Ok(enabled.map(|log| AccessLog { bucket: log.target_bucket, prefix: log.target_prefix }))
    }

    /// Everybody who is told about objects of the bucket.
    pub async fn get_notifications(&self, bucket: &str) -> Result<Vec<Notification>, Error> {
        let call = Call::bucket("s3:GetBucketNotification", bucket);
        let sent = self.control.get_bucket_notification_configuration().bucket(bucket).send().await;
        let found = sent.map_err(|error| call.failed(error))?;
        let events = |events: Vec<sdk::Event>| -> Vec<String> {
            events.iter().map(|event| event.as_str().to_owned()).collect()
        };
        let told = |target: String, events| Notification { target, events };
        let mut all = Vec::new();
        for queue in found.queue_configurations.unwrap_or_default() {
            all.push(told(queue.queue_arn, events(queue.events)));
        }
        for topic in found.topic_configurations.unwrap_or_default() {
            all.push(told(topic.topic_arn, events(topic.events)));
        }
        for function in found.lambda_function_configurations.unwrap_or_default() {
            all.push(told(function.lambda_function_arn, events(function.events)));
        }
        if found.event_bridge_configuration.is_some() {
            all.push(told("eventbridge".to_owned(), vec!["every event".to_owned()]));
        }
        Ok(all)
    }

    /// The buckets that objects are replicated to, as ARNs.
    pub async fn get_replication(&self, bucket: &str) -> Result<Vec<String>, Error> {
        let call = Call::bucket("s3:GetReplicationConfiguration", bucket);
        let sent = self.control.get_bucket_replication().bucket(bucket).send().await;
        let found = unless_unset(
            sent.map_err(|error| call.failed(error)),
            &["ReplicationConfigurationNotFoundError"],
        )?;
        let rules = found.and_then(|found| found.replication_configuration).map(|c| c.rules);
        let destinations =
            rules.unwrap_or_default().into_iter().filter_map(|rule| rule.destination);
        Ok(destinations.map(|destination| destination.bucket).collect())
    }

    /// The buckets that lists of the objects are written to, as ARNs.
    pub async fn get_inventories(&self, bucket: &str) -> Result<Vec<String>, Error> {
        let call = Call::bucket("s3:GetInventoryConfiguration", bucket);
        let sent = self.control.list_bucket_inventory_configurations().bucket(bucket).send().await;
        let found = sent.map_err(|error| call.failed(error))?;
        let destinations = found
            .inventory_configuration_list
            .unwrap_or_default()
            .into_iter()
            .filter_map(|inventory| inventory.destination?.s3_bucket_destination);
        Ok(destinations.map(|destination| destination.bucket).collect())
    }

    /// Whether the bucket is served as a website.
    pub async fn is_website(&self, bucket: &str) -> Result<bool, Error> {
        let call = Call::bucket("s3:GetBucketWebsite", bucket);
        let sent = self.control.get_bucket_website().bucket(bucket).send().await;
        let found = unless_unset(
            sent.map_err(|error| call.failed(error)),
            &["NoSuchWebsiteConfiguration"],
        )?;
        Ok(found.is_some())
    }

    /// The web origins whose pages may use the bucket.
    pub async fn get_cors_origins(&self, bucket: &str) -> Result<Vec<String>, Error> {
        let call = Call::bucket("s3:GetBucketCORS", bucket);
        let sent = self.control.get_bucket_cors().bucket(bucket).send().await;
        let found =
            unless_unset(sent.map_err(|error| call.failed(error)), &["NoSuchCORSConfiguration"])?;
        let rules = found.and_then(|found| found.cors_rules).unwrap_or_default();
        Ok(rules.into_iter().flat_map(|rule| rule.allowed_origins).collect())
    }

    /// Object Lock, if the bucket has it.
    pub async fn get_object_lock(&self, bucket: &str) -> Result<Option<ObjectLock>, Error> {
        let call = Call::bucket("s3:GetBucketObjectLockConfiguration", bucket);
        let sent = self.control.get_object_lock_configuration().bucket(bucket).send().await;
        let found = unless_unset(
            sent.map_err(|error| call.failed(error)),
            &["ObjectLockConfigurationNotFoundError"],
        )?;
        let Some(lock) = found.and_then(|found| found.object_lock_configuration) else {
            return Ok(None);
        };
        let default = lock.rule.and_then(|rule| rule.default_retention);
        Ok(Some(ObjectLock {
            mode: default.as_ref().and_then(|d| d.mode.as_ref()).map(|m| m.as_str().to_owned()),
            days: default.and_then(|d| d.days.or(d.years.map(|years| years * 365))),
        }))
    }
}
