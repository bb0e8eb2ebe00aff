//! The hand-written table of single-document cases: one policy, one request, one answer.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::PathBuf;

use consign_iam::{Context, Policy, Principal, Request, evaluate_alone};
use serde_json::Value;

#[test]
fn every_case_of_the_table_is_decided_as_expected() {
    let path = shared("data/iam-cases.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED cases: {} is not there", path.display());
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 62);
}

fn check(case: &Value) -> Result<(), String> {
    let name = case["name"].as_str().unwrap();
    let expected = case["expect"].as_str().unwrap();
    let answer = match Policy::parse(&case["policy"].to_string()) {
        Err(_) => "refused".to_owned(),
        Ok(policy) => evaluate_alone(&request(case), &policy).effect.to_string(),
    };
    if answer == expected { Ok(()) } else { Err(format!("{name}: {answer}, not {expected}")) }
}

fn request(case: &Value) -> Request {
    let text = |field: &str| case[field].as_str().unwrap();
    let mut context = Context::new();
    for (key, value) in case["context"].as_object().unwrap() {
        match value {
            Value::Array(values) => context.insert_many(key, values.iter().map(plain)),
            other => context.insert(key, plain(other)),
        }
    }
    let principal = Principal::parse(text("principal")).unwrap();
    Request::new(principal, text("action"), text("resource"), "123456789012", context).unwrap()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn shared(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path)
}
