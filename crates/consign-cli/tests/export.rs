//! Exported files before other people's tools: cfn-lint reads the templates, Terraform makes what a
//! module says (against moto, which keeps everything and enforces nothing) and finds nothing to
//! change afterwards. And what `consign export` does with the files of others.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{both, consign, succeed};
use consign_testkit::judges;
use consign_testkit::moto::Moto;

/// A folder with an exchange file.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// The two-way template for these two accounts, `more` added to each lane.
    fn new(accounts: [&str; 2], more: &str) -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        let party = |name: &str, account: &str| format!("{name}={account}");
        let (acme, globex) = (party("acme", accounts[0]), party("globex", accounts[1]));
        desk.run(&["init", "--party", &acme, "--party", &globex]);
        let file = desk.path("exchange.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let owned = text.lines().filter(|line| line.starts_with("owner = ")).count();
        assert_eq!(owned, 2, "the template names an owner per lane");
        let mut lanes = ["to-client", "from-client"].into_iter();
        let text: String = text
            .lines()
            .map(|line| match line.starts_with("owner = ") {
                true => format!("{line}\n{}\n", more.replace("LANE", lanes.next().unwrap())),
                false => format!("{line}\n"),
            })
            .collect();
        std::fs::write(file, text).unwrap();
        desk
    }

    /// A hub with two partners, three accounts.
    fn hub() -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        let parties = ["lab=111111111111", "p-one=222222222222", "p-two=333333333333"];
        let parties = parties.into_iter().flat_map(|party| ["--party", party]);
        let arguments: Vec<&str> =
            ["init", "--template", "hub"].into_iter().chain(parties).collect();
        desk.run(&arguments);
        desk
    }

    /// A secure inbox; with `more` also a quarantine and a route by tags.
    fn inbox(accounts: [&str; 2], more: bool) -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        let parties = [("acme-lab", 0), ("acme", 0), ("globex", 1)];
        let parties = parties.map(|(name, at)| format!("{name}={}", accounts[at]));
        let parties = parties.iter().flat_map(|party| ["--party", party]);
        let arguments: Vec<&str> =
            ["init", "--template", "inbox"].into_iter().chain(parties).collect();
        desk.run(&arguments);
        if more {
            let file = desk.path("exchange.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            let text = text
                .replace("# quarantine = \"scanner\"", "quarantine = \"scanner\"")
                .replace("# tags = {", "tags = {");
            let scanner = "[party.scanner]\nprincipal = \"role/scanner\"\ntrust = \"account\"\n";
            let text = format!("{text}{scanner}account = \"{}\"\n", accounts[1]);
            std::fs::write(file, text).unwrap();
        }
        desk
    }

    /// Gives globex a role that does not exist yet instead of a user.
    fn globex_as_a_role(self) -> Desk {
        let file = self.path("exchange.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let user = "principal = \"user/consign/globex\"";
        assert!(text.contains(user), "{text}");
        let role = "principal = \"role/consign/globex\"\ntrust = \"account\"\n\
                    external_id = \"consign-4711\"";
        std::fs::write(file, text.replace(user, role)).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn consign(&self, arguments: &[&str]) -> Command {
        let mut command = consign();
        command.args(arguments).current_dir(self.folder.path()).env("HOME", self.folder.path());
        command.env_remove("XDG_CONFIG_HOME");
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.consign(arguments))
    }

    /// What it says when it refuses.
    fn refuse(&self, arguments: &[&str]) -> String {
        let output = self.consign(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{}", both(&output));
        String::from_utf8(output.stderr).unwrap()
    }
}

const TWO: [&str; 2] = ["111111111111", "222222222222"];
const ONE: [&str; 2] = ["111111111111", "111111111111"];

#[test]
fn cfn_lint_finds_nothing_in_the_templates() {
    let tool = consign_testkit::require!("cfn-lint");
    let (mut desks, mut templates) = (Vec::new(), Vec::new());
    for (accounts, more) in [
        (TWO, ""),
        (ONE, ""),
        (TWO, "at_rest = \"dsse-kms\"\nwriter = \"encrypt-only\""),
        (ONE, "at_rest = \"sse-c\""),
        (TWO, "at_rest = \"sse-s3\"\nprefix = \"exchange/\"\nwrite_once = false"),
        (ONE, "bucket = \"a-bucket-of-our-own-LANE\""),
    ] {
        let desk = Desk::new(accounts, more);
        let made = desk.run(&["export", "cloudformation", "--out", "made"]);
        templates.extend(made.lines().map(|template| desk.path(template)));
        desks.push(desk);
    }
    let with_role = |accounts| Desk::new(accounts, "").globex_as_a_role();
    let inboxes = [Desk::inbox(TWO, false), Desk::inbox(TWO, true), Desk::inbox(ONE, true)];
    for desk in [with_role(TWO), with_role(ONE), Desk::hub()].into_iter().chain(inboxes) {
        let made = desk.run(&["export", "cloudformation", "--out", "made"]);
        templates.extend(made.lines().map(|template| desk.path(template)));
        desks.push(desk);
    }
    let mut lint = judges::command(&tool);
    lint.args(["--regions", "eu-west-1", "--include-checks", "I", "--format", "json"]);
    let output = lint.arg("--template").args(&templates).output().unwrap();
    let said = both(&output);
    let found: Vec<serde_json::Value> = serde_json::from_str(&said).expect(&said);
    let faults: Vec<_> = found.iter().filter(|found| !is_newer_action(found)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(templates.len(), 20);
}

/// An action that cfn-lint before 1.58 does not know, because it is newer.
fn is_newer_action(found: &serde_json::Value) -> bool {
    let message = found["Message"].as_str().unwrap_or_default();
    let action = message.split('\'').nth(1).unwrap_or_default();
    found["Rule"]["Id"] == "W3037"
        && (action.ends_with("annotation") || action.ends_with("annotations"))
}

/// Where providers lie that need no download: Terraform's own folders and an unpacked mirror.
fn plugins() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folders = [
        std::env::var_os("CONSIGN_TEST_TERRAFORM_PLUGINS").map(PathBuf::from).unwrap_or_default(),
        home.join(".terraform.d/plugins"),
        "/usr/local/share/terraform/plugins".into(),
        "/usr/share/terraform/plugins".into(),
        "/opt/tf-plugins".into(),
    ];
    let with_aws = |folder: &&PathBuf| folder.join("registry.terraform.io/hashicorp/aws").is_dir();
    folders.iter().find(with_aws).cloned()
}

struct Terraform {
    tool: PathBuf,
    plugins: PathBuf,
    folder: PathBuf,
}

impl Terraform {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = judges::command(&self.tool);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TF_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&self.folder)
            .args(arguments)
            .env("CHECKPOINT_DISABLE", "1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }

    fn init(&self) {
        let plugins = format!("-plugin-dir={}", self.plugins.display());
        succeed(&mut self.command(&["init", "-input=false", "-no-color", &plugins]));
    }
}

/// The tools, or `None` after a visible line.
fn terraform(folder: PathBuf) -> Option<Terraform> {
    let skipped = |what: &str| {
        let test = std::thread::current().name().unwrap_or("test").to_owned();
        eprintln!("SKIPPED {test}: {what} is not on this machine");
    };
    let Some(tool) = judges::find("terraform") else {
        skipped("terraform");
        return None;
    };
    let Some(plugins) = plugins() else {
        skipped("an unpacked AWS provider for Terraform");
        return None;
    };
    Some(Terraform { tool, plugins, folder })
}

#[test]
fn terraform_makes_what_a_module_says_and_then_has_nothing_to_change() {
    let desk = Desk::new(ONE, "bucket = \"a-bucket-of-our-own-LANE\"").globex_as_a_role();
    let Some(terraform) = terraform(desk.path("made/acme-globex-111111111111")) else { return };
    let moto = consign_testkit::require!("moto_server");
    desk.run(&["export", "terraform", "--provider", "5", "--out", "made"]);
    let moto = Moto::start(&moto, ONE[0]);
    aside(&terraform.folder, &moto.endpoint);
    terraform.init();
    succeed(&mut terraform.command(&["validate", "-no-color"]));
    let made = succeed(&mut terraform.command(&["apply", "-auto-approve", "-no-color"]));
    // Per lane seven resources of the bucket and two of the key; a user and a role with a policy each.
    assert!(made.contains("22 added, 0 changed, 0 destroyed"), "{made}");
    let mut again = terraform.command(&["plan", "-no-color", "-detailed-exitcode"]);
    let again = again.output().unwrap();
    assert_eq!(again.status.code(), Some(0), "the second plan is not empty:\n{}", both(&again));
    let destroyed = terraform.command(&["destroy", "-auto-approve", "-no-color"]).output().unwrap();
    assert!(!destroyed.status.success(), "keys and buckets are not destroyed");
    assert!(both(&destroyed).contains("prevent_destroy"), "{}", both(&destroyed));
}

/// The local cloud in a process of its own. It knows nothing of the exchange.
struct Cloud {
    server: Child,
    environment: Vec<(String, String)>,
}

impl Cloud {
    fn start(desk: &Desk, account: &str) -> Cloud {
        let serve = ["local", "serve", "--json", "--quiet", "--account", account, "--root"];
        let mut command = desk.consign(&serve);
        // Elsewhere than the exchange file, whose users it would make.
        std::fs::create_dir(desk.path("elsewhere")).unwrap();
        command.arg(desk.path("cloud")).current_dir(desk.path("elsewhere"));
        let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = server.stdout.take().unwrap();
        let mut said = serde_json::Deserializer::from_reader(said).into_iter();
        let said: serde_json::Value = said.next().expect("the cloud says where it is").unwrap();
        let variables = said["environment"].as_object().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let mut environment: Vec<_> = variables.map(|(k, v)| (k.clone(), text(v))).collect();
        environment.push(("AWS_PROFILE".to_owned(), format!("admin-{account}")));
        Cloud { server, environment }
    }

    fn endpoint(&self) -> &str {
        let mut variables = self.environment.iter();
        &variables.find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap().1
    }

    fn place<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)))
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
    }
}

