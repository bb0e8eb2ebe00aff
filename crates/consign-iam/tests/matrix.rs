//! Whole sets of documents against the access matrix that each of them promises. Every caller has
//! an identity policy that allows everything, so that only the documents stand between a caller and
//! an operation.

use std::path::PathBuf;

use consign_iam::s3_actions::{Facts, On, required};
use consign_iam::{Context, Policies, Policy, PolicyKind, Principal, Request, evaluate};

const BUCKET_OUT: &str = "xfer-acme-out-111111111111-eu-west-1-an";
const BUCKET_IN: &str = "xfer-acme-in-111111111111-eu-west-1-an";
const KEY_OUT: &str = "arn:aws:kms:eu-west-1:111111111111:key/0a0a0a0a-0000-4000-8000-000000000001";
const KEY_IN: &str = "arn:aws:kms:eu-west-1:111111111111:key/0b0b0b0b-0000-4000-8000-000000000002";

/// The callers, in the order of the matrix's columns.
const CALLERS: [&str; 6] = [
    "arn:aws:iam::111111111111:role/xfer/acme-ours",
    "arn:aws:iam::222222222222:role/acme-transfer",
    "arn:aws:iam::111111111111:role/xfer/malware-scan",
    "arn:aws:iam::111111111111:user/Admin",
    "arn:aws:iam::222222222222:user/Admin",
    "arn:aws:iam::999999999999:user/Admin",
];

/// `+` and `-` for ours, partner, scanner, host admin, partner admin, stranger admin. Deleting and
/// changing policies is left to the host account's own identity policies, which here allow all.
const OUT: &[(&str, &str)] = &[
    ("put", "+-----"),
    ("put with the right key", "+-----"),
    ("multipart", "+-----"),
    ("get", "-+----"),
    ("list", "-+----"),
    ("delete", "+-++--"),
    ("put bucket policy", "+-++--"),
    ("put key policy", "+-++--"),
    ("tag", "------"),
];

const IN: &[(&str, &str)] = &[
    ("put", "-+----"),
    ("put with the right key", "-+----"),
    ("multipart", "-+----"),
    ("get", "--+---"),
    ("get clean", "+-+---"),
    ("list", "+-+---"),
    ("tag", "--+---"),
    ("put bucket policy", "+-++--"),
    ("put key policy", "+-++--"),
];

const IN_STRICT: &[(&str, &str)] =
    &[("put", "-+----"), ("multipart", "------"), ("get clean", "+-+---"), ("list", "+-+---")];

/// What nobody may do on either lane.
const NEVER: &[&str] = &[
    "put over HTTP",
    "put without If-None-Match",
    "put with AES256",
    "put with aws:kms and no key",
    "put with another key",
    "put with a customer's key",
    "put by a presigned URL of an hour",
    "rekey",
    "create grant",
    "decrypt directly",
];

#[test]
fn the_outgoing_lane_is_written_by_us_and_read_by_the_partner() {
    let Some(lane) = Lane::load("bucket-out.json", "key-out.json", BUCKET_OUT, KEY_OUT) else {
        return;
    };
    lane.check(OUT);
}

#[test]
fn the_incoming_lane_is_written_by_the_partner_and_read_by_us_once_scanned() {
    let Some(lane) = Lane::load("bucket-in.json", "key-in.json", BUCKET_IN, KEY_IN) else { return };
    lane.check(IN);
}

#[test]
fn an_encrypt_only_writer_cannot_write_in_parts() {
    let key = "key-in-strict-encrypt-only.json";
    let Some(lane) = Lane::load("bucket-in.json", key, BUCKET_IN, KEY_IN) else { return };
    lane.check(IN_STRICT);
}

