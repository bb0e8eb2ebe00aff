//! The access matrix's axes: who could ask ([`Subject`]) for what ([`Operation`]), which calls S3
//! and KMS would check for it, and what the exchange file declares about it ([`Operation::rule`]).
//!
//! Pure data. [`crate::prove`] evaluates it. An operation is what a person does ("put in parts");
//! its [`Call`]s are what has to be allowed for it, one by one, with the condition keys that the
//! real request would carry, including the KMS calls that S3 makes in the caller's name.

mod inbox;
mod sealing_keys;
mod words;

pub(crate) use words::{declared_by, rule_words};

use crate::desired::{DesiredLane, KeyArn};
use crate::policies::bucket::PRESIGNED_AGE_MS_MAX;
use consign_model::{AccountId, AtRest, PartyName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Somebody who might ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "kebab-case")]
pub enum Subject {
    /// A party's principal.
    Party {
        /// Which party.
        party: PartyName,
    },
    /// Another principal of an account that the exchange uses, whose identity policy allows
    /// everything.
    Administrator {
        /// Its account.
        account: AccountId,
    },
    /// The root user of an account that the exchange uses.
    Root {
        /// Its account.
        account: AccountId,
    },
    /// Somebody who may do everything in an account of his own.
    Stranger,
    /// An unsigned request.
    Anonymous,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Party { party } => write!(f, "{party}"),
            Subject::Administrator { account } => write!(f, "an administrator of {account}"),
            Subject::Root { account } => write!(f, "the root user of {account}"),
            Subject::Stranger => f.write_str("a stranger"),
            Subject::Anonymous => f.write_str("anybody, unsigned"),
        }
    }
}

/// What the exchange file says about an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The lane's writer may; nobody else, whatever his identity policy says.
    Writer,
    /// The lane's readers may; nobody else, whatever his identity policy says.
    Readers,
    /// Nobody may, whatever his identity policy says.
    Nobody,
    /// Administrators of the owner's account may (theorem L2 names them); the lane's parties may
    /// not, whatever their identity policies say.
    AdministratorsNeverParties,
    /// Administrators of the owner's account may; parties have not been given it.
    Administrators,
    /// Administrators of the owner's account and the lane's writer may.
    WriterAndAdministrators,
    /// Administrators of the account that holds the key may; parties have not been given it.
    KeyAdministrators,
    /// The inbox's scanner may; nobody else, whatever his identity policy says.
    Scanner,
    /// The inbox's consumers may; nobody else, whatever his identity policy says.
    Consumers,
    /// Everybody on the inbox may, its publisher included; nobody else, whatever his identity policy
    /// says.
    Parties,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $words:literal),+ $(,)?) => {
        /// Something that might be done on a lane.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Operation { $($(#[$doc])* $name),+ }

        impl Operation {
            /// Every operation, in the order of reports.
            pub const ALL: &'static [Operation] = &[$(Operation::$name),+];
        }

        impl fmt::Display for Operation {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Operation::$name => $words),+ })
            }
        }
    };
}

