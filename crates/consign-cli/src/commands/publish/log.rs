//! What a publisher says: a JSON line for each thing that happens, and a command for each alarm.
//!
//! Keys of objects may say more than a log should. Unless names are asked for, a line has the digest
//! by which the delivered object and its record are found (`consign-source`), and no error's text.

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use consign_model::Timestamp;
use consign_publisher::{Alarm, Notice, Observer, Reason, Source, SourceId, Target};
use serde_json::{Value, json};

use super::counters::{Counters, word};
use crate::office;

/// A command that calls a person must not keep the publisher.
const ALARM_PATIENCE: Duration = Duration::from_secs(10);

/// Writes to standard error, and counts.
pub(super) struct Log {
    names: bool,
    alarm_exec: Option<String>,
    counters: Arc<Counters>,
}

impl Log {
    pub(super) fn new(names: bool, alarm_exec: Option<String>, counters: Arc<Counters>) -> Log {
        Log { names, alarm_exec, counters }
    }

    pub(super) fn metrics(&self, listener: &tokio::net::TcpListener) {
        let address = listener.local_addr().map(|address| address.to_string());
        say("info", "metrics", json!({"address": address.unwrap_or_default()}));
    }

    pub(super) fn draining(&self) {
        say("info", "draining", json!({}));
    }

    fn source(&self, source: &Source) -> Value {
        match self.names {
            true => {
                json!({"bucket": source.bucket, "key": source.key, "version": source.version_id})
            }
            false => {
                let version = source.version_id.clone().unwrap_or_default();
                let (bucket, key) = (source.bucket.clone(), source.key.clone());
                json!({"digest": SourceId { bucket, key, version }.digest().to_string()})
            }
        }
    }

    fn target(&self, target: &Target) -> Value {
        match self.names {
            true => json!({"inbox": target.inbox, "bucket": target.bucket, "key": target.key}),
            false => json!({"inbox": target.inbox}),
        }
    }

    fn reason(&self, reason: &Reason) -> Value {
        let mut value = json!({"cause": reason.cause.word()});
        if let consign_publisher::Cause::Permanent { what } = &reason.cause {
            value["what"] = json!(what);
        }
        if self.names {
            value["details"] = json!(reason.cause);
        }
        value["source"] = reason.source.as_ref().map_or(Value::Null, |it| self.source(it));
        value["target"] = reason.target.as_ref().map_or(Value::Null, |it| self.target(it));
        value
    }
}

impl Observer for Log {
    fn notice(&self, notice: &Notice<'_>) {
        self.counters.notice(notice);
        match notice {
            Notice::Delivered(delivery) => {
                let source = match self.names {
                    true => json!(delivery.of),
                    false => json!({"digest": delivery.of.digest().to_string()}),
                };
                let id = delivery.of.delivery(&delivery.target).to_string();
                let bytes = delivery.content.as_ref().map(|content| content.bytes);
                let target = self.target(&delivery.target);
                let about = json!({
                    "delivery": id, "route": delivery.route, "source": source, "target": target,
                    "bytes": bytes,
                });
                say("info", "delivered", about);
            }
            Notice::Unrouted(source) => {
                say("warning", "unrouted", json!({"source": self.source(source)}));
            }
            Notice::PutAside(reasons) => {
                let reasons: Vec<Value> = reasons.iter().map(|it| self.reason(it)).collect();
                say("warning", "put-aside", json!({"reasons": reasons}));
            }
            Notice::Failed { doing, failure, error } => {
                let mut about = json!({
                    "request": doing, "failure": word(*failure), "code": error.code(),
                    "kind": format!("{:?}", error.kind()),
                });
                if self.names {
                    about["error"] = json!(crate::error::chain(*error));
                }
                say("warning", "failed", about);
            }
            Notice::Released { seconds } => say("info", "released", json!({"seconds": seconds})),
            Notice::Compared(it) => say(
                "info",
                "compared",
                json!({
                    "objects": it.objects, "recorded": it.recorded, "delivered": it.delivered,
                    "superseded": it.superseded, "unrouted": it.unrouted, "refused": it.refused,
                    "failed": it.failed,
                }),
            ),
            _ => {}
        }
    }

    fn alarm<'a>(&'a self, alarm: &'a Alarm) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            self.counters.alarm(alarm);
            let about = match (alarm, self.names) {
                (Alarm::Refused(reason), _) => self.reason(reason),
                (Alarm::NoSource { .. }, false) => json!({"alarm": "no-source"}),
                (alarm, _) => json!(alarm),
            };
            say("alarm", "alarm", about);
            let Some(command) = self.alarm_exec.clone() else { return };
            let input = json!(alarm).to_string();
            let told = tokio::task::spawn_blocking(move || tell(&command, &input)).await;
            if let Ok(Err(why)) = told {
                say("error", "alarm-exec", json!({"why": why}));
            }
        })
    }
}

/// From now on a publisher looks for what is to be delivered.
pub(super) fn started() {
    say("info", "started", json!({"version": env!("CARGO_PKG_VERSION")}));
}

/// The last word of a publisher.
pub(super) fn stopped() {
    say("info", "stopped", json!({}));
}

/// Runs the command that calls a person, with the alarm on its standard input.
fn tell(command: &str, input: &str) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("it cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read is told by its being run; an alarm fits into a pipe.
        let _unread = stdin.write_all(input.as_bytes());
    }
    let until = Instant::now() + ALARM_PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("it ended with {status}")),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err("it did not end in time".to_owned());
            }
            Err(error) => return Err(format!("it cannot be waited for: {error}")),
        }
    }
}

/// One line, written at once: several tasks say something.
fn say(level: &str, event: &str, about: Value) {
    let time = Timestamp::from_unix_ms(office::now_ms()).to_string();
    let mut line = json!({"time": time, "level": level, "event": event});
    if let (Value::Object(line), Value::Object(about)) = (&mut line, about) {
        line.extend(about);
    }
    // With nobody to read it, the publisher goes on.
    let _unread = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
