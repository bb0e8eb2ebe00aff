//! One question about an exchange, answered in full: may this caller do that, and which statement,
//! which condition says so?
//!
//! Start with [`ask`]. It turns an operation (`PutObject`, `s3:PutObject`, `kms:Decrypt`) on a bucket
//! or object of a lane into the calls that S3 and KMS would check, with the condition keys a real
//! request carries, and has `consign-iam` explain each. It decides nothing about what *should* be;
//! that is [`crate::prove()`].

use crate::desired::{Desired, DesiredLane, KeyArn};
use crate::error::{Error, ErrorKind};
use crate::matrix::{Call, Calls};
use crate::prove::{Documents, Judge};
use consign_iam::s3_actions::{self, Facts, Need, On};
use consign_iam::{Explanation, Principal};
use consign_model::PartyName;
use serde::Serialize;

/// A request, as a person puts it.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub who: Asker,
    /// An operation of S3 (`PutObject`) or an IAM action (`s3:PutObject`, `kms:Decrypt`).
    pub action: String,
    /// `s3://bucket/key`, `s3://bucket`, or an ARN of a bucket, object or key of the exchange.
    pub resource: String,
    /// Condition keys that differ from those of a plain signed request over TLS; an empty value
    /// takes the key away.
    pub with: Vec<(String, String)>,
    /// Whether it comes without TLS.
    pub plain_http: bool,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Asker {
    /// A party, with the identity policies that are known of it.
    Party(PartyName),
    /// Anybody, by principal. Unless it is a party's, its identity policy is not known and taken
    /// to allow everything, so that the answer is that of bucket and key.
    Principal(Principal),
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Whether every call is allowed.
    pub allowed: bool,
    /// The answer in one sentence.
    pub sentence: String,
    /// What the answer takes for granted.
    pub notes: Vec<String>,
    /// The calls that are checked, each with every statement that has a say.
    pub calls: Vec<Explanation>,
}

/// Answers a question over the documents.
///
/// # Errors
/// [`ErrorKind::Question`] for a party, an operation or a resource that the exchange does not have;
/// [`ErrorKind::Document`] if a document is not a policy that AWS would accept.
pub fn ask(desired: &Desired, documents: &Documents, question: &Question) -> Result<Answer, Error> {
    let judge = Judge::new(desired, documents)?;
    let (place, path) = place(desired, documents, &question.resource)?;
    let mut notes = Vec::new();
    let calls = calls(&place, &path, question, &mut notes)?;
    let calls: Vec<Call> = calls.into_iter().map(|call| adjusted(call, question)).collect();
    let (principal, party) = who(desired, &question.who)?;
    if party.is_none() {
        notes.push(format!(
            "the identity policies of {principal} are not known and taken to allow everything"
        ));
    }
    let explained = calls
        .iter()
        .map(|call| judge.explain(place.lane, &principal, party, call))
        .collect::<Result<Vec<_>, _>>()?;
    notes.extend(
        documents.assumed.iter().map(|it| format!("not looked at, taken as planned: {it}")),
    );
    let refused = explained.iter().find(|it| !it.decision.is_allowed());
    let may = if refused.is_none() { "may" } else { "may not" };
    let because = match (refused, explained.as_slice()) {
        (Some(call), [_]) => call.decision.explain(),
        (Some(call), _) => format!("{} is {}", call.action, call.decision.explain()),
        (None, [call]) => call.decision.explain(),
        (None, _) => "every call that it needs is allowed".to_owned(),
    };
    let who = party.map_or_else(|| principal.to_string(), ToString::to_string);
    let sentence = format!("{who} {may} {} on {}: {because}", question.action, question.resource);
    Ok(Answer { allowed: refused.is_none(), sentence, notes, calls: explained })
}

/// A lane, and its key.
struct Place<'a> {
    lane: &'a DesiredLane,
    key: Option<&'a KeyArn>,
}

/// What of a lane the question is about.
enum Path {
    Bucket,
    Object(String),
    Key,
}

fn question(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Question, message)
}

