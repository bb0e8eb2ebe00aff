//! Operations on queues, and who may do what with one.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::records::{Queue, QueueName, is_queue_name};
use super::wire::{Answer, caller_account, fault, invalid};
use super::{attributes, shelf};
use crate::authorize::{Facts, Question};
use crate::call::{Call, Caller};
use crate::error::ApiError;
use crate::policy::Principal;
use crate::s3::store::StoreError;
use crate::state::State;

const TAGS_MAX: usize = 50;
const LIST_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    queue_name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default, rename = "tags")]
    tags: BTreeMap<String, String>,
}

pub(super) async fn create(state: &State, call: &Call, input: CreateInput) -> Answer {
    let account = caller_account(call)?.to_owned();
    if input.queue_name.ends_with(".fifo") {
        return Err(fault("UnsupportedOperation", "This local cloud offers no FIFO queues."));
    }
    if !is_queue_name(&input.queue_name) {
        let why = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in \
                   length";
        return Err(invalid("QueueName", &input.queue_name, why));
    }
    let name = QueueName { account: account.clone(), name: input.queue_name };
    let queue = Queue {
        account,
        region: state.region.clone(),
        number: 0,
        created_ms: call.now_ms,
        modified_ms: call.now_ms,
        attributes: BTreeMap::new(),
        tags: input.tags,
        policy_cache: Default::default(),
        name: name.name.clone(),
    };
    allow(state, call, &queue, "CreateQueue")?;
    if !queue.tags.is_empty() {
        allow(state, call, &queue, "TagQueue")?;
    }
    check_tags(&queue.tags)?;
    attributes::check(state, call, &name, &input.attributes)?;
    let (queues, wanted) = (state.queues.clone(), input.attributes);
    let made = state.store.commit(move |transaction, _| {
        if let Some(there) = shelf::queue_in(transaction, &name)? {
            return Ok(is_the_same(&there, &wanted));
        }
        let mut queue = queue;
        attributes::apply(&mut queue, wanted);
        queues.put(shelf::put_queue(transaction, queue)?);
        Ok(Ok(name))
    });
    let name = made.await.map_err(ApiError::internal)?.map_err(|attribute| {
        let why = format!(
            "A queue already exists with the same name and a different value for attribute \
             {attribute}"
        );
        fault("QueueNameExists", why)
    })?;
    Ok(json!({ "QueueUrl": url_of(call, &name) }))
}

