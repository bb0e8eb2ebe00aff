//! `consign s3s2`: shares that the libraries of s3s2 read, shares that they wrote, and hostile ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{self, Deployment, TO_CLIENT, succeed};
use consign_seal::s3s2::{PublicKey, SecretKey};
use consign_testkit::{judges, require};
use serde_json::{Value, json};

/// A cloud between acme, who may write, and globex, who may read; and globex's key, as s3s2 makes it.
struct Share {
    deployment: Deployment,
    aws: PathBuf,
}

impl Share {
    fn new(aws: PathBuf) -> Share {
        let deployment = Deployment::new();
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consign-seal/tests/s3s2");
        for name in ["go.privkey", "go.pubkey"] {
            deployment.file(name, &std::fs::read(keys.join(name)).unwrap());
        }
        Share { deployment, aws }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.deployment.path(name)
    }

    fn share(&self, more: &[&str]) -> Value {
        let arguments = [
            &["s3s2", "share", "--bucket", TO_CLIENT, "--region", "eu-west-1", "--org", "Acme"][..],
            &["--aws-profile", "acme", "--receiver-public-key", "go.pubkey", "--json"],
            more,
        ];
        serde_json::from_str(&self.deployment.run(&arguments.concat())).unwrap()
    }

    fn decrypting<'a>(&self, file: &'a str, into: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let arguments = [
            &["s3s2", "decrypt", "--bucket", TO_CLIENT, "--region", "eu-west-1", "--org", "acme"][..],
            &["--aws-profile", "globex", "--my-private-key", "go.privkey", "--json"],
            &["--file", file, "--directory", into],
            more,
        ];
        arguments.concat()
    }

    fn decrypt(&self, file: &str, into: &str, more: &[&str]) -> Value {
        serde_json::from_str(&self.deployment.run(&self.decrypting(file, into, more))).unwrap()
    }

    fn s3(&self, profile: &str, arguments: &[&str]) -> String {
        let mut command = self.deployment.tool(&self.aws);
        succeed(command.args(["--profile", profile]).args(arguments))
    }

    fn upload(&self, key: &str, content: &[u8]) {
        let file = self.deployment.file("upload.tmp", content);
        let target = format!("s3://{TO_CLIENT}/{key}");
        self.s3("acme", &["s3", "cp", "--quiet", file.to_str().unwrap(), &target]);
    }

    fn download(&self, key: &str) -> Vec<u8> {
        let file = self.path("download.tmp");
        let source = format!("s3://{TO_CLIENT}/{key}");
        self.s3("globex", &["s3", "cp", "--quiet", &source, file.to_str().unwrap()]);
        std::fs::read(file).unwrap()
    }

    fn keys(&self) -> Vec<String> {
        let list = self.s3("globex", &["s3api", "list-objects-v2", "--bucket", TO_CLIENT]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let objects = list["Contents"].as_array().unwrap().iter();
        objects.map(|object| object["Key"].as_str().unwrap().to_owned()).collect()
    }

    /// A share as a stranger with the public key can make it: what is sealed is what he likes.
    fn plant(&self, folder: &str, files: &[(&str, Vec<u8>)]) -> String {
        let public = std::fs::read(self.path("go.pubkey")).unwrap();
        let public = PublicKey::parse(&public, 1_800_000_000).unwrap();
        for (name, packed) in files {
            let mut sealed = Vec::new();
            let public = std::slice::from_ref(&public);
            consign_seal::s3s2::seal(packed.as_slice(), &mut sealed, public).unwrap();
            self.upload(&format!("ACME/{folder}/{name}.zip.gpg"), &sealed);
        }
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        self.upload(
            &format!("ACME/{folder}/s3s2_manifest.json"),
            &manifest("acme", folder, &names),
        );
        format!("{folder}/s3s2_manifest.json")
    }
}

/// As s3s2 writes it.
fn manifest(organization: &str, folder: &str, names: &[&str]) -> Vec<u8> {
    let files: Vec<Value> = names.iter().map(|name| json!({"Name": name})).collect();
    let manifest = json!({
        "Name": "s3s2_manifest.json", "Timestamp": "2026-01-31T12:00:00.123456789+01:00",
        "Organization": organization, "Username": "A. Person", "User": "person", "SudoUser": "",
        "Folder": folder, "Files": files,
    });
    serde_json::to_vec_pretty(&manifest).unwrap()
}

