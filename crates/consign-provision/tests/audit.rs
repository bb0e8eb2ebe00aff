//! Every control on an exchange that was applied to the local cloud, where it passes, and on the
//! same exchange broken in one place, where it fails. What the local cloud has not (websites,
//! grants, trails …) is put into the facts by hand; `audit_elsewhere.rs` reads it from moto.

use crate::support::place::{Place, trust};
use crate::support::{ROLES, desired, lane};
use consign_cloud::elsewhere::{ExternalFinding, ObjectEvents, Trail};
use consign_cloud::iam::AuthorizedIdentity;
use consign_cloud::kms::GrantEntry;
use consign_cloud::s3::bucket::{CreateBucket, Ownership, PublicAccessBlock};
use consign_cloud::s3::inspect::{AccessLog, Notification, ObjectLock};
use consign_provision::audit::{
    self, Demands, Fact, Facts, Finding, LockDemand, LogTarget, Verdict,
};
use consign_provision::{Desired, Hands};
use serde_json::{Value, json};

struct Applied {
    place: Place,
    desired: Desired,
    hands: Hands,
}

impl Applied {
    async fn new() -> Applied {
        let place = Place::start().await;
        let desired = desired(ROLES);
        place.make_roles(&desired).await;
        let hands = place.apply(&desired).await;
        Applied { place, desired, hands }
    }

    fn bucket(&self) -> String {
        self.desired.lanes[&lane("to-client")].bucket.to_string()
    }

    async fn admin(&self) -> consign_cloud::Cloud {
        self.place.admin("111111111111").await
    }

    async fn facts(&self) -> Facts {
        audit::read(&self.desired, &self.hands).await
    }

    async fn audit(&self) -> Vec<Finding> {
        audit::audit(Some(&self.desired), &self.facts().await, &Demands::default())
    }

    async fn policy(&self) -> Value {
        let policy = self.admin().await.s3().get_bucket_policy(&self.bucket()).await;
        serde_json::from_str(&policy.expect("a policy").expect("a policy")).expect("JSON")
    }

    async fn put_policy(&self, policy: &Value) {
        let text = policy.to_string();
        let admin = self.admin().await;
        admin.s3().put_bucket_policy(&self.bucket(), &text).await.expect(&text);
    }

    /// The verdict of a control on the lane's bucket (or key).
    fn verdict(&self, findings: &[Finding], control: &str) -> Finding {
        let bucket = self.bucket();
        let alias = &self.desired.lanes[&lane("to-client")].key_alias;
        let about = |it: &&Finding| {
            it.control == control && (it.resource.ends_with(&bucket) || it.resource == *alias)
        };
        findings.iter().find(about).unwrap_or_else(|| panic!("no {control}")).clone()
    }

    fn expect(&self, findings: &[Finding], control: &str, verdict: Verdict) {
        let found = self.verdict(findings, control);
        assert_eq!(found.verdict, verdict, "{control}: {}", found.fact);
        assert_eq!(found.fix.is_some(), verdict == Verdict::Fail, "{control}: {:?}", found.fix);
    }

    /// The facts as they are, changed, and the control's verdict on that.
    async fn expect_after(&self, control: &str, verdict: Verdict, change: impl Fn(&mut Facts)) {
        let mut facts = self.facts().await;
        change(&mut facts);
        let demands = Demands::default();
        self.expect(&audit::audit(Some(&self.desired), &facts, &demands), control, verdict);
    }
}

/// The facts of the lane to-client.
fn bucket(facts: &mut Facts) -> &mut audit::BucketFacts {
    let mut buckets = facts.buckets.iter_mut();
    buckets.find(|bucket| bucket.lane == Some(lane("to-client"))).expect("the bucket")
}

fn without(policy: &Value, sid: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    let before = statements.len();
    statements.retain(|statement| statement["Sid"] != sid);
    assert_ne!(before, statements.len(), "no statement {sid}");
    policy
}

