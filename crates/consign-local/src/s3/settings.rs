//! What is set on a bucket: policy, public access block, ownership, encryption, versioning, tags,
//! ACL, notifications. Every setting is one [`Setting`] with its IAM action; what S3 has and this cloud has not is
//! answered as S3 answers on a bucket without it, and refused when somebody wants to set it.

use http::{HeaderValue, Method, Response, StatusCode};

use super::about::{acl_not_supported, parse_tag_document};
use super::ask::{Ask, invalid_argument, refused};
use super::buckets::{DOCUMENT_BYTES_MAX, check_ownership};
use super::delete::check_small_body;
use super::get::owner_acl;
use super::response::{Answer, empty, xml};
use super::store::{Bucket, DefaultEncryption, PublicAccessBlock, SseAlgorithm, Versioning};
use super::tagging::tag_document;
use super::xml::{Document, Node, malformed};
use super::{lifecycle, notify};
use crate::error::{ApiError, ResponseBody, full};
use crate::gate::Body;
use crate::policy::{Policy, PolicyKind, is_public};

const POLICY_BYTES_MAX: usize = 20 * 1024;
const BUCKET_TAGS_MAX: usize = 50;

/// A setting by its query parameter, with the end of its IAM actions (`s3:Get…`, `s3:Put…`).
/// S3 has no actions of its own for deleting most settings: removing is putting.
pub(super) struct Setting {
    pub(super) name: &'static str,
    action: &'static str,
    delete_action: &'static str,
}

const fn setting(name: &'static str, action: &'static str, delete_action: &'static str) -> Setting {
    Setting { name, action, delete_action }
}

/// Every setting that can be asked for.
const SETTINGS: [Setting; 21] = [
    setting("policy", "BucketPolicy", "s3:DeleteBucketPolicy"),
    setting("policyStatus", "BucketPolicyStatus", ""),
    setting("publicAccessBlock", "BucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
    setting("ownershipControls", "BucketOwnershipControls", "s3:PutBucketOwnershipControls"),
    setting("encryption", "EncryptionConfiguration", "s3:PutEncryptionConfiguration"),
    setting("versioning", "BucketVersioning", ""),
    setting("lifecycle", "LifecycleConfiguration", "s3:PutLifecycleConfiguration"),
    setting("tagging", "BucketTagging", "s3:PutBucketTagging"),
    setting("acl", "BucketAcl", ""),
    setting("notification", "BucketNotification", ""),
    setting("logging", "BucketLogging", ""),
    setting("cors", "BucketCORS", "s3:PutBucketCORS"),
    setting("website", "BucketWebsite", "s3:DeleteBucketWebsite"),
    setting("replication", "ReplicationConfiguration", "s3:PutReplicationConfiguration"),
    setting("accelerate", "AccelerateConfiguration", ""),
    setting("requestPayment", "BucketRequestPayment", ""),
    setting("object-lock", "BucketObjectLockConfiguration", ""),
    setting("analytics", "AnalyticsConfiguration", "s3:PutAnalyticsConfiguration"),
    setting("inventory", "InventoryConfiguration", "s3:PutInventoryConfiguration"),
    setting("metrics", "MetricsConfiguration", "s3:PutMetricsConfiguration"),
    setting(
        "intelligent-tiering",
        "IntelligentTieringConfiguration",
        "s3:PutIntelligentTieringConfiguration",
    ),
];

/// The setting that a request is about.
pub(super) fn of_request(ask: &Ask) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| ask.has(setting.name))
}

