//! Plans that are saved, refused, allowed and handed over, as a person and a script do it.

use std::path::Path;

use crate::support::{Deployment, both, succeed};

const TO_CLIENT: &str = "acme-to-client";
const FROM_CLIENT: &str = "acme-from-client";

/// Each side owns the lane that it sends on.
const EXCHANGE: &str = r#"
version = 1
exchange = "acme-globex"
region = "eu-west-1"
[party.acme]
account = "111111111111"
principal = "user/consign/acme"
[party.globex]
account = "222222222222"
principal = "user/consign/globex"
[lane.to-client]
from = "acme"
to = ["globex"]
bucket = "acme-to-client"
[lane.from-client]
from = "globex"
to = ["acme"]
bucket = "acme-from-client"
"#;

fn with_initech() -> String {
    EXCHANGE.replace(r#"to = ["globex"]"#, r#"to = ["globex", "initech"]"#)
        + "[party.initech]\naccount = \"222222222222\"\nprincipal = \"user/consign/initech\"\n"
}

#[test]
fn a_saved_plan_is_applied_once_and_exit_codes_say_what_is_the_case() {
    let deployment = Deployment::serving(EXCHANGE);
    deployment.fail(2, &["plan", "--exit-code"]);
    deployment.run(&["plan", "--out", "plan.json"]);
    deployment.run(&["apply", "--plan", "plan.json", "--yes"]);
    deployment.run(&["plan", "--exit-code"]);
    let stale = deployment.fail(1, &["apply", "--plan", "plan.json", "--yes"]);
    assert!(stale.contains("what is deployed has changed since this plan was made"), "{stale}");

    // 2 means "something to change" and nothing else.
    deployment.file("exchange.toml", b"version = 7");
    deployment.fail(1, &["plan", "--exit-code"]);
    deployment.fail(2, &["plan"]);
}

#[test]
fn nobody_new_is_let_into_an_open_lane_unasked() {
    let deployment = Deployment::serving(EXCHANGE);
    deployment.run(&["apply", "--yes"]);
    deployment.file("exchange.toml", with_initech().as_bytes());
    let asked = deployment.fail(2, &["apply", "--yes"]);
    assert!(asked.contains("! lane `to-client`: initech gains get"), "{asked}");
    assert!(asked.contains("add --yes --allow-widening"), "{asked}");
    deployment.fail(2, &["plan", "--exit-code"]);
    deployment.run(&["apply", "--yes", "--allow-widening"]);
    deployment.run(&["plan", "--exit-code"]);
    // Taking away asks for no more than a yes.
    deployment.file("exchange.toml", EXCHANGE.as_bytes());
    deployment.run(&["apply", "--yes"]);
}

#[test]
fn what_is_not_ours_is_taken_over_only_when_told_so() {
    let tool = consign_testkit::require!("aws");
    let deployment = Deployment::serving(EXCHANGE);
    let admin = ["--profile", "admin-111111111111"];
    let make = ["s3api", "create-bucket", "--bucket", TO_CLIENT, "--create-bucket-configuration"];
    let region = ["LocationConstraint=eu-west-1"];
    succeed(deployment.tool(&tool).args(make).args(region).args(admin));
    let tags = ["s3api", "put-bucket-tagging", "--bucket", TO_CLIENT, "--tagging"];
    let team = ["TagSet=[{Key=team,Value=lab}]"];
    succeed(deployment.tool(&tool).args(tags).args(team).args(admin));

    let refused = deployment.fail(1, &["apply", "--yes"]);
    assert!(
        refused.contains("bucket acme-to-client exists and was not made by consign"),
        "{refused}"
    );
    assert!(refused.contains("consign adopt --lane to-client"), "{refused}");
    deployment.fail(1, &["adopt", "--lane", "from-client", "--yes"]);
    deployment.run(&["adopt", "--lane", "to-client", "--yes"]);
    deployment.run(&["plan", "--exit-code"]);
}

/// acme uses consign; globex has the AWS CLI and the script that acme sends.
#[test]
fn the_other_party_does_its_half_with_the_aws_cli() {
    let tool = consign_testkit::require!("aws");
    let deployment = Deployment::serving(EXCHANGE);
    deployment.run(&["apply", "--as", "acme", "--yes"]);
    deployment.run(&["handover", "--as", "acme", "--out", "handover"]);
    let told = run_script(&deployment, &tool, "handover/222222222222/handover.sh");
    let told: Vec<&str> = told.lines().filter(|line| line.starts_with("--key ")).collect();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    let key = told.trim_start_matches("--key ");
    deployment.run(&["apply", "--as", "acme", "--yes", "--key", key]);

    deployment.file("f", b"across accounts");
    for (writer, reader, bucket) in [("acme", "globex", TO_CLIENT), ("globex", "acme", FROM_CLIENT)]
    {
        let there = format!("s3://{bucket}/delivered");
        let cp = |from: &str, to: &str, who: &str| {
            let mut command = deployment.tool(&tool);
            command.args(["s3", "cp", from, to, "--profile", who]);
            command
        };
        succeed(&mut cp("f", &there, writer));
        succeed(&mut cp(&there, "got", reader));
        assert_eq!(std::fs::read(deployment.path("got")).unwrap(), b"across accounts");
        let refused = cp("f", &there, reader).output().unwrap();
        assert!(!refused.status.success(), "{reader} wrote to {bucket}: {}", both(&refused));
    }
    // Seen with both parties' eyes, what the script made is what consign would have made.
    let rest = deployment.run(&["plan"]);
    assert!(rest.starts_with("Nothing to do"), "{rest}");
    deployment.run(&["prove", "--live"]);
}

fn run_script(deployment: &Deployment, aws: &Path, script: &str) -> String {
    let mut shell = deployment.tool(Path::new("sh"));
    let path = std::env::var("PATH").unwrap();
    shell
        .arg(script)
        .env("PATH", format!("{}:{path}", aws.parent().unwrap().display()))
        .env("AWS_PROFILE", "admin-222222222222");
    succeed(&mut shell)
}

#[test]
fn the_least_policy_is_printed() {
    let deployment = Deployment::serving(EXCHANGE);
    let policy = deployment.run(&["permissions", "--as", "globex"]);
    let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
    let resources = policy["Statement"][0]["Resource"].clone();
    assert_eq!(resources, "arn:aws:s3:::acme-from-client", "globex's own account alone");
    let all = deployment.run(&["permissions", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 2);
}
