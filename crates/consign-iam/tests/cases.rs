//! Cases as data: one request, the policies around it, the answer. Those in `tests/cases` are about
//! composition, one file a theme; the shared table is about single documents.

use std::path::{Path, PathBuf};

use consign_iam::case::run;

#[test]
fn every_case_of_the_folder_is_decided_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        check_all(&file, &text.lines().map(str::to_owned).collect::<Vec<_>>());
    }
}

#[test]
fn every_case_of_the_shared_table_is_decided_as_expected() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/iam-cases.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED shared table: {} is not there", path.display());
        return;
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 62);
    check_all(&path, &cases.iter().map(ToString::to_string).collect::<Vec<_>>());
}

fn check_all(file: &Path, cases: &[String]) {
    let outcomes = cases.iter().map(|case| run(case));
    let wrong: Vec<String> = outcomes
        .filter(|outcome| outcome.held != Some(true))
        .map(|outcome| format!("{:?}: {} ({})", outcome.name, outcome.decision, outcome.because))
        .collect();
    assert!(
        wrong.is_empty(),
        "{}: {} of {} wrong:\n{}",
        file.display(),
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
