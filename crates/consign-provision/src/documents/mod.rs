//! A folder of policy documents, judged: what each one is, what belongs together, who can do what,
//! and what is wrong with it, in words.
//!
//! Start with [`Folder::of`], which takes names and texts, and [`Folder::judge`]. The documents need
//! not be ours: any bucket, key, identity, trust and queue policies that somebody has, with what the
//! documents cannot say ([`Hints`]) told beside them. Where an exchange file says what should be,
//! [`Folder::for_exchange`] gives the same documents to [`crate::prove()`]; where the documents can be
//! read in several ways, [`readings()`] judges each.
//!
//! What it is not: it reads no files, and asks AWS nothing. What a document means is decided by
//! `consign-iam`; only findings about how something is written look at the text.

mod access;
mod findings;
mod lint;
mod read;
mod readings;
mod tie;
mod written;

pub use access::{Access, Actor, Reach};
pub use findings::{Finding, Weight};
pub use read::{File, Kind};
pub use readings::{Reading, readings};

use crate::desired::{Desired, DesiredLane, KeyArn};
use crate::error::{Error, ErrorKind};
use crate::prove::{Documents, LaneDocuments, QueueDocuments};
use consign_iam::Policy;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the documents cannot say.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// By bucket: the ARN of the key that is its default encryption, the account that owns it if it
    /// has none, or `none`.
    pub buckets: BTreeMap<String, String>,
    /// By file: the ARN of the user or role an identity policy is attached to, of the key a key
    /// policy belongs to, or the account that owns the bucket of a bucket policy.
    pub whose: BTreeMap<String, String>,
}

/// Documents that were recognised and tied together.
#[derive(Debug)]
pub struct Folder {
    files: Vec<File>,
    buckets: Vec<Bucket>,
    keys: Vec<Key>,
    /// Users and roles, in the order of their ARNs, with their identity policies.
    holders: BTreeMap<String, Vec<usize>>,
    notes: Vec<String>,
}

/// A bucket of the folder.
#[derive(Debug)]
struct Bucket {
    /// As a lane with nobody on it, so that the operations of the matrix can be asked of it.
    lane: DesiredLane,
    policy: Option<usize>,
    key: Option<usize>,
}

impl Bucket {
    fn name(&self) -> &str {
        self.lane.bucket.as_ref()
    }
}

/// A key of the folder.
#[derive(Debug)]
struct Key {
    arn: KeyArn,
    file: Option<usize>,
    policy: Vec<Policy>,
}

/// What is to be said about a folder.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What each file was taken for.
    pub files: Vec<FileRead>,
    /// Who can do what: a row per bucket and caller.
    pub matrix: Vec<Reach>,
    /// The same in words.
    pub summary: Vec<String>,
    /// What is wrong, gravest first.
    pub findings: Vec<Finding>,
    /// What was taken for granted.
    pub notes: Vec<String>,
}

/// What a file was taken for.
#[derive(Clone, Debug, Serialize)]
pub struct FileRead {
    /// Its name.
    pub file: String,
    /// `bucket policy of to-client`, `key policy of arn:…`, and so on.
    pub what: String,
}

impl Report {
    /// Whether nothing graver than advice was found.
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.weight == Weight::Advice)
    }
}

impl Folder {
    /// Recognises documents by what they say and what they are called, and ties keys to buckets and
    /// identity policies to principals.
    ///
    /// # Errors
    /// [`ErrorKind::Document`] for a text that is no policy document; [`ErrorKind::Question`] with
    /// everything at once that the documents leave open and a hint how to tell it.
    pub fn of(texts: &BTreeMap<String, String>, hints: &Hints) -> Result<Folder, Error> {
        tie::tie(read::read(texts)?, hints)
    }

