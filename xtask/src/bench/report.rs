//! Medians, ratios, and the part of docs/benchmarks.md between the markers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::Row;
use super::measure::Sample;
use super::stage::Stage;
use crate::run::{self, Failure, Outcome, While};

/// The markers around what is written.
pub(super) type Markers = [&'static str; 2];

const TRANSFERS: Markers =
    ["<!-- bench: written by `cargo xtask bench`; do not edit below -->", "<!-- bench: end -->"];
pub(super) const SEALS: Markers = [
    "<!-- seals: written by `cargo xtask bench seals`; do not edit below -->",
    "<!-- seals: end -->",
];
pub(super) const PUBLISH: Markers = [
    "<!-- publish: written by `cargo xtask bench publish`; do not edit below -->",
    "<!-- publish: end -->",
];

/// One job as a Markdown table; the first row is consign, the last columns are relative to it.
pub(super) fn table(title: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "### {title}\n\n\
         | tool | wall s | CPU s | peak MiB | wall | CPU | memory |\n\
         |---|--:|--:|--:|--:|--:|--:|\n"
    );
    let figures = |row: &Row| {
        let figure = |of: fn(&Sample) -> f64| median(row.samples.iter().map(of).collect());
        [figure(|s| s.wall), figure(|s| s.cpu), figure(|s| s.peak)]
    };
    let ours = rows.first().map_or([0.0; 3], figures);
    for row in rows {
        let [wall, cpu, peak] = figures(row);
        let _ = write!(text, "| {} | {wall:.2} | {cpu:.2} | {peak:.0} |", row.tool);
        for (figure, our) in [wall, cpu, peak].iter().zip(ours) {
            let _ = write!(text, " {:.2}× |", figure / our);
        }
        text.push('\n');
    }
    text
}

pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    if figures.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle - 1), at(middle)) }
}

/// On what and with what it was measured.
pub(super) fn conditions(stage: &Stage, runs: usize) -> Outcome<String> {
    let files = if stage.on_tmpfs() { "tmpfs" } else { "the temporary folder" };
    Ok(format!(
        "{}Cores are shared with the server, files on {files}. age {}, s5cmd {}, {}.\n",
        machine(runs)?,
        first_line("age", "--version"),
        first_line(stage.variable("S5CMD"), "version"),
        first_line(stage.variable("RCLONE"), "version"),
    ))
}

/// The machine, the day, and which consign.
pub(super) fn machine(runs: usize) -> Outcome<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = run::capture(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let git = ["rev-parse", "--short", "HEAD"];
    let commit = run::capture(Command::new("git").args(git).current_dir(run::root()))
        .map_or_else(|_| "unknown".to_owned(), |commit| commit.trim().to_owned());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    Ok(format!(
        "Measured {} on {model}, {cores} cores; medians of {runs} runs; load average {load} at the \
         end. consign at commit {commit}.\n",
        date.trim(),
    ))
}

fn first_line(program: &str, argument: &str) -> String {
    let text = run::capture(Command::new(program).arg(argument)).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// Replaces what stands between the markers of transfers.
pub(super) fn write(file: &Path, conditions: &str, tables: &[String]) -> Outcome {
    write_between(file, TRANSFERS, conditions, tables)
}

/// Replaces what stands between two markers.
pub(super) fn write_between(
    file: &Path,
    [begin, end]: Markers,
    conditions: &str,
    tables: &[String],
) -> Outcome {
    let text = fs::read_to_string(file).during(file.display())?;
    let missing = || Failure::new(format!("{}: the markers are missing", file.display()));
    let (head, rest) = text.split_once(begin).ok_or_else(missing)?;
    let (_, tail) = rest.split_once(end).ok_or_else(missing)?;
    let text = format!("{head}{begin}\n\n{conditions}\n{}\n{end}{tail}", tables.join("\n"));
    fs::write(file, text).during(file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_and_what_others_need_relative_to_consign() {
        let sample = |wall, cpu, peak| Sample { wall, cpu, peak };
        let rows = [
            Row {
                tool: "consign",
                samples: vec![
                    sample(9.0, 2.0, 50.0),
                    sample(1.0, 2.0, 40.0),
                    sample(2.0, 3.0, 60.0),
                ],
            },
            Row { tool: "other", samples: vec![sample(4.0, 1.0, 100.0), sample(6.0, 1.0, 100.0)] },
        ];
        let table = table("Title", &rows);
        assert!(
            table.contains("| consign | 2.00 | 2.00 | 50 | 1.00× | 1.00× | 1.00× |"),
            "{table}"
        );
        assert!(table.contains("| other | 5.00 | 1.00 | 100 | 2.50× | 0.50× | 2.00× |"), "{table}");
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let [begin, end] = TRANSFERS;
        let folder = run::target().join("tmp");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("bench-report-{}.md", std::process::id()));
        fs::write(&file, format!("head\n{begin}\nold\n{end}\ntail\n")).unwrap();
        write(&file, "conditions\n", &["table\n".to_owned()]).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let expected = format!("head\n{begin}\n\nconditions\n\ntable\n\n{end}\ntail\n");
        assert_eq!(text, expected);
    }
}
