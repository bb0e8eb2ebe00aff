//! Amazon's S3 Encryption Client for Python opens what we put, and the reverse: against moto and
//! against the local cloud, which enforces KMS policies and encryption contexts.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use consign::SendOptions;
use consign::s3ec::{Keyring, Rewrap, SealAs, context_of, get, put, rewrap};
use consign_cloud::kms::CreateKey;
use consign_cloud::s3::bucket::CreateBucket;
use consign_cloud::s3::{GetObject, PutObject};
use consign_cloud::{Cloud, Credentials, Settings};
use consign_seal::s3ec::{
    AesKey, CommitmentPolicy, DataKey, ExpectedContext, OpenPolicy, Pairs, RsaPrivateKey, Sealer,
    Suite, WrappedKey,
};
use consign_testkit::moto::Moto;
use consign_testkit::{World, judges, payload};
use serde_json::json;

const SIZES: [usize; 9] = [0, 1, 15, 16, 17, 1 << 20, (1 << 20) + 1, (8 << 20) - 16, (9 << 20) + 5];

/// Once, not for every kind.
const LARGE: usize = 100 << 20;

const BUCKET: &str = "for-amazons-client";

const ACCOUNT: &str = "111111111111";

const RSA_PUBLIC: &str = include_str!("../../consign-seal/testdata/s3ec/rsa-2048.pub.base64");

const RSA: &str = include_str!("../../consign-seal/testdata/s3ec/rsa-2048.pem");

/// What one object is.
#[derive(Clone)]
struct Case {
    key: String,
    file: PathBuf,
    format: &'static str,
    wrap: &'static str,
    context: Pairs,
    suffix: Option<&'static str>,
}

/// One cloud, seen by us and by the judge.
struct Bench {
    cloud: Cloud,
    kms_key: String,
    aes: AesKey,
    python: PathBuf,
    env: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new(cloud: Cloud, python: PathBuf, env: Vec<(String, String)>) -> Bench {
        let bucket = CreateBucket { bucket: BUCKET.to_owned(), ..CreateBucket::default() };
        cloud.s3().create_bucket(&bucket).await.unwrap();
        let key = CreateKey { policy: everybody().to_string(), ..CreateKey::default() };
        let kms_key = cloud.kms().create_key(&key).await.unwrap().arn;
        let aes = AesKey::generate().unwrap();
        Bench { cloud, kms_key, aes, python, env, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, bytes: usize) -> PathBuf {
        let file = self.folder.path().join(format!("{bytes}"));
        if !file.exists() {
            std::fs::write(&file, payload::ramp(bytes)).unwrap();
        }
        file
    }

    fn case(&self, format: &'static str, wrap: &'static str, bytes: usize) -> Case {
        let key = format!("{format}-{wrap}-{bytes}");
        let context = match wrap {
            "kms" => context_of("acme-globex", "to-client", "01J9", &key),
            _ => Pairs::new(),
        };
        Case { file: self.file(bytes), key, format, wrap, context, suffix: None }
    }

    fn judge(&self, what: &str, cases: &[Case]) {
        let list: Vec<_> = cases
            .iter()
            .map(|case| {
                let Case { key, file, format, wrap, context, suffix } = case;
                json!({
                    "key": key, "file": file, "format": format, "wrap": wrap, "context": context,
                    "suffix": suffix,
                })
            })
            .collect();
        let hex: String =
            self.aes.to_secret_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let given = json!({
            "bucket": BUCKET, "kms_key": self.kms_key, "aes_key": hex, "rsa_pem": RSA, "cases": list,
        });
        let path = self.folder.path().join("cases.json");
        std::fs::write(&path, given.to_string()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/s3ec_amazon.py");
        let mut command = judges::command(&self.python);
        command.arg(script).arg(what).arg(path).envs(self.env.iter().cloned());
        let output = command.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {words}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), cases.len().to_string());
    }

    fn keyring(&self, wrap: &str) -> Keyring {
        match wrap {
            "kms" => Keyring::Kms(self.kms_key.clone()),
            "aes" => Keyring::Aes(AesKey::from_bytes(&self.aes.to_secret_bytes())),
            _ => Keyring::RsaPrivate(RsaPrivateKey::from_pem(RSA).unwrap()),
        }
    }

