//! A message that was put aside: what it said, and why nothing came of it.
//!
//! [`Aside`] is what lies in the queue for dead letters, as JSON. The queue's own redrive policy puts
//! messages there as they came, without a reason: [`Aside::read`] takes both.

use std::collections::BTreeSet;

use consign_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event;
use crate::record::{Cause, Reason};
use crate::routing::{Routing, Told};

/// The only format of this version.
const FORMAT: &str = "consign-aside/1";

/// What every queue takes unless it was told to take less: SQS's limit until 2025, and still that of
/// queues that were made before. What S3 says fits in with room to spare: 64 KiB at most.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// A message in the queue for dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    format: String,
    /// When it was put aside.
    pub at: Option<Timestamp>,
    /// Why, at least one.
    pub reasons: Vec<Reason>,
    /// What it said; none if that and the reasons are longer than a message may be.
    pub body: Option<String>,
}

impl Aside {
    /// To be sent.
    pub fn new(at: Timestamp, reasons: Vec<Reason>, body: Option<&str>) -> Aside {
        Aside { format: FORMAT.to_owned(), at: Some(at), reasons, body: body.map(str::to_owned) }
    }

    /// Reads what lies in the queue: ours, or a message that SQS moved there by itself after it was
    /// received too often.
    pub fn read(text: &str, receives: u32) -> Aside {
        let ours = serde_json::from_str::<Aside>(text).ok();
        let ours = ours.filter(|aside| aside.format == FORMAT && !aside.reasons.is_empty());
        ours.unwrap_or_else(|| Aside {
            format: FORMAT.to_owned(),
            at: None,
            reasons: vec![Reason::of_message(Cause::GivenUp { receives })],
            body: Some(text.to_owned()),
        })
    }

    /// Whether one of its causes is among these; none asked for is all.
    pub fn has_cause_of(&self, only: &BTreeSet<String>) -> bool {
        only.is_empty() || self.reasons.iter().any(|reason| only.contains(reason.cause.word()))
    }

    /// As JSON: one message, or several where one would be too long for a queue. What it said is left
    /// out then, as the reasons name every object in it that was not delivered.
    pub fn to_texts(&self) -> Vec<String> {
        let text = serde_json::to_string(self).expect("names and texts always serialise");
        let part = |reasons: &[Reason]| {
            Aside { body: None, reasons: reasons.to_vec(), ..self.clone() }.to_texts()
        };
        match (text.len() <= TEXT_BYTES_MAX, &self.body, self.reasons.len()) {
            (true, ..) | (false, None, 0 | 1) => vec![text],
            (false, Some(_), _) => part(&self.reasons),
            (false, None, count) => {
                let (first, second) = self.reasons.split_at(count / 2);
                [part(first), part(second)].concat()
            }
        }
    }

    /// Handles it as if it had come now: what it said, or else the objects that the reasons name.
    /// Only names of this repository count, whoever wrote them.
    pub fn told(&self, routing: &Routing) -> Told {
        if let Some(body) = &self.body {
            return routing.told(event::parse(body));
        }
        let mut told = Told::default();
        for reason in &self.reasons {
            match &reason.source {
                Some(source) => {
                    let source = routing.source(&source.key, source.version_id.as_deref());
                    if !told.objects.contains(&source) {
                        told.objects.push(source);
                    }
                }
                None => told.refused.push(reason.clone()),
            }
        }
        told
    }
}
