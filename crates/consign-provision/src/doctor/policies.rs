//! The last layer: what the policies say, live where they can be read, planned where not.

use super::layers::{Bucket, Caller, needs_key};
use super::{Asked, Diagnosis, Found, Layer, Patient, cause};
use crate::audit::{Fact, policies_of};
use crate::desired::{DesiredParty, KeyArn, Keys};
use crate::policies::{Grants, bucket as bucket_policy, key as key_policy};
use consign_cloud::iam::Holder;
use consign_cloud::kms::KeyInfo;
use consign_iam::{
    Context, Decision, Layer as Rule, Policies, Policy, PolicyKind, Principal, Request, evaluate,
};
use consign_model::AccountId;

/// The policies around one request, with a note for each that is not the deployed one.
#[derive(Default)]
struct Documents {
    identity: Vec<Policy>,
    boundary: Option<Policy>,
    bucket: Vec<Policy>,
    key: Vec<Policy>,
    restrict_public_buckets: bool,
    notes: Vec<String>,
}

const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

/// Evaluates the request and the KMS calls it implies; the first that is denied is the cause.
pub(super) async fn decide(
    asked: &Asked,
    caller: &Caller,
    bucket: &Bucket<'_>,
    key: Option<KeyInfo>,
    patient: &Patient<'_>,
    diagnosis: &mut Diagnosis,
) -> Found<()> {
    let mut documents = Documents::default();
    identity(caller, patient, &mut documents).await;
    resources(bucket, key.as_ref(), patient, &mut documents).await;
    for note in std::mem::take(&mut documents.notes) {
        diagnosis.see(Layer::Policies, note);
    }
    let region = patient.cloud.region();
    let owner = bucket.owner.as_ref().map_or(caller.account.as_str(), AsRef::as_ref);
    let bucket_arn = format!("arn:aws:s3:::{}", bucket.name);
    let on_bucket = asked.key.is_empty();
    let resource =
        if on_bucket { bucket_arn.clone() } else { format!("{bucket_arn}/{}", asked.key) };
    let tls = !patient.cloud.endpoint().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut context = Context::new().with("aws:SecureTransport", tls.to_string());
    context.insert("s3:authType", "REST-HEADER");
    if tls {
        context.insert("s3:TlsVersion", "1.3");
    }
    if asked.action == "s3:PutObject" {
        context.insert("s3:ObjectCreationOperation", "true");
    }
    for (name, value) in &asked.with {
        context.insert(name, value);
    }
    judge(caller, &asked.action, &resource, owner, context, &documents, bucket)?;
    if let Some(key) = key.filter(|_| needs_key(&asked.action)) {
        let action =
            if asked.action == "s3:PutObject" { "kms:GenerateDataKey" } else { "kms:Decrypt" };
        let account = key.account.as_deref().unwrap_or(owner);
        let context = Context::new()
            .with("aws:SecureTransport", "true")
            .with("kms:ViaService", format!("s3.{region}.amazonaws.com"))
            .with("kms:EncryptionContextKeys", "aws:s3:arn")
            .with("kms:EncryptionContext:aws:s3:arn", bucket_arn);
        judge(caller, action, &key.arn, account, context, &documents, bucket)?;
    }
    diagnosis.see(Layer::Policies, format!("{} on {resource} is allowed", asked.action));
    Ok(())
}

fn judge(
    caller: &Caller,
    action: &str,
    resource: &str,
    account: &str,
    context: Context,
    documents: &Documents,
    bucket: &Bucket<'_>,
) -> Found<()> {
    let request = Request::new(caller.principal.clone(), action, resource, account, context);
    let request = match request {
        Ok(request) => request,
        Err(refusal) => {
            let what = format!("{action} on {resource} cannot be evaluated: {refusal}");
            return cause(Layer::Policies, "not-a-request", what, "correct the command");
        }
    };
    let is_kms = action.starts_with("kms:");
    let decision = evaluate(
        &request,
        &Policies {
            identity: &documents.identity,
            boundary: documents.boundary.as_ref(),
            resource: if is_kms { &documents.key } else { &documents.bucket },
            restrict_public_buckets: documents.restrict_public_buckets && !is_kms,
            ..Policies::default()
        },
    );
    if decision.is_allowed() {
        return Ok(());
    }
    let (name, remedy) = named(&decision, is_kms, caller, bucket);
    let implied = if is_kms { ", which S3 asks in your name" } else { "" };
    let why = decision.explain();
    cause(Layer::Policies, name, format!("{action} on {resource}{implied}: {why}"), remedy)
}

