//! `consign audit` and `consign doctor` as a person runs them, on an exchange that the AWS CLI
//! breaks behind consign's back.

use crate::support::{Deployment, TO_CLIENT, both, succeed};
use serde_json::Value;

const ADMIN: &str = "admin-111111111111";

fn findings(deployment: &Deployment, code: i32) -> Vec<Value> {
    let output = deployment.consign(&["audit", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", both(&output));
    // A failure follows as a document of its own.
    let mut documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    documents.next().unwrap().unwrap()
}

fn failed(findings: &[Value]) -> Vec<&str> {
    let failed = findings.iter().filter(|finding| finding["verdict"] == "fail");
    failed.map(|finding| finding["control"].as_str().unwrap()).collect()
}

#[test]
fn an_applied_exchange_is_audited_clean_and_its_report_is_written() {
    let deployment = Deployment::new();
    let findings = findings(&deployment, 0);
    assert!(failed(&findings).is_empty());
    assert!(findings.iter().any(|it| it["verdict"] == "pass"));
    let page = deployment.run(&["audit", "--all", "--sarif", "audit.sarif"]);
    assert!(page.contains("0 FAIL") && page.contains("not looked at"), "{page}");
    let sarif = std::fs::read(deployment.path("audit.sarif")).unwrap();
    let sarif: Value = serde_json::from_slice(&sarif).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), findings.len());
}

#[test]
fn what_the_aws_cli_breaks_fails_and_apply_mends_it() {
    let tool = consign_testkit::require!("aws");
    let deployment = Deployment::new();
    let aws = |arguments: &[&str]| {
        let mut command = deployment.tool(&tool);
        command.arg("s3api").args(arguments).args(["--bucket", TO_CLIENT, "--profile", ADMIN]);
        succeed(&mut command)
    };
    aws(&["delete-public-access-block"]);
    aws(&["put-bucket-versioning", "--versioning-configuration", "Status=Suspended"]);
    aws(&["delete-bucket-policy"]);
    let broken = findings(&deployment, 3);
    let failed_controls = failed(&broken);
    for control in ["X01", "X04", "X06", "X07", "X11", "X12", "X20"] {
        assert!(failed_controls.contains(&control), "{control}: {failed_controls:?}");
    }
    let errors = deployment.fail(3, &["audit"]);
    assert!(errors.contains("controls failed"), "{errors}");
    deployment.run(&["apply", "--yes"]);
    assert!(failed(&findings(&deployment, 0)).is_empty());
}

#[test]
fn the_doctor_says_why_the_aws_cli_is_denied() {
    let tool = consign_testkit::require!("aws");
    let deployment = Deployment::new();
    deployment.file("f", b"x");
    let to = format!("s3://{TO_CLIENT}/f");
    let words = ["s3", "cp", "f", &to, "--profile", "globex"];
    let output = deployment.tool(&tool).args(words).output().unwrap();
    assert!(both(&output).contains("AccessDenied"), "{}", both(&output));
    let mut examined = vec!["doctor", "--", "aws"];
    examined.extend(words);
    let errors = deployment.fail(4, &examined);
    assert!(errors.contains("DenyWritesByOthers"), "{errors}");
    let page = deployment.run(&[
        "doctor",
        "--as",
        "acme",
        "--profile",
        "acme",
        "send",
        "--lane",
        "to-client",
    ]);
    assert!(page.contains("not visible") || page.contains("Not visible"), "{page}");
    let source = "from profile acme: keys in the credentials or configuration file";
    assert!(page.contains(source), "{page}");
    let errors = deployment.fail(
        4,
        &["doctor", "--as", "globex", "--profile", "acme", "send", "--lane", "from-client"],
    );
    assert!(errors.contains("the credentials are those of"), "{errors}");
    let errors = deployment.fail(2, &["doctor", "--", "aws", "ec2", "run-instances"]);
    assert!(errors.contains("cannot be examined"), "{errors}");
}