operations! {
    /// `aws s3 cp f s3://bucket/f`, no flags.
    Put = "put",
    /// The same in parts.
    PutMultipart = "put in parts",
    /// An object of a consignment, with `If-None-Match: *`.
    PutConsignment = "put into a consignment",
    /// The same in parts.
    PutConsignmentMultipart = "put into a consignment in parts",
    /// A put that declines the bucket-level key, so that the object's own ARN is the context.
    PutWithoutBucketKey = "put without the bucket key",
    /// A put that names the lane's own key.
    PutNamingKey = "put naming the lane's key",
    /// Gives up an upload.
    AbortUpload = "abort an upload",
    /// `aws s3 cp s3://bucket/f f`.
    Get = "get",
    /// An older version.
    GetVersion = "get a version",
    /// An object that was stored without the bucket-level key.
    GetWithoutBucketKey = "get without the bucket key",
    /// A presigned URL used at once.
    GetByUrl = "get by a fresh URL",
    /// `aws s3 ls`.
    List = "list",
    /// `aws s3api list-object-versions`, of a repository.
    ListVersions = "list versions",
    /// Removes the current version (leaves a marker).
    Delete = "delete",
    /// Removes a version for good.
    DeleteVersion = "delete a version",
    /// A put over an object of a consignment, without `If-None-Match`.
    Overwrite = "overwrite in a consignment",
    /// The same in parts.
    OverwriteMultipart = "overwrite in a consignment in parts",
    /// A put that asks for S3's own keys (or, where these are declared, for a KMS key).
    PutOtherEncryption = "put with other encryption",
    /// A put that asks for the other KMS algorithm under the lane's own key.
    PutOtherAlgorithm = "put with another KMS algorithm",
    /// A put that names another key.
    PutOtherKey = "put with another key",
    /// A put that asks for KMS without a key id: the account's shared key.
    PutKmsWithoutKeyId = "put with the account's shared key",
    /// A put with a customer-provided key (or, where the lane demands one, without).
    PutCustomerKey = "put with SSE-C",
    /// A put over plain HTTP.
    PutPlainHttp = "put over plain HTTP",
    /// A get over plain HTTP.
    GetPlainHttp = "get over plain HTTP",
    /// A get over TLS 1.1.
    GetOldTls = "get over TLS 1.1",
    /// A presigned put used an hour after signing.
    PutByOldUrl = "put by an old URL",
    /// A presigned get used an hour after signing.
    GetByOldUrl = "get by an old URL",
    /// Tags an object.
    ChangeTags = "change tags",
    /// Moves an object under another key in place.
    Rekey = "re-encrypt under another key",
    /// `kms:Decrypt` called directly.
    DecryptDirectly = "decrypt directly",
    /// `kms:GenerateDataKey` called directly.
    MakeDataKeyDirectly = "make a data key directly",
    /// The lane's key used through S3 for another bucket.
    UseKeyElsewhere = "use the key for another bucket",
    /// `kms:GenerateDataKey` in the context of the lane, on a lane whose parties ask KMS themselves.
    MakeSealingKey = "make a key that seals",
    /// `kms:Decrypt` of one in the same context.
    OpenSealingKey = "open a key that seals",
    /// `kms:GenerateDataKey` in the context of another lane.
    MakeSealingKeyOfOtherLane = "make a key that seals for another lane",
    /// `kms:Decrypt` in the context of another lane.
    OpenSealingKeyOfOtherLane = "open a key that seals of another lane",
    /// `kms:Decrypt` in the context of another exchange.
    OpenSealingKeyOfOtherExchange = "open a key that seals of another exchange",
    /// The lane's context, and another bucket, through S3.
    SealingKeyElsewhere = "use a key that seals for another bucket",
    /// A grant on the key for somebody else.
    CreateGrant = "grant use of the key",
    /// Replaces the bucket policy.
    ChangeBucketPolicy = "change the bucket policy",
    /// Replaces the key policy.
    ChangeKeyPolicy = "change the key policy",
    /// The publisher's copy into an inbox, with `If-None-Match: *` and the inbox's key.
    Deliver = "deliver",
    /// The same of an object above 5 GiB, in parts.
    DeliverInParts = "deliver in parts",
    /// A get of what a scanner has found clean.
    GetReleased = "get what was released",
    /// Says of an object in an inbox that it was found clean.
    Release = "release",
    /// Looks at the tags of an object in an inbox.
    LookAtTags = "look at tags",
    /// Lists the records of an inbox.
    ListRecords = "list delivery records",
    /// Gets a record, which nobody has scanned.
    GetRecord = "get a delivery record",
    /// Puts an acknowledgement, with `If-None-Match: *`, encrypted by S3.
    Acknowledge = "acknowledge",
    /// Gets an acknowledgement.
    GetAcknowledgement = "get an acknowledgement",
    /// A message on the queue of a repository, as S3 sends it.
    SendToQueue = "send to the queue",
    /// Takes a message from it.
    ReceiveFromQueue = "receive from the queue",
}