fn place<'a>(
    desired: &'a Desired,
    documents: &'a Documents,
    resource: &str,
) -> Result<(Place<'a>, Path), Error> {
    let key_of = |lane: &DesiredLane| {
        documents.lanes.get(&lane.name).and_then(|it| it.key.as_ref()).map(|(arn, _)| arn)
    };
    let name = ["s3://", "arn:aws:s3:::"].iter().find_map(|start| resource.strip_prefix(start));
    if let Some(name) = name {
        let (bucket, object) = match name.split_once('/') {
            Some((bucket, object)) if !object.is_empty() => (bucket, Some(object)),
            Some((bucket, _)) => (bucket, None),
            None => (name, None),
        };
        let lane = desired.lanes.values().find(|lane| lane.bucket.as_ref() == bucket);
        let lane = lane.ok_or_else(|| unknown_bucket(desired, bucket))?;
        let path = object.map_or(Path::Bucket, |object| Path::Object(object.to_owned()));
        return Ok((Place { lane, key: key_of(lane) }, path));
    }
    let lane = desired
        .lanes
        .values()
        .find(|lane| key_of(lane).is_some_and(|arn| arn.as_str() == resource));
    match lane {
        Some(lane) => Ok((Place { lane, key: key_of(lane) }, Path::Key)),
        None => Err(question(format!("`{resource}` is no bucket, object or key of the exchange"))
            .with_hint("name it as s3://BUCKET/KEY, s3://BUCKET, or by its ARN")),
    }
}

fn unknown_bucket(desired: &Desired, bucket: &str) -> Error {
    let buckets: Vec<String> =
        desired.lanes.values().map(|lane| format!("s3://{}", lane.bucket)).collect();
    question(format!("no lane of the exchange has a bucket `{bucket}`"))
        .with_hint(format!("the buckets are {}", buckets.join(", ")))
}

/// The calls behind an operation, with the KMS calls that S3 makes in the caller's name.
fn calls(
    place: &Place<'_>,
    path: &Path,
    question: &Question,
    notes: &mut Vec<String>,
) -> Result<Vec<Call>, Error> {
    let on = Calls { lane: place.lane, key: place.key };
    let (service, name) = match question.action.split_once(':') {
        Some((service, name)) => (service.to_ascii_lowercase(), name),
        None => ("s3".to_owned(), question.action.as_str()),
    };
    if service == "kms" {
        return kms_call(&on, path, name);
    }
    let (api, facts) = operation(name, question);
    let needs: Vec<&Need> = match s3_actions::required(&api, facts) {
        Some(needs) => needs.collect(),
        None if question.action.contains(':') => return Ok(vec![plain_call(&on, path, question)]),
        None => return Err(unknown_operation(name)),
    };
    let mut calls = Vec::new();
    for need in needs {
        match need.on {
            On::SourceObject | On::SourceKey => notes.push(format!(
                "a copy also needs {} on its source: ask for GetObject there",
                need.action
            )),
            On::Account => {
                return Err(self::question(format!("`{name}` is about no bucket in particular")));
            }
            On::Key => calls.extend(key_call(&on, path, need.action)),
            On::Bucket => calls.push(bucket_call(&on, path, need.action)),
            On::Object => calls.push(object_call(&on, path, &api, need.action)?),
        }
    }
    Ok(calls)
}

/// The operation that an IAM action stands for most naturally, and what the request carries.
fn operation(name: &str, question: &Question) -> (String, Facts) {
    let carries = |key: &str| {
        question
            .with
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case(key) && !value.is_empty())
    };
    let facts = Facts {
        version: carries("s3:VersionId") || name.eq_ignore_ascii_case("GetObjectVersion"),
        tags: question.with.iter().any(|(name, _)| {
            name.get(..20).is_some_and(|start| start.eq_ignore_ascii_case("s3:RequestObjectTag/"))
        }),
        acl: carries("s3:x-amz-acl"),
        ..Facts::default()
    };
    let api = match name.to_ascii_lowercase().as_str() {
        "getobjectversion" => "GetObject".to_owned(),
        "listbucket" => "ListObjectsV2".to_owned(),
        folded => {
            let known = s3_actions::apis().find(|api| api.eq_ignore_ascii_case(folded));
            known.unwrap_or(name).to_owned()
        }
    };
    (api, facts)
}

