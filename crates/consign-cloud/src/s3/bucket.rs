//! Buckets and their configuration. What is not configured reads as `None`, not as an error.

use std::collections::BTreeMap;

use aws_sdk_s3::types as sdk;

use super::S3;
use crate::error::{Call, Error, ErrorKind};

/// A bucket to create.
#[derive(Clone, Debug, Default)]
pub struct CreateBucket {
    /// Its name.
    pub bucket: String,
    /// Create it in this account's own namespace (names that end in `-{account}-{region}-an`),
    /// where nobody else can have taken it.
    pub account_regional: bool,
    /// No ACLs: the bucket's owner owns every object.
    pub owner_enforced: bool,
    /// Allow object locks, which cannot be switched on later everywhere.
    pub object_lock: bool,
}

/// The four switches of Block Public Access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicAccessBlock {
    /// Refuse new public ACLs.
    pub block_public_acls: bool,
    /// Ignore public ACLs.
    pub ignore_public_acls: bool,
    /// Refuse new public policies.
    pub block_public_policy: bool,
    /// Let a public policy grant nothing outside the account.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// All four on.
    pub const ALL: PublicAccessBlock = PublicAccessBlock {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
}

/// Who owns objects that others put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The bucket's owner; ACLs are off.
    BucketOwnerEnforced,
    /// The bucket's owner, if the writer says so by ACL.
    BucketOwnerPreferred,
    /// The writer.
    ObjectWriter,
}

/// What a bucket does to objects whose request asks for no encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketEncryption {
    /// How.
    pub algorithm: BucketAlgorithm,
    /// KMS key ARN.
    pub kms_key: Option<String>,
    /// Bucket key: fewer KMS calls, and the bucket's ARN as encryption context.
    pub bucket_key: bool,
    /// SSE-C is refused. `None`: the rule does not say.
    pub ssec_blocked: Option<bool>,
}

/// Kinds of default encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketAlgorithm {
    /// `AES256`
    SseS3,
    /// `aws:kms`
    SseKms,
    /// `aws:kms:dsse`
    DsseKms,
}

/// Whether overwritten and deleted objects are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versioning {
    /// Never was on.
    Off,
    /// Kept.
    Enabled,
    /// No longer; older versions remain.
    Suspended,
}

/// One lifecycle rule. Days of `None` are not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Its name within the bucket.
    pub id: String,
    /// Keys it is for; empty is all.
    pub prefix: String,
    /// In force.
    pub enabled: bool,
    /// Objects expire so long after they were put.
    pub expire_days: Option<i32>,
    /// Old versions are deleted so long after they were replaced.
    pub noncurrent_days: Option<i32>,
    /// Unfinished uploads are aborted so long after they began.
    pub abort_multipart_days: Option<i32>,
    /// Remove delete markers with nothing behind them.
    pub expired_delete_markers: bool,
    /// The rule says more than these fields hold (transitions, tags, sizes): writing it back from
    /// here would lose that.
    pub has_more: bool,
}

/// `Ok(None)` for the one code that means "not configured"; a missing bucket stays an error.
fn absent<T>(result: Result<T, Error>, code: &str) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == Some(code) => Ok(None),
        Err(error) => Err(error),
    }
}

