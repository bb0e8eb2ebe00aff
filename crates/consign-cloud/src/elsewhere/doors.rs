//! Ways to a bucket beside its own name, and who scans what arrives there.
//!
//! Start with [`Elsewhere::multi_region_access_points`]. Everything here only reads.

use serde_json::Value;

use super::signed::{Question, Sender, elements};
use super::{Elsewhere, text};
use crate::error::{Call, Error, ErrorKind};

/// A plan by which GuardDuty scans what arrives in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalwarePlan {
    /// Its id.
    pub id: String,
    /// What keys begin with that are scanned; empty is every key.
    pub prefixes: Vec<String>,
    /// Whether the verdict is written as a tag of the object, which policies can ask for.
    pub tags: bool,
    /// Whether it works now.
    pub active: bool,
}

impl Elsewhere {
    /// Names of the multi-Region access points of an account that lead to a bucket.
    pub async fn multi_region_access_points(
        &self,
        account: &str,
        bucket: &str,
    ) -> Result<Vec<String>, Error> {
        let call = Call::new("s3:ListMultiRegionAccessPoints", bucket);
        // S3 Control answers this from one Region, whichever the bucket is in.
        let region = "us-west-2".to_owned();
        let sender = Sender { region, ..self.sender.clone() };
        let aws = format!("https://{account}.s3-control.{}.amazonaws.com", sender.region);
        let question = self.control_question(&aws, account, "/v20180820/mrap/instances");
        let answer = sender.ask(call.clone(), &question).await?;
        if !answer.contains("<ListMultiRegionAccessPoints") {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer is of another kind"));
        }
        let leads_here = |point: &&str| elements(point, "Bucket").any(|name| name == bucket);
        let points = answer.split("</AccessPoint>").filter(leads_here);
        Ok(points.filter_map(|point| elements(point, "Name").next()).map(str::to_owned).collect())
    }

    /// Locations of S3 Access Grants (`s3://bucket/prefix*`) that cover a bucket or part of it, in
    /// the Region of these credentials.
    pub async fn access_grants(&self, account: &str, bucket: &str) -> Result<Vec<String>, Error> {
        let call = Call::new("s3:ListAccessGrantsLocations", bucket);
        let path = "/v20180820/accessgrantsinstance/locations?maxResults=1000";
        let answer = match self.control(call.clone(), account, path).await {
            Err(error) if error.code().is_some_and(|code| code.contains("InstanceNotExist")) => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        if !answer.contains("<ListAccessGrantsLocations") {
            return Err(call.error(ErrorKind::InvalidResponse, "the answer is of another kind"));
        }
        if elements(&answer, "NextToken").next().is_some_and(|token| !token.is_empty()) {
            let message = "there are more than a thousand locations";
            return Err(call.error(ErrorKind::InvalidResponse, message));
        }
        let covers = |scope: &&str| covers(scope, bucket);
        Ok(elements(&answer, "LocationScope").filter(covers).map(str::to_owned).collect())
    }

    /// The plans of GuardDuty for a bucket.
    pub async fn malware_plans(&self, bucket: &str) -> Result<Vec<MalwarePlan>, Error> {
        let list = Call::new("guardduty:ListMalwareProtectionPlans", "");
        let answer = self.json(list.clone(), &self.guard_question("")).await?;
        let Some(ids) = answer["malwareProtectionPlans"].as_array() else {
            return Err(list.error(ErrorKind::InvalidResponse, "the answer is of another kind"));
        };
        if answer["nextToken"].as_str().is_some_and(|token| !token.is_empty()) {
            return Err(list.error(ErrorKind::InvalidResponse, "there are more plans than listed"));
        }
        let mut plans = Vec::new();
        for id in ids {
            let id = text(id, "malwareProtectionPlanId");
            let get = Call::new("guardduty:GetMalwareProtectionPlan", &id);
            let found = self.json(get, &self.guard_question(&format!("/{id}"))).await?;
            let protected = &found["protectedResource"]["s3Bucket"];
            if protected["bucketName"] != bucket {
                continue;
            }
            let prefixes = protected["objectPrefixes"].as_array().into_iter().flatten();
            plans.push(MalwarePlan {
                id,
                prefixes: prefixes.filter_map(Value::as_str).map(str::to_owned).collect(),
                tags: found["actions"]["tagging"]["status"] == "ENABLED",
                active: found["status"] == "ACTIVE",
            });
        }
        Ok(plans)
    }

    fn guard_question(&self, id: &str) -> Question {
        let aws = format!("https://guardduty.{}.amazonaws.com", self.sender.region);
        Question {
            service: "guardduty",
            origin: self.origin(&aws),
            method: "GET",
            path: format!("/malware-protection-plan{id}"),
            ..Question::default()
        }
    }
}

/// Whether a location (`s3://`, `s3://bucket*`, `s3://bucket/prefix*`) covers anything of a bucket.
fn covers(scope: &str, bucket: &str) -> bool {
    let Some(rest) = scope.strip_prefix("s3://") else { return true };
    match rest.split_once('/') {
        Some((name, _)) => name == bucket,
        None => rest
            .strip_suffix('*')
            .map_or(rest.is_empty() || rest == bucket, |start| bucket.starts_with(start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_cover_buckets() {
        for (scope, expected) in [
            ("s3://", true),
            ("s3://*", true),
            ("s3://in", true),
            ("s3://in/", true),
            ("s3://in/a/*", true),
            ("s3://i*", true),
            ("s3://inner", false),
            ("s3://inner/*", false),
            ("s3://out*", false),
            ("something else", true),
        ] {
            assert_eq!(covers(scope, "in"), expected, "{scope}");
        }
    }
}