    async fn put(&self, case: &Case, instruction_file: bool) {
        let (suite, commitment) = match case.format {
            "v2" => (Suite::Gcm, CommitmentPolicy::ForbidEncryptAllowDecrypt),
            _ => (Suite::GcmCommitted, CommitmentPolicy::default()),
        };
        let seal = SealAs { suite, commitment, context: case.context.clone(), instruction_file };
        let to =
            PutObject { bucket: BUCKET.to_owned(), key: case.key.clone(), ..PutObject::default() };
        let plain = std::fs::File::open(&case.file).unwrap();
        let bytes = plain.metadata().unwrap().len();
        let keyring = self.keyring(case.wrap);
        put(&self.cloud, to, plain, bytes, &keyring, &seal).await.unwrap();
    }

    async fn get(&self, case: &Case, context: &Pairs) -> consign::Result<Vec<u8>> {
        let policy = OpenPolicy {
            commitment: match case.format {
                "v2" => CommitmentPolicy::RequireEncryptAllowDecrypt,
                _ => CommitmentPolicy::default(),
            },
            context: ExpectedContext::Exactly(context.clone()),
            ..OpenPolicy::default()
        };
        let from =
            GetObject { bucket: BUCKET.to_owned(), key: case.key.clone(), ..GetObject::default() };
        let (mut spool, mut plain) = (Cursor::new(Vec::new()), Vec::new());
        let keyring = self.keyring(case.wrap);
        get(&self.cloud, &from, case.suffix, &keyring, &policy, &mut spool, &mut plain).await?;
        Ok(plain)
    }

    /// The judge puts, we get; and only in the context it was put in.
    async fn we_open_what_the_judge_puts(&self) {
        let mut cases: Vec<Case> = ["v2", "v3"]
            .into_iter()
            .flat_map(|format| SIZES.map(|bytes| self.case(format, "kms", bytes)))
            .collect();
        cases.push(self.case("v3", "kms", LARGE));
        self.judge("put", &cases);
        for case in &cases {
            let opened = self.get(case, &case.context).await.unwrap();
            assert!(opened == std::fs::read(&case.file).unwrap(), "{}", case.key);
        }
        let wrong = context_of("acme-globex", "from-client", "01J9", &cases[1].key);
        let refused = self.get(&cases[1], &wrong).await.unwrap_err();
        assert_eq!(refused.kind(), consign::ErrorKind::Misaddressed);
    }

    /// We put, the judge gets: metadata in the object and in instruction files.
    async fn the_judge_opens_what_we_put(&self, instruction_file: bool) {
        let mut cases = Vec::new();
        for format in ["v2", "v3"] {
            for wrap in ["kms", "aes", "rsa"] {
                cases.extend(SIZES.map(|bytes| self.case(format, wrap, bytes)));
            }
        }
        cases.push(self.case("v3", "kms", LARGE));
        for case in &mut cases {
            let place = if instruction_file { "file" } else { "object" };
            case.key = format!("ours/{place}/{}", case.key);
            self.put(case, instruction_file).await;
        }
        self.judge("get", &cases);
        for case in &cases {
            let opened = self.get(case, &case.context).await.unwrap();
            assert!(opened == std::fs::read(&case.file).unwrap(), "{}", case.key);
        }
    }

    /// A bit of the object changes, or the metadata of another object takes its place: neither the
    /// judge nor we open it.
    async fn nobody_opens_what_was_changed(&self) {
        let (one, other) = (self.case("v3", "kms", 16), self.case("v3", "kms", 17));
        let mut cases = Vec::new();
        for (name, from, metadata_of, flip) in
            [("flipped", &one, &one, 1u8), ("swapped", &one, &other, 0)]
        {
            let s3 = self.cloud.s3();
            let (sealed, _) = s3.get_object_bytes(&place(&from.key), 1 << 20).await.unwrap();
            let mut sealed = sealed.to_vec();
            sealed[3] ^= flip;
            let metadata = s3.head_object(&place(&metadata_of.key)).await.unwrap().metadata;
            let key = format!("changed/{name}");
            let changed = PutObject {
                bucket: BUCKET.to_owned(),
                key: key.clone(),
                body: sealed.into(),
                metadata,
                ..PutObject::default()
            };
            s3.put_object(changed).await.unwrap();
            cases.push(Case { key, context: metadata_of.context.clone(), ..from.clone() });
        }
        for case in &cases {
            let refused = self.get(case, &case.context).await.unwrap_err();
            assert_eq!(refused.kind(), consign::ErrorKind::Damaged, "{}", case.key);
        }
        self.judge("refuse", &cases);
    }

