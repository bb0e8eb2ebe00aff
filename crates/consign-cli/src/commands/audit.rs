//! `consign audit`: what is deployed, against the controls of a secure exchange.

use std::fmt::Write as _;

use consign_provision::Desired;
use consign_provision::audit::{self, Demands, Finding, Verdict};

use crate::args::AuditArgs;
use crate::connect;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::{Terminal, table};

/// Reads, decides, prints; fails if a control does.
pub(crate) async fn run(
    args: &AuditArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let demands = Demands { object_lock: args.object_lock.clone() };
    let findings = match &args.bucket {
        Some(bucket) => {
            let cloud = connect::connect(settings, None).await?;
            audit::audit(None, &audit::read_bucket(bucket, &cloud).await?, &demands)
        }
        None => {
            let exchange = settings.exchange()?;
            let hands = connect::administrators(settings, &args.administrators, &exchange).await?;
            let desired = Desired::of(&exchange)?;
            audit::audit(Some(&desired), &audit::read(&desired, &hands).await, &demands)
        }
    };
    if let Some(path) = &args.sarif {
        let report = audit::sarif(&findings, env!("CARGO_PKG_VERSION"));
        std::fs::write(path, format!("{report:#}\n")).map_err(|error| {
            CommandError::failed(format!("cannot write {}", path.display())).caused_by(error)
        })?;
    }
    terminal.result(&findings, &page(&findings, args.all))?;
    let failed = count(&findings, Verdict::Fail);
    if failed == 0 {
        return Ok(());
    }
    Err(CommandError::new(Kind::Integrity, format!("{failed} controls failed")))
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

/// A row per finding, the failures explained below, and the counts.
fn page(findings: &[Finding], all: bool) -> String {
    let shown = findings.iter().filter(|finding| all || finding.verdict != Verdict::Pass);
    let rows: Vec<Vec<String>> = shown
        .map(|finding| {
            let verdict = finding.verdict.word().to_owned();
            let (control, title) = (finding.control.to_owned(), finding.title.to_owned());
            vec![verdict, control, finding.resource.clone(), title, finding.fact.clone()]
        })
        .collect();
    let mut page = table(&["VERDICT", "CONTROL", "WHERE", "WHAT", "SEEN"], &rows);
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Fail) {
        let Finding { control, resource, fact, why, .. } = finding;
        let _ = write!(page, "\n\n{control} {resource}: {fact}\n  why: {why}");
        if let Some(fix) = &finding.fix {
            let _ = write!(page, "\n  fix: {fix}");
        }
    }
    let counts = [Verdict::Fail, Verdict::NotLookedAt, Verdict::Accepted, Verdict::Pass]
        .map(|verdict| format!("{} {}", count(findings, verdict), verdict.word()));
    let _ = write!(page, "\n\n{}", counts.join(", "));
    page
}