/// Every file below a folder, by its path.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn payload(length: usize) -> Vec<u8> {
    (0..251u8).cycle().take(length).collect()
}

/// An archive that Python makes of `code`, which has `z`, a `zipfile.ZipFile`, and `zipfile`.
fn python_zip(code: &str) -> Vec<u8> {
    let script = format!(
        "import io, sys, gzip, zipfile\nout = io.BytesIO()\nz = zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED)\n\
         {code}\nz.close()\nsys.stdout.buffer.write(gzip.compress(out.getvalue()))"
    );
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn what_is_shared_is_collected_again() {
    let share = Share::new(require!("aws"));
    let content = [
        ("index.csv", payload(100)),
        ("a/empty", Vec::new()),
        ("a/Überraschung.txt", payload(70_000)),
        ("large.bin", payload(20 << 20)),
    ];
    for (name, bytes) in &content {
        share.deployment.file(&format!("up/{name}"), bytes);
    }
    share.deployment.file("up/.hidden", b"x");
    share.deployment.file("up/old.zip", b"x");
    let more = ["--directory", "up", "--prefix", "clinical", "--metadata-files", "index.csv"];
    let more = [&more[..], &["--batch-size", "2", "--debug", "true"]].concat();
    let shared = share.share(&more);
    let batches = shared["batches"].as_array().unwrap();
    assert_eq!(batches.len(), 2, "three files in batches of two");
    assert_eq!(shared["skipped"].as_array().unwrap().len(), 2);

    let keys = share.keys();
    let folder = batches[0]["folder"].as_str().unwrap();
    assert!(folder.starts_with("clinical_s3s2_2") && folder.ends_with("_0"), "{folder}");
    let first: Vec<&str> =
        keys.iter().filter_map(|key| key.strip_prefix(&format!("ACME/{folder}/"))).collect();
    assert_eq!(first.len(), 5, "{keys:?}");
    let mut sorted = first.clone();
    sorted.sort_unstable();
    let sealed = ["a/empty.zip.gpg", "a/Überraschung.txt.zip.gpg", "index.csv.zip.gpg"];
    let expected = [&["._lambda_trigger"], &sealed[..], &["s3s2_manifest.json"]].concat();
    assert_eq!(sorted, expected);
    assert!(share.download(&format!("ACME/{folder}/._lambda_trigger")).is_empty());

    for batch in batches {
        let file = batch["manifest"].as_str().unwrap();
        let collected = share.decrypt(file, "in", &["--require-trigger"]);
        assert_eq!((&collected["trigger"], &collected["signed"]), (&json!(true), &json!(false)));
    }
    let expected: BTreeMap<String, Vec<u8>> =
        content.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
    let found = tree(&share.path("in/decrypted"));
    assert!(found == expected, "{:?}", found.keys());
    assert_eq!(std::fs::read_dir(share.path("in")).unwrap().count(), 1, "nothing else is left");

    let file = batches[1]["manifest"].as_str().unwrap();
    let filtered = share.decrypt(file, "filtered", &["--filter-files", "large*,no*"]);
    assert_eq!(filtered["left_out"], 1);
    assert!(tree(&share.path("filtered/decrypted")).contains_key("large.bin"));
    let single = format!("{folder}/index.csv.zip.gpg");
    share.decrypt(&single, "single", &[]);
    assert!(tree(&share.path("single/decrypted"))["index.csv"] == payload(100));
    let denied = share.decrypting(file, "denied", &["--aws-profile", "acme"]);
    let denied: Vec<&str> = denied.into_iter().filter(|argument| *argument != "globex").collect();
    let at = denied.iter().position(|argument| *argument == "--aws-profile").unwrap();
    let denied = [&denied[..at], &denied[at + 1..]].concat();
    share.deployment.fail(4, &denied);
}

#[test]
fn the_libraries_of_s3s2_read_and_write_the_same() {
    let aws = require!("aws");
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = judges::s3s2_peer(folder.path()) else { return };
    let share = Share::new(aws);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&peer);
        succeed(command.current_dir(share.path(".")).args(arguments))
    };
    let contents = [("none", 0), ("one", 1), ("a/some.csv", 100_000), ("much", 9 << 20)];

    // Theirs to ours.
    for (name, length) in contents {
        share.deployment.file("plain", &payload(length));
        run(&["seal", "go.pubkey", "plain", "sealed", &format!("/{name}")]);
        let sealed = std::fs::read(share.path("sealed")).unwrap();
        share.upload(&format!("ACME/_s3s2_1_0/{name}.zip.gpg"), &sealed);
    }
    let names: Vec<&str> = contents.iter().map(|(name, _)| *name).collect();
    share.upload("ACME/_s3s2_1_0/s3s2_manifest.json", &manifest("acme", "_s3s2_1_0", &names));
    let collected = share.decrypt("_s3s2_1_0/s3s2_manifest.json", "in", &[]);
    assert_eq!(collected["files"][0]["cipher"], "cast5");
    assert_eq!(collected["trigger"], false);
    for (name, length) in contents {
        assert!(tree(&share.path("in/decrypted"))[name] == payload(length), "{name}");
        share.deployment.file(&format!("up/{name}"), &payload(length));
    }

    // Ours to theirs, also with keys of ours.
    share.deployment.run(&["s3s2", "genkey", "--keydir", ".", "--keyprefix", "own"]);
    for key in ["go", "own"] {
        let public = format!("{key}.pubkey");
        let prefix = format!("documents-{key}");
        let more = ["--directory", "up", "--prefix", &prefix, "--receiver-public-key", &public];
        let mut all: Vec<&str> = vec!["s3s2", "share", "--bucket", TO_CLIENT, "--org", "acme"];
        all.extend(["--region", "eu-west-1", "--aws-profile", "acme", "--json"]);
        all.extend(more);
        let shared: Value = serde_json::from_str(&share.deployment.run(&all)).unwrap();
        let folder = shared["batches"][0]["folder"].as_str().unwrap();
        let written = share.download(&format!("ACME/{folder}/s3s2_manifest.json"));
        let written: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(
            (&written["Organization"], &written["Folder"]),
            (&json!("acme"), &json!(folder))
        );
        for (name, length) in contents {
            share
                .deployment
                .file("sealed", &share.download(&format!("ACME/{folder}/{name}.zip.gpg")));
            let said = run(&["open", &format!("{key}.privkey"), "sealed", "opened"]);
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(
                (lines[0], lines[2], lines[3]),
                ("Message", &*format!("/{name}"), "-rw-r--r--")
            );
            assert!(std::fs::read(share.path("opened")).unwrap() == payload(length), "{name}");
        }
    }
}