    /// An object sealed under an AES key is given to the holder of the KMS key: a second instruction
    /// file, and the content stays.
    async fn a_rewrapped_instruction_file_opens(&self) {
        let mut cases = Vec::new();
        for format in ["v2", "v3"] {
            let old =
                Case { key: format!("rewrapped/{format}"), ..self.case(format, "aes", SIZES[6]) };
            self.put(&old, true).await;
            let context = context_of("acme-globex", "to-client", "01J9", &old.key);
            let suffix = ".instruction-kms";
            let how = Rewrap {
                from: &self.keyring("aes"),
                to: &self.keyring("kms"),
                context: Some(context.clone()),
                suffix: Some(suffix.to_owned()),
            };
            rewrap(&self.cloud, &place(&old.key), &how).await.unwrap();
            let new = Case { wrap: "kms", context, suffix: Some(suffix), ..old.clone() };
            for case in [old, new] {
                let opened = self.get(&case, &case.context).await.unwrap();
                assert!(opened == std::fs::read(&case.file).unwrap(), "{} {}", case.key, case.wrap);
                cases.push(case);
            }
        }
        self.judge("get", &cases);
    }

    /// The holder of the AES key leaves, the holder of the RSA key comes: the one instruction file is
    /// written anew.
    async fn a_rewrapped_instruction_file_takes_the_place_of_the_old(&self) {
        let old = Case { key: "handed-over".to_owned(), ..self.case("v3", "aes", SIZES[6]) };
        self.put(&old, true).await;
        let (aes, rsa) = (self.keyring("aes"), self.keyring("rsa"));
        let how = Rewrap { from: &rsa, to: &aes, context: None, suffix: None };
        let refused = rewrap(&self.cloud, &place(&old.key), &how).await.unwrap_err();
        assert_eq!(refused.kind(), consign::ErrorKind::NotForUs, "{refused:?}");
        let how = Rewrap { from: &aes, to: &rsa, context: None, suffix: None };
        rewrap(&self.cloud, &place(&old.key), &how).await.unwrap();
        let refused = self.get(&old, &old.context).await.unwrap_err();
        assert_eq!(refused.kind(), consign::ErrorKind::NotForUs, "{refused:?}");
        let new = Case { wrap: "rsa", ..old };
        let opened = self.get(&new, &new.context).await.unwrap();
        assert!(opened == std::fs::read(&new.file).unwrap());
        self.judge("get", std::slice::from_ref(&new));
        let beside = Case { key: "in-metadata".to_owned(), ..self.case("v3", "aes", 100) };
        self.put(&beside, false).await;
        let refused = rewrap(&self.cloud, &place(&beside.key), &how).await.unwrap_err();
        assert_eq!(refused.kind(), consign::ErrorKind::Configuration, "{refused:?}");
    }

    async fn everything(&self) {
        self.we_open_what_the_judge_puts().await;
        self.the_judge_opens_what_we_put(false).await;
        self.the_judge_opens_what_we_put(true).await;
        self.a_rewrapped_instruction_file_opens().await;
        self.a_rewrapped_instruction_file_takes_the_place_of_the_old().await;
        self.nobody_opens_what_was_changed().await;
    }
}

/// A key policy that leaves who may use it to identity policies.
fn everybody() -> serde_json::Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*",
    }]})
}

fn place(key: &str) -> GetObject {
    GetObject { bucket: BUCKET.to_owned(), key: key.to_owned(), ..GetObject::default() }
}

