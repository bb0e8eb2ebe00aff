//! Documents that hold, with small edits: the files of `testdata/mutants` and, about repositories
//! and their inboxes, of `testdata/mutants-inbox`.

use crate::support;
use consign_provision::documents::{Folder, Hints};
use consign_provision::prove::Documents;
use consign_provision::{Desired, Keys};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    pub(crate) base: String,
    pub(crate) document: String,
    pub(crate) edits: Vec<Edit>,
    pub(crate) breaks: String,
    pub(crate) changes: bool,
    pub(crate) line: (String, String),
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Edit {
    Remove { remove: String },
    Set { set: String, to: Value },
    Move { r#move: String, to: String },
    Replace { replace: String, from: String, to: String },
    Add { add: Value },
}

impl Edit {
    fn apply(&self, document: &mut Value) {
        match self {
            Edit::Remove { remove } => drop(take(document, remove)),
            Edit::Set { set, to } => put(document, set, to.clone()),
            Edit::Move { r#move, to } => {
                let value = take(document, r#move);
                put(document, to, value);
            }
            Edit::Replace { replace, from, to } => {
                let value = take(document, replace);
                let text = value.to_string();
                assert!(text.contains(from.as_str()), "{from} is not in {text}");
                put(document, replace, serde_json::from_str(&text.replace(from, to)).unwrap());
            }
            Edit::Add { add } => {
                document["Statement"].as_array_mut().unwrap().push(add.clone());
            }
        }
    }
}

/// The path within the document: the Sid becomes the statement's place.
fn resolved(document: &Value, path: &str) -> Vec<String> {
    let Some(path) = path.strip_prefix('/') else { return vec![path.to_owned()] };
    let mut parts = path.split('/');
    let sid = parts.next().unwrap();
    let statements = document["Statement"].as_array().unwrap();
    let at = statements.iter().position(|statement| statement["Sid"] == sid);
    let at = at.unwrap_or_else(|| panic!("no statement {sid}"));
    let start = ["Statement".to_owned(), at.to_string()];
    start.into_iter().chain(parts.map(str::to_owned)).collect()
}

fn parent<'v>(document: &'v mut Value, path: &[String]) -> &'v mut Value {
    path.iter().fold(document, |value, part| match value {
        Value::Array(values) => &mut values[part.parse::<usize>().unwrap()],
        value => &mut value[part.as_str()],
    })
}

fn take(document: &mut Value, path: &str) -> Value {
    let path = resolved(document, path);
    let (last, path) = path.split_last().unwrap();
    match parent(document, path) {
        // Its place is kept, so that a value that is put back stands where it stood.
        Value::Array(values) if values.len() > 1 => {
            let at = last.parse::<usize>().unwrap();
            values.remove(at)
        }
        Value::Object(fields) => fields.remove(last).unwrap_or_else(|| panic!("no {last} there")),
        other => panic!("no {last} in {other}"),
    }
}

fn put(document: &mut Value, path: &str, value: Value) {
    if let Some(sid) = path.strip_prefix('/').filter(|path| !path.contains('/')) {
        assert_eq!(value["Sid"], sid);
        return document["Statement"].as_array_mut().unwrap().push(value);
    }
    let path = resolved(document, path);
    let (last, path) = path.split_last().unwrap();
    parent(document, path)[last.as_str()] = value;
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// Every mutant by name, in order.
pub(crate) fn mutants() -> Vec<(String, Mutant)> {
    let folders = ["mutants", "mutants-inbox"].map(|name| std::fs::read_dir(testdata(name)));
    let entries = folders.into_iter().flat_map(Result::unwrap);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mutant = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, mutant)
    };
    files.into_iter().map(read).collect()
}

pub(crate) fn base(name: &str) -> (String, Desired) {
    let text = std::fs::read_to_string(testdata(&format!("bases/{name}.toml"))).unwrap();
    let desired = support::desired(&text);
    (text, desired)
}

pub(crate) fn documents(desired: &Desired, mutant: Option<&Mutant>) -> Documents {
    let mut texts = BTreeMap::new();
    for (name, document) in desired.documents(&Keys::new()) {
        let mut value: Value = serde_json::from_str(&document.to_json()).unwrap();
        if let Some(mutant) = mutant.filter(|mutant| mutant.document == name) {
            let before = value.clone();
            mutant.edits.iter().for_each(|edit| edit.apply(&mut value));
            assert_ne!(value, before, "the mutant changes nothing");
        }
        texts.insert(name, value.to_string());
    }
    if let Some(mutant) = mutant {
        assert!(texts.contains_key(&mutant.document), "no {}", mutant.document);
    }
    // Which key a bucket has is a fact about the bucket, not what a mutated policy says.
    let keys = desired.planned_keys();
    let keys =
        desired.lanes.values().map(|lane| (lane.bucket.to_string(), keys[&lane.name].to_string()));
    let hints = Hints { buckets: keys.collect(), ..Hints::default() };
    Folder::for_exchange(desired, &texts, &hints).unwrap()
}
