//! `consign evaluate`: cases in, answers out, whatever else stands between them.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::{both, consign};
use serde_json::{Value, json};

fn evaluate(input: Vec<u8>) -> Output {
    let mut child = consign()
        .arg("evaluate")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn answers(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn case(expect: &str) -> Value {
    json!({
        "principal": "arn:aws:iam::111111111111:user/ann",
        "action": "s3:GetObject",
        "resource": "arn:aws:s3:::letters/1",
        "resource_policies": [{
            "Version": "2012-10-17",
            "Statement": [{"Sid": "Reader", "Effect": "Allow", "Action": "s3:GetObject",
                "Principal": {"AWS": "arn:aws:iam::111111111111:user/ann"},
                "Resource": "arn:aws:s3:::letters/*"}],
        }],
        "expect": expect,
    })
}

#[test]
fn the_corpus_of_cases_holds_through_the_binary() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/iam-cases.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED the_corpus_of_cases_holds_through_the_binary: no {}", path.display());
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let lines: Vec<String> = cases.iter().map(ToString::to_string).collect();
    let output = evaluate(lines.join("\n").into_bytes());
    assert!(output.status.success(), "{}", both(&output));
    let answers = answers(&output);
    assert_eq!(answers.len(), cases.len());
    let expected = cases.iter().filter(|case| case.get("expect").is_some()).count();
    let held = answers.iter().filter(|answer| answer["held"] == true).count();
    assert!(held > 0);
    assert_eq!(held, expected);
}

#[test]
fn an_expectation_that_does_not_hold_fails_and_names_its_line() {
    let text = format!("{}\n\n{}\n", case("allow"), case("explicit-deny"));
    let output = evaluate(text.into_bytes());
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    let answers = answers(&output);
    assert_eq!(answers[0]["decision"], "allow");
    assert_eq!(answers[0]["blocked_by"], Value::Null);
    assert_eq!(answers[0]["statements"][0]["sid"], "Reader");
    assert_eq!((&answers[0]["held"], &answers[0]["line"]), (&json!(true), &json!(1)));
    assert_eq!((&answers[1]["held"], &answers[1]["line"]), (&json!(false), &json!(3)));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("2 cases: 2 allowed"), "{errors}");
    assert!(errors.contains("1 of 2 expectations did not hold, the first in line 3"), "{errors}");
}

#[test]
fn a_denied_case_names_the_layer_in_the_way() {
    let mut denied = case("deny");
    denied["principal"] = json!("arn:aws:iam::222222222222:user/ann");
    denied["resource_account"] = json!("111111111111");
    let answers = answers(&evaluate(denied.to_string().into_bytes()));
    assert_eq!(answers[0]["decision"], "implicit-deny");
    assert_eq!(answers[0]["blocked_by"], "resource");
    assert_eq!(answers[0]["held"], true);
}

#[test]
fn lines_that_are_no_cases_are_refused_and_the_run_goes_on() {
    let mut long = case("allow");
    long["context"] = json!({"aws:PrincipalTag/x": "x".repeat(1 << 20)});
    let nested = "[".repeat(100_000);
    let mut lines: Vec<Vec<u8>> = vec![
        b"not json".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"principal\": 1, \"action\": \"s3:GetObject\", \"resource\": \"*\"}".to_vec(),
        b"{\"principle\": \"*\", \"action\": \"s3:GetObject\", \"resource\": \"*\"}".to_vec(),
        nested.into_bytes(),
        b"\0".to_vec(),
    ];
    let hostile = lines.len();
    lines.push(b"   \r".to_vec());
    lines.push(long.to_string().into_bytes());
    lines.push(case("allow").to_string().into_bytes());
    let output = evaluate(lines.join(&b'\n'));
    assert!(output.status.success(), "{}", both(&output));
    let answers = answers(&output);
    assert_eq!(answers.len(), hostile + 2);
    for (index, answer) in answers.iter().take(hostile).enumerate() {
        assert_eq!(answer["decision"], "refused", "{answer}");
        assert_eq!(answer["line"], index + 1, "{answer}");
        assert!(!answer["because"].as_str().unwrap().is_empty(), "{answer}");
    }
    // All but the three that are objects.
    assert!(both(&output).contains("5 lines are no JSON objects, the first is line 1"));
    assert!(answers[5]["because"].as_str().unwrap().contains("did you mean `principal`?"));
    for answer in &answers[hostile..] {
        assert_eq!(answer["held"], true, "{answer}");
    }
}

#[test]
fn a_line_without_end_is_refused_in_bounded_memory() {
    let mut text = vec![b'x'; 17 * 1024 * 1024];
    text.push(b'\n');
    text.extend(case("allow").to_string().into_bytes());
    let output = evaluate(text);
    let answers = answers(&output);
    assert_eq!(answers[0]["decision"], "refused");
    assert!(answers[0]["because"].as_str().unwrap().contains("longer than"));
    assert_eq!((&answers[1]["held"], &answers[1]["line"]), (&json!(true), &json!(2)));
}

#[test]
fn cases_come_from_files_too_and_a_missing_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cases.jsonl");
    std::fs::write(&path, case("implicit-deny").to_string()).unwrap();
    let output = consign().arg("evaluate").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(both(&output).contains("cases.jsonl, line 1"), "{}", both(&output));
    let output = consign().arg("evaluate").arg(folder.path().join("none")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", both(&output));
}
