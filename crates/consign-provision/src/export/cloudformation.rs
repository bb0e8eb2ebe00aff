//! One CloudFormation template per account.
//!
//! Buckets, queues, their policies and keys outlive the stack (`Retain`): what lies in them does not
//! belong to whoever deletes a stack, and a bucket that stays must not lose the policy that guards
//! it. The ARN of a key of another account is a parameter; the identity policies that name it
//! appear when all of their parameters are given, because two accounts wait for each other:
//! one for the other's user, the other for the one's key.

use super::{Files, Marker, Part, QueueParts, pretty, queues_of, told};
use crate::desired::{Desired, DesiredLane, DesiredParty, KEY_DELETION_DAYS, Keys};
use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::keys_told::key_arn_prefix;
use crate::observe::LIFECYCLE_RULE;
use crate::planner::{encryption, lifecycle};
use crate::policies::{Grants, bucket, key, letters_and_digits};
use crate::queues::EVENTS;
use crate::stage::DesiredQueue;
use consign_model::AccountId;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// CloudFormation's limits on one template.
const TEMPLATE_BYTES_MAX: usize = 1_000_000;
const RESOURCES_MAX: usize = 500;
const PARAMETERS_MAX: usize = 200;
/// What `Fn::And` takes.
const CONDITIONS_IN_AND: usize = 10;

const RETAIN: Option<&str> = Some("Retain");

/// A template per account, `EXCHANGE-ACCOUNT.json`, with everything that `apply` makes there.
/// `told` holds the keys of other accounts, where they are known.
///
/// # Errors
/// [`ErrorKind::TooLarge`] if a template is beyond CloudFormation's limits,
/// [`ErrorKind::Exchange`] if `told` names a key that no lane can have, or two names of the
/// exchange differ in hyphens alone, which CloudFormation's names do not have.
pub fn cloudformation(
    desired: &Desired,
    told: &Keys,
    of: Option<&AccountId>,
) -> Result<Files, Error> {
    let parts = Part::all(desired, told, of)?;
    parts.iter().map(|part| Ok((format!("{}.json", part.name()), template(part)?))).collect()
}

