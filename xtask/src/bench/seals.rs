//! consign beside other tools that seal one file for one key: what a gigabyte costs.
//!
//! All tools read the same file and write another in one folder, on tmpfs where there is one. A tool
//! that is not installed is left out and named.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{self, Sample};
use super::report;
use crate::run::{self, Outcome, While};

const BYTES: u64 = 512 * 1024 * 1024;

/// What a tool does, as shell lines; `$IN`, `$OUT` and the folder's keys are theirs.
struct Tool {
    name: &'static str,
    program: &'static str,
    keys: &'static str,
    seal: &'static str,
    open: &'static str,
}

const AGE_KEYS: &str = "[ -f id ] || age-keygen -o id 2>/dev/null; age-keygen -y id > recipient";

const TOOLS: [Tool; 7] = [
    Tool {
        name: "consign",
        program: "consign",
        keys: AGE_KEYS,
        seal: "consign seal $IN --to $(cat recipient) -o $OUT --force --quiet",
        open: "consign open $IN -i id -o $OUT --force --quiet",
    },
    Tool {
        name: "consign, post-quantum",
        program: "consign",
        keys: "consign keys new bench --print --post-quantum --keys pq --quiet > /dev/null; \
               sed -n 's/^# public key: //p' pq/bench.identity > pq/recipient",
        seal: "consign seal $IN --to $(cat pq/recipient) -o $OUT --force --quiet",
        open: "consign open $IN -i pq/bench.identity -o $OUT --force --quiet",
    },
    Tool {
        name: "consign --armor",
        program: "consign",
        keys: AGE_KEYS,
        seal: "consign seal $IN --to $(cat recipient) --armor -o $OUT --force --quiet",
        open: "consign open $IN -i id -o $OUT --force --quiet",
    },
    Tool {
        name: "age",
        program: "age",
        keys: AGE_KEYS,
        seal: "age -r $(cat recipient) -o $OUT $IN",
        open: "age -d -i id -o $OUT $IN",
    },
    Tool {
        name: "rage",
        program: "rage",
        keys: AGE_KEYS,
        seal: "rage -r $(cat recipient) -o $OUT $IN",
        open: "rage -d -i id -o $OUT $IN",
    },
    Tool {
        name: "gpg, no compression",
        program: "gpg",
        keys: "mkdir -p -m 700 gpg; gpg --homedir gpg --batch --quiet --passphrase '' \
               --quick-generate-key bench default default never 2>/dev/null",
        seal: "gpg --homedir gpg --batch --yes --quiet --trust-model always -z 0 -r bench -o $OUT -e $IN",
        open: "gpg --homedir gpg --batch --yes --quiet -o $OUT -d $IN",
    },
    Tool {
        name: "sq",
        program: "sq",
        // As sq 0.27 of Debian 12 has it.
        keys: "sq --force key generate --userid bench --export sq.key --rev-cert sq.rev",
        seal: "sq --force encrypt --compression none --recipient-cert sq.key --output $OUT $IN",
        open: "sq --force decrypt --recipient-key sq.key --output $OUT $IN",
    },
];

struct Figures {
    name: &'static str,
    seal: Vec<Sample>,
    open: Vec<Sample>,
}

/// Measures every tool that is here; gives the table.
pub(super) fn measure(runs: usize) -> Outcome<String> {
    let folder = Folder::make()?;
    let mut rows = Vec::new();
    for tool in &TOOLS {
        if program(tool.program).is_none() {
            eprintln!("SKIPPED {}: {} is not installed", tool.name, tool.program);
            continue;
        }
        rows.push(measure_tool(&folder, tool, runs).during(tool.name)?);
    }
    Ok(table(&rows))
}

