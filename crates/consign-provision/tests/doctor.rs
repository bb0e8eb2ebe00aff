//! Requests that fail at the local cloud for one reason each, and whether the doctor names it. Each
//! is really sent, so that the doctor is judged by the service and not by itself.

use crate::support::place::Place;
use crate::support::{ROLES, desired, lane};
use consign_cloud::iam::Holder;
use consign_cloud::s3::{Body, Encryption, GetObject, ListRequest, PutObject};
use consign_cloud::{Cloud, Credentials, Settings};
use consign_provision::doctor::{Asked, Complaint, Diagnosis, Patient, examine};
use consign_provision::{Desired, Hands};

struct Ward {
    place: Place,
    desired: Desired,
    hands: Hands,
}

impl Ward {
    async fn new() -> Ward {
        let place = Place::start().await;
        let desired = desired(ROLES);
        place.make_roles(&desired).await;
        let hands = place.apply(&desired).await;
        Ward { place, desired, hands }
    }

    fn bucket(&self, name: &str) -> String {
        self.desired.lanes[&lane(name)].bucket.to_string()
    }

    async fn party(&self, name: &str) -> Cloud {
        self.place.party(&self.desired, name).await
    }

    fn complaint(&self, command: &str) -> Complaint {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        Complaint::of(&words, Some(&self.desired)).expect(command)
    }

    async fn examine(&self, cloud: &Cloud, party: Option<&str>, command: &str) -> Diagnosis {
        self.examine_at(cloud, party, command, 0).await
    }

    async fn examine_at(
        &self,
        cloud: &Cloud,
        party: Option<&str>,
        command: &str,
        skew_ms: i64,
    ) -> Diagnosis {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = i64::try_from(now.expect("a clock").as_millis()).expect("a time");
        let patient = Patient {
            cloud,
            source: "the test",
            party,
            hands: &self.hands,
            desired: Some(&self.desired),
            now_ms: now_ms + skew_ms,
        };
        examine(&self.complaint(command), &patient).await
    }

    /// The command really fails, and the doctor says why.
    async fn expect(
        &self,
        cloud: &Cloud,
        party: Option<&str>,
        command: &str,
        name: &str,
    ) -> String {
        let refused = send(cloud, &self.complaint(command).asked).await;
        assert!(!refused.is_empty(), "{command} succeeds");
        let diagnosis = self.examine(cloud, party, command).await;
        let cause = diagnosis.cause.unwrap_or_else(|| panic!("{command}: no cause: {refused}"));
        assert_eq!(cause.name, name, "{command}: {}; the service said {refused}", cause.what);
        assert!(!cause.remedy.is_empty());
        format!("{}\n{}", cause.what, cause.remedy)
    }

    /// The command really succeeds, and the doctor finds nothing.
    async fn expect_well(&self, cloud: &Cloud, command: &str) {
        let refused = send(cloud, &self.complaint(command).asked).await;
        assert_eq!(refused, "", "{command}");
        let diagnosis = self.examine(cloud, None, command).await;
        assert!(diagnosis.cause.is_none(), "{command}: {:?}", diagnosis.cause);
    }
}

/// Sends the requests; the first refusal, empty if there is none.
async fn send(cloud: &Cloud, asked: &[Asked]) -> String {
    for asked in asked {
        let (bucket, key) = (asked.bucket.clone(), asked.key.clone());
        let s3 = cloud.s3();
        let refusal = match asked.action.as_str() {
            "s3:PutObject" => {
                let sets = |name: &str| asked.with.iter().any(|(key, _)| key == name);
                let put = PutObject {
                    bucket,
                    key,
                    body: Body::Bytes("x".into()),
                    if_none_match: sets("s3:if-none-match"),
                    encryption: sets("s3:x-amz-server-side-encryption")
                        .then_some(Encryption::SseS3),
                    ..PutObject::default()
                };
                s3.put_object(put).await.err()
            }
            "s3:GetObject" => {
                let get = GetObject { bucket, key, ..GetObject::default() };
                s3.get_object_bytes(&get, 1024).await.err()
            }
            "s3:ListBucket" => {
                let list = ListRequest { bucket, ..ListRequest::default() };
                s3.list_objects(&list).await.err()
            }
            other => panic!("the test cannot send {other}"),
        };
        if let Some(error) = refusal {
            return error.to_string();
        }
    }
    String::new()
}