/// Making a queue that is there is no mistake if it asks for what is there; else the attribute
/// that differs.
fn is_the_same(there: &Queue, wanted: &BTreeMap<String, String>) -> Result<QueueName, String> {
    let now = attributes::of_queue(there, shelf::Counts::default());
    match wanted.iter().find(|(name, value)| now.get(*name) != Some(value)) {
        None => Ok(there.id()),
        Some((name, _)) => Err(name.clone()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UrlInput {
    queue_name: String,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

pub(super) fn url(state: &State, call: &Call, input: &UrlInput) -> Answer {
    let account = input.owner.as_deref().map_or_else(|| caller_account(call), Ok)?;
    let name = QueueName { account: account.to_owned(), name: input.queue_name.clone() };
    let queue = state.queues.find(&name).ok_or_else(no_such_queue)?;
    allow(state, call, &queue, "GetQueueUrl")?;
    Ok(json!({ "QueueUrl": url_of(call, &name) }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInput {
    #[serde(default)]
    queue_name_prefix: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn list(state: &State, call: &Call, input: &ListInput) -> Answer {
    let account = caller_account(call)?;
    let arn = format!("arn:aws:sqs:{}:{account}:*", state.region);
    let facts = Facts::new();
    crate::authorize::authorize(state, call, "sqs:ListQueues", &arn, account, &[], &facts)?;
    let mut queues = state.queues.of_account(account);
    queues.retain(|queue| queue.name.starts_with(&input.queue_name_prefix));
    page(call, "QueueUrls", &queues, input.max_results, input.next_token.as_deref())
}

pub(super) fn sources(state: &State, call: &Call, input: &PageInput) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "ListDeadLetterSourceQueues")?;
    let mut queues = state.queues.of_account(&queue.account);
    let arn = queue.arn();
    queues.retain(|other| other.redrive().is_some_and(|redrive| redrive.target_arn == arn));
    page(call, "queueUrls", &queues, input.max_results, input.next_token.as_deref())
}

fn page(
    call: &Call,
    field: &str,
    queues: &[Arc<Queue>],
    max: Option<usize>,
    after: Option<&str>,
) -> Answer {
    let limit = max.unwrap_or(LIST_MAX).clamp(1, LIST_MAX);
    let mut rest = queues.iter().filter(|queue| after.is_none_or(|after| *queue.name > *after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let urls: Vec<_> = page.iter().map(|queue| url_of(call, &queue.id())).collect();
    let mut answer = json!({ field: urls });
    // Without a limit SQS gives no token, whatever is left.
    if let (Some(last), true, true) = (page.last(), rest.next().is_some(), max.is_some()) {
        answer["NextToken"] = Value::String(last.name.clone());
    }
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PageInput {
    queue_url: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueOnly {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

pub(super) async fn get_attributes(state: &Arc<State>, call: &Call, input: &QueueOnly) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "GetQueueAttributes")?;
    if input.attribute_names.is_empty() {
        return Ok(Value::Null);
    }
    let (shared, number, now_ms) = (state.clone(), queue.number, call.now_ms);
    let counting = tokio::task::spawn_blocking(move || {
        shared.store.read().and_then(|read| shelf::counts(&read, number, now_ms))
    });
    let counts = counting.await.map_err(ApiError::internal)?.map_err(ApiError::internal)?;
    let mut all = attributes::of_queue(&queue, counts);
    let known = |name: &String| all.contains_key(name) || attributes::is_known(name);
    if let Some(other) = input.attribute_names.iter().find(|name| *name != "All" && !known(name)) {
        return Err(fault("InvalidAttributeName", format!("Unknown Attribute {other}.")));
    }
    if !input.attribute_names.iter().any(|name| name == "All") {
        all.retain(|name, _| input.attribute_names.contains(name));
    }
    Ok(json!({ "Attributes": all }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributesInput {
    queue_url: String,
    attributes: BTreeMap<String, String>,
}

pub(super) async fn set_attributes(state: &State, call: &Call, input: AttributesInput) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "SetQueueAttributes")?;
    attributes::check(state, call, &queue.id(), &input.attributes)?;
    let wanted = input.attributes;
    update(state, call, &queue, move |queue| attributes::apply(queue, wanted)).await
}

pub(super) async fn delete(state: &State, call: &Call, input: &QueueOnly) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "DeleteQueue")?;
    let (queues, name) = (state.queues.clone(), queue.id());
    let done = state.store.commit(move |transaction, _| {
        if let Some(there) = shelf::queue_in(transaction, &name)? {
            shelf::delete_queue(transaction, &there)?;
            queues.remove(&name);
        }
        Ok(())
    });
    done.await.map(|()| Value::Null).map_err(ApiError::internal)
}

pub(super) async fn purge(state: &State, call: &Call, input: &QueueOnly) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "PurgeQueue")?;
    let number = queue.number;
    let done = state.store.commit(move |transaction, _| shelf::purge(transaction, number));
    done.await.map(|()| Value::Null).map_err(ApiError::internal)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagInput {
    queue_url: String,
    tags: BTreeMap<String, String>,
}

pub(super) async fn tag(state: &State, call: &Call, input: TagInput) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "TagQueue")?;
    let mut all = queue.tags.clone();
    all.extend(input.tags.clone());
    check_tags(&all)?;
    update(state, call, &queue, move |queue| queue.tags.extend(input.tags)).await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagInput {
    queue_url: String,
    tag_keys: Vec<String>,
}

pub(super) async fn untag(state: &State, call: &Call, input: UntagInput) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "UntagQueue")?;
    let keys = input.tag_keys;
    update(state, call, &queue, move |queue| queue.tags.retain(|key, _| !keys.contains(key))).await
}

pub(super) fn tags(state: &State, call: &Call, input: &QueueOnly) -> Answer {
    let queue = find(state, &input.queue_url)?;
    allow(state, call, &queue, "ListQueueTags")?;
    match queue.tags.is_empty() {
        true => Ok(Value::Null),
        false => Ok(json!({ "Tags": queue.tags })),
    }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let fits = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.to_ascii_lowercase().starts_with("aws:")
    };
    match tags.len() <= TAGS_MAX && tags.iter().all(fits) {
        true => Ok(()),
        false => {
            Err(invalid("Tags", "", "Up to 50 tags of 128 and 256 characters, none of AWS's."))
        }
    }
}

/// Changes the queue's row as it is when the change is made.
async fn update(
    state: &State,
    call: &Call,
    queue: &Queue,
    change: impl FnOnce(&mut Queue) + Send + 'static,
) -> Answer {
    let (queues, name, now_ms) = (state.queues.clone(), queue.id(), call.now_ms);
    let done = state.store.commit(move |transaction, _| {
        let Some(mut queue) = shelf::queue_in(transaction, &name)? else { return Ok(false) };
        change(&mut queue);
        queue.modified_ms = now_ms;
        queues.put(shelf::put_queue(transaction, queue)?);
        Ok(true)
    });
    match done.await.map_err(|error: StoreError| ApiError::internal(error))? {
        true => Ok(Value::Null),
        false => Err(no_such_queue()),
    }
}

/// The queue that a client means by a URL.
pub(super) fn find(state: &State, url: &str) -> Result<Arc<Queue>, ApiError> {
    QueueName::of_url(url).and_then(|name| state.queues.find(&name)).ok_or_else(no_such_queue)
}

pub(super) fn no_such_queue() -> ApiError {
    fault("QueueDoesNotExist", "The specified queue does not exist.")
}

/// `https://HOST/ACCOUNT/NAME`, under the name by which the caller reached this cloud.
fn url_of(call: &Call, name: &QueueName) -> String {
    let scheme = if call.is_secure() { "https" } else { "http" };
    let host = call.header("host").unwrap_or("localhost");
    format!("{scheme}://{host}/{}/{}", name.account, name.name)
}

/// Whether the caller may do `operation` on the queue: queue policy and identity policies.
pub(super) fn allow(
    state: &State,
    call: &Call,
    queue: &Queue,
    operation: &str,
) -> Result<(), ApiError> {
    ask(state, call, queue, operation, &Facts::new())
}

fn ask(
    state: &State,
    call: &Call,
    queue: &Queue,
    operation: &str,
    facts: &Facts,
) -> Result<(), ApiError> {
    let Some(policies) = queue.policies() else {
        return Err(ApiError::access_denied().because("the stored queue policy is damaged"));
    };
    let mut facts = facts.clone();
    let tags = queue.tags.iter();
    facts.extend(tags.map(|(key, value)| (format!("aws:ResourceTag/{key}"), value.clone())));
    let question = Question {
        action: &format!("sqs:{operation}"),
        resource: &queue.arn(),
        resource_account: &queue.account,
        resource_policies: policies,
        facts: &facts,
        restrict_public_buckets: false,
        via_service: false,
    };
    question.authorize(state, call)
}

/// A service that sends for one of its own resources, as condition keys tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Via<'a> {
    /// Such as `s3.amazonaws.com`.
    pub(crate) service: &'a str,
    /// `aws:SourceArn`.
    pub(crate) source_arn: &'a str,
    /// `aws:SourceAccount`.
    pub(crate) source_account: &'a str,
}

impl Via<'_> {
    /// Whether the service may send to the queue for that resource: queue policy, and key policy of
    /// a queue under a KMS key. `call` is the request that gives the service reason to.
    pub(crate) fn may_send(
        &self,
        state: &State,
        call: &Call,
        queue: &Queue,
    ) -> Result<(), ApiError> {
        let facts = vec![
            ("aws:SourceArn".to_owned(), self.source_arn.to_owned()),
            ("aws:SourceAccount".to_owned(), self.source_account.to_owned()),
        ];
        let call = self.call(call);
        ask(state, &call, queue, "SendMessage", &facts)?;
        may_use_key(state, &call, queue, &["GenerateDataKey", "Decrypt"], &facts)
    }

    /// The service's own request: it comes over TLS, and from no address of ours.
    fn call(&self, reason: &Call) -> Call {
        let mut caller = Caller::anonymous();
        caller.principal = Principal::Service { name: self.service.to_owned() };
        caller.account = Some(self.source_account.to_owned());
        self.service.clone_into(&mut caller.arn);
        self.service.clone_into(&mut caller.user_id);
        Call {
            caller,
            auth: reason.auth,
            signature_age_ms: None,
            content_sha256: None,
            tls_version: Some("1.3"),
            source_ip: reason.source_ip,
            now_ms: reason.now_ms,
            request_id: reason.request_id.clone(),
            form: None,
            service: crate::call::Service::Sqs,
            path: "/".to_owned(),
            query: Vec::new(),
            parts: http::Request::new(()).into_parts().0,
        }
    }
}

/// Whether the caller may use the KMS key of the queue, if it has one, and whether the key can be
/// used. (The bodies lie under the root's master key like everything here; what a KMS key adds to
/// a queue is who it asks.)
pub(super) fn may_use_key(
    state: &State,
    call: &Call,
    queue: &Queue,
    operations: &[&str],
    facts: &Facts,
) -> Result<(), ApiError> {
    let Some(key) = queue.attributes.get("KmsMasterKeyId") else { return Ok(()) };
    // The key is the queue's, so an id or alias is one of the queue's account.
    let arn = crate::kms::arn_in_account(state, &queue.account, key);
    crate::kms::use_for_queue(state, call, &arn, operations, facts).map_err(|error| {
        let code = match error.code.as_str() {
            "AccessDeniedException" | "AccessDenied" => "KmsAccessDenied",
            "NotFoundException" => "KmsNotFound",
            "DisabledException" => "KmsDisabled",
            "KMSInvalidStateException" => "KmsInvalidState",
            _ => return error,
        };
        let reason = error.reason().unwrap_or_default().to_owned();
        let mut worded = fault(code, error.message).because(reason);
        if code == "KmsAccessDenied" {
            worded.status = StatusCode::BAD_REQUEST;
        }
        worded
    })
}
