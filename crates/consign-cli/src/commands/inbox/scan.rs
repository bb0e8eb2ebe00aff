//! `consign inbox scan`: shows what nobody has judged to a command, and says what the command found.
//!
//! A verdict needs three things: the command ended by itself with 0 or 1, everything was given to it
//! (for "clean"), and the version that it saw is the one that is tagged. Whatever else happens leaves
//! the object as it was: without a verdict, and so unreadable to everybody else.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use consign::inbox::{Unscanned, Verdict, give_verdict, read_unscanned, unscanned};
use serde_json::json;

use super::{Place, Role};
use crate::args::InboxScanArgs;
use crate::commands::interrupt;
use crate::commands::span;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::{Terminal, escape};

/// How much of an object is in memory at once.
const CHUNK_BYTES: u64 = 8 << 20;

pub(super) async fn run(
    args: &InboxScanArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let interval = span::duration("--interval", &args.interval)?;
    let place = Place::open(args.inbox.as_deref(), Role::Scanner, settings, terminal).await?;
    let scan = async {
        let mut first = true;
        loop {
            let alarms = match round(args, &place, terminal.is_json(), terminal).await {
                Ok(alarms) => alarms,
                // What passes is waited for; what is wrong from the start is not.
                Err(error) if args.watch && !first => {
                    terminal.error(&error);
                    0
                }
                Err(error) => return Err(error),
            };
            first = false;
            match (args.watch, alarms) {
                (true, _) => tokio::time::sleep(interval).await,
                (false, 0) => return Ok(()),
                (false, _) => {
                    let message = format!("{alarms} got no verdict and stay unreadable");
                    return Err(CommandError::failed(message)
                        .hint("mend what the alarms above say and run the same command again"));
                }
            }
        }
    };
    tokio::select! {
        () = interrupt::wait() => Ok(()),
        ended = scan => ended,
    }
}

/// Judges everything that waits; gives the number of alarms.
async fn round(
    args: &InboxScanArgs,
    place: &Place,
    json: bool,
    terminal: &Terminal,
) -> Result<usize, CommandError> {
    let mut alarms = 0;
    for waiting in unscanned(&place.office, &place.inbox).await? {
        let judged = judge(args, place, &waiting).await;
        let said = match judged {
            Ok(verdict) => give_verdict(&place.office, &place.inbox, &waiting, verdict)
                .await
                .map(|_| verdict)
                .map_err(CommandError::from),
            Err(error) => Err(error),
        };
        match said {
            Ok(verdict) => match print(&waiting, verdict, json, terminal) {
                // Whether somebody reads on or not, what waits is to be judged.
                Err(error) if !error.is_unread() => return Err(error),
                _ => {}
            },
            Err(error) => {
                alarms += 1;
                terminal.error(&error.within(format!("`{}` got no verdict", waiting.key)));
            }
        }
    }
    Ok(alarms)
}

fn print(
    waiting: &Unscanned,
    verdict: Verdict,
    json: bool,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let word = match verdict {
        Verdict::Clean => "clean",
        Verdict::Infected => "infected",
    };
    if json {
        let view = json!({"key": waiting.key, "version": waiting.version, "verdict": word});
        return terminal.data(&view.to_string());
    }
    terminal.data(&format!("{word}  {}", escape(&waiting.key)))
}

async fn judge(
    args: &InboxScanArgs,
    place: &Place,
    waiting: &Unscanned,
) -> Result<Verdict, CommandError> {
    let (status, whole) = match args.scan_exec.contains("{}") {
        true => by_file(&args.scan_exec, place, waiting).await?,
        false => by_pipe(&args.scan_exec, place, waiting).await?,
    };
    match (status.code(), whole) {
        (Some(0), true) => Ok(Verdict::Clean),
        (Some(1), _) => Ok(Verdict::Infected),
        (Some(0), false) => {
            Err(CommandError::failed("the scan command says clean and has not read everything"))
        }
        (Some(code), _) => Err(CommandError::failed(format!("the scan command ended with {code}"))),
        (None, _) => Err(CommandError::failed(format!("the scan command was ended: {status}"))),
    }
}

/// The object on standard input. We keep an end to read from, to see what the command has left.
async fn by_pipe(
    command: &str,
    place: &Place,
    waiting: &Unscanned,
) -> Result<(ExitStatus, bool), CommandError> {
    let failed = |e| CommandError::failed("cannot write to the scan command").caused_by(e);
    let (input, mut pipe) = std::io::pipe().map_err(failed)?;
    let left = input.try_clone().map_err(failed)?;
    let mut scanner = Scanner::start(Command::new("sh").args(["-c", command]).stdin(input))?;
    for (start, end) in chunks(waiting.bytes) {
        let bytes = read_unscanned(&place.office, &place.inbox, waiting, start..end).await?;
        let mut writing = Box::pin(blocking(move || pipe.write_all(&bytes).map(|()| pipe)));
        tokio::select! {
            written = &mut writing => pipe = written?.map_err(failed)?,
            status = scanner.ended() => {
                // With nobody left to read, the write comes back.
                drop(left);
                let _broken = writing.await?;
                return Ok((status?, false));
            }
        }
    }
    drop(pipe);
    let status = scanner.ended().await?;
    let unread = rustix::io::ioctl_fionread(&left).map_err(|e| failed(e.into()))?;
    Ok((status, unread == 0))
}

/// The object in a private file, gone when the command has ended.
async fn by_file(
    command: &str,
    place: &Place,
    waiting: &Unscanned,
) -> Result<(ExitStatus, bool), CommandError> {
    let failed = |e| CommandError::failed("cannot write a private file to scan").caused_by(e);
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    for (start, end) in chunks(waiting.bytes) {
        let bytes = read_unscanned(&place.office, &place.inbox, waiting, start..end).await?;
        file = blocking(move || file.write_all(&bytes).map(|()| file)).await?.map_err(failed)?;
    }
    let path: &Path = file.path();
    // The path is an argument, never part of what the shell reads.
    let script = command.replace("{}", "\"$1\"");
    let mut scanner = Scanner::start(
        Command::new("sh").args(["-c", &script, "sh"]).arg(path).stdin(Stdio::null()),
    )?;
    Ok((scanner.ended().await?, true))
}

fn chunks(bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..bytes.div_ceil(CHUNK_BYTES)).map(move |number| {
        let start = number * CHUNK_BYTES;
        (start, bytes.min(start + CHUNK_BYTES))
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| CommandError::internal("a task broke off", e))
}

/// A command that runs; ended with us.
struct Scanner(Option<Child>);

impl Scanner {
    fn start(command: &mut Command) -> Result<Scanner, CommandError> {
        // A group of its own, so that nothing of it is left when we end it. What it prints is for
        // people; standard output is ours.
        let started = command.stdout(Stdio::null()).process_group(0).spawn();
        started
            .map(|child| Scanner(Some(child)))
            .map_err(|e| CommandError::failed("the scan command cannot be started").caused_by(e))
    }

    /// Waits for its end; may be dropped and called again.
    async fn ended(&mut self) -> Result<ExitStatus, CommandError> {
        let failed = |e| CommandError::failed("the scan command cannot be waited for").caused_by(e);
        loop {
            let Some(child) = &mut self.0 else {
                return Err(CommandError::failed("the scan command is gone"));
            };
            if let Some(status) = child.try_wait().map_err(failed)? {
                self.0 = None;
                return Ok(status);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Scanner {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let group = rustix::process::Pid::from_child(child);
            let _ended = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _reaped = child.wait();
        }
    }
}