#[tokio::test]
async fn what_works_has_no_cause() {
    let ward = Ward::new().await;
    let (acme, globex) = (ward.party("acme").await, ward.party("globex").await);
    let bucket = ward.bucket("to-client");
    ward.expect_well(&acme, &format!("aws s3 cp f.txt s3://{bucket}/in/")).await;
    ward.expect_well(&globex, &format!("aws s3 cp s3://{bucket}/in/f.txt .")).await;
    ward.expect_well(&globex, "list --lane to-client").await;
    // Of a request that nothing visible denies, the doctor says what it cannot see.
    let diagnosis = ward.examine(&acme, None, "send --lane to-client").await;
    assert!(diagnosis.cause.is_none(), "{diagnosis:?}");
    let last = diagnosis.seen.last().expect("something");
    assert!(last.what.contains("service and resource control policies"), "{}", last.what);
}

#[tokio::test]
async fn the_way_to_the_service_comes_first() {
    let ward = Ward::new().await;
    let command = "list --lane to-client";
    let connect = |change: fn(&mut Settings)| {
        let mut settings = ward.place.settings();
        settings.explicit_credentials = Some(Credentials::new("AKIDNOBODY", "secret", None));
        settings.timeouts.connect = std::time::Duration::from_secs(2);
        change(&mut settings);
        settings
    };
    let closed = connect(|it| it.endpoint = Some("https://127.0.0.1:1".to_owned()));
    let cloud = Cloud::connect(&closed).await.expect("a client");
    ward.expect(&cloud, None, command, "unreachable").await;
    let untrusted = connect(|it| it.ca_bundle = None);
    let cloud = Cloud::connect(&untrusted).await.expect("a client");
    let said = ward.expect(&cloud, None, command, "certificate-not-trusted").await;
    assert!(said.contains("AWS_CA_BUNDLE"), "{said}");
    let globex = ward.party("globex").await;
    let diagnosis = ward.examine_at(&globex, None, command, 3_600_000).await;
    assert_eq!(diagnosis.cause.expect("a cause").name, "clock-skew");
}

#[tokio::test]
async fn credentials_are_told_apart() {
    let ward = Ward::new().await;
    let command = "list --lane to-client";
    let anonymous = Settings { anonymous: true, ..ward.place.settings() };
    let cloud = Cloud::connect(&anonymous).await.expect("a client");
    ward.expect(&cloud, None, command, "no-credentials").await;
    let unknown = ward.place.cloud(Credentials::new("AKIAUNKNOWNUNKNOWN00", "s", None)).await;
    ward.expect(&unknown, None, command, "unknown-credentials").await;
    let found = ward.place.running.admin_credentials("222222222222").expect("an administrator");
    let wrong = Credentials::new(found.access_key_id.clone(), "not-the-secret", None);
    let wrong = ward.place.cloud(wrong).await;
    let said = ward.expect(&wrong, None, command, "wrong-secret").await;
    assert!(!said.contains("not-the-secret"), "{said}");
    let acme = ward.party("acme").await;
    let said = ward.expect(&acme, Some("globex"), command, "another-identity").await;
    assert!(said.contains("aws sts assume-role --role-arn"), "{said}");
}

#[tokio::test]
async fn buckets_and_keys_that_are_not_there_or_not_usable() {
    let ward = Ward::new().await;
    let globex = ward.party("globex").await;
    ward.expect(&globex, None, "aws s3 ls s3://no-such-bucket-here", "no-such-bucket").await;
    let acme = ward.party("acme").await;
    let bucket = ward.bucket("to-client");
    let put = format!("aws s3 cp f.txt s3://{bucket}/f.txt");
    ward.expect_well(&acme, &put).await;
    let admin = ward.place.admin("111111111111").await;
    let alias = &ward.desired.lanes[&lane("to-client")].key_alias;
    let key = admin.kms().describe_key(alias).await.expect("a key").expect("a key").arn;
    admin.kms().schedule_deletion(&key, 7).await.expect("scheduled");
    ward.expect(&acme, None, &put, "key-pending-deletion").await;
    admin.kms().cancel_deletion(&key).await.expect("cancelled");
    let said = ward.expect(&acme, None, &put, "key-disabled").await;
    assert!(said.contains("consign apply"), "{said}");
    admin.kms().enable_key(&key).await.expect("enabled");
    ward.expect_well(&acme, &put.replace("/f.txt", "/g.txt")).await;
}

