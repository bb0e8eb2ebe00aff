//! Folders whose key policies do not say which key they belong to, in every way they can be read.
//!
//! Published recipes print two key policies and leave it to prose which one goes where. Rather than
//! ask at once, each reading is judged: if none of them works, no answer could have helped.

use super::written::{bucket_of, is_key_arn};
use super::{Folder, Hints, Kind, Report, tie};
use crate::documents::read::{self, File};
use crate::error::Error;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// More key policies than this have more readings than anybody reads.
const LOOSE_MAX: usize = 3;

/// One way to read a folder.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// The key that each key policy is taken to be of, where the documents do not say.
    pub assumed: BTreeMap<String, String>,
    /// Key policies that another one, put on the same key after it, has replaced.
    pub replaced: Vec<String>,
    /// What is to be said about it.
    pub report: Report,
}

/// Judges a folder: once where the documents say what belongs together; else in each way that its
/// key policies can be spread over the keys that are named, and, for two of them, as put on one key
/// in turn.
///
/// # Errors
/// As [`Folder::of`] and [`Folder::judge`]; a question where more is open than whose the key policies
/// are.
pub fn readings(texts: &BTreeMap<String, String>, hints: &Hints) -> Result<Vec<Reading>, Error> {
    let question = match Folder::of(texts, hints) {
        Ok(folder) => {
            let report = folder.judge()?;
            return Ok(vec![Reading { assumed: BTreeMap::new(), replaced: Vec::new(), report }]);
        }
        Err(question) => question,
    };
    let files = read::read(texts)?;
    let is_loose = |file: &&File| file.kind == Kind::Key && !hints.whose.contains_key(&file.name);
    let loose: Vec<String> = files.iter().filter(is_loose).map(|file| file.name.clone()).collect();
    let told: BTreeSet<&String> = hints.whose.values().collect();
    let keys: Vec<String> =
        tie::mentioned_keys(&files).into_iter().filter(|arn| !told.contains(arn)).collect();
    if loose.is_empty() || loose.len() != keys.len() || loose.len() > LOOSE_MAX {
        return Err(question);
    }
    let mut readings = Vec::new();
    for order in orders(&keys) {
        let assumed = loose.iter().cloned().zip(order).collect();
        match read_as(texts, hints, assumed, &[]) {
            Some(reading) => readings.push(reading?),
            None => return Err(question),
        }
    }
    if let [first, second] = loose.as_slice() {
        for key in &keys {
            let assumed = BTreeMap::from([(second.clone(), key.clone())]);
            readings.extend(read_as(texts, hints, assumed, &[first]).transpose()?);
        }
    }
    Ok(readings)
}

/// `None` where this reading leaves something open too.
fn read_as(
    texts: &BTreeMap<String, String>,
    hints: &Hints,
    assumed: BTreeMap<String, String>,
    replaced: &[&String],
) -> Option<Result<Reading, Error>> {
    let mut hints = hints.clone();
    hints.whose.extend(assumed.clone());
    let mut texts = texts.clone();
    texts.retain(|name, _| !replaced.contains(&name));
    let folder = Folder::of(&texts, &hints).ok()?;
    let replaced = replaced.iter().map(|name| (*name).clone()).collect();
    Some(folder.judge().map(|report| Reading { assumed, replaced, report }))
}

fn orders(keys: &[String]) -> Vec<Vec<String>> {
    if keys.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in keys.iter().enumerate() {
        let mut rest = keys.to_vec();
        rest.remove(at);
        let with_first = |rest: Vec<String>| std::iter::once(first.clone()).chain(rest).collect();
        all.extend(orders(&rest).into_iter().map(with_first));
    }
    all
}

/// The key that identity policies use together with a bucket: who puts to one bucket alone and
/// encrypts with one key alone, or gets and decrypts, takes the one to be the other's.
pub(super) fn used_together(bucket: &str, files: &[File]) -> Option<(String, String)> {
    let identities = files.iter().filter(|file| file.kind == Kind::Identity);
    let found = identities.flat_map(|file| {
        let put = tied(file, bucket, "s3:PutObject", &["kms:Encrypt", "kms:GenerateDataKey"]);
        let got = tied(file, bucket, "s3:GetObject", &["kms:Decrypt"]);
        put.into_iter().chain(got).map(|key| (key, file.name.clone()))
    });
    let found: Vec<(String, String)> = found.collect();
    let (key, file) = found.first()?.clone();
    found.iter().all(|(other, _)| *other == key).then_some((key, file))
}

fn tied(file: &File, bucket: &str, on_bucket: &str, on_key: &[&str]) -> Option<String> {
    let statements = file.statements();
    let resources = |named: &dyn Fn(&str) -> bool| -> BTreeSet<&str> {
        let allows = statements.iter().filter(|it| it.allows());
        let naming = allows.filter(|it| it.actions().iter().any(|action| named(action)));
        naming.flat_map(|it| it.resources()).collect()
    };
    let is = |wanted: &str, action: &str| action.trim_end_matches('*').eq_ignore_ascii_case(wanted);
    let buckets = resources(&|action| is(on_bucket, action));
    let buckets: BTreeSet<&str> = buckets.into_iter().filter_map(bucket_of).collect();
    let keys = resources(&|action| on_key.iter().any(|wanted| is(wanted, action)));
    let keys: Vec<&str> = keys.into_iter().filter(|arn| is_key_arn(arn)).collect();
    match (buckets == BTreeSet::from([bucket]), keys.as_slice()) {
        (true, [key]) => Some((*key).to_owned()),
        _ => None,
    }
}