impl Operation {
    /// What the exchange file declares about this operation on `lane`; `None` where it has no
    /// meaning there (a key operation on a lane without a key).
    pub fn rule(self, lane: &DesiredLane) -> Option<Rule> {
        use Operation as O;
        if let Some(rule) = inbox::rule(self, lane) {
            return rule;
        }
        let writes = Some(Rule::Writer);
        let key = |rule| lane.has_key().then_some(rule);
        let nobody = Some(Rule::Nobody);
        match self {
            O::Put | O::PutConsignment => writes,
            // Parts need kms:Decrypt, which an encrypt-only writer does not have.
            O::PutMultipart | O::PutConsignmentMultipart if !lane.multipart && lane.has_key() => {
                nobody
            }
            O::PutMultipart | O::PutConsignmentMultipart => writes,
            O::PutWithoutBucketKey if lane.bucket_key() => writes,
            O::PutNamingKey => key(Rule::Writer),
            O::Get | O::GetVersion | O::GetByUrl | O::List => Some(Rule::Readers),
            O::GetWithoutBucketKey if lane.bucket_key() => Some(Rule::Readers),
            O::PutWithoutBucketKey | O::GetWithoutBucketKey => None,
            O::AbortUpload => Some(Rule::WriterAndAdministrators),
            O::Delete | O::DeleteVersion => Some(Rule::AdministratorsNeverParties),
            O::Overwrite if lane.write_once => nobody,
            O::OverwriteMultipart if lane.write_once => nobody,
            O::Overwrite => writes,
            O::OverwriteMultipart => O::PutMultipart.rule(lane),
            O::PutOtherKey | O::PutKmsWithoutKeyId => nobody,
            O::PutOtherAlgorithm => key(Rule::Nobody),
            O::PutOtherEncryption | O::PutCustomerKey => nobody,
            O::PutPlainHttp | O::GetPlainHttp | O::GetOldTls => nobody,
            O::PutByOldUrl | O::GetByOldUrl | O::ChangeTags | O::Rekey => nobody,
            O::DecryptDirectly | O::MakeDataKeyDirectly => key(Rule::Nobody),
            O::UseKeyElsewhere | O::CreateGrant => key(Rule::Nobody),
            O::MakeSealingKey
            | O::OpenSealingKey
            | O::MakeSealingKeyOfOtherLane
            | O::OpenSealingKeyOfOtherLane
            | O::OpenSealingKeyOfOtherExchange
            | O::SealingKeyElsewhere => sealing_keys::rule(self, lane),
            O::ChangeBucketPolicy => Some(Rule::Administrators),
            O::ChangeKeyPolicy => key(Rule::Administrators),
            // Of a repository or an inbox alone.
            O::Deliver | O::DeliverInParts | O::GetReleased | O::Release | O::LookAtTags => None,
            O::ListRecords | O::GetRecord | O::Acknowledge | O::GetAcknowledgement => None,
            O::SendToQueue | O::ReceiveFromQueue | O::ListVersions => None,
        }
    }