#[tokio::test]
async fn an_applied_exchange_fails_nothing() {
    let world = Applied::new().await;
    let findings = world.audit().await;
    for finding in &findings {
        assert_ne!(finding.verdict, Verdict::Fail, "{finding:?}");
    }
    for control in [
        "X02", "X03", "X04", "X05", "X06", "X07", "X08", "X09", "X10", "X11", "X12", "X14", "X20",
        "X23",
    ] {
        world.expect(&findings, control, Verdict::Pass);
    }
    for control in ["X13", "X17", "X18", "X19", "X24", "X25"] {
        world.expect(&findings, control, Verdict::Accepted);
    }
    // The local cloud has no CloudTrail, no access points and no Access Analyzer.
    for control in ["X15", "X22", "X26"] {
        world.expect(&findings, control, Verdict::NotLookedAt);
    }
    let trust = findings.iter().filter(|it| it.control == "X21");
    assert!(trust.clone().count() == 2 && trust.clone().all(|it| it.verdict == Verdict::Pass));
    // Every control of the table has its say.
    for number in 1..=26 {
        let id = format!("X{number:02}");
        assert!(findings.iter().any(|finding| finding.control == id), "no finding of {id}");
    }
}

#[tokio::test]
async fn settings_that_were_taken_back_fail() {
    let world = Applied::new().await;
    let (admin, bucket) = (world.admin().await, world.bucket());
    let s3 = admin.s3();
    let mut block = PublicAccessBlock::ALL;
    block.block_public_policy = false;
    s3.put_public_access_block(&bucket, block).await.expect("a block");
    s3.put_ownership(&bucket, Ownership::ObjectWriter).await.expect("ownership");
    s3.put_versioning(&bucket, false).await.expect("versioning");
    s3.put_lifecycle(&bucket, &[]).await.expect("lifecycle");
    let mut encryption = s3.get_encryption(&bucket).await.expect("encryption").expect("some");
    encryption.bucket_key = false;
    s3.put_encryption(&bucket, &encryption).await.expect("encryption");
    let findings = world.audit().await;
    for control in ["X01", "X03", "X05", "X11", "X14"] {
        world.expect(&findings, control, Verdict::Fail);
    }
    assert_eq!(world.verdict(&findings, "X01").fact, "off: BlockPublicPolicy");
    assert_eq!(world.verdict(&findings, "X01").fix.as_deref(), Some("consign apply"));
    // And what the fix says, repairs it.
    world.place.apply(&world.desired).await;
    for finding in world.audit().await {
        assert_ne!(finding.verdict, Verdict::Fail, "{finding:?}");
    }
}

#[tokio::test]
async fn each_statement_of_the_policy_is_missed_by_its_control() {
    let world = Applied::new().await;
    let policy = world.policy().await;
    for (sid, controls) in [
        ("DenyInsecureTransport", &["X04", "X07"][..]),
        ("DenyOldTls", &["X04"]),
        ("DenyOtherKey", &["X06"]),
        ("DenyCustomerProvidedKeys", &["X06"]),
        ("DenyOverwrite", &["X12"]),
        ("DenyLongLivedPresignedUrls", &["X20"]),
        ("DenyReadsByOthers", &["X07"]),
        ("DenyTagChanges", &["X19"]),
        ("DenyDeletesByParties", &["X08"]),
    ] {
        world.put_policy(&without(&policy, sid)).await;
        let findings = world.audit().await;
        for control in controls {
            world.expect(&findings, control, Verdict::Fail);
        }
    }
}

fn tls_deny(change: impl Fn(&mut Value)) -> Value {
    let mut statement = json!({
        "Sid": "DenyInsecureTransport",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["BUCKET", "BUCKET/*"],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    });
    change(&mut statement);
    statement
}