#[test]
fn what_terraform_makes_where_policies_are_enforced_is_what_consign_wants() {
    let desk = Desk::new(ONE, "bucket = \"a-bucket-of-our-own-LANE\"").globex_as_a_role();
    let Some(terraform) = terraform(desk.path("made/acme-globex-111111111111")) else { return };
    desk.run(&["export", "terraform", "--provider", "5", "--out", "made"]);
    let cloud = Cloud::start(&desk, ONE[0]);
    aside(&terraform.folder, cloud.endpoint());
    terraform.init();
    succeed(cloud.place(&mut terraform.command(&["apply", "-auto-approve", "-no-color"])));

    let plan = succeed(cloud.place(&mut desk.consign(&["plan", "--json"])));
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let steps = plan["steps"].as_array().unwrap().iter();
    let mut calls: Vec<_> = steps.map(|step| step["action"]["call"].as_str().unwrap()).collect();
    calls.sort_unstable();
    // What provider 5 does not know, per lane.
    assert_eq!(calls, ["put-encryption", "put-encryption"]);
    succeed(cloud.place(&mut desk.consign(&["prove", "--live"])));

    let plan = ["plan", "-no-color", "-detailed-exitcode"];
    let blind = [plan.as_slice(), &["-refresh=false"]].concat();
    succeed(cloud.place(&mut terraform.command(&blind)));
    // A provider that may not see the buckets takes them for gone; their guards stay all the same.
    let output = cloud.place(&mut terraform.command(&plan)).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains("prevent_destroy"), "{}", both(&output));
}

