//! The terminal. Data goes to standard output, conversation to standard error; progress vanishes
//! when standard error is not a terminal; `--json` turns a result into one JSON document; `--quiet`
//! leaves only results and errors.
//!
//! Nobody has to listen. A full or closed standard error changes nothing; a closed standard output ends
//! what would go on printing, and makes nothing fail: what was to be done is done.

use std::io::{IsTerminal, Write};

use crate::error::{CommandError, Kind};

/// Where results, conversation and errors go.
#[derive(Debug)]
pub(crate) struct Terminal {
    json: bool,
    quiet: bool,
    interactive: bool,
    /// Whether errors tell what exactly failed.
    details: bool,
}

impl Terminal {
    pub(crate) fn new(json: bool, quiet: bool) -> Terminal {
        let interactive = std::io::stderr().is_terminal();
        Terminal { json, quiet, interactive, details: false }
    }

    /// Tells what exactly failed, which the sentence of an error leaves out on purpose: whoever made the
    /// input, if that goes back to him, would learn from it how far a forgery got.
    pub(crate) fn with_details(self, details: bool) -> Terminal {
        Terminal { details, ..self }
    }

    /// Whether progress bars make sense.
    pub(crate) fn shows_progress(&self) -> bool {
        self.interactive && !self.quiet
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The result of the command: `value` as JSON with `--json`, else `text`.
    pub(crate) fn result<T: serde::Serialize>(
        &self,
        value: &T,
        text: &str,
    ) -> Result<(), CommandError> {
        if self.json {
            let document = serde_json::to_string_pretty(value)
                .map_err(|e| CommandError::internal("cannot write the result as JSON", e))?;
            last(self.data(&document))
        } else {
            last(self.data(text.trim_end_matches('\n')))
        }
    }

    /// A line, or a page, of data on standard output.
    ///
    /// # Errors
    /// [`Kind::Unread`] if its reader is gone: then there is nothing to go on for.
    pub(crate) fn data(&self, text: &str) -> Result<(), CommandError> {
        writeln!(std::io::stdout(), "{text}").map_err(cannot_write)
    }

    /// All the data of a command, as it is.
    pub(crate) fn whole(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = std::io::stdout();
        last(stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(cannot_write))
    }

    /// A line of conversation on standard error.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// An error with its causes and hints, on standard error; with `--json` also as a document.
    pub(crate) fn error(&self, error: &CommandError) {
        if error.is_unread() {
            return;
        }
        // Further lines are indented, so that a file name cannot look like a line of ours.
        say(&format!("error: {}", escape(&error.chain()).replace('\n', "\n  ")));
        for hint in error.hints() {
            say(&format!("  hint: {}", escape(hint)));
        }
        if let Some(detail) = error.detail().filter(|_| self.details) {
            say(&format!("  detail: {}", escape(detail).replace('\n', "\n  ")));
        }
        if self.json {
            let document = serde_json::json!({
                "error": error.chain(),
                "kind": error.kind_name(),
                "class": error.class_name(),
                "hints": error.hints(),
            });
            // The exit code says it all the same.
            let _unread = self.data(&document.to_string());
        }
    }

    /// Asks a yes-or-no question; anything but `y` or `yes` is no. Without a terminal it is an error
    /// that names the flag that answers instead.
    pub(crate) fn confirm(&self, question: &str, flag: &str) -> Result<bool, CommandError> {
        if !std::io::stdin().is_terminal() {
            return Err(CommandError::usage(format!("{question} There is no terminal to ask on"))
                .hint(format!("add {flag} if you have read the plan")));
        }
        let mut stderr = std::io::stderr();
        write!(stderr, "{question} [y/N] ")
            .map_err(|e| CommandError::failed("cannot ask on standard error").caused_by(e))?;
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .map_err(|e| CommandError::failed("cannot read the answer").caused_by(e))?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

/// A line on standard error, for whoever reads it.
pub(crate) fn say(line: &str) {
    let _unread = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Why standard output takes no more.
fn cannot_write(error: std::io::Error) -> CommandError {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => {
            CommandError::new(Kind::Unread, "nobody reads standard output any more")
        }
        _ => CommandError::failed("cannot write to standard output").caused_by(error),
    }
}

/// Of what is said at the end: a reader that has seen enough of it is not a failure.
fn last(said: Result<(), CommandError>) -> Result<(), CommandError> {
    match said {
        Err(error) if error.is_unread() => Ok(()),
        said => said,
    }
}

/// Foreign text (file names, server messages) without control characters, so that it cannot drive
/// the terminal.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let directional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() && c != '\n') || directional {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Bytes as a person reads them: `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// So many files: `1 file`, `2 files`.
pub(crate) fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// Rows under a heading, in columns as wide as their widest cell.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(heading.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (6 << 30, "6.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(escape("a\x1b[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![vec!["a".into(), "long cell".into()], vec!["bcd".into(), "x".into()]];
        assert_eq!(table(&["id", "what"], &rows), "id   what\na    long cell\nbcd  x");
    }
}