#[test]
fn the_identity_policies_beside_them_are_enough_and_the_lanes_still_hold() {
    let Some(mut lane) = Lane::load("bucket-out.json", "key-out.json", BUCKET_OUT, KEY_OUT) else {
        return;
    };
    lane.identities =
        vec![document("identity-ours.json").unwrap(), document("identity-partner.json").unwrap()];
    lane.check(&[
        ("put", "+-"),
        ("multipart", "+-"),
        ("get", "-+"),
        ("list", "-+"),
        ("delete", "--"),
    ]);
    let Some(mut lane) = Lane::load("bucket-in.json", "key-in.json", BUCKET_IN, KEY_IN) else {
        return;
    };
    lane.identities =
        vec![document("identity-ours.json").unwrap(), document("identity-partner.json").unwrap()];
    lane.check(&[
        ("put", "-+"),
        ("multipart", "-+"),
        ("get", "--"),
        ("get clean", "+-"),
        ("list", "+-"),
    ]);
}

#[test]
fn the_default_key_policy_and_no_bucket_policy_open_everything_to_the_account() {
    let Some(mut lane) = Lane::load("bucket-out.json", "key-out.json", BUCKET_OUT, KEY_OUT) else {
        return;
    };
    lane.bucket_policies.clear();
    lane.key_policies = vec![default_key_policy()];
    lane.check_only(&[("put", "+-++--"), ("get", "+-++--"), ("decrypt directly", "+-++--")]);
}

#[test]
fn the_inbox_passes_from_generator_to_publisher_to_consumer() {
    const REPOSITORY: &str = "acme-reports-333333333333-eu-west-1-an";
    const INBOX: &str = "secure-inbox-444444444444-eu-west-1-an";
    const KEY: &str = "arn:aws:kms:eu-west-1:444444444444:key/0c0c0c0c-0000-4000-8000-000000000003";
    let callers = vec![
        "arn:aws:iam::333333333333:role/generator",
        "arn:aws:iam::333333333333:role/publisher",
        "arn:aws:iam::444444444444:role/inbox-consumer",
        "arn:aws:iam::333333333333:user/Admin",
        "arn:aws:iam::444444444444:user/Admin",
    ];
    let Some(mut repository) =
        Lane::load("inbox-repository-bucket.json", "inbox-key.json", REPOSITORY, KEY)
    else {
        return;
    };
    repository.bucket_account = "333333333333";
    repository.callers.clone_from(&callers);
    repository.check_only(&[
        ("put", "+----"),
        ("multipart", "-----"),
        ("get", "-+---"),
        ("list", "-+---"),
    ]);
    let Some(mut inbox) = Lane::load("inbox-bucket.json", "inbox-key.json", INBOX, KEY) else {
        return;
    };
    inbox.bucket_account = "444444444444";
    inbox.callers = callers;
    inbox.check_only(&[
        ("put", "-+---"),
        ("multipart", "-+---"),
        ("get", "--+--"),
        ("list", "--+--"),
    ]);
    // The documents that belong to generator and publisher suffice for their parts.
    let own = |name| document(name).unwrap();
    repository.identities =
        vec![own("inbox-generator-identity.json"), own("inbox-publisher-identity.json")];
    repository.check_only(&[("put", "+-"), ("get", "-+")]);
    inbox.identities.clone_from(&repository.identities);
    inbox.check_only(&[("put", "-+"), ("get", "--")]);
}

/// The published recipe for two users, in its three readings: it authorises nothing as its prose
/// means it, works backwards and not in parts as its headings order it, and opens one direction
/// taken literally.
#[test]
fn the_published_two_bucket_recipe_does_what_its_findings_say() {
    let (Some(first), Some(second)) =
        (document("article/key-first.json"), document("article/key-second.json"))
    else {
        return;
    };
    let client = text("article/user-client.json").unwrap();
    let swap =
        |a: &str, b: &str, text: &str| text.replace(a, "\u{1}").replace(b, a).replace('\u{1}', b);
    let you = swap(
        "0a0a0a0a-0000-4000-8000-000000000001",
        "0b0b0b0b-0000-4000-8000-000000000002",
        &client,
    );
    let you = swap("to-client", "from-client", &you);
    let identities = vec![Policy::parse(&you).unwrap(), Policy::parse(&client).unwrap()];
    let lane = |bucket, key, key_policies| Lane {
        bucket,
        bucket_account: "111111111111",
        key,
        bucket_policies: Vec::new(),
        key_policies,
        callers: vec![
            "arn:aws:iam::111111111111:user/you",
            "arn:aws:iam::111111111111:user/client",
        ],
        identities: identities.clone(),
    };
    let readings = [
        (
            "as the prose means it",
            vec![first.clone()],
            vec![second.clone()],
            ["--", "--", "--", "--", "--", "--"],
        ),
        (
            "in the order of the headings",
            vec![second.clone()],
            vec![first],
            ["-+", "--", "+-", "+-", "--", "-+"],
        ),
        (
            "literally",
            vec![default_key_policy()],
            vec![second],
            ["--", "--", "+-", "--", "--", "--"],
        ),
    ];
    for (reading, to_key, from_key, [put_to, parts_to, get_to, put_from, parts_from, get_from]) in
        readings
    {
        eprintln!("{reading}");
        lane("to-client", KEY_OUT, to_key).check_only(&[
            ("put", put_to),
            ("multipart", parts_to),
            ("get", get_to),
        ]);
        lane("from-client", KEY_IN, from_key).check_only(&[
            ("put", put_from),
            ("multipart", parts_from),
            ("get", get_from),
        ]);
    }
}