impl S3 {
    /// Creates a bucket in the client's region.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] with code `BucketAlreadyOwnedByYou` or `BucketAlreadyExists`.
    pub async fn create_bucket(&self, create: &CreateBucket) -> Result<(), Error> {
        let call = Call::bucket("s3:CreateBucket", &create.bucket);
        let mut request = self.control.create_bucket().bucket(&create.bucket);
        if self.region != "us-east-1" {
            let region = sdk::BucketLocationConstraint::from(self.region.as_str());
            let location = sdk::CreateBucketConfiguration::builder().location_constraint(region);
            request = request.create_bucket_configuration(location.build());
        }
        if create.account_regional {
            request = request.bucket_namespace(sdk::BucketNamespace::AccountRegional);
        }
        if create.owner_enforced {
            request = request.object_ownership(sdk::ObjectOwnership::BucketOwnerEnforced);
        }
        if create.object_lock {
            request = request.object_lock_enabled_for_bucket(true);
        }
        request.send().await.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// The bucket's region if it exists and we may see it; `None` for a region the server does not
    /// tell. With an owner, anybody else's bucket is [`ErrorKind::AccessDenied`].
    pub async fn head_bucket(
        &self,
        bucket: &str,
        expected_owner: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let call = Call::bucket("s3:HeadBucket", bucket);
        let head = self
            .control
            .head_bucket()
            .bucket(bucket)
            .set_expected_bucket_owner(expected_owner.map(str::to_owned))
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        Ok(head.bucket_region)
    }

    /// Deletes an empty bucket.
    pub async fn delete_bucket(&self, bucket: &str) -> Result<(), Error> {
        let call = Call::bucket("s3:DeleteBucket", bucket);
        let sent = self.control.delete_bucket().bucket(bucket).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// True when the bucket holds no object, no version and no delete marker.
    pub async fn is_empty(&self, bucket: &str) -> Result<bool, Error> {
        let call = Call::bucket("s3:ListBucketVersions", bucket);
        let page = self
            .control
            .list_object_versions()
            .bucket(bucket)
            .max_keys(1)
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        Ok(page.versions().is_empty() && page.delete_markers().is_empty())
    }

    /// The bucket policy's text.
    pub async fn get_bucket_policy(&self, bucket: &str) -> Result<Option<String>, Error> {
        let call = Call::bucket("s3:GetBucketPolicy", bucket);
        let sent = self.control.get_bucket_policy().bucket(bucket).send().await;
        let found = absent(sent.map_err(|error| call.failed(error)), "NoSuchBucketPolicy")?;
        Ok(found.and_then(|found| found.policy))
    }

    /// Replaces the bucket policy. S3 refuses one by which the caller could not change it any more.
    pub async fn put_bucket_policy(&self, bucket: &str, policy: &str) -> Result<(), Error> {
        let call = Call::bucket("s3:PutBucketPolicy", bucket);
        let sent = self.control.put_bucket_policy().bucket(bucket).policy(policy).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Removes the bucket policy.
    pub async fn delete_bucket_policy(&self, bucket: &str) -> Result<(), Error> {
        let call = Call::bucket("s3:DeleteBucketPolicy", bucket);
        let sent = self.control.delete_bucket_policy().bucket(bucket).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// S3's own opinion whether the bucket policy is public; `None` without a policy.
    pub async fn bucket_policy_is_public(&self, bucket: &str) -> Result<Option<bool>, Error> {
        let call = Call::bucket("s3:GetBucketPolicyStatus", bucket);
        let sent = self.control.get_bucket_policy_status().bucket(bucket).send().await;
        let found = absent(sent.map_err(|error| call.failed(error)), "NoSuchBucketPolicy")?;
        Ok(found.and_then(|found| found.policy_status).and_then(|status| status.is_public))
    }

    /// Block Public Access of the bucket.
    pub async fn get_public_access_block(
        &self,
        bucket: &str,
    ) -> Result<Option<PublicAccessBlock>, Error> {
        let call = Call::bucket("s3:GetBucketPublicAccessBlock", bucket);
        let sent = self.control.get_public_access_block().bucket(bucket).send().await;
        let found = absent(
            sent.map_err(|error| call.failed(error)),
            "NoSuchPublicAccessBlockConfiguration",
        )?;
        let block = found.and_then(|found| found.public_access_block_configuration);
        Ok(block.map(|block| PublicAccessBlock {
            block_public_acls: block.block_public_acls == Some(true),
            ignore_public_acls: block.ignore_public_acls == Some(true),
            block_public_policy: block.block_public_policy == Some(true),
            restrict_public_buckets: block.restrict_public_buckets == Some(true),
        }))
    }

    /// Sets Block Public Access.
    pub async fn put_public_access_block(
        &self,
        bucket: &str,
        block: PublicAccessBlock,
    ) -> Result<(), Error> {
        let call = Call::bucket("s3:PutBucketPublicAccessBlock", bucket);
        let block = sdk::PublicAccessBlockConfiguration::builder()
            .block_public_acls(block.block_public_acls)
            .ignore_public_acls(block.ignore_public_acls)
            .block_public_policy(block.block_public_policy)
            .restrict_public_buckets(block.restrict_public_buckets)
            .build();
        let request = self.control.put_public_access_block().bucket(bucket);
        let sent = request.public_access_block_configuration(block).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Object ownership.
    pub async fn get_ownership(&self, bucket: &str) -> Result<Option<Ownership>, Error> {
        let call = Call::bucket("s3:GetBucketOwnershipControls", bucket);
        let sent = self.control.get_bucket_ownership_controls().bucket(bucket).send().await;
        let found =
            absent(sent.map_err(|error| call.failed(error)), "OwnershipControlsNotFoundError")?;
        let rules = found.and_then(|found| found.ownership_controls).map(|found| found.rules);
        let Some(rule) = rules.unwrap_or_default().into_iter().next() else { return Ok(None) };
        Ok(match rule.object_ownership {
            sdk::ObjectOwnership::BucketOwnerEnforced => Some(Ownership::BucketOwnerEnforced),
            sdk::ObjectOwnership::BucketOwnerPreferred => Some(Ownership::BucketOwnerPreferred),
            _ => Some(Ownership::ObjectWriter),
        })
    }

    /// Sets object ownership.
    pub async fn put_ownership(&self, bucket: &str, ownership: Ownership) -> Result<(), Error> {
        let call = Call::bucket("s3:PutBucketOwnershipControls", bucket);
        let ownership = match ownership {
            Ownership::BucketOwnerEnforced => sdk::ObjectOwnership::BucketOwnerEnforced,
            Ownership::BucketOwnerPreferred => sdk::ObjectOwnership::BucketOwnerPreferred,
            Ownership::ObjectWriter => sdk::ObjectOwnership::ObjectWriter,
        };
        let controls = sdk::OwnershipControlsRule::builder()
            .object_ownership(ownership)
            .build()
            .and_then(|rule| sdk::OwnershipControls::builder().rules(rule).build())
            .map_err(|error| built(&call, error))?;
        let request = self.control.put_bucket_ownership_controls().bucket(bucket);
        let sent = request.ownership_controls(controls).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Default encryption.
    pub async fn get_encryption(&self, bucket: &str) -> Result<Option<BucketEncryption>, Error> {
        let call = Call::bucket("s3:GetEncryptionConfiguration", bucket);
        let sent = self.control.get_bucket_encryption().bucket(bucket).send().await;
        let found = absent(
            sent.map_err(|error| call.failed(error)),
            "ServerSideEncryptionConfigurationNotFoundError",
        )?;
        let rules =
            found.and_then(|found| found.server_side_encryption_configuration).map(|c| c.rules);
        let Some(rule) = rules.unwrap_or_default().into_iter().next() else { return Ok(None) };
        let ssec_blocked = rule.blocked_encryption_types.map(|blocked| {
            blocked.encryption_type.unwrap_or_default().contains(&sdk::EncryptionType::SseC)
        });
        let Some(default) = rule.apply_server_side_encryption_by_default else {
            return Ok(None);
        };
        Ok(Some(BucketEncryption {
            algorithm: match default.sse_algorithm {
                sdk::ServerSideEncryption::AwsKms => BucketAlgorithm::SseKms,
                sdk::ServerSideEncryption::AwsKmsDsse => BucketAlgorithm::DsseKms,
                _ => BucketAlgorithm::SseS3,
            },
            kms_key: default.kms_master_key_id,
            bucket_key: rule.bucket_key_enabled == Some(true),
            ssec_blocked,
        }))
    }

    /// Sets default encryption.
    pub async fn put_encryption(
        &self,
        bucket: &str,
        encryption: &BucketEncryption,
    ) -> Result<(), Error> {
        let call = Call::bucket("s3:PutEncryptionConfiguration", bucket);
        let default = sdk::ServerSideEncryptionByDefault::builder()
            .sse_algorithm(match encryption.algorithm {
                BucketAlgorithm::SseS3 => sdk::ServerSideEncryption::Aes256,
                BucketAlgorithm::SseKms => sdk::ServerSideEncryption::AwsKms,
                BucketAlgorithm::DsseKms => sdk::ServerSideEncryption::AwsKmsDsse,
            })
            .set_kms_master_key_id(encryption.kms_key.clone())
            .build()
            .map_err(|error| built(&call, error))?;
        let blocked = encryption.ssec_blocked.map(|blocked| {
            let kind = if blocked { sdk::EncryptionType::SseC } else { sdk::EncryptionType::None };
            sdk::BlockedEncryptionTypes::builder().encryption_type(kind).build()
        });
        let rule = sdk::ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .bucket_key_enabled(encryption.bucket_key)
            .set_blocked_encryption_types(blocked)
            .build();
        let configuration = sdk::ServerSideEncryptionConfiguration::builder()
            .rules(rule)
            .build()
            .map_err(|error| built(&call, error))?;
        let request = self.control.put_bucket_encryption().bucket(bucket);
        let sent = request.server_side_encryption_configuration(configuration).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Versioning.
    pub async fn get_versioning(&self, bucket: &str) -> Result<Versioning, Error> {
        let call = Call::bucket("s3:GetBucketVersioning", bucket);
        let sent = self.control.get_bucket_versioning().bucket(bucket).send().await;
        Ok(match sent.map_err(|error| call.failed(error))?.status {
            Some(sdk::BucketVersioningStatus::Enabled) => Versioning::Enabled,
            Some(_) => Versioning::Suspended,
            None => Versioning::Off,
        })
    }

    /// Switches versioning on, or suspends it.
    pub async fn put_versioning(&self, bucket: &str, enabled: bool) -> Result<(), Error> {
        let call = Call::bucket("s3:PutBucketVersioning", bucket);
        let status = if enabled {
            sdk::BucketVersioningStatus::Enabled
        } else {
            sdk::BucketVersioningStatus::Suspended
        };
        let configuration = sdk::VersioningConfiguration::builder().status(status).build();
        let request = self.control.put_bucket_versioning().bucket(bucket);
        let sent = request.versioning_configuration(configuration).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Lifecycle rules; none configured is an empty list.
    pub async fn get_lifecycle(&self, bucket: &str) -> Result<Vec<LifecycleRule>, Error> {
        let call = Call::bucket("s3:GetLifecycleConfiguration", bucket);
        let sent = self.control.get_bucket_lifecycle_configuration().bucket(bucket).send().await;
        let found =
            absent(sent.map_err(|error| call.failed(error)), "NoSuchLifecycleConfiguration")?;
        let rules = found.and_then(|found| found.rules).unwrap_or_default();
        Ok(rules.iter().map(lifecycle_rule).collect())
    }

    /// Replaces all lifecycle rules; an empty list removes them.
    pub async fn put_lifecycle(&self, bucket: &str, rules: &[LifecycleRule]) -> Result<(), Error> {
        let call = Call::bucket("s3:PutLifecycleConfiguration", bucket);
        if rules.is_empty() {
            let sent = self.control.delete_bucket_lifecycle().bucket(bucket).send().await;
            sent.map_err(|error| call.failed(error))?;
            return Ok(());
        }
        let rules: Result<Vec<_>, _> = rules.iter().map(sdk_rule).collect();
        let configuration = rules
            .and_then(|rules| {
                sdk::BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build()
            })
            .map_err(|error| built(&call, error))?;
        let request = self.control.put_bucket_lifecycle_configuration().bucket(bucket);
        let sent = request.lifecycle_configuration(configuration).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }

    /// Tags of the bucket.
    pub async fn get_bucket_tags(&self, bucket: &str) -> Result<BTreeMap<String, String>, Error> {
        let call = Call::bucket("s3:GetBucketTagging", bucket);
        let sent = self.control.get_bucket_tagging().bucket(bucket).send().await;
        let found = absent(sent.map_err(|error| call.failed(error)), "NoSuchTagSet")?;
        let tags = found.map(|found| found.tag_set).unwrap_or_default();
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// Replaces all tags of the bucket; no tags removes them.
    pub async fn put_bucket_tags(
        &self,
        bucket: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let call = Call::bucket("s3:PutBucketTagging", bucket);
        if tags.is_empty() {
            let sent = self.control.delete_bucket_tagging().bucket(bucket).send().await;
            sent.map_err(|error| call.failed(error))?;
            return Ok(());
        }
        let tags: Result<Vec<_>, _> = tags
            .iter()
            .map(|(key, value)| sdk::Tag::builder().key(key).value(value).build())
            .collect();
        let tagging = tags
            .and_then(|tags| sdk::Tagging::builder().set_tag_set(Some(tags)).build())
            .map_err(|error| built(&call, error))?;
        let request = self.control.put_bucket_tagging().bucket(bucket);
        let sent = request.tagging(tagging).send().await;
        sent.map_err(|error| call.failed(error))?;
        Ok(())
    }
}

/// The SDK found a required field missing before it sent anything.
pub(super) fn built(call: &Call, error: aws_sdk_s3::error::BuildError) -> Error {
    call.clone().caused(ErrorKind::InvalidRequest, "not a complete request", error)
}

fn lifecycle_rule(rule: &sdk::LifecycleRule) -> LifecycleRule {
    let filter_prefix = rule.filter.as_ref().and_then(|filter| filter.prefix.clone());
    #[expect(deprecated, reason = "rules written long ago carry their prefix here")]
    let old_prefix = rule.prefix.clone();
    let filter_more = rule.filter.as_ref().is_some_and(|filter| {
        filter.tag.is_some()
            || filter.and.is_some()
            || filter.object_size_greater_than.is_some()
            || filter.object_size_less_than.is_some()
    });
    let expiration = rule.expiration.as_ref();
    let noncurrent = rule.noncurrent_version_expiration.as_ref();
    LifecycleRule {
        id: rule.id.clone().unwrap_or_default(),
        prefix: filter_prefix.or(old_prefix).unwrap_or_default(),
        enabled: rule.status == sdk::ExpirationStatus::Enabled,
        expire_days: expiration.and_then(|e| e.days).filter(|days| *days > 0),
        noncurrent_days: noncurrent.and_then(|n| n.noncurrent_days),
        abort_multipart_days: rule
            .abort_incomplete_multipart_upload
            .as_ref()
            .and_then(|abort| abort.days_after_initiation),
        expired_delete_markers: expiration
            .is_some_and(|e| e.expired_object_delete_marker == Some(true)),
        has_more: filter_more
            || !rule.transitions().is_empty()
            || !rule.noncurrent_version_transitions().is_empty()
            || expiration.is_some_and(|e| e.date.is_some())
            || noncurrent.is_some_and(|n| n.newer_noncurrent_versions.is_some()),
    }
}

fn sdk_rule(rule: &LifecycleRule) -> Result<sdk::LifecycleRule, aws_sdk_s3::error::BuildError> {
    let expiration = (rule.expire_days.is_some() || rule.expired_delete_markers).then(|| {
        sdk::LifecycleExpiration::builder()
            .set_days(rule.expire_days)
            .set_expired_object_delete_marker(rule.expired_delete_markers.then_some(true))
            .build()
    });
    let noncurrent = rule
        .noncurrent_days
        .map(|days| sdk::NoncurrentVersionExpiration::builder().noncurrent_days(days).build());
    let abort = rule.abort_multipart_days.map(|days| {
        sdk::AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build()
    });
    sdk::LifecycleRule::builder()
        .id(&rule.id)
        .filter(sdk::LifecycleRuleFilter::builder().prefix(&rule.prefix).build())
        .status(if rule.enabled {
            sdk::ExpirationStatus::Enabled
        } else {
            sdk::ExpirationStatus::Disabled
        })
        .set_expiration(expiration)
        .set_noncurrent_version_expiration(noncurrent)
        .set_abort_incomplete_multipart_upload(abort)
        .build()
}