/// A name for the refusal, and what helps.
fn named(
    decision: &Decision,
    is_kms: bool,
    caller: &Caller,
    bucket: &Bucket<'_>,
) -> (&'static str, String) {
    let lane = bucket.lane.map_or("of the bucket".to_owned(), |lane| format!("`{}`", lane.name));
    let show = if is_kms {
        "aws kms get-key-policy --policy-name default --key-id KEY".to_owned()
    } else {
        format!("aws s3api get-bucket-policy --bucket {} --output text", bucket.name)
    };
    if let Some(statement) = decision.decided_by.first() {
        let by_us = match statement.sid.as_deref().unwrap_or_default() {
            "DenyInsecureTransport" | "DenyOldTls" => {
                Some("use an https:// endpoint: export AWS_ENDPOINT_URL=https://…".to_owned())
            }
            "DenyOtherSse"
            | "DenyOtherKey"
            | "DenyKmsHeaderWithoutKeyId"
            | "DenyCustomerProvidedKeys" => Some(
                "leave the encryption options out: the bucket encrypts under the lane's key"
                    .to_owned(),
            ),
            "DenyOverwrite" => Some(
                "a consignment is written once: put it under another name, or consign send"
                    .to_owned(),
            ),
            "DenyWritesByOthers" => bucket.lane.map(|lane| {
                format!("only {} writes on lane {}: sign as it", lane.writer.arn, lane.name)
            }),
            "DenyReadsByOthers" => bucket.lane.map(|lane| {
                let readers = lane.reader_arns().join(", ");
                format!("only {readers} reads on lane {}: sign as it", lane.name)
            }),
            "DenyContentToPublisher" => bucket.lane.map(|lane| {
                format!("{} fills inbox {} and reads none of it", lane.writer.arn, lane.name)
            }),
            "DenyUnreleased" => bucket.lane.map(|lane| {
                let scanner = lane.scanner().map(|it| it.party.to_string()).unwrap_or_default();
                format!(
                    "wait until {scanner} has scanned it: consign inbox list --inbox {}",
                    lane.name
                )
            }),
            "DenyDataToEverybody" | "NobodyUsesTheKey" => Some("consign apply".to_owned()),
            _ => None,
        };
        let name = match (statement.layer, is_kms) {
            (Rule::Resource, false) => "bucket-policy-denies",
            (Rule::Resource, true) => "key-policy-denies",
            (Rule::Boundary, _) => "boundary-denies",
            _ => "identity-policy-denies",
        };
        return (name, by_us.unwrap_or(show));
    }
    let own = format!("consign apply  (in account {}, which is {}'s)", caller.account, caller.arn);
    match decision.missing.first() {
        Some(Rule::BlockPublicAccess) => {
            ("public-access-block", format!("name the principal in the bucket policy: {show}"))
        }
        Some(Rule::Boundary) => {
            ("boundary-does-not-allow", "widen the permissions boundary".to_owned())
        }
        Some(Rule::Resource) if is_kms => {
            ("key-policy-does-not-allow", format!("consign apply  (by the owner of lane {lane})"))
        }
        Some(Rule::Resource) => (
            "bucket-policy-does-not-allow",
            format!("consign apply  (by the owner of lane {lane})"),
        ),
        _ => ("identity-policy-does-not-allow", own),
    }
}

async fn identity(caller: &Caller, patient: &Patient<'_>, documents: &mut Documents) {
    let name = caller.arn.splitn(6, ':').nth(5).unwrap_or_default().to_owned();
    let (holder, is_user) = match name.split('/').collect::<Vec<_>>().as_slice() {
        ["user", .., name] => (Holder::User(name), true),
        ["assumed-role", role, _] => (Holder::Role(role), false),
        // The root user of an account has no policies and needs none.
        _ => return,
    };
    let account = AccountId::parse(&caller.account).ok();
    let administrator = account.as_ref().and_then(|account| patient.hands.in_account(account));
    let mut why = String::new();
    for eye in administrator.into_iter().chain([patient.cloud]) {
        match policies_of(holder, eye).await {
            Fact::Is(texts) => {
                documents.identity = parsed(PolicyKind::Identity, &texts, &mut documents.notes);
                documents.boundary = boundary(holder, is_user, eye, &mut documents.notes).await;
                return;
            }
            Fact::Unknown(refusal) => why = refusal,
        }
    }
    let planned = planned_identity(caller, patient);
    let stands_in =
        if planned.is_some() { "the planned ones are" } else { "“everything allowed” is" };
    let texts = [planned.unwrap_or_else(|| EVERYTHING.to_owned())];
    documents.identity = parsed(PolicyKind::Identity, &texts, &mut documents.notes);
    documents.notes.push(format!(
        "the identity policies of {} may not be looked at ({why}); {stands_in} taken",
        caller.arn
    ));
}

