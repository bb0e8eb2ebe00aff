//! What the policies that `consign apply` writes say of the requests of one party, for a server that
//! stands in for S3 where S3 would take too long.

use std::path::Path;

use consign_iam::{Context, Policies, Policy, PolicyKind, Principal, Request, evaluate};
use serde_json::Value;

/// A party's identity policy, and the policies of two buckets.
pub(crate) struct Granted {
    principal: Principal,
    identity: Vec<Policy>,
    buckets: Vec<Bucket>,
}

struct Bucket {
    name: String,
    account: String,
    policy: Vec<Policy>,
}

impl Granted {
    /// From a folder of `consign export policies`, for one party, without some of what they allow.
    pub(crate) fn read(folder: &Path, party: &str, without: &[&str]) -> Granted {
        let read = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
        };
        let index = read("index.json");
        let documents = index["documents"].as_object().unwrap();
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
        let parsed = |name: &str, kind| {
            let policy = without_allowing(read(name), without).to_string();
            vec![Policy::parse_as(kind, &policy).unwrap()]
        };
        let own = format!("identity-{party}.json");
        let (account, name) =
            (text(&documents[&own], "account"), text(&documents[&own], "principal"));
        let of_buckets = documents.iter().filter(|(_, entry)| entry["kind"] == "bucket-policy");
        let buckets = of_buckets.map(|(file, entry)| Bucket {
            name: text(entry, "bucket"),
            account: text(entry, "account"),
            policy: parsed(file, PolicyKind::Resource),
        });
        Granted {
            principal: Principal::from_arn(&format!("arn:aws:iam::{account}:{name}")).unwrap(),
            identity: parsed(&own, PolicyKind::Identity),
            buckets: buckets.collect(),
        }
    }

    /// Whether the party may do this to a bucket, or to a key in it, over TLS; listings name the prefix.
    pub(crate) fn allows(
        &self,
        action: &str,
        bucket: &str,
        key: Option<&str>,
        prefix: Option<&str>,
    ) -> bool {
        let on = self.buckets.iter().find(|it| it.name == bucket).unwrap();
        let key = key.map(|key| format!("/{key}")).unwrap_or_default();
        let of_request = [
            ("aws:SecureTransport", "true"),
            ("s3:TlsVersion", "1.3"),
            ("s3:authType", "REST-HEADER"),
        ];
        let prefix = prefix.map(|prefix| ("s3:prefix", prefix));
        let context: Context = of_request.into_iter().chain(prefix).collect();
        let resource = format!("arn:aws:s3:::{bucket}{key}");
        let request =
            Request::new(self.principal.clone(), action, &resource, &on.account, context).unwrap();
        let policies =
            Policies { identity: &self.identity, resource: &on.policy, ..Policies::default() };
        evaluate(&request, &policies).is_allowed()
    }
}

/// Actions taken out of the lists of those that are allowed; what is denied stays.
pub(crate) fn without_allowing(mut policy: Value, without: &[&str]) -> Value {
    for statement in policy["Statement"].as_array_mut().unwrap() {
        let allows = statement["Effect"] == "Allow";
        let actions = statement.get_mut("Action").and_then(Value::as_array_mut);
        if let Some(actions) = actions.filter(|_| allows) {
            actions.retain(|action| !without.contains(&action.as_str().unwrap()));
        }
    }
    policy
}