/// Nine ways to write the same wish. Prowler's check passes the four that leak and fails the five
/// that do not.
#[tokio::test]
async fn tls_is_judged_by_what_the_policy_means() {
    let world = Applied::new().await;
    let (policy, arn) = (world.policy().await, format!("arn:aws:s3:::{}", world.bucket()));
    let families = json!([
        "s3:Get*",
        "s3:Put*",
        "s3:List*",
        "s3:Delete*",
        "s3:Abort*",
        "s3:Restore*",
        "s3:Bypass*",
        "s3:Create*",
        "s3:Update*",
        "s3:Replicate*",
        "s3:Object*",
        "s3:Head*",
        "s3:Select*",
        "s3:Tag*",
        "s3:Untag*"
    ]);
    let condition = |value: Value| move |it: &mut Value| it["Condition"] = value.clone();
    let right = [
        condition(json!({ "BoolIfExists": { "aws:SecureTransport": "false" } })),
        condition(json!({ "Bool": { "aws:SecureTransport": ["false"] } })),
        condition(json!({ "Bool": { "aws:SecureTransport": false } })),
        condition(json!({ "Bool": { "aws:securetransport": "false" } })),
        condition(json!({ "StringNotEquals": { "aws:SecureTransport": "true" } })),
    ];
    let mut cases: Vec<(Value, Verdict)> =
        right.iter().map(|change| (tls_deny(change), Verdict::Pass)).collect();
    cases.push((tls_deny(|it| it["Action"] = families.clone()), Verdict::Pass));
    let wrong: [(&str, Value); 4] = [
        ("Action", json!("s3:PutObject")),
        ("Resource", json!("BUCKET")),
        ("Principal", json!({ "AWS": "arn:aws:iam::222222222222:role/acme-transfer" })),
        (
            "Condition",
            json!({ "Bool": { "aws:SecureTransport": "false" },
                              "StringEquals": { "aws:PrincipalTag/department": "sales" } }),
        ),
    ];
    for (field, value) in wrong {
        cases.push((tls_deny(|it| it[field] = value.clone()), Verdict::Fail));
    }
    for (statement, verdict) in cases {
        let mut changed = without(&policy, "DenyInsecureTransport");
        let statement = statement.to_string().replace("BUCKET", &arn);
        let statement: Value = serde_json::from_str(&statement).expect("JSON");
        changed["Statement"].as_array_mut().expect("statements").push(statement.clone());
        world.put_policy(&changed).await;
        let found = world.verdict(&world.audit().await, "X04");
        assert_eq!(found.verdict, verdict, "{statement}: {}", found.fact);
    }
}

