//! Which permissions an S3 call needs. One call may need several: a copy reads and writes, tags
//! sent along need their own permission, and an object under a KMS key needs the key as well, asked
//! by S3 in the caller's name (`kms:ViaService`).
//!
//! [`required`] answers for one call. The KMS rows concern objects encrypted with SSE-KMS or
//! DSSE-KMS; for other objects a caller leaves them out. Sources: the S3 API reference (section
//! "Permissions" of each operation) and the permissions listed in its "Required permissions" page.

/// One permission that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// `s3:…` or `kms:…`
    pub action: &'static str,
    /// On which resource.
    pub on: On,
    when: When,
}

/// The resource of a permission, relative to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The object of the call; the destination of a copy.
    Object,
    /// The source of a copy.
    SourceObject,
    /// The bucket.
    Bucket,
    /// No resource: the account's list of buckets (`*`).
    Account,
    /// The KMS key of the object. With a bucket key the encryption context `aws:s3:arn` is the ARN
    /// of the bucket, without one that of the object.
    Key,
    /// The KMS key of the source of a copy.
    SourceKey,
}

/// What about a call changes its permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// It names a version of the object.
    pub version: bool,
    /// A copy names a version of its source.
    pub source_version: bool,
    /// It carries tags (`x-amz-tagging`).
    pub tags: bool,
    /// A copy takes the source's tags along, and there are some.
    pub copies_tags: bool,
    /// It carries an ACL (`x-amz-acl`, `x-amz-grant-*`).
    pub acl: bool,
    /// It sets retention (`x-amz-object-lock-mode`).
    pub retention: bool,
    /// It sets a legal hold.
    pub legal_hold: bool,
    /// `x-amz-bypass-governance-retention`
    pub bypass_governance: bool,
    /// HEAD asks for the checksum, or completing an upload sends one.
    pub checksum: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    Version(bool),
    SourceVersion(bool),
    Tags,
    CopiesTags,
    Acl,
    Retention,
    LegalHold,
    BypassGovernance,
    Checksum,
}

impl When {
    fn holds(self, facts: &Facts) -> bool {
        match self {
            When::Always => true,
            When::Version(named) => facts.version == named,
            When::SourceVersion(named) => facts.source_version == named,
            When::Tags => facts.tags,
            When::CopiesTags => facts.copies_tags,
            When::Acl => facts.acl,
            When::Retention => facts.retention,
            When::LegalHold => facts.legal_hold,
            When::BypassGovernance => facts.bypass_governance,
            When::Checksum => facts.checksum,
        }
    }
}

/// The permissions that a call of the named S3 operation needs, given what it carries; `None` for
/// an operation this table does not know, which is no permission to go ahead.
///
/// ```
/// use consign_iam::s3_actions::{Facts, On, required};
///
/// let put: Vec<_> = required("PutObject", Facts::default()).into_iter().flatten().collect();
/// assert_eq!((put[0].action, put[0].on), ("s3:PutObject", On::Object));
/// assert_eq!((put[1].action, put[1].on), ("kms:GenerateDataKey", On::Key));
/// ```
pub fn required(api: &str, facts: Facts) -> Option<impl Iterator<Item = &'static Need> + use<>> {
    for_api(api).map(|needs| needs.iter().filter(move |need| need.when.holds(&facts)))
}

/// Every permission that some call of the named S3 operation needs.
pub fn for_api(api: &str) -> Option<&'static [Need]> {
    TABLE.iter().find(|(known, _)| *known == api).map(|(_, needs)| *needs)
}

/// The names of the operations in the table.
pub fn apis() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(api, _)| *api)
}

const fn need(action: &'static str, on: On) -> Need {
    Need { action, on, when: When::Always }
}

const fn when(when: When, action: &'static str, on: On) -> Need {
    Need { action, on, when }
}

const DECRYPT: Need = need("kms:Decrypt", On::Key);
const GENERATE: Need = need("kms:GenerateDataKey", On::Key);
const PUT: Need = need("s3:PutObject", On::Object);
const PUT_TAGS: Need = when(When::Tags, "s3:PutObjectTagging", On::Object);
const PUT_ACL: Need = when(When::Acl, "s3:PutObjectAcl", On::Object);
const PUT_RETENTION: Need = when(When::Retention, "s3:PutObjectRetention", On::Object);
const PUT_HOLD: Need = when(When::LegalHold, "s3:PutObjectLegalHold", On::Object);
const GET: Need = when(When::Version(false), "s3:GetObject", On::Object);
const GET_VERSION: Need = when(When::Version(true), "s3:GetObjectVersion", On::Object);
const READ_SOURCE: Need = when(When::SourceVersion(false), "s3:GetObject", On::SourceObject);
const READ_SOURCE_VERSION: Need =
    when(When::SourceVersion(true), "s3:GetObjectVersion", On::SourceObject);