#[tokio::test]
async fn denies_are_named_with_what_to_do() {
    let ward = Ward::new().await;
    let (acme, globex) = (ward.party("acme").await, ward.party("globex").await);
    let bucket = ward.bucket("to-client");
    let get = format!("s3:GetObject s3://{bucket}/f.txt");
    let said = ward.expect(&acme, None, &get, "bucket-policy-denies").await;
    assert!(said.contains("only arn:aws:iam::222222222222:role/acme-transfer reads"), "{said}");
    let put = format!("s3:PutObject s3://{bucket}/f.txt");
    let said = ward.expect(&globex, None, &put, "bucket-policy-denies").await;
    assert!(said.contains("only arn:aws:iam::111111111111:role/xfer/acme-ours writes"), "{said}");
    let other = format!("aws s3 cp f.txt s3://{bucket}/f.txt --sse AES256");
    let said = ward.expect(&acme, None, &other, "bucket-policy-denies").await;
    assert!(said.contains("leave the encryption options out"), "{said}");
    let over = format!("s3:PutObject s3://{bucket}/01JD3V5Y7Q8R9SATBVCWDXEYFZ/000001.age");
    let said = ward.expect(&acme, None, &over, "bucket-policy-denies").await;
    assert!(said.contains("DenyOverwrite") && said.contains("written once"), "{said}");
}

#[tokio::test]
async fn missing_permissions_are_named_by_their_side() {
    let ward = Ward::new().await;
    let globex = ward.party("globex").await;
    let acme = ward.party("acme").await;
    let bucket = ward.bucket("to-client");
    ward.expect_well(&acme, &format!("aws s3 cp f.txt s3://{bucket}/f.txt")).await;
    let get = format!("s3:GetObject s3://{bucket}/f.txt");
    ward.expect_well(&globex, &get).await;
    // The partner's own account does not allow it.
    let partner = ward.place.admin("222222222222").await;
    let (role, name) = (Holder::Role("acme-transfer"), ward.desired.identity_policy_name());
    let policy = partner.iam().get_policy(role, &name).await.expect("a policy").expect("a policy");
    partner.iam().delete_policy(role, &name).await.expect("deleted");
    let said = ward.expect(&globex, None, &get, "identity-policy-does-not-allow").await;
    assert!(said.contains("222222222222"), "{said}");
    // It allows S3 and forgets KMS: the usual riddle.
    let only_s3 =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    partner.iam().put_policy(role, &name, only_s3).await.expect("put");
    let said = ward.expect(&globex, None, &get, "identity-policy-does-not-allow").await;
    assert!(said.contains("kms:Decrypt") && said.contains("in your name"), "{said}");
    partner.iam().put_policy(role, &name, &policy).await.expect("put");
    ward.expect_well(&globex, &get).await;
    // The bucket's owner does not allow it any more.
    let owner = ward.place.admin("111111111111").await;
    let text = owner.s3().get_bucket_policy(&bucket).await.expect("a policy").expect("a policy");
    let changed = without_statement(&text, "ReaderGets");
    owner.s3().put_bucket_policy(&bucket, &changed).await.expect("put");
    ward.expect(&globex, None, &get, "bucket-policy-does-not-allow").await;
    owner.s3().put_bucket_policy(&bucket, &text).await.expect("put");
    let alias = &ward.desired.lanes[&lane("to-client")].key_alias;
    let key = owner.kms().describe_key(alias).await.expect("a key").expect("a key").arn;
    let text = owner.kms().get_key_policy(&key).await.expect("a policy");
    let changed = without_statement(&text, "ReaderDecrypts");
    owner.kms().put_key_policy(&key, &changed).await.expect("put");
    ward.expect(&globex, None, &get, "key-policy-does-not-allow").await;
}

#[tokio::test]
async fn plain_http_is_named() {
    let ward = Ward::new().await;
    let http = Settings {
        endpoint: ward.place.running.http_endpoint().map(str::to_owned),
        explicit_credentials: Some(ward.place.party_credentials(&ward.desired, "acme").await),
        ..ward.place.settings()
    };
    let acme = Cloud::connect(&http).await.expect("a client");
    let put = format!("s3:PutObject s3://{}/f.txt", ward.bucket("to-client"));
    let said = ward.expect(&acme, None, &put, "bucket-policy-denies").await;
    assert!(said.contains("DenyInsecureTransport") && said.contains("https://"), "{said}");
}

fn without_statement(policy: &str, sid: &str) -> String {
    let mut policy: serde_json::Value = serde_json::from_str(policy).expect("JSON");
    let statements = policy["Statement"].as_array_mut().expect("statements");
    statements.retain(|statement| statement["Sid"] != sid);
    policy.to_string()
}

#[tokio::test]
async fn without_administrators_the_planned_policies_stand_in() {
    let mut ward = Ward::new().await;
    ward.hands = Hands::none();
    let acme = ward.party("acme").await;
    let get = format!("s3:GetObject s3://{}/f.txt", ward.bucket("to-client"));
    ward.expect(&acme, None, &get, "bucket-policy-denies").await;
    let diagnosis = ward.examine(&acme, None, &get).await;
    let notes: Vec<&str> = diagnosis.seen.iter().map(|seen| seen.what.as_str()).collect();
    assert!(notes.iter().any(|note| note.contains("the planned one is taken")), "{notes:?}");
}