#[tokio::test]
async fn strangers_and_further_readers_are_found() {
    let world = Applied::new().await;
    let (policy, arn) = (world.policy().await, format!("arn:aws:s3:::{}", world.bucket()));
    let admin = world.admin().await;
    let none = PublicAccessBlock {
        block_public_acls: false,
        ignore_public_acls: false,
        block_public_policy: false,
        restrict_public_buckets: false,
    };
    admin.s3().put_public_access_block(&world.bucket(), none).await.expect("a block");
    let mut public = without(&policy, "DenyReadsByOthers");
    public["Statement"].as_array_mut().expect("statements").push(json!({
        "Sid": "Everybody", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": format!("{arn}/*"),
    }));
    world.put_policy(&public).await;
    let findings = world.audit().await;
    for control in ["X01", "X02", "X07"] {
        world.expect(&findings, control, Verdict::Fail);
    }
    // Not public in S3's words, and open to whoever can choose the value of that key.
    let last = public["Statement"].as_array_mut().and_then(|it| it.last_mut()).expect("one");
    last["Condition"] = json!({ "StringLike": { "aws:UserAgent": "secret-agent" } });
    world.put_policy(&public).await;
    world.expect(&world.audit().await, "X02", Verdict::Fail);
}

#[tokio::test]
async fn keys_that_were_changed_fail() {
    let world = Applied::new().await;
    let admin = world.admin().await;
    let facts = world.facts().await;
    let found = facts.buckets.iter().find(|it| it.lane == Some(lane("to-client")));
    let key = found.and_then(|it| it.key.as_ref()).expect("a key");
    let (arn, policy) = (key.arn().expect("an ARN"), key.policy.known().expect("a policy"));
    let mut policy: Value = serde_json::from_str(policy).expect("JSON");
    let statements = policy["Statement"].as_array_mut().expect("statements");
    statements.retain(|statement| statement["Effect"] == "Allow");
    statements.push(json!({
        "Sid": "Everybody", "Effect": "Allow", "Principal": { "AWS": "*" },
        "Action": "kms:Decrypt", "Resource": "*",
    }));
    admin.kms().put_key_policy(arn, &policy.to_string()).await.expect("a policy");
    let findings = world.audit().await;
    world.expect(&findings, "X09", Verdict::Fail);
    world.expect(&findings, "X07", Verdict::Fail);
    admin.kms().schedule_deletion(arn, 7).await.expect("scheduled");
    world.expect(&world.audit().await, "X10", Verdict::Fail);
}

#[tokio::test]
async fn key_facts_that_the_local_cloud_has_not() {
    let world = Applied::new().await;
    let key = |facts: &mut Facts| bucket(facts).key.take().expect("a key");
    world
        .expect_after("X10", Verdict::Fail, |facts| {
            let mut changed = key(facts);
            changed.rotates = Fact::Is(false);
            bucket(facts).key = Some(changed);
        })
        .await;
    world
        .expect_after("X09", Verdict::Fail, |facts| {
            let mut changed = key(facts);
            changed.grants = Fact::Is(vec![GrantEntry {
                id: "g".to_owned(),
                grantee: "arn:aws:iam::999999999999:role/x".to_owned(),
                operations: vec!["Decrypt".to_owned()],
            }]);
            bucket(facts).key = Some(changed);
        })
        .await;
    world
        .expect_after("X09", Verdict::Fail, |facts| {
            let mut changed = key(facts);
            changed.policy_names = Fact::Is(vec!["default".to_owned(), "AWS_RAM".to_owned()]);
            bucket(facts).key = Some(changed);
        })
        .await;
}

#[tokio::test]
async fn doors_beside_the_policies_fail() {
    let world = Applied::new().await;
    let no_points = |facts: &mut Facts| {
        let none = || Fact::Is(Vec::new());
        let bucket = bucket(facts);
        bucket.access_points = none();
        bucket.multi_region_access_points = none();
        bucket.access_grants = none();
    };
    world.expect_after("X22", Verdict::Pass, no_points).await;
    let other = || vec!["arn:aws:s3:::copies".to_owned()];
    let doors: [fn(&mut audit::BucketFacts, Vec<String>); 7] = [
        |it, other| it.multi_region_access_points = Fact::Is(other),
        |it, other| it.access_grants = Fact::Is(other),
        |it, _| it.website = Fact::Is(true),
        |it, other| it.cors = Fact::Is(other),
        |it, other| it.replication = Fact::Is(other),
        |it, other| it.inventories = Fact::Is(other),
        |it, other| it.access_points = Fact::Is(other),
    ];
    for door in doors {
        world.expect_after("X22", Verdict::Fail, |facts| door(bucket(facts), other())).await;
    }
    let copies = |facts: &mut Facts| bucket(facts).replication = Fact::Is(other());
    world.expect_after("X25", Verdict::Fail, copies).await;
    let mfa = |facts: &mut Facts| bucket(facts).mfa_delete = Fact::Is(true);
    world.expect_after("X24", Verdict::Fail, mfa).await;
    let sniped = |facts: &mut Facts| bucket(facts).is_owners = Fact::Is(false);
    world.expect_after("X23", Verdict::Fail, sniped).await;
    let gone = |facts: &mut Facts| bucket(facts).exists = Fact::Is(false);
    world.expect_after("X23", Verdict::Fail, gone).await;
    let locked = |facts: &mut Facts| {
        let mode = Some("COMPLIANCE".to_owned());
        bucket(facts).object_lock = Fact::Is(Some(ObjectLock { mode, days: Some(30) }));
    };
    world.expect_after("X13", Verdict::Pass, locked).await;
    let mut facts = world.facts().await;
    locked(&mut facts);
    for (compliance, days, expected) in
        [(true, 30, Verdict::Pass), (false, 7, Verdict::Pass), (true, 31, Verdict::Fail)]
    {
        let demands = Demands { object_lock: Some(LockDemand { compliance, days }) };
        world.expect(&audit::audit(Some(&world.desired), &facts, &demands), "X13", expected);
    }
}

#[tokio::test]
async fn administrators_are_named_by_what_they_can_do() {
    let world = Applied::new().await;
    let of = |name: &str, policy: &str, boundary: Option<&str>| {
        let (policies, boundary) = (vec![policy.to_owned()], boundary.map(str::to_owned));
        AuthorizedIdentity { arn: format!("arn:aws:iam::111111111111:{name}"), policies, boundary }
    };
    let allow = |what: &str| {
        json!({ "Statement": { "Effect": "Allow", "Action": what, "Resource": "*" } }).to_string()
    };
    let (all, reads, key) = (allow("*"), allow("s3:Get*"), allow("kms:PutKeyPolicy"));
    let mut facts = world.facts().await;
    facts.accounts[0].identities = Fact::Is(vec![
        of("user/root-like", &all, None),
        of("user/bounded", &all, Some(&reads)),
        of("role/reader", &reads, None),
        of("role/keys", &key, None),
        of("role/strange", "{", None),
    ]);
    let findings = audit::audit(Some(&world.desired), &facts, &Demands::default());
    let found = world.verdict(&findings, "X08");
    assert_eq!(found.verdict, Verdict::Pass, "{}", found.fact);
    let said = "2 of 5 users and roles of 111111111111 can: user/root-like, role/keys; \
                not decided: role/strange";
    assert!(found.fact.ends_with(said), "{}", found.fact);
}

#[tokio::test]
async fn notifications_are_judged_by_the_queue_s_policy() {
    let world = Applied::new().await;
    let queue = "arn:aws:sqs:eu-west-1:111111111111:arrivals";
    let told = |condition: Value| {
        let policy = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" },
            "Action": "sqs:SendMessage", "Resource": queue, "Condition": condition,
        }]});
        move |facts: &mut Facts| {
            let events = vec!["s3:ObjectCreated:*".to_owned()];
            let target = queue.to_owned();
            bucket(facts).notifications = Fact::Is(vec![Notification { target, events }]);
            let policy = Fact::Is(Some(policy.to_string()));
            bucket(facts).queues = vec![(queue.to_owned(), policy)];
        }
    };
    let arn = format!("arn:aws:s3:::{}", world.bucket());
    let ours = json!({ "ArnLike": { "aws:SourceArn": arn } });
    world.expect_after("X18", Verdict::Pass, told(ours)).await;
    // Without a condition, or with one that others can meet, S3 is a confused deputy.
    let agent = json!({ "StringEquals": { "aws:UserAgent": "x" } });
    for open in [json!({}), agent] {
        world.expect_after("X18", Verdict::Fail, told(open)).await;
    }
    let unread = |facts: &mut Facts| {
        let (target, events) = ("arn:aws:sns:eu-west-1:111111111111:t".to_owned(), Vec::new());
        bucket(facts).notifications = Fact::Is(vec![Notification { target, events }]);
    };
    world.expect_after("X18", Verdict::NotLookedAt, unread).await;
}

#[tokio::test]
async fn logs_go_where_only_the_log_writes() {
    let world = Applied::new().await;
    let own = world.bucket();
    let to = |target: &str, condition: Value| {
        let (target, policy) = (
            target.to_owned(),
            json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": { "Service": "logging.s3.amazonaws.com" },
                "Action": "s3:PutObject", "Resource": format!("arn:aws:s3:::{target}/*"),
                "Condition": condition,
            }]}),
        );
        move |facts: &mut Facts| {
            let log = AccessLog { bucket: target.clone(), prefix: String::new() };
            bucket(facts).log = Fact::Is(Some(log));
            bucket(facts).log_target = Some(LogTarget {
                policy: Fact::Is(Some(policy.to_string())),
                encryption: Fact::Is(None),
            });
        }
    };
    let ours = json!({ "StringEquals": { "aws:SourceAccount": "111111111111" } });
    world.expect_after("X17", Verdict::Pass, to("logs", ours.clone())).await;
    world.expect_after("X17", Verdict::Fail, to("logs", json!({}))).await;
    world.expect_after("X17", Verdict::Fail, to(&own, ours)).await;
}

#[tokio::test]
async fn records_are_judged_by_what_they_cover() {
    let world = Applied::new().await;
    let prefix = format!("arn:aws:s3:::{}/", world.bucket());
    let trail = |reads, prefix: &str| Trail {
        arn: "arn:aws:cloudtrail:eu-west-1:111111111111:trail/all".to_owned(),
        logging: true,
        multi_region: true,
        validated: true,
        kms_key: Some("arn:aws:kms:eu-west-1:111111111111:key/1".to_owned()),
        objects: vec![ObjectEvents { reads, writes: true, prefix: prefix.to_owned() }],
        ..Trail::default()
    };
    let set = |trail: Trail| {
        move |facts: &mut Facts| facts.accounts[0].trails = Fact::Is(vec![trail.clone()])
    };
    world.expect_after("X15", Verdict::Pass, set(trail(true, &prefix))).await;
    world.expect_after("X15", Verdict::Pass, set(trail(true, "arn:aws:s3"))).await;
    world.expect_after("X15", Verdict::Fail, set(trail(false, &prefix))).await;
    world.expect_after("X15", Verdict::Fail, set(trail(true, "arn:aws:s3:::other/"))).await;
    let finding = |count: usize| {
        move |facts: &mut Facts| {
            let one = ExternalFinding { id: "f".to_owned(), resource: "r".to_owned() };
            bucket(facts).external_findings = Fact::Is(vec![one; count]);
        }
    };
    world.expect_after("X26", Verdict::Pass, finding(0)).await;
    world.expect_after("X26", Verdict::Accepted, finding(1)).await;
    world.expect_after("X26", Verdict::Fail, finding(2)).await;
    // On the account.
    let mut facts = world.facts().await;
    let verdict = |facts: &Facts, control: &str| {
        let findings = audit::audit(Some(&world.desired), facts, &Demands::default());
        let about = |it: &&Finding| it.control == control && it.resource.starts_with("account");
        findings.iter().find(about).expect(control).verdict
    };
    for control in ["X01", "X16", "X26"] {
        assert_eq!(verdict(&facts, control), Verdict::NotLookedAt, "{control}");
    }
    let account = &mut facts.accounts[0];
    account.trails = Fact::Is(vec![trail(true, "arn:aws:s3")]);
    account.block = Fact::Is(Some(PublicAccessBlock::ALL));
    account.analyzers = Fact::Is(vec!["arn:aws:access-analyzer:…".to_owned()]);
    for control in ["X01", "X16", "X26"] {
        assert_eq!(verdict(&facts, control), Verdict::Pass, "{control}");
    }
    let account = &mut facts.accounts[0];
    account.trails = Fact::Is(vec![Trail { validated: false, ..trail(true, "arn:aws:s3") }]);
    account.block = Fact::Is(None);
    account.analyzers = Fact::Is(Vec::new());
    for control in ["X01", "X16", "X26"] {
        assert_eq!(verdict(&facts, control), Verdict::Fail, "{control}");
    }
}

#[tokio::test]
async fn roles_must_not_trust_strangers() {
    let world = Applied::new().await;
    let admin = world.place.admin("222222222222").await;
    let external = r#"{"StringEquals":{"sts:ExternalId":"globex-7f3a"}}"#;
    for (principal, condition, verdict) in [
        ("arn:aws:iam::111111111111:root", external, Verdict::Pass),
        ("arn:aws:iam::111111111111:root", "{}", Verdict::Fail),
        ("*", "{}", Verdict::Fail),
        ("*", external, Verdict::Pass),
    ] {
        let policy = trust(principal, condition);
        admin.iam().put_trust_policy("acme-transfer", &policy).await.expect("a trust policy");
        let findings = world.audit().await;
        let about = |it: &&Finding| it.control == "X21" && it.resource.ends_with("acme-transfer");
        let found = findings.iter().find(about).expect("a finding");
        assert_eq!(found.verdict, verdict, "{policy}: {}", found.fact);
    }
}

#[tokio::test]
async fn an_account_without_credentials_is_not_looked_at() {
    let world = Applied::new().await;
    let account = consign_model::AccountId::parse("222222222222").expect("an account");
    let partner = Hands::none().with(account, world.place.admin("222222222222").await);
    let facts = audit::read(&world.desired, &partner).await;
    let findings = audit::audit(Some(&world.desired), &facts, &Demands::default());
    let mut ours = findings.iter().filter(|it| it.resource.starts_with("s3://")).peekable();
    assert!(ours.peek().is_some());
    assert!(ours.all(|it| it.verdict == Verdict::NotLookedAt), "{findings:?}");
}

#[tokio::test]
async fn a_bucket_outside_the_exchange_is_audited_as_far_as_it_goes() {
    let world = Applied::new().await;
    let facts = audit::read_bucket(&world.bucket(), &world.admin().await).await.expect("facts");
    let findings = audit::audit(None, &facts, &Demands::default());
    let of = |control: &str| findings.iter().find(|it| it.control == control);
    let verdict = |control: &str| of(control).map(|it| it.verdict);
    for control in ["X02", "X03", "X04", "X05", "X11", "X14", "X20", "X23"] {
        assert_eq!(verdict(control), Some(Verdict::Pass), "{control}");
    }
    assert_eq!(verdict("X06"), Some(Verdict::NotLookedAt));
    assert_eq!(verdict("X07"), None);
    let bare = CreateBucket { bucket: "bare".to_owned(), ..CreateBucket::default() };
    world.admin().await.s3().create_bucket(&bare).await.expect("a bucket");
    let facts = audit::read_bucket("bare", &world.admin().await).await.expect("facts");
    let mut failed = audit::audit(None, &facts, &Demands::default());
    failed.retain(|it| it.verdict == Verdict::Fail);
    for control in ["X04", "X05", "X11", "X14", "X20"] {
        let finding = failed.iter().find(|it| it.control == control).expect(control);
        let fix = finding.fix.as_deref().expect("a fix");
        assert!(fix.contains("bare"), "{control}: {fix}");
    }
}

#[tokio::test]
async fn sarif_has_the_shape_of_its_schema() {
    let world = Applied::new().await;
    let report = audit::sarif(&world.audit().await, "0.1.0");
    assert_eq!(report["version"], "2.1.0");
    let run = &report["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), 26);
    for result in run["results"].as_array().expect("results") {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("one");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let (kind, level) = (&result["kind"], &result["level"]);
        assert!(["fail", "open", "review", "pass"].contains(&kind.as_str().expect("a kind")));
        // The schema's rule: a level other than `none` belongs to `fail` alone.
        assert_eq!(level == "none", kind != "fail", "{result}");
    }
}