    /// Who can do what, and what is wrong.
    ///
    /// # Errors
    /// [`ErrorKind::Document`] for a principal that AWS does not have.
    pub fn judge(&self) -> Result<Report, Error> {
        let access = Access::of(self)?;
        let mut findings = findings::of(self, &access)?;
        findings.extend(lint::of(self));
        findings
            .sort_by(|one, other| one.weight.cmp(&other.weight).then_with(|| one.id.cmp(other.id)));
        Ok(Report {
            files: self
                .files
                .iter()
                .enumerate()
                .map(|(at, file)| self.taken_for(at, file))
                .collect(),
            summary: access.words(),
            matrix: access.rows,
            findings,
            notes: self.notes.clone(),
        })
    }

    fn taken_for(&self, at: usize, file: &File) -> FileRead {
        let what = match &file.kind {
            Kind::Bucket(bucket) => format!("bucket policy of {bucket}"),
            Kind::Key => {
                let key = self.keys.iter().find(|key| key.file == Some(at));
                key.map_or("key policy".to_owned(), |key| format!("key policy of {}", key.arn))
            }
            Kind::Identity => {
                let holder = self.holders.iter().find(|(_, files)| files.contains(&at));
                let holder = holder.map_or("nobody", |(arn, _)| arn);
                format!("identity policy of {holder}")
            }
            Kind::Trust => "trust policy of a role".to_owned(),
            Kind::Queue => "queue policy".to_owned(),
            Kind::ResourceControl => "resource control policy".to_owned(),
        };
        FileRead { file: file.name.clone(), what }
    }

    /// The documents as those of an exchange: bucket policies by bucket, key policies by the lane of
    /// their bucket (or by file name, `key-LANE.json`), identity policies by principal (or by file
    /// name, `identity-PARTY.json`), queue policies by file name (`queue-REPOSITORY.json`,
    /// `dead-letters-REPOSITORY.json`). What the folder lacks is lacking in the answer.
    ///
    /// # Errors
    /// [`ErrorKind::Document`] for a text that is no policy document.
    pub fn for_exchange(
        desired: &Desired,
        texts: &BTreeMap<String, String>,
        hints: &Hints,
    ) -> Result<Documents, Error> {
        let mut documents = Documents::default();
        let mut texts = texts.clone();
        for (lane, _) in desired.queues() {
            let mut take = |what: &str| texts.remove(&format!("{what}-{}.json", lane.name));
            let queues =
                QueueDocuments { queue: take("queue"), dead_letters: take("dead-letters") };
            documents.queues.insert(lane.name.clone(), queues);
        }
        let files = read::read(&texts)?;
        let mut used = BTreeSet::new();
        for lane in desired.lanes.values() {
            let found = tie::lane_files(lane, &files, hints);
            used.extend(found.bucket);
            used.extend(found.key);
            let text = |at: usize| files.get(at).map(|file| file.text.clone());
            let arn = found.key_arn.unwrap_or_else(|| KeyArn::planned(lane));
            let lane_documents = LaneDocuments {
                bucket_policy: found.bucket.and_then(text),
                key: found.key.and_then(text).map(|text| (arn, text)),
            };
            documents.lanes.insert(lane.name.clone(), lane_documents);
        }
        for party in desired.parties.values() {
            let mine = tie::party_files(party, &files, hints);
            used.extend(&mine);
            let texts = mine.iter().filter_map(|at| files.get(*at)).map(|file| file.text.clone());
            documents.identities.insert(party.name.clone(), texts.collect());
        }
        let unused = files.iter().enumerate().filter(|(at, file)| {
            let decides = matches!(file.kind, Kind::Bucket(_) | Kind::Key | Kind::Identity);
            decides && !used.contains(at)
        });
        let unused: Vec<&str> = unused.map(|(_, file)| file.name.as_str()).collect();
        match unused.as_slice() {
            [] => Ok(documents),
            unused => Err(Error::new(
                ErrorKind::Question,
                format!("no lane and no party of the exchange goes with {}", unused.join(", ")),
            )
            .with_hint("say whose it is: --whose FILE=ARN, or name it bucket-LANE.json, key-LANE.json, identity-PARTY.json")),
        }
    }
}
