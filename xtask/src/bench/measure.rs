//! Runs a command and counts what it and all its descendants cost.
//!
//! CPU time comes from the kernel's account of waited-for children, in microseconds. Memory is the
//! largest sum of resident memory over the process tree, sampled every few milliseconds: a pipe of
//! three programs needs all three at once.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use crate::run::{Failure, Outcome, While};

/// Short enough to see a buffer that lives for a fiftieth of a second, long enough to cost nothing.
const EVERY: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds, user and system, of all processes.
    pub(crate) cpu: f64,
    /// Mebibytes.
    pub(crate) peak: f64,
}

/// Runs to the end; on failure the sentence carries the last line of standard error.
pub(super) fn measure(mut command: Command) -> Outcome<Sample> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let cpu_before = children_cpu()?;
    let start = Instant::now();
    let child = command.spawn().during("cannot start bash")?;
    let (root, done, peak) = (child.id(), AtomicBool::new(false), AtomicU64::new(0));
    let (output, wall) = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(tree_kib(root), Ordering::Relaxed);
                thread::sleep(EVERY);
            }
        });
        let output = child.wait_with_output();
        let wall = start.elapsed();
        done.store(true, Ordering::Relaxed);
        (output, wall)
    });
    let output = output?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
        return Err(Failure::new(format!("{}: {last}", output.status)));
    }
    Ok(Sample {
        wall: wall.as_secs_f64(),
        cpu: children_cpu()? - cpu_before,
        peak: peak.into_inner() as f64 / 1024.0,
    })
}

/// Seconds of processor time of all children that were waited for.
pub(super) fn children_cpu() -> Outcome<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).during("getrusage")?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Resident memory of a process and its descendants, in KiB. What ends meanwhile counts as nothing.
fn tree_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok()
        })
        .unwrap_or(0);
    let children: u64 = children(pid).into_iter().map(tree_kib).sum();
    own + children
}

/// Any thread can be the parent of a process.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads
        .filter_map(Result::ok)
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |list: String| -> Vec<u32> {
        list.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    lists.flat_map(numbers).collect()
}
