//! Keys that are not in the key folder, through the commands: parameters of Systems Manager and secrets of
//! Secrets Manager (moto, which is the bucket's server as well), and an HTTPS address.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{self, succeed};
use consign_seal::openpgp::{KeyKind, SecretKey};
use consign_seal::s3s2::PublicKey;
use consign_testkit::key_server::KeyServer;
use consign_testkit::moto::Moto;
use consign_testkit::{judges, require};

/// Makes the bucket, and keeps files as parameters and secrets, as their owners would.
const FILL: &str = r#"
import boto3, sys
endpoint, *items = sys.argv[1:]
def client(name):
    return boto3.client(name, endpoint_url=endpoint, region_name="eu-west-1",
                        aws_access_key_id="id", aws_secret_access_key="secret")
for item in items:
    kind, name, path = item.split("=")
    value = open(path).read() if path else ""
    if kind == "bucket":
        region = {"LocationConstraint": "eu-west-1"}
        client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=region)
    elif kind == "secret":
        client("secretsmanager").create_secret(Name=name, SecretString=value)
    else:
        client("ssm").put_parameter(Name=name, Value=value, Type=kind, Tier="Advanced")
"#;

const BUCKET: &str = "acme-globex-to-client-111111111111-eu-west-1-an";

/// A folder of a person, and moto in place of AWS.
struct Place {
    folder: tempfile::TempDir,
    moto: Moto,
}

impl Place {
    fn new(moto: &Path) -> Place {
        let place =
            Place { folder: tempfile::tempdir().unwrap(), moto: Moto::start(moto, "111111111111") };
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consign-seal/tests/s3s2");
        for name in ["go.privkey", "go.pubkey"] {
            std::fs::copy(keys.join(name), place.path(name)).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), content).unwrap();
    }

    fn fill(&self, python: &Path, items: &[&str]) {
        let bucket = format!("bucket={BUCKET}=");
        self.keep(python, &[&[bucket.as_str()], items].concat());
    }

    fn keep(&self, python: &Path, items: &[&str]) {
        let mut fill = judges::command(python);
        fill.current_dir(self.folder.path()).args(["-c", FILL, &self.moto.endpoint]);
        succeed(fill.args(items));
    }

    fn consign(&self, arguments: &[&str]) -> Command {
        let mut command = support::consign();
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("AWS_ENDPOINT_URL", &self.moto.endpoint)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.consign(arguments))
    }

    /// Fails with these words, and with none of a private key.
    fn fail(&self, code: i32, words: &str, arguments: &[&str]) {
        let output = self.consign(arguments).output().unwrap();
        let said = support::both(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("PRIVATE KEY") && !said.contains("SECRET-KEY-"), "{said}");
    }
}

fn fingerprint(place: &Place) -> String {
    let public = std::fs::read(place.path("go.pubkey")).unwrap();
    PublicKey::parse(&public, 1_800_000_000).unwrap().fingerprint()
}