    /// The calls that must all be allowed for this operation on `lane`.
    pub fn calls(self, lane: &DesiredLane, key: Option<&KeyArn>) -> Vec<Call> {
        use Operation as O;
        let on = Calls { lane, key };
        let (plain, consignment) = (on.plain_object(), on.consignment_object());
        match self {
            O::Put => on.put(&plain, |s3| s3),
            O::PutMultipart => on.put_in_parts(&plain, false),
            O::PutConsignment => on.put(&consignment, |s3| s3.with(IF_NONE_MATCH, "*")),
            O::PutConsignmentMultipart => on.put_in_parts(&consignment, true),
            O::PutWithoutBucketKey => {
                let s3 = on.s3_put(&plain, true);
                vec![s3, on.kms("kms:GenerateDataKey", &plain)]
            }
            O::PutNamingKey => {
                let arn = key.map(KeyArn::as_str).unwrap_or_default();
                on.put(&plain, |s3| s3.with(SSE, lane.sse_algorithm()).with(SSE_KEY, arn))
            }
            O::AbortUpload => vec![on.s3("s3:AbortMultipartUpload", &plain)],
            O::Get => on.get(|s3| s3),
            O::GetVersion => {
                let s3 = on.s3("s3:GetObjectVersion", &plain).with("s3:VersionId", "v1");
                on.implying("kms:Decrypt", s3, &plain)
            }
            O::GetWithoutBucketKey => {
                vec![on.s3("s3:GetObject", &plain), on.kms("kms:Decrypt", &plain)]
            }
            O::GetByUrl => on.get(|s3| s3.by_url(1_000)),
            O::List => vec![on.s3("s3:ListBucket", "").with("s3:prefix", &lane.prefix)],
            O::Delete => vec![on.s3("s3:DeleteObject", &consignment)],
            O::DeleteVersion => {
                vec![on.s3("s3:DeleteObjectVersion", &consignment).with("s3:VersionId", "v1")]
            }
            O::Overwrite => on.put(&consignment, |s3| s3),
            O::OverwriteMultipart => on.put_in_parts(&consignment, false),
            O::PutOtherEncryption => vec![on.other_encryption(&plain)],
            O::PutOtherAlgorithm => {
                let kms = lane.at_rest == AtRest::SseKms;
                let other = if kms { "aws:kms:dsse" } else { "aws:kms" };
                let arn = key.map(KeyArn::as_str).unwrap_or_default();
                vec![on.s3_put(&plain, true).with(SSE, other).with(SSE_KEY, arn)]
            }
            O::PutOtherKey => {
                let other = format!("arn:aws:kms:{}:{STRANGER}:key/of-a-stranger", lane.region);
                let algorithm = if lane.has_key() { lane.sse_algorithm() } else { "aws:kms" };
                vec![on.s3_put(&plain, true).with(SSE, algorithm).with(SSE_KEY, &other)]
            }
            O::PutKmsWithoutKeyId => {
                vec![on.s3_put(&plain, true).with(SSE, "aws:kms")]
            }
            O::PutCustomerKey if lane.at_rest == AtRest::SseC => {
                vec![on.s3_put(&plain, true).without(SSE_CUSTOMER)]
            }
            O::PutCustomerKey => vec![on.s3_put(&plain, true).with(SSE_CUSTOMER, "AES256")],
            O::PutPlainHttp => on.put(&plain, Call::plain_http),
            O::GetPlainHttp => on.get(Call::plain_http),
            O::GetOldTls => on.get(|s3| s3.with("s3:TlsVersion", "1.1")),
            O::PutByOldUrl => on.put(&plain, |s3| s3.by_url(4 * PRESIGNED_AGE_MS_MAX)),
            O::GetByOldUrl => on.get(|s3| s3.by_url(4 * PRESIGNED_AGE_MS_MAX)),
            O::ChangeTags => vec![on.s3("s3:PutObjectTagging", &plain)],
            O::Rekey => vec![on.s3("s3:UpdateObjectEncryption", &plain)],
            // A direct caller may give any encryption context, so he gives the one that is asked for.
            O::DecryptDirectly => {
                vec![on.kms_directly("kms:Decrypt").in_context(&lane.bucket_arn())]
            }
            O::MakeDataKeyDirectly => {
                vec![on.kms_directly("kms:GenerateDataKey").in_context(&lane.bucket_arn())]
            }
            O::UseKeyElsewhere => vec![on.kms("kms:Decrypt", "").in_context("arn:aws:s3:::other")],
            O::MakeSealingKey
            | O::OpenSealingKey
            | O::MakeSealingKeyOfOtherLane
            | O::OpenSealingKeyOfOtherLane
            | O::OpenSealingKeyOfOtherExchange
            | O::SealingKeyElsewhere => vec![sealing_keys::call(self, &on)],
            O::CreateGrant => vec![on.kms_directly("kms:CreateGrant")],
            O::ChangeBucketPolicy => vec![on.s3("s3:PutBucketPolicy", "")],
            O::ChangeKeyPolicy => vec![on.kms_directly("kms:PutKeyPolicy")],
            O::Deliver | O::DeliverInParts | O::GetReleased | O::Release | O::LookAtTags => {
                inbox::calls(self, &on)
            }
            O::ListRecords | O::GetRecord | O::Acknowledge | O::GetAcknowledgement => {
                inbox::calls(self, &on)
            }
            O::SendToQueue | O::ReceiveFromQueue | O::ListVersions => inbox::calls(self, &on),
        }
    }
}

