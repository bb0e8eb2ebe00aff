//! Findings as SARIF 2.1.0, the format that code scanning services take.

use super::{Finding, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The report. A pass is `pass`, a failure `fail` at level `error`, an accepted deviation
/// `review`, and what was not looked at `open`: each kind as SARIF defines it.
pub fn sarif(findings: &[Finding], version: &str) -> Value {
    let mut rules: BTreeMap<(&str, &str), &Finding> = BTreeMap::new();
    for finding in findings {
        rules.entry((finding.control, finding.title)).or_insert(finding);
    }
    // Two titles may share a control's number (the bucket's and the account's side of it); SARIF
    // wants one rule per id.
    let mut by_id: BTreeMap<&str, &Finding> = BTreeMap::new();
    for ((control, _), finding) in rules {
        by_id.entry(control).or_insert(finding);
    }
    let ids: Vec<&str> = by_id.keys().copied().collect();
    let rules: Vec<Value> = by_id
        .iter()
        .map(|(id, finding)| {
            json!({
                "id": id,
                "shortDescription": { "text": finding.title },
                "fullDescription": { "text": format!("{}: {}.", finding.title, finding.why) },
            })
        })
        .collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, &ids)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "consign audit",
                "version": version,
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn result(finding: &Finding, ids: &[&str]) -> Value {
    let (kind, level) = match finding.verdict {
        Verdict::Fail => ("fail", "error"),
        Verdict::NotLookedAt => ("open", "none"),
        Verdict::Accepted => ("review", "none"),
        Verdict::Pass => ("pass", "none"),
    };
    let fix = finding.fix.as_ref().map_or(String::new(), |fix| format!(" Fix: {fix}"));
    json!({
        "ruleId": finding.control,
        "ruleIndex": ids.iter().position(|id| *id == finding.control),
        "kind": kind,
        "level": level,
        "message": { "text": format!("{}: {}.{fix}", finding.title, finding.fact) },
        "locations": [{
            "logicalLocations": [{
                "fullyQualifiedName": finding.resource,
                "kind": "resource",
            }],
        }],
        "partialFingerprints": {
            "control/v1": format!("{}:{}", finding.control, finding.resource),
        },
    })
}