/// A bucket under a key, and who tries.
struct Lane {
    bucket: &'static str,
    bucket_account: &'static str,
    key: &'static str,
    bucket_policies: Vec<Policy>,
    key_policies: Vec<Policy>,
    callers: Vec<&'static str>,
    identities: Vec<Policy>,
}

impl Lane {
    fn load(
        bucket_policy: &str,
        key_policy: &str,
        bucket: &'static str,
        key: &'static str,
    ) -> Option<Lane> {
        let everything = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
        Some(Lane {
            bucket,
            bucket_account: "111111111111",
            key,
            bucket_policies: vec![
                Policy::parse_as(PolicyKind::Resource, &text(bucket_policy)?).unwrap(),
            ],
            key_policies: vec![Policy::parse_as(PolicyKind::Key, &text(key_policy)?).unwrap()],
            callers: CALLERS.to_vec(),
            identities: vec![Policy::parse(everything).unwrap(); CALLERS.len()],
        })
    }

    fn check(&self, rows: &[(&str, &str)]) {
        self.check_only(rows);
        let nobody = "-".repeat(self.identities.len());
        let never: Vec<(&str, &str)> =
            NEVER.iter().map(|operation| (*operation, nobody.as_str())).collect();
        self.check_only(&never);
    }

    fn check_only(&self, rows: &[(&str, &str)]) {
        for (operation, expected) in rows {
            let who = self.callers.iter().zip(&self.identities);
            let actual: String =
                who.map(|(caller, identity)| self.attempt(operation, caller, identity)).collect();
            assert_eq!(actual, *expected, "{operation} on {}", self.bucket);
        }
    }

    /// `+` when every permission behind the operation is granted.
    fn attempt(&self, operation: &str, caller: &str, identity: &Policy) -> char {
        let requests = self.requests(operation, caller);
        let allowed = requests.iter().all(|request| {
            let resource =
                if request.service() == "kms" { &self.key_policies } else { &self.bucket_policies };
            let policies = Policies {
                identity: std::slice::from_ref(identity),
                resource,
                ..Policies::default()
            };
            evaluate(request, &policies).is_allowed()
        });
        if allowed { '+' } else { '-' }
    }

