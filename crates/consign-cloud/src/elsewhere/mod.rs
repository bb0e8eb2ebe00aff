//! What services other than S3, KMS, IAM and STS say about buckets, and keep for us. Read only.
//!
//! Start with [`Cloud::elsewhere`](crate::Cloud::elsewhere). One request per method, but for
//! [`Elsewhere::trails`], which asks twice more for each trail.

mod doors;
pub(crate) mod signed;
mod stored;

pub use doors::MalwarePlan;

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_types::date_time::{DateTime, Format};
use serde_json::{Value, json};

use crate::error::{Call, Error, ErrorKind};
use crate::s3::bucket::PublicAccessBlock;
use signed::{Question, Sender, elements};

/// S3 Control, CloudTrail, SQS, GuardDuty and Access Analyzer, as far as an auditor asks them. Cheap to clone.
#[derive(Clone)]
pub struct Elsewhere {
    sender: Sender,
    endpoint: Option<String>,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Credentials without their secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsSeen {
    /// The public half.
    pub access_key_id: String,
    /// Whether a session token belongs to them.
    pub temporary: bool,
    /// Milliseconds since 1970 when they end, where their source knows.
    pub expires_ms: Option<i64>,
    /// Where the SDK's default chain found them, in words, from the outermost to the innermost
    /// (`a role assumed with`, `a profile's keys`); empty where it does not say.
    pub found_in: Vec<&'static str>,
}

/// What the SDK notes of each step to credentials, for the person who has to find them.
fn found_in(credentials: &aws_credential_types::Credentials) -> Vec<&'static str> {
    use AwsCredentialFeature as From;
    let steps = credentials.get_property::<Vec<From>>();
    let words = steps.into_iter().flatten().filter_map(|step| match step {
        From::CredentialsEnvVars => Some("environment variables"),
        From::CredentialsProfile | From::CredentialsProfileSourceProfile => {
            Some("keys in the credentials or configuration file")
        }
        From::CredentialsProfileNamedProvider => Some("the source that a profile names"),
        From::CredentialsProfileProcess | From::CredentialsProcess => Some("a credential process"),
        From::CredentialsProfileSso | From::CredentialsSso => Some("IAM Identity Center"),
        From::CredentialsProfileLogin | From::CredentialsLogin => Some("aws login"),
        From::CredentialsStsAssumeRole => Some("an assumed role"),
        From::CredentialsEnvVarsStsWebIdToken
        | From::CredentialsProfileStsWebIdToken
        | From::CredentialsStsAssumeRoleWebId => Some("a role assumed with a web identity"),
        From::CredentialsHttp => Some("the container's endpoint"),
        From::CredentialsImds => Some("the instance's metadata service"),
        _ => None,
    });
    let mut words: Vec<&'static str> = words.collect();
    words.dedup();
    words
}

/// A trail of CloudTrail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// Its ARN.
    pub arn: String,
    /// The bucket it writes to.
    pub bucket: String,
    /// Whether it records every region.
    pub multi_region: bool,
    /// Whether its files are signed, so that a change shows.
    pub validated: bool,
    /// The KMS key of its files, if one is set.
    pub kms_key: Option<String>,
    /// Whether it records now.
    pub logging: bool,
    /// Which requests for objects it records.
    pub objects: Vec<ObjectEvents>,
}

/// Requests for objects that a trail records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEvents {
    /// Whether reads are recorded.
    pub reads: bool,
    /// Whether writes are.
    pub writes: bool,
    /// What the objects' ARNs begin with; `arn:aws:s3` is every object.
    pub prefix: String,
}

/// A finding of Access Analyzer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalFinding {
    /// Its id.
    pub id: String,
    /// The ARN of what somebody outside can reach.
    pub resource: String,
}

impl Elsewhere {
    pub(crate) fn new(sender: Sender, endpoint: Option<String>) -> Elsewhere {
        Elsewhere { sender, endpoint }
    }