#[test]
fn s3s2_takes_keys_from_parameters_and_secrets() {
    let (moto, python) = require!("moto_server", "python3");
    let place = Place::new(&moto);
    let items = ["String=/keys/public=go.pubkey", "SecureString=/keys/private=go.privkey"];
    place.fill(&python, &[&items[..], &["secret=keys/private=go.privkey"]].concat());
    place.file("up/a.csv", b"content");
    let pin = fingerprint(&place);
    let wrong = "0".repeat(40);
    let fixed = ["s3s2", "share", "--bucket", BUCKET, "--org", "acme", "--directory", "up"];
    let pinned = format!("ssm:/keys/public#{pin}");
    let mut manifests = Vec::new();
    for (prefix, flag, key) in [
        ("one", "--ssm-public-key", "/keys/public"),
        ("two", "--receiver-public-key", "ssm:/keys/public"),
        ("three", "--receiver-public-key", &pinned),
    ] {
        let more = ["--prefix", prefix, "--json", flag, key];
        let said = place.run(&[&fixed[..], &more].concat());
        let shared: serde_json::Value = serde_json::from_str(&said).unwrap();
        manifests.push(shared["batches"][0]["manifest"].as_str().unwrap().to_owned());
    }
    let refused = format!("ssm:/keys/public#{wrong}");
    place.fail(2, "is not in", &[&fixed[..], &["--receiver-public-key", &refused]].concat());
    place.fail(5, "ssm:/absent", &[&fixed[..], &["--ssm-public-key", "/absent"]].concat());
    place.fail(2, "private key", &[&fixed[..], &["--ssm-public-key", "/keys/private"]].concat());

    let decrypt = |into: &str, key: &[&str]| {
        let fixed = ["s3s2", "decrypt", "--bucket", BUCKET, "--org", "acme", "--directory", into];
        place.run(&[&fixed[..], &["--file", &manifests[0]], key].concat());
        assert_eq!(std::fs::read(place.path(into).join("decrypted/a.csv")).unwrap(), b"content");
    };
    decrypt("one", &["--ssm-private-key", "/keys/private"]);
    decrypt("two", &["--my-private-key", "ssm:/keys/private"]);
    decrypt("three", &["--my-private-key", &format!("secretsmanager:keys/private#{pin}")]);
    let fixed = ["s3s2", "decrypt", "--bucket", BUCKET, "--file", "x", "--directory", "no"];
    let address = format!("https://keys.example/a#{pin}");
    place.fail(2, "does not belong", &[&fixed[..], &["--my-private-key", &address]].concat());
}

#[test]
fn a_lane_takes_its_keys_from_where_the_exchange_file_and_the_settings_say() {
    let (moto, python, openssl) = require!("moto_server", "python3", "openssl");
    let place = Place::new(&moto);
    place.run(&["init", "--template", "two-way"]);
    place.run(&["keys", "new", "acme"]);
    place.run(&["keys", "new", "globex"]);
    let keys = place.path("config/consign/keys");
    for name in ["globex.identity", "acme.signer"] {
        std::fs::rename(keys.join(name), place.path(name)).unwrap();
    }
    std::fs::remove_file(keys.join("globex.signer")).unwrap();
    std::fs::remove_file(keys.join("acme.identity")).unwrap();
    let items = ["SecureString=/globex/identity=globex.identity", "secret=acme/signer=acme.signer"];
    let more = ["String=/globex/public=go.pubkey", "secret=globex/private=go.privkey"];
    place.fill(&python, &[items, more].concat());
    std::fs::remove_file(place.path("acme.signer")).unwrap();
    std::fs::remove_file(place.path("globex.identity")).unwrap();

    // An age lane: nobody has a private key in a folder.
    place.file("up/a.csv", b"content");
    let send = ["send", "up", "--lane", "to-client", "--json"];
    let receive = ["receive", "--lane", "to-client", "--into", "in", "--json"];
    place.fail(2, "there are no private keys of acme", &send);
    let as_acme = |arguments: &[&str]| {
        let mut command = place.consign(arguments);
        succeed(command.env("CONSIGN_SIGNER", "secretsmanager:acme/signer"))
    };
    let as_globex = |arguments: &[&str], identity: &str| {
        let mut command = place.consign(arguments);
        succeed(command.env("CONSIGN_IDENTITY", identity))
    };
    let sent: serde_json::Value = serde_json::from_str(&as_acme(&send)).unwrap();
    place.fail(2, "there are no private keys of globex", &receive);
    let config = place.path("config/consign/config.toml");
    std::fs::write(&config, "identity = 'ssm:/globex/identity'\n").unwrap();
    place.run(&receive);
    let id = sent["id"].as_str().unwrap();
    assert_eq!(std::fs::read(place.path("in").join(id).join("up/a.csv")).unwrap(), b"content");
    std::fs::write(&config, "identity = 'ssm:/globex/public'\n").unwrap();
    place.fail(2, "ssm:/globex/public", &receive);
    std::fs::remove_file(&config).unwrap();

    // A lane of shares, for a key in a parameter, a file and at an address: pinned, all of them.
    let keys = place.path("go.pubkey");
    let server = KeyServer::start(&python, &openssl, place.folder.path(), &keys);
    let file = place.path("exchange.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let plain = plain.replacen("\nto = [\"globex\"]", "\nlayout = \"s3s2\"\nto = [\"globex\"]", 1);
    let (pin, wrong) = (fingerprint(&place), "0".repeat(40));
    let with = |source: &str| {
        let (before, globex) = plain.split_at(plain.find("[party.globex]").unwrap());
        let recipients = format!("recipients = [{{ source = \"{source}\" }}, ");
        let text = format!("{before}{}", globex.replacen("recipients = [", &recipients, 1));
        std::fs::write(&file, text).unwrap();
    };
    let address = format!("{}/keys", server.origin);
    for source in ["ssm:/globex/public", "go.pubkey", &address] {
        with(&format!("{source}#{pin}"));
        let mut command = place.consign(&send);
        command.env("CONSIGN_SIGNER", "secretsmanager:acme/signer");
        let said = succeed(command.env("AWS_CA_BUNDLE", &server.certificate));
        let sent: serde_json::Value = serde_json::from_str(&said).unwrap();
        as_globex(&receive, "secretsmanager:globex/private");
        let id = sent["id"].as_str().unwrap();
        let received = std::fs::read(place.path("in").join(id).join("up/a.csv"));
        assert_eq!(received.unwrap(), b"content", "{source}");
        with(&format!("{source}#{wrong}"));
        let mut command = place.consign(&send);
        command.env("CONSIGN_SIGNER", "secretsmanager:acme/signer");
        let output = command.env("AWS_CA_BUNDLE", &server.certificate).output().unwrap();
        let said = support::both(&output);
        assert!(said.contains("the recipients of globex"), "{source}: {said}");
        assert_eq!(output.status.code(), Some(2), "{source}: {said}");
    }
    // A lane of OpenPGP, for a key of the kind that gpg makes.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let key = SecretKey::generate(KeyKind::Curve25519, "globex", now).unwrap();
    place.file("new.pub", key.certificate().to_armored().unwrap().as_bytes());
    place.file("new.key", key.to_armored(None).unwrap().as_bytes());
    place.keep(&python, &["String=/new/public=new.pub", "SecureString=/new/private=new.key"]);
    with(&format!("ssm:/new/public#{}", key.fingerprint()));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("layout = \"s3s2\"", "seal = \"openpgp\"", 1)).unwrap();
    let sent: serde_json::Value = serde_json::from_str(&as_acme(&send)).unwrap();
    as_globex(&["verify", sent["id"].as_str().unwrap(), "--lane", "to-client"], "ssm:/new/private");

    // Looking needs no key of others.
    as_globex(&["list", "--lane", "to-client"], "secretsmanager:globex/private");
}