/// An account that is nobody's: where strangers live.
pub const STRANGER: &str = "999999999999";

const SSE: &str = "s3:x-amz-server-side-encryption";
const SSE_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const SSE_CUSTOMER: &str = "s3:x-amz-server-side-encryption-customer-algorithm";
const IF_NONE_MATCH: &str = "s3:if-none-match";
const CREATION: &str = "s3:ObjectCreationOperation";
const CONTEXT_ARN: &str = "kms:EncryptionContext:aws:s3:arn";

/// One authorisation check: what is asked of whom, under which circumstances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// `s3:GetObject`, `kms:Decrypt`, …
    pub action: String,
    /// The ARN of what it is about.
    pub resource: String,
    /// The account that owns it.
    pub resource_account: AccountId,
    /// The condition keys of the request, without those of the principal.
    pub context: Vec<(String, String)>,
}

impl Call {
    /// Whether the key policy decides (with the bucket policy having no say).
    pub fn is_kms(&self) -> bool {
        self.action.starts_with("kms:")
    }

    /// Whether a queue's policy decides.
    pub fn is_sqs(&self) -> bool {
        self.action.starts_with("sqs:")
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Call {
        self = self.without(key);
        self.context.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Call {
        self.context.retain(|(name, _)| name != key);
        self
    }

    pub(crate) fn plain_http(self) -> Call {
        self.with("aws:SecureTransport", "false").without("s3:TlsVersion")
    }

    fn by_url(self, age_ms: u32) -> Call {
        self.with("s3:authType", "REST-QUERY-STRING").with("s3:signatureAge", &age_ms.to_string())
    }

    fn in_context(self, bucket_arn: &str) -> Call {
        self.with(CONTEXT_ARN, bucket_arn)
    }
}

/// Makes the calls that concern one lane.
pub(crate) struct Calls<'a> {
    pub(crate) lane: &'a DesiredLane,
    pub(crate) key: Option<&'a KeyArn>,
}

impl Calls<'_> {
    fn plain_object(&self) -> String {
        format!("{}report.pdf", self.lane.prefix)
    }

    fn consignment_object(&self) -> String {
        format!("{}01JD3V5Y7Q8R9SATBVCWDXEYFZ/000001.age", self.lane.prefix)
    }

    /// An S3 call on an object, or on the bucket if `object` is empty.
    pub(crate) fn s3(&self, action: &str, object: &str) -> Call {
        let slash = if object.is_empty() { "" } else { "/" };
        let call = Call {
            action: action.to_owned(),
            resource: format!("{}{slash}{object}", self.lane.bucket_arn()),
            resource_account: self.lane.owner.clone(),
            context: Vec::new(),
        };
        call.with("aws:SecureTransport", "true")
            .with("s3:TlsVersion", "1.3")
            .with("s3:authType", "REST-HEADER")
            .with("s3:signatureversion", "AWS4-HMAC-SHA256")
            .with("aws:ResourceAccount", self.lane.owner.as_ref())
            .with("s3:ResourceAccount", self.lane.owner.as_ref())
            .with("aws:RequestedRegion", self.lane.region.as_ref())
            .with("aws:SourceIp", "203.0.113.7")
    }