pub(super) async fn handle(ask: &Ask, setting: &Setting, body: &mut Body) -> Answer {
    let bucket = ask.bucket()?;
    match *ask.method() {
        Method::GET => {
            ask.allow_on_bucket(&bucket, &format!("s3:Get{}", setting.action), &Vec::new())?;
            get(&bucket, setting)
        }
        Method::PUT => {
            ask.allow_on_bucket(&bucket, &format!("s3:Put{}", setting.action), &Vec::new())?;
            let document = body.collect(DOCUMENT_BYTES_MAX, || malformed("too long")).await?;
            check_small_body(ask, &document, body, false)?;
            put(ask, &bucket, setting, &document).await
        }
        Method::DELETE if !setting.delete_action.is_empty() => {
            ask.allow_on_bucket(&bucket, setting.delete_action, &Vec::new())?;
            delete(ask, &bucket, setting).await
        }
        _ => Err(method_not_allowed()),
    }
}

pub(super) fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    )
}

fn absent(code: &str, message: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, code, message)
}

fn get(bucket: &Bucket, setting: &Setting) -> Answer {
    match setting.name {
        "policy" => get_policy(bucket),
        "policyStatus" => get_policy_status(bucket),
        "publicAccessBlock" => get_public_access_block(bucket),
        "ownershipControls" => get_ownership_controls(bucket),
        "encryption" => Ok(get_encryption(bucket)),
        "versioning" => Ok(get_versioning(bucket)),
        "lifecycle" => lifecycle::get(bucket),
        "notification" => notify::get(bucket),
        "tagging" if bucket.tags.is_empty() => {
            Err(absent("NoSuchTagSet", "The TagSet does not exist"))
        }
        "tagging" => Ok(xml(tag_document(&bucket.tags), "Tagging")),
        "acl" => Ok(xml(owner_acl(&bucket.account), "AccessControlPolicy")),
        name => get_unset(name),
    }
}

/// What S3 answers on a bucket that never had the setting.
fn get_unset(name: &str) -> Answer {
    let bare = |root: &str| Ok(xml(Document::new(root), root));
    let none = |root: &str| {
        let mut document = Document::new(root);
        document.element("IsTruncated", false);
        Ok(xml(document, root))
    };
    match name {
        "logging" => bare("BucketLoggingStatus"),
        "accelerate" => bare("AccelerateConfiguration"),
        "requestPayment" => {
            let mut document = Document::new("RequestPaymentConfiguration");
            document.element("Payer", "BucketOwner");
            Ok(xml(document, "RequestPaymentConfiguration"))
        }
        "analytics" => none("ListBucketAnalyticsConfigurationResult"),
        "inventory" => none("ListInventoryConfigurationsResult"),
        "metrics" => none("ListMetricsConfigurationsResult"),
        "intelligent-tiering" => none("ListBucketIntelligentTieringConfigurationsOutput"),
        "cors" => Err(absent("NoSuchCORSConfiguration", "The CORS configuration does not exist")),
        "website" => Err(absent(
            "NoSuchWebsiteConfiguration",
            "The specified bucket does not have a website configuration",
        )),
        "replication" => Err(absent(
            "ReplicationConfigurationNotFoundError",
            "The replication configuration was not found",
        )),
        "object-lock" => Err(absent(
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
        )),
        other => Err(ApiError::not_implemented(other)),
    }
}

