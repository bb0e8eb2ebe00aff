//! A secure inbox with both halves applied, its generator, and publishers in processes of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use consign_cloud::s3::{GetObject, ListRequest, PutObject};
use consign_cloud::sqs::QueueUrl;
use consign_cloud::{Cloud, Credentials, Settings};
use consign_model::{DeliveryId, DeliveryRecord, SOURCE_TAG};
pub(crate) use rustix::process::Signal;

use crate::support::{Deployment, halves};

pub(crate) const REPOSITORY: &str = "acme-globex-reports-111111111111-eu-west-1-an";
pub(crate) const INBOX: &str = "acme-globex-reports-in-222222222222-eu-west-1-an";
pub(crate) const QUEUE: &str = "consign-acme-globex-reports";

/// Longer than anything takes, however busy the machine is.
const STUCK: Duration = Duration::from_secs(120);

pub(crate) struct Post {
    pub(crate) deployment: Deployment,
    runtime: tokio::runtime::Runtime,
    pub(crate) reports_in_key: String,
    logs: std::cell::Cell<u32>,
}

impl Post {
    /// The template, as `edit` changes it, applied by both sides.
    pub(crate) fn new(edit: impl FnOnce(String) -> String) -> Post {
        let deployment = Deployment::serving(&edit(halves::template()));
        deployment.run(&["keys", "new", "acme"]);
        let reports_in_key = halves::apply(&deployment)["reports-in"].clone();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Post { deployment, runtime, reports_in_key, logs: std::cell::Cell::new(0) }
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A connection under a profile of the local cloud.
    pub(crate) fn cloud(&self, profile: &str) -> Cloud {
        let variable = |name: &str| self.deployment.variable(name);
        let text = std::fs::read_to_string(variable("AWS_SHARED_CREDENTIALS_FILE")).unwrap();
        let section = text.split('[').find(|it| it.starts_with(&format!("{profile}]"))).unwrap();
        let value = |name: &str| {
            let line = section.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once('=').unwrap().1.trim().to_owned()
        };
        let credentials =
            Credentials::new(value("aws_access_key_id"), value("aws_secret_access_key"), None);
        let settings = Settings {
            endpoint: Some(variable("AWS_ENDPOINT_URL")),
            ca_bundle: Some(PathBuf::from(variable("AWS_CA_BUNDLE"))),
            region: Some("eu-west-1".to_owned()),
            explicit_credentials: Some(credentials),
            ..Settings::default()
        };
        self.block_on(Cloud::connect(&settings)).unwrap()
    }

    /// The generator puts an object; gives its version, empty in a bucket that keeps none.
    pub(crate) fn put(&self, key: &str, content: &[u8]) -> String {
        let cloud = self.cloud("acme-lab");
        self.put_with(&cloud, key, content, &[])
    }

    pub(crate) fn put_with(
        &self,
        cloud: &Cloud,
        key: &str,
        content: &[u8],
        tags: &[(&str, &str)],
    ) -> String {
        let put = PutObject {
            bucket: REPOSITORY.to_owned(),
            key: key.to_owned(),
            body: content.to_vec().into(),
            content_type: Some("text/x-report".to_owned()),
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..PutObject::default()
        };
        self.block_on(cloud.s3().put_object(put)).unwrap().version_id.unwrap_or_default()
    }

    /// Many objects, whose content is their key.
    pub(crate) fn put_many(&self, keys: impl Iterator<Item = String>) -> Vec<String> {
        let cloud = self.cloud("acme-lab");
        keys.inspect(|key| drop(self.put_with(&cloud, key, key.as_bytes(), &[]))).collect()
    }

    /// A publisher; its log goes to a file.
    pub(crate) fn publisher(&self, arguments: &[&str]) -> Running {
        self.publisher_with(&[], arguments)
    }

    /// With some variables of its own.
    pub(crate) fn publisher_with(&self, of: &[(&str, &str)], arguments: &[&str]) -> Running {
        let number = self.logs.replace(self.logs.get() + 1);
        let log = self.deployment.path(&format!("publisher-{number}.log"));
        let fixed = ["publish", "--as", "acme", "--profile", "acme", "--log-names"];
        let arguments: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
        let mut command = self.deployment.consign(&arguments);
        command.envs(of.iter().copied());
        Running::start(command, log)
    }

    /// `consign publish` with these arguments, to its end; its standard output.
    pub(crate) fn publish(&self, arguments: &[&str]) -> String {
        let fixed = ["publish", "--as", "acme", "--profile", "acme"];
        let arguments: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
        self.deployment.run(&arguments)
    }

    /// Keys of the inbox without its records, as the consumer lists them.
    pub(crate) fn keys(&self, cloud: &Cloud, prefix: &str) -> Vec<String> {
        let mut list = ListRequest {
            bucket: INBOX.to_owned(),
            prefix: prefix.to_owned(),
            ..ListRequest::default()
        };
        let mut keys = Vec::new();
        loop {
            let page = self.block_on(cloud.s3().list_objects(&list)).unwrap();
            keys.extend(page.entries.into_iter().map(|entry| entry.key));
            match page.next {
                Some(next) => list.token = Some(next),
                None => return keys,
            }
        }
    }

    pub(crate) fn record_ids(&self, cloud: &Cloud) -> Vec<DeliveryId> {
        let keys = self.keys(cloud, "deliveries/");
        keys.iter().filter_map(|key| DeliveryId::of_record_key("", key)).collect()
    }

    /// Waits until there are so many records.
    pub(crate) fn expect_records(&self, count: usize) {
        let cloud = self.cloud("globex");
        until(&format!("{count} records"), || self.record_ids(&cloud).len() >= count);
    }

    /// What was delivered, by its key: each with a record that is signed and true.
    pub(crate) fn delivered(&self) -> BTreeMap<String, Vec<u8>> {
        let cloud = self.cloud("globex");
        let ours = self.cloud("acme");
        let signers = self.signers();
        let mut delivered = BTreeMap::new();
        for id in self.record_ids(&cloud) {
            let bytes = self.read(&cloud, &id.record_key(""));
            let signature = self.read(&cloud, &id.signature_key("", &bytes));
            self.verify(&signers, &bytes, &signature);
            let record = DeliveryRecord::parse(&bytes).unwrap();
            assert_eq!(record.id(), id);
            assert_eq!((record.target.bucket.as_str(), record.publisher.as_ref()), (INBOX, "acme"));
            let object = at(&record.target.key);
            let head = self.block_on(cloud.s3().head_with_checksum(&object)).unwrap();
            assert_eq!(head.version_id, record.target.version, "{record:?}");
            assert!(record.crc64nvme.is_some(), "{record:?}");
            assert_eq!(head.checksum_crc64nvme, record.crc64nvme);
            assert_eq!(Some(head.bytes), record.source.bytes);
            assert_eq!(head.content_type.as_deref(), Some("text/x-report"));
            assert!(head.kms_key.unwrap().starts_with("arn:aws:kms:eu-west-1:222222222222:key/"));
            let (tags, _) = self.block_on(ours.s3().get_object_tags(&object)).unwrap();
            assert_eq!(tags[SOURCE_TAG], record.source_digest().to_string());
            let content = self.read(&cloud, &record.target.key);
            let again = delivered.insert(record.target.key, content);
            assert!(again.is_none(), "two records of one place");
        }
        delivered
    }

    /// Each of these keys was delivered once: one version, one record, the content that was put.
    pub(crate) fn expect_each_once(&self, keys: &[String]) {
        let delivered = self.delivered();
        for key in keys {
            assert_eq!(delivered[key], key.as_bytes(), "{key}");
        }
        assert_eq!(delivered.len(), keys.len());
        let administrator = self.cloud("admin-222222222222");
        let policy = self.block_on(administrator.s3().get_bucket_policy(INBOX)).unwrap().unwrap();
        // Nobody may list versions on a lane; this is somebody who may change that.
        self.block_on(administrator.s3().delete_bucket_policy(INBOX)).unwrap();
        let mut versions = Vec::new();
        let mut from = None;
        loop {
            let page = administrator.s3().list_versions(INBOX, "", from.as_ref(), None);
            let page = self.block_on(page).unwrap();
            versions.extend(page.entries.into_iter().map(|entry| entry.key));
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        let uploads = administrator.s3().list_multipart_uploads(INBOX, "", None);
        let uploads = self.block_on(uploads).unwrap().entries;
        self.block_on(administrator.s3().put_bucket_policy(INBOX, &policy)).unwrap();
        assert!(uploads.is_empty(), "{uploads:?}");
        let mut once: Vec<&String> =
            versions.iter().filter(|key| !key.starts_with("deliveries/")).collect();
        once.sort();
        let mut wanted: Vec<&String> = keys.iter().collect();
        wanted.sort();
        assert_eq!(once, wanted);
    }

    /// Sends what S3 would never send, as nobody can while the queue has its policy.
    pub(crate) fn forge(&self, name: &str, bodies: &[String]) {
        let cloud = self.cloud("admin-111111111111");
        let queue = self.queue(name);
        let attributes = self.block_on(cloud.sqs().attributes(&queue)).unwrap();
        let policy = attributes.get("Policy").cloned().unwrap_or_default();
        let set = |text: String| {
            let attributes = BTreeMap::from([("Policy".to_owned(), text)]);
            self.block_on(cloud.sqs().set_attributes(&queue, &attributes)).unwrap();
        };
        set(String::new());
        for body in bodies {
            self.block_on(cloud.sqs().send(&queue, body)).unwrap();
        }
        set(policy);
    }

    pub(crate) fn queue(&self, name: &str) -> QueueUrl {
        let cloud = self.cloud("admin-111111111111");
        self.block_on(cloud.sqs().queue_url(name)).unwrap()
    }

    /// How many messages are in a queue, taken by somebody or not.
    pub(crate) fn waiting(&self, name: &str) -> u64 {
        let cloud = self.cloud("admin-111111111111");
        let attributes = self.block_on(cloud.sqs().attributes(&self.queue(name))).unwrap();
        let number = |name: &str| attributes[name].parse::<u64>().unwrap();
        number("ApproximateNumberOfMessages") + number("ApproximateNumberOfMessagesNotVisible")
    }

    pub(crate) fn read(&self, cloud: &Cloud, key: &str) -> Vec<u8> {
        let object = at(key);
        let read = cloud.s3().get_object_bytes(&object, 64 << 20);
        self.block_on(read).unwrap_or_else(|error| panic!("{key}: {error}")).0.to_vec()
    }

    /// The publisher's public key, as the exchange file has it.
    fn signers(&self) -> Vec<consign_seal::sshsig::VerifyingKey> {
        let listed = self.deployment.run(&["keys", "list", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let line = listed[0]["signer"].as_str().unwrap();
        vec![consign_seal::sshsig::VerifyingKey::parse(line).unwrap()]
    }

    fn verify(
        &self,
        signers: &[consign_seal::sshsig::VerifyingKey],
        bytes: &[u8],
        signature: &[u8],
    ) {
        let signature = std::str::from_utf8(signature).unwrap();
        consign_seal::sshsig::verify(signers, "consign-delivery@1", bytes, signature).unwrap();
    }
}

fn at(key: &str) -> GetObject {
    GetObject { bucket: INBOX.to_owned(), key: key.to_owned(), ..GetObject::default() }
}

/// A publisher in a process of its own. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Its log goes to this file.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Running {
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Running { child: command.spawn().unwrap(), log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The first line of the log that tells of this.
    pub(crate) fn line(&self, event: &str) -> serde_json::Value {
        let mark = format!("\"event\":\"{event}\"");
        until(&format!("{event} in the log"), || self.log().lines().any(|it| it.contains(&mark)));
        let log = self.log();
        serde_json::from_str(log.lines().find(|line| line.contains(&mark)).unwrap()).unwrap()
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// The most memory that it has held so far.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        mark.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    pub(crate) fn signal(&self, what: Signal) {
        signal(self.child.id(), what);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of a publisher", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Returns when it looks for messages. Before that it may not even have a handler for signals.
    pub(crate) fn expect_started(&self) {
        until("a publisher that has started", || self.log().contains("\"event\":\"started\""));
    }

    /// Asks it to stop once it has started, and expects that it does so well.
    pub(crate) fn stop(self) -> String {
        self.expect_started();
        self.stop_now()
    }

    /// Asks it to stop wherever it is, and expects that it does so well.
    pub(crate) fn stop_now(mut self) -> String {
        self.terminate();
        let status = self.wait();
        let log = self.log();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("\"event\":\"stopped\""), "{log}");
        log
    }

    /// As a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
    }
}

pub(crate) fn signal(process: u32, signal: Signal) {
    let process = rustix::process::Pid::from_raw(process.try_into().unwrap()).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

/// Asks again and again until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < STUCK, "no {what} after {STUCK:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An event of S3.
pub(crate) fn record(bucket: &str, key: &str, version: &str, name: &str) -> serde_json::Value {
    serde_json::json!({
        "eventSource": "aws:s3", "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "versionId": version}},
    })
}
