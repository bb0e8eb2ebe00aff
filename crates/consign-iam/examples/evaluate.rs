//! Reads policy cases as JSON lines on stdin and writes an answer for each:
//! `cargo run -p consign-iam --example evaluate < crates/consign-iam/tests/cases/kms.jsonl`.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use consign_iam::case::run;

fn main() -> io::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut held = true;
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let outcome = run(&line);
        held &= outcome.held != Some(false);
        serde_json::to_writer(&mut out, &outcome)?;
        writeln!(out)?;
    }
    out.flush()?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
