//! What a lane is for: sent on directly, or one of the two halves of a secure inbox.
//!
//! A repository is a lane from a generator to a publisher, whose key belongs to another account than
//! its bucket, and which announces what arrives on a queue. An inbox is a lane from that publisher to
//! consumers, on which nothing is ever overwritten and where a scanner may have to release each object
//! first. Everything else about the two is what it is for any lane, so they are planned, proved,
//! applied, exported and audited as lanes; what differs is said here, and asked here.

mod inbox;

use crate::desired::{Desired, DesiredLane, Holder};
use crate::error::{Error, ErrorKind};
use consign_model::{
    AccountId, AtRest, BucketName, Exchange, Inbox, LaneName, PartyName, Region, Repository, Writer,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The tag by which a scanner says what it found: Amazon's own word, so that GuardDuty may be it.
pub const SCAN_TAG: &str = consign_model::VERDICT_TAG;
/// Its value on an object that may be read.
pub const SCAN_CLEAN: &str = "NO_THREATS_FOUND";

/// The queue holds what arrived for as long as SQS can: two weeks without a publisher lose nothing.
const RETENTION_SECONDS: u32 = 14 * 24 * 3600;
/// How long a message stays out of sight while a publisher works on it, unless it asks for longer.
const VISIBILITY_SECONDS: u32 = 300;
/// SQS's longest wait for a message: fewer empty answers.
const RECEIVE_WAIT_SECONDS: u32 = 20;
/// How often a message is handed out before it is set aside. With the visibility above it takes
/// longer than most outages of a service.
const RECEIVES_MAX: u32 = 20;

/// What a lane is for.
#[derive(Clone, Debug)]
pub enum Stage {
    /// From one party to others.
    Direct,
    /// From a generator to a publisher.
    Repository(RepositoryStage),
    /// From a publisher to consumers.
    Inbox(InboxStage),
}

/// What only a repository has.
#[derive(Clone, Debug)]
pub struct RepositoryStage {
    /// The queue of what arrives.
    pub queue: DesiredQueue,
    /// Whether a route chooses by tags or carries some, so that the generator gives them.
    pub tagged: bool,
}

/// What only an inbox has.
#[derive(Clone, Debug)]
pub struct InboxStage {
    /// Who says of each object whether it may be read, if that is declared.
    pub scanner: Option<Holder>,
}

/// A queue on which S3 announces what arrives in one bucket, and another for what nobody could
/// deliver.
#[derive(Clone, Debug)]
pub struct DesiredQueue {
    /// The queue's name.
    pub name: String,
    /// The name of the queue for what was handed out too often, or that the publisher sets aside.
    pub dead_letters: String,
    /// The bucket's account, which is the queues'.
    pub account: AccountId,
    /// The region of all three.
    pub region: Region,
    /// The bucket.
    pub bucket_arn: String,
    /// The only party that takes messages.
    pub publisher: Holder,
}

impl Stage {
    /// The repository's part, if it is one.
    pub fn repository(&self) -> Option<&RepositoryStage> {
        match self {
            Stage::Repository(stage) => Some(stage),
            Stage::Direct | Stage::Inbox(_) => None,
        }
    }

    /// The inbox's part, if it is one.
    pub fn inbox(&self) -> Option<&InboxStage> {
        match self {
            Stage::Inbox(stage) => Some(stage),
            Stage::Direct | Stage::Repository(_) => None,
        }
    }

    /// `lane`, `repository` or `inbox`: the word of the exchange file.
    pub fn word(&self) -> &'static str {
        match self {
            Stage::Direct => "lane",
            Stage::Repository(_) => "repository",
            Stage::Inbox(_) => "inbox",
        }
    }
}

impl DesiredQueue {
    /// `arn:aws:sqs:…` of the queue.
    pub fn arn(&self) -> String {
        self.arn_of(&self.name)
    }

    /// The same of the queue for what is set aside.
    pub fn dead_letters_arn(&self) -> String {
        self.arn_of(&self.dead_letters)
    }