#[test]
fn pythons_archives_are_read_and_ours_are_read_by_python() {
    let share = Share::new(require!("aws"));
    let good = [
        ("plain.csv", "z.writestr('/plain.csv', b'x' * 1000)"),
        ("a/b.csv", "z.writestr('C:\\\\up\\\\a\\\\b.csv', b'y' * 1000)"),
        ("stored", "z.writestr('/stored', b'z', zipfile.ZIP_STORED)"),
        ("empty", "z.writestr('/empty', b'')"),
        ("wide", "h = z.open('wide', 'w', force_zip64=True); h.write(b'w' * 70000); h.close()"),
        ("comment", "z.writestr('comment', b'c'); z.comment = b'hello'"),
    ];
    let files: Vec<_> = good.iter().map(|(name, code)| (*name, python_zip(code))).collect();
    let file = share.plant("f", &files);
    let collected = share.decrypt(&file, "in", &[]);
    assert_eq!(collected["files"].as_array().unwrap().len(), good.len());
    let found = tree(&share.path("in/decrypted"));
    assert!(found["plain.csv"] == vec![b'x'; 1000] && found["wide"] == vec![b'w'; 70_000]);

    share.deployment.file("up/data.csv", &payload(300_000));
    let shared = share.share(&["--directory", "up", "--prefix", "p"]);
    let folder = shared["batches"][0]["folder"].as_str().unwrap();
    let sealed = share.download(&format!("ACME/{folder}/data.csv.zip.gpg"));
    let keys = SecretKey::parse(&std::fs::read(share.path("go.privkey")).unwrap()).unwrap();
    let mut packed = Vec::new();
    consign_seal::s3s2::open(sealed.as_slice(), &mut packed, &keys).unwrap();
    share.deployment.file("packed.gz", &packed);
    let script = "import gzip, io, sys, zipfile\n\
        z = zipfile.ZipFile(io.BytesIO(gzip.open(sys.argv[1]).read()))\n\
        assert z.testzip() is None and z.namelist() == ['/data.csv'], z.namelist()\n\
        sys.stdout.buffer.write(z.read('/data.csv'))";
    let mut python = Command::new("python3");
    let output = python.args(["-c", script]).arg(share.path("packed.gz")).output().unwrap();
    assert!(output.stdout == payload(300_000), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn hostile_shares_leave_nothing_behind() {
    let share = Share::new(require!("aws"));
    let one = |name: &str| python_zip(&format!("z.writestr('/{name}', b'one')"));
    // (what, the archive under the key of x.csv, exit code, what is said)
    let archives = [
        ("two entries", "z.writestr('/x.csv', b'1'); z.writestr('/y', b'2')", "more than one file"),
        ("another file", "z.writestr('/y.csv', b'1')", "another file"),
        ("climbs", "z.writestr('../../x', b'1')", "another file"),
        ("no entry", "pass", "holds no file"),
        ("a folder", "z.writestr('x.csv/', b'')", "a folder or a link"),
        (
            "a link",
            "i = zipfile.ZipInfo('x.csv'); i.create_system = 3; i.external_attr = 0o120777 << 16; \
             z.writestr(i, '/etc/passwd')",
            "a folder or a link",
        ),
        ("bzip2", "z.writestr('x.csv', b'1', zipfile.ZIP_BZIP2)", "not read here"),
    ];
    for (number, (what, code, said)) in archives.iter().enumerate() {
        let files = [("good.csv", one("good.csv")), ("x.csv", python_zip(code))];
        let file = share.plant(&format!("archive{number}"), &files);
        let errors = share.deployment.fail(3, &share.decrypting(&file, "in", &[]));
        assert!(errors.contains(said), "{what}: {errors}");
        assert!(!share.path("in/decrypted").exists(), "{what}");
    }
    let bomb = python_zip("z.writestr('/x.csv', bytes(1100 << 20))");
    let file = share.plant("bomb", &[("x.csv", bomb)]);
    let errors = share.deployment.fail(3, &share.decrypting(&file, "in", &[]));
    assert!(errors.contains("--expansion-max"), "{errors}");

    let names = |folder: &str, names: &[&str]| manifest("acme", folder, names);
    let manifests: [(&str, Vec<u8>); 5] = [
        ("climbing", names("climbing", &["../../../tmp/x"])),
        ("elsewhere", names("archive0", &["good.csv"])),
        ("twice", names("twice", &["a", "A"])),
        ("started", br#"{"Organization": "acme", "Folder": "started", "Files": null}"#.to_vec()),
        ("other", manifest("other", "other", &["good.csv"])),
    ];
    for (folder, text) in manifests {
        let file = format!("{folder}/s3s2_manifest.json");
        share.upload(&format!("ACME/{file}"), &text);
        share.deployment.fail(3, &share.decrypting(&file, "in", &[]));
    }
    share.upload("ACME/missing/s3s2_manifest.json", &names("missing", &["gone.csv"]));
    share.deployment.fail(5, &share.decrypting("missing/s3s2_manifest.json", "in", &[]));
    share.deployment.fail(5, &share.decrypting("nothing/s3s2_manifest.json", "in", &[]));

    // Two sealed files exchanged, one cut short, one empty, one flipped.
    let sealed = share.download("ACME/archive0/good.csv.zip.gpg");
    let mut flipped = sealed.clone();
    let at = sealed.len() - 60;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    let damaged = [
        ("exchanged", sealed.clone()),
        ("cut", sealed[..sealed.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("flipped", flipped),
    ];
    for (folder, content) in damaged {
        share.upload(&format!("ACME/{folder}/x.csv.zip.gpg"), &content);
        let file = format!("{folder}/s3s2_manifest.json");
        share.upload(&format!("ACME/{file}"), &names(folder, &["x.csv", "good.csv"]));
        share.upload(&format!("ACME/{folder}/good.csv.zip.gpg"), &sealed);
        share.deployment.fail(3, &share.decrypting(&file, "in", &[]));
    }
    assert_eq!(std::fs::read_dir(share.path("in")).unwrap().count(), 0, "nothing is left");

    let mut other = share.decrypting("archive0/s3s2_manifest.json", "in", &[]);
    share.deployment.run(&["s3s2", "genkey", "--keydir", ".", "--keyprefix", "own"]);
    *other.iter_mut().find(|argument| **argument == "go.privkey").unwrap() = "own.privkey";
    share.deployment.fail(2, &other);
}

#[test]
fn keys_and_configurations_are_made_and_never_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let consign = |arguments: &[&str]| {
        let mut command = support::consign();
        command.current_dir(folder.path()).env("HOME", folder.path()).args(arguments);
        command
    };
    let mode = |name: &str| {
        std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
    };
    let genkey = ["s3s2", "genkey", "--keydir", "keys", "--keyprefix", "globex"];
    let output = consign(&genkey).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("consign keys new PARTY"));
    assert_eq!((mode("keys/globex.privkey"), mode("keys/globex.pubkey")), (0o600, 0o644));
    let text = std::fs::read(folder.path().join("keys/globex.privkey")).unwrap();
    assert_eq!(SecretKey::parse(&text).unwrap().len(), 1);
    assert_eq!(consign(&genkey).status().unwrap().code(), Some(2));

    let config = ["s3s2", "config", "--bucket", "b", "--region", "eu-west-1", "--org", "acme"];
    let rest = ["--directory", "up", "--prefix", "", "--receiver-public-key", "keys/globex.pubkey"];
    succeed(&mut consign(&[&config[..], &rest].concat()));
    assert_eq!(mode(".s3s2.json"), 0o600);
    assert_eq!(consign(&[&config[..], &rest].concat()).status().unwrap().code(), Some(2));
    // Found at home, so that only the folder is missing.
    let output = consign(&["s3s2", "share", "--endpoint", "http://127.0.0.1:9"]).output().unwrap();
    let errors = support::both(&output);
    assert!(errors.contains("cannot read up"), "{errors}");
    assert_eq!(output.status.code(), Some(2));

    for (arguments, said) in [
        (&["share", "--is-gcs", "--bucket", "b"][..], "--endpoint"),
        (&["share", "--config", "keys/globex.pubkey"], "not a JSON configuration"),
        (&["decrypt", "--ssm-private-key", "/k"], "--file is missing"),
        (
            &["share", "--directory", "keys", "--receiver-public-key", "https://k.example/a"],
            "#FINGERPRINT",
        ),
        (&["decrypt", "--my-private-key", "keys/globex.pubkey", "--file", "f"], "public key"),
        (&["genkey", "--keydir", ".", "--keyprefix", "../x"], "--keyprefix"),
    ] {
        let output = consign(&[&["s3s2"], arguments].concat()).output().unwrap();
        let errors = support::both(&output);
        assert!(errors.contains(said), "{arguments:?}: {errors}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn shared_files_are_put_away_only_when_asked() {
    let share = Share::new(require!("aws"));
    for name in ["m.csv", "a.csv", "sub/b.csv"] {
        share.deployment.file(&format!("up/{name}"), name.as_bytes());
    }
    share.deployment.file("up/.keep", b"x");
    let share_up = |more: &[&str]| {
        let arguments = ["--directory", "up", "--metadata-files", "m.csv"];
        share.share(&[&arguments[..], more].concat())
    };
    share_up(&["--prefix", "one"]);
    assert_eq!(tree(&share.path("up")).len(), 4, "nothing is deleted by default");
    share_up(&["--prefix", "two", "--archive-directory", "old"]);
    assert_eq!(tree(&share.path("up")).len(), 1);
    assert_eq!(tree(&share.path("old/up"))["sub/b.csv"], b"sub/b.csv");
    share.deployment.file("up/m.csv", b"m");
    share_up(&["--prefix", "three", "--delete-on-completion", "--lambda-trigger=false"]);
    let left: Vec<String> = tree(&share.path("up")).into_keys().collect();
    assert_eq!(left, [".keep"], "what was not shared is not deleted");
    let keys = share.keys();
    let triggers = keys.iter().filter(|key| key.ends_with("._lambda_trigger")).count();
    assert_eq!(triggers, 2, "{keys:?}");

    let list = format!("key,file_path\n1,{}\n", share.path("old/up/a.csv").display());
    share.deployment.file("list.csv", list.as_bytes());
    let shared = share.share(&["--share-from-list", "list.csv", "--prefix", "listed"]);
    let name = shared["batches"][0]["files"][0].as_str().unwrap().to_owned();
    assert!(name.len() == "20260131/a.csv".len() && name.ends_with("/a.csv"), "{name}");
    let file = shared["batches"][0]["manifest"].as_str().unwrap();
    share.decrypt(file, "in", &[]);
    assert_eq!(tree(&share.path("in/decrypted"))[&name], b"a.csv");
}