fn template(part: &Part<'_>) -> Result<String, Error> {
    let mut template = Template::of(part);
    for lane in part.foreign_keys().values() {
        template.parameter(part, lane);
    }
    for lane in part.lanes() {
        template.bucket(part, lane)?;
    }
    for lane in part.keys() {
        template.key(part, lane)?;
    }
    for party in part.parties() {
        template.party(part, party)?;
    }
    let text = part.with_references(&pretty(&template), |lane, own| {
        if own {
            format!(r#"{{ "Fn::GetAtt": ["{}Key", "Arn"] }}"#, lane_id(lane))
        } else {
            format!(r#"{{ "Ref": "{}" }}"#, key_arn_name(lane))
        }
    });
    let sizes = [
        ("resources", template.resources.len(), RESOURCES_MAX),
        ("parameters", template.parameters.len(), PARAMETERS_MAX),
        ("bytes", text.len(), TEMPLATE_BYTES_MAX),
    ];
    match sizes.into_iter().find(|(_, size, limit)| size > limit) {
        Some((what, size, limit)) => Err(too_large(part, what, size, limit)),
        None => Ok(text),
    }
}

fn too_large(part: &Part<'_>, what: &str, size: usize, limit: usize) -> Error {
    let account = &part.account;
    let message = format!(
        "the template of account {account} would have {size} {what}, and CloudFormation accepts \
         {limit}"
    );
    Error::new(ErrorKind::TooLarge, message)
        .with_hint("split the exchange file: some of the lanes each, and a template from each file")
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Template {
    #[serde(rename = "AWSTemplateFormatVersion")]
    version: &'static str,
    description: String,
    metadata: BTreeMap<&'static str, Marker>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    conditions: BTreeMap<String, Value>,
    resources: BTreeMap<String, Resource>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    outputs: BTreeMap<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_replace_policy: Option<&'static str>,
    properties: Properties,
}

/// Settings, and at most one policy document, which keeps the order in which people read it.
struct Properties {
    settings: Map<String, Value>,
    document: Option<(&'static str, Document)>,
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.settings {
            map.serialize_entry(name, value)?;
        }
        if let Some((name, document)) = &self.document {
            map.serialize_entry(name, document)?;
        }
        map.end()
    }
}

impl Resource {
    fn new(kind: &'static str, settings: Value) -> Resource {
        let settings = match settings {
            Value::Object(settings) => settings,
            _ => Map::new(),
        };
        Resource {
            kind,
            condition: None,
            depends_on: Vec::new(),
            deletion_policy: None,
            update_replace_policy: None,
            properties: Properties { settings, document: None },
        }
    }

    fn document(mut self, name: &'static str, document: Document) -> Resource {
        self.properties.document = Some((name, document));
        self
    }

    fn after(mut self, names: impl IntoIterator<Item = String>) -> Resource {
        self.depends_on.extend(names);
        self
    }

    fn only_if(mut self, condition: Option<String>) -> Resource {
        self.condition = condition;
        self
    }

    fn retained(mut self) -> Resource {
        self.deletion_policy = RETAIN;
        self.update_replace_policy = RETAIN;
        self
    }
}

impl Template {
    fn of(part: &Part<'_>) -> Template {
        let (exchange, account) = (&part.desired.exchange, &part.account);
        let mut notes = part.notes();
        notes.push("Creating it takes the capability CAPABILITY_NAMED_IAM.".to_owned());
        Template {
            version: "2010-09-09",
            description: format!(
                "Exchange {exchange}: what it needs in account {account}, region {}",
                part.desired.region
            ),
            metadata: BTreeMap::from([(
                "consign",
                Marker::new(part.desired, Some(account), notes),
            )]),
            parameters: BTreeMap::new(),
            conditions: BTreeMap::new(),
            resources: BTreeMap::new(),
            outputs: BTreeMap::new(),
        }
    }

    fn add(&mut self, name: String, resource: Resource) -> Result<(), Error> {
        if self.resources.contains_key(&name) {
            let message = format!("two names of the exchange are `{name}` in CloudFormation");
            return Err(Error::new(ErrorKind::Exchange, message)
                .with_hint("rename a lane or a party: they differ in hyphens alone"));
        }
        self.resources.insert(name, resource);
        Ok(())
    }

    fn parameter(&mut self, part: &Part<'_>, lane: &DesiredLane) {
        let name = key_arn_name(lane);
        let parameter = json!({
            "Type": "String",
            "Description": format!(
                "ARN of the key of {} {}; empty until it is known", lane.stage.word(), lane.name
            ),
            "Default": told(part.told, lane).unwrap_or_default(),
            "AllowedPattern": format!("^$|^{}[0-9A-Za-z-]+$", key_arn_prefix(lane)),
        });
        self.parameters.insert(name, parameter);
    }

    fn bucket(&mut self, part: &Part<'_>, lane: &DesiredLane) -> Result<(), Error> {
        let id = lane_id(lane);
        let stand_in = part.stand_ins.get(&lane.name);
        let principals = part.principals_of(lane).into_iter().map(principal_id);
        let known = self.key_known(lane);
        let reference = json!({ "Ref": format!("{id}Bucket") });
        let policy = bucket::policy(lane, stand_in, Grants::Given);
        let guarded = Resource::new("AWS::S3::BucketPolicy", json!({ "Bucket": reference }))
            .document("PolicyDocument", policy)
            .after(principals)
            .only_if(known.clone())
            .retained();
        self.add(format!("{id}BucketPolicy"), guarded)?;
        let mut settings = bucket_settings(part, lane);
        let mut before = None;
        if let Some(stage) = lane.stage.repository() {
            self.queues(lane, &stage.queue)?;
            // S3 tries the queue when it is told of it.
            before = Some(format!("{id}QueuePolicy"));
            settings["NotificationConfiguration"] = json!({ "QueueConfigurations": [{
                "Event": EVENTS[0],
                "Queue": stage.queue.arn(),
            }] });
        }
        let bucket = Resource::new("AWS::S3::Bucket", settings).after(before).only_if(known);
        self.add(format!("{id}Bucket"), bucket.retained())
    }

    fn queues(&mut self, lane: &DesiredLane, queue: &DesiredQueue) -> Result<(), Error> {
        let id = lane_id(lane);
        for QueueParts { what, name, settings, policy } in queues_of(queue) {
            let mut settings = json!(settings);
            settings["QueueName"] = name.into();
            settings["Tags"] = tags(lane.tags()).into();
            // One names the other by its ARN alone.
            let before = (what == "Queue").then(|| format!("{id}DeadLetters"));
            let resource = Resource::new("AWS::SQS::Queue", settings).after(before);
            self.add(format!("{id}{what}"), resource.retained())?;
            let url = json!({ "Queues": [{ "Ref": format!("{id}{what}") }] });
            let guard = Resource::new("AWS::SQS::QueuePolicy", url);
            self.add(
                format!("{id}{what}Policy"),
                guard.document("PolicyDocument", policy).retained(),
            )?;
        }
        Ok(())
    }

    fn key(&mut self, part: &Part<'_>, lane: &DesiredLane) -> Result<(), Error> {
        let id = lane_id(lane);
        let principals = part.principals_of(lane).into_iter().map(principal_id);
        let Some(stand_in) = part.stand_ins.get(&lane.name) else { return Ok(()) };
        let settings = json!({
            "Description": lane.key_description(),
            "EnableKeyRotation": true,
            "PendingWindowInDays": KEY_DELETION_DAYS,
            "Tags": tags(lane.tags()),
        });
        let policy = key::policy(lane, Grants::Given);
        let resource = Resource::new("AWS::KMS::Key", settings).document("KeyPolicy", policy);
        self.add(format!("{id}Key"), resource.after(principals).retained())?;
        let alias = json!({
            "AliasName": lane.key_alias,
            "TargetKeyId": { "Ref": format!("{id}Key") },
        });
        self.add(format!("{id}KeyAlias"), Resource::new("AWS::KMS::Alias", alias))?;
        let output = json!({
            "Description": format!("ARN of the key of {} {}", lane.stage.word(), lane.name),
            "Value": stand_in.as_str(),
        });
        self.outputs.insert(key_arn_name(lane), output);
        Ok(())
    }

    /// The name of the condition that the key of another account is given, which the bucket needs.
    fn key_known(&mut self, lane: &DesiredLane) -> Option<String> {
        let name = lane.has_foreign_key().then(|| format!("{}KeyKnown", lane_id(lane)))?;
        self.conditions.insert(name.clone(), is_given(lane));
        Some(name)
    }

    fn party(&mut self, part: &Part<'_>, party: &DesiredParty) -> Result<(), Error> {
        let mut name: Value = party.principal.name().into();
        if party.can_be_made() {
            let id = principal_id(party);
            name = json!({ "Ref": id });
            self.add(id, principal(part, party))?;
        }
        let Some(policy) = part.desired.identity_policy(party, &part.stand_ins) else {
            return Ok(());
        };
        let policy_name = part.desired.identity_policy_name();
        let resource = if party.is_user() {
            let settings = json!({ "PolicyName": policy_name, "UserName": name });
            Resource::new("AWS::IAM::UserPolicy", settings)
        } else {
            let settings = json!({ "PolicyName": policy_name, "RoleName": name });
            Resource::new("AWS::IAM::RolePolicy", settings)
        };
        // Last, as `apply` does: the bucket is guarded before anybody is sent to it.
        let guards = part.own_lanes_of(party).map(|lane| format!("{}BucketPolicy", lane_id(lane)));
        let condition = self.keys_known(&part.foreign_keys_of(party), party);
        let resource = resource.document("PolicyDocument", policy).after(guards).only_if(condition);
        self.add(format!("Party{}Policy", letters_and_digits(party.name.as_ref())), resource)
    }

    /// The name of the condition that the keys of all these lanes are given.
    fn keys_known(&mut self, lanes: &[&DesiredLane], party: &DesiredParty) -> Option<String> {
        let all = all_of(lanes.iter().map(|lane| is_given(lane)).collect())?;
        let name = format!("Party{}KeysKnown", letters_and_digits(party.name.as_ref()));
        self.conditions.insert(name.clone(), all);
        Some(name)
    }
}

/// Whether the parameter for the lane's key is given.
fn is_given(lane: &DesiredLane) -> Value {
    json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": key_arn_name(lane) }, ""] }] })
}

/// A party's role, if the exchange file says who may assume it, or its user.
fn principal(part: &Part<'_>, party: &DesiredParty) -> Resource {
    let (name, path) = (party.principal.name(), party.principal.path());
    let tags = tags(part.desired.principal_tags());
    match party.trust_policy() {
        Some(policy) => {
            let settings = json!({ "RoleName": name, "Path": path, "Tags": tags });
            Resource::new("AWS::IAM::Role", settings)
                .document("AssumeRolePolicyDocument", policy)
                .after(part.made_before(party).map(principal_id))
        }
        None => {
            let settings = json!({ "UserName": name, "Path": path, "Tags": tags });
            Resource::new("AWS::IAM::User", settings)
        }
    }
}

fn bucket_settings(part: &Part<'_>, lane: &DesiredLane) -> Value {
    let encryption = encryption(lane, part.stand_ins.get(&lane.name));
    let mut default = json!({ "SSEAlgorithm": encryption.algorithm });
    if let Some(key) = encryption.key {
        default["KMSMasterKeyID"] = key.into();
    }
    let blocked = if encryption.customer_keys_blocked { "SSE-C" } else { "NONE" };
    let lifecycle = lifecycle(lane);
    let mut settings = json!({
        "BucketName": lane.bucket,
        "BucketEncryption": { "ServerSideEncryptionConfiguration": [{
            "ServerSideEncryptionByDefault": default,
            "BucketKeyEnabled": encryption.bucket_key,
            "BlockedEncryptionTypes": { "EncryptionType": [blocked] },
        }] },
        "OwnershipControls": { "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] },
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": true,
            "BlockPublicPolicy": true,
            "IgnorePublicAcls": true,
            "RestrictPublicBuckets": true,
        },
        "VersioningConfiguration": { "Status": "Enabled" },
        "LifecycleConfiguration": { "Rules": [{
            "Id": LIFECYCLE_RULE,
            "Status": "Enabled",
            "ExpirationInDays": lifecycle.expire_days,
            "NoncurrentVersionExpiration": { "NoncurrentDays": lifecycle.noncurrent_days },
            "AbortIncompleteMultipartUpload": {
                "DaysAfterInitiation": lifecycle.unfinished_upload_days,
            },
        }] },
        "Tags": tags(lane.tags()),
    });
    if lane.account_regional() {
        settings["BucketNamespace"] = "account-regional".into();
    }
    settings
}

fn tags(tags: BTreeMap<String, String>) -> Vec<Value> {
    tags.into_iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

/// All of the conditions, nested where they are too many for one `Fn::And`.
fn all_of(mut conditions: Vec<Value>) -> Option<Value> {
    while conditions.len() > 1 {
        let and = |some: &[Value]| match some {
            [only] => only.clone(),
            several => json!({ "Fn::And": several }),
        };
        conditions = conditions.chunks(CONDITIONS_IN_AND).map(and).collect();
    }
    conditions.pop()
}

fn lane_id(lane: &DesiredLane) -> String {
    format!("Lane{}", letters_and_digits(lane.name.as_ref()))
}

fn key_arn_name(lane: &DesiredLane) -> String {
    format!("{}KeyArn", lane_id(lane))
}

fn principal_id(party: &DesiredParty) -> String {
    let kind = if party.is_user() { "User" } else { "Role" };
    format!("Party{}{kind}", letters_and_digits(party.name.as_ref()))
}