fn measure_tool(folder: &Folder, tool: &Tool, runs: usize) -> Outcome<Figures> {
    run::capture(&mut folder.script(tool.keys))?;
    let mut figures = Figures { name: tool.name, seal: Vec::new(), open: Vec::new() };
    // Round 0 only warms up.
    for round in 0..=runs {
        let sealed = measure::measure(folder.step(tool.seal, "plain", "sealed"))?;
        let opened = measure::measure(folder.step(tool.open, "sealed", "opened"))?;
        run::capture(Command::new("cmp").args(["plain", "opened"]).current_dir(&folder.0))?;
        fs::remove_file(folder.0.join("opened"))?;
        eprintln!(
            "xtask: {} {round}/{runs}: {:.2} s, {:.2} s",
            tool.name, sealed.wall, opened.wall
        );
        if round > 0 {
            figures.seal.push(sealed);
            figures.open.push(opened);
        }
        fs::remove_file(folder.0.join("sealed"))?;
    }
    Ok(figures)
}

fn table(rows: &[Figures]) -> String {
    let mut text = format!(
        "### Seal and open one file of {} MiB\n\n\
         | tool | seal GB/CPU s | open GB/CPU s | seal wall s | open wall s | peak MiB |\n\
         |---|--:|--:|--:|--:|--:|\n",
        BYTES >> 20
    );
    let gigabytes = BYTES as f64 / 1e9;
    for row in rows {
        let figure = |samples: &[Sample], of: fn(&Sample) -> f64| {
            report::median(samples.iter().map(of).collect())
        };
        let peak = figure(&row.seal, |s| s.peak).max(figure(&row.open, |s| s.peak));
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {peak:.0} |",
            row.name,
            gigabytes / figure(&row.seal, |s| s.cpu),
            gigabytes / figure(&row.open, |s| s.cpu),
            figure(&row.seal, |s| s.wall),
            figure(&row.open, |s| s.wall),
        );
    }
    text
}

fn program(name: &str) -> Option<PathBuf> {
    match name {
        "consign" => Some(run::target().join("release/consign")).filter(|path| path.is_file()),
        other => run::on_path(other),
    }
}

/// Where all of it happens; gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Outcome<Folder> {
        let shared = Path::new("/dev/shm");
        let base = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let folder = Folder(base.join(format!("consign-seals-{}", std::process::id())));
        fs::create_dir(&folder.0).during(folder.0.display())?;
        let noise = format!("head -c {BYTES} /dev/urandom > plain");
        run::capture(&mut folder.script(&noise))?;
        Ok(folder)
    }

    fn script(&self, lines: &str) -> Command {
        let own = run::target().join("release");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.args(["-euc", lines]).current_dir(&self.0).env("HOME", &self.0);
        command.env("PATH", format!("{}:{path}", own.display()));
        command
    }

    fn step(&self, lines: &str, from: &str, to: &str) -> Command {
        let mut command = self.script(lines);
        command.env("IN", from).env("OUT", to);
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("xtask: cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Measures, prints, and writes the table into docs/benchmarks.md.
pub(super) fn command(runs: usize, write: bool) -> Outcome {
    let table = measure(runs)?;
    println!("{table}");
    if write {
        let file = run::root().join("docs/benchmarks.md");
        let versions = ["age", "rage", "gpg", "sq"].map(|name| {
            let text = run::capture(Command::new(name).arg("--version")).unwrap_or_default();
            let line = text.lines().next().unwrap_or_default().trim().to_owned();
            if line.is_empty() { format!("{name} not installed") } else { line }
        });
        let conditions = report::machine(runs)? + &versions.join(", ") + ".\n";
        report::write_between(&file, report::SEALS, &conditions, &[table])?;
        eprintln!("xtask: wrote {}", file.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_gigabytes_per_second_of_processor_time() {
        let sample = |cpu, peak| Sample { wall: 1.0, cpu, peak };
        let seconds = BYTES as f64 / 1e9 / 2.0;
        let row = Figures {
            name: "consign",
            seal: vec![sample(seconds, 10.0)],
            open: vec![sample(seconds * 2.0, 20.0)],
        };
        let table = table(&[row]);
        assert!(table.contains("| consign | 2.00 | 1.00 | 1.00 | 1.00 | 20 |"), "{table}");
    }

    #[test]
    fn every_tool_reads_in_and_writes_out() {
        for tool in &TOOLS {
            for lines in [tool.seal, tool.open] {
                assert!(lines.contains("$IN") && lines.contains("$OUT"), "{}", tool.name);
            }
        }
    }
}
