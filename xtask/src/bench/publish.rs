//! Publishing measured: `consign publish` on a queue, beside the loop that people write with boto3 and
//! `rclone copy` from bucket to bucket.
//!
//! Unlike the other benchmarks it runs against the local cloud, with signatures, policies, KMS and TLS:
//! a publisher asks, S3 works, and there is nothing to measure without an S3 that copies. So each row says
//! what the cloud's process cost as well, which shows whose limit it was.

use std::fmt::Write as _;

use super::measure::{self, Sample};
use super::post::{self, ADMINISTRATOR, INBOX, PLAIN, Post, QUEUE, REPOSITORY};
use super::report;
use crate::run::{self, Outcome, While};

const LOOP: &str = "xtask/src/bench/publish_loop.py";

/// How the same objects are brought from one bucket to another.
#[derive(Clone, Copy)]
enum Tool {
    Consign {
        publishers: usize,
    },
    /// From far away.
    ConsignAway {
        publishers: usize,
    },
    Boto3 {
        threads: usize,
    },
    Rclone,
}

struct Row {
    tool: Tool,
    samples: Vec<Sample>,
    /// Seconds of the cloud, for each sample.
    cloud: Vec<f64>,
}

impl Tool {
    const ALL: [Tool; 7] = [
        Tool::Consign { publishers: 1 },
        Tool::Consign { publishers: 2 },
        Tool::Boto3 { threads: 1 },
        Tool::Boto3 { threads: 32 },
        Tool::Rclone,
        Tool::ConsignAway { publishers: 1 },
        Tool::ConsignAway { publishers: 2 },
    ];

    fn name(self) -> String {
        match self {
            Tool::Consign { publishers: 1 } => "consign publish".to_owned(),
            Tool::Consign { publishers } => format!("consign publish, {publishers} on one queue"),
            Tool::ConsignAway { publishers } => {
                let round_trip = 2 * post::ONE_WAY_MS;
                format!("{}, {round_trip} ms away", Tool::Consign { publishers }.name())
            }
            Tool::Boto3 { threads: 1 } => "boto3 loop".to_owned(),
            Tool::Boto3 { threads } => format!("boto3 loop, {threads} threads"),
            Tool::Rclone => "rclone copy, no policies, no KMS".to_owned(),
        }
    }

    /// Objects for it to bring over. Those of the repository are announced on its queue.
    fn prepare(self, post: &Post, prefix: &str, count: usize) -> Outcome {
        match self {
            Tool::Consign { .. } | Tool::ConsignAway { .. } | Tool::Boto3 { .. } => {
                post.put("acme-lab", REPOSITORY, prefix, count)
            }
            Tool::Rclone => post.put(ADMINISTRATOR, PLAIN[0], prefix, count),
        }
    }

    fn run(self, post: &Post, prefix: &str, count: usize) -> Outcome<Sample> {
        match self {
            Tool::Consign { publishers } => {
                post::publish((0..publishers).map(|_| post.publisher()).collect(), count)
            }
            Tool::ConsignAway { publishers } => {
                post::publish((0..publishers).map(|_| post.publisher_away()).collect(), count)
            }
            Tool::Boto3 { threads } => {
                let mut command = post.python(&run::root().join(LOOP))?;
                command.args([QUEUE, INBOX]);
                command.args([count, threads].map(|number| number.to_string()));
                measure::measure(command)
            }
            Tool::Rclone => {
                let mut command = post.rclone()?;
                command.args(["copy", "--transfers", "32", "--checkers", "32"]);
                command.args(PLAIN.map(|bucket| format!("cloud:{bucket}/{prefix}")));
                measure::measure(command)
            }
        }
    }
}

/// Measures, prints, and writes the table into docs/benchmarks.md.
pub(super) fn command(objects: usize, runs: usize, write: bool) -> Outcome {
    let post = Post::set_up()?;
    let mut rows: Vec<Row> = Tool::ALL
        .into_iter()
        .map(|tool| Row { tool, samples: Vec::new(), cloud: Vec::new() })
        .collect();
    for round in 1..=runs {
        for row in &mut rows {
            let name = row.tool.name();
            let prefix = format!("{round}-{}", name.replace([' ', ','], "-"));
            row.tool.prepare(&post, &prefix, objects).during(&name)?;
            let before = post.cloud_cpu();
            let sample = row.tool.run(&post, &prefix, objects).during(&name)?;
            row.cloud.push(post.cloud_cpu() - before);
            row.samples.push(sample);
            let rate = objects as f64 / sample.wall;
            eprintln!("xtask: publish {round}/{runs}: {name}: {rate:.0} objects/s");
        }
    }
    let table = table(objects, &rows);
    println!("{table}");
    if write {
        let file = run::root().join("docs/benchmarks.md");
        let conditions = report::machine(runs)?;
        report::write_between(&file, report::PUBLISH, &conditions, &[table])?;
        eprintln!("xtask: wrote {}", file.display());
    }
    Ok(())
}

fn table(objects: usize, rows: &[Row]) -> String {
    let mut text = format!(
        "### {objects} objects of 10 KiB from a repository into an inbox\n\n\
         | tool | objects/s | wall s | CPU s | peak MiB | CPU s of the cloud | wall | CPU |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    let figure =
        |row: &Row, of: fn(&Sample) -> f64| report::median(row.samples.iter().map(of).collect());
    let ours =
        rows.first().map_or([f64::NAN; 2], |row| [figure(row, |s| s.wall), figure(row, |s| s.cpu)]);
    for row in rows {
        let [wall, cpu] = [figure(row, |s| s.wall), figure(row, |s| s.cpu)];
        let peak = figure(row, |s| s.peak);
        let cloud = report::median(row.cloud.clone());
        let rate = objects as f64 / wall;
        let [of_wall, of_cpu] = [wall / ours[0], cpu / ours[1]];
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {rate:.0} | {wall:.2} | {cpu:.2} | {peak:.0} | {cloud:.2} | {of_wall:.2}× | {of_cpu:.2}× |",
            row.tool.name(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_objects_a_second_and_whose_processor_it_was() {
        let sample = |wall, cpu| Sample { wall, cpu, peak: 30.0 };
        let rows = [
            Row {
                tool: Tool::ALL[0],
                samples: vec![sample(2.0, 0.5), sample(9.0, 0.5), sample(1.0, 0.5)],
                cloud: vec![3.0, 1.0, 2.0],
            },
            Row { tool: Tool::Rclone, samples: vec![sample(4.0, 1.0)], cloud: vec![4.0] },
        ];
        let table = table(1000, &rows);
        let ours = "| consign publish | 500 | 2.00 | 0.50 | 30 | 2.00 | 1.00× | 1.00× |";
        assert!(table.contains(ours), "{table}");
        assert!(table.contains("| 250 | 4.00 | 1.00 | 30 | 4.00 | 2.00× | 2.00× |"), "{table}");
    }
}