#[test]
fn single_files_are_opened_with_an_identity_in_systems_manager() {
    let (moto, python) = require!("moto_server", "python3");
    let place = Place::new(&moto);
    place.run(&["init", "--template", "two-way"]);
    place.run(&["keys", "new", "globex"]);
    let identity = std::fs::read(place.path("config/consign/keys/globex.identity")).unwrap();
    place.file("identity", &identity);
    let listed = place.run(&["keys", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    place.file("recipient", listed[0]["recipient"].as_str().unwrap().as_bytes());
    let items = ["SecureString=/globex/identity=identity", "String=/globex/recipient=recipient"];
    place.fill(&python, &items);
    std::fs::remove_file(place.path("identity")).unwrap();
    std::fs::remove_file(place.path("config/consign/keys/globex.identity")).unwrap();
    place.file("report", b"a report");
    place.run(&["seal", "report", "--recipients-file", "ssm:/globex/recipient"]);
    place.fail(2, "--identity", &["open", "report.age", "-o", "no"]);
    place.run(&["open", "report.age", "-o", "opened", "--identity", "ssm:/globex/identity"]);
    assert_eq!(std::fs::read(place.path("opened")).unwrap(), b"a report");
    place.fail(5, "ssm:/absent", &["open", "report.age", "--identity", "ssm:/absent"]);
    let address = ["open", "report.age", "--identity", "https://keys.example/identity"];
    place.fail(2, "exchange the key", &address);
}
