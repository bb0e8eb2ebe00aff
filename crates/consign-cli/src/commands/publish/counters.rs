//! What a publisher counts, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use consign_publisher::{Alarm, COMPARE, Failure, Notice, RECEIVE};

use crate::office;

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    received: AtomicU64,
    ignored: AtomicU64,
    unrouted: AtomicU64,
    delivered: AtomicU64,
    delivered_bytes: AtomicU64,
    already: AtomicU64,
    released: AtomicU64,
    last_delivery_seconds: AtomicU64,
    in_flight: AtomicI64,
    put_aside: Labelled,
    alarms: Labelled,
    failures: Labelled,
    source_fails: AtomicBool,
    draining: AtomicBool,
}

/// Counts by a label's value, of which there are few.
#[derive(Debug, Default)]
struct Labelled(Mutex<BTreeMap<String, u64>>);

impl Labelled {
    fn add(&self, label: String) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(label).or_default() += 1;
    }

    fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Counters {
    pub(super) fn notice(&self, notice: &Notice<'_>) {
        let add = |counter: &AtomicU64, count: usize| {
            counter.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
        };
        match notice {
            Notice::Received { messages } => {
                self.source_fails.store(false, Ordering::Relaxed);
                add(&self.received, *messages);
            }
            Notice::Ignored { events } => add(&self.ignored, *events),
            Notice::Unrouted(_) => add(&self.unrouted, 1),
            Notice::Delivered(delivery) => {
                add(&self.delivered, 1);
                let bytes = delivery.content.as_ref().map_or(0, |content| content.bytes);
                self.delivered_bytes.fetch_add(bytes, Ordering::Relaxed);
                self.last_delivery_seconds.store(office::now_ms() / 1000, Ordering::Relaxed);
            }
            Notice::Already => add(&self.already, 1),
            Notice::PutAside(reasons) => {
                for reason in *reasons {
                    self.put_aside.add(format!("cause=\"{}\"", reason.cause.word()));
                }
            }
            Notice::Failed { doing, failure, .. } => {
                if [RECEIVE, COMPARE].contains(doing) {
                    self.source_fails.store(true, Ordering::Relaxed);
                }
                self.failures.add(format!("request=\"{doing}\",failure=\"{}\"", word(*failure)));
            }
            Notice::Released { .. } => add(&self.released, 1),
            Notice::Compared(_) => self.source_fails.store(false, Ordering::Relaxed),
            Notice::Begun => drop(self.in_flight.fetch_add(1, Ordering::Relaxed)),
            Notice::Ended => drop(self.in_flight.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    pub(super) fn alarm(&self, alarm: &Alarm) {
        let kind = match alarm {
            Alarm::Refused(reason) => reason.cause.word(),
            Alarm::NoSource { .. } => "no-source",
            Alarm::NothingDelivered { .. } => "nothing-delivered",
            Alarm::NotFetched { .. } => "not-fetched",
        };
        self.alarms.add(format!("alarm=\"{kind}\""));
    }

    pub(super) fn drains(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Why the publisher is not well, if it is not.
    pub(super) fn illness(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("draining");
        }
        let fails = self.source_fails.load(Ordering::Relaxed);
        fails.then_some("the queue or the repository cannot be read")
    }

    /// Prometheus' text format, version 0.0.4.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let plain = [
            ("messages_received_total", "Messages that the queue gave.", &self.received),
            ("events_ignored_total", "Events about which nothing had to be done.", &self.ignored),
            ("objects_unrouted_total", "Objects that no route takes.", &self.unrouted),
            ("deliveries_total", "Deliveries made and recorded.", &self.delivered),
            ("delivered_bytes_total", "Their size.", &self.delivered_bytes),
            ("already_delivered_total", "Deliveries that had their record.", &self.already),
            ("messages_released_total", "Messages left to come again.", &self.released),
        ];
        for (name, help, counter) in plain {
            head(&mut text, name, help, "counter");
            line(&mut text, name, "", &counter.load(Ordering::Relaxed).to_string());
        }
        let labelled = [
            ("put_aside_total", "Reasons with which something was put aside.", &self.put_aside),
            ("alarms_total", "Alarms raised.", &self.alarms),
            ("request_failures_total", "Requests that failed.", &self.failures),
        ];
        for (name, help, counter) in labelled {
            head(&mut text, name, help, "counter");
            for (label, count) in counter.all() {
                line(&mut text, name, &format!("{{{label}}}"), &count.to_string());
            }
        }
        let gauges = [
            ("in_flight", "Messages or objects in hand.", self.in_flight.load(Ordering::Relaxed)),
            (
                "last_delivery_timestamp_seconds",
                "When the last delivery was recorded; 0 if none since the start.",
                i64::try_from(self.last_delivery_seconds.load(Ordering::Relaxed))
                    .unwrap_or_default(),
            ),
            ("healthy", "1 if /healthz says so.", i64::from(self.illness().is_none())),
        ];
        for (name, help, value) in gauges {
            head(&mut text, name, help, "gauge");
            line(&mut text, name, "", &value.to_string());
        }
        text
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP consign_publish_{name} {help}");
    let _ = writeln!(text, "# TYPE consign_publish_{name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: &str) {
    let _ = writeln!(text, "consign_publish_{name}{labels} {value}");
}

/// As logs and metrics write it.
pub(super) fn word(failure: Failure) -> &'static str {
    use consign_publisher::Permanent;
    match failure {
        Failure::Throttled => "throttled",
        Failure::Passing => "passing",
        Failure::Absent => "absent",
        Failure::Taken => "taken",
        Failure::UploadGone => "upload-gone",
        Failure::Permanent(Permanent::Denied) => "denied",
        Failure::Permanent(Permanent::KeyUnusable) => "key-unusable",
        Failure::Permanent(Permanent::Archived) => "archived",
        Failure::Permanent(Permanent::Credentials) => "credentials",
        Failure::Permanent(Permanent::Refused) => "refused",
    }
}