    fn requests(&self, operation: &str, caller: &str) -> Vec<Request> {
        let put = |changes: &[(&str, &str)]| {
            self.call("PutObject", caller, &[WRITE_ONCE, changes].concat())
        };
        let direct = |action| vec![self.request(caller, action, self.key, Context::new())];
        let sse = "s3:x-amz-server-side-encryption";
        let sse_key = "s3:x-amz-server-side-encryption-aws-kms-key-id";
        match operation {
            "put" => put(&[]),
            "put with the right key" => put(&[(sse, "aws:kms"), (sse_key, self.key)]),
            "put over HTTP" => put(&[("aws:SecureTransport", "false")]),
            "put without If-None-Match" => self.call("PutObject", caller, &[CREATES]),
            "put with AES256" => put(&[(sse, "AES256")]),
            "put with aws:kms and no key" => put(&[(sse, "aws:kms")]),
            "put with another key" => {
                put(&[(sse, "aws:kms"), (sse_key, "arn:aws:kms:eu-west-1:999999999999:key/0")])
            }
            "put with a customer's key" => {
                put(&[("s3:x-amz-server-side-encryption-customer-algorithm", "AES256")])
            }
            "put by a presigned URL of an hour" => {
                put(&[("s3:authType", "REST-QUERY-STRING"), ("s3:signatureAge", "3600000")])
            }
            "multipart" => {
                let parts = [("s3:ObjectCreationOperation", "false")];
                let calls = ["CreateMultipartUpload", "UploadPart"];
                let mut requests: Vec<_> =
                    calls.iter().flat_map(|api| self.call(api, caller, &parts)).collect();
                requests.extend(self.call("CompleteMultipartUpload", caller, WRITE_ONCE));
                requests
            }
            "get" => self.call("GetObject", caller, &[]),
            "get clean" => {
                let tag = "s3:ExistingObjectTag/GuardDutyMalwareScanStatus";
                self.call("GetObject", caller, &[(tag, "NO_THREATS_FOUND")])
            }
            "list" => self.call("ListObjectsV2", caller, &[("s3:prefix", "")]),
            "delete" => self.call("DeleteObject", caller, &[]),
            "tag" => self.call("PutObjectTagging", caller, &[]),
            "rekey" => self.call("UpdateObjectEncryption", caller, &[]),
            "put bucket policy" => self.call("PutBucketPolicy", caller, &[]),
            "put key policy" => direct("kms:PutKeyPolicy"),
            "create grant" => direct("kms:CreateGrant"),
            "decrypt directly" => direct("kms:Decrypt"),
            other => panic!("unknown operation {other}"),
        }
    }

    /// The requests behind one S3 call: S3's own, and those to KMS that S3 makes for the caller.
    fn call(&self, api: &str, caller: &str, changes: &[(&str, &str)]) -> Vec<Request> {
        let bucket_arn = format!("arn:aws:s3:::{}", self.bucket);
        let object_arn = format!("{bucket_arn}/2026/letter.age");
        let needs = required(api, Facts::default()).unwrap();
        let requests = needs.map(|need| {
            let mut context = Context::new().with("aws:SecureTransport", "true");
            if matches!(need.on, On::Key) {
                context.insert("kms:ViaService", "s3.eu-west-1.amazonaws.com");
                context.insert("kms:EncryptionContext:aws:s3:arn", bucket_arn.as_str());
                return self.request(caller, need.action, self.key, context);
            }
            context.insert("s3:TlsVersion", "1.3");
            context.insert("s3:authType", "REST-HEADER");
            for (key, value) in changes {
                context.insert(key, *value);
            }
            let resource = if need.on == On::Bucket { &bucket_arn } else { &object_arn };
            self.request(caller, need.action, resource, context)
        });
        requests.collect()
    }

    fn request(&self, caller: &str, action: &str, resource: &str, context: Context) -> Request {
        let owner = if resource == self.key {
            self.key.split(':').nth(4).unwrap()
        } else {
            self.bucket_account
        };
        let principal = match caller.contains(":role/") {
            true => Principal::role_session(caller, "session").unwrap(),
            false => Principal::from_arn(caller).unwrap(),
        };
        Request::new(principal, action, resource, owner, context).unwrap()
    }
}

const CREATES: (&str, &str) = ("s3:ObjectCreationOperation", "true");
const WRITE_ONCE: &[(&str, &str)] = &[CREATES, ("s3:if-none-match", "*")];

fn default_key_policy() -> Policy {
    let text = r#"{"Version": "2012-10-17", "Statement": {"Sid": "Enable IAM User Permissions", "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "kms:*", "Resource": "*"}}"#;
    Policy::parse_as(PolicyKind::Key, text).unwrap()
}

fn document(name: &str) -> Option<Policy> {
    Some(Policy::parse(&text(name)?).unwrap())
}

fn text(name: &str) -> Option<String> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/research/policies");
    let text = std::fs::read_to_string(folder.join(name));
    if text.is_err() {
        eprintln!("SKIPPED matrix: {name} is not there");
    }
    text.ok()
}
