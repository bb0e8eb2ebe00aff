//! A secure inbox as two organisations set it up, each with its own administrator, and the stock AWS
//! CLI as generator, publisher, scanner and consumer.

use std::path::Path;

use crate::support::{self, Deployment, both, halves, succeed};

const REPOSITORY: &str = "acme-globex-reports-111111111111-eu-west-1-an";
const INBOX: &str = "acme-globex-reports-in-222222222222-eu-west-1-an";

/// The template with a quarantine.
fn exchange() -> String {
    let text = halves::template();
    let guarded = text.replace("# quarantine = \"scanner\"", "quarantine = \"scanner\"");
    assert_ne!(guarded, text);
    guarded + "[party.scanner]\naccount = \"222222222222\"\nprincipal = \"user/consign/scanner\"\n"
}

struct Stage {
    deployment: Deployment,
    tool: std::path::PathBuf,
}

impl Stage {
    fn aws(&self, profile: &str, arguments: &[&str]) -> std::process::Output {
        let mut command = self.deployment.tool(&self.tool);
        // For SQS the CLI has old addresses of its own.
        let endpoint = ["--endpoint-url", self.deployment.endpoint()];
        command.args(arguments).args(["--profile", profile]).args(endpoint).output().unwrap()
    }

    fn may(&self, profile: &str, arguments: &[&str]) -> String {
        let output = self.aws(profile, arguments);
        assert!(output.status.success(), "{profile}: {arguments:?}\n{}", both(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn may_not(&self, profile: &str, arguments: &[&str]) {
        let output = self.aws(profile, arguments);
        let said = both(&output);
        assert!(!output.status.success(), "{profile}: {arguments:?} must be denied\n{said}");
        let denied = said.contains("AccessDenied") || said.contains("(403)");
        assert!(denied, "{profile}: {arguments:?} must be denied as AWS denies:\n{said}");
    }

    /// CopyObject as a publisher asks for it, with this key and what is added.
    fn copy<'a>(&self, key: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let source = "acme-globex-reports-111111111111-eu-west-1-an/scan.txt";
        let fixed = ["s3api", "copy-object", "--copy-source", source, "--bucket", INBOX];
        let tags = ["--tagging-directive", "REPLACE", "--key", key];
        fixed.into_iter().chain(tags).chain(more.iter().copied()).collect()
    }
}

#[test]
fn two_organisations_set_it_up_and_a_copy_goes_through() {
    let tool = consign_testkit::require!("aws");
    let stage = Stage { deployment: Deployment::serving(&exchange()), tool };
    let keys = halves::apply(&stage.deployment);
    let alone = ["prove", "--live", "--as", "acme"];
    let untold = stage.deployment.fail(3, &alone);
    assert!(untold.contains("--key reports=ARN --key reports-in=ARN"), "{untold}");
    let told: Vec<&str> = keys.values().flat_map(|key| ["--key", key]).collect();
    stage.deployment.run(&[&alone, told.as_slice()].concat());
    let rest = stage.deployment.consign(&["plan", "--exit-code"]).output().unwrap();
    assert_eq!(rest.status.code(), Some(0), "{}", both(&rest));
    let proof = stage.deployment.run(&["prove", "--live"]);
    assert!(proof.contains("deliver") && proof.contains("receive from the queue"), "{proof}");
    assert!(proof.contains(" 0 not as declared") && proof.contains(" 0 not proved"), "{proof}");
    generated(&stage);
    announced(&stage);
    delivered(&stage);
    released(&stage);
    stage.deployment.run(&["audit", "--json"]);
    explained(&stage.deployment);
}

fn generated(stage: &Stage) {
    stage.deployment.file("scan.txt", b"a scan");
    let there = format!("s3://{REPOSITORY}/scan.txt");
    stage.may("acme-lab", &["s3", "cp", "scan.txt", &there]);
    stage.may_not("acme-lab", &["s3", "cp", &there, "back"]);
    stage.may_not("acme-lab", &["s3", "ls", &format!("s3://{REPOSITORY}/")]);
    stage.may_not("acme-lab", &["s3", "cp", "scan.txt", &format!("s3://{INBOX}/scan.txt")]);
    // In parts it would need kms:Decrypt.
    stage.deployment.file("large", &vec![7; 9 << 20]);
    stage.may_not("acme-lab", &["s3", "cp", "large", &format!("s3://{REPOSITORY}/large")]);
    for other in ["globex", "scanner", "admin-111111111111", "admin-222222222222"] {
        stage.may_not(other, &["s3", "cp", &there, "back"]);
    }
}

fn announced(stage: &Stage) {
    let url = ["sqs", "get-queue-url", "--queue-name", "consign-acme-globex-reports"];
    let url: serde_json::Value = serde_json::from_str(&stage.may("acme", &url)).unwrap();
    let url = url["QueueUrl"].as_str().unwrap();
    let receive = ["sqs", "receive-message", "--wait-time-seconds", "5", "--queue-url", url];
    for other in ["acme-lab", "globex", "admin-111111111111", "admin-222222222222"] {
        stage.may_not(other, &receive);
        stage.may_not(other, &["sqs", "send-message", "--message-body", "{}", "--queue-url", url]);
    }
    stage.may_not("acme", &["sqs", "send-message", "--message-body", "{}", "--queue-url", url]);
    stage.may_not("admin-111111111111", &["sqs", "purge-queue", "--queue-url", url]);
    let received: Vec<String> = (0..3).map(|_| stage.may("acme", &receive)).collect();
    assert!(received.iter().any(|text| text.contains("scan.txt")), "{received:?}");
}

fn delivered(stage: &Stage) {
    let once = ["--if-none-match", "*"];
    let copy = stage.copy("scan.txt", &once);
    for other in ["acme-lab", "globex", "scanner", "admin-111111111111", "admin-222222222222"] {
        stage.may_not(other, &copy);
    }
    stage.may_not("acme", &stage.copy("scan.txt", &[]));
    let other_key = ["--if-none-match", "*", "--server-side-encryption", "AES256"];
    stage.may_not("acme", &stage.copy("scan.txt", &other_key));
    // A tag with the copy would say that it was scanned.
    let forged =
        ["--if-none-match", "*", "--tagging", "GuardDutyMalwareScanStatus=NO_THREATS_FOUND"];
    stage.may_not("acme", &stage.copy("scan.txt", &forged));
    stage.may("acme", &copy);
    let again = both(&stage.aws("acme", &copy));
    assert!(again.contains("PreconditionFailed"), "{again}");
    let object = ["--bucket", INBOX, "--key", "scan.txt"];
    stage.may_not("acme", &[&["s3api", "head-object"], &object[..]].concat());
    stage.may_not("acme", &[&["s3api", "delete-object"], &object[..]].concat());
    stage.may_not("acme", &["s3", "ls", &format!("s3://{INBOX}/")]);
}

fn released(stage: &Stage) {
    let there = format!("s3://{INBOX}/scan.txt");
    stage.may("globex", &["s3", "ls", &format!("s3://{INBOX}/")]);
    stage.may_not("globex", &["s3", "cp", &there, "got"]);
    let tag = |value: &str| format!("TagSet=[{{Key=GuardDutyMalwareScanStatus,Value={value}}}]");
    let (clean, threats) = (tag("NO_THREATS_FOUND"), tag("THREATS_FOUND"));
    let say = |tags| {
        let call = ["s3api", "put-object-tagging", "--bucket", INBOX, "--key", "scan.txt"];
        [&call[..], &["--tagging", tags]].concat()
    };
    for other in ["globex", "acme", "admin-222222222222"] {
        stage.may_not(other, &say(&clean));
    }
    stage.may("scanner", &["s3", "cp", &there, "scanned"]);
    stage.may("scanner", &say(&threats));
    stage.may_not("globex", &["s3", "cp", &there, "got"]);
    stage.may("scanner", &say(&clean));
    stage.may("globex", &["s3", "cp", &there, "got"]);
    assert_eq!(std::fs::read(stage.deployment.path("got")).unwrap(), b"a scan");
    let head = ["s3api", "head-object", "--bucket", INBOX, "--key", "scan.txt"];
    let head = stage.may("globex", &head);
    assert!(head.contains("arn:aws:kms:eu-west-1:222222222222:key/"), "{head}");
}

fn explained(deployment: &Deployment) {
    let object = format!("s3://{INBOX}/scan.txt");
    let output = deployment.consign(&["explain", "--as", "acme", "GetObject", &object]).output();
    let said = both(&output.unwrap());
    assert!(said.contains("DenyReadsByOthers"), "{said}");
}

/// What each account's half needs, from one folder of documents.
#[test]
fn a_folder_of_its_documents_is_proved() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = support::consign();
        command.args(arguments).current_dir(folder.path());
        succeed(&mut command)
    };
    std::fs::write(folder.path().join("exchange.toml"), exchange()).unwrap();
    run(&["export", "policies", "--out", "policies"]);
    assert!(Path::new(&folder.path().join("policies/queue-reports.json")).exists());
    let exchange = ["--exchange", "exchange.toml"];
    let proof = run(&[&["prove", "--documents", "policies"], &exchange[..]].concat());
    assert!(proof.contains(" 0 not as declared"), "{proof}");
    let permissions = run(&["permissions", "--as", "acme"]);
    assert!(permissions.contains("sqs:CreateQueue"), "{permissions}");
}
