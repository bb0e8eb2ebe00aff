//! `consign seal` and `consign open` in the formats of partners: OpenPGP judged by `gpg` and `sq`, objects
//! judged by Amazon's S3 Encryption Client, and what s3s2 wrote.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::desk::Desk;
use crate::support::{Deployment, both, succeed, succeed_with_input};
use consign_seal::openpgp::{KeyKind, SecretKey};
use consign_testkit::payload::ramp;

/// Fails with this exit code; the error as `--json` tells it.
fn fail(desk: &Desk, code: i32, arguments: &[&str]) -> serde_json::Value {
    let output = desk.consign(arguments).arg("--json").output().unwrap();
    refused(code, &output)
}

fn refused(code: i32, output: &Output) -> serde_json::Value {
    assert_eq!(output.status.code(), Some(code), "{}", both(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", both(output)))
}

/// GnuPG whose home is the desk.
fn gpg_at(desk: &Desk, tool: &Path, arguments: &[&str]) -> Command {
    let mut command = consign_testkit::judges::command(tool);
    command.env("GNUPGHOME", desk.folder()).current_dir(desk.folder());
    command.args(["--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback", "--yes"]);
    command.args(["--trust-model", "always"]).args(arguments);
    command
}

const WORDS: &str = "correct horse";

#[test]
fn nothing_is_sealed_for_a_key_that_its_owner_has_let_go() {
    let gpg = consign_testkit::require!("gpg");
    let desk = Desk::new();
    std::fs::write(desk.path("plain"), b"content").unwrap();
    let old = ["--faked-system-time", "20200101T000000", "--passphrase", ""];
    let make = ["--quick-generate-key", "old", "default", "default", "1d"];
    succeed(gpg_at(&desk, &gpg, &old).args(make));
    succeed(&mut gpg_at(&desk, &gpg, &["--output", "old.pgp", "--export", "old"]));
    let error = fail(&desk, 2, &["seal", "plain", "--pgp", "old.pgp"]);
    assert_eq!(error["kind"], "expired-key", "{error}");

    let make = ["--passphrase", "", "--quick-generate-key", "lost", "default", "default"];
    succeed(&mut gpg_at(&desk, &gpg, &make));
    // GnuPG leaves a revocation beside every key; a colon keeps it from being used by accident.
    let folder = std::fs::read_dir(desk.path("openpgp-revocs.d")).unwrap();
    let listed = succeed(&mut gpg_at(&desk, &gpg, &["--with-colons", "--list-keys", "lost"]));
    let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap();
    let revocation = folder
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains(fingerprint.trim_matches(':')))
        .unwrap();
    let text = std::fs::read_to_string(revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    std::fs::write(desk.path("revocation"), text).unwrap();
    succeed(&mut gpg_at(&desk, &gpg, &["--import", "revocation"]));
    succeed(&mut gpg_at(&desk, &gpg, &["--output", "lost.pgp", "--export", "lost"]));
    let error = fail(&desk, 2, &["seal", "plain", "--pgp", "lost.pgp"]);
    assert_eq!(error["kind"], "revoked-key", "{error}");
    assert!(!desk.path("plain.gpg").exists());
}

#[test]
fn gpg_and_we_open_each_others_files() {
    let gpg = consign_testkit::require!("gpg");
    let desk = Desk::new();
    desk.secret("words", WORDS.as_bytes());
    for (name, words) in [("globex", ""), ("locked", WORDS)] {
        let user = format!("{name} <{name}@example.com>");
        let make = ["--passphrase", words, "--quick-generate-key", &user, "default", "default"];
        succeed(&mut gpg_at(&desk, &gpg, &make));
        let secret = format!("{name}-secret.asc");
        let export = ["--passphrase", words, "--armor", "--output", &secret];
        succeed(gpg_at(&desk, &gpg, &export).args(["--export-secret-keys", name]));
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(desk.path(&secret), mode).unwrap();
        let public = format!("{name}.pgp");
        succeed(&mut gpg_at(&desk, &gpg, &["--output", &public, "--export", name]));
    }
    for length in [0, 1, 70_000, 3_000_000] {
        std::fs::write(desk.path("plain"), ramp(length)).unwrap();
        // Ours, signed, for both of them.
        let seal = ["seal", "plain", "--pgp", "globex.pgp", "--pgp", "locked.pgp", "--force"];
        desk.run(&[&seal[..], &["--sign", "globex-secret.asc"]].concat());
        let open = ["--passphrase", "", "--output", "theirs", "--decrypt", "plain.gpg"];
        let output = gpg_at(&desk, &gpg, &open).output().unwrap();
        assert!(output.status.success(), "{}", both(&output));
        assert!(both(&output).contains("Good signature"), "{}", both(&output));
        assert!(desk.read("theirs") == ramp(length));
        let ours = ["open", "plain.gpg", "-i", "locked-secret.asc", "--passphrase-file", "words"];
        desk.run(&[&ours[..], &["--signer", "globex.pgp", "-o", "ours", "--force"]].concat());
        assert!(desk.read("ours") == ramp(length));
        // Theirs, armored, signed, to a file and to a pipe.
        let seal = ["--armor", "--sign", "-u", "globex", "--encrypt", "-r", "globex", "--output"];
        succeed(gpg_at(&desk, &gpg, &seal).args(["gpg.asc", "plain"]));
        let open = ["open", "gpg.asc", "-i", "globex-secret.asc"];
        let piped = [&open[..], &["--signer", "globex.pgp"]].concat();
        let output = desk.consign(&piped).output().unwrap();
        assert!(output.status.success() && output.stdout == ramp(length), "{length}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("signed by"));
        let output = desk.consign(&open).output().unwrap();
        assert!(output.status.success() && output.stdout == ramp(length), "{length}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("was not checked"));
        // Another signer is wanted: not a byte reaches the pipe.
        let output = desk.consign(&[&open[..], &["--signer", "locked.pgp"]].concat()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", both(&output));
        assert!(output.stdout.is_empty());
    }
    let said = desk.run(&["open", "gpg.asc", "-i", "globex-secret.asc", "--inspect", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["container"], "SEIPDv1");
    assert!(said["opens_with"].is_string(), "{said}");
    let error = fail(&desk, 2, &["open", "gpg.asc", "-i", "locked-secret.asc", "-o", "x"]);
    assert_eq!(error["kind"], "not-for-you", "{error}");
    assert!(!error["hints"].to_string().contains("age1"), "{error}");
    assert!(!desk.path("x").exists());
}

#[test]
fn what_gpg_seals_with_a_passphrase_opens_with_it_and_with_no_other() {
    let gpg = consign_testkit::require!("gpg");
    let desk = Desk::new();
    desk.secret("words", WORDS.as_bytes());
    desk.secret("other", b"incorrect horse");
    let seal = |more: &[&str], plain: &[u8]| {
        std::fs::write(desk.path("plain"), plain).unwrap();
        let own = ["--passphrase", WORDS, "--output", "sealed", "--symmetric"];
        succeed(gpg_at(&desk, &gpg, more).args(own).arg("plain"));
    };
    let open = ["open", "sealed", "-o", "opened", "--force", "--passphrase-file"];
    for length in [0, 1, 65_536, 1_000_001] {
        for cipher in ["AES256", "AES128", "TWOFISH"] {
            seal(&["--cipher-algo", cipher], &ramp(length));
            desk.run(&[&open[..], &["words"]].concat());
            assert!(desk.read("opened") == ramp(length), "{length} {cipher}");
        }
    }
    seal(&[], &ramp(5000));
    let error = fail(&desk, 2, &[&open[..], &["other"]].concat());
    assert_eq!(error["kind"], "wrong-passphrase", "{error}");
    // The right passphrase and changed content are another thing.
    let mut changed = desk.read("sealed");
    let place = changed.len() - 100;
    changed[place] ^= 1;
    std::fs::write(desk.path("sealed"), changed).unwrap();
    let error = fail(&desk, 3, &[&open[..], &["words"]].concat());
    assert_eq!(error["kind"], "tampered", "{error}");
    // Hashed once is no protection; old ciphers are none either. Both open behind the switch.
    for weak in [&["--s2k-mode", "1"][..], &["--cipher-algo", "CAST5"]] {
        seal(weak, b"content");
        let error = fail(&desk, 3, &[&open[..], &["words"]].concat());
        assert_eq!(error["kind"], "weak-format", "{weak:?} {error}");
        assert!(error["hints"].to_string().contains("--legacy"), "{error}");
        desk.run(&[&open[..], &["words", "--legacy"]].concat());
        assert_eq!(desk.read("opened"), b"content");
    }
}

#[test]
fn sq_opens_what_is_sealed_here() {
    let sq = consign_testkit::require!("sq");
    let desk = Desk::new();
    let key = SecretKey::generate(KeyKind::Curve25519, "globex", 1_700_000_000).unwrap();
    desk.secret("secret.asc", key.to_armored(None).unwrap().as_bytes());
    std::fs::write(desk.path("public.asc"), key.certificate().to_armored().unwrap()).unwrap();
    std::fs::write(desk.path("plain"), ramp(100_000)).unwrap();
    desk.run(&["seal", "plain", "--pgp", "public.asc", "--sign", "secret.asc", "--armor"]);
    let mut command = consign_testkit::judges::command(&sq);
    command.args(["decrypt", "--recipient-key", "secret.asc", "--signer-cert", "public.asc"]);
    command.args(["--output", "opened", "plain.asc"]).current_dir(desk.folder());
    succeed(&mut command);
    assert!(desk.read("opened") == ramp(100_000));
}

#[test]
fn a_file_of_s3s2_opens_by_itself() {
    let desk = Desk::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consign-seal/tests/s3s2");
    desk.secret("key", &std::fs::read(fixtures.join("go.privkey")).unwrap());
    let sealed = std::fs::read(fixtures.join("go.zip.gpg")).unwrap();
    std::fs::write(desk.path("share.zip.gpg"), &sealed).unwrap();
    std::fs::create_dir(desk.path("into")).unwrap();
    let said = desk.run(&["open", "share.zip.gpg", "-i", "key", "--into", "into", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let file = desk.path(said["file"].as_str().unwrap());
    let content = std::fs::read(&file).unwrap();
    assert_eq!(content.len() as u64, said["bytes"].as_u64().unwrap());
    assert_eq!(file.parent(), Some(desk.path("into").as_path()));
    // Known without its name, and from a pipe into a pipe.
    let mut piped = desk.consign(&["open", "-", "-i", "key"]);
    assert!(succeed_with_input(&mut piped, &sealed).as_bytes() == content);
    let said = desk.run(&["open", "share.zip.gpg", "--inspect"]);
    assert!(said.contains("s3s2") && said.contains("SEIPDv1"), "{said}");
    // Whatever is changed, nothing comes of it.
    let mut changed = sealed;
    let place = changed.len() / 2;
    changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
    std::fs::write(desk.path("changed.zip.gpg"), changed).unwrap();
    let output = desk.consign(&["open", "changed.zip.gpg", "-i", "key"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", both(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_be_opened_is_named() {
    let desk = Desk::new();
    std::fs::write(desk.path("letter"), b"Dear all,").unwrap();
    let error = fail(&desk, 3, &["open", "letter"]);
    assert_eq!((&error["kind"], &error["class"]), (&"unknown-format".into(), &"integrity".into()));
    std::fs::create_dir(desk.path("01J9")).unwrap();
    std::fs::write(desk.path("01J9/manifest.json.age"), b"age-encryption.org/v1\n").unwrap();
    let error = fail(&desk, 2, &["open", "01J9"]);
    assert!(error["hints"].to_string().contains("consign receive"), "{error}");
    let error = fail(&desk, 2, &["open", "01J9/manifest.json.age", "--signer", "letter"]);
    assert!(error["error"].to_string().contains("--signer"), "{error}");
    let error = fail(&desk, 2, &["seal", "letter", "--kms", "key"]);
    assert!(error["hints"].to_string().contains("s3://"), "{error}");
}

const BUCKET: &str = "for-amazons-client";
const ACCOUNT: &str = "admin-111111111111";
const PURPOSE: [&str; 2] = ["--context", "purpose=scans"];

/// A local cloud with a bucket and a KMS key, and the three keys that wrap.
struct Bench {
    deployment: Deployment,
    kms: String,
}

impl Bench {
    fn new(aws: &Path) -> Bench {
        let deployment = Deployment::new();
        let call = |arguments: &[&str]| {
            succeed(deployment.tool(aws).args(arguments).args(["--profile", ACCOUNT]))
        };
        call(&["s3api", "create-bucket", "--bucket", BUCKET]);
        let kms = call(&["kms", "create-key", "--query", "KeyMetadata.Arn", "--output", "text"]);
        let rsa = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../consign-seal/testdata/s3ec/rsa-2048.pem");
        for (name, content) in [
            ("rsa.pem", std::fs::read(rsa).unwrap()),
            ("aes", vec![7; 32]),
            ("aes.hex", b"07".repeat(32)),
        ] {
            let path = deployment.file(name, &content);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        Bench { deployment, kms: kms.trim().to_owned() }
    }

    /// The flag that names the key of this kind.
    fn key(&self, wrap: &str) -> Vec<&str> {
        match wrap {
            "kms" => vec!["--kms", &self.kms],
            "aes" => vec!["--aes-key", "aes"],
            _ => vec!["--rsa-key", "rsa.pem"],
        }
    }

    fn consign(&self, arguments: &[&[&str]]) -> Command {
        let arguments = [&arguments.concat()[..], &["--profile", ACCOUNT]].concat();
        self.deployment.consign(&arguments)
    }

    fn judge(&self, python: &Path, what: &str, cases: &[serde_json::Value]) {
        let rsa = std::fs::read_to_string(self.deployment.path("rsa.pem")).unwrap();
        let given = serde_json::json!({
            "bucket": BUCKET, "kms_key": self.kms, "aes_key": "07".repeat(32), "rsa_pem": rsa,
            "cases": cases,
        });
        let path = self.deployment.file("cases.json", given.to_string().as_bytes());
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../consign-testkit/tests/judges/s3ec_amazon.py");
        let mut command = self.deployment.tool(python);
        command.arg(script).arg(what).arg(path).env("AWS_PROFILE", ACCOUNT);
        succeed(command.env("AWS_DEFAULT_REGION", "eu-west-1"));
    }
}

#[test]
fn amazons_client_and_we_open_each_others_objects() {
    let (aws, moto) = consign_testkit::require!("aws", "moto_server");
    let python = moto.with_file_name("python");
    let has = Command::new(&python).args(["-c", "import s3_encryption"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: Amazon's S3 Encryption Client is missing (cargo xtask judges)");
        return;
    }
    let bench = Bench::new(&aws);
    let file = bench.deployment.file("plain", &ramp(100_000));
    let case = |key: &str, format: &str, wrap: &str| {
        let context = match wrap {
            "kms" => serde_json::json!({"purpose": "scans"}),
            _ => serde_json::json!({}),
        };
        serde_json::json!({
            "key": key, "file": file, "format": format, "wrap": wrap, "context": context,
            "suffix": null,
        })
    };
    let open = |key: &str, wrap: &str, more: &[&str]| {
        let address = format!("s3://{BUCKET}/{key}");
        let own = ["open", &address, "-o", "opened", "--force"];
        bench.consign(&[&own, &bench.key(wrap), more]).output().unwrap()
    };
    let mut ours = Vec::new();
    for format in ["v2", "v3"] {
        for wrap in ["kms", "aes", "rsa"] {
            for beside in [false, true] {
                let key = format!("ours/{format}-{wrap}-{beside}");
                let address = format!("s3://{BUCKET}/{key}");
                let context = if wrap == "kms" { &PURPOSE[..] } else { &[] };
                let place = if beside { &["--instruction-file"][..] } else { &[] };
                let seal = ["seal", "plain", "-o", &address, "--format", format];
                succeed(&mut bench.consign(&[&seal, &bench.key(wrap), context, place]));
                let output = open(&key, wrap, context);
                assert!(output.status.success(), "{key}: {}", both(&output));
                assert!(std::fs::read(bench.deployment.path("opened")).unwrap() == ramp(100_000));
                ours.push(case(&key, format, wrap));
            }
        }
    }
    bench.judge(&python, "get", &ours);
    let theirs = ["v2", "v3"].map(|format| case(&format!("theirs/{format}"), format, "kms"));
    bench.judge(&python, "put", &theirs);
    for format in ["v2", "v3"] {
        let key = format!("theirs/{format}");
        for more in [&[][..], &PURPOSE] {
            let output = open(&key, "kms", more);
            assert!(output.status.success(), "{key}: {}", both(&output));
            assert!(std::fs::read(bench.deployment.path("opened")).unwrap() == ramp(100_000));
        }
        let output = open(&key, "kms", &["--context", "purpose=other", "--json"]);
        assert_eq!(refused(3, &output)["kind"], "wrong-context");
        // The wrong kind of key is said so.
        let output = open(&key, "aes", &["--json"]);
        assert_eq!(refused(2, &output)["kind"], "not-for-you");
    }
    // Nothing is replaced unasked, and what is there says what it is.
    let address = format!("s3://{BUCKET}/theirs/v3");
    let output = bench.consign(&[&["seal", "plain", "-o", &address], &bench.key("kms")]).output();
    assert!(!output.unwrap().status.success());
    let said = succeed(&mut bench.consign(&[&["open", &address, "--inspect"]]));
    assert!(said.contains("V3") && said.contains("--kms") && said.contains("purpose"), "{said}");
    let output = bench.consign(&[&["open", &address, "--json"]]).output().unwrap();
    assert!(refused(2, &output)["hints"].to_string().contains("--kms"));
    // A key in another notation; a changed object: one sentence, and the detail only when asked for.
    let address = format!("s3://{BUCKET}/ours/v3-aes-false");
    let hex = ["open", &address, "--aes-key", "aes.hex", "-o", "opened", "--force"];
    succeed(&mut bench.consign(&[&hex]));
    let other = bench.deployment.file("other", &[8; 32]);
    std::fs::set_permissions(other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let wrong = ["open", &address, "--aes-key", "other"];
    let plain = bench.consign(&[&wrong]).output().unwrap();
    assert_eq!(plain.status.code(), Some(3), "{}", both(&plain));
    assert!(!both(&plain).contains("detail:") && plain.stdout.is_empty(), "{}", both(&plain));
    let verbose = bench.consign(&[&wrong, &["--verbose"]]).output().unwrap();
    assert!(both(&verbose).contains("detail: the data key does not unwrap"), "{}", both(&verbose));
}