/// Python with the client; says visibly which test goes without it.
fn python() -> Option<PathBuf> {
    // Beside a program of the same environment: the path of `python` itself leads out of it.
    let found = judges::find("moto_server").map(|server| server.with_file_name("python"));
    let found = found.filter(|python| {
        let has = judges::command(python).args(["-c", "import s3_encryption"]).output();
        has.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("test");
        eprintln!("SKIPPED {test}: Amazon's S3 Encryption Client is missing (cargo xtask judges)");
    }
    found
}

fn environment(endpoint: &str, id: &str, secret: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn amazons_client_on_the_local_cloud() {
    let Some(python) = python() else { return };
    let world = World::new(0x53ec).await.unwrap();
    let cloud = world.administrator(ACCOUNT).await.unwrap();
    let running = world.store().local().unwrap();
    let credentials = running.admin_credentials(ACCOUNT).unwrap();
    let secret = credentials.secret_access_key.to_string();
    let mut env = environment(running.endpoint(), &credentials.access_key_id, &secret);
    env.push(("AWS_CA_BUNDLE".to_owned(), running.ca_path().display().to_string()));
    Bench::new(cloud, python, env).await.everything().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amazons_client_on_moto() {
    let server = consign_testkit::require!("moto_server");
    let Some(python) = python() else { return };
    let moto = Moto::start(&server, ACCOUNT);
    let settings = Settings {
        endpoint: Some(moto.endpoint.clone()),
        region: Some("eu-west-1".to_owned()),
        explicit_credentials: Some(Credentials::new("id", "secret", None)),
        ..Settings::default()
    };
    let cloud = Cloud::connect(&settings).await.unwrap();
    let env = environment(&moto.endpoint, "id", "secret");
    Bench::new(cloud, python, env).await.everything().await;
}

/// Amazon's client opens what was sent on a lane to the holder of an RSA key.
#[tokio::test(flavor = "multi_thread")]
async fn amazons_client_opens_what_lies_on_a_lane() {
    let Some(python) = python() else { return };
    let edit = |text: String| {
        let fields = "seal = \"s3ec\"\nkeyring = \"rsa\"\nto = [\"globex\"";
        text.replace("recipients = [", &format!("recipients = [\"rsa:{RSA_PUBLIC}\", "))
            .replace("to = [\"globex\"", fields)
    };
    let world = World::with(0x25a, edit).await.unwrap();
    let file = world.payload("scan.bin", (9 << 20) + 5).unwrap();
    let lane = world.lane("to-client").unwrap();
    let acme = world.office("acme").await.unwrap();
    let from = [file.clone()];
    let sent = consign::send(&acme, &lane, &from, &SendOptions::default()).await.unwrap();
    let case = json!({
        "key": format!("{}/000001.s3ec", sent.id), "file": file, "format": "v3", "wrap": "rsa",
        "context": {}, "suffix": null,
    });
    let given = json!({
        "bucket": world.exchange.lanes[&lane].bucket, "kms_key": "", "aes_key": "", "rsa_pem": RSA,
        "cases": [case],
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cases.json");
    std::fs::write(&path, given.to_string()).unwrap();
    let running = world.store().local().unwrap();
    let globex = running.credentials("globex").unwrap();
    let secret = globex.secret_access_key.to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/s3ec_amazon.py");
    let mut command = judges::command(&python);
    command.arg(script).arg("get").arg(path);
    command.envs(environment(running.endpoint(), &globex.access_key_id, &secret));
    let output = command.env("AWS_CA_BUNDLE", running.ca_path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// With the receiver's credentials and the context that names the place, and not with another.
#[tokio::test(flavor = "multi_thread")]
async fn amazons_client_opens_what_lies_on_a_lane_of_kms() {
    let Some(python) = python() else { return };
    let fields = "seal = \"s3ec\"\nkeyring = \"kms\"\nto = [\"globex\"";
    let edit = |text: String| text.replace("to = [\"globex\"", fields);
    let world = World::with(0x25b, edit).await.unwrap();
    let file = world.payload("scan.bin", (9 << 20) + 5).unwrap();
    let lane = world.lane("to-client").unwrap();
    let acme = world.office("acme").await.unwrap();
    let from = [file.clone()];
    let sent = consign::send(&acme, &lane, &from, &SendOptions::default()).await.unwrap();
    let running = world.store().local().unwrap();
    let globex = running.credentials("globex").unwrap();
    let secret = globex.secret_access_key.to_string();
    let folder = tempfile::tempdir().unwrap();
    for (what, consignment) in [("get", sent.id.as_str()), ("refuse", "01JD3V5Y7Q8R9SATBVCWDXEYFZ")]
    {
        let case = json!({
            "key": format!("{}/000001.s3ec", sent.id), "file": file, "format": "v3", "wrap": "kms",
            "context": context_of("acme-globex", "to-client", consignment, "000001.s3ec"),
            "suffix": null,
        });
        let given = json!({
            "bucket": world.exchange.lanes[&lane].bucket, "aes_key": "", "rsa_pem": RSA,
            "kms_key": "arn:aws:kms:eu-west-1:111111111111:alias/consign/acme-globex/to-client",
            "cases": [case],
        });
        let path = folder.path().join("cases.json");
        std::fs::write(&path, given.to_string()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/s3ec_amazon.py");
        let mut command = judges::command(&python);
        command.arg(script).arg(what).arg(path);
        command.envs(environment(running.endpoint(), &globex.access_key_id, &secret));
        let output = command.env("AWS_CA_BUNDLE", running.ca_path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What the clients of old wrote: KMS binds the key to a description that names it and to nothing of
/// the object.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_kms_without_context_open_behind_the_switch() {
    let world = World::new(0x01d).await.unwrap();
    let bench =
        Bench::new(world.administrator(ACCOUNT).await.unwrap(), PathBuf::new(), vec![]).await;
    let key = DataKey::generate().unwrap();
    let about = Pairs::from([("kms_cmk_id".to_owned(), bench.kms_key.clone())]);
    let kms = bench.cloud.kms();
    let wrapped = kms.encrypt(&bench.kms_key, key.as_secret_bytes(), &about).await.unwrap();
    let wrapped = WrappedKey::from_kms(Suite::Gcm, wrapped, &Pairs::new()).unwrap();
    let sealer = Sealer::new(CommitmentPolicy::ForbidEncryptAllowDecrypt, &key, wrapped).unwrap();
    let mut metadata = sealer.header().to_metadata().unwrap();
    metadata.insert("x-amz-wrap-alg".to_owned(), "kms".to_owned());
    metadata.insert("x-amz-matdesc".to_owned(), json!(about).to_string());
    let old = PutObject {
        bucket: BUCKET.to_owned(),
        key: "old".to_owned(),
        body: sealer.seal_all(payload::ramp(1000)).unwrap().into(),
        metadata,
        ..PutObject::default()
    };
    bench.cloud.s3().put_object(old).await.unwrap();
    for legacy_wrapping in [false, true] {
        let policy = OpenPolicy {
            commitment: CommitmentPolicy::RequireEncryptAllowDecrypt,
            legacy_wrapping,
            ..OpenPolicy::default()
        };
        let (mut spool, mut plain) = (Cursor::new(Vec::new()), Vec::new());
        let (from, keyring) = (place("old"), bench.keyring("kms"));
        let opened =
            get(&bench.cloud, &from, None, &keyring, &policy, &mut spool, &mut plain).await;
        assert_eq!(opened.is_ok(), legacy_wrapping, "{opened:?}");
        assert!(plain == if legacy_wrapping { payload::ramp(1000) } else { Vec::new() });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kms_that_refuses_is_an_error() {
    let world = World::new(0x4e0).await.unwrap();
    let mut bench =
        Bench::new(world.administrator(ACCOUNT).await.unwrap(), PathBuf::new(), vec![]).await;
    let case = bench.case("v3", "kms", 100);
    bench.put(&case, false).await;
    // The context in the metadata is changed to the one that is expected; KMS knows better.
    let from = place(&case.key);
    let (sealed, _) = bench.cloud.s3().get_object_bytes(&from, 1 << 20).await.unwrap();
    let mut metadata = bench.cloud.s3().head_object(&from).await.unwrap().metadata;
    let context = metadata["x-amz-t"].replace("to-client", "from-client");
    metadata.insert("x-amz-t".to_owned(), context);
    let moved = Case {
        key: "moved".to_owned(),
        context: context_of("acme-globex", "from-client", "01J9", &case.key),
        ..case.clone()
    };
    let put = PutObject {
        bucket: BUCKET.to_owned(),
        key: moved.key.clone(),
        body: sealed.to_vec().into(),
        metadata,
        ..PutObject::default()
    };
    bench.cloud.s3().put_object(put).await.unwrap();
    let refused = bench.get(&moved, &moved.context).await.unwrap_err();
    assert_eq!(refused.kind(), consign::ErrorKind::Damaged, "as any other change: {refused:?}");
    assert!(bench.get(&case, &case.context).await.is_ok());

    let key = CreateKey { policy: everybody().to_string(), ..CreateKey::default() };
    bench.kms_key = bench.cloud.kms().create_key(&key).await.unwrap().arn;
    let refused = bench.get(&case, &case.context).await.unwrap_err();
    assert_eq!(refused.kind(), consign::ErrorKind::Damaged, "under another key: {refused:?}");
    bench.kms_key = "alias/no-such-key".to_owned();
    let refused = bench.get(&case, &case.context).await.unwrap_err();
    assert_ne!(refused.kind(), consign::ErrorKind::Damaged, "no key at all: {refused:?}");
}