    fn arn_of(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.region, self.account)
    }

    /// What the queue is created with, its policy included: it is never without.
    pub fn attributes(&self) -> BTreeMap<String, String> {
        let policy = crate::policies::queue::policy(self).to_json();
        let mut attributes = common(policy);
        let redrive = json!({
            "deadLetterTargetArn": self.dead_letters_arn(), "maxReceiveCount": RECEIVES_MAX,
        });
        attributes.extend([
            ("RedrivePolicy".to_owned(), redrive.to_string()),
            ("VisibilityTimeout".to_owned(), VISIBILITY_SECONDS.to_string()),
            ("ReceiveMessageWaitTimeSeconds".to_owned(), RECEIVE_WAIT_SECONDS.to_string()),
        ]);
        attributes
    }

    /// The same of the queue for what is set aside, which takes only what comes from the other.
    pub fn dead_letters_attributes(&self) -> BTreeMap<String, String> {
        let policy = crate::policies::queue::dead_letters_policy(self).to_json();
        let mut attributes = common(policy);
        let from = json!({ "redrivePermission": "byQueue", "sourceQueueArns": [self.arn()] });
        attributes.insert("RedriveAllowPolicy".to_owned(), from.to_string());
        attributes
    }
}

fn common(policy: String) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("Policy".to_owned(), policy),
        ("SqsManagedSseEnabled".to_owned(), "true".to_owned()),
        ("MessageRetentionPeriod".to_owned(), RETENTION_SECONDS.to_string()),
    ])
}

/// Whether an attribute of a queue says what it should: documents by meaning.
pub(crate) fn same_attribute(name: &str, one: &str, other: &str) -> bool {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).map(without_quotes).ok();
    match name {
        "Policy" => crate::document::same_meaning(one, other),
        "RedrivePolicy" | "RedriveAllowPolicy" => {
            parsed(one).is_some() && parsed(one) == parsed(other)
        }
        _ => one == other,
    }
}

/// SQS takes and gives numbers as texts.
fn without_quotes(mut document: Value) -> Value {
    if let Some(count) = document.get_mut("maxReceiveCount")
        && let Some(number) = count.as_str().and_then(|text| text.parse::<u32>().ok())
    {
        *count = number.into();
    }
    document
}

impl DesiredLane {
    /// `repository `reports``, for messages.
    pub fn title(&self) -> String {
        format!("{} `{}`", self.stage.word(), self.name)
    }

    /// What the writer may call on the lane's objects.
    pub fn writer_calls(&self) -> Vec<&'static str> {
        match &self.stage {
            // Without kms:Decrypt it can put no parts, so it has no uploads to look after.
            Stage::Repository(stage) if stage.tagged => vec!["s3:PutObject", "s3:PutObjectTagging"],
            Stage::Repository(_) => vec!["s3:PutObject"],
            Stage::Direct => {
                vec!["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
            }
            Stage::Inbox(_) => vec![
                "s3:PutObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
                "s3:PutObjectTagging",
                "s3:GetObjectTagging",
            ],
        }
    }

    /// What a reader may call on the lane's objects.
    pub fn reader_calls(&self) -> Vec<&'static str> {
        let mut calls = vec!["s3:GetObject", "s3:GetObjectVersion"];
        // In a repository the routes may ask for tags; in an inbox they tell what nobody has scanned
        // yet from what was found bad.
        let tagged = self.stage.repository().is_some_and(|stage| stage.tagged);
        if tagged || self.stage.inbox().is_some() {
            calls.extend(["s3:GetObjectTagging", "s3:GetObjectVersionTagging"]);
        }
        calls
    }

    /// What a reader may call on the lane's bucket. A publisher compares a repository, older versions
    /// included, with what it has delivered; nobody else is there for that.
    pub fn reader_lists(&self) -> &'static [&'static str] {
        match self.stage {
            Stage::Repository(_) => &["s3:ListBucket", "s3:ListBucketVersions"],
            Stage::Direct | Stage::Inbox(_) => &["s3:ListBucket"],
        }
    }

    /// The objects of which none is ever replaced: those of consignments, and in an inbox all.
    pub fn write_once_objects(&self) -> String {
        match self.stage {
            Stage::Inbox(_) => self.every_object(),
            Stage::Direct | Stage::Repository(_) => self.every_consignment_object(),
        }
    }

    /// Who releases what arrives, if somebody has to.
    pub fn scanner(&self) -> Option<&Holder> {
        self.stage.inbox().and_then(|stage| stage.scanner.as_ref())
    }

    /// Whoever may tag objects: a scanner, or the generator whose tags the routes read. Nobody else.
    pub fn tagger(&self) -> Option<&Holder> {
        match &self.stage {
            Stage::Repository(stage) if stage.tagged => Some(&self.writer),
            _ => self.scanner(),
        }
    }

    /// Whether its key is in another account than its bucket.
    pub fn has_foreign_key(&self) -> bool {
        self.has_key() && self.key_owner != self.owner
    }

    /// Everybody whom its policies name.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        std::iter::once(&self.writer).chain(&self.readers)
    }
}

