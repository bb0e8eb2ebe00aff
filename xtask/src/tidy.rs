//! Holds the repository to what ARCHITECTURE.md says about it. It is also a test, so a crate that
//! quietly gains an import turns the build red and not only the map wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{self, Failure, Outcome, While};

pub(crate) const HELP: &str = "\
Compare the repository with its own map.

Usage: cargo xtask tidy

Finds: imports between our crates that differ from the table in ARCHITECTURE.md, crates that the
table forbids and that are reached all the same, aws-* crates outside consign-cloud, asynchronous
or network crates under the pure ones, a second cryptographic provider, and source files of more
than 600 lines. `cargo test` runs the same checks.

Example:
  cargo xtask tidy
";

/// A file that a person cannot hold in the head is too long.
const LINES_MAX: usize = 600;

/// Nowhere in the graph: one cryptographic provider, one TLS stack.
const FORBIDDEN: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "tokio-tar"];

/// What decides must not do: these crates see no network, no runtime, no randomness of their own.
const PURE: [&str; 3] = ["consign-model", "consign-iam", "consign-seal"];
const IMPURE: [&str; 7] = ["tokio", "hyper", "reqwest", "http", "async-trait", "futures", "rustls"];

pub(crate) fn command(arguments: &[String]) -> Outcome {
    if let Some(extra) = arguments.first() {
        return Err(Failure::new(format!("tidy takes no argument `{extra}`")));
    }
    let findings = findings()?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    match findings.len() {
        0 => Ok(()),
        n => Err(Failure::new(format!("tidy found {n} thing(s) to put right"))),
    }
}

/// Everything that is wrong, one sentence each.
fn findings() -> Outcome<Vec<String>> {
    let root = run::root();
    let map = root.join("ARCHITECTURE.md");
    let text = fs::read_to_string(&map).during(map.display())?;
    let crates = crates(&root)?;
    let mut findings = imports(&read_table(&text)?, &crates);
    findings.extend(foreign_imports(&crates));
    findings.extend(forbidden_packages()?);
    findings.extend(long_files(&root)?);
    Ok(findings)
}

/// One row of the table: what the crate may import of ours, and what it must never reach.
#[derive(Debug, PartialEq)]
struct Row {
    imports: Imports,
    never: BTreeSet<String>,
}

#[derive(Debug, PartialEq)]
enum Imports {
    All,
    Only(BTreeSet<String>),
}

/// Reads the table whose header has the columns `Crate`, `Imports (ours)` and `Never sees`.
fn read_table(text: &str) -> Outcome<BTreeMap<String, Row>> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().replace(['`', '*'], "")).collect()
    };
    let mut lines = text.lines().skip_while(|line| {
        let head = cells(line);
        !(head.iter().any(|c| c == "Crate") && head.iter().any(|c| c == "Imports (ours)"))
    });
    let head = cells(lines.next().ok_or_else(|| {
        Failure::new("ARCHITECTURE.md: no table with the columns Crate | Imports (ours)")
    })?);
    let column = |name: &str| {
        let missing = || Failure::new(format!("ARCHITECTURE.md: the table lacks `{name}`"));
        head.iter().position(|cell| cell == name).ok_or_else(missing)
    };
    let (name, imports, never) =
        (column("Crate")?, column("Imports (ours)")?, column("Never sees")?);
    let rows = lines.skip(1).take_while(|line| line.trim_start().starts_with('|')).map(cells);
    let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
    let rows: Vec<_> =
        rows.map(|row| (cell(&row, name), cell(&row, imports), cell(&row, never))).collect();
    let known: BTreeSet<&str> = rows.iter().map(|(name, _, _)| name.as_str()).collect();
    let ours = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .map(|word| match word {
                "consign" => word.to_owned(),
                _ => format!("consign-{}", word.trim_start_matches("consign-")),
            })
            .filter(|word| known.contains(word.as_str()))
            .collect()
    };
    let row = |imports: &str, never: &str| Row {
        imports: if imports == "all" { Imports::All } else { Imports::Only(ours(imports)) },
        never: ours(never),
    };
    Ok(rows.iter().map(|(name, imports, never)| (name.clone(), row(imports, never))).collect())
}

/// A crate's own Cargo.toml, reduced to the names it links.
struct Links {
    ours: BTreeSet<String>,
    foreign: BTreeSet<String>,
}

/// Every crate under crates/, without what only its tests use.
fn crates(root: &Path) -> Outcome<BTreeMap<String, Links>> {
    let mut found = BTreeMap::new();
    let folder = root.join("crates");
    for entry in fs::read_dir(&folder).during(folder.display())? {
        let file = entry?.path().join("Cargo.toml");
        if !file.is_file() {
            continue;
        }
        let text = fs::read_to_string(&file).during(file.display())?;
        let manifest: toml::Table = text.parse().during(file.display())?;
        let name = manifest.get("package").and_then(|package| package.get("name"));
        let name = name.and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let names = ["dependencies", "build-dependencies"]
            .iter()
            .filter_map(|section| manifest.get(*section)?.as_table())
            .flat_map(|section| section.keys().cloned());
        let (ours, foreign) = names.partition(|n| n == "consign" || n.starts_with("consign-"));
        found.insert(name, Links { ours, foreign });
    }
    Ok(found)
}