    pub(crate) fn s3_put(&self, object: &str, creates: bool) -> Call {
        let call = self.s3("s3:PutObject", object).with(CREATION, &creates.to_string());
        match self.lane.at_rest {
            AtRest::SseC => call.with(SSE_CUSTOMER, "AES256"),
            _ => call,
        }
    }

    fn put(&self, object: &str, shape: impl Fn(Call) -> Call) -> Vec<Call> {
        self.implying("kms:GenerateDataKey", shape(self.s3_put(object, true)), object)
    }

    /// Create, one part, completion, and the look at what arrived that a resume needs.
    fn put_in_parts(&self, object: &str, if_none_match: bool) -> Vec<Call> {
        let (create, part) = (self.s3_put(object, false), self.s3_put(object, false));
        let complete = self.s3_put(object, true);
        let complete = if if_none_match { complete.with(IF_NONE_MATCH, "*") } else { complete };
        let mut calls = self.implying("kms:GenerateDataKey", create, object);
        calls.extend(self.implying("kms:Decrypt", part, object));
        calls.extend(self.implying("kms:Decrypt", complete, object));
        calls.push(self.s3("s3:ListMultipartUploadParts", object));
        calls
    }

    fn get(&self, shape: impl Fn(Call) -> Call) -> Vec<Call> {
        let object = self.plain_object();
        self.implying("kms:Decrypt", shape(self.s3("s3:GetObject", &object)), &object)
    }

    /// The S3 call and, on a lane with a key, the KMS call that S3 makes for it.
    fn implying(&self, kms_action: &str, s3: Call, object: &str) -> Vec<Call> {
        let bucket_level = if self.lane.bucket_key() { "" } else { object };
        let kms = self.lane.has_key().then(|| self.kms(kms_action, bucket_level));
        std::iter::once(s3).chain(kms).collect()
    }

    fn other_encryption(&self, object: &str) -> Call {
        let call = self.s3_put(object, true);
        match self.lane.at_rest {
            AtRest::SseKms | AtRest::DsseKms | AtRest::SseC => call.with(SSE, "AES256"),
            AtRest::SseS3 => call.with(SSE, "aws:kms").with(SSE_KEY, "alias/aws/s3"),
        }
    }

    /// KMS called by S3 in the caller's name; the context is the object's ARN, or the bucket's
    /// if `object` is empty.
    pub(crate) fn kms(&self, action: &str, object: &str) -> Call {
        let slash = if object.is_empty() { "" } else { "/" };
        let context = format!("{}{slash}{object}", self.lane.bucket_arn());
        self.kms_directly(action)
            .with("kms:ViaService", &self.lane.s3_service())
            .with("aws:ViaAWSService", "true")
            .with("kms:EncryptionContextKeys", "aws:s3:arn")
            .with(CONTEXT_ARN, &context)
    }

    pub(crate) fn kms_directly(&self, action: &str) -> Call {
        let resource = self.key.map(KeyArn::as_str).unwrap_or_default().to_owned();
        // Of documents that somebody else wrote, the key may be another account's than the bucket.
        let account = resource.split(':').nth(4).and_then(|text| AccountId::parse(text).ok());
        let account = account.unwrap_or_else(|| self.lane.owner.clone());
        let call = Call {
            action: action.to_owned(),
            resource,
            resource_account: account.clone(),
            context: Vec::new(),
        };
        call.with("aws:SecureTransport", "true")
            .with("aws:ResourceAccount", account.as_ref())
            .with("aws:RequestedRegion", self.lane.region.as_ref())
    }
}