async fn boundary(
    holder: Holder<'_>,
    is_user: bool,
    eye: &consign_cloud::Cloud,
    notes: &mut Vec<String>,
) -> Option<Policy> {
    let (Holder::User(name) | Holder::Role(name)) = holder;
    let iam = eye.iam();
    let found = if is_user { iam.get_user(name).await } else { iam.get_role(name).await };
    let arn = found.ok().flatten()?.boundary?;
    match iam.managed_policy(&arn).await {
        Ok(text) => parsed(PolicyKind::Identity, &[text], notes).pop(),
        Err(error) => {
            notes.push(format!("the permissions boundary {arn} may not be looked at: {error}"));
            None
        }
    }
}

fn planned_identity(caller: &Caller, patient: &Patient<'_>) -> Option<String> {
    let desired = patient.desired?;
    let is_caller = |party: &&DesiredParty| match &caller.principal {
        Principal::User { arn } => *arn == party.arn,
        _ => {
            let role = format!(":assumed-role/{}/", party.principal.name());
            party.account.as_ref() == caller.account && caller.arn.contains(&role)
        }
    };
    let party = desired.parties.values().find(is_caller)?;
    // The stand-ins would never equal the deployed keys, so keys are any.
    let keys = desired.planned_keys();
    let document = desired.identity_policy(party, &keys)?.to_json();
    let any = |text: String, key: &KeyArn| text.replace(key.as_str(), "*");
    Some(keys.values().fold(document, any))
}

async fn resources(
    bucket: &Bucket<'_>,
    key: Option<&KeyInfo>,
    patient: &Patient<'_>,
    documents: &mut Documents,
) {
    let mut live = None;
    for eye in &bucket.eyes {
        if let Ok(policy) = eye.s3().get_bucket_policy(&bucket.name).await {
            live = Some(policy);
            let block = eye.s3().get_public_access_block(&bucket.name).await;
            let block = block.ok().flatten();
            documents.restrict_public_buckets =
                block.is_some_and(|block| block.restrict_public_buckets);
            break;
        }
    }
    let planned_key = key.map(|key| KeyArn::new(&key.arn));
    let planned = || {
        let lane = bucket.lane?;
        let stand_in = patient.desired?.complete(&Keys::new()).get(&lane.name).cloned();
        let key = planned_key.clone().or(stand_in);
        Some(bucket_policy::policy(lane, key.as_ref(), Grants::Given).to_json())
    };
    let text = live.unwrap_or_else(|| {
        documents.notes.push(note("bucket policy", planned().is_some()));
        planned()
    });
    let texts: Vec<String> = text.into_iter().collect();
    documents.bucket = parsed(PolicyKind::Resource, &texts, &mut documents.notes);
    let Some(key) = key else { return };
    let account = key.account.as_deref().and_then(|account| AccountId::parse(account).ok());
    let administrator = account.as_ref().and_then(|account| patient.hands.in_account(account));
    for eye in administrator.into_iter().chain([patient.cloud]) {
        if let Ok(text) = eye.kms().get_key_policy(&key.arn).await {
            documents.key = parsed(PolicyKind::Key, &[text], &mut documents.notes);
            return;
        }
    }
    let planned = bucket.lane.map(|lane| key_policy::policy(lane, Grants::Given).to_json());
    documents.notes.push(note("key policy", planned.is_some()));
    let texts: Vec<String> = planned.into_iter().collect();
    documents.key = parsed(PolicyKind::Key, &texts, &mut documents.notes);
}

fn note(what: &str, planned: bool) -> String {
    let instead = if planned { "the planned one is taken" } else { "none is taken" };
    format!("the {what} may not be looked at: {instead}")
}

fn parsed(kind: PolicyKind, texts: &[String], notes: &mut Vec<String>) -> Vec<Policy> {
    let mut policies = Vec::new();
    for text in texts {
        match Policy::parse_as(kind, text) {
            Ok(policy) => policies.push(policy),
            Err(refusal) => notes.push(format!("a policy cannot be read: {refusal}")),
        }
    }
    policies
}