/// Where Cargo.toml and table differ, and who reaches what it must never see.
fn imports(table: &BTreeMap<String, Row>, crates: &BTreeMap<String, Links>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, links) in crates {
        let Some(row) = table.get(name) else {
            findings.push(format!("{name} is missing from the table in ARCHITECTURE.md"));
            continue;
        };
        if let Imports::Only(allowed) = &row.imports {
            for extra in links.ours.difference(allowed) {
                findings.push(format!("{name} imports {extra}; ARCHITECTURE.md does not say so"));
            }
            for unused in allowed.difference(&links.ours) {
                findings.push(format!("ARCHITECTURE.md says {name} imports {unused}; it does not"));
            }
        }
        for secret in reached(name, crates).intersection(&row.never) {
            findings.push(format!("{name} reaches {secret}, which it must never see"));
        }
    }
    for name in table.keys().filter(|name| !crates.contains_key(*name)) {
        findings.push(format!("ARCHITECTURE.md lists {name}, which does not exist"));
    }
    findings
}

fn reached(name: &str, crates: &BTreeMap<String, Links>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        for import in crates.get(&next).into_iter().flat_map(|links| &links.ours) {
            if seen.insert(import.clone()) {
                open.push(import.clone());
            }
        }
    }
    seen
}

fn foreign_imports(crates: &BTreeMap<String, Links>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, links) in crates {
        let aws = |c: &&String| c.starts_with("aws-") && *c != "aws-lc-rs";
        for import in links.foreign.iter().filter(aws).filter(|_| name != "consign-cloud") {
            findings.push(format!("{name} imports {import}; only consign-cloud speaks to the SDK"));
        }
        let impure = |c: &&String| IMPURE.contains(&c.as_str()) && PURE.contains(&name.as_str());
        for import in links.foreign.iter().filter(impure) {
            findings.push(format!("{name} imports {import}; it decides and does nothing"));
        }
    }
    findings
}

/// Looks at what is really built, for any platform: Cargo.lock and `cargo metadata` also name what
/// only a feature that nobody turns on would bring.
fn forbidden_packages() -> Outcome<Vec<String>> {
    let tree = run::capture(
        run::cargo()
            .args(["tree", "--workspace", "--locked", "--target", "all", "--edges", "all"])
            .args(["--prefix", "none", "--format", "{p}"]),
    )?;
    let names: BTreeSet<&str> = tree.lines().filter_map(|l| l.split_whitespace().next()).collect();
    Ok(FORBIDDEN
        .iter()
        .filter(|name| names.contains(*name))
        .map(|name| format!("{name} is in the dependency graph; `cargo tree -i {name}` shows how"))
        .collect())
}

fn long_files(root: &Path) -> Outcome<Vec<String>> {
    let mut findings = Vec::new();
    let mut open: Vec<PathBuf> =
        ["crates", "xtask", "fuzz"].iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = fs::read_to_string(&path).during(path.display())?.lines().count();
                if lines > LINES_MAX {
                    let shown = path.strip_prefix(root).unwrap_or(&path).display();
                    findings.push(format!("{shown} has {lines} lines; the limit is {LINES_MAX}"));
                }
            }
        }
    }
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_as_its_map_says() {
        assert_eq!(findings().unwrap(), Vec::<String>::new());
    }

    const TABLE: &str = "\
| Crate | Holds | Imports (ours) | Never sees |
|---|---|---|---|
| `consign-seal` | x | none | network, KMS calls |
| `consign-cloud` | x | none | exchanges |
| `consign` | x | seal, cloud | terminal |
| `consign-gateway` | x | cloud | **seal, consign, private keys** |
| `consign-cli` | x | all | business rules |

after
";

    /// `Cargo.toml`s as `name: import import` lines, against TABLE.
    fn check(manifests: &str, expected: &[&str]) {
        let crates = manifests
            .lines()
            .map(|line| {
                let (name, imports) = line.split_once(':').unwrap();
                let ours = imports.split_whitespace().map(str::to_owned).collect();
                (name.to_owned(), Links { ours, foreign: BTreeSet::new() })
            })
            .collect();
        assert_eq!(imports(&read_table(TABLE).unwrap(), &crates), expected);
    }

    const HONEST: &str = "\
consign-seal:
consign-cloud:
consign: consign-seal consign-cloud
consign-gateway: consign-cloud
consign-cli: consign consign-gateway";

    #[test]
    fn imports_as_in_the_table_are_fine() {
        check(HONEST, &[]);
    }

    #[test]
    fn an_import_that_the_table_does_not_name_is_found() {
        check(
            &HONEST.replace("consign-cloud:\n", "consign-cloud: consign-seal\n"),
            &[
                "consign-cloud imports consign-seal; ARCHITECTURE.md does not say so",
                "consign-gateway reaches consign-seal, which it must never see",
            ],
        );
    }

    #[test]
    fn an_import_that_is_gone_is_found() {
        check(
            &HONEST.replace("consign-seal consign-cloud", "consign-seal"),
            &["ARCHITECTURE.md says consign imports consign-cloud; it does not"],
        );
    }

    #[test]
    fn crates_and_rows_without_each_other_are_found() {
        check(
            &HONEST.replace("consign-seal:\n", "consign-new:\n"),
            &[
                "consign-new is missing from the table in ARCHITECTURE.md",
                "ARCHITECTURE.md lists consign-seal, which does not exist",
            ],
        );
    }
}