/// Sends the provider to an endpoint instead of AWS.
fn aside(folder: &Path, endpoint: &str) {
    let services = ["s3", "kms", "iam", "sts"].map(|service| (service, endpoint));
    let endpoints = services.into_iter().collect::<std::collections::BTreeMap<_, _>>();
    let aside = serde_json::json!({ "provider": { "aws": {
        "endpoints": endpoints,
        "s3_use_path_style": true,
        "skip_metadata_api_check": true,
    } } });
    std::fs::write(folder.join("aside_override.tf.json"), aside.to_string()).unwrap();
}

#[test]
fn terraform_accepts_both_halves_of_an_exchange() {
    let desk = Desk::new(TWO, "bucket = \"a-bucket-of-our-own-LANE\"").globex_as_a_role();
    validated(&desk);
    let desk = Desk::inbox(TWO, true);
    let file = desk.path("exchange.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let owners = [("key = \"globex\"", "reports"), ("consumers = [\"globex\"]", "reports-in")];
    let text = owners.into_iter().fold(text, |text, (line, name)| {
        text.replace(line, &format!("{line}\nbucket = \"a-bucket-of-our-own-{name}\""))
    });
    std::fs::write(file, text).unwrap();
    validated(&desk);
}

fn validated(desk: &Desk) {
    let made = desk.run(&["export", "terraform", "--provider", "5", "--out", "made"]);
    assert_eq!(made.lines().count(), 2, "{made}");
    for module in made.lines() {
        let folder = desk.path(module).parent().unwrap().to_owned();
        let Some(terraform) = terraform(folder) else { return };
        terraform.init();
        succeed(&mut terraform.command(&["validate", "-no-color"]));
    }
}