const DECRYPT_SOURCE: Need = need("kms:Decrypt", On::SourceKey);
const DELETE: [Need; 3] = [
    when(When::Version(false), "s3:DeleteObject", On::Object),
    when(When::Version(true), "s3:DeleteObjectVersion", On::Object),
    when(When::BypassGovernance, "s3:BypassGovernanceRetention", On::Object),
];
const WRITE: [Need; 6] = [PUT, GENERATE, PUT_TAGS, PUT_ACL, PUT_RETENTION, PUT_HOLD];

const fn bucket(action: &'static str) -> [Need; 1] {
    [need(action, On::Bucket)]
}

const fn object(plain: &'static str, version: &'static str) -> [Need; 2] {
    [when(When::Version(false), plain, On::Object), when(When::Version(true), version, On::Object)]
}

#[rustfmt::skip]
const TABLE: &[(&str, &[Need])] = &[
    // Objects
    ("PutObject", &WRITE),
    ("PostObject", &WRITE),
    ("GetObject", &[GET, GET_VERSION, DECRYPT]),
    // The documentation asks for the key only where a checksum is wanted.
    ("HeadObject", &[GET, GET_VERSION, when(When::Checksum, "kms:Decrypt", On::Key)]),
    ("GetObjectAttributes", &[
        GET,
        GET_VERSION,
        when(When::Version(false), "s3:GetObjectAttributes", On::Object),
        when(When::Version(true), "s3:GetObjectVersionAttributes", On::Object),
        DECRYPT,
    ]),
    ("SelectObjectContent", &[need("s3:GetObject", On::Object), DECRYPT]),
    ("GetObjectTorrent", &object("s3:GetObjectTorrent", "s3:GetObjectVersionTorrent")),
    ("DeleteObject", &DELETE),
    ("DeleteObjects", &DELETE),
    ("CopyObject", &[
        READ_SOURCE,
        READ_SOURCE_VERSION,
        when(When::CopiesTags, "s3:GetObjectTagging", On::SourceObject),
        DECRYPT_SOURCE,
        PUT,
        GENERATE,
        when(When::CopiesTags, "s3:PutObjectTagging", On::Object),
        PUT_TAGS,
        PUT_ACL,
        PUT_RETENTION,
        PUT_HOLD,
    ]),
    ("RestoreObject", &[need("s3:RestoreObject", On::Object)]),
    ("UpdateObjectEncryption", &[
        need("s3:UpdateObjectEncryption", On::Object),
        need("kms:Encrypt", On::Key),
        DECRYPT,
        GENERATE,
        need("kms:ReEncryptFrom", On::Key),
        need("kms:ReEncryptTo", On::Key),
    ]),
    ("GetObjectTagging", &object("s3:GetObjectTagging", "s3:GetObjectVersionTagging")),
    ("PutObjectTagging", &object("s3:PutObjectTagging", "s3:PutObjectVersionTagging")),
    ("DeleteObjectTagging", &object("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging")),
    ("GetObjectAcl", &object("s3:GetObjectAcl", "s3:GetObjectVersionAcl")),
    ("PutObjectAcl", &object("s3:PutObjectAcl", "s3:PutObjectVersionAcl")),
    ("GetObjectRetention", &[need("s3:GetObjectRetention", On::Object)]),
    ("PutObjectRetention", &[
        need("s3:PutObjectRetention", On::Object),
        when(When::BypassGovernance, "s3:BypassGovernanceRetention", On::Object),
    ]),
    // The key for annotations: inferred, as for the object's own bytes.
    ("GetObjectAnnotation", &[
        when(When::Version(false), "s3:GetObjectAnnotation", On::Object),
        when(When::Version(true), "s3:GetObjectVersionAnnotation", On::Object),
        DECRYPT,
    ]),
    ("PutObjectAnnotation", &[
        when(When::Version(false), "s3:PutObjectAnnotation", On::Object),
        when(When::Version(true), "s3:PutObjectVersionAnnotation", On::Object),
        GENERATE,
    ]),
    ("DeleteObjectAnnotation", &object("s3:DeleteObjectAnnotation", "s3:DeleteObjectVersionAnnotation")),
    ("ListObjectAnnotations", &object("s3:ListObjectAnnotations", "s3:ListObjectVersionAnnotations")),
    ("GetObjectLegalHold", &[need("s3:GetObjectLegalHold", On::Object)]),
    ("PutObjectLegalHold", &[need("s3:PutObjectLegalHold", On::Object)]),

    // Multipart uploads: a data key is made once, and every part opens it again.
    ("CreateMultipartUpload", &WRITE),
    ("UploadPart", &[PUT, DECRYPT]),
    ("UploadPartCopy", &[READ_SOURCE, READ_SOURCE_VERSION, DECRYPT_SOURCE, PUT, DECRYPT]),
    ("CompleteMultipartUpload", &[PUT, when(When::Checksum, "kms:Decrypt", On::Key)]),
    ("AbortMultipartUpload", &[need("s3:AbortMultipartUpload", On::Object)]),
    ("ListParts", &[need("s3:ListMultipartUploadParts", On::Object)]),
    ("ListMultipartUploads", &bucket("s3:ListBucketMultipartUploads")),

    // Lists
    ("ListObjects", &bucket("s3:ListBucket")),
    ("ListObjectsV2", &bucket("s3:ListBucket")),
    ("HeadBucket", &bucket("s3:ListBucket")),
    ("ListObjectVersions", &bucket("s3:ListBucketVersions")),
    ("ListBuckets", &[need("s3:ListAllMyBuckets", On::Account)]),

    // Buckets and their configuration
    ("CreateBucket", &bucket("s3:CreateBucket")),
    ("DeleteBucket", &bucket("s3:DeleteBucket")),
    ("GetBucketLocation", &bucket("s3:GetBucketLocation")),
    ("GetBucketPolicy", &bucket("s3:GetBucketPolicy")),
    ("PutBucketPolicy", &bucket("s3:PutBucketPolicy")),
    ("DeleteBucketPolicy", &bucket("s3:DeleteBucketPolicy")),
    ("GetBucketPolicyStatus", &bucket("s3:GetBucketPolicyStatus")),
    ("GetPublicAccessBlock", &bucket("s3:GetBucketPublicAccessBlock")),
    ("PutPublicAccessBlock", &bucket("s3:PutBucketPublicAccessBlock")),
    ("DeletePublicAccessBlock", &bucket("s3:PutBucketPublicAccessBlock")),
    ("GetBucketOwnershipControls", &bucket("s3:GetBucketOwnershipControls")),
    ("PutBucketOwnershipControls", &bucket("s3:PutBucketOwnershipControls")),
    ("DeleteBucketOwnershipControls", &bucket("s3:PutBucketOwnershipControls")),
    ("GetBucketEncryption", &bucket("s3:GetEncryptionConfiguration")),
    ("PutBucketEncryption", &bucket("s3:PutEncryptionConfiguration")),
    ("DeleteBucketEncryption", &bucket("s3:PutEncryptionConfiguration")),
    ("GetBucketVersioning", &bucket("s3:GetBucketVersioning")),
    ("PutBucketVersioning", &bucket("s3:PutBucketVersioning")),
    ("GetBucketLifecycleConfiguration", &bucket("s3:GetLifecycleConfiguration")),
    ("PutBucketLifecycleConfiguration", &bucket("s3:PutLifecycleConfiguration")),
    ("DeleteBucketLifecycle", &bucket("s3:PutLifecycleConfiguration")),
    ("GetBucketTagging", &bucket("s3:GetBucketTagging")),
    ("PutBucketTagging", &bucket("s3:PutBucketTagging")),
    ("DeleteBucketTagging", &bucket("s3:PutBucketTagging")),
    ("GetBucketAcl", &bucket("s3:GetBucketAcl")),
    ("PutBucketAcl", &bucket("s3:PutBucketAcl")),
    ("GetBucketCors", &bucket("s3:GetBucketCORS")),
    ("PutBucketCors", &bucket("s3:PutBucketCORS")),
    ("DeleteBucketCors", &bucket("s3:PutBucketCORS")),
    ("GetBucketLogging", &bucket("s3:GetBucketLogging")),
    ("PutBucketLogging", &bucket("s3:PutBucketLogging")),
    ("GetBucketNotificationConfiguration", &bucket("s3:GetBucketNotification")),
    ("PutBucketNotificationConfiguration", &bucket("s3:PutBucketNotification")),
    ("GetObjectLockConfiguration", &bucket("s3:GetBucketObjectLockConfiguration")),
    ("PutObjectLockConfiguration", &bucket("s3:PutBucketObjectLockConfiguration")),
    ("GetBucketReplication", &bucket("s3:GetReplicationConfiguration")),
    ("PutBucketReplication", &bucket("s3:PutReplicationConfiguration")),
    ("DeleteBucketReplication", &bucket("s3:PutReplicationConfiguration")),
    ("GetBucketWebsite", &bucket("s3:GetBucketWebsite")),
    ("PutBucketWebsite", &bucket("s3:PutBucketWebsite")),
    ("DeleteBucketWebsite", &bucket("s3:DeleteBucketWebsite")),
    ("GetBucketAccelerateConfiguration", &bucket("s3:GetAccelerateConfiguration")),
    ("PutBucketAccelerateConfiguration", &bucket("s3:PutAccelerateConfiguration")),
    ("GetBucketRequestPayment", &bucket("s3:GetBucketRequestPayment")),
    ("PutBucketRequestPayment", &bucket("s3:PutBucketRequestPayment")),
];
