//! z3 on the questions that `smt2` writes, beside our own verdicts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use consign_iam::prove::{
    Callers, Claim, Domain, Expectation, Region, Set, Values, Verdict, World, prove, smt2,
};
use consign_iam::{Policy, PolicyKind, Principal};

/// z3 from where `cargo xtask judges` puts it, else from PATH.
fn z3() -> Option<PathBuf> {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin/z3");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(pinned)
        .chain(std::env::split_paths(&path).map(|folder| folder.join("z3")))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("SKIPPED solver: z3 is missing (cargo xtask judges)");
    }
    found
}

fn ask(z3: &Path, script: &str, seconds: u32) -> String {
    let mut child = Command::new(z3)
        .args(["-in", &format!("-T:{seconds}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The verdict, as z3 would put it.
fn ours(claim: &Claim<'_>) -> &'static str {
    match prove(claim) {
        Verdict::Holds(_) => "unsat",
        Verdict::Fails(_) => "sat",
        Verdict::Undecided(why) => panic!("{why}"),
    }
}

fn account(except: &[&str]) -> Callers {
    let except = except.iter().map(|arn| (*arn).to_owned()).collect();
    Callers::Account { account: "111111111111".into(), except }
}

fn region(callers: Callers, actions: &[&str]) -> Region {
    Region {
        callers,
        actions: Set::of(actions.iter().copied()),
        resource: Set::of(["arn:aws:s3:::b/*"]),
        resource_account: "111111111111".into(),
        context: vec![],
    }
}

fn bucket(statements: &str) -> Policy {
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    Policy::parse_as(PolicyKind::Resource, &text).unwrap()
}

#[test]
fn a_solver_agrees_about_each_kind_of_condition() {
    let Some(z3) = z3() else { return };
    let conditions = [
        r#"{"Bool": {"aws:SecureTransport": "false"}}"#,
        r#"{"StringNotEquals": {"s3:prefix": ["a", "b"]}, "Null": {"s3:prefix": "false"}}"#,
        r#"{"StringLike": {"s3:prefix": "a*b?"}}"#,
        r#"{"StringEqualsIgnoreCase": {"s3:prefix": "AbC"}}"#,
        r#"{"NumericLessThan": {"s3:max-keys": "5"}, "NumericGreaterThan": {"s3:max-keys": "4"}}"#,
        r#"{"NumericLessThan": {"s3:max-keys": "4"}, "NumericGreaterThan": {"s3:max-keys": "5"}}"#,
        r#"{"DateGreaterThan": {"aws:CurrentTime": "2026-01-01"}, "DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}"#,
        r#"{"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}, "NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
        r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "NotIpAddress": {"aws:SourceIp": "10.1.0.0/16"}}"#,
        r#"{"ForAnyValue:StringEquals": {"aws:TagKeys": "a"}, "ForAllValues:StringNotEquals": {"aws:TagKeys": "a"}}"#,
        r#"{"ForAnyValue:StringEquals": {"aws:TagKeys": "a"}, "ForAllValues:StringLike": {"aws:TagKeys": "?"}}"#,
        r#"{"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/r"}}"#,
        r#"{"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::222222222222:*"}}"#,
    ];
    // What z3 answers: unsat, sat, and not within its time. Its models of strings are slow; where
    // nothing satisfies the question it must say so.
    let mut answers = [0, 0, 0];
    for condition in conditions {
        for (effect, expect) in [
            ("Deny", Expectation::Never),
            ("Allow", Expectation::Never),
            ("Deny", Expectation::Always),
        ] {
            let policy = bucket(&format!(
                r#"{{"Effect": "{effect}", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": {condition}}}"#
            ));
            let ann = Principal::from_arn("arn:aws:iam::111111111111:user/ann").unwrap();
            for callers in [Callers::One(ann), Callers::Anonymous] {
                let world = World { resource: std::slice::from_ref(&policy), ..World::default() };
                let claim = Claim { world, region: region(callers, &["s3:GetObject"]), expect };
                let (theirs, ours) = (ask(&z3, &smt2(&claim), 5), ours(&claim));
                let told = format!("{effect} {condition} {:?} {expect:?}", claim.region.callers);
                match (theirs.as_str(), ours) {
                    ("unsat", "unsat") => answers[0] += 1,
                    ("sat", "sat") => answers[1] += 1,
                    ("timeout" | "unknown", "sat") => {
                        eprintln!("z3 does not answer: {told}");
                        answers[2] += 1;
                    }
                    other => panic!("{told}: {other:?}"),
                }
            }
        }
    }
    eprintln!("unsat, sat, not answered: {answers:?}");
    assert!(answers[0] >= 10 && answers[1] >= 20 && answers[2] <= 10, "{answers:?}");
}

#[test]
fn a_solver_agrees_about_the_corrected_policies() {
    let Some(z3) = z3() else { return };
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/research/policies");
    let Ok(text) = std::fs::read_to_string(folder.join("bucket-in.json")) else {
        eprintln!("SKIPPED solver: the corrected policies are not there");
        return;
    };
    let ours_role = "arn:aws:iam::111111111111:role/xfer/acme-ours";
    let scanner = "arn:aws:iam::111111111111:role/xfer/malware-scan";
    let policy = Policy::parse_as(PolicyKind::Resource, &text).unwrap();
    let world = World { resource: std::slice::from_ref(&policy), ..World::default() };
    let on = |callers, actions: &[&str], context| {
        let resource = Set::of(["arn:aws:s3:::xfer-acme-in-111111111111-eu-west-1-an/*"]);
        Claim {
            world,
            region: Region { resource, context, ..region(callers, actions) },
            expect: Expectation::Never,
        }
    };
    let http = vec![("aws:SecureTransport".to_owned(), Domain::Present(Values::text("false")))];
    let claims = [
        on(account(&[ours_role, scanner]), &["s3:GetObject"], vec![]),
        on(account(&[ours_role]), &["s3:GetObject"], vec![]),
        on(account(&[]), &["s3:PutObject"], vec![]),
        on(Callers::Strangers { accounts: vec!["111111111111".into()] }, &["s3:PutObject"], vec![]),
        on(Callers::Services { except: vec![] }, &["s3:*"], vec![]),
        on(account(&["111111111111"]), &["s3:*"], http),
    ];
    for claim in &claims {
        let (theirs, ours) = (ask(&z3, &smt2(claim), 60), ours(claim));
        assert!(
            theirs == ours || (theirs == "timeout" && ours == "sat"),
            "{theirs} {:?}",
            claim.region
        );
    }
}