#[test]
fn one_file_is_printed_and_several_need_a_folder() {
    let desk = Desk::new(TWO, "");
    let told = desk.refuse(&["export", "cloudformation"]);
    assert!(told.contains("2 files") && told.contains("--out"), "{told}");
    let told = desk.refuse(&["export", "policies"]);
    assert!(told.contains("--out"), "{told}");
    let told = desk.refuse(&["export", "cloudformation", "--as", "initech"]);
    assert!(told.contains("initech") && told.contains("acme, globex"), "{told}");
    let told = desk.refuse(&["export", "policies", "--out", "p", "--key", "to-client=nonsense"]);
    assert!(told.contains("nonsense") && told.contains("--key to-client=arn:"), "{told}");
    assert!(!desk.path("p").exists());

    let printed = desk.run(&["export", "cloudformation", "--as", "acme"]);
    desk.run(&["export", "cloudformation", "--out", "made"]);
    let path = desk.path("made/acme-globex-111111111111.json");
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "others may read what is exported");
    let written = std::fs::read_to_string(desk.path("made/acme-globex-111111111111.json")).unwrap();
    assert_eq!(printed, written);
}

#[test]
fn files_of_others_are_left_alone() {
    let desk = Desk::new(ONE, "");
    let folder = desk.path("made");
    std::fs::create_dir(&folder).unwrap();
    let theirs = folder.join("bucket-to-client.json");
    std::fs::write(&theirs, "{}").unwrap();
    let told = desk.refuse(&["export", "policies", "--out", "made"]);
    assert!(told.contains("bucket-to-client.json") && told.contains("--force"), "{told}");
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "{}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing was written beside it");

    desk.run(&["export", "policies", "--out", "made", "--force"]);
    let written = |desk: &Desk| {
        let said = desk.run(&["export", "policies", "--out", "made", "--json"]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        said["written"].as_array().unwrap().len()
    };
    assert_eq!(written(&desk), 0, "the same input gives the same bytes");
    // What the index lists is ours, even when the exchange file has changed.
    let exchange = std::fs::read_to_string(desk.path("exchange.toml")).unwrap();
    let changed = exchange.replace("owner =", "writer = \"encrypt-only\"\nowner =");
    std::fs::write(desk.path("exchange.toml"), changed).unwrap();
    assert!(written(&desk) > 0);
    // Another exchange's are not.
    let other = exchange.replace("exchange = \"acme-globex\"", "exchange = \"other\"");
    std::fs::write(desk.path("exchange.toml"), other).unwrap();
    let told = desk.refuse(&["export", "policies", "--out", "made"]);
    assert!(told.contains("not exported from the exchange other"), "{told}");
}