/// The repositories and inboxes of an exchange, as lanes.
pub(crate) fn lanes(exchange: &Exchange) -> Result<Vec<DesiredLane>, Error> {
    let repositories = exchange.repositories.values().map(|it| repository(exchange, it));
    let inboxes = exchange.inboxes.values().map(|it| inbox(exchange, it));
    repositories.chain(inboxes).collect()
}

fn repository(exchange: &Exchange, it: &Repository) -> Result<DesiredLane, Error> {
    let ends = Ends { owner: &it.owner, key: &it.key, writer: &it.generator };
    let publisher = holder(exchange, &it.publisher)?;
    let mut lane = lane(exchange, it.name.as_str(), &it.bucket, &ends)?;
    let queue = DesiredQueue {
        name: format!("consign-{}-{}", exchange.name, it.name),
        dead_letters: format!("consign-{}-{}-dead", exchange.name, it.name),
        account: lane.owner.clone(),
        region: exchange.region.clone(),
        bucket_arn: lane.bucket_arn(),
        publisher: publisher.clone(),
    };
    lane.readers.push(publisher);
    lane.expire_days = it.expire_days;
    let tagged = exchange.routes_by_tags(&it.name) || exchange.carries_tags(&it.name);
    lane.stage = Stage::Repository(RepositoryStage { queue, tagged });
    Ok(lane)
}

fn inbox(exchange: &Exchange, it: &Inbox) -> Result<DesiredLane, Error> {
    let ends = Ends { owner: &it.owner, key: &it.owner, writer: &it.publisher };
    let mut lane = lane(exchange, it.name.as_str(), &it.bucket, &ends)?;
    let readers = it.consumers.iter().chain(&it.quarantine);
    lane.readers = readers.map(|name| holder(exchange, name)).collect::<Result<_, _>>()?;
    lane.prefix.clone_from(&it.prefix);
    lane.multipart = it.writer == Writer::Multipart;
    lane.write_once = true;
    lane.expire_days = it.expire_days;
    let scanner = it.quarantine.as_ref().map(|name| holder(exchange, name)).transpose()?;
    lane.stage = Stage::Inbox(InboxStage { scanner });
    Ok(lane)
}

struct Ends<'a> {
    owner: &'a PartyName,
    key: &'a PartyName,
    writer: &'a PartyName,
}

fn lane(
    exchange: &Exchange,
    name: &str,
    bucket: &BucketName,
    ends: &Ends<'_>,
) -> Result<DesiredLane, Error> {
    let lane_name = LaneName::parse(name).map_err(|e| {
        Error::new(ErrorKind::Exchange, format!("`{name}` is no name")).with_source(e)
    })?;
    Ok(DesiredLane {
        exchange: exchange.name.clone(),
        name: lane_name,
        each: None,
        region: exchange.region.clone(),
        owner: holder(exchange, ends.owner)?.account,
        owner_party: ends.owner.clone(),
        key_owner: holder(exchange, ends.key)?.account,
        key_owner_party: ends.key.clone(),
        bucket: bucket.clone(),
        prefix: String::new(),
        at_rest: AtRest::SseKms,
        asks_kms: false,
        multipart: false,
        write_once: false,
        expire_days: 0,
        writer: holder(exchange, ends.writer)?,
        readers: Vec::new(),
        key_alias: format!("alias/consign/{}/{name}", exchange.name),
        stage: Stage::Direct,
    })
}

/// A party as a lane sees it.
pub(crate) fn holder(exchange: &Exchange, name: &PartyName) -> Result<Holder, Error> {
    let party = exchange.party(name).ok_or_else(|| {
        Error::new(
            ErrorKind::Exchange,
            format!("the exchange file names the unknown party `{name}`"),
        )
    })?;
    let arn = party.principal.arn(&party.account);
    Ok(Holder { party: name.clone(), account: party.account.clone(), arn })
}

impl Desired {
    /// The repositories, each with its queue.
    pub fn queues(&self) -> impl Iterator<Item = (&DesiredLane, &DesiredQueue)> {
        self.lanes.values().filter_map(|lane| Some((lane, &lane.stage.repository()?.queue)))
    }
}
