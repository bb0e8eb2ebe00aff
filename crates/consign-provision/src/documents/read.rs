//! What a document is: told by its elements, its actions and its resources.

use super::written::{self, Written, bucket_of};
use crate::error::{Error, ErrorKind};
use consign_iam::{Policy, PolicyKind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A document of the folder.
#[derive(Clone, Debug)]
pub struct File {
    /// Its file name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// As it is written.
    pub text: String,
    /// As it is understood, or why AWS would not accept it.
    pub policy: Result<Policy, String>,
    pub(super) value: Value,
}

/// What a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The policy of the bucket of this name.
    Bucket(String),
    /// The policy of a KMS key.
    Key,
    /// Attached to a user or role.
    Identity,
    /// Who may assume a role.
    Trust,
    /// The policy of a queue or topic.
    Queue,
    /// A resource control policy of an organisation.
    ResourceControl,
}

impl File {
    pub(super) fn statements(&self) -> Vec<Written<'_>> {
        written::statements(&self.value)
    }

    /// The name without its extension.
    pub(super) fn stem(&self) -> &str {
        self.name.strip_suffix(".json").unwrap_or(&self.name)
    }

    /// The stem without the word that says what kind of document it is: `out` of `key-out.json`.
    pub(super) fn of_what(&self) -> &str {
        const WORDS: [&str; 10] = [
            "bucket-policy",
            "key-policy",
            "bucket",
            "key",
            "identity",
            "policy",
            "user",
            "role",
            "kms",
            "s3",
        ];
        let stem = self.stem();
        let strip = |word: &&str| {
            stem.strip_prefix(*word)
                .and_then(|rest| rest.strip_prefix(['-', '_']))
                .or_else(|| stem.strip_suffix(*word).and_then(|rest| rest.strip_suffix(['-', '_'])))
        };
        WORDS.iter().find_map(strip).unwrap_or(stem)
    }

    pub(super) fn policies(&self) -> Vec<Policy> {
        self.policy.iter().cloned().collect()
    }
}

/// Reads every text.
pub(super) fn read(texts: &BTreeMap<String, String>) -> Result<Vec<File>, Error> {
    texts.iter().map(|(name, text)| file(name, text)).collect()
}

fn file(name: &str, text: &str) -> Result<File, Error> {
    let fault = |why: String| {
        Error::new(ErrorKind::Document, format!("{name} is no policy document: {why}"))
            .with_hint("leave other files out of the folder, or move them into one below it")
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = serde_json::from_str(text).map_err(|e| fault(e.to_string()))?;
    let statements = written::statements(&value);
    if statements.is_empty() {
        return Err(fault("it has no statements".to_owned()));
    }
    let kind = kind(name, &statements).map_err(fault)?;
    let language = match kind {
        Kind::Bucket(_) | Kind::Queue => PolicyKind::Resource,
        Kind::Key => PolicyKind::Key,
        Kind::Identity => PolicyKind::Identity,
        Kind::Trust => PolicyKind::Trust,
        Kind::ResourceControl => PolicyKind::ResourceControl,
    };
    let policy = Policy::parse_as(language, text).map_err(|refusal| refusal.to_string());
    Ok(File { name: name.to_owned(), kind, text: text.to_owned(), policy, value })
}

fn kind(name: &str, statements: &[Written<'_>]) -> Result<Kind, String> {
    if !statements.iter().any(|statement| statement.has_principal()) {
        return Ok(Kind::Identity);
    }
    let actions = || statements.iter().flat_map(|statement| statement.actions());
    let services: BTreeSet<String> = actions()
        .map(|action| action.split(':').next().unwrap_or("").to_ascii_lowercase())
        .collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    if !statements.iter().any(|statement| statement.has_resource()) {
        return match services.as_slice() {
            ["sts"] => Ok(Kind::Trust),
            _ => Err("its statements name no resource".to_owned()),
        };
    }
    let resources = || statements.iter().flat_map(|statement| statement.resources());
    let buckets: BTreeSet<&str> = resources().filter_map(bucket_of).collect();
    let denies_all = statements.iter().all(|it| !it.allows() && it.principals() == ["*"]);
    match services.as_slice() {
        _ if denies_all && buckets.is_empty() && (services.len() > 1 || name.contains("rcp")) => {
            Ok(Kind::ResourceControl)
        }
        ["kms"] => Ok(Kind::Key),
        ["sqs"] | ["sns"] => Ok(Kind::Queue),
        ["s3"] | ["*"] | ["*", "s3"] => match buckets.into_iter().collect::<Vec<_>>().as_slice() {
            [bucket] => Ok(Kind::Bucket((*bucket).to_owned())),
            [] => Err("it names principals and S3 actions, but no bucket".to_owned()),
            many => Err(format!("as a bucket policy it names several: {}", many.join(", "))),
        },
        other => Err(format!(
            "it names principals, and actions of {}; bucket, key, queue and trust policies are known",
            other.join(", ")
        )),
    }
}
