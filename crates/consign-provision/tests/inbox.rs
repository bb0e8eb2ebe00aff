//! A secure inbox carried out on the local cloud, each organisation its own half, and every party's
//! signed requests judged by S3's and SQS's answers.

use crate::support::place::Place;
use crate::support::{self, place};
use crate::support::{INBOX, desired, full_inbox, lane, party};
use consign_cloud::s3::{Encryption, GetObject, ListRequest, PutObject};
use consign_cloud::{Cloud, Error, ErrorKind};
use consign_model::AccountId;
use consign_provision::desired::DesiredLane;
use consign_provision::plan::Action;
use consign_provision::prove::Documents;
use consign_provision::stage::{SCAN_CLEAN, SCAN_TAG};
use consign_provision::{
    Desired, Hands, Keys, Plan, apply, handover, observe, permissions, plan, plan_destroy, prove,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const ACME: &str = "111111111111";
const GLOBEX: &str = "222222222222";

/// The exchange with everything, its third party in an account that the local cloud has.
fn everything() -> String {
    full_inbox().replace("333333333333", "222222222223")
}

fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

async fn half(desired: &Desired, hands: &Hands, told: &Keys) -> Plan {
    let observed = observe(desired, hands).await.unwrap().told(told);
    plan(desired, &observed).unwrap()
}

async fn carry_out(plan: &Plan, desired: &Desired, hands: &Hands, told: &Keys) -> Keys {
    let mut on = |_, _: &consign_provision::Step| ControlFlow::Continue(());
    let applied = apply(plan, desired, hands, told, &mut on).await;
    applied.unwrap_or_else(|error| panic!("{}", chain(&error))).created_keys
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn words(plan: &Plan) -> String {
    let left = plan.left.iter().map(|left| format!("left to {}: {}", left.party, left.words));
    let steps = plan.steps.iter().map(ToString::to_string);
    steps.chain(left).collect::<Vec<_>>().join("\n")
}

/// The sender makes its principals, the receiver its keys and inbox, the sender the rest.
#[tokio::test]
async fn each_side_applies_its_half() {
    let place = Place::start().await;
    let desired = desired(INBOX);
    let hands = place.hands().await;
    let (acme, globex) = (hands.clone().only(&account(ACME)), hands.clone().only(&account(GLOBEX)));
    let none = Keys::new();

    let first = half(&desired, &acme, &none).await;
    let said = words(&first);
    assert!(
        said.contains("make the key of repository `reports` in account 222222222222"),
        "{said}"
    );
    assert!(said.contains("--key reports=ARN"), "{said}");
    assert!(!said.contains("create bucket"), "nothing that needs the key: {said}");
    carry_out(&first, &desired, &acme, &none).await;

    let theirs = half(&desired, &globex, &none).await;
    let said = words(&theirs);
    assert!(said.contains("apply repository `reports` in account 111111111111"), "{said}");
    let opening = said.find("let acme-lab write and acme read with the key").unwrap();
    assert!(said.find("create bucket").unwrap() < opening, "grants last: {said}");
    let told = carry_out(&theirs, &desired, &globex, &none).await;
    assert_eq!(told.keys().map(ToString::to_string).collect::<Vec<_>>(), ["reports", "reports-in"]);

    let rest = half(&desired, &acme, &told).await;
    let said = words(&rest);
    let places: Vec<usize> = [
        "create queue consign-acme-globex-reports-dead",
        "create queue consign-acme-globex-reports\n",
        "announce on queue",
        "let acme-lab write and acme read on bucket",
        "give user/consign/acme the inline policy",
    ]
    .map(|step| said.find(step).unwrap_or_else(|| panic!("no {step} in {said}")))
    .to_vec();
    assert!(places.is_sorted(), "{said}");
    carry_out(&rest, &desired, &acme, &told).await;
    for hands in [&acme, &globex, &hands] {
        let again = half(&desired, hands, &told).await;
        assert!(again.is_empty(), "{}", words(&again));
    }
    check_cells(&place, &desired).await;

    let observed = observe(&desired, &hands).await.unwrap();
    let proof = prove(&desired, &Documents::observed(&desired, &observed)).unwrap();
    let failures: Vec<String> = proof.failed_claims().map(ToString::to_string).collect();
    assert!(proof.holds() && proof.assumed.is_empty(), "{failures:#?}");
    place.running.shutdown().await;
}

#[tokio::test]
async fn with_everything_it_is_proved_and_enforced() {
    let place = Place::start().await;
    let desired = desired(&everything());
    let hands = place.apply(&desired).await;
    let again = half(&desired, &hands, &Keys::new()).await;
    assert!(again.is_empty() && again.left.is_empty(), "{}", words(&again));
    check_cells(&place, &desired).await;

    // Somebody opens the queue: the plan says so, closes it, and the proof would not have held.
    let sqs = hands.in_account(&account(ACME)).unwrap().sqs().clone();
    let url = sqs.queue_url("consign-acme-globex-reports").await.unwrap();
    let open = BTreeMap::from([("Policy".to_owned(), String::new())]);
    sqs.set_attributes(&url, &open).await.unwrap();
    let observed = observe(&desired, &hands).await.unwrap();
    let proof = prove(&desired, &Documents::observed(&desired, &observed)).unwrap();
    assert!(proof.failed_claims().any(|it| it.claim == "nobody but S3 sends"));
    let mending = plan(&desired, &observed).unwrap();
    let loses = mending.effects.iter().flat_map(|it| &it.loses);
    assert!(loses.into_iter().any(|it| it.to_string() == "send to the queue"), "{mending:#?}");
    carry_out(&mending, &desired, &hands, &Keys::new()).await;

    destroyed(&desired, &hands).await;
    place.running.shutdown().await;
}

async fn destroyed(desired: &Desired, hands: &Hands) {
    for lane in desired.lanes.values() {
        let cloud = hands.in_account(&lane.owner).unwrap();
        empty(cloud, lane.bucket.as_ref()).await;
    }
    let observed = observe(desired, hands).await.unwrap();
    let down = plan_destroy(desired, &observed).unwrap();
    let first_delete =
        down.steps.iter().position(|it| matches!(it.action, Action::DeleteBucket { .. }));
    let last_revoke = down.steps.iter().rposition(|it| {
        matches!(it.action, Action::PutBucketPolicy { .. } | Action::RemoveNotification { .. })
    });
    assert!(last_revoke < first_delete, "{}", words(&down));
    carry_out(&down, desired, hands, &Keys::new()).await;
    let observed = observe(desired, hands).await.unwrap();
    let rest = plan_destroy(desired, &observed).unwrap();
    assert!(rest.is_empty(), "{}", words(&rest));
    assert!(observed.queues.values().all(|it| it.queue.seen().is_none()));
}

/// What lies in a bucket whose data is denied to everybody is removed by its administrators.
async fn empty(cloud: &Cloud, bucket: &str) {
    cloud.s3().delete_bucket_policy(bucket).await.unwrap();
    let versions = cloud.s3().list_versions(bucket, "", None, None).await.unwrap();
    for entry in versions.entries {
        let version = entry.version_id.as_deref();
        cloud.s3().delete_object(bucket, &entry.key, version).await.unwrap();
    }
}

/// Stopped before every call, and gone on with: it converges.
#[tokio::test]
async fn stopping_before_any_call_converges() {
    let place = Place::start().await;
    let desired = desired(INBOX);
    let hands = place.hands().await;
    let none = Keys::new();
    let mut calls = 0;
    loop {
        let next = half(&desired, &hands, &none).await;
        if next.is_empty() {
            break;
        }
        // One step forward with every plan.
        let mut one = |number, _: &consign_provision::Step| match number {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let _stopped = apply(&next, &desired, &hands, &none, &mut one).await;
        calls += 1;
        assert!(calls < 100, "{}", words(&next));
    }
    assert!(calls > 25, "{calls}");
    check_cells(&place, &desired).await;
    place.running.shutdown().await;
}

/// The least policy for deploying is enough, for both accounts.
#[tokio::test]
async fn the_least_policy_is_enough() {
    let place = Place::start().await;
    let desired = desired(INBOX);
    let mut hands = Hands::none();
    for id in [ACME, GLOBEX] {
        let admin = place.admin(id).await;
        let document = permissions(&desired, &account(id)).unwrap().to_json();
        admin.iam().create_user("/", "deployer", &BTreeMap::new()).await.unwrap();
        let holder = consign_cloud::iam::Holder::User("deployer");
        admin.iam().put_policy(holder, "deploy", &document).await.unwrap();
        let key = admin.iam().create_access_key("deployer").await.unwrap();
        hands = hands.with(account(id), place.cloud(key).await);
    }
    let none = Keys::new();
    let whole = half(&desired, &hands, &none).await;
    carry_out(&whole, &desired, &hands, &none).await;
    assert!(half(&desired, &hands, &none).await.is_empty());
    let observed = observe(&desired, &hands).await.unwrap();
    let down = plan_destroy(&desired, &observed).unwrap();
    carry_out(&down, &desired, &hands, &none).await;
    place.running.shutdown().await;
}

#[test]
fn what_the_others_do_is_printed_with_the_keys_apart() {
    let desired = desired(INBOX);
    let nothing = support::empty_world(&desired);
    let halves = handover(&desired, &nothing, &account(ACME)).unwrap();
    let [theirs] = halves.as_slice() else { panic!("{halves:#?}") };
    let names: Vec<&str> = theirs.documents.keys().map(String::as_str).collect();
    let expected = [
        "bucket-reports-in.json",
        "identity-globex.json",
        "key-reports-in.json",
        "key-reports.json",
    ];
    assert_eq!(names, expected);
    let script = &theirs.script;
    assert!(script.contains("KEY_reports=$(aws kms create-key"), "{script}");
    assert!(script.contains("\"$KEY_reports_in\"") && !script.contains("$KEY_reports\"-in"));
    assert!(!script.contains("sqs"), "the queue is ours: {script}");

    let halves = handover(&desired, &nothing, &account(GLOBEX)).unwrap();
    let [ours] = halves.as_slice() else { panic!("{halves:#?}") };
    let waits = "once the key ARN of lane reports-in, reports is known";
    assert!(ours.notes.iter().any(|note| note.contains(waits)), "{:#?}", ours.notes);
    let names: Vec<&str> = ours.documents.keys().map(String::as_str).collect();
    let expected = [
        "bucket-reports.json",
        "dead-letters-reports.json",
        "identity-acme-lab.json",
        "identity-acme.json",
        "queue-reports.json",
    ];
    assert_eq!(names, expected);
}

struct Cells {
    parties: Vec<(String, Cloud)>,
    admins: Vec<(String, Cloud)>,
}

/// Every party and every account's administrator tries everything on every repository and inbox.
async fn check_cells(place: &Place, desired: &Desired) {
    let mut cells = Cells { parties: Vec::new(), admins: Vec::new() };
    for name in desired.parties.keys() {
        cells.parties.push((name.to_string(), place.party(desired, name.as_ref()).await));
    }
    for id in place::ACCOUNTS {
        cells.admins.push((format!("admin of {id}"), place.admin(id).await));
    }
    let stages: Vec<&DesiredLane> =
        desired.lanes.values().filter(|it| it.stage.word() != "lane").collect();
    assert!(stages.len() >= 2);
    for lane in stages {
        match lane.stage.word() {
            "repository" => cells.repository(lane).await,
            _ => cells.inbox(lane).await,
        }
    }
    for (lane, _) in desired.queues() {
        cells.queue(lane).await;
    }
}

fn judge<T>(what: &str, allowed: bool, result: Result<T, Error>) {
    match result {
        Ok(_) => assert!(allowed, "{what} was allowed"),
        Err(error) => {
            assert!(!allowed, "{what}: {}", chain(&error));
            assert_eq!(error.kind(), ErrorKind::AccessDenied, "{what}: {}", chain(&error));
        }
    }
}

fn put(bucket: &str, key: &str) -> PutObject {
    let body = b"a report".to_vec().into();
    PutObject { bucket: bucket.to_owned(), key: key.to_owned(), body, ..PutObject::default() }
}

impl Cells {
    fn everybody(&self) -> impl Iterator<Item = &(String, Cloud)> {
        self.parties.iter().chain(&self.admins)
    }

    /// The generator puts and gets nothing back; the publisher reads; nobody deletes.
    async fn repository(&self, lane: &DesiredLane) {
        let bucket = lane.bucket.as_ref();
        let generator = lane.writer.party.as_ref();
        let (_, cloud) = self.parties.iter().find(|(name, _)| name == generator).unwrap();
        cloud.s3().put_object(put(bucket, "a/report")).await.unwrap();
        for (who, cloud) in self.everybody() {
            let may_read = *who == lane.readers[0].party.as_ref();
            let what = |what: &str| format!("{who}: {what} on {}", lane.title());
            let written = cloud.s3().put_object(put(bucket, "b/report")).await;
            judge(&what("put"), who == generator, written);
            self.reads(cloud, lane, "a/report", may_read, may_read, &what).await;
        }
    }

    /// The publisher puts once and reads nothing; the consumers read.
    async fn inbox(&self, lane: &DesiredLane) {
        let bucket = lane.bucket.as_ref();
        let publisher = lane.writer.party.as_ref();
        let (_, cloud) = self.parties.iter().find(|(name, _)| name == publisher).unwrap();
        let key = format!("{}a/report", lane.prefix);
        let once = |key: &str| PutObject { if_none_match: true, ..put(bucket, key) };
        cloud.s3().put_object(once(&key)).await.unwrap();
        let again = cloud.s3().put_object(once(&key)).await.expect_err("it is there already");
        assert_eq!(again.http_status(), Some(412), "{}", chain(&again));
        self.left_in_folders(lane).await;
        let scanner = lane.scanner().map(|it| it.party.as_ref());
        for (who, cloud) in self.everybody() {
            let what = |what: &str| format!("{who}: {what} on {}", lane.title());
            let new = format!("{}by-{}", lane.prefix, who.replace(' ', "-"));
            judge(
                &what("put that overwrites"),
                false,
                cloud.s3().put_object(put(bucket, &key)).await,
            );
            judge(&what("put"), who == publisher, cloud.s3().put_object(once(&new)).await);
            let lists = lane.readers.iter().any(|reader| reader.party.as_ref() == who);
            // Nothing was scanned: with a quarantine the scanner alone reads.
            let gets = scanner.map_or(lists, |scanner| scanner == who);
            self.reads(cloud, lane, &key, gets, lists, &what).await;
            self.folders(cloud, lane, who, &what).await;
        }
        self.tags(lane).await;
    }

    /// Records are the publisher's to put and everybody's on the inbox to find; acknowledgements the
    /// consumers' to put, once, under no key, and the publisher's to get.
    async fn folders(
        &self,
        cloud: &Cloud,
        lane: &DesiredLane,
        who: &str,
        what: &impl Fn(&str) -> String,
    ) {
        let bucket = lane.bucket.as_ref();
        let publisher = lane.writer.party.as_ref() == who;
        let reader = lane.readers.iter().any(|it| it.party.as_ref() == who);
        let consumer = lane.consumers().any(|it| it.party.as_ref() == who);
        for (folder, writes) in
            [(lane.deliveries_prefix(), publisher), (lane.acknowledgements_prefix(), consumer)]
        {
            let of_consumers = folder == lane.acknowledgements_prefix();
            let encryption = of_consumers.then_some(Encryption::SseS3);
            let name = |what: &str| format!("{folder}{}-{what}.json", who.replace(' ', "-"));
            let new = PutObject { encryption, if_none_match: true, ..put(bucket, &name("first")) };
            judge(&what("put in a folder"), writes, cloud.s3().put_object(new).await);
            let again = put(bucket, &name("first"));
            judge(&what("overwrite in a folder"), false, cloud.s3().put_object(again).await);
            if of_consumers {
                let keyed = PutObject { if_none_match: true, ..put(bucket, &name("keyed")) };
                judge(&what("put under the key"), false, cloud.s3().put_object(keyed).await);
            }
            let prefix = folder.clone();
            let list = ListRequest { bucket: bucket.into(), prefix, ..ListRequest::default() };
            let listed = cloud.s3().list_objects(&list).await;
            judge(&what("list a folder"), publisher || reader, listed);
            let key = format!("{folder}there.json");
            let get = GetObject { bucket: bucket.to_owned(), key, ..GetObject::default() };
            let got = cloud.s3().get_object_bytes(&get, 100).await;
            judge(&what("get from a folder"), reader || (publisher && of_consumers), got);
        }
    }

    /// A record and an acknowledgement, by those who may.
    async fn left_in_folders(&self, lane: &DesiredLane) {
        let consumer = lane.consumers().next().unwrap();
        for (folder, who, encryption) in [
            (lane.deliveries_prefix(), &lane.writer, None),
            (lane.acknowledgements_prefix(), consumer, Some(Encryption::SseS3)),
        ] {
            let cloud = self.parties.iter().find(|(name, _)| *name == who.party.as_ref());
            let key = format!("{folder}there.json");
            let new =
                PutObject { encryption, if_none_match: true, ..put(lane.bucket.as_ref(), &key) };
            cloud.unwrap().1.s3().put_object(new).await.unwrap();
        }
    }

    /// The publisher gives the source's tag alone, with what it puts; nobody but a scanner says clean.
    async fn tags(&self, lane: &DesiredLane) {
        let bucket = lane.bucket.as_ref();
        let publisher = lane.writer.party.as_ref();
        for (who, cloud) in self.everybody() {
            for (at, (tags, publishes)) in [
                (&[("consign-source", "d0")][..], true),
                (&[("other", "d0")], false),
                (&[(SCAN_TAG, SCAN_CLEAN)], false),
                (&[("consign-source", "d0"), (SCAN_TAG, SCAN_CLEAN)], false),
                (&[("consign-source", "d0"), ("guarddutymalwarescanstatus", SCAN_CLEAN)], false),
            ]
            .into_iter()
            .enumerate()
            {
                let key = format!("{}tagged-{at}-by-{}", lane.prefix, who.replace(' ', "-"));
                let tags = tags.iter().map(|(name, value)| ((*name).into(), (*value).into()));
                let new =
                    PutObject { tags: tags.collect(), if_none_match: true, ..put(bucket, &key) };
                let what = format!("{who}: put with tags {at} on {}", lane.title());
                judge(&what, publishes && who == publisher, cloud.s3().put_object(new).await);
            }
        }
    }

    async fn reads(
        &self,
        cloud: &Cloud,
        lane: &DesiredLane,
        key: &str,
        gets: bool,
        lists: bool,
        what: &impl Fn(&str) -> String,
    ) {
        let bucket = lane.bucket.to_string();
        let get = GetObject { bucket: bucket.clone(), key: key.to_owned(), ..GetObject::default() };
        judge(&what("get"), gets, cloud.s3().get_object_bytes(&get, 100).await);
        let prefix = lane.prefix.clone();
        let list = ListRequest { bucket: bucket.clone(), prefix, ..ListRequest::default() };
        judge(&what("list"), lists, cloud.s3().list_objects(&list).await);
        // Of a repository the publisher; of an inbox nobody, not even who administers it.
        let versions = lists && lane.stage.repository().is_some();
        let listed = cloud.s3().list_versions(&bucket, &lane.prefix, None, None).await;
        judge(&what("list versions"), versions, listed);
        if !what("").starts_with(&format!("admin of {}", lane.owner)) {
            judge(&what("delete"), false, cloud.s3().delete_object(&bucket, key, None).await);
        }
    }

    /// S3 has announced what arrived, to the publisher alone, and nobody else says anything.
    async fn queue(&self, lane: &DesiredLane) {
        let queue = &lane.stage.repository().unwrap().queue;
        let publisher = queue.publisher.party.as_ref();
        let of_owner = self.admins.iter().find(|(name, _)| name.ends_with(queue.account.as_ref()));
        let admin = &of_owner.unwrap().1;
        let url = admin.sqs().queue_url(&queue.name).await.unwrap();
        let dead_letters = admin.sqs().queue_url(&queue.dead_letters).await.unwrap();
        for (who, cloud) in self.everybody().filter(|(who, _)| who != publisher) {
            let what = |what: &str| format!("{who}: {what} on the queue of {}", lane.title());
            judge(&what("send"), false, cloud.sqs().send(&url, "{}").await);
            judge(&what("receive"), false, cloud.sqs().receive(&url, 1, 0, 0).await);
            judge(&what("set aside"), false, cloud.sqs().send(&dead_letters, "{}").await);
            judge(&what("take aside"), false, cloud.sqs().receive(&dead_letters, 1, 0, 0).await);
        }
        let (_, cloud) = self.parties.iter().find(|(name, _)| name == publisher).unwrap();
        judge("the publisher sends", false, cloud.sqs().send(&url, "{}").await);
        let mut arrived = String::new();
        for _ in 0..20 {
            let messages = cloud.sqs().receive(&url, 10, 1, 60).await.unwrap();
            for message in messages {
                arrived += &message.body;
                cloud.sqs().delete(&url, &message.receipt).await.unwrap();
            }
            if arrived.contains("a/report") && arrived.contains("b/report") {
                break;
            }
        }
        assert!(arrived.contains("a/report") && arrived.contains("b/report"), "{arrived}");
        assert!(arrived.contains(lane.bucket.as_ref()), "{arrived}");
        cloud.sqs().send(&dead_letters, "{\"reason\":\"a test\"}").await.unwrap();
    }
}

/// The words of the exchange file, not those of lanes.
#[test]
fn a_failed_claim_names_the_line_of_the_repository() {
    let desired = desired(&everything());
    let mut documents = Documents::planned(&desired, &desired.planned_keys());
    let queues = documents.queues.get_mut(&lane("reports")).unwrap();
    let policy = queues.queue.take().unwrap();
    queues.queue = Some(policy.replace("sqs:ReceiveMessage", "sqs:ListQueueTags"));
    let proof = prove(&desired, &documents).unwrap();
    let failed = proof.failed_claims().next().unwrap();
    assert_eq!(failed.declared_by, "publisher");
    assert!(failed.rule.contains("[repository.reports] publisher = \"acme\""), "{}", failed.rule);
    assert!(desired.parties.contains_key(&party("acme")));
}
