//! Mistakes that people make in such policies, each a small edit of documents that hold: the proof
//! fails on every one that changes who can do what, with a request that the evaluator confirms and
//! the line of the exchange file that it breaks; and it holds on the harmless ones.
//!
//! A mutant is a file of `testdata/mutants`: `base` (an exchange of `testdata/bases`), `document`,
//! `edits` (paths begin with a `Sid`), what it `breaks`, whether it `changes` the answer, and the
//! `line`: a lane, and the word of its table. Those of `testdata/mutants-inbox` are about a repository
//! and its inboxes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, reason = "helpers of tests fail loudly")]

mod support;

use consign_iam::{Context, Policies, Policy, PolicyKind, Request, evaluate};
use consign_provision::claims::Decided;
use consign_provision::documents::{Folder, Hints};
use consign_provision::exchange_line::line_of;
use consign_provision::prove::{Access, Documents};
use consign_provision::{Desired, Keys, Proof, Subject, prove};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    base: String,
    document: String,
    edits: Vec<Edit>,
    breaks: String,
    changes: bool,
    line: (String, String),
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Edit {
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

fn base(name: &str) -> (String, Desired) {
    let text = std::fs::read_to_string(testdata(&format!("bases/{name}.toml"))).unwrap();
    let desired = support::desired(&text);
    (text, desired)
}

fn documents(desired: &Desired, mutant: Option<&Mutant>) -> Documents {
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

#[test]
fn the_bases_hold() {
    for name in ["out", "in", "in-strict", "inbox", "secure-inbox"] {
        let (_, desired) = base(name);
        let proof = prove(&desired, &documents(&desired, None)).unwrap();
        assert!(proof.holds(), "{name}: {}", failures(&proof));
    }
}

fn failures(proof: &Proof) -> String {
    let cells = proof.failures().map(ToString::to_string);
    let lines = cells.chain(proof.failed_claims().map(ToString::to_string));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_mutant_is_judged_rightly() {
    let mut wrong = Vec::new();
    let (mut changing, mut harmless) = (0, 0);
    let folders = ["mutants", "mutants-inbox"].map(|name| std::fs::read_dir(testdata(name)));
    let entries = folders.into_iter().flat_map(Result::unwrap);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mutant: Mutant = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        *(if mutant.changes { &mut changing } else { &mut harmless }) += 1;
        if let Err(why) = judge(&mutant) {
            wrong.push(format!("{name} ({}): {why}", mutant.breaks));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        changing + harmless,
        wrong.join("\n\n")
    );
    assert!(changing >= 115, "{changing} mutants change the answer, {harmless} are harmless");
}

fn judge(mutant: &Mutant) -> Result<(), String> {
    let (file, desired) = base(&mutant.base);
    let documents = documents(&desired, Some(mutant));
    let proof = prove(&desired, &documents).map_err(|e| {
        format!("{e}: {:?}", std::error::Error::source(&e).map(ToString::to_string))
    })?;
    if !mutant.changes {
        return match proof.holds() {
            true => Ok(()),
            false => Err(format!("is no harmless one: {}", failures(&proof))),
        };
    }
    let (lane, word) = &mutant.line;
    let cells = proof.failures().map(|it| (it.lane.to_string(), it.declared_by));
    let claims = proof.failed_claims().map(|it| (it.lane.to_string(), it.declared_by));
    let broken: Vec<(String, &str)> = cells.chain(claims).collect();
    if proof.holds() {
        return Err("is not noticed".to_owned());
    }
    if proof.public.is_empty() && !broken.iter().any(|(at, by)| at == lane && by == word) {
        return Err(format!("breaks {broken:?}, not {lane} {word}: {}", failures(&proof)));
    }
    assert!(line_of(&file, lane, word).is_some());
    if proof.failed_claims().any(|claim| claim.counterexample.is_none()) {
        return Err(format!("is not decided: {}", failures(&proof)));
    }
    let confirmed = proof.failed_claims().all(|claim| confirms(claim, &documents));
    if !confirmed {
        return Err("its counterexample is not confirmed".to_owned());
    }
    let wrong = proof.failures().find(|cell| !cell_confirmed(cell, &desired, &documents));
    wrong.map_or(Ok(()), |cell| Err(format!("not confirmed: {cell}")))
}

const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

fn parsed(kind: PolicyKind, texts: impl IntoIterator<Item = String>) -> Vec<Policy> {
    texts.into_iter().map(|text| Policy::parse_as(kind, &text).unwrap()).collect()
}

/// The evaluator decides the request as reported, under the documents as they are written.
fn confirms(claim: &Decided, documents: &Documents) -> bool {
    let found = claim.counterexample.as_ref().unwrap();
    decisions(&found.request, &claim.lane, documents)
        .any(|allowed| allowed == found.decision.is_allowed())
}

/// The answers for each identity policy that the caller might have: everything, or a party's.
fn decisions<'a>(
    request: &'a Request,
    lane: &consign_model::LaneName,
    documents: &'a Documents,
) -> impl Iterator<Item = bool> + 'a {
    let queues = documents.queues.get(lane).cloned().unwrap_or_default();
    let lane = &documents.lanes[lane];
    let resource = match request.service() {
        "sqs" if request.resource().ends_with("-dead") => {
            parsed(PolicyKind::Resource, queues.dead_letters)
        }
        "sqs" => parsed(PolicyKind::Resource, queues.queue),
        "kms" => parsed(PolicyKind::Key, lane.key.iter().map(|(_, text)| text.clone())),
        _ => parsed(PolicyKind::Resource, lane.bucket_policy.clone()),
    };
    let identities = documents.identities.values().cloned();
    let identities = identities.chain([vec![EVERYTHING.to_owned()]]);
    identities.map(move |texts| {
        let identity = parsed(PolicyKind::Identity, texts);
        let policies = Policies { identity: &identity, resource: &resource, ..Policies::default() };
        evaluate(request, &policies).is_allowed()
    })
}

fn cell_confirmed(
    cell: &consign_provision::prove::Cell,
    desired: &Desired,
    documents: &Documents,
) -> bool {
    let principal = match &cell.subject {
        Subject::Party { party } => desired.parties[party].arn.clone(),
        Subject::Administrator { account } => format!("arn:aws:iam::{account}:role/Administrator"),
        Subject::Root { account } => account.to_string(),
        Subject::Stranger => "arn:aws:iam::999999999999:role/Stranger".to_owned(),
        Subject::Anonymous => "*".to_owned(),
    };
    let principal = consign_iam::Principal::parse(&principal).unwrap();
    let call = &cell.call;
    let context: Context = call.context.iter().map(|(key, value)| (key, value)).collect();
    let owner = call.resource_account.as_ref();
    let request = Request::new(principal, &call.action, &call.resource, owner, context).unwrap();
    let allowed = cell.actual == Access::Allowed;
    decisions(&request, &cell.lane, documents).any(|it| it == allowed)
}