fn unknown_operation(name: &str) -> Error {
    let folded = name.to_ascii_lowercase();
    let near: Vec<&str> = s3_actions::apis()
        .filter(|api| {
            let api = api.to_ascii_lowercase();
            api.starts_with(&folded) || folded.starts_with(&api)
        })
        .take(5)
        .collect();
    let hint = match near.is_empty() {
        true => "an operation is written as in PutObject, an action as in s3:PutObject".to_owned(),
        false => format!("did you mean {}?", near.join(" or ")),
    };
    question(format!("`{name}` is no S3 operation that is known here")).with_hint(hint)
}

fn object_call(on: &Calls<'_>, path: &Path, api: &str, action: &str) -> Result<Call, Error> {
    let Path::Object(object) = path else {
        return Err(question(format!("{action} is about an object, not about a bucket or key"))
            .with_hint(format!("name an object: s3://{}/KEY", on.lane.bucket)));
    };
    if action != "s3:PutObject" {
        return Ok(on.s3(action, object));
    }
    // A part creates no object: S3 tells so in this key.
    let creates = !matches!(api, "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy");
    Ok(on.s3_put(object, creates))
}

fn bucket_call(on: &Calls<'_>, path: &Path, action: &str) -> Call {
    match (path, action) {
        (Path::Object(prefix), "s3:ListBucket") => on.s3(action, "").with("s3:prefix", prefix),
        (_, "s3:ListBucket") => on.s3(action, "").with("s3:prefix", ""),
        _ => on.s3(action, ""),
    }
}

/// KMS as S3 asks it, on a lane that has a key.
fn key_call(on: &Calls<'_>, path: &Path, action: &str) -> Option<Call> {
    let object = match path {
        Path::Object(object) if !on.lane.bucket_key() => object.as_str(),
        _ => "",
    };
    on.lane.has_key().then(|| on.kms(action, object))
}

/// KMS: asked directly where the key is named, through S3 where the bucket or object is.
fn kms_call(on: &Calls<'_>, path: &Path, name: &str) -> Result<Vec<Call>, Error> {
    let action = format!("kms:{name}");
    if !on.lane.has_key() || on.key.is_none() {
        return Err(question(format!("lane `{}` has no KMS key", on.lane.name)));
    }
    Ok(match path {
        Path::Key => vec![on.kms_directly(&action)],
        path => key_call(on, path, &action).into_iter().collect(),
    })
}

/// An action that the table of operations does not have.
fn plain_call(on: &Calls<'_>, path: &Path, question: &Question) -> Call {
    match path {
        Path::Object(object) => on.s3(&question.action, object),
        Path::Bucket | Path::Key => on.s3(&question.action, ""),
    }
}

fn adjusted(call: Call, question: &Question) -> Call {
    let call = if question.plain_http && !call.is_kms() { call.plain_http() } else { call };
    let service = if call.is_kms() { "kms:" } else { "s3:" };
    let other = if call.is_kms() { "s3:" } else { "kms:" };
    let concerns = |key: &str| {
        let key = key.to_ascii_lowercase();
        key.starts_with(service) || !key.starts_with(other)
    };
    let with = question.with.iter().filter(|(key, _)| concerns(key));
    with.fold(call, |call, (key, value)| match value.as_str() {
        "" => call.without(key),
        value => call.with(key, value),
    })
}

fn who<'a>(
    desired: &'a Desired,
    asker: &Asker,
) -> Result<(Principal, Option<&'a PartyName>), Error> {
    match asker {
        Asker::Party(name) => {
            let party = desired.parties.get(name).ok_or_else(|| {
                let names: Vec<String> = desired.parties.keys().map(ToString::to_string).collect();
                question(format!("the exchange has no party `{name}`"))
                    .with_hint(format!("--as {}", names.join(", or --as ")))
            })?;
            Ok((crate::prove::caller(&party.arn)?, Some(&party.name)))
        }
        Asker::Principal(principal) => {
            let role = match principal {
                Principal::RoleSession { role_arn, .. } => Some(role_arn.clone()),
                principal => principal.arn(),
            };
            let party = desired.parties.values().find(|party| Some(&party.arn) == role.as_ref());
            Ok((principal.clone(), party.map(|party| &party.name)))
        }
    }
}
