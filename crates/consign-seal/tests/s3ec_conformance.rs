//! docs/s3ec-conformance.md says which test holds each requirement of the specification: every test
//! that it names exists, and no row is without a test or a reason.

use std::collections::BTreeSet;
use std::path::Path;

/// Where the tests are.
const SOURCES: [&str; 9] = [
    "crates/consign-seal/tests/s3ec_content.rs",
    "crates/consign-seal/tests/s3ec_keys.rs",
    "crates/consign-seal/tests/s3ec_metadata.rs",
    "crates/consign-seal/src/s3ec/commitment.rs",
    "crates/consign-seal/src/s3ec/field.rs",
    "crates/consign-seal/src/s3ec/pairs.rs",
    "crates/consign-testkit/tests/s3ec.rs",
    "crates/consign/src/s3ec.rs",
    "crates/consign-seal/tests/s3ec_conformance.rs",
];

const NOT_APPLICABLE: &str = "not applicable: ";

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The functions that stand right below a line with `#[test]` or `#[tokio::test…]`.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for source in SOURCES {
        let text = read(source);
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if is_test && let Some((_, rest)) = line.split_once("fn ") {
                tests.insert(rest.split('(').next().unwrap_or_default().to_owned());
                is_test = false;
            }
        }
    }
    tests
}

#[test]
fn every_requirement_is_held_by_tests_that_exist() {
    let (tests, page) = (tests(), read("docs/s3ec-conformance.md"));
    let mut rows = 0;
    for line in
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| requirement"))
    {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [requirement, section, held] = cells[..] else { panic!("not three cells: {line}") };
        assert!(!requirement.is_empty() && !section.is_empty(), "{line}");
        rows += 1;
        if let Some(reason) = held.strip_prefix(NOT_APPLICABLE) {
            assert!(reason.len() > 10, "no reason: {line}");
            continue;
        }
        let names = held.split(" (").next().unwrap_or_default();
        let names: Vec<&str> = names.split(", ").map(|name| name.trim_matches('`')).collect();
        assert!(!names.is_empty(), "{line}");
        for name in names {
            assert!(tests.contains(name), "there is no test `{name}`: {line}");
        }
    }
    assert!(rows > 100, "only {rows} rows were read");
}