    /// What S3's clock says, in milliseconds since 1970, asked without a signature: the first
    /// thing to know when nothing works. `None` for a server that sends no date.
    pub async fn clock_ms(&self) -> Result<Option<i64>, Error> {
        let origin = self.origin(&format!("https://s3.{}.amazonaws.com", self.sender.region));
        let date = self.sender.date(Call::new("endpoint", &origin), &origin).await?;
        let parse = |text: String| DateTime::from_str(&text, Format::HttpDate).ok();
        Ok(date.and_then(parse).and_then(|date| date.to_millis().ok()))
    }

    /// The credentials that requests are signed with, without their secrets.
    ///
    /// # Errors
    /// [`ErrorKind::BadCredentials`] when none are found, or their source does not give them.
    pub async fn credentials(&self) -> Result<CredentialsSeen, Error> {
        let call = Call::new("credentials", "");
        let Some(provider) = &self.sender.credentials else {
            return Err(call.error(ErrorKind::BadCredentials, "no credentials were found"));
        };
        let found = provider.provide_credentials().await.map_err(|error| {
            call.caused(ErrorKind::BadCredentials, "no credentials were found", error)
        })?;
        let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let millis = |since: Duration| i64::try_from(since.as_millis()).ok();
        Ok(CredentialsSeen {
            access_key_id: found.access_key_id().to_owned(),
            temporary: found.session_token().is_some(),
            found_in: found_in(&found),
            expires_ms: found.expiry().and_then(since_1970).and_then(millis),
        })
    }

    /// Block Public Access of a whole account; `None` when it was never set.
    pub async fn account_public_access_block(
        &self,
        account: &str,
    ) -> Result<Option<PublicAccessBlock>, Error> {
        let call = Call::new("s3:GetAccountPublicAccessBlock", account);
        let path = "/v20180820/configuration/publicAccessBlock";
        let answer = match self.control(call.clone(), account, path).await {
            Err(error) if error.code() == Some("NoSuchPublicAccessBlockConfiguration") => {
                return Ok(None);
            }
            other => other?,
        };
        if !answer.contains("PublicAccessBlockConfiguration") {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer is of another kind"));
        }
        let on = |name| elements(&answer, name).next() == Some("true");
        Ok(Some(PublicAccessBlock {
            block_public_acls: on("BlockPublicAcls"),
            ignore_public_acls: on("IgnorePublicAcls"),
            block_public_policy: on("BlockPublicPolicy"),
            restrict_public_buckets: on("RestrictPublicBuckets"),
        }))
    }

    /// Names of the access points of a bucket.
    pub async fn access_points(&self, account: &str, bucket: &str) -> Result<Vec<String>, Error> {
        let call = Call::new("s3:ListAccessPoints", bucket);
        let path = format!("/v20180820/accesspoint?bucket={bucket}&maxResults=1000");
        let answer = self.control(call.clone(), account, &path).await?;
        if !answer.contains("<ListAccessPoints") {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer is of another kind"));
        }
        Ok(elements(&answer, "Name").map(str::to_owned).collect())
    }

    /// The trails that record this region, with what they record of objects.
    pub async fn trails(&self) -> Result<Vec<Trail>, Error> {
        let call = Call::new("cloudtrail:DescribeTrails", "");
        let described = self.cloudtrail(call, "DescribeTrails", &json!({})).await?;
        let mut trails = Vec::new();
        for trail in described["trailList"].as_array().into_iter().flatten() {
            let arn = text(trail, "TrailARN");
            let call = |operation| Call::new(operation, &arn);
            let (by_name, by_trail) = (json!({ "Name": arn }), json!({ "TrailName": arn }));
            let status = call("cloudtrail:GetTrailStatus");
            let status = self.cloudtrail(status, "GetTrailStatus", &by_name).await?;
            let selectors = call("cloudtrail:GetEventSelectors");
            let selectors = self.cloudtrail(selectors, "GetEventSelectors", &by_trail).await?;
            trails.push(Trail {
                bucket: text(trail, "S3BucketName"),
                multi_region: trail["IsMultiRegionTrail"] == true,
                validated: trail["LogFileValidationEnabled"] == true,
                kms_key: trail["KmsKeyId"].as_str().map(str::to_owned),
                logging: status["IsLogging"] == true,
                objects: object_events(&selectors),
                arn,
            });
        }
        Ok(trails)
    }