async fn put(ask: &Ask, bucket: &Bucket, setting: &Setting, document: &[u8]) -> Answer {
    match setting.name {
        "policy" => put_policy(ask, bucket, document).await,
        "publicAccessBlock" => {
            let block = read_public_access_block(document)?;
            update(ask, bucket, move |bucket| bucket.public_access = Some(block)).await
        }
        "ownershipControls" => {
            let ownership = read_ownership_controls(document)?;
            update(ask, bucket, move |bucket| bucket.ownership = Some(ownership)).await
        }
        "encryption" => {
            let encryption = read_encryption(document)?;
            update(ask, bucket, move |bucket| bucket.encryption = encryption).await
        }
        "versioning" => {
            let versioning = read_versioning(document)?;
            update(ask, bucket, move |bucket| bucket.versioning = versioning).await
        }
        "lifecycle" => lifecycle::put(ask, bucket, document).await,
        "notification" => notify::put(ask, bucket, document).await,
        "tagging" => {
            let tags = parse_tag_document(document, BUCKET_TAGS_MAX)?;
            update(ask, bucket, move |bucket| bucket.tags = tags).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        "acl" => put_acl(ask, bucket, document),
        name => put_unset(name, document),
    }
}

/// Setting nothing is already so; setting anything would be a promise that is not kept.
fn put_unset(name: &str, document: &[u8]) -> Answer {
    let root = match name {
        "logging" => "BucketLoggingStatus",
        "requestPayment" => "RequestPaymentConfiguration",
        other => return Err(ApiError::not_implemented(&format!("The bucket setting {other}"))),
    };
    let root = Node::parse(document, root)?;
    match root.children.is_empty() || root.text_of("Payer") == Some("BucketOwner") {
        true => Ok(empty(StatusCode::OK)),
        false => Err(ApiError::not_implemented(&format!("The bucket setting {name}"))),
    }
}

async fn delete(ask: &Ask, bucket: &Bucket, setting: &Setting) -> Answer {
    let change: fn(&mut Bucket) = match setting.name {
        "policy" => |bucket| bucket.policy = None,
        "publicAccessBlock" => |bucket| bucket.public_access = None,
        "ownershipControls" => |bucket| bucket.ownership = None,
        "encryption" => |bucket| bucket.encryption = DefaultEncryption::default(),
        "tagging" => |bucket| bucket.tags.clear(),
        "lifecycle" => |bucket| drop(bucket.documents.remove("lifecycle")),
        // Never set, so already gone.
        _ => return Ok(empty(StatusCode::NO_CONTENT)),
    };
    update(ask, bucket, change).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Changes the bucket; 200.
pub(super) async fn update(
    ask: &Ask,
    bucket: &Bucket,
    change: impl FnOnce(&mut Bucket) + Send + 'static,
) -> Answer {
    ask.store().update_bucket(&bucket.name, change).await.map_err(|error| refused(&error))?;
    Ok(empty(StatusCode::OK))
}

fn no_policy() -> ApiError {
    absent("NoSuchBucketPolicy", "The bucket policy does not exist")
}

fn get_policy(bucket: &Bucket) -> Answer {
    let policy =
        bucket.policy.clone().ok_or_else(|| no_policy().with("BucketName", &bucket.name))?;
    let mut response: Response<ResponseBody> = Response::new(full(policy));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}

fn get_policy_status(bucket: &Bucket) -> Answer {
    if bucket.policy.is_none() {
        return Err(no_policy().with("BucketName", &bucket.name));
    }
    let mut document = Document::new("PolicyStatus");
    document.element("IsPublic", bucket.parsed_policy().public);
    Ok(xml(document, "PolicyStatus"))
}

async fn put_policy(ask: &Ask, bucket: &Bucket, document: &[u8]) -> Answer {
    let refuse = |message: &str| ApiError::bad_request("MalformedPolicy", message);
    let text = std::str::from_utf8(document)
        .map_err(|_| refuse("Policies must be valid JSON and the first byte must be '{'"))?;
    if text.len() > POLICY_BYTES_MAX {
        return Err(refuse("Policy exceeds the maximum allowed document size."));
    }
    let policy = Policy::parse_as(PolicyKind::Resource, text)
        .map_err(|refusal| refuse(&refusal.to_string()))?;
    check_statements(text, &bucket.name)?;
    let blocked = bucket.public_access.is_some_and(|block| block.block_public_policy);
    if blocked && is_public(&policy) {
        return Err(
            ApiError::access_denied().because("BlockPublicPolicy is on and the policy is public")
        );
    }
    let text = text.to_owned();
    update(ask, bucket, move |bucket| bucket.policy = Some(text)).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A bucket policy names principals, and resources of its own bucket only.
fn check_statements(text: &str, bucket: &str) -> Result<(), ApiError> {
    let refuse = |message: &str| Err(ApiError::bad_request("MalformedPolicy", message));
    let parsed: serde_json::Value =
        serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let listed = |value: &serde_json::Value| match value {
        serde_json::Value::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    for statement in parsed.get("Statement").map(&listed).unwrap_or_default() {
        if statement.get("Principal").is_none() && statement.get("NotPrincipal").is_none() {
            return refuse("Missing required field Principal");
        }
        let resources = statement.get("Resource").or_else(|| statement.get("NotResource"));
        let Some(resources) = resources else {
            return refuse("Missing required field Resource");
        };
        let arn = format!("arn:aws:s3:::{bucket}");
        let own = |resource: &str| {
            resource == "*"
                || resource.strip_prefix(&arn).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('/') || rest.starts_with('*')
                })
        };
        if !listed(resources).iter().all(|resource| resource.as_str().is_some_and(own)) {
            return refuse("Policy has invalid resource");
        }
    }
    Ok(())
}

/// Reads a document as each setting that has one: for fuzzing.
pub(super) fn read_as_any(document: &[u8]) {
    let _ = read_public_access_block(document);
    let _ = read_ownership_controls(document);
    let _ = read_encryption(document);
    let _ = read_versioning(document);
}

const BLOCKS: [&str; 4] =
    ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];

fn get_public_access_block(bucket: &Bucket) -> Answer {
    let Some(block) = bucket.public_access else {
        return Err(absent(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
        ));
    };
    let values = [
        block.block_public_acls,
        block.ignore_public_acls,
        block.block_public_policy,
        block.restrict_public_buckets,
    ];
    let mut document = Document::new("PublicAccessBlockConfiguration");
    for (name, value) in BLOCKS.into_iter().zip(values) {
        document.element(name, value);
    }
    Ok(xml(document, "PublicAccessBlockConfiguration"))
}

fn read_public_access_block(document: &[u8]) -> Result<PublicAccessBlock, ApiError> {
    let root = Node::parse(document, "PublicAccessBlockConfiguration")?;
    root.only(&BLOCKS)?;
    let [block_public_acls, ignore_public_acls, block_public_policy, restrict_public_buckets] =
        BLOCKS;
    Ok(PublicAccessBlock {
        block_public_acls: root.flag(block_public_acls)?,
        ignore_public_acls: root.flag(ignore_public_acls)?,
        block_public_policy: root.flag(block_public_policy)?,
        restrict_public_buckets: root.flag(restrict_public_buckets)?,
    })
}

fn get_ownership_controls(bucket: &Bucket) -> Answer {
    let Some(ownership) = &bucket.ownership else {
        return Err(absent(
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found",
        ));
    };
    let mut document = Document::new("OwnershipControls");
    document.open("Rule").element("ObjectOwnership", ownership).close("Rule");
    Ok(xml(document, "OwnershipControls"))
}

fn read_ownership_controls(document: &[u8]) -> Result<String, ApiError> {
    let root = Node::parse(document, "OwnershipControls")?;
    root.only(&["Rule"])?;
    let ownership = root.child("Rule").and_then(|rule| rule.text_of("ObjectOwnership"));
    let ownership = ownership.ok_or_else(|| malformed("no ObjectOwnership"))?;
    check_ownership(ownership)?;
    Ok(ownership.to_owned())
}

fn get_encryption(bucket: &Bucket) -> Response<ResponseBody> {
    let encryption = &bucket.encryption;
    let mut document = Document::new("ServerSideEncryptionConfiguration");
    document.open("Rule").open("ApplyServerSideEncryptionByDefault");
    document.element("SSEAlgorithm", encryption.algorithm.name());
    document.optional("KMSMasterKeyID", encryption.kms_key.as_deref());
    document.close("ApplyServerSideEncryptionByDefault");
    document.element("BucketKeyEnabled", encryption.bucket_key);
    if encryption.blocks_customer_keys {
        document.open("BlockedEncryptionTypes").element("EncryptionType", "SSE-C");
        document.close("BlockedEncryptionTypes");
    }
    document.close("Rule");
    xml(document, "ServerSideEncryptionConfiguration")
}

fn read_encryption(document: &[u8]) -> Result<DefaultEncryption, ApiError> {
    let root = Node::parse(document, "ServerSideEncryptionConfiguration")?;
    root.only(&["Rule"])?;
    let [rule] = root.children.as_slice() else {
        return Err(malformed("there must be one rule"));
    };
    rule.only(&[
        "ApplyServerSideEncryptionByDefault",
        "BucketKeyEnabled",
        "BlockedEncryptionTypes",
    ])?;
    let mut encryption = DefaultEncryption::default();
    if let Some(default) = rule.child("ApplyServerSideEncryptionByDefault") {
        default.only(&["SSEAlgorithm", "KMSMasterKeyID"])?;
        let name = default.text_of("SSEAlgorithm").unwrap_or_default();
        encryption.algorithm = SseAlgorithm::parse(name).ok_or_else(|| malformed(name))?;
        let key = default.text_of("KMSMasterKeyID").map(str::trim).filter(|key| !key.is_empty());
        if key.is_some() && encryption.algorithm == SseAlgorithm::S3 {
            let message = "a KMSMasterKeyID is not applicable if the default sse algorithm is not \
                           aws:kms or aws:kms:dsse";
            return Err(invalid_argument(message, "KMSMasterKeyID", key.unwrap_or_default()));
        }
        encryption.kms_key = key.map(str::to_owned);
    }
    encryption.bucket_key = rule.flag("BucketKeyEnabled")?;
    for blocked in rule.child("BlockedEncryptionTypes").iter().flat_map(|types| &types.children) {
        match (blocked.name.as_str(), blocked.text.trim()) {
            ("EncryptionType", "SSE-C") => encryption.blocks_customer_keys = true,
            ("EncryptionType", "NONE") => {}
            (_, other) => return Err(malformed(other)),
        }
    }
    Ok(encryption)
}

fn get_versioning(bucket: &Bucket) -> Response<ResponseBody> {
    let mut document = Document::new("VersioningConfiguration");
    match bucket.versioning {
        Versioning::Never => {}
        Versioning::Enabled => drop(document.element("Status", "Enabled")),
        Versioning::Suspended => drop(document.element("Status", "Suspended")),
    }
    xml(document, "VersioningConfiguration")
}

fn read_versioning(document: &[u8]) -> Result<Versioning, ApiError> {
    let root = Node::parse(document, "VersioningConfiguration")?;
    root.only(&["Status", "MfaDelete", "MFADelete"])?;
    let mfa = root.text_of("MfaDelete").or_else(|| root.text_of("MFADelete"));
    if mfa.is_some_and(|text| text.trim() == "Enabled") {
        return Err(ApiError::not_implemented("MFA delete"));
    }
    match root.text_of("Status").map(str::trim) {
        Some("Enabled") => Ok(Versioning::Enabled),
        Some("Suspended") => Ok(Versioning::Suspended),
        _ => Err(ApiError::bad_request(
            "IllegalVersioningConfigurationException",
            "The Versioning element must be specified",
        )),
    }
}

/// Only the ACL that gives the owner everything, and nobody else anything, can be put.
fn put_acl(ask: &Ask, bucket: &Bucket, document: &[u8]) -> Answer {
    let grants =
        ask.call.parts.headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-"));
    if bucket.is_owner_enforced() {
        return Err(acl_not_supported());
    }
    match ask.header("x-amz-acl") {
        Some("private") if !grants && document.is_empty() => Ok(empty(StatusCode::OK)),
        _ => Err(ApiError::not_implemented("Granting access by ACL")),
    }
}
