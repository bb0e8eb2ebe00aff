//! `consign evaluate`: cases in, answers out, one JSON object per line. Needs no exchange file and no
//! credentials; the cases are those of `consign_iam::case`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use consign_iam::case::{self, Outcome};
use serde::Serialize;

use crate::args::EvaluateArgs;
use crate::error::CommandError;
use crate::terminal::Terminal;

/// Far beyond any case with real policies (AWS's largest document has 32 KiB), and little memory.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Answers every case of the files, or of standard input; fails if an expectation did not hold.
pub(crate) fn run(args: &EvaluateArgs, terminal: &Terminal) -> Result<(), CommandError> {
    let mut tally = Tally::default();
    let mut output = BufWriter::new(std::io::stdout().lock());
    if args.files.is_empty() {
        answer(None, std::io::stdin().lock(), &mut output, &mut tally)?;
    }
    for path in &args.files {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| {
            CommandError::usage(format!("cannot read the cases in {name}")).caused_by(e)
        })?;
        answer(Some(&name), BufReader::new(file), &mut output, &mut tally)?;
    }
    output.flush().map_err(cannot_write)?;
    drop(output);
    terminal.say(&tally.words());
    match tally.failed.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(CommandError::failed(format!(
            "{} of {} expectations did not hold, the first in {first}",
            tally.failed.len(),
            tally.expected
        ))),
    }
}

/// One line of output.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    /// From 1.
    line: u64,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Default)]
struct Tally {
    allowed: u64,
    denied: u64,
    refused: u64,
    expected: usize,
    /// Where expectations did not hold.
    failed: Vec<String>,
    /// Which lines could not even be asked what they expect.
    unreadable: Vec<String>,
}

impl Tally {
    fn add(&mut self, answer: &Answer<'_>, line: &[u8]) {
        let file = answer.file.map(|file| format!("{file}, ")).unwrap_or_default();
        let place = format!("{file}line {}", answer.line);
        match answer.outcome.decision.as_str() {
            "allow" => self.allowed += 1,
            "refused" => self.refused += 1,
            _ => self.denied += 1,
        }
        self.expected += usize::from(answer.outcome.held.is_some());
        if answer.outcome.held == Some(false) {
            self.failed.push(place);
        } else if answer.outcome.decision == "refused"
            && serde_json::from_slice::<serde_json::Map<_, _>>(line).is_err()
        {
            self.unreadable.push(place);
        }
    }

    fn words(&self) -> String {
        let Tally { allowed, denied, refused, expected, failed, .. } = self;
        let cases = allowed + denied + refused;
        let held = expected - failed.len();
        let mut words = format!(
            "{cases} cases: {allowed} allowed, {denied} denied, {refused} refused; \
             {held} of {expected} expectations held"
        );
        if let Some(first) = self.unreadable.first() {
            let lines = self.unreadable.len();
            words += &format!(
                "\nwarning: {lines} lines are no JSON objects, the first is {first}; what they \
                 expect was not tested"
            );
        }
        words
    }
}

fn answer(
    file: Option<&str>,
    mut input: impl BufRead,
    output: &mut impl Write,
    tally: &mut Tally,
) -> Result<(), CommandError> {
    let mut bytes = Vec::new();
    for line in 1.. {
        let place = || file.unwrap_or("standard input");
        let cannot_read = |e| CommandError::failed(format!("cannot read {}", place())).caused_by(e);
        bytes.clear();
        let mut limited = (&mut input).take(LINE_BYTES_MAX + 1);
        if limited.read_until(b'\n', &mut bytes).map_err(cannot_read)? == 0 {
            return Ok(());
        }
        let outcome = if bytes.len() as u64 > LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
            input.skip_until(b'\n').map_err(cannot_read)?;
            refused(format!("the line is longer than {LINE_BYTES_MAX} bytes"))
        } else if bytes.trim_ascii().is_empty() {
            continue;
        } else {
            match std::str::from_utf8(&bytes) {
                Ok(text) => case::run(text.trim()),
                Err(e) => refused(format!("the line is not UTF-8: {e}")),
            }
        };
        let answer = Answer { file, line, outcome };
        tally.add(&answer, &bytes);
        serde_json::to_writer(&mut *output, &answer).map_err(|e| cannot_write(e.into()))?;
        output.write_all(b"\n").map_err(cannot_write)?;
    }
    Ok(())
}

fn refused(because: String) -> Outcome {
    Outcome {
        name: None,
        decision: "refused".to_owned(),
        blocked_by: None,
        statements: Vec::new(),
        because,
        held: None,
    }
}

fn cannot_write(e: std::io::Error) -> CommandError {
    // Also if its reader is gone: cases that were not judged have not held.
    CommandError::failed("cannot write to standard output").caused_by(e)
}
