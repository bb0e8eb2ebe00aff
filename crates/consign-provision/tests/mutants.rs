//! Mistakes that people make in such policies, each a small edit of documents that hold: the proof
//! fails on every one that changes who can do what, with a request that the evaluator confirms and
//! the line of the exchange file that it breaks; and it holds on the harmless ones.
//!
//! A mutant is a file of `testdata/mutants`: `base` (an exchange of `testdata/bases`), `document`,
//! `edits` (paths begin with a `Sid`), what it `breaks`, whether it `changes` the answer, and the
//! `line`: a lane, and the word of its table. Those of `testdata/mutants-inbox` are about a repository
//! and its inboxes.

use crate::support::mutant::{Mutant, base, documents, mutants};
use consign_iam::{Context, Policies, Policy, PolicyKind, Request, evaluate};
use consign_provision::claims::Decided;
use consign_provision::desired::DesiredLane;
use consign_provision::exchange_line::line_of;
use consign_provision::prove::{Access, Documents};
use consign_provision::{Desired, Proof, Subject, prove};

#[test]
fn the_bases_hold() {
    for name in ["out", "in", "in-strict", "inbox", "secure-inbox", "sealed-by-kms"] {
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
    for (name, mutant) in mutants() {
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
    assert!(changing >= 140, "{changing} mutants change the answer, {harmless} are harmless");
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
    let confirmed = proof.failed_claims().all(|claim| confirms(claim, &desired, &documents));
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
fn confirms(claim: &Decided, desired: &Desired, documents: &Documents) -> bool {
    let found = claim.counterexample.as_ref().unwrap();
    decisions(&found.request, &desired.lanes[&claim.lane], documents)
        .any(|allowed| allowed == found.decision.is_allowed())
}

/// The answers for each identity policy that the caller might have: everything, or a party's.
fn decisions<'a>(
    request: &'a Request,
    on: &DesiredLane,
    documents: &'a Documents,
) -> impl Iterator<Item = bool> + 'a {
    let queues = documents.queues.get(&on.name).cloned().unwrap_or_default();
    let lane = &documents.lanes[&on.name];
    let bucket = on.bucket_arn();
    let of_bucket =
        request.resource() == bucket || request.resource().starts_with(&format!("{bucket}/"));
    let resource = match request.service() {
        "sqs" if request.resource().ends_with("-dead") => {
            parsed(PolicyKind::Resource, queues.dead_letters)
        }
        "sqs" => parsed(PolicyKind::Resource, queues.queue),
        "kms" => parsed(PolicyKind::Key, lane.key.iter().map(|(_, text)| text.clone())),
        _ if of_bucket => parsed(PolicyKind::Resource, lane.bucket_policy.clone()),
        // A bucket's policy says nothing of another bucket.
        _ => Vec::new(),
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
    decisions(&request, &desired.lanes[&cell.lane], documents).any(|it| it == allowed)
}
