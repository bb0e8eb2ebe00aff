//! Progress: a bar with throughput and time left on a terminal, plain lines elsewhere, nothing with
//! `--quiet`.

use std::sync::Mutex;

use consign::{Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal::{self, Terminal, bytes};

/// Watches a run for a person.
pub(crate) struct Bar {
    bar: ProgressBar,
    lines: bool,
    phase: Mutex<Option<Phase>>,
}

impl Bar {
    pub(crate) fn new(terminal: &Terminal) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(0), target(terminal));
        Bar {
            bar,
            lines: !terminal.is_quiet() && !terminal.shows_progress(),
            phase: Mutex::new(None),
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn target(terminal: &Terminal) -> ProgressDrawTarget {
    if terminal.shows_progress() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    }
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Surveying => "Looking at what there is to send",
        Phase::Sending => "Sealing and sending",
        Phase::Looking => "Looking at what is there",
        Phase::Receiving => "Fetching and opening",
        Phase::Rewrapping => "Writing headers anew",
        Phase::Committing => "Committing",
        _ => "Working",
    }
}

impl Progress for Bar {
    fn begin(&self, phase: Phase, files: u64, total: u64) {
        let Ok(mut current) = self.phase.lock() else { return };
        let again = current.replace(phase) == Some(phase);
        if total == 0 {
            self.bar.set_style(spinner());
        } else {
            self.bar.set_style(bar());
            self.bar.reset();
        }
        self.bar.set_length(total);
        self.bar.set_message(words(phase));
        if self.lines && !again {
            match (files, total) {
                (0, 0) => terminal::say(words(phase)),
                _ => terminal::say(&format!(
                    "{}: {}, {}",
                    words(phase),
                    terminal::files(files),
                    bytes(total)
                )),
            }
        }
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

fn bar() -> ProgressStyle {
    ProgressStyle::with_template(
        "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec}, {eta} left",
    )
    .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> "))
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{msg} …").unwrap_or_else(|_| ProgressStyle::default_spinner())
}