    /// The policy of a queue, by its ARN.
    pub async fn queue_policy(&self, arn: &str) -> Result<Option<String>, Error> {
        let call = Call::new("sqs:GetQueueAttributes", arn);
        let fields: Vec<&str> = arn.split(':').collect();
        let &[_, _, "sqs", region, account, name] = fields.as_slice() else {
            return Err(call.error(ErrorKind::InvalidRequest, "not the ARN of a queue"));
        };
        let origin = self.origin(&format!("https://sqs.{region}.amazonaws.com"));
        let url = format!("{origin}/{account}/{name}");
        let question = Question {
            service: "sqs",
            origin,
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.0".to_owned()),
                ("x-amz-target", "AmazonSQS.GetQueueAttributes".to_owned()),
            ],
            body: json!({ "QueueUrl": url, "AttributeNames": ["Policy"] }).to_string(),
            ..Question::default()
        };
        let answer = self.json(call, &question).await?;
        let policy = answer["Attributes"]["Policy"].as_str();
        Ok(policy.filter(|policy| !policy.is_empty()).map(str::to_owned))
    }

    /// ARNs of the analyzers of external access that are active.
    pub async fn analyzers(&self) -> Result<Vec<String>, Error> {
        let call = Call::new("access-analyzer:ListAnalyzers", "");
        let question = self.analyzer_question("GET", "/analyzer", String::new());
        let answer = self.json(call.clone(), &question).await?;
        let Some(analyzers) = answer["analyzers"].as_array() else {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer is of another kind"));
        };
        let external = analyzers.iter().filter(|analyzer| {
            let kind = text(analyzer, "type");
            matches!(kind.as_str(), "ACCOUNT" | "ORGANIZATION") && analyzer["status"] == "ACTIVE"
        });
        Ok(external.map(|analyzer| text(analyzer, "arn")).collect())
    }

    /// The active findings of an analyzer about one resource.
    pub async fn external_findings(
        &self,
        analyzer: &str,
        resource: &str,
    ) -> Result<Vec<ExternalFinding>, Error> {
        let call = Call::new("access-analyzer:ListFindingsV2", resource);
        let filter = json!({ "status": { "eq": ["ACTIVE"] }, "resource": { "eq": [resource] } });
        let body = json!({ "analyzerArn": analyzer, "filter": filter }).to_string();
        let answer = self.json(call, &self.analyzer_question("POST", "/findingv2", body)).await?;
        let findings = answer["findings"].as_array().into_iter().flatten();
        Ok(findings
            .map(|found| ExternalFinding {
                id: text(found, "id"),
                resource: text(found, "resource"),
            })
            .collect())
    }

    fn analyzer_question(&self, method: &'static str, path: &str, body: String) -> Question {
        let aws = format!("https://access-analyzer.{}.amazonaws.com", self.sender.region);
        Question {
            service: "access-analyzer",
            origin: self.origin(&aws),
            method,
            path: path.to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            body,
            ..Question::default()
        }
    }

    async fn control(&self, call: Call, account: &str, path: &str) -> Result<String, Error> {
        let aws = format!("https://{account}.s3-control.{}.amazonaws.com", self.sender.region);
        self.sender.ask(call, &self.control_question(&aws, account, path)).await
    }

    fn control_question(&self, aws: &str, account: &str, path: &str) -> Question {
        Question {
            service: "s3",
            origin: self.origin(aws),
            method: "GET",
            path: path.to_owned(),
            headers: vec![("x-amz-account-id", account.to_owned())],
            ..Question::default()
        }
    }

    async fn cloudtrail(&self, call: Call, operation: &str, body: &Value) -> Result<Value, Error> {
        let target = format!("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.{operation}");
        let aws = format!("https://cloudtrail.{}.amazonaws.com", self.sender.region);
        let question = Question {
            service: "cloudtrail",
            origin: self.origin(&aws),
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", target),
            ],
            body: body.to_string(),
            ..Question::default()
        };
        self.json(call, &question).await
    }

    async fn json(&self, call: Call, question: &Question) -> Result<Value, Error> {
        let answer = self.sender.ask(call.clone(), question).await?;
        serde_json::from_str(&answer).map_err(|error| {
            call.caused(ErrorKind::InvalidResponse, "the answer is not JSON", error)
        })
    }

    /// Where a service is: at AWS, or where all others are.
    fn origin(&self, aws: &str) -> String {
        self.endpoint.as_deref().unwrap_or(aws).trim_end_matches('/').to_owned()
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// What both kinds of selectors say about objects. A selector with a condition that is not
/// understood here covers nothing: better to report a gap that is none than to miss one.
fn object_events(selectors: &Value) -> Vec<ObjectEvents> {
    let mut events = Vec::new();
    for selector in selectors["EventSelectors"].as_array().into_iter().flatten() {
        let kind = selector["ReadWriteType"].as_str().unwrap_or("All");
        for resource in selector["DataResources"].as_array().into_iter().flatten() {
            if resource["Type"] != "AWS::S3::Object" {
                continue;
            }
            for value in resource["Values"].as_array().into_iter().flatten() {
                events.push(ObjectEvents {
                    reads: kind != "WriteOnly",
                    writes: kind != "ReadOnly",
                    prefix: value.as_str().unwrap_or_default().to_owned(),
                });
            }
        }
    }
    for selector in selectors["AdvancedEventSelectors"].as_array().into_iter().flatten() {
        events.extend(advanced(selector).unwrap_or_default());
    }
    events
}

fn advanced(selector: &Value) -> Option<Vec<ObjectEvents>> {
    let (mut data, mut objects, mut reads, mut writes) = (false, false, true, true);
    let mut prefixes = vec!["arn:aws:s3".to_owned()];
    for field in selector["FieldSelectors"].as_array()? {
        let known = ["Field", "Equals", "StartsWith"];
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        let other = |(name, value): (&String, &Value)| {
            !known.contains(&name.as_str()) && !value.is_null() && !is_empty(value)
        };
        if field.as_object()?.iter().any(other) {
            return None;
        }
        let values = |name: &str| -> Vec<String> {
            let values = field[name].as_array().into_iter().flatten();
            values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
        };
        let equals = values("Equals");
        match field["Field"].as_str()? {
            "eventCategory" => data = equals == ["Data"],
            "resources.type" => objects = equals.iter().any(|kind| kind == "AWS::S3::Object"),
            "readOnly" => {
                reads = equals.iter().any(|value| value == "true");
                writes = equals.iter().any(|value| value == "false");
            }
            "resources.ARN" => prefixes = [equals, values("StartsWith")].concat(),
            _ => return None,
        }
    }
    (data && objects).then(|| {
        let events = prefixes.into_iter().map(|prefix| ObjectEvents { reads, writes, prefix });
        events.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_selectors_are_read() {
        let selectors = json!({
            "EventSelectors": [{
                "ReadWriteType": "WriteOnly",
                "DataResources": [{ "Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::in/"] }],
            }],
            "AdvancedEventSelectors": [
                { "FieldSelectors": [
                    { "Field": "eventCategory", "Equals": ["Data"] },
                    { "Field": "resources.type", "Equals": ["AWS::S3::Object"] },
                ]},
                { "FieldSelectors": [
                    { "Field": "eventCategory", "Equals": ["Data"] },
                    { "Field": "resources.type", "Equals": ["AWS::S3::Object"] },
                    { "Field": "resources.ARN", "NotStartsWith": ["arn:aws:s3:::out/"] },
                ]},
            ],
        });
        let events =
            |reads, writes, prefix: &str| ObjectEvents { reads, writes, prefix: prefix.to_owned() };
        assert_eq!(
            object_events(&selectors),
            [events(false, true, "arn:aws:s3:::in/"), events(true, true, "arn:aws:s3")]
        );
    }
}
